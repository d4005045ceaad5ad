"""What remembers earlier tasks beside Avalanche, whose values tests/data/continual_peers.py wrote down.

Where Avalanche means another quantity by the same name, the test says by which rule one follows from the other. Scores
on five tasks are in test_continual_scores.py.
"""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_rehearsal import filled, numbered
from torch import nn

import ftlib
from continual import MLP
from ftlib.strategies.incremental import EWC, SI, LwF
from ftlib.strategies.rehearsal import AGEM, DERpp, Replay

FOLDER = Path(__file__).parents[1] / "data"
DATA = json.loads((FOLDER / "continual_peers.json").read_text(encoding="utf-8"))
GIVEN, FOUND = DATA["inputs"], DATA["found"]
CLOSE = {"rtol": 1e-5, "atol": 1e-7}  # both count in float32


def tensors(lists: dict) -> dict:
    return {name: torch.tensor(value) for name, value in lists.items()}


def network(weights: dict) -> MLP:
    model = MLP(3, 4, 3, between=nn.Tanh)
    model.load_state_dict(tensors(weights))
    return model


def batch(task: int, start: int = 0, end: int | None = None) -> dict:
    rows = slice(start, end)
    return {"x": torch.tensor(GIVEN["x"][task])[rows], "labels": torch.tensor(GIVEN["y"][task])[rows]}


def gradients(value, model) -> dict:
    return dict(zip(dict(model.named_parameters()), torch.autograd.grad(value, list(model.parameters())), strict=True))


def agree(value, model, found: dict, **tolerance) -> None:
    """The value, and the gradient with respect to each weight."""
    assert value.item() == pytest.approx(found["value"], rel=1e-5)
    torch.testing.assert_close(gradients(value, model), tensors(found["gradients"]), **(tolerance or CLOSE))


def test_the_values_come_from_the_version_that_the_script_names():
    script = (FOLDER / "continual_peers.py").read_text(encoding="utf-8")
    assert f"avalanche-lib=={DATA['versions']['avalanche-lib']}" in script


# ---- EWC


def after_two_tasks(strategy):
    """The strategy at the end of two tasks, and a model with other weights."""
    for task in (0, 1):
        strategy.finish(network(GIVEN["weights"][task]).eval(), {"train": [batch(task)]})
    return strategy, network(GIVEN["weights"][2])


def test_ewcs_importance_with_the_labels_of_the_data():
    """Avalanche takes the labels of the data. With batches of one it has the empirical Fisher."""
    strategy, _ = after_two_tasks(EWC(labels="data"))
    ours = {name: f for name, (f, _) in strategy.anchors[0].items()}
    torch.testing.assert_close(ours, tensors(FOUND["ewc importance, one example at a time"]), **CLOSE)


def test_of_a_larger_batch_avalanche_squares_the_mean():
    """It averages (mean gradient of a batch)² over the batches; the Fisher information is the mean of squares.

    Each of its batches counts alike, also a last one with fewer examples.
    """
    model, found = network(GIVEN["weights"][0]), []
    for start in (0, 4, 8):
        rows = batch(0, start, start + 4)
        found.append(gradients(F.cross_entropy(model(rows), rows["labels"]), model))
    squares = {name: torch.stack([g[name] for g in found]).square().mean(0) for name in found[0]}
    theirs = tensors(FOUND["ewc importance, batches of 4"])
    torch.testing.assert_close(squares, theirs, **CLOSE)
    singles = tensors(FOUND["ewc importance, one example at a time"])
    times = sum(f.sum() for f in singles.values()) / sum(f.sum() for f in theirs.values())
    assert 1.5 < times < 4  # 4, if the gradients of the examples had nothing in common


def test_ewcs_penalty():
    """Avalanche leaves out the half: its lambda is half of our strength."""
    strategy, model = after_two_tasks(EWC(strength=2 * GIVEN["lambda"], labels="data"))
    agree(strategy.penalty(model, {}), model, FOUND["ewc penalty"])


def test_online_ewc():
    strategy, model = after_two_tasks(EWC(strength=2 * GIVEN["lambda"], labels="data", decay=GIVEN["decay"]))
    ours = {name: f for name, (f, _) in strategy.anchors[0].items()}
    torch.testing.assert_close(ours, tensors(FOUND["online ewc importance"]), **CLOSE)
    agree(strategy.penalty(model, {}), model, FOUND["online ewc penalty"])


