"""Averages against torch's swa_utils, dropout against what is expected of it, weight decay against its closed form."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from ftlib import models, tasks
from ftlib.strategies.freezing import FreezeFirst
from ftlib.strategies.full import L2SP, Full, LinearProbe
from ftlib.strategies.regularisation import EMA, SWA, Drop, Dropout, StochasticDepth, WeightDecay
from ftlib.strategy import Strategy, combine
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.loop import fit
from ftlib.training.restore import settings_restored
from ftlib.training.validation import Validation
from toy import MultiTask, changed, data, decoder, encoder, eye, net, pictures, same, weights

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 8


def train(strategy, model=None, **more):
    return fit(model or net(), data(), strategy, **{"steps": STEPS, "lr": 1e-2, "verbose": False, **more})[0]


def after_each_step(**more):
    """The weights that a run has after each of its steps: those of a run that was as long as the step's number."""
    found = []
    train(Full(), validation=Validation(lambda m: found.append(weights(m)) or {}, every=1), **more)
    assert len(found) == STEPS
    return found


def averaged_by_torch(states, **knobs):
    """torch's AveragedModel over these weights; its statistics are those of the last."""
    model = net()
    average = AveragedModel(model, **knobs)
    for state in states:
        model.load_state_dict(state)
        average.update_parameters(model)
    return average


