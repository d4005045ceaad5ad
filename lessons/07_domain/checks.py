"""The exercises of 07_domain: move a threshold, implement a reversal, MMD and BBSE, investigate a gap, read off."""

import math
from numbers import Real

import pandas as pd
import torch
from torch import Tensor

from ftlib.classroom.reading import draw, known_way, points_read
from ftlib.evidence.compare import paired
from ftlib.evidence.runs import load_runs

# Change: a threshold for other shares of the classes.


def threshold(answer) -> str:
    """Half of the parts were defective, now one in ten is: the old probability that stands for one half now."""
    got = answer() if callable(answer) else answer
    if not isinstance(got, Real):
        return f"Return a number between 0 and 1, not {got!r}: did you return the threshold?"
    ways = {
        "At 0.5 nothing was moved: that is right where half of the parts are defective.": (0.5,),
        "That is upside down: where defects are rarer, it takes *more* evidence to say defective.": (0.1,),
        "That is a factor: how many times as frequent a class is now. Find the old probability at which both classes, "
        "times their factors, are as likely.": (0.2, 1.8),
        "That is a ratio of factors. The threshold is a probability p, with p / (1 − p) equal to it.": (9, 1 / 9),
        "Write a probability, not per cent: between 0 and 1.": (90, 10, 50),
    }  # fmt: skip
    near = [hint for hint, values in ways.items() if any(_same(got, value) for value in values)]
    if near or _same(got, 0.9):
        return near[0] if near else ""
    return f"At {got:g} the two classes, each times its factor share now / share before, are not equally likely."


# Implement: gradient reversal.


def reversal(function) -> str:
    """`function(x, strength)`: x forward, and −strength times the gradient backward."""
    cases = ((0.7, (4, 3)), (0.7, (2, 3, 5)), (2.0, (4, 3)), (0.0, (2, 3, 5)))
    return next(filter(None, (_reversed(function, *case) for case in cases)), "")


def _reversed(function, strength: float, shape: tuple) -> str:
    leaf, above = draw(*shape).requires_grad_(), draw(*shape, seed=1)
    x = leaf * 1.0
    y, before = function(x, strength), leaf.detach()
    if not isinstance(y, Tensor):
        return f"Return a tensor: call .apply(x, strength) on your class, and return what it gives, not {y!r}."
    if not torch.equal(x.detach(), before):
        return "The x that you were given has changed: leave it as it is, without operations in place such as mul_()."
    if y is x or y.shape != x.shape:
        same = "You return x itself, so there is nothing to turn its gradient round: return what .apply() gives."
        return same if y is x else f"The shape stays as it is, {shape}, but yours is {tuple(y.shape)}."
    if not torch.allclose(y.detach(), before, atol=1e-5):
        return known_way(y.detach(), {
            "Forward the numbers stay as they are: the minus belongs in backward alone.": (-before, -strength * before),
            "Forward the numbers stay as they are: strength belongs in backward alone.": strength * before,
        }) or "Forward gives the numbers of x as they are: yours differ."  # fmt: skip
    if not y.requires_grad:
        return "No gradient reaches x: leave out detach() and no_grad(), and call your class by .apply(x, strength)."
    try:
        (got,) = torch.autograd.grad(y, leaf, above, allow_unused=True)
    except RuntimeError as error:
        if "number of gradients" in str(error) or "different than None" in str(error):
            return "backward returns two values, one for each input of forward: x's gradient, and None for strength."
        raise
    if got is None:
        zeros = " (for strength 0 it is a tensor of zeros)" if strength == 0 else ""
        return f"backward gave None for x: it returns the gradient of x first{zeros}, and then None for strength."
    if torch.allclose(got, -strength * above, atol=1e-5):
        return ""
    return known_way(got, {
        "The minus is missing: the gradient comes back with the sign that it had.": strength * above,
        "Nothing is turned round: the gradient comes back as it was.": above,
        "The gradient is turned round, but strength is missing: multiply by −strength.": -above,
        "strength is applied twice: multiply the gradient by −strength once.": (-(strength**2) * above),
        "It is the gradient from above that is multiplied by −strength: it is left out.":
            (-strength * before, -strength * torch.ones(shape)),
    }) or f"For strength {strength:g} the gradient is {-strength:g} times the one from above: not yours."  # fmt: skip


# Implement: the squared MMD.


