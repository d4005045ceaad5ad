"""The format of lessons/<lesson>/questions.<language>.json. The module `questions` explains the fields."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ftlib.io import typed
from ftlib.io.typed import Flag, Text, entry

ADVICE = "correct it there, or take the file back from git"


@entry
class Option:
    """One option of a question."""

    key: Text
    text: Text
    why: Text
    right: Flag | None = None


@entry
class Question:
    """A question with its options. Exactly one option of a quiz is right."""

    id: Text
    kind: Literal["predict", "quiz"]
    text: Text
    options: Annotated[list[Option], Field(min_length=1)]

    def __post_init__(self):
        keys, right = [option.key for option in self.options], [option.right for option in self.options]
        if len(set(keys)) < len(keys):
            raise ValueError(f"each option needs a key of its own, but they are {', '.join(keys)}")
        if self.kind == "quiz" and (None in right or sum(right) != 1):
            raise ValueError("every option of a quiz says whether it is right, and exactly one is")
        if self.kind == "predict" and set(right) != {None}:
            raise ValueError("no option of a prediction says whether it is right: that is decided by what happens")


def read_questions(file: Path) -> list[dict]:
    """Read the questions of one file. Raises ValueError for an unknown key or value."""
    written = typed.parse(typed.read_text(file), str(file), ADVICE)
    names = [one.id for one in typed.check(list[Question], written, str(file))]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{file}: the id {twice[0]!r} stands twice, but a question is found by its id")
    return written
