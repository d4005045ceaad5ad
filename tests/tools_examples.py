"""Specs and rows of the tests of ftlib.tools, and the golden files made of them.

`python tests/tools_examples.py` writes tests/data/tools/ anew, for a change of the exports that is meant. Look at the
difference before you commit it.
"""

from pathlib import Path

from ftlib import Phase, Spec
from ftlib.tools import TOOLS, tool

GOLDEN = Path(__file__).parent / "data" / "tools"
CHATS = [
    [("user", "What is the capital of Iceland?"), ("assistant", "Reykjavik.")],
    [
        ("system", "Be brief."),
        ("user", "Two plus two?"),
        ("assistant", "4"),
        ("user", "And three?"),
        ("assistant", "5"),
    ],
]
HARD = [
    [("user", 'He said "no": {name} \\n {{x}} %s'), ("assistant", "null")],
    [("user", "  Grüße,\n\n\u2028 日本 \U0001f600 "), ("assistant", "1e-3\n")],
    [("system", "s"), ("user", "- yes: no\t#"), ("assistant", "2024-01-01"), ("user", "'"), ("assistant", '"')],
]  # what a careless writer or reader would change
OTHERS = [[("user", f"How many legs have {n} dogs?"), ("assistant", str(4 * n))] for n in range(1, 4)]
TEXTS = ["Copper is a metal.", "It conducts heat well."]
TASK, A, B = "instructions/nyt", "instructions/nyt:train", "instructions/tweets:train"


def spec(*phases, **more) -> Spec:
    """An experiment of phases, each (strategy, more fields of the phase)."""
    made = [Phase(strategy, **({"steps": 20, "lr": 1e-5, "batch_size": 2} | fields)) for strategy, fields in phases]
    return Spec(more.pop("arm", "test"), TASK, "smollm2", **({"seed": 3, "phases": made} | more))


LORA = {"LoRA": {"r": 4, "alpha": 8, "targets": "attention"}}
ONE = spec(([LORA, {"Cosine": {"warmup": 0.1}}], {"fit": {"accumulate": 2}}), arm="golden")
MIX = {"MultiTask": {"tasks": {"train": 2, "more": 2}, "weights": {"train": 0.7, "more": 0.3}}}
STRATEGIES = {  # the eight of LLaMA-Factory: name -> (spec, rows, more)
    "full": (spec(([], {})), CHATS, {}),
    "freeze": (spec(([{"FreezeFirst": {"k": 29}}], {})), CHATS, {}),
    "incremental": (
        spec(([LORA], {"data": {"train": A}}), ([LORA], {"data": {"train": B}})),
        {A: CHATS, B: OTHERS},
        {},
    ),
    "lora": (spec(([{"LoRA": {"variant": "dora", "dropout": 0.1, "ratio": 16.0}}], {})), CHATS, {}),
    "multi-task": (spec(([LORA, MIX], {"data": {"train": A, "more": B}})), {A: CHATS, B: OTHERS}, {}),
    "schedule": (spec(([{"WarmupStableDecay": {"warmup": 0.1}}], {})), CHATS, {}),
    "domain": (spec(([], {})), TEXTS, {}),
    "regularisation": (
        spec(([LORA, {"WeightDecay": {"rate": 0.1}}, {"LabelSmoothing": {}}], {})),
        CHATS,
        {"noise": 5.0},
    ),
}


def golden() -> dict[str, str]:
    """{file in tests/data/tools: its text}: all files of one export per tool, and the settings of eight strategies."""

    def joined(files: dict[str, str]) -> str:
        return "".join(f"===== {name}\n{files[name]}" for name in sorted(files))

    found = {f"{name}.txt": joined(tool(name).render(ONE, CHATS)) for name in TOOLS}
    eight = {}
    for name, (one, rows, more) in STRATEGIES.items():
        files = tool("llama-factory").render(one, rows, **more)
        eight |= {f"{name}/{file}": text for file, text in files.items() if file.endswith((".yaml", "info.json"))}
    return found | {"eight_strategies.txt": joined(eight)}


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for file, text in golden().items():
        (GOLDEN / file).write_text(text, encoding="utf-8", newline="\n")
