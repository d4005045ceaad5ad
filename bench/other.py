"""What else is measured: how much of the machine a training step uses, and how long a learner waits.

    .venv/bin/python -m bench.other            all of it, into bench/results.jsonl
    .venv/bin/python -m bench.other imports    one part: peak, imports, tables or notebook

On a quiet machine only.
"""

import os
import statistics
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

from bench.cases import BATCH, CASES, RESULTS, ROOT, append

ROUNDS = 5
RECORDS, ARMS = 10_000, 8  # no more arms than a figure has colours
NOTEBOOK = "00_start_here"


def row(measure: str, value: float, unit: str, goal: float | None = None) -> dict:
    """goal: what the value should not exceed."""
    return {"measure": measure, "value": round(value, 4), "unit": unit, "goal": goal}


def peaks() -> list[dict]:
    """Full fine-tuning: operations a second of a training step, as a share of what a matrix product reaches."""
    from bench.work import device, peak, prepare
    from ftlib.strategies.full import Full
    from ftlib.training.loop import fit
    from ftlib.training.machine import best_precision

    rows = []
    for case in ("vision", "text"):
        work = prepare(case, 0, 0.2)
        model, dtype = work.model(), best_precision(device(), work.task.kind)
        batch = middle(work.loader("train", batch_size=BATCH, shuffle=True))
        operations, before = count(model, batch), peak(dtype)
        _, history = fit(model, [batch], Full(), steps=3 + 2 * ROUNDS, lr=work.case.lr, verbose=False)
        seconds = statistics.median(sum(step["seconds"].values()) for step in history[3:])
        possible, name = max(before, peak(dtype)), CASES[case].title.partition(",")[0]
        rows += [
            row(f"{name}: matrix product in {str(dtype).removeprefix('torch.')}", possible, "GFLOP/s"),
            row(f"{name}: operations of a full step of {BATCH}", operations / 1e9, "GFLOP"),
            row(f"{name}: a full step of {BATCH}", seconds, "s"),
            row(f"{name}: share of the matrix product that it reaches", operations / seconds / 1e7 / possible, "%"),
        ]
    return rows


def middle(loader) -> dict:
    """The full batch of middle size: texts are longer in one batch than in another."""
    full = [batch for batch in loader if len(batch["labels"]) == BATCH]
    return sorted(full, key=lambda batch: batch.get("input_ids", batch["labels"]).numel())[len(full) // 2]


def count(model, batch: dict) -> int:
    """Floating-point operations of one forward and backward pass: convolutions and matrix products.

    Backward is twice the forward pass: each product has a gradient for either factor. The counter's own figure for it
    cannot be used, since it takes the weight gradients of depthwise convolutions for those of dense ones.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.train()(batch)  # not eval(): the counter does not know the attention that the CPU has there
    return 3 * counter.get_total_flops()


def imports() -> list[dict]:
    """Python's own account of an import, the median of the rounds."""
    rows = []
    for name in ("ftlib", "ftlib.training.loop"):
        seconds = statistics.median(import_seconds(name) for _ in range(ROUNDS))
        rows.append(row(f"import {name}", seconds, "s", 0.5 if name == "ftlib" else None))
    return rows


def import_seconds(name: str) -> float:
    """The sum over the packages that `import name` loads first: the lines that -X importtime does not indent."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {name}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines() if "|" in line][1:]
    own = [int(total) for _, total, label in lines if label[1:] == label.strip() and label.strip().startswith("ftlib")]
    return sum(own) / 1e6


def tables() -> list[dict]:
    """The comparison and the figure of many synthetic runs."""
    import numpy as np

    from ftlib import plots
    from ftlib.evidence import compare, runs

    random = np.random.default_rng(0)
    frame, of_frame = timed(lambda: runs.frame(map(record, range(RECORDS), random.normal(0.7, 0.05, RECORDS))))
    _, of_table = timed(lambda: compare.table(frame, "test.accuracy", "arm0"))
    _, of_figure = timed(lambda: plots.scores(frame, "test.accuracy"))
    of = f"of {RECORDS:,} synthetic runs"
    return [
        row(f"runs.frame {of}", of_frame, "s"),
        row(f"compare.table {of}", of_table, "s", 1),
        row(f"plots.scores {of}", of_figure, "s", 1),
    ]


def record(i: int, score: float) -> dict:
    """A record as `ftlib.evidence.runs.run` makes it."""
    spec = {"arm": f"arm{i % ARMS}", "seed": i // ARMS, "task": "synthetic", "model": "none", "purpose": "measure"}
    spec |= {"grid": "", "options": {"n": 200}, "phases": [{"lr": 0.001}]}
    return {
        "id": f"{i:012x}", "spec": spec, "steps": 60, "parameters": {"trainable": 1, "total": 1, "bytes": 4},
        "seconds": {"forward": 1.0, "backward": 1.0}, "scores": {"test": {"accuracy": score, "nll": 1 - score}},
        "memory": 0,
    }  # fmt: skip


def timed(work) -> tuple:
    """(its result, the median of its seconds)."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


def notebook() -> list[dict]:
    """From starting a kernel to the end of the cell that shows the first figure."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(ROOT / "notebooks" / f"{NOTEBOOK}.ipynb", as_version=4)
    with TemporaryDirectory() as answers:
        os.environ["FTLIB_ANSWERS"] = answers  # a learner's own stay untouched
        client = NotebookClient(book, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "notebooks")}})
        start = time.perf_counter()
        with client.setup_kernel():
            for i, cell in enumerate(book.cells):
                client.execute_cell(cell, i)
                if shows_a_figure(cell):
                    return [row(f"notebook {NOTEBOOK}: from its kernel's start to the first figure",
                                time.perf_counter() - start, "s")]  # fmt: skip
    raise RuntimeError(f"{NOTEBOOK} shows no figure: measure another notebook")


def shows_a_figure(cell) -> bool:
    """Whether an output of the cell is a picture or a plotly figure."""
    kinds = {kind for output in cell.get("outputs", ()) for kind in output.get("data", ())}
    return bool(kinds & {"image/png", "application/vnd.plotly.v1+json"})


PARTS = {"peak": peaks, "imports": imports, "tables": tables, "notebook": notebook}


def main(chosen: list[str]) -> None:
    """Measure and write down the parts, all by default."""
    if unknown := set(chosen) - set(PARTS):
        sys.exit(f"There is no part called {', '.join(sorted(unknown))}: choose of {', '.join(PARTS)}.")
    for name in chosen or PARTS:
        for one in PARTS[name]():
            append(one, RESULTS)
            print(f"{one['measure']}: {one['value']:.3g} {one['unit']}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
