"""Figures are pure, labelled, legible without colour, and visible without a browser."""

import base64
import copy
import html
import io
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from ftlib import plots
from ftlib.evidence.compare import paired
from test_compare import METRIC, runs

POINTS = pd.DataFrame(
    {"arm": arm, "seed": seed, "step": step, "accuracy": 0.5 + step / 100 + i / 10, "loss": 1.0}
    for i, arm in enumerate(("full", "probe"))
    for seed in (0, 1)
    for step in (5, 10)
)
HISTORY = [{"step": i, "loss": 1 / (i + 1)} for i in range(5)]
FIGURES = {
    "curves": lambda: plots.curves(POINTS, "accuracy"),
    "scores": lambda: plots.scores(runs(), METRIC),
    "differences": lambda: plots.differences(runs(), METRIC, "a"),
    "sweep over depth": lambda: plots.sweep(
        pd.concat([runs().assign(k=0), runs(seed=1).assign(k=5)]), METRIC, by="k", log=False
    ),
    "sweep": lambda: plots.sweep(pd.concat([runs().assign(n=50), runs(seed=1).assign(n=200)]), METRIC),
    "points": lambda: plots.points(
        pd.DataFrame({"x": [0.1, 0.2], "y": [0.3, 0.1]}, ["cells", "digits"]), "x", "y", "Two tasks", "probe", "gain"
    ),
    "reliability": lambda: plots.reliability(
        pd.DataFrame(
            {
                "arm": ["before"] * 2 + ["after"],
                "confidence": [0.6, 0.9, 0.7],
                "accuracy": [0.5, 0.8, 0.7],
                "share": [0.5, 0.5, 1.0],
            }
        )
    ),
    "losses": lambda: plots.losses({"full": HISTORY, "probe": HISTORY}),
}


def displayed(what) -> list[dict]:
    """The outputs that a notebook's cell would have."""
    shown = []
    with patch("IPython.display.display", lambda bundle, raw: shown.append(bundle)):
        assert DisplayFormatter().format(what) == ({}, {})  # it shows itself
    return shown


@pytest.mark.parametrize("name", ["sweep", "sweep over depth"])
def test_a_still_has_its_ticks_where_the_live_figure_has_them(name):
    fig, asked = FIGURES[name](), []
    with patch("matplotlib.axes.Axes.set_xticks", lambda axes, at, words: asked.append((list(at), list(words)))):
        fig.png()
    assert asked == [(list(fig.layout.xaxis.tickvals), list(fig.layout.xaxis.ticktext))]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_shows_itself_live_as_a_picture_and_as_words(name):
    bundle, words = displayed(FIGURES[name]())
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG") and len(bundle["image/png"]) < 80_000
    assert bundle["application/vnd.plotly.v1+json"]["data"]
    assert bundle["text/plain"].endswith(".") and len(bundle["text/plain"]) > 60
    assert (
        bundle["text/plain"] in html.unescape(words["text/html"])
        and "<summary>In words</summary>" in words["text/html"]
    )


def test_a_picture_says_its_words_below():
    bundle, words = displayed(plots.image(np.zeros((4, 4), np.uint8), "A black square, <4 pixels wide>."))
    assert set(bundle) == {"image/png", "text/plain"}
    assert words["text/html"].endswith("A black square, &lt;4 pixels wide&gt;.</details>")


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled_and_colour_never_stands_alone(name):
    fig = FIGURES[name]()
    assert fig.layout.title.text and fig.layout.xaxis.title.text
    named = [t for t in fig.data if t.showlegend is not False]
    looks = {(t.marker.symbol, t.line.dash) for t in named}
    assert len(looks) == len(named)


def test_plotting_leaves_its_data_alone():
    before = copy.deepcopy(POINTS)
    plots.curves(POINTS, "accuracy")
    pd.testing.assert_frame_equal(POINTS, before)


def test_the_words_carry_the_numbers():
    alt = plots.differences(runs(), METRIC, "a").alt
    assert f"b {paired(runs(), METRIC, 'b', 'a').mean:+.3f} [" in alt and alt.endswith(", higher.")
    assert plots.curves(POINTS, "accuracy").alt.endswith("full 0.600; probe 0.700.")
    assert "cells (0.100, 0.300); digits (0.200, 0.100)." in FIGURES["points"]().alt
    mean = runs().query("arm == 'a'")[METRIC].mean()
    assert f"a {mean:.3f} at 50, " in FIGURES["sweep"]().alt


def test_a_mean_ends_where_the_first_seed_has_stopped():
    stopped = POINTS[~((POINTS.arm == "full") & (POINTS.seed == 1) & (POINTS.step == 10))]
    fig = plots.curves(stopped, "accuracy")
    assert [list(t.x) for t in fig.data if t.mode == "lines+markers"] == [[5], [5, 10]]
    assert fig.alt.endswith("At each seed's last step: full 0.575; probe 0.700.")


