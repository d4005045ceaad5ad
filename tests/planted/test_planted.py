"""Every planted bug turns the tests red that are meant to find it.

A test that has never failed has shown nothing. So each row of bugs_*.py and of lessons/*/bugs.py is applied to a copy
of the library, the tests that it names run on that copy, and each must fail because of what it asserts. The same tests
pass on a copy without the bug. The heavy packages are imported once, in multiprocessing's fork server, and every run
is a fork of that process.
"""

import contextlib
import gc
import io
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from runpy import run_path

import pytest
from bug import Bug

from forks import PROCESSES

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
FILES = [*sorted(Path(__file__).parent.glob("bugs_*.py")), *sorted((ROOT / "lessons").glob("*/bugs.py"))]
BUGS = [bug for file in FILES for bug in run_path(str(file))["BUGS"]]
LIMIT = 1800  # seconds for the tests of one row, against hanging; on a quiet computer they take about one
# A row that ends in one of these is written wrongly: nothing ran. A bug runs, and gives wrong results.
NOTHING_RAN = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "UnboundLocalError")


class Outcomes:
    """A pytest plugin: {test: "passed", or the first line of why it failed}; what went wrong outside tests apart."""

    def __init__(self):
        self.tests: dict[str, str] = {}
        self.errors: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        why = call.excinfo.exconly().split("\n")[0] if call.excinfo else "passed"
        if report.failed and (call.when != "call" or call.excinfo.typename in NOTHING_RAN):
            self.errors.append(f"{item.name}, {call.when}: {why}")
        elif call.when == "call":
            self.tests[item.nodeid.removeprefix(f"{TESTS.name}/")] = why
        return report

    def pytest_collectreport(self, report):
        if report.failed:
            self.errors.append(f"{report.nodeid}, collection: {report.longrepr}")


def in_a_fork(copy: str, names: tuple[str, ...], connection) -> None:
    """Run the named tests on the library in the folder `copy`, and send what came of it."""
    gc.freeze()  # what was imported is no garbage: pytest's ten looks for some would take most of the time
    os.environ |= {"PYTHONPATH": os.pathsep.join([copy, os.environ.get("PYTHONPATH", "")])}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a second in which nothing of ours is tested
    os.chdir(ROOT)
    sys.path.insert(0, copy)
    import torch

    import ftlib

    assert Path(ftlib.__file__).is_relative_to(copy), f"{ftlib.__file__} would be tested, and not the copy in {copy}"
    torch.set_num_threads(1)
    outcomes, said = Outcomes(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main(
            [
                "-q",
                "-p",
                "no:cacheprovider",
                *(str((ROOT if name.startswith("lessons/") else TESTS) / name) for name in names),
            ],
            [outcomes],
        )
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        outcomes.errors.append(said.getvalue())
    connection.send((outcomes.tests, outcomes.errors))


def run(copy: Path, names: tuple[str, ...]) -> tuple[dict[str, list[str]], list[str]]:
    """({name: the outcomes of its tests}, errors) on a copy; a name stands for all its parameters."""
    receive, send = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=in_a_fork, args=(str(copy), names, send), daemon=True)
    process.start()
    send.close()
    try:
        tests, errors = receive.recv() if receive.poll(LIMIT) else ({}, [f"no answer in {LIMIT} s"])
    except EOFError:
        tests, errors = {}, ["the process died: see above"]
    process.kill()
    process.join()
    return {n: [why for t, why in tests.items() if t == n or t.startswith((f"{n}[", f"{n}::"))] for n in names}, errors


def file_of(name: str) -> str:
    """test_train.py of test_train.py::test_one."""
    return name.split("::")[0]


def copy_library(folder: Path) -> Path:
    """ftlib/ in the folder, with the lessons, data and notebooks that it reads beside it."""
    for name in ("ftlib", "lessons", "data"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "notebooks").symlink_to(ROOT / "notebooks")  # nothing writes there; they are too large for so many copies
    return folder


