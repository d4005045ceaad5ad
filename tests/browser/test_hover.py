"""The feature space in JupyterLab: the mouse over a point, and the keyboard, choose the example that is shown."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect
from reader import PLOT, SECONDS, Dropdown, Reader, Toggle

PANEL = """
import numpy as np
from ftlib.classroom import widgets
rng = np.random.default_rng(0)
names, classes = ["photo", "sketch"] * 60, [str(i // 2 % 10) for i in range(120)]
where = rng.normal(size=(10, 16))
far = np.array([n == "sketch" for n in names])[:, None]
progress = {{
    method: {{step: np.stack([where[int(c)] for c in classes]) + rng.normal(size=(120, 16)) / 3 + gap * far
             for step, gap in zip((0, 100), gaps)}}
    for method, gaps in (("source only", (1, 0.9)), ("DANN", (1, 0.1)))
}}
pictures = [np.kron(rng.integers(0, 255, (7, 7)), np.ones((4, 4))).astype(np.uint8) for _ in names]
sentences = [f"sentence <{{i}}> & “so” 'on', which goes on and on, until its line has to be broken" for i in range(120)]
panel = widgets.of_lesson("07_domain").feature_space(progress, names, classes, {shown})
panel"""


@pytest.mark.parametrize("shown", ["pictures", "sentences"])
def test_the_mouse_and_the_keyboard_choose_an_example(reader: Reader, kit: Path, tmp_path: Path, shown: str):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(PANEL.format(shown=shown))]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), kit / "notebooks" / "trial.ipynb")
    reader.run("trial")
    page, late = reader.page, 1000 * SECONDS
    plot, select = page.locator(PLOT).first, page.locator(".widget-dropdown select")
    about = page.locator("p[role=status]").first
    expect(about).to_contain_text("Example 1: photo, 0", timeout=late)
    mark = plot.locator(".textpoint").filter(has_text="example")  # the two halves have words above them, too
    expect(mark).to_have_text("example 1", timeout=late)

    # Domains that lie apart: no other point is under the mouse.
    assert reader.changes(Toggle("Method", "source only"), {"titles", "marks"}) == {"titles", "marks"}
    points = plot.locator(".scatterlayer .trace").nth(13).locator(".points path")  # sketch, 3: its i-th is 8 + 20 i
    points.nth(2).hover(force=True)
    expect(about).to_contain_text("Example 48: sketch, 3", timeout=late)
    expect(mark).to_have_text("example 48", timeout=late)
    expect(plot.locator(".hovertext")).to_contain_text("example 48: sketch, 3", timeout=late)
    expect(select).to_have_value("48: sketch, 3")

    select.focus()
    page.keyboard.press("ArrowDown")  # while the mouse is still over a point
    expect(about).to_contain_text("Example 49: photo, 4", timeout=late)
    expect(mark).to_have_text("example 49", timeout=late)
    if shown == "pictures":
        expect(page.get_by_role("img", name="Example 49: photo, 4")).to_be_visible()
    else:
        expect(about).to_contain_text("“sentence <48> & “so” 'on'")
    reader.photograph(tmp_path, shown)
    expect(about).to_contain_text("Example 49: photo, 4")
    assert reader.changes(Dropdown("Example", "7: photo, 3"), {"marks"}) == {"marks"}
    assert reader.changes(Toggle("Step", "0"), {"titles", "marks"}) == {"titles", "marks"}
    assert reader.changes(Toggle("Method", "DANN"), {"titles", "marks"}) == {"titles", "marks"}
    assert reader.changes(Toggle("Colour", "class"), {"marks"}) == {"marks"}
    reader.photograph(tmp_path, f"{shown}-after")
    assert reader.nameless() == []
    assert (reader.errors(), reader.console, reader.outside) == ([], [], [])
