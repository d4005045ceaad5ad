"""Corrections for a shifted domain that need no training on it, and the competitor that needs a few labels.

    AdaBN       BatchNorm's mean and variance are counted anew on the target         Li et al., 2016, 1603.04779
    CORAL       target features x ↦ (x − μ_t) C_t^−½ C_s^½ + μ_s, then the same head  Sun et al., AAAI 2016, 1511.05547
    LabelShift  logit_k + ln w_k,  w_k = q(k) / p(k) by black-box shift estimation    Lipton et al., 2018, 1802.03916
    FewLabels   source examples beside the few labelled ones of the target            what every method must beat

The first three work in `finish`, after the last step. A phase of zero steps applies one to a model that was trained on
the source: `Phase([{"AdaBN": {}}], steps=0, lr=0, data={"train": "train", "target": "elpv/poly:train"})`.
AdaBN undoes whatever scales and shifts the inputs of a normalisation (contrast, brightness). CORAL and
LabelShift change the linear head alone, so the network costs what it did. LabelShift assumes that the shares of the
classes have changed and nothing else; AdaBN and CORAL assume that everything but the shares has.

Few labels, one domain after the other, need no class: a phase of Full() on the source and one on
{"train": "elpv/poly:train:10"}, ten examples of the target. Lesson: notebooks/07_domain.

Letters: N examples of the source, M of the target, D features, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from ftlib.networks import batchnorms, collect, repeated, require_linear_head, statistics_follow
from ftlib.strategy import COMPARES, CORRECTS, ONE_HEAD, STATISTICS, Strategy, UnlabelledBatch, count_targets


def power(matrix: Tensor, exponent: float) -> Tensor:
    """A symmetric positive matrix (D, D) to a real power, through its eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=1e-12) ** exponent) @ vectors.T


def recolour(source: Tensor, target: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """A (D, D) and c (D,) such that target rows x A + c have the mean and, for ridge 0, the covariance of the source.

    source (N, D), target (M, D). ridge: added to both diagonals, in units of the source's mean variance: with fewer
    examples than features a covariance has no inverse.
    """
    cs, ct = torch.cov(source.T), torch.cov(target.T)
    more = ridge * cs.diagonal().mean() * torch.eye(len(cs), dtype=cs.dtype, device=cs.device)
    a = power(ct + more, -0.5) @ power(cs + more, 0.5)
    return a, source.mean(0) - target.mean(0) @ a


def label_shift(answers: Tensor, labels: Tensor, target_answers: Tensor, classes: int) -> Tensor:
    """w (K,) with w_k = q(k) / p(k), the target's share of class k over the source's; estimated, never below 0.

    Solves C (w − 1) = μ_t − μ_s, where C_ij is the share of held-out source examples with answer i and label j, and μ
    the shares of the answers. answers, labels (N,), target_answers (M,): whole numbers from 0 to K − 1. Where C says
    nothing about a direction (a class that is never answered), w stays 1 in it (Azizzadenesheli et al., 2019,
    1903.09734). Raises ValueError unless all are in range and there are examples of both.
    """
    for name, values in (("answers", answers), ("labels", labels), ("target answers", target_answers)):
        if not len(values) or not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"label_shift needs {name} from 0 to {classes - 1}, at least one, but got {len(values)} "
                f"{f'from {values.min()} to {values.max()}' if len(values) else 'of them'}"
            )
    joint = torch.bincount(answers * classes + labels, minlength=classes**2).view(classes, classes).double()
    joint = joint / len(labels)
    now = torch.bincount(target_answers, minlength=classes).double() / len(target_answers)
    return (1 + torch.linalg.pinv(joint, rtol=1e-3) @ (now - joint.sum(1))).clamp(min=0)


def features_of(model: nn.Module, loader, labels: bool = False) -> tuple[Tensor, ...]:
    """Features (N, D) over a loader, in float64 on the CPU; with labels, (features, labels (N,)).

    Without labels the batches are UnlabelledBatch, so that none can be read. Raises ValueError for an empty loader.
    """
    features, *more = collect(model, loader, "features", *(["labels"] if labels else []))
    return features.double(), *more


def _linear_head(model: nn.Module, who: Strategy) -> nn.Module:
    require_linear_head(model, who, "changes a linear head")
    if who.applied:
        raise ValueError(
            f"{who} has corrected the head of this model already, and would correct it twice: train the model from "
            f"before, or load it anew"
        )
    return model


