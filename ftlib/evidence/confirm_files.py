"""What a confirmation's file may hold: lessons/<lesson>/confirm/<id>.json. `confirm` says what follows from it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ftlib.io import typed
from ftlib.io.typed import Positive, Text, entry

ADVICE = "correct it there, or take the file back from git"
Word = Literal["supported", "contradicted", "no difference", "it depends", "open"]
Effect = Literal["difference", "log_ratio", "slope", "cost", "spread"]
Unit = Literal["points", "nats", "times", "points per doubling", "points per step of strength"]


@entry
class Row:
    """One comparison: a task, two methods, and the effect of the first against the second."""

    label: Text  # what a learner calls it: "reviews"
    grid: Text
    task: Text | list[Text]  # several: the mean of a difference, or a slope over corruptions
    options: dict[Text, Any] = Field(default_factory=dict)  # the runs' own, such as {"n": 100}
    effect: Effect
    arm: Text
    baseline: Text
    metric: Text  # a column of load_runs; "validation+test.accuracy" is the mean of both splits, of another task too
    margin: Positive  # the smallest effect that matters, in the unit of the effect
    expects: Literal["higher", "lower", "same"]  # what the sentence says of arm against baseline
    unit: Unit


@entry
class Confirmation:
    """A sentence, its rule in words, its rows, and what to do about each answer that it may get."""

    id: Text
    lesson: Text
    sentence: Text
    rule: Text
    rows: Annotated[list[Row], Field(min_length=1)]
    act: dict[Word, Text]  # what to do, by the answer
    prior: Text | None = None  # what the literature led us to expect, for a claim without a pilot

    def __post_init__(self):
        labels = [row.label for row in self.rows]
        if len(set(labels)) < len(labels):
            raise ValueError(f"two rows of a confirmation have the same label, but each needs its own: {labels}")


def read_confirmation(file: Path) -> Confirmation:
    """The confirmation of a file. ValueError, one sentence, where it is not as said here."""
    written = typed.check(Confirmation, typed.parse(typed.read_text(file), str(file), ADVICE), str(file))
    if written.id != file.stem:
        raise ValueError(f"{file}: its id is {written.id!r}, but it must be the name of the file, {file.stem!r}")
    return written
