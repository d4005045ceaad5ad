"""Each section of a lesson runs after the set-up cell alone, so a late learner may start at any heading.

A section may use a name only if the first code cell or the section itself, further up, has given it a value. That is
seen from the text; tests/test_anywhere.py asks for the attributes that the lessons read in a fresh process.
"""

import ast
import builtins
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import build  # noqa: E402
import cells  # noqa: E402

PROMISE = "each section needs only the first code cell"
SOURCES = [source for source in build.lessons([]) if source.parent.name != "00_start_here"]  # one walk, from its start
GIVEN = {*dir(builtins), "display"}
LATER = (ast.FunctionDef, ast.Lambda)  # their bodies run when they are called


def bound(tree: ast.AST) -> set[str]:
    """All names to which the code gives a value, arguments and loop variables included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


def used(tree: ast.AST) -> set[str]:
    """All names that the code reads."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def missing(setup: str, section: list[str]) -> set[str]:
    """The names that the cells of a section read before the set-up cell or the section gives them a value."""
    have = bound(ast.parse(setup)) | GIVEN
    lacks, anywhere = set(), have | bound(ast.parse("\n".join(section)))
    for statement in (statement for cell in section for statement in ast.parse(cell).body):
        here = have | bound(statement)
        lacks |= used(statement) - (anywhere if isinstance(statement, LATER) else here)
        have = here
    return lacks


def code(part: list) -> list[str]:
    return [cell.source for cell in part if cell.cell_type == "code"]


@pytest.mark.parametrize("source", SOURCES, ids=build.name_of)
def test_a_section_needs_the_set_up_cell_alone(source):
    notebook = cells.student(build.read(source))
    first, *parts = cells.sections(notebook)
    setup = next(iter(code(first)))
    assert PROMISE in " ".join(first[0].source.lower().split()), "the opening says where a late learner may start"
    lacks = {part[0].source.splitlines()[0]: missing(setup, code(part)) for part in parts}
    assert {heading: names for heading, names in lacks.items() if names} == {}
    assert len(parts) > 3


def test_a_name_of_another_section_would_be_found():
    assert missing("import a", ["b = a.x\nprint(b, c)"]) == {"c"}
    assert missing("", ["print(later)", "later = 1"]) == {"later"}
    assert missing("", ["def f():\n    return later", "later = 1\nf()"]) == set()
    assert missing("", ["[x for x in range(3)]", "for y in 'ab':\n    print(y)"]) == set()
