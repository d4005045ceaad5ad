"""Adapters as files: save, load, switch and merge what LoRA and IA3 have learned.

A folder is an ordinary one of the library peft, adapter_config.json and adapter_model.safetensors, with the network's
own names of its layers. So plain transformers and peft load it on the plain network and compute the same:

    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(<the base>), <the folder>)

A head that was trained travels in the same file. Where the uncut network has a head of that place (timm's classifier)
it is named in `modules_to_save`, and peft puts it there; an encoder has none, so peft passes over `head.weight` and
gives the features, and only `load_adapter` takes the head. Weights are in safetensors only: no pickle is ever read.

A file also holds a few numbers of every weight of the base, in a place that peft passes over. An adapter is an update
of the weights that it was trained on. On other weights, as the pristine ones where a full fine-tuning came first, it
computes something else, and no shape tells.

Merging adds the update to the base's weights, W + s · B A, and costs nothing from then on.
"""

import json
import re
import warnings
from dataclasses import fields
from pathlib import Path

import torch
from peft import PeftConfig, functional, get_peft_model_state_dict, inject_adapter_in_model
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ftlib.io.writing import in_one_piece, write_text
from ftlib.networks import Heads
from ftlib.strategies.peft import active_adapter, adapter_layers, linear_layers

PREFIX = "base_model.model."  # before every name in a file of peft
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BASE = "ftlib_base"  # the key of the base's numbers in the weights' metadata
SAMPLES = 16  # numbers of each weight that stand for it
ROUNDING = 2**-8  # relative: what storing a weight in bfloat16 changes at most
# What a configuration of peft may set; every other option would compute something that is not written here.
OPTIONS = {"target_modules", "exclude_modules", "modules_to_save", "feedforward_modules", "fan_in_fan_out"}
OPTIONS |= {"r", "lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora"}
OPTIONS |= {"layers_to_transform", "layers_pattern", "init_lora_weights", "init_ia3_weights", "inference_mode"}
OPTIONS |= {"task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"}
CHANGE_THE_BASE = ("pissa", "olora")  # where an adapter begins, by its first letters
ELSE = "use it with transformers and peft"
OWN_START = (True, False, None, "gaussian", "orthogonal", "eva")  # or begins without that


def save_adapter(model: nn.Module, folder: str | Path) -> Path:
    """Write the adapter in use, and a trained head, as a folder that peft can read.

    Parameters
    ----------
    model : Model
        A model that holds LoRA or IA3.
    folder : str or Path
        The folder to write to. It is made if it is missing. The weights are written last, each file in one piece.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If the model holds no adapter, or several heads. `ftlib.models.save` writes any model.

    Examples
    --------
    >>> from ftlib.models import adapters
    >>> text_model = strategies.LoRA(r=2).prepare(text_model)
    >>> written = adapters.save_adapter(text_model, folder / "mine")
    >>> sorted(file.name for file in written.iterdir())
    ['adapter_config.json', 'adapter_model.safetensors']
    """
    name, folder = active_adapter(model), Path(folder)
    if isinstance(model.head, Heads):
        raise ValueError(f"{model.name} has several heads, and an adapter's folder holds one: write it with ftlib.save")
    folder.mkdir(parents=True, exist_ok=True)
    learned = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    layers = [layer for layer in adapter_layers(model) if any(key.startswith(f"{layer}.") for key in learned)]
    tensors = {PREFIX + _rename(key, model.original_names): t for key, t in learned.items()}
    config = model.peft_config[name].to_dict()
    config |= {"target_modules": sorted(model.original_names[layer] for layer in layers), "inference_mode": True}
    if config.get("feedforward_modules"):
        config["feedforward_modules"] = sorted(model.original_names[layer] for layer in config["feedforward_modules"])
    for option in ("rank_pattern", "alpha_pattern"):
        if config.get(option):
            config[option] = _patterns(config[option], {layer: model.original_names[layer] for layer in layers})
    if model.kind != "lm":
        place = model.original_names["head"]
        tensors |= {f"{PREFIX}{place or 'head'}.{key}": t for key, t in model.head.state_dict().items()}
        config["modules_to_save"] = [place] if place else None
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    write_text(folder / CONFIG, json.dumps(plain, indent=2, sort_keys=True, default=str))
    tensors = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
    metadata = {"format": "pt", BASE: json.dumps(base_numbers(model))}
    with in_one_piece(folder / WEIGHTS) as part:
        save_file(tensors, part, metadata=metadata)
    return folder


