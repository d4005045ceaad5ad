"""Handwritten digits in three domains: the same ten classes, another scanner and resolution, another background.

"digits/mnist": 5,000 of MNIST's digits, 28 x 28, 500 a class (LeCun et al. 1998, "Gradient-based learning
applied to document recognition", Proc. IEEE 86). "digits/optical": 1,797 digits of 8 x 8 with 17 grey
levels (Alpaydin and Kaynak 1998, UCI repository). "digits/photos": the digits of "digits/mnist" over photographs,
28 x 28 in colour, |patch - digit|, MNIST-M-like: made as Ganin et al. 2016 (JMLR 17, arXiv:1505.07818) made MNIST-M
from other photographs, so scores are not comparable with theirs. One seed puts a digit into the same split of both:
none that is tested over photographs was learnt from without. No column names the writer, who may be on both sides of a
split: scores are a little too good.
"""

from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import interpolate

from ftlib import assets
from ftlib.io.refusals import whole_number
from ftlib.tasks.splits import group_stratified_split, make_splits
from ftlib.tasks.task import Split, Task

LARGEST = 224  # pixels a side: 3 GB for a moment, and a digit of 28 gains nothing by it
CARDS = ["mnist", "optical-digits", "digits-photos"]  # in data/cards/
DOMAINS = ("mnist", "optical", "photos")
# scikit-image's own photographs, without loss (PNG) and free (NASA's public domain and CC0)
PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel")


def load(domain: str | None, *, seed: int, n: int | None, size: int | None = None) -> Task:
    """size: pixels a side, by default the domain's own, 28 or 8; a model for several domains needs one size."""
    if domain is None:
        raise ValueError(f"digits come in several sizes: load one domain, digits/{', digits/'.join(DOMAINS)}")
    if size is not None:
        size = whole_number("size", size, 8, LARGEST, "pixels")
    pixels, digit = {"mnist": mnist, "optical": optical, "photos": photos}[domain]()
    pixels = torch.from_numpy(pixels)  # (N, C, S, S)
    if size and size != pixels.shape[-1]:
        wide = interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
        pixels = wide.round().to(torch.uint8)
    rows = group_stratified_split(np.arange(len(digit)), digit, seed=seed)
    splits = make_splits(Split(pixels, digit, 10), rows, digit, seed=seed, n=n)
    options = {"size": pixels.shape[-1]}
    return Task(f"digits/{domain}", "image", [str(k) for k in range(10)], "accuracy", splits, options)


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """uint8 (5000, 1, 28, 28) and the digits; the file has one image a line, its digit at the end."""
    table = np.loadtxt(assets.path("mnist"), delimiter=",", dtype=np.int64)
    return table[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28), table[:, -1]


def optical() -> tuple[np.ndarray, np.ndarray]:
    """uint8 (1797, 1, 8, 8) and the digits; grey 0..16 becomes 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return np.round(data.images * (255 / 16)).astype(np.uint8)[:, None], data.target.astype(np.int64)


@lru_cache(1)
def photos() -> tuple[np.ndarray, np.ndarray]:
    """uint8 (5000, 3, 28, 28) and the digits: |patch - digit|, the patch from the photograph and place that row i drew.

    The draw is the row's own and no seed's: the data set is always the same.
    """
    from skimage import data

    shots = [getattr(data, name)() for name in PHOTOGRAPHS]
    shots = [np.broadcast_to(shot[..., None] if shot.ndim == 2 else shot, (*shot.shape[:2], 3)) for shot in shots]
    digits, digit = mnist()
    out = np.empty((len(digits), 3, 28, 28), np.uint8)
    for i, pixels in enumerate(digits):
        rng = np.random.default_rng(i)
        shot = shots[rng.integers(len(shots))]
        top, left = (rng.integers(side - 27) for side in shot.shape[:2])
        patch = shot[top : top + 28, left : left + 28].transpose(2, 0, 1).astype(int)  # (3, 28, 28)
        out[i] = np.abs(patch - pixels)
    return out, digit
