"""The cheat sheet, docs/cheat_sheet.svg, .pdf and .md: one page that is drawn from the claims. `make sheet` calls it.

What it says is lessons/09_compare/sheet.json and the claims of today (lessons/09_compare/shared_sheet.py). Here is
where it stands. The largest letters with which everything fits on a page of A4 are used, so that texts may grow.
"""

import hashlib
from pathlib import Path

from ftlib.classroom.lessons import part
from page import ABOVE, LEADING, Arrow, Box, Words, pdf, svg, width, wrap

ROOT = Path(__file__).resolve().parent.parent
WORDS = part("09_compare", "shared_sheet")
PAGE = (595.0, 842.0)  # A4, upright
EDGE = 16.0  # around everything
SIZES = [round(8.0 - 0.1 * i, 1) for i in range(31)]  # of the letters, the largest first
ASKS, ANSWERS, DOES = 0.14, 0.17, 0.21  # shares of the width: a question, its answers, what to do
SMALL, BETWEEN, ROOM = 0.92, 1.4, 0.32  # in letters: explanations, and space between questions and below an arrow
DASH = {WORDS.FOR: "solid", WORDS.PARTLY: "dashdot", WORDS.UNKNOWN: "dashed", WORDS.AGAINST: "dotted"}
HOW = (
    "Go from top to bottom. Each answer may add a strategy. On the arrows are claims: ✔ supported, ✘ contradicted, "
    "= no difference, ± it depends, ? open. The sign is that of the whole claim, and the words are one of its rows. "
    "Solid arrow: our runs support it. Dash and dot: in part. Dotted: they don't. Dashed: we don't know."
)
SOURCE = (
    "Drawn from the recorded runs. It holds for these tasks, networks and lengths of training. All rows with their "
    "seeds: docs/claims.md. How to read a verdict: docs/verdicts.md."
)


class Column:
    """Lines of words below each other, in a column of a width. `y` is where the next line begins."""

    def __init__(self, items: list, x: float, y: float, room: float):
        self.items, self.x, self.y, self.room = items, x, y, room

    def add(self, text: str, size: float, colour: str = "ink") -> "Column":
        """A text, wrapped. Parts in ** are bold."""
        for line in wrap(text, size, self.room):
            x = self.x
            for words, bold in line:
                self.items.append(Words(words, x, self.y + ABOVE * size, size, bold, colour))
                x += width(f"{words} ", size, bold)
            self.y += LEADING * size
        return self


def draw(sheet, size: float, find, spare: float = 0.0) -> tuple[list, float]:
    """All items with letters of this size, and where they end. `spare` is shared out between the questions."""
    items: list = []
    top = Column(items, EDGE, EDGE, PAGE[0] - 2 * EDGE)
    top.add(f"**{sheet.title}**", 2.3 * size, "blue")
    top.y += 0.3 * size
    top.add(HOW, SMALL * size, "soft")
    y = flow(items, sheet, top.y + 0.6 * size, size, find, spare / len(sheet.questions))
    y = cards(items, sheet, y + 0.9 * size, size, find)
    y = pitfalls(items, sheet, y + 0.9 * size, size)
    last = Column(items, EDGE, y + 0.6 * size, PAGE[0] - 2 * EDGE)
    last.add(SOURCE, SMALL * size, "soft")
    return items, last.y


def flow(items: list, sheet, y: float, size: float, find, more: float) -> float:
    """The questions below each other, and from each of them an arrow per answer. Returns where they end."""
    wide = PAGE[0] - 2 * EDGE
    asks = ASKS * wide
    for number, question in enumerate(sheet.questions):
        begin, inside = y, Column([], 0, 0, asks - 9)
        inside.add(f"**{question.asks}**", size)
        rows = [_row(sheet, arrow, size, find) for arrow in question.arrows]
        spare = max(0.0, inside.y + size - sum(height for height, _ in rows)) / len(rows)
        for height, place in rows:
            place(items, y, height + spare)
            y += height + spare
        items.append(Box(EDGE, begin, asks, y - begin, "pale", "ink", 0))
        inside = Column(items, EDGE + 5, begin + (y - begin - inside.y) / 2, asks - 9)
        inside.add(f"**{question.asks}**", size)
        if number + 1 < len(sheet.questions):
            below = y + BETWEEN * size + more
            items.append(Arrow(EDGE + asks / 2, y, EDGE + asks / 2, below))
            if question.next:
                words = Column(items, EDGE + asks / 2 + 6, y + (below - y - SMALL * size) / 2, wide)
                words.add(question.next, SMALL * size, "soft")
            y = below
    return y + more


