"""Baselines of incremental learning: what every method that remembers is measured against.

    naive        one task after the other, nothing is kept              how bad it can get
    joint        all tasks at once, the steps of all                    how good it can get
    cumulative   after each task, everything that was seen so far       what storing all data is worth
    GDumb        store a few examples per class, train only at the end  Prabhu et al., ECCV 2020
    class means  frozen stages, an example gets the nearest class mean  Mensink et al., TPAMI 2013; Rebuffi et al., 2017

The first four are lists of phases for a Spec, and no code remembers anything. `naive` writes such a list. The last one
is a strategy without a single gradient step. No mean changes when another class comes. Still an old class can lose
examples to a new class whose mean is nearer.

Letters: N examples, D features, K classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ftlib.networks import collect, require_linear_head
from ftlib.strategy import ROLES, Strategy

UNSEEN = -1e4  # the logit of a class of which there was no example


def naive(portions: list[str], steps: int, lr: float, strategy: list[dict] | None = None) -> list[dict]:
    """Make the phases that learn one portion after the other.

    Parameters
    ----------
    portions : list of str
        Names of tasks, such as "digits/mnist[0,1]". See `ftlib.tasks.portion`.
    steps : int
        Steps per portion.
    lr : float
        Learning rate.
    strategy : list of dict, optional
        What remembers, such as [{"Replay": {"size": 100}}]. By default nothing does.

    Returns
    -------
    list of dict
        One phase per portion, for `ftlib.Spec`.

    Examples
    --------
    >>> phases = strategies.baselines.naive(["digits/mnist[0,1]", "digits/mnist[2,3]"], steps=10, lr=1e-3)
    >>> [phase["data"]["train"] for phase in phases]
    ['digits/mnist[0,1]:train', 'digits/mnist[2,3]:train']
    """
    return [
        {"strategy": strategy or [], "steps": steps, "lr": lr, "data": {"train": f"{portion}:train"}}
        for portion in portions
    ]


@dataclass
class NearestClassMean(Strategy):
    """Nearest class mean gives an example the class whose mean features are nearest.

    Of each class it keeps the number of examples and the sum of their features. So portions may come in any order, and
    the result is always the one of all data at once. The squared distance to a mean m is |h|² − 2 m·h + |m|², and |h|²
    is the same for all classes. So the head becomes linear: weight m and bias −|m|²/2.

    The stages stay frozen. Use it in phases of zero steps. With more steps it trains a linear probe first, and then
    replaces it.

    Attributes
    ----------
    counts : Tensor of shape (K,)
        Examples per class so far.
    sums : Tensor of shape (K, D)
        Their features, added up.
    bytes : float
        Memory of both.

    Raises
    ------
    ValueError
        If the head of the model is not one linear layer, if the labels are not classes, or in a combination.

    References
    ----------
    Mensink et al. (2013), Distance-Based Image Classification: Generalizing to New Classes at Near-Zero Cost, TPAMI.
    Rebuffi et al. (2017), iCaRL, CVPR, arXiv:1611.07725.

    Examples
    --------
    >>> strategy = strategies.NearestClassMean()
    >>> model, _ = ftlib.fit(model, train, strategy, steps=0, lr=0.0, verbose=False)
    >>> mean = strategy.sums[1] / strategy.counts[1]
    >>> torch.allclose(model.head.weight[1].double(), mean)
    True
    """

    role = "freezing"
    finishes = "head"
    idle = dict.fromkeys(ROLES, "class means need no training, and go together with nothing")

    def __post_init__(self):
        self.counts: Tensor | None = None
        self.sums: Tensor | None = None
        self.bytes = 0.0

    def prepare(self, model: nn.Module) -> nn.Module:
        require_linear_head(model, self, "makes a linear head of class means")
        model.stages.requires_grad_(False)
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        model.stages.eval()

    @torch.no_grad()
    def finish(self, model: nn.Module, loaders: dict) -> None:
        model.eval()
        features, labels = collect(model, loaders["train"], "features", "labels")  # (N, D), (N,)
        if labels.ndim != 1 or labels.is_floating_point():
            raise ValueError("NearestClassMean needs one class per example: take a task with class labels")
        classes, width = model.head.weight.shape
        if self.counts is None:
            self.counts, self.sums = torch.zeros(classes).double(), torch.zeros(classes, width).double()
        self.counts.index_add_(0, labels, torch.ones(len(labels)).double())
        self.sums.index_add_(0, labels, features.double())
        means = self.sums / self.counts.clamp(min=1)[:, None]
        bias = torch.where(self.counts > 0, -means.square().sum(1) / 2, UNSEEN)
        model.head.weight.copy_(means)
        model.head.bias.copy_(bias)
        self.bytes = float(self.counts.nbytes + self.sums.nbytes)
