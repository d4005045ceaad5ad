"""Adapters as files: save, load, switch and merge what LoRA and IA3 have learned.

A folder is an ordinary one of the library peft, adapter_config.json and adapter_model.safetensors, with the network's
own names of its layers. So plain transformers and peft load it on the plain network and compute the same:

    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(<the base>), <the folder>)

A head that was trained travels in the same file. Where the uncut network has a head of that place (timm's classifier)
it is named in `modules_to_save`, and peft puts it there; an encoder has none, so peft passes over `head.weight` and
gives the features, and only `load_adapter` takes the head. Weights are in safetensors only: no pickle is ever read.

Merging adds the update to the base's weights, W + s · B A, and costs nothing from then on.
"""

import json
import os
import warnings
from pathlib import Path

from peft import PeftConfig, functional, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import load_file, save_file
from torch import nn

from ftlib.strategies.peft import active_adapter, adapter_layers, linear_layers

PREFIX = "base_model.model."  # before every name in a file of peft
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def save_adapter(model: nn.Module, folder: str | Path) -> Path:
    """Write the adapter in use, and a trained head, as a folder of peft; the weights come last, each file in one step.

    Raises ValueError if the model holds no LoRA and no IA3 (ftlib.models.save writes whatever there is).
    """
    name, folder = active_adapter(model), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    learned = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    layers = [layer for layer in adapter_layers(model) if any(key.startswith(f"{layer}.") for key in learned)]
    tensors = {PREFIX + _rename(key, model.own_names): t for key, t in learned.items()}
    config = model.peft_config[name].to_dict()
    config |= {"target_modules": sorted(model.own_names[layer] for layer in layers), "inference_mode": True}
    if config.get("feedforward_modules"):
        config["feedforward_modules"] = sorted(model.own_names[layer] for layer in config["feedforward_modules"])
    if model.kind != "lm":
        place = model.own_names["head"]
        tensors |= {f"{PREFIX}{place or 'head'}.{key}": t for key, t in model.head.state_dict().items()}
        config["modules_to_save"] = [place] if place else None
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    _write(folder / CONFIG, lambda part: part.write_text(json.dumps(plain, indent=2, sort_keys=True, default=str)))
    tensors = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
    _write(folder / WEIGHTS, lambda part: save_file(tensors, part, metadata={"format": "pt"}))
    return folder


def load_adapter(model: nn.Module, folder: str | Path, name: str) -> nn.Module:
    """Put the folder's adapter on the model, beside those that it holds, under this name, and use it.

    peft would pass over tensors that fit nowhere; here each must have its place and each place its tensor, or nothing
    is loaded, and ValueError says which.
    """
    folder = Path(folder)
    if missing := [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]:
        raise FileNotFoundError(f"{folder} has no {' and no '.join(missing)}: name a folder that save_adapter wrote")
    held = getattr(model, "peft_config", {})
    if name in held or not name.isidentifier():
        raise ValueError(f"an adapter's name must be a new word, but it is {name!r}; the model holds {list(held)}")
    config, own = PeftConfig.from_pretrained(str(folder)), {v: k for k, v in model.own_names.items() if v}
    tensors = {key.removeprefix(PREFIX): t for key, t in load_file(folder / WEIGHTS).items()}
    place = model.own_names["head"] or "head"
    head = {k: tensors.pop(f"{place}.{k}") for k in ("weight", "bias") if f"{place}.{k}" in tensors}
    tensors = {_rename(key, own): t for key, t in tensors.items()}
    layers = dict.fromkeys(key.rpartition(".lora_" if ".lora_" in key else ".ia3_")[0] for key in tensors)
    _check(model, config, tensors, layers, folder)
    if head and head["weight"].shape[1] != model.width:
        raise ValueError(f"the head in {folder} reads {head['weight'].shape[1]} features, not {model.width}")
    pissa = [k for k, c in held.items() if str(getattr(c, "init_lora_weights", "")).startswith("pissa")]
    if held and (pissa or str(getattr(config, "init_lora_weights", "")).startswith("pissa")):
        raise ValueError(
            "PiSSA changes the base's weights, so it shares them with no other adapter: load the model anew"
        )
    _unmerged(model)
    config.target_modules, config.inference_mode, config.modules_to_save = set(layers), False, None
    if getattr(config, "feedforward_modules", None):
        config.feedforward_modules = {own[layer] for layer in config.feedforward_modules}
    if held:
        vars(model).setdefault("heads", {})[active_adapter(model)] = model.head
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft warns that there will be several, which is what is wanted
        inject_adapter_in_model(config, model, adapter_name=name)
    functional.set_peft_model_state_dict(model, tensors, adapter_name=name)
    functional.set_adapter(model, name)
    if head:
        made = nn.Linear(model.width, len(head["weight"]), bias="bias" in head)
        made.load_state_dict(head)
        model.head = made.to(next(model.parameters()).device)
    return model


