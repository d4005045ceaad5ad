"""The guided choice without a browser: each question at each of its answers, and the sheet that it is taken from."""

import html
import re

import pytest

from ftlib.classroom.lessons import part
from ftlib.evidence import confirm
from ftlib.io import places
from panels import check_controls

WIDGET = part("09_compare", "widget_choice")
SHEET = WIDGET.SHEET.read()


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


@pytest.fixture(scope="module")
def panel():
    return WIDGET.choice()


def words(line) -> str:
    return html.unescape(re.sub("<.*?>", " ", line.value))


def test_the_first_state_shows_a_plan(panel):
    assert [arrow.do for arrow in WIDGET.choice().plan] == ["Use pretrained weights", "A probe first, then compare"]


def test_each_question_with_a_choice_has_its_control(panel):
    asked = [question.asks for question in SHEET.questions if question.next or len(question.arrows) > 1]
    check_controls(panel, asked)
    for question in SHEET.questions:
        if question.id in panel.controls:
            options = [arrow.answer for arrow in question.arrows] + [question.next] * bool(question.next)
            assert list(panel.controls[question.id].options) == options


@pytest.mark.parametrize("question", [one for one in SHEET.questions if one.next], ids=lambda one: one.id)
def test_an_answer_adds_its_arrow_and_no_other(panel, question):
    control = panel.controls[question.id]
    control.value = question.next
    before = list(panel.plan)
    for arrow in question.arrows:
        control.value = arrow.answer
        assert [one for one in panel.plan if one not in before] == [arrow]
        assert f"{arrow.do} (" in words(panel.words) and arrow.answer in words(panel.steps)
    control.value = question.next
    assert panel.plan == before


def test_the_recorded_runs_are_those_of_the_grids():
    """The effect is recomputed from the runs of the grid that the table names."""
    checked = 0
    for arrow in [arrow for question in SHEET.questions for arrow in question.arrows]:
        for cells in WIDGET.recorded(arrow):
            name, label, compared, effect, seeds, grid = cells
            assert (places.results() / f"{grid}.jsonl").exists() and name.split()[0] in WIDGET.SHEET.claim_ids()
            row = next(row for row in confirm.confirmation(name.split()[0]).rows if row.label == label)
            assert compared == f"{row.arm} − {row.baseline}" and grid == row.grid
            if row.effect == "difference" and row.unit == "points":
                found = confirm.per_seed(row, confirm._runs_of(grid)).to_numpy()[: int(seeds)]
                shown = float(effect.split()[0].replace("−", "-"))
                assert abs(100 * found.mean() - shown) <= 0.51 and len(found) == int(seeds)
                checked += 1
    assert checked > 3


def test_a_plan_without_recorded_runs_says_so():
    arrow = WIDGET.SHEET.Arrow(answer="Yes", strategy="full", do="Do it", unknown="Nobody tried.")
    assert WIDGET.recorded(arrow) == []


def test_it_can_be_read_without_a_kernel(panel):
    bundle, _ = panel._repr_mimebundle_()
    assert bundle["text/plain"] == panel.alt and "application/vnd.jupyter.widget-view+json" in bundle


def test_the_sheet_is_shown_by_one_call_with_all_its_words():
    shown = WIDGET.sheet()
    assert shown.svg == (places.ROOT / "docs" / "cheat_sheet.svg").read_text(encoding="utf-8")
    assert shown.alt.startswith(f"{SHEET.title}. ") and "data:image/svg+xml" in shown._repr_html_()


def test_a_sheet_that_is_not_drawn_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(WIDGET, "DRAWN", tmp_path / "cheat_sheet.svg")
    with pytest.raises(FileNotFoundError, match="docs/cheat_sheet.svg isn't there: `make sheet` draws it"):
        WIDGET.sheet()
