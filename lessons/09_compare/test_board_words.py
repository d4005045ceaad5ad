"""What the board says, in its figure, its title, its words and its table, is what its data say."""

import math
import re

import numpy as np
import pytest
from known import METRIC, against, close, corrected, holds, of, runs
from words import alone, says, status, text, told  # noqa: F401 (a fixture)

from ftlib.classroom.lessons import part

WIDGET = part("09_compare", "widget")
FIGURE = WIDGET.FIGURE
pytestmark = pytest.mark.usefixtures("one_thread", "alone")
UNCLEAR = "not distinguishable here"
SECONDS = {"zeta": 8.0, "alpha": 2.0, "mid": 4.0}
BASE = "alpha"
DATA = {
    "better and worse": {"effects": (0.05, 0.0, -0.05)},
    "worse and better": {"effects": (-0.05, 0.0, 0.05)},
    "not clear": {"effects": (0.01, 0.0, -0.01), "noise": 0.1},
    "equal": {"effects": (0.0, 0.0, 0.0), "noise": 0.0},
    "five seeds": {"seeds": 5},
    "one seed": {"seeds": 1},
}


def made(name):
    """(rows with per cent in METRIC, records of them, with curves)."""
    rows, records = runs(**DATA[name]), []
    for i, (arm, seed, score) in enumerate(zip(rows.arm, rows.seed, rows[METRIC])):
        phase = {"strategy": [], "steps": 10, "lr": 0.1, "data": {"train": "train"}, "batch_size": 32, "fit": {}}
        spec = {"arm": arm, "task": "t", "model": "m", "seed": seed, "phases": [phase], "options": {"n": 50}, "watch": [],
                "splits": ["test"], "every": 5, "precision": "float32", "grid": "g", "purpose": "measure"}  # fmt: skip
        curve = [{"step": step, "loss": 1.0, "lr": 0.1, "accuracy": score * step / 10} for step in (5, 10)]
        records.append({"id": str(i), "spec": spec, "steps": 10, "memory": 1, "curve": curve,
                        "scores": {"test": {"accuracy": score, "nll": 1 - score}},
                        "seconds": {"training": SECONDS[arm] + 0.1 * (seed % 2)},
                        "parameters": {"trainable": 5, "total": 5, "bytes": 20}})  # fmt: skip
    return rows.assign(**{METRIC: 100 * rows[METRIC]}), records


def expected(rows) -> dict[str, tuple]:
    """{method: (difference, low, high, reading)} from scipy and by hand, in points."""
    arms, seeds = [arm for arm in dict.fromkeys(rows.arm) if arm != BASE], rows.seed.nunique()
    found = {arm: against(rows, arm, BASE) for arm in arms}
    fixed, out = dict(zip(arms, corrected([p for *_, p in found.values()]))), {}
    for arm, (mean, low, high, p) in found.items():
        low, high = holds(mean, low, high, p, fixed[arm], seeds)
        clear = seeds >= 6 and (low > 0 or high < 0)
        out[arm] = (mean, low, high, ("higher" if low > 0 else "lower") if clear else UNCLEAR)
    return out


def mean_of(rows, arm):
    return of(rows[METRIC][rows.arm == arm])


@pytest.mark.parametrize("name", DATA)
def test_it_says_what_its_data_say(name):
    rows, records = made(name)
    panel = WIDGET.board(records)
    panel.baseline.value, found = BASE, expected(rows)
    for method in SECONDS:
        panel.method.value = method
        for view, check in (("score and cost", check_cost), ("differences", check_differences), ("seed by seed", check_seeds),
                            ("curves", check_curves)):  # fmt: skip
            panel.view.value = view
            said = status(panel.words)
            assert told(panel, panel.alt).startswith(f"{said} All methods, ")
            assert said.startswith(
                f"t, 50 training examples. Runs: g, m, 10 steps. Means over {rows.seed.nunique()} seed"
            )
            check_readings(said, found, rows.seed.nunique())
            check(panel, said, rows, found, method)
        check_table(panel, rows, found, method)