@dataclass
class AdaBN(Strategy):
    """AdaBN recomputes the BatchNorm statistics on the target after the last step, and changes no weight.

    Every example counts once. Meanwhile the lower normalisations use the statistics of their batch, so batches should
    not be small. Averages of the weights (EMA, SWA) come first, since statistics belong to one set of weights. A
    shift of the class shares changes the statistics too, and then AdaBN corrects what was right.

    Raises
    ------
    ValueError
        If the model has no BatchNorm, or if the target has no batch of two examples or more.

    References
    ----------
    Li et al. (2016), Revisiting Batch Normalization for Practical Domain Adaptation, arXiv:1603.04779.

    Examples
    --------
    >>> target = [{**batch, "x": batch["x"] + 5.0} for batch in train]
    >>> loaders = {"train": train, "target": target}
    >>> adapted, _ = ftlib.fit(model, loaders, strategies.AdaBN(), steps=0, lr=0.0, verbose=False)
    >>> linear, norm = adapted.stages[0][:2]
    >>> torch.allclose(norm.running_mean, linear(target[0]["x"]).mean(0), atol=1e-5)
    True
    """

    finishes = "statistics"
    needs = ("target",)
    exclusive = (CORRECTS,)

    def prepare(self, model: nn.Module) -> nn.Module:
        if not _norms(model):
            raise ValueError(
                "AdaBN needs a network with BatchNorm, but this one has none, as transformers: leave it out"
            )
        return model

    @torch.no_grad()
    def finish(self, model: nn.Module, loaders: dict) -> None:
        norms, device, seen = _norms(model), next(model.parameters()).device, 0
        with statistics_follow(norms):
            for batch in loaders["target"]:
                batch = send_to_device(UnlabelledBatch(batch), device)
                rows = len(next(iter(batch.values())))
                if rows > 1:  # one example alone has no variance
                    seen += rows
                    for m in norms:
                        m.momentum = rows / seen  # the first batch replaces what was, and every example counts once
                    model.features(batch)
        if not seen:
            raise ValueError("AdaBN counts batches of two examples or more, but the target loader gave none")


def _norms(model: nn.Module) -> list[nn.Module]:
    """The normalisations that keep statistics."""
    return [m for m in batchnorms(model).values() if m.running_mean is not None]


@dataclass
class CORAL(Strategy):
    """CORAL makes the head read target features as if they had the mean and covariance of the source.

    Target features become x ↦ (x − μ_t) C_t^−½ C_s^½ + μ_s, once, after the last step. The paper maps the source to the
    target and trains a classifier on it. This is the reverse: the target is mapped and the trained head is kept. Both
    maps are linear, so they become one head again.

    Parameters
    ----------
    ridge : float, default 1.0
        Number added to the diagonals of both covariances, above 0, in units of the source's mean variance. The paper
        adds 1 to features of variance 1. Small values amplify noise.

    Raises
    ------
    ValueError
        If `ridge` is not above 0.
        If the head of the model is not one linear layer, or if the head has been corrected before.

    References
    ----------
    Sun, Feng & Saenko (2016), Return of Frustratingly Easy Domain Adaptation, AAAI, arXiv:1511.05547.

    Examples
    --------
    >>> source = torch.randn(50, 3)
    >>> target = 2 * source + 1  # another scale and another mean
    >>> a, c = strategies.domain_shift.recolour(source, target, ridge=1e-6)
    >>> torch.allclose(target @ a + c, source, atol=1e-2)
    True
    """

    ridge: float = 1.0
    finishes = "head"
    needs = ("train", "target")
    exclusive = (CORRECTS, COMPARES, ONE_HEAD)

    def __post_init__(self):
        self.applied = False
        if not self.ridge > 0:
            raise ValueError(
                f"ridge must be above 0, but it is {self.ridge}: small ones whiten noise, the paper takes 1"
            )

    def prepare(self, model: nn.Module) -> nn.Module:
        return _linear_head(model, self)

    @torch.no_grad()
    def finish(self, model: nn.Module, loaders: dict) -> None:
        (source,), (target,) = features_of(model, loaders["train"]), features_of(model, loaders["target"])
        a, c = recolour(source, target, self.ridge)
        weight, bias = model.head.weight.double().cpu(), model.head.bias.double().cpu()
        model.head.weight.copy_(weight @ a.T)  # (K, D)
        model.head.bias.copy_(bias + weight @ c)
        self.applied = True


