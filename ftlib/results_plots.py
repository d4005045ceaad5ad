"""What a model gets right and wrong on a task: the confusion matrix, and its most confident mistakes.

`ftlib.plots` offers both, so learners find every figure in one place. They read validation unless told otherwise, and
each pass over a split is counted in `Task.reads`.
"""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ftlib.io.refusals import nearest, whole_number
from ftlib.plots import Figure, Picture, Shown, figure
from ftlib.training.scoring import predict_logits

__all__ = ["Table", "before_after", "confusion", "mistakes"]
SCALE = "Blues"  # light to dark of one colour: it reads without colour vision, and in grey
COLUMNS = 4  # images per row of a tile figure
TILE, DPI = 200, 100  # pixels per side of a tile, and per inch of a still


@dataclass(frozen=True)
class Table(Shown):
    """A table with a text alternative.

    Parameters
    ----------
    frame : DataFrame
        The rows.
    alt : str
        What the table shows, in words.

    Examples
    --------
    >>> shown = Table(pd.DataFrame({"true": ["b"]}), "One mistake.")
    >>> shown.alt, len(shown.frame)
    ('One mistake.', 1)
    """

    frame: pd.DataFrame
    alt: str

    def _repr_mimebundle_(self, *args, **kwargs) -> dict:
        with pd.option_context("display.max_colwidth", None):
            return {"text/html": self.frame.to_html(index=False), "text/plain": self.alt}


class Matrix(Figure):
    """A heat map whose still shows the same numbers."""

    def png(self) -> bytes:
        """A still, drawn without a browser."""
        from matplotlib.figure import Figure as Canvas

        trace = self.data[0]
        shares, k = np.array(trace.z, float), len(trace.x)
        canvas = Canvas(figsize=(7.2, self.layout.height / 100), dpi=DPI, layout="constrained")
        axes = canvas.subplots()
        shown = axes.imshow(np.nan_to_num(shares), cmap=SCALE, vmin=0, vmax=1, aspect="auto")
        for i, j in np.ndindex(k, k):
            dark = shares[i, j] > 0.5
            words = str(trace.text[i][j]).replace("<br>", "\n")
            axes.text(j, i, words, ha="center", va="center", color="white" if dark else "black", fontsize=_small(k))
        crowded = k * max(map(len, trace.x)) > 50  # letters that fit side by side
        axes.set_xticks(range(k), trace.x, rotation=45 if crowded else 0, ha="right" if crowded else "center")
        axes.set_yticks(range(k), trace.y)
        axes.set(xlabel=self.layout.xaxis.title.text, ylabel=self.layout.yaxis.title.text)
        canvas.suptitle(self.layout.title.text)
        canvas.colorbar(shown, label="share of the true class")
        return _png(canvas)


