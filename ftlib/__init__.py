"""The Fine-Tuning Lab's library: one loop, ten slots, one file per strategy.

Names load on first use, so that `import ftlib` stays fast: `ftlib.fit` imports torch, `import ftlib` does not.
"""

from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec

__version__ = "0.1.0"

# public name -> where it is
_PUBLIC = {
    "Strategy": "strategy:Strategy",
    "combine": "strategy:combine",
    "fit": "training.loop:fit",
    "Validation": "training.validation:Validation",
    "Checkpoint": "training.checkpoint:Checkpoint",
    "evaluate": "training.scoring:evaluate",
    "predict": "training.predicting:predict",
    "predict_logits": "training.scoring:predict_logits",
    "save": "models.saved:save",
    "load": "models.saved:load",
    "load_model": "models:load",
    "load_task": "tasks:load",
    "Spec": "evidence.spec:Spec",
    "Phase": "evidence.spec:Phase",
    "run": "evidence.runs:run",
    "compare_strategies": "evidence.side_by_side:compare_strategies",
    "load_runs": "evidence.runs:load_runs",
    "load_records": "evidence.runs:load_records",
    "paired": "evidence.compare:paired",
    "reading": "evidence.compare:reading",
    "table": "evidence.compare:table",
}
# public module -> where it is
_MODULES = {
    "adapters": "models.adapters",
    "compare": "evidence.compare",
    "grids": "evidence.grids",
    "machine": "training.machine",
    "record": "evidence.grids",
    "runs": "evidence.runs",
    "teach": "classroom",
    "train": "training.loop",
    "widgets": "classroom.widgets",
}
__all__ = sorted([*_PUBLIC, *_MODULES, "assets", "doctor", "metrics", "models", "plots"])
__all__ += ["strategies", "strategy", "tasks", "tools"]


def __getattr__(name: str):
    if name in _PUBLIC:
        module, attribute = _PUBLIC[name].split(":")
        return getattr(import_module(f"ftlib.{module}"), attribute)
    if name in _MODULES:
        return import_module(f"ftlib.{_MODULES[name]}")
    if not name.startswith("_") and find_spec(f"ftlib.{name}"):  # every file is there, whoever used it before
        return import_module(f"ftlib.{name}")
    spelt = {known.lower(): known for known in __all__}
    near = get_close_matches(name.lower(), spelt, 1)
    known = f"did you mean {spelt[near[0]]}?" if near else f"its public names are {', '.join(__all__)}"
    raise AttributeError(f"ftlib has no name {name!r}: {known}")


def __dir__():
    return __all__
