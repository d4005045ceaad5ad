"""Likely mistakes of the exercises of 08_augmentation, with the hint that each must get; tests/test_exercises.py tries them.

READ_OFF holds the right answers that a learner reads from a widget, and that are no code.
"""

import torch
import torch.nn.functional as F

from ftlib import strategies

LEADS = {0.0: 0.34, 0.2: 0.31, 0.4: 0.22, 0.6: 0.17, 0.8: 0.21, 1.0: 0.02}  # exactly half is lost at 0.6, more at 1
STURDY = {0.0: 0.34, 0.4: 0.30, 0.6: 0.24, 1.0: 0.26}  # no strength takes half


# digit_policy


def policy(*parts):
    return lambda: list(parts)


def a_single_part():
    return strategies.Rotation(degrees=10)


def put_together():
    return [strategies.build([{"Crop": {}}, {"Rotation": {}}])]


# cutmix


def cut(*, own=None, labels_from=None, box=lambda box: box, partner=lambda order: order, whole=False, outside=False,
        in_place=False, blend=False, nothing=False, hard=None, labels_of=lambda order: order):  # fmt: skip
    """CutMix with a slip in it. own: (left share λ, height share, width share of the box) -> the own label's share."""

    def answer(pixels, labels, order, given):
        top, bottom, left, right = box(given)
        x, other = pixels if in_place else pixels.clone(), pixels[partner(order)]
        H, W = pixels.shape[-2:]
        share = 1 - (given[1] - given[0]) * (given[3] - given[2]) / (H * W)
        if whole:
            x = other
        elif blend:
            x = share * x + (1 - share) * other
        elif outside:
            out = other.clone()
            out[..., top:bottom, left:right] = x[..., top:bottom, left:right]
            x = out
        elif not nothing:
            x[..., top:bottom, left:right] = other[..., top:bottom, left:right]
        if own:
            share = own(share, (given[1] - given[0]) / H, (given[3] - given[2]) / W)
        y = share * labels + (1 - share) * labels[labels_of(order)]
        return x, hard(y) if hard else y

    return answer


def one_row_before(order):
    return torch.arange(len(order)).roll(1)


def one_row_after(order):
    return torch.arange(len(order)).roll(-1)


labels_not_mixed = cut(own=lambda share, h, w: 1.0)
labels_of_the_partner = cut(own=lambda share, h, w: 0.0)
share_swapped = cut(own=lambda share, h, w: 1 - share)
half_and_half = cut(own=lambda share, h, w: 0.5)
by_the_width = cut(own=lambda share, h, w: 1 - w)
by_the_root = cut(own=lambda share, h, w: share**0.5)
on_its_side = cut(box=lambda b: (b[2], b[3], b[0], b[1]))
by_two_corners = cut(box=lambda b: (b[0], b[2], b[1], b[3]))
one_too_large = cut(box=lambda b: (b[0], b[1] + 1, b[2], b[3] + 1))
whole_image = cut(whole=True)
outside_taken = cut(outside=True)
changed_in_place = cut(in_place=True)
rolled = cut(partner=one_row_before, labels_of=one_row_before)
the_other_way_round = cut(partner=torch.argsort)
labels_rolled = cut(labels_of=one_row_after)
mixup_instead = cut(blend=True)
nothing_put_in = cut(nothing=True)
hard_classes = cut(hard=lambda y: y.argmax(1))
hard_again = cut(hard=lambda y: F.one_hot(y.argmax(1), y.shape[1]).float())


def pixels_alone(pixels, labels, order, box):
    return cut()(pixels, labels, order, box)[0]


def made_for_thirty_pixels(pixels, labels, order, box):
    return cut(own=lambda share, h, w: 0.8)(pixels, labels, order, box)


def labels_in_place(pixels, labels, order, box):
    x, y = cut()(pixels, labels, order, box)
    return x, labels.copy_(y)


# rdrop


def apart_of(first, second):
    """KL(p‖q), summed."""
    return F.kl_div(second.log_softmax(-1), first.log_softmax(-1), reduction="sum", log_target=True)


