"""The exercises of 09_compare: change how a rate is chosen, implement front and interval, investigate records, read off."""

from numbers import Real

import numpy as np
import pandas as pd
from scipy import stats

from ftlib.classroom.reading import points_read
from ftlib.evidence.compare import paired
from ftlib.evidence.runs import load_runs

# Change: the rate is chosen on validation.


def tuned(function) -> str:
    """`function(runs)` gives each method's mean score on test, at the rate with the best mean on validation."""
    runs, right = _tried()
    got = function(runs.copy())
    if not isinstance(got, dict) or set(got) != set(right):
        return f"Return a dictionary with the methods {', '.join(right)}, not {got!r}."
    ways = {
        "": right,
        "The rate is still chosen on test. Choose it by the column validation.": _chosen(runs, "test", "test"),
        "That is the mean on validation. The rate is chosen there, but the score that is reported is that on test.":
            _chosen(runs, "validation", "validation"),
        "The rate of the single best run was taken. One lucky seed must not choose: take the mean over the seeds.":
            _of_one_run(runs),
        "All methods got one rate. Each has its own: choose within the runs of the method.": _one_for_all(runs),
        "That is the best run on test. Report the mean over the seeds at the chosen rate.": _best_run(runs),
    }  # fmt: skip
    for hint, want in ways.items():
        if all(isinstance(got[m], Real) and abs(got[m] - want[m]) < 1e-9 for m in want):
            return hint
    method = next(m for m in right if not isinstance(got[m], Real) or abs(got[m] - right[m]) > 1e-9)
    return f"For the method {method!r} it is {right[method]:.3f}, not {got[method]!r}."


def _tried() -> tuple[pd.DataFrame, dict]:
    """Runs of two methods at three rates, in which each way to choose gives another answer."""
    means = {  # (method, rate): means on validation and test
        ("a", 0.1): (0.80, 0.70), ("a", 0.2): (0.60, 0.90), ("a", 0.3): (0.70, 0.50),
        ("b", 0.1): (0.50, 0.66), ("b", 0.2): (0.72, 0.60), ("b", 0.3): (0.71, 0.72),
    }  # fmt: skip
    lucky = {("a", 0.3): 0.3, ("b", 0.1): 0.4}  # one seed far above, the others below
    rows = []
    for (method, lr), (validation, test) in means.items():
        for seed in range(4):
            luck = lucky.get((method, lr), 0.0) * (1 if seed == 1 else -1 / 3)
            add = 0.01 * (seed - 1.5)
            rows.append(
                {"method": method, "lr": lr, "seed": seed, "validation": validation + add + luck, "test": test + add}
            )
    runs = pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)
    return runs, _chosen(runs, "validation", "test")


def _chosen(runs: pd.DataFrame, by: str, score: str) -> dict:
    found = {}
    for method, its in runs.groupby("method"):
        rate = its.groupby("lr")[by].mean().idxmax()
        found[method] = its[its.lr == rate][score].mean()
    return found


def _of_one_run(runs: pd.DataFrame) -> dict:
    rates = {m: its.lr[its.validation.idxmax()] for m, its in runs.groupby("method")}
    return {m: runs[(runs.method == m) & (runs.lr == rate)].test.mean() for m, rate in rates.items()}


def _one_for_all(runs: pd.DataFrame) -> dict:
    rate = runs.groupby("lr").validation.mean().idxmax()
    return runs[runs.lr == rate].groupby("method").test.mean().to_dict()


def _best_run(runs: pd.DataFrame) -> dict:
    rates = {m: its.groupby("lr").validation.mean().idxmax() for m, its in runs.groupby("method")}
    return {m: runs[(runs.method == m) & (runs.lr == rate)].test.max() for m, rate in rates.items()}


# Implement: the Pareto front.

CASES = [  # (costs, scores, the front)
    ({"dear": 9, "cheap": 1, "bad": 5}, {"dear": 0.9, "cheap": 0.6, "bad": 0.5}, ["cheap", "dear"]),
    ({"a": 1, "b": 2, "c": 3}, {"a": 0.9, "b": 0.8, "c": 0.7}, ["a"]),
    ({"slow": 4, "quick": 2}, {"slow": 0.7, "quick": 0.7}, ["quick"]),
    ({"worse": 2, "better": 2}, {"worse": 0.6, "better": 0.8}, ["better"]),
    ({"c": 3, "b": 2, "a": 1}, {"c": 0.9, "b": 0.8, "a": 0.7}, ["a", "b", "c"]),
    ({"x": 2, "twin": 2, "z": 1}, {"x": 0.8, "twin": 0.8, "z": 0.5}, ["z", "x", "twin"]),
]