def confusion(
    model=None, task=None, split: str = "validation", *, true=None, predicted=None, labels=None, title: str = ""
) -> Figure:
    """Draw how often each class is taken for each other one.

    Parameters
    ----------
    model : Model, optional
        The model to ask.
    task : Task, optional
        The task that it was trained for.
    split : str, default "validation"
        The split to predict. The test split is read once, at the end.
    true, predicted : array of int, shape (N,), optional
        Class numbers, instead of a model and a task.
    labels : list of str, optional
        Class names for them. By default the task's, or the numbers.
    title : str, optional
        Title of the figure.

    Returns
    -------
    Figure
        A heat map. Each row is a true class, with counts and with their shares of the row.

    Raises
    ------
    ValueError
        If there are no classes, or the arrays do not fit.

    Examples
    --------
    >>> ftlib.plots.confusion(true=[0, 0, 1], predicted=[0, 1, 1], labels=["intact", "broken"]).alt
    'Confusion matrix of 3 examples, 2 of them right (66.7 %). intact: 1 of 2 right, 1 taken for broken. broken: ...'
    """
    if model is not None:
        out, names = _predicted(model, task, split), task.labels
        true, predicted = out["labels"].numpy(), out["logits"].argmax(1).numpy()
    elif true is None or predicted is None:
        raise ValueError("a confusion matrix needs a model and a task, or both true= and predicted=")
    else:
        names = labels
    true, predicted, names = _numbers(true, predicted, labels or names)
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (true, predicted), 1)
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    where = f" on {split}" if model is not None else ""
    heading = title or f"{np.trace(counts) / len(true):.1%} right{where}: true class against predicted".replace(
        "%", " %"
    )
    fig = Matrix(figure(heading, "predicted class", "true class", _in_words(counts, names, where)))
    text = [[_cell(c, s) for c, s in zip(*row)] for row in zip(counts, shares)]
    fig.add_heatmap(
        z=np.where(np.isnan(shares), None, shares).tolist(), x=names, y=names, text=text, texttemplate="%{text}",
        colorscale=SCALE, zmin=0, zmax=1, xgap=2, ygap=2, textfont={"size": _small(len(names)) + 3},
        colorbar={"title": {"text": "share of<br>the true class"}, "tickformat": ".0%"},
        hovertemplate="true %{y}, predicted %{x}: %{text}<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(type="category")
    fig.update_yaxes(type="category", autorange="reversed")
    return fig.update_layout(height=max(380, 120 + 45 * len(names)))


class Bars(Figure):
    """Two bars whose still shows the same numbers."""

    def png(self) -> bytes:
        """A still, drawn without a browser."""
        from matplotlib.figure import Figure as Canvas

        trace = self.data[0]
        canvas = Canvas(figsize=(7.2, self.layout.height / 100), dpi=80, layout="constrained")
        axes = canvas.subplots()
        drawn = axes.barh(trace.y, trace.x, color=list(trace.marker.color))
        axes.bar_label(drawn, list(trace.text), padding=4)
        axes.invert_yaxis()
        axes.set(title=self.layout.title.text, xlabel=self.layout.xaxis.title.text, xlim=(0, 1))
        return _png(canvas)


def before_after(
    before: float, after: float, title: str, label: str, names: tuple[str, str] = ("before", "after")
) -> Figure:
    """Draw a score before training and after it, or two other scores.

    Parameters
    ----------
    before, after : float
        The scores, in 0..1.
    title : str
        Title of the figure.
    label : str
        What the score is.
    names : tuple of str, default ("before", "after")
        What the bars are called.

    Returns
    -------
    Figure
        Two bars, with their numbers.

    Raises
    ------
    ValueError
        If a score is not a number in 0..1.

    Examples
    --------
    >>> ftlib.plots.before_after(0.5, 0.87, "Reviews", "right answers").alt
    'Two bars. Before: 50 % right answers. After: 87 %.'
    """
    for name, score in (("before", before), ("after", after)):
        if not 0 <= score <= 1:
            raise ValueError(f"{name} must be a score from 0 to 1, not {score!r}: give a share such as 0.87")
    words = [f"{100 * score:.0f} %" for score in (before, after)]
    first, second = (name[:1].upper() + name[1:] for name in names)
    alt = f"Two bars. {first}: {words[0]} {label}. {second}: {words[1]}."
    fig = Bars(figure(title, label, "", alt))
    fig.add_bar(
        x=[before, after], y=list(names), text=words, orientation="h", textposition="outside",
        marker_color=["#9aa5b1", "#0072b2"], hovertemplate="%{y}: %{text}<extra></extra>", cliponaxis=False,
    )  # fmt: skip
    fig.update_xaxes(range=[0, 1.08], tickformat=".0%")
    fig.update_yaxes(type="category", autorange="reversed")
    return fig.update_layout(height=220)


def mistakes(model, task, split: str = "validation", n: int = 8) -> Picture | Table:
    """Show the mistakes that a model is surest of.

    Parameters
    ----------
    model : Model
        The model to ask.
    task : Task
        The task that it was trained for.
    split : str, default "validation"
        The split to predict. The test split is read once, at the end.
    n : int, default 8
        Mistakes to show at most.

    Returns
    -------
    Picture or Table
        Images as tiles with true class, predicted class and its probability. Texts as a table with these columns.

    Raises
    ------
    ValueError
        If the task has no classes or no such split.

    Examples
    --------
    >>> task = ftlib.load_task("digits/optical", n=20)
    >>> model = ftlib.load_model("efficientnet-lite0", task)
    >>> print(ftlib.plots.mistakes(model, task, n=2).alt)
    The 2 most confident of ... mistakes among ... examples of validation. ...
    """
    n = whole_number("n", n, 1, unit="mistakes")
    out, part = _predicted(model, task, split), task.splits[split]
    sure, said = out["logits"].double().softmax(1).max(1)
    wrong = torch.nonzero(said != out["labels"])[:, 0]
    wrong = wrong[sure[wrong].argsort(descending=True, stable=True)]
    if not len(wrong):
        words = f"No mistakes: all {len(said):,} examples of {split} are right."
        return Table(pd.DataFrame({"result": [words]}), words)
    place = {int(index): row for row, index in enumerate(part.index)}
    rows = [place[int(out["index"][i])] for i in wrong[:n]]
    table = pd.DataFrame({
        "true": [task.labels[int(out["labels"][i])] for i in wrong[:n]],
        "predicted": [task.labels[int(said[i])] for i in wrong[:n]],
        "probability": [round(float(sure[i]), 3) for i in wrong[:n]],
    })  # fmt: skip
    alt = (
        f"The {len(table)} most confident of {len(wrong):,} mistakes among {len(said):,} examples of {split}. "
        if len(wrong) > 1 else f"The only mistake among {len(said):,} examples of {split}. "
    )  # fmt: skip
    told = [f"true {r.true}, predicted {r.predicted} ({r.probability:.3f})" for r in table.itertuples()]
    if task.kind == "image":
        return Picture(_tiles([part.inputs[row] for row in rows], table), alt + "; ".join(told) + ".")
    texts = [part.inputs[row] for row in rows]
    words = "; ".join(f"{text!r}: {one}" for text, one in zip(texts, told, strict=True))
    return Table(pd.DataFrame({"text": texts}).join(table), f"{alt}{words}.")


def _predicted(model, task, split: str) -> dict[str, torch.Tensor]:
    """Logits and labels of a split, which must have classes."""
    if not hasattr(task, "splits"):
        raise ValueError(f"a task of ftlib.load_task is needed to know the right answers, but it is {task!r}")
    if not task.labels or task.kind == "lm":
        raise ValueError(f"{task.name} has no classes to confuse: choose a task with labels for images or texts")
    if split not in task.splits:
        known = list(task.splits)
        raise ValueError(f"{task.name} has no split {split!r}: it has {', '.join(known)}{nearest(split, known)}")
    if getattr(model, "kind", None) != task.kind:
        reads = getattr(model, "kind", type(model).__name__)
        raise ValueError(f"the model reads {reads!r} and the task gives {task.kind!r}: give the model of this task")
    out = predict_logits(model, task.loader(split, tokenizer=getattr(model, "tokenizer", None)))
    if out["labels"].ndim == 2:  # probabilities of the classes
        out["labels"] = out["labels"].argmax(1)
    return out


def _numbers(true, predicted, names) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Class numbers that have names."""
    true, predicted = (np.asarray(one) for one in (true, predicted))
    if true.shape != predicted.shape or true.ndim != 1 or not len(true):
        raise ValueError(f"true and predicted must be equally long and not empty: {true.shape} and {predicted.shape}")
    if true.dtype.kind not in "iu" or predicted.dtype.kind not in "iu":
        raise ValueError("true and predicted must be class numbers, whole and from 0 on: take argmax of probabilities")
    highest = int(max(true.max(), predicted.max()))
    names = [str(name) for name in (range(highest + 1) if names is None else names)]
    if highest >= len(names) or min(true.min(), predicted.min()) < 0:
        raise ValueError(f"there are names for the classes 0 to {len(names) - 1}, but the arrays go up to {highest}")
    return true, predicted, names


def _in_words(counts: np.ndarray, names: list[str], where: str) -> str:
    right, n = int(np.trace(counts)), int(counts.sum())
    words = [f"Confusion matrix of {n:,} examples{where}, {right:,} of them right ({100 * right / n:.1f} %)."]
    for i, name in enumerate(names):
        total = counts[i].sum()
        others = [f"{counts[i, j]} taken for {names[j]}" for j in (-counts[i]).argsort(kind="stable")
                  if j != i and counts[i, j]]  # fmt: skip
        words.append(f"{name}: {', '.join([f'{counts[i, i]} of {total} right', *others])}." if total else
                     f"{name}: no example.")  # fmt: skip
    return " ".join(words)


def _cell(count: int, share: float) -> str:
    return "0" if not count else f"{count:,}<br>{100 * share:.0f} %"


def _small(k: int) -> int:
    """Points of the numbers in k x k cells."""
    return 11 if k <= 4 else 9 if k <= 8 else 8 if k <= 12 else 5


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"


def _tiles(images: list, table: pd.DataFrame) -> bytes:
    """Images side by side, with true class, predicted class and probability above each."""
    from matplotlib.figure import Figure as Canvas

    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    canvas = Canvas(figsize=(2.2 * columns, 2.85 * rows), dpi=DPI, layout="constrained")
    canvas.get_layout_engine().set(w_pad=0.06, h_pad=0.1)  # inches around each tile
    grid = canvas.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, pixels, row in zip(grid, images, table.itertuples()):
        pixels = pixels.permute(1, 2, 0).numpy()  # (H, W, C)
        top = 255 if pixels.dtype == np.uint8 else 1
        sharp = {"interpolation": "nearest"} if max(pixels.shape) <= TILE else {}  # larger ones are smoothed
        axes.imshow(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=top, **sharp)
        names = f"true: {_short(row.true)}\npredicted: {_short(row.predicted)}"
        axes.set_title(f"{names}\nprobability {row.probability:.2f}", fontsize=9, loc="left")
    return _png(canvas)


def _png(canvas) -> bytes:
    out = io.BytesIO()
    canvas.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
