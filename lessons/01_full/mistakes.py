"""Likely mistakes of the exercises of 01_full, with the hint that each must get; tests/test_exercises.py tries them.

READ_OFF holds the right answers that a learner reads from a widget, and that are no code.
"""

import torch.nn.functional as F

from ftlib.evidence.compare import paired
from ftlib.evidence.runs import load_runs
from solutions import solution


def loss_of(model, batch, reduction="sum"):
    return F.cross_entropy(model(batch), batch["labels"], reduction=reduction)


def size(batches):
    return sum(len(b["labels"]) for b in batches)


def mean_of_means(model, optimizer, batches):
    optimizer.zero_grad()
    losses = [loss_of(model, b, "mean") / len(batches) for b in batches]
    sum(losses).backward()
    optimizer.step()
    return sum(losses).item()


def sum_of_means(model, optimizer, batches):
    optimizer.zero_grad()
    for b in batches:
        loss_of(model, b, "mean").backward()
    optimizer.step()
    return 0.0


def never_divided(model, optimizer, batches):
    optimizer.zero_grad()
    for b in batches:
        loss_of(model, b).backward()
    optimizer.step()
    return 0.0


def never_zeroed(model, optimizer, batches):
    losses = [loss_of(model, b) / size(batches) for b in batches]
    sum(losses).backward()
    optimizer.step()
    return sum(losses)


def zeroed_each_time(model, optimizer, batches):
    for b in batches:
        optimizer.zero_grad()
        (loss_of(model, b) / size(batches)).backward()
    optimizer.step()
    return 0.0


def step_each_time(model, optimizer, batches):
    for b in batches:
        optimizer.zero_grad()
        loss_of(model, b, "mean").backward()
        optimizer.step()
    return 0.0


def no_step(model, optimizer, batches):
    optimizer.zero_grad()
    sum(loss_of(model, b) / size(batches) for b in batches).backward()
    return 0.0


def no_loss(model, optimizer, batches):
    no_step(model, optimizer, batches)
    optimizer.step()


def loss_of_the_means(model, optimizer, batches):
    means = [loss_of(model, b, "mean").item() for b in batches]
    no_loss(model, optimizer, batches)
    return sum(means) / len(means)


def to_zero(model, start, alpha, beta):
    return sum((alpha if n in start else beta) / 2 * p.square().sum() for n, p in model.named_parameters())


def head_forgotten(model, start, alpha, beta):
    return alpha / 2 * sum((p - start[n]).square().sum() for n, p in model.named_parameters() if n in start)


def no_half(model, start, alpha, beta):
    return 2 * solution("01_full/l2sp")(model, start, alpha, beta)


def lengths(model, start, alpha, beta):
    pull = sum((p - start[n]).norm() for n, p in model.named_parameters() if n in start)
    return alpha / 2 * pull + beta / 2 * sum(p.norm() for p in model.head.parameters())


def one_strength(model, start, alpha, beta):
    return alpha / 2 * sum((p - start.get(n, 0)).square().sum() for n, p in model.named_parameters())


def a_number(model, start, alpha, beta):
    return solution("01_full/l2sp")(model, start, alpha, beta).item()


def half_detached(model, start, alpha, beta):
    return head_forgotten(model, start, alpha, beta) + beta / 2 * sum(
        p.detach().square().sum() for p in model.head.parameters()
    )


def by_means(runs, arm, baseline, metric):
    runs = runs[runs.purpose == "measure"]
    for n, some in runs.groupby("n"):
        mean = some.groupby("arm")[metric].mean()
        if abs(mean[arm] - mean[baseline]) > 0.005:
            return n
    return None


def unpaired(runs, arm, baseline, metric):
    from scipy.stats import ttest_ind

    for n, some in runs[runs.purpose == "measure"].groupby("n"):
        if ttest_ind(*(some[some.arm == a][metric] for a in (arm, baseline))).pvalue < 0.05:
            return n
    return None


def paired_differences(runs, arm, baseline):
    for n, some in runs.groupby("n"):
        wide = some.pivot(index="seed", columns="arm", values="test.score")
        d = wide[arm] - wide[baseline]
        yield n, d.mean(), 2.571 * d.std() / len(d) ** 0.5


def only_higher(runs, arm, baseline, metric):
    runs = runs[runs.purpose == "measure"]
    return next((n for n, mean, half in paired_differences(runs, arm, baseline) if mean > half), None)


def tuning_counted(runs, arm, baseline, metric):
    return next((n for n, mean, half in paired_differences(runs, arm, baseline) if abs(mean) > half), None)


def never_none(runs, arm, baseline, metric):
    return solution("01_full/smallest_n")(runs, arm, baseline, metric) or int(runs.n.max())


def on_the_board(n, metric="test.macro_f1"):
    files = ("01_full", "01_full_sizes")
    runs = load_runs(*files).query("purpose == 'measure' and task == 'sentiment/amazon' and n == @n")
    return round(100 * paired(runs, metric, "full", "probe").mean, 1)


READ_OFF = {"board": lambda: on_the_board(800)}
MISTAKES = [
    ("probe", lambda: {"lr": 1e-5, "steps": 40}, "The rate is too small"),
    ("probe", lambda: {"lr": 0.1, "steps": 40}, "The rate is too large"),
    ("probe", lambda: {"lr": 1e-3, "steps": 3}, "give it more of them"),
    ("probe", lambda: {"lr": 1e-3, "steps": 400}, "400 steps are too many: the budget is 40"),
    ("probe", lambda: {"lr": -1.0, "steps": 40}, "lr must be a positive number"),
    ("probe", lambda: 1e-3, "Return a dict such as"),
    ("accumulate", mean_of_means, "This is a mean of means"),
    ("accumulate", sum_of_means, "Each batch's mean was added up"),
    ("accumulate", never_divided, "never divided"),
    ("accumulate", never_zeroed, "call zero_grad once"),
    ("accumulate", zeroed_each_time, "Only the last micro-batch is in it"),
    ("accumulate", step_each_time, "The optimizer stepped 3 times"),
    ("accumulate", no_step, "call optimizer.step() once, after the last"),
    ("accumulate", no_loss, "Return the mean loss too"),
    ("accumulate", loss_of_the_means, "the loss that you return is not the mean over all examples. This is a mean of"),
    ("l2sp", to_zero, "The stages are pulled towards zero"),
    ("l2sp", head_forgotten, "The head is missing"),
    ("l2sp", no_half, "It is twice too large"),
    ("l2sp", lengths, "the penalty needs their squares"),
    ("l2sp", one_strength, "Pull the head with beta"),
    ("l2sp", a_number, "carries no gradient"),
    ("l2sp", half_detached, "its gradient is not, for example at head.weight"),
    ("smallest_n", by_means, "Look at the interval, not at the mean"),
    ("smallest_n", unpaired, "pair the runs by seed"),
    ("smallest_n", only_higher, "Lower is a difference too"),
    ("smallest_n", tuning_counted, "Runs whose purpose is 'tune'"),
    ("board", 15.0, "Choose Task sentiment/amazon"),
    ("board", lambda: on_the_board(200), "That is the difference on sentiment/amazon with 200 examples"),
    ("board", lambda: on_the_board(800, "test.accuracy"), "Choose Task sentiment/amazon"),
    ("board", lambda: -on_the_board(800), "the sign is not"),
    ("board", lambda: on_the_board(800) / 100, "a hundred times as much"),
    ("smallest_n", never_none, "distinguishable at no size"),
]
