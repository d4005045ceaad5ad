"""The figure of the weights, live and still: the frontier of two tasks, and how much their gradients agree.

A bar is the interval of the difference to the network alone, so it crosses the line of that network where the difference
could be 0. Traces are the frontier, the chosen weighting, the two networks alone, the cosines by width and the chosen
width among them. Where the cosines of the steps of some runs are given, a line for each of them follows, and the single
steps of the run at the chosen width.
"""

import html
import io
import math
from dataclasses import dataclass

import numpy as np

from ftlib import plots

LEFT, GAP = (0.55, 0.11)  # of the figure's width: the frontier, and what lies between it and the cosines
TALL, APART = (0.36, 0.29)  # of its height: the cosines by width, and what lies between them and those of the steps
BLUE, RED, GREEN = plots.COLOURS[:3]
GREY = "#767676"
BOTH = "#DDEFE9"  # the corner in which both tasks are better
LINES = (6, 3, 8, 4)  # looks of the widths whose steps are shown: no colour of another trace
ROOM, CORNER = (0.08, 0.25)  # of what is seen: free on each side, and at least the corner, so that its words fit
FIXED = 6  # traces; those of the steps come after them
PLACES = ("top right", "bottom left")  # of the weights beside their points, in turn
CAPTION = (
    "On the left is a line from weight to weight, the score of one task against that of the other. The networks alone "
    "are the two dashed lines, and in the shaded corner beyond both of them both tasks are better. On the right is the "
    "cosine between the gradients of the two tasks."
)


@dataclass
class Scene:
    """What one state of the controls shows."""

    title: str
    alt: str
    weights: list[str]
    points: np.ndarray  # (weights, 2): the score of each task in per cent
    bars: np.ndarray  # (2, weights, 2): for each task how far the interval reaches below and above, nan: no interval
    hints: list[str]
    row: int  # the chosen weight
    alone: list[float]  # (2,)
    width: int  # the chosen one
    places: dict[int, int]  # of the widths on the axis of the cosines
    cosines: dict[int, tuple[float, float, float]]  # {width: mean, low, high} at the chosen weight
    means: dict[int, list[float]]  # {width: the moving mean over the steps of one run}
    steps: list[float]  # of the run at the chosen width, if there is one


class Drawn(plots.Figure):
    """The figure whose still shows the same points, lines and bars."""

    def png(self) -> bytes:
        """A still, drawn without a browser."""
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(plots.WIDTH / 100, plots.HEIGHT / 100), dpi=100, layout="constrained")
        both, traced = (canvas.add_gridspec(1, 2, width_ratios=(LEFT, 1 - LEFT - GAP)), len(self.data) > FIXED)
        inner = both[1].subgridspec(2 if traced else 1, 1)
        places = [canvas.add_subplot(both[0]), *(canvas.add_subplot(one) for one in inner)]
        for trace in self.data:
            _draw(places[{"x": 0, "x2": 1, "x3": 2}[trace.xaxis or "x"]], trace)
        axes, left = self.layout, places[0]
        corner, note = axes.shapes[0], axes.annotations[0]
        left.fill_between([corner.x0, corner.x1], corner.y0, corner.y1, color=BOTH, zorder=0)
        left.annotate(
            note.text, (note.x, note.y), (-4, -4), textcoords="offset points", ha="right", va="top", fontsize=9
        )
        left.set(xlim=axes.xaxis.range, ylim=axes.yaxis.range)
        places[1].set_xticks(list(axes.xaxis2.tickvals), list(axes.xaxis2.ticktext))
        places[1].set(xlim=axes.xaxis2.range, ylim=axes.yaxis2.range)
        for at, number in zip(places, ("", "2", "3")):
            at.set_xlabel(axes[f"xaxis{number}"].title.text, fontsize=9)
            at.set_ylabel(axes[f"yaxis{number}"].title.text, fontsize=9)
            at.tick_params(labelsize=8)
        for at in places[1:]:
            at.axhline(0, color="#444444", linewidth=1)
        if traced:
            places[2].legend(fontsize=7, framealpha=0.8)
        canvas.suptitle(html.unescape(axes.title.text), fontsize=11)
        out = io.BytesIO()
        canvas.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()


