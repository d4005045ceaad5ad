"""Rehearsal: the buffer against its probabilities, each step against what it must hold, and naive training."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from ftlib import strategies
from ftlib.strategies.full import Full
from ftlib.strategies.rehearsal import AGEM, DERpp, Replay, project, stacked
from ftlib.strategy import IGNORED, combine
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.loop import evaluate, fit
from ftlib.training.validation import Validation
from toy import data, decoder, encoder, net, pictures, same, sentences, weights

MEMORIES = ["Replay", "AGEM", "DERpp"]
SHOWN = {"size": 96, "batch_size": 16}  # all examples of the toy


def train(model, loader, strategy, **more):
    return fit(model, loader, strategy, **{"steps": 6, "lr": 1e-2, "verbose": False, **more})


def numbered(labels):
    """Rows whose only content is their number, with these labels."""
    return [{"index": torch.tensor(i), "labels": torch.tensor(y)} for i, y in enumerate(labels)]


def filled(strategy, rows, seed=0):
    g = torch.Generator().manual_seed(seed)
    for row in rows:
        strategy.offer(row, g)
    return [int(row["index"]) for row in strategy.rows]


# ---- the buffer


def test_the_reservoir_keeps_each_example_with_the_same_probability():
    n, size, repeats = 20, 5, 2000
    found = Counter(i for seed in range(repeats) for i in filled(Replay(size=size), numbered([0] * n), seed))
    # Each count is binomial with p = size / n: mean 500, deviation 19. Four deviations, as there are twenty of them.
    assert len(found) == n and max(abs(k - repeats * size / n) for k in found.values()) < 4 * 19.4


def test_the_reservoir_takes_every_task_alike():
    """The first of two tasks keeps half of the places, and not those that the second one leaves."""
    shares = []
    for seed in range(300):
        kept = filled(Replay(size=10), numbered([0] * 100), seed)
        shares.append(sum(i < 50 for i in kept) / 10)
    assert sum(shares) / 300 == pytest.approx(0.5, abs=4 * 0.15 / 300**0.5)  # the deviation of a share is 0.15


@pytest.mark.parametrize("order", ["mixed", "rare last", "rare first"])
def test_a_balanced_buffer_holds_as_many_of_each_class_as_there_are(order):
    labels = [0] * 60 + [1] * 60 + [2] * 4
    if order == "mixed":
        labels = [labels[i] for i in torch.randperm(len(labels)).tolist()]
    labels = labels[::-1] if order == "rare first" else labels
    rows = numbered(labels)
    held = Counter(labels[i] for i in filled(Replay(size=24, keep="balanced"), rows))
    assert held == {0: 10, 1: 10, 2: 4}
    assert Counter(labels[i] for i in filled(Replay(size=24), rows))[2] <= 3  # the reservoir: 4 · 24 / 124 on average


def test_within_a_class_a_balanced_buffer_is_a_reservoir():
    repeats, labels = 1500, [0, 1] * 10
    found = Counter(
        i for seed in range(repeats) for i in filled(Replay(size=8, keep="balanced"), numbered(labels), seed)
    )
    assert len(found) == len(labels)  # none is never kept
    # Classes differ by at most one place. p = 0.4, deviation 19.
    assert max(abs(k - repeats * 0.4) for k in found.values()) < 4 * 19 + 20


@pytest.mark.parametrize("keep", ["reservoir", "balanced"])
def test_each_example_of_a_task_is_offered_once_however_often_it_was_trained_on(keep):
    strategy, model = Replay(size=100, keep=keep), net()
    train(model, data(n=32, seed=1), strategy, steps=9)  # four and a half passes
    assert strategy.seen == len(strategy.rows) == 32
    train(model, data(n=32, seed=2), strategy)
    rows = strategy.rows
    assert len(rows) == 64 and len({tuple(row["x"].tolist()) for row in rows}) == 64
    assert strategy.bytes == 64 * (6 * 4 + 8 + 8)  # six float32 and two int64 each


def test_the_buffer_takes_training_examples_only():
    strategy = Replay()
    train(net(), {"train": data(n=32), "validation": data(n=32, seed=1), "test": data(n=32, seed=2)}, strategy)
    known = {tuple(x.tolist()) for batch in data(n=32) for x in batch["x"]}
    assert {tuple(row["x"].tolist()) for row in strategy.rows} == known


def test_the_buffer_depends_on_the_seed_of_the_run():
    def kept(seed):
        strategy = Replay(size=8)
        train(net(), data(), strategy, seed=seed)
        return [int(row["index"]) for row in strategy.rows]

    assert kept(0) == kept(0) != kept(1)


def test_texts_are_padded_to_the_longest_and_their_pads_are_not_counted():
    short = {"input_ids": torch.tensor([5, 6]), "attention_mask": torch.tensor([1, 1]), "labels": torch.tensor([6, 7])}
    long = {k: torch.cat([v, v]) for k, v in short.items()}
    batch = stacked([short, long])
    assert batch["input_ids"].tolist() == [[5, 6, 0, 0], [5, 6, 5, 6]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[6, 7, IGNORED, IGNORED], [6, 7, 6, 7]]


def test_texts_of_two_tasks_are_trained_together():
    strategy, model = Replay(size=20, batch_size=8), encoder()
    train(model, sentences(), strategy, steps=2)
    mixed = next(strategy.batches({"train": sentences(seed=1)}))
    assert mixed["input_ids"].shape == mixed["attention_mask"].shape == (24, 8)
    train(model, sentences(seed=1), strategy, steps=2)


def test_inputs_of_two_sizes_are_one_sentence():
    strategy = Replay()
    strategy.finish(net(), {"train": pictures(size=8)})
    with pytest.raises(
        ValueError, match=r"'pixels' has the shapes \[\(1, 8, 8\), \(1, 16, 16\)\]: load all tasks with"
    ):
        next(strategy.batches({"train": pictures(size=16)}))


# ---- replay


def test_replay_trains_on_old_and_new_examples_in_one_mean():
    strategy, old, new = Replay(size=20, batch_size=8), data(n=20, seed=1), data(seed=2)
    model = net(bn=False)
    train(model, old, strategy)
    first = next(iter(new))
    mixed = next(strategy.batches({"train": new}))
    assert torch.equal(mixed["x"][:16], first["x"]) and torch.equal(mixed["labels"][:16], first["labels"])
    stored = {tuple(row["x"].tolist()): int(row["labels"]) for row in strategy.rows}
    remembered = [tuple(x) for x in mixed["x"][16:].tolist()]
    assert len(set(remembered)) == 8 and [stored[x] for x in remembered] == mixed["labels"][16:].tolist()
    torch.manual_seed(0)
    one = next(strategy.batches({"train": new}))  # fit draws with its seed, 0
    want = torch.nn.functional.cross_entropy(model(one), one["labels"]).item()
    _, rows = train(model, new, strategy, steps=1, lr=0.0)
    assert rows[0]["loss"] == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.parametrize("empty", [{"size": 0}, {"batch_size": 0}])
def test_without_remembered_examples_it_is_naive_to_the_last_bit(name, empty):
    def after(strategy):
        model = net(p=0.2)
        for task in (0, 1):
            train(model, data(seed=task, shift=task, shuffle=True), strategy)
        return weights(model)

    assert same(after(strategies.get(name)(**empty)), after(Full()))


def one_of_two(side, n=96, seed=0):
    """Input 0 says which task it is. The class of the first is the sign of input 1, that of the second of input 2."""
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    x[:, 0] = 1.0 if side == 1 else -1.0
    y = (x[:, side] > 0).long()
    return DataLoader([{"x": x[i], "labels": y[i], "index": i} for i in range(n)], batch_size=16, shuffle=True)


def skills(strategy):
    """Accuracy on fresh examples of two tasks, after the first and then the second was learned."""
    model = net(bn=False)
    for side in (1, 2):
        train(model, one_of_two(side), strategy, steps=150)
    return [evaluate(model, one_of_two(side, seed=7))["accuracy"] for side in (1, 2)]


@pytest.mark.parametrize("name", ["Replay", "DERpp"])
def test_naive_training_forgets_and_this_does_not(name):
    (old, new), (kept, learned) = skills(Full()), skills(strategies.get(name)(**SHOWN))
    assert old < 0.6 and min(new, learned) > 0.85 and kept > 0.8


@pytest.mark.parametrize("name", MEMORIES)
def test_a_killed_second_task_ends_in_the_same_weights(name, tmp_path):
    def run(**more):
        model, strategy = net(p=0.2), strategies.get(name)(size=20, batch_size=8)
        train(model, data(seed=1, shuffle=True), strategy)
        train(model, data(seed=2, shuffle=True), strategy, steps=12, **more)
        return weights(model)

    def broken(model):
        raise KeyboardInterrupt

    saved = Checkpoint(tmp_path / "c", every=5)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=saved, validation=Validation(broken, every=7))
    assert same(run(checkpoint=saved), run())


@pytest.mark.parametrize("name", MEMORIES)
def test_a_fresh_object_goes_on_with_the_state_as_phases_of_a_spec_do(name):
    model, again = net(bn=False), net(bn=False)
    strategy, first = (strategies.get(name)(size=20, batch_size=8) for _ in range(2))
    train(model, data(seed=1), strategy)
    train(again, data(seed=1), first)
    second = strategies.get(name)(size=20, batch_size=8)
    second.load_state_dict(first.state_dict())
    train(model, data(seed=2), strategy)
    train(again, data(seed=2), second)
    assert same(weights(model), weights(again)) and not same(weights(model), weights(after_two(Full())))


def after_two(strategy):
    model = net(bn=False)
    for seed in (1, 2):
        train(model, data(seed=seed), strategy)
    return model


# ---- A-GEM


def test_agem_projects_only_what_would_raise_the_old_loss():
    g = {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor([-3.0])}
    against = {"w": torch.tensor([-2.0, 0.0]), "b": torch.tensor([1.0])}
    dot, length = -2.0 - 3.0, 4.0 + 1.0
    got = project(g, against)
    torch.testing.assert_close(got["w"], torch.tensor([1.0 - dot / length * -2.0, 2.0]))
    torch.testing.assert_close(got["b"], torch.tensor([-3.0 - dot / length * 1.0]))
    assert sum((got[k] * against[k]).sum() for k in got).item() == pytest.approx(0.0, abs=1e-6)  # over all weights
    along = {k: -v for k, v in against.items()}
    assert project(g, along) is g
    nothing = {k: torch.zeros_like(v) for k, v in g.items()}
    assert project(g, nothing) is g


def test_in_fit_no_step_of_agem_goes_against_the_remembered_examples():
    strategy, model, seen = AGEM(size=96, batch_size=96), net(bn=False), []
    train(model, one_of_two(1), strategy, steps=30)
    gradient = strategy.gradient

    def watched(grads, losses):
        out = gradient(grads, losses)
        before, after = (sum((g[k] * grads["memory"][k]).sum() for k in g).item() for g in (grads["loss"], out))
        scale = sum(r.square().sum() for r in grads["memory"].values()).item()
        seen.append((before, after, scale))
        return out

    strategy.gradient = watched
    try:
        _, rows = train(model, one_of_two(2), strategy, steps=20)
        train(model, one_of_two(1, seed=5), strategy, steps=10)  # an old task again: here the gradients agree
    finally:
        del strategy.gradient
    assert sorted(rows[0]["terms"]) == ["loss", "memory"]
    assert any(before < 0 for before, _, _ in seen) and any(before > 0 for before, _, _ in seen)
    assert all(after == before if before >= 0 else abs(after) < 1e-5 * (1 + scale) for before, after, scale in seen)


def test_agem_does_not_train_on_what_it_remembers():
    """Where the gradients agree, the step is that of naive training."""
    ours, naive = net(bn=False), net(bn=False)
    strategy = AGEM(size=64, batch_size=64)
    strategy.finish(ours, {"train": data(seed=1)})
    strategy.begin(ours)
    train(ours, data(seed=1), strategy, steps=1)  # old and new are the same examples
    train(naive, data(seed=1), Full(), steps=1)
    assert same(weights(ours), weights(naive))


# ---- DER++


def second_step(strategy, model, new):
    """(the batches of the first step of a second task, its terms)."""
    torch.manual_seed(0)
    batches = next(strategy.batches({"train": new}))  # fit draws with its seed, 0
    with torch.no_grad():
        logits = [model(batch) for batch in batches]
    _, rows = train(model, new, strategy, steps=1, lr=0.0)
    return batches, logits, rows[0]["terms"]


def test_the_two_terms_of_derpp():
    strategy, model = DERpp(size=40, batch_size=8, alpha=0.3, beta=0.7), net(bn=False)
    train(model, data(seed=1), strategy)
    train(model, data(seed=2), Full(), steps=20)  # so that logits are no longer those that were stored
    (new, dark, old), (f_new, f_dark, f_old), terms = second_step(strategy, model, data(seed=3))
    assert dark["n"] == {"logits": 8} and old["n"] == {"labels": 8}
    assert {*dark["index"].tolist()} != {*old["index"].tolist()}  # drawn apart, as in the paper
    assert terms["loss"] == pytest.approx(F.cross_entropy(f_new, new["labels"]).item(), rel=1e-5)
    assert terms["logits"] == pytest.approx(0.3 * (f_dark - dark["logits"]).square().mean().item(), rel=1e-5)
    assert terms["labels"] == pytest.approx(0.7 * F.cross_entropy(f_old, old["labels"]).item(), rel=1e-5)
    assert min(terms.values()) > 1e-3


def test_the_stored_logits_are_those_at_the_end_of_their_task_and_stay():
    strategy, model = DERpp(size=100), net(p=0.5)
    train(model, data(n=32, seed=1), strategy)
    first = {int(row["index"]): row["logits"] for row in strategy.rows}
    with torch.no_grad():
        for row in strategy.rows:
            torch.testing.assert_close(row["logits"], model({"x": row["x"][None]})[0])
    train(model, data(n=32, seed=2), strategy)
    assert all(torch.equal(row["logits"], first[int(row["index"])]) for row in strategy.rows[:32])
    assert len(strategy.rows) == 64 and all(row["logits"].shape == (3,) for row in strategy.rows)


@pytest.mark.parametrize(("knobs", "terms"), [
    ({"alpha": 0.0}, ["labels", "loss"]), ({"beta": 0.0}, ["logits", "loss"]), ({"alpha": 0.0, "beta": 0.0}, ["loss"]),
])  # fmt: skip
def test_a_weight_of_zero_leaves_its_term_out(knobs, terms):
    strategy, model = DERpp(**knobs), net()
    train(model, data(seed=1), strategy)
    assert sorted(train(model, data(seed=2), strategy)[1][0]["terms"]) == terms
    if terms == ["loss"]:
        assert same(weights(after_two(DERpp(**knobs))), weights(after_two(Full())))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Replay(size=-1), "size and batch_size must not be negative, but they are -1 and 32: 0 of either"),
        (lambda: Replay(batch_size=-2), "size and batch_size must not be negative, but they are 200 and -2"),
        (lambda: Replay(keep="all"), "keep must be one of reservoir, balanced, but it is 'all'"),
        (lambda: DERpp(alpha=-1.0), "alpha and beta must not be negative, but they are -1.0 and 0.5: with 0 a term is"),
        (lambda: DERpp().prepare(decoder()), "DERpp stores the logits of classes, but this is a language model"),
        (lambda: combine(DERpp(), strategies.MixUp()), "all set the target of an example"),
        (lambda: combine(Replay(), strategies.MMD()), r"batches\(\) can have one owner"),
        (
            lambda: train(net(), [{"x": torch.randn(4, 6), "labels": torch.rand(4, 3)}], Replay(keep="balanced")),
            "balances classes, but the labels of this task are no classes: take keep='reservoir'",
        ),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
