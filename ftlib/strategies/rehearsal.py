"""Rehearsal: a few examples of earlier tasks stay in a buffer and are trained again beside the new ones.

    Replay   Σ loss(new) + Σ loss(old), over the number of both         Chaudhry et al., 2019, 1902.10486
    AGEM     g − (g·r / r·r) r where g·r < 0; r is the old gradient     Chaudhry et al., ICLR 2019, 1812.00420
    DERpp    loss(new) + α ‖f(x) − z‖² / K + β loss(old)                Buzzega et al., NeurIPS 2020, 2004.07211

A task is one call of `fit`. The same strategy object takes its buffer to the next call. In a Spec a task is one phase,
and the same class in a later phase goes on with the buffer.

The buffer has `size` places for all tasks together. After the last step of a task it is offered each training example
once. So the first task trains as if there were no buffer, and a buffer of size 0 is naive training to the last bit.

    reservoir   example number t is stored with probability size / t    Vitter, ACM TOMS 1985
    balanced    a new class takes places from the largest one           Chrysakis & Moens, ICML 2020

Reservoir keeps each example with the same probability. It stores no more of a rare class than there is in the data.

BatchNorm normalises the old and new examples of Replay together. AGEM and DERpp give it old ones as a batch of their
own.

Costs: the buffer in memory, one pass over the data per task, and a larger batch per step. Penalties that store no
example are in strategies.incremental.

Letters: B new examples, M remembered examples, K classes, T tokens.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ftlib.strategy import IGNORED, INPUTS, TARGETS, Strategy, count_targets, target_loss

KEEP = ("reservoir", "balanced")
STORED = (*INPUTS, "labels", "index", "answers", "logits")  # the columns of a batch that a buffer keeps
TOKENS = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}  # columns that grow with a text, and their padding


def rows_of(batch: dict) -> list[dict[str, Tensor]]:
    """The examples of a batch, each with its own memory."""
    columns = {name: torch.as_tensor(batch[name]) for name in STORED if name in batch}
    return [
        {name: column[i].clone() for name, column in columns.items()} for i in range(len(next(iter(columns.values()))))
    ]


def stacked(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Examples as one batch, with the columns that all have. Texts are padded on the right to the longest.

    Raises ValueError for inputs of different shapes.
    """
    out, device = {}, next(iter(rows[0].values())).device
    for name in rows[0]:
        column = [row[name].to(device) for row in rows if name in row]
        shapes = {tuple(value.shape) for value in column}
        if len(column) < len(rows):
            continue
        if len(shapes) == 1:
            out[name] = torch.stack(column)
        elif name in TOKENS and {len(shape) for shape in shapes} == {1} and not column[0].is_floating_point():
            out[name] = pad_sequence(column, batch_first=True, padding_value=TOKENS[name])
        else:
            raise ValueError(
                f"old and new examples share a batch, but {name!r} has the shapes {sorted(shapes)}: load all tasks "
                f"with the same size"
            )
    return out


@dataclass
class Rehearsal(Strategy):
    """The base of all strategies here fills the buffer after each task and draws remembered examples from it.

    Parameters
    ----------
    size : int, default 200
        Examples in the buffer, at least 0.
    batch_size : int, default 32
        Remembered examples per step, at least 0.
    keep : {"reservoir", "balanced"}, default "reservoir"
        Which examples stay in a full buffer.

    Raises
    ------
    ValueError
        If `size` or `batch_size` is negative, if `keep` is unknown, or if `keep` is "balanced" and the labels are not
        classes.
    """

    size: int = 200
    batch_size: int = 32
    keep: str = "reservoir"

    def __post_init__(self):
        if self.size < 0 or self.batch_size < 0:
            raise ValueError(
                f"size and batch_size must not be negative, but they are {self.size} and {self.batch_size}: 0 of "
                f"either is naive training"
            )
        if self.keep not in KEEP:
            raise ValueError(f"keep must be one of {', '.join(KEEP)}, but it is {self.keep!r}")
        self.rows: list[dict[str, Tensor]] = []  # the buffer
        self.seen = 0  # examples that were offered to it
        self.counts: dict[int, int] = {}  # of each class among them
        self.full: list[int] = []  # classes that were the largest of a full buffer at some time
        self.seed, self.bytes = 0, 0.0

    def prepare(self, model: nn.Module) -> nn.Module:
        self.seed = torch.initial_seed() % 2**31  # fit's own seed: all processes keep the same examples
        return model

    def new(self, loaders: dict) -> Iterator[dict]:
        """The batches of the task. ValueError where the buffer could not balance their classes."""
        for batch in loaders["train"]:
            balances = self.size and self.keep == "balanced"
            if balances and (batch["labels"].ndim != 1 or batch["labels"].is_floating_point()):
                raise ValueError(
                    f"{self} balances classes, but the labels of this task are no classes: take keep='reservoir' for "
                    f"texts to be continued, soft labels and numbers"
                )
            yield batch

    def draw(self) -> list[dict[str, Tensor]]:
        """`batch_size` remembered examples, all different; fewer where the buffer holds fewer."""
        return [self.rows[i] for i in torch.randperm(len(self.rows))[: self.batch_size].tolist()]

    def finish(self, model: nn.Module, loaders: dict) -> None:
        generator = torch.Generator().manual_seed(self.seed + self.seen)
        for batch in self.new(loaders) if self.size else ():
            for row in rows_of(batch):
                self.offer(row, generator)
        self.bytes = self.size_in_bytes()

    def size_in_bytes(self) -> float:
        """What the remembered examples take in memory."""
        return float(sum(value.nbytes for row in self.rows for value in row.values()))

    def offer(self, row: dict[str, Tensor], generator: torch.Generator) -> None:
        """Store an example or leave it out. A full buffer loses another one for it."""
        self.seen += 1
        if self.keep == "balanced":
            label = int(row["labels"])
            self.counts[label] = self.counts.get(label, 0) + 1
        if len(self.rows) < self.size:
            self.rows.append(row)
        elif (at := self.place(row, generator)) is not None:
            self.rows[at] = row

    def place(self, row: dict[str, Tensor], generator: torch.Generator) -> int | None:
        """The place in the full buffer that the example takes; None to leave it out."""

        def below(n: int) -> int:
            return int(torch.randint(n, (1,), generator=generator))

        if self.keep == "reservoir":
            at = below(self.seen)
            return at if at < self.size else None
        label, classes = int(row["labels"]), [int(other["labels"]) for other in self.rows]
        held = Counter(classes)
        largest = {c for c, n in held.items() if n == max(held.values())}
        self.full = sorted({*self.full, *largest})
        if label in self.full:  # a reservoir of its own: held / counts of its examples stay
            if below(self.counts[label]) >= held[label]:
                return None
            largest = {label}
        places = [i for i, c in enumerate(classes) if c in largest]
        return places[below(len(places))]


