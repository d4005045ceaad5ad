"""What is measured, from plain arrays: N examples, K classes. Every value is a float; each name says one thing.

Accuracy alone misleads where classes are unequal (69 % of the solar cells are intact), so balanced accuracy, macro-F1,
Matthews correlation and AUROC stand beside it. Calibration: negative log-likelihood, Brier score, expected calibration
error in 15 bins (Guo et al., ICML 2017, 1706.04599). Forgetting: from the matrix R (Lopez-Paz & Ranzato 2017,
1706.08840; Chaudhry et al. 2018, 1801.10112). Multi-task learning: `delta_m` (Maninis et al. 2019, 1904.08918).
"""

import warnings
from collections import Counter
from collections.abc import Collection, Sequence

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
    """Score the logits of a classifier: how often it is right, per class and in all, and how well it is calibrated.

    Parameters
    ----------
    logits : ndarray of float, shape (N, K)
        Scores of K classes for N examples, before the softmax.
    labels : ndarray of int, shape (N,)
        The right classes, in 0..K-1.

    Returns
    -------
    dict of str to float
        accuracy
            Share of right examples, in 0..1.
        balanced_accuracy
            Mean over the classes of the accuracy within a class, in 0..1 [1]_.
        worst_class
            Lowest accuracy within a class that has examples, in 0..1, as worst-group accuracy [2]_.
        macro_f1
            Mean over the classes of F1, which combines precision and recall, in 0..1.
        mcc
            Matthews correlation of guesses and labels, in -1..1 [3]_. 0 is no better than chance.
        auroc
            Area under the ROC curve, in 0..1, one class against the rest, mean over the classes [4]_. It is nan unless
            every class has examples.
        nll
            Mean negative log-likelihood of the right class, in nats, at least 0.
        brier
            Mean squared distance of the probabilities from the right ones, in 0..2 [5]_.
        ece
            Expected calibration error in 15 bins, in 0..1 [6]_.

    References
    ----------
    .. [1] Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
    .. [2] Sagawa et al., "Distributionally robust neural networks", ICLR 2020, arXiv:1911.08731.
    .. [3] Matthews, "Comparison of the predicted and observed secondary structure of T4 phage lysozyme", 1975.
    .. [4] Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters, 2006.
    .. [5] Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review, 1950.
    .. [6] Guo et al., "On calibration of modern neural networks", ICML 2017, arXiv:1706.04599.

    Examples
    --------
    >>> logits, labels = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]]), np.array([0, 1, 1, 1])
    >>> scores = ftlib.metrics.classification(logits, labels)
    >>> scores["accuracy"], round(scores["balanced_accuracy"], 3), round(scores["nll"], 3)
    (0.75, 0.833, 0.451)
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
    """Find the temperature at which softmax(logits / T) has the lowest negative log-likelihood.

    Parameters
    ----------
    logits : ndarray of float, shape (N, K)
        Scores of the *validation* split.
    labels : ndarray of int, shape (N,)
        Its right classes.

    Returns
    -------
    float
        T, in 0.05..20. Above 1 the network was too sure.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there are no examples.

    Notes
    -----
    Judge `classification(logits / T, labels)` on test. A temperature never changes which class comes first, so accuracy
    stays as it is. Where every example is right, T is near the lower end.

    References
    ----------
    .. [1] Guo et al., "On calibration of modern neural networks", ICML 2017, arXiv:1706.04599.

    Examples
    --------
    >>> logits, labels = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]]), np.array([0, 1, 1, 1])
    >>> round(ftlib.metrics.temperature(logits, labels), 2), round(ftlib.metrics.temperature(5 * logits, labels), 2)
    (1.07, 5.34)
    """
    if logits.ndim != 2 or len(logits) != len(labels) or not len(labels):
        shapes = f"{np.shape(logits)} and {np.shape(labels)}"
        raise ValueError(f"temperature needs logits (N, K) and labels (N,), but got {shapes}: see predict_logits")
    low, high = np.log(TEMPERATURES)

    def nll(log_t: float) -> float:
        return -log_softmax(logits.astype(np.float64) / np.exp(log_t), axis=-1)[np.arange(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(nll, bounds=(low, high), method="bounded").x))


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> dict[str, list[float]]:
    """Compare confidence with accuracy, in bins of confidence.

    Parameters
    ----------
    logits : ndarray of float, shape (N, K)
        Scores of K classes for N examples.
    labels : ndarray of int, shape (N,)
        The right classes.
    bins : int, default 15
        Number M of bins. Bin m holds confidences in ((m - 1) / M, m / M].

    Returns
    -------
    dict of str to list of float
        confidence, accuracy and share of all examples, in 0..1, for each bin that holds examples. The expected
        calibration error is the sum of share · |accuracy - confidence|.

    References
    ----------
    .. [1] Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised learning", ICML 2005.
    .. [2] Guo et al., "On calibration of modern neural networks", ICML 2017, arXiv:1706.04599.

    Examples
    --------
    >>> logits, labels = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]]), np.array([0, 1, 1, 1])
    >>> found = ftlib.metrics.reliability(logits, labels)
    >>> found["accuracy"], found["share"]
    ([0.5, 1.0, 1.0], [0.5, 0.25, 0.25])
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
    """Score predicted numbers.

    Parameters
    ----------
    outputs : ndarray of float, shape (N, 1) or (N,)
        Predictions.
    targets : ndarray of float, shape (N,)
        Right values.

    Returns
    -------
    dict of str to float
        pearson
            Pearson's correlation, in -1..1 [1]_. It is 0 where one side is constant.
        mae
            Mean absolute error, in the target's unit.
        rmse
            Root of the mean squared error, in the target's unit.

    References
    ----------
    .. [1] Pearson, "Note on regression and inheritance in the case of two parents", Proc. Royal Society, 1895.

    Examples
    --------
    >>> scores = ftlib.metrics.regression(np.array([[0.1], [0.6]]), np.array([0.0, 0.5]))
    >>> {name: round(score, 3) for name, score in scores.items()}
    {'pearson': 1.0, 'mae': 0.1, 'rmse': 0.1}
    """
    outputs = outputs.reshape(-1).astype(np.float64)
    error = outputs - targets
    constant = len(outputs) < 2 or np.ptp(outputs) == 0 or np.ptp(targets) == 0
    return {
        "pearson": 0.0 if constant else float(pearsonr(outputs, targets).statistic),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
    }


