"""Own data: what `folder`, `table` and `chats` share, from rows as they were read to three honest splits.

Rows that belong together stay on one side of a split: rows of one group (a patient, a writer), and exact duplicates. If
a duplicate joins two groups, the groups stay together too. So whole components of a graph are drawn, in which each row
is linked with its group and with its content.

Nothing is dropped in silence. `Report` counts what was left out and what was merely noticed, with file and line.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ftlib import assets
from ftlib.io.refusals import nearest
from ftlib.tasks.checks import choose
from ftlib.tasks.report import OUT, Report, Row
from ftlib.tasks.splits import TEST, VALIDATION, group_stratified_split, make_splits
from ftlib.tasks.task import SPLITS, Split, Task

SPLIT_NAMES = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLIT_NAMES |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
FEWEST = 12  # rows: with fewer, a test of three rows would say nothing
SEVERAL = 2  # classes: with one there is nothing to learn


def example(kind: str) -> Path:
    """Give the kit's small example of own data.

    Parameters
    ----------
    kind : {"folder", "table", "chats", "sentences"}
        Drawn leaves, support messages, short chats, or a table of sentences with two columns of labels.

    Returns
    -------
    Path
        What `ftlib.load_task` takes as `path`.

    Raises
    ------
    ValueError
        If there is no such example.

    Examples
    --------
    >>> example("table").name
    'messages.csv'
    """
    names = {"folder": "leaves", "table": "messages.csv", "chats": "chats.jsonl", "sentences": "sentences.csv"}
    if kind not in names:
        raise ValueError(f"there is no example {kind!r}: choose one of {', '.join(names)}{nearest(kind, names)}")
    return assets.DATA / "own" / names[kind]


def own_path(path) -> str:
    """The path that a user gave, as a text."""
    if not isinstance(path, str | Path) or not str(path).strip():
        raise ValueError(f"path must name a file or a folder, but it is {path!r}")
    return str(path)


def existing(path: str) -> Path:
    """The place that a user named, if something is there."""
    place = assets.user_path(path)
    if not place.exists():
        base, _, which = path.rpartition("@")
        if base and assets.user_path(base).exists():
            raise ValueError(
                f"{base} has no question {which!r}: of a table, list its column behind the first label, label=[…, "
                f"{which!r}]"
            )
        beside = sorted(other.name for other in place.parent.iterdir()) if place.parent.is_dir() else []
        where = f" (from {Path.cwd()})" if not place.is_absolute() else ""
        raise FileNotFoundError(f"{path} does not exist{where}: correct the path{nearest(place.name, beside)}")
    return place


def sha256(content: bytes | str) -> str:
    """The content's hash, equal on every machine."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def plain(text: str) -> str:
    """The text in one Unicode form (NFC), without whitespace around it."""
    return unicodedata.normalize("NFC", text).strip()


def same_text(text: str) -> str:
    """What equal texts share, whatever their case and their spaces."""
    return " ".join(plain(text).casefold().split())


# ---- what a user may ask for

CLASS_METRICS = ("accuracy", "balanced_accuracy", "worst_class", "macro_f1", "mcc", "auroc")  # higher is better
TOKEN_METRICS = ("token_accuracy", "exact_match")


def check_safe(safe, known: Sequence[str]) -> list[str] | None:
    """The changes that a user calls safe, or None where the question is open."""
    if safe is None:
        return None
    if isinstance(safe, str) or not isinstance(safe, Iterable):
        raise ValueError(f"safe must be a list of {', '.join(known)} (empty if none is), not {safe!r}")
    return [choose("safe", word, known) for word in safe]


def regular_expression(group: str | None) -> re.Pattern | None:
    """`group` as a pattern."""
    if group is None:
        return None
    if not isinstance(group, str) or not group:
        raise ValueError(f"group must be a regular expression on the path, such as r'(patient\\d+)', not {group!r}")
    try:
        return re.compile(group)
    except re.error as error:
        raise ValueError(f"group={group!r} is no regular expression ({error}): correct it") from None


def found_group(pattern: re.Pattern, file: str) -> str:
    """What the pattern finds in a relative path: its first group, or all of it."""
    match = pattern.search(unicodedata.normalize("NFC", file))
    return (match[1] if pattern.groups and match[1] is not None else match[0]) if match else ""


# ---- labels


def keep_known(rows: list[Row], known: Sequence[str] | None, report: Report) -> list[Row]:
    """The rows that have a label, one of the known ones if these are given."""
    if known is not None:
        listed = not isinstance(known, str) and isinstance(known, Sequence)
        if not listed or not all(isinstance(one, str) for one in known) or len(set(known)) < max(SEVERAL, len(known)):
            raise ValueError(f"labels must list at least two different classes as texts, but it is {known!r}")
    kept, stripped = [], 0
    for row in rows:
        label = plain(row.label)
        stripped += label != unicodedata.normalize("NFC", row.label)
        row.label = label
        if not label:
            report.leave_out(row, "missing label")
        elif known is not None and label not in known:
            report.leave_out(row, "unknown label", f"unknown label {label!r}{nearest(label, known)}")
        else:
            kept.append(row)
    if stripped:
        report.notes.append(f"{stripped} labels had whitespace around them, which was removed")
    if report.left_out and not kept:
        problem = next(problem for *_, problem in report.rows if problem.startswith(OUT)).removeprefix(OUT)
        raise ValueError(f"none of the {report.found:,} {report.what} can be used, the first: {problem}; correct them")
    return kept


