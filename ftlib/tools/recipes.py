"""A recipe: one Spec in the words that all five tools share. Each phase of the Spec is one run of a tool.

No part of a Spec is left out in silence. Where a tool would train by another method (one without frozen layers that is
asked to freeze), the export is refused. Everything else is a line of `lost`, "this tool has no …; ignored: …", which
the export's page shows and the command line prints.
"""

import itertools
from dataclasses import asdict, dataclass, field
from typing import Any

from ftlib import models, strategies
from ftlib.evidence.spec import Spec, split_of
from ftlib.io.refusals import number
from ftlib.strategies.multitask import shares
from ftlib.tools import rows as rows_of_files
from ftlib.tools.base import SMOLLM2, Base

SCHEDULES = (
    "Constant",
    "StepDecay",
    "LinearDecay",
    "Cosine",
    "Restarts",
    "WarmupStableDecay",
    "InverseSqrt",
    "OneCycle",
)
OTHER_WEIGHTS = ("LinearProbe", "BiasOnly", "NormOnly", "GradualUnfreezing", "FromScratch")
OTHER_WEIGHTS += ("IA3", "Adapter", "Prompt", "Prefix")  # they decide what learns, and no tool does it
ASIDE = ("target", "held_out", "labelled")  # loaders that strategies read without labels, or for something else
PEFT_VARIANTS = {"plain": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}}
PEFT_VARIANTS |= {"pissa": {"init_lora_weights": "pissa"}}  # arguments of peft's LoraConfig
FEWEST = 2  # steps of a warmup: with one, the first step has rate 0, and XTuner's rate stays near 0 for the whole run
LENGTH = 512  # tokens of a row, as `tasks.chats` has it


@dataclass(frozen=True)
class Stage:
    """One run of a tool: a phase of the Spec.

    Parameters
    ----------
    method : {"full", "freeze", "lora"}
        Which weights learn.
    data : dict of str to float
        The share of each data file, {"a": 0.7, "b": 0.3}.
    steps : int
        Optimizer steps.
    lr : float
        Peak learning rate.
    batch_size, accumulate : int
        Rows per batch, and batches per step.
    weight_decay, max_norm : float
        Of AdamW, and of gradient clipping. A `max_norm` of 0 is none.
    schedule : str, default ""
        A schedule's name in the catalogue. "" keeps the rate constant.
    knobs : dict
        The parameters of the schedule.
    warmup : int
        Steps of the warmup, 0 or at least 2.
    last : int
        Of "freeze", how many of the last layers learn. A negative number counts the first layers.
    lora : dict
        Of "lora": r, alpha, dropout, targets, variant and ratio.
    smoothing : float
        Of label smoothing.
    weighted : bool
        Whether the shares were asked for, and don't just follow the sizes.

    Examples
    --------
    >>> from ftlib.tools import Stage
    >>> Stage("full", {"mine": 1.0}, steps=40, lr=1e-5, batch_size=4).max_norm
    1.0
    """

    method: str
    data: dict[str, float]
    steps: int
    lr: float
    batch_size: int
    accumulate: int = 1
    weight_decay: float = 0.01
    max_norm: float = 1.0
    schedule: str = ""
    knobs: dict[str, Any] = field(default_factory=dict)
    warmup: int = 0
    last: int = 0
    lora: dict[str, Any] = field(default_factory=dict)
    smoothing: float = 0.0
    weighted: bool = False


