"""What several strategies do with a network: find its heads and BatchNorms, count statistics, collect features.

A strategy imports `strategy` and this file, never another strategy.

Letters: N examples, D features, K classes.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from ftlib.strategy import Strategy, UnlabelledBatch


def heads(model: nn.Module) -> dict[str, nn.Module]:
    """The heads of a model by task; a single head has the name ""."""
    return dict(model.head) if isinstance(model.head, nn.ModuleDict) else {"": model.head}


class Heads(nn.ModuleDict):
    """A head per task on the same features. The first is the main one, which answers where no task is named.

    features (B, D) -> shared -> head of the task -> logits (B, K)

    `shared` is a layer that all heads read, by default none. A head's key is the name of its task, with "_" for ".",
    since a module's name can have no dot. Only heads are items of the dictionary.
    """

    def __init__(self, heads: dict[str, nn.Module], shared: nn.Module | None = None):
        super().__init__()
        self.main, self.shared = next(iter(heads)), shared or nn.Identity()
        for task, head in heads.items():
            if (key := self.key(task)) in self or hasattr(self, key) or not key:
                raise ValueError(f"no head can have the name {task!r}, which is taken or empty: take another one")
            self.add_module(key, head)

    @staticmethod
    def key(task: str) -> str:
        """The name of a task as that of a module."""
        return task.replace(".", "_")

    def of(self, task: str | None = None) -> nn.Module:
        """The head of a task, None: the main one. ValueError for a task without a head."""
        if (key := self.key(self.main if task is None else task)) not in self:
            raise ValueError(
                f"this model has no head for the task {task!r}: its heads are {', '.join(self)}; take one of these "
                f"tasks, or train a head for it with MultiTask"
            )
        return self[key]

    def forward(self, features: Tensor, task: str | None = None) -> Tensor:
        """The logits of a task."""
        return self.of(task)(self.shared(features))

    @property
    def out_features(self) -> int:
        """Outputs of the main head."""
        return self.of().out_features

    # ---- a dictionary of the heads alone: nn.ModuleDict would count the shared layer as one of them

    def _heads(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self._modules.items() if name != "shared"}

    def keys(self):
        return self._heads().keys()

    def values(self):
        return self._heads().values()

    def items(self):
        return self._heads().items()

    def __iter__(self):
        return iter(self._heads())

    def __len__(self):
        return len(self._heads())

    def __contains__(self, key):
        return key in self._heads()


def require_linear_head(model: nn.Module, user: Strategy, does: str) -> nn.Module:
    """The model itself; ValueError unless its head is one linear layer. `does` says what the user does with it."""
    if getattr(model, "kind", None) == "lm" or not isinstance(model.head, nn.Linear):
        raise ValueError(
            f"{type(user).__name__} {does}, but the head of this model is {type(model.head).__name__}: use a "
            f"classifier of images, or an encoder with a task"
        )
    return model


def train_only_new(model: nn.Module, new: Iterable[nn.Parameter]) -> nn.Module:
    """Freeze the stages and a language model's own head; train the new parameters and a task's fresh head."""
    model.stages.requires_grad_(False)
    model.head.requires_grad_(getattr(model, "kind", None) != "lm")
    for p in new:
        p.requires_grad_(True)
    return model


def set_mode(module: nn.Module, training: bool) -> list[nn.Module]:
    """Training mode or evaluation mode for a module and all that it holds, as `module.train(training)` does.

    That calls itself for each of the 276 modules of EfficientNet-Lite0, which takes a millisecond, and a step with
    frozen stages needs it twice. One loop takes a third of that. It gives the modules that it has set itself.
    """
    todo, done = [module], []
    while todo:
        inner = todo.pop()
        inner.__dict__["training"] = training
        done.append(inner)
        for child in inner._modules.values():
            if child is None:
                continue
            if type(child).train is nn.Module.train:
                todo.append(child)
            else:
                child.train(training)  # it has a way of its own
    return done


def walk(module: nn.Module) -> list[nn.Module]:
    """A module and all that it holds, in the order of `module.modules()`, each once.

    That is a generator within a generator for each level of the network, which takes longer, and every step asks.
    """
    found, todo = {}, [module]
    while todo:
        inner = todo.pop()
        if id(inner) not in found:
            found[id(inner)] = inner
            todo += [child for child in reversed(inner._modules.values()) if child is not None]
    return list(found.values())


# ---- BatchNorm


def batchnorms(module: nn.Module) -> dict[str, nn.Module]:
    """Every BatchNorm layer by its name."""
    return {name: m for name, m in module.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}


@contextmanager
def statistics_follow(norms: Iterable[nn.Module]) -> Iterator[None]:
    """These BatchNorms update their statistics inside the block; then they are frozen, with their old momentum."""
    norms = list(norms)
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.train()
    try:
        yield
    finally:
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum
            m.eval()


@torch.no_grad()
def count_statistics(model: nn.Module, norms: Iterable[nn.Module], batches: Iterable[dict]) -> None:
    """Recompute mean and variance of these BatchNorms over the batches; the model is left in evaluation mode."""
    norms, device = list(norms), next(model.parameters()).device
    model.eval()
    with statistics_follow(norms):
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # the plain mean over the batches
        for batch in batches:
            model(send_to_device(batch, device))


# ---- loaders


@torch.no_grad()
def collect(model: nn.Module, loader: Iterable[dict], *columns: str) -> tuple[Tensor, ...]:
    """Each column over a whole loader, on the CPU: "features" (N, D), "logits" (N, K) or "labels" (N,).

    The network reads batches without their labels. Raises ValueError for an empty loader.
    """
    device, rows = next(model.parameters()).device, []
    for batch in loader:
        h = model.features(send_to_device(UnlabelledBatch(batch), device))
        read = {"features": lambda h=h: h, "logits": lambda h=h: model.head(h), "labels": lambda b=batch: b["labels"]}
        rows.append([read[name]().cpu() for name in columns])
    if not rows:
        raise ValueError("there is nothing to measure: the loader gave no batch, so its split is empty")
    return tuple(torch.cat(column) for column in zip(*rows, strict=True))


def repeated(loaders: dict, name: str) -> Iterator[dict]:
    """The batches of a loader, pass after pass without end. Raises ValueError where a pass is empty."""

    def passes(batches: Iterator[dict]) -> Iterator[dict]:
        while True:
            if (batch := next(batches, None)) is None:
                batches = iter(loaders[name])
                if (batch := next(batches, None)) is None:
                    raise ValueError(f"the loader {name!r} gave no batch: is its split empty?")
            yield batch

    return passes(iter(loaders[name]))  # the first pass begins here: a loader may draw its seed when it begins
