"""Augmentation: random changes of the training examples that keep their labels true.

    flip, crop, rotation   the same object from another viewpoint                 Simard et al., ICDAR 2003
    colour jitter          the same object in another light                       Howard, 2013, 1312.5402
    random erasing         hides a rectangle                                      Zhong et al., AAAI 2020, 1708.04896
    RandAugment            n of 14 operations, all of one strength                Cubuk et al., NeurIPS 2020, 1909.13719
    TrivialAugment         one of the 14 operations, of random strength           Müller & Hutter, ICCV 2021, 2103.10158
    token dropout          hides some words                                       Wei & Zou (EDA), 2019, 1901.11196
    span cut               hides a run of words                                   Shen et al., 2020, 2009.13818

All of them are the slot `transform`. `fit` calls it on training batches only, so validation and test data stay as they
are. A label must stay true. A solar cell may be flipped and turned by 180°, but a 6 turned by 180° is a 9. `policy`
returns the safe augmentation of a task, and `unsafe` finds the parts of a strategy that may change its labels. Black
rectangles make an intact solar cell look defective, so RandomErasing fills with noise. Methods that also change labels
are in strategies.mixing.

torchvision's transforms draw once per call, so once per batch. Here each image gets its own draw, and the whole batch
is still changed at once on its device. Each operation equals torchvision's operation on a single image, except that
interpolation is always bilinear. The random numbers come from torch's generators, which `fit` seeds and saves, so the
same seed gives the same images.

Costs: a few passes over the pixels, which is little compared with the network. But the outputs of frozen stages can't
be reused (ftlib.training.frozen_features), since each example changes from epoch to epoch. Lesson:
notebooks/08_augmentation.

Letters: B examples, C channels, H x W pixels, T tokens.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv

from ftlib.strategy import Strategy, check_range, check_share, parts_of, require_column

# ---- images


@dataclass
class ImageAugmentation(Strategy):
    """Base class of image augmentation: changes batch["pixels"], floats in 0..1 of shape (B, 1 or 3, H, W)."""

    role = "augment"
    reads = "pictures"

    def transform(self, batch: dict) -> dict:
        x = require_column(batch, "pixels", self)
        if x.ndim != 4 or x.shape[1] not in (1, 3) or not x.is_floating_point():
            raise ValueError(
                f"{self} changes pixels, floats in 0..1 of shape (B, 1 or 3, H, W), but these are {str(x.dtype)[6:]} "
                f"of shape {tuple(x.shape)}: take a loader's batch, or convert them first"
            )
        return {**batch, "pixels": self.change(x)}

    def change(self, x: Tensor) -> Tensor:
        """The images, each changed by its own draw."""
        raise NotImplementedError


@dataclass
class Flip(ImageAugmentation):
    """Flip each image at random, with probability 1/2 for each kind of flip that is switched on.

    Parameters
    ----------
    horizontal : bool, default True
        Swap left and right. Most photographs stay plausible, so this is the only default.
    vertical : bool, default False
        Swap top and bottom.
    turn : bool, default False
        Turn by 180°, which is both flips at once. It adds nothing if both are on.

    References
    ----------
    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document
    Analysis", ICDAR 2003.

    Examples
    --------
    >>> image = torch.tensor([[0.0, 0.25], [0.5, 0.75]]).repeat(3, 1, 1, 1)  # three copies
    >>> _ = torch.manual_seed(0)
    >>> strategies.Flip().transform({"pixels": image})["pixels"][:, 0].tolist()
    [[[0.25, 0.0], [0.75, 0.5]], [[0.0, 0.25], [0.5, 0.75]], [[0.25, 0.0], [0.75, 0.5]]]
    """

    horizontal: bool = True
    vertical: bool = False
    turn: bool = False

    def change(self, x: Tensor) -> Tensor:
        for on, dims in ((self.horizontal, [-1]), (self.vertical, [-2]), (self.turn, [-2, -1])):
            x = torch.where(coins(x), x.flip(dims), x) if on else x
        return x


@dataclass
class Crop(ImageAugmentation):
    """Cut out a random part of each image and resize it to the full size.

    If ten random shapes don't fit into the image, it stays as it is.

    Parameters
    ----------
    area : list of float, default [0.6, 1.0]
        Smallest and largest share of the image that is kept, in (0, 1]. ImageNet's 0.08 would lose small defects.
    ratio : list of float, default [3/4, 4/3]
        Smallest and largest height over width of the part, above 0. The default is torchvision's.

    Raises
    ------
    ValueError
        If `area` or `ratio` isn't a pair of rising numbers in its range.

    References
    ----------
    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document
    Analysis", ICDAR 2003.

    Examples
    --------
    A quarter of the area is half of the width, so it holds half of the grey values of this ramp.

    >>> ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    >>> seen = strategies.Crop(area=[0.25, 0.25], ratio=[1, 1]).transform({"pixels": ramp})["pixels"]
    >>> round(float(seen.max() - seen.min()), 1)
    0.5
    """

    area: list = field(default_factory=lambda: [0.6, 1.0])
    ratio: list = field(default_factory=lambda: [3 / 4, 4 / 3])

    def __post_init__(self):
        check_range(self, "area", 0, 1)
        check_range(self, "ratio", 0, math.inf)

    def change(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        top, left, h, w, found = boxes(x, self.area, self.ratio)
        h, w = torch.where(found, h, H), torch.where(found, w, W)
        top, left = top * found, left * found  # where nothing fits, the whole image
        return warp(x, {(0, 0): w / W, (0, 2): left + w / 2 - W / 2, (1, 1): h / H, (1, 2): top + h / 2 - H / 2})


@dataclass
class Rotation(ImageAugmentation):
    """Rotate each image about its centre by a random angle.

    Corners outside of the image are black.

    Parameters
    ----------
    degrees : float, default 10.0
        Largest angle to the left and to the right, in 0 to 180 degrees. A camera is rarely tilted by more than 10°.

    Raises
    ------
    ValueError
        If `degrees` is out of its range.

    References
    ----------
    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document
    Analysis", ICDAR 2003.

    Examples
    --------
    The centre of a white image stays white, and the corners turn black.

    >>> white = {"pixels": torch.ones(1, 1, 33, 33)}
    >>> _ = torch.manual_seed(1)
    >>> pixels = strategies.Rotation(degrees=45).transform(white)["pixels"][0, 0]
    >>> round(float(pixels[16, 16]), 2), round(float(pixels[0, 0]), 2)
    (1.0, 0.0)
    """

    degrees: float = 10.0

    def __post_init__(self):
        check_share(self, "degrees", 180)

    def change(self, x: Tensor) -> Tensor:
        return turned(x, draw(x, -self.degrees, self.degrees))


@dataclass
class ColorJitter(ImageAugmentation):
    """Change the brightness, then the contrast, then the saturation of each image at random.

    Each is multiplied by its own factor, drawn evenly from 1 − a to 1 + a, where a is the parameter of that name.

    Parameters
    ----------
    brightness : float, default 0.2
        Largest relative change, in 0 to 1. Cameras and exposure times differ by about 20 %.
    contrast : float, default 0.2
        Largest relative change, in 0 to 1.
    saturation : float, default 0.0
        Largest relative change, in 0 to 1. Grey images have no saturation, so the default is 0.

    Raises
    ------
    ValueError
        If one of them is out of its range.

    References
    ----------
    Howard, "Some Improvements on Deep Convolutional Neural Network Based Image Classification", 2013, arXiv:1312.5402.

    Examples
    --------
    >>> grey = {"pixels": torch.full((4, 1, 8, 8), 0.5)}
    >>> _ = torch.manual_seed(0)
    >>> pixels = strategies.ColorJitter(brightness=0.2, contrast=0.0).transform(grey)["pixels"]
    >>> [round(value, 2) for value in pixels[:, 0, 0, 0].tolist()]  # 0.5 times a factor from 0.8 to 1.2
    [0.5, 0.55, 0.42, 0.43]
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.0

    def __post_init__(self):
        for knob in ("brightness", "contrast", "saturation"):
            check_share(self, knob, 1)

    def change(self, x: Tensor) -> Tensor:
        for name, most in (("Brightness", self.brightness), ("Contrast", self.contrast), ("Color", self.saturation)):
            x = OPERATIONS[name](x, draw(x, -most, most)) if most else x
        return x


