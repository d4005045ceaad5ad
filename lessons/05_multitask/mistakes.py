"""Likely mistakes of the exercises of 05_multitask, with the hint that each must get.

tests/test_exercises.py tries them. READ_OFF holds the right answers that a learner reads from a widget, and that are no
code.
"""

import torch

from ftlib.classroom.lessons import part
from ftlib.evidence.runs import load_records
from solutions import solution


def mean_change(scores, single, lower):
    return sum(scores[t] - single[t] for t in scores) / len(scores)


def no_percent(scores, single, lower):
    return solution("05_multitask/delta_m")(scores, single, lower) / 100


def errors_unturned(scores, single, lower):
    return solution("05_multitask/delta_m")(scores, single, [])


def turned_round(scores, single, lower):
    return -solution("05_multitask/delta_m")(scores, single, lower)


def by_its_own_score(scores, single, lower):
    changes = [(-1 if t in lower else 1) * (scores[t] - single[t]) / scores[t] for t in scores]
    return 100 * sum(changes) / len(changes)


def summed(scores, single, lower):
    return len(scores) * solution("05_multitask/delta_m")(scores, single, lower)


def absolute(scores, single, lower):
    return 100 * sum(abs(scores[t] - single[t]) / single[t] for t in scores) / len(scores)


def by_place(scores, single, lower):
    pairs = zip(scores, scores.values(), single.values())
    changes = [(-1 if t in lower else 1) * (m - b) / b for t, m, b in pairs]
    return 100 * sum(changes) / len(changes)


def emptied(scores, single, lower):
    found = solution("05_multitask/delta_m")(scores, single, lower)
    scores.clear()
    return found


def a_change_per_task(scores, single, lower):
    return [scores[t] - single[t] for t in scores]


def surgery(gradients, condition=lambda p: p < 0, sign=1, scale=lambda own, other: other @ other):
    """PCGrad in the order of the list, with the mistakes that are asked for."""
    total = torch.zeros_like(gradients[0])
    for i, own in enumerate(gradients):
        changed = own.clone()
        for j, other in enumerate(gradients):
            product = changed @ other
            if j != i and condition(product):
                changed = changed - sign * product / scale(changed, other) * other
        total = total + changed
    return total


def always_projected(gradients):
    return surgery(gradients, condition=lambda p: True)


def conflict_doubled(gradients):
    return surgery(gradients, sign=-1)


def own_length(gradients):
    return surgery(gradients, scale=lambda own, other: own @ own)


def length_not_squared(gradients):
    return surgery(gradients, scale=lambda own, other: (other @ other).sqrt())


def product_of_the_original(gradients):
    total = torch.zeros_like(gradients[0])
    for i, own in enumerate(gradients):
        changed = own.clone()
        for j, other in enumerate(gradients):
            if j != i and own @ other < 0:
                changed = changed - own @ other / (other @ other) * other
        total = total + changed
    return total


def on_changed_ones(gradients):
    made = list(gradients)
    for i in range(len(made)):
        for j in range(len(made)):
            if j != i and made[i] @ made[j] < 0:
                made[i] = made[i] - made[i] @ made[j] / (made[j] @ made[j]) * made[j]
    return sum(made)


def first_one_only(gradients):
    changed = gradients[0].clone()
    for other in gradients[1:]:
        if changed @ other < 0:
            changed = changed - changed @ other / (other @ other) * other
    return changed + sum(gradients[1:], torch.zeros_like(changed))


def mean_of_them(gradients):
    return surgery(gradients) / len(gradients)


def in_place(gradients):
    total = surgery(gradients)
    gradients[0] -= 1
    return total


def half_of_it(gradients):
    return 0.123 * surgery(gradients)


def weighted(losses, s, regression, weight, price, half=0.5):
    """Σ weight(s) L + price(s), with a factor for a number."""
    terms = [(half if n else 1.0) * weight(one) * loss + price(one) for loss, one, n in zip(losses, s, regression)]
    return sum(terms)


def no_price(losses, s, regression):
    return weighted(losses, s, regression, lambda x: torch.exp(-x), lambda x: 0 * x)


def price_of_s(losses, s, regression):
    return weighted(losses, s, regression, lambda x: torch.exp(-x), lambda x: x)


def price_subtracted(losses, s, regression):
    return weighted(losses, s, regression, lambda x: torch.exp(-x), lambda x: -x / 2)


def sign_of_s(losses, s, regression):
    return weighted(losses, s, regression, torch.exp, lambda x: x / 2)


def no_half(losses, s, regression):
    return weighted(losses, s, regression, lambda x: torch.exp(-x), lambda x: x / 2, half=1.0)


