"""What a widget says, in its figure, its title, its words and its status, is what its data say, computed anew.

CHECKS has one check per public function of classroom.widgets, with data whose answers are known: one without a row
turns the first test red. `says` compares all the numbers of a text in their order, each to the digits that it shows.
"""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from known import BASE, DATA, METRIC, bar, close, comparisons, every, how_many, of, score, scores
from words import NLL, alone, recorded, says, spoken, status, text, told  # noqa: F401 (a fixture)

from ftlib import classroom as teach
from ftlib.classroom import widgets
from ftlib.classroom.lessons import part
from ftlib.io import places

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("one_thread", "alone")
PUBLIC = {name for name in widgets.__all__ if inspect.isfunction(getattr(widgets, name)) and name != "of_lesson"}


# ---- the board


def check_board(rows):
    runs = recorded(rows)
    board = widgets.board(runs, {"accuracy": METRIC, "NLL (lower is better)": NLL}, BASE)
    arms = list(dict.fromkeys(rows.arm))
    for at in every(task=["t", "u"], size=[50, "all"], measure=[METRIC, NLL])[1:-1:2]:
        board.task.value, board.size.value, board.measure.value = at["task"], at["size"], at["measure"]
        n = runs.n.isna() if at["size"] == "all" else runs.n == at["size"]
        here = runs[(runs.purpose == "measure") & (runs.task == at["task"]) & n]
        alt, label = told(board, status(board.words)), board.measure.label
        for fig in (board.figure, board.still()):
            assert [t.name for t in fig.data] == [arm for arm in arms for _ in range(2)]
            for k, arm in enumerate(arms):
                light, mean = fig.data[2 * k : 2 * k + 2]
                mine = list(scores(here, arm, at["measure"]).values())
                assert sorted(light.x) == sorted(mine) and {*light.y, *mean.y} <= {arm}
                if not mine:
                    assert not len(mean.x)
                    continue
                value, low, high = of(mine)
                assert close(bar(mean), (value, low, high) if len(mine) > 1 else (value, value, value))
            assert fig.layout.title.text == f"{at['task']}, {at['size']} training examples"
            assert fig.layout.xaxis.title.text == f"{label} on test"
        if here.empty:
            assert at["task"] in alt and str(at["size"]) in alt and "No run" in alt
            continue
        means = "; ".join(
            f"{a} {score(list(scores(here, a, at['measure']).values()))}" for a in dict.fromkeys(here.arm)
        )
        pairs = comparisons(here, BASE, at["measure"])
        assert f"{label} on test, mean and 95 % interval over seeds: {means}." in alt
        compared = f"Against {BASE}, paired by seed{how_many(here)}: {'; '.join(f'{a} {w}' for a, w in pairs.items())}."
        assert alt.endswith(compared if pairs else "There is nothing to compare here.")
    return board


# ---- questions

LESSONS = sorted(file.parent.name for file in places.ROOT.glob("lessons/*/questions.en.json"))


def asked(lesson: str, kind: str) -> list[dict]:
    return [
        q for q in json.loads((places.lesson(lesson) / "questions.en.json").read_text("utf-8")) if q["kind"] == kind
    ]


def check_quiz(lesson):
    panel = widgets.quiz(lesson) if asked(lesson, "quiz") else None
    for shown, question in zip(panel.asked if panel else (), asked(lesson, "quiz"), strict=bool(panel)):
        assert 'role="status"' not in shown.children[0].value  # a question stays; only what changes is spoken
        assert text(shown.children[0]) == status_of(question["text"])
        assert shown.choice.options == tuple((o["text"], o["key"]) for o in question["options"])
        for option in question["options"]:
            shown.choice.value = option["key"]
            shown.button.click()
            reply = status(shown.reply)
            assert ("Right" in reply.partition(status_of(option["why"]))[0]) == option["right"]
            assert status_of(option["why"]) in reply
            assert not [o for o in question["options"] if o is not option and status_of(o["why"]) in reply]
            kept = next(one for one in widgets.quiz(lesson).asked if one.question.id == question["id"])
            assert kept.choice.value == option["key"] and "that you gave" in status(kept.reply)
        assert sum(o["right"] for o in question["options"]) == 1


