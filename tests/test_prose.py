"""Numbers in the lessons' prose are those of the recorded runs: mean and interval of arm − baseline, recomputed.

A row of lessons/<lesson>/prose.csv holds the words as they are in its text, lesson.py or depth.py, on one line. The
other columns say how to find their numbers: grids, which runs, metric, arm − baseline, and by how much it is multiplied
(100: points). Where the whole interval is on one side of 0 the words may say the sign ("lower by 0.42 (0.27 to 0.56)").
Elsewhere the signs must be there. What a claim or a cell asserts needs no row.
"""

import csv
import re
from functools import cache
from pathlib import Path

import pytest

import ftlib

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "lessons").glob("*/prose.csv"))
ROWS = [(file.parent, row) for file in FILES for row in csv.DictReader(file.open(encoding="utf-8"))]


@cache
def recorded(grids: str):
    files = [str(ROOT / "data" / "results" / f"{grid}.jsonl") for grid in grids.split()]
    return ftlib.load_runs(*files).query("purpose == 'measure'")


@cache
def prose(text: Path) -> str:
    """The lesson with its comments unwrapped."""
    text = text.read_text(encoding="utf-8")
    return re.sub(r"\n# +", " ", text)


def numbers(words: str) -> list[tuple[float, int]]:
    """(value, decimals) of the mean, and of the two in brackets or after "from": 0.16 (0.06 to 0.26)."""
    words = re.sub(r" at \d+( cells)?", "", words)  # of how many
    found = re.findall(r"[−+]?\d*\.?\d+", words)
    return [(float(x.replace("−", "-")), len(x.partition(".")[2])) for x in found][:3]


def test_the_rows_were_found():
    """Each file has rows. Lessons whose cells assert their numbers have no file."""
    assert FILES and {lesson for lesson, _ in ROWS} == {file.parent for file in FILES}


@pytest.mark.parametrize(
    ("lesson", "row"), ROWS, ids=[f"{lesson.name}, {row['text']}: {row['words']}" for lesson, row in ROWS]
)
def test_the_words_say_what_was_recorded(lesson, row):
    assert row["words"] in prose(lesson / f"{row['text']}.py")
    runs, times = recorded(row["grids"]), float(row["times"])
    d = ftlib.paired(runs.query(row["which"] or "seed >= 0"), row["metric"], row["arm"], row["baseline"])
    found, said = [times * value for value in (d.mean, d.low, d.high)], numbers(row["words"])
    if d.low * d.high > 0:  # the sign may stand in the words
        found = [abs(found[0]), *sorted(map(abs, found[1:]))]
        said = [(abs(value), decimals) for value, decimals in said]
        said = [said[0], *sorted(said[1:])]
    for value, (number, decimals) in zip(found, said, strict=True):
        assert abs(value - number) <= 0.5 * 10**-decimals + 1e-9, f"{row['words']!r} should say {found}"
