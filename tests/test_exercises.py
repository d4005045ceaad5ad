"""Each checker passes the solution, is kind to the untouched stub, and gives each likely mistake the hint that fits."""

import math
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
from ftlib.evidence import grids
from ftlib import classroom as teach
from ftlib.evidence.compare import paired
from ftlib.exercises.schedules import LOSSES, RATES
from ftlib.evidence.runs import load_runs
from ftlib.strategies.full import L2SP
from ftlib.strategies.schedules import LinearDecay, OneCycle, range_test, scales
from mistakes_augmentation import LEADS, SHOWN
from mistakes_augmentation import ROWS as AUGMENTATION
from mistakes_domain import APART
from mistakes_domain import ROWS as DOMAIN
from mistakes_domain import on_the_board as adabn_on_the_board
from mistakes_peft import ROWS as PEFT
from mistakes_peft import SPECTRUM
from toy import net

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import build  # noqa: E402
import cells  # noqa: E402

SOURCES = {f.stem: build.read(f) for f in build.lessons([])}
WITH_EXERCISES = [name for name, source in SOURCES.items() if any(cells.tagged(c, "exercise") for c in source.cells)]
MODULES = {name: import_module(f"ftlib.exercises.{name.partition('_')[2]}") for name in WITH_EXERCISES}
NAMES = [f"{lesson}/{name}" for lesson, module in sorted(MODULES.items()) for name in module.EXERCISES]
READ_OFF = {
    "01_full/board": lambda: on_the_board(800),
    "02_freezing/board": lambda: top_on_the_board(),
    "04_peft/explorer": lambda: (2, SPECTRUM),
    "06_schedules/playground": lambda: between_two_peaks(),
    "07_domain/board": lambda: adabn_on_the_board(),
    "07_domain/space": lambda: (18, APART),
    "08_augmentation/samples": lambda: (0.75, LEADS),
    "08_augmentation/curves": lambda: (40, SHOWN),
}  # answers that are read from a widget, and not code
SECONDS = 5  # of this thread's own time; the wall clock of a busy computer says nothing


def solution(exercise: str):
    """What stands in the lesson's source as the solution, with the imports of its first cell."""
    lesson, name = exercise.split("/")
    if exercise in READ_OFF:
        return READ_OFF[exercise]
    cell = next(c for c in SOURCES[lesson].cells if cells.tagged(c, "exercise") == name)
    names = {"torch": torch, "F": F, "ftlib": ftlib, "strategies": ftlib.strategies}
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
    files = [grids.DATA / "results" / f"{name}.jsonl" for name in ("01_full", "01_full_sizes")]
    runs = load_runs(*files).query("purpose == 'measure' and task == 'sentiment/amazon' and n == @n")
    return round(100 * paired(runs, metric, "full", "probe").mean, 1)


# Of 02_freezing


def typo(model, k):
    for stage in model.stages[:k]:
        stage.require_grad = False
        stage.eval()


def train_mode(model, k):
    model.stages[:k].requires_grad_(False)


def head_too(model, k):
    model.requires_grad_(False)
    model.stages[k:].requires_grad_(True)
    model.stages[:k].eval()


def one_more(model, k):
    model.stages[: k + 1].requires_grad_(False).eval()


def everything_in_eval(model, k):
    model.stages[:k].requires_grad_(False)
    model.eval()


def asleep_for_good(model, k):
    for stage in model.stages[:k]:
        stage.requires_grad_(False).eval()


def a_method_overwritten(model, k):
    for stage in model.stages[:k]:
        stage.requires_grad_ = False
        stage.eval()


def moving(stage, x, y):
    stage[0].weight.data.add_(0.1)


def frozen_after_a_reset(model, k):
    for stage in model.stages[:k]:
        stage.requires_grad_(False).eval()
        stage.register_forward_hook(moving)


def from_the_start(progress, stages, share):
    return min(1 + int(progress / share * (stages + 1)), stages)


def beyond_the_last(progress, stages, share):
    return int(progress / share * (stages + 1))


def share_ignored(progress, stages, share):
    return min(int(progress * (stages + 1)), stages)


def wrong_pieces(progress, stages, share):
    return min(int(progress / share * stages), stages)


def measured_of(runs):
    runs = runs[runs.purpose == "measure"]
    return runs, runs.groupby("arm")["parameters.trainable"].max().sort_values().index


def by_the_mean(runs, metric, margin):
    runs, arms = measured_of(runs)
    mean = runs.groupby("arm")[metric].mean()
    return next(arm for arm in arms if mean[arm] > mean["full"] - margin)


