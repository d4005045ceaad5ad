"""Parameter-efficient fine-tuning: freeze the pretrained weights and train a few new ones.

    LoRA      W x + s · B A x,  A (r, d_in), B (d_out, r) = 0 at first, s = alpha / r     Hu et al., 2022, 2106.09685
      rslora    s = alpha / √r, so that a larger r doesn't learn more slowly             Kalajdzievski, 2023, 2312.03732
      dora      learns the length of each row of W + s · B A on its own                  Liu et al., 2024, 2402.09353
      pissa     s · B A starts as the r largest singular directions of W, W as the rest  Meng et al., 2024, 2404.02948
      LoRA+     the learning rate of B is `ratio` times that of A                        Hayou et al., 2024, 2402.12354
    IA3       scales keys, values and the inside of the feed-forward layers              Liu et al., 2022, 2205.05638
    Adapter   h + U relu(D h),  D (w, d), U (d, w) = 0 at first, two per layer           Houlsby, 2019, 1902.00751
                one per layer                                                            Pfeiffer, 2021, 2005.00247

The pretrained weights are frozen, and so are the BatchNorm statistics. The new head of a task is trained. A language
model's own head isn't, since SmolLM2 shares it with its embeddings. Insertion doesn't change the outputs. They are the
same to the last bit for LoRA, rsLoRA, IA3 and Adapter, and up to rounding for DoRA and PiSSA. LoRA and IA3 use the
library peft. It has no bottleneck adapters, so they are written here. Prompt and Prefix are in strategies.prompts, and
models.adapters saves, switches and merges adapters.

Costs: gradients and AdamW moments (12 bytes per parameter in float32) of the new weights only. A step is at most a
third faster than a step of full fine-tuning. It saves the gradients of the frozen weights, but the gradients of the
activations still pass through the network. Lesson: notebooks/04_peft.

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
# The last modules of the two sublayers of a layer, attention and feed-forward, in BERT and in Llama.
SUBLAYERS = (("attention.output.dropout", "output.dropout"), ("self_attn.o_proj", "mlp.down_proj"))
KEYS_AND_VALUES = ("key", "value", "k_proj", "v_proj", "k_lin", "v_lin")
FEED_FORWARD = ("output.dense", "down_proj", "lin2", "fc2", "conv_pwl")  # the matrix behind the non-linearity


def _statistics_stand_still(self, model: nn.Module, progress: float) -> None:
    """The slot `before_step` of the classes below: BatchNorm in train mode would update its statistics."""
    for module in batchnorms(model.stages).values():
        module.eval()


@dataclass
class LoRA(Strategy):
    """Add a learned low-rank update to each chosen matrix, W x + s · B A x.

    A matrix gets r (d_in + d_out) new parameters instead of its d_in · d_out own ones. Linear layers and 1 x 1
    convolutions can be chosen. Depthwise convolutions can't, since they have one filter per channel and no large matrix
    to update.

    Parameters
    ----------
    r : int, default 8
        Rank of the update, from 1 to the smaller side of the matrix. It limits the possible changes and hardly affects
        the speed of learning.
    alpha : float, default 16
        The update is scaled by alpha / r, above 0. With a fixed alpha, one learning rate fits every rank.
    targets : str or list of str, default "all"
        "all", "attention", "mlp" (the other layers of a transformer), or endings of layer names.
    dropout : float, default 0.0
        Dropout probability of the input of A, in [0, 1).
    variant : {"plain", "rslora", "dora", "pissa"}, default "plain"
        See the table of this module.
    ratio : float, default 1.0
        Learning rate of B divided by that of A, above 0. LoRA+ proposes 16, with a smaller learning rate of A.

    Raises
    ------
    ValueError
        If a parameter is out of its range, if a target matches no layer, or if the model holds another adapter already
        or a merged one.

    References
    ----------
    - Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv:2106.09685.
    - Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", 2023, arXiv:2312.03732.
    - Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", 2024, arXiv:2402.09353.
    - Meng, Wang and Zhang, "PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language Models",
      2024, arXiv:2404.02948.
    - Hayou, Ghosh and Yu, "LoRA+: Efficient Low Rank Adaptation of Large Models", 2024, arXiv:2402.12354.

    Examples
    --------
    The model has two matrices, 6 x 16 and 16 x 16, and a head of 51 parameters, which is trained as well.

    >>> lora = strategies.LoRA(r=2)
    >>> lora.added(model)  # 2 · (6 + 16) + 2 · (16 + 16)
    108
    >>> model = lora.prepare(model)
    >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
    159
    """

    r: int = 8
    alpha: float = 16
    targets: str | list = "all"
    dropout: float = 0.0
    variant: str = "plain"
    ratio: float = 1.0
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
        """The number of parameters that it adds to a model: r (d_in + d_out) per layer, and d_out more with DoRA."""
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
    """Scale keys, values and the input of the last matrix of each feed-forward layer by learned factors.

    All factors are 1 at first. A convolutional network has no attention. There the factors scale the input of the last
    1 x 1 convolution of each block.

    Raises
    ------
    ValueError
        If the model holds another adapter already, or a merged one.

    References
    ----------
    Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning Is Better and Cheaper than In-Context Learning", NeurIPS 2022,
    arXiv:2205.05638.

    Examples
    --------
    Each of the two layers has 16 keys, 16 values and 24 features inside its feed-forward part. LoRA needs thirty times
    as many parameters.

    >>> strategies.IA3().added(text_model), strategies.LoRA(r=8).added(text_model)
    (112, 3328)
    """

    role = "injection"

    def prepare(self, model: nn.Module) -> nn.Module:
        return _inject(model, self, self._config)

    before_step = _statistics_stand_still

    def added(self, model: nn.Module) -> int:
        """The number of parameters that it adds: d_out per matrix of keys or values, d_in per feed-forward matrix."""
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
    """Insert small bottleneck layers, h + U relu(D h), into a frozen network.

    Stage 0, the embeddings or the stem, gets no adapter. If a layer ends in a normalisation N, as in BERT, pfeiffer
    computes N(z + U relu(D N(z))). In a convolutional network an adapter follows each stage and works on the channels.
    An adapter can't be merged into the weights, since it isn't linear. So it costs a little time after training, too.

    Parameters
    ----------
    width : int, default 16
        Features w inside the bottleneck, at least 1. An adapter has 2 d w + d + w parameters, where d is the number of
        features of the layer.
    placement : {"pfeiffer", "houlsby"}, default "pfeiffer"
        One adapter per layer, or two, after attention and after the feed-forward part. One has half the parameters.

    Raises
    ------
    ValueError
        If a parameter is out of its range, if the model holds other adapters already, or if it has no layers for
        houlsby.

    References
    ----------
    - Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019, arXiv:1902.00751.
    - Pfeiffer, Kamath, Rücklé, Cho and Gurevych, "AdapterFusion: Non-Destructive Task Composition for Transfer
      Learning", EACL 2021, arXiv:2005.00247.
    - Rebuffi, Bilen and Vedaldi, "Efficient Parametrization of Multi-Domain Deep Neural Networks", CVPR 2018,
      arXiv:1803.10082.

    Examples
    --------
    >>> [strategies.Adapter(4, placement).added(text_model) for placement in ("pfeiffer", "houlsby")]
    [296, 592]
    >>> batch = next(iter(texts))
    >>> before = text_model.eval()(batch)
    >>> text_model = strategies.Adapter(width=4).prepare(text_model)
    >>> torch.equal(text_model.eval()(batch), before)  # U = 0 at first, so nothing changes yet
    True
    """

    width: int = 16
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
        """The number of parameters that it adds: 2 d w + d + w per adapter."""
        return sum(2 * d * self.width + d + self.width for _, _, d in self._sites(model))

    def _sites(self, model: nn.Module) -> list[tuple[nn.Module, str, int]]:
        """(parent, name of a child, d) of each child that gets an adapter behind it."""
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
    """A module and the adapter behind it: h + U relu(D h), h = base(x); h (..., d) or (B, d, H, W)."""

    def __init__(self, base: nn.Module, d: int, w: int, made_by: list):
        super().__init__()
        self.base, self.down, self.up, self.made_by = base, nn.Linear(d, w), nn.Linear(w, d), made_by
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def new(self) -> list[nn.Parameter]:
        """The parameters of the adapter."""
        return [*self.down.parameters(), *self.up.parameters()]

    def bottleneck(self, h: Tensor) -> Tensor:
        h = h.movedim(1, -1) if h.ndim == 4 else h  # channels, as features, come last
        h = self.up(F.relu(self.down(h)))
        return h.movedim(-1, 1) if h.ndim == 4 else h

    def forward(self, *args, **kwargs) -> Tensor:
        h = self.base(*args, **kwargs)
        return h + self.bottleneck(h)


class AdaptedNorm(Adapted):
    """An adapter around the normalisation N at the end of a layer: N(z + U relu(D N(z)))."""

    def forward(self, z: Tensor) -> Tensor:
        return self.base(z + self.bottleneck(self.base(z)))


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """All layers that LoRA and IA3 can change, {name: layer}: linear layers and plain 1 x 1 convolutions."""
    out, inside = {}, ()
    for name, module in model.stages.named_modules(prefix="stages"):
        if name.startswith(inside):
            continue
        if isinstance(module, BaseTunerLayer | Adapted):  # inserted layers don't count
            inside += tuple(f"{name}.{new}." for new, _ in module.named_children() if not new.startswith("base"))
        if isinstance(module, BaseTunerLayer):
            inside, module = (*inside, f"{name}."), module.get_base_layer()
        if isinstance(module, nn.Linear) or _is_pointwise(module):
            out[name] = module
    return out


def _is_pointwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1


def choose_layers(model: nn.Module, targets: str | list) -> dict[str, nn.Module]:
    """The layers that match `LoRA.targets`, {name: layer}; ValueError if a target matches none."""
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
    """Inject peft's layers, but only once, since a second injection would replace a trained adapter by a new one."""
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
    """The layers with an adapter of peft's, {name: layer}."""
    return {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def active_adapter(model: nn.Module) -> str:
    """The name of the active adapter; ValueError if there is none."""
    for layer in adapter_layers(model).values():
        return layer.active_adapters[0]
    raise ValueError("the model holds no LoRA and no IA3: train one, or load_adapter(model, folder, name)")


def _active(layer: BaseTunerLayer) -> list[nn.Parameter]:
    """The parameters of the active adapter, without those of other loaded adapters."""
    names = set(layer.active_adapters)
    return [p for n, p in layer.named_parameters() if "base_layer" not in n and set(n.split(".")) & names]
