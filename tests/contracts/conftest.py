"""The tiny network and its grid, for contracts too."""

import pytest
from reads import watched

from test_paired_runs import grid, tiny  # noqa: F401 (fixtures)


@pytest.fixture
def reads(monkeypatch):
    """Every reading of a split from here on, see reads.Reads."""
    return watched(monkeypatch)
