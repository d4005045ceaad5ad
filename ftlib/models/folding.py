"""BatchNorm folded into the convolution before it: what an evaluation needs not compute.

    γ · (w ∗ x + b − μ) / σ + β   =   (w · γ/σ) ∗ x + (b − μ) · γ/σ + β

In evaluation mode μ and σ stand still, so both layers are one convolution: the same numbers up to rounding, and a
quarter less time for EfficientNet-Lite0 on a CPU (docs/LOG.md). Which convolution stands before which BatchNorm is read
from the order in which a network's parts were defined. That is a guess, so it is proved on random images and random
statistics before it is used, once for each kind of network.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ftlib.models.base import Model, same
from ftlib.networks import walk

SIDE = 48  # pixels of the random images of the proof

_proved: dict[tuple, bool] = {}  # types of a network's modules -> whether its pairs may be folded


@contextmanager
def folded(model: nn.Module) -> Iterator[None]:
    """Within the block, an image model in evaluation mode computes its BatchNorms as part of its convolutions.

    Nothing is changed for other models, on other devices than the CPU, or under autocast.
    """
    plain = (
        getattr(model, "kind", None) == "image" and isinstance(model, Model) and not torch.is_autocast_enabled("cpu")
    )
    plain = plain and not torch.is_grad_enabled() and next(model.parameters()).device.type == "cpu"
    found = pairs(model) if plain else []
    with _folded(found if found and _may_be(model) else []):
        yield


def pairs(model: nn.Module) -> list[tuple[nn.Module, str, nn.Conv2d, nn.Module]]:
    """(parent, name of the BatchNorm in it, convolution, BatchNorm), where nobody listens to either of them."""
    found = []
    for parent in walk(model):
        children = [(name, child) for name, child in parent._modules.items() if child is not None]
        for (_, conv), (name, norm) in pairwise(children):
            fits = isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and not norm.training
            fits = fits and conv.out_channels == norm.num_features and norm.track_running_stats
            if fits and not any(m._forward_hooks or m._forward_pre_hooks for m in (conv, norm)):
                found.append((parent, name, conv, norm))
    return found


@contextmanager
@torch.no_grad()
def _folded(found: list) -> Iterator[None]:
    kept = [(conv, dict(conv._parameters)) for _, _, conv, _ in found]
    try:
        for parent, name, conv, norm in found:
            statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics)
            rest = [getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)]  # timm's, in one module
            parent._modules[name] = nn.Sequential(*rest)
        yield
    finally:
        for (parent, name, _, norm), (conv, parameters) in zip(found, kept, strict=True):
            parent._modules[name] = norm
            conv._parameters.update(parameters)


def _may_be(model: Model) -> bool:
    """Whether folding leaves what the network gives, for any statistics: proved once for each kind of network."""
    kind = tuple(map(type, walk(model)))
    if kind not in _proved:
        try:
            _proved[kind] = _prove(copy.deepcopy(model))
        except (RuntimeError, TypeError, ValueError):  # it does not take such images, or cannot be copied
            _proved[kind] = False
    return _proved[kind]


@torch.no_grad()
def _prove(model: Model) -> bool:
    g = torch.Generator().manual_seed(0)
    model.eval()
    for *_, norm in pairs(model):
        norm.running_mean.normal_(generator=g)
        for tensor in (norm.running_var, norm.weight, norm.bias):
            if tensor is not None:
                tensor.uniform_(0.5, 1.5, generator=g)
    h = torch.randn(2, model.mean.shape[1], SIDE, SIDE, generator=g)  # (B, C, H, W)
    want = model.run_stages(h, {}, 0, len(model.stages))
    with _folded(pairs(model)):
        return same(model.run_stages(h, {}, 0, len(model.stages)), want)
