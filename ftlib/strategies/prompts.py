"""Prompt and prefix tuning: freeze the network and train a few virtual tokens that it reads with each text.

    Prompt    P learned vectors before the embedded tokens               Lester, Al-Rfou & Constant, 2021, 2104.08691
    Prefix    P learned keys and values before those of each layer       Li & Liang, 2021, 2101.00190

Insertion changes the outputs, since every token attends to the virtual tokens. So both start from random tokens of the
vocabulary rather than from noise. In peft's own comparison a good start is worth ten percentage points of accuracy.

They are written by hand. peft's versions need a network that makes its own masks and positions, and our networks are
split into stages. On SmolLM2 both give the same numbers as peft's. On an encoder, Prompt is inserted after the
normalisation of the embeddings, so the words keep their positions. In peft's version their positions move by P. The
new head of a task is trained, but a language model's own head isn't.

Costs: few parameters, but the activations of a text that is P tokens longer (P keys longer for Prefix). They can't be
merged into the weights. Lesson: notebooks/04_peft.

Letters: B examples, T tokens, P learned tokens, D features, L layers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ftlib.networks import train_only_new
from ftlib.strategy import Strategy

KEYS = (".key", ".k_proj", ".k_lin")  # the matrices that make the keys


@dataclass
class Prompt(Strategy):
    """Put learned vectors before the embedded tokens of each text (prompt tuning).

    The head doesn't read the outputs at the learned vectors.

    Parameters
    ----------
    tokens : int, default 8
        Number P of vectors, from 1 to one less than the longest text of the model. The cost grows as if each text were
        P tokens longer.

    Raises
    ------
    ValueError
        If `tokens` is out of its range, if the model doesn't read texts, or if it holds another prompt or prefix.

    References
    ----------
    Lester, Al-Rfou and Constant, "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021,
    arXiv:2104.08691.

    Examples
    --------
    The vectors have 16 features each, as the embedded words of this model.

    >>> prompt = strategies.Prompt(tokens=4)
    >>> text_model = prompt.prepare(text_model)
    >>> [tuple(p.shape) for p in text_model.soft_prompt.parameters()], prompt.added(text_model)
    ([(4, 16)], 64)
    """

    tokens: int = 8
    role = "injection"
    reads = "texts"

    def prepare(self, model: nn.Module) -> nn.Module:
        return _put_before(model, self, VirtualTokens)

    def added(self, model: nn.Module) -> int:
        """The number of parameters that it adds: P · D."""
        return self.tokens * model.width


@dataclass
class Prefix(Strategy):
    """Put learned keys and values before those of the tokens in each layer (prefix tuning).

    They start as the keys and values of random tokens. A start from noise would lose most of the pretrained knowledge.

    Parameters
    ----------
    tokens : int, default 8
        Number P of keys and values per layer, from 1 to one less than the longest text of the model. The cost of
        attention grows as if each text were P tokens longer.

    Raises
    ------
    ValueError
        If `tokens` is out of its range, if the model doesn't read texts or its layers take no cache, or if it holds
        another prompt or prefix.

    References
    ----------
    Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", ACL 2021, arXiv:2101.00190.

    Examples
    --------
    Keys and values in two layers are four times the parameters of a prompt.

    >>> strategies.Prefix(tokens=4).added(text_model), strategies.Prompt(tokens=4).added(text_model)
    (256, 64)
    """

    tokens: int = 8
    role = "injection"
    reads = "texts"

    def prepare(self, model: nn.Module) -> nn.Module:
        return _put_before(model, self, VirtualKeys)

    def added(self, model: nn.Module) -> int:
        """The number of parameters that it adds: 2 · P · (features of the keys) per layer."""
        keys = [m for name, m in model.stages.named_modules() if name.endswith(KEYS)]
        return self.tokens * sum(2 * m.out_features for m in keys)


class VirtualTokens(nn.Module):
    """The model's `soft_prompt` under Prompt: runs the stages on P + T tokens and returns the last T."""

    @torch.no_grad()
    def __init__(self, model: nn.Module, ids: Tensor):
        super().__init__()
        self.vectors = nn.Parameter(model.stages[0](ids)[0].clone())  # (P, D)

    def forward(self, model: nn.Module, run: Callable, h: Tensor, batch: dict, start: int, stop: int) -> Tensor:
        """run: the model's `run_stages` without the prompt. h and the result are as there, with P more tokens."""
        if _is_going_on(batch) or start == stop:
            return run(h, batch, start, stop)
        count = len(self.vectors)
        longer = {k: F.pad(batch[k], (count, 0), value=1) for k in ("input_ids", "attention_mask") if k in batch}
        if start == 0:
            h = model.stages[0](h)  # (B, T, D)
            h, start = torch.cat([self.vectors.to(h.dtype).expand(len(h), -1, -1), h], 1), 1  # (B, P + T, D)
        h = run(h, {**batch, **longer}, start, stop)
        return h[:, count:] if stop == len(model.stages) else h


