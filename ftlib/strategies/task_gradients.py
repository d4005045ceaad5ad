"""The gradients of several tasks: measured, and combined in other ways than by their sum.

    PCGrad    g_i ← g_i − (g_i·g_j / g_j·g_j) g_j where g_i·g_j < 0, then the sum   Yu et al., NeurIPS 2020, 2001.06782
    CAGrad    max over d of min_i g_i·d with |d − g₀| ≤ c |g₀|, g₀ the mean         Liu et al., NeurIPS 2021, 2110.14048
    UPGrad    each g_i projected on {d : d·g_j ≥ 0 for all j}, then the sum         Quinton & Rey, 2024, 2406.16232
    GradNorm  weights that bring the norms w_i |g_i| together                       Chen et al., ICML 2018, 1711.02257
    DWA       weights K · softmax(r / T), r_i = L_i(t − 1) / L_i(t − 2)             Liu et al., CVPR 2019, 1803.10704

Two tasks are in conflict where the gradients of their losses point away from each other, g_i·g_j < 0: a small step that
helps one of them hurts the other. Only weights that tasks share can have a conflict. These are all weights but the
heads.

Each method here gives the sum Σ w_i g_i with its own weights w. Those of PCGrad, CAGrad and UPGrad follow from the
K x K inner products G_ij = g_i·g_j alone. So a method is one function from G to w, `weigh`. A head has the gradient of
its own task. GradNorm and DWA weigh losses, so there the head's gradient has the task's weight, too.

The sum is on the scale of `MultiTask`. CAGrad and UPGrad are defined with the mean, so here they are K times as large.

Costs: one backward pass per task and batch. If K tasks share a batch, that is K passes instead of one. If each task has
its own loader, it is as many as without. And a copy of the gradient per task in memory. Lesson:
notebooks/05_multitask.ipynb.

Letters: K tasks, G (K, K) the inner products of their gradients on the shared weights.
"""

import math
from dataclasses import dataclass

import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from ftlib.networks import Heads
from ftlib.strategy import HEAD_ALONE, WEIGHTS, Strategy

ROUNDS, CLOSE = 1000, 1e-12  # of UPGrad's coordinate descent: at most so many, and until no coefficient moves more


def is_shared(name: str) -> bool:
    """Whether all tasks train a parameter: one that is in no head, or in the layer that all heads read."""
    return not name.startswith("head.") or name.startswith("head.shared.")


def inner_products(grads: dict[str, dict[str, Tensor]]) -> Tensor:
    """G (K, K), in double precision on the CPU: G_ij = g_i·g_j over the shared weights."""
    rows = list(grads.values())
    names = [name for name in rows[0] if is_shared(name)]
    gram = torch.zeros(len(rows), len(rows), dtype=torch.double)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows[: i + 1]):
            if names:
                gram[i, j] = gram[j, i] = torch.stack([(a[name] * b[name]).sum() for name in names]).double().sum()
    return gram


def mean_cosine(gram: Tensor) -> float:
    """The mean over pairs of tasks of g_i·g_j / (|g_i| |g_j|); 0 for a pair with a gradient that is 0."""
    norms = gram.diagonal().sqrt()
    cosines = gram / (norms[:, None] * norms).clamp(min=1e-300)
    return float(cosines[torch.ones_like(gram, dtype=torch.bool).triu(1)].mean())