def front(function) -> str:
    """`function(costs, scores)` names the methods that no other beats, the cheapest first."""
    for costs, scores, right in CASES:
        got = function(dict(costs), dict(scores))
        if got is None:
            return "Your function gave None: did you `return` the list?"
        got = list(got)
        if got == right:
            continue
        points = ", ".join(f"{name} (costs {costs[name]}, scores {scores[name]})" for name in costs)
        if sorted(map(str, got)) == sorted(right):
            if costs[got[0]] > costs[right[0]]:
                return f"The right methods, in another order: the cheapest comes first, so {right}, not {got}."
            continue  # of two equal ones either may come first
        if not set(got) <= set(costs):
            return f"Return names of methods, such as {right}, not {got}."
        lost = [name for name in right if name not in got]
        if lost and "twin" in costs and set(lost) <= {"x", "twin"}:
            return f"With {points}: x and twin are equal, so neither beats the other, and both stay."
        if lost:
            return f"With {points}: nobody beats {lost[0]}, but it is missing in {got}."
        more = next(name for name in got if name not in right)
        return (
            f"With {points}: {more} is beaten, so it isn't on the front. Being equal in one of the two doesn't save it."
        )
    return ""


# Implement: the paired interval.


def paired_interval(function) -> str:
    """`function(a, b)` gives mean, low and high of a − b over the seeds that both have."""
    rng = np.random.default_rng(0)
    common = rng.normal(0, 0.2, 8)
    a = {seed: 0.7 + common[seed] + rng.normal(0, 0.02) for seed in range(7)}
    b = {seed: 0.6 + common[seed] + rng.normal(0, 0.02) for seed in (5, 3, 7, 1, 2, 0, 4)}
    shared = sorted(set(a) & set(b))
    try:
        got = function(dict(a), dict(b))
    except KeyError as error:
        return f"The seed {error.args[0]!r} is in one of the two only. Use the seeds that both have."
    if not isinstance(got, tuple | list | np.ndarray) or len(got) != 3:
        return f"Return three numbers, (mean, low, high), not {got!r}."
    got = tuple(float(x) for x in got)
    x, y = (np.array([each[seed] for seed in shared]) for each in (a, b))
    d, n = x - y, len(shared)
    by_place = np.array(list(a.values())) - np.array(list(b.values()))
    own = np.sqrt(x.var(ddof=1) / n + y.var(ddof=1) / n)
    t, z = stats.t.ppf(0.975, n - 1), 1.959963985
    ways = {
        "": _around(d.mean(), t * d.std(ddof=1) / np.sqrt(n)),
        "The sign is turned round: it is a − b.": _around(-d.mean(), t * d.std(ddof=1) / np.sqrt(n)),
        "The runs are paired by their place and not by their seed. Look each seed up in both.":
            _around(by_place.mean(), stats.t.ppf(0.975, len(by_place) - 1) * by_place.std(ddof=1) / np.sqrt(len(by_place))),
        "1.96 is for many runs. With so few take t with n − 1 degrees of freedom.":
            _around(d.mean(), z * d.std(ddof=1) / np.sqrt(n)),
        "The standard deviation needs n − 1 in the denominator: NumPy's std takes n unless you give ddof=1.":
            _around(d.mean(), t * d.std() / np.sqrt(n)),
        "That is the spread of single differences. Divide by the root of n, since the interval is that of their mean.":
            _around(d.mean(), t * d.std(ddof=1)),
        "The pairs are forgotten: take the standard deviation of the differences, not of the scores.":
            _around(d.mean(), t * own),
        "t has n − 1 degrees of freedom, not n.": _around(d.mean(), stats.t.ppf(0.975, n) * d.std(ddof=1) / np.sqrt(n)),
        "0.95 leaves 5 % on one side. For both sides together take 0.975.":
            _around(d.mean(), stats.t.ppf(0.95, n - 1) * d.std(ddof=1) / np.sqrt(n)),
    }  # fmt: skip
    for hint, want in ways.items():
        if np.allclose(got, want, atol=1e-9):
            return hint
    mean, low, high = ways[""]
    if abs(got[0] - mean) > 1e-9:
        return f"The mean difference over the shared seeds is {mean:.4f}, and yours is {got[0]:.4f}."
    return f"The mean is right. The interval goes from {low:.4f} to {high:.4f}, and yours from {got[1]:.4f} to {got[2]:.4f}."


