"""What was done with own data: a row as it was read, and the report of all rows."""

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from warnings import warn

import pandas as pd

SHOWN = 3  # problems named in the warning
LISTED = 20  # problems listed where a report is printed
OUT = "left out: "


@dataclass
class Row:
    """One example as it was read."""

    file: str  # relative to the path that was given
    line: int | None  # where the example begins in the file
    label: str = ""
    inputs: object = None  # a text, pixels, or the turns of a chat
    content: tuple[str, ...] = ()  # keys: rows that share one are duplicates
    split: str = ""  # as the user cut it
    group: str = ""
    answers: dict[str, str | float] = field(default_factory=dict)  # question -> its label, or a number


@dataclass
class Report:
    """What was read, what was left out, and what was noticed.

    Parameters
    ----------
    what : str
        What is counted: "images", "rows" or "chats".
    found : int
        Number of examples that were there.
    left_out : Counter of str
        Examples that aren't used, by the kind of problem.
    noticed : Counter of str
        Examples that are used although something is unusual, by kind.
    notes : list of str
        Decisions about the whole, such as the delimiter of a table.
    rows : list of tuple
        (file, line, problem) of each problem, in the order of files and lines.

    Attributes
    ----------
    problems : DataFrame
        One row per problem, with the columns file, line and problem.
    used : int
        Number of examples that are used.

    Examples
    --------
    >>> task = ftlib.load_task("folder", path=ftlib.tasks.example("folder"))
    >>> print(task.report)
    72 of 72 images are used.
    """

    what: str
    found: int = 0
    left_out: Counter = field(default_factory=Counter)
    noticed: Counter = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    rows: list[tuple] = field(default_factory=list, repr=False)

    @property
    def problems(self) -> pd.DataFrame:
        """One row per problem: file, line (missing for images) and problem."""
        table = pd.DataFrame(self.rows, columns=["file", "line", "problem"])
        return table.astype({"file": str, "line": "Int64", "problem": str})

    @property
    def used(self) -> int:
        """How many examples are used."""
        return self.found - self.left_out.total()

    def leave_out(self, row: Row, kind: str, problem: str = "") -> None:
        """Count an example that isn't used."""
        self.left_out[kind] += 1
        self.add(row.file, row.line, f"{OUT}{problem or kind}")

    def notice(self, row: Row, kind: str, problem: str = "") -> None:
        """Count an example that is used."""
        self.noticed[kind] += 1
        self.add(row.file, row.line, problem or kind)

    def add(self, file: str, line: int | None, problem: str) -> None:
        """List a problem, in the order of files and lines."""
        insort(self.rows, (file, line, problem), key=lambda row: (row[0], row[1] or 0))

    def _lines(self) -> list[str]:
        lines = [f"{self.used:,} of {self.found:,} {self.what} are used."]
        lines += [f"Left out: {count:,} × {kind}." for kind, count in self.left_out.most_common()]
        lines += [f"Noticed: {count:,} × {kind}." for kind, count in self.noticed.most_common()]
        return lines + [note[0].upper() + note[1:] + "." for note in self.notes]

    def __str__(self) -> str:
        table = self.problems
        shown = table.head(LISTED).to_string(index=False, na_rep="") if len(table) else ""
        more = f"… and {len(table) - LISTED} more in .problems" if len(table) > LISTED else ""
        return "\n".join(filter(None, [*self._lines(), shown, more]))

    def _repr_markdown_(self) -> str:
        def cell(value) -> str:
            text = "" if value is None else str(value)
            for character in "\\`*_<|[":
                text = text.replace(character, f"\\{character}")
            return text.replace("\n", " ")

        first, *rest = self._lines()
        lines = [f"**{first}**", "", *(f"- {line}" for line in rest)]
        if self.rows:
            lines += ["", "| file | line | problem |", "|---|---|---|"]
            lines += ["| " + " | ".join(map(cell, row)) + " |" for row in self.rows[:LISTED]]
        if len(self.rows) > LISTED:
            lines += ["", f"… and {len(self.rows) - LISTED} more in `.problems`."]
        return "\n".join(lines)

    def warn(self, name: str) -> None:
        """One warning if something was left out; it names the first problems."""
        if self.left_out:
            out = [row for row in self.rows if row[2].startswith(OUT)]
            first = "; ".join(
                f"{f}{f', line {line}' if line else ''}: {why[len(OUT) :]}" for f, line, why in out[:SHOWN]
            )
            count = f"{self.left_out.total():,} of {self.found:,} {self.what} of {name}"
            was, more = "was" if self.left_out.total() == 1 else "were", "; …" if len(out) > SHOWN else ""
            warn(f"{count} {was} left out: {first}{more} (task.report shows all)", stacklevel=5)
