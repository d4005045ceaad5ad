"""evaluate(): the only evaluation of the kit, and what it counts."""

from collections import Counter, defaultdict

import torch
from torch import Tensor, nn

from ftlib import metrics
from ftlib.models.folding import folded
from ftlib.training.feature_tables import with_features
from ftlib.training.frozen_features import standing_still
from ftlib.training.machine import model_device, to_device


@torch.no_grad()
def predict_logits(model: nn.Module, loader) -> dict[str, Tensor]:
    """Predict every example of a loader, in its order.

    Parameters
    ----------
    model : torch.nn.Module
        A model that answers with one row per example. It is left in evaluation mode.
    loader : iterable of dict
        Batches with "labels" and "index" (see `ftlib.strategy.Batch`).

    Returns
    -------
    dict of str to torch.Tensor
        "logits" (N, K) in float32, "labels" (N,) and "index" (N,), all on the CPU.

    Raises
    ------
    ValueError
        If the loader gives no batch.

    Examples
    --------
    >>> out = ftlib.predict_logits(model, train)
    >>> out["logits"].shape, out["labels"].shape
    (torch.Size([16, 3]), torch.Size([16]))
    """
    model.eval()
    rows = defaultdict(list)
    known = with_features(model, loader, standing_still(model)[0])
    with folded(model):
        for batch in loader:
            logits = model(known(to_device(batch, model_device(model))))
            for name, value in (("logits", logits), ("labels", batch["labels"]), ("index", batch["index"])):
                rows[name].append(value.float().cpu() if value.is_floating_point() else value.long().cpu())
    if not rows:
        raise ValueError("there is nothing to predict: the loader gave no batch, so its split is empty")
    return {name: torch.cat(parts) for name, parts in rows.items()}


@torch.no_grad()
def evaluate(model: nn.Module, loader) -> dict[str, float]:
    """Compute every metric that fits the model's task.

    Parameters
    ----------
    model : torch.nn.Module
        The model. It is left in evaluation mode.
    loader : iterable of dict
        Batches with "labels" and "index" (see `ftlib.strategy.Batch`).

    Returns
    -------
    dict of str to float
        The value of each metric by its name. `ftlib.metrics` says what each means.

    Raises
    ------
    ValueError
        If the loader gives no batch.

    Examples
    --------
    >>> scores = ftlib.evaluate(model, train)
    >>> 0 <= scores["accuracy"] <= 1 and scores["nll"] > 0
    True
    """
    if getattr(model, "kind", None) != "lm":
        out = predict_logits(model, loader)
        score = metrics.regression if out["logits"].shape[-1] == 1 else metrics.classification
        return score(out["logits"].numpy(), out["labels"].numpy())
    model.eval()
    totals, known = Counter(), with_features(model, loader, standing_still(model)[0])
    for batch in loader:
        batch = known(to_device(batch, model_device(model)))
        totals.update(metrics.token_counts(model(batch), batch["labels"]))
    return metrics.tokens(totals)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, total) number of parameters."""
    sizes = [(p.requires_grad, p.numel()) for p in model.parameters()]
    return sum(n for trained, n in sizes if trained), sum(n for _, n in sizes)
