"""What a finished lesson is, as far as a script can say: every notebook that claims to be one is held to it.

A lesson is a source called 01_… to 10_…; its optional second half is called 0N_…_depth.
"""

import ast
import builtins
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from ftlib import classroom as teach
from ftlib.classroom.lessons import part
from ftlib.classroom.verdicts import SIGNS
from ftlib.io import places

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import build  # noqa: E402
import cells as parts  # noqa: E402
import minutes  # noqa: E402

SOURCES = {build.name_of(file): file for file in build.lessons([]) if build.name_of(file)[:2] != "00"}
LESSONS = [name for name in SOURCES if not name.endswith("_depth")]
DEPTHS = [name for name in SOURCES if name.endswith("_depth")]
CONTROLLED = re.compile(r"widgets\.of_lesson\([^)]*\)\.(?!comparer)")  # a comparer only shows answers


class Lesson:
    """A source with its cells, cut into sections before each heading of the second level."""

    def __init__(self, name: str):
        self.name, self.notebook = name, build.read(SOURCES[name])
        self.cells = self.notebook.cells
        self.code = [cell.source for cell in self.cells if cell.cell_type == "code"]
        self.prose = [cell.source for cell in self.cells if cell.cell_type == "markdown"]
        self.sections = parts.sections(self.notebook)

    def place(self, text: str) -> int:
        """The number of the first cell that holds a text."""
        return next((i for i, cell in enumerate(self.cells) if text in cell.source), -1)

    def calls(self, pattern: str) -> list:
        return re.findall(pattern, "\n".join(self.code))


@pytest.fixture(params=LESSONS)
def lesson(request) -> Lesson:
    return Lesson(request.param)


@pytest.fixture(params=[*LESSONS, *DEPTHS])
def either(request) -> Lesson:
    return Lesson(request.param)


# What few need of the tools is docs/tools.md, which has no experiments to run. The depth of a comparison is the board.
WITHOUT_DEPTH = {"09_compare", "10_tools"}


def test_there_are_lessons_and_each_has_its_depth():
    assert LESSONS and [f"{name}_depth" for name in LESSONS if name not in WITHOUT_DEPTH] == DEPTHS
    assert not [name for name in WITHOUT_DEPTH if (SOURCES[name].parent / "depth.py").exists()]


def test_it_opens_with_what_for_when_and_how_long(either):
    opening = either.cells[0].source
    assert re.search(r"\*\*After this \w+ you can\*\*", opening) and "**You need**" in opening
    assert "minutes" in opening
    if either.name in LESSONS:
        assert "**Use it when**" in opening and "| **core** |" in opening and "| **lab** |" in opening


def test_no_line_of_code_is_cut_off_by_the_cell(either):
    """A cell of JupyterLab shows 97 columns on a screen of 1,280 pixels."""
    assert [line for source in either.code for line in source.splitlines() if len(line) > 97] == []


def test_the_core_takes_at_most_45_minutes_by_the_estimate(lesson):
    core, lab = minutes.totals(lesson.notebook)
    assert core <= 45, f"the core takes {core} minutes"
    assert 25 <= lab <= 50, f"the lab takes {lab} minutes"


def test_the_minutes_that_it_prints_are_the_estimate(either):
    text = SOURCES[either.name].read_text(encoding="utf-8")
    deep = SOURCES.get(f"{either.name}_depth")
    depth = minutes.totals(build.read(deep))[0] if deep else 0
    assert minutes.written(text, either.notebook, depth) == text, "run `python lessons/minutes.py --write`"
    for section in minutes.sections(either.notebook)[1:]:
        assert section.printed, f"no minutes in {section.heading!r}"


