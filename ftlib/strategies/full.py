"""Full fine-tuning, and the baselines that it is measured against.

    full          every weight moves, from the pretrained point                     θ ← θ − lr · ∇
    from scratch  the same architecture and steps, from random weights              what pretraining is worth
    linear probe  only the new head moves                                           what the features are worth
    LP-FT         first the probe, then everything                                  Kumar et al., ICLR 2022, 2202.10054
    layer rates   the nearer to the input, the slower                               Howard & Ruder, ACL 2018, 1801.06146
    L2-SP         decay towards the pretrained point instead of zero                Li et al., ICML 2018, 1802.01483

Costs: full fine-tuning keeps weights, gradients and two AdamW moments, 16 bytes a parameter in float32; a linear
probe runs no backward pass through the stages. Lesson: notebooks/01_full.ipynb.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ftlib.strategy import FROZEN_ALREADY, HEAD_ALONE, Strategy


@dataclass
class Full(Strategy):
    """Full fine-tuning trains every parameter, starting from the pretrained weights.

    It changes nothing in `fit`. All other strategies are measured against it.

    Examples
    --------
    >>> tuned, history = ftlib.fit(model, train, strategies.Full(), steps=2, lr=0.01, verbose=False)
    >>> history[-1]["trainable"] == sum(p.numel() for p in tuned.parameters())
    True
    """


@dataclass
class FromScratch(Strategy):
    """Training from scratch draws every weight anew before the first step.

    Compare it with `Full` to see the value of pretraining. The weights are drawn once per run, so a second phase
    continues from the weights of the first.

    Raises
    ------
    ValueError
        If another strategy has already changed the architecture of the model.

    Examples
    --------
    >>> pretrained, strategy = model.head.weight.clone(), strategies.FromScratch()
    >>> _ = torch.manual_seed(7)
    >>> random = strategy.prepare(model).head.weight.clone()
    >>> torch.equal(random, pretrained)
    False
    >>> torch.equal(strategy.prepare(model).head.weight, random)  # a second phase
    True
    """

    role = "heads"

    def __post_init__(self):
        self.drawn = False

    def prepare(self, model: nn.Module) -> nn.Module:
        if not self.drawn:  # once a run: a later phase goes on from what was learned
            model.reset_parameters()
            self.drawn = True
        return model


@dataclass
class LinearProbe(Strategy):
    """A linear probe trains the head alone and leaves the stages unchanged.

    The stages run in evaluation mode, so their BatchNorm statistics stay the same too. The result shows how much the
    pretrained features are worth.

    Examples
    --------
    >>> probe = strategies.LinearProbe().prepare(model)
    >>> [name for name, p in probe.named_parameters() if p.requires_grad]
    ['head.weight', 'head.bias']
    """

    role = "freezing"
    idle = FROZEN_ALREADY

    def prepare(self, model: nn.Module) -> nn.Module:
        model.stages.requires_grad_(False)
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        model.stages.eval()  # in train mode BatchNorm's statistics move, whatever requires_grad says


@dataclass
class LayerRates(Strategy):
    """Layer-wise learning rates decrease from the head towards the input.

    With L stages, the head learns at rate lr and stage i (i = 0 ... L − 1) at rate lr · decay^(L − i).

    Parameters
    ----------
    decay : float, default 0.7
        Learning rate of a stage divided by that of the stage above it, in (0, 1]. With 1 this is full fine-tuning, and
        near 0 a linear probe. ULMFiT divides by 2.6, which is a decay of 0.38. It was made for a language model, and
        the default is milder.

    Raises
    ------
    ValueError
        If `decay` is not in (0, 1].

    References
    ----------
    Howard & Ruder (2018), Universal Language Model Fine-tuning for Text Classification, ACL, arXiv:1801.06146.

    Examples
    --------
    >>> groups = [{"params": list(model.named_parameters()), "lr": 1.0}]
    >>> [group["lr"] for group in strategies.LayerRates(decay=0.5).groups(groups)]  # two stages and the head
    [0.25, 0.5, 1.0]
    """

    decay: float = 0.7
    idle = HEAD_ALONE | dict.fromkeys(["Prompt", "Prefix"], "what it trains lies in no stage")

    def __post_init__(self):
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must lie in (0, 1], but it is {self.decay}: for 0 use LinearProbe()")

    def groups(self, groups: list[dict]) -> list[dict]:
        depth = {name: _stage_of(name) for group in groups for name, _ in group["params"]}
        top = max((d for d in depth.values() if d is not None), default=0) + 1  # the head stands above the last stage
        out = []
        for group in groups:
            levels = {top if depth[name] is None else depth[name] for name, _ in group["params"]}
            for level in sorted(levels):
                params = [(n, p) for n, p in group["params"] if (top if depth[n] is None else depth[n]) == level]
                out.append({**group, "params": params, "lr": group["lr"] * self.decay ** (top - level)})
        return out


@dataclass
class L2SP(Strategy):
    """L2-SP decays the weights towards the pretrained point instead of zero.

    It adds alpha/2 · ‖θ − θ₀‖² over the stages to the loss, where θ₀ are the weights before training, and
    beta/2 · ‖θ‖² over the head. It replaces AdamW's weight decay, which is switched off. With alpha = beta = 0 it is
    full fine-tuning without weight decay.

    Parameters
    ----------
    alpha : float, default 0.01
        Strength of the pull towards the pretrained point, at least 0. The paper searches 0.001 to 1 for plain SGD.
    beta : float, default 0.01
        Strength of the ordinary decay of the new head, at least 0. The default is the value of the paper.

    Raises
    ------
    ValueError
        If `alpha` or `beta` is negative.

    References
    ----------
    Li et al. (2018), Explicit Inductive Bias for Transfer Learning with Convolutional Networks, ICML, arXiv:1802.01483.

    Examples
    --------
    >>> strategy = strategies.L2SP(alpha=1.0, beta=0.0)
    >>> model = strategy.prepare(model)
    >>> strategy.penalty(model, {}).item()  # no weight has moved yet
    0.0
    >>> with torch.no_grad():
    ...     _ = model.stages[0][0].bias.add_(0.5)
    >>> round(strategy.penalty(model, {}).item(), 3)  # 16 biases have moved by 0.5: 1/2 · 16 · 0.25
    2.0
    """

    alpha: float = 0.01
    beta: float = 0.01
    exclusive = ("set the weight decay",)

    def __post_init__(self):
        if self.alpha < 0 or self.beta < 0:
            raise ValueError(f"alpha and beta must not be negative, but they are {self.alpha} and {self.beta}")
        self.start: dict[str, Tensor] = {}

    def prepare(self, model: nn.Module) -> nn.Module:
        if not self.start:
            self.start = {n: p.detach().clone() for n, p in model.named_parameters() if _stage_of(n) is not None}
        return model

    def groups(self, groups: list[dict]) -> list[dict]:
        return [{**group, "weight_decay": 0.0} for group in groups]

    def penalty(self, model: nn.Module, batch: dict) -> Tensor:
        pull, decay = torch.zeros(()), torch.zeros(())
        for name, p in model.named_parameters():
            if p.requires_grad and name in self.start:
                pull = pull + (p - self.start[name].to(p.device)).square().sum()
            elif p.requires_grad:
                decay = decay + p.square().sum()
        return self.alpha / 2 * pull + self.beta / 2 * decay


def lp_ft(probe_steps: int, probe_lr: float, steps: int, lr: float) -> list[dict]:
    """The two phases of LP-FT, for `Spec(phases=...)`: train the head alone, then everything at a smaller rate."""
    return [
        {"strategy": [{"LinearProbe": {}}], "steps": probe_steps, "lr": probe_lr},
        {"strategy": [{"Full": {}}], "steps": steps, "lr": lr},
    ]


def _stage_of(name: str) -> int | None:
    """3 for "stages.3.conv.weight"; None for what is not in a stage (the head)."""
    found = re.match(r"stages\.(\d+)\.", name)
    return int(found[1]) if found else None
