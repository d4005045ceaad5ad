"""How far apart two domains are, and how to choose between adapted models without a label of the target.

    proxy A-distance   2 (1 − 2 ε), ε the error of a linear classifier that tells the domains apart
                                                                     Ben-David et al., NIPS 2006; Ganin et al., 2016
    IM    H(mean p) − mean H(p): sure answers, spread over the classes      higher    Musgrave et al., 2021, 2111.15672
    SND   entropy of the similarities between target answers                higher    Saito et al., 2021, 2108.10860
    DEV   the source's held-out loss, weighted to look like the target's    lower     You et al., ICML 2019

A validator is not a score. IM and SND prefer answers that are sure and evenly spread, right or wrong, and under label
shift the right answers are *not* evenly spread. With target labels the best of several runs is easily found: that is
the oracle, which nobody has, and it stands apart from results. Musgrave et al. found that what is lost by choosing
without labels is more than what separates the methods. Lesson: notebooks/07_domain.

Letters: N examples of the source, M of the target, D features, K classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ftlib.networks import collect
from ftlib.strategy import Strategy

TAU = 0.05  # temperature of the similarities in SND, the paper's
PENALTIES = [1e-4, 1e-2, 1.0]  # inverse regularisation of the linear classifier, chosen by cross-validation


def _halves(source: np.ndarray, target: np.ndarray, seed: int):
    """(x, is it of the target) for fitting and the same for judging, half of each domain's rows in each."""
    rng, parts = np.random.default_rng(seed), ([], [])
    for domain, rows in enumerate((source, target)):
        if len(rows) < 12:
            raise ValueError(
                f"telling domains apart needs at least 12 examples of each, but one has {len(rows)}: give more of it"
            )
        for part, chosen in zip(parts, np.array_split(rng.permutation(len(rows)), 2), strict=True):
            part.append((rows[chosen], np.full(len(chosen), domain)))
    return [tuple(np.concatenate(column) for column in zip(*part, strict=True)) for part in parts]


