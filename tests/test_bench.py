"""The benchmark's arithmetic, its resuming and its files; without the frameworks that it compares."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from torch import nn

from bench import augmentation, cases, lessons, other, peers, report
from bench.cases import BATCH, BF16, CASES, OURS, PEERS, PLAIN, WAYS
from bench.work import Examples, Net, Work
from ftlib.models.depthwise import Depthwise, use_fast_depthwise
from ftlib.strategies.augmentation import Flip
from ftlib.tasks.task import Split, Task
from test_setup import PINS
from toy import eye

ROOT = Path(__file__).resolve().parent.parent
ORIGIN = {
    "versions": dict.fromkeys(("torch", "torchvision", "transformers", "pytorch-lightning", "fastai"), "2.1"),
    "device": "cpu", "threads": 2, "date": "2026-01-01", "gflops": {"float32": 90.0, "bfloat16": 300.0},
}  # fmt: skip


def row(case="head", table="plain", number=0, who=OURS, seconds=1.0, score=0.7, fraction=1.0) -> dict:
    return {
        "case": case, "table": table, "round": number, "who": who, "fraction": fraction, "examples": 100, "steps": 4,
        "seconds": seconds, "metric": "balanced_accuracy", "score": score, "provenance": ORIGIN,
    }  # fmt: skip


def block(case="head", table="plain", number=0, times=20.0, fraction=1.0, **more) -> list[dict]:
    """Ours in 1 + number seconds, everyone else in `times` as many."""
    ours = 1.0 + number
    seconds = {OURS: ours, **dict.fromkeys(PEERS, times * ours), **{who: t * ours for who, t in more.items()}}
    return [row(case, table, number, who, s, fraction=fraction) for who, s in seconds.items()]


# -- ratios, spread, goals -----------------------------------------------------------------------------------
def test_a_ratio_is_of_the_same_round_and_the_median_is_quoted_with_its_range():
    rows = block(number=0, times=20) + block(number=1, times=30) + block(number=2, times=22)
    ours, found = report.compared(rows, "head", "plain")
    assert [one["seconds"] for one in ours] == [1, 2, 3]
    assert found["fastai"].ratios == [20, 30, 22] and found["fastai"].ratio == 22
    assert report.spread(found["fastai"].ratios) == "22.00 (20.00 to 30.00)"
    assert report.spread([1.5]) == "1.50"


@pytest.mark.parametrize(("times", "fastai", "wanted"), [(20, 20, []), (20, 19.9, ["fastai"]), (1, 30, [*PEERS[:2]])])
def test_a_goal_is_met_against_each_peer_or_not(times, fastai, wanted):
    found = report.compared(block(times=times, fastai=fastai), "head", "plain")[1]
    assert list(report.failed("head", "plain", found)) == wanted
    line = next(
        line for line in report.speed(block(times=times, fastai=fastai), "plain").splitlines() if "20 ep" in line
    )
    assert line.endswith("| yes |") == (not wanted) and all(who in line.split("|")[-2] for who in wanted)


def test_trainer_with_bf16_has_a_goal_of_its_own():
    rows = block("text", times=3.1, **{BF16: 2.1})
    assert report.failed("text", "plain", report.compared(rows, "text", "plain")[1]) == {}
    assert "| Trainer, bf16 |" in report.speed(rows, "plain") and BF16 not in report.speed(block("text"), "plain")
    assert BF16 in cases.competitors("text", "plain", True) and BF16 not in cases.competitors("text", "plain", False)
    assert BF16 not in cases.competitors("text", "tuned", True) + cases.competitors("head", "plain", True)


def test_every_case_has_a_goal_in_both_tables_and_never_less_than_as_fast():
    assert all(set(case.goals) == set(cases.TABLES) and min(case.goals.values()) >= 1 for case in CASES.values())


def test_the_two_tables_do_not_mix():
    page = report.render(block(table="plain", times=40) + block(table="tuned", times=1.2))
    plain, tuned = page.split("## Table b")
    assert "40.00" in plain and "1.20" not in plain
    assert "1.20" in tuned and "40.00" not in tuned and "no: Trainer 1.20" in tuned


def test_only_complete_blocks_of_the_largest_share_count():
    rows = block(number=0) + block(number=1)[:-1] + block(number=0, times=5, fraction=0.1)
    ours, found = report.compared(rows, "head", "plain")
    assert len(ours) == 1 and found["Trainer"].ratios == [20]


def test_a_score_is_compared_by_pairs_and_noise_is_no_difference():
    rows = []
    for number, noise in enumerate((0.0, 0.01, -0.01)):
        rows += [row(number=number, score=0.7 + 0.1 * number)]
        rows += [row(number=number, who="Trainer", score=0.7 + 0.1 * number + noise)]
        rows += [row(number=number, who="Lightning", score=0.75 + 0.1 * number + noise / 10)]
        rows += [row(number=number, who="fastai", score=0.6 + 0.1 * number + noise / 10)]
    found = report.compared(rows, "head", "plain")[1]
    assert {who: one.better for who, one in found.items()} == {"Trainer": False, "Lightning": True, "fastai": False}
    assert report.score(found["Lightning"]).startswith("0.850 (+0.050 ± 0.00")
    assert "no: Lightning higher" in report.quality(rows, "plain")
    assert report.failed("head", "plain", found)["Lightning"] == "1.00"  # too slow already
    assert report.failed("head", "plain", {"Lightning": replace(found["Lightning"], ratios=[30])}) == {
        "Lightning": "scores higher"
    }
    assert "one round only" in report.quality(block(), "plain")


# -- resuming ------------------------------------------------------------------------------------------------
def test_what_is_there_is_skipped_and_a_block_that_was_interrupted_is_measured_as_a_whole():
    rows = block("head", number=0) + block("half", number=0)[:2] + block("head", number=1, fraction=0.5)
    todo = cases.missing(rows, ["half", "head"], ["plain"], rounds=2, fraction=1.0, has_bf16=True)
    assert todo == [("half", "plain", 0), ("half", "plain", 1), ("head", "plain", 1)]
    assert cases.missing(block("text"), ["text"], ["plain"], 1, 1.0, has_bf16=True) == [("text", "plain", 0)]
    assert cases.missing(block("text"), ["text"], ["plain"], 1, 1.0, has_bf16=False) == []


def test_of_a_block_that_was_measured_twice_the_later_rows_count():
    found = cases.blocks(block(times=3) + block(times=9))
    assert found["head", "plain", 0, 1.0]["fastai"]["seconds"] == 9


def test_a_line_that_a_killed_process_left_unfinished_is_no_row(tmp_path):
    file = tmp_path / "results.jsonl"
    assert cases.read(file) == []
    cases.append({"a": 1}, file)
    file.write_text(file.read_text() + '{"a": 2, "b')
    cases.append({"a": 3}, file)
    assert cases.read(file) == [{"a": 1}, {"a": 3}]


def test_the_benchmark_goes_on_where_it_was_and_takes_turns(tmp_path, monkeypatch, capsys):
    measured = []

    def measure(who, case, table, number, fraction):
        if len(measured) == 6:
            raise KeyboardInterrupt
        measured.append((number, who))
        return row(case, table, number, who, fraction=fraction)

    monkeypatch.setattr(peers, "measure", measure)
    monkeypatch.setattr(peers, "prepare", lambda *work: SimpleNamespace(start=None))
    monkeypatch.setattr(peers, "where", lambda model: ORIGIN)
    asked = ["--results", str(tmp_path / "results.jsonl"), "--cases", "head", "--only", "tuned", "--rounds", "2"]
    with pytest.raises(KeyboardInterrupt):
        peers.main(asked)
    first, begun = measured[:4], measured[4:]
    assert sorted(first) == sorted((0, who) for who in (OURS, *PEERS)) and [i for i, _ in begun] == [1, 1]
    measured.clear()
    peers.main(asked)
    assert sorted(measured) == sorted((1, who) for who in (OURS, *PEERS)) and measured[:2] == begun
    assert [who for _, who in measured] != [who for _, who in first]  # another order each round
    measured.clear()
    peers.main(asked)
    assert measured == [] and "has been measured" in capsys.readouterr().out


def test_rows_of_another_machine_are_not_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "prepare", lambda *work: SimpleNamespace(start=None))
    monkeypatch.setattr(peers, "where", lambda model: ORIGIN | {"threads": 8})
    cases.append(row(), tmp_path / "results.jsonl")
    with pytest.raises(SystemExit, match="another machine"):
        peers.main(["--results", str(tmp_path / "results.jsonl")])


# -- augmentation --------------------------------------------------------------------------------------------
def epochs(size=96, number=0, fraction=1.0, **seconds) -> list[dict]:
    """An epoch of each way: 10 seconds without augmentation, and twice as many for who is not named."""
    seconds = {PLAIN: 10.0, **dict.fromkeys(WAYS[1:], 20.0), **seconds}
    return [
        {"augmented": way, "size": size, "round": number, "fraction": fraction, "examples": 64, "steps": 2,
         "seconds": s, "data": s / 10, "alone": 40.0 if way in ("ours", "torchvision") else None, "provenance": ORIGIN}
        for way, s in seconds.items()
    ]  # fmt: skip


def cells_of(page: str, size: int, way: str) -> list[str]:
    """The cells of a row in the table of augmentation."""
    (line,) = (line for line in page.splitlines() if line.startswith(f"| {size} px | {way} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_an_epoch_with_augmentation_is_divided_by_one_without_of_the_same_round():
    rows = epochs(ours=12.0) + epochs(number=1, ours=14.0, none=20.0) + epochs(number=2, ours=13.0)
    rows += epochs(number=3, fraction=0.1, ours=90.0) + epochs(number=4, ours=90.0)[:-1] + epochs(size=32, ours=13.2)
    page = report.render(rows)
    assert "Not measured yet" in page.split("## What augmentation costs")[0]
    assert cells_of(page, 96, "ours")[2:] == [
        "13.00 (12.00 to 14.00)", "1.30 (1.20 to 1.40)", "1.20 (0.70 to 1.30)", "40 (40 to 40)", "at most 1.3", "yes",
    ]  # fmt: skip
    assert cells_of(page, 96, "torchvision, 2 workers")[4:] == ["2.00 (1.00 to 2.00)", "–", "–", "–"]
    assert cells_of(page, 96, PLAIN)[4] == "1.00 (1.00 to 1.00)" and cells_of(page, 32, "ours")[-1] == "no"
    assert "is met at 96 px (1.20), missed at 32 px (1.32)." in page and "torchvision 2.1; rounds: 3" in page


def small(seed: int = 0) -> Work:
    """The case with a toy network, on 70 made-up cells of 8 x 8 pixels."""
    random = np.random.default_rng(seed)
    pixels, labels = torch.from_numpy(random.integers(0, 256, (70, 1, 8, 8), np.uint8)), torch.arange(70) % 2
    task, model = Task("small", "image", ["a", "b"], "accuracy", {"train": Split(pixels, labels, 2)}), eye()
    model.tokenizer = None  # as a model of pictures has it
    return Work(CASES["vision"], seed, task, model, Examples(task.loader("train").dataset), 1)


def test_every_way_of_augmenting_trains_an_epoch_and_the_benchmark_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    """The whole of it, on a toy network: loaders with processes of their own, `fit`, rows, the table."""
    asked_for = []
    monkeypatch.setattr(augmentation, "prepare", lambda *work, size: asked_for.append(size) or small())
    monkeypatch.setattr(augmentation, "where", lambda model, frameworks: ORIGIN)
    monkeypatch.setattr(augmentation, "REPEATS", 2)
    file = tmp_path / "results.jsonl"
    asked = ["--results", str(file), "--sizes", "8", "--rounds", "1", "--fraction", "0.1"]
    augmentation.main([*asked, "--cases", "head"])
    assert cases.read(file) == [] and "is left out" in capsys.readouterr().out
    augmentation.main(asked)
    rows = cases.read(file)
    assert sorted(row["augmented"] for row in rows) == sorted(WAYS) and set(asked_for) == {8}
    assert all((row["examples"], row["steps"], row["fraction"]) == (70, 3, 0.1) for row in rows)
    assert all(0 <= row["data"] <= row["seconds"] and row["provenance"] == ORIGIN for row in rows)
    assert {row["augmented"] for row in rows if row["alone"]} == {"ours", "torchvision"}
    assert len(cells_of(report.render(rows), 8, "ours")) == 8
    augmentation.main(asked)
    assert cases.read(file) == rows and "has been measured" in capsys.readouterr().out
    monkeypatch.setattr(augmentation, "where", lambda model, frameworks: ORIGIN | {"threads": 8})
    with pytest.raises(SystemExit, match="another machine"):
        augmentation.main([*asked, "--rounds", "2"])


@pytest.mark.parametrize("way", WAYS)
def test_every_way_sees_every_cell_once_and_changes_it_if_it_says_so(way):
    work = small()
    strategy, stored = augmentation.ours(), work.task.splits["train"].inputs.float() / 255
    batches = list(augmentation.loader_of(way, work))
    assert [len(batch["labels"]) for batch in batches] == [BATCH, BATCH, 70 - 2 * BATCH]
    assert sum(int(batch["labels"].sum()) for batch in batches) == 35
    pixels = torch.cat([(strategy.transform(batch) if way == "ours" else batch)["pixels"] for batch in batches])
    assert pixels.shape == stored.shape and pixels.dtype == torch.float32
    kept = sum((picture == stored).flatten(1).all(1).any().item() for picture in pixels)
    assert kept == 70 if way.startswith(PLAIN) else kept == 0


def test_torchvision_gets_our_knobs_and_a_changed_policy_is_not_passed_over():
    flips, crop, turn, jitter, erasing = (augmentation.by_torchvision(augmentation.ours(), 8).transforms[i]
                                          for i in (0, 2, 3, 4, 6))  # fmt: skip
    assert flips.p == 0.5 and crop.scale == [0.6, 1.0] and crop.ratio == [3 / 4, 4 / 3] and turn.degrees == [-5, 5]
    assert jitter.brightness == jitter.contrast == (0.8, 1.2) and not jitter.saturation
    assert erasing.p == 0.5 and erasing.scale == [0.02, 0.33] and erasing.value is None  # noise
    with pytest.raises(ValueError, match="changed by ColorJitter, Crop, RandomErasing, Rotation: say what torchvision"):
        augmentation.by_torchvision(Flip(), 8)


# -- the page and the files ----------------------------------------------------------------------------------
def test_the_page_shows_what_was_measured():
    page = report.PAGE.read_text(encoding="utf-8")
    assert report.updated(page, cases.read(), cases.read(cases.WITHOUT)) == page, (
        "call bench/report.py: docs/benchmarks.md is out of date"
    )
    new = report.updated(page, block() + [other.row("import ftlib", 0.25, "s", 0.5)])
    assert new.split(report.BEGIN)[0] == page.split(report.BEGIN)[0]
    assert new.split(report.END)[1] == page.split(report.END)[1]
    assert "| import ftlib | 0.25 s | at most 0.5 s | yes |" in new
    with pytest.raises(ValueError, match="lost the comments"):
        report.updated("a page", [])


def test_the_small_measurements_work_on_few_runs(monkeypatch):
    monkeypatch.setattr(other, "RECORDS", 160)
    monkeypatch.setattr(other, "ROUNDS", 1)
    found = other.tables()
    assert [one["goal"] for one in found] == [None, 1, 1] and all(one["value"] > 0 for one in found)
    assert other.import_seconds("ftlib") > 0


def test_make_lists_the_benchmark_and_clean_removes_its_environment():
    makefile = (ROOT / "Makefile").read_text()
    assert "bench" in re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    assert re.search(r"^clean:.*\n\trm -rf .*\.venv-bench\b", makefile, re.M)
    assert ".venv-bench/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_frameworks_are_pinned_and_are_not_the_kits():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    pinned = [Requirement(text) for text in groups["bench"]]
    names = {canonicalize_name(one.name) for one in pinned}
    assert {"pytorch-lightning", "fastai"} <= names and not names & set(PINS)
    assert all(re.fullmatch(r"==[\w.]+", str(one.specifier)) for one in pinned)


# -- the network as the peers get it -------------------------------------------------------------------------
class Staged(nn.Module):
    """Three stages with BatchNorm."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(3))
        self.head = nn.Linear(4, 2)

    def forward_to(self, k, batch):
        h = batch["x"]
        for stage in self.stages[:k]:
            h = stage(h)
        return h

    def forward_from(self, k, h, batch):
        for stage in self.stages[k:]:
            h = stage(h)
        return self.head(h)


