"""Questions: the examples of a task, asked for another column of their table.

    elpv@type                is the solar cell mono- or polycrystalline?
    elpv@probability         how probable is a defect, by the expert? A number.
    sentiment@rating         how positive is the sentence? A number.
    table:reviews.csv@topic  the second label column of the user's own table

`base@question` has the examples, the splits, the index and the groups of `base` with the same seed and n. Only the
labels differ. So one forward pass of a shared network can answer all questions of a batch: this is multi-task learning
(Caruana 1997). A batch of the base holds each question's labels under its name, batch["type"].

Two controls show whether a gain of multi-task learning comes from the second question. `controls=True` adds them:

    elpv@type~permuted       the labels of "type", permuted within the training split. Nothing can be learned from them
    elpv@again               the labels of the task itself, under a second name. Nothing new can be learned from them

Validation and test keep their labels in both.

Caruana 1997, "Multitask Learning", Machine Learning 28.
"""

from collections import Counter
from dataclasses import replace
from zlib import crc32

import numpy as np
import torch

from ftlib.io.refusals import nearest
from ftlib.tasks.portions import ANSWERS
from ftlib.tasks.task import Task

PERMUTED, AGAIN = "~permuted", "again"
DRAW = 2_000_000  # beside the seed, so that a permutation and a subset are drawn from different random numbers
# What a batch holds besides: a question of this name would replace it.
RESERVED = ("labels", "index", "pixels", "input_ids", "attention_mask", "x", "task", "answers", "n", "target", "cache")
RESERVED += ("frozen_features", "line", AGAIN)


def cut_question(name: str, label: str | list | None = None) -> tuple[str, str]:
    """Take the question out of a task's name.

    Parameters
    ----------
    name : str
        Name of a task.
    label : str or list, optional
        Of an own table, its option `label`. All columns but the first are questions. Nothing else is taken for one,
        since a path may hold an @.

    Returns
    -------
    base : str
        The name without the question.
    which : str
        The question, or "".

    Examples
    --------
    >>> cut_question("elpv@type"), cut_question("table:me@home.csv")
    (('elpv', 'type'), ('table:me@home.csv', ''))
    >>> cut_question("table:me@home.csv@topic", label=["stars", "topic"])
    ('table:me@home.csv', 'topic')
    """
    if not isinstance(name, str):
        return name, ""
    if ":" in name:  # own data, of which only a table has questions
        columns = [str(column) for column in label[1:]] if isinstance(label, list | tuple) else []
        known = [AGAIN, *(column + end for column in columns for end in ("", PERMUTED))]
        which = max((one for one in known if name.endswith(f"@{one}")), key=len, default="")
        found = name.startswith("table:") and which
        return (name.removesuffix(f"@{which}"), which) if found else (name, "")
    base, _, which = name.partition("@")
    return (base, which) if base and which else (name, "")


def without_control(name: str) -> str:
    """Find the task that has the same labels in validation and test.

    Parameters
    ----------
    name : str
        Name of a task, or of a control.

    Returns
    -------
    str
        The name itself, where it is no control.

    Examples
    --------
    >>> without_control("elpv@type~permuted"), without_control("elpv@again"), without_control("elpv@type")
    ('elpv@type', 'elpv', 'elpv@type')
    """
    return name.removesuffix(PERMUTED) if name.endswith(PERMUTED) else name.removesuffix(f"@{AGAIN}")


def is_control(which: str) -> bool:
    """Whether a question is there only with `controls=True`."""
    return which == AGAIN or which.endswith(PERMUTED)


def question(task: Task, which: str) -> Task:
    """Ask the examples of a task another question.

    Parameters
    ----------
    task : Task
        The base. It stays as it is.
    which : str
        One of `task.questions`, such as "type".

    Returns
    -------
    Task
        Named "elpv@type". It has the base's examples in the base's splits and counts its own reads. Its metric is
        accuracy. For own data it is the metric that was asked for, and for a number Pearson's correlation, which is
        higher the better and doesn't depend on the unit.

    Raises
    ------
    ValueError
        If the task cannot be asked this.

    References
    ----------
    Caruana (1997), Multitask Learning, Machine Learning 28.

    Examples
    --------
    >>> from ftlib.tasks import question
    >>> task = ftlib.load_task("sentiment/amazon", n=100)
    >>> task.questions
    {'rating': [], 'rater_sd': []}
    >>> rating = question(task, "rating")
    >>> rating.name, rating.metric, torch.equal(rating.splits["test"].index, task.splits["test"].index)
    ('sentiment/amazon@rating', 'pearson', True)
    """
    if task.question:
        raise ValueError(f"{task.name} is a question already: ask the task that it was made of")
    if which not in task.questions:
        raise ValueError(_unknown(task, which))
    if any(ANSWERS in part.columns for part in task.splits.values()):
        raise ValueError(
            f"{task.name} tells its own answers, which are none to {which!r}: leave out ' only' in the brackets"
        )
    labels = task.questions[which]
    splits = {
        name: replace(part, labels=part.columns[which], classes=len(labels) or 1) for name, part in task.splits.items()
    }
    metric = task.metric if which == AGAIN else task.options.get("metric", "accuracy") if labels else "pearson"
    return replace(
        task, name=f"{task.name}@{which}", head=f"{task.head}@{which}", question=which, questions={}, labels=labels,
        metric=metric, splits=splits, reads=Counter(),
    )  # fmt: skip


def _unknown(task: Task, which) -> str:
    """Why a task cannot be asked this, and what to do."""
    if not isinstance(which, str) or not which:
        return f"a question is called by the name of a column, such as 'elpv@type', but this one is {which!r}"
    if is_control(which) and (which == AGAIN or which.removesuffix(PERMUTED) in task.questions):
        return f"{task.name} has no controls: load it with controls=True to ask {which!r}"
    if end := next((end for end in ("[", "+") if end in which), ""):
        plain, _, rest = which.partition(end)
        return f"the question comes last in a name: write {task.name}{end}{rest}@{plain}"
    known = ", ".join(task.questions) or "none"
    return f"{task.name} has no question {which!r}: its questions are {known}{nearest(which, list(task.questions))}"


def add_controls(task: Task, seed: int) -> None:
    """Give a task two more kinds of columns: each question's labels permuted in train, and its own labels again."""
    if task.kind == "lm":
        raise ValueError(f"{task.name} has answers instead of labels: controls=True needs a task with labels")
    for name, part in task.splits.items():
        more = {AGAIN: part.labels}
        for which in task.questions:
            column = part.columns[which]
            if name == "train":
                rng = np.random.default_rng([seed, DRAW, crc32(which.encode())])  # another permutation per question
                column = column[torch.from_numpy(rng.permutation(len(part)))]
            more[which + PERMUTED] = column
        task.splits[name] = replace(part, columns={**part.columns, **more})
    permuted = {which + PERMUTED: labels for which, labels in task.questions.items()}
    task.questions = {**task.questions, **permuted, AGAIN: task.labels}
