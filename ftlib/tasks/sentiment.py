"""Sentiment: 23,703 English sentences from four domains, each rated by people from -4 to 4.

Tweets, Amazon reviews, film reviews, newspaper opinion: one question, other words, and other *shares* (2 %
of the film sentences are neutral, 20 % of the newspaper's), which is the trap of domain adaptation.
`target` says what is learnt. "polarity": negative or positive, where the mean is clear (|rating| >= 0.5).
"three": with neutral between, by the paper's rule. "rating": the mean itself. Every target cuts the
sentences into the same splits. "sentiment@rating" and "sentiment@rater_sd" ask any of them for one more number, the
mean and the standard deviation of the raters.

Amazon and newspaper sentences come several a review or article, and these stay together. 60 tweets and 2
film sentences are in the file twice, and equal texts stay together too. Film sentences do not name their
review: some leakage remains. The film file lies sorted by rating: who cuts it unshuffled trains on praise
and tests on blame.

Hutto and Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
Text", ICWSM.
"""

import gzip
from functools import lru_cache

import numpy as np
import torch

from ftlib import assets
from ftlib.tasks.checks import choose
from ftlib.tasks.splits import group_stratified_split, make_splits
from ftlib.tasks.task import Split, Task

CARDS = ["sentiment"]  # in data/cards/
DOMAINS = ("tweets", "amazon", "movies", "nyt")
CLASSES = {"polarity": ["negative", "positive"], "three": ["negative", "neutral", "positive"], "rating": []}
QUESTIONS = {"rating": [], "rater_sd": []}  # columns that are numbers
CLEAR = 0.5  # |rating| from which a sentence counts as negative or positive
DRAWS = 20  # reviews differ in tone, so the evenest of 20 drawn splits is used
NEUTRAL = 0.2  # 0.05 on the scale of -1 to 1 in the paper (page 9) is 0.2 on the raters' -4 to 4


def load(domain: str | None, *, seed: int, n: int | None, target: str = "polarity") -> Task:
    """Without a domain: all four. Batches carry `domain` (its place in DOMAINS), `rating` and `rater_sd`."""
    classes = CLASSES[choose("target", target, list(CLASSES))]
    rows = table()
    rating, rater_sd = (np.array([row[name] for row in rows], np.float32) for name in ("rating", "rater_sd"))
    domains = np.array([DOMAINS.index(row["domain"]) for row in rows])
    groups = np.unique([group_of(row) for row in rows], return_inverse=True)[1]
    three = 1 + (rating >= NEUTRAL) - (rating <= -NEUTRAL)
    labels = {"polarity": (rating > 0).astype(int), "three": three, "rating": rating}[target]
    columns = {"domain": domains, "rating": rating, "rater_sd": rater_sd}
    columns = {name: torch.from_numpy(column) for name, column in columns.items()}
    whole = Split([row["text"] for row in rows], labels, len(classes) or 1, columns, groups=groups)
    keep = np.abs(rating) >= (CLEAR if target == "polarity" else 0)
    if domain:
        keep &= domains == DOMAINS.index(domain)
    parts = group_stratified_split(groups, three, domains, seed=seed, draws=DRAWS)
    splits = make_splits(whole, parts, 3 * domains + three, seed=seed, n=n, keep=keep)
    name, metric = f"sentiment/{domain}" if domain else "sentiment", "macro_f1" if classes else "pearson"
    questions = {which: names for which, names in QUESTIONS.items() if which != target}
    return Task(name, "text", classes, metric, splits, {"target": target}, questions=questions)


def group_of(row: dict[str, str]) -> str:
    """What must stay together: the sentences of a review or, where it has one sentence only, equal texts."""
    own = row["review"] in ("", row["id"])
    return f"{row['domain']} {row['text'].strip().lower() if own else row['review']}"


@lru_cache(1)
def table() -> list[dict[str, str]]:
    """The shipped rows: domain, id, review, rating, rater_sd, text."""
    with gzip.open(assets.shipped("sentiment"), "rt", encoding="utf-8", newline="\n") as file:
        names, *rows = (line.rstrip("\n").split("\t") for line in file)
    return [dict(zip(names, row, strict=True)) for row in rows]
