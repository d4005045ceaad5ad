"""Predictions and quizzes as radio buttons. Choose an option with the arrow keys, and commit it with the button."""

import ipywidgets

from ftlib import classroom as teach
from ftlib.classroom.widgets.panel import Panel, paragraph, set_status, status_line

WIDE = ipywidgets.Layout(width="auto")


class Asked(Panel):
    """One question. `choice` holds the chosen key, `button` commits it, and `reply` shows the response."""

    def __init__(self, question, button: str, answered, again: str, go_on: bool = False):
        self.question, self._answered, self._go_on = question, answered, go_on
        options = [(option["text"], key) for key, option in question.options.items()]
        self.choice = ipywidgets.RadioButtons(options=options, value=question.answer, description="Answer", layout=WIDE)
        self.button = ipywidgets.Button(description=button, layout=WIDE)
        self.reply = status_line(again if question.answer else "Not answered yet.")
        self.button.on_click(self.commit)
        asked = paragraph(f"**{question.text}**", "ftlib-question")
        super().__init__([asked, self.choice, self.button, self.reply], lambda: str(question))

    def commit(self, _=None) -> None:
        """Commit the chosen option. The button calls this. After a prediction, the focus goes to the next cell."""
        key = self.choice.value
        if key is None:
            return set_status(self.reply, "Choose an answer first.")
        answer = self._answered(key)
        set_status(self.reply, answer.markdown, getattr(answer, "right", None))
        if self._go_on:
            self.keyboard.next_cell()


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
    again = "This is the prediction that you gave. Change it?"
    return Asked(question, "Commit my prediction", question.commit, again, go_on=True)


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
