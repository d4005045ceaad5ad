"""Where there is no browser: said in the last lines, and in continuous integration a failure."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("ci", ["", "true"])
def test_it_is_said(tmp_path: Path, ci: str):
    environment = {name: value for name, value in os.environ.items() if name != "CHROMIUM"}
    environment |= {"PATH": str(tmp_path), "CI": ci}
    options = ["-p", "no:cacheprovider", "-k", "lesson_runs or sound or wrong"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", HERE, *options], env=environment, cwd=HERE, capture_output=True, text=True
    )
    said = re.search(
        r"^no browser found: (\d+) browser tests did not run; install Debian's chromium", done.stdout, re.M
    )
    if ci:
        assert (done.returncode, said) == (1, None)
        assert "no browser found: install Debian's chromium" in done.stdout
    else:
        assert done.returncode == 0
        assert int(said[1]) >= 4, done.stdout
