"""Freezing: train some of the stages and leave the others exactly as they were.

    freeze first k    θ of stages 0..k-1 stands still                       Lee, Tang & Lin, 2019, 1911.03090
    tune only         some chosen stages and the head ("surgical")          Lee et al., ICLR 2023, 2210.11466
    gradual           the head first, then one more stage from the top      Howard & Ruder, ACL 2018, 1801.06146
    bias only         every bias (BitFit)                                   Ben Zaken et al., ACL 2022, 2106.10199
    norm only         scale and shift of the normalisations                 Frankle et al., ICLR 2021, 2003.00152

The linear probe (all stages frozen) and layer-wise rates (the soft version) are in `full`. Frozen means frozen: no
gradient, and evaluation mode, since BatchNorm's statistics move in train mode whatever requires_grad says. The head is
always trained, unless it shares its weights with a frozen stage.

Costs: only a frozen *beginning* saves work. The backward pass stops where nothing below it learns, and what the
beginning gives an example can be kept (training.frozen_features). Freezing the end saves neither. Lesson:
notebooks/02_freezing.
"""

from dataclasses import dataclass, field

import torch
from accelerate.utils import send_to_device
from torch import nn

from ftlib.networks import set_mode
from ftlib.strategy import FROZEN_ALREADY, HEAD_ALONE, Strategy, count_targets, target_loss


@dataclass
class FreezeFirst(Strategy):
    """Freezing the first k stages trains the later stages and the head.

    With k = 0 this is full fine-tuning, and with all stages frozen it is a linear probe.

    Parameters
    ----------
    k : int, default 1
        Number of frozen stages, counted from the input, between 0 and the number of stages. The default freezes only
        the stem or the embeddings.

    Raises
    ------
    ValueError
        If `k` is negative or above the number of stages.

    References
    ----------
    Lee, Tang & Lin (2019), What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning, arXiv:1911.03090.

    Examples
    --------
    >>> tuned = strategies.FreezeFirst(k=1).prepare(model)
    >>> sum(p.numel() for p in tuned.parameters() if p.requires_grad), sum(p.numel() for p in tuned.parameters())
    (323, 467)
    """

    k: int = 1
    role = "freezing"
    idle = FROZEN_ALREADY | HEAD_ALONE

    def prepare(self, model: nn.Module) -> nn.Module:
        if not 0 <= self.k <= len(model.stages):
            raise ValueError(f"k counts stages from the input: it must be 0 to {len(model.stages)}, not {self.k}")
        model.stages[: self.k].requires_grad_(False)
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        for stage in model.stages[: self.k]:
            set_mode(stage, training=False)


@dataclass
class TuneOnly(Strategy):
    """Surgical fine-tuning trains only some chosen stages and the head.

    The idea is to train where the data have changed. Noisy images need the first stages, and new classes the last.

    Parameters
    ----------
    stages : list of int, default [0]
        Numbers of the trained stages, counted from the input. Negative numbers count from the end, so -1 is the last.
        The default is the first stage, which reads the input itself.

    Raises
    ------
    ValueError
        If a number is outside the stages of the model.

    References
    ----------
    Lee et al. (2023), Surgical Fine-Tuning Improves Adaptation to Distribution Shifts, ICLR, arXiv:2210.11466.

    Examples
    --------
    >>> tuned = strategies.TuneOnly(stages=[-1]).prepare(model)
    >>> [all(p.requires_grad for p in stage.parameters()) for stage in tuned.stages]
    [False, True]
    """

    stages: list = field(default_factory=lambda: [0])
    role = "freezing"
    idle = FROZEN_ALREADY | HEAD_ALONE

    def prepare(self, model: nn.Module) -> nn.Module:
        for i, stage in enumerate(model.stages):
            if i not in self._chosen(model):
                stage.requires_grad_(False)
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        for i, stage in enumerate(model.stages):
            if i not in self._chosen(model):
                set_mode(stage, training=False)

    def _chosen(self, model: nn.Module) -> set[int]:
        n = len(model.stages)
        if wrong := [i for i in self.stages if not -n <= i < n]:
            raise ValueError(f"stages are numbered 0 to {n - 1}, or -{n} to -1 from the end, but {wrong} was asked for")
        return {i % n for i in self.stages}


