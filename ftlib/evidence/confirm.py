"""A confirmation: a claim decided on fresh seeds, by a rule that was committed before the first of its runs.

The runs that a claim was first judged by are its *pilot*. They showed how large the effect may be and how much it
varies, so a confirmation can be planned: which contrast, which margin, how many seeds. Its file is
lessons/<lesson>/confirm/<id>.json. Each of its rows is looked at after 8, 16, 32, ... seeds (`looks`), and the first
look that decides is the answer of that row:

    yes · the opposite · no difference · open

A claim has one word: supported (all rows yes), contradicted (all the opposite), no difference (all), it depends (all
decided, but not alike), or open (some row is).

`seeds_wanted` says how many seeds of a comparison are needed, so that `make record` stops where nothing is left to be
decided.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from ftlib.evidence import grid_files
from ftlib.evidence.confirm_files import Confirmation, Row, read_confirmation
from ftlib.evidence.contrasts import NEAR
from ftlib.evidence.looks import Look, first_decided, spread_interval, t_interval
from ftlib.evidence.runs import frame, load_records
from ftlib.io import places

BOTH = "validation+test."  # before a metric: the mean of the two splits, "elpv@type:validation+test." of another task


@dataclass
class Answer:
    """What the fresh seeds say of one row. `look` is None as long as the first look is not complete."""

    row: Row
    look: Look | None
    seeds_there: int

    @property
    def word(self) -> str:
        """ "yes", "the opposite", "no difference" or "open"."""
        if self.look is None or self.look.word == "open":
            return "open"
        if self.row.expects == "same":
            return "yes" if self.look.small else "the opposite"
        if self.look.word == "no difference":
            return "no difference"
        return "yes" if self.look.word == self.row.expects else "the opposite"


@dataclass
class Confirmed:
    """A confirmation with its answers."""

    written: Confirmation
    answers: list[Answer]

    @property
    def word(self) -> str:
        """The word of the whole claim."""
        words = {answer.word for answer in self.answers}
        if "open" in words:
            return "open"
        if len(words) > 1:
            return "it depends"
        return {"yes": "supported", "the opposite": "contradicted"}.get(*words, "no difference")


def confirmation(name: str) -> Confirmation | None:
    """What a confirmation's file says; None for a claim that has none yet."""
    file = places.confirmations().get(name)
    return read_confirmation(file) if file else None


def confirm(name: str) -> Confirmed:
    """Answer a claim from the fresh seeds that are recorded so far."""
    written = confirmation(name)
    if written is None:
        known = ", ".join(sorted(places.confirmations()))
        raise KeyError(f"there is no confirmation of {name!r}: there are {known}")
    runs = {grid: _runs_of(grid) for grid in {row.grid for row in written.rows}}
    return Confirmed(written, [answer(row, runs[row.grid]) for row in written.rows])


def answer(row: Row, runs: pd.DataFrame, looks: tuple[int, ...] | None = None) -> Answer:
    """Look at one row, with the looks of its grid."""
    values = per_seed(row, runs)
    looks = looks or looks_of(row.grid)
    interval = spread_interval if row.effect == "spread" else t_interval
    return Answer(row, first_decided(values.to_numpy(), row.margin, looks, interval), len(values))


def per_seed(row: Row, runs: pd.DataFrame) -> pd.DataFrame | pd.Series:
    """The effect of each seed that has all the runs of this row, in the order of the seeds."""
    if runs.empty:
        return pd.Series(dtype=float)
    tasks = [row.task] if isinstance(row.task, str) else row.task
    runs = runs[runs.task.isin(tasks) & runs.arm.isin([row.arm, row.baseline]) & (runs.purpose == "measure")]
    for option, wanted in row.options.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        runs = runs[runs[option].isin(values)] if option in runs else runs[:0]
    if runs.empty:
        return pd.Series(dtype=float)
    runs = runs.assign(value=_values(row, runs)).sort_values("seed")
    return EFFECTS[row.effect](row, runs)


def _values(row: Row, runs: pd.DataFrame) -> pd.Series:
    if row.effect == "cost":  # read from the curves
        return pd.Series(np.nan, runs.index)
    task, both, name = row.metric.rpartition(BOTH)
    if both and (not task or task.endswith(":")):
        return (runs[f"{task}validation.{name}"] + runs[f"{task}test.{name}"]) / 2
    return runs[row.metric]


def _pairs(row: Row, runs: pd.DataFrame, *more: str) -> pd.DataFrame:
    """One row per seed, and per further column; the two methods as columns, complete ones only."""
    wide = runs.pivot(index=["seed", *more] if more else "seed", columns="arm", values="value")
    return wide.reindex(columns=[row.arm, row.baseline]).dropna()


def _difference(row: Row, runs: pd.DataFrame) -> pd.Series:
    """arm − baseline; of several tasks the mean, for the seeds that have all of them."""
    pairs = _pairs(row, runs, "task")
    wide = (pairs[row.arm] - pairs[row.baseline]).unstack("task")
    tasks = [row.task] if isinstance(row.task, str) else row.task
    return wide.reindex(columns=tasks).dropna().mean(axis=1)