def classes_of(rows: list[Row], known: Sequence[str] | None, column: str, question: str = "") -> list[str]:
    """The classes in their order, or those of another question. ValueError unless they can be learned."""
    counts = Counter(row.answers[question] if question else row.label for row in rows)
    spelt = defaultdict(list)
    for label in sorted(counts):
        spelt[re.sub(r"^(-?\d+)\.0+$", r"\1", " ".join(label.casefold().split()))].append(label)  # 1 and 1.0
    for forms in spelt.values():
        if len(forms) > 1:
            both = " and ".join(f"{form!r} ({counts[form]})" for form in forms)
            raise ValueError(f"one label is spelt in {len(forms)} ways, {both}: give it one spelling")
    if len(counts) < SEVERAL:
        only = f"only one, {next(iter(counts))!r}" if counts else "none"
        raise ValueError(f"at least two classes are needed, but {column} has {only}: add examples of another class")
    if len(rows) >= FEWEST and len(counts) > len(rows) / 2:
        raise ValueError(
            f"{column} holds {len(counts):,} different labels in {len(rows):,} examples, as an id or a number does: "
            f"give labels that several examples share"
        )
    return list(known) if known else sorted(counts)


# ---- what belongs together


def components(rows: list[Row]) -> np.ndarray:
    """(N,) the number of the first row that each row belongs together with, by its group or its content."""
    nodes, edges = {}, []
    for number, row in enumerate(rows):
        keys = [("content", key) for key in row.content] + ([("group", row.group)] if row.group else [])
        edges += [(number, nodes.setdefault(key, len(nodes))) for key in keys]
    if not edges:
        return np.arange(len(rows))
    row, node = np.array(edges).T
    size = len(rows) + len(nodes)
    graph = coo_matrix((np.ones(len(edges)), (row, len(rows) + node)), (size, size))
    found = connected_components(graph, directed=False)[1][: len(rows)]
    return np.unique(found, return_index=True)[1][np.unique(found, return_inverse=True)[1]]


def say_duplicates(rows: list[Row], report: Report, labelled: bool) -> None:
    """Notice rows of equal content, and those of them that have different labels (of chats, other answers)."""
    first: dict[str, Row] = {}
    for row in rows:
        if (other := next((first[key] for key in row.content if key in first), None)) is not None:
            at = f"{other.file}, line {other.line}" if other.line else other.file
            here, there = (", ".join([one.label, *map(str, one.answers.values())]) for one in (row, other))
            if here == there:
                report.notice(row, "duplicate", f"the same as {at}: both are on one side of the split")
            elif not labelled:
                report.notice(row, "same question, another answer", f"asks the same as {at}: both are on one side")
            else:
                said = f"the same as {at}, but labelled {here!r} and there {there!r}: both are used"
                report.notice(row, "same content, two labels", said)
        for key in row.content:
            first.setdefault(key, row)


# ---- splits


def cut(rows: list[Row], labels: np.ndarray, names: Sequence[str], seed: int, report: Report) -> dict[str, np.ndarray]:
    """Row numbers of train, validation and test: as the user cut them, and what is missing is cut from train."""
    groups, given = components(rows), np.array([row.split or "train" for row in rows])
    missing = [split for split in ("validation", "test") if split not in given]
    base = np.flatnonzero(given == "train")
    if not missing:
        return {split: np.flatnonzero(given == split) for split in SPLITS}
    rare = rare_classes(groups[base], labels[base], len(missing) + 1)
    fixed = np.isin(groups[base], groups[base][np.isin(labels[base], rare)])  # with their groups: all of them train
    free = base[~fixed]
    if len({*labels[base].tolist()} - set(rare)) < min(SEVERAL, len(set(labels.tolist()))) or not len(free):
        enough, parts = len(set(labels[base].tolist())) - len(rare), " and ".join(missing)
        whose = f"of at least two classes, but {enough} of {len(names)} have them" if names else "but there are fewer"
        raise ValueError(
            f"too little is left to cut {parts} from train: that takes {len(missing) + 1} examples of different groups "
            f"and contents {whose}; add examples"
        )
    for k in rare:
        report.notes.append(
            f"class {names[k]!r} has fewer than {len(missing) + 1} separate examples, so all of it is in train"
        )
    shares = {"test": TEST if "test" in missing else 0.0, "validation": VALIDATION if "validation" in missing else 0.0}
    drawn = group_stratified_split(groups[free], labels[free], seed=seed, draws=DRAWS, **shares)
    part = np.empty(len(free), int)
    for split, found in drawn.items():
        part[found] = SPLITS.index(split)
    mend(part, groups[free], labels[free], [0, *(SPLITS.index(split) for split in missing)], seed)
    given = given.astype(object)
    given[free] = [SPLITS[k] for k in part]
    return {split: np.flatnonzero(given == split) for split in SPLITS}