def the_best(runs, metric, margin):
    return measured_of(runs)[0].groupby("arm")[metric].mean().idxmax()


def never_cheaper(runs, metric, margin):
    return "full"


def must_be_inside(runs, metric, margin):
    runs, arms = measured_of(runs)
    for arm in arms:
        if arm == "full":
            return arm
        d = paired(runs, metric, arm, "full")
        if -margin < d.low and d.high < margin:
            return arm


def nothing_left(runs, metric, margin):
    runs, arms = measured_of(runs)
    return next((a for a in arms if a != "full" and paired(runs, metric, a, "full").low > -margin), None)


def top_on_the_board(metric="test.macro_f1", task="sentiment/amazon"):
    runs = load_runs(grids.DATA / "results" / "02_freezing.jsonl").query("purpose == 'measure' and task == @task")
    return round(100 * paired(runs, metric, "top", "bottom").mean, 1)


# Of 06_schedules


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


def between_two_peaks(shape="linear", column="test.balanced_accuracy"):
    files = [grids.DATA / "results" / f"{name}.jsonl" for name in ("06_schedules", "06_schedules_warmup")]
    runs = load_runs(*files).query("task == 'digits/optical' and purpose == 'measure'")
    high, low = (runs[runs.arm == f"{shape}@{lr:g}"][column].mean() for lr in (0.003, 0.03))
    return round(100 * high, 1) - round(100 * low, 1)  # as it is read from three decimals


