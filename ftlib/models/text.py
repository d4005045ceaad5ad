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
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.utils import logging

from ftlib.models.base import Model, same

WORTH = 0.2  # of a batch's tokens must be spared: below that, a second call of every layer is not worth it


class TextModel(Model):
    """What both share: input_ids and attention_mask (1 a token, 0 a pad), (B, T), padded on the right."""

    context: int  # tokens that the network can read

    def __init__(self, net, make, name, outputs=None, tokenizer=None):
        proved, cause = False, None
        try:
            super().__init__(net, make, name, outputs, tokenizer)
            proved = self._proved(net)
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            cause = error
        if not proved:
            raise ValueError(
                f"{name}: {type(net).__name__} cannot be cut into stages: use an encoder such as BERT, "
                f"RoBERTa or DistilBERT, or a decoder such as Llama, Mistral or Qwen"
            ) from cause

    def run(self, h, batch, start, stop):
        if self.front is None:
            return self.through(h, batch, start, stop)
        return self.front(self, self.through, h, batch, start, stop)

    def through(self, h: Tensor, batch: dict, start: int, stop: int) -> Tensor:
        """`run` without the learned tokens that stand in front."""
        return super().run(h, batch, start, stop)

    def inputs(self, batch):
        if (length := self.past(batch) + batch["input_ids"].shape[1]) > self.context:
            raise ValueError(
                f"{self.name} reads at most {self.context:,} tokens, but a row has {length:,}: shorten the text, or "
                f"let the loader cut it with max_length"
            )
        return batch["input_ids"]  # (B, T)

    def past(self, batch: dict) -> int:
        """Tokens before those of the batch: their keys and values are in batch["cache"], which generation fills."""
        cache = batch.get("cache")
        return cache.layers[-1].get_seq_length() if cache is not None and cache.layers else 0

    @torch.no_grad()
    def _proved(self, net: nn.Module) -> bool:
        """Whether the stages give what the network gives, on two rows of which one is padded."""
        ids = torch.arange(16).view(2, 8) * 7 % net.config.vocab_size  # (B, T), any tokens
        ids[1, :4] = ids[0, :4]  # these a decoder shares
        mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
        batch, real = {"input_ids": ids, "attention_mask": mask}, mask.bool()
        h = self.run(ids, batch, 0, len(self.stages))  # (B, T, D)
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
        self.context = net.config.max_position_embeddings
        stages = {"embeddings": body.embed_tokens, **layers, last: Normed(layer, body.norm)}
        return stages, net.lm_head, net.config.hidden_size

    def _proved(self, net):
        self.shares = False
        alone = super()._proved(net)
        self.shares = True
        return alone and super()._proved(net)

    def inputs(self, batch):
        if "attention_mask" in batch and not batch["attention_mask"][:, 0].all():
            raise ValueError("a language model reads rows padded on the right, but one begins with a pad")
        return super().inputs(batch)

    def extra(self, batch):
        ids, past = batch["input_ids"], self.past(batch)
        n, mask = ids.shape[1], None  # without a mask the network is causal, and one token sees all
        if past and n > 1:
            mask = torch.ones(1, 1, n, past + n, dtype=torch.bool, device=ids.device).tril(past)
        positions = torch.arange(past, past + n, device=ids.device)[None]  # (1, T)
        turn = self.rotary(next(self.parameters()), positions)  # cos and sin, (1, T, D / heads) each
        places = {"position_ids": positions, "position_embeddings": turn}
        return {**places, "attention_mask": mask, self.cache_argument: batch.get("cache")}

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

    def answer(self, features, batch):
        if "labels" in batch:
            features = features[batch["labels"] >= 0]  # (M, D): a label that is not counted is negative
        return super().answer(features, batch)

    @torch.no_grad()
    def generate(self, prompts: list[str], max_new_tokens: int = 32) -> list[str]:
        """The most likely answer to each prompt, token by token; in the tokenizer's chat template."""
        self.eval()
        answers, chat = [], self.tokenizer.chat_template is not None
        for text in prompts:
            if chat:
                turn = [{"role": "user", "content": text}]
                text = self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            new = self.tokenizer(text, return_tensors="pt", add_special_tokens=not chat).input_ids  # (1, T)
            new, cache, answer = new.to(next(self.parameters()).device), DynamicCache(), []
            room = max(self.context - new.shape[1], 0) + 1  # the last token that fits is written, but not read
            while len(answer) < min(max_new_tokens, room):
                batch = {"input_ids": new, "cache": cache}  # keys and values of the tokens so far
                new = self.answer(self.features(batch)[:, -1:], batch).argmax(-1)  # (1, 1)
                if new.item() == self.tokenizer.eos_token_id:
                    break
                answer.append(new.item())
            answers.append(self.tokenizer.decode(answer, skip_special_tokens=True).strip())
        return answers


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


def read_folder(folder: Path, kind: str, pretrained: bool) -> tuple[nn.Module, Callable, object]:
    """(network, function that draws it anew, tokenizer), from a folder as save_pretrained writes it."""
    auto = AutoModelForCausalLM if kind == "lm" else AutoModel
    options = {"dtype": torch.float32, "attn_implementation": "sdpa"}  # sdpa: takes masks of true and false
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    make = partial(auto.from_config, config, **options)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, TypeError, ValueError) as error:
        raise FileNotFoundError(f"{folder} has no tokenizer: save it there with save_pretrained") from error
    tokenizer.padding_side = "right"
    return _pretrained(folder, auto, options) if pretrained else make(), make, tokenizer


def _pretrained(folder: Path, auto, options: dict) -> nn.Module:
    """The network with the folder's weights; ValueError unless every tensor came from there."""
    if not any(folder.glob("*.safetensors")):
        raise FileNotFoundError(f"{folder} has no .safetensors file: save the model with save_pretrained")
    options = options | {"use_safetensors": True, "local_files_only": True, "ignore_mismatched_sizes": True}
    with _quiet():
        net, info = auto.from_pretrained(folder, output_loading_info=True, **options)
    wrong = [name for name in info["missing_keys"] if not name.startswith("pooler.")]  # BERT's, not used here
    wrong += [entry[0] for entry in info["mismatched_keys"]]
    if wrong:
        raise ValueError(
            f"{folder} does not hold the weights that its config.json describes: {len(wrong)} of "
            f"{len(net.state_dict())} tensors are missing or of another shape, {sorted(wrong)[0]!r} first"
        )
    return net


@contextmanager
def _quiet():
    """No progress bar and no table of tensors: what does not fit is an error here."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
