"""The explorer of recorded curves: two arms during training, for each size and measure, and what differs at a step.

Score, loss and calibration need not move together: a method may leave the score where it was and still make the
network less sure of what it gets wrong. And an arm that is behind early may be ahead at the end, so the words compare
at the step that you choose, and tell when each arm is best. A comparison is read for that step alone: who tries every
step will find one that looks clear by chance.
"""

import ipywidgets
import numpy as np
import pandas as pd

from ftlib import plots
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line
from ftlib.evidence.compare import UNCLEAR, interval, paired, reading

NEEDED = ("arm", "n", "seed", "step")
LOWER = (
    "nll",
    "ece",
    "loss",
    "brier",
    "mae",
    "rmse",
    "perplexity",
)  # measures of which less is better, by the end of the column's name
BAND = "rgba(213, 94, 0, 0.15)"  # the second colour
EMPTY = "{arms} and {n} training examples: no step was recorded of both, so choose another size or arm."


class Curves(Panel):
    """`size`, `measure`, `beside`, `step`: the controls; `figure`: the one live figure; `words`: its text."""

    def __init__(self, rows: pd.DataFrame, measures: dict[str, str], compared: tuple[str, str]):
        self.rows = _checked(rows, measures, compared)
        self.baseline, self._offering = compared[0], False
        others = [arm for arm in self.rows.arm.unique() if arm != self.baseline]
        sizes = sorted(self.rows.n.unique().tolist(), key=lambda n: (n == "all", n))
        wide = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="auto")}
        self.size = ipywidgets.ToggleButtons(
            options=[(str(n), n) for n in sizes], value=sizes[-1], description="Examples",
            style={"description_width": "initial", "button_width": "auto"},
        )  # fmt: skip
        self.measure = ipywidgets.Dropdown(options=list(measures.items()), description="Measure", **wide)
        self.beside = ipywidgets.Dropdown(options=others, value=compared[1], description="Beside", **wide)
        self.step = ipywidgets.Dropdown(options=[], description="Steps", **wide)
        self.figure = live(_empty())
        self.words = status_line()
        self.show()
        controls = [self.size, self.measure, *([self.beside] if len(others) > 1 else []), self.step]
        for control in (self.size, self.measure, self.beside, self.step):
            control.observe(self.show, names="value")
        super().__init__([*controls, self.figure, self.words], lambda: self.alt, lambda: self.still().png())

    @property
    def arms(self) -> tuple[str, str]:
        """The baseline, and the arm beside it."""
        return self.baseline, self.beside.value

    @property
    def shown(self) -> list[tuple[int, float]]:
        """(step, mean of the baseline) as they are drawn."""
        return [(step, mean) for step, (mean, _, _) in self._means(self.baseline).items()]

    def still(self) -> plots.Figure:
        """The figure as it is now, without a widget."""
        return plots.Figure(self.figure)

    def show(self, _=None) -> None:
        """Draw what the controls say; what is on the screen is changed in place."""
        if self._offering:
            return
        label, n = self.measure.label, self.size.value
        means = [self._means(arm) for arm in self.arms]
        self._offer([step for step in means[0] if step in means[1]])
        self.alt = f"Line chart of {label} on validation against steps, {n} training examples. {self._compared(means)}"
        x = [list(found) for found in means for _ in range(3)]
        y = [[at[i] for at in found.values()] for found in means for i in (1, 2, 0)]  # low, high, mean
        drawn = [value for line in y for value in line] or [0.0]
        room = 0.05 * (max(drawn) - min(drawn)) or 0.05
        at = 0 if self.step.value is None else self.step.value
        # One message with every trace in full, as on the board.
        self.figure.plotly_update(
            restyle_data={"x": x, "y": y, "name": [arm for arm in self.arms for _ in range(3)]},
            relayout_data={
                "title.text": f"{label}, {n} training examples",
                "yaxis.title.text": f"{label} on validation",
                "yaxis.range": [min(drawn) - room, max(drawn) + room],
                "xaxis.range": [0, 1.03 * max([step for found in means for step in found], default=1)],
                "shapes[0].x0": at,
                "shapes[0].x1": at,
                "meta": {"alt": self.alt},
            },
        )
        set_status(self.words, self.alt)

    def _picked(self, arm: str) -> pd.DataFrame:
        """An arm's rows of this size that have the measure, at the steps that all of its seeds reached."""
        rows = self.rows[(self.rows.arm == arm) & (self.rows.n == self.size.value)]
        rows = rows[rows[self.measure.value].notna()]
        return rows[rows.groupby("step").seed.transform("size") == rows.seed.nunique()]

    def _means(self, arm: str) -> dict[int, tuple[float, float, float]]:
        """{step: mean, low, high}; after some seeds have stopped early there is no mean. One seed has no interval."""
        out = {}
        for step, values in self._picked(arm).groupby("step")[self.measure.value]:
            mean, low, high = interval(values.to_numpy())
            out[int(step)] = (mean, low, high) if np.isfinite(low) else (mean, mean, mean)
        return out

    def _offer(self, steps: list[int]) -> None:
        """Let these steps be chosen, and keep the chosen one or the nearest to it; at first, the last."""
        if [value for _, value in self.step.options] != steps:
            chosen, self._offering = (self.step.value, True)  # what changes here is drawn once, by who called
            self.step.options = [(str(step), step) for step in steps]
            if steps:
                self.step.value = steps[-1] if chosen is None else min(steps, key=lambda s: abs(s - chosen))
            self._offering = False

    def _compared(self, means: list[dict]) -> str:
        """Both arms at the chosen step, their paired difference, and when each is best."""
        (baseline, arm), step, column = self.arms, self.step.value, self.measure.value
        if step is None:
            return EMPTY.format(arms=f"{baseline}, {arm}", n=self.size.value)
        rows = pd.concat([self._picked(one) for one in self.arms])
        d = paired(rows[rows.step == step], column, arm, baseline)
        scores = "; ".join(_said(one, found[step], d.seeds) for one, found in zip(self.arms, means))
        apart = reading(d) == UNCLEAR and not d.low <= 0 <= d.high
        reads = f", {reading(d)}{plots.too_few(d.seeds) if apart else ''}" if d.seeds > 1 else ""
        over = f"mean and 95 % interval over {d.seeds} seeds" if d.seeds > 1 else "of the only seed"
        low = column.rpartition(".")[2] in LOWER
        ends = [(min if low else max)(found, key=lambda s, f=found: f[s][0]) for found in means]
        best = "; ".join(f"{one} {f[s][0]:.3f} at step {s}" for one, f, s in zip(self.arms, means, ends))
        return (
            f"At step {step}, {over}: {scores}. Paired by seed, {arm} minus {baseline}: {d.mean:+.3f} "
            f"{plots.spread(d.low, d.high, '+')}{reads}. {'Lowest' if low else 'Highest'} mean: {best}."
        )