def _classifier(x: np.ndarray, domain: np.ndarray):
    """A linear classifier of the domain, balanced between the two, on features of mean 0 and variance 1."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    search = GridSearchCV(linear, {"logisticregression__C": PENALTIES}, cv=3, scoring="balanced_accuracy")
    return search.fit(x, domain)


def proxy_a_distance(source: Tensor, target: Tensor, seed: int = 0) -> float:
    """0 (nothing tells the domains apart) to 2 (a straight line does, without a mistake). features (N, D), (M, D).

    One half is learnt from, ε is the mean of the two domains' error rates on the other, so that a larger domain does
    not help. Where ε comes out above ½, by chance, the distance is 0. Raises ValueError under 12 rows.
    """
    (x, domain), (held_out, truth) = _halves(np.asarray(source), np.asarray(target), seed)
    wrong = _classifier(x, domain).predict(held_out) != truth
    error = (wrong[truth == 0].mean() + wrong[truth == 1].mean()) / 2
    return float(max(0.0, 2 * (1 - 2 * error)))


def information_maximisation(logits: Tensor) -> float:
    """H(mean p) − mean H(p) in nats, from 0 to ln K; target logits (M, K). Higher is taken for better."""
    p, log_p = logits.double().softmax(-1), logits.double().log_softmax(-1)
    mean = p.mean(0)
    return float((p * log_p).sum(-1).mean() - torch.xlogy(mean, mean).sum())


def soft_neighbourhood_density(logits: Tensor) -> float:
    """Mean entropy in nats of softmax(similarity / τ) to all other target examples, (M, K). Higher is taken for better.

    The similarity is the cosine of the class probabilities. Raises ValueError for fewer than 3 examples.
    """
    if len(logits) < 3:
        raise ValueError(f"SND compares each example with at least two others, but there are {len(logits)}: give more")
    p = torch.nn.functional.normalize(logits.double().softmax(-1), dim=-1)
    similar = (p @ p.T / TAU).fill_diagonal_(-torch.inf)  # (M, M), no example is its own neighbour
    q = similar.softmax(-1)
    return float(-torch.xlogy(q, q).sum(-1).mean())


def deep_embedded_validation(losses: Tensor, held_out: Tensor, source: Tensor, target: Tensor, seed: int = 0) -> float:
    """The source's held-out loss as if it were of the target: mean of w · loss and a control variate. Lower is better.

    losses (H,) of held-out source examples, held_out (H, D) their features; source (N, D) and target (M, D) teach a
    classifier d what is target: w = d / (1 − d), on equal parts of both. Under 12 rows of a domain: ValueError.
    """
    (x, domain), _ = _halves(np.asarray(source), np.asarray(target), seed)
    d = _classifier(x, domain).predict_proba(np.asarray(held_out))[:, 1].clip(1e-6, 1 - 1e-6)
    w = d / (1 - d)
    weighted = w * np.asarray(losses, dtype=float)
    spread = w.var()
    eta = -np.mean((weighted - weighted.mean()) * (w - w.mean())) / spread if spread > 0 else 0.0
    return float(weighted.mean() + eta * (w.mean() - 1))


def recovered_gap(adapted, source_only, target_only) -> dict[str, float]:
    """What adapting made good of what a shift had cost, over seeds, from scores (S,) paired by seed.

    {"gain": mean of adapted − source_only, "gap": mean of target_only − source_only, "recovered": their ratio (nan
    unless the gap is above 0), "spread": standard deviation of the gain, "failed": share of seeds on which adapting did
    worse than leaving it}. A ratio of means, since a single seed's gap may be near 0.
    """
    a, s, t = (np.asarray(x, dtype=float) for x in (adapted, source_only, target_only))
    if not len(a) or a.shape != s.shape or a.shape != t.shape:
        raise ValueError(
            f"scores are paired by seed, so there must be equally many, but there are {len(a)} adapted, {len(s)} of "
            f"source-only and {len(t)} of target-only: leave out what is not in all three"
        )
    gain, gap = (a - s).mean(), (t - s).mean()
    spread = float((a - s).std(ddof=1)) if len(a) > 1 else float("nan")
    recovered = float(gain / gap) if gap > 0 else float("nan")
    return {
        "gain": float(gain), "gap": float(gap), "recovered": recovered, "spread": spread,
        "failed": float((a < s).mean()),
    }  # fmt: skip


@dataclass
class DomainGauge(Strategy):
    """DomainGauge measures after training how far apart two domains are, without a label of the target.

    It changes nothing. It comes last in a combination, so it measures the network that `fit` returns.

    Attributes
    ----------
    distance : float
        Proxy A-distance between the features of the loaders "train" and "target". 0: nothing tells them apart. 2: a
        linear classifier does so without a mistake.
    im : float
        Information maximisation on the target, in nats from 0 to ln K. Higher is taken for better.
    snd : float
        Soft neighbourhood density on the target, in nats. Higher is taken for better.
    dev : float
        Deep embedded validation, a loss. Lower is taken for better. It needs the loader "held_out", labelled source
        examples outside the training data, and is nan without it.

    Raises
    ------
    ValueError
        If the model is a language model, or if a domain has fewer than 12 examples.

    References
    ----------
    Ben-David et al. (2006), Analysis of Representations for Domain Adaptation, NIPS.
    Musgrave et al. (2021), arXiv:2111.15672.
    Saito et al. (2021), arXiv:2108.10860.
    You et al. (2019), Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation, ICML.

    Examples
    --------
    >>> for shift in (0.0, 9.0):
    ...     gauge, target = strategies.DomainGauge(), [{**batch, "x": batch["x"] + shift} for batch in train]
    ...     _ = ftlib.fit(model, {"train": train, "target": target}, gauge, steps=0, lr=0.0, verbose=False)
    ...     print(gauge.distance)
    0.0
    2.0
    """

    finishes = "measure"
    needs = ("train", "target")
    may_use = ("held_out",)

    def __post_init__(self):
        self.distance = self.im = self.snd = self.dev = float("nan")

    def prepare(self, model: nn.Module) -> nn.Module:
        if getattr(model, "kind", None) == "lm":
            raise ValueError(
                "DomainGauge compares one feature an example, but a language model has one a token: use a classifier "
                "of images, or an encoder with a task"
            )
        return model

    @torch.no_grad()
    def finish(self, model: nn.Module, loaders: dict) -> None:
        (source,), (target, logits) = (
            collect(model, loaders["train"], "features"), collect(model, loaders["target"], "features", "logits"),
        )  # fmt: skip
        source, target, logits = source.float(), target.float(), logits.float()
        self.distance = proxy_a_distance(source, target)
        self.im, self.snd = information_maximisation(logits), soft_neighbourhood_density(logits)
        if "held_out" in loaders:
            held_out, answers, labels = collect(model, loaders["held_out"], "features", "logits", "labels")
            losses = torch.nn.functional.cross_entropy(answers.float(), labels, reduction="none")
            self.dev = deep_embedded_validation(losses, held_out.float(), source, target)
