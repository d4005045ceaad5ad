"""The card that opens a lesson, and the page of all claims, docs/claims.md. Both are made from the records.

python -m ftlib claims      writes docs/claims.md anew
"""

from pathlib import Path

from ftlib.classroom.text import Text
from ftlib.classroom.verdicts import SIGNS, Claim, claim
from ftlib.evidence import claims
from ftlib.evidence.claims import NotRecorded
from ftlib.evidence.confirm import confirmation
from ftlib.evidence.runs import load_records
from ftlib.io import places
from ftlib.io.writing import write_text

PAGE = "docs/claims.md"


def card(lesson: str) -> Text:
    """Make the card that opens a lesson: what people say, what was measured, and what to do about it.

    Parameters
    ----------
    lesson : str
        The lesson's folder, such as "01_full".

    Returns
    -------
    Text
        A table with one row per claim of the lesson.

    Raises
    ------
    FileNotFoundError
        If there is no such lesson.
    NotRecorded
        If some runs of a claim are missing.

    Examples
    --------
    >>> print(str(ftlib.teach.card("02_freezing")).splitlines()[0])
    | people say | we measured | what to do |
    """
    places.lesson(lesson)
    rows = ["| people say | we measured | what to do |", "|---|---|---|"]
    for found in claims_of(lesson):
        rows.append(f"| {found.sentence} | {SIGNS[found.verdict]} {phrase(found)} | {found.act} |")
    return Text("\n".join(rows))


def claims_of(lesson: str) -> list[Claim]:
    """The claims of a lesson, in the order of their ids."""
    return [claim(name) for name in names_of(lesson)]


def names_of(lesson: str) -> list[str]:
    """The ids of a lesson's claims. A claim has a pilot, a confirmation or both, or is counted."""
    files = places.confirmations() | places.claims() | places.counted()
    return [name for name, file in sorted(files.items()) if file.parts[-3] == lesson]


def phrase(found: Claim) -> str:
    """A claim's verdict in one phrase, with the rows that are decided."""
    said = "; ".join(f"{line.label}: {line.text}" for line in found.lines if line.word != "open")
    return f"**{found.verdict}**" + (f" ({said})" if said else "")


def page() -> str:
    """Every claim with its verdict, effect, seeds and cost, its pilot next to its confirmation, as Markdown."""
    parts = [
        "# Claims",
        "This page is made by `python -m ftlib claims` from the recorded runs. [How to read a verdict](verdicts.md) "
        "explains the words. *Pilot* is the verdict of the first runs of a claim. *Confirmation* is the verdict of "
        "fresh seeds, by a rule that was committed before they were run. *Cost* is the training time of all recorded "
        "runs of its grids, in core-hours.",
    ]
    for lesson in places.lessons():
        if names := names_of(lesson):
            parts += [f"## {lesson}", _table(names)]
    return "\n\n".join(parts) + "\n"


def _table(names: list[str]) -> str:
    lines = ["| claim | sentence | pilot | confirmation | rows | seeds | cost, core-hours |", "|---" * 7 + "|"]
    for name in names:
        try:
            found = claim(name)
        except NotRecorded:
            written = confirmation(name) or claims.load_claim(name)
            lines.append(f"| {name} | {written.sentence} | not recorded | – | – | – | – |")
            continue
        said = "<br>".join(f"{line.label}: {line.text}" for line in found.lines)
        if found.counted is not None:
            seeds, grids, word = "–", set(), f"{SIGNS[found.verdict]} {found.verdict}, counted"
        elif found.confirmed is None:
            deciding = found.rows[found.rows.decides]
            seeds, grids, word = str(deciding.seeds.max()), _grids_of_a_pilot(name), "–"
        else:
            seeds = ", ".join(str(one.look.seeds) for one in found.confirmed.answers)
            grids = {one.row.grid for one in found.confirmed.answers}
            word = f"{SIGNS[found.verdict]} {found.verdict}"
        pilot = f"{SIGNS[found.pilot]} {found.pilot}" if found.pilot else "–"
        lines.append(f"| {name} | {found.sentence} | {pilot} | {word} | {said} | {seeds} | {core_hours(grids):.2f} |")
    return "\n".join(lines)


def _grids_of_a_pilot(name: str) -> set[str]:
    written = claims.load_claim(name)
    return {written.grid} if isinstance(written.grid, str) else set(written.grid)


def core_hours(grids: set[str]) -> float:
    """Training time of all runs of some grids, times their threads."""
    total = 0.0
    for grid in grids:
        for record in load_records(places.results() / f"{grid}.jsonl"):
            total += record["seconds"]["training"] * record["provenance"].get("threads", 1)
    return total / 3600


def write_page() -> Path:
    """Write docs/claims.md anew."""
    file = places.ROOT / PAGE
    write_text(file, page())
    return file
