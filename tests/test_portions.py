"""Portions of a task: which examples are in them, which answers a model may give, and what is refused."""

import pytest
import torch

from ftlib import models, tasks
from ftlib.models.base import RULED_OUT
from ftlib.tasks import cut_name, portion
from ftlib.training.scoring import evaluate, predict_logits

WHOLE = "digits/optical"


@pytest.fixture(scope="module")
def whole():
    return tasks.load(WHOLE, seed=3, n=200)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("digits/mnist", ("digits/mnist", "")),
        ("digits/mnist[0,1]", ("digits/mnist", "0,1")),
        ("digits/mnist[0,1 only]+noise2", ("digits/mnist+noise2", "0,1 only")),
        ("elpv[2/5]", ("elpv", "2/5")),
        ("elpv[]", ("elpv[]", "")),
        ("a[1][2]", ("a[1][2]", "")),
    ],
)
def test_a_name_is_cut_into_the_task_and_its_portion(name, cut):
    assert cut_name(name) == cut


def test_portions_of_classes_hold_just_these_rows_of_each_split(whole):
    parts = [tasks.load(f"{WHOLE}[{2 * k},{2 * k + 1}]", seed=3, n=200) for k in range(5)]
    for split, all_rows in whole.splits.items():
        rows = torch.cat([part.splits[split].index for part in parts])
        assert sorted(rows.tolist()) == sorted(all_rows.index.tolist())
        for k, part in enumerate(parts):
            assert set(part.splits[split].labels.tolist()) == {2 * k, 2 * k + 1}
    assert {part.outputs for part in parts} == {10}  # one model learns them all


def test_random_portions_have_all_classes_in_their_shares_and_share_no_row(whole):
    parts = [tasks.load(f"{WHOLE}[{k}/5]", seed=3, n=200) for k in range(1, 6)]
    rows = [part.splits["train"].index for part in parts]
    assert sorted(torch.cat(rows).tolist()) == sorted(whole.splits["train"].index.tolist())
    assert {len(r) for r in rows} == {40}
    for part in parts:
        counts = part.splits["train"].labels.bincount(minlength=10)
        assert counts.min() >= 3 and counts.max() <= 5, counts
        for split in ("validation", "test"):  # all are tested alike
            assert torch.equal(part.splits[split].index, whole.splits[split].index)


def test_random_portions_follow_the_seed():
    one, again, other = (tasks.load(f"{WHOLE}[1/4]", seed=seed, n=100).splits["train"].index for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_only_a_portion_that_is_told_says_which_answers_are_allowed(whole):
    for which, known in (("3,5", False), ("2/5", False), ("3,5 only", True)):
        for split in tasks.SPLITS:
            batch = next(iter(portion(whole, which).loader(split)))
            assert ("answers" in batch) == known
            assert batch["task"] == WHOLE and not {name for name in batch if "portion" in name}  # nothing else tells
            if known:
                assert batch["answers"].dtype == torch.bool and batch["answers"].shape == (len(batch["labels"]), 10)
                assert set(batch["answers"].nonzero()[:, 1].tolist()) == {3, 5}


def test_a_model_gives_no_other_answer_than_the_allowed_ones(whole):
    torch.manual_seed(0)
    small = tasks.load(WHOLE, seed=3, n=200, size=32)
    model = models.load("efficientnet-lite0", small)
    free, told = (portion(small, which).loader("validation") for which in ("3,5", "3,5 only"))
    before, after = predict_logits(model, free)["logits"], predict_logits(model, told)["logits"]
    assert torch.equal(before[:, [3, 5]], after[:, [3, 5]])
    others = [0, 1, 2, 4, 6, 7, 8, 9]
    assert (after[:, others] == RULED_OUT).all() and (after.softmax(1)[:, others] == 0).all()
    assert set(after.argmax(1).tolist()) <= {3, 5} < set(before.argmax(1).tolist()) | {3, 5}
    assert evaluate(model, told)["nll"] < evaluate(model, free)["nll"]


def test_a_portion_of_the_whole_leaves_the_whole_alone_and_counts_its_own_reads(whole):
    before = len(whole.splits["train"]), dict(whole.reads)
    part = portion(whole, "0,1")
    list(part.loader("test"))
    assert (len(whole.splits["train"]), dict(whole.reads)) == before
    assert part.reads["test"] == 1 and part.portion == "0,1" and part.name == f"{WHOLE}[0,1]"


def test_classes_that_lack_in_a_portion_are_no_reason_for_a_warning(recwarn):
    tasks.load(f"{WHOLE}[0,1]")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (f"{WHOLE}[0,11]", "has no class '11' to make a portion of: it has 0, 1"),
        (f"{WHOLE}[]", "there is no task"),
        (f"{WHOLE}[0/5]", "portion 0/5 can't be"),
        (f"{WHOLE}[6/5]", "portion 6/5 can't be"),
        ("sentiment[positiv]", "did you mean 'positive'?"),
    ],
)
def test_what_is_no_portion_is_refused(name, sentence):
    with pytest.raises(ValueError, match=sentence.replace("[", r"\[").replace("?", r"\?")):
        tasks.load(name)


@pytest.mark.parametrize("which", ["", " ", None, 3])
def test_a_portion_has_a_name(whole, which):
    with pytest.raises(ValueError, match="a portion is called '0,1', '0,1 only' or '2/5', but this one is"):
        portion(whole, which)


def test_a_regression_has_random_portions_only():
    ratings = tasks.load("sentiment/tweets", n=40, target="rating")
    assert len(portion(ratings, "1/4").splits["train"]) == 10
    with pytest.raises(ValueError, match="it has none, since it has no classes"):
        portion(ratings, "positive")