def half_for_all(losses, s, regression):
    return weighted(losses, s, regression, lambda x: torch.exp(-x) / 2, lambda x: x / 2, half=1.0)


def halves_turned_round(losses, s, regression):
    return weighted(losses, s, regression, lambda x: torch.exp(-x) / 2, lambda x: x / 2, half=2.0)


def squared(losses, s, regression):
    return weighted(losses, s, regression, lambda x: torch.exp(-2 * x), lambda x: x / 2)


def one_over_s(losses, s, regression):
    return weighted(losses, s, regression, lambda x: 1 / x, lambda x: x / 2)


def mean_over_tasks(losses, s, regression):
    return solution("05_multitask/uncertainty")(losses, s, regression) / len(losses)


def a_number(losses, s, regression):
    return solution("05_multitask/uncertainty")(losses, s, regression).item()


def s_detached(losses, s, regression):
    return solution("05_multitask/uncertainty")(losses, s.detach(), regression)


def one_per_task(losses, s, regression):
    return torch.stack([torch.exp(-one) * loss + one / 2 for loss, one in zip(losses, s)])


def a_little_off(losses, s, regression):
    return 1.01 * solution("05_multitask/uncertainty")(losses, s, regression)


def mean_changes(runs, task, metric, widths, weight="1", purposes=("measure",)):
    """{width: mean of together − mean of alone}, not paired."""
    runs = runs[runs.purpose.isin(purposes)]
    found = {}
    for width in widths:
        names = runs.arm.str.fullmatch(rf"together, width {width}, weight {weight}")
        both, alone = (runs[names][metric], runs[runs.arm == f"{task} alone, width {width}"][metric])
        found[width] = both.mean() - alone.mean()
    return found


def first_above(changes):
    return next((width for width, change in changes.items() if change > -0.02), None)


def tuning_counted(runs, task, metric, widths):
    return first_above(mean_changes(runs, task, metric, sorted(widths), purposes=("measure", "tune")))


def any_weight(runs, task, metric, widths):
    return first_above(mean_changes(runs, task, metric, sorted(widths), weight=".*"))


def in_the_order_given(runs, task, metric, widths):
    return first_above(mean_changes(runs, task, metric, widths))


def always_optical(runs, task, metric, widths):
    column = "digits/optical:validation.accuracy"
    return first_above(mean_changes(runs, "optical", column, sorted(widths))) if column in runs else None


def every_seed(runs, task, metric, widths):
    runs = runs[runs.purpose == "measure"]
    for width in sorted(widths):
        arms = (f"together, width {width}, weight 1", f"{task} alone, width {width}")
        both, alone = (runs[runs.arm == arm].set_index("seed")[metric] for arm in arms)
        if (both - alone).min() > -0.02:
            return width
    return None


def at_least_a_width(runs, task, metric, widths):
    return first_above(mean_changes(runs, task, metric, sorted(widths))) or max(widths)


def not_paired(runs, task, metric, widths):
    return first_above(mean_changes(runs, task, metric, sorted(widths)))


def first_seed_only(runs, task, metric, widths):
    return not_paired(runs[runs.seed == 0], task, metric, widths)


def turned_difference(runs, task, metric, widths):
    changes = mean_changes(runs, task, metric, sorted(widths))
    return next((width for width, change in changes.items() if -change > -0.02), None)


def largest(runs, task, metric, widths):
    changes = mean_changes(runs, task, metric, widths)
    return max((width for width, change in changes.items() if change > -0.02), default=None)


def better_ones():
    return part("05_multitask", "shared_recorded").both_better(load_records("05_multitask"))


def right_weighting():
    return (better_ones() or ["none"])[0]


def wrong_weighting():
    """A recorded weighting that is not right."""
    better = better_ones()
    return next(
        (width, weight) for width in (4, 16, 64, 256) for weight in (10.0, 1.0) if (width, weight) not in better
    )


def right_nearest():
    changes = part("05_multitask", "shared_recorded").worse_changes(load_records("05_multitask"))
    return max((key for key in changes if key[0] >= 16), key=changes.get)


def halves_the_last(losses, s, regression):
    return solution("05_multitask/uncertainty")(losses, s, [*([False] * (len(losses) - 1)), True])


def halves_large_losses(losses, s, regression):
    return solution("05_multitask/uncertainty")(losses, s, [loss.item() > 1 for loss in losses])


def right_answer():
    return {"both better": right_weighting(), "nearest": right_nearest()}


def of_both(value):
    """The answer with this weighting for both."""
    return lambda: {"both better": value() if callable(value) else value, "nearest": right_nearest()}


def of_nearest(value):
    return lambda: {"both better": right_weighting(), "nearest": value}


