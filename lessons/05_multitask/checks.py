"""The exercises of 05_multitask: delta-m, a weighting for both tasks, PCGrad, uncertainty weighting, enough room."""

import math
from numbers import Integral, Real

import pandas as pd
import torch
from torch import Tensor

from ftlib.classroom.lessons import part

# Change: from the mean change to delta-m.

SCORES = {"mood": 0.84, "source": 0.36, "error": 0.30}
SINGLE = {"mood": 0.80, "source": 0.40, "error": 0.20}
LOWER = ["error"]  # +5 %, -10 %, and an error that is half as large again: -50 %


def delta_m(function) -> str:
    """`function(scores, single, lower)`: the mean relative change in percent, with the sign turned for errors."""
    for scores, single, lower in ((SCORES, SINGLE, LOWER), ({"mood": 0.63}, {"mood": 0.60}, [])):
        given = dict(scores), dict(single), list(lower)
        got = function(*given)
        if given != (scores, single, lower):
            return "One of the arguments has changed. Read them, and leave them as they are."
        if not isinstance(got, Real):
            return f"Return one number, the mean over the tasks, not {got!r}."
        if hint := _mean_hint(got, scores, single, lower):
            return hint
    backwards = {task: SINGLE[task] for task in reversed(SINGLE)}
    right, got = _changes(SCORES, SINGLE, LOWER), function(SCORES, backwards, LOWER)
    if not math.isclose(got, 100 * sum(right) / len(right), abs_tol=1e-6):
        return "The tasks may come in another order in `single`. Look each score up by its task."
    return ""


def _changes(scores: dict, single: dict, lower: list) -> list[float]:
    turned = {task: -1 if task in lower else 1 for task in scores}
    return [turned[task] * (scores[task] - single[task]) / single[task] for task in scores]


def _mean_hint(got: float, scores: dict, single: dict, lower: list) -> str:
    changes, unturned = _changes(scores, single, lower), _changes(scores, single, [])
    plain = [scores[t] - single[t] for t in scores]
    by_own = [(-1 if t in lower else 1) * (scores[t] - single[t]) / scores[t] for t in scores]
    mean = {name: 100 * sum(each) / len(each) for name, each in
            {"right": changes, "unturned": unturned, "plain": plain, "own": by_own}.items()}  # fmt: skip
    if math.isclose(got, mean["right"], abs_tol=1e-6):
        return ""
    turned_plain = 100 * sum((-1 if t in lower else 1) * (scores[t] - single[t]) for t in scores) / len(scores)
    return _named(got, {
        "It isn't in percent yet. Multiply by 100.": (mean["right"] / 100,),
        "That is the mean change itself. Divide each change by the score of the network alone.":
            (mean["plain"], mean["plain"] / 100, turned_plain, turned_plain / 100),
        "An error counts as if higher were better. Turn the sign of the tasks in `lower`.":
            (mean["unturned"], mean["unturned"] / 100),
        "The sign is turned round. A score above that of the network alone is a gain.":
            (-mean["right"], -mean["right"] / 100),
        "You divide by the score of the network for all tasks. Divide by that of the network alone.":
            (mean["own"], mean["own"] / 100),
        "That is the sum over the tasks. Divide by their number.": (mean["right"] * len(scores),),
        "The absolute value hides a loss. Leave it out.": (100 * sum(map(abs, changes)) / len(changes),),
    }) or f"For {scores} beside {single}, lower={lower}, it is {mean['right']:.2f}, but you gave {got:.2f}."  # fmt: skip


def _named(got: float, ways: dict[str, tuple]) -> str:
    """The hint of the first mistake in `ways`, {hint: numbers that it gives}, with this number, or ""."""
    for hint, values in ways.items():
        if any(math.isclose(got, x, rel_tol=1e-6, abs_tol=1e-9) for x in values):
            return hint
    return ""


# Implement: PCGrad for any number of tasks.

CONFLICTS = (  # lists of gradients
    [[1.0, 0.0, 0.5], [-0.8, 1.0, 0.0], [-0.3, -0.9, 1.0]],  # three, and the order counts
    [[3.0, 0.0], [-1.0, 1.0]],
    [[1.0, 0.5], [0.5, 1.0]],  # no conflict
    [[2.0, -1.0]],
)


def pcgrad(function) -> str:
    """`function(gradients)`: the sum of gradients from which conflicts were taken out, in the order of the list."""
    for rows in CONFLICTS:
        gradients = [torch.tensor(row, dtype=torch.double) for row in rows]
        got = function([g.clone() for g in gradients])
        given = [g.clone() for g in gradients]
        function(given)
        if len(given) != len(gradients) or not all(torch.equal(a, b) for a, b in zip(given, gradients)):
            return "One of the gradients has changed. Begin each task with a copy, `own.clone()`."
        if hint := _step_hint(got, gradients):
            return hint
    return ""


