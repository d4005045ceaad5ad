"""The copies of a lesson: what each holds, and what nbgrader's own gradebook says of them."""

import copy
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import build  # noqa: E402
import cells  # noqa: E402
import minutes  # noqa: E402
import release  # noqa: E402

SAMPLE = ROOT / "tests" / "data" / "90_sample.py"
SOURCES = [*build.lessons([]), SAMPLE]


def has_points(source: Path) -> bool:
    return any(cells.tagged(cell, "points") for cell in build.read(source).cells)


def texts(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells)


def withheld(source: Path) -> set[str]:
    """The lines of a lesson that stand in a solution or a hidden test and nowhere else in it."""
    inside, lines = False, {True: set(), False: set()}
    for line in source.read_text(encoding="utf-8").splitlines():
        if re.match(r"\s*### BEGIN", line):
            inside = True
        lines[inside].add(line.strip())
        if re.match(r"\s*### END", line):
            inside = False
    return lines[True] - lines[False] - {""}


# -- what the copies hold -------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", SOURCES, ids=build.name_of)
class TestEachLesson:
    def test_the_student_copy_holds_no_line_of_a_solution_and_no_output(self, source):
        student = cells.student(build.read(source))
        lines = {line.strip() for line in texts(student).splitlines()}
        assert not lines & withheld(source)
        assert not re.search("BEGIN|END SOLUTION|HIDDEN TESTS", texts(student))
        assert not [cell for cell in student.cells if cell.get("outputs") or cell.get("execution_count")]

    def test_the_teacher_copy_has_all(self, source):
        lines = {line.strip() for line in texts(cells.teacher(build.read(source))).splitlines()}
        assert withheld(source) <= lines

    def test_ids_are_those_of_the_source_in_every_copy(self, source):
        lesson = build.read(source)
        ids = [cell["id"] for cell in lesson.cells]
        assert ids == [cell["id"] for cell in build.read(source).cells] and len(set(ids)) == len(ids)
        assert ids == [cell["id"] for cell in cells.teacher(lesson).cells]
        for made in (cells.student(lesson), cells.sheet(lesson)):
            kept = [cell["id"] for cell in made.cells]
            assert kept == [i for i in ids if i in kept]

    def test_the_copies_leave_the_lesson_as_it_was(self, source):
        lesson = build.read(source)
        for make in (cells.student, cells.teacher, cells.sheet):
            make(lesson)
        assert lesson == build.read(source)


def test_the_sample_withholds_lines():
    assert len(withheld(SAMPLE)) == 11 and has_points(SAMPLE)


@pytest.mark.parametrize("source", [s for s in SOURCES if has_points(s)], ids=build.name_of)
def test_a_sheet_has_a_table_of_its_own(source):
    """The lesson's table names parts that the sheet does not have."""
    sheet = cells.sheet(build.read(source))
    opening = next(cell for cell in sheet.cells if cell.cell_type == "markdown")
    table = re.findall(r"^\| ([^|]+) \| (\d+) \|$", opening.source, re.M)
    graded = [(cells.tagged(c, "check"), cells.tagged(c, "points")) for c in sheet.cells if cells.tagged(c, "points")]
    assert graded and table == [(name.replace("_", " "), points) for name, points in graded]
    assert "**depth**" not in texts(sheet)


def test_a_stub_stands_where_the_solution_stood():
    student = texts(cells.student(build.read(SAMPLE)))
    stub = "    # YOUR CODE HERE\n    raise NotImplementedError\n"
    assert f'def area(r):\n    """The area of a circle of radius r."""\n{stub}' in student + "\n"
    assert "    if t < 0:\n        # YOUR CODE HERE\n        raise NotImplementedError\n    # YOUR CODE" in student
    assert "model answer" not in student


def test_the_student_copy_runs_to_its_end_and_the_checks_are_kind(tmp_path):
    student = cells.student(build.read(SAMPLE))
    NotebookClient(student, kernel_name="python3", timeout=600, startup_timeout=600).execute(cwd=str(tmp_path))
    said = "".join(o.text for cell in student.cells for o in cell.get("outputs", []))
    assert said.count("is still to be written.") == 3 and said.endswith("the end of the lesson\n")


def test_a_sheet_holds_what_is_graded_and_what_that_needs():
    sheet = cells.sheet(build.read(SAMPLE))
    assert "undefined_in_the_sheet" not in texts(sheet) and "take home" not in texts(sheet)
    assert "import math" in texts(sheet) and "RATE = 0.5" in texts(sheet)
    marks = {}
    for cell in sheet.cells:
        if cell.cell_type == "code":
            data = cell.metadata["nbgrader"]
            marks[data["grade_id"]] = (data["solution"], data["grade"], data["locked"], data.get("points"))
    named = {name: mark for name, mark in marks.items() if not name.startswith("cell-")}
    assert named == {
        "area": (True, False, False, None),
        "check-area": (False, True, True, 2),
        "decay": (True, False, False, None),
        "check-decay": (False, True, True, 3),
    }
    assert {mark for name, mark in marks.items() if name not in named} == {(False, False, True, None)}
    assert "check('area', area, strict=True)\n### END HIDDEN TESTS" in texts(sheet)


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("    ### BEGIN SOLUTION\n    squared", "### BEGIN SOLUTION\n    squared", "inside a function"),
        ("    return RATE**t  # only in the solution of decay\n    ### END SOLUTION", "", "needs its own ### END"),
        ('tags=["exercise:area"]', "", "tagged exercise: where it holds a solution"),
        ('tags=["check:area", "points:2"]', 'tags=["points:2"]', "points belong to a cell tagged check"),
        ('tags=["check:area", "points:2"]', "", "each exercise needs one check"),
        ('tags=["check:area", "points:2"]', 'tags=["check:decay"]', "must stand below"),
        ('check("decay", decay)', 'said = check("decay", decay)', "must end with the call"),
    ],
)
def test_a_lesson_that_is_marked_wrongly_is_told_so(tmp_path, old, new, said):
    text = SAMPLE.read_text(encoding="utf-8")
    assert old in text
    wrong = tmp_path / "90_wrong.py"
    wrong.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        cells.teacher(build.read(wrong))
        cells.student(build.read(wrong))


