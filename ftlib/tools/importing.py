"""The way back: what one of the five tools has trained, as an ordinary folder of peft that is known to work.

peft passes over a tensor that fits nowhere. So an adapter whose names don't match loads without an error and changes
nothing, as xTuring's own form does. Here each name, shape and key of the configuration is compared, and the logits must
move, before a folder is written. xTuring writes a pickle, of which only tensors are read.
"""

import json
import pickle
from dataclasses import fields
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ftlib import models
from ftlib.evidence.sequences import Sources
from ftlib.evidence.spec import Spec
from ftlib.io import typed
from ftlib.io.writing import folder_in_one_piece, write_text
from ftlib.models.adapters import CONFIG, PREFIX, WEIGHTS, load_adapter
from ftlib.models.chat import prompt_text
from ftlib.strategies.peft import linear_layers
from ftlib.tools.hand_over import tool
from ftlib.training.scoring import evaluate

PICKLE = "adapter_model.bin"
PROMPT = "What is the capital of France?"  # whose logits must move
NOTHING = "the adapter loads and does nothing"
ANEW = "run the training again"


def adapter_of(result: str | Path, made_by: str) -> Path:
    """Find the adapter in what a tool has written.

    Parameters
    ----------
    result : str or Path
        The exported folder in which the tool has run, or the folder that it wrote.
    made_by : str
        The tool, see `tool`.

    Returns
    -------
    Path
        The folder with adapter_config.json. Of several phases it is the last one's.

    Raises
    ------
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> from ftlib.tools import adapter_of
    >>> (folder / "out" / "1" / "hf").mkdir(parents=True)
    >>> _ = (folder / "out" / "1" / "hf" / "adapter_config.json").write_text("{}")
    >>> adapter_of(folder, "xtuner").relative_to(folder).as_posix()
    'out/1/hf'
    """
    tool(made_by)  # a name that is none is refused
    result = Path(result)
    phases = sorted((f for f in result.glob("out/*") if f.name.isdecimal()), key=lambda f: int(f.name), reverse=True)
    for place in (result, result / "hf", *(p for phase in phases[:1] for p in (phase, phase / "hf"))):
        if (place / CONFIG).is_file():
            return place
    if checkpoint := next(iter(sorted(result.rglob("iter_*.pth"))), None):
        raise FileNotFoundError(
            f"{result} holds XTuner's own {checkpoint.name}, a pickle, which is never read here: run the last line of "
            f"its run.sh, `python convert.py …`"
        )
    whole = next((p for p in (result, *phases[:1]) if (p / "config.json").is_file()), None)
    if whole:
        raise FileNotFoundError(f"{whole} holds a whole model and no adapter: load it with ftlib.load_model")
    raise FileNotFoundError(f"{result} holds no {CONFIG}, so nothing was trained there: run its run.sh")


def read_adapter(folder: Path, made_by: str) -> tuple[dict, dict[str, Tensor]]:
    """(configuration, tensors) of a tool's folder, in the form of peft. ValueError where a part is missing or strange.

    A key that peft doesn't know is left out where it is empty or false. Where it says something, it is refused.
    """
    config = typed.parse(typed.read_text(folder / CONFIG), str(folder / CONFIG), ANEW)
    known = {field.name for field in fields(LoraConfig)}
    if not isinstance(config, dict) or config.get("peft_type") != "LORA" or "r" not in config:
        raise ValueError(f"{folder / CONFIG} describes no LoRA (peft_type and r): {ANEW}")
    if strange := {k: v for k, v in config.items() if k not in known and v}:
        said = ", ".join(f"{key}={value!r:.60}" for key, value in strange.items())
        raise ValueError(f"{folder / CONFIG} says {said}, which peft does not know and would ignore: {ANEW} without it")
    base = str(config.get("base_model_name_or_path") or "")
    if base.endswith("_merged"):
        raise ValueError(
            f"{folder} holds an adapter of {base} and not of the first base: name that folder with --base, and an "
            f"adapter's folder without a phase before"
        )
    config = {key: value for key, value in config.items() if key in known}
    config |= {"task_type": "CAUSAL_LM", "base_model_name_or_path": None, "inference_mode": True}
    return config, _names_of_peft(_tensors(folder), made_by)


