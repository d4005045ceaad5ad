"""`make replicate`: do the results hold on another machine?

Rounding differs between processors, and a step at a high rate enlarges it. So no other machine gives the same numbers,
and it needn't: what must hold are the verdicts. A claim that the recorded runs decide is run anew here, with the same
seeds and the rates that the records chose, and judged by the same rule. The rows are kept in data/replication.json and
written as docs/replication.md, one table for each processor.

The runs lie in build/replication, in a folder for this machine, its packages and this code. Stopped and started again,
replicating goes on where it was. A claim about seconds needs a computer on which nothing else runs.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ftlib.evidence import claims, grids
from ftlib.evidence.compare import SEEDS_FOR_A_VERDICT
from ftlib.evidence.runs import frame, load_records, provenance
from ftlib.io import places
from ftlib.io.writing import write_text

RUNS = places.ROOT / "build" / "replication"
ROWS = places.ROOT / "data" / "replication.json"
PAGE = places.ROOT / "docs" / "replication.md"
INTRODUCTION = """# Replication

`make replicate` runs claims anew that the recorded runs decide. It takes the recorded seeds and learning rates, and it
judges by the same rule. The numbers differ between processors, because rounding does. The verdicts should agree. The
command writes this page from `data/replication.json`.
"""


def replicate(names: list[str] | None = None, seeds: int = SEEDS_FOR_A_VERDICT, jobs: int = 1, log=print) -> list[dict]:
    """Run claims anew, write the page, and return their rows; without names, all claims that are decided.

    seeds: how many of the recorded ones; fewer than six give no verdict. jobs: as in record. Raises ValueError for a
    claim that is undecided (there is nothing to hold), and KeyError for one that does not exist.
    """
    if seeds < SEEDS_FOR_A_VERDICT:
        raise ValueError(f"a verdict needs {SEEDS_FOR_A_VERDICT} seeds, but seeds is {seeds}: ask for that or more")
    recorded = {name: claims.judge(name) for name in names or decided()}
    undecided = [name for name, claim in recorded.items() if claim.verdict == "undecided"]
    if undecided:
        raise ValueError(
            f"the recorded runs leave {', '.join(undecided)} undecided, so no verdict can be compared: the decided "
            f"claims are {', '.join(decided())}"
        )
    here = place()
    folder = RUNS / hashlib.sha1(json.dumps([here, code()], sort_keys=True).encode()).hexdigest()[:12]
    todo = {name: prepare(name, folder / name, seeds) for name in recorded}
    for name, records in todo.items():
        log(f"{name}: {forecast(records, folder / name)}{about_seconds(name)}")
    rows = []
    for name, claim in recorded.items():
        with data(folder / name):
            for grid in sorted(places.grids()):
                grids.run_grid(grid, jobs=jobs)
            found = claims.judge(name)
        made = load_records(folder / name / "data" / "results")
        rows.append(compared(name, claim, found) | here | {k: made[-1]["provenance"][k] for k in ("commit", "date")})
        log(f"{name}: {claim.verdict} by the records, {found.verdict} here")
        keep(rows[-1])
    return rows


def decided() -> list[str]:
    """The claims that the recorded runs decide; those that are not recorded are left out."""
    found = []
    for name in sorted(places.claims()):
        try:
            found += [name] if claims.judge(name).verdict != "undecided" else []
        except claims.NotRecorded:
            continue
    return found


def prepare(name: str, folder: Path, seeds: int) -> list[dict]:
    """Write a data folder with nothing but what decides the claim, and return the recorded runs that it repeats.

    Its grids hold the arms of the claim's contrasts with the rates that the records chose, on the first seeds.
    """
    claims.load_claim(name)  # refuses what is written wrongly
    written = plain("claims", name)
    parts = [written, *({**written, **more} for more in written.get("also", []) if more.get("decides"))]
    kept = {**written, "also": [more for more in written.get("also", []) if more.get("decides")]}
    write(folder / "lessons" / written["lesson"] / "claims" / f"{name}.json", kept)
    repeated = []
    for grid in sorted({grid for part in parts for grid in grids_of(part)}):
        made = {r["id"]: r for r in load_records(places.results() / f"{grid}.jsonl")}
        wanted = {run for part in parts if grid in grids_of(part) for run in needed(part, made)}
        reduced = []
        for comparison, typed in zip(plain("grids", grid), grids.load_grid(grid), strict=True):
            some = comparison["seeds"][:seeds]
            specs = [s for s in grids.specs(grid, typed, made) if s.id in wanted and s.seed in some]
            order = sorted(typed.arms, key=lambda arm: not typed.arms[arm].searches)  # those with a search first
            specs.sort(key=lambda spec: order.index(spec.arm))
            arms = {s.arm: with_rate(comparison["arms"][s.arm], made[s.id]["spec"]["phases"]) for s in specs}
            reduced += [{**comparison, "seeds": some, "arms": arms}] if arms else []
            repeated += [made[s.id] for s in specs]
        if reduced:
            write(folder / "lessons" / written["lesson"] / "grids" / f"{grid}.json", reduced)
    return repeated


def plain(kind: str, name: str):
    """A file of the kit as it is written."""
    file = (places.claims if kind == "claims" else places.grids)()[name]
    return json.loads(file.read_text(encoding="utf-8"))


def grids_of(part: dict) -> list[str]:
    """The grids that a contrast reads."""
    return [part["grid"]] if isinstance(part["grid"], str) else part["grid"]


def needed(part: dict, made: dict[str, dict]) -> set[str]:
    """The ids of the recorded runs that a contrast reads: by its filter, its tasks and its arms.

    An arm stands for its variants, too ("full" for "full@0.001"). Where a contrast compares something else than arms
    (the rule `regret`: tasks), or reads a third one (`rank`), it needs every arm.
    """
    runs = frame(made.values()).query(part["filter"])
    arm, baseline = part["contrast"]["arm"], part["contrast"]["baseline"]
    named = {arm, *([baseline] if isinstance(baseline, str) else baseline)}
    bases = runs.arm.str.split("[@/]", regex=True).str[0]
    mine = runs.arm.isin(named) | bases.isin(named)
    if part["by"] in ("regret", "rank"):
        mine |= True
    if isinstance(part["metric"], dict):
        mine &= runs.task.isin([*part["metric"]]) | ("" in part["metric"])
    return set(runs.id[mine & (runs.purpose == "measure")])


def with_rate(arm: dict, phases: list[dict]) -> dict:
    """An arm of a grid that searches no rate: it has those of a recorded run."""
    fixed = [{**now, "lr": None if now["lr"] is None else was["lr"]} for now, was in zip(arm["phases"], phases)]
    searched = [was["lr"] for now, was in zip(arm["phases"], phases) if now["lr"] is None]
    return {**arm, "phases": fixed, "rates": [(searched or [phases[-1]["lr"]])[0]]}


def forecast(records: list[dict], folder: Path) -> str:
    """How much there is to do, by the seconds of the recorded runs."""
    made = folder / "data" / "results"
    there = {r["id"] for r in load_records(made)} if made.exists() else set()
    left = [r for r in records if r["id"] not in there]
    minutes = sum(r["seconds"]["training"] for r in left) / 60
    return (
        f"{len(records)} runs, of which {len(records) - len(left)} are there; the others trained for {minutes:.0f} "
        f"minutes when they were recorded, loading and scoring not counted"
    )


def about_seconds(name: str) -> str:
    """A warning where the claim is about time."""
    written = plain("claims", name)
    metrics = written["metric"].values() if isinstance(written["metric"], dict) else [written["metric"]]
    timed = written["by"] == "cost" or any(metric.startswith("seconds") for metric in metrics)
    return "; it is about seconds, so let nothing else run on this computer" if timed else ""


@contextmanager
def data(folder: Path) -> Iterator[None]:
    """Grids, results and claims are those of another folder."""
    before, places.ROOT = places.ROOT, folder
    try:
        yield
    finally:
        places.ROOT = before


def compared(name: str, recorded: claims.Judged, found: claims.Judged) -> dict:
    """One claim: both verdicts, and each deciding contrast as it was recorded and as it is here."""
    pairs = zip(*(c.rows[c.rows.decides].to_dict("records") for c in (recorded, found)), strict=True)
    keys = ("effect", "low", "high", "seeds", "verdict")
    contrasts = [
        {"task": was["task"], "comparison": f"{was['effect of']}, {was['on']}",
         "recorded": {k: was[k] for k in keys}, "here": {k: now[k] for k in keys}}
        for was, now in pairs
    ]  # fmt: skip
    return {"claim": name, "recorded": recorded.verdict, "here": found.verdict, "contrasts": contrasts}


def place() -> dict:
    """Where the runs are made: what provenance says of it, commit and date apart."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    made = provenance(torch.nn.Linear(1, 1, device=device))
    return {k: v for k, v in made.items() if k not in ("commit", "date")}