def _log_ratio(row: Row, runs: pd.DataFrame) -> pd.Series:
    """log2 of arm / baseline: -1 is half, +1 is twice."""
    pairs = _pairs(row, runs)
    return np.log2(pairs[row.arm] / pairs[row.baseline])


def _slope(row: Row, runs: pd.DataFrame) -> pd.Series:
    """By how much arm − baseline grows per doubling of n, or per step of a corruption's strength ("elpv+noise3")."""
    if isinstance(row.task, list):
        runs = runs.assign(at=runs.task.map(_strength))
    else:
        runs = runs.assign(at=np.log2(runs.n.astype(float)))
    pairs = _pairs(row, runs, "at")
    wide = (pairs[row.arm] - pairs[row.baseline]).unstack("at")
    wide = wide.dropna() if wide.shape[1] >= _points(row) else wide[:0]
    if wide.empty:
        return pd.Series(dtype=float)
    return pd.Series(np.polyfit(wide.columns.to_numpy(float), wide.to_numpy().T, 1)[0], wide.index)


def _strength(task: str) -> float:
    """3 for "elpv+noise3", 0 for a task that is not corrupted."""
    _, plus, corruption = task.partition("+")
    return float(corruption[-1]) if plus else 0.0


def _points(row: Row) -> int:
    """How many points the line of each seed needs."""
    return len(row.task) if isinstance(row.task, list) else len(row.options["n"])


def _cost(row: Row, runs: pd.DataFrame) -> pd.Series:
    """log2 of the ratio of training seconds until both are as good: 95 % of the lower of their two best scores."""
    name, ratios = row.metric.removeprefix("validation."), {}
    for seed, pair in runs.groupby("seed"):
        curves = pair.set_index("arm").curve
        if {row.arm, row.baseline} <= set(curves.index):
            target = NEAR * min(max(at[name] for at in curve) for curve in curves)
            seconds = curves.map(lambda curve, t=target: next(at["seconds"] for at in curve if at[name] >= t))
            ratios[seed] = np.log2(seconds[row.arm] / seconds[row.baseline])
    return pd.Series(ratios, dtype=float)


EFFECTS = {"difference": _difference, "log_ratio": _log_ratio, "slope": _slope, "cost": _cost, "spread": _pairs}


def seeds_wanted(
    grid: str, task: str, options: dict, looks: list[int], runs: pd.DataFrame, arm: str | None = None
) -> int:
    """How many seeds of a comparison are needed: those of the first look at which each of its rows is decided.

    Parameters
    ----------
    grid : str
        Name of the grid.
    task : str
        Task of the comparison.
    options : dict
        Its task's options.
    looks : list of int
        Its looks.
    runs : DataFrame
        What is recorded of the grid so far.
    arm : str, optional
        Only for the rows that compare this arm. By default for all rows, and so for every arm.

    Returns
    -------
    int
        One of `looks`.
    """
    open_rows = [row for row in _rows_of(grid) if _concerns(row, task, options)]
    open_rows = [row for row in open_rows if arm is None or arm in (row.arm, row.baseline)]
    for look in looks:
        if not open_rows:
            return look
        answers = [answer(row, runs, tuple(n for n in looks if n <= look)) for row in open_rows]
        if any(found.look is None or (found.look.seeds < look and found.word == "open") for found in answers):
            return look  # its runs are not all there
        if all(found.word != "open" for found in answers):
            return look
    return looks[-1]


def _concerns(row: Row, task: str, options: dict) -> bool:
    tasks = [row.task] if isinstance(row.task, str) else row.task
    fits = all(options.get(k) in (v if isinstance(v, list) else [v]) for k, v in row.options.items())
    return task in tasks and fits


@cache
def _rows_of(grid: str) -> tuple[Row, ...]:
    """The rows of all confirmations that a grid's runs decide."""
    every = (read_confirmation(file) for file in places.confirmations().values())
    return tuple(row for written in every for row in written.rows if row.grid == grid)


@cache
def looks_of(grid: str) -> tuple[int, ...]:
    """The looks that a grid's file says; ValueError where it has none."""
    looks = tuple(grid_files.read(places.grids()[grid])[0].looks)
    if not looks:
        raise ValueError(f"the grid {grid} has no looks, so no confirmation can be decided by it: add them to its file")
    return looks


def _runs_of(grid: str) -> pd.DataFrame:
    """What is recorded of a grid, with the curves; an empty table where nothing is."""
    file = places.results() / f"{grid}.jsonl"
    records = load_records(file) if file.exists() else []
    return with_curves(records)


def with_curves(records: list[dict]) -> pd.DataFrame:
    """`frame`, and each run's curve."""
    runs = frame(records)
    if len(runs):
        runs["curve"] = [record["curve"] for record in records]
    return runs
