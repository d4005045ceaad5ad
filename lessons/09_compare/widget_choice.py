"""A guided choice: a question per row of the cheat sheet, and for the answers the strategies with their evidence.

Questions, answers and strategies are those of sheet.json. What was measured is read from the claims. Nothing is trained.
"""

import html
from pathlib import Path

import ipywidgets

from ftlib.classroom import Diagram
from ftlib.classroom.lessons import part
from ftlib.classroom.verdicts import number_with_unit
from ftlib.classroom.widgets.panel import Panel, set_status, status_line
from ftlib.evidence.confirm import Answer

SHEET = part("09_compare", "shared_sheet")
DRAWN = Path(__file__).resolve().parents[2] / "docs" / "cheat_sheet.svg"
CELL = "padding: 2px 10px; text-align: left; vertical-align: top"
WHOLE = f"{CELL}; white-space: nowrap"  # the cells of short words and numbers
HEADS = ("claim", "row", "compared", "effect [98.8 % interval]", "seeds", "grid")


class Choice(Panel):
    """`controls`: a dropdown per question; `words` tell the plan, `steps` its evidence, `runs` the recorded runs.

    `plan` holds the arrows that the answers lead along.
    """

    def __init__(self):
        self.sheet = SHEET.read()
        self.controls = {}
        for question in self.sheet.questions:
            options = [*(arrow.answer for arrow in question.arrows), *([question.next] if question.next else [])]
            if len(options) > 1:
                self.controls[question.id] = ipywidgets.Dropdown(
                    options=options, value=question.next or options[1], description=question.asks,
                    style={"description_width": "290px"}, layout=ipywidgets.Layout(width="610px"),
                )  # fmt: skip
        self.words, self.steps, self.runs = status_line(), ipywidgets.HTML(), ipywidgets.HTML()
        self.show()
        for control in self.controls.values():
            control.observe(self.show, names="value")
        super().__init__([*self.controls.values(), self.words, self.steps, self.runs], lambda: self.alt)

    def show(self, _=None) -> None:
        """Follow the answers along the arrows."""
        self.plan = [
            arrow
            for question in self.sheet.questions
            for arrow in question.arrows
            if question.id not in self.controls or self.controls[question.id].value == arrow.answer
        ]
        said = f"Your plan: {' '.join(f'{i}. {self._step(arrow)}.' for i, arrow in enumerate(self.plan, 1))}"
        evidence = [SHEET.evidence_of(arrow) for arrow in self.plan]
        self.alt = f"{said} {' '.join(evidence).replace('**', '')}"
        set_status(self.words, said)
        items = (
            f"<li><b>{_text(self._step(arrow))}.</b> {_text(arrow.answer)}. {_bold(words)}</li>"
            for arrow, words in zip(self.plan, evidence)
        )
        self.steps.value = f'<ol style="line-height: 1.5; margin: 0">{"".join(items)}</ol>'
        self.runs.value = self._table()

    def _step(self, arrow) -> str:
        """What to do, and in which lesson."""
        one = self.sheet.strategy(arrow.strategy)
        return f"{arrow.do} ({one.lesson[:2]} {one.name})"

    def _table(self) -> str:
        """The recorded runs behind the plan, a line per row of a claim."""
        rows = [row for arrow in self.plan for row in recorded(arrow)]
        if not rows:
            return "<p>No recorded runs stand behind this plan.</p>"
        head = "".join(f'<th scope="col" style="{CELL}">{name}</th>' for name in HEADS)
        body = "".join(
            f'<tr><th scope="row" style="{WHOLE}">{_text(first)}</th>'
            + "".join(f'<td style="{CELL if at < 2 else WHOLE}">{_text(cell)}</td>' for at, cell in enumerate(rest))
            + "</tr>"
            for first, *rest in dict.fromkeys(rows)
        )
        return (
            '<table class="ftlib-rows" style="border-collapse: collapse; font-size: 12px; line-height: 1.4"><caption '
            f'style="text-align: left">The recorded runs behind it</caption><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>"
        )


def recorded(arrow) -> list[tuple[str, ...]]:
    """The rows of the claims behind an arrow, as the columns of HEADS."""
    lines = [(one.claim, SHEET.line_of(one, SHEET.look_up(one.claim))) for one in arrow.evidence]
    lines += SHEET.depends_on(arrow).items()
    rows = []
    for name, line in lines:
        found = SHEET.look_up(name)
        for answer in found.confirmed.answers if line and found.confirmed else ():
            if answer.row.label == line.label:
                rows.append(_cells(f"{name} {SHEET.SIGNS[found.verdict]}", answer))
    return rows


def _cells(name: str, answer: Answer) -> tuple[str, ...]:
    row, look = answer.row, answer.look
    low, high = (number_with_unit(end, row.unit, signed=True) for end in (look.low, look.high))
    between = f"{number_with_unit(look.effect, row.unit)} [{low.split()[0]}, {high.split()[0]}]"
    return name, row.label, f"{row.arm} − {row.baseline}", between, str(look.seeds), row.grid


def choice() -> Choice:
    """Answer a few questions, and read which strategy to take and what was measured of it."""
    return Choice()


def sheet() -> Diagram:
    """The cheat sheet, docs/cheat_sheet.svg, with all its words."""
    if not DRAWN.is_file():
        raise FileNotFoundError("docs/cheat_sheet.svg isn't there: `make sheet` draws it, or take it back from git")
    return Diagram(DRAWN.read_text(encoding="utf-8"))


def _text(words: str) -> str:
    return html.escape(words, quote=False)


def _bold(words: str) -> str:
    """Markdown's bold as HTML."""
    return "".join(f"<b>{part}</b>" if at % 2 else part for at, part in enumerate(_text(words).split("**")))
