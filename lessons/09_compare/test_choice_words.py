"""What the guided choice says, in its status, its steps, its table and its text, is what the claims say."""

import pytest
from words import alone, status, text, told  # noqa: F401 (a fixture)

from ftlib import classroom as teach
from ftlib.classroom.lessons import part
from ftlib.classroom.verdicts import SIGNS

WIDGET = part("09_compare", "widget_choice")
SHEET = WIDGET.SHEET.read()
pytestmark = pytest.mark.usefixtures("alone")


def check_choice(question: str) -> None:
    panel = WIDGET.choice()
    asked = next(one for one in SHEET.questions if one.id == question)
    for arrow in asked.arrows:
        if question in panel.controls:
            panel.controls[question].value = arrow.answer
        said, steps, runs = status(panel.words), text(panel.steps), text(panel.runs)
        assert panel.alt.startswith(f"{said} ") and told(panel, panel.alt)
        assert said.startswith("Your plan: 1. ") and said.count(f"{len(panel.plan)}. ") == 1
        one = SHEET.strategy(arrow.strategy)
        assert f"{arrow.do} ({one.lesson[:2]} {one.name})." in said
        assert arrow.unknown is None or (arrow.unknown in panel.alt and arrow.unknown in steps)
        for evidence in arrow.evidence:
            found = teach.claim(evidence.claim)
            name = f"{evidence.claim}\N{NO-BREAK SPACE}{SIGNS[found.verdict]}"
            assert name in steps and name in panel.alt and evidence.asks in steps
            lines = [line for line in found.lines if line.label == evidence.row]
            if found.confirmed is None:
                assert f"{evidence.asks} Not decided yet." in steps
                continue
            (line,) = lines
            answer = f"{evidence.asks} {line.text[0].upper()}{line.text[1:]}"
            assert answer in steps and answer in panel.alt
            assert line.label in runs and (line.word == "open" or line.number.removeprefix("but little: ") in runs)


@pytest.mark.parametrize("name", [question.id for question in SHEET.questions])
def test_it_says_what_its_data_say(name):
    check_choice(name)