def test_the_estimate_counts_words_lines_and_things_to_do():
    cell = nbformat.v4.new_markdown_cell
    code = nbformat.v4.new_code_cell
    book = nbformat.v4.new_notebook(
        cells=[
            cell("# Title\n\n" + "word " * 149),
            cell("## 1. Core (3 minutes)\n\n" + "word " * 297 + "[a link](to/many/words-that-do-not-count.md)"),
            code("\n\n# a comment\n" + "x = 1\n" * 12),
            code("x = 1\n" * 1200, metadata={"tags": ["guard"]}),
            code('widgets.predict("a", "b")\n'),
            code('widgets.quiz("a", "one", "two", "three")\n'),
            code('teach.check("a/board", 3)\n'),
            code('teach.claim("F1")\nteach.card("a")\n'),
            code("x = 1\n" * 99, metadata={"tags": ["exercise:one"]}),
            code('teach.check("a/one", one)', metadata={"tags": ["check:one"]}),
            cell("## 2. Lab: more\n\n**Sources.** Not to be read through.\n\n"),
            code("", metadata={"tags": ["exercise:two"]}),
        ]
    )
    opening, core, lab = minutes.sections(book)
    assert opening.minutes == pytest.approx(1.0)
    lines = (12 + 1 + 1 + 1 + 2 + 1) / 12
    assert core.minutes == pytest.approx((1 + 1 + 1 + 1 + 297 + 2) / 150 + lines + 1 + 3 + 3 + 0.5 + 1.5 + 5, abs=0.02)
    assert (core.printed, core.lab, lab.printed, lab.lab) == (3, False, None, True)
    assert lab.minutes == pytest.approx(10, abs=0.1)
    text = "# ## 1. Core (9 minutes)\n# ## 2. Lab: more (1 minute)\n# | **core** | 1 | 5 | all |"
    heading, _, row = minutes.written(text, book).splitlines()
    assert heading == f"# ## 1. Core ({minutes.whole(core.minutes)} minutes)"
    assert row == f"# | **core** | 1 | {1 + minutes.whole(core.minutes)} | all |"


def test_something_works_within_five_code_cells(lesson):
    assert any("ftlib.fit(" in source and "ftlib.evaluate(" in source for source in lesson.code[:5])


def test_the_mechanism_is_built_by_hand_before_the_library_is_shown_to_be_equal(lesson):
    by_hand = [i for i, cell in enumerate(lesson.cells) if "by-hand" in cell.metadata.get("tags", [])]
    assert by_hand, "no cell is tagged by-hand: build the idea by hand before the library's call"
    equal = [i for i in range(by_hand[0], len(lesson.cells)) if "fit(" in lesson.cells[i].source]
    assert equal and "assert" in lesson.cells[equal[0]].source, "assert that the library's fit equals what is by hand"


def test_each_prediction_comes_before_what_it_is_about_and_is_compared(lesson):
    asked = lesson.calls(r'widgets\.predict\("(\w+)", "([\w-]+)"\)')
    assert len(set(asked)) >= 3, f"at least three predictions are asked, but there are {len(set(asked))}"
    assert {name for name, _ in asked} == {lesson.name}, "a prediction names the lesson that it is in"
    for _, name in asked:
        before = lesson.place(f'widgets.predict("{lesson.name}", "{name}")')
        after = lesson.place(f'teach.predict("{lesson.name}", "{name}").compare(')
        assert before < after, f"{name} is never compared with what happened"
        between = [cell for cell in lesson.cells[before + 1 : after + 1] if cell.cell_type == "code"]
        assert len(between) > 1, f"nothing happens between the prediction {name} and its comparison"


def test_something_is_broken_and_its_symptom_named(lesson):
    broken = [section for section in lesson.sections if re.match(r"## .*Break it", section[0].source)]
    assert broken, "no heading says 'Break it'"
    text = "\n".join(cell.source for cell in broken[0])
    assert "symptom" in text, "the section that breaks something names the symptom"