@dataclass
class TaskGradients(Strategy):
    """Measure the conflicts between the gradients of several tasks, and add the gradients as `MultiTask` does.

    Combine it with `MultiTask`, as all strategies of this file. They measure the same.

    Attributes
    ----------
    cosines : list of float
        The mean cosine between the tasks' gradients on the shared weights, of each step with several tasks.
    cosine : float
        Their mean over the steps.
    conflicts : float
        The share of steps with a cosine below 0.

    Raises
    ------
    ValueError
        If the model has no heads of several tasks.

    Notes
    -----
    A step that trains one task only has nothing to compare. This is so with a temperature, and with one weight above 0.

    Examples
    --------
    >>> strategy = strategies.TaskGradients()
    >>> first, second = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([-1.0, 1.0])}
    >>> strategy.gradient({"a": first, "b": second}, {"a": 0.5, "b": 0.5})["w"]
    tensor([0., 1.])
    >>> round(strategy.cosine, 3), strategy.conflicts
    (-0.707, 1.0)
    """

    idle = HEAD_ALONE  # then no weight is shared
    weighs_heads = False

    def __post_init__(self):
        self.cosines: list[float] = []
        self.cosine = self.conflicts = math.nan
        self.seed = self.steps = 0

    def prepare(self, model: nn.Module) -> nn.Module:
        if not isinstance(getattr(model, "head", None), Heads):
            raise ValueError(
                f"{type(self).__name__} combines the gradients of several tasks, but this model has one head: combine "
                f"it with MultiTask, as combine(MultiTask(tasks), {self})"
            )
        self.seed = torch.initial_seed() % 2**31  # fit's own seed: all processes draw the same
        return model

    def gradient(self, grads: dict[str, dict[str, Tensor]], losses: dict[str, float]) -> dict[str, Tensor]:
        weights = [1.0] * len(grads)
        if len(grads) > 1:
            gram = inner_products(grads)
            self.measure(mean_cosine(gram))
            weights = self.weigh(gram, {task: losses.get(task, math.nan) for task in grads})
        self.steps += 1
        out = {}
        for name in next(iter(grads.values())):
            own = weights if self.weighs_heads or is_shared(name) else [1.0] * len(grads)
            out[name] = sum(w * g[name] for w, g in zip(own, grads.values(), strict=True))
        return out

    def measure(self, cosine: float) -> None:
        """Add a step."""
        self.cosines.append(cosine)
        self.cosine = sum(self.cosines) / len(self.cosines)
        self.conflicts = sum(c < 0 for c in self.cosines) / len(self.cosines)

    def weigh(self, gram: Tensor, losses: dict[str, float]) -> list[float]:
        """The weight of each task's gradient, from G (K, K) and {task: its loss in this step}."""
        return [1.0] * len(gram)


# ---- surgery: another direction for the shared weights


@dataclass
class PCGrad(TaskGradients):
    """PCGrad takes the part out of each task's gradient that conflicts with another task's.

    Where g_i·g_j < 0, g_i becomes g_i − (g_i·g_j / g_j·g_j) g_j, which is orthogonal to g_j. This is done with all
    other tasks j in a random order, and then the results are added. Gradients without a conflict stay as they are.

    Attributes
    ----------
    cosines, cosine, conflicts
        See `TaskGradients`.

    Raises
    ------
    ValueError
        If the model has no heads of several tasks.

    References
    ----------
    Yu et al. (2020), Gradient Surgery for Multi-Task Learning, NeurIPS, arXiv:2001.06782.

    Examples
    --------
    >>> first, second = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([-1.0, 1.0])}
    >>> strategies.PCGrad().gradient({"a": first, "b": second}, {})["w"]  # (0.5, 0.5) and (0, 1)
    tensor([0.5000, 1.5000])
    """

    def weigh(self, gram: Tensor, losses: dict[str, float]) -> list[float]:
        generator, total = torch.Generator().manual_seed(self.seed + self.steps), torch.zeros(len(gram)).double()
        for i, own in enumerate(torch.eye(len(gram)).double()):  # own: g_i after the projections is Σ_j own_j g_j
            for j in torch.randperm(len(gram), generator=generator).tolist():
                dot = own @ gram[j]
                if j != i and dot < 0:
                    own[j] -= dot / gram[j, j]
            total += own
        return total.tolist()


@dataclass
class CAGrad(TaskGradients):
    """CAGrad helps the task that a step helps least, and stays close to the mean gradient.

    It steps along the d with the largest min_i g_i·d among those with |d − g₀| ≤ c |g₀|, where g₀ is the mean of the
    tasks' gradients. This is d = g₀ + c |g₀| / |g_w| · g_w, where g_w is the mean of the gradients with the weights w
    that minimise g_w·g₀ + c |g₀| |g_w|. The weights are in 0..1 and their sum is 1.

    Parameters
    ----------
    c : float, default 0.4
        How far from the mean gradient the step may be, in 0..1. With 0 it is the plain sum. The paper takes 0.4.

    Attributes
    ----------
    cosines, cosine, conflicts
        See `TaskGradients`.

    Raises
    ------
    ValueError
        If `c` is not in 0..1, or the model has no heads of several tasks.

    References
    ----------
    Liu et al. (2021), Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS, arXiv:2110.14048.

    Examples
    --------
    >>> first, second = {"w": torch.tensor([1.0, 1.0])}, {"w": torch.tensor([-1.0, 1.0])}
    >>> strategies.CAGrad(c=0.5).gradient({"a": first, "b": second}, {})["w"].round(decimals=3)  # (1 + c) times the sum
    tensor([0., 3.])
    """

    c: float = 0.4

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.c <= 1:
            raise ValueError(f"c must lie in 0 to 1, but it is {self.c}: 0 is the plain sum")

    def weigh(self, gram: Tensor, losses: dict[str, float]) -> list[float]:
        K, length = len(gram), float(gram.mean().sqrt())  # |g₀|
        if not self.c or length == 0:
            return [1.0] * K
        G = (gram / length**2).numpy()  # in units in which |g₀| is 1
        even = torch.full((K,), 1 / K).double().numpy()
        found = minimize(
            lambda w: w @ G @ even + self.c * math.sqrt(w @ G @ w + CLOSE), even, method="SLSQP", bounds=[(0, 1)] * K,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-12, "maxiter": ROUNDS},
        )  # fmt: skip
        scale = self.c / math.sqrt(found.x @ G @ found.x + CLOSE)
        return [1 + K * scale * float(w) for w in found.x]