@dataclass(frozen=True)
class Recipe:
    """One experiment in the words that all tools share.

    Parameters
    ----------
    name : str
        The arm of the Spec, in one line.
    base : Base
        The model.
    kind : {"chat", "text"}
        Chats, or plain texts for pre-training.
    rows : dict of str to list
        The rows of each data file.
    stages : list of Stage
        One run each, the next goes on from the one before.
    seed : int
    bf16 : bool
        Whether the Spec asks for bfloat16.
    length : int
        Tokens of a row.
    noise : float, default 0
        NEFTune's noise on the embeddings.
    cpu : bool, default False
        Whether the run is on a CPU.
    lost : list of str
        The parts of the Spec that no tool has.

    Attributes
    ----------
    modules : list of str
        All linear layers.
    ends : bool
        Whether a message has spaces or newlines at its ends.
    untrimmed : list of str
        The line of a tool that writes texts as they are, where the model's own template trims them.

    Examples
    --------
    >>> from ftlib.tools import recipe
    >>> spec = ftlib.Spec("full", "instructions/nyt", "smollm2", seed=0, phases=[ftlib.Phase([], steps=9, lr=1e-5)])
    >>> recipe(spec, ["A plain text."]).kind
    'text'
    """

    name: str
    base: Base
    kind: str
    rows: dict[str, list]
    stages: list[Stage]
    seed: int
    bf16: bool
    length: int
    noise: float = 0.0
    cpu: bool = False
    lost: list[str] = field(default_factory=list)

    @property
    def modules(self) -> list[str]:
        """All linear layers."""
        return [*self.base.linear["attention"], *self.base.linear["mlp"]]

    @property
    def ends(self) -> bool:
        """Whether a message has spaces or newlines at its ends."""
        rows = [row for some in self.rows.values() for row in some if not isinstance(row, str)]
        return any(text != text.strip() for row in rows for _, text in row)

    @property
    def untrimmed(self) -> list[str]:
        """The line of a tool that writes texts as they are, where the model's own template trims them."""
        trims = self.base.markup is not None and self.base.markup.trims and self.ends
        return ["trimming of texts, as the model's template has; ignored: spaces at their ends stay"] if trims else []


def recipe(spec: Spec, rows, base: Base | None = None, *, noise: float = 0.0, cpu: bool = False) -> Recipe:
    """Bring a Spec and its rows into the form that all tools share.

    Parameters
    ----------
    spec : Spec
        A language model's experiment.
    rows : list, or dict of str to list
        Chats or texts, see `rows_of`. Of several data sets, by the name of the split as the Spec's phases have it.
    base : Base, optional
        The model's layers and template. By default those of smollm2.
    noise : float, default 0
        NEFTune's alpha. The kit itself has no such strategy.
    cpu : bool, default False
        Write the run for a computer without a GPU.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If the Spec trains nothing, a split has no rows, the kit refuses a combination of strategies, or a strategy
        decides in its own way which weights or rows are trained.

    Examples
    --------
    >>> from ftlib.tools import recipe
    >>> phase = ftlib.Phase([{"LoRA": {"r": 4}}, {"Cosine": {"warmup": 0.1}}], steps=40, lr=1e-3)
    >>> spec = ftlib.Spec("lora", "instructions/nyt", "smollm2", seed=0, phases=[phase])
    >>> made = recipe(spec, [[("user", "Good?"), ("assistant", "Yes.")]])
    >>> made.stages[0].method, made.stages[0].warmup, made.stages[0].lora["r"]
    ('lora', 4, 4)
    """
    base = base or SMOLLM2
    if models.KNOWN.get(spec.model, "lm") != "lm":
        raise ValueError(f"{spec.model} is no language model, and the five tools train only those: take smollm2")
    phases = [phase for phase in spec.phases if phase.steps]
    if not phases:
        raise ValueError("this Spec trains nothing: give it a phase with steps")
    names = list(dict.fromkeys(split for phase in phases for split in phase.data.values()))
    if not isinstance(rows, dict):
        if len(names) > 1:
            raise ValueError(f"the phases read {', '.join(names)}: give the rows of each, {{name: rows}}")
        rows = {names[0]: rows}
    if lacking := [name for name in names if name not in rows]:
        raise ValueError(
            f"the phases read {lacking[0]!r}, but the rows are of {', '.join(rows) or 'nothing'}: add them"
        )
    files, kind = rows_of_files.checked({name: rows[name] for name in names}, base)
    as_file, lost = dict(zip(names, files)), []
    stages = [_stage(phase, spec.task, as_file, files, base, lost) for phase in phases]
    for k, (one, other) in enumerate(itertools.pairwise(stages), 2):
        same = ("r", "alpha", "targets", "variant")
        if one.lora and other.lora and [one.lora[n] for n in same] != [other.lora[n] for n in same]:
            raise ValueError(f"phase {k} has another LoRA than the one before: give both the same {', '.join(same)}")
    name = " ".join("".join(c if c.isprintable() else " " for c in spec.arm).split())
    return Recipe(
        name, base, kind, files, stages, spec.seed, spec.precision != "float32",
        spec.options.get("max_length", LENGTH), number("noise", noise, 0), cpu, list(dict.fromkeys(lost)),
    )  # fmt: skip


