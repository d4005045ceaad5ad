"""A run leaves nothing behind on the model but its result, however it ends."""

import copy

import pytest
from torch import nn

from ftlib import strategies
from ftlib.strategies.freezing import GradualUnfreezing
from ftlib.strategies.full import L2SP, FromScratch, Full, LinearProbe
from ftlib.strategies.regularisation import Dropout
from ftlib.strategy import combine
from ftlib.training.loop import fit
from ftlib.training.restore import settings_restored
from ftlib.training.validation import Validation
from test_contract import GRADIENTS, NAMES, SEVERAL, loaders, make, toy
from toy import changed, data, encoder, net, same, sentences, weights

ENDS = ["last step", "early stop", "Ctrl-C", "error"]


def settings(model, names):
    """Who learns, and every flag, number and hook of the modules called `names`."""
    modules = {name: m for name, m in model.named_modules() if name in names}
    plain = {
        (name, k): v if isinstance(v, bool | int | float | str | type(None)) else len(v)
        for name, m in modules.items()
        for k, v in vars(m).items()
        if isinstance(v, bool | int | float | str | type(None)) or "hooks" in k
    }
    own = {k for k, _ in model.named_parameters() if k.rpartition(".")[0] in names}
    return {k: v for k, v in plain.items() if k[1] != "training"}, {
        k: (p.requires_grad, p.grad is None) for k, p in model.named_parameters() if k in own
    }


def end(model, strategy, how, given, seed=0):
    """Run `fit` to one of ENDS."""
    seen = []

    def validate(model):
        seen.append(1)
        if how == "Ctrl-C" and len(seen) == 3:
            raise KeyboardInterrupt
        if how == "error" and len(seen) == 3:
            raise RuntimeError("planted")
        return {"nll": float(len(seen))}

    watched = Validation(validate, every=1, patience=2 if how == "early stop" else 0)
    try:
        fit(model, given, strategy, steps=6, lr=1e-2, validation=watched, verbose=False, seed=seed)
    except (KeyboardInterrupt, RuntimeError) as error:
        assert how in ("Ctrl-C", "error") and len(error.history) == 3 and error.history[-1]["loss"] > 0
    else:
        assert how in ("last step", "early stop")


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_settings_are_those_of_before(name, how):
    """An injection moves a module into another one: what is left in its place is compared."""
    model = toy(name, p=0.2)
    names = {n for n, m in model.named_modules()}
    before, moved = settings(model, names), dict(model.named_modules())
    end(model, make(name), how, loaders(name, shuffle=True))
    stayed = {n for n, m in model.named_modules() if moved.get(n) is m}
    assert not any(m.training for m in model.modules())
    plain, own = settings(model, stayed)
    modules = dict(model.named_modules())
    was = {k: v for k, v in before[0].items() if k[0] in stayed and k[1] not in modules[k[0]]._modules}
    assert plain == was  # but for None where the run has put in a module
    assert own == {k: v for k, v in before[1].items() if k in own}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("LoRA", "IA3", "Adapter", "Prompt", "Prefix")])
def test_the_next_run_is_that_of_a_model_that_never_had_the_first(name, how):
    """The same weights in a fresh model: the second run ends in the same place, whatever the first one did."""
    model = toy(name, p=0.2)
    end(model, make(name), how, loaders(name, shuffle=True))
    fresh = toy(name, p=0.2)
    # Networks that DANN and MCD train beside it, and several heads, are part of the result.
    for extra in ("domain", "second", *(["head"] if name in SEVERAL | GRADIENTS else [])):
        if hasattr(model, extra):
            setattr(fresh, extra, copy.deepcopy(getattr(model, extra)))
    fresh.load_state_dict(model.state_dict())
    ends = [weights(fit(m, loaders(name), Full(), steps=3, lr=1e-2, verbose=False)[0]) for m in (model, fresh)]
    assert same(*ends)


@pytest.mark.parametrize("name", ["LinearProbe", "FreezeFirst", "TuneOnly", "BiasOnly", "NormOnly", "LoRA", "IA3",
                                  "Adapter", "Prompt", "Prefix"])  # fmt: skip
def test_what_a_run_froze_only_that_run_froze(name):
    model = toy(name)
    model = fit(model, loaders(name), make(name), steps=2, lr=1e-2, verbose=False)[0]
    before = weights(model)
    after = weights(fit(model, loaders(name), Full(), steps=2, lr=1e-2, verbose=False)[0])
    learned = {n for n, _ in model.named_parameters()}
    assert learned - changed(before, after) == set()