@dataclass
class Replay(Rehearsal):
    """Replay adds remembered examples of earlier tasks to each batch of new ones.

    The loss is the mean over both, so an old example counts as much as a new one.

    Parameters
    ----------
    size : int, default 200
        Examples in the buffer, at least 0. The default is common for small image data sets. With 0 this is naive
        training.
    batch_size : int, default 32
        Remembered examples per step, at least 0. The default is the usual number of new ones.
    keep : {"reservoir", "balanced"}, default "reservoir"
        Which examples stay in a full buffer. "reservoir" gives each example the same chance. "balanced" gives each
        class the same number of places, as far as it has examples.

    Attributes
    ----------
    rows : list of dict
        The remembered examples.
    bytes : float
        Memory of the buffer.

    Raises
    ------
    ValueError
        If `size` or `batch_size` is negative, if `keep` is unknown, if `keep` is "balanced" and the labels are not
        classes, or if old and new inputs have different shapes.

    References
    ----------
    Chaudhry et al. (2019), On Tiny Episodic Memories in Continual Learning, arXiv:1902.10486. Vitter (1985), Random
    Sampling with a Reservoir, ACM TOMS. Chrysakis & Moens (2020), Online Continual Learning from Imbalanced Data, ICML.

    Examples
    --------
    >>> strategy = strategies.Replay(size=10, batch_size=4)
    >>> model, _ = ftlib.fit(model, train, strategy, steps=2, lr=0.01, verbose=False)  # the first task
    >>> len(strategy.rows)
    10
    >>> new = next(iter(train))
    >>> mixed = next(strategy.batches({"train": train}))  # a batch of the second task
    >>> len(mixed["labels"]) - len(new["labels"])
    4
    """

    def batches(self, loaders: dict) -> Iterator[dict]:
        for batch in self.new(loaders):
            old = self.draw()
            yield stacked([*rows_of(batch), *old]) if old else batch


# ---- averaged gradient episodic memory


def project(g: dict[str, Tensor], r: dict[str, Tensor]) -> dict[str, Tensor]:
    """g − (g·r / r·r) r where g·r < 0, else g itself. So a step along −result doesn't raise the loss behind r."""
    dot = sum((g[name] * r[name]).sum() for name in g)
    if dot >= 0:
        return g
    share = dot / sum(r[name].square().sum() for name in g)
    return {name: g[name] - share * r[name] for name in g}


