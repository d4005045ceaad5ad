"""The frozen-feature cache: what frozen first stages give for an example never changes, so it is computed once.

    logits = forward_from(k, h, batch),   h = forward_to(k, batch)   kept for each example, as long as nothing changes

At each step the cache checks the model itself. It doesn't trust the strategy. Stages count as frozen
while none of their weights is trained, nor one outside of stages and head (a prompt, say, that feeds them), and all of
their modules are in evaluation mode (else BatchNorm moves, dropout draws). An example is found by the digest of its
input, so changed data are another example; a written weight or buffer empties the cache; and h is used only by the
model, and for the tensors, that it was made of. What it cannot see: weights written through `.data`, and settings that
are no tensors, such as an adapter that is switched off.

Where the rows of a task come as they are, they are found by their number instead, in a table of the whole split (see
`feature_tables`): then a step has nothing to digest.

It saves the forward pass through the frozen stages from the second epoch on; freezing alone saves the backward pass.

Letters: B examples of a batch, T tokens, C channels, H x W positions, D features.
"""

import time

import torch
from torch import Tensor, nn

from ftlib.networks import walk
from ftlib.strategy import Strategy, owners
from ftlib.training import feature_tables
from ftlib.training.feature_tables import READ, SHARE, content_digest, lengths, padded
from ftlib.training.machine import free_memory


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
        for module in walk(stage):
            if module.training:
                return k, tensors
            for weight in module._parameters.values():
                if weight is not None:
                    if weight.requires_grad:
                        return k, tensors
                    mine.append(weight)
            mine += [t for t in module._buffers.values() if t is not None]
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

    def __init__(
        self, model: nn.Module, strategy: Strategy, loaders: dict, log=print, batches: int = 0, bar: bool = False
    ):
        """loaders: as `fit` has them, to know how many examples there are. log: where it reports what it does.

        batches: how many will come; 0 where that is not known. bar: whether to show the progress of a table.
        """
        self.model, self.log, self.told, self.owed, self.bar = model, log, set(), 0.0, bar
        sizes = [len(getattr(loader, "dataset", ())) for loader in loaders.values()]
        self.most = sum(sizes) if sizes and all(sizes) else None  # examples that there can be; None: not known
        # Augmented, the same example would be another one each time.
        self.on = feature_tables.usable(model) and not owners(strategy, "transform")
        plain = [*loaders] == ["train"] and not owners(strategy, "batches")  # no batch is put together anew
        known = plain and self.on and feature_tables.gives_its_rows(loaders["train"])
        self.loader = loaders["train"] if known else None
        self.left, self.a_pass = batches, len(self.loader) if known else 0
        self.seen, self.began = self.a_pass, time.perf_counter()
        self._empty()

    def _empty(self, state: tuple | None = None, tensors: list | None = None) -> None:
        """Forget every example; from now on it is about these tensors (kept alive: no other gets the same id)."""
        self.state, self.tensors, self.bytes, self.table = state, tensors, 0, None
        self.rows: dict[bytes, Tensor] = {}  # digest of the input -> h of one example

    @torch.no_grad()
    def __call__(self, batch: dict) -> dict:
        """The batch with the output of the frozen stages, or as it is where there is nothing to save."""
        self.left -= 1
        k, tensors = standing_still(self.model) if self.on else (0, [])
        if not k:
            self._empty()
            return batch
        tensors += feature_tables.columns_read(self.loader.dataset) if self.loader else []
        if (state := (k, *[(id(t), t.data_ptr(), t._version) for t in tensors])) != self.state:
            self._empty(state, tensors)
            self._find_table(k)
        self.seen += 1
        if self.table:
            return self.table.added(self.model, batch)
        if not (keys := digests(batch)):
            return batch
        if all(key in self.rows for key in keys):
            h = stack_rows([self.rows[key] for key in keys], batch)
        else:
            h = self.model.forward_to(k, batch)
            if not self._keep(k, keys, h, batch):
                return batch
        made_of = [(name, batch[name], batch[name]._version) for name in READ if name in batch]
        return {**batch, "frozen_features": (self.model.stages, k, h, made_of)}

    def _find_table(self, k: int) -> None:
        """Take the table of the whole split, if what is left is a pass at least and stages do not change faster."""
        steady, self.seen = self.seen >= self.a_pass, 0
        if not self.loader or not steady or self.left + 1 < self.a_pass:
            return
        with feature_tables.shared() as store:
            self.table = store.table(self.model, k, self.loader, self.bar)
        if self.table:
            self.owed += self.table.seconds if self.table.began < self.began else 0.0
            self._tell(k, f"{len(self.loader.dataset):,} examples, {self.table.bytes / 1e6:,.1f} MB")

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
        self._tell(k, f"{self.most:,} examples, {expected / 1e6:,.1f} MB" if self.most else "each example seen")
        return True

    def _tell(self, k: int, of: str) -> None:
        if k not in self.told:
            self.told.add(k)
            self.log(f"the first {k} of {len(self.model.stages)} stages stand still: their output is kept for {of}")

    def settle(self) -> float:
        """Seconds that an earlier run spent on what this one uses: its own cost, as if it had run alone."""
        owed, self.owed = self.owed, 0.0
        return owed

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
    return [content_digest(row) for row in rows]


def unstack_rows(h: Tensor, batch: dict) -> list[Tensor]:
    """The rows of h, each on its own; token rows (T, D) lose their pads."""
    if "pixels" in batch:
        return [row.clone() for row in h]
    return [row[:n].clone() for row, n in zip(h, lengths(batch))]


def stack_rows(rows: list[Tensor], batch: dict) -> Tensor:
    """(B, ...) from the rows; token rows are padded to the longest of the batch, images keep the channels last."""
    if "pixels" not in batch:
        return padded(rows, batch)
    h = torch.stack(rows)
    return h.contiguous(memory_format=torch.channels_last) if h.ndim == 4 else h  # (B, C, H, W)
