"""What a figure says, in its points, bars, labels and words, is what its data say, computed anew from other formulas.

CHECKS has one check a public function of ftlib.plots: a new one without a row turns the first test red.
"""

import inspect
import io

import numpy as np
import pandas as pd
import pytest
from known import (
    ARMS,
    BASE,
    DATA,
    METRIC,
    NUMBER,
    against,
    bar,
    close,
    comparisons,
    how_many,
    intervals,
    numbers,
    of,
    score,
    scores,
)
from known import runs as made_up
from PIL import Image

from ftlib import plots
from ftlib.evidence.compare import table

PUBLIC = {n for n, f in vars(plots).items() if inspect.isfunction(f) and f.__module__ == plots.__name__}
PUBLIC = {name for name in PUBLIC if not name.startswith("_")}


def drawn(fig) -> None:
    """The still can be drawn, whatever the numbers are."""
    assert Image.open(io.BytesIO(fig.png())).size[0] > 300


def check_scores(rows):
    fig = plots.scores(rows, METRIC, "A title", "accuracy")
    arms = list(dict.fromkeys(rows.arm))
    assert [t.name for t in fig.data] == [arm for arm in arms for _ in range(2)]
    for k, arm in enumerate(arms):
        light, mean = fig.data[2 * k : 2 * k + 2]
        assert sorted(light.x) == sorted(scores(rows, arm).values()) and set(light.y) == set(mean.y) == {arm}
        value, low, high = of(scores(rows, arm).values())
        one = len(scores(rows, arm)) == 1
        assert close(bar(mean), (value, value, value) if one else (value, low, high))
        assert light.marker.color == plots.faint(mean.marker.color) and light.marker.symbol == mean.marker.symbol
    assert len({t.marker.symbol for t in fig.data}) == len(arms)
    said = "; ".join(f"{arm} {score(list(scores(rows, arm).values()))}" for arm in arms)
    assert fig.alt == f"Dot plot of accuracy, mean and 95 % interval over seeds: {said}."
    assert (fig.layout.title.text, fig.layout.xaxis.title.text) == ("A title", "accuracy")
    drawn(fig)


def check_differences(rows):
    fig = plots.differences(rows, METRIC, BASE)
    said = comparisons(rows)
    assert fig.alt == (
        f"Interval plot of the difference in {METRIC} from {BASE}, paired by seed{how_many(rows)}: "
        + "; ".join(f"{arm} {words}" for arm, words in said.items())
        + "."
    )
    assert [t.name for t in fig.data] == list(said) and fig.layout.shapes[0].x0 == fig.layout.shapes[0].x1 == 0
    for trace in fig.data:
        assert list(trace.y) == [trace.name]
        mean, (low, high) = against(rows, trace.name)[0], intervals(rows)[trace.name]
        assert close(bar(trace), (mean, low, high) if np.isfinite(low) else (mean, mean, mean))
    drawn(fig)


def check_compared(rows):
    found = table(rows, METRIC, BASE).drop(index=BASE)
    assert plots.compared(found) == "; ".join(f"{arm} {words}" for arm, words in comparisons(rows).items())
    first = found.iloc[:1]  # alone it would be one comparison
    assert plots.compared(first).startswith(f"{first.index[0]} {first.difference.iloc[0]:+.3f} ")


def check_spread(rows):
    for arm in dict.fromkeys(rows.arm):
        values = list(scores(rows, arm).values())
        mean, low, high = of(values)
        assert f"{mean:.3f} {plots.spread(low, high)}" == score(values)
        assert plots.spread(low, high, "+") in (f"[{low:+.3f}, {high:+.3f}]", "(one seed, so no interval)")


def check_look(rows):
    """Each arm has its own look."""
    looks = [plots.look(i) for i, _ in enumerate(dict.fromkeys(rows.arm))]
    assert len({colour for colour, _, _ in looks}) == len({marker for _, marker, _ in looks}) == len(looks)


def check_faint(rows):
    """Lighter than its arm, where that can still be seen, and never too light."""
    for i, _ in enumerate(dict.fromkeys(rows.arm)):
        full, light = plots.look(i)[0], plots.faint(plots.look(i)[0])
        full, light = ([int(one[k : k + 2], 16) for k in (1, 3, 5)] for one in (full, light))
        assert 3 <= plots.contrast(light) <= plots.contrast(full)


def check_contrast(rows):
    """White on white has none, and grey the one that WCAG's examples give."""
    assert plots.contrast([255, 255, 255]) == 1 and round(plots.contrast([119, 119, 119]), 2) == 4.48


