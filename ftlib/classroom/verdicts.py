"""claim(): the verdict box. A line per row in words with one number, what to do about it, and the evidence folded up.

A claim that was decided on fresh seeds (`evidence.confirm`) shows that answer, and its pilot below it if it had one.
One that was not shows its pilot (`evidence.claims`). One about tools is counted and not measured (`tools.coverage`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ftlib.classroom.text import Text
from ftlib.evidence import claims, confirm
from ftlib.evidence.claims import Judged
from ftlib.evidence.confirm import Answer, Confirmed
from ftlib.io import places
from ftlib.tools.coverage import STRATEGIES, Counted, Row, count, read_counted

HOW_TO_READ = "[How to read this](../docs/verdicts.md)"
SIGNS = {"supported": "✔", "contradicted": "✘", "no difference": "=", "it depends": "±", "open": "?"}
RATIO = "log2 of the ratio of "
ROW_SIGNS = {"yes": "✔", "the opposite": "✘", "no difference": "=", "open": "?"}
ROWS_OF_A_PILOT = {"supported": "yes", "contradicted": "the opposite", "equivalent": "no difference"}
LABELS = {"elpv": "solar cells", "sentiment/amazon": "reviews", "digits/mnist": "digits", "all": "all tasks"}
ACT = {  # where a claim's file does not say it
    "supported": "Count on it for data like these.",
    "contradicted": "Don't count on it.",
    "no difference": "Choose by cost. The difference is too small to matter.",
    "it depends": "Compare both on your own data. The answer differs from task to task.",
    "open": "Don't choose by this. Compare both on your own data.",
}
SCORES = ("accuracy", "f1", "auroc", "match", "pearson")  # in a metric's name: a score, which is shown in points


@dataclass
class Line:
    """One row in words."""

    label: str
    word: str
    number: str  # with its unit

    @property
    def text(self) -> str:
        """A sentence without a full stop."""
        if self.word == "open":
            return f"can't tell yet: {self.number} would probably have shown" if self.number else "can't tell yet"
        said = {"yes": "yes", "the opposite": "no, the opposite", "no difference": "no difference that matters"}
        return f"{said.get(self.word, self.word)}, {self.number}"


class Claim(Text):
    """A claim with its verdict, shown as a box.

    The attribute `verdict` is "supported", "contradicted", "no difference", "it depends" or "open". The attribute
    `rows` has one row per task and contrast of the pilot. The deciding rows come first. The attribute `lines` says in
    words what each row shows, and `act` what to do about it.

    Parameters
    ----------
    judged : ftlib.evidence.claims.Judged or None
        The pilot with its result, if the claim had one.
    confirmed : ftlib.evidence.confirm.Confirmed, optional
        The answers of fresh seeds. Without any, the pilot is shown.
    counted : ftlib.tools.coverage.Counted, optional
        A claim about tools, which is counted. Then there are no runs, and so neither of the others.

    Examples
    --------
    >>> claim = ftlib.teach.claim("Z1")
    >>> claim.verdict
    'supported'
    >>> claim.rows.decides.value_counts().to_dict()
    {False: 6, True: 2}
    """

    def __init__(self, judged: Judged | None, confirmed: Confirmed | None = None, counted: Counted | None = None):
        self.confirmed, self.counted = confirmed, counted
        self.rows = judged.rows if judged else pd.DataFrame({"decides": []})
        pilot = lines_of_a_pilot(judged) if judged else []
        self.pilot = word_of_lines(pilot) if judged else ""
        written = counted or (confirmed.written if confirmed else judged.written)
        self.id, self.sentence = written.id, written.sentence
        prior = judged.written.prior if judged else written.prior or "nothing in particular."
        if counted is not None:
            found = count(counted)
            self.lines = lines_of_a_count(found)
            self.verdict = word_of_lines(self.lines)
            self.act = counted.act.get(self.verdict, ACT[self.verdict])
            evidence = f"*The rule, committed before the record:* {counted.rule}\n\n{_counts(found)}"
        elif confirmed is not None:
            self.verdict, self.lines = confirmed.word, [line_of(answer) for answer in confirmed.answers]
            self.act = written.act.get(self.verdict, ACT[self.verdict])
            evidence = f"*The rule, committed before its runs:* {written.rule}\n\n{_answers(confirmed.answers)}"
            if judged:
                seeds = " or ".join(map(str, sorted(set(self.rows.seeds))))
                evidence += (
                    f"\n\n*The pilot, {seeds} seeds ({self.pilot}):* {judged.written.rule}\n\n{_table(self.rows)}"
                )
        else:
            self.verdict, self.lines, self.act = self.pilot, pilot, written.act or ACT[self.pilot]
            evidence = f"*The rule, written before the results were seen:* {written.rule}\n\n{_table(self.rows)}"
        shown = "\n".join(f"> - {ROW_SIGNS[line.word]} **{line.label}**: {line.text}" for line in self.lines)
        super().__init__(
            f"> **{SIGNS[self.verdict]} {self.verdict.capitalize()}.** {self.sentence} *(claim {self.id})*\n>\n"
            f"{shown}\n>\n> **Act on it:** {self.act}\n\n"
            f"<details><summary>How we know</summary>\n\n{evidence}\n\n"
            f"What the literature led us to expect: {prior}\n\n</details>\n\n{HOW_TO_READ}"
        )


def claim(name: str, verdict: str | None = None) -> Claim:
    """Show what the recorded runs say of a claim.

    Parameters
    ----------
    name : str
        Id of the claim, such as "Z1".
    verdict : str, optional
        The verdict that the lesson's text states. It is compared with the verdict of the runs.

    Returns
    -------
    Claim

    Raises
    ------
    KeyError
        If there is no such claim.
    NotRecorded
        If some of its runs are missing.
    AssertionError
        If the runs give another verdict than the lesson's text.

    Examples
    --------
    >>> claim = ftlib.teach.claim("Z1", verdict="supported")
    >>> str(claim).splitlines()[0]
    '> ✔ Supported. Freezing layers saves training time and computation. (claim Z1)'
    """
    if name in places.counted():
        return _stated(Claim(None, counted=read_counted(places.counted()[name])), name, verdict)
    written = confirm.confirmation(name)
    confirmed = confirm.confirm(name) if written else None
    if confirmed and any(answer.look is None for answer in confirmed.answers):
        confirmed = None  # the first look of some row is not complete
    if written and not confirmed and name not in places.claims():
        grids = sorted({row.grid for row in written.rows})
        raise claims.NotRecorded(
            f"claim {name} needs the first look at {', '.join(grids)}, which is not complete: "
            f"`make record GRID={grids[0]}` makes its runs"
        )
    pilot = claims.judge(name) if not written or name in places.claims() else None
    return _stated(Claim(pilot, confirmed), name, verdict)


def _stated(found: Claim, name: str, verdict: str | None) -> Claim:
    if verdict not in (None, found.verdict):
        raise AssertionError(
            f"claim {name}: the lesson says {verdict!r}, but the recorded runs say {found.verdict!r}: change the text"
        )
    return found


def word_of_lines(lines: list[Line]) -> str:
    """The word of a claim whose rows have these words."""
    words = {line.word for line in lines}
    if "open" in words:
        return "open"
    if len(words) > 1:
        return "it depends"
    return {"yes": "supported", "the opposite": "contradicted"}.get(*words, "no difference")


def lines_of_a_pilot(judged: Judged) -> list[Line]:
    """The deciding rows of a claim's pilot in words. Rows of one task are told apart by what they compare."""
    rows = judged.rows[judged.rows.decides].to_dict("records")
    tasks = [row["task"] for row in rows]
    compared = [f"{row['task']} {row['effect of']}" for row in rows]
    lines = []
    for row in rows:
        label = LABELS.get(row["task"], row["task"])
        if tasks.count(row["task"]) > 1:
            label += f", {row['effect of']}"
            if compared.count(f"{row['task']} {row['effect of']}") > 1:
                label += f", {row['on']}"
        word = ROWS_OF_A_PILOT.get(row["verdict"], "open")
        value = row["detectable"] if word == "open" else row["effect"]
        lines.append(Line(label, word, _in_unit(value, row["on"], signed=word != "open")))
    return lines


