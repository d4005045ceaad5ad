"""The figure of the playground, live and still: a drawn schedule on the left, the recorded runs of its task on the right.

Traces are the rates over the steps and their mean, then the recorded runs, each at its mean rate, the nearest of them,
and the mean rate of the drawing.
"""

import io

from ftlib import plots

LEFT, GAP = 0.47, 0.13  # of the figure's width: the schedule, and what lies between it and the runs
BLUE, RED, GREEN = plots.COLOURS[:3]
MEAN = {"color": RED, "dash": "dash", "width": 2.5}


class Drawn(plots.Figure):
    """The figure whose still shows the same lines and points."""

    def png(self) -> bytes:
        """A still, drawn without a browser."""
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(plots.WIDTH / 100, plots.HEIGHT / 100), dpi=100, layout="constrained")
        left, right = canvas.subplots(1, 2, width_ratios=(LEFT, 1 - LEFT - GAP))
        for trace in self.data:
            symbol = (trace.marker.symbol or "circle").removesuffix("-open")
            (right if trace.xaxis == "x2" else left).plot(
                trace.x, trace.y, color=trace.line.color or trace.marker.color, linewidth=trace.line.width or 1.5,
                linestyle=plots._MATPLOTLIB[trace.line.dash or "solid"] if trace.mode == "lines" else "none",
                marker=plots._MATPLOTLIB[symbol] if trace.mode == "markers" else None,
                markersize=(trace.marker.size or 6) * 0.7, label=trace.name or "_",
                fillstyle="none" if (trace.marker.symbol or "").endswith("-open") else "full",
            )  # fmt: skip
        axes = self.layout
        right.set_xscale("log")
        right.xaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
        left.set(xlim=axes.xaxis.range, ylim=axes.yaxis.range)
        for at, number in ((left, ""), (right, "2")):
            at.set_xlabel(axes[f"xaxis{number}"].title.text)
            at.set_ylabel(axes[f"yaxis{number}"].title.text)
            at.grid(alpha=0.3)
        canvas.suptitle(axes.title.text)
        canvas.legend(loc="outside lower center", ncols=2, frameon=False)
        out = io.BytesIO()
        canvas.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()


def empty(score: str) -> plots.Figure:
    """Without data. score: what the right side shows, such as "accuracy on test"."""
    fig = plots.figure("", "", "", "")
    fig.set_subplots(1, 2, column_widths=[LEFT, 1 - LEFT - GAP], horizontal_spacing=GAP)
    left, right = ({"x": [0], "y": [0], "row": 1, "col": col} for col in (1, 2))
    few, one = {"symbol": "circle-open", "size": 9}, {"symbol": "star-open", "size": 19}
    fig.add_scatter(mode="lines", name="rate of each step", line={"color": BLUE, "width": 2.5}, **left)
    fig.add_scatter(mode="lines", name="mean rate", line=MEAN, **left)
    fig.add_scatter(mode="markers", name="recorded, means", marker={**few, "color": BLUE}, **right)
    fig.add_scatter(mode="markers", name="the most similar", marker={**one, "color": GREEN}, **right)
    fig.add_scatter(mode="lines", showlegend=False, hoverinfo="skip", line=MEAN, **right)
    fig.update_xaxes(title="step", row=1, col=1)
    fig.update_yaxes(title="learning rate", tickformat="~g", row=1, col=1)  # 0.0001, and not 100µ
    fig.update_xaxes(title="mean rate", type="log", dtick=1, tickformat="~g", row=1, col=2)
    fig.update_yaxes(title=score, row=1, col=2)
    legend = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": -0.2, "yanchor": "top"}
    return fig.update_layout(legend=legend, margin_b=90)