def check_corrected(rows):
    assert plots.corrected(table(rows, METRIC, BASE).drop(index=BASE)) == how_many(rows)


def check_too_few(rows):
    seeds = rows.seed.nunique()
    said = plots.too_few(seeds)
    assert bool(said) == (seeds < 6) and (not said or numbers(said) == [6, seeds])


def check_curves(rows):
    """The same scores, made into curves: seed s starts at 0.1 s and rises by a tenth of its score a step."""
    steps, arms = (5, 10, 20), list(dict.fromkeys(rows.arm))
    points = pd.DataFrame(
        {"arm": r["arm"], "seed": r["seed"], "step": step, "m": r[METRIC] * step / 20}
        for _, r in rows.iterrows() for step in reversed(steps)
    )  # fmt: skip
    stopped = points[~((points.arm == arms[0]) & (points.seed == 0) & (points.step == 20))]
    for some in (points, stopped):
        fig = plots.curves(some, "m", "", "score")
        ends = {}
        for arm in arms:
            mine = some[some.arm == arm]
            light = plots.faint(_mean(fig, arm).line.color)
            thin = [t for t in fig.data if t.mode == "lines" and t.line.color == light]
            each = {s: mine[mine.seed == s].sort_values("step") for s in mine.seed}
            assert len(thin) == len(each)
            lines = sorted(zip(map(tuple, (t.x for t in thin)), map(tuple, (t.y for t in thin))))
            assert lines == sorted((tuple(one.step), tuple(one["m"])) for one in each.values())
            whole = [s for s in steps if len(mine[mine.step == s]) == len(each)]
            assert list(_mean(fig, arm).x) == whole
            assert close(_mean(fig, arm).y, [sum(mine[mine.step == s]["m"]) / len(each) for s in whole])
            ends[arm] = sum(one["m"].iloc[-1] for one in each.values()) / len(each)
        said = "; ".join(f"{arm} {v:.3f}" for arm, v in ends.items())
        assert fig.alt == f"Line chart of score against steps. At each seed's last step: {said}."
        drawn(fig)


def _mean(fig, arm):
    return next(t for t in fig.data if t.name == arm)


def check_sweep(rows):
    rows = pd.concat([rows.assign(n=200, **{METRIC: rows[METRIC] + 0.1}), rows.assign(n=50)])
    fig = plots.sweep(rows, METRIC, "", "accuracy")
    arms, words = list(dict.fromkeys(rows.arm)), []
    assert [t.name for t in fig.data] == arms
    for trace in fig.data:
        found = {n: of(scores(rows[rows.n == n], trace.name).values()) for n in (50, 200)}
        assert list(trace.x) == [50, 200] and close(trace.y, [m for m, _, _ in found.values()])
        for k, (mean, low, high) in enumerate(found.values()):
            if np.isfinite(low):
                assert close((trace.error_y.arrayminus[k], trace.error_y.array[k]), (mean - low, high - mean))
            else:
                assert trace.error_y.array[k] is trace.error_y.arrayminus[k] is None
        words.append(f"{trace.name} " + ", ".join(f"{m:.3f} at {n}" for n, (m, _, _) in found.items()))
    assert fig.alt == f"Line chart of accuracy against n, mean over seeds: {'; '.join(words)}."
    assert list(fig.layout.xaxis.tickvals) == [50, 200] and list(fig.layout.xaxis.ticktext) == ["50", "200"]
    drawn(fig)


def check_points(rows):
    rated = pd.DataFrame({"p": rows[METRIC].to_numpy()[:4], "q": -rows[METRIC].to_numpy()[:4] / 3})
    rated.index = [f"row {i}" for i in range(len(rated))]
    fig = plots.points(rated, "p", "q", "Title", "probe", "gain")
    (trace,) = fig.data
    assert list(trace.x) == list(rated.p) and list(trace.y) == list(rated.q) and list(trace.text) == list(rated.index)
    said = "; ".join(f"{name} ({p:.3f}, {q:.3f})" for name, (p, q) in zip(rated.index, rated.to_numpy()))
    assert fig.alt == f"Scatter plot of gain against probe: {said}."
    assert (fig.layout.xaxis.title.text, fig.layout.yaxis.title.text) == ("probe", "gain")
    drawn(fig)


