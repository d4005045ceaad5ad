"""DataFrame → figure. Pure functions; every figure carries a text alternative and can be seen without a browser.

Colours are Okabe and Ito's and two of Tol's, which colour-blind readers can tell apart. Three are darker than theirs,
so that each has a contrast of 3:1 on white. They never stand alone: each arm has its own marker too, up to thirty of
them, and a dash that no other arm of its colour has. A figure shows itself as a live plotly figure, as a PNG where
nothing can run (a viewer on the web), with its text alternative below.
"""

import base64
import html
import io
import json
import re
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from ftlib.evidence.compare import SEEDS_FOR_A_VERDICT, UNCLEAR, interval, table

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B87A00", "#3A93C9", "#000000", "#999000",
           "#777777", "#882255")  # fmt: skip
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon",
           "triangle-down", "pentagon")  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash", "dot", "dashdot")
_MATPLOTLIB = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "cross": "P", "x": "X", "star": "*",
               "hexagon": "h", "triangle-down": "v", "pentagon": "p", "solid": "-", "dash": "--", "dot": ":",
               "dashdot": "-.", "longdash": (0, (8, 3)), "longdashdot": (0, (8, 3, 2, 3))}  # fmt: skip
WIDTH, HEIGHT = 720, 380  # pixels of a figure, live and still, so that nothing moves when it comes alive
LEAST_CONTRAST = 3.0  # on white, of all that has to be seen
TOOLBAR = {  # of every live figure: no button that would leave this computer
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["sendChartToCloud", "select2d", "lasso2d"],
}
KINDS = ("", "-open", "-open-dot")  # of a marker: filled, empty, empty with a dot
_FILL = {"": "full", "-open": "none", "-open-dot": "left"}  # and how matplotlib draws them
ABOVE = {  # names of rooms above, which are loaded on first use
    "Table": "results_plots",
    "before_after": "results_plots",
    "confusion": "results_plots",
    "mistakes": "results_plots",
    "examples": "task_plots",
}


def __getattr__(name: str):
    if name in ABOVE:
        return getattr(import_module(f"ftlib.{ABOVE[name]}"), name)
    raise AttributeError(f"ftlib.plots has no name {name!r}: dir(ftlib.plots) lists its names")


def __dir__() -> list[str]:
    return sorted({*globals(), *ABOVE})


def look(i: int) -> tuple[str, str, str]:
    """Give the colour, the marker and the dash of an arm.

    Parameters
    ----------
    i : int
        Number of the arm, from 0 on.

    Returns
    -------
    colour : str
        A hexadecimal colour.
    marker : str
        Name of a plotly marker.
    dash : str
        Name of a plotly dash.

    Notes
    -----
    Every ten arms the colours begin again, with another kind of marker and the dashes moved on by one. Up to thirty
    arms no two share a marker, or a colour and a dash.

    Examples
    --------
    >>> plots = ftlib.plots
    >>> plots.look(0), plots.look(10)
    (('#0072B2', 'circle', 'solid'), ('#0072B2', 'circle-open', 'dash'))
    """
    turn, place = divmod(i, len(COLOURS))
    return COLOURS[place], MARKERS[place] + KINDS[turn % 3], DASHES[(place % 6 + turn) % 6]


def faint(colour: str) -> str:
    """Give the lightest mixture of a colour with white that still has a contrast of 3:1 on white.

    Parameters
    ----------
    colour : str
        A hexadecimal colour.

    Returns
    -------
    str
        A hexadecimal colour, for single seeds beside their mean.

    References
    ----------
    .. [1] W3C, "Web Content Accessibility Guidelines 2.1", success criterion 1.4.11, 2018.

    Examples
    --------
    >>> ftlib.plots.faint("#000000")
    '#949494'
    """
    full = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    for white in np.arange(1.0, 0.0, -0.01):
        mixed = np.round(full + white * (255 - full)).astype(int)
        if contrast(mixed) >= LEAST_CONTRAST:
            return "#" + "".join(f"{part:02X}" for part in mixed)
    return colour


