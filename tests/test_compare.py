"""Intervals, pairing, verdicts and corrections, against scipy and by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ftlib.evidence.compare import UNCLEAR, Paired, holm, interval, paired, table

METRIC = "test.accuracy"


def runs(seeds=6, effects=(0.0, 0.05), noise=0.01, shared=0.1, seed=0):
    """Arms a, b, … whose scores share what their seed brings."""
    rng = np.random.default_rng(seed)
    common = shared * rng.normal(size=seeds)
    return pd.DataFrame(
        {"arm": "abc"[i], "seed": s, "task": "t", "model": "m", METRIC: 0.5 + e + common[s] + noise * rng.normal()}
        for i, e in enumerate(effects)
        for s in range(seeds)
    )


def test_the_paired_difference_is_scipys():
    df = runs()
    a, b = (df[df.arm == arm][METRIC].to_numpy() for arm in "ab")
    want, got = stats.ttest_rel(b, a), paired(df, METRIC, "b", "a")
    assert got.p == pytest.approx(want.pvalue)
    assert (got.low, got.high) == pytest.approx(tuple(want.confidence_interval(0.95)))


def test_pairing_removes_what_the_seed_brings():
    df = runs(noise=0.005, shared=0.2)
    d = paired(df, METRIC, "b", "a")
    unpaired = [interval(df[df.arm == arm][METRIC].to_numpy()) for arm in "ab"]
    assert d.verdict() == "supported" and unpaired[0][2] > unpaired[1][1]  # alone, the intervals overlap


@pytest.mark.parametrize(
    ("low", "high", "margin", "seeds", "verdict"),
    [
        (0.01, 0.03, 0.0, 6, "supported"),
        (0.01, 0.03, 0.02, 6, "undecided"),
        (-0.03, -0.01, 0.0, 6, "contradicted"),
        (-0.01, 0.01, 0.02, 6, "equivalent"),
        (-0.01, 0.01, 0.0, 6, "undecided"),
        (0.01, 0.03, 0.0, 5, "undecided"),
    ],
)
def test_verdicts(low, high, margin, seeds, verdict):
    d = Paired("b", "a", METRIC, seeds, (low + high) / 2, low, high, 0.01, 0.0)
    assert d.verdict(margin) == verdict


def test_the_interval_covers_the_truth_in_95_of_100():
    rng = np.random.default_rng(1)
    hits = [low <= 0 <= high for _, low, high in (interval(rng.normal(size=6)) for _ in range(2000))]
    assert 0.935 < np.mean(hits) < 0.965


def test_the_detectable_effect_is_found_in_80_of_100():
    rng = np.random.default_rng(2)
    d = paired(runs(noise=0.01), METRIC, "b", "a")
    sd = (d.high - d.mean) / stats.t.ppf(0.975, 5) * np.sqrt(6)
    found = [stats.ttest_1samp(rng.normal(d.detectable, sd, 6), 0).pvalue < 0.05 for _ in range(2000)]
    assert 0.76 < np.mean(found) < 0.84


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_a_table_reads_in_words():
    got = table(runs(effects=(0.0, 0.05, 0.0005)), METRIC, baseline="a")
    assert list(got.reading[1:]) == ["higher", "not distinguishable here"]
    assert got.loc["b", "p"] > paired(runs(effects=(0.0, 0.05, 0.0005)), METRIC, "b", "a").p  # corrected
    assert pd.isna(got.loc["a", "difference"]) and (got.seeds == 6).all()


def test_a_reading_allows_for_how_many_arms_were_looked_at():
    """Of arms whose intervals just miss 0, each would be "higher" alone; of several, Holm's p decides."""
    steps = np.array([-0.9, -0.5, -0.1, 0.1, 0.5, 0.9])  # a spread of 0.7, the same for each arm
    arms = {"a": np.zeros(6), "close": 0.85 + steps, "closer": 0.9 + steps, "far": 9.0 + steps}
    rows = [{"arm": k, "seed": s, METRIC: v} for k, values in arms.items() for s, v in enumerate(values)]
    alone = [paired(pd.DataFrame(rows), METRIC, arm, "a").verdict() for arm in ("close", "closer", "far")]
    together = table(pd.DataFrame(rows), METRIC, "a").reading[["close", "closer", "far"]]
    assert alone == ["supported"] * 3
    assert list(together) == ["higher", "higher", "higher"]  # Holm's last steps ask no more than one comparison does
    rows += [{"arm": f"none{i}", "seed": s, METRIC: v} for i in range(4) for s, v in enumerate(steps)]
    got = table(pd.DataFrame(rows), METRIC, "a")
    assert got.reading["far"] == "higher" and got.reading["close"] == "not distinguishable here"


