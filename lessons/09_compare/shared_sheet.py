"""The cheat sheet as data: sheet.json says which claims back an arrow, and the claims say what was measured.

Questions, strategies and pitfalls are written by hand, in sheet.json. Verdicts, numbers and advice are not: they are
read from the claims each time, so they can't go stale. An evidence of the file asks a question and names a row of a
claim, and the row answers: "G1 ✔ Better than random weights? Yes, +24 points (reviews)". `wants` says which answers
speak for the arrow. So an arrow whose claim is decided otherwise tomorrow says so by itself.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ftlib.classroom.verdicts import SIGNS, Claim, Line, claim
from ftlib.evidence.claims import NotRecorded
from ftlib.evidence.confirm import confirmation
from ftlib.evidence.confirm_files import Confirmation
from ftlib.io import places, typed
from ftlib.io.refusals import nearest
from ftlib.io.typed import Text, entry

FILE = Path(__file__).with_name("sheet.json")
ADVICE = "correct it there, or take the file back from git"
Answer = Literal["yes", "the opposite", "no difference"]
FOR, PARTLY, AGAINST, UNKNOWN = "for", "partly", "against", "unknown"  # what the runs say of an arrow
LEADS = {FOR: "", PARTLY: "In part.", AGAINST: "Our runs don't support this.", UNKNOWN: "We don't know."}


@entry
class Evidence:
    """A question that a row of a claim answers. `where` is what the row is called here, if not by its own label."""

    claim: Text
    asks: Text
    row: Text | None = None
    where: str | None = None
    wants: Annotated[list[Answer], Field(min_length=1)] = Field(default_factory=lambda: ["yes"])


@entry
class Arrow:
    """From an answer to what to do. It has evidence, or says in `unknown` what nobody has measured."""

    answer: Text
    strategy: Text  # the id of a strategy
    do: Text
    evidence: list[Evidence] = Field(default_factory=list)
    unknown: Text | None = None

    def __post_init__(self):
        if bool(self.evidence) == bool(self.unknown):
            has = "both" if self.evidence else "neither"
            raise ValueError(f"an arrow needs claims or 'unknown', but {self.answer!r} has {has}: give one of the two")


@entry
class Question:
    """`next` is the answer that leads on to the next question; the last question and the first have none."""

    id: Text
    asks: Text
    arrows: Annotated[list[Arrow], Field(min_length=1)]
    next: Text | None = None


@entry
class Strategy:
    """A card. `act` is the claim whose advice it shows."""

    id: Text
    lesson: Text
    name: Text
    use: Text
    measured: Evidence
    act: Text


@entry
class Pitfall:
    """A mistake of a lesson's section "Break it", and how it shows."""

    lesson: Text
    mistake: Text
    symptom: Text


@entry
class Sheet:
    """The whole file."""

    title: Text
    questions: Annotated[list[Question], Field(min_length=1)]
    strategies: Annotated[list[Strategy], Field(min_length=1)]
    pitfalls: Annotated[list[Pitfall], Field(min_length=1)]

    def strategy(self, name: str) -> Strategy:
        """The strategy with this id."""
        return next(one for one in self.strategies if one.id == name)


@dataclass(frozen=True)
class Said:
    """An evidence in words, at full length and in few. `state` is FOR, AGAINST or UNKNOWN."""

    claim: str
    sign: str
    full: str
    short: str
    state: str


def read(file: Path = FILE) -> Sheet:
    """The sheet of a file. ValueError, one sentence, where something is wrong or names what doesn't exist."""
    sheet = typed.check(Sheet, typed.parse(typed.read_text(file), str(file), ADVICE), str(file))
    known, lessons = {one.id for one in sheet.strategies}, places.lessons()
    arrows = [arrow for question in sheet.questions for arrow in question.arrows]
    for arrow in arrows:
        if arrow.strategy not in known:
            _refuse(file, "strategy", arrow.strategy, known)
    for one in [*sheet.strategies, *sheet.pitfalls]:
        if one.lesson not in lessons:
            _refuse(file, "lesson", one.lesson, lessons)
    cited = [evidence for arrow in arrows for evidence in arrow.evidence] + [one.measured for one in sheet.strategies]
    for name in [*(evidence.claim for evidence in cited), *(one.act for one in sheet.strategies)]:
        if name not in claim_ids():
            _refuse(file, "claim", name, claim_ids())
    for evidence in cited:
        if evidence.row is not None and evidence.row not in labels(evidence.claim):
            _refuse(file, f"row of claim {evidence.claim}", evidence.row, labels(evidence.claim))
    return sheet


