"""`make record`: the grids of data/grids/*.json → data/results/*.jsonl, with each arm's rate chosen fairly.

A grid file is a list of comparisons: one task, one model, arms that get the same steps. Each arm's learning rate is
chosen on validation, from the same number of candidates, on seeds that are not used afterwards. In a phase, "lr": null
is the rate under search, and "lr": "probe" the rate that was chosen for the arm called probe; an arm whose "rates" name
another arm is a variant that takes its rate and searches none; a single rate is given, not searched. "metric" is what
rates are chosen by: a metric on validation, "train.accuracy" where fitting is the question, what a strategy measures
("DomainGauge.im", without any label), or an oracle ("elpv/poly:validation.auroc"). "beside" names splits of other tasks
("sentiment/nyt:test") on which every measured run is scored too. Killed and started again, recording goes on where it
was: what is recorded is skipped.

With jobs=2 two processes of one thread each share the runs, which on two cores is faster than one process of two
threads. Their seconds are then not comparable with those of one process: a grid that is about seconds says "jobs": 1.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from ftlib.runs import Spec, frame, load_records, run, write_text
from ftlib.tasks import SPLITS

DATA = Path(__file__).parent.parent / "data"


def record(name: str, most: int | None = None, jobs: int = 1) -> Path:
    """Run what is missing of a grid (at most `most` runs) and return its results file, complete or not."""
    out = DATA / "results" / f"{name}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    records = {r["id"]: r for r in load_records(out)} if out.exists() else {}
    for comparison in load_grid(name):
        bar = tqdm(desc=comparison["task"], unit="run", total=count(comparison))
        while True:
            ready = list(specs(name, comparison, records))
            bar.update(sum(spec.id in records for spec in ready) - bar.n)
            todo = [spec for spec in ready if spec.id not in records][:most]
            if not todo:
                break
            for made in _run_all(todo, min(jobs, comparison.get("jobs", jobs))):
                records[made["id"]] = made
                bar.update()
                write_text(out, "".join(json.dumps(r) + "\n" for r in records.values()))
            most = None if most is None else most - len(todo)
        bar.close()
        if most == 0:
            break
    return out


def _run_all(todo: list[Spec], jobs: int) -> Iterator[dict]:
    """The records of the specs, as they become ready; with several jobs, in their own processes of one thread each."""
    if jobs == 1:
        yield from map(run, todo)
        return
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        pool = ProcessPoolExecutor(jobs, get_context("spawn"))
        for done in as_completed([pool.submit(run, spec) for spec in todo]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after an error, or Ctrl-C, no further run begins
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)


def load_grid(name: str) -> list[dict]:
    """The comparisons of a grid file; the arms of each must search the same number of rates."""
    file = DATA / "grids" / f"{name}.json"
    if not file.exists():
        known = ", ".join(sorted(f.stem for f in file.parent.glob("*.json")))
        raise FileNotFoundError(f"there is no grid called {name!r}: there are {known}")
    grid = json.loads(file.read_text())
    for comparison in grid:
        arms = comparison["arms"]
        sizes = {len(arm["rates"]) for arm in arms.values() if isinstance(arm["rates"], list)}
        if len(sizes) > 1:
            raise ValueError(f"{name}: every arm must search the same number of rates, but they search {sorted(sizes)}")
        if set(comparison["seeds"]) & set(comparison["tuning_seeds"]):
            raise ValueError(f"{name}: seeds and tuning_seeds must not overlap")
        for arm, says in arms.items():
            _refuse_unknown_rates(name, arms, arm, says)
    return grid


def _refuse_unknown_rates(name: str, arms: dict, arm: str, says: dict) -> None:
    """An arm may name the rates of arms that search one: of those above it, or, where it searches none, of any."""
    searching = [other for other in arms if isinstance(arms[other]["rates"], list)]
    variant = isinstance(says["rates"], str)
    known = searching if variant else [other for other in searching if list(arms).index(other) < list(arms).index(arm)]
    for rate in [says["rates"], *(phase["lr"] for phase in says["phases"])]:
        if isinstance(rate, str) and rate not in known:
            raise ValueError(
                f"{name}: {arm} takes the rate of {rate!r}, which must be one of {', '.join(known) or 'no arm'}"
            )


def count(comparison: dict) -> int:
    """The number of runs of a comparison."""
    arms = comparison["arms"].values()
    searched = sum(len(arm["rates"]) for arm in arms if isinstance(arm["rates"], list) and len(arm["rates"]) > 1)
    return searched * len(comparison["tuning_seeds"]) + len(arms) * len(comparison["seeds"])


def specs(name: str, comparison: dict, records: dict[str, dict]) -> Iterator[Spec]:
    """The specs that can be made so far: an arm's tuning runs, and once they are in `records`, its measurements."""
    chosen: dict[str, float] = {}
    arms = sorted(comparison["arms"], key=lambda arm: isinstance(comparison["arms"][arm]["rates"], str))
    for arm in arms:  # variants last, in the order of the file otherwise
        rates, phases = comparison["arms"][arm]["rates"], comparison["arms"][arm]["phases"]
        if any(isinstance(lr, str) and lr not in chosen for lr in [rates, *(phase["lr"] for phase in phases)]):
            continue  # its rate, or one of its rates, is not known yet
        if isinstance(rates, list):
            tuning = [
                _spec(name, comparison, arm, rate, chosen, seed, "tune")
                for rate in rates
                for seed in comparison["tuning_seeds"]
                if len(rates) > 1
            ]
            yield from tuning
            if not all(s.id in records for s in tuning):
                continue
            found = [records[s.id] for s in tuning]
            chosen[arm] = best_rate(found, comparison["metric"]) if len(rates) > 1 else rates[0]
        else:
            chosen[arm] = chosen[rates]
        for seed in comparison["seeds"]:
            yield _spec(name, comparison, arm, chosen[arm], chosen, seed, "measure")


def best_rate(records: list[dict], metric: str) -> float:
    """The rate with the best mean of a metric (higher is better); of equals, the smallest."""
    column = metric if "." in metric else f"validation.{metric}"
    means = frame(records).groupby("lr")[column].mean()
    return float(means.idxmax())


def _spec(name, comparison, arm, rate, chosen, seed, purpose) -> Spec:
    def fill(lr):
        return rate if lr is None else chosen[lr] if isinstance(lr, str) else lr

    phases = [{**phase, "lr": fill(phase["lr"])} for phase in comparison["arms"][arm]["phases"]]
    tuned_by = comparison["metric"].rpartition(".")[0]
    tuned_by = tuned_by if _last(tuned_by) in SPLITS else "validation"  # else a strategy measures it
    all_three = sorted({tuned_by, "validation", "test"}, key=lambda split: SPLITS.index(_last(split)))
    splits = [tuned_by] if purpose == "tune" else all_three
    splits += comparison.get("beside", []) if purpose == "measure" else []
    watched = purpose == "measure" or any(phase.get("fit", {}).get("patience") for phase in phases)
    return Spec(
        arm=arm, task=comparison["task"], model=comparison["model"], seed=seed, phases=phases, splits=splits,
        options=comparison["options"], every=comparison["every"] if watched else 0, grid=name,
        precision=comparison.get("precision", "float32"), purpose=purpose,
    )  # fmt: skip


def _last(name: str) -> str:
    """test of "test", and of "elpv/poly:test"."""
    return name.rpartition(":")[2]