def check_readings(said, found, seeds) -> None:
    """Each method stands behind its reading, with its difference where it is clear."""
    words = said.partition(f"Against {BASE}, paired by seed")[2]
    assert ("intervals corrected for 2 comparisons" in words) == (seeds > 1)
    for reading, sign in (("higher", "Higher: "), ("lower", "Lower: ")):
        its = [arm for arm, one in found.items() if one[3] == reading]
        sentence = words.partition(sign)[2].partition(" points).")[0] if its else ""
        assert (sign in words) == bool(its) and all(f"{arm} (" in sentence for arm in its)
        says(sentence, *(found[arm][0] for arm in its))
    unclear = [arm for arm, one in found.items() if one[3] == UNCLEAR]
    assert (f"Can't tell: {' and '.join(unclear)}" in words) == bool(unclear)
    assert ("A verdict needs 6 seeds" in words) == (seeds < 6)


def check_cost(panel, said, rows, found, method) -> None:
    points, front, ring = (panel.figure.data[i] for i in (FIGURE.ARMS, FIGURE.FRONT, FIGURE.CHOSEN))
    arms = list(dict.fromkeys(rows.arm))
    cost = {arm: np.mean([SECONDS[arm] + 0.1 * (seed % 2) for seed in rows.seed[rows.arm == arm]]) for arm in arms}
    score = {arm: mean_of(rows, arm)[0] for arm in arms}
    assert list(points.text) == arms and close(points.x, cost.values()) and close(points.y, score.values())
    if rows.seed.nunique() > 1:
        ends = [mean_of(rows, arm)[1:] for arm in arms]
        assert close(np.array(points.y) - points.error_y.arrayminus, [low for low, _ in ends])
        assert close(np.array(points.y) + points.error_y.array, [high for _, high in ends])
    else:
        assert set(points.error_y.array) == {None}
    free = [a for a in sorted(arms, key=cost.get)
            if not any(cost[b] <= cost[a] and score[b] >= score[a] and b != a for b in arms)]  # fmt: skip
    assert panel.front == free and close(front.x, [cost[a] for a in free]) and close(front.y, [score[a] for a in free])
    assert (ring.x, ring.y) == ((points.x[arms.index(method)],), (points.y[arms.index(method)],))
    sentence = said.partition("(training seconds; accuracy on test (%)): ")[2].partition(". ")[0]
    sentence = (
        said.partition("(training seconds; accuracy on test (%)): ")[2].partition(" Against")[0].partition(" Behind")[0]
    )
    says(sentence, *(number for arm in free for number in (cost[arm], score[arm])))
    behind = [arm for arm in arms if arm not in free]
    assert ("Behind it" in said) == bool(behind) and all(arm in said.partition("Behind it")[2] for arm in behind)
    title = panel.figure.layout.title.text
    assert title.startswith("t, 50 examples. On the front: ") and all(arm in title for arm in free)
    for hint, arm in zip(points.hovertext, arms, strict=True):
        says(hint, score[arm], cost[arm])
        assert hint.startswith(f"{arm}<br>")


def check_differences(panel, said, rows, found, method) -> None:
    points, ring = panel.figure.data[FIGURE.ARMS], panel.figure.data[FIGURE.CHOSEN]
    assert close(points.x, [one[0] for one in found.values()]) and list(points.y) == [0, 1]
    assert list(panel.figure.layout.yaxis.ticktext) == list(found) and panel.figure.layout.shapes[0].visible
    if rows.seed.nunique() > 1:
        assert close(np.array(points.x) - points.error_x.arrayminus, [one[1] for one in found.values()])
        assert close(np.array(points.x) + points.error_x.array, [one[2] for one in found.values()])
    assert list(ring.y or ()) == ([list(found).index(method)] if method != BASE else [])
    sentence = said.partition("Differences in accuracy on test: ")[2].partition(" Against")[0]
    numbers = []
    for hint, (arm, (mean, low, high, reading)) in zip(points.hovertext, found.items(), strict=True):
        seeds = rows.seed.nunique()
        few = seeds > 1 and reading == UNCLEAR and not low <= 0 <= high
        numbers += [mean, *([low, high] if seeds > 1 else []), *([6, seeds] if few else [])]
        assert f"{arm} " in sentence and hint.startswith(f"{arm}: ") and f", {reading}" in hint
    says(sentence, *numbers)
    clear = sum(one[3] != UNCLEAR for one in found.values())
    assert panel.figure.layout.title.text == f"{clear} of 2 methods differ clearly from {BASE}"


