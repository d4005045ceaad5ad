"""Strategy: what a fine-tuning method may change, in ten slots; and combine(), which makes one of several.

    minimise over the trainable part of θ:   Σᵢ loss(f_θ(transform(xᵢ)), yᵢ) / n  +  penalty(θ)
    xᵢ drawn from batches(),   step size  lr · lr_scale(t / T)  per parameter group

A strategy changes one of four things: the model, the batches, the loss or the learning rate. A slot that it does not
override does nothing, so the class below is full fine-tuning. `train.fit` is the only place that calls the slots.

Shapes: B examples, T tokens, K classes.
"""

import itertools
import weakref
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import reduce
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ftlib.io.refusals import check_knobs

# How a combination merges each slot: chain = one after the other, one = a single owner, sum = added, each = all called.
MERGE = {
    "prepare": "chain",
    "groups": "chain",
    "batches": "one",
    "transform": "chain",
    "loss": "one",
    "penalty": "sum",
    "gradient": "one",
    "lr_scale": "one",
    "before_step": "each",
    "finish": "each",
}
# The order of the parts of a combination, in every slot, however it was written down.
ROLES = ("heads", "injection", "freezing", "augment", "mix", "")
# The order of `finish`: each kind corrects or measures the network that the ones before it have left.
FINISH = ("average", "statistics", "head", "", "measure")
HEAD_ALONE = {"LinearProbe": "a linear probe trains the head alone"}  # said by `idle`, of more than one file
FROZEN_ALREADY = {"injection": "an injection freezes the pretrained weights itself, and what it puts in always learns"}
IGNORED = -100  # a label that is not counted (PyTorch's own default for cross-entropy)
# Said by `exclusive`, of more than one file:
STATISTICS = "decide whose BatchNorm statistics the network keeps"
CORRECTS = "correct the trained network for the target, each as if nothing else had"
COMPARES = "compare the source with the target, while the network keeps the BatchNorm statistics of one of them"
TARGETS = "set the target of an example"
ONE_HEAD = "replace or correct the only head of the model"
WEIGHTS = "set the weights of the tasks"
INPUTS = ("pixels", "input_ids", "attention_mask", "x")  # what networks read of a batch; x: any other one's input


class UnlabelledBatch(dict):
    """A batch without its labels: only what a network reads, and `index`, are left; to ask for more is a KeyError.

    Columns that give a label away (a rating, a probability) are gone too. So a method that adapts to unlabelled
    examples cannot cheat, not even by mistake.
    """

    def __init__(self, batch: dict):
        super().__init__({name: value for name, value in batch.items() if name in (*INPUTS, "index")})

    def __missing__(self, name: str):
        raise KeyError(
            f"{name!r} of a target batch is withheld: there are {', '.join(self)}. A method that needs labels of the "
            f"target is told so, and they are counted: see FewLabels"
        )


class Batch(TypedDict, total=False):
    """A batch of B examples. A loader gives those of the first seven keys that its task has. The others come later.

    A task's own columns of numbers (a rating, a probability) come along under their names.
    """

    pixels: Tensor  # (B, C, H, W) float32: images with values in 0..1, until a strategy or a model rescales them
    input_ids: Tensor  # (B, T) int64: tokens, padded on the right
    attention_mask: Tensor  # (B, T) int64: 1 for a token, 0 for a pad
    x: Tensor  # (B, ...): the input of any other network
    labels: Tensor  # (B,) int64: classes. (B, T) int64: the token after each one. `IGNORED` where not counted
    # (B,) float: measured numbers. (B, K) float: class probabilities. (M, V) float: those of the M counted tokens
    index: Tensor  # (B,) int64: the number of each example in its source
    task: str  # the task that it is of: which head answers, where a strategy put in several
    answers: Tensor  # (B, K) bool: the answers that are allowed, where a task tells them (tasks.portions)
    n: dict[str, int]  # {term of the loss: targets that it adds up}; `fit` counts the labels where a batch has none
    target: "Batch"  # examples of the target domain, without their labels
    cache: object  # keys and values of tokens before these: transformers' Cache, in generation and prefix tuning
    frozen_features: tuple  # (stages, k, h, made_of): the output h of the first k stages, see training.frozen_features


