"""Lightning."""

from pathlib import Path

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.cases import MAX_NORM, WEIGHT_DECAY
from bench.work import Net, Work
from ftlib.models import Model


class Module(lightning.LightningModule):
    """The least that Lightning wants."""

    def __init__(self, net: Net, lr: float, fused: bool | None):
        super().__init__()
        self.net, self.lr, self.fused = net, lr, fused

    def training_step(self, batch: dict[str, Tensor], i: int) -> Tensor:
        return cross_entropy(self.net(batch), batch["labels"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=WEIGHT_DECAY, fused=self.fused)


class Tuned(Module):
    """Lightning will not clip for a fused optimizer in bfloat16, for fear of scaled gradients: here are none."""

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)


def train(work: Work, model: Model, folder: Path, tuned: bool) -> None:
    """As it comes, it logs, shows its progress and writes a checkpoint every epoch; barebones=True leaves all out."""
    told = {}
    if tuned:
        told = {"barebones": True, "precision": "bf16-mixed" if work.bf16 else None}
    trainer = lightning.Trainer(
        max_epochs=work.epochs, gradient_clip_val=MAX_NORM, default_root_dir=folder, devices=1, **told
    )
    module = (Tuned if tuned else Module)(Net(work, model, tuned), work.case.lr, fused=True if tuned else None)
    trainer.fit(module, work.peer_loader(tuned))