def token_counts(logits: Tensor, labels: Tensor) -> Counter:
    """Count what a language model gets right in one batch.

    Parameters
    ----------
    logits : Tensor of float, shape (B, T, V) or (M, V)
        Scores of V tokens at each position, or at the M counted positions only.
    labels : Tensor of int, shape (B, T)
        The right next tokens. Positions with -100 are not counted.

    Returns
    -------
    Counter
        rows, tokens, nll (a sum, in nats), right_tokens and right_rows. Add the batches up, then call `tokens`.

    Examples
    --------
    >>> logits = torch.tensor([[[0.0, 2.0], [0.0, 1.0]], [[3.0, 0.0], [1.0, 0.0]]])
    >>> counts = ftlib.metrics.token_counts(logits, torch.tensor([[1, 0], [0, -100]]))
    >>> counts["tokens"], counts["right_tokens"], counts["right_rows"]
    (3, 2, 1)
    """
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
    """Score a language model from the sums of `token_counts`.

    Parameters
    ----------
    totals : Counter
        Sums over the batches of a split.

    Returns
    -------
    dict of str to float
        nll
            Mean negative log-likelihood, in nats per token, at least 0.
        perplexity
            exp(nll), at least 1 [1]_.
        token_accuracy
            Share of counted tokens that are the first choice, in 0..1.
        exact_match
            Share of rows whose counted tokens are all the first choice, in 0..1 [2]_. Greedy decoding would write these
            rows.

    References
    ----------
    .. [1] Jelinek et al., "Perplexity: a measure of the difficulty of speech recognition tasks", JASA, 1977.
    .. [2] Rajpurkar et al., "SQuAD: 100,000+ questions for machine comprehension of text", 2016, arXiv:1606.05250.

    Examples
    --------
    >>> scores = ftlib.metrics.tokens(Counter(rows=2, tokens=4, nll=2.0, right_tokens=3, right_rows=1))
    >>> scores["nll"], round(scores["perplexity"], 3), scores["token_accuracy"], scores["exact_match"]
    (0.5, 1.649, 0.75, 0.5)
    """
    nll = totals["nll"] / totals["tokens"]
    return {
        "nll": nll,
        "perplexity": float(np.exp(nll)),
        "token_accuracy": totals["right_tokens"] / totals["tokens"],
        "exact_match": totals["right_rows"] / totals["rows"],
    }


