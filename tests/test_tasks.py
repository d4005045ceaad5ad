"""Tasks: the data is what its card says, splits keep apart what they must, and a seed fixes everything."""

import errno
import gzip
import hashlib
import json
import platform
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch
from transformers import AutoTokenizer

from ftlib import assets, tasks
from ftlib.tasks.digits import PHOTOGRAPHS, mnist, photos
from ftlib.tasks.elpv import MODULES, images, table
from ftlib.tasks.splits import stratified_order
from ftlib.tasks.task import IGNORED, SPLITS, Split, Task, batch_rows

NAMES = [
    name for name in tasks.names() if name not in ("digits", "fashion")
]  # the one needs a domain, the other a disk
VARIANTS = [
    *((name, {}) for name in NAMES),
    *(("elpv", options) for options in ({"protocol": "random"}, {"target": "soft"}, {"target": "type"})),
    *((name, {"target": t}) for name in ("sentiment", "sentiment/nyt") for t in ("three", "rating")),
    *((name, {"size": 32}) for name in ("digits/mnist", "digits/optical", "digits/photos")),
]


@pytest.fixture(scope="module")
def minilm():
    return AutoTokenizer.from_pretrained(assets.path("minilm"))


@pytest.fixture(scope="module")
def smollm2():
    return AutoTokenizer.from_pretrained(assets.path("smollm2"))


def indices(task: tasks.Task, split: str) -> list[int]:
    return task.splits[split].index.tolist()


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_splits_are_apart_and_as_large_as_promised(name, options):
    task = tasks.load(name, seed=1, **options)
    assert task.name == name and tuple(task.splits) == SPLITS
    assert task.outputs == max(len(task.labels), 1) and task.lacking == {}
    rows = [row for split in SPLITS for row in indices(task, split)]
    assert len(rows) == len(set(rows))
    test, validation = (len(task.splits[split]) / len(rows) for split in ("test", "validation"))
    by_module = name.startswith("elpv") and options.get("protocol") != "random"
    assert 0.22 < test < 0.28 and abs(validation / (1 - test) - (0.3 if by_module else 0.15)) < 0.03
    if options.get("protocol") != "random":
        groups = [set(split.groups.tolist()) for split in task.splits.values()]
        assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    for split in task.splits.values():  # class shares, as in all three together
        if task.labels and not split.labels.is_floating_point():
            whole = torch.cat([s.labels for s in task.splits.values() if not s.labels.is_floating_point()])
            here, there = (x.bincount(minlength=task.outputs) / len(x) for x in (split.labels, whole))
            torch.testing.assert_close(here, there, atol=0.06, rtol=0)


def test_elpv_is_the_published_data_set():
    p, kind = table()
    assert len(p) == sum(MODULES) == 2624
    assert Counter(np.round(3 * p).astype(int).tolist()) == {0: 1508, 1: 295, 2: 106, 3: 715}
    assert Counter(kind.tolist()) == {0: 1074, 1: 1550}
    modules = np.split(kind, np.cumsum(MODULES)[:-1])
    assert len(modules) == 44 and all(len(set(module.tolist())) == 1 for module in modules)


def test_pictures_change_where_a_module_is_said_to_end():
    cells = images(16).flatten(1).float()  # (N, S * S)
    look = torch.stack([cells.mean(1), cells.std(1)], 1)
    look = ((look - look.mean(0)) / look.std(0)).numpy()  # (N, 2) brightness and contrast
    ends = np.cumsum(MODULES)[:-1]
    ends = ends[table()[1][ends - 1] == table()[1][ends]]  # a change of type would be seen anyway
    assert len(ends) == 34

    def jump(at):  # between the 20 cells before and the 20 after
        return np.mean([np.abs(look[i - 20 : i].mean(0) - look[i : i + 20].mean(0)).mean() for i in at])

    assert jump(ends) > 3 * jump(ends - 30)


@pytest.mark.parametrize("seed", range(6))
def test_elpv_block_splits_are_even(seed):
    task = tasks.load("elpv", seed=seed, size=8)
    for split in task.splits.values():
        assert 0.26 < split.labels.float().mean() < 0.37  # of all cells, .313 are defective
        assert 0.54 < split.columns["domain"].float().mean() < 0.65  # and .591 are polycrystalline
    assert indices(task, "test") != indices(tasks.load("elpv", seed=seed + 1, size=8), "test")


def test_elpv_random_split_has_the_papers_sizes():
    splits = tasks.load("elpv", protocol="random", size=8).splits
    assert len(splits["test"]) == 656 and len(splits["train"]) + len(splits["validation"]) == 1968


def test_soft_labels_train_and_hard_labels_judge():
    soft, hard = (tasks.load("elpv", target=target, size=8) for target in ("soft", "defect"))
    labels = soft.splits["train"].labels
    assert labels.shape == (len(soft.splits["train"]), 2) and labels.dtype == torch.float32
    assert sorted({round(3 * p) for p in labels[:, 1].tolist()}) == [0, 1, 2, 3]
    assert torch.equal(labels.argmax(1), hard.splits["train"].labels)
    assert torch.equal(soft.splits["test"].labels, hard.splits["test"].labels)


