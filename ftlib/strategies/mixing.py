"""Mixing and label smoothing: training labels become probabilities instead of classes.

    MixUp             λ x + (1 − λ) x',  λ y + (1 − λ) y',  λ ~ Beta(α, α)     Zhang et al., ICLR 2018, 1710.09412
    CutMix            a box of x' in x; λ is the remaining share of x          Yun et al., ICCV 2019, 1905.04899
    embedding mixup   MixUp of the embedded tokens                             Guo, Mao & Zhang, 2019, 1905.08941
    label smoothing   (1 − ε) y + ε / K                                        Szegedy et al., CVPR 2016, 1512.00567

Inputs and labels get the same λ. A common mistake is to mix only the inputs, which trains without an error. The labels
(B,) become probabilities (B, K), for which `target_loss` is the cross-entropy H(y, p). It is linear in y, so mixing the
labels equals mixing the losses, and smoothing before mixing equals smoothing after it. MixUp and CutMix compute the
same numbers as torchvision's. There is one λ per batch, and each row is mixed with the row before it, since batches are
shuffled.

The loss on soft labels can't fall to 0. Its minimum is the entropy of the labels, so compare training losses with care.

Costs: too small to measure. Embedding mixup owns the slot `loss`, the others are `transform`. R-Drop (Liang et al.,
NeurIPS 2021, 2106.14448) trains two passes with different dropout to agree. It is an exercise of the lesson. Lesson:
notebooks/08_augmentation.

Letters: B examples, T tokens, D features, K classes, H x W pixels.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ftlib.networks import Heads, heads
from ftlib.strategy import TARGETS, Strategy, require_column, target_loss


@dataclass
class OnLabels(Strategy):
    """Base class of strategies with soft labels: takes the number of classes K from the model's head."""

    def __post_init__(self):
        self.classes: dict[str, int] = {}  # per head; the key of a single head, and of the main one, is ""

    def prepare(self, model: nn.Module) -> nn.Module:
        self.classes = {name: [*head.parameters()][-1].shape[0] for name, head in heads(model).items()}
        if isinstance(model.head, Heads):
            self.classes[""] = model.head.out_features
        return model

    def labels(self, batch: dict) -> Tensor:
        """The batch's labels as floats: probabilities (B, K), or the unchanged targets (B,) of a regression."""
        y, K = batch["labels"], self.classes.get(Heads.key(batch.get("task", "")), self.classes.get(""))
        if y.is_floating_point():
            return y
        if y.ndim != 1 or K is None or not 0 <= y.min() <= y.max() < K:
            raise ValueError(
                f"{self} needs one class a row, from 0 to below the {K or 'unknown'} outputs of the head, but labels "
                f"of shape {tuple(y.shape)} from {y.min()} to {y.max()} came: take a task with classes, load the model "
                f"with it, and call prepare(model), as fit does"
            )
        return F.one_hot(y, K).float()


@dataclass
class LabelSmoothing(OnLabels):
    """Give each class a small share of the label, (1 − ε) y + ε / K.

    With two classes ε = 0.1 moves 5 % of each label to the other class. ELPV's soft labels (target="soft") move 5.1 %
    on average, but only on the solar cells that the rater was unsure about. Labels that are soft already are smoothed
    as well.

    Parameters
    ----------
    epsilon : float, default 0.1
        ε, in 0 to 1. At 0 labels stay as they are, and at 1 all labels are equal. The paper uses 0.1.

    Raises
    ------
    ValueError
        If `epsilon` is out of its range, or if the labels are numbers of a regression.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
    arXiv:1512.00567.

    Examples
    --------
    >>> smoothing = strategies.LabelSmoothing(epsilon=0.3)
    >>> model = smoothing.prepare(model)  # a model of three classes
    >>> smoothing.transform({"labels": torch.tensor([0, 2])})["labels"]
    tensor([[0.8000, 0.1000, 0.1000],
            [0.1000, 0.1000, 0.8000]])
    """

    epsilon: float = 0.1
    role = "mix"

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon must lie in 0 to 1, but it is {self.epsilon}: 0 is none, 0.1 the paper's")

    def transform(self, batch: dict) -> dict:
        if (y := self.labels(batch)).ndim != 2:
            raise ValueError(f"{self} needs classes, but these labels are numbers: leave it out of a regression")
        return {**batch, "labels": (1 - self.epsilon) * y + self.epsilon / y.shape[1]}


@dataclass
class Mixing(OnLabels):
    """Base class of mixtures: draws λ from Beta(α, α). Near α = 0 little is mixed, at α = 1 λ is uniform."""

    alpha: float = 0.2
    role = "mix"
    exclusive = ("mix examples", TARGETS)

    def __post_init__(self):
        super().__post_init__()
        if not self.alpha > 0:
            raise ValueError(f"alpha must be above 0, but it is {self.alpha}: 0.2 mixes a little, 1 evenly")

    def share(self) -> float:
        """λ, drawn once per batch."""
        alpha = torch.tensor([self.alpha])
        return float(torch.distributions.Beta(alpha, alpha).sample())


def mix(a: Tensor, share: float) -> Tensor:
    """share · a + (1 − share) · a', where a' is the row before a."""
    return share * a + (1 - share) * a.roll(1, 0)


