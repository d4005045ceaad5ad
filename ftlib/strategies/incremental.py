"""Incremental learning without stored examples: a term of the loss holds what earlier tasks need.

    EWC   λ/2 Σ_k Σ_i F_ki (θ_i − θ*_ki)²                   Kirkpatrick et al., PNAS 2017, 1612.00796
          one anchor, F ← γ F + F_k                         online EWC: Schwarz et al., ICML 2018, 1805.06370
    SI    c Σ_i Ω_i (θ_i − θ*_i)²,  Ω += ω / (Δ² + ξ)       Zenke et al., ICML 2017, 1703.04200
    LwF   λ T² KL(p_T(old model) ‖ p_T(this model))         Li & Hoiem, ECCV 2016, 1606.09282

EWC: θ*_k are the weights at the end of task k. F_k is the diagonal of the Fisher information there, the mean over
examples of (∂ log p(y|x) / ∂θ)². It is a mean of squares of single gradients. The square of a batch's mean gradient is
another, much smaller number.

Whose y? The definition takes y from the model's own distribution p(y|x). With the data's labels it is the *empirical*
Fisher, which vanishes where the model fits its data. Kunstner et al. (NeurIPS 2019, 1905.12558) show the difference.

A task is one call of `fit`. The same strategy object takes what it keeps to the next call. In a Spec a task is one
phase, and the same class in a later phase goes on with it. The first task trains as if there were no term, and strength
0 is naive training to the last bit. A later task needs the same weights by the same names.

Costs: EWC keeps two copies of the trained weights per task (online: two in all) and runs one backward pass per example
at the end of a task. SI keeps two copies and, during a task, four more. LwF keeps one copy and runs one more forward
pass per step. Methods that store examples are in strategies.rehearsal.

Letters: B examples, K classes, V tokens of a vocabulary, M counted tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.func import functional_call

from ftlib.networks import heads, set_mode, walk
from ftlib.strategy import IGNORED, Strategy, target_loss

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


def size_in_bytes(*kept: dict[str, Tensor]) -> float:
    """What these tensors take in memory."""
    return float(sum(tensor.nbytes for tensors in kept for tensor in tensors.values()))


# ---- elastic weight consolidation


def singles(loaders: dict, device: torch.device) -> Iterator[dict]:
    """Every training example as a batch of one."""
    for batch in loaders["train"]:
        for i in range(len(batch["labels"])):
            one = {name: value[i : i + 1] if isinstance(value, Tensor) else value for name, value in batch.items()}
            yield send_to_device(one, device)


def check_labels(labels: str, outputs: int, several: bool) -> None:
    """ValueError where a head with so many outputs has no such labels; several: it gives more than one class a row."""
    if labels != "data" and outputs == 1:
        raise ValueError(
            f"the labels {labels!r} of EWC are drawn from class probabilities, but this head gives a number: take "
            f"labels='data'"
        )
    if labels == "all" and several:
        raise ValueError("the labels 'all' of EWC need one class per example: take labels='sample' for texts")


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
        check_labels(labels, logits.shape[-1], logits.numel() > logits.shape[-1])
        log_p = logits.float().flatten(0, -2).log_softmax(-1)  # (1, K), or (M, V) of a language model
        if labels == "sample":
            add(F.nll_loss(log_p, torch.multinomial(log_p.detach().exp(), 1)[:, 0], reduction="sum"))
            continue
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
    bytes : float
        Memory that it takes between two tasks.

    Raises
    ------
    ValueError
        If `strength` is negative, `labels` unknown, `examples` below 1 or `decay` not in [0, 1], or if `labels` don't
        fit the head.

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
    needs = ("train",)  # of which `finish` takes the Fisher information

    def __post_init__(self):
        check_strength(self)
        if self.labels not in LABELS:
            raise ValueError(f"labels must be one of {', '.join(LABELS)}, but it is {self.labels!r}")
        if self.examples < 1:
            raise ValueError(f"examples must be at least 1, but it is {self.examples}: 200 is a start")
        if self.decay is not None and not 0 <= self.decay <= 1:
            raise ValueError(f"decay must lie in [0, 1], but it is {self.decay}: None keeps a term per task")
        self.anchors: list[dict[str, list[Tensor]]] = []
        self.bytes = 0.0

    def prepare(self, model: nn.Module) -> nn.Module:
        for head in heads(model).values():  # before the run, and not after its last step
            check_labels(self.labels, [*head.parameters()][-1].shape[0], getattr(model, "kind", None) == "lm")
        return model

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
        self.bytes = float(sum(t.nbytes for anchor in self.anchors for pair in anchor.values() for t in pair))


# ---- synaptic intelligence


@dataclass
class SI(Strategy):
    """Synaptic intelligence measures during training how much each weight lowered the loss, and holds it by that.

    A step changes the loss by about g · Δθ. Its negative, added up over the steps of a task, is the weight's share ω in
    the improvement. At the end of a task Ω grows by ω / (Δ² + damping), where Δ is how far the weight has moved in the
    task. Later tasks add strength · Σ Ω (θ − θ*)² to the loss, where θ* are the weights at the end of the last task.

    Parameters
    ----------
    strength : float, default 1.0
        c, at least 0. With 0 this is naive training. The paper takes 0.1 to 1, with plain gradients of a mean loss.
    damping : float, default 0.1
        ξ, above 0. It keeps the importance of weights that hardly moved finite. The paper takes 0.001 to 0.1.

    Attributes
    ----------
    importance : dict of str to Tensor
        Ω of each parameter, at least 0.
    anchor : dict of str to Tensor
        θ* of each parameter.
    bytes : float
        Memory that it takes between two tasks.

    Raises
    ------
    ValueError
        If `strength` is negative or `damping` not above 0.

    Notes
    -----
    g is the gradient of the loss without the penalty, before it is clipped. Δθ is the step of AdamW. The last step of a
    task isn't counted, because averages of weights and early stopping change the weights before its effect is seen.

    References
    ----------
    Zenke, Poole & Ganguli (2017), Continual Learning Through Synaptic Intelligence, ICML, arXiv:1703.04200.

    Examples
    --------
    >>> strategy = strategies.SI()
    >>> model, _ = ftlib.fit(model, train, strategy, steps=5, lr=0.01, verbose=False)  # the first task
    >>> strategy.penalty(model, {}).item()  # the weights are at the anchor
    0.0
    >>> strategy.importance["head.weight"].sum().item() > 0
    True
    """

    strength: float = 1.0
    damping: float = 0.1

    def __post_init__(self):
        check_strength(self)
        if self.damping <= 0:
            raise ValueError(f"damping must be above 0, but it is {self.damping}: the paper takes 0.001 to 0.1")
        self.importance: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}
        self.bytes = 0.0
        self.forget_path()

    def forget_path(self) -> None:
        """Forget the path of the last task, and nothing else."""
        self.path: dict[str, Tensor] = {}  # ω
        self.start: dict[str, Tensor] = {}  # weights before the first step
        self.before: dict[str, Tensor] = {}  # weights before the last step
        self.last: dict[str, Tensor] = {}  # the gradient of the last step

    def prepare(self, model: nn.Module) -> nn.Module:
        self.forget_path()
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        now = {name: p.detach().clone() for name, p in trained(model).items()}
        for name in self.last.keys() & self.before.keys() & now.keys():
            step = self.last[name] * (now[name] - self.before[name])
            self.path[name] = self.path.get(name, 0.0) - step
        self.before, self.start, self.last = now, now | self.start, {}

    def gradient(self, grads: dict[str, dict[str, Tensor]], losses: dict[str, float]) -> dict[str, Tensor]:
        first, *rest = grads.values()
        self.last = {name: sum((term[name] for term in rest), g) for name, g in first.items()}
        return self.last

    def penalty(self, model: nn.Module, batch: dict) -> Tensor | float:
        return self.strength * quadratic(model, self.importance, self.anchor) if self.strength and self.anchor else 0.0

    def finish(self, model: nn.Module, loaders: dict) -> None:
        for name, p in trained(model).items():
            moved = p.detach() - self.start.get(name, p.detach())
            gained = self.path.get(name, torch.zeros_like(p)) / (moved.square() + self.damping)
            old = self.importance.get(name, torch.zeros_like(p)).to(p)
            self.importance[name] = (old + gained).clamp(min=0)  # below 0 the penalty would push away
            self.anchor[name] = p.detach().clone()
        self.bytes = size_in_bytes(self.importance, self.anchor)
        self.forget_path()


# ---- learning without forgetting


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block; afterwards each module has its own mode back."""
    modes = [(module, module.training) for module in walk(model)]
    set_mode(model, False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.__dict__["training"] = mode


def distillation(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · Σ KL(softmax(teacher / T) ‖ softmax(logits / T)) over the rows of (B, K).

    The gradient of a soft cross-entropy shrinks with 1 / T², so T² keeps its size as T changes (Hinton et al., 2015,
    1503.02531).
    """
    log_p, log_q = ((z.float() / temperature).log_softmax(-1) for z in (logits, teacher))
    return temperature**2 * F.kl_div(log_p, log_q, reduction="sum", log_target=True)


@dataclass
class LwF(Strategy):
    """Learning without forgetting keeps the old model's probabilities on the inputs of the new task.

    The old model is a copy of the weights at the end of the last task. The second term is strength · T² · KL(old ‖ new)
    per example, over the classes of earlier tasks. It needs no old example. It works as far as new inputs resemble old
    ones.

    Parameters
    ----------
    strength : float, default 1.0
        Weight of the second term, at least 0. With 0 this is naive training. The paper takes 1.
    temperature : float, default 2.0
        T, above 0. It divides the logits of both models, so that small probabilities count. The paper takes 2.

    Attributes
    ----------
    teacher : dict of str to Tensor
        The weights and statistics of the old model.
    classes : list of int
        The classes of earlier tasks. Empty means all outputs.
    bytes : float
        Memory that it takes between two tasks.

    Raises
    ------
    ValueError
        If `strength` is negative or `temperature` not above 0, if the targets are numbers, or if the model has got
        other weights since the last task.

    References
    ----------
    Li & Hoiem (2016), Learning without Forgetting, ECCV, arXiv:1606.09282.

    Examples
    --------
    >>> logits, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> [round(strategies.incremental.distillation(logits, teacher, T).item(), 2) for T in (1.0, 2.0)]
    [0.43, 0.48]
    >>> strategy = strategies.LwF()
    >>> model, _ = ftlib.fit(model, train, strategy, steps=2, lr=0.01, verbose=False)  # the first task
    >>> strategy.classes
    [0, 1, 2]
    """

    strength: float = 1.0
    temperature: float = 2.0

    def __post_init__(self):
        check_strength(self)
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, but it is {self.temperature}: the paper takes 2")
        self.teacher: dict[str, Tensor] = {}
        self.classes: list[int] = []
        self.bytes = 0.0

    def prepare(self, model: nn.Module) -> nn.Module:
        if self.teacher and (other := self.teacher.keys() ^ model.state_dict().keys()):
            raise ValueError(
                f"LwF compares with the model of the last task, but only one of both has {min(other)}: add or inject "
                f"weights in the first task already"
            )
        return model

    def loss(self, model: nn.Module, batch: dict) -> dict[str, Tensor]:
        (term,), labels, logits = batch["n"], batch["labels"], model(batch)
        terms = {term: target_loss(logits, labels)}
        if self.strength and labels.is_floating_point() and labels.ndim == 1:
            raise ValueError("LwF compares class probabilities, but the targets are numbers: take EWC or Replay")
        if not (self.strength and self.teacher):
            return terms
        known = {name: value for name, value in batch.items() if name != "frozen_features"}  # those of this model
        with torch.no_grad(), evaluating(model):
            old = functional_call(model, self.teacher, (known,), tie_weights=False)  # all names are given
        if not labels.is_floating_point():  # the counted rows: as many as the loss is divided by
            whole = logits.ndim == 2 and len(logits) == batch["n"][term]
            logits, old = (z if whole else z[labels != IGNORED] for z in (logits, old))
        if self.classes:
            logits, old = logits[..., self.classes], old[..., self.classes]
        return {term: terms[term] + self.strength * distillation(logits, old, self.temperature)}

    def finish(self, model: nn.Module, loaders: dict) -> None:
        if not self.strength:
            return
        self.teacher = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.bytes = size_in_bytes(self.teacher)
        for batch in loaders["train"]:
            if batch["labels"].ndim == 1 and not batch["labels"].is_floating_point():
                self.classes = sorted({*self.classes, *batch["labels"].tolist()} - {IGNORED})
