"""The exercises of 03_incremental: compute forgetting, fill a buffer, implement EWC, read off a size, find a task."""

import math
import re
from collections import OrderedDict
from numbers import Integral, Real
from random import Random

import numpy as np
import torch
from torch import Tensor, nn

from ftlib.classroom.reading import draw
from ftlib.evidence.runs import load_runs

# Change: from the average score to forgetting.

SCORES = (  # R[i][j] is the score on task j after task i
    # task 0 is best after task 1, and task 1 at the very end
    [[0.90, 0.10, 0.05, 0.30], [0.95, 0.70, 0.20, 0.15], [0.60, 0.65, 0.80, 0.25], [0.40, 0.85, 0.50, 0.90]],
    [[0.9, 0.1], [0.6, 0.8]],
    [[0.5, 0.1, 0.1], [0.6, 0.5, 0.2], [0.7, 0.6, 0.9]],  # each old task gets better
)


def forgetting(function) -> str:
    """`function(R)`: the mean over all tasks but the last of the best earlier score minus the last score."""
    for scores in SCORES:
        for R in (np.array(scores), [list(row) for row in scores]):
            if hint := _forgotten(function, R, np.array(scores)):
                return hint
    return ""


def _forgotten(function, R, scores: np.ndarray) -> str:
    try:
        got = function(R)
    except (TypeError, AttributeError) as error:
        if not isinstance(R, list):
            raise
        return f"R may also be a list of lists, and there your code stopped with `{error}`. Begin with R = np.array(R)."
    if not np.array_equal(R, scores):
        return "R has changed. Read its scores, and leave them as they are."
    if not isinstance(got, Real) and getattr(got, "shape", None) != ():
        return f"Return one number, the mean over the tasks, not {got!r}."
    last, old, change = scores[-1], scores[:-1, :-1], np.diag(scores) - scores[-1]
    drops, top = old.max(0) - last[:-1], scores.max(0) - last
    if math.isclose(got, right := drops.mean(), abs_tol=1e-9):
        return ""
    return _named(got, {
        "That is the mean of the last row. Compare each score in it with the best earlier one of its task.":
            (last.mean(), last[:-1].mean(), 1 - last.mean()),
        "The sign is turned round. Take the best earlier score minus the last one, so that a loss is positive.":
            (-right, -change[:-1].mean()),
        "You start from the diagonal. A task can be best after a later task, so take the maximum of its column.":
            (change[:-1].mean(),),
        "Your maximum holds the last row too, so the result can't be negative. A task that got better counts with a "
        "minus, so take the best *earlier* score.": (top[:-1].mean(), drops.clip(0).mean()),
        "The last task is in the mean. There is nothing after it that could make the model forget it.":
            ((scores[:-1].max(0) - last).mean(), top.mean(), change.mean(), drops.sum() / len(last)),
        "A task that got better counts with a minus. Leave out the absolute value.": (np.abs(drops).mean(),),
        "Rows and columns are mixed up. A task is a column of R.": ((old.max(1) - scores[:-1, -1]).mean(),),
        "That is the sum or the largest loss. Take the mean over the tasks.": (drops.sum(), drops.max()),
    }) or f"For R = {scores.tolist()} it is {right:.4f}, but you gave {got:.4f}."  # fmt: skip


def _named(got: float, ways: dict[str, tuple]) -> str:
    """The hint of the first mistake in `ways`, {hint: numbers that it gives}, with this number, or ""."""
    for hint, values in ways.items():
        if any(math.isclose(got, x, rel_tol=1e-6, abs_tol=1e-9) for x in values):
            return hint
    return ""


# Implement: reservoir sampling.

SIZE, N = 3, 10  # places in the buffer, examples that are offered
TIMES = 20_000  # streams; a share of 0.3 then has a standard error of 0.0032
NEAR = 0.016  # five of these, so a right answer fails with fewer than one of 100,000 seeds


def reservoir(function) -> str:
    """`function(buffer, size, seen, example, rng)` keeps each example of a stream with the same probability."""
    full = _one_by_one(function, SIZE, N) or _shares(function, SIZE, N)
    return full or _shares(function, size=1, n=6) or _one_by_one(function, size=0, n=3)


