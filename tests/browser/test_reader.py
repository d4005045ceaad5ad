"""The reader of test_lessons.py sees what it should see: on a notebook that is sound, and on one where all is wrong."""

from pathlib import Path

import nbformat
import pytest
from reader import Dropdown, Reader, Slider

FIGURE = """
import ipywidgets
import plotly.graph_objects as go
figure = go.FigureWidget(go.Scatter(y=[1, 2, 4]), layout={"title": "power 1"})
power = ipywidgets.IntSlider(value=1, min=1, max=4, description="power")
shape = ipywidgets.Dropdown(options=["line", "steps"], description="shape")
"""
SOUND = [
    "import socket\nassert socket.ftlib_guarded",  # the kernel, too, reaches this computer only
    f"""{FIGURE}
def draw(change):
    with figure.batch_update():
        figure.data[0].y = [k**power.value for k in (1, 2, 4)]
        figure.data[0].line.shape = {{"line": "linear", "steps": "hv"}}[shape.value]
        figure.layout.title = f"power {{power.value}}"
power.observe(draw, "value")
shape.observe(draw, "value")
ipywidgets.VBox([power, shape, figure])""",
    "go.Figure(go.Scatter(y=[1, 3]))",
]
WRONG = [
    f"{FIGURE}\nipywidgets.VBox([power, figure])",  # nobody observes the slider
    "out = ipywidgets.Output()\ndisplay(out)\nwith out:\n    print(1 / 0)",
    "from IPython.display import Image\nImage(url='http://nowhere.invalid/picture.png')",
    "1 + '1'",
    "2 + 2",
]


@pytest.fixture
def opened(reader: Reader, kit: Path, request: pytest.FixtureRequest) -> Reader:
    """The reader, with a notebook of the given cells open and run."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(source) for source in request.param]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), kit / "notebooks" / "trial.ipynb")
    reader.run("trial")
    return reader


@pytest.mark.parametrize("opened", [SOUND], ids=["sound"], indirect=True)
def test_a_sound_notebook(opened: Reader, tmp_path: Path):
    assert opened.errors() == []
    assert opened.changes(Slider("power"), {"titles", "marks"}) == {"titles", "marks"}
    assert opened.changes(Dropdown("shape", "steps"), {"marks"}) == {"marks"}
    assert (opened.console, opened.outside) == ([], [])
    opened.photograph(tmp_path, "trial")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["trial-01.png", "trial-02.png"]


@pytest.mark.parametrize("opened", [WRONG], ids=["wrong"], indirect=True)
def test_a_notebook_where_all_is_wrong(opened: Reader):
    errors = "\n".join(opened.errors())
    assert "ZeroDivisionError" in errors and "TypeError: unsupported" in errors and "not run: 2 + 2" in errors
    assert opened.outside == ["http://nowhere.invalid/picture.png"]
    assert opened.console and all("Failed to load resource" in said for said in opened.console)
    assert opened.changes(Slider("power"), {"titles"}, seconds=3) == set()
    assert [html for html in opened.nameless() if 'role="slider"' in html]
