"""evaluate(): the only evaluation of the kit, and what it counts."""

from collections import Counter, defaultdict

import torch
from torch import Tensor, nn

from ftlib import metrics
from ftlib.training.machine import model_device, to_device


@torch.no_grad()
def predict_logits(model: nn.Module, loader) -> dict[str, Tensor]:
    """{"logits": (N, K), "labels": (N,), "index": (N,)} over a loader, in its order, in float32 on the CPU."""
    model.eval()
    rows = defaultdict(list)
    for batch in loader:
        logits = model(to_device(batch, model_device(model)))
        for name, value in (("logits", logits), ("labels", batch["labels"]), ("index", batch["index"])):
            rows[name].append(value.float().cpu() if value.is_floating_point() else value.long().cpu())
    if not rows:
        raise ValueError("there is nothing to predict: the loader gave no batch, so its split is empty")
    return {name: torch.cat(parts) for name, parts in rows.items()}


@torch.no_grad()
def evaluate(model: nn.Module, loader) -> dict[str, float]:
    """Every metric that fits the model's task, by name (ftlib.metrics says what each means)."""
    if getattr(model, "kind", None) != "lm":
        out = predict_logits(model, loader)
        score = metrics.regression if out["logits"].shape[-1] == 1 else metrics.classification
        return score(out["logits"].numpy(), out["labels"].numpy())
    model.eval()
    totals = Counter()
    for batch in loader:
        batch = to_device(batch, model_device(model))
        totals.update(metrics.token_counts(model(batch), batch["labels"]))
    return metrics.tokens(totals)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, total) number of parameters."""
    sizes = [(p.requires_grad, p.numel()) for p in model.parameters()]
    return sum(n for trained, n in sizes if trained), sum(n for _, n in sizes)