def target_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum, not mean, of the loss over the counted targets; the kind of loss follows from the labels.

    Integers (B,) or (B, T): cross-entropy, `IGNORED` left out; logits (M, K) are those of the M counted labels alone.
    Floats (B, K): cross-entropy with class probabilities. Floats (B,): squared error of a one-column output (B, 1).
    Raises ValueError for a label outside 0..K-1.
    """
    if not labels.is_floating_point():
        labels = labels.long()  # cross-entropy takes no other whole numbers
        counted = labels[labels != IGNORED]
        if counted.numel() and not 0 <= counted.min() <= counted.max() < logits.shape[-1]:
            raise ValueError(
                f"labels must lie in 0..{logits.shape[-1] - 1}, one for each output of the head, but these reach from "
                f"{counted.min()} to {counted.max()}: load the model with the task that made the labels"
            )
        if labels.ndim == 2:
            logits, labels = logits if logits.ndim == 2 else logits[labels != IGNORED], counted  # (M, K), (M,)
        return F.cross_entropy(logits.float(), labels, reduction="sum", ignore_index=IGNORED)
    if labels.ndim == 2:
        return F.cross_entropy(logits.float(), labels, reduction="sum")
    return F.mse_loss(logits.squeeze(-1).float(), labels, reduction="sum")


def count_targets(labels: Tensor) -> int:
    """How many terms `target_loss` adds up: rows, or the tokens that are not `IGNORED`."""
    return len(labels) if labels.is_floating_point() else int((labels != IGNORED).sum())


def require_column(batch: dict, name: str, user: "Strategy") -> Tensor:
    """batch[name], which a strategy needs; ValueError where the batch has none."""
    if name not in batch:
        kind = {"pixels": "pictures", "attention_mask": "texts"}.get(name, name)
        raise ValueError(
            f"{user} needs batch[{name!r}], but this one has {', '.join(batch)}: take a task of {kind}, or leave it out"
        )
    return batch[name]


@dataclass
class Strategy:
    """Full fine-tuning: no slot changes anything. A subclass is a dataclass of hyperparameters that overrides slots.

    Attributes
    ----------
    role : str
        Where it stands in a combination, one of `ROLES`.
    finishes : str
        When its `finish` has its turn, one of `FINISH`.
    reads : str
        "pictures" or "texts", if it makes sense for one of them only.
    exclusive : tuple of str
        What only one part of a combination may do, in words.
    idle : dict
        ``{role or class of another part: why this one has no effect beside it}``.
    needs, may_use : tuple of str
        The loaders that it reads, and those that it reads if they are given.

    Notes
    -----
    The fields are plain JSON values (lists instead of tuples, data sets by name). Anchors, memories and all else that
    a strategy learns live in its other attributes. They are its state, which a checkpoint saves and loads.

    Examples
    --------
    >>> @dataclass
    ... class PullToZero(ftlib.Strategy):
    ...     strength: float = 0.1
    ...
    ...     def penalty(self, model, batch):
    ...         return self.strength * sum(p.square().sum() for p in model.parameters())
    >>> model, history = ftlib.fit(model, train, PullToZero(), steps=2, lr=1e-2, verbose=False)
    >>> history[0]["penalty"] > 0
    True
    """

    role = ""  # where it stands in a combination: one of ROLES
    finishes = ""  # when its `finish` has its turn: one of FINISH
    reads = ""  # "pictures" or "texts", where it makes sense for one of them only
    exclusive = ()  # what no second part may do too, in words: ("average the weights",)
    idle = {}  # {role or class of another part: why this one has no effect beside it}
    needs = ()  # loaders that it reads; `fit` looks for them before the first step
    may_use = ()  # loaders that it reads where they are given

    def __new__(cls, *values, **knobs):
        """Refuse a knob that does not exist or is of another type, before `__init__` computes with it."""
        check_knobs(cls, values, knobs)
        return super().__new__(cls)

    def begin(self, model: nn.Module) -> None:
        """Called by `fit` first: what was learned on another model is forgotten."""
        before = vars(self).get("_model")
        if before is not None and before() is not model:
            knobs = {f.name: getattr(self, f.name) for f in fields(self)}
            vars(self).clear()
            self.__init__(**knobs)
        self._model = weakref.ref(model)

    def prepare(self, model: nn.Module) -> nn.Module:
        """Add heads, inject, freeze. Called by `fit`; calling it twice must equal calling it once."""
        return model

    def groups(self, groups: list[dict]) -> list[dict]:
        """Who learns, how fast: parameter groups in, groups out. {"params": [(name, p)], "lr", "weight_decay"}."""
        return groups

    def batches(self, loaders: dict) -> Iterator[Batch | list[Batch]]:
        """One pass over the data: batches, or lists of batches that share one step. Must not change the state."""
        yield from loaders["train"]

    def transform(self, batch: Batch) -> Batch:
        """Augment a training batch (never a validation batch). Keeps batch["n"] true."""
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{term: SUM over its targets}, with the same terms as batch["n"], which counts the targets."""
        (term,) = batch["n"]
        return {term: target_loss(model(batch), batch["labels"])}

    def penalty(self, model: nn.Module, batch: Batch) -> Tensor | float:
        """A regulariser of the parameters. Not divided by n; averaged over the batches that share a step."""
        return 0.0

    def gradient(self, grads: dict[str, dict[str, Tensor]], losses: dict[str, float]) -> dict[str, Tensor]:
        """{term: {parameter: gradient}} in, {parameter: gradient} out. The penalty's gradient is added afterwards."""
        raise NotImplementedError("a strategy that owns no gradient slot gets one ordinary backward pass")

    def lr_scale(self, progress: float) -> float:
        """Factor on the peak rate; a pure function of progress = (step + ½) / steps, so 0 < progress < 1."""
        return 1.0

    def before_step(self, model: nn.Module, progress: float) -> None:
        """After model.train(), before each step. Sets everything anew from progress, so a resumed run agrees."""

    def finish(self, model: nn.Module, loaders: dict) -> None:
        """After the last step: Fisher information, a memory, averaged weights."""

    def state_dict(self) -> dict:
        """What the strategy has learned: every attribute that is not a knob."""
        return {k: v for k, v in vars(self).items() if k not in {"_model", *(f.name for f in fields(self))}}

    def load_state_dict(self, state: dict) -> None:
        """Take back what `state_dict` gave."""
        vars(self).update(state)