def _draw(axes, trace) -> None:
    """One trace with its bars and its words."""
    mode, colour = trace.mode, trace.line.color or trace.marker.color
    symbol = (trace.marker.symbol or "circle").removesuffix("-open")
    axes.plot(
        trace.x, trace.y, color=colour, linewidth=trace.line.width or 1.5, markersize=(trace.marker.size or 6) * 0.7,
        linestyle=plots._MATPLOTLIB[trace.line.dash or "solid"] if "lines" in mode else "none",
        marker=plots._MATPLOTLIB[symbol] if "markers" in mode else None, label=trace.name,
        fillstyle="none" if trace.marker.symbol == "circle-open" else "full", zorder=3,
    )  # fmt: skip
    for way, bar in (("xerr", trace.error_x), ("yerr", trace.error_y)):
        if bar.array is not None and len(bar.array):
            ends = np.array([bar.arrayminus, bar.array], float)
            look = {"color": bar.color, "linewidth": bar.thickness, "linestyle": "none", "zorder": 2}
            axes.errorbar(trace.x, trace.y, **{way: ends}, **look)
    for x, y, words, place in zip(trace.x, trace.y, trace.text or (), trace.textposition or ()):
        up, right = (place.startswith("top"), place.endswith("right"))
        axes.annotate(words, (x, y), (4 if right else -4, 4 if up else -4), textcoords="offset points", fontsize=8,
                      ha="left" if right else "right", va="bottom" if up else "top")  # fmt: skip


def empty(names: tuple[str, str], split: str, widths: dict[int, list[tuple]], traced: list[int]) -> plots.Figure:
    """Without data. widths: {width: each (mean, low, high) of a cosine}. traced: those whose steps are shown, too."""
    fig = plots.figure("", "", "", "")
    columns = {"column_widths": [LEFT, 1 - LEFT - GAP], "horizontal_spacing": GAP}
    rows = {"row_heights": [TALL, 1 - TALL - APART], "vertical_spacing": APART} if traced else {}
    specs = [[{"rowspan": 2}, {}], [None, {}]] if traced else [[{}, {}]]
    fig.set_subplots(len(specs), 2, specs=specs, **columns, **rows)
    left, right = ({"row": 1, "col": 1}, {"row": 1, "col": 2})
    marked = {"symbol": "diamond", "size": 13, "color": RED}
    fig.add_scatter(
        mode="lines+markers+text", hoverinfo="text", line={"color": BLUE, "width": 1.5}, textfont={"size": 11},
        marker={"symbol": "circle", "size": 7}, **_bars("xy", plots.faint(BLUE), 1), **left,
    )  # fmt: skip
    fig.add_scatter(mode="markers", hoverinfo="text", marker=marked, **_bars("xy", RED, 2.5), **left)
    for name in names:
        alone = {"color": "#000000", "dash": "dash", "width": 1.5}
        fig.add_scatter(mode="lines", hovertext=f"{name} alone", hoverinfo="text", line=alone, **left)
    fig.add_scatter(
        mode="lines+markers", hoverinfo="text", line={"color": GREEN, "dash": "dot", "width": 1.5},
        marker={"symbol": "circle", "size": 7}, **_bars("y", GREEN, 1.5), **right,
    )  # fmt: skip
    fig.add_scatter(mode="markers", hoverinfo="text", marker=marked, **right)
    for i, width in enumerate(traced):
        colour, _, dash = plots.look(LINES[i % len(LINES)])
        look = {"color": colour, "dash": dash, "width": 2}
        fig.add_scatter(mode="lines", hoverinfo="x+y", name=f"width {width}", line=look, row=2, col=2)
    if traced:
        dots = {"symbol": "circle-open", "size": 4, "color": GREY}
        fig.add_scatter(mode="markers", hoverinfo="x+y", name="each step", marker=dots, row=2, col=2)
        fig.update_xaxes(title={"text": "step", "standoff": 5}, zeroline=False, row=2, col=2)
        fig.update_yaxes(title="cosine", zerolinecolor="#444444", rangemode="tozero", row=2, col=2)
    for trace in fig.data[:FIXED]:
        trace.showlegend = False
    fig.add_shape(type="rect", x0=0, x1=1, y0=0, y1=1, line_width=0, fillcolor=BOTH, layer="below", **left)
    fig.add_annotation(text="both better", x=1, y=1, xanchor="right", yanchor="top", showarrow=False, **left)
    for update, name in ((fig.update_xaxes, names[0]), (fig.update_yaxes, names[1])):
        update(title=f"{name}, accuracy on {split} (%)", zeroline=False, range=[0, 100], **left)
    ticks = {"tickvals": list(range(len(widths))), "ticktext": list(map(str, widths))}
    ends = [-0.4, len(widths) - 0.6]
    fig.update_xaxes(title={"text": "width", "standoff": 5}, zeroline=False, range=ends, **ticks, **right)
    every = [end for each in widths.values() for one in each for end in one if math.isfinite(end)]
    ends = [1.1 * min(0.0, *every, -0.02), 1.1 * max(0.0, *every, 0.02)]  # the same whatever is chosen
    fig.update_yaxes(title="mean cosine", zerolinecolor="#444444", range=ends, **right)
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1 - TALL - APART, "yanchor": "bottom"}
    title = {"font_size": 15, "y": 0.88, "yanchor": "middle"}  # below the toolbar
    return fig.update_layout(
        showlegend=bool(traced), legend={**legend, "font_size": 10}, title=title, margin={"l": 60, "t": 66}
    )