@dataclass
class RandomErasing(ImageAugmentation):
    """Hide a random rectangle of each image with probability p.

    Parameters
    ----------
    p : float, default 0.5
        Probability, in 0 to 1. The default is the paper's.
    area : list of float, default [0.02, 0.33]
        Smallest and largest hidden share of the image, in (0, 1]. The default is torchvision's.
    fill : {"noise", "black"}, default "noise"
        Values of the hidden pixels. Black is torchvision's default. A black rectangle looks like a broken area of a
        solar cell, so the default here is noise.

    Raises
    ------
    ValueError
        If `p` or `area` is out of its range, or if `fill` is unknown.

    References
    ----------
    Zhong, Zheng, Kang, Li and Yang, "Random Erasing Data Augmentation", AAAI 2020, arXiv:1708.04896.

    Examples
    --------
    >>> erase = strategies.RandomErasing(p=1.0, area=[0.25, 0.25], fill="black")
    >>> pixels = erase.transform({"pixels": torch.ones(1, 1, 64, 64)})["pixels"]
    >>> round(float(pixels.mean()), 1) in (0.7, 0.8)  # a quarter is black
    True
    """

    p: float = 0.5
    area: list = field(default_factory=lambda: [0.02, 0.33])
    fill: str = "noise"

    def __post_init__(self):
        check_share(self, "p", 1)
        check_range(self, "area", 0, 1)
        if self.fill not in ("noise", "black"):
            raise ValueError(f'fill must be "noise" or "black", but it is {self.fill!r}: take one of these')

    def change(self, x: Tensor) -> Tensor:
        top, left, h, w, found = (t.view(-1, 1, 1, 1) for t in boxes(x, self.area, [0.3, 1 / 0.3]))
        row, column = torch.arange(x.shape[-2], device=x.device)[:, None], torch.arange(x.shape[-1], device=x.device)
        inside = (top <= row) & (row < top + h) & (left <= column) & (column < left + w)  # (B, 1, H, W)
        noise = torch.rand_like(x) if self.fill == "noise" else x.new_zeros(())
        return torch.where(inside & found & coins(x, self.p), noise, x)


