"""What frozen stages give is computed once; the result is that of computing it anew, and nothing stale is served."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from ftlib import models, tasks
from ftlib.models.base import Model
from ftlib.strategies.freezing import FreezeFirst, GradualUnfreezing
from ftlib.strategies.full import LinearProbe
from ftlib.strategy import Strategy, combine
from ftlib.training import frozen_features
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.loop import fit
from ftlib.training.validation import Validation
from toy import weights


class Tiny(Model):
    """B pictures of 1 x 8 x 8, two stages of 4 channels, three classes."""

    kind = "image"

    def split(self, net):
        return {"a": net[0], "b": net[1]}, nn.Identity(), 4

    def inputs(self, batch):
        return batch["pixels"]


def tiny() -> Tiny:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    second = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Tiny(nn.Sequential(first, second), None, "tiny", 3)


class Pictures:
    """12 pictures in batches of 4; with `change`, others in each pass, as under augmentation."""

    dataset = range(12)

    def __init__(self, change: bool = False):
        self.change, self.passes = change, 0

    def __iter__(self):
        g = torch.Generator().manual_seed(self.passes if self.change else 0)
        self.passes += 1
        pixels = torch.rand(12, 1, 8, 8, generator=g)
        for rows in torch.arange(12).split(4):
            yield {"pixels": pixels[rows], "labels": rows % 3, "index": rows}


@dataclass
class Meddle(Strategy):
    """Changes a weight of the frozen stage half-way."""

    def before_step(self, model, progress):
        if 0.5 < progress < 0.6:
            with torch.no_grad():
                model.stages[0][0].weight.add_(0.5)


@dataclass
class Flip(Strategy):
    """Flips every picture at random."""

    role = "augment"

    def transform(self, batch):
        return {**batch, "pixels": batch["pixels"].flip(-1) if torch.rand(()) < 0.5 else batch["pixels"]}


def both(strategy, loader=Pictures, steps=10, make=tiny):
    """(losses, weights) without and with the cache, and how often stage 0 ran in each."""
    out = []
    for on in (False, True):
        model, calls = make(), []
        model.stages[0].register_forward_hook(lambda module, x, y, calls=calls: calls.append(len(y)))
        model, history = fit(model, loader(), strategy(), steps=steps, lr=1e-2, cache=on, verbose=False)
        out.append(([row["loss"] for row in history], weights(model), sum(calls)))
    return out


def assert_equal(uncached, cached):
    torch.testing.assert_close(cached[0], uncached[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(cached[1], uncached[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2])
def test_it_gives_what_computing_anew_gives_and_runs_a_frozen_stage_once_an_example(k):
    uncached, cached = both(lambda: FreezeFirst(k))
    assert_equal(uncached, cached)
    assert (uncached[2], cached[2]) == (40, 12)


@pytest.mark.parametrize(
    ("task", "model", "options", "k", "batch_size"),
    [
        ("digits/optical", "efficientnet-lite0", {"n": 48, "size": 32}, 5, 16),
        ("sentiment/tweets", "minilm", {"n": 24}, 4, 8),
        ("instructions", "smollm2", {"n": 6}, 28, 2),
    ],
)
def test_the_three_models_learn_the_same_with_it(task, model, options, k, batch_size):
    """Dropout in the stages that learn, texts padded to another length in each pass, batches drawn anew.

    All batches have one size: in another one a convolution rounds otherwise, and AdamW's first steps make more of it.
    """
    task, ends, said, calls = tasks.load(task, seed=0, **options), [], [], {False: 0, True: 0}
    for on in (False, True):
        torch.manual_seed(0)
        learner = models.load(model, task)
        learner.stages[0].register_forward_hook(lambda *args, on=on: calls.update({on: calls[on] + 1}))
        loader = task.loader("train", tokenizer=learner.tokenizer, batch_size=batch_size, shuffle=True)
        learner, history = fit(
            learner, loader, FreezeFirst(k), steps=8, lr=1e-4, cache=on, precision="float32", verbose=False
        )
        said.append([row["loss"] for row in history])
        ends.append(torch.cat([p.detach().flatten() for p in learner.stages[k:].parameters()]))
    assert calls == {False: 8, True: 3}  # three batches are an epoch
    torch.testing.assert_close(said[1], said[0], rtol=1e-4, atol=1e-5)
    assert (ends[1] - ends[0]).abs().mean() < 1e-3 * 8 * 1e-4  # of the eight steps of 1e-4 that AdamW took


def test_a_changed_weight_empties_it():
    assert_equal(*both(lambda: combine(FreezeFirst(1), Meddle())))


def test_changed_pictures_are_other_examples(capsys):
    uncached, cached = both(lambda: FreezeFirst(1), lambda: Pictures(change=True))
    assert_equal(uncached, cached)
    fit(tiny(), Pictures(change=True), FreezeFirst(1), steps=5, lr=1e-2)
    assert "computed anew at each step: the examples change from one epoch to the next" in capsys.readouterr().out


def test_augmentation_switches_it_off():
    uncached, cached = both(lambda: combine(FreezeFirst(1), Flip()))
    assert_equal(uncached, cached)
    assert uncached[2] == cached[2] == 40


def test_stages_that_wake_are_no_longer_kept():
    uncached, cached = both(lambda: GradualUnfreezing(0.8), steps=15)
    assert_equal(uncached, cached)
    assert 12 <= cached[2] < uncached[2]


def test_little_memory_switches_it_off_and_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(frozen_features, "free_memory", lambda device: 1000)
    uncached, cached = both(lambda: FreezeFirst(1))
    assert_equal(uncached, cached)
    assert cached[2] >= 40
    fit(tiny(), Pictures(), FreezeFirst(1), steps=5, lr=1e-2)
    assert "would be more than a quarter of the free memory" in capsys.readouterr().out


def test_it_says_what_it_keeps(capsys):
    fit(tiny(), Pictures(), LinearProbe(), steps=5, lr=1e-2)
    said = capsys.readouterr().out
    assert "the first 2 of 2 stages stand still: their output is kept for 12 examples, 0.0 MB" in said
    fit(tiny(), Pictures(), LinearProbe(), steps=5, lr=1e-2, cache=False)
    assert "stand still" not in capsys.readouterr().out


def test_a_stage_counts_as_frozen_only_in_evaluation_mode():
    model = tiny().eval()
    model.stages.requires_grad_(False)
    assert frozen_features.standing_still(model)[0] == 2
    model.stages[0][1].train()
    assert frozen_features.standing_still(model)[0] == 0
    model.stages[0].eval()
    model.stages[1][0].bias.requires_grad_(True)
    assert frozen_features.standing_still(model)[0] == 1


def test_it_goes_with_accumulation_and_a_resumed_run_ends_alike(tmp_path):
    def go(**more):
        return fit(tiny(), Pictures(), FreezeFirst(1), lr=1e-2, accumulate=2, verbose=False, **{"steps": 8, **more})[0]

    torch.testing.assert_close(weights(go()), weights(go(cache=False)), rtol=1e-4, atol=1e-6)

    def broken(model):
        raise KeyboardInterrupt

    saved = Checkpoint(tmp_path / "c", every=2)
    with pytest.raises(KeyboardInterrupt):
        go(checkpoint=saved, validation=Validation(broken, every=5))
    torch.testing.assert_close(weights(go(checkpoint=saved)), weights(go()), rtol=1e-4, atol=1e-6)


@dataclass
class Cyclic(Strategy):
    """Stage 0 stands still, learns, and stands still again."""

    def before_step(self, model, progress):
        still = not 0.3 < progress < 0.6
        model.stages[0].requires_grad_(not still).train(not still)


def test_a_stage_that_learned_in_between_is_not_the_one_that_was_kept():
    assert_equal(*both(Cyclic, steps=20))


@dataclass
class OtherPictures(Strategy):
    """Its loss shows the model other pictures than the batch holds, and then some in which the pixels were written."""

    def loss(self, model, batch):
        darker = model({**batch, "pixels": batch["pixels"] * 0.5})
        batch["pixels"].mul_(0.7)
        return {"loss": nn.functional.cross_entropy(darker + model(batch), batch["labels"], reduction="sum")}


def test_what_is_kept_is_not_used_for_other_pictures():
    assert_equal(*both(lambda: combine(FreezeFirst(1), OtherPictures())))


class Prompted(Tiny):
    """A picture that is learned is added to each one."""

    def inputs(self, batch):
        return batch["pixels"] + self.prompt


def test_a_weight_that_feeds_the_stages_from_outside_keeps_them_from_being_kept():
    def make():
        model = tiny()
        model.__class__, model.prompt = Prompted, nn.Parameter(torch.zeros(1, 8, 8))
        return model

    uncached, cached = both(LinearProbe, make=make)
    assert_equal(uncached, cached)
    assert cached[1]["prompt"].abs().sum() > 0


@pytest.mark.parametrize("change", ["no inputs that it knows", "pads on the left"])
def test_a_batch_that_it_cannot_tell_apart_passes_through(change):
    model = tiny().eval()
    model.stages.requires_grad_(False)
    ids, mask = torch.arange(6).view(2, 3), torch.tensor([[1, 1, 1], [0, 1, 1]])
    batch = {"x": torch.ones(2)} if change.startswith("no") else {"input_ids": ids, "attention_mask": mask}
    assert frozen_features.FrozenFeatureCache(model, Strategy(), {})(batch) is batch


def test_pictures_in_bfloat16_and_of_another_shape_are_told_apart():
    pixels = torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16)
    keys = [frozen_features.digests({"pixels": p})[0] for p in (pixels, pixels.view(1, 1, 2, 8), pixels.half())]
    assert len(set(keys)) == 3


def test_what_is_kept_for_one_model_is_not_used_by_another():
    """A teacher that sees the batch of its student, for example."""
    student, teacher, batch = tiny().eval(), tiny().eval(), next(iter(Pictures()))
    student.stages.requires_grad_(False)
    with torch.no_grad():
        student.stages[0][0].weight.zero_()
        kept = frozen_features.FrozenFeatureCache(student, Strategy(), {})(batch)
        assert kept["frozen_features"][1] == 2
        assert torch.equal(teacher(kept), teacher(batch))
        assert torch.equal(student(kept), student(batch)) and not torch.equal(student(kept), teacher(kept))
