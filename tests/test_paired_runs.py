"""Runs and grids on a network so small that a run takes a fifth of a second: what is paired, chosen and read."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import timm
import torch
from timm.models import save_for_hf

from ftlib.evidence import grids, runs
from ftlib.io import places
from toy import same

RATES = (1e-3, 1e-2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with a convolutional network of 356,196 parameters."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    cfg = {"input_size": (3, 32, 32), "mean": [0.5] * 3, "std": [0.2] * 3}
    save_for_hf(timm.create_model("test_efficientnet"), folder, {"pretrained_cfg": cfg}, safe_serialization=True)
    return str(folder)


def spec(tiny, *strategies, seed=0, steps=2, lr=1e-3, **more):
    """One phase a strategy, on 8 digits."""
    phases = [{"strategy": [{name: {}}], "steps": steps, "lr": lr, "batch_size": 8} for name in strategies]
    plain = {"arm": strategies[0], "task": "digits/optical", "model": tiny, "options": {"n": 8, "size": 16}}
    return runs.Spec(**{**plain, "phases": phases, "seed": seed, **more})


@pytest.fixture
def grid(tiny, tmp_path, monkeypatch):
    """A function that writes a grid called tiny, changed as its arguments say, where `record` looks for it."""
    monkeypatch.setattr(places, "ROOT", tmp_path)
    (tmp_path / "lessons" / "toy" / "grids").mkdir(parents=True)

    def write(**changes):
        def arm(name, lr):
            return {"rates": list(RATES), "phases": [{"strategy": [{name: {}}], "steps": 2, "lr": lr}]}

        after = arm("LinearProbe", "probe")
        after["phases"] += arm("Full", None)["phases"]
        plain = {"task": "digits/optical", "model": tiny, "options": {"n": 20, "size": 16}, "metric": "accuracy"}
        plain |= {"every": 1, "seeds": [0, 1], "tuning_seeds": [100]}
        plain |= {"arms": {"probe": arm("LinearProbe", None), "lp-ft": after}, **changes}
        (tmp_path / "lessons" / "toy" / "grids" / "tiny.json").write_text(json.dumps([plain]))
        return plain

    return write


def test_a_grid_is_recorded_tuned_on_validation_and_resumed(grid):
    comparison = grid()
    first = runs.load_records(grids.run_grid("tiny", most=3))
    file = grids.run_grid("tiny")
    records, written = runs.load_records(file), file.stat().st_mtime_ns
    assert len(first) == 3 and records[:3] == first  # what was there was not run again
    assert len(records) == sum(map(grids.count, grids.load_grid("tiny"))) == 2 * (len(RATES) + 2)
    chosen = {}
    for arm in comparison["arms"]:
        tuned, measured = ([r for r in records if r["spec"]["arm"] == arm and r["spec"]["purpose"] == p]
                           for p in ("tune", "measure"))  # fmt: skip
        assert all(r["scores"].keys() == {"validation"} for r in tuned)
        assert all(r["scores"].keys() == {"validation", "test"} for r in measured)
        assert [len(r["curve"]) for r in measured] == [r["steps"] for r in measured]
        chosen[arm] = grids.best_rate(tuned, "accuracy")
        assert [(r["spec"]["seed"], r["spec"]["phases"][-1]["lr"]) for r in measured] == [
            (seed, chosen[arm]) for seed in (0, 1)
        ]
    assert {r["spec"]["phases"][0]["lr"] for r in records if r["spec"]["arm"] == "lp-ft"} == {chosen["probe"]}
    assert grids.run_grid("tiny").stat().st_mtime_ns == written


def test_the_best_rate_is_the_best_mean_of_validation():
    def one(lr, seed, validation, test):
        phase = {"strategy": [], "steps": 1, "lr": lr}
        made = runs.Spec(arm="full", task="elpv", model="m", seed=seed, phases=[phase])
        scores = {"validation": {"accuracy": validation}, "test": {"accuracy": test}}
        return {"id": made.id, "spec": asdict(made), "scores": scores, "steps": 1, "parameters": {}, "seconds": {},
                "memory": 0}  # fmt: skip

    lucky = [one(1e-3, 100, 0.9, 0.5), one(1e-3, 101, 0.5, 0.5)]
    best = [one(1e-2, 100, 0.8, 0.5), one(1e-2, 101, 0.8, 0.5)]
    tempting = [one(1e-1, 100, 0.6, 0.9), one(1e-1, 101, 0.6, 0.9)]
    assert grids.best_rate(lucky + best + tempting, "accuracy") == 1e-2
    assert grids.best_rate(tempting + [one(1e-4, 100, 0.6, 0.0)], "accuracy") == 1e-4  # of equals, the smallest


def test_an_unfair_grid_is_refused(grid):
    arms = grid()["arms"]
    grid(arms={**arms, "probe": {**arms["probe"], "rates": [1e-3]}})
    with pytest.raises(ValueError, match=r"every arm must search the same number of rates, but they search \[1, 2\]"):
        grids.load_grid("tiny")
    grid(tuning_seeds=[1, 2])
    with pytest.raises(ValueError, match="seeds and tuning_seeds must not overlap"):
        grids.load_grid("tiny")
    with pytest.raises(FileNotFoundError, match="there is no grid called 'huge': there are tiny"):
        grids.load_grid("huge")


def test_arms_of_one_seed_start_at_the_same_point(tiny):
    """The split, the subset, the initialisation and the order come from the seed: the difference is the method's."""
    parts = {}
    for arm, seed in (("Full", 0), ("LayerRates", 0), ("Full", 1)):
        data, model = runs._start(spec(tiny, arm, seed=seed))
        task = data.task
        index = {name: split.index for name, split in task.splits.items()}
        parts[arm, seed] = index, model.state_dict(), runs.first_losses(spec(tiny, arm, seed=seed), most=1)
    (index, model, loss), (twin_index, twin, twin_loss), (other_index, other, _) = parts.values()
    assert same(index, twin_index) and same(model, twin) and loss == twin_loss
    assert not any(torch.equal(index[name], other_index[name]) for name in ("test", "train") if len(index[name]) > 8)
    assert sorted(index["train"]) != sorted(other_index["train"])
    assert not torch.equal(model["head.weight"], other["head.weight"])


