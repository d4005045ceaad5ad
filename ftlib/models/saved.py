"""A fine-tuned model as a folder: save it, share it, load it.

A folder is one that other libraries open, and three files more make it ours: ftlib.json (`about`, and how the parts go
together), README.md (a model card), and head.safetensors where the uncut network has no place for the head.

    network   images: timm.create_model("local-dir:FOLDER"); texts: AutoModel.from_pretrained(FOLDER)
    adapter   LoRA and IA3: PeftModel.from_pretrained(base, FOLDER); a base that was changed lies in FOLDER/base
    parts     prompts, bottlenecks, several heads: weights.safetensors, put back by the strategy that made the parts
"""

import json
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ftlib import strategies
from ftlib.io.refusals import number
from ftlib.io.typed import Count, Flag, Number, Text, check, entry, parse, read_text
from ftlib.io.writing import folder_in_one_piece, write_text
from ftlib.models import KNOWN, build, kind_of
from ftlib.models import save as save_weights
from ftlib.models.about import About
from ftlib.models.adapters import CHANGE_THE_BASE, CONFIG, load_adapter, save_adapter
from ftlib.models.base import Model, fill, read_tensors
from ftlib.models.card import card, shared_name
from ftlib.models.original import network_of
from ftlib.strategies.multitask import MultiTask
from ftlib.strategies.peft import active_adapter, adapter_layers

__all__ = ["load", "save"]
SHEET, CARD, HEAD, PARTS, BASE = "ftlib.json", "README.md", "head.safetensors", "weights.safetensors", "base"
LEFT_BEHIND = {".DS_Store", ".ipynb_checkpoints"}  # of systems and of Jupyter; all other hidden files are somebody's
FORMAT = 1  # of ftlib.json: raised where an older kit would read it wrongly


@entry
class Sheet:
    """ftlib.json."""

    format: Count
    layout: Literal["network", "adapter", "parts"]
    name: Text
    about: About
    outputs: Count | None = None  # numbers that the head gives, where it is one layer; of several, the main one
    base: Text | None = None  # of an adapter: a model that comes with the kit, or "base", the folder inside
    channels_last: Flag = False  # the order of weights in memory, which decides the last bit of a convolution
    scores: dict[str, Number] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)  # all that `save` wrote


@torch.random.fork_rng(devices=[])  # networks are drawn to be compared and filled: no draw of the learner's moves
def save(model: Model, folder: str | Path, *, scores: dict[str, float] | None = None) -> Path:
    """Write a model to a folder that can be shared, with a model card.

    Parameters
    ----------
    model : Model
        A model of `ftlib.load_model`, trained or not. Of several adapters the one in use is written.
    folder : str or Path
        The folder. It is written in one piece. One that is there is replaced only if `ftlib.save` wrote it.
    scores : dict of str to float, optional
        Scores for the model card, such as ``{"test accuracy": 0.9}``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If the folder holds other files, or the model could not be put together again. Nothing is written then.

    See Also
    --------
    ftlib.load : Loads the folder.
    ftlib.models.save : Writes the weights alone, to one file.

    Notes
    -----
    timm opens the folder of an image model, transformers that of a text model or a language model, and peft that of a
    model with LoRA or IA3. Weights are in safetensors only.

    Examples
    --------
    >>> model = ftlib.load_model("minilm", ftlib.load_task("sentiment", n=20))
    >>> written = ftlib.save(model, folder / "mine", scores={"test accuracy": 0.5})
    >>> again = ftlib.load(written)
    >>> again.about.labels, torch.equal(again.head.weight, model.head.weight)
    (['negative', 'positive'], True)
    """
    if not isinstance(model, Model):
        raise ValueError(f"save writes a model of ftlib.load_model, not {type(model).__name__}: use torch.save for it")
    folder, scores = Path(folder), {str(k): number(f"the score {k!r}", v) for k, v in (scores or {}).items()}
    _must_be_ours(folder)
    with folder_in_one_piece(folder) as part:
        about = replace(model.about, task=shared_name(model.about.task)) if model.about.task else model.about
        sheet = Sheet(format=FORMAT, layout="network", name=model.name or "model", about=about, scores=scores)
        sheet.channels_last = any(_channels_last(p) for p in model.parameters())
        sheet.outputs = getattr(model.head, "out_features", None) if model.kind != "lm" else None
        _write(model, part, sheet)
        write_text(part / CARD, card(sheet, folder.name))
        sheet.files = sorted([*(file.name for file in part.iterdir()), SHEET])
        write_text(part / SHEET, as_json(sheet))
    return folder