def drop(*, again=True, calls=2, left=1.0, right=1.0, factor=lambda alpha: alpha / 4, fit=0.5, passes=(1, 1), mean="",
         frozen="", squash=False):  # fmt: skip
    """R-Drop with a slip in it."""

    def answer(model, batch, alpha):
        first = model(batch)
        second = model(batch) if again else first
        for _ in range(calls - 2):
            model(batch)
        if frozen == "second":
            second = second.detach()
        fits = [z.softmax(-1) if squash else z for z in (first, second)]
        losses = [F.cross_entropy(z, batch["labels"], reduction="sum") for z in fits]
        entropy = fit * sum(weight * loss for weight, loss in zip(passes, losses))
        p, q = (z.detach() if frozen == "targets" else z for z in (first, second))
        kl = left * apart_of(p, second) + right * apart_of(q, first)
        rows = len(batch["labels"])
        entropy, kl = (entropy / (rows if "fit" in mean else 1), kl / (rows if "kl" in mean else 1))
        return entropy + factor(alpha) * kl

    return answer


one_pass_twice = drop(again=False)
three_passes = drop(calls=3)
one_direction = drop(right=0.0)
the_other_direction = drop(left=0.0, factor=lambda alpha: alpha / 2)
mean_of_all = drop(mean="fit kl")
mean_of_the_fit = drop(mean="fit")
mean_of_the_agreement = drop(mean="kl")
alpha_missing = drop(factor=lambda alpha: 1 / 4)
half_of_alpha = drop(factor=lambda alpha: alpha / 2)
all_of_alpha = drop(factor=lambda alpha: alpha)
added_up = drop(fit=1.0)
as_in_the_paper = drop(fit=1.0, factor=lambda alpha: alpha / 2)
taken_away = drop(factor=lambda alpha: -alpha / 4)
only_the_first_fits = drop(fit=1.0, passes=(1, 0))
no_agreement = drop(factor=lambda alpha: 0.0)
second_detached = drop(frozen="second")
targets_detached = drop(frozen="targets")
softmax_first = drop(squash=True)
something_else = drop(factor=lambda alpha: alpha**2)


def no_gradient(model, batch, alpha):
    return drop()(model, batch, alpha).detach()


def a_plain_number(model, batch, alpha):
    return drop()(model, batch, alpha).item()


def by_term(model, batch, alpha):
    return {"target": drop()(model, batch, alpha)}


# overfitting


def rise_of(*, end="last", start="min", sort=True, measured=True, begins=False, column="nll", fixed=None, paired=True,
            signs=(1, 1), by_mean=False, second="difference"):  # fmt: skip
    """The right way with slips."""

    def answer(curves, arm):
        arm = fixed or arm
        some = curves[curves.purpose == "measure"] if measured else curves
        some = some.sort_values("step") if sort else some

        def rises(name):
            mine = some[some.arm.str.startswith(name) if begins else some.arm == name]
            by_seed = mine.groupby("seed")[column]
            lowest = mine.groupby("step")[column].mean().min() if by_mean else getattr(by_seed, start or "min")()
            return getattr(by_seed, end)() - (lowest if start else 0)

        ours, none = rises(arm), rises("none")
        gap = (ours - none).mean() if paired else ours.mean() - none.mean()
        return signs[0] * ours.mean(), signs[1] * (none.mean() if second == "none" else gap)

    return answer


up_to_the_highest = rise_of(end="max")
of_the_mean_curve = rise_of(by_mean=True)
from_the_first = rise_of(start="first")
the_end_alone = rise_of(start="")
turned_round = rise_of(signs=(-1, -1))
none_minus_arm = rise_of(signs=(1, -1))
of_the_accuracy = rise_of(column="balanced_accuracy")
nones_own = rise_of(second="none")
always_policy = rise_of(fixed="policy")
not_sorted = rise_of(sort=False)
tuning_counted = rise_of(measured=False)
begins_alike = rise_of(begins=True)
unpaired = rise_of(paired=False)


