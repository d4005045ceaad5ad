"""Files written in one piece: whatever happens, a file is the old one or the new one, and nothing is left beside it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path


@contextmanager
def in_one_piece(file: str | Path) -> Iterator[Path]:
    """Yield a path beside `file` to write to; at the end of the block it becomes `file`, in one step.

    Parameters
    ----------
    file : str or Path
        The file to write; its folder must be there. An error in the block leaves it as it was.

    Yields
    ------
    Path
        A name that no other process uses.

    Examples
    --------
    >>> with in_one_piece(folder / "notes.txt") as part:
    ...     _ = part.write_text("whole")
    >>> [file.name for file in folder.iterdir()]
    ['notes.txt']
    """
    file = Path(file)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        yield part
        with open(part, "rb+") as written:
            os.fsync(written.fileno())  # on the disk before it takes the old one's place
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def folder_in_one_piece(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` to write to; at the end of the block it becomes `folder`.

    Parameters
    ----------
    folder : str or Path
        The folder to write. One that is there is replaced, and an error in the block leaves it as it was. Folders above
        it are made.

    Yields
    ------
    Path
        A name that no other process uses.

    Examples
    --------
    >>> with folder_in_one_piece(folder / "mine") as part:
    ...     _ = (part / "notes.txt").write_text("whole")
    >>> [file.name for file in folder.iterdir()]
    ['mine']
    """
    folder = Path(folder)
    part, old = (folder.with_name(f"{folder.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        part.mkdir(parents=True)
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as written:
                    os.fsync(written.fileno())
        if folder.exists():
            os.replace(folder, old)
        try:
            os.replace(part, folder)
        except OSError:
            if old.exists():
                os.replace(old, folder)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def clear_leftovers(file: Path) -> None:
    """Delete what killed processes left of a write of `file`. Call it where no other process can be writing.

    Parameters
    ----------
    file : Path
        The file that they would have written.

    Examples
    --------
    >>> _ = (folder / "notes.txt.123.part").write_text("ha")
    >>> clear_leftovers(folder / "notes.txt")
    >>> list(folder.iterdir())
    []
    """
    for left in file.parent.glob(f"{escape(file.name)}.*.part"):
        left.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """Write a text in one piece, as UTF-8.

    Parameters
    ----------
    file : Path
        The file to write. Its folder must be there.
    text : str
        All that the file will hold.

    Raises
    ------
    OSError
        If that fails. The file is then as it was before.

    Examples
    --------
    >>> write_text(folder / "notes.txt", "whole")
    >>> (folder / "notes.txt").read_text()
    'whole'
    """
    try:
        with in_one_piece(file) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise type(error)(f"{file} could not be written ({error.strerror}): it is as it was before") from error


def must_be_writable(folder: Path) -> None:
    """Make a folder where it is missing, and try to write to it: better before a run than after.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    OSError
        If nothing can be written there.

    Examples
    --------
    >>> must_be_writable(folder / "new")
    >>> list((folder / "new").iterdir())
    []
    """
    probe = folder / f"probe.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("can this be written?\n", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        raise type(error)(
            f"{folder} cannot be written to ({error.strerror}): nothing was run, since its record would be lost; make "
            "the folder writable"
        ) from None
