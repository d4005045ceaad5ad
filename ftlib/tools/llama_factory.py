"""LLaMA-Factory: YAML files, and data that is registered in dataset_info.json. It covers all eight strategies.

Once an entry of dataset_info.json has "columns", each column that it doesn't name is None, so all that are used are
named. The tool opens that file in the computer's own encoding, so it is plain ASCII. YAML 1.1 reads 1e-3 as a text and
no as false, so numbers have a point and texts have quotes. No `template` is named: the tool then reads the model's own
one, and each row holds its system text, since the templates of the tool have other defaults.
"""

import json

from ftlib.tools.page import whole
from ftlib.tools.recipes import Recipe, Stage, arguments, hugging_face, recipe, whole_alpha
from ftlib.tools.rows import from_messages, listed, messages

__all__ = ["read", "render"]
NAME, VERSION = "LLaMA-Factory", "0.9.5"
INSTALL = [f'pip install "llamafactory=={VERSION}"']
TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user"}
TAGS |= {"assistant_tag": "assistant", "system_tag": "system"}
NOTES = ["The loss also counts the newline behind each answer's end, so losses of two tools can't be compared."]
VARIANTS = {"plain": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}, "pissa": {"pissa_init": True}}


def render(spec, rows, base=None, **how) -> dict[str, str]:
    """Write a Spec and its rows as files of LLaMA-Factory.

    Parameters
    ----------
    spec : Spec
        A language model's experiment.
    rows : list, or dict of str to list
        See `recipe`.
    base : Base, optional
        By default that of smollm2.
    **how
        More options of `recipe`.

    Returns
    -------
    dict of str to str
        {file name: text}.

    Raises
    ------
    ValueError
        If the tool lacks a method of the Spec.

    Examples
    --------
    >>> from ftlib.tools import llama_factory
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> files = llama_factory.render(spec, [[("user", "Good?"), ("assistant", "Yes.")]])
    >>> sorted(files)
    ['README.md', 'data/dataset_info.json', 'data/train.json', 'run.sh', 'train_1.yaml']
    """
    made = recipe(spec, rows, base, **how)
    files, info, steps = {}, {}, []
    for name, some in made.rows.items():
        chat = made.kind == "chat"
        files[f"data/{name}.json"] = listed([{"messages": messages(r)} if chat else {"text": r} for r in some])
        form = {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": TAGS}
        form = form if chat else {"formatting": "alpaca", "columns": {"prompt": "text"}}
        info[name] = {"file_name": f"{name}.json", **form}
    files["data/dataset_info.json"] = json.dumps(info, indent=2) + "\n"
    model, adapter = "base", ""
    for k, stage in enumerate(made.stages, 1):
        if adapter and stage.method != "lora":  # the next run trains the weights themselves
            merge = {"model_name_or_path": model, "adapter_name_or_path": adapter, "export_dir": f"{adapter}_merged"}
            files[f"merge_{k - 1}.yaml"] = yaml(merge | {"export_device": "cpu"})
            steps.append(f"llamafactory-cli export merge_{k - 1}.yaml")
            model, adapter = f"{adapter}_merged", ""
        files[f"train_{k}.yaml"] = yaml(_settings(made, stage, k, model, adapter))
        steps.append(f"llamafactory-cli train train_{k}.yaml")
        model, adapter = (model, f"out/{k}") if stage.method == "lora" else (f"out/{k}", "")
    lost = made.lost + [line for stage in made.stages for line in hugging_face(stage)[1]]
    if any(stage.method == "freeze" and stage.last > 0 for stage in made.stages):  # the name "norm" fits all norms
        lost.append("setting for the last norm alone; ignored: the norm behind the last layer, it is frozen")
    return whole(made, (NAME, VERSION, INSTALL, NOTES), files, steps, lost)


def _settings(made: Recipe, stage: Stage, k: int, model: str, adapter: str) -> dict:
    chat = made.kind == "chat"
    found = {"model_name_or_path": model, **({"adapter_name_or_path": adapter} if adapter else {})}
    found |= {"stage": "sft" if chat else "pt", "do_train": True, "finetuning_type": stage.method}
    if stage.method == "freeze":
        found |= {"freeze_trainable_layers": stage.last, "freeze_trainable_modules": "all"}
        found |= {"freeze_extra_modules": made.base.head} if made.base.head else {}
    if lora := stage.lora:
        found |= {"lora_rank": lora["r"], "lora_alpha": whole_alpha(NAME, lora), "lora_dropout": lora["dropout"]}
        found |= {"lora_target": ",".join(lora["targets"]), **VARIANTS[lora["variant"]]}
        found |= {"loraplus_lr_ratio": float(lora["ratio"])} if lora["ratio"] != 1 else {}
    found |= {"dataset_dir": "data", "dataset": ",".join(stage.data), "cutoff_len": made.length}
    if chat:
        found["mask_history"] = True  # the kit's loss counts the last answer of a chat
    else:  # packing cuts whole blocks, so of few texts nothing would be left
        found["packing"] = sum(len(text) for name in stage.data for text in made.rows[name]) > 40 * made.length
    if stage.weighted:
        found |= {"mix_strategy": "interleave_under"}
        found |= {"interleave_probs": ",".join(f"{share:.6f}" for share in stage.data.values())}
    found |= {"overwrite_cache": True, "overwrite_output_dir": True, **arguments(made, stage, k)}
    return found | {"bf16": made.bf16} | ({"use_cpu": True} if made.cpu else {})


def yaml(settings: dict) -> str:
    """Settings as YAML that is read the same by YAML 1.1 and 1.2."""
    return "".join(f"{key}: {_value(value)}\n" for key, value in settings.items())


def _value(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float):
        mantissa, e, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}{e}{exponent}"
    return json.dumps(value)


def read(files: dict[str, str]) -> dict[str, list]:
    """Read the rows of an export back.

    Parameters
    ----------
    files : dict of str to str
        As `render` gives them.

    Returns
    -------
    dict of str to list
        The rows of each data file.

    Examples
    --------
    >>> from ftlib.tools import llama_factory
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> llama_factory.read(llama_factory.render(spec, ["A plain text."]))
    {'train': ['A plain text.']}
    """
    info = json.loads(files["data/dataset_info.json"])
    names = {name: entry["file_name"] for name, entry in info.items()}
    return {name: [from_messages(one) for one in json.loads(files[f"data/{file}"])] for name, file in names.items()}
