"""The figure of the matrix, live and still: tiles with their numbers, and beside them a line for each task.

A tile is a square marker, since one message changes all traces, and a heat map has other properties than lines.
"""

import html
import io
import re

import numpy as np
from plotly.colors import sample_colorscale

from ftlib import plots

SCALE = "Viridis"  # dark to light, so it reads without colour vision; matplotlib has it, too
TILES, GAP = (0.42, 0.11)  # of the figure's width: the heat map, and what lies between it and the lines
APART = 6.0  # per cent between the names of two lines, so that they can be read


class Drawn(plots.Figure):
    """The figure whose still shows the same tiles and lines."""

    def png(self) -> bytes:
        """A still, drawn without a browser."""
        from matplotlib.figure import Figure as Canvas

        tiles, *rest = self.data
        n, axes = len(rest) // 2, self.layout
        canvas = Canvas(figsize=(plots.WIDTH / 100, plots.HEIGHT / 100), dpi=100, layout="constrained")
        left, right = canvas.subplots(1, 2, gridspec_kw={"width_ratios": (TILES, 1 - TILES - GAP)})
        filled = np.full((n, n), np.nan)
        for x, y, value, words, ink in zip(tiles.x, tiles.y, tiles.marker.color, tiles.text, tiles.textfont.color):
            filled[y - 1, x - 1] = value
            left.text(x, y, words, color=ink, ha="center", va="center", fontsize=9)
        left.imshow(filled, cmap=SCALE.lower(), vmin=0, vmax=100, aspect="auto", extent=(0.5, n + 0.5, n + 0.5, 0.5))
        left.set_xticks(range(1, n + 1), axes.xaxis.ticktext)
        left.set_yticks(range(1, n + 1))
        for line, name in zip(rest[:n], rest[n:]):
            look = {"color": line.line.color, "linestyle": plots._MATPLOTLIB[line.line.dash]}
            right.plot(line.x, line.y, marker=plots._MATPLOTLIB[line.marker.symbol], markersize=5, **look)
            if len(name.x):
                right.plot(name.x, name.y, color=line.line.color, linewidth=1)
                right.annotate(f" {name.text[1]}", (name.x[1], name.y[1]), fontsize=9, va="center")
        right.set_xticks(range(1, n + 1))
        right.grid(alpha=0.3)
        right.set(xlim=axes.xaxis2.range, ylim=axes.yaxis2.range)
        for at, x, y in ((left, axes.xaxis, axes.yaxis), (right, axes.xaxis2, axes.yaxis2)):
            at.set(xlabel=x.title.text, ylabel=y.title.text)
        canvas.suptitle(html.unescape(axes.title.text), fontsize=11)
        out = io.BytesIO()
        canvas.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()


def empty(tasks: list[str]) -> plots.Figure:
    """Without data. Its traces are the tiles, a line for each task, and the names of the lines."""
    n, size = len(tasks), 245 / len(tasks)
    fig = plots.figure("", "", "", "").set_subplots(
        1, 2, column_widths=[TILES, 1 - TILES - GAP], horizontal_spacing=GAP
    )
    fig.add_scatter(
        mode="markers+text", hoverinfo="text", cliponaxis=False, textfont={"size": min(12, size / 3.5)},
        marker={"symbol": "square", "size": size, "opacity": 1, "colorscale": SCALE, "cmin": 0, "cmax": 100},
        row=1, col=1,
    )  # fmt: skip
    for i in range(n):
        colour, symbol, dash = plots.look(i)
        fig.add_scatter(
            mode="lines+markers", hoverinfo="text", cliponaxis=False, line={"color": colour, "dash": dash, "width": 2.5},
            marker={"symbol": symbol, "size": 8}, row=1, col=2,
        )  # fmt: skip
    for i in range(n):  # its name at the end, with a short line to it
        fig.add_scatter(
            mode="lines+text", hoverinfo="skip", cliponaxis=False, textposition="middle right",
            line={"color": plots.look(i)[0], "width": 1}, row=1, col=2,
        )  # fmt: skip
    frame = {"x0": 0.5, "x1": n + 0.5, "y0": 0.5, "y1": n + 0.5, "line": {"color": "#767676", "width": 1}}
    fig.add_shape(type="rect", **frame, row=1, col=1)  # of what is empty so far
    numbers = {"tickvals": list(range(1, n + 1)), "zeroline": False}
    still = {"showgrid": False, "fixedrange": True}
    fig.update_xaxes(title="digits of the task", ticktext=tasks, range=[0.5, n + 0.5], **numbers, **still, col=1)
    fig.update_yaxes(title="after task", range=[n + 0.5, 0.5], **numbers, **still, col=1)
    fig.update_xaxes(title="after task", range=[0.8, n + 1.0], **numbers, col=2)
    fig.update_yaxes(title="accuracy on validation (%)", range=[-3, 105], zeroline=False, col=2)
    title = {"font_size": 15, "y": 0.88, "yanchor": "middle"}  # below the toolbar
    return fig.update_layout(showlegend=False, title=title, margin={"l": 55, "t": 66})


def ink(value: float) -> str:
    """Black or white, whichever has the larger contrast on the tile."""
    tile = re.findall(r"[\d.]+", sample_colorscale(SCALE, [min(max(value / 100, 0.0), 1.0)])[0])
    on_white = plots.contrast(np.array(tile, float))
    return "#000000" if 21 / on_white > on_white else "#FFFFFF"


def spread(values: np.ndarray) -> list[float]:
    """Heights of the names, near the ends of their lines, at least APART and in the same order, within 0 to 100."""
    order = np.argsort(-values, kind="stable")  # from above; of equal ones the first task is on top
    heights, above = (np.array(values, float), 100.0 + APART)
    for k in order:
        above = heights[k] = min(heights[k], above - APART)
    below = -APART
    for k in order[::-1]:
        below = heights[k] = max(heights[k], below + APART)
    return heights.tolist()
