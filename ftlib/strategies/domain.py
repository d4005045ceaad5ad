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
    """The base of all strategies here pairs the batches, runs both passes and adds the weighted second term.

    A subclass defines in `align` the value that is to become small. Examples of the target are augmented like those of
    the source. A network without BatchNorm is the same under every `norm`.

    Parameters
    ----------
    weight : float, default 1.0
        Weight of the second term, a mean over a batch, beside the source's loss. At least 0. With 0 this is training on
        the source only.
    norm : {"target", "source", "shared"}, default "target"
        Domain whose BatchNorm statistics the network keeps. "target" and "source" normalise each domain by its own
        batch. "shared" makes one batch of both, as much published code does. The default is "target" because the
        network is for the target. Every other strategy expects "source".

    Raises
    ------
    ValueError
        If `weight` is negative, if `norm` is unknown, or if the head of the model is not one linear layer.
    """

    weight: float = 1.0
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
    """Deep CORAL pulls the covariances of source and target features together.

    The second term is ‖C_s − C_t‖²_F / (4 D²), with the covariances C of a batch and D features. It ignores the means.

    Parameters
    ----------
    weight : float, default 1.0
        Weight of the second term beside the source's loss, at least 0. With 0 this is training on the source only.
        The division by 4 D² makes the value small. With hundreds of features it takes 10 to 1000 to have an effect.
    norm : {"target", "source", "shared"}, default "target"
        Domain whose BatchNorm statistics the network keeps, see `FeatureAlignment`.

    Raises
    ------
    ValueError
        If `weight` is negative, if `norm` is unknown, or if the head of the model is not one linear layer.
        If a batch of either domain has one example only.

    References
    ----------
    Sun & Saenko (2016), Deep CORAL: Correlation Alignment for Deep Domain Adaptation, arXiv:1607.01719.

    Examples
    --------
    >>> h = torch.randn(8, 4)
    >>> round(strategies.domain.coral(h, h + 5).item(), 4)  # a shift of the mean costs nothing
    0.0
    >>> loaders = {"train": train, "target": train}
    >>> _, history = ftlib.fit(model, loaders, strategies.DeepCORAL(), steps=1, lr=0.01, verbose=False)
    >>> sorted(history[0]["terms"])
    ['loss', 'target']
    """

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        return coral(source, target)


@dataclass
class MMD(FeatureAlignment):
    """MMD pulls the distributions of source and target features together, as five kernels measure them.

    The second term is the squared distance between the mean embeddings of both batches. The kernels are Gaussian, with
    widths of 0.25 to 4 times the mean squared distance between the examples, as in DAN.

    Parameters
    ----------
    weight : float, default 1.0
        Weight of the second term beside the source's loss, at least 0. With 0 this is training on the source only.
        The value lies between 0 and 2 whatever the scale of the features, so 1 is a fair start.
    norm : {"target", "source", "shared"}, default "target"
        Domain whose BatchNorm statistics the network keeps, see `FeatureAlignment`.

    Raises
    ------
    ValueError
        If `weight` is negative, if `norm` is unknown, or if the head of the model is not one linear layer.

    References
    ----------
    Long et al. (2015), Learning Transferable Features with Deep Adaptation Networks, ICML, arXiv:1502.02791.

    Examples
    --------
    >>> h = torch.linspace(-1, 1, 8)[:, None]  # eight examples with one feature
    >>> for shift in (0.0, 1.0, 9.0):
    ...     print(round(strategies.domain.mmd(h, h + shift, widths=[1.0]).item(), 2))
    0.0
    0.33
    1.66
    """

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        return mmd(source, target, widths=[0.25, 0.5, 1.0, 2.0, 4.0])  # times the mean squared distance, as in DAN


