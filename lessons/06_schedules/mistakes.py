"""Likely mistakes of the exercises of 06_schedules, with the hint that each must get; tests/test_exercises.py tries them.

READ_OFF holds the right answers that a learner reads from a widget, and that are no code.
"""

import math

from ftlib.evidence.runs import load_runs
from solutions import solution


def wave(q):
    return (1 + math.cos(math.pi * q)) / 2


def from_zero(progress, rise, start):
    return 1 - wave(progress / rise) if progress < rise else wave((progress - rise) / (1 - rise))


def up(progress, rise, start):
    return 1 - (1 - start) * wave(progress / rise)


def one_wave_for_both(progress, rise, start):
    return up(progress, rise, start) if progress < rise else wave(progress)


def not_divided(progress, rise, start):
    return up(progress, rise, start) if progress < rise else wave(progress - rise)


def back_to_start(progress, rise, start):
    down = start + (1 - start) * wave((progress - rise) / (1 - rise))
    return up(progress, rise, start) if progress < rise else down


def straight_up(progress, rise, start):
    return start + (1 - start) * progress / rise if progress < rise else wave((progress - rise) / (1 - rise))


def straight_down(progress, rise, start):
    return up(progress, rise, start) if progress < rise else (1 - progress) / (1 - rise)


def rise_ignored(progress, rise, start):
    return up(progress, 0.3, start) if progress < 0.3 else wave((progress - 0.3) / 0.7)


def smoothed(losses):
    x = [loss if math.isfinite(loss) else math.inf for loss in losses]
    near = [x[max(0, i - 1) : i + 2] for i in range(len(x))]
    return [sum(some) / len(some) for some in near]


def explosion(losses, first=None):
    """The first step from the lowest loss on, or from `first` on, whose loss is above the first one."""
    lowest = losses.index(min(losses)) if first is None else first
    return next((i for i in range(lowest, len(losses)) if losses[i] > losses[0]), None)


def the_exploding_step(losses, rates):
    return rates[explosion(smoothed(losses))] / 10


def no_tenth(losses, rates):
    return rates[explosion(smoothed(losses)) - 1]


def not_smoothed(losses, rates):
    return rates[explosion(losses) - 1] / 10


def from_the_first_step(losses, rates):
    return rates[explosion(smoothed(losses), first=1) - 1] / 10


def at_the_lowest(losses, rates):
    return rates[losses.index(min(losses))] / 10


def always_a_rate(losses, rates):
    found = explosion(smoothed(losses))
    return rates[(found or len(rates)) - 1] / 10


def nan_is_not_above(losses, rates):
    near = [losses[max(0, i - 1) : i + 2] for i in range(len(losses))]
    plain = [sum(some) / len(some) for some in near]
    found = explosion(plain)
    return found and rates[found - 1] / 10


def mean_by_peak(runs, shape, metric):
    return runs[runs.arm.str.partition("@")[0] == shape].groupby("lr")[metric].mean()


def holes_and_all(runs, shape, metric):
    means = mean_by_peak(runs, shape, metric)
    good = means.index[means >= means.max() - 0.01]
    return good.min(), good.max()


def by_the_first_letters(runs, shape, metric):
    return solution("06_schedules/window")(runs.assign(arm=runs.arm.str[: len(shape)]), shape, metric)


def by_the_best_run(runs, shape, metric):
    best = runs.groupby(["arm", "lr"], as_index=False)[metric].max()
    return solution("06_schedules/window")(best, shape, metric)


def the_best_peak_alone(runs, shape, metric):
    best = mean_by_peak(runs, shape, metric).idxmax()
    return best, best


def one_per_cent(runs, shape, metric):
    best = mean_by_peak(runs, shape, metric).max()
    return solution("06_schedules/window")(runs.assign(**{metric: runs[metric] / best}), shape, metric)


def a_factor(runs, shape, metric):
    low, high = solution("06_schedules/window")(runs, shape, metric)
    return high / low


def the_metric_ignored(runs, shape, metric):
    return solution("06_schedules/window")(runs, shape, "validation.score")


def ahead(arm="linear@0.003", baseline="constant@0.001"):
    files = ("06_schedules", "06_schedules_warmup")
    runs = load_runs(*files).query("task == 'digits/optical' and purpose == 'measure'")
    high, low = (runs["test.balanced_accuracy"][runs.arm == name].mean() for name in (arm, baseline))
    return round(100 * high, 1) - round(100 * low, 1)  # as it is read from three decimals


READ_OFF = {"playground": lambda: ahead()}
MISTAKES = [
    ("peak", 0.003, "At the same peak a straight line to 0 has half the area"),
    ("peak", lambda: 0.0015, "That is the wrong direction"),
    ("peak", 0.006 / 0.9, "The warmup needs no correction"),
    ("peak", 0.02, "With a peak of 0.02 the mean rate is 0.01, and it should be 0.003"),
    ("peak", "0.006", "The peak is a positive number such as 0.001, but you gave '0.006'"),
    ("one_cycle", from_zero, "It begins at start"),
    ("one_cycle", one_wave_for_both, "take rise away from the progress and divide"),
    ("one_cycle", not_divided, "At the end the scale is back at 0, but yours is 0.206"),
    ("one_cycle", back_to_start, "At the end the scale is back at 0, but yours is 0.040"),
    ("one_cycle", straight_up, "This goes up along a straight line"),
    ("one_cycle", straight_down, "It goes down along a straight line"),
    ("one_cycle", rise_ignored, "rise 0.5 and start 0.1 it is"),
    ("range_rate", no_tenth, "A tenth of it is the safe one"),
    ("range_rate", the_exploding_step, "the rate of the step before is to blame"),
    ("range_rate", not_smoothed, "One bad batch was taken for the explosion"),
    ("range_rate", from_the_first_step, "A rise before the lowest loss is noise"),
    ("range_rate", at_the_lowest, "Go on from there until the loss is above its start"),
    ("range_rate", always_a_rate, "The answer is None, not"),
    ("range_rate", nan_is_not_above, "nan > 2.3 is False"),
    ("range_rate", lambda losses, rates: None, "This loss explodes. Return the safe rate"),
    ("window", holes_and_all, "At 0.03 the mean is far too low, so the window ends before it"),
    ("window", by_the_first_letters, "'linear-warm' begins with 'linear' too. Take the runs"),
    ("window", by_the_best_run, "Take the mean over the seeds first"),
    ("window", the_best_peak_alone, "That is the best peak alone"),
    ("window", one_per_cent, "A point is 0.01 of the score, not a hundredth of the best"),
    ("window", a_factor, "Return two peaks, the lowest and the highest"),
    ("window", the_metric_ignored, "metric names the score to look at"),
    ("playground", 99.0, "Choose Task digits/optical, Warmup none and Steps 40"),
    ("playground", lambda: -ahead(), "the sign is not"),
    ("playground", lambda: ahead() / 100, "a hundred times as much"),
    ("playground", lambda: ahead("linear@0.001"), "it is half of the constant one"),
    ("playground", lambda: ahead("linear-warm@0.003"), "choose Shape linear and Warmup none"),
    ("playground", lambda: ahead(baseline="constant@0.003"), "Draw the constant rate at 0.001"),
    ("playground", lambda: ahead("cosine@0.003"), "That is the difference of cosine, or of linear decay with a warmup"),
]
