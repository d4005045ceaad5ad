"""Replicating: what decides a claim is run anew with the recorded rates, judged by the same rule, and written down."""

import json
import shutil
from dataclasses import asdict

import pytest

from ftlib.__main__ import main
from ftlib.evidence import claims, grids, replicate
from ftlib.io import places

PROBE = {"rates": [1e-3, 1e-2], "phases": [{"strategy": [{"LinearProbe": {}}], "steps": 1, "lr": None}]}
TWO_PHASES = [{"strategy": [{"LinearProbe": {}}], "steps": 1, "lr": "probe"}, {"strategy": [], "steps": 1, "lr": None}]
ARMS = {
    "probe": PROBE,
    "lp-ft": {"rates": [1e-4, 1e-3], "phases": TWO_PHASES},
    "still": {"rates": "probe", "phases": [{"strategy": [{"LinearProbe": {}}], "steps": 0, "lr": None}]},
}
COMMON = {
    "model": "efficientnet-lite0", "options": {"n": 20, "size": 32, "held_out": 20}, "metric": "accuracy", "every": 1,
    "seeds": [0, 1, 2, 3, 4, 5, 6], "tuning_seeds": [100], "arms": ARMS,
}  # fmt: skip
GRID = [{"task": task, **COMMON} for task in ("digits/optical", "digits/mnist")]
CLAIM = {
    "id": "T1", "lesson": "toy", "sentence": "Two phases are better.", "rule": "Higher by .05.", "prior": "so.",
    "grid": "small", "filter": "purpose == 'measure'", "by": "difference", "margin": 0.05, "direction": "higher",
    "metric": {"digits/optical": "test.accuracy"}, "contrast": {"arm": "lp-ft", "baseline": "probe"},
    "also": [{"contrast": {"arm": "still", "baseline": "probe"}}],
}  # fmt: skip
GAIN = {"probe": 0.0, "lp-ft": 0.2, "still": -0.1}


