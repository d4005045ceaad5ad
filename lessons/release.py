"""`make release`: from the one source of each lesson, a copy for students, one for the teacher, and nbgrader's.

    build/release/<lesson>/student/     the notebook without solutions and outputs
    build/release/<lesson>/teacher/     the notebook with them; it was run, and every solution passed its check
    build/release/<lesson>/nbgrader/    a course folder: source/, release/ (to hand out), gradebook.db, settings; its
                                        notebook is <lesson>_lab.ipynb, so that it overwrites nobody's lesson

The folder build/ may be deleted at any time, so a course that collects marks needs a copy elsewhere. A lesson without
points has no nbgrader/. What each cell becomes is decided in cells.py.
"""

import argparse
import shutil
import sys
from pathlib import Path

import nbformat
from traitlets.config import Config, PyFileConfigLoader

import build
import cells

OUT = build.HERE.parent / "build" / "release"


def release(source: Path, out: Path) -> None:
    """Write the three copies of one lesson below the folder `out`."""
    lesson = build.read(source)
    name = f"{build.name_of(source)}.ipynb"
    build.save(cells.student(lesson, guards=False), out / "student" / name)
    complete = cells.teacher(lesson)
    build.execute(complete)  # always: that the copy exists says that every solution passed its check
    build.save(complete, out / "teacher" / name)
    if any(cells.tagged(cell, "points") for cell in lesson.cells):
        assign(cells.sheet(lesson), build.name_of(source), out / "nbgrader")


def assign(sheet: nbformat.NotebookNode, name: str, course: Path) -> Path:
    """Let nbgrader make the release of a sheet in a course folder; returns the notebook to hand out."""
    notebook = f"{name}_lab.ipynb"
    build.save(sheet, course / "source" / name / notebook)
    shutil.copy(build.HERE / "nbgrader_config.py", course)
    from nbgrader.apps import NbGraderAPI  # here: it is slow to import, and only this needs it

    done = NbGraderAPI(config=settings(course)).generate_assignment(name, force=True, create=True)
    if not done["success"]:
        raise RuntimeError(f"nbgrader could not make the release of {name}: {done.get('error')}\n{done.get('log')}")
    return course / "release" / name / notebook


def settings(course: Path) -> Config:
    """What the course's nbgrader_config.py says."""
    return PyFileConfigLoader("nbgrader_config.py", path=str(course)).load_config()


def main() -> None:
    """Release all lessons, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="lessons, such as 01_full (default: all)")
    arguments = parser.parse_args()
    for source in build.lessons(arguments.names):
        release(source, OUT / build.name_of(source))
        print(f"{build.name_of(source)}: {OUT / build.name_of(source)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
