"""What every strategy of the catalogue promises, whatever it does."""

import copy
import itertools
import json
import re

import pytest
import torch

from ftlib import strategies
from ftlib.strategy import ROLES, combine, to_json
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.loop import evaluate, fit
from ftlib.training.validation import Validation
from toy import Asked, changed, data, encoder, eye, net, pictures, same, sentences, weights

NAMES = list(strategies.CATALOG)
# What changes, as a pattern of names in the state dict; a strategy that is not here changes everything.
CHANGES = {
    "LinearProbe": r"head",
    "FreezeFirst": r"stages\.1|head",
    "TuneOnly": r"stages\.0|head",
    "BiasOnly": r"head|.*\.bias",
    "NormOnly": r"head|stages\.0\.1\.",
    "LoRA": r"head|.*\.lora_",
    "IA3": r"head|.*\.ia3_",
    "Adapter": r"head|.*\.(down|up)\.",
    "Prompt": r"head|soft_prompt",
    "Prefix": r"head|soft_prompt",
    "NearestClassMean": r"head",
}
COUNTS = {"NearestClassMean"}  # draws nothing, so every seed gives the same
# What reads more than source examples: a target's without labels, a few with labels, held-out ones of the source.
ALIGNED = {"DeepCORAL", "MMD", "DANN", "CDAN", "MCD", "EntropyMin", "MCC", "PseudoLabels"}
ADAPTS = ALIGNED | {"AdaBN", "CORAL", "LabelShift", "FewLabels", "DomainGauge"}
# Strategies that do not start at the pretrained function, on purpose.
STARTS_ELSEWHERE = {"FromScratch", "Prompt", "Prefix"}
INJECTIONS = {"LoRA", "IA3", "Adapter", "Prompt", "Prefix"}
SEVERAL = {"MultiTask", "UncertaintyWeighting"}  # several heads
GRADIENTS = {"TaskGradients", "PCGrad", "CAGrad", "UPGrad", "GradNorm", "DWA"}  # which only several heads have
KNOBS = {"LoRA": {"r": 4}}  # where the defaults are too large for a toy
KNOBS |= {name: {"tasks": {"toy": 3, "toy@high": 2}} for name in SEVERAL}
READERS = {name for name in NAMES if strategies.get(name).reads == "texts"}
LOOKERS = {name for name in NAMES if strategies.get(name).reads == "pictures"} | {"StochasticDepth"}  # needs branches


def part(name):
    return strategies.get(name)(**KNOBS.get(name, {}))


def beside(*names):
    """What must come with them: several tasks, where their gradients are combined."""
    return [part("MultiTask")] if GRADIENTS & set(names) and not SEVERAL & set(names) else []


def make(name):
    """The strategy, and what it can't do without."""
    return combine(part(name), *beside(name)) if beside(name) else part(name)


def toy(*names, start=7, **knobs):
    """A small model, drawn from another seed than `fit` takes: else weights drawn anew would be the old ones."""
    if READERS & set(names):
        return encoder(start)
    return eye(start, **knobs) if LOOKERS & set(names) else net(start, **knobs)


def examples(*names, **knobs):
    of = sentences if READERS & set(names) else pictures if LOOKERS & set(names) else data
    return Asked(of(**knobs)) if (SEVERAL | GRADIENTS) & set(names) else of(**knobs)


def test_the_catalogue_is_not_empty_and_every_name_is_in_its_file():
    assert len(NAMES) >= 5
    for name in NAMES:
        assert strategies.get(name).__module__ == f"ftlib.strategies.{strategies.CATALOG[name]}"


def loaders(*names, **knobs):
    """What `fit` gets: for domain adaptation a target beside the source, the same problem from other examples."""
    own = {"train": examples(*names, **knobs)}
    if ADAPTS & set(names):
        own["target"] = Unlabelled(examples(*names, **knobs, seed=1))
        own |= {"labelled": examples(*names, seed=2), "held_out": examples(*names, seed=3)}
    return own


