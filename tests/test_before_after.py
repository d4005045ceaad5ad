"""The figure of a win: two bars that say what training was worth."""

import pytest

from ftlib import plots


def test_both_scores_are_said_and_drawn():
    figure = plots.before_after(0.5, 0.87, "Reviews", "right answers")
    assert list(figure.data[0].x) == [0.5, 0.87] and list(figure.data[0].text) == ["50 %", "87 %"]
    assert "50 %" in figure.alt and "87 %" in figure.alt and figure.png()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("before", "after", "name"), [(-0.1, 0.5, "before"), (0.5, 87, "after"), (0.5, float("nan"), "after")]
)
def test_what_is_no_score_is_refused(before, after, name):
    with pytest.raises(ValueError, match=f"{name} must be a score from 0 to 1"):
        plots.before_after(before, after, "Reviews", "right answers")
