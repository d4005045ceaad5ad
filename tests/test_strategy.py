"""The ten slots, their merge rules, and combinations that do not depend on the order they are written in."""

import copy
import json
import re

import pytest
import torch

from ftlib import strategies
from ftlib.strategies.freezing import FreezeFirst
from ftlib.strategies.full import L2SP, FromScratch, Full, LayerRates, LinearProbe
from ftlib.strategy import MERGE, Combined, Strategy, combine, count_targets, target_loss, to_json
from ftlib.training.loop import fit
from toy import (
    AGEM,
    DANN,
    EWC,
    Cosine,
    Freeze,
    LoRA,
    Mixup,
    MultiTask,
    NoDecay,
    Noise,
    PCGrad,
    data,
    net,
    same,
    weights,
)

PAIRS = [
    (LoRA(), Freeze()),
    (Mixup(), Noise()),
    (LayerRates(), NoDecay()),
    (LoRA(), Cosine(0.1)),
    (Freeze(), EWC()),
    (L2SP(), FromScratch()),
    (DANN(), LoRA()),
    (LinearProbe(), MultiTask()),
]


def test_there_are_ten_slots_and_a_merge_rule_for_each():
    others = {"role", "reads", "exclusive", "idle", "needs", "may_use", "finishes"}
    others |= {"begin", "state_dict", "load_state_dict"}
    public = {n for n in vars(Strategy) if not n.startswith("_")} - others
    assert public == set(MERGE) == {n for n in vars(Combined) if n in MERGE}
    assert len(MERGE) == 10


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda s: type(s).__name__)
def test_both_orders_give_identical_weights(a, b):
    loaders = {k: data(seed=i) for i, k in enumerate(("train", "source", "a", "b"))} | {"target": data(shift=1.0)}
    one, two = (
        fit(net(), loaders, combine(*copy.deepcopy(pair)), steps=5, lr=1e-2, verbose=False)[0]
        for pair in ((a, b), (b, a))
    )
    assert same(weights(one), weights(two))
    assert repr(combine(a, b)) == repr(combine(b, a)) and repr(a) in repr(combine(a, b))


def test_freezing_and_injection_in_any_order_leave_what_was_made_trainable():
    lora = {f"stages.{i}.0.{x}" for i in (0, 1) for x in "AB"}
    for parts in ((Freeze(), LoRA()), (LoRA(), Freeze()), (combine(LoRA()), combine(Freeze()))):
        model = combine(*parts).prepare(net())
        assert {n for n, p in model.named_parameters() if p.requires_grad} == {"head.weight", "head.bias", *lora}
    model = combine(Freeze(["stages", "head"]), MultiTask()).prepare(net())
    assert all(p.requires_grad for p in model.head.parameters())


def test_two_owners_of_a_slot_are_an_error_that_names_both():
    both = "lr_scale() can have one owner, but Cosine(warmup=0.0) and Cosine(warmup=0.1) both"
    with pytest.raises(ValueError, match=re.escape(both)):
        combine(Cosine(), combine(Cosine(0.1), LoRA()))
    with pytest.raises(ValueError, match=r"gradient.*AGEM.*PCGrad"):
        combine(PCGrad(), AGEM())


def test_strategies_survive_json():
    whole = combine(L2SP(0.3), FreezeFirst(1), LayerRates(0.5))
    again = strategies.build(json.loads(json.dumps(to_json(whole))))
    assert again == whole and repr(again) == repr(whole)
    assert strategies.build([{"Full": {}}]) == Full() and strategies.build([]) == combine()


def test_unknown_strategies_and_knobs_are_one_sentence():
    with pytest.raises(KeyError, match=r"no strategy is called 'Fulll': did you mean Full\?"):
        strategies.build([{"Fulll": {}}])
    with pytest.raises(TypeError, match=r"L2SP does not take these knobs, \{'gamma': 1\}"):
        strategies.build([{"L2SP": {"gamma": 1}}])


def test_a_copy_shares_no_state():
    whole = combine(EWC(), Cosine())
    twin = copy.deepcopy(whole)
    fit(net(), data(), whole, steps=1, lr=1e-2, verbose=False)
    assert whole.state_dict()["1"]["anchors"] and not twin.state_dict()["1"]["anchors"]


def test_the_loss_follows_from_the_labels_and_is_a_sum():
    logits = torch.randn(4, 3)
    hard, soft = (torch.tensor([0, 2, 1, -100]), torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0.5, 0.5]]))
    by_hand = -logits.log_softmax(-1)[[0, 1, 2], [0, 2, 1]]
    torch.testing.assert_close(target_loss(logits, hard), by_hand.sum())
    tokens = torch.tensor([[-100, 0], [2, -100], [1, -100], [-100, -100]])  # (B, T)
    torch.testing.assert_close(target_loss(logits[:, None].repeat(1, 2, 1), tokens), by_hand.sum())  # (B, T, V)
    torch.testing.assert_close(target_loss(logits[:3], tokens), by_hand.sum())  # (M, V)
    torch.testing.assert_close(target_loss(logits, soft), -(soft * logits.log_softmax(-1)).sum())
    torch.testing.assert_close(target_loss(logits[:, :1], torch.ones(4)), ((logits[:, 0] - 1) ** 2).sum())
    assert (count_targets(hard), count_targets(soft), count_targets(torch.ones(4))) == (3, 4, 4)


def test_the_loss_of_tokens_is_exact_over_a_large_vocabulary():
    """Not so where the classes are not the last dimension: there torch adds up 49,152 numbers one after the other."""
    logits = 4 * torch.randn(2, 3, 49_152, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[7, -100, 3], [-100, 5, 1]])
    want = torch.nn.functional.cross_entropy(logits.double().flatten(0, 1), labels.flatten(), reduction="sum").item()
    assert target_loss(logits, labels).item() == pytest.approx(want, rel=1e-6)
    assert target_loss(logits[labels != -100], labels).item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_outside_its_range_is_one_sentence(label):
    with pytest.raises(
        ValueError, match=r"labels must lie in 0\.\.2, .* these reach from .*: load the model with the task"
    ):
        target_loss(torch.randn(2, 3), torch.tensor([0, label]))
