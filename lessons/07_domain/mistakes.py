"""Likely mistakes of the exercises of 07_domain, with the hint that each must get; tests/test_exercises.py tries them.

READ_OFF holds the right answers that a learner reads from a widget, and that are no code.
"""

import torch

from ftlib.evidence.compare import paired
from ftlib.evidence.runs import load_runs

RIGHT = {"source-only": {0: 0.35, 20: 0.383, 40: 0.45, 60: 0.433}, "DANN": {0: 0.35, 20: 0.4, 40: 0.533, 60: 0.567}}


# reversal


def turn(*, forward=lambda x, s: x.view_as(x), back=lambda g, s, x: -s * g, also=(None,), apply=True, after=None):
    """A reversal with a slip in it. also: what backward gives beside the gradient."""

    def answer(x, strength):
        class Turned(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, strength):
                ctx.strength, ctx.x = strength, x.detach().clone()
                return forward(x, strength)

            @staticmethod
            def backward(ctx, gradient):
                back_to_x = back(gradient, ctx.strength, ctx.x)
                return (back_to_x, *also) if also else back_to_x

        y = Turned.apply(x, strength) if apply else Turned
        return after(y) if after else y

    return answer


negative = turn(forward=lambda x, s: -x)
negative_and_scaled = turn(forward=lambda x, s: -s * x)
scaled = turn(forward=lambda x, s: s * x)
no_minus = turn(back=lambda g, s, x: s * g)
no_strength = turn(back=lambda g, s, x: -g)
strength_twice = turn(back=lambda g, s, x: -s * s * g)
as_it_was = turn(back=lambda g, s, x: g)
x_in_place_of_the_gradient = turn(back=lambda g, s, x: -s * x)
always_seven_tenths = turn(back=lambda g, s, x: -0.7 * g)
one_value = turn(also=())
turned_pair = turn(back=lambda g, s, x: None, also=(torch.ones(4, 3),))
no_gradient_for_x = turn(back=lambda g, s, x: None)
none_for_zero = turn(back=lambda g, s, x: -s * g if s else None)
in_place = turn(forward=lambda x, s: x.neg_())
the_class = turn(apply=False)
summed_up = turn(after=torch.sum)


def detached(x, strength):
    return turn()(x.detach(), strength)


def x_itself(x, strength):
    x.register_hook(lambda gradient: -strength * gradient)
    return x


def no_function(x, strength):
    return -strength * x


# mmd_distance


def distance(*, kernel=lambda d, w: torch.exp(-d / w), mean=torch.mean, own=None, within=1, across=2, last=None,
             squared=lambda a, b: (a[:, None] - b[None]).square().sum(-1), first=lambda s, t: (s, t)):  # fmt: skip
    """The squared MMD with a slip in it. own: the mean within a domain, where it is another one than across."""

    def answer(source, target, width):
        s, t = first(source, target)
        a, b, c = (kernel(squared(x, y), width) for x, y in ((s, s), (t, t), (s, t)))
        value = within * ((own or mean)(a) + (own or mean)(b)) - across * mean(c)
        return last(value) if last else value

    return answer


def no_diagonal(k):
    return (k.sum() - k.diagonal().sum()) / (len(k) ** 2 - len(k))


def rooted(a, b):
    return (a[:, None] - b[None]).square().sum(-1).sqrt().square()


def of_section_five(source, target, width):
    both = torch.cat([source, target])
    squared = (both[:, None] - both[None]).square().sum(-1)
    return distance()(source, target, width * squared.mean())


across_once = distance(across=1)
turned_round = distance(within=-1, across=-2)
across_added = distance(across=-2)
root_taken = distance(last=torch.sqrt)
not_squared = distance(kernel=lambda d, w: torch.exp(-d.sqrt() / w))
twice_the_width = distance(kernel=lambda d, w: torch.exp(-d / (2 * w)))
width_squared = distance(kernel=lambda d, w: torch.exp(-d / w**2))
gauss = distance(kernel=lambda d, w: torch.exp(-d / (2 * w**2)))
times_width = distance(kernel=lambda d, w: torch.exp(-d * w))
unbiased = distance(own=no_diagonal)
sums = distance(mean=torch.sum)
divided_by_one_number = distance(mean=lambda k: k.sum() / 24)
across_alone = distance(within=0)
an_item = distance(last=lambda value: value.item())
cut_off = distance(last=lambda value: value.detach())
source_cut_off = distance(first=lambda s, t: (s.detach(), t))
target_cut_off = distance(first=lambda s, t: (s, t.detach()))
root_and_square = distance(squared=rooted)
half_of_it = distance(last=lambda value: value / 2)
every_pair = distance(mean=lambda k: k.mean(1), own=lambda k: k.mean())


