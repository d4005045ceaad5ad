"""One image file → pixels, whatever it holds: 16 bits, a palette, CMYK, transparency, a turned camera, an animation.

The file is read once: its bytes give the hash that finds duplicates and the pixels. JPEGs are decoded at about the size
that is needed, which saves most of the time for photographs.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ftlib.models.pixels import eight_bits
from ftlib.tasks.own import sha256

SHAPES = ("crop", "pad", "stretch")
WHITE = (255, 255, 255, 255)
UNREADABLE = {".heic", ".heif", ".svg", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".pdf"}  # images, but not here


@dataclass(frozen=True)
class Picture:
    """A file's pixels, or the reason why there are none."""

    pixels: np.ndarray | None = None  # (1 or 3, S, S) uint8
    content: str = ""  # hash of the file
    problem: str = ""
    frames: int = 1


def suffixes() -> set[str]:
    """The endings of files that Pillow can open, and of those that people take for images."""
    Image.init()
    return {end for end, form in Image.registered_extensions().items() if form in Image.OPEN} | UNREADABLE


def read(file: Path, size: int, shape: str) -> Picture:
    """The image of a file, its sides `size` pixels long; a file that cannot be read gives a problem."""
    try:
        content = file.read_bytes()
    except OSError as error:
        return Picture(problem=f"it cannot be read ({error.strerror or error})")
    if file.suffix.lower() in UNREADABLE:
        return Picture(problem=f"{file.suffix} files are not read here, save it as JPEG or PNG")
    if not content:
        return Picture(problem="the file is empty")
    try:
        with Image.open(io.BytesIO(content)) as image:
            if (count := image.width * image.height) > Image.MAX_IMAGE_PIXELS:
                most = f"more than {Image.MAX_IMAGE_PIXELS / 1e6:.0f} million"
                return Picture(problem=f"it has {count / 1e6:.0f} million pixels, {most}, save it smaller")
            pixels = to_pixels(image, size, shape)
            return Picture(pixels, sha256(content), frames=getattr(image, "n_frames", 1))
    except Exception as error:  # of a damaged file Pillow's readers raise whatever goes wrong in them
        return Picture(problem=_why(error))


def _why(error: Exception) -> str:
    """What is wrong with the file, in a few words."""
    words = str(error).lower()
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels, save it smaller"
    if "truncated" in words or isinstance(error, EOFError):
        return "it is truncated"
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no image that can be read"
    return f"it is damaged ({str(error) or type(error).__name__})".replace("\n", " ")


def to_pixels(image: Image.Image, size: int, shape: str) -> np.ndarray:
    """(1, S, S) of a grey image, (3, S, S) of a coloured one, uint8: upright, on white, its first frame."""
    if image.format == "JPEG":
        image.draft(None, (2 * size, 2 * size))  # decode at half, a quarter or an eighth, but never below this
    image = eight_bits(upright(image))
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image)
    image = image if image.mode == "L" else image.convert("RGB")
    image = fit(image, size, shape)
    pixels = np.asarray(image)
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    return pixels[None].copy() if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy()


def upright(image: Image.Image) -> Image.Image:
    """As the camera was held, if the file says so."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF data that no reader understands are left aside, the pixels are good
        return image


def fit(image: Image.Image, size: int, shape: str) -> Image.Image:
    """The middle square ("crop"), the whole with black margins ("pad"), or the whole distorted ("stretch")."""
    square, how = (size, size), Image.Resampling.BILINEAR  # antialiased
    if shape == "stretch":
        return image.resize(square, how)
    return (ImageOps.fit if shape == "crop" else ImageOps.pad)(image, square, how)
