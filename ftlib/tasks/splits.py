"""Splits: which examples are learnt from, which decide, which judge.

What makes a test honest is not the share of examples but what is kept together: the cells of one solar
module, the sentences of one review. So whole *groups* are drawn, and none has members on two sides. And
within that, shares should not depend on luck: `stratified_order` spreads the classes evenly, and every cut
through it is stratified.
"""

import numpy as np

from ftlib.tasks.task import SPLITS, Split

TEST, VALIDATION = 0.25, 0.15  # a quarter is tested, as in Deitsch et al. 2019; 15 % of the rest decides
SUBSET = 1_000_000  # beside the seed, so that subset and split are drawn from different random numbers


def stratified_order(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw an order of N rows. Any first part of it holds each stratum in its share, to one row.

    Parameters
    ----------
    strata : ndarray, shape (N,)
        The stratum of each row.
    rng : numpy.random.Generator
        Draws the order.

    Returns
    -------
    ndarray of int, shape (N,)
        Row numbers.

    Examples
    --------
    >>> strata = np.array([0, 0, 0, 0, 1, 1])
    >>> order = stratified_order(strata, np.random.default_rng(0))
    >>> strata[order[:3]].sum(), strata[order[3:]].sum()
    (np.int64(1), np.int64(1))
    """
    place = np.empty(len(strata))
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return place.argsort(kind="stable")


def group_stratified_split(
    groups: np.ndarray,
    classes: np.ndarray,
    domains: np.ndarray | None = None,
    *,
    seed: int,
    draws: int = 1,
    test: float = TEST,
    validation: float = VALIDATION,
) -> dict[str, np.ndarray]:
    """Split rows into train, validation and test. Groups stay whole, and classes keep about their share.

    Parameters
    ----------
    groups : ndarray, shape (N,)
        Rows with equal values are a group. No group has rows in two splits.
    classes : ndarray of int, shape (N,)
        The class of each row.
    domains : ndarray, shape (N,), optional
        Each domain is split on its own, in the same way whether it is loaded alone or with the others.
    seed : int
        Fixes the split.
    draws : int, default 1
        Where groups differ much, one draw may be uneven. The most even of this many draws is used.
    test : float, default 0.25
        Share of all rows.
    validation : float, default 0.15
        Share of the rows that are not tested.

    Returns
    -------
    dict of str to ndarray of int
        Row numbers of each split.

    Examples
    --------
    >>> groups, classes = np.repeat(np.arange(20), 5), np.arange(100) % 2
    >>> rows = group_stratified_split(groups, classes, seed=0)
    >>> {split: len(found) for split, found in rows.items()}, set(groups[rows["train"]]) & set(groups[rows["test"]])
    ({'test': 25, 'validation': 10, 'train': 65}, set())
    """
    domains = np.zeros(len(groups), int) if domains is None else domains
    part = np.empty(len(groups), int)
    for domain in np.unique(domains):
        rows = np.flatnonzero(domains == domain)
        rng = np.random.default_rng([seed, domain])
        drawn = [_cut(groups[rows], classes[rows], rng, test, validation) for _ in range(draws)]
        part[rows] = min(drawn, key=lambda cut: _unevenness(cut, classes[rows]))
    return {split: np.flatnonzero(part == k) for k, split in enumerate(("test", "validation", "train"))}


def _cut(
    groups: np.ndarray, classes: np.ndarray, rng: np.random.Generator, test: float, validation: float
) -> np.ndarray:
    """One draw: the number of each row's split. Groups of similar classes form a stratum."""
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = stratified_order(np.round(4 * np.bincount(number, classes) / sizes), rng)
    share = sizes[order] / len(groups)
    middle = share.cumsum() - share / 2  # of each group, on a line from 0 to 1
    tested = share[middle < test].sum()
    cut = np.empty(len(sizes), int)
    cut[order] = np.digitize(middle, [tested, tested + validation * (1 - tested)])
    return cut[number]


def _unevenness(cut: np.ndarray, classes: np.ndarray) -> float:
    """The largest distance between a class's share in one split and in all rows."""
    here = [classes == c for c in np.unique(classes)]
    return max(abs(row[cut == k].mean() - row.mean()) for k in np.unique(cut) for row in here)


def subsample(part: Split, n: int, seed: int) -> Split:
    """Keep at most n rows of a split, with the classes in their shares.

    Parameters
    ----------
    part : Split
        The split to draw from. It stays as it is.
    n : int
        Number of rows. A split with fewer stays whole.
    seed : int
        Fixes the draw. For one seed a smaller n is part of a larger one.

    Returns
    -------
    Split
        The rows in their order.

    Examples
    --------
    >>> part = Split(torch.rand(6, 1, 8, 8), [0, 0, 0, 0, 1, 1], classes=2)
    >>> subsample(part, 3, seed=0).labels
    tensor([0, 0, 1])
    """
    if n >= len(part):
        return part
    classes = part.labels.numpy() if not part.labels.is_floating_point() else np.zeros(len(part))
    return part.take(_evenly(classes, n, seed))


def subset_by_class_counts(part: Split, counts: list[int], seed: int) -> Split:
    """Draw a given number of rows of each class. It sets the shares of the classes, and all else stays as it was.

    Parameters
    ----------
    part : Split
        The split to draw from. It stays as it is.
    counts : list of int
        Number of rows of each class.
    seed : int
        Fixes the draw. For one seed a smaller count is part of a larger one.

    Returns
    -------
    Split
        The rows in their order.

    Raises
    ------
    ValueError
        If the labels are no class numbers, or a class has too few rows.

    Examples
    --------
    >>> part = Split(torch.rand(6, 1, 8, 8), [0, 0, 0, 0, 1, 1], classes=2)
    >>> subset_by_class_counts(part, [1, 2], seed=0).labels
    tensor([0, 1, 1])
    """
    if part.labels.is_floating_point():
        raise ValueError("so many rows of each class can be drawn where labels are class numbers: give n as one number")
    there = np.bincount(part.labels.numpy(), minlength=part.classes).tolist()
    if len(counts) != part.classes or not any(counts) or any(not 0 <= c <= t for c, t in zip(counts, there)):
        raise ValueError(f"n={counts} rows of the classes were asked for: there are {there}, choose as many or fewer")
    rng, labels = np.random.default_rng([seed, SUBSET]), part.labels.numpy()
    rows = [rng.permutation(np.flatnonzero(labels == k))[:count] for k, count in enumerate(counts)]
    return part.take(np.sort(np.concatenate(rows)))


def _evenly(strata: np.ndarray, n: int, seed: int) -> np.ndarray:
    """n of the rows, in their order; for one seed a smaller n is part of a larger one."""
    return np.sort(stratified_order(strata, np.random.default_rng([seed, SUBSET]))[:n])


def make_splits(
    whole: Split,
    rows: dict[str, np.ndarray],
    strata: np.ndarray,
    *,
    seed: int,
    n: int | None = None,
    keep: np.ndarray | None = None,
) -> dict[str, Split]:
    """The rows of `whole` in three splits, those in the mask `keep` only; `n` training examples, strata even.

    For one seed a smaller n is part of a larger one, so that a sweep over n is paired.
    """
    if keep is not None:
        rows = {split: rows[split][keep[rows[split]]] for split in SPLITS}
    train = rows["train"]
    if n is not None:
        if not 1 <= n <= len(train):
            raise ValueError(f"n={n} training examples were asked for: choose 1 to {len(train)}")
        train = train[_evenly(strata[train], n, seed)]
    return {split: whole.take(train if split == "train" else rows[split]) for split in SPLITS}
