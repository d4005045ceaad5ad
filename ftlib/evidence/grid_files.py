"""What a grid's file may hold: lessons/<lesson>/grids/<name>.json.

It is a list of comparisons, each with arms, each with phases.

Read by `record`, which says what each of these means.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ftlib.evidence.spec import Format, Strategies
from ftlib.io import typed
from ftlib.io.typed import Count, Positive, Seed, Text, Whole, entry

ADVICE = "correct it there, or take the file back from git"


@entry
class Step:
    """One phase of an arm: as `runs.Phase`, but its rate may still be unknown."""

    strategy: Strategies
    steps: Whole
    lr: Positive | Text | None  # None: the rate under search; a name: the rate that was chosen for that arm
    data: dict[Text, Text] = Field(default_factory=lambda: {"train": "train"})
    batch_size: Count = 32
    fit: dict[Text, Any] = Field(default_factory=dict)


@entry
class Arm:
    """What is compared: its phases, and the rates that are searched, or the name of the arm whose rate it takes."""

    rates: Annotated[list[Positive], Field(min_length=1)] | Text
    phases: list[Step]

    def __post_init__(self):
        _refuse_twice("rates", self.rates if self.searches else [])

    @property
    def searches(self) -> bool:
        """Whether it has rates of its own, one or several."""
        return isinstance(self.rates, list)

    @property
    def named(self) -> list[str]:
        """The arms whose rates it takes."""
        return [rate for rate in [self.rates, *(phase.lr for phase in self.phases)] if isinstance(rate, str)]


@entry
class Comparison:
    """One task, one model, arms that get the same steps."""

    task: Text
    model: Text
    metric: Text  # what rates are chosen by
    seeds: Annotated[list[Seed], Field(min_length=1)]
    tuning_seeds: list[Seed]
    options: dict[Text, Any]
    every: Whole
    arms: Annotated[dict[Text, Arm], Field(min_length=1)]
    also_evaluate_on: list[Text] = Field(default_factory=list)
    watch: list[Text] = Field(default_factory=list)  # splits of other tasks that each validation scores too
    precision: Format = "float32"
    jobs: Count | None = None  # at most so many processes, where seconds are measured
    looks: list[Count] = Field(default_factory=list)  # after so many seeds a confirmation may be decided: then it stops

    def __post_init__(self):
        _refuse_twice("seeds", self.seeds)
        _refuse_twice("tuning_seeds", self.tuning_seeds)
        if self.looks and (self.looks != sorted(set(self.looks)) or self.looks[-1] != len(self.seeds)):
            raise ValueError(
                f"looks must grow and end with the number of seeds, {len(self.seeds)}, but they are {self.looks}"
            )
        if set(self.seeds) & set(self.tuning_seeds):
            raise ValueError("seeds and tuning_seeds must not overlap")
        sizes = {len(arm.rates) for arm in self.arms.values() if arm.searches}
        if len(sizes) > 1:
            raise ValueError(f"every arm must search the same number of rates, but they search {sorted(sizes)}")
        if max(sizes, default=1) > 1 and not self.tuning_seeds:
            raise ValueError("rates are searched, but tuning_seeds is empty: name the seeds to search them on")
        for name, arm in self.arms.items():
            self._refuse_unknown_rates(name, arm)

    def _refuse_unknown_rates(self, name: str, arm: Arm) -> None:
        """An arm may name the rates of arms that search one: of those above it, or, where it searches none, of any."""
        order = list(self.arms)
        searching = [other for other in order if self.arms[other].searches]
        known = [o for o in searching if order.index(o) < order.index(name)] if arm.searches else searching
        for rate in arm.named:
            if rate not in known:
                raise ValueError(
                    f"{name} takes the rate of {rate!r}, which must be one of {', '.join(known) or 'no arm'}"
                )


def read(file: Path) -> list[Comparison]:
    """The comparisons of a grid's file. ValueError, one sentence, where it is not as said here."""
    written = typed.parse(typed.read_text(file), str(file), ADVICE)
    return typed.check(list[Comparison], written, str(file))


def _refuse_twice(name: str, values: list) -> None:
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise ValueError(f"{name} holds {twice} twice: each is run once")