def load_adapter(model: nn.Module, folder: str | Path, name: str) -> nn.Module:
    """Put an adapter on a model, next to those that it holds, and use it.

    Parameters
    ----------
    model : Model
        The base that the adapter was trained on.
    folder : str or Path
        A folder that `save_adapter` or peft wrote.
    name : str
        A new name for it.

    Returns
    -------
    Model
        The same model.

    Raises
    ------
    ValueError
        If a tensor has no place or a place no tensor, or the base has other weights than those that the adapter was
        trained on. Nothing is loaded then.
    FileNotFoundError
        If the folder holds no adapter.

    Notes
    -----
    peft itself passes over tensors that fit nowhere. An adapter that was made elsewhere does not say which weights
    it was trained on, so only its shapes are compared.

    Examples
    --------
    >>> from ftlib.models import adapters
    >>> text_model = strategies.LoRA(r=2).prepare(text_model)
    >>> written = adapters.save_adapter(text_model, folder / "mine")
    >>> text_model = adapters.load_adapter(text_model, written, "again")
    >>> list(text_model.peft_config)
    ['default', 'again']
    """
    folder = Path(folder)
    held = getattr(model, "peft_config", {})
    if not isinstance(name, str) or name in held or not name.isidentifier():
        raise ValueError(f"an adapter's name must be a new word, but it is {name!r}; the model holds {list(held)}")
    config, tensors, numbers = _read(folder)
    own = {v: k for k, v in model.original_names.items() if v}
    place = model.original_names["head"] or "head"
    head = {k: tensors.pop(f"{place}.{k}") for k in ("weight", "bias") if f"{place}.{k}" in tensors}
    if others := [key for key in tensors if ".lora_" not in key and ".ia3_" not in key]:
        made = "a part of the network was trained whole (modules_to_save)"
        if str(config.task_type).endswith("_CLS"):
            made = f"it was made for {config.task_type}, with a head that reads other features than the head here"
        raise ValueError(
            f"{folder} holds {others[0]!r} beside the adapter's own weights, which has no place in {model.name}: "
            f"{made}, so {ELSE}; nothing was loaded"
        )
    tensors = {_rename(key, own): t for key, t in tensors.items()}
    layers = dict.fromkeys(key.rpartition(".lora_" if ".lora_" in key else ".ia3_")[0] for key in tensors)
    _check(model, config, tensors, layers, folder)
    if head and head["weight"].shape[1] != model.width:
        raise ValueError(f"the head in {folder} reads {head['weight'].shape[1]} features, not {model.width}")
    if held and any(_changes_the_base(c) for c in (config, *held.values())):
        raise ValueError(
            "PiSSA changes the base's weights, so it shares them with no other adapter: load the model anew"
        )
    _unmerged(model)
    _same_base(model, numbers, layers if _changes_the_base(config) else {}, folder)
    config.target_modules, config.inference_mode, config.modules_to_save = set(layers), False, None
    if config.peft_type == "LORA":
        for option in ("rank_pattern", "alpha_pattern"):
            setattr(config, option, _patterns(getattr(config, option), {model.original_names[k]: k for k in layers}))
        config.layers_to_transform = config.layers_pattern = None  # the tensors say which
        config.init_lora_weights = config.init_lora_weights if _changes_the_base(config) else True
    config.exclude_modules = None
    if getattr(config, "feedforward_modules", None):
        config.feedforward_modules = {layer for layer in layers if _inside(config, model.original_names[layer])}
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


def base_numbers(model: nn.Module, without=()) -> dict[str, list[float]]:
    """Sample numbers of every weight of the base, to tell it from other weights.

    Parameters
    ----------
    model : Model
        A model with or without adapters.
    without : iterable of str, optional
        More layers to leave out.

    Returns
    -------
    dict of str to list of float
        16 values spread over each tensor, with five digits. They are the same on every device, and in every number
        format up to its rounding.

    Notes
    -----
    Left out are a head that travels with the adapter, and weights that an adapter has changed, as merging and PiSSA do.

    Examples
    --------
    >>> from ftlib.models import adapters
    >>> numbers = adapters.base_numbers(text_model)
    >>> {len(values) for values in numbers.values()}
    {16}
    """
    held, out = adapter_layers(model), {}
    changed = {
        k for k, layer in held.items() if layer.merged or _changes_the_base(model.peft_config[active_adapter(model)])
    }
    for key, t in model.state_dict().items():
        key = key.replace(".base_layer.", ".")
        layer, _, kind = key.rpartition(".")
        mine = key.startswith("stages.") or (key.startswith("head.") and model.kind == "lm")
        if not mine or any(mark in key for mark in (".lora_", ".ia3_")) or not t.is_floating_point():
            continue
        if kind != "weight" or layer not in {*changed, *without}:
            at = torch.arange(min(SAMPLES, t.numel()), device=t.device) * (t.numel() - 1) // max(SAMPLES - 1, 1)
            out[key] = [float(f"{v:.5g}") for v in t.detach().reshape(-1)[at].tolist()]
    return out


