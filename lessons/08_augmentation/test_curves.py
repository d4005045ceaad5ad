"""The explorer of recorded curves without a browser: every control at its corner values, and what the words say."""

import html
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest

from ftlib import plots
from ftlib.classroom.lessons import part
from ftlib.evidence.compare import UNCLEAR, interval, paired, reading
from panels import check_controls, check_without_a_kernel

CURVES = part("08_augmentation", "widget_curves")

MEASURES = {"balanced accuracy": "balanced_accuracy", "NLL in nats (lower is better)": "nll", "ECE": "ece"}
ARMS = ("none", "policy", "mixup")
STEPS = {100: [10, 20, 30], 400: [20, 40, 60, 80]}
CORNERS = list(itertools.product([100, 400], MEASURES.values(), ["policy", "mixup"], [0, -1]))  # first and last step


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def rows(arms=ARMS):
    """Six seeds an arm: the policy's score is clearly higher, mixup's is not; losses fall, then rise again."""
    rng = np.random.default_rng(0)
    out = []
    for n, (i, arm), seed in itertools.product(STEPS, enumerate(ARMS), range(6)):
        for k, step in enumerate(STEPS[n]):
            noise = rng.normal(0, 0.002)
            score = 0.6 + n / 4000 + 0.02 * k + (0.05 if arm == "policy" else 0) + seed / 500 + noise
            score += 0.01 * (-1) ** seed if arm == "mixup" else 0  # now better, now worse
            row = {"arm": arm, "n": n, "seed": seed, "step": step, "balanced_accuracy": score}
            out.append(row | {"nll": 0.6 + 0.1 * (k - 1 - i) ** 2 + noise, "ece": 0.1 + k / 50 + i / 10 + noise})
    found = pd.DataFrame(out)
    return found[found.arm.isin(arms)]


@pytest.fixture
def explorer():
    return CURVES.curves(rows(), MEASURES)


def turn(explorer, n=100, measure="balanced_accuracy", beside="policy", step=None):
    explorer.size.value, explorer.measure.value, explorer.beside.value = n, measure, beside
    if step is not None:
        explorer.step.value = step


def shown(explorer) -> str:
    return html.unescape(re.sub("<.*?>", "", explorer.words.value))


def state(explorer) -> str:
    layout = explorer.figure.layout
    drawn = [[trace.name, list(trace.x), list(trace.y)] for trace in explorer.figure.data]
    return json.dumps([drawn, layout.title.text, layout.shapes[0].x0], default=float)


def test_the_controls_offer_what_was_recorded(explorer):
    assert [value for _, value in explorer.size.options] == [100, 400]
    assert dict(explorer.measure.options) == MEASURES and explorer.beside.options == ("policy", "mixup")
    assert [value for _, value in explorer.step.options] == STEPS[400] and explorer.step.value == 80


def test_the_first_state_is_not_the_one_that_the_task_asks_for(explorer):
    """The task of the lesson asks for the smallest size: its curve and its words come after a choice."""
    assert explorer.size.value == max(STEPS)
    assert ", 400 training examples" in explorer.figure.layout.title.text


@pytest.mark.parametrize(("n", "measure", "beside", "end"), CORNERS)
def test_at_every_corner_the_curves_are_means_with_their_intervals(explorer, n, measure, beside, end):
    before = [trace.uid for trace in explorer.figure.data]
    step = STEPS[n][end]
    turn(explorer, n, measure, beside, step)
    assert [trace.uid for trace in explorer.figure.data] == before and len(before) == 6  # in place
    recorded, here = rows(), {}
    for i, arm in enumerate(("none", beside)):
        some = recorded[(recorded.arm == arm) & (recorded.n == n)].groupby("step")[measure]
        stats = {at: interval(values.to_numpy()) for at, values in some}
        low, high, mean = explorer.figure.data[3 * i : 3 * i + 3]
        for trace, k in ((mean, 0), (low, 1), (high, 2)):
            assert list(trace.x) == STEPS[n] and list(trace.y) == pytest.approx([stats[s][k] for s in STEPS[n]])
        assert mean.name == arm and high.fill == ("tonexty" if i else None)  # one band
        here[arm] = "{} {:.3f} [{:.3f}, {:.3f}]".format(arm, *stats[step])
        best = (max if measure == "balanced_accuracy" else min)(stats, key=lambda s, stats=stats: stats[s][0])
        assert f"{arm} {stats[best][0]:.3f} at step {best}" in explorer.alt
    assert explorer.shown == list(zip(explorer.figure.data[2].x, explorer.figure.data[2].y))
    assert {explorer.figure.layout.shapes[0].x0, explorer.figure.layout.shapes[0].x1} == {step}
    assert shown(explorer) == explorer.alt == explorer.figure.layout.meta["alt"]
    assert f"At step {step}, mean and 95 % interval over 6 seeds: {'; '.join(here.values())}." in explorer.alt
    picked = recorded[(recorded.n == n) & (recorded.step == step)]
    d = paired(picked, measure, beside, "none")
    assert f"{beside} minus none: {d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}], {reading(d)}." in explorer.alt
    assert ("Highest mean" if measure == "balanced_accuracy" else "Lowest mean") in explorer.alt


def test_an_interval_that_holds_0_shows_nothing(explorer):
    turn(explorer, beside="mixup")
    assert UNCLEAR in explorer.alt
    turn(explorer, beside="policy")
    assert ", higher. Highest mean" in explorer.alt


