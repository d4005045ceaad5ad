"""Every metric against an independent computation, by hand or by scikit-learn."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import f1_score, log_loss, matthews_corrcoef, roc_auc_score

from ftlib import metrics


def sample(n=200, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels], labels


@pytest.mark.parametrize("classes", [2, 3])
def test_classification_agrees_with_scikit_learn(classes):
    logits, labels = sample(classes=classes)
    got, p = metrics.classification(logits, labels), softmax(logits, -1)
    assert got["nll"] == pytest.approx(log_loss(labels, p))
    assert got["mcc"] == pytest.approx(matthews_corrcoef(labels, logits.argmax(1)))
    assert got["auroc"] == pytest.approx(roc_auc_score(labels, p[:, 1] if classes == 2 else p, multi_class="ovr"))
    assert got["macro_f1"] == pytest.approx(f1_score(labels, logits.argmax(1), average="macro"))
    recalls = [(logits.argmax(1)[labels == k] == k).mean() for k in range(classes)]
    assert got["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_calibration_error_by_hand():
    confident = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]))
    got = metrics.classification(confident, np.array([0, 1, 1, 1]))
    assert got["ece"] == pytest.approx(0.5 * abs(0.9 - 0.5) + 0.5 * abs(0.6 - 1.0), abs=1e-6)
    assert got["brier"] == pytest.approx((0.02 + 1.62 + 0.32 + 0.32) / 4)


def test_calibration_error_is_over_fifteen_bins_of_confidence():
    logits, labels = sample(n=60)  # so few that some bins are too sure and others not sure enough
    confidence, right = softmax(logits, -1).max(-1), logits.argmax(-1) == labels
    bins = np.ceil(confidence * 15)  # Guo et al. 2017: bin m holds ((m - 1) / 15, m / 15]
    gaps = [(bins == m).mean() * abs(right[bins == m].mean() - confidence[bins == m].mean()) for m in np.unique(bins)]
    assert metrics.classification(logits, labels)["ece"] == pytest.approx(sum(gaps), abs=1e-6)  # float32 inside


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_temperature_is_the_factor_that_was_put_in(factor):
    """Labels that are drawn from softmax(logits) fit best at T = 1; logits made `factor` times larger, at `factor`."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(4000, 3))
    labels = np.array([rng.choice(3, p=row) for row in softmax(logits, -1)])
    found = metrics.temperature(factor * logits, labels)
    assert found == pytest.approx(factor, rel=0.08)  # three standard errors of 4,000 examples
    before, after = (metrics.classification(factor * logits / t, labels) for t in (1, found))
    assert after["accuracy"] == before["accuracy"] and after["nll"] <= before["nll"] + 1e-9
    assert factor == 1 or (after["ece"] < before["ece"] and after["brier"] < before["brier"])
    again = metrics.temperature(factor * logits / found, labels)
    assert again == pytest.approx(1, abs=1e-3)


def test_where_nothing_is_wrong_no_temperature_is_low_enough():
    logits, labels = 3 * np.eye(3), np.arange(3)
    assert metrics.temperature(logits, labels) < 0.1  # from there on float64 knows no smaller NLL
    with pytest.raises(ValueError, match=r"logits \(N, K\) and labels \(N,\), but got \(3, 3\) and \(2,\)"):
        metrics.temperature(logits, labels[:2])


def test_reliability_adds_up_to_the_calibration_error():
    logits, labels = sample(n=300)
    bins = metrics.reliability(logits, labels)
    gaps = [s * abs(a - c) for a, c, s in zip(bins["accuracy"], bins["confidence"], bins["share"], strict=True)]
    assert sum(gaps) == pytest.approx(metrics.classification(logits, labels)["ece"], abs=1e-6)  # float32 inside
    assert sum(bins["share"]) == pytest.approx(1) and sorted(bins["confidence"]) == bins["confidence"]
    assert np.dot(bins["share"], bins["accuracy"]) == pytest.approx((logits.argmax(1) == labels).mean())


def test_majority_guessing_is_accurate_and_worthless():
    logits, labels = np.tile([1.0, 0.0], (100, 1)), np.repeat([0, 1], [69, 31])
    got = metrics.classification(logits, labels)
    assert (got["accuracy"], got["balanced_accuracy"], got["mcc"], got["auroc"]) == (0.69, 0.5, 0.0, 0.5)
    assert got["worst_class"] == 0.0


def test_the_worst_class_is_the_lowest_accuracy_within_one_that_is_there():
    logits, labels = np.eye(4)[[0, 0, 1, 1, 1, 2]], np.array([0, 1, 1, 1, 1, 2])  # of class 1 three of four
    assert metrics.classification(logits, labels)["worst_class"] == 0.75


def test_auroc_without_both_classes_is_nan():
    logits, _ = sample(classes=2)
    assert np.isnan(metrics.classification(logits, np.zeros(200, int))["auroc"])


def test_regression():
    target = np.array([0.0, 1.0, 2.0, 3.0])
    got = metrics.regression(2 * target[:, None] + 1, target)
    assert got["pearson"] == pytest.approx(1.0)
    assert (got["mae"], got["rmse"]) == (2.5, pytest.approx(np.sqrt((1 + 4 + 9 + 16) / 4)))
    assert metrics.regression(np.ones(4), target)["pearson"] == 0.0


