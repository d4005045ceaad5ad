"""A quiz can't be answered by its looks: the right option is rarely the longest one, and never by much."""

import pytest

from ftlib.classroom import questions
from ftlib.io import places

LESSONS = [name for name in places.lessons() if (places.lesson(name) / "questions.en.json").exists()]
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
