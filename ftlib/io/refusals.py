"""Bad input gets one sentence: what was expected, what came, what to do. These say it for numbers and for names."""

import math
import operator
import reprlib
import types
import typing
from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real


def nearest(word, known: Iterable[str]) -> str:
    """The end of a sentence that names the known word most like `word`, "; did you mean 'lr'?", or nothing."""
    known = list(known)
    found = get_close_matches(word, known, 1) if isinstance(word, str) else []
    found = found or [k for k in known if isinstance(word, str) and word and (word.startswith(k) or k.startswith(word))]
    return f"; did you mean {found[0]!r}?" if found else ""


def whole_number(name: str, value, least: int, most: int | None = None, unit: str = "") -> int:
    """`value` as an int if it is a whole number in the range, NumPy's own included; else a ValueError."""
    try:
        found = operator.index(value) if not isinstance(value, bool) else None
    except TypeError:
        found = None
    if found is None or found < least or (most is not None and found > most):
        span = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise ValueError(f"{name} must be a whole number {span}{unit and f' {unit}'}, not {reprlib.repr(value)}")
    return found


def number(name: str, value, least: float = -math.inf, *, above: bool = False) -> float:
    """`value` as a finite float of at least `least`, or with `above` beyond it; else a ValueError that says so."""
    right = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not right or value < least or (above and value == least):
        reach = "" if least == -math.inf else f" above {least:g}" if above else f" of at least {least:g}"
        raise ValueError(f"{name} must be a finite number{reach}, but it is {value!r}")
    return float(value)


KINDS = {  # type of a knob -> what it takes, in words
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    bool: (bool, "True or False"),
    str: (str, "a text"),
    list: (list, "a list"),
    type(None): (type(None), "None"),
}


@cache
def knobs_of(cls: type) -> dict[str, tuple]:
    """{knob: the types that it takes, of those in KINDS}; a knob of another type is not checked."""
    hints = typing.get_type_hints(cls)
    types_of = {f.name: hints[f.name] for f in fields(cls)}
    return {
        name: typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,) for name, hint in types_of.items()
    }


def check_knobs(cls: type, values: tuple, knobs: dict) -> None:
    """Raise TypeError for a knob that `cls` does not have, ValueError for one of the wrong kind or not finite."""
    known = knobs_of(cls)
    if unknown := [name for name in knobs if name not in known]:
        there = f"its knobs are {', '.join(known)}" if known else "it has none"
        raise TypeError(f"{cls.__name__} has no knob {unknown[0]!r}: {there}{nearest(unknown[0], known)}")
    for name, value in {**dict(zip(known, values)), **knobs}.items():
        if not all(kind in KINDS for kind in known[name]):
            continue
        wanted = [KINDS[kind] for kind in known[name]]
        right = any(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) for kind, _ in wanted)
        if right and isinstance(value, Real):
            right = math.isfinite(value)
        if not right:
            words = " or ".join(word for _, word in wanted)
            raise ValueError(f"{name} of {cls.__name__} must be {words}, but it is {value!r}: give it as such")
