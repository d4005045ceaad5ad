"""The four views of the board. Each makes of what was picked a title, the words and the scene of the figure."""

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ftlib import plots
from ftlib.classroom.lessons import part
from ftlib.evidence.compare import UNCLEAR, interval

FIGURE, RECORDED = part("09_compare", "figure_board"), part("09_compare", "shared_recorded")
WORDS = part("09_compare", "shared_words")
NAMED = 9  # so many methods have their names in the figure; of more, those that matter
LOG = 20  # times between the least and the greatest cost, from which on its axis is logarithmic
ROOM = 0.12  # of the width of what is shown, on each side


@dataclass
class Picked:
    """What the controls say, and the comparison that belongs to it."""

    group: object
    measure: object
    cost: object
    method: str
    baseline: str
    found: pd.DataFrame  # a row per method, see ftlib.table
    front: list[str]
    own: list[tuple[str, float, float]]  # (method, cost, score) of own runs beside recorded ones

    @property
    def rows(self) -> pd.DataFrame:
        """The comparisons without the baseline's own row."""
        return self.found.drop(index=self.baseline, errors="ignore")

    @property
    def pairs(self) -> pd.DataFrame:
        """The scores of method and baseline, a row per seed that both have."""
        values = self.group.values(self.measure)
        wide = values[values.arm.isin([self.method, self.baseline])].pivot(index="seed", columns="arm", values="shown")
        return wide.dropna()


def cost(at: Picked) -> tuple:
    """Score against cost, with the Pareto front."""
    means, costs = at.group.means(at.measure), at.group.means(at.cost)
    arms = [arm for arm in at.group.arms if arm in means.index and arm in costs.index]
    x, y = costs[arms].astype(float).tolist(), means[arms].astype(float).tolist()
    scores = at.group.values(at.measure).groupby("arm").shown
    bars = _bars([interval(scores.get_group(arm).to_numpy()) for arm in arms])
    own_x, own_y = [one[1] for one in at.own], [one[2] for one in at.own]
    x_range, log = _ends([*x, *own_x], may_log=True)
    named = set(arms) if len(arms) <= NAMED else {*at.front, at.method, at.baseline}
    middle = np.mean(x_range) if x_range else 0.0
    places = {}
    for i, arm in enumerate(sorted(arms, key=lambda arm: costs[arm])):
        right = (np.log10(costs[arm]) if log else costs[arm]) <= middle
        places[arm] = f"{'bottom' if i % 2 else 'top'} {'right' if right else 'left'}"
    points = FIGURE.Line(
        x, y, bars=bars, text=[_safe(arm) if arm in named else "" for arm in arms], places=[places[arm] for arm in arms],
        hints=[_safe(arm) + f"<br>{at.measure.label} {at.measure.said(means[arm])}<br>{at.cost.label} "
               f"{at.cost.said(costs[arm])}" for arm in arms],
        **_looks(at.group.arms, arms),
    )  # fmt: skip
    lines = {
        FIGURE.FRONT: FIGURE.Line(costs[at.front].tolist(), means[at.front].tolist(), name="Pareto front"),
        FIGURE.ARMS: points,
        FIGURE.OWN: FIGURE.Line(own_x, own_y, [_safe(name) for name, *_ in at.own], name="your runs",
                                hints=[f"yours: {_safe(name)}" for name, *_ in at.own]),
    }  # fmt: skip
    if at.method in arms:
        lines[FIGURE.CHOSEN] = _ring(costs[at.method], means[at.method])
    y_range = _ends([*_reach(y, bars), *own_y])[0]
    scene = FIGURE.Scene("", "", at.cost.label, at.measure.label, lines, log, x_range, y_range)
    said = WORDS.on_the_front(at.front, means, costs, at.measure, at.cost) + WORDS.machines(at.group, at.cost)
    few = WORDS.listed(at.front) if 0 < len(at.front) < 4 else f"{len(at.front)} methods"
    return f"{at.group.name}, {at.group.size} examples. On the front: {few}", said, scene


def differences(at: Picked) -> tuple:
    """The paired difference of each method from the baseline, with its corrected interval."""
    rows, base = at.rows, at.baseline
    x = rows.difference.astype(float).tolist() if len(rows) else []
    ends = zip(x, rows.corrected_low, rows.corrected_high) if len(rows) else ()
    bars = _bars(list(ends))
    hints = [f"{_safe(arm)}: {WORDS.difference(rows.loc[arm], at.measure)}" for arm in rows.index]
    y = list(range(len(rows)))
    lines = {
        FIGURE.ARMS: FIGURE.Line(x, y, hints=hints, bars=bars, along="x", **_looks(at.group.arms, list(rows.index)))
    }
    if at.method in rows.index:
        i = rows.index.get_loc(at.method)
        lines[FIGURE.CHOSEN] = _ring(x[i], i)
    name = at.measure.label.removesuffix(" (%)")
    label = f"{name}, difference from {base}{' (points)' if at.measure.times == 100 else ''}"
    scene = FIGURE.Scene(
        "", "", label, "", lines, x_range=_ends([0.0, *_reach(x, bars)])[0], y_range=(len(rows) - 0.4, -0.6),
        y_ticks=dict(enumerate(rows.index)) or {0: ""}, zero=True,
    )  # fmt: skip
    each = [f"{arm} {WORDS.difference(rows.loc[arm], at.measure)}" for arm in rows.index]
    clear = int((rows.reading != UNCLEAR).sum()) if len(rows) else 0
    said = f"Differences in {name}: {'; '.join(each)}." if each else ""
    return f"{clear} of {len(rows)} methods differ clearly from {base}", said, scene