def switch(model: nn.Module, name: str) -> nn.Module:
    """Use another of the adapters that the model holds, with its own head; no weight is copied."""
    held = getattr(model, "peft_config", {})
    if name not in held:
        raise ValueError(f"the model holds no adapter {name!r}, but {list(held)}: load_adapter(model, folder, name)")
    _unmerged(model)
    heads = vars(model).setdefault("heads", {})  # of the adapters that are not in use; one that is not trained is kept
    heads[active_adapter(model)] = model.head
    functional.set_adapter(model, name)
    model.head = heads.get(name, model.head).to(next(model.parameters()).device)
    return model


def merge(model: nn.Module) -> nn.Module:
    """Add the adapter in use to the base's weights: the same outputs up to rounding, and no more work than the base."""
    active_adapter(model)
    _unmerged(model)
    for layer in adapter_layers(model).values():
        layer.merge(safe_merge=True)
    return model


def unmerge(model: nn.Module) -> nn.Module:
    """The way back: the base's weights are again what they were, up to rounding."""
    active_adapter(model)
    layers = [layer for layer in adapter_layers(model).values() if layer.merged]
    if not layers:
        raise ValueError("no adapter is merged: merge(model) first")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft warns that IA3 divides by its factors
        for layer in layers:
            layer.unmerge()
    return model


def _unmerged(model: nn.Module) -> None:
    if any(layer.merged for layer in adapter_layers(model).values()):
        raise ValueError("the adapter is merged into the weights already, once is enough: unmerge(model) to part them")


def _rename(key: str, names: dict[str, str]) -> str:
    """A tensor's name with its layer as `names` calls it; a layer that is not there keeps its name."""
    mark = next((mark for mark in (".lora_", ".ia3_") if mark in key), ".")
    layer, _, rest = key.partition(mark) if mark != "." else key.rpartition(mark)
    return f"{names.get(layer, layer)}{mark}{rest}"


def _check(model, config, tensors: dict, layers: dict, folder: Path) -> None:
    """ValueError unless these tensors are what this adapter is on this model."""
    there, want = linear_layers(model), {}
    for name in layers:
        if name in there:
            (d_out, d_in, *rest), r = there[name].weight.shape, getattr(config, "r", 0)
            if config.peft_type == "IA3":
                ends = tuple(config.feedforward_modules or ())
                inside = model.own_names[name] in ends
                want[f"{name}.ia3_l"] = (1, d_in, *rest) if inside else (1, d_out, *rest) if rest else (d_out, 1)
                continue
            want |= {f"{name}.lora_A.weight": (r, d_in, *rest), f"{name}.lora_B.weight": (d_out, r, *rest)}
            if config.use_dora:
                want[f"{name}.lora_magnitude_vector"] = (1, d_out, *rest) if rest else (d_out,)
    got = {key: tuple(t.shape) for key, t in tensors.items()}
    wrong = [f"{key} is {got.get(key, 'missing')}, not {want.get(key, 'known')}" for key in {**got, **want}
             if got.get(key) != want.get(key)]  # fmt: skip
    if wrong or not got:
        raise ValueError(
            f"{folder} holds an adapter of another base than {model.name}, {len(wrong)} tensors do not fit: "
            f"{'; '.join(wrong[:3])}: load the base that it was trained on; nothing was loaded"
        )


def _write(file: Path, write) -> None:
    """Write aside, then rename: the old file or the new one, never half of one."""
    part = file.with_name(f"{file.name}.part")
    write(part)
    os.replace(part, file)
