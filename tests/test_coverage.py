"""Which strategies the tools express, and the claim that is counted from it: each word of its rule."""

import json
import sys

import pytest

from ftlib import teach
from ftlib.io import places
from ftlib.tools import TOOLS, coverage, record
from ftlib.tools.coverage import STRATEGIES, count, read_counted

module = sys.modules["ftlib.tools.coverage"]  # the function has its name
T1 = places.counted()["T1"]


def test_each_tool_is_asked_for_all_eight():
    found = coverage()
    assert list(found) == list(TOOLS) and all(list(one) == list(STRATEGIES) for one in found.values())
    assert len(STRATEGIES) == 8 and not any(found["llama-factory"].values())


@pytest.mark.parametrize(
    ("tool", "strategy", "missing"),
    [
        ("xtuner", "freezing", "refused: XTuner can't freeze"),
        ("xtuner", "regularisation", "no noise on the embeddings"),
        ("unsloth", "freezing", "refused: unsloth can't freeze"),
        ("firefly", "multi-task", "no weights of data sets"),
        ("xturing", "LoRA", "no choice of the rank"),
        ("xturing", "schedules", "no schedule to choose"),
        ("xturing", "incremental", "refused"),
    ],
)
def test_what_a_tool_lacks_is_named(tool, strategy, missing):
    assert coverage()[tool][strategy].startswith(missing)


def test_a_line_about_something_else_takes_no_strategy_away():
    """unsloth and Firefly choose the precision by themselves, xTuring has no clipping: that is no strategy."""
    assert [name for name, missing in coverage()["unsloth"].items() if missing] == ["freezing"]
    assert coverage()["xturing"]["full"] == coverage()["xturing"]["domain"] == ""


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Levels in place of the record."""

    def put(levels: dict):
        file = tmp_path / "tools.json"
        file.write_text(json.dumps({"made": {}, "tools": {name: {"level": level} for name, level in levels.items()}}))
        monkeypatch.setattr(places, "results", lambda: tmp_path)

    return put


ALL = dict.fromkeys(TOOLS, 4)


@pytest.mark.parametrize(
    ("levels", "words", "verdict"),
    [
        ({}, ["open"] * 4, "open"),
        (dict.fromkeys(["xtuner", "unsloth", "firefly", "xturing"], 4), ["open"] * 4, "open"),
        ({"llama-factory": 3}, ["yes"] * 4, "supported"),
        (ALL, ["yes"] * 4, "supported"),
        (ALL | {"llama-factory": 2}, ["the opposite"] * 4, "contradicted"),
        (ALL | {"llama-factory": -1}, ["the opposite"] * 4, "contradicted"),
    ],
)
def test_the_words_follow_the_rule(recorded, levels, words, verdict):
    recorded(levels)
    assert [row.word for row in count(read_counted(T1))] == words
    found = teach.claim("T1", verdict=verdict)
    assert found.act == read_counted(T1).act[verdict]
    assert ("8 of 8 strategies against 7" in str(found)) == ("yes" in words)
    with pytest.raises(AssertionError, match="claim T1: the lesson says"):
        teach.claim("T1", verdict="open" if verdict != "open" else "supported")


def test_the_rule_names_its_level_and_its_card_and_page_show_it(recorded):
    recorded(ALL)
    assert f"level {read_counted(T1).level:g} or 4" in read_counted(T1).rule
    assert "LLaMA-Factory is the tool to recommend. | ✔ supported" in str(teach.card("10_tools"))
    from ftlib.classroom import cards

    assert "| T1 | LLaMA-Factory is the tool to recommend. | – | ✔ supported, counted |" in cards.page()


def test_equal_counts_are_no_difference(recorded, monkeypatch):
    recorded(ALL)
    same = dict.fromkeys(STRATEGIES, "")
    monkeypatch.setattr(module, "coverage", lambda: dict.fromkeys(TOOLS, same))
    assert teach.claim("T1").verdict == "no difference"
    mixed = {name: same | ({"full": "no"} if name in ("llama-factory", "xturing") else {}) for name in TOOLS}
    monkeypatch.setattr(module, "coverage", lambda: mixed)
    assert teach.claim("T1").verdict == "it depends"


def test_without_a_record_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "results", lambda: tmp_path)
    assert record() == {"made": {}, "tools": {}}


@pytest.mark.parametrize(("key", "value"), [("id", "T2"), ("first", "axolotl")])
def test_a_file_that_says_something_else_is_refused(tmp_path, key, value):
    file = tmp_path / "T1.json"
    file.write_text(json.dumps(json.loads(T1.read_text()) | {key: value}))
    with pytest.raises(ValueError, match="the id is 'T1', and first is one of llama-factory, "):
        read_counted(file)
