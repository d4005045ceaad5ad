"""The matrix of incremental learning without a browser: every control at its corner values, and what the words say."""

import html
import itertools
import json
import re
import time

import numpy as np
import pandas as pd
import pytest
from plotly.colors import sample_colorscale

from ftlib import metrics, plots
from ftlib.classroom.lessons import part
from ftlib.evidence.compare import interval
from panels import check_controls, check_without_a_kernel

WIDGET = part("03_incremental", "widget")
FIGURE = part("03_incremental", "figure_matrix")

TASKS = ("0,1", "2,3", "4,5", "6,7", "8,9")
KEPT = {"naive": 0.0, "replay-20": 0.5, "replay-50": 0.9, "replay-200": 0.98, "derpp": 0.95, "lwf": 0.3}  # a task
METHODS = {
    "nothing is kept": "naive",
    "replay": {200: "replay-200", 20: "replay-20", 50: "replay-50"},
    "DER++": {200: "derpp"},
    "LwF": "lwf",
}
BYTES = {"replay-20": 20e3, "replay-50": 50e3, "replay-200": 1234567.0, "derpp": 300e3}
PICKS = [(name, size) for name, arms in METHODS.items() for size in (sorted(arms) if isinstance(arms, dict) else [0])]


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def scores(arm: str, seed: int) -> np.ndarray:
    """R of a run: a task is learned to about 0.97, and each later task leaves a share of it."""
    rng = np.random.default_rng([sorted(KEPT).index(arm), seed])
    i, j = np.indices((5, 5))
    R = np.where(i >= j, (0.97 - 0.01 * j) * KEPT[arm] ** np.maximum(i - j, 0), 0.0)
    return np.clip(R + rng.normal(0, 0.01, R.shape), 0, 1)


def run(arm: str, seed: int, R: np.ndarray, measured=None, **spec) -> dict:
    """A record of a run whose phases have three steps; a validation within a phase is not its end."""
    watch = [f"digits/mnist[{name}]:validation" for name in TASKS]
    phases = [{"steps": 3, "data": {"train": name.replace("validation", "train")}} for name in watch]
    rows = [(3 * i + after, [0.5] * 5 if after < 3 else row) for i, row in enumerate(R.tolist()) for after in (1, 3)]
    curve = [{"step": step, "loss": 1.0, **dict(zip(watch, row))} for step, row in rows]
    spec = {"arm": arm, "seed": seed, "purpose": "measure", "watch": watch, "phases": phases, **spec}
    return {"spec": spec, "curve": curve, "measured": measured or {}}


def records(arms=tuple(KEPT), seeds=tuple(range(6))) -> list[dict]:
    """Six seeds an arm, not in their order, and runs that have no place in the figure."""
    name = {"derpp": "DERpp", "lwf": "LwF"}
    out = [
        run(arm, seed, scores(arm, seed), {f"{name.get(arm, 'Replay')}.bytes": BYTES[arm], "Replay.seen": 5.0}
            if arm in BYTES else {"sequence.average": 0.5})
        for arm in arms for seed in reversed(seeds)
    ]  # fmt: skip
    cut = run("cut", 0, np.eye(5))
    del cut["curve"][:2]  # nothing is known of the first task's end
    joint = run("joint", 0, np.eye(5))
    joint["spec"]["phases"] = [{"steps": 15}]
    means = run("class means", 0, np.eye(5)) | {"curve": []}
    alone = run("gdumb", 0, np.eye(5), watch=[])
    tuned = run("naive", 100, np.eye(5), purpose="tune")
    return [joint, tuned, *out, means, alone, cut]


@pytest.fixture
def matrix():
    return WIDGET.matrix(records(), METHODS)


def turn(matrix, method="replay", buffer=50, task=5, seeds="mean"):
    matrix.method.value, matrix.buffer.value, matrix.task.value, matrix.seeds.value = (method, buffer, task, seeds)


def arm_of(method: str, size: int) -> str:
    return METHODS[method][size] if isinstance(METHODS[method], dict) else METHODS[method]


def text(line) -> str:
    return html.unescape(re.sub("<.*?>", "", line.value))


def shown(matrix) -> str:
    return f"{text(matrix.words)} {text(matrix.tiles)}"