@pytest.mark.parametrize("tuned", [False, True])
def test_frozen_stages_of_tuned_peers_stand_still_whatever_a_trainer_calls(tuned):
    work, model = SimpleNamespace(case=SimpleNamespace(frozen=2), text=True), Staged()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    net = Net(work, model, tuned)
    net.eval()
    net.train()
    net({"x": torch.randn(8, 4)}).sum().backward()
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    learns = {name.split(".")[1] for name, p in model.stages.named_parameters(prefix="stages") if p.grad is not None}
    assert learns == {"2"} and model.head.weight.grad is not None
    assert {name.split(".")[1] for name in moved} == ({"2"} if tuned else {"0", "1", "2"})  # BatchNorm's statistics


def test_peers_have_pytorchs_own_convolutions():
    work, model = SimpleNamespace(case=SimpleNamespace(frozen=0), text=False), Staged()
    model.stages[0] = use_fast_depthwise(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)))
    assert type(model.stages[0][0]) is Depthwise
    assert type(Net(work, model, tuned=True).model.stages[0][0]) is nn.Conv2d


# -- the lessons ---------------------------------------------------------------------------------------------
LESSON = """# %% [markdown]
# # A lesson
# ## 1. What works
# %%
1 + 1
# %% [markdown]
# ## 2. What fails
# %%
raise ValueError("no such thing")
# %% tags=["raises-exception"]
raise ValueError("as it should")
# %%
import time; time.sleep(0.2)
"""