@pytest.fixture
def few_cells(tmp_path, monkeypatch):
    """The cache file of a home whose ELPV has three pictures only; what was read before is forgotten."""
    names = [f"images/cell000{i}.png" for i in (1, 2, 3)]
    contents = {name: (assets.path("elpv") / name).read_bytes() for name in names}
    (asset := tmp_path / f"elpv-{assets.ASSETS['elpv'].version}" / "images").mkdir(parents=True)
    for name, content in contents.items():
        (asset.parent / name).write_bytes(content)
    files = {name: [len(content), hashlib.sha256(content).hexdigest()] for name, content in contents.items()}
    stamp = {"wheel_sha256": assets.ASSETS["elpv"].sha256, "recipe": 1, "files": files}
    (asset.parent / "asset.json").write_text(json.dumps(stamp))
    monkeypatch.setenv("FTLIB_HOME", str(tmp_path))
    monkeypatch.setattr(assets, "CHEAP", 0)  # as with all of the pictures
    monkeypatch.setattr("ftlib.tasks.elpv.MODULES", [3])
    images.cache_clear()
    yield tmp_path / "cache" / "elpv-8.npy"
    images.cache_clear()


DAMAGES = {
    "shortened": lambda content: content[:200],
    "all black": lambda content: content[:128] + bytes(len(content) - 128),
    "one bit": lambda content: content[:150] + bytes([content[150] ^ 1]) + content[151:],
    "no longer NumPy's": lambda content: bytes(range(100)) + content[100:],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_picture_cache_is_made_anew(few_cells, damage):
    cells = images(8)
    good = few_cells.read_bytes()
    few_cells.write_bytes(DAMAGES[damage](good))
    images.cache_clear()
    assert cells.shape == (3, 1, 8, 8) and cells.float().std() > 1 and torch.equal(images(8), cells)
    assert few_cells.read_bytes() == good
    assert sorted(file.name for file in few_cells.parent.iterdir()) == ["elpv-8.npy", "elpv-8.sha256"]


def test_a_sound_picture_cache_is_read_and_not_made_anew(few_cells, monkeypatch):
    cells = images(8)
    images.cache_clear()
    monkeypatch.setattr("ftlib.tasks.elpv.Image", None)
    assert torch.equal(images(8), cells)


def test_pictures_are_decoded_of_sound_files_only(few_cells):
    """A flipped byte of a picture would otherwise be in the cache for good."""
    picture = assets.path("elpv") / "images" / "cell0002.png"
    content = bytearray(picture.read_bytes())
    content[-1] ^= 1
    picture.write_bytes(content)
    with pytest.raises(
        assets.AssetError, match="is damaged .*cell0002.png.* run `python -m ftlib assets elpv --check`"
    ):
        images(8)
    assert not few_cells.exists()


def test_a_cache_that_cannot_be_written_is_done_without_and_said_so(few_cells, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("numpy.save", full)
        with pytest.warns(UserWarning, match=r"elpv-8\.npy could not be written \(No space left on device\)"):
            cells = images(8)
    assert cells.shape == (3, 1, 8, 8) and list(few_cells.parent.iterdir()) == []
    left = few_cells.parent / f".elpv~{platform.node()}~{2**22 + 1}~x.part"  # no process has such a number
    left.mkdir()
    images.cache_clear()
    assert torch.equal(images(8), cells) and not left.exists()


def test_digits_over_photographs_are_the_same_digits_and_the_same_everywhere():
    """|patch − digit|: where the digit is 0 the photograph stands as it is, and all three channels see one digit."""
    pixels, digit = photos()
    plain, labels = mnist()
    assert pixels.shape == (5000, 3, 28, 28) and pixels.dtype == np.uint8 and (digit == labels).all()
    assert hashlib.sha256(pixels.tobytes()).hexdigest().startswith("7a05d542b43f9a20")  # scikit-image's files are fixed
    astronaut = skimage.data.astronaut()
    drawn = next(i for i in range(99) if np.random.default_rng(i).integers(len(PHOTOGRAPHS)) == 0)
    whole = astronaut.transpose(2, 0, 1)
    empty = tuple(np.argwhere(plain[drawn, 0] == 0)[:60].T)  # so many pixels are enough to know a place by
    windows = np.lib.stride_tricks.sliding_window_view(whole[0], (28, 28))  # every place where the patch could be
    places = np.argwhere((windows[:, :, *empty] == pixels[drawn, 0][empty]).all(-1))
    assert len(places) == 1
    top, left = places[0]
    patch = whole[:, top : top + 28, left : left + 28].astype(int)
    assert (pixels[drawn] == np.abs(patch - plain[drawn])).all()
    one, other = (tasks.load(f"digits/{domain}", seed=4, n=100) for domain in ("mnist", "photos"))
    assert all(indices(one, split) == indices(other, split) for split in SPLITS)


def test_sentiment_has_the_papers_class_shares():
    shares = {"tweets": (0.286, 0.071, 0.643), "amazon": (0.371, 0.104, 0.525)}
    shares |= {"movies": (0.495, 0.018, 0.487), "nyt": (0.455, 0.204, 0.340)}
    sizes = {"tweets": 4200, "amazon": 3708, "movies": 10605, "nyt": 5190}
    for domain in tasks.sentiment.DOMAINS:
        task = tasks.load(f"sentiment/{domain}", target="three")
        labels = torch.cat([split.labels for split in task.splits.values()])
        assert len(labels) == sizes[domain]
        assert (labels.bincount() / len(labels)).tolist() == pytest.approx(shares[domain], abs=6e-4)


def test_equal_tweets_and_sentences_of_a_review_stay_together():
    rows = tasks.sentiment.table()
    for domain, by in (("tweets", "text"), ("movies", "text"), ("amazon", "review"), ("nyt", "review")):
        task, seen = tasks.load(f"sentiment/{domain}", target="rating"), {}
        for split in SPLITS:
            for row in indices(task, split):
                seen.setdefault(rows[row][by].strip().lower(), Counter())[split] += 1
        assert all(len(splits) == 1 for splits in seen.values())
        assert max(sum(splits.values()) for splits in seen.values()) > 1  # so the rule had something to do


@pytest.mark.parametrize("family", ["elpv", "sentiment"])
def test_a_domain_alone_is_cut_as_it_is_among_the_others(family):
    options = {"size": 8} if family == "elpv" else {}
    together = tasks.load(family, seed=4, **options)
    for number, domain in enumerate(tasks.CATALOG[family].DOMAINS):
        alone = tasks.load(f"{family}/{domain}", seed=4, **options)
        for split, part in together.splits.items():
            assert part.index[part.columns["domain"] == number].tolist() == indices(alone, split)


def test_every_target_of_sentiment_has_the_same_split():
    polarity, rating = (tasks.load("sentiment", target=target) for target in ("polarity", "rating"))
    for split in SPLITS:
        part = rating.splits[split]
        assert indices(polarity, split) == part.index[part.labels.abs() >= 0.5].tolist()
        kept = polarity.splits[split]
        assert torch.equal(kept.labels == 1, kept.columns["rating"] > 0)


@pytest.mark.parametrize("name", ["elpv/poly", "sentiment", "digits/mnist", "instructions/nyt"])
def test_smaller_subsets_are_nested_and_stratified(name):
    small, large, whole = (tasks.load(name, seed=2, n=n) for n in (50, 200, None))
    assert [len(task.splits["train"]) for task in (small, large)] == [50, 200]
    assert set(indices(small, "train")) < set(indices(large, "train")) < set(indices(whole, "train"))
    assert indices(small, "test") == indices(whole, "test")
    assert indices(small, "validation") == indices(whole, "validation")
    assert indices(small, "train") != indices(tasks.load(name, seed=3, n=50), "train")
    labels = [task.splits["train"].labels for task in (large, whole)]
    here, there = (x.bincount() / len(x) for x in labels)
    torch.testing.assert_close(here, there, atol=0.03, rtol=0)


def test_a_part_of_what_is_held_out_is_stratified_and_training_stays_as_it_was():
    few, whole = (tasks.load("sentiment/amazon", seed=2, n=50, held_out=k) for k in (60, None))
    assert indices(few, "train") == indices(whole, "train")
    for split in ("validation", "test"):
        assert len(few.splits[split]) == 60 and set(indices(few, split)) < set(indices(whole, split))
        shares = [task.splits[split].labels.float().mean().item() for task in (few, whole)]
        assert abs(shares[0] - shares[1]) <= 1 / 60
    assert len(tasks.load("sentiment/amazon", seed=2, held_out=10**6).splits["test"]) == len(whole.splits["test"])


def test_so_many_of_each_class_can_be_asked_for_and_only_training_changes():
    counts = [9, 1] + [5] * 8
    few, more, whole = (tasks.load("digits/optical", seed=2, n=n) for n in (counts, [c + 3 for c in counts], None))
    assert few.splits["train"].labels.bincount(minlength=10).tolist() == counts
    assert set(indices(few, "train")) < set(indices(more, "train")) < set(indices(whole, "train"))
    for split in ("validation", "test"):
        assert indices(few, split) == indices(whole, split)
    assert indices(few, "train") == indices(tasks.load("digits/optical", seed=2, n=counts), "train")
    assert indices(few, "train") != indices(tasks.load("digits/optical", seed=3, n=counts), "train")
    one_class = tasks.load("sentiment/nyt", seed=2, n=[0, 20])
    assert one_class.splits["train"].labels.tolist() == [1] * 20


def test_any_first_part_of_an_even_order_is_stratified():
    strata = np.repeat([0, 1, 2], [70, 20, 10])
    order = strata[stratified_order(strata, np.random.default_rng(0))]
    for stop in range(1, 101):
        assert np.abs(np.bincount(order[:stop], minlength=3) - stop * np.array([0.7, 0.2, 0.1])).max() < 2


@pytest.mark.parametrize(("name", "size"), [("elpv/mono", 16), ("digits/mnist", 28), ("digits/optical", 8)])
def test_image_batches(name, size):
    task = tasks.load(name, **({"size": size} if name == "elpv/mono" else {}))
    loader = task.loader("validation", batch_size=64)
    batches = list(loader)
    pixels = torch.cat([batch["pixels"] for batch in batches])
    assert pixels.shape == (len(task.splits["validation"]), 1, size, size) and pixels.dtype == torch.float32
    assert pixels.min() >= 0 and 0.8 < pixels.max() <= 1 and len(loader) == len(batches)
    assert torch.cat([batch["index"] for batch in batches]).tolist() == indices(task, "validation")
    assert batches[0]["labels"].dtype == torch.int64 and len(batches[0]["labels"]) == 64


@pytest.mark.parametrize("split", ["validation", "test"])
def test_validation_pictures_are_the_stored_ones_each_time(split):
    """Nothing augments what decides and what judges."""
    task = tasks.load("digits/optical")
    stored = task.splits[split].inputs.float() / 255
    for _ in range(2):
        assert torch.equal(torch.cat([batch["pixels"] for batch in task.loader(split)]), stored)


def test_text_batches_hold_each_sentence_once_and_little_padding(minilm):
    task = tasks.load("sentiment")
    loader = task.loader("train", tokenizer=minilm, shuffle=True, seed=5)
    batches = list(loader)
    assert sorted(row for batch in batches for row in batch["index"].tolist()) == sorted(indices(task, "train"))
    texts = dict(zip(indices(task, "train"), task.splits["train"].inputs, strict=True))
    spent = words = 0
    for batch in batches:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        assert ids.shape == mask.shape and ids.shape[1] == mask.sum(1).max() <= 96
        assert (mask.diff(dim=1) <= 0).all() and (ids[mask == 0] == minilm.pad_token_id).all()
        spent, words = spent + mask.numel(), words + int(mask.sum())
    alone = minilm(texts[int(batch["index"][0])], truncation=True, max_length=96)["input_ids"]
    assert ids[0][mask[0] == 1].tolist() == alone
    lengths = task.encoded["train", id(minilm), 96][1]
    plain = batch_rows(len(lengths), 32, torch.Generator().manual_seed(5))
    unsorted = sum(len(rows) * int(lengths[rows].max()) for rows in plain)
    assert spent < 1.1 * words and unsorted > 1.8 * words
    widths = np.array([batch["input_ids"].shape[1] for batch in batches])
    assert (np.diff(widths) < 0).mean() > 0.3  # long and short batches come mixed
    assert {"domain", "rating", "rater_sd"} <= set(batch) and batch["domain"].dtype == torch.int64


def test_unshuffled_texts_are_sorted_by_length(minilm):
    task = tasks.load("sentiment/amazon")
    widths = [int(batch["attention_mask"].sum(1).max()) for batch in task.loader("test", tokenizer=minilm)]
    assert widths == sorted(widths)
    with pytest.warns(UserWarning, match=r"of 749 texts of sentiment/amazon, test, have more than 8 tokens"):
        short = task.loader("test", tokenizer=minilm, max_length=8)
    assert max(batch["input_ids"].shape[1] for batch in short) == 8


@pytest.mark.parametrize("name", ["elpv/mono", "sentiment/nyt"])
def test_the_generator_may_be_seeded_anew(name, minilm):
    task = tasks.load(name)
    loader = task.loader("train", tokenizer=minilm, shuffle=True, seed=7)
    state = torch.get_rng_state()
    first, second = ([batch["index"].tolist() for batch in loader] for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())  # training's own random numbers are left alone
    loader.generator.manual_seed(7)
    assert first != second and [batch["index"].tolist() for batch in loader] == first


def test_a_fresh_process_gives_the_same_splits_and_order():
    script = """
import hashlib
from ftlib import tasks
digest = hashlib.sha256()
for name in ("elpv", "sentiment", "digits/optical", "instructions/tweets"):
    task = tasks.load(name, seed=3, n=100, **({"size": 8} if name == "elpv" else {}))
    for split in task.splits.values():
        digest.update(repr((split.index.tolist(), split.labels.tolist())).encode())
loader = tasks.load("digits/mnist", seed=3).loader("train", shuffle=True, seed=3)
for batch in [*loader, *loader]:
    digest.update(repr((batch["index"].tolist(), batch["labels"].tolist())).encode())
print(digest.hexdigest())
"""
    command = [sys.executable, "-c", script]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    one, other = (process.communicate()[0] for process in both)
    assert len(one.strip()) == 64 and one == other


def test_a_sentence_to_be_continued_is_cut_in_half_and_only_its_end_is_the_answer(smollm2):
    task = tasks.load("instructions/nyt", n=8, target="continue")
    train = task.splits["train"]
    for prompt, answer, text in zip(train.inputs, train.columns["answer"], train.columns["text"], strict=True):
        question, _, first = prompt.partition("\n\n")
        assert question == "Continue this text." and f"{first} {answer}".split() == text.split()
        assert 0 <= len(answer.split()) - len(first.split()) <= 1
    assert (task.labels, task.metric) == ([], "token_accuracy")
    batch = next(iter(task.loader("train", tokenizer=smollm2, batch_size=8)))
    for row, i in zip(batch["labels"], batch["index"].tolist(), strict=True):
        at = train.index.tolist().index(i)
        counted = smollm2.decode(row[row != IGNORED])
        assert counted.startswith(train.columns["answer"][at])


def test_instructions_count_the_answer_and_the_end_of_turn_only(smollm2):
    task = tasks.load("instructions/tweets")
    part = task.splits["test"]
    place = {row: k for k, row in enumerate(part.index.tolist())}
    answers = Counter()
    for batch in task.loader("test", tokenizer=smollm2):
        assert batch["labels"].shape == batch["input_ids"].shape == batch["attention_mask"].shape
        for row, ids, labels in zip(batch["index"].tolist(), batch["input_ids"], batch["labels"], strict=True):
            counted = labels[labels != IGNORED]
            answer = part.columns["answer"][place[row]]
            assert smollm2.decode(counted) == answer + smollm2.eos_token
            start = int((labels != IGNORED).nonzero()[0])  # labels[start] follows input_ids[start]
            assert ids[start + 1 : start + len(counted)].tolist() == counted[:-1].tolist()
            answers[answer] += 1
    assert answers == Counter(part.columns["answer"]) and set(answers) == {"negative", "positive"}
    turns = [{"role": "user", "content": part.columns["prompt"][place[row]]}]
    asked = smollm2.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ids[: start + 1].tolist() == asked  # training reads what generation will read
    turns.append({"role": "assistant", "content": answer})
    said = smollm2.apply_chat_template(turns, tokenize=False)
    assert said.startswith(smollm2.decode([*ids[: start + 1], *counted]))
    assert part.columns["text"][place[row]] in said


def test_passes_over_a_split_are_counted():
    task = tasks.load("digits/optical")
    loader = task.loader("test")
    assert task.reads["test"] == 0
    for _ in range(2):
        list(loader)
    list(task.loader("test"))
    next(iter(task.loader("train")))
    assert task.reads == {"test": 3, "train": 1}


@pytest.fixture
def fashion(tmp_path):
    """A folder with small files of Fashion-MNIST's format: 200 training and 40 test images."""
    for part, count in (("train", 200), ("t10k", 40)):
        labels = np.arange(count, dtype=np.uint8) % 10
        pictures = np.broadcast_to(labels[:, None, None], (count, 28, 28))
        for kind, numbers in (("images-idx3", pictures), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, numbers.ndim]) + np.array(numbers.shape, ">u4").tobytes()
            (tmp_path / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + numbers.tobytes()))
    return tmp_path


