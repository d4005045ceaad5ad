"""Hugging Face's Trainer."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

from bench.cases import BATCH, MAX_NORM, WEIGHT_DECAY
from bench.work import Net, Work
from ftlib.models import Model


class Named(Net):
    """Trainer hands over columns by the names that it finds here, and wants the loss back."""

    def forward(
        self,
        labels: Tensor,
        pixels: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        logits = super().forward({"pixels": pixels, "input_ids": input_ids, "attention_mask": attention_mask})
        return {"loss": cross_entropy(logits, labels), "logits": logits}


def train(work: Work, model: Model, folder: Path, tuned: bool, bf16: bool = False) -> None:
    """As it comes, it logs, writes a checkpoint at the end and mixes lengths; its AdamW is the fused one already."""
    told = {}
    if tuned:
        told = {"logging_strategy": "no", "save_strategy": "no", "disable_tqdm": True}
        told |= {"train_sampling_strategy": "group_by_length"} if work.text else {}
    arguments = TrainingArguments(
        folder, num_train_epochs=work.epochs, per_device_train_batch_size=BATCH, learning_rate=work.case.lr,
        lr_scheduler_type="constant", weight_decay=WEIGHT_DECAY, max_grad_norm=MAX_NORM, seed=work.seed,
        bf16=bf16 or (tuned and work.bf16), use_cpu=not torch.accelerator.is_available(), **told,
    )  # fmt: skip
    tokenizer = work.start.tokenizer if work.text else None  # with it, Trainer pads each batch to its longest row
    Trainer(Named(work, model, tuned), arguments, train_dataset=work.examples, processing_class=tokenizer).train()