def test_there_are_exercises_on_three_levels_each_with_a_check(lesson):
    names = [name for cell in lesson.cells if (name := parts.tagged(cell, "exercise"))]
    assert len(names) >= 4, f"at least four cells are tagged exercise:, but there are {len(names)}"
    assert len(set(names)) == len(names), f"an exercise is there twice: {names}"
    parts.refuse_what_cannot_be_graded(lesson.notebook)
    levels = "\n".join(lesson.prose)
    assert "Change it" in levels and "Investigate" in levels, "headings name the levels Change it and Investigate"
    known = part(lesson.name, "checks").EXERCISES
    assert set(names) <= set(known), f"checks.py lacks {set(names) - set(known)}"
    for name in lesson.calls(rf'teach\.check\("{lesson.name}/(\w+)"'):
        assert name in known


def test_at_least_five_questions_are_asked_and_every_option_explained(lesson):
    questions = teach.questions.load(lesson.name, "quiz")
    shown = [name for call in lesson.calls(r"widgets\.quiz\((.*?)\)") for name in re.findall(r'"([\w-]+)"', call)[1:]]
    assert sorted(shown) == sorted(one["id"] for one in questions), "the notebook asks each question of the quiz once"
    assert len(shown) >= 5, f"at least five questions are asked, but there are {len(shown)}"
    for one in [*questions, *teach.questions.load(lesson.name, "predict")]:
        assert all(len(option["why"]) > 30 for option in one["options"]), one["id"]
        assert all(len(option["text"]) < 120 for option in one["options"]), f"{one['id']}: a radio button has one line"


def test_a_widget_is_preceded_by_a_task_whose_answer_is_checked(lesson):
    found = [i for i, section in enumerate(lesson.sections) if any("widgets.board(" in c.source for c in section)]
    found += [i for i, section in enumerate(lesson.sections) if any(CONTROLLED.search(c.source) for c in section)]
    assert found, "no section shows a widget (widgets.board, or the lesson's own by widgets.of_lesson)"
    for i in found:
        text = "\n".join(cell.source for cell in lesson.sections[i])
        shown = re.search(rf"widgets\.board\(|{CONTROLLED.pattern}", text).start()  # not a prediction above it
        order = text.find("Your task"), shown, text.find("teach.check(")
        assert -1 < order[0] < order[1] < order[2], "first Your task, then the widget, then teach.check, in one section"
    assert len(lesson.calls(r"widgets\.board\(")) <= 2


# The sheet says one thing of the tools. It is counted and not measured (counts/).
ONE_CLAIM = {"10_tools"}
# It shows how the claims of all others are judged. What it computes from their runs describes these and no more.
NO_CLAIM = {"09_compare"}


def test_claims_are_asserted_and_every_claim_of_the_lesson_is_judged(lesson):
    both = [lesson, *[Lesson(name) for name in DEPTHS if name.startswith(lesson.name)]]
    judged = [found for one in both for found in one.calls(r'teach\.claim\("(\w+)", verdict="([\w ]+)"\)')]
    known = places.confirmations() | places.claims() | places.counted()
    files = [json.loads(file.read_text(encoding="utf-8")) for file in known.values()]
    mine = [said["id"] for said in files if said["lesson"] == lesson.name]
    assert bool(mine) != (lesson.name in NO_CLAIM), f"{lesson.name} has the claims {mine}"
    assert sorted(name for name, _ in judged) == sorted(mine), f"each of the claims {mine} is judged once"
    assert sum(len(one.calls(r"teach\.claim\(")) for one in both) == len(judged)
    in_core = 0 if lesson.name in NO_CLAIM else 1 if lesson.name in ONE_CLAIM else 2
    assert len(lesson.calls(r"teach\.claim\(")) == in_core, "two claims are judged in the core, the others in depth"
    assert lesson.name not in ONE_CLAIM or len(mine) == 1


@pytest.mark.parametrize("name", sorted(places.claims()))
def test_a_claim_was_recorded_with_enough_seeds(name):
    found = teach.claim(name)
    assert (found.rows.seeds >= 6).all() and found.verdict in SIGNS


def test_verdicts_are_checked_by_output(either):
    for cell in either.cells:
        if cell.cell_type == "code" and "teach.claim(" in cell.source:
            assert "nbval-check-output" in cell.metadata.get("tags", []), cell.source


