"""The rows of planted bugs are up to date: a quick look, where test_planted.py runs them all."""

from test_planted import BUGS, ROOT


def test_the_text_that_a_row_replaces_stands_once_in_its_file():
    times = {bug.id: (ROOT / bug.file).read_text(encoding="utf-8").count(bug.old) for bug in BUGS}
    assert not {name: n for name, n in times.items() if n != 1}
