"""unsloth: one Python script per phase, since its YAML form can't carry a schedule.

The script lets the model's own tokenizer write each chat, and takes the first token off again where the tokenizer puts
it in front once more. unsloth must be imported before transformers and trl.
"""

import json

from ftlib.tools.page import whole
from ftlib.tools.recipes import PEFT_VARIANTS, Recipe, Stage, arguments, hugging_face, recipe
from ftlib.tools.rows import from_messages, lines, messages

__all__ = ["read", "render"]
NAME, VERSION = "unsloth", "2026.10.9"
INSTALL = [f'pip install "unsloth=={VERSION}"']
NOTES = [
    "The loss stops at the token that ends an answer. LLaMA-Factory and Firefly also count the newline behind it.",
    "It trains on a CPU too, and chooses bfloat16 there by itself.",
]
SCRIPT = '''"""One run of unsloth. README.md says how to start it."""

# {title}

import json
from pathlib import Path

from unsloth import FastLanguageModel  # before trl and transformers, which it changes
from unsloth.chat_templates import train_on_responses_only
from datasets import Dataset, concatenate_datasets, interleave_datasets
from trl import SFTConfig, SFTTrainer

# file -> its share of the rows
DATA = {data}
WEIGHTED = {weighted}
CHAT = {chat}
LORA = {lora}
# the beginnings of a user's message and of an answer
PARTS = {parts}
ARGUMENTS = {arguments}

model, tokenizer = FastLanguageModel.from_pretrained(
    model_name={model!r}, max_seq_length={length}, dtype=None, load_in_4bit=False, full_finetuning={full},
)
if LORA:
    model = FastLanguageModel.get_peft_model(model, **LORA)


def text_of(row):
    """A row as text. The tokenizer may put its first token in front, so that it isn't written twice."""
    text = tokenizer.apply_chat_template(row["messages"], tokenize=False) if CHAT else row["text"]
    bos = tokenizer.bos_token
    adds = bos is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return text.removeprefix(bos) if adds else text


def rows_of(file):
    lines = Path(file).read_text(encoding="utf-8").split("\\n")
    return Dataset.from_dict({{"text": [text_of(json.loads(line)) for line in lines if line]}})


sets = [rows_of(file) for file in DATA]
rows = concatenate_datasets(sets)
if WEIGHTED:
    shares = list(DATA.values())
    rows = interleave_datasets(sets, probabilities=shares, seed={seed}, stopping_strategy="first_exhausted")
trainer = SFTTrainer(model=model, processing_class=tokenizer, train_dataset=rows, args=SFTConfig(**ARGUMENTS))
if CHAT:  # the loss counts the last answer of a chat
    trainer = train_on_responses_only(trainer, **PARTS, last_response_only=True)
trainer.train()
model.save_pretrained({out!r})
tokenizer.save_pretrained({out!r})
'''


def render(spec, rows, base=None, **how) -> dict[str, str]:
    """Write a Spec and its rows as scripts for unsloth.

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
    >>> from ftlib.tools import unsloth
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> files = unsloth.render(spec, [[("user", "Good?"), ("assistant", "Yes.")]])
    >>> sorted(files)
    ['README.md', 'data/train.jsonl', 'run.sh', 'train_1.py']
    """
    made = recipe(spec, rows, base, **how)
    if any(stage.method == "freeze" for stage in made.stages):
        raise ValueError("unsloth can't freeze whole layers: export to LLaMA-Factory, or choose LoRA")
    if len({stage.method for stage in made.stages}) > 1:
        raise ValueError("unsloth goes on with the same method only: export the phases apart, or to LLaMA-Factory")
    chat = made.kind == "chat"
    if chat and made.base.markup is None:  # its loss has to be told where an answer begins
        raise ValueError(f"the chat template of {made.base.name} can't be written for unsloth: export to LLaMA-Factory")
    files = {
        f"data/{name}.jsonl": lines([{"messages": messages(row)} if chat else {"text": row} for row in some])
        for name, some in made.rows.items()
    }
    lost = [*made.lost, *([] if made.bf16 else ["choice of float32 here; ignored: precision, it chooses by itself"])]
    for k, stage in enumerate(made.stages, 1):
        files[f"train_{k}.py"] = _script(made, stage, k)
        lost += hugging_face(stage)[1]
        if stage.lora and stage.lora["ratio"] != 1:
            lost.append(f"rate of its own for B; ignored: ratio={stage.lora['ratio']}")
    steps = [f"python train_{k}.py" for k in range(1, len(made.stages) + 1)]
    return whole(made, (NAME, VERSION, INSTALL, NOTES), files, steps, lost)


def _script(made: Recipe, stage: Stage, k: int) -> str:
    lora, markup = {}, made.base.markup
    if stage.lora and k == 1:  # a later phase loads the adapter of the one before, and goes on with it
        lora = {"r": stage.lora["r"], "lora_alpha": stage.lora["alpha"], "lora_dropout": stage.lora["dropout"]}
        lora |= {"target_modules": stage.lora["targets"], "bias": "none", "random_state": made.seed}
        lora |= {"use_gradient_checkpointing": False, **PEFT_VARIANTS[stage.lora["variant"]]}
    parts = {"instruction_part": markup.user[0], "response_part": markup.assistant} if markup else {}
    settings = arguments(made, stage, k) | {"dataset_text_field": "text", "max_length": made.length, "packing": False}
    settings |= {name: True for name, asked in (("bf16", made.bf16), ("use_cpu", made.cpu)) if asked}
    return SCRIPT.format(
        title=f"{made.name}, phase {k}: {stage.steps} steps.",
        data=_lines({f"data/{name}.jsonl": round(share, 6) for name, share in stage.data.items()}),
        lora=_lines(lora), arguments=_lines(settings), chat=made.kind == "chat", parts=_lines(parts),
        model="base" if k == 1 else f"out/{k - 1}", length=made.length, full=stage.method == "full",
        seed=made.seed, weighted=stage.weighted, out=f"out/{k}",
    )  # fmt: skip


def _lines(entries: dict) -> str:
    """A dict with an entry per line."""
    return "{\n" + "".join(f"    {key!r}: {value!r},\n" for key, value in entries.items()) + "}" if entries else "{}"


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
    >>> from ftlib.tools import unsloth
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> unsloth.read(unsloth.render(spec, ["A plain text."]))
    {'train': ['A plain text.']}
    """
    names = {f.removeprefix("data/").removesuffix(".jsonl"): f for f in files if f.startswith("data/")}
    return {n: [from_messages(json.loads(one)) for one in files[f].split("\n") if one] for n, f in names.items()}
