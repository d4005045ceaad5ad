"""The engine: `fit`, the only training loop, and all that only it needs. It knows no task, no record and no lesson."""
