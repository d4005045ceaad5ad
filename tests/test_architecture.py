"""Who imports whom, how large it may grow, and how fast it starts."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "ftlib"
FILES = sorted(LIBRARY.rglob("*.py"))
LESSON_FILES = sorted(
    file for name in ("checks", "widget*", "figure_*") for file in ROOT.glob(f"lessons/[0-9]*/{name}.py")
)
# The rooms, from the ground floor up: folder or file of the library -> the rooms below that it may use. The table in
# docs/architecture.md says what each is for.
ROOMS = {
    "__init__": set(),
    "io": set(),
    "strategy": {"io"},
    "networks": {"strategy"},
    "metrics": {"strategy"},
    "strategies": {"strategy", "networks"},
    "assets": {"io"},
    "models": {"io", "assets", "networks", "strategies"},
    "tasks": {"io", "assets", "models"},
    "training": {"io", "strategy", "networks", "metrics", "models"},
    "evidence": {"io", "strategy", "metrics", "strategies", "models", "tasks", "training"},
    "tools": {"io", "assets", "strategies", "models", "tasks", "training", "evidence"},
    "plots": {"evidence"},
    "task_plots": {"io", "tasks", "plots"},
    "results_plots": {"io", "training", "plots"},
    "classroom": {"io", "assets", "models", "training", "evidence", "tools", "plots"},
    "doctor": {"assets", "training"},
    "__main__": {"io", "assets", "evidence", "tools", "classroom", "doctor"},
}
# What only some files of a room may use: everybody else of the room must do without.
ONLY = {
    ("models", "strategies"): {"models.adapters", "models.saved"},  # LoRA as a folder of peft; prompts put back
    ("tasks", "models"): {"tasks.instructions", "tasks.task", "tasks.images"},  # the chat's template; pixels
    ("training", "metrics"): {"training.scoring"},
    ("tools", "assets"): {"tools.hand_over"},  # where the base model is
    ("tools", "training"): {"tools.importing"},  # the kit's own evaluation
    ("classroom", "assets"): {"classroom.checks"},
    ("classroom", "models"): {"classroom.widgets.try_model"},
    ("classroom", "training"): {"classroom.widgets.try_model"},
    ("classroom", "tools"): {"classroom.verdicts"},  # a claim about tools is counted
}
LESSONS_MAY = {
    "models",
    "tasks",
    "strategies",
    "evidence",
    "tools",
    "classroom",
    "plots",
}  # a lesson's checkers and widget


def dotted(file: Path) -> str:
    """models.base for ftlib/models/base.py, models for ftlib/models/__init__.py."""
    return ".".join(file.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__")


def room(name: str) -> str:
    """models for models.base."""
    return name.partition(".")[0]


NAMES = {dotted(file): file for file in FILES}


def imports(file: Path) -> set[str]:
    """The files of the library that a file imports, dotted, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("ftlib.") for alias in node.names if alias.name.startswith("ftlib.")}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively: name the module"
            if node.module == "ftlib" or (node.module or "").startswith("ftlib."):
                base = node.module.removeprefix("ftlib").removeprefix(".")
                for alias in node.names:
                    inside = f"{base}.{alias.name}".removeprefix(".")
                    found.add(inside if inside in NAMES or not base else base)
    return found


def code_lines(file: Path) -> int:
    """Lines that hold code: no blank ones, comments or docstrings, since a limit on those would limit explanation."""
    source = file.read_text(encoding="utf-8")
    doc = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            doc |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skip:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - doc)


def test_the_files_were_found():
    assert len(FILES) > 15


def test_no_room_uses_one_above_it():
    rooms = list(ROOMS)
    assert {room(name) or "__init__" for name in NAMES} == set(rooms), "give each new room its floor in ROOMS"
    for at, name in enumerate(rooms):
        assert ROOMS[name] <= set(rooms[:at]), f"{name} stands below what it uses"


