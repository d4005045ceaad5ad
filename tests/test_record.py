"""Recording: rates are chosen fairly and on validation alone, what is recorded is never run again, nothing is lost."""

import errno
import json
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import pytest

from ftlib.evidence import grids, runs, sharing
from ftlib.evidence.runs import load_records, write_text
from ftlib.io import places

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
    monkeypatch.setattr(places, "ROOT", tmp_path)
    (tmp_path / "lessons" / "toy" / "grids").mkdir(parents=True)
    (tmp_path / "lessons" / "toy" / "grids" / "small.json").write_text(json.dumps([TWO]))
    return tmp_path


def fake(spec):
    """A record as `run` gives it, whose validation accuracy follows from the rate: the best is 0.01, then 0.0001."""
    value = {1e-2: 0.9, 1e-3: 0.6, 1e-4: 0.7}[spec.phases[-1].lr]
    scores = {split: {"accuracy": value} for split in spec.splits}
    rest = {"curve": [], "steps": 1, "parameters": {}, "seconds": {}, "memory": 0}  # and none of the rest
    return {"id": spec.id, "spec": asdict(spec), "scores": scores, **rest}


def test_a_grid_is_recorded_for_real_and_goes_on_where_it_stopped(data):
    out = grids.run_grid("small", most=2)
    first = out.read_text().splitlines()
    assert len(first) == 2
    out = grids.run_grid("small")
    lines = out.read_text().splitlines()
    assert lines[:2] == first and len(lines) == sum(map(grids.count, grids.load_grid("small"))) == 6
    assert all(json.loads(line)["spec"]["grid"] == "small" for line in lines)


def test_what_is_recorded_is_not_run_again(data, monkeypatch):
    ran = []
    monkeypatch.setattr(grids, "run", lambda spec: ran.append(spec.id) or fake(spec))
    before = grids.run_grid("small").read_text()
    assert len(ran) == len(set(ran)) == 6
    assert grids.run_grid("small").read_text() == before and len(ran) == 6


def test_rates_are_chosen_on_validation_with_other_seeds_and_reused_by_name(data, monkeypatch):
    specs = []
    monkeypatch.setattr(grids, "run", lambda spec: specs.append(spec) or fake(spec))
    grids.run_grid("small")
    tuning, measured = ([s for s in specs if s.purpose == p] for p in ("tune", "measure"))
    assert {s.seed for s in tuning} == {100} and {s.seed for s in measured} == {0}
    assert all(s.splits == ["validation"] for s in tuning) and all("test" in s.splits for s in measured)
    lp_ft = next(s for s in measured if s.arm == "lp-ft")
    assert [phase.lr for phase in lp_ft.phases] == [1e-2, 1e-4]  # the probe's chosen rate, then its own


def test_a_variant_takes_the_rate_of_another_arm_and_a_single_rate_is_not_searched(data, monkeypatch):
    variant = {**ARM, "rates": "probe"}
    given = {**ARM, "rates": [1e-4]}
    specs = []
    monkeypatch.setattr(grids, "run", lambda spec: specs.append(spec) or fake(spec))
    for name, arms in (("variant", {"first": variant, "probe": ARM}), ("given", {"probe": given})):
        (data / "lessons" / "toy" / "grids" / f"{name}.json").write_text(json.dumps([TWO | {"arms": arms}]))
        grids.run_grid(name)
    variant = [(s.arm, s.purpose, s.phases[0].lr) for s in specs if s.grid == "variant"]
    assert sorted(variant) == [("first", "measure", 1e-2), ("probe", "measure", 1e-2), ("probe", "tune", 1e-3),
                               ("probe", "tune", 1e-2)]  # fmt: skip
    assert [(s.purpose, s.phases[0].lr) for s in specs if s.grid == "given"] == [("measure", 1e-4)]
    assert [grids.count(comparison) for comparison in grids.load_grid("given")] == [1]


def test_rates_may_be_chosen_by_what_fits_the_training_data(data, monkeypatch):
    specs = []
    monkeypatch.setattr(grids, "run", lambda spec: specs.append(spec) or fake(spec))
    (data / "lessons" / "toy" / "grids" / "fit.json").write_text(
        json.dumps([TWO | {"metric": "train.accuracy", "arms": {"probe": ARM}}])
    )
    grids.run_grid("fit")
    assert [s.splits for s in specs if s.purpose == "tune"] == [["train"]] * 2
    assert specs[-1].splits == ["train", "validation", "test"] and specs[-1].phases[0].lr == 1e-2