def _bars(ways: str, colour: str, thickness: float) -> dict:
    look = {"color": colour, "thickness": thickness, "width": 0, "symmetric": False}
    return {f"error_{way}": look for way in ways}


def message(scene: Scene) -> dict:
    """One message to the live figure, with every trace in full."""
    x, y = (scene.points[:, k].tolist() for k in range(2))
    (left, right), (low, high) = (_range(scene, k) for k in range(2))
    at = {width: scene.places[width] for width in scene.cosines}
    heights, chosen = [scene.cosines[w][0] for w in at], [w for w in at if w == scene.width]
    row, one = scene.row, scene.hints[scene.row]
    told = {w: f"width {w}, mean cosine {height:+.2f}" for w, height in zip(at, heights)}
    steps = [list(range(1, len(each) + 1)) for each in scene.means.values()]
    single = [list(range(1, len(scene.steps) + 1))] if scene.means else []
    traces = FIXED + len(steps) + len(single)

    def bars(k: int, end: int) -> list:
        """The bars of all points and of the chosen one, for one task and one end."""
        each = [None if math.isnan(length) else length for length in scene.bars[k, :, end].tolist()]
        return [each, [each[row]]]

    reach = [[_finite(abs(scene.cosines[w][end] - scene.cosines[w][0])) for w in at] for end in (1, 2)]
    nothing, places = [None] * traces, [PLACES[i % 2] for i in range(len(x))]
    return {
        "restyle_data": {
            "x": [x, [x[row]], [scene.alone[0]] * 2, [left, right], list(at.values()), [at[w] for w in chosen],
                  *steps, *single],
            "y": [y, [y[row]], [low, high], [scene.alone[1]] * 2, heights, [scene.cosines[w][0] for w in chosen],
                  *scene.means.values(), *([scene.steps] if single else [])],
            "text": [scene.weights, *nothing[1:]],
            "textposition": [places, *nothing[1:]],
            "hovertext": [scene.hints, [one], "network alone", "network alone", list(told.values()), [told[w] for w in chosen],
                          *nothing[FIXED:]],
            "line.width": [1.5, None, 1.5, 1.5, 1.5, None, *(3 if w == scene.width else 1.5 for w in scene.means),
                           *([None] if single else [])],
            "error_x.array": [*bars(0, 1), *nothing[2:]],
            "error_x.arrayminus": [*bars(0, 0), *nothing[2:]],
            "error_y.array": [*bars(1, 1), None, None, reach[1], None, *nothing[FIXED:]],
            "error_y.arrayminus": [*bars(1, 0), None, None, reach[0], None, *nothing[FIXED:]],
        },
        "relayout_data": {
            "title.text": scene.title,
            "meta": {"alt": scene.alt},
            "xaxis.range": [left, right],
            "yaxis.range": [low, high],
            "shapes[0].x0": scene.alone[0], "shapes[0].x1": right,
            "shapes[0].y0": scene.alone[1], "shapes[0].y1": high,
            "annotations[0].x": right, "annotations[0].y": high,
        },
    }  # fmt: skip


def _finite(length: float) -> float | None:
    return length if math.isfinite(length) else None


def _range(scene: Scene, k: int) -> tuple[float, float]:
    """From a little below all points, bars and the network alone to a little above them."""
    values, ends = scene.points[:, k], np.nan_to_num(scene.bars[k])
    low = min(scene.alone[k], float((values - ends[:, 0]).min()))
    high = max(scene.alone[k], float((values + ends[:, 1]).max()))
    high = max(high, scene.alone[k] + CORNER * (high - low))
    room = ROOM * (high - low) or 1.0
    return low - room, high + room
