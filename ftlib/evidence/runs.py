"""Spec → record. A Spec is one experiment as JSON; `run` executes it and returns a record; `load_runs` reads records.

A seed fixes the split, the subset, the initialisation and the order, so that arms are paired by seed and an interval
covers the sampling of the data too. Choices are made on validation; the test split is read once, at the end.
"""

import json
import math
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, field
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ftlib import models, strategies
from ftlib.evidence.own_data import own_data, refuse_other_data
from ftlib.evidence.sequences import Sources, matrix, sequence_scores
from ftlib.evidence.spec import EARLY, Phase, Spec, WrittenSpec, split_of
from ftlib.io import places, typed
from ftlib.io.typed import Number, Text, Whole, entry
from ftlib.io.writing import must_be_writable, write_text
from ftlib.strategy import Strategy, combine, parts_of
from ftlib.training.feature_tables import shared
from ftlib.training.loop import count_parameters, evaluate, fit
from ftlib.training.machine import processor
from ftlib.training.stream import set_seed
from ftlib.training.validation import Validation

__all__ = ["Phase", "Record", "Spec", "curves", "first_losses", "frame", "load_records", "load_runs"]
__all__ += ["matrix", "provenance", "run", "split_of"]
# Raised when the same spec gives other losses, by more than rounding. 1, or none: dropout by PyTorch. 2: by
# ftlib.models.dropout, and evaluation by ftlib.models.folding. Records of all engines are read alike.
ENGINE = 2
ROUNDING = 1e-7  # relative: the size of one rounding error of a float32, whose last bit is 1.2e-7 of it
KEEP_LOSSES = 20  # the first losses of a run are kept: a repetition must match them closely


def run(spec: Spec, folder: str | Path | None = None, verbose: bool = False) -> dict:
    """Execute a Spec and return its record.

    Parameters
    ----------
    spec : Spec
        The experiment.
    folder : str or Path, optional
        Where to keep the record, as <id>.json. A record that is there already is returned without running.
    verbose : bool, default False
        Whether to show progress.

    Returns
    -------
    dict
        id, spec, scores (each split's metrics), curve (validations during the run), measured (by strategies), steps,
        parameters (numbers, and bytes of the trainable ones), seconds, memory (peak, bytes) and provenance.

    Raises
    ------
    ValueError
        If the spec was changed into one that cannot or must not be run.
    RuntimeError
        If the test split was read more than once.
    OSError
        If the folder cannot be written to. This is known before the run.

    Examples
    --------
    >>> phase = ftlib.Phase([{"LinearProbe": {}}], steps=2, lr=1e-3, batch_size=4)
    >>> spec = ftlib.Spec("probe", "digits/mnist", "efficientnet-lite0", seed=0, phases=[phase],
    ...                   options={"n": 10, "size": 16, "held_out": 10}, splits=["validation"])
    >>> record = ftlib.run(spec, folder)
    >>> record["steps"], list(record["scores"]), (folder / f"{spec.id}.json").exists()
    (2, ['validation'], True)
    """
    file = Path(folder) / f"{spec.id}.json" if folder else None
    if file and file.exists():
        there = load_records(file)[0]
        refuse_other_data(there, own_data(spec), str(file))
        return there
    if file:
        must_be_writable(file.parent)
    with shared():
        record = _execute(spec, verbose)
    if file:
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
    data, model, losses = *_start(spec), []
    first = () if disturb is None else (Disturbed(disturb, size),)
    for history in _phases(spec, data, model, most=most, first=first):
        losses += [row["loss"] for row in history]
    return losses[:most]


def _start(spec: Spec) -> tuple[Sources, models.Model]:
    """(data, model) as they are before the first step."""
    spec.check()  # again: it may have been changed since it was made
    data = Sources(spec)
    set_seed(spec.seed)
    return data, models.load(spec.model, data.task)


