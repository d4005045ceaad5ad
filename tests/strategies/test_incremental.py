"""Terms that hold earlier tasks: each against its formula, zero where it must be zero, and naive training."""

import copy

import pytest
import torch
import torch.nn.functional as F
from test_rehearsal import MEMORIES, skills
from torch import nn

from ftlib import strategies
from ftlib.evidence import runs
from ftlib.strategies.full import Full
from ftlib.strategies.incremental import EWC, SI, LwF, distillation, fisher
from ftlib.strategy import combine
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.loop import fit
from ftlib.training.validation import Validation
from test_paired_runs import spec, tiny  # noqa: F401 (a fixture)
from toy import data, decoder, encoder, net, same, sentences, weights

TERMS = ["EWC", "SI", "LwF"]


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


KNOBS = {"EWC": {"strength": 1e4, "labels": "all"}, "SI": {"strength": 10.0}, "LwF": {"strength": 3.0}}


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


@pytest.mark.parametrize("name", [*TERMS, *MEMORIES])
def test_two_phases_of_a_spec_are_two_tasks(name, tiny):  # noqa: F811
    """The first is naive training to the last bit, and the second one goes on with what was kept."""

    def losses(name, **knobs):
        made = {"strategy": [{name: knobs}], "steps": 4, "lr": 1e-2, "batch_size": 8}
        phases = [made, {**made, "data": {"train": "digits/mnist:train"}}]
        return runs.first_losses(spec(tiny, "sequence", phases=phases))

    ours, naive = losses(name, **({"size": 8} if name in MEMORIES else {})), losses("Full")
    assert ours[:4] == naive[:4] and ours[4:] != naive[4:] and len(ours) == len(naive) == 8


def test_the_memory_that_each_takes_after_one_and_two_tasks():
    """In bytes, of float32: EWC keeps two copies per task, SI two in all, LwF one with BatchNorm's statistics."""

    def taken(strategy):
        model, found = net(), []
        for seed in (1, 2):
            train(model, data(seed=seed), strategy)
            found.append(strategy.bytes)
        return found

    one = 4.0 * sum(p.numel() for p in net().parameters())
    assert taken(EWC()) == [2 * one, 4 * one] and taken(EWC(decay=1.0)) == taken(SI()) == [2 * one, 2 * one]
    assert taken(LwF()) == [one + 2 * 16 * 4 + 8] * 2


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
    with pytest.raises(ValueError, match="this head gives a number: take labels='data'") as caught:
        train(model, rows, EWC())
    assert caught.value.history == []  # before the first step
    with pytest.raises(ValueError, match="this head gives a number: take labels='data'"):
        fisher(model, {"train": rows}, 4, "sample")


# ---- SI


def test_si_adds_up_gradient_times_step_and_divides_by_the_way():
    """Against the loop written out; the last step is not in the path."""
    strategy, model, batches = SI(strength=2.0, damping=0.05), net(bn=False), list(data())
    train(model, batches, strategy, steps=4, max_norm=0.1)
    by_hand = net(bn=False)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1e-2, weight_decay=0.01, fused=True)
    params = dict(by_hand.named_parameters())
    start = {k: p.detach().clone() for k, p in params.items()}
    path = {k: torch.zeros_like(p) for k, p in params.items()}
    for step, batch in enumerate(batches):
        optimizer.zero_grad()
        F.cross_entropy(by_hand(batch), batch["labels"]).backward()
        g, old = ({k: f(p).clone() for k, p in params.items()} for f in (lambda p: p.grad, lambda p: p.detach()))
        nn.utils.clip_grad_norm_(by_hand.parameters(), 0.1)
        optimizer.step()
        for k, p in params.items() if step < 3 else ():
            path[k] -= g[k] * (p.detach() - old[k])
    for k, p in params.items():
        want = (path[k] / ((p.detach() - start[k]) ** 2 + 0.05)).clamp(min=0)
        torch.testing.assert_close(strategy.importance[k], want, rtol=1e-3, atol=1e-7)
        assert want.sum() > 0 and torch.equal(strategy.anchor[k], dict(model.named_parameters())[k])
    value = strategy.penalty(model, {})
    assert value.item() == 0.0 and all(not g.any() for g in gradients(model, value))
    with torch.no_grad():
        for p in model.parameters():
            p += 0.5
    want = 2.0 * sum(0.25 * strategy.importance[k].sum() for k in params)
    assert strategy.penalty(model, {}).item() == pytest.approx(want.item(), rel=1e-4)


