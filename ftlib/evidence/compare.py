"""Comparisons over paired seeds: DataFrame in, DataFrame out.

Two arms that share a seed share the split, the subset, the initialisation and the order, so their difference is free of
what these contribute. Over S seeds the mean difference has a paired-t interval; with S < 6 no exact test can reach
p < 0.05, so a verdict needs six. An interval that holds 0 shows nothing: it says "not distinguishable here".
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95  # of the intervals
POWER = 0.80  # of the smallest effect that a design could have detected
SEEDS_FOR_A_VERDICT = 6
UNCLEAR = "not distinguishable here"


@dataclass
class Paired:
    """The difference arm - baseline of a metric over paired seeds, with its 95 % interval.

    Parameters
    ----------
    arm, baseline : str
        The two arms.
    metric : str
        What is compared.
    seeds : int
        Number of pairs.
    mean : float
        Mean difference, in the unit of the metric.
    low, high : float
        Bounds of the 95 % t-interval. They are infinite for a single pair.
    p : float
        Two-sided paired t-test against no difference, in 0..1. It is nan for a single pair.
    detectable : float
        The smallest true difference that this design would find in 80 % of repetitions.

    See Also
    --------
    ftlib.paired : Makes one from runs.

    Examples
    --------
    >>> found = Paired("full", "probe", "test.accuracy", 6, mean=0.03, low=0.02, high=0.04, p=0.001, detectable=0.01)
    >>> found.verdict(margin=0.01), found.verdict(margin=0.02), found.verdict(margin=0.05)
    ('supported', 'undecided', 'equivalent')
    """

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
        """Say what the interval shows of the sentence "the arm is higher by more than the margin".

        Parameters
        ----------
        margin : float, default 0
            A difference that matters, at least 0, in the unit of the metric.

        Returns
        -------
        str
            "supported" if all of the interval is above the margin, "contradicted" if all of it is below -margin,
            "equivalent" if all of it is inside ±margin. Anything else is "undecided", and so are fewer than six seeds.

        Raises
        ------
        ValueError
            If the margin is negative.
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
    """Compute the 95 % t-interval of a mean.

    Parameters
    ----------
    values : array of float, shape (N,)
        One value per seed.

    Returns
    -------
    mean, low, high : float
        The mean and the bounds, in the unit of the values. The bounds are infinite for a single value.

    References
    ----------
    .. [1] Student, "The probable error of a mean", Biometrika, 1908.

    Examples
    --------
    >>> [round(bound, 3) for bound in interval([0.7, 0.8, 0.9])]
    [0.8, 0.552, 1.048]
    """
    values = np.asarray(values, dtype=float)
    mean, n = values.mean(), len(values)
    half = np.inf if n < 2 else stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(mean), float(mean - half), float(mean + half)