def a_number(curves, arm):
    return rise_of()(curves, arm)[1]


def twice_as_much(curves, arm):
    return tuple(2 * x for x in rise_of()(curves, arm))


READ_OFF = {"samples": lambda: (0.6, LEADS)}
MISTAKES = [
    ("digit_policy", a_single_part, "Return a list such as [strategies.Crop()], not Rotation"),
    ("digit_policy", lambda: None, "Return a list such as [strategies.Crop()], not None"),
    ("digit_policy", policy(strategies.Crop()), "Yours has 1"),
    ("digit_policy", policy(), "Yours has 0"),
    ("digit_policy", policy(strategies.Rotation(5), strategies.Rotation(10)), "is there twice"),
    ("digit_policy", policy(strategies.Crop, strategies.Rotation), "Write Crop(), with brackets"),
    ("digit_policy", policy(strategies.Crop(), strategies.Flip()), "a 6 that is turned by 180° is a 9"),
    ("digit_policy", policy(strategies.Crop(), strategies.Rotation(30)),
     "turns by up to 30°, but digits/optical allows 15° at most"),
    ("digit_policy", policy(strategies.Crop(), strategies.TrivialAugment()), "turns by up to 135°"),
    ("digit_policy", policy(strategies.Crop(), strategies.RandAugment()), "turns by up to 18°"),
    ("digit_policy", policy(strategies.Crop(), strategies.TokenDropout()), "doesn't change images"),
    ("digit_policy", policy(strategies.Crop(), strategies.Dropout()), "doesn't change images"),
    ("digit_policy", put_together, "List parts that do, one by one"),
    ("digit_policy", policy(strategies.Crop(), strategies.MixUp()), "changes the labels"),
    ("digit_policy", policy(strategies.Crop(), strategies.LabelSmoothing()), "changes the labels"),
    ("digit_policy", policy(strategies.Crop(), strategies.Rotation(0)), "has changed none of 256"),
    ("digit_policy", policy(strategies.ColorJitter(0, 0, 0.5), strategies.Crop()), "Look at its parameters"),
    ("digit_policy", policy(strategies.RandomErasing(p=0), strategies.Crop()), "Look at its parameters"),
    ("digit_policy", policy(strategies.Flip(False), strategies.Crop()), "Look at its parameters"),
    ("digit_policy", policy(strategies.Crop(area=[0.02, 0.03]), strategies.Rotation(10)), "keeps only 2 % of the area"),
    ("digit_policy", policy(strategies.Crop(), strategies.RandomErasing(p=1.0, area=[0.9, 0.95])), "95 % of the area is"),
    ("digit_policy", policy(strategies.Crop(), strategies.ColorJitter(1.0, 1.0)), "Factors near 0 make an image black"),
    ("digit_policy", policy(strategies.Crop(), strategies.ColorJitter(0.1, 0.6)), "Would you still read every digit?"),
    ("cutmix", labels_not_mixed, "the labels aren't. This is the famous bug"),
    ("cutmix", labels_of_the_partner, "The labels are the partner's alone"),
    ("cutmix", share_swapped, "λ is swapped"),
    ("cutmix", half_and_half, "λ is not always a half"),
    ("cutmix", by_the_width, "λ is a share of the area"),
    ("cutmix", by_the_root, "The labels are λ · own + (1 − λ)"),
    ("cutmix", on_its_side, "rows come before columns"),
    ("cutmix", by_two_corners, "You took its numbers in another order"),
    ("cutmix", one_too_large, "The box is one row and one column too large"),
    ("cutmix", whole_image, "The whole image is the partner's"),
    ("cutmix", outside_taken, "Inside and outside are swapped"),
    ("cutmix", changed_in_place, "The pixels that you were given have changed"),
    ("cutmix", labels_in_place, "The labels that you were given have changed"),
    ("cutmix", rolled, "The partner of row i is row order[i]"),
    ("cutmix", the_other_way_round, "The partner of row i is row order[i]"),
    ("cutmix", labels_rolled, "mixed with other rows than the pixels"),
    ("cutmix", mixup_instead, "That is MixUp"),
    ("cutmix", nothing_put_in, "Nothing came from the partner"),
    ("cutmix", hard_classes, "The labels are probabilities, floats of the shape (5, 3), not (5,)"),
    ("cutmix", hard_again, "The labels are hard again"),
    ("cutmix", pixels_alone, "Return both"),
    ("cutmix", made_for_thirty_pixels, "for (0, 4, 1, 2) in 4 × 4 the labels are wrong"),
    ("rdrop", one_pass_twice, "One pass was used twice"),
    ("rdrop", three_passes, "You called the model 3 times"),
    ("rdrop", one_direction, "Only one direction of KL"),
    ("rdrop", the_other_direction, "Only one direction of KL"),
    ("rdrop", mean_of_all, "That is the mean over the examples"),
    ("rdrop", mean_of_the_fit, "the others a sum. Sum all of them"),
    ("rdrop", mean_of_the_agreement, "the others a sum. Sum all of them"),
    ("rdrop", alpha_missing, "alpha is missing"),
    ("rdrop", half_of_alpha, "is alpha / 4"),
    ("rdrop", all_of_alpha, "is alpha / 4"),
    ("rdrop", added_up, "Take their mean"),
    ("rdrop", as_in_the_paper, "Take their mean"),
    ("rdrop", taken_away, "which rewards it. Add it"),
    ("rdrop", only_the_first_fits, "Only one of the passes has a cross-entropy"),
    ("rdrop", no_agreement, "The agreement is missing"),
    ("rdrop", second_detached, "No gradient reaches the second pass"),
    ("rdrop", targets_detached, "The value is right, the gradient is not"),
    ("rdrop", softmax_first, "Cross-entropy was given probabilities"),
    ("rdrop", something_else, "For alpha 3 it is"),
    ("rdrop", no_gradient, "carries no gradient"),
    ("rdrop", a_plain_number, "Return the loss itself"),
    ("rdrop", by_term, "Return the loss itself"),
    ("overfitting", up_to_the_highest, "up to the highest NLL"),
    ("overfitting", of_the_mean_curve, "That is the minimum of the mean curve"),
    ("overfitting", from_the_first, "counted from the first validation"),
    ("overfitting", the_end_alone, "Take each seed's own minimum away"),
    ("overfitting", turned_round, "The sign of the rise is turned round"),
    ("overfitting", none_minus_arm, "The sign of the difference is turned round"),
    ("overfitting", of_the_accuracy, "That is balanced accuracy"),
    ("overfitting", nones_own, "The second number is none's own rise"),
    ("overfitting", always_policy, "is named by arm. For 'crop' you gave"),
    ("overfitting", not_sorted, "sort them by step"),
    ("overfitting", tuning_counted, "Runs whose purpose is 'tune' must be left out"),
    ("overfitting", begins_alike, "'none-es' begins with 'none' too"),
    ("overfitting", unpaired, "Pair by seed"),
    ("overfitting", a_number, "Return a pair of numbers"),
    ("overfitting", twice_as_much, "For 'policy' you gave"),
    ("samples", (None, LEADS), "There is no answer yet: write the strength"),
    ("samples", (0.7, LEADS), "The figure offers 0, 0.2, 0.4, 0.6, 0.8, 1, and 0.7 is none of them"),
    ("samples", ("0.6", LEADS), "'0.6' is none of them"),
    ("samples", (0.0, LEADS), "At strength 0 nothing is changed"),
    ("samples", (0.4, LEADS), "the lead over guessing is 0.220, and half of the lead"),
    ("samples", (0.8, LEADS), "A lower strength has already taken half of the lead"),
    ("samples", (1.0, LEADS), "A lower strength has already taken half of the lead"),
    ("samples", (1.0, STURDY), "Then choose the one that leaves least"),
    ("samples", lambda: 0.6, "Hand over the pair"),
]  # fmt: skip
