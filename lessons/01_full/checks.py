"""The exercises of 01_full: change a setting, implement a step and a penalty, investigate recorded runs."""

from functools import cache

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ftlib import models, tasks
from ftlib.classroom.reading import points_read
from ftlib.evidence.compare import paired
from ftlib.evidence.runs import load_runs

GOAL, MOST_STEPS = 0.55, 40  # nats on validation; guessing by the class shares gives 0.64
CLOSE = {"rtol": 1e-6, "atol": 1e-9}  # everything small is computed in float64


# Change: a learning rate and a number of steps for a linear probe.


def probe(settings) -> str:
    """`settings()` gives {"lr": ..., "steps": ...} with which a probe reaches a validation NLL below the goal."""
    chosen = settings() if callable(settings) else settings
    if not isinstance(chosen, dict) or not {"lr", "steps"} <= set(chosen):
        return f'Return a dict such as {{"lr": 1e-5, "steps": 5}}, not {chosen!r}.'
    lr, steps = chosen["lr"], chosen["steps"]
    if not (isinstance(steps, int) and lr > 0 and steps > 0):
        return f"lr must be a positive number and steps a positive whole number, but they are {lr} and {steps}."
    if steps > MOST_STEPS:
        return f"{steps} steps are too many: the budget is {MOST_STEPS}. With a fitting rate a probe needs no more."
    reached = probe_nll(lr, steps)
    if reached < GOAL:
        return ""
    said = f"The probe's NLL on validation is {reached:.2f} nats after {steps} steps, and should be below {GOAL:.2f}. "
    ways = {"smaller": (lr / 5, steps), "larger": (lr * 5, steps), "longer": (lr, min(4 * steps, MOST_STEPS))}
    best = min(ways, key=lambda way: probe_nll(*ways[way]))
    if best == "longer":
        return said + "The rate is about right for so few steps: give it more of them."
    if best == "larger":
        return (
            said + "The rate is too small: the head has hardly left its random start. Try three or ten times as much."
        )
    return said + (
        "The rate is too large: the head overshoots, and is sure of itself where it is wrong. Try a third or a tenth."
    )


def probe_nll(lr: float, steps: int) -> float:
    """Mean validation NLL of three heads, since one run proves little. The stages stand still, so their features are
    computed once: training the head on them is training a linear probe."""
    train, validation = _features()
    out = []
    for seed in range(3):
        g = torch.Generator().manual_seed(seed)
        bound = train[0].shape[1] ** -0.5
        w = ((torch.rand(2, train[0].shape[1], generator=g) * 2 - 1) * bound).requires_grad_()
        b = torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.AdamW([w, b], lr=lr)
        for _ in range(steps):
            rows = torch.randint(len(train[0]), (32,), generator=g)
            optimizer.zero_grad()
            F.cross_entropy(F.linear(train[0][rows], w, b), train[1][rows]).backward()
            optimizer.step()
        out.append(F.cross_entropy(F.linear(validation[0], w, b), validation[1]).item())
    return sum(out) / len(out)