def test_measured_runs_are_scored_beside_on_other_tasks(data, monkeypatch):
    (data / "lessons" / "toy" / "grids" / "small.json").write_text(
        json.dumps([{**TWO, "also_evaluate_on": ["digits/mnist:test"]}])
    )
    specs = []
    monkeypatch.setattr(grids, "run", lambda spec: specs.append(spec) or fake(spec))
    grids.run_grid("small")
    assert {tuple(s.splits) for s in specs if s.purpose == "tune"} == {("validation",)}
    assert {tuple(s.splits) for s in specs if s.purpose == "measure"} == {("validation", "test", "digits/mnist:test")}


def test_every_comparison_has_its_first_look_before_one_has_its_second(data, monkeypatch):
    probe = {"rates": [1e-3], "phases": ARM["phases"]}
    looked_at = {**TWO, "seeds": [200, 201, 202, 203], "looks": [2, 4], "arms": {"probe": probe, "again": probe}}
    grid = [looked_at, {**looked_at, "task": "digits/mnist"}]
    (data / "lessons" / "toy" / "grids" / "small.json").write_text(json.dumps(grid))

    def wanted(grid, task, options, looks, runs, arm):
        there = 0 if runs.empty else (runs.task == task).sum()
        return 2 if there < 4 else 4  # of two arms: nothing is decided at the first look

    monkeypatch.setattr(grids.confirm, "seeds_wanted", wanted)
    monkeypatch.setattr(grids, "run", lambda spec: seen.append((spec.task, spec.seed)) or fake(spec))
    seen = []
    grids.run_grid("small")
    looks = [("digits/optical", 200), ("digits/mnist", 200), ("digits/optical", 202), ("digits/mnist", 202)]
    assert seen[::4] == looks and len(seen) == 16


def test_two_processes_record_what_one_does(data):
    one = {r["id"]: r for r in map(json.loads, grids.run_grid("small").read_text().splitlines())}
    (data / "data" / "results" / "small.jsonl").unlink()
    two = {r["id"]: r for r in map(json.loads, grids.run_grid("small", jobs=2).read_text().splitlines())}
    assert set(one) == set(two) and {r["provenance"]["threads"] for r in two.values()} == {1}
    for name, record_ in one.items():
        assert two[name]["first_losses"] == pytest.approx(record_["first_losses"], abs=1e-3)


def test_a_write_that_dies_leaves_the_old_results(data, monkeypatch):
    monkeypatch.setattr(grids, "run", fake)
    before = grids.run_grid("small", most=3).read_text()

    def dies(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        grids.run_grid("small")
    assert (data / "data" / "results" / "small.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": [100]}, "seeds and tuning_seeds must not overlap"),
        ({"arms": {"probe": {**ARM, "rates": "full"}}}, "probe takes the rate of 'full', which must be one of no arm"),
        ({"arms": {"probe": ARM, "more": {**ARM, "rates": [1e-3]}}}, r"same number of rates, but they search \[1, 2\]"),
    ],
)
def test_an_unfair_grid_is_refused(data, change, words):
    (data / "lessons" / "toy" / "grids" / "small.json").write_text(json.dumps([deepcopy(TWO) | change]))
    with pytest.raises(ValueError, match=words):
        grids.run_grid("small")


def test_an_unknown_grid_names_the_known_ones(data):
    with pytest.raises(FileNotFoundError, match="there is no grid called 'large': there are small"):
        grids.run_grid("large")