def _refuse(file: Path, what: str, name: str, known) -> None:
    raise ValueError(
        f"{file}: there is no {what} {name!r}{nearest(name, known)}: there are {', '.join(sorted(map(str, known)))}"
    )


def claim_ids() -> list[str]:
    """The ids of all claims, decided or not."""
    return sorted(places.claims() | places.confirmations() | places.counted())


def labels(name: str) -> list[str]:
    """What the rows of a claim are called: by the rule that decides it, and where there is none by its pilot."""
    if written := _rule(name):
        return [row.label for row in written.rows]
    found = look_up(name)
    return [line.label for line in found.lines] if found else []


@cache
def look_up(name: str) -> Claim | None:
    """A claim as the records have it, and None as long as its first runs are missing."""
    try:
        return claim(name)
    except NotRecorded:
        return None


@cache
def _rule(name: str) -> Confirmation | None:
    return confirmation(name)


Find = Callable[[str], Claim | None]


def line_of(evidence: Evidence, found: Claim | None) -> Line | None:
    """The row that answers. The rows of a pilot don't, since its comparisons are others than those of the fresh seeds."""
    if found is None or (found.confirmed is None and _rule(evidence.claim)):
        return None
    lines = found.lines
    if evidence.row is None:
        return next((line for line in lines if line.word != "open"), lines[0])
    return next((line for line in lines if line.label == evidence.row), None)


def say(evidence: Evidence, find: Find = look_up) -> Said:
    """An evidence in words, with the verdict's sign."""
    found = find(evidence.claim)
    line = line_of(evidence, found)
    sign = SIGNS[found.verdict] if found else SIGNS["open"]
    if line is None:
        words = f"{evidence.asks} Not decided yet."
        return Said(evidence.claim, sign, words, words, UNKNOWN)
    where = line.label if evidence.where is None else evidence.where
    state = UNKNOWN if line.word == "open" else FOR if line.word in evidence.wants else AGAINST
    full, short = (f"{evidence.asks} {_answer(text, where)}." for text in (line.text, short_of(line)))
    return Said(evidence.claim, sign, full, short, state)


def short_of(line: Line) -> str:
    """A row's answer in few words: "yes, +24 points"."""
    word = {"yes": "yes", "the opposite": "no", "no difference": "no difference", "open": "can't tell yet"}[line.word]
    return word if line.word == "open" or not line.number else f"{word}, {line.number}"


def _answer(text: str, where: str) -> str:
    return f"{text[0].upper()}{text[1:]}" + (f" ({where})" if where else "")


def depends_on(arrow: Arrow, find: Find = look_up) -> dict[str, Line]:
    """{claim: one more row}, for each claim that depends on something where the arrow's own rows don't say on what."""
    words: dict[str, set[str]] = {}
    for evidence in arrow.evidence:
        line = line_of(evidence, find(evidence.claim))
        words.setdefault(evidence.claim, set()).update({line.word} if line else ())
    found = {name: find(name) for name, said in words.items() if len(said) == 1}
    others = {
        name: [line for line in one.lines if line.word not in words[name]]
        for name, one in found.items()
        if one and one.verdict == "it depends"
    }
    return {name: min(lines, key=lambda line: len(line.label)) for name, lines in others.items() if lines}


def say_all(arrow: Arrow, find: Find = look_up) -> list[Said]:
    """The evidence of an arrow. Where a claim depends on something, one more row says on what."""
    said = [say(evidence, find) for evidence in arrow.evidence]
    for name, line in depends_on(arrow, find).items():
        at = max(i for i, one in enumerate(said) if one.claim == name)
        full, short = (f"But {text} ({line.label})." for text in (line.text, short_of(line)))
        said[at] = replace(said[at], full=f"{said[at].full} {full}", short=f"{said[at].short} {short}")
    return said


