"""Predictions and quizzes as radio buttons. Choose an option with the arrow keys, and commit it with the button."""

import ipywidgets

from ftlib import classroom as teach
from ftlib.classroom.widgets.panel import Panel, said, say

WIDE = ipywidgets.Layout(width="auto")


class Asked(Panel):
    """One question. `choice` holds the chosen key, `button` commits it, and `reply` shows the response."""

    def __init__(self, question, button: str, answered, again: str):
        self.question, self._answered = question, answered
        options = [(option["text"], key) for key, option in question.options.items()]
        self.choice = ipywidgets.RadioButtons(options=options, value=question.answer, description="Answer", layout=WIDE)
        self.button = ipywidgets.Button(description=button, layout=WIDE)
        self.reply = said(again if question.answer else "Not answered yet.")
        self.button.on_click(self.commit)
        super().__init__([said(f"**{question.text}**"), self.choice, self.button, self.reply], lambda: str(question))

    def commit(self, _=None) -> None:
        """Commit the chosen option. The button calls this."""
        key = self.choice.value
        say(self.reply, "Choose an answer first." if key is None else self._answered(key).markdown)


def predict(lesson: str, name: str) -> Asked:
    """Show a prediction with radio buttons. The learner commits it before running the experiment.

    Parameters
    ----------
    lesson : str
        The lesson's folder, such as "01_full".
    name : str
        Id of the question.

    Returns
    -------
    Asked
        A panel. It shows the answer from an earlier run, if there is one.

    Raises
    ------
    FileNotFoundError
        If the lesson has no questions.
    KeyError
        If there is no prediction with this id.

    Examples
    --------
    >>> asked = ftlib.widgets.predict("01_full", "worst-arm")
    >>> [key for text, key in asked.choice.options], asked.button.description
    (['scratch', 'probe', 'full', 'lp-ft'], 'Commit my prediction')
    """
    question = teach.predict(lesson, name)
    return Asked(question, "Commit my prediction", question.commit, "This is the prediction that you gave. Change it?")


def quiz(lesson: str, *names: str) -> Panel:
    """Show quiz questions with radio buttons. Each answer is explained at once.

    Parameters
    ----------
    lesson : str
        The lesson's folder, such as "01_full".
    *names : str
        Ids of the questions. By default all quiz questions of the lesson are shown.

    Returns
    -------
    Panel
        Its attribute `asked` is the list of questions.

    Raises
    ------
    FileNotFoundError
        If the lesson has no questions.
    KeyError
        If there is no quiz question with one of the ids.

    Examples
    --------
    >>> panel = ftlib.widgets.quiz("01_full", "balanced-accuracy")
    >>> [text for text, key in panel.asked[0].choice.options]
    ['69 %', '50 %', '31 %', '0 %, since it finds no defect']
    """
    names = names or tuple(one["id"] for one in teach.questions.load(lesson, "quiz"))
    found = [teach.quiz(lesson, name) for name in names]
    again = "This is the answer that you gave. Check it again?"
    asked = [Asked(question, "Check my answer", question.choose, again) for question in found]
    panel = Panel(asked, lambda: "\n\n".join(str(one.question) for one in asked))
    panel.asked = asked
    return panel
