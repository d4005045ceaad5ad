"""Firefly: one JSON file of arguments per phase. It has no licence, so you clone it, and nothing of it is in here.

Its script takes exactly one of fp16 and bf16, always adapts all linear layers, and strips the texts. It reads numbers
as JSON has them, so a rate is no text. Its repository has no version; the last commit is of October 2024.
"""

import json

from ftlib.tools.page import whole
from ftlib.tools.recipes import Recipe, Stage, arguments, hugging_face, recipe, whole_alpha
from ftlib.tools.rows import lines

__all__ = ["read", "render"]
NAME, VERSION = "Firefly", "of October 2024"
INSTALL = [
    "git clone https://github.com/yangjianxin1/Firefly firefly",
    'pip install torch "transformers==4.48.0" "peft==0.21.2" "trl==0.14.0" "accelerate==1.15.0" '
    '"bitsandbytes==0.45.0" datasets loguru',
]
NOTES = [
    "Do not use its requirements.txt: those versions have no files for Python 3.11.",
    "The repository has no licence file, so ask before you pass on any of it.",
    "The loss also counts the newline behind each answer's end, so losses of two tools can't be compared.",
]
MERGE = '''"""Merge the adapter of one phase into its base, since Firefly goes on from whole models only.

python merge.py BASE ADAPTER TARGET
"""

import sys

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, adapter, target = sys.argv[1:]
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
model.merge_and_unload(safe_merge=True).save_pretrained(target)
AutoTokenizer.from_pretrained(base).save_pretrained(target)
'''


def render(spec, rows, base=None, **how) -> dict[str, str]:
    """Write a Spec and its rows as files of Firefly.

    Parameters
    ----------
    spec : Spec
        A language model's experiment, full fine-tuning or LoRA.
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
    >>> from ftlib.tools import firefly
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> files = firefly.render(spec, [[("user", "Good?"), ("assistant", "Yes.")]])
    >>> sorted(files)
    ['README.md', 'data/1.jsonl', 'run.sh', 'train_1.json']
    """
    made = recipe(spec, rows, base, **how)
    if any(stage.method == "freeze" for stage in made.stages):
        raise ValueError("Firefly can't freeze whole layers: export to LLaMA-Factory, or choose LoRA")
    files, steps, lost, model = {}, [], [*made.lost, *_lost_rows(made)], "base"
    for k, stage in enumerate(made.stages, 1):
        if made.kind == "chat":
            files[f"data/{k}.jsonl"] = lines([_record(row, n) for n in stage.data for row in made.rows[n]])
        else:  # it reads all files of a folder, and keeps its own copies of them
            files |= {f"data/{k}/{n}.jsonl": lines([{"text": row} for row in made.rows[n]]) for n in stage.data}
            steps.append(f"rm -rf data/{k}/cache")
        files[f"train_{k}.json"] = json.dumps(_settings(made, stage, k, model), indent=2) + "\n"
        steps.append(f"python firefly/train.py --train_args_file train_{k}.json")
        last, model = model, f"out/{k}"
        if stage.method == "lora" and k < len(made.stages):
            files["merge.py"], model = MERGE, f"out/{k}_merged"
            steps.append(f"python merge.py {last} out/{k} {model}")
        lost += _lost(made, stage)
    return whole(made, (NAME, VERSION, INSTALL, NOTES), files, steps, lost)


def _record(row: list[tuple[str, str]], category: str) -> dict:
    system = row[0][1] if row[0][0] == "system" else ""
    texts = [text for role, text in row if role != "system"]
    turns = [{"human": question, "assistant": answer} for question, answer in zip(texts[::2], texts[1::2])]
    return {"category": category, "system": system, "conversation": turns}


