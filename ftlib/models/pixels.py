"""Any image that a learner has, a file, an image of PIL or an array, as the pixels that a model was trained on."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ftlib.models.about import Preprocessing

BILINEAR = Image.Resampling.BILINEAR  # antialiased, as the tasks resize
MODES = {1: "L", 3: "RGB"}
DEEP = 257  # 65535 / 255: from 16 bits to 8


def as_pixels(given, way: Preprocessing, at: str = "the image") -> Tensor:
    """Floats in 0..1 of shape (C, S, S). A float array that already has this form keeps its values.

    Everything else goes through eight bits, as images in files do. ValueError for what is no image.
    """
    if isinstance(given, np.ndarray | Tensor):
        array = _array(given, at)  # (C, H, W)
        right = way.size is None or tuple(array.shape[1:]) == (way.size, way.size)
        if array.is_floating_point() and right and way.channels in (None, len(array)):
            return array
        if array.is_floating_point():
            array = (array * 255).round().to(torch.uint8)
        image = Image.fromarray(np.ascontiguousarray(array.permute(1, 2, 0).squeeze(2).numpy()))
    else:
        image = given if isinstance(given, Image.Image) else open_image(given, at)
    image = _square(_channels(image, way.channels), way)
    array = torch.from_numpy(np.array(image))  # (S, S) or (S, S, 3)
    return (array[None] if array.ndim == 2 else array.permute(2, 0, 1)).float() / 255


def open_image(file, at: str = "the image") -> Image.Image:
    """The image in a file, or in an open one, upright. ValueError for a file that is not there or holds none."""
    if isinstance(file, str | Path):
        at, file = str(file), Path(file)
        if file.is_dir():
            raise ValueError(f"{at} is a folder: give the images in it, as a list of their paths")
        if not file.is_file():
            raise ValueError(f"there is no file {at}: this model reads images, so give the path of one, or its pixels")
    try:
        with Image.open(file) as image:
            return ImageOps.exif_transpose(image).copy()  # a phone writes which side is up into the file
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        why = "is no image" if isinstance(error, UnidentifiedImageError) else f"is damaged or too large ({error})"
        raise ValueError(f"{at} {why}: give an image file, such as a PNG or a JPEG") from None


def _array(given, at: str) -> Tensor:
    """(C, H, W), uint8 or float32 in 0..1."""
    array = torch.as_tensor(np.array(given)) if isinstance(given, np.ndarray) else given.detach().cpu()
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and array.shape[0] not in MODES and array.shape[2] in MODES:
        array = array.permute(2, 0, 1)
    if array.ndim != 3 or array.shape[0] not in MODES or not array.numel():
        raise ValueError(
            f"{at} has the shape {tuple(given.shape)}: an image is (H, W), (C, H, W) or (H, W, C) with 1 or 3 channels"
        )
    if array.dtype == torch.uint8:
        return array
    if not array.is_floating_point():
        raise ValueError(f"{at} holds {str(array.dtype)[6:]}: pixels are uint8 in 0..255 or floats in 0..1")
    if not bool(torch.isfinite(array).all()) or array.min() < 0 or array.max() > 1:
        low, high = float(array.min()), float(array.max())
        raise ValueError(f"{at} has pixels from {low:g} to {high:g}: floats must be in 0..1, so divide by the maximum")
    return array.float()


def eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and float images in 0..255; Pillow alone would cut off what is above 255."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode[0] not in "IF":
        return image
    values = np.asarray(image, np.float64)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    top = 65535 if image.mode.startswith("I;16") else values.max()
    scale = 255.0 if top <= 1 and image.mode == "F" else 1.0 if top <= 255 else 1 / DEEP if top <= 65535 else 255 / top
    return Image.fromarray((values * scale).round().clip(0, 255).astype(np.uint8))


def _channels(image: Image.Image, channels: int | None) -> Image.Image:
    """Grey or colour, as the model was trained; without a rule as the image is."""
    image = eight_bits(image)
    grey = image.mode in ("L", "LA")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:  # on white, as own images are read
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(MODES[channels or (1 if grey else 3)])


def _square(image: Image.Image, way: Preprocessing) -> Image.Image:
    if way.size is None:
        return image
    size = (way.size, way.size)
    if way.shape == "stretch":
        return image.resize(size, BILINEAR)
    return (ImageOps.fit if way.shape == "crop" else ImageOps.pad)(image, size, BILINEAR)