@dataclass
class DANN(FeatureAlignment):
    """DANN trains a discriminator to tell the domains apart, and the features to make that impossible.

    The gradient of the discriminator's loss is multiplied by −λ before it reaches the features. λ rises from 0 to
    almost 1 during training, as 2 / (1 + exp(−γ p)) − 1 with the progress p.

    Parameters
    ----------
    weight : float, default 1.0
        Weight of the second term beside the source's loss, at least 0. With 0 this is training on the source only.
        The paper takes 1 and controls the strength by λ alone.
    norm : {"target", "source", "shared"}, default "target"
        Domain whose BatchNorm statistics the network keeps, see `FeatureAlignment`.
    gamma : float, default 10.0
        γ, how fast λ rises, at least 0. The default is the paper's. With 0, λ is 1 from the first step on.
    hidden : int, default 64
        Width of the discriminator's two hidden layers, at least 1. It is small because the batches are.

    Raises
    ------
    ValueError
        If `weight` is negative, if `norm` is unknown, or if the head of the model is not one linear layer.
        If `gamma` is negative or `hidden` below 1.

    References
    ----------
    Ganin et al. (2016), Domain-Adversarial Training of Neural Networks, JMLR, arXiv:1505.07818.

    Examples
    --------
    >>> [round(strategies.domain.ramp(progress, gamma=10.0), 2) for progress in (0.0, 0.1, 0.5)]  # λ
    [0.0, 0.46, 0.99]
    >>> model = strategies.DANN(hidden=8).prepare(model)
    >>> sum(p.numel() for p in model.domain.parameters())  # 16 features -> 8 -> 8 -> 1
    217
    """

    gamma: float = 10.0
    hidden: int = 64

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
    """CDAN is DANN with a discriminator that sees the predicted classes too.

    The discriminator reads features ⊗ class probabilities, D · K numbers per example. The probabilities get no
    gradient.

    Parameters
    ----------
    weight : float, default 1.0
        Weight of the second term beside the source's loss, at least 0. With 0 this is training on the source only.
        The default is that of DANN.
    norm : {"target", "source", "shared"}, default "target"
        Domain whose BatchNorm statistics the network keeps, see `FeatureAlignment`.
    gamma : float, default 10.0
        How fast λ rises, at least 0, see `DANN`.
    hidden : int, default 64
        Width of the discriminator's two hidden layers, at least 1, see `DANN`.

    Raises
    ------
    ValueError
        If `weight` is negative, if `norm` is unknown, or if the head of the model is not one linear layer.
        If `gamma` is negative or `hidden` below 1.

    References
    ----------
    Long et al. (2018), Conditional Adversarial Domain Adaptation, NeurIPS, arXiv:1705.10667.

    Examples
    --------
    >>> model = strategies.CDAN(hidden=8).prepare(model)
    >>> model.domain[0].in_features  # 16 features · 3 classes
    48
    """

    def inputs(self, model: nn.Module) -> int:
        return model.head.in_features * model.head.out_features

    def given(self, model: nn.Module, features: Tensor) -> Tensor:
        p = model.head(features).softmax(-1).detach()  # (B, K)
        return (p[:, :, None] * features[:, None]).flatten(1)  # (B, K * D)