# ---- averages


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.95])
def test_ema_is_torchs_with_its_buffers(decay):
    want = averaged_by_torch(after_each_step(), multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    got = weights(train(EMA(decay)))
    for name, tensor in want.module.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(got[name], tensor, atol=1e-6, rtol=1e-5)
    assert got["stages.0.1.num_batches_tracked"] == 4 * 2  # 64 examples, 16 a step: it counts steps


@pytest.mark.parametrize(("start", "counted"), [(0.0, 8), (0.75, 3), (0.95, 1)])
def test_swa_is_torchs_over_the_end_of_the_run_with_its_update_bn(start, counted):
    """Of 8 steps, three quarters are over after the sixth: the weights after 6, 7 and 8 are averaged."""
    want = averaged_by_torch(after_each_step()[-counted:])
    update_bn(list(data()), want.module)
    got, want = weights(train(SWA(start))), want.module.state_dict()
    for name in want:
        if "num_batches" not in name:
            torch.testing.assert_close(got[name], want[name], atol=1e-6, rtol=1e-5)


def test_an_average_without_memory_is_the_last_weights_and_training_is_not_disturbed():
    assert same(weights(train(EMA(0.0))), weights(train(Full())))
    assert [row["loss"] for row in fit(net(), data(), EMA(0.9), steps=STEPS, lr=1e-2, verbose=False)[1]] == [
        row["loss"] for row in fit(net(), data(), Full(), steps=STEPS, lr=1e-2, verbose=False)[1]
    ]


def test_the_statistics_of_averaged_weights_are_those_of_the_training_data():
    """SWA's: the mean and variance of what the averaged first layer gives, whatever dropout there is."""
    model = train(SWA(0.0), net(p=0.5), lr=0.1)
    h = torch.cat([model.stages[0][0](batch["x"]) for batch in data()]).detach()
    norm = model.stages[0][1]
    torch.testing.assert_close(norm.running_mean, h.mean(0), atol=1e-5, rtol=1e-4)
    batches = torch.stack([model.stages[0][0](batch["x"]).detach().var(0) for batch in data()])
    torch.testing.assert_close(norm.running_var, batches.mean(0), atol=1e-5, rtol=1e-4)
    assert norm.momentum == 0.1 and not model.training


@pytest.mark.parametrize("average", [EMA(0.5), SWA(0.0)], ids=lambda s: type(s).__name__)
def test_what_is_frozen_stays_to_the_last_bit(average):
    assert changed(weights(net()), weights(train(combine(average, LinearProbe())))) == {"head.weight", "head.bias"}
    moved = changed(weights(net()), weights(train(combine(average, FreezeFirst(1)))))
    assert not {name for name in moved if name.startswith("stages.0")}


@pytest.mark.parametrize("average", [EMA(0.5), SWA(0.5)], ids=lambda s: type(s).__name__)
def test_a_later_phase_has_an_average_of_its_own(average):
    model = train(average)
    again = type(average)(0.5)
    twin = net()
    twin.load_state_dict(weights(model))
    assert same(weights(train(average, model)), weights(train(again, twin)))


@pytest.mark.parametrize("strategy", [EMA(0.9), SWA(0.5)], ids=lambda s: type(s).__name__)
def test_killed_in_the_middle_of_its_average_it_ends_in_the_same_weights(strategy, tmp_path):
    def broken(model):
        raise KeyboardInterrupt

    saved = Checkpoint(tmp_path / "c", every=6)
    with pytest.raises(KeyboardInterrupt):
        train(type(strategy)(0.5), checkpoint=saved, validation=Validation(broken, every=7))
    assert same(weights(train(type(strategy)(0.5), checkpoint=saved)),
                weights(train(type(strategy)(0.5))))  # fmt: skip


def test_early_stopping_ends_the_run_and_leaves_an_average():
    falling = iter([1.0, 0.9, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    model, rows = fit(net(), data(), EMA(0.5), steps=STEPS, lr=1e-2, verbose=False,
                      validation=Validation(lambda m: {"nll": next(falling)}, every=1, patience=2))  # fmt: skip
    assert len(rows) == 4 and not same(weights(model), after_each_step()[1])


# ---- dropout and stochastic depth


def test_head_dropout_hides_p_of_the_features_and_keeps_their_mean():
    model = Dropout(0.3).prepare(net())
    model.head = nn.Identity()
    Dropout(0.3).prepare(model)
    torch.manual_seed(0)
    model.stages.eval()
    batch = {"x": torch.randn(4000, 6)}
    features, seen = model.features(batch), model(batch)
    hidden = seen == 0
    assert hidden.float().mean() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(seen[~hidden], features[~hidden] / 0.7)
    assert torch.equal(model.eval()(batch), features)


def test_dropout_of_the_networks_own_layers_is_set_for_training_and_given_back():
    model, seen = net(p=0.1), []

    class Look(Strategy):
        def before_step(self, model, progress):
            seen.append((model.stages[0][3].p, len(model.head._forward_pre_hooks)))

    before = [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
    train(combine(Dropout(0.2, inside=0.4), Look()), model)
    assert set(seen) == {(0.4, 1)}
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == before
    assert not model.head._forward_pre_hooks
    assert not same(weights(model), weights(train(Dropout(0.2), net(p=0.1))))


def test_dropout_of_zero_is_none_and_every_head_gets_its_own():
    assert same(weights(train(Dropout(0.0))), weights(train(Full())))
    assert not same(weights(train(Dropout(0.5))), weights(train(Full())))
    model = combine(MultiTask(), Dropout(0.5)).prepare(net())
    assert all(len(head._forward_pre_hooks) == 1 for head in model.head.values())


def test_preparing_twice_drops_once():
    for strategy, model in ((Dropout(0.5), net()), (StochasticDepth(0.5), eye())):
        strategy.prepare(strategy.prepare(model))
        hooks = [hook for m in model.modules() for hook in m._forward_pre_hooks.values() if isinstance(hook, Drop)]
        assert len(hooks) == 1


def test_a_skipped_branch_leaves_the_input_of_its_example_as_it_was():
    model = StochasticDepth(0.4).prepare(eye()).train()
    block, x = model.stages[1], torch.randn(3000, 8, 2, 2)
    branch = block(x) - x
    torch.manual_seed(0)
    model.eval()
    whole = block(x) - x
    skipped = (branch == 0).flatten(1).all(1)
    assert skipped.float().mean() == pytest.approx(0.4, abs=0.03)
    torch.testing.assert_close(branch[~skipped], whole[~skipped] / 0.6, atol=1e-5, rtol=1e-4)


def test_deeper_branches_are_skipped_more_often_and_only_those_that_are_branches():
    task = tasks.load("digits/optical", n=20, size=32)
    model = models.load("efficientnet-lite0", task)
    found = StochasticDepth(0.2).branches(model)
    assert len(found) == 9  # blocks of Lite0 that add their input: 0 + 0 + 1 + 1 + 2 + 2 + 3 + 0 over its stages
    assert [p for _, p in found] == pytest.approx([0.2 * (i + 1) / 9 for i in range(9)])
    assert len(StochasticDepth(0.2).branches(encoder())) == 4  # attention and feed-forward of two layers
    with settings_restored(model):  # as `fit` does
        model, x = StochasticDepth(0.9).prepare(model), torch.rand(4, 1, 32, 32)
        before = weights(model)
        assert not torch.equal(model.train()({"pixels": x}), model({"pixels": x}))
    assert before.keys() == weights(model).keys()
    assert not [hook for m in model.modules() for hook in m._forward_pre_hooks.values() if isinstance(hook, Drop)]


def test_stochastic_depth_trains_and_leaves_no_hook():
    model, rows = fit(eye(), pictures(), StochasticDepth(0.3), steps=40, lr=3e-2, verbose=False)
    assert rows[-1]["loss"] < rows[0]["loss"] and not model.stages[1].drop_path._forward_pre_hooks


# ---- weight decay


def test_matrices_shrink_by_the_closed_form_and_vectors_do_not():
    """Without a gradient a step of AdamW is the decay alone: (1 − lr · λ)^T."""

    class Nothing(Strategy):
        def loss(self, model, batch):
            return {"loss": 0.0 * sum(p.sum() for p in model.parameters())}

    before, lr, rate = weights(net()), 0.1, 0.3
    after = weights(train(combine(WeightDecay(rate), Nothing()), lr=lr, steps=5))
    for name in dict(net().named_parameters()):
        shrunk = (1 - lr * rate) ** 5 if before[name].ndim > 1 else 1.0
        torch.testing.assert_close(after[name], shrunk * before[name])


def test_every_parameter_stays_in_one_group():
    model = net()
    groups = WeightDecay(0.1).groups([{"params": list(model.named_parameters()), "lr": 1.0, "weight_decay": 0.01}])
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0] and {g["lr"] for g in groups} == {1.0}
    names = [[name for name, _ in g["params"]] for g in groups]
    assert names[0] == ["stages.0.0.weight", "stages.1.0.weight", "head.weight"]
    assert sorted(names[0] + names[1]) == sorted(name for name, _ in model.named_parameters())
    none = [{"params": [], "lr": 1.0, "weight_decay": 0.0}]
    assert WeightDecay(0.1).groups(none) == []


@pytest.mark.parametrize("make", [net, eye, encoder, decoder], ids=lambda make: make.__name__)
def test_what_does_not_decay_are_the_biases_and_the_normalisations_by_name(make):
    """BatchNorm, LayerNorm and RMSNorm; embeddings, filters and matrices decay."""
    model = make()
    groups = WeightDecay(0.1).groups([{"params": list(model.named_parameters()), "lr": 1.0, "weight_decay": 0.01}])
    spared = {name for group in groups if not group["weight_decay"] for name, _ in group["params"]}
    norms = {name for name, module in model.named_modules() if "Norm" in type(module).__name__}
    every = {name for name, _ in model.named_parameters()}
    assert norms and spared == {n for n in every if n.endswith(".bias") or n.rpartition(".")[0] in norms}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EMA(1.0), r"decay must lie in \[0, 1\), but it is 1.0: 0 keeps the last weights alone"),
        (lambda: SWA(1.0), r"start is a share of the steps in \[0, 1\), but it is 1.0: 0.75 is usual"),
        (lambda: Dropout(1.0), r"head of Dropout must lie in \[0, 1\), but it is 1.0: 0 hides none"),
        (lambda: Dropout(inside=-0.1), r"inside of Dropout must lie in \[0, 1\), but it is -0.1"),
        (lambda: StochasticDepth(2), r"p of StochasticDepth must lie in \[0, 1\), but it is 2"),
        (lambda: WeightDecay(-1), "rate must not be negative, but it is -1: 0 switches weight decay off"),
        (lambda: StochasticDepth().prepare(net()), "residual branches, but none was found: take a network"),
        (lambda: combine(EMA(), SWA()), r"EMA\(decay=0.95\) and SWA\(start=0.75\) all average the weights: leave"),
        (lambda: combine(WeightDecay(), L2SP()), r"L2SP\(.*\) and WeightDecay\(rate=0.05\) all set the weight decay"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_dropout_inside_a_network_without_any_is_one_sentence():
    bare = net()
    bare.stages[0][3] = nn.Identity()
    with pytest.raises(ValueError, match="sets the network's own dropout layers, but it has none: leave"):
        Dropout(inside=0.2).prepare(bare)