class Machine:
    """Runs specs in no time: an arm's gain, something of each seed, and a rate that is best for each arm."""

    def __init__(self, gain: dict):
        self.gain, self.ran = gain, []

    def __call__(self, spec):
        self.ran.append(spec)
        rate = {1e-2: 0.0, 1e-4: 0.0}.get(spec.phases[-1].lr, -0.05)
        value = 0.5 + self.gain[spec.arm] + 0.01 * (spec.seed % 7) * (1 + self.gain[spec.arm]) + rate
        made = {"commit": "abc", "date": "2026-01-01"}
        scores = {split: {"accuracy": value, "nll": 1.0} for split in spec.splits}
        return {"id": spec.id, "spec": asdict(spec), "scores": scores,
                "curve": [{"step": 1, "nll": 1.0}], "steps": 1, "parameters": {}, "seconds": {"training": 60.0},
                "memory": 0, "measured": {}, "provenance": made}  # fmt: skip


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A data folder with a recorded grid and three claims; what replicating writes lies beside it."""
    monkeypatch.setattr(places, "ROOT", tmp_path)
    monkeypatch.setattr(grids, "run", Machine(GAIN))
    for name, at in (("RUNS", "build"), ("ROWS", "data/rows.json"), ("PAGE", "docs/page.md")):
        monkeypatch.setattr(replicate, name, tmp_path / at)
    unclear = CLAIM | {"id": "T2", "margin": 0.206}
    other = CLAIM | {"id": "T3", "grid": "never"}
    replicate.write(tmp_path / "lessons" / "toy" / "grids" / "small.json", GRID)
    replicate.write(tmp_path / "lessons" / "toy" / "grids" / "never.json", GRID)
    for claim in (CLAIM, unclear, other):
        replicate.write(tmp_path / "lessons" / "toy" / "claims" / f"{claim['id']}.json", claim)
    grids.run_grid("small")
    return tmp_path


def test_decided_claims_are_found_and_only_what_decides_them_is_run_at_the_recorded_rates(kit, monkeypatch):
    assert replicate.decided() == ["T1"]  # T2 is undecided, T3 is not recorded
    here = Machine(GAIN | {"lp-ft": 0.3})
    monkeypatch.setattr(grids, "run", here)
    said = []
    (row,) = replicate.replicate(log=said.append)
    assert {(s.task, s.arm, s.seed, s.purpose) for s in here.ran} == {
        ("digits/optical", arm, seed, "measure") for arm in ("probe", "lp-ft") for seed in range(6)
    }
    recorded = {r["id"] for r in replicate.load_records(kit / "data" / "results" / "small.jsonl")}
    assert len(here.ran) == 12 and {s.id for s in here.ran} <= recorded  # the very runs, so their rates as well
    assert {tuple(p.lr for p in s.phases) for s in here.ran} == {(1e-2,), (1e-2, 1e-4)}
    assert said[0].startswith("T1: 12 runs, of which 0 are there; the others trained for 12 minutes")
    (contrast,) = row["contrasts"]
    was, now = contrast["recorded"], contrast["here"]
    assert (row["recorded"], row["here"], was["seeds"], now["seeds"]) == ("supported", "supported", 7, 6)
    assert was["effect"] == pytest.approx(0.206) and now["effect"] == pytest.approx(0.3075)
    assert row["processor"] == replicate.place()["processor"] and (row["commit"], row["date"]) == ("abc", "2026-01-01")
    assert kit == places.ROOT


def test_it_goes_on_where_it_stopped_and_other_code_begins_anew(kit, monkeypatch):
    here = Machine(GAIN)

    def dies(spec):
        if len(here.ran) == 5:
            raise KeyboardInterrupt
        return here(spec)

    monkeypatch.setattr(grids, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        replicate.replicate(["T1"], log=lambda words: None)
    assert kit == places.ROOT and not replicate.PAGE.exists()
    monkeypatch.setattr(grids, "run", here)
    said = []
    replicate.replicate(["T1"], log=said.append)
    assert len(here.ran) == 12 and "12 runs, of which 5 are there; the others trained for 7 minutes" in said[0]
    replicate.replicate(["T1"], log=lambda words: None)
    assert len(here.ran) == 12
    replicate.replicate(["T1"], seeds=7, log=lambda words: None)
    assert len(here.ran) == 14
    monkeypatch.setattr(replicate, "code", lambda: "another")
    replicate.replicate(["T1"], log=lambda words: None)
    assert len(here.ran) == 26


def test_a_verdict_that_does_not_hold_is_shown_and_gives_status_1(kit, monkeypatch, capsys):
    assert main(["replicate"]) == 0
    monkeypatch.setattr(grids, "run", Machine(GAIN | {"lp-ft": -0.2}))
    place = replicate.place() | {"threads": 64}
    monkeypatch.setattr(replicate, "place", lambda: place)
    assert main(["replicate", "T1"]) == 1
    assert "T1: supported by the records, contradicted here" in capsys.readouterr().out
    text = replicate.PAGE.read_text()
    assert text.count("\n## ") == 2 and "64 threads" in text  # a table for each machine
    assert "supported → contradicted" in text and "supported → supported" in text
    assert "1 of 1 verdicts hold" in text and "0 of 1 verdicts hold" in text
    assert "| T1 | digits/optical | lp-ft − probe, test.accuracy | +0.206 [+0.202, +0.210], 7 seeds | -0.20" in text
    assert main(["replicate"]) == 1 and len(json.loads(replicate.ROWS.read_text())) == 2  # in the older row's place


def test_what_cannot_be_replicated_is_said_before_anything_is_run(kit, monkeypatch, capsys):
    monkeypatch.setattr(grids, "run", None)
    for words, sentence in (
        (["T2"], "leave T2 undecided, so no verdict can be compared: the decided claims are T1"),
        (["T9"], "there is no claim 'T9'"),
        (["T3"], "claim T3 needs"),
        (["T1", "--seeds", "5"], "a verdict needs 6 seeds, but seeds is 5"),
    ):
        assert main(["replicate", *words]) == 1
        assert sentence in capsys.readouterr().err
    assert not replicate.RUNS.exists() and not replicate.PAGE.exists()


def test_it_runs_for_real(kit, monkeypatch):
    """And on the machine that recorded, every number is the same."""
    monkeypatch.undo()
    monkeypatch.setattr(places, "ROOT", kit)
    for name, at in (("RUNS", "build"), ("ROWS", "data/rows.json"), ("PAGE", "docs/page.md")):
        monkeypatch.setattr(replicate, name, kit / at)
    (kit / "data" / "results" / "small.jsonl").unlink()
    # trained for a step at a rate far too high, and not trained at all: that is decided
    far = {"rates": [1.0], "phases": [{"strategy": [{"LinearProbe": {}}], "steps": 1, "lr": None}]}
    grid = [GRID[0] | {"arms": {"probe": far, "lp-ft": {**far, "rates": [1e-9]}}, "seeds": list(range(6)), "every": 0}]
    replicate.write(kit / "lessons" / "toy" / "grids" / "small.json", grid)
    claim = CLAIM | {"metric": {"digits/optical": "test.nll"}, "direction": "lower", "also": []}
    replicate.write(kit / "lessons" / "toy" / "claims" / "T1.json", claim)
    grids.run_grid("small")
    assert claims.judge("T1").verdict == "supported"
    (row,) = replicate.replicate(["T1"], log=lambda words: None)
    assert row["here"] == "supported" and row["contrasts"][0]["recorded"] == row["contrasts"][0]["here"]
    shutil.rmtree(replicate.RUNS)


def test_a_claim_about_seconds_asks_for_a_quiet_computer():
    assert "let nothing else run" in replicate.about_seconds("Z1")
    assert "let nothing else run" in replicate.about_seconds("F4")
    assert replicate.about_seconds("A1") == ""


@pytest.mark.parametrize("name", sorted(places.claims()))
def test_the_runs_that_decide_a_claim_are_enough_to_judge_it(name, tmp_path):
    """Each claim, with all its seeds, judged from nothing but the recorded runs that replicating would repeat."""
    wanted = claims.judge(name)
    records = replicate.prepare(name, tmp_path, seeds=100)
    assert 0 < len({r["id"] for r in records}) == len(records)
    for grid in tmp_path.glob("lessons/*/grids/*.json"):
        lines = [json.dumps(r) + "\n" for r in records if r["spec"]["grid"] == grid.stem]
        (tmp_path / "data" / "results").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "results" / f"{grid.stem}.jsonl").write_text("".join(lines))
    with replicate.data(tmp_path):
        found = claims.judge(name)
    assert found.verdict == wanted.verdict
    columns = ["task", "effect", "low", "high", "seeds", "verdict"]
    mine, theirs = (c.rows[c.rows.decides][columns].reset_index(drop=True) for c in (found, wanted))
    assert mine.equals(theirs)


def test_the_page_in_the_repository_is_that_of_its_rows():
    assert replicate.PAGE.read_text(encoding="utf-8") == replicate.page(json.loads(replicate.ROWS.read_text()))