def mmd_distance(function) -> str:
    """`function(source, target, width)`: the mean of k within both, minus twice the mean of k across."""
    for B, M, D, width in ((6, 4, 3, 2.5), (3, 5, 2, 0.8)):
        s, t = draw(B, D).requires_grad_(), (draw(M, D, seed=1) + 0.7).requires_grad_()
        got, case = (function(s, t, width), f"for {B} source rows, {M} target rows and width {width}")
        if not isinstance(got, Tensor):
            return f"Return a tensor, not {got!r}: from a plain number, as item() gives it, nothing can learn."
        if got.numel() != 1:
            return f"Return one number, not {tuple(got.shape)} of them: a mean over all pairs, three times."
        if hint := _value(got.detach(), s.detach(), t.detach(), width, case) or _gradient(got.sum(), s, t, width):
            return hint
    return ""


def _squared(s: Tensor, t: Tensor) -> list[Tensor]:
    """Squared distances within the source (B, B), within the target (M, M), and across (B, M)."""
    return [(a[:, None] - b[None]).square().sum(-1) for a, b in ((s, s), (t, t), (s, t))]


def _mmd(k: list[Tensor], within: float = 1, across: float = -2, of=torch.mean) -> Tensor:
    return within * (of(k[0]) + of(k[1])) + across * of(k[2])


def _value(got: Tensor, s: Tensor, t: Tensor, width: float, case: str) -> str:
    squared, B, M = _squared(s, t), len(s), len(t)
    k = [torch.exp(-d / width) for d in squared]
    if torch.isclose(got.squeeze(), right := _mmd(k), rtol=1e-4, atol=1e-5):
        return ""
    sums, mean = (_mmd(k, of=torch.sum), torch.cat([d.flatten() for d in (*squared, squared[2])]).mean())
    apart = [(x.sum() - len(x)) / (len(x) ** 2 - len(x)) for x in k[:2]]
    widths = 2 * width, width**2, 2 * width**2, 1 / width, width * mean
    *scaled, usual = (_mmd([torch.exp(-d / w) for d in squared]) for w in widths)
    return known_way(got, {
        "The mean across is taken away once: take it away twice.": _mmd(k, across=-1),
        "The sign is turned round: within minus across, so that it grows with the distance.": -right,
        "The mean across is added: take it away, twice.": (_mmd(k, across=2), _mmd(k, across=1)),
        "You took a root: the *squared* MMD is asked for.": right.clamp(min=0).sqrt(),
        "The distance in the kernel has to be squared.": _mmd([torch.exp(-d.sqrt() / width) for d in squared]),
        "The width is used as it is: divide by width, not by its square, and without a factor 2.": tuple(scaled),
        "The width is used as it is here, without the mean squared distance.": usual,
        "Each row meets itself too: keep the diagonal, or identical samples would not have distance 0.":
            apart[0] + apart[1] - 2 * k[2].mean(),
        "Take means over pairs, not sums: B and M may differ.": sums,
        "Each mean has its own number of pairs, B · B, M · M and B · M: you divided all by the same.":
            (sums / B**2, sums / M**2, sums / (B * M)),
        "Only pairs across are in it: add the means within the source and within the target.":
            (_mmd(k, within=0), -_mmd(k, within=0), k[2].mean()),
    }, 1e-4) or f"It is {right:.4f} {case}, but you gave {got.item():.4f}."  # fmt: skip


def _gradient(got: Tensor, s: Tensor, t: Tensor, width: float) -> str:
    if not got.requires_grad:
        return "The value is right, but carries no gradient, so nothing can learn: leave out detach() and no_grad()."
    want = torch.autograd.grad(_mmd([torch.exp(-d / width) for d in _squared(s, t)]), (s, t))
    for name, mine, right in zip(("source", "target"), torch.autograd.grad(got, (s, t), allow_unused=True), want):
        if mine is None:
            return f"The value is right, but no gradient reaches the {name}: leave out detach() and no_grad()."
        if mine.isnan().any():
            return "The gradient is not a number: a root has no slope at 0. Square and add up, without a root."
        if not torch.allclose(mine, right, atol=1e-4):
            return f"The value is right, the gradient of the {name} is not: some of it is detached."
    return ""


# Implement: black-box shift estimation.

COUNTS = (  # of (answer i, label j) on the source; of the answers on the target
    ([[7, 1, 1], [2, 4, 0], [1, 1, 3]], [29, 44, 27]),  # factors 0.4, 2 and 1
    ([[8, 3], [2, 7]], [7, 3]),  # factors 1.6 and 0.4
    ([[4, 1], [1, 4]], [9, 1]),  # the second would be below 0
)


def class_factors(function) -> str:
    """`function(answers, labels, target_answers, classes)`: w with C w = μ, not below 0."""
    for counts, now in COUNTS:
        n, mu = torch.tensor(counts), torch.tensor(now)
        answers, labels = n.nonzero().repeat_interleave(n[n > 0], 0).T
        got, K = (function(answers, labels, torch.arange(len(now)).repeat_interleave(mu), len(now)), len(now))
        if not isinstance(got, Tensor) or got.shape != (K,):
            return f"Return one factor a class: a tensor of the shape ({K},), not {got!r}."
        if hint := _factors(got.detach().float(), n.float(), mu.float()):
            return hint
    return ""


