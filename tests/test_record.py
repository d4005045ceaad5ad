"""Recording: rates are chosen fairly and on validation alone, what is recorded is never run again, nothing is lost."""

import json
import os
from copy import deepcopy
from dataclasses import asdict

import pytest

from ftlib import record

ARM = {"rates": [1e-3, 1e-2], "phases": [{"strategy": [{"LinearProbe": {}}], "steps": 1, "lr": None}]}
TWO = {
    "task": "digits/optical", "model": "efficientnet-lite0", "options": {"n": 20, "size": 32}, "metric": "accuracy",
    "every": 1, "seeds": [0], "tuning_seeds": [100],
    "arms": {"probe": ARM, "lp-ft": {"rates": [1e-4, 1e-3], "phases": [
        {"strategy": [{"LinearProbe": {}}], "steps": 1, "lr": "probe"}, {"strategy": [], "steps": 1, "lr": None}]}},
}  # fmt: skip


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with one small grid."""
    monkeypatch.setattr(record, "DATA", tmp_path)
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "small.json").write_text(json.dumps([TWO]))
    return tmp_path


def fake(spec):
    """A record as `run` gives it, whose validation accuracy follows from the rate: the best is 0.01, then 0.0001."""
    value = {1e-2: 0.9, 1e-3: 0.6, 1e-4: 0.7}[spec.phases[-1].lr]
    scores = {split: {"accuracy": value} for split in spec.splits}
    rest = {"curve": [], "steps": 1, "parameters": {}, "seconds": {}, "memory": 0}
    return {"id": spec.id, "spec": asdict(spec), "scores": scores, **rest}


def test_a_grid_is_recorded_for_real_and_goes_on_where_it_stopped(data):
    out = record.record("small", most=2)
    first = out.read_text().splitlines()
    assert len(first) == 2
    out = record.record("small")
    lines = out.read_text().splitlines()
    assert lines[:2] == first and len(lines) == record.count(TWO) == 6
    assert all(json.loads(line)["spec"]["grid"] == "small" for line in lines)


def test_what_is_recorded_is_not_run_again(data, monkeypatch):
    ran = []
    monkeypatch.setattr(record, "run", lambda spec: ran.append(spec.id) or fake(spec))
    before = record.record("small").read_text()
    assert len(ran) == len(set(ran)) == 6
    assert record.record("small").read_text() == before and len(ran) == 6


def test_rates_are_chosen_on_validation_with_other_seeds_and_reused_by_name(data, monkeypatch):
    specs = []
    monkeypatch.setattr(record, "run", lambda spec: specs.append(spec) or fake(spec))
    record.record("small")
    tuning, measured = ([s for s in specs if s.purpose == p] for p in ("tune", "measure"))
    assert {s.seed for s in tuning} == {100} and {s.seed for s in measured} == {0}
    assert all(s.splits == ["validation"] for s in tuning) and all("test" in s.splits for s in measured)
    lp_ft = next(s for s in measured if s.arm == "lp-ft")
    assert [phase.lr for phase in lp_ft.phases] == [1e-2, 1e-4]  # the probe's chosen rate, then its own


def test_a_variant_takes_the_rate_of_another_arm_and_a_single_rate_is_not_searched(data, monkeypatch):
    variant = {**ARM, "rates": "probe"}
    given = {**ARM, "rates": [1e-4]}
    specs = []
    monkeypatch.setattr(record, "run", lambda spec: specs.append(spec) or fake(spec))
    for name, arms in (("variant", {"first": variant, "probe": ARM}), ("given", {"probe": given})):
        (data / "grids" / f"{name}.json").write_text(json.dumps([TWO | {"arms": arms}]))
        record.record(name)
    variant = [(s.arm, s.purpose, s.phases[0].lr) for s in specs if s.grid == "variant"]
    assert sorted(variant) == [("first", "measure", 1e-2), ("probe", "measure", 1e-2), ("probe", "tune", 1e-3),
                               ("probe", "tune", 1e-2)]  # fmt: skip
    assert [(s.purpose, s.phases[0].lr) for s in specs if s.grid == "given"] == [("measure", 1e-4)]
    assert record.count(TWO | {"arms": {"first": variant, "probe": given}} | {"arms": {"probe": given}}) == 1


def test_rates_may_be_chosen_by_what_fits_the_training_data(data, monkeypatch):
    specs = []
    monkeypatch.setattr(record, "run", lambda spec: specs.append(spec) or fake(spec))
    (data / "grids" / "fit.json").write_text(json.dumps([TWO | {"metric": "train.accuracy", "arms": {"probe": ARM}}]))
    record.record("fit")
    assert [s.splits for s in specs if s.purpose == "tune"] == [["train"]] * 2
    assert specs[-1].splits == ["train", "validation", "test"] and specs[-1].phases[0].lr == 1e-2


def test_measured_runs_are_scored_beside_on_other_tasks(data, monkeypatch):
    (data / "grids" / "small.json").write_text(json.dumps([{**TWO, "beside": ["digits/mnist:test"]}]))
    specs = []
    monkeypatch.setattr(record, "run", lambda spec: specs.append(spec) or fake(spec))
    record.record("small")
    assert {tuple(s.splits) for s in specs if s.purpose == "tune"} == {("validation",)}
    assert {tuple(s.splits) for s in specs if s.purpose == "measure"} == {("validation", "test", "digits/mnist:test")}


def test_two_processes_record_what_one_does(data):
    one = {r["id"]: r for r in map(json.loads, record.record("small").read_text().splitlines())}
    (data / "results" / "small.jsonl").unlink()
    two = {r["id"]: r for r in map(json.loads, record.record("small", jobs=2).read_text().splitlines())}
    assert set(one) == set(two) and {r["provenance"]["threads"] for r in two.values()} == {1}
    for name, record_ in one.items():
        assert two[name]["first_losses"] == pytest.approx(record_["first_losses"], abs=1e-3)


def test_a_write_that_dies_leaves_the_old_results(data, monkeypatch):
    monkeypatch.setattr(record, "run", fake)
    before = record.record("small", most=3).read_text()

    def dies(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        record.record("small")
    assert (data / "results" / "small.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": [100]}, "seeds and tuning_seeds must not overlap"),
        ({"arms": {"probe": {**ARM, "rates": "full"}}}, "probe takes the rate of 'full', which must be one of no arm"),
        ({"arms": {"probe": ARM, "more": {**ARM, "rates": [1e-3]}}}, r"same number of rates, but they search \[1, 2\]"),
    ],
)
def test_an_unfair_grid_is_refused(data, change, words):
    (data / "grids" / "small.json").write_text(json.dumps([deepcopy(TWO) | change]))
    with pytest.raises(ValueError, match=words):
        record.record("small")


def test_an_unknown_grid_names_the_known_ones(data):
    with pytest.raises(FileNotFoundError, match="there is no grid called 'large': there are small"):
        record.record("large")


def test_rates_can_be_chosen_by_what_a_strategy_measures_and_by_an_oracle(data, monkeypatch):
    """Without labels of a target ("DomainGauge.im"), and, to stand apart, with them ("elpv/poly:validation.auroc")."""

    def measured(spec):
        made, rate = fake(spec), spec.phases[0].lr
        made["scores"] = {split: {"auroc": 1 - rate, **values} for split, values in made["scores"].items()}
        return {**made, "measured": {"DomainGauge.im": 1 - rate}}

    monkeypatch.setattr(record, "run", lambda spec: specs.append(spec) or measured(spec))
    for metric, tuned_on in (("DomainGauge.im", "validation"), ("elpv/poly:validation.auroc", "elpv/poly:validation")):
        specs = []
        comparison = TWO | {"metric": metric, "arms": {"probe": ARM}, "beside": ["elpv/poly:test"]}
        (data / "grids" / "by.json").write_text(json.dumps([comparison]))
        record.record("by")
        tuning, (measure,) = ([s for s in specs if s.purpose == p] for p in ("tune", "measure"))
        assert all(s.splits == [tuned_on] for s in tuning) and measure.phases[0].lr == 1e-3  # fake alone says 0.01
        assert set(measure.splits) == {tuned_on, "validation", "test", "elpv/poly:test"}
        (data / "results" / "by.jsonl").unlink()
