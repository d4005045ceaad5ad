"""Files that people write, read into dataclasses; what does not fit is one sentence with the file, the place, the key.

pydantic compares; here are the types that the kit's files are made of, and the sentence. A key that nobody knows is an
error, since a misspelt one would be left out without a word: `alowed` for `allowed` turns a verdict round.
"""

import json
import re
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

Text = Annotated[str, Field(strict=True, min_length=1)]
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]  # what every generator takes
Number = Annotated[float, Field(strict=True)]  # NaN too: a score may have no value
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]

KNOWN_KEYS_ONLY = ConfigDict(extra="forbid")
entry = pydantic_dataclass(config=KNOWN_KEYS_ONLY, kw_only=True)  # a dataclass that is a part of such a file
MARKS = ("<<<<<<<", "=======", ">>>>>>>")  # what git leaves in a file where two edits meet


def read_text(file: Path) -> str:
    """A file's text. ValueError if it is not plain UTF-8."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text in UTF-8 ({error.reason}): save it as UTF-8") from None
    if text.startswith("\ufeff"):
        raise ValueError(f"{file}, line 1, begins with a byte order mark: save it as UTF-8 without one")
    return text


def parse(text: str, at: str, advice: str, line: int | None = None) -> Any:
    """JSON in which no key stands twice. `at` names the file and `line` the text's line in it; advice: what to do."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        number = line or error.lineno
        if text.splitlines()[error.lineno - 1 :][:1] and text.splitlines()[error.lineno - 1].startswith(MARKS):
            wrong, advice = "holds the mark of a merge", "keep what both sides wrote and delete the marks"
        else:
            wrong = f"is not whole JSON ({error.msg} at column {error.colno})"
        raise ValueError(f"{at}, line {number}, {wrong}: {advice}") from None
    except _Twice as error:
        where = f"{at}, line {line}" if line else at
        raise ValueError(
            f"{where}: the key {error.args[0]!r} stands twice in one place: leave one of the two"
        ) from None


def check(kind, value: Any, at: str):
    """`value` (of JSON) as `kind`, a type made of dataclasses. ValueError, one sentence, if it does not fit."""
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise ValueError(_sentence(error, kind, value, at)) from None


def strictly(kind):
    """The type without conversions: no "2" for 2, no True for 1."""
    return Annotated[kind, Field(strict=True)] if kind in (int, float, bool, str) else kind


def nearest(word: str, known) -> str:
    """The known word that is most like this one."""
    return get_close_matches(word, known := [str(k) for k in known], 1, 0.0)[0] if known else "nothing"


class _Twice(ValueError):
    """A key that an object of JSON has twice: the first would be overwritten."""


def _once(pairs: list[tuple]) -> dict:
    found = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key)
        found[key] = value
    return found


@cache
def _adapter(kind) -> TypeAdapter:
    return TypeAdapter(kind)


def _sentence(error: ValidationError, kind, value: Any, at: str) -> str:
    """The first fault, an unknown key before all others, since a misspelt key is missing under its own name too."""
    found = [(_steps(fault, value), fault) for fault in error.errors(include_url=False)]
    found.sort(key=lambda one: (one[1]["type"] != "unexpected_keyword_argument", -len(one[0])))
    steps, fault = found[0]
    *above, key = _places(kind, value, steps) or ["it"]
    where = ", ".join([at, *above])
    if fault["type"] == "unexpected_keyword_argument":
        known = [f.name for f in fields(_inside(kind, steps[:-1]))]
        return f"{where}: there is no key {key!r} here, the nearest known one is {nearest(key, known)!r}"
    if fault["type"] == "missing":
        return f"{where}: the key {key!r} is missing"
    if fault["type"] == "value_error":
        return f"{', '.join([where, key]) if steps else where}: {fault['ctx']['error']}"
    wants = dict.fromkeys(_wants(other) for at_it, other in found if at_it == steps)
    return f"{where}: {key} should {' or '.join(wants)}, but it is {_short(fault['input'])}"


def _wants(fault: dict) -> str:
    """What pydantic asked for: "be a valid number", "have at least 1 character"."""
    words = re.sub(r" or an instance of \w+| after validation, not \d+", "", fault["msg"].partition(" should ")[2])
    return "be null" if words == "be None" else words


def _short(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:60]} …"


def _steps(fault: dict, value: Any) -> tuple:
    """Where the fault is, in keys and positions; pydantic also names which of several types it tried."""
    steps = []
    for step in fault["loc"]:
        if isinstance(value, dict) and (step in value or fault["type"] == "missing"):
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int):
            value = value[step]
        else:
            continue
        steps.append(step)
    return tuple(steps)


def _places(kind, value: Any, steps: tuple) -> list[str]:
    """In words: comparison 1, arm 'probe', phase 2, steps."""
    words, name = [], getattr(_inside(kind, (0,)), "__name__", "entry").lower().lstrip("_")
    for i, step in enumerate(steps):
        holder = _inside(kind, steps[:i])
        value = value[step] if isinstance(value, list | tuple) else (value or {}).get(step)
        if is_dataclass(holder):
            name = str(step)
            if i + 1 == len(steps) or is_dataclass(_inside(kind, steps[: i + 1])):
                words.append(name)
        else:
            called = step + 1 if isinstance(step, int) else step
            called = value["id"] if isinstance(value, dict) and isinstance(value.get("id"), str) else called
            words.append(f"{name.removesuffix('s')} {called!r}")
    return words


def _inside(kind, steps: tuple):
    """The type that stands at the end of these steps; of several, the one that can be entered."""
    for step in steps:
        kind = _whole(kind)
        if is_dataclass(kind):
            kind = get_type_hints(kind, include_extras=True).get(step, Any)
        else:
            kind = get_args(kind)[-1] if get_args(kind) else Any
    return _whole(kind)


def _whole(kind):
    """list[int] of list[int] | str, and int of Annotated[int, …]."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    inner = [_whole(k) for k in get_args(kind)] if get_origin(kind) not in (list, dict, tuple) else []
    return next((k for k in inner if is_dataclass(k) or get_origin(k) in (list, dict, tuple)), kind)
