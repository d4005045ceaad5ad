"""How long each lesson takes from its kernel's start to its end, answers filled in, and whether all of it runs.

    .venv/bin/python -m bench.lessons                        all of them, in the profile that suits this computer
    .venv/bin/python -m bench.lessons 02_freezing --profile full --at-a-time 4 --results FILE --keep DIR

A cell that fails is noted and the next one runs, so that one run finds all that is wrong. Rows go into
bench/lessons.jsonl, and with --keep the executed notebooks into a folder; the kit's own are left alone.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from bench.cases import LESSONS, ROOT, append

SLOWEST = 3  # cells that are named


def run(source: Path, keep: Path | None = None) -> dict:
    """One lesson in a kernel of its own: seconds, its slowest cells and what failed, each by its section."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    import build

    notebook = build.read(source)
    where = {"metadata": {"path": str(build.NOTEBOOKS)}}
    options = {"kernel_name": "python3", "allow_errors": True, "resources": where}
    begun = []  # counted as they are sent: a kernel that dies may take its own word for a cell's start with it
    hook = {"on_cell_execute": lambda cell, cell_index: begun.append(cell_index)}
    client = NotebookClient(notebook, timeout=60 * build.MINUTES, **options, **hook)
    start, died = time.perf_counter(), []
    try:
        client.execute()
    except (DeadKernelError, CellTimeoutError) as error:
        died = [f"code cell {len(begun)}: {error}"]
    seconds = round(time.perf_counter() - start, 1)
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, keep / f"{source.stem}.ipynb")
    cells = [cell for cell in sectioned(notebook.cells) if cell[1].cell_type == "code"]
    by_time = sorted(((took(cell), section) for section, cell in cells), reverse=True)
    failed = [
        f"{section}: {output.ename}: {output.evalue}"
        for section, cell in cells
        if "raises-exception" not in cell.metadata.get("tags", [])
        for output in cell.outputs
        if output.output_type == "error"
    ]
    slowest = [[section, round(spent, 1)] for spent, section in by_time[:SLOWEST]]
    return {"lesson": source.stem, "seconds": seconds, "slowest": slowest, "failed": failed + died}


def sectioned(cells: list) -> list[tuple]:
    """(the last heading above it, cell) of each."""
    out, heading = [], ""
    for cell in cells:
        if cell.cell_type == "markdown":
            heading = next((line.lstrip("# ") for line in cell.source.splitlines() if line[:1] == "#"), heading)
        out.append((heading, cell))
    return out


def took(cell) -> float:
    """Seconds of a cell that ran, by the kernel's own clock."""
    from dateutil.parser import isoparse

    found = cell.metadata.get("execution", {})
    begin, end = (found.get(key) for key in ("iopub.status.busy", "iopub.status.idle"))
    return (isoparse(end) - isoparse(begin)).total_seconds() if begin and end else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="lessons, such as 01_full (default: all)")
    parser.add_argument("--profile", choices=["quick", "full"], help="default: what suits this computer")
    parser.add_argument("--at-a-time", type=int, default=1, help="lessons that run beside each other")
    parser.add_argument("--results", type=Path, default=LESSONS)
    parser.add_argument("--keep", type=Path, help="a folder for the executed notebooks")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT / "lessons"))
    import torch
    from accelerate import Accelerator

    import build
    from ftlib.evidence.runs import provenance
    from ftlib.training.machine import profile

    if asked.profile:
        os.environ["FTLIB_PROFILE"] = asked.profile
    os.environ |= {"HF_HUB_OFFLINE": "1", "PYTHONFAULTHANDLER": "1"}
    os.environ["FTLIB_ANSWERS"] = str(ROOT / "build" / "answers-of-nobody")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    made = provenance(torch.nn.Linear(1, 1).to(Accelerator().device))
    about = {"profile": profile(), "at_a_time": asked.at_a_time, "provenance": made}
    sources = build.lessons(asked.names)
    failures = 0
    with ThreadPoolExecutor(asked.at_a_time) as pool:
        for future in as_completed([pool.submit(run, source, asked.keep) for source in sources]):
            append((row := future.result()) | about, asked.results)
            failures += len(row["failed"])
            print(f"{row['lesson']}: {row['seconds']:.0f} s", *row["failed"], sep="\n  ", flush=True)
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
