"""Dropout whose masks are cut from whole machine words.

    x · m / (1 - p),   m = 1 with probability 1 - p, else 0

PyTorch draws one random number for each number of x, one after the other: on a CPU, a fifth of MiniLM's training step.
Here a random word of 64 bits gives four masks, each true where its 16 bits, read as a whole number, are at least
p · 65,536. So p is rounded to 1/65,536, and the scale is that of the rounded p. Same distribution, other draws.

Attention needs a second change: PyTorch's fast attention has no dropout on a CPU, and its slow one computes in float32
and guards against rows that see no token. `attention` writes the four operations out, as transformers' own eager
attention does. Everywhere else (without dropout, on a GPU) PyTorch's is called.

Letters: B examples, N heads, T tokens, D features of a head.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

WORD = 64  # bits of a draw
BITS = 16  # of them for one mask
LEVELS = 2**BITS  # so many probabilities can be told apart
NAME = "ftlib"  # transformers finds `attention` under this name

_fast = ContextVar("fast", default=True)


class Dropout(nn.Dropout):
    """An nn.Dropout that draws its masks by `dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """Set each number of x to 0 with probability p, and scale the others so that the mean stays.

    Parameters
    ----------
    x : Tensor
        Any shape.
    p : float
        The probability, from 0 to 1. On a CPU it is rounded to 1/65,536.
    training : bool, default True
        False gives x as it is.

    Returns
    -------
    Tensor
        Of the shape and number format of x.

    Examples
    --------
    >>> from ftlib.models.dropout import dropout
    >>> x = dropout(torch.ones(100_000), 0.1)
    >>> sorted({round(v, 4) for v in x.tolist()}), abs(x.mean().item() - 1) < 0.01
    ([0.0, 1.1111], True)
    """
    if not training or not p:
        return x
    if x.device.type != "cpu" or not 0 < (keep := kept(p)) < 1:
        return nn.functional.dropout(x, p, training)
    return x * mask(x, p) * (1 / keep)


def kept(p: float) -> float:
    """The probability with which a number is kept: 1 - p, as exactly as a mask can say it."""
    return 1 - round(p * LEVELS) / LEVELS


def mask(x: Tensor, p: float) -> Tensor:
    """1 where a number of x is kept, else 0; of the shape and number format of x, drawn by torch's global generator."""
    draws = torch.empty(-(-x.numel() // (WORD // BITS)), dtype=torch.int64).random_(-(2 ** (WORD - 1)), None)
    numbers = draws.view(torch.int16)[: x.numel()].view(x.shape)  # -32,768 to 32,767, all alike
    made = torch.empty(x.shape, dtype=x.dtype)
    return torch.ge(numbers, round(p * LEVELS) - LEVELS // 2, out=made)


def attention(module, query, key, value, attention_mask, dropout: float = 0.0, scaling=None, **more):
    """transformers' call of an attention: (B, N, T, D) each -> (B, T, N, D), and None for weights that nobody reads.

    With dropout on a CPU it is written out here. All else, and what it does not know, is PyTorch's.
    """
    asked = {name for name, value in more.items() if value is not None} - {"is_causal"}  # a mask stands for it
    plain = not asked and isinstance(attention_mask, Tensor) and attention_mask.dtype == torch.bool
    drawn = query.device.type == "cpu" and 0 < kept(dropout) < 1
    if not (plain and drawn and query.shape[1] == key.shape[1]):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query * scaling) @ key.transpose(-1, -2)  # (B, N, T, T)
    if not attention_mask.all():
        unseen = torch.zeros(attention_mask.shape, dtype=scores.dtype)
        scores = scores + unseen.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    weights = weights * mask(weights, dropout)
    out = weights @ (value * (1 / kept(dropout)))  # the scale of dropout, where there are fewest numbers
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def pytorchs() -> Iterator[None]:
    """Within the block, networks are loaded with PyTorch's own dropout and attention: runs of the first engine."""
    token = _fast.set(False)
    try:
        yield
    finally:
        _fast.reset(token)


def use_fast_dropout(net: nn.Module) -> nn.Module:
    """Let a network of transformers draw its masks as described above: its tensors stay what they are."""
    if not _fast.get():
        return net
    for module in net.modules():
        if type(module) is nn.Dropout:
            module.__class__ = Dropout
    if getattr(net, "_supports_attention_backend", False):
        net.set_attn_implementation(NAME)
    return net
