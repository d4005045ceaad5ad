"""What the widget `rank_explorer` says, in its figure, its title, its words and its status, is what its data say."""

import math

import numpy as np
import pytest
from known import DATA, METRIC, close, every, scores
from words import NLL, alone, recorded, says, spoken, status, told  # noqa: F401 (a fixture)

from ftlib.classroom.lessons import part

EXPLORER = part("04_peft", "widget_explorer")
pytestmark = pytest.mark.usefixtures("one_thread", "alone")


SIGMA = {"query": [8.0, 4.0, 2.0, 1.0, 0.5, 0.25], "wide": [3.0, 3.0, 3.0, 0.1]}
SHAPES = {"query": (6, 6), "wide": (4, 10)}


def updates():
    rng = np.random.default_rng(0)
    out = {}
    for name, sigma in SIGMA.items():
        (left, _), (right, _) = (np.linalg.qr(rng.normal(size=(n, n))) for n in SHAPES[name])
        out[name] = left[:, : len(sigma)] @ np.diag(sigma) @ right[: len(sigma)]
    return out


def check_rank_explorer(rows):
    names = list(dict.fromkeys(rows.arm))
    ranks = dict(zip(names, (4, 0, 1)))  # the first arm is LoRA of rank 4, the second is full fine-tuning
    runs = rows[rows.arm.isin(ranks)].assign(rank=lambda r: r.arm.map(ranks))
    explorer = EXPLORER.rank_explorer(updates(), runs, METRIC)
    found = {rank: list(scores(rows, arm).values()) for arm, rank in ranks.items()}
    for at in every(matrix=list(SIGMA), rank=[value for _, value in explorer.rank.options]):
        explorer.matrix.value, explorer.rank.value = at["matrix"], at["rank"]
        alt, sigma = told(explorer, status(explorer.words)), SIGMA[at["matrix"]]
        rank, squares = min(at["rank"], len(sigma)), [s * s for s in sigma]
        kept = [sum(squares[: i + 1]) / sum(squares) for i in range(len(sigma))]
        inside, outside, curve = explorer.figure.data
        assert close(inside.y, [s / sigma[0] for s in sigma[:rank]]) and list(inside.x) == [*range(1, rank + 1)]
        assert close(outside.y, [s / sigma[0] for s in sigma[rank - 1 :]])
        assert list(outside.x) == [*range(rank, len(sigma) + 1)] and close(curve.y, kept)
        every_square = sum(s * s for other in SIGMA.values() for s in other)
        together = sum(s * s for other in SIGMA.values() for s in other[: at["rank"]]) / every_square
        (high, wide), share = SHAPES[at["matrix"]], 100 * kept[rank - 1]
        size = rank * (high + wide)
        nearest = min(sorted(r for r in found if r), key=lambda r: abs(math.log(r / at["rank"])))
        last = [n for r in (nearest, 0) if r in found for n in (*([r] if r else []), *spoken(found[r]))]
        beyond = [rank] if rank < at["rank"] else []
        of_all = [size, high * wide, 100 * size / (high * wide), len(SIGMA), 100 * together]
        says(alt, high, wide, rank, *beyond, rank, len(sigma), share, *of_all, *last)
        assert ("(the nearest)" in alt) == (nearest != at["rank"]) and ("no more than" in alt) == (rank < at["rank"])
        assert f"LoRA of rank {nearest}" in alt and alt.index("LoRA of rank") < alt.index("full fine-tuning")
        assert "accuracy on test" in alt and alt.startswith(at["matrix"])
        assert explorer.figure.layout.title.text == f"{at['matrix']}: rank {rank} keeps {share:.0f} %"


ROWS = {k: v for k, v in DATA.items() if v.arm.nunique() > 2}


@pytest.mark.parametrize("name", ROWS)
def test_it_says_what_its_data_say(name):
    check_rank_explorer(ROWS[name])