def _stage(phase, task: str, as_file: dict[str, str], files: dict[str, list], base: Base, lost: list[str]) -> Stage:
    strategies.build(phase.strategy)  # knobs and combinations that the kit refuses are refused here
    parts = {n: asdict(strategies.get(n)(**knobs)) for part in phase.strategy for n, knobs in part.items()}
    said: dict[str, Any] = {}
    if aside := [loader for loader in phase.data if loader in ASIDE]:
        raise ValueError(
            f"a tool would train on {aside[0]!r} with its labels, and this kit reads that loader in another way: leave "
            f"it out of the phase's data"
        )
    if other := next((name for name in parts if name in OTHER_WEIGHTS), None):
        raise ValueError(
            f"no tool trains the weights of {other}: export full fine-tuning, frozen layers or LoRA instead"
        )
    said |= {"method": "full"} | _frozen(parts, base)
    if lora := parts.get("LoRA"):
        said |= {"method": "lora", "lora": {**lora, "targets": _targets(lora["targets"], base)}}
    if name := next((name for name in parts if name in SCHEDULES), None):
        warmup = round(parts[name].get("warmup", 0) * phase.steps)
        if 0 < warmup < FEWEST:
            lost.append("warmup of one step that works (its rate is 0, or stays near 0); ignored: warmup")
        said |= {"schedule": name, "knobs": parts[name], "warmup": warmup if warmup >= FEWEST else 0}
    fit = {"weight_decay": 0.01, "max_norm": 1.0, "accumulate": 1} | phase.fit
    said["weight_decay"] = parts["WeightDecay"]["rate"] if "WeightDecay" in parts else fit["weight_decay"]
    said["smoothing"] = parts["LabelSmoothing"]["epsilon"] if "LabelSmoothing" in parts else 0.0
    known = {"Full", "LoRA", "FreezeFirst", "TuneOnly", "WeightDecay", "LabelSmoothing", "MultiTask", *SCHEDULES}
    lost += [f"{name}; ignored: {name}{_short(parts[name])}" for name in parts if name not in known]
    lost += ["early stopping on the kit's own score; ignored: patience" for k in ("patience",) if k in fit]
    data, weighted = _shares(parts.get("MultiTask"), phase.data, task, as_file, files)
    return Stage(
        data=data, weighted=weighted, steps=phase.steps, lr=phase.lr, batch_size=phase.batch_size,
        accumulate=fit["accumulate"], max_norm=fit["max_norm"] or 0.0, **said,
    )  # fmt: skip


def _short(knobs: dict) -> str:
    return f"({', '.join(f'{key}={value!r}' for key, value in knobs.items())})" if knobs else ""


def _frozen(parts: dict, base: Base) -> dict:
    """The part of a stage that says which layers learn. Stage 0 of the kit is the embeddings."""
    n = base.layers + 1
    if "FreezeFirst" in parts and "TuneOnly" in parts:
        raise ValueError(
            "FreezeFirst and TuneOnly both freeze, and a tool has one setting for it: leave one of them out"
        )
    if "FreezeFirst" in parts:
        k = parts["FreezeFirst"]["k"]
        if k > base.layers:
            raise ValueError(f"k={k} freezes all {base.layers} layers of {base.name}: leave one to learn")
        if k < 0:
            raise ValueError(f"k counts stages from the input: it must be 0 to {base.layers}, not {k}")
        return {"method": "freeze", "last": base.layers - max(k - 1, 0)} if k else {}
    if "TuneOnly" not in parts:
        return {}
    stages = parts["TuneOnly"]["stages"]
    if wrong := [stage for stage in stages if stage not in range(-n, n)]:
        raise ValueError(f"{base.name} has the stages 0 to {n - 1}, or -{n} to -1 from the end, but not {wrong}")
    chosen = sorted({stage % n for stage in stages})
    if len(chosen) == n:
        return {}
    if chosen and chosen == list(range(n - len(chosen), n)):
        return {"method": "freeze", "last": len(chosen)}
    if chosen and chosen == list(range(1, 1 + len(chosen))):
        return {"method": "freeze", "last": -len(chosen)}
    raise ValueError(f"no tool trains the stages {chosen} alone: choose the first or the last layers, without gaps")


def _targets(targets, base: Base) -> list[str]:
    groups = {"all": [*base.linear["attention"], *base.linear["mlp"]], **base.linear}
    if isinstance(targets, str) and targets in groups:
        found, named = list(groups[targets]), [targets]
    else:
        named = [targets] if isinstance(targets, str) else list(targets)
        if one := next((end for end in named if any(part.isdecimal() for part in end.split("."))), None):
            raise ValueError(f"{one!r} names one layer, and a tool adapts it in all of them: leave the number out")
        ends = [end.rpartition(".")[2] for end in named]
        named = [end for end in ends if end not in groups["all"]]
        found = [] if named else [name for name in groups["all"] if name in ends]
    if not found:
        there = ", ".join(groups["all"]) or "none"
        raise ValueError(f"{base.name} has no layer {', '.join(named)}: its linear layers are {there}")
    return found


