"""Looking at the evidence several times, without fooling oneself: intervals that are wide enough for five looks.

Seeds are recorded in steps: 8, 16, 32, 64, 128. After each step two t-intervals of the effect are computed.

    98.8 %: leaves out zero          -> "yes", or "the opposite"
    97.4 %: lies inside ±margin      -> "no difference" that matters

The first look at which one of them holds decides, and recording stops. Ordinary 95 % intervals at five looks would err
in about 15 of 100 experiments without an effect; these err in at most 5 (tests/test_looks.py simulates both kinds of
error). Both may hold at once: then the answer is "yes, but small". Where no look decides, the answer is "open", and
`detectable` says how large an effect would have been seen.

Jennison and Turnbull 2000, "Group Sequential Methods with Applications to Clinical Trials" (repeated confidence
intervals); Kruschke 2018, "Rejecting or accepting parameter values in Bayesian estimation" (a region of practical
equivalence).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ftlib.evidence.compare import detectable

LOOKS = (8, 16, 32, 64, 128)  # seeds
DIFFERENT = 0.988  # level of the interval that must leave out zero
ALIKE = 0.974  # level of the interval that must lie inside ±margin
Interval = Callable[[np.ndarray, float], tuple[float, float, float]]


@dataclass
class Look:
    """What one look at the first seeds shows.

    Parameters
    ----------
    seeds : int
        How many seeds were looked at.
    effect : float
        The estimate, in the unit of the metric.
    low, high : float
        The 98.8 % interval, which decides whether there is a difference.
    inner_low, inner_high : float
        The 97.4 % interval, which decides whether a difference could matter.
    seen : float
        The smallest true effect that this look would find in 80 % of repetitions.
    word : {"higher", "lower", "no difference", "open"}
        What follows.
    small : bool
        Whether the effect also lies inside the margin.

    Examples
    --------
    >>> look = judge([0.10, 0.12, 0.09, 0.11, 0.10, 0.08, 0.12, 0.10], margin=0.02)
    >>> look.word, look.small, look.seeds
    ('higher', False, 8)
    """

    seeds: int
    effect: float
    low: float
    high: float
    inner_low: float
    inner_high: float
    seen: float
    word: str
    small: bool


def t_interval(values: np.ndarray, level: float) -> tuple[float, float, float]:
    """Compute the t-interval of a mean, at any level.

    Parameters
    ----------
    values : array of float, shape (N,)
        One value per seed.
    level : float
        In 0..1, such as 0.988.

    Returns
    -------
    mean, low, high : float
        The bounds are infinite for a single value.

    Examples
    --------
    >>> [round(bound, 2) for bound in t_interval(np.array([0.7, 0.8, 0.9]), 0.95)]
    [0.8, 0.55, 1.05]
    """
    values, n = np.asarray(values, dtype=float), len(values)
    half = np.inf if n < 2 else stats.t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def spread_interval(pairs: np.ndarray, level: float) -> tuple[float, float, float]:
    """Compute an interval for log2 of the ratio of two standard deviations, of paired values.

    Parameters
    ----------
    pairs : array of float, shape (N, 2)
        The two methods' scores, one row per seed. The ratio is first over second.
    level : float
        In 0..1.

    Returns
    -------
    log_ratio, low, high : float
        -1 is half the spread, +1 twice. The bounds are infinite for fewer than four seeds.

    References
    ----------
    Pitman, "A note on normal correlation", Biometrika 31, 1939, and Morgan, "A test for the significance of the
    difference between the two variances", in the same volume. The interval inverts their test.

    Examples
    --------
    >>> pairs = np.random.default_rng(0).normal(size=(400, 2)) * [2.0, 1.0]
    >>> middle, low, high = spread_interval(pairs, 0.95)
    >>> low < 1 < high
    True
    """
    n = len(pairs)
    if n < 4:
        return (np.nan, -np.inf, np.inf)
    ratio, r = pairs[:, 0].var(ddof=1) / pairs[:, 1].var(ddof=1), np.corrcoef(pairs.T)[0, 1]
    k = 1 + 2 * (1 - r**2) * stats.t.ppf((1 + level) / 2, n - 2) ** 2 / (n - 2)
    half = np.log2(k + np.sqrt(k**2 - 1)) / 2  # of the ratio of variances, so half of it for deviations
    middle = np.log2(ratio) / 2
    return float(middle), float(middle - half), float(middle + half)


def judge(values, margin: float, interval: Interval = t_interval) -> Look:
    """Look once at these seeds.

    Parameters
    ----------
    values : array of float, shape (N,) or (N, 2)
        One value per seed, or one pair per seed for `spread_interval`.
    margin : float
        The smallest effect that matters, above 0.
    interval : callable, default t_interval
        (values, level) to (effect, low, high).

    Returns
    -------
    Look

    Examples
    --------
    >>> judge([0.001, -0.002, 0.0, 0.001, -0.001, 0.002, 0.0, -0.001], margin=0.02).word
    'no difference'
    """
    values = np.asarray(values, dtype=float)
    effect, low, high = interval(values, DIFFERENT)
    _, inner_low, inner_high = interval(values, ALIKE)
    small = bool(-margin < inner_low and inner_high < margin)
    word = "higher" if low > 0 else "lower" if high < 0 else "no difference" if small else "open"
    error = (high - low) / 2 / stats.t.ppf((1 + DIFFERENT) / 2, max(len(values) - 1, 1))
    seen = detectable(error, len(values), DIFFERENT) if np.isfinite(error) else np.inf
    return Look(len(values), effect, low, high, inner_low, inner_high, seen, word, small)


def first_decided(values, margin: float, looks=LOOKS, interval: Interval = t_interval) -> Look | None:
    """Look at the first 8, 16, 32, ... seeds until a look decides.

    Parameters
    ----------
    values : array of float, shape (N,) or (N, 2)
        In the order of the seeds. Seeds after the deciding look are not used.
    margin : float
        The smallest effect that matters.
    looks : iterable of int, optional
        How many seeds each look has. Looks with more seeds than there are values are left out.
    interval : callable, default t_interval
        As in `judge`.

    Returns
    -------
    Look or None
        The look that decided, or else the last one. None where even the first look is not complete.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> first_decided(rng.normal(0.1, 0.1, size=64), margin=0.02).seeds
    16
    """
    last = None
    for count in looks:
        if count > len(values):
            break
        last = judge(values[:count], margin, interval)
        if last.word != "open":
            break
    return last
