"""load(): pretrained weights from a file on this computer, as a model whose parts are in order.

A model is `.stages`, from the input to the last features, and then `.head`, from the features to the logits:

    batch -> stages[0] -> stages[1] -> ... -> features -> head -> logits

Every tensor has its place in a stage or in the head, so "freeze the first three stages", "a smaller rate for early
stages" and "keep what stage 4 gives, it never changes" are one line each, for a convolutional network and a
transformer alike. A task brings its own head, freshly drawn: the pretrained one answers another question.

Three models come with the kit. Any folder that timm or transformers has saved (config.json, model.safetensors) is
loaded by its path. Nothing here touches the network.
"""

import json
import os
from pathlib import Path

from safetensors.torch import load_file, save_model

from ftlib import assets
from ftlib.models.base import Model, fill

__all__ = ["KNOWN", "Model", "load", "load_weights", "save"]
KNOWN = {"efficientnet-lite0": "image", "minilm": "text", "smollm2": "lm"}  # name -> kind


def load(name: str | Path, task=None, *, pretrained: bool = True) -> Model:
    """The model in evaluation mode, on the CPU, in float32.

    name: one of `KNOWN`, or the folder of a timm or transformers model. task: says how many outputs the fresh head
    has, which torch's global generator draws (a language model keeps its head); without a task the checkpoint's own
    head is kept. pretrained=False draws all weights as the architecture's authors do. Raises ValueError for an
    unknown name, a task of another kind, or weights that do not fit; FileNotFoundError for a missing file.
    """
    folder = Path(name)
    if name in KNOWN:
        kind, library = KNOWN[name], "timm" if KNOWN[name] == "image" else "transformers"
    elif folder.is_dir():
        kind, library = _look_into(folder, task)
    else:
        raise ValueError(
            f"{str(name)!r} is no folder and no known model: the known ones are {', '.join(KNOWN)}."
        )
    if task is not None and task.kind != kind:
        raise ValueError(
            f"{str(name)!r} is a model of kind {kind!r} and the task is of kind {task.kind!r}: "
            f"choose {' or '.join(k for k, v in KNOWN.items() if v == task.kind) or 'another task'}."
        )
    outputs = task.outputs if task is not None and kind != "lm" else None
    if library == "timm":
        from ftlib.models import (
            image,
        )  # timm and transformers take seconds to import: only the one that is needed

        net, make = (
            image.read_folder(folder, pretrained) if name not in KNOWN else image.read_lite0(pretrained)
        )
        model = image.ImageModel(net, make, folder.name, outputs)
    else:
        from ftlib.models import text

        folder = assets.path(name) if name in KNOWN else folder
        net, make, tokenizer = text.read_folder(folder, kind, pretrained)
        model = text.CLASSES[kind](net, make, Path(name).name, outputs, tokenizer)
    return model.eval()


def save(model: Model, path: str | Path) -> None:
    """Write all weights to one safetensors file; tensors that are shared (a tied head) are written once."""
    part = Path(f"{path}.part")
    save_model(model, str(part))
    os.replace(part, path)  # in one step: the file is either the old one or complete


def load_weights(model: Model, path: str | Path) -> Model:
    """Fill the model with what `save` wrote; ValueError if any tensor has no place or is missing."""
    return fill(model, load_file(path), path)


def _look_into(folder: Path, task) -> tuple[str, str]:
    """(kind, library) of a model folder, from its config.json."""
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} has no config.json: give the folder of a model that timm or transformers saved."
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "architecture" in config:
        return "image", "timm"
    if "model_type" in config:
        generates = any(a.endswith(("ForCausalLM", "LMHeadModel")) for a in config.get("architectures") or [])
        return "lm" if generates else "text", "transformers"
    raise ValueError(
        f"{folder / 'config.json'} names neither an architecture (timm) nor a model_type (transformers)."
    )