def test_it_closes_with_a_rule_limits_sources_and_the_time(either):
    end = "\n".join(either.prose[-3:])
    assert "**Limits.**" in end and len(re.findall(r"\(\d{4}\.\d{4,5}\)", end)) >= 2
    assert either.cells[-1].source.startswith('print(f"This notebook took')
    if either.name in LESSONS:
        assert "**The decision rule.**" in "\n".join(either.prose) and "board" in end


def test_each_section_needs_only_the_setup_cell(either):
    """So a late student runs that cell and starts at any heading."""
    assert "setup" in either.cells[1].metadata.get("tags", [])
    base = set(dir(builtins)) | bound(either.cells[1].source)
    for section in either.sections[1:]:
        known = set(base)
        for cell in section:
            if cell.cell_type == "code":
                missing = used(cell.source) - known - bound(cell.source)
                assert not missing, f"{section[0].source.splitlines()[0]} uses {missing}, made in another section"
                known |= bound(cell.source)


def bound(source: str) -> set[str]:
    """The names that a cell makes."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            if isinstance(node, ast.FunctionDef):
                names |= {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.Lambda):
            names |= {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return names


def used(source: str) -> set[str]:
    """The names that a cell reads."""
    return {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def test_core_and_lab_do_not_depend_on_depth(lesson):
    assert not [source for source in lesson.code if "_depth" in source]


def test_the_students_copy_holds_no_solution():
    for name in LESSONS:
        source, copy = build.read(SOURCES[name]), parts.student(build.read(SOURCES[name]))
        learners = [cell for cell in source.cells if "teacher" not in cell.metadata.get("tags", [])]
        for cell, kept in zip(learners, copy.cells, strict=True):
            if parts.tagged(cell, "exercise"):
                solution = cell.source.partition("### BEGIN SOLUTION")[2].partition("### END SOLUTION")[0]
                lines = [line.strip() for line in solution.splitlines() if len(line.strip()) > 8]
                assert lines and not [line for line in lines if line in kept.source]
        text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
        assert "BEGIN SOLUTION" not in text and "solutions" not in text


def test_it_keeps_time_and_stays_within_two_and_a_half_minutes_or_four(either):
    built = nbformat.read(ROOT / "notebooks" / f"{either.name}.ipynb", 4)
    took = re.search(r"took (\d+) s, profile quick", "".join(o.get("text", "") for o in built.cells[-1].outputs))
    assert took and int(took[1]) <= (240 if either.name in DEPTHS else 150), took


def test_each_lesson_has_a_teachers_page_that_names_its_exercises_and_questions(lesson):
    page = SOURCES[lesson.name].with_name("teacher.md").read_text(encoding="utf-8")
    names = [parts.tagged(cell, "exercise") for cell in lesson.cells if parts.tagged(cell, "exercise")]
    names += [one["id"] for kind in ("quiz", "predict") for one in teach.questions.load(lesson.name, kind)]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_rules_are_not_empty():
    """A bad lesson would be caught: the opening, the sections and the names are really looked at."""
    name = LESSONS[0]
    broken = Lesson(name)
    broken.cells[0].source = broken.cells[0].source.replace("**Use it when**", "")
    with pytest.raises(AssertionError):
        test_it_opens_with_what_for_when_and_how_long(broken)
    late = Lesson(name)
    late.sections[-1][-1].source = "print(losses)"
    with pytest.raises(AssertionError, match="made in another section"):
        test_each_section_needs_only_the_setup_cell(late)


def test_links_to_the_glossary_lead_to_one_of_its_words(either):
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.M)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().replace(" ", "-").lower() for heading in headings}
    assert len(anchors) == len(headings) and headings == sorted(headings, key=str.lower)
    linked = re.findall(r"glossary\.md#([\w-]+)", "\n".join(either.prose))
    assert set(linked) <= anchors and len(set(linked)) == len(linked), "a word is linked where it is used first"
