"""Domain adaptation while training: labelled source examples beside target examples without labels.

    loss = Σ cross-entropy on the source / n_s  +  weight · alignment(source features, target features)

    DeepCORAL     ‖C_s − C_t‖²_F / (4 D²), the covariances of the features       Sun & Saenko, 2016, 1607.01719
    MMD           distance of the means in a kernel's space, several widths      Long et al., ICML 2015, 1502.02791
    DANN          a discriminator tells the domains apart; its gradient is
                  turned round before it reaches the features                    Ganin et al., JMLR 2016, 1505.07818
    CDAN          the same on features ⊗ class probabilities                     Long et al., NeurIPS 2018, 1705.10667
    MCD           two heads that disagree on the target, features that do not    Saito et al., CVPR 2018, 1712.02560
    EntropyMin    sure answers on the target                      Grandvalet & Bengio, NIPS 2004; Shu, 2018, 1802.08735
    MCC           answers on the target that do not mix classes up               Jin et al., ECCV 2020, 1912.03699
    PseudoLabels  its own sure answers on the target are taken for labels        Lee, ICML workshop 2013

What shift is it? *Covariate* shift: other inputs, the same answer to each. *Label* shift: other shares of the classes.
*Concept* shift: the same input, another answer; nothing here helps. Aligning features assumes that the shares of the
classes are the same. Where they are not, equal features force errors (Zhao et al., ICML 2019, 1901.09453): see
LabelShift in strategies.domain_shift, which also has what needs no training (AdaBN, CORAL) and the honest competitor, a
few labels (FewLabels). The bounds need no class: source-only is Full() on the source, target-only Full() on the target.

`fit` gets loaders {"train": source, "target": any loader of the target}; labels of the target are taken out of every
batch before a strategy sees it. With weight 0 nothing of the target is run: that is source-only, to the last bit.

Costs: a step runs a target batch too, so about twice the time; DANN, CDAN and MCD add a small network that is not used
afterwards. Each has knobs which no label of the target may tune: see DomainGauge. Lesson: notebooks/07_domain.

Letters: B source examples, M target examples, D features, K classes.
"""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ftlib.networks import batchnorms, repeated, require_linear_head
from ftlib.strategy import COMPARES, STATISTICS, Strategy, UnlabelledBatch, count_targets, target_loss

NORMS = ("target", "source", "shared")


def coral(source: Tensor, target: Tensor) -> Tensor:
    """‖C_s − C_t‖²_F / (4 D²) of features (B, D) and (M, D), at least two rows each; 0 where covariances agree."""
    if min(len(source), len(target)) < 2:
        raise ValueError(
            f"a covariance needs two examples, but there are {len(source)} of the source and {len(target)} of the "
            f"target: choose a batch size that leaves no single one"
        )
    return (torch.cov(source.T) - torch.cov(target.T)).square().sum() / (4 * source.shape[1] ** 2)


def mmd(source: Tensor, target: Tensor, widths: list[float]) -> Tensor:
    """Squared distance of the mean embeddings of features (B, D) and (M, D): mean k(s, s') + k(t, t') − 2 k(s, t).

    k(a, b) = mean over widths w of exp(−‖a − b‖² / (w · v)), where v is the mean squared distance between all pairs,
    not differentiated. Biased (each row meets itself), so never below 0, and 0 for identical samples.
    """
    both = torch.cat([source, target])
    distance = (both[:, None] - both[None]).square().sum(-1)  # (B + M, B + M)
    unit = distance.detach().mean().clamp(min=1e-12)
    k = sum(torch.exp(-distance / (w * unit)) for w in widths) / len(widths)
    b = len(source)
    return k[:b, :b].mean() + k[b:, b:].mean() - 2 * k[:b, b:].mean()


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.strength * gradient, None


def reverse(x: Tensor, strength: float) -> Tensor:
    """Forward x itself, backward −strength times the gradient: what comes before learns the reverse."""
    return _Reverse.apply(x, strength)


def ramp(progress: float, gamma: float) -> float:
    """λ of DANN, 2 / (1 + exp(−γ p)) − 1: from 0 to almost 1, as the discriminator becomes worth listening to."""
    return 2 / (1 + math.exp(-gamma * progress)) - 1


def tell_apart(discriminator: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of "is it of the target?", each domain in equal parts however many rows it has; ln 2 by chance."""
    s, t = discriminator(source), discriminator(target)  # (B, 1), (M, 1)
    return (F.softplus(s).mean() + F.softplus(-t).mean()) / 2


def entropy(logits: Tensor) -> Tensor:
    """Of each row's class probabilities, in nats: (M, K) -> (M,), from 0 (sure) to ln K."""
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)


def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """How far pairs of classes share the probability of the same examples, (M, K) -> 0 (none) to 1 − 1/K.

    Rows are softened by the temperature and weighted by 1 + exp(−entropy), so that sure ones count more.
    """
    soft = logits / temperature
    weight = 1 + torch.exp(-entropy(soft).detach())
    p = soft.softmax(-1)
    together = (p * (len(p) * weight / weight.sum())[:, None]).T @ p  # (K, K)
    together = together / together.sum(1, keepdim=True)
    return (together.sum() - together.trace()) / len(together)