def test_rates_can_be_chosen_by_what_a_strategy_measures_and_by_an_oracle(data, monkeypatch):
    """Without labels of a target ("DomainGauge.im"), and, to stand apart, with them ("elpv/poly:validation.auroc")."""

    def measured(spec):
        made, rate = fake(spec), spec.phases[0].lr
        made["scores"] = {split: {"auroc": 1 - rate, **values} for split, values in made["scores"].items()}
        return {**made, "measured": {"DomainGauge.im": 1 - rate}}

    monkeypatch.setattr(grids, "run", lambda spec: specs.append(spec) or measured(spec))
    for metric, tuned_on in (("DomainGauge.im", "validation"), ("elpv/poly:validation.auroc", "elpv/poly:validation")):
        specs = []
        phase = {**ARM["phases"][0], "strategy": [{"LinearProbe": {}}, {"DomainGauge": {}}]}
        comparison = TWO | {"metric": metric, "also_evaluate_on": ["elpv/poly:test"]}
        comparison["arms"] = {"probe": {**ARM, "phases": [phase]}}
        (data / "lessons" / "toy" / "grids" / "by.json").write_text(json.dumps([comparison]))
        grids.run_grid("by")
        tuning, (measure,) = ([s for s in specs if s.purpose == p] for p in ("tune", "measure"))
        assert all(s.splits == [tuned_on] for s in tuning) and measure.phases[0].lr == 1e-3  # fake alone says 0.01
        assert set(measure.splits) == {tuned_on, "validation", "test", "elpv/poly:test"}
        (data / "data" / "results" / "by.jsonl").unlink()


# What a file must not hold


def grid_file(data, text: str):
    file = data / "lessons" / "toy" / "grids" / "small.json"
    file.write_text(text, encoding="utf-8")
    return file


def changed(change) -> str:
    """The small grid after `change` (a function that changes the comparison), as text."""
    change(comparison := deepcopy(TWO))
    return json.dumps([comparison])


PHASE = ("arms", "lp-ft", "phases", 1)


def put(*where, **values):
    """A function that sets values at a place in a comparison."""

    def change(comparison):
        for step in where:
            comparison = comparison[step]
        comparison.update(values)

    return change


def also(splits):
    """A function that names splits on which a comparison's runs are scored too."""
    return put(also_evaluate_on=splits)


