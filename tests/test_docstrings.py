"""Every public name says in numpydoc's form what it takes, gives and raises, with an example that runs.

The examples may use what a notebook has at hand: `model` and its loader `train`, the same for `picture_model` and
`pictures` and for `text_model` and `texts`, recorded `runs`, and an empty `folder`.
"""

import doctest
import inspect
import re
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ftlib
import toy
from ftlib import strategies

MODULES = ["tasks", "models", "models.adapters", "evidence.compare", "metrics", "plots", "classroom"]
MODULES += ["models.about", "training.predicting", "results_plots", "task_plots"]
MODULES += ["tools", *(f"tools.{name}" for name in ("llama_factory", "xtuner", "unsloth", "firefly", "xturing"))]
MODULES += ["classroom.widgets", "classroom.lessons", "training.machine", "io.writing"]
SECTIONS = ("Parameters", "Returns", "Yields", "Raises", "Notes", "References", "Examples", "Attributes", "See Also")


def public() -> dict[str, object]:
    """{dotted name: object} of all that the kit offers to those who use it."""
    found = {f"ftlib.{name}": getattr(ftlib, name) for name in ftlib._PUBLIC}
    found |= {f"strategies.{name}": strategies.get(name) for name in strategies.CATALOG}
    for name in MODULES:
        module = import_module(f"ftlib.{name}")
        own = [n for n, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
        for one in getattr(module, "__all__", [n for n in own if not n.startswith("_")]):
            thing = getattr(module, one)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                found.setdefault(f"{name}.{one}", thing)
    kept = {}
    return {name: thing for name, thing in found.items() if kept.setdefault(id(thing), name) == name}


PUBLIC = public()
EXAMPLES = doctest.DocTestFinder(recurse=False)
RUNNER = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def sections(text: str) -> dict[str, str]:
    """{"Parameters": its lines} of a docstring; the summary stands under ""."""
    parts = re.split(rf"^({'|'.join(SECTIONS)})\n-+$", inspect.cleandoc(text), flags=re.M)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(body: str) -> set[str]:
    """The names that a section of parameters describes."""
    return {
        name.strip("*, ")
        for line in re.findall(r"^(\S[^:\n]*) ?(?::.*)?$", body, flags=re.M)
        for name in line.split(",")
    }


def parameters(thing) -> set[str]:
    """What a caller may give: the arguments of a function, the fields of a dataclass."""
    if inspect.isclass(thing) and is_dataclass(thing):
        return {one.name for one in fields(thing) if one.init}
    if inspect.isclass(thing) and "__init__" not in vars(thing):
        return set()
    known = inspect.signature(thing).parameters.values()
    return {one.name for one in known if one.name != "self"}


def test_the_public_names_were_found():
    assert len(PUBLIC) > 120 and {"ftlib.fit", "strategies.L2SP", "tasks.names"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_is_whole(name):
    thing = PUBLIC[name]
    assert thing.__doc__, f"{name} has no docstring"
    has = sections(thing.__doc__)
    summary = has[""].split("\n\n")[0]
    assert summary.strip().endswith((".", ":")) and len(summary) < 240, f"{name} begins with one sentence"
    missing = parameters(thing) - documented(has.get("Parameters", ""))
    assert not missing, f"{name} does not describe {sorted(missing)}"
    assert not documented(has.get("Parameters", "")) - parameters(thing), f"{name} describes what it does not take"
    if inspect.isfunction(thing) and inspect.signature(thing).return_annotation is not None:
        assert "Returns" in has or "Yields" in has, f"{name} does not say what it returns"
    assert ">>> " in has.get("Examples", ""), f"{name} has no example"


@pytest.mark.parametrize("name", PUBLIC)
def test_its_example_runs(name, tmp_path, monkeypatch):
    thing = PUBLIC[name]
    monkeypatch.chdir(tmp_path)
    known = {"ftlib": ftlib, "strategies": strategies, "torch": torch, "np": np, "pd": pd, "folder": Path(tmp_path)}
    known |= vars(import_module(thing.__module__)) | {"model": toy.net(), "train": toy.data(16)}
    used = thing.__doc__ or ""
    for names, make in MADE.items():
        if any(re.search(rf"\b{word}\b", used) for word in names):
            known |= dict(zip(names, make(), strict=True))
    for example in EXAMPLES.find(thing, name, globs=known):
        torch.manual_seed(0)
        report = []
        found = doctest.DocTestRunner(optionflags=RUNNER).run(example, out=report.append)
        assert found.attempted and not found.failed, "".join(report)


MADE = {
    ("picture_model", "pictures"): lambda: (toy.eye(), toy.pictures(16)),
    ("text_model", "texts"): lambda: (toy.encoder(), toy.sentences(16)),
    ("runs",): lambda: (ftlib.load_runs("01_full"),),
}


def test_the_rules_are_not_empty():
    """A bad docstring would be found."""

    def bad(x, y) -> int:
        """Without a full stop

        Parameters
        ----------
        x : int
            One of two.
        """

    has = sections(bad.__doc__)
    assert documented(has["Parameters"]) == {"x"} and parameters(bad) == {"x", "y"} and "Examples" not in has
