"""What is measured, from plain arrays: N examples, K classes. Every value is a float; each name says one thing.

Accuracy alone misleads where classes are unequal (69 % of the solar cells are intact), so balanced accuracy, macro-F1,
Matthews correlation and AUROC stand beside it. Calibration: negative log-likelihood, Brier score, expected calibration
error in 15 bins (Guo et al., ICML 2017, 1706.04599). Forgetting: from the matrix R (Lopez-Paz & Ranzato 2017,
1706.08840; Chaudhry et al. 2018, 1801.10112).
"""

import warnings
from collections import Counter

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import pearsonr
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef, roc_auc_score
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from ftlib.strategy import IGNORED

BINS = 15  # of the expected calibration error
TEMPERATURES = (0.05, 20.0)  # where the best one is looked for; an end of it says that there is none


def classification(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """accuracy, balanced_accuracy, worst_class, macro_f1, mcc, auroc in 0..1 (mcc -1..1); nll in nats, brier in 0..2,
    ece in 0..1.

    logits (N, K), labels (N,) whole numbers. worst_class: the lowest accuracy within a class that is
    there. AUROC (one against the rest, macro) is nan unless every class is present.
    """
    log_p = log_softmax(logits.astype(np.float64), axis=-1)  # (N, K)
    p, guess, rows = np.exp(log_p), logits.argmax(-1), np.arange(len(labels))
    classes = logits.shape[-1]
    with warnings.catch_warnings():  # a class that was never guessed is reported by the score, not by a warning
        warnings.simplefilter("ignore")
        balanced = balanced_accuracy_score(labels, guess)
    return {
        "accuracy": float((guess == labels).mean()),
        "balanced_accuracy": float(balanced),
        "worst_class": float(min((guess[labels == k] == k).mean() for k in np.unique(labels))),
        "macro_f1": float(f1_score(labels, guess, average="macro", zero_division=0)),
        "mcc": float(matthews_corrcoef(labels, guess)),
        "auroc": _auroc(p, labels),
        "nll": float(-log_p[rows, labels].mean()),
        "brier": float(np.square(p - np.eye(classes)[labels]).sum(-1).mean()),
        "ece": float(multiclass_calibration_error(torch.tensor(p), torch.tensor(labels), classes, n_bins=BINS)),
    }


def _auroc(p: np.ndarray, labels: np.ndarray) -> float:
    if len(np.unique(labels)) < p.shape[-1]:
        return float("nan")
    return float(roc_auc_score(labels, p[:, 1] if p.shape[-1] == 2 else p, multi_class="ovr"))


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T that makes softmax(logits / T) fit best, by the NLL (Guo et al. 2017); above 1: the network was too sure.

    logits (N, K), labels (N,) of *validation*; then judge `classification(logits / T, labels)` on test. It cannot
    change which class is first, so accuracy stays. Where nothing is wrong, T is near the least.
    """
    if logits.ndim != 2 or len(logits) != len(labels) or not len(labels):
        shapes = f"{np.shape(logits)} and {np.shape(labels)}"
        raise ValueError(f"temperature needs logits (N, K) and labels (N,), but got {shapes}: see predict_logits")
    low, high = np.log(TEMPERATURES)

    def nll(log_t: float) -> float:
        return -log_softmax(logits.astype(np.float64) / np.exp(log_t), axis=-1)[np.arange(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(nll, bounds=(low, high), method="bounded").x))


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> dict[str, list[float]]:
    """Of each bin of confidence that holds examples: mean confidence, accuracy and share of all, in 0..1.

    The expected calibration error is Σ share · |accuracy − confidence|. Bin m of M holds ((m − 1) / M, m / M].
    """
    p = np.exp(log_softmax(logits.astype(np.float64), axis=-1))
    sure, right = p.max(-1), p.argmax(-1) == labels
    bin_of = np.ceil(sure * bins)
    rows = [bin_of == m for m in np.unique(bin_of)]
    return {
        "confidence": [float(sure[r].mean()) for r in rows],
        "accuracy": [float(right[r].mean()) for r in rows],
        "share": [float(r.mean()) for r in rows],
    }


def regression(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """pearson (-1..1), mae and rmse in the target's unit. outputs (N, 1) or (N,), targets (N,)."""
    outputs = outputs.reshape(-1).astype(np.float64)
    error = outputs - targets
    constant = len(outputs) < 2 or np.ptp(outputs) == 0 or np.ptp(targets) == 0
    return {
        "pearson": 0.0 if constant else float(pearsonr(outputs, targets).statistic),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
    }


def token_counts(logits: Tensor, labels: Tensor) -> Counter:
    """Sums over one batch of a language model, to be added up for `tokens`. labels (B, T), logits (B, T, V) or,
    of the M counted positions only, (M, V)."""
    counted = labels != IGNORED  # (B, T)
    chosen = (logits if logits.ndim == 2 else logits[counted]).float()  # (M, V)
    target = labels[counted]  # (M,)
    right = torch.ones_like(counted)
    right[counted] = chosen.argmax(-1) == target
    return Counter(
        rows=len(labels),
        tokens=len(target),
        nll=torch.nn.functional.cross_entropy(chosen, target, reduction="sum").item(),
        right_tokens=int((right & counted).sum()),
        right_rows=int(right.all(-1).sum()),
    )


def tokens(totals: Counter) -> dict[str, float]:
    """nll in nats a token, perplexity, token_accuracy, and exact_match: rows whose every counted token is the first
    choice, which is what greedy decoding would write."""
    nll = totals["nll"] / totals["tokens"]
    return {
        "nll": nll,
        "perplexity": float(np.exp(nll)),
        "token_accuracy": totals["right_tokens"] / totals["tokens"],
        "exact_match": totals["right_rows"] / totals["rows"],
    }


def forgetting(scores: np.ndarray, untrained: np.ndarray | None = None) -> dict[str, float]:
    """Summary of R (T, T), R[i, j] = score on task j after training on task i, T >= 2 tasks.

    average: mean of the last row. backward: mean over j < T of R[T, j] - R[j, j] (negative where old tasks got worse).
    forgetting: mean over j < T of max over i < T of R[i, j], minus R[T, j]. learning: mean of the diagonal. forward,
    if the scores of the untrained model (T,) are given: mean over j > 1 of R[j-1, j] - untrained[j].
    """
    R = np.asarray(scores, dtype=float)
    if R.ndim != 2 or R.shape[0] != R.shape[1] or len(R) < 2:
        raise ValueError(f"forgetting needs a square matrix of at least 2 tasks, but its shape is {R.shape}")
    last, diagonal = R[-1], np.diag(R)
    out = {
        "average": float(last.mean()),
        "backward": float((last - diagonal)[:-1].mean()),
        "forgetting": float((R[:-1, :-1].max(0) - last[:-1]).mean()),
        "learning": float(diagonal.mean()),
    }
    if untrained is not None:
        out["forward"] = float((np.diag(R, 1) - np.asarray(untrained, dtype=float)[1:]).mean())
    return out
