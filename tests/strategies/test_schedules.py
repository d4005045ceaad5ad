"""Each schedule, step by step, against torch's own schedulers and those of transformers, and against its closed form.

Ours asks in the middle of a step, p = (step + ½) / steps; the libraries ask at its beginning. So transformers' function
of the step is asked at step + ½; and torch's schedulers, which know whole steps only, run over twice as many, where our
middles are the odd ones: step i of N is step 2i + 1 of 2N.
"""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_cosine_with_hard_restarts_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
    get_wsd_schedule,
)

from ftlib.strategies.full import Full, LayerRates, LinearProbe
from ftlib.strategies.schedules import (
    Constant,
    Cosine,
    InverseSqrt,
    LinearDecay,
    OneCycle,
    RangeTest,
    Restarts,
    StepDecay,
    WarmupStableDecay,
    Waypoints,
    range_test,
    scales,
)
from ftlib.strategy import combine
from ftlib.training.loop import fit
from toy import data, net, same, weights

STEPS, WARM = 40, 0.125  # 5 of 40 steps warm up: 10 of torch's 80, and 70 = 10 + 20 + 40 are left for three cycles
TWICE, RISE = 2 * STEPS, round(2 * STEPS * WARM)
WARMED = [Constant, StepDecay, LinearDecay, Cosine, Restarts, WarmupStableDecay, InverseSqrt]
ALL = [*WARMED, OneCycle, RangeTest]


def an_optimizer():
    return torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)


def by_torch(make, steps):
    """The rates of the first steps of a scheduler of torch, peak 1."""
    optimizer, rates = an_optimizer(), []
    scheduler = make(optimizer)
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def warmed_by_torch(make_rest):
    """LinearLR and then another scheduler, at our middles.

    LinearLR cannot start at 0, so it starts with the first of our middles, at 1 / RISE: one step later than the run.
    """

    def make(optimizer):
        rise = LinearLR(optimizer, start_factor=1 / RISE, total_iters=RISE - 1)
        return SequentialLR(optimizer, [rise, make_rest(optimizer)], milestones=[RISE - 1])

    return by_torch(make, TWICE - 1)[::2]