class VirtualKeys(nn.Module):
    """The model's `soft_prompt` under Prefix: a cache of keys and values, as if the model had read P tokens already."""

    @torch.no_grad()
    def __init__(self, model: nn.Module, ids: Tensor):
        super().__init__()
        cache = _cache()
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "cache": cache}
        model.run_stages(ids, batch, 0, len(model.stages))
        if not cache.get_seq_length():
            raise ValueError(f"Prefix needs layers that take a cache, and those of {model.name} do not: use Prompt()")
        self.keys = nn.Parameter(torch.stack([layer.keys[0] for layer in cache.layers]))  # (L, heads, P, D / heads)
        self.values = nn.Parameter(torch.stack([layer.values[0] for layer in cache.layers]))

    def forward(self, model: nn.Module, run: Callable, h: Tensor, batch: dict, start: int, stop: int) -> Tensor:
        if _is_going_on(batch):
            return run(h, batch, start, stop)
        cache = batch["cache"] if batch.get("cache") is not None else _cache()
        for layer, (k, v) in enumerate(zip(self.keys, self.values)):
            cache.update(*(t.expand(len(batch["input_ids"]), -1, -1, -1) for t in (k, v)), layer)
        return run(h, {**batch, "cache": cache}, start, stop)


def _cache():
    from transformers import DynamicCache  # here, not above, since the other strategies don't need it

    return DynamicCache()


def _is_going_on(batch: dict) -> bool:
    """Whether the batch continues a text, whose cache holds the virtual tokens already."""
    return batch.get("cache") is not None and batch["cache"].get_seq_length() > 0


def _put_before(model: nn.Module, strategy: Strategy, kind: type) -> nn.Module:
    """Set the model's `soft_prompt`, if it has none yet, and train only it and the new head of a task."""
    if getattr(model, "kind", None) not in ("text", "lm"):
        raise ValueError(
            f"{strategy} puts learned tokens before a text, and this model reads none: use LoRA or Adapter"
        )
    if strategy.tokens < 1 or strategy.tokens >= (model.context or math.inf):
        raise ValueError(
            f"tokens must be 1 to {model.context - 1}, so that the {model.context} tokens that {model.name} can read "
            f"have room for a text, but it is {strategy.tokens}"
        )
    held = model.soft_prompt
    if held is None:
        words = next(m for m in model.stages[0].modules() if isinstance(m, nn.Embedding))  # positions come after
        ids = torch.randint(words.num_embeddings, (1, strategy.tokens)).to(words.weight.device)
        mode, _ = model.training, model.eval()
        model.soft_prompt = kind(model, ids)
        model.train(mode)
    elif type(held) is not kind or strategy.tokens not in [p.shape[-2] for p in held.parameters()]:
        raise ValueError(f"the model holds another prompt or prefix than that of {strategy}: load it anew")
    return train_only_new(model, model.soft_prompt.parameters())
