"""What is particular to each tool: how its own code is asked, what it may do otherwise, and the faults planted in it.

A control is a fault of which a check must say that it is one. A check that lets it pass has shown nothing.
"""

import re
from dataclasses import dataclass, field

TOKENS = {"last": "the loss counts the last answer and its end", "all": "the loss counts every answer of a chat"}
TOKENS |= {"everything": "the loss counts the prompt too"}


@dataclass(frozen=True)
class Dialect:
    """One tool.

    reader: file in inside/. file: of the settings. misspelt, words: (text, what a fault makes of it) in that file.
    wrong: (file, text, fault) that gives other tokens or counts others. counts: which tokens its loss counts.
    behind: what it writes behind the end of the last answer. behind_counts: whether the loss counts that.
    unread: settings that it has no reading of. rate: the first rate that it logs, as a share of the planned one.
    """

    reader: str
    file: str
    misspelt: tuple[str, str]
    words: tuple[str, str]
    wrong: tuple[str, str, str]
    counts: str = "last"
    behind: str = ""
    behind_counts: bool = False
    unread: tuple[str, ...] = ()
    rate: float | None = 1.0
    accepts: tuple[str, ...] = field(default=())  # controls that it is known to accept
    packages: tuple[str, ...] = ("transformers", "peft")


DIALECTS = {
    "llama-factory": Dialect(
        "read_llama_factory.py", "train_1.yaml", ("learning_rate:", "learning_rat:"),
        ("lora_rank: 8", 'lora_rank: "eight"'), ("train_1.yaml", "stage: ", "template: llama3\nstage: "),
        behind="\n", behind_counts=True, accepts=("words",), packages=("llamafactory", "transformers", "peft", "trl"),
    ),
    "unsloth": Dialect(
        "read_unsloth.py", "train_1.py", ("'learning_rate'", "'learning_rat'"), ("'r': 8", "'r': 'eight'"),
        ("train_1.py", "'response_part': '<|im_start|>assistant", "'response_part': '<|im_start|>user"),
        behind="\n<|im_end|>", packages=("unsloth", "unsloth-zoo", "transformers", "peft", "trl"),
    ),
    "xtuner": Dialect(
        "read_xtuner.py", "config_1.py", ("lora_alpha=", "lora_alfa="), ("r=8", "r='eight'"),
        ("config_1.py", "SYSTEM='system", "SYSTEM='<|im_start|>system"), behind="\n",
        unread=("warmup", "schedule"), accepts=("words",), packages=("xtuner", "mmengine", "transformers", "peft"),
    ),
    "xturing": Dialect(
        "read_xturing.py", "train.py", ("config.learning_rate", "config.learning_rat"),
        ("config.batch_size = 2", "config.batch_size = 'two'"),
        ("data/train.jsonl", "<|im_start|>assistant\\n", ""), counts="everything",
        unread=("warmup", "schedule", "seed", "steps"), rate=None,
        packages=("xturing", "transformers", "pytorch-lightning"),
    ),
    "firefly": Dialect(
        "read_firefly.py", "train_1.json", ('"learning_rate"', '"learning_rat"'),
        ('"lora_rank": 8', '"lora_rank": "eight"'), ("train_1.json", '"qwen"', '"llama3"'), counts="all",
        behind="\n", behind_counts=True, unread=("targets",), accepts=("words",),
        packages=("transformers", "peft", "trl"),
    ),
}  # fmt: skip


def broken(text: str, old: str, new: str) -> str:
    """The text with a fault in it; an AssertionError where the text has no such place."""
    assert old in text, f"the control is out of date: nothing reads {old!r}"
    return text.replace(old, new)


def agree(reference: list[dict], got: list[dict], dialect: Dialect, tail: list[int]) -> str:
    """What is wrong with a tool's tokens beside the kit's own; "" where all is as the dialect says. tail: of behind."""
    if len(reference) != len(got):
        return f"it read {len(got)} rows of {len(reference)}"
    for number, (want, have) in enumerate(zip(reference, got), 1):
        ids = want["ids"] + tail
        if have["ids"] != ids:
            at = next((k for k, (a, b) in enumerate(zip(ids, have["ids"])) if a != b), min(len(ids), len(have["ids"])))
            return f"row {number} has other tokens from token {at} on, {len(have['ids'])} and not {len(ids)}"
        counted = [*want["counted"], *([dialect.behind_counts] * len(tail))]
        if dialect.counts == "everything":
            right = all(have["counted"])
        elif dialect.counts == "all":  # the last answer, and the earlier ones besides
            right = all(b for a, b in zip(counted, have["counted"]) if a) and not have["counted"][0]
            turns = [n for n, one in enumerate(have["counted"]) if one and not have["counted"][n - 1]]
            right = right and len(turns) == want.get("answers", 1)
        else:
            right = have["counted"] == counted
        if not right:
            return f"the loss counts other tokens of row {number}"
    return ""


def logged(text: str) -> dict[str, list[float]]:
    """{"loss": […], "lr": […]} of each step, as the three trainers print it."""
    number = r"'?([0-9][0-9.]*(?:e[-+]?[0-9]+)?)"
    found = {"loss": re.findall(rf"'loss': {number}", text), "lr": re.findall(rf"'learning_rate': {number}", text)}
    if not found["loss"]:  # mmengine
        found = {"loss": re.findall(rf"\bloss: {number}", text), "lr": re.findall(rf"\blr: {number}", text)}
    return {key: [float(one) for one in some] for key, some in found.items()}