MISTAKES = [
    *PEFT,
    *AUGMENTATION,
    *DOMAIN,
    ("02_freezing/budget", 5, "With k = 5 the training needs 50.9 MB, more than 30 MB"),
    ("02_freezing/budget", lambda: 9, "that fits, but so does a smaller k"),
    ("02_freezing/budget", 12, "k is a whole number of stages, 0 to 9"),
    ("02_freezing/budget", 6.5, "k is a whole number of stages, 0 to 9"),
    ("02_freezing/budget", lambda: None, "did you return the number?"),
    ("02_freezing/freeze", typo, "You set an attribute that PyTorch never reads"),
    ("02_freezing/freeze", lambda model, k: None, "Nothing is frozen"),
    ("02_freezing/freeze", asleep_for_good, "the second stage should learn again"),
    ("02_freezing/freeze", a_method_overwritten, "You set an attribute that PyTorch never reads"),
    ("02_freezing/freeze", train_mode, "BatchNorm's statistics move with every batch"),
    ("02_freezing/freeze", head_too, "The head is frozen too"),
    ("02_freezing/freeze", one_more, "For k = 1 the stages [0] should stand still, but you froze [0, 1]"),
    ("02_freezing/freeze", everything_in_eval, "only the frozen ones belong there"),
    ("02_freezing/freeze", frozen_after_a_reset, "frozen means bit-identical"),
    ("02_freezing/awake", from_the_start, "At the beginning only the head learns"),
    ("02_freezing/awake", lambda p, stages, share: stages - int(p / share * (stages + 1)), "not those that sleep"),
    ("02_freezing/awake", beyond_the_last, "no more than there are: yours gives 13"),
    ("02_freezing/awake", share_ignored, "of the training everything learns: with share 0.5"),
    ("02_freezing/awake", wrong_pieces, "is cut into 7 equal parts"),
    ("02_freezing/cheapest", by_the_mean, "Look at the lower end of the interval"),
    ("02_freezing/cheapest", the_best, "it is not the cheapest that will do"),
    ("02_freezing/cheapest", never_cheaper, "A cheaper arm is within the margin of full"),
    ("02_freezing/cheapest", must_be_inside, "An arm that is better than full is good enough"),
    ("02_freezing/cheapest", nothing_left, "the answer is 'full', not None"),
    ("02_freezing/board", (3, 5), "Write the number with a point"),
    ("02_freezing/board", lambda: -top_on_the_board() / 100, "turn the sign round, and take it times 100"),
    ("02_freezing/board", 55.0, "Choose Task sentiment/amazon and Measure macro-F1"),
    ("02_freezing/board", lambda: -top_on_the_board(), "the sign is not"),
    ("02_freezing/board", lambda: top_on_the_board() / 100, "a hundred times as much"),
    ("02_freezing/board", lambda: top_on_the_board(task="elpv"), "choose sentiment/amazon and macro-F1"),
    ("06_schedules/peak", 0.003, "At the same peak a straight line to 0 carries half as far"),
    ("06_schedules/peak", lambda: 0.0015, "That is the wrong direction"),
    ("06_schedules/peak", 0.006 / 0.9, "The warmup needs no correction"),
    ("06_schedules/peak", 0.02, "With a peak of 0.02 the mean rate is 0.01, and it should be 0.003"),
    ("06_schedules/peak", "0.006", "The peak is a positive number such as 0.001, but you gave '0.006'"),
    ("06_schedules/one_cycle", from_zero, "It begins at start"),
    ("06_schedules/one_cycle", one_wave_for_both, "take rise away from the progress and divide"),
    ("06_schedules/one_cycle", not_divided, "At the end the scale is back at 0, but yours is 0.206"),
    ("06_schedules/one_cycle", back_to_start, "At the end the scale is back at 0, but yours is 0.040"),
    ("06_schedules/one_cycle", straight_up, "This goes up along a straight line"),
    ("06_schedules/one_cycle", straight_down, "It goes down along a straight line"),
    ("06_schedules/one_cycle", rise_ignored, "rise 0.5 and start 0.1 it is"),
    ("06_schedules/range_rate", no_tenth, "a tenth of it is the safe one"),
    ("06_schedules/range_rate", the_exploding_step, "the rate of the step before is to blame"),
    ("06_schedules/range_rate", not_smoothed, "One bad batch was taken for the explosion"),
    ("06_schedules/range_rate", from_the_first_step, "A rise before the lowest loss is noise"),
    ("06_schedules/range_rate", at_the_lowest, "Go on from there until the loss is above its start"),
    ("06_schedules/range_rate", always_a_rate, "the answer is None, not"),
    ("06_schedules/range_rate", nan_is_not_above, "nan > 2.3 is False"),
    ("06_schedules/range_rate", lambda losses, rates: None, "This loss explodes: return the safe rate"),
    ("06_schedules/window", holes_and_all, "At 0.03 the mean is far too low, so the window ends before it"),
    ("06_schedules/window", by_the_first_letters, "'linear-warm' begins with 'linear' too. Take the runs"),
    ("06_schedules/window", by_the_best_run, "take the mean over the seeds first"),
    ("06_schedules/window", the_best_peak_alone, "That is the best peak alone"),
    ("06_schedules/window", one_per_cent, "a point is 0.01 of the score, not a hundredth of the best"),
    ("06_schedules/window", a_factor, "Return two peaks, the lowest and the highest"),
    ("06_schedules/window", the_metric_ignored, "The score to be looked at is named by metric"),
    ("06_schedules/playground", 99.0, "Choose Task digits/optical, Shape linear"),
    ("06_schedules/playground", lambda: -between_two_peaks(), "the sign is not"),
    ("06_schedules/playground", lambda: between_two_peaks() / 100, "a hundred times as much"),
    ("06_schedules/playground", lambda: between_two_peaks("constant"), "That is the difference of constant"),
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


def full_name(exercise):
    return exercise if "/" in exercise else f"01_full/{exercise}"


@pytest.mark.parametrize(("exercise", "answer", "hint"), MISTAKES, ids=lambda v: getattr(v, "__name__", None))
def test_a_mistake_gets_the_hint_that_fits(exercise, answer, hint):
    result = teach.check(full_name(exercise), answer)
    assert not result.passed and hint in str(result)


def test_every_exercise_has_two_mistakes_at_least():
    made = [full_name(exercise) for exercise, _, _ in MISTAKES]
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


def test_the_shape_and_the_range_test_asked_for_are_the_librarys():
    by_hand = solution("06_schedules/one_cycle")
    ours = scales(OneCycle(rise=0.3, div_factor=25.0, final_div_factor=1e9), 40)
    assert [by_hand((step + 0.5) / 40, 0.3, 0.04) for step in range(40)] == pytest.approx(ours, abs=1e-6)
    safe = solution("06_schedules/range_rate")(LOSSES, RATES)
    assert safe == pytest.approx(range_test(LOSSES, RATES, window=3)["tenth"])


def test_the_peak_asked_for_keeps_the_area():
    for warmup in (0.05, 0.1, 0.3):
        area = sum(scales(LinearDecay(warmup), 400)) / 400
        assert solution("06_schedules/peak")() * area == pytest.approx(0.003, rel=1e-3)


def test_the_helper_that_is_given_is_the_one_the_mistakes_use():
    cell = next(c for c in SOURCES["06_schedules"].cells if cells.tagged(c, "exercise") == "range_rate")
    names = {}
    exec(cell.source, names)  # our own lesson
    losses = [2.0, 1.0, math.nan, 3.0, 0.5]
    assert names["smooth"](losses) == smoothed(losses)
