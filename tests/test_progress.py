"""A bar in a notebook is one display that goes away; in a terminal it is tqdm's own."""

import IPython
import pytest
from tqdm import tqdm

import toy
from ftlib import fit, strategies
from ftlib.io import progress as bars


class Handle:
    """Stands for IPython's handle of a display: what was shown, in order."""

    shown: list = []

    def display(self, data, raw):
        assert raw
        Handle.shown.append(("new", data))

    def update(self, data, raw):
        assert raw
        Handle.shown.append(("again", data))


@pytest.fixture
def notebook(monkeypatch, capsys):
    """As in a kernel. Nothing may be written to stderr."""
    monkeypatch.setattr(bars, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "DisplayHandle", Handle)
    Handle.shown = []
    yield Handle.shown
    assert capsys.readouterr().err == ""


def test_one_display_is_updated_and_taken_away(notebook):
    assert list(bars.progress(range(5), mininterval=0)) == [0, 1, 2, 3, 4]
    kinds = [kind for kind, _ in notebook]
    assert kinds[0] == "new" and set(kinds[1:]) == {"again"} and len(kinds) > 3
    assert '<progress value="0" max="5"' in notebook[0][1]["text/html"] and notebook[-1] == ("again", {})


def test_what_is_quick_or_silent_shows_nothing(notebook):
    list(bars.progress(range(3), delay=60))
    list(bars.progress(range(3), disable=True))
    assert notebook == []


def test_an_error_inside_takes_it_away_too(notebook):
    with pytest.raises(KeyboardInterrupt), bars.progress(range(3), mininterval=0) as bar:
        for _ in bar:
            raise KeyboardInterrupt
    assert notebook[-1] == ("again", {})


def test_fit_closes_its_bar_where_it_is_interrupted(notebook, monkeypatch):
    """Though the traceback keeps the frame of `fit`, and with it the bar."""
    made, real = [], bars.progress

    def kept(*args, **how):
        made.append(real(*args, **{**how, "delay": 0, "mininterval": 0}))
        return made[-1]

    class Stops(strategies.Full):
        def before_step(self, model, progress):
            if progress > 0.4:
                raise KeyboardInterrupt

    monkeypatch.setattr("ftlib.training.setup.progress", kept)
    with pytest.raises(KeyboardInterrupt) as stopped:
        fit(toy.net(), toy.data(16), Stops(), steps=10, lr=1e-3)
    assert stopped.value.__traceback__ and made[0].disable and notebook[-1] == ("again", {})


def test_a_terminal_has_tqdms_own(monkeypatch):
    monkeypatch.setattr(bars, "in_notebook", lambda: False)
    assert type(bars.progress(range(2), disable=True)) is tqdm
