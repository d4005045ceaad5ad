"""Runs and grids on a network so small that a run takes a fifth of a second: what is paired, chosen and read."""

import json

import pytest
import timm
import torch
from timm.models import save_for_hf

from ftlib import record, runs
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
    monkeypatch.setattr(record, "DATA", tmp_path)
    (tmp_path / "grids").mkdir()

    def write(**changes):
        def arm(name, lr):
            return {"rates": list(RATES), "phases": [{"strategy": [{name: {}}], "steps": 2, "lr": lr}]}

        after = arm("LinearProbe", "probe")
        after["phases"] += arm("Full", None)["phases"]
        plain = {"task": "digits/optical", "model": tiny, "options": {"n": 20, "size": 16}, "metric": "accuracy"}
        plain |= {"every": 1, "seeds": [0, 1], "tuning_seeds": [100]}
        plain |= {"arms": {"probe": arm("LinearProbe", None), "lp-ft": after}, **changes}
        (tmp_path / "grids" / "tiny.json").write_text(json.dumps([plain]))
        return plain

    return write


def test_a_grid_is_recorded_tuned_on_validation_and_resumed(grid):
    comparison = grid()
    first = runs.load_records(record.record("tiny", most=3))
    file = record.record("tiny")
    records, written = runs.load_records(file), file.stat().st_mtime_ns
    assert len(first) == 3 and records[:3] == first  # what was there was not run again
    assert len(records) == record.count(comparison) == 2 * (len(RATES) + 2)
    chosen = {}
    for arm in comparison["arms"]:
        tuned, measured = ([r for r in records if r["spec"]["arm"] == arm and r["spec"]["purpose"] == p]
                           for p in ("tune", "measure"))  # fmt: skip
        assert all(r["scores"].keys() == {"validation"} for r in tuned)
        assert all(r["scores"].keys() == {"validation", "test"} for r in measured)
        assert [len(r["curve"]) for r in measured] == [r["steps"] for r in measured]
        chosen[arm] = record.best_rate(tuned, "accuracy")
        assert [(r["spec"]["seed"], r["spec"]["phases"][-1]["lr"]) for r in measured] == [
            (seed, chosen[arm]) for seed in (0, 1)
        ]
    assert {r["spec"]["phases"][0]["lr"] for r in records if r["spec"]["arm"] == "lp-ft"} == {chosen["probe"]}
    assert record.record("tiny").stat().st_mtime_ns == written


def test_the_best_rate_is_the_best_mean_of_validation():
    def one(lr, seed, validation, test):
        phase = {"strategy": [], "steps": 1, "lr": lr}
        made = runs.Spec(arm="full", task="t", model="m", seed=seed, phases=[phase])
        scores = {"validation": {"accuracy": validation}, "test": {"accuracy": test}}
        return {"id": made.id, "spec": runs.asdict(made), "scores": scores, "steps": 1, "parameters": {}, "seconds": {},
                "memory": 0}  # fmt: skip

    lucky = [one(1e-3, 100, 0.9, 0.5), one(1e-3, 101, 0.5, 0.5)]
    best = [one(1e-2, 100, 0.8, 0.5), one(1e-2, 101, 0.8, 0.5)]
    tempting = [one(1e-1, 100, 0.6, 0.9), one(1e-1, 101, 0.6, 0.9)]
    assert record.best_rate(lucky + best + tempting, "accuracy") == 1e-2
    assert record.best_rate(tempting + [one(1e-4, 100, 0.6, 0.0)], "accuracy") == 1e-4  # of equals, the smallest


def test_an_unfair_grid_is_refused(grid):
    arms = grid()["arms"]
    grid(arms={**arms, "probe": {**arms["probe"], "rates": [1e-3]}})
    with pytest.raises(ValueError, match=r"every arm must search the same number of rates, but they search \[1, 2\]"):
        record.load_grid("tiny")
    grid(tuning_seeds=[1, 2])
    with pytest.raises(ValueError, match="seeds and tuning_seeds must not overlap"):
        record.load_grid("tiny")
    with pytest.raises(FileNotFoundError, match="there is no grid called 'huge': there are tiny"):
        record.load_grid("huge")


def test_arms_of_one_seed_start_at_the_same_point(tiny):
    """The split, the subset, the initialisation and the order come from the seed: the difference is the method's."""
    parts = {}
    for arm, seed in (("Full", 0), ("LayerRates", 0), ("Full", 1)):
        task, model = runs._start(spec(tiny, arm, seed=seed))
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


def test_the_test_split_is_read_once_or_there_is_no_record(tiny, tmp_path):
    peeking = spec(tiny, "Full")
    peeking.phases[0].data = {"train": "test"}
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
