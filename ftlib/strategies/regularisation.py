"""Regularisation: training is made harder, or its result smoother, so that it fits what repeats and not the noise.

    dropout            features · mask / (1 − p)                               Srivastava et al., JMLR 2014
    stochastic depth   x + branch(x) · coin / (1 − p), a coin an example       Huang et al., ECCV 2016, 1603.09382
    weight decay       θ ← (1 − lr · λ) θ beside Adam's step, matrices only    Loshchilov & Hutter, 2019, 1711.05101
    EMA                θ̄ ← d θ̄ + (1 − d) θ after each step                    Polyak & Juditsky, 1992
    SWA                θ̄ = mean of θ over the last part of the run            Izmailov et al., UAI 2018, 1803.05407

Elsewhere: L2-SP, decay towards the pretrained point, in strategies.full; early stopping is `patience` of
`ftlib.Validation`; label smoothing and MixUp in strategies.mixing.

How much does weight decay do? T steps at a mean rate lr shrink a weight that has no gradient by (1 − lr · λ)^T: with
lr 0.001, λ 0.05 and 100 steps, by half a per cent. Short fine-tuning hardly feels it.

EMA and SWA: after `finish` the model holds the averaged weights, and every score of a run's end is theirs; the curves
on the way are those of the weights that were being trained. BatchNorm: EMA averages its statistics, too, which are
averages anyway. SWA's weights never existed together, so their statistics are counted anew in one pass over the
training data, without augmentation, as torch's update_bn does, but without dropout and only where they moved during
training: frozen ones stay. With early stopping, `patience` says when to end, and the average is what is left; the best
weights count as its last point. A schedule that falls to 0 averages for you: EMA and SWA are for constant rates.

Costs: dropout and stochastic depth nothing a step, but more steps; an average one copy of the weights and a pass over
them each step; SWA's statistics one forward pass over the training data. Lesson: notebooks/08_augmentation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import stochastic_depth

from ftlib.networks import batchnorms, count_statistics, heads
from ftlib.strategy import HEAD_ALONE, STATISTICS, Strategy

# ---- dropout and stochastic depth


class Drop:
    """A hook before a module: in train mode its input loses features, or whole rows, with probability p."""

    def __init__(self, p: float, rows: bool):
        self.p, self.rows = p, rows

    def __call__(self, module: nn.Module, args: tuple) -> tuple:
        x, *rest = args
        x = stochastic_depth(x, self.p, "row", module.training) if self.rows else F.dropout(x, self.p, module.training)
        return x, *rest


def put_before(module: nn.Module, drop: Drop) -> None:
    """Hook it on, instead of one that is there; names of weights stay as they are."""
    take_away(module)
    module.register_forward_pre_hook(drop)


def take_away(module: nn.Module) -> None:
    """Unhook it."""
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, Drop):
            del module._forward_pre_hooks[key]


@dataclass
class Dropout(Strategy):
    """Dropout hides features at random during training, before the head and, with `inside`, within the network.

    A feature becomes feature · mask / (1 − p), so its mean stays the same. In evaluation mode nothing is hidden. After
    `fit` nothing is hidden in train mode either.

    Parameters
    ----------
    head : float, default 0.2
        Probability that a feature before the head is hidden, in [0, 1). EfficientNet's smallest model was trained with
        0.2.
    inside : float or None, default None
        Probability for the network's own dropout layers, in [0, 1). None leaves them unchanged: MiniLM has 0.1, and
        EfficientNet-Lite0 has no such layer.

    Raises
    ------
    ValueError
        If a probability is not in [0, 1), or if `inside` is set and the network has no dropout layer.

    References
    ----------
    Srivastava et al. (2014), Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR.

    Examples
    --------
    >>> batch, model = next(iter(train)), strategies.Dropout(head=0.5).prepare(model)
    >>> torch.equal(model.train()(batch), model(batch))  # each pass hides other features
    False
    >>> torch.equal(model.eval()(batch), model(batch))
    True
    """

    head: float = 0.2
    inside: float | None = None

    def __post_init__(self):
        check_probabilities(self, "head", *(["inside"] if self.inside is not None else []))
        self.own: dict[str, float] = {}  # the network's own probabilities

    def prepare(self, model: nn.Module) -> nn.Module:
        self.own = {} if self.inside is None else {name: m.p for name, m in model.stages.named_modules() if _drops(m)}
        if self.inside is not None and not self.own:
            raise ValueError(f"{self} sets the network's own dropout layers, but it has none: leave inside at None")
        for head in heads(model).values():
            put_before(head, Drop(self.head, rows=False))
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        for name in self.own:
            model.stages.get_submodule(name).p = self.inside


@dataclass
class StochasticDepth(Strategy):
    """Stochastic depth skips whole residual branches at random, a new draw for each example.

    Branch l of L is skipped with probability p · l / L, so deep branches are skipped more often. The strategy finds
    branches by timm's `drop_path` (EfficientNet, ConvNeXt, ViT), or by the dropout at the end of each sublayer of an
    encoder such as MiniLM.

    Parameters
    ----------
    p : float, default 0.1
        Probability that the last branch is skipped, in [0, 1). The first branch has p / L, as in the paper. The paper's
        0.5 is for training from scratch, and fine-tuning takes far fewer steps.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1), or if the model has no residual branch.

    References
    ----------
    Huang et al. (2016), Deep Networks with Stochastic Depth, ECCV, arXiv:1603.09382.

    Examples
    --------
    >>> branches = strategies.StochasticDepth(p=0.1).branches(text_model)  # two layers with two sublayers each
    >>> [round(probability, 3) for _, probability in branches]
    [0.025, 0.05, 0.075, 0.1]
    """

    p: float = 0.1
    idle = HEAD_ALONE

    def __post_init__(self):
        check_probabilities(self, "p")

    def prepare(self, model: nn.Module) -> nn.Module:
        if not (found := self.branches(model)):
            raise ValueError(
                f"{self} skips residual branches, but none was found: take a network of timm's such as "
                f"efficientnet-lite0, or an encoder such as minilm"
            )
        for module, p in found:
            put_before(module, Drop(p, rows=True))
        return model

    def branches(self, model: nn.Module) -> list[tuple[nn.Module, float]]:
        """(what each residual branch ends in, how often it is skipped), from input to output."""
        modules = dict(model.stages.named_modules())
        ends = []
        for name, module in modules.items():
            parent, _, own = name.rpartition(".")
            timm = own.startswith("drop_path") and getattr(modules[parent], "has_skip", True)
            if timm or name.endswith("output.dropout"):
                ends.append(module)
        return [(module, self.p * (i + 1) / len(ends)) for i, module in enumerate(ends)]


def _drops(module: nn.Module) -> bool:
    return isinstance(module, nn.Dropout)


# ---- weight decay


@dataclass
class WeightDecay(Strategy):
    """Weight decay shrinks matrices and filters by lr · rate per step, but no biases and no normalisations.

    A normalisation's scale has no effect at 1, not at 0, and a bias cannot overfit much. Both are vectors, and their
    shape tells them from matrices.

    Parameters
    ----------
    rate : float, default 0.05
        λ of AdamW, at least 0. The usual range is 0.01 to 0.1. Without this strategy `fit` decays every parameter with
        0.01.

    Raises
    ------
    ValueError
        If `rate` is negative.

    References
    ----------
    Loshchilov & Hutter (2019), Decoupled Weight Decay Regularization, ICLR, arXiv:1711.05101.

    Examples
    --------
    >>> groups = strategies.WeightDecay(rate=0.05).groups([{"params": list(model.named_parameters())}])
    >>> [(group["weight_decay"], [name for name, _ in group["params"]]) for group in groups][0]
    (0.05, ['stages.0.0.weight', 'stages.1.0.weight', 'head.weight'])
    """

    rate: float = 0.05
    exclusive = ("set the weight decay",)

    def __post_init__(self):
        if not self.rate >= 0:
            raise ValueError(f"rate must not be negative, but it is {self.rate}: 0 switches weight decay off")

    def groups(self, groups: list[dict]) -> list[dict]:
        out = []
        for group in groups:
            for decays in (True, False):
                params = [(name, p) for name, p in group["params"] if (p.ndim > 1) == decays]
                out += [{**group, "params": params, "weight_decay": self.rate * decays}] if params else []
        return out


# ---- averages of the weights


@dataclass
class Average(Strategy):
    """What both averages share: they look at the weights after each step, and put the average in place at the end."""

    exclusive = ("average the weights",)
    finishes = "average"

    def __post_init__(self):
        self.average: dict[str, Tensor] = {}
        self.points = 0  # so many weights are in the average
        self.begun = False  # the weights before the first step are no result of training
        self.moving: dict[str, bool] = {}  # of each BatchNorm, whether its statistics move

    def prepare(self, model: nn.Module) -> nn.Module:
        Average.__post_init__(self)  # a later phase has an average of its own
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        if self.begun:
            self.see(model, progress)
        self.begun = True
        self.moving = {name: m.training for name, m in batchnorms(model).items()}

    @torch.no_grad()
    def see(self, model: nn.Module, progress: float) -> None:
        """Take in the weights that the last step has left."""
        share = self.share(progress)
        if share > 0:
            now = {name: t for name, t in model.state_dict().items() if t.is_floating_point()}
            for name, t in now.items():
                self.average[name] = torch.lerp(self.average[name], t, share) if self.points else t.clone()
            self.points += 1

    def share(self, progress: float) -> float:
        """How much of the new average are the newest weights; 0: they are left out."""
        raise NotImplementedError

    def finish(self, model: nn.Module, loaders: dict) -> None:
        if self.begun:
            self.see(model, 1.0)
            model.load_state_dict({**model.state_dict(), **self.average})
            self.average = {}  # it is the model now


@dataclass
class EMA(Average):
    """EMA replaces the final weights by an average over the steps in which older weights count less.

    After each step θ̄ ← d θ̄ + (1 − d) θ, with d = `decay`. BatchNorm statistics are averaged in the same way.

    Parameters
    ----------
    decay : float, default 0.95
        d, in [0, 1). The average remembers about 1 / (1 − d) steps. The default remembers 20, for runs of hundreds of
        steps; 0.999 is for runs of many thousands.

    Raises
    ------
    ValueError
        If `decay` is not in [0, 1).

    References
    ----------
    Polyak & Juditsky (1992), Acceleration of Stochastic Approximation by Averaging, SIAM Journal on Control and
    Optimization.

    Examples
    --------
    >>> strategy = strategies.EMA(decay=0.95)
    >>> averaged, history = ftlib.fit(model, train, strategy, steps=2, lr=0.01, verbose=False)
    >>> strategy.points  # weights in the average: those after each step, not the pretrained ones
    2
    >>> [round(0.95**steps, 2) for steps in (1, 20, 60)]  # how much weights count after that many more steps
    [0.95, 0.36, 0.05]
    """

    decay: float = 0.95

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must lie in [0, 1), but it is {self.decay}: 0 keeps the last weights alone")

    def share(self, progress: float) -> float:
        return 1 - self.decay


@dataclass
class SWA(Average):
    """SWA replaces the final weights by their plain mean over the last part of the run.

    These weights never existed during training, so the strategy recomputes the BatchNorm statistics in one pass over
    the training data. Frozen statistics do not change.

    Parameters
    ----------
    start : float, default 0.75
        Share of the steps before the average begins, in [0, 1). With the default the last quarter of the run counts, as
        in the paper, which averages once per epoch.

    Raises
    ------
    ValueError
        If `start` is not in [0, 1).

    References
    ----------
    Izmailov et al. (2018), Averaging Weights Leads to Wider Optima and Better Generalization, UAI, arXiv:1803.05407.

    Examples
    --------
    >>> strategy = strategies.SWA(start=0.75)
    >>> [strategy.share(progress) for progress in (0.5, 0.8)]  # weight of the newest point in the average
    [0.0, 1.0]
    >>> averaged, history = ftlib.fit(model, train, strategy, steps=2, lr=0.01, verbose=False)
    >>> strategy.points
    2
    """

    start: float = 0.75
    exclusive = (*Average.exclusive, STATISTICS)

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.start < 1:
            raise ValueError(f"start is a share of the steps in [0, 1), but it is {self.start}: 0.75 is usual")

    def share(self, progress: float) -> float:
        return 1 / (self.points + 1) if progress >= self.start else 0.0

    def finish(self, model: nn.Module, loaders: dict) -> None:
        super().finish(model, loaders)
        if moving := [model.get_submodule(name) for name, moves in self.moving.items() if moves]:
            count_statistics(model, moving, loaders["train"] if "train" in loaders else _all(loaders))


def _all(loaders: dict) -> Iterable[dict]:
    for loader in loaders.values():
        yield from loader


def check_probabilities(strategy: Strategy, *knobs: str) -> None:
    """ValueError unless all lie in [0, 1)."""
    for knob in knobs:
        if not 0 <= (value := getattr(strategy, knob)) < 1:
            raise ValueError(f"{knob} of {type(strategy).__name__} must lie in [0, 1), but it is {value}: 0 hides none")
