"""Gradients of several tasks: each method by hand on small vectors, beside torchjd, and in training."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from ftlib import strategies
from ftlib.strategies.multitask import MultiTask
from ftlib.strategies.task_gradients import DWA, CAGrad, GradNorm, PCGrad, TaskGradients, UPGrad, inner_products
from ftlib.strategy import combine
from ftlib.training.loop import fit
from toy import Asked, data, net, weights

ALL = ["TaskGradients", "PCGrad", "CAGrad", "UPGrad", "GradNorm", "DWA"]
SURGERY = ["TaskGradients", "PCGrad", "CAGrad", "UPGrad"]
ONE = {"toy": 3, "toy@odd": 2}
PEER = json.loads((Path(__file__).parents[1] / "data" / "torchjd.json").read_text(encoding="utf-8"))


def train(model, loaders, strategy, **more):
    return fit(model, loaders, strategy, **{"steps": 6, "lr": 1e-2, "verbose": False, **more})


def grads(*rows, **heads):
    """{task: its gradient}; `heads` gives a head's parameter a gradient of each task."""
    tasks = "abcdefgh"[: len(rows)]
    of_heads = {t: {f"head.{k}.weight": torch.tensor(v[i]) for k, v in heads.items()} for i, t in enumerate(tasks)}
    return {t: {"w": torch.tensor(row, dtype=torch.float32), **of_heads[t]} for t, row in zip(tasks, rows, strict=True)}


def merged(strategy, *rows, losses=None):
    return strategy.gradient(grads(*rows), losses or dict.fromkeys("abcdefgh"[: len(rows)], 1.0))["w"]


def close(got, want, **tolerance):
    torch.testing.assert_close(got, torch.tensor(want, dtype=got.dtype), **{"rtol": 1e-5, "atol": 1e-6, **tolerance})


# ---- what all of them do


@pytest.mark.parametrize("name", ALL)
def test_a_single_task_keeps_its_gradient_to_the_last_bit(name):
    strategy, g = strategies.get(name)(), grads([0.3, -1.7])
    assert torch.equal(strategy.gradient(g, {"a": 1.0})["w"], g["a"]["w"])
    assert strategy.cosines == [] and math.isnan(strategy.cosine)


@pytest.mark.parametrize("name", SURGERY)
def test_a_head_gets_the_gradient_of_its_own_task(name):
    """And its direction doesn't decide whether the tasks are in conflict."""
    strategy = strategies.get(name)()
    g = grads([1.0, 0.5], [1.0, -0.5], a=[[7.0], [0.0]], b=[[0.0], [-9.0]])
    out = strategy.gradient(g, {"a": 1.0, "b": 1.0})
    assert out["head.a.weight"].tolist() == [7.0] and out["head.b.weight"].tolist() == [-9.0]
    assert strategy.cosine == pytest.approx(0.75 / 1.25)


@pytest.mark.parametrize("name", ALL)
def test_the_layer_that_all_heads_read_is_shared(name):
    g = {task: {"head.shared.0.weight": g["w"]} for task, g in grads([1.0, 0.0], [-1.0, 1.0]).items()}
    out = strategies.get(name)().gradient(g, {"a": 1.0, "b": 1.0})["head.shared.0.weight"]
    assert torch.equal(out, merged(strategies.get(name)(), [1.0, 0.0], [-1.0, 1.0]))


def test_cosines_over_all_shared_weights_and_pairs():
    strategy = TaskGradients()
    first = {"w": torch.tensor([3.0, 0.0]), "b": torch.tensor([4.0])}
    second = {"w": torch.tensor([-1.0, 0.0]), "b": torch.tensor([0.0])}
    strategy.gradient({"a": first, "b": second}, {})
    assert strategy.cosines == [pytest.approx(-0.6)]
    strategy.gradient(grads([1.0, 0.0], [1.0, 0.0], [0.0, 1.0]), {})
    assert strategy.cosines[1] == pytest.approx(1 / 3)
    strategy.gradient(grads([1.0, 0.0], [0.0, 0.0]), {})  # no gradient, no conflict
    assert strategy.cosines[2] == 0.0
    assert strategy.cosine == pytest.approx((-0.6 + 1 / 3) / 3) and strategy.conflicts == pytest.approx(1 / 3)
    strategy.gradient(grads([1.0, 0.0], [2.0, 0.0]), {})  # they agree
    assert strategy.cosine == pytest.approx((-0.6 + 1 / 3 + 1) / 4) and strategy.conflicts == 1 / 4


