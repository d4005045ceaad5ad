"""The Fine-Tuning Lab's library: one loop, ten slots, one file a strategy.

Names load on first use, so that `import ftlib` stays fast: `ftlib.fit` imports torch, `import ftlib` does not.
"""

from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec

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
__all__ = sorted([*_PUBLIC, "adapters", "assets", "compare", "doctor", "metrics", "models", "plots", "record", "runs"])
__all__ += ["strategies", "strategy", "tasks", "teach", "train", "widgets"]


def __getattr__(name: str):
    if name in _PUBLIC:
        module, attribute = _PUBLIC[name].split(":")
        return getattr(import_module(f"ftlib.{module}"), attribute)
    if not name.startswith("_") and find_spec(f"ftlib.{name}"):  # every file is there, whoever used it before
        return import_module(f"ftlib.{name}")
    spelt = {known.lower(): known for known in __all__}
    near = get_close_matches(name.lower(), spelt, 1)
    known = f"did you mean {spelt[near[0]]}?" if near else f"its public names are {', '.join(__all__)}"
    raise AttributeError(f"ftlib has no name {name!r}: {known}")


def __dir__():
    return __all__
