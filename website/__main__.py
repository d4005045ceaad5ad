"""`make site`: the lessons, the claims, the reference and the board as pages, in build/site.

.venv-site/bin/python -m website [FOLDER]
"""

import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import main as sphinx

from website import board_data
from website.prepare import ROOT, prepare, write

SITE = ROOT / "build" / "site"


def main(folder: Path = SITE) -> int:
    """Build everything anew; return Sphinx's exit status. A warning, of a dead link for example, is an error."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="ftlib-site-") as work:
        prepare(Path(work, "source"))
        words = [
            "-b",
            "html",
            "-c",
            str(ROOT / "website"),
            "-d",
            str(Path(work, "doctrees")),
            "-q",
            "-W",
            "--keep-going",
        ]
        if status := sphinx([*words, str(Path(work, "source")), str(folder)]):
            return status
    write(folder / "_static" / "board-data.js", board_data.script())
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"The site is in {folder} ({size / 1e6:.0f} MB). Open its index.html.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
