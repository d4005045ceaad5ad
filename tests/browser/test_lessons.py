"""Every lesson in JupyterLab and a real browser: it runs, it shows its figures, its controls do what they should.

A new lesson adds one line to LESSONS. What the screen looked like is in build/screenshots/: look at it. The executed
notebooks go into the folder that FTLIB_EXECUTED names, where tests/replay.py finds them, or into build/executed/.
"""

import os
import shutil
from pathlib import Path

import pytest
from reader import PLOT, Control, Dropdown, Reader, Toggle, Zoom

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
EXECUTED = Path(os.environ.get("FTLIB_EXECUTED") or ROOT / "build" / "executed")
# the lesson; a control to move; what must change in the figure beside it
LESSONS = [
    ("00_start_here", Zoom("New reviews, before and after 30 steps"), {"marks"}),
    ("01_full", Dropdown("Measure", "accuracy"), {"titles", "marks"}),
    ("01_full_depth", Zoom("Gain of pretraining against the probe: seven tasks"), {"marks"}),
    ("02_freezing", Dropdown("Measure", "accuracy (%)"), {"titles", "marks"}),
    ("02_freezing_depth", Zoom("100 digits: full fine-tuning starts far off and comes down"), {"marks"}),
    ("03_incremental", Dropdown("Method", "replay"), {"titles", "marks"}),
    ("03_incremental_depth", Zoom("Replay with 20 images: 0 and 1 fall within each new task"), {"marks"}),
    ("04_peft", Toggle("Rank", "64"), {"titles", "marks"}),
    ("04_peft_depth", Zoom("Prompt, prefix and biases lie lowest"), {"marks"}),
    ("05_multitask", Toggle("Width", "256"), {"titles", "marks"}),
    ("05_multitask_depth", Zoom("50 product reviews, 300 steps: change from the network alone"), {"marks"}),
    ("06_schedules", Dropdown("Shape", "linear"), {"titles", "marks"}),
    ("06_schedules_depth", Zoom("100 digits: a constant rate ends highest"), {"marks"}),
    ("07_domain", Toggle("Method", "source-only"), {"titles", "marks"}),
    ("07_domain_depth", Zoom("Eight gain alike, none comes close"), {"marks"}),
    ("08_augmentation", Toggle("Strength", "1"), {"titles", "marks"}),
    ("08_augmentation_depth", Zoom("Solar cells: the policy's mean is lower at each size"), {"marks"}),
    ("09_compare", Toggle("Show", "differences"), {"titles", "marks"}),
    ("10_tools", Toggle("Rank", "8"), {"titles", "marks"}),
]


def test_each_notebook_has_its_line():
    assert [name for name, *_ in LESSONS] == sorted(file.stem for file in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(("name", "control", "what"), LESSONS, ids=[name for name, *_ in LESSONS])
def test_a_lesson_runs_and_answers(reader: Reader, kit: Path, name: str, control: Control, what: set[str]):
    notebook = kit / "notebooks" / f"{name}.ipynb"
    before = notebook.stat().st_mtime_ns
    reader.run(name)
    assert notebook.stat().st_mtime_ns > before, "JupyterLab didn't save the notebook"
    EXECUTED.mkdir(parents=True, exist_ok=True)
    shutil.copy(notebook, EXECUTED)
    reader.photograph(SCREENSHOTS, name)
    assert reader.errors() == []
    figures = reader.page.locator(PLOT)
    assert reader.nameless() == []
    assert figures.count() and all(figure.is_visible() for figure in figures.all())
    assert what <= reader.changes(control, what)
    assert (reader.errors(), reader.console, reader.outside) == ([], [], [])