def state(matrix) -> str:
    figure = matrix.figure
    drawn = [[list(t.x), list(t.y), list(t.text or ()), list(t.hovertext or ())] for t in figure.data]
    return json.dumps([drawn, figure.layout.title.text], default=float)


def test_the_controls_offer_what_was_recorded(matrix):
    assert matrix.method.options == tuple(METHODS)
    assert [label for label, _ in matrix.task.options] == ["1", "2", "3", "4", "5"]
    assert matrix.buffer.options == (("none", 0),) and matrix.buffer.disabled
    assert [label for label, _ in matrix.seeds.options] == ["mean", "0", "1", "2", "3", "4", "5"]
    matrix.method.value = "replay"
    assert matrix.buffer.options == (("20", 20), ("50", 50), ("200", 200)) and not matrix.buffer.disabled
    matrix.method.value = "DER++"
    assert matrix.buffer.options == (("200", 200),) and matrix.buffer.disabled


def test_the_first_state_shows_what_is_forgotten(matrix):
    assert (matrix.method.value, matrix.task.value, matrix.seeds.value) == ("nothing is kept", 5, "mean")
    last = matrix.scores[-1]
    assert (last[:-1] < 0.05).all() and last[-1] > 0.9 and matrix.forgetting > 0.9
    assert re.fullmatch(r"nothing is kept, after task 5, 9\d\.\d points forgotten", matrix.figure.layout.title.text)


@pytest.mark.parametrize("pick", PICKS)
def test_at_every_corner_the_figure_is_the_recorded_matrix(matrix, pick):
    before = [trace.uid for trace in matrix.figure.data]
    for task, only in itertools.product([1, 3, 5], ["mean", 2]):
        turn(matrix, *pick, task, only)
        check_corner(
            matrix, np.mean([scores(arm_of(*pick), s) for s in (range(6) if only == "mean" else [only])], 0), task
        )
    assert [trace.uid for trace in matrix.figure.data] == before and len(before) == 11  # in place


def check_corner(matrix, R: np.ndarray, task: int) -> None:
    """The tiles, lines, names and words are those of R up to the task."""
    assert matrix.scores == pytest.approx(R[:task])
    tiles, lines, names = matrix.figure.data[0], matrix.figure.data[1:6], matrix.figure.data[6:]
    drawn = {(y, x): value for x, y, value in zip(tiles.x, tiles.y, tiles.marker.color)}
    assert drawn == {(i + 1, j + 1): pytest.approx(100 * R[i, j]) for i in range(task) for j in range(5)}
    assert list(tiles.text) == [f"{100 * R[i, j]:.1f}" for i in range(task) for j in range(5)]
    for j, (line, name) in enumerate(zip(lines, names)):
        assert list(line.x) == list(range(j + 1, task + 1)) and list(line.y) == pytest.approx(100 * R[j:task, j])
        assert len(name.x) == (2 if j < task else 0) and name.text[1] == TASKS[j]
        assert not len(name.x) or name.y[0] == pytest.approx(line.y[-1])  # it begins at the line's end
    assert shown(matrix) == matrix.alt == matrix.figure.layout.meta["alt"]
    assert f"so far {100 * R[task - 1, :task].mean():.1f} %." in text(matrix.words)


def test_forgetting_is_the_mean_of_what_each_run_forgot(matrix):
    for task in (2, 4, 5):
        turn(matrix, task=task)
        each = [metrics.forgetting(scores("replay-50", seed)[:task, :task])["forgetting"] for seed in range(6)]
        mean, low, high = (100 * value for value in interval(each))
        assert matrix.forgetting == pytest.approx(np.mean(each))
        assert f"Forgetting {mean:.1f} points (95 % interval [{low:.1f}, {high:.1f}])." in text(matrix.words)
        assert matrix.figure.layout.title.text.endswith(f"after task {task}, {mean:.1f} points forgotten")
        turn(matrix, task=task, seeds=3)
        assert ", seed 3. " in text(matrix.words)
        assert f"Forgetting {100 * each[3]:.1f} points (one seed, so no interval)." in text(matrix.words)


def test_after_the_first_task_there_is_nothing_to_forget(matrix):
    turn(matrix, task=1)
    assert "There is no earlier task to forget yet." in matrix.alt and "orgetting" not in text(matrix.words)
    assert matrix.forgetting == 0 and matrix.figure.layout.title.text == "replay, buffer of 50, after task 1"


