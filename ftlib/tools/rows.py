"""Rows: the training data of an export. A row is a chat, [(role, text), ...] that ends with an answer, or a plain text.

Each tool reads a file of another form. Every export writes all keys in every row, since a key that some rows lack is
read as None by the library datasets. A chat without a system text gets the default one of the model's own template in
words. The tools' own defaults differ from it by a full stop, which is one more token in training than in use.
"""

import json
import re

from ftlib.io.refusals import nearest
from ftlib.tasks import Task
from ftlib.tools.base import Base

ROLES = ("system", "user", "assistant")
LABEL = "Which label fits this text: {labels}? Answer with the label only.\n\n{text}"
KINDS = ("chat", "text")


def rows_of(task: Task, kind: str = "chat", split: str = "train") -> list:
    """Give the rows of one split of a task.

    Parameters
    ----------
    task : Task
        A language model's task, or one of texts with classes. Of a table, the question names the classes and the answer
        is the label.
    kind : {"chat", "text"}, default "chat"
        "text" gives the texts alone, for domain pre-training.
    split : str, default "train"
        The test split is refused.

    Returns
    -------
    list
        Chats, [(role, text), ...], or texts.

    Raises
    ------
    ValueError
        If the task has nothing that a language model reads.

    Examples
    --------
    >>> from ftlib import tasks
    >>> from ftlib.tools import rows_of
    >>> chats = ftlib.load_task("chats", path=tasks.example("chats"))
    >>> [role for role, text in rows_of(chats)[0]]
    ['user', 'assistant']
    """
    if kind not in KINDS:
        raise ValueError(f"rows are of the kind chat or text, not {kind!r}{nearest(kind, KINDS)}")
    if split == "test":
        raise ValueError("the test split is no training data: export train or validation")
    if task.kind == "image":
        raise ValueError(f"{task.name} has images, and the five tools train language models: take a task of texts")
    part = task.splits[split]
    if kind == "text":
        if task.kind == "lm" and "text" not in part.columns:
            raise ValueError(f"{task.name} has chats and no plain texts: export it as chat")
        return list(part.columns.get("text", part.inputs))
    if task.kind == "lm":
        asked = part.columns.get("turns") or [[("user", prompt)] for prompt in part.inputs]
        return [[*map(tuple, turns), ("assistant", answer)] for turns, answer in zip(asked, part.columns["answer"])]
    if not task.labels or part.labels.ndim > 1:
        raise ValueError(f"{task.name} has numbers and no classes for labels: export it as text")
    labels = ", ".join(task.labels)
    return [
        [("user", LABEL.format(labels=labels, text=text)), ("assistant", task.labels[int(label)])]
        for text, label in zip(part.inputs, part.labels)
    ]


def checked(rows: dict[str, list], base: Base) -> tuple[dict[str, list], str]:
    """({file name: rows}, kind), each chat with its system text. ValueError for rows that no tool reads."""
    kinds, files, taken = set(), {}, {"dataset_info"}  # LLaMA-Factory has a file of this name
    for name, some in rows.items():
        if not some:
            raise ValueError(f"{name!r} has no rows: give at least one")
        kinds |= {"text" if isinstance(row, str) else "chat" for row in some}
        stem = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "data"
        file = next(f for f in (stem, *(f"{stem}_{k}" for k in range(2, len(rows) + 3))) if f.lower() not in taken)
        taken.add(file.lower())  # some disks take A and a for one file
        files[file] = [_row(row, f"row {number} of {name!r}", base) for number, row in enumerate(some, 1)]
    if len(kinds) != 1:
        raise ValueError("an export takes chats or plain texts, but these rows hold both: export them apart")
    return files, kinds.pop()


def _row(row, at: str, base: Base):
    marks = base.markup.marks if base.markup else []
    if isinstance(row, str):
        if not row.strip():
            raise ValueError(f"{at} is empty: leave it out")
        turns = [("text", row)]
    else:
        turns = row = [tuple(turn) for turn in row]
        if turns and turns[0][0] != "system" and base.markup and base.markup.default_system:
            turns = row = [("system", base.markup.default_system), *turns]
        roles = [role for role, _ in turns]
        talk = roles[1:] if roles[:1] == ["system"] else roles
        if not talk or len(talk) % 2 or talk != ["user", "assistant"] * (len(talk) // 2):
            raise ValueError(f"{at} has the turns {', '.join(roles) or 'of nobody'}: user and assistant take turns")
        if not all(isinstance(text, str) and text.strip() for _, text in turns):
            raise ValueError(f"{at} holds an empty message: leave the row out")
    for _, text in turns:
        if found := next((mark for mark in marks if mark in text), None):
            raise ValueError(f"{at} holds {found!r}, which is markup of {base.name} and would end a turn: take it out")
    return row


# ---- texts of files


def lines(records: list[dict], ascii_only: bool = False) -> str:
    """JSON lines. ascii_only: for a tool that opens its file in the computer's own encoding."""
    return "".join(json.dumps(one, ensure_ascii=ascii_only) + "\n" for one in records)


def listed(records: list[dict]) -> str:
    """A JSON list."""
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n"


def messages(row: list[tuple[str, str]]) -> list[dict]:
    """A chat as messages."""
    return [{"role": role, "content": text} for role, text in row]


def from_messages(record: dict):
    """The row of a record with messages or a text."""
    if "text" in record:
        return record["text"]
    return [(one["role"], one["content"]) for one in record["messages"]]