@pytest.mark.parametrize("name", ALL)
def test_measures_are_floats_that_a_record_takes(name):
    strategy = strategies.get(name)()
    train(net(), Asked(data()), combine(MultiTask(ONE), strategy))
    assert len(strategy.cosines) == 6 and {type(strategy.cosine), type(strategy.conflicts)} == {float}
    assert -1 <= strategy.cosine <= 1 and 0 <= strategy.conflicts <= 1


def test_measuring_changes_nothing_but_the_order_of_additions():
    models = [train(net(bn=False), Asked(data()), s, steps=20)[0] for s in
              (MultiTask(ONE), combine(MultiTask(ONE), TaskGradients()))]  # fmt: skip
    torch.testing.assert_close(*map(weights, models), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["PCGrad", "UPGrad", "CAGrad"])
def test_a_conflicting_task_is_held_back_in_training(name):
    """Two tasks with opposite answers to the same question: the plain sum of a strong and a weak one hurts the weak."""
    g = grads([10.0, 0.0], [-1.0, 1.0])
    plain, ours = (
        merged(TaskGradients(), [10.0, 0.0], [-1.0, 1.0]),
        merged(strategies.get(name)(), [10.0, 0.0], [-1.0, 1.0]),
    )
    weak = g["b"]["w"]
    assert plain @ weak < 0 and ours @ weak > plain @ weak


# ---- PCGrad


def test_pcgrad_by_hand():
    """(1, 0) loses its part along (−1, 1): (½, ½). (−1, 1) loses its part along (1, 0): (0, 1)."""
    close(merged(PCGrad(), [1.0, 0.0], [-1.0, 1.0]), [0.5, 1.5])
    close(merged(PCGrad(), [2.0, 1.0], [-3.0, 1.0]), [2 - 1.5 + -3 + 2, 1 + 0.5 + 1 + 1])


@pytest.mark.parametrize("name", ["PCGrad", "UPGrad"])
def test_gradients_without_a_conflict_are_left_alone_to_the_last_bit(name):
    rows = [[0.3, 0.1], [0.2, 0.7], [0.0, 0.9]]
    assert torch.equal(merged(strategies.get(name)(), *rows), merged(TaskGradients(), *rows))


def test_pcgrad_projects_in_a_random_order_of_the_others():
    """The three orders of three tasks in conflict give several results, and each is one of those by hand."""
    rows = torch.tensor([[1.0, 0.0], [-0.6, 0.8], [-0.6, -0.7]])

    def projected(i, order):
        g = rows[i].clone()
        for j in order:
            if (dot := g @ rows[j]) < 0:
                g -= dot / (rows[j] @ rows[j]) * rows[j]
        return g

    ways = [[projected(i, order) for order in itertools.permutations({0, 1, 2} - {i})] for i in range(3)]
    possible = [sum(chosen) for chosen in itertools.product(*ways)]
    strategy, seen = PCGrad(), set()
    for _ in range(40):
        got = merged(strategy, *rows.tolist())
        (at, *_) = [i for i, want in enumerate(possible) if torch.allclose(got, want, atol=1e-5)]
        seen.add(at)
    assert len(seen) > 2
    again, other = PCGrad(), PCGrad()
    other.seed = 1
    runs = [torch.stack([merged(s, *rows.tolist()) for _ in range(10)]) for s in (again, PCGrad(), other)]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_the_orders_of_pcgrad_leave_the_draws_of_dropout_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    merged(PCGrad(), [1.0, 0.0], [-1.0, 1.0], [0.0, -1.0])
    assert torch.equal(torch.get_rng_state(), before)


# ---- CAGrad and UPGrad


def test_cagrad_by_hand():
    """(1, 1) and (−1, 1): the mean is (0, 1), and so is g_w. The step is (1 + c) (0, 1), times 2 for two tasks."""
    close(merged(CAGrad(c=0.5), [1.0, 1.0], [-1.0, 1.0]), [0.0, 3.0], atol=1e-4)
    close(merged(CAGrad(c=0.0), [1.0, 3.0], [-1.0, 1.0]), [0.0, 4.0])
    close(merged(CAGrad(c=0.5), [0.0, 1.0], [0.0, -1.0]), [0.0, 0.0])  # they cancel


