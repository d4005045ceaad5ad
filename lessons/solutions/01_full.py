"""One solution of each exercise of 01_full, for teachers and tests; the student's copy does not hold this file."""

import torch.nn.functional as F

from ftlib.compare import paired, reading


def probe():
    return {"lr": 3e-4, "steps": 40}


def accumulate(model, optimizer, batches):
    n = sum(len(batch["labels"]) for batch in batches)
    optimizer.zero_grad()
    total = 0.0
    for batch in batches:
        loss = F.cross_entropy(model(batch), batch["labels"], reduction="sum") / n
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total


def l2sp(model, start, alpha, beta):
    pull = sum(
        (p - start[name]).square().sum()
        for name, p in model.named_parameters()
        if name in start
    )
    decay = sum(p.square().sum() for p in model.head.parameters())
    return alpha / 2 * pull + beta / 2 * decay


def smallest_n(runs, arm, baseline, metric):
    measured = runs[runs.purpose == "measure"]
    for n in sorted(measured.n.unique()):
        difference = paired(measured[measured.n == n], metric, arm, baseline)
        if reading(difference) != "not distinguishable here":
            return int(n)
    return None


def board():
    return 6.9
