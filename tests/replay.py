"""A pytest plugin for nbval: a notebook that the browser has executed isn't executed again.

The browser tests save each notebook that they have run into the folder that the variable FTLIB_EXECUTED names. For a
notebook that has a copy there, this plugin gives nbval a kernel that hands out the outputs of the copy. All else is
nbval's own: which cells it checks, how it compares outputs, and that an error fails a cell. A notebook without a copy
is executed as usual.
"""

import os
from pathlib import Path
from queue import Empty

import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

PARTS = {  # what an output's message holds, by its type
    "stream": ("name", "text"),
    "display_data": ("data", "metadata"),
    "execute_result": ("data", "metadata", "execution_count"),
    "error": ("ename", "evalue", "traceback"),
}


def executed(name: str) -> Path | None:
    """The executed copy of the notebook file with this name, or None where there is none."""
    folder = os.environ.get("FTLIB_EXECUTED")
    return Path(folder, name) if folder and Path(folder, name).is_file() else None


class ReplayedKernel:
    """nbval's kernel, as far as nbval asks: it looks up what a cell has put out, and runs nothing."""

    def __init__(self, file: Path):
        self.cells = [cell for cell in nbformat.read(file, 4).cells if cell.cell_type == "code"]
        self.at = 0  # the number of the code cell that nbval asks about next
        self.messages: list[dict] = []

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        """Take up the outputs of the cell; refuse one that has another source, or wasn't run."""
        cell = self.cells[self.at] if self.at < len(self.cells) else None
        if cell is None or cell.source != source:
            raise NbCellError(self.at, "The notebook that the browser executed has another source here", source)
        if cell.execution_count is None:
            raise NbCellError(self.at, "The browser didn't run this cell", source)
        request = f"cell {self.at}"
        said = [(out.output_type, {part: out[part] for part in PARTS[out.output_type]}) for out in cell.outputs]
        states = [("status", {"execution_state": state}) for state in ("busy", "idle")]
        self.messages = [
            {"msg_type": kind, "content": content, "parent_header": {"msg_id": request}}
            for kind, content in (states[0], *said, states[1])
        ]
        return request

    def get_message(self, stream: str, timeout: float | None = None) -> dict:
        """The next message of the cell."""
        if not self.messages:
            raise Empty
        return self.messages.pop(0)

    def await_reply(self, request: str, timeout: float | None = None) -> None:
        """Return at once: the cell was executed long ago."""

    def await_idle(self, request: str, timeout: float | None = None) -> None:
        """Pass over the messages that are left."""
        self.messages = []

    def is_alive(self) -> bool:
        return True

    def stop(self) -> None:
        self.messages = []


class ReplayedNotebook(IPyNbFile):
    """nbval's notebook, with the kernel above."""

    def setup(self) -> None:
        self.kernel = ReplayedKernel(executed(self.path.name))
        self.setup_sanitize_files()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector):
    found = yield
    if not executed(file_path.name):
        return found
    return [
        ReplayedNotebook.from_parent(parent, path=file_path) if isinstance(node, IPyNbFile) else node for node in found
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Tell the kernel which cell comes, since -k may select any."""
    if isinstance(item, IPyNbCell) and isinstance(item.parent, ReplayedNotebook):
        item.parent.kernel.at = item.cell_num
