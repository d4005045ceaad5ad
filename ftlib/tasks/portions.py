"""Portions of a task: what a model gets to see one after the other in incremental learning.

    digits/mnist[0,1]        only examples of the classes 0 and 1; the model chooses among all ten answers
    digits/mnist[0,1 only]   the same examples, and the model is told the two answers to choose from
    digits/mnist[2/5]        the second of five portions of the training examples, drawn at random

The first form makes *class-incremental* learning of a sequence, the second *task-incremental*, the third *data-
incremental*. Portions of classes cut all three splits. Random portions cut train alone: all of them are tested alike.
For *domain-incremental* learning there are tasks with domains, such as "sentiment/tweets" and "sentiment/nyt".

Only the second form tells which portion an example is of: a batch has "answers" (B, K), true where an answer is
allowed, and a model never gives another one. Batches of the other forms have no such entry, so nothing can read it.

van de Ven et al. 2022, "Three types of incremental learning", Nature Machine Intelligence 4.
"""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from ftlib.io.refusals import nearest
from ftlib.tasks.splits import SUBSET
from ftlib.tasks.task import Split, Task

ONLY = " only"  # behind the classes: the answers are restricted to them
ANSWERS = "answers"  # the column that says so


def cut_name(name: str) -> tuple[str, str]:
    """Take the portion out of a task's name.

    Parameters
    ----------
    name : str
        Name of a task.

    Returns
    -------
    whole : str
        The name without the portion.
    which : str
        What the brackets held, or "".

    Examples
    --------
    >>> cut_name("digits/mnist[0,1]+noise2")
    ('digits/mnist+noise2', '0,1')
    """
    match = re.fullmatch(r"([^\[\]]+)\[([^\[\]]+)\]([^\[\]]*)", name)
    return (match[1] + match[3], match[2]) if match else (name, "")


def portion(task: Task, which: str, seed: int = 0) -> Task:
    """Keep one portion of a task.

    Parameters
    ----------
    task : Task
        The whole. It stays as it is.
    which : str
        "0,1": classes by name; the model may give any answer. "0,1 only": the model is told these answers. "2/5": the
        second of five random portions of the training examples, with the classes in their shares.
    seed : int, default 0
        Fixes random portions. Portions of one seed don't overlap.

    Returns
    -------
    Task
        Its labels keep their numbers, so one model learns all portions of a task.

    Raises
    ------
    ValueError
        If there is no such class, or no such portion.

    References
    ----------
    van de Ven et al. (2022), Three Types of Incremental Learning, Nature Machine Intelligence 4.

    Examples
    --------
    >>> from ftlib.tasks import portion
    >>> task = ftlib.load_task("digits/optical", n=100)
    >>> portion(task, "3,5").splits["train"].labels.unique()
    tensor([3, 5])
    >>> told = portion(task, "3,5 only")
    >>> next(iter(told.loader("test")))["answers"][0].nonzero().flatten()
    tensor([3, 5])
    >>> [len(portion(task, f"{k}/3").splits["train"]) for k in (1, 2, 3)]
    [34, 33, 33]
    """
    if task.question:
        raise ValueError(f"{task.name} asks a question already: cut the portion first, as 'elpv[2/5]@type' does")
    if not isinstance(which, str) or not which.strip():
        raise ValueError(f"a portion is called '0,1', '0,1 only' or '2/5', but this one is {which!r}")
    if re.fullmatch(r"\d+/\d+", which):
        splits = {**task.splits, "train": _random(task.splits["train"], which, seed)}
    else:
        splits = _classes(task, which.removesuffix(ONLY), which.endswith(ONLY))
    return replace(
        task, name=f"{task.name}[{which}]", splits=splits, portion=which, encoded={}, reads=Counter(), cut={}
    )


def _random(train: Split, which: str, seed: int) -> Split:
    """Portion k of m: the rows of each class are shuffled, and dealt like cards to m players."""
    k, m = map(int, which.split("/"))
    if not 1 <= k <= m <= len(train):
        raise ValueError(
            f"portion {which} can't be: of {len(train)} training examples there are 1/{len(train)} to "
            f"{len(train)}/{len(train)}"
        )
    strata = np.zeros(len(train)) if train.labels.is_floating_point() else train.labels.numpy()
    shuffled = np.random.default_rng([seed, SUBSET]).permutation(len(train))
    dealt = shuffled[strata[shuffled].argsort(kind="stable")]  # class after class
    return train.take(np.sort(dealt[k - 1 :: m]))


def _classes(task: Task, names: str, told: bool) -> dict[str, Split]:
    """All three splits, cut to some classes."""
    chosen = [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in task.labels:
            known = ", ".join(task.labels) or "none, since it has no classes"
            raise ValueError(
                f"{task.name} has no class {name!r} to make a portion of: it has {known}{nearest(name, task.labels)}"
            )
    numbers = sorted({task.labels.index(name) for name in chosen})
    allowed = torch.zeros(len(task.labels), dtype=torch.bool)
    allowed[numbers] = True
    out = {}
    for split, part in task.splits.items():
        if part.labels.is_floating_point():
            raise ValueError(f"{task.name} has soft labels, so it can't be cut by class: use portions such as '1/5'")
        rows = np.flatnonzero(np.isin(part.labels.numpy(), numbers))
        if not len(rows):
            raise ValueError(f"{split} of {task.name} has no example of {names}: load more examples")
        part = part.take(rows)
        if told:
            part = replace(part, columns={**part.columns, ANSWERS: allowed.expand(len(rows), -1).clone()})
        out[split] = part
    return out