def test_a_later_phase_goes_on_from_what_was_learned_and_trains_everything(tiny):
    assert runs.run(spec(tiny, "LinearProbe"))["parameters"]["trainable"] == 257 * 10
    parameters = runs.run(spec(tiny, "LinearProbe", "Full"))["parameters"]
    assert parameters["trainable"] == parameters["total"] > 100_000
    losses = runs.first_losses(spec(tiny, "FromScratch", "FromScratch", lr=0.0))  # 8 examples: the same batch each step
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-4)  # drawn anew, the third would be another network's


def test_the_test_split_is_read_once_or_there_is_no_record(tiny, tmp_path, monkeypatch):
    peeking = spec(tiny, "Full")
    peeking.phases[0].data = {"train": "test"}
    monkeypatch.setattr(runs, "evaluate", None)  # nothing is trained or scored
    with pytest.raises(ValueError, match="phase 1 would train on the test split, as 'train' is 'test'"):
        runs.run(peeking, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(runs.Spec, "check", lambda self: None)  # and if a way was found past that
    with pytest.raises(RuntimeError, match="the test split was read 2 times in one run: it may be read once"):
        runs.run(peeking, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_target_is_drawn_with_so_many_of_each_class(tiny, monkeypatch):
    seen = []
    fit = runs.fit
    monkeypatch.setattr(runs, "fit", lambda model, data, *a, **k: (seen.append(data), fit(model, data, *a, **k))[1])
    data = {"train": "train", "target": "digits/mnist:train:6+2+0+0+0+0+0+0+0+0"}
    phase = {"strategy": [{"MMD": {}}], "steps": 1, "lr": 1e-3, "batch_size": 8, "data": data}
    runs.run(spec(tiny, "shifted", phases=[phase], options={"n": 8, "size": 16}, splits=["validation"]))
    (target,) = seen[0]["target"]  # one batch
    assert target["labels"].bincount().tolist() == [6, 2]


def test_a_target_and_a_few_of_its_labels_come_from_another_task(tiny):
    loaders = {"train": "train", "target": "digits/mnist:train", "labelled": "digits/mnist:train:10"}
    phase = {
        "strategy": [{"FewLabels": {}}, {"DomainGauge": {}}],
        "steps": 2,
        "lr": 1e-3,
        "batch_size": 8,
        "data": loaders,
    }
    made = runs.run(
        spec(tiny, "few", phases=[phase], options={"n": 16, "size": 16}, splits=["digits/mnist:validation"])
    )
    assert made["measured"]["FewLabels.labels"] == 10  # 8 and 2: all ten, and no other
    assert 0 <= made["measured"]["DomainGauge.distance"] <= 2 and "DomainGauge.dev" not in made["measured"]
    assert 0 <= made["scores"]["digits/mnist:validation"]["worst_class"] <= 1


# The test split has one way in


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"train": "test"}, "phase 1 would train on the test split, as 'train' is 'test'"),
        ({"train": "digits/optical:test"}, "as 'train' is 'digits/optical:test'"),
        ({"train": "train", "target": "elpv/poly:test"}, "as 'target' is 'elpv/poly:test'"),
        ({"train": "train", "held_out": "elpv+noise3:test"}, "as 'held_out' is"),
        ({"train": "train", "labelled": "elpv/poly:test:10"}, "as 'labelled' is"),
        ({"train": "train", "labelled": "elpv/poly:test:5+5"}, "as 'labelled' is"),
        ({"train": "Test"}, "'Test' names no split: the nearest known one to 'Test' is 'test'"),
        ({"train": "test "}, "'test ' names no split"),
        ({"train": "train:10"}, 'a split is called "split", "task:split" or "task:split:n", but not'),
        ({"train": ""}, "train.* should have at least 1 character"),
        ({"train": "elpv/poly:"}, 'a split is called "split"'),
        ({"train": "elpv/ploy:train"}, "there is no task 'elpv/ploy': the nearest known one to 'elpv/ploy' is"),
    ],
)
@pytest.mark.parametrize("purpose", ["measure", "tune"])
def test_nothing_is_trained_on_the_test_split_by_any_name(data, words, purpose):
    phase = {"strategy": [], "steps": 1, "lr": 1e-3, "data": data}
    with pytest.raises(ValueError, match=words) as raised:
        spec("nowhere", "Full", phases=[phase], purpose=purpose, splits=["validation"])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("purpose", ["Tune", "TUNE", " tune", "", None])
