"""Tables of what frozen stages give: equal to computing anew, found by content, and never used where they would lie."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch.utils.data import DataLoader

import ftlib
from ftlib import models, tasks
from ftlib.evidence.runs import Phase, Spec, run
from ftlib.strategies.freezing import FreezeFirst, GradualUnfreezing
from ftlib.strategies.full import Full, LinearProbe
from ftlib.strategy import Strategy, combine
from ftlib.training import feature_tables
from ftlib.training.feature_tables import Store, gives_its_rows, shared
from ftlib.training.frozen_features import standing_still
from ftlib.training.loop import evaluate, fit, predict_logits
from toy import weights

KINDS = {
    "image": ("digits/mnist", "efficientnet-lite0", {"n": 40, "size": 32, "held_out": 40}),
    "text": ("sentiment/tweets", "minilm", {"n": 40}),
}


@pytest.fixture(scope="module")
def started():
    """{kind: (task, model)}; a test takes a copy of the model."""
    made = {}
    for kind, (name, model, options) in KINDS.items():
        task = tasks.load(name, seed=0, **options)
        torch.manual_seed(0)
        made[kind] = task, models.load(model, task)
    return made


@pytest.fixture
def start(started):
    def give(kind):
        task, model = started[kind]
        return task, copy.deepcopy(model)

    return give


def count_calls(model, k=0) -> list[int]:
    """How many rows stage k has seen, call by call."""
    calls = []
    model.stages[k].register_forward_hook(lambda module, given, made: calls.append(len(made)))
    return calls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, -1])
def test_a_table_holds_what_the_stages_give_for_each_row(start, kind, k):
    task, model = start(kind)
    k = k % (len(model.stages) + 1)
    loader = task.loader("train", tokenizer=model.tokenizer, batch_size=7, shuffle=True)
    table = Store().table(model, k, loader)
    for batch in loader:
        known = table.added(model, batch)
        assert known["frozen_features"][1] == k + (k == len(model.stages))  # after all stages: pooled
        with torch.no_grad():
            torch.testing.assert_close(model(known), model(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_validation_of_a_probe_runs_the_network_once_a_split(start, kind):
    task, model = start(kind)
    held = task.loader("validation", tokenizer=model.tokenizer)
    train = task.loader("train", tokenizer=model.tokenizer, batch_size=16, shuffle=True)
    plain, calls = copy.deepcopy(model), count_calls(model)
    ends = []
    for learner, cache in ((plain, False), (model, True)):
        watched = ftlib.Validation(lambda model: evaluate(model, held), every=2)
        told = {"validation": watched, "cache": cache, "precision": "float32", "verbose": False}
        ends.append(fit(learner, train, LinearProbe(), steps=8, lr=1e-2, **told))
    assert sum(calls) == len(task.splits["train"]) + len(task.splits["validation"])
    for a, b in zip(ends[0][1], ends[1][1], strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-3, abs=1e-5)
    assert ends[0][1][-1]["validation"] == pytest.approx(ends[1][1][-1]["validation"], rel=1e-2, abs=1e-3)


def test_a_model_that_learns_all_over_is_evaluated_as_it_is(start):
    task, model = start("image")
    held, train = task.loader("validation"), task.loader("train", shuffle=True)
    with shared() as store:
        fit(copy.deepcopy(model), train, LinearProbe(), steps=4, lr=1e-2, verbose=False)
        assert len(store.tables) == 1
        model, _ = fit(model, train, Full(), steps=2, lr=1e-2, verbose=False)
        within = evaluate(model, held)
        assert len(store.tables) == 1  # nothing of it stands still
    assert within == evaluate(model, held)


def test_what_stayed_untouched_is_known_after_the_run_too(start):
    """After `fit` nothing is frozen any more, but the stages are those that stood still."""
    task, model = start("image")
    calls = count_calls(model)
    with shared():
        model, _ = fit(model, task.loader("train", shuffle=True), LinearProbe(), steps=4, lr=1e-2, verbose=False)
        first = evaluate(model, task.loader("test"))
        before = len(calls)
        assert evaluate(model, task.loader("test")) == first and len(calls) == before
    assert evaluate(model, task.loader("test")) == pytest.approx(first, rel=1e-4, abs=1e-5) and len(calls) > before


def change_a_weight(model, task):
    with torch.no_grad():
        next(model.stages[2].parameters()).mul_(1.5)


def change_a_statistic(model, task):
    next(m for m in model.stages[1].modules() if hasattr(m, "running_mean")).running_mean.add_(1.0)


def change_a_setting(model, task):
    next(m for m in model.stages[1].modules() if hasattr(m, "running_mean")).eps = 0.5


def change_the_rows(model, task):
    task.splits["test"].inputs.add_(50)


@pytest.mark.parametrize("change", [change_a_weight, change_a_statistic, change_a_setting, change_the_rows])
def test_another_network_or_other_rows_are_another_table(start, change):
    task, model = start("image")
    task = copy.deepcopy(task)
    model.stages.requires_grad_(False)
    with shared() as store:
        before = predict_logits(model, task.loader("test"))["logits"]
        change(model, task)
        after = predict_logits(model, task.loader("test"))["logits"]
        assert len(store.tables) == 2 and not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(predict_logits(model, task.loader("test"))["logits"], after, rtol=1e-4, atol=1e-4)


def test_the_rows_of_a_loader_that_changes_them_are_not_known(start):
    task, _ = start("image")
    loader = task.loader("train")
    assert gives_its_rows(loader)
    darker = DataLoader(loader.dataset, None, sampler=loader.sampler, collate_fn=lambda batch: batch)
    twice = copy.copy(loader.dataset)
    twice.columns = {**twice.columns, "index": torch.zeros_like(twice.columns["index"])}
    assert not gives_its_rows(darker) and not gives_its_rows([next(iter(loader))])
    assert not gives_its_rows(DataLoader(twice, None, sampler=loader.sampler))


@dataclass
class Darker(Strategy):
    """Draws its batches itself, and shows other pictures under the same numbers."""

    def batches(self, loaders):
        for batch in loaders["train"]:
            yield {**batch, "pixels": batch["pixels"] * 0.2}


@pytest.mark.parametrize("strategy", [lambda: combine(FreezeFirst(5), Darker()), lambda: GradualUnfreezing(0.9)])
def test_batches_of_a_strategys_own_and_stages_that_wake_learn_the_same(start, strategy):
    task, model = start("image")
    ends = []
    for cache in (False, True):
        learner = copy.deepcopy(model)
        loader = task.loader("train", batch_size=16, shuffle=True)
        learner, history = fit(learner, loader, strategy(), steps=9, lr=1e-5, cache=cache, verbose=False)
        ends.append([row["loss"] for row in history])
    assert ends[0] == pytest.approx(ends[1], rel=1e-3)  # a small rate: large ones make rounding grow


def test_fewer_steps_than_a_pass_compute_only_what_they_see(start):
    task, model = start("image")
    calls = count_calls(model)
    fit(model, task.loader("train", batch_size=8, shuffle=True), LinearProbe(), steps=2, lr=1e-2, verbose=False)
    assert sum(calls) == 16


def test_little_memory_keeps_no_table(start, monkeypatch):
    task, model = start("image")
    monkeypatch.setattr(feature_tables, "free_memory", lambda device: 1000)
    assert Store().table(model, 3, task.loader("train")) is None
    model.stages.requires_grad_(False)
    with shared() as store:
        evaluate(model, task.loader("test"))
        assert not store.tables


def test_the_store_forgets_what_was_used_longest_ago(start, monkeypatch):
    task, model = start("image")
    store, data = Store(), {name: task.loader(name) for name in ("train", "validation", "test")}
    size = store.table(model, 9, data["train"]).bytes
    monkeypatch.setattr(feature_tables, "free_memory", lambda device: 4 * 2.5 * size - 4 * size * len(store.tables))
    store.table(model, 9, data["validation"])
    assert len(store.tables) >= 1
    kept = [table.bytes for table in store.tables.values()]
    assert sum(kept) <= 2.6 * size


def test_each_number_format_has_a_table(start):
    task, model = start("text")
    store, data = Store(), task.loader("train", tokenizer=model.tokenizer)
    store.table(model, 3, data)
    with torch.autocast("cpu", torch.bfloat16):
        store.table(model, 3, data)
    assert len(store.tables) == 2


def test_a_later_run_pays_for_what_an_earlier_one_computed(start):
    """What a record says a run costs must not depend on what ran before it."""
    task, model = start("image")
    spent = []
    with shared() as store:
        for _ in range(2):
            _, history = fit(copy.deepcopy(model), task.loader("train"), LinearProbe(), steps=4, lr=1e-2, verbose=False)
            spent.append(history[0]["seconds"]["forward"])
        (table,) = store.tables.values()
    assert spent[0] >= table.seconds and spent[1] >= table.seconds


def test_a_run_in_a_store_gives_the_record_that_it_gives_alone():
    spec = Spec(
        "probe", "digits/mnist", "efficientnet-lite0", seed=0, every=2,
        phases=[Phase([{"LinearProbe": {}}], steps=4, lr=1e-2)], options={"n": 40, "size": 32, "held_out": 40},
    )  # fmt: skip
    alone = run(spec)
    with shared():
        first, second = run(spec), run(spec)
    for name in ("scores", "first_losses"):
        assert alone[name] == first[name] == second[name]
    curves = [
        [{k: v for k, v in at.items() if k != "seconds"} for at in made["curve"]] for made in (alone, first, second)
    ]
    assert curves[0] == curves[1] == curves[2]
    for made in (alone, first, second):
        seconds = [at["seconds"] for at in made["curve"]]  # of training so far, each validation later than the last
        assert seconds == sorted(seconds) and seconds[-1] == pytest.approx(made["seconds"]["training"])


def test_standing_still_sees_each_module_once(start):
    _, model = start("image")
    model.stages.requires_grad_(False)
    k, tensors = standing_still(model.eval())
    named = [*model.stages.parameters(), *model.stages.buffers()]
    assert k == len(model.stages) and {id(t) for t in tensors} == {id(t) for t in named}
    assert weights(model)


def test_sentences_of_an_unknown_loader_learn_the_same(start):
    """A list of batches: each example is found by its content, and runs through the frozen stages once."""
    task, model = start("text")
    loader, ends, calls = list(task.loader("train", tokenizer=model.tokenizer, batch_size=8)), [], []
    for cache in (False, True):
        learner = copy.deepcopy(model)
        calls.append(count_calls(learner))
        told = {"cache": cache, "precision": "float32", "verbose": False}
        _, history = fit(learner, loader, FreezeFirst(4), steps=10, lr=1e-4, **told)
        ends.append([row["loss"] for row in history])
    assert ends[1] == pytest.approx(ends[0], rel=1e-4) and list(map(sum, calls)) == [80, 40]
