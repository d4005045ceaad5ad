"""The looks: how often they err on data whose answer is known, and what stops a recording."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ftlib.evidence import confirm, grid_files, grids
from ftlib.evidence.confirm_files import Row, read_confirmation
from ftlib.evidence.contrasts import over_all
from ftlib.evidence.looks import ALIKE, DIFFERENT, LOOKS, first_decided, judge, spread_interval, t_interval
from ftlib.io import places

EXPERIMENTS = 4000
JOINED = json.loads((Path(__file__).parent / "data" / "joined.json").read_text(encoding="utf-8"))
MARGIN = 0.02


def words(mean: float, sd: float = 0.05, experiments: int = EXPERIMENTS) -> pd.Series:
    """How often each word is said of experiments of up to 128 seeds, all looks together; computed for all at once."""
    values = np.random.default_rng(0).normal(mean, sd, (experiments, LOOKS[-1]))
    said = np.full(experiments, "open", object)
    for n in LOOKS:
        first = values[:, :n]
        middle, error = first.mean(1), first.std(1, ddof=1) / np.sqrt(n)
        wide, narrow = (stats.t.ppf((1 + level) / 2, n - 1) * error for level in (DIFFERENT, ALIKE))
        small = (middle - narrow > -MARGIN) & (middle + narrow < MARGIN)
        word = np.where(
            middle - wide > 0, "higher", np.where(middle + wide < 0, "lower", np.where(small, "same", "open"))
        )
        said = np.where(said == "open", word, said)
    return pd.Series(said).value_counts(normalize=True)


def test_the_fast_simulation_says_what_the_library_says():
    values = np.random.default_rng(1).normal(0.02, 0.05, LOOKS[-1])
    look = first_decided(values, MARGIN)
    at = judge(values[: look.seeds], MARGIN)
    assert look == at and look.word in ("higher", "lower", "no difference", "open")
    middle, low, high = t_interval(values[:8], 0.95)
    found = stats.ttest_1samp(values[:8], 0).confidence_interval(0.95)
    assert (middle, low, high) == pytest.approx((values[:8].mean(), found.low, found.high))


def test_without_an_effect_all_looks_together_err_in_at_most_5_of_100():
    found = words(0.0)
    assert 0.02 < found.get("higher", 0) + found.get("lower", 0) < 0.055
    assert found["same"] > 0.8


def test_an_effect_as_large_as_the_margin_is_seldom_called_no_difference():
    assert words(MARGIN).get("same", 0) < 0.055
    assert words(-MARGIN).get("same", 0) < 0.055
    assert words(MARGIN).get("lower", 0) < 0.01


@pytest.mark.parametrize("sign", [1, -1])
def test_an_interval_that_leaves_the_margin_on_one_side_is_open(sign):
    at = judge(sign * (MARGIN + 0.6 * MARGIN * np.array([-3, 3, -2, 2, -1, 1, -1, 1])), MARGIN)
    inner = sorted([at.inner_low * sign, at.inner_high * sign])
    assert -MARGIN < inner[0] < 0 < MARGIN < inner[1]
    assert (at.word, at.small) == ("open", False)


def test_ordinary_intervals_would_err_three_times_as_often():
    values = np.random.default_rng(0).normal(0, 1, (EXPERIMENTS, LOOKS[-1]))
    wrong = np.zeros(EXPERIMENTS, bool)
    for n in LOOKS:
        wrong |= stats.ttest_1samp(values[:, :n], 0, axis=1).pvalue < 0.05
    assert 0.12 < wrong.mean() < 0.18


def test_the_first_look_that_decides_ends_it():
    values = np.r_[np.full(8, 0.1) + np.linspace(-0.01, 0.01, 8), np.full(120, -1.0)]
    assert first_decided(values, MARGIN).seeds == 8
    assert first_decided(values[:7], MARGIN) is None
    same = np.linspace(-0.005, 0.005, 128)[np.random.default_rng(0).permutation(128)]
    assert first_decided(same, MARGIN).word == "no difference"


def test_what_would_have_been_seen_is_found_in_80_of_100():
    seen = judge(np.random.default_rng(3).normal(0, 0.05, 16), MARGIN).seen
    error = np.random.default_rng(3).normal(0, 0.05, 16).std(ddof=1) / 4
    draws = np.random.default_rng(4).normal(seen, error * 4, (EXPERIMENTS, 16))
    low = draws.mean(1) - stats.t.ppf((1 + DIFFERENT) / 2, 15) * draws.std(1, ddof=1) / 4
    assert 0.77 < (low > 0).mean() < 0.83


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_interval_of_a_ratio_of_spreads_holds_the_truth_as_often_as_it_says(correlation):
    rng, held = np.random.default_rng(5), 0
    root = np.linalg.cholesky([[4, 2 * correlation], [2 * correlation, 1]])
    for _ in range(1000):
        _, low, high = spread_interval(rng.normal(size=(16, 2)) @ root.T, 0.95)
        held += low < 1 < high
    assert 0.93 < held / 1000 < 0.97


def test_the_best_of_several_equal_methods_is_no_finding():
    """With the luckiest score of each seed as rival, the arm loses in three of four such experiments."""
    rng, lost = np.random.default_rng(6), 0
    for _ in range(200):
        scores = rng.normal(0, 1, (24, 4))
        runs = pd.DataFrame(
            [{"seed": s, "arm": a, "it": scores[s, k]} for s in range(24) for k, a in enumerate("abcd")]
        )
        found = over_all(runs, "it", "a", ["b", "c", "d"])
        lost += found.high < 0 or found.low > 0
    assert lost / 200 < 0.05


def row(**changes) -> Row:
    written = {
        "label": "cells", "grid": "toy", "task": "elpv", "effect": "difference", "arm": "a", "baseline": "b",
        "metric": "test.accuracy", "margin": 0.02, "expects": "higher", "unit": "points",
    }  # fmt: skip
    return Row(**written | changes)


def runs(effect, seeds: int = 8, **columns) -> pd.DataFrame:
    """Runs of two arms whose difference is `effect` and a little noise."""
    noise = np.random.default_rng(7).normal(0, 0.005, seeds)
    made = [
        {"seed": 200 + i, "arm": arm, "task": "elpv", "purpose": "measure", "n": 50,
         "test.accuracy": 0.5 + (effect + noise[i] if arm == "a" else 0.0), **columns}
        for i in range(seeds) for arm in "ab"
    ]  # fmt: skip
    return pd.DataFrame(made)


@pytest.mark.parametrize(
    ("effect", "expects", "word"),
    [
        (0.1, "higher", "yes"), (-0.1, "higher", "the opposite"), (-0.1, "lower", "yes"),
        (0.0, "higher", "no difference"), (0.0, "same", "yes"), (0.1, "same", "the opposite"),
    ],
)  # fmt: skip
def test_a_row_answers_in_one_word(effect, expects, word):
    assert confirm.answer(row(expects=expects), runs(effect), (8, 16)).word == word


def test_a_row_waits_for_its_first_look():
    found = confirm.answer(row(), runs(0.1, seeds=7), (8, 16))
    assert found.look is None and found.word == "open" and found.seeds_there == 7


def test_seeds_with_one_arm_only_do_not_count():
    there = runs(0.1, seeds=8)
    assert confirm.answer(row(), there[:-1], (8,)).look is None


def test_a_slope_is_per_doubling():
    growing = pd.concat([runs(0.0), runs(0.08).assign(n=800)])
    values = confirm.per_seed(row(effect="slope", options={"n": [50, 800]}, unit="points per doubling"), growing)
    assert len(values) == 8 and values.mean() == pytest.approx(0.02, abs=1e-6)
    assert confirm.per_seed(row(effect="slope", options={"n": [50, 800]}), runs(0.0)).empty  # one size is no line


def test_a_slope_over_strengths_of_a_corruption():
    tasks = ["elpv", "elpv+noise2", "elpv+noise4"]
    there = pd.concat([runs(0.1 - 0.01 * s, task=t) for t, s in zip(tasks, (0, 2, 4))])
    values = confirm.per_seed(row(effect="slope", task=tasks), there)
    assert values.mean() == pytest.approx(-0.01, abs=1e-6)


def test_a_difference_over_several_tasks_is_their_mean():
    tasks = ["elpv", "digits/mnist"]
    there = pd.concat([runs(0.1), runs(0.3, task="digits/mnist")])
    values = confirm.per_seed(row(task=tasks), there)
    assert len(values) == 8 and values.mean() == pytest.approx(0.2, abs=0.01)
    one_less = confirm.per_seed(row(task=tasks), there[:-1])  # a seed counts where it has both arms of both tasks
    assert len(one_less) == 7 and one_less.equals(values[:-1])
    assert confirm.per_seed(row(task=[*tasks, "sentiment"]), there).empty


def test_validation_and_test_together():
    there = runs(0.1).assign(**{"validation.accuracy": lambda d: d["test.accuracy"] + (d.arm == "a") * 0.1})
    values = confirm.per_seed(row(metric="validation+test.accuracy"), there)
    plain = confirm.per_seed(row(), there)
    assert (values - plain).tolist() == pytest.approx([0.05] * 8)
    other = there.rename(columns=lambda name: f"elpv@type:{name}" if "." in name else name)
    assert confirm.per_seed(row(metric="elpv@type:validation+test.accuracy"), other).equals(values)


def test_the_cost_is_read_from_the_seconds_of_the_curve():
    """Its first step carries the work of the frozen stages: a mean step times their number would hide it."""
    curves = {
        "a": [{"step": 1, "seconds": 8.0, "accuracy": 0.5}, {"step": 2, "seconds": 16.0, "accuracy": 0.8}],
        "b": [{"step": 1, "seconds": 3.0, "accuracy": 0.5}, {"step": 9, "seconds": 4.0, "accuracy": 0.8}],
    }
    there = runs(0.0).assign(curve=lambda d: d.arm.map(curves))
    values = confirm.per_seed(row(effect="cost", metric="validation.accuracy", unit="times"), there)
    assert values.tolist() == [2.0] * 8


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["yes", "yes"], "supported"), (["the opposite"] * 2, "contradicted"), (["no difference"] * 2, "no difference"),
        (["yes", "no difference"], "it depends"), (["yes", "the opposite"], "it depends"), (["yes", "open"], "open"),
    ],
)  # fmt: skip
def test_a_claim_has_one_word(words, word):
    effects = {"yes": 0.1, "the opposite": -0.1, "no difference": 0.0}
    answers = [
        confirm.answer(row(label=str(i)), runs(effects[w]) if w in effects else runs(0.1, seeds=3), (8,))
        for i, w in enumerate(words)
    ]
    assert confirm.Confirmed(None, answers).word == word


def test_recording_stops_at_the_look_that_decides(monkeypatch):
    monkeypatch.setattr(confirm, "_rows_of", lambda grid: (row(),))
    looks = [8, 16, 32]
    assert confirm.seeds_wanted("toy", "elpv", {"n": 50}, looks, pd.DataFrame()) == 8
    assert confirm.seeds_wanted("toy", "elpv", {"n": 50}, looks, runs(0.1)) == 8
    noisy = runs(0.0, seeds=8)
    noisy.loc[noisy.arm == "a", "test.accuracy"] += np.linspace(-0.2, 0.22, 8)
    assert confirm.seeds_wanted("toy", "elpv", {"n": 50}, looks, noisy) == 16
    assert confirm.seeds_wanted("toy", "digits/mnist", {"n": 50}, looks, noisy) == 8  # no row reads it
    arms = {arm: confirm.seeds_wanted("toy", "elpv", {"n": 50}, looks, noisy, arm) for arm in "abc"}
    assert arms == {"a": 16, "b": 16, "c": 8}  # no row compares c


@pytest.mark.parametrize("name", sorted(places.confirmations()))
def test_confirmations_can_be_recorded(name):
    """Each row finds its arms in its grid, and none of its seeds or rates was used by a pilot."""
    written = read_confirmation(places.confirmations()[name])
    assert written.lesson in str(places.confirmations()[name])
    for one in written.rows:
        grid = grids.load_grid(one.grid)
        mine = [c for c in grid if confirm._concerns(one, c.task, c.options)]
        assert mine and all({one.arm, one.baseline} <= set(c.arms) for c in mine), one.label
        assert all(c.looks == mine[0].looks and min(c.seeds) >= 200 for c in mine)
        assert all(seed < 200 for c in mine for seed in c.tuning_seeds)
    assert {"supported", "contradicted", "no difference", "open"} <= set(written.act)


def _decides(told: dict) -> tuple:
    """All of a confirmation that decides its verdict."""
    rows = [{key: value for key, value in row.items() if key != "label"} for row in told["rows"]]
    return told["sentence"], told["rule"], rows


@pytest.mark.parametrize("name", sorted(places.confirmations()))
def test_the_rule_is_older_than_its_runs(name):
    """The commit of every record holds the same rule: sentence, rows and margins were not changed afterwards.

    What a row is called for learners may be told better later. What it compares may not change.

    Some of these commits were later joined into one, see docs/LOG.md. This test had passed on each of them before, so
    tests/data/joined.json keeps their names and what their rules were. Nothing may be added to that file.
    """
    import subprocess

    file = places.confirmations()[name]
    written, now = read_confirmation(file), json.loads(file.read_text(encoding="utf-8"))
    path = file.relative_to(places.ROOT).as_posix()
    commits = set()
    for grid in {one.grid for one in written.rows}:
        results = places.results() / f"{grid}.jsonl"
        for line in results.read_text(encoding="utf-8").splitlines() if results.exists() else []:
            commits.add(json.loads(line)["provenance"]["commit"])
    for commit in commits:
        assert not commit.endswith("-dirty"), f"{name} was recorded with changes that no commit holds"
        if commit in JOINED["commits"]:
            rule = hashlib.sha256(json.dumps(_decides(now), sort_keys=True).encode()).hexdigest()
            assert rule.startswith(JOINED["rules"][name]), f"the rule of {name} is another one than before its runs"
            continue
        told = subprocess.run(["git", "show", f"{commit}:{path}"], cwd=places.ROOT, capture_output=True, text=True)
        assert told.returncode == 0, f"the commit {commit} of {name}'s records does not hold its rule"
        then = json.loads(told.stdout)
        assert _decides(then) == _decides(now)


def test_looks_must_grow_and_end_with_the_last_seed(tmp_path):
    comparison = json.loads(places.grids()["01_full_cost"].read_text(encoding="utf-8"))[0]
    file = tmp_path / "grid.json"
    for looks in ([3, 2, 6], [2, 4]):
        file.write_text(json.dumps([comparison | {"looks": looks}]))
        with pytest.raises(ValueError, match="looks must grow and end with the number of seeds, 6"):
            grid_files.read(file)


def test_the_page_of_claims_is_up_to_date():
    from ftlib.classroom import cards

    page = (places.ROOT / cards.PAGE).read_text(encoding="utf-8")
    assert cards.page() == page, "the records say something else than docs/claims.md: call python -m ftlib claims"
    for name in places.claims():
        assert f"| {name} |" in page


def test_a_card_has_a_row_per_claim():
    from ftlib.classroom import cards

    rows = str(cards.card("01_full")).splitlines()
    assert len(rows) == 2 + 6 and all("**" not in row for row in rows)
    with pytest.raises(FileNotFoundError, match="there is no lesson '01_ful'"):
        cards.card("01_ful")


def test_a_diagram_is_shown_with_its_words():
    from ftlib.classroom import diagrams

    for file in places.ROOT.glob("lessons/*/diagrams/*.svg"):
        shown = diagrams.diagram(file.parts[-3], file.stem)
        assert len(shown.alt) > 100 and f'alt="{shown.alt[:30]}' in shown._repr_html_() and repr(shown) == shown.alt
    with pytest.raises(FileNotFoundError, match="has no diagram 'fine_tunning': .*did you mean 'fine_tuning'"):
        diagrams.diagram("00_start_here", "fine_tunning")
    with pytest.raises(ValueError, match="needs a <title> and a <desc>"):
        diagrams.Diagram("<svg></svg>")
    with pytest.raises(ValueError, match="needs a <title> and a <desc>"):
        diagrams.Diagram("<svg><title>Two boxes</title></svg>")
