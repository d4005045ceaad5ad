"""The same work for everyone: model, examples, batches; and the network as the peers expect one.

Whatever is needed before training (reading images, tokens, weights) is made here, outside the measured time.
"""

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate
from transformers import DataCollatorWithPadding
from transformers.trainer_pt_utils import LengthGroupedSampler

from bench.cases import BATCH, CASES, Case
from ftlib import models, tasks
from ftlib.models import Model
from ftlib.models.depthwise import Depthwise
from ftlib.models.dropout import NAME as ATTENTION
from ftlib.models.dropout import Dropout
from ftlib.tasks import Task
from ftlib.training.machine import best_precision

OURS = {Depthwise: nn.Conv2d, Dropout: nn.Dropout}  # what the kit computes in its own way, and what anyone else has
FEWEST, FEWEST_TEST = 2 * BATCH, 200  # examples, however small the fraction


class Examples(Dataset):
    """One example at a time, as the peers' loaders ask for them; texts are tokens already."""

    def __init__(self, batches):
        self.columns, self.tokens, self.lengths = batches.columns, batches.tokens, batches.lengths

    def __len__(self) -> int:
        return len(self.columns["labels"])

    def __getitem__(self, i: int) -> dict:
        label = int(self.columns["labels"][i])
        if not self.tokens:
            return {"pixels": self.columns["pixels"][i].float().div_(255), "labels": label}  # (C, S, S)
        ids = self.tokens["input_ids"][i, : self.lengths[i]].tolist()
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": label}


@dataclass
class Work:
    """A case with its data, one seed's."""

    case: Case
    seed: int
    task: Task
    start: Model  # as it is before the first step; never trained itself
    examples: Examples
    epochs: int

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return self.epochs * math.ceil(len(self.examples) / BATCH)

    @property
    def text(self) -> bool:
        return self.task.kind == "text"

    @property
    def bf16(self) -> bool:
        """Whether someone who has measured it would train this in bfloat16 here."""
        return best_precision(device(), self.task.kind) == torch.bfloat16

    def model(self) -> Model:
        """A fresh copy of the model."""
        return copy.deepcopy(self.start)

    def loader(self, split: str, **more) -> DataLoader:
        """Our own loader."""
        return self.task.loader(split, tokenizer=self.start.tokenizer, seed=self.seed, **more)

    def peer_loader(self, tuned: bool) -> DataLoader:
        """PyTorch's loader as Lightning's and fastai's users write one; tuned: texts of similar length together."""
        grouped = tuned and self.text
        sampler = LengthGroupedSampler(BATCH, lengths=self.examples.lengths.tolist()) if grouped else None
        collate = _Padded(self.start.tokenizer) if self.text else default_collate
        return DataLoader(self.examples, BATCH, shuffle=sampler is None, sampler=sampler, collate_fn=collate)


class _Padded(DataCollatorWithPadding):
    """Transformers' own padding, as a plain dict."""

    def __call__(self, rows: list) -> dict[str, Tensor]:
        return dict(super().__call__(rows))


@lru_cache(4)
def prepare(name: str, seed: int, fraction: float, **options) -> Work:
    """The work of a case; `fraction` of its training and test examples, and always all its epochs.

    options: of the task, instead of the case's own.
    """
    case = replace(CASES[name], options=CASES[name].options | options)
    task = tasks.load(case.task, seed=seed, **case.options)
    n = min(len(task.splits["train"]), case.most or len(task.splits["train"]))
    few = min(n, max(FEWEST, round(fraction * n)))
    few -= few % BATCH == 1  # BatchNorm cannot train on one example
    task = tasks.load(case.task, seed=seed, n=few, **case.options)
    test = task.splits["test"]
    keep = min(len(test), max(FEWEST_TEST, round(fraction * len(test))))
    task.splits["test"] = test.take(np.random.default_rng(seed).permutation(len(test))[:keep])
    set_seed(seed)
    start = models.load(case.model, task)
    examples = Examples(task.loader("train", tokenizer=start.tokenizer).dataset)
    return Work(case, seed, task, start, examples, case.epochs)


class Net(nn.Module):
    """Our model with its first stages frozen: a dict of tensors in, logits out.

    Its convolutions, dropout and attention are PyTorch's, as anyone else's would be: how ours compute them is part of
    the kit. As they come, frozen means requires_grad=False, no more. Tuned: frozen stages compute under no_grad and in
    evaluation mode whatever the trainer calls, and convolutions have the channels last.
    """

    def __init__(self, work: Work, model: Model, tuned: bool):
        super().__init__()
        self.model, self.still = model, work.case.frozen if tuned else 0
        model.stages[: work.case.frozen].requires_grad_(False)
        for module in model.modules():
            if type(module) in OURS:
                module.__class__ = OURS[type(module)]
            if getattr(getattr(module, "config", None), "_attn_implementation", "") == ATTENTION:
                module.config._attn_implementation = "sdpa"
        if tuned and not work.text:
            self.to(memory_format=torch.channels_last)
        self.train()

    def train(self, mode: bool = True) -> "Net":
        super().train(mode)
        self.model.stages[: self.still].eval()
        return self

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        with torch.no_grad():
            h = self.model.forward_to(self.still, batch)  # 0 stages: the input itself
        return self.model.forward_from(self.still, h, batch).float()


def device() -> torch.device:
    """Where everyone trains."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")


def wait() -> None:
    """Until an accelerator, if there is one, has done what it was told."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def peak(dtype: torch.dtype, size: int = 1024, seconds: float = 1.0) -> float:
    """GFLOP/s of a product of two square matrices: the best of many, since disturbances only slow down."""
    a, b = (torch.randn(size, size, device=device()).to(dtype) for _ in range(2))
    best, end = math.inf, time.perf_counter() + seconds
    while best == math.inf or time.perf_counter() < end:
        wait()
        start = time.perf_counter()
        a @ b
        wait()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9