def curves(rows: pd.DataFrame, measures: dict[str, str], compared: tuple[str, str] = ("none", "policy")) -> Curves:
    """Recorded curves of two arms, with what differs at a chosen step.

    rows: one a validation during a run (see runs.curves), with the columns arm, n, seed, step and the measures; a
    missing n is all of the data. measures: {shown name: column}, for example {"NLL in nats (lower is better)": "nll"}.
    compared: the baseline, which is always shown, and the arm that stands beside it at first.
    """
    return Curves(rows, measures, compared)


def _checked(rows: pd.DataFrame, measures: dict[str, str], compared: tuple[str, str]) -> pd.DataFrame:
    """Rows of measured runs; ValueError where they cannot be compared by pairs."""
    missing = [name for name in (*NEEDED, *measures.values()) if name not in rows]
    if missing or not measures or rows.empty:
        raise ValueError(
            f"the curves need rows with the columns {', '.join((*NEEDED, *measures.values()))} and at least one "
            f"measure: {missing} lack in {len(rows)} rows"
        )
    rows = rows[rows.purpose == "measure"] if "purpose" in rows else rows
    rows = rows.assign(n=[("all" if pd.isna(n) else int(n)) for n in rows.n])
    arms = list(rows.arm.unique())
    if len(set(compared)) != 2 or not set(compared) <= set(arms):
        raise ValueError(f"compared must name two of the arms {', '.join(arms)}, but it is {tuple(compared)}")
    if rows.duplicated(list(NEEDED)).any():
        raise ValueError(
            "each arm must have one row a size, seed and step, but some have more: filter the rows, for example by "
            "task, model or rate"
        )
    for n, some in rows.groupby("n", sort=False):
        seeds = {arm: set(one.seed) for arm, one in some.groupby("arm")}
        for arm in seeds:
            if compared[0] in seeds and seeds[arm] != seeds[compared[0]]:
                raise ValueError(
                    f"arms are compared by pairs, but with {n} examples {arm} has the seeds {sorted(seeds[arm])} and "
                    f"{compared[0]} {sorted(seeds[compared[0]])}: leave out what only one of them has"
                )
    return rows


def _said(arm: str, at: tuple[float, float, float], seeds: int) -> str:
    mean, low, high = at
    return f"{arm} {mean:.3f}" + (f" [{low:.3f}, {high:.3f}]" if seeds > 1 else "")


def _empty() -> plots.Figure:
    fig = plots.figure("", "steps", "", "")
    for i in range(2):
        style = {"color": plots.COLOURS[i], "dash": plots.DASHES[i]}
        for fill in (None, "tonexty" if i else None):  # one band: two of them would grey out the lines
            fig.add_scatter(
                x=[0], y=[0], mode="lines", showlegend=False, hoverinfo="skip", fill=fill, fillcolor=BAND,
                line={**style, "color": plots.faint(plots.COLOURS[i]), "width": 1},
            )  # fmt: skip
        fig.add_scatter(
            x=[0], y=[0], mode="lines+markers", line={**style, "width": 2.5},
            marker={"symbol": plots.MARKERS[i], "size": 8}, zorder=1,
        )  # fmt: skip
    return fig.add_shape(
        type="line", x0=0, x1=0, y0=0, y1=1, yref="paper", line={"color": "#555555", "dash": "dot", "width": 2}
    )
