"""What several strategies do with a network, on a toy."""

import pytest
import torch
from torch import nn

from ftlib.networks import (
    Heads,
    batchnorms,
    collect,
    count_statistics,
    heads,
    repeated,
    set_mode,
    statistics_follow,
    train_only_new,
)
from toy import MultiTask, data, decoder, net, same, weights


class Seeded(list):
    """Batches that note when a pass over them begins."""

    def __init__(self, batches):
        super().__init__(batches)
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return super().__iter__()


def test_heads_by_task_or_one_without_a_name():
    model = net()
    assert heads(model) == {"": model.head}
    assert list(heads(MultiTask().prepare(model))) == ["a", "b"]


def test_several_heads_are_a_dictionary_of_heads_alone():
    made = {"own.data": nn.Linear(4, 3), "own.data@rating": nn.Linear(4, 1)}
    found = Heads(made, nn.Sequential(nn.Linear(6, 4), nn.ReLU()))
    assert list(found) == list(found.keys()) == ["own_data", "own_data@rating"] and len(found) == 2
    assert list(found.values()) == list(made.values()) == [head for _, head in found.items()]
    assert "own_data" in found and "shared" not in found and found.main == "own.data"
    assert found.of("own.data@rating") is found.of("own_data@rating") is made["own.data@rating"]
    assert found.of() is made["own.data"] and found.out_features == 3
    x = torch.randn(2, 6)
    assert torch.equal(found(x, "own.data@rating"), made["own.data@rating"](found.shared(x)))
    assert torch.equal(found(x), made["own.data"](found.shared(x)))
    names = {"shared.0.weight", "shared.0.bias", "own_data.weight", "own_data.bias"}
    assert set(found.state_dict()) == names | {"own_data@rating.weight", "own_data@rating.bias"}
    with pytest.raises(ValueError, match="no head for the task 'other': its heads are own_data, own_data@rating; take"):
        found(x, "other")
    with pytest.raises(ValueError, match="no head can have the name 'shared', which is taken or empty: take"):
        Heads({"shared": nn.Linear(4, 3)})


def test_what_is_new_learns_beside_a_fresh_head_only():
    model = net()
    new = model.stages[1][0].bias
    learning = [n for n, p in train_only_new(model, [new]).named_parameters() if p.requires_grad]
    assert learning == ["stages.1.0.bias", "head.weight", "head.bias"]
    assert not any(p.requires_grad for p in train_only_new(decoder(), []).parameters())


def test_batchnorms_have_the_names_of_their_modules():
    model = net()
    assert batchnorms(model) == {"stages.0.1": model.stages[0][1]} and not batchnorms(net(bn=False))
    assert list(batchnorms(nn.Sequential(nn.LayerNorm(2), nn.BatchNorm2d(2, track_running_stats=False)))) == ["1"]


def test_statistics_follow_inside_the_block_and_stand_still_after_it():
    norm = nn.BatchNorm1d(2).eval()
    with pytest.raises(KeyError), statistics_follow([norm]):
        norm.momentum = 1.0
        norm(torch.tensor([[1.0, 3.0], [3.0, 5.0]]))
        raise KeyError
    assert norm.running_mean.tolist() == [2.0, 4.0] and norm.momentum == 0.1 and not norm.training


def test_counted_statistics_are_the_mean_over_the_batches():
    model = net(p=0.5).train()
    count_statistics(model, batchnorms(model).values(), data())
    with torch.no_grad():
        want = torch.stack([model.stages[0][0](batch["x"]).mean(0) for batch in data()]).mean(0)
    torch.testing.assert_close(model.stages[0][1].running_mean, want)
    assert not model.training and model.stages[0][1].momentum == 0.1


def test_columns_come_in_the_order_that_was_asked_for_and_the_network_sees_no_label():
    class Blind(type(net())):
        def features(self, batch):
            assert set(batch) == {"x", "index"}
            return super().features(batch)

    model = Blind().eval()
    labels, features, logits = collect(model, data(), "labels", "features", "logits")
    assert labels.tolist() == torch.cat([batch["labels"] for batch in data()]).tolist()
    assert torch.equal(logits, torch.cat([model.head(h) for h in features.split(16)])) and not logits.requires_grad
    collect(model, data(labels=False), "features")
    with pytest.raises(ValueError, match="the loader gave no batch, so its split is empty"):
        collect(model, [], "features")


def test_a_loader_begins_at_once_and_again_only_when_it_must():
    loader = Seeded([1, 2])
    batches = repeated({"few": loader}, "few")
    assert loader.passes == 1  # before the first batch is asked for
    assert [next(batches) for _ in range(2)] == [1, 2] and loader.passes == 1
    assert [next(batches) for _ in range(3)] == [1, 2, 1] and loader.passes == 3
    with pytest.raises(ValueError, match="the loader 'few' gave no batch: is its split empty"):
        next(repeated({"few": []}, "few"))


def test_a_second_count_changes_nothing():
    model = net()
    count_statistics(model, batchnorms(model).values(), data())
    once = weights(model)
    count_statistics(model, batchnorms(model).values(), data())
    assert same(once, weights(model))


class Stubborn(nn.Sequential):
    """Its first layer stays in evaluation mode, whatever it is told."""

    def train(self, mode=True):
        super().train(mode)
        self[0].eval()
        return self


@pytest.mark.parametrize("training", [True, False])
def test_a_mode_is_set_as_torch_sets_it(training):
    def network():
        inside = nn.Sequential(nn.Dropout(), Stubborn(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2))))
        return nn.ModuleDict({"a": inside, "b": nn.Linear(2, 2), "c": nn.Sequential()}).train(not training)

    ours, torchs = network(), network().train(training)
    set_mode(ours, training)
    modes = [{name: m.training for name, m in model.named_modules()} for model in (ours, torchs)]
    assert modes[0] == modes[1] and len(set(modes[0].values())) == (2 if training else 1)