def test_rows_that_are_not_reached_yet_are_empty(matrix):
    for task in (1, 2, 3, 4, 5):
        matrix.task.value = task
        assert set(matrix.figure.data[0].y) == set(range(1, task + 1))
        assert f"After task {task} " in text(matrix.tiles) and f"After task {task + 1} " not in text(matrix.tiles)
        assert tuple(matrix.figure.layout.yaxis.range) == (5.5, 0.5)  # the frame stays, the first task on top


def test_what_is_kept_is_told_in_kilobytes_where_it_was_recorded(matrix):
    for (method, size), said in zip(PICKS, (None, "20 kB", "50 kB", "1,235 kB", "300 kB", None)):
        turn(matrix, method, size)
        assert ("kB" in matrix.alt) == bool(said)
        assert not said or f"After the last task, what is kept takes {said}." in text(matrix.words)


def test_next_and_back_step_through_the_tasks_and_round(matrix):
    seen = []
    for button in [matrix.next] * 6 + [matrix.back] * 2:
        button.click()
        seen.append(matrix.task.value)
    assert seen == [1, 2, 3, 4, 5, 1, 5, 4] and not matrix.next.disabled and not matrix.back.disabled


def test_another_method_takes_the_size_nearest_to_the_chosen_one(matrix):
    turn(matrix, "replay", 50)
    for method, size in (("DER++", 200), ("replay", 50), ("LwF", 0), ("replay", 50)):
        matrix.method.value = method
        assert matrix.buffer.value == size
    matrix.buffer.value = 200
    matrix.method.value = "nothing is kept"
    matrix.method.value = "replay"
    assert matrix.buffer.value == 200


def test_what_is_chosen_is_seen_in_every_control(matrix):
    """A browser shows an empty box where the chosen option has no index."""
    turn(matrix, task=2, seeds=3)
    turn(matrix, "nothing is kept", 0, 5, "mean")
    for control in (matrix.method, matrix.buffer, matrix.seeds, matrix.task):
        assert control.index is not None


def test_every_control_changes_the_figure_and_the_words(matrix):
    seen = {(state(matrix), shown(matrix))}
    for control, value in (
        (matrix.method, "replay"), (matrix.buffer, 50), (matrix.task, 3), (matrix.seeds, 1), (matrix.seeds, 2),
    ):  # fmt: skip
        control.value = value
        seen.add((state(matrix), shown(matrix)))
    assert len({figure for figure, _ in seen}) == len({words for _, words in seen}) == 6


def test_a_change_is_one_message_and_quick(matrix):
    sent = []
    for name in ("_py2js_update", "_py2js_restyle", "_py2js_relayout", "_py2js_addTraces", "_py2js_deleteTraces"):
        matrix.figure.observe(lambda change: sent.append(change.name) if change.new else None, names=name)

    def one(change):
        sent.clear()
        began = time.process_time()  # what it takes itself, on a computer however busy
        change()
        assert sent == ["_py2js_update"] and time.process_time() - began < 0.3

    for control, value in (
        (matrix.method, "replay"), (matrix.buffer, 50), (matrix.method, "DER++"), (matrix.method, "replay"),
        (matrix.task, 2), (matrix.seeds, 4),
    ):  # fmt: skip
        one(lambda control=control, value=value: setattr(control, "value", value))
    one(matrix.next.click)
    one(matrix.back.click)


def contrast(a, b) -> float:
    one, two = (plots.contrast(np.array(rgb)) for rgb in (a, b))  # both on white
    return max(one, two) / min(one, two)


def test_the_numbers_can_be_read_on_every_tile():
    for value in np.linspace(-1, 101, 103):
        tile = [float(n) for n in re.findall(r"[\d.]+", sample_colorscale("Viridis", [np.clip(value / 100, 0, 1)])[0])]
        ink = {"#000000": [0, 0, 0], "#FFFFFF": [255, 255, 255]}[FIGURE.ink(value)]
        assert contrast(tile, ink) > 4.5


