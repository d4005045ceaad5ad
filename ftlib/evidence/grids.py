"""`make record`: the grids of lessons/*/grids/*.json → data/results/*.jsonl, with each arm's rate chosen fairly.

A grid file is a list of comparisons: one task, one model, arms that get the same steps. Each arm's learning rate is
chosen on validation, from the same number of candidates, on seeds that are not used afterwards. In a phase, "lr": null
is the rate under search, and "lr": "probe" the rate that was chosen for the arm called probe; an arm whose "rates" name
another arm is a variant that takes its rate and searches none; a single rate is given, not searched. "metric" is what
rates are chosen by: a metric on validation, "train.accuracy" where fitting is the question, what a strategy measures
("DomainGauge.im", without any label), or an oracle ("elpv/poly:validation.auroc"). "also_evaluate_on" names splits of
other tasks ("sentiment/nyt:test") on which every measured run is scored too, and "watch" those that each validation
scores. Killed and started again, recording goes on where it was: what is recorded is skipped.

A comparison with "looks", such as [8, 16, 32], belongs to a confirmation (`confirm`): after so many seeds its rows are
looked at, and where all of them are decided, recording stops.

Several processes may record one grid at once: a process runs a spec only while it holds that spec's lock, which the
system takes back when the process ends, however it ends; and each record is added to what the file holds by then.

With jobs=2 two processes of one thread each share the runs, which on two cores is faster than one process of two
threads. Their seconds are then not comparable with those of one process: a grid that is about seconds says "jobs": 1.
What an untouched network gives for a split is computed once a process, and its seconds are charged to each run that
uses it.
"""

import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import cache
from itertools import islice, product
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ftlib import metrics, strategies, tasks
from ftlib.evidence import confirm, grid_files
from ftlib.evidence.grid_files import Arm, Comparison
from ftlib.evidence.runs import frame, run
from ftlib.evidence.sharing import Results
from ftlib.evidence.spec import Spec, split_of
from ftlib.io import places
from ftlib.io.progress import progress
from ftlib.io.typed import nearest
from ftlib.tasks import SPLITS
from ftlib.training.feature_tables import share_from_now_on, shared

LOOK_AGAIN = 0.3  # seconds between two looks at what other processes have recorded


def run_grid(name: str, most: int | None = None, jobs: int = 1) -> Path:
    """Run what is missing of a grid (at most `most` runs) and return its results file, complete or not.

    What another process is running is waited for, unless `most` runs were made here. ValueError where the grid cannot
    be recorded, OSError where its results cannot be written; both before the first run where it can be known.
    """
    for word, value, least in (("most", most, 0), ("jobs", jobs, 1)):
        if value is not None and (type(value) is not int or value < least):
            raise ValueError(f"{word} must be a whole number of at least {least}, but it is {value!r}")
    grid, results = load_grid(name), Results(places.results() / f"{name}.jsonl")

    def missing(comparison: Comparison) -> list[Spec]:
        records = results.read()
        return [spec for spec in specs(name, comparison, records, needed=True) if spec.id not in records]

    unfinished = [comparison for comparison in grid if missing(comparison)]
    left = -1 if most is None else most  # so many runs may still be made here; -1: any number
    if unfinished and left:
        results.must_be_writable()
        for comparison in unfinished:
            refuse_unmeasured(name, comparison)
    total = wanted(name, results.read())[2]  # with looks: so far
    with results, progress(desc=name, unit="run", total=total, initial=len(results.read())) as bar:
        while unfinished and left:
            comparison, made = unfinished[0], 0
            claimed = islice(results.claim(missing(comparison)), left if left > 0 else None)
            for one in _run_all(claimed, min(jobs, comparison.jobs or jobs)):
                _refuse_no_number(comparison, one)
                results.add(one)
                made += 1
                bar.update(len(results.read()) - bar.n)
            left -= made if left > 0 else 0
            if not missing(comparison):
                unfinished.pop(0)
                # a look may have waited for the comparison that is done now
                unfinished = unfinished or [again for again in grid if again.looks and missing(again)]
            elif comparison.looks or not made:  # others have their first look before this one has its second
                unfinished.append(unfinished.pop(0))
                if not made:  # the rest of it is being run by others
                    time.sleep(LOOK_AGAIN)
    return results.file


