"""One environment per tool, from a lock file of a run that worked.

The five tools can't share one: each pins another transformers. An environment lies in the user's cache, named by the
hash of all that decides its contents, so a second call installs nothing. torch, torchvision and the libraries that they
bring are those of the kit's own environment, as links: everyone is tried with the same torch, and 5 GB are not
installed five times.
"""

import hashlib
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from filelock import FileLock

from ftlib import assets

HERE = Path(__file__).resolve().parent
SHARED = ("torch", "torchvision")
SHARED_TOO = ("nvidia-", "cuda-")
TRITON = ("unsloth",)  # imports it; the old bitsandbytes of three others breaks where it finds a new one
STAMP = "ftlib-tool.txt"
FIREFLY = "FTLIB_FIREFLY"  # the folder of a clone: it has no licence, so nothing of it is here
LIMIT = 1800  # seconds that pip may take


class NotVerified(Exception):
    """A tool that can't be tried on this computer now, with the reason."""


def lock_file(tool: str) -> Path:
    """The versions that worked."""
    return HERE / "locks" / f"{tool}.txt"


def pinned(tool: str) -> dict[str, str]:
    """{package: version} of a lock file."""
    lines = lock_file(tool).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def shared(tool: str) -> list[metadata.Distribution]:
    """The packages that are lent by the kit's environment."""
    kit = str(metadata.distribution("torch").locate_file(""))
    names = (*SHARED, *(["triton"] if tool in TRITON else []))
    own = [d for d in metadata.distributions(path=[kit]) if d.name in names or d.name.startswith(SHARED_TOO)]
    return sorted(own, key=lambda d: d.name)


def folder_of(tool: str) -> Path:
    """Where a tool's environment lies, made or not."""
    lent = [f"{d.name}=={d.version} {d.locate_file('')}" for d in shared(tool)]
    decides = "\0".join([sys.version, sys.prefix, lock_file(tool).read_text(encoding="utf-8"), *lent])
    return assets.home() / "tools" / f"{tool}-{hashlib.sha256(decides.encode()).hexdigest()[:12]}"


def python_of(tool: str) -> Path:
    """Its interpreter."""
    return folder_of(tool) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_ready(tool: str) -> bool:
    """Whether it is there, whole."""
    return (folder_of(tool) / STAMP).is_file()


def ensure(tool: str, say=print) -> Path:
    """Make a tool's environment unless it is there; return its Python. NotVerified where it can't be made."""
    folder = folder_of(tool)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # two processes may ask at once
        if not is_ready(tool):
            say(f"Making an environment for {tool}: a first time takes minutes.")
            _make(tool, folder)
    return python_of(tool)


def _make(tool: str, folder: Path) -> None:
    def run(*words) -> None:
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL, encoding="utf-8",
                errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise NotVerified(f"pip took longer than {LIMIT} s") from error
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["an error without words"]
            raise NotVerified(f"its packages could not be installed: {said[-1].removeprefix('ERROR: ')[:200]}")

    run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
    site = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    lend(tool, folder / "lent" / "site-packages", site)
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--disable-pip-version-check"]
    # Without dependencies: the lock file names them all, and what is lent is there.
    run(*pip, "--no-input", "--quiet", "--retries", "2", "--no-deps", "-r", str(lock_file(tool)))
    (folder / STAMP).write_text(sys.version)


def lend(tool: str, folder: Path, site: Path) -> None:
    """Link what the kit's environment lends into `folder`, and put that on the path behind the tool's own packages."""
    folder.mkdir(parents=True)  # by this name: mmengine takes what lies elsewhere in an environment for Python's own
    for lent in shared(tool):
        place = Path(lent.locate_file(""))
        for top in sorted({file.parts[0] for file in lent.files or [] if file.parts[0] not in ("..", "__pycache__")}):
            link = folder / top
            if not link.is_symlink():
                try:
                    link.symlink_to(place / top)
                except OSError as error:
                    raise NotVerified("torch could not be lent, since this computer allows no links") from error
    (site / "ftlib-torch.pth").write_text(f"{folder}\n")


def environ(tool: str, home: Path) -> dict[str, str]:
    """The variables of a tool's process: its own programs first, nothing from a hub, nothing sent home."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HF_", "FTLIB_", "WANDB", "VIRTUAL"))}
    path = os.pathsep.join([str(python_of(tool).parent), kept.get("PATH", "")])
    quiet = dict.fromkeys(
        ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK",
         "UNSLOTH_DISABLE_STATISTICS", "PYTHONDONTWRITEBYTECODE", "TOKENIZERS_PARALLELISM_OFF"), "1",
    )  # fmt: skip
    own = {"PATH": path, "HF_HOME": str(home / "hf"), "WANDB_MODE": "disabled", "PYTHONUTF8": "1"}
    return kept | quiet | own | {"TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}


def main(tools: list[str]) -> int:
    """Make the environments of some tools; 1 where one can't be made, with a sentence."""
    status = 0
    for tool in tools:
        try:
            ensure(tool, lambda said: print(said, flush=True))
        except NotVerified as error:
            print(f"{tool}: not verified this time: {error}", flush=True)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