def code() -> str:
    """A digest of the library: runs of other code are not taken for runs of this one."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha1(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def keep(row: dict) -> None:
    """Add a row to ROWS, in the place of an older one of this claim and machine, and write the page."""
    old = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else []
    rows = [other for other in old if (heading(other), other["claim"]) != (heading(row), row["claim"])] + [row]
    rows.sort(key=lambda one: (heading(one), one["claim"]))
    write(ROWS, rows)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    write_text(PAGE, page(rows))


def heading(row: dict) -> str:
    """A machine in a line: two rows with the same one stand in the same table."""
    cpu = row["processor"]
    kind = "-".join(cpu["kind"][k] for k in ("cpu family", "model", "stepping") if k in cpu["kind"])
    settings = "".join(f", {name}={value}" for name, value in cpu["settings"].items())
    threads = f"{row['threads']} thread{'s' * (row['threads'] > 1)}"
    words = [cpu["name"] + (f" ({kind})" if kind else ""), cpu["capability"], row["device"], threads]
    return ", ".join(words) + settings + f"; torch {row['versions']['torch']}"


def page(rows: list[dict]) -> str:
    """The page, from the rows alone."""
    parts = [INTRODUCTION if rows else INTRODUCTION + "\nNothing has been run yet.\n"]
    for machine in dict.fromkeys(map(heading, rows)):
        mine = [row for row in rows if heading(row) == machine]
        lines = ["| claim | task | comparison | recorded | here | verdict: recorded → here | made |", "|---" * 7 + "|"]
        for row in mine:
            for one in row["contrasts"]:
                was, now = one["recorded"], one["here"]
                verdicts = f"{was['verdict']} → {now['verdict']}"
                lines.append(
                    f"| {row['claim']} | {one['task']} | {one['comparison']} | {interval(was)} | {interval(now)} | "
                    f"{verdicts} | {row['date']}, {row['commit']} |"
                )
        versions = ", ".join(f"{name} {number}" for name, number in mine[0]["versions"].items())
        held = sum(row["recorded"] == row["here"] for row in mine)
        parts.append(f"## {machine}\n{held} of {len(mine)} verdicts hold. {versions}.\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def interval(one: dict) -> str:
    """An effect, its interval and the number of seeds."""
    return f"{one['effect']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}], {one['seeds']} seeds"


def write(file: Path, what) -> None:
    """JSON into a file whose folder may not be there yet."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(what, indent=1, ensure_ascii=False) + "\n")
