"""Image networks from timm, cut into stages.

Most image networks are a chain: their children, called one after the other in the order of definition, are
the forward pass. `chain` uses that, for EfficientNet, MobileNet, ResNet, ConvNeXt, RegNet, Swin and their
like. A vision transformer (ViT, DeiT, BEiT) does work that belongs to no child: class token, positions,
pooling. `ends` keeps two copies of it, emptied of the blocks, for what comes before and after them. No cut
is trusted: each must give what the uncut network gives on random images. A network that neither fits (CaiT,
HRNet, Hiera) is run as a whole, see `around`: its stages say which tensor comes where, for freezing and
learning rates, but it cannot be entered between them.

Not carried over: dropout that a network applies outside its children, before the head (timm's default:
none).
"""

import copy
import json
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from ftlib import assets
from ftlib.models.base import Model, fill, read_tensors, same
from ftlib.models.depthwise import use_fast_depthwise

BODIES = ("blocks", "stages", "layers", "features")  # what timm calls the container of the blocks


class ImageModel(Model):
    """batch["pixels"]: floats in 0..1, (B, C, H, W), C = 1 or the network's own; normalised here."""

    kind = "image"

    def split(self, net):
        cfg = net.pretrained_cfg
        for name in ("mean", "std"):  # of the pixels, per channel
            value = torch.tensor(cfg[name]).view(1, -1, 1, 1)  # (1, C, 1, 1)
            self.register_buffer(name, value, persistent=False)
        x = torch.randn(2, *cfg["input_size"], generator=torch.Generator().manual_seed(0))  # (B, C, H, W)
        with torch.no_grad():
            try:
                logits = net(x)
            except (AssertionError, RuntimeError) as error:
                size = tuple(cfg["input_size"])
                raise ValueError(f"{self.name}: the network does not take images of {size}, its input_size") from error
            head = _linear(net.get_classifier())
            net.reset_classifier(0)  # timm's way to take the head off: what is left gives the features
            features = net(x)
            fits = head is not None and same(head(features), logits)
            if features.ndim != 2 or not (fits or self.outputs):
                raise ValueError(
                    f"{self.name}: {type(net).__name__} does not end in features (B, D) and one linear head: "
                    f"load it with a task, which brings a head, or choose another network"
                )
            cut = next((cut for cut in (chain, ends) if _proved(cut, net, x)), around)
        self.whole = cut is around
        return cut(net), head, features.shape[1]

    def inputs(self, batch):
        x, channels = batch["pixels"], self.mean.shape[1]
        if not x.is_floating_point() or x.ndim != 4 or x.shape[1] not in (1, channels):
            raise ValueError(
                f"pixels must be floats in 0..1 of shape (B, 1 or {channels}, H, W), but these are "
                f"{str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)}: convert them first"
            )
        return (x - self.mean) / self.std  # (B, C, H, W); grey is broadcast to every channel

    def run_stages(self, h, batch, start, stop):
        if not self.whole:
            return super().run_stages(h, batch, start, stop)
        if start not in (0, len(self.stages)) or stop not in (0, len(self.stages)):
            raise ValueError(
                f"{self.name} is no chain of its stages and cannot be entered between them: use k = 0 or "
                f"{len(self.stages)}, or a network such as EfficientNet, ResNet, ConvNeXt or ViT"
            )
        return self.stages[0](h) if stop > start else h  # stage 0 is the network itself: see `around`


def chain(net: nn.Module) -> dict[str, nn.Module]:
    """The children in order, containers of blocks opened.

    A part without a weight matrix (normalisation, activation, pooling) joins the stage before it.
    """
    parts, groups = [], []
    for name, child in net.named_children():
        if name in BODIES and isinstance(child, nn.Sequential | nn.ModuleList):
            parts += [(f"{name}.{i}", block) for i, block in child.named_children()]
        else:
            parts.append((name, child))
    for name, part in parts:
        if not groups or any(p.ndim > 1 for p in part.parameters()):
            groups.append((name if groups else "stem", [(name, part)]))
        else:
            groups[-1][1].append((name, part))
    return {name: _sequence(group) for name, group in groups}


def ends(net: nn.Module) -> dict[str, nn.Module]:
    """What the network itself does before its blocks, the blocks, and what it does after them."""
    names = list(net._modules)
    if "blocks" not in names:
        return {}
    at = names.index("blocks")
    before, after = Before(_emptied(net, names[at:])), After(_emptied(net, names[: at + 1]))
    blocks = {f"blocks.{i}": block for i, block in net.blocks.named_children()}
    last, block = blocks.popitem()
    return {"stem": before, **blocks, last: _sequence([("block", block), ("after", after)])}


