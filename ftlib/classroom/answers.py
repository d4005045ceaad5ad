"""A learner's answers: one small JSON file per lesson, {question: key}, so that a notebook that is run again remembers.

FTLIB_ANSWERS names another folder for them. Where no file can be written (a read-only home, none at all, a full disk)
answers are remembered as long as this kernel runs. A file that cannot be read is put aside, and answers begin anew.
"""

import json
import os
from itertools import count
from pathlib import Path

from platformdirs import user_data_path

from ftlib.io.writing import write_text

_unsaved: dict[Path, dict] = {}  # answers that no file could take
_said: set[str] = set()  # kinds of trouble that have been told, since once is enough


def answers_file(lesson: str) -> Path:
    """Where the answers of a lesson are kept; below "~" for a user without a home."""
    try:
        folder = os.environ.get("FTLIB_ANSWERS") or user_data_path("ftlib") / "answers"
    except RuntimeError:
        folder = "~"
    return Path(folder) / f"{lesson}.json"


def read(lesson: str) -> dict:
    """All answers of a lesson, {question: key}; without a file, none."""
    file = answers_file(lesson)
    try:
        kept = _load(file)
    except OSError:  # it may not be read
        kept = {}
    return kept | _unsaved.get(file, {})


def keep(lesson: str, question: str, key: str) -> str:
    """Keep one answer; returns what is to be said of it, which is "" but for the first that could not be written."""
    file = answers_file(lesson)
    answers = _unsaved.get(file, {}) | {question: key}
    try:
        if file.parts[0] == "~":
            raise FileNotFoundError("this user has no home folder")
        kept = _load(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(kept | answers, indent=1))
    except OSError as error:
        _unsaved[file] = answers
        reason = error.strerror or error
        return _once(
            "unsaved", f" (It cannot be written to {file}: {reason}. It is remembered until this kernel stops.)"
        )
    _unsaved.pop(file, None)
    return ""


def _load(file: Path) -> dict:
    """What a file holds; OSError where it is there and can neither be read nor put aside."""
    try:
        kept = json.loads(file.read_bytes())
        if isinstance(kept, dict):
            return kept
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError):
        pass
    beside = next(f for n in count(1) if not (f := Path(f"{file}.broken{n if n > 1 else ''}")).exists())
    sentence = f"The answers in {file} cannot be read: they are kept as {beside.name}, and answers begin anew.\n"
    print(_once(str(beside), sentence), end="")
    os.replace(file, beside)
    return {}


def _once(trouble: str, sentence: str) -> str:
    """The sentence, if this trouble is new."""
    new = trouble not in _said
    _said.add(trouble)
    return sentence if new else ""
