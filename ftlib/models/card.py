"""The model card: what a folder holds, in Markdown for people."""

from pathlib import PureWindowsPath

from ftlib import assets
from ftlib.models.about import About

READS = {"image": "images", "text": "texts", "lm": "prompts"}
LIBRARIES = {"image": "image-classification", "text": "text-classification", "lm": "text-generation"}
OPEN = {
    ("image", "network"): 'timm.create_model("local-dir:{name}", pretrained=True)',
    ("text", "network"): 'AutoModel.from_pretrained("{name}")  # the encoder; the head is in head.safetensors',
    ("lm", "network"): 'AutoModelForCausalLM.from_pretrained("{name}")',
    ("image", "adapter"): 'PeftModel.from_pretrained(base, "{name}")',
    ("text", "adapter"): 'PeftModel.from_pretrained(base, "{name}")  # the features; ftlib.load also puts the head on',
    ("lm", "adapter"): 'PeftModel.from_pretrained(base, "{name}")',
}


def card(sheet, name: str) -> str:
    """The text of README.md for a folder of this name."""
    about: About = sheet.about
    pieces = [
        f"# {name}",
        f"This model reads {READS[about.kind]}{_task(about)}. It is {about.base} {_trained_by(about)}.",
        _table(about),
        "## How it was trained\n\n" + _trained(about),
        "## Scores\n\n" + ("\n".join(f"- {k}: {v:.4g}" for k, v in sheet.scores.items()) or "No score was given."),
        "## How to load it\n\n" + _code(sheet, name),
        "## Licence\n\n" + _licence(about),
    ]
    return "\n\n".join(pieces) + "\n"


def _task(about: About) -> str:
    return f" and was fine-tuned for the task {shared_name(about.task)}" if about.task else ""


def shared_name(task: str) -> str:
    """The task's name; of own data without the path, since a card is shared."""
    kind, colon, path = task.partition(":")
    return f"{kind}{colon}{PureWindowsPath(path).name}"  # knows both kinds of slashes


def _trained_by(about: About) -> str:
    return f"after {len(about.trained)} run{'s' * (len(about.trained) > 1)} of fine-tuning" if about.trained else (
        "and was not fine-tuned with `fit`"
    )  # fmt: skip


def _table(about: About) -> str:
    way = about.preprocessing
    rows = {
        "base": about.base,
        "task": shared_name(about.task or ""),
        "labels": ", ".join(about.labels),
        "metric": about.metric,
    }
    rows |= {"data": ", ".join(f"{count:,} examples for {split}" for split, count in about.data.items())}
    if about.kind == "image":
        size = f"{way.size} x {way.size} pixels" if way.size else "any size"
        rows["input"] = f"images, {size}, {way.shape}, channels: {way.channels or '1 or 3'}"
    elif way.max_length:
        rows["input"] = f"texts of at most {way.max_length} tokens"
    lines = [f"| {key} | {value} |".replace("\n", " ") for key, value in rows.items() if value]
    return "\n".join(["| | |", "|---|---|", *lines])


def _trained(about: About) -> str:
    if not about.trained:
        return "Not with `fit`, or not at all."
    return "\n".join(
        f"{i}. `{run.strategy}`: {run.steps} of {run.planned} steps, learning rate {run.lr:g}, seed {run.seed}, "
        f"{run.precision}, {run.date}"
        for i, run in enumerate(about.trained, 1)
    )


def _code(sheet, name: str) -> str:
    kind = sheet.about.kind
    lines = ["import ftlib", f'model = ftlib.load("{name}")', f'ftlib.predict(model, "{_example(kind)}")']
    text = "```python\n" + "\n".join(lines) + "\n```"
    line = OPEN.get((kind, sheet.layout))
    if line is None:
        return text + "\n\nOther libraries cannot open it, since it holds parts that only this kit writes."
    code = line.replace("{name}", name)
    where = f"the model in {name}/base" if sheet.base == "base" else f"the network {sheet.base}"
    more = f"\n\nHere `base` is {where}, as its own library loads it." if sheet.layout == "adapter" else ""
    return f"{text}\n\nIn other libraries:\n\n```python\n{code}\n```{more}"


def _example(kind: str) -> str:
    return {"image": "my_image.png", "text": "What a film!", "lm": "What is fine-tuning?"}[kind]


def _licence(about: About) -> str:
    known = {name: assets.ASSETS[name].licence for name in (about.base, (about.task or "").partition("/")[0])
             if name in assets.ASSETS}  # fmt: skip
    terms = "; ".join(f"{name}: {licence}" for name, licence in known.items())
    return (
        f"{terms + '. ' if terms else ''}The licences of the base model and of the data apply to these weights too. "
        f"Check both before you share the model."
    )
