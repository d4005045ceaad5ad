"""`make site` without Sphinx and a browser; tests/browser/test_built_site.py has the rest."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ftlib
from ftlib import strategies
from ftlib.io import places
from website import board_data, figures, prepare, reference

ROOT = Path(__file__).parents[1]
GRIDS = sorted(file.stem for file in places.results().glob("*.jsonl"))
OUTSIDE = re.compile(r"""(?:https?:)?//[\w.-]+\.[a-z]{2,}""")
KNOWN = {"README.md", "docs/claims.md", "docs/lessons.md", "notebooks/04_peft.ipynb", "notebooks/04_peft_depth.ipynb"}


# -- its environment -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("group", "some"), [("site", {"sphinx", "myst-nb"}), ("board", {"voila"})])
def test_its_packages_are_pinned_and_are_not_the_kits(group, some):
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    pinned = [Requirement(text) for text in groups[group]]
    names = {canonicalize_name(one.name) for one in pinned}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    kit = {canonicalize_name(line.partition("==")[0]) for line in lines if not line.startswith("#")}
    assert some <= names and "plotly" in kit and not names & kit
    assert all(re.fullmatch(r"==[\w.]+", str(one.specifier)) for one in pinned)


@pytest.mark.parametrize("group", ["site", "board"])
def test_make_lists_it_and_clean_removes_its_environment(group):
    makefile = (ROOT / "Makefile").read_text()
    assert group in re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    assert re.search(rf"^clean:.*\n\trm -rf .*\.venv-{group}\b", makefile, re.M)
    assert {f".venv-{group}/", "build/"} <= set((ROOT / ".gitignore").read_text().splitlines())


# -- the board's data ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("grid", GRIDS)
def test_the_board_has_every_number_of_the_runs_that_measure(grid):
    runs = ftlib.load_runs(grid)
    found = json.loads(json.dumps(board_data.settings_of(grid, runs), allow_nan=False))
    runs = runs[runs.purpose == "measure"].set_index("id")
    numbers = [c for c in runs if c in board_data.COSTS or ("." in c and not c.startswith(("seconds.", "parameters.")))]
    names = ["arm", "seed", "task", "model", *board_data.options_of(runs)]
    keys = zip(*(runs[name].astype(object).where(runs[name].notna(), None) for name in names))
    recorded = dict(zip(keys, runs[numbers].to_numpy(dtype=float)))
    for one in found:
        known = {**one["options"], "task": one["task"], "model": one["model"]}
        for i, (arm, seed) in enumerate(zip(one["runs"]["arm"], one["runs"]["seed"])):
            key = known | {"arm": one["arms"][arm], "seed": seed}
            shown = [one["runs"][column][i] if column in one["runs"] else None for column in numbers]
            # six digits are kept of each number
            np.testing.assert_allclose(
                np.array(shown, dtype=float), recorded.pop(tuple(key.get(name) for name in names)), rtol=1e-5
            )
    assert not recorded


def test_the_board_refuses_to_mix_two_runs_of_a_seed():
    runs = ftlib.load_runs("02_freezing_cost")
    twice = runs.assign(n=100, size=64, task="elpv", model="minilm")
    with pytest.raises(ValueError, match="each arm must have one run per seed, but in 02_freezing_cost"):
        board_data.settings_of("02_freezing_cost", twice)


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("test.macro_f1", "macro-F1 on test"),
        ("validation.worst_class", "worst class on validation"),
        ("digits/optical:test.nll", "NLL in nats on digits/optical, test"),
        ("sequence.forgetting", "sequence: forgetting"),
    ],
)
def test_a_measure_has_a_name_that_can_be_read(metric, label):
    assert board_data.label_of(metric) == label


def test_the_usual_scores_on_test_come_first():
    found = ["digits/optical:test.nll", "validation.accuracy", "test.nll", "test.macro_f1", "train.ece"]
    assert board_data.order(found) == [found[3], found[2], found[1], found[4], found[0]]
    assert board_data.LOWER.search("test.nll") and not board_data.LOWER.search("test.accuracy")
    assert board_data.POINTS.search("test.balanced_accuracy") and not board_data.POINTS.search("test.nll")


