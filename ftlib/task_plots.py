"""A task → something to look at: tiles of images with their labels, or a table of texts. `ftlib.plots` offers it."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from ftlib import plots
from ftlib.io.refusals import nearest, whole_number
from ftlib.tasks import Task

SIDE, WORDS = 120, 18  # pixels of a tile, and of the line below it
INK, PAPER = (20, 20, 20), (255, 255, 255)


def examples(task: Task, n: int = 12, split: str = "train", seed: int = 0) -> "plots.Picture | pd.DataFrame":
    """Show some examples of a task with their labels, the classes in turn.

    Parameters
    ----------
    task : Task
        As `ftlib.load_task` gives it.
    n : int, default 12
        Number of examples.
    split : str, default "train"
        The split that they come from. The test split isn't shown, since who looks at it chooses by it.
    seed : int, default 0
        Draws the examples.

    Returns
    -------
    Picture or DataFrame
        Tiles of images, or a table of texts with the columns text and label (or prompt and answer).

    Raises
    ------
    ValueError
        If there is no such split, or it is the test split.

    Examples
    --------
    >>> print(ftlib.plots.examples(ftlib.load_task("digits/mnist", n=40), n=3).alt)
    3 examples of digits/mnist, train: 0, 1, 2.
    """
    n, seed = whole_number("n", n, 1), whole_number("seed", seed, 0)
    known = [name for name in task.splits if name != "test"]
    if split not in known:
        raise ValueError(f"examples are shown of {' or '.join(known)}, not of {split!r}{nearest(split, known)}")
    part = task.splits[split]
    rows = _in_turn(part.labels.numpy(), n, seed) if task.labels else _some(len(part), n, seed)
    if task.kind == "lm":
        shown = {"prompt": part.columns["prompt"], "answer": part.columns["answer"]}
        return pd.DataFrame({name: [column[i] for i in rows] for name, column in shown.items()})
    names = [_label(task, part.labels[i]) for i in rows]
    if task.kind == "text":
        return pd.DataFrame({"text": [part.inputs[i] for i in rows], "label": names})
    pixels = part.inputs if part.inputs.dtype.is_floating_point else part.inputs / 255
    tiles = [(255 * pixels[int(i)]).round().byte().permute(1, 2, 0).numpy() for i in rows]
    return plots.image(_sheet(tiles, names), f"{len(rows)} examples of {_name(task)}, {split}: {', '.join(names)}.")


def _name(task: Task) -> str:
    """The task's name; of own data that of the folder or file, without its path."""
    return Path(task.name.partition(":")[2]).name or task.name


def _label(task: Task, label) -> str:
    if not task.labels:
        return f"{float(label):.2f}"
    return str(task.labels[int(label.argmax()) if label.ndim else int(label)])


def _some(size: int, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(size)[:n]


def _in_turn(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """n rows: the first of each class, then the second of each, and so on."""
    labels = labels.argmax(-1) if labels.ndim == 2 else labels
    order = np.random.default_rng(seed).permutation(len(labels))
    drawn = labels[order]
    place = np.empty(len(order), int)
    for k in np.unique(drawn):
        place[drawn == k] = np.arange((drawn == k).sum())
    return order[np.lexsort((drawn, place))][:n]


def _sheet(tiles: list[np.ndarray], names: list[str]) -> np.ndarray:
    """Tiles of one size in equal rows of six at most, each with its name below."""
    down = -(-len(tiles) // 6)
    across = -(-len(tiles) // down)
    sheet = Image.new("RGB", (across * (SIDE + 6), down * (SIDE + WORDS + 6)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (tile, name) in enumerate(zip(tiles, names)):
        x, y = number % across * (SIDE + 6) + 3, number // across * (SIDE + WORDS + 6)
        image = Image.fromarray(tile.squeeze(-1) if tile.shape[-1] == 1 else tile).convert("RGB")
        sheet.paste(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x, y))
        while name and draw.textlength(name, font) > SIDE:
            name = name[:-2] + "…" if len(name) > 2 else ""
        draw.text((x, y + SIDE + 1), name, INK, font)
    return np.asarray(sheet)
