"""The schedule playground: a schedule becomes a curve of rates, its area and, in words, the recorded run nearest to it.

Nothing is trained. What a drawn schedule would bring is not known; what is known is what the recorded runs brought, so
the words name the nearest of them and say in what it differs.
"""

import math
from collections.abc import Callable

import ipywidgets
import pandas as pd

from ftlib import plots
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line
from ftlib.evidence.compare import interval

WARMUPS = {"none": 0.0, "5 %": 0.05, "10 %": 0.1, "20 %": 0.2}  # share of the steps
NEEDED = ("task", "shape", "lr", "warmup", "steps", "seed")


class Playground(Panel):
    """`task`, `shape`, `peak`, `warmup`, `steps`: the controls; `figure`: the one live figure; `words`: its text."""

    def __init__(self, shapes: dict[str, Callable], runs: pd.DataFrame, metric: str):
        missing = [name for name in (*NEEDED, metric) if name not in runs]
        if missing or runs.empty:
            raise ValueError(
                f"the playground needs runs with the columns {', '.join((*NEEDED, metric))}: {missing} lack"
            )
        self.shapes, self.metric = shapes, metric
        self.recorded = [(dict(zip(NEEDED, key)), some[metric]) for key, some in runs.groupby(list(NEEDED[:-1]))]
        wide = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="auto")}
        peaks, steps = (sorted(set(runs.lr)), sorted({int(n) for n in runs.steps} | {2 * int(runs.steps.max())}))

        def buttons(name: str, options: list) -> ipywidgets.ToggleButtons:
            style = {"description_width": "initial", "button_width": "auto"}
            return ipywidgets.ToggleButtons(options=options, description=name, style=style)

        self.task = ipywidgets.Dropdown(options=sorted(set(runs.task)), description="Task", **wide)
        self.shape = ipywidgets.Dropdown(options=list(shapes), description="Shape", **wide)
        self.peak = buttons("Peak", [(f"{peak:g}", peak) for peak in peaks])
        self.warmup = buttons("Warmup", list(WARMUPS.items()))
        self.steps = buttons("Steps", [(str(n), n) for n in steps])
        self.figure = live(_empty())
        self.words = status_line()
        self.show()
        controls = [self.task, self.shape, self.peak, self.warmup, self.steps]
        for control in controls:
            control.observe(self.show, names="value")
        super().__init__([*controls, self.figure, self.words], lambda: self.alt, lambda: self.still().png())

    @property
    def rates(self) -> list[float]:
        """The rate of each step, asked in its middle as `fit` does."""
        scale, steps = self.shapes[self.shape.value](self.warmup.value), self.steps.value
        return [self.peak.value * scale((step + 0.5) / steps) for step in range(steps)]

    def still(self) -> plots.Figure:
        """The figure as it is now, without a widget."""
        return plots.Figure(self.figure)

    def show(self, _=None) -> None:
        """Draw what the controls say; what is on the screen is changed in place."""
        rates, steps, peak = self.rates, self.steps.value, self.peak.value
        mean = sum(rates) / steps
        self.alt = (
            f"{self._drawn()}: the rate is {rates[0]:.2g} at the first step, {max(rates):.2g} at most, {rates[-1]:.2g} "
            f"at the last. Area: {100 * mean / peak:.0f} % of that of a constant rate, so the mean rate is {mean:.2g}. "
            f"{self._nearest()}"
        )
        # One message with both traces in full, as on the board.
        self.figure.plotly_update(
            restyle_data={"x": [list(range(1, steps + 1)), [1, steps]], "y": [rates, [mean, mean]]},
            relayout_data={
                "title.text": self._drawn(),
                "xaxis.range": [0, steps + 1],
                "yaxis.range": [0, 1.08 * peak],
                "meta": {"alt": self.alt},
            },
        )
        set_status(self.words, self.alt)

    @property
    def own_warmup(self) -> bool:
        """Whether the shape makes nothing of the control, since it warms up in its own way."""
        few, many = (self.shapes[self.shape.value](share) for share in (0.0, max(WARMUPS.values())))
        return all(few(p) == many(p) for p in (0.01, 0.1, 0.5))

    def _drawn(self) -> str:
        share = self.warmup.label
        warmup = "its own warmup" if self.own_warmup else "no warmup" if share == "none" else f"{share} warmup"
        return f"{self.shape.value}, peak {self.peak.value:g}, {warmup}, {self.steps.value} steps"

    def _nearest(self) -> str:
        """The recorded run of the task that is nearest to what is drawn, its score, and in what it differs."""
        wanted = {"shape": self.shape.value, "lr": self.peak.value, "steps": self.steps.value}
        wanted["warmup"] = 0.0 if self.own_warmup else self.warmup.value
        here = [(run, scores) for run, scores in self.recorded if run["task"] == self.task.value]
        run, scores = min(here, key=lambda one: sum(_apart(one[0], wanted).values()))
        mean, low, high = interval(scores.to_numpy())
        split, _, name = self.metric.partition(".")
        seeds = f", {len(scores)} seeds" if len(scores) > 1 else ""
        score = f"{name.replace('_', ' ')} on {split} {mean:.3f} {plots.spread(low, high)}{seeds}"
        differs = [_said(key, run[key]) for key, far in _apart(run, wanted).items() if far]
        what = f"but with {' and '.join(differs)}" if differs else "with exactly these settings"
        return f"Nearest recorded on {self.task.value}: {what}, {score}."


def playground(shapes: dict[str, Callable], runs: pd.DataFrame, metric: str) -> Playground:
    """Draw schedules beside recorded runs.

    shapes: {name: function of the warmup's share that gives a function of progress}, for example
    {"linear": lambda warmup: LinearDecay(warmup).lr_scale}. runs: see runs.frame, with two columns more, "shape" (one
    of the names) and "warmup" (share of the steps; 0 for a shape that has its own). metric: the column that the words
    tell, such as "test.accuracy".
    """
    return Playground(shapes, runs, metric)


def _apart(run: dict, wanted: dict) -> dict[str, float]:
    """How far a recorded run is from what is drawn, in steps of the controls: a factor of three of the peak, a doubling
    of the steps, a tenth of warmup; another shape counts two."""
    return {
        "shape": 2.0 * (run["shape"] != wanted["shape"]),
        "lr": abs(math.log(run["lr"] / wanted["lr"], 3)),
        "warmup": abs(run["warmup"] - wanted["warmup"]) / 0.1,
        "steps": abs(math.log2(run["steps"] / wanted["steps"])),
    }


def _said(key: str, value) -> str:
    """One way in which a recorded run differs, in words."""
    if key == "warmup":
        return f"{100 * value:g} % warmup" if value else "no warmup"
    return {"shape": "the shape {}", "lr": "a peak of {:g}", "steps": "{} steps"}[key].format(value)


def _empty() -> plots.Figure:
    fig = plots.figure("", "step", "learning rate", "")
    fig.update_yaxes(tickformat="~g")  # 0.0001, and not 100µ
    for i, name in enumerate(("rate of each step", "mean rate")):
        line = {"color": plots.COLOURS[i], "dash": plots.DASHES[i], "width": 2.5}
        fig.add_scatter(x=[0], y=[0], name=name, mode="lines", line=line)
    return fig