@dataclass
class LabelShift(Strategy):
    """Label shift correction adds the logarithm of estimated class weights to the biases of the head.

    The weight of class k is w_k = q(k) / p(k), its share in the target divided by its share in the source. It is
    estimated from the predictions on both, without a label of the target. The mistakes of the network are counted on
    the loader "held_out", labelled source examples outside the training data. Without that loader they are counted on
    "train", where a network makes too few.

    Attributes
    ----------
    weights : list of float
        The estimated weight of each class.

    Raises
    ------
    ValueError
        If the head of the model is not one linear layer, or if the head has been corrected before.

    References
    ----------
    Lipton, Wang & Smola (2018), Detecting and Correcting for Label Shift with Black Box Predictors, ICML,
    arXiv:1802.03916.

    Examples
    --------
    >>> labels = torch.tensor([0, 0, 1, 1])  # and the network makes no mistake
    >>> target_answers = torch.tensor([0, 1, 1, 1])
    >>> w = strategies.domain_shift.label_shift(labels, labels, target_answers, classes=2)
    >>> [round(weight, 2) for weight in w.tolist()]
    [0.5, 1.5]
    """

    finishes = "head"
    needs = ("target",)
    may_use = ("held_out", "train")
    exclusive = (CORRECTS, COMPARES, ONE_HEAD)

    def __post_init__(self):
        self.applied = False
        self.weights: list[float] = []  # q(k) / p(k), estimated

    def prepare(self, model: nn.Module) -> nn.Module:
        return _linear_head(model, self)

    @torch.no_grad()
    def finish(self, model: nn.Module, loaders: dict) -> None:
        known, labels = features_of(model, loaders["held_out" if "held_out" in loaders else "train"], labels=True)
        labels = labels.argmax(-1) if labels.is_floating_point() else labels
        (unknown,) = features_of(model, loaders["target"])
        weight, bias = model.head.weight.double().cpu(), model.head.bias.double().cpu()
        answers, target_answers = ((h @ weight.T + bias).argmax(-1) for h in (known, unknown))
        w = label_shift(answers, labels, target_answers, len(bias))
        model.head.bias.copy_(bias + w.clamp(min=1e-3).log())  # a class that seems to be gone stays possible
        self.weights, self.applied = w.tolist(), True


@dataclass
class FewLabels(Strategy):
    """Few labels adds a few labelled examples of the target to training, a batch of them in each step.

    It is the competitor that every method without labels must beat. The loader "labelled" holds the few examples,
    such as "elpv/poly:train:10". It begins anew as often as it must.

    Parameters
    ----------
    weight : float, default 1.0
        Weight of the mean loss on the few examples beside the source's, at least 0. With 0 this is training on the
        source only. With the default both domains count the same.

    Attributes
    ----------
    labels : float
        Number of different target examples whose labels were used.

    Raises
    ------
    ValueError
        If `weight` is negative, or if the loader "labelled" is empty.

    Examples
    --------
    >>> strategy, loaders = strategies.FewLabels(), {"train": train, "labelled": train}  # 16 examples
    >>> _, history = ftlib.fit(model, loaders, strategy, steps=2, lr=0.01, verbose=False)
    >>> sorted(history[0]["terms"]), strategy.labels  # read twice, counted once
    (['few', 'loss'], 16.0)
    """

    weight: float = 1.0
    exclusive = (STATISTICS,)

    def __post_init__(self):
        if self.weight < 0:
            raise ValueError(f"weight must not be negative, but it is {self.weight}: 0 is training on the source only")
        self.read: list[int] = []  # which target examples
        self.labels = 0.0

    @property
    def needs(self) -> tuple:
        return ("train", "labelled") if self.weight else ("train",)

    def batches(self, loaders: dict) -> Iterator[dict | list[dict]]:
        if not self.weight:
            yield from loaders["train"]
            return
        few = repeated(loaders, "labelled")
        for source in loaders["train"]:
            both = {"loss": source, "few": next(few)}
            yield [{**batch, "n": {term: count_targets(batch["labels"])}} for term, batch in both.items()]

    def loss(self, model: nn.Module, batch: dict) -> dict[str, Tensor]:
        terms = super().loss(model, batch)
        if "few" in terms:
            self.read = sorted({*self.read, *torch.as_tensor(batch["index"]).tolist()})
            self.labels, terms["few"] = float(len(self.read)), self.weight * terms["few"]
        return terms