@dataclass
class MCD(FeatureAlignment):
    """MCD trains two heads to disagree on the target, and the features to make them agree.

    The paper alternates between three optimizer steps. This strategy takes the authors' own variant with gradient
    reversal between features and heads, which needs one step. The model answers with its first head.

    Parameters
    ----------
    weight : float, default 1.0
        Weight of the second term beside the source's loss, at least 0. With 0 this is training on the source only.
        The disagreement is a mean difference of probabilities, so it is at most 1.
    norm : {"target", "source", "shared"}, default "target"
        Domain whose BatchNorm statistics the network keeps, see `FeatureAlignment`.

    Raises
    ------
    ValueError
        If `weight` is negative, if `norm` is unknown, or if the head of the model is not one linear layer.

    References
    ----------
    Saito et al. (2018), Maximum Classifier Discrepancy for Unsupervised Domain Adaptation, CVPR, arXiv:1712.02560.

    Examples
    --------
    >>> strategy = strategies.MCD()
    >>> model = strategy.prepare(model)
    >>> h = model.features(next(iter(train)))
    >>> strategy.align(model, h, h).item() < 0  # minus the disagreement: the heads begin at different points
    True
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
    """Entropy minimisation makes the predictions on the target confident.

    The second term is the mean entropy of the class probabilities. Alone it can end with one class for all examples, so
    watch the accuracy of the worst class.

    Parameters
    ----------
    weight : float, default 0.1
        Weight of the second term beside the source's loss, at least 0. With 0 this is training on the source only.
        The default is small, as is usual. With 1 the first predictions become confident, right or wrong.
    norm : {"target", "source", "shared"}, default "target"
        Domain whose BatchNorm statistics the network keeps, see `FeatureAlignment`.

    Raises
    ------
    ValueError
        If `weight` is negative, if `norm` is unknown, or if the head of the model is not one linear layer.

    References
    ----------
    Grandvalet & Bengio (2004), Semi-supervised Learning by Entropy Minimization, NIPS.
    Shu et al. (2018), A DIRT-T Approach to Unsupervised Domain Adaptation, ICLR, arXiv:1802.08735.

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    >>> [round(nats, 3) for nats in strategies.domain.entropy(logits).tolist()]  # unsure, sure
    [0.693, 0.001]
    """

    weight: float = 0.1

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        return entropy(model.head(target)).mean()


@dataclass
class MCC(FeatureAlignment):
    """Minimum class confusion keeps the predictions on the target from mixing classes up.

    The second term is the probability mass that pairs of classes share on the same examples, between 0 and 1 − 1/K.

    Parameters
    ----------
    weight : float, default 1.0
        Weight of the second term beside the source's loss, at least 0. With 0 this is training on the source only.
        The value is always below 1, so it has the size of a loss.
    norm : {"target", "source", "shared"}, default "target"
        Domain whose BatchNorm statistics the network keeps, see `FeatureAlignment`.
    temperature : float, default 2.5
        Divides the logits before the softmax, above 0, which softens overconfident predictions. The default is the
        paper's.

    Raises
    ------
    ValueError
        If `weight` is negative, if `norm` is unknown, or if the head of the model is not one linear layer.
        If `temperature` is not above 0.

    References
    ----------
    Jin et al. (2020), Minimum Class Confusion for Versatile Domain Adaptation, ECCV, arXiv:1912.03699.

    Examples
    --------
    >>> unsure, sure = torch.zeros(4, 2), 50 * torch.eye(2)
    >>> [round(strategies.domain.class_confusion(logits, 2.5).item(), 3) for logits in (unsure, sure)]
    [0.5, 0.0]
    """

    temperature: float = 2.5

    def __post_init__(self):
        super().__post_init__()
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, but it is {self.temperature}: the paper takes 2.5")

    def align(self, model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        return class_confusion(model.head(target), self.temperature)


@dataclass
class PseudoLabels(FeatureAlignment):
    """Pseudo-labels treat the network's own confident predictions on the target as labels.

    Parameters
    ----------
    weight : float, default 1.0
        Weight of the second term beside the source's loss, at least 0. With 0 this is training on the source only.
        A pseudo-label counts as much as a label of the source.
    norm : {"target", "source", "shared"}, default "target"
        Domain whose BatchNorm statistics the network keeps, see `FeatureAlignment`.
    threshold : float, default 0.9
        Probability of the most likely class from which a prediction is used, between 0 and 1. The default accepts few
        mistakes.

    Attributes
    ----------
    share : float
        Share of the target examples used so far.

    Raises
    ------
    ValueError
        If `weight` is negative, if `norm` is unknown, or if the head of the model is not one linear layer.
        If `threshold` is not between 0 and 1.

    References
    ----------
    Lee (2013), Pseudo-Label, ICML Workshop on Challenges in Representation Learning.

    Examples
    --------
    >>> for threshold in (0.3, 0.9):  # three classes: the most likely one has a third at least
    ...     strategy = strategies.PseudoLabels(threshold=threshold)
    ...     _ = ftlib.fit(model, {"train": train, "target": train}, strategy, steps=1, lr=0.0, verbose=False)
    ...     print(strategy.share)
    1.0
    0.0
    """

    threshold: float = 0.9

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
