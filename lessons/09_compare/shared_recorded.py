"""Recorded runs in groups that may be compared: the same grid, task, options, model and number of steps.

Runs of two grids were recorded at other times, with other seeds or other searches of the rate. So they never stand in
one comparison, and neither do the learner's own runs, which are shown beside them. Runs that chose a rate are left out.
Where every rate of a method was measured ("full@0.001"), there are two groups: one with each rate as a method, and one
in which a seed's rate is the best on validation of the *other* seeds.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
import pandas as pd

from ftlib.evidence.compare import table
from ftlib.evidence.contrasts import CHOSEN_BY, best_rate_per_seed
from ftlib.evidence.runs import frame, load_records
from ftlib.io import places
from ftlib.tasks import OWN

YOURS = "your runs"
TOLD = {"id", "arm", "task", "model", "seed", "purpose", "grid", "lr", "steps", "memory", "engine"}  # no options
MAIN = {"elpv": "balanced_accuracy", "sentiment": "macro_f1"}  # what a task is judged by; else the accuracy
MAIN |= {"table": "balanced_accuracy", "folder": "balanced_accuracy"}
PERCENT = {"accuracy", "balanced_accuracy", "macro_f1", "auroc", "worst_class", "ece", "token_accuracy"}
PERCENT |= {"exact_match", "average", "forgetting"}
LOWER = {"nll", "ece", "brier", "perplexity", "mae", "rmse", "forgetting"}  # is better
SHOWN = {"nll": "NLL (nats)", "auroc": "AUROC", "mcc": "MCC", "ece": "calibration error", "macro_f1": "macro-F1",
         "average": "mean accuracy of all tasks so far", "forgetting": "forgetting of earlier tasks"}  # fmt: skip
METRICS = ("balanced_accuracy", "macro_f1", "accuracy", "auroc", "mcc", "worst_class", "exact_match",
           "token_accuracy", "nll", "perplexity", "ece", "brier", "pearson", "mae", "rmse")  # fmt: skip
COSTS = {  # label -> (column, what it is divided by)
    "training seconds": ("seconds.training", 1),
    "milliseconds per step": ("seconds.step", 1e-3),
    "trained parameters": ("parameters.trainable", 1),
    "stored, MB": ("stored", 1e6),
    "memory of the process, GB": ("memory", 1e9),
}


@dataclass(frozen=True)
class Measure:
    """A column of the runs as it is shown: in per cent or as it is, and whether more of it is better."""

    label: str
    column: str
    times: float = 1.0
    higher: bool = True

    @property
    def unit(self) -> str:
        """Of a difference."""
        return " points" if self.times == 100 else ""

    def said(self, value: float, sign: str = "") -> str:
        """The value in words: one digit of per cent, else three significant ones."""
        value = round(float(value), 1) + 0.0 if self.times == 100 else float(value)
        return (
            f"{value:{sign}.1f}"
            if self.times == 100
            else f"{value:{sign}.3g}"
            if abs(value) < 1000
            else f"{value:{sign},.0f}"
        )


@dataclass(eq=False)
class Group:
    """Runs that may be compared. `runs`: one row per run; `records`: their records by (arm, seed), where there are any."""

    grid: str
    task: str
    model: str
    steps: int
    options: dict
    kind: str  # "", or how the rates of its methods were chosen
    runs: pd.DataFrame
    records: dict[tuple[str, int], dict]
    found: dict = field(default_factory=dict)  # comparisons that were made already

    @property
    def size(self) -> int | str:
        """Number of training examples."""
        return self.options.get("n", "all")

    @property
    def name(self) -> str:
        """The task, and of own data not the whole path."""
        kind, colon, path = self.task.partition(":")
        return f"{kind}:{PurePath(path).name}" if colon and kind in OWN else self.task

    @property
    def own(self) -> bool:
        """Whether they are the learner's."""
        return self.grid == YOURS

    @property
    def like(self) -> tuple:
        """What own runs must share with recorded ones to be drawn beside them."""
        return self.task, self.model, self.steps, json.dumps(self.options, sort_keys=True)

    @property
    def label(self) -> str:
        """The group in one line, apart from its task and size."""
        rest = [f"{key} {value}" for key, value in sorted(self.options.items()) if key != "n"]
        return ", ".join([self.grid, self.model, f"{self.steps} steps", *rest, *([self.kind] if self.kind else [])])

    @property
    def arms(self) -> list[str]:
        """Its methods, in the order of the records."""
        return list(dict.fromkeys(self.runs.arm))

    @property
    def measures(self) -> list[Measure]:
        """The scores that all of it, or some of it, was given, its task's own first."""
        own, kept = MAIN.get(re.match(r"\w*", self.task)[0], "accuracy"), []
        order = [own, *(name for name in METRICS if name != own)]
        splits = sorted({c.rpartition(".")[0] for c in self.runs if c.rpartition(".")[0].endswith(("test", "train"))})
        splits = splits or ["validation"]
        for split in sorted(splits, key=lambda name: (":" in name, name != "test")):
            names = order if split in ("test", "validation") else [own, "accuracy", "nll"]
            kept += [_measure(f"{split}.{name}") for name in dict.fromkeys(names) if f"{split}.{name}" in self.runs]
        kept += [_measure(name) for name in ("sequence.average", "sequence.forgetting") if name in self.runs]
        return kept

    @property
    def costs(self) -> list[Measure]:
        """What can be asked of the other axis: costs, and scores on other tasks, which say what was kept of them."""
        known = [Measure(label, c, 1 / by, False) for label, (c, by) in COSTS.items() if c in self.runs]
        others = [m for m in self.measures if ":" in m.column or m.column == "sequence.forgetting"]
        main = {m.column.rpartition(".")[0]: m for m in reversed(others)}
        return known + [m for m in others if main[m.column.rpartition(".")[0]] is m]

    def values(self, measure: Measure) -> pd.DataFrame:
        """Method, seed, task, model, and the measure as it is shown, in a column `shown`."""
        return self.runs[["arm", "seed", "task", "model"]].assign(shown=self.runs[measure.column] * measure.times)

    def compared(self, measure: Measure, baseline: str) -> tuple[pd.DataFrame, dict[str, str]]:
        """(a row per method as `ftlib.table` gives it, {method: why it isn't compared}).

        All are compared on the seeds that they share. A method that lacks a number, or more than half of the baseline's
        seeds, is left out.
        """
        key = measure.column, baseline
        if key not in self.found:
            runs, out = self.values(measure), {}
            broken = set(runs.arm[~np.isfinite(runs.shown.astype(float))])
            out |= dict.fromkeys((arm for arm in self.arms if arm in broken), "it has runs without this score")
            shared = seeds = set(runs.seed[runs.arm == baseline])
            for arm, its in runs[~runs.arm.isin(broken)].groupby("arm", sort=False).seed:
                if 2 * len(seeds & set(its)) < len(seeds):
                    out[arm] = f"it has only {len(seeds & set(its))} of the {len(seeds)} seeds of {baseline}"
                else:
                    shared = shared & set(its)
            rows = runs[~runs.arm.isin(list(out)) & runs.seed.isin(shared)]
            made = baseline not in out and len(rows)
            self.found[key] = (table(rows, "shown", baseline) if made else pd.DataFrame(), out)
        return self.found[key]

    def means(self, measure: Measure) -> pd.Series:
        """The mean of a measure by method; methods without a number are left out."""
        if ("mean", measure.column) not in self.found:
            values = self.values(measure).groupby("arm", sort=False).shown
            self.found["mean", measure.column] = values.agg(lambda each: each.mean(skipna=False)).dropna()
        return self.found["mean", measure.column]