@dataclass
class RandAugment(ImageAugmentation):
    """Apply n random operations in a row to each image, all at the same strength.

    Each of the n is drawn from 14 operations, such as shear, rotation, contrast and posterize.

    Parameters
    ----------
    n : int, default 2
        Number of operations per image, at least 1. Both defaults are torchvision's.
    magnitude : int, default 9
        Strength of the operations, in 0 to 30.

    Raises
    ------
    ValueError
        If `n` or `magnitude` is out of its range.

    References
    ----------
    Cubuk, Zoph, Shlens and Le, "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space",
    NeurIPS 2020, arXiv:1909.13719.

    Examples
    --------
    Its rotations are 9° each at this strength, so two of them turn an image by up to 18°. Digits allow only 15°.

    >>> strategies.augmentation.unsafe(strategies.RandAugment(n=2, magnitude=9), "digits")
    ['RandAugment(n=2, magnitude=9) turns by up to 18°, but digits allows 15° at most: choose less, or another one']
    """

    n: int = 2
    magnitude: int = 9

    def __post_init__(self):
        if not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"n counts operations: it must be a whole number from 1 on, not {self.n}")
        check_share(self, "magnitude", BINS - 1)

    def change(self, x: Tensor) -> Tensor:
        far = {"TranslateX": 150 / 331 * x.shape[-1], "TranslateY": 150 / 331 * x.shape[-2]}
        for _ in range(self.n):
            x = one_operation_each(x, MOST | far, torch.full((len(x),), self.magnitude / (BINS - 1)))
        return x


