"""`make`, `.ci/run` and the tree: each command does what it says, and no file points out of this folder."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Ci:
    """`.ci/run` where nothing but the given programs can be called; each of them only tells what it was asked."""

    def __init__(self, folder: Path, *programs: str) -> None:
        for name in ("bash", "dirname", "cat"):
            (folder / name).symlink_to(shutil.which(name))
        for name in programs:
            self.program(folder / name, f'echo "{name} $*"')
        self.program(folder / "id", "echo 1000")
        self.program(folder / "sudo", 'shift; echo "as root: $*"; "$@"')
        self.program(folder / "make", 'echo "$PWD: $* CI=$CI"; cat; exit 3')
        self.folder = folder

    @staticmethod
    def program(file: Path, does: str) -> None:
        file.write_text(f"#!{shutil.which('sh')}\n{does}\n")
        file.chmod(0o755)

    def run(self) -> subprocess.CompletedProcess:
        environment = {name: value for name, value in os.environ.items() if name not in ("CI", "CHROMIUM")}
        return subprocess.run(
            ["bash", ROOT / ".ci" / "run"],
            cwd=self.folder,
            env=environment | {"PATH": str(self.folder)},
            input="not for make",
            capture_output=True,
            text=True,
        )


MAKE_TEST = f"{ROOT}: test CI=true\n"


@pytest.mark.parametrize("programs", [["chromium"], ["google-chrome", "apt-get"], []], ids=" ".join)
def test_ci_runs_make_test_in_the_kits_folder(tmp_path: Path, programs: list[str]) -> None:
    """No input, and its status is passed on; nothing is installed where a browser is, or where nothing can be."""
    done = Ci(tmp_path, *programs).run()
    assert (done.stdout, done.stderr, done.returncode) == (MAKE_TEST, "", 3)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_ci_installs_a_browser_where_there_is_none(tmp_path: Path) -> None:
    done = Ci(tmp_path, "apt-get").run()
    assert (done.stdout, done.returncode) == (MAKE_TEST, 3)
    update, install = (line for line in done.stderr.splitlines() if line.startswith("as root: "))
    assert update.startswith("as root: apt-get update")
    assert install.startswith("as root: apt-get install -y") and install.endswith(" chromium fonts-dejavu-core")


def test_ci_without_a_browser_still_tests(tmp_path: Path) -> None:
    """And the browser tests say what is missing."""
    ci = Ci(tmp_path)
    ci.program(tmp_path / "apt-get", "exit 100")
    done = ci.run()
    assert (done.stdout, done.returncode) == (MAKE_TEST, 3)
    assert "the browser tests will fail" in done.stderr


def make(*arguments: str) -> subprocess.CompletedProcess:
    """Call make as a person does, though an outer make may be running this test."""
    own = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON", "LAB_ARGS", "TEST_ARGS"}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("asked", ["setup", "lab LAB_ARGS=--no-browser", "test TEST_ARGS=-x", "check TEST_ARGS=-x"])
def test_make_passes_everything_on(asked: str) -> None:
    target, _, arguments = asked.replace("=", " ").partition(" ")
    said = make("-n", *asked.split()).stdout.split()
    assert re.fullmatch(r"python[\d.]*", said[0])
    assert said[1:] == ["setup_env.py", target, *arguments.split()[1:]]


def test_make_without_a_python_is_one_sentence() -> None:
    done = make("-n", "lab", "PYTHON=")
    assert done.returncode == 2
    assert "No Python 3.11, 3.12 or 3.13 found" in done.stderr


def test_help_names_every_target() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert [line.split()[1] for line in make().stdout.splitlines()] == targets


def tree() -> list[Path]:
    """Every file of the kit, tracked or about to be: what git does not ignore."""
    if not (ROOT / ".git").exists():  # an unpacked archive
        made_here = {".venv", ".venv-bench", ".venv-site", ".venv-board", "__pycache__", "build", "runs", "work"}
        return [f for f in ROOT.rglob("*") if f.is_file() and not made_here & set(f.parts)]
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_place_of_one_computer() -> None:
    """Packages come by name from whatever index pip is set to, and nothing is read outside this folder."""
    hosts = [r"p[y]pi\.(org|python)", r"python[h]osted\.org", r"registry\.npm[j]s", r"anaconda[.]org/"]
    places = [r"(?<![\w.-])/(work|root|home|tmp/w)[/]", r"/opt/(wheels|pypi)", r"""(\.\./|["'(`])sha[r]ed/"""]
    forbidden = re.compile("|".join(hosts + places).encode())
    files = tree()
    assert ROOT / "setup_env.py" in files
    found = {str(f.relative_to(ROOT)): m[0] for f in files if (m := forbidden.search(f.read_bytes()))}
    assert found == {}