def _in_unit(value: float, on: str, signed: bool = True) -> str:
    """A number of the pilot with its unit: scores in points, all else as it was measured."""
    sign = "+" if signed else ""
    if not np.isfinite(value):
        return ""
    if any(part in on.lower() for part in SCORES):
        return number_with_unit(value, "points", signed)
    if on.startswith(RATIO):
        factor = 2 ** (value if signed else abs(value))
        return f"{factor:.2g} times the {on.removeprefix(RATIO)}"
    return number_with_unit(value, on, signed) if on.startswith("nats") else f"{value:{sign}.2g} ({on})"


def line_of(found: Answer) -> Line:
    """The answer of one row in words. Its first look is complete."""
    value = found.look.seen if found.word == "open" else found.look.effect
    number = number_with_unit(value, found.row.unit, signed=found.word != "open")
    small = found.word in ("yes", "the opposite") and found.look.small and found.row.expects != "same"
    return Line(found.row.label, found.word, f"but little: {number}" if small else number)


def number_with_unit(value: float, unit: str, signed: bool = True) -> str:
    """A number as a learner reads it: "+23 points", "3.1 times as much", "+0.31 nats"."""
    sign = "+" if signed else ""
    if unit == "times":
        return f"{2**value:.2g} times as much" if signed else f"{2 ** abs(value):.2g} times"
    if unit.startswith("points"):
        value = round(100 * value, 1) + 0.0  # and no "−0.0"
        return f"{value:{sign}.{0 if abs(value) >= 9.95 else 1}f} {unit}".replace("-", "−", 1)
    return f"{value:{sign}.2f} {unit}".replace("-", "−", 1)


