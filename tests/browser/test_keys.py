"""The keyboard, the toolbar, bars and sizes in JupyterLab: what a learner meets around a panel and a figure."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect
from reader import FIGURE, PLOT, SECONDS, Reader

from ftlib.io import places, workbooks

LATE = 1000 * SECONDS
SETUP = "from ftlib.classroom import widgets\nfrom ftlib import plots, teach\n"
ASK = f"{SETUP}widgets.predict('01_full', 'best-arm')"
QUIZ = "widgets.quiz('01_full', 'balanced-accuracy')"
BOARD = """
import ipywidgets, pandas as pd
told = {"task": "t", "model": "m", "purpose": "measure"}
rows = [{**told, "arm": a, "seed": s, "n": n, "test.accuracy": 0.5 + s / 100 + (a == "b") / 9}
        for a in "ab" for s in range(6) for n in (50, 200)]
widgets.board(pd.DataFrame(rows), {"accuracy": "test.accuracy"}, baseline="a")"""
FIGURES = "plots.scores(pd.DataFrame(rows).query('n == 50'), 'test.accuracy')"
CHECKED = "from ftlib.classroom.checks import Check\nCheck('01_full/one', 'Halve it.')"
BAR = """
import time
from ftlib.io.progress import progress
for _ in progress(range(20)): time.sleep(0.1)
"""
ACTIVE = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
PLACE = """e => { const [box, cell] = [e, e.closest(".jp-Cell")].map(x => x.getBoundingClientRect());
    return [box.x, box.y - cell.y, box.height]; }"""  # the width is left out: JupyterLab keeps a still of its own
BUTTONS = {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Autoscale", "Reset axes"}


@pytest.fixture
def opened(reader: Reader, kit: Path, request: pytest.FixtureRequest) -> Reader:
    """The reader, with a notebook of the given cells open and run."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(source) for source in request.param]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), kit / "notebooks" / "trial.ipynb")
    reader.run("trial")
    return reader


@pytest.mark.parametrize("opened", [[ASK, QUIZ, BOARD, FIGURES, CHECKED, BAR, "1 + 1"]], indirect=True)
def test_around_a_panel_and_a_figure(opened: Reader, tmp_path: Path):
    page = opened.page
    check_focus(page)
    check_shortcuts(page)
    check_groups(page)
    check_edges(page)
    check_bar(page)
    check_toolbar_and_size(page)
    opened.photograph(tmp_path, "keys")
    assert opened.nameless() == []
    assert (opened.errors(), opened.console, opened.outside) == ([], [], [])


def check_focus(page):
    """A committed prediction hands the focus to the next cell, so Shift+Enter runs that one."""
    cell = page.locator(".jp-Cell").nth(0)
    cell.get_by_role("radio").nth(1).check()
    cell.get_by_role("button", name="Commit my prediction").click()
    expect(cell.locator("p[role=status]").last).to_contain_text("Your prediction is kept", timeout=LATE)
    page.wait_for_function(f"() => ({ACTIVE})() === 1", timeout=LATE)
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(f"() => ({ACTIVE})() === 2", timeout=LATE)


def check_shortcuts(page):
    """In a radio button, arrows and letters stay in the panel; Shift+Enter is the notebook's."""
    cell = page.locator(".jp-Cell").nth(0)
    count = page.locator(".jp-Cell").count()
    radio = cell.get_by_role("radio").nth(1)
    radio.focus()
    page.keyboard.press("ArrowDown")
    expect(cell.get_by_role("radio").nth(2)).to_be_checked(timeout=LATE)
    for key in ("a", "d", "d", "x"):  # a new cell above, delete, cut
        page.keyboard.press(key)
    assert page.locator(".jp-Cell").count() == count and page.evaluate(ACTIVE) == 0
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(f"() => ({ACTIVE})() === 1", timeout=LATE)
    select = page.locator(".widget-dropdown select").first
    select.focus()
    page.keyboard.press("Control+s")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=LATE)


def check_groups(page):
    """Radio buttons are a group with the question's name; a toggle button says that it is pressed, and looks so."""
    groups = page.locator("[role=radiogroup]")
    names = [group.get_attribute("aria-label") for group in groups.all()]
    assert len(names) == 2 and all(len(name) > 20 for name in names)
    toggles = page.locator(".widget-toggle-buttons button")
    pressed = [toggle.get_attribute("aria-pressed") for toggle in toggles.all()]
    assert sorted(pressed) == ["false", "true"]
    toggles.nth(pressed.index("false")).click()
    expect(toggles.nth(pressed.index("false"))).to_have_attribute("aria-pressed", "true", timeout=LATE)
    expect(toggles.nth(pressed.index("true"))).to_have_attribute("aria-pressed", "false", timeout=LATE)
    frame = toggles.nth(pressed.index("false")).evaluate("e => getComputedStyle(e).boxShadow")
    assert "inset" in frame


def check_toolbar_and_size(page):
    """No button leaves the computer, and a figure that comes alive keeps its place."""
    for plot in page.locator(PLOT).all():
        titles = {button.get_attribute("data-title") for button in plot.locator(".modebar-btn").all()}
        assert titles <= BUTTONS and len(titles) > 4, titles
    page.reload()
    page.wait_for_selector(f"{FIGURE} img", timeout=LATE)
    figure = page.locator(FIGURE).first
    image = figure.locator("img").first
    figure.scroll_into_view_if_needed()
    still = image.evaluate(PLACE)
    figure.hover(position={"x": 50, "y": 50})
    expect(figure.locator(".main-svg").first).to_be_visible(timeout=LATE)
    live = figure.locator(".main-svg").first.evaluate(PLACE)
    assert still == pytest.approx(live, abs=8), (still, live)


def check_edges(page):
    """What is not passed yet has an orange edge."""
    edge = page.get_by_text("Not yet: one.").locator("xpath=ancestor::div[1]")
    assert edge.evaluate("e => getComputedStyle(e).borderLeftWidth") == "6px"


def check_bar(page):
    """A bar that has ended leaves no band behind."""
    cell = page.locator(".jp-Cell").nth(5)
    assert cell.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert cell.locator("progress").count() == 0
    box = cell.locator(".jp-OutputArea").first.bounding_box()
    assert box is None or box["height"] <= 20, box  # the padding of the area, and nothing in it


def test_a_learners_copy_opens_without_results_and_its_links_work(reader: Reader, kit: Path, monkeypatch):
    """The link to the depth notebook opens the copy in the folder depth."""
    monkeypatch.setattr(places, "ROOT", kit)
    workbooks.begin()
    page, lab = reader.page, reader.lab
    copy = places.work().relative_to(kit) / "02_freezing.ipynb"
    page.goto(f"{lab.address}/lab/tree/{copy}?token={lab.token}&reset")
    link = page.locator(".jp-MarkdownOutput a", has_text="another notebook").first
    expect(link).to_be_visible(timeout=LATE)
    assert page.locator(".jp-OutputArea-output").count() == 0
    link.click()
    path = "() => window.jupyterapp.shell.currentWidget.context.path"
    page.wait_for_function(f"() => ({path})() === 'work/depth/02_freezing_depth.ipynb'", timeout=LATE)