@torch.random.fork_rng(devices=[])
def load(folder: str | Path) -> Model:
    """Load a model that `ftlib.save` wrote.

    Parameters
    ----------
    folder : str or Path
        The folder.

    Returns
    -------
    Model
        In evaluation mode, on the CPU. It gives the same logits as the model that was saved, and its `about` says what
        it is.

    Raises
    ------
    ValueError
        If a file is damaged, of a newer version, or of another model.
    FileNotFoundError
        If the folder or a file in it is missing.

    Examples
    --------
    >>> model = ftlib.load_model("minilm", ftlib.load_task("sentiment", n=20))
    >>> again = ftlib.load(ftlib.save(model, folder / "mine"))
    >>> ftlib.predict(again, "What a film!").label == ftlib.predict(model, "What a film!").label
    True
    """
    folder = Path(folder)
    sheet = read_sheet(folder)
    if missing := [name for name in sheet.files if not (folder / name).exists() and name != CARD]:
        raise FileNotFoundError(
            f"{folder} is not whole, {missing[0]} is missing: copy the folder again, with all files"
        )
    kind = sheet.about.kind
    if sheet.layout == "adapter":
        known = sheet.base in KNOWN
        model = build(sheet.base, kind) if known else build(_inside(folder / BASE, kind), kind)
        load_adapter(model, folder, "default")
    elif sheet.layout == "parts":
        model = build(_inside(folder, kind), kind, sheet.outputs, pretrained=False)
        fill(_with_parts(model, sheet.about), read_tensors(folder / PARTS), folder / PARTS)
    else:
        model = build(_inside(folder, kind), kind)
        if kind == "text" and sheet.outputs:
            head = read_tensors(folder / HEAD)
            model.head = nn.Linear(model.width, sheet.outputs, bias="bias" in head)
            fill(model.head, head, folder / HEAD)
    if sheet.outputs != getattr(model.head, "out_features", None) and kind != "lm" and sheet.outputs:
        raise ValueError(
            f"{folder} holds a head of other size than {SHEET} says: copy the folder again, with all files"
        )
    model.name, model.outputs, model.about = sheet.name, sheet.outputs, sheet.about
    if sheet.channels_last:
        model.to(memory_format=torch.channels_last)
    return model.eval()


def read_sheet(folder: Path) -> Sheet:
    """ftlib.json of a folder. ValueError or FileNotFoundError, one sentence, where there is none that can be used."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: name one that ftlib.save wrote")
    if not (folder / SHEET).is_file():
        other = (
            "it holds a plain model or adapter" if any((folder / f).is_file() for f in ("config.json", CONFIG)) else ""
        )
        do = "use ftlib.load_model(folder, task) for a model, load_adapter for an adapter" if other else "name another"
        raise FileNotFoundError(
            f"{folder} has no {SHEET}, so ftlib.save did not write it{other and f', {other}'}: {do}"
        )
    at = str(folder / SHEET)
    found = parse(read_text(folder / SHEET), at, "save the model anew, or copy the folder again")
    version = found.get("format") if isinstance(found, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise ValueError(f"{at} has format {version}, and this kit reads up to {FORMAT}: update the kit to load it")
    return check(Sheet, found, at)


def as_json(sheet: Sheet) -> str:
    """The sheet as the text of a file."""
    return json.dumps(asdict(sheet), indent=2, ensure_ascii=False) + "\n"


def _write(model: Model, part: Path, sheet: Sheet) -> None:
    """The weights, in the first layout that can hold this model."""
    tensors, network = model.state_dict(), network_of(model)
    layers = adapter_layers(model)
    if any(layer.merged for layer in layers.values()):
        raise ValueError("an adapter is merged into the weights: take it out with adapters.unmerge(model), then save")
    if layers and (kept := _without_adapter(tensors)).keys() == network.names.keys():
        sheet.layout, sheet.base = "adapter", _known_base(model, kept)
        save_adapter(model, part)
        if sheet.base == BASE:
            (part / BASE).mkdir()
            network.write(kept, part / BASE, model, sheet.about)
    elif network.fits(tensors):
        network.write(tensors, part, model, sheet.about)
        if model.kind == "text" and sheet.outputs:
            save_file({key: t.detach().cpu().contiguous() for key, t in model.head.state_dict().items()}, part / HEAD)
    else:
        sheet.layout = "parts"
        network.write_config(part, model, sheet.about)
        _must_come_back(model)
        save_weights(model, part / PARTS)


def _without_adapter(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The base's tensors by the names that they had before LoRA or IA3 came."""
    own = {key: t for key, t in tensors.items() if ".lora_" not in key and ".ia3_" not in key}
    return {key.replace(".base_layer.", "."): t for key, t in own.items()}


