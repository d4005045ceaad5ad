"""Questions with options. They are data in lessons/<lesson>/questions.<language>.json, a list of

    {"id", "kind": "predict" or "quiz", "text", "options": [{"key", "text", "why", "right" (quiz only)}]}

A learner who chooses an option reads its `why`, an explanation. The ids and keys are the same in all languages. The
environment variable FTLIB_LANG chooses a language, and a question without a translation is shown in English. Answers
are saved (answers.py) for the next run of the notebook.
"""

import os

from ftlib.classroom import answers
from ftlib.classroom.question_files import read_questions
from ftlib.classroom.text import Outcome, Text
from ftlib.io import places


class Question(Text):
    """A question with its options, {key: option}."""

    def __init__(self, lesson: str, written: dict):
        self.lesson, self.id, self.text = lesson, written["id"], written["text"]
        self.options = {option["key"]: option for option in written["options"]}
        listed = "\n".join(f"- **{key}**: {option['text']}" for key, option in self.options.items())
        super().__init__(f"**{self.text}**\n\n{listed}")

    @property
    def answer(self) -> str | None:
        """The key of the learner's answer, from this or an earlier run, or None."""
        kept = answers.read(self.lesson).get(self.id)
        return kept if isinstance(kept, str) and kept in self.options else None

    def _option(self, key: str) -> dict:
        if key not in self.options:
            raise ValueError(f"{self.id} has the options {', '.join(self.options)}, but the answer is {key!r}")
        return self.options[key]

    def _keep(self, key: str) -> tuple[dict, str]:
        """Save an answer. Returns the chosen option and a sentence, which is "" if the answer was written."""
        return self._option(key), answers.keep(self.lesson, self.id, key)


class Prediction(Question):
    """A question about the result of an experiment, to be answered before the experiment.

    `commit(key)` saves the answer, and `compare(key)` compares it with the option that came true. `ftlib.teach.predict`
    finds a prediction by its id.

    Examples
    --------
    >>> question = ftlib.teach.predict("01_full", "worst-arm")
    >>> isinstance(question, ftlib.teach.Prediction), list(question.options)
    (True, ['scratch', 'probe', 'full', 'lp-ft'])
    """

    def commit(self, key: str) -> Text:
        """Save an answer. A later answer replaces it."""
        chosen, trouble = self._keep(key)
        return Text(f"Your prediction is kept: **{chosen['text']}** Now run the cells below.{trouble}")

    def compare(self, actual: str) -> Text:
        """Compare the saved answer with the option that came true, and explain a wrong one."""
        happened, answer = self._option(actual)["text"], self.answer
        if answer is None:
            return Text(f"Not answered yet: the answer was **{happened}**")
        if answer == actual:
            return Text(f"You predicted what happened: **{happened}**")
        chosen = self.options[answer]
        return Text(f"You predicted: {chosen['text']} What happened: **{happened}** {chosen['why']}")


class Quiz(Question):
    """A question with one right option.

    `choose(key)` saves the answer and explains why it is right or wrong. `ftlib.teach.quiz` finds a question by its id.

    Examples
    --------
    >>> question = ftlib.teach.quiz("01_full", "balanced-accuracy")
    >>> [option["text"] for option in question.options.values() if option["right"]]
    ['50 %']
    """

    def choose(self, key: str) -> "Marked":
        """Save an answer and explain why it is right or wrong."""
        chosen, trouble = self._keep(key)
        said = "Right." if chosen["right"] else "Not quite."
        return Marked(chosen["right"], said, f"{chosen['why']}{trouble}")


class Marked(Outcome):
    """An answer with its mark. The attribute `right` is True or False."""


def predict(lesson: str, name: str) -> Prediction:
    """Find a prediction of a lesson by its id.

    Parameters
    ----------
    lesson : str
        The lesson's folder, such as "01_full".
    name : str
        Id of the question.

    Returns
    -------
    Prediction

    Raises
    ------
    FileNotFoundError
        If the lesson has no questions.
    KeyError
        If there is no prediction with this id.

    Examples
    --------
    >>> question = ftlib.teach.predict("01_full", "worst-arm")
    >>> list(question.options)
    ['scratch', 'probe', 'full', 'lp-ft']
    """
    return Prediction(lesson, _find(lesson, name, "predict"))


def quiz(lesson: str, name: str) -> Quiz:
    """Find a quiz question of a lesson by its id.

    Parameters
    ----------
    lesson : str
        The lesson's folder, such as "01_full".
    name : str
        Id of the question.

    Returns
    -------
    Quiz

    Raises
    ------
    FileNotFoundError
        If the lesson has no questions.
    KeyError
        If there is no quiz question with this id.

    Examples
    --------
    >>> question = ftlib.teach.quiz("01_full", "balanced-accuracy")
    >>> {key: option["text"] for key, option in question.options.items()}
    {'a': '69 %', 'b': '50 %', 'c': '31 %', 'd': '0 %, since it finds no defect'}
    """
    return Quiz(lesson, _find(lesson, name, "quiz"))


def load(lesson: str, kind: str) -> list[dict]:
    """All questions of one kind in the learner's language, in the order of the file."""
    language = os.environ.get("FTLIB_LANG") or "en"
    files = [places.lesson(lesson) / f"questions.{name}.json" for name in ("en", language)]
    if not files[0].exists():
        raise FileNotFoundError(f"the lesson {lesson!r} has no questions: write them into {files[0]}")
    found = {}
    for file in files:
        found |= {written["id"]: written for written in (read_questions(file) if file.exists() else ())}
    return [written for written in found.values() if written["kind"] == kind]


def _find(lesson: str, name: str, kind: str) -> dict:
    known = {written["id"]: written for written in load(lesson, kind)}
    if name not in known:
        raise KeyError(f"{lesson} has no {kind} question called {name!r}: there are {', '.join(known)}")
    return known[name]
