"""What a user gives is checked here, before any work: one sentence says what was expected, what came, what to do."""

import reprlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ftlib.io.refusals import nearest

SEEDS = 2**32 - 1  # the largest seed that NumPy, scikit-learn and torch all take


def flag(name: str, value) -> bool:
    """`value` if it is True or False; else a ValueError, since "no" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, not {reprlib.repr(value)}")
    return bool(value)


def choose(option: str, value: str, known: Sequence[str]) -> str:
    """`value` if it is a known one; else a ValueError that lists them."""
    if value not in known:
        raise ValueError(
            f"{option} must be one of {', '.join(map(repr, known))}, not {value!r}{nearest(value, list(known))}"
        )
    return value


def read_inputs(inputs) -> Tensor | list[str]:
    """Images as uint8 or float32 (N, C, H, W), texts as a list; a ValueError that names the first wrong row."""
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind in "biuf":
        inputs = torch.as_tensor(np.require(inputs, requirements=["C", "W"]))  # a copy of mirrored or locked arrays
    if isinstance(inputs, Tensor):
        return _read_pixels(inputs)
    if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Iterable):
        raise ValueError(
            f"inputs must be images, a tensor (N, C, H, W), or a list of N texts, but {reprlib.repr(inputs)} came"
        )
    texts = list(inputs)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"the texts of a split must be strings, but row {row} holds {_short(text)}: correct it or leave the "
                f"row out (images come as one tensor)"
            )
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise ValueError(
                    f"the text in row {row} is no valid Unicode ({reprlib.repr(text)}): read the file with its own "
                    f"encoding, or leave the row out"
                ) from None
    return texts


def _short(value) -> str:
    """A wrong value and its type, in a few words: nan (float)."""
    return (
        f"{reprlib.repr(value) if not isinstance(value, Tensor | np.ndarray) else 'an array'} ({type(value).__name__})"
    )


def _read_pixels(pixels: Tensor) -> Tensor:
    """uint8, or floats in 0..1 as float32; the shape is (N, 1 or 3, H, W)."""
    if pixels.dtype != torch.uint8 and not pixels.is_floating_point():
        raise ValueError(
            f"images must be uint8 in 0..255 or floats in 0..1, but {pixels.dtype} came: convert them to one of these"
        )
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or 0 in pixels.shape[2:]:
        raise ValueError(
            f"images must have the shape (N, C, H, W) with 1 or 3 channels, but {tuple(pixels.shape)} came: "
            f"reshape them, or move the channels with permute"
        )
    if pixels.dtype == torch.uint8:
        return pixels
    good = ((pixels >= 0) & (pixels <= 1)).flatten(1).all(1)  # (N,), false for NaN, too
    if not good.all():
        row = int((~good).nonzero()[0])
        low, high = pixels[row].min(), pixels[row].max()
        raise ValueError(
            f"float pixels must lie in 0..1, but image {row} holds {low:g} to {high:g}: divide by their largest "
            f"possible value, or give uint8 in 0..255"
        )
    return pixels.float()


def read_labels(labels, classes: int) -> Tensor:
    """Class numbers as int64 (N,), probabilities (N, K) or targets (N,) as float32; a ValueError names the first
    wrong row."""
    labels = _numbers(labels)
    if not labels.is_floating_point():
        good = (labels >= 0) & (labels < classes) if labels.ndim == 1 else None
        wanted = f"one whole number from 0 to {classes - 1} an example"
    elif classes == 1:
        good, wanted = labels.isfinite() if labels.ndim == 1 else None, "one finite number an example"
    elif labels.ndim == 1 and not labels.isfinite().all():
        good, wanted = labels.isfinite(), f"one whole number from 0 to {classes - 1} an example"
    else:
        right = labels.ndim == 2 and labels.shape[1] == classes
        good = (labels >= 0).all(1) & ((labels.sum(1) - 1).abs() < 1e-4) if right else None
        wanted = f"whole numbers from 0 to {classes - 1}, or {classes} probabilities an example that add up to 1"
    if good is None or not good.all():
        seen = f"{labels.dtype} in shape {tuple(labels.shape)}"
        if good is not None:
            row = int((~good).nonzero()[0])
            seen = f"{labels[row].tolist()} in row {row}"
        raise ValueError(f"labels are out of range: expected {wanted}, got {seen}; correct them or `classes`")
    return labels


def _numbers(labels) -> Tensor:
    """Any table of numbers as int64 or float32."""
    if not isinstance(labels, Tensor):
        try:
            table = np.asarray(labels)
            if table.dtype == object:  # a column of pandas may be one: numbers, with None or texts among them
                number = (int, float, np.number, np.bool_)
                wrong = [row for row, value in enumerate(table) if not isinstance(value, number)]
                table = np.array(table.tolist()) if not wrong else table
        except (ValueError, TypeError):  # rows of several lengths
            table, wrong = np.array("?"), []
        if table.dtype.kind not in "biuf":
            row = wrong[0] if table.dtype == object else 0
            seen = f"row {row} holds {_short(table.tolist()[row])}" if table.ndim else "something else came"
            raise ValueError(
                f"labels must be numbers, one class number an example, but {seen}: number the classes from 0, and "
                f"leave rows without a label out"
            )
        labels = torch.tensor(table)
    if labels.is_complex():
        raise ValueError(f"labels must be whole or real numbers, but {labels.dtype} came: convert them")
    return labels.float() if labels.is_floating_point() else labels.long()


def count_cut(texts: list[str], rows: list[list[int]], tokenizer, max_length: int) -> tuple[int, int]:
    """How many texts lost their end when they became `rows`, and how many of these now equal another text."""
    full = [i for i, ids in enumerate(rows) if len(ids) >= max_length]
    if not full:
        return 0, 0
    whole = tokenizer([texts[i] for i in full], verbose=False)["input_ids"]
    cut = [i for i, ids in zip(full, whole, strict=True) if len(ids) > len(rows[i])]
    same = defaultdict(set)  # what is left -> the whole texts that it is left of
    for i, ids in zip(full, whole, strict=True):
        same[tuple(rows[i])].add(tuple(ids))
    return len(cut), sum(len(same[tuple(rows[i])]) > 1 for i in cut)
