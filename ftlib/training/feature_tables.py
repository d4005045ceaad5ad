"""Feature tables: what the first k stages give for every row of a split, computed once.

    table = stages[k-1](... stages[0](rows)),   and after all stages also their pooling: what the head reads

A table is found by what it was made of: digests of the stages' weights and settings, of the rows, and the number
format. So two models with equal first stages share one, and changed weights or data are another table. It is computed
in batches of the loader's size, in the order of the rows, so its numbers don't depend on what was trained before.

`fit` keeps a `Store` of its own, in which its validation shares. `shared` makes one for several runs, in which a
pretrained network that stays untouched runs once over each split, however many probes are trained on it.

Letters: N rows of a split, B of a batch, T tokens, C channels, H x W positions, D features.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from torch.utils.data._utils.collate import default_convert
from torch.utils.weak import WeakIdKeyDictionary

from ftlib.io.progress import progress
from ftlib.training.machine import free_memory, to_device

READ = ("pixels", "input_ids", "attention_mask")  # what stages read of a batch
SHARE = 0.25  # of the free memory: the rest is for training
PLAIN = (bool, int, float, str, type(None))

_current: ContextVar["Store | None"] = ContextVar("store", default=None)
_hashed = WeakIdKeyDictionary()  # tensor -> (its version, its digest)


@contextmanager
def shared() -> Iterator["Store"]:
    """Within the block, all runs and evaluations find tables in one store: that of an outer block, if there is one."""
    store = _current.get() or Store()
    token = _current.set(store)
    try:
        yield store
    finally:
        _current.reset(token)


def share_from_now_on() -> None:
    """Let all that this process does share one store: for a process that only records runs."""
    _current.set(Store())


def gives_its_rows(loader) -> bool:
    """Whether the batches of a loader are for sure the rows of its task, each found by its number."""
    data = getattr(loader, "dataset", None)
    if type(loader) is not DataLoader or not vars(type(data)).get("fixed") or not hasattr(loader.sampler, "in_order"):
        return False
    index = data.columns["index"]
    return loader.collate_fn is default_convert and len(index) > 0 and len(index.unique()) == len(index)


def usable(model: nn.Module) -> bool:
    """Whether the model can be entered between its stages, with rows that are as long inside as outside."""
    whole = getattr(model, "whole", False) or getattr(model, "soft_prompt", None) is not None
    return hasattr(model, "forward_to") and not whole


def with_features(model: nn.Module, loader, depth: int):
    """A function that adds to a batch of the loader, for an evaluation, what the store knows of it.

    depth: stages that stand still. Where none does, the deepest beginning counts that the store has seen stand still.
    """
    store = _current.get()
    if store is None or not gives_its_rows(loader) or not usable(model):
        return lambda batch: batch
    depth = depth or store.depth(model)
    table = store.table(model, depth, loader) if depth else None
    return lambda batch: table.added(model, batch) if table else batch


@dataclass
class Table:
    """h of every row, for the first k stages; k = number of stages + 1 means that h is pooled."""

    k: int
    h: Tensor | list[Tensor]  # (N, C, H, W) or (N, D); of texts before the pooling a list of (T, D)
    index: Tensor  # (N,), sorted: the number of each row in its source
    rows: Tensor  # (N,): where the row with that number is in h
    bytes: int
    began: float  # by time.perf_counter()
    seconds: float  # that it took

    def added(self, model: nn.Module, batch: dict) -> dict:
        """The batch with the features of its rows."""
        rows = self.rows[torch.searchsorted(self.index, batch["index"].cpu())]
        h = pick(self.h, rows, batch)
        made_of = [(name, batch[name], batch[name]._version) for name in READ if name in batch]
        return {**batch, "frozen_features": (model.stages, self.k, h, made_of)}


class Store:
    """Tables by what they were made of, the one that was used last at the end."""

    def __init__(self):
        self.tables: OrderedDict[tuple, Table] = OrderedDict()
        self.still: set[bytes] = set()  # digests of first stages that stood still, whatever the rows

    def depth(self, model: nn.Module) -> int:
        """How many first stages are as some that this store has seen standing still."""
        deepest = 0
        for k, digest in enumerate(stage_digests(model) if self.still else (), 1):
            deepest = k if digest in self.still else deepest
            if k > deepest:
                break
        return deepest

    def table(self, model: nn.Module, k: int, loader: DataLoader, verbose: bool = False) -> Table | None:
        """The table of the first k stages, computed if it isn't there; None where it would need too much memory."""
        stages, device = list(islice(stage_digests(model), k)), next(model.parameters()).device
        self.still.update(stages)
        key = (stages[-1], rows_digest(loader.dataset), loader.sampler.batch_size, _format(device), device)
        if key in self.tables:
            self.tables.move_to_end(key)
            return self.tables[key]
        held = sum(table.bytes for table in self.tables.values())
        made = compute(model, k, loader, SHARE * (free_memory(device) + held), verbose)
        if made is not None:
            self.tables[key] = made
            while held + made.bytes > SHARE * (free_memory(device) + held) and len(self.tables) > 1:
                held -= self.tables.popitem(last=False)[1].bytes
        return made


