"""Where the kit keeps its lessons and its recorded runs: the only file that knows.

lessons/<lesson>/           lesson.py, depth.py, questions.<language>.json, claims/, confirm/, counts/, grids/, its code
data/results/<grid>.jsonl   the recorded runs of a grid
notebooks/<lesson>.ipynb    the executed notebooks; a learner's copies of them are in work/
"""

from pathlib import Path

from ftlib.io.refusals import nearest

ROOT = Path(__file__).resolve().parents[2]  # a replication puts another folder here for a while


def results() -> Path:
    """Give the folder of the recorded runs.

    Returns
    -------
    Path
        data/results.

    Examples
    --------
    >>> (results() / "01_full.jsonl").exists()
    True
    """
    return ROOT / "data" / "results"


def notebooks() -> Path:
    """Give the folder of the executed notebooks.

    Returns
    -------
    Path
        notebooks.

    Examples
    --------
    >>> (notebooks() / "01_full.ipynb").exists()
    True
    """
    return ROOT / "notebooks"


def work() -> Path:
    """Give the folder of the learner's own copies of the notebooks.

    Returns
    -------
    Path
        work. It need not exist.

    Examples
    --------
    >>> work().name
    'work'
    """
    return ROOT / "work"


def grids() -> dict[str, Path]:
    """Find the file of each grid.

    Returns
    -------
    dict of str to Path
        Files by the name of the grid.

    Examples
    --------
    >>> grids()["01_full"].name
    '01_full.json'
    """
    return _files("grids")


def claims() -> dict[str, Path]:
    """Find the file of each claim.

    Returns
    -------
    dict of str to Path
        Files by the id of the claim.

    Examples
    --------
    >>> all(file.parent.name == "claims" for file in claims().values())
    True
    """
    return _files("claims")


def confirmations() -> dict[str, Path]:
    """Find the file of each confirmation, the rule by which a claim is decided on fresh seeds.

    Returns
    -------
    dict of str to Path
        Files by the id of the claim.

    Examples
    --------
    >>> all(file.parent.name == "confirm" for file in confirmations().values())
    True
    """
    return _files("confirm")


def counted() -> dict[str, Path]:
    """Find the file of each claim that is counted and not measured.

    Returns
    -------
    dict of str to Path
        Files by the id of the claim.

    Examples
    --------
    >>> all(file.parent.name == "counts" for file in counted().values())
    True
    """
    return _files("counts")


def lessons() -> list[str]:
    """List the lessons in order.

    Returns
    -------
    list of str
        Names such as "01_full".

    Examples
    --------
    >>> lessons()[:2]
    ['00_start_here', '01_full']
    """
    return sorted(folder.name for folder in (ROOT / "lessons").glob("[0-9]*") if folder.is_dir())


def lesson(name: str) -> Path:
    """Give the folder of a lesson.

    Parameters
    ----------
    name : str
        Name of the lesson.

    Returns
    -------
    Path
        lessons/<name>.

    Raises
    ------
    FileNotFoundError
        If there is no such lesson. The sentence names the nearest one.

    Examples
    --------
    >>> lesson("01_full").name
    '01_full'
    """
    known = lessons()
    if name not in known:
        instead = nearest(name, known) or f": there are {', '.join(known)}"
        raise FileNotFoundError(f"there is no lesson {name!r}{instead}")
    return ROOT / "lessons" / name


def _files(kind: str) -> dict[str, Path]:
    return {file.stem: file for file in sorted(ROOT.glob(f"lessons/*/{kind}/*.json"))}
