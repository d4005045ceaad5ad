"""check(): an exercise's checker, run here and now, without an account.

The checkers of a lesson are functions in ftlib/exercises/<name>.py: each takes what the learner made and returns ""
if it is right, or else the hint that fits what is wrong. Whatever the learner's code raises is an answer, too.
"""

from importlib import import_module

from ftlib.assets import AssetError
from ftlib.teach.text import Text

STUB = "it still raises NotImplementedError: write your answer in its place, run that cell, then this one again."


class Check(Text):
    """What a checker said; `passed` is True or False."""

    def __init__(self, exercise: str, hint: str):
        super().__init__(f"**{exercise}: not yet.** {hint}" if hint else f"**{exercise}: passed.**")
        self.passed = not hint


def check(exercise: str, answer, *, strict: bool = False) -> Check:
    """Check what a learner made for an exercise, such as "01_full/accumulate".

    The result shows itself as a sentence. With strict, as in a graded notebook, a wrong answer is an AssertionError.
    """
    result = Check(exercise, _hint(_checker(exercise), answer))
    if strict and not result.passed:
        raise AssertionError(str(result))
    return result


def _checker(exercise: str):
    lesson, _, name = exercise.partition("/")
    known = import_module(f"ftlib.exercises.{lesson.partition('_')[2]}").EXERCISES
    if name not in known:
        raise KeyError(f"{lesson} has no exercise called {name!r}: there are {', '.join(known)}")
    return known[name]


def _hint(checker, answer) -> str:
    if answer is None or answer is ...:
        return "There is no answer here: it was handed " + (
            "None." if answer is None else "the three dots of the stub."
        )
    try:
        return checker(answer)
    except NotImplementedError:
        return "Your answer is not there yet: " + STUB
    except (AssetError, FileNotFoundError):  # what the checker needs is missing: no fault of the answer
        raise
    except Exception as error:
        return f"Your code stopped with {type(error).__name__}: `{error}`"