def test_what_the_user_froze_stays_frozen():
    model = net()
    model.stages[0].requires_grad_(False)
    before = weights(model)
    after = weights(fit(model, data(), Full(), steps=2, lr=1e-2, verbose=False)[0])
    assert "stages.0.0.weight" not in changed(before, after) and "stages.1.0.weight" in changed(before, after)
    assert not model.stages[0][0].weight.requires_grad


def test_every_stage_wakes_after_an_interrupted_gradual_unfreezing():
    model, strategy = net(), GradualUnfreezing(0.5)
    end(model, strategy, "Ctrl-C", data())
    before = weights(model)
    after = weights(fit(model, data(), strategy, steps=8, lr=1e-2, verbose=False)[0])
    assert {"stages.0.0.weight", "stages.1.0.weight", "head.weight"} <= changed(before, after)


def test_dropout_inside_is_the_models_own_again_after_ctrl_c():
    model = encoder()
    own = [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
    end(model, Dropout(0.4, inside=0.5), "Ctrl-C", sentences())
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == own and own[0] != 0.5
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_gradient_that_was_left_over_is_no_part_of_the_first_step():
    ends = []
    for left_over in (False, True):
        model = net()
        if left_over:
            sum(p.sum() for p in model.parameters()).backward()
        ends.append(weights(fit(model, data(), Full(), steps=1, lr=1e-2, verbose=False)[0]))
    assert same(*ends)


def test_the_users_own_hooks_stay():
    model, seen = net(), []
    model.head.register_forward_hook(lambda *_: seen.append(1))
    fit(model, data(), Dropout(0.5), steps=2, lr=1e-2, verbose=False)
    count = len(seen)
    model(next(iter(data())))
    assert len(seen) == count + 1 and not model.head._forward_pre_hooks


# ---- one strategy, several models
@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_that_meets_another_model_begins_anew(name):
    """A loop over seeds with one object gives what fresh objects give; the models start from other weights each."""
    shared, ends = make(name), {"shared": [], "fresh": []}
    for start in (7, 8, 9):
        for kind in ends:
            strategy = shared if kind == "shared" else make(name)
            model = toy(name, start=start)
            model, rows = fit(model, loaders(name), strategy, steps=3, lr=1e-2, verbose=False)
            ends[kind].append((weights(model), [row["penalty"] for row in rows], strategy.state_dict()))
    for (a, penalty, state), (b, other, fresh) in zip(ends["shared"], ends["fresh"], strict=True):
        assert same(a, b) and penalty == other and repr(state) == repr(fresh)


def test_from_scratch_draws_each_model_anew():
    strategy = FromScratch()
    for start in (3, 4, 5):
        model = net(start)
        before = weights(model)
        fit(model, data(), strategy, steps=0, lr=0.0, verbose=False, seed=start + 10)
        assert "stages.0.0.weight" in changed(before, weights(model))
    drawn = weights(model)
    fit(model, data(), strategy, steps=0, lr=0.0, verbose=False)  # the same model goes on
    assert same(drawn, weights(model))


def test_l2sp_pulls_each_model_to_its_own_start():
    strategy = combine(L2SP(alpha=1.0, beta=0.0))
    for start in (3, 4):
        _, rows = fit(net(start), data(), strategy, steps=1, lr=0.0, verbose=False)
        assert rows[0]["penalty"] == 0


def test_errors_before_the_first_step_carry_an_empty_history():
    with pytest.raises(ValueError, match="AdaBN needs a network with BatchNorm") as caught:
        fit(net(bn=False), {"train": data(), "target": data()}, strategies.get("AdaBN")(), steps=1, lr=1e-2)
    assert caught.value.history == []


def test_modules_that_were_put_in_stay_and_settings_of_others_come_back():
    model = net()
    with pytest.raises(KeyboardInterrupt), settings_restored(model):
        model.extra = nn.Linear(2, 2)
        model.stages[0][1].momentum = None
        model.head.requires_grad_(False)
        model.stages[0][3].p = 0.9
        raise KeyboardInterrupt
    assert isinstance(model.extra, nn.Linear) and model.stages[0][1].momentum == 0.1
    assert model.head.weight.requires_grad and model.stages[0][3].p == 0.0


def test_probe_then_full_is_written_down_in_the_history():
    model = net()
    _, probe = fit(model, data(), LinearProbe(), steps=1, lr=1e-2, verbose=False)
    _, full = fit(model, data(), Full(), steps=1, lr=1e-2, verbose=False)
    assert probe[0]["trainable"] == 16 * 3 + 3 and full[0]["trainable"] == sum(p.numel() for p in model.parameters())