def test_a_purpose_is_one_of_two_words(purpose):
    with pytest.raises(ValueError, match="Spec: purpose should be 'measure' or 'tune', but it is"):
        spec("nowhere", "Full", purpose=purpose)


@pytest.mark.parametrize(
    ("splits", "purpose", "words"),
    [
        (["test"], "tune", "a run that tunes must not read the test split"),
        (["elpv/poly:test"], "tune", "a run that tunes must not read the test split"),
        (["validation", "elpv+noise3:test"], "tune", "a run that tunes must not read the test split"),
        (["validation", "test", "test"], "measure", "the split 'test' is listed twice"),
        (["test", "digits/optical:test"], "measure", "is listed twice: each is read once"),
        (["elpv:test", "elpv:test:10"], "measure", "is listed twice"),
        (["validation", "tset"], "measure", "'tset' names no split: the nearest known one to 'tset' is 'test'"),
        (["elpv/poly:tset"], "measure", "names no split"),
        ("test", "measure", "Spec: splits should be a valid list, but it is 'test'"),
    ],
)
def test_splits_are_known_each_is_read_once_and_tuning_reads_no_test(splits, purpose, words):
    with pytest.raises(ValueError, match=words):
        spec("nowhere", "Full", splits=splits, purpose=purpose)


def test_other_tasks_are_still_scored_and_trained_on():
    data = {"train": "train", "target": "elpv/poly:train", "held_out": "validation", "labelled": "elpv/poly:train:9+1"}
    phase = {"strategy": [], "steps": 1, "lr": 1e-3, "data": data}
    made = spec("nowhere", "Full", phases=[phase], splits=["test", "elpv+noise3:test", "elpv/poly:test"])
    assert runs.split_of("elpv/poly:train:9+1") == ("elpv/poly", "train") and len(made.splits) == 3


# A spec of wrong values


