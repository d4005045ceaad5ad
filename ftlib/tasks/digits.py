"""Handwritten digits from two sources: the same ten classes, another scanner and resolution.

"digits/mnist": 5,000 of MNIST's digits, 28 x 28, 500 a class (LeCun et al. 1998, "Gradient-based learning
applied to document recognition", Proc. IEEE 86). "digits/optical": 1,797 digits of 8 x 8 with 17 grey
levels (Alpaydin and Kaynak 1998, UCI repository). No column names the writer, who may be on both sides of a
split: scores are a little too good.
"""

import numpy as np
import torch
from torch.nn.functional import interpolate

from ftlib import assets
from ftlib.tasks.splits import assign, make_splits
from ftlib.tasks.task import Split, Task

DOMAINS = ("mnist", "optical")


def load(domain: str | None, *, seed: int, n: int | None, size: int | None = None) -> Task:
    """size: pixels a side, by default the source's own, 28 or 8; a model for both sources needs one size."""
    if domain is None:
        raise ValueError("digits come in two sizes, one a source: load 'digits/mnist' or 'digits/optical'")
    if size is not None and (not isinstance(size, int) or size < 8):
        raise ValueError(f"size must be a whole number of at least 8 pixels, not {size!r}")
    pixels, digit = mnist() if domain == "mnist" else optical()
    pixels = torch.from_numpy(pixels)[:, None]  # (N, 1, S, S)
    if size and size != pixels.shape[-1]:
        wide = interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
        pixels = wide.round().to(torch.uint8)
    rows = assign(np.arange(len(digit)), digit, seed=seed)
    splits = make_splits(Split(pixels, digit, 10), rows, digit, seed=seed, n=n)
    options = {"size": pixels.shape[-1]}
    return Task(f"digits/{domain}", "image", [str(k) for k in range(10)], "accuracy", splits, options)


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """uint8 (5000, 28, 28) and the digits; the file has one image a line, its digit at the end."""
    table = np.loadtxt(assets.path("mnist"), delimiter=",", dtype=np.int64)
    return table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1]


def optical() -> tuple[np.ndarray, np.ndarray]:
    """uint8 (1797, 8, 8) and the digits; grey 0..16 becomes 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return np.round(data.images * (255 / 16)).astype(np.uint8), data.target.astype(np.int64)