def parts_of(strategy: Strategy) -> tuple[Strategy, ...]:
    """The parts of a combination; a single strategy is its only part."""
    return strategy.parts if isinstance(strategy, Combined) else (strategy,)


def owners(strategy: Strategy, slot: str) -> list[Strategy]:
    """The parts that override a slot."""
    return [p for p in parts_of(strategy) if getattr(type(p), slot) is not getattr(Strategy, slot)]


@dataclass(repr=False)
class Combined(Strategy):
    """Several strategies as one; made by `combine`. It walks its parts and keeps no closures, so deepcopy works."""

    parts: tuple

    def __repr__(self) -> str:
        return f"combine({', '.join(map(repr, self.parts))})"

    def _chain(self, slot: str, value):
        return reduce(lambda value, part: getattr(part, slot)(value), owners(self, slot), value)

    def _one(self, slot: str) -> Callable:
        return getattr((owners(self, slot) or [Strategy()])[0], slot)

    def _each(self, slot: str, *args) -> list:
        return [getattr(part, slot)(*args) for part in owners(self, slot)]

    def prepare(self, model):
        """A later part cannot freeze what an earlier part made: new parameters keep the flag they were made with."""
        known, made = set(model.parameters()), {}
        for part in self.parts:
            model = part.prepare(model)
            made |= {p: p.requires_grad for p in model.parameters() if p not in known and p not in made}
        for parameter, trainable in made.items():
            parameter.requires_grad_(trainable)
        return model

    def groups(self, groups):
        return self._chain("groups", groups)

    def batches(self, loaders):
        return self._one("batches")(loaders)

    def transform(self, batch):
        """What augments changes the target's pictures and texts too: else it would make a gap that is none."""
        out, target = self._chain("transform", batch), batch.get("target")
        augment = [part for part in owners(self, "transform") if part.role == "augment"]
        if target is None or not augment:
            return out
        device = next(iter(target.values())).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):  # draws that leave the source's alone
            for part in augment:
                target = part.transform(target)
        return {**out, "target": UnlabelledBatch(target)}

    def loss(self, model, batch):
        return self._one("loss")(model, batch)

    def penalty(self, model, batch):
        return sum(self._each("penalty", model, batch))

    def gradient(self, grads, losses):
        return self._one("gradient")(grads, losses)

    def lr_scale(self, progress):
        return self._one("lr_scale")(progress)

    def before_step(self, model, progress):
        self._each("before_step", model, progress)

    def finish(self, model, loaders):
        for part in sorted(owners(self, "finish"), key=lambda part: FINISH.index(part.finishes)):
            part.finish(model, loaders)

    def state_dict(self):
        return {str(i): part.state_dict() for i, part in enumerate(self.parts)}

    def load_state_dict(self, state):
        for i, part in enumerate(self.parts):
            part.load_state_dict(state[str(i)])