def contrast(rgb: np.ndarray) -> float:
    """Compute the contrast of a colour on white, after WCAG 2.1.

    Parameters
    ----------
    rgb : array of int, shape (3,)
        Red, green and blue in 0..255.

    Returns
    -------
    float
        From 1 for white to 21 for black.

    Examples
    --------
    >>> round(ftlib.plots.contrast(np.array([0, 0, 0])), 6)
    21.0
    """
    share = np.asarray(rgb) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return 1.05 / (float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)


class Shown:
    """Something with a text alternative, which a notebook shows below it.

    Attributes
    ----------
    alt : str
        The text alternative. JupyterLab gives an image no other words.

    Examples
    --------
    >>> fig = ftlib.plots.figure("Loss", "steps", "nats", "An empty figure.")
    >>> isinstance(fig, ftlib.plots.Shown), fig.alt
    (True, 'An empty figure.')
    """

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)
        words = f"<details><summary>In words</summary>{html.escape(self.alt)}</details>"
        display({"text/html": words, "text/plain": self.alt}, raw=True)


class Figure(Shown, go.Figure):
    """A plotly figure with a text alternative.

    Attributes
    ----------
    alt : str
        What the figure shows, in words.

    See Also
    --------
    figure : Makes an empty one with its labels.

    Examples
    --------
    >>> fig = ftlib.plots.figure("Loss", "steps", "nats", "Training loss against steps.")
    >>> fig.png()[1:4]  # a still image, drawn without a browser
    b'PNG'
    """

    @property
    def alt(self) -> str:
        """What the figure shows, in words."""
        return (self.layout.meta or {}).get("alt", "")

    def png(self) -> bytes:
        """A still of the lines, points and intervals, drawn without a browser."""
        return _still(self)

    def _repr_mimebundle_(self, *args, **kwargs) -> dict:
        return {
            "application/vnd.plotly.v1+json": json.loads(self.to_json()) | {"config": TOOLBAR},
            "image/png": base64.b64encode(self.png()).decode(),
            "text/plain": self.alt,
        }


@dataclass(frozen=True)
class Picture(Shown):
    """A still image with a text alternative.

    Parameters
    ----------
    png : bytes
        The image as PNG.
    alt : str
        What the image shows, in words.

    See Also
    --------
    image : Makes one from pixels.

    Examples
    --------
    >>> shown = ftlib.plots.image(np.zeros((4, 4), np.uint8), "A black square.")
    >>> type(shown).__name__, shown.alt
    ('Picture', 'A black square.')
    """

    png: bytes
    alt: str

    def _repr_mimebundle_(self, *args, **kwargs) -> dict:
        return {"image/png": base64.b64encode(self.png).decode(), "text/plain": self.alt}


def image(pixels: np.ndarray, alt: str) -> Picture:
    """Show pixels as a still image.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W) or (H, W, 3)
        Grey or RGB values in 0..255.
    alt : str
        What the image shows, in words.

    Returns
    -------
    Picture
        The image and its text alternative.

    Examples
    --------
    >>> shown = ftlib.plots.image(np.full((4, 6, 3), 255, np.uint8), "A white rectangle.")
    >>> shown.png[1:4]
    b'PNG'
    """
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="png")
    return Picture(out.getvalue(), alt)


def figure(title: str, x: str, y: str, alt: str) -> Figure:
    """Make an empty figure with its labels and its text alternative.

    Parameters
    ----------
    title : str
        Title of the figure.
    x, y : str
        Labels of the axes, with units in brackets.
    alt : str
        What the figure shows, in words.

    Returns
    -------
    Figure
        A figure without lines or points.

    Examples
    --------
    >>> fig = ftlib.plots.figure("Loss", "steps", "loss (nats)", "Training loss against steps.")
    >>> fig = fig.add_scatter(x=[1, 2], y=[0.9, 0.4])
    >>> fig.layout.xaxis.title.text
    'steps'
    """
    layout = go.Layout(
        title=title, xaxis_title=x, yaxis_title=y, meta={"alt": alt}, template="plotly_white",
        width=WIDTH, height=HEIGHT, margin={"l": 70, "r": 20, "t": 60, "b": 55}, hovermode="closest",
    )  # fmt: skip
    return Figure(layout=layout)