# class_factors


def solved(*, joint=lambda C: C, now=None, last=lambda w: w, clamp=True, scale=True):
    """BBSE with a slip in it. now: (C, answers on the target) -> μ; joint: what is done to C."""

    def answer(answers, labels, target_answers, classes):
        C = torch.zeros(classes, classes, dtype=torch.float64)
        for i, j in zip(answers, labels):
            C[i, j] += 1 / len(labels) if scale else 1
        mu = torch.bincount(target_answers, minlength=classes).double() / len(target_answers)
        w = torch.linalg.solve(joint(C), now(C) if now else mu)
        return last(w.clamp(min=0) if clamp else w)

    return answer


transposed = solved(joint=lambda C: C.T)
rates = solved(joint=lambda C: C / C.sum(0))
rates_of_the_rows = solved(joint=lambda C: C / C.sum(1, True))
sources_own = solved(now=lambda C: C.sum(1))
sources_labels = solved(now=lambda C: C.sum(0))
below_zero = solved(clamp=False)
without_sign = solved(clamp=False, last=torch.abs)
counted = solved(scale=False)
by_the_classes = solved(last=lambda w: w / len(w))
a_list = solved(last=lambda w: w.tolist())
as_a_column = solved(last=lambda w: w[:, None])
logarithms = solved(last=lambda w: w.clamp(min=1e-3).log())


def shares(answers, labels, target_answers, classes):
    p = torch.bincount(labels, minlength=classes) / len(labels)
    return solved()(answers, labels, target_answers, classes) * p


def ratio(answers, labels, target_answers, classes):
    then, now = (torch.bincount(a, minlength=classes) / len(a) for a in (answers, target_answers))
    return now / then


# recovered


def gap_of(*, first=None, rate=lambda m, s, t: (m < s).mean(), arms=("source", "target"), pair=True, drop="three",
           fixed=None, metric=None, nan=True):  # fmt: skip
    """(recovered gap, failure rate) with a slip in it. drop: "three", "all", or "none" of the incomplete seeds."""

    def answer(runs, method, asked):
        method, wide = (fixed or method, runs.pivot(index="seed", columns="arm", values=metric or asked))
        if drop != "none":
            wide = (wide if drop == "all" else wide[[*arms, method]]).dropna()
        columns = [wide[arm] for arm in (method, *arms)]
        if not pair:
            columns = [runs[runs.arm == arm][asked].reset_index(drop=True) for arm in (method, *arms)]
        m, s, t = columns
        share = first(m, s, t) if first else (m - s).mean() / (t - s).mean()
        if nan and not (t - s).mean() > 0:
            share = float("nan")
        return share, rate(m, s, t)

    return answer


mean_of_ratios = gap_of(first=lambda m, s, t: ((m - s) / (t - s)).mean())
against_target = gap_of(first=lambda m, s, t: (m - t).mean() / (t - s).mean())
what_is_left = gap_of(first=lambda m, s, t: (t - m).mean() / (t - s).mean())
sign_turned = gap_of(first=lambda m, s, t: (s - m).mean() / (t - s).mean())
by_the_target = gap_of(first=lambda m, s, t: (m - s).mean() / t.mean())
gain_alone = gap_of(first=lambda m, s, t: (m - s).mean())
per_cent = gap_of(first=lambda m, s, t: 100 * (m - s).mean() / (t - s).mean())
median_gain = gap_of(first=lambda m, s, t: (m - s).median() / (t - s).mean())
at_most = gap_of(rate=lambda m, s, t: (m <= s).mean())
rate_per_cent = gap_of(rate=lambda m, s, t: 100 * (m < s).mean())
below_the_mean = gap_of(rate=lambda m, s, t: (m < s.mean()).mean())
better = gap_of(rate=lambda m, s, t: (m > s).mean())
counted_failures = gap_of(rate=lambda m, s, t: (m < s).sum())
below_target = gap_of(rate=lambda m, s, t: (m < t).mean())
always_dann = gap_of(fixed="dann")
always_accuracy = gap_of(metric="digits/photos:test.accuracy")
row_by_row = gap_of(pair=False)
two_arms_do = gap_of(drop="none")
all_arms_needed = gap_of(drop="all")
negative_gap = gap_of(nan=False)