def test_each_teacher_page_has_the_minutes_the_exercises_and_the_right_answers():
    """The sections with the minutes of the notebook; each graded exercise; the right option of each question."""
    pages = sorted((ROOT / "lessons").glob("*/teacher.md"))
    assert {page.parent.name for page in pages} >= {build.name_of(s) for s in SOURCES if has_points(s)} - {SAMPLE.stem}
    for page in pages:
        text, source = page.read_text(encoding="utf-8"), page.with_name("lesson.py")
        there = [(s.heading.split(".")[0], str(s.printed)) for s in minutes.sections(build.read(source))[1:]]
        assert re.findall(r"^\| (\d+) \| (\d+) \|", text, re.M) == there
        for cell in build.read(source).cells:
            assert f"`{cells.tagged(cell, 'exercise')}`" in text or not cells.tagged(cell, "exercise")
        for question in json.loads(page.with_name("questions.en.json").read_text(encoding="utf-8")):
            right = [option["key"] for option in question["options"] if option.get("right")]
            assert question["kind"] == "predict" or f"| `{question['id']}` | {right[0]} |" in text


# -- what nbgrader makes of them ------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=[s for s in SOURCES if has_points(s)], ids=build.name_of)
def graded(request, tmp_path_factory):
    """A lesson's sheet, released, handed in by three students, autograded; and what the gradebook says of them."""
    from nbgrader.apps import NbGraderAPI

    name, course = build.name_of(request.param), tmp_path_factory.mktemp("course")
    sheet = cells.sheet(build.read(request.param))
    file = release.assign(sheet, name, course)
    released = nbformat.read(file, 4)
    points = {
        cells.tagged(c, "check"): int(cells.tagged(c, "points")) for c in sheet.cells if cells.tagged(c, "points")
    }
    solved = {"all": list(points), "half": list(points)[: len(points) // 2], "untouched": []}
    api = NbGraderAPI(config=release.settings(course))
    for student, exercises in solved.items():
        handed_in = fill(released, sheet, exercises, tamper=student == "half")
        build.save(handed_in, course / "submitted" / student / name / file.name)
        done = api.autograde(name, student, force=True, create=True)
        assert done["success"], done
    with api.gradebook as book:
        scores = {s.student.id: (s.score, s.max_score) for s in book.assignment_submissions(name)}
    return {"source": request.param, "released": released, "points": points, "solved": solved, "scores": scores}


def fill(released, sheet, solved: list[str], tamper: bool) -> nbformat.NotebookNode:
    """The sheet as handed in by someone who solved these exercises and, to tamper, emptied the checks of the others."""
    handed_in = copy.deepcopy(released)
    answers = {cells.tagged(cell, "exercise"): cell.source for cell in sheet.cells}
    for cell in handed_in.cells:
        if cells.tagged(cell, "exercise") in solved:
            cell.source = answers[cells.tagged(cell, "exercise")]
        elif tamper and cells.tagged(cell, "check") not in ["", *solved]:
            cell.source = "print('passed')"
    return handed_in


class TestTheGradebook:
    def test_the_solution_gets_all_and_the_untouched_copy_nothing(self, graded):
        most = sum(graded["points"].values())
        assert graded["scores"]["all"] == (most, most) and most > 0
        assert graded["scores"]["untouched"] == (0, most)

    def test_a_half_done_copy_gets_what_it_solved_though_it_emptied_the_other_checks(self, graded):
        score, most = graded["scores"]["half"]
        assert score == sum(graded["points"][name] for name in graded["solved"]["half"])
        assert 0 < score < most, "grade at least two exercises of a lesson"

    def test_the_release_holds_no_solution_and_its_cells_are_those_of_the_student_copy(self, graded):
        lines = {line.strip() for line in texts(graded["released"]).splitlines()}
        assert not lines & withheld(graded["source"]) and "strict=True" not in texts(graded["released"])
        student = {c["id"]: c.source.strip() for c in cells.student(build.read(graded["source"])).cells}
        released = {c["id"]: c.source.strip() for c in graded["released"].cells}
        opening = next(c["id"] for c in graded["released"].cells if c.cell_type == "markdown")  # its table is its own
        assert released.pop(opening) and released and released == {i: student[i] for i in released}


def test_the_settings_reach_nbgrader(tmp_path):
    from nbgrader.preprocessors import Execute

    shutil.copy(ROOT / "lessons" / "nbgrader_config.py", tmp_path)
    execute = Execute(config=release.settings(tmp_path))
    assert (execute.timeout, execute.kernel_name) == (120, "python3")
