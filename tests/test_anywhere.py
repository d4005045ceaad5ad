"""Names and recorded runs are found from anywhere: by any section of a lesson, in any folder, in a fresh kernel."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ftlib
from ftlib import strategies
from ftlib.evidence import runs

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import build  # noqa: E402
import cells  # noqa: E402

LESSONS = {build.name_of(file): build.read(file) for file in build.lessons([])}
# One statement after the other, each in a library of which nothing has been imported yet.
FRESH = """
import importlib, json, sys
library, *lines = json.loads(sys.stdin.read())
sys.path.insert(0, library)
for line in lines:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ftlib"]:
        del sys.modules[name]
    try:
        exec(line, {})
    except Exception as error:
        print(f"{line.strip().splitlines()[-1]}: {type(error).__name__}: {error}")
"""


@pytest.fixture(scope="module")
def failures():
    """What goes wrong, "statement: error", when each statement of this file is run in a fresh library."""
    statements = [str(Path(ftlib.__file__).parent.parent), *PATHS, *FILES, UNKNOWN, WITHOUT_PLOTLY]
    done = subprocess.run([sys.executable, "-c", FRESH], input=json.dumps(statements), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def code(lesson) -> list[str]:
    """The code cells of a lesson, solutions included."""
    return [cell.source for cell in lesson.cells if cell.cell_type == "code"]


# -- names ----------------------------------------------------------------------------------------------------
def chain(node: ast.AST) -> list[str]:
    """["a", "b", "c"] of the expression a.b.c, and [] of anything that does not begin with a name."""
    if isinstance(node, ast.Attribute):
        start = chain(node.value)
        return [*start, node.attr] if start else []
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else []


def looked_up(lesson) -> list[str]:
    """A statement for each path of attributes that a lesson follows from an import of the library, and for each import.

    Modules and their names are followed, and what an object of theirs has (`DATA / "x"`) is not.
    """
    trees = [ast.parse(source) for source in code(lesson)]
    imports, found = {}, {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import | ast.ImportFrom) and "ftlib" in ast.unparse(node):
            found[ast.unparse(node)] = None
            imports |= {(alias.asname or alias.name).partition(".")[0]: ast.unparse(node) for alias in node.names}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and (path := chain(node)) and path[0] in imports:
            found[f"{imports[path[0]]}\n{'.'.join(path)}"] = None
    return list(found)


PATHS = sorted({statement for lesson in LESSONS.values() for statement in looked_up(lesson)})
FILES = [f"from ftlib import strategies\nstrategies.{name}" for name in sorted(set(strategies.CATALOG.values()))]
ROOMS = [file.stem for file in sorted((ROOT / "ftlib").glob("[a-z]*")) if file.suffix in ("", ".py")]
FILES += [f"import ftlib\nftlib.{name}" for name in sorted({*ROOMS, *ftlib.__all__})]
UNKNOWN = "import ftlib\nftlib.tasks.no_such_file"
WITHOUT_PLOTLY = "import sys\nsys.modules['plotly'] = None\nimport ftlib\nftlib.plots"


def test_the_paths_of_a_lesson_are_found():
    assert len(PATHS) > 60
    paths = [text.rpartition("\n")[2] for text in looked_up(LESSONS["01_full"])]
    assert {"strategies.full.lp_ft", "ftlib.runs.curves", "ftlib.load_runs"} <= set(paths)


def test_every_name_of_a_lesson_is_there_before_anything_else_was_used(failures):
    """So a section runs after the set-up cell alone: nothing waits for an import that another section makes."""
    last = {statement.rpartition("\n")[2] for statement in PATHS}
    assert [said for said in failures if said.partition(": ")[0] in last] == []


def test_every_file_of_the_library_and_of_the_strategies_is_an_attribute(failures):
    found = {file.stem for file in Path(strategies.__file__).parent.glob("[a-z]*.py")}
    assert found == set(strategies.CATALOG.values()) and len(FILES) > 25
    last = {statement.rpartition("\n")[2] for statement in FILES} - {"ftlib.plots"}  # see the next test
    assert [said for said in failures if said.partition(": ")[0] in last] == []


def test_a_class_and_its_file_are_the_same_by_every_way(monkeypatch):
    monkeypatch.delattr(strategies, "full", raising=False)  # as before a class of it was used
    assert strategies.full.L2SP is strategies.L2SP is ftlib.strategies.get("L2SP")
    assert {"full", "LoRA", "get", "combine"} <= set(dir(strategies)) and "CATALOG" in dir(strategies)


@pytest.mark.parametrize(
    ("package", "name", "nearest"),
    [(ftlib, "load_modle", "load_model"), (ftlib, "strategy_", "strategy"), (strategies, "Lora", "LoRA"),
     (strategies, "freezng", "freezing"), (strategies, "LinearProb", "LinearProbe")],
)  # fmt: skip
def test_an_unknown_name_is_told_the_nearest(package, name, nearest):
    with pytest.raises(AttributeError, match=f"{package.__name__} has no name '{name}': did you mean {nearest}\\?"):
        getattr(package, name)
    with pytest.raises(AttributeError, match=f"{package.__name__} has no name 'qqq': "):
        _ = package.qqq
    if package is strategies:
        with pytest.raises(KeyError, match="no strategy is called 'LaRA': did you mean LoRA\\?"):
            strategies.get("LaRA")


def test_what_is_not_there_fails_and_for_its_own_reason(failures):
    """A missing package is the reason that is given, which a sentence about names would hide."""
    unknown, plots = (said for said in failures if said.startswith(("ftlib.tasks.no_such_file", "ftlib.plots")))
    assert ": AttributeError: " in unknown and ": ModuleNotFoundError: " in plots and "plotly" in plots


# -- recorded runs --------------------------------------------------------------------------------------------
def test_recorded_runs_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    file = ROOT / "data" / "results" / "01_full_cost.jsonl"
    by_path = runs.load_records(file)
    (tmp_path / "01_full_cost").mkdir()  # a folder of this name, as in a course of nbgrader, is not meant
    monkeypatch.chdir(tmp_path)
    assert runs.load_records("01_full_cost") == by_path and len(by_path) > 5
    both = ftlib.load_runs("01_full_cost", "01_full_random")
    assert len(both) == len(by_path) + len(ftlib.load_runs("01_full_random")) > len(by_path)


def test_paths_are_read_as_before(tmp_path, monkeypatch):
    record = runs.load_records("01_full_cost")[0]
    monkeypatch.chdir(tmp_path)
    for folder in ("mine", "01_full"):
        Path(folder).mkdir()
        Path(folder, f"{record['id']}.json").write_text(json.dumps(record))
    for source in ("mine", Path("mine"), "./mine", tmp_path / "mine", "./01_full", Path("01_full")):
        assert [r["id"] for r in runs.load_records(source)] == [record["id"]], source


def test_runs_that_are_not_there_are_told_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no recorded runs .* 'O1_full': did you mean 01_full\?"):
        runs.load_runs("O1_full")
    with pytest.raises(FileNotFoundError, match=r"no recorded runs .* 'qqq': .*01_full, .*08_augmentation"):
        runs.load_runs("qqq")
    with pytest.raises(FileNotFoundError, match=r"there are no runs at .*01_full.jsonl: .*load_runs\(\"01_full\"\)"):
        runs.load_runs("../data/results/01_full.jsonl")


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_reads_nothing_by_a_path_of_this_folder(name):
    """It may have been copied to any place: the student's copy, nbgrader's, a folder of one's own."""
    for make in (cells.student, cells.teacher, cells.sheet):
        for source in code(make(LESSONS[name])):
            words = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)]
            paths = [w for w in words if isinstance(w, str) and re.search(r"\.\./|data/|results\b.*/|\.jsonl", w)]
            if ".write_text(" in source:  # a learner's own rows, which the same cell writes
                paths = [w for w in paths if not re.fullmatch(r"\w+\.jsonl", w)]
            assert not paths, f'ask ftlib instead, load_runs("01_full"): {source}'


def test_the_recorded_runs_that_lessons_ask_for_are_there():
    asked = set()
    for lesson in LESSONS.values():
        for source in code(lesson):
            asked |= (
                set(re.findall(r"[\"'](\d\d_[a-z_]+)[\"']", source)) if re.search("load_r|recorded", source) else set()
            )
    assert len(asked) > 15
    assert {name for name in asked if not (ROOT / "data" / "results" / f"{name}.jsonl").exists()} == set()
