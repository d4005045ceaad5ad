"""The panel that asks a model, by its handlers: an answer in words and bars, soon, and one sentence for bad uploads."""

import html
import io
import re
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from PIL import Image

import ftlib
from ftlib.classroom import widgets
from panels import check_controls, check_without_a_kernel

pytestmark = pytest.mark.usefixtures("one_thread")
EXAMPLES = ["What a wonderful film!", "A complete waste of money."]


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


@pytest.fixture(scope="module")
def minilm():
    torch.manual_seed(0)
    return ftlib.load_model("minilm", ftlib.load_task("sentiment/amazon", n=20))


@pytest.fixture(scope="module")
def lite0():
    torch.manual_seed(0)
    return ftlib.load_model("efficientnet-lite0", ftlib.load_task("digits/optical", n=20, size=32))


def spoken(panel):
    assert 'role="status"' in panel.words.value
    words = html.unescape(re.sub("<.*?>", "", panel.words.value))
    assert words == panel.alt == panel._words() == panel.figure.layout.meta["alt"]
    return words


def file(name, content):
    return {"name": name, "type": "image/png", "size": len(content), "content": memoryview(content),
            "last_modified": datetime(2026, 1, 31, tzinfo=UTC)}  # fmt: skip


def png(side=40, value=90):
    out = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).save(out, format="png")
    return out.getvalue()


def test_a_text_is_answered_in_words_and_bars(minilm):
    panel = widgets.try_model(minilm, EXAMPLES)
    check_controls(panel, ["Example", "Ask the model"])
    assert panel.text.description and panel.text.value == EXAMPLES[0]
    first = ftlib.predict(minilm, EXAMPLES[0])
    assert spoken(panel).startswith(f"The model says {first.label}. In order: {first.label} ")
    panel.text.value = "The battery died after two days."
    panel.button.click()
    want = ftlib.predict(minilm, panel.text.value)
    assert panel.answer == want
    (bars,) = panel.figure.data
    assert dict(zip(bars.y, bars.x, strict=True)) == want.probabilities and list(bars.x) == sorted(bars.x)[::-1]
    for name, value in want.probabilities.items():
        assert f"{name} {100 * value:.1f} %" in spoken(panel)


def test_a_task_may_be_named(minilm):
    panel = widgets.try_model(minilm, EXAMPLES, task="sentiment/amazon")
    assert panel.answer == ftlib.predict(minilm, EXAMPLES[0])
    with pytest.raises(ValueError, match="has one head without a name, and head is 'elpv@type'"):
        widgets.try_model(minilm, EXAMPLES, task="elpv@type")


def test_it_answers_soon(minilm):
    panel = widgets.try_model(minilm, EXAMPLES)
    seconds = []
    for i in range(5):
        panel.text.value = f"It broke on day {i}, and nobody answered my letters."
        start = time.perf_counter()
        panel.button.click()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.3


def test_without_a_kernel_the_first_answer_is_shown(minilm):
    panel = widgets.try_model(minilm, EXAMPLES)
    check_without_a_kernel(panel, 60_000, lambda: setattr(panel.example, "value", 1))
    assert panel.text.value == EXAMPLES[1] and panel.answer == ftlib.predict(minilm, EXAMPLES[1])


def test_an_empty_text_gets_a_sentence(minilm):
    panel = widgets.try_model(minilm)
    assert spoken(panel) == "Type a text and ask the model." and not len(panel.figure.data[0].x)
    panel.button.click()
    assert "empty text" in spoken(panel) and panel.answer is None


def test_an_image_is_uploaded_shown_and_answered(lite0):
    panel = widgets.try_model(lite0, [np.zeros((32, 32), np.uint8)])
    check_controls(panel, ["Example", "Ask the model"])
    assert "<img alt=" in panel.shown.value and panel.upload.description
    before = panel.shown.value
    panel.upload.value = (file("cat.png", png()),)
    assert panel.answer == ftlib.predict(lite0, panel.item) and panel.shown.value != before
    assert panel.answer.label in spoken(panel)
    check_without_a_kernel(panel, 80_000, lambda: setattr(panel.upload, "value", (file("b.png", png(30, 5)),)))


@pytest.mark.parametrize(
    ("content", "words"), [(b"no image at all", "bad.png is no image"), (png(300)[:300], "bad.png is damaged")]
)
def test_a_bad_upload_gets_a_sentence_and_the_next_one_works(lite0, content, words):
    panel = widgets.try_model(lite0)
    panel.upload.value = (file("bad.png", content),)
    assert words in spoken(panel) and panel.answer is None and panel.shown.value == ""
    panel.button.click()
    assert spoken(panel) == "There is no image yet: choose one first."
    panel.upload.value = (file("good.png", png()),)
    assert panel.answer is not None


def test_what_cannot_be_asked_is_refused_at_once(minilm):
    with pytest.raises(ValueError, match="has no head"):
        widgets.try_model(ftlib.load_model("minilm"))
    with pytest.raises(ValueError, match="reads"):
        widgets.try_model(minilm, [3.5])


def test_keys_stay_the_notebooks():
    """A text area is not marked as one that takes JupyterLab's shortcuts away, and of its keys Ctrl+S alone is told on.

    ipywidgets stops all keys of a text area; that the notebook is saved is seen in tests/browser/test_trying.py.
    """
    from ftlib.classroom.widgets.panel import Keys

    listener = Keys._esm.partition("const mark =")[2].partition("};")[0]
    assert listener.index('matches("textarea")) return') < listener.index("suppress-shortcuts")
    told_on = Keys._esm.partition("const save =")[2].partition("export default")[0]
    assert 'panel.addEventListener("keydown", save, true)' in Keys._esm
    only = 'if (!target.matches("textarea") || !(ctrlKey || metaKey) || key !== "s") return;'
    assert told_on.index(only) < told_on.index("preventDefault") < told_on.index("dispatchEvent")
    assert Keys._esm.count("preventDefault") == 1