def test_fashion_keeps_its_own_test_images(fashion, monkeypatch):
    monkeypatch.setenv("FTLIB_FASHION", str(fashion))
    task = tasks.load("fashion", seed=9)
    assert [len(task.splits[split]) for split in SPLITS] == [170, 30, 40]
    assert indices(task, "test") == list(range(200, 240))
    assert set(indices(task, "train")) | set(indices(task, "validation")) == set(range(200))
    for split in task.splits.values():
        assert torch.equal(split.inputs[:, 0, 5, 5].long(), split.labels)


def test_fashion_says_what_it_lacks(fashion):
    file = fashion / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-3]))
    with pytest.raises(ValueError, match="not: fetch it again"):
        tasks.load("fashion", folder=str(fashion))
    whole = file.read_bytes()
    for damaged in (b"", b"no gzip", whole[:-9], whole[:20] + b"??" + whole[22:]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="labels-idx1-ubyte.gz should be a complete .* not: fetch it again"):
            tasks.load("fashion", folder=str(fashion))
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\.gz missing.*dataset-fashion-mnist"):
        tasks.load("fashion", folder=str(fashion))


MISTAKES = [
    (("elvp", {}), "no task 'elvp': choose one of elpv, elpv/mono, .*; did you mean 'elpv'"),
    (("elpv/thin", {}), "no task 'elpv/thin'"),
    (("elpv", {"tagret": "soft"}), "no option tagret: its options are target, protocol, size; did you mean 'target'"),
    (("instructions", {"tagret": "continue"}), "its options are target; did you mean 'target'"),
    (("instructions", {"target": "three"}), "'polarity', 'continue', not 'three'"),
    (("elpv", {"target": "crack"}), "'defect', 'soft', 'type', not 'crack'"),
    (("elpv", {"protocol": "module"}), "'block', 'random', not 'module'"),
    (("elpv/mono", {"target": "type"}), "load 'elpv', not 'elpv/mono'"),
    (("elpv", {"size": 2.5}), "size must be a whole number from 8 to 512 pixels, not 2.5"),
    (("sentiment", {"target": "stars"}), "'polarity', 'three', 'rating', not 'stars'"),
    (("digits", {}), "load one domain, digits/mnist, digits/optical, digits/photos"),
    (("digits/mnist", {"size": 0}), "size must be a whole number from 8 to 224 pixels, not 0"),
    (("digits/optical", {"n": 5000}), "n=5000 .* choose 1 to 1146"),
    (("digits/optical", {"n": 0}), "n must be a whole number of at least 1 training examples, not 0"),
    (("digits/optical", {"n": [5, 5]}), r"n=\[5, 5\] rows of the classes were asked for: there are \[1"),
    (("digits/optical", {"n": [500] * 10}), "there are .* choose as many or fewer"),
    (("digits/optical", {"n": [-1] + [1] * 9}), r"n\[0\] must be a whole number of at least 0, not -1"),
    (("digits/optical", {"n": [0] * 10}), "there are .* choose as many or fewer"),
    (("elpv", {"target": "soft", "n": [5, 5]}), "class numbers: give n as one number"),
    (("digits/optical", {"held_out": 0}), "held_out must be a whole number of at least 1 examples, not 0"),
    (("sentiment/amazno", {}), "did you mean 'sentiment/amazon'"),
    (("elpv", {"sise": 96}), "no option sise: .*; did you mean 'size'"),
    (("digits/mnist", {"heldout": 20}), "no option heldout: its options are size; did you mean 'held_out'"),
    (("elpv", {"target": "defects"}), "not 'defects'; did you mean 'defect'"),
    (("elpv+nois3", {}), "no corruption 'nois3': .*; did you mean 'noise3'"),
    ((5, {}), "there is no task 5"),
    (("digits/optical", {"shuffled": "no"}), "shuffled must be True or False, not 'no'"),
    (("digits/optical", {"max_length": 9}), "digits has pictures, which have no tokens"),
    (("fashion", {"folder": 5}), "folder must be the name of the folder with the four files, not 5"),
    *(((name, {"seed": seed}), f"seed must be a whole number from 0 to 4294967295, not {seed!r}")
      for name in ("elpv", "sentiment") for seed in (-1, 2**40, "a", 1.5, None, True, float("nan"))),
    *((("digits/optical", {name: value}), f"{name} must be a whole number .*, not {value!r}")
      for name in ("n", "held_out", "size") for value in (-3, 0, "200", 1.5, True)),
    *((("elpv", {"size": value}), f"size must be a whole number from 8 to 512 pixels, not {value!r}")
      for value in (10_000, 0, "96", None)),
    *((("sentiment/amazon", {"max_length": value}), f"max_length must be a whole number .* tokens, not {value!r}")
      for value in (-3, 0, "x", 9.5)),
    (("digits/optical", {"n": [1] * 9 + ["x"]}), r"n\[9\] must be a whole number of at least 0, not 'x'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "sentence"), MISTAKES)
def test_a_mistake_gets_one_clear_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        tasks.load(call[0], **call[1])
    assert "\n" not in str(error.value)


BAD_IN_LOADERS = [
    *(("batch_size", bad) for bad in (0, -1, "x", 2.5, None, True)),
    *(("max_length", bad) for bad in (0, -3, "x", 9.5, True)),
    *(("seed", bad) for bad in (-1, 2**40, "a", 1.5, None)),
    ("shuffle", "no"),
]


def test_loaders_refuse_what_they_cannot_do(minilm, smollm2):
    texts = tasks.load("sentiment/tweets", n=20)
    with pytest.raises(ValueError, match="needs a tokenizer"):
        texts.loader("train")
    with pytest.raises(ValueError, match="'train', 'validation', 'test', not 'dev'"):
        texts.loader("dev")
    for name, bad in BAD_IN_LOADERS:
        with pytest.raises(ValueError, match=f"{name} must be .*, not {bad!r}"):
            texts.loader("train", tokenizer=minilm, **{name: bad})
    with pytest.raises(ValueError, match="max_length=2 leaves no room for words: use more than 2 tokens"):
        texts.loader("train", tokenizer=minilm, max_length=2)
    texts.splits["train"].inputs[7] = ""
    with pytest.raises(ValueError, match="sentiment/tweets, train, has no token: row 7 is empty"):
        texts.loader("train", tokenizer=smollm2)
    chat = tasks.load("instructions/tweets", n=20)
    with pytest.raises(ValueError, match="chat template: use that of 'smollm2'"):
        chat.loader("train", tokenizer=minilm)
    with pytest.raises(ValueError, match=r"max_length=40 would cut answers off: use at least \d+"):
        chat.loader("train", tokenizer=smollm2, max_length=40)
    part = chat.splits["test"]
    part.inputs[3] = "on and on " * 4000
    with pytest.raises(
        ValueError, match=r"instructions/tweets, test, has 12,\d+ tokens, but .* at most 8,192"
    ) as error:
        chat.loader("test", tokenizer=smollm2, max_length=20_000)
    assert "\n" not in str(error.value)


LABELS = [
    (torch.tensor([0, 1, 2]), 2, "whole number from 0 to 1 an example, got 2 in row 2"),
    (torch.tensor([0, -1, 1]), 2, "whole number from 0 to 1"),
    (torch.tensor([[0.5, 0.4]] * 3), 2, "add up to 1"),
    (torch.tensor([[1.5, -0.5]] * 3), 2, "add up to 1"),
    (torch.tensor([0.0, float("nan"), 1.0]), 1, "finite number an example, got nan in row 1"),
    ([0, 1, float("nan")], 2, "whole number from 0 to 1 an example, got nan in row 2"),
    (pd.Series([0, None, 1]), 2, "got nan in row 1"),
    (pd.Series([1, None, 0], dtype="Int64"), 2, "(row 1 holds <NA>|nan in row 1)"),
    ([1, None, 0], 2, r"labels must be numbers, .*, but row 1 holds None \(NoneType\): number the classes from 0"),
    (["cat", "dog", "cat"], 2, "but row 0 holds 'cat'"),
    ([[0, 1], [1], [0]], 2, "labels must be numbers"),
    (7, 2, "labels must be numbers|one whole number"),
    (torch.tensor([0j, 1, 1]), 2, "complex64 came"),
    (torch.tensor([0.0, 1.0, 1.0]), 2, r"torch.float32 in shape \(3,\)"),
    (torch.tensor([0, 1, 1]), "two", "classes must be a whole number of at least 1, not 'two'"),
    (torch.tensor([0, 1, 1]), 0, "classes must be a whole number of at least 1, not 0"),
    (torch.tensor([0, 1]), 2, "equally long"),
]


@pytest.mark.parametrize(("labels", "classes", "sentence"), LABELS)
def test_a_split_checks_its_labels(labels, classes, sentence):
    good = Split(["a", "b", "c"], torch.tensor([0, 1, 1]), 2)
    with pytest.raises(ValueError, match=sentence):
        replace(good, labels=labels, classes=classes)
    with pytest.raises(ValueError, match="this one is empty"):
        good.take(np.array([], int))


def test_shuffled_labels_are_the_same_labels_in_another_order_and_only_in_training():
    plain, shuffled = (tasks.load("elpv", seed=3, n=100, size=8, shuffled=s) for s in (False, True))
    before, after = plain.splits["train"].labels, shuffled.splits["train"].labels
    assert not torch.equal(before, after) and torch.equal(before.sort().values, after.sort().values)
    assert torch.equal(plain.splits["train"].inputs, shuffled.splits["train"].inputs)
    for split in ("validation", "test"):
        assert torch.equal(plain.splits[split].labels, shuffled.splits[split].labels)
    again = tasks.load("elpv", seed=3, n=100, size=8, shuffled=True)
    assert torch.equal(again.splits["train"].labels, after)
    with pytest.raises(ValueError, match="needs a task with labels"):
        tasks.load("instructions", n=20, shuffled=True)


KINDS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_class_numbers_of_every_kind_are_taken(kind):
    labels = torch.tensor([0, 1, 1]).to(kind)
    for given in (labels, labels.numpy(), labels.tolist(), pd.Series(labels.numpy())):
        split = Split(["a", "b", "c"], given, 2)
        assert split.labels.dtype == torch.int64 and split.labels.tolist() == [0, 1, 1]
        assert torch.nn.functional.cross_entropy(torch.zeros(3, 2), split.labels) > 0


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64], ids=str)
def test_targets_and_probabilities_become_float32(kind):
    assert Split(["a", "b"], torch.tensor([0.5, -2.0], dtype=kind), 1).labels.dtype == torch.float32
    assert Split(["a", "b"], torch.tensor([[0.5, 0.5], [1, 0]], dtype=kind), 2).labels.dtype == torch.float32