@pytest.mark.parametrize(
    ("more", "words"),
    [
        *(({"seed": seed}, "Spec: seed should be ") for seed in (-1, 2**32, 2**40, "a", 1.5, None, True)),
        ({"steps": -1}, "Spec, phase 1: steps should be greater than or equal to 0, but it is -1"),
        ({"steps": 1.5}, "Spec, phase 1: steps should be a valid integer"),
        ({"steps": "2"}, "Spec, phase 1: steps should be a valid integer, but it is '2'"),
        ({"steps": None}, "steps should be a valid integer"),
        *(({"lr": lr}, "Spec, phase 1: lr should be ") for lr in (-1.0, "probe", None, float("nan"), float("inf"))),
        ({"precision": "float16"}, "precision should be 'auto', 'float32' or 'bfloat16', but it is 'float16'"),
        ({"every": -1}, "every should be greater than or equal to 0"),
        ({"options": ["n"]}, "options should be a valid dictionary"),
        ({"options": {"n": torch.tensor(8)}}, "a Spec holds plain JSON values only"),
        ({"task": "elvp"}, "there is no task 'elvp': the nearest known one to 'elvp' is 'elpv'"),
        ({"task": ""}, "task should have at least 1 character"),
        ({"phases": "all"}, "phases should be a valid list"),
    ],
)
def test_a_wrong_value_of_a_spec_is_one_sentence_when_it_is_made(more, words):
    with pytest.raises(ValueError, match=words) as raised:
        spec("nowhere", "Full", **more)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"batch_size": 0}, "Spec, phase 1: batch_size should be greater than or equal to 1, but it is 0"),
        ({"batch_size": 1.5}, "batch_size should be a valid integer"),
        ({"batch_size": "8"}, "batch_size should be a valid integer, but it is '8'"),
        ({"batchsize": 8}, "there is no key 'batchsize' here, the nearest known one is 'batch_size'"),
        ({"strategy": "Full"}, "strategy should be a valid list, but it is 'Full'"),
        ({"strategy": [{"Full": None}]}, "should be a valid dictionary"),
        ({"fit": {"acumulate": 2}}, "fit has no option 'acumulate' for a phase, the nearest known one is 'accumulate'"),
        ({"fit": {"accumulate": "2"}}, "should be a valid integer, but it is '2'"),
        ({"fit": {"cache": 1}}, "should be a valid boolean, but it is 1"),
        ({"fit": {"seed": 1}}, "fit has no option 'seed' for a phase"),
        ({"fit": {"patience": 2}}, "set `every`, the steps between two"),
    ],
)
def test_a_wrong_value_of_a_phase_is_one_sentence_when_the_spec_is_made(more, words):
    with pytest.raises(ValueError, match=words) as raised:
        spec("nowhere", "Full", phases=[{"strategy": [], "steps": 1, "lr": 1e-3, **more}])
    assert "\n" not in str(raised.value)


def test_every_recorded_run_has_the_id_of_its_spec_still():
    files = sorted(places.results().glob("*.jsonl"))
    made = [r for file in files for r in runs.load_records(file)]
    assert len(made) > 3000 and all(runs.Spec(**r["spec"]).id == r["id"] for r in made)


# Two processes

BOTH = """
import json, sys, time
from pathlib import Path
from ftlib.evidence import grids

from ftlib.io import places

places.ROOT, me, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
run = grids.run


def noted(spec):
    with open(places.ROOT / f"ran-{me}", "a") as file:
        file.write(spec.id + "\\n")
    return run(spec)


grids.run = noted
(places.ROOT / f"ready-{me}").touch()
while len(list(places.ROOT.glob("ready-*"))) < 2:
    time.sleep(0.01)
for name in names:
    file = grids.run_grid(name)
    print(name, len(file.read_text().splitlines()))
"""


def test_two_processes_record_ten_grids_together_and_nothing_is_lost_or_run_twice(grid, tmp_path):
    names = [f"tiny{i}" for i in range(10)]
    comparison = grid()
    comparison["arms"] = {"probe": comparison["arms"]["probe"]}  # two tuning runs, then two measured ones
    for name in names:
        (tmp_path / "lessons" / "toy" / "grids" / f"{name}.json").write_text(json.dumps([comparison]))
    here = {**os.environ, "PYTHONPATH": str(Path(grids.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    words = [[sys.executable, "-c", BOTH, str(tmp_path), me, *names] for me in "ab"]
    both = [subprocess.Popen(w, env=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for w in words]
    said = [process.communicate(timeout=500) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all(out.split("\n")[:-1] == [f"{name} 4" for name in names] for out, _ in said)  # each waits for the rest
    ran = [(tmp_path / f"ran-{me}").read_text().split() for me in "ab"]
    made = [r["id"] for name in names for r in runs.load_records(tmp_path / "data" / "results" / f"{name}.jsonl")]
    assert sorted(ran[0] + ran[1]) == sorted(made) and len(set(made)) == 40
    assert min(map(len, ran)) > 5  # they shared the work
    assert not list(tmp_path.rglob("*.part")) and len(list((tmp_path / "data" / "results" / ".locks").iterdir())) == 10