REST = TWICE - RISE
BY_TORCH = [
    (LinearDecay, {}, lambda o, n: LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=n)),
    (Cosine, {}, lambda o, n: CosineAnnealingLR(o, T_max=n)),
    (Restarts, {"cycles": 3, "growth": 2.0}, lambda o, n: CosineAnnealingWarmRestarts(o, T_0=n // 7, T_mult=2)),
    (Restarts, {"cycles": 5, "growth": 1.0}, lambda o, n: CosineAnnealingWarmRestarts(o, T_0=n // 5)),
    (StepDecay, {}, lambda o, n: MultiStepLR(o, [n // 2, n * 3 // 4], gamma=0.1)),
    (StepDecay, {"at": [0.2, 0.6], "factor": 0.5}, lambda o, n: MultiStepLR(o, [n // 5, n * 3 // 5], gamma=0.5)),
]


@pytest.mark.parametrize(("of", "knobs", "make"), BY_TORCH)
def test_a_shape_is_torchs_own_without_and_with_a_warmup(of, knobs, make):
    n = REST if of is Restarts else TWICE  # a number that can be cut into the cycles
    alone = by_torch(lambda optimizer: make(optimizer, n), n)[1::2]
    assert scales(of(warmup=0.0, **knobs), n // 2) == pytest.approx(alone, abs=1e-9)
    warmed = warmed_by_torch(lambda optimizer: make(optimizer, REST))
    assert scales(of(warmup=WARM, **knobs), STEPS) == pytest.approx(warmed, abs=1e-9)
    assert len(alone) == n // 2 and len(warmed) == STEPS and min(warmed) >= 0 and max(warmed) > 0.9


@pytest.mark.parametrize("rise", [0.3, 0.5])
def test_one_cycle_is_torchs_with_its_defaults(rise):
    """torch's n steps span n - 1 intervals, and its peak is at step rise · n - 1: 2N + 1 steps, and our own share."""
    n = TWICE + 1
    want = by_torch(lambda o: OneCycleLR(o, 1.0, n, pct_start=(rise * TWICE + 1) / n, cycle_momentum=False), n)
    assert scales(OneCycle(rise), STEPS) == pytest.approx(want[1::2], abs=1e-9)
    assert want[0] == pytest.approx(1 / 25) and want[-1] == pytest.approx(1 / 25e4)
    assert OneCycle().rise == 0.3  # the default of both


BY_TRANSFORMERS = [
    (Constant(WARM), lambda o, w, n: get_constant_schedule_with_warmup(o, w)),
    (LinearDecay(WARM), get_linear_schedule_with_warmup),
    (LinearDecay(0.0), lambda o, w, n: get_linear_schedule_with_warmup(o, 0, n)),
    (Cosine(WARM), get_cosine_schedule_with_warmup),
    (Restarts(WARM, 3, 1.0), lambda o, w, n: get_cosine_with_hard_restarts_schedule_with_warmup(o, w, n, num_cycles=3)),
    (InverseSqrt(WARM), lambda o, w, n: get_inverse_sqrt_schedule(o, w)),
    (WarmupStableDecay(WARM, 0.2), lambda o, w, n: get_wsd_schedule(o, w, n // 5, n, decay_type="1-sqrt")),
    (WarmupStableDecay(WARM, 0.5, "linear"), lambda o, w, n: get_wsd_schedule(o, w, n // 2, n, decay_type="linear")),
]


@pytest.mark.parametrize(("ours", "make"), BY_TRANSFORMERS, ids=[repr(ours) for ours, _ in BY_TRANSFORMERS])
def test_a_shape_is_that_of_transformers_half_a_step_later(ours, make):
    (factor,) = make(an_optimizer(), round(WARM * STEPS), STEPS).lr_lambdas
    assert scales(ours, STEPS) == pytest.approx([factor(step + 0.5) for step in range(STEPS)], abs=1e-9)


@pytest.mark.parametrize("of", WARMED)
def test_a_warmup_starts_above_0_ends_at_1_and_is_a_straight_line(of):
    first = scales(of(warmup=0.1), 100)[:10]
    assert first == pytest.approx([(2 * k + 1) / 20 for k in range(10)])
    assert of(warmup=0.1).lr_scale(0.1) == pytest.approx(1.0)
    assert of().warmup == 0.05  # the same in all of them, so that they differ in their shape alone


@pytest.mark.parametrize("of", ALL)
@pytest.mark.parametrize("steps", [1, 2, 60])
def test_a_scale_is_above_0_and_1_at_most_and_the_same_when_asked_again(of, steps):
    strategy = of()
    once = scales(strategy, steps)
    assert len(once) == steps and all(0 < scale <= 1 for scale in once)
    assert [strategy.lr_scale((step + 0.5) / steps) for step in reversed(range(steps))] == once[::-1]


W, C, LOW = 0.2, 0.3, 1e-3
AREAS = [
    (Constant(W), 1 - W / 2),
    (StepDecay(0.0, [0.5, 0.75], 0.1), 0.5 + 0.25 * 0.1 + 0.25 * 0.01),
    (StepDecay(W, [0.5], 0.5), W / 2 + (1 - W) * 0.75),
    (LinearDecay(W), 0.5),
    (Cosine(W), 0.5),
    (Restarts(W), 0.5),
    (WarmupStableDecay(W, C), 1 - W / 2 - 2 * C / 3),
    (WarmupStableDecay(W, C, "linear"), 1 - W / 2 - C / 2),
    (InverseSqrt(W), 2 * math.sqrt(W) - 3 * W / 2),
    (OneCycle(0.3, 25.0, 1e4), 0.3 * (1 + 1 / 25) / 2 + 0.7 * (1 + 1 / 25e4) / 2),
    (RangeTest(LOW), (1 - LOW) / math.log(1 / LOW)),
]


@pytest.mark.parametrize(("strategy", "area"), AREAS, ids=[repr(strategy) for strategy, _ in AREAS])
def test_the_mean_scale_is_the_area_of_the_closed_form(strategy, area):
    steps = 7000  # all corners of the shapes lie between two steps
    assert sum(scales(strategy, steps)) / steps == pytest.approx(area, abs=1e-4)


def test_every_shape_has_its_area_tested():
    assert {type(strategy) for strategy, _ in AREAS} == set(ALL)


def test_cycles_begin_at_the_peak_end_at_0_and_grow():
    def wave(share):
        return (1 + math.cos(math.pi * share)) / 2

    want = [wave(s) for s in (1 / 2, 1 / 4, 3 / 4, 1 / 8, 3 / 8, 5 / 8, 7 / 8)]  # cycles of 1, 2 and 4 steps
    assert scales(Restarts(0.0, cycles=3, growth=2.0), 7) == pytest.approx(want)
    for edge in (1 / 7, 3 / 7):
        assert Restarts(0.0).lr_scale(edge - 1e-9) < 1e-12 and Restarts(0.0).lr_scale(edge + 1e-9) > 1 - 1e-12
    assert scales(Restarts(WARM, cycles=1), 60) == scales(Cosine(WARM), 60)


@pytest.mark.parametrize("of", ALL)
def test_the_history_of_fit_holds_the_list_times_the_peak(of):
    _, history = fit(net(), data(), of(), steps=20, lr=3e-3, verbose=False)
    assert [row["lr"] for row in history] == pytest.approx([3e-3 * scale for scale in scales(of(), 20)])


def test_groups_keep_their_ratios():
    seen, whole = [], combine(LayerRates(0.5), Cosine(0.2))
    watch = register_optimizer_step_pre_hook(lambda o, *_: seen.append([g["lr"] for g in o.param_groups]))
    try:
        fit(net(), data(), whole, steps=20, lr=8e-3, verbose=False)
    finally:
        watch.remove()
    assert len(seen) == 20 and scales(whole, 20) == scales(Cosine(0.2), 20)
    for rates, scale in zip(seen, scales(whole, 20), strict=True):
        assert rates == pytest.approx([2e-3 * scale, 4e-3 * scale, 8e-3 * scale])


def test_training_equals_the_loop_with_torchs_scheduler_written_out():
    """The scheduler is asked after each step and not after each pass over the data, of which there are five here."""
    exact = data(dtype=torch.double)
    by_fit, _ = fit(net().double(), exact, LinearDecay(0.0), steps=20, lr=1e-2, max_norm=1e9, verbose=False)
    model = net().double()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    scheduler = LinearLR(optimizer, start_factor=39 / 40, end_factor=1 / 40, total_iters=19)  # from middle to middle
    for batch in [b for _ in range(5) for b in exact]:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch), batch["labels"]).backward()
        optimizer.step()
        scheduler.step()
    torch.testing.assert_close(weights(by_fit), weights(model))


def test_constant_without_a_warmup_is_full_fine_tuning():
    ends = [fit(net(), data(), s, steps=5, lr=1e-2, verbose=False)[0] for s in (Constant(0.0), Full())]
    assert same(*map(weights, ends))


def test_a_combination_has_one_schedule():
    with pytest.raises(ValueError, match=r"lr_scale\(\) can have one owner, but Cosine.* and OneCycle"):
        combine(OneCycle(), LayerRates(), Cosine())


# ---- the range test: a loss that falls fastest at a rate of 1e-3 and is back at its start just above 0.1


def a_curve(noise=0.0, seed=0):
    rates = scales(RangeTest(1e-4), 100)
    dice = torch.Generator().manual_seed(seed)

    def loss(rate):
        x = math.log10(rate)
        return 2 - 1.5 / (1 + math.exp(-(x + 3) / 0.2)) + math.exp((x + 1) / 0.15)

    return [loss(rate) + noise * torch.randn((), generator=dice).item() for rate in rates], rates


NOISY = [(0.06, seed) for seed in range(10)]  # 0.06 is most of what the curve falls in its steepest step


@pytest.mark.parametrize(("noise", "seed"), [(0.0, 0), *NOISY])
def test_a_range_test_finds_the_steepest_fall_and_the_explosion(noise, seed):
    found = range_test(*a_curve(noise, seed))
    assert abs(math.log10(found["steepest"] / 1e-3)) < 0.3
    assert abs(math.log10(found["explodes"] / 10**-0.94)) < 0.2
    assert found["tenth"] == found["explodes"] / 10


def test_smoothing_does_not_lag_behind():
    """However wide the window, the steepest place of a symmetric fall is its middle."""
    curve = [2.0 - math.tanh((i - 50) / 8) for i in range(100)]
    rates = scales(RangeTest(), 100)
    assert rates.index(range_test(curve, rates, window=15)["steepest"]) in (49, 50)


def test_a_loss_that_is_not_finite_is_an_explosion():
    losses, rates = a_curve()
    losses[70:] = [math.nan] * 30
    found = range_test(losses, rates)
    assert rates[65] < found["explodes"] <= rates[70] and found["steepest"] == range_test(*a_curve())["steepest"]


def test_without_an_explosion_there_is_no_tenth():
    losses, rates = a_curve()
    found = range_test(losses[:70], rates[:70])
    assert found["explodes"] is None and found["tenth"] is None and 5e-4 < found["steepest"] < 2e-3


def test_a_range_test_of_a_real_run():
    _, history = fit(net(), data(), RangeTest(), steps=80, lr=30.0, verbose=False)
    rates = [row["lr"] for row in history]
    assert [b / a for a, b in pairwise(rates)] == pytest.approx([1e4 ** (1 / 80)] * 79)
    found = range_test([row["loss"] for row in history], rates)
    assert rates[0] < found["steepest"] < found["explodes"] < rates[-1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Cosine(1.0), r"warmup is a share of the steps in \[0, 1\), but it is 1.0: for none take 0"),
        (lambda: Constant(-0.1), "warmup is a share of the steps .* but it is -0.1"),
        (lambda: LinearDecay(5), "warmup is a share of the steps .* but it is 5"),
        (lambda: InverseSqrt(0.0), "warmup must be above 0 here, .* take 0.05"),
        (lambda: StepDecay(at=[0.75, 0.5]), r"at holds rising shares .* but it is \[0.75, 0.5\]"),
        (lambda: StepDecay(at=[50]), r"at holds rising shares between 0 and 1, but it is \[50\]"),
        (lambda: StepDecay(factor=0.0), r"factor must lie in \(0, 1\], but it is 0.0"),
        (lambda: Restarts(cycles=0), "cycles must be a whole number from 1 on, but it is 0: 1 is Cosine"),
        (lambda: Restarts(cycles=2.5), "cycles of Restarts must be a whole number, but it is 2.5"),
        (lambda: Restarts(growth=0.5), "growth must be at least 1, but it is 0.5"),
        (lambda: WarmupStableDecay(0.5, 0.6), "add up to 1 at most, but they are 0.5 and 0.6: shorten one"),
        (lambda: WarmupStableDecay(cooldown=-0.1), "add up to 1 at most, but they are 0.05 and -0.1"),
        (lambda: WarmupStableDecay(form="sqrt"), 'form must be "1-sqrt" or "linear", but it is \'sqrt\''),
        (lambda: OneCycle(rise=0.0), r"rise is a share of the steps in \(0, 1\), but it is 0.0: for none take Cosine"),
        (lambda: OneCycle(div_factor=0.5), "must be at least 1, but they are 0.5 and 10000.0"),
        (lambda: RangeTest(1.0), r"low is a share of the peak in \(0, 1\), but it is 1.0"),
        (lambda: range_test([1.0] * 9, [0.1] * 8), "a rate for each loss and over 5 .* there are 9 losses and 8 rates"),
        (lambda: range_test([1.0] * 5, [0.1] * 5), "over 5 of them, but there are 5 losses and 5 rates"),
        (lambda: range_test([1.0, 2, 3, 4, 5, 6, 7], [0.1] * 7), "the loss never fell, from a rate of 0.1 on: begin"),
        (lambda: range_test([math.nan] * 9, [0.1] * 9), "the loss never fell"),
    ],
)
def test_bad_knobs_are_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# Waypoints


def walked(strategy, at=0.5, steps=20, lr=1e-2):
    """(weights at the end, barrier) of a run that is watched."""
    watch = Waypoints(at=at)
    model, _ = fit(net(), data(), combine(strategy, watch), steps=steps, lr=lr, verbose=False)
    return weights(model), watch.barrier


def test_watching_changes_nothing():
    plain, _ = fit(net(), data(), Cosine(), steps=20, lr=1e-2, verbose=False)
    assert same(walked(Cosine())[0], weights(plain))


def test_a_linear_probe_has_no_hill_on_its_way_since_its_loss_is_convex():
    assert walked(LinearProbe(), lr=0.5)[1] <= 1e-6


def test_the_barrier_is_the_highest_rise_above_the_straight_line_between_the_ends():
    model, watch = net(bn=False), Waypoints(points=3)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(-1)  # the mirror image: half-way all weights are 0, and the loss is log 3
    watch.kept = start
    watch.finish(model, {"train": data()})

    def loss(share):
        twin = net(bn=False)
        twin.load_state_dict({name: (1 - 2 * share) * p for name, p in start.items()})
        logits, labels = zip(*[(twin.eval()(batch), batch["labels"]) for batch in data()])
        return nn.functional.cross_entropy(torch.cat(logits), torch.cat(labels)).item()

    rises = [loss(a) - (1 - a) * loss(0) - a * loss(1) for a in (0.25, 0.5, 0.75)]
    assert watch.barrier == pytest.approx(max(rises), abs=1e-5)


def test_a_run_that_ended_before_the_waypoint_has_no_barrier():
    watch = Waypoints(at=0.9)
    watch.finish(net(), {"train": data()})
    assert math.isnan(watch.barrier)
    with pytest.raises(ValueError, match=r"at is a share of the steps in \(0, 1\), but it is 1.5"):
        Waypoints(at=1.5)
