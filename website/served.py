"""`make board`: the comparison board and the guided choice on a page of their own, without code.

    .venv/bin/python -m website.served        (more arguments go to voila: --no-browser, --port=8866)

voila runs a small notebook and shows its outputs. It serves this computer only, and the address holds a token.
"""

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat

from bench import environment

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = Path(__file__).parent / "jupyter"
FOR_JUPYTERLAB = ("@jupyter-notebook/lab-extension", "@jupyter/nbgrader", "jupyterlab-jupytext")  # they need its menus
CELLS = [
    ("markdown", "# Which strategy?\n\nAll recorded runs of the kit. Choose a task, a size and a group of runs."),
    ("code", 'from ftlib import widgets\n\nwidgets.of_lesson("09_compare").board()'),
    ("markdown", "## A guided choice\n\nAnswer the questions, and read what was measured."),
    ("code", 'widgets.of_lesson("09_compare", "choice").choice()'),
]  # fmt: skip


def notebook() -> nbformat.NotebookNode:
    """The page as a notebook."""
    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    kernel = {"name": "ftlib", "display_name": "ftlib", "language": "python"}
    return nbformat.v4.new_notebook(cells=[make[kind](text) for kind, text in CELLS], metadata={"kernelspec": kernel})


def command(file: Path, extra: list[str]) -> list[str]:
    """Call voila for this computer only, with a token that it draws itself."""
    return [
        *(str(environment.python_of("board")), "-m", "voila", str(file)),
        "--Voila.ip=127.0.0.1",
        "--Voila.auto_token=True",
        "--template=ftlib",
        *(f"--VoilaConfiguration.extension_denylist={name}" for name in FOR_JUPYTERLAB),
        *extra,
    ]


def surroundings() -> dict[str, str]:
    """Where voila finds its page, the kit's kernel and its widgets; no personal setting counts."""
    places = [TEMPLATES, Path(sys.prefix, "share", "jupyter"), environment.venv("board") / "share" / "jupyter"]
    config = Path(sysconfig.get_path("data"), "etc", "board")
    return os.environ | {"JUPYTER_PATH": os.pathsep.join(map(str, places)), "JUPYTER_CONFIG_DIR": str(config)}


def main(*extra: str) -> int:
    """Serve until it is stopped; return voila's exit status."""
    if not environment.is_ready("board"):
        sys.exit("voila isn't there: `make board` installs it, or call .venv/bin/python bench/environment.py board.")
    file = ROOT / "build" / "board" / "board.ipynb"
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(), file)
    call, around = command(file, list(extra)), surroundings()
    os.chdir(file.parent)
    if os.name != "nt":
        os.execve(call[0], call, around)  # whoever stops this process stops voila and its kernels
    voila = subprocess.Popen(call, env=around)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # voila answers it
    return voila.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