def curves(points: pd.DataFrame, metric: str, title: str = "", label: str = "") -> Figure:
    """Draw a validation metric against training steps, one line per arm.

    Parameters
    ----------
    points : DataFrame
        One row per validation, with the columns arm, seed, step and the metric, as `ftlib.runs.curves` gives them.
    metric : str
        The column to draw.
    title : str, optional
        Title of the figure.
    label : str, optional
        Label of the vertical axis. By default "<metric> on validation".

    Returns
    -------
    Figure
        For each arm a thin line per seed and a thick line for their mean.

    Notes
    -----
    The mean ends where the first seed of its arm ends. After that it would be a mean of fewer seeds. A value that is
    not a number makes the mean not a number.

    Examples
    --------
    >>> points = pd.DataFrame({"arm": "full", "seed": 0, "step": [5, 10], "nll": [0.9, 0.4]})
    >>> ftlib.plots.curves(points, "nll").alt
    "Line chart of nll on validation against steps. At each seed's last step: full 0.400."
    """
    label = label or f"{metric} on validation"
    last = points.sort_values("step").groupby(["arm", "seed"], sort=False)[metric].agg(lambda values: values.iloc[-1])
    ends = last.groupby("arm", sort=False).agg(_mean).reindex(points.arm.unique())
    alt = f"Line chart of {label} against steps. At each seed's last step: " + "; ".join(
        f"{a} {v:.3f}" for a, v in ends.items()
    )
    fig = figure(title or f"{label} during training", "steps", label, alt + ".")
    for i, (arm, group) in enumerate(points.groupby("arm", sort=False)):
        colour, marker, dash = look(i)
        style = {"color": colour, "dash": dash}
        for _, one in group.sort_values("step").groupby("seed"):
            fig.add_scatter(x=one.step, y=one[metric], mode="lines", showlegend=False, hoverinfo="skip",
                            line={**style, "color": faint(colour), "width": 1})  # fmt: skip
        by = group.groupby("step")[metric].agg([_mean, "size"])
        mean = by["_mean"][by["size"] == group.seed.nunique()]
        fig.add_scatter(x=mean.index, y=mean, name=arm, mode="lines+markers", line={**style, "width": 2.5},
                        marker={"symbol": marker, "size": 8})  # fmt: skip
    return fig


def scores(runs: pd.DataFrame, metric: str, title: str = "", label: str = "") -> Figure:
    """Draw one row per arm: the score of every seed, and the mean with its 95 % interval.

    Parameters
    ----------
    runs : DataFrame
        One row per run, as `ftlib.load_runs` gives them. Choose one task first.
    metric : str
        The column to draw, such as "test.accuracy".
    title, label : str, optional
        Title and label of the horizontal axis. By default both are the metric.

    Returns
    -------
    Figure
        Light points for the seeds, a dark one for the mean.

    Examples
    --------
    >>> cells = runs.query("task == 'elpv' and purpose == 'measure'")
    >>> print(ftlib.plots.scores(cells, "test.balanced_accuracy").alt)
    Dot plot of test.balanced_accuracy, mean and 95 % interval over seeds: scratch 0.632 [0.582, 0.683]; probe ...
    """
    label = label or metric
    stats = {arm: interval(group[metric].to_numpy()) for arm, group in runs.groupby("arm", sort=False)}
    words = "; ".join(f"{arm} {m:.3f} {spread(low, high)}" for arm, (m, low, high) in stats.items())
    fig = figure(title or label, label, "", f"Dot plot of {label}, mean and 95 % interval over seeds: {words}.")
    for i, (arm, (mean, low, high)) in enumerate(stats.items()):
        values, (colour, marker, _) = runs.loc[runs.arm == arm, metric], look(i)
        fig.add_scatter(x=values, y=[arm] * len(values), mode="markers", showlegend=False,
                        marker={"color": faint(colour), "size": 7, "symbol": marker}, name=arm)  # fmt: skip
        fig.add_scatter(x=[mean], y=[arm], mode="markers", name=arm, showlegend=False,
                        error_x={"type": "data", "symmetric": False, "array": _bars([high - mean]),
                                 "arrayminus": _bars([mean - low]), "thickness": 2.5, "width": 8},
                        marker={"color": colour, "size": 13, "symbol": marker})  # fmt: skip
    return _rows(fig, len(stats))


