"""Numbers in the lessons' prose are those of the recorded runs: mean and interval of arm − baseline, recomputed.

A row of data/prose.csv holds the words as they stand in the lesson, on one line, and how to find their numbers: grids,
which runs, metric, arm − baseline, and by how much it is multiplied (100: points). Where the whole interval lies on one
side of 0 the words may say the sign ("lower by 0.42 (0.27 to 0.56)"); elsewhere the signs must be there. What a claim
or a cell asserts needs no row.
"""

import csv
import re
import sys
from functools import cache
from pathlib import Path

import pytest

import ftlib

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "lessons"))
import build  # noqa: E402

ROWS = list(csv.DictReader((ROOT / "tests" / "data" / "prose.csv").open(encoding="utf-8")))


@cache
def recorded(grids: str):
    files = [str(ROOT / "data" / "results" / f"{grid}.jsonl") for grid in grids.split()]
    return ftlib.load_runs(*files).query("purpose == 'measure'")


@cache
def prose(lesson: str) -> str:
    """The lesson with its comments unwrapped."""
    text = build.lessons([lesson])[0].read_text(encoding="utf-8")
    return re.sub(r"\n# +", " ", text)


def numbers(words: str) -> list[tuple[float, int]]:
    """(value, decimals) of the mean, and of the two in brackets or after "from": 0.16 (0.06 to 0.26)."""
    words = re.sub(r" at \d+( cells)?", "", words)  # of how many
    found = re.findall(r"[−+]?\d*\.?\d+", words)
    return [(float(x.replace("−", "-")), len(x.partition(".")[2])) for x in found][:3]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['lesson']}: {row['words']}")
def test_the_words_say_what_was_recorded(row):
    assert row["words"] in prose(row["lesson"])
    runs, times = recorded(row["grids"]), float(row["times"])
    d = ftlib.paired(runs.query(row["which"] or "seed >= 0"), row["metric"], row["arm"], row["baseline"])
    found, said = [times * value for value in (d.mean, d.low, d.high)], numbers(row["words"])
    if d.low * d.high > 0:  # the sign may stand in the words
        found = [abs(found[0]), *sorted(map(abs, found[1:]))]
        said = [(abs(value), decimals) for value, decimals in said]
        said = [said[0], *sorted(said[1:])]
    for value, (number, decimals) in zip(found, said, strict=True):
        assert abs(value - number) <= 0.5 * 10**-decimals + 1e-9, f"{row['words']!r} should say {found}"
