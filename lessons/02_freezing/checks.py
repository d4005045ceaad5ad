"""The exercises of 02_freezing: change a budget, implement freezing and unfreezing, investigate recorded runs."""

from functools import partial
from numbers import Real

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from ftlib.classroom.reading import NEAR, points_read
from ftlib.evidence.compare import paired
from ftlib.evidence.runs import load_runs

# Parameters of Lite0's nine stages and of its two-class head, as lesson 02 prints them.
STAGES, HEAD = (928, 896, 13_968, 39_712, 198_480, 446_784, 1_652_640, 605_440, 412_160), 2_562
BUDGET, TRAINED, KEPT = (30e6, 16, 4)  # bytes in all; of a trained parameter (with gradient and two means); of a frozen


# Change: the smallest k within a budget of memory.


def budget(answer) -> str:
    """The smallest k for which weights, gradients and AdamW's means of Lite0 stay within the budget."""
    k = answer() if callable(answer) else answer
    if k is None:
        return "Your function gave None: did you `return` the number?"
    if not isinstance(k, Real) or k != int(k) or not 0 <= k <= len(STAGES):
        return f"k is a whole number of stages, 0 to {len(STAGES)}, but you gave {k!r}."
    k = int(k)
    right = next(i for i in range(len(STAGES) + 1) if training_bytes(i) <= BUDGET)
    if k == right:
        return ""
    need = f"With k = {k} the training needs {training_bytes(k) / 1e6:.1f} MB"
    if training_bytes(k) > BUDGET:
        return f"{need}, more than {BUDGET / 1e6:.0f} MB. It freezes stages 0 to {k - 1}: freeze more of them."
    return f"{need}: that fits, but so does a smaller k, which leaves more to be trained. Which stage may learn too?"


def training_bytes(k: int) -> int:
    """Bytes of weights, gradients and AdamW's two means with the first k stages frozen, in float32."""
    return TRAINED * (sum(STAGES[k:]) + HEAD) + KEPT * sum(STAGES[:k])


# Implement: freeze the first stages.


def freeze(function) -> str:
    """`function(model, k)` freezes the first k stages of a model that is in train mode, and nothing else."""
    for k in (1, 2):
        model = _net().train()
        function(model, k)
        hint = _flags(model, k) or _modes(model, k) or _kept(model, k)
        if hint:
            return hint
    function(model, 1)  # after the call with k = 2
    if _flags(model, 1) or _modes(model, 1):
        return ("After a call with k = 2 and one with k = 1, the second stage should learn again: set every stage to "
                "what it should be, with requires_grad_(True) and train() where it learns.")  # fmt: skip
    return ""


def _flags(model: nn.Module, k: int) -> str:
    learns = [all(p.requires_grad for p in stage.parameters()) for stage in model.stages]
    if not all(p.requires_grad for p in model.head.parameters()):
        return "The head is frozen too: it is fresh and random, so it must learn."
    if all(learns):
        names = {"require_grad", "requires_grad", "requires_grad_"}
        typo = any(names & set(vars(part)) for part in model.modules())
        typo = typo or any("require_grad" in vars(p) for p in model.parameters())
        more = " You set an attribute that PyTorch never reads: call stage.requires_grad_(False)." if typo else ""
        return (
            f"Nothing is frozen for k = {k}: every weight still asks for a gradient.{more} Which stages do you reach?"
        )
    wanted = [i >= k for i in range(len(learns))]
    if learns != wanted:
        frozen = [i for i, one in enumerate(learns) if not one]
        return f"For k = {k} the stages {list(range(k))} should stand still, but you froze {frozen}."
    return ""


def _modes(model: nn.Module, k: int) -> str:
    if any(m.training for stage in model.stages[:k] for m in stage.modules()):
        return ("The weights are frozen, but the stages are in train mode: BatchNorm's statistics move with every "
                "batch, and dropout draws. Call eval() on each frozen stage.")  # fmt: skip
    if not all(m.training for stage in [*model.stages[k:], model.head] for m in stage.modules()):
        return "Stages that learn were switched to eval mode too: only the frozen ones belong there."
    return ""


