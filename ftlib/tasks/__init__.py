"""Tasks: real data with a question, honest splits and a metric. One file a data set.

`load("elpv/mono", seed=3, n=200)` always gives the same 200 training cells.
"""

import inspect
from dataclasses import replace

import torch

from ftlib.tasks import digits, elpv, fashion, instructions, sentiment
from ftlib.tasks.corruptions import corrupt
from ftlib.tasks.splits import counted, some_of
from ftlib.tasks.task import IGNORED, SPLITS, Split, Task

CATALOG = {  # family -> its module, which has DOMAINS and load(domain, seed, n, **options)
    "elpv": elpv,
    "sentiment": sentiment,
    "digits": digits,
    "instructions": instructions,
    "fashion": fashion,
}
__all__ = ["CATALOG", "IGNORED", "SPLITS", "Split", "Task", "load", "names"]


def names() -> list[str]:
    """Every name that `load` knows."""
    return [name for f, module in CATALOG.items() for name in (f, *(f"{f}/{d}" for d in module.DOMAINS))]


def load(
    name: str,
    *,
    seed: int = 0,
    n: int | list[int] | None = None,
    held_out: int | None = None,
    shuffled: bool = False,
    **options,
) -> Task:
    """A task by name: a family ("elpv", with all its domains) or one domain of it ("elpv/mono").

    seed: fixes the splits and the subset. n: training examples, with the classes in their shares; a list, one number a
    class, sets the shares instead, as a label shift of known size. held_out: so many of validation and of test at most,
    drawn in the same way, where a large model makes every example dear; by default both stay whole. shuffled: the
    training labels in random order, which nothing in the data can help to fit (Zhang et al., ICLR 2017, 1611.03530: a
    test of what a model *can* fit). options: see `load` in the family's file. "elpv+noise3" is a task whose pictures
    are corrupted, see `corruptions`. Raises a ValueError on a name, option or n that does not exist, and an
    assets.AssetError where the data has not been fetched.
    """
    plain, plus, corruption = name.partition("+")
    if plain not in names():
        raise ValueError(f"there is no task {plain!r}: choose one of {', '.join(names())}")
    family, _, domain = plain.partition("/")
    known = list(inspect.signature(CATALOG[family].load).parameters)[3:]  # after domain, seed, n
    if unknown := sorted(set(options) - set(known)):
        can = ", ".join(known) or "none"
        raise ValueError(f"{family} has no option {', '.join(unknown)}: its options are {can}")
    each = isinstance(n, list)  # so many of each class
    task = CATALOG[family].load(domain or None, seed=seed, n=None if each else n, **options)
    if each:
        task.splits["train"] = counted(task.splits["train"], n, seed)
    if plus:
        if task.kind != "image":
            raise ValueError(f"{plain} has no pictures to corrupt: leave out the part from + on")
        for name_of, part in task.splits.items():
            task.splits[name_of] = replace(part, inputs=corrupt(part.inputs, part.index, corruption))
        task.name = name
    if held_out is not None:
        if held_out < 1:
            raise ValueError(f"held_out={held_out} examples were asked for: choose 1 or more, or leave it out")
        for name_of in ("validation", "test"):
            task.splits[name_of] = some_of(task.splits[name_of], held_out, seed)
        task.options["held_out"] = held_out
    if shuffled:
        if task.kind == "lm":
            raise ValueError(f"{family} has answers instead of labels: shuffled=True needs a task with labels")
        train = task.splits["train"]
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        task.splits["train"] = replace(train, labels=train.labels[order])
        task.options["shuffled"] = True
    return task
