"""The figure of the board, live and still, in four views: cost, differences, seed by seed, curves.

One figure holds the traces of all views, so that a change is one message. Traces that a view doesn't need are empty.
"""

import html
import io
from dataclasses import dataclass, field

from ftlib import plots

BLUE, ORANGE, GREEN, _, BROWN = plots.COLOURS[:5]
GREY = "#5b6770"
FRONT, ARMS, CHOSEN, OWN, BEHIND, AHEAD, BASE, METHOD = range(8)  # the traces
TRACES = 8
HEIGHT = 430  # pixels


@dataclass
class Line:
    """What one trace shows. `bars`: (to the left or below, to the right or above) of each point; `along`: their axis."""

    x: list = field(default_factory=list)
    y: list = field(default_factory=list)
    text: list = field(default_factory=list)
    places: list = field(default_factory=list)
    hints: list = field(default_factory=list)
    name: str = ""
    colours: list = field(default_factory=list)
    symbols: list = field(default_factory=list)
    bars: tuple[list, list] = ((), ())
    along: str = "y"


@dataclass
class Scene:
    """All that the figure shows. ticks: {position: words} of an axis that has names, or None."""

    title: str
    alt: str
    x: str
    y: str
    lines: dict[int, Line]
    log: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    x_ticks: dict | None = None
    y_ticks: dict | None = None
    zero: bool = False  # a line at no difference


class Drawn(plots.Figure):
    """The figure whose still shows the same points, lines and names."""

    def png(self) -> bytes:
        """A still, drawn without a browser."""
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(plots.WIDTH / 100, HEIGHT / 100), dpi=100, layout="constrained")
        axes, at = canvas.subplots(), self.layout
        axes.set_xscale("log" if at.xaxis.type == "log" else "linear")
        for trace in self.data:
            x, y = list(trace.x or ()), list(trace.y or ())
            if not x:
                continue
            if "lines" in trace.mode:
                axes.plot(x, y, color=trace.line.color, linewidth=trace.line.width, alpha=trace.opacity or 1,
                          linestyle=plots._MATPLOTLIB[trace.line.dash or "solid"], label=html.unescape(trace.name or "_"),
                          drawstyle="steps-post" if trace.line.shape == "hv" else "default")  # fmt: skip
                continue
            for way in ("x", "y"):
                bars = trace[f"error_{way}"]
                if bars.array is not None and len(bars.array):
                    both = [[v or 0 for v in part] for part in (bars.arrayminus, bars.array)]
                    axes.errorbar(x, y, **{f"{way}err": both}, fmt="none", color=GREY, capsize=3, linewidth=1.5)
            for i, (a, b) in enumerate(zip(x, y)):
                symbol = _at(trace.marker.symbol, i).removesuffix("-dot")
                axes.plot(a, b, marker=plots._MATPLOTLIB[symbol.removesuffix("-open")], linestyle="none",
                          color=_at(trace.marker.color, i), markersize=(trace.marker.size or 8) * 0.7,
                          fillstyle="none" if symbol.endswith("-open") else "full",
                          label="_" if i or not trace.name or trace.showlegend is False else trace.name)  # fmt: skip
            words = trace.text if isinstance(trace.text, list | tuple) else ()
            for i, (word, a, b) in enumerate(zip(words, x, y)):
                up, _, side = _at(trace.textposition, i).partition(" ")
                across, edge = {"right": (6, "left"), "left": (-6, "right")}.get(side, (0, "center"))
                axes.annotate(html.unescape(word), (a, b), xytext=(across, -5 if up == "bottom" else 5), ha=edge,
                              va="top" if up == "bottom" else "bottom", textcoords="offset points", fontsize=9)  # fmt: skip
        if at.shapes[0].visible:
            axes.axvline(0, color=GREY, linestyle=":")
        for axis, limit, ticks in (
            (at.xaxis, axes.set_xlim, axes.set_xticks),
            (at.yaxis, axes.set_ylim, axes.set_yticks),
        ):
            if axis.range is not None:
                limit(*(10.0**end if axis.type == "log" else end for end in axis.range))
            if axis.tickvals is not None and axis.ticktext is not None:
                ticks(list(axis.tickvals), [html.unescape(word) for word in axis.ticktext])
        if at.xaxis.type == "log":
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.set(xlabel=html.unescape(at.xaxis.title.text), ylabel=html.unescape(at.yaxis.title.text))
        axes.set_title(html.unescape(at.title.text), fontsize=11)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            canvas.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
        out = io.BytesIO()
        canvas.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()


