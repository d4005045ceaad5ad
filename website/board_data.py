"""The recorded runs as the board reads them: one entry per setting, its columns as lists.

A setting is what may be compared: one grid, one task, one network, one set of options (examples, image size). Runs of
two settings never meet in a figure. A file of JSON can't be read by a page that was opened from a disk, so it is a
script that sets a variable.
"""

import json
import math
import re

import pandas as pd

import ftlib
from ftlib import plots
from ftlib.classroom.verdicts import LABELS
from ftlib.io import places

DIGITS = 6  # significant ones, which is more than any reader sees
COSTS = {  # column: what the board calls it
    "seconds.training": "training time in seconds",
    "parameters.trainable": "trained parameters",
    "parameters.bytes": "bytes of the trained parameters",
    "memory": "peak memory in bytes",
    "steps": "steps",
    "lr": "learning rate",
}
LOWER = re.compile(r"\.(nll|brier|ece|mae|rmse|perplexity|forgetting|barrier)$")
POINTS = re.compile(r"\.(\w*accuracy|macro_f1|auroc|exact_match|worst_class)$")  # shown as percentages
LOOKS = 30  # different ones, see plots.look
NAMES = {"nll": "NLL in nats", "ece": "calibration error", "auroc": "AUROC", "mcc": "MCC", "macro_f1": "macro-F1"}


def options_of(runs: pd.DataFrame) -> list[str]:
    """The columns that hold the task's options: what stands between `steps` and the first number of the run."""
    known = {"id", "arm", "task", "model", "seed", "purpose", "grid", "lr", "steps", "memory", "engine"}
    return [c for c in runs.columns if "." not in c and c not in known]


def metrics_of(runs: pd.DataFrame) -> list[str]:
    """The columns that may be compared."""
    found = [c for c in runs if "." in c and not c.startswith(("seconds.", "parameters."))]
    return [c for c in found if runs[c].notna().any()]


def order(metrics: list[str]) -> list[str]:
    """The test split first, then validation, then other data; in each the usual scores first."""
    splits, scores = ["test", "validation", "train"], ["balanced_accuracy", "macro_f1", "accuracy", "auroc"]

    def place(metric: str) -> tuple:
        split, _, score = metric.rpartition(".")
        return ((splits + [split]).index(split), split, (scores + [score]).index(score), score)

    return sorted(metrics, key=place)


def label_of(metric: str) -> str:
    """ "test.macro_f1" → "macro-F1 on test"."""
    split, _, name = metric.rpartition(".")
    said = NAMES.get(name, name.replace("_", " "))
    split = split.replace(":", ", ") if ":" in split else split
    return f"{said} on {split}" if split.split(", ")[-1] in ("test", "validation", "train") else f"{split}: {said}"


def settings_of(grid: str, runs: pd.DataFrame) -> list[dict]:
    """The settings of a grid. Runs that chose a learning rate are left out: each arm tried several there."""
    runs = runs[runs.purpose == "measure"]
    keys = ["task", "model", *options_of(runs)]
    groups = runs.groupby(keys, dropna=False, sort=False)
    return [_setting(grid, dict(zip(keys, values)), group) for values, group in groups]


def _setting(grid: str, named: dict, runs: pd.DataFrame) -> dict:
    if runs.duplicated(["seed", "arm"]).any():
        raise ValueError(f"in one setting each arm must have one run per seed, but in {grid}, {named} one has two")
    task, model = named.pop("task"), named.pop("model")
    columns = [*metrics_of(runs), *COSTS]
    return {
        "grid": grid,
        "lesson": next(name for name in places.lessons() if name[:2] == grid[:2]),
        "task": task,
        "label": LABELS.get(task, task),
        "model": model,
        "options": {name: plain(value) for name, value in named.items() if not pd.isna(value)},
        "arms": (arms := list(runs.arm.unique())),
        "runs": {"arm": [arms.index(arm) for arm in runs.arm], "seed": [int(seed) for seed in runs.seed]}
        | {column: [plain(value) for value in runs[column]] for column in columns},
    }


def plain(value):
    """A value as JSON has it: None for no number, whole numbers without a point, six digits."""
    if isinstance(value, str | bool):
        return value
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{float(value):.{DIGITS}g}")


def board() -> dict:
    """All that the board needs."""
    grids = sorted(file.stem for file in places.results().glob("*.jsonl"))
    found = [one for grid in grids for one in settings_of(grid, ftlib.load_runs(grid))]
    metrics = list({c for one in found for c in one["runs"]} - {"arm", "seed", *COSTS})
    return {
        "settings": found,
        "lessons": {name: title for name, title in titles().items() if any(one["lesson"] == name for one in found)},
        "costs": COSTS,
        "metrics": {
            metric: {
                "label": label_of(metric),
                "lower": bool(LOWER.search(metric)),
                "points": bool(POINTS.search(metric)),
            }
            for metric in order(metrics)
        },
        "looks": [plots.look(i)[:2] for i in range(LOOKS)],
    }


def titles() -> dict[str, str]:
    """{lesson: the heading of its notebook}, such as "02 Layer freezing"."""
    found = {}
    for name in places.lessons():
        text = (places.lesson(name) / "lesson.py").read_text(encoding="utf-8")
        found[name] = re.search(r"^# # (.+)$", text, re.M)[1]
    return found


def script() -> str:
    """board-data.js."""
    return f"const BOARD = {json.dumps(board(), separators=(',', ':'), allow_nan=False)};\n"