def front(cost: pd.Series, score: pd.Series, cheap: bool = True, good: bool = True) -> list[str]:
    """The methods that no other beats: none is at least as good on both and better on one. The cheapest comes first.

    cheap: whether less of the cost is better. good: whether more of the score is better.
    """
    both = pd.DataFrame({"cost": cost if cheap else -cost, "score": score if good else -score}).dropna()
    both = both.sort_values(["cost", "score"], ascending=[True, False], kind="stable")
    kept, best, at = [], -np.inf, None
    for arm, cost_of, score_of in both.itertuples():
        if score_of > best or (score_of == best and cost_of == at):
            kept.append(arm)
            best, at = score_of, cost_of
    return kept


def read(records: Iterable[dict]) -> list[Group]:
    """The groups of recorded runs, in the order of the records."""
    records = [record for record in records if record["spec"]["purpose"] == "measure"]
    parts: dict[tuple, list[dict]] = {}
    for record in records:
        parts.setdefault(_key(record["spec"]), []).append(record)
    out = []
    for (grid, task, model, steps, options), its in parts.items():
        runs = _with_costs(frame(its)).dropna(axis=1, how="all")  # a table per group: one of all would be mostly gaps
        by = {(record["spec"]["arm"], record["spec"]["seed"]): record for record in its}
        out += _with_rates(Group(grid, task, model, steps, json.loads(options), "", _one_each(runs), by))
    return out


