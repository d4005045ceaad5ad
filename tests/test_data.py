"""The real assets, the shipped sentences and the cards are what the catalogue says."""

import gzip
import hashlib
import subprocess
import sys
import time
from collections import Counter, defaultdict

import pytest

from ftlib import assets, tasks


@pytest.mark.parametrize("name", assets.ASSETS)
def test_the_real_assets_are_whole(name: str) -> None:
    assert assets.problem_with(name, thorough=True) is None
    assert assets.path(name).exists()


def test_looking_up_an_asset_is_cheap() -> None:
    start = time.process_time()
    for name in assets.ASSETS:
        assets.path(name)
    assert time.process_time() - start < 1  # measured: 0.1 s, most of it the sha256 of 19 MB
    code = "import sys, ftlib.assets; print({'torch', 'transformers', 'numpy', 'gguf'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_the_shipped_sentences() -> None:
    file = assets.shipped("sentiment")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == assets.SHIPPED["sentiment"][1]
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as opened:
        head, *rows = [line.removesuffix("\n").split("\t") for line in opened]
    assert head == ["domain", "id", "review", "rating", "rater_sd", "text"]
    assert {len(row) for row in rows} == {6}
    assert Counter(row[0] for row in rows) == {"tweets": 4200, "amazon": 3708, "movies": 10605, "nyt": 5190}
    assert len({(row[0], row[1]) for row in rows}) == len(rows)
    assert all(-4 <= float(row[3]) <= 4 and 0 <= float(row[4]) <= 4 and row[5].strip() for row in rows)
    ratings, sds, groups = defaultdict(list), defaultdict(list), defaultdict(set)
    for domain, _, review, rating, sd, _ in rows:
        ratings[domain].append(float(rating) / 4)
        sds[domain].append(float(sd))
        groups[domain].add(review)
    shares = {
        domain: (
            round(sum(r <= -0.05 for r in values) / len(values), 3),
            round(sum(r >= 0.05 for r in values) / len(values), 3),
            round(sum(sds[domain]) / len(values), 2),
            len(groups[domain]),
        )
        for domain, values in ratings.items()
    }
    assert shares == {
        "tweets": (0.286, 0.643, 0.82, 4200),
        "amazon": (0.371, 0.525, 0.70, 300),
        "movies": (0.495, 0.487, 0.89, 10605),
        "nyt": (0.455, 0.340, 0.74, 498),
    }
    assert "MIT License" in (assets.DATA / "sentiment.LICENSE").read_text()


def test_every_asset_has_a_true_card() -> None:
    listed = (assets.DATA / "README.md").read_text(encoding="utf-8")
    cards = {file.stem: file.read_text(encoding="utf-8") for file in (assets.DATA / "cards").glob("*.md")}
    assert set(assets.ASSETS) | set(assets.SHIPPED) <= set(cards)
    assert [name for name in cards if f"(cards/{name}.md)" not in listed] == [], (
        "data/README.md has a row for each card"
    )
    for name, asset in assets.ASSETS.items():
        for fact in (asset.package, asset.version, asset.sha256, f"{asset.size:,} bytes"):
            assert fact in cards[name], (name, fact)
    assert assets.SHIPPED["sentiment"][1] in cards["sentiment"]
    assert [name for name, card in cards.items() if "**Cite.**" not in card] == [], "a card says how to cite its data"


def test_every_task_names_its_cards() -> None:
    named = {f"{name}: {card}" for name, module in tasks.CATALOG.items() for card in module.CARDS}
    assert len(named) >= len(tasks.CATALOG)
    cards = assets.DATA / "cards"
    assert [one for one in named if not (cards / f"{one.partition(': ')[2]}.md").is_file()] == []
