"""Own data: what belongs together stays together, a seed repeats everywhere, records know their data."""

import json
import os
import shutil
import subprocess
import sys
import unicodedata
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ftlib
from ftlib import assets, metrics, plots, strategies, tasks
from ftlib.evidence import runs, side_by_side
from ftlib.evidence.spec import parts_of_split
from ftlib.strategies.augmentation import policy, unsafe
from ftlib.tasks import own
from ftlib.tasks.report import Report, Row

LITE = "efficientnet-lite0"


def draw(file: Path, number: int = 0, mode: str = "RGB", side: tuple[int, int] = (20, 16)) -> Path:
    """Write an image that no other number has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (side[1], side[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(file)
    return file


def photos(folder: Path, classes=("cat", "dog"), each: int = 10) -> Path:
    for k, name in enumerate(classes):
        for i in range(each):
            draw(folder / name / f"{i}.png", 1000 * k + i)
    return folder


def load(folder: Path, **options) -> tasks.Task:
    return tasks.load("folder", path=folder, **{"size": 16, **options})


def files(task: tasks.Task) -> dict[str, list[str]]:
    return {split: part.columns["file"] for split, part in task.splits.items()}


def test_a_folder_of_classes_becomes_three_splits_with_all_classes(tmp_path):
    task = load(photos(tmp_path, ("cat", "dog", "emu"), 8), seed=3)
    assert task.labels == ["cat", "dog", "emu"] and task.kind == "image" and task.metric == "balanced_accuracy"
    assert {split: len(part) for split, part in task.splits.items()} == {"train": 15, "validation": 3, "test": 6}
    assert task.lacking == {} and task.splits["train"].inputs.shape[1:] == (3, 16, 16)
    for part in task.splits.values():
        assert [task.labels[k] for k in part.labels] == [name.split("/")[0] for name in part.columns["file"]]
    assert task.name == f"folder:{tmp_path}" and str(task.report) == "24 of 24 images are used."


def test_small_classes_are_in_every_split(tmp_path):
    """Two big classes and one of three: left to luck, validation would miss it in most seeds."""
    photos(tmp_path, ("a", "b"), 15)
    photos(tmp_path, ("rare",), 3)
    for seed in range(12):
        assert load(tmp_path, seed=seed).lacking == {}


def test_a_class_that_cannot_be_split_is_for_training_and_that_is_said(tmp_path):
    photos(tmp_path, ("a", "b"), 10)
    photos(tmp_path, ("one",), 2)
    with pytest.warns(UserWarning, match="has no example of one"):
        task = load(tmp_path)
    assert [f for split in ("validation", "test") for f in files(task)[split] if f.startswith("one")] == []
    assert "Class 'one' has fewer than 3 separate examples, so all of it is in train." in str(task.report)


def test_the_users_own_splits_are_kept_and_missing_ones_cut_from_train(tmp_path):
    for number, part in enumerate(("train", "val", "TEST")):
        for k, name in enumerate(("cat", "dog")):
            for i in range(6):
                draw(tmp_path / part / name / f"{part}{i}.png", 100 * number + 10 * k + i)
    task = load(tmp_path)
    assert {s: {f.split("/")[0] for f in names} for s, names in files(task).items()} == {
        "train": {"train"}, "validation": {"val"}, "test": {"TEST"},
    }  # fmt: skip
    shutil.rmtree(tmp_path / "val")
    task = load(tmp_path, seed=2)
    assert len(task.splits["test"]) == 12 and len(task.splits["validation"]) == 2 and task.lacking == {}
    assert {f.split("/")[0] for f in files(task)["validation"]} == {"train"}
    (tmp_path / "val").mkdir()
    draw(tmp_path / "extra" / "cat" / "0.png", 5)
    with pytest.raises(ValueError, match="holds TEST, train beside 'extra': keep only folders called train"):
        load(tmp_path)
    shutil.rmtree(tmp_path / "extra")
    (tmp_path / "train").rename(tmp_path / "validation")
    with pytest.raises(ValueError, match="holds TEST, validation and no train: add a folder called train"):
        load(tmp_path)


def test_a_train_split_of_one_class_is_refused(tmp_path):
    for number, place in enumerate(("train/cat", "val/cat", "val/dog", "test/cat", "test/dog")):
        for i in range(6):
            draw(tmp_path / place / f"{i}.png", 10 * number + i)
    with pytest.raises(ValueError, match="has only 'cat' in train, so nothing can be learned: put other classes"):
        load(tmp_path)


def test_many_missing_classes_are_counted(tmp_path):
    for k in range(40):
        draw(tmp_path / f"c{k}" / "0.png", k)
        draw(tmp_path / f"c{k % 4}" / "more" / f"{k}.png", 100 + k)
    with pytest.warns(UserWarning, match="test of .* has no example of (c[0-9]+, ){9}c[0-9]+ and 26 more, so its"):
        load(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    assert load(photos(tmp_path, ("bus", "train"))).labels == ["bus", "train"]


def test_groups_and_duplicates_never_have_two_sides(tmp_path):
    for number in range(40):
        name = ("cat", "dog")[number % 2]
        draw(tmp_path / name / f"patient{number // 5}-{number}.png", number)
    shutil.copy(tmp_path / "cat" / "patient0-0.png", tmp_path / "cat" / "patient7-copy.png")  # joins 0 and 7
    Image.open(tmp_path / "dog" / "patient1-5.png").save(tmp_path / "dog" / "patient6-copy.tiff")  # the same pixels
    for seed in range(8):
        task = load(tmp_path, seed=seed, group=r"patient(\d+)")
        side = {}
        for split, names in files(task).items():
            for name in names:
                side.setdefault(name.partition("patient")[2].partition("-")[0], set()).add(split)
        assert len(side) == 8 and all(len(splits) == 1 for splits in side.values())
        assert side["0"] == side["7"] and side["1"] == side["6"]
    assert task.report.noticed == {"duplicate": 2} and not task.report.left_out
    groups = [set(part.groups.tolist()) for part in task.splits.values()]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    with pytest.raises(ValueError, match="is found in no path: the first one is 'cat/patient0-0.png'"):
        load(tmp_path, group="person")
    with pytest.raises(ValueError, match="is no regular expression"):
        load(tmp_path, group="(")


def test_what_is_tested_is_not_learned_from_in_the_users_own_splits(tmp_path):
    for number, part in enumerate(("train", "validation", "test")):
        photos(tmp_path / part, each=6)
        for k, name in enumerate(("cat", "dog")):
            for i in range(6):
                draw(tmp_path / part / name / f"{i}.png", 100 * number + 10 * k + i)
    shutil.copy(tmp_path / "test" / "cat" / "0.png", tmp_path / "train" / "cat" / "leak.png")
    with pytest.warns(UserWarning, match=r"train/cat/leak.png: it is in test too, as test/cat/0.png"):
        task = load(tmp_path)
    assert "train/cat/leak.png" not in files(task)["train"] and len(task.splits["test"]) == 12
    with pytest.raises(ValueError, match="the group '0' is in test and train"):
        load(tmp_path, group=r"/(\d)\.png")


def test_components_join_by_groups_and_contents():
    rows = [
        Row("", None, content=(c,), group=g) for c, g in (("a", "x"), ("b", "x"), ("b", "y"), ("c", ""), ("d", "y"))
    ]
    assert own.components(rows).tolist() == [0, 0, 0, 3, 0]
    assert own.components([Row("", None), Row("", None)]).tolist() == [0, 1]


def test_equal_content_with_two_labels_is_kept_and_said(tmp_path):
    photos(tmp_path)
    shutil.copy(tmp_path / "cat" / "3.png", tmp_path / "dog" / "again.png")
    task = load(tmp_path)
    assert task.report.noticed == {"same content, two labels": 1} and task.report.used == 21
    assert "labelled 'dog' and there 'cat'" in task.report.problems.problem[0]


SPLITS = """
import json, sys, os, random
if sys.argv[2] == "shuffled":
    walk = os.walk
    def mixed(*args, **more):
        for folder, below, names in walk(*args, **more):
            random.Random(7).shuffle(below); random.Random(8).shuffle(names)
            yield folder, below, names
    os.walk = mixed
