"""What is compared, with whom, and what is hoped for. No heavy imports: the report reads this too."""

import json
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results.jsonl"
WITHOUT = ROOT / "bench" / "results-avx2.jsonl"  # on a processor without AVX-512, or with it switched off
LESSONS = ROOT / "bench" / "lessons.jsonl"  # from any computer, so apart from the rest
BATCH = 32
WEIGHT_DECAY, MAX_NORM = 0.01, 1.0  # what `fit` does unless told otherwise; the peers are told to do the same
OURS, BF16 = "ours", "Trainer, bf16"
PEERS = ("Trainer", "Lightning", "fastai")
TABLES = {"plain": "peers as they come", "tuned": "peers tuned by someone who knows them"}


@dataclass(frozen=True)
class Case:
    """One piece of work, the same for everyone: model, task, rate, passes over the data, frozen first stages."""

    title: str
    model: str
    task: str
    lr: float  # in the middle of what lessons 01 and 02 found good; constant, as `fit` has it
    goals: dict[str, float]  # table -> how many times as long a peer should take
    epochs: int = 1
    frozen: int = 0
    options: dict = field(default_factory=dict)  # of the task
    most: int | None = None  # training examples; None: all there are


CELLS = {"model": "efficientnet-lite0", "task": "elpv", "options": {"size": 96}}
CASES = {
    "vision": Case("Lite0, solar cells: full, 1 epoch", **CELLS, lr=0.001, goals={"plain": 1.8, "tuned": 1.0}),
    "half": Case(
        "Lite0, solar cells: 5 of 9 stages frozen, 5 epochs",
        **CELLS, lr=0.001, goals={"plain": 2.5, "tuned": 1.5}, epochs=5, frozen=5,
    ),
    "head": Case(
        "Lite0, solar cells: head only, 20 epochs",
        **CELLS, lr=0.01, goals={"plain": 20, "tuned": 1.5}, epochs=20, frozen=9,
    ),
    "text": Case(
        "MiniLM, sentiment: full, 1 epoch",
        "minilm", "sentiment/amazon", lr=0.0001, goals={"plain": 3, "tuned": 1.15}, most=2000,
    ),
}  # fmt: skip
GOAL_BF16 = 2.0  # against Trainer as it comes, but for bf16=True
PLAIN = "none"  # an epoch without augmentation: what the others' seconds are divided by
WAYS = (PLAIN, "ours", "none, one by one", "torchvision", "torchvision, 2 workers")  # of augmenting
GOAL_AUGMENTED = 1.3  # an epoch of ours with augmentation / one without, at most


def goal(case: str, table: str, who: str) -> float:
    """The ratio peer/ours that is hoped for."""
    return GOAL_BF16 if who == BF16 else CASES[case].goals[table]


def competitors(case: str, table: str, has_bf16: bool) -> list[str]:
    """Everyone in one table's row. Trainer with bf16 stands beside the plain Trainer where the CPU can do it."""
    more = [BF16] if (case, table) == ("text", "plain") and has_bf16 else []
    return [OURS, *PEERS, *more]


def read(file: Path = RESULTS) -> list[dict]:
    """The rows that were measured; a last line that a killed process left unfinished is no row."""
    rows = []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def append(row: dict, file: Path = RESULTS) -> None:
    """Write a row as soon as it is measured."""
    text = file.read_text() if file.exists() else ""
    with open(file, "a") as f:
        f.write(("" if not text or text.endswith("\n") else "\n") + json.dumps(row) + "\n")


def block_of(row: dict) -> tuple:
    """What is compared with each other: one case in one table, in one round, on one share of the data."""
    return row["case"], row["table"], row["round"], row["fraction"]


def blocks(rows: list[dict]) -> dict[tuple, dict[str, dict]]:
    """{block: {who: row}}; measured again, the later row counts."""
    found: dict[tuple, dict[str, dict]] = {}
    for row in rows:
        if "case" in row:
            found.setdefault(block_of(row), {})[row["who"]] = row
    return found


def augmented(rows: list[dict]) -> dict[tuple, dict[str, dict]]:
    """{(pixels a side, round, fraction): {way: row}} of the complete blocks; measured again, the later row counts."""
    found: dict[tuple, dict[str, dict]] = {}
    for row in rows:
        if "augmented" in row:
            found.setdefault((row["size"], row["round"], row["fraction"]), {})[row["augmented"]] = row
    return {key: block for key, block in found.items() if set(WAYS) <= set(block)}


def missing(rows: list[dict], cases, tables, rounds: int, fraction: float, has_bf16: bool) -> list[tuple]:
    """(case, table, round) still to be measured, round by round.

    A block that was interrupted is measured again as a whole: a ratio never mixes two processes.
    """
    done = blocks(rows)
    return [
        (case, table, i)
        for i in range(rounds)
        for case in cases
        for table in tables
        if not set(competitors(case, table, has_bf16)) <= set(done.get((case, table, i, fraction), ()))
    ]
