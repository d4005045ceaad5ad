"""`.venv-bench`, `.venv-site` and `.venv-board`: packages of their own, beside those of `.venv`.

    .venv/bin/python bench/environment.py          the frameworks that the kit is compared with
    .venv/bin/python bench/environment.py site     what `make site` builds with
    .venv/bin/python bench/environment.py board    what `make board` serves with

Each holds the packages of one group in pyproject.toml only. A path file lends it those of `.venv`, so that torch is not
installed twice, and everyone is measured with the same one.
"""

import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def packages(group: str = "bench") -> list[str]:
    """The pinned packages of the group."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"][group]


def venv(group: str) -> Path:
    """Its environment, made or not."""
    return ROOT / f".venv-{group}"


def python_of(group: str) -> Path:
    """The environment's Python."""
    return venv(group) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def contents(group: str) -> str:
    """What the stamp of a whole environment says: the Python, the kit's packages, and the group's own."""
    return "\n".join([sys.version, sysconfig.get_path("purelib"), *packages(group)])


def is_ready(group: str) -> bool:
    """Whether the environment is there, whole, and made with this Python."""
    stamp = venv(group) / f"ftlib-{group}.txt"
    return stamp.is_file() and stamp.read_text() == contents(group)


def main(group: str = "bench") -> int:
    """Make it, unless it is as it should be; return an exit status."""
    own, kit = Path(sys.prefix).resolve(), Path(sysconfig.get_path("purelib"))
    if own != (ROOT / ".venv").resolve():
        sys.exit(f"Call this file with the kit's own Python, in .venv: `make {group}` does.")
    if is_ready(group):
        return 0
    print(f"Installing the packages of the group {group} in pyproject.toml into {venv(group)}.", flush=True)
    here = venv(group) / kit.relative_to(sys.prefix)
    make = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv(group))]
    pip = [sys.executable, "-m", "pip", "--python", str(venv(group)), "install", "--disable-pip-version-check"]
    if subprocess.run(make).returncode:
        return 1
    (here / "ftlib-kit.pth").write_text(f"{kit}\n")
    # Without dependencies: the group names all that are used (pyproject.toml says what is left out).
    if status := subprocess.run([*pip, "--no-input", "--quiet", "--no-deps", *packages(group)]).returncode:
        return status
    (venv(group) / f"ftlib-{group}.txt").write_text(contents(group))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
