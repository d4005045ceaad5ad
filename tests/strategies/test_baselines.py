"""Class means: against the formula, against scikit-learn, and whatever the order of the portions."""

import pytest
import torch
from sklearn.neighbors import NearestCentroid

from ftlib import strategies
from ftlib.strategies.baselines import UNSEEN, NearestClassMean
from ftlib.training.loop import fit
from ftlib.training.scoring import predict_logits
from toy import data, decoder, net


def rows(loader):
    batches = list(loader)
    return torch.cat([b["x"] for b in batches]), torch.cat([b["labels"] for b in batches])


def only(loader, *classes):
    """The batches of a loader, with rows of these classes alone."""
    out = []
    for batch in loader:
        keep = torch.isin(batch["labels"], torch.tensor(classes))
        if keep.any():
            out.append({name: value[keep] for name, value in batch.items()})
    return out


def learn(model, loader, strategy=None, **more):
    return fit(model, loader, strategy or NearestClassMean(), **{"steps": 0, "lr": 0.0, "verbose": False, **more})[0]


def test_it_answers_as_scikit_learns_nearest_centroid():
    loader, model = data(), net()
    learn(model, loader)
    _, labels = rows(loader)
    with torch.no_grad():
        features = torch.cat([model.features(batch) for batch in loader])
    peer = NearestCentroid().fit(features.numpy(), labels.numpy())
    ours = predict_logits(model, loader)["logits"].argmax(1)
    assert ours.tolist() == peer.predict(features.numpy()).tolist()


def test_the_logit_is_minus_half_the_squared_distance_up_to_a_constant_of_the_example():
    loader, model, strategy = data(), net(), NearestClassMean()
    learn(model, loader, strategy)
    with torch.no_grad():
        batch = next(iter(loader))
        h, logits = model.features(batch).double(), model(batch).double()
    means = strategy.sums / strategy.counts[:, None]
    distance = torch.cdist(h, means).square()
    assert torch.allclose(logits + distance / 2, (h.square().sum(1) / 2)[:, None].expand_as(logits), atol=1e-4)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_portions_in_any_order_give_what_all_data_at_once_give(order):
    loader, whole, parts = data(), net(), net()
    learn(whole, loader)
    strategy = NearestClassMean()
    for k in order:
        learn(parts, only(loader, k), strategy)
    assert torch.allclose(whole.head.weight, parts.head.weight, atol=1e-6)
    assert torch.allclose(whole.head.bias, parts.head.bias, atol=1e-5)
    assert strategy.counts.tolist() == torch.bincount(rows(loader)[1]).tolist()


def test_a_class_without_an_example_is_never_answered():
    loader, model = data(), net()
    learn(model, only(loader, 0, 1))
    assert model.head.bias[2] == UNSEEN
    assert 2 not in predict_logits(model, loader)["logits"].argmax(1)


def test_the_stages_stay_as_they_are_and_it_takes_no_step():
    loader, model = data(), net()
    before = {name: value.clone() for name, value in model.stages.state_dict().items()}
    learn(model, loader, steps=5, lr=0.1)
    assert all(torch.equal(value, before[name]) for name, value in model.stages.state_dict().items())
    _, history = fit(net(), loader, NearestClassMean(), steps=0, lr=0.0, verbose=False)
    assert history == []


def test_its_memory_is_a_sum_and_a_count_per_class():
    model, strategy = net(), NearestClassMean()
    learn(model, data(), strategy)
    classes, width = model.head.weight.shape
    assert strategy.bytes == 8 * classes * (width + 1)


def test_a_model_without_a_linear_head_and_labels_without_classes_are_refused():
    with pytest.raises(ValueError, match="makes a linear head of class means"):
        strategies.NearestClassMean().prepare(decoder())
    soft = [{**batch, "labels": torch.nn.functional.one_hot(batch["labels"], 3).float()} for batch in data()]
    with pytest.raises(ValueError, match="needs one class per example"):
        learn(net(), soft)