def test_each_number_stands_on_its_own_tile_in_its_ink(matrix):
    turn(matrix, task=4)
    tiles = matrix.figure.data[0]
    assert tiles.marker.colorscale[0][1] == "#440154" and (tiles.marker.cmin, tiles.marker.cmax) == (0, 100)
    assert list(tiles.textfont.color) == [FIGURE.ink(value) for value in tiles.marker.color]
    assert set(tiles.textfont.color) == {"#000000", "#FFFFFF"}


def test_lines_differ_by_dash_and_marker(matrix):
    lines = matrix.figure.data[1:6]
    for look in (lambda t: t.line.dash, lambda t: t.marker.symbol, lambda t: t.line.color):
        assert len({look(line) for line in lines}) == 5
    assert [name.line.color for name in matrix.figure.data[6:]] == [line.line.color for line in lines]


@pytest.mark.parametrize("values", [[0, 0, 0, 0, 94], [99, 99, 99, 99, 99], [50, 51, 49, 0, 100], [7], [5, 0, 2, 1, 3]])
def test_names_of_lines_do_not_overlap(values):
    heights = FIGURE.spread(np.array(values, float))
    order = sorted(range(len(values)), key=lambda k: (-values[k], k))
    assert all(heights[a] - heights[b] >= FIGURE.APART - 1e-9 for a, b in itertools.pairwise(order))
    assert min(heights) >= 0 and max(heights) <= 100 and (len(values) > 1 or heights == values)


def test_it_is_as_wide_as_all_figures(matrix):
    assert (matrix.figure.layout.width, matrix.figure.layout.height) == (plots.WIDTH, plots.HEIGHT)


def test_every_control_has_a_name_and_is_used_from_the_keyboard(matrix):
    check_controls(matrix, ["Method", "Buffer", "Seeds", "Task", "Back", "Next"])


def test_it_can_be_seen_and_read_without_a_kernel(matrix):
    check_without_a_kernel(matrix, 100_000, lambda: turn(matrix, task=3))


def test_only_the_summary_is_spoken(matrix):
    assert 'role="status"' in matrix.words.value and 'role="status"' not in matrix.tiles.value


def test_names_are_shown_as_they_stand():
    marked = WIDGET.matrix(records(), {"<b>none</b> & co": "naive"})
    assert marked.figure.layout.title.text.startswith("&lt;b&gt;none&lt;/b&gt; &amp; co, after")
    assert "<b>none</b> & co" in marked.alt and shown(marked) == marked.alt
    assert marked.still().png().startswith(b"\x89PNG")


def test_runs_that_chose_a_rate_or_have_no_matrix_change_nothing(matrix):
    plain = [record for record in records() if record["spec"]["arm"] in KEPT and record["spec"]["purpose"] != "tune"]
    assert len(plain) == 36 == len(records()) - 5
    assert state(WIDGET.matrix(plain, METHODS)) == state(matrix)


def test_arms_may_have_other_seeds():
    some = records(("naive",), range(4)) + records(("lwf",), range(2, 6))
    matrix = WIDGET.matrix(some, {"naive": "naive", "LwF": "lwf"})
    assert [value for _, value in matrix.seeds.options] == ["mean", 2, 3] and ", mean over 4 seeds. " in matrix.alt
    matrix.method.value, matrix.seeds.value = "LwF", 3
    assert matrix.scores == pytest.approx(scores("lwf", 3))


def test_one_seed_has_no_interval():
    one = WIDGET.matrix(records(("naive",), [4]), {"naive": "naive"})
    assert ", seed 4. " in one.alt and "points (one seed, so no interval)." in one.alt
    assert "inf" not in one.alt + state(one) and "nan" not in one.alt + state(one)


@pytest.mark.parametrize("control", ["method", "task", "seeds"])
def test_a_callback_that_fails_is_an_error(matrix, control):
    matrix.runs = {}
    with pytest.raises(KeyError):
        getattr(matrix, control).index = 1


# ---- the smallest buffer


def replays(forgotten: dict[str, list[float]]) -> list[dict]:
    """Runs that forget so much, one a seed: each earlier task ends so far below its best."""
    out = []
    for arm, each in forgotten.items():
        for seed, lost in enumerate(each):
            R = 0.9 * np.tril(np.ones((5, 5)))
            R[-1, :-1] -= lost
            out.append(run(arm, seed, R))
    return out