def _same_base(model: nn.Module, numbers: dict | None, changing, folder: Path) -> None:
    """ValueError unless the base has the weights whose numbers the folder holds; one without any is taken as it is."""
    mine, worst = base_numbers(model, changing), {}
    for key in mine.keys() & (numbers or {}).keys():
        want, got = (torch.tensor(values, dtype=torch.float64) for values in (numbers[key], mine[key]))
        apart = (want - got).abs() if want.shape == got.shape else want.new_tensor([torch.inf])
        if want.shape != got.shape or (apart > ROUNDING * torch.maximum(want.abs(), got.abs()) + 1e-6).any():
            worst[key] = apart.max().item()
    if worst:
        key = max(worst, key=worst.get)
        raise ValueError(
            f"{folder} holds an adapter that was trained on other weights of {model.name}: {len(worst)} of {len(mine)} "
            f"tensors differ, {key!r} most, by {worst[key]:.2g}: load the base as it was when the adapter was trained "
            f"(after a fine-tuning: load_weights), then the adapter; nothing was loaded"
        )


def _changes_the_base(config: PeftConfig) -> bool:
    return str(getattr(config, "init_lora_weights", "")).startswith(CHANGE_THE_BASE)


def _patterns(pattern: dict, names: dict[str, str]) -> dict:
    """A pattern of peft, {ending of a layer's name: value}, for the same layers under other names, {old: new}."""
    found = {new: get_pattern_key(list(pattern), old) for old, new in names.items()}
    return {re.escape(new): pattern[key] for new, key in found.items() if key in pattern}


def _read(folder: Path) -> tuple[PeftConfig, dict[str, Tensor], dict | None]:
    """(configuration, tensors by the network's names, the base's numbers or None) of an adapter that can be put on."""
    if missing := [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]:
        inside = sorted(file.parent.name for file in folder.glob(f"*/{CONFIG}"))
        do = (
            f"name one of the folders inside, {', '.join(inside)}"
            if inside
            else "name a folder that save_adapter wrote"
        )
        if (folder / "adapter_model.bin").is_file():
            do = "adapter_model.bin is a pickle, which is never read here, so save it anew with safe_serialization=True"
        raise FileNotFoundError(f"{folder} has no {' and no '.join(missing)}: {do}")
    try:
        config = PeftConfig.from_pretrained(str(folder))
        with safe_open(folder / WEIGHTS, "pt") as file:
            written = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            numbers = json.loads((file.metadata() or {}).get(BASE, "null"))
    except (KeyError, OSError, SafetensorError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} is damaged, or no adapter of peft ({error!s:.200}): save it anew") from error
    if config.peft_type not in ("LORA", "IA3"):
        kind = getattr(config.peft_type, "value", config.peft_type)
        raise ValueError(f"{folder} holds an adapter of the type {kind}: only LORA and IA3 are loaded here, so {ELSE}")
    default, begin = type(config)(), getattr(config, "init_lora_weights", True)
    used = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in OPTIONS}
    used = {k: v for k, v in used.items() if v and v != getattr(default, k)}
    if begin not in OWN_START and not _changes_the_base(config):
        used["init_lora_weights"] = begin
    if used:
        raise ValueError(
            f"{folder} holds an adapter with {', '.join(f'{k}={v!r:.60}' for k, v in used.items())}, which changes "
            f"what is computed and is not known here: {ELSE}"
        )
    if written and not any(key.startswith(PREFIX) for key in written):
        raise ValueError(
            f"{folder} holds names such as {next(iter(written))!r}, without {PREFIX!r} in front: transformers and peft "
            "would load it and change nothing; `python -m ftlib import` repairs such a folder; nothing was loaded"
        )
    return config, {key.removeprefix(PREFIX): tensor for key, tensor in written.items()}, numbers