BAD_GRIDS = {
    "precison": (put(precison="bfloat16"), "comparison 1: there is no key 'precison' here, the nearest known one is "
                                           "'precision'"),
    "job": (put(job=1), "comparison 1: there is no key 'job' here, the nearest known one is 'jobs'"),
    "also": (put(also_evaluated_on=[]), "there is no key 'also_evaluated_on' here, the nearest known one is "
                                        "'also_evaluate_on'"),
    "rate": (put("arms", "probe", rate=[1e-3]), "comparison 1, arm 'probe': there is no key 'rate' here, the nearest "
                                                "known one is 'rates'"),
    "step": (put(*PHASE, step=3), "comparison 1, arm 'lp-ft', phase 2: there is no key 'step' here, the nearest known "
                                  "one is 'steps'"),
    "steps in words": (put(*PHASE, steps="3"), "arm 'lp-ft', phase 2: steps should be a valid integer, but it is '3'"),
    "a missing key": (lambda c: c.pop("every"), "comparison 1: the key 'every' is missing"),
    "a rate of 0": (put("arms", "probe", rates=[0.0, 1e-2]), "arm 'probe': rate 1 should be greater than 0"),
    "a rate in words": (put("arms", "probe", rates=["1e-3", 1e-2]), "rate 1 should be a valid number, but it is '1e"),
    "a rate that is no number": (put("arms", "probe", rates=[float("nan"), 1e-2]), "rate 1 should be a finite number"),
    "a rate twice": (put("arms", "probe", rates=[1e-2, 1e-2]), "rates holds 0.01 twice"),
    "no rates": (put("arms", "probe", rates=[]), "arm 'probe': rates should .* at least 1 item"),
    "a seed below 0": (put(seeds=[-1]), "comparison 1: seed 1 should be greater than or equal to 0, but it is -1"),
    "a seed too large": (put(seeds=[2**40]), "seed 1 should be less than or equal to 4294967295"),
    "a seed in words": (put(seeds=["a"]), "seed 1 should be a valid integer, but it is 'a'"),
    "half a seed": (put(seeds=[1.5]), "seed 1 should be a valid integer"),
    "a seed twice": (put(seeds=[1, 1]), "comparison 1: seeds holds 1 twice: each is run once"),
    "no tuning seeds": (put(tuning_seeds=[]), "rates are searched, but tuning_seeds is empty"),
    "precision": (put(precision="float16"), "precision should be 'auto', 'float32' or 'bfloat16', but it is 'float16'"),
    "no metric": (put(metric=""), "metric should have at least 1 character"),
    "metric": (put(metric="acuracy"), "no record has the metric 'acuracy', the nearest known one is 'accuracy'"),
    "metric of train": (put(metric="train.acuracy"), "no record has the metric 'acuracy'"),
    "a split": (put(metric="validaton.accuracy"), "'validaton' is neither a split nor a strategy of this arm: the "
                                                  "nearest known one is 'validation'"),
    "chosen on test": (put(metric="test.accuracy"), "rates must not be chosen on the test split"),
    "chosen on another test": (put(metric="digits/mnist:test.accuracy"), "rates must not be chosen on the test split"),
    "an option of fit": (put(*PHASE, fit={"acumulate": 2}), "phase 2: fit has no option 'acumulate' for a phase, the "
                                                            "nearest known one is 'accumulate'"),
    "an option that is the grid's": (put(*PHASE, fit={"steps": 2}), "fit has no option 'steps' for a phase"),
    "an option in words": (put(*PHASE, fit={"max_norm": "1"}), "max_norm.* should be a valid number, but it is '1'"),
    "patience": (put(every=0, arms={"probe": {**ARM, "phases": [{**ARM["phases"][0], "fit": {"patience": 2}}]}}),
                 "comparison 1, arm 'probe': a phase with patience needs validations to watch: set `every`"),
    "strategy": (put(*PHASE, strategy=[{"LinearProb": {}}]), "arm 'lp-ft': no strategy is called 'LinearProb'"),
    "knob": (put(*PHASE, strategy=[{"L2SP": {"alfa": 1}}]), "arm 'lp-ft': L2SP does not take these knobs"),
    "beside": (also(["digits/mnist:tset"]), "'digits/mnist:tset' names no split: the nearest known one to 'tset' "
                                                  "is 'test'"),
    "task beside": (also(["digits/mnits:test"]), "there is no task 'digits/mnits': the nearest known one to "
                                                       "'digits/mnits' is 'digits/mnist'"),
    "corruption beside": (also(["digits/mnist+nois4:test"]), "the nearest known one to 'nois4' is 'noise4'"),
    "beside twice": (also(["digits/optical:test"]), "the split 'test' is listed twice: each is read once"),
    "trained on test": (put(*PHASE, data={"train": "test"}), "phase 2 would train on the test split"),
    "task": (put(task="digits/opticle"), "there is no task 'digits/opticle'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_GRIDS)
def test_a_grid_that_could_not_be_recorded_as_it_is_meant_is_refused_before_the_first_run(data, monkeypatch, kind):
    change, words = BAD_GRIDS[kind]
    file = grid_file(data, changed(change))
    monkeypatch.setattr(grids, "run", None)
    with pytest.raises(ValueError, match=words) as raised:
        grids.run_grid("small")
    assert str(raised.value).startswith(f"{file}, comparison 1") and "\n" not in str(raised.value)
    assert not (data / "data" / "results" / "small.jsonl").exists()


def test_an_arm_that_stands_twice_is_refused_and_does_not_replace_the_first(data):
    arm = json.dumps(ARM)
    text = json.dumps([TWO | {"arms": {}}]).replace('"arms": {}', f'"arms": {{"probe": {arm}, "probe": {arm}}}')
    file = grid_file(data, text)
    with pytest.raises(ValueError, match=f"{file}: the key 'probe' stands twice in one place"):
        grids.load_grid("small")


def test_every_grid_of_the_kit_can_be_read(monkeypatch):
    names = sorted(places.grids())
    assert len(names) > 30 and all(grids.load_grid(name) for name in names)


def test_a_metric_of_another_kind_of_task_is_refused_before_the_first_run(data, monkeypatch):
    monkeypatch.setattr(grids, "run", None)
    grid_file(data, changed(put(metric="exact_match")))
    with pytest.raises(ValueError, match="'exact_match' is not one of a classification, which digits/optical is"):
        grids.run_grid("small")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.5", None])
def test_a_run_without_a_number_to_be_chosen_by_is_not_recorded_without_a_word(data, monkeypatch, value):
    def broken(spec):
        made = fake(spec)
        if spec.phases[-1].lr == 1e-2:
            made["scores"]["validation"]["accuracy"] = value
        return made

    monkeypatch.setattr(grids, "run", broken)
    words = r"validation.accuracy of the arm 'probe' on digits/optical, seed 100, rate 0.01, is .*: the run is not"
    with pytest.raises(ValueError, match=words):
        grids.run_grid("small")
    assert len((data / "data" / "results" / "small.jsonl").read_text().splitlines()) == 1  # the one before it
    tuned = [fake(s) for s in grids.specs("small", grids.load_grid("small")[0], {}) if s.arm == "probe"]
    tuned[1]["scores"]["validation"]["accuracy"] = float("nan")
    with pytest.raises(
        ValueError, match=r"no rate can be chosen by validation.accuracy: 1 of 2 runs \(the first: probe"
    ):
        grids.best_rate(tuned, "accuracy")
    with pytest.raises(ValueError, match="no rate can be chosen by validation.auroc: 2 of 2 runs"):
        grids.best_rate(tuned, "auroc")


def test_a_measured_run_without_a_score_on_test_is_refused(data, monkeypatch):
    def broken(spec):
        made = fake(spec)
        made["scores"].get("test", {}).update(accuracy=float("nan"))
        return made

    monkeypatch.setattr(grids, "run", broken)
    with pytest.raises(ValueError, match="test.accuracy of the arm 'probe' on digits/optical, seed 0"):
        grids.run_grid("small")


@pytest.mark.parametrize(("words", "most", "jobs"), [("most", -1, 1), ("most", 1.5, 1), ("jobs", None, 0)])
def test_a_number_of_runs_that_cannot_be_is_refused(data, words, most, jobs):
    with pytest.raises(ValueError, match=f"{words} must be a whole number of at least"):
        grids.run_grid("small", most, jobs)


# Results that are broken


def half(lines):
    return [lines[0], lines[1][:200], *lines[2:]]


def merged(lines):
    return [lines[0], "<<<<<<< HEAD", lines[1], "=======", lines[2], ">>>>>>> other", *lines[3:]]


def unknown_key(lines):
    return [lines[0].replace('"curve"', '"curv"'), *lines[1:]]


def words_for_a_score(lines):
    return [lines[0], lines[1].replace('{"accuracy": 0.9}', '{"accuracy": "0.9"}'), *lines[2:]]


def misspelt_spec(lines):
    return [lines[0], lines[1], lines[2].replace('"purpose"', '"porpose"'), *lines[3:]]


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (
            half,
            r"line 2, is not whole JSON \(.*\): delete the line, then `make record GRID=small` makes what is missing",
        ),
        (merged, "line 2, holds the mark of a merge: keep what both sides wrote and delete the marks"),
        (
            lambda lines: ["\ufeff" + lines[0], *lines[1:]],
            "line 1, begins with a byte order mark: save it as UTF-8 with",
        ),
        (unknown_key, "line 1: there is no key 'curv' here, the nearest known one is 'curve'"),
        (words_for_a_score, "line 2, score 'validation': score 'accuracy' should be a valid number, but it is '0.9'"),
        (misspelt_spec, "line 3, spec: there is no key 'porpose' here, the nearest known one is 'purpose'"),
        (lambda lines: ["[]", *lines], "line 1: it should be a dictionary, but it is"),
    ],
    ids=["half", "merge", "mark", "key", "score", "spec", "list"],
)
def test_a_broken_results_file_is_named_with_its_line_and_what_to_do(data, monkeypatch, break_it, words):
    monkeypatch.setattr(grids, "run", fake)
    file = grids.run_grid("small")
    file.write_text("\n".join(break_it(file.read_text().splitlines())) + "\n", encoding="utf-8")
    before = file.read_bytes()
    with pytest.raises(ValueError, match=words) as raised:
        load_records(file)
    assert str(raised.value).startswith(str(file)) and "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=words):
        grids.run_grid("small")
    assert file.read_bytes() == before