def everything() -> list[dict]:
    """The records of all recorded grids."""
    return load_records(*sorted(file.stem for file in places.results().glob("*.jsonl")))


def own_groups(own) -> list[Group]:
    """The learner's own runs: a table of `ftlib.compare_strategies`, a list of records, or several of them in a list."""
    if own is None:
        return []
    if isinstance(own, pd.DataFrame):
        return _of_table(own)
    if isinstance(own, list) and all(isinstance(one, dict) for one in own):
        return read({**one, "spec": {**one["spec"], "grid": YOURS}} for one in own)
    if isinstance(own, list | tuple) and all(isinstance(one, pd.DataFrame) for one in own):
        return [group for one in own for group in _of_table(one)]
    raise ValueError(
        f"own must be what ftlib.compare_strategies returns, or a list of records, but it is a {type(own).__name__}: "
        "give its table"
    )


def _of_table(runs: pd.DataFrame) -> list[Group]:
    missing = sorted({"arm", "task", "model", "seed", "steps"} - set(runs))
    if missing or runs.empty:
        raise ValueError(
            f"own runs need the columns arm, task, model, seed and steps, but {missing or 'all rows'} lack: give what "
            "ftlib.compare_strategies returns"
        )
    options = [name for name in runs if "." not in str(name) and name not in TOLD]
    said = [json.dumps({k: _whole(v) for k, v in zip(options, row) if not pd.isna(v)}, sort_keys=True)
            for row in runs[options].itertuples(index=False)]  # fmt: skip
    runs, out = _with_costs(runs.assign(said=said)), []
    for (task, model, steps, held), its in runs.groupby(["task", "model", "steps", "said"], sort=False):
        its = its.drop(columns="said").reset_index(drop=True)
        out.append(Group(YOURS, task, model, int(steps), json.loads(held), "", _one_each(its), {}))
    return out


def _key(spec: dict) -> tuple:
    """What runs must share to be compared. The steps are the planned ones: early stopping is a method."""
    steps = sum(phase["steps"] for phase in spec["phases"])
    return spec["grid"], spec["task"], spec["model"], steps, json.dumps(spec["options"], sort_keys=True)


def _whole(value):
    """200 for 200.0, which a column with gaps makes of it; and plain Python for JSON."""
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _with_costs(runs: pd.DataFrame) -> pd.DataFrame:
    """With seconds per step, and with the bytes of the trained weights and of what the strategy keeps."""
    if "seconds.training" in runs:
        runs = runs.assign(**{"seconds.step": runs["seconds.training"] / runs.steps.where(runs.steps > 0)})
    if "parameters.bytes" in runs:
        kept = [name for name in runs if name.endswith(".bytes")]
        runs = runs.assign(stored=runs[kept].sum(axis=1))
    return runs


def _with_rates(group: Group) -> list[Group]:
    """The group; before it, where every rate was measured, the same with a rate that is chosen on other seeds."""
    runs = group.runs
    enough = runs.seed.nunique() > 1 and CHOSEN_BY in runs and runs[CHOSEN_BY].notna().all()
    if not enough or not runs.arm.str.contains("@", regex=False).all():
        return [group]
    group.kind, chosen = "every rate", best_rate_per_seed(runs)
    at = zip(chosen.index, chosen.arm, chosen.seed)
    records = {(arm, seed): group.records[runs.arm[i], seed] for i, arm, seed in at if group.records}
    order = list(dict.fromkeys(runs.arm.str.partition("@")[0]))
    chosen = chosen.sort_values("arm", key=lambda arms: arms.map(order.index), kind="stable").reset_index(drop=True)
    names = (group.grid, group.task, group.model, group.steps, group.options)
    return [Group(*names, "rates chosen on validation", chosen, records), group]


def _one_each(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs in which no method has a seed twice: where it has, the rate is a part of the method's name."""
    if not runs.duplicated(["arm", "seed"]).any():
        return runs
    runs = runs.assign(arm=[f"{arm}, rate {lr:g}" for arm, lr in zip(runs.arm, runs.lr)])
    return runs.drop_duplicates(["arm", "seed"], keep="last").reset_index(drop=True)


def _measure(column: str) -> Measure:
    split, _, name = column.rpartition(".")
    shown = SHOWN.get(name, name.replace("_", " "))
    label = shown if split == "sequence" else f"{shown} on {split}"
    percent = name in PERCENT
    return Measure(f"{label} (%)" if percent else label, column, 100.0 if percent else 1.0, name not in LOWER)
