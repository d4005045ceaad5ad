"""Measures of two domains, and validators without labels: against loops, and where the truth is known."""

import math

import pytest
import torch

from ftlib.strategies.domain_gauge import (
    DomainGauge,
    deep_embedded_validation,
    information_maximisation,
    proxy_a_distance,
    recovered_gap,
    soft_neighbourhood_density,
)
from ftlib.strategies.full import Full
from ftlib.training.loop import fit
from toy import data, decoder, net, same, weights

pytestmark = pytest.mark.usefixtures("one_thread")


def cloud(n, shift=0.0, seed=0, d=4):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def test_the_distance_is_about_0_for_one_domain_and_about_2_for_two():
    """By chance an error on 2 · 200 rows is off by 0.025 (one standard deviation), the distance by 0.1."""
    same_rows = cloud(400)
    assert proxy_a_distance(same_rows, same_rows) < 0.3
    assert proxy_a_distance(same_rows, cloud(400, seed=1)) < 0.3
    assert proxy_a_distance(same_rows, cloud(400, shift=6.0, seed=1)) > 1.9
    near, far = (proxy_a_distance(same_rows, cloud(400, shift, seed=1)) for shift in (0.3, 1.0))
    assert 0 < near < far < 2


def test_a_larger_domain_does_not_make_the_distance_larger():
    """Whoever always says "the larger one" is right in nine cases of ten, and tells nothing apart."""
    assert proxy_a_distance(cloud(450), cloud(50, seed=1)) < 0.7  # 25 rows are judged: three deviations of 0.2


def test_information_maximisation_by_hand():
    logits = 2 * torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(-1).tolist()
    mean = [sum(row[k] for row in p) / 6 for k in range(3)]
    want = -sum(m * math.log(m) for m in mean) + sum(v * math.log(v) for row in p for v in row) / 6
    assert information_maximisation(logits) == pytest.approx(want, rel=1e-5)
    assert information_maximisation(torch.zeros(6, 3)) == pytest.approx(0, abs=1e-12)
    assert information_maximisation(200 * torch.eye(3)) == pytest.approx(math.log(3))
    assert information_maximisation(torch.tensor([[200.0, 0, 0]] * 3)) == pytest.approx(
        0, abs=1e-12
    )  # one class for all


def test_soft_neighbourhood_density_by_hand():
    logits = 2 * torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    p = [[v / math.sqrt(sum(x * x for x in row)) for v in row] for row in logits.softmax(-1).tolist()]
    entropies = []
    for i, row in enumerate(p):
        e = [
            math.exp(sum(a * b for a, b in zip(row, other, strict=True)) / 0.05) for j, other in enumerate(p) if j != i
        ]
        entropies.append(-sum(v / sum(e) * math.log(v / sum(e)) for v in e))
    assert soft_neighbourhood_density(logits) == pytest.approx(sum(entropies) / 5, rel=1e-4)
    assert soft_neighbourhood_density(torch.zeros(5, 3)) == pytest.approx(math.log(4))  # all are neighbours of all


def test_dev_sees_the_targets_loss_on_the_source():
    """The loss is the first coordinate: its mean is 0 on the source and 1 on the target."""
    source, target, held_out = cloud(1500, d=1), cloud(1500, 1.0, seed=1, d=1), cloud(1500, seed=2, d=1)
    got = deep_embedded_validation(held_out[:, 0], held_out, source, target)
    assert abs(held_out.mean()) < 0.1 and got == pytest.approx(1.0, abs=0.25)
    same_domain = deep_embedded_validation(held_out[:, 0], held_out, source, cloud(1500, seed=3, d=1))
    assert same_domain == pytest.approx(held_out.mean().item(), abs=0.1)
    # a constant loss needs no weights: the control variate takes their noise away
    assert deep_embedded_validation(torch.full((1500,), 3.0), held_out, source, target) == pytest.approx(3.0)


def test_what_was_recovered_by_hand():
    got = recovered_gap([0.7, 0.8, 0.5], [0.6, 0.6, 0.6], [0.9, 1.0, 0.8])
    assert got["gain"] == pytest.approx(0.2 / 3) and got["gap"] == pytest.approx(0.3)
    assert got["recovered"] == pytest.approx(0.2 / 0.9) and got["failed"] == pytest.approx(1 / 3)
    gains = torch.tensor([0.1, 0.2, -0.1])
    assert got["spread"] == pytest.approx(gains.std().item(), rel=1e-5)
    assert math.isnan(recovered_gap([0.7], [0.6], [0.5])["recovered"])  # no gap, nothing to recover


def gauged(**loaders):
    strategy = DomainGauge()
    own = {"train": data(), "target": data(seed=1, shift=3.0, labels=False), **loaders}
    model, _ = fit(net(), own, strategy, steps=6, lr=1e-2, verbose=False)
    return strategy, model


def test_the_gauge_changes_nothing_and_needs_no_label_of_the_target():
    strategy, model = gauged()
    assert same(weights(model), weights(fit(net(), data(), Full(), steps=6, lr=1e-2, verbose=False)[0]))
    assert strategy.distance > 1.5 and 0 <= strategy.im <= math.log(3) and 0 < strategy.snd <= math.log(63)
    assert math.isnan(strategy.dev)
    strategy, _ = gauged(held_out=data(seed=2))
    assert math.isfinite(strategy.dev)


def test_the_gauge_measures_features_and_answers():
    strategy, model = gauged(held_out=data(seed=2))
    rows = {}
    with torch.no_grad():
        for name, loader in (("source", data()), ("target", data(seed=1, shift=3.0)), ("held_out", data(seed=2))):
            rows[name] = torch.cat([model.features(batch) for batch in loader])
        logits, answers = model.head(rows["target"]), model.head(rows["held_out"])
    assert strategy.im == pytest.approx(information_maximisation(logits), rel=1e-4)
    assert strategy.snd == pytest.approx(soft_neighbourhood_density(logits), rel=1e-4)
    labels = torch.cat([batch["labels"] for batch in data(seed=2)])
    losses = torch.nn.functional.cross_entropy(answers, labels, reduction="none")
    want = deep_embedded_validation(losses, rows["held_out"], rows["source"], rows["target"])
    assert strategy.dev == pytest.approx(want, rel=1e-3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: proxy_a_distance(cloud(11), cloud(40)), "at least 12 examples of each, but one has 11"),
        (lambda: soft_neighbourhood_density(torch.zeros(2, 3)), "at least two others, but there are 2"),
        (lambda: recovered_gap([0.1, 0.2], [0.1], [0.3, 0.2]), "paired by seed, so there must be equally many"),
        (
            lambda: fit(net(), data(), DomainGauge(), steps=0, lr=0, verbose=False),
            "but target is missing: there are train; give fit",
        ),
        (lambda: DomainGauge().prepare(decoder()), "one feature an example, but a language model has one a token"),
        (lambda: gauged(target=[]), "nothing to measure: the loader gave no batch"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
