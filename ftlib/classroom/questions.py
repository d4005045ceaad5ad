"""Questions are data: lessons/<lesson>/questions.<language>.json, a list of

    {"id", "kind": "predict" or "quiz", "text", "options": [{"key", "text", "why", "right" (quiz only)}]}

`why` is the explanation that a learner who chose this option reads. Ids and keys are the contract between languages;
FTLIB_LANG chooses one, English stands in for what is not translated. Answers are kept (answers.py), so that a notebook
that is run again remembers.
"""

import os

from ftlib.classroom import answers
from ftlib.classroom.question_files import read_questions
from ftlib.classroom.text import Text
from ftlib.io import places


class Question(Text):
    """One question of a lesson, which shows itself with its options."""

    def __init__(self, lesson: str, said: dict):
        self.lesson, self.id, self.text = lesson, said["id"], said["text"]
        self.options = {option["key"]: option for option in said["options"]}
        listed = "\n".join(f"- **{key}**: {option['text']}" for key, option in self.options.items())
        super().__init__(f"**{self.text}**\n\n{listed}")

    @property
    def answer(self) -> str | None:
        """The key that the learner chose, now or in an earlier run."""
        kept = answers.read(self.lesson).get(self.id)
        return kept if isinstance(kept, str) and kept in self.options else None

    def _option(self, key: str) -> dict:
        if key not in self.options:
            raise ValueError(f"{self.id} has the options {', '.join(self.options)}, but the answer is {key!r}")
        return self.options[key]

    def _keep(self, key: str) -> tuple[dict, str]:
        """The chosen option, and what is to be said if it could not be written."""
        return self._option(key), answers.keep(self.lesson, self.id, key)


class Prediction(Question):
    """A question whose right option is decided by what happens."""

    def commit(self, key: str) -> Text:
        """Keep an answer; a later one replaces it."""
        chosen, trouble = self._keep(key)
        return Text(f"Your prediction is kept: **{chosen['text']}** Now run the cells below.{trouble}")

    def compare(self, actual: str) -> Text:
        """Set the kept answer beside the option that came true, and explain a wrong one."""
        happened, answer = self._option(actual)["text"], self.answer
        if answer is None:
            return Text(f"Not answered yet: the answer was **{happened}**")
        if answer == actual:
            return Text(f"You predicted what happened: **{happened}**")
        chosen = self.options[answer]
        return Text(f"You predicted: {chosen['text']} What happened: **{happened}** {chosen['why']}")


class Quiz(Question):
    """A question with one right option."""

    def choose(self, key: str) -> "Marked":
        """Keep an answer and say whether it is right, and why."""
        chosen, trouble = self._keep(key)
        mark = "Right." if chosen["right"] else "Not quite."
        return Marked(chosen["right"], f"**{mark}** {chosen['why']}{trouble}")


class Marked(Text):
    """An answer that was marked."""

    def __init__(self, right: bool, markdown: str):
        super().__init__(markdown)
        self.right = right


def predict(lesson: str, name: str) -> Prediction:
    """A prediction of a lesson, by its id."""
    return Prediction(lesson, _find(lesson, name, "predict"))


def quiz(lesson: str, name: str) -> Quiz:
    """A quiz question of a lesson, by its id."""
    return Quiz(lesson, _find(lesson, name, "quiz"))


def load(lesson: str, kind: str) -> list[dict]:
    """The questions of one kind, in the order of the file, in the learner's language."""
    language = os.environ.get("FTLIB_LANG") or "en"
    files = [places.lesson(lesson) / f"questions.{name}.json" for name in ("en", language)]
    if not files[0].exists():
        raise FileNotFoundError(f"the lesson {lesson!r} has no questions: write them into {files[0]}")
    found = {}
    for file in files:
        found |= {said["id"]: said for said in (read_questions(file) if file.exists() else ())}
    return [said for said in found.values() if said["kind"] == kind]


def _find(lesson: str, name: str, kind: str) -> dict:
    known = {said["id"]: said for said in load(lesson, kind)}
    if name not in known:
        raise KeyError(f"{lesson} has no {kind} question called {name!r}: there are {', '.join(known)}")
    return known[name]
