"""Figures that widgets change: plotly's code comes to a page once, and no change from Python is lost on the way."""

from pathlib import Path

import nbformat
from playwright.sync_api import expect
from reader import SECONDS, Reader

TWO = """
import plotly.graph_objects as go
from ftlib.classroom.widgets.live import live
first, second = (live(go.Figure(go.Bar(y=[1, 2]), layout={"title": "empty", "height": 200})) for _ in range(2))
first.plotly_update(restyle_data={"y": [[5, 6]]}, relayout_data={"title.text": "changed before the code came"})
second.add_bar(y=[3, 3])
display(first, second)"""
AGAIN = 'second.layout.title.text = "changed later"'


def test_the_code_comes_once_and_early_changes_are_kept(reader: Reader, kit: Path):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(source) for source in (TWO, AGAIN)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), kit / "notebooks" / "trial.ipynb")
    sent = []
    reader.page.on("websocket", lambda socket: socket.on("framereceived", lambda data: sent.append(len(data))))
    reader.run("trial")
    titles = reader.page.locator(".gtitle")
    expect(titles.nth(0)).to_have_text("changed before the code came", timeout=1000 * SECONDS)
    expect(titles.nth(1)).to_have_text("changed later", timeout=1000 * SECONDS)
    bars = reader.page.locator(".js-plotly-plot").nth(1).locator(".trace.bars")
    expect(bars).to_have_count(2, timeout=20_000)
    assert sum(size > 1_000_000 for size in sent) == 1
    reader.page.goto(reader.page.url.replace("?reset", ""))  # the kernel lives on: the page asks it for its widgets
    expect(titles.nth(0)).to_have_text("changed before the code came", timeout=1000 * SECONDS)
    expect(titles.nth(1)).to_have_text("changed later", timeout=1000 * SECONDS)
    expect(bars).to_have_count(2, timeout=20_000)
    assert (reader.errors(), reader.console, reader.outside) == ([], [], [])