# ---- SI


def si_in_fit() -> tuple[SI, MLP]:
    strategy, model = SI(damping=GIVEN["damping"]), network(GIVEN["weights"][0])
    batches = [batch(1, 0, 4), batch(1, 4, 8)]
    knobs = {"max_norm": math.inf, "weight_decay": 0.01, "precision": "float32", "verbose": False}
    ftlib.fit(model, batches, strategy, steps=4, lr=1e-2, **knobs)
    return strategy, model


def test_sis_importance():
    """From the same four steps: ours is −Σ g Δθ / (Δ² + ξ) of the first three, not below 0.

    Avalanche counts the last step too, lets the importance be negative and clips it at 0.001.
    """
    (strategy, model), found = si_in_fit(), FOUND["si, with copies"]
    torch.testing.assert_close(model.state_dict(), tensors(found["end"]), rtol=0, atol=1e-6)
    start, sums = tensors(GIVEN["weights"][0]), [tensors(each) for each in found["after each step"]]
    for name, end in tensors(found["end"]).items():
        way = (end - start[name]).square() + GIVEN["damping"]
        torch.testing.assert_close(strategy.importance[name], (-sums[2][name] / way).clamp(min=0), rtol=1e-3, atol=1e-6)
        theirs = (-sums[3][name] / way).clamp(max=0.001)
        torch.testing.assert_close(torch.tensor(found["importance"][name]), theirs, **CLOSE)
    assert max(f.max() for f in strategy.importance.values()) > 0.01  # ten times what Avalanche allows


def test_sis_penalty():
    """Avalanche halves it: its lambda is twice our strength."""
    strategy, found = SI(strength=GIVEN["lambda"] / 2), FOUND["si, with copies"]
    strategy.importance, strategy.anchor = tensors(found["importance"]), tensors(found["end"])
    ours = strategy.penalty(network(GIVEN["weights"][2]), {})
    assert ours.item() == pytest.approx(found["penalty"], rel=1e-5) and ours > 0


def test_avalanches_si_has_no_effect_on_a_cpu():
    """It keeps a view of the weights where it means a copy, so they never seem to have moved.

    The other two tests are with copies. Scores of its SI on a CPU are scores of naive training.
    """
    found = FOUND["si, as it is"]
    assert not any(value.any() for each in found["after each step"] for value in tensors(each).values())
    assert not any(value.any() for value in tensors(found["importance"]).values()) and found["penalty"] == 0.0
    assert found["end"] == FOUND["si, with copies"]["end"]


# ---- LwF


@pytest.mark.parametrize("temperature", [1, 2, 3])
def test_lwf(temperature):
    """Both compare the classes of earlier tasks. Avalanche has no T²: its alpha is strength · T²."""
    strategy = LwF(strength=GIVEN["lambda"] / temperature**2, temperature=float(temperature))
    strategy.finish(network(GIVEN["weights"][0]), {"train": [batch(0)]})
    assert strategy.classes == [0, 2]
    model, rows = network(GIVEN["weights"][1]), batch(1)
    n = len(rows["labels"])
    total = strategy.loss(model, {**rows, "n": {"loss": n}})["loss"] / n
    agree(total - F.cross_entropy(model(rows), rows["labels"]), model, FOUND[f"lwf, temperature {temperature}"])


# ---- A-GEM


@pytest.mark.parametrize("case", ["against", "along"])
def test_agems_projection(case):
    g, r = tensors(GIVEN["g"]), tensors(GIVEN[case])
    ours = AGEM().gradient({"loss": g, "memory": r}, {})
    torch.testing.assert_close(ours, tensors(FOUND[f"a-gem, {case}"]), **CLOSE)
    assert all(torch.equal(ours[k], g[k]) for k in g) == (case == "along")