def _kept(model: nn.Module, k: int) -> str:
    before = {name: t.clone() for name, t in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng(devices=[]):  # dropout draws
        F.cross_entropy(model(x), torch.arange(8) % 3).backward()
    optimizer.step()
    frozen = tuple(f"stages.{i}." for i in range(k))
    moved = [n for n, t in model.state_dict().items() if n.startswith(frozen) and not torch.equal(t, before[n])]
    return f"After one step {moved[0]} had changed: frozen means bit-identical." if moved else ""


class _Net(nn.Module):
    """D = 4 inputs, three stages of H = 6 with BatchNorm and dropout, K = 3 classes."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Linear(d, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.1)) for d in (4, 6, 6)
        )
        self.head = nn.Linear(6, 3)

    def forward(self, h):
        for stage in self.stages:
            h = stage(h)  # (B, H)
        return self.head(h)


def _net() -> _Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _Net()


# Implement: gradual unfreezing.


def awake(function) -> str:
    """`function(progress, stages, share)` says how many last stages learn."""
    if (got := function(0.01, 6, 0.5)) != 0:
        return ("At the beginning only the head learns: for progress 0.01 the answer is 0, and yours is "
                f"{got!r}. Count the stages that learn, not those that sleep.")  # fmt: skip
    if (end := function(0.99, 6, 0.5)) != 6:
        return f"Near the end all 6 stages learn, and no more than there are: yours gives {end} for progress 0.99."
    if (late := function(0.51, 6, 0.5)) != 6:
        return f"After `share` of the training everything learns: with share 0.5 and progress 0.51 yours gives {late}."
    for stages, share in ((6, 0.5), (4, 0.5), (9, 1.0), (3, 0.2)):
        for i in range(200):
            progress = (i + 0.5) / 200
            want = min(int(progress / share * (stages + 1)), stages)
            got = function(progress, stages, share)
            if got != want:
                parts = (
                    f"`share` is cut into {stages + 1} equal parts: in the first only the head learns, then one more"
                )
                return f"For progress {progress:.3f}, {stages} stages, share {share} it is {want}, not {got}. {parts}."
    return ""


# Investigate: the cheapest method that is good enough.


def cheapest(function) -> str:
    """`function(runs, metric, margin)` gives the method with the fewest trained parameters that is not worse than full
    by more than the margin: the whole interval of method − full is above −margin."""
    small, wide = ([-0.004, 0.002, -0.001, 0.003, -0.002, 0.001], [0.09, -0.08, 0.07, -0.09, 0.08, -0.06])
    poor, rich = [-0.1, -0.11, -0.09, -0.1, -0.12, -0.1], [0.05, 0.06, 0.05, 0.04, 0.05, 0.05]
    ask = partial(_ask, function)
    runs = _runs({"full": (9000, [0.0] * 6), "few": (10, wide), "some": (300, small), "many": (5000, rich)})
    got = ask(runs)
    if got == "few":
        return ("The method with the fewest parameters has a mean near full's, but its interval reaches far below the "
                "margin: we cannot say that it is good enough. Look at the lower end of the interval.")  # fmt: skip
    if got == "many":
        return ("That method scores best, but it is not the cheapest that will do. Do you go by trained parameters, "
                "and do you compare the lower end with −margin?")  # fmt: skip
    if got == "full":
        return "A cheaper method is within the margin of full: its whole interval is above −margin."
    if isinstance(got, str) and ": " in got:
        return f"Your code stopped with {got}."
    if got != "some":
        return f"Return the name of a method, here 'some', not {got!r}."
    if (got := ask(runs, margin=0.2)) != "few":
        return ("That is right for a margin of 0.02. With 0.2 the whole interval of 'few' is above −0.2, but you "
                f"gave {got!r}. Does your code use `margin`?")  # fmt: skip
    if (got := ask(_runs({"full": (9000, [0.0] * 6), "few": (10, poor)}))) != "full":
        return (
            f"Where every cheaper method is worse than full by more than the margin, the answer is 'full', not {got!r}."
        )
    if (got := ask(_runs({"full": (9000, [0.0] * 6), "few": (10, rich)}))) != "few":
        return f"A method that is better than full is good enough: the answer is 'few', not {got!r}."
    tuned = _runs({"few": (10, [0.9] * 6)}).assign(purpose="tune", seed=range(100, 106))
    mixed = pd.concat([_runs({"full": (9000, [0.0] * 6), "few": (10, poor)}), tuned], ignore_index=True)
    if (got := ask(mixed)) != "full":
        return f"Runs whose purpose is 'tune' are no measurements: leave them out. With them you gave {got!r}."
    return ""


def _ask(function, runs: pd.DataFrame, margin: float = 0.02):
    try:
        return function(runs, "test.score", margin)
    except (KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def _runs(arms: dict) -> pd.DataFrame:
    """{arm: (trained parameters, difference from full on each seed)} as runs, in no particular order."""
    rows = [
        {"arm": arm, "seed": seed, "task": "t", "model": "m", "n": 200, "purpose": "measure",
         "parameters.trainable": trained, "test.score": 0.6 + 0.02 * seed + d}
        for arm, (trained, values) in arms.items() for seed, d in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)


# The task of the board: read off a difference.


def board(points) -> str:
    """By how many points of macro-F1 training the top is ahead of training the bottom on the reviews."""
    runs, others = _recorded(), {}
    for task in ("sentiment/amazon", "elpv"):
        for metric in ("macro_f1", "accuracy", "balanced_accuracy"):
            value = 100 * paired(runs[runs.task == task], f"test.{metric}", "top", "bottom").mean
            others[f"That is {metric} on {task}: choose sentiment/amazon and macro-F1."] = value
    right, *_ = others.values()
    points = points() if callable(points) else points
    if isinstance(points, Real) and any(abs(points * times + right) < NEAR for times in (1, 100)):
        return "The size is right, the sign is not: the board writes + where a method is ahead of the bottom."
    return points_read(
        points, right, others, ("top", "bottom"),
        "Choose Task sentiment/amazon and Measure macro-F1, and read the words below the figure: the difference of "
        "top against bottom is there, in points.",
    )  # fmt: skip


def _recorded() -> pd.DataFrame:
    """The measured runs that the board shows."""
    return load_runs("02_freezing").query("purpose == 'measure'")


EXERCISES = {"budget": budget, "freeze": freeze, "awake": awake, "cheapest": cheapest, "board": board}
