"""`.venv-bench`: the frameworks that the kit is compared with, beside the packages of `.venv`.

    .venv/bin/python bench/environment.py

It holds the packages of the group "bench" in pyproject.toml only. A path file lends it those of `.venv`, so that torch
is not installed twice, and everyone is measured with the same one.
"""

import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-bench"
STAMP = VENV / "ftlib-bench.txt"


def packages() -> list[str]:
    """The pinned packages of the group."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["bench"]


def main() -> int:
    """Make it, unless it is as it should be; return an exit status."""
    own, kit = Path(sys.prefix).resolve(), Path(sysconfig.get_path("purelib"))
    if own != (ROOT / ".venv").resolve():
        sys.exit("Call this file with the kit's own Python, in .venv: `make bench` does.")
    wanted = "\n".join([sys.version, str(kit), *packages()])
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return 0
    print(f"Installing what the kit is compared with into {VENV}.", flush=True)
    here = VENV / kit.relative_to(sys.prefix)
    make = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)]
    pip = [sys.executable, "-m", "pip", "--python", str(VENV), "install", "--disable-pip-version-check", "--no-input"]
    if subprocess.run(make).returncode:
        return 1
    (here / "ftlib-kit.pth").write_text(f"{kit}\n")
    # Without dependencies: the group names all that are used (pyproject.toml says what is left out).
    if status := subprocess.run([*pip, "--quiet", "--no-deps", *packages()]).returncode:
        return status
    STAMP.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
