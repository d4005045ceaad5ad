"""Made-up runs whose answers are known, and the statistics of them from scipy and by hand, not from ftlib."""

import itertools
import math
import re

import numpy as np
import pandas as pd
from scipy import stats

METRIC = "test.accuracy"
UNCLEAR = "not distinguishable here"
ARMS = ("zeta", "alpha", "mid")  # not in the order of the alphabet; the baseline is "alpha", the second
BASE = "alpha"
NUMBER = r"[+-]?(?:\d+\.\d+|\d+|nan|inf)"


def runs(effects=(0.05, 0.0, -0.05), seeds=6, noise=0.01, level=0.5, at=0, arms=ARMS):
    """Scores that share what their seed brings; the seeds of each arm come in an order of their own."""
    rng = np.random.default_rng(at)
    common, rows = 0.1 * rng.normal(size=seeds), []
    for i, (arm, effect) in enumerate(zip(arms, effects)):
        for seed in np.random.default_rng(i).permutation(seeds):
            score = level + effect + common[seed] + noise * rng.normal()
            rows.append({"arm": arm, "seed": int(seed), "task": "t", "model": "m", METRIC: score})
    return pd.DataFrame(rows)


DATA = {
    "better and worse": runs(),
    "worse and better": runs((-0.05, 0.0, 0.05)),
    "not clear": runs((0.01, 0.0, -0.01), noise=0.1),
    "equal": runs((0.0, 0.0, 0.0), noise=0.0),
    "below zero": runs(level=-2.0),
    "two arms": runs((0.05, 0.0)),
    "five seeds": runs(seeds=5),
    "two seeds": runs(seeds=2),
    "one seed": runs(seeds=1),
    "many arms, one barely": runs((0.008, 0.0, *[0.001] * 6), noise=0.01, at=26, arms=(*ARMS, *"bcdef")),
}


def of(values) -> tuple[float, float, float]:
    """(mean, low, high) of the 95 % t-interval; one value has none."""
    values = [float(v) for v in values]
    mean, n = sum(values) / len(values), len(values)
    if n < 2:
        return mean, -math.inf, math.inf
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    half = stats.t.isf(0.025, n - 1) * error
    return mean, mean - half, mean + half


def scores(rows: pd.DataFrame, arm: str, metric: str = METRIC) -> dict[int, float]:
    """{seed: score} of an arm."""
    return {int(r["seed"]): r[metric] for _, r in rows.iterrows() if r["arm"] == arm}


def against(rows: pd.DataFrame, arm: str, base: str = BASE, metric: str = METRIC) -> tuple[float, float, float, float]:
    """(mean, low, high, p) of arm − base, seed by seed."""
    a, b = scores(rows, arm, metric), scores(rows, base, metric)
    assert a.keys() == b.keys()
    gaps = [a[seed] - b[seed] for seed in a]
    mean, low, high = of(gaps)
    if len(gaps) < 2:
        return mean, low, high, math.nan
    p = stats.ttest_1samp(gaps, 0).pvalue if max(gaps) > min(gaps) else float(mean == 0)
    return mean, low, high, p


def corrected(ps: list[float]) -> list[float]:
    """Holm: the smallest times as many as there are, the next times one fewer, and never falling; here not cut at 1."""
    order, out, most = sorted(range(len(ps)), key=lambda i: ps[i]), [math.nan] * len(ps), 0.0
    for rank, i in enumerate(order):
        most = max(most, (len(ps) - rank) * ps[i])
        out[i] = most
    return out


def holds(mean, low, high, p, fixed, seeds) -> tuple[float, float]:
    """The interval of a difference whose p was corrected: where p was multiplied by k, the error of 5 % is divided."""
    if seeds < 2 or high == low:
        return low, high
    error = (high - low) / 2 / stats.t.isf(0.025, seeds - 1)
    half = stats.t.isf(0.025 * p / fixed, seeds - 1) * error
    return mean - half, mean + half


def comparisons(rows: pd.DataFrame, base: str = BASE, metric: str = METRIC) -> dict[str, str]:
    """{arm: what must be said of it against the base}, in the order of the rows."""
    arms = [arm for arm in dict.fromkeys(rows.arm) if arm != base]
    found, seeds = {arm: against(rows, arm, base, metric) for arm in arms}, len(scores(rows, base, metric))
    return {arm: in_words(found[arm][0], *intervals(rows, base, metric)[arm], seeds) for arm in arms}


def intervals(rows: pd.DataFrame, base: str = BASE, metric: str = METRIC) -> dict[str, tuple[float, float]]:
    """{arm: the corrected interval of arm − base}."""
    arms = [arm for arm in dict.fromkeys(rows.arm) if arm != base]
    found, seeds = {arm: against(rows, arm, base, metric) for arm in arms}, len(scores(rows, base, metric))
    fixed = dict(zip(arms, corrected([p for *_, p in found.values()])))
    return {arm: holds(*found[arm], fixed[arm], seeds) for arm in arms}


def how_many(rows: pd.DataFrame, base: str = BASE) -> str:
    """What is said of the correction, before the comparisons."""
    arms, seeds = [arm for arm in dict.fromkeys(rows.arm) if arm != base], rows.seed.nunique()
    return f", intervals corrected for {len(arms)} comparisons" if len(arms) > 1 and seeds > 1 else ""


def in_words(mean, low, high, seeds) -> str:
    if seeds < 2:
        return f"{mean:+.3f} (one seed, so no interval), {UNCLEAR}"
    spread, beyond = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]", low > 0 or high < 0
    if not beyond:
        return f"{spread}, {UNCLEAR}"
    if seeds < 6:
        return f"{spread}, {UNCLEAR}: a verdict needs 6 seeds, these are {seeds}"
    return f"{spread}, {'higher' if low > 0 else 'lower'}"


def score(values, digits=3) -> str:
    """A mean with its interval in words."""
    mean, low, high = of(values)
    spread = f"[{low:.{digits}f}, {high:.{digits}f}]" if len(list(values)) > 1 else "(one seed, so no interval)"
    return f"{mean:.{digits}f} {spread}"


def numbers(text: str) -> list[float]:
    """Every number of a text, in order."""
    return [float(n) for n in re.findall(NUMBER, text)]


def close(a, b) -> bool:
    """Equal up to rounding; nan is equal to nan."""
    return len(list(a)) == len(list(b)) and np.allclose(list(a), list(b), atol=1e-9, equal_nan=True)


def bar(trace, axis="x") -> tuple[float, float, float]:
    """(value, low, high) of a trace of one point with its interval; no interval: the point three times."""
    (value,), error = getattr(trace, axis), getattr(trace, f"error_{axis}")
    if error.array[0] is None:
        return value, value, value
    return value, value - error.arrayminus[0], value + error.array[0]


def every(**options):
    """All combinations, as dicts."""
    return [dict(zip(options, values)) for values in itertools.product(*options.values())]
