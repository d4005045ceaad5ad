"""Spec → record. A Spec is one experiment as JSON; `run` executes it and returns a record; `load_runs` reads records.

A seed fixes the split, the subset, the initialisation and the order, so that arms are paired by seed and an interval
covers the sampling of the data too. Choices are made on validation; the test split is read once, at the end.
"""

import hashlib
import json
import math
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from accelerate.utils import set_seed

from ftlib import models, strategies, tasks
from ftlib.machine import processor
from ftlib.strategy import Strategy, combine, parts_of
from ftlib.train import count_parameters, evaluate, fit

ROUNDING = 1e-7  # relative: the size of one rounding error of a float32, whose last bit is 1.2e-7 of it
KEEP_LOSSES = 20  # the first losses of a run are kept: a repetition must match them closely


@dataclass
class Phase:
    """One call of `fit`: what is trained, for how long, at which peak rate, on which data."""

    strategy: list  # [{name: knobs}, ...], see strategies.CATALOG; [] is full fine-tuning
    steps: int
    lr: float
    data: dict = field(default_factory=lambda: {"train": "train"})  # loader name -> split, "task:split[:n]" (_loader)
    batch_size: int = 32
    fit: dict = field(default_factory=dict)  # more arguments of fit, e.g. {"accumulate": 2}


@dataclass
class Spec:
    """One experiment. Plain JSON values only; `id` names it by its content."""

    arm: str  # the name under which it is compared, e.g. "full"
    task: str  # see tasks.load, e.g. "elpv/mono"
    model: str  # see models.load
    seed: int
    phases: list  # of Phase, or of dicts with its fields
    options: dict = field(default_factory=dict)  # of the task: {"n": 200, "size": 96, ...}
    splits: list = field(default_factory=lambda: ["validation", "test"])  # evaluated at the end, each once
    every: int = 0  # steps between validations for the curves; 0: only the end of each phase
    precision: str = "float32"  # "auto" is faster on some machines, and repeats only on the same kind
    grid: str = ""  # the recorded grid that it belongs to
    purpose: str = "measure"  # "tune" while a rate is chosen: such a run must not read the test split

    def __post_init__(self):
        self.phases = [p if isinstance(p, Phase) else Phase(**p) for p in self.phases]
        if self.purpose == "tune" and any("test" in split for split in self.splits):
            raise ValueError(f"a run that tunes must not read the test split, but its splits are {self.splits}")

        if not self.every and any(phase.fit.get("patience") for phase in self.phases):
            raise ValueError("a phase with patience needs validations to watch: set `every`, the steps between two")

    @property
    def id(self) -> str:
        """Twelve hex digits of the SHA-1 of the JSON: the same experiment has the same id on every machine."""
        return hashlib.sha1(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def run(spec: Spec, folder: str | Path | None = None, verbose: bool = False) -> dict:
    """Execute a spec and return its record. With a folder, a record that is there is returned without running."""
    file = Path(folder) / f"{spec.id}.json" if folder else None
    if file and file.exists():
        return json.loads(file.read_text())
    record = _execute(spec, verbose)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(record))
    return record


class Disturbed(Strategy):
    """Multiplies each weight by 1 + size · N(0, 1), once, before the first step: what rounding does to a start."""

    def __init__(self, draw: int, size: float):
        self.draw, self.size, self.done = draw, size, False

    def before_step(self, model, progress):
        generator = torch.Generator().manual_seed(self.draw)
        with torch.no_grad():
            for weight in () if self.done else model.parameters():
                noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
                weight.mul_(1 + self.size * noise.to(weight.device))
        self.done = True


def first_losses(
    spec: Spec, most: int = KEEP_LOSSES, disturb: int | None = None, size: float = ROUNDING
) -> list[float]:
    """The losses of the first steps of a run, to compare with its record's; it goes no further than that.

    disturb: number of a draw that changes each weight of the start by about `size` of it. What that does to the losses
    says how well conditioned the run is.
    """
    task, model, losses = *_start(spec), []
    first = () if disturb is None else (Disturbed(disturb, size),)
    for history in _phases(spec, task, model, most=most, first=first):
        losses += [row["loss"] for row in history]
    return losses[:most]


def _start(spec: Spec):
    """(task, model) as they are before the first step."""
    task = tasks.load(spec.task, seed=spec.seed, **spec.options)
    set_seed(spec.seed)
    return task, models.load(spec.model, task)


def _loader(spec: Spec, task, model, name: str, **more):
    """A loader for "split" of the spec's own task, for "task:split" of another one, for "task:train:10", ten
    training examples of it, or for "task:train:8+2", eight of its first class and two of its second."""
    *other, last = name.split(":")
    drawn = [int(part) for part in last.split("+")] if last[0].isdigit() else []
    split, few = (other.pop(), {"n": drawn if len(drawn) > 1 else drawn[0]}) if drawn else (last, {})
    source = tasks.load(*other, seed=spec.seed, **{**spec.options, **few}) if other else task
    return source.loader(split, tokenizer=model.tokenizer, seed=spec.seed, **more)


