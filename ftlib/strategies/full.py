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
    """Every parameter is trained from the pretrained weights: the starting point of all other strategies."""


@dataclass
class FromScratch(Strategy):
    """Every weight is drawn anew before training: the baseline that shows what pretraining is worth."""

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
    """Only the head is trained; the stages stay bit-identical, BatchNorm statistics included."""

    role = "freezing"
    idle = FROZEN_ALREADY

    def prepare(self, model: nn.Module) -> nn.Module:
        model.stages.requires_grad_(False)
        return model

    def before_step(self, model: nn.Module, progress: float) -> None:
        model.stages.eval()  # in train mode BatchNorm's statistics move, whatever requires_grad says


@dataclass
class LayerRates(Strategy):
    """Layer-wise learning rates: the head learns at lr, each stage below it `decay` times as fast as the one above."""

    decay: float = 0.7  # 1 is full fine-tuning, 0 a linear probe; ULMFiT divides by 2.6, which is 0.38
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
    """Adds alpha/2 · ‖θ − θ₀‖² over the stages, θ₀ the weights before training, and beta/2 · ‖θ‖² over the head.

    It replaces weight decay, which is switched off. alpha = beta = 0 is full fine-tuning without weight decay.
    """

    alpha: float = 0.01  # pull of the pretrained point; the paper searches 0.001 to 1 (for plain SGD)
    beta: float = 0.01  # ordinary decay of the new head, as in the paper
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
