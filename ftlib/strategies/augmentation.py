"""Augmentation: other pictures and texts than those in the file, but with the same meaning.

    flip, crop, rotation   the same thing, seen from elsewhere                    Simard et al., ICDAR 2003
    colour jitter          the same thing in another light                        Howard, 2013, 1312.5402
    random erasing         a rectangle is hidden                                  Zhong et al., AAAI 2020, 1708.04896
    RandAugment            n of 14 operations, all of one strength                Cubuk et al., NeurIPS 2020, 1909.13719
    TrivialAugment         one of the 14, of any strength: nothing to tune        Müller & Hutter, ICCV 2021, 2103.10158
    token dropout          some words are hidden                                  Wei & Zou (EDA), 2019, 1901.11196
    span cut               a run of words is hidden                               Shen et al., 2020, 2009.13818

All are the slot `transform`, which `fit` calls on training batches alone: validation and test see what is in the file.
A label must stay true: a solar cell may be flipped and turned by 180°, but a 6 that is turned is a 9. `policy` says
what is safe for a task, `unsafe` what is not. Black rectangles make an intact cell look defective, so RandomErasing
fills with noise. What changes labels, too, is in strategies.mixing.

torchvision's transforms draw once a call, so once a batch. Here each picture has its own draw and the whole batch is
still changed at once, on its device; each operation equals torchvision's on one picture (bilinear, where it would take
the nearest pixel). Draws come from torch's generators, which `fit` seeds and saves: the same seed, the same pictures.

Costs: some passes over the pixels, little beside the network's. But frozen stages are no longer computed once
(ftlib.training.frozen_features), since an example is another one each time. Lesson: notebooks/08_augmentation.

Letters: B examples, C channels, H x W pixels, T tokens.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv

from ftlib.strategy import Strategy, parts_of, require_column

# ---- pictures


@dataclass
class OnPictures(Strategy):
    """What all that change pictures share: batch["pixels"], floats in 0..1, (B, 1 or 3, H, W), in and out."""

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
        """The pictures, each changed by its own draw."""
        raise NotImplementedError


@dataclass
class Flip(OnPictures):
    """Each picture is mirrored with probability ½, in each way that is switched on, independently."""

    horizontal: bool = True  # left and right
    vertical: bool = False  # top and bottom
    turn: bool = False  # by 180°, which is both at once; with both on it changes nothing more

    def change(self, x: Tensor) -> Tensor:
        for on, dims in ((self.horizontal, [-1]), (self.vertical, [-2]), (self.turn, [-2, -1])):
            x = torch.where(coins(x), x.flip(dims), x) if on else x
        return x


@dataclass
class Crop(OnPictures):
    """A random part of each picture, stretched to the whole: nearer, shifted, and a little out of shape."""

    area: list = field(default_factory=lambda: [0.6, 1.0])  # share that is seen; ImageNet's 0.08 loses small defects
    ratio: list = field(default_factory=lambda: [3 / 4, 4 / 3])  # height over width, as in torchvision

    def __post_init__(self):
        check_range(self, "area", 0, 1)
        check_range(self, "ratio", 0, math.inf)

    def change(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        top, left, h, w, found = boxes(x, self.area, self.ratio)
        h, w = torch.where(found, h, H), torch.where(found, w, W)
        top, left = top * found, left * found  # where nothing fits, the whole picture
        return warp(x, {(0, 0): w / W, (0, 2): left + w / 2 - W / 2, (1, 1): h / H, (1, 2): top + h / 2 - H / 2})


@dataclass
class Rotation(OnPictures):
    """Each picture is turned about its centre, to the left or right; corners that come in are black."""

    degrees: float = 10.0  # at most, either way; a hand or a camera is rarely further off

    def __post_init__(self):
        check_share(self, "degrees", 180)

    def change(self, x: Tensor) -> Tensor:
        return turned(x, draw(x, -self.degrees, self.degrees))


@dataclass
class ColorJitter(OnPictures):
    """Brightness, then contrast, then saturation of each picture times factors from 1 − knob to 1 + knob."""

    brightness: float = 0.2  # cameras and exposure times differ by about that
    contrast: float = 0.2
    saturation: float = 0.0  # grey pictures have none

    def __post_init__(self):
        for knob in ("brightness", "contrast", "saturation"):
            check_share(self, knob, 1)

    def change(self, x: Tensor) -> Tensor:
        for name, most in (("Brightness", self.brightness), ("Contrast", self.contrast), ("Color", self.saturation)):
            x = OPERATIONS[name](x, draw(x, -most, most)) if most else x
        return x


@dataclass
class RandomErasing(OnPictures):
    """A rectangle of each picture is hidden, with probability p."""

    p: float = 0.5
    area: list = field(default_factory=lambda: [0.02, 0.33])  # share that is hidden; as in the paper
    fill: str = "noise"  # or "black", torchvision's default

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
class RandAugment(OnPictures):
    """n times in a row, one of 14 operations, drawn for each picture, all of the same strength."""

    n: int = 2  # both defaults are torchvision's
    magnitude: int = 9  # 0 to 30

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
class TrivialAugment(OnPictures):
    """One of 14 operations and its strength are drawn for each picture: no knob to tune, and much is strong.

    It turns by up to 135° and shifts by up to 32 pixels, whatever the size: made for pictures of things, not of digits.
    """

    def change(self, x: Tensor) -> Tensor:
        return one_operation_each(x, MOST_WIDE, torch.randint(BINS, (len(x),)) / (BINS - 1))


BINS = 31  # strengths from nothing (0) to the most (30)
# What each operation does at full strength: shear, pixels, degrees, change of a factor, bits lost, 1 − threshold.
MOST = {"Identity": 0.0, "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 0.0, "TranslateY": 0.0, "Rotate": 30.0}
MOST |= dict.fromkeys(["Brightness", "Color", "Contrast", "Sharpness"], 0.9)
MOST |= {"Posterize": 4.0, "Solarize": 1.0, "AutoContrast": 0.0, "Equalize": 0.0}
MOST_WIDE = {**MOST, **dict.fromkeys(["ShearX", "ShearY", "Brightness", "Color", "Contrast", "Sharpness"], 0.99)}
MOST_WIDE |= {"TranslateX": 32.0, "TranslateY": 32.0, "Rotate": 135.0, "Posterize": 6.0}
SIGNED = list(MOST)[:10]  # go either way
OPERATIONS = {  # (pictures (B, C, H, W), strength of each (B,)) -> pictures
    "Identity": lambda x, m: x,
    "ShearX": lambda x, m: warp(x, {(0, 1): m, (0, 2): m * x.shape[-2] / 2}),  # the top row stands still
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
    "AutoContrast": lambda x, m: tv.autocontrast(x),  # these two need no strength, and treat each picture by itself
    "Equalize": lambda x, m: tv.equalize(x),
}


def one_operation_each(x: Tensor, most: dict[str, float], share: Tensor) -> Tensor:
    """An operation for each picture, at its share (B,) of the most; those that drew the same go through together."""
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
    """(B,) even draws, one a picture: from the CPU's generator, so that a GPU sees the same ones."""
    return (low + (high - low) * torch.rand(len(x))).to(x)