@pytest.mark.parametrize(
    ("forgotten", "most", "size"),
    [
        ({"replay-50": [0.2], "replay-200": [0.04], "replay-400": [0.01]}, 0.05, 200),
        ({"replay-400": [0.01], "replay-50": [0.04], "replay-200": [0.2]}, 0.05, 50),  # whatever the order
        ({"replay-50": [0.08, 0.01], "replay-200": [0.01, 0.01]}, 0.05, 50),  # the mean over seeds
        ({"replay-50": [0.1, 0.01], "replay-200": [0.01, 0.01]}, 0.05, 200),
        ({"replay-50": [0.2], "replay-200": [0.1]}, 0.05, None),
        ({"replay-50": [0.2], "replay-200": [0.1]}, 0.15, 200),
        ({"naive": [0.0], "derpp": [0.0], "replay-50 told": [0.0], "replay-400": [0.01]}, 0.05, 400),
    ],
)
def test_the_smallest_buffer_is_the_first_that_forgets_little_enough(forgotten, most, size):
    assert WIDGET.smallest_buffer(replays(forgotten), most) == size


def test_the_smallest_buffer_counts_measured_runs_and_takes_five_points():
    tuned = [run("replay-20", 100, 0.9 * np.tril(np.ones((5, 5))), purpose="tune")]
    assert WIDGET.smallest_buffer(tuned + replays({"replay-50": [0.06], "replay-100": [0.049]})) == 100
    with pytest.raises(ValueError, match="each arm must have one run a seed, but 'replay-50'"):
        WIDGET.smallest_buffer(replays({"replay-50": [0.06]}) * 2)
    with pytest.raises(ValueError, match="must be runs of replay, with arms such as 'replay-20', but none has"):
        WIDGET.smallest_buffer(replays({"naive": [0.1]}))


def test_the_widget_shows_what_the_smallest_buffer_is_chosen_by():
    some = replays({"replay-50": [0.2, 0.1], "replay-200": [0.06, 0.03]})
    matrix = WIDGET.matrix(some, {"replay": {50: "replay-50", 200: "replay-200"}})
    found = {}
    for _, size in matrix.buffer.options:
        matrix.buffer.value = size
        found[size] = float(re.search(r"Forgetting ([\d.]+) points", matrix.alt)[1])
    assert found == {50: 15.0, 200: 4.5} and WIDGET.smallest_buffer(some) == 200


# ---- bad input


def renamed(record: dict) -> dict:
    """The same run, of tasks in another order."""
    watch = record["spec"]["watch"]
    return record | {"spec": record["spec"] | {"arm": "turned", "watch": watch[::-1]}}


ONE = {"naive": "naive"}
BAD = {
    "no records": ([], ONE, r"needs a list of recorded runs, but it was given an empty list: take what ftlib\.load"),
    "a table": (pd.DataFrame({"arm": ["naive"]}), ONE, "but it was given a DataFrame: take what"),
    "no matrix": (
        [record for record in records() if record["spec"]["arm"] not in KEPT or record["spec"]["purpose"] == "tune"],
        ONE, "needs runs that learn several tasks .* but none of these 5 runs is one: give measured runs",
    ),
    "unknown arm": (records(), {"a": "naive", "b": {20: "replay-21"}}, "but 'replay-21' has none: choose .* replay-20"),
    "an arm without a matrix": (records(), {"all": "joint"}, "but 'joint' has none: choose among naive, replay-20"),
    "no method": (records(), {}, r"methods must give each shown name an arm.* but it is \{\}: write"),
    "no size": (records(), {"replay": {}}, "methods must give each shown name an arm"),
    "a size in words": (records(), {"replay": {"20": "replay-20"}}, "by the number of remembered examples, but it is"),
    "two runs a seed": (records() + records(("naive",), [3]), ONE, r"one run a seed, but 'naive' has the seeds \[0, 1"),
    "other tasks": (
        [*records(), renamed(records(("naive",), [0])[2])], {"a": "naive", "b": "turned"},
        r"the same tasks in the same order, but 'naive' has \['0,1', .* and 'turned' has \['8,9', .*: leave one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name):
    given, methods, words = BAD[name]
    with pytest.raises(ValueError, match=words) as raised:
        WIDGET.matrix(given, methods)
    assert "\n" not in str(raised.value) and ". " not in str(raised.value)