def pixel_batches(inputs) -> torch.Tensor:
    task = Task("mine", "image", ["a", "b"], "accuracy", {"train": Split(inputs, [0, 1, 0, 1], 2)})
    return torch.cat([batch["pixels"] for batch in task.loader("train", batch_size=3)])


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64], ids=str)
def test_float_pixels_in_0_to_1_are_taken_as_they_are(kind):
    stored = torch.randint(0, 256, (4, 3, 9, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    from_bytes, floats = pixel_batches(stored), (stored.float() / 255).to(kind)
    assert torch.equal(from_bytes, stored.float() / 255)
    mirrored, locked = floats.flip(-1).numpy()[..., ::-1], floats.numpy().copy()
    locked.flags.writeable = False
    for given in (floats, floats.numpy(), mirrored, locked):
        pixels = pixel_batches(given)
        assert pixels.dtype == torch.float32 and torch.equal(pixels, floats.float())


def with_value(value: float) -> torch.Tensor:
    pixels = torch.rand(4, 1, 8, 8)
    pixels[2, 0, 3, 3] = value
    return pixels


PIXELS = [
    (torch.rand(4, 1, 8, 8) + torch.tensor([0, 0, 255, 0]).view(4, 1, 1, 1), "in 0..1, but image 2 holds 255"),
    (with_value(1.01), "but image 2 holds .* to 1.01: divide by"),
    (with_value(-0.1), "but image 2 holds -0.1 to"),
    (with_value(float("nan")), "but image 2 holds nan"),
    (with_value(float("inf")), "but image 2 holds .* to inf"),
    (torch.zeros(4, 1, 8, 8, dtype=torch.int64), "uint8 in 0..255 or floats in 0..1, but torch.int64 came: convert"),
    (torch.zeros(4, 1, 8, 8, dtype=torch.bool), "but torch.bool came"),
    (np.zeros((4, 1, 8, 8), np.uint16), "but torch.uint16 came"),
    (torch.zeros(4, 8, 8, dtype=torch.uint8), r"shape \(N, C, H, W\) with 1 or 3 channels, but \(4, 8, 8\) came"),
    (torch.zeros(4, 8, 8, 3, dtype=torch.uint8), "move the channels with permute"),
    (torch.zeros(4, 1, 0, 8, dtype=torch.uint8), "1 or 3 channels"),
    (list(torch.zeros(4, 1, 8, 8)), r"row 0 holds an array \(Tensor\): .*images come as one tensor"),
]


@pytest.mark.parametrize(("inputs", "sentence"), PIXELS)
def test_other_pixels_are_refused(inputs, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        Split(inputs, [0, 1, 0, 1], 2)
    assert "\n" not in str(error.value)


TEXTS = [
    (["a", "b", None, "d"], r"must be strings, but row 2 holds None \(NoneType\): correct it or leave the row out"),
    (pd.Series(["a", "b", "c", None], dtype=object), r"row 3 holds None"),
    (pd.Series(["a", float("nan"), "c", "d"], dtype=object), r"row 1 holds nan \(float\)"),
    (pd.Series(["a", None, "c", "d"], dtype="string"), "row 1 holds <NA>"),
    (["a", b"b", "c", "d"], r"row 1 holds b'b' \(bytes\)"),
    (["a", "b", 3, "d"], "row 2 holds 3"),
    (["a", "b", "c", "\ud800"], "row 3 is no valid Unicode"),
    ("abcd", "a list of N texts, but 'abcd' came"),
    (None, "a list of N texts, but None came"),
    ({"a": 1}, "a list of N texts, but"),
]


@pytest.mark.parametrize(("inputs", "sentence"), TEXTS)
def test_what_is_no_text_is_refused_with_its_row(inputs, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        Split(inputs, [0, 1, 0, 1], 2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [tuple, pd.Series, np.array, iter])
def test_texts_may_come_in_any_row_of_strings(kind, minilm):
    split = Split(kind(["ä b", "c", "d e f", "g"]), [0, 1, 0, 1], 2)
    assert split.inputs == ["ä b", "c", "d e f", "g"] and split.take(np.array([2])).inputs == ["d e f"]
    task = Task("mine", "text", ["a", "b"], "accuracy", {"train": split})
    assert sum(len(batch["labels"]) for batch in task.loader("train", tokenizer=minilm)) == 4


def of_texts(texts: list[str], **more) -> Task:
    labels = torch.arange(len(texts)) % 2
    return Task("mine", "text", ["a", "b"], "accuracy", {"train": Split(texts, labels, 2)}, **more)


def quiet(task: Task, tokenizer, **more) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task.loader("train", tokenizer=tokenizer, **more)


def test_texts_that_lose_their_end_are_counted_and_said_once(minilm):
    """Forty reviews that begin alike, ten that do not, fifty short ones."""
    alike = [" ".join(["good"] * 200 + [f"{k}"]) for k in range(40)]
    apart = [" ".join([f"{k}"] * 200) for k in range(10)]
    task = of_texts(alike + apart + ["short"] * 50)
    sentence = "50 of 100 texts of mine, train, have more than 96 tokens and lost their end, and 40 of them now equal "
    with pytest.warns(UserWarning, match=sentence + "another text: raise max_length") as said:
        task.loader("train", tokenizer=minilm)
    assert len(said) == 1 and task.cut == {"train": 50} and said[0].filename == __file__
    quiet(task, minilm)  # once is enough
    quiet(task, minilm, max_length=300)
    assert task.cut == {"train": 0}
    quiet(longer := of_texts(alike, max_length=300), minilm)
    assert longer.cut == {"train": 0}


def test_a_text_that_just_fits_is_not_cut(minilm):
    """94 words and two marks are 96 tokens."""
    texts = [" ".join(["good"] * 94 + more) for more in ([], ["bad"], [])] + ["short"] * 97
    with pytest.warns(UserWarning, match="1 of 100 texts .* and 1 of them now equal another text"):
        (task := of_texts(texts)).loader("train", tokenizer=minilm)
    assert task.cut == {"train": 1}


def test_a_few_cut_texts_are_counted_and_not_said(minilm):
    """Of the kit's own sentences two or three in a thousand."""
    long = [" ".join([f"{k}"] * 200) for k in range(4)]
    quiet(task := of_texts(long[:1] + ["short"] * 9), minilm)
    assert task.cut == {"train": 1}
    quiet(of_texts(long[:2] + ["short"] * 198), minilm)
    with pytest.warns(UserWarning, match="4 of 200 texts .* lost their end: raise"):
        of_texts(long + ["short"] * 196).loader("train", tokenizer=minilm)
    own = tasks.load("sentiment/amazon")
    quiet(own, minilm)
    assert own.cut == {"train": 5} and own.loader("test", tokenizer=minilm) and own.cut == {"train": 5, "test": 2}


def test_the_length_is_an_option_of_a_task(minilm):
    task = tasks.load("sentiment/amazon", max_length=256)
    task.loader("train", tokenizer=minilm)
    assert task.max_length == task.options["max_length"] == 256 and task.cut == {"train": 0}
    assert "max_length" not in tasks.load("sentiment/amazon", n=20).options
    with pytest.raises(ValueError, match="max_length must be a whole number of at least 1 tokens, not 'x'"):
        of_texts(["a"], max_length="x")
    with pytest.raises(ValueError, match="kind must be one of 'image', 'text', 'lm', not 'txt'; did you mean 'text'"):
        Task("mine", "txt", ["a"], "accuracy", {})


def in_splits(train: list[int], validation: list[int], test: list[int]) -> Task:
    parts = {name: Split(["a"] * len(k), k, 3) for name, k in zip(SPLITS, (train, validation, test))}
    return Task("mine", "text", ["cat", "dog", "owl"], "accuracy", parts)


def test_a_class_that_a_measuring_split_lacks_is_said():
    with pytest.warns(UserWarning, match="validation of mine has no example of owl, so its scores say") as said:
        task = in_splits([0, 1, 2], [0, 1, 1], [2, 1, 0])
    assert len(said) == 1 and said[0].filename == __file__ and task.lacking == {"validation": ["owl"]}
    with pytest.warns(UserWarning, match="test of mine has no example of cat, dog"):
        assert in_splits([0, 1, 2], [0, 1, 2], [2]).lacking == {"test": ["cat", "dog"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert in_splits([0, 1], [0, 1, 2], [0, 1, 2]).lacking == {"train": ["owl"]}  # as a small n makes it
        assert in_splits([0, 1, 2], [0, 1, 2], [0, 1, 2]).lacking == {}


def test_rare_classes_are_looked_for_in_loaded_tasks():
    with (
        pytest.warns(UserWarning, match="validation of digits/optical has no example of"),
        pytest.warns(UserWarning, match="test of digits/optical has no example of"),
    ):
        task = tasks.load("digits/optical", held_out=5)
    assert len(task.lacking["validation"]) == len(task.lacking["test"]) == 5
    assert tasks.load("sentiment/movies", target="three", n=4, seed=1).lacking == {"train": ["neutral"]}


def test_numbers_of_numpy_are_whole_numbers_too():
    one, other = (tasks.load("digits/optical", seed=kind(3), n=kind(50), size=kind(8)) for kind in (int, np.int64))
    assert indices(one, "train") == indices(other, "train") and one.options == other.options
