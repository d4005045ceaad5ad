"""The weights of two tasks without a browser: every control at every value, and what is chosen by their differences."""

import html
import itertools
import json
import math
import re
import time

import numpy as np
import pandas as pd
import pytest

from ftlib import plots
from ftlib.classroom.lessons import part
from ftlib.evidence.runs import Record
from ftlib.io import typed
from panels import check_controls, check_without_a_kernel

WIDGET = part("05_multitask", "widget")
RECORDED = part("05_multitask", "shared_recorded")
FIGURE = part("05_multitask", "figure_weights")

WIDTHS, WEIGHTS, SEEDS = ((4, 16, 64, 256), (0.1, 0.3, 1.0, 3.0, 10.0), tuple(range(6)))
ALONE = {4: (0.6, 0.65), 16: (0.8, 0.85), 64: (0.88, 0.92), 256: (0.9, 0.95)}
COSINE = {4: -0.125, 16: -0.03, 64: 0.06, 256: 0.1}
STEPS = {256: [0.3, 0.1] * 20, 4: [-0.3, 0.1, 0.2, -0.4] * 10}
OTHER = "digits/optical"


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def record(arm: str, seed: int, scores: dict[str, float], measured=None, **spec) -> dict:
    """The record of a run, as far as the widget reads it."""
    spec = {"arm": arm, "seed": seed, "purpose": "measure", "task": "digits/mnist", **spec}
    return {"spec": spec, "scores": {k: {"accuracy": v} for k, v in scores.items()}, "measured": measured or {}}


def gains(width: int, weight: float, seed: int) -> tuple[float, float]:
    """By what each task is better than its network alone: one wins what the other loses, less so in a wide trunk."""
    shift, cost = 0.02 * math.log10(weight), 0.1 / math.log2(width) - 0.015
    noise = np.random.default_rng([width, int(10 * weight), seed]).normal(0, 0.002, 2)
    return float(-cost - shift + noise[0]), float(-cost + shift + noise[1])


def score(width: int, weight: float | None, k: int, seed: int) -> float:
    """Of a task at a width: alone, or together with a weight. A seed brings the same to all its runs."""
    gain = 0.0 if weight is None else gains(width, weight, seed)[k]
    return ALONE[width][k] + 0.01 * (seed - 2.5) + gain


def both(first: float, second: float) -> dict[str, float]:
    return {"validation": first, f"{OTHER}:validation": second, "test": first - 0.1, f"{OTHER}:test": second - 0.1}


def records(widths=WIDTHS, weights=WEIGHTS, seeds=SEEDS) -> list[dict]:
    """The runs of the grid, not in order, and runs that have no place in the figure."""
    out = []
    for width, seed in itertools.product(widths[::-1], seeds[::-1]):
        first, second = (score(width, None, k, seed) for k in range(2))
        own = {"validation": second, "test": second - 0.1}  # a run may also have the second task as its own
        out.append(record(f"mnist alone, width {width}", seed, both(first, 0.1)))
        out.append(record(f"optical alone, width {width}", seed, own, task=OTHER))
        for weight in weights:
            found = both(*(score(width, weight, k, seed) for k in range(2)))
            cosine = COSINE[width] + 0.01 * seed - 0.02 * math.log10(weight)
            told = {"TaskGradients.cosine": cosine, "TaskGradients.conflicts": 0.1 * seed}
            out.append(record(f"together, width {width}, weight {weight:g}", seed, found, told))
    tuned = record("together, width 4, weight 1", 100, both(0.0, 0.0), purpose="tune")
    other = record("together, width 4, weight 1, PCGrad", 0, both(0.0, 0.0))
    return [tuned, *out, other, record("elpv", 0, {"test": 0.5}, task="elpv")]


@pytest.fixture
def panel():
    return WIDGET.weights(records(), STEPS)


def text(line) -> str:
    return html.unescape(re.sub("<.*?>", "", line.value))


def state(panel) -> str:
    drawn = [
        [list(t.x), list(t.y), list(t.hovertext or ()), list(t.error_y.array or ()), t.line.width]
        for t in panel.figure.data
    ]
    return json.dumps([drawn, panel.figure.layout.title.text, panel.figure.layout.shapes[0].to_plotly_json()])