def pairs(loaders: dict) -> Iterator[tuple[dict, UnlabelledBatch]]:
    """One pass over the source, each batch beside one of the target, which begins anew as often as it must.

    Raises ValueError where the target is empty.
    """
    if getattr(loaders["target"], "generator", None):  # equal seeds would put row k of both into one batch, every pass
        loaders["target"].generator.manual_seed(loaders["target"].generator.initial_seed() + 1)
    target = repeated(loaders, "target")
    for batch in loaders["train"]:
        yield batch, UnlabelledBatch(next(target))


def joined(source: dict, target: dict) -> dict:
    """What a network reads of both, in one batch: texts padded to the longer, grey pictures given the other's channels.

    Raises ValueError for pictures of two sizes.
    """
    out = {}
    for name in target.keys() - {"index"}:
        pair = [source[name], target[name]]
        if name == "pixels":
            if pair[0].shape[2:] != pair[1].shape[2:]:
                raise ValueError(
                    f"one batch holds pictures of one size, but the source's have {tuple(pair[0].shape[2:])} and the "
                    f"target's {tuple(pair[1].shape[2:])} pixels: load both tasks with the same size"
                )
            channels = max(x.shape[1] for x in pair)
            pair = [x.expand(-1, channels, -1, -1) for x in pair]
        elif name in ("input_ids", "attention_mask"):
            longest = max(x.shape[1] for x in pair)
            pair = [F.pad(x, (0, longest - x.shape[1])) for x in pair]
        out[name] = torch.cat(pair)
    return out


@contextmanager
def _statistics_stand_still(model: nn.Module, yes: bool) -> Iterator[None]:
    """BatchNorm normalises by the batch and remembers nothing of it."""
    norms = [m for m in batchnorms(model).values() if m.track_running_stats]
    for m in norms if yes else ():
        m.track_running_stats = False
    try:
        yield
    finally:
        for m in norms if yes else ():
            m.track_running_stats = True


@dataclass
class FeatureAlignment(Strategy):
    """What all that follow share: batches in pairs, the two passes, and the weight of the second term.

    The target's examples are augmented as the source's are. With norm "source" the network keeps the source's BatchNorm
    statistics, as every other strategy expects; a network without BatchNorm is the same under all three.
    """

    weight: float = 1.0  # of the alignment, a mean over a batch; 0 is source-only
    # Whose BatchNorm statistics the network keeps. Each domain is normalised by its own batch ("target" or "source"),
    # or both are one batch ("shared"), as in much published code. The network is for the target, hence the default.
    norm: str = "target"

    def __post_init__(self):
        if self.weight < 0:
            raise ValueError(f"weight must not be negative, but it is {self.weight}: 0 is training on the source only")
        if self.norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}, but it is {self.norm!r}")

    @property
    def needs(self) -> tuple:
        return ("train", "target") if self.weight else ("train",)

    @property
    def exclusive(self) -> tuple:
        return (STATISTICS, COMPARES) if self.norm != "source" else ()

    def prepare(self, model: nn.Module) -> nn.Module:
        return require_linear_head(model, self, "aligns what one linear head reads")

    def batches(self, loaders: dict) -> Iterator[dict]:
        if not self.weight:
            yield from loaders["train"]
            return
        for source, target in pairs(loaders):
            n = {"loss": count_targets(source["labels"]), "target": len(next(iter(target.values())))}
            yield {**source, "target": target, "n": n}

    def loss(self, model: nn.Module, batch: dict) -> dict[str, Tensor]:
        if not self.weight:
            return super().loss(model, batch)
        source, target = self.features(model, batch)
        terms = {"loss": self.source_loss(model, source, batch["labels"])}
        with torch.autocast(source.device.type, enabled=False):  # covariances and distances need float32
            value = self.align(model, source.float(), target.float())
        return {**terms, "target": self.weight * batch["n"]["target"] * value}

    def features(self, model: nn.Module, batch: dict) -> tuple[Tensor, Tensor]:
        """Features of both, (B, D) and (M, D), normalised as `norm` says."""
        if self.norm == "shared":
            h = model.features(joined(batch, batch["target"]))
            return h[: len(batch["labels"])], h[len(batch["labels"]) :]
        with _statistics_stand_still(model, self.norm == "target"):
            source = model.features(batch)
        # Dropout of the target draws aside: the source meets the masks that it meets under source-only.
        aside = torch.random.fork_rng([source.device] if source.is_cuda else [])
        with aside, _statistics_stand_still(model, self.norm == "source"):
            return source, model.features(batch["target"])

    def source_loss(self, model: nn.Module, features: Tensor, labels: Tensor) -> Tensor:
        """Sum over the source's examples."""
        return target_loss(model.head(features), labels)

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        """The second term, a mean: what is to become small."""
        raise NotImplementedError("a method that aligns says how: write align(model, source, target)")


