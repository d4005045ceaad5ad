"""The same work by `ftlib.fit`, Hugging Face's Trainer, Lightning and fastai, in turn, in one process.

    make bench                                          everything, with the environment that it needs
    make bench BENCH_ARGS="--fraction 0.2 --rounds 1"   a quick try
    .venv-bench/bin/python -m bench.peers --cases head --only tuned

Each round has another seed: other splits, other fresh heads, another order. What is timed is the training alone, from
its call to its return; examples, tokens and weights are ready before. Each row is written to bench/results.jsonl as
soon as it is there, so a benchmark that was killed goes on; bench/report.py makes the tables. On a quiet machine only.
"""

import argparse
import gc
import importlib
import random
import subprocess
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed

from bench.cases import BF16, CASES, OURS, RESULTS, ROOT, TABLES, append, competitors, missing, read
from bench.work import Work, device, peak, prepare, wait
from ftlib.evidence.runs import provenance
from ftlib.training.loop import evaluate
from ftlib.training.machine import best_precision

SAID = ROOT / "build" / "bench.log"  # what the frameworks print


@cache
def said():
    """Never closed: a framework's logger that was made while it stood for stderr writes there to the end."""
    SAID.parent.mkdir(exist_ok=True)
    return open(SAID, "a", buffering=1)


@cache
def runner(who: str):
    """The function that trains; a framework is imported when it is first needed."""
    name = {OURS: "ours", BF16: "trainer"}.get(who, who.lower())
    train = importlib.import_module(f"bench.with_{name}").train
    return partial(train, bf16=True) if who == BF16 else train


def run(who: str, work: Work, tuned: bool) -> tuple[float, torch.nn.Module]:
    """(seconds, trained model)."""
    model = work.model()
    AcceleratorState._reset_state(reset_partial_state=True)  # or the number format of the one before stays
    set_seed(work.seed)
    gc.collect()
    with TemporaryDirectory() as folder, redirect_stdout(said()), redirect_stderr(said()):
        train = runner(who)
        start = time.perf_counter()
        train(work, model, Path(folder), tuned)
        wait()
        return time.perf_counter() - start, model


@cache
def warm_up(who: str, case: str, table: str) -> None:
    """Two steps that are not counted: imports, and what libraries prepare at their first call."""
    run(who, replace(prepare(case, 0, 0.0), epochs=1), table == "tuned")


def measure(who: str, case: str, table: str, number: int, fraction: float) -> dict:
    """One row."""
    warm_up(who, case, table)
    work = prepare(case, number, fraction)
    seconds, model = run(who, work, table == "tuned")
    score = evaluate(model, work.loader("test", batch_size=64))[work.task.metric]
    return {
        "case": case, "table": table, "round": number, "who": who, "fraction": fraction,
        "examples": len(work.examples), "steps": work.steps, "seconds": round(seconds, 3),
        "metric": work.task.metric, "score": round(score, 4),
    }  # fmt: skip


def where(model: torch.nn.Module, frameworks: tuple[str, ...] = ("pytorch-lightning", "fastai")) -> dict:
    """Versions, with the frameworks', device, threads, commit, the library's code, date, and the machine's peak."""
    found = provenance(model)
    found["versions"] |= {name: version(name) for name in frameworks}
    found["device"] += f", {torch.backends.cpu.get_cpu_capability()}" if device().type == "cpu" else ""
    code = subprocess.run(["git", "rev-parse", "--short", "HEAD:ftlib"], capture_output=True, text=True, cwd=ROOT)
    found["code"] = code.stdout.strip()
    return found | {"gflops": {name: round(peak(getattr(torch, name)), 1) for name in ("float32", "bfloat16")}}


def same_machine(a: dict, b: dict) -> bool:
    """Whether rows with these origins may stand in one table: same versions, machine, threads and library."""
    return all(a.get(key) == b.get(key) for key in ("versions", "device", "threads", "code"))


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing."""
    words = argparse.ArgumentParser(prog="bench.peers", description=__doc__.split("\n")[0])
    words.add_argument("--rounds", type=int, default=3, help="each with another seed")
    words.add_argument("--fraction", type=float, default=1.0, help="of the examples; the epochs stay what they are")
    words.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    words.add_argument("--only", choices=TABLES, help="one of the two tables")
    words.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    asked = words.parse_args(arguments)
    tables = [asked.only] if asked.only else list(TABLES)
    has_bf16 = best_precision(device(), "text") == torch.bfloat16
    rows = read(asked.results)
    todo = missing(rows, asked.cases, tables, asked.rounds, asked.fraction, has_bf16)
    if not todo:
        print("Everything that was asked for has been measured.")
        return
    here = where(prepare(todo[0][0], 0, 0.0).start)
    if any(not same_machine(row["provenance"], here) for row in rows if "case" in row):
        raise SystemExit(f"{asked.results} is of other code, other versions or another machine: move it away.")
    print(f"{here['device']}, {here['threads']} threads, matrix products: {here['gflops']} GFLOP/s", flush=True)
    for case, table, number in todo:
        who = competitors(case, table, has_bf16)
        for name in random.Random(number).sample(who, len(who)):  # nobody is always first, or after the same one
            row = measure(name, case, table, number, asked.fraction)
            append(row | {"provenance": here}, asked.results)
            print(f"{case:7}{table:6} round {number}  {name:14}{row['seconds']:8.2f} s  {row['score']:.3f}", flush=True)


if __name__ == "__main__":
    main()