READ_OFF = {"frontier": right_answer}
MISTAKES = [
    ("delta_m", mean_change, "That is the mean change itself"),
    ("delta_m", lambda *a: 100 * mean_change(*a), "That is the mean change itself"),
    ("delta_m", no_percent, "It isn't in percent yet"),
    ("delta_m", errors_unturned, "Turn the sign of the tasks in lower"),
    ("delta_m", turned_round, "The sign is turned round"),
    ("delta_m", by_its_own_score, "You divide by the score of the network for all tasks"),
    ("delta_m", summed, "That is the sum over the tasks"),
    ("delta_m", absolute, "The absolute value hides a loss"),
    ("delta_m", by_place, "The tasks may come in another order"),
    ("delta_m", emptied, "One of the arguments has changed"),
    ("delta_m", a_change_per_task, "Return one number, the mean over the tasks"),
    ("delta_m", lambda *a: 0.5, "it is -18.33, but you gave 0.50"),
    ("pcgrad", lambda gradients: sum(gradients), "That is the plain sum"),
    ("pcgrad", always_projected, "You also project where there is no conflict"),
    ("pcgrad", conflict_doubled, "The sign is turned round"),
    ("pcgrad", own_length, "Divide by the product of the other gradient with itself"),
    ("pcgrad", length_not_squared, "Divide by the square of it"),
    ("pcgrad", product_of_the_original, "After the first projection use the changed one"),
    ("pcgrad", on_changed_ones, "You project on gradients that are changed already"),
    ("pcgrad", first_one_only, "Only the first gradient is changed"),
    ("pcgrad", mean_of_them, "That is the mean"),
    ("pcgrad", in_place, "One of the gradients has changed"),
    ("pcgrad", half_of_it, "but you gave"),
    ("pcgrad", lambda gradients: gradients, "Return one vector"),
    ("uncertainty", no_price, "The price is missing"),
    ("uncertainty", price_of_s, "The price is s / 2 per task, and not s"),
    ("uncertainty", price_subtracted, "The price is added and not subtracted"),
    ("uncertainty", sign_of_s, "The sign of s is turned round"),
    ("uncertainty", no_half, "A regression has half"),
    ("uncertainty", half_for_all, "Only a regression has the half"),
    ("uncertainty", halves_turned_round, "Only a regression has the half"),
    ("uncertainty", squared, "and not e^(−2s)"),
    ("uncertainty", one_over_s, "and not 1 / s"),
    ("uncertainty", mean_over_tasks, "That is the mean"),
    ("uncertainty", a_number, "carries no gradient"),
    ("uncertainty", s_detached, "training can't follow it back to s"),
    ("uncertainty", one_per_task, "its shape is (3,). Sum over the tasks"),
    ("uncertainty", a_little_off, "but you gave"),
    ("uncertainty", halves_the_last, "Any task may be the regression"),
    ("uncertainty", halves_large_losses, "Any task may be the regression"),
    ("frontier", of_both(wrong_weighting), "at least one task has an interval that holds 0 or lies below it"),
    ("frontier", of_both((1, 4)), "Turn your answer round"),
    ("frontier", of_both((5, 2)), "The recorded widths are 4, 16, 64, 256"),
    ("frontier", of_both(64), "Write the width and the weight"),
    ("frontier", of_both(None), "There is no answer at 'both better' yet"),
    ("frontier", lambda: "none", "Keep the dictionary"),
    ("frontier", of_nearest((4, 0.3)), "Take a width from 16 on"),
    ("frontier", of_nearest((16, 10)), "the worse of the two changes is -"),
    ("frontier", of_nearest((1, 256)), "Turn your answer round"),
    ("frontier", of_nearest((5, 2)), "The recorded widths are 4, 16, 64, 256"),
    ("frontier", of_nearest("none"), "such as (64, 3). You gave"),
    ("enough_room", tuning_counted, "Runs with the purpose 'tune' only chose a learning rate"),
    ("enough_room", any_weight, "There are other weights too"),
    ("enough_room", in_the_order_given, "widths may come in any order"),
    ("enough_room", always_optical, "Use task and metric"),
    ("enough_room", every_seed, "You gave 32"),
    ("enough_room", at_least_a_width, "so the answer is None"),
    ("enough_room", not_paired, "Pair the runs by their seed"),
    ("enough_room", first_seed_only, "You gave 32"),
    ("enough_room", turned_difference, "At width 4 every seed loses four points or more"),
    ("enough_room", largest, "You gave 32"),
    ("enough_room", lambda *a: 16, "At width 16 the mean change is"),
    ("enough_room", lambda *a: "8", "Return one of the widths"),
]
