"""Fashion-MNIST: 70,000 pieces of clothing, 28 x 28 grey, ten classes. MNIST's shape, but harder.

Optional. It is used where Debian's package `dataset-fashion-mnist` is installed, or where `folder=` or the
variable FTLIB_FASHION names a folder with the four files. Its own 10,000 test images stay the test,
whatever the seed; 15 % of the other 60,000 are for validation. Licence: MIT.

Xiao, Rasul and Vollgraf 2017, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms", arXiv:1708.07747.
"""

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
import torch

from ftlib import assets
from ftlib.tasks.splits import group_stratified_split, make_splits
from ftlib.tasks.task import Split, Task

CARDS = ["fashion-mnist"]  # in data/cards/
DOMAINS = ()
CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
DEBIAN = "/usr/share/datasets/fashion-mnist"


def load(domain: None, *, seed: int, n: int | None, folder: str | None = None) -> Task:
    """folder: where the four idx files are, if not where Debian puts them."""
    if not isinstance(folder, str | os.PathLike | None):
        raise ValueError(f"folder must be the name of the folder with the four files, not {folder!r}")
    where = assets.user_path(folder or os.environ.get("FTLIB_FASHION") or DEBIAN)
    if missing := [name for name in FILES if not (where / name).is_file()]:
        raise FileNotFoundError(
            f"Fashion-MNIST is not in {where} ({', '.join(missing)} missing): install Debian's package "
            f"dataset-fashion-mnist, or name the folder with folder=... or FTLIB_FASHION"
        )
    train, train_labels, test, test_labels = (idx(where / name) for name in FILES)
    labels = np.concatenate([train_labels, test_labels]).astype(np.int64)
    rows = group_stratified_split(np.arange(len(train)), train_labels, seed=seed, test=0)
    rows["test"] = np.arange(len(train), len(labels))
    whole = Split(torch.from_numpy(np.concatenate([train, test]))[:, None], labels, len(CLASSES))
    splits = make_splits(whole, rows, labels, seed=seed, n=n)
    return Task("fashion", "image", CLASSES, "accuracy", splits)


def idx(file: Path) -> np.ndarray:
    """An idx file of bytes: 0, 0, 8, the number of axes, each axis in four bytes, then the numbers."""
    packed = file.read_bytes()
    try:
        content = gzip.decompress(packed)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        content = b""  # refused below
    axes = content[3] if content[:3] == b"\0\0\x08" else 0
    shape = np.frombuffer(content, ">u4", axes, offset=4) if axes else np.array([-1])
    if len(content) != 4 + 4 * axes + shape.prod(dtype=np.int64):
        raise ValueError(f"{file} should be a complete idx file of bytes and is not: fetch it again")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