def _step_hint(got, gradients: list[Tensor]) -> str:
    if not isinstance(got, Tensor) or got.shape != gradients[0].shape:
        return f"Return one vector of the shape {tuple(gradients[0].shape)}, the sum over the tasks, and not {got!r}."
    got, shown = got.double(), [g.tolist() for g in gradients]
    right = _surgery(gradients)
    if torch.allclose(got, right, atol=1e-6):
        return ""
    ways = {
        "That is the plain sum. Take the conflicting part out of each gradient first.": sum(gradients),
        "That is the mean. Add the changed gradients up.": right / len(gradients),
        "You also project where there is no conflict. Do it only where the product is negative.":
            _surgery(gradients, always=True),
        "The sign is turned round, so the conflict is doubled. Subtract the projection.": _surgery(gradients, sign=-1),
        "You divide by the length of the gradient itself. Divide by the product of the other gradient with itself.":
            _surgery(gradients, own_length=True),
        "You divide by the length of the other gradient. Divide by the square of it, other @ other.":
            _surgery(gradients, root=True),
        "The product is taken with the task's original gradient. After the first projection use the changed one.":
            _surgery(gradients, of_original=True),
        "You project on gradients that are changed already. Project on the original ones.":
            _surgery(gradients, on_changed=True),
        "Only the first gradient is changed. Do it for each task.":
            _surgery(gradients[:1], others=gradients) + sum(gradients[1:], torch.zeros_like(right)),
    }  # fmt: skip
    for hint, wrong in ways.items():
        if torch.allclose(got, wrong, atol=1e-6):
            return hint
    return f"For the gradients {shown} the step is {_short(right)}, but you gave {_short(got)}."


def _short(vector: Tensor) -> list[float]:
    return [round(x, 4) for x in vector.tolist()]


def _surgery(gradients, others=None, always=False, sign=1, own_length=False, root=False, of_original=False,
             on_changed=False) -> Tensor:  # fmt: skip
    """PCGrad in the order of the list, with the mistakes that are asked for."""
    originals, made = others or gradients, []
    for i, own in enumerate(gradients):
        changed = own.clone()
        for j, other in enumerate(originals):
            if on_changed and j < i:
                other = made[j]
            product = (own if of_original else changed) @ other
            if j != i and (always or product < 0):
                scale = changed @ changed if own_length else other @ other
                changed = changed - sign * product / (scale.sqrt() if root else scale) * other
        made.append(changed)
    return sum(made, torch.zeros_like(gradients[0]))


# Implement: uncertainty weighting.

LOSSES, LOG_VARIANCES, NUMBERS = [0.9, 0.2, 2.5], [0.4, -0.7, 1.1], [False, False, True]


def uncertainty(function) -> str:
    """`function(losses, s, regression)` = Σ e^(−s) L + s/2, half the first part for a number; with its gradients."""
    losses = [torch.tensor(x, dtype=torch.double, requires_grad=True) for x in LOSSES]
    s = torch.tensor(LOG_VARIANCES, dtype=torch.double, requires_grad=True)
    got = function(list(losses), s, list(NUMBERS))
    if not isinstance(got, Tensor) or not got.requires_grad:
        return "The loss carries no gradient, so nothing is learned. Add up tensors, without .item() or float()."
    if got.numel() != 1:
        return f"The loss must be one number, but its shape is {tuple(got.shape)}. Sum over the tasks."
    if hint := _value_hint(got.item()):
        return hint
    found = torch.autograd.grad(got.sum(), [*losses, s], allow_unused=True)
    scale = torch.tensor([0.5 if number else 1.0 for number in NUMBERS], dtype=torch.double)
    weights = scale * torch.exp(-s.detach())
    wanted = [*weights, 0.5 - weights * torch.tensor(LOSSES, dtype=torch.double)]
    for grad, right, what in zip(found, wanted, ["the losses"] * len(losses) + ["s"]):
        if grad is None or not torch.allclose(grad, right, rtol=1e-6):
            return f"The value is right, but training can't follow it back to {what}. Detach nothing."
    turned, first = [torch.tensor(x, dtype=torch.double) for x in LOSSES], [True, False, False]
    terms = zip(LOSSES, LOG_VARIANCES, first)
    wanted = sum((0.5 if number else 1.0) * math.exp(-one) * loss + one / 2 for loss, one, number in terms)
    if not math.isclose(function(turned, s.detach(), first).item(), wanted, rel_tol=1e-6):
        return "Any task may be the regression, whatever its place and its loss. Look at `regression`."
    return ""


