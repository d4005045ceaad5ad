"""Neither a quiz nor a task can be answered by its looks.

The right option of a quiz is rarely the longest one, and never by much. The example that the stub of a task gives is
not the answer.
"""

import ast
import re
import sys
from pathlib import Path

import pytest

from ftlib import classroom as teach
from ftlib.classroom import questions
from ftlib.io import places

sys.path.insert(0, str(Path(__file__).parents[1] / "lessons"))
import build

LESSONS = [name for name in places.lessons() if (places.lesson(name) / "questions.en.json").exists()]
STUB = r"^(\w+) = None  # (.*)$"  # as a learner finds it
OFTEN = 0.4  # of a lesson's questions; of three options of equal standing, each is the longest in a third
FAR = 1.25  # times the second longest: so much is seen at a glance


def lengths(question: dict) -> tuple[int, int]:
    """Characters of the right option, and of the longest wrong one."""
    right = next(len(option["text"]) for option in question["options"] if option["right"])
    return right, max(len(option["text"]) for option in question["options"] if not option["right"])


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_right_option_does_not_stand_out_by_its_length(lesson):
    found = {question["id"]: lengths(question) for question in questions.load(lesson, "quiz")}
    longest = [name for name, (right, wrong) in found.items() if right > wrong]
    assert len(longest) <= OFTEN * len(found), f"shorten right options or lengthen wrong ones: {longest}"
    assert [name for name, (right, wrong) in found.items() if right > FAR * wrong] == []


def test_lengths_are_measured():
    options = [{"text": "no", "right": False}, {"text": "yes", "right": True}, {"text": "perhaps", "right": False}]
    assert lengths({"options": options}) == (3, 7)


def stubs() -> dict[str, tuple[str, str, ast.expr]]:
    """{exercise: the stub's name, its comment, what is handed to the check} of all tasks that ask for a number."""
    found = {}
    for source in build.lessons([]):
        for cell in build.read(source).cells:
            stub = re.search(STUB, cell.source, re.M) if cell.cell_type == "code" else None
            if stub and (called := re.search(r"^teach\.check\(.*?\)$", cell.source, re.M | re.S)):
                exercise, answer = ast.parse(called[0]).body[0].value.args
                found[exercise.value] = (stub[1], stub[2], answer)
    return found


STUBS = stubs()


def test_the_stubs_were_found():
    assert len(STUBS) >= 7 and {"02_freezing/board", "08_augmentation/samples"} <= set(STUBS)


@pytest.mark.parametrize("exercise", STUBS)
def test_the_example_of_a_stub_is_not_the_answer(exercise):
    """Where the check needs the widget, no number is given at all."""
    name, comment, answer = STUBS[exercise]
    numbers = re.findall(r"-?\d+(?:\.\d+)?", comment)
    if isinstance(answer, ast.Name) and answer.id == name:
        assert not [number for number in numbers if teach.check(exercise, float(number)).passed]
    else:
        assert numbers == [], "say what kind of number is asked for, and give none"
