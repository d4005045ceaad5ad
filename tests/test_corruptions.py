"""Corrupted pictures: five kinds, five strengths, the same every time."""

import pytest
import torch

from ftlib import tasks
from ftlib.tasks.corruptions import NAMES, STRENGTHS, corrupt


def plain(**more):
    return tasks.load("elpv", seed=0, **{"n": 40, "size": 64, **more})


def test_there_are_five_kinds_at_five_strengths():
    assert len(STRENGTHS) == 5 and len(NAMES) == len(set(NAMES)) == 25


@pytest.mark.parametrize("kind", STRENGTHS)
def test_each_strength_is_further_from_the_picture_and_repeats(kind):
    part = plain().splits["train"]
    far = []
    for strength in range(1, 6):
        out = corrupt(part.inputs, part.index, f"{kind}{strength}")
        assert out.dtype == torch.uint8 and out.shape == part.inputs.shape
        assert torch.equal(out, corrupt(part.inputs, part.index, f"{kind}{strength}"))
        far.append((out.float() - part.inputs.float()).square().mean().item())
    assert far == sorted(far) and far[0] > 0


def test_a_corrupted_task_has_the_same_labels_and_examples_in_each_split():
    clean, dim = plain(), tasks.load("elpv+contrast5", seed=0, n=40, size=64)
    assert dim.name == "elpv+contrast5"
    for name, part in dim.splits.items():
        assert torch.equal(part.labels, clean.splits[name].labels) and torch.equal(part.index, clean.splits[name].index)
        spread = part.inputs.float().flatten(1).std(1) / clean.splits[name].inputs.float().flatten(1).std(1)
        assert spread.median() == pytest.approx(0.15, abs=0.02)


def test_a_cell_has_its_own_noise_whatever_else_is_loaded():
    few, many = (tasks.load("elpv+noise3", seed=0, n=n, size=64).splits["train"] for n in (20, 40))
    place = {int(i): row for row, i in enumerate(many.index)}
    assert all(torch.equal(few.inputs[row], many.inputs[place[int(i)]]) for row, i in enumerate(few.index))
    clean = plain().splits["train"].inputs
    one, two = ((many.inputs[i].float() - clean[i].float()).flatten() for i in (0, 1))
    assert one.std() > 5 and torch.corrcoef(torch.stack([one, two]))[0, 1].abs() < 0.2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("elpv+fog3", "there is no corruption 'fog3': choose noise, blur, contrast, brightness, jpeg and a strength"),
        ("elpv+noise6", "there is no corruption 'noise6'"),
        ("sentiment/tweets+noise1", "sentiment/tweets has no pictures to corrupt"),
        ("cells+noise1", "there is no task 'cells'"),
        ("elpv+nois3", "did you mean 'noise3'"),
        ("elpv+", "there is no corruption ''"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(name, words):
    with pytest.raises(ValueError, match=words):
        tasks.load(name, n=40, **({} if "sentiment" in name else {"size": 64}))


def test_only_bytes_can_be_corrupted():
    with pytest.raises(ValueError, match="must be uint8 in 0..255, but torch.float32 came"):
        corrupt(torch.rand(2, 1, 32, 32), torch.arange(2), "noise3")