@dataclass
class MixUp(Mixing):
    """Replace each image and its label by a weighted mean with another example of the batch.

    Parameters
    ----------
    alpha : float, default 0.2
        α of the distribution Beta(α, α) of the weight λ, above 0. Near 0 little is mixed, and at 1 all weights are
        equally likely. The paper uses 0.1 to 0.4 on ImageNet.

    Raises
    ------
    ValueError
        If `alpha` isn't above 0, or if the batch has no images or its labels don't fit the head.

    References
    ----------
    Zhang, Cissé, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412.

    Examples
    --------
    A black image of class 0 and a white image of class 2 become two shades of grey with labels to match.

    >>> mixup, _ = strategies.MixUp(alpha=1.0), torch.manual_seed(0)
    >>> picture_model = mixup.prepare(picture_model)
    >>> pixels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    >>> mixed = mixup.transform({"pixels": pixels, "labels": torch.tensor([0, 2])})
    >>> torch.allclose(mixed["pixels"].mean((1, 2, 3)), mixed["labels"][:, 2])
    True
    """

    alpha: float = 0.2
    reads = "pictures"

    def transform(self, batch: dict) -> dict:
        x, y, share = require_column(batch, "pixels", self), self.labels(batch), self.share()
        return {**batch, "pixels": mix(x, share), "labels": mix(y, share)}


@dataclass
class CutMix(Mixing):
    """Paste a box of another image into each image, and mix the labels in proportion to the visible areas.

    Parameters
    ----------
    alpha : float, default 1.0
        α of the distribution Beta(α, α) of the share that stays, above 0. At 1, the value of the paper, all shares are
        equally likely.

    Raises
    ------
    ValueError
        If `alpha` isn't above 0, or if the batch has no images or its labels don't fit the head.

    References
    ----------
    Yun, Han, Oh, Chun, Choe and Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
    Features", ICCV 2019, arXiv:1905.04899.

    Examples
    --------
    The white share of each image is the probability of the white image's class.

    >>> cutmix, _ = strategies.CutMix(), torch.manual_seed(0)
    >>> picture_model = cutmix.prepare(picture_model)
    >>> pixels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    >>> mixed = cutmix.transform({"pixels": pixels, "labels": torch.tensor([0, 2])})
    >>> torch.allclose(mixed["pixels"].mean((1, 2, 3)), mixed["labels"][:, 2])
    True
    """

    alpha: float = 1.0
    reads = "pictures"

    def transform(self, batch: dict) -> dict:
        x, y, share = require_column(batch, "pixels", self), self.labels(batch), self.share()
        (H, W), half = x.shape[-2:], math.sqrt(1 - share) / 2
        across, down = int(torch.randint(W, (1,))), int(torch.randint(H, (1,)))  # the centre of the box
        left, right = max(across - int(half * W), 0), min(across + int(half * W), W)
        top, bottom = max(down - int(half * H), 0), min(down + int(half * H), H)
        out = x.clone()
        out[..., top:bottom, left:right] = x.roll(1, 0)[..., top:bottom, left:right]
        seen = 1 - (right - left) * (bottom - top) / (H * W)  # λ again, as the border may cut the box
        return {**batch, "pixels": out, "labels": mix(y, seen)}


@dataclass
class EmbeddingMixup(Mixing):
    """Mix the embedded tokens of two texts position by position, and their labels with the same weight.

    Words can't be averaged, but their embeddings can. The mixture is as long as the longer text. It enters the network
    between stage 0, the embeddings, and stage 1, so this strategy owns the slot `loss`.

    Parameters
    ----------
    alpha : float, default 0.2
        α of the distribution Beta(α, α) of the weight λ, above 0. Near 0 little is mixed, and at 1 all weights are
        equally likely.

    Raises
    ------
    ValueError
        If `alpha` isn't above 0, if the model isn't a text encoder, or if the labels don't fit the head.

    References
    ----------
    Guo, Mao and Zhang, "Augmenting Data with Mixup for Sentence Classification: An Empirical Study", 2019,
    arXiv:1905.08941.

    Examples
    --------
    The loss is the cross-entropy with the mixed labels. It starts near ln 3 ≈ 1.1, the loss of a random guess.

    >>> mixup = strategies.EmbeddingMixup()
    >>> text_model, history = ftlib.fit(text_model, texts, mixup, steps=1, lr=0.001, verbose=False)
    >>> 0.8 < history[0]["loss"] < 1.4
    True
    """

    alpha: float = 0.2
    reads = "texts"

    def prepare(self, model: nn.Module) -> nn.Module:
        if (kind := getattr(model, "kind", None)) != "text":
            raise ValueError(
                f"{self} mixes what an encoder's stage 0 gives, but this model's kind is {kind!r}: load one such as "
                f"minilm, or take MixUp for images"
            )
        return super().prepare(model)

    def loss(self, model: nn.Module, batch: dict) -> dict[str, Tensor]:
        (term,), mask, share = batch["n"], require_column(batch, "attention_mask", self), self.share()
        h = model.forward_to(1, batch)  # (B, T, D)
        both = {**batch, "attention_mask": torch.maximum(mask, mask.roll(1, 0))}
        logits = model.forward_from(1, mix(h, share), both)
        return {term: target_loss(logits, mix(self.labels(batch), share))}