def run_with(bug: Bug):
    """What comes of the row's tests on a copy with its bug."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        file = copy_library(Path(folder)) / bug.file
        text = file.read_text(encoding="utf-8")
        if (times := text.count(bug.old)) != 1:
            raise AssertionError(f"the row is out of date: {bug.file} holds its old text {times} times, not once")
        file.write_text(text.replace(bug.old, bug.new), encoding="utf-8")
        return run(Path(folder), bug.red)


def judge(bug: Bug, with_it, without) -> None:
    """Fail unless each test of the row passed without the bug and failed with it."""
    for (tests, errors), when in ((without, "without the bug"), (with_it, "with the bug")):
        assert not errors, f"the tests of the row cannot run {when}: {errors}"
        missing = [name for name, outcomes in tests.items() if not outcomes]
        assert not missing, f"these did not run {when}: {missing}"
    red = {name: why for name, outcomes in without[0].items() for why in outcomes if why != "passed"}
    assert not red, f"these fail without the bug, too: {red}"
    green = [name for name, outcomes in with_it[0].items() if set(outcomes) == {"passed"}]
    assert not green, f"the bug survived: {bug.does} Still green: {green}"


@pytest.fixture(scope="module")
def runs(request):
    """A function: what comes of a row's tests, with its bug and without any.

    All the rows that were asked for are run, as many at once as there are cores. Without a bug, each test is run once.
    """
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    asked = [p["bug"] for p in params if isinstance(p.get("bug"), Bug)]
    with tempfile.TemporaryDirectory(prefix="clean-") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        clean, names = copy_library(Path(folder)), dict.fromkeys(name for bug in asked for name in bug.red)
        files = {file: tuple(n for n in names if file_of(n) == file) for file in map(file_of, names)}
        without = {file: pool.submit(run, clean, names) for file, names in files.items()}
        with_it = {bug: pool.submit(run_with, bug) for bug in asked}

        def of(bug: Bug):
            cleans = [without[file].result() for file in dict.fromkeys(map(file_of, bug.red))]
            passed = {name: tests[name] for tests, _ in cleans for name in tests if name in bug.red}
            return with_it[bug].result(), (passed, [error for _, errors in cleans for error in errors])

        yield of
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.of}: {bug.id}".replace(" ", "-"))
def test_a_planted_bug_is_found(bug, runs):
    judge(bug, *runs(bug))


def test_every_strategy_of_the_catalogue_has_planted_bugs():
    from ftlib import strategies  # not above: a fork imports this file before it has chosen its copy of ftlib

    assert len({bug.id for bug in BUGS}) == len(BUGS) >= 80
    assert not set(strategies.CATALOG) - {bug.of for bug in BUGS}, (
        "give each new strategy its rows in its lesson's bugs.py"
    )


ROW = next(bug for bug in BUGS if bug.id == "a worse arm is not called worse")
WRONG_ROWS = [
    ("out of date: ftlib/evidence/compare.py holds its old text 0 times", replace(ROW, old="if self.high < -margins:")),
    ("out of date: ftlib/evidence/compare.py holds its old text [1-9]+ times", replace(ROW, old="margin:")),
    ("cannot run without the bug: .*not found", replace(ROW, red=("test_nothing.py::test_that_nobody_wrote",))),
    ("survived: .*Still green", replace(ROW, new="if -margin > self.high:")),
    ("survived: .*Still green: .*test_holm", replace(ROW, red=(*ROW.red, "test_compare.py::test_holm_by_hand"))),
    ("cannot run with the bug: .*NameError", replace(ROW, new="if self.high < -margins:")),
    ("cannot run with the bug: .*SyntaxError", replace(ROW, new="if self.high < -margin")),
]


@pytest.mark.parametrize(("sentence", "bug"), WRONG_ROWS, ids=[sentence for sentence, _ in WRONG_ROWS])
def test_a_row_that_shows_nothing_is_told_apart(sentence, bug, runs):
    """Otherwise a bug that cannot even be imported would count as found."""
    with pytest.raises(AssertionError, match=sentence):
        judge(bug, *runs(bug))
