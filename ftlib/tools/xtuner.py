"""XTuner 0.2.0, whose configuration is a Python file. XTuner V1 on GitHub has no LoRA.

The tool puts the first token in front of a row by itself. SmolLM2's first token is <|im_start|>, with which its chat
template begins as well, so the tool's own ChatML template gives it twice. Here SYSTEM is written without it, and each
row has a system text. `loss` is written in every message: where some lack it, the library datasets fills in None, which
the tool reads as false. max_iters counts batches and not steps. With a warmup of one step its rate stays near 0 for the
whole run, so there is none. `xtuner train` and `xtuner convert` end with status 0 after an error, and on a computer
without a GPU both stop at once. run.py and convert.py, which call the same code, don't.
"""

import json
from typing import Any

from ftlib.tools.page import whole
from ftlib.tools.recipes import PEFT_VARIANTS, Recipe, Stage, recipe
from ftlib.tools.rows import from_messages, listed

__all__ = ["read", "render"]
NAME, VERSION = "XTuner", "0.2.0"
INSTALL = [f'pip install "xtuner=={VERSION}"  # Python below 3.13; its transformers is 4.48.0']
NOTES = [
    "Call it from its own environment, since it starts `python` from the PATH.",
    "The loss that it logs is a running mean, and not the loss of a step.",
    "The loss does not count the newline behind an answer's end. LLaMA-Factory and Firefly count it.",
    "`xtuner convert` writes float16 and a pickle by default, so run.sh asks for float32 and safetensors.",
]
CPU = """
import torch

if not hasattr(torch.cpu, "is_bf16_supported"):  # XTuner asks for it on a computer without a GPU
    torch.cpu.is_bf16_supported = lambda *args, **more: False
"""
RUN = '''"""Run XTuner's training, and fail where it fails: `xtuner train` ends with status 0 after an error.

python run.py CONFIG FOLDER BATCHES
"""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
{cpu}
config, folder, batches = sys.argv[1:]
sys.argv = ["train.py", config, "--work-dir", folder]
runpy.run_path(find_spec("xtuner.tools.train").origin, run_name="__main__")
if not (Path(folder) / f"iter_{{batches}}.pth").is_file():
    sys.exit(f"{{folder}} holds no iter_{{batches}}.pth: the training has failed, see above")
'''
CONVERT = '''"""Convert XTuner's checkpoint, and fail where that fails: `xtuner convert` ends with status 0 then, too.

python convert.py CONFIG CHECKPOINT FOLDER --fp32 --safe-serialization
"""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
{cpu}
folder = Path(sys.argv[3])
runpy.run_path(find_spec("xtuner.tools.model_converters.pth_to_hf").origin, run_name="__main__")
if not list(folder.glob("*.safetensors")):
    sys.exit(f"{{folder}} holds no weights: the conversion has failed, see above")
'''
IMPORTS = '''"""One run of XTuner. README.md says how to start it."""

# {title}

import torch
from datasets import load_dataset
from mmengine.dataset import DefaultSampler
from mmengine.hooks import CheckpointHook, DistSamplerSeedHook, IterTimerHook, LoggerHook, ParamSchedulerHook
from mmengine.optim import AmpOptimWrapper, CosineAnnealingLR, LinearLR, OptimWrapper
from peft import LoraConfig
from torch.optim import AdamW
from transformers import AutoModelForCausalLM, AutoTokenizer
from xtuner.dataset import process_hf_dataset
from xtuner.dataset.collate_fns import default_collate_fn
from xtuner.dataset.map_fns import openai_map_fn, pretrain_map_fn, template_map_fn_factory
from xtuner.engine.runner import TrainLoop
from xtuner.model import SupervisedFinetune

'''


WIDTH, NEW_LINE = 88, "\n"


class Name(str):
    """A text that stands in a Python file as it is, and not in quotes."""


def call(**entries) -> Name:
    """dict(a=1, b=2), as these configurations are written; a long one has an entry per line."""
    parts = [f"{key}={_python(value)}" for key, value in entries.items()]
    if len(short := f"dict({', '.join(parts)})") <= WIDTH and "\n" not in short:
        return Name(short)
    return Name("dict(" + "".join(f"\n    {part.replace(NEW_LINE, NEW_LINE + '    ')}," for part in parts) + "\n)")


def _python(value) -> str:
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    return repr(value)


