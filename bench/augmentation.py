"""What augmentation costs: our policy on whole batches, beside torchvision's transforms on one picture at a time.

    make bench                                                          among all the rest
    .venv/bin/python -m bench.augmentation                              this alone
    .venv/bin/python -m bench.augmentation --fraction 0.1 --rounds 3    a quick try

An epoch of full fine-tuning of Lite0 on solar cells, always by `fit`: the same network, batch size and number format.
The ways of bench.cases.WAYS take turns, in another order each round; each round has another seed. Timed is from calling
`fit` to its return, so processes that load are started within. Rows are written to bench/results.jsonl as soon as they
are there, and bench/report.py makes the table. On a quiet machine only.
"""

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from bench.cases import BATCH, CASES, PLAIN, RESULTS, WAYS, append, augmented, read
from bench.peers import same_machine, where
from bench.work import Examples, Work, device, prepare, wait
from ftlib import strategies
from ftlib.strategies.augmentation import ColorJitter, Crop, Flip, RandomErasing, Rotation, policy
from ftlib.strategies.full import Full
from ftlib.strategy import Strategy, parts_of
from ftlib.training.loop import fit
from ftlib.training.machine import to_device

CASE = "vision"
SIZES = (96, 32)  # pixels a side: what the lessons take, and what is small enough for augmentation to weigh
REPEATS = 20  # of the transform alone


def ours() -> Strategy:
    """All that is safe for solar cells: flips, crop, rotation, brightness and contrast, erasing."""
    return strategies.build(policy(CASES[CASE].task))


def by_torchvision(strategy: Strategy, size: int) -> v2.Compose:
    """The same in torchvision's transforms, with the same knobs: as its guide advises, on bytes, then on floats.

    The noise that erases is normal, where ours is even; all else has the same distribution.
    """
    parts = {type(part): part for part in parts_of(strategy)}
    if missing := {Flip, Crop, Rotation, ColorJitter, RandomErasing} ^ set(parts):
        names = ", ".join(sorted(kind.__name__ for kind in missing))
        raise ValueError(f"the policy has changed by {names}: say what torchvision has for it")
    flip, crop, jitter, erasing = (parts[kind] for kind in (Flip, Crop, ColorJitter, RandomErasing))
    return v2.Compose([
        v2.RandomHorizontalFlip(0.5 * flip.horizontal),
        v2.RandomVerticalFlip(0.5 * flip.vertical),
        v2.RandomResizedCrop(size, crop.area, crop.ratio),
        v2.RandomRotation(parts[Rotation].degrees, v2.InterpolationMode.BILINEAR),
        v2.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation),
        v2.ToDtype(torch.float32, scale=True),
        v2.RandomErasing(erasing.p, erasing.area, (0.3, 1 / 0.3), "random"),
    ])  # fmt: skip


@dataclass
class Changed(Dataset):
    """One example at a time, each picture changed on its own."""

    examples: Examples
    change: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> dict:
        columns = self.examples.columns
        return {"pixels": self.change(columns["pixels"][i]), "labels": int(columns["labels"][i])}


def loader_of(way: str, work: Work) -> DataLoader:
    """The batches of a way: whole ones cut out of one tensor, or examples that are collected one by one."""
    if way in (PLAIN, "ours"):
        return work.loader("train", batch_size=BATCH, shuffle=True)
    if way == "none, one by one":
        return work.peer_loader(tuned=False)
    data = Changed(work.examples, by_torchvision(ours(), side(work)))
    return DataLoader(data, BATCH, shuffle=True, num_workers=2 if way.endswith("2 workers") else 0)


def side(work: Work) -> int:
    """Pixels a side."""
    return work.examples.columns["pixels"].shape[-1]


def run(way: str, work: Work) -> tuple[float, float]:
    """(seconds of the training, those of them that it waited for its batches, augmentation included)."""
    model, loader, strategy = work.model(), loader_of(way, work), ours() if way == "ours" else Full()
    gc.collect()
    start = time.perf_counter()
    _, history = fit(model, loader, strategy, steps=work.steps, lr=work.case.lr, seed=work.seed, verbose=False)
    wait()
    return time.perf_counter() - start, sum(step["seconds"]["data"] for step in history)


def alone(way: str, work: Work) -> float | None:
    """Microseconds a picture from bytes to augmented floats, the median over calls; None where nothing is augmented."""
    pixels = work.examples.columns["pixels"][:BATCH]
    strategy, change = ours(), by_torchvision(ours(), side(work))
    work_of = {
        "ours": lambda: strategy.transform(to_device({"pixels": pixels.float().div_(255)}, device())),
        "torchvision": lambda: torch.stack([change(picture) for picture in pixels]),
    }
    if way not in work_of:
        return None
    seconds = []
    for _ in range(1 + REPEATS):  # the first call prepares things, and is not counted
        start = time.perf_counter()
        work_of[way]()
        wait()
        seconds.append(time.perf_counter() - start)
    return round(1e6 * statistics.median(seconds[1:]) / len(pixels), 2)


@cache
def warm_up(way: str, size: int) -> None:
    """Two steps that are not counted."""
    run(way, prepare(CASE, 0, 0.0, size=size))


def measure(way: str, size: int, number: int, fraction: float) -> dict:
    """One row."""
    warm_up(way, size)
    work = prepare(CASE, number, fraction, size=size)
    seconds, data = run(way, work)
    return {
        "augmented": way, "size": size, "round": number, "fraction": fraction, "examples": len(work.examples),
        "steps": work.steps, "seconds": round(seconds, 3), "data": round(data, 3), "alone": alone(way, work),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing. A block that was interrupted is measured again as a whole."""
    words = argparse.ArgumentParser(prog="bench.augmentation", description=__doc__.split("\n")[0])
    words.add_argument("--rounds", type=int, default=5, help="each with another seed")
    words.add_argument("--fraction", type=float, default=1.0, help="of the examples")
    words.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="pixels a side")
    words.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    for word in ("--cases", "--only"):
        words.add_argument(word, nargs="+", help="a part of bench.peers: then nothing is measured here")
    asked = words.parse_args(arguments)
    if asked.cases or asked.only:
        print("Augmentation is left out, since other parts were asked for.")
        return
    rows = read(asked.results)
    done = augmented(rows)
    todo = [(size, i) for i in range(asked.rounds) for size in asked.sizes if (size, i, asked.fraction) not in done]
    if not todo:
        print("Augmentation has been measured.")
        return
    here = where(prepare(CASE, 0, 0.0, size=todo[0][0]).start, frameworks=())
    if any(not same_machine(row["provenance"], here) for row in rows if "augmented" in row):
        raise SystemExit(f"{asked.results} has augmentation of other code, other versions or another machine: move it.")
    for size, number in todo:
        for way in random.Random(number).sample(WAYS, len(WAYS)):  # nobody is always first, or after the same one
            row = measure(way, size, number, asked.fraction)
            append(row | {"provenance": here}, asked.results)
            print(f"augmentation, {size} px, round {number}  {way:24}{row['seconds']:8.2f} s", flush=True)


if __name__ == "__main__":
    main()
