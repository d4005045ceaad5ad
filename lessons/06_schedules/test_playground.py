"""The schedule playground without a browser: every control at its corner values, and what the words say of them."""

import html
import itertools
import json
import re

import pandas as pd
import pytest

from ftlib.classroom.lessons import part
from ftlib.evidence.compare import interval
from ftlib.strategies.schedules import Constant, Cosine, LinearDecay, OneCycle, scales
from panels import check_controls, check_without_a_kernel

PLAYGROUND = part("06_schedules", "widget")

METRIC = "test.balanced_accuracy"
SHAPES = {
    "constant": lambda warmup: Constant(warmup).lr_scale,
    "linear": lambda warmup: LinearDecay(warmup).lr_scale,
    "one-cycle": lambda warmup: OneCycle().lr_scale,
}
GRID = [  # task, shape, peak, warmup, steps
    ("digits", "constant", 0.001, 0.0, 40),
    ("digits", "constant", 0.01, 0.0, 40),
    ("digits", "linear", 0.001, 0.0, 40),
    ("digits", "linear", 0.01, 0.0, 40),
    ("digits", "linear", 0.01, 0.1, 40),
    ("digits", "one-cycle", 0.001, 0.0, 40),
    ("reviews", "linear", 0.0001, 0.0, 20),
    ("reviews", "linear", 0.0001, 0.2, 20),
]
CORNERS = list(
    itertools.product(["digits", "reviews"], SHAPES, [0.0001, 0.01], [0.0, 0.2], [20, 80])
)  # every control at both ends


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def runs():
    """Six seeds a schedule; the i-th schedule has the mean 0.5 + i / 100."""
    return pd.DataFrame(
        {"task": task, "shape": shape, "lr": lr, "warmup": warmup, "steps": steps, "seed": seed,
         METRIC: 0.5 + i / 100 + (seed - 2.5) / 1000}
        for i, (task, shape, lr, warmup, steps) in enumerate(GRID) for seed in range(6)
    )  # fmt: skip


@pytest.fixture
def play():
    return PLAYGROUND.playground(SHAPES, runs(), METRIC)


def turn(play, task="digits", shape="linear", peak=0.01, warmup=0.0, steps=40):
    play.task.value, play.shape.value, play.peak.value = task, shape, peak
    play.warmup.value, play.steps.value = warmup, steps


def shown(play) -> str:
    return html.unescape(re.sub("<.*?>", "", play.words.value))


def state(play) -> str:
    return json.dumps([play.figure.to_plotly_json()["data"], play.figure.layout.title.text], default=list)


def test_the_controls_offer_what_was_recorded_and_twice_the_peaks_and_steps(play):
    assert play.task.options == ("digits", "reviews") and play.shape.options == tuple(SHAPES)
    assert [value for _, value in play.peak.options] == [0.0001, 0.0002, 0.001, 0.002, 0.01, 0.02]
    assert [value for _, value in play.steps.options] == [20, 40, 80]
    assert [label for label, _ in play.warmup.options] == ["none", "5 %", "10 %", "20 %"]


def test_it_opens_with_a_schedule_that_rises_and_falls():
    shapes = {"constant": SHAPES["constant"], "cosine": lambda warmup: Cosine(warmup).lr_scale, **SHAPES}
    play = PLAYGROUND.playground(shapes, runs(), METRIC)
    rates = play.figure.data[0].y
    assert play.figure.layout.title.text == "cosine, peak 0.01, 10 % warmup, 40 steps"  # the best peak of digits
    assert rates[0] < 0.2 * max(rates) and rates[-1] < 0.01 * max(rates) and max(rates) > 0.0099
    assert play.alt.startswith("cosine, peak 0.01") and "Nearest recorded run of digits (" in play.alt


@pytest.mark.parametrize(("task", "shape", "peak", "warmup", "steps"), CORNERS)
def test_at_every_corner_the_curve_is_that_of_the_library(play, task, shape, peak, warmup, steps):
    before = [trace.uid for trace in play.figure.data]
    turn(play, task, shape, peak, warmup, steps)
    curve, mean, *_ = play.figure.data
    assert [trace.uid for trace in play.figure.data] == before and len(before) == 5  # in place
    strategy = OneCycle() if shape == "one-cycle" else {"constant": Constant, "linear": LinearDecay}[shape](warmup)
    want = [peak * scale for scale in scales(strategy, steps)]
    assert list(curve.y) == pytest.approx(want) and list(curve.x) == list(range(1, steps + 1))
    assert list(mean.y) == pytest.approx([sum(want) / steps] * 2) and list(mean.x) == [1, steps]
    assert play.figure.layout.yaxis.range[1] > max(want) and play.figure.layout.xaxis.range[1] > steps
    assert shown(play) == play.alt == play.figure.layout.meta["alt"]
    assert f"Area: {100 * sum(want) / steps / peak:.0f} % of that of a constant rate" in play.alt
    assert f"Nearest recorded run of {task} (" in play.alt and play.alt.endswith(", 6 seeds.")