def render(spec, rows, base=None, **how) -> dict[str, str]:
    """Write a Spec and its rows as files of XTuner 0.2.0.

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
    >>> from ftlib.tools import xtuner
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> files = xtuner.render(spec, [[("user", "Good?"), ("assistant", "Yes.")]])
    >>> sorted(files)
    ['README.md', 'config_1.py', 'convert.py', 'data/train.json', 'run.py', 'run.sh']
    """
    made = recipe(spec, rows, base, **how)
    if any(stage.method == "freeze" for stage in made.stages):
        raise ValueError("XTuner can't freeze whole layers of a text model: export to LLaMA-Factory, or choose LoRA")
    if len({stage.method for stage in made.stages}) > 1:
        raise ValueError("XTuner goes on with the same method only: export the phases apart, or to LLaMA-Factory")
    chat = made.kind == "chat"
    files = {f"data/{n}.json": listed([_record(r) if chat else {"text": r} for r in s]) for n, s in made.rows.items()}
    template, lost, steps, before = _template(made) if chat else None, [*made.lost, *made.untrimmed], [], None
    for k, stage in enumerate(made.stages, 1):
        batches = stage.steps * stage.accumulate
        files[f"config_{k}.py"] = _config(made, stage, template, before, k)
        before = f"out/{k}/iter_{batches}.pth"
        steps.append(f"python run.py config_{k}.py out/{k} {batches}")
        steps.append(f"python convert.py config_{k}.py {before} out/{k}/hf --fp32 --safe-serialization")
        lost += _lost(stage)
    bos, start = (made.base.markup.bos, made.base.markup.system[0]) if made.base.markup else ("", "")
    if bos and not start.startswith(bos) and chat and "Qwen" not in made.base.tokenizer:
        lost.append(
            f"way to leave out its first token; ignored: the template of the model, which has no {bos} in front"
        )
    lost += ["noise on the embeddings; ignored: NEFTune"] if made.noise else []
    if not chat:
        lost.append("way to keep the ends of a plain text; ignored: whitespace around texts")
    files |= {f: text.format(cpu=CPU if made.cpu else "") for f, text in (("run.py", RUN), ("convert.py", CONVERT))}
    return whole(made, (NAME, VERSION, INSTALL, NOTES), files, steps, lost, inside="/hf")


def _record(row: list[tuple[str, str]]) -> dict:
    last = len(row) - 1
    return {"messages": [{"role": role, "content": text, "loss": k == last} for k, (role, text) in enumerate(row)]}


def _template(made: Recipe) -> dict[str, Any]:
    """The chat template in the tool's own words."""
    markup = made.base.markup
    if markup is None:
        raise ValueError(f"the chat template of {made.base.name} can't be written for XTuner: export to LLaMA-Factory")
    qwen = "Qwen" in made.base.tokenizer  # to these the tool adds no first token
    doubled = bool(markup.bos) and not qwen and markup.user[0].startswith(markup.bos)
    if doubled and any(row[0][0] != "system" for rows in made.rows.values() for row in rows):
        raise ValueError(f"XTuner would write {markup.bos!r} twice where a chat has no system text: give each chat one")
    start = markup.system[0] if qwen or not markup.bos else markup.system[0].removeprefix(markup.bos)

    def form(before: str, name: str, behind: str) -> str:
        return before.replace("{", "{{").replace("}", "}}") + name + behind.replace("{", "{{").replace("}", "}}")

    return {
        "SYSTEM": form(start, "{system}", markup.system[1]),
        "INSTRUCTION": form(markup.user[0], "{input}", markup.user[1] + markup.assistant),
        "SUFFIX": markup.end, "SUFFIX_AS_EOS": True, "SEP": markup.between, "STOP_WORDS": [markup.end],
    }  # fmt: skip


def _lost(stage: Stage) -> list[str]:
    lost = []
    if stage.schedule not in ("", "Constant", "LinearDecay", "Cosine"):
        lost.append(f"{stage.schedule} in this export; ignored: {stage.schedule}, the rate is constant")
    if stage.weighted:
        lost.append("weights of data sets; ignored: weights, all rows are read equally often")
    if stage.smoothing:
        lost.append("label smoothing; ignored: LabelSmoothing")
    if stage.lora and stage.lora["ratio"] != 1:
        lost.append(f"rate of its own for B; ignored: ratio={stage.lora['ratio']}")
    return lost


