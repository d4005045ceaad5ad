"""predict(): what a model says of a learner's own images and texts, in words and probabilities."""

import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from ftlib.models.about import About
from ftlib.models.pixels import as_pixels
from ftlib.networks import Heads
from ftlib.training.machine import model_device, to_device

__all__ = ["Prediction", "predict"]
TOGETHER = 32  # inputs per batch
SHOWN = 5  # classes in a printed prediction, the most probable first


@dataclass(frozen=True)
class Prediction:
    """What a model says of one input.

    Parameters
    ----------
    input : str
        The text, the file, or the shape of the pixels.
    label : str or None
        The most probable class, or a language model's answer. None for a regression.
    probability : float or None
        Its probability, in 0..1. None where the model gives none.
    probabilities : dict of str to float
        The probability of each class. Empty where the model gives none.
    value : float or None
        The number that a regression gives.

    Examples
    --------
    >>> Prediction("What a film!", "positive", 0.9, {"negative": 0.1, "positive": 0.9})
    positive (90.0 %), negative (10.0 %)
    """

    input: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    value: float | None = None

    def __repr__(self) -> str:
        if self.value is not None:
            return f"{self.value:.3f}"
        if not self.probabilities:
            return str(self.label)
        ranked = sorted(self.probabilities.items(), key=lambda one: -one[1])
        rest = f" and {len(ranked) - SHOWN} more" if len(ranked) > SHOWN else ""
        return ", ".join(f"{label} ({p:.1%})".replace("%", " %") for label, p in ranked[:SHOWN]) + rest


def predict(model: nn.Module, inputs, *, task=None, head: str | None = None) -> Prediction | pd.DataFrame:
    """Ask a model about images or texts of your own.

    Parameters
    ----------
    model : Model
        A model of `ftlib.load_model` or `ftlib.load`. It is left in evaluation mode.
    inputs : str, Path, PIL image, array, tensor, or a list of them
        For an image model the path of an image, an image of PIL, or its pixels: (H, W), (C, H, W) or (H, W, C), as
        uint8 or as floats in 0..1. Four dimensions are a batch of images. For a text model or a language model a text.
        An image of another size is resized as the task's images were.
    task : str or Task, optional
        Which task is asked, for a model with a head per task: "elpv@type". By default the main one. A task brings its
        class names along. By its name alone, the classes of another data set are only numbered.
    head : str, optional
        Name of the head, for a model with several that no tasks are named by.

    Returns
    -------
    Prediction or DataFrame
        For one input its `label`, `probability` and `probabilities`, or the `value` of a regression. For several a
        table with the columns input, label, probability and one per class. A regression has the columns input and
        value, and a language model input and answer.

    Raises
    ------
    ValueError
        If an input is nothing that the model reads. The sentence names the first one.

    Examples
    --------
    >>> answer = ftlib.predict(picture_model, np.zeros((8, 8), np.uint8))
    >>> answer.label, 0 <= answer.probability <= 1
    ('class 1', True)
    >>> list(ftlib.predict(picture_model, torch.rand(2, 1, 8, 8)).columns)
    ['input', 'label', 'probability', 'class 0', 'class 1', 'class 2']
    """
    if task is not None and head is not None:
        raise ValueError(f"task and head both name a head, {task!r:.50} and {head!r}: give one of them")
    head = head if task is None else getattr(task, "head", task)
    about = _of_head(model, _about(model, head), head, task)
    items, one = as_items(inputs, about.kind)
    if about.kind == "lm":
        found = [Prediction(text, answer) for text, answer in zip(items, model.generate(items), strict=True)]
    else:
        found = answers(about, [name_of(item) for item in items], logits_of(model, about, items, head))
    return found[0] if one else as_table(found, about)


def as_items(inputs, kind: str) -> tuple[list, bool]:
    """(the single inputs, whether only one was given). ValueError for what this kind of model does not read."""
    if isinstance(inputs, pd.DataFrame):  # its items would be the names of its columns
        there = ", ".join(map(str, inputs.columns))
        raise ValueError(f"predict takes inputs, but it got a table with the columns {there}: give one, table[column]")
    one = isinstance(inputs, str | Path | Image.Image)
    if isinstance(inputs, Tensor) or (isinstance(inputs, np.ndarray) and inputs.dtype.kind in "biufc"):
        if kind != "image":
            raise ValueError(
                f"this model reads texts, not numbers of shape {tuple(inputs.shape)}: give a text or a list"
            )
        one, inputs = inputs.ndim < 4, list(inputs) if inputs.ndim == 4 else inputs
    elif not one and (isinstance(inputs, dict | bytes) or not isinstance(inputs, Iterable)):
        wants = "the path of an image, an image of PIL, or its pixels" if kind == "image" else "a text"
        raise ValueError(f"this model reads {wants}, or a list of them, but it got {reprlib.repr(inputs)}")
    items = [inputs] if one else list(inputs)
    if not items:
        raise ValueError("there is nothing to predict: the list is empty, so give at least one input")
    fits = str | Path | Image.Image | np.ndarray | Tensor if kind == "image" else str
    for number, item in enumerate(items):
        if not isinstance(item, fits):
            what = f"the {type(item).__name__} {reprlib.repr(item)}"
            wants = "images: paths, images of PIL, or pixels" if kind == "image" else "texts"
            raise ValueError(f"this model reads {wants}, but input {number} is {what}: give another input")
        if kind != "image" and not item.strip():
            raise ValueError(f"input {number} is an empty text: give at least one word")
        if kind != "image" and any("\ud800" <= letter <= "\udfff" for letter in item):
            raise ValueError(f"input {number} is no valid Unicode: read its file with the encoding that it has")
    return items, one


