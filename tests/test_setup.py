"""The set-up: its files agree with each other, it is done once, and it survives interruptions."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
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