def state_of(arrow: Arrow, find: Find = look_up) -> str:
    """FOR if rows speak for the arrow, AGAINST if they speak against it, PARTLY if both, UNKNOWN if none has decided."""
    states = {say(evidence, find).state for evidence in arrow.evidence}
    if {FOR, AGAINST} <= states:
        return PARTLY
    return FOR if FOR in states else AGAINST if AGAINST in states else UNKNOWN


def evidence_of(arrow: Arrow, find: Find = look_up, short: bool = False) -> str:
    """What stands on an arrow, in one text. Each claim is named once, with its sign."""
    state = state_of(arrow, find)
    parts = ["" if short and arrow.evidence and state == UNKNOWN else LEADS[state], arrow.unknown or ""]
    before = None
    for one in say_all(arrow, find):
        name = "" if one.claim == before else f"**{one.claim}\N{NO-BREAK SPACE}{one.sign}** "
        parts.append(f"{name}{one.short if short else one.full}")
        before = one.claim
    return " ".join(part for part in parts if part)


def signs_of(lesson: str, find: Find = look_up) -> str:
    """All claims of a lesson by their sign: "✔ F2 F4 F5 G1 ± F1 ? F3"."""
    files = places.confirmations() | places.claims() | places.counted()
    names = [name for name, file in sorted(files.items()) if file.parts[-3] == lesson]
    verdicts = {name: found.verdict if (found := find(name)) else "open" for name in names}
    groups = ((sign, [n for n in names if verdicts[n] == verdict]) for verdict, sign in SIGNS.items())
    return "  ".join(f"{sign} {' '.join(group)}" for sign, group in groups if group)


def advice_of(strategy: Strategy, find: Find = look_up) -> str:
    """What to do, by the verdict of today."""
    found = find(strategy.act)
    return found.act if found else "Compare on your own data. This is not measured yet."


def page(sheet: Sheet, find: Find = look_up) -> str:
    """All words of the sheet as Markdown."""
    parts = [
        f"# {sheet.title}",
        "This page is made by `make sheet` from the claims, and it says what [the drawn sheet](cheat_sheet.svg) "
        "([PDF](cheat_sheet.pdf)) says. Go from top to bottom. Each answer may add a strategy. The sign is that of the "
        "whole claim, and the words are one of its rows. [How to read a verdict](verdicts.md) explains the words.",
    ]
    for question in sheet.questions:
        lines = [f"## {question.asks}"]
        for arrow in question.arrows:
            one = sheet.strategy(arrow.strategy)
            link = f"[{one.lesson[:2]} {one.name}](../notebooks/{one.lesson}.ipynb)"
            lines.append(f"- **{arrow.answer}** → {link}: **{arrow.do}**. {evidence_of(arrow, find)}")
        lines += [f"- {question.next}: go on."] if question.next else []
        parts.append("\n".join([lines[0], "", *lines[1:]]))
    rows = ["| strategy | for | we measured | what to do | claims |", "|---" * 5 + "|"]
    for one in sheet.strategies:
        said = say(one.measured, find)
        measured = f"{said.claim} {said.sign} {said.full}"
        claims = signs_of(one.lesson, find)
        rows.append(f"| {one.lesson[:2]} {one.name} | {one.use} | {measured} | {advice_of(one, find)} | {claims} |")
    parts += ["## The eight strategies", "\n".join(rows)]
    rows = ["| lesson | mistake | symptom |", "|---" * 3 + "|"]
    rows += [f"| {one.lesson[:2]} | {one.mistake} | {one.symptom} |" for one in sheet.pitfalls]
    parts += ["## Eight pitfalls", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def plain(markdown: str) -> str:
    """The words without markup, for those who can't see the sheet."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    words = re.sub(r"^\|[-|]+\|$", "", words, flags=re.M)
    return " ".join(re.sub(r"[*`#]|^[-|] ?| \|$", "", words, flags=re.M).replace(" | ", ". ").split())
