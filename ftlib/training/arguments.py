"""What `fit` is handed, looked at before the first step: each mistake is one sentence."""

import math
from collections.abc import Callable, Iterator
from functools import wraps

import numpy as np
from torch import Tensor, nn

from ftlib.io.refusals import nearest, number, whole_number
from ftlib.strategy import Strategy, count_targets, owners, parts_of

SEEDS = 2**32  # seeds are below this: numpy's generators take no larger ones
WHOLE = {"steps": 0, "accumulate": 1}  # the least value of each
# Keywords that fit had once: where each of them is now. {old: (argument of fit, field of its class)}
MOVED = {
    "validate": ("validation", "score"),
    "every": ("validation", "every"),
    "patience": ("validation", "patience"),
    "watch": ("validation", "watch"),
    "better": ("validation", "better"),
    "stop": ("validation", "stop"),
    "save_every": ("checkpoint", "every"),
}
NOW = {"validation": "ftlib.Validation(score", "checkpoint": "ftlib.Checkpoint(file"}


def explain_moved(function: Callable) -> Callable:
    """`fit`, which says of a keyword that has moved where it is now: a TypeError of one sentence."""

    @wraps(function)
    def explained(*args, **more):
        if moved := [name for name in MOVED if name in more]:
            fields = {where: [f for w, f in map(MOVED.get, moved) if w == where and f != "score"] for where in NOW}
            used = [where for where in NOW if any(MOVED[name][0] == where for name in moved)]
            instead = [f"{w}={', '.join([NOW[w], *(f'{f}=...' for f in fields[w])])})" for w in used]
            raise TypeError(f"fit has no {' and no '.join(map(repr, moved))}: write fit(..., {', '.join(instead)})")
        return function(*args, **more)

    return explained


def refuse_no_function(name: str, given, taker: str) -> None:
    """TypeError unless `given` can be called."""
    if not callable(given):
        raise TypeError(f"{name} must be a function, but it is {given!r}: give {taker} the function, and not its value")


def refuse_arguments(model, strategy, **values) -> None:
    """TypeError or ValueError unless `fit` can begin with these."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"fit needs a model, but got {type(model).__name__}: load one with ftlib.load_model")
    if not isinstance(strategy, Strategy):
        hint = f"write {strategy.__name__}()" if isinstance(strategy, type) else "take one of ftlib.strategies"
        raise TypeError(f"fit needs a strategy, but got {strategy!r}: {hint}")
    for name, least in WHOLE.items():
        whole_number(name, values[name], least)
    whole_number("seed", values["seed"], 0, SEEDS - 1)
    number("lr", values["lr"], 0)
    number("weight_decay", values["weight_decay"], 0)
    if values["max_norm"] != math.inf:  # which clips nothing
        number("max_norm", values["max_norm"], 0, above=True)


def refuse_loaders(loaders: dict, strategy: Strategy) -> None:
    """ValueError unless the loaders are there that the strategy reads, and each can be read again and again."""
    parts = parts_of(strategy)
    first = [] if owners(strategy, "batches") else ["train"]
    wanted = list(dict.fromkeys([*first, *(name for part in parts for name in part.needs)]))
    optional = {name for part in parts for name in part.may_use} - {*wanted}
    known, there = [*wanted, *optional], ", ".join(loaders) or "none"
    if missing := [name for name in wanted if name not in loaders]:
        example = ", ".join(f"{name!r}: ..." for name in wanted)
        raise ValueError(
            f"{strategy} reads the loaders {', '.join(wanted)}, but {' and '.join(missing)} is missing: there are "
            f"{there}; give fit {{{example}}}"
        )
    for name, loader in loaders.items():
        if name not in known and (like := nearest(name, [k for k in optional if k not in loaders])):
            raise ValueError(f"{strategy} reads no loader {name!r}: correct the name, or leave it out{like}")
        if isinstance(loader, Iterator):
            raise ValueError(
                f"the loader {name!r} is a generator, which can be read once only, but training reads it again and "
                f"again: give a list of batches or a DataLoader"
            )


def with_n(batch: dict) -> dict:
    """The batch with the default count: one term, "loss", with each counted label once."""
    if not isinstance(batch, dict):
        raise TypeError(
            f"a batch must be a dict, such as {{'pixels': ..., 'labels': ...}}, but a loader gave a "
            f"{type(batch).__name__}: name the columns of your data"
        )
    if "n" in batch:
        return batch
    if "labels" not in batch:
        raise KeyError(f"a training batch needs 'labels', but it has {', '.join(batch)}: add them")
    return {"n": {"loss": count_targets(batch["labels"])}, **batch}


def refuse_labels(labels: Tensor | None, examples: list[int]) -> None:
    """ValueError that names the examples whose labels are no finite numbers."""
    if labels is None or not labels.is_floating_point() or labels.isfinite().all():
        return
    rows = (~labels.isfinite()).flatten(1).any(1) if labels.ndim > 1 else ~labels.isfinite()
    broken = [examples[i] if examples else i for i in rows.nonzero().flatten().tolist()]
    raise ValueError(f"the labels of the examples {broken} are not finite numbers: correct them or leave them out")


def plain_numbers(values: dict) -> dict:
    """What a validation gave, as Python's own numbers, which a checkpoint can hold."""
    if not isinstance(values, dict):
        raise TypeError(f"score(model) of a Validation must give {{name: value}}, but it gave {values!r}")
    return {k: v.item() if _single(v) else v for k, v in values.items()}


def _single(value) -> bool:
    array = isinstance(value, np.ndarray) and value.size == 1
    return array or isinstance(value, np.generic) or (isinstance(value, Tensor) and value.numel() == 1)
