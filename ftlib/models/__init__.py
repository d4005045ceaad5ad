"""load(): pretrained weights from a file on this computer, as a model whose parts are in order.

A model is `.stages`, from the input to the last features, and then `.head`, from the features to the
logits:

    batch -> stages[0] -> stages[1] -> ... -> features -> head -> logits

Every tensor has its place in a stage or in the head, so "freeze the first three stages", "a smaller rate
for early stages" and "keep what stage 4 gives, it never changes" are one line each, for a convolutional
network and a transformer alike. A task brings its own head, freshly drawn: the pretrained one answers
another question.

Three models come with the kit. Any folder that timm or transformers has saved, with config.json and
model.safetensors, is loaded by its path. Nothing here touches the network.
"""

import json
import os
from pathlib import Path

from safetensors.torch import save_model

from ftlib import assets
from ftlib.io.refusals import nearest
from ftlib.io.writing import in_one_piece
from ftlib.models.about import about_of
from ftlib.models.base import Model, fill, read_tensors

__all__ = ["KNOWN", "Model", "load", "load_weights", "save"]
KNOWN = {"efficientnet-lite0": "image", "minilm": "text", "smollm2": "lm"}  # name -> kind


def load(name: str | Path, task=None, *, pretrained: bool = True) -> Model:
    """Load a model from files on this computer, cut into stages and a head.

    Parameters
    ----------
    name : str or Path
        "efficientnet-lite0", "minilm" or "smollm2", or the folder of a model that timm or transformers has saved.
    task : Task, optional
        Brings a fresh head with one output per class, which torch's global generator draws. Without a task the
        pretrained head is kept. A language model always keeps its head.
    pretrained : bool, default True
        False draws all weights as the architecture's authors do.

    Returns
    -------
    Model
        In evaluation mode, on the CPU, in float32.

    Raises
    ------
    ValueError
        If the name is unknown, the task is of another kind, or the weights do not fit.
    FileNotFoundError, ftlib.assets.AssetError
        If a file is missing.

    Examples
    --------
    >>> model = ftlib.load_model("minilm")
    >>> model.kind, model.width, len(model.stages)
    ('text', 384, 7)
    >>> batch = model.tokenizer(["What a film!", "No."], padding=True, return_tensors="pt")
    >>> model.features(batch).shape
    torch.Size([2, 384])
    """
    if not isinstance(name, str | os.PathLike):
        raise ValueError(f"a model is named by a text or a folder, not by {name!r}: choose from {', '.join(KNOWN)}")
    known, folder = name in KNOWN, Path(name)
    if not known and not folder.is_dir():
        near = nearest(str(name), KNOWN)
        raise ValueError(f"{str(name)!r} is neither a folder nor a known model: {', '.join(KNOWN)}{near}")
    if task is not None and not hasattr(task, "kind"):
        raise ValueError(f"task must be a task as ftlib.load_task gives it, or None, but it is {task!r}")
    kind = KNOWN[name] if known else kind_of(folder)
    if task is not None and task.kind != kind:
        fitting = " or ".join(k for k, v in KNOWN.items() if v == task.kind) or "another task"
        raise ValueError(f"{str(name)!r} reads {kind!r} and the task gives {task.kind!r}: choose {fitting}")
    model = build(name, kind, task.outputs if task is not None and kind != "lm" else None, pretrained)
    model.about = about_of(str(name) if known else folder.name, kind, task)
    return model


def build(name: str | Path, kind: str, outputs: int | None = None, pretrained: bool = True) -> Model:
    """The model of a name that is known, or of a folder, with a fresh head of `outputs` numbers or its own."""
    known, folder = name in KNOWN, Path(name)
    if kind == "image":
        from ftlib.models import image  # here, not above: timm and transformers take seconds to import

        net, make = image.read_lite0(pretrained) if known else image.read_folder(folder, pretrained)
        return image.ImageModel(net, make, folder.name, outputs).eval()
    from ftlib.models import folder as transformers_folder
    from ftlib.models import text

    net, make, tokenizer = transformers_folder.read_folder(assets.path(name) if known else folder, kind, pretrained)
    return text.CLASSES[kind](net, make, folder.name, outputs, tokenizer).eval()


def save(model: Model, path: str | Path) -> None:
    """Write all weights of a model to one file.

    Parameters
    ----------
    model : Model
        The model. Tensors that are shared, such as a tied head, are written once.
    path : str or Path
        A safetensors file. A missing folder is made.

    Examples
    --------
    >>> from ftlib import models
    >>> models.save(picture_model, "model.safetensors")
    >>> picture_model is models.load_weights(picture_model, "model.safetensors")
    True
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_one_piece(path) as part:
        save_model(model, str(part))


def load_weights(model: Model, path: str | Path) -> Model:
    """Fill a model with weights that `save` wrote.

    Parameters
    ----------
    model : Model
        A model of the same shape. If the weights were saved with LoRA in it, the same strategy's `prepare` must
        have changed it first.
    path : str or Path
        A safetensors file.

    Returns
    -------
    Model
        The same model.

    Raises
    ------
    ValueError
        If a tensor has no place, or a place has no tensor. Nothing is loaded then.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> from ftlib import models
    >>> models.save(model, "model.safetensors")
    >>> before = model.head.weight.detach().clone()
    >>> _ = torch.nn.init.zeros_(model.head.weight)
    >>> torch.equal(models.load_weights(model, "model.safetensors").head.weight, before)
    True
    """
    return fill(model, read_tensors(path), path)


def kind_of(folder: Path) -> str:
    """What the model in a folder reads, from its config.json."""
    file = folder / "config.json"
    if not file.is_file():
        if (folder / "adapter_config.json").is_file():
            raise FileNotFoundError(
                f"{folder} holds an adapter, not a model: load its base, then "
                f"ftlib.models.adapters.load_adapter(model, folder, name)"
            )
        raise FileNotFoundError(f"{file} is missing: name a folder where timm or transformers saved a model")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise ValueError(f"{file} is damaged ({error}): save the model anew, or fetch the file again") from error
    if not isinstance(config, dict):
        raise ValueError(f"{file} must hold an object in braces, not {config!r:.50}: save the model anew")
    if "architecture" in config:
        return "image"  # timm
    if "model_type" not in config:
        raise ValueError(f"{file} names neither an architecture (timm) nor a model_type (transformers)")
    heads = ("ForCausalLM", "LMHeadModel")  # new names, and those of GPT-2's time
    return "lm" if any(a.endswith(heads) for a in config.get("architectures") or []) else "text"