@pytest.mark.parametrize("task", ["digits", "reviews"])
def test_on_the_right_each_recorded_run_stands_at_its_mean_rate(play, task):
    turn(play, task, peak=0.0002, warmup=0.2, steps=20)
    _, mean, recorded, nearest, line = play.figure.data
    area = {"constant": 1.0, "linear": 0.5, "one-cycle": sum(scales(OneCycle(), 40)) / 40}
    want = {round(0.5 + i / 100, 2): lr * area[shape] for i, (of, shape, lr, *_) in enumerate(GRID) if of == task}
    assert sorted(recorded.y) == pytest.approx(sorted(want))
    for x, y in zip(recorded.x, recorded.y):
        assert x == pytest.approx(want[round(y, 2)])
    assert [(nearest.x[0], nearest.y[0])] == [at for at in zip(recorded.x, recorded.y) if at[1] == nearest.y[0]]
    assert list(line.x) == list(mean.y) and list(line.y) == [min(recorded.y), max(recorded.y)]
    assert f"mean rate {nearest.x[0]:.2g}, balanced accuracy on test {nearest.y[0]:.3f}" in play.alt


def test_the_still_shows_both_sides(play):
    turn(play)
    assert play.still().png().startswith(b"\x89PNG")
    before = play.still().png()
    play.peak.value = 0.001
    assert play.still().png() != before


def test_every_control_changes_the_figure_or_the_words(play):
    turn(play)
    seen = {(state(play), shown(play))}
    for control, value in (
        (play.shape, "constant"), (play.peak, 0.001), (play.warmup, 0.1), (play.steps, 80), (play.task, "reviews"),
    ):  # fmt: skip
        control.value = value
        seen.add((state(play), shown(play)))
    assert len(seen) == 6 and len({words for _, words in seen}) == 6
    assert len({figure for figure, _ in seen}) == 6


@pytest.mark.parametrize(
    ("settings", "row", "what"),
    [
        ({}, 3, "exactly these settings"),
        ({"warmup": 0.1}, 4, "exactly these settings"),
        ({"warmup": 0.2}, 4, "10 % warmup"),
        ({"steps": 80}, 3, "40 steps"),
        ({"peak": 0.0001}, 2, "a peak of 0.001"),
        ({"peak": 0.002}, 2, "a peak of 0.001"),
        ({"shape": "constant", "warmup": 0.2}, 1, "no warmup"),
        ({"shape": "one-cycle", "peak": 0.001, "warmup": 0.2}, 5, "exactly these settings"),
        ({"task": "reviews", "shape": "constant", "peak": 0.0001, "steps": 20}, 6, "the shape linear"),
        ({"task": "reviews", "peak": 0.01, "warmup": 0.2}, 7, "a peak of 0.0001 and 20 steps"),
    ],
)
def test_the_nearest_recorded_run_is_named_with_its_score_and_what_differs(play, settings, row, what):
    turn(play, **settings)
    mean, low, high = interval(runs()[METRIC].to_numpy()[6 * row : 6 * row + 6])
    rate = play.figure.data[3].x[0]
    score = f"mean rate {rate:.2g}, balanced accuracy on test {mean:.3f} [{low:.3f}, {high:.3f}], 6 seeds."
    assert play.alt.endswith(f"Nearest recorded run of {play.task.value} ({what}): {score}")
    assert play.figure.data[3].y[0] == pytest.approx(mean)


def test_a_shape_with_a_warmup_of_its_own_says_so(play):
    turn(play, shape="one-cycle", peak=0.001, warmup=0.0)
    before = [list(trace.y) for trace in play.figure.data]
    play.warmup.value = 0.2
    assert [list(trace.y) for trace in play.figure.data] == before
    assert play.figure.layout.title.text == "one-cycle, peak 0.001, its own warmup, 40 steps"
    turn(play, warmup=0.05)
    assert play.figure.layout.title.text == "linear, peak 0.01, 5 % warmup, 40 steps"


def test_a_change_is_one_message(play):
    turn(play)
    sent = []
    for name in ("_py2js_update", "_py2js_restyle", "_py2js_relayout", "_py2js_addTraces", "_py2js_deleteTraces"):
        play.figure.observe(lambda change: sent.append(change.name) if change.new else None, names=name)
    play.steps.value = 20
    assert sent == ["_py2js_update"]


def test_every_control_has_a_name_and_is_used_from_the_keyboard(play):
    check_controls(play, ["Task", "Shape", "Peak", "Warmup", "Steps"])


def test_it_can_be_seen_and_read_without_a_kernel(play):
    turn(play)
    check_without_a_kernel(play, 80_000, lambda: turn(play, shape="constant"))


def test_a_callback_that_fails_is_an_error(play):
    play.shapes = {"linear": SHAPES["linear"]}
    with pytest.raises(KeyError):
        play.shape.value = "constant"


@pytest.mark.parametrize("column", ["shape", "warmup", METRIC])
def test_runs_that_lack_a_column_are_one_sentence(column):
    with pytest.raises(ValueError, match=rf"the playground needs runs with the columns .*: \['{column}'\] lack"):
        PLAYGROUND.playground(SHAPES, runs().drop(columns=column), METRIC)
