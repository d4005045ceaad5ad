"""A folder of transformers, as save_pretrained writes it: read with all its weights, or refused with the true reason.

transformers itself fills missing tensors with random numbers, passes over layers that the configuration does not ask
for, and reports the rest in tables. Here every tensor must have come from the folder, and every layer in the folder
must have a place.
"""

import json
import re
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from ftlib.models.dropout import use_fast_dropout

ERRORS = (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)
ERRORS += (SafetensorError, StrictDataclassError)


def read_folder(folder: Path, kind: str, pretrained: bool) -> tuple[nn.Module, Callable, object]:
    """(network, function that draws it anew, tokenizer). Raises ValueError or FileNotFoundError, with what to do."""
    auto = AutoModelForCausalLM if kind == "lm" else AutoModel
    options = {"dtype": torch.float32, "attn_implementation": "sdpa"}  # sdpa: takes masks of true and false
    local = {"local_files_only": True, "trust_remote_code": False}  # False: refused at once, not asked for
    said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if said["model_type"] not in CONFIG_MAPPING:
        needs = "code of its own, which this kit never runs" if "auto_map" in said else "another version of it"
        raise ValueError(
            f"{folder} holds a {said['model_type']!r} network, unknown to transformers {transformers.__version__}: it "
            f"needs {needs}"
        )
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(folder, **local)
    except ERRORS as error:
        raise _refused(folder, error) from error
    _check(config, folder)
    make = partial(auto.from_config, config, **options)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
    except Exception as error:  # the library tokenizers has no class of its own for what is broken
        if any(folder.glob("tokenizer*.json")):
            raise _refused(folder / "tokenizer.json", error) from error
        raise FileNotFoundError(f"{folder} has no tokenizer: save it there with save_pretrained") from error
    tokenizer.padding_side = "right"
    try:
        net = _pretrained(folder, auto, options | local) if pretrained else make()
    except (ValueError, FileNotFoundError) as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        raise ValueError(
            f"{folder} holds a {config.model_type!r} network, which does not run with PyTorch's own attention (sdpa), "
            f"as the masks of this kit need: choose an encoder built as BERT or a decoder built as Llama"
        ) from error
    return use_fast_dropout(net), lambda: use_fast_dropout(make()), tokenizer


def _check(config, folder: Path) -> None:
    """ValueError for a network that reads no texts, or that reads and writes them in two halves."""
    net = MODEL_MAPPING.get(type(config), None)
    reads = getattr(net, "main_input_name", "input_ids")
    if reads != "input_ids":
        raise ValueError(
            f"{folder} holds a {config.model_type!r} network of transformers, which reads {reads}, not texts: of "
            f"image networks this kit reads those that timm has saved (timm.models.save_for_hf)"
        )
    if config.is_encoder_decoder:
        raise ValueError(
            f"{folder} holds a {config.model_type!r} network, an encoder and a decoder in one: this kit reads encoders "
            f"alone, such as BERT, and decoders alone, such as Llama"
        )
    if quantised := getattr(config, "quantization_config", None):
        how = quantised.get("quant_method", "?") if isinstance(quantised, dict) else type(quantised).__name__
        raise ValueError(
            f"{folder} holds quantised weights ({how}), which cannot be fine-tuned as they are: load the folder of the "
            f"weights in float32, float16 or bfloat16"
        )


def _pretrained(folder: Path, auto, options: dict) -> nn.Module:
    """The network with the folder's weights; ValueError unless every tensor came from there."""
    if not any(folder.glob("*.safetensors")):
        raise FileNotFoundError(f"{folder} has no .safetensors file: save the model with save_pretrained")
    options = options | {"use_safetensors": True, "ignore_mismatched_sizes": True}
    try:
        with _quiet():
            net, info = auto.from_pretrained(folder, output_loading_info=True, **options)
    except ERRORS as error:
        raise _refused(folder, error) from error
    wrong = [name for name in info["missing_keys"] if not name.startswith("pooler.")]  # BERT's, not used here
    wrong += [entry[0] for entry in info["mismatched_keys"]]
    if wrong:
        raise ValueError(
            f"{folder} does not hold the weights that its config.json describes: {len(wrong)} of "
            f"{len(net.state_dict())} tensors are missing or of another shape, {sorted(wrong)[0]!r} first"
        )
    kinds = {re.sub(r"\d+", "0", name) for name in net.state_dict()}  # "layers.0.mlp" stands for that of every layer
    more = sorted(name for name in info["unexpected_keys"] if re.search(r"\d", name) and _endings(name) & kinds)
    if more:
        raise ValueError(
            f"{folder} holds more layers than its config.json describes: {len(more)} tensors have no place, "
            f"{more[0]!r} first: correct the number of layers there"
        )
    return net


def _endings(name: str) -> set[str]:
    """The name, every number as 0, with and without its first part ("bert." before a network that a head reads)."""
    name = re.sub(r"\d+", "0", name)
    return {name, name.partition(".")[2]}


def _refused(folder: Path, error: Exception) -> ValueError:
    """transformers' own words, of which the first sentence says it."""
    damaged = isinstance(error, SafetensorError)
    advice = (
        "model.safetensors is damaged, copy the folder again"
        if damaged
        else "save config.json, or save the model anew with save_pretrained"
    )
    text = " ".join(re.split(r"(?<=\w)\.\s", str(error).strip() or type(error).__name__)[0].split())
    return ValueError(
        f"{folder}: transformers {transformers.__version__} cannot load it: {text.rstrip('.: '):.200}: {advice}"
    )


@contextmanager
def _quiet():
    """No progress bar and no table of tensors: what does not fit is an error here."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
