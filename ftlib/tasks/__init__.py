"""Tasks: real data with a question, honest splits and a metric. One file a data set.

`load("elpv/mono", seed=3, n=200)` always gives the same 200 training cells.
"""

import inspect
from dataclasses import replace

import torch

from ftlib.io.refusals import nearest, whole_number
from ftlib.tasks import digits, elpv, fashion, instructions, sentiment
from ftlib.tasks.checks import SEEDS, flag
from ftlib.tasks.corruptions import corrupt, known
from ftlib.tasks.splits import subsample, subset_by_class_counts
from ftlib.tasks.task import IGNORED, SPLITS, Split, Task

CATALOG = {  # family -> its module, which has DOMAINS and load(domain, seed, n, **options)
    "elpv": elpv,
    "sentiment": sentiment,
    "digits": digits,
    "instructions": instructions,
    "fashion": fashion,
}
OPTIONS = ("seed", "n", "held_out", "shuffled", "max_length")  # of every family
__all__ = ["CATALOG", "IGNORED", "SPLITS", "Split", "Task", "load", "names"]


def names() -> list[str]:
    """List every name that `load` knows.

    Returns
    -------
    list of str
        Each family, then its domains.

    Examples
    --------
    >>> names()[:4]
    ['elpv', 'elpv/mono', 'elpv/poly', 'sentiment']
    """
    return [name for f, module in CATALOG.items() for name in (f, *(f"{f}/{d}" for d in module.DOMAINS))]


def load(
    name: str,
    *,
    seed: int = 0,
    n: int | list[int] | None = None,
    held_out: int | None = None,
    shuffled: bool = False,
    max_length: int | None = None,
    **options,
) -> Task:
    """Load a task by name: its examples in three splits, its classes and its metric.

    Parameters
    ----------
    name : str
        A family with all its domains ("elpv") or one domain of it ("elpv/mono"). A suffix corrupts the images of all
        splits: "elpv+noise3" has noise of strength 3, see `ftlib.tasks.corruptions`.
    seed : int, default 0
        Fixes the splits and the subset.
    n : int or list of int, optional
        Number of training examples, with the classes in their shares. A list sets the number for each class, as a label
        shift of known size. By default all.
    held_out : int, optional
        Keep at most this many examples of validation and of test, where a large model makes every example dear. By
        default all.
    shuffled : bool, default False
        Put the training labels in random order. Nothing in the data helps to fit them, so this tests what a model can
        memorise [1]_.
    max_length : int, optional
        Tokens per text. What is longer loses its end. By default 96.
    **options
        Options of the family, see `load` in its file. Images have `size`.

    Returns
    -------
    Task
        The same examples each time for the same arguments.

    Raises
    ------
    ValueError
        If a name, an option or a number cannot be.
    ftlib.assets.AssetError
        If the data has not been fetched.

    References
    ----------
    .. [1] Zhang et al., "Understanding deep learning requires rethinking generalization", ICLR 2017, arXiv:1611.03530.

    Examples
    --------
    >>> task = ftlib.load_task("digits/mnist", seed=0, n=100)
    >>> {name: len(split) for name, split in task.splits.items()}
    {'train': 100, 'validation': 563, 'test': 1250}
    >>> task.metric, task.outputs
    ('accuracy', 10)
    """
    plain, plus, corruption = name.partition("+") if isinstance(name, str) else (name, "", "")
    if plain not in names():
        raise ValueError(f"there is no task {plain!r}: choose one of {', '.join(names())}{nearest(plain, names())}")
    family, _, domain = plain.partition("/")
    own = list(inspect.signature(CATALOG[family].load).parameters)[3:]  # after domain, seed, n
    for unknown in sorted(set(options) - set(own)):
        like = nearest(unknown, [*own, *OPTIONS])
        raise ValueError(f"{family} has no option {unknown}: its options are {', '.join(own) or 'none'}{like}")
    each = isinstance(n, list | tuple)  # so many of each class
    seed, shuffled = whole_number("seed", seed, 0, SEEDS), flag("shuffled", shuffled)
    if each:
        n = [whole_number(f"n[{k}]", count, 0) for k, count in enumerate(n)]
    elif n is not None:
        n = whole_number("n", n, 1, unit="training examples")
    if held_out is not None:
        held_out = whole_number("held_out", held_out, 1, unit="examples")
    if max_length is not None:
        max_length = whole_number("max_length", max_length, 1, unit="tokens")
    if plus:
        known(corruption)
    task = CATALOG[family].load(domain or None, seed=seed, n=None if each else n, **options)
    if each:
        task.splits["train"] = subset_by_class_counts(task.splits["train"], n, seed)
    if plus:
        if task.kind != "image":
            raise ValueError(f"{plain} has no pictures to corrupt: leave out the part from + on")
        for name_of, part in task.splits.items():
            task.splits[name_of] = replace(part, inputs=corrupt(part.inputs, part.index, corruption))
        task.name = name
    if held_out is not None:
        for name_of in ("validation", "test"):
            task.splits[name_of] = subsample(task.splits[name_of], held_out, seed)
        task.options["held_out"] = held_out
        task.say_lacking()
    if max_length is not None:
        if task.kind == "image":
            raise ValueError(f"{family} has pictures, which have no tokens to count: leave max_length out")
        task.max_length = task.options["max_length"] = max_length
    if shuffled:
        if task.kind == "lm":
            raise ValueError(f"{family} has answers instead of labels: shuffled=True needs a task with labels")
        train = task.splits["train"]
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        task.splits["train"] = replace(train, labels=train.labels[order])
        task.options["shuffled"] = True
    return task