class Unlabelled:
    """A loader whose batches hold no label."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return ({k: v for k, v in batch.items() if k != "labels"} for batch in self.loader)


def train(name, model=None, seed=0, **more):
    model = model or toy(name, p=0.2)
    more = {"steps": 12, "lr": 1e-2, "seed": seed, "verbose": False, **more}
    return fit(model, loaders(name, shuffle=True), make(name), **more)[0]


@pytest.mark.parametrize("name", NAMES)
class TestEveryStrategy:
    def test_learns_a_tiny_problem(self, name):
        model, rows = fit(toy(name), loaders(name), make(name), steps=150, lr=3e-2, verbose=False)
        assert rows[-1]["loss"] < 0.8 * rows[0]["loss"] and evaluate(model, examples(name))["accuracy"] > 0.6

    def test_changes_only_what_it_claims(self, name):
        model = make(name).prepare(toy(name, p=0.2))  # before training: what it injects has its names
        before = weights(model)
        after = weights(train(name, model))
        assert changed(before, after) == {k for k in before if re.match(CHANGES.get(name, ""), k)}

    def test_starts_at_the_pretrained_function(self, name):
        model, batch = toy(name).eval(), next(iter(examples(name)))
        before = model(batch)
        after = make(name).prepare(model).eval()(batch)
        assert torch.equal(before, after) != (name in STARTS_ELSEWHERE)

    def test_preparing_twice_is_preparing_once(self, name):
        strategy = make(name)
        model = strategy.prepare(toy(name))
        once, flags = weights(model), [p.requires_grad for p in model.parameters()]
        model = strategy.prepare(model)
        assert same(once, weights(model)) and flags == [p.requires_grad for p in model.parameters()]

    def test_repeats_from_its_seed_and_differs_with_another(self, name):
        assert same(weights(train(name)), weights(train(name)))
        assert same(weights(train(name)), weights(train(name, seed=1))) == (name in COUNTS)

    def test_a_killed_run_ends_in_the_same_weights(self, name, tmp_path):
        def broken(model):
            raise KeyboardInterrupt

        saved = Checkpoint(tmp_path / "c", every=4)
        with pytest.raises(KeyboardInterrupt):
            train(name, checkpoint=saved, validation=Validation(broken, every=10))
        assert same(weights(train(name, checkpoint=saved)), weights(train(name)))

    def test_its_knobs_are_plain_json_and_its_state_is_not_a_knob(self, name):
        strategy = make(name)
        assert strategy.role in ROLES
        again = strategies.build(json.loads(json.dumps(to_json(strategy))))
        assert again == strategy
        fit(toy(name), loaders(name), strategy, steps=1, lr=1e-2, verbose=False)
        assert to_json(strategy) == to_json(again)

    def test_its_state_survives_a_file(self, name, tmp_path):
        strategy = make(name)
        fit(toy(name), loaders(name), strategy, steps=2, lr=1e-2, verbose=False)
        torch.save(strategy.state_dict(), tmp_path / "s")
        state = torch.load(tmp_path / "s", weights_only=True)
        fresh = make(name)
        fresh.load_state_dict(state)
        torch.testing.assert_close(fresh.state_dict(), strategy.state_dict())

    def test_is_documented(self, name):
        assert len(strategies.get(name).__doc__ or "") > 40


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(NAMES, 2)))
def test_any_two_combine_the_same_both_ways_or_refuse(a, b):
    one, two, more = part(a), part(b), beside(a, b)
    try:
        pair = combine(copy.deepcopy(one), copy.deepcopy(two))
    except ValueError as error:
        assert repr(one) in str(error) and repr(two) in str(error)
        return

    def trained(whole):
        return weights(fit(toy(a, b), loaders(a, b), whole, steps=3, lr=1e-2, verbose=False)[0])

    if more:
        with pytest.raises(ValueError, match="combine it with MultiTask"):
            trained(pair)
        try:
            pair = combine(pair, *copy.deepcopy(more))
        except ValueError:
            return  # the other one can't be combined with several tasks
    if "AdaBN" in (a, b) and READERS & {a, b}:
        with pytest.raises(ValueError, match="AdaBN needs a network with BatchNorm"):
            trained(pair)
        return
    assert same(trained(pair), trained(combine(*copy.deepcopy(more), copy.deepcopy(two), copy.deepcopy(one))))
