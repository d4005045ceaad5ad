"""The panel to try a model, in JupyterLab: by keyboard, with an upload, and with the notebook's own keys."""

import io
import time
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image
from playwright.sync_api import expect
from reader import SECONDS, Reader

TEXTS = """
import ftlib, torch
torch.manual_seed(0)
model = ftlib.load_model("minilm", ftlib.load_task("sentiment/amazon", n=20))
panel = ftlib.widgets.try_model(model, ["What a wonderful film!", "A waste of money."])
panel"""
IMAGES = """
import ftlib, torch
torch.manual_seed(0)
task = ftlib.load_task("digits/optical", n=20, size=32)
panel = ftlib.widgets.try_model(ftlib.load_model("efficientnet-lite0", task), [task.splits["train"].inputs[0]])
panel"""


def opened(reader: Reader, kit: Path, source: str) -> Path:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)], metadata=kernel)
    nbformat.write(notebook, kit / "notebooks" / "trial.ipynb")
    reader.run("trial")
    return kit / "notebooks" / "trial.ipynb"


def test_a_text_is_typed_and_asked_with_the_keyboard(reader: Reader, kit: Path, tmp_path: Path):
    notebook = opened(reader, kit, TEXTS)
    page, late = reader.page, 1000 * SECONDS
    status, text = page.locator("p[role=status]").first, page.get_by_label("Text", exact=True)
    expect(status).to_contain_text("The model says", timeout=late)
    first = status.inner_text()
    text.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("dd It broke after two days. 00")  # keys that would delete cells and restart the kernel
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(status).not_to_have_text(first, timeout=late)
    expect(text).to_have_value("dd It broke after two days. 00")
    before = notebook.stat().st_mtime_ns
    text.focus()
    page.keyboard.press("Control+s")
    end = time.monotonic() + SECONDS
    while notebook.stat().st_mtime_ns == before and time.monotonic() < end:
        page.wait_for_timeout(100)
    assert notebook.stat().st_mtime_ns > before, "Ctrl+S in the text didn't save the notebook"
    reader.photograph(tmp_path, "text")
    assert reader.nameless() == []
    assert (reader.errors(), reader.console, reader.outside) == ([], [], [])


def test_an_image_is_uploaded(reader: Reader, kit: Path, tmp_path: Path):
    opened(reader, kit, IMAGES)
    page, late = reader.page, 1000 * SECONDS
    status = page.locator("p[role=status]").first
    expect(status).to_contain_text("The model says", timeout=late)

    def choose(file: dict) -> None:
        with page.expect_file_chooser(timeout=late) as chooser:
            page.get_by_role("button", name="Choose an image").click()
        chooser.value.set_files(file)

    choose({"name": "bad.png", "mimeType": "image/png", "buffer": b"no image"})
    expect(status).to_contain_text("bad.png is no image", timeout=late)
    out = io.BytesIO()
    Image.fromarray(np.full((30, 40), 90, np.uint8)).save(out, format="png")
    choose({"name": "good.png", "mimeType": "image/png", "buffer": out.getvalue()})
    expect(status).to_contain_text("The model says", timeout=late)
    expect(page.get_by_role("img", name="The image, as the model sees it")).to_be_visible()
    reader.photograph(tmp_path, "image")
    assert reader.nameless() == []
    assert (reader.errors(), reader.console, reader.outside) == ([], [], [])
