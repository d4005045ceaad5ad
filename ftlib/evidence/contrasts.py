"""The contrasts that claims are judged by: from recorded runs, one effect with its interval.

A rule takes (runs, metric, arm, baseline) and returns a `compare.Paired`. The runs are those of `claims.recorded`, one
row per run. RULES gives each rule the name by which a claim's file asks for it.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from ftlib.evidence.compare import LEVEL, SEEDS_FOR_A_VERDICT, Paired, paired

NEAR = 0.95  # "as good": this share of the best score
CHOSEN_BY = "validation.balanced_accuracy"  # what a rate is chosen by where all of them were measured


def p_beyond(d: Paired, margin: float) -> float:
    """Two-sided p of "the true difference is not beyond the margin"; for a margin of zero, the paired t-test's."""
    if d.seeds < 2:
        return 1.0
    error = (d.high - d.low) / 2 / stats.t.ppf((1 + LEVEL) / 2, max(d.seeds - 1, 1))
    if margin == 0 or not error > 0 or not np.isfinite(error):
        return d.p if margin == 0 else float(abs(d.mean) <= margin)
    return float(min(1.0, 2 * stats.t.sf((abs(d.mean) - margin) / error, d.seeds - 1)))


def over_all(runs: pd.DataFrame, metric: str, arm: str, baseline: list[str]) -> Paired:
    """The arm against each of several others, one by one; what is returned is the comparison that is worst for it.

    Its interval and p are corrected for the number of rivals (Bonferroni). Neither the best score of each seed nor the
    best mean is a fair rival, since both are partly luck: among four equal methods the first finds a difference in 3 of
    4 experiments of 24 seeds, and a rival that is chosen on the other seeds in 1 of 6.
    """
    found = [paired(runs, metric, arm, rival) for rival in baseline]
    worst = min(found, key=lambda d: d.mean)
    wider = stats.t.ppf(1 - (1 - LEVEL) / 2 / len(found), max(worst.seeds - 1, 1))
    wider /= stats.t.ppf((1 + LEVEL) / 2, max(worst.seeds - 1, 1))
    low, high = (worst.mean + (bound - worst.mean) * wider for bound in (worst.low, worst.high))
    p = min(1.0, worst.p * len(found))
    return replace(worst, low=low, high=high, p=p, detectable=worst.detectable * wider)