def _row(sheet, arrow, size: float, find):
    """One answer: its words, the arrow with its evidence below, and the box with what to do. Its height, and how to
    place it."""
    wide = PAGE[0] - 2 * EDGE
    one, two, three = (EDGE + share * wide for share in (ASKS, ASKS + ANSWERS, 1 - DOES))
    strategy = sheet.strategy(arrow.strategy)
    pad = 0.4 * size

    def answer(items: list, y: float) -> float:
        column = Column(items, one + 5, y, two - one - 9)
        column.add(f"**{arrow.answer}**", size)
        return column.y

    def evidence(items: list, y: float) -> float:
        column = Column(items, two + 7, y, three - two - 16)
        column.add(WORDS.evidence_of(arrow, find, short=True), 0.96 * size)
        return column.y

    def does(items: list, y: float) -> float:
        column = Column(items, three + 5, y, PAGE[0] - EDGE - three - 9)
        column.add(f"**{strategy.lesson[:2]}** {strategy.name}", 0.94 * size, "blue")
        column.add(f"**{arrow.do}**", size)
        return column.y

    line = 0.5 * size
    height = max(answer([], 0) + 2 * pad, evidence([], line + ROOM * size) + 0.3 * size, does([], 0) + 2 * pad)

    def place(items: list, y: float, height: float) -> None:
        items.append(Box(one, y, two - one, height, "paper", "ink", 0))
        items.append(Box(three, y + 1.2, PAGE[0] - EDGE - three, height - 2.4, "pale", "blue", 3))
        answer(items, y + (height - answer([], 0)) / 2)
        does(items, y + (height - does([], 0)) / 2)
        tall = evidence([], line + ROOM * size)
        shift = max(0.0, (height - tall - 0.3 * size) / 2)
        items.append(Arrow(two, y + line + shift, three, y + line + shift, DASH[WORDS.state_of(arrow, find)]))
        evidence(items, y + line + ROOM * size + shift)

    return height, place


def cards(items: list, sheet, y: float, size: float, find) -> float:
    """The strategies' cards, four in a row."""

    def fill(column: Column, one) -> None:
        said = WORDS.say(one.measured, find)
        column.add(f"**{one.lesson[:2]} {one.name}**", 1.05 * size, "blue")
        column.add(f"**For** {one.use}", 0.96 * size)
        column.add(f"**We measured** {said.claim} {said.sign} {said.short}", 0.96 * size)
        column.add(f"**Do** {WORDS.advice_of(one, find)}", 0.96 * size)
        column.add(WORDS.signs_of(one.lesson, find), 0.96 * size, "soft")

    return _grid(items, sheet.strategies, y, size, fill, "pale")


def pitfalls(items: list, sheet, y: float, size: float) -> float:
    """The pitfalls, four in a row."""

    def fill(column: Column, one) -> None:
        column.add(f"**{one.lesson[:2]} {one.mistake}**", 0.98 * size)
        column.add(f"**Symptom** {one.symptom}", 0.96 * size)

    title = Column(items, EDGE, y, PAGE[0] - 2 * EDGE)
    title.add("**Pitfalls, each from a lesson's section “Break it”**", 1.1 * size, "blue")
    return _grid(items, sheet.pitfalls, title.y + 0.2 * size, size, fill, "paper")


def _grid(items: list, each: list, y: float, size: float, fill, ground: str, columns: int = 4) -> float:
    """Boxes side by side, as tall as the tallest of their row. Returns where they end."""
    between = 5.0
    wide = (PAGE[0] - 2 * EDGE - (columns - 1) * between) / columns
    for start in range(0, len(each), columns):
        made = []
        for place, one in enumerate(each[start : start + columns]):
            x = EDGE + place * (wide + between)
            column = Column([], x + 4, y + 0.4 * size, wide - 8)
            fill(column, one)
            made.append((x, column))
        end = max(column.y for _, column in made) + 0.3 * size
        for x, column in made:
            items += [Box(x, y, wide, end - y, ground, "line"), *column.items]
        y = end + between
    return y - between


def fitted(sheet, find=WORDS.look_up) -> list:
    """The items with the largest letters that fit, spread over the page."""
    for size in SIZES:
        items, end = draw(sheet, size, find)
        if end <= PAGE[1] - EDGE:
            items, _ = draw(sheet, size, find, PAGE[1] - EDGE - end)
            return _in_order(items)
    raise ValueError(
        f"the cheat sheet is {end - PAGE[1] + EDGE:.0f} points too long for a page even in letters of {SIZES[-1]:.1f} "
        "points: shorten the texts of lessons/09_compare/sheet.json"
    )


def _in_order(items: list) -> list:
    """Boxes first, then arrows, then words, so that nothing is hidden."""
    return sorted(items, key=lambda item: (Box, Arrow, Words).index(type(item)))


def written(find=WORDS.look_up) -> dict[str, bytes]:
    """{file: what it holds}, of all three files."""
    sheet = WORDS.read()
    items, text = fitted(sheet, find), WORDS.page(sheet, find)
    picture = svg(items, PAGE, sheet.title, WORDS.plain(text))
    subject = f"sha256 of the SVG: {hashlib.sha256(picture.encode()).hexdigest()}"
    return {
        "cheat_sheet.svg": picture.encode(),
        "cheat_sheet.md": text.encode(),
        "cheat_sheet.pdf": pdf(items, PAGE, sheet.title, subject),
    }


if __name__ == "__main__":
    for name, content in written().items():
        (ROOT / "docs" / name).write_bytes(content)
        print(f"docs/{name}")