def _around(mean: float, reach: float) -> tuple[float, float, float]:
    return mean, mean - reach, mean + reach


# Investigate: what forbids a comparison.


def differs(function) -> str:
    """`function(one, other)` names what forbids to compare two Specs."""
    base = _spec()
    cases = {
        "two runs that differ in their method and its rate": (_spec(arm="new", lr=0.3), []),
        "other tasks": (_spec(task="u"), ["task"]),
        "two grids with other seeds": (_spec(grid="h", seed=1), ["grid", "seed"]),
        "other networks": (_spec(model="n"), ["model"]),
        "50 and 200 examples": (_spec(options={"n": 50}), ["options"]),
        "one phase of 40 steps and one of 60": (_spec(steps=(60,)), ["steps"]),
        "one phase of 40 steps and two of 10 and 30": (_spec(steps=(10, 30)), []),
        "40 steps, and two phases of 40 steps each": (_spec(steps=(40, 40)), ["steps"]),
        "everything": (_spec("new", "u", "n", 3, "h", {"n": 50}, (9,)), sorted(NAMES)),
    }  # fmt: skip
    for what, (other, right) in cases.items():
        got = function(base, other)
        if got is None:
            return "Your function gave None: did you `return` the list?"
        if not isinstance(got, list | tuple) or not all(isinstance(name, str) for name in got):
            return f"Return a list of names, such as ['grid', 'seed'], not {got!r}."
        got = list(got)
        if got == right:
            continue
        if sorted(got) == right:
            return f"The right names, but not sorted: {right}, not {got}."
        odd = [name for name in got if name not in NAMES]
        if odd:
            return f"{odd[0]!r} may differ: methods are compared, each with its own rate. Only {', '.join(sorted(NAMES))} count."
        if "steps" in set(got) ^ set(right):
            return f"For {what} you gave {got}. Compare the sum of the steps over all phases, not single phases."
        return f"For {what} it is {right}, and you gave {got}."
    return ""


NAMES = {"grid", "task", "model", "seed", "options", "steps"}


def _spec(arm="old", task="t", model="m", seed=0, grid="g", options=None, steps=(40,), lr=0.1) -> dict:
    phases = [
        {"strategy": [], "steps": n, "lr": lr, "data": {"train": "train"}, "batch_size": 32, "fit": {}} for n in steps
    ]
    return {"arm": arm, "task": task, "model": model, "seed": seed, "phases": phases, "grid": grid,
            "options": options or {"n": 200}, "purpose": "measure"}  # fmt: skip


# The task of the board: read off a difference.


def board(points) -> str:
    """By how many points of macro-F1 the other method on the front is ahead of the head alone."""
    runs = load_runs("04_peft_methods").query("purpose == 'measure'")
    right, others = 100 * _ahead(runs, "ia3", "probe"), {}
    for arm in ("adapter", "dora-8", "bias", "prompt", "prefix"):
        others[f"That is {arm}, which is not on the front of trained parameters. Look at the green line."] = (
            100 * _ahead(runs, arm, "probe")
        )
    for base in ("dora-8", "adapter"):
        others[f"That is the difference from {base}: choose probe as Baseline."] = 100 * _ahead(runs, "ia3", base)
    others["That is accuracy: choose macro-F1 on test as Score."] = (
        100 * paired(runs, "test.accuracy", "ia3", "probe").mean
    )
    others["That is its score, and not the difference from probe."] = (
        100 * runs["test.macro_f1"][runs.arm == "ia3"].mean()
    )
    return points_read(
        points, right, others, ("ia3", "probe"),
        "Choose Runs 04_peft_methods, Cost trained parameters and Baseline probe. The table below the figure marks the "
        "front with a star, and has the difference of each method in points.",
    )  # fmt: skip


def _ahead(runs: pd.DataFrame, arm: str, base: str) -> float:
    return paired(runs, "test.macro_f1", arm, base).mean


EXERCISES = {"tuned": tuned, "front": front, "paired_interval": paired_interval, "differs": differs, "board": board}
