"""Where the kit keeps its lessons and its recorded runs: the only file that knows.

lessons/<lesson>/           lesson.py, depth.py, questions.<language>.json, claims/, grids/, and its own code
data/results/<grid>.jsonl   the recorded runs of a grid
"""

from difflib import get_close_matches
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # a replication puts another folder here for a while


def results() -> Path:
    """The folder of the recorded runs."""
    return ROOT / "data" / "results"


def grids() -> dict[str, Path]:
    """The file of each grid, by its name."""
    return _files("grids")


def claims() -> dict[str, Path]:
    """The file of each claim, by its id."""
    return _files("claims")


def lessons() -> list[str]:
    """The lessons' names, such as "01_full", in order."""
    return sorted(folder.name for folder in (ROOT / "lessons").glob("[0-9]*") if folder.is_dir())


def lesson(name: str) -> Path:
    """A lesson's folder. FileNotFoundError, which names the nearest, where there is none of that name."""
    known = lessons()
    if name not in known:
        near = get_close_matches(str(name), known, 1)
        raise FileNotFoundError(
            f"there is no lesson {name!r}: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")
        )
    return ROOT / "lessons" / name


def _files(kind: str) -> dict[str, Path]:
    return {file.stem: file for file in sorted(ROOT.glob(f"lessons/*/{kind}/*.json"))}