def _one_by_one(function, size: int, n: int) -> str:
    """What is wrong with the list after one offer, or with the source of the random numbers."""
    for seed in range(50):
        buffer, again, rng, twin = [], [], Random(seed), Random(seed)
        for seen in range(n):
            offered = [f"image {i}" for i in range(seen + 1)]
            try:
                returned = function(buffer, size, seen, offered[-1], rng)
                function(again, size, seen, offered[-1], twin)
            except IndexError as error:
                return f"You chose a place that isn't there (`{error}`). From {size} on, leave the example out."
            except (ValueError, ZeroDivisionError) as error:
                return f"With size {size} and seen = {seen} your code stopped with `{error}`."
            if hint := _list_after(buffer, size, offered, returned):
                return hint
        if buffer != again:
            return "The same seed gave two different buffers. Draw all random numbers from `rng`."
    return ""


def _list_after(buffer: list, size: int, offered: list, returned) -> str:
    holds = f"After example number {len(offered) - 1} the list holds {buffer}."
    if isinstance(returned, list) and returned != buffer:
        return "You return a new list. Change the list that you get, with append or buffer[place] = example."
    if len(buffer) > size:
        return f"{holds} Its size is {size}, so a new example can only take the place of an old one."
    if len(buffer) < min(size, len(offered)):
        return f"{holds} Append each example while there is room, and later only replace."
    if not all(one in offered and buffer.count(one) == 1 for one in buffer):
        return f"{holds} Store the example itself, and each one at most once."
    return ""


def _shares(function, size: int, n: int) -> str:
    """What is wrong with how often each example is in the buffer at the end."""
    rng, kept = Random(0), [0] * n
    for _ in range(TIMES):
        buffer: list[int] = []
        for seen in range(n):
            function(buffer, size, seen, seen, rng)
        for example in buffer:
            kept[example] += 1
    found, right = [times / TIMES for times in kept], size / n
    if max(abs(share - right) for share in found) < NEAR:
        return ""
    if min(found[-size:]) == 1:
        return "Only the newest examples are kept. That is a queue, and it forgets the first tasks."
    one_off = "That is wrong by one. `seen` is counted from 0, so seen + 1 examples have come, this one included."
    near = [hint for share, hint in {
        0: "Only the first examples are kept. A later one must get its chance too.",
        1: "A new example always gets in. With a full buffer it should, with probability size / (seen + 1).",
        size / (n - 1): one_off,
        size / (n + 1): one_off,
        1 / n: "A new example gets in too rarely, with 1 / (seen + 1) in place of size / (seen + 1).",
        right: "A new example gets in as often as it should, but old ones must give way alike. Draw the place too.",
    }.items() if abs(found[-1] - share) < NEAR]  # fmt: skip
    return (
        near[0] if near else f"Of {n} examples the last one was kept in {found[-1]:.0%} and not {right:.0%} of cases."
    )


# Implement: the penalty of EWC.

STRENGTH = 0.6


def ewc(function) -> str:
    """`function(model, fisher, anchor, strength)` = strength/2 · Σ F (θ − θ*)², as a tensor that can be trained."""
    model, fisher, anchor = _task_end()
    return (
        _penalty(function(model, dict(fisher), dict(anchor), STRENGTH), model, fisher, anchor)
        or _at_the_anchor(function, model, fisher)
        or _missing_names(function, model, fisher, anchor)
    )


