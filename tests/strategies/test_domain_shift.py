"""Corrections without training: what they claim to undo is undone exactly, and weights that are known are found."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from ftlib.strategies.domain_shift import CORAL, AdaBN, FewLabels, LabelShift, features_of, label_shift, recolour
from ftlib.strategies.full import Full
from ftlib.strategy import combine
from ftlib.training.loop import evaluate, fit
from toy import changed, data, decoder, encoder, net, same, weights

pytestmark = pytest.mark.usefixtures("one_thread")
STATISTICS = {f"stages.0.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}


def train(strategy, loaders, model=None, **more):
    return fit(model or net(), loaders, strategy, **{"steps": 0, "lr": 1e-2, "verbose": False, **more})[0]


def trained():
    return train(Full(), data(), steps=80, lr=3e-2)


def shifted(loader, scale=2.5, offset=3.0):
    """The same examples as another camera gives them: contrast and brightness changed."""
    rows = [{**row, "x": scale * row["x"] + offset} for row in loader.dataset]
    return DataLoader(rows, batch_size=loader.batch_size)


def everything(loader):
    return torch.stack([row["x"] for row in loader.dataset])


# ---- AdaBN


def test_adabn_undoes_a_change_of_scale_and_offset():
    own, other = data(), shifted(data())
    model = trained()
    before = evaluate(model, other)["accuracy"]
    train(AdaBN(), {"train": own, "target": own}, model)
    with torch.no_grad():
        want = model({"x": everything(own)})
        train(AdaBN(), {"train": own, "target": other}, model)
        got = model({"x": everything(other)})
    torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-3)  # BatchNorm adds 1e-5 to both variances
    assert evaluate(model, other)["accuracy"] > before + 0.2


def test_adabn_counts_every_example_once_and_changes_no_weight():
    target = data(n=50, seed=1, shift=2.0)  # batches of 16, 16, 16 and 2
    model = net()
    before = weights(model)
    train(AdaBN(), {"train": data(), "target": target}, model)
    assert changed(before, weights(model)) == STATISTICS
    with torch.no_grad():
        h, norm = model.stages[0][0](everything(target)), model.stages[0][1]
    torch.testing.assert_close(norm.running_mean, h.mean(0))
    within = sum(len(part) * part.var(0) for part in h.split(16)) / 50
    torch.testing.assert_close(norm.running_var, within)
    assert norm.momentum == 0.1 and not norm.training


def test_adabn_passes_over_a_batch_of_one():
    model = train(AdaBN(), {"train": data(), "target": data(n=17)})
    want = train(AdaBN(), {"train": data(), "target": data(n=17, bs=17)})
    assert model.stages[0][1].running_mean.isfinite().all()
    assert not torch.equal(model.stages[0][1].running_mean, want.stages[0][1].running_mean)


# ---- CORAL


def test_recoloured_rows_have_the_mean_and_covariance_of_the_source():
    g = torch.Generator().manual_seed(0)
    s, t = (torch.randn(50, 4, generator=g).double() @ torch.randn(4, 4, generator=g).double() + i for i in range(2))
    a, c = recolour(s, t, ridge=1e-12)
    got = t @ a + c
    torch.testing.assert_close(got.mean(0), s.mean(0))
    torch.testing.assert_close(torch.cov(got.T), torch.cov(s.T), atol=1e-6, rtol=1e-6)
    same_a, same_c = recolour(s, s, ridge=0.5)
    torch.testing.assert_close(same_a, torch.eye(4).double())
    torch.testing.assert_close(same_c, torch.zeros(4).double(), atol=1e-10, rtol=0)


def test_coral_is_folded_into_the_head():
    loaders = {"train": data(), "target": data(seed=1, shift=1.0)}
    model = trained()
    before, head = weights(model), [p.detach().clone().double() for p in model.head.parameters()]
    (s,), (t,) = features_of(model, loaders["train"]), features_of(model, loaders["target"])
    a, c = recolour(s, t, ridge=0.3)
    want = (t @ a + c) @ head[0].T + head[1]
    train(CORAL(ridge=0.3), loaders, model)
    assert changed(before, weights(model)) == {"head.weight", "head.bias"}
    with torch.no_grad():
        got = model({"x": everything(loaders["target"])})
    torch.testing.assert_close(got, want.float(), atol=1e-4, rtol=1e-4)


# ---- label shift

# P(answer | label), and joint counts of a source with shares 0.5, 0.3, 0.2 among 1,000
ANSWERS = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.1, 0.2, 0.7]])
SOURCE, TARGET = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])


def counted(n=1000):
    """(answers, labels) of the source and the answers on the target, in exactly their shares."""
    joint = (n * ANSWERS * SOURCE).round().long()
    pairs = torch.cat([torch.tensor([[a, y]]).repeat(int(joint[a, y]), 1) for a in range(3) for y in range(3)])
    return pairs[:, 0], pairs[:, 1], torch.arange(3).repeat_interleave((n * ANSWERS @ TARGET).round().long())


def test_known_weights_are_found():
    got = label_shift(*counted(), 3)
    torch.testing.assert_close(got.float(), TARGET / SOURCE)
    answers, labels, _ = counted()
    torch.testing.assert_close(label_shift(answers, labels, answers, 3), torch.ones(3).double())  # no shift


def test_a_share_is_never_negative_and_what_answers_cannot_tell_stays():
    answers, labels, _ = counted()
    assert (label_shift(answers, labels, torch.zeros(50, dtype=torch.long), 3) >= 0).all()
    blind = torch.zeros(1000, dtype=torch.long)  # always the same answer: it says nothing
    torch.testing.assert_close(label_shift(blind, labels, blind, 3), torch.ones(3).double())


def test_label_shift_adds_the_logarithm_of_the_weights_to_the_biases():
    held_out, strategy = data(n=96, seed=3, bs=32), LabelShift()
    rows = [row for row in data(n=192, seed=4).dataset if row["labels"] == 2 or row["index"] % 4 == 0]
    target = DataLoader(rows, batch_size=32)
    model = trained()
    before = weights(model)
    score = evaluate(model, target)

    def answers(loader):
        return torch.cat([model(batch).argmax(-1) for batch in loader])

    labels = torch.tensor([row["labels"] for row in held_out.dataset])
    want = label_shift(answers(held_out), labels, answers(target), 3)
    train(strategy, {"train": data(), "target": target, "held_out": held_out}, model)
    assert changed(before, weights(model)) == {"head.bias"}
    assert strategy.weights == pytest.approx(want.tolist())
    torch.testing.assert_close(model.head.bias - before["head.bias"], want.clamp(min=1e-3).log().float())
    truth = torch.tensor([row["labels"] for row in rows]).bincount(minlength=3) / len(rows)
    assert want[2] > 1 and truth[2] > labels.bincount()[2] / 96  # on the right side
    assert evaluate(model, target)["nll"] < score["nll"]


# ---- a few labels


def test_a_few_labels_are_counted_once_each_however_often_they_are_read():
    strategy = FewLabels()
    few = data(n=10, bs=4, seed=1)
    train(strategy, {"train": data(), "labelled": few}, steps=8)
    assert strategy.labels == 10 and strategy.read == list(range(10))


def test_the_few_weigh_as_their_own_mean():
    source, few = data(), data(n=4, bs=4, seed=1)
    strategy = FewLabels(weight=0.5)
    both = next(strategy.batches({"train": source, "labelled": few}))
    assert [batch["n"] for batch in both] == [{"loss": 16}, {"few": 4}]
    model = net().eval()
    for batch, weight in zip(both, (1, 0.5), strict=True):
        (value,) = strategy.loss(model, batch).values()
        torch.testing.assert_close(value, weight * F.cross_entropy(model(batch), batch["labels"], reduction="sum"))
    assert len(list(strategy.batches({"train": source, "labelled": few}))) == 4  # the few begin anew


def test_without_weight_a_few_labels_are_source_only():
    strategy = FewLabels(weight=0)
    got = train(strategy, {"train": data()}, net(p=0.3), steps=6)
    assert same(weights(got), weights(train(Full(), data(), net(p=0.3), steps=6))) and strategy.labels == 0


# ---- labels and mistakes


@pytest.mark.parametrize("make", [AdaBN, CORAL, LabelShift])
def test_no_label_of_the_target_is_read(make):
    got = [
        weights(train(make(), {"train": data(), "target": data(seed=1, shift=1.0, labels=labels)}, trained()))
        for labels in (True, False)
    ]
    assert same(*got) and not same(got[0], weights(trained()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AdaBN().prepare(encoder()), "AdaBN needs a network with BatchNorm, but this one has none"),
        (
            lambda: train(AdaBN(), data()),
            "reads the loaders train, target, but target is missing: there are train; give fit",
        ),
        (
            lambda: train(AdaBN(), {"train": data(), "target": []}),
            "two examples or more, but the target loader gave none",
        ),
        (lambda: train(CORAL(), {"train": data(), "target": []}), "nothing to measure: the loader gave no batch"),
        (lambda: train(LabelShift(), data()), "but target is missing"),
        (lambda: train(FewLabels(), data(), steps=1), "but labelled is missing"),
        (lambda: train(FewLabels(), {"train": data(), "labelled": []}, steps=1), "the loader 'labelled' gave no batch"),
        (lambda: CORAL(ridge=0), "ridge must be above 0, but it is 0"),
        (lambda: FewLabels(weight=-1), "weight must not be negative, but it is -1"),
        (lambda: LabelShift().prepare(decoder()), "LabelShift changes a linear head, but .*: use a classifier"),
        (lambda: label_shift(*[torch.tensor([0, 3])] * 3, 3), "label_shift needs answers from 0 to 2.* from 0 to 3"),
        (lambda: combine(FewLabels(), FewLabels(2.0)), "both set it"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
