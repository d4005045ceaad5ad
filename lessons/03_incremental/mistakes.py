"""Likely mistakes of the exercises of 03_incremental, with the hint that each must get.

tests/test_exercises.py tries them. READ_OFF holds the right answers that a learner reads from a widget, and that are no
code.
"""

import random

import numpy as np
import torch

import ftlib
from ftlib.evidence.runs import load_runs
from solutions import solution


def mean_of_the_last_row(R):
    return sum(R[-1]) / len(R[-1])


def from_the_diagonal(R):
    return sum(R[j][j] - R[-1][j] for j in range(len(R) - 1)) / (len(R) - 1)


def last_task_too(R):
    R = np.array(R)
    return (R[:-1].max(0) - R[-1]).mean()


def divided_by_all(R):
    return solution("03_incremental/forgetting")(R) * (len(R) - 1) / len(R)


def maximum_over_all(R):
    R = np.array(R)
    return (R.max(0) - R[-1])[:-1].mean()


def never_below_zero(R):
    return max(0.0, solution("03_incremental/forgetting")(R))


def absolute(R):
    R = np.array(R)
    return np.abs(R[:-1, :-1].max(0) - R[-1, :-1]).mean()


def rows_for_columns(R):
    return solution("03_incremental/forgetting")(np.array(R).T)


def a_loss_per_task(R):
    R = np.array(R)
    return R[:-1, :-1].max(0) - R[-1, :-1]


def arrays_only(R):
    return (R[:-1, :-1].max(0) - R[-1, :-1]).mean()


def sorted_in_place(R):
    found = solution("03_incremental/forgetting")(R)
    R[0].sort()
    return found