def test_the_page_says_the_same():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/?` \| (.*?) \|", page, re.M)
    assert {name: set(re.findall(r"`(\w+)`", rooms)) for name, rooms in rows} == {
        k: v for k, v in ROOMS.items() if k != "__init__"
    }
    assert [name for name, _ in rows] == [name for name in ROOMS if name != "__init__"]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_file_imports_only_what_its_room_may(name):
    for other in imports(NAMES[name]):
        mine, theirs = room(name) or "__init__", room(other)
        assert theirs == mine or theirs in ROOMS[mine], (
            f"{name} imports {other}: docs/architecture.md does not allow it"
        )
        assert name in ONLY.get((mine, theirs), {name}), f"{name} imports {other}, which only few files of {mine} may"


def test_the_files_of_a_room_stand_in_an_order_too():
    """Nobody imports in a circle, so a room can be read from its first file to its last."""
    graph = {
        name: {other for other in imports(file) if other in NAMES and other != name} for name, file in NAMES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(NAMES)


@pytest.mark.parametrize("file", LESSON_FILES, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_a_lessons_own_code_stands_on_the_rooms_below(file):
    assert {room(name) for name in imports(file)} <= LESSONS_MAY


@pytest.mark.parametrize("file", [*FILES, *LESSON_FILES], ids=lambda f: str(f.relative_to(ROOT)))
def test_a_file_can_be_read_in_one_sitting(file):
    assert code_lines(file) <= 250


def test_what_all_lessons_share_stays_small():
    """Strategies are left out: each lesson adds its own, held by the limit above.

    The limit rose from 3,600 when every kind of bad input got its sentence and files their types: about 1,800 lines
    that a lesson never shows, in files of their own (arguments, checks, chat, folder, refusals, sharing, spec, typed).
    It rose by 300 when three things came that were not counted before: what all checkers share (`classroom.reading`,
    60 lines), what strategies had copied (`networks`, 64), and the parts of `fit` with their own checks of input
    (`setup`, `validation`, `checkpoint`, 110). And by 300 for what learners meet in a browser: their copies of the
    notebooks (`workbooks`, 80), bars that vanish (`progress`, 40), the keyboard, contrast and corrected intervals.
    It rose by 900 when a trained model could be used: asked (`predicting`, `pixels`), saved and loaded as a folder of
    other libraries (`saved`, `original`, `card`, `about`), judged (`results_plots`) and tried (`try_model`). By 450 for
    verdicts: `looks`, `confirm`, `confirm_files`, `cards`, `diagrams`. And by 1,000 for own data: `folder`, `table`,
    `chats`, `images`, `own`, `report`, `side_by_side`, `task_plots`. And by 50 for incremental learning: how low old
    tasks fall on the way (`metrics.stability`), and words that `combine` refuses with. And by 150 for sequences of
    tasks: `portions`, `sequences`. And by 200 for multi-task learning: `questions` to the same examples, several
    columns of `labels`, answers of a named head, and `metrics.delta_m`. By 60 more for the heads themselves
    (`networks.Heads`). And by 1,250 for `tools`: five files with one tool's dialect each (77 to 193 lines, a part of
    them scripts that are written and not run), and what they share, the recipe, the rows, the base and the folder.
    And by 160 for the way back: `tools.importing` (110), most of it sentences for an adapter that would do nothing, its
    command, and the script that converts XTuner's checkpoint. And by 120 for claims that are counted: `tools.coverage`
    (84), which asks each export for each of the eight strategies, and the words of such a claim in its box, on its card
    and on the page. And by 10 for what an export would change in silence, and refuses. And by 10 for figures that a
    page gets as they are now when it is loaded again, or served by voila.
    """
    shared = [file for file in FILES if LIBRARY / "strategies" not in file.parents]
    assert sum(code_lines(file) for file in shared) <= 10910


def test_strategies_never_import_each_other():
    for file in (LIBRARY / "strategies").glob("*.py"):
        assert imports(file) <= {"strategy", "networks"}


@pytest.mark.parametrize(
    ("module", "where"),
    [("ipywidgets", {"classroom.widgets"}), ("IPython", {"classroom.widgets", "plots", "io.progress"})],
)
def test_notebooks_are_spoken_to_in_one_folder_only(module, where):
    """And by figures, which show their words below themselves: two outputs, which no _repr_ method can give.

    And by the progress bar, since tqdm's own leaves a band of stderr behind.
    """
    use = re.compile(rf"^\s*(import|from) {module}", re.MULTILINE)
    users = {name for name, file in NAMES.items() if use.search(file.read_text(encoding="utf-8"))}
    assert users and all(name.startswith(tuple(where)) for name in users)


def test_importing_the_library_is_light():
    """It loads none of the heavy packages, which is what keeps it under half a second."""
    heavy = ["torch", "transformers", "timm", "sklearn", "pandas", "plotly", "accelerate", "peft", "torchvision"]
    code = f"import sys, ftlib; dir(ftlib); print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_exists_and_an_unknown_one_says_so():
    import ftlib

    assert len(ftlib.__all__) > 20 and all(getattr(ftlib, name) is not None for name in ftlib.__all__)
    with pytest.raises(AttributeError, match=r"ftlib has no name 'fitt': did you mean fit\?"):
        _ = ftlib.fitt
    with pytest.raises(AttributeError, match="ftlib has no name 'qqq': its public names are"):
        _ = ftlib.qqq