def differences(runs: pd.DataFrame, metric: str, baseline: str, title: str = "", label: str = "") -> Figure:
    """Draw the paired difference of each arm from a baseline, with its 95 % interval.

    Parameters
    ----------
    runs : DataFrame
        One row per run, as `ftlib.load_runs` gives them, of one task and one model.
    metric : str
        The column to compare.
    baseline : str
        The arm that the others are compared with.
    title, label : str, optional
        Title and label of the horizontal axis.

    Returns
    -------
    Figure
        One interval per arm, corrected for the number of arms (Holm's method). The dotted line at 0 means no
        difference: an interval that holds it shows none.

    See Also
    --------
    ftlib.table : The same numbers as a table.

    Examples
    --------
    >>> cells = runs.query("task == 'elpv' and purpose == 'measure'")
    >>> print(ftlib.plots.differences(cells, "test.balanced_accuracy", "probe").alt)
    Interval plot of the difference in test.balanced_accuracy from probe, paired by seed, intervals corrected ...
    """
    label = label or f"difference in {metric} from {baseline}"
    found = table(runs, metric, baseline).drop(index=baseline)
    words = f"paired by seed{corrected(found)}: {compared(found)}"
    fig = figure(title or label, label, "", f"Interval plot of the {label}, {words}.")
    fig.add_vline(x=0, line={"color": "#555555", "dash": "dot"})
    for i, d in enumerate(found.itertuples(), start=1):
        colour, marker, _ = look(i)
        fig.add_scatter(x=[d.difference], y=[d.Index], mode="markers", name=d.Index, showlegend=False,
                        error_x={"type": "data", "symmetric": False, "array": _bars([d.corrected_high - d.difference]),
                                 "arrayminus": _bars([d.difference - d.corrected_low]), "thickness": 2.5, "width": 8},
                        marker={"color": colour, "size": 13, "symbol": marker})  # fmt: skip
    return _rows(fig, len(found))


def compared(found: pd.DataFrame) -> str:
    """Say rows of a comparison in words.

    Parameters
    ----------
    found : DataFrame
        Rows of `ftlib.table` without the baseline's.

    Returns
    -------
    str
        Such as "b +0.050 [+0.040, +0.060], higher; ...". The interval is the one that the reading follows, corrected
        for the number of comparisons. With fewer than six seeds it may leave 0 out and still show no difference: the
        words say so.

    Examples
    --------
    >>> cells = runs.query("task == 'elpv' and purpose == 'measure'")
    >>> found = ftlib.table(cells, "test.balanced_accuracy", "probe")
    >>> ftlib.plots.compared(found.loc[["full"]])
    'full -0.015 [-0.076, +0.046], not distinguishable here'
    """
    words = []
    for d in found.itertuples():
        why = too_few(d.seeds) if d.reading == UNCLEAR and not d.corrected_low <= 0 <= d.corrected_high else ""
        words.append(
            f"{d.Index} {d.difference:+.3f} {spread(d.corrected_low, d.corrected_high, '+')}, {d.reading}{why}"
        )
    return "; ".join(words)