@dataclass
class GradualUnfreezing(Strategy):
    """Gradual unfreezing trains the head first and adds one stage after another, the last stage first.

    Parameters
    ----------
    share : float, default 0.5
        Share of the steps, in (0, 1], until all stages are trained. It is cut into one part more than there are stages.
        ULMFiT adds a stage per epoch. The default leaves half of the run for the whole network.

    Raises
    ------
    ValueError
        If `share` is not in (0, 1].

    References
    ----------
    Howard & Ruder (2018), Universal Language Model Fine-tuning for Text Classification, ACL, arXiv:1801.06146.

    Examples
    --------
    >>> strategy = strategies.GradualUnfreezing(share=0.5)
    >>> [strategy.awake(progress, stages=2) for progress in (0.0, 0.2, 0.4, 0.6)]  # stages that learn
    [0, 1, 2, 2]
    """

    share: float = 0.5
    role = "freezing"
    idle = HEAD_ALONE

    def __post_init__(self):
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie in (0, 1], but it is {self.share}: for 0 use Full()")
        self.learns: dict[str, bool] = {}  # what is trained at all: another part of a combination may freeze some

    def prepare(self, model: nn.Module) -> nn.Module:
        self.learns = {}  # another phase, or another model, begins anew
        return model

    def awake(self, progress: float, stages: int) -> int:
        """How many last stages learn: 0 at first, one more after each equal part of `share`, in the end all."""
        return min(int(progress / self.share * (stages + 1)), stages)

    def before_step(self, model: nn.Module, progress: float) -> None:
        if not self.learns:
            self.learns = {name: p.requires_grad for name, p in model.stages.named_parameters()}
        asleep = len(model.stages) - self.awake(progress, len(model.stages))
        for i, stage in enumerate(model.stages):
            for name, p in stage.named_parameters():
                p.requires_grad_(i >= asleep and self.learns[f"{i}.{name}"])
            if i < asleep:
                set_mode(stage, training=False)


@dataclass
class BiasOnly(Strategy):
    """BitFit trains every bias and the head.

    The normalisation layers run in evaluation mode, so their statistics do not change.

    References
    ----------
    Ben Zaken et al. (2022), BitFit, ACL, arXiv:2106.10199.

    Examples
    --------
    >>> tuned = strategies.BiasOnly().prepare(model)
    >>> [name for name, p in tuned.stages.named_parameters() if p.requires_grad]
    ['0.0.bias', '0.1.bias', '1.0.bias']
    """

    role = "freezing"
    idle = FROZEN_ALREADY | HEAD_ALONE

    def prepare(self, model: nn.Module) -> nn.Module:
        return _train_only(model, lambda module, name: name.endswith("bias"))

    def before_step(self, model: nn.Module, progress: float) -> None:
        for module in model.stages.modules():
            if _is_norm(module):
                set_mode(module, training=False)


@dataclass
class NormOnly(Strategy):
    """Training the normalisations trains the scale and shift of every normalisation layer, and the head.

    The statistics of BatchNorm follow the batches.

    References
    ----------
    Frankle, Schwab & Morcos (2021), Training BatchNorm and Only BatchNorm, ICLR, arXiv:2003.00152.

    Examples
    --------
    >>> tuned = strategies.NormOnly().prepare(model)
    >>> [name for name, p in tuned.stages.named_parameters() if p.requires_grad]
    ['0.1.weight', '0.1.bias']
    """

    role = "freezing"
    idle = FROZEN_ALREADY | HEAD_ALONE

    def prepare(self, model: nn.Module) -> nn.Module:
        return _train_only(model, lambda module, name: _is_norm(module))


def _train_only(model: nn.Module, wanted) -> nn.Module:
    """Freeze every parameter of the stages for which wanted(module, name) is false."""
    for module in model.stages.modules():
        for name, p in module.named_parameters(recurse=False):
            if not wanted(module, name):
                p.requires_grad_(False)
    return model


def _is_norm(module: nn.Module) -> bool:
    """BatchNorm, LayerNorm, GroupNorm, RMSNorm and their like, by the name of their class; no block that holds one."""
    return "Norm" in type(module).__name__ and not any(True for child in module.children() for _ in child.parameters())


def relative_gradient_norms(model: nn.Module, batches) -> list[float]:
    """‖gradient‖ / ‖weights‖ of each stage, mean over the batches: the larger, the more a stage is asked to change.

    Lee et al. (2023) choose what to tune by it, and set layer-wise rates in proportion. Weights, flags and modes are
    left as they were. Raises ValueError without a batch.
    """
    batches, device = list(batches), next(model.parameters()).device
    if not batches:
        raise ValueError("relative gradient norms need at least one batch, but there was none")
    flags, modes = [p.requires_grad for p in model.parameters()], [m.training for m in model.modules()]
    model.requires_grad_(True).eval()
    weights, sums = [[*stage.parameters()] for stage in model.stages], torch.zeros(len(model.stages))
    try:
        for batch in batches:
            batch = send_to_device(batch, device)
            loss = target_loss(model(batch), batch["labels"]) / count_targets(batch["labels"])
            each = iter(torch.autograd.grad(loss, list(model.stages.parameters()), allow_unused=True))
            for i, own in enumerate(weights):
                grads = [next(each) for _ in own]
                sums[i] += (_length([g for g in grads if g is not None]) / _length(own).clamp(min=1e-12)).cpu()
    finally:
        for p, flag in zip(model.parameters(), flags, strict=True):
            p.requires_grad_(flag)
        for module, mode in zip(model.modules(), modes, strict=True):
            module.training = mode
    return (sums / len(batches)).tolist()


def _length(tensors: list) -> torch.Tensor:
    """The length of all of them as one vector; 0 for none."""
    return torch.cat([t.detach().flatten() for t in tensors]).norm() if tensors else torch.zeros(())
