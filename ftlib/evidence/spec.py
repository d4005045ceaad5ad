"""A Spec is one experiment as JSON. What cannot be run, and what would read the test split otherwise than once, at the
end, is refused when the Spec is made: by its meaning, whatever name it is given.
"""

import hashlib
import inspect
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ftlib import tasks
from ftlib.io import typed
from ftlib.io.typed import Count, NotNegative, Seed, Text, Whole
from ftlib.tasks import SPLITS
from ftlib.training.loop import fit

Format = Literal["auto", "float32", "bfloat16"]  # machine.PRECISIONS
Strategies = list[dict[Text, dict[Text, Any]]]  # [{name: knobs}, ...], see strategies.CATALOG; []: full fine-tuning
OURS = {"model", "loaders", "strategy", "steps", "lr", "seed", "precision", "validation", "checkpoint", "verbose"}
FIT = {name: p.annotation for name, p in inspect.signature(fit).parameters.items() if name not in OURS}
EARLY = {"patience": int, "watch": str, "better": str}  # belong to fit's Validation; a phase names them flat
FIT |= EARLY


@dataclass
class Phase:
    """One phase of training in an experiment: a single call of `fit`.

    Parameters
    ----------
    strategy : list of dict
        Names from the catalogue and their parameters, [{"LoRA": {"r": 8}}]. An empty list is full fine-tuning.
    steps : int
        Optimizer steps.
    lr : float
        Peak learning rate, at least 0.
    data : dict of str to str, optional
        The split of each loader, such as {"train": "train", "target": "elpv/poly:train"}. By default the task's own
        train. The test split is refused.
    batch_size : int, default 32
        Examples per batch.
    fit : dict, optional
        More arguments of `fit`, such as {"accumulate": 2}.

    Examples
    --------
    >>> phase = ftlib.Phase([{"LinearProbe": {}}], steps=20, lr=1e-3)
    >>> phase.data, phase.batch_size
    ({'train': 'train'}, 32)
    """

    strategy: Strategies
    steps: Whole
    lr: NotNegative
    data: dict[Text, Text] = field(default_factory=lambda: {"train": "train"})  # loader -> split, see split_of
    batch_size: Count = 32
    fit: dict[Text, Any] = field(default_factory=dict)  # more arguments of fit, e.g. {"accumulate": 2}; see FIT

    __pydantic_config__ = typed.KNOWN_KEYS_ONLY


@dataclass
class WrittenSpec:
    """What a Spec says, as its record repeats it. Plain JSON values only."""

    arm: Text  # the name under which it is compared, e.g. "full"
    task: Text  # see tasks.load, e.g. "elpv/mono"
    model: Text  # see models.load
    seed: Seed
    phases: list[Phase]  # or dicts with its fields
    options: dict[Text, Any] = field(default_factory=dict)  # of the task: {"n": 200, "size": 96, ...}
    splits: list[Text] = field(default_factory=lambda: ["validation", "test"])  # evaluated at the end, each once
    every: Whole = 0  # steps between validations for the curves; 0: only the end of each phase
    precision: Format = "float32"  # "auto" is faster on some machines, and repeats only on the same kind
    grid: str = ""  # the recorded grid that it belongs to
    purpose: Literal["measure", "tune"] = "measure"  # "tune" while a rate is chosen: it must not read the test split
    watch: list[Text] = field(default_factory=list)  # splits of other tasks that each validation scores too

    __pydantic_config__ = typed.KNOWN_KEYS_ONLY