def check_predict(lesson):
    for question in asked(lesson, "predict"):
        shown = widgets.predict(lesson, question["id"])
        assert shown.choice.value is None and "Not answered" in status(shown.reply)
        for option in question["options"]:
            shown.choice.value = option["key"]
            shown.button.click()
            assert status_of(option["text"]) in status(shown.reply)
            again = widgets.predict(lesson, question["id"])
            assert again.choice.value == option["key"] and "that you gave" in status(again.reply)
            for other in question["options"]:
                words = teach.predict(lesson, question["id"]).compare(other["key"]).markdown
                assert words.startswith("You predicted what happened") == (other is option)
                assert other["text"] in words
                assert other is option or (option["text"] in words and option["why"] in words)


def status_of(text: str) -> str:
    """A sentence of a question as the line shows it."""
    return re.sub(r"`(.+?)`", r"\1", re.sub(r"\*\*(.+?)\*\*", r"\1", text))


# ---- a model to try


class Sure(torch.nn.Module):
    """Gives these probabilities, whatever it reads."""

    kind, head = "image", torch.nn.Linear(1, 1)

    def __init__(self, probabilities):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(probabilities).log())

    def forward(self, batch):
        return self.logits.expand(len(batch["pixels"]), -1)


def check_try_model(probabilities):
    panel = widgets.try_model(Sure(probabilities), [np.zeros((4, 4), np.uint8)])
    alt = told(panel, status(panel.words))
    ranked = sorted(((p, f"class {k}") for k, p in enumerate(probabilities)), key=lambda one: -one[0])
    assert alt.startswith(f"The model says {ranked[0][1]}. In order: ")
    assert re.findall(r"class \d+", alt) == [ranked[0][1], *(name for _, name in ranked)]
    says(re.sub(r"class \d+", "", alt), *(100 * p for p, _ in ranked))
    (bars,) = panel.figure.data
    assert list(bars.y) == [name for _, name in ranked] and close(bars.x, [p for p, _ in ranked])


CHECKS = {
    "board": (check_board, DATA),
    "quiz": (check_quiz, {k: k for k in LESSONS}),
    "predict": (check_predict, {k: k for k in LESSONS}),
    "try_model": (check_try_model, {"two": [0.25, 0.75], "sure": [0.001, 0.998, 0.001 / 2, 0.001 / 2]}),
}  # fmt: skip


def test_every_widget_has_its_check():
    """Those of a lesson have theirs in its folder: test_<widget>_words.py for each function that makes a panel."""
    assert set(CHECKS) == PUBLIC >= {"board", "quiz", "predict"} and len(LESSONS) > 5


WIDGETS = sorted(ROOT.glob("lessons/*/widget*.py"))


@pytest.mark.parametrize("file", WIDGETS, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_every_widget_of_a_lesson_has_its_check(file):
    made = [n for n, f in vars(part(file.parent.name, file.stem)).items() if inspect.isfunction(f) and is_panel(f)]
    texts = [other.read_text(encoding="utf-8") for other in file.parent.glob("test_*_words.py")]
    assert made and all(any(f".{name}(" in text and "def test_it_says_what" in text for text in texts) for name in made)


def is_panel(function) -> bool:
    """Whether it says that it returns a panel."""
    given = inspect.signature(function, eval_str=True).return_annotation
    return inspect.isclass(given) and issubclass(given, widgets.Panel) and not function.__name__.startswith("_")


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, (_, rows) in CHECKS.items() for data in rows])
def test_a_widget_says_what_its_data_say(name, data):
    check, rows = CHECKS[name]
    check(rows[data])


def test_a_text_that_says_another_number_is_found():
    says("rank 4, 1,024 of F1: -0.50 [1.25e-02, 3]", 4, 1024, -0.503, 0.01249, 3.4)
    for wrong in ("0.51", "0.5 and 1", "-0.50"):
        with pytest.raises(AssertionError):
            says(wrong, 0.5)
