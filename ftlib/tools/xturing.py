"""xTuring: a script of a few lines, and strings that hold the chat template, since the tool has none.

Most settings of its configuration are not used. The rank is 8, the schedule is its own, and the loss counts the prompt
and the padding too, since its data code writes `label_masks` and its training code looks for `label_mask`. With one
target module alone it switches to a mode made for GPT-2, so two are needed. It opens files in the computer's own
encoding, so they are plain ASCII.
"""

import json
import math

from ftlib.tools.base import SMOLLM2
from ftlib.tools.page import whole
from ftlib.tools.recipes import Recipe, Stage, recipe
from ftlib.tools.rows import lines

__all__ = ["read", "render"]
NAME, VERSION = "xTuring", "0.1.8"
INSTALL = [f'pip install "xturing=={VERSION}" "pyarrow<15" "scipy<1.14"']
NOTES = [
    "The result is an adapter in an old form. Loaded by peft it changes nothing, without an error: each name of a "
    "tensor needs `base_model.` in front, and the file must be safetensors."
]
FIXED = {"r": 8, "alpha": 16, "dropout": 0.05}
SCRIPT = '''"""One run of xTuring. Most settings have no effect in it, see README.md."""

# {title}

import json

import torch
from {package} import {dataset}
from xturing.models import {model}
{more}
torch.manual_seed({seed})  # it has no seed of its own
{rows}
model = {model}({arguments})
config = model.finetuning_config()
config.num_train_epochs = {epochs}  # it has no number of steps: {epochs} x {batches} batches
config.batch_size = {batch_size}
config.learning_rate = {lr}
config.max_length = {length}
model.finetune(rows)
model.save("out/1")
'''
PLAIN = """with open({file!r}) as opened:
    texts = [json.loads(line)["text"] for line in opened]
rows = TextDataset(DatasetDict({{"train": Dataset.from_dict({{"text": texts}})}}))"""


def render(spec, rows, base=None, **how) -> dict[str, str]:
    """Write a Spec and its rows as files of xTuring.

    Parameters
    ----------
    spec : Spec
        A language model's experiment of one phase, full fine-tuning or LoRA.
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
    >>> from ftlib.tools import xturing
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> files = xturing.render(spec, [[("user", "Good?"), ("assistant", "Yes.")]])
    >>> sorted(files)
    ['README.md', 'data/train.jsonl', 'run.sh', 'train.py']
    """
    made = recipe(spec, rows, base, **how)
    if len(made.stages) > 1:
        raise ValueError("xTuring is exported one phase at a time: export the phases apart, or to LLaMA-Factory")
    (stage,) = made.stages
    if stage.method == "freeze":
        raise ValueError("xTuring can't freeze whole layers: export to LLaMA-Factory, or choose LoRA")
    if stage.lora and len(stage.lora["targets"]) < 2:
        raise ValueError("xTuring takes one target module for GPT-2's joint layer: name at least two")
    if made.kind == "chat" and made.base.markup is None:
        raise ValueError(f"the chat template of {made.base.name} can't be written for xTuring: export to LLaMA-Factory")
    records = [_record(row, made.base.markup) for name in stage.data for row in made.rows[name]]
    file = f"data/{'_and_'.join(stage.data)}.jsonl"
    files = {file: lines(records, ascii_only=True), "train.py": _script(made, stage, file, len(records))}
    lost = [*made.lost, *made.untrimmed, *_lost(made, stage, len(records))]
    told = (NAME, VERSION, INSTALL, NOTES if stage.lora else [])
    return whole(made, told, files, ["python train.py"], lost, form="in a form of its own")


def _record(row, markup) -> dict:
    """instruction, text and target are joined as they are, so they part where a special token stands."""
    if isinstance(row, str):
        return {"text": row}
    *asked, (_, answer) = row
    head = asked[:1] if asked[0][0] == "system" else []
    first = "".join(markup.system[0] + text + markup.system[1] for _, text in head)
    target = answer if markup.end == markup.eos else answer + markup.end  # the tool adds eos
    return {"instruction": first, "text": markup.prompt(asked).removeprefix(first), "target": target}


