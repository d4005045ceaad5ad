"""What a claim's file may hold: lessons/<lesson>/claims/<id>.json. `claims` says what each part of it means."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ftlib.io import typed
from ftlib.io.typed import Flag, NotNegative, Text, entry

OVER_TASKS = ("rank", "further", "regret", "over_tasks")  # rules that make one number of several tasks
ADVICE = "correct it there, or take the file back from git"
Direction = Literal["higher", "lower"]
Names = Annotated[list[Text], Field(min_length=1)]
Metric = Text | Annotated[dict[Text, Text], Field(min_length=1)]  # of all tasks, or {task: metric}


@entry
class Contrast:
    """arm − baseline; several baselines only where the rule takes the best of them."""

    arm: Text
    baseline: Text | Names


@entry
class Beside:
    """A further contrast: what it does not say is as in the claim itself."""

    grid: Text | Names | None = None
    filter: Text | None = None
    by: Text | None = None
    unit: Text | None = None
    contrast: Contrast | None = None
    metric: Metric | None = None
    margin: NotNegative | None = None
    allowed: NotNegative | None = None
    direction: Direction | None = None
    decides: Flag = False  # whether it is a part of the sentence


@entry
class Claimed:
    """A sentence, its rule in words, and what of it is computed."""

    id: Text
    lesson: Text
    sentence: Text
    rule: Text
    prior: Text
    grid: Text | Names
    filter: Text
    by: Text  # one of contrasts.RULES
    contrast: Contrast
    metric: Metric
    margin: NotNegative
    direction: Direction
    allowed: NotNegative = 0.0  # a loss that would not matter is judged as if it were 0
    unit: Text | None = None
    act: Text | None = None  # what to do about the verdict, in one sentence
    also: list[Beside] = Field(default_factory=list)

    def parts(self) -> list[tuple["Claimed", bool]]:
        """(what is compared, whether it decides), the claim itself first."""
        others = []
        for more in self.also:
            own = {name: value for name, value in vars(more).items() if value is not None and name != "decides"}
            others.append((replace(self, **own), more.decides))
        return [(self, True), *others]


def read_claim(file: Path, rules: dict) -> Claimed:
    """The claim of a file. ValueError, one sentence, if it is not as said here or names a rule that is not there."""
    written = typed.check(Claimed, typed.parse(typed.read_text(file), str(file), ADVICE), str(file))
    if written.id != file.stem:
        raise ValueError(f"{file}: its id is {written.id!r}, but it must be the name of the file, {file.stem!r}")
    for number, (part, _) in enumerate(written.parts()):
        where = f"{file}, also {number}" if number else str(file)
        if part.by not in rules:
            near = typed.nearest(part.by, rules)
            raise ValueError(f"{where}: there is no rule {part.by!r}, the nearest known one is {near!r}")
        if isinstance(part.contrast.baseline, list) != (part.by == "over_all"):
            raise ValueError(
                f"{where}: the rule over_all takes a list of baselines and every other rule one name, but by is "
                f"{part.by!r} and baseline is {part.contrast.baseline!r}"
            )
        if isinstance(part.metric, str) != (part.by in OVER_TASKS):
            raise ValueError(
                f"{where}: the rules {', '.join(OVER_TASKS)} take one name as metric and every other rule takes "
                f"{{task: name}}, but by is {part.by!r} and metric is {part.metric!r}"
            )
    return written