DRAWS = 20  # groups may differ much, so the most even of 20 drawn splits is used


def rare_classes(groups: np.ndarray, labels: np.ndarray, parts: int) -> list[int]:
    """The classes that are in fewer groups than there are parts to cut."""
    return [int(k) for k in np.unique(labels) if len(np.unique(groups[labels == k])) < parts]


def mend(part: np.ndarray, groups: np.ndarray, labels: np.ndarray, parts: list[int], seed: int) -> None:
    """Move groups, in place, until each class is in each part, if that can be done without emptying another."""
    rng = np.random.default_rng([seed, len(part)])
    for k in np.unique(labels):
        for lacking in parts:
            if (part[labels == k] == lacking).any():
                continue
            candidates = rng.permutation(np.unique(groups[labels == k]))
            fitting = [g for g in candidates if _can_leave(part, groups, labels, g)]
            if fitting:
                smallest = min(fitting, key=lambda g: (groups == g).sum())
                part[groups == smallest] = lacking


def _can_leave(part: np.ndarray, groups: np.ndarray, labels: np.ndarray, group: int) -> bool:
    """Whether each class of the group stays in the part that it would leave."""
    inside, here = groups == group, part == part[groups == group][0]
    return all((here & ~inside & (labels == k)).any() for k in np.unique(labels[inside]))


def drop_leaks(rows: list[Row], report: Report) -> list[Row]:
    """Without the training rows whose content is tested too. ValueError if a group is on two sides of given splits."""
    if not any(row.split for row in rows):
        return rows
    sides: dict[str, set] = defaultdict(set)
    held: dict[str, tuple[int, Row]] = {}  # content -> the split that keeps it
    for row in rows:
        row.split = row.split or "train"
        if row.group:
            sides[row.group].add(row.split)
        for key in row.content:
            if key not in held or SPLITS.index(row.split) > held[key][0]:
                held[key] = SPLITS.index(row.split), row
    if broken := [group for group, splits in sides.items() if len(splits) > 1]:
        raise ValueError(
            f"the group {broken[0]!r} is in {' and '.join(sorted(sides[broken[0]]))}, as the data are split: put it "
            f"on one side, or leave out group"
        )
    kept = []
    for row in rows:
        rank, other = max((held[key] for key in row.content), key=lambda found: found[0])
        if rank > SPLITS.index(row.split):
            at = f"{other.file}, line {other.line}" if other.line else other.file
            report.leave_out(row, f"also in {other.split}", f"it is in {other.split} too, as {at}")
        else:
            kept.append(row)
    if not any(row.split == "train" for row in kept):
        raise ValueError("the data have no train split: name one part train")
    return kept


# ---- the task


def digest(rows: Iterable[Row]) -> str:
    """The hash of all rows in their order: content, labels, split and group."""
    whole = hashlib.sha256()
    for row in rows:
        for word in (row.content[0], row.label, row.split, row.group, *map(str, row.answers.values())):
            whole.update(word.encode("utf-8", "surrogateescape") + b"\0")
    return whole.hexdigest()


def build(
    name: str,
    kind: str,
    rows: list[Row],
    classes: list[str],
    report: Report,
    *,
    seed: int,
    n: int | None,
    stack,
    metric: str,
    **more,
) -> Task:
    """The task of rows with known labels. `stack` makes the inputs and the columns of a split of them."""
    if len(rows) < FEWEST:
        raise ValueError(f"{name} has {len(rows)} usable {report.what}, but at least {FEWEST} are needed: add some")
    rows = drop_leaks(rows, report)
    say_duplicates(rows, report, bool(classes))
    if 0 < (alone := sum(not row.group for row in rows)) < len(rows):
        report.notes.append(f"{alone:,} of the {report.what} have no group, so each of them is one of its own")
    labels = np.array([classes.index(row.label) for row in rows]) if classes else np.zeros(len(rows), int)
    parts = cut(rows, labels, classes, seed, report)
    if classes and len(set(labels[parts["train"]].tolist())) < SEVERAL:
        only = classes[labels[parts["train"]][0]]
        raise ValueError(f"{name} has only {only!r} in train, so nothing can be learned: put other classes there too")
    inputs, columns = stack(rows)
    groups = torch.from_numpy(components(rows))
    whole = Split(inputs, torch.from_numpy(labels), len(classes) or 1, columns, groups=groups)
    splits = make_splits(whole, parts, labels, seed=seed, n=n)
    report.warn(name)
    return Task(name, kind, classes, metric, splits, digest=digest(rows), report=report, **more)
