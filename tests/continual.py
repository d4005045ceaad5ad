"""Five tasks of two digits each, one after the other: what continual learners are compared on, ours with a peer's.

Both sides have the same network with the same first weights, the same rows in the same batches, as many steps, and
AdamW that starts anew with each task. The network has one head of ten outputs, and nothing tells it the task. A peer's
environment has no ftlib, so only `ours` imports it.
"""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

SEEDS = range(10, 30)  # strengths were tried on seeds 0 to 3
TASKS, EPOCHS, BATCH, RATE, DECAY = 5, 10, 32, 1e-3, 0.01
TRAIN = 1347  # rows before this one; most of the others are by other writers
MEMORY, REMEMBERED = 192, 32  # six batches, so that a peer that goes through its memory in passes has no smaller one
STRENGTH, TEMPERATURE = 1e5, 2.0  # of EWC, which is between naive training and standing still; of LwF


class MLP(nn.Module):
    """A network that takes a tensor, as a peer gives it, or a batch of ours."""

    def __init__(self, *sizes: int, between=nn.ReLU):
        super().__init__()
        layers = [(nn.Linear(n, m), between()) for n, m in pairwise(sizes[:-1])]
        self.stages = nn.Sequential(*(part for layer in layers for part in layer))
        self.head = nn.Linear(*sizes[-2:])

    def forward(self, x):
        return self.head(self.stages(x["x"] if isinstance(x, dict) else x))


def mlp(seed: int) -> MLP:
    torch.manual_seed(seed)
    return MLP(64, 100, 100, 10)


def tasks(seed: int) -> list[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
    """((x, y) to train on, in the order of this seed, and (x, y) to test on) per task."""
    digits, g = load_digits(), torch.Generator().manual_seed(seed)
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    number, out = torch.arange(len(y)), []
    for task in range(TASKS):
        train, test = (torch.nonzero(side & (y // 2 == task))[:, 0] for side in (number < TRAIN, number >= TRAIN))
        train = train[torch.randperm(len(train), generator=g)]
        out.append(((x[train], y[train]), (x[test], y[test])))
    return out


@torch.no_grad()
def accuracies(model: nn.Module, given: list) -> list[float]:
    """The accuracy on each task."""
    model.eval()
    return [(model(x).argmax(1) == y).double().mean().item() for _, (x, y) in given]


def summary(rows: list[list[float]]) -> dict[str, float]:
    """The final average accuracy, and forgetting: the best earlier accuracy on a task minus the last one."""
    R = np.array(rows)
    return {"average": R[-1].mean().round(4), "forgetting": (R[:-1, :-1].max(0) - R[-1, :-1]).mean().round(4)}


def scores(run, names, seeds=SEEDS) -> dict[str, dict[str, list[float]]]:
    """{name: {"average": [of each seed], "forgetting": [of each seed]}} of run(name, seed), a matrix of accuracies."""
    found = {name: [summary(run(name, seed)) for seed in seeds] for name in names}
    return {name: {key: [one[key] for one in each] for key in each[0]} for name, each in found.items()}


def of_each_task(strategy) -> list[dict]:
    """As many remembered examples of each task, as a step of Avalanche's A-GEM takes them."""
    by_task = {}
    for row in strategy.rows:
        by_task.setdefault(int(row["labels"]) // 2, []).append(row)
    share = strategy.batch_size // max(len(by_task), 1)
    return [rows[i] for rows in by_task.values() for i in torch.randperm(len(rows))[:share].tolist()]


def ours(name: str, seed: int) -> list[list[float]]:
    """The accuracy on each task after each, with ftlib's strategy of this name in `OURS`."""
    import ftlib

    (kind, knobs), given, model, rows = OURS[name], tasks(seed), mlp(seed), []
    strategy = ftlib.strategies.get(kind)(**knobs)
    if name == EACH_TASK:
        strategy.draw = partial(of_each_task, strategy)
    for task, ((x, y), _) in enumerate(given):
        examples = [{"x": x[i], "labels": y[i]} for i in range(len(y))]
        train = torch.utils.data.DataLoader(examples, batch_size=BATCH, shuffle=name in SHUFFLED)
        setting = {"weight_decay": DECAY, "max_norm": math.inf, "precision": "float32", "verbose": False}
        ftlib.fit(model, train, strategy, steps=EPOCHS * len(train), lr=RATE, seed=10 * seed + task, **setting)
        rows.append(accuracies(model, given))
    return rows


EACH_TASK = "a-gem, as many of each task"
REMEMBER = {"size": MEMORY, "batch_size": REMEMBERED}
OURS = {
    "naive": ("Full", {}),
    "ewc": ("EWC", {"strength": STRENGTH, "labels": "data", "examples": TRAIN}),
    "lwf": ("LwF", {"strength": 1.0, "temperature": TEMPERATURE}),
    "replay": ("Replay", REMEMBER),
    "replay, balanced": ("Replay", {**REMEMBER, "keep": "balanced"}),
    "a-gem": ("AGEM", {**REMEMBER, "keep": "balanced"}),
    EACH_TASK: ("AGEM", {**REMEMBER, "keep": "balanced"}),
    "der++": ("DERpp", {**REMEMBER, "keep": "balanced", "alpha": 0.5, "beta": 0.5}),
}
SAME_STEPS = ["naive", "ewc", "lwf"]  # nothing is drawn at random: both sides take the same steps
SHUFFLED = ["replay", "replay, balanced"]  # the peer draws from its memory only if it shuffles the new examples, too