def coins(x: Tensor, p: float = 0.5) -> Tensor:
    """(B, 1, 1, 1), each true with probability p."""
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
    """Each picture through its own affine map, black outside.

    A pixel that lies p = (across, down) from the centre shows what lay at M (p, 1); cells of M (2, 3) that are not
    given, each (B,), are those of the identity.
    """
    H, W = x.shape[-2:]
    M = torch.eye(2, 3, dtype=x.dtype, device=x.device).repeat(len(x), 1, 1)
    for (i, j), value in cells.items():
        M[:, i, j] = value
    M *= M.new_tensor([[1, H / W, 2 / W], [W / H, 1, 2 / H]])  # from pixels to -1..1, as grid_sample has it
    return F.grid_sample(x, F.affine_grid(M, list(x.shape), align_corners=False), align_corners=False)


def turned(x: Tensor, degrees: Tensor) -> Tensor:
    """Each picture turned to the left by its own angle (B,)."""
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    return warp(x, {(0, 0): cos, (0, 1): -sin, (1, 0): sin, (1, 1): cos})


def blend(x: Tensor, other: Tensor, m: Tensor) -> Tensor:
    """x + m (x − other): m = −1 is the other, 0 is x, above 0 goes away from the other; m (B,)."""
    return (x + m.view(-1, 1, 1, 1) * (x - other)).clamp(0, 1)


def grey(x: Tensor) -> Tensor:
    return x if x.shape[1] == 1 else tv.rgb_to_grayscale(x)  # (B, 1, H, W)


def blurred(x: Tensor) -> Tensor:
    """Each pixel and its eight neighbours, weighted 5 to 1; the rim stays."""
    kernel, out = x.new_ones(x.shape[1], 1, 3, 3), x.clone()
    kernel[..., 1, 1] = 5
    out[..., 1:-1, 1:-1] = F.conv2d(x, kernel / 13, groups=x.shape[1])
    return out


def posterized(x: Tensor, bits: Tensor) -> Tensor:
    """As many levels as the bits (B, 1, 1, 1) can tell apart."""
    levels = 2**bits
    return torch.minimum((x * levels).floor(), levels - 1) / levels


# ---- texts