def _phases(
    spec: Spec,
    sources: Sources,
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
        scores = evaluate(model, sources.loader("validation", model, batch_size=64))
        for name in spec.watch:
            found = evaluate(model, sources.loader(name, model, batch_size=64))
            scores[name] = found[sources.metric(name)]
        return scores

    for i, phase in enumerate(spec.phases):
        if most is not None and done >= most:
            return
        strategy = strategies.build(phase.strategy)
        strategy = combine(strategy, *first) if first and not i else strategy
        for part in parts_of(strategy):  # the same class in a later phase goes on from what it has learned
            part.load_state_dict(memory.get(type(part).__name__, {}))
        data = {k: sources.loader(v, model, batch_size=phase.batch_size, shuffle=True) for k, v in phase.data.items()}
        more, validation = _arguments(phase.fit, validate, spec.every)
        if most is not None:
            validation = Validation(lambda model: {}, every=1, stop=lambda rows, done=done: done + len(rows) >= most)
        _, history = fit(
            model, data, strategy, steps=phase.steps, lr=phase.lr, seed=spec.seed + 1000 * i, precision=spec.precision,
            verbose=verbose, validation=validation, **more,
        )  # fmt: skip
        memory |= {type(part).__name__: part.state_dict() for part in parts_of(strategy)}
        done += len(history)
        yield history


def _arguments(written: dict, score: Callable, every: int) -> tuple[dict, Validation | None]:
    """The arguments of `fit` that a phase names. It names them flat, and recorded ids are made of that form."""
    early = {name: value for name, value in written.items() if name in EARLY}
    more = {name: value for name, value in written.items() if name not in EARLY}
    return more, Validation(score, every=every, **early) if every else None


def _execute(spec: Spec, verbose: bool) -> dict:
    _commit()  # asked before the run: the files may change during it
    data, model = _start(spec)
    seconds, curve, losses, peak, done, memory, trainable = Counter(), [], [], 0, 0, {}, 0
    for history in _phases(spec, data, model, verbose, memory=memory):
        for row in history:
            seconds.update(row["seconds"])
            peak = max(peak, row["memory"])
            losses.append(row["loss"])
            trainable = row["trainable"]  # in the end, of the last step
            if "validation" in row:
                recent = losses[-(spec.every or 1) :]
                at = {"step": done + row["step"] + 1, "loss": sum(recent) / len(recent), "lr": row["lr"]}
                curve.append({**at, "seconds": sum(seconds.values()), **row["validation"]})
        done += len(history)
    total = count_parameters(model)[1]
    measured = {f"{k}.{name}": v for k, state in memory.items() for name, v in state.items() if _is_number(v)}
    scores = {split: evaluate(model, data.loader(split, model, batch_size=64)) for split in spec.splits}
    reads = data.reads_of_test
    if reads > 1:
        raise RuntimeError(f"the test split was read {reads} times in one run: it may be read once, at the end")
    return {
        "id": spec.id,
        "spec": asdict(spec),
        "scores": scores,
        "curve": curve,
        "measured": measured | sequence_scores(asdict(spec), curve),
        "first_losses": losses[:KEEP_LOSSES],
        "steps": done,
        "parameters": {"trainable": trainable, "total": total, "bytes": 4 * trainable},
        "seconds": {**seconds, "training": sum(seconds.values())},
        "memory": peak,
        "provenance": provenance(model) | own_data(spec),
    }


def _is_number(value) -> bool:
    """Whether a strategy has measured it: a float that stands for something."""
    return type(value) is float and math.isfinite(value)


def provenance(model: torch.nn.Module) -> dict:
    """Where and with what a record was made: versions, device, processor, threads, engine, commit, date."""
    device = next(model.parameters()).device
    names = ("torch", "torchvision", "timm", "transformers", "peft", "accelerate", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {platform.machine()}",
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "engine": ENGINE,
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


@cache
def _commit() -> str:
    """The commit of the code that runs: asked once, since the files may change while a long recording goes on.

    "-dirty" says that the library differs from it; the results that are being recorded are no part of the library.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, cwd=Path(__file__).parents[1]
        ).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", ".")
    return git("describe", "--always") + ("-dirty" if changed else "") or "not in a git checkout"


@entry
class Record:
    """What a run left behind, as `_execute` writes it; the scores of each split by name."""

    id: Text
    spec: WrittenSpec
    scores: dict[Text, dict[Text, Number]]
    curve: list[dict[Text, Number]]
    steps: Whole
    parameters: dict[Text, Whole]
    seconds: dict[Text, Number]
    memory: Whole
    measured: dict[Text, Number] = field(default_factory=dict)
    first_losses: list[Number] = field(default_factory=list)
    provenance: dict[Text, Any] = field(default_factory=dict)


def load_records(*sources: str | Path) -> list[dict]:
    """Load the records of runs, each id once.

    Parameters
    ----------
    *sources : str or Path
        Names of recorded grids ("01_full"), files (.json holds one record, .jsonl one per line) or folders of
        these. A word without a slash and a dot is a grid's name first. The kit finds its runs wherever the notebook is.

    Returns
    -------
    list of dict
        Records as `ftlib.run` returns them.

    Raises
    ------
    FileNotFoundError
        If there are no such runs.
    ValueError
        If a record is broken. The sentence names the file and the line.

    Examples
    --------
    >>> records = ftlib.load_records("01_full")
    >>> len(records), records[0]["spec"]["task"]
    (160, 'elpv')
    """
    records = {}
    for source in map(_place, sources):
        files = sorted(f for f in source.iterdir() if f.suffix in (".json", ".jsonl")) if source.is_dir() else [source]
        for f in files:
            records |= {r["id"]: r for r in _records_of(f)}
    data: dict[str, str] = {}  # own data must be the same in all runs that are loaded together
    for r in records.values():
        refuse_other_data(r, {"data": data}, f"the run {r['id']}")
        data |= r.get("provenance", {}).get("data", {})
    return list(records.values())


def _place(source: str | Path) -> Path:
    """Where the runs of one source are."""
    place = Path(source)
    named = isinstance(source, str) and re.fullmatch(r"[\w+-]+", source)  # neither a path nor a suffix
    if named and (file := places.results() / f"{source}.jsonl").exists():
        return file
    if place.exists():
        return place
    if named:
        known = sorted(other.stem for other in places.results().glob("*.jsonl"))
        near = get_close_matches(source, known, 1)
        advice = f"did you mean {near[0]}?" if near else f"the kit has {', '.join(known)}"
        if source in places.grids():
            advice = f"`make record GRID={source}` makes them, which can take hours"
        raise FileNotFoundError(f"there are no recorded runs (and no folder) called {source!r}: {advice}")
    advice = "`make record` makes the recorded ones"
    if (places.results() / place.name).exists():
        advice = f'the kit\'s own are found from anywhere by their name, load_runs("{place.stem}")'
    raise FileNotFoundError(f"there are no runs at {source}: {advice}")


def _records_of(file: Path) -> Iterator[dict]:
    """The records of one file."""
    text = typed.read_text(file)
    if file.suffix != ".jsonl":
        advice = "delete the file and run it again"
        yield _whole_record(typed.parse(text, str(file), advice), str(file))
        return
    advice = f"delete the line, then `make record GRID={file.stem}` makes what is missing again"
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _whole_record(typed.parse(line, str(file), advice, number), f"{file}, line {number}")


def _whole_record(made: Any, at: str) -> dict:
    typed.check(Record, made, at)
    return made


def load_runs(*sources: str | Path) -> pd.DataFrame:
    """Load runs as a table, one row per run.

    Parameters
    ----------
    *sources : str or Path
        Recorded grids, files or folders, see `load_records`.

    Returns
    -------
    DataFrame
        id, arm, task, model, seed, purpose, grid, lr, steps and the task's options, then the scores ("test.accuracy"),
        "seconds.forward" and the like, "parameters.trainable", and whatever strategies measured.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_records`.

    Examples
    --------
    >>> runs = ftlib.load_runs("01_full")
    >>> runs.query("purpose == 'measure'").groupby(["task", "arm"])["seed"].count().loc["elpv"].to_dict()
    {'full': 6, 'lp-ft': 6, 'probe': 6, 'scratch': 6}
    """
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
        engine = r.get("provenance", {}).get("engine", 1)
        rows.append({**row, **r.get("measured", {}), "memory": r["memory"], "engine": engine})
    return pd.DataFrame(rows)


def curves(records: Iterable[dict]) -> pd.DataFrame:
    """One row a validation during a run: arm, task, model, seed, step, loss, lr, and the validation's metrics."""
    keys = ("arm", "task", "model", "seed", "purpose")
    return pd.DataFrame([{**{k: r["spec"][k] for k in keys}, **at} for r in records for at in r["curve"]])
