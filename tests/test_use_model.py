"""After training: ask a model about own inputs, save it, load it, and get the same answers; or one clear sentence."""

import copy
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from peft import PeftModel
from PIL import Image
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM

import ftlib
import toy
from ftlib import models
from ftlib.models.about import Preprocessing
from ftlib.models.pixels import as_pixels
from ftlib.networks import Heads
from ftlib.strategies.full import Full, LinearProbe
from ftlib.strategies.peft import IA3, Adapter, LoRA
from ftlib.strategies.prompts import Prefix, Prompt
from test_models import folders  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("one_thread")
SENTENCES = ["What a wonderful film!", "A complete waste of money."]


@pytest.fixture(scope="module")
def reviews():
    return ftlib.load_task("sentiment/amazon", n=64, held_out=40)


@pytest.fixture(scope="module")
def digits():
    return ftlib.load_task("digits/optical", n=60, held_out=60, size=32)


def trained(model, task, strategy, steps=3, lr=1e-3, **more):
    loader = task.loader("train", tokenizer=model.tokenizer, batch_size=8, shuffle=True)
    return ftlib.fit(model, loader, strategy, steps=steps, lr=lr, verbose=False, precision="float32", **more)[0]


@pytest.fixture(scope="module")
def minilm(reviews):
    torch.manual_seed(0)
    return trained(ftlib.load_model("minilm", reviews), reviews, Full(), steps=12, lr=1e-4)


@pytest.fixture(scope="module")
def lite0(digits):
    torch.manual_seed(0)
    return trained(ftlib.load_model("efficientnet-lite0", digits), digits, Full())


@pytest.fixture
def clone(minilm):
    return copy.deepcopy(minilm)


def images(n=3):
    return [Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 30), dtype=np.uint8)) for i in range(n)]


def logits(model, seed=0):
    g = torch.Generator().manual_seed(seed)
    if model.kind == "image":
        return model({"pixels": torch.rand(3, 1, 32, 32, generator=g).contiguous(memory_format=torch.channels_last)})
    ids = torch.randint(3, 20, (3, 7), generator=g)
    return model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})


def said(call, *args, error=ValueError, **kwargs):
    """The one sentence of an error."""
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    words = str(caught.value)
    assert "\n" not in words and len(words) < 400
    return words


# ---- about


def test_a_model_knows_its_task(minilm, reviews, lite0):
    about = minilm.about
    assert (about.base, about.kind, about.task, about.labels) == (
        "minilm", "text", "sentiment/amazon", ["negative", "positive"])  # fmt: skip
    assert about.metric == "macro_f1" and about.preprocessing.max_length == reviews.max_length
    assert about.data == {name: len(part) for name, part in reviews.splits.items()}
    assert lite0.about.preprocessing == Preprocessing(size=32, shape="stretch", channels=1)
    assert ftlib.load_model("minilm").about.labels == []
    rating = ftlib.load_task("sentiment", n=20, target="rating")
    assert ftlib.load_model("minilm", rating).about.regression and not about.regression


def test_each_run_of_fit_adds_a_line(reviews):
    model = ftlib.load_model("minilm", reviews)
    trained(model, reviews, LinearProbe(), steps=2)
    trained(model, reviews, ftlib.combine(LoRA(r=2), ftlib.strategies.Cosine()), steps=3, lr=1e-2, seed=7)
    first, second = model.about.trained
    assert (first.strategy, first.parts, first.steps) == ("LinearProbe()", [{"LinearProbe": {}}], 2)
    assert (second.steps, second.planned, second.lr, second.seed, second.precision) == (3, 3, 1e-2, 7, "float32")
    assert [next(iter(part)) for part in second.parts] == ["LoRA", "Cosine"] and second.parts[0]["LoRA"]["r"] == 2


