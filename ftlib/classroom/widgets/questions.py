"""Predictions and quizzes as radio buttons: choose with the arrow keys, commit with the button."""

import ipywidgets

from ftlib import classroom as teach
from ftlib.classroom.widgets.panel import Panel, said, say

WIDE = ipywidgets.Layout(width="auto")


class Asked(Panel):
    """One question: `choice` holds the chosen key, `button` commits it, `reply` says what came of it."""

    def __init__(self, question, button: str, answered, again: str):
        self.question, self._answered = question, answered
        options = [(option["text"], key) for key, option in question.options.items()]
        self.choice = ipywidgets.RadioButtons(options=options, value=question.answer, description="Answer", layout=WIDE)
        self.button = ipywidgets.Button(description=button, layout=WIDE)
        self.reply = said(again if question.answer else "Not answered yet.")
        self.button.on_click(self.commit)
        super().__init__([said(f"**{question.text}**"), self.choice, self.button, self.reply], lambda: str(question))

    def commit(self, _=None) -> None:
        """What the button does."""
        key = self.choice.value
        say(self.reply, "Choose an answer first." if key is None else self._answered(key).markdown)


def predict(lesson: str, name: str) -> Asked:
    """A prediction to commit before the cells below are run; it remembers."""
    question = teach.predict(lesson, name)
    return Asked(question, "Commit my prediction", question.commit, "This is the prediction that you gave. Change it?")


def quiz(lesson: str, *names: str) -> Panel:
    """The quiz questions of a lesson, or those named; each answer is explained at once."""
    names = names or tuple(one["id"] for one in teach.questions.load(lesson, "quiz"))
    found = [teach.quiz(lesson, name) for name in names]
    again = "This is the answer that you gave. Check it again?"
    asked = [Asked(question, "Check my answer", question.choose, again) for question in found]
    panel = Panel(asked, lambda: "\n\n".join(str(one.question) for one in asked))
    panel.asked = asked
    return panel