@pytest.mark.parametrize("seed", range(8))
def test_one_rule_reads_every_row_of_a_table(seed):
    """An interval that holds 0 says nothing, and one that leaves it out says which way; p says the same."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(0, 0.012, 8)
    rows = [
        {"arm": f"arm {i}", "seed": s, METRIC: 0.5 + effect + 0.01 * rng.normal()}
        for i, effect in enumerate((0.0, *effects))
        for s in range(6)
    ]
    found = table(pd.DataFrame(rows), METRIC, "arm 0").iloc[1:]
    holds = (found.corrected_low <= 0) & (found.corrected_high >= 0)
    assert list(holds) == list(found.reading == UNCLEAR) == list(found.p >= 0.05)
    assert (found.corrected_low <= found.diff_low + 1e-12).all()
    assert np.allclose(found.corrected_low + found.corrected_high, 2 * found.difference)
    smallest = found.loc[found.p.idxmin()]
    half = stats.t.isf(0.025 / 8, 5) / stats.t.isf(0.025, 5) * (smallest.diff_high - smallest.difference)
    assert smallest.corrected_high == pytest.approx(smallest.difference + half)  # of eight comparisons


def test_bad_input_is_one_sentence():
    df = runs()
    with pytest.raises(ValueError, match=r"the seeds \[5\] have only one of b and a"):
        paired(df.drop(df[(df.arm == "b") & (df.seed == 5)].index), METRIC, "b", "a")
    with pytest.raises(ValueError, match="each arm must have one run a seed"):
        paired(pd.concat([df, df]), METRIC, "b", "a")
    with pytest.raises(ValueError, match=r"compare one task at a time, but the runs hold \['t', 'u'\]"):
        paired(pd.concat([df, df.assign(task="u")]), METRIC, "b", "a")
    with pytest.raises(KeyError, match=r"no run has the arm \['x'\]: there are \['a', 'b'\]"):
        paired(df, METRIC, "x", "a")
    with pytest.raises(KeyError, match=r"no column is called 'test.f2': the runs have test.accuracy"):
        paired(df, "test.f2", "b", "a")
    assert paired(df[df.seed == 0], METRIC, "b", "a").verdict() == "undecided"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_said_and_no_mean_passes_over_it(value):
    df = runs(effects=(0.0, 0.05, 0.1))
    df.loc[(df.arm == "b") & (df.seed == 2), METRIC] = value
    words = f"1 of 12 runs have no finite {METRIC}, the first of them b, seed 2"
    with pytest.raises(ValueError, match=words):
        paired(df, METRIC, "b", "a")
    assert paired(df, METRIC, "c", "a").seeds == 6  # another arm's
    with pytest.raises(ValueError, match=f"1 of 18 runs have no finite {METRIC}"):
        table(df, METRIC, "a")


def test_scores_as_words_are_said():
    df = runs().astype({METRIC: str})
    for compare in (lambda: paired(df, METRIC, "b", "a"), lambda: table(df, METRIC, "a")):
        with pytest.raises(ValueError, match=f"{METRIC} must hold numbers, but it holds '"):
            compare()
