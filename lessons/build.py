"""lessons/*.py (the reviewed text) → notebooks/*.ipynb (executed): `make notebooks`.

A lesson is kept as a percent script, which can be read and reviewed as text. Building gives each cell an id that does
not change between builds, takes out the solutions (cells.py says how they are marked), runs it from a fresh kernel in
the quick profile with the network blocked, refuses any error, also those that a widget would swallow, and drops what
grows or changes without meaning: widget state, progress bars, execution times. What did not change since it was built
is left alone, unless --force is given. Where only text changed the outputs are kept. Cards and verdicts are then shown
as the runs that are recorded now have them.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

import cells
from ftlib import teach
from ftlib.io.writing import write_text

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"
WIDGETS = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
MINUTES = 10  # after which a cell is given up


def read(source: Path) -> nbformat.NotebookNode:
    """The notebook of a lesson, solutions included, not executed, with stable cell ids."""
    notebook = jupytext.read(source)
    for i, cell in enumerate(notebook.cells):
        cell["id"] = hashlib.sha1(f"{name_of(source)}/{i}".encode()).hexdigest()[:8]
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's, about the script
    notebook.metadata = {
        "kernelspec": {"name": "ftlib", "display_name": "Fine-Tuning Lab", "language": "python"},
        "language_info": {"name": "python"},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def name_of(source: Path) -> str:
    """A source's notebook: 01_full for 01_full/lesson.py, 01_full_depth for 01_full/depth.py."""
    folder = source.parent.name
    return {"lesson": folder, "depth": f"{folder}_depth"}.get(source.stem, source.stem)


def sources(notebook: nbformat.NotebookNode) -> list[tuple]:
    """(id, type, text, tags) of each cell: what a lesson and its notebook must agree on."""
    return [(c["id"], c.cell_type, c.source, c.metadata.get("tags", [])) for c in notebook.cells]


def lessons(names: list[str]) -> list[Path]:
    """The sources of the lessons that are named, or of all."""
    files = [file for name in ("lesson", "depth") for file in HERE.glob(f"[0-9]*/{name}.py")]
    found = {name_of(source): source for source in sorted(files, key=name_of)}
    if unknown := set(names) - set(found):
        raise SystemExit(f"there is no lesson {', '.join(sorted(unknown))}: there are {', '.join(found)}")
    return [source for name, source in found.items() if not names or name in names]


def up_to_date(wanted: nbformat.NotebookNode, built: Path) -> bool:
    """Whether the notebook that was built holds the very text that is wanted, executed."""
    if not built.exists():
        return False
    notebook = nbformat.read(built, 4)
    return sources(notebook) == sources(wanted) and all(
        cell.execution_count for cell in notebook.cells if cell.cell_type == "code"
    )


def outdated(built: Path) -> list[str]:
    """The cells of a built notebook whose card or claim is answered otherwise by the runs that are recorded now."""
    cells = [c for c in nbformat.read(built, 4).cells if re.match(r"teach\.(card|claim)\(", c.source)]
    return [cell.source for cell in cells if _shown(cell) != _said(cell.source)]


def _shown(cell: nbformat.NotebookNode) -> str:
    shown = (output.data["text/markdown"] for output in cell.outputs if "text/markdown" in output.get("data", {}))
    return next(shown, "")


def _said(source: str) -> str:
    return _answer(source, stated=False)._repr_markdown_()


def _answer(source: str, stated: bool = True):
    """What a card or a claim says now. AssertionError if the lesson states another verdict, unless that is left out."""
    call = ast.parse(source, mode="eval").body
    named = {word.arg: word.value.value for word in call.keywords if stated}
    return getattr(teach, call.func.attr)(*[argument.value for argument in call.args], **named)


def show_verdicts(notebook: nbformat.NotebookNode) -> None:
    """Put what cards and claims say now in the place of what they said."""
    for cell in notebook.cells:
        if re.match(r"teach\.(card|claim)\(", cell.source):
            said = _answer(cell.source)
            for output in cell.outputs:
                if "text/markdown" in output.get("data", {}):
                    output.data |= {"text/markdown": said._repr_markdown_(), "text/plain": repr(said)}


def keep_outputs(notebook: nbformat.NotebookNode, built: Path) -> bool:
    """Take the outputs of the notebook that was built, if its code is the same, but for the verdicts that it states."""
    if not built.exists():
        return False
    before = nbformat.read(built, 4)
    code, ran = ([c for c in book.cells if c.cell_type == "code"] for book in (notebook, before))
    if _without_verdicts(code) != _without_verdicts(ran) or not all(cell.execution_count for cell in ran):
        return False
    for cell, old in zip(code, ran):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    return True


def _without_verdicts(those: list) -> list[tuple]:
    stated = re.compile(r'^(teach\.claim\("\w+"), verdict="[^"]*"')
    return [(stated.sub(r"\1", cell.source), cell.metadata.get("tags", [])) for cell in those]


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run all cells in a fresh kernel, in the notebooks' folder, with only this machine to talk to."""
    guard = [str(HERE.parent / "tests" / "offline"), str(HERE.parent)]
    os.environ |= {"FTLIB_PROFILE": "quick", "PYTHONPATH": os.pathsep.join(guard), "HF_HUB_OFFLINE": "1"}
    os.environ["FTLIB_ANSWERS"] = str(HERE.parent / "build" / "answers-of-nobody")  # as a learner who starts afresh
    where = {"metadata": {"path": str(NOTEBOOKS)}}
    client = NotebookClient(notebook, timeout=60 * MINUTES, kernel_name="python3", record_timing=False, resources=where)
    client.execute()
    if errors := hidden_errors(notebook):
        raise SystemExit(f"an output holds an error that did not stop the run: {errors}")


def hidden_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Errors inside widgets' outputs, which never stop a run."""
    models = notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {}).values()
    outputs = [o for model in models for o in model.get("state", {}).get("outputs", []) or []]
    for cell in notebook.cells:
        if cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", []):
            outputs += cell.outputs
    return [f"{o['ename']}: {o['evalue']}" for o in outputs if o.get("output_type") == "error"]


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Drop what is large or changes on every build without saying anything."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if VIEW in output.get("data", {}):
                output.data[VIEW]["model_id"] = ""  # drawn anew on every run; without its state it points at nothing
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
            cell.outputs = [o for o in cell.outputs if o.output_type != "display_data" or o.data]  # a bar that has gone


def save(notebook: nbformat.NotebookNode, file: Path) -> None:
    """Write a notebook in one piece, always in the same form, without what is not worth keeping."""
    tidy(notebook)
    nbformat.validate(notebook)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def main() -> None:
    """Build the lessons that changed, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="lessons, such as 01_full (default: all)")
    parser.add_argument("--force", action="store_true", help="also those that did not change")
    arguments = parser.parse_args()
    for source in lessons(arguments.names):
        notebook, built = cells.student(read(source)), NOTEBOOKS / f"{name_of(source)}.ipynb"
        if not arguments.force and built.exists():
            if up_to_date(notebook, built) and not outdated(built):
                print(f"{name_of(source)}: unchanged")
                continue
            if keep_outputs(notebook, built):
                show_verdicts(notebook)
                save(notebook, built)
                print(f"{name_of(source)}: only text or verdicts changed, so its outputs are kept")
                continue
        start = time.perf_counter()
        execute(notebook)
        save(notebook, built)
        print(f"{name_of(source)}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