def _task_end() -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor]]:
    """(model, Fisher values, anchor): nothing is at the anchor."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(OrderedDict(stage=nn.Linear(4, 5), head=nn.Linear(5, 3))).double()
    params = {name: p.detach() for name, p in model.named_parameters()}
    fisher = {name: draw(*p.shape).double().square() + 0.1 for name, p in params.items()}
    return (model, fisher, {name: p + 0.3 + 0.5 * draw(*p.shape, seed=1).double() for name, p in params.items()})


def _penalty(got, model: nn.Module, fisher: dict[str, Tensor], anchor: dict[str, Tensor]) -> str:
    if not isinstance(got, Tensor) or not got.requires_grad:
        return "The penalty carries no gradient, so it holds nothing. Add up tensors, without .item() or .detach()."
    if got.numel() != 1:
        return f"The penalty must be one number, but its shape is {tuple(got.shape)}. Sum over all parameters."
    if hint := _value(got.item(), model, fisher, anchor):
        return hint
    params = dict(model.named_parameters())
    grads = torch.autograd.grad(got.sum(), list(params.values()), allow_unused=True)
    for (name, p), grad in zip(params.items(), grads):
        if grad is None or not torch.allclose(grad, STRENGTH * fisher[name] * (p.detach() - anchor[name]), rtol=1e-6):
            return f"The value is right, but its gradient is not, for example at {name}. Detach no parameter."
    return ""


def _half_sum(model: nn.Module, fisher: dict, anchor: dict, what=lambda f, d: f * d.square()) -> float:
    """strength/2 · Σ what(F, θ − θ*) over the parameters with an anchor."""
    params = {name: p.detach() for name, p in model.named_parameters() if name in anchor}
    return STRENGTH / 2 * sum(what(fisher[name], p - anchor[name]).sum().item() for name, p in params.items())


def _value(got: float, model: nn.Module, fisher: dict[str, Tensor], anchor: dict[str, Tensor]) -> str:
    def of(*what, start=anchor) -> tuple[float, float]:
        value = _half_sum(model, fisher, start, *what)
        return value, 2 * value  # with the half and without it

    (right, _), zero = of(), {name: torch.zeros_like(x) for name, x in anchor.items()}
    if math.isclose(got, right, rel_tol=1e-6):
        return ""
    return _named(got, {
        "It is twice too large. The formula has strength / 2.": (2 * right,),
        "The sign is turned round. A penalty is added to the loss, so it is positive.": (-right, -2 * right),
        "The strength is missing. Multiply by strength / 2.": (right / STRENGTH, 2 * right / STRENGTH),
        "The distance isn't squared, so weights below the anchor even earn a reward.": of(lambda f, d: f * d),
        "These are absolute values. Square the distance to the anchor.": of(lambda f, d: f * d.abs()),
        "F is squared too. It is a square already. Square only the distance.": of(lambda f, d: (f * d).square()),
        "F is missing, so every weight is held alike. Multiply by F, weight by weight.": of(lambda f, d: d.square()),
        "The anchor is missing, so the weights are pulled to zero. Subtract it first.": of(start=zero),
        "You took means. The formula is a sum over all weights.": of(lambda f, d: (f * d.square()).mean()),
        "Only the last parameter counts. Add up all of them.": of(lambda f, d: f * d.square() * (d.shape == (3,))),
        "Each weight has its own F. Multiply element by element before you sum.": of(lambda f, d: f.sum() * d.square()),
    }) or f"It is not strength/2 · Σ F (θ − anchor)². Here that is {right:.4f}, and you gave {got:.4f}."  # fmt: skip


def _at_the_anchor(function, model: nn.Module, fisher: dict[str, Tensor]) -> str:
    value = function(model, dict(fisher), {n: p.detach().clone() for n, p in model.named_parameters()}, STRENGTH)
    (grad,) = torch.autograd.grad(value.sum(), model.head.weight)
    right = value.item() == 0 and (grad == 0).all()
    return "" if right else "At the anchor, right after a task, penalty and gradient are exactly 0. Yours are not."


def _missing_names(function, model: nn.Module, fisher: dict[str, Tensor], anchor: dict[str, Tensor]) -> str:
    """The head came later, and an old head is gone."""
    old = {"gone.weight": torch.ones(2)}
    some = [{n: x for n, x in one.items() if not n.startswith("head")} | old for one in (fisher, anchor)]
    advice = "A new head has no anchor, and an anchor may belong to a head that is gone. Skip names that only one has."
    try:
        value = function(model, *some, STRENGTH).item()
    except (KeyError, AttributeError) as error:
        return f"Your code stopped with {type(error).__name__}: `{error}`. {advice}"
    return "" if math.isclose(value, _half_sum(model, *some), rel_tol=1e-6) else advice


# The task of the widget: the smallest buffer that is enough.

FEW = 5.0  # points of forgetting


def buffer(answer) -> str:
    """The smallest recorded buffer with a mean forgetting below five points, or "none"."""
    return size_hint(answer() if callable(answer) else answer, forgetting_by_size())


def forgetting_by_size() -> dict[int, float]:
    """{images in the buffer: mean forgetting over the seeds, in points} of the recorded runs."""
    runs = load_runs("03_incremental").query("purpose == 'measure'")
    means = 100 * runs.groupby("arm")["sequence.forgetting"].mean()
    sizes = {int(found[1]): arm for arm in means.index if (found := re.fullmatch(r"replay-(\d+)", arm))}
    return {size: float(means[sizes[size]]) for size in sorted(sizes)}


def size_hint(size, points: dict[int, float]) -> str:
    """ "" if this is the smallest size with a forgetting below FEW, or "none" where there is no such size."""
    right = min((n for n, x in points.items() if x < FEW), default=None)
    offered = ", ".join(map(str, points))
    if size is None or (isinstance(size, str) and size.strip().lower() == "none"):
        return "" if right is None else f"Some of the sizes {offered} do keep forgetting under five points. Look again."
    if isinstance(size, bool) or not isinstance(size, Real):
        return f'Write the number of images alone, such as 30, or "none" if no size is enough. You gave {size!r}.'
    if size == right:
        return ""
    if size not in points:
        if any(abs(unit * size - x) < 0.06 for x in points.values() for unit in (1, 100)):
            return f"{size:g} is an amount of forgetting. The task asks for a size, so write the size of the buffer."
        return f"The recorded buffers hold {offered} images, and {size:g} is none of them."
    said = f"With {size:g} images the mean forgetting is {points[size]:.2f} points"
    if points[size] < FEW:
        return f"{said}. That is under five, but a smaller buffer is enough too. Look at the smaller sizes."
    if right is None and points[size] == min(points.values()):
        return f'{said}. That is the least of all sizes, and still not under five. If no size is enough, write "none".'
    return f"{said}, and that is not under five. Look at the other sizes."


# Investigate: which task is forgotten most.

LOST = [  # R[i][j] after six tasks. Task 3 loses most. The others are what a mistake leads to.
    [0.50, 0.10, 0.10, 0.10, 0.10, 0.10], [0.45, 0.90, 0.10, 0.10, 0.10, 0.10], [0.45, 0.85, 0.60, 0.10, 0.10, 0.10],
    [0.40, 0.80, 0.95, 0.85, 0.10, 0.10], [0.40, 0.80, 0.90, 0.80, 0.70, 0.95], [0.25, 0.60, 0.40, 0.45, 0.75, 0.30],
]  # fmt: skip
LOST_HINTS = {
    0: "You gave 0. Tasks are counted from 1, but argmax counts from 0.",
    2: "Task 3 is forgotten most here, and you gave 2. Tasks are counted from 1, but argmax counts from 0.",
    1: "Task 1 has the lowest score at the end, but it never had a high one. Look for the largest loss.",
    6: "Task 6 is the last one. Nothing comes after it that could make the model forget it, so leave it out.",
    4: "Task 4 loses most from the end of its own training. Take the best earlier score, as in `forgetting`.",
    5: "Task 5 is forgotten least. Take the best earlier score minus the last one, and then the largest.",
}
OFTEN = [[0.9, 0.1, 0.1], [0.85, 0.9, 0.1], [0.8, 0.6, 0.9]]  # task 1 loses 0.1, task 2 loses 0.3
ONCE = [[0.95, 0.1, 0.1], [0.9, 0.9, 0.1], [0.0, 0.6, 0.9]]  # task 1 loses 0.95, task 2 loses 0.3
OTHER = [[0.9, 0.1, 0.1], [0.9, 0.9, 0.1], [0.9, 0.0, 0.9]]  # task 2 loses everything


def hardest(function) -> str:
    """`function(records, arm)`: the number, from 1, of the task that one arm forgets most in the mean of the seeds."""
    got = function([_record(LOST, seed) for seed in range(3)], "naive")
    if not isinstance(got, Integral) or isinstance(got, bool) or not 0 <= got <= len(LOST):
        return f"Return the number of a task, a whole number from 1 to {len(LOST)}, and not {got!r}."
    if got != 3:
        return LOST_HINTS[int(got)]
    some = [_record(OFTEN, 0), _record(OFTEN, 1), _record(ONCE, 2)]
    tuned = [_record(OTHER, seed, purpose="tune") for seed in (100, 101)]
    others = [_record(OTHER, seed, arm=arm) for arm in ("naive told", "replay-50") for seed in range(3)]
    for more, hint in (
        ([], "On two of three seeds task 2 loses more than task 1, but on the third one task 1 loses nearly everything. "
             "Take the mean over all seeds first. It gives 1"),
        (tuned, "Runs with the purpose 'tune' only chose a learning rate. Leave them out. With them it is still 1"),
        (others, "The records hold several arms, 'naive told' too. Take those whose arm is exactly the one that was "
                 "asked for. Then it is still 1"),
    ):  # fmt: skip
        if (got := function([*more, *some], "naive")) != 1:
            return f"{hint}, but you gave {got!r}."
    return ""


def _record(R: list[list[float]], seed: int, arm: str = "naive", purpose: str = "measure") -> dict:
    """A run that learned a task per row of R."""
    watch = [f"digits/mnist[{j}]:validation" for j in range(len(R))]
    scores = [dict(zip(watch, (x + 0.001 * seed for x in row))) for row in R]
    curve = [{"step": 10 * (i + 1)} | row for i, row in enumerate(scores)]
    spec = {"arm": arm, "seed": seed, "purpose": purpose, "watch": watch, "phases": [{"steps": 10} for _ in R]}
    return {"id": f"{arm}-{purpose}-{seed}", "spec": spec, "curve": curve, "measured": {}}


EXERCISES = {"forgetting": forgetting, "reservoir": reservoir, "ewc": ewc, "buffer": buffer, "hardest": hardest}
