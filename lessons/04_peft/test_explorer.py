"""The rank explorer without a browser: every control at its corner values, and what the words say of them."""

import html
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest

from ftlib.classroom.lessons import part
from ftlib.evidence.compare import interval
from panels import check_controls, check_without_a_kernel

EXPLORER = part("04_peft", "widget_explorer")
energy = EXPLORER.energy

METRIC = "test.macro_f1"
SIGMA = {"query": [8.0, 4.0, 2.0, 1.0, 0.5, 0.25], "wide": [3.0, 3.0, 3.0, 0.1]}
SHAPES = {"query": (6, 6), "wide": (4, 10)}
CORNERS = list(itertools.product(SIGMA, [1, 2, 6]))


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def updates():
    """Matrices with exactly these singular values."""
    rng = np.random.default_rng(0)

    def turn(n):
        return np.linalg.qr(rng.normal(size=(n, n)))[0]

    out = {}
    for name, sigma in SIGMA.items():
        rows, columns = SHAPES[name]
        middle = np.zeros((rows, columns))
        np.fill_diagonal(middle, sigma)
        out[name] = turn(rows) @ middle @ turn(columns)
    return out


def runs():
    """Full fine-tuning (rank 0) and LoRA of ranks 1 and 4, six seeds each."""
    return pd.DataFrame(
        {"rank": rank, "seed": seed, METRIC: 0.7 + rank / 100 + (seed - 2.5) / 1000}
        for rank in (0, 1, 4) for seed in range(6)
    )  # fmt: skip


@pytest.fixture
def explorer():
    return EXPLORER.rank_explorer(updates(), runs(), METRIC)


def shown(explorer) -> str:
    return html.unescape(re.sub("<.*?>", "", explorer.words.value))


def state(explorer) -> str:
    figure = explorer.figure
    return json.dumps([figure.to_plotly_json()["data"], figure.layout.title.text], default=list)


def test_the_controls_offer_every_matrix_and_powers_of_two_up_to_the_whole(explorer):
    assert explorer.matrix.options == ("query", "wide")
    assert [rank for _, rank in explorer.rank.options] == [1, 2, 4, 6]


@pytest.mark.parametrize(("name", "rank"), CORNERS)
def test_at_every_corner_the_figure_is_the_spectrum(explorer, name, rank):
    before = [trace.uid for trace in explorer.figure.data]
    explorer.matrix.value, explorer.rank.value = name, rank
    kept, left, cumulative = explorer.figure.data
    assert [trace.uid for trace in explorer.figure.data] == before  # in place
    sigma, most = np.array(SIGMA[name]), min(rank, len(SIGMA[name]))
    assert explorer.spectrum == pytest.approx(sigma)
    assert list(kept.y) == pytest.approx(sigma[:most] / sigma[0]) and list(kept.x) == list(range(1, most + 1))
    assert list(left.y) == pytest.approx(sigma[most - 1 :] / sigma[0])
    share = (sigma**2).cumsum() / (sigma**2).sum()
    assert list(cumulative.y) == pytest.approx(share)
    rows, columns = SHAPES[name]
    assert shown(explorer) == explorer.alt == explorer.figure.layout.meta["alt"]
    assert f"keep {100 * share[most - 1]:.0f} % of the update's energy" in explorer.alt
    assert f"Parameters: {most * (rows + columns):,} in place of {rows * columns:,}" in explorer.alt


def test_the_energy_of_all_matrices_together_is_that_of_one_large_one(explorer):
    explorer.rank.value = 2
    kept = sum(sum(s**2 for s in sigma[:2]) for sigma in SIGMA.values())
    whole = sum(sum(s**2 for s in sigma) for sigma in SIGMA.values())
    assert f"Of all 2 matrices together: {100 * kept / whole:.0f} %." in explorer.alt


def test_a_rank_above_a_matrix_says_so(explorer):
    explorer.matrix.value, explorer.rank.value = "wide", 6
    assert "rank 4, since wide has no more than 4: the first 4 of 4 directions keep 100 %" in explorer.alt


def test_every_control_changes_the_figure_and_the_words(explorer):
    seen = {(state(explorer), shown(explorer))}
    for control, value in ((explorer.rank, 2), (explorer.matrix, "wide"), (explorer.rank, 1)):
        control.value = value
        seen.add((state(explorer), shown(explorer)))
    assert len({figure for figure, _ in seen}) == len({words for _, words in seen}) == 4


@pytest.mark.parametrize(
    ("rank", "recorded", "said"), [(1, 1, "rank 1 "), (4, 4, "rank 4 "), (2, 1, "rank 1 (the nearest) ")]
)
def test_the_nearest_recorded_rank_and_full_fine_tuning_stand_beside(explorer, rank, recorded, said):
    explorer.rank.value = rank
    scores = runs()

    def words(of):
        mean, low, high = interval(scores[scores["rank"] == of][METRIC].to_numpy())
        return f"{mean:.3f} [{low:.3f}, {high:.3f}], 6 seeds"

    assert explorer.alt.endswith(
        f"Recorded macro f1 on test: LoRA of {said}{words(recorded)}; full fine-tuning {words(0)}."
    )


def test_a_change_is_one_message(explorer):
    sent = []
    for name in ("_py2js_update", "_py2js_restyle", "_py2js_relayout", "_py2js_addTraces", "_py2js_deleteTraces"):
        explorer.figure.observe(lambda change: sent.append(change.name) if change.new else None, names=name)
    explorer.rank.value = 4
    assert sent == ["_py2js_update"]


def test_every_control_has_a_name_and_is_used_from_the_keyboard(explorer):
    check_controls(explorer, ["Matrix", "Rank"])


def test_it_can_be_seen_and_read_without_a_kernel(explorer):
    check_without_a_kernel(explorer, 80_000, lambda: setattr(explorer.rank, "value", 4))


def test_a_callback_that_fails_is_an_error(explorer):
    explorer.spectra = {"query": explorer.spectra["query"]}
    with pytest.raises(KeyError):
        explorer.matrix.value = "wide"


def test_energy_is_a_share_that_ends_at_one():
    assert energy([3, 4][::-1]) == pytest.approx([16 / 25, 1])


@pytest.mark.parametrize("column", ["rank", "seed", METRIC])
def test_runs_that_lack_a_column_are_one_sentence(column):
    with pytest.raises(ValueError, match=rf"the rank explorer needs runs with the columns .*: \['{column}'\] lack"):
        EXPLORER.rank_explorer(updates(), runs().drop(columns=column), METRIC)


@pytest.mark.parametrize("update", [np.zeros((3, 3)), np.ones(3), np.full((2, 2), np.nan)])
def test_what_is_no_update_is_one_sentence(update):
    with pytest.raises(ValueError, match="the update of q must be a matrix of finite numbers that are not all 0"):
        EXPLORER.rank_explorer({"q": update}, runs(), METRIC)


def test_no_matrix_is_one_sentence():
    with pytest.raises(ValueError, match="needs at least one matrix"):
        EXPLORER.rank_explorer({}, runs(), METRIC)