@cache
def _features() -> list[tuple[Tensor, Tensor]]:
    """(features, labels) of 200 solar cells for training, and of the validation split."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        task = tasks.load("elpv", seed=0, n=200, size=64)
        last = {"memory_format": torch.channels_last}  # convolutions are faster so
        model = models.load("efficientnet-lite0", task).eval().to(**last)
        loaders = [task.loader(split, batch_size=100) for split in ("train", "validation")]
        found = [
            [(model.features({"pixels": batch["pixels"].contiguous(**last)}), batch["labels"]) for batch in loader]
            for loader in loaders
        ]
    return [tuple(map(torch.cat, zip(*pairs))) for pairs in found]


# Implement: a training step over ragged micro-batches.


def accumulate(step) -> str:
    """`step(model, optimizer, batches)` makes one update from unequal micro-batches, and returns the mean loss."""
    model = _small()
    optimizer = _Counted(model.parameters())
    windows, before = [_batches(sizes=(5, 2, 1), seed=i) for i in (1, 2)], 0
    for i, batches in enumerate(windows):
        start = [p.detach().clone() for p in model.parameters()]
        losses = [F.cross_entropy(model(b), b["labels"], reduction="sum") for b in batches]
        each = [torch.autograd.grad(loss, list(model.parameters())) for loss in losses]
        losses, sizes = [loss.item() for loss in losses], [len(b["labels"]) for b in batches]
        returned = step(model, optimizer, batches)
        if optimizer.steps != i + 1:
            return _steps(optimizer.steps - i)
        moved = torch.cat([(a - p.detach()).flatten() for a, p in zip(start, model.parameters())])  # the rate is 1
        sums = [torch.cat([g.flatten() for g in grads]) for grads in each]
        right, hints = sum(sums) / sum(sizes), _averages(sums, sizes)
        hints["old gradients"] = (right + before, "Gradients of the step before are still in it: call zero_grad once.")
        before = moved
        hint = _explain(moved, right, hints, "The update is not that of one large batch: it must be Σ loss / n.")
        if hint:
            return hint
        if not isinstance(returned, int | float | Tensor):
            return f"The update is right. Return the mean loss too: expected a number, got {returned!r}."
        loss, hints = (torch.tensor(sum(losses) / sum(sizes)), _averages([torch.tensor(v) for v in losses], sizes))
        hint = _explain(torch.as_tensor(returned).detach().double(), loss.double(), hints, "It must be Σ loss / n.")
        if hint:
            return f"The update is right, but the loss that you return is not the mean over all examples. {hint}"
    return ""


def _averages(sums: list[Tensor], sizes: list[int]) -> dict:
    """What the usual wrong averages give, and a hint for each."""
    means, k = [s / n for s, n in zip(sums, sizes)], len(sizes)
    return {
        "mean of means": (
            sum(means) / k,
            "This is a mean of means: an example in a batch of 1 weighs as much as five in a batch of 5. "
            "Add sums, count examples, divide once.",
        ),
        "sum of means": (sum(means), "Each batch's mean was added up: use sums, and divide once by all the examples."),
        "sum": (sum(sums), "The sums are right, but never divided: divide by the number of all examples."),
        "last": (means[-1], "Only the last micro-batch counts: clear the gradients once, before the first of them."),
        "last sum": (
            sums[-1] / sum(sizes),
            "Only the last micro-batch is in it: clear the gradients once, before all.",
        ),
    }


def _steps(made: int) -> str:
    if made == 0:
        return "The weights were not updated: call optimizer.step() once, after the last micro-batch."
    return f"The optimizer stepped {made} times: accumulate over all micro-batches, then call optimizer.step() once."


class _Counted(torch.optim.SGD):
    """Plain gradient descent with rate 1 that counts its steps."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=1.0)
        self.steps = 0

    def step(self, closure=None):
        self.steps += 1
        return super().step(closure)


# Implement: the L2-SP penalty.


def l2sp(penalty) -> str:
    """`penalty(model, start, alpha, beta)` = alpha/2 · ‖stages − start‖² + beta/2 · ‖head‖², as a tensor."""
    model, alpha, beta = _small(), 0.3, 0.05
    start = {n: p.detach() + 0.1 + p.detach().square() for n, p in model.named_parameters() if n.startswith("stages")}
    value = penalty(model, dict(start), alpha, beta)
    if not isinstance(value, Tensor) or not value.requires_grad:
        return "The penalty carries no gradient, so it pulls at nothing: add up tensors, without .item() or .detach()."
    if value.numel() != 1:
        return f"The penalty must be one number, but its shape is {tuple(value.shape)}: sum over every parameter."
    pulls = {n: p.detach() - start[n] for n, p in model.named_parameters() if n in start}
    stages, head = _squares(pulls.values()), _squares(model.head.parameters())
    plain = _squares(model.stages.parameters())
    right = alpha / 2 * stages + beta / 2 * head
    norms = (sum(v.norm() for v in pulls.values()), sum(p.detach().norm() for p in model.head.parameters()))
    hint = _explain(value.detach(), right, {
        "no half": (2 * right, "It is twice too large: the formula has alpha / 2 and beta / 2."),
        "towards zero": (alpha / 2 * plain + beta / 2 * head,
                         "The stages are pulled towards zero, which is ordinary decay: subtract `start` first."),
        "no head": (alpha / 2 * stages, "The head is missing: it has no start, so beta / 2 pulls it towards zero."),
        "one strength": (alpha / 2 * (stages + head), "Pull the head with beta, and only the stages with alpha."),
        "not squared": (alpha / 2 * norms[0] + beta / 2 * norms[1],
                        "These are lengths: the penalty needs their squares, whose gradient fades near the start."),
    }, "It is not alpha/2 · Σ (p − start)² over the stages + beta/2 · Σ p² over the head.")  # fmt: skip
    if hint:
        return hint
    value.backward()
    off = [
        n for n, p in model.named_parameters() if p.grad is None or not _same(p.grad, _pull(n, p, start, alpha, beta))
    ]
    return f"The value is right, but its gradient is not, for example at {off[0]}: detach nothing." if off else ""


def _pull(name: str, p: Tensor, start: dict, alpha: float, beta: float) -> Tensor:
    return alpha * (p.detach() - start[name]) if name in start else beta * p.detach()


def _squares(tensors) -> Tensor:
    return sum(t.detach().square().sum() for t in tensors)


# Investigate: what recorded runs can tell apart.