def corrected(found: pd.DataFrame) -> str:
    """Say that the intervals of a comparison are corrected, where there are several.

    Parameters
    ----------
    found : DataFrame
        Rows of `ftlib.table` without the baseline's.

    Returns
    -------
    str
        The words, or an empty text for a single comparison.

    Examples
    --------
    >>> cells = runs.query("task == 'elpv' and purpose == 'measure'")
    >>> ftlib.plots.corrected(ftlib.table(cells, "test.balanced_accuracy", "probe"))
    ', intervals corrected for 3 comparisons'
    """
    many = int(found["p"].notna().sum())
    return f", intervals corrected for {many} comparisons" if many > 1 else ""


def too_few(seeds: int) -> str:
    """Say why an interval without 0 decides nothing, where the seeds are too few for a verdict.

    Parameters
    ----------
    seeds : int
        Number of paired seeds.

    Returns
    -------
    str
        The reason, or an empty text for six seeds and more.

    Examples
    --------
    >>> ftlib.plots.too_few(3)
    ': a verdict needs 6 seeds, these are 3'
    """
    few = seeds < SEEDS_FOR_A_VERDICT
    return f": a verdict needs {SEEDS_FOR_A_VERDICT} seeds, these are {seeds}" if few else ""


def spread(low: float, high: float, sign: str = "") -> str:
    """Say an interval in words.

    Parameters
    ----------
    low, high : float
        Bounds of the interval. They are infinite for a single seed.
    sign : str, default ""
        "+" shows the sign of positive bounds, too.

    Returns
    -------
    str
        The bounds with three digits.

    Examples
    --------
    >>> ftlib.plots.spread(-0.01, 0.02, "+"), ftlib.plots.spread(-np.inf, np.inf)
    ('[-0.010, +0.020]', '(one seed, so no interval)')
    """
    return "(one seed, so no interval)" if np.isinf(low) else f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def sweep(runs: pd.DataFrame, metric: str, title: str = "", label: str = "", by: str = "n", log: bool = True) -> Figure:
    """Draw a metric against a size, one line per arm, with 95 % intervals.

    Parameters
    ----------
    runs : DataFrame
        One row per run, as `ftlib.load_runs` gives them.
    metric : str
        The column to draw.
    title, label : str, optional
        Title and label of the vertical axis. By default both are the metric.
    by : str, default "n"
        The column with the size. "n" is the number of training examples.
    log : bool, default True
        Whether the horizontal axis is logarithmic.

    Returns
    -------
    Figure
        The mean over seeds at each size.

    Examples
    --------
    >>> sizes = ftlib.load_runs("01_full_sizes").query("purpose == 'measure' and task == 'elpv'")
    >>> print(ftlib.plots.sweep(sizes, "test.balanced_accuracy").alt)
    Line chart of test.balanced_accuracy against n, mean over seeds: ...
    """
    label, words = label or metric, []
    fig = figure(title or label, "training examples" if by == "n" else by, label, "")
    for i, (arm, group) in enumerate(runs.groupby("arm", sort=False)):
        (colour, marker, dash), by_size = look(i), group.groupby(by)[metric]
        stats = {x: interval(values.to_numpy()) for x, values in by_size}
        words.append(f"{arm} " + ", ".join(f"{m:.3f} at {x:g}" for x, (m, _, _) in stats.items()))
        mean, low, high = zip(*stats.values())
        fig.add_scatter(x=list(stats), y=mean, name=arm, mode="lines+markers",
                        error_y={"type": "data", "symmetric": False, "thickness": 2, "width": 6,
                                 "array": _bars([h - m for h, m in zip(high, mean)]),
                                 "arrayminus": _bars([m - low_ for m, low_ in zip(mean, low)])},
                        line={"color": colour, "dash": dash, "width": 2.5},
                        marker={"symbol": marker, "size": 9})  # fmt: skip
    sizes = sorted(runs[by].unique().tolist())
    fig.update_xaxes(type="log" if log else "linear", tickvals=sizes, ticktext=[f"{x:g}" for x in sizes])
    return fig.update_layout(meta={"alt": f"Line chart of {label} against {by}, mean over seeds: {'; '.join(words)}."})