@dataclass
class OnTexts(Strategy):
    """What all that hide words share: batch["attention_mask"] (B, T) in and out; the first token is always seen.

    A hidden token is not looked at by any other and not averaged into the sentence's feature. Its place stays empty.
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
    """Each word is hidden with probability p, independently."""

    p: float = 0.1  # EDA's; Iyyer et al. take 0.3, for averages of words

    def __post_init__(self):
        check_share(self, "p", 1)

    def hidden(self, mask: Tensor) -> Tensor:
        return torch.rand(mask.shape) < self.p


@dataclass
class SpanCut(OnTexts):
    """One run of words of each text is hidden, `share` of it long, at a random place."""

    share: float = 0.15  # of the tokens; the paper searches 0.05 to 0.3

    def __post_init__(self):
        check_share(self, "share", 1)

    def hidden(self, mask: Tensor) -> Tensor:
        words = mask.sum(1, keepdim=True) - 1  # (B, 1), without the first token
        length = (self.share * words).round()
        start = 1 + (torch.rand(len(mask), 1) * (words - length + 1)).floor()
        place = torch.arange(mask.shape[1])  # (T,)
        return (start <= place) & (place < start + length)


# ---- what is safe

# What leaves a label true, by family of tasks: the knobs of Flip, and how far a picture may be turned, in degrees.
SAFE = {
    "elpv": ({"horizontal": True, "vertical": True, "turn": False}, 5.0),  # both mirrors: so is the turn by 180°
    "digits": ({}, 15.0),  # a mirrored 2 is no digit, and a turned 6 is a 9
    "fashion": ({"horizontal": True}, 10.0),  # a sandal points left or right, and stands on its sole
}


def policy(task: str) -> list[dict]:
    """Augmentation that leaves the labels of a task true, as a Spec has it; strategies.build makes it one strategy.

    task: a name such as "elpv/mono". ValueError for a task that nothing is known of.
    """
    if (family := family_of(task)) == "sentiment":
        return [{"TokenDropout": {}}]
    flips, degrees = SAFE[family]
    rest = [{"Crop": {}}, {"Rotation": {"degrees": degrees}}, {"ColorJitter": {}}, {"RandomErasing": {}}]
    return ([{"Flip": flips}] if flips else []) + rest


def unsafe(strategy: Strategy, task: str) -> list[str]:
    """A sentence for each part that may turn a picture of this task into one of another class; none: it is safe.

    Training does not refuse such parts, since one can learn from what they do.
    """
    flips, degrees = SAFE.get(family_of(task), ({}, 0.0))
    allowed, out = {name for name, on in flips.items() if on}, []
    for part in parts_of(strategy):
        asked = {name for name in ("horizontal", "vertical", "turn") if isinstance(part, Flip) and getattr(part, name)}
        wrong = asked - allowed - ({"turn"} if {"horizontal", "vertical"} <= allowed else set())
        turn = most_turned(part)
        if wrong:
            out.append(f"{part} may change the labels of {task} ({', '.join(sorted(wrong))}): switch that off")
        if turn > degrees:
            out.append(f"{part} turns by up to {turn:g}°, and {task} bears {degrees:g}°: choose less, or another one")
    return out


def most_turned(part: Strategy) -> float:
    """By how many degrees it may turn a picture, apart from flips."""
    if isinstance(part, RandAugment):
        return part.n * part.magnitude / (BINS - 1) * MOST["Rotate"]
    return {Rotation: getattr(part, "degrees", 0.0), TrivialAugment: MOST_WIDE["Rotate"]}.get(type(part), 0.0)


def family_of(task: str) -> str:
    """ "elpv" of "elpv/mono+noise3"; ValueError for a family that nothing is known of."""
    family = task.partition("+")[0].partition("/")[0]
    if family not in {*SAFE, "sentiment"}:
        raise ValueError(f"nothing is known of what {task!r} bears: choose a task of {', '.join(SAFE)} or sentiment")
    return family


def check_share(strategy: Strategy, knob: str, most: float) -> None:
    """ValueError unless the knob lies in 0..most."""
    if not 0 <= (value := getattr(strategy, knob)) <= most:
        raise ValueError(f"{knob} of {type(strategy).__name__} must lie in 0 to {most:g}, but it is {value}: choose")


def check_range(strategy: Strategy, knob: str, low: float, high: float) -> None:
    """ValueError unless the knob is [least, most] with low < least <= most <= high."""
    value = getattr(strategy, knob)
    if len(value) != 2 or not low < value[0] <= value[1] <= high:
        raise ValueError(
            f"{knob} of {type(strategy).__name__} must be [least, most] above {low:g} and at most {high:g}, but it is "
            f"{value}: give two rising numbers"
        )