def paired(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """Compare two arms, pairing their runs by seed.

    Parameters
    ----------
    runs : DataFrame
        One row per run, as `ftlib.load_runs` gives them. It holds one task and one model, and each arm once per seed.
    metric : str
        The column to compare, such as "test.accuracy".
    arm, baseline : str
        The two arms. The difference is arm - baseline.

    Returns
    -------
    Paired
        Mean difference, 95 % interval, p and detectable difference.

    Raises
    ------
    KeyError
        If there is no such column or no such arm.
    ValueError
        If a seed has only one of the arms, or a run has no finite number there.

    Notes
    -----
    Runs of one seed share the split, the subset, the initial weights and the order of the data. Their difference is
    free of these. With fewer than six seeds no exact test can reach p < 0.05, so a verdict needs six.

    Examples
    --------
    >>> cells = runs.query("task == 'elpv' and purpose == 'measure'")
    >>> found = ftlib.paired(cells, "test.balanced_accuracy", "full", "probe")
    >>> found.seeds, round(found.mean, 3), round(found.low, 3), round(found.high, 3)
    (6, -0.015, -0.076, 0.046)
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
    return Paired(arm, baseline, metric, n, mean, low, high, float(p), detectable(error, n))


def table(runs: pd.DataFrame, metric: str, baseline: str) -> pd.DataFrame:
    """Compare all arms with a baseline, one row per arm.

    Parameters
    ----------
    runs : DataFrame
        One row per run, as `ftlib.load_runs` gives them. It holds one task and one model, and each arm once per seed.
    metric : str
        The column to compare, such as "test.accuracy".
    baseline : str
        The arm that the others are compared with.

    Returns
    -------
    DataFrame
        Indexed by arm. seeds, mean, low and high describe the arm. difference, diff_low, diff_high, p and detectable
        describe arm - baseline, paired by seed; p is corrected for the number of comparisons, and corrected_low and
        corrected_high are the interval that belongs to it. reading says it in words. "higher" and "lower" need a
        corrected interval on one side of 0, which is the same as a corrected p below 0.05, and six seeds.

    Raises
    ------
    KeyError, ValueError
        As `paired`.

    Notes
    -----
    p is corrected for the number of comparisons by Holm's method [1]_, so looking at more arms finds no more by chance.

    References
    ----------
    .. [1] Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6, 1979.

    Examples
    --------
    >>> cells = runs.query("task == 'elpv' and purpose == 'measure'")
    >>> found = ftlib.table(cells, "test.balanced_accuracy", "probe")
    >>> found["difference"].round(3).dropna().to_dict()
    {'scratch': -0.074, 'full': -0.015, 'lp-ft': -0.027}
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
        wider = _wider(out.loc[tested, "p"].to_numpy(), out.loc[tested, "seeds"].to_numpy() - 1)
        for bound in ("low", "high"):
            out[f"corrected_{bound}"] = out[f"diff_{bound}"]
            half = wider * (out[f"diff_{bound}"] - out["difference"])[tested]
            out.loc[tested, f"corrected_{bound}"] = out["difference"][tested] + half
        out.loc[tested, "p"] = holm(out.loc[tested, "p"].to_numpy())
        out.loc[out["p"] >= 1 - LEVEL, "reading"] = UNCLEAR
    return out


def reading(difference: Paired) -> str:
    """Say a paired difference in words, for a margin of zero and this comparison alone.

    Parameters
    ----------
    difference : Paired
        As `paired` gives it.

    Returns
    -------
    {"higher", "lower", "not distinguishable here"}
        The last one shows nothing. It does not mean equal.

    Examples
    --------
    >>> cells = runs.query("task == 'elpv' and purpose == 'measure'")
    >>> ftlib.reading(ftlib.paired(cells, "test.balanced_accuracy", "full", "probe"))
    'not distinguishable here'
    """
    words = {"supported": "higher", "contradicted": "lower"}
    return words.get(difference.verdict(0.0), UNCLEAR)


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for the number of comparisons.

    Parameters
    ----------
    p : array of float, shape (N,)
        p-values in 0..1.

    Returns
    -------
    ndarray of float, shape (N,)
        Corrected p-values in 0..1, none below its own. Below 0.05 they hold the chance of any false finding at 5 %.

    References
    ----------
    .. [1] Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, dtype=float)
    return np.minimum(_holm_factors(p) * p, 1.0)


def _holm_factors(p: np.ndarray) -> np.ndarray:
    """By what Holm's method multiplies each p, before it stops at 1: at most by their number."""
    order, left = np.argsort(p), len(p) - np.arange(len(p))
    stepped = np.maximum.accumulate(left * p[order])
    out = np.empty_like(p)
    out[order] = np.where(p[order] > 0, stepped / np.where(p[order] > 0, p[order], 1.0), left)
    return out


def _wider(p: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """By what a 95 % t-interval is widened, so that it holds 0 where the corrected p is at least 0.05."""
    tail = (1 - LEVEL) / 2
    return stats.t.isf(tail / _holm_factors(p), degrees) / stats.t.isf(tail, degrees)


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


def detectable(error: float, n: int, level: float = LEVEL) -> float:
    """Find the true effect that a two-sided t-test would find in 80 % of repetitions.

    Parameters
    ----------
    error : float
        Standard error of the mean effect, at least 0.
    n : int
        Number of seeds.
    level : float, default 0.95
        Level of the interval that must leave out zero.

    Returns
    -------
    float
        In the unit of `error`.

    Notes
    -----
    To show that an effect lies beyond a margin, it must be larger than the margin by this much.

    Examples
    --------
    >>> round(ftlib.compare.detectable(0.01, 6), 4)
    0.0352
    """
    return float(error * _in_errors(n, level)) if error else 0.0


@cache
def _in_errors(n: int, level: float) -> float:
    """The effect that `detectable` finds, in standard errors: the same for all comparisons of so many seeds."""
    critical = stats.t.ppf((1 + level) / 2, n - 1)
    effects = np.linspace(0, 20, 2001)
    power = stats.nct.sf(critical, n - 1, effects)
    return effects[min(np.searchsorted(power, POWER), len(effects) - 1)]
