"""ELPV: 2,624 solar cells photographed by electroluminescence. Is the cell intact or defective?

An expert gave each cell a probability p of being defective: 0, 1/3, 2/3 or 1. `target` says what is learnt
from it. "defect": p > 0.5. "soft": trained on (1 - p, p), judged on "defect". "type": mono- or
polycrystalline. Only 31 % are defective, and always saying "intact" is right in 69 % of the cases: balanced
accuracy is the metric.

The same cells can be asked two more questions, whose labels travel in each batch: "elpv@type", mono- or
polycrystalline, and "elpv@probability", the number p itself.

The cells were cut out of photographed modules and lie in their order, but no column names the module. Cells
of one module share camera, age and damage: a random split puts them on both sides, and its score says how
well the model knows *these* modules. protocol "block" keeps modules together. "random" is for standing
beside Deitsch et al. 2019, "Automatic classification of defective photovoltaic module cells in
electroluminescence images", Solar Energy 185 (arXiv:1807.02894): 1,968 cells to learn and choose from, 656
to test, stratified by type and p. Images: CC BY-NC-SA 4.0, not shipped with this kit.
"""

import hashlib
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from warnings import warn

import numpy as np
import torch
from PIL import Image

from ftlib import assets
from ftlib.io.refusals import whole_number
from ftlib.tasks.checks import choose
from ftlib.tasks.splits import group_stratified_split, make_splits
from ftlib.tasks.task import Split, Task

CARDS = ["elpv"]  # in data/cards/
DOMAINS = ("mono", "poly")
CLASSES = {"defect": ["intact", "defective"], "soft": ["intact", "defective"], "type": ["mono", "poly"]}
QUESTIONS = {"type": CLASSES["type"], "probability": []}  # column -> its classes; a number has none
# Cells of each module, in file order. Inferred, not stated by the authors: most modules have 60 cells, and
# brightness and contrast jump after each (3.5 times as much as in the middle of a module); where they jump
# earlier, the module has lost cells.
MODULES = [60] * 20 + [54] + [60] * 9 + [50] + [60] * 5 + [72] + [60] * 3 + [48] + [60] * 3
DRAWS = 20  # modules differ (0 to 93 % defective), so the evenest of 20 drawn splits is used
VALIDATION = 0.3  # of what is not tested: ten modules, since five are too few to choose a learning rate by
LARGEST = 512  # pixels a side: 0.7 GB, and the originals have 300
HEADER = 128  # bytes before the numbers in such a .npy file


def load(
    domain: str | None, *, seed: int, n: int | None, target: str = "defect", protocol: str = "block", size: int = 96
) -> Task:
    """size: pixels a side, resized once with antialiasing (the originals have 300)."""
    choose("target", target, list(CLASSES))
    choose("protocol", protocol, ["block", "random"])
    size = whole_number("size", size, 8, LARGEST, "pixels")
    if target == "type" and domain:
        raise ValueError(f"target='type' needs cells of both types: load 'elpv', not 'elpv/{domain}'")
    p, kind = table()
    defective = (p > 0.5).astype(int)
    module = np.repeat(np.arange(len(MODULES)), MODULES)
    if protocol == "random":
        rows = group_stratified_split(np.arange(len(p)), 4 * kind + np.round(3 * p).astype(int), seed=seed)
    else:
        rows = group_stratified_split(module, defective, kind, seed=seed, draws=DRAWS, validation=VALIDATION)
    columns = {"domain": torch.tensor(kind), "probability": torch.tensor(p, dtype=torch.float32)}
    columns["type"] = columns["domain"]
    whole = Split(images(size), kind if target == "type" else defective, 2, columns, groups=module)
    keep = kind == DOMAINS.index(domain) if domain else None
    splits = make_splits(whole, rows, 2 * kind + defective, seed=seed, n=n, keep=keep)
    if target == "soft":
        p = splits["train"].columns["probability"]
        splits["train"] = replace(splits["train"], labels=torch.stack([1 - p, p], 1))  # (N, 2)
    name = f"elpv/{domain}" if domain else "elpv"
    metric = "accuracy" if target == "type" else "balanced_accuracy"
    options = {"target": target, "protocol": protocol, "size": size}
    one_type = bool(domain) or target == "type"  # cells of one type only, or asked for their type already
    questions = {which: classes for which, classes in QUESTIONS.items() if which != "type" or not one_type}
    return Task(name, "image", CLASSES[target], metric, splits, options, questions=questions)


def table() -> tuple[np.ndarray, np.ndarray]:
    """Each cell's probability of being defective and its type (0 mono, 1 poly), in file order."""
    rows = [line.split() for line in (assets.path("elpv") / "labels.csv").read_text().splitlines()]
    return np.array([float(row[1]) for row in rows]), np.array([DOMAINS.index(row[2]) for row in rows])


@lru_cache(2)
def images(size: int) -> torch.Tensor:
    """All cells, uint8 (2624, 1, S, S): decoded once for each size, then read from the cache folder.

    A cached file whose bytes are not those that were written, by their sha256 beside it, is made anew.
    """
    size = whole_number("size", size, 8, LARGEST, "pixels")
    file, count = assets.home() / "cache" / f"elpv-{size}.npy", sum(MODULES)
    if (content := _kept(file)) is not None and len(content) == HEADER + count * size**2:
        return torch.from_numpy(content[HEADER:].reshape(count, 1, size, size))
    cells, folder = np.empty((count, size, size), np.uint8), assets.path("elpv", thorough=True) / "images"
    for i in range(count):
        with Image.open(folder / f"cell{i + 1:04}.png") as cell:
            cells[i] = cell.resize((size, size), Image.Resampling.BILINEAR)  # antialiased
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with assets.aside(file.parent, "elpv") as part, assets.naming(file):  # it clears what killed processes left
            np.save(part / file.name, cells)
            (part / "digest").write_text(assets.sha256(part / file.name))
            os.replace(part / file.name, file)
            os.replace(part / "digest", _digest(file))
    except OSError as error:  # a full disk, or a class's folder that only the lecturer may write to
        warn(
            f"{file} could not be written ({error.strerror or error}), so the images are decoded anew in each process: "
            f"make room, or set FTLIB_HOME to a folder that you can write to",
            stacklevel=2,
        )
    return torch.from_numpy(cells)[:, None]


def _kept(file: Path) -> np.ndarray | None:
    """The file's bytes, or None where it is not there or does not have the sha256 that is written beside it."""
    try:
        digest = _digest(file).read_text(encoding="ascii")
        content = np.fromfile(file, np.uint8)
    except (OSError, ValueError):
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def _digest(file: Path) -> Path:
    return file.with_suffix(".sha256")
