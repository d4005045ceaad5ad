"""Weights of two tasks that share a trunk: what each task scores beside its network alone, and how the gradients agree.

Two tasks, MNIST's digits and the optical digits, are trained through a shared layer of W units. The loss of the optical
digits has a weight, that of MNIST has 1. For each width there are recorded networks of both tasks at several weights,
and a network for each task alone. The frontier is the line of what both tasks score together, from weight to weight.

A difference is that of runs with the same seed, so it is known better than the scores themselves. Its intervals and
readings are those of `ftlib.table`, corrected for the number of weights at a width. The figure shows these intervals,
too: a bar that crosses the line of the network alone shows no difference.

Nothing is trained. All scores are those of recorded runs. A record keeps the mean cosine of a run only, so the caller
gives the cosines of its steps.
"""

import html
import itertools
import math

import ipywidgets
import numpy as np
import pandas as pd

from ftlib import plots
from ftlib.classroom.lessons import part
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, set_status, status_line
from ftlib.evidence.compare import UNCLEAR, interval

FIGURE, RECORDED = part("05_multitask", "figure_weights"), part("05_multitask", "shared_recorded")
NAMES = ("MNIST", "optical")
EVEN = 1.0  # the weight at which both tasks count alike
SMOOTH = 10  # steps in a moving mean


