"""A planted bug: a mistake that people have made in earnest, planted into a copy of the library.

The rows of a room stand in bugs_<room>.py, those of a lesson's strategies in lessons/<lesson>/bugs.py. A row gives the
exact text that the file holds, what the bug makes of it, and the tests that must turn red. test_planted.py refuses a
strategy of the catalogue that has no row.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """One mistake in one file, and who finds it."""

    id: str
    of: str  # the strategy in whose lesson it belongs, or the part of the kit that all lessons stand on
    file: str  # from the project's root on
    old: str  # stands in the file exactly once
    new: str
    does: str  # what goes wrong
    red: tuple[str, ...]  # tests, as pytest names them from tests/ on, or "lessons/…"; each must fail, in seconds