def test_a_lesson_that_fails_is_run_to_its_end_and_what_failed_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "lessons"))
    (tmp_path / "09_none.py").write_text(LESSON)
    found = lessons.run(tmp_path / "09_none.py", tmp_path / "kept")
    assert found["lesson"] == "09_none" and found["failed"] == ["2. What fails: ValueError: no such thing"]
    assert found["slowest"][0][0] == "2. What fails" and 0.2 <= found["slowest"][0][1] <= found["seconds"]
    assert (tmp_path / "kept" / "09_none.ipynb").exists()


def test_a_kernel_that_dies_is_noted(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "lessons"))
    (tmp_path / "09_none.py").write_text("# %%\n1\n# %%\nimport os; os._exit(1)\n")
    assert lessons.run(tmp_path / "09_none.py")["failed"] == ["code cell 2: Kernel died"]


def test_each_computer_has_its_table_and_the_later_run_counts():
    row = {
        "lesson": "01_full",
        "seconds": 20.4,
        "slowest": [["2. It", 11.0]],
        "failed": ["2. It: oh"],
        "profile": "full",
    }
    row |= {"at_a_time": 1, "provenance": ORIGIN}
    text = report.lessons([row, row | {"seconds": 19.2, "failed": []}, row | {"profile": "quick", "at_a_time": 4}])
    assert "cpu, profile full, one lesson at a time; torch 2.1; 2026-01-01." in text and "4 lessons at a time" in text
    assert "| 01_full | 19 | 2. It, 11 s | – |" in text and "| 01_full | 20 | 2. It, 11 s | 2. It |" in text
    assert report.lessons([]) == "Not measured yet."