@pytest.mark.parametrize("c", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(
    "rows", [[[3.0, 0.0], [-1.0, 1.0]], [[1.0, 0.2], [-0.5, 0.1]], [[1.0, 0.0], [0.0, 5.0], [-1.0, 1.0]]]
)
def test_cagrad_has_the_largest_of_all_steps_near_the_mean_for_the_task_that_it_helps_least(rows, c):
    g = torch.tensor(rows)
    mean = g.mean(0)
    d = merged(CAGrad(c=c), *rows) / len(rows)
    assert (d - mean).norm() <= c * mean.norm() * 1.001
    angles = torch.linspace(0, 2 * math.pi, 3601)
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    tried = mean + c * mean.norm() * torch.cat([circle * r for r in (0.0, 0.25, 0.5, 0.75, 1.0)])
    best = (tried @ g.T).min(1).values.max()
    assert (g @ d).min() == pytest.approx(best.item(), rel=1e-3, abs=1e-4)


def test_upgrad_is_pcgrad_for_two_tasks_and_without_conflict_for_more():
    close(merged(UPGrad(), [1.0, 0.0], [-1.0, 1.0]), [0.5, 1.5])
    g = torch.Generator().manual_seed(0)
    hurt = 0
    for _ in range(30):
        rows = torch.randn(4, 6, generator=g) - torch.randn(6, generator=g)
        rows[0] = -rows[1:].sum(0) + 0.3 * torch.randn(6, generator=g)
        ours = merged(UPGrad(), *rows.tolist())
        scale = rows.norm(dim=1).max() * ours.norm()
        assert (rows @ ours).min() > -1e-3 * scale
        hurt += (rows @ merged(PCGrad(), *rows.tolist())).min() < -1e-3 * scale
    assert hurt > 0  # PCGrad still hurts a task in some of them


def test_upgrad_by_hand_for_three():
    """Three pairwise conflicts in space: each projection has both others taken out at once."""
    rows = torch.tensor([[1.0, 0.0, 0.2], [-0.5, 0.9, 0.2], [-0.5, -0.9, 0.2]])

    def projected(i):
        (a, b) = [rows[j] for j in range(3) if j != i]
        basis = torch.linalg.qr(torch.stack([a, b]).T).Q
        return rows[i] - basis @ (basis.T @ rows[i])

    close(merged(UPGrad(), *rows.tolist()), sum(projected(i) for i in range(3)).tolist(), atol=1e-4)


# ---- beside torchjd


def test_the_values_come_from_the_version_that_the_script_names():
    script = (Path(__file__).parents[1] / "torchjd_numbers.py").read_text(encoding="utf-8")
    assert f"torchjd=={PEER['versions']['torchjd']}" in script and len(PEER["found"]) >= 6


@pytest.mark.parametrize("case", PEER["found"])
def test_torchjd_gives_the_same(case):
    """CAGrad and UPGrad are K times as large here, since torchjd takes means of the tasks."""
    rows, found = PEER["inputs"][case], PEER["found"][case]
    close(merged(PCGrad(), *rows), found["PCGrad"], atol=1e-4) if "PCGrad" in found else None
    close(merged(UPGrad(), *rows) / len(rows), found["UPGrad"], rtol=1e-3, atol=1e-3)
    for c in (0.2, 0.5, 0.8):
        close(merged(CAGrad(c=c), *rows) / len(rows), found[f"CAGrad {c}"], rtol=2e-3, atol=2e-3)


# ---- GradNorm


def test_gradnorm_by_hand():
    """|g| = 3 and 1 in the first step: both lengths should be the mean, 2, and w moves by 0.01 |g| towards it."""
    strategy = GradNorm(alpha=1.0, rate=0.01)
    close(merged(strategy, [3.0, 0.0], [0.0, 1.0], losses={"a": 2.0, "b": 4.0}), [3.0, 1.0])
    first = [1 - 0.03, 1 + 0.01]
    scaled = [2 * w / sum(first) for w in first]
    assert list(strategy.weights.values()) == pytest.approx(scaled)
    close(merged(strategy, [3.0, 0.0], [0.0, 1.0], losses={"a": 1.0, "b": 2.0}), [3 * scaled[0], scaled[1]])


def test_gradnorm_pulls_up_the_task_that_learns_slowly():
    """Lengths are equal. The loss of a fell to a half, that of b stayed: r = 2/3 and 4/3, to the power of alpha."""
    strategy = GradNorm(alpha=1.5, rate=0.1)
    merged(strategy, [1.0, 0.0], [0.0, 1.0], losses={"a": 1.0, "b": 1.0})
    assert list(strategy.weights.values()) == [1.0, 1.0]
    merged(strategy, [1.0, 0.0], [0.0, 1.0], losses={"a": 0.5, "b": 1.0})
    assert list(strategy.weights.values()) == pytest.approx([0.9, 1.1])


def test_gradnorm_makes_lengths_equal_at_alpha_0():
    strategy = GradNorm(alpha=0.0, rate=0.002)
    for _ in range(400):
        merged(strategy, [3.0, 0.0], [0.0, 1.0])
    assert strategy.weights["a"] * 3 == pytest.approx(strategy.weights["b"], rel=0.05)
    assert sum(strategy.weights.values()) == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["GradNorm", "DWA"])