def test_pictures_are_the_same_twice():
    assert FIGURES["curves"]().png() == FIGURES["curves"]().png()


def test_ten_arms_can_be_told_apart_without_colour():
    looks = list(zip(plots.COLOURS, plots.MARKERS, strict=True))
    assert len(set(plots.MARKERS)) == len(set(plots.COLOURS)) == len(looks) == len(plots.DASHES) == 10
    assert set(plots.MARKERS) | set(plots.DASHES) <= set(plots._MATPLOTLIB)


# -- more than ten arms ---------------------------------------------------------------------------------------
MANY = 30


def many(n: int = MANY) -> pd.DataFrame:
    parts = [runs(effects=(0.01 * i,)).assign(arm=f"arm {i}", step=5, n=50) for i in range(n)]
    return pd.concat(parts, ignore_index=True)


def with_sizes() -> pd.DataFrame:
    return pd.concat([many(), many().assign(n=200)])


CROWDED = {
    "scores": lambda: plots.scores(many(), METRIC),
    "differences": lambda: plots.differences(many(), METRIC, "arm 0"),
    "curves": lambda: plots.curves(pd.concat([many(), many().assign(step=10)]), METRIC),
    "sweep": lambda: plots.sweep(with_sizes(), METRIC),
    "losses": lambda: plots.losses({f"arm {i}": HISTORY for i in range(MANY)}),
    "reliability": lambda: plots.reliability(
        pd.DataFrame({"arm": f"arm {i}", "confidence": [0.6, 0.9], "accuracy": [0.5, 0.8], "share": 0.5}
                     for i in range(MANY)).explode(["confidence", "accuracy"])
    ),
}  # fmt: skip


def look(trace) -> tuple:
    """What can be seen of a trace: its colour, and its marker where it has points, its dash where it has lines."""
    parts = trace.mode.split("+")
    return (
        trace.marker.color or trace.line.color,
        trace.marker.symbol if "markers" in parts else "",
        trace.line.dash if "lines" in parts else "",
    )


@pytest.mark.parametrize("name", CROWDED)
def test_thirty_arms_are_drawn_and_no_two_look_alike(name):
    fig = CROWDED[name]()
    named = [t for t in fig.data if t.name and t.name.startswith("arm") and t.marker.size != 7]  # 7: single seeds
    assert len(named) == MANY - (name == "differences")
    assert len({look(t) for t in named}) == len(named)
    without_colour = {look(t)[1:] for t in named}
    assert len(without_colour) == len(named) or name == "losses"  # lines without points: six dashes, ten colours
    assert fig.png().startswith(b"\x89PNG")
    if name in ("scores", "differences"):  # every row keeps its name, and room for it
        assert fig.layout.height / MANY >= 20 and fig.layout.yaxis.dtick == 1


def test_the_first_ten_look_as_they_always_did():
    assert [plots.look(i) for i in range(10)] == list(zip(plots.COLOURS, plots.MARKERS, plots.DASHES, strict=True))
    looks = [plots.look(i) for i in range(MANY)]
    assert len({marker for _, marker, _ in looks}) == len({(c, dash) for c, _, dash in looks}) == MANY
    assert CROWDED["scores"]().layout.height > plots.scores(runs(), METRIC).layout.height == 380


def test_all_that_is_drawn_has_a_contrast_of_3_to_1_on_white():
    """The light points of single seeds, too; nothing is made lighter by being transparent."""
    colours = set(plots.COLOURS)
    for make in (*FIGURES.values(), *CROWDED.values()):
        for trace in make().data:
            assert trace.opacity is None
            colours |= {trace.marker.color, trace.line.color} - {None, "grey"}
    assert len(colours) > 15  # faint ones among them
    for colour in colours:
        assert plots.contrast([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) >= 3, colour
    assert plots.faint("#0072B2") != "#0072B2" and plots.faint("#F0E442") == "#F0E442"


@pytest.mark.parametrize("name", FIGURES)
def test_no_button_of_a_figure_leaves_the_computer_and_nothing_jumps(name):
    """The live figure has the toolbar without "Share chart", and the size of its still."""
    bundle, _ = displayed(FIGURES[name]())
    live = bundle["application/vnd.plotly.v1+json"]
    assert live["config"]["displaylogo"] is live["config"]["showSendToCloud"] is False
    assert "sendChartToCloud" in live["config"]["modeBarButtonsToRemove"] and not live["config"]["plotlyServerURL"]
    still = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert still.size == (live["layout"]["width"], live["layout"]["height"])


def test_a_still_shows_every_marker_as_its_own_shape():
    """Drawn alone in black, thirty markers give thirty pictures."""
    pictures = set()
    for i in range(MANY):
        fig = plots.figure("t", "x", "y", "A point.")
        fig.add_scatter(
            x=[0], y=[0], mode="markers", marker={"color": "#000000", "size": 13, "symbol": plots.look(i)[1]}
        )
        pictures.add(fig.png())
    assert len(pictures) == MANY