def _template(made: Recipe) -> str:
    """The name of the tool's template that writes the same as the model's own."""
    markup = made.base.markup
    chatml = markup and markup.system == ("<|im_start|>system\n", "<|im_end|>\n") and (
        (markup.user, markup.assistant) == (("<|im_start|>user\n", "<|im_end|>\n"), "<|im_start|>assistant\n")
    )  # fmt: skip
    if not chatml:
        raise ValueError(
            f"Firefly is exported for ChatML templates only, and {made.base.name} has another: take LLaMA-Factory"
        )
    if any(row[0][0] != "system" for rows in made.rows.values() for row in rows):
        raise ValueError("Firefly writes an empty system turn where a chat has no system text: give each chat one")
    return "qwen"


def _lost_rows(made: Recipe) -> list[str]:
    lost = []
    if made.ends:
        lost.append("whitespace around texts; ignored: spaces and newlines at the ends of messages")
    if any(
        not isinstance(row, str) and len([1 for r, _ in row if r == "user"]) > 1
        for s in made.rows.values()
        for row in s
    ):
        lost.append("loss on the last answer alone; ignored: all answers of a chat are counted")
    if not made.bf16:
        lost.append("float32; ignored: precision, it is bfloat16")
    return lost


def _lost(made: Recipe, stage: Stage) -> list[str]:
    lost = hugging_face(stage)[1]
    if lora := stage.lora:
        if sorted(lora["targets"]) != sorted(made.modules):
            lost.append(
                f"choice of the layers; ignored: targets {', '.join(lora['targets'])}, it adapts all linear layers"
            )
        if lora["variant"] != "plain" or lora["ratio"] != 1:
            lost.append(f"variants of LoRA; ignored: variant={lora['variant']!r}, ratio={lora['ratio']}")
    if stage.schedule == "WarmupStableDecay":
        lost.append("form of the cooldown; ignored: form")
    if stage.weighted:
        lost.append("weights of data sets; ignored: weights, all rows are read equally often")
    return lost


def _settings(made: Recipe, stage: Stage, k: int, model: str) -> dict:
    chat, found = made.kind == "chat", arguments(made, stage, k)
    if "lr_scheduler_kwargs" in found:  # its transformers does not know this one
        found["lr_scheduler_kwargs"] = {n: v for n, v in found["lr_scheduler_kwargs"].items() if n != "decay_type"}
    own = {"model_name_or_path": model, "task_type": "sft" if chat else "pretrain", "train_mode": stage.method}
    own |= {"train_file": f"data/{k}.jsonl", "template_name": _template(made)} if chat else {"train_file": f"data/{k}"}
    own |= {} if chat else {"tokenize_num_workers": 1}
    own |= {"max_seq_length": made.length}
    if lora := stage.lora:
        own |= {"lora_rank": lora["r"], "lora_alpha": whole_alpha(NAME, lora), "lora_dropout": lora["dropout"]}
    own |= found | {"bf16": True, "fp16": False, "gradient_checkpointing": False, "remove_unused_columns": False}
    return own | ({"use_cpu": True} if made.cpu else {})


def read(files: dict[str, str]) -> dict[str, list]:
    """Read the rows of an export back.

    Parameters
    ----------
    files : dict of str to str
        As `render` gives them.

    Returns
    -------
    dict of str to list
        The rows of each data set.

    Examples
    --------
    >>> from ftlib.tools import firefly
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> firefly.read(firefly.render(spec, ["A plain text."]))
    {'train': ['A plain text.']}
    """
    found: dict[str, list] = {}
    for file in sorted(name for name in files if name.startswith("data/")):
        phase: dict[str, list] = {}
        for one in map(json.loads, filter(None, files[file].split("\n"))):
            name = one["category"] if "conversation" in one else file.rpartition("/")[2].removesuffix(".jsonl")
            phase.setdefault(name, []).append(_row(one))
        found |= phase
    return found


def _row(one: dict):
    if "text" in one:
        return one["text"]
    system = [("system", one["system"])] if one["system"] else []
    pairs = [[("user", turn["human"]), ("assistant", turn["assistant"])] for turn in one["conversation"]]
    return [*system, *(turn for pair in pairs for turn in pair)]