def test_arms_differ_by_dash_and_marker(explorer):
    one, two = explorer.figure.data[2], explorer.figure.data[5]
    assert one.line.dash != two.line.dash and one.marker.symbol != two.marker.symbol
    assert (one.line.color, two.line.color) == plots.COLOURS[:2]


def test_every_control_changes_the_figure_and_the_words(explorer):
    turn(explorer)
    seen = {(state(explorer), shown(explorer))}
    for control, value in (
        (explorer.step, 10), (explorer.beside, "mixup"), (explorer.measure, "nll"), (explorer.size, 400),
    ):  # fmt: skip
        control.value = value
        seen.add((state(explorer), shown(explorer)))
    assert len({figure for figure, _ in seen}) == len({words for _, words in seen}) == 5


def test_another_size_keeps_the_nearest_step(explorer):
    turn(explorer, 400, step=80)
    explorer.size.value = 100
    assert explorer.step.value == 30
    turn(explorer, 100, step=20)
    explorer.size.value = 400
    assert explorer.step.value == 20 and [value for _, value in explorer.step.options] == STEPS[400]


def test_with_two_arms_there_is_nothing_to_choose_beside():
    explorer = CURVES.curves(rows(("none", "policy")), MEASURES)
    assert explorer.beside not in explorer.children and explorer.arms == ("none", "policy")


def test_after_some_seeds_have_stopped_there_is_no_mean():
    recorded = rows()
    stopped = (recorded.arm == "policy") & (recorded.seed == 3) & (recorded.step == 30)
    explorer = CURVES.curves(recorded[~stopped], MEASURES)
    turn(explorer)
    assert [value for _, value in explorer.step.options] == [10, 20]
    assert [step for step, _ in explorer.shown] == [10, 20, 30] and list(explorer.figure.data[5].x) == [10, 20]


def test_a_size_without_the_arm_says_so():
    recorded = rows()
    explorer = CURVES.curves(recorded[(recorded.n == 100) | (recorded.arm != "mixup")], MEASURES)
    turn(explorer, 400, beside="mixup")
    assert "none, mixup and 400 training examples: no step was recorded of both, so choose another" in shown(explorer)
    assert list(explorer.figure.data[5].x) == [] and explorer.step.value is None and len(explorer.shown) == 4
    assert explorer.still().png().startswith(b"\x89PNG")
    turn(explorer, 400, beside="policy")
    assert explorer.step.value == 80


def test_one_seed_has_no_interval_and_a_missing_size_is_all():
    recorded = rows()
    one = recorded[(recorded.seed == 0) & (recorded.n == 100)].assign(n=np.nan)
    explorer = CURVES.curves(one, {"ECE": "ece"})
    assert explorer.size.options == (("all", "all"),) and "(one seed, so no interval)" in explorer.alt
    assert "inf" not in state(explorer).lower() + explorer.alt and "nan" not in explorer.alt


def test_runs_that_chose_a_rate_are_left_out():
    recorded = rows()
    both = pd.concat([recorded.assign(purpose="measure"), recorded.assign(purpose="tune", nll=9.0)])
    assert state(CURVES.curves(both, MEASURES)) == state(CURVES.curves(recorded, MEASURES))


def test_a_change_is_one_message(explorer):
    turn(explorer)
    sent = []
    for name in ("_py2js_update", "_py2js_restyle", "_py2js_relayout", "_py2js_addTraces", "_py2js_deleteTraces"):
        explorer.figure.observe(lambda change: sent.append(change.name) if change.new else None, names=name)
    explorer.size.value = 400
    assert sent == ["_py2js_update"]


def test_every_control_has_a_name_and_is_used_from_the_keyboard(explorer):
    check_controls(explorer, ["Examples", "Measure", "Beside", "Steps"])


def test_it_can_be_seen_and_read_without_a_kernel(explorer):
    turn(explorer)
    check_without_a_kernel(explorer, 100_000, lambda: setattr(explorer.step, "value", 10))


def test_a_callback_that_fails_is_an_error(explorer):
    explorer.rows = explorer.rows.drop(columns="nll")
    with pytest.raises(KeyError):
        explorer.measure.value = "nll"


@pytest.mark.parametrize("column", ["arm", "n", "seed", "step", "nll"])
def test_rows_that_lack_a_column_are_one_sentence(column):
    with pytest.raises(ValueError, match=rf"the curves need rows with the columns .*: \['{column}'\] lack"):
        CURVES.curves(rows().drop(columns=column), MEASURES)


@pytest.mark.parametrize("compared", [("none", "cutmix"), ("none", "none")])
def test_arms_that_are_not_there_are_one_sentence(compared):
    with pytest.raises(ValueError, match="compared must name two of the arms none, policy, mixup, but it is"):
        CURVES.curves(rows(), MEASURES, compared)


def test_rows_that_cannot_be_paired_are_one_sentence():
    recorded = rows()
    with pytest.raises(ValueError, match="each arm must have one row a size, seed and step, but some have more: filt"):
        CURVES.curves(pd.concat([recorded, recorded]), MEASURES)
    with pytest.raises(ValueError, match=r"with 100 examples policy has the seeds \[0, 1, 2, 3, 4\] and none \[0, 1"):
        CURVES.curves(recorded[(recorded.arm != "policy") | (recorded.seed < 5)], MEASURES)
    with pytest.raises(ValueError, match="at least one measure"):
        CURVES.curves(recorded, {})
