"""A learner's own copies of the notebooks, in work/: `make lab` opens them.

The notebooks in notebooks/ are executed and show every result, so they are for reading. A copy has no outputs: no
answer is in sight before the prediction. The depth notebooks are in work/depth/, since JupyterLab would list
01_full_depth before 01_full. Nothing that a learner wrote is overwritten: a new copy leaves the old one beside it.
"""

import hashlib
import json
import re
from itertools import count
from os.path import relpath
from pathlib import Path

from ftlib.io import places
from ftlib.io.refusals import nearest
from ftlib.io.writing import write_text

END = "**Done?** Close this notebook's tab. That stops its kernel and frees its memory, often some GB. "
END += "Your answers and your text are kept."
LINK = re.compile(r"\]\(([^):#]+)")  # the target of a Markdown link that stays on this computer


def begin() -> list[str]:
    """Make the copies that are not there yet, and leave all others as they are.

    Returns
    -------
    list of str
        Sentences for the learner: which copies are new, and of which ones the kit has a newer version.

    Examples
    --------
    >>> said = begin()
    >>> begin()  # nothing is left to do
    []
    """
    said, new = [], []
    for name in known():
        file = copy_of(name)
        if not file.exists():
            _write(name, file)
            new.append(name)
        elif _digest_within(file) not in (None, _digest(_clean(name, file))):
            said.append(f"{name} has a newer version: `python -m ftlib fresh {name}` gives it to you, and keeps yours.")
    return ([f"Your own copies are in {places.work()}: {', '.join(new)}."] if new else []) + said


def fresh(*names: str) -> list[str]:
    """Make clean copies of notebooks. The old copies are kept under other names.

    Parameters
    ----------
    *names : str
        Names of notebooks, such as "01_full" or "01_full_depth".

    Returns
    -------
    list of str
        One sentence per notebook, which says where both copies are.

    Raises
    ------
    FileNotFoundError
        If there is no such notebook. The sentence names the nearest one, and no copy is made.

    Examples
    --------
    >>> _ = begin()
    >>> fresh("01_full")
    ['01_full is clean again: ...01_full.ipynb. Your old copy is 01_full-before-1.ipynb beside it.']
    """
    there = known()
    for name in names:
        if name not in there:
            instead = nearest(name, there) or ": there are " + ", ".join(there)
            raise FileNotFoundError(f"there is no notebook {name!r}{instead}")
    return [_fresh(name, copy_of(name)) for name in names]


def _fresh(name: str, file: Path) -> str:
    if not file.exists():
        _write(name, file)
        return f"{name} is clean: {file}."
    old = next(f for n in count(1) if not (f := file.with_stem(f"{name}-before-{n}")).exists())
    text = _text(_clean(name, file))  # before the old one is renamed: a notebook that can't be read changes nothing
    file.rename(old)
    write_text(file, text)
    return f"{name} is clean again: {file}. Your old copy is {old.name} beside it."


def known() -> list[str]:
    """List the notebooks of the kit.

    Returns
    -------
    list of str
        Names such as "01_full" and "01_full_depth".

    Examples
    --------
    >>> known()[:3]
    ['00_start_here', '01_full', '01_full_depth']
    """
    return sorted(file.stem for file in places.notebooks().glob("*.ipynb"))


def copy_of(name: str) -> Path:
    """Give the place of a learner's copy.

    Parameters
    ----------
    name : str
        Name of the notebook.

    Returns
    -------
    Path
        work/<name>.ipynb, or work/depth/<name>.ipynb.

    Examples
    --------
    >>> copy_of("01_full_depth").parts[-3:]
    ('work', 'depth', '01_full_depth.ipynb')
    """
    folder = places.work() / "depth" if name.endswith("_depth") else places.work()
    return folder / f"{name}.ipynb"


def _clean(name: str, file: Path) -> dict:
    """The notebook without outputs and without the cells that only guard the text, with links that work there."""
    notebook = json.loads((places.notebooks() / f"{name}.ipynb").read_bytes())
    notebook["cells"] = [cell for cell in notebook["cells"] if "guard" not in cell["metadata"].get("tags", [])]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
        else:
            cell["source"] = LINK.sub(lambda found: f"]({_link(found[1], file.parent)}", _source(cell))
    notebook["cells"].append({"cell_type": "markdown", "id": "done", "metadata": {}, "source": END})
    notebook["metadata"]["ftlib"] = {"clean": _digest(notebook)}
    return notebook


def _link(target: str, folder: Path) -> str:
    """A link of a notebook in notebooks/, as it is written in `folder`."""
    there = places.notebooks() / target
    if there.parent == places.notebooks() and there.stem in known():
        there = copy_of(there.stem)
    return Path(relpath(there, folder)).as_posix()


def _source(cell: dict) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def _digest(notebook: dict) -> str:
    """Sixteen digits for the text of all cells."""
    return hashlib.sha256("\0".join(map(_source, notebook["cells"])).encode()).hexdigest()[:16]


def _digest_within(file: Path) -> str | None:
    """The digest of the version that a copy was made of, or None where it can't be read."""
    try:
        return json.loads(file.read_bytes())["metadata"]["ftlib"]["clean"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _text(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _write(name: str, file: Path) -> None:
    text = _text(_clean(name, file))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
