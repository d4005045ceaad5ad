"""Corrupted pictures: five kinds at five strengths, by torchvision and Pillow, the same for each picture every time.

"elpv+noise4" is ELPV with noise of strength 4 in all of its splits: the task and its labels are the same, what the
camera gives differs. The idea, not the code or the strengths, is that of Hendrycks & Dietterich, "Benchmarking Neural
Network Robustness to Common Corruptions and Perturbations", ICLR 2019 (arXiv:1903.12261).
"""

import io
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ftlib.io.refusals import nearest

# kind -> the knob at strengths 1 to 5
STRENGTHS = {
    "noise": (0.03, 0.06, 0.10, 0.15, 0.22),  # standard deviation, of pixels in 0..1
    "blur": (0.6, 1.0, 1.5, 2.2, 3.0),  # of a Gaussian, in pixels
    "contrast": (0.7, 0.5, 0.35, 0.25, 0.15),  # share of the contrast that is left
    "brightness": (1.25, 1.5, 1.8, 2.2, 2.8),  # factor; what is above white is cut off
    "jpeg": (40, 25, 15, 8, 4),  # quality in per cent
}
NAMES = [f"{kind}{strength}" for kind in STRENGTHS for strength in range(1, 6)]


def corrupt(pixels: Tensor, index: Tensor, name: str) -> Tensor:
    """Corrupt images.

    Parameters
    ----------
    pixels : Tensor of uint8, shape (N, C, S, S)
        Images of at least 16 pixels per side.
    index : Tensor of int, shape (N,)
        Numbers of the images. Each number has its own noise.
    name : str
        A kind and a strength from 1 to 5, such as "noise4". The kinds are noise, blur, contrast, brightness and jpeg.

    Returns
    -------
    Tensor of uint8, shape (N, C, S, S)
        The same result each time.

    Raises
    ------
    ValueError
        If there is no such corruption, or the images are not as said above.

    References
    ----------
    .. [1] Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
       ICLR 2019, arXiv:1903.12261.

    Examples
    --------
    >>> grey = torch.full((2, 1, 16, 16), 128, dtype=torch.uint8)
    >>> noisy = corrupt(grey, torch.arange(2), "noise3")
    >>> bool((noisy[0] == noisy[1]).all()), torch.equal(noisy, corrupt(grey, torch.arange(2), "noise3"))
    (False, True)
    """
    known(name)
    if pixels.dtype != torch.uint8:
        raise ValueError(f"pictures to be corrupted must be uint8 in 0..255, but {pixels.dtype} came: convert them")
    if min(pixels.shape[-2:]) < 16:
        raise ValueError(f"pictures to be corrupted need 16 pixels a side, but these have {tuple(pixels.shape[-2:])}")
    kind, knob = name[:-1], STRENGTHS[name[:-1]][int(name[-1]) - 1]
    return _noise(pixels, index, knob) if kind == "noise" else _WAYS[kind](pixels, knob)


def known(name: str) -> str:
    """`name` if there is such a corruption; else a ValueError."""
    if name not in NAMES:
        kinds = f"choose {', '.join(STRENGTHS)} and a strength, 1 to 5{nearest(name, NAMES)}"
        raise ValueError(f"there is no corruption {name!r}: {kinds}")
    return name


def _noise(pixels: Tensor, index: Tensor, deviation: float) -> Tensor:
    seeds = (torch.Generator().manual_seed(int(i)) for i in index)
    drawn = torch.stack([torch.randn(pixels.shape[1:], generator=seed) for seed in seeds])
    return (pixels + 255 * deviation * drawn).round().clamp(0, 255).to(torch.uint8)


def _blur(pixels: Tensor, deviation: float) -> Tensor:
    return F.gaussian_blur(pixels, 2 * round(3 * deviation) + 1, deviation)


def _jpeg(pixels: Tensor, quality: int) -> Tensor:
    return torch.stack([_saved(picture, quality) for picture in pixels])


def _saved(picture: Tensor, quality: int) -> Tensor:
    """One picture (C, S, S), written as JPEG and read again; by Pillow, since torchvision's codec is on its way out."""
    with io.BytesIO() as file:
        F.to_pil_image(picture).save(file, "JPEG", quality=quality)
        return F.pil_to_tensor(Image.open(file))


_WAYS: dict[str, Callable] = {
    "blur": _blur,
    "contrast": F.adjust_contrast,
    "brightness": F.adjust_brightness,
    "jpeg": _jpeg,
}