def _factors(got: Tensor, n: Tensor, m: Tensor) -> str:
    C, mu, K, solve = n / n.sum(), m / m.sum(), len(m), torch.linalg.solve
    raw, p = solve(C, mu), C.sum(0)
    w = raw.clamp(min=0)
    if torch.allclose(got, w, atol=1e-4):
        return ""
    return known_way(got, {
        "A factor below 0 makes no sense: set it to 0.": (raw, raw.abs()),
        "C is transposed: row i is the answer, column j the label.": solve(C.T, mu).clamp(min=0),
        "Those are the target's shares of the classes, as confusion *rates* give them. C holds shares of all examples, "
        "and then w are factors: share there / share here.": (w * p, raw * p),
        "The rows of C add up to 1 each: all entries *together* have to.": solve(C / C.sum(1, True), mu).clamp(min=0),
        "μ are the shares of the answers on the *target*, but you took the source's.":
            (torch.ones(K), solve(C, p).clamp(min=0)),
        "The number of classes has no place here: C is divided by the number of examples.": (w / K, w * K),
        "Counts in place of shares: divide C by the number of source examples, and μ by that of target examples.":
            (w / n.sum(), w * m.sum(), w * m.sum() / n.sum()),
        "Nothing was solved: that is the ratio of two shares. Solve C w = μ.": (mu / C.sum(1), mu / p),
    }, 1e-4) or "C w = μ gives {} here, but you gave {}.".format(*(x.numpy().round(3) for x in (w, got)))  # fmt: skip


# Investigate: what was recovered, and how often not.

METRIC, OTHER = "digits/photos:test.accuracy", "digits/photos:test.worst_class"
SCORES = {  # by seed; on seed 2 the gap is near 0, on seed 3 nothing is gained
    "source": [0.60, 0.55, 0.66, 0.66, 0.64, 0.75],
    "target": [0.80, 0.85, 0.665, 0.84, 0.82, 0.85],
    "dann": [0.78, 0.53, 0.64, 0.66, 0.61, 0.74],
    "adabn": [0.63, 0.60, 0.66, 0.69, 0.66, 0.74],
}


def recovered(function) -> str:
    """`function(recorded_runs, method, metric)`: (mean gain / mean gap or nan, share of seeds below source-only)."""
    plain = {arm: dict(enumerate(scores)) for arm, scores in SCORES.items()}
    half = plain | {arm: plain[arm] | {6: x} for arm, x in (("source", 0.9), ("dann", 0.3))}
    few = plain | {arm: plain[arm] | {7: x} for arm, x in (("source", 0.5), ("target", 0.9), ("dann", 0.45))}
    harder = plain | {"target": {seed: x - 0.05 for seed, x in plain["source"].items()}}
    for scores, method, metric, hint in (
        (plain, "dann", METRIC, "For 'dann'"),
        (plain, "adabn", METRIC, "The method is named by `method`: for 'adabn'"),
        (plain, "dann", OTHER, "The score to be looked at is named by `metric`: for the worst class"),
        (plain, "dann", METRIC, "The rows stand in no particular order, so pair them by seed: shuffled"),
        (half, "dann", METRIC, "A seed without a run of target-only counts nowhere, not in the rate either: with one"),
        (few, "dann", METRIC, "A seed that lacks another arm, not asked about, does count: with one"),
        (harder, "dann", METRIC, "The mean gap is −0.05, so there is nothing to recover, but the rate stays: there"),
        (plain | {"target": plain["source"]}, "dann", METRIC, "A mean gap of 0 is not above 0: there"),
    ):
        runs = pd.DataFrame([{"arm": a, "seed": s, "lr": 0.003, METRIC: x, OTHER: x**3}
                             for a, by_seed in scores.items() for s, x in by_seed.items()])  # fmt: skip
        m, s, t = (runs[runs.arm == arm].set_index("seed")[metric] for arm in (method, "source", "target"))
        m, s = m[t.index.intersection(m.index)], s[t.index]
        if not hint.startswith(("For", "The method", "The score")):
            runs = runs.sample(frac=1, random_state=0, ignore_index=True)
        got, gap = function(runs, method, metric), (t - s).mean()
        if not isinstance(got, tuple | list) or len(got) != 2 or any(not isinstance(x, Real) for x in got):
            return f"Return a pair of numbers, the recovered gap and the failure rate, not {got!r}."
        right = (m - s).mean() / gap if gap > 0 else math.nan, (m < s).mean()
        if all(_same(x, y) for x, y in zip(got, right)):
            continue
        ways = (_shares(m, s, t), _rates(m, s, t)) if hint == "For 'dann'" else ()
        near = [h for x, y, known in zip(got, right, ways) if not _same(x, y) for h in known if _same(x, known[h])]
        gave, want = (f"({x:.3f}, {y:.3f})" for x, y in (got, right))
        return near[0] if near else f"{hint} you gave {gave} in place of {want}."
    return ""


