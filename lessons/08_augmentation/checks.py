"""The exercises of 08_augmentation: change a policy, implement CutMix and R-Drop, investigate overfitting, read off."""

import math
from numbers import Real

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ftlib.classroom.reading import draw, known_way, point_read
from ftlib.strategies.augmentation import ColorJitter, Crop, Flip, ImageAugmentation, RandomErasing, unsafe
from ftlib.strategies.mixing import OnLabels

# Change: a policy for digits.

LOOK = "Look at some draws with tiles, as in section 1. Would you still read every digit?"


def digit_policy(answer) -> str:
    """At least two kinds of augmentation that leave the labels of handwritten digits true."""
    parts = answer() if callable(answer) else answer
    if not isinstance(parts, list | tuple):
        return f"Return a list such as [strategies.Crop()], not {parts!r}."
    for part in parts:
        if hint := _part(part):
            return hint
    if len(parts) < 2:
        return f"Give at least two different augmentations. Yours has {len(parts)}."
    if len({type(part) for part in parts}) < len(parts):
        return "One kind is there twice. Give at least two *different* augmentations, each once."
    return ""


def _part(part) -> str:
    if isinstance(part, type):
        return f"{part.__name__} is a class. Write {part.__name__}(), with brackets, to make one."
    if isinstance(part, OnLabels):
        return f"{part!r} changes the labels. Here they stay as they are, and have to stay true."
    if not isinstance(part, ImageAugmentation):
        return f"{part!r} doesn't change images. List parts that do, one by one."
    if hints := unsafe(part, "digits/optical"):
        if isinstance(part, Flip):
            return "A flipped 2 looks like a 5, and a 6 that is turned by 180° is a 9. Leave Flip out."
        return f"{hints[0]}. A 6 that is turned too far is a 9."
    if hint := _too_much(part):
        return f"{hint} {LOOK}"
    pixels = torch.rand(256, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        changed = part.transform({"pixels": pixels})["pixels"]
    if torch.allclose(changed, pixels, atol=1e-4):
        return f"{part!r} has changed none of 256 grey images. Look at its parameters."
    return ""


def _too_much(part) -> str:
    """What is too strong for a digit of the usual size, or ""."""
    if isinstance(part, Crop) and min(part.area) < 0.5:
        return f"A crop that keeps only {100 * min(part.area):g} % of the area may lose half of the digit."
    if isinstance(part, RandomErasing) and max(part.area) > 1 / 3:
        return f"{100 * max(part.area):g} % of the area is hidden. With more than a third, a digit may be gone."
    if isinstance(part, ColorJitter) and max(part.brightness, part.contrast) > 0.5:
        return "Factors near 0 make an image black or all grey. Change brightness and contrast by at most 0.5."
    return ""


# Implement: CutMix.

BOX = (1, 4, 3, 5)  # of images with 5 rows and 6 columns


def cutmix(function) -> str:
    """`function(pixels, labels, order, box)`: a box of the partner's image, and labels mixed by area."""
    pixels, labels, order = (draw(5, 2, 5, 6), draw(5, 3, seed=1).softmax(1), torch.tensor([2, 3, 4, 0, 1]))
    x, y = pixels.clone(), labels.clone()
    got = function(x, y, order, BOX)
    for name, now, before in (("pixels", x, pixels), ("labels", y, labels)):
        if not torch.equal(now, before):
            return f"The {name} that you were given have changed. Call clone() first, and change the copy."
    if not isinstance(got, tuple | list) or len(got) != 2 or not all(isinstance(t, Tensor) for t in got):
        return "Return both, the mixed pixels and the mixed labels."
    return _pixels(got[0], pixels, order) or _labels(got[1], labels, order) or _other_boxes(function)


def _pasted(x: Tensor, order: Tensor, box: tuple) -> Tensor:
    top, bottom, left, right = box
    inside = torch.zeros(x.shape[-2:], dtype=torch.bool)
    inside[top:bottom, left:right] = True
    return torch.where(inside, x[order], x)


def _pixels(got: Tensor, x: Tensor, order: Tensor) -> str:
    if got.shape != x.shape:
        return f"The pixels keep their shape, {tuple(x.shape)}, but yours are {tuple(got.shape)}."
    if torch.allclose(got, want := _pasted(x, order, BOX)):
        return ""
    (top, bottom, left, right), share, others = BOX, _seen(x, BOX), _others(order)
    return known_way(got, {
        "The pixels are as before. Nothing came from the partner.": x,
        "The whole image is the partner's. Take only the rows and columns of the box.": x[order],
        "Inside and outside are swapped. The box comes from the partner, the rest is the image's own.":
            x + x[order] - want,
        "The box is (top, bottom, left, right), and rows come before columns. You took its numbers in another order.":
            (_pasted(x, order, (left, right, top, bottom)), _pasted(x, order, (top, left, bottom, right))),
        "The box is one row and one column too large. Bottom and right are left out, as in a slice.":
            _pasted(x, order, (top, bottom + 1, left, right + 1)),
        "The partner of row i is row order[i]: you took another one.": tuple(_pasted(x, o, BOX) for o in others),
        "The images shine through each other. That is MixUp. CutMix puts in a box.":
            share * x + (1 - share) * x[order],
    }) or "Pixels in rows top to bottom − 1 and columns left to right − 1 are the partner's. Yours differ."  # fmt: skip


def _others(order: Tensor) -> tuple[Tensor, ...]:
    """Partners that are none: the row before, the row after, and the row whose partner this is."""
    rows = torch.arange(len(order))
    return rows.roll(1), rows.roll(-1), order.argsort()


def _labels(got: Tensor, y: Tensor, order: Tensor) -> str:
    if got.shape != y.shape or not got.is_floating_point():
        return f"The labels are probabilities, floats of the shape {tuple(y.shape)}, not {tuple(got.shape)}."
    share = 1 - 6 / 30
    mixed = {own: own * y + (1 - own) * y[order] for own in (share, 1 - share, 0.5, 1 - 2 / 6, 1 - 3 / 5)}
    if torch.allclose(got, want := mixed[share], atol=1e-6):
        return ""
    return known_way(got, {
        "The pixels are mixed, the labels aren't. This is the famous bug that trains without an error.": y,
        "The labels are the partner's alone. Most of the image is still its own.": y[order],
        "λ is swapped. It is the share that is *left* of the image, and goes with its own label.": mixed[1 - share],
        "λ is not always a half. It is the share of the area that is left, 24 of 30 pixels here.": mixed[0.5],
        "λ is a share of the *area*. The box has (bottom − top) · (right − left) pixels.":
            (mixed[1 - 2 / 6], mixed[1 - 3 / 5]),
        "The labels are hard again. Return the probabilities, not the likeliest class.":
            F.one_hot(want.argmax(1), y.shape[1]).float(),
        "The labels are mixed with other rows than the pixels. Both have the partner order[i].":
            tuple(share * y + (1 - share) * y[other] for other in _others(order)),
    }) or "The labels are λ · own + (1 − λ) · the partner's, with λ the share of the area that is left."  # fmt: skip


def _other_boxes(function) -> str:
    for H, W, box in ((4, 4, (0, 4, 1, 2)), (5, 2, (0, 5, 0, 2)), (6, 7, (2, 2, 3, 5))):
        x, y, order = draw(3, 1, H, W), torch.eye(3), torch.tensor([1, 2, 0])
        want = _pasted(x, order, box), _seen(x, box) * y + (1 - _seen(x, box)) * y[order]
        got = function(x.clone(), y.clone(), order, box)
        for name, a, b in zip(("pixels", "labels"), got, want):
            if a.shape != b.shape or not torch.allclose(a, b, atol=1e-6):
                return f"For the box {BOX} in 5 × 6 pixels it is right, for {box} in {H} × {W} the {name} are wrong."
    return ""


def _seen(x: Tensor, box: tuple) -> float:
    return 1 - (box[1] - box[0]) * (box[3] - box[2]) / (x.shape[-2] * x.shape[-1])


# Implement: R-Drop.


class Twice(nn.Module):
    """A network whose calls give two sets of logits in turn, as dropout would."""

    def __init__(self, rows: int, classes: int):
        super().__init__()
        self.passes = nn.ParameterList([draw(rows, classes, seed=seed) for seed in (1, 2)])
        self.calls = 0

    def forward(self, batch: dict) -> Tensor:
        self.calls += 1
        return self.passes[(self.calls - 1) % 2] + 0.0


def rdrop(function) -> str:
    """`function(model, batch, alpha)`: mean of two summed cross-entropies + alpha / 4 · (KL(p‖q) + KL(q‖p)), summed."""
    for rows, classes, alpha in ((5, 4, 3.0), (6, 2, 0.5)):
        model, labels = Twice(rows, classes), torch.arange(rows) % classes
        loss = function(model, {"labels": labels, "n": {"target": rows}}, alpha)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            return f"Return the loss itself, a tensor with one number, not {loss!r}."
        if model.calls < 2:
            return "One pass was used twice, so p and q are the same. Call the model twice. Dropout draws anew."
        if model.calls > 2:
            return f"Two passes are enough. You called the model {model.calls} times."
        if hint := _value(loss.detach(), model, labels, alpha) or _gradient(loss, model, labels, alpha):
            return hint
    return ""


def _terms(model: Twice, labels: Tensor) -> tuple[Tensor, ...]:
    """The mean of the two cross-entropies, and both KL divergences, all summed over the rows."""
    both = [z.log_softmax(-1) for z in model.passes]
    fit = sum(F.nll_loss(z, labels, reduction="sum") for z in both) / 2
    return fit, *((p.exp() * (p - q)).sum() for p, q in (both, both[::-1]))


def _value(got: Tensor, model: Twice, labels: Tensor, alpha: float) -> str:
    with torch.no_grad():
        fit, pq, qp = _terms(model, labels)
        first, second = (F.cross_entropy(z, labels, reduction="sum") for z in model.passes)
        squashed = sum(F.cross_entropy(z.softmax(-1), labels, reduction="sum") for z in model.passes) / 2
    rows, apart = len(labels), alpha / 4 * (pq + qp)
    if torch.isclose(got, fit + apart, rtol=1e-4):
        return ""
    return known_way(got, {
        "That is the mean over the examples. Return the sum.": (fit + apart) / rows,
        "Cross-entropies or KL terms are a mean over the examples, the others a sum. Sum all of them.":
            (fit + apart / rows, fit + apart / model.passes[0].numel(), fit / rows + apart),
        "Only one direction of KL is in it: KL(p‖q) and KL(q‖p) differ, and both belong.":
            tuple(fit + alpha / part * kl for part in (4, 2) for kl in (pq, qp)),
        "alpha is missing. It says how much the agreement counts.": (fit + (pq + qp) / 4, fit + pq + qp),
        "The factor before the sum of the two KL terms is alpha / 4.": tuple(fit + f * apart for f in (2, 4, 0.5)),
        "The cross-entropies are added up. Take their mean.": (2 * fit + apart, 2 * fit + 2 * apart),
        "The disagreement is taken away, which rewards it. Add it.": fit - apart,
        "Only one of the passes has a cross-entropy. Take the mean of the two.": (first + apart, second + apart),
        "The agreement is missing. That is the mean of the cross-entropies alone.": fit,
        "Cross-entropy was given probabilities. It takes the logits, and does the softmax itself.": squashed + apart,
    }, 1e-4) or f"For alpha {alpha:g} it is {fit + apart:.4f} here, but you gave {got.item():.4f}."  # fmt: skip


def _gradient(loss: Tensor, model: Twice, labels: Tensor, alpha: float) -> str:
    if not loss.requires_grad:
        return "The loss carries no gradient, so nothing can learn. Leave out item(), detach() and no_grad()."
    fit, pq, qp = _terms(model, labels)
    want = torch.autograd.grad(fit + alpha / 4 * (pq + qp), [*model.passes])
    got = torch.autograd.grad(loss, [*model.passes], allow_unused=True)
    for name, mine, right in zip(("first", "second"), got, want):
        if mine is None:
            return f"No gradient reaches the {name} pass. Both passes learn, so leave out detach() and no_grad()."
        if not torch.allclose(mine, right, atol=1e-4):
            return "The value is right, the gradient is not. One of p and q is detached in a KL term. Both must learn."
    return ""


# Investigate: how far a run ends above its own best.

STEPS = (20, 40, 60, 80, 100)
NLL = {  # arm: a row a seed, a column a validation
    "none": [[0.60, 0.50, 0.62, 0.95, 0.88], [0.66, 0.58, 0.47, 0.70, 0.82], [0.71, 0.52, 0.60, 0.64, 0.67]],
    "policy": [[0.64, 0.55, 0.50, 0.63, 0.56], [0.69, 0.60, 0.54, 0.45, 0.51], [0.74, 0.49, 0.57, 0.62, 0.60]],
    "crop": [[0.62, 0.53, 0.58, 0.79, 0.73], [0.67, 0.56, 0.49, 0.60, 0.58], [0.70, 0.54, 0.50, 0.66, 0.69]],
}
MORE = [[0.80, 0.61, 0.72, 1.05, 1.35]]  # of one seed more


def overfitting(function) -> str:
    """`function(curves, arm)`: (mean rise of the NLL above each seed's own minimum at the end, that minus none's)."""
    plain, right = [(arm, rows, "measure", 0) for arm, rows in NLL.items()], _rises(_own)
    got = function(_table(plain), "policy")
    if not isinstance(got, tuple | list) or len(got) != 2 or any(not isinstance(x, Real) for x in got):
        return f"Return a pair of numbers, the rise and its difference from none's, not {got!r}."
    hints = {
        "That is the rise up to the *highest* NLL: take that of the last step.": _rises(lambda x: x.max(1) - x.min(1)),
        "That is the minimum of the mean curve. Each seed has its own. First the rise of each seed, then the mean.":
            _rises(lambda x: x[:, -1] - x.mean(0).min()),
        "The rise is counted from the first validation, not from the lowest.": _rises(lambda x: x[:, -1] - x[:, 0]),
        "That is the NLL at the last step. Take each seed's own minimum away from it.": _rises(lambda x: x[:, -1]),
        "The sign of the rise is turned round. It is last − lowest.": (-right[0], -right[1]),
        "The sign of the difference is turned round. It is the arm's rise − that of none.": (right[0], -right[1]),
        "That is balanced accuracy. Look at the column nll.": _rises(lambda x: _own(_accuracy(x))),
        "The second number is none's own rise. Take the difference, arm − none.": (right[0], right[0] - right[1]),
    }  # fmt: skip
    none, more = NLL["none"], ("none", MORE, "measure", 3)
    near = [hint for hint, pair in hints.items() if _same(got, pair) and not _same(got, right)]
    for parts, arm, hint in (
        (plain, "policy", "For 'policy'"),
        (plain, "crop", "The arm to be looked at is named by `arm`. For 'crop'"),
        (plain[::-1], "policy", "The rows stand in no particular order, so sort them by step. With shuffled rows"),
        ([*plain, *(("none", none, "tune", 100), ("policy", none, "tune", 100))], "policy",
         "Runs whose purpose is 'tune' must be left out. With some among them"),
        ([*plain, ("none-es", NLL["crop"], "measure", 0)], "policy", "'none-es' begins with 'none' too. With it"),
        ([*plain, more], "policy", "One seed was run with 'none' alone, so it has no partner. Pair by seed. With it"),
    ):  # fmt: skip
        right = _rises(_own, arm)
        if not _same(got := function(_table(parts, shuffled=parts is not plain), arm), right):
            gave, want = (f"({pair[0]:.3f}, {pair[1]:.3f})" for pair in (got, right))
            return near[0] if near else f"{hint} you gave {gave} in place of {want}."
    return ""


def _own(x: np.ndarray) -> np.ndarray:
    return x[:, -1] - x.min(1)


def _rises(way, arm: str = "policy") -> tuple[float, float]:
    ours, none = (way(np.array(NLL[name])).mean() for name in (arm, "none"))
    return float(ours), float(ours - none)


def _accuracy(x):
    return 0.95 - x**2 / 2


def _table(parts: list, shuffled: bool = False) -> pd.DataFrame:
    """[(arm, NLL of each seed at each step, purpose, first seed)] as `runs.curves` gives it."""
    rows = [
        {"arm": arm, "task": "elpv", "model": "m", "seed": first + i, "purpose": purpose, "step": step, "lr": 0.001,
         "loss": 0.3, "nll": nll, "balanced_accuracy": _accuracy(nll)}
        for arm, seeds, purpose, first in parts for i, one in enumerate(seeds) for step, nll in zip(STEPS, one)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    return table.sample(frac=1, random_state=0, ignore_index=True) if shuffled else table


def _same(got, pair: tuple) -> bool:
    return len(got) == 2 and all(math.isclose(float(a), b, abs_tol=1e-6) for a, b in zip(got, pair))


# The task of the figure.


def samples(answer) -> str:
    """(strength, {strength: lead over chance}): the first that takes half of the lead, or the one that takes most."""
    hint, strength, leads = point_read(answer, "strength")
    if hint:
        return hint
    if not strength:
        return "At strength 0 nothing is changed. Half of the lead there is to be lost."
    half, lead, least = leads[0] / 2, leads[strength], min(leads[s] for s in leads if s)
    said = f"At strength {strength:g} the lead over guessing is {lead:.3f}"
    if least > half:
        hint = f"{said}. No strength takes half of {leads[0]:.3f} here. Then choose the one that leaves least."
        return hint if lead > least else ""
    first = min(s for s in leads if s and leads[s] <= half)
    if strength > first:
        return "A lower strength has already taken half of the lead. Begin at 0, and note the first that does."
    return "" if strength == first else f"{said}, and half of the lead untouched is {half:.3f}. Look further."


EXERCISES = {f.__name__: f for f in (digit_policy, cutmix, rdrop, overfitting, samples)}
