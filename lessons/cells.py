"""What the cells of a lesson's source become in each of its copies.

A lesson's source holds everything; its cells say by their tags what they are:

    # %% tags=["exercise:accumulate"]             functions to write; the answers stand between ### BEGIN SOLUTION and
                                                  ### END SOLUTION, inside the functions
    # %% tags=["check:accumulate", "points:3"]    ends with a call check("…", accumulate), which says kindly what is
                                                  wrong; with points it is graded
    # %% tags=["setup"]                           what graded sections need of the others
    # %% tags=["guard"]                           asserts what the text says: not in a learner's copy
    # %% [markdown] tags=["teacher"]              for the teacher's copy only

`student` is the copy to learn with, `teacher` the one that has all, `sheet` what nbgrader grades.
"""

import ast
import copy
import re

from nbformat import NotebookNode

STUB = ["# YOUR CODE HERE", "raise NotImplementedError"]  # the same lines stand in nbgrader_config.py
REGION = r"^([ \t]*)### BEGIN {0}\n(.*?)^[ \t]*### END {0}[ \t]*(?:\n|\Z)"


def tagged(cell: NotebookNode, kind: str) -> str:
    """What stands behind "kind:" in the cell's tags: "3" for points:3; "" where there is no such tag."""
    return next((tag[len(kind) + 1 :] for tag in cell.metadata.get("tags", []) if tag.startswith(f"{kind}:")), "")


def student(notebook: NotebookNode, guards: bool = True) -> NotebookNode:
    """The copy without solutions, hidden tests and what is only for the teacher; every other cell is the same.

    guards: keep the cells that only assert what the text says, as a notebook that is built does.
    """
    notebook, dropped = copy.deepcopy(notebook), {"teacher"} if guards else {"teacher", "guard"}
    notebook.cells = [cell for cell in notebook.cells if not dropped & set(cell.metadata.get("tags", []))]
    for cell in notebook.cells:
        cell.source = without("HIDDEN TESTS", without("SOLUTION", cell.source, STUB))
    return notebook


def teacher(notebook: NotebookNode) -> NotebookNode:
    """The copy with all of it, in which a check that is not passed is an error."""
    notebook = copy.deepcopy(notebook)
    refuse_what_cannot_be_graded(notebook)
    for cell in notebook.cells:
        if tagged(cell, "check"):
            hidden = f"### BEGIN HIDDEN TESTS\n{strict_call(cell.source)}\n### END HIDDEN TESTS"
            cell.source = f"{cell.source.rstrip()}\n{hidden}"
    return notebook


def sheet(notebook: NotebookNode) -> NotebookNode:
    """nbgrader's source: the opening, the cells tagged "setup", and each section (##) in which a check has points.

    Of a graded section, only the functions to be written can be edited.
    """
    notebook, kept = teacher(notebook), []
    for i, section in enumerate(sections(notebook)):
        whole = i == 0 or any(tagged(cell, "points") for cell in section)
        kept += [cell for cell in section if whole or "setup" in cell.metadata.get("tags", [])]
    notebook.cells = [cell for cell in kept if "teacher" not in cell.metadata.get("tags", [])]
    opening = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    opening.source = own_table(opening.source, notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata["nbgrader"] = grading(cell)
    return notebook


def own_table(text: str, notebook: NotebookNode) -> str:
    """The opening of a sheet: in place of the lesson's table of parts, the exercises and their points."""
    graded = [(tagged(c, "check"), tagged(c, "points")) for c in notebook.cells if tagged(c, "points")]
    rows = "\n".join(f"| {name.replace('_', ' ')} | {points} |" for name, points in graded)
    text = re.sub(r"(?:^\|.*\n?)+", "", text, flags=re.M)
    return f"{text.rstrip()}\n\n| exercise | points |\n|---|---|\n{rows}\n"


def sections(notebook: NotebookNode) -> list[list[NotebookNode]]:
    """The cells, cut before each heading of the second level; the first part is the opening."""
    parts = [[]]
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            parts.append([])
        parts[-1].append(cell)
    return parts


def grading(cell: NotebookNode) -> dict:
    """nbgrader's metadata of a code cell: to be written, graded, or locked."""
    name, checked, points = (tagged(cell, kind) for kind in ("exercise", "check", "points"))
    grade_id = name or (f"check-{checked}" if checked else f"cell-{cell['id']}")
    kind = {"solution": bool(name), "grade": bool(points), "locked": not name, "task": False}
    return {"schema_version": 3, "grade_id": grade_id, **kind} | ({"points": int(points)} if points else {})


def without(what: str, source: str, stub: list[str] | None = None) -> str:
    """The text of a cell in which each region ### BEGIN … ### END is replaced by the stub, indented as it was."""

    def replaced(region: re.Match) -> str:
        if stub and not region[1]:
            raise ValueError(f"a solution must stand inside a function, so that the cell runs without it: {source!r}")
        return "".join(f"{region[1]}{line}\n" for line in stub or [])

    text, n = re.subn(REGION.format(what), replaced, source, flags=re.M | re.S)
    if n != source.count(f"BEGIN {what}") or n != source.count(f"END {what}"):
        raise ValueError(f"each ### BEGIN {what} needs its own ### END {what}, each on a line of its own: {source!r}")
    return text.rstrip("\n") if n else text


def strict_call(source: str) -> str:
    """The call that ends the visible part of a check's cell, with strict=True: it raises where it would only say."""
    last = ast.parse(without("HIDDEN TESTS", source)).body[-1]
    if not (isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)):
        raise ValueError(f"a cell tagged check: must end with the call of the check, but it is {source!r}")
    last.value.keywords.append(ast.keyword("strict", ast.Constant(True)))
    return ast.unparse(last)


def refuse_what_cannot_be_graded(notebook: NotebookNode) -> None:
    """Each exercise needs a solution and one check, each check its exercise above it; points belong to checks."""
    exercises, checks = [], []
    for cell in notebook.cells:
        name, checked = tagged(cell, "exercise"), tagged(cell, "check")
        if bool(name) != ("BEGIN SOLUTION" in cell.source):
            raise ValueError(f"a cell is tagged exercise: where it holds a solution, and only there: {cell.source!r}")
        if tagged(cell, "points") and not checked:
            raise ValueError(f"points belong to a cell tagged check:, not to {cell.source!r}")
        if checked and checked not in exercises:
            raise ValueError(f"check:{checked} must stand below exercise:{checked}")
        exercises += [name] if name else []
        checks += [checked] if checked else []
    if sorted(exercises) != sorted(checks) or len(set(checks)) < len(checks):
        raise ValueError(f"each exercise needs one check of its name: exercises {exercises}, checks {checks}")
