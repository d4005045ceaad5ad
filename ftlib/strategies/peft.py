"""Parameter-efficient fine-tuning: the pretrained weights stand still, and a few new ones learn.

    LoRA      W x + s · B A x,  A (r, d_in), B (d_out, r) = 0 at first, s = alpha / r     Hu et al., 2022, 2106.09685
      rslora    s = alpha / √r: a larger r does not learn more slowly                    Kalajdzievski, 2023, 2312.03732
      dora      direction and length of each row of W + s · B A apart                    Liu et al., 2024, 2402.09353
      pissa     s · B A starts as the r largest singular directions of W, W as the rest  Meng et al., 2024, 2404.02948
      LoRA+     B learns `ratio` times as fast as A                                      Hayou et al., 2024, 2402.12354
    IA3       keys, values and the inside of the feed-forward part times learned factors Liu et al., 2022, 2205.05638
    Adapter   h + U relu(D h),  D (w, d), U (d, w) = 0 at first                          Houlsby, 2019, 1902.00751
                one a layer instead of two                                               Pfeiffer, 2021, 2005.00247

Frozen means frozen, BatchNorm's statistics included. A task's fresh head is trained; a language model's own head, which
SmolLM2 shares with its embeddings, is not. At insertion the outputs are the same, to the last bit for LoRA, rsLoRA, IA3
and Adapter, up to rounding for DoRA and PiSSA. LoRA and IA3 are the library peft's; it has no bottleneck adapters, so
those are written here. Prompt and Prefix are in strategies.prompts; saving, switching and merging in models.adapters.

Costs: gradients and AdamW moments (12 bytes a parameter in float32) of the new weights only. A step is at best a third
faster than full fine-tuning: it spares the gradients of the weights, and still sends those of the activations through
the network. Lesson: notebooks/04_peft.

Letters: B examples, T tokens, D features, r rank, w width of a bottleneck, d_in and d_out the sides of a matrix.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from peft import IA3Config, LoraConfig, PeftConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from ftlib.networks import batchnorms, train_only_new
from ftlib.strategy import Strategy

VARIANTS = ("plain", "rslora", "dora", "pissa")
# Two sublayers a layer, attention and feed-forward: what each ends in, for BERT's kind and for Llama's.
SUBLAYERS = (("attention.output.dropout", "output.dropout"), ("self_attn.o_proj", "mlp.down_proj"))
KEYS_AND_VALUES = ("key", "value", "k_proj", "v_proj", "k_lin", "v_lin")
FEED_FORWARD = ("output.dense", "down_proj", "lin2", "fc2", "conv_pwl")  # the matrix behind the non-linearity


def _statistics_stand_still(self, model: nn.Module, progress: float) -> None:
    """The slot `before_step` of all that follow: in train mode BatchNorm would move, whatever requires_grad says."""
    for module in batchnorms(model.stages).values():
        module.eval()


@dataclass
class LoRA(Strategy):
    """A learned update of low rank beside each chosen matrix: r (d_in + d_out) parameters instead of d_in · d_out.

    Linear layers and 1 x 1 convolutions take it. A depthwise convolution does not: with one filter a channel there is
    no large matrix to be of low rank, peft would want r divisible by its groups, and could not merge the update.
    """

    r: int = 8  # rank; how much can be learned, hardly how fast
    alpha: float = 16  # the update is scaled by alpha / r: with the same alpha, the same rate does for every r
    targets: str | list = "all"  # "all", "attention", "mlp" (the rest of a transformer), or endings of layers' names
    dropout: float = 0.0  # of what A reads
    variant: str = "plain"  # one of VARIANTS
    ratio: float = 1.0  # rate of B over that of A; LoRA+ proposes 16, with a smaller rate of A
    role = "injection"

    def __post_init__(self):
        if self.variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, but it is {self.variant!r}")
        if self.r < 1 or self.alpha <= 0 or self.ratio <= 0 or not 0 <= self.dropout < 1:
            raise ValueError(f"LoRA needs r >= 1, alpha > 0, ratio > 0 and dropout in [0, 1), but got {self}")

    def prepare(self, model: nn.Module) -> nn.Module:
        return _inject(model, self, self._config)

    def groups(self, groups: list[dict]) -> list[dict]:
        if self.ratio == 1:
            return groups
        out = []
        for group in groups:
            b = [(name, p) for name, p in group["params"] if ".lora_B." in name]
            rest = [(name, p) for name, p in group["params"] if ".lora_B." not in name]
            out += [{**group, "params": b, "lr": self.ratio * group["lr"]}] if b else []
            out += [{**group, "params": rest}] if rest else []
        return out

    before_step = _statistics_stand_still

    def added(self, model: nn.Module) -> int:
        """Parameters that it adds to a model without it: r (d_in + d_out) a layer, DoRA d_out more."""
        sizes = [layer.weight.shape[:2] for layer in choose_layers(model, self.targets).values()]
        return sum(self.r * (d_in + d_out) + d_out * (self.variant == "dora") for d_out, d_in in sizes)

    def _config(self, model: nn.Module) -> LoraConfig:
        layers = choose_layers(model, self.targets)
        for name, layer in layers.items():
            if self.r > (smaller := min(layer.weight.shape[:2])):
                raise ValueError(f"rank {self.r} is above the smaller side of {name}, {smaller}: choose a smaller r")
            if self.variant == "pissa" and not isinstance(layer, nn.Linear):
                raise ValueError(
                    f"pissa starts from linear layers only, and {name} is a convolution: use plain or dora"
                )
        return LoraConfig(
            r=self.r, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=list(layers),
            use_rslora=self.variant == "rslora", use_dora=self.variant == "dora",
            init_lora_weights="pissa" if self.variant == "pissa" else True,
        )  # fmt: skip


@dataclass
class IA3(Strategy):
    """Learned factors, 1 at first: on keys and values, and on what the last matrix of each feed-forward part reads.

    A convolutional network has no attention: there it is what each block's last 1 x 1 convolution reads.
    """

    role = "injection"

    def prepare(self, model: nn.Module) -> nn.Module:
        return _inject(model, self, self._config)

    before_step = _statistics_stand_still

    def added(self, model: nn.Module) -> int:
        """d_out for each matrix of keys or values, d_in for each of the feed-forward part."""
        layers = linear_layers(model)
        outputs, inputs = self._targets(model)
        return sum(len(layers[n].weight) for n in outputs) + sum(layers[n].weight.shape[1] for n in inputs)

    def _targets(self, model: nn.Module) -> tuple[list[str], list[str]]:
        """The layers whose outputs are scaled, and those whose inputs are."""
        names = list(linear_layers(model))
        outputs = [name for name in names if name.split(".")[-1] in KEYS_AND_VALUES]
        inputs = [name for name in names if name.endswith(FEED_FORWARD) and "att" not in name]
        if not inputs:
            inputs = list({name.split(".")[1]: name for name in names}.values())  # the last one of each stage
        return outputs, inputs

    def _config(self, model: nn.Module) -> IA3Config:
        outputs, inputs = self._targets(model)
        return IA3Config(target_modules=outputs + inputs, feedforward_modules=inputs)


@dataclass
class Adapter(Strategy):
    """A small bottleneck after each layer ("pfeiffer"), or after attention and after feed-forward ("houlsby").

    Stage 0, the embeddings or the stem, has none. Where a layer ends in a normalisation (BERT), pfeiffer reads what
    that gives, adds to what it was given, and normalises again: N(z + U relu(D N(z))). In a convolutional network it
    follows each stage, on the channels (Rebuffi et al., CVPR 2018, 1803.10082). It is no matrix beside another matrix,
    so it cannot be merged: it stays, and costs a little time.
    """

    width: int = 16  # w
    placement: str = "pfeiffer"
    role = "injection"

    def __post_init__(self):
        if self.placement not in ("pfeiffer", "houlsby"):
            raise ValueError(f"placement must be 'pfeiffer' or 'houlsby', but it is {self.placement!r}")
        if self.width < 1:
            raise ValueError(f"width counts the features of the bottleneck: it must be 1 or more, not {self.width}")

    def prepare(self, model: nn.Module) -> nn.Module:
        found = [m for m in model.modules() if isinstance(m, Adapted)]
        if any(m.made_by != [self.width, self.placement] for m in found):
            raise ValueError(f"the model holds other adapters than those of {self}: load it anew")
        if not found:
            for parent, name, d in self._sites(model):
                kind = AdaptedNorm if name == "LayerNorm" else Adapted
                setattr(parent, name, kind(getattr(parent, name), d, self.width, [self.width, self.placement]))
        return train_only_new(model, [p for m in model.modules() if isinstance(m, Adapted) for p in m.new()])

    before_step = _statistics_stand_still

    def added(self, model: nn.Module) -> int:
        """2dw + d + w at each place."""
        return sum(2 * d * self.width + d + self.width for _, _, d in self._sites(model))

    def _sites(self, model: nn.Module) -> list[tuple[nn.Module, str, int]]:
        """(parent, name of its child, d): an adapter stands behind each of these children."""
        out = []
        for k, stage in enumerate(list(model.stages)[1:], 1):
            whole = hasattr(stage, "layer") and hasattr(stage, "norm")  # Normed: the last layer and what follows it
            layer, d = (stage.layer, model.width) if whole else (stage, [*stage.parameters()][-1].shape[0])
            names = dict(layer.named_modules())
            if self.placement == "houlsby":
                ends = next((ends for ends in SUBLAYERS if all(end in names for end in ends)), ())
                out += [(names[parent], child, d) for parent, _, child in (end.rpartition(".") for end in ends)]
            elif "output.LayerNorm" in names:
                out.append((names["output"], "LayerNorm", d))
            else:
                out.append((stage, "layer", d) if whole else (model.stages, str(k), d))
        if not out:
            raise ValueError(
                "houlsby needs layers of attention and feed-forward, as MiniLM's: use placement='pfeiffer'"
            )
        return out


class Adapted(nn.Module):
    """A part of the model and the bottleneck behind it: h + U relu(D h), h = base(x); h (..., d) or (B, d, H, W)."""

    def __init__(self, base: nn.Module, d: int, w: int, made_by: list):
        super().__init__()
        self.base, self.down, self.up, self.made_by = base, nn.Linear(d, w), nn.Linear(w, d), made_by
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def new(self) -> list[nn.Parameter]:
        """What it added to its base."""
        return [*self.down.parameters(), *self.up.parameters()]

    def bottleneck(self, h: Tensor) -> Tensor:
        h = h.movedim(1, -1) if h.ndim == 4 else h  # channels, as features, come last
        h = self.up(F.relu(self.down(h)))
        return h.movedim(-1, 1) if h.ndim == 4 else h

    def forward(self, *args, **kwargs) -> Tensor:
        h = self.base(*args, **kwargs)
        return h + self.bottleneck(h)


class AdaptedNorm(Adapted):
    """The same for a normalisation that ends a layer: N(z + U relu(D N(z)))."""

    def forward(self, z: Tensor) -> Tensor:
        return self.base(z + self.bottleneck(self.base(z)))


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every linear layer and plain 1 x 1 convolution of the stages: what low-rank updates and factors can be put on."""
    out, inside = {}, ()
    for name, module in model.stages.named_modules(prefix="stages"):
        if name.startswith(inside):
            continue
        if isinstance(module, BaseTunerLayer | Adapted):  # what was put in is no layer of the model
            inside += tuple(f"{name}.{new}." for new, _ in module.named_children() if not new.startswith("base"))
        if isinstance(module, BaseTunerLayer):
            inside, module = (*inside, f"{name}."), module.get_base_layer()
        if isinstance(module, nn.Linear) or _is_pointwise(module):
            out[name] = module
    return out


