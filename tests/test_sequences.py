"""A run over a sequence of tasks, or over several questions at once: what it watches, its matrix R, what is refused."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from torch import nn

from ftlib import strategies, tasks
from ftlib.evidence import compare, confirm, confirm_files, grid_files, grids, runs
from ftlib.evidence.runs import Spec, matrix
from ftlib.evidence.sequences import Sources, sequence_scores
from ftlib.io import typed
from ftlib.metrics import forgetting
from ftlib.strategy import Strategy, target_loss
from ftlib.training.scoring import evaluate

PAIRS = ["digits/optical[0,1]", "digits/optical[2,3]"]
WATCH = [f"{name}:validation" for name in PAIRS]
SAME = {"task": "digits/optical", "model": "efficientnet-lite0", "seed": 0, "options": {"n": 60, "size": 32}}


def spec(**more) -> Spec:
    said = {"arm": "naive", "phases": strategies.baselines.naive(PAIRS, 3, 1e-3), **SAME}
    return Spec(**{**said, "splits": ["validation"], "every": 3, "watch": WATCH, **more})


@pytest.fixture(scope="module")
def record():
    return runs.run(spec())


def test_each_validation_scores_what_is_watched(record):
    assert [row["step"] for row in record["curve"]] == [3, 6]
    for row in record["curve"]:
        assert {name for name in row if ":" in name} == set(WATCH)


def test_the_matrix_has_the_scores_at_the_ends_of_the_phases(record):
    R = matrix(record)
    assert list(R.columns) == WATCH and list(R.index) == [1, 2]
    assert R.to_numpy().tolist() == [[row[name] for name in WATCH] for row in record["curve"]]


def test_what_is_kept_is_measured_and_comes_into_the_table(record):
    found = forgetting(matrix(record).to_numpy())
    assert {k: v for k, v in record["measured"].items() if k.startswith("sequence.")} == {
        f"sequence.{name}": value for name, value in found.items()
    }
    assert runs.frame([record])["sequence.forgetting"][0] == found["forgetting"]


def test_with_more_validations_only_the_ends_count():
    curve = [
        {"step": s, **dict(zip(WATCH, at))} for s, at in ((1, (0.1, 0)), (2, (0.9, 0)), (3, (0, 0)), (4, (0.2, 1)))
    ]
    phases = [{"steps": 2}, {"steps": 2}]
    assert matrix({"spec": {"watch": WATCH, "phases": phases}, "curve": curve}).to_numpy().tolist() == [
        [0.9, 0],
        [0.2, 1],
    ]


def test_a_phase_that_ended_early_counts_with_its_last_validation():
    curve = [{"step": s, **dict(zip(WATCH, at))} for s, at in ((2, (0.9, 0)), (6, (0.2, 1)))]
    said = {"watch": WATCH, "phases": [{"steps": 4}, {"steps": 4}]}
    assert matrix({"spec": said, "curve": curve}).to_numpy().tolist() == [[0.9, 0], [0.2, 1]]


def test_a_run_that_learns_all_at_once_has_an_average_and_no_forgetting():
    curve = [{"step": 4, WATCH[0]: 0.5, WATCH[1]: 0.7}]
    assert sequence_scores({"watch": WATCH, "phases": [{"steps": 4}]}, curve) == {"sequence.average": 0.6}
    assert sequence_scores({"watch": [], "phases": []}, curve) == {}


def test_a_run_that_watched_nothing_has_no_matrix(record):
    with pytest.raises(ValueError, match="this run watched no other tasks, so it has no matrix"):
        matrix({**record, "spec": {**record["spec"], "watch": []}})


def test_watching_changes_no_score_and_the_id_only_where_something_is_watched(record):
    silent = spec(watch=[], every=0)
    assert runs.run(silent)["scores"] == record["scores"]
    assert silent.id != spec().id
    # the id of a run from before there was `watch`
    phase = runs.Phase([], steps=60, lr=1e-3)
    assert Spec("full", "digits/mnist", "efficientnet-lite0", seed=0, phases=[phase]).id == "7e4869d88bb9"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"watch": ["validation"]}, "watch names splits of other tasks"),
        ({"watch": ["digits/optical[0,1]:test"]}, "and no test"),
        ({"every": 0}, "watch needs validations to score in"),
        ({"watch": ["digits/opticl[0,1]:validation"]}, "there is no task"),
        ({"splits": ["test", "digits/optical[0,1]:test"]}, "test is read once, leave one"),
        ({"watch": ["digits/optical[0,1]:val"]}, "names no split"),
    ],
)
def test_what_cannot_be_watched_is_refused(said, sentence):
    with pytest.raises(ValueError, match=sentence):
        spec(**said)


def test_a_task_that_is_not_there_is_known_before_the_first_step():
    late = strategies.baselines.naive([PAIRS[0], "digits/optical[2,x]"], 3, 1e-3)
    with pytest.raises(ValueError, match="has no class 'x'"):
        Sources(spec(phases=late, watch=WATCH[:1]))


def test_sources_load_each_task_once_and_the_drawn_ones_apart():
    drawn = [{"strategy": [], "steps": 1, "lr": 1e-3, "data": {"train": f"digits/optical:train:{'+'.join('2' * 10)}"}}]
    sources = Sources(spec(phases=drawn))
    task, split = sources.of(drawn[0]["data"]["train"])
    assert split == "train" and len(task.splits["train"]) == 20
    assert sources.of(WATCH[0])[0] is sources.of(WATCH[0])[0]
    assert sources.of("validation")[0] is sources.task and sources.metric(WATCH[0]) == "accuracy"


def test_a_grid_may_watch_and_a_run_that_tunes_does_not():
    comparison = next(one for one in grids.load_grid("03_incremental") if "naive" in one.arms)
    measured, tuned = (grids._spec("g", comparison, "naive", 1e-3, {}, 0, purpose) for purpose in ("measure", "tune"))
    assert len(measured.watch) == 5 and tuned.watch == []


def test_naive_is_a_phase_per_portion():
    phases = strategies.baselines.naive(PAIRS, steps=7, lr=0.01, strategy=[{"Replay": {"size": 5}}])
    assert [phase["data"]["train"] for phase in phases] == [f"{name}:train" for name in PAIRS]
    assert {(phase["steps"], phase["lr"]) for phase in phases} == {(7, 0.01)}
    assert (
        phases[0]["strategy"] == [{"Replay": {"size": 5}}]
        and strategies.baselines.naive(PAIRS, 1, 1)[0]["strategy"] == []
    )


def test_rehearsal_goes_on_with_its_buffer_in_the_next_phase():
    record = runs.run(spec(phases=strategies.baselines.naive(PAIRS, 3, 1e-3, [{"Replay": {"size": 5}}])))
    assert record["measured"]["Replay.bytes"] == 5 * (32 * 32 * 4 + 8 + 8)  # pixels in float32, label and index
    assert np.isfinite(record["measured"]["sequence.average"])


# ---- several questions to the same examples

CELLS = {"task": "elpv", "model": "efficientnet-lite0", "seed": 0, "options": {"n": 24, "size": 16, "held_out": 30}}
TYPE = "elpv@type"


@dataclass
class TwoHeads(Strategy):
    """A head more, and the sum of both losses: the least that learns two tasks at once."""

    def prepare(self, model):
        if not isinstance(model.head, nn.ModuleDict):
            model.head = nn.ModuleDict({"elpv": model.head, TYPE: nn.Linear(model.width, 2)})
        return model

    def batches(self, loaders):
        for batch in loaders["train"]:
            yield {**batch, "n": dict.fromkeys(("elpv", TYPE), len(batch["labels"]))}

    def loss(self, model, batch):
        labels = {"elpv": batch["labels"], TYPE: batch["type"]}
        return {task: target_loss(model({**batch, "task": task, "labels": y}), y) for task, y in labels.items()}


def two(**more) -> Spec:
    phase = {"strategy": [], "steps": 4, "lr": 1e-3, "data": {"train": "elpv:train"}, "batch_size": 12}
    said = {"arm": "both", "phases": [phase], "every": 2, "watch": [f"{TYPE}:validation"]}
    return Spec(**{**CELLS, **said, "splits": ["validation", "test", f"{TYPE}:validation", f"{TYPE}:test"], **more})


def trained(monkeypatch, **more) -> dict:
    monkeypatch.setattr(strategies, "build", lambda parts: TwoHeads())
    return runs.run(two(**more))


def test_each_task_is_scored_by_its_own_name(monkeypatch):
    models_seen = []
    monkeypatch.setattr(runs, "evaluate", lambda model, loader: models_seen.append(model) or evaluate(model, loader))
    record = trained(monkeypatch)
    assert list(record["scores"]) == two().splits
    options = record["spec"]["options"]
    for name, task in (("test", "elpv"), (f"{TYPE}:test", TYPE)):
        loader = tasks.load(task, seed=0, **options).loader("test", batch_size=64)
        again = evaluate(models_seen[-1], loader)
        assert record["scores"][name] == pytest.approx(again, rel=1e-4, abs=1e-4, nan_ok=True)
    assert record["scores"]["test"] != record["scores"][f"{TYPE}:test"]
    for row in record["curve"]:
        assert 0 <= row[f"{TYPE}:validation"] <= 1 and "balanced_accuracy" in row
    assert record["curve"][-1][f"{TYPE}:validation"] == record["scores"][f"{TYPE}:validation"]["accuracy"]


def test_the_scores_of_each_task_may_be_claimed(monkeypatch):
    there = runs.frame(trained(monkeypatch, arm=arm, seed=s) for s in range(2) for arm in ("both", "one"))
    assert compare.paired(there, f"{TYPE}:test.accuracy", "both", "one").mean == 0
    said = {"label": "cells", "grid": "g", "task": "elpv", "effect": "difference", "arm": "both", "baseline": "one",
            "margin": 0.1, "expects": "same", "unit": "points"}  # fmt: skip
    there.loc[there.arm == "both", f"{TYPE}:test.accuracy"] += 0.5
    row = confirm_files.Row(**said, metric=f"{TYPE}:validation+test.accuracy")
    assert confirm.per_seed(row, there).tolist() == pytest.approx([0.25] * 2)
    row = confirm_files.Row(**said, metric="validation+test.balanced_accuracy")
    assert confirm.per_seed(row, there).tolist() == [0.0] * 2


def test_a_question_may_be_a_task_of_its_own():
    record = runs.run(
        two(task=TYPE, phases=[{"strategy": [], "steps": 1, "lr": 1e-3}], splits=["test"], watch=[], every=0)
    )
    assert "accuracy" in record["scores"]["test"] and runs.frame([record]).task[0] == TYPE


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"splits": [f"{TYPE}:test", f"{TYPE}:test"]}, "is listed twice"),
        ({"task": TYPE, "splits": ["test", f"{TYPE}:test"]}, "is listed twice"),
        (
            {"splits": [f"{TYPE}:test", f"{TYPE}~permuted:test"]},
            "labels of the same rows: test is read once, leave one",
        ),
        ({"splits": ["test", "elpv@again:test"]}, "labels of the same rows: test is read once, leave one"),
        ({"splits": [f"{TYPE}:test", "elpv[1/2]@type:test"]}, "labels of the same rows: test is read once, leave one"),
        ({"watch": [f"{TYPE}:test"]}, "and no test"),
        ({"purpose": "tune"}, "must not read the test split"),
        ({"watch": ["elpv@typ:validation"]}, "there is no task 'elpv@typ': the nearest known one to 'typ' is 'type'"),
        ({"task": "elpv@", "splits": ["validation"]}, "there is no task 'elpv@'"),
        ({"phases": [{"strategy": [], "steps": 1, "lr": 1e-3, "data": {"train": f"{TYPE}:test"}}]}, "would train on"),
    ],
)
def test_each_question_is_tested_once_and_nothing_is_learned_from_it(said, sentence):
    with pytest.raises(ValueError, match=sentence):
        two(**said)


def test_questions_of_one_task_share_their_examples_and_count_their_reads():
    sources = Sources(two())
    base, asked = sources.of("test")[0], sources.of(f"{TYPE}:test")[0]
    assert all(asked.splits[s].inputs is base.splits[s].inputs for s in base.splits)
    list(sources.of("test")[0].loader("test"))
    list(sources.of(f"{TYPE}:test")[0].loader("test"))
    assert sources.reads_of_test == 1  # two questions, each asked once
    list(sources.of(f"{TYPE}:test")[0].loader("test"))
    assert sources.reads_of_test == 2


def test_a_grid_may_be_tuned_by_a_question_and_also_evaluated_on_it():
    comparison = next(one for one in grids.load_grid("03_incremental") if "naive" in one.arms)
    comparison = replace(
        comparison, task="elpv", options=CELLS["options"], metric=f"{TYPE}:validation.accuracy", watch=[],
        also_evaluate_on=[f"{TYPE}:test"], every=0,
    )  # fmt: skip
    arm = {"rates": [1e-3, 1e-2], "phases": [{"strategy": [], "steps": 1, "lr": None}]}
    comparison = replace(comparison, arms={"both": typed.check(grid_files.Arm, arm, "arm")})
    grids.refuse_what_cannot_run(comparison, "both", comparison.arms["both"])
    grids.refuse_unmeasured("g", comparison)
    tuned, measured = (grids._spec("g", comparison, "both", 1e-3, {}, 0, purpose) for purpose in ("tune", "measure"))
    assert tuned.splits == [f"{TYPE}:validation"]
    assert set(measured.splits) == {f"{TYPE}:validation", "validation", "test", f"{TYPE}:test"}
    with pytest.raises(ValueError, match="rates must not be chosen on the test split"):
        wrong = replace(comparison, metric=f"{TYPE}:test.accuracy")
        grids.refuse_what_cannot_run(wrong, "both", comparison.arms["both"])
