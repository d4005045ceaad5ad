"""Questions: base@question has the examples of the base and the labels of a column; its controls; what is refused."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

import ftlib
from ftlib import models, strategies, tasks
from ftlib.metrics import regression
from ftlib.strategy import Batch
from ftlib.tasks.questions import RESERVED, cut_question, question, without_control
from ftlib.tasks.task import SPLITS
from ftlib.training.checkpoint import digest_of_data
from ftlib.training.scoring import evaluate, predict_logits

CELLS = {"size": 8, "n": 200}
ASKED = [  # name, question, classes, metric, options
    ("elpv", "type", ["mono", "poly"], "accuracy", CELLS),
    ("elpv", "probability", [], "pearson", CELLS),
    ("elpv/poly", "probability", [], "pearson", CELLS),
    ("sentiment", "rating", [], "pearson", {"n": 300}),
    ("sentiment/amazon", "rater_sd", [], "pearson", {"n": 300, "target": "three"}),
]


@pytest.fixture(scope="module")
def cells():
    return tasks.load("elpv", seed=3, controls=True, **CELLS)


@pytest.mark.parametrize(
    ("name", "which", "labels", "metric", "options"), ASKED, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_question_has_the_examples_of_its_base_and_the_labels_of_its_column(name, which, labels, metric, options):
    base, asked = (tasks.load(n, seed=3, **options) for n in (name, f"{name}@{which}"))
    assert (asked.name, asked.head, asked.question, asked.questions) == (f"{name}@{which}",) * 2 + (which, {})
    assert asked.labels == labels == base.questions[which] and asked.metric == metric
    assert asked.outputs == (len(labels) or 1) and asked.kind == base.kind and asked.options == base.options
    for split in SPLITS:
        here, there = asked.splits[split], base.splits[split]
        assert torch.equal(here.index, there.index) and torch.equal(here.groups, there.groups)
        same = torch.equal if base.kind == "image" else list.__eq__
        assert same(here.inputs, there.inputs)
        assert torch.equal(here.labels, there.columns[which]) and not torch.equal(here.labels, there.labels)
        assert here.labels.dtype == (torch.int64 if labels else torch.float32)
    one = question(base, which)
    assert torch.equal(one.splits["train"].labels, asked.splits["train"].labels) and base.question == ""


def test_the_columns_say_what_their_names_say(cells):
    p, kind = tasks.elpv.table()
    for part in cells.splits.values():
        rows = part.index.numpy()
        assert part.columns["type"].tolist() == kind[rows].tolist()
        torch.testing.assert_close(part.columns["probability"].double(), torch.tensor(p[rows]), atol=1e-6, rtol=0)


def test_a_question_counts_its_own_reads_and_shares_what_was_encoded():
    base = tasks.load("sentiment/nyt", n=40, held_out=20)
    rating = question(base, "rating")
    tokenizer = models.load("minilm").tokenizer
    assert rating.encoded is base.encoded
    list(rating.loader("test", tokenizer=tokenizer))
    assert rating.reads == {"test": 1} and base.reads == {} and len(base.encoded) == 1


def test_batches_say_which_head_answers_and_hold_the_labels_of_all_questions(cells):
    batch = next(iter(cells.loader("train", batch_size=16)))
    assert batch["task"] == "elpv" and batch["type"].dtype == torch.int64 and batch["type"].shape == (16,)
    assert batch["probability"].dtype == torch.float32
    asked = next(iter(question(cells, "type").loader("train", batch_size=16)))
    assert asked["task"] == "elpv@type" and torch.equal(asked["labels"], batch["type"])
    assert torch.equal(asked["pixels"], batch["pixels"]) and torch.equal(asked["index"], batch["index"])


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("elpv[2/5]+noise2@type", "elpv[2/5]+noise2"),
        ("elpv[defective]@type", "elpv[defective]"),
        ("elpv/mono[1/3]@probability", "elpv/mono[1/3]"),
    ],
)
def test_portions_and_corruptions_come_first(name, base):
    asked, whole = (tasks.load(n, seed=1, size=16, n=60) for n in (name, base))
    assert asked.name == name.replace("[2/5]+noise2", "+noise2[2/5]") and asked.portion
    for split in SPLITS:
        assert torch.equal(asked.splits[split].index, whole.splits[split].index)
        assert torch.equal(asked.splits[split].inputs, whole.splits[split].inputs)
    plain = name.split("[")[0] + "@" + name.rpartition("@")[2]
    assert next(iter(asked.loader("train")))["task"] == plain  # neither the portion nor the noise is told
    assert next(iter(whole.loader("train")))["task"] == plain.partition("@")[0]


def test_so_many_of_each_class_are_those_of_the_base():
    asked = tasks.load("elpv@type", seed=1, size=8, n=[30, 10], held_out=50)
    assert {name: len(part) for name, part in asked.splits.items()} == {"train": 40, "validation": 50, "test": 50}
    base = tasks.load("elpv", seed=1, size=8, n=[30, 10], held_out=50)
    assert torch.equal(asked.splits["test"].index, base.splits["test"].index)


# ---- controls


def test_permuted_labels_are_permuted_in_train_alone(cells):
    for which in ("type", "probability"):
        control, column = f"{which}~permuted", cells.splits["train"].columns[which]
        permuted = cells.splits["train"].columns[control]
        assert not torch.equal(permuted, column) and torch.equal(permuted.sort().values, column.sort().values)
        for split in ("validation", "test"):
            assert torch.equal(cells.splits[split].columns[control], cells.splits[split].columns[which])
        assert cells.questions[control] == cells.questions[which]
    tables = [cells.splits["train"].columns[f"{which}~permuted"] for which in ("type", "probability")]
    together, apart = (Counter(zip(*(column.tolist() for column in pair))) for pair in (
        [cells.splits["train"].columns[which] for which in ("type", "probability")], tables))  # fmt: skip
    assert together != apart  # two permuted questions are unrelated, and not permuted alike


def test_permutations_follow_the_seed_and_a_control_may_be_asked_by_its_name(cells):
    name = "elpv@type~permuted"
    asked = tasks.load(name, seed=3, **CELLS)
    assert asked.name == asked.head == name and asked.labels == ["mono", "poly"] and asked.metric == "accuracy"
    assert torch.equal(asked.splits["train"].labels, cells.splits["train"].columns["type~permuted"])
    assert torch.equal(asked.splits["train"].columns["type"], cells.splits["train"].columns["type"])
    # the draw is the seed's own: the same rows are permuted otherwise
    again = replace(cells, splits=dict(cells.splits), questions={"type": ["mono", "poly"]})
    tasks.add_controls(again, seed=4)
    assert not torch.equal(again.splits["train"].columns["type~permuted"], asked.splits["train"].labels)


def test_again_is_the_task_under_another_name(cells):
    again = question(cells, "again")
    assert (again.name, again.metric, again.labels) == ("elpv@again", cells.metric, cells.labels)
    for split in SPLITS:
        assert torch.equal(again.splits[split].labels, cells.splits[split].labels)
    batch = next(iter(cells.loader("train")))
    assert torch.equal(batch["again"], batch["labels"])
    soft = tasks.load("elpv@again", target="soft", **CELLS)
    assert soft.splits["train"].labels.shape == (200, 2) and soft.splits["test"].labels.ndim == 1


def test_without_controls_batches_have_no_columns_of_them():
    task = tasks.load("elpv", **CELLS)
    assert not [name for name in next(iter(task.loader("train"))) if "permuted" in name or name == "again"]
    with pytest.raises(ValueError, match="has no controls: load it with controls=True"):
        question(task, "type~permuted")


# ---- names and refusals


@pytest.mark.parametrize(
    ("name", "label", "cut"),
    [
        ("elpv", None, ("elpv", "")),
        ("elpv[1/2]+noise1@type~permuted", None, ("elpv[1/2]+noise1", "type~permuted")),
        ("elpv@", None, ("elpv@", "")),
        ("@type", None, ("@type", "")),
        ("folder:me@home", ["a", "home"], ("folder:me@home", "")),
        ("table:me@home.csv", ["a", "b"], ("table:me@home.csv", "")),
        ("table:x.csv@a@b", ["c", "b", "a@b"], ("table:x.csv", "a@b")),
        ("table:x.csv@2~permuted", [0, 2], ("table:x.csv", "2~permuted")),
        ("table:x.csv@stars", "stars", ("table:x.csv@stars", "")),
    ],
)
def test_a_name_is_cut_into_base_and_question(name, label, cut):
    assert cut_question(name, label) == cut


def test_a_control_has_the_labels_of_another_task_in_test():
    names = ["elpv", "elpv@type", "elpv@type~permuted", "elpv@again"]
    assert [without_control(name) for name in names] == ["elpv", "elpv@type", "elpv@type", "elpv"]


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("elpv@typ", {}, "elpv has no question 'typ': its questions are type, probability; did you mean 'type'"),
        ("elpv@", {}, "there is no task 'elpv@'"),
        ("elpv/mono@type", {}, "elpv/mono has no question 'type': its questions are probability"),
        ("elpv@type", {"target": "type"}, "elpv has no question 'type'"),
        ("elpv@type[mono]", {}, r"the question comes last in a name: write elpv\[mono\]@type"),
        ("elpv@type+noise2", {}, r"the question comes last in a name: write elpv\+noise2@type"),
        ("elpv[defective only]@type", {}, "tells its own answers, which are none to 'type': leave out ' only'"),
        ("elpv@type", {"shuffled": True}, "ask it for 'type~permuted'"),
        ("elpv@typ~permuted", {}, "has no question 'typ~permuted'"),
        ("digits/optical@type", {}, "digits/optical has no question 'type': its questions are none"),
        ("sentiment@rating", {"target": "rating"}, "sentiment has no question 'rating': its questions are rater_sd"),
        ("instructions@rating", {}, "has no question 'rating'"),
        ("instructions@again", {}, "has answers instead of labels: controls=True needs a task with labels"),
        ("elpv", {"controls": 1}, "controls must be True or False, not 1"),
        ("elpv", {"control": True}, "elpv has no option control: .*did you mean 'controls'"),
        ("folder:no/photos@type", {}, "does not exist"),
    ],
)
def test_what_cannot_be_asked_gets_one_sentence(name, options, sentence):
    size = {"size": 16} if name.startswith("elpv") else {}
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as said:
        tasks.load(name, **size, **options)
    assert "\n" not in str(said.value)


def test_a_question_is_asked_of_a_task_and_not_of_a_question(cells):
    with pytest.raises(ValueError, match="elpv@type is a question already"):
        question(question(cells, "type"), "probability")
    with pytest.raises(ValueError, match="called by the name of a column, such as 'elpv@type', but this one is 3"):
        question(cells, 3)
    with pytest.raises(ValueError, match="cut the portion first"):
        tasks.portion(question(cells, "type"), "1/5")


def test_no_column_of_a_batch_may_be_replaced_by_a_question():
    assert set(Batch.__annotations__) <= set(RESERVED)


# ---- models and strategies


def test_a_number_is_learned_and_scored():
    task = tasks.load("elpv@probability", seed=0, size=16, n=24, held_out=24)
    torch.manual_seed(0)
    model = models.load("efficientnet-lite0", task)
    assert model.head.out_features == 1 and model.about.regression
    out = predict_logits(model, task.loader("train"))
    squared = (out["logits"].squeeze(-1) - out["labels"]).square().mean().item()
    more = {"steps": 30, "lr": 1e-2, "precision": "float32", "verbose": False}
    model, rows = ftlib.fit(model, task.loader("train", batch_size=24), strategies.LinearProbe(), **more)
    assert rows[0]["loss"] == pytest.approx(squared, rel=1e-4) and rows[-1]["loss"] < rows[0]["loss"]
    out = predict_logits(model, task.loader("validation"))
    assert evaluate(model, task.loader("validation")) == regression(out["logits"].numpy(), out["labels"].numpy())
    assert task.metric in evaluate(model, task.loader("validation"))


@pytest.mark.parametrize(
    "strategy",
    [
        lambda: strategies.MixUp(0.2),
        lambda: strategies.LabelSmoothing(),
        lambda: strategies.Replay(size=4, batch_size=2),
        lambda: strategies.DERpp(size=4, batch_size=2),
        lambda: strategies.EWC(),
    ],
)
def test_strategies_take_a_batch_that_says_its_task(strategy):
    task = tasks.load("digits/optical", seed=0, n=10, size=16, held_out=10)
    torch.manual_seed(0)
    model, part = models.load("efficientnet-lite0", task), strategy()
    for _ in range(2):  # the second task meets what the first has left
        model, rows = ftlib.fit(model, task.loader("train", batch_size=5), part, steps=1, lr=1e-3, verbose=False)
    assert np.isfinite(rows[-1]["loss"])


def test_a_checkpoint_tells_data_apart_by_their_rows_and_labels(cells):
    digests = [digest_of_data({"train": task.loader("train")}) for task in (cells, cells, question(cells, "type"))]
    assert digests[0] == digests[1] != digests[2]