@dataclass
class Spec(WrittenSpec):
    """One experiment as plain JSON values. Its `id` names it by its content.

    Parameters
    ----------
    arm : str
        The name under which it is compared, such as "full".
    task : str
        A task's name, see `ftlib.load_task`. Own data are named with their path, "folder:PATH".
    model : str
        A model's name, see `ftlib.load_model`.
    seed : int
        Fixes the split, the subset, the initial weights and the order of the data. Arms are paired by it.
    phases : list of Phase or dict
        What is trained, one phase after the other. An empty list only evaluates.
    options : dict, optional
        Options of the task, such as {"n": 200, "size": 96}.
    splits : list of str, default ["validation", "test"]
        Evaluated at the end, each once. "elpv/poly:test" is a split of another task.
    every : int, default 0
        Steps between validations for the curves. 0 validates at the end of each phase only.
    precision : {"float32", "bfloat16", "auto"}, default "float32"
        Number format. "auto" is faster on some machines, and repeats only on the same kind.
    grid : str, default ""
        The recorded grid that it belongs to.
    purpose : {"measure", "tune"}, default "measure"
        "tune" while a learning rate is chosen. Such a run must not read the test split.
    watch : list of str, optional
        Splits of other tasks, such as "digits/mnist[0,1]:validation". Each validation during the run scores them too,
        by their task's own metric. For a sequence of tasks they give the matrix R, see `ftlib.runs.matrix`.

    Attributes
    ----------
    id : str
        Twelve hexadecimal digits. The same experiment has the same id on every machine.

    Raises
    ------
    ValueError
        If the experiment cannot be run, or would read the test split other than once, at the end.

    Examples
    --------
    >>> phase = ftlib.Phase([], steps=60, lr=1e-3)
    >>> spec = ftlib.Spec("full", "digits/mnist", "efficientnet-lite0", seed=0, phases=[phase])
    >>> spec.id
    '7e4869d88bb9'
    >>> ftlib.Spec("full", "digits/mnist", "efficientnet-lite0", seed=0, phases=[phase], purpose="tune")
    Traceback (most recent call last):
    ValueError: a run that tunes must not read the test split, but its splits are ['validation', 'test']
    """

    def __post_init__(self):
        if isinstance(self.phases, list | tuple):
            self.phases = [self._phase(i, phase) for i, phase in enumerate(self.phases)]
        self.check()

    def _phase(self, i: int, written) -> Phase:
        if isinstance(written, Phase):
            return written
        typed.check(Phase, written, f"Spec, phase {i + 1}")
        return Phase(**written)  # the values as they are: the id is made of them

    def check(self) -> None:
        """Raise a ValueError if it cannot be run, or reads the test split otherwise than once, at the end."""
        typed.check(WrittenSpec, written := asdict(self), "Spec")
        _refuse_unknown_task(self.task)
        if "path" in self.options:
            raise ValueError("path is no option of a Spec: write it into the task, such as 'folder:PATH'")
        read = [split_of(name, self.task) for name in self.splits]
        for name, at in zip(self.splits, read):
            if self.purpose == "tune" and at[1] == "test":
                raise ValueError(f"a run that tunes must not read the test split, but its splits are {self.splits}")
            if read.count(at) > 1:
                raise ValueError(f"the split {name!r} is listed twice: each is read once, but splits={self.splits}")
        tested = [task for task, split in read if split == "test"]
        for task in tested:  # another question may be asked of the same rows, but the same one only once
            if (whole := tasks.cut_name(tasks.without_control(task))[0]) != task and whole in tested:
                raise ValueError(
                    f"splits has test of {whole} and of {task}, which has labels of the same rows: test is read once, "
                    f"leave one"
                )
        for i, phase in enumerate(self.phases):
            for loader, name in phase.data.items():
                if split_of(name, self.task)[1] == "test":
                    raise ValueError(
                        f"phase {i + 1} would train on the test split, as {loader!r} is {name!r}: it is read once, at "
                        "the end; name train or validation"
                    )
            for name, value in phase.fit.items():
                if name not in FIT:
                    near = typed.nearest(name, FIT)
                    raise ValueError(
                        f"phase {i + 1}: fit has no option {name!r} for a phase, the nearest known one is {near!r}"
                    )
                typed.check(dict[str, typed.strictly(FIT[name])], {name: value}, f"Spec, phase {i + 1}, fit")
        for name in self.watch:
            if not parts_of_split(name)[0] or split_of(name, self.task)[1] == "test":
                raise ValueError(f"watch names splits of other tasks, 'task:validation', and no test, but has {name!r}")
        if self.watch and not self.every:
            raise ValueError("watch needs validations to score in: set `every`, the steps between two")
        if not self.every and any(phase.fit.get("patience") for phase in self.phases):
            raise ValueError("a phase with patience needs validations to watch: set `every`, the steps between two")
        try:
            json.dumps(written)
        except TypeError as error:
            raise ValueError(f"a Spec holds plain JSON values only: {error}") from None

    @property
    def id(self) -> str:
        """Twelve hex digits of the SHA-1 of the JSON: the same experiment has the same id on every machine."""
        says = asdict(self)
        if not self.watch:  # the ids of runs that watch nothing are older than it
            del says["watch"]
        return hashlib.sha1(json.dumps(says, sort_keys=True).encode()).hexdigest()[:12]


OTHER = rf"((?:{'|'.join(tasks.OWN)}):.+|[^:]+):"  # another task before its split; the path of own data may hold colons


def parts_of_split(name: str) -> tuple[str, str, list[int]]:
    """(task, split, examples) of a split's name: "split", "task:split", "task:train:10", and "task:train:8+2"."""
    match = re.fullmatch(rf"(?:{OTHER})?([^:\d][^:]*?)(?(1)(?::(\d+(?:\+\d+)*))?)", name)
    if not match:
        raise ValueError(f'a split is called "split", "task:split" or "task:split:n", but not {name!r}')
    return match[1] or "", match[2], [int(part) for part in (match[3] or "").split("+") if part]


def split_of(name: str, own: str = "") -> tuple[str, str]:
    """(task, split) of a split's name: "split" of the spec's own task, "task:split" of another one, "task:train:10"."""
    other, split, _ = parts_of_split(name)
    task = other or own
    if split not in SPLITS:
        raise ValueError(
            f"{name!r} names no split: the nearest known one to {split!r} is {typed.nearest(split, SPLITS)!r}"
        )
    if other:
        _refuse_unknown_task(task)
    return task, split


def _refuse_unknown_task(name: str) -> None:
    """Raise a ValueError unless tasks.load would know it."""
    if name.partition(":")[0] in tasks.OWN:
        tasks.parse(name)
        return
    base, asked = tasks.cut_question(name)
    plain, plus, corruption = tasks.cut_name(base)[0].partition("+")
    known = {plain: tasks.names(), corruption: tasks.corruptions.NAMES if plus else [""]}
    if asked:
        known |= {asked: tasks.questions_of(plain)}
    for word, there in known.items():
        if word not in there:
            raise ValueError(
                f"there is no task {name!r}: the nearest known one to {word!r} is {typed.nearest(word, there)!r}"
            )