@dataclass
class AGEM(Rehearsal):
    """A-GEM takes the part out of a gradient that would raise the loss on remembered examples.

    It computes the gradient r of the loss on remembered examples, and trains on new ones with gradient g. Where
    g · r < 0 the step uses g − (g·r / r·r) r, which is orthogonal to r. The remembered examples only veto. They aren't
    trained on.

    Parameters
    ----------
    size : int, default 200
        Examples in the buffer, at least 0. With 0 this is naive training.
    batch_size : int, default 32
        Remembered examples per step, at least 0. The paper takes 128 to 256 for r, more than it trains on.
    keep : {"reservoir", "balanced"}, default "reservoir"
        Which examples stay in a full buffer, see `Replay`.

    Attributes
    ----------
    rows : list of dict
        The remembered examples.
    bytes : float
        Memory of the buffer.

    Raises
    ------
    ValueError
        If `size` or `batch_size` is negative, if `keep` is unknown, or if `keep` is "balanced" and the labels are not
        classes.

    Notes
    -----
    The guarantee is about plain gradient descent with small steps. AdamW scales each weight by itself, so its step
    isn't orthogonal to r. The loss in the history is the sum of both terms.

    References
    ----------
    Chaudhry et al. (2019), Efficient Lifelong Learning with A-GEM, ICLR, arXiv:1812.00420.

    Examples
    --------
    >>> g, r = {"w": torch.tensor([1.0, 1.0])}, {"w": torch.tensor([-2.0, 0.0])}
    >>> strategies.AGEM().gradient({"loss": g, "memory": r}, {})["w"]  # no part along r is left
    tensor([0., 1.])
    """

    def batches(self, loaders: dict) -> Iterator[list[dict]]:
        for batch in self.new(loaders):
            yield [batch, *_as_term("memory", self.draw())]

    def gradient(self, grads: dict[str, dict[str, Tensor]], losses: dict[str, float]) -> dict[str, Tensor]:
        return project(grads["loss"], grads["memory"]) if "memory" in grads else grads["loss"]


# ---- dark experience replay


@dataclass
class DERpp(Rehearsal):
    """DER++ trains on remembered labels and on the logits that the model gave for remembered examples.

    The loss is loss(new) + alpha · mean (f(x) − z)² + beta · loss(old). Each of the last two has remembered examples of
    its own. z are the K logits that were stored with an example. They hold more of the old model than its label does.

    Parameters
    ----------
    size : int, default 200
        Examples in the buffer, at least 0. With 0 this is naive training.
    batch_size : int, default 32
        Remembered examples per step in each of the two terms, at least 0.
    keep : {"reservoir", "balanced"}, default "reservoir"
        Which examples stay in a full buffer, see `Replay`.
    alpha : float, default 0.5
        Weight of the logits' mean squared error, at least 0. With 0 there is no such term.
    beta : float, default 0.5
        Weight of the mean loss on remembered labels, at least 0. With 0 this is DER.

    Attributes
    ----------
    rows : list of dict
        The remembered examples with their "logits".
    bytes : float
        Memory of the buffer.

    Raises
    ------
    ValueError
        If `size`, `batch_size`, `alpha` or `beta` is negative, if `keep` is unknown, if `keep` is "balanced" and the
        labels are not classes, or if the model is a language model.

    Notes
    -----
    The logits are those of the model at the end of the task, in evaluation mode, as in the library Avalanche. In the
    paper they are those of the step in which an example came. Its formula has the squared norm, and its code the mean
    over K, as here.

    References
    ----------
    Buzzega et al. (2020), Dark Experience for General Continual Learning, NeurIPS, arXiv:2004.07211.

    Examples
    --------
    >>> strategy = strategies.DERpp(size=10)
    >>> model, _ = ftlib.fit(model, train, strategy, steps=2, lr=0.01, verbose=False)  # the first task
    >>> strategy.rows[0]["logits"].shape
    torch.Size([3])
    >>> _, history = ftlib.fit(model, train, strategy, steps=1, lr=0.01, verbose=False)  # the second task
    >>> sorted(history[0]["terms"])
    ['labels', 'logits', 'loss']
    """

    alpha: float = 0.5
    beta: float = 0.5
    exclusive = (TARGETS,)

    def __post_init__(self):
        super().__post_init__()
        if self.alpha < 0 or self.beta < 0:
            raise ValueError(
                f"alpha and beta must not be negative, but they are {self.alpha} and {self.beta}: with 0 a term is "
                f"left out"
            )

    def prepare(self, model: nn.Module) -> nn.Module:
        if getattr(model, "kind", None) == "lm":
            raise ValueError("DERpp stores the logits of classes, but this is a language model: take Replay")
        return super().prepare(model)

    def batches(self, loaders: dict) -> Iterator[list[dict]]:
        for batch in self.new(loaders):
            logits = _as_term("logits", self.draw()) if self.alpha else []
            labels = _as_term("labels", self.draw()) if self.beta else []
            yield [batch, *logits, *labels]

    def loss(self, model: nn.Module, batch: dict) -> dict[str, Tensor]:
        (term,) = batch["n"]
        if term == "logits":
            error = (model(batch).float() - batch["logits"].float()).square()  # (M, K)
            return {term: self.alpha * error.mean(1).sum()}
        value = target_loss(model(batch), batch["labels"])
        return {term: self.beta * value if term == "labels" else value}

    @torch.no_grad()
    def finish(self, model: nn.Module, loaders: dict) -> None:
        super().finish(model, loaders)
        device = next(model.parameters()).device
        new = [row for row in self.rows if "logits" not in row]
        for at in range(0, len(new), 64):
            some = new[at : at + 64]
            for row, logits in zip(some, model(send_to_device(stacked(some), device)).cpu(), strict=True):
                row["logits"] = logits.clone()
        self.bytes = self.size_in_bytes()


def _as_term(name: str, rows: list[dict]) -> list[dict]:
    """The rows as a batch whose loss has this name; no batch where there are none."""
    return [{**(batch := stacked(rows)), "n": {name: count_targets(batch["labels"])}}] if rows else []
