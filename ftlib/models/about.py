"""What a model knows of itself: its base, its task, what goes in, and what `fit` did with it.

`models.load` writes it, `fit` adds a line per run, and `ftlib.save` keeps it in ftlib.json. It is no tensor and no
module, so state dicts, checkpoints and digests do not see it.
"""

import json
from dataclasses import field, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ftlib.io.typed import Count, Number, Text, Whole, entry

__all__ = ["About", "Preprocessing", "Training", "about_of"]


@entry
class Preprocessing:
    """How an input becomes a batch.

    Parameters
    ----------
    size : int, optional
        Pixels per side of an image. None leaves each image as large as it is.
    shape : {"stretch", "crop", "pad"}, default "stretch"
        How an image that is not square becomes square.
    channels : int, optional
        1 for grey images, 3 for colour. None takes both.
    max_length : int, optional
        Tokens per text. What is longer loses its end.

    Examples
    --------
    >>> Preprocessing(size=96, channels=1).shape
    'stretch'
    """

    size: Count | None = None
    shape: Literal["stretch", "crop", "pad"] = "stretch"
    channels: Literal[1, 3] | None = None
    max_length: Count | None = None


@entry
class Training:
    """One run of `fit`.

    Parameters
    ----------
    strategy : str
        The strategy in words, such as "LoRA(r=8, ...)".
    parts : list of dict
        The same as data, {name: hyperparameters} per part.
    steps : int
        Steps that were taken.
    planned : int
        Steps that were asked for. Early stopping or an interruption takes fewer.
    lr : float
        Peak learning rate.
    seed : int
        Seed of the run.
    precision : str
        Number format of the forward pass.
    date : str
        Day on which it ended.

    Examples
    --------
    >>> run = Training(strategy="Full()", parts=[{"Full": {}}], steps=9, planned=9, lr=1e-3, seed=0,
    ...                precision="float32", date="2026-01-31")
    >>> run.steps == run.planned
    True
    """

    strategy: Text
    parts: list[dict[str, dict[str, Any]]]
    steps: Whole
    planned: Count
    lr: Number
    seed: Whole
    precision: Text
    date: Text


@entry
class About:
    """What a model is, for those who use it.

    Parameters
    ----------
    base : str
        Name of the pretrained model, "minilm", or the name of its folder.
    kind : {"image", "text", "lm"}
        What it reads.
    task : str, optional
        Name of the task that it was loaded for.
    labels : list of str, optional
        Class names in the order of the outputs. Empty for a regression, for a language model and without a task.
    metric : str, optional
        The score by which it is judged.
    preprocessing : Preprocessing, optional
        How an input becomes a batch.
    data : dict of str to int, optional
        Number of examples in each split.
    trained : list of Training, optional
        The runs of `fit`, in order.
    questions : dict of str to list of str, optional
        Class names of the task's questions, for a model with a head for each. A number has none.

    Examples
    --------
    >>> text_model.about.kind, text_model.about.trained
    ('text', [])
    """

    base: Text
    kind: Literal["image", "text", "lm"]
    task: str | None = None
    labels: list[str] = field(default_factory=list)
    metric: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    data: dict[str, Whole] = field(default_factory=dict)
    trained: list[Training] = field(default_factory=list)
    questions: dict[str, list[str]] = field(default_factory=dict)

    @property
    def regression(self) -> bool:
        """Whether the answer is a number and no class."""
        return self.task is not None and self.kind != "lm" and not self.labels


def about_of(base: str, kind: str, task=None) -> About:
    """Describe a model that was loaded for a task, or for none.

    Parameters
    ----------
    base : str
        Name of the pretrained model.
    kind : {"image", "text", "lm"}
        What it reads.
    task : Task, optional
        The task.

    Returns
    -------
    About

    Examples
    --------
    >>> about_of("minilm", "text", ftlib.load_task("sentiment", n=10)).labels
    ['negative', 'positive']
    """
    if task is None:
        return About(base=base or "model", kind=kind)
    options, splits = getattr(task, "options", {}), getattr(task, "splits", {})
    first = next(iter(splits.values()), None)
    shape = getattr(getattr(first, "inputs", None), "shape", None)  # (N, C, H, W) of images
    way = Preprocessing(max_length=getattr(task, "max_length", None)) if kind != "image" else Preprocessing(
        size=options.get("size") or (shape[-1] if shape and shape[-1] == shape[-2] else None),
        shape=options.get("shape") or "stretch", channels=shape[1] if shape and shape[1] in (1, 3) else None,
    )  # fmt: skip
    return About(
        base=base or "model", kind=kind, task=getattr(task, "name", None), metric=getattr(task, "metric", None),
        labels=[str(label) for label in getattr(task, "labels", ())], preprocessing=way,
        data={name: len(split) for name, split in splits.items()}, questions=dict(getattr(task, "questions", {})),
    )  # fmt: skip


def note(model, strategy, parts: tuple, steps: int, planned: int, lr: float, seed: int, precision: str) -> None:
    """Add one run of `fit` to what a model knows of itself; a model that knows nothing of itself stays so."""
    if not isinstance(getattr(model, "about", None), About):
        return
    plain = [{type(part).__name__: _hyperparameters(part)} for part in parts]
    model.about.trained.append(
        Training(
            strategy=repr(strategy), parts=plain, steps=steps, planned=planned, lr=float(lr), seed=int(seed),
            precision=precision, date=f"{datetime.now(UTC):%Y-%m-%d}",
        )
    )  # fmt: skip


def _hyperparameters(part) -> dict:
    """The fields of a strategy as plain JSON; a value of another kind is there in words."""
    values = {one.name: getattr(part, one.name) for one in fields(part) if one.init} if is_dataclass(part) else {}
    return json.loads(json.dumps(values, default=repr))