def share_alone(runs, method, metric):
    return gap_of()(runs, method, metric)[0]


def none_without_a_gap(runs, method, metric):
    share, rate = gap_of()(runs, method, metric)
    return (share if share == share else None), rate


def nothing_without_a_gap(runs, method, metric):
    share, rate = gap_of()(runs, method, metric)
    return share, (rate if share == share else share)


# board


def adabn_above(metric="digits/photos:test.worst_class", arm="adabn"):
    runs = load_runs("07_domain_photos").query("purpose == 'measure'")
    return 100 * paired(runs[runs.arm.isin([arm, "source"])], metric, arm, "source").mean


def on_the_board():
    return round(adabn_above(), 1)  # as it is read from three decimals


def accuracy_recovered():
    accuracy = "digits/photos:test.accuracy"
    return adabn_above(accuracy) / adabn_above(accuracy, "target")


READ_OFF = {"board": lambda: on_the_board(), "space": lambda: (43, RIGHT)}
MISTAKES = [
    ("threshold", 0.5, "At 0.5 nothing was moved"),
    ("threshold", lambda: 0.1, "That is upside down"),
    ("threshold", lambda: 0.1 / 0.5, "That is a factor"),
    ("threshold", lambda: 0.9 / 0.5, "That is a factor"),
    ("threshold", lambda: 1.8 / 0.2, "That is a ratio of factors"),
    ("threshold", lambda: 90, "not per cent"),
    ("threshold", lambda: 0.7, "At 0.7 the two classes"),
    ("threshold", lambda: "0.9", "Return a number between 0 and 1, not '0.9'"),
    ("threshold", lambda: None, "did you return the threshold?"),
    ("reversal", negative, "the minus belongs in backward alone"),
    ("reversal", negative_and_scaled, "the minus belongs in backward alone"),
    ("reversal", no_function, "the minus belongs in backward alone"),
    ("reversal", scaled, "strength belongs in backward alone"),
    ("reversal", no_minus, "The minus is missing"),
    ("reversal", no_strength, "strength is missing"),
    ("reversal", strength_twice, "strength is applied twice"),
    ("reversal", as_it_was, "the gradient comes back as it was"),
    ("reversal", lambda x, strength: x.clone(), "the gradient comes back as it was"),
    ("reversal", x_in_place_of_the_gradient, "It is the gradient from above that is multiplied"),
    ("reversal", always_seven_tenths, "For strength 2 the gradient is -2 times"),
    ("reversal", one_value, "backward returns two values"),
    ("reversal", turned_pair, "backward returns two values"),
    ("reversal", no_gradient_for_x, "backward gave None for x"),
    ("reversal", none_for_zero, "for strength 0 it is a tensor of zeros"),
    ("reversal", detached, "No gradient reaches x"),
    ("reversal", in_place, "The x that you were given has changed"),
    ("reversal", x_itself, "You return x itself"),
    ("reversal", the_class, "Return a tensor: call .apply"),
    ("reversal", lambda x, strength: None, "Return a tensor: call .apply"),
    ("reversal", summed_up, "The shape stays as it is, (4, 3)"),
    ("mmd_distance", across_once, "is taken away once: take it away twice"),
    ("mmd_distance", turned_round, "The sign is turned round"),
    ("mmd_distance", across_added, "The mean across is added"),
    ("mmd_distance", root_taken, "You took a root"),
    ("mmd_distance", not_squared, "The distance in the kernel has to be squared"),
    ("mmd_distance", twice_the_width, "divide by width, not by its square, and without a factor 2"),
    ("mmd_distance", width_squared, "divide by width, not by its square"),
    ("mmd_distance", gauss, "divide by width, not by its square"),
    ("mmd_distance", times_width, "divide by width"),
    ("mmd_distance", of_section_five, "without the mean squared distance"),
    ("mmd_distance", unbiased, "Each row meets itself too"),
    ("mmd_distance", sums, "Take means over pairs, not sums"),
    ("mmd_distance", divided_by_one_number, "you divided all by the same"),
    ("mmd_distance", across_alone, "Only pairs across are in it"),
    ("mmd_distance", an_item, "from a plain number, as item() gives it, nothing can learn"),
    ("mmd_distance", cut_off, "carries no gradient"),
    ("mmd_distance", source_cut_off, "no gradient reaches the source"),
    ("mmd_distance", target_cut_off, "no gradient reaches the target"),
    ("mmd_distance", root_and_square, "a root has no slope at 0"),
    ("mmd_distance", every_pair, "Return one number, not (6,) of them"),
    ("mmd_distance", half_of_it, "for 6 source rows, 4 target rows and width 2.5, but you gave"),
    ("class_factors", transposed, "C is transposed"),
    ("class_factors", rates, "as confusion rates give them"),
    ("class_factors", shares, "Those are the target's shares"),
    ("class_factors", rates_of_the_rows, "all entries together have to"),
    ("class_factors", sources_own, "but you took the source's"),
    ("class_factors", sources_labels, "but you took the source's"),
    ("class_factors", below_zero, "A factor below 0 makes no sense: set it to 0"),
    ("class_factors", without_sign, "A factor below 0 makes no sense: set it to 0"),
    ("class_factors", counted, "Counts in place of shares"),
    ("class_factors", by_the_classes, "The number of classes has no place here"),
    ("class_factors", ratio, "Nothing was solved"),
    ("class_factors", a_list, "a tensor of the shape (3,), not [0.39"),
    ("class_factors", as_a_column, "a tensor of the shape (3,), not tensor"),
    ("class_factors", logarithms, "C w = μ gives [0.4 2.  1. ] here, but you gave"),
    ("recovered", mean_of_ratios, "That is the mean of the ratios"),
    ("recovered", against_target, "but you compared with target-only"),
    ("recovered", what_is_left, "the share of the gap that is left"),
    ("recovered", sign_turned, "The sign is turned round"),
    ("recovered", by_the_target, "you divided by target-only"),
    ("recovered", gain_alone, "That is the gain: divide it by the mean gap"),
    ("recovered", per_cent, "Give a share, not per cent"),
    ("recovered", median_gain, "For 'dann' you gave"),
    ("recovered", at_most, "is no failure: below means <"),
    ("recovered", rate_per_cent, "The failure rate is a share"),
    ("recovered", below_the_mean, "source-only of the same seed, not with its mean"),
    ("recovered", better, "failures are asked for"),
    ("recovered", counted_failures, "divide it by the number of seeds"),
    ("recovered", below_target, "A failure is a score below source-only"),
    ("recovered", always_dann, "The method is named by method: for 'adabn' you gave"),
    ("recovered", always_accuracy, "is named by metric: for the worst class you gave"),
    ("recovered", row_by_row, "so pair them by seed: shuffled you gave"),
    ("recovered", two_arms_do, "A seed without a run of target-only counts nowhere"),
    ("recovered", all_arms_needed, "A seed that lacks another arm"),
    ("recovered", negative_gap, "The mean gap is −0.05, so there is nothing to recover"),
    ("recovered", nothing_without_a_gap, "but the rate stays: there you gave"),
    ("recovered", none_without_a_gap, "Return a pair of numbers"),
    ("recovered", share_alone, "Return a pair of numbers"),
    ("board", (3, 5), "Write the number with a point"),
    ("board", 99.0, "First choose MNIST → photographs and worst class"),
    ("board", lambda: -on_the_board(), "the sign is not"),
    ("board", lambda: adabn_above() / 100, "a hundred times as much"),
    ("board", lambda: adabn_above("digits/photos:test.accuracy"), "That is accuracy"),
    ("board", accuracy_recovered, "That is the recovered gap"),
    ("space", (None, RIGHT), "There is no answer yet: write the number in place of None"),
    ("space", (57, RIGHT), "That is the number of DANN at step 60: choose Method source-only"),
    ("space", (35, RIGHT), "That is the number before training"),
    ("space", (38, RIGHT), "That is the number of source-only at step 20: choose Method source-only and Step 60"),
    ("space", (0.433, RIGHT), "Write it in per cent"),
    ("space", (20, RIGHT), "The words below say for how many per cent it is right"),
    ("space", ("43", RIGHT), "Write a number, such as 20, not '43'"),
    ("space", lambda: 43, "Hand over the pair"),
    ("space", (43, RIGHT["DANN"]), "Hand over the pair"),
]
