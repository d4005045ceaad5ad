"""A results file to which several processes add: nothing is lost, and nothing is run twice.

Two kinds of lock, files in data/results/.locks. One a results file, held while it is read again, added to and written;
one a run, held by the process that runs it. The operating system takes both back when a process ends, however it ends.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ftlib.evidence.runs import load_records
from ftlib.evidence.spec import Spec
from ftlib.io.writing import clear_leftovers, must_be_writable, write_text


class Results:
    """A results file that several processes may add to."""

    def __init__(self, file: Path):
        self.file, self.locks = file, file.parent / ".locks"
        self.seen, self.records = None, {}
        self.held: dict[str, FileLock] = {}

    def read(self) -> dict[str, dict]:
        """{id: record} of what is recorded by now."""
        if not self.file.exists():
            return {}
        now = os.stat(self.file)
        if self.seen != (now.st_ino, now.st_size, now.st_mtime_ns):
            self.seen = (now.st_ino, now.st_size, now.st_mtime_ns)
            self.records = {r["id"]: r for r in load_records(self.file)}
        return dict(self.records)

    def must_be_writable(self) -> None:
        """Raise an OSError unless a record can be written here, and clear what a killed process left of a write."""
        must_be_writable(self.file.parent)
        must_be_writable(self.locks)
        with FileLock(self.locks / f"{self.file.stem}.lock"):  # who writes holds it
            clear_leftovers(self.file)

    def claim(self, todo: list[Spec]) -> Iterator[Spec]:
        """One spec after the other that no other process runs or has recorded; each is this process's until `add`."""
        for spec in todo:
            lock = FileLock(self.locks / f"{self.file.stem}.{spec.id}")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            self.held[spec.id] = lock
            if spec.id in self.read():  # it was finished between the look and the lock
                self._release(spec.id)
            else:
                yield spec

    def add(self, made: dict) -> None:
        """Write one more record beside all that are there by now."""
        with FileLock(self.locks / f"{self.file.stem}.lock"):
            records = self.read() | {made["id"]: made}
            write_text(self.file, "".join(json.dumps(r) + "\n" for r in records.values()))
        self._release(made["id"])

    def _release(self, name: str) -> None:
        lock = self.held.pop(name, None)
        if lock is None:  # it was run without being claimed
            return
        if os.name != "nt":  # where an open file cannot be deleted, and filelock does it
            Path(lock.lock_file).unlink(missing_ok=True)  # still held: filelock takes no file that was deleted
        lock.release()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for name in list(self.held):
            self._release(name)
