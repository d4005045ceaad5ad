"""BatchNorms folded into convolutions: the same numbers, the network as before, and no fold where it would be wrong."""

import copy

import pytest
import torch
from torch import nn

from ftlib import models, tasks
from ftlib.models import folding
from ftlib.models.folding import folded, pairs
from ftlib.training.loop import evaluate
from test_cache import Tiny


@pytest.fixture(scope="module")
def lite0():
    torch.manual_seed(0)
    return models.load("efficientnet-lite0", tasks.load("digits/mnist", seed=0, n=40, size=32, held_out=40))


def test_it_gives_the_same_and_leaves_the_network_as_it_was(lite0):
    model, batch = copy.deepcopy(lite0), {"pixels": torch.rand(4, 1, 32, 32)}
    names, state = [n for n, _ in model.named_modules()], copy.deepcopy(model.state_dict())
    with torch.no_grad():
        want = model(batch)
        with folded(model):
            assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
            torch.testing.assert_close(model(batch), want, rtol=1e-4, atol=1e-5)
        assert torch.equal(model(batch), want)
    assert [n for n, _ in model.named_modules()] == names
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)


def test_an_error_within_leaves_the_network_as_it_was(lite0):
    model, before = copy.deepcopy(lite0), lite0.state_dict()
    with pytest.raises(KeyboardInterrupt), torch.no_grad(), folded(model):
        raise KeyboardInterrupt
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_statistics_that_moved_are_those_of_the_fold(lite0):
    model, batch = copy.deepcopy(lite0), {"pixels": torch.rand(4, 1, 32, 32)}
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.running_mean.add_(0.1)
            norm.running_var.mul_(1.3)
            norm.bias.sub_(0.1)
        want = model(batch)
        with folded(model):
            torch.testing.assert_close(model(batch), want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("why", ["gradients", "autocast", "training", "a hook"])
def test_where_it_does_not_fit_nothing_is_folded(lite0, why):
    model = copy.deepcopy(lite0)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if why == "training":
        model.train()
    if why == "a hook":
        for norm in norms:
            norm.register_forward_hook(lambda *args: None)
    with torch.set_grad_enabled(why == "gradients"), torch.autocast("cpu", enabled=why == "autocast"), folded(model):
        assert len([m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]) == len(norms)


class Between(nn.Module):
    """A convolution and a BatchNorm that stand side by side, with something in between when it runs."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x).relu())


def test_a_pair_that_only_looks_like_one_is_found_out():
    last = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Tiny(nn.Sequential(Between(), last), None, "tiny", 3).eval()
    model.mean = torch.zeros(1, 1, 1, 1)
    assert len(pairs(model)) == 1
    with torch.no_grad(), folded(model):
        assert isinstance(model.stages[0].norm, nn.BatchNorm2d)


def test_an_evaluation_is_that_of_the_plain_network(lite0, monkeypatch):
    loader = tasks.load("digits/mnist", seed=0, n=40, size=32, held_out=40).loader("test")
    got = evaluate(lite0, loader)
    monkeypatch.setattr(folding, "pairs", lambda model: [])
    assert got == pytest.approx(evaluate(lite0, loader), rel=1e-4)
