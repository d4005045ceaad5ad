"""Own images: one folder per class, `path/cat/*.jpg`, or the same below train, validation and test.

Files are taken in the order of their names (in one Unicode form, so that it is the same on every system). A seed then
gives the same split on every machine. Hidden files and what systems leave behind are ignored. What can be read is what
Pillow reads, see `ftlib.tasks.images`.

`safe` is the user's answer to a question that no program can decide: which changes keep the labels of these images
true? `ftlib.strategies.augmentation.policy(task)` reads it.
"""

import hashlib
import os
import unicodedata
import warnings
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from ftlib.io.progress import progress
from ftlib.io.refusals import whole_number
from ftlib.tasks import images, own
from ftlib.tasks.checks import choose
from ftlib.tasks.own import SPLIT_NAMES
from ftlib.tasks.report import Report, Row
from ftlib.tasks.task import Task

LARGEST = 512  # pixels per side
KEPT = 3  # folders whose images stay in memory
IGNORED = {"__macosx", "thumbs.db", "desktop.ini"}  # besides hidden files
SAFE = ("horizontal", "vertical", "turn", "rotation", "crop", "colour", "erasing")
THREADS = min(8, os.cpu_count() or 1)
_decoded: OrderedDict[tuple, list[images.Picture]] = OrderedDict()


def load(
    path: str,
    *,
    seed: int,
    n: int | None,
    size: int = 96,
    shape: str = "crop",
    group: str | None = None,
    labels: list | None = None,
    metric: str = "balanced_accuracy",
    safe: list | None = None,
) -> Task:
    """The images of a folder.

    size: pixels per side. shape: "crop" takes the middle square, "pad" adds margins, "stretch" distorts. group: a
    regular expression on the relative path; what it finds (its first group) names what belongs together. labels: the
    known classes. metric: a score of `metrics.classification`. safe: the changes that keep labels true, of SAFE.
    """
    size, shape = whole_number("size", size, 8, LARGEST, "pixels"), choose("shape", shape, images.SHAPES)
    metric = choose("metric", metric, own.CLASS_METRICS)
    safe, pattern = own.check_safe(safe, SAFE), own.regular_expression(group)
    place, name = own.existing(path), f"folder:{path}"
    if not place.is_dir():
        raise ValueError(f"{path} is a file: path must name the folder that holds one folder of images per class")
    report = Report("images")
    rows = find(place, report)
    if not rows:
        raise ValueError(f"{path} holds no images in folders: put the images of each class into a folder of its name")
    files = [row.file for row in rows]
    for row, picture in zip(rows, decoded(place, files, size, shape), strict=True):
        row.inputs, row.content = picture.pixels, _keys(picture)
        row.group = own.found_group(pattern, row.file) if pattern else ""
        if picture.problem:
            report.leave_out(row, "unreadable image", picture.problem)
        elif picture.frames > 1:
            report.notice(row, "animation", f"{picture.frames} frames, of which the first is used")
    rows = own.keep_known([row for row in rows if row.inputs is not None], labels, report)
    classes = own.classes_of(rows, labels, path)
    if pattern and not any(row.group for row in rows):
        raise ValueError(f"group={group!r} is found in no path: the first one is {files[0]!r}")
    options = {"size": size, "shape": shape, "group": group, "labels": labels, "metric": metric, "safe": safe}
    options = {key: value for key, value in options.items() if value is not None}
    return own.build(
        name, "image", rows, classes, report, seed=seed, n=n, stack=stack, metric=metric, options=options, safe=safe
    )


def _keys(picture: images.Picture) -> tuple[str, ...]:
    """The hash of the file and of its pixels: a copy in another format is a duplicate too."""
    if picture.pixels is None:
        return ()
    return picture.content, own.sha256(str(picture.pixels.shape).encode() + picture.pixels.tobytes())


def stack(rows: list[Row]) -> tuple[torch.Tensor, dict]:
    """(N, C, S, S): one channel if all images are grey. And the column `file`."""
    channels = max(len(row.inputs) for row in rows)
    pixels = np.stack([np.broadcast_to(row.inputs, (channels, *row.inputs.shape[1:])) for row in rows])
    return torch.from_numpy(pixels), {"file": [row.file for row in rows]}


# ---- which files


def find(place: Path, report: Report) -> list[Row]:
    """One row per image file, in the order of their normalised relative paths."""
    files = sorted(walk(place), key=lambda file: (unicodedata.normalize("NFC", file), file))
    endings, rows = images.suffixes(), []
    tops = sorted({file.partition("/")[0] for file in files if "/" in file and _ending(file) in endings})
    split = {top: SPLIT_NAMES[top.casefold()] for top in tops if top.casefold() in SPLIT_NAMES}
    if len(split) > 1 and len(split) == len(tops) and "train" not in split.values():
        raise ValueError(f"{place} holds {', '.join(split)} and no train: add a folder called train, or rename classes")
    if "train" not in split.values() or (len(split) == 1 and len(tops) > 1):
        split = {}  # a class may be called train, among others
    elif other := [top for top in tops if top not in split]:
        raise ValueError(
            f"{place} holds {', '.join(split)} beside {other[0]!r}: keep only folders called train, validation and "
            f"test there, or only folders of classes"
        )
    for file in files:
        row, parts = Row(file, None), file.split("/")
        if _ending(file) not in endings:
            report.noticed["file that is no image by its name"] += 1
            report.add(file, None, "no image by its name, ignored")
            continue
        report.found += 1
        row.split = split.get(parts[0], "")
        row.label = next(iter(parts[1 if split else 0 : -1]), "")
        if not row.label:
            report.leave_out(row, "outside the folders of classes", "it lies in no folder of a class")
        else:
            rows.append(row)
    return rows


def _ending(file: str) -> str:
    return os.path.splitext(file)[1].lower()


def walk(place: Path) -> list[str]:
    """All files below a folder as relative paths with slashes; links to folders are followed once."""
    found, seen = [], set()
    for folder, below, files in os.walk(place, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not _hidden(name))
        found += [Path(folder, name).relative_to(place).as_posix() for name in files if not _hidden(name)]
    return found


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in IGNORED


# ---- their pixels


def decoded(place: Path, files: list[str], size: int, shape: str) -> list[images.Picture]:
    """The images in the order of the files; they stay in memory until a file changes."""
    state = hashlib.sha256()
    for file in files:
        about = os.stat(place / file) if os.path.exists(place / file) else None
        state.update(f"{file}\0{about and about.st_size}\0{about and about.st_mtime_ns}\0".encode(errors="replace"))
    key = (str(place.resolve()), size, shape, state.hexdigest())
    if key not in _decoded:
        _decoded[key] = _decode([place / file for file in files], size, shape)
        while len(_decoded) > KEPT:
            _decoded.popitem(last=False)
    _decoded.move_to_end(key)
    return _decoded[key]


def _decode(files: list[Path], size: int, shape: str) -> list[images.Picture]:
    pool = ThreadPoolExecutor(THREADS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about single files: the report says what matters
            made = pool.map(lambda file: images.read(file, size, shape), files)
            return list(progress(made, desc="reading images", total=len(files), unit="image", delay=2, leave=False))
    finally:
        pool.shutdown(cancel_futures=True)
