"""The widgets that all lessons share. Apart from the widgets of single lessons, only this folder imports ipywidgets.

The widgets of a lesson are in its folder, and `of_lesson` finds them. All controls have labels and work with the
keyboard. There are no sliders, since screen readers can't read their names. Without a kernel, each panel is shown as
text and, if it has a figure, as an image.
"""

from types import ModuleType

from ftlib.classroom.lessons import part
from ftlib.classroom.widgets.board import Board, board
from ftlib.classroom.widgets.panel import Panel
from ftlib.classroom.widgets.questions import predict, quiz
from ftlib.classroom.widgets.try_model import TryModel, try_model

__all__ = ["Board", "Panel", "TryModel", "board", "of_lesson", "predict", "quiz", "try_model"]


def of_lesson(lesson: str, name: str = "") -> ModuleType:
    """Load the widgets of one lesson.

    Parameters
    ----------
    lesson : str
        The lesson's folder, such as "06_schedules".
    name : str, default ""
        For a lesson with several widgets, the part after "widget_" of the file's name. By default the file is
        widget.py.

    Returns
    -------
    module

    Raises
    ------
    FileNotFoundError
        If there is no such lesson, or if it has no such file.

    Examples
    --------
    >>> widget = ftlib.widgets.of_lesson("08_augmentation", "samples")
    >>> callable(widget.samples)
    True
    """
    return part(lesson, f"widget_{name}" if name else "widget")
