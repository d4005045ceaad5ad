"""The written-out weight gradient of depthwise convolutions is PyTorch's own."""

import copy

import pytest
import torch
from torch import nn

from ftlib import models, tasks
from ftlib.models import depthwise
from ftlib.models.depthwise import Depthwise, use_fast_depthwise, weight_gradient


@pytest.fixture(autouse=True)
def slow(monkeypatch):
    monkeypatch.setattr(depthwise, "SLOWER", {3: 16, 5: 144})  # whatever this processor is


@pytest.mark.parametrize(("size", "kernel"), [(1, 5), (2, 3), (2, 5), (3, 5), (4, 3), (4, 5), (6, 5), (12, 5)])
def test_outputs_and_gradients_are_pytorchs(size, kernel):
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 6, kernel, padding=kernel // 2, groups=6, bias=False)
    ours = use_fast_depthwise(nn.Sequential(copy.deepcopy(plain)))[0]
    assert type(ours) is Depthwise
    x = torch.randn(5, 6, size, size).contiguous(memory_format=torch.channels_last)
    ends = []
    for conv in (plain, ours):
        here = x.clone().requires_grad_()
        y = conv(here)
        (y * torch.arange(y.numel()).view_as(y).cos()).sum().backward()
        ends.append((y.detach(), here.grad, conv.weight.grad))
    # A weight's gradient is a sum of up to 720 products, in another order: rounding grows with the largest of them.
    for ours, theirs in zip(ends[1], ends[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_the_gradient_by_the_sum_written_out():
    x, g = torch.randn(2, 3, 2, 2, dtype=torch.double), torch.randn(2, 3, 2, 2, dtype=torch.double)
    got = weight_gradient(x, g, 3, (1, 1))
    for c, i, j in ((0, 0, 0), (1, 1, 1), (2, 2, 0)):
        want = sum(
            g[b, c, y, z] * x[b, c, y + i - 1, z + j - 1]
            for b in range(2) for y in range(2) for z in range(2)
            if 0 <= y + i - 1 < 2 and 0 <= z + j - 1 < 2
        )  # fmt: skip
        assert got[c, 0, i, j].item() == pytest.approx(float(want))


def test_a_frozen_depthwise_weight_gets_no_gradient_and_passes_one_on():
    conv = use_fast_depthwise(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)))[0].requires_grad_(
        False
    )
    x = torch.randn(2, 4, 2, 2, requires_grad=True)
    conv(x).sum().backward()
    assert conv.weight.grad is None and x.grad.abs().sum() > 0


def test_a_gradient_of_the_gradient_is_pytorchs():
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
    ends = []
    for conv in (plain, use_fast_depthwise(nn.Sequential(copy.deepcopy(plain)))[0]):
        x = torch.ones(2, 3, 2, 2, requires_grad=True)
        (g,) = torch.autograd.grad(conv(x).pow(2).sum(), [conv.weight], create_graph=True)
        ends.append(torch.autograd.grad(g.pow(2).sum(), [x])[0])
    torch.testing.assert_close(ends[1], ends[0])


def test_only_plain_depthwise_convolutions_of_stride_one_are_replaced():
    convs = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(4, 4, 3, 2, 1, groups=4),
        nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding="same", groups=4, bias=False), nn.Conv2d(1, 1, 3, padding=1, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False, padding_mode="reflect"),
    )  # fmt: skip
    assert not [
        c for c in use_fast_depthwise(convs) if type(c) is not nn.Conv2d
    ]  # of the sixth, the bias is the reason


def test_lite0_uses_it_and_its_tensors_keep_their_names():
    model = models.load("efficientnet-lite0", tasks.load("digits/optical", n=20, size=32))
    assert sum(isinstance(m, Depthwise) for m in model.modules()) == 12
    model.reset_parameters()  # the weights drawn anew fit into it
