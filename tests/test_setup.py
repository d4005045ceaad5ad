"""The set-up: its files agree with each other, it is done once, and it survives interruptions."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import setup_env

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIRECT = [
    Requirement(text)
    for text in PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
SYSTEMS = [  # sys_platform, platform_system, os_name, platform_machine
    ("linux", "Linux", "posix", "x86_64"),
    ("win32", "Windows", "nt", "AMD64"),
    ("darwin", "Darwin", "posix", "arm64"),
]
PYTHONS = ["3.11", "3.12", "3.13"]


def read_pins() -> dict[str, str]:
    """constraints.txt as {canonical name: version}."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, version in pairs}
    assert len(pins) == len(pairs), "a package stands in constraints.txt twice"
    return pins


PINS = read_pins()


def needed(environment: dict[str, str]) -> set[str]:
    """All packages that the direct dependencies bring, as the installed packages' own metadata say."""
    seen, waiting = set(), list(DIRECT)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            seen.add((name, extra))
            if name in INSTALLED:
                found = [Requirement(text) for text in metadata.requires(name) or []]
                wanted = {**environment, "extra": extra}
                waiting += [r for r in found if r.marker is None or r.marker.evaluate(wanted)]
    return {name for name, _ in seen}


INSTALLED = {canonicalize_name(d.metadata["Name"]): d.version for d in metadata.distributions()}


# -- pyproject.toml, constraints.txt and environment.yml agree -----------------------------------------------
@pytest.mark.parametrize("requirement", DIRECT, ids=lambda r: r.name)
def test_a_direct_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_the_pins_are_the_closure_on_every_system() -> None:
    """Nothing that any supported computer installs is left unpinned, and no pin is stale."""
    names = ("sys_platform", "platform_system", "os_name", "platform_machine")
    closure = set()
    for system in SYSTEMS:
        for version in PYTHONS:
            python = {"python_version": version, "python_full_version": f"{version}.0"}
            closure |= needed(default_environment() | dict(zip(names, system, strict=True)) | python)
    assert len(closure) > len(DIRECT)
    assert closure - set(PINS) == set(), "to be added to constraints.txt"
    assert set(PINS) - closure == set(), "to be removed from constraints.txt"


def test_the_environment_has_the_pinned_versions() -> None:
    differ = {name: (INSTALLED[name], pin) for name, pin in PINS.items() if INSTALLED.get(name, pin) != pin}
    missing = {canonicalize_name(r.name) for r in DIRECT} - set(INSTALLED)
    assert (differ, missing) == ({}, set()), "(installed, pinned) differ, or are missing: run `make setup`"


def test_torchvision_is_the_one_built_for_this_torch() -> None:
    """torch 2.N belongs to torchvision 0.(N + 15): 2.11 to 0.26, 2.14 to 0.29."""
    (torch_major, torch_minor, _), (vision_major, vision_minor, _) = (
        map(int, PINS[name].split(".")) for name in ("torch", "torchvision")
    )
    assert (torch_major, vision_major, vision_minor - torch_minor) == (2, 0, 15)
    asked = [Requirement(text) for text in metadata.requires("torchvision")]
    assert [PINS["torch"] in r.specifier for r in asked if r.name == "torch"] == [True]


def test_conda_installs_the_same() -> None:
    *conda, pip = CONDA["dependencies"]
    assert CONDA["name"] == PROJECT["name"]
    assert pip["pip"][:2] == ["-c constraints.txt", "-e .[test,grading]"]
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]
    stated = [Requirement(text) for text in pip["pip"][2:]]
    assert {"torch", "torchvision", "transformers"} <= {r.name for r in stated}
    assert {r.name: str(r.specifier) for r in stated} == {r.name: f"=={PINS[r.name]}" for r in stated}


def kernel_command(text: str) -> list[str]:
    """The words of the command that registers the kernel in a text."""
    found = re.search(r"python -m (ipykernel install [^`\n]*)", text)
    return found[1].replace('"', "").split() if found else []