def _shares(m, s, t) -> dict[str, float]:
    gains, gaps = m - s, t - s
    gain, gap = gains.mean(), gaps.mean()
    return {
        "That is the mean of the ratios. Take the means first, then divide: one gap is near 0.": (gains / gaps).mean(),
        "The gain is method − source-only, but you compared with target-only.": (m - t).mean() / gap,
        "That is the share of the gap that is *left*: take method − source-only.": (t - m).mean() / gap,
        "The sign is turned round: method − source-only, and target-only − source-only.": -gain / gap,
        "Divide by the mean gap, target-only − source-only: you divided by target-only.": gain / t.mean(),
        "That is the gain: divide it by the mean gap.": gain,
        "Give a share, not per cent.": 100 * gain / gap,
    }  # fmt: skip


def _rates(m, s, t) -> dict[str, float]:
    return {
        "A seed with the score of source-only is no failure: *below* means <.": (m <= s).mean(),
        "The failure rate is a share, not per cent.": 100 * (m < s).mean(),
        "Compare with source-only of the *same seed*, not with its mean.": (m < s.mean()).mean(),
        "That is the share of seeds on which the method is better: failures are asked for.": (m > s).mean(),
        "That is the number of failures: divide it by the number of seeds.": (m < s).sum(),
        "A failure is a score below *source-only*: you compared with target-only.": (m < t).mean(),
    }


def _same(got, right: float) -> bool:
    return math.isclose(got, right, abs_tol=1e-6) or (math.isnan(got) and math.isnan(right))


# The tasks of the two figures.

NEAR = 0.3  # points: also who reads the figure, and not the words, is right
READ = 0.51  # whole per cent are shown


def board(points) -> str:
    """By how many points of the worst class AdaBN is above source-only, on digits over photographs."""
    runs = load_runs("07_domain_photos").query("purpose == 'measure'")
    place, choose = "digits/photos:test", "choose MNIST → photographs and worst class"

    def above(metric: str, arm: str = "adabn") -> float:
        return 100 * paired(runs[runs.arm.isin([arm, "source"])], metric, arm, "source").mean

    accuracy, gap = (above(f"{place}.accuracy", arm) for arm in ("adabn", "target"))
    right, others = above(f"{place}.worst_class"), {
        f"That is accuracy, the score on the target: {choose}.": accuracy,
        f"That is the recovered gap: {choose}.": accuracy / gap,
        f"That is the recovered gap, in per cent: {choose}.": 100 * accuracy / gap,
        f"That is what was kept on the source: {choose}.": above("test.accuracy"),
    }  # fmt: skip
    otherwise = f"First {choose}. The words below the figure give adabn's difference: times 100, it is in points."
    points = points() if callable(points) else points
    hint = points_read(points, right, others, ("adabn", "source"), otherwise)
    return "" if hint == otherwise and abs(float(points) - right) < NEAR else hint


def space(answer) -> str:
    """(per cent, {method: {step: share}}): for how much of the target the source's class means are right at the end."""
    pair = answer() if callable(answer) else answer
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[1], dict) or "DANN" not in pair[1]:
        return "Hand over the pair, your number and space.accuracy, as the cell does."
    number, right, plain, last = *pair, pair[1]["source-only"], max(pair[1]["DANN"])
    if number is None:
        return "There is no answer yet: write the number in place of None, and run the cell again."
    if not isinstance(number, Real) or isinstance(number, bool):
        return f"Write a number, such as 20, not {number!r}."
    if abs(number - 100 * plain[last]) < READ:
        return ""
    if abs(number - plain[last]) < READ / 100:
        return "That is the share. Write it in per cent, as the words do."
    for method, steps in right.items():
        for step, share in steps.items():
            if abs(number - 100 * share) < READ:
                place = "before training" if step == min(steps) else f"of {method} at step {step}"
                return f"That is the number {place}: choose Method source-only and Step {last}."
    return f"Choose Method source-only and Step {last}. The words below say for how many per cent it is right."


EXERCISES = {f.__name__: f for f in (threshold, reversal, mmd_distance, class_factors, recovered, board, space)}
