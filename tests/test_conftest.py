"""The table at the end of `make test`: seconds are summed over tests, over processes and over calls of pytest."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SLOW = "import time, pytest\n\n@pytest.mark.parametrize('name', ['01_one', '02_two'])\ndef test_it(name):\n    {}\n"


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A folder with two notebooks (empty, for their names), and two files of tests with the kit's conftest.py."""
    for name in ("tests", "notebooks"):
        (tmp_path / name).mkdir()
    shutil.copy(TESTS.parent / "conftest.py", tmp_path)
    shutil.copytree(TESTS / "offline", tmp_path / "tests" / "offline")
    for name in ("01_one", "02_two"):
        (tmp_path / "notebooks" / f"{name}.ipynb").touch()
    (tmp_path / "tests" / "test_slow.py").write_text(SLOW.format("time.sleep(1 if name == '02_two' else 0)"))
    (tmp_path / "tests" / "test_nested.py").write_text(
        "import os\n\ndef test_it():\n    assert 'FTLIB_SECONDS' not in os.environ\n"
    )
    return tmp_path


def call(kit: Path, *options: str, **variables: str) -> str:
    """What pytest prints in that kit."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_XDIST", "FTLIB_S"))}
    command = [sys.executable, "-m", "pytest", "tests", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=kit, env=kept | variables, capture_output=True, text=True).stdout


@pytest.mark.parametrize("workers", [0, 2])
def test_the_seconds_of_two_calls_are_one_table(kit: Path, workers: int):
    seconds = {"FTLIB_SECONDS": str(kit / "seconds")}
    first, second = call(kit, f"-n{workers}", **seconds), call(kit, f"-n{workers}", "-k", "02_two", **seconds)
    assert "3 passed" in first and "1 passed" in second, first + second
    times = json.loads((kit / "seconds").read_text())
    assert set(times["files"]) == {"tests/test_slow.py", "tests/test_nested.py"}
    assert 2 <= times["notebooks"]["02_two"] <= times["files"]["tests/test_slow.py"]
    assert times["notebooks"]["01_one"] < 1
    table = second.partition("slowest files and notebooks")[2]
    rows = re.findall(r"^ +(\d+) +(all \w+|\S+)$", table, re.M)
    assert [name for _, name in rows] == [
        *("all files", "tests/test_slow.py", "tests/test_nested.py", "all notebooks", "02_two", "01_one")
    ]
    assert int(rows[1][0]) >= 2 and int(rows[4][0]) >= 2


def test_without_the_variable_there_is_no_table(kit: Path):
    said = call(kit, "-n0", "-k", "01_one")
    assert "1 passed" in said and "slowest files" not in said


def test_a_tool_that_was_not_verified_stands_in_the_summary(kit: Path):
    test = "import pytest\n\ndef test_it():\n    pytest.skip('X was not verified this time: no index')\n"
    (kit / "tests" / "test_tool.py").write_text(test)
    said = call(kit, "-n0", "-k", "test_tool")
    assert re.search(r"=+ tools =+\nX was not verified this time: no index\n", said), said
    assert "not verified" not in call(kit, "-n0", "-k", "01_one")
