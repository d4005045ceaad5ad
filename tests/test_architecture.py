"""Who imports whom, how large it may grow, and how fast it starts."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parent.parent / "ftlib"
FILES = sorted(LIBRARY.rglob("*.py"))
# module or folder of the library -> what of the library it may import
MAY_IMPORT = {
    "refusals": set(),
    "restore": set(),
    "checkpoint": set(),
    "strategy": {"refusals"},
    "strategies": {"strategy"},
    "machine": set(),
    "stream": {"strategy"},
    "metrics": {"strategy"},
    "early": set(),
    "cache": {"strategy", "machine"},
    "arguments": {"refusals", "strategy"},
    "scoring": {"machine", "metrics"},
    "train": {"strategy", "stream", "machine", "early", "cache", "arguments", "checkpoint", "restore", "scoring"},
    "chat": set(),
    "wheels": set(),
    "convert": {"wheels"},
    "assets": {"wheels", "convert", "refusals"},
    "doctor": {"assets", "machine", "wheels"},
    "models": {"assets", "chat", "refusals"},
    "tasks": {"assets", "chat", "refusals"},
    "adapters": {"strategies"},
    "typed": set(),
    "spec": {"train", "tasks", "typed"},
    "runs": {"machine", "spec", "train", "models", "tasks", "metrics", "strategies", "strategy", "typed"},
    "sharing": {"spec", "runs"},
    "grids": {"spec", "typed"},
    "record": {"spec", "runs", "grids", "sharing", "tasks", "strategies", "metrics", "typed"},
    "compare": set(),
    "plots": {"compare"},
    "exercises": {"models", "tasks", "strategies", "compare", "runs", "record"},
    "teach": {"compare", "runs", "record", "exercises", "assets", "typed"},
    "replicate": {"teach", "record", "runs", "compare"},
    "widgets": {"plots", "teach", "compare"},
    "__main__": {"assets", "doctor", "record", "replicate"},
    "__init__": set(),
}
LESSON_WIDGETS = ("curves", "explorer", "generation", "playground", "samples", "space")  # each brought by one lesson
FOLDERS = ("tasks", "models", "exercises", "teach", "widgets")  # whose files may import each other


def part(file: Path) -> str:
    """models for ftlib/models.py and for every file below ftlib/models/."""
    return file.relative_to(LIBRARY).with_suffix("").parts[0]


def imports(file: Path) -> set[str]:
    """The parts of the library that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ftlib.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ftlib."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "ftlib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively: name the module"
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


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(LIBRARY)))
def test_a_file_imports_only_what_it_may(file):
    me = part(file)
    assert me in MAY_IMPORT, f"{me} is new: say in MAY_IMPORT what it may import"
    extra = imports(file) - MAY_IMPORT[me] - ({me} if me in FOLDERS else set())
    assert not extra, f"{me} imports {sorted(extra)}, which docs/architecture.md does not allow"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(LIBRARY)))
def test_a_file_can_be_read_in_one_sitting(file):
    assert code_lines(file) <= 250


def test_what_all_lessons_share_stays_small():
    """Strategies, checkers and a lesson's own widgets are left out: each lesson adds its own, held by the limit above.

    So of the widgets only those that all lessons use count, and the limit fell by what the others took. It rose from
    3,600 when every kind of bad input got its sentence and files their types: about 1,800 lines that a lesson never
    shows, in files of their own (arguments, checks, chat, folder, refusals, said, sharing, spec, typed).
    """
    own = {LIBRARY / "strategies", LIBRARY / "exercises"}
    lessons_own = {LIBRARY / "widgets" / f"{name}.py" for name in LESSON_WIDGETS}
    assert lessons_own <= set(FILES)
    assert sum(code_lines(file) for file in set(FILES) - lessons_own if not own & set(file.parents)) <= 5500


def test_strategies_never_import_each_other():
    for file in (LIBRARY / "strategies").glob("*.py"):
        assert imports(file) <= {"strategy"}


@pytest.mark.parametrize(("module", "where"), [("ipywidgets", {"widgets"}), ("IPython", {"widgets", "plots"})])
def test_notebooks_are_spoken_to_in_one_folder_only(module, where):
    """And by figures, which show their words below themselves: two outputs, which no _repr_ method can give."""
    users = {
        part(f) for f in FILES if re.search(rf"^\s*(import|from) {module}", f.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users <= where


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
