"""Each checker passes the solution, is kind to the untouched stub, and gives each likely mistake the hint that fits."""

import math
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ftlib import load_model, load_task, metrics, teach
from ftlib.classroom.lessons import part
from ftlib.strategies.full import L2SP
from ftlib.strategies.incremental import EWC
from ftlib.strategies.schedules import LinearDecay, OneCycle, range_test, scales
from solutions import build, cell_of, cells, solution
from toy import net

ROOT = Path(__file__).parent.parent
WITH_EXERCISES = [
    build.name_of(file)
    for file in build.lessons([])
    if any(cells.tagged(cell, "exercise") for cell in build.read(file).cells)
]
CHECKS = {lesson: part(lesson, "checks").EXERCISES for lesson in WITH_EXERCISES}
NAMES = [f"{lesson}/{name}" for lesson, checks in CHECKS.items() for name in checks]
LIKELY = {lesson: part(lesson, "mistakes") for lesson in WITH_EXERCISES}
READ_OFF = {f"{lesson}/{name}": right for lesson, its in LIKELY.items() for name, right in its.READ_OFF.items()}
MISTAKES = [(f"{lesson}/{name}", *rest) for lesson, its in LIKELY.items() for name, *rest in its.MISTAKES]
SECONDS = 5  # of this thread's own time; the wall clock of a busy computer says nothing


@pytest.fixture(scope="module", autouse=True)
def begun():
    """What a notebook has done long before its first check, and no check may be charged for: libraries and weights."""
    load_model("efficientnet-lite0", load_task("elpv", n=50, size=32))


def answer_to(exercise: str):
    """The right answer: what is read from the widget, or the solution in the lesson's source."""
    return READ_OFF[exercise] if exercise in READ_OFF else solution(exercise)


def stub(*args):
    raise NotImplementedError


def test_every_lesson_with_exercises_has_four_and_each_file_of_checkers_a_lesson():
    assert {file.parent.name for file in (ROOT / "lessons").glob("*/checks.py")} == set(CHECKS) and CHECKS
    assert all(len(checks) >= 4 for checks in CHECKS.values())


@pytest.mark.parametrize("exercise", NAMES)
def test_the_solution_passes_within_five_seconds_and_moves_no_random_number(exercise):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    start = time.thread_time()
    result = teach.check(exercise, answer_to(exercise))
    assert result.passed, result
    title = exercise.partition("/")[2].replace("_", " ")
    assert str(result) == f"✔ Passed: {title}." and time.thread_time() - start < SECONDS
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()
    assert teach.check(exercise, answer_to(exercise), strict=True).passed


@pytest.mark.parametrize("exercise", NAMES)
def test_the_untouched_stub_fails_kindly(exercise):
    result = teach.check(exercise, stub)
    assert not result.passed and "Your answer is not there yet" in str(result)
    with pytest.raises(AssertionError, match=r"not\s+there\s+yet"):
        teach.check(exercise, stub, strict=True)


@pytest.mark.parametrize(("exercise", "answer", "hint"), MISTAKES, ids=lambda v: getattr(v, "__name__", None))
def test_a_mistake_gets_the_hint_that_fits(exercise, answer, hint):
    result = teach.check(exercise, answer)
    assert not result.passed and hint in str(result)


def test_every_exercise_has_two_mistakes_at_least():
    made = [exercise for exercise, _, _ in MISTAKES]
    assert all(made.count(name) >= 2 for name in NAMES)


def test_zeroing_at_the_end_is_right_too():
    def answer(model, optimizer, batches):
        loss = LIKELY["01_full"].never_zeroed(model, optimizer, batches)
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


def test_the_shape_and_the_range_test_asked_for_are_the_librarys():
    by_hand = solution("06_schedules/one_cycle")
    ours = scales(OneCycle(rise=0.3, div_factor=25.0, final_div_factor=1e9), 40)
    assert [by_hand((step + 0.5) / 40, 0.3, 0.04) for step in range(40)] == pytest.approx(ours, abs=1e-6)
    checks = part("06_schedules", "checks")
    losses, rates = checks.LOSSES, checks.RATES
    safe = solution("06_schedules/range_rate")(losses, rates)
    assert safe == pytest.approx(range_test(losses, rates, window=3)["tenth"])


def test_the_peak_asked_for_keeps_the_area():
    for warmup in (0.05, 0.1, 0.3):
        area = sum(scales(LinearDecay(warmup), 400)) / 400
        assert solution("06_schedules/peak")() * area == pytest.approx(0.003, rel=1e-3)


def test_the_helper_that_is_given_is_the_one_the_mistakes_use():
    names = {}
    exec(cell_of("06_schedules/range_rate").source, names)  # our own lesson
    losses = [2.0, 1.0, math.nan, 3.0, 0.5]
    assert names["smooth"](losses) == LIKELY["06_schedules"].smoothed(losses)


def test_the_forgetting_and_the_penalty_of_03_are_the_librarys():
    for R in part("03_incremental", "checks").SCORES:
        by_hand = solution("03_incremental/forgetting")(R)
        assert by_hand == pytest.approx(metrics.forgetting(R)["forgetting"])
    model, strategy = net(), EWC(strength=0.3)
    fisher, anchor = ({n: f(p.detach()) for n, p in model.named_parameters()} for f in (torch.square, torch.exp))
    strategy.anchors = [{n: [fisher[n], anchor[n]] for n in fisher}]
    by_hand = solution("03_incremental/ewc")(model, fisher, anchor, 0.3)
    torch.testing.assert_close(by_hand, strategy.penalty(model, {}))


ENOUGH, TOO_LITTLE = {20: 30.0, 50: 12.5, 100: 4.9, 200: 5.4, 400: 1.0}, {20: 30.0, 400: 8.0, 200: 6.0}
SIZES = [  # an answer, the forgetting by size, the hint
    (100, ENOUGH, ""),
    (100.0, ENOUGH, ""),
    (50, ENOUGH, "With 50 images the mean forgetting is 12.50 points, and that is not under five"),
    (200, ENOUGH, "With 200 images the mean forgetting is 5.40 points, and that is not under five"),
    (400, ENOUGH, "That is under five, but a smaller buffer is enough too"),
    ("none", ENOUGH, "Some of the sizes 20, 50, 100, 200, 400 do keep forgetting under five points"),
    (0.125, ENOUGH, "so write the size of the buffer"),
    (True, ENOUGH, "You gave True"),
    (None, TOO_LITTLE, ""),
    (" None", TOO_LITTLE, ""),
    (200, TOO_LITTLE, 'If no size is enough, write "none"'),
    (400, TOO_LITTLE, "Look at the other sizes"),
]


@pytest.mark.parametrize(("size", "points", "hint"), SIZES)
def test_a_size_is_judged_by_what_was_recorded_and_none_may_be_enough(size, points, hint):
    said = part("03_incremental", "checks").size_hint(size, points)
    assert hint in said and bool(said) == bool(hint)