def _at(values, i: int):
    """The value of point i, where all may share one."""
    return values[i] if isinstance(values, list | tuple) else values


def empty() -> plots.Figure:
    """Without data. Its traces are those of the numbers above."""
    fig = plots.figure("", "", "", "")
    bars = {"color": GREY, "thickness": 1.5, "width": 5, "symmetric": False}
    both = {"error_x": bars, "error_y": bars, "cliponaxis": False, "hoverinfo": "text"}
    fig.add_scatter(mode="lines", line={"color": GREEN, "width": 2.5, "shape": "hv"}, hoverinfo="skip")
    fig.add_scatter(mode="markers+text", marker={"size": 11}, textfont={"size": 12}, **both)
    ring = {"symbol": "circle-open", "size": 22, "color": BLUE, "line": {"width": 2.5}}
    fig.add_scatter(mode="markers", marker=ring, hoverinfo="skip", cliponaxis=False)
    star = {"symbol": "star", "size": 15, "color": BROWN}
    fig.add_scatter(mode="markers+text", marker=star, textfont={"size": 12, "color": BROWN}, **both)
    for colour, dash in ((ORANGE, "dash"), (BLUE, "solid")):
        look = {"color": colour, "dash": dash, "width": 1.5}
        fig.add_scatter(mode="lines", line=look, opacity=0.75, hoverinfo="text", cliponaxis=False)
    for colour, dash in ((ORANGE, "dash"), (BLUE, "solid")):
        look = {"color": colour, "dash": dash, "width": 4}
        fig.add_scatter(mode="lines", line=look, hoverinfo="text", cliponaxis=False)
    fig.add_vline(0, line={"color": GREY, "dash": "dot"}, visible=False)
    legend = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": -0.17, "yanchor": "top"}
    fig.update_xaxes(zeroline=False)
    fig.update_yaxes(zeroline=False, automargin=True)
    title = {"font_size": 15, "y": 0.93, "yanchor": "middle"}
    return fig.update_layout(height=HEIGHT, legend=legend, title=title, showlegend=True, margin={"t": 64, "b": 85})


def message(scene: Scene) -> dict:
    """One message to the live figure, with every trace in full."""
    lines = [scene.lines.get(i, Line()) for i in range(TRACES)]

    def each(make):
        """Of the traces with names and bars."""
        return [make(line) if i in (ARMS, OWN) else None for i, line in enumerate(lines)]

    def bars(way: str, end: int):
        return each(lambda line: [None if b is None else float(b) for b in line.bars[end]] if line.along == way else [])

    return {
        "restyle_data": {
            "x": [list(line.x) for line in lines],
            "y": [list(line.y) for line in lines],
            "name": [_safe(line.name) for line in lines],
            "showlegend": [bool(line.name and len(line.x)) for line in lines],
            "hovertext": [list(line.hints) for line in lines],
            "text": each(lambda line: list(line.text)),
            "textposition": each(lambda line: list(line.places) or "top center"),
            "marker.color": [None, list(lines[ARMS].colours), BLUE, BROWN, *[None] * 4],
            "marker.symbol": [None, list(lines[ARMS].symbols), "circle-open", "star", *[None] * 4],
            "error_x.array": bars("x", 1),
            "error_x.arrayminus": bars("x", 0),
            "error_y.array": bars("y", 1),
            "error_y.arrayminus": bars("y", 0),
        },
        "relayout_data": {
            "title.text": _safe(scene.title),
            "meta": {"alt": scene.alt},
            "xaxis.title.text": _safe(scene.x),
            "yaxis.title.text": _safe(scene.y),
            "xaxis.type": "log" if scene.log else "linear",
            **_axis("xaxis", scene.x_range, scene.x_ticks),
            **_axis("yaxis", scene.y_range, scene.y_ticks),
            "shapes[0].visible": scene.zero,
        },
    }


def _axis(name: str, ends: tuple | None, ticks: dict | None) -> dict:
    told = [_safe(str(word)) for word in ticks.values()] if ticks else None
    return {
        f"{name}.range": list(ends) if ends else None,
        f"{name}.autorange": not ends,
        f"{name}.tickvals": list(ticks) if ticks else None,
        f"{name}.ticktext": told,
        f"{name}.tickmode": "array" if ticks else "auto",
    }


def _safe(words: str) -> str:
    """plotly takes text for HTML."""
    return html.escape(words, quote=False)
