"""What the checks of widgets share: all numbers of a text in their order, the lines that a screen reader speaks."""

import html
import re

import pandas as pd
import pytest
from known import BASE, METRIC, NUMBER, of

NLL = "test.nll"


@pytest.fixture
def alone(tmp_path, monkeypatch, caplog):
    """Answers of its own; and an error in a handler, which ipywidgets only logs, fails the test."""
    monkeypatch.setenv("FTLIB_ANSWERS", str(tmp_path))
    monkeypatch.delenv("FTLIB_LANG", raising=False)
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def says(text: str, *expected: float) -> None:
    """All numbers of the text are the expected ones, in order, each rounded to the digits that are shown."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(?<=[A-Za-z_])\d+", "", text)  # F1 is a name
    found = re.findall(NUMBER + r"(?:e[+-]?\d+)?", text)
    assert len(found) == len(expected), f"{found} in {text!r}, expected {expected}"
    for shown, value in zip(found, expected):
        mantissa, _, power = shown.lower().partition("e")
        digits = len(mantissa.partition(".")[2]) - int(power or 0)
        assert abs(float(shown) - value) <= 0.5 * 10**-digits + 1e-9, f"{shown} for {value} in {text!r}"


def status(line) -> str:
    """What stands in a panel's line of words, which a screen reader speaks."""
    assert 'role="status"' in line.value
    return text(line)


def text(line) -> str:
    """What stands in a line, without its tags."""
    return html.unescape(re.sub("<.*?>", "", line.value))


def told(panel, words: str) -> str:
    """The text alternative, which is the same in the panel, below the figure, in the figure and without a kernel."""
    assert words == panel.alt == panel._words()
    if hasattr(panel, "figure"):
        assert panel.figure.layout.meta["alt"] == panel.alt
    return panel.alt


def recorded(rows: pd.DataFrame) -> pd.DataFrame:
    """Three sizes of task t, one of task u without two of the arms, and runs that chose a rate."""

    def grid(task, n, add):
        return rows.assign(task=task, n=n, purpose="measure", **{METRIC: rows[METRIC] + add, NLL: 1 - rows[METRIC]})

    other = grid("u", 50, 0.3)
    parts = [grid("t", None, 0.2), grid("t", 200, 0.1), grid("t", 50, 0.0), other[other.arm.isin([BASE, "mid"])]]
    return pd.concat([*parts, parts[2].assign(purpose="tune", **{METRIC: 9.0, NLL: 9.0})], ignore_index=True)


def spoken(values) -> list[float]:
    """The numbers with which a recorded score is told: mean, interval and how many seeds."""
    return [*of(values), len(values)] if len(values) > 1 else [of(values)[0]]