def smallest_n(function) -> str:
    """`function(runs, arm, baseline, metric)` gives the smallest n at which two arms differ, or None."""
    noisy, steady, huge = (
        [0.09, -0.06, 0.08, -0.05, 0.07, 0.05],
        [0.010, 0.012, 0.008, 0.011, 0.009, 0.010],
        [0.5] * 6,
    )
    some = _runs({50: noisy, 200: steady, 800: huge})
    got = function(some.copy(), "a", "b", "test.score")
    if got == 50:
        return ("At n = 50 the mean difference is large, but its interval holds 0: it is not distinguishable there. "
                "Look at the interval, not at the mean.")  # fmt: skip
    if got == 800:
        return ("At n = 200 the arms differ by the same small amount on each seed, and you missed it: pair the runs by "
                "seed before you look at the spread.")  # fmt: skip
    if got != 200:
        return f"For runs with n in 50, 200 and 800 it gave {got!r}: return the smallest n whose interval leaves out 0."
    lower = _runs({50: [-d for d in steady], 200: huge})
    if (got := function(lower, "a", "b", "test.score")) != 50:
        return f"Lower is a difference too: arm a is lower than b at n = 50 on every seed, but you answered {got!r}."
    tuned = (_runs({50: noisy, 200: steady}), _runs({200: [0.9, -0.9]}).assign(purpose="tune", lr=0.1))
    tuned[1]["seed"] += 100
    try:
        got = function(pd.concat(tuned, ignore_index=True), "a", "b", "test.score")
    except ValueError:
        got = "an error"
    if got != 200:
        return ("Runs whose purpose is 'tune' chose the learning rates and are no measurements: leave them out. With "
                f"them in the table you gave {got!r}.")  # fmt: skip
    if (got := function(_runs({50: noisy, 200: noisy}), "a", "b", "test.score")) is not None:
        return f"Here the arms are distinguishable at no size: return None, not {got!r}."
    return ""


def _runs(differences: dict[int, list[float]]) -> pd.DataFrame:
    """Runs of arms a and b whose scores share what their seed brings, in no particular order."""
    rows = [
        {"arm": arm, "seed": seed, "n": n, "task": "t", "model": "m", "purpose": "measure", "lr": 0.01,
         "test.score": 0.3 + 0.03 * seed + (d if arm == "a" else 0.0)}
        for n, values in differences.items() for seed, d in enumerate(values) for arm in ("b", "a")
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)


# The task of the board: read off a difference.


def board(points) -> str:
    """By how many hundredths of macro-F1 full is ahead of the probe on the reviews with 800 examples."""
    others = {}
    for task in ("sentiment/amazon", "elpv"):
        for n, runs in sorted(_recorded().query("task == @task").groupby("n"), reverse=True):
            hint = f"That is the difference on {task} with {n:g} examples: choose the Amazon reviews, and 800."
            others[hint] = 100 * paired(runs, "test.macro_f1", "full", "probe").mean
    right, *_ = others.values()
    return points_read(
        points, right, others, ("full", "probe"),
        "Choose Task sentiment/amazon, Training examples 800, Measure macro-F1, and read the words below the figure: "
        "the probe's difference against full stands there. Times 100, it is in points.",
    )  # fmt: skip


def _recorded() -> pd.DataFrame:
    """The measured runs that the board shows."""
    files = ("01_full", "01_full_sizes")
    return load_runs(*files).query("purpose == 'measure'")


# What the checkers share.


class _Small(nn.Module):
    """D = 4 inputs, two stages of H = 6 features, K = 3 classes."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(
            [nn.Sequential(nn.Linear(4, 6), nn.Tanh()), nn.Sequential(nn.Linear(6, 6), nn.Tanh())]
        )
        self.head = nn.Linear(6, 3)

    def forward(self, batch: dict) -> Tensor:
        h = batch["x"]  # (B, D)
        for stage in self.stages:
            h = stage(h)
        return self.head(h)  # (B, K)


def _small() -> _Small:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _Small().double()


def _batches(sizes: tuple[int, ...], seed: int) -> list[dict]:
    g = torch.Generator().manual_seed(seed)
    return [{"x": torch.randn(n, 4, generator=g, dtype=torch.float64), "labels": torch.randint(3, (n,), generator=g)}
            for n in sizes]  # fmt: skip


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b.to(a.dtype), **CLOSE)


def _explain(got: Tensor, right: Tensor, wrong: dict, otherwise: str) -> str:
    """ "" if right, else the hint of the wrong value that it equals."""
    if _same(got, right):
        return ""
    return next((hint for value, hint in wrong.values() if _same(got, torch.as_tensor(value))), otherwise)


EXERCISES = {"probe": probe, "accumulate": accumulate, "l2sp": l2sp, "smallest_n": smallest_n, "board": board}
