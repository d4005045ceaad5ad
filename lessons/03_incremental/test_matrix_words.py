"""What the widget `matrix` says, in its figure, its title, its words and its status, is what its data say."""

from itertools import pairwise

import numpy as np
import pytest
from known import close, every, of
from words import alone, says, status, text, told  # noqa: F401 (a fixture)

from ftlib.classroom.lessons import part

WIDGET = part("03_incremental", "widget")
pytestmark = pytest.mark.usefixtures("one_thread", "alone")

NAMES = ("a", "b", "c")
# R of each seed in per cent: a row after each task
FORGETS = [[90, 1, 0], [40, 80, 2], [10, 30, 70]]
ROWS = {
    "forgets": [FORGETS, [[94, 0, 0], [50, 82, 0], [20, 36, 74]], [[92, 0, 3], [41, 85, 1], [13, 31, 75]]],
    "best at other times": [[[90, 0, 0], [50, 80, 0], [50, 80, 70]], [[50, 0, 0], [90, 80, 0], [50, 80, 70]]],
    "gets better": [[[60, 10, 0], [70, 50, 0], [80, 65, 90]], [[61, 12, 0], [73, 54, 0], [86, 66, 95]]],
    "knows before": [[[60, 50, 0], [60, 40, 0], [60, 30, 90]]] * 2,
    "all the same": [[[100, 0, 0], [100, 100, 0], [100, 100, 100]]] * 3,
    "one seed": [FORGETS],
}


def lost(R, task: int) -> float:
    """The mean over the tasks before of the best so far minus the last, in points."""
    return sum(max(R[i][j] for i in range(task - 1)) - R[task - 1][j] for j in range(task - 1)) / (task - 1)


def record(arm: str, seed: int, R, size: float) -> dict:
    watch = [f"t[{name}]:validation" for name in NAMES]
    curve = [{"step": 2 * i, **{w: value / 100 for w, value in zip(watch, row)}} for i, row in enumerate(R, 1)]
    spec = {"arm": arm, "seed": seed, "purpose": "measure", "watch": watch, "phases": [{"steps": 2}] * 3}
    return {"spec": spec, "curve": curve, "measured": {"Replay.bytes": size} if size else {}}


def check_matrix(kind: str):
    other = [[[min(value + 5.04, 100) for value in row] for row in R] for R in ROWS[kind]]
    found = {("plain", 0): (ROWS[kind], 0), ("kept", 8): (other, 4096.0), ("kept", 300): (ROWS[kind], 1234567.0)}
    names = {("plain", 0): "naive", ("kept", 8): "replay-8", ("kept", 300): "replay-300"}
    records = [record(names[k], seed, R, size) for k, (each, size) in found.items() for seed, R in enumerate(each)]
    matrix = WIDGET.matrix(records, {"plain": "naive", "kept": {8: "replay-8", 300: "replay-300"}})
    seeds = ["mean", *range(len(ROWS[kind]))]
    for at in every(pick=list(found), task=[1, 2, 3], only=seeds):
        (method, buffer), task, only = at["pick"], at["task"], at["only"]
        matrix.method.value, matrix.buffer.value = method, buffer
        matrix.task.value, matrix.seeds.value = task, only
        said, tiles = status(matrix.words), text(matrix.tiles)
        told(matrix, f"{said} {tiles}")
        each, size = found[method, buffer]
        each = each if only == "mean" else [each[only]]
        R = [[sum(run[i][j] for run in each) / len(each) for j in range(3)] for i in range(task)]
        forgotten = [lost(run, task) for run in each] if task > 1 else []
        mean, low, high = of(forgotten) if task > 1 else (0, 0, 0)
        sure = [95, low, high] if len(each) > 1 else []
        says(
            said, *([buffer] if buffer else []), task, 3, len(each) if len(each) > 1 else 0 if only == "mean" else only,
            sum(R[-1][:task]) / task, *([mean, *sure] if task > 1 else []), *([size / 1000] if size else []),
        )  # fmt: skip
        assert said.startswith(f"{method}, buffer of {buffer}, " if buffer else f"{method}, after ")
        assert ("one seed, so no interval" in said) == (task > 1 and len(each) == 1) and "-0.0" not in said
        assert ("no earlier task to forget" in said) == (task == 1) and ("mean over" in said) == (len(each) > 1)
        numbers = [n for i in range(task) for n in (i + 1, *R[i])]
        says(tiles.partition("a and b and c.")[2], *numbers)
        title = matrix.figure.layout.title.text
        says(title, *([buffer] if buffer else []), task, *([mean] if task > 1 else []))
        assert title.startswith(f"{method}, ") and ("forgotten" in title) == (task > 1)
        square, lines, ends = (matrix.figure.data[0], matrix.figure.data[1:4], matrix.figure.data[4:])
        flat = [value for row in R for value in row]
        assert close(square.marker.color, flat) and close([float(n) for n in square.text], np.round(flat, 1))
        assert [*zip(square.y, square.x)] == [(i + 1, j + 1) for i in range(task) for j in range(3)]
        hints = [f"digits {NAMES[j]} after task {i + 1}, " for i in range(task) for j in range(3)]
        for hint, value, shown in zip(hints, flat, square.hovertext, strict=True):
            assert shown.startswith(hint)
            says(shown.removeprefix(hint), value)
        for j, (line, end) in enumerate(zip(lines, ends, strict=True)):
            assert list(line.x) == [*range(j + 1, task + 1)] and close(line.y, [R[i][j] for i in range(j, task)])
            assert list(line.hovertext) == [square.hovertext[3 * i + j] for i in range(j, task)]
            assert list(end.text) == ["", NAMES[j]] and (len(end.x) == 2) == (j < task)
            assert not len(end.x) or (end.y[0] == line.y[-1] and end.x[0] > task)
        heights = sorted((end.y[1] for end in ends if len(end.y)), reverse=True)
        assert all(a - b > 5 for a, b in pairwise(heights))


@pytest.mark.parametrize("name", ROWS)
def test_it_says_what_its_data_say(name):
    check_matrix(name)


def test_forgetting_is_not_that_of_the_mean_matrix():
    """Where the runs are best at other times, the mean matrix has forgotten less than each of them."""
    each = ROWS["best at other times"]
    assert np.mean([lost(R, 3) for R in each]) == 20 and lost(np.mean(each, 0), 3) == 10