def _tensors(folder: Path) -> dict[str, Tensor]:
    file = next((folder / name for name in (WEIGHTS, PICKLE) if (folder / name).is_file()), None)
    if file is None:
        raise FileNotFoundError(f"{folder} has {CONFIG} and no {WEIGHTS}: the tool stopped half-way, so {ANEW}")
    try:
        if file.name == WEIGHTS:
            found = load_file(file)
        else:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except (EOFError, OSError, RuntimeError, SafetensorError, ValueError, pickle.UnpicklingError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{file} is damaged or half-written ({said:.120}): {ANEW}") from error
    if not isinstance(found, dict) or not found or not all(isinstance(t, Tensor) for t in found.values()):
        raise ValueError(f"{file} holds no tensors with names: {ANEW}")
    return {key: tensor.contiguous() for key, tensor in found.items()}


def _names_of_peft(tensors: dict[str, Tensor], made_by: str) -> dict[str, Tensor]:
    """xTuring's own LoRA code leaves out the first word of each name."""
    if made_by != "xturing":
        return tensors
    return {key if key.startswith(PREFIX) else f"base_model.{key}": tensor for key, tensor in tensors.items()}


def _strict(model, config: dict, tensors: dict[str, Tensor], source: Path) -> None:
    """ValueError unless each tensor has a place, each place its tensor, and some B is not 0."""
    names = {model.original_names[layer] for layer in linear_layers(model)}
    places = {f"{PREFIX}{name}.lora_{half}.weight" for name in names for half in "AB"}
    strange = [key for key in tensors if key not in places and not key.endswith(".lora_magnitude_vector")]
    if len(strange) == len(tensors):
        raise ValueError(
            f"{source}: {NOTHING}, since none of its {len(tensors)} names is one of {model.name}, the first is "
            f"{strange[0]!r}: say with --from which tool wrote it, and with --base on which model"
        )
    if strange:
        raise ValueError(
            f"{source}: {len(strange)} of its {len(tensors)} names have no place in {model.name}, the first is "
            f"{strange[0]!r}: say with --base on which model it was trained"
        )
    targets = config.get("target_modules") or []
    ends = [targets] if isinstance(targets, str) else targets
    held = {key.partition(".lora_")[0].removeprefix(PREFIX) for key in tensors}
    asked = {name for name in names if any(name == end or name.endswith(f".{end}") for end in ends)}
    missing = sorted({f"{PREFIX}{name}.lora_{half}.weight" for name in asked | held for half in "AB"} - tensors.keys())
    if missing:
        raise ValueError(
            f"{source}: {len(missing)} tensors are missing that its {CONFIG} asks for, the first is {missing[0]!r}: "
            f"the file is half-written, so {ANEW}"
        )
    if broken := next((key for key, tensor in tensors.items() if not tensor.isfinite().all()), None):
        raise ValueError(f"{source}: {broken!r} holds numbers that are not finite: {ANEW} with a smaller rate")
    if not any(tensor.any() for key, tensor in tensors.items() if ".lora_B." in key):
        raise ValueError(
            f"{source}: {NOTHING}, since all its matrices B are 0: {ANEW} with more steps or a larger rate"
        )


@torch.no_grad()
def _logits(model) -> Tensor:
    tokenizer = model.tokenizer
    text = prompt_text(tokenizer, PROMPT) if tokenizer.chat_template else PROMPT
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    return model.eval()({"input_ids": ids, "attention_mask": torch.ones_like(ids)})


def import_adapter(result: str | Path, made_by: str, folder: str | Path, base: str | Path = "smollm2") -> dict:
    """Write what a tool has trained as an ordinary folder of peft, after it has been tried.

    Parameters
    ----------
    result : str or Path
        The exported folder in which the tool has run, or the folder that it wrote.
    made_by : str
        The tool, see `tool`.
    folder : str or Path
        A new folder.
    base : str or Path, default "smollm2"
        The model that was trained: a name of the kit, or a folder.

    Returns
    -------
    dict
        `tensors` and `parameters`, how many there are, and `moved`, the largest change of a logit.

    Raises
    ------
    ValueError
        If a tensor has no place or a place no tensor, if the logits don't move, or if the folder is there already.
        Nothing is written then.
    FileNotFoundError
        If there is no adapter, or a part of it is missing.

    See Also
    --------
    ftlib.models.adapters.load_adapter : Loads the folder.

    Examples
    --------
    >>> from ftlib.models import adapters
    >>> from ftlib.tools import import_adapter
    >>> mine = strategies.LoRA(r=2).prepare(ftlib.load_model("smollm2"))
    >>> with torch.no_grad():
    ...     for name, p in mine.named_parameters():
    ...         _ = p.add_(0.1) if "lora_B" in name else None
    >>> written = adapters.save_adapter(mine, folder / "theirs")
    >>> found = import_adapter(written, "unsloth", folder / "imported")
    >>> found["tensors"], found["moved"] > 0
    (420, True)
    """
    target, source = Path(folder), adapter_of(result, made_by)
    if target.exists():
        raise ValueError(f"{target} is there already, and nothing is written over: name another folder")
    config, tensors = read_adapter(source, made_by)
    model = models.load(base)
    if model.kind != "lm":
        raise ValueError(f"{model.name} is no language model: name the base that the tool trained")
    _strict(model, config, tensors, source)
    before = _logits(model)
    with folder_in_one_piece(target) as part:
        write_text(part / CONFIG, json.dumps(config, indent=2, sort_keys=True))
        save_file(tensors, part / WEIGHTS, metadata={"format": "pt"})
        load_adapter(model, part, "imported")
        moved = (_logits(model) - before).abs().max().item()
        if not moved > 0:
            raise ValueError(f"{source}: {NOTHING}, no logit moves: {ANEW}")
    return {"tensors": len(tensors), "parameters": sum(t.numel() for t in tensors.values()), "moved": moved}


def held_out(spec: Spec, adapters: dict[str, str | Path], split: str = "validation") -> dict[str, dict[str, float]]:
    """Score adapters and their base on the same held-out rows, by the kit's own evaluation.

    Parameters
    ----------
    spec : Spec
        Names the model, the task and the seed.
    adapters : dict of str to (str or Path)
        Folders of peft by the name that they get here: an imported one, and one of your own beside it.
    split : str, default "validation"
        The rows.

    Returns
    -------
    dict of str to dict of str to float
        The scores of `ftlib.evaluate` for "base" and for each adapter. `nll` is the loss per token of an answer.

    Raises
    ------
    ValueError
        If an adapter doesn't fit the model.

    Notes
    -----
    The losses that the five tools log can't be compared, since each counts other tokens.

    Examples
    --------
    >>> from ftlib.tools import held_out
    >>> spec = ftlib.Spec("any", "instructions/nyt", "smollm2", seed=0, phases=[], options={"n": 20})
    >>> sorted(held_out(spec, {}))
    ['base']
    """
    sources, found = Sources(spec), {}
    for name, place in {"base": None, **adapters}.items():
        model = models.load(spec.model)
        if place is not None:
            model = load_adapter(model, place, "imported")
        found[name] = evaluate(model, sources.loader(split, model, batch_size=64))
    return found