def test_si_sums_the_importance_of_tasks_and_keeps_the_last_anchor():
    model, strategy = net(bn=False), SI()
    train(model, data(seed=1), strategy)
    first = {k: v.clone() for k, v in strategy.importance.items()}
    train(model, data(seed=2, shift=1.0), strategy)
    assert any((strategy.importance[k] > first[k]).any() for k in first)
    assert all((strategy.importance[k] >= 0).all() for k in first)
    assert all(torch.equal(strategy.anchor[k], p) for k, p in model.named_parameters())
    assert not (strategy.path or strategy.start or strategy.before or strategy.last)


def test_the_path_of_si_has_no_part_of_the_penalty():
    """g is the gradient of the task's loss: at the anchor's other side the penalty is steep, and the path flat."""
    model, strategy = net(bn=False), SI(strength=1e3)
    train(model, data(seed=1), strategy)
    seen, gradient = [], strategy.gradient
    strategy.gradient = lambda grads, losses: (
        seen.append({k: v.clone() for k, v in grads["loss"].items()}) or gradient(grads, losses)
    )
    batch = next(iter(data(seed=2)))
    before = weights(model)
    want = gradients(model, F.cross_entropy(model(batch), batch["labels"]))
    try:
        train(model, [batch], strategy, steps=1, lr=0.0)
    finally:
        del strategy.gradient
    assert same(before, weights(model))
    torch.testing.assert_close(list(seen[0].values()), list(want))


# ---- LwF


def test_distillation_by_hand_and_its_gradient_keeps_its_size_as_t_grows():
    g = torch.Generator().manual_seed(0)
    z, old = torch.randn(5, 4, generator=g, requires_grad=True), torch.randn(5, 4, generator=g)
    for T in (0.5, 1.0, 2.0, 20.0):
        p, q = (z / T).softmax(-1), (old / T).softmax(-1)
        value = distillation(z, old, T)
        assert value.item() == pytest.approx((T**2 * (q * (q / p).log()).sum()).item(), rel=1e-3)
        (gradient,) = torch.autograd.grad(value, z)
        torch.testing.assert_close(gradient, T * (p - q).detach(), rtol=1e-3, atol=1e-5)
    # For a large T it tends to the logits' own squared error, (z - old)² / (2 K) with centred rows (Hinton, 2015).
    centred = (z - z.mean(1, keepdim=True) - old + old.mean(1, keepdim=True)).detach()
    torch.testing.assert_close(gradient, centred / 4, rtol=0.2, atol=0.02)


def test_the_second_term_of_lwf_is_the_model_of_the_last_tasks_end():
    strategy, model = LwF(strength=0.7, temperature=3.0), net(p=0.3)
    train(model, data(seed=1), strategy)
    teacher = copy.deepcopy(model).eval()
    train(model, data(seed=2), Full(), steps=20)
    model.train()
    model.stages[1].eval()  # as a strategy that freezes it would do
    modes = [m.training for m in model.modules()]
    batch = {**next(iter(data(seed=3))), "n": {"loss": 16}}
    torch.manual_seed(0)
    got = strategy.loss(model, batch)["loss"]
    assert [m.training for m in model.modules()] == modes
    torch.manual_seed(0)
    logits, old = model(batch), teacher(batch).detach()
    p, q = (logits / 3).softmax(-1), (old / 3).softmax(-1)
    want = F.cross_entropy(logits, batch["labels"], reduction="sum") + 0.7 * 9 * (q * (q / p).log()).sum()
    assert got.item() == pytest.approx(want.item(), rel=1e-4)
    assert all(torch.equal(v, teacher.state_dict()[k]) for k, v in strategy.teacher.items())  # not moved by the loss