def test_a_file_in_another_encoding_is_named(tmp_path):
    (file := tmp_path / "a.jsonl").write_bytes("{}".encode("utf-16"))
    with pytest.raises(ValueError, match=f"{file} is not a text in UTF-8"):
        load_records(file)


def test_a_folder_with_a_part_of_a_write_can_be_read_and_recording_clears_it(data, monkeypatch):
    monkeypatch.setattr(grids, "run", fake)
    file = grids.run_grid("small", most=3)
    (left := file.with_name("small.jsonl.123.part")).write_text('{"id": "ha')
    assert len(load_records(file.parent)) == 3
    grids.run_grid("small")
    assert not left.exists() and len(load_records(file.parent)) == 6


def test_a_full_disk_leaves_what_was_there_and_nothing_else(data, monkeypatch):
    monkeypatch.setattr(grids, "run", fake)
    file = grids.run_grid("small", most=3)
    before = file.read_bytes()
    write = Path.write_text

    def full(self, text, **more):
        write(self, text[: len(text) // 2], **more)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=f"{file} could not be written .No space left on device.: it is as it was before"):
        write_text(file, "x" * 100)
    assert file.read_bytes() == before and not list(file.parent.glob("*.part"))


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_first_run(data, monkeypatch):
    def refuse(*args, **more):
        raise PermissionError(errno.EACCES, "Permission denied")

    spec = todo(data)[0]
    for module, name in ((grids, "run"), (runs, "_execute"), (Path, "write_text")):
        monkeypatch.setattr(module, name, refuse if module is Path else None)
    words = r"cannot be written to \(Permission denied\): nothing was run, since its record would be lost"
    with pytest.raises(PermissionError, match=f"results {words}"):
        grids.run_grid("small")
    with pytest.raises(PermissionError, match=f"folder {words}"):
        runs.run(spec, data / "folder")


def test_what_is_complete_is_read_without_a_write(data, monkeypatch):
    monkeypatch.setattr(grids, "run", fake)
    file = grids.run_grid("small")
    monkeypatch.setattr(sharing, "FileLock", None)
    assert grids.run_grid("small") == file


# Several processes


def todo(data) -> list:
    """The specs of the small grid that can be run at first."""
    return list(grids.specs("small", grids.load_grid("small")[0], {}))


def results(data) -> sharing.Results:
    (data / "data" / "results").mkdir(parents=True, exist_ok=True)
    return sharing.Results(data / "data" / "results" / "small.jsonl")


def test_a_record_is_added_to_what_others_wrote_meanwhile(data):
    one, other = results(data), results(data)
    first, second, *_ = todo(data)
    one.must_be_writable()
    assert one.read() == other.read() == {}
    assert next(one.claim([first, second])).id == first.id
    assert next(other.claim([first, second])).id == second.id  # the first is taken
    other.add(fake(second))
    one.add(fake(first))
    assert [r["id"] for r in load_records(one.file)] == [second.id, first.id]
    assert not list(one.claim([first, second])) and not list(other.claim([first, second]))
    assert [f.name for f in one.locks.iterdir()] == ["small.lock"]


def test_what_another_process_runs_is_waited_for_and_not_run_here(data, monkeypatch):
    other, ran, slept = results(data), [], []
    taken = todo(data)[0]
    other.must_be_writable()
    assert [next(other.claim([taken])).id] == [taken.id]

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            other.add(fake(taken))

    monkeypatch.setattr(grids.time, "sleep", sleep)
    monkeypatch.setattr(grids, "run", lambda spec: ran.append(spec.id) or fake(spec))
    file = grids.run_grid("small")
    assert len(load_records(file)) == 6 and len(ran) == 5 and taken.id not in ran and len(slept) == 3


def test_the_run_of_a_process_that_was_killed_is_free_again(data):
    mine = results(data)
    spec = todo(data)[0]
    mine.must_be_writable()
    hold = (
        "import sys, time, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True)"
    )
    words = [sys.executable, "-c", f"{hold}; time.sleep(99)", str(mine.locks / f"small.{spec.id}")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n" and not list(mine.claim([spec]))
        holder.kill()
    assert [s.id for s in mine.claim([spec])] == [spec.id]


def test_a_run_that_fails_is_free_again(data, monkeypatch):
    def fails(spec):
        raise FloatingPointError("step 3")

    monkeypatch.setattr(grids, "run", fails)
    with pytest.raises(FloatingPointError) as kept:  # as a notebook keeps it, and with it all that was alive
        grids.run_grid("small")
    monkeypatch.setattr(grids, "run", fake)
    monkeypatch.setattr(grids.time, "sleep", None)  # nobody is waited for
    assert kept and len(load_records(grids.run_grid("small"))) == 6