def switch(model: nn.Module, name: str) -> nn.Module:
    """Use another of the adapters that a model holds, with its own head. No weight is copied.

    Parameters
    ----------
    model : Model
        A model with several adapters.
    name : str
        Name of the adapter to use.

    Returns
    -------
    Model
        The same model.

    Raises
    ------
    ValueError
        If there is no such adapter, or one is merged.

    Examples
    --------
    >>> from ftlib.models import adapters
    >>> text_model = strategies.LoRA(r=2).prepare(text_model)
    >>> written = adapters.save_adapter(text_model, folder / "mine")
    >>> text_model = adapters.load_adapter(text_model, written, "again")
    >>> adapters.switch(text_model, "default") is text_model
    True
    """
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
    """Add the adapter in use to the base's weights, W + s · B A.

    Parameters
    ----------
    model : Model
        A model with an adapter.

    Returns
    -------
    Model
        The same model, with the same outputs up to rounding. It needs no more work than the base.

    Raises
    ------
    ValueError
        If there is no adapter, or it is merged already.

    References
    ----------
    .. [1] Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022, arXiv:2106.09685.

    Examples
    --------
    >>> from ftlib.models import adapters
    >>> text_model = strategies.LoRA(r=2).prepare(text_model)
    >>> batch = next(iter(texts))
    >>> before = text_model.eval()(batch)
    >>> torch.allclose(adapters.merge(text_model)(batch), before, atol=1e-5)
    True
    """
    active_adapter(model)
    _unmerged(model)
    for layer in adapter_layers(model).values():
        layer.merge(safe_merge=True)
    return model


def unmerge(model: nn.Module) -> nn.Module:
    """Take a merged adapter out of the base's weights again.

    Parameters
    ----------
    model : Model
        A model with a merged adapter.

    Returns
    -------
    Model
        The same model, with the base's weights as they were up to rounding.

    Raises
    ------
    ValueError
        If no adapter is merged.

    Examples
    --------
    >>> from ftlib.models import adapters
    >>> text_model = strategies.LoRA(r=2).prepare(text_model)
    >>> text_model = adapters.merge(text_model)
    >>> adapters.unmerge(text_model) is text_model
    True
    """
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
            (d_out, d_in, *rest), r = there[name].weight.shape, _rank(config, model.original_names[name])
            if config.peft_type == "IA3":
                inside = _inside(config, model.original_names[name])
                want[f"{name}.ia3_l"] = (1, d_in, *rest) if inside else (1, d_out, *rest) if rest else (d_out, 1)
                continue
            want |= {f"{name}.lora_A.weight": (r, d_in, *rest), f"{name}.lora_B.weight": (d_out, r, *rest)}
            if config.use_dora:
                want[f"{name}.lora_magnitude_vector"] = (1, d_out, *rest) if rest else (d_out,)
    got = {key: tuple(t.shape) for key, t in tensors.items()}
    wrong = [f"{key} is {got.get(key, 'missing')}, not {want.get(key, 'known')}" for key in {**got, **want}
             if got.get(key) != want.get(key)]  # fmt: skip
    strange, known = [name for name in layers if name not in there], set(filter(None, model.original_names.values()))
    if 0 < len(strange) < len(layers):
        raise ValueError(
            f"{folder} also changes {model.original_names.get(strange[0], strange[0])!r}, which is no linear layer of "
            f"the stages of {model.name}: it was made on another base, or changes a part that has no place here: "
            f"{ELSE}; nothing was loaded"
        )
    if strange and all(name.partition(".")[2] in known or f"model.{name}" in known for name in strange):
        raise ValueError(
            f"{folder} was made on another class of the same network: it calls a layer {strange[0]!r}, and in "
            f"{model.name} it is {next(n for n in known if n.endswith(strange[0].partition('.')[2]))!r}: {ELSE}"
        )
    if wrong or not got:
        raise ValueError(
            f"{folder} holds an adapter of another base than {model.name}, {len(wrong)} tensors do not fit: "
            f"{'; '.join(wrong[:3])}: load the base that it was trained on; nothing was loaded"
        )


def _inside(config, name: str) -> bool:
    """Whether IA3 scales what this layer reads; `feedforward_modules` holds endings, or is a pattern, as in peft."""
    ends = config.feedforward_modules or ()
    return bool(re.fullmatch(ends, name)) if isinstance(ends, str) else name.endswith(tuple(ends))


def _rank(config, name: str) -> int:
    """Of the layer that the uncut network calls by this name."""
    pattern = getattr(config, "rank_pattern", None) or {}
    return pattern.get(get_pattern_key(list(pattern), name), getattr(config, "r", 0))
