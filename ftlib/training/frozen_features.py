"""The frozen-feature cache: what frozen first stages give for an example never changes, so it is computed once.

    logits = forward_from(k, h, batch),   h = forward_to(k, batch)   kept for each example, as long as nothing changes

At each step the cache checks the model itself. It doesn't trust the strategy. Stages count as frozen
while none of their weights is trained, nor one outside of stages and head (a prompt, say, that feeds them), and all of
their modules are in evaluation mode (else BatchNorm moves, dropout draws). An example is found by the digest of its
input, so changed data are another example; a written weight or buffer empties the cache; and h is used only by the
model, and for the tensors, that it was made of. What it cannot see: weights written through `.data`, and settings that
are no tensors, such as an adapter that is switched off.

It saves the forward pass through the frozen stages from the second epoch on; freezing alone saves the backward pass.

Letters: B examples of a batch, T tokens, C channels, H x W positions, D features.
"""

import hashlib

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ftlib.strategy import Strategy, owners
from ftlib.training.machine import free_memory

READ = ("pixels", "input_ids", "attention_mask")  # what stages read of a batch
SHARE = 0.25  # of the free memory: the rest is for training


def standing_still(model: nn.Module) -> tuple[int, list[Tensor]]:
    """How many first stages stand still at this moment, and their tensors.

    No weight of them is trained, and every module is in evaluation mode. One walk finds both, since each step asks.
    """
    outside = [child for name, child in model.named_children() if name not in ("stages", "head")]
    if any(p.requires_grad for part in outside for p in part.parameters()) or _learns(model):
        return 0, []  # it may change what the stages see
    tensors = []
    for k, stage in enumerate(model.stages):
        mine = []
        for module in stage.modules():
            if module.training or _learns(module):
                return k, tensors
            mine += [t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]
        tensors += mine
    return len(model.stages), tensors


def _learns(module: nn.Module) -> bool:
    """Whether a weight that the module itself holds is trained."""
    return any(p is not None and p.requires_grad for p in module._parameters.values())


class FrozenFeatureCache:
    """Called with a training batch, it adds batch["frozen_features"], from which `Model.features` goes on.

    It holds (stages, k, h, [(name, tensor, version)] of what h was made of). Batches need "pixels", or "input_ids"
    padded on the right; others pass through as they are.
    """

    def __init__(self, model: nn.Module, strategy: Strategy, loaders: dict, log=print):
        """loaders: as `fit` has them, to know how many examples there are. say: where it reports what it does."""
        self.model, self.log, self.told = model, log, set()
        sizes = [len(getattr(loader, "dataset", ())) for loader in loaders.values()]
        self.most = sum(sizes) if sizes and all(sizes) else None  # examples that there can be; None: not known
        self.on = hasattr(model, "forward_to") and not getattr(model, "whole", False)
        if getattr(model, "soft_prompt", None) is not None:
            self.on = False  # rows are longer inside than outside
        if self.on and owners(strategy, "transform"):
            self.on = False  # the same example would be another one each time
        self._empty()

    def _empty(self, state: tuple | None = None, tensors: list | None = None) -> None:
        """Forget every example; from now on it is about these tensors (kept alive: no other gets the same id)."""
        self.state, self.tensors, self.bytes = state, tensors, 0
        self.rows: dict[bytes, Tensor] = {}  # digest of the input -> h of one example

    @torch.no_grad()
    def __call__(self, batch: dict) -> dict:
        """The batch with the output of the frozen stages, or as it is where there is nothing to save."""
        k, tensors = standing_still(self.model) if self.on else (0, [])
        keys = digests(batch) if k else []
        if not keys:
            self._empty()
            return batch
        if (state := (k, *((id(t), t.data_ptr(), t._version) for t in tensors))) != self.state:
            self._empty(state, tensors)
        if all(key in self.rows for key in keys):
            h = stack_rows([self.rows[key] for key in keys], batch)
        else:
            h = self.model.forward_to(k, batch)
            if not self._keep(k, keys, h, batch):
                return batch
        made_of = [(name, batch[name], batch[name]._version) for name in READ if name in batch]
        return {**batch, "frozen_features": (self.model.stages, k, h, made_of)}

    def _keep(self, k: int, keys: list[bytes], h: Tensor, batch: dict) -> bool:
        """Store what is new; False, and no cache from then on, where it can do no good."""
        if self.most is not None and len(self.rows) >= self.most:
            return self._off("the examples change from one epoch to the next, as under augmentation")
        new = {key: row for key, row in zip(keys, unstack_rows(h, batch)) if key not in self.rows}
        size = self.bytes + sum(row.numel() * row.element_size() for row in new.values())
        count = len(self.rows) + len(new)
        expected = size / count * max(self.most or 0, count)
        if expected > SHARE * (free_memory(h.device) + self.bytes):
            return self._off(f"{expected / 1e6:,.0f} MB would be more than a quarter of the free memory")
        self.rows |= new
        self.bytes = size
        if k not in self.told:
            self.told.add(k)
            of = f"{self.most:,} examples, {expected / 1e6:,.1f} MB" if self.most else "each example seen"
            self.log(f"the first {k} of {len(self.model.stages)} stages stand still: their output is kept for {of}")
        return True

    def _off(self, why: str) -> bool:
        self.on = False
        self._empty()
        self.log(f"frozen stages are computed anew at each step: {why}")
        return False


def digests(batch: dict) -> list[bytes]:
    """One digest an example: of its pixels, or of its tokens without the pads. Empty where there is neither, or where
    pads stand on the left."""
    if "pixels" in batch:
        rows = batch["pixels"].detach().cpu().contiguous()
    elif "input_ids" in batch:
        mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
        if (mask[:, 1:] > mask[:, :-1]).any():
            return []
        rows = [ids[:n].contiguous() for ids, n in zip(batch["input_ids"].cpu(), lengths(batch))]
    else:
        return []
    return [_digest(row) for row in rows]


def _digest(row: Tensor) -> bytes:
    found = hashlib.blake2b(f"{row.dtype} {tuple(row.shape)}".encode(), digest_size=16)
    found.update(row.view(torch.uint8).numpy())  # as bytes, whatever the number format
    return found.digest()


def unstack_rows(h: Tensor, batch: dict) -> list[Tensor]:
    """The rows of h, each on its own; token rows (T, D) lose their pads."""
    if "pixels" in batch:
        return [row.clone() for row in h]
    return [row[:n].clone() for row, n in zip(h, lengths(batch))]


def stack_rows(rows: list[Tensor], batch: dict) -> Tensor:
    """(B, ...) from the rows; token rows are padded to the longest of the batch, images keep the channels last."""
    if "pixels" not in batch:
        h = pad_sequence(rows, batch_first=True)  # (B, T, D)
        short = batch["input_ids"].shape[1] - h.shape[1]
        return nn.functional.pad(h, (0, 0, 0, short)) if short else h
    h = torch.stack(rows)
    return h.contiguous(memory_format=torch.channels_last) if h.ndim == 4 else h  # (B, C, H, W)


def lengths(batch: dict) -> list[int]:
    """Tokens an example, without the pads, which stand on the right."""
    ids = batch["input_ids"]
    return batch.get("attention_mask", torch.ones_like(ids)).sum(1).tolist()
