"""A learner's answers, saved in one JSON file per lesson, {question: key}, for the next run of the notebook.

The environment variable FTLIB_ANSWERS names another folder. If the file can't be written, for example without a home
folder or on a full disk, answers are remembered until the kernel stops. A file that can't be read is renamed, and a new
one is started.
"""

import json
import os
from itertools import count
from pathlib import Path

from platformdirs import user_data_path

from ftlib.io.writing import write_text

_unsaved: dict[Path, dict] = {}  # answers that could not be written
_said: set[str] = set()  # kinds of trouble that the learner was told about, since once is enough


def answers_file(lesson: str) -> Path:
    """The file of a lesson's answers; it is below "~" for a user without a home folder."""
    try:
        folder = os.environ.get("FTLIB_ANSWERS") or user_data_path("ftlib") / "answers"
    except RuntimeError:
        folder = "~"
    return Path(folder) / f"{lesson}.json"


def read(lesson: str) -> dict:
    """All answers of a lesson, {question: key}; empty if there is no file."""
    file = answers_file(lesson)
    try:
        kept = _load(file)
    except OSError:  # it may not be read
        kept = {}
    return kept | _unsaved.get(file, {})


def keep(lesson: str, question: str, key: str) -> str:
    """Save one answer. Returns "", or a sentence for the learner the first time that an answer can't be written."""
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
    """The content of a file, {} if there is none; OSError if it can neither be read nor renamed."""
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
    """The sentence the first time that this trouble occurs, then ""."""
    new = trouble not in _said
    _said.add(trouble)
    return sentence if new else ""