def _known_base(model: Model, kept: dict[str, Tensor]) -> str:
    """The name of the model that comes with the kit, if the base's weights are still its own; else "base"."""
    config = model.peft_config[active_adapter(model)]
    begun = str(getattr(config, "init_lora_weights", "")).startswith(CHANGE_THE_BASE)  # PiSSA: made again by loading
    changed = {f"{layer}.weight" for layer in adapter_layers(model)} if begun else set()
    name = model.about.base
    if name in KNOWN:
        fresh = build(name, model.kind).state_dict()
        mine = {k: t for k, t in kept.items() if k not in changed and (model.kind == "lm" or not k.startswith("head."))}
        if all(k in fresh and torch.equal(t.cpu(), fresh[k]) for k, t in mine.items()):
            return name
    if begun:
        raise ValueError(
            f"PiSSA has changed the weights of {name}, and the base is not one that comes with the kit, so nothing can "
            f"part them again: write all weights with ftlib.models.save, or train LoRA with variant='plain'"
        )
    return BASE


def _with_parts(model: Model, about: About) -> Model:
    """The model with what the strategies of its runs put in, such as a prompt; their weights are drawn anew."""
    for run in about.trained:
        known = [part for part in run.parts if set(part) <= set(strategies.CATALOG)]
        putting = [part for part in known if _puts_in(strategies.get(next(iter(part))))]
        if putting:
            model = strategies.build(putting).prepare(model)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def _puts_in(kind: type) -> bool:
    """Whether strategies of a class leave parts of their own in the model."""
    return kind.role == "injection" or issubclass(kind, MultiTask)


def _must_come_back(model: Model) -> None:
    """ValueError where `load` could not put the model together again."""
    shapes = {name: t.shape for name, t in model.state_dict().items()}
    outputs = getattr(model.head, "out_features", None) if model.kind != "lm" else None
    again = type(model)(model.make(), model.make, model.name, outputs, model.tokenizer)
    again = {name: t.shape for name, t in _with_parts(again, model.about).state_dict().items()}
    if wrong := [name for name in {**shapes, **again} if shapes.get(name) != again.get(name)]:
        raise ValueError(
            f"{model.name} holds parts that no run of fit with a strategy of the kit put in ({len(wrong)} tensors, "
            f"{wrong[0]!r} first), so ftlib.load could not make them again: use ftlib.models.save, which writes weights"
        )


def _must_be_ours(folder: Path) -> None:
    """ValueError for a folder that holds something that `save` did not write."""
    if not folder.name or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{folder} is no name for a folder: name one that is not there yet")
    if files := [place for place in folder.parents if place.is_file()]:
        raise ValueError(f"{folder} can't be made, since {files[0]} is a file: name another folder")
    there = {file.name for file in folder.iterdir()} - LEFT_BEHIND if folder.is_dir() else set()
    ours = set(read_sheet(folder).files) if SHEET in there else set()
    if others := sorted(there - ours):
        raise ValueError(
            f"{folder} holds files that ftlib.save did not write, {others[0]!r} for one: name another folder"
        )


def _inside(folder: Path, kind: str) -> Path:
    """The folder, if its network reads what ftlib.json says."""
    if (found := kind_of(folder)) != kind:
        raise ValueError(f"{folder} holds a network of the kind {found!r}, and {SHEET} says {kind!r}: copy it again")
    return folder


def _channels_last(p: Tensor) -> bool:
    return p.ndim == 4 and p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous()