def cells(panel) -> list[list[str]]:
    """The body of the table."""
    body = panel.rows.value.partition("<tbody>")[2]
    return [
        [html.unescape(re.sub("<.*?>", "", cell)).strip() for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr.*?>(.*?)</tr>", body)
    ]


def expected(width: int, weight: float | None, k: int) -> float:
    return 100 * float(np.mean([score(width, weight, k, seed) for seed in SEEDS]))


def test_the_runs_that_the_tests_make_up_are_records():
    whole = {"id": "0" * 12, "curve": [], "steps": 1, "parameters": {}, "seconds": {}, "memory": 0}
    one = next(r for r in records() if r["measured"])
    spec = one["spec"] | {"model": "efficientnet-lite0", "phases": []}
    typed.check(Record, one | whole | {"spec": spec}, "made up")


def test_the_controls_offer_what_was_recorded(panel):
    assert panel.width.options == tuple((str(width), width) for width in WIDTHS)
    assert [label for label, _ in panel.weight.options] == ["0.1", "0.3", "1", "3", "10"]


def test_the_first_state_shows_that_tasks_can_hurt_each_other(panel):
    assert (panel.width.value, panel.weight.value) == (4, 1.0)
    assert re.fullmatch(r"Width 4, weight 1\. MNIST -3\.\d and optical -3\.\d points", panel.figure.layout.title.text)
    assert text(panel.words).count(", lower.") == 2


def test_the_first_state_may_be_chosen():
    panel = WIDGET.weights(records(), STEPS, shown=(16, 10))
    assert (panel.width.value, panel.weight.value) == (16, 10.0)
    check_state(panel, 16, 10.0)
    for wrong in ((5, 10), (16, 2), 16, "16, 10"):
        with pytest.raises(
            ValueError, match=r"a recorded \(width, weight\), but it is .*: take a width of 4, 16, 64, 256"
        ):
            WIDGET.weights(records(), shown=wrong)


@pytest.mark.parametrize("width", WIDTHS)
def test_at_every_corner_the_figure_is_the_recorded_frontier(panel, width):
    before = [trace.uid for trace in panel.figure.data]
    for weight in WEIGHTS:
        panel.width.value, panel.weight.value = width, weight
        check_state(panel, width, weight)
    assert [trace.uid for trace in panel.figure.data] == before and len(before) == 9  # in place


def check_state(panel, width: int, weight: float) -> None:
    """The points, the networks alone, the corner and the table are those of the width and the weight."""
    line, chosen, first, second, widths, here, *steps, single = panel.figure.data
    points = [[expected(width, w, k) for w in WEIGHTS] for k in range(2)]
    assert list(line.x) == pytest.approx(points[0]) and list(line.y) == pytest.approx(points[1])
    assert list(line.text) == ["0.1", "0.3", "1", "3", "10"]
    at = WEIGHTS.index(weight)
    assert [chosen.x[0], chosen.y[0]] == [line.x[at], line.y[at]] and len(chosen.x) == 1
    assert list(first.x) == pytest.approx([expected(width, None, 0)] * 2)
    assert list(second.y) == pytest.approx([expected(width, None, 1)] * 2)
    corner, (left, right), (low, high) = (
        panel.figure.layout.shapes[0], panel.figure.layout.xaxis.range, panel.figure.layout.yaxis.range
    )  # fmt: skip
    assert [corner.x0, corner.x1, corner.y0, corner.y1] == [first.x[0], right, second.y[0], high]
    assert list(first.y) == [low, high] and list(second.x) == [left, right]
    assert left < min(line.x) and max(line.x) < right and low < min(line.y) and max(line.y) < high
    cosines = [COSINE[w] + 0.025 - 0.02 * math.log10(weight) for w in WIDTHS]
    assert list(widths.x) == [0, 1, 2, 3] and list(widths.y) == pytest.approx(cosines)
    assert list(here.x) == [WIDTHS.index(width)] and here.y[0] == widths.y[here.x[0]]
    assert list(single.y) == STEPS.get(width, []) and [trace.name for trace in steps] == ["width 4", "width 256"]
    rows = cells(panel)
    assert [row[0] for row in rows] == ["alone", *("▶ " * (w == weight) + f"{w:g}" for w in WEIGHTS)]
    assert [row[1] for row in rows[1:]] == [f"{value:.1f}" for value in points[0]]
    assert [row[3] for row in rows[1:]] == [f"{value:.1f}" for value in points[1]]
    assert [rows[0][1], rows[0][3]] == [f"{expected(width, None, k):.1f}" for k in range(2)]
    assert f"{text(panel.words)} " == panel.alt[: len(text(panel.words)) + 1]
    assert panel.alt == panel.figure.layout.meta["alt"]


def test_a_bar_crosses_the_line_alone_where_there_is_no_difference():
    """In the figure, too, so that nobody reads a difference from intervals of the scores."""
    panel, readings = WIDGET.weights(records()), set()
    for width in WIDTHS:
        panel.width.value = width
        line, first, second = (panel.figure.data[i] for i in (0, 2, 3))
        for k, (values, bars, alone) in enumerate(((line.x, line.error_x, first.x), (line.y, line.error_y, second.y))):
            for value, up, down, reading in zip(values, bars.array, bars.arrayminus, panel.picked.found[k].reading):
                crosses = value - down <= alone[0] <= value + up
                assert crosses == (reading == "not distinguishable here")
                assert crosses or (reading == "higher") == (value > alone[0])
                readings.add(reading)
    assert len(readings) == 3


def test_the_chosen_weighting_is_marked_in_more_than_colour(panel):
    line, chosen = panel.figure.data[:2]
    assert line.marker.symbol != chosen.marker.symbol and chosen.marker.size > line.marker.size
    assert panel.figure.data[4].marker.symbol != panel.figure.data[5].marker.symbol
    assert panel.rows.value.count('aria-current="true"') == panel.rows.value.count("▶") == 1
    steps = panel.figure.data[6:8]
    assert len({trace.line.dash for trace in steps}) == len({trace.line.color for trace in steps}) == 2
    assert [trace.line.width for trace in steps] == [3, 1.5]
    panel.width.value = 256
    assert [trace.line.width for trace in panel.figure.data[6:8]] == [1.5, 3]


def test_all_that_is_drawn_can_be_seen_on_white(panel):
    colours = {c for t in panel.figure.data for c in (t.line.color, t.marker.color, t.error_x.color) if c}
    for colour in colours:
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert plots.contrast(rgb) >= plots.LEAST_CONTRAST, colour


def test_the_moving_mean_is_that_of_the_last_steps():
    values = list(range(20))
    got = WIDGET.moving(values)
    assert got[:3] == [0.0, 0.5, 1.0] and got[9] == 4.5 and got[19] == np.mean(values[10:]) == 14.5
    panel = WIDGET.weights(records(), STEPS)
    assert list(panel.figure.data[6].y) == WIDGET.moving(STEPS[4])
    assert list(panel.figure.data[7].y) == WIDGET.moving(STEPS[256])
    assert list(panel.figure.data[6].x) == list(range(1, 41))


def test_without_steps_the_cosines_by_width_have_the_right_side_alone():
    panel = WIDGET.weights(records())
    assert len(panel.figure.data) == 6 and "xaxis3" not in panel.figure.layout.to_plotly_json()
    assert "over the steps" not in panel.alt and "At weight 1, by width. Width 4. Mean cosine -0.10" in panel.alt


def test_widths_and_weights_without_a_cosine_have_no_point():
    some = records()
    for one in some:
        if "width 16," in one["spec"]["arm"] or one["spec"]["arm"] == "together, width 4, weight 3":
            one["measured"] = {}
    panel = WIDGET.weights(some)
    assert list(panel.figure.data[4].y) == pytest.approx([COSINE[w] + 0.025 for w in (4, 64, 256)])
    assert list(panel.figure.layout.xaxis2.ticktext) == ["4", "64", "256"]
    panel.width.value = 16
    assert list(panel.figure.data[5].x) == [] and "No cosine was measured here." in text(panel.words)
    panel.width.value = 64
    assert list(panel.figure.data[5].x) == [1]
    panel.weight.value = 3.0
    assert list(panel.figure.data[4].x) == [1, 2] and list(panel.figure.data[5].x) == [1]
    assert WIDGET.weights([one | {"measured": {}} for one in records()]).still().png().startswith(b"\x89PNG")


def test_the_axis_of_the_cosines_stays_and_has_all_of_them(panel):
    low, high = panel.figure.layout.yaxis2.range
    for width, weight in itertools.product(WIDTHS, WEIGHTS):
        panel.width.value, panel.weight.value = width, weight
        trace = panel.figure.data[4]
        assert (low, high) == tuple(panel.figure.layout.yaxis2.range) and low < 0 < high
        assert low < min(np.array(trace.y) - trace.error_y.arrayminus)
        assert max(np.array(trace.y) + trace.error_y.array) < high


def test_another_split_has_its_own_scores():
    tested = WIDGET.weights(records(), split="test")
    assert tested.picked.scores == pytest.approx(WIDGET.weights(records()).picked.scores - 10)
    assert tested.figure.layout.xaxis.title.text == "MNIST, accuracy on test (%)" and "Accuracy on test," in tested.alt


def test_every_control_changes_the_figure_and_the_words(panel):
    seen = {(state(panel), panel.alt, panel.rows.value)}
    for control, value in ((panel.weight, 10.0), (panel.width, 16), (panel.weight, 0.1), (panel.width, 256)):
        control.value = value
        seen.add((state(panel), panel.alt, panel.rows.value))
    assert all(len(set(each)) == 5 for each in zip(*seen))


def test_a_change_is_one_message_and_quick(panel):
    sent = []
    for name in ("_py2js_update", "_py2js_restyle", "_py2js_relayout", "_py2js_addTraces", "_py2js_deleteTraces"):
        panel.figure.observe(lambda change: sent.append(change.name) if change.new else None, names=name)
    for control, value in ((panel.width, 64), (panel.weight, 3.0), (panel.width, 4)):
        sent.clear()
        began = time.process_time()  # what it takes itself, on a computer however busy
        control.value = value
        assert sent == ["_py2js_update"] and time.process_time() - began < 0.3


def test_every_control_has_a_name_and_is_used_from_the_keyboard(panel):
    check_controls(panel, ["Width", "Weight of optical"])


def test_it_can_be_seen_and_read_without_a_kernel(panel):
    check_without_a_kernel(panel, 100_000, lambda: setattr(panel.width, "value", 64))


def test_it_is_as_wide_as_all_figures(panel):
    assert (panel.figure.layout.width, panel.figure.layout.height) == (plots.WIDTH, plots.HEIGHT)


def test_only_the_summary_is_spoken(panel):
    assert 'role="status"' in panel.words.value and 'role="status"' not in panel.rows.value


def test_the_table_has_heads_and_a_caption(panel):
    assert panel.rows.value.count('scope="col"') == 5 and panel.rows.value.count('scope="row"') == 6
    assert "<caption" in panel.rows.value and "Width 4, accuracy on validation, intervals" in text(panel.rows)


def test_runs_that_chose_a_rate_or_are_of_another_arm_change_nothing():
    fits = (RECORDED.TOGETHER, *RECORDED.ALONE)
    plain = [
        r for r in records() if r["spec"]["purpose"] != "tune" and any(p.fullmatch(r["spec"]["arm"]) for p in fits)
    ]
    assert len(plain) == 4 * 6 * 7 == len(records()) - 3
    assert state(WIDGET.weights(plain, STEPS)) == state(WIDGET.weights(records(), STEPS))


@pytest.mark.parametrize("control", ["width", "weight"])
def test_a_callback_that_fails_is_an_error(panel, control):
    panel.widths = {}
    with pytest.raises(KeyError):
        getattr(panel, control).index = 1


# ---- where both tasks are better


def runs(gained: dict[tuple[int, float], tuple[float, float]], seeds=6, noise=0.002) -> list[dict]:
    """Runs of both tasks at 0.8 alone, which gain so much together."""
    rng, out = np.random.default_rng(0), []
    for width in dict.fromkeys(width for width, _ in gained):
        for seed in range(seeds):
            out.append(record(f"mnist alone, width {width}", seed, both(0.8 + 0.03 * seed, 0)))
            out.append(record(f"optical alone, width {width}", seed, both(0, 0.8 + 0.03 * seed)))
    for (width, weight), each in gained.items():
        for seed in range(seeds):
            found = (0.8 + 0.03 * seed + gain + rng.normal(0, noise) for gain in each)
            out.append(record(f"together, width {width}, weight {weight:g}", seed, both(*found)))
    return out


@pytest.mark.parametrize(
    ("gained", "found"),
    [
        ({(4, 1): (-0.02, -0.02), (16, 1): (0.02, 0.02)}, [(16, 1.0)]),
        ({(4, 1): (0.02, -0.02), (16, 1): (-0.02, 0.02)}, []),  # one task is not both
        ({(4, 1): (0.02, 0.0), (16, 1): (0.0, 0.02)}, []),  # not worse is not better
        ({(16, 3): (0.02, 0.03), (16, 1): (0.01, 0.01), (4, 3): (0.02, 0.02), (4, 1): (0.0, 0.0)},
         [(4, 3.0), (16, 1.0), (16, 3.0)]),
    ],
)  # fmt: skip
def test_both_better_is_where_both_tasks_are_read_as_higher(gained, found):
    assert RECORDED.both_better(runs(gained)) == found


def test_both_better_needs_six_seeds_and_reads_the_split_that_is_named():
    good = {(4, 1): (0.02, 0.02)}
    assert RECORDED.both_better(runs(good, seeds=6)) == [(4, 1.0)] and RECORDED.both_better(runs(good, seeds=5)) == []
    some = runs(good)
    for one in some:
        if "together" in one["spec"]["arm"]:
            one["scores"]["test"]["accuracy"] -= 0.1
    assert RECORDED.both_better(some) == [(4, 1.0)] and RECORDED.both_better(some, "test") == []


def test_both_better_is_corrected_for_the_weights_that_were_tried():
    """An interval that barely leaves 0 out shows nothing, where it is the best of many."""
    barely = {(4, 1.0): (0.006, 0.006)}
    many = barely | {(4, weight): (0.0, 0.0) for weight in (0.1, 0.2, 0.3, 0.5, 2.0, 3.0, 5.0, 10.0)}
    alone, among = (RECORDED.both_better(runs(gained, noise=0.004)) for gained in (barely, many))
    assert alone == [(4, 1.0)] and among == []


def test_the_widget_shows_what_both_better_finds():
    some = runs({(4, 1): (-0.02, 0.02), (4, 3): (0.02, 0.02), (16, 1): (0.02, 0.02), (16, 3): (0.02, 0.0)})
    panel, found = WIDGET.weights(some), []
    for (_, width), (_, weight) in itertools.product(panel.width.options, panel.weight.options):
        panel.width.value, panel.weight.value = width, weight
        asked = next(row for row in cells(panel) if row[0].startswith("▶"))
        assert text(panel.words).count(", higher.") == sum("▲" in cell for cell in asked)
        found += [(width, weight)] if text(panel.words).count(", higher.") == 2 else []
    assert found == RECORDED.both_better(some) == [(4, 3.0), (16, 1.0)]


# ---- bad input

BAD = {
    "no records": ([], {}, r"needs? a list of recorded runs, but they were given an empty list: take what ftlib\.load"),
    "a table": (pd.DataFrame({"arm": ["x"]}), {}, "but they were given a DataFrame: take what"),
    "other runs": ([record("full", 0, {"test": 1.0})], {}, "'together, width 4, weight 1' .* none of these 1 runs"),
    "no network alone": (
        [r for r in records() if r["spec"]["arm"] != "optical alone, width 16"], {},
        "there is no run 'optical alone, width 16': leave",
    ),
    "no weight in common": (
        [r for r in records() if not re.fullmatch(r"together, width (4, weight (0.1|0.3|1)|16, weight (3|10))",
                                                  r["spec"]["arm"])
         and not re.search(r"width (64|256)", r["spec"]["arm"])], {},
        "must have a weight in common, but they have none: record",
    ),
    "no score": (
        [r | {"scores": {"test": r["scores"].get("test")}} for r in records()], {},
        "a score of its tasks on validation, but '.*' has none of digits/.*: it has test",
    ),
    "two runs a seed": (records() + records(WIDTHS[:1], seeds=[3]), {}, "each arm must have one run a seed"),
    "another width": (records(), {5: [0.1]}, r"but 5 has 1 and the widths are 4, 16, 64, 256: give \{4: strategy"),
    "no steps": (records(), {4: []}, "but 4 has 0 and the widths are"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name):
    given, cosines, words = BAD[name]
    with pytest.raises(ValueError, match=words) as raised:
        WIDGET.weights(given, cosines)
    assert "\n" not in str(raised.value) and ". " not in str(raised.value)
