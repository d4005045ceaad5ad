"""Which of the kit's eight strategies each tool expresses. The exports themselves are asked, so it can't go stale.

And a claim that is counted and not measured, lessons/<lesson>/counts/<id>.json: one tool against each other one. A
strategy counts for a tool if its export expresses it whole. For the tool of the sentence it counts only if the tool has
trained from an export, as `make tools` has recorded in data/results/tools.json. The claim's words are in
`classroom.verdicts`.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from ftlib.evidence.spec import Phase, Spec
from ftlib.io import places, typed
from ftlib.io.typed import Positive, Text, entry
from ftlib.tools.hand_over import TOOLS, tool
from ftlib.tools.page import lost_in

TASK, ONE, OTHER = "instructions/nyt", "instructions/nyt:train", "instructions/tweets:train"
CHATS = [[("user", "Is copper a metal?"), ("assistant", "Yes.")]] * 4
LORA = {"LoRA": {"r": 16}}
MIX = {"MultiTask": {"tasks": {"train": 2, "more": 2}, "weights": {"train": 0.7, "more": 0.3}}}
STRATEGIES = {  # name -> (phases, rows, NEFTune's noise, how the lines begin that take the strategy away)
    "full": ([([], {})], CHATS, 0.0, ()),
    "freezing": ([([{"FreezeFirst": {"k": 29}}], {})], CHATS, 0.0, ()),
    "incremental": (
        [([LORA], {"data": {"train": ONE}}), ([LORA], {"data": {"train": OTHER}})],
        {ONE: CHATS, OTHER: CHATS},
        0.0,
        (),
    ),
    "LoRA": ([([LORA], {})], CHATS, 0.0, ("choice of the rank", "choice of the scale", "choice of the dropout")),
    "multi-task": (
        [([LORA, MIX], {"data": {"train": ONE, "more": OTHER}})],
        {ONE: CHATS, OTHER: CHATS},
        0.0,
        ("weights of data sets",),
    ),
    "schedules": ([([LORA, {"Cosine": {"warmup": 0.1}}], {})], CHATS, 0.0, ("schedule", "Cosine")),
    "domain": ([([], {})], ["Copper is a metal."] * 4, 0.0, ()),
    "regularisation": ([([LORA, {"WeightDecay": {"rate": 0.1}}], {})], CHATS, 5.0, ("noise", "weight decay")),
}
ADVICE = "correct it there, or take the file back from git"
RECORD = "tools.json"


@cache
def coverage() -> dict[str, dict[str, str]]:
    """Ask each tool's export for each of the eight strategies.

    Returns
    -------
    dict of str to dict of str to str
        {tool: {strategy: what is missing}}, with "" for a strategy that is expressed whole.

    Examples
    --------
    >>> from ftlib.tools import coverage
    >>> coverage()["llama-factory"]["freezing"], coverage()["xturing"]["LoRA"]
    ('', 'no choice of the rank; no choice of the dropout')
    """
    return {name: {strategy: _missing(name, strategy) for strategy in STRATEGIES} for name in TOOLS}


def _missing(name: str, strategy: str) -> str:
    phases, rows, noise, about = STRATEGIES[strategy]
    made = [Phase(parts, **{"steps": 20, "lr": 1e-4, "batch_size": 2, **fields}) for parts, fields in phases]
    try:
        files = tool(name).render(Spec("coverage", TASK, "smollm2", seed=0, phases=made), rows, noise=noise)
    except ValueError as error:
        return f"refused: {error}"
    lost = [line.removeprefix("this tool has no ") for line in lost_in(files)]
    return "; ".join(f"no {line.partition(';')[0]}" for line in lost if line.startswith(about)) if about else ""


def record() -> dict:
    """Read what `make tools` has recorded of the tools.

    Returns
    -------
    dict
        {"made": {...}, "tools": {tool: {"version", "level", ...}}}. Without a record, no tools.

    Examples
    --------
    >>> from ftlib.tools import record
    >>> sorted(record())
    ['made', 'tools']
    """
    file = places.results() / RECORD
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"made": {}, "tools": {}}


@entry
class Counted:
    """A sentence about one tool, its rule in words, and what to do about each answer."""

    id: Text
    lesson: Text
    sentence: Text
    rule: Text
    first: Text  # the tool that the sentence is about
    level: Positive  # the least at which this tool's strategies count
    act: dict[Literal["supported", "contradicted", "no difference", "it depends", "open"], Text]
    prior: Text


@dataclass(frozen=True)
class Row:
    """One tool against the tool of the sentence: strategies that count, levels, and the word."""

    tool: str
    mine: int
    theirs: int
    levels: tuple[int | None, int | None]

    @property
    def word(self) -> str:
        """ "yes", "the opposite", "no difference" or "open"."""
        if self.levels[0] is None:
            return "open"
        return "yes" if self.mine > self.theirs else "the opposite" if self.mine < self.theirs else "no difference"


def read_counted(file: Path) -> Counted:
    """The counted claim of a file. ValueError, one sentence, where it is not as said here."""
    written = typed.check(Counted, typed.parse(typed.read_text(file), str(file), ADVICE), str(file))
    if written.id != file.stem or written.first not in TOOLS:
        raise ValueError(f"{file}: the id is {file.stem!r}, and first is one of {', '.join(TOOLS)}: {ADVICE}")
    return written


def count(written: Counted) -> list[Row]:
    """One row per other tool, by the rule of the claim.

    Parameters
    ----------
    written : Counted
        As `read_counted` gives it.

    Returns
    -------
    list of Row
    """
    levels = {name: found.get("level") for name, found in record()["tools"].items()}
    strategies = {name: sum(not missing for missing in found.values()) for name, found in coverage().items()}
    level = levels.get(written.first)
    mine = strategies[written.first] if (level or 0) >= written.level else 0
    others = [name for name in TOOLS if name != written.first]
    return [Row(name, mine, strategies[name], (level, levels.get(name))) for name in others]
