"""The kit's own `fit`, as it comes."""

from pathlib import Path

from bench.cases import BATCH
from bench.work import Work
from ftlib.models import Model
from ftlib.strategies.freezing import FreezeFirst
from ftlib.training.loop import fit


def train(work: Work, model: Model, folder: Path, tuned: bool) -> None:
    """No number format, no layout, no cache is named here: `fit` chooses."""
    loader = work.loader("train", batch_size=BATCH, shuffle=True)
    fit(model, loader, FreezeFirst(work.case.frozen), steps=work.steps, lr=work.case.lr, seed=work.seed)
