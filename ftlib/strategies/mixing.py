"""Mixing: labels that are not certain, because examples were mixed or because nobody is quite sure.

    MixUp             λ x + (1 − λ) x',  λ y + (1 − λ) y',  λ ~ Beta(α, α)     Zhang et al., ICLR 2018, 1710.09412
    CutMix            a box of x' in x; λ is the share of x that is left       Yun et al., ICCV 2019, 1905.04899
    embedding mixup   MixUp of embedded words: words cannot be averaged        Guo, Mao & Zhang, 2019, 1905.08941
    label smoothing   (1 − ε) y + ε / K                                        Szegedy et al., CVPR 2016, 1512.00567

Inputs and labels get the same λ: to mix the inputs alone is a mistake that still trains. A label (B,) becomes K
probabilities (B, K), for which `target_loss` is the cross-entropy H(y, p); that is linear in y, so mixing labels is
mixing losses, and smoothing before or after mixing is the same. MixUp and CutMix are torchvision's, number by number:
one λ a batch, and each row's partner is the row before it, since batches are shuffled.

A loss on soft labels cannot fall to 0: its floor is their entropy. So compare training losses with care.

Costs: nothing that could be measured; embedding mixup owns the slot `loss`, the others are `transform`. R-Drop (Liang
et al., NeurIPS 2021, 2106.14448), two passes that shall agree, is an exercise in the lesson. Lesson:
notebooks/08_augmentation.

Letters: B examples, T tokens, D features, K classes, H x W pixels.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ftlib.strategy import Strategy, require_column, target_loss


@dataclass
class OnLabels(Strategy):
    """What needs labels as probabilities: it learns the number of classes, K, from the model's head."""

    def __post_init__(self):
        self.classes: dict[str, int] = {}  # of each head; a model with one head has it under ""

    def prepare(self, model: nn.Module) -> nn.Module:
        heads = model.head if isinstance(model.head, nn.ModuleDict) else {"": model.head}
        self.classes = {name: [*head.parameters()][-1].shape[0] for name, head in heads.items()}
        return model

    def labels(self, batch: dict) -> Tensor:
        """The batch's labels as floats: probabilities (B, K), or (B,) for a regression, which are what they are."""
        y, K = batch["labels"], self.classes.get(batch.get("task", ""))
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
    """Every label becomes (1 − ε) y + ε / K: nothing is certain. The rest of a batch stays as it is.

    With two classes ε = 0.1 moves 5 % of each label. ELPV's rater (target="soft") moved 5.1 % on average, but all of
    it on the cells of which the rater was unsure. Labels that are soft already are smoothed further.
    """

    epsilon: float = 0.1  # 0 is none, 1 leaves nothing to learn; 0.1 in the paper
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
    """What all mixtures share: λ, and a partner for each row, the one before it in the batch, which was shuffled."""

    alpha: float = 0.2  # of Beta(α, α): near 0 hardly anything is mixed, 1 draws λ evenly
    role = "mix"
    exclusive = ("mix examples",)

    def __post_init__(self):
        super().__post_init__()
        if not self.alpha > 0:
            raise ValueError(f"alpha must be above 0, but it is {self.alpha}: 0.2 mixes a little, 1 evenly")

    def share(self) -> float:
        """λ, one a batch."""
        alpha = torch.tensor([self.alpha])
        return float(torch.distributions.Beta(alpha, alpha).sample())


def mix(a: Tensor, share: float) -> Tensor:
    """share · a + (1 − share) · a', a' the row before."""
    return share * a + (1 - share) * a.roll(1, 0)


@dataclass
class MixUp(Mixing):
    """Two pictures shine through each other, and so do their labels: straight lines between examples."""

    alpha: float = 0.2  # the paper takes 0.1 to 0.4 on ImageNet
    reads = "pictures"

    def transform(self, batch: dict) -> dict:
        x, y, share = require_column(batch, "pixels", self), self.labels(batch), self.share()
        return {**batch, "pixels": mix(x, share), "labels": mix(y, share)}


@dataclass
class CutMix(Mixing):
    """A box of one picture is put into another, and the labels are mixed by the area that is seen of each."""

    alpha: float = 1.0  # as in the paper
    reads = "pictures"

    def transform(self, batch: dict) -> dict:
        x, y, share = require_column(batch, "pixels", self), self.labels(batch), self.share()
        (H, W), half = x.shape[-2:], math.sqrt(1 - share) / 2
        across, down = int(torch.randint(W, (1,))), int(torch.randint(H, (1,)))  # the middle of the box
        left, right = max(across - int(half * W), 0), min(across + int(half * W), W)
        top, bottom = max(down - int(half * H), 0), min(down + int(half * H), H)
        out = x.clone()
        out[..., top:bottom, left:right] = x.roll(1, 0)[..., top:bottom, left:right]
        seen = 1 - (right - left) * (bottom - top) / (H * W)  # λ anew: the rim has cut some of the box off
        return {**batch, "pixels": out, "labels": mix(y, seen)}


@dataclass
class EmbeddingMixup(Mixing):
    """MixUp of the embedded words of two sentences, place by place; what one of them has is seen.

    It needs the network's insides, so it owns `loss`: stage 0, the mixture, the other stages.
    """

    alpha: float = 0.2
    reads = "texts"

    def prepare(self, model: nn.Module) -> nn.Module:
        if (kind := getattr(model, "kind", None)) != "text":
            raise ValueError(
                f"{self} mixes what an encoder's stage 0 gives, but this model's kind is {kind!r}: load one such as "
                f"minilm, or take MixUp for pictures"
            )
        return super().prepare(model)

    def loss(self, model: nn.Module, batch: dict) -> dict[str, Tensor]:
        (term,), mask, share = batch["n"], require_column(batch, "attention_mask", self), self.share()
        h = model.forward_to(1, batch)  # (B, T, D)
        both = {**batch, "attention_mask": torch.maximum(mask, mask.roll(1, 0))}
        logits = model.forward_from(1, mix(h, share), both)
        return {term: target_loss(logits, mix(self.labels(batch), share))}
