"""Incremental learning without stored examples: a term of the loss holds what earlier tasks need.

    EWC   λ/2 Σ_k Σ_i F_ki (θ_i − θ*_ki)²                   Kirkpatrick et al., PNAS 2017, 1612.00796
          one anchor, F ← γ F + F_k                         online EWC: Schwarz et al., ICML 2018, 1805.06370

θ*_k are the weights at the end of task k. F_k is the diagonal of the Fisher information there, the mean over examples
of (∂ log p(y|x) / ∂θ)². It is a mean of squares of single gradients. The square of a batch's mean gradient is another,
much smaller number.

Whose y? The definition takes y from the model's own distribution p(y|x). With the data's labels it is the *empirical*
Fisher, which vanishes where the model fits its data. Kunstner et al. (NeurIPS 2019, 1905.12558) show the difference.

A task is one call of `fit`. The same strategy object takes its anchors to the next call. In a Spec a task is one phase,
and the same class in a later phase goes on with them. The first task trains as if there were no term, and strength 0 is
naive training to the last bit. A later task needs the same weights by the same names.

Costs: EWC keeps two copies of the trained weights per task (online: two in all) and runs one backward pass per example
at the end of a task. Methods that store examples are in strategies.rehearsal.

Letters: B examples, K classes, V tokens of a vocabulary, M counted tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from accelerate.utils import send_to_device
from torch import Tensor, nn

from ftlib.strategy import Strategy, target_loss

LABELS = ("sample", "all", "data")


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def check_strength(strategy: Strategy) -> None:
    """ValueError for a negative strength."""
    if strategy.strength < 0:
        raise ValueError(f"strength must not be negative, but it is {strategy.strength}: 0 is naive training")


def quadratic(model: nn.Module, weights: dict[str, Tensor], anchor: dict[str, Tensor]) -> Tensor:
    """Σ_i weight_i (θ_i − anchor_i)² over the parameters that learn and have an anchor."""
    now = {name: p for name, p in trained(model).items() if name in anchor}
    terms = [(weights[name].to(p) * (p - anchor[name].to(p)).square()).sum() for name, p in now.items()]
    return torch.stack(terms).sum() if terms else torch.zeros(())


# ---- elastic weight consolidation


def singles(loaders: dict, device: torch.device) -> Iterator[dict]:
    """Every training example as a batch of one."""
    for batch in loaders["train"]:
        for i in range(len(batch["labels"])):
            one = {name: value[i : i + 1] if isinstance(value, Tensor) else value for name, value in batch.items()}
            yield send_to_device(one, device)


def fisher(model: nn.Module, loaders: dict, examples: int, labels: str) -> dict[str, Tensor]:
    """The diagonal of the Fisher information: the mean over `examples` of (∂ log p(y|x) / ∂θ)², by parameter.

    labels: whose y. "sample" draws one from p(y|x), "all" takes each class and weights its square by p(y|x), "data"
    takes the label of the example.
    """
    params, n = trained(model), 0
    total = {name: torch.zeros_like(p) for name, p in params.items()}

    def add(surprise: Tensor, weight: float | Tensor = 1.0, more: bool = False) -> None:
        grads = torch.autograd.grad(surprise, list(params.values()), retain_graph=more, allow_unused=True)
        for name, g in zip(params, grads, strict=True):
            if g is not None:
                total[name] += weight * g.square()

    for one in islice(singles(loaders, next(model.parameters()).device), examples):
        logits, n = model(one), n + 1
        if labels == "data":
            add(target_loss(logits, one["labels"]))
            continue
        if logits.shape[-1] == 1:
            raise ValueError(
                f"the labels {labels!r} of EWC are drawn from class probabilities, but this head gives a number: "
                f"take labels='data'"
            )
        log_p = logits.float().flatten(0, -2).log_softmax(-1)  # (1, K), or (M, V) of a language model
        if labels == "sample":
            add(F.nll_loss(log_p, torch.multinomial(log_p.detach().exp(), 1)[:, 0], reduction="sum"))
            continue
        if len(log_p) > 1:
            raise ValueError("the labels 'all' of EWC need one class per example: take labels='sample' for texts")
        for surprise, p in zip(-log_p[0], log_p[0].detach().exp(), strict=True):
            add(surprise, p, more=True)
    if not n:
        raise ValueError("EWC found no example at the end of the task: is the training split empty?")
    return {name: value / n for name, value in total.items()}


@dataclass
class EWC(Strategy):
    """Elastic weight consolidation pulls each weight back by its importance for earlier tasks.

    At the end of a task it keeps the weights θ* and the diagonal Fisher information F. In later tasks it adds
    strength/2 · Σ F (θ − θ*)² to the loss, one such term per earlier task.

    Parameters
    ----------
    strength : float, default 100.0
        λ, at least 0. With 0 this is naive training. Good values differ by orders of magnitude between problems, so
        search it.
    labels : {"sample", "all", "data"}, default "sample"
        Whose labels the Fisher information takes. "sample" draws one label per example from the model's own
        probabilities. "all" takes their exact mean over the classes and needs one backward pass per class. "data" takes
        the labels of the data, which gives the empirical Fisher.
    examples : int, default 200
        Examples of a task for its Fisher information, at least 1. Each needs a forward and a backward pass.
    decay : float or None, default None
        None keeps a term per task. A number γ in [0, 1] is online EWC: there is one term, its anchor is the last task's
        end, and its Fisher information becomes γ · F + F of the last task.

    Attributes
    ----------
    anchors : list of dict
        {parameter: [Fisher information, anchor]} per term.

    Raises
    ------
    ValueError
        If `strength` is negative, `labels` unknown, `examples` below 1 or `decay` not in [0, 1]. At the end of a task,
        if the labels don't fit the head.

    References
    ----------
    Kirkpatrick et al. (2017), Overcoming Catastrophic Forgetting in Neural Networks, PNAS, arXiv:1612.00796.
    Schwarz et al. (2018), Progress & Compress, ICML, arXiv:1805.06370.

    Examples
    --------
    >>> strategy = strategies.EWC(strength=100.0)
    >>> model, _ = ftlib.fit(model, train, strategy, steps=2, lr=0.01, verbose=False)  # the first task
    >>> strategy.penalty(model, {}).item()  # the weights are at the anchor
    0.0
    >>> with torch.no_grad():
    ...     _ = model.head.bias.add_(0.5)
    >>> strategy.penalty(model, {}).item() > 0
    True
    """

    strength: float = 100.0
    labels: str = "sample"
    examples: int = 200
    decay: float | None = None

    def __post_init__(self):
        check_strength(self)
        if self.labels not in LABELS:
            raise ValueError(f"labels must be one of {', '.join(LABELS)}, but it is {self.labels!r}")
        if self.examples < 1:
            raise ValueError(f"examples must be at least 1, but it is {self.examples}: 200 is a start")
        if self.decay is not None and not 0 <= self.decay <= 1:
            raise ValueError(f"decay must lie in [0, 1], but it is {self.decay}: None keeps a term per task")
        self.anchors: list[dict[str, list[Tensor]]] = []

    def penalty(self, model: nn.Module, batch: dict) -> Tensor | float:
        if not self.strength:
            return 0.0
        pulls = [
            quadratic(model, {k: f for k, (f, _) in anchor.items()}, {k: v for k, (_, v) in anchor.items()})
            for anchor in self.anchors
        ]
        return self.strength / 2 * sum(pulls)

    def finish(self, model: nn.Module, loaders: dict) -> None:
        if not self.strength:
            return
        found = fisher(model, loaders, self.examples, self.labels)
        new = {k: [found[k], p.detach().clone()] for k, p in trained(model).items()}
        if self.decay is not None and self.anchors:
            faded = {k: [self.decay * f, anchor] for k, (f, anchor) in self.anchors.pop().items()}
            new = faded | {k: [f + faded[k][0].to(f) if k in faded else f, anchor] for k, (f, anchor) in new.items()}
        self.anchors.append(new)
