"""`make record`: the grids of data/grids/*.json → data/results/*.jsonl, with each arm's rate chosen fairly.

A grid file is a list of comparisons: one task, one model, arms that get the same steps. Each arm's learning rate is
chosen on validation, from the same number of candidates, on seeds that are not used afterwards. In a phase, "lr": null
is the rate under search, and "lr": "probe" the rate that was chosen for the arm called probe. Killed and started
again, it goes on where it was: what is recorded is skipped.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from ftlib.runs import Spec, frame, load_records, run, write_text

DATA = Path(__file__).parent.parent / "data"


def record(name: str, most: int | None = None) -> Path:
    """Run what is missing of a grid (at most `most` runs) and return its results file, complete or not."""
    out = DATA / "results" / f"{name}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    records = {r["id"]: r for r in load_records(out)} if out.exists() else {}
    made = 0
    for comparison in load_grid(name):
        bar = tqdm(specs(name, comparison, records), desc=comparison["task"], unit="run", total=count(comparison))
        for spec in bar:
            if spec.id in records:
                continue
            if made == most:
                return out
            records[spec.id] = run(spec)
            made += 1
            write_text(out, "".join(json.dumps(r) + "\n" for r in records.values()))
    return out


def load_grid(name: str) -> list[dict]:
    """The comparisons of a grid file; the arms of each must search the same number of rates."""
    file = DATA / "grids" / f"{name}.json"
    if not file.exists():
        known = ", ".join(sorted(f.stem for f in file.parent.glob("*.json")))
        raise FileNotFoundError(f"there is no grid called {name!r}: there are {known}")
    grid = json.loads(file.read_text())
    for comparison in grid:
        sizes = {len(arm["rates"]) for arm in comparison["arms"].values()}
        if len(sizes) > 1:
            raise ValueError(f"{name}: every arm must search the same number of rates, but they search {sorted(sizes)}")
        if set(comparison["seeds"]) & set(comparison["tuning_seeds"]):
            raise ValueError(f"{name}: seeds and tuning_seeds must not overlap")
    return grid


def count(comparison: dict) -> int:
    """The number of runs of a comparison."""
    arms = comparison["arms"].values()
    tuning = sum(len(arm["rates"]) for arm in arms) * len(comparison["tuning_seeds"])
    return tuning + len(arms) * len(comparison["seeds"])


def specs(name: str, comparison: dict, records: dict[str, dict]) -> Iterator[Spec]:
    """The specs of a comparison: an arm's tuning runs first, then, once they are in `records`, its measurements."""
    chosen: dict[str, float] = {}
    for arm in comparison["arms"]:
        tuning = [
            _spec(name, comparison, arm, rate, chosen, seed, "tune")
            for rate in comparison["arms"][arm]["rates"]
            for seed in comparison["tuning_seeds"]
        ]
        yield from tuning
        chosen[arm] = best_rate([records[s.id] for s in tuning if s.id in records], comparison["metric"])
        for seed in comparison["seeds"]:
            yield _spec(name, comparison, arm, chosen[arm], chosen, seed, "measure")


def best_rate(records: list[dict], metric: str) -> float:
    """The rate with the best mean of a validation metric (higher is better); of equals, the smallest."""
    means = frame(records).groupby("lr")[f"validation.{metric}"].mean()
    return float(means.idxmax())


def _spec(name, comparison, arm, rate, chosen, seed, purpose) -> Spec:
    def fill(lr):
        return rate if lr is None else chosen[lr] if isinstance(lr, str) else lr

    phases = [{**phase, "lr": fill(phase["lr"])} for phase in comparison["arms"][arm]["phases"]]
    return Spec(
        arm=arm, task=comparison["task"], model=comparison["model"], seed=seed, phases=phases,
        options=comparison["options"], every=comparison["every"] if purpose == "measure" else 0, grid=name,
        splits=["validation"] if purpose == "tune" else ["validation", "test"], purpose=purpose,
    )  # fmt: skip