def test_a_run_that_breaks_says_how_far_it_came(reviews):
    model = ftlib.load_model("minilm", reviews)

    def stop(model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(model, reviews, LinearProbe(), steps=50, validation=ftlib.Validation(stop, every=2))
    (run,) = model.about.trained
    assert 0 < run.steps < run.planned == 50


def test_what_it_knows_is_no_tensor_and_travels(minilm):
    assert not [name for name in minilm.state_dict() if "about" in name]
    other = copy.deepcopy(minilm)
    assert other.about == minilm.about and other.about is not minilm.about
    other.about.trained.clear()
    assert minilm.about.trained and pickle.loads(pickle.dumps(minilm.about)) == minilm.about


def test_a_resumed_run_has_one_line(tmp_path, reviews):
    for _ in range(2):  # the second finds the run done
        torch.manual_seed(0)
        model = ftlib.load_model("minilm", reviews)
        trained(model, reviews, LinearProbe(), steps=2, checkpoint=tmp_path / "run.pt")
        assert [run.steps for run in model.about.trained] == [2]


# ---- predict


def test_one_text_gives_one_answer(minilm):
    answer = ftlib.predict(minilm, SENTENCES[0])
    assert answer.label in ("negative", "positive") and answer.probability == max(answer.probabilities.values())
    assert abs(sum(answer.probabilities.values()) - 1) < 1e-9
    assert repr(answer).startswith(f"{answer.label} ({100 * answer.probability:.1f} %), ")


def test_several_texts_give_a_table_that_agrees_with_the_loader(minilm, reviews):
    part = reviews.splits["validation"]
    out = ftlib.predict_logits(minilm, reviews.loader("validation", tokenizer=minilm.tokenizer))
    place = {int(index): row for row, index in enumerate(part.index)}
    want = torch.empty(len(part), 2, dtype=torch.float64)
    want[[place[int(i)] for i in out["index"]]] = out["logits"].double().softmax(1)
    table = ftlib.predict(minilm, part.inputs)
    assert list(table.columns) == ["input", "label", "probability", "negative", "positive"]
    assert list(table.input) == part.inputs
    np.testing.assert_allclose(table[["negative", "positive"]], want, atol=1e-5)  # other batches, other padding
    assert list(table.label) == [reviews.labels[int(k)] for k in want.argmax(1)]
    pd.testing.assert_frame_equal(ftlib.predict(minilm, pd.Series(part.inputs[:3])), table[:3], atol=1e-5)


def test_long_texts_are_cut_as_in_training(minilm):
    long = "good film " * 400
    want = minilm.tokenizer.decode(minilm.tokenizer(long, truncation=True, max_length=96).input_ids[1:-1])
    got, cut = ftlib.predict(minilm, long), ftlib.predict(minilm, want)
    assert abs(got.probability - cut.probability) < 1e-6


def test_images_in_every_form_are_the_same_image(lite0, tmp_path):
    image = images(1)[0]
    image.save(tmp_path / "one.png")
    grey = np.array(image)
    ways = [str(tmp_path / "one.png"), tmp_path / "one.png", image, grey, grey[..., None], torch.tensor(grey)[None],
            np.repeat(grey[..., None], 3, 2), image.convert("RGBA")]  # fmt: skip
    answers = [ftlib.predict(lite0, way) for way in ways]
    assert len({answer.label for answer in answers}) == 1
    np.testing.assert_allclose([a.probability for a in answers], answers[0].probability, atol=2e-2)  # grey of grey
    assert answers[0].probabilities == answers[2].probabilities == answers[3].probabilities


def test_the_tasks_own_pixels_are_left_as_they_are(lite0, digits):
    part = digits.splits["validation"]
    out = ftlib.predict_logits(lite0, digits.loader("validation"))["logits"].argmax(1)
    for pixels in (part.inputs, part.inputs.float() / 255, part.inputs.numpy()):
        table = ftlib.predict(lite0, pixels)
        assert list(table.label) == [digits.labels[k] for k in out]
    assert torch.equal(as_pixels(part.inputs[0], lite0.about.preprocessing), part.inputs[0].float() / 255)


@pytest.mark.parametrize(("shape", "corner"), [("stretch", 10), ("crop", 200), ("pad", 0)])
def test_an_image_becomes_square_as_in_training(shape, corner):
    wide = np.full((20, 60), 200, np.uint8)
    wide[:, :20] = 10  # the left third
    got = as_pixels(wide, Preprocessing(size=20, shape=shape, channels=1))
    assert got.shape == (1, 20, 20) and round(float(got[0, 0, 0]) * 255) == corner


def test_an_image_lies_as_its_camera_says(tmp_path):
    tall = Image.fromarray(np.tile(np.arange(40, dtype=np.uint8)[:, None] * 6, (1, 20)))
    exif = tall.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    tall.save(tmp_path / "turned.png", exif=exif)
    assert as_pixels(tmp_path / "turned.png", Preprocessing()).shape == (1, 20, 40)


def test_a_regression_gives_numbers():
    task = ftlib.load_task("sentiment", n=20, target="rating")
    model = ftlib.load_model("minilm", task)
    one = ftlib.predict(model, SENTENCES[0])
    assert one.label is None and one.probability is None and repr(one) == f"{one.value:.3f}"
    table = ftlib.predict(model, SENTENCES)
    assert list(table.columns) == ["input", "value"] and abs(table["value"][0] - one.value) < 1e-5


def test_a_language_model_answers_in_text(chatty):
    one, table = ftlib.predict(chatty, "w3 w4"), ftlib.predict(chatty, ["w3 w4", "w5"])
    assert one.label == chatty.generate(["w3 w4"])[0] == table.answer[0] and repr(one) == one.label


@pytest.fixture
def chatty(folders):  # noqa: F811
    return models.load(folders["llama"][0])


def test_several_heads_want_a_name(clone):
    clone.head = nn.ModuleDict({"a": clone.head, "b": nn.Linear(clone.width, 4)})
    assert "heads a, b" in said(ftlib.predict, clone, "good")
    assert "has one head" in said(ftlib.predict, ftlib.load_model("minilm", TASK), "good", head="a")
    assert list(ftlib.predict(clone, ["good"], head="b").columns)[3:] == [f"class {k}" for k in range(4)]
    assert set(ftlib.predict(clone, "good", head="a").probabilities) == {"negative", "positive"}


def test_a_head_per_task_is_asked_by_the_name_of_its_task():
    cells = ftlib.load_task("elpv", n=20, size=16)
    torch.manual_seed(0)
    model = ftlib.load_model("efficientnet-lite0", cells)
    more = {name: nn.Linear(model.width, k) for name, k in (("elpv@type", 2), ("elpv@probability", 1), ("fashion", 10))}
    model.head, image = Heads({"elpv": model.head} | more), images(1)[0]
    features = {"pixels": as_pixels(image, model.about.preprocessing, "image")[None]}
    with torch.no_grad():
        wanted = {name: head(model.features(features))[0] for name, head in model.head.items()}
    for name, classes in (("elpv", ["intact", "defective"]), ("elpv@type", ["mono", "poly"])):
        found = ftlib.predict(model, image, task=name).probabilities
        assert list(found) == classes
        assert list(found.values()) == pytest.approx(wanted[name].softmax(0).tolist(), rel=1e-4)
    number = ftlib.predict(model, [image], task="elpv@probability")
    assert list(number.columns) == ["input", "value"] and number.value[0] == pytest.approx(
        wanted["elpv@probability"].item(), rel=1e-4
    )
    assert ftlib.predict(model, image, task=ftlib.tasks.question(cells, "type")).label in ("mono", "poly")
    assert list(ftlib.predict(model, image, task="fashion").probabilities) == [f"class {k}" for k in range(10)]
    assert "no head for the task 'elpv@typ'" in said(ftlib.predict, model, image, task="elpv@typ")
    assert "give one of them" in said(ftlib.predict, model, image, task="elpv@type", head="elpv@type")


def test_a_model_with_one_head_may_be_asked_its_own_task_only(lite0):
    image = images(1)[0]
    assert ftlib.predict(lite0, image, task="digits/optical") == ftlib.predict(lite0, image)
    assert "has one head" in said(ftlib.predict, lite0, image, task="elpv")


TASK = type("Task", (), {"kind": "text", "outputs": 2, "labels": ["label", "no"], "name": "mine"})()


def test_a_class_may_be_called_as_a_column():
    table = ftlib.predict(ftlib.load_model("minilm", TASK), ["good", "bad"])
    assert list(table.columns) == ["input", "label", "probability", "p(label)", "no"]


def test_bad_inputs_get_one_sentence(minilm, lite0, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    images(1)[0].resize((300, 300)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:4000])
    for given, words in [
        ("nothing.png", "there is no file nothing.png"),
        (tmp_path, "is a folder"),
        (tmp_path / "text.png", "is no image"),
        (tmp_path / "cut.png", "is damaged"),
        ([], "the list is empty"),
        (3, "reads the path of an image"),
        ([images(1)[0], None], "input 1 is the NoneType None"),
        (np.zeros((4, 5, 6), np.uint8), r"(4, 5, 6)"),
        (np.full((8, 8), 7.0), "from 7 to 7"),
        (np.full((8, 8), np.nan), "from nan"),
        (torch.zeros(8, 8, dtype=torch.int64), "int64"),
    ]:
        assert words in said(ftlib.predict, lite0, given)
    for given, words in [
        (torch.zeros(2, 3), "reads texts, not numbers"),
        (["good", 3], "input 1 is the int 3"),
        ("  ", "empty text"),
        ({"a": "b"}, "reads a text"),
        (pd.DataFrame({"review": ["good"]}), "a table with the columns review"),
        (["good", "\ud800"], "input 1 is no valid Unicode"),
        (None, "reads a text"),
        (Path("review.txt"), "input 0 is the "),
    ]:
        assert words in said(ftlib.predict, minilm, given)
    assert "has no head" in said(ftlib.predict, ftlib.load_model("minilm"), "good")
    assert "has no tokenizer" in said(ftlib.predict, toy.encoder(), "good")
    assert "load_model" in said(ftlib.predict, nn.Linear(2, 2), "good")


# ---- save and load


def test_a_text_model_comes_back_bit_for_bit(minilm, tmp_path):
    folder = ftlib.save(minilm, tmp_path / "a" / "mine", scores={"test macro_f1": 0.8123})
    again = ftlib.load(folder)
    assert torch.equal(logits(again), logits(minilm)) and again.about == minilm.about
    assert toy.same(again.state_dict(), minilm.state_dict()) and not again.training
    assert ftlib.predict(again, SENTENCES).equals(ftlib.predict(minilm, SENTENCES))
    card = (folder / "README.md").read_text()
    for words in ("minilm", "sentiment/amazon", "negative, positive", "Full()", "0.8123", "ftlib.load", "Apache-2.0",
                  "64 examples for train", "12 of 12 steps"):  # fmt: skip
        assert words in card
    texts = "".join(file.read_text() for file in folder.iterdir() if file.suffix in (".json", ".md"))
    assert str(tmp_path) not in texts and str(ftlib.assets.home()) not in texts


def test_a_saved_encoder_opens_in_transformers(minilm, tmp_path):
    folder = ftlib.save(minilm, tmp_path / "mine")
    net = AutoModel.from_pretrained(folder).eval()
    rows = minilm.tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        h = net(**rows).last_hidden_state
        mask = rows["attention_mask"][..., None].float()
        features = (h * mask).sum(1) / mask.sum(1)
        assert torch.allclose(features, minilm.features(dict(rows)), atol=1e-5)  # another order of additions


@pytest.mark.parametrize("name", ["fine-tuned", "pretrained"])
def test_an_image_model_opens_in_timm(name, lite0, tmp_path):
    model = lite0 if name == "fine-tuned" else ftlib.load_model("efficientnet-lite0")
    folder = ftlib.save(model, tmp_path / "mine")
    again = ftlib.load(folder)
    with torch.no_grad():
        assert torch.equal(logits(again), logits(model)) and again.about == model.about
        net = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        pixels = torch.rand(2, 3, 32, 32)
        mean, std = (torch.tensor(net.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
        assert torch.allclose(net((pixels - mean) / std), model({"pixels": pixels}), atol=1e-4, rtol=1e-4)
    config = json.loads((folder / "config.json").read_text())
    if name == "fine-tuned":
        assert config["label_names"] == [str(k) for k in range(10)] and config["num_classes"] == 10
        assert net.pretrained_cfg["input_size"] == (3, 32, 32) and net.pretrained_cfg["crop_mode"] == "squash"


@pytest.mark.parametrize("name", ["resnet", "vit", "vit-mean", "convnext", "mobilenet", "grey", "conv head", "whole"])
@pytest.mark.parametrize("outputs", [3, None])
def test_other_image_networks_open_in_timm_too(folders, name, outputs, tmp_path):  # noqa: F811
    task = type("Task", (), {"kind": "image", "outputs": 3, "labels": ["a", "b", "c"], "name": "mine"})()
    model = models.load(folders[name][0], task if outputs else None)
    folder = ftlib.save(model, tmp_path / "mine")
    again = ftlib.load(folder)
    net = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.no_grad():
        pixels = torch.rand(2, model.mean.shape[1], 64, 64)
        want = model({"pixels": pixels})
        assert torch.equal(again({"pixels": pixels}), want)
        assert torch.allclose(net((pixels - model.mean) / model.std), want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["roberta", "distilbert", "electra", "llama", "llama untied", "mistral", "qwen3"])
def test_other_text_networks_open_in_transformers_too(folders, name, tmp_path):  # noqa: F811
    model = models.load(folders[name][0])
    folder = ftlib.save(model, tmp_path / "mine")
    again = ftlib.load(folder)
    assert torch.equal(logits(again), logits(model)) and again.about == model.about
    auto = AutoModelForCausalLM if model.kind == "lm" else AutoModel
    net = auto.from_pretrained(folder).eval()
    ids = torch.randint(3, 20, (2, 6))
    with torch.no_grad():
        h = model.run_stages(ids, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, 0, len(model.stages))
        got = net(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        assert torch.allclose(got, model.head(h) if model.kind == "lm" else h, atol=1e-4)


@pytest.mark.parametrize("strategy", [LoRA(r=4), LoRA(r=2, variant="dora"), IA3()], ids=lambda s: repr(s)[:12])
def test_an_adapter_opens_in_peft_and_comes_back_with_base_and_head(reviews, strategy, tmp_path):
    torch.manual_seed(0)
    model = trained(ftlib.load_model("minilm", reviews), reviews, strategy, lr=1e-2)
    folder = ftlib.save(model, tmp_path / "mine")
    assert not (folder / "base").exists()  # MiniLM is as it came
    again = ftlib.load(folder)
    assert torch.equal(logits(again), logits(model)) and again.about == model.about
    net = PeftModel.from_pretrained(AutoModel.from_pretrained(ftlib.assets.path("minilm")), folder).eval()
    rows = model.tokenizer(SENTENCES[:1], return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(net(**rows)[0].mean(1), model.features(dict(rows)), atol=1e-5)
    trained(again, reviews, strategy)  # and learns on


def test_an_adapter_on_a_changed_base_brings_the_base(clone, reviews, tmp_path):
    model = trained(clone, reviews, LoRA(r=4), lr=1e-2)  # after full fine-tuning
    folder = ftlib.save(model, tmp_path / "mine")
    assert torch.equal(logits(ftlib.load(folder)), logits(model))
    net = PeftModel.from_pretrained(AutoModel.from_pretrained(folder / "base"), folder).eval()
    rows = model.tokenizer(SENTENCES[:1], return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(net(**rows)[0].mean(1), model.features(dict(rows)), atol=1e-5)


def test_an_adapter_of_an_image_model(digits, tmp_path):
    torch.manual_seed(0)
    model = trained(ftlib.load_model("efficientnet-lite0", digits), digits, LoRA(r=2), lr=1e-2)
    again = ftlib.load(ftlib.save(model, tmp_path / "mine"))
    assert torch.equal(logits(again), logits(model)) and again.head.out_features == 10


def test_pissa_comes_back(reviews, clone, tmp_path):
    torch.manual_seed(0)
    model = trained(ftlib.load_model("minilm", reviews), reviews, LoRA(r=2, variant="pissa"))
    again = ftlib.load(ftlib.save(model, tmp_path / "mine"))
    assert torch.allclose(logits(again), logits(model), atol=1e-5)  # the base's part is computed again
    changed = trained(clone, reviews, LoRA(r=2, variant="pissa"))
    assert "variant='plain'" in said(ftlib.save, changed, tmp_path / "other")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine"]


@pytest.mark.parametrize("strategy", [Adapter(), Prompt(tokens=4), Prefix(tokens=3)], ids=lambda s: type(s).__name__)
def test_prompts_and_bottlenecks_come_back(reviews, strategy, tmp_path):
    torch.manual_seed(0)
    model = trained(ftlib.load_model("minilm", reviews), reviews, strategy, lr=1e-2)
    before = torch.get_rng_state()
    folder = ftlib.save(model, tmp_path / "mine")
    again = ftlib.load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(logits(again), logits(model)) and "only this kit writes" in (folder / "README.md").read_text()


def test_what_could_not_come_back_is_refused_before_anything_is_written(reviews, clone, tmp_path):
    byhand = Prompt(tokens=4).prepare(ftlib.load_model("minilm", reviews))  # no run of fit says so
    assert "no run of fit" in said(ftlib.save, byhand, tmp_path / "a")
    merged = trained(clone, reviews, LoRA(r=2))
    ftlib.adapters.merge(merged)
    assert "unmerge" in said(ftlib.save, merged, tmp_path / "a")
    assert "load_model" in said(ftlib.save, nn.Linear(2, 2), tmp_path / "a")
    assert "score" in said(ftlib.save, clone, tmp_path / "a", scores={"f1": "high"})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert "is a file: name another" in said(ftlib.save, clone, tmp_path / "file" / "a" / "mine")
    assert "no name for a folder" in said(ftlib.save, clone, tmp_path / "file")


def test_a_folder_is_written_in_one_piece(minilm, tmp_path, monkeypatch):
    folder = ftlib.save(minilm, tmp_path / "mine")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftlib.models.saved.card", full)
    with pytest.raises(OSError, match="No space"):
        ftlib.save(minilm, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
    monkeypatch.undo()
    ftlib.save(minilm, folder, scores={"f1": 1})  # ours: replaced
    assert "f1: 1" in (folder / "README.md").read_text() and [f.name for f in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("path", ["/srv/ada/qx71/birds", "C:\\ada\\qx71\\birds"])
def test_a_saved_folder_names_own_data_without_their_path(path, clone, tmp_path):
    clone.about.task = f"folder:{path}"
    folder = ftlib.save(clone, tmp_path / "mine")
    assert not [file.name for file in folder.iterdir() if b"qx71" in file.read_bytes()]
    text = (folder / "README.md").read_text()
    assert "the task folder:birds" in text and "| task | folder:birds |" in text


def test_a_folder_of_others_is_left_alone(minilm, tmp_path):
    other, ours = tmp_path / "thesis", tmp_path / "mine"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    assert "'thesis.tex'" in said(ftlib.save, minilm, other)
    ftlib.save(minilm, ours)
    (ours / "notes.txt").write_text("mine")
    assert "'notes.txt'" in said(ftlib.save, minilm, ours)
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    (repository / ".DS_Store").touch()
    assert "'.git'" in said(ftlib.save, minilm, repository) and (repository / ".git").exists()
    (repository / ".git").rmdir()
    ftlib.save(minilm, repository)  # what a system left behind is nobody's
    assert "no name for a folder" in said(ftlib.save, minilm, other / "thesis.tex")
    assert (other / "thesis.tex").read_text() == "years of work" and (ours / "notes.txt").exists()


@pytest.fixture(scope="module")
def saved(minilm, tmp_path_factory):
    return ftlib.save(minilm, tmp_path_factory.mktemp("saved") / "mine")


def edited(folder, **changes):
    sheet = json.loads((folder / "ftlib.json").read_text())
    (folder / "ftlib.json").write_text(json.dumps(sheet | changes))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda f: edited(f, format=2, whatever=1), "format 2, and this kit reads up to 1"),
        (lambda f: edited(f, layuot="network"), "there is no key 'layuot' here, the nearest known one is 'layout'"),
        (lambda f: edited(f, about=7), "about should"),
        (lambda f: (f / "ftlib.json").write_text('{"format": 1,'), "not whole JSON"),
        (lambda f: (f / "ftlib.json").unlink(), "use ftlib.load_model(folder, task)"),
        (lambda f: (f / "head.safetensors").unlink(), "head.safetensors is missing"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda f: (f / "head.safetensors").write_bytes(b"12"), "is damaged"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:9999]), "model"),
        (lambda f: (f / "config.json").write_text("{"), "is damaged"),
        (lambda f: edited(f, outputs=5), "head"),
        (lambda f: shutil.rmtree(f), "there is no folder"),
    ],
)
def test_a_folder_that_is_not_whole_gets_one_sentence(saved, tmp_path, fault, words):
    folder = Path(shutil.copytree(saved, tmp_path / "mine"))
    fault(folder)
    assert words in said(ftlib.load, folder, error=(ValueError, FileNotFoundError))


def test_a_plain_folder_is_sent_to_load_model(folders):  # noqa: F811
    assert "use ftlib.load_model(folder, task)" in said(ftlib.load, folders["bert"][0], error=FileNotFoundError)