def test_lwf_compares_the_classes_of_earlier_tasks_only():
    strategy, model = LwF(), net(bn=False)
    first = [{"x": torch.randn(8, 6), "labels": torch.arange(8) % 2}]
    train(model, first, strategy)
    assert strategy.classes == [0, 1]
    train(model, first, Full(), steps=5)
    batch = {"x": torch.randn(4, 6), "labels": torch.full((4,), 2), "n": {"loss": 4}}
    term = strategy.loss(model, batch)["loss"] - F.cross_entropy(model(batch), batch["labels"], reduction="sum")
    (gradient,) = torch.autograd.grad(term, [model.head.bias])
    assert gradient[:2].abs().min() > 1e-4 and gradient[2].abs() < 1e-6  # the new class is free
    train(model, [batch | {"labels": torch.full((4,), 2)}], strategy, steps=1)
    assert strategy.classes == [0, 1, 2]


def test_lwf_with_a_language_model_and_with_labels_that_are_not_counted():
    g = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 24, (4, 8), generator=g)
    labels = torch.where(torch.arange(8) >= 5, ids.roll(-1, 1), -100)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    strategy, model = LwF(), decoder()
    train(model, [batch], strategy, steps=1)
    teacher = copy.deepcopy(model).eval()
    train(model, [batch], Full(), steps=3)
    rows = train(model, [batch], strategy, steps=1, lr=0.0)[1]
    with torch.no_grad():
        logits, old = model(batch), teacher(batch)  # (M, V)
    want = F.cross_entropy(logits, labels[labels != -100]) + distillation(logits, old, 2.0) / len(logits)
    assert rows[0]["loss"] == pytest.approx(want.item(), rel=1e-4) and strategy.classes == []
    model, strategy = net(bn=False), LwF()
    train(model, data(), strategy)
    one = next(iter(data(seed=4)))
    one["labels"][:10] = -100
    part = {k: v[10:] for k, v in one.items()}
    losses = [train(model, [batch], strategy, steps=1, lr=0.0)[1][0]["loss"] for batch in (one, part)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def changed_model():
    strategy, model = LwF(), encoder()
    train(model, sentences(), strategy, steps=1)
    train(model, sentences(), combine(strategies.Prompt(), strategy), steps=1)


def numbers():
    model, strategy = net(bn=False), LwF()
    model.head = nn.Linear(16, 1)
    rows = [{"x": torch.randn(4, 6), "labels": torch.randn(4)}]
    train(model, rows, strategy, steps=1)  # known in the first task already


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EWC(strength=-1.0), "strength must not be negative, but it is -1.0: 0 is naive training"),
        (lambda: EWC(labels="own"), "labels must be one of sample, all, data, but it is 'own'"),
        (lambda: EWC(examples=0), "examples must be at least 1, but it is 0"),
        (lambda: EWC(labels="all").prepare(decoder()), "the labels 'all' of EWC need one class per example"),
        (lambda: EWC(decay=1.5), r"decay must lie in \[0, 1\], but it is 1.5: None keeps a term per task"),
        (lambda: SI(strength=-1.0), "strength must not be negative, but it is -1.0"),
        (lambda: SI(damping=0.0), "damping must be above 0, but it is 0.0: the paper takes 0.001 to 0.1"),
        (lambda: LwF(strength=-1.0), "strength must not be negative, but it is -1.0"),
        (lambda: LwF(temperature=0.0), "temperature must be above 0, but it is 0.0: the paper takes 2"),
        (lambda: changed_model(), "only one of both has soft_prompt.*: add or inject weights in the first task"),
        (lambda: numbers(), "LwF compares class probabilities, but the targets are numbers: take EWC or Replay"),
        (lambda: combine(SI(), strategies.AGEM()), r"gradient\(\) can have one owner"),
        (lambda: fisher(net(), {"train": []}, 3, "data"), "EWC found no example at the end of the task"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
