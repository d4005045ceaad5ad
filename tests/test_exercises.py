"""Each checker passes the solution, is kind to the untouched stub, and gives each likely mistake the hint that fits."""

import random
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import ftlib
from ftlib import record, teach
from ftlib.compare import paired
from ftlib.runs import load_runs
from ftlib.strategies.full import L2SP
from toy import net

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import build  # noqa: E402
import cells  # noqa: E402

SOURCES = {f.stem: build.read(f) for f in build.lessons([])}
WITH_EXERCISES = [name for name, source in SOURCES.items() if any(cells.tagged(c, "exercise") for c in source.cells)]
MODULES = {name: import_module(f"ftlib.exercises.{name.partition('_')[2]}") for name in WITH_EXERCISES}
NAMES = [f"{lesson}/{name}" for lesson, module in sorted(MODULES.items()) for name in module.EXERCISES]
READ_OFF = {"01_full/board": lambda: on_the_board(800)}  # answers that are read from a widget, and not code
SECONDS = 5  # of this thread's own time; the wall clock of a busy computer says nothing


def solution(exercise: str):
    """What stands in the lesson's source as the solution, with the imports of its first cell."""
    lesson, name = exercise.split("/")
    if exercise in READ_OFF:
        return READ_OFF[exercise]
    cell = next(c for c in SOURCES[lesson].cells if cells.tagged(c, "exercise") == name)
    names = {"torch": torch, "F": F, "ftlib": ftlib}
    exec(cell.source, names)  # our own lesson
    return names[name]


def stub(*args):
    raise NotImplementedError


def test_every_lesson_with_exercises_has_four_and_each_file_of_checkers_a_lesson():
    files = Path(import_module("ftlib.exercises").__file__).parent.glob("[a-z]*.py")
    assert {f.stem for f in files} == {name.partition("_")[2] for name in MODULES} and MODULES
    assert all(len(module.EXERCISES) >= 4 for module in MODULES.values())


@pytest.mark.parametrize("exercise", NAMES)
def test_the_solution_passes_within_five_seconds_and_moves_no_random_number(exercise):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    start = time.thread_time()
    result = teach.check(exercise, solution(exercise))
    assert result.passed, result
    assert str(result) == f"{exercise}: passed." and time.thread_time() - start < SECONDS
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()
    assert teach.check(exercise, solution(exercise), strict=True).passed


@pytest.mark.parametrize("exercise", NAMES)
def test_the_untouched_stub_fails_kindly(exercise):
    result = teach.check(exercise, stub)
    assert not result.passed and "Your answer is not there yet" in str(result)
    with pytest.raises(AssertionError, match="not there yet"):
        teach.check(exercise, stub, strict=True)


# The likely mistakes


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
    files = [record.DATA / "results" / f"{name}.jsonl" for name in ("01_full", "01_full_sizes")]
    runs = load_runs(*files).query("purpose == 'measure' and task == 'sentiment/amazon' and n == @n")
    return round(100 * paired(runs, metric, "full", "probe").mean, 1)


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
    ("board", lambda: -solution("01_full/board")(), "the sign is not"),
    ("board", lambda: solution("01_full/board")() / 100, "a hundred times as much"),
    ("smallest_n", never_none, "distinguishable at no size"),
]


@pytest.mark.parametrize(("exercise", "answer", "hint"), MISTAKES, ids=lambda v: getattr(v, "__name__", None))
def test_a_mistake_gets_the_hint_that_fits(exercise, answer, hint):
    result = teach.check(f"01_full/{exercise}", answer)
    assert not result.passed and hint in str(result)


def test_every_exercise_has_two_mistakes_at_least():
    made = [f"01_full/{exercise}" for exercise, _, _ in MISTAKES]
    assert all(made.count(name) >= 2 for name in NAMES)


def test_zeroing_at_the_end_is_right_too():
    def answer(model, optimizer, batches):
        loss = never_zeroed(model, optimizer, batches)
        optimizer.zero_grad()
        return loss

    assert teach.check("01_full/accumulate", answer).passed


def test_the_penalty_asked_for_is_the_library_s():
    model, strategy = net(), L2SP(alpha=0.3, beta=0.05)
    strategy.prepare(model)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1)
    by_hand = solution("01_full/l2sp")(model, strategy.start, 0.3, 0.05)
    torch.testing.assert_close(by_hand, strategy.penalty(model, {}))
