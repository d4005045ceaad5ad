"""The README's images: docs/first_win.png, a figure of the executed notebook 00_start_here, and docs/board.png.

.venv/bin/python lessons/picture.py
"""

import base64
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DRAWN_BY = "plots.before_after("
SHOWN = ("sentiment/amazon", 200, "02_freezing")  # task, size and runs on the board


def first_win(notebook: dict) -> bytes:
    """The figure that the notebook shows where it has drawn before and after."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []) if DRAWN_BY in "".join(cell["source"]) else []:
            if "image/png" in output.get("data", {}):
                return base64.b64decode(output["data"]["image/png"])
    raise ValueError(f"notebooks/00_start_here.ipynb shows no figure of {DRAWN_BY}): execute it with make notebooks")


def board() -> bytes:
    """The comparison board of lesson 09, as it opens with the runs of SHOWN."""
    from ftlib import widgets

    return widgets.of_lesson("09_compare").board(start=SHOWN).still().png()


if __name__ == "__main__":
    executed = json.loads((ROOT / "notebooks" / "00_start_here.ipynb").read_text(encoding="utf-8"))
    (ROOT / "docs" / "first_win.png").write_bytes(first_win(executed))
    (ROOT / "docs" / "board.png").write_bytes(board())
