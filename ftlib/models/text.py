"""Text networks from transformers, cut into stages: the embeddings, then one stage a layer.

An encoder (BERT and its like) reads in both directions; a sentence's feature is the mean over its tokens,
pads left out. A decoder (Llama and its like) reads left to right and predicts at every position the next
token. What the uncut network does between its layers (mask, positions, last normalisation) is written out
here, and a small batch must give what the uncut network gives, or loading stops.

Two things make a language model fast where a task asks every row the same and reads one word. What all rows
begin with is run once a batch: a token looks only at those before it, so its h is the same in every row, and
its gradient is the sum over the rows. And the head is run only where a label is counted: SmolLM2's, which is
49,152 tokens wide, costs a fifth of a pass.

Tied weights (Press and Wolf 2017, https://arxiv.org/abs/1608.05859): SmolLM2 uses one matrix (V, D) to
embed tokens and to predict them: `stages[0].weight is head.weight`. Freezing stage 0 freezes the head,
training the head moves the embeddings, and both together count once.
"""

import inspect

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache

from ftlib.models.base import Model, same
from ftlib.models.chat import end_of_turn, prompt_text

SHORT = 5  # tokens: a sliding window that the proof's 8 tokens outgrow
# What a network must have, by the names that its authors gave.
PARTS = {
    "text": ("embeddings.position_embeddings", "encoder.layer or transformer.layer"),
    "lm": ("model.embed_tokens", "model.layers", "model.norm", "model.rotary_emb", "lm_head"),
}
WORTH = 0.2  # of a batch's tokens must be spared: below that, a second call of every layer is not worth it


class TextModel(Model):
    """What both share: input_ids and attention_mask (1 a token, 0 a pad), (B, T), padded on the right."""

    context: int  # tokens that the network can read

    def __init__(self, net, make, name, outputs=None, tokenizer=None):
        why, cause = self.unlike(net), None
        try:
            if not why:
                super().__init__(net, make, name, outputs, tokenizer)
                why = "" if self._proved(net) else "what it computes between its layers is not written out here"
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            why, cause = f"its stages cannot be run alone ({str(error).splitlines()[0]})", error
        if why:
            raise ValueError(
                f"{name}: {type(net).__name__} cannot be cut into stages: {why}: use an encoder built as BERT, or a "
                f"decoder built as Llama, such as minilm and smollm2"
            ) from cause

    @classmethod
    def unlike(cls, net: nn.Module) -> str:
        """How a network is built otherwise than the stages need; "" for one that has all parts."""
        there = {name for name, _ in net.named_modules()}
        if cls.kind == "text" and there >= {part.removeprefix("model.") for part in PARTS["lm"][:-1]}:
            return "it is a decoder without its head, so its config.json names no class that ends in ForCausalLM"
        if missing := [part for part in PARTS[cls.kind] if not there & set(part.split(" or "))]:
            return f"it is built in another way and has no {', '.join(missing)}"
        return ""

    def run_stages(self, h, batch, start, stop):
        if self.soft_prompt is None:
            return self.through(h, batch, start, stop)
        return self.soft_prompt(self, self.through, h, batch, start, stop)

    def through(self, h: Tensor, batch: dict, start: int, stop: int) -> Tensor:
        """`run_stages` without the learned tokens that stand in front."""
        return super().run_stages(h, batch, start, stop)

    def inputs(self, batch):
        if (length := self.past(batch) + batch["input_ids"].shape[1]) > self.context:
            raise ValueError(
                f"{self.name} reads at most {self.context:,} tokens, but a row has {length:,}: shorten the text, or "
                f"let the loader cut it with max_length"
            )
        words = next(m for m in self.stages[0].modules() if isinstance(m, nn.Embedding)).num_embeddings
        if (highest := int(batch["input_ids"].max())) >= words:
            raise ValueError(
                f"{self.name} knows {words:,} tokens, but a row has number {highest:,}: the texts were written in "
                f"numbers by the tokenizer of another model, use model.tokenizer"
            )
        return batch["input_ids"]  # (B, T)

    def past(self, batch: dict) -> int:
        """Tokens before those of the batch: their keys and values are in batch["cache"], which generation fills."""
        cache = batch.get("cache")
        return cache.layers[-1].get_seq_length() if cache is not None and cache.layers else 0

    @torch.no_grad()
    def _proved(self, net: nn.Module) -> bool:
        """Whether the stages give what the network gives, on two rows of 8 tokens, of which one is padded."""
        ids = torch.arange(16).view(2, 8) * 7 % net.config.vocab_size  # (B, T), any tokens
        ids[1, :4] = ids[0, :4]  # these a decoder shares
        mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
        batch, real = {"input_ids": ids, "attention_mask": mask}, mask.bool()
        h = self.run_stages(ids, batch, 0, len(self.stages))  # (B, T, D)
        got = self.head(h) if self.kind == "lm" else h
        return same(got[real], net(**batch)[0][real])


