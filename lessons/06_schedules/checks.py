"""The exercises of 06_schedules: change a peak, implement a shape and how to read a range test, investigate windows."""

import math

import pandas as pd

from ftlib.classroom.reading import points_read
from ftlib.evidence.compare import interval
from ftlib.evidence.runs import load_runs

CONSTANT = 0.003  # the constant rate whose area a decay is to match


# Change: the peak that keeps the area.


def peak(answer) -> str:
    """The peak at which linear decay, with whatever warmup, has the area of the constant rate: twice that rate."""
    chosen = answer() if callable(answer) else answer
    if not isinstance(chosen, int | float) or not 0 < chosen < math.inf:
        return f"The peak is a positive number such as 0.001, but you gave {chosen!r}."
    if math.isclose(chosen, 2 * CONSTANT, rel_tol=1e-3):
        return ""
    mean = f"With a peak of {chosen:g} the mean rate is {chosen / 2:g}, and it should be {CONSTANT:g}. "
    if math.isclose(chosen, CONSTANT, rel_tol=1e-3):
        return mean + "At the same peak a straight line to 0 has half the area of a constant rate."
    if chosen < CONSTANT:
        return mean + "That is the wrong direction. A decay spends most of its steps below its peak."
    if any(math.isclose(chosen, 2 * CONSTANT / (1 + w), rel_tol=5e-3) for w in (0.1, -0.1)):
        return mean + "The warmup needs no correction. It is a straight line as well, and its mean is 1/2 too."
    return mean + "What is the mean of a straight line from 1 to 0, and what is that of one from 0 to 1?"


# Implement: one cycle.


def one_cycle(function) -> str:
    """`function(progress, rise, start)`: half a wave from start up to 1 at `rise`, half a wave down to 0 at the end."""
    rise, start, tiny = 0.3, 0.04, 1e-9
    first, top, last = (float(function(p, rise, start)) for p in (tiny, rise + tiny, 1 - tiny))
    if not math.isclose(first, start, abs_tol=1e-4):
        return f"It begins at `start`. For progress 0 and start {start} the scale is {start}, but yours is {first:.3f}."
    if not math.isclose(top, 1, abs_tol=1e-4):
        return (f"Just after the rise the scale is still 1, but yours is {top:.3f}. On the way down q runs from 0 to 1 "
                "too, so take `rise` away from the progress and divide by what is left.")  # fmt: skip
    if not math.isclose(last, 0, abs_tol=1e-4):
        return f"At the end the scale is back at 0, but yours is {last:.3f}."
    quarter, straight = float(function(rise / 4, rise, start)), start + (1 - start) / 4
    if math.isclose(quarter, straight, abs_tol=1e-3):
        return "This goes up along a straight line. Half a wave is flat at both ends. Use the cosine of the formula."
    later = rise + (1 - rise) / 4
    if math.isclose(float(function(later, rise, start)), 0.75, abs_tol=1e-3):
        return "It goes down along a straight line. Half a wave is flat at both ends. Use the cosine there too."
    for rise, start in ((0.3, 0.04), (0.5, 0.1), (0.1, 0.0), (0.25, 0.5)):
        for i in range(100):
            progress = (i + 0.5) / 100
            want, got = (_one_cycle(progress, rise, start), float(function(progress, rise, start)))
            if not math.isclose(got, want, abs_tol=1e-6):
                return f"For progress {progress:g}, rise {rise:g} and start {start:g} it is {want:.3f}, not {got:.3f}."
    return ""