def _script(made: Recipe, stage: Stage, file: str, rows: int) -> str:
    chat, lora = made.kind == "chat", stage.lora
    batches = math.ceil(rows / stage.batch_size)
    named = f", target_modules={stage.lora['targets']!r}" if lora else ""
    return SCRIPT.format(
        title=f"{made.name}: about {stage.steps} steps.", seed=made.seed,
        package="xturing.datasets.instruction_dataset" if chat else "xturing.datasets.text_dataset",
        dataset="InstructionDataset" if chat else "TextDataset", model="GenericLoraModel" if lora else "GenericModel",
        more="" if chat else "from datasets import Dataset, DatasetDict\n",
        rows=f"rows = InstructionDataset({file!r})" if chat else PLAIN.format(file=file),
        arguments=f'"base"{named}', epochs=_epochs(stage, rows), batches=batches, batch_size=stage.batch_size,
        lr=stage.lr, length=made.length,
    )  # fmt: skip


def _epochs(stage: Stage, rows: int) -> int:
    return max(1, round(stage.steps * stage.accumulate / math.ceil(rows / stage.batch_size)))


def _lost(made: Recipe, stage: Stage, rows: int) -> list[str]:
    lost, epochs = [], _epochs(stage, rows)
    words = {"r": "rank", "alpha": "scale", "dropout": "dropout"}
    for name, fixed in FIXED.items() if stage.lora else ():
        if stage.lora[name] != fixed:
            lost.append(f"choice of the {words[name]}; ignored: {name}={stage.lora[name]}, it is {fixed}")
    if stage.lora and (stage.lora["variant"] != "plain" or stage.lora["ratio"] != 1):
        lost.append(f"variants of LoRA; ignored: variant={stage.lora['variant']!r}, ratio={stage.lora['ratio']}")
    done = epochs * math.ceil(rows / stage.batch_size)
    if done != stage.steps or stage.accumulate != 1:
        lost.append(f"number of steps; ignored: {stage.steps} steps, it takes {done} in {epochs} epochs")
    if stage.accumulate != 1:
        lost.append(f"accumulation of batches; ignored: accumulate={stage.accumulate}")
    asked = stage.schedule or "a constant rate"
    lost.append(f"schedule to choose; ignored: {asked}, its own is a short linear rise per epoch")
    lost += ["clipping of gradients; ignored: max_norm"] if stage.max_norm else []
    if stage.weight_decay != 0.01:
        lost.append(f"weight decay to choose; ignored: {stage.weight_decay}, it is 0.01")
    if made.kind == "chat":
        lost.append("working mask of the loss; ignored: the loss counts the prompt and the padding too")
    if rows > 100:
        lost.append(f"fixed rate with more than 100 rows; ignored: {stage.lr}, where its own search finds another")
    if made.base.markup and made.base.markup.adds_bos:
        lost.append("way to leave out first tokens; ignored: the template, each part of a row begins with one")
    lost += ["weights of data sets; ignored: weights, all rows are read equally often"] if stage.weighted else []
    lost += ["label smoothing; ignored: LabelSmoothing"] if stage.smoothing else []
    lost += ["noise on the embeddings; ignored: NEFTune"] if made.noise else []
    lost.append("choice of the precision; ignored: it is float16 on a GPU and float32 on a CPU")
    return lost


def read(files: dict[str, str], base=SMOLLM2) -> dict[str, list]:
    """Read the rows of an export back.

    Parameters
    ----------
    files : dict of str to str
        As `render` gives them.
    base : Base, default SMOLLM2
        The model of the export, whose chat template is in the strings.

    Returns
    -------
    dict of str to list
        The rows of the data file. Several data sets are one file.

    Examples
    --------
    >>> from ftlib.tools import xturing
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> xturing.read(xturing.render(spec, ["A plain text."]))
    {'train': ['A plain text.']}
    """
    (file,) = [name for name in files if name.startswith("data/")]
    records = [json.loads(line) for line in files[file].split("\n") if line]
    return {file.removeprefix("data/").removesuffix(".jsonl"): [_row(one, base.markup) for one in records]}


def _row(one: dict, markup):
    if "instruction" not in one:
        return one["text"]
    answer = one["target"] if markup.end == markup.eos else one["target"].removesuffix(markup.end)
    return [*markup.turns(one["instruction"] + one["text"]), ("assistant", answer)]
