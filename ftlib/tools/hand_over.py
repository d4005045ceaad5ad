"""From a Spec, or a recorded run, to a folder in which one of the five tools can be started."""

import json
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ftlib import assets, models
from ftlib.evidence.sequences import Sources
from ftlib.evidence.spec import Spec, WrittenSpec
from ftlib.io import places, typed
from ftlib.io.refusals import nearest
from ftlib.io.writing import folder_in_one_piece
from ftlib.tools.base import SMOLLM2, Base, base_of, plain_folder
from ftlib.tools.rows import rows_of

TOOLS = {  # as the command line calls it -> its file
    "llama-factory": "llama_factory",
    "xtuner": "xtuner",
    "unsloth": "unsloth",
    "firefly": "firefly",
    "xturing": "xturing",
}


def tool(name: str) -> ModuleType:
    """Give the file of a tool, which has `render` and `read`.

    Parameters
    ----------
    name : str
        "llama-factory", "xtuner", "unsloth", "firefly" or "xturing".

    Returns
    -------
    module

    Raises
    ------
    ValueError
        If there is no such tool.

    Examples
    --------
    >>> from ftlib.tools import tool
    >>> tool("xtuner").VERSION
    '0.2.0'
    """
    if name not in TOOLS:
        raise ValueError(f"there is no export to {name!r}: choose one of {', '.join(TOOLS)}{nearest(str(name), TOOLS)}")
    return import_module(f"ftlib.tools.{TOOLS[name]}")


def find_spec(source: str | Path) -> Spec:
    """Find a Spec by its file, or by the id of a recorded run.

    Parameters
    ----------
    source : str or Path
        A JSON file that holds a Spec or a record, or twelve hexadecimal digits.

    Returns
    -------
    Spec

    Raises
    ------
    FileNotFoundError
        If there is neither such a file nor such a run.
    ValueError
        If the file holds no Spec.

    Examples
    --------
    >>> from ftlib.tools import find_spec
    >>> find_spec("bfc8c789e4d7").arm
    'linear@1e-05'
    """
    file = Path(source)
    if file.is_file():
        held = typed.parse(typed.read_text(file), str(file), "write a Spec as JSON")
        return _spec(held.get("spec", held) if isinstance(held, dict) else held, str(file))
    if not re.fullmatch(r"[0-9a-f]{12}", str(source)):
        raise FileNotFoundError(f"{source} is neither a file nor the id of a recorded run: name a Spec's JSON file")
    for results in sorted(places.results().glob("*.jsonl")):
        with open(results, encoding="utf-8") as lines:
            for line in lines:
                if f'"{source}"' in line[:100] and (record := json.loads(line))["id"] == source:
                    return _spec(record["spec"], str(source))
    raise FileNotFoundError(f"there is no recorded run {source}: take an id from data/results")


def _spec(written, at: str) -> Spec:
    typed.check(WrittenSpec, written, at)
    return Spec(**written)


def export(
    spec: Spec, to: str, folder: str | Path, *, kind: str = "chat", noise: float = 0.0, cpu: bool = False
) -> dict[str, str]:
    """Write a folder in which a tool can be started.

    Parameters
    ----------
    spec : Spec
        A language model's experiment. Its task may be your own data, such as "chats:PATH" or "table:PATH".
    to : str
        The tool, see `tool`.
    folder : str or Path
        A new folder.
    kind : {"chat", "text"}, default "chat"
        "text" exports plain texts for domain pre-training.
    noise : float, default 0
        NEFTune's alpha.
    cpu : bool, default False
        Write the run for a computer without a GPU.

    Returns
    -------
    dict of str to str
        The files that were written, besides the base model in the folder `base`.

    Raises
    ------
    ValueError
        If the folder is there already, or the tool lacks a method of the Spec.

    Examples
    --------
    >>> from ftlib import tasks
    >>> from ftlib.tools import export
    >>> phase = ftlib.Phase([{"LoRA": {"r": 4}}], steps=20, lr=1e-3)
    >>> spec = ftlib.Spec("mine", f"chats:{tasks.example('chats')}", "smollm2", seed=0, phases=[phase])
    >>> files = export(spec, "llama-factory", folder / "handed_over")
    >>> (folder / "handed_over" / "base" / "config.json").exists(), "train_1.yaml" in files
    (True, True)
    """
    target, writes = Path(folder), tool(to)
    if target.exists():
        raise ValueError(f"{target} is there already, and nothing is written over: name another folder")
    place, base = _base(spec.model)
    sources = Sources(spec)
    names = {name for phase in spec.phases if phase.steps for name in phase.data.values()}
    rows = {}
    for name in sorted(names):
        task, split = sources.of(name)
        rows[name] = rows_of(task, kind, split)
    files = writes.render(spec, rows, base, noise=noise, cpu=cpu)
    with folder_in_one_piece(target) as part:
        plain_folder(place, part / "base")
        for name, text in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_text(text, encoding="utf-8", newline="\n")
    return files


def _base(name: str) -> tuple[Path, Base]:
    """(folder, layers and template) of a model."""
    if (kind := models.KNOWN.get(name)) == "lm":
        return assets.path(name), SMOLLM2
    if kind:
        raise ValueError(f"{name} is no language model, and the five tools train only those: take smollm2")
    if not Path(name).is_dir():
        raise ValueError(f"{name!r} is neither a folder nor a known model: name smollm2, or a language model's folder")
    return Path(name), base_of(name)
