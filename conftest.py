"""What holds for every test: the quick profile, and no network, in this process and in all that it starts."""

import gc
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
OFFLINE = ROOT / "tests" / "offline"
WORKER = "PYTEST_XDIST_WORKER" in os.environ  # one of several processes that share the tests, and one log
if not WORKER:
    os.environ["FTLIB_SOCKET_LOG"] = str(Path(tempfile.mkdtemp(prefix="ftlib-tests-")) / "sockets.txt")
SOCKET_LOG = Path(os.environ["FTLIB_SOCKET_LOG"])
SECONDS = os.environ.pop("FTLIB_SECONDS", "")  # setup_env.py's file for this run; a pytest within a test has none
SLOWEST = 8  # files, and notebooks, in the table at the end
NO_BROWSER = "no browser found: "  # how tests/browser/conftest.py begins its reason for leaving tests out
NOT_VERIFIED = "was not verified this time: "  # stands in the reason of a test whose tool is not installed
collect_ignore = ["tests/test_commands.py"] if os.name == "nt" else []  # make and bash are not Windows's own


def go_offline() -> None:
    """Guard this process and, through PYTHONPATH, every kernel and subprocess to come."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
    spec = spec_from_file_location("ftlib_offline", OFFLINE / "sitecustomize.py")
    spec.loader.exec_module(module_from_spec(spec))


os.environ["FTLIB_PROFILE"] = "quick"
os.environ["ACCELERATE_USE_CPU"] = "true"  # also where there is a GPU: many tests compare to the last bit
os.environ["FTLIB_ANSWERS"] = str(SOCKET_LOG.parent / "answers")  # a learner's own answers stay untouched
go_offline()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test begins with the same random numbers, whichever tests ran before it in its process."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.manual_seed(0)  # the tests keep to the CPU


def pytest_collection_finish() -> None:
    """What was imported by now is no garbage, and need not be looked through again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """No test, subprocess, server or notebook of this session may have tried to leave this computer: else it fails."""
    if SOCKET_LOG.exists() and not WORKER:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)  # after the slowest tests
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tried to leave; and where there was no browser, what was not tested for that reason."""
    if SOCKET_LOG.exists():
        terminalreporter.section("network", red=True)
        terminalreporter.line(f"FAILED: this tried to leave this computer:\n{SOCKET_LOG.read_text()}", red=True)
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if reasons := [reason.partition(NO_BROWSER)[2].rstrip("')") for reason in skipped if NO_BROWSER in reason]:
        terminalreporter.section("browser tests", yellow=True)
        terminalreporter.line(f"{NO_BROWSER}{len(reasons)} browser tests did not run; {reasons[0]}", yellow=True)
    if said := [reason.partition("Skipped: ")[2].rstrip("')") for reason in skipped if NOT_VERIFIED in reason]:
        terminalreporter.section("tools", yellow=True)
        terminalreporter.line("\n".join(dict.fromkeys(said)), yellow=True)
    if SECONDS:
        report_seconds(terminalreporter)


def report_seconds(terminalreporter: pytest.TerminalReporter) -> None:
    """Which files and notebooks took longest so far, in all of setup_env.py's calls of pytest."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    times = json.loads(Path(SECONDS).read_text()) if Path(SECONDS).exists() else {}
    for kind, spent in seconds_of([r for r in reports if isinstance(r, pytest.TestReport)]).items():
        times[kind] = dict(Counter(times.get(kind, {})) + spent)
    Path(SECONDS).write_text(json.dumps(times))
    terminalreporter.section("slowest files and notebooks, in seconds")
    for kind, spent in times.items():
        terminalreporter.line(f"{sum(spent.values()):8.0f}  all {kind}")
        for name, seconds in Counter(spent).most_common(SLOWEST):
            terminalreporter.line(f"{seconds:8.0f}    {name}")


def seconds_of(reports: list[pytest.TestReport]) -> dict[str, Counter]:
    """Seconds of each file of tests, and of all tests of each notebook: those of a parameter with its name, too."""
    times = {"files": Counter(), "notebooks": Counter()}
    names = {file.stem for file in (ROOT / "notebooks").glob("*.ipynb")}
    for report in reports:
        file, _, test = report.nodeid.partition("::")
        times["files"][file] += report.duration
        parameter = test.partition("[")[2].rstrip("]")
        if (name := Path(file).stem if file.endswith(".ipynb") else parameter) in names:
            times["notebooks"][name] += report.duration
    return times


def pytest_unconfigure() -> None:
    if not WORKER:
        shutil.rmtree(SOCKET_LOG.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def one_thread():
    """For files of small networks: a second thread gains little, and on a busy computer the two wait for each other."""
    import torch  # here, since most commands of pytest need no torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
