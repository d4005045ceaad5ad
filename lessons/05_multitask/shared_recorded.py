"""What was recorded of the two tasks, for each width: scores beside the networks alone, and cosines.

`both_better` and `worse_changes` are what the widget's task asks for.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ftlib.evidence.compare import table
from ftlib.evidence.runs import split_of

TASKS = ("digits/mnist", "digits/optical")
ALONE = (re.compile(r"mnist alone, width (\d+)"), re.compile(r"optical alone, width (\d+)"))
TOGETHER = re.compile(r"together, width (\d+), weight ([\d.]+)")
COSINE, CONFLICTS = ("TaskGradients.cosine", "TaskGradients.conflicts")


@dataclass(frozen=True)
class Width:
    """What was recorded at one width."""

    weights: list[float]  # of the optical digits, from the smallest on
    seeds: int
    scores: np.ndarray  # (weights, 2): accuracy in per cent, the mean over the seeds
    alone: np.ndarray  # (2,)
    found: tuple[pd.DataFrame, pd.DataFrame]  # for each task the rows of `ftlib.table`, one a weight, in per cent
    cosines: dict[float, np.ndarray]  # {weight: the mean of each run}, of weights at which all runs measured it
    conflicts: dict[float, float]  # the share of steps with a cosine below 0


def both_better(records: list[dict], split: str = "validation") -> list[tuple[int, float]]:
    """All (width, weight) at which both tasks are read as "higher" than their networks alone, as the widget reads them.

    That needs six seeds and both intervals above 0, corrected for the number of weights at the width. The list is
    empty where there is no such weighting.
    """
    return [
        (width, weight)
        for width, at in read(records, split).items()
        for i, weight in enumerate(at.weights)
        if all(found.reading.iloc[i] == "higher" for found in at.found)
    ]


def worse_changes(records: list[dict], split: str = "validation") -> dict[tuple[int, float], float]:
    """{(width, weight): the worse of both tasks' changes from their networks alone, in points, the mean over seeds}."""
    return {
        (width, weight): min(float(found.difference.iloc[i]) for found in at.found)
        for width, at in read(records, split).items()
        for i, weight in enumerate(at.weights)
    }


def read(records: list[dict], split: str) -> dict[int, Width]:
    """{width: what was recorded there}, the narrowest first."""
    if not isinstance(records, list) or not records:
        given = "an empty list" if isinstance(records, list) else f"a {type(records).__name__}"
        raise ValueError(
            f"the weights need a list of recorded runs, but they were given {given}: take what "
            "ftlib.load_records('05_multitask') returns"
        )
    alone: tuple[dict, dict] = ({}, {})  # for each task {width: records}
    together: dict[int, dict[float, list[dict]]] = {}
    for record in (one for one in records if one["spec"].get("purpose") != "tune"):
        arm = record["spec"]["arm"]
        if match := TOGETHER.fullmatch(arm):
            together.setdefault(int(match[1]), {}).setdefault(float(match[2]), []).append(record)
        for found, pattern in zip(alone, ALONE):
            if match := pattern.fullmatch(arm):
                found.setdefault(int(match[1]), []).append(record)
    if not together:
        raise ValueError(
            f"the weights need runs called 'together, width 4, weight 1' and the like, but none of these {len(records)} "
            "runs is one: give the records of the grid 05_multitask"
        )
    for width in together:
        for found, name in zip(alone, ("mnist", "optical")):
            if width not in found:
                raise ValueError(
                    f"each width needs both networks alone, but there is no run '{name} alone, width {width}': leave "
                    "this width out, or record it"
                )
    if not set.intersection(*(set(by) for by in together.values())):
        raise ValueError("the widths must have a weight in common, but they have none: record the same weights for all")
    return {
        w: _width([found[w] for found in alone], dict(sorted(together[w].items())), split) for w in sorted(together)
    }


def _width(alone: list[list[dict]], together: dict[float, list[dict]], split: str) -> Width:
    found = []
    for k in range(2):
        rows = [*_rows("alone", alone[k], k, split), *(r for w, rs in together.items() for r in _rows(w, rs, k, split))]
        found.append(table(pd.DataFrame(rows), "accuracy", "alone"))
    told = {w: [run.get("measured", {}) for run in runs] for w, runs in together.items()}
    told = {w: runs for w, runs in told.items() if all(COSINE in run for run in runs)}
    return Width(
        weights=list(together),
        seeds=int(found[0].seeds.loc["alone"]),
        scores=np.array([[one["mean"].loc[w] for one in found] for w in together]),
        alone=np.array([one["mean"].loc["alone"] for one in found]),
        found=tuple(one.loc[list(together)] for one in found),
        cosines={w: np.array([run[COSINE] for run in runs]) for w, runs in told.items()},
        conflicts={w: float(np.mean([run[CONFLICTS] for run in runs])) for w, runs in told.items()},
    )


def _rows(arm, records: list[dict], k: int, split: str) -> list[dict]:
    return [{"arm": arm, "seed": r["spec"]["seed"], "accuracy": 100 * _score(r, TASKS[k], split)} for r in records]


def _score(record: dict, task: str, split: str) -> float:
    """The accuracy on a task's split, whatever name the run has for it."""
    own = record["spec"]["task"]
    for name, scores in record["scores"].items():
        if split_of(name, own) == (task, split):
            return scores["accuracy"]
    raise ValueError(
        f"every run must have a score of its tasks on {split}, but {record['spec']['arm']!r} has none of {task}: it has "
        f"{', '.join(record['scores'])}"
    )