def slope(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """By how much arm − baseline grows with each doubling of n: one straight line a seed over log2 n."""
    wide = runs.pivot(index="seed", columns=["arm", "n"], values=metric)
    difference = wide[arm] - wide[baseline]  # (seeds, sizes)
    slopes = np.polyfit(np.log2(difference.columns.to_numpy(dtype=float)), difference.to_numpy().T, 1)[0]
    return _of(pd.Series(slopes, difference.index), metric, arm, baseline)


def cost(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """log2 of the ratio of training seconds until both are as good: 95 % of the lower of their two best scores."""
    name, ratios = metric.removeprefix("validation."), {}
    for seed, pair in runs[runs.arm.isin([arm, baseline])].groupby("seed"):
        by = pair.set_index("arm")
        target = NEAR * min(max(at[name] for at in curve) for curve in by.curve)
        seconds = {one: seconds_until(by.loc[one], name, target) for one in by.index}
        ratios[seed] = np.log2(seconds[arm] / seconds[baseline])
    return _of(pd.Series(ratios), metric, arm, baseline)


def seconds_until(run: pd.Series, name: str, target: float) -> float:
    """Training seconds until a metric on validation reaches a target.

    Older records have no seconds in their curves. There a step counts as the mean step.
    """
    at = next(at for at in run.curve if at[name] >= target)
    return at["seconds"] if "seconds" in at else at["step"] * run["seconds.step"]


def ratio(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """log2 of arm / baseline on each seed: -1 is half, +1 twice."""
    wide = runs.pivot(index="seed", columns="arm", values=metric)
    return _of(np.log2(wide[arm] / wide[baseline]), metric, arm, baseline)


def spread(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """By how much further a seed's score lies from its arm's median, the spread of Brown & Forsythe (1974)."""
    wide = runs.pivot(index="seed", columns="arm", values=metric)
    apart = (wide - wide.median()).abs()
    return _of(apart[arm] - apart[baseline], metric, arm, baseline)


def further(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """By how much arm − baseline is larger on the corrupted tasks (their mean; "elpv+noise3") than on the plain one."""
    wide = runs.pivot(index="seed", columns=["arm", "task"], values=metric)
    difference = wide[arm] - wide[baseline]  # (seeds, tasks)
    far = difference.columns.str.contains("+", regex=False)
    return _of(difference.loc[:, far].mean(axis=1) - difference.loc[:, ~far].mean(axis=1), metric, arm, baseline)


def over_tasks(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """arm − baseline in the mean over tasks. A run that was scored on several tasks ("amazon:test.macro_f1", see
    "also_evaluate_on" of a grid) counts for each of them."""
    beside = [name for name in runs if name.endswith(f":{metric}")]
    rows = []
    for run in runs[runs.arm.isin([arm, baseline])].to_dict("records"):
        several = {name.rpartition(":")[0]: run[name] for name in beside if np.isfinite(run[name])}
        scores = several or {run["task"]: run[metric]}
        rows += [{"arm": run["arm"], "seed": run["seed"], "task": t, metric: v} for t, v in scores.items()]
    long = pd.DataFrame(rows)
    tasks = {name: sorted(long.task[long.arm == name]) for name in (arm, baseline)}
    if tasks[arm] != tasks[baseline]:
        raise ValueError(f"a mean over tasks compares the same tasks, but there are {tasks}")
    return paired(long.groupby(["arm", "seed"], as_index=False)[metric].mean(), metric, arm, baseline)


def rank(runs: pd.DataFrame, metric: str, arm: str, baseline: str, related: str = "probe") -> Paired:
    """Spearman's correlation between relatedness, the mean score of a probe, and gain, the mean of arm − baseline.

    A point is a task, or a task and a source where arms are called "full/tweets", "probe/tweets". The interval is a
    bootstrap over the points; with fewer than six of them it is all of -1 to 1.
    """
    names = runs.arm.str.partition("/")
    mean = (
        runs.assign(kind=names[0], source=names[2]).groupby(["task", "source", "kind"])[metric].mean().unstack("kind")
    )
    scratch = mean[baseline].groupby("task").transform("max")  # from scratch there is no source
    points = pd.DataFrame({"related": mean[related], "gain": mean[arm] - scratch}).dropna().to_numpy()
    draws = np.random.default_rng(0).integers(len(points), size=(2000, len(points)))
    rho = np.array([stats.spearmanr(*points[rows].T).statistic for rows in draws if len(set(rows)) > 2])
    rho, few = rho[np.isfinite(rho)], len(points) < SEEDS_FOR_A_VERDICT
    low, high = (-1.0, 1.0) if few else np.quantile(rho, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p = 1.0 if few else min(1.0, 2 * min((rho <= 0).mean(), (rho >= 0).mean()))
    seen = np.nan if few else np.tanh((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / np.sqrt(len(points) - 3))
    middle = float(stats.spearmanr(*points.T).statistic)
    return Paired(arm, baseline, metric, runs.seed.nunique(), middle, float(low), float(high), float(p), float(seen))


def best_rate_per_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """One run a shape and seed: at the rate that is best on validation on the *other* seeds; arms are named by shape.

    All rates were measured on all seeds. Leaving out the seed that is judged keeps its noise out of the choice.
    """
    runs, kept = runs.assign(arm=runs.arm.str.partition("@")[0]), []
    for _, shape in runs.groupby("arm"):
        for seed, at_seed in shape.groupby("seed"):
            means = shape[shape.seed != seed].groupby("lr")[CHOSEN_BY].mean()
            kept.append(at_seed[at_seed.lr == means.idxmax()])
    return pd.concat(kept)


def tuned(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """arm − baseline, each at its own rate."""
    return paired(best_rate_per_seed(runs), metric, arm, baseline)


def speed(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """log2 of the ratio of steps until both are as good, each at its own rate: 95 % of the lower of two best scores."""
    name, ratios, runs = metric.removeprefix("validation."), {}, best_rate_per_seed(runs)
    for seed, pair in runs[runs.arm.isin([arm, baseline])].groupby("seed"):
        curves = pair.set_index("arm").curve
        target = NEAR * min(max(at[name] for at in curve) for curve in curves)
        steps = curves.map(lambda curve, target=target: next(at["step"] for at in curve if at[name] >= target))
        ratios[seed] = np.log2(steps[arm] / steps[baseline])
    return _of(pd.Series(ratios), metric, arm, baseline)


def over_rates(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """arm − baseline in the mean over all rates of the grid: how well a shape does when nobody tuned its rate."""
    shapes = runs.assign(arm=runs.arm.str.partition("@")[0])
    rates = {name: sorted(set(shapes[shapes.arm == name].lr)) for name in (arm, baseline)}
    if rates[arm] != rates[baseline]:
        raise ValueError(f"a mean over rates compares the same rates, but there are {rates}: record what is missing")
    return paired(shapes.groupby(["arm", "seed"], as_index=False)[metric].mean(), metric, arm, baseline)


def regret(runs: pd.DataFrame, metric: str, arm: str, baseline: str) -> Paired:
    """On the task `arm`: the choice of shape and rate made there − the choice made on the task `baseline`.

    The choice: the highest mean on validation among what was measured on both tasks; on `arm` itself without the seed
    that is judged, on `baseline` over all seeds.
    """
    runs = runs[runs.task.isin([arm, baseline])]
    wide = runs.pivot(index=["task", "seed"], columns="arm", values=[CHOSEN_BY, metric])
    both = [c for c in wide[metric] if wide[metric][c].notna().all()]
    chosen, score = wide[CHOSEN_BY][both], wide[metric][both].loc[arm]
    brought = chosen.loc[baseline].mean().idxmax()
    lost = {s: score.loc[s, chosen.loc[arm].drop(s).mean().idxmax()] - score.loc[s, brought] for s in score.index}
    return _of(pd.Series(lost), metric, f"chosen on {arm}", f"chosen on {baseline}")


RULES = {
    "difference": paired, "over_all": over_all, "slope": slope, "cost": cost, "rank": rank, "ratio": ratio,
    "further": further, "tuned": tuned, "speed": speed, "over_rates": over_rates, "regret": regret,
    "over_tasks": over_tasks, "spread": spread,
}  # fmt: skip


def _of(values: pd.Series, metric: str, arm: str, baseline: str) -> Paired:
    """The mean of one value a seed against 0, with all that `paired` says of it."""
    both = [pd.DataFrame({"seed": values.index, "arm": a, metric: v}) for a, v in ((arm, values), (baseline, 0.0))]
    return paired(pd.concat(both), metric, arm, baseline)
