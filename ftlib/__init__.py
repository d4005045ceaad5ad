"""The Fine-Tuning Lab's library: one loop, ten slots, one file a strategy.

Names load on first use, so that `import ftlib` stays fast: `ftlib.fit` imports torch, `import ftlib` does not.
"""

from importlib import import_module

__version__ = "0.1.0"

# public name -> where it lives
_PUBLIC = {
    "Strategy": "strategy:Strategy",
    "combine": "strategy:combine",
    "fit": "train:fit",
    "evaluate": "train:evaluate",
    "predict_logits": "train:predict_logits",
    "load_model": "models:load",
    "load_task": "tasks:load",
    "Spec": "runs:Spec",
    "Phase": "runs:Phase",
    "run": "runs:run",
    "load_runs": "runs:load_runs",
    "load_records": "runs:load_records",
    "paired": "compare:paired",
    "reading": "compare:reading",
    "table": "compare:table",
}
_MODULES = {
    "adapters",
    "assets",
    "compare",
    "doctor",
    "metrics",
    "models",
    "plots",
    "record",
    "runs",
    "strategies",
    "strategy",
}
_MODULES |= {"tasks", "teach", "train", "widgets"}
__all__ = sorted([*_PUBLIC, *_MODULES])


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(f"ftlib.{name}")
    if name in _PUBLIC:
        module, attribute = _PUBLIC[name].split(":")
        return getattr(import_module(f"ftlib.{module}"), attribute)
    raise AttributeError(f"ftlib has no name {name!r}: its public names are {', '.join(__all__)}")


def __dir__():
    return __all__