class Weights(Panel):
    """`width`, `weight`: the controls; `figure`: the one live figure; `words` tell the state, `rows` are its table."""

    def __init__(self, records: list[dict], cosines: dict[int, list[float]] | None, split: str, shown):
        self.split, self.widths = split, RECORDED.read(records, split)
        self.steps = _steps(cosines or {}, self.widths)
        narrow = {"style": {"description_width": "initial", "button_width": "auto"}}
        shared = sorted(set.intersection(*(set(at.weights) for at in self.widths.values())))
        width, weight = (
            (next(iter(self.widths)), _nearest(shared)) if shown is None else _shown(shown, self.widths, shared)
        )
        self.width = ipywidgets.ToggleButtons(
            options=[(str(width), width) for width in self.widths], value=width, description="Width", **narrow
        )
        self.weight = ipywidgets.ToggleButtons(
            options=[(_weight(weight), weight) for weight in shared], value=weight,
            description=f"Weight of {NAMES[1]}", **narrow,
        )  # fmt: skip
        measured = {w: [interval(each) for each in at.cosines.values()] for w, at in self.widths.items() if at.cosines}
        self.figure = live(FIGURE.empty(NAMES, split, measured, list(self.steps)))
        self.words, self.rows = status_line(), ipywidgets.HTML()
        self.show()
        for control in (self.width, self.weight):
            control.observe(self.show, names="value")
        shown = [self.width, self.weight, self.figure, self.words, self.rows]
        super().__init__(shown, lambda: self.alt, lambda: self.still().png())

    @property
    def picked(self):
        """What was recorded at the chosen width."""
        return self.widths[self.width.value]

    @property
    def row(self) -> int:
        """The row of the chosen weight."""
        return self.picked.weights.index(self.weight.value)

    def still(self) -> plots.Figure:
        """The figure as it is now, without a widget."""
        return FIGURE.Drawn(self.figure)

    def show(self, _=None) -> None:
        """Draw what the controls say; what is on the screen is changed in place."""
        at, weight, said = self.picked, self.weight.value, self._said()
        self.alt = f"{said} {self._told()}"
        scene = FIGURE.Scene(
            title=html.escape(self._title(), quote=False),
            alt=self.alt,
            weights=[_weight(one) for one in at.weights],
            points=at.scores,
            bars=np.array([_bars(found) for found in at.found]),
            hints=[self._hint(i) for i in range(len(at.weights))],
            row=self.row,
            alone=at.alone.tolist(),
            width=self.width.value,
            places={width: i for i, width in enumerate(w for w, one in self.widths.items() if one.cosines)},
            cosines={w: interval(one.cosines[weight]) for w, one in self.widths.items() if weight in one.cosines},
            means={width: moving(each) for width, each in self.steps.items()},
            steps=self.steps.get(self.width.value, []),
        )
        self.figure.plotly_update(**FIGURE.message(scene))
        set_status(self.words, said)
        self.rows.value = self._table()

    # ---- the words

    def _title(self) -> str:
        changes = (
            f"{name} {_signed(found.difference.iloc[self.row])}" for name, found in zip(NAMES, self.picked.found)
        )
        return f"Width {self.width.value}, weight {_weight(self.weight.value)}. {' and '.join(changes)} points"

    def _said(self) -> str:
        """The state of the controls, both tasks beside their networks alone, and the cosine."""
        at, row = self.picked, self.row
        over = f"mean over {at.seeds} seeds" if at.seeds > 1 else "one seed"
        each = (
            f"{_first(name)} {_number(at.scores[row, k])} %, alone {_number(at.alone[k])} %, difference "
            f"{self._difference(k, row)}."
            for k, name in enumerate(NAMES)
        )
        head = f"Width {self.width.value}, weight of {NAMES[1]} {_weight(self.weight.value)}, {over}."
        return f"{head} {' '.join(each)} {_cosine(at, self.weight.value)}"

    def _difference(self, k: int, row: int) -> str:
        """The difference of a task to its network alone, its corrected interval, and the reading."""
        one = self.picked.found[k].iloc[row]
        outside = not one.corrected_low <= 0 <= one.corrected_high
        why = plots.too_few(self.picked.seeds) if one.reading == UNCLEAR and outside else ""
        return f"{_signed(one.difference)} points {_between(one)}, {one.reading}{why}"

    def _told(self) -> str:
        """All points of the figure."""
        at, fixed = self.picked, plots.corrected(self.picked.found[0])
        rows = (
            f"Weight {_weight(weight)}, {NAMES[0]} {_number(at.scores[i, 0])} %, {NAMES[1]} {_number(at.scores[i, 1])} %."
            for i, weight in enumerate(at.weights)
        )
        chosen, widths = self.weight.value, self.widths.items()
        means = [f"Width {width}. {_cosine(one, chosen)}" for width, one in widths if chosen in one.cosines]
        steps = [f"Cosine over the steps of one run each, for the widths {_list(self.steps)}."] if self.steps else []
        return " ".join([
            f"{FIGURE.CAPTION} Accuracy on {self.split}{fixed}.", *rows,
            *([f"At weight {_weight(chosen)}, by width."] if means else []), *means, *steps,
        ])  # fmt: skip

    def _hint(self, row: int) -> str:
        both = (f"{name} {self._difference(k, row)}" for k, name in enumerate(NAMES))
        return f"weight {_weight(self.picked.weights[row])}<br>{'<br>'.join(both)}"

    def _table(self) -> str:
        """The scores of the chosen width; the row of the chosen weight is marked."""
        at, fixed = self.picked, plots.corrected(self.picked.found[0])
        heads = ["weight", *(cell for name in NAMES for cell in (f"{name} (%)", "change (points)"))]
        alone = ["alone", _number(at.alone[0]), "", _number(at.alone[1]), ""]
        body = [_row(alone)]
        for i, weight in enumerate(at.weights):
            cells = [_weight(weight)]
            for k in range(2):
                one = at.found[k].iloc[i]
                cells += [_number(at.scores[i, k]), f"{_signed(one.difference)} {_between(one)} {_mark(one.reading)}"]
            body.append(_row(cells, asked=i == self.row))
        head = "".join(f'<th scope="col" style="{CELL}">{cell}</th>' for cell in heads)
        caption = (
            f"Width {self.width.value}, accuracy on {self.split}{fixed}. In brackets is the 95 % interval of the change "
            f"from the network alone. ▲ higher, ▼ lower, no sign where it is {UNCLEAR}."
        )
        return (
            f'<table class="ftlib-rows" style="border-collapse: collapse; font-size: 12px; line-height: 1.3"><caption '
            f'style="caption-side: bottom; text-align: left">{caption}</caption><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(body)}</tbody></table>"
        )


