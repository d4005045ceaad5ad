"""Freezing: what stands still stands still to the last bit, and what learns is what was asked for."""

import pytest
import torch
import torch.nn.functional as F

from ftlib import models, tasks
from ftlib.strategies.freezing import (
    BiasOnly,
    FreezeFirst,
    GradualUnfreezing,
    NormOnly,
    TuneOnly,
    relative_gradient_norms,
)
from ftlib.strategies.full import Full, LinearProbe
from ftlib.strategy import combine
from ftlib.training.loop import count_parameters, fit
from ftlib.training.validation import Validation
from toy import changed, data, net, same, weights

HEAD = {"head.weight", "head.bias"}


def train(strategy, model=None, **more):
    model = model or net(p=0.3)
    return fit(model, data(), strategy, **{"steps": 12, "lr": 1e-2, "verbose": False, **more})[0]


def moved(strategy, **more):
    """The names of the tensors that change, BatchNorm's statistics among them."""
    return changed(weights(net(p=0.3)), weights(train(strategy, **more)))


def test_the_first_k_stages_stand_still_and_the_rest_learns():
    everything = set(weights(net()))
    assert moved(FreezeFirst(1)) == {n for n in everything if not n.startswith("stages.0")}
    assert moved(FreezeFirst(2)) == HEAD


def test_its_two_ends_are_full_fine_tuning_and_a_linear_probe():
    assert same(weights(train(FreezeFirst(0))), weights(train(Full())))
    assert same(weights(train(FreezeFirst(2))), weights(train(LinearProbe())))


def test_tune_only_trains_the_chosen_stages_and_the_head():
    everything = set(weights(net()))
    assert moved(TuneOnly([0])) == {n for n in everything if not n.startswith("stages.1")}
    assert same(weights(train(TuneOnly([-1]))), weights(train(FreezeFirst(1))))
    assert moved(TuneOnly([])) == HEAD


def test_biases_only_leaves_weights_and_statistics_alone():
    assert moved(BiasOnly()) == HEAD | {n for n in weights(net()) if n.endswith(".bias")}


def test_norms_only_trains_scale_and_shift_of_normalisations():
    assert moved(NormOnly()) == HEAD | {n for n in weights(net()) if n.startswith("stages.0.1.")}


@pytest.mark.parametrize(("progress", "learning"), [(0.01, 0), (0.16, 0), (0.17, 1), (0.4, 2), (0.99, 2)])
def test_stages_wake_one_after_the_other(progress, learning):
    strategy, model = GradualUnfreezing(share=0.5), net().train()  # two stages: three parts of a sixth each
    assert strategy.awake(progress, 2) == learning
    strategy.before_step(model, progress)
    awake = [all(p.requires_grad for p in stage.parameters()) for stage in model.stages]
    assert awake == [stage.training for stage in model.stages] == [i >= 2 - learning for i in range(2)]
    assert all(p.requires_grad for p in model.head.parameters())


def test_gradual_unfreezing_starts_as_a_probe_and_ends_with_everything():
    first_sixth = {"validation": Validation(lambda model: {}, every=1, stop=lambda history: len(history) == 2)}
    assert moved(GradualUnfreezing(0.5), **first_sixth) == HEAD
    assert moved(GradualUnfreezing(0.5)) == set(weights(net()))


def test_gradual_unfreezing_does_not_wake_what_another_part_froze():
    assert not {n for n in moved(combine(GradualUnfreezing(0.5), FreezeFirst(1))) if n.startswith("stages.0")}


def test_a_later_phase_and_another_model_wake_anew():
    strategy = GradualUnfreezing(0.5)
    fit(net(), data(), combine(strategy, FreezeFirst(1)), steps=4, lr=1e-2, verbose=False)
    assert not strategy.learns["0.0.weight"]
    model = net()
    before = weights(model)
    fit(model, data(), strategy, steps=12, lr=1e-2, verbose=False)  # with what it remembers
    assert changed(before, weights(model)) == set(before)


def test_trained_parameters_of_lite0_by_the_formula():
    task = tasks.load("digits/optical", n=20, size=32)
    stages, head = [928, 896, 13_968, 39_712, 198_480, 446_784, 1_652_640, 605_440, 412_160], 1280 * 10 + 10
    for k in (0, 5, 9):
        model = FreezeFirst(k).prepare(models.load("efficientnet-lite0", task))
        assert count_parameters(model) == (sum(stages[k:]) + head, sum(stages) + head)
    model = BiasOnly().prepare(models.load("efficientnet-lite0", task))
    biases = sum(p.numel() for n, p in model.stages.named_parameters() if n.endswith(".bias"))
    assert count_parameters(model)[0] == biases + head < 0.02 * sum(stages)


def test_relative_gradient_norms_are_gradient_over_weights_and_change_nothing():
    model = LinearProbe().prepare(net())
    before, batches = weights(model), list(data())[:2]
    got = relative_gradient_norms(model, batches)
    assert same(before, weights(model)) and not any(p.requires_grad for p in model.stages.parameters())
    assert model.training
    want = torch.zeros(2)
    for batch in batches:
        twin = net().eval()
        F.cross_entropy(twin(batch), batch["labels"]).backward()
        for i, stage in enumerate(twin.stages):
            length = [torch.cat([t.flatten() for t in ts]).norm() for ts in
                      ([p.grad for p in stage.parameters()], [p.detach() for p in stage.parameters()])]  # fmt: skip
            want[i] += length[0] / length[1] / 2
    torch.testing.assert_close(torch.tensor(got), want)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FreezeFirst(3).prepare(net()), "k counts stages from the input: it must be 0 to 2, not 3"),
        (lambda: TuneOnly([2]).prepare(net()), r"stages are numbered 0 to 1, or -2 to -1 from the end, but \[2\]"),
        (lambda: GradualUnfreezing(0), r"share must lie in \(0, 1\], but it is 0: for 0 use Full"),
        (lambda: relative_gradient_norms(net(), []), "at least one batch"),
    ],
)
def test_bad_knobs_are_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