def _config(made: Recipe, stage: Stage, template: dict | None, before: str | None, k: int) -> str:
    """The configuration, one name per line."""
    n = Name
    end, warm = stage.steps * stage.accumulate, stage.warmup * stage.accumulate
    llm = call(type=n("AutoModelForCausalLM.from_pretrained"), pretrained_model_name_or_path=n("base"),
               torch_dtype=n("torch.float32"))  # fmt: skip
    model = {"type": n("SupervisedFinetune"), "use_varlen_attn": False, "llm": llm}
    if lora := stage.lora:
        model["lora"] = call(
            type=n("LoraConfig"), r=lora["r"], lora_alpha=lora["alpha"], lora_dropout=lora["dropout"], bias="none",
            task_type="CAUSAL_LM", target_modules=lora["targets"], **PEFT_VARIANTS[lora["variant"]],
        )  # fmt: skip
    mapped = call(type=n("template_map_fn_factory"), template=n("prompt_template")) if template else None
    data = call(
        type=n("process_hf_dataset"), dataset=call(type=n("load_dataset"), path="json", data_files=n("data_files")),
        tokenizer=n("tokenizer"), max_length=made.length,
        dataset_map_fn=n("openai_map_fn" if template else "pretrain_map_fn"), template_map_fn=mapped,
        remove_unused_columns=True, pack_to_max_length=False, map_num_proc=1,
    )  # fmt: skip
    adam = call(type=n("AdamW"), lr=stage.lr, betas=n("(0.9, 0.999)"), weight_decay=stage.weight_decay)
    wrapper = {"type": n("AmpOptimWrapper"), "dtype": "bfloat16"} if made.bf16 else {"type": n("OptimWrapper")}
    wrapper |= {"optimizer": adam, "accumulative_counts": stage.accumulate}
    wrapper |= {"clip_grad": call(max_norm=stage.max_norm)} if stage.max_norm else {}
    schedule = [call(type=n("LinearLR"), start_factor=1e-5, by_epoch=False, begin=0, end=warm)] if warm else []
    if stage.schedule == "LinearDecay":
        line = {"start_factor": 1.0, "end_factor": 0.0, "by_epoch": False, "begin": warm, "end": end}
        schedule.append(call(type=n("LinearLR"), **line))
    if stage.schedule == "Cosine":
        schedule.append(call(type=n("CosineAnnealingLR"), eta_min=0.0, by_epoch=False, begin=warm, end=end))
    names = {
        "base": "base",
        "data_files": [f"data/{name}.json" for name in stage.data],
        **({"prompt_template": call(**template)} if template else {}),
        "tokenizer": call(type=n("AutoTokenizer.from_pretrained"), pretrained_model_name_or_path=n("base"),
                          padding_side="right"),
        "model": call(**model),
        "train_dataset": data,
        "train_dataloader": call(
            batch_size=stage.batch_size, num_workers=0, dataset=n("train_dataset"),
            sampler=call(type=n("DefaultSampler"), shuffle=True),
            collate_fn=call(type=n("default_collate_fn"), use_varlen_attn=False)),
        "optim_wrapper": call(**wrapper),
        "param_scheduler": schedule or None,
        "train_cfg": call(type=n("TrainLoop"), max_iters=end),
        "default_hooks": call(
            timer=call(type=n("IterTimerHook")),
            logger=call(type=n("LoggerHook"), log_metric_by_epoch=False, interval=1),
            param_scheduler=call(type=n("ParamSchedulerHook")),
            checkpoint=call(type=n("CheckpointHook"), by_epoch=False, interval=end),
            sampler_seed=call(type=n("DistSamplerSeedHook"))),
        "env_cfg": call(dist_cfg=call(backend="gloo" if made.cpu else "nccl")),
        "randomness": call(seed=made.seed, deterministic=False),
        "log_processor": call(by_epoch=False),
        "visualizer": None, "log_level": "INFO", "load_from": before, "resume": False,
    }  # fmt: skip
    title = f"{made.name}, phase {k}: {stage.steps} steps of {stage.accumulate} batches."
    return IMPORTS.format(title=title) + "".join(f"{name} = {_python(value)}\n" for name, value in names.items())


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
    >>> from ftlib.tools import xtuner
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> xtuner.read(xtuner.render(spec, ["A plain text."]))
    {'train': ['A plain text.']}
    """
    names = {f.removeprefix("data/").removesuffix(".json"): f for f in files if f.startswith("data/")}
    return {name: [from_messages(one) for one in json.loads(files[file])] for name, file in names.items()}