def _run_all(specs: Iterator[Spec], jobs: int) -> Iterator[dict]:
    """The records of the specs, as they become ready; with several jobs, in their own processes of one thread each.

    A spec is taken only when there is a process for it.
    """
    if jobs == 1:
        with shared():
            yield from map(run, specs)
        return
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        pool = ProcessPoolExecutor(jobs, get_context("spawn"), share_from_now_on)
        running = {pool.submit(run, spec) for spec in islice(specs, jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()
            running |= {pool.submit(run, spec) for spec in islice(specs, len(done))}
    finally:
        pool.shutdown(cancel_futures=True)  # after an error, or Ctrl-C, no further run begins
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)


def load_grid(name: str) -> list[Comparison]:
    """The comparisons of a grid file; ValueError, one sentence, on what could not be recorded, or not fairly."""
    file = places.grids().get(name)
    if file is None:
        raise FileNotFoundError(f"there is no grid called {name!r}: there are {', '.join(sorted(places.grids()))}")
    grid = grid_files.read(file)
    for i, comparison in enumerate(grid):
        for arm, says in comparison.arms.items():
            try:
                refuse_what_cannot_run(comparison, arm, says)
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{file}, comparison {i + 1}, arm {arm!r}: {error.args[0]}") from None
    return grid


def refuse_what_cannot_run(comparison: Comparison, arm: str, says: Arm) -> None:
    """Make the arm's strategies and its specs, with any rate, so that a fault in them is known before the first run."""
    for phase in says.phases:
        strategies.build(phase.strategy)
    parts = {name for phase in says.phases for part in phase.strategy for name in part}
    split, _, metric = comparison.metric.rpartition(".")
    if _last(split or "validation") in SPLITS:
        known = {name for scores in scores_by_kind().values() for name in scores}
        if metric not in known:
            raise ValueError(
                f"no record has the metric {metric!r}, the nearest known one is {nearest(metric, known)!r}"
            )
        if _last(split) == "test":
            raise ValueError(f"rates must not be chosen on the test split, but metric is {comparison.metric!r}")
    elif says.searches and len(says.rates) > 1 and split not in parts:
        known = {*SPLITS, *parts}
        raise ValueError(
            f"rates are chosen by {comparison.metric!r}, but {split!r} is neither a split nor a strategy of this arm: "
            f"the nearest known one is {nearest(split, known)!r}"
        )
    chosen = dict.fromkeys(comparison.arms, 1.0)
    for purpose in ("tune", "measure"):
        _spec("", comparison, arm, 1.0, chosen, comparison.seeds[0], purpose)


@cache
def scores_by_kind() -> dict[str, set[str]]:
    """The names that `evaluate` gives to the scores of a classification, of a regression and of a language model."""
    two, counts = np.array([0, 1]), Counter(nll=1.0, tokens=1, rows=1, right_tokens=1, right_rows=1)
    return {
        "classification": set(metrics.classification(np.eye(2), two)),
        "regression": set(metrics.regression(two, two)),
        "language model": set(metrics.tokens(counts)),
    }


def refuse_unmeasured(name: str, comparison: Comparison) -> None:
    """Raise a ValueError if the records will not hold the metric, since the task is of another kind."""
    split, _, metric = comparison.metric.rpartition(".")
    own = split_of(split or "validation", comparison.task)[0] if _last(split or "validation") in SPLITS else None
    if not own:
        return
    options = {name: value for name, value in comparison.options.items() if name != "data_seed"}
    task = tasks.load(own, seed=comparison.seeds[0], **options)
    kind = "language model" if task.kind == "lm" else "regression" if task.outputs == 1 else "classification"
    if metric not in (known := scores_by_kind()[kind]):
        raise ValueError(
            f"{name}: the metric {metric!r} is not one of a {kind}, which {own} is: choose one of "
            f"{', '.join(sorted(known))}"
        )


def _refuse_no_number(comparison: Comparison, made: dict) -> None:
    """Raise a ValueError if the run has no number to be chosen by, or judged by on test."""
    split, _, metric = comparison.metric.rpartition(".")
    spec = made["spec"]
    if _last(split or "validation") in SPLITS:
        splits = {split or "validation", *(["test"] if ":" not in split else [])} & set(made["scores"])
        found = {f"{at}.{metric}": made["scores"][at].get(metric) for at in splits}
    else:
        found = (
            {comparison.metric: made.get("measured", {}).get(comparison.metric)} if spec["purpose"] == "tune" else {}
        )
    for column, value in found.items():
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueError(
                f"{column} of the arm {spec['arm']!r} on {spec['task']}, seed {spec['seed']}, rate "
                f"{spec['phases'][-1]['lr']:g}, is {'not measured' if value is None else value}: the run is not "
                "recorded, since nothing could be chosen or judged by it; choose another metric, or mend the arm"
            )


def count(comparison: Comparison, seeds: dict[str, list[int]] | None = None) -> int:
    """The number of runs of a comparison, with all of its seeds or those of each arm."""
    arms = comparison.arms.values()
    searched = sum(len(arm.rates) for arm in arms if arm.searches and len(arm.rates) > 1)
    measured = len(arms) * len(comparison.seeds) if seeds is None else sum(map(len, seeds.values()))
    return searched * len(comparison.tuning_seeds) + measured


def seeds_of(name: str, comparison: Comparison, records: dict[str, dict]) -> dict[str, list[int]]:
    """The seeds to measure of each arm: all, or with looks as many as the rows that compare it still need."""
    if not comparison.looks:
        return dict.fromkeys(comparison.arms, comparison.seeds)
    runs = confirm.with_curves([record for record in records.values() if record["spec"]["grid"] == name])
    of = (name, comparison.task, comparison.options, comparison.looks, runs)
    return {arm: comparison.seeds[: confirm.seeds_wanted(*of, arm)] for arm in comparison.arms}


def wanted(name: str, records: dict[str, dict]) -> tuple[set[str], set[str], int]:
    """(ids that a grid's runs may have, those of them that are needed, how many will be needed), as far as known.

    With looks, fewer seeds may be needed than the grid has. And measurements have no id before their rate is chosen.
    """
    grid = load_grid(name)
    allowed, needed = ({s.id for c in grid for s in specs(name, c, records, need)} for need in (False, True))
    return allowed, needed, sum(count(c, seeds_of(name, c, records)) for c in grid)


def specs(name: str, comparison: Comparison, records: dict[str, dict], needed: bool = False) -> Iterator[Spec]:
    """The specs that can be made so far: an arm's tuning runs, and once they are in `records`, its measurements.

    The arms of one seed come one after the other, since a computer gets slower and faster with the hours, and their
    seconds are compared. needed: with looks, only the runs that a row still needs.
    """
    chosen: dict[str, float] = {}
    seeds = seeds_of(name, comparison, records) if needed else dict.fromkeys(comparison.arms, comparison.seeds)
    arms = sorted(comparison.arms, key=lambda arm: not comparison.arms[arm].searches)
    for arm in arms:  # variants last, in the order of the file otherwise
        rates = comparison.arms[arm].rates
        if any(other not in chosen for other in comparison.arms[arm].named):
            continue  # its rate, or one of its rates, is not known yet
        if isinstance(rates, list):
            tuning = [
                _spec(name, comparison, arm, rate, chosen, seed, "tune")
                for rate in rates
                for seed in comparison.tuning_seeds
                if len(rates) > 1
            ]
            yield from tuning
            if not all(s.id in records for s in tuning):
                continue
            found = [records[s.id] for s in tuning]
            chosen[arm] = best_rate(found, comparison.metric) if len(rates) > 1 else rates[0]
        else:
            chosen[arm] = chosen[rates]
    for seed, arm in product(comparison.seeds, chosen):
        if seed in seeds[arm]:
            yield _spec(name, comparison, arm, chosen[arm], chosen, seed, "measure")


def best_rate(records: list[dict], metric: str) -> float:
    """The rate with the best mean of a metric (higher is better); of equals, the smallest."""
    column = metric if "." in metric else f"validation.{metric}"
    runs = frame(records)
    if column not in runs or not np.isfinite(runs[column].astype(float)).all():
        raise ValueError(f"no rate can be chosen by {column}: {_without(runs, column)} no number there")
    means = runs.groupby("lr")[column].mean()
    return float(means.idxmax())


def _without(runs, column: str) -> str:
    """Which runs lack a number, in words."""
    rows = runs if column not in runs else runs[~np.isfinite(runs[column].astype(float))]
    first = rows.iloc[0]
    return f"{len(rows)} of {len(runs)} runs (the first: {first.arm}, rate {first.lr:g}, seed {first.seed}) have"


def _spec(name: str, comparison: Comparison, arm: str, rate: float, chosen: dict, seed: int, purpose: str) -> Spec:
    def fill(lr):
        return rate if lr is None else chosen[lr] if isinstance(lr, str) else lr

    phases = [{**vars(phase), "lr": fill(phase.lr)} for phase in comparison.arms[arm].phases]
    tuned_by = comparison.metric.rpartition(".")[0]
    tuned_by = tuned_by if _last(tuned_by) in SPLITS else "validation"  # else a strategy measures it
    all_three = sorted({tuned_by, "validation", "test"}, key=lambda split: SPLITS.index(_last(split)))
    splits = [tuned_by] if purpose == "tune" else all_three
    splits += comparison.also_evaluate_on if purpose == "measure" else []
    watched = purpose == "measure" or any(phase["fit"].get("patience") for phase in phases)
    return Spec(
        arm=arm, task=comparison.task, model=comparison.model, seed=seed, phases=phases, splits=splits,
        options=comparison.options, every=comparison.every if watched else 0, grid=name,
        precision=comparison.precision, purpose=purpose, watch=comparison.watch if watched else [],
    )  # fmt: skip


def _last(name: str) -> str:
    """test of "test", and of "elpv/poly:test"."""
    return name.rpartition(":")[2]
