"""CONTRIBUTING.md names the files that a contributor touches; every strategy, task and lesson of the kit has them."""

import re
from pathlib import Path

import pytest

from ftlib import strategies, tasks
from ftlib.evidence.confirm_files import read_confirmation
from ftlib.io import places

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = re.compile(r"^\| `([^`]+)` \|", re.M)


def named(heading: str) -> list[str]:
    """The files in the table below a heading."""
    return ROWS.findall(PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0])


def missing(patterns: list[str], **names: str) -> list[str]:
    """The patterns that no file fits; what has no name yet may be anything."""
    found = []
    for pattern in patterns:
        for word, name in names.items():
            pattern = pattern.replace(f"<{word}>", name)
        pattern = re.sub(r"<\w+>", "*", pattern)
        found += [] if list(ROOT.glob(pattern)) else [pattern]
    return found


EXTRA = ("widget*.py", "figure_*.py", "test_*.py", "prose.csv", "questions.*.json", "confirm/*.json", "diagrams/*.svg")
EXTRA += ("counts/*.json", "shared_*.py", "sheet.json")
COUNTED = {"10_tools"}  # its claim is counted from the exports and a record of the tools, so no run decides it
WITHOUT_CLAIMS = {"09_compare"}  # it shows the runs of all others, and strategies side by side
LESSONS = [name for name in places.lessons() if not name.startswith("00")]
STRATEGIES = sorted(set(strategies.CATALOG.values()))


def test_the_tables_were_found():
    assert [len(named(f"Add a {what}")) for what in ("strategy", "task", "lesson")] == [4, 5, 11]
    assert missing(["lessons/<lesson>/nothing.py"], lesson="01_full") == ["lessons/01_full/nothing.py"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_has_the_files_that_the_page_names(name):
    assert missing(named("Add a strategy"), name=name) == []


@pytest.mark.parametrize("name", tasks.CATALOG)
def test_a_task_has_the_files_that_the_page_names(name):
    assert missing(named("Add a task"), name=name) == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_has_the_files_that_the_page_names_and_no_others(lesson):
    patterns = named("Add a lesson")
    grids = [name for name, file in places.grids().items() if file.parts[-3] == lesson]
    without = lesson in COUNTED | WITHOUT_CLAIMS
    assert bool(grids) != (lesson in COUNTED), f"{lesson} has no grid: write lessons/{lesson}/grids/{lesson}.json"
    lacks = missing(patterns, lesson=lesson)
    if list((ROOT / "lessons" / lesson).glob("confirm/*.json")):  # a claim needs no pilot where fresh seeds decide it
        lacks = [pattern for pattern in lacks if "/claims/" not in pattern]
    if without:
        assert bool(list((ROOT / "lessons" / lesson).glob("counts/*.json"))) == (lesson in COUNTED)
        needless = ("/claims/", "/grids/", "/depth.py", "data/results/")
        lacks = [pattern for pattern in lacks if not any(part in pattern for part in needless)]
    assert not lacks, f"{lesson} lacks {', '.join(lacks)}"
    waiting = {row.grid for file in places.confirmations().values() for row in read_confirmation(file).rows}
    waiting |= set(grids if lesson in WITHOUT_CLAIMS else ())
    for grid in grids:
        if grid in waiting and not (places.results() / f"{grid}.jsonl").exists():
            continue  # its rule, or its design, is committed before its runs
        assert missing([pattern for pattern in patterns if "<grid>" in pattern], lesson=lesson, grid=grid) == []
    folder = f"lessons/{lesson}/"
    known = [re.sub(r"<\w+>", "*", p.replace("<lesson>", lesson)) for p in patterns]
    known += [folder + extra for extra in EXTRA]
    files = [f for f in (ROOT / folder).rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    assert files and [f for f in files if not any(f.relative_to(ROOT).match(pattern) for pattern in known)] == []


def test_the_table_of_lessons_has_a_row_for_every_lesson():
    table = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    lacks = [name for name in LESSONS if f"(../notebooks/{name}.ipynb)" not in table]
    assert not lacks, f"the table in docs/lessons.md has no row for {', '.join(lacks)}"


def test_every_path_on_the_page_is_there():
    words = [w for w in re.findall(r"`([\w./<>*-]+)`", PAGE) if "/" in w and not w.startswith((".venv", "build/"))]
    assert len(words) > 25 and missing(words) == []


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/**/*.md"), *ROOT.glob("lessons/*/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("http") and not (page.parent / link).exists()] == []
