"""nbval judges what the browser has executed as strictly as what it executes itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
VIEW = "application/vnd.jupyter.widget-view+json"
SOURCES = ["n = 20 + 1", "2 * n"]


def result(text: str, **data: object):
    return new_output("execute_result", data={"text/plain": text, **data}, execution_count=2)


def notebook(
    file: Path, outputs=(), sources: list[str] = SOURCES, counts: tuple = (1, 2), tag: str = "nbval-check-output"
):
    """Write code cells, with the outputs of the last one; its tag tells nbval what to do with them."""
    cells = [new_code_cell(source, execution_count=count) for source, count in zip(sources, counts)]
    cells[-1].outputs, cells[-1].metadata.tags = list(outputs), [tag]
    file.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells), file)


def judge(folder: Path, *what: str) -> tuple[dict[str, dict[str, str]], str]:
    """{notebook: {"Cell 0": "passed" or …}} as nbval finds the notebooks of a folder, with the copies in
    folder/executed; and all that it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    command = [sys.executable, "-m", "pytest", "-p", "tests.replay", "-p", "no:cacheprovider", "-v", "--color=no"]
    command += ["--ignore", folder / "executed", "--nbval-lax", "--nbval-current-env"]
    command += ["--nbval-kernel-startup-timeout=600", f"--rootdir={folder}", *(what or [folder])]
    environment = kept | {"FTLIB_EXECUTED": str(folder / "executed")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    found = {}
    for name, cell, outcome in re.findall(r"(\w+)(?:\.|::)ipynb::(Cell \d) (PASSED|FAILED|SKIPPED)", done.stdout):
        found.setdefault(name, {})[cell] = outcome.lower()
    return found, done.stdout


ERROR = new_output("error", ename="NameError", evalue="name 'n' is not defined", traceback=["a line of a traceback"])
PIECES = [new_output("stream", text="one\n"), new_output("stream", text="two\n")]
DRAWN = [{VIEW: {"model_id": model}, "image/png": picture} for model, picture in (("a", "iVBORw0KGgo="), ("b", "AAAA"))]
SHOWN = {"tag": "raises-exception"}
# the notebook's and its copy's cells where they aren't the usual ones, how the copy fares, what is said of a failure
CASES = {
    "the_same": ({}, {}, "passed passed", ""),
    "another_output": ({}, {"outputs": [result("43")]}, "passed failed", "Cell outputs differ"),
    "no_output": ({}, {"outputs": []}, "passed failed", "Missing output fields"),
    "one_more": ({}, {"outputs": [result("42"), *PIECES]}, "passed failed", "Unexpected output fields"),
    "an_error": ({}, {"outputs": [ERROR]}, "passed failed", "a line of a traceback"),
    "an_error_later": ({}, {"outputs": [result("42"), ERROR]}, "passed failed", "Cell execution caused an exception"),
    "an_error_shown": (SHOWN | {"outputs": [ERROR]}, {"outputs": [ERROR]}, "passed passed", ""),
    "another_source": ({}, {"sources": ["n = 21", "2 * n"]}, "failed passed", "has another source here"),
    "a_cell_less": ({}, {"sources": SOURCES[:1], "outputs": []}, "passed failed", "has another source here"),
    "not_run": ({}, {"counts": (1, None)}, "passed failed", "didn't run this cell"),
    "a_stream_in_pieces": (
        {"outputs": PIECES},
        {"outputs": [new_output("stream", text="one\ntwo\n")]},
        "passed passed",
        "",
    ),
    "drawn_anew": (
        {"outputs": [result("42", **DRAWN[0])]},
        {"outputs": [result("42", **DRAWN[1])]},
        "passed passed",
        "",
    ),
    "not_compared": ({"tag": "nbval-ignore-output"}, {"outputs": [result("43")]}, "passed passed", ""),
    "left_out": ({"tag": "nbval-skip"}, {"outputs": [result("43")]}, "passed skipped", ""),
    # without a copy, a kernel runs the cells
    "no_copy": ({}, None, "passed passed", ""),
    "no_copy_and_wrong": ({"outputs": [result("43")]}, None, "passed failed", "Cell outputs differ"),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, str]:
    """All cases in one run: its folder, the outcomes, and what was printed."""
    folder = tmp_path_factory.mktemp("replay")
    for case, (stored, copy, *_) in CASES.items():
        notebook(folder / f"{case}.ipynb", **{"outputs": [result("42")], **stored})
        if copy is not None:
            notebook(folder / "executed" / f"{case}.ipynb", **{"outputs": [result("42")], **copy})
    return folder, *judge(folder)


@pytest.mark.parametrize("case", CASES)
def test_a_copy_is_judged_as_a_run_is(case: str, judged):
    *_, outcomes, sentence = CASES[case]
    _, found, said = judged
    assert list(found[case].values()) == outcomes.split(), said
    failures = [part for part in re.split(r"^_{3,} ", said, flags=re.M) if part.startswith(f"{case}.ipynb::")]
    assert len(failures) == outcomes.count("failed") and all(sentence in failure for failure in failures), said


def test_one_cell_alone_is_compared_with_its_own_copy(judged):
    """The kernel is told which cell comes: it doesn't count those that ran."""
    folder = judged[0]
    found, said = judge(folder, f"{folder}/the_same.ipynb::Cell 1", f"{folder}/no_copy.ipynb::Cell 1")
    assert found == {"the_same": {"Cell 1": "passed"}, "no_copy": {"Cell 1": "failed"}}, said  # n is not known