def whole_alpha(tool: str, lora: dict[str, Any]) -> int:
    """The alpha for a tool that takes whole numbers alone. Rounding would train with another scale."""
    if lora["alpha"] != int(lora["alpha"]):
        raise ValueError(f"{tool} takes a whole number for alpha, not {lora['alpha']}: choose one")
    return int(lora["alpha"])


def _shares(
    multi: dict | None, data: dict[str, str], own: str, as_file: dict, files: dict
) -> tuple[dict[str, float], bool]:
    """({file: share}, whether shares were asked for). Weights are of a loader, or of the task that its split names."""
    sizes = {as_file[split]: len(files[as_file[split]]) for split in data.values()}
    if not multi:
        return {file: n / sum(sizes.values()) for file, n in sizes.items()}, False
    weights, unread = {}, dict(multi["weights"])
    for loader, split in data.items():
        name = next((n for n in (loader, split_of(split, own)[0]) if n in multi["tasks"]), None)
        weights[as_file[split]] = float(multi["weights"].get(name, 1.0))
        unread.pop(name, None)
    if unread:
        raise ValueError(f"the weight of {next(iter(unread))!r} is of no loader here: name one of {', '.join(data)}")
    if multi["temperature"] is not None:
        if multi["weights"]:
            raise ValueError("no tool has a temperature and weights: leave one of them out")
        p = shares(list(sizes.values()), multi["temperature"]).tolist()
        return dict(zip(sizes, p)), True
    weights = {file: weight for file, weight in weights.items() if weight > 0}
    if not weights:
        raise ValueError("all weights are 0, so there is nothing to train: leave one above 0")
    return {file: weight / sum(weights.values()) for file, weight in weights.items()}, len(weights) > 1


# ---- settings that several tools share


def hugging_face(stage: Stage) -> tuple[dict, list[str]]:
    """({argument of transformers' trainer: value}, lost) of a stage's schedule."""
    knobs, warm, more, lost = stage.knobs, stage.warmup, {}, []
    names = {"LinearDecay": "linear", "Cosine": "cosine", "Restarts": "cosine_with_restarts"}
    name = names.get(stage.schedule, "constant_with_warmup" if warm else "constant")
    if stage.schedule == "Restarts":
        more = {"num_cycles": knobs["cycles"]}
        if knobs["growth"] != 1:
            lost.append(f"cycles that grow; ignored: growth={knobs['growth']}")
    elif stage.schedule == "WarmupStableDecay":
        name = "warmup_stable_decay"
        decay = round(knobs["cooldown"] * stage.steps)  # both numbers: LLaMA-Factory fills in a missing one by a rule
        more = {"num_stable_steps": stage.steps - warm - decay, "num_decay_steps": decay, "decay_type": knobs["form"]}
    elif stage.schedule == "InverseSqrt" and warm:
        name = "inverse_sqrt"  # without a warmup its fall would be measured in 10,000 steps
    elif stage.schedule in ("InverseSqrt", "StepDecay", "OneCycle"):
        lost.append(
            f"schedule like {stage.schedule} here; ignored: {stage.schedule}{_short(knobs)}, the rate is constant"
        )
    found = {"lr_scheduler_type": name, "warmup_steps": warm}
    return found | ({"lr_scheduler_kwargs": more} if more else {}), lost


def arguments(recipe: Recipe, stage: Stage, number_of: int) -> dict:
    """Arguments of transformers' trainer that a stage sets, in one order."""
    return {
        "output_dir": f"out/{number_of}",
        "per_device_train_batch_size": stage.batch_size,
        "gradient_accumulation_steps": stage.accumulate,
        "max_steps": stage.steps,
        "learning_rate": stage.lr,
        **hugging_face(stage)[0],
        "weight_decay": stage.weight_decay,
        "max_grad_norm": stage.max_norm,
        "optim": "adamw_torch",
        **({"label_smoothing_factor": stage.smoothing} if stage.smoothing else {}),
        **({"neftune_noise_alpha": recipe.noise} if recipe.noise else {}),
        "seed": recipe.seed,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
    }
