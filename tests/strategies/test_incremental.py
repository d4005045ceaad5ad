"""Terms that hold earlier tasks: each against its formula, zero where it must be zero, and naive training."""

import pytest
import torch
import torch.nn.functional as F
from test_rehearsal import skills
from torch import nn

from ftlib import strategies
from ftlib.strategies.full import Full
from ftlib.strategies.incremental import EWC, fisher
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.loop import fit
from ftlib.training.validation import Validation
from toy import data, decoder, net, same, weights

TERMS = ["EWC"]


def train(model, loader, strategy, **more):
    return fit(model, loader, strategy, **{"steps": 6, "lr": 1e-2, "verbose": False, **more})


def gradients(model, value):
    return torch.autograd.grad(value, list(model.parameters()), allow_unused=True)


# ---- what all promise


@pytest.mark.parametrize("name", TERMS)
def test_strength_zero_is_naive_to_the_last_bit(name):
    def after(strategy):
        model = net(p=0.2)
        for task in (0, 1, 2):
            train(model, data(seed=task, shift=task, shuffle=True), strategy)
        return weights(model)

    assert same(after(strategies.get(name)(strength=0.0)), after(Full()))


@pytest.mark.parametrize("name", TERMS)
def test_the_first_task_is_naive_to_the_last_bit(name):
    loader = data(shuffle=True)
    ours, naive = (weights(train(net(p=0.2), loader, s)[0]) for s in (strategies.get(name)(), Full()))
    assert same(ours, naive)


KNOBS = {"EWC": {"strength": 1000.0, "labels": "all"}}


@pytest.mark.parametrize("name", TERMS)
def test_it_forgets_less_than_naive_training(name):
    assert skills(strategies.get(name)(**KNOBS[name]))[0] > skills(Full())[0] + 0.2


@pytest.mark.parametrize("name", TERMS)
def test_a_killed_second_task_ends_in_the_same_weights(name, tmp_path):
    def run(**more):
        model, strategy = net(p=0.2), strategies.get(name)(**KNOBS[name])
        train(model, data(seed=1, shuffle=True), strategy)
        train(model, data(seed=2, shuffle=True), strategy, steps=12, **more)
        return weights(model), strategy.state_dict()

    def broken(model):
        raise KeyboardInterrupt

    saved = Checkpoint(tmp_path / "c", every=5)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=saved, validation=Validation(broken, every=7))
    (after, state), (want, wanted) = run(checkpoint=saved), run()
    assert same(after, want)
    torch.testing.assert_close(state, wanted, rtol=0, atol=0)


# ---- EWC


def test_ewcs_penalty_and_its_gradient_are_zero_at_the_anchor_and_the_formula_elsewhere():
    model, strategy = net(bn=False), EWC(strength=3.0, examples=20)
    train(model, data(), strategy)
    at_end = weights(model)
    (anchor,) = strategy.anchors
    assert all(torch.equal(value, at_end[name]) for name, (_, value) in anchor.items())  # the end, not the start
    value = strategy.penalty(model, {})
    assert value.item() == 0.0 and all(not g.any() for g in gradients(model, value))
    with torch.no_grad():
        for p in model.parameters():
            p += torch.randn_like(p)
    value = strategy.penalty(model, {})
    now = dict(model.named_parameters())
    want = sum(3.0 / 2 * (f * (now[k] - v) ** 2).sum() for k, (f, v) in anchor.items())
    assert value.item() == pytest.approx(want.item(), rel=1e-5) and want > 0
    for g, (name, p) in zip(gradients(model, value), now.items(), strict=True):
        torch.testing.assert_close(g, 3.0 * anchor[name][0] * (p.detach() - anchor[name][1]))


