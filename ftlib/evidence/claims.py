"""A claim: a sentence, the rule that was written before its results were seen, and what the recorded runs say of it.

A claim is data, lessons/<lesson>/claims/<id>.json. It names a recorded grid, a filter, and one primary contrast, arm −
baseline of a metric, with a margin. `by` names the rule in `contrasts.RULES` that makes of the runs an effect with an
interval. The verdict is compare's: supported, contradicted, equivalent or undecided. Over several tasks the claim has
the verdict that all of them share; where they differ it is undecided. To ask that all agree needs no correction for
their number (an intersection-union test); p, which is shown too, is corrected (Holm 1979). `also` holds further
contrasts. They are shown and decide nothing, unless one says "decides": true. It is then a part of the sentence, and
all parts must agree. With "allowed" the sentence is "not worse": supported if the interval lies above −allowed,
contradicted if below it.

The words that a notebook shows are in `classroom.verdicts`.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ftlib.evidence import grids
from ftlib.evidence.claim_files import Claimed, read_claim
from ftlib.evidence.compare import Paired, holm
from ftlib.evidence.contrasts import RULES, p_beyond
from ftlib.evidence.runs import frame, load_records
from ftlib.io import places


class NotRecorded(FileNotFoundError):
    """Raised for a claim if some of its runs are missing. The message says how to record them.

    Examples
    --------
    >>> ftlib.evidence.claims.recorded("00_missing", "Z9")
    Traceback (most recent call last):
        ...
    ftlib.evidence.claims.NotRecorded: claim Z9 needs the runs of the grid 00_missing, ...
    """


@dataclass
class Judged:
    """A claim with its result. `rows` holds one row per task and contrast, those that decide first."""

    written: Claimed
    rows: pd.DataFrame

    @property
    def verdict(self) -> str:
        """The verdict that all deciding rows share, or "undecided"."""
        words = set(self.rows.verdict[self.rows.decides])
        return words.pop() if len(words) == 1 else "undecided"


def judge(name: str) -> Judged:
    """Judge a claim from its recorded runs. Raises NotRecorded as long as the runs are not all there."""
    written = load_claim(name)
    runs = {str(part.grid): part.grid for part, _ in written.parts()}
    runs = {key: recorded(names, name) for key, names in runs.items()}
    rows = [_judge(part, runs[str(part.grid)], decides) for part, decides in written.parts()]
    return Judged(written, pd.concat(rows, ignore_index=True))


def claims(lesson: str) -> pd.DataFrame:
    """Judge all claims of a lesson.

    Parameters
    ----------
    lesson : str
        The lesson's folder, such as "02_freezing".

    Returns
    -------
    pandas.DataFrame
        The deciding rows of all claims, with the claims' ids as index. The column "p_lesson" is the p-value, corrected
        by Holm for all rows of the lesson.

    Raises
    ------
    NotRecorded
        If some runs of a claim are missing.

    References
    ----------
    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979.

    Examples
    --------
    >>> rows = ftlib.teach.claims("02_freezing").loc["Z1"]
    >>> dict(zip(rows.task, rows.verdict))
    {'elpv': 'supported', 'sentiment/amazon': 'supported'}
    """
    names = sorted(places.claims())
    rows = [judge(name).rows.assign(claim=name) for name in names if load_claim(name).lesson == lesson]
    out = pd.concat(rows).query("decides").set_index("claim").drop(columns="decides")
    return out.assign(p_lesson=holm(out.p_alone.to_numpy()))


def load_claim(name: str) -> Claimed:
    """What a claim's file says. ValueError, one sentence, if a key or a value in it is not known."""
    known = places.claims()
    if name not in known:
        raise KeyError(f"there is no claim {name!r}: there are {', '.join(sorted(known))}")
    return read_claim(known[name], RULES)


def recorded(names: str | list[str], claim: str) -> pd.DataFrame:
    """The runs of one or several grids as runs.frame has them, with their `curve`, "seconds.step", and "rise.nll": how
    far the NLL on validation ended above its own minimum."""
    records = []
    for grid in [names] if isinstance(names, str) else names:
        file = places.results() / f"{grid}.jsonl"
        advice = f"`make record GRID={grid}` makes them"
        if not file.exists():
            raise NotRecorded(f"claim {claim} needs the runs of the grid {grid}, which are not recorded yet: {advice}")
        made = load_records(file)
        allowed, needed, total = grids.wanted(grid, {r["id"]: r for r in made})
        there = needed & {r["id"] for r in made}
        other = len({r["id"] for r in made} - allowed)
        if len(there) < total or other:
            stale = f", and {other} others that it does not ask for (delete their lines)" if other else ""
            raise NotRecorded(
                f"claim {claim} needs the grid {grid}, but {len(there)} of {total} runs are there{stale}: {advice}"
            )
        records += made
    runs = frame(records)
    runs["curve"] = [r["curve"] for r in records]
    nll = [[at["nll"] for at in curve if "nll" in at] for curve in runs.curve]
    runs["rise.nll"] = [curve[-1] - min(curve) if curve else np.nan for curve in nll]
    runs["seconds.step"] = runs["seconds.training"] / runs.steps
    return runs


def _judge(part: Claimed, runs: pd.DataFrame, decides: bool) -> pd.DataFrame:
    """One row a task of a contrast."""
    try:
        runs = runs.query(part.filter)
    except Exception as error:  # pandas has no common class for what can be wrong with a query
        raise ValueError(f"claim {part.id}: its filter, {part.filter}, cannot be used: {error}") from None
    if runs.empty:
        raise ValueError(f"claim {part.id}: no run of the grid {part.grid} fits its filter, {part.filter}")
    metrics = part.metric if isinstance(part.metric, dict) else {"": part.metric}
    arm, baseline, rows = part.contrast.arm, part.contrast.baseline, []
    for task, metric in metrics.items():
        d = RULES[part.by](runs[runs.task == task] if task else runs, metric, arm, baseline)
        towards = d if part.direction == "higher" else Paired(arm, d.baseline, metric, d.seeds, -d.mean, -d.high,
                                                              -d.low, d.p, d.detectable)  # fmt: skip
        towards = replace(towards, **{k: getattr(towards, k) + part.allowed for k in ("mean", "low", "high")})
        rows.append({
            "task": task or "all", "effect of": f"{arm} − {d.baseline}", "on": part.unit or metric,
            "effect": d.mean, "low": d.low, "high": d.high, "seeds": d.seeds, "detectable": d.detectable + part.margin,
            "p_alone": p_beyond(towards if part.allowed else d, part.margin), "verdict": towards.verdict(part.margin),
            "decides": decides,
        })  # fmt: skip
    out = pd.DataFrame(rows)
    out.insert(len(out.columns) - 2, "p", holm(out.p_alone.to_numpy()))
    return out
