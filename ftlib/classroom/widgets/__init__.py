"""The widgets of the notebooks: the only place that imports ipywidgets, apart from the widgets of single lessons.

Those are in their lesson's folder, and `of_lesson` finds them. Controls are labelled and work from the keyboard.
Sliders are avoided, since theirs have no name that a screen reader could say. Each panel also shows itself where no
kernel runs, as words and, if it has a figure, as a picture.
"""

from types import ModuleType

from ftlib.classroom.lessons import part
from ftlib.classroom.widgets.board import Board, board
from ftlib.classroom.widgets.panel import Panel
from ftlib.classroom.widgets.questions import predict, quiz

__all__ = ["Board", "Panel", "board", "of_lesson", "predict", "quiz"]


def of_lesson(lesson: str, name: str = "") -> ModuleType:
    """The widget that one lesson brings: its file widget.py, or widget_<name>.py where it brings several."""
    return part(lesson, f"widget_{name}" if name else "widget")