@torch.no_grad()
def logits_of(model: nn.Module, about: About, items: list, head: str | None = None) -> Tensor:
    """(N, K) in float32, on the CPU."""
    model.eval()
    rows = []
    for batch in _batches(model, about, items):
        batch = batch if head is None else {**batch, "task": head}
        rows.append(model(to_device(batch, model_device(model))).float().cpu())
    return torch.cat(rows)


def answers(about: About, names: list[str], logits: Tensor) -> list[Prediction]:
    """One prediction per row of logits."""
    if about.regression:
        return [Prediction(name, value=float(row[0])) for name, row in zip(names, logits, strict=True)]
    k = logits.shape[1]
    labels = about.labels if len(about.labels) == k else [f"class {i}" for i in range(k)]
    found = []
    for name, row in zip(names, logits.double().softmax(1).tolist(), strict=True):
        best = int(np.argmax(row))
        found.append(Prediction(name, labels[best], row[best], dict(zip(labels, row, strict=True))))
    return found


def as_table(found: list[Prediction], about: About) -> pd.DataFrame:
    """The predictions as a table, one row per input."""
    table = pd.DataFrame({"input": [one.input for one in found]})
    if about.regression:
        return table.assign(value=[one.value for one in found])
    if about.kind == "lm":
        return table.assign(answer=[one.label for one in found])
    table["label"], table["probability"] = [one.label for one in found], [one.probability for one in found]
    classes = pd.DataFrame([one.probabilities for one in found])
    taken = {"input", "label", "probability"}  # a class of this name gets another column
    return table.join(classes.rename(columns=lambda name: f"p({name})" if name in taken else name))


def name_of(item) -> str:
    """What stands for an input in a table."""
    if isinstance(item, str | Path):
        return str(item)
    if isinstance(item, Image.Image):
        return getattr(item, "filename", "") or f"image, {item.width} x {item.height}"
    return f"pixels, {' x '.join(map(str, item.shape))}"


def _about(model: nn.Module, head: str | None) -> About:
    """What the model knows of itself; ValueError for one that cannot be asked."""
    kind = getattr(model, "kind", None)
    if not isinstance(model, nn.Module) or kind not in ("image", "text", "lm"):
        raise ValueError(f"predict needs a model of ftlib.load_model or ftlib.load, not {reprlib.repr(model)}")
    if kind != "image" and getattr(model, "tokenizer", None) is None:
        raise ValueError(
            "this model has no tokenizer to read texts with: set model.tokenizer, or load it from a folder"
        )
    if isinstance(model.head, nn.Identity):
        raise ValueError(
            f"{model.name} has no head, so it answers nothing: load it with a task, load_model(name, task)"
        )
    heads = list(model.head) if isinstance(model.head, nn.ModuleDict) else []
    about = getattr(model, "about", None) or About(base=getattr(model, "name", None) or "model", kind=kind)
    if isinstance(model.head, Heads):  # the main one answers where none is named
        model.head.of(head)
    elif head not in (heads or [None]) and (heads or head != about.task):
        there = f"has the heads {', '.join(heads)}" if heads else "has one head without a name"
        do = f"head={heads[0]!r}, for example" if heads else "leave head out"
        raise ValueError(f"the model {there}, and head is {head!r}: {do}")
    return about


def _of_head(model: nn.Module, about: About, head: str | None, task=None) -> About:
    """What the model knows of the task that a head answers. Classes whose names nobody knows are numbered."""
    if head is None or not isinstance(model.head, Heads) or head == model.head.main:
        return about
    base, _, which = head.rpartition("@")
    labels = getattr(task, "labels", None if base != about.task else about.questions.get(which))
    if labels is None:
        outputs = [*model.head.of(head).parameters()][-1].shape[0]
        labels = [f"class {k}" for k in range(outputs)] if outputs > 1 else []
    return replace(about, task=head, labels=list(labels))


def _batches(model: nn.Module, about: About, items: list) -> Iterable[dict[str, Tensor]]:
    if about.kind == "image":
        pixels = [as_pixels(item, about.preprocessing, _place(item, i)) for i, item in enumerate(items)]
        size = TOGETHER if len({one.shape for one in pixels}) == 1 else 1
        for start in range(0, len(pixels), size):
            yield {"pixels": torch.stack(pixels[start : start + size])}
        return
    cut = {"truncation": True, "max_length": about.preprocessing.max_length or model.context}
    for start in range(0, len(items), TOGETHER):
        rows = model.tokenizer(items[start : start + TOGETHER], padding=True, return_tensors="pt", **cut)
        yield {name: rows[name] for name in ("input_ids", "attention_mask")}


def _place(item, number: int) -> str:
    return str(item) if isinstance(item, str | Path) else f"image {number}"