def points(rows: pd.DataFrame, x: str, y: str, title: str, label_x: str, label_y: str) -> Figure:
    """Draw one labelled point per row of a table.

    Parameters
    ----------
    rows : DataFrame
        The table. Its index names the points.
    x, y : str
        Columns of the table.
    title : str
        Title of the figure.
    label_x, label_y : str
        Labels of the axes, with units in brackets.

    Returns
    -------
    Figure
        A scatter plot.

    Examples
    --------
    >>> rows = pd.DataFrame({"cost": [1.0, 2.0], "score": [0.6, 0.7]}, index=["probe", "full"])
    >>> ftlib.plots.points(rows, "cost", "score", "Cost and score", "time (s)", "accuracy").alt
    'Scatter plot of accuracy against time (s): probe (1.000, 0.600); full (2.000, 0.700).'
    """
    words = "; ".join(f"{name} ({a:.3f}, {b:.3f})" for name, a, b in zip(rows.index, rows[x], rows[y]))
    fig = figure(title, label_x, label_y, f"Scatter plot of {label_y} against {label_x}: {words}.")
    return fig.add_scatter(x=rows[x], y=rows[y], text=list(rows.index), mode="markers+text", showlegend=False,
                           textposition="top center", marker={"color": COLOURS[0], "size": 11})  # fmt: skip


def reliability(bins: pd.DataFrame, title: str = "How often is it right, and how sure is it?") -> Figure:
    """Draw accuracy against confidence, one line per arm.

    Parameters
    ----------
    bins : DataFrame
        One row per bin, with the columns arm, confidence, accuracy and share. See `ftlib.metrics.reliability`.
    title : str, optional
        Title of the figure.

    Returns
    -------
    Figure
        On the diagonal a network is right as often as it thinks. Below it, it is too sure.

    References
    ----------
    .. [1] Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised learning", ICML 2005.
    .. [2] Guo et al., "On calibration of modern neural networks", ICML 2017, arXiv:1706.04599.

    Examples
    --------
    >>> bins = pd.DataFrame({"arm": "full", "confidence": [0.7, 0.9], "accuracy": [0.6, 0.8], "share": [0.5, 0.5]})
    >>> ftlib.plots.reliability(bins).alt
    'Reliability diagram. Expected calibration error: full 0.100.'
    """
    gaps = {a: ((g.accuracy - g.confidence).abs() * g.share).sum() for a, g in bins.groupby("arm", sort=False)}
    words = "; ".join(f"{arm} {gap:.3f}" for arm, gap in gaps.items())
    fig = figure(title, "confidence", "accuracy", f"Reliability diagram. Expected calibration error: {words}.")
    fig.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": "grey", "dash": "dot"}, name="as sure as right")
    for i, (arm, group) in enumerate(bins.groupby("arm", sort=False)):
        (colour, marker, dash), shares = look(i), [f"{share:.0%} of the examples" for share in group["share"]]
        fig.add_scatter(x=group.confidence, y=group.accuracy, name=arm, mode="lines+markers", hovertext=shares,
                        line={"color": colour, "dash": dash},
                        marker={"symbol": marker, "size": 9})  # fmt: skip
    return fig


def losses(history: list[dict] | dict[str, list[dict]], title: str = "Training loss") -> Figure:
    """Draw the training loss of one or several runs of `fit` against steps.

    Parameters
    ----------
    history : list of dict or dict of str to list of dict
        A history, as `ftlib.fit` returns it, or several by name. None may be empty.
    title : str, optional
        Title of the figure.

    Returns
    -------
    Figure
        One line per history, in nats per target.

    Examples
    --------
    >>> history = [{"step": 0, "loss": 1.1}, {"step": 1, "loss": 0.8}]
    >>> ftlib.plots.losses({"full": history}).alt
    'Line chart of the training loss against steps: full from 1.100 to 0.800.'
    """
    histories = history if isinstance(history, dict) else {"training": history}
    ends = "; ".join(f"{k} from {h[0]['loss']:.3f} to {h[-1]['loss']:.3f}" for k, h in histories.items())
    fig = figure(title, "steps", "training loss (nats)", f"Line chart of the training loss against steps: {ends}.")
    for i, (name, rows) in enumerate(histories.items()):
        colour, _, dash = look(i)
        fig.add_scatter(x=[r["step"] + 1 for r in rows], y=[r["loss"] for r in rows], name=name, mode="lines",
                        line={"color": colour, "dash": dash})  # fmt: skip
    return fig


