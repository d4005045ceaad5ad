"""What pytorch-adapt and skada say of two small samples: domain_peers.json, for tests/strategies/test_domain_peers.py.

Neither is among the pinned packages: pytorch-adapt asks for a torchmetrics of 2022, skada brings 180 MB that nothing
else here needs. So their values and gradients are kept as data. To make them anew, in an environment with torch:

    pip install --no-deps pytorch-adapt==0.0.83 pytorch-metric-learning==1.6.3
    pip install --no-deps skada==0.6.0 skorch==1.4.0 pot==0.9.7.post1 tabulate==0.10.0
    python tests/data/domain_peers.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pytorch_adapt import layers
from pytorch_adapt.validators import SNDValidator
from pytorch_adapt.validators.deep_embedded_validator import get_dev_risk
from skada.deep import DANNLoss
from skada.deep._adversarial import CDANModule
from skada.deep.losses import deepcoral_loss, mcc_loss
from skada.deep.modules import GradientReversalLayer

PEERS = ["pytorch-adapt", "pytorch-metric-learning", "skada", "torch"]


class Answers(torch.nn.Module):
    """A network of nothing but a layer that hands on and a head; it gives probabilities, as CDAN needs them."""

    def __init__(self, weight):
        super().__init__()
        self.layer, self.weight = torch.nn.Identity(), weight

    def forward(self, x, sample_weight=None):
        return (self.layer(x) @ self.weight.T).softmax(-1)


def numbers(*shape, seed: int, scale=1.0, shift=0.0):
    g = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=g, dtype=torch.float64) + shift).round(decimals=3)


def with_gradients(call, *inputs) -> dict:
    """{"value", "gradients"}: of a scalar, and of it with respect to each input."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    value = call(*inputs)
    return {"value": value.item(), "gradients": [g.tolist() for g in torch.autograd.grad(value, inputs)]}


def main() -> None:
    s, t = numbers(6, 3, seed=0), numbers(4, 3, seed=1, scale=0.5, shift=1.0)
    logits, other = numbers(5, 4, seed=2, scale=2.0), numbers(5, 4, seed=3, scale=2.0)
    weight, losses = numbers(4, 3, seed=4), numbers(7, seed=5).abs()
    weights = numbers(7, seed=6).abs() + 0.1  # of held-out examples, for DEV
    guesses = [numbers(n, seed=7 + n) for n in (6, 4)]  # a discriminator's, of either domain
    scales = torch.tensor([1 / w for w in (0.25, 0.5, 1.0, 2.0, 4.0)], dtype=torch.float64)
    both = torch.cat([s, t])
    unit = torch.cdist(both, both).square().mean().item()  # what ours measures its widths in

    def adversarial(a, b):
        return DANNLoss()(a.float().sigmoid(), b.float().sigmoid()) / 2  # it adds the two means, in float32

    cdan = CDANModule(Answers(weight), "layer", torch.nn.Identity()).train()
    x = torch.ones(3, requires_grad=True, dtype=torch.float64)
    GradientReversalLayer.apply(x, 0.7).backward(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    y = torch.ones(3, requires_grad=True, dtype=torch.float64)
    layers.GradientReversal(0.7).double()(y).backward(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    snd = SNDValidator().compute_score(target_train={"preds": logits.softmax(-1)})
    mmd = layers.MMDLoss(kernel_scales=scales, mmd_type="quadratic", bandwidth=unit)
    found = {
        "coral, pytorch-adapt": with_gradients(layers.CORALLoss(), s, t),
        "coral, skada": with_gradients(deepcoral_loss, s, t),
        "mmd without each row beside itself, pytorch-adapt": with_gradients(mmd, s, t),
        "class confusion, pytorch-adapt": with_gradients(layers.MCCLoss(T=2.5), logits),
        "class confusion, skada": {"value": mcc_loss(logits, T=2.5).item()},  # it lets the weights have a gradient
        "entropy, pytorch-adapt": with_gradients(layers.EntropyLoss(), logits),
        "im, pytorch-adapt": {"value": -(layers.EntropyLoss()(logits) + layers.DiversityLoss()(logits)).item()},
        "mcd, pytorch-adapt": with_gradients(layers.MCDLoss(), logits, other),
        "dann, skada": with_gradients(adversarial, *guesses),
        "cdan, skada": {"value": cdan(s)[1].tolist()},
        "reversal, pytorch-adapt": {"gradients": [y.grad.tolist()]},
        "reversal, skada": {"gradients": [x.grad.tolist()]},
        "snd, pytorch-adapt": {"value": snd},
        "dev, pytorch-adapt": {"value": float(get_dev_risk(weights[:, None], losses[:, None], None))},
    }
    given = {"source": s, "target": t, "logits": logits, "other": other, "head": weight, "losses": losses,
             "weights": weights, "guesses_source": guesses[0], "guesses_target": guesses[1]}  # fmt: skip
    out = {
        "made by": "tests/data/domain_peers.py", "versions": {name: version(name) for name in PEERS},
        "inputs": {name: np.asarray(value).tolist() for name, value in given.items()}, "found": found,
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
