"""What the panel of five tools says, in its table, its title and its words, is what the exports say."""

import itertools

import pytest
from words import alone, status, told  # noqa: F401 (a fixture)

from ftlib import tools
from ftlib.classroom.lessons import part

WIDGET = part("10_tools", "widget")
pytestmark = pytest.mark.usefixtures("alone")
CHATS = [[("user", f"Is {n} even?"), ("assistant", "Yes." if n % 2 == 0 else "No.")] for n in range(8)]
SIGNS = {"✔", "ignored", "refused", "–"}


def check_handover(data, tmp_path):
    panel = WIDGET.handover(CHATS, ["Copper is a metal."] * 4, tmp_path)
    panel.data.value = data
    for strategy, schedule, rank in itertools.product(WIDGET.STRATEGIES, ("cosine", "one cycle"), (8, 64)):
        panel.strategy.value, panel.schedule.value = strategy, schedule
        if not panel.rank.disabled:
            panel.rank.value = rank
        alt = told(panel, status(panel.words))
        (table,) = panel.figure.data
        title = panel.figure.layout.title.text
        assert title == panel.title and alt.startswith(title)
        assert (f"rank {rank}" in title) == (not panel.rank.disabled)
        assert list(table.y) == list(tools.TOOLS) and list(table.x) == list(WIDGET.ASPECTS)
        for name, row in zip(table.y, table.text):
            assert set(row) <= SIGNS
            made = panel.exports[name]
            if isinstance(made, str):
                assert set(row) == {"refused"} and f"{name}: refused." in alt
                continue
            lost = " | ".join(tools.lost_in(made))
            shown = dict(zip(table.x, row))
            if not panel.rank.disabled:
                assert (shown["rank"] == "ignored") == ("choice of the rank" in lost)
            else:
                assert shown["rank"] == shown["scale, dropout"] == "–"
            assert (shown["schedule"] == "ignored") == ("chedule" in lost or "OneCycle" in lost)
            assert (shown["precision"] == "ignored") == ("precision" in lost)
            assert (shown["clipping, decay"] == "ignored") == ("clipping" in lost)
            ignored = [aspect for aspect, sign in shown.items() if sign == "ignored"]
            assert f"{name}: {'ignored: ' + ', '.join(ignored) if ignored else 'all honoured'}." in alt
            # what is ignored stands in some column
            assert bool(ignored) == bool(lost), lost


@pytest.mark.parametrize("name", WIDGET.DATA)
def test_it_says_what_its_data_say(name, tmp_path):
    check_handover(name, tmp_path)
