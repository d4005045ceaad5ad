"""Domain adaptation beside pytorch-adapt and skada, whose values tests/data/domain_peers.py wrote down."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ftlib.strategies import domain_gauge
from ftlib.strategies.domain import CDAN, MCD, class_confusion, coral, entropy, mmd, reverse, tell_apart

DATA = json.loads((Path(__file__).parents[1] / "data" / "domain_peers.json").read_text(encoding="utf-8"))
X = {name: torch.tensor(value, dtype=torch.float64) for name, value in DATA["inputs"].items()}


class Model:
    """What CDAN and MCD ask of a model."""

    def __init__(self, head, second=None):
        self.head, self.second = head, second


def agree(name: str, call, *inputs, tolerance=1e-9) -> None:
    """The value, and the gradient with respect to each input."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    value, found = call(*inputs), DATA["found"][name]
    assert value.item() == pytest.approx(found["value"], abs=tolerance)
    for ours, theirs in zip(torch.autograd.grad(value, inputs), found.get("gradients", []), strict=False):
        torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64), rtol=0, atol=tolerance)


def test_the_values_come_from_the_versions_that_the_script_names():
    script = (Path(__file__).parents[1] / "data" / "domain_peers.py").read_text(encoding="utf-8")
    for name in ("pytorch-adapt", "pytorch-metric-learning", "skada"):
        assert f"{name}=={DATA['versions'][name]}" in script


@pytest.mark.parametrize("peer", ["pytorch-adapt", "skada"])
def test_coral(peer):
    agree(f"coral, {peer}", coral, X["source"], X["target"])


def test_mmd():
    """pytorch-adapt leaves out each row beside itself, where k is 1; so does this, from means that count it."""

    def without(s, t):
        squared = torch.cat([s, t])
        squared = (squared[:, None] - squared[None]).square().sum(-1)
        unit, total = squared.detach().mean(), mmd(s, t, widths=[0.25, 0.5, 1.0, 2.0, 4.0])
        for rows, n in ((slice(0, len(s)), len(s)), (slice(len(s), None), len(t))):
            k = sum(torch.exp(-squared[rows, rows] / (w * unit)) for w in (0.25, 0.5, 1.0, 2.0, 4.0)) / 5
            total = total - k.mean() + (k.sum() - n) / (n * (n - 1))
        return total

    agree("mmd without each row beside itself, pytorch-adapt", without, X["source"], X["target"])


def test_class_confusion():
    agree("class confusion, pytorch-adapt", lambda x: class_confusion(x, 2.5), X["logits"], tolerance=1e-6)
    agree("class confusion, skada", lambda x: class_confusion(x, 2.5), X["logits"], tolerance=1e-6)


def test_entropy_and_information_maximisation():
    agree("entropy, pytorch-adapt", lambda x: entropy(x).mean(), X["logits"])
    ours = domain_gauge.information_maximisation(X["logits"])
    assert ours == pytest.approx(DATA["found"]["im, pytorch-adapt"]["value"], abs=1e-6)


def test_mcd():
    """Two heads that give the answers as they are; behind the reversal, the features get the gradient turned round."""
    ours = MCD().align(Model(lambda h: h, lambda h: X["other"]), None, X["logits"])
    assert -ours.item() == pytest.approx(DATA["found"]["mcd, pytorch-adapt"]["value"], abs=1e-9)
    h = X["logits"].clone().requires_grad_()
    MCD().align(Model(lambda h: h, lambda h: X["other"]), None, h).backward()
    theirs = torch.tensor(DATA["found"]["mcd, pytorch-adapt"]["gradients"][0], dtype=torch.float64)
    torch.testing.assert_close(h.grad, theirs, rtol=0, atol=1e-9)  # lowering −apart behind a reversal lowers apart


def test_dann():
    ours = (lambda s, t: tell_apart(lambda x: x[:, None], s, t), X["guesses_source"], X["guesses_target"])
    agree("dann, skada", *ours, tolerance=1e-6)


def test_cdan():
    strategy, model = CDAN(), Model(lambda h: h @ X["head"].T)
    theirs = torch.tensor(DATA["found"]["cdan, skada"]["value"], dtype=torch.float64)
    torch.testing.assert_close(strategy.given(model, X["source"]), theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("peer", ["pytorch-adapt", "skada"])
def test_reversal(peer):
    x = torch.ones(3, requires_grad=True)
    reverse(x, 0.7).backward(torch.tensor([1.0, -2.0, 3.0]))
    torch.testing.assert_close(x.grad, torch.tensor(DATA["found"][f"reversal, {peer}"]["gradients"][0]))


def test_soft_neighbourhood_density():
    ours = domain_gauge.soft_neighbourhood_density(X["logits"])
    assert ours == pytest.approx(DATA["found"]["snd, pytorch-adapt"]["value"], abs=1e-5)


def test_deep_embedded_validation(monkeypatch):
    """From the same weights: what tells the domains apart is each library's own."""
    w = X["weights"].numpy()

    class Known:
        def predict_proba(self, x):
            return np.stack([1 / (1 + w), w / (1 + w)], axis=1)

    monkeypatch.setattr(domain_gauge, "_classifier", lambda x, domain: Known())
    many, held_out = torch.randn(12, 3), torch.randn(7, 3)
    ours = domain_gauge.deep_embedded_validation(X["losses"], held_out, many, many)
    assert ours == pytest.approx(DATA["found"]["dev, pytorch-adapt"]["value"], abs=1e-9)