@dataclass
class TrivialAugment(ImageAugmentation):
    """Apply one random operation at a random strength to each image.

    There is no hyperparameter to tune, and many of the changes are strong. It turns images by up to 135° and shifts
    them by up to 32 pixels, whatever their size. It was made for photographs of objects, not for digits.

    References
    ----------
    Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021,
    arXiv:2103.10158.

    Examples
    --------
    >>> image = torch.rand(1, 3, 32, 32).repeat(64, 1, 1, 1)  # 64 copies of one image
    >>> pixels = strategies.TrivialAugment().transform({"pixels": image})["pixels"]
    >>> len(pixels.unique(dim=0)) > 32  # most copies are different now
    True
    """

    def change(self, x: Tensor) -> Tensor:
        return one_operation_each(x, MOST_WIDE, torch.randint(BINS, (len(x),)) / (BINS - 1))


BINS = 31  # strengths from nothing (0) to the most (30)
# Each operation at full strength: shear, pixels, degrees, change of a factor, bits lost, 1 − threshold.
MOST = {"Identity": 0.0, "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 0.0, "TranslateY": 0.0, "Rotate": 30.0}
MOST |= dict.fromkeys(["Brightness", "Color", "Contrast", "Sharpness"], 0.9)
MOST |= {"Posterize": 4.0, "Solarize": 1.0, "AutoContrast": 0.0, "Equalize": 0.0}
MOST_WIDE = {**MOST, **dict.fromkeys(["ShearX", "ShearY", "Brightness", "Color", "Contrast", "Sharpness"], 0.99)}
MOST_WIDE |= {"TranslateX": 32.0, "TranslateY": 32.0, "Rotate": 135.0, "Posterize": 6.0}
SIGNED = list(MOST)[:10]  # go either way
OPERATIONS = {  # (images (B, C, H, W), strength of each (B,)) -> images
    "Identity": lambda x, m: x,
    "ShearX": lambda x, m: warp(x, {(0, 1): m, (0, 2): m * x.shape[-2] / 2}),  # the top row stays
    "ShearY": lambda x, m: warp(x, {(1, 0): m, (1, 2): m * x.shape[-1] / 2}),
    "TranslateX": lambda x, m: warp(x, {(0, 2): -m.trunc()}),
    "TranslateY": lambda x, m: warp(x, {(1, 2): -m.trunc()}),
    "Rotate": lambda x, m: turned(x, m),
    "Brightness": lambda x, m: blend(x, torch.zeros_like(x), m),
    "Color": lambda x, m: blend(x, grey(x), m),
    "Contrast": lambda x, m: blend(x, grey(x).mean((1, 2, 3), keepdim=True), m),
    "Sharpness": lambda x, m: blend(x, blurred(x), m),
    "Posterize": lambda x, m: posterized(x, (8 - m).round().view(-1, 1, 1, 1)),
    "Solarize": lambda x, m: torch.where(x >= 1 - m.view(-1, 1, 1, 1), 1 - x, x),
    "AutoContrast": lambda x, m: tv.autocontrast(x),  # these two need no strength, and treat each image by itself
    "Equalize": lambda x, m: tv.equalize(x),
}


def one_operation_each(x: Tensor, most: dict[str, float], share: Tensor) -> Tensor:
    """A random operation for each image, at its share (B,) of the full strength; equal operations run as one batch."""
    which, sign = torch.randint(len(most), (len(x),)), torch.where(torch.rand(len(x)) < 0.5, -1, 1)
    out = x.clone()
    for i, (name, largest) in enumerate(most.items()):
        rows = (which == i).nonzero()[:, 0]
        if len(rows):
            strength = largest * share[rows] * (sign[rows] if name in SIGNED else 1)
            rows = rows.to(x.device)
            out[rows] = OPERATIONS[name](x[rows], strength.to(x))
    return out


def draw(x: Tensor, low: float, high: float) -> Tensor:
    """One uniform draw per image, (B,), from the CPU's generator, so that CPU and GPU get the same draws."""
    return (low + (high - low) * torch.rand(len(x))).to(x)


def coins(x: Tensor, p: float = 0.5) -> Tensor:
    """One coin per image, (B, 1, 1, 1), true with probability p."""
    return (torch.rand(len(x)) < p).to(x.device).view(-1, 1, 1, 1)


def boxes(x: Tensor, area: list, ratio: list) -> tuple[Tensor, ...]:
    """(top, left, height, width, found), each (B,), in whole pixels: the first of ten drawn shapes that fits."""
    (B, _, H, W), shape = x.shape, (10, len(x))
    size = H * W * (area[0] + (area[1] - area[0]) * torch.rand(shape))
    log_low, log_high = (math.log(r) for r in ratio)
    tall = (log_low + (log_high - log_low) * torch.rand(shape)).exp()  # height over width
    h, w = (size * tall).sqrt().round(), (size / tall).sqrt().round()  # (10, B)
    fits = (h >= 1) & (h <= H) & (w >= 1) & (w <= W)
    first = fits.int().argmax(0), torch.arange(B)
    h, w = h[first], w[first]
    top, left = ((torch.rand(B) * (room + 1)).floor() for room in (H - h, W - w))
    return *(t.to(x) for t in (top, left, h, w)), fits.any(0).to(x.device)


def warp(x: Tensor, cells: dict[tuple[int, int], Tensor]) -> Tensor:
    """Apply an affine map to each image; pixels from outside of the image are black.

    The pixel at p = (across, down) from the centre gets the value at M (p, 1). `cells` gives entries of M (2, 3), one
    number per image (B,). The other entries are those of the identity.
    """
    H, W = x.shape[-2:]
    M = torch.eye(2, 3, dtype=x.dtype, device=x.device).repeat(len(x), 1, 1)
    for (i, j), value in cells.items():
        M[:, i, j] = value
    M *= M.new_tensor([[1, H / W, 2 / W], [W / H, 1, 2 / H]])  # from pixels to -1..1, as grid_sample has it
    return F.grid_sample(x, F.affine_grid(M, list(x.shape), align_corners=False), align_corners=False)


def turned(x: Tensor, degrees: Tensor) -> Tensor:
    """Each image, turned to the left by its own angle (B,)."""
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    return warp(x, {(0, 0): cos, (0, 1): -sin, (1, 0): sin, (1, 1): cos})


def blend(x: Tensor, other: Tensor, m: Tensor) -> Tensor:
    """x + m (x − other), m (B,): the other image at m = −1, x at 0, further away from the other image above 0."""
    return (x + m.view(-1, 1, 1, 1) * (x - other)).clamp(0, 1)


def grey(x: Tensor) -> Tensor:
    return x if x.shape[1] == 1 else tv.rgb_to_grayscale(x)  # (B, 1, H, W)


def blurred(x: Tensor) -> Tensor:
    """Mean of each pixel and its eight neighbours, weighted 5 to 1; the border stays as it is."""
    kernel, out = x.new_ones(x.shape[1], 1, 3, 3), x.clone()
    kernel[..., 1, 1] = 5
    out[..., 1:-1, 1:-1] = F.conv2d(x, kernel / 13, groups=x.shape[1])
    return out


def posterized(x: Tensor, bits: Tensor) -> Tensor:
    """Round down to 2^bits grey levels; bits (B, 1, 1, 1)."""
    levels = 2**bits
    return torch.minimum((x * levels).floor(), levels - 1) / levels


# ---- texts


@dataclass
class OnTexts(Strategy):
    """Base class of text augmentation: hides tokens in batch["attention_mask"] (B, T), but never the first one.

    No other token attends to a hidden token, and it doesn't enter the mean that is the feature of the sentence. The
    other tokens keep their positions.
    """

    role = "augment"
    reads = "texts"

    def prepare(self, model: nn.Module) -> nn.Module:
        if (kind := getattr(model, "kind", None)) != "text":
            raise ValueError(
                f"{self} needs an encoder, whose attention mask says which tokens are seen, but this model's kind is "
                f"{kind!r}: load one such as minilm, or leave it out"
            )
        return model

    def transform(self, batch: dict) -> dict:
        mask = require_column(batch, "attention_mask", self)
        hidden = self.hidden(mask.cpu()).to(mask.device)
        hidden[:, 0] = False
        return {**batch, "attention_mask": mask.masked_fill(hidden, 0)}

    def hidden(self, mask: Tensor) -> Tensor:
        """(B, T), true where a token is hidden."""
        raise NotImplementedError


@dataclass
class TokenDropout(OnTexts):
    """Hide each token with probability p.

    Parameters
    ----------
    p : float, default 0.1
        Probability, in 0 to 1. EDA uses 0.1. Iyyer et al. use 0.3 for averages of words.

    Raises
    ------
    ValueError
        If `p` is out of its range, or if the model isn't a text encoder.

    References
    ----------
    Wei and Zou, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks", 2019,
    arXiv:1901.11196.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> strategies.TokenDropout(p=0.3).transform({"attention_mask": torch.ones(2, 8)})["attention_mask"].int().tolist()
    [[1, 1, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0, 1]]
    """

    p: float = 0.1

    def __post_init__(self):
        check_share(self, "p", 1)

    def hidden(self, mask: Tensor) -> Tensor:
        return torch.rand(mask.shape) < self.p


@dataclass
class SpanCut(OnTexts):
    """Hide one run of tokens in each text, at a random place.

    Parameters
    ----------
    share : float, default 0.15
        Length of the run as a share of the text, in 0 to 1. The paper searches from 0.05 to 0.3.

    Raises
    ------
    ValueError
        If `share` is out of its range, or if the model isn't a text encoder.

    References
    ----------
    Shen, Zheng, Shen, Qu and Chen, "A Simple but Tough-to-Beat Data Augmentation Approach for Natural Language
    Understanding and Generation", 2020, arXiv:2009.13818.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> strategies.SpanCut(share=0.4).transform({"attention_mask": torch.ones(2, 8)})["attention_mask"].int().tolist()
    [[1, 1, 1, 0, 0, 0, 1, 1], [1, 1, 1, 1, 0, 0, 0, 1]]
    """

    share: float = 0.15

    def __post_init__(self):
        check_share(self, "share", 1)

    def hidden(self, mask: Tensor) -> Tensor:
        words = mask.sum(1, keepdim=True) - 1  # (B, 1), without the first token
        length = (self.share * words).round()
        start = 1 + (torch.rand(len(mask), 1) * (words - length + 1)).floor()
        place = torch.arange(mask.shape[1])  # (T,)
        return (start <= place) & (place < start + length)


# ---- what is safe

OWN = ("folder", "table", "chats")  # the user's own data: only the user knows what is safe for them
# What a strategy changes, by the word that the user allows it with in load_task(…, safe=[…]).
NEEDS = {"Crop": "crop", "Rotation": "rotation", "ColorJitter": "colour", "RandomErasing": "erasing"}
NEEDS |= {"RandAugment": "colour", "TrivialAugment": "colour", "TokenDropout": "words", "SpanCut": "words"}
FLIPS, TURN = ("horizontal", "vertical", "turn"), 15.0  # degrees: what "rotation" allows
# The augmentation that keeps labels true, per family of tasks: the fields of Flip, and the largest rotation in degrees.
SAFE = {
    "elpv": ({"horizontal": True, "vertical": True, "turn": False}, 5.0),  # both flips make the turn by 180°
    "digits": ({}, 15.0),  # a flipped 2 is no digit, and a turned 6 is a 9
    "fashion": ({"horizontal": True}, 10.0),  # a sandal points left or right, but its sole is at the bottom
}


def policy(task) -> list[dict]:
    """The augmentation that keeps the labels of a task true.

    Parameters
    ----------
    task : str or Task
        The task or its name, such as "elpv/mono". Own data need the task, loaded with `safe`, the user's own answer.

    Returns
    -------
    list of dict
        The parts of a strategy in the form of a `Spec`. `strategies.build` makes a strategy of them.

    Raises
    ------
    ValueError
        If nothing is known about the task, or the user of own data was not asked.

    Examples
    --------
    >>> policy("digits")[1]
    {'Rotation': {'degrees': 15.0}}
    """
    flips, degrees, words = safe_for(task)
    parts = {"Crop": {}, "Rotation": {"degrees": degrees}, "ColorJitter": {}, "RandomErasing": {}, "TokenDropout": {}}
    rest = [{name: knobs} for name, knobs in parts.items() if NEEDS[name] in words]
    return ([{"Flip": flips}] if any(flips.values()) else []) + rest


def unsafe(strategy: Strategy, task) -> list[str]:
    """Find the parts of a strategy that may change the labels of a task.

    Training doesn't refuse such parts, since their effect is worth seeing.

    Parameters
    ----------
    strategy : Strategy
    task : str or Task
        The task or its name, such as "elpv/mono". Own data need the task, loaded with `safe`.

    Returns
    -------
    list of str
        One sentence per part. It is empty if the strategy is safe.

    Raises
    ------
    ValueError
        If nothing is known about the task.

    Examples
    --------
    >>> unsafe(Flip(horizontal=True), "digits")
    ['Flip(horizontal=True, vertical=False, turn=False) may change the labels of digits (horizontal): switch that off']
    """
    flips, degrees, words = safe_for(task)
    task, own = getattr(task, "name", task), hasattr(task, "safe") and task.safe is not None
    allowed, out = {name for name, on in flips.items() if on}, []
    for part in parts_of(strategy):
        need = NEEDS.get(type(part).__name__, "rotation")  # rotations are judged by their angle, below
        if own and need not in {*words, "rotation"}:
            out.append(f"{part} may change the labels of {task}: {need!r} is not among what is safe, leave it out")
        asked = {name for name in FLIPS if isinstance(part, Flip) and getattr(part, name)}
        wrong = asked - allowed - ({"turn"} if {"horizontal", "vertical"} <= allowed else set())
        if wrong:
            out.append(f"{part} may change the labels of {task} ({', '.join(sorted(wrong))}): switch that off")
        if (turn := most_turned(part)) > degrees:
            limit = f"{task} allows {degrees:g}° at most"
            out.append(f"{part} turns by up to {turn:g}°, but {limit}: choose less, or another one")
    return out


def most_turned(part: Strategy) -> float:
    """The largest angle, in degrees, by which it turns an image, apart from flips."""
    if isinstance(part, RandAugment):
        return part.n * part.magnitude / (BINS - 1) * MOST["Rotate"]
    return {Rotation: getattr(part, "degrees", 0.0), TrivialAugment: MOST_WIDE["Rotate"]}.get(type(part), 0.0)


def safe_for(task) -> tuple[dict[str, bool], float, list[str]]:
    """(flips, degrees, words of NEEDS) that keep the labels true; ValueError where nobody has said it."""
    name, words = getattr(task, "name", task), getattr(task, "safe", None)
    if name.partition(":")[0] in OWN:
        if words is None:
            how = "load it with safe=['horizontal', 'crop', …], or safe=[] for none, and give the task itself"
            raise ValueError(f"only you know which changes keep the labels of {name} true: {how}")
        return {kind: kind in words for kind in FLIPS}, TURN if "rotation" in words else 0.0, words
    if (family := family_of(name)) == "sentiment":
        return {}, 0.0, ["words"]
    return *SAFE[family], ["crop", "rotation", "colour", "erasing"]


def family_of(task: str) -> str:
    """The family of a task, "elpv" for "elpv/mono+noise3"; ValueError if nothing is known about it."""
    family = task.partition("+")[0].partition("/")[0]
    if family not in {*SAFE, "sentiment"}:
        raise ValueError(f"it isn't known what is safe for {task!r}: choose a task of {', '.join(SAFE)} or sentiment")
    return family