def _one_cycle(progress: float, rise: float, start: float) -> float:
    if progress < rise:
        return 1 - (1 - start) * (1 + math.cos(math.pi * progress / rise)) / 2
    return (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2


# Implement: read a range test.

LOSSES = [2.30, 2.31, 2.29, 2.30, 2.90, 2.25, 2.20, 2.10, 1.95, 1.75, 1.50, 1.30, 1.15,
          1.05, 1.00, 1.10, 2.60, 1.70, 2.20, 3.00, 4.50, 6.00, 8.00, 9.00, 9.50, 10.0]  # fmt: skip
RATES = [10 ** (i / 6 - 5) for i in range(len(LOSSES))]  # 1e-5 to 0.15; 2.90 and 2.60 are bad batches, no explosions
EXPLODES = 19  # the first step whose smoothed loss is above the first one


def range_rate(function) -> str:
    """`function(losses, rates)` gives a tenth of the rate of the step before the explosion, or None."""
    got, rate = function(list(LOSSES), list(RATES)), RATES[EXPLODES - 1]
    if not isinstance(got, int | float):
        return f"This loss explodes. Return the safe rate, a number, not {got!r}."
    lowest = LOSSES.index(min(LOSSES))
    wrong = {
        rate: "That is the rate of the step before the explosion. A tenth of it is the safe one.",
        RATES[EXPLODES] / 10: "That is a tenth of the rate of the exploding step itself. Its loss was taken before it "
        "moved, so the rate of the step before is to blame.",
        RATES[EXPLODES]: "That is the rate of the exploding step. Take the step before it, and a tenth of its rate.",
        RATES[15] / 10: "One bad batch was taken for the explosion. Smooth the losses first, with `smooth`.",
        RATES[16] / 10: "One bad batch was taken for the explosion. Smooth the losses first, with `smooth`.",
        RATES[2] / 10: "A rise before the lowest loss is noise. Look for the explosion from the lowest loss on.",
        RATES[3] / 10: "A rise before the lowest loss is noise. Look for the explosion from the lowest loss on.",
        RATES[lowest] / 10: "That is a tenth of the rate of the lowest loss. Go on from there until the loss is above "
        "its start.",
        RATES[lowest]: "That is the rate of the lowest loss, where training is about to break. Go on from there "
        "until the loss is above its start, and take a tenth.",
    }
    if not math.isclose(got, rate / 10, rel_tol=1e-6):
        near = [hint for value, hint in wrong.items() if math.isclose(got, value, rel_tol=1e-6)]
        return near[0] if near else f"The safe rate of this test is {rate / 10:.2g}, but yours is {got:.2g}."
    calm = LOSSES[: lowest + 2]
    if (got := function(calm, RATES[: len(calm)])) is not None:
        return f"A loss that never rises above its start has not exploded. The answer is None, not {got!r}."
    broken = [*LOSSES[:EXPLODES], math.nan, math.nan]
    got = function(broken, RATES[: len(broken)])
    if not isinstance(got, int | float) or not math.isclose(got, RATES[EXPLODES - 2] / 10, rel_tol=1e-6):
        return ("A loss that is not finite is an explosion, too, but nan > 2.3 is False. Compare the smoothed losses, "
                f"in which it is infinite. With nan from step {EXPLODES} on yours gives {got!r}.")  # fmt: skip
    return ""


# Investigate: the window of peaks that work.

NOISE = [0.03, -0.02, 0.01, -0.01, 0.02, -0.03]  # of six seeds; adds up to 0
LUCKY = [0.25, -0.05, -0.05, -0.05, -0.05, -0.05]
LINEAR = {0.001: 0.80, 0.003: 0.893, 0.01: 0.90, 0.03: 0.70, 0.1: 0.896}  # the hole at 0.03 ends the window
WARM = {0.001: 0.97, 0.003: 0.965, 0.01: 0.80, 0.03: 0.80, 0.1: 0.80}  # another shape, and a better one


def window(function) -> str:
    """`function(runs, shape, metric)` gives the lowest and the highest peak within one point of the best mean."""
    runs = _runs({"linear": LINEAR, "linear-warm": WARM, "constant": dict.fromkeys(LINEAR, 0.5)})
    got = function(runs.copy(), "linear", "validation.score")
    if not isinstance(got, tuple | list) or len(got) != 2:
        return f"Return two peaks, the lowest and the highest of the window, for example (0.001, 0.01), not {got!r}."
    hints = {
        (0.003, 0.1): "At 0.03 the mean is far too low, so the window ends before it, though 0.1 is good again.",
        (0.001, 0.003): "This is the window of 'linear-warm', which begins with 'linear' too but is another shape.",
        (0.003, 0.003): "This is the window of several shapes together: 'linear-warm' begins with 'linear' too. Take "
        "the runs whose part before the @ is the shape.",
        (0.03, 0.03): "One lucky seed made 0.03 look best. Take the mean over the seeds first.",
        (0.01, 0.01): "That is the best peak alone. A peak whose mean is less than one point lower belongs to the "
        "window too.",
        (0.01, 0.003): "The lowest peak comes first, then the highest.",
    }
    if not _same(got, (0.003, 0.01)):
        near = [hint for pair, hint in hints.items() if _same(got, pair)]
        return near[0] if near else f"The window of 'linear' is 0.003 to 0.01 here, but you gave {tuple(got)!r}."
    low = _runs({"linear": {0.001: 0.300, 0.003: 0.295, 0.01: 0.28}})
    if not _same(got := function(low, "linear", "validation.score"), (0.001, 0.003)):
        return (f"Where the best mean is 0.300, one of 0.295 is half a point lower and belongs to the window. A point "
                f"is 0.01 of the score, not a hundredth of the best. You gave {tuple(got)!r}.")  # fmt: skip
    alone = _runs({"linear": {0.001: 0.9, 0.003: 0.8}})
    if not _same(got := function(alone, "linear", "validation.score"), (0.001, 0.001)):
        return f"Where no other peak is good enough, both ends are the best one, here 0.001, not {tuple(got)!r}."
    other = runs.assign(**{"test.score": 1 - runs["validation.score"]})
    if not _same(got := function(other, "linear", "test.score"), (0.03, 0.03)):
        return f"`metric` names the score to look at. For another one you gave {tuple(got)!r}."
    return ""


def _same(got, pair: tuple) -> bool:
    return all(math.isclose(a, b) for a, b in zip(got, pair))


def _runs(shapes: dict) -> pd.DataFrame:
    """{shape: {peak: mean}} as runs of six seeds, in no particular order."""
    rows = [
        {"arm": f"{shape}@{lr:g}", "lr": lr, "seed": seed, "task": "t", "model": "m", "purpose": "measure",
         "validation.score": mean + (LUCKY if lr == 0.03 and shape == "linear" else NOISE)[seed]}
        for shape, means in shapes.items() for lr, mean in means.items() for seed in range(6)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)


# The task of the playground: the peak that keeps the mean rate, and the score of the recorded run nearest to it.


def playground(points) -> str:
    """By how many points linear decay from 0.003, the recorded run nearest to 0.002, is ahead of a constant 0.001."""
    others = {
        "That is linear decay from the same peak, 0.001. Look at its mean rate: it is half of the constant one.":
            _ahead("linear@0.001"),
        "That is the difference of cosine, or of linear decay with a warmup: choose Shape linear and Warmup none.":
            (_ahead("cosine@0.003") + _ahead("linear-warm@0.003")) / 2,  # they differ by less than what is read
        "That is the difference to a constant rate of 0.003. Draw the constant rate at 0.001.":
            _ahead("linear@0.003", "constant@0.003"),
        **{f"That is the difference of {shape}: choose Shape linear.": _ahead(f"{shape}@0.003")
           for shape in ("wsd", "one-cycle")},
    }  # fmt: skip
    return points_read(
        points, _ahead("linear@0.003"), others, ("linear decay", "the constant rate"),
        "Choose Task digits/optical, Warmup none and Steps 40. Draw constant at Peak 0.001, then linear at the peak at "
        "which the mean rate is 0.001 again. Take both scores from the words below the figure. Their difference times "
        "100 is in points.",
    )  # fmt: skip


def _ahead(arm: str, baseline: str = "constant@0.001") -> float:
    """The mean score of a recorded run minus that of another one on the digits, in points."""
    runs = _recorded().query("task == 'digits/optical'")
    high, low = (interval(runs["test.balanced_accuracy"][runs.arm == name])[0] for name in (arm, baseline))
    return 100 * (high - low)


def _recorded() -> pd.DataFrame:
    """The measured runs that the playground knows."""
    files = ("06_schedules", "06_schedules_warmup")
    return load_runs(*files).query("purpose == 'measure'")


EXERCISES = {
    "peak": peak, "one_cycle": one_cycle, "range_rate": range_rate, "window": window, "playground": playground,
}  # fmt: skip