class Logistic(nn.Module):
    """Two classes with logits (0, w · x), so p(1 | x) = σ(w · x)."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.3, -0.8, 0.5]))

    def forward(self, batch):
        z = batch["x"] @ self.w
        return torch.stack([torch.zeros_like(z), z], 1)


def points(n=40):
    g = torch.Generator().manual_seed(3)
    x, y = torch.randn(n, 3, generator=g), torch.randint(2, (n,), generator=g)
    return [{"x": x[i : i + 10], "labels": y[i : i + 10]} for i in range(0, n, 10)], x, y


def test_the_fisher_of_logistic_regression_in_closed_form():
    """Exactly p (1 − p) x², the mean over the examples; with the labels of the data (y − p)² x²."""
    (batches, x, y), model = points(), Logistic()
    p = torch.sigmoid(x @ model.w.detach())[:, None]
    exact, empirical = (p * (1 - p) * x**2).mean(0), ((y[:, None] - p) ** 2 * x**2).mean(0)
    torch.testing.assert_close(fisher(model, {"train": batches}, 100, "all")["w"], exact)
    torch.testing.assert_close(fisher(model, {"train": batches}, 100, "data")["w"], empirical)
    assert ((empirical - exact).abs() / exact).max() > 0.1  # they are two numbers
    drawn = torch.stack([fisher(model, {"train": batches}, 100, "sample")["w"] for _ in range(60)])
    error = drawn.std(0) / 60**0.5
    assert ((drawn.mean(0) - exact).abs() < 4 * error).all() and (drawn.std(0) > 0).all()
    other = [{**batch, "labels": 1 - batch["labels"]} for batch in batches]
    for labels, moves in (("all", False), ("sample", False), ("data", True)):
        found = []
        for rows in (batches, other):
            torch.manual_seed(0)
            found.append(fisher(model, {"train": rows}, 100, labels)["w"])
        assert torch.equal(*found) != moves, labels


def test_the_fisher_is_a_mean_of_squares_over_so_many_examples():
    batches, x, y = points()
    model = Logistic()
    p = torch.sigmoid(x @ model.w.detach())[:, None]
    want = ((y[:, None] - p) ** 2 * x**2)[:15].mean(0)
    torch.testing.assert_close(fisher(model, {"train": batches}, 15, "data")["w"], want)
    whole = [{k: torch.cat([b[k] for b in batches]) for k in ("x", "labels")}]
    torch.testing.assert_close(
        fisher(model, {"train": whole}, 40, "data"), fisher(model, {"train": batches}, 40, "data")
    )


def test_the_fisher_is_taken_on_the_task_that_ends_with_its_final_weights():
    model, strategy = net(bn=False), EWC(labels="all", examples=1000)
    first, second = data(seed=1), data(seed=2, shift=1.0)
    wanted = []
    for loader in (first, second):
        train(model, loader, strategy)
        wanted.append(fisher(model.eval(), {"train": loader}, 1000, "all"))
    assert len(strategy.anchors) == 2
    for anchor, want in zip(strategy.anchors, wanted, strict=True):
        torch.testing.assert_close({k: f for k, (f, _) in anchor.items()}, want)


def test_online_ewc_keeps_one_anchor_and_lets_old_importance_decay():
    model, online, full = net(bn=False), EWC(labels="all", decay=0.25), EWC(labels="all")
    for task in (1, 2):
        for strategy in (online, full):
            strategy.finish(model.eval(), {"train": data(seed=task)})
        now = weights(model)
        with torch.no_grad():
            for p in model.parameters():
                p += 0.1
    (one,), (first, second) = online.anchors, full.anchors
    for name, (f, anchor) in one.items():
        torch.testing.assert_close(f, 0.25 * first[name][0] + second[name][0])
        assert torch.equal(anchor, now[name])


def test_a_language_models_fisher_draws_its_own_tokens():
    g = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 24, (4, 8), generator=g)
    labels = torch.where(torch.arange(8) >= 5, ids.roll(-1, 1), -100)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    model = decoder().eval()
    found = {kind: fisher(model, {"train": [batch]}, 3, kind) for kind in ("sample", "data")}
    one = {k: v[:1] for k, v in batch.items()}
    name, p = next(iter(model.named_parameters()))
    loss = F.cross_entropy(model(one).float(), labels[:1][labels[:1] != -100], reduction="sum")
    (want,) = torch.autograd.grad(loss, [p])
    torch.testing.assert_close(fisher(model, {"train": [batch]}, 1, "data")[name], want**2)
    assert all(f.sum() > 0 for f in (found["sample"][name], found["data"][name]))
    with pytest.raises(ValueError, match="the labels 'all' of EWC need one class per example: take labels='sample'"):
        fisher(model, {"train": [batch]}, 1, "all")


def test_a_regression_needs_the_labels_of_the_data():
    model = net(bn=False)
    model.head = nn.Linear(16, 1)
    rows = [{"x": torch.randn(4, 6), "labels": torch.randn(4)}]
    assert fisher(model, {"train": rows}, 4, "data")["head.bias"] > 0
    with pytest.raises(ValueError, match="this head gives a number: take labels='data'"):
        fisher(model, {"train": rows}, 4, "sample")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EWC(strength=-1.0), "strength must not be negative, but it is -1.0: 0 is naive training"),
        (lambda: EWC(labels="own"), "labels must be one of sample, all, data, but it is 'own'"),
        (lambda: EWC(examples=0), "examples must be at least 1, but it is 0"),
        (lambda: EWC(decay=1.5), r"decay must lie in \[0, 1\], but it is 1.5: None keeps a term per task"),
        (lambda: fisher(net(), {"train": []}, 3, "data"), "EWC found no example at the end of the task"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