def _is_pointwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1


def choose_layers(model: nn.Module, targets: str | list) -> dict[str, nn.Module]:
    """The layers that `LoRA.targets` means, by name; ValueError, with what there is, for targets that match nothing."""
    layers = linear_layers(model)
    attention = {name for name in layers if "att" in name}
    if targets == "all":
        return layers
    if targets in ("attention", "mlp") and attention:
        return {name: m for name, m in layers.items() if (name in attention) == (targets == "attention")}
    endings = [targets] if isinstance(targets, str) else targets
    for ending in endings:
        if any(f".{name}".endswith(f".{ending}") for name in layers):
            continue
        there = ", ".join(dict.fromkeys(name.split(".")[-1] for name in layers))
        other = [m for name, m in model.stages.named_modules() if f".{name}".endswith(f".{ending}")]
        why = "matches no layer"
        if any(isinstance(m, nn.Conv2d) for m in other):
            why = "is a depthwise or larger convolution, which takes no low-rank update that can be merged"
        raise ValueError(f"the target {ending!r} {why}: choose 'all', or endings of layers' names: {there}")
    return {name: m for name, m in layers.items() if any(f".{name}".endswith(f".{ending}") for ending in endings)}


def _inject(model: nn.Module, strategy: Strategy, make: Callable[[nn.Module], PeftConfig]) -> nn.Module:
    """peft's layers, once: a second injection would draw a learned adapter anew, with no more than a warning."""
    new, held = make(model), adapter_layers(model)
    layers = set(new.target_modules)  # peft shortens them when it injects
    if any(layer.merged for layer in held.values()):
        raise ValueError("the adapter is merged into the weights, where it cannot learn: unmerge(model) first")
    if not held:
        inject_adapter_in_model(new, model)
    else:
        old = model.peft_config[active_adapter(model)]
        knobs = ("peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "init_lora_weights")
        same = [getattr(old, k, None) for k in knobs] == [getattr(new, k, None) for k in knobs]
        if not same or {name for name, layer in held.items() if _active(layer)} != layers:
            raise ValueError(
                f"the model holds an adapter already, and another one than that of {strategy}: load it anew"
            )
    return train_only_new(model, [p for layer in adapter_layers(model).values() for p in _active(layer)])


def adapter_layers(model: nn.Module) -> dict[str, BaseTunerLayer]:
    """The layers that peft has put an adapter on, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def active_adapter(model: nn.Module) -> str:
    """The name of the adapter in use; ValueError if there is none."""
    for layer in adapter_layers(model).values():
        return layer.active_adapters[0]
    raise ValueError("the model holds no LoRA and no IA3: train one, or load_adapter(model, folder, name)")


def _active(layer: BaseTunerLayer) -> list[nn.Parameter]:
    """The new parameters of the adapter in use, not of others that were loaded beside it."""
    names = set(layer.active_adapters)
    return [p for n, p in layer.named_parameters() if "base_layer" not in n and set(n.split(".")) & names]
