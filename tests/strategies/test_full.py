"""Full fine-tuning and its baselines, against AdamW written out, scikit-learn and closed formulas."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.data import DataLoader

from ftlib.strategies.full import L2SP, FromScratch, Full, LayerRates, LinearProbe, lp_ft
from ftlib.strategy import combine
from ftlib.training.loop import fit, predict_logits
from toy import Net, changed, data, net, same, weights

HEAD = {"head.weight", "head.bias"}


def train(model, strategy, loader=None, **more):
    return fit(model, loader or data(), strategy, **{"steps": 5, "lr": 1e-2, "verbose": False, **more})


def test_fit_equals_the_loop_written_out():
    """Zero, forward, backward, clip, step: the five lines that every framework hides."""
    exact = data(dtype=torch.double)  # in float32, two ways to add up differ, and AdamW enlarges that near 0
    by_fit, history = train(net().double(), Full(), exact, max_norm=0.3)
    model, losses = net().double(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    batches = [b for _ in range(2) for b in exact]
    for batch in batches[:5]:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch), batch["labels"])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        optimizer.step()
        losses.append(loss.item())
    torch.testing.assert_close(weights(by_fit), weights(model))
    assert [row["loss"] for row in history] == pytest.approx(losses, rel=1e-5)
    assert min(row["grad_norm"] for row in history) > 0.3  # so that clipping had something to do


def test_a_probe_changes_the_head_and_nothing_else_to_the_last_bit():
    model = net(p=0.5)
    before = weights(model)
    model, _ = train(model, LinearProbe(), steps=20)
    assert changed(before, weights(model)) == HEAD  # BatchNorm's statistics are in the state dict, too


def test_a_probe_is_scikit_learns_logistic_regression():
    n, beta = 300, 0.01
    x = torch.randn(n, 10, generator=torch.Generator().manual_seed(0))
    y = (x[:, :3].argmax(1) + (x[:, 4] > 1)).clamp(max=2)
    y[::9] = 0  # noise, so that the classes overlap

    class Probe(Net):
        def __init__(self):
            super().__init__()
            self.stages, self.head = nn.ModuleList([nn.Identity()]), nn.Linear(10, 3)

    rows = [{"x": a, "labels": b, "index": i} for i, (a, b) in enumerate(zip(x, y, strict=True))]
    loader = DataLoader(rows, batch_size=n)
    strategy = combine(LinearProbe(), L2SP(alpha=0.0, beta=beta))
    model, _ = train(Probe(), strategy, loader, steps=2000, lr=2e-2, max_norm=1e9)
    want = LogisticRegression(C=1 / (beta * n), max_iter=2000, tol=1e-8).fit(x.numpy(), y.numpy())
    got = predict_logits(model, loader)["logits"].softmax(-1).numpy()
    assert abs(got - want.predict_proba(x.numpy())).max() < 0.02  # ours decays the bias too; scikit-learn's does not
    assert abs((got.argmax(1) == y.numpy()).mean() - want.score(x.numpy(), y.numpy())) < 0.003 + 1e-9


def test_layer_rates_by_the_formula_and_equal_to_adamw_with_these_groups():
    model = net()
    groups = LayerRates(0.5).groups([{"params": list(model.named_parameters()), "lr": 8.0, "weight_decay": 0.1}])
    assert {n: g["lr"] for g in groups for n, _ in g["params"]} == {
        n: 8.0 * {"s": 0.25, "h": 1.0}[n[0]] if not n.startswith("stages.1") else 4.0
        for n, _ in model.named_parameters()
    }
    exact = data(dtype=torch.double)
    by_fit, _ = train(net().double(), LayerRates(0.5), exact, max_norm=1e9, steps=4)
    by_hand = net().double()
    parts = {0: 0.25, 1: 0.5}
    optimizer = torch.optim.AdamW(
        [{"params": by_hand.stages[i].parameters(), "lr": 1e-2 * f} for i, f in parts.items()]
        + [{"params": by_hand.head.parameters(), "lr": 1e-2}],
        weight_decay=0.01,
    )
    for batch in exact:
        optimizer.zero_grad()
        nn.functional.cross_entropy(by_hand(batch), batch["labels"]).backward()
        optimizer.step()
    torch.testing.assert_close(weights(by_fit), weights(by_hand))


def test_layer_rates_of_one_are_full_fine_tuning():
    assert same(weights(train(net(), LayerRates(1.0))[0]), weights(train(net(), Full())[0]))


def test_l2sp_pulls_towards_the_pretrained_point_with_the_gradient_of_the_formula():
    model, strategy = net(), L2SP(alpha=0.3, beta=0.7)
    strategy.prepare(model)
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p += torch.randn_like(p)
    strategy.penalty(model, {}).backward()
    for name, p in model.named_parameters():
        want = 0.3 * (p - start[name]) if name.startswith("stages") else 0.7 * p
        torch.testing.assert_close(p.grad, want.detach())


def test_l2sp_of_zero_is_full_fine_tuning_without_decay_and_a_strong_one_stays():
    zero = train(net(), L2SP(0.0, 0.0))[0]
    assert same(weights(zero), weights(train(net(), Full(), weight_decay=0.0)[0]))

    def moved(alpha):
        before, after = weights(net()), weights(train(net(), L2SP(alpha, 0.0), steps=100)[0])
        return sum((after[k] - before[k]).norm() for k in after if k.startswith("stages.1"))

    assert moved(10.0) < 0.5 * moved(0.0)


def test_l2sp_keeps_its_start_in_a_later_phase():
    strategy, start = L2SP(), weights(net())
    model, _ = train(net(), strategy)
    train(model, strategy)
    assert same(strategy.start, {n: start[n] for n, _ in model.named_parameters() if n.startswith("stages")})


def test_from_scratch_forgets_once_and_only_once():
    pretrained, strategy = net(), FromScratch()
    before = weights(pretrained)
    torch.manual_seed(1)
    fresh = weights(strategy.prepare(pretrained))
    assert changed(before, fresh) >= {k for k in before if k.endswith("0.weight")}
    assert same(fresh, weights(strategy.prepare(pretrained)))  # twice is once


def test_lp_ft_is_two_phases():
    first, second = lp_ft(probe_steps=10, probe_lr=1e-2, steps=20, lr=1e-4)
    assert (first["strategy"], first["steps"]) == ([{"LinearProbe": {}}], 10)
    assert (second["strategy"], second["lr"]) == ([{"Full": {}}], 1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LayerRates(0.0), r"decay must lie in \(0, 1\], but it is 0.0: for 0 use LinearProbe"),
        (lambda: L2SP(alpha=-1), "alpha and beta must not be negative, but they are -1 and 0.01"),
    ],
)
def test_bad_knobs_are_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
