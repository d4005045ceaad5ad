"""Likely mistakes of the exercises of 09_compare, with the hint that each must get; tests/test_exercises.py tries them.

READ_OFF holds the right answers that a learner reads from a widget, and that are no code.
"""

import numpy as np
from scipy import stats

from ftlib.evidence.compare import paired
from ftlib.evidence.runs import load_runs


def rates(by="validation", score="test", of="mean", within=True, report="mean"):
    """An answer to `tuned` with one thing done otherwise."""

    def tuned(runs):
        if not within:
            rate = runs.groupby("lr")[by].mean().idxmax()
            return runs[runs.lr == rate].groupby("method")[score].mean().to_dict()
        found = {}
        for method, its in runs.groupby("method"):
            rate = its.groupby("lr")[by].agg(of).idxmax()
            found[method] = getattr(its[its.lr == rate][score], report)()
        return found

    return tuned


def beaten(at_least=True, order=True, ties=True):
    """An answer to `front` with one thing done otherwise."""

    def front(costs, scores):
        kept = []
        for a in costs:
            others = [b for b in costs if b != a]
            if at_least:
                worse = [b for b in others if costs[b] <= costs[a] and scores[b] >= scores[a]
                         and (not ties or (costs[b], scores[b]) != (costs[a], scores[a]))]  # fmt: skip
            else:
                worse = [b for b in others if costs[b] < costs[a] and scores[b] > scores[a]]
            kept += [] if worse else [a]
        return sorted(kept, key=costs.get, reverse=not order)

    return front


def all_that_gain(costs, scores):
    """Starts from the dearest."""
    kept, best = [], -1.0
    for name in sorted(costs, key=lambda one: -costs[one]):
        if scores[name] > best:
            kept.append(name)
            best = scores[name]
    return kept[::-1]


def difference(sign=1, t=None, ddof=1, root=True, by_place=False, pairs=True, less=1, level=0.975):
    """An answer to `paired_interval` with one thing done otherwise."""

    def paired_interval(a, b):
        shared = [seed for seed in a if seed in b]
        x, y = (np.array([each[seed] for seed in shared]) for each in (a, b))
        if by_place:
            x, y = np.array(list(a.values())), np.array(list(b.values()))
        d = sign * (x - y)
        n = len(d)
        s = d.std(ddof=ddof) if pairs else np.sqrt(x.var(ddof=1) + y.var(ddof=1))
        reach = (t or stats.t.ppf(level, n - less)) * s / (np.sqrt(n) if root else 1)
        return d.mean(), d.mean() - reach, d.mean() + reach

    return paired_interval


def no_look(a, b):
    return difference()(a, {seed: b[seed] for seed in a})


def only_the_mean(a, b):
    return float(difference()(a, b)[0])


def other_mean(a, b):
    mean, low, high = difference()(a, b)
    return mean + 0.1, low, high


def other_reach(a, b):
    mean, low, high = difference()(a, b)
    return mean, 2 * low - mean, 2 * high - mean


KEYS = ("grid", "task", "model", "seed", "options")


def found(keys=KEYS, steps=lambda phases: sum(p["steps"] for p in phases), order=sorted):
    """An answer to `differs` with one thing done otherwise."""

    def differs(one, other):
        names = [key for key in keys if one[key] != other[key]]
        names += ["steps"] if steps(one["phases"]) != steps(other["phases"]) else []
        return order(names)

    return differs


def ahead(arm="ia3", base="probe", metric="test.macro_f1"):
    runs = load_runs("04_peft_methods").query("purpose == 'measure'")
    return round(100 * paired(runs, metric, arm, base).mean, 1)


READ_OFF = {"board": lambda: ahead()}
MISTAKES = [
    ("tuned", rates(by="test"), "The rate is still chosen on test"),
    ("tuned", rates(score="validation"), "the score that is reported is that on test"),
    ("tuned", rates(of="max"), "One lucky seed must not choose"),
    ("tuned", rates(within=False), "All methods got one rate"),
    ("tuned", rates(report="max"), "That is the best run on test"),
    ("tuned", lambda runs: 0.7, "Return a dictionary with the methods a, b"),
    ("tuned", lambda runs: {"a": 0.7, "b": 0.5}, "For the method 'b' it is 0.600, not 0.5"),
    ("front", beaten(at_least=False), "Being equal in one of the two doesn't save it"),
    ("front", beaten(ties=False), "x and twin are equal, so neither beats the other"),
    ("front", beaten(order=False), "the cheapest comes first"),
    ("front", all_that_gain, "nobody beats cheap"),
    ("front", lambda costs, scores: [max(scores, key=scores.get)], "nobody beats cheap"),
    ("front", lambda costs, scores: list(costs), "bad is beaten, so it isn't on the front"),
    ("front", lambda costs, scores: [costs[name] for name in costs], "Return names of methods"),
    ("front", lambda costs, scores: None, "did you return the list?"),
    ("paired_interval", difference(sign=-1), "The sign is turned round"),
    ("paired_interval", difference(by_place=True), "paired by their place and not by their seed"),
    ("paired_interval", difference(t=1.959963985), "1.96 is for many runs"),
    ("paired_interval", difference(ddof=0), "unless you give ddof=1"),
    ("paired_interval", difference(root=False), "Divide by the root of n"),
    ("paired_interval", difference(pairs=False), "The pairs are forgotten"),
    ("paired_interval", difference(less=0), "n − 1 degrees of freedom, not n"),
    ("paired_interval", difference(level=0.95), "For both sides together take 0.975"),
    ("paired_interval", no_look, "The seed 6 is in one of the two only"),
    ("paired_interval", only_the_mean, "Return three numbers"),
    ("paired_interval", other_mean, "The mean difference over the shared seeds is"),
    ("paired_interval", other_reach, "The mean is right"),
    ("differs", found(keys=("grid", "task", "model", "seed")), "For 50 and 200 examples it is ['options']"),
    ("differs", found(keys=("arm", *KEYS)), "'arm' may differ"),
    ("differs", found(steps=lambda phases: phases[0]["steps"]), "Compare the sum of the steps over all phases"),
    (
        "differs",
        found(steps=lambda phases: [p["steps"] for p in phases]),
        "Compare the sum of the steps over all phases",
    ),
    ("differs", found(steps=str), "Compare the sum of the steps over all phases"),
    ("differs", found(order=lambda names: sorted(names, reverse=True)), "The right names, but not sorted"),
    ("differs", lambda one, other: one == other, "Return a list of names"),
    ("differs", lambda one, other: None, "did you return the list?"),
    ("board", (4, 4), "Write the number with a point"),
    ("board", lambda: ahead() / 100, "a hundred times as much"),
    ("board", lambda: -ahead(), "The size is right, the sign is not"),
    ("board", lambda: ahead("adapter"), "That is adapter, which is not on the front"),
    ("board", lambda: ahead(base="dora-8"), "choose probe as Baseline"),
    ("board", lambda: ahead(metric="test.accuracy"), "choose macro-F1 on test as Score"),
    ("board", 79.8, "That is its score, and not the difference"),
    ("board", 55.0, "Choose Runs 04_peft_methods, Cost trained parameters and Baseline probe"),
]