def _phases(
    spec: Spec,
    task,
    model,
    verbose: bool = False,
    most: int | None = None,
    memory: dict | None = None,
    first: tuple = (),
) -> Iterator[list[dict]]:
    """Train the model phase by phase and give each one's history; with `most`, stop after so many steps.

    memory: {strategy's class: what it has learned}, which is filled, and read by later phases. first: what the first
    phase's strategy is combined with.
    """
    memory, done = {} if memory is None else memory, 0

    def validate(model):
        return evaluate(model, _loader(spec, task, model, "validation", batch_size=64))

    for i, phase in enumerate(spec.phases):
        if most is not None and done >= most:
            return
        strategy = strategies.build(phase.strategy)
        strategy = combine(strategy, *first) if first and not i else strategy
        for part in parts_of(strategy):  # the same class in a later phase goes on from what it has learned
            part.load_state_dict(memory.get(type(part).__name__, {}))
        model.requires_grad_(True)  # what a phase froze, only that phase froze
        data = {
            k: _loader(spec, task, model, v, batch_size=phase.batch_size, shuffle=True) for k, v in phase.data.items()
        }
        watched = {"validate": validate, "every": spec.every} if spec.every and most is None else {}
        more = dict(phase.fit)
        if most is not None:
            more.pop("patience", None)
            watched = {
                "validate": lambda model: {},
                "every": 1,
                "stop": lambda rows, done=done: done + len(rows) >= most,
            }
        _, history = fit(
            model, data, strategy, steps=phase.steps, lr=phase.lr, seed=spec.seed + 1000 * i, precision=spec.precision,
            verbose=verbose, **watched, **more,
        )  # fmt: skip
        memory |= {type(part).__name__: part.state_dict() for part in parts_of(strategy)}
        done += len(history)
        yield history


def _execute(spec: Spec, verbose: bool) -> dict:
    _commit()  # asked before the run: the files may change during it
    task, model = _start(spec)
    seconds, curve, losses, peak, done, memory = Counter(), [], [], 0, 0, {}
    for history in _phases(spec, task, model, verbose, memory=memory):
        for row in history:
            seconds.update(row["seconds"])
            peak = max(peak, row["memory"])
            losses.append(row["loss"])
            if "validation" in row:
                recent = losses[-(spec.every or 1) :]
                at = {"step": done + row["step"] + 1, "loss": sum(recent) / len(recent), "lr": row["lr"]}
                curve.append({**at, **row["validation"]})
        done += len(history)
    trainable, total = count_parameters(model)
    scores = {split: evaluate(model, _loader(spec, task, model, split, batch_size=64)) for split in spec.splits}
    reads = task.reads["test"]
    if reads > 1:
        raise RuntimeError(f"the test split was read {reads} times in one run: it may be read once, at the end")
    return {
        "id": spec.id,
        "spec": asdict(spec),
        "scores": scores,
        "curve": curve,
        "measured": {f"{k}.{name}": v for k, state in memory.items() for name, v in state.items() if _is_number(v)},
        "first_losses": losses[:KEEP_LOSSES],
        "steps": done,
        "parameters": {"trainable": trainable, "total": total, "bytes": 4 * trainable},
        "seconds": {**seconds, "training": sum(seconds.values())},
        "memory": peak,
        "provenance": provenance(model),
    }


def _is_number(value) -> bool:
    """Whether a strategy has measured it: a float that stands for something."""
    return type(value) is float and math.isfinite(value)


def provenance(model: torch.nn.Module) -> dict:
    """Where and with what a record was made: versions, device, processor, threads, commit, date."""
    device = next(model.parameters()).device
    names = ("torch", "torchvision", "timm", "transformers", "peft", "accelerate", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {platform.machine()}",
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


@cache
def _commit() -> str:
    """The commit of the code that runs: asked once, since the files may change while a long recording goes on.

    "-dirty" says that the library differs from it; the results that are being recorded are no part of the library.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", ".")
    return git("describe", "--always") + ("-dirty" if changed else "") or "not in a git checkout"


def load_records(*sources: str | Path) -> list[dict]:
    """Records from files (.json: one; .jsonl: one a line) or folders of them, each id once, in order."""
    records = {}
    for source in map(Path, sources):
        files = sorted(source.glob("*.json*")) if source.is_dir() else [source]
        if not all(f.exists() for f in files):
            raise FileNotFoundError(f"there are no runs at {source}: `make record` makes the recorded ones")
        for f in files:
            lines = f.read_text().splitlines() if f.suffix == ".jsonl" else [f.read_text()]
            records |= {r["id"]: r for r in map(json.loads, filter(None, lines))}
    return list(records.values())


def load_runs(*sources: str | Path) -> pd.DataFrame:
    """One row a run, from files or folders of records. Columns: see `frame`."""
    return frame(load_records(*sources))


def frame(records: Iterable[dict]) -> pd.DataFrame:
    """One row a run: id, arm, task, model, seed, purpose, grid, lr (of the last phase), steps, the task's options by
    name, then "test.accuracy" and the like for each split and metric, "seconds.forward", "parameters.trainable", and
    what strategies have measured, "Waypoints.barrier"."""
    rows = []
    for r in records:
        spec = r["spec"]
        row = {"id": r["id"], **{k: spec[k] for k in ("arm", "task", "model", "seed", "purpose", "grid")}}
        row |= {"lr": spec["phases"][-1]["lr"] if spec["phases"] else 0.0, "steps": r["steps"], **spec["options"]}
        for group in ("parameters", "seconds"):
            row |= {f"{group}.{k}": v for k, v in r[group].items()}
        for split, scores in r["scores"].items():
            row |= {f"{split}.{k}": v for k, v in scores.items()}
        rows.append({**row, **r.get("measured", {}), "memory": r["memory"]})
    return pd.DataFrame(rows)


def curves(records: Iterable[dict]) -> pd.DataFrame:
    """One row a validation during a run: arm, task, model, seed, step, loss, lr, and the validation's metrics."""
    keys = ("arm", "task", "model", "seed", "purpose")
    return pd.DataFrame([{**{k: r["spec"][k] for k in keys}, **at} for r in records for at in r["curve"]])


def write_text(file: Path, text: str) -> None:
    """Write aside, then rename: the old file or the new one, never half of one."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_text(text)
    os.replace(part, file)
