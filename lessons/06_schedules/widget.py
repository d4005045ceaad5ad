"""The schedule playground: a schedule becomes a curve of rates, its area, and the recorded run nearest to it.

Nothing is trained. What a drawn schedule would bring is not known. What the recorded runs brought is known, so they are
drawn beside it, each at its mean rate. The nearest of them is marked, and the words say in what it differs.
"""

import math
from collections.abc import Callable

import ipywidgets
import pandas as pd

from ftlib import plots
from ftlib.classroom.lessons import part
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line
from ftlib.evidence.compare import interval

FIGURE = part("06_schedules", "figure_rates")
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
        for run, _ in self.recorded:
            run["mean rate"] = _mean(self._rates(run["shape"], run["lr"], run["warmup"], int(run["steps"])))
        wide = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="auto")}
        peaks = sorted({peak for lr in set(runs.lr) for peak in (lr, 2 * lr)})  # a decay needs twice the peak
        steps = sorted({int(n) for n in runs.steps} | {2 * int(runs.steps.max())})

        def buttons(name: str, options: list) -> ipywidgets.ToggleButtons:
            style = {"description_width": "initial", "button_width": "auto"}
            return ipywidgets.ToggleButtons(options=options, description=name, style=style)

        self.task = ipywidgets.Dropdown(options=sorted(set(runs.task)), description="Task", **wide)
        self.shape = ipywidgets.Dropdown(options=list(shapes), description="Shape", **wide)
        self.peak = buttons("Peak", [(f"{peak:g}", peak) for peak in peaks])
        self.warmup = buttons("Warmup", list(WARMUPS.items()))
        self.steps = buttons("Steps", [(str(n), n) for n in steps])
        self.figure = live(FIGURE.empty(self._score))
        self.words = status_line()
        self._begin(runs)
        self.show()
        controls = [self.task, self.shape, self.peak, self.warmup, self.steps]
        for control in controls:
            control.observe(self.show, names="value")
        super().__init__([*controls, self.figure, self.words], lambda: self.alt, lambda: self.still().png())

    def _begin(self, runs: pd.DataFrame) -> None:
        """The first state shows what a schedule is: a cosine with a warmup, at the peak that did best for the first task."""
        here = runs[runs.task == self.task.value]
        lr, steps = here.groupby(["lr", "steps"])[self.metric].mean().idxmax()
        self.shape.value = "cosine" if "cosine" in self.shapes else list(self.shapes)[-1]
        self.peak.value, self.steps.value, self.warmup.value = lr, int(steps), WARMUPS["10 %"]

    @property
    def _score(self) -> str:
        split, _, name = self.metric.partition(".")
        return f"{name.replace('_', ' ')} on {split}"

    def _rates(self, shape: str, peak: float, warmup: float, steps: int) -> list[float]:
        """The rate of each step, asked in its middle as `fit` does."""
        scale = self.shapes[shape](warmup)
        return [peak * scale((step + 0.5) / steps) for step in range(steps)]

    def still(self) -> plots.Figure:
        """The figure as it is now, without a widget."""
        return FIGURE.Drawn(self.figure)

    def show(self, _=None) -> None:
        """Draw what the controls say; what is on the screen is changed in place."""
        steps, peak = self.steps.value, self.peak.value
        rates = self._rates(self.shape.value, peak, self.warmup.value, steps)
        mean, (nearest, scores) = _mean(rates), self._nearest()
        here = [(run["mean rate"], some.mean()) for run, some in self.recorded if run["task"] == self.task.value]
        x, y = map(list, zip(*here))
        self.alt = (
            f"{self._drawn()}: the rate is {rates[0]:.2g} at the first step, {max(rates):.2g} at most, {rates[-1]:.2g} "
            f"at the last. Area: {100 * mean / peak:.0f} % of that of a constant rate, so the mean rate is {mean:.2g}. "
            f"{self._told(nearest, scores)}"
        )
        # One message with all traces in full, as on the board.
        xs = [list(range(1, steps + 1)), [1, steps], x, [nearest["mean rate"]], [mean, mean]]
        self.figure.plotly_update(
            restyle_data={"x": xs, "y": [rates, [mean, mean], y, [scores.mean()], [min(y), max(y)]]},
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

    def _wanted(self) -> dict:
        wanted = {"shape": self.shape.value, "lr": self.peak.value, "steps": self.steps.value}
        return wanted | {"warmup": 0.0 if self.own_warmup else self.warmup.value}

    def _nearest(self) -> tuple[dict, pd.Series]:
        """The recorded run of the task that is nearest to what is drawn, and its scores."""
        here, wanted = [one for one in self.recorded if one[0]["task"] == self.task.value], self._wanted()
        run, scores = min(here, key=lambda one: sum(_apart(one[0], wanted).values()))
        return run, scores

    def _told(self, run: dict, scores: pd.Series) -> str:
        """The nearest run in words: in what it differs, its mean rate and its score."""
        mean, low, high = interval(scores.to_numpy())
        seeds = f", {len(scores)} seeds" if len(scores) > 1 else ""
        differs = [_said(key, run[key]) for key, far in _apart(run, self._wanted()).items() if far]
        what = " and ".join(differs) or "exactly these settings"
        return (f"Nearest recorded run of {self.task.value} ({what}): mean rate {run['mean rate']:.2g}, "
                f"{self._score} {mean:.3f} {plots.spread(low, high)}{seeds}.")  # fmt: skip


def playground(shapes: dict[str, Callable], runs: pd.DataFrame, metric: str) -> Playground:
    """Draw schedules beside recorded runs.

    shapes: {name: function of the warmup's share that gives a function of progress}, for example
    {"linear": lambda warmup: LinearDecay(warmup).lr_scale}. runs: see runs.frame, with two more columns, "shape" (one
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


def _mean(rates: list[float]) -> float:
    return sum(rates) / len(rates)