def test_tokens_count_the_unmasked_ones_and_whole_rows():
    labels = torch.tensor([[1, 2, -100], [0, -100, -100]])
    logits = torch.full((2, 3, 4), 0.0)
    logits[0, 0, 1] = logits[0, 1, 3] = logits[1, 0, 0] = logits[:, 2, 0] = 5.0
    got = metrics.tokens(metrics.token_counts(logits, labels))
    assert got["token_accuracy"] == pytest.approx(2 / 3) and got["exact_match"] == 0.5
    by_hand = -logits.log_softmax(-1)[[0, 0, 1], [0, 1, 0], [1, 2, 0]].mean()
    assert got["nll"] == pytest.approx(by_hand.item()) and got["perplexity"] == pytest.approx(by_hand.exp().item())
    halves = metrics.token_counts(logits[:1], labels[:1]) + Counter(metrics.token_counts(logits[1:], labels[1:]))
    assert metrics.tokens(halves) == pytest.approx(got)


def test_forgetting_by_hand():
    R = np.array([[0.9, 0.5, 0.4], [0.7, 0.8, 0.5], [0.6, 0.5, 0.9]])
    got = metrics.forgetting(R, untrained=np.array([0.5, 0.4, 0.4]))
    assert got["average"] == pytest.approx((0.6 + 0.5 + 0.9) / 3)
    assert got["backward"] == pytest.approx(((0.6 - 0.9) + (0.5 - 0.8)) / 2)
    assert got["forgetting"] == pytest.approx(((0.9 - 0.6) + (0.8 - 0.5)) / 2)
    assert got["forward"] == pytest.approx(((0.5 - 0.4) + (0.5 - 0.4)) / 2)
    assert got["learning"] == pytest.approx((0.9 + 0.8 + 0.9) / 3)
    assert got["worst"] == pytest.approx((0.6 + 0.5) / 2)
    came_back = metrics.forgetting([[0.9, 0.1, 0.1], [0.4, 0.8, 0.2], [0.7, 0.6, 0.9]])
    assert came_back["worst"] == pytest.approx((0.4 + 0.6) / 2)  # 0.9 was before task 2, 0.8 was its own end
    with pytest.raises(ValueError, match=r"square matrix of at least 2 tasks, but its shape is \(1, 1\)"):
        metrics.forgetting(np.ones((1, 1)))


def test_stability_by_hand():
    curve = [[0.5, 0.3], [0.9, 0.1], [0.2, 0.6], [0.8, 0.9]]  # the 0.5 is before the end of task 1
    assert metrics.stability(curve, [1, 3]) == pytest.approx({"worst": 0.2, "trade_off": 0.9 / 2 + 0.2 / 2})
    later = metrics.stability([*curve, [0.1, 0.7]], [1, 3])  # the end of task 2 counts, and what old tasks do later
    assert later == pytest.approx({"worst": 0.1, "trade_off": 0.9 / 2 + 0.1 / 2})
    R = np.array([[0.9, 0.5, 0.4], [0.7, 0.8, 0.5], [0.6, 0.5, 0.9]])
    assert metrics.stability(R, [0, 1, 2])["worst"] == metrics.forgetting(R)["worst"]


@pytest.mark.parametrize(("curve", "ends"), [
    ([[0.5, 0.3]], [0, 1]), ([[0.5], [0.6]], [1]), ([[0.5, 0.1], [0.6, 0.2]], [1, 0]), ([0.5, 0.6], [0, 1]),
    ([[0.5, 0.1, 0.2], [0.6, 0.2, 0.2]], [0, 1]),
])  # fmt: skip
def test_stability_refuses_in_one_sentence(curve, ends):
    with pytest.raises(ValueError, match=r"needs a curve \(S, T\) and T rising rows of it, at least 2, but got"):
        metrics.stability(curve, ends)


def test_delta_m_by_hand():
    single = {"a": 0.5, "b": 0.8, "c": 2.0}
    scores = {"a": 0.6, "b": 0.76, "c": 2.2}  # +20 %, -5 %, +10 %
    assert metrics.delta_m(scores, single) == pytest.approx((20 - 5 + 10) / 3)
    assert metrics.delta_m(scores, single, lower=["c"]) == pytest.approx((20 - 5 - 10) / 3)
    assert metrics.delta_m(single, single, lower={"a"}) == 0


@pytest.mark.parametrize(
    ("scores", "single", "lower", "sentence"),
    [
        ({"a": 1.0}, {"b": 1.0}, (), "compares the same tasks, but scores has a, single has b and lower has none"),
        ({}, {}, (), "scores has none"),
        ({"a": 1.0}, {"a": 1.0}, ["b"], "lower has b"),
        ({"a": 1.0}, {"a": 0.0}, (), "that of a is 0.0: take a metric above 0"),
        ({"a": 1.0}, {"a": -0.1}, (), "that of a is -0.1"),
        ({"a": 1.0}, {"a": float("nan")}, (), "that of a is nan"),
    ],
)
def test_delta_m_refuses_in_one_sentence(scores, single, lower, sentence):
    with pytest.raises(ValueError, match=sentence):
        metrics.delta_m(scores, single, lower)
