"""Callbacks run without a browser, at the corner values of every control; an error in one is an error here."""

import base64
import html
import itertools
import json
import re

import ipywidgets
import pandas as pd
import plotly.graph_objects as go
import pytest

from ftlib import classroom as teach
from ftlib.classroom import widgets
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import set_status
from ftlib.evidence.compare import interval
from test_compare import runs

LESSON = "01_full"
MEASURES = {"accuracy": "test.accuracy", "loss (lower is better)": "test.nll"}


@pytest.fixture(autouse=True)
def answers(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLIB_ANSWERS", str(tmp_path))
    monkeypatch.delenv("FTLIB_LANG", raising=False)


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    """A button's handler that fails is only logged by ipywidgets: here that fails the test."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def shown(line: ipywidgets.HTML) -> str:
    return html.unescape(re.sub("<.*?>", "", line.value))


def grid():
    """Two tasks, three sizes (one of them missing for the second task), arms a and b; and tuning runs."""
    parts = []
    for i, (task, n) in enumerate([("t", 50), ("t", 200), ("t", None), ("u", 50), ("u", 200)]):
        some = runs(effects=(0.0, 0.05 * i), seed=i).assign(task=task, n=n, purpose="measure")
        parts.append(some.assign(**{"test.nll": 1 - some["test.accuracy"]}))
    return pd.concat([*parts, parts[0].assign(purpose="tune", seed=100)], ignore_index=True)


@pytest.fixture
def board():
    return widgets.board(grid(), MEASURES, baseline="a")


# Predictions and quizzes


def test_a_prediction_is_committed_with_the_button_and_remembered():
    asked = widgets.predict(LESSON, "best-arm")
    assert asked.choice.value is None and shown(asked.reply) == "Not answered yet."
    asked.button.click()
    assert shown(asked.reply) == "Choose an answer first."
    for key in ("scratch", "lp-ft"):  # the corners
        asked.choice.value = key
        asked.button.click()
        assert teach.predict(LESSON, "best-arm").answer == key and "Your prediction is kept" in shown(asked.reply)
    again = widgets.predict(LESSON, "best-arm")
    assert again.choice.value == "lp-ft" and "the prediction that you gave" in shown(again.reply)


def test_a_quiz_explains_each_answer():
    panel = widgets.quiz(LESSON)
    assert len(panel.asked) == len(teach.questions.load(LESSON, "quiz"))
    for asked in panel.asked:
        for key, option in asked.question.options.items():
            asked.choice.value = key
            asked.button.click()
            assert shown(asked.reply) == f"{'✔ Right.' if option['right'] else '✘ Not quite.'} {option['why']}"
    assert len(widgets.quiz(LESSON, "lp-ft", "own-rate").asked) == 2


def test_every_control_has_a_name_and_is_used_from_the_keyboard(board):
    panels = [board, widgets.predict(LESSON, "best-arm"), widgets.quiz(LESSON)]
    found = []
    for panel in panels:
        todo = list(panel.children)
        while todo:
            widget = todo.pop()
            todo += getattr(widget, "children", ())
            found += [widget] if hasattr(widget, "description") and not isinstance(widget, ipywidgets.HTML) else []
    plain = (ipywidgets.Dropdown, ipywidgets.ToggleButtons, ipywidgets.RadioButtons, ipywidgets.Button)
    assert len(found) > 10 and all(isinstance(w, plain) and w.description for w in found)


def test_text_is_shown_as_it_stands():
    line = ipywidgets.HTML()
    set_status(line, "**a < b** & `x`")
    assert line.value.endswith("<b>a &lt; b</b> &amp; <code>x</code></p>") and 'role="status"' in line.value


# The board


def state(board):
    fig = board.figure
    return json.dumps(
        [fig.to_plotly_json()["data"], fig.layout.title.text, fig.layout.xaxis.title.text], default=list, sort_keys=True
    )


def test_every_control_changes_the_figure_and_its_words(board):
    seen = {(state(board), shown(board.words))}
    for control, value in ((board.size, 200), (board.task, "u"), (board.measure, "test.nll")):
        control.value = value
        seen.add((state(board), shown(board.words)))
    assert len(seen) == 4 and len({words for _, words in seen}) == 4


@pytest.mark.parametrize(
    ("task", "size", "measure"), [*itertools.product(["t", "u"], [50, 200, "all"], MEASURES.values())]
)
def test_the_board_shows_what_was_recorded_at_every_setting(board, task, size, measure):
    before = [trace.uid for trace in board.figure.data]
    board.task.value, board.size.value, board.measure.value = task, size, measure
    assert [trace.uid for trace in board.figure.data] == before and len(before) == 4  # in place: two traces an arm
    assert {trace.y for trace in board.figure.data if len(trace.y) == 1} == {("a",), ("b",)}  # an arm keeps its row
    wanted = grid().query("purpose == 'measure'")
    wanted = wanted[(wanted.task == task) & (wanted.n.isna() if size == "all" else wanted.n == size)]
    assert shown(board.words) == board.alt == board.figure.layout.meta["alt"]
    if (task, size) == ("u", "all"):
        assert board.alt == "No run of u with all training examples was recorded: choose another size."
        assert all(len(trace.x) == 0 for trace in board.figure.data)
        return
    for i, arm in enumerate("ab"):
        values = wanted[wanted.arm == arm][measure]
        mean, low, high = interval(values.to_numpy())
        points, dot = board.figure.data[2 * i : 2 * i + 2]
        assert list(points.x) == list(values) and dot.x[0] == mean and dot.name == arm
        assert dot.error_x.array[0] == high - mean and dot.error_x.arrayminus[0] == mean - low
        assert f"{arm} {mean:.3f} [{low:.3f}, {high:.3f}]" in board.alt
    assert "Against a, paired by seed: b " in board.alt and board.alt.endswith((", higher.", ", lower.", " here."))


def test_a_figure_that_was_empty_comes_back(board):
    board.task.value = "u"
    before = state(board)
    board.size.value = "all"
    assert state(board) != before
    board.size.value = 50
    assert state(board) == before


def test_an_arm_without_runs_is_left_out_and_colours_stay():
    df = grid()
    board = widgets.board(df[~((df.task == "u") & (df.arm == "a"))], MEASURES, baseline="a")
    colours = [trace.marker.color for trace in board.figure.data]
    board.task.value = "u"
    assert [len(trace.x) for trace in board.figure.data] == [0, 0, 6, 1]
    assert [trace.marker.color for trace in board.figure.data] == colours and "nothing to compare" in board.alt


def test_a_board_of_thirty_arms_is_drawn():
    parts = [runs(effects=(0.01 * i,)).assign(arm=f"arm {i}", n=50, purpose="measure") for i in range(30)]
    board = widgets.board(pd.concat(parts), {"accuracy": "test.accuracy"}, baseline="arm 0")
    means = board.figure.data[1::2]
    assert len({(trace.marker.color, trace.marker.symbol) for trace in means}) == len(means) == 30
    assert board.still().png().startswith(b"\x89PNG") and board.alt.count("[") == 59


def test_a_panel_can_be_seen_and_read_without_a_kernel(board):
    board.size.value = 200
    bundle, _ = board._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG") and len(bundle["image/png"]) < 80_000
    assert bundle["text/plain"] == board.alt and "application/vnd.jupyter.widget-view+json" in bundle
    first = bundle["image/png"]
    board.task.value = "u"
    assert board._repr_mimebundle_()[0]["image/png"] != first
    words = widgets.quiz(LESSON)._repr_mimebundle_()[0]
    assert words["text/plain"].count("- b: ") == len(teach.questions.load(LESSON, "quiz")) and "image/png" not in words


def test_a_callback_that_fails_is_an_error(board):
    board.runs = board.runs.drop(columns="test.nll")
    with pytest.raises(KeyError):
        board.measure.value = "test.nll"


def test_a_button_that_fails_is_noticed(caplog):
    asked = widgets.predict(LESSON, "best-arm")
    asked.choice.value, asked._answered = "full", lambda key: 1 / 0
    asked.button.click()
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()  # without this line, no_hidden_error would fail this test


def test_bad_input_is_one_sentence():
    with pytest.raises(ValueError, match="the baseline must be one of the arms a, b, but it is 'full'"):
        widgets.board(grid(), MEASURES)
    with pytest.raises(ValueError, match="none of the columns that measures names"):
        widgets.board(grid(), {"x": "test.x"}, baseline="a")
    with pytest.raises(ValueError, match="there is no run to show"):
        widgets.board(grid().query("purpose == 'tune'"), MEASURES, baseline="a")


def test_the_usual_measures_are_those_that_the_runs_have():
    board = widgets.board(grid(), baseline="a")
    assert board.measure.options == (("accuracy", "test.accuracy"), ("NLL in nats (lower is better)", "test.nll"))


# The keyboard


def test_a_committed_prediction_hands_the_focus_on_and_a_quiz_does_not(monkeypatch):
    sent = []
    monkeypatch.setattr(widgets.panel.Keys, "send", lambda keys, content: sent.append(content))
    asked = widgets.predict(LESSON, "best-arm")
    asked.button.click()  # nothing is chosen yet
    assert sent == []
    asked.choice.value = "full"
    asked.button.click()
    assert sent == [{"focus": "next cell"}]
    quiz = widgets.quiz(LESSON, "balanced-accuracy").asked[0]
    quiz.choice.value = "b"
    quiz.button.click()
    assert len(sent) == 1


def test_a_live_figure_has_no_button_that_leaves_the_computer(board):
    assert board.figure._config["showSendToCloud"] is False and board.figure._config["displaylogo"] is False
    assert (board.figure.layout.width, board.figure.layout.height) == (720, 380)


def test_right_and_wrong_differ_by_colour_and_icon():
    looks = set()
    for key in ("a", "b"):
        asked = widgets.quiz(LESSON, "balanced-accuracy").asked[0]
        asked.choice.value = key
        asked.button.click()
        looks.add((shown(asked.reply)[0], re.search("solid (#......)", asked.reply.value)[1]))
    assert len({icon for icon, _ in looks}) == len({colour for _, colour in looks}) == 2


def test_a_page_that_is_loaded_again_gets_a_figure_as_it_is_now():
    """plotly's widget would send what it was made with (tests/browser/test_live.py reloads a real page)."""
    figure = live(go.Figure(go.Bar(y=[1, 2]), layout={"title": "at first"}))
    figure.plotly_update(restyle_data={"y": [[5, 6]]}, relayout_data={"title.text": "now"})
    state = figure.get_state()
    assert state["_widget_layout"]["title"]["text"] == "now" and state["_widget_data"][0]["y"] == [5, 6]
    assert set(figure.get_state("_config")) == {"_config"}
