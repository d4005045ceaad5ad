"""What this computer offers, what is missing for the kit, and what to do about it: `python -m ftlib doctor`.

Packages are compared with constraints.txt (the versions the kit is tested with) and with the ranges in
pyproject.toml (what the code needs): outside a range is a problem, beside a pin only a remark.
"""

import os
import platform
import shutil
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from ftlib import assets
from ftlib.assets.wheels import MB

ROOT = Path(__file__).resolve().parent.parent
GB = 1000 * MB
MEMORY = 4 * GB  # what the notebooks' quick profile was cut to fit, with room for the browser


def report(*, thorough: bool = False) -> dict:
    """Everything as plain values; `advice` holds one sentence a problem, and is empty on a sound machine.

    thorough: each file of the assets is hashed, which takes some seconds. An AssetError where no folder for the
    assets is known.
    """
    from ftlib.training.machine import main_memory

    (total, free), where = main_memory(), device()
    found = {
        "python": f"{platform.python_version()} ({short(sys.executable)})",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "device": where,
        "memory": {"total": total, "available": free},  # bytes
        "home": {"path": short(assets.home()), "free": _free(assets.home())},  # bytes
        "packages": packages(),
        "assets": {name: assets.problem_with(name, thorough=thorough) for name in assets.ASSETS},  # None is ready
        "shipped": {name: _shipped(name) for name in assets.SHIPPED},  # None is ready
        "profile": os.environ.get("FTLIB_PROFILE") or ("quick" if where["type"] == "cpu" else "full"),
    }
    return found | {"advice": _advice(found)}


def device() -> dict:
    """Where the models will run, and the number formats that it computes in hardware."""
    import torch

    from ftlib.training.machine import best_precision

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = accelerator or torch.device("cpu")
    name = torch.cuda.get_device_name() if kind.type == "cuda" else platform.processor() or platform.machine()
    bfloat16 = best_precision(kind, "lm") == torch.bfloat16
    return {"type": kind.type, "name": name, "bfloat16": bfloat16, "threads": torch.get_num_threads()}


def packages() -> list[dict]:
    """The kit's direct dependencies: what is installed, what is tested, and whether it will do."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(pin.split("==") for pin in pins if "==" in pin and not pin.startswith("#"))
    rows = []
    for line in project["dependencies"]:
        wanted = Requirement(line)
        try:
            installed = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            installed = None
        fits = installed is not None and wanted.specifier.contains(installed, prereleases=True)
        pin = tested.get(wanted.name)
        state = "missing" if installed is None else "does not fit" if not fits else "ready"
        if fits and installed.split("+")[0] != pin:  # 2.14.1+cpu is the tested 2.14.1
            state = "not the tested one"
        rows.append({"name": line, "installed": installed, "tested": pin, "state": state})
    return rows


def short(place: str | Path) -> str:
    """A path from the kit's folder if it lies there, or from the user's, which is written ~."""
    try:
        home = Path.home()
    except RuntimeError:  # nobody knows this user
        home = None
    for base, sign in ((ROOT, "."), (home, "~")):
        if base and Path(place).is_relative_to(base):
            return f"{sign}/{Path(place).relative_to(base).as_posix()}"
    return str(place)


def _shipped(name: str) -> str | None:
    """What is wrong with a data file that comes with the kit, or None."""
    try:
        assets.shipped(name)
    except assets.AssetError as error:
        return str(error)
    return None


def _free(folder: Path) -> int:
    """Free bytes on the disk that holds `folder`, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _advice(found: dict) -> list[str]:
    """One sentence on each thing that is missing: what it is and what to do."""
    advice = []
    if bad := [row["name"] for row in found["packages"] if row["state"] in ("missing", "does not fit")]:
        advice.append(f"Packages are missing or do not fit ({', '.join(bad)}): run `make setup`.")
    if missing := [name for name, problem in found["assets"].items() if problem]:
        space = sum(assets.ASSETS[name].space for name in missing)
        names = ", ".join(missing)
        if found["home"]["free"] < space:
            free, home = found["home"]["free"] / MB, found["home"]["path"]
            advice.append(
                f"{names} still need {space / MB:.0f} MB and {home} has {free:.0f} MB free: make room, or "
                f"set FTLIB_HOME to a folder on another disk."
            )
        check = " --check" if any(found["assets"][name].startswith("is damaged") for name in missing) else ""
        advice.append(f"Not ready: {names}; run `python -m ftlib assets{check}`, once, with a network.")
    advice += filter(None, found["shipped"].values())
    if found["memory"]["available"] < MEMORY:
        free = found["memory"]["available"] / GB
        advice.append(f"{free:.1f} GB of memory are available and {MEMORY / GB:.0f} GB are needed: close programs.")
    if found["profile"] not in ("quick", "full"):
        advice.append(f"FTLIB_PROFILE is {found['profile']!r}, and only quick and full mean something: set one.")
    return advice


def show(found: dict) -> None:
    """Print a report as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="The Fine-Tuning Lab on this computer")
    for heading in ("what", "found", "state"):
        table.add_column(heading, overflow="fold")
    where, memory, home = found["device"], found["memory"], found["home"]
    table.add_row("Python", found["python"], "")
    table.add_row("system", found["system"], "")
    formats = "float32 and bfloat16" if where["bfloat16"] else "float32; bfloat16 is not in hardware"
    table.add_row("device", f"{where['type']}: {where['name']}", f"{formats}; {where['threads']} threads")
    table.add_row("memory", f"{memory['total'] / GB:.1f} GB", f"{memory['available'] / GB:.1f} GB available")
    table.add_row("assets' folder", home["path"], f"{home['free'] / GB:.1f} GB free")
    table.add_row("profile", found["profile"], "FTLIB_PROFILE" if os.environ.get("FTLIB_PROFILE") else "chosen")
    table.add_section()
    for row in found["packages"]:
        state = row["state"] if row["state"] == "ready" else f"{row['state']} ({row['tested']})"
        table.add_row(row["name"], row["installed"] or "-", state)
    table.add_section()
    for name, problem in found["assets"].items():
        table.add_row(name, assets.ASSETS[name].what, problem or "ready")
    console = Console(markup=False)  # a path may hold square brackets
    console.print(table)
    for sentence in found["advice"] or ["Everything is there."]:
        console.print(sentence, soft_wrap=True)