def check_seeds(panel, said, rows, found, method) -> None:
    ahead, behind, mean = (panel.figure.data[i] for i in (FIGURE.AHEAD, FIGURE.BEHIND, FIGURE.METHOD))
    if method == BASE:
        assert "Choose another method or baseline" in said and not (ahead.x or behind.x or mean.x)
        return
    wide = rows.pivot(index="seed", columns="arm", values=METRIC)
    drawn = sorted(zip(ahead.y[::3], ahead.y[1::3])), sorted(zip(behind.y[::3], behind.y[1::3]))
    wins = wide[wide[method] > wide[BASE]]
    for lines, its in zip(drawn, (wins, wide.drop(wins.index))):
        assert np.allclose(np.array(lines).ravel(), its.sort_values([BASE, method])[[BASE, method]].to_numpy().ravel())
    assert close(mean.y, [wide[BASE].mean(), wide[method].mean()])
    assert list(panel.figure.layout.xaxis.ticktext) == [BASE, method]
    assert panel.figure.layout.title.text == f"{method} is better than {BASE} on {len(wins)} of {len(wide)} seeds"
    one = found[method]
    few = len(wide) > 1 and one[3] == UNCLEAR and not one[1] <= 0 <= one[2]
    tied = int((wide[method] == wide[BASE]).sum())
    sentence = said.partition(f"{method} is better than {BASE} on ")[2].partition(" Against")[0]
    says(sentence, len(wins), len(wide), *([tied] if tied else []), one[0], *([] if math.isinf(one[1]) else one[1:3]),
         *([6, len(wide)] if few else []))  # fmt: skip


def check_curves(panel, said, rows, found, method) -> None:
    arms = [BASE, method] if method != BASE else [method]
    for arm, trace in zip(arms, (FIGURE.BASE, FIGURE.METHOD) if method != BASE else (FIGURE.METHOD,)):
        mean = mean_of(rows, arm)[0]
        assert list(panel.figure.data[trace].x) == [5, 10] and close(panel.figure.data[trace].y, [mean / 2, mean])
        assert panel.figure.data[trace].name == f"{arm}, mean"
    sentence = said.partition("Means of accuracy on validation (%) over the seeds: ")[2].partition(". Against")[0]
    says(sentence, *(number for arm in arms for number in (mean_of(rows, arm)[0] / 2, 5, mean_of(rows, arm)[0], 10)))


def check_table(panel, rows, found, method) -> None:
    """A row per method; the chosen one and those of the front are marked, and a clear difference has a sign."""
    lines = re.findall(r"<tr>(.*?)</tr>", panel.rows.value.partition("<tbody>")[2])
    for line, arm in zip(lines, dict.fromkeys(rows.arm), strict=True):
        name, seeds, score, cost, apart, reading = (text(cell) for cell in map(Cell, re.findall("<td.*?</td>", line)))
        assert name == f"{'▶ ' if arm == method else ''}{arm}{' ★' if arm in panel.front else ''}"
        says(f"{seeds} {score}", rows.seed.nunique(), mean_of(rows, arm)[0])
        says(cost, np.mean([SECONDS[arm] + 0.1 * (seed % 2) for seed in rows.seed[rows.arm == arm]]))
        if arm == BASE:
            assert (apart, reading) == ("", "baseline")
            continue
        mean, low, high, right = found[arm]
        says(apart, mean, *([] if math.isinf(low) else [low, high]))
        assert reading == {"higher": "▲ higher", "lower": "▼ lower"}.get(right, UNCLEAR)


class Cell:
    """A cell of the table, in the form that `text` reads."""

    def __init__(self, value: str):
        self.value = value


def test_a_score_of_which_less_is_better_is_read_so():
    rows, records = made("better and worse")
    panel = WIDGET.board(records)
    panel.baseline.value = BASE
    panel.measure.value = next(m for _, m in panel.measure.options if m.column == "test.nll")
    assert "Higher, which is worse: mid" in panel.alt and "Lower, which is better: zeta" in panel.alt
    panel.view.value, panel.method.value = "seed by seed", "zeta"
    scores = rows.pivot(index="seed", columns="arm", values=METRIC)
    wins = int((scores.zeta > scores.alpha).sum())
    words = f"zeta is better than alpha on {wins} of 6 seeds"
    assert words in panel.alt and panel.figure.layout.title.text == words


def test_seconds_of_two_kinds_of_machine_are_called_so():
    _, records = made("better and worse")
    assert "kinds of machine" not in WIDGET.board(records).alt
    records[0]["provenance"] = {"threads": 4, "device": "cpu"}
    panel = WIDGET.board(records)
    assert "These seconds come from 2 kinds of machine, so don't compare them." in panel.alt
    panel.cost.value = dict(panel.cost.options)["trained parameters"]
    assert "kinds of machine" not in panel.alt