def seeds(at: Picked) -> tuple:
    """Method and baseline, a line per seed."""
    pairs, base, method = at.pairs, at.baseline, at.method
    scene = FIGURE.Scene("", "", "", at.measure.label, {}, x_range=(-0.4, 1.4), x_ticks={0: base, 1: method})
    if method == base or pairs.empty or pairs.shape[1] < 2:
        return "Choose two methods", "Choose another method or baseline: there is no pair to show.", scene
    better = (pairs[method] > pairs[base]) if at.measure.higher else (pairs[method] < pairs[base])
    means = [float(pairs[base].mean()), float(pairs[method].mean())]
    scene.lines = {
        FIGURE.AHEAD: _pairs(pairs[better], base, method, f"{method} is better"),
        FIGURE.BEHIND: _pairs(pairs[~better], base, method, f"{base} is better, or equal"),
        FIGURE.METHOD: FIGURE.Line([0, 1], means, name="mean", hints=["mean", "mean"]),
    }
    scene.y_range = _ends(pairs.to_numpy().ravel().tolist())[0]
    row = at.found.loc[method] if method in at.found.index else None
    said = WORDS.seed_by_seed(pairs, method, base, at.measure, row)
    return f"{method} is better than {base} on {int(better.sum())} of {len(pairs)} seeds", said, scene


def curves(at: Picked) -> tuple:
    """The validations during the runs of method and baseline: a line per seed, and their mean."""
    records = at.group.records.items()
    its = {
        arm: [r["curve"] for (name, _), r in records if name == arm and r["curve"]] for arm in (at.baseline, at.method)
    }
    points = [point for arm in its.values() for curve in arm for point in curve]
    scene = FIGURE.Scene("", "", "step", "", {})
    if not points:
        return "No curves", f"No curves were recorded for {WORDS.listed(its)}: choose other methods or runs.", scene
    name = at.measure.column.rpartition(".")[2]
    name = name if all(name in point for point in points) else "loss"
    label = f"{RECORDED.SHOWN.get(name, name.replace('_', ' '))} on validation" if name != "loss" else "training loss"
    times, said = 100 if name in RECORDED.PERCENT else 1, []
    traces = ((at.baseline, FIGURE.BEHIND, FIGURE.BASE), (at.method, FIGURE.AHEAD, FIGURE.METHOD))
    for arm, thin, thick in traces[at.method == at.baseline :]:
        if not its[arm]:
            said.append(f"{arm} has none")
            continue
        each = [{point["step"]: times * point[name] for point in curve} for curve in its[arm]]
        steps = [step for curve in each for step in [*curve, None]]
        values = [value for curve in each for value in [*curve.values(), None]]
        scene.lines[thin] = FIGURE.Line(steps, values, hints=[_safe(arm)] * len(steps))
        mean = pd.DataFrame(each).dropna(axis=1).mean()  # at the steps that all seeds reached
        scene.lines[thick] = FIGURE.Line(
            mean.index.tolist(), mean.tolist(), name=f"{arm}, mean", hints=[_safe(arm)] * len(mean)
        )
        said.append(f"{arm} {mean.iloc[0]:.3g} at step {mean.index[0]}, {mean.iloc[-1]:.3g} at step {mean.index[-1]}")
    scene.y = f"{label} (%)" if times == 100 else label
    return f"{label} over the steps", f"Means of {scene.y} over the seeds: {'; '.join(said)}.", scene


VIEWS = {"score and cost": cost, "differences": differences, "seed by seed": seeds, "curves": curves}


def _safe(word: str) -> str:
    """plotly takes text for HTML."""
    return html.escape(word, quote=False)


def _ring(x: float, y: float):
    return FIGURE.Line([float(x)], [float(y)], name="chosen method")


def _looks(all_arms: list[str], arms: list[str]) -> dict:
    """Colour and marker of each method: the same in all views."""
    looks = [plots.look(all_arms.index(arm)) for arm in arms]
    return {"colours": [colour for colour, *_ in looks], "symbols": [symbol for _, symbol, _ in looks]}


def _bars(found: list[tuple]) -> tuple[list, list]:
    """How far intervals, (middle, low, high), go down and up; None where there is none."""
    ends = [(None, None) if np.isinf(low) else (middle - low, high - middle) for middle, low, high in found]
    return [low for low, _ in ends], [high for _, high in ends]


def _reach(values: list[float], bars: tuple[list, list]) -> list[float]:
    """The ends of all bars."""
    return [v - (b or 0) for v, b in zip(values, bars[0])] + [v + (b or 0) for v, b in zip(values, bars[1])]


def _ends(values: list[float], may_log: bool = False) -> tuple:
    """((low, high) of an axis around the values, whether it is logarithmic); of a logarithmic one the powers."""
    values = np.array([value for value in values if np.isfinite(value)], dtype=float)
    if not len(values):
        return None, False
    log = may_log and values.min() > 0 and values.max() / values.min() > LOG
    values = np.log10(values) if log else values
    room = ROOM * (values.max() - values.min()) or ROOM * abs(values.max()) or 1.0
    return (float(values.min() - room), float(values.max() + room)), bool(log)


def _pairs(pairs: pd.DataFrame, base: str, method: str, name: str):
    """A line per seed, in one trace."""
    x = [at for _ in pairs.index for at in (0, 1, None)]
    y = [value for a, b in zip(pairs[base], pairs[method]) for value in (float(a), float(b), None)]
    hints = [f"seed {seed}" for seed in pairs.index for _ in range(3)]
    return FIGURE.Line(x, y, name=name if len(pairs) else "", hints=hints)
