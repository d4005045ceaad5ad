"""The panel of five tools without a browser: each control at each of its values, and what is written to the disk."""

import html
import json
import re

import pytest

from ftlib import tools
from ftlib.classroom.lessons import part
from panels import check_controls, check_without_a_kernel

WIDGET = part("10_tools", "widget")
CHATS = [[("user", f"How many legs have {n} dogs?"), ("assistant", str(4 * n))] for n in range(1, 9)]
TEXTS = ["Copper is a metal.", "It conducts heat well."]


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


@pytest.fixture
def panel(tmp_path):
    return WIDGET.handover(CHATS, TEXTS, tmp_path / "exports")


def marked(panel) -> dict[str, list[str]]:
    return {name: [ln for ln, new in zip(lines, panel.marks[name]) if new] for name, lines in panel.lines.items()}


def words(line) -> str:
    return html.unescape(re.sub("<.*?>", "", line.value))


def state(panel) -> str:
    (table,) = panel.figure.data
    return json.dumps([panel.figure.layout.title.text, [list(row) for row in table.text], panel.files.value])


def test_the_first_state_shows_an_effect_and_is_no_answer(panel):
    assert (panel.strategy.value, panel.rank.value, panel.schedule.value) == ("LoRA", 16, "cosine")
    assert panel.table["xturing"]["rank"] == "no" and set(panel.table["llama-factory"].values()) == {"yes"}
    assert panel.rank_ignored[panel.rank.value] == "r=16, it is 8"


def test_the_task_has_one_answer(panel):
    assert [rank for rank, said in panel.rank_ignored.items() if not said] == [8]
    panel.rank.value = 8
    assert panel.table["xturing"]["rank"] == "yes" and "the rank" not in " ".join(panel.ignored["xturing"])


def test_a_change_marks_the_lines_that_it_changes_and_no_other(panel):
    assert not any(marked(panel).values())
    panel.rank.value = 8
    assert marked(panel) == {
        "llama-factory": ["lora_rank: 8"],
        "xtuner": ["r=8,"],
        "unsloth": ["'r': 8,"],
        "firefly": ['"lora_rank": 8,'],
        "xturing": [],
    }
    panel.rate.value = 1e-3
    assert all(len(lines) == 1 and "0.001" in lines[0] for lines in marked(panel).values())


def test_a_changed_line_has_a_sign_and_not_only_a_colour(panel):
    panel.rank.value = 8
    assert panel.files.value.count("▸ ") == panel.files.value.count("<mark") == 4


@pytest.mark.parametrize("schedule", WIDGET.SCHEDULES)
@pytest.mark.parametrize("data", WIDGET.DATA)
@pytest.mark.parametrize("strategy", WIDGET.STRATEGIES)
def test_the_files_are_those_of_the_exports(panel, strategy, data, schedule):
    panel.strategy.value, panel.data.value, panel.schedule.value = strategy, data, schedule
    for name in tools.TOOLS:
        try:
            want = tools.tool(name).render(panel.spec, panel._rows())
        except ValueError as error:
            want = str(error)
        assert panel.exports[name] == want
        assert bool(panel.lines[name]) == isinstance(want, dict)
    assert not isinstance(panel.exports["llama-factory"], str)
    assert panel.rank.disabled == (strategy in ("full", "frozen layers"))


def test_a_tool_that_refuses_says_so_in_the_table_the_words_and_its_block(panel):
    panel.strategy.value = "frozen layers"
    refused = [name for name, row in panel.table.items() if set(row.values()) == {"refused"}]
    assert refused == ["xtuner", "unsloth", "firefly", "xturing"]
    assert all(f"{name}: refused." in panel.alt for name in refused)
    assert "✘ Firefly can't freeze whole layers" in words(panel.files)


def test_every_control_changes_the_figure_or_the_files_and_the_words(panel):
    seen, said = {state(panel)}, {panel.alt}
    for name, value in (("rank", 64), ("rate", 1e-5), ("schedule", "linear"), ("data", "plain texts")):
        getattr(panel, name).value = value
        seen.add(state(panel))
        said.add(panel.alt)
    panel.strategy.value = "full"
    assert len(seen | {state(panel)}) == 6 and len(said | {panel.alt}) == 6


def test_what_is_ignored_stands_below_the_lines_in_words(panel):
    for line in panel.ignored["xturing"]:
        assert f"no {line}" in words(panel.files)
    assert words(panel.files).count("nothing ignored") == 2  # LLaMA-Factory and XTuner


def test_the_button_writes_a_new_folder_each_time(panel):
    for count in (1, 2):
        panel.write.click()
        assert panel.written == panel.folder / f"llama-factory_{count}"
        for file, text in panel.exports["llama-factory"].items():
            assert (panel.written / file).read_text(encoding="utf-8") == text
        assert f"Written to the folder llama-factory_{count}: README.md, " in words(panel.words)
    panel.tool.value, panel.strategy.value = "xtuner", "frozen layers"
    panel.write.click()
    assert "xtuner: refused. XTuner can't freeze" in words(panel.words) and panel.written.name == "llama-factory_2"
    assert not (panel.folder / "xtuner_1").exists()


def test_a_change_is_one_message_to_the_figure(panel):
    sent = []
    for name in ("_py2js_update", "_py2js_restyle", "_py2js_relayout", "_py2js_addTraces", "_py2js_deleteTraces"):
        panel.figure.observe(lambda change: sent.append(change.name) if change.new else None, names=name)
    panel.rank.value = 64
    assert sent == ["_py2js_update"]


def test_every_control_has_a_name_and_is_used_from_the_keyboard(panel):
    names = ["Strategy", "Rank", "Rate", "Schedule", "Data", "Write for", "Write the folder"]
    check_controls(panel, names)
    assert panel.files.value.count('tabindex="0"') == 5  # a box that scrolls can be reached


def test_it_can_be_seen_and_read_without_a_kernel(panel):
    check_without_a_kernel(panel, 300_000, lambda: setattr(panel.strategy, "value", "full"))


def test_a_text_in_the_data_is_shown_as_it_is(tmp_path):
    odd = [[("user", "<b>bold</b>?"), ("assistant", "<i>")]] * 2
    assert "<b>bold" not in WIDGET.handover(odd, TEXTS, tmp_path).files.value


@pytest.mark.parametrize(("chats", "texts"), [(CHATS[:1], TEXTS), (CHATS, [])])
def test_too_few_rows_are_one_sentence(tmp_path, chats, texts):
    with pytest.raises(ValueError, match="the panel needs at least two chats and a plain text: give more rows"):
        WIDGET.handover(chats, texts, tmp_path)