def test_conda_registers_the_kernel_that_the_notebooks_ask_for() -> None:
    """In docs/install.md, in environment.yml and in the set-up: the same name, below the environment itself."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    asked = {json.loads(f.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"] for f in notebooks}
    conda = next(line for line in (ROOT / "docs" / "install.md").read_text().splitlines() if "conda env create" in line)
    for text in (conda, (ROOT / "environment.yml").read_text()):
        command = kernel_command(text)
        assert "--sys-prefix" in command and {command[command.index("--name") + 1]} == asked
    order = ["conda activate", "ipykernel install", "ftlib assets", "jupyter lab"]
    assert [conda.index(step) for step in order] == sorted(conda.index(step) for step in order)
    assert kernel_command(conda) == kernel_command((ROOT / "environment.yml").read_text())
    assert kernel_command(conda)[-3:] == ["--env", *setup_env.LARGE_PAGES]


def test_one_range_of_pythons() -> None:
    test = "(3, 11) <= sys.version_info < (3, 14)"
    assert all(test in (ROOT / name).read_text() for name in ("setup_env.py", "Makefile"))
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(8, 17) if f"3.{minor}" in allowed] == PYTHONS


def test_another_python_is_told_in_one_sentence() -> None:
    code = f"import sys; sys.version_info = (3, 10, 2); exec(open({str(ROOT / 'setup_env.py')!r}).read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "The kit needs Python 3.11, 3.12 or 3.13, and this is 3.10: call this file with one of those.\n"
    )


# -- the set-up itself: done once, and redone where it was interrupted --------------------------------------
class Kit:
    """A kit in an empty folder; commands are only written down, but `.venv` is built (without packages)."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.venv, self.commands, self.pip = folder, folder / ".venv", [], lambda: 0
        for name in ("pyproject.toml", "constraints.txt", "setup_env.py"):
            shutil.copy(ROOT / name, folder)
        monkeypatch.delenv("PYTHON", raising=False)
        monkeypatch.setattr(setup_env, "ROOT", folder)
        monkeypatch.setattr(setup_env, "VENV", self.venv)
        monkeypatch.setattr(setup_env, "STAMP", self.venv / "ftlib-setup.txt")
        monkeypatch.setattr(setup_env, "run", self.run)

    def run(self, *command: object) -> int:
        module = command[2]
        self.commands.append(module)
        if module == "venv":
            venv.create(command[3], symlinks=os.name != "nt")
        return self.pip() if module == "pip" else 0

    def prepare(self) -> list[str]:
        """Set up; return the commands that this took."""
        self.commands.clear()
        setup_env.prepare()
        return self.commands


FIRST = ["venv", "pip", "pip", "ipykernel", "ftlib"]


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    return Kit(tmp_path, monkeypatch)


