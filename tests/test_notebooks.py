"""Every lesson and its notebook agree, hold what they should, and stay small. nbval compares their outputs."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import build  # noqa: E402
import cells as lesson_cells  # noqa: E402

LESSONS = {build.name_of(file): file for file in build.lessons([])}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_each_lesson_has_a_notebook_and_each_notebook_a_lesson():
    assert [*LESSONS] == [f.stem for f in NOTEBOOKS] and len(LESSONS) >= 2


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: f.stem)
class TestEachNotebook:
    def test_agrees_with_its_source_and_was_executed(self, file):
        lesson = build.read(LESSONS[file.stem])
        assert build.up_to_date(lesson_cells.student(lesson), file), "run `make notebooks`"

    def test_shows_the_verdicts_of_the_runs_that_are_recorded_now(self, file):
        assert not build.outdated(file), "run `make notebooks`"

    def test_was_executed_in_order_without_an_error(self, file):
        cells = [c for c in nbformat.read(file, 4).cells if c.cell_type == "code"]
        assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
        outputs = [o for c in cells for o in c.outputs]
        assert outputs and not [o for o in outputs if o.output_type == "error"]

    def test_is_small_and_holds_no_widget_state_and_no_path(self, file):
        text = file.read_text(encoding="utf-8")
        assert len(text) < 2_000_000 and "widgets" not in json.loads(text)["metadata"]
        assert not re.findall(r"/(?:home|root|work|Users|tmp)/\w+", text)

    def test_keeps_the_measure_of_a_lesson(self, file):
        cells = nbformat.read(file, 4).cells
        for cell in cells:
            if cell.cell_type == "code":
                assert len(cell.source.splitlines()) <= 25, cell.source
            else:
                prose = re.sub(r"\|.*|\$.*?\$|[#*`]", " ", cell.source)
                assert len(prose.split()) <= 150, cell.source
        lines = [line for c in cells if c.cell_type == "markdown" for line in c.source.splitlines()]
        headings = [found[0] for line in lines if (found := re.match(r"#+ ", line))]
        assert headings.count("# ") == 1 and headings[0] == "# "

    def test_imports_only_public_names(self, file):
        code = "\n".join(c.source for c in nbformat.read(file, 4).cells if c.cell_type == "code")
        assert not re.findall(r"ftlib(?:\.\w+)*\._\w+|from ftlib\S* import _\w+", code)
        assert "cuda" not in code and "pip install" not in code

    def test_every_figure_can_be_seen_without_a_kernel_and_read_without_seeing(self, file):
        for cell in nbformat.read(file, 4).cells:
            outputs = cell.get("outputs", [])
            for i, output in enumerate(outputs):
                if "application/vnd.plotly.v1+json" in output.get("data", {}):
                    assert output.data["image/png"] and len(output.data["text/plain"]) > 40
                if "image/png" in output.get("data", {}) and build.VIEW not in output.data:
                    assert "<summary>In words</summary>" in outputs[i + 1].data["text/html"]


def test_a_verdict_that_changed_is_shown_without_another_run(tmp_path):
    copy, source = tmp_path / "03_incremental.ipynb", LESSONS["03_incremental"]
    notebook = nbformat.read(build.NOTEBOOKS / copy.name, 4)
    claim = next(cell for cell in notebook.cells if cell.source.startswith("teach.claim("))
    claim.source = re.sub(r'verdict="[^"]*"', 'verdict="what was said before"', claim.source)
    claim.outputs[0].data["text/markdown"] = "what was said before"
    build.save(notebook, copy)
    assert claim.source in build.outdated(copy)
    wanted = lesson_cells.student(build.read(source))
    assert build.keep_outputs(wanted, copy)
    build.show_verdicts(wanted)
    build.save(wanted, copy)
    assert not build.outdated(copy) and build.up_to_date(lesson_cells.student(build.read(source)), copy)
    for cell in wanted.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    build.save(wanted, copy)
    assert build.outdated(copy)  # and no error