from ftlib import tasks
task = tasks.load("folder", path=sys.argv[1], seed=5, size=16, n=9)
print(json.dumps([task.digest, {k: s.columns["file"] for k, s in task.splits.items()}]))
"""


def test_a_seed_gives_the_same_split_in_another_process_and_whatever_the_folder_order(tmp_path):
    photos(tmp_path, ("Ärger", "cat", "Zebra"), 9)
    here = load(tmp_path, seed=5, n=9)
    for way in ("plain", "shuffled"):
        out = subprocess.run(
            [sys.executable, "-c", SPLITS, str(tmp_path), way],
            capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C", "PYTHONHASHSEED": "7"},
        )  # fmt: skip
        assert json.loads(out.stdout) == [here.digest, files(here)]
    assert files(load(tmp_path, seed=6, n=9)) != files(here)


def test_the_unicode_form_of_a_name_changes_nothing(tmp_path):
    """macOS may store é as two characters."""
    made = {}
    for form in ("NFC", "NFD"):
        folder = tmp_path / form
        for k, name in enumerate(("caf\u00e9", "cafz", "tea")):
            for i in range(8):
                draw(folder / unicodedata.normalize(form, name) / f"{i}.png", 10 * k + i)
        made[form] = load(folder, seed=1)
    assert made["NFC"].labels == made["NFD"].labels and made["NFC"].digest == made["NFD"].digest
    for split in tasks.SPLITS:
        assert made["NFC"].splits[split].index.tolist() == made["NFD"].splits[split].index.tolist()


def test_a_digest_is_of_the_content_and_not_of_seed_or_subset(tmp_path):
    photos(tmp_path)
    first = load(tmp_path).digest
    assert len(first) == 64 and load(tmp_path, seed=4, n=5, size=24).digest == first
    moved = shutil.copytree(tmp_path, tmp_path.parent / "moved")
    assert load(moved).digest == first
    (moved / "cat" / "3.png").rename(moved / "dog" / "33.png")
    assert load(moved).digest != first


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path, monkeypatch):
    photos(tmp_path)
    before, calls = load(tmp_path), []
    real = tasks.folder.images.read
    monkeypatch.setattr(tasks.folder.images, "read", lambda *args: calls.append(args) or real(*args))
    load(tmp_path, seed=1)
    assert calls == []
    draw(tmp_path / "cat" / "0.png", 999)
    os.utime(tmp_path / "cat" / "0.png", (1, 1))
    assert load(tmp_path).digest != before.digest and len(calls) == 20


# ---- names, specs and records


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("folder:photos", ("folder", "photos", "")),
        ("folder:C:\\my photos\\a+b", ("folder", "C:\\my photos\\a+b", "")),
        ("folder:/a/b+noise3", ("folder", "/a/b", "noise3")),
        ("table:data/x.csv", ("table", "data/x.csv", "")),
        ("chats:c:d.jsonl", ("chats", "c:d.jsonl", "")),
        ("elpv/mono+blur2", ("elpv", "mono", "blur2")),
    ],
)
def test_a_name_is_taken_apart(name, parts):
    assert tasks.parse(name) == parts
    assert parts_of_split(f"{name}:train") == (name, "train", [])
    assert parts_of_split(f"{name}:train:8+2") == (name, "train", [8, 2])
    phase = ftlib.Phase([], steps=1, lr=1.0, data={"train": "train", "target": f"{name}:train"})
    assert ftlib.Spec("a", name, LITE, 0, [phase]).task == name


@pytest.mark.parametrize(
    ("task", "more", "sentence"),
    [
        ("folder", {}, "folder needs a path"),
        ("foldr:x", {}, "there is no task 'foldr:x'"),
        ("folder:x", {"options": {"path": "y"}}, "path is no option of a Spec: write it into the task"),
        (
            "folder:x",
            {"splits": ["validation", "folder:C:\\y:tset"]},
            "names no split: the nearest known one to 'tset'",
        ),
    ],
)
def test_a_spec_refuses_what_no_task_is_called(task, more, sentence):
    with pytest.raises(ValueError, match=sentence.replace("\\", "\\\\")):
        ftlib.Spec("a", task, LITE, 0, [], **more)


def test_a_corruption_may_stand_behind_a_path(tmp_path):
    clean, noisy = load(photos(tmp_path)), tasks.load(f"folder:{tmp_path}+noise3", size=16)
    assert noisy.name.endswith("+noise3") and not torch.equal(clean.splits["test"].inputs, noisy.splits["test"].inputs)


def test_a_spec_by_name_runs_and_its_record_knows_the_data(tmp_path, monkeypatch):
    photos(tmp_path / "photos", each=8)
    monkeypatch.chdir(tmp_path)
    phase = ftlib.Phase([{"LinearProbe": {}}], steps=1, lr=1e-3, batch_size=4)
    spec = ftlib.Spec("probe", "folder:photos", LITE, 0, [phase], {"size": 16, "n": 6})
    record = ftlib.run(spec, tmp_path / "kept")
    digest = tasks.load("folder:photos", size=16).digest
    assert record["provenance"]["data"] == {"folder:photos": digest} and 0 <= record["scores"]["test"]["accuracy"] <= 1
    assert ftlib.run(spec, tmp_path / "kept") == record
    assert ftlib.load_runs(tmp_path / "kept").task.tolist() == ["folder:photos"]
    draw(tmp_path / "photos" / "cat" / "new.png", 77)
    with pytest.raises(ValueError, match="was run on other data: folder:photos has changed since then"):
        ftlib.run(spec, tmp_path / "kept")
    other = ftlib.Spec("probe", "folder:photos", LITE, 1, [phase], {"size": 16, "n": 6})
    ftlib.run(other, tmp_path / "kept")
    with pytest.raises(ValueError, match="was run on other data: folder:photos has changed"):
        ftlib.load_records(tmp_path / "kept")


def test_the_kits_own_tasks_have_no_digest_in_their_records():
    spec = ftlib.Spec("probe", "digits/mnist", LITE, 0, [])
    assert runs.own_data(spec) == {}


def test_strategies_are_compared_in_one_call_and_kept(tmp_path):
    photos(tmp_path / "photos", each=8)
    file, name = tmp_path / "runs.jsonl", f"folder:{tmp_path / 'photos'}"
    arms = {"full": [], "probe": ["LinearProbe"]}
    more = {"model": LITE, "steps": 1, "batch_size": 4, "options": {"size": 16}, "keep": file, "verbose": False}
    found = ftlib.compare_strategies(name, arms, seeds=[0, 1], **more)
    assert found[["arm", "seed"]].values.tolist() == [["full", 0], ["full", 1], ["probe", 0], ["probe", 1]]
    assert ftlib.table(found, "test.balanced_accuracy", "probe").seeds.tolist() == [2, 2]
    assert "Dot plot" in plots.scores(found, "test.balanced_accuracy").alt
    lines = file.read_text().splitlines()
    assert len(lines) == 4 and not list(tmp_path.glob("*.part"))
    again = ftlib.compare_strategies(name, arms, seeds=[0, 1, 2], **more)
    assert len(again) == 6 and file.read_text().splitlines()[:4] == lines
    assert found.id.tolist() == again[again.seed < 2].id.tolist()
    draw(tmp_path / "photos" / "cat" / "new.png", 77)
    with pytest.raises(ValueError, match=r"runs\.jsonl: the run .* was run on other data"):
        ftlib.compare_strategies(name, arms, seeds=[0], **more)


def test_each_arm_searches_its_rate_on_other_seeds(tmp_path):
    photos(tmp_path / "photos", each=8)
    file = tmp_path / "runs.jsonl"
    found = ftlib.compare_strategies(
        f"folder:{tmp_path / 'photos'}", {"probe": ["LinearProbe"]}, model=LITE, seeds=[0], steps=1, lr=[1e-3, 1e-1],
        batch_size=4, options={"size": 16}, keep=file, verbose=False,
    )  # fmt: skip
    kept = ftlib.load_runs(file)
    tuned = kept[kept.purpose == "tune"]
    assert Counter(tuned.lr) == {1e-3: 2, 1e-1: 2} and not set(tuned.seed) & {0} and len(found) == 1
    assert not any(column.startswith("test.") for column in tuned.dropna(axis=1).columns)


def test_an_arm_may_be_written_in_four_ways():
    probe, lora = strategies.LinearProbe(), strategies.LoRA(r=4)
    both = side_by_side._written([probe, lora])
    assert [list(one) for one in both] == [["LinearProbe"], ["LoRA"]] and both[1]["LoRA"]["r"] == 4
    assert side_by_side._written(probe) == both[:1] and side_by_side._written("LinearProbe") == [{"LinearProbe": {}}]
    assert side_by_side._written({"LoRA": {"r": 4}}) == [{"LoRA": {"r": 4}}]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"arms": []}, "arms must be a dict of strategies by name"),
        ({"arms": {"a": ["LinaerProbe"]}}, "LinearProbe"),
        ({"lr": {"b": 1.0}}, r"lr names the arms \['b'\], but they are \['a'\]"),
        ({"lr": -1}, "lr must be a finite number above 0"),
        ({"seeds": []}, "seeds is empty"),
        ({"keep": "runs.csv"}, "keep must name a file that ends in .jsonl"),
        ({"task": "digitz/mnist"}, "there is no task"),
        ({"task": 5}, "task must be a name, such as 'folder:PATH', not int"),
        ({"options": {"sise": 16}}, "digits has no option sise.*did you mean 'size'"),
        ({"metric": "acuracy"}, "did you mean|nearest"),
    ],
)
def test_a_comparison_that_cannot_be_run_is_refused(change, sentence):
    given = {"task": "digits/mnist", "arms": {"a": ["LinearProbe"]}, "model": LITE, "verbose": False} | change
    with pytest.raises((ValueError, KeyError), match=sentence):
        ftlib.compare_strategies(given.pop("task"), given.pop("arms"), **given)


# ---- what is safe, and what is shown


def test_what_is_safe_is_asked_of_the_user(tmp_path):
    photos(tmp_path)
    for nobody in (load(tmp_path), f"folder:{tmp_path}"):
        with pytest.raises(ValueError, match="only you know which changes keep the labels of folder:.* true"):
            policy(nobody)
    task = load(tmp_path, safe=["vertical", "rotation", "crop"])
    assert policy(task) == [
        {"Flip": {"horizontal": False, "vertical": True, "turn": False}}, {"Crop": {}}, {"Rotation": {"degrees": 15.0}}
    ]  # fmt: skip
    assert unsafe(strategies.build(policy(task)), task) == []
    (sentence,) = unsafe(strategies.Flip(), task)
    assert "may change the labels" in sentence and "horizontal" in sentence
    (sentence,) = unsafe(strategies.ColorJitter(), task)
    assert "'colour' is not among what is safe" in sentence
    assert unsafe(strategies.Rotation(20.0), task) and policy(load(tmp_path, safe=[])) == []
    with pytest.raises(ValueError, match="safe must be one of 'horizontal'.*not 'flip'"):
        load(tmp_path, safe=["flip"])
    with pytest.raises(ValueError, match="safe must be a list of"):
        load(tmp_path, safe="crop")


def test_examples_are_shown_class_by_class_and_never_of_test(tmp_path):
    task = load(photos(tmp_path, ("a very long name of a class", "dog")))
    shown = plots.examples(task, n=4)
    assert shown.alt.endswith("train: a very long name of a class, dog, a very long name of a class, dog.")
    assert shown.png[1:4] == b"PNG" and plots.examples(task, n=4).png == shown.png
    with pytest.raises(ValueError, match="examples are shown of train or validation, not of 'test'"):
        plots.examples(task, split="test")
    texts = plots.examples(tasks.load("table", path=own.example("chats").parent / "messages.csv"), n=3)
    assert list(texts.columns) == ["text", "label"] and texts.label.tolist() == ["billing", "delivery", "technical"]
    chats = plots.examples(tasks.load("chats", path=own.example("chats")), n=3)
    assert list(chats.columns) == ["prompt", "answer"] and len(chats) == 3


def test_metrics_that_may_be_asked_for_exist():
    two = metrics.classification(np.eye(2), np.array([0, 1]))
    counted = metrics.tokens(Counter(nll=1.0, tokens=1, rows=1, right_tokens=1, right_rows=1))
    assert set(own.CLASS_METRICS) <= set(two) and set(own.TOKEN_METRICS) <= set(counted)


def test_a_report_can_be_read_as_text_and_in_a_notebook():
    report = Report("rows", 30)
    for line in range(25):
        report.leave_out(Row("a|b.csv", line + 1), "empty text", "empty `text`\nhere")
    report.notes.append("fields are separated by a tab")
    assert len(report.problems) == 25 and report.problems.columns.tolist() == ["file", "line", "problem"]
    assert "5 of 30 rows are used." in str(report) and "5 more" in str(report)
    shown = report._repr_markdown_()
    assert (
        shown.startswith("**5 of 30 rows are used.**")
        and "| a\\|b.csv | 1 | left out: empty \\`text\\` here |" in shown
    )
    assert Report("rows").problems.empty and str(Report("rows", 2)) == "2 of 2 rows are used."


def test_the_kits_example_is_what_its_script_makes(tmp_path):
    """Tables to the byte; images to rounding, since another version of Pillow may draw or compress otherwise."""
    copy = tmp_path / "data"
    shutil.copytree(assets.DATA / "own", copy / "own", ignore=shutil.ignore_patterns("leaves", "*.csv", "*.jsonl"))
    for name in ("build_own.py", "sentiment.tsv.gz"):
        shutil.copy(assets.DATA / name, copy)
    subprocess.run([sys.executable, copy / "build_own.py"], check=True, capture_output=True)
    for name in ("messages.csv", "chats.jsonl", "sentences.csv"):
        assert (copy / "own" / name).read_bytes() == (assets.DATA / "own" / name).read_bytes()
    shipped = sorted(file for file in (assets.DATA / "own" / "leaves").rglob("*") if file.is_file())
    assert len(shipped) == 72 and sum(file.stat().st_size for file in shipped) < 600_000
    for file in shipped:
        made = copy / file.relative_to(assets.DATA)
        one, two = (np.asarray(Image.open(f).convert("RGB"), int) for f in (file, made))
        assert abs(one - two).mean() < 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tasks.load("folder", path=own.example("folder")).labels == ["lobed", "pointed", "round"]


def test_general_options_work_for_own_data(tmp_path):
    photos(tmp_path)
    task = load(tmp_path, n=6, held_out=2, shuffled=True)
    assert [len(part) for part in task.splits.values()] == [6, 2, 2] and task.options["shuffled"]
    assert load(tmp_path, n=[2, 5]).splits["train"].labels.bincount().tolist() == [2, 5]
    for change, sentence in (
        ({"sise": 16}, "folder has no option sise.*did you mean 'size'"),
        ({"shape": "croop"}, "shape must be one of .*did you mean 'crop'"),
        ({"metric": "acuracy"}, "metric must be one of .*did you mean 'accuracy'"),
        ({"max_length": 5}, "max_length"),
    ):
        with pytest.raises(ValueError, match=sentence):
            load(tmp_path, **change)
    with pytest.raises(ValueError, match="path belongs to own data"):
        tasks.load("digits/mnist", path=tmp_path)
    with pytest.raises(ValueError, match="path must name a file or a folder, but it is 5"):
        tasks.load("folder", path=5)
