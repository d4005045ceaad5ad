"""What is tried with each tool: one small LoRA, its data, a tiny model, and the tokens that the kit itself makes."""

import shutil
from pathlib import Path
from types import SimpleNamespace

from ftlib import assets, models, strategies
from ftlib.evidence.sequences import Sources
from ftlib.evidence.spec import Phase, Spec
from ftlib.models.adapters import save_adapter
from ftlib.tasks.instructions import encode
from ftlib.tasks.task import IGNORED
from ftlib.tools import base_of, export, plain_folder, tool
from ftlib.training.loop import fit

TASK, ROWS, SEED, RATE, BATCH = "instructions/amazon", 20, 0, 1e-3, 2
STEPS = {"tiny": 2, "smollm2": 10}
LORA = {"r": 8, "alpha": 16, "dropout": 0.05, "targets": "all"}  # xTuring has no other
TINY = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY |= {"num_key_value_heads": 2, "tie_word_embeddings": True}
PROBES = [  # chats whose tokens a careless template or tokenizer would change
    [("user", "What is the capital of Iceland?"), ("assistant", "Reykjavik.")],
    [("system", "Be brief."), ("user", "Two plus two?"), ("assistant", "4"), ("user", "And 3?"), ("assistant", "5")],
    [("user", "x =  12\n\n1. one\n2. two"), ("assistant", "v1.2.3  4 and 1 234")],
    [("user", 'He said "no": {name} \\n {{x}} %s'), ("assistant", "don ' t .")],
    [("system", "Antworte auf Deutsch."), ("user", "Grüße, 日本 \U0001f600"), ("assistant", "Schöne Grüße!")],
]


def spec(stage: str, model: str | Path = "smollm2") -> Spec:
    """The experiment of a stage, "tiny" or "smollm2"."""
    schedule = [{"Cosine": {"warmup": 0.2}}] if stage == "smollm2" else []
    phase = Phase([{"LoRA": LORA}, *schedule], steps=STEPS[stage], lr=RATE, batch_size=BATCH)
    return Spec(stage, TASK, str(model), seed=SEED, phases=[phase], options={"n": ROWS})


def tiny_model(folder: Path) -> Path:
    """A random Llama of two layers with SmolLM2's tokenizer, written as `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    source = assets.path("smollm2")
    if not folder.is_dir():
        torch.manual_seed(SEED)
        own = LlamaConfig.from_pretrained(source).to_dict() | TINY
        own.pop("head_dim", None)
        LlamaForCausalLM(LlamaConfig(**own)).save_pretrained(folder)
        for file in source.glob("*token*"):
            shutil.copy(file, folder)
        for file in source.glob("*.jinja"):
            shutil.copy(file, folder)
    return folder


def exported(name: str, stage: str, model: str | Path, folder: Path) -> dict[str, str]:
    """The folder of a stage as a learner would export it, for a computer without a GPU."""
    return export(spec(stage, model), name, folder, cpu=True)


def probes(name: str, model: Path, folder: Path) -> dict[str, str]:
    """A folder with the probes for rows."""
    files = tool(name).render(spec("tiny", model), PROBES, base_of(model), cpu=True)
    plain_folder(model, folder / "base")
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8", newline="\n")
    return files


def reference(tokenizer, rows: list = PROBES) -> list[dict]:
    """The kit's own tokens of each row, with which of them its loss counts."""
    split = SimpleNamespace(inputs=[], columns={"turns": [r[:-1] for r in rows], "answer": [r[-1][1] for r in rows]})
    made = encode(split, tokenizer, 10**6)
    return [
        {"ids": [*ids, labels[-1]], "counted": [False, *(label != IGNORED for label in labels)]}
        for ids, labels in zip(made["input_ids"], made["labels"])
    ]


def held_out_rows() -> list:
    """The rows that all are scored on."""
    return Sources(spec("smollm2")).of("validation")[0].splits["validation"].inputs


def own_lora(folder: Path) -> Path:
    """The kit's own LoRA of the same experiment, as a folder of peft; it is trained when it is first asked for."""
    if not folder.is_dir():
        one = spec("smollm2")
        sources, phase = Sources(one), one.phases[0]
        model = models.load(one.model)
        train = sources.loader("train", model, batch_size=BATCH, shuffle=True)
        model, _ = fit(model, train, strategies.build(phase.strategy), steps=phase.steps, lr=phase.lr, seed=SEED)
        save_adapter(model, folder)
    return folder