def combine(*strategies: Strategy) -> Strategy:
    """Make one strategy of several; the order in which they are written doesn't matter.

    Parameters
    ----------
    *strategies : Strategy
        The parts. A combination among them counts as its parts.

    Returns
    -------
    Strategy
        A strategy whose slots merge those of the parts (see `MERGE`).

    Raises
    ------
    TypeError
        If a part is no strategy.
    ValueError
        If two parts exclude each other: both own a slot that has one owner, both inject new weights, or are of one
        class, or one has no effect beside the other. The message names them.

    Examples
    --------
    >>> both = ftlib.combine(strategies.Cosine(), strategies.LoRA(r=4))
    >>> both.prepare.__self__ is both and both.lr_scale(0.5) == strategies.Cosine().lr_scale(0.5)
    True
    >>> ftlib.combine(strategies.Cosine(), strategies.LinearDecay())
    Traceback (most recent call last):
        ...
    ValueError: lr_scale() can have one owner, but Cosine(...) and LinearDecay(...) both set it: leave one of them out
    """
    parts = [part for whole in strategies for part in parts_of(whole)]
    for part in parts:
        if not isinstance(part, Strategy):
            raise TypeError(f"combine takes strategies, but got {part!r}: write the class with brackets, as Full()")
    whole = Combined(tuple(sorted(parts, key=lambda p: (ROLES.index(p.role), type(p).__name__, repr(p)))))
    for slot, rule in MERGE.items():
        if rule == "one" and len(owners(whole, slot)) > 1:
            both = " and ".join(map(repr, owners(whole, slot)))
            raise ValueError(f"{slot}() can have one owner, but {both} both set it: leave one of them out")
    doing: dict[str, list[str]] = {}
    for part in whole.parts:
        inject = ("put new weights inside a model",) if part.role == "injection" else ()
        for what in (*inject, *part.exclusive, f"are {type(part).__name__}"):
            doing.setdefault(what, []).append(repr(part))
    for what, those in doing.items():
        if len(those) > 1:
            raise ValueError(f"{' and '.join(those)} all {what}: leave all but one out")
    readers = [part for part in whole.parts if part.reads]
    if len({part.reads for part in readers}) > 1:
        words = " and ".join(f"{part} reads {part.reads}" for part in readers)
        raise ValueError(f"{words}, and no batch holds both: leave out those that do not fit the task")
    for part, other in itertools.permutations(whole.parts, 2):
        if why := part.idle.get(other.role) or part.idle.get(type(other).__name__):
            raise ValueError(f"{part} has no effect beside {other}, since {why}: leave one of them out")
    return whole


def to_json(strategy: Strategy) -> list[dict]:
    """[{class name: knobs}] a part: how a strategy is written in a Spec. `strategies.build` reads it back."""
    return [{type(part).__name__: asdict(part)} for part in parts_of(strategy)]


def check_share(strategy: Strategy, knob: str, most: float) -> None:
    """ValueError unless the field is in 0..most."""
    if not 0 <= (value := getattr(strategy, knob)) <= most:
        raise ValueError(f"{knob} of {type(strategy).__name__} must lie in 0 to {most:g}, but it is {value}: choose")


def check_range(strategy: Strategy, knob: str, low: float, high: float) -> None:
    """ValueError unless the field is [least, most] with low < least <= most <= high."""
    value = getattr(strategy, knob)
    if len(value) != 2 or not low < value[0] <= value[1] <= high:
        raise ValueError(
            f"{knob} of {type(strategy).__name__} must be [least, most] above {low:g} and at most {high:g}, but it is "
            f"{value}: give two rising numbers"
        )
