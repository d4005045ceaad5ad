"""fastai."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.cases import MAX_NORM, WEIGHT_DECAY
from bench.work import Net, Work
from ftlib.models import Model
from ftlib.training.machine import autocast


class Pairs:
    """A loader that gives (inputs, labels), as fastai wants them."""

    def __init__(self, loader):
        self.loader, self.dataset = loader, loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self):
        for batch in self.loader:
            labels = batch.pop("labels")
            yield batch, labels


class Cast(nn.Module):
    """The network in bfloat16: fastai's own `to_bf16` casts on CUDA only."""

    def __init__(self, net: Net):
        super().__init__()
        self.net = net

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        with autocast(self, torch.bfloat16):
            return self.net(batch)


def train(work: Work, model: Model, folder: Path, tuned: bool) -> None:
    """As it comes, with fastai's own AdamW (written in Python, eps 1e-5, β₂ 0.99), its recorder and progress bar.

    Nobody validates while training, so its list of validation batches is empty.
    """
    net, told = Net(work, model, tuned), {}
    if tuned:
        net = Cast(net) if work.bf16 else net
        told = {"opt_func": partial(OptimWrapper, opt=torch.optim.AdamW, fused=True)}
    learner = Learner(
        DataLoaders(Pairs(work.peer_loader(tuned)), []), net, loss_func=cross_entropy, lr=work.case.lr,
        wd=WEIGHT_DECAY, cbs=GradientClip(MAX_NORM), path=folder, **told,
    )  # fmt: skip
    with learner.no_bar() if tuned else nullcontext(), learner.no_logging() if tuned else nullcontext():
        learner.fit(work.epochs)