class Before(nn.Module):
    """From the image to the tokens: the network without its blocks and what follows them."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net.forward_features(x)  # (B, T, D)


class After(nn.Module):
    """From the tokens to the features: only what follows the blocks (normalisation, pooling)."""

    def __init__(self, net: nn.Module):
        super().__init__()
        net._parameters, net._buffers = {}, {}  # class token and positions stay in `Before`
        self.net = net

    def forward(self, h: Tensor) -> Tensor:
        return self.net.forward_head(self.net.norm(h), pre_logits=True)  # (B, D)


def around(net: nn.Module) -> dict[str, nn.Module]:
    """Any network: stage 0 is the network itself, and does the whole work.

    The other stages are taken off its list of children, so that each tensor is listed once; it still reaches
    them, as plain attributes.
    """
    (_, first), *rest = chain(net).items()
    children = {name: child for name, child in net._modules.items() if child is not None}
    for name in children:
        del net._modules[name]
    net.__dict__.update(children)
    net.add_module("first_stage", first)
    return {"stem": net, **dict(rest)}


def read_lite0(pretrained: bool) -> tuple[nn.Module, Callable]:
    """(EfficientNet-Lite0, function that draws it anew): no squeeze-and-excitation, ReLU6, for phones.

    The checkpoint has other names than timm and the same order, so its tensors are matched by position.
    """
    cfg = {"mean": [127 / 255] * 3, "std": [128 / 255] * 3, "input_size": (3, 64, 64)}  # the size of the proof only
    make = partial(_create, "tf_efficientnet_lite0", {"num_classes": 1000}, cfg)
    net = make()
    if pretrained:
        path = assets.path("efficientnet-lite0")
        tensors, names = torch.load(path, map_location="cpu", weights_only=True), list(net.state_dict())
        if len(tensors) != len(names):
            raise ValueError(f"{path} holds {len(tensors)} tensors, not {len(names)}: it is another model")
        fill(net, dict(zip(names, tensors.values())), path)
    return net, make


def read_folder(folder: Path, pretrained: bool) -> tuple[nn.Module, Callable]:
    """(network, function that draws it anew), from a folder as timm.models.save_for_hf writes it."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config["architecture"], str) or not timm.is_model(config["architecture"]):
        raise ValueError(f"{folder} holds a {config['architecture']!r}, unknown to timm {timm.__version__}")
    arguments = {"num_classes": config.get("num_classes", 1000), **config.get("model_args", {})}
    make = partial(_create, config["architecture"], arguments, config.get("pretrained_cfg", {}))
    try:
        net = make()
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder}: timm cannot make a {config['architecture']!r} of the model_args in config.json: {error}"
        ) from error
    if pretrained:
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise FileNotFoundError(f"{weights} is missing: use save_for_hf(..., safe_serialization=True)")
        fill(net, read_tensors(weights), weights)
    return net, make


def _create(architecture: str, arguments: dict, cfg: dict) -> nn.Module:
    net = use_fast_depthwise(timm.create_model(architecture, pretrained=False, **arguments))
    net.pretrained_cfg = {**net.pretrained_cfg, **cfg}
    return net


def _linear(head) -> nn.Module | None:
    """The head as nn.Linear (a 1 x 1 convolution is one), Identity if there is none, None for other kinds."""
    if isinstance(head, nn.Conv2d):
        weights = {name: p.squeeze((-2, -1)) if p.ndim == 4 else p for name, p in head.state_dict().items()}
        linear = nn.Linear(head.in_channels, head.out_channels, bias=head.bias is not None)
        return fill(linear, weights, "the convolution")
    return head if isinstance(head, nn.Linear | nn.Identity) else None


def _proved(cut: Callable, net: nn.Module, x: Tensor) -> bool:
    """Whether the stages give the same features as the network.

    Seen on a copy in which nothing is near zero: many parameters are drawn so, and their part would do nothing yet.
    """
    net = copy.deepcopy(net)
    for p in net.parameters():
        if p.abs().max() < 0.01:
            p.uniform_(0.5, 1, generator=torch.Generator().manual_seed(0))
    features, stages = net(x), cut(net)
    try:
        for stage in stages.values():
            x = stage(x)
    except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False  # a part that wants other arguments than the output of the part before it
    return isinstance(x, Tensor) and same(x, features)


def _sequence(parts: list[tuple[str, nn.Module]]) -> nn.Module:
    """Parts as one stage; a single part stays itself."""
    if len(parts) == 1:
        return parts[0][1]
    return nn.Sequential(OrderedDict((name.replace(".", "_"), part) for name, part in parts))


def _emptied(net: nn.Module, names: list[str]) -> nn.Module:
    """A copy of the network that shares its tensors, with the children in `names` replaced by nothing."""
    part = copy.copy(net)
    part._modules = net._modules | {name: nn.Sequential() for name in names if net._modules[name] is not None}
    return part