def test_weights_of_losses_reach_the_heads_too(name):
    strategy = strategies.get(name)(**({"every": 1} if name == "DWA" else {"rate": 0.1}))
    g = grads([2.0, 0.0], [0.0, 1.0], a=[[1.0], [0.0]], b=[[0.0], [1.0]])
    for losses in ({"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 0.9}, {"a": 0.3, "b": 0.9}, {"a": 0.3, "b": 0.9}):
        now, out = dict(strategy.weights), strategy.gradient(g, losses)
        now = strategy.weights if name == "DWA" else now
    assert now["a"] != pytest.approx(1.0)
    assert (out["head.a.weight"].item(), out["head.b.weight"].item()) == pytest.approx((now["a"], now["b"]))
    close(out["w"], [2 * now["a"], now["b"]])


# ---- dynamic weight averaging


def test_dwas_weights_by_the_formula():
    """Epochs of two steps. Their mean losses are 1 and 2, then 0.5 and 1.8: r = 0.5 and 0.9."""
    strategy, seen = DWA(temperature=2.0, every=2), []
    for a, b in [(1.2, 2.5), (0.8, 1.5), (0.6, 1.9), (0.4, 1.7), (9.0, 9.0), (9.0, 9.0)]:
        merged(strategy, [1.0, 0.0], [0.0, 1.0], losses={"a": a, "b": b})
        seen.append(list(strategy.weights.values()))
    e = [math.exp(0.5 / 2), math.exp(0.9 / 2)]
    want = [2 * x / sum(e) for x in e]
    assert seen[:4] == [[1.0, 1.0]] * 4
    assert seen[4] == pytest.approx(want) and seen[5] == pytest.approx(want)


# ---- in training


def test_unused_weights_are_left_out_of_the_inner_products():
    gram = inner_products(grads([1.0, 2.0], [3.0, -1.0], a=[[5.0], [0.0]]))
    assert gram.tolist() == [[5.0, 1.0], [1.0, 10.0]]


@pytest.mark.parametrize("name", ALL)
def test_each_of_them_learns_both_tasks(name):
    model = net(bn=False)
    strategy = combine(MultiTask({"toy": 3, "toy@high": 2}), strategies.get(name)())
    _, rows = train(model, Asked(data(n=256, shuffle=True)), strategy, steps=150)
    for task in ("toy", "toy@high"):
        assert rows[-1]["terms"][task] < rows[0]["terms"][task] / 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CAGrad(c=1.5), "c must lie in 0 to 1, but it is 1.5: 0 is the plain sum"),
        (lambda: GradNorm(alpha=-1.0), "alpha must not be negative and rate must be above 0, but they are -1.0 and"),
        (lambda: GradNorm(rate=0.0), "alpha must not be negative and rate must be above 0, but they are 1.5 and 0.0"),
        (lambda: DWA(temperature=0.0), "temperature must be above 0 and every at least 1, but they are 0.0 and 50"),
        (lambda: DWA(every=0), "temperature must be above 0 and every at least 1, but they are 2.0 and 0"),
        (lambda: combine(PCGrad(), UPGrad()), r"gradient\(\) can have one owner"),
        (lambda: combine(PCGrad(), strategies.LinearProbe()), "since a linear probe trains the head alone"),
        (lambda: train(net(), data(), PCGrad()), r"has one head: combine it with MultiTask, as combine\(Mu"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