def lines_of_a_count(rows: list[Row]) -> list[Line]:
    """The rows of a counted claim in words."""
    said = [f"{row.mine} of {len(STRATEGIES)} strategies against {row.theirs}" for row in rows]
    return [
        Line(f"against {row.tool}", row.word, number if row.word != "open" else "") for row, number in zip(rows, said)
    ]


def _counts(rows: list[Row]) -> str:
    """The rows of a counted claim in Markdown."""
    lines = ["| against | strategies that count | levels | answer |", "|---" * 4 + "|"]
    for row in rows:
        levels = " and ".join("–" if level is None else str(level) for level in row.levels)
        lines.append(f"| {row.tool} | {row.mine} and {row.theirs} | {levels} | {row.word} |")
    return "\n".join(lines)


def _answers(answers: list[Answer]) -> str:
    """The rows of a confirmation in Markdown."""
    head = "| row | compared | effect | 98.8 % interval | 97.4 % interval | margin | seeds | answer |"
    lines = [head, "|---" * 8 + "|"]
    for found in answers:
        row, look = found.row, found.look
        compared = f"{row.arm} − {row.baseline}, {row.metric}"
        lines.append(
            f"| {row.label} | {compared} | {look.effect:+.3f} | [{look.low:+.3f}, {look.high:+.3f}] "
            f"| [{look.inner_low:+.3f}, {look.inner_high:+.3f}] | ±{row.margin:g} | {look.seeds} | {found.word} |"
        )
    return "\n".join(lines)


def _table(rows: pd.DataFrame) -> str:
    """The rows of a pilot in Markdown, those that decide first."""
    lines = ["| task | comparison | effect [95 % interval] | seeds | would have seen | reading |", "|---" * 6 + "|"]
    for row in rows.to_dict("records"):
        lines.append(
            f"| {row['task']} | {row['effect of']}, {row['on']} | {row['effect']:+.3f} [{row['low']:+.3f}, "
            f"{row['high']:+.3f}] | {row['seeds']} | {row['detectable']:.3f} | "
            f"{ROWS_OF_A_PILOT.get(row['verdict'], 'open')}{'' if row['decides'] else ' (not part of the claim)'} |"
        )
    return "\n".join(lines)
