"""Learned tokens: the network stands still and reads P more tokens, which are no words.

    Prompt    P learned vectors before the embedded tokens               Lester, Al-Rfou & Constant, 2021, 2104.08691
    Prefix    P learned keys and values before those of each layer       Li & Liang, 2021, 2101.00190

The outputs change at insertion, since every token sees what is new. So both start as what random tokens of the
vocabulary would give, and not as noise: in peft's own comparison a good start is worth ten points of accuracy.

They are written by hand, since peft's need a network that makes its own masks and positions, where our stages are cut;
on SmolLM2 they compute what peft's compute. On an encoder, Prompt enters behind the embeddings' normalisation, so that
the words keep their positions; peft puts it among the words, whose positions move by P. A task's fresh head is trained;
a language model's own head is not.

Costs: few parameters, and all activations of a text that is P tokens longer (Prefix: P keys longer). They cannot be
merged. Lesson: notebooks/04_peft.

Letters: B examples, T tokens, P learned tokens, D features, L layers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ftlib.strategy import Strategy

KEYS = (".key", ".k_proj", ".k_lin")  # the matrices that make the keys


@dataclass
class Prompt(Strategy):
    """P learned vectors stand before the embedded tokens of each text, and are left out of what the head reads.

    They start as embeddings of random tokens, not as noise: in peft's own comparison that is worth ten points.
    """

    tokens: int = 8  # P; the work grows as if each text were P tokens longer
    role = "injection"
    reads = "texts"

    def prepare(self, model: nn.Module) -> nn.Module:
        return _put_before(model, self, VirtualTokens)

    def added(self, model: nn.Module) -> int:
        """P · D."""
        return self.tokens * model.width


@dataclass
class Prefix(Strategy):
    """P learned keys and values stand before those of the tokens, in each layer.

    They start as the keys and values of random tokens: noise there costs a model most of what it knows.
    """

    tokens: int = 8  # P
    role = "injection"
    reads = "texts"

    def prepare(self, model: nn.Module) -> nn.Module:
        return _put_before(model, self, VirtualKeys)

    def added(self, model: nn.Module) -> int:
        """2 · P · (features of the keys) a layer."""
        keys = [m for name, m in model.stages.named_modules() if name.endswith(KEYS)]
        return self.tokens * sum(2 * m.out_features for m in keys)


class VirtualTokens(nn.Module):
    """The model's `soft_prompt` under Prompt: runs the stages on P + T tokens and gives back the last T."""

    @torch.no_grad()
    def __init__(self, model: nn.Module, ids: Tensor):
        super().__init__()
        self.vectors = nn.Parameter(model.stages[0](ids)[0].clone())  # (P, D)

    def forward(self, model: nn.Module, run: Callable, h: Tensor, batch: dict, start: int, stop: int) -> Tensor:
        """run: the model's `run_stages` without the prompt; h and the result as there, P tokens longer in between."""
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
    """The model's `soft_prompt` under Prefix: a cache of keys and values that looks as if P tokens had been read."""

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
    from transformers import DynamicCache  # here, not above: the other strategies do without

    return DynamicCache()


def _is_going_on(batch: dict) -> bool:
    """Whether it continues a text, whose cache holds the virtual tokens already."""
    return batch.get("cache") is not None and batch["cache"].get_seq_length() > 0


def _put_before(model: nn.Module, strategy: Strategy, kind: type) -> nn.Module:
    """Give the model its `soft_prompt`, once, and let only that and a fresh head learn."""
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
    model.stages.requires_grad_(False)
    model.head.requires_grad_(model.kind != "lm")
    model.soft_prompt.requires_grad_(True)
    return model