@dataclass
class DeepCORAL(FeatureAlignment):
    """The covariances of source and target features are pulled together."""

    weight: float = 1.0  # the value is divided by 4 D²: with features of hundreds it takes 10 to 1000 to be felt

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        return coral(source, target)


@dataclass
class MMD(FeatureAlignment):
    """The distributions of source and target features are pulled together, as five kernels see them."""

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        return mmd(source, target, widths=[0.25, 0.5, 1.0, 2.0, 4.0])  # times the mean squared distance, as in DAN


@dataclass
class DANN(FeatureAlignment):
    """A discriminator learns to tell the domains apart, the features learn to make that impossible."""

    gamma: float = 10.0  # how fast λ rises, see `ramp`; the paper's. 0: λ is 1 from the first step
    hidden: int = 64  # width of the discriminator's two hidden layers; small, as the batches are

    def __post_init__(self):
        super().__post_init__()
        if self.gamma < 0 or self.hidden < 1:
            raise ValueError(
                f"gamma must be at least 0, hidden at least 1, but they are {self.gamma} and {self.hidden}"
            )
        self.strength = 0.0  # λ of the step

    def prepare(self, model: nn.Module) -> nn.Module:
        model = super().prepare(model)
        if not hasattr(model, "domain"):
            wide, like = [self.inputs(model), self.hidden, self.hidden, 1], model.head.weight
            layers = [nn.Linear(a, b, device=like.device, dtype=like.dtype) for a, b in itertools.pairwise(wide)]
            model.domain = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        self.strength = ramp(progress, self.gamma) if self.gamma else 1.0

    def inputs(self, model: nn.Module) -> int:
        """How many numbers the discriminator gets an example."""
        return model.head.in_features

    def given(self, model: nn.Module, features: Tensor) -> Tensor:
        """What the discriminator gets of features (B, D)."""
        return features

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        source, target = (reverse(self.given(model, h), self.strength) for h in (source, target))
        return tell_apart(model.domain, source, target)


@dataclass
class CDAN(DANN):
    """DANN that also sees the answer: features ⊗ class probabilities, D · K numbers; probabilities get no gradient."""

    def inputs(self, model: nn.Module) -> int:
        return model.head.in_features * model.head.out_features

    def given(self, model: nn.Module, features: Tensor) -> Tensor:
        p = model.head(features).softmax(-1).detach()  # (B, K)
        return (p[:, :, None] * features[:, None]).flatten(1)  # (B, K * D)


@dataclass
class MCD(FeatureAlignment):
    """Two heads learn the source and to disagree on the target, the features learn that they agree: in one step.

    The paper takes three optimizer steps in turn. Reversing the gradient of the disagreement between features and heads
    gives both sides their direction at once, which is the authors' own variant with a reversal layer. The model answers
    by its first head.
    """

    def prepare(self, model: nn.Module) -> nn.Module:
        model = super().prepare(model)
        if not hasattr(model, "second"):
            like = model.head.weight
            model.second = nn.Linear(like.shape[1], like.shape[0], device=like.device, dtype=like.dtype)
        return model

    def source_loss(self, model: nn.Module, features: Tensor, labels: Tensor) -> Tensor:
        return super().source_loss(model, features, labels) + target_loss(model.second(features), labels)

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        h = reverse(target, 1.0)
        apart = (model.head(h).softmax(-1) - model.second(h).softmax(-1)).abs().mean()
        return -apart  # the heads raise it, the features, behind the reversal, lower it


@dataclass
class EntropyMin(FeatureAlignment):
    """Answers on the target become sure. Alone it can end in one class for all: watch the worst class."""

    weight: float = 0.1  # as is usual: at 1 the first answers, right or wrong, are hardened

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        return entropy(model.head(target)).mean()


@dataclass
class MCC(FeatureAlignment):
    """Minimum class confusion: no two classes share the probability of the same target examples."""

    temperature: float = 2.5  # softens answers that are too sure; the paper's

    def __post_init__(self):
        super().__post_init__()
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, but it is {self.temperature}: the paper takes 2.5")

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        return class_confusion(model.head(target), self.temperature)


@dataclass
class PseudoLabels(FeatureAlignment):
    """The network's own answers on the target are its labels there, where it is sure enough. `share`: how often."""

    threshold: float = 0.9  # probability of the likeliest class from which an answer is believed

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold is a probability between 0 and 1, but it is {self.threshold}: try 0.9")
        self.seen, self.believed, self.share = 0, 0, 0.0

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        logits = model.head(target)
        sure, answer = logits.detach().softmax(-1).max(-1)
        believed = sure >= self.threshold
        self.seen, self.believed = self.seen + len(sure), self.believed + int(believed.sum())
        self.share = self.believed / self.seen
        return (F.cross_entropy(logits, answer, reduction="none") * believed).mean()