def test_agems_memory():
    """Avalanche adds 5 places per task, and a step looks at as many of each task: 8, or fewer where 3 do not divide it.

    Ours has `size` places for all tasks together, and a step looks at `batch_size` of them.
    """
    assert FOUND["a-gem, sizes"] == [{"held": 5, "a step": 5}, {"held": 10, "a step": 8}, {"held": 15, "a step": 6}]
    strategy, sizes = AGEM(size=15, batch_size=8), []
    for task in (0, 1, 0):
        strategy.finish(network(GIVEN["weights"][0]), {"train": [batch(task)]})
        sizes.append((len(strategy.rows), len(strategy.draw())))
    assert sizes == [(10, 8), (15, 8), (15, 8)]


# ---- DER++


def test_derpps_loss():
    """The same three terms. Avalanche draws once a step for both terms, and ours, as the paper, once for each."""
    found = FOUND["der++"]
    strategy, model = DERpp(alpha=GIVEN["alpha"], beta=GIVEN["beta"]), network(found["weights"])
    old, n = tensors(found["old"]), len(found["old"]["labels"])
    steps = [{**tensors(found["new"]), "n": {"loss": len(found["new"]["labels"])}}]
    steps += [{**old, "n": {"logits": n}}, {**old, "n": {"labels": n}}]
    terms = [value / rows["n"][name] for rows in steps for name, value in strategy.loss(model, rows).items()]
    assert len(terms) == 3 and min(terms) > 1e-4
    agree(sum(terms), model, found)


def test_derpps_stored_logits():
    """Both store the logits of the model at the end of a task."""
    found = FOUND["der++"]
    strategy = DERpp(size=20)
    strategy.finish(network(found["weights at the end of the first task"]).eval(), {"train": [batch(0)]})
    stored = {tuple(row["x"].tolist()): row["logits"] for row in strategy.rows}
    old = tensors(found["old"])
    ours = torch.stack([stored[tuple(x)] for x in old["x"].tolist()])
    torch.testing.assert_close(ours, old["logits"], **CLOSE)


# ---- the buffer


def test_sizes_of_buffers():
    """Ten places for tasks of 6, 30 and 4 examples: a reservoir of ours and theirs is full as soon as there are ten.

    Avalanche's Replay is not a reservoir by default. It gives each task as many places, as far as it has examples.
    """
    theirs = [[6], [2, 8], [1, 6, 3]]
    assert FOUND["buffers"]["reservoir"] == theirs and FOUND["buffers"]["balanced over tasks"][1:] == [
        [5, 5],
        [4, 3, 3],
    ]
    strategy, sizes = Replay(size=10), []
    for n in (6, 30, 4):
        filled(strategy, numbered([0] * n))
        sizes.append(len(strategy.rows))
    assert sizes == [sum(each) for each in theirs]


def test_a_buffer_balanced_over_classes():
    """24 places for 60, 60 and 4 examples. What the rare class leaves stays empty in Avalanche. Here others get it."""
    labels = [0] * 60 + [1] * 60 + [2] * 4
    ours = Counter(labels[i] for i in filled(Replay(size=24, keep="balanced"), numbered(labels)))
    assert FOUND["buffers"]["balanced over classes"] == [8, 8, 4] and ours == {0: 10, 1: 10, 2: 4}


def test_each_example_stays_with_the_same_probability():
    """5 of 20 examples of two tasks: each count of 2000 is binomial, with mean 500 and deviation 19.4."""
    theirs = FOUND["buffers"]["kept in 2000 reservoirs"]
    ours = Counter(i for seed in range(2000) for i in filled(Replay(size=5), numbered([0] * 20), seed))
    assert sum(theirs) == sum(ours.values()) == 5 * 2000
    assert max(abs(theirs[i] - ours[i]) for i in range(20)) < 4 * 2**0.5 * 19.4  # four deviations of a difference


# ---- how much is forgotten


def test_forgetting():
    """Avalanche's forgetting is minus its backward transfer: it starts from the score after the task itself.

    Ours, as in the paper, starts from the best earlier one. The first task was better after the second: 0.95, not 0.9.
    """
    found, ours = FOUND["forgetting"], ftlib.metrics.forgetting(GIVEN["R"])
    assert ours["backward"] == pytest.approx(sum(found["backward"]) / 2)
    assert found["forgetting"] == [-value for value in found["backward"]]
    assert ours["forgetting"] == pytest.approx(sum(found["forgetting"]) / 2 + (0.95 - 0.9) / 2)