def weights(
    records: list[dict],
    cosines: dict[int, list[float]] | None = None,
    split: str = "validation",
    shown: tuple[int, float] | None = None,
) -> Weights:
    """Two tasks through one trunk: each one's score beside its network alone, for the widths and weights on record.

    records: as `ftlib.load_records("05_multitask")` gives them. The arms are "mnist alone, width 4", "optical alone,
    width 4", "together, width 4, weight 0.1" and so on, and other arms are left out. cosines: {width: the list
    `TaskGradients.cosines` of a run}, to be shown over its steps, for some of the widths. split: "validation" or
    "test". shown: (width, weight) at first, and if None the narrowest trunk at equal weights.
    """
    return Weights(records, cosines, split, shown)


def moving(cosines: list[float]) -> list[float]:
    """The mean of the last steps, SMOOTH of them where there are so many."""
    return [float(np.mean(cosines[max(0, i - SMOOTH + 1) : i + 1])) for i in range(len(cosines))]


def _steps(cosines: dict[int, list[float]], widths: dict) -> dict[int, list[float]]:
    """{width: cosine of each step}, the narrowest first."""
    for width, each in cosines.items():
        if width not in widths or not len(each):
            raise ValueError(
                f"cosines must give a recorded width the cosines of a run's steps, but {width!r} has {len(each)} and "
                f"the widths are {_list(widths)}: give {{4: strategy.cosines}} after training with TaskGradients"
            )
    return {width: [float(one) for one in cosines[width]] for width in sorted(cosines)}


# ---- numbers

_weight = "{:g}".format
CELL = "padding: 1px 10px; text-align: right; white-space: nowrap"


def _nearest(shared: list[float]) -> float:
    """The weight nearest to the even one, by its factor."""
    return min(shared, key=lambda weight: abs(math.log(max(weight, 1e-9) / EVEN)))


def _shown(shown, widths: dict, shared: list[float]) -> tuple[int, float]:
    """The first state, if it was recorded."""
    for width, weight in itertools.product(widths, shared):
        if shown == (width, weight):
            return width, weight
    raise ValueError(
        f"shown must be a recorded (width, weight), but it is {shown!r}: take a width of {_list(widths)} and a weight of "
        f"{_list(map(_weight, shared))}"
    )


def _number(value: float) -> str:
    """With one digit, and without a minus before a zero."""
    return f"{round(float(value), 1) + 0.0:.1f}"


def _signed(value: float) -> str:
    return f"{round(float(value), 1) + 0.0:+.1f}"


def _between(one) -> str:
    """The corrected interval of a difference."""
    if not math.isfinite(one.corrected_low):
        return "(one seed, so no interval)"
    return f"[{_signed(one.corrected_low)}, {_signed(one.corrected_high)}]"


def _bars(found: pd.DataFrame) -> np.ndarray:
    """(weights, 2): how far each interval reaches below and above its difference, nan where there is none."""
    ends = np.stack([found.difference - found.corrected_low, found.corrected_high - found.difference], axis=1)
    return np.where(np.isfinite(ends), ends, np.nan)


def _mark(reading: str) -> str:
    return {"higher": "▲", "lower": "▼"}.get(reading, "")


def _row(cells: list[str], asked: bool = False) -> str:
    first, *rest = (f"▶ {cells[0]}", *(f"<b>{cell}</b>" for cell in cells[1:])) if asked else cells
    marked = ' aria-current="true" style="outline: 2px solid currentColor"' if asked else ""
    body = "".join(f'<td style="{CELL}">{cell}</td>' for cell in rest)
    return f'<tr{marked}><th scope="row" style="{CELL}">{first}</th>{body}</tr>'


def _cosine(at, weight: float) -> str:
    """The mean cosine at a weight, and how often it is below 0."""
    if weight not in at.cosines:
        return "No cosine was measured here."
    mean, low, high = interval(at.cosines[weight])
    sure = f" [{_two(low)}, {_two(high)}]" if math.isfinite(low) else ""
    return f"Mean cosine {_two(mean)}{sure}, below 0 in {100 * at.conflicts[weight]:.0f} % of the steps."


def _two(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:+.2f}"


def _first(name: str) -> str:
    """At the start of a sentence."""
    return name[0].upper() + name[1:]


def _list(values) -> str:
    return ", ".join(map(str, values))