def test_a_second_set_up_installs_nothing(kit: Kit) -> None:
    assert kit.prepare() == FIRST
    assert kit.prepare() == ["ftlib"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_file_is_installed_into_the_same_environment(kit: Kit, name: str) -> None:
    kit.prepare()
    with (kit.root / name).open("a") as file:
        file.write("# changed\n")
    assert kit.prepare() == FIRST[1:]
    assert kit.prepare() == ["ftlib"]


def test_an_interrupted_set_up_starts_anew(kit: Kit) -> None:
    def killed() -> int:
        (kit.venv / "half-a-package").mkdir()
        raise KeyboardInterrupt

    kit.pip = killed
    with pytest.raises(KeyboardInterrupt):
        kit.prepare()
    kit.pip = lambda: 0
    assert kit.prepare() == FIRST
    assert not (kit.venv / "half-a-package").exists()


def test_without_a_network_the_old_environment_stays(kit: Kit) -> None:
    kit.prepare()
    wanted = (kit.root / "constraints.txt").read_text()
    (kit.root / "constraints.txt").write_text("# newer pins\n")
    kit.pip = lambda: 1
    with pytest.raises(SystemExit, match="could not be installed"):
        kit.prepare()
    (kit.root / "constraints.txt").write_text(wanted)
    assert kit.prepare() == ["ftlib"]


def test_a_failure_amid_the_installation_starts_anew(kit: Kit) -> None:
    def disk_full() -> int:
        package = next(iter(setup_env.contents()))[0]
        Path(package, "half-a-package").mkdir()
        return 1

    kit.pip = disk_full
    with pytest.raises(SystemExit, match="could not be installed"):
        kit.prepare()
    kit.pip = lambda: 0
    assert kit.prepare() == FIRST


def test_an_interrupted_removal_starts_anew(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    kit.prepare()
    setup_env.python_in(kit.venv).unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        kit.prepare()
    assert setup_env.STAMP.read_text() == setup_env.UNFINISHED
    assert kit.prepare() == FIRST


def test_a_broken_environment_starts_anew(kit: Kit) -> None:
    kit.prepare()
    setup_env.python_in(kit.venv).unlink()
    assert kit.prepare() == FIRST


# -- what is set for other projects must not reach this one ---------------------------------------------------
@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The Python of an empty environment with pip, and a package of one file."""
    folder = tmp_path_factory.mktemp("real")
    venv.create(folder / ".venv", symlinks=os.name != "nt", with_pip=True)
    wheel = folder / "tiny_of_ftlib-1.0-py3-none-any.whl"
    info = "tiny_of_ftlib-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_of_ftlib.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-of-ftlib\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"tiny_of_ftlib.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return setup_env.python_in(folder / ".venv"), wheel


AMISS = {  # what a computer may have set for other work, and what would break an installation
    "PIP_USER": "1",
    "PIP_TARGET": "elsewhere",
    "PIP_PREFIX": "elsewhere",
    "PIP_ROOT": "elsewhere",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_REQUIRE_HASHES": "1",
    "PIP_REQUIREMENT": "nothing.txt",
    "PIP_CONSTRAINT": "nothing.txt",
    "PIP_DRY_RUN": "1",
    "PIP_PYTHON": "nothing",
    "PIP_PLATFORM": "win32",
    "PIP_NO_BINARY": ":all:",
    "pip.conf": "[install]\nuser = true\n",
    "PYTHONPATH": "elsewhere",
    "PYTHONUSERBASE": "elsewhere",
}


@pytest.mark.parametrize("name", AMISS)
def test_what_is_set_for_other_work_does_not_break_the_set_up(name, real, tmp_path, monkeypatch) -> None:
    """The package lands in the environment, though it lies in a folder that a variable names as well."""
    python, wheel = real
    monkeypatch.setattr(setup_env, "ROOT", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    shutil.unpack_archive(wheel, tmp_path / "elsewhere", "zip")  # PYTHONPATH: pip would call it installed
    if name == "pip.conf":
        (tmp_path / name).write_text(AMISS[name])
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / name))
    else:
        monkeypatch.setenv(name, str(tmp_path / AMISS[name]) if AMISS[name] == "elsewhere" else AMISS[name])
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    assert setup_env.run(*pip, "install", "--quiet", "--no-index", "--no-input", wheel) == 0
    where = subprocess.run([python, "-I", "-c", "import tiny_of_ftlib as t; print(t.__file__)"], capture_output=True)
    assert Path(where.stdout.decode().strip()).is_relative_to(python.parent.parent), where.stderr
    assert setup_env.run(*pip, "uninstall", "--quiet", "--yes", "tiny-of-ftlib") == 0


def test_where_packages_come_from_stays_the_users_choice(monkeypatch) -> None:
    kept = {"PIP_INDEX_URL": "x", "PIP_EXTRA_INDEX_URL": "x", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "x"}
    kept |= {"PIP_TRUSTED_HOST": "x", "PIP_CERT": "x", "PIP_PROXY": "x", "PIP_CACHE_DIR": "x", "PIP_CONFIG_FILE": "x"}
    for name, value in {**kept, "PIP_TARGET": "x", "OMP_NUM_THREADS": "3"}.items():
        monkeypatch.setenv(name, value)
    environment = setup_env.own_environment()
    assert kept.items() <= environment.items() and environment["OMP_NUM_THREADS"] == "3"
    assert "PIP_TARGET" not in environment and os.environ["PIP_TARGET"] == "x"


@pytest.mark.parametrize("users", [None, "glibc.malloc.check=1"])
def test_memory_comes_in_large_pages_unless_the_user_tunes_the_c_library(monkeypatch, users) -> None:
    name, value = setup_env.LARGE_PAGES
    monkeypatch.setenv(name, users) if users else monkeypatch.delenv(name, raising=False)
    assert setup_env.own_environment()[name] == (users or value)
    assert f"export {name} ?= {value}" in (ROOT / "Makefile").read_text()


# -- what `make test` and `make check` call -------------------------------------------------------------------
TEXTS = sorted(str(p.relative_to(ROOT)) for n in ("lesson", "depth") for p in ROOT.glob(f"lessons/*/{n}.py"))
NARROW = f"ruff format --check --config lessons/cells.toml {' '.join(TEXTS)}"
STYLE = ["ruff check", "ruff format --check", NARROW]
TESTS, CELLS = "pytest tests lessons", "pytest notebooks"


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch):
    """A function: what a command of setup_env calls, where pytest's calls end with the given statuses."""
    for name in ("FTLIB_EXECUTED", "FTLIB_SECONDS", "OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # what the command sets is taken back in the end
    monkeypatch.setattr(setup_env, "prepare", lambda: Path("python"))

    def call(command: str, *statuses: int, ruff: int = 0) -> tuple[list[str], int]:
        calls, ends = [], list(statuses)

        def run(*parts: object) -> int:
            if parts[1] == "bench/environment.py" or parts[2] == "verify.environment":
                call.tools.append(parts[-1])
                return 1  # it can't be installed, which is no failure
            calls.append([str(part) for part in parts][2:])  # without python -m
            return ruff if parts[2] == "ruff" else ends.pop(0)

        monkeypatch.setattr(setup_env, "run", run)
        status = setup_env.main(command.split())
        assert not ends
        return [" ".join(call) for call in calls], status

    call.tools = []
    return call


def test_the_tests_come_first_then_the_notebooks_with_the_same_guard(called) -> None:
    calls, status = called("test", 0, 0)
    assert status == 0 and calls[:3] == STYLE and len(calls) == 5
    spread = r"-n \d --dist loadfile --no-loadscope-reorder"
    assert re.fullmatch(f"{TESTS} {spread}", calls[3])
    assert re.fullmatch(f"{CELLS} {spread} --nbval-lax .* -p tests.replay", calls[4])


@pytest.mark.parametrize(
    ("command", "statuses", "status"),
    [
        ("test", [1, 0], 1),
        ("test", [0, 1], 1),
        ("test", [1, 5], 1),
        ("test", [2], 2),  # interrupted
        ("test", [3], 3),  # an error of pytest itself
        ("test", [5, 0], 5),  # nothing was left out on purpose: something is wrong
        ("test -k metrics", [0, 5], 0),
        ("test -k Cell", [5, 1], 1),
        ("test -k nothing", [5, 5], 5),
        ("test -x", [0, 1], 1),
        ("test -x", [1], 1),
    ],
)
def test_the_first_failure_is_the_status(called, command: str, statuses: list[int], status: int) -> None:
    calls, end = called(command, *statuses)
    assert end == status and [c.partition(" -n")[0] for c in calls[3:]] == [TESTS, CELLS][: len(statuses)]


@pytest.mark.parametrize(
    ("extra", "pytest_calls"),
    [
        ("-k metrics", [f"{TESTS} | -k metrics", f"{CELLS} | -k metrics"]),
        ("-n0 -x", [f"{TESTS} | -n0 -x", f"{CELLS} | -n0 -x"]),
        ("--junitxml=a.xml", [f"{TESTS} | --junitxml=a.xml", f"{CELLS} | --junitxml=a-notebooks.xml"]),
        ("tests/test_metrics.py -v", ["pytest tests/test_metrics.py | -v"]),
        ("notebooks/00_start_here.ipynb", ["pytest notebooks/00_start_here.ipynb |"]),
        ("tests/test_setup.py::test_one notebooks", ["pytest tests/test_setup.py::test_one |", f"{CELLS} |"]),
        ("--ignore tests/browser", [f"{TESTS} | --ignore tests/browser", f"{CELLS} | --ignore tests/browser"]),
        ("-k notebooks", [f"{TESTS} | -k notebooks", f"{CELLS} | -k notebooks"]),
        ("tests/test_nothing.py", [f"{TESTS} | tests/test_nothing.py", f"{CELLS} | tests/test_nothing.py"]),
    ],
)
def test_what_follows_test_goes_to_the_calls_that_it_is_for(called, extra: str, pytest_calls: list[str]) -> None:
    calls, _ = called(f"test {extra}", *[0] * len(pytest_calls))
    ours = re.compile(r"-n \d --dist loadfile --no-loadscope-reorder( --nbval-lax .*-p tests.replay)?")
    assert [ours.sub("|", call) for call in calls[3:]] == pytest_calls


def test_a_whole_test_makes_the_environments_of_a_tool_of_the_site_and_of_the_board_and_goes_on_without_them(
    called,
) -> None:
    assert called("test", 0, 0)[1] == 0 and called.tools == ["llama-factory", "site", "board"]
    called("test -k metrics", 0, 0)
    called("check", 0)
    assert called.tools == ["llama-factory", "site", "board"]


def test_bad_style_ends_both_commands(called) -> None:
    assert called("test", ruff=1) == (STYLE[:1], 1) == called("check", ruff=1)


def test_check_leaves_out_the_slow_files(called) -> None:
    calls, status = called("check -x", 1)
    assert status == 1 and calls[:3] == STYLE and len(calls) == 4
    assert (
        calls[3].startswith("pytest tests lessons --ignore=")
        and " --ignore=tests/browser " in calls[3]
        and calls[3].endswith(" -x")
    )


def test_the_slow_files_exist() -> None:
    slow = (ROOT / "tests" / "slow.txt").read_text().splitlines()
    assert slow == sorted(set(slow)) and len(slow) > 10
    assert [name for name in slow if not (ROOT / name).exists()] == [], "take what is gone out of tests/slow.txt"