def forgetting(scores: np.ndarray, untrained: np.ndarray | None = None) -> dict[str, float]:
    """Summarise what a model keeps of earlier tasks when it learns one task after another.

    Parameters
    ----------
    scores : array of float, shape (T, T)
        R[i, j] is the score on task j after training on task i. There are at least 2 tasks.
    untrained : array of float, shape (T,), optional
        Scores of the model before any training.

    Returns
    -------
    dict of str to float
        All in the unit of the scores.

        average
            Mean of the last row.
        backward
            Backward transfer, the mean over j < T of R[T, j] - R[j, j] [1]_. It is negative where old tasks got worse.
        forgetting
            Mean over j < T of the best earlier score minus the last one, max R[i, j] - R[T, j] [2]_.
        learning
            Mean of the diagonal.
        worst
            Mean over j < T of the lowest score on task j after a later task, min R[i, j] with i > j [3]_. See
            `stability` for the scores within a task.
        forward
            Forward transfer, the mean over j > 1 of R[j - 1, j] - untrained[j] [1]_. Only with `untrained`.

    Raises
    ------
    ValueError
        If the matrix is not square or has fewer than 2 tasks.

    References
    ----------
    .. [1] Lopez-Paz and Ranzato, "Gradient episodic memory for continual learning", NeurIPS 2017, arXiv:1706.08840.
    .. [2] Chaudhry et al., "Riemannian walk for incremental learning", ECCV 2018, arXiv:1801.10112.
    .. [3] De Lange et al., "Continual evaluation for lifelong learning", ICLR 2023, arXiv:2205.13452.

    Examples
    --------
    >>> found = ftlib.metrics.forgetting([[0.9, 0.1], [0.6, 0.8]], untrained=[0.1, 0.2])
    >>> {name: round(value, 2) for name, value in found.items()}
    {'average': 0.7, 'backward': -0.3, 'forgetting': 0.3, 'learning': 0.85, 'worst': 0.6, 'forward': -0.1}
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
        "worst": stability(R, range(len(R)))["worst"],
    }
    if untrained is not None:
        out["forward"] = float((np.diag(R, 1) - np.asarray(untrained, dtype=float)[1:]).mean())
    return out


def stability(curve: np.ndarray, ends: Sequence[int]) -> dict[str, float]:
    """Summarise how low the scores on old tasks fall on the way, which the ends of tasks can hide.

    Parameters
    ----------
    curve : array of float, shape (S, T)
        The score on each of T tasks at S moments, in their order.
    ends : sequence of int, length T
        The row of `curve` at the end of each task. There are at least 2 tasks.

    Returns
    -------
    dict of str to float
        In the unit of the scores.

        worst
            min-ACC, the mean over j < T of the lowest score on task j after its end [1]_.
        trade_off
            WC-ACC, the score on the last task at its end with weight 1 / T, and `worst` with the rest [1]_.

    Raises
    ------
    ValueError
        If the shapes do not fit, or if the ends are not rising rows of the curve.

    References
    ----------
    .. [1] De Lange et al., "Continual evaluation for lifelong learning", ICLR 2023, arXiv:2205.13452.

    Examples
    --------
    Task 1 ends in row 0. Learning task 2 first destroys it, and then it comes back.

    >>> ftlib.metrics.stability([[0.9, 0.1], [0.2, 0.6], [0.8, 0.8]], ends=[0, 2])
    {'worst': 0.2, 'trade_off': 0.5}
    """
    C, ends = np.asarray(curve, dtype=float), list(ends)
    rising = all(a < b for a, b in zip([-1, *ends], [*ends, len(C)]))
    if C.ndim != 2 or len(ends) < 2 or C.shape[1] != len(ends) or not rising:
        raise ValueError(
            f"stability needs a curve (S, T) and T rising rows of it, at least 2, but got {C.shape} and ends {ends}"
        )
    worst = float(np.mean([C[end + 1 :, j].min() for j, end in enumerate(ends[:-1])]))
    return {"worst": worst, "trade_off": float(C[ends[-1], -1]) / len(ends) + worst * (1 - 1 / len(ends))}


def delta_m(scores: dict[str, float], single: dict[str, float], lower: Collection[str] = ()) -> float:
    """Compare one model for several tasks with a model per task, in one number.

    Parameters
    ----------
    scores : dict of str to float
        M, the score of the multi-task model on each task.
    single : dict of str to float
        B, the score of a model that was trained for this task alone. The same tasks.
    lower : collection of str, optional
        The tasks whose score is the better the lower it is, such as an error.

    Returns
    -------
    float
        Mean over the tasks of (M - B) / B, in percent, with the sign turned for `lower` [1]_. Above 0 the multi-task
        model is better on average.

    Raises
    ------
    ValueError
        If the tasks differ, or a score of `single` is not above 0, since a share of it would say nothing.

    Notes
    -----
    A task whose scores are near 0 weighs much: from 0.01 to 0.02 is +100 %. Look at the tasks one by one as well.

    References
    ----------
    .. [1] Maninis, Radosavovic and Kokkinos, "Attentive single-tasking of multiple tasks", CVPR 2019, arXiv:1904.08918.

    Examples
    --------
    >>> single = {"elpv": 0.80, "elpv@probability": 0.20}  # an accuracy, and an error
    >>> round(ftlib.metrics.delta_m({"elpv": 0.84, "elpv@probability": 0.19}, single, lower=["elpv@probability"]), 2)
    5.0
    """
    if not scores or scores.keys() != single.keys() or not set(lower) <= set(scores):
        raise ValueError(
            f"delta_m compares the same tasks, but scores has {', '.join(scores) or 'none'}, single has "
            f"{', '.join(single) or 'none'} and lower has {', '.join(lower) or 'none'}: name each task alike"
        )
    if wrong := [task for task, score in single.items() if not score > 0]:
        raise ValueError(
            f"delta_m divides by the score of the single model, but that of {wrong[0]} is {single[wrong[0]]}: take a "
            f"metric above 0"
        )
    signs = {task: -1 if task in lower else 1 for task in scores}
    return float(100 * np.mean([sign * (scores[t] - single[t]) / single[t] for t, sign in signs.items()]))