def check_reliability(rows):
    some = rows[rows.seed < 3].sort_values(["arm", "seed"], kind="stable")
    bins = pd.DataFrame({
        "arm": some.arm, "confidence": 0.55 + 0.1 * some.seed, "accuracy": (0.4 + some[METRIC] / 4).clip(0, 1),
        "share": (some.seed + 1) / some.groupby("arm").seed.transform(lambda s: (s + 1).sum()),
    })  # fmt: skip
    fig = plots.reliability(bins)
    assert list(fig.data[0].x) == list(fig.data[0].y) == [0, 1]
    words = []
    for trace in fig.data[1:]:
        mine = [row for _, row in bins.iterrows() if row.arm == trace.name]
        assert close(trace.x, [r.confidence for r in mine]) and close(trace.y, [r.accuracy for r in mine])
        assert [numbers(t)[0] for t in trace.hovertext] == [round(100 * r.share) for r in mine]
        words.append(f"{trace.name} {sum(abs(r.accuracy - r.confidence) * r.share for r in mine):.3f}")
    assert fig.alt == f"Reliability diagram. Expected calibration error: {'; '.join(words)}."
    drawn(fig)


def check_losses(rows):
    histories = {}
    for arm in dict.fromkeys(rows.arm):
        histories[arm] = [{"step": i, "loss": value} for i, value in enumerate(scores(rows, arm).values())]
    for given in (histories, histories[ARMS[0]]):
        fig = plots.losses(given)
        named = given if isinstance(given, dict) else {"training": given}
        words = []
        assert [t.name for t in fig.data] == list(named)
        for trace, history in zip(fig.data, named.values()):
            assert list(trace.x) == list(range(1, len(history) + 1))  # after how many steps
            assert list(trace.y) == [row["loss"] for row in history]
            words.append(f"{trace.name} from {history[0]['loss']:.3f} to {history[-1]['loss']:.3f}")
        assert fig.alt == f"Line chart of the training loss against steps: {'; '.join(words)}."
        drawn(fig)


def check_image(rows):
    pixels = (np.resize(rows[METRIC].to_numpy(), (5, 7)) * 100).astype(np.uint8)
    shown = plots.image(pixels, "What it is.")
    assert (np.array(Image.open(io.BytesIO(shown.png))) == pixels).all() and shown.alt == "What it is."


def check_figure(rows):
    fig = plots.figure("T", "x (s)", "y (m)", "Words.")
    assert (fig.layout.title.text, fig.layout.xaxis.title.text, fig.layout.yaxis.title.text) == ("T", "x (s)", "y (m)")
    assert fig.alt == "Words." and not fig.data


CHECKS = {name.removeprefix("check_"): f for name, f in list(globals().items()) if name.startswith("check_")}


def test_every_figure_has_its_check():
    assert len(PUBLIC) >= 9 and set(CHECKS) == PUBLIC


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", CHECKS)
def test_a_figure_says_what_its_data_say(name, data):
    CHECKS[name](DATA[data])


def test_the_made_up_runs_hold_every_word_that_can_be_said():
    said = [words.split("], ")[-1] for rows in DATA.values() for words in comparisons(rows).values()]
    for word in ("higher", "lower", "not distinguishable here", "one seed", "a verdict needs 6 seeds"):
        assert any(word in one for one in said), word


# ---- numbers that are none


def test_a_score_that_is_no_number_is_said_and_not_left_out():
    rows = made_up()
    rows.loc[(rows.arm == "zeta") & (rows.seed == 2), METRIC] = np.nan
    assert plots.scores(rows, METRIC).alt.partition("zeta ")[2].startswith("nan [nan, nan]")
    with pytest.raises(ValueError, match="1 of 18 runs have no finite"):  # and not compared by the other five
        plots.differences(rows, METRIC, BASE)


def test_a_curve_that_ended_in_no_number_does_not_end_where_it_last_was_one():
    """A run that diverged is not as good as it was before, and the mean is not that of the others."""
    points = pd.DataFrame(
        {"arm": arm, "seed": seed, "step": step, "m": float(step + seed)}
        for arm in "ab" for seed in (0, 1) for step in (1, 2, 3)
    )  # fmt: skip
    points.loc[(points.arm == "a") & (points.seed == 1) & (points.step == 3), "m"] = np.nan
    fig = plots.curves(points, "m")
    assert close(_mean(fig, "a").y, [1.5, 2.5, np.nan]) and close(_mean(fig, "b").y, [1.5, 2.5, 3.5])
    assert fig.alt.endswith("At each seed's last step: a nan; b 3.500.")
    drawn(fig)


def test_the_numbers_in_a_text_are_found():
    assert numbers("a -0.5 [+1.25, nan] at 50, 3 %") == pytest.approx([-0.5, 1.25, np.nan, 50, 3], nan_ok=True)
    assert NUMBER