def always_replaces(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    elif size:
        buffer[rng.randrange(size)] = example


def same_place_replaced(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    else:
        buffer[0] = example


def counted_from_one(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    elif (place := rng.randrange(seen)) < size:
        buffer[place] = example


def drawn_first(buffer, size, seen, example, rng):
    place = rng.randrange(seen)
    if len(buffer) < size:
        buffer.append(example)
    elif place < size:
        buffer[place] = example


def one_too_many(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    elif (place := rng.randrange(seen + 2)) < size:
        buffer[place] = example


def only_the_first(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)


def only_the_newest(buffer, size, seen, example, rng):
    buffer.append(example)
    if len(buffer) > size:
        buffer.pop(0)


def a_coin(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    elif rng.random() < 0.5:
        buffer[rng.randrange(size)] = example


def too_rarely(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    elif rng.randrange(seen + 1) == 0:
        buffer[rng.randrange(size)] = example


def fair_but_one_place(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    elif rng.randrange(seen + 1) < size:
        buffer[-1] = example


def every_second(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    elif seen % 2:
        buffer[rng.randrange(size)] = example


def one_place_too_many(buffer, size, seen, example, rng):
    if len(buffer) <= size:
        buffer.append(example)
    elif (place := rng.randrange(seen + 1)) <= size:
        buffer[place] = example


def a_new_list(buffer, size, seen, example, rng):
    return [*buffer, example] if len(buffer) < size else buffer


def never_left_out(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    else:
        buffer[rng.randrange(seen + 1)] = example


def the_number_stored(buffer, size, seen, example, rng):
    solution("03_incremental/reservoir")(buffer, size, seen, seen, rng)


def twice_in_the_list(buffer, size, seen, example, rng):
    if len(buffer) < size:
        buffer.append(example)
    for place in range(len(buffer)):
        if rng.random() < 1 / (seen + 1):
            buffer[place] = example


def often_left_out(buffer, size, seen, example, rng):
    if len(buffer) < size and rng.random() < 0.5:
        buffer.append(example)


def removed_only(buffer, size, seen, example, rng):
    if len(buffer) < size and seen < size:
        buffer.append(example)
    elif rng.randrange(seen + 1) < size and buffer:
        buffer.pop(rng.randrange(len(buffer)))


def from_elsewhere(buffer, size, seen, example, rng):
    solution("03_incremental/reservoir")(buffer, size, seen, example, random)


def place_drawn_always(buffer, size, seen, example, rng):
    place = rng.randrange(size)
    if len(buffer) < size:
        buffer.append(example)
    elif rng.random() < size / (seen + 1):
        buffer[place] = example


def first_one_kept(buffer, size, seen, example, rng):
    if not buffer or len(buffer) < size:
        buffer.append(example)
    elif (place := rng.randrange(seen + 1)) < size:
        buffer[place] = example


def summed(model, fisher, anchor, what):
    """Σ what(F, θ, θ*) over the parameters."""
    params = model.named_parameters()
    return sum(what(fisher[name], p, anchor[name]).sum() for name, p in params if name in anchor)


def no_half(model, fisher, anchor, strength):
    return strength * summed(model, fisher, anchor, lambda f, p, a: f * (p - a) ** 2)


def no_square(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: f * (p - a))


def fisher_squared(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: (f * (p - a)) ** 2)


def absolute_values(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: f * (p - a).abs())


def no_fisher(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: (p - a) ** 2)


def no_anchor(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: f * p**2)


def no_strength(model, fisher, anchor, strength):
    return summed(model, fisher, anchor, lambda f, p, a: f * (p - a) ** 2) / 2


def means(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: (f * (p - a) ** 2).mean())


def overwritten(model, fisher, anchor, strength):
    for name, p in model.named_parameters():
        total = (fisher[name] * (p - anchor[name]) ** 2).sum()
    return strength / 2 * total


def sums_multiplied(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: f.sum() * ((p - a) ** 2).sum())


def negative(model, fisher, anchor, strength):
    return -solution("03_incremental/ewc")(model, fisher, anchor, strength)


def cubed(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: f * (p - a).abs() ** 3)


def detached(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: f * (p.detach() - a) ** 2)


def a_number(model, fisher, anchor, strength):
    return solution("03_incremental/ewc")(model, fisher, anchor, strength).item()


def half_detached(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: f * (p - a) * (p - a).detach())


def one_per_parameter(model, fisher, anchor, strength):
    terms = [(fisher[n] * (p - anchor[n]) ** 2).sum() for n, p in model.named_parameters()]
    return strength / 2 * torch.stack(terms)


def never_quite_zero(model, fisher, anchor, strength):
    return strength / 2 * summed(model, fisher, anchor, lambda f, p, a: f * ((p - a) ** 2 + 1e-10))


def every_name_expected(model, fisher, anchor, strength):
    params = model.named_parameters()
    return strength / 2 * sum((fisher[n] * (p - anchor[n]) ** 2).sum() for n, p in params)


def old_names_expected(model, fisher, anchor, strength):
    params = dict(model.named_parameters())
    return strength / 2 * sum((f * (params[n] - anchor[n]) ** 2).sum() for n, f in fisher.items())


def new_head_to_zero(model, fisher, anchor, strength):
    params = model.named_parameters()
    return strength / 2 * sum((fisher.get(n, 1.0) * (p - anchor.get(n, 0.0)) ** 2).sum() for n, p in params)


SIZES = [f"replay-{size}" for size in (20, 50, 100, 200, 400)]  # those that may be recorded


def points_by_size():
    """{images in the buffer: mean forgetting in points} of the recorded runs."""
    runs = load_runs("03_incremental").query("purpose == 'measure'")
    sizes = {arm: int(arm.partition("-")[2]) for arm in runs.arm.unique() if arm in SIZES}
    means = 100 * runs[runs.arm.isin(sizes)].groupby("arm")["sequence.forgetting"].mean()
    return {sizes[arm]: means[arm] for arm in sorted(means.index, key=sizes.get)}


def smallest_size():
    return next((size for size, points in points_by_size().items() if points < 5), "none")


def largest_wrong_size():
    return max(size for size in points_by_size() if size != smallest_size())


def losses(records, arm, wanted=("measure",)):
    """(seeds, T): the best earlier score minus the last one."""
    chosen = [r for r in records if r["spec"]["arm"] == arm and r["spec"]["purpose"] in wanted]
    matrices = [ftlib.runs.matrix(record).to_numpy() for record in chosen]
    return np.array([R[:-1].max(0) - R[-1] for R in matrices])


def counted_from_zero(records, arm):
    return int(losses(records, arm)[:, :-1].mean(0).argmax())


def lowest_at_the_end(records, arm):
    matrices = [ftlib.runs.matrix(record).to_numpy() for record in records]
    return int(np.mean(matrices, 0)[-1, :-1].argmin()) + 1


def with_the_last_one(records, arm):
    return int(losses(records, arm).mean(0).argmax()) + 1


def from_its_own_end(records, arm):
    matrices = [ftlib.runs.matrix(record).to_numpy() for record in records]
    return int(np.mean([np.diag(R) - R[-1] for R in matrices], 0).argmax()) + 1


def smallest_loss(records, arm):
    return int(losses(records, arm)[:, :-1].mean(0).argmin()) + 1


def first_run_only(records, arm):
    return int(losses(records, arm)[0, :-1].argmax()) + 1


def most_votes(records, arm):
    return int(np.bincount(losses(records, arm)[:, :-1].argmax(1)).argmax()) + 1


def tuning_counted(records, arm):
    return int(losses(records, arm, ("measure", "tune"))[:, :-1].mean(0).argmax()) + 1


def every_arm(records, arm):
    arms = {record["spec"]["arm"] for record in records}
    return int(np.concatenate([losses(records, one)[:, :-1] for one in sorted(arms) if len(losses(records, one))])
               .mean(0).argmax()) + 1  # fmt: skip


def arms_that_begin_so(records, arm):
    named = [record for record in records if record["spec"]["arm"].startswith(arm)]
    return int(np.concatenate([losses(named, one)[:, :-1] for one in {r["spec"]["arm"] for r in named}
                               if len(losses(named, one))]).mean(0).argmax()) + 1  # fmt: skip


def its_name(records, arm):
    return records[0]["spec"]["watch"][2]


READ_OFF = {"buffer": smallest_size}
MISTAKES = [
    ("forgetting", mean_of_the_last_row, "That is the mean of the last row"),
    ("forgetting", lambda R: -solution("03_incremental/forgetting")(R), "The sign is turned round"),
    ("forgetting", lambda R: -from_the_diagonal(R), "The sign is turned round"),
    ("forgetting", from_the_diagonal, "You start from the diagonal"),
    ("forgetting", last_task_too, "The last task is in the mean"),
    ("forgetting", divided_by_all, "The last task is in the mean"),
    ("forgetting", maximum_over_all, "Your maximum holds the last row too"),
    ("forgetting", never_below_zero, "A task that got better counts with a minus"),
    ("forgetting", absolute, "Leave out the absolute value"),
    ("forgetting", rows_for_columns, "Rows and columns are mixed up"),
    ("forgetting", lambda R: sum(a_loss_per_task(R)), "That is the sum or the largest loss"),
    ("forgetting", lambda R: max(a_loss_per_task(R)), "That is the sum or the largest loss"),
    ("forgetting", lambda R: 0.25, "it is 0.2333, but you gave 0.2500"),
    ("forgetting", a_loss_per_task, "Return one number, the mean over the tasks"),
    ("forgetting", lambda R: None, "Return one number, the mean over the tasks, not None"),
    ("forgetting", arrays_only, "R may also be a list of lists"),
    ("forgetting", sorted_in_place, "R has changed"),
    ("reservoir", always_replaces, "A new example always gets in"),
    ("reservoir", same_place_replaced, "A new example always gets in"),
    ("reservoir", counted_from_one, "That is wrong by one"),
    ("reservoir", one_too_many, "That is wrong by one"),
    ("reservoir", drawn_first, "With size 3 and seen = 0 your code stopped with"),
    ("reservoir", only_the_first, "Only the first examples are kept"),
    ("reservoir", only_the_newest, "Only the newest examples are kept"),
    ("reservoir", a_coin, "Of 10 examples the last one was kept in 50% and not 30% of cases"),
    ("reservoir", too_rarely, "A new example gets in too rarely"),
    ("reservoir", fair_but_one_place, "Draw the place too"),
    ("reservoir", every_second, "A new example always gets in"),
    ("reservoir", one_place_too_many, "Its size is 3, so a new example can only take the place of an old one"),
    ("reservoir", a_new_list, "You return a new list"),
    ("reservoir", never_left_out, "You chose a place that isn't there"),
    ("reservoir", the_number_stored, "the list holds [0]. Store the example itself"),
    ("reservoir", twice_in_the_list, "each one at most once"),
    ("reservoir", often_left_out, "Append each example while there is room"),
    ("reservoir", lambda buffer, *rest: None, "After example number 0 the list holds []"),
    ("reservoir", removed_only, "and later only replace"),
    ("reservoir", from_elsewhere, "Draw all random numbers from rng"),
    ("reservoir", place_drawn_always, "With size 0 and seen = 0 your code stopped with"),
    ("reservoir", first_one_kept, "Its size is 0, so"),
    ("ewc", no_half, "It is twice too large"),
    ("ewc", no_square, "The distance isn't squared"),
    ("ewc", fisher_squared, "F is squared too"),
    ("ewc", absolute_values, "These are absolute values"),
    ("ewc", no_fisher, "F is missing"),
    ("ewc", no_anchor, "The anchor is missing, so the weights are pulled to zero"),
    ("ewc", no_strength, "The strength is missing"),
    ("ewc", means, "You took means"),
    ("ewc", overwritten, "Only the last parameter counts"),
    ("ewc", sums_multiplied, "Each weight has its own F"),
    ("ewc", negative, "The sign is turned round"),
    ("ewc", cubed, "Here that is"),
    ("ewc", detached, "carries no gradient"),
    ("ewc", a_number, "carries no gradient"),
    ("ewc", half_detached, "its gradient is not, for example at stage.weight"),
    ("ewc", one_per_parameter, "its shape is (4,). Sum over all parameters"),
    ("ewc", never_quite_zero, "At the anchor, right after a task, penalty and gradient are exactly 0"),
    ("ewc", every_name_expected, "Your code stopped with KeyError"),
    ("ewc", old_names_expected, "Skip names that only one has"),
    ("ewc", new_head_to_zero, "A new head has no anchor"),
    ("buffer", 20, "With 20 images the mean forgetting is"),
    ("buffer", largest_wrong_size, "images the mean forgetting is"),
    ("buffer", 75, "images, and 75 is none of them"),
    ("buffer", lambda: points_by_size()[50], "so write the size of the buffer"),
    ("buffer", lambda: points_by_size()[50] / 100, "so write the size of the buffer"),
    ("buffer", "replay-100", "Write the number of images alone"),
    ("hardest", lambda records, arm: 0, "You gave 0. Tasks are counted from 1"),
    ("hardest", counted_from_zero, "Tasks are counted from 1, but argmax counts from 0"),
    ("hardest", lowest_at_the_end, "Task 1 has the lowest score at the end"),
    ("hardest", with_the_last_one, "Task 6 is the last one"),
    ("hardest", from_its_own_end, "Take the best earlier score"),
    ("hardest", smallest_loss, "Task 5 is forgotten least"),
    ("hardest", first_run_only, "Take the mean over all seeds first"),
    ("hardest", most_votes, "Take the mean over all seeds first"),
    ("hardest", tuning_counted, "Runs with the purpose 'tune' only chose a learning rate"),
    ("hardest", every_arm, "The records hold several arms"),
    ("hardest", arms_that_begin_so, "Take those whose arm is exactly the one that was asked for"),
    ("hardest", its_name, "a whole number from 1 to 6, and not 'digits/mnist[2]:validation'"),
]