class Encoder(TextModel):
    """Sentence in, feature out; without a task the head is nn.Identity, and the logits are the feature."""

    kind = "text"

    def split(self, net):
        body = net.transformer if hasattr(net, "transformer") else net.encoder
        layers = {f"layers.{i}": layer for i, layer in enumerate(body.layer)}
        self.cache_argument = cache_argument(body.layer[0])
        pad = net.embeddings.position_embeddings.padding_idx  # RoBERTa's: its first token stands behind it
        self.context = net.config.max_position_embeddings - (0 if pad is None else pad + 1)
        return {"embeddings": net.embeddings, **layers}, nn.Identity(), net.config.hidden_size

    def extra(self, batch):
        mask = batch["attention_mask"][:, None, None, :].bool()  # (B, any head, from any token, to token)
        cache = batch.get("cache")  # keys and values that every token sees, before those of the text
        if cache is None or self.cache_argument is None:
            return {"attention_mask": mask}
        return {"attention_mask": F.pad(mask, (self.past(batch), 0), value=True), self.cache_argument: cache}

    def pool(self, h, batch):
        mask = batch["attention_mask"].unsqueeze(-1).to(h.dtype)  # (B, T, 1)
        return (h * mask).sum(1) / mask.sum(1).clamp(min=1)  # (B, D)