def _rows(fig: Figure, n: int) -> Figure:
    """The first arm on top, and each named: plotly leaves names out where they stand close."""
    fig.update_yaxes(autorange="reversed", dtick=1)
    return fig.update_layout(height=max(fig.layout.height, 115 + 22 * n))


def _mean(values: pd.Series) -> float:
    """The mean of all of them: not a number as soon as one is none."""
    return values.mean(skipna=False)


def _bars(lengths: list[float]) -> list[float | None]:
    """How far intervals reach; where there is none, nothing is drawn."""
    return [None if np.isinf(length) else length for length in lengths]


def _still(fig: go.Figure) -> bytes:
    """Draw a figure's scatter traces with matplotlib, as PNG."""
    from matplotlib.figure import Figure as Canvas

    size = (fig.layout.width or WIDTH) / 100, (fig.layout.height or HEIGHT) / 100
    canvas = Canvas(figsize=size, dpi=100, layout="constrained")
    axes = canvas.subplots()
    for trace in fig.data:
        x, y = list(trace.x), list(trace.y)
        colour, line = trace.marker.color or trace.line.color, "lines" in (trace.mode or "")
        symbol, kind = re.fullmatch(r"(.*?)((?:-open)?(?:-dot)?)", trace.marker.symbol or "circle").groups()
        axes.plot(
            x, y, color=colour, alpha=trace.opacity or 1, linewidth=trace.line.width or 1.5,
            linestyle=_MATPLOTLIB[trace.line.dash or "solid"] if line else "none", solid_capstyle="butt",
            marker=_MATPLOTLIB[symbol] if "markers" in (trace.mode or "") else None, fillstyle=_FILL[kind],
            markersize=(trace.marker.size or 8) * 0.7, label=trace.name if trace.showlegend is not False else None,
        )  # fmt: skip
        for way, bar in (("xerr", trace.error_x), ("yerr", trace.error_y)):
            if bar.array is not None:
                both = [[np.nan if v is None else v for v in part] for part in (bar.arrayminus, bar.array)]
                axes.errorbar(x, y, **{way: both}, color=colour, capsize=4, linewidth=2, linestyle="none")
        for at, words in zip(zip(x, y), trace.text if trace.text is not None else ()):
            axes.annotate(words, at, xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8)
    for shape in fig.layout.shapes:
        axes.axvline(shape.x0, color=shape.line.color, linestyle=":")
    axes.set(title=fig.layout.title.text, xlabel=fig.layout.xaxis.title.text, ylabel=fig.layout.yaxis.title.text)
    axes.grid(alpha=0.3)
    if fig.layout.xaxis.type == "log":
        axes.set_xscale("log")
    if fig.layout.xaxis.tickvals:  # only where points are, as in the live figure
        axes.set_xticks(fig.layout.xaxis.tickvals, fig.layout.xaxis.ticktext)
        axes.minorticks_off()
    if fig.layout.yaxis.autorange == "reversed":
        axes.invert_yaxis()
        axes.margins(y=0.25)
    if names := axes.get_legend_handles_labels()[1]:
        where = {}
        if len(names) > len(COLOURS):  # beside the axes, so that it covers no line
            columns = -(-len(names) // 15)
            where = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "fontsize": 7, "ncols": columns}
        axes.legend(frameon=False, **where)
    out = io.BytesIO()
    canvas.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
