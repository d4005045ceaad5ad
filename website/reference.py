"""The pages of the library's reference: one for each group of public names, filled by Sphinx from the docstrings."""

import inspect
from importlib import import_module

import ftlib
from ftlib import strategies

MODULES = {  # as users call them: what they are for
    "tasks": "Data with honest splits",
    "models": "Pretrained networks, cut into stages and a head",
    "metrics": "Scores from arrays",
    "plots": "Figures, with their words",
    "compare": "Paired differences",
    "teach": "Questions, checks and claims",
    "widgets": "Panels for notebooks",
    "tools": "An experiment in the dialects of other tools",
    "adapters": "LoRA and IA3 as folders of peft",
    "machine": "What this computer can do",
}
INTRODUCTION = """# The library

Public names of `ftlib`, from their docstrings. Strategies are in `ftlib.strategies`.

```{toctree}
:maxdepth: 1

%s
```
"""


def pages() -> dict[str, str]:
    """{file: text} of the whole reference."""
    found = {"ftlib": page("ftlib", "What you call first", [(name, getattr(ftlib, name)) for name in ftlib._PUBLIC])}
    classes = [(cls, strategies.get(cls)) for cls in strategies.CATALOG]
    found["strategies"] = page("ftlib.strategies", "All strategies", classes)
    for name, title in MODULES.items():
        found[name] = page(f"ftlib.{name}", title, public(name))
    return {"index.md": INTRODUCTION % "\n".join(found)} | {f"{name}.rst": text for name, text in found.items()}


def public(name: str) -> list[tuple[str, object]]:
    """The public functions and classes of a module, by their names."""
    module = import_module(getattr(ftlib, name).__name__)
    own = [n for n, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", sorted(n for n in own if not n.startswith("_")))
    things = [(one, getattr(module, one)) for one in names]
    return [(one, thing) for one, thing in things if inspect.isfunction(thing) or inspect.isclass(thing)]


def page(module: str, title: str, things: list[tuple[str, object]]) -> str:
    """One page in reStructuredText. Each name has a heading, so that the page has a table of contents."""
    head = f"{module}: {title}"
    lines = [head, "=" * len(head), ""]
    for name, thing in things:
        kind = "autoclass" if inspect.isclass(thing) else "autofunction"
        lines += [name, "-" * len(name), "", f".. {kind}:: {module}.{name}", "   :members:" * (kind == "autoclass"), ""]
    return "\n".join(lines)
