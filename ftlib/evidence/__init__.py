"""The evidence: an experiment as data, its recorded runs, comparison, and claims judged by rules written first."""