class Decoder(TextModel):
    """A language model. The causal mask is enough: pads stand on the right, where no token looks."""

    kind = "lm"
    shares = True  # run what all rows begin with once a batch; False: in every row, with the same result

    def split(self, net):
        body = net.model
        self.rotary = body.rotary_emb  # the angles by which positions turn queries and keys; nothing to train
        layers = {f"layers.{i}": layer for i, layer in enumerate(body.layers)}
        last, layer = layers.popitem()
        self.cache_argument = cache_argument(layer)
        self.context, kinds = context_of(net.config), getattr(net.config, "layer_types", None)
        if unknown := set(kinds or ()) - {"full_attention", "sliding_attention"}:
            raise ValueError(f"its layers have {' and '.join(sorted(unknown))}, which is not written out here")
        self.window = getattr(net.config, "sliding_window", None)  # tokens that a token sees, itself included
        self.sliding = [False, *(k == "sliding_attention" for k in kinds or ["sliding_attention"] * len(body.layers))]
        stages = {"embeddings": body.embed_tokens, **layers, last: Normed(layer, body.norm)}
        return stages, net.lm_head, net.config.hidden_size

    def _proved(self, net):
        """Each row alone and with a shared beginning, and both again with a window shorter than the rows.

        A real window has thousands of tokens, too many for a proof at each load. The uncut network reads its window
        from its config at each call, so both are given a short one for the time of the proof.
        """
        window, proved = self.window, True
        for self.window in (window, SHORT) if window else (None,):
            if window:
                net.config.sliding_window = self.window
            for self.shares in (False, True):
                proved = proved and super()._proved(net)
        if window:
            self.window = net.config.sliding_window = window
        return proved

    def inputs(self, batch):
        if "attention_mask" in batch and not batch["attention_mask"][:, 0].all():
            raise ValueError("a language model reads rows padded on the right, but one begins with a pad")
        return super().inputs(batch)

    def extra(self, batch):
        ids, past = batch["input_ids"], self.past(batch)
        n = ids.shape[1]
        seen = torch.ones(1, 1, n, past + n, dtype=torch.bool, device=ids.device).tril(past)  # (1, 1, T, past + T)
        mask = seen if past and n > 1 else None  # without a mask the network is causal, and one token sees all
        window = seen.triu(past - self.window + 1) if self.window and past + n > self.window else mask
        positions = torch.arange(past, past + n, device=ids.device)[None]  # (1, T)
        turn = self.rotary(next(self.parameters()), positions)  # cos and sin, (1, T, D / heads) each
        places = {"position_ids": positions, "position_embeddings": turn}
        return {**places, "attention_mask": (mask, window), self.cache_argument: batch.get("cache")}

    def extra_at(self, k, extra):
        return extra | {"attention_mask": extra["attention_mask"][self.sliding[k]]}

    def through(self, h, batch, start, stop):
        """h through stages[start:stop]: first what all rows begin with, then each row from its keys and values on."""
        given = start > 0  # h came from outside: gradients may be asked for every row of it
        if start == 0 < stop:
            h, start = self.stages[0](h), 1  # (B, T, D)
        p = self.common(h, batch) if start < stop and not (given and h.requires_grad) else 0
        if not p:
            return super().through(h, batch, start, stop)
        ids, cache = batch["input_ids"], DynamicCache()
        first = super().through(h[:1, :p], {"input_ids": ids[:1, :p], "cache": cache}, start, stop)  # (1, P, D)
        cache.batch_repeat_interleave(len(ids))
        own = super().through(h[:, p:], {"input_ids": ids[:, p:], "cache": cache}, start, stop)  # (B, T - P, D)
        return torch.cat([first.expand(len(ids), -1, -1), own], 1)

    def common(self, h: Tensor, batch: dict) -> int:
        """P, how many tokens all rows begin with; 0 where running them once is worth little or would not be the same.

        They agree in their number and in h, up to rounding: h that was kept comes from other batches. Dropout draws
        for every row anew, so with it nothing is shared.
        """
        (B, T), ids = batch["input_ids"].shape, batch["input_ids"]
        if not self.shares or B == 1 or "cache" in batch or h.shape[:2] != (B, T):
            return 0
        if any(_draws(module) for module in self.stages.modules() if module.training):
            return 0
        with torch.no_grad():
            near = (h - h[:1]).abs().amax(-1) <= 1e-4 * h[:1].abs().amax(-1)  # (B, T)
            p = int(((ids == ids[:1]) & near).all(0).cumprod(0).sum().clamp(max=T - 1))
        return p if p * (B - 1) > WORTH * B * T else 0

    def logits_from(self, features, batch):
        if "labels" in batch:
            features = features[batch["labels"] >= 0]  # (M, D): a label that is not counted is negative
        return super().logits_from(features, batch)

    @torch.no_grad()
    def generate(self, prompts: list[str], max_new_tokens: int = 32) -> list[str]:
        """The most likely answer to each prompt, token by token; in the tokenizer's chat template."""
        self.eval()
        answers, chat, ends = [], bool(self.tokenizer.chat_template), {self.tokenizer.eos_token_id}
        ends |= {end_of_turn(self.tokenizer)} if chat else set()
        for text in prompts:
            text = prompt_text(self.tokenizer, text) if chat else text
            new = self.tokenizer(text, return_tensors="pt", add_special_tokens=not chat).input_ids  # (1, T)
            new, cache, answer = new.to(next(self.parameters()).device), DynamicCache(), []
            room = max(self.context - new.shape[1], 0) + 1  # the last token that fits is written, but not read
            while len(answer) < min(max_new_tokens, room):
                batch = {"input_ids": new, "cache": cache}  # keys and values of the tokens so far
                new = self.logits_from(self.features(batch)[:, -1:], batch).argmax(-1)  # (1, 1)
                if new.item() in ends:
                    break
                answer.append(new.item())
            answers.append(self.tokenizer.decode(answer, skip_special_tokens=True).strip())
        return answers


def context_of(config) -> int:
    """Tokens that a decoder reads with one set of angles.

    "longrope" turns to other angles, of all tokens, where a row passes the length of pretraining. Then nothing that
    was computed before can be kept, neither a shared beginning nor the cache of generation.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    limit = rope.get("original_max_position_embeddings") if rope.get("rope_type") == "longrope" else None
    return min(config.max_position_embeddings, limit or config.max_position_embeddings)


def _draws(module: nn.Module) -> bool:
    """Whether it drops something at random."""
    return bool((isinstance(module, nn.Dropout) and module.p) or getattr(module, "attention_dropout", 0))


class Normed(nn.Module):
    """The last layer with the last normalisation behind it."""

    def __init__(self, layer: nn.Module, norm: nn.Module):
        super().__init__()
        self.layer, self.norm = layer, norm

    def forward(self, h: Tensor, **extra) -> Tensor:
        return self.norm(self.layer(h, **extra))  # (B, T, D)


def cache_argument(layer: nn.Module) -> str | None:
    """What a layer calls the keys and values of earlier tokens; None if it takes none."""
    known = ("cache", "past_key_values")  # new name, old name
    return next((name for name in known if name in inspect.signature(layer.forward).parameters), None)


CLASSES = {"text": Encoder, "lm": Decoder}
