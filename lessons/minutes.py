"""How long a section takes a learner: an estimate by rule, which the headings print and a test checks.

Reading: 150 words of prose per minute, 12 lines of code per minute. Doing: 1 minute per prediction or question, 3 per
task with a widget, 5 per exercise in the core, 10 per exercise in the lab, where learners write more. A verdict box takes
half a minute, and a card one and a half. Cells that a learner doesn't see (tags "guard" and "teacher") take no time,
and neither do lists of sources.

python lessons/minutes.py [NAME ...]             prints the estimate of each section
python lessons/minutes.py --write [NAME ...]     writes them into the headings and the opening's table
"""

import math
import re
import sys
from dataclasses import dataclass

from nbformat import NotebookNode

import cells
from ftlib.io.writing import write_text

WORDS, LINES = 150, 12  # per minute
QUESTION, TASK, EXERCISE, LAB_EXERCISE = 1, 3, 5, 10  # minutes
BOX, CARD = 0.5, 1.5  # minutes
UNSEEN = {"guard", "teacher"}


@dataclass
class Section:
    """A section's heading, its estimate in minutes, the number that the heading prints, and whether it is lab."""

    heading: str
    minutes: float
    printed: int | None
    lab: bool


def sections(notebook: NotebookNode) -> list[Section]:
    """Estimate each section of a lesson, the opening included."""
    return [_section(section) for section in cells.sections(cells.student(notebook))]


def _section(section: list[NotebookNode]) -> Section:
    heading = next(line for line in section[0].source.splitlines() if line.startswith("#"))
    printed = re.search(r"\((\d+) minutes?\)$", heading)
    in_lab = "Lab:" in heading or "More questions" in heading
    seen = [cell for cell in section if not UNSEEN & set(cell.metadata.get("tags", []))]
    minutes = sum(_cell(cell, LAB_EXERCISE if in_lab else EXERCISE) for cell in seen)
    return Section(heading.lstrip("# "), minutes, printed and int(printed[1]), in_lab)


def _cell(cell: NotebookNode, exercise: int) -> float:
    if cell.cell_type == "markdown":
        return words(cell.source) / WORDS
    if cells.tagged(cell, "exercise"):
        return exercise
    lines = [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]
    asked = len(re.findall(r"widgets\.predict\(", cell.source))
    asked += sum(names.count(",") for names in re.findall(r"widgets\.quiz\(([^)]*)\)", cell.source))
    tasks = 0 if cells.tagged(cell, "check") else len(re.findall(r"teach\.check\(", cell.source))
    read = BOX * cell.source.count("teach.claim(") + CARD * cell.source.count("teach.card(")
    return len(lines) / LINES + QUESTION * asked + TASK * tasks + read


def words(text: str) -> int:
    """The words of prose in Markdown: no formulas, diagrams, links' targets, rules of tables, or sources."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$|^\*\*Sources?\.\*\*.*?(?=\n\n|\Z)", " ", text, flags=re.S | re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return len(re.findall(r"[^\W_]+(?:[-'’.,][^\W_]+)*", text))


def whole(minutes: float) -> int:
    """Minutes as they are printed: at least 1, halves rounded up."""
    return max(1, math.floor(minutes + 0.5))


def totals(notebook: NotebookNode) -> tuple[int, int]:
    """The minutes of (core, lab) in the opening's table: the sums of the printed numbers, with the opening."""
    found = sections(notebook)
    return tuple(sum(whole(section.minutes) for section in found if section.lab == lab) for lab in (False, True))


def written(text: str, notebook: NotebookNode, depth: int = 0) -> str:
    """A source with its estimates in the headings and in the opening's table; depth: those of the depth notebook."""
    for section in sections(notebook)[1:]:
        name = re.sub(r" \([M\d]+ minutes?\)$", "", section.heading)
        n = whole(section.minutes)
        text = re.sub(
            rf"^# ## {re.escape(name)} \([M\d]+ minutes?\)$",
            lambda _, name=name, n=n: f"# ## {name} ({n} minute{'s' if n > 1 else ''})",
            text,
            flags=re.M,
        )
    for part, minutes in zip(("core", "lab", "depth"), (*totals(notebook), depth)):
        text = re.sub(rf"^(# \| \*\*{part}\*\* \|[^|]*\|) \d+ \|", rf"\g<1> {minutes} |", text, flags=re.M)
    return text


def main() -> None:
    """Print the estimates of all lessons, or of those that are named, or write them."""
    import build

    names = [name for name in sys.argv[1:] if name != "--write"]
    for source in build.lessons(names):
        notebook = build.read(source)
        if "--write" in sys.argv:
            depth = source.with_name("depth.py")
            deep = totals(build.read(depth))[0] if depth.exists() else 0
            write_text(source, written(source.read_text(encoding="utf-8"), notebook, deep))
        core, lab = totals(notebook)
        print(f"{build.name_of(source)}: core {core}, lab {lab}")
        for section in sections(notebook):
            print(f"  {section.minutes:4.1f}  {section.heading}")


if __name__ == "__main__":
    main()