@dataclass
class UPGrad(TaskGradients):
    """UPGrad gives a step that conflicts with no task, from any gradients.

    It projects each task's gradient on the cone of the directions d with d·g_j ≥ 0 for all tasks j, and adds the
    results. Two tasks are treated as by PCGrad. With three or more, PCGrad's result can still conflict with a task.

    Attributes
    ----------
    cosines, cosine, conflicts
        See `TaskGradients`.

    Raises
    ------
    ValueError
        If the model has no heads of several tasks.

    Notes
    -----
    The projection of g_i is Σ_j v_j g_j, where v minimises its length among all v with v_i ≥ 1 and v_j ≥ 0. One v_j
    after the other is set to its best value, until none of them moves.

    References
    ----------
    Quinton & Rey (2024), Jacobian Descent for Multi-Objective Optimization, arXiv:2406.16232.

    Examples
    --------
    >>> first, second = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([-1.0, 1.0])}
    >>> strategies.UPGrad().gradient({"a": first, "b": second}, {})["w"]
    tensor([0.5000, 1.5000])
    """

    def weigh(self, gram: Tensor, losses: dict[str, float]) -> list[float]:
        G, total = gram.tolist(), [0.0] * len(gram)
        for least in torch.eye(len(gram)).tolist():
            v = [*least]
            for _ in range(ROUNDS):
                before = [*v]
                for j, row in enumerate(G):
                    if row[j] > 0:
                        v[j] = max(least[j], v[j] - sum(a * b for a, b in zip(row, v, strict=True)) / row[j])
                if max(abs(new - old) for new, old in zip(v, before, strict=True)) < CLOSE:
                    break
            total = [t + w for t, w in zip(total, v, strict=True)]
        return total


# ---- weights of the losses


@dataclass
class GradNorm(TaskGradients):
    """GradNorm learns weights that give tasks gradients of similar length, longer ones for tasks that learn slowly.

    The rate of task i is r_i, its loss divided by its first loss, relative to the mean over the tasks. The length
    w_i |g_i| should be the mean length times r_i^alpha. After each step w follows the gradient of the absolute
    differences, and is scaled so that its sum is K.

    Parameters
    ----------
    alpha : float, default 1.5
        How much a slow task is pulled up, at least 0. With 0 all lengths become equal. The paper takes 1.5 for tasks
        that differ much, and 0.12 for similar ones.
    rate : float, default 0.025
        Learning rate of the weights, above 0. The default is the value of the paper.

    Attributes
    ----------
    weights : dict of str to float
        The weight of each task.
    cosines, cosine, conflicts
        See `TaskGradients`.

    Raises
    ------
    ValueError
        If `alpha` or `rate` is out of its range, or the model has no heads of several tasks.

    Notes
    -----
    The paper measures the lengths on the last shared layer, to save time. Here all shared weights count, since the
    gradients are there anyway. The weights follow plain gradient descent and stay above 0.01.

    References
    ----------
    Chen et al. (2018), GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks, ICML,
    arXiv:1711.02257.

    Examples
    --------
    >>> strategy = strategies.GradNorm()
    >>> long, short = {"w": torch.tensor([3.0, 0.0])}, {"w": torch.tensor([0.0, 1.0])}
    >>> strategy.gradient({"a": long, "b": short}, {"a": 1.0, "b": 1.0})["w"]  # this step has the old weights
    tensor([3., 1.])
    >>> strategy.weights["a"] < 1 < strategy.weights["b"]
    True
    """

    alpha: float = 1.5
    rate: float = 0.025
    exclusive = (WEIGHTS,)
    weighs_heads = True

    def __post_init__(self):
        super().__post_init__()
        if not self.alpha >= 0 or not self.rate > 0:
            raise ValueError(
                f"alpha must not be negative and rate must be above 0, but they are {self.alpha} and {self.rate}"
            )
        self.first: dict[str, float] = {}  # the losses of the first step
        self.weights: dict[str, float] = {}

    def weigh(self, gram: Tensor, losses: dict[str, float]) -> list[float]:
        if self.weights.keys() != losses.keys():
            self.first, self.weights = dict(losses), dict.fromkeys(losses, 1.0)
        now = torch.tensor([self.weights[task] for task in losses], dtype=torch.double)
        lengths = gram.diagonal().sqrt()  # |g_i|
        left = torch.tensor([loss / max(self.first[task], CLOSE) for task, loss in losses.items()], dtype=torch.double)
        wanted = (now * lengths).mean() * (left / left.mean()) ** self.alpha
        new = (now - self.rate * (now * lengths - wanted).sign() * lengths).clamp(min=0.01)
        self.weights = dict(zip(losses, (len(new) * new / new.sum()).tolist(), strict=True))
        return now.tolist()