def _value_hint(got: float) -> str:
    def total(weight=lambda s: math.exp(-s), price=lambda s: s / 2, half=0.5) -> float:
        return sum(
            (half if number else 1.0) * weight(s) * loss + price(s)
            for loss, s, number in zip(LOSSES, LOG_VARIANCES, NUMBERS)
        )

    if math.isclose(got, right := total(), rel_tol=1e-6):
        return ""
    return _named(got, {
        "The price is missing, so ignoring every task costs nothing. Add s / 2 per task.": (total(price=lambda s: 0),),
        "The price is s / 2 per task, and not s.": (total(price=lambda s: s),),
        "The price is added and not subtracted.": (total(price=lambda s: -s / 2),),
        "The sign of s is turned round. The weight is e^(−s), so a large s means a small weight.":
            (total(weight=math.exp), total(weight=lambda s: math.exp(s) * 2, half=0.25)),
        "A regression has half of e^(−s). Look at `regression`.": (total(half=1.0),),
        "Only a regression has the half. For classes the weight is e^(−s).": (
            total(weight=lambda s: math.exp(-s) / 2, half=1.0), total(weight=lambda s: math.exp(-s) / 2, half=2.0)),
        "The weight is e^(−s), and not e^(−2s).": (total(weight=lambda s: math.exp(-2 * s)),),
        "The weight is e^(−s), and not 1 / s.": (total(weight=lambda s: 1 / s),),
        "That is the mean. Add the terms up.": (right / len(LOSSES),),
    }) or f"For losses {LOSSES} and s = {LOG_VARIANCES} it is {right:.4f}, but you gave {got:.4f}."  # fmt: skip


# Investigate: the smallest width at which a task loses less than two points.

WIDTHS = [4, 8, 16, 32]
METRIC = "digits/optical:validation.accuracy"
# (together - alone) of three paired seeds, by width
CHANGES = {4: (-0.06, -0.05, -0.04), 8: (-0.025, -0.030, 0.030), 16: (-0.03, -0.02, -0.04), 32: (0.0, 0.01, 0.0)}


def enough_room(function) -> str:
    """`function(runs, task, metric, widths)`: the smallest width whose mean paired change is above −0.02, or None."""
    runs = _digit_runs(CHANGES)
    got = function(runs.copy(), "optical", METRIC, list(WIDTHS))
    if isinstance(got, bool) or not (got is None or isinstance(got, Integral)):
        return f"Return one of the widths, or None, and not {got!r}."
    if got != 8:
        return _width_hint(got)
    for more, hint in (
        (_digit_runs({8: (-0.5, -0.5, -0.5)}, purpose="tune"),
         "Runs with the purpose 'tune' only chose a learning rate. Leave them out."),
        (_digit_runs({8: (-0.5, -0.5, -0.5)}, weight="10").query("arm.str.startswith('together')"),
         "There are other weights too. Take the runs called exactly 'together, width …, weight 1'."),
    ):  # fmt: skip
        if function(pd.concat([more, runs]), "optical", METRIC, list(WIDTHS)) != 8:
            return f"{hint} With them the smallest width is still 8."
    if (got := function(runs, "optical", METRIC, [32, 16, 8, 4])) != 8:
        return f"`widths` may come in any order. For [32, 16, 8, 4] it is still 8, but you gave {got!r}."
    if (got := function(runs, "optical", METRIC, [4, 16])) is not None:
        return f"With the widths 4 and 16 alone no width is enough, so the answer is None. You gave {got!r}."
    if (got := function(_digit_runs(CHANGES, task="mnist", metric="validation.accuracy"), "mnist",
                        "validation.accuracy", list(WIDTHS))) != 8:  # fmt: skip
        return f"Use `task` and `metric`. For 'mnist' and 'validation.accuracy' it is 8 as well, but you gave {got!r}."
    one_less = runs[~((runs.arm == "optical alone, width 8") & (runs.seed == 2))]
    if (got := function(one_less, "optical", METRIC, list(WIDTHS))) != 32:
        return (
            "Pair the runs by their seed, and leave out a seed that only one of the two has. Without the network alone "
            f"of seed 2 at width 8 the smallest width is 32, but you gave {got!r}."
        )
    return ""


def _width_hint(got) -> str:
    if got == 32:
        return (
            "You gave 32. At width 8 the mean over the seeds is −0.008, though two seeds of three lose more than two "
            "points. Take the mean over the seeds, and don't expect that a larger width is always better."
        )
    if got == 4:
        return (
            "At width 4 every seed loses four points or more. The change is together − alone, and must be above −0.02."
        )
    if got == 16:
        return "At width 16 the mean change is −0.03. That is below −0.02."
    return f"For the runs of the checker the smallest width is 8, but you gave {got!r}."


def _digit_runs(changes: dict, purpose="measure", weight="1", task="optical", metric=METRIC) -> pd.DataFrame:
    """A table of runs in which the network of both tasks changes the score of a task by so much, seed by seed."""
    rows = []
    for width, by_seed in changes.items():
        for seed, change in enumerate(by_seed):
            alone = 0.6 + 0.1 * seed  # seeds differ more than methods do
            for arm, score in ((f"{task} alone, width {width}", alone),
                               (f"together, width {width}, weight {weight}", alone + change)):  # fmt: skip
                rows.append({"arm": arm, "seed": seed, "purpose": purpose, metric: score})
    return pd.DataFrame(rows)


EXERCISES = {
    "delta_m": delta_m, "frontier": part("05_multitask", "shared_frontier").frontier, "pcgrad": pcgrad, "uncertainty": uncertainty,
    "enough_room": enough_room,
}  # fmt: skip
