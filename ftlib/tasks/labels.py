"""Several columns of labels in an own table: the first is the main task, and the others are its questions."""

import math

import torch
from torch import Tensor

from ftlib.tasks import own
from ftlib.tasks.questions import PERMUTED, RESERVED
from ftlib.tasks.report import Row


def label_columns(label, numbers) -> tuple[str | int, list[str | int]]:
    """The column of the main task, and those of its questions. ValueError where they cannot be these."""
    main, *others = label if isinstance(label, list | tuple) and label else [label]
    if any([main, *others].count(column) > 1 for column in others):
        raise ValueError(f"label must list different columns, but it is {label!r}: name each once")
    for column in others:
        if column in RESERVED or (isinstance(column, str) and column.endswith(PERMUTED)):
            raise ValueError(f"a batch has another {column!r}, so no question may be called so: rename the column")
    if numbers is not None and (not isinstance(numbers, list | tuple) or any(one not in others for one in numbers)):
        raise ValueError(f"numbers must list columns of label behind its first one, {others}, but it is {numbers!r}")
    return main, others


def fill_answers(row: Row, values: dict[str | int, str], numbers: list | None) -> tuple[str, str] | None:
    """Put the labels of the questions into the row; the kind of problem and the problem, if there is one."""
    for column, written in values.items():
        value = own.plain(written)
        if not value:
            return f"missing {column}", f"missing label in column {column!r}"
        if column in (numbers or []):
            try:
                value = float(value)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                return "label that is no number", f"column {column!r} holds {written!r}, not a number"
        row.answers[str(column)] = value
    return None


def questions_of_rows(rows: list[Row], columns: list[str | int], numbers: list | None) -> dict[str, list[str]]:
    """{question: its classes}; a number has none. ValueError where a column cannot be learned."""
    return {
        str(column): [] if column in (numbers or []) else own.classes_of(rows, None, f"column {column!r}", str(column))
        for column in columns
    }


def answer_columns(rows: list[Row], questions: dict[str, list[str]]) -> dict[str, Tensor]:
    """The labels of each question as a column, class numbers or numbers."""
    columns = {}
    for which, classes in questions.items():
        found = [classes.index(row.answers[which]) if classes else row.answers[which] for row in rows]
        columns[which] = torch.tensor(found, dtype=torch.int64 if classes else torch.float32)
    return columns