@dataclass
class DWA(TaskGradients):
    """Dynamic weight averaging gives more weight to tasks whose loss falls slowly.

    r_i is the mean loss of task i in the last epoch, divided by that in the epoch before. The weights are
    K · softmax(r / T). They are 1 in the first two epochs.

    Parameters
    ----------
    temperature : float, default 2.0
        T, above 0. With a large T all weights are near 1. The paper takes 2.
    every : int, default 50
        Steps that count as an epoch, at least 1. Tasks of different sizes have no epoch in common.

    Attributes
    ----------
    weights : dict of str to float
        The weight of each task.
    cosines, cosine, conflicts
        See `TaskGradients`.

    Raises
    ------
    ValueError
        If `temperature` or `every` is out of its range, or the model has no heads of several tasks.

    References
    ----------
    Liu, Johns & Davison (2019), End-to-End Multi-Task Learning with Attention, CVPR, arXiv:1803.10704.

    Examples
    --------
    >>> strategy = strategies.DWA(every=1)
    >>> grads = {"a": {"w": torch.tensor([1.0, 0.0])}, "b": {"w": torch.tensor([0.0, 1.0])}}
    >>> for losses in ({"a": 1.0, "b": 1.0}, {"a": 0.9, "b": 0.5}, {"a": 0.8, "b": 0.2}):
    ...     found = strategy.gradient(grads, losses)["w"]
    >>> found.round(decimals=3)  # a fell to 0.9 and b to 0.5: 2 · softmax(0.45, 0.25)
    tensor([1.1000, 0.9000])
    """

    temperature: float = 2.0
    every: int = 50
    exclusive = (WEIGHTS,)
    weighs_heads = True

    def __post_init__(self):
        super().__post_init__()
        if not self.temperature > 0 or self.every < 1:
            raise ValueError(
                f"temperature must be above 0 and every at least 1, but they are {self.temperature} and {self.every}"
            )
        self.weights: dict[str, float] = {}
        self.sums: dict[str, float] = {}  # of the losses in this epoch
        self.before: dict[str, float] = {}  # the sums of the epoch before
        self.counted = 0  # steps in this epoch

    def weigh(self, gram: Tensor, losses: dict[str, float]) -> list[float]:
        if self.weights.keys() != losses.keys():
            self.weights, self.sums = dict.fromkeys(losses, 1.0), dict.fromkeys(losses, 0.0)
            self.before, self.counted = {}, 0
        if self.counted == self.every:
            if self.before:
                fell = [self.sums[task] / max(self.before[task], CLOSE) for task in losses]
                p = (torch.tensor(fell, dtype=torch.double) / self.temperature).softmax(0)
                self.weights = dict(zip(losses, (len(p) * p).tolist(), strict=True))
            self.before, self.sums, self.counted = self.sums, dict.fromkeys(losses, 0.0), 0
        self.sums = {task: self.sums[task] + loss for task, loss in losses.items()}
        self.counted += 1
        return [self.weights[task] for task in losses]
