"""`make tools`: try the exports with the tools themselves, and write data/results/tools.json.

    python -m verify                      all five
    python -m verify llama-factory        only this one
    python -m verify --to tiny            without the training of SmolLM2

A tool that can't be tried keeps what was found the last time, and its entry says why it was not tried this time.
"""

import argparse
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from torch import nn

from ftlib.evidence.runs import provenance
from ftlib.io import places
from ftlib.io.writing import write_text
from ftlib.tools import TOOLS, tool
from verify import environment, levels
from verify.dialects import DIALECTS

NEVER = [
    "a GPU, and several of them: every run was on a CPU",
    "4-bit weights, flash attention and DeepSpeed, which need a GPU",
    "models larger than SmolLM2 with 135 million parameters",
]

NO_LOG = "the rate that it trained with, and its losses, which it does not print"


def record_file() -> Path:
    """Where the record is."""
    return places.results() / "tools.json"


def entry(name: str, found: dict) -> dict:
    """What the record says of a tool that was tried."""
    pins = environment.pinned(name)
    version = tool(name).VERSION
    return {
        "version": pins.get(DIALECTS[name].packages[0], version) if name != "firefly" else version,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "packages": {package: pins[package] for package in DIALECTS[name].packages},
        "torch": f"{metadata.version('torch')}, lent by the kit's environment",
        **found,
        "not_verified": NEVER + not_reached(found) + ([] if DIALECTS[name].rate else [NO_LOG]),
    }


def without_places(found: dict, folder: Path) -> dict:
    """The same without the names of this computer's folders."""
    text = json.dumps(found)
    for place in (folder, environment.assets.home(), Path.home()):
        text = text.replace(json.dumps(f"{place}{os.sep}")[1:-1], "").replace(json.dumps(str(place))[1:-1], "")
    return json.loads(text)


def not_reached(found: dict) -> list[str]:
    """What this run has not shown, in sentences."""
    lacking = [level for level in levels.LEVELS if not found["levels"].get(level, {}).get("reached")]
    why = [one.get("not_verified") or one.get("why") for one in found["levels"].values() if not one["reached"]]
    told = [f"{level}: not reached" for level in lacking]
    accepted = [
        f"{control['fault']}, which the tool accepts"
        for one in found["levels"].values() for control in one.get("controls", []) if not control["found"]
    ]  # fmt: skip
    return [sentence for sentence in (*why, *told, *accepted) if sentence]


def merged(old: dict, name: str, found: dict) -> dict:
    """A tool's entry: what was found now; what was found before where it can't be tried now."""
    reason = next((one["not_verified"] for one in found["levels"].values() if "not_verified" in one), "")
    if reason and old.get("level", -1) > found["level"]:
        kept = [line for line in old["not_verified"] if not line.startswith("not verified this time")]
        return old | {"not_verified": [*kept, reason]}
    return entry(name, found)


def main(words: list[str] | None = None) -> int:
    """Climb with each tool and write the record; 1 where a tool did not reach what it had reached before."""
    parser = argparse.ArgumentParser(prog="python -m verify", description=__doc__)
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=f"only these of {', '.join(TOOLS)}")
    parser.add_argument("--to", choices=levels.LEVELS, default=levels.LEVELS[-1], help="the highest level to try")
    parser.add_argument("--firefly", type=Path, default=os.environ.get(environment.FIREFLY), metavar="DIR",
                        help=f"the folder of a clone of Firefly (or the variable {environment.FIREFLY})")  # fmt: skip
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave all that is written in this folder")
    arguments = parser.parse_args(words)
    if unknown := [name for name in arguments.tools if name not in TOOLS]:
        parser.error(f"there is no tool {unknown[0]!r}: choose of {', '.join(TOOLS)}")
    file, worse = record_file(), 0
    firefly = Path(arguments.firefly) if arguments.firefly else None
    with tempfile.TemporaryDirectory(prefix="ftlib-tools-") as scratch:
        folder = (arguments.keep or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for name in arguments.tools or TOOLS:
            found = without_places(levels.climb(name, folder, arguments.to, firefly), folder)
            record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"tools": {}}
            old = record["tools"].get(name, {})
            new = merged(old, name, found)
            if old and arguments.to != levels.LEVELS[-1] and old["level"] > new["level"]:
                print(f"{name}: the record says more than was tried now, and stays")
                continue
            worse |= new["level"] < old.get("level", -1)
            made = provenance(nn.Linear(1, 1))
            record["made"] = {
                "date": made["date"], "commit": made["commit"],
                "machine": f"{made['device']}, {os.cpu_count()} cores, {made['processor']['name']}",
            }  # fmt: skip
            record["tools"][name] = new
            order = {key: record["tools"][key] for key in TOOLS if key in record["tools"]}
            write_text(file, json.dumps({"made": record["made"], "tools": order}, indent=1, ensure_ascii=False) + "\n")
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
