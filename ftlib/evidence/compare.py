"""Comparisons over paired seeds: DataFrame in, DataFrame out.

Two arms that share a seed share the split, the subset, the initialisation and the order, so their difference is free of
what these contribute. Over S seeds the mean difference has a paired-t interval; with S < 6 no exact test can reach
p < 0.05, so a verdict needs six. An interval that holds 0 shows nothing: it says "not distinguishable here".
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95  # of the intervals
POWER = 0.80  # of the smallest effect that a design could have detected
SEEDS_FOR_A_VERDICT = 6
UNCLEAR = "not distinguishable here"


@dataclass
class Paired:
    """The difference arm − baseline of a metric over paired seeds; low and high bound its 95 % interval."""

    arm: str
    baseline: str
    metric: str
    seeds: int
    mean: float
    low: float
    high: float
    p: float  # two-sided paired t-test against no difference
    detectable: float  # the smallest true difference that this design finds in 80 % of repetitions

    def verdict(self, margin: float = 0.0) -> str:
        """What the interval says of "the arm is higher by more than the margin".

        supported: all of it above the margin; contradicted: all of it below −margin; equivalent: all of it inside
        ±margin; undecided: anything else, or fewer than six seeds.
        """
        if margin < 0:
            raise ValueError(f"a margin must not be negative, but it is {margin}")
        if self.seeds < SEEDS_FOR_A_VERDICT:
            return "undecided"
        if self.low > margin:
            return "supported"
        if self.high < -margin:
            return "contradicted"
        return "equivalent" if -margin < self.low and self.high < margin else "undecided"


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """(mean, low, high) of the 95 % t-interval of a mean; not finite bounds from fewer than two values."""
    values = np.asarray(values, dtype=float)
    mean, n = values.mean(), len(values)
    half = np.inf if n < 2 else stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(mean), float(mean - half), float(mean + half)


def paired(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """Compare two arms on a column of `runs` (see runs.frame), pairing them by seed.

    `runs` must hold one task and one model, and each arm once a seed; seeds that only one arm has are an error.
    """
    wide = _wide(runs, metric)
    missing = {arm, baseline} - set(wide.columns)
    if missing:
        raise KeyError(f"no run has the arm {sorted(missing)}: there are {sorted(wide.columns)}")
    both = wide[[arm, baseline]]
    _refuse_no_number(runs[runs.arm.isin([arm, baseline])], metric)
    if both.isna().any(axis=None):
        alone = sorted(both.index[both.isna().any(axis=1)])
        raise ValueError(f"arms are compared by pairs, but the seeds {alone} have only one of {arm} and {baseline}")
    difference = (both[arm] - both[baseline]).to_numpy()
    n = len(difference)
    mean, low, high = interval(difference)
    if n < 2:
        return Paired(arm, baseline, metric, n, mean, low, high, np.nan, np.inf)
    error = difference.std(ddof=1) / np.sqrt(n)
    p = 2 * stats.t.sf(abs(mean) / error, n - 1) if error > 0 else float(mean == 0)
    return Paired(arm, baseline, metric, n, mean, low, high, float(p), _detectable(error, n))


def table(runs: pd.DataFrame, metric: str, baseline: str) -> pd.DataFrame:
    """One row an arm: mean and interval of the metric, and its paired difference from the baseline.

    p is corrected for the number of comparisons (Holm 1979), so that looking at more arms finds no more by chance.
    "reading" is "higher" or "lower" only where the interval lies on one side of 0 and the corrected p is below 0.05.
    """
    rows = []
    _wide(runs, metric)
    _refuse_no_number(runs, metric)
    for arm, group in runs.groupby("arm", sort=False):
        mean, low, high = interval(group[metric].to_numpy())
        row = {"arm": arm, "seeds": len(group), "mean": mean, "low": low, "high": high}
        if arm != baseline:
            d = paired(runs, metric, arm, baseline)
            row |= {"difference": d.mean, "diff_low": d.low, "diff_high": d.high, "p": d.p, "detectable": d.detectable}
            row["reading"] = reading(d)  # of this pair alone; corrected below
        rows.append(row)
    out = pd.DataFrame(rows).set_index("arm")
    if "p" in out:
        tested = out["p"].notna()
        out.loc[tested, "p"] = holm(out.loc[tested, "p"].to_numpy())
        out.loc[out["p"] >= 1 - LEVEL, "reading"] = UNCLEAR
    return out


def reading(difference: Paired) -> str:
    """In words: higher, lower, or not distinguishable here; for a margin of zero and this comparison alone."""
    words = {"supported": "higher", "contradicted": "lower"}
    return words.get(difference.verdict(0.0), UNCLEAR)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction (Scand. J. Stat. 6, 1979): p-values that allow for how many were looked at."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    out = np.empty_like(p)
    out[order] = np.minimum(stepped, 1.0)
    return out


def _wide(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """(seed × arm) values of a metric."""
    if metric not in runs:
        known = sorted(c for c in runs.columns if "." in c)
        raise KeyError(f"no column is called {metric!r}: the runs have {', '.join(known)}")
    for column in ("task", "model"):
        if column in runs and runs[column].nunique() > 1:
            raise ValueError(f"compare one {column} at a time, but the runs hold {sorted(runs[column].unique())}")
    if runs.duplicated(["seed", "arm"]).any():
        raise ValueError("each arm must have one run a seed: filter the runs, for example by purpose, size or rate")
    return runs.pivot(index="seed", columns="arm", values=metric)


def _refuse_no_number(runs: pd.DataFrame, metric: str) -> None:
    """Raise a ValueError if a run has no finite number in the column: a mean would pass over it without a word."""
    if not pd.api.types.is_numeric_dtype(runs[metric]):
        raise ValueError(f"{metric} must hold numbers, but it holds {runs[metric].iloc[0]!r} and the like")
    bad = runs[~np.isfinite(runs[metric].astype(float))]
    if len(bad):
        first = bad.iloc[0]
        raise ValueError(
            f"{len(bad)} of {len(runs)} runs have no finite {metric}, the first of them {first.arm}, seed {first.seed} "
            f"({first[metric]}): leave these runs out, or choose another metric"
        )


def _detectable(error: float, n: int) -> float:
    """The true difference at which a two-sided paired t-test at 5 % has 80 % power, from the standard error."""
    if error == 0:
        return 0.0
    critical = stats.t.ppf((1 + LEVEL) / 2, n - 1)
    effects = np.linspace(0, 20, 2001)  # in standard errors
    power = stats.nct.sf(critical, n - 1, effects)
    return float(error * effects[np.searchsorted(power, POWER)])