@torch.no_grad()
def compute(model: nn.Module, k: int, loader: DataLoader, most: float, verbose: bool = False) -> Table | None:
    """The table of the first k stages; None where it would take more than `most` bytes."""
    data = loader.dataset
    start, pooled, device = time.perf_counter(), k == len(model.stages), next(model.parameters()).device
    parts, found, size, text = [], [], 0, False
    for rows in progress(loader.sampler.in_order(), desc="frozen stages", delay=2, leave=False, disable=not verbose):
        batch = to_device({name: value for name, value in data[rows].items() if name in READ}, device)
        h = model.forward_to(k, batch)
        h = model.pool(h, batch) if pooled else h
        text = h.ndim == 3 and "input_ids" in batch
        new = [row[:n].clone() for row, n in zip(h, lengths(batch), strict=True)] if text else [h]
        parts += new
        found.append(rows)
        size += sum(part.nbytes for part in new)
        if size / sum(map(len, found)) * len(data) > most:
            return None
    index, order = data.columns["index"][torch.cat(found)].sort()
    return Table(
        k + pooled, parts if text else torch.cat(parts), index, order, size, start, time.perf_counter() - start
    )


def pick(h: Tensor | list[Tensor], rows: Tensor, batch: dict) -> Tensor:
    """(B, ...): these rows of a table; token rows are padded to the length of the batch."""
    if isinstance(h, list):
        return padded([h[row] for row in rows.tolist()], batch)
    picked = h[rows.to(h.device)]
    return picked.contiguous(memory_format=torch.channels_last) if picked.ndim == 4 else picked


def padded(rows: list[Tensor], batch: dict) -> Tensor:
    """(B, T, D) from token rows, padded to the longest of the batch."""
    h = pad_sequence(rows, batch_first=True)  # (B, T, D)
    short = batch["input_ids"].shape[1] - h.shape[1]
    return nn.functional.pad(h, (0, 0, 0, short)) if short else h


def lengths(batch: dict) -> list[int]:
    """Tokens an example, without the pads, which stand on the right."""
    ids = batch["input_ids"]
    return batch.get("attention_mask", torch.ones_like(ids)).sum(1).tolist()


# ---- digests: of what a table was made


def stage_digests(model: nn.Module) -> Iterator[bytes]:
    """One after each stage: of its weights and settings, and of all before it."""
    found = hashlib.blake2b(digest_size=16)
    _update(found, model, model._buffers.values())  # an image model's mean and deviation
    for stage in model.stages:
        for module in stage.modules():
            _update(found, module, (*module._parameters.values(), *module._buffers.values()))
        yield found.digest()


def _update(found, module: nn.Module, tensors) -> None:
    settings = {
        name: value for name, value in vars(module).items() if name not in ("training", "name") and _plain(value)
    }
    hooks = [id(hook) for hooks in (module._forward_hooks, module._forward_pre_hooks) for hook in hooks.values()]
    found.update(f"{type(module).__qualname__} {settings} {hooks}".encode())
    for tensor in tensors:
        found.update(b"none" if tensor is None else tensor_digest(tensor))


def _plain(value) -> bool:
    """Whether a setting is made of numbers and words alone."""
    if isinstance(value, dict):
        return all(_plain(v) for v in (*value, *value.values()))
    return all(map(_plain, value)) if isinstance(value, tuple | list | set) else isinstance(value, PLAIN)


def rows_digest(data) -> bytes:
    """Of what stages read of the rows, and of their numbers."""
    columns = (data.columns["index"], *columns_read(data))
    return hashlib.blake2b(b"".join(map(tensor_digest, columns)), digest_size=16).digest()


def columns_read(data) -> list[Tensor]:
    """The columns of a split that stages read."""
    return [columns[name] for name in READ for columns in (data.columns, data.tokens) if name in columns]


def tensor_digest(tensor: Tensor) -> bytes:
    """`content_digest`, computed again only when the tensor was written."""
    at = (tensor._version, tensor.data_ptr())
    if _hashed.get(tensor, (None, None))[0] != at:
        _hashed[tensor] = at, content_digest(tensor)
    return _hashed[tensor][1]


def content_digest(tensor: Tensor) -> bytes:
    """Of its shape, number format and content."""
    row = tensor.detach().cpu().contiguous()
    found = hashlib.blake2b(f"{row.dtype} {tuple(row.shape)}".encode(), digest_size=16)
    found.update(row.reshape(-1).view(torch.uint8).numpy())  # as bytes, whatever the number format
    return found.digest()


def _format(device: torch.device) -> tuple:
    """The number format in which a forward pass computes at this moment."""
    on = torch.is_autocast_enabled(device.type)
    return on, str(torch.get_autocast_dtype(device.type)) if on else ""