# -- its pages -----------------------------------------------------------------------------------------------
def test_the_flow_chart_is_a_list_with_every_arrow():
    chart = prepare.CHART.search((ROOT / "README.md").read_text(encoding="utf-8"))[1]
    known = {f"notebooks/{file.name}" for file in (ROOT / "notebooks").glob("*.ipynb")}
    lines = prepare.as_questions(chart, known, "").splitlines()
    assert sum(line.startswith("  - ") for line in lines) == chart.count("-->")
    assert "- **Do I have labels for my own data?**" in lines
    assert "  - only for similar data → [07 Domain adaptation](notebooks/07_domain.ipynb)" in lines
    assert not re.search(r"[\[({]{2}|<br>|\|", "".join(lines))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[a](claims.md)", "[a](claims.md)"),
        ("[a](../notebooks/04_peft.ipynb#3)", "[a](../notebooks/04_peft.ipynb#3)"),
        ("[the page](../lessons/04_peft/teacher.md)", "the page"),
        ("[code](../ftlib/models/dropout.py)", "code"),
        ("[home](../README.md)", "[home](../index.md)"),
        ("[paper](https://arxiv.org/abs/1)", "[paper](https://arxiv.org/abs/1)"),
        ("![seen](first_win.png)", "![seen](first_win.png)"),
        ("[here](#term)", "[here](#term)"),
    ],
)
def test_a_link_leads_to_a_page_or_is_words(text, shown):
    assert prepare.links(text, "docs/lessons.md", KNOWN) == shown


def test_the_start_page_lists_what_is_there_and_the_lessons_list_the_notebooks():
    first = prepare.children("README.md", KNOWN)
    assert first[:3] == ["Lessons <docs/lessons>", "Board <board>", "Claims <docs/claims>"]
    assert "docs/cheat_sheet" not in first
    assert "docs/cheat_sheet" in prepare.children("README.md", KNOWN | {"docs/cheat_sheet.md"})
    assert prepare.children("docs/lessons.md", KNOWN) == ["/notebooks/04_peft", "/notebooks/04_peft_depth"]


def test_everything_is_laid_out_and_nothing_of_the_teachers_is(tmp_path):
    prepare.prepare(tmp_path)
    names = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert {file.name for file in (ROOT / "notebooks").glob("*.ipynb")} == {
        name.removeprefix("notebooks/") for name in names if name.startswith("notebooks/")
    }
    assert {"index.md", "board.md", "docs/claims.md", "docs/first_win.png", "reference/ftlib.rst"} <= names
    assert not any("teacher" in name for name in names)
    for file in tmp_path.glob("notebooks/*.ipynb"):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        assert not any("guard" in cell["metadata"].get("tags", []) for cell in cells)
        data = [output["data"] for cell in cells for output in cell.get("outputs", []) if "data" in output]
        assert not any({figures.WIDGET, figures.LIVE, "image/png"} & set(entries) for entries in data)


def test_a_figure_is_a_described_picture_with_its_data_beside_it():
    live = {"data": [{"text": ["</script>"]}], "layout": {"width": 5}}
    data = {figures.LIVE: live, "image/png": ["aGVs\n", "bG8="], "text/plain": 'Two "bars".'}
    shown = figures.without_kernel(data)["text/html"]
    assert 'src="data:image/png;base64,aGVsbG8="' in shown and 'alt="Two &quot;bars&quot;."' in shown
    inside = re.fullmatch(r".*<script type=\"application/json\">(.*)</script><button.*", shown)[1]
    assert "</script" not in inside and json.loads(inside) == live


def test_a_panel_shows_its_words_and_says_where_it_works():
    shown = figures.without_kernel({figures.WIDGET: {}, "text/plain": "a < b?"})["text/html"]
    assert "a &lt; b?" in shown and "how to install" in shown
    assert "<button" not in figures.without_kernel({"image/png": "a", "text/plain": ""})["text/html"]


def test_our_pages_and_scripts_name_no_place_outside():
    files = [file for file in (ROOT / "website").rglob("*") if file.suffix in (".html", ".js", ".css", ".py", ".md")]
    assert len(files) > 8
    assert {file.name: found for file in files if (found := OUTSIDE.findall(file.read_text(encoding="utf-8")))} == {}


def test_the_reference_has_every_public_name():
    text = "\n".join(reference.pages().values())
    assert re.findall(r"autofunction:: ftlib\.fit$", text, re.M) and "autoclass:: ftlib.strategies.L2SP" in text
    listed = set(re.findall(r"auto\w+:: ftlib\.([\w.]+)$", text, re.M))
    assert {*ftlib._PUBLIC, *(f"strategies.{name}" for name in strategies.CATALOG)} <= listed
    assert {"tasks.load", "metrics.forgetting", "plots.scores", "teach.claim", "widgets.board", "tools.tool"} <= listed
