"""A task: what goes in, what should come out, which examples are kept apart, and how success is counted.

Learn on `train`, choose on `validation`, read `test` once: `Task.reads` counts the passes over each. A
loader gives whole batches, {"pixels"} or {"input_ids", "attention_mask"} with "labels", "index" and the
name of the "task". Texts of similar length share a batch, because a batch is padded to its longest row, and
padding costs as much as words do.

Letters: N examples of a split, B of a batch, T tokens, K classes, C channels, S pixels a side.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from warnings import warn

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from ftlib.io.refusals import whole_number
from ftlib.tasks.checks import SEEDS, choose, count_cut, flag, read_inputs, read_labels
from ftlib.tasks.report import Report

SPLITS = ("train", "validation", "test")
IGNORED = -100  # a position of a language model's labels that is not counted
CUT = 0.01  # of a split: where more texts lose their end, it is said
CHUNK = 50  # batches whose texts are sorted by length together: more save padding, fewer mix better
SHOWN = 10  # missing classes named in a warning


@dataclass
class Split:
    """The examples of one split.

    Parameters
    ----------
    inputs : Tensor of shape (N, C, H, W), or list of N str
        Images with 1 or 3 channels, as uint8 in 0..255 or as floats in 0..1. Or texts.
    labels : Tensor of shape (N,) or (N, K)
        Class numbers (N,), class probabilities (N, K), or float targets (N,) where `classes` is 1.
    classes : int
        K, the number of classes. 1 for a regression.
    columns : dict of str to Tensor or list, optional
        More columns of N rows. Tensors travel in every batch, lists of strings stay here.
    index : Tensor of int, shape (N,), optional
        Rows in the whole data set, the same for every seed. By default 0 to N - 1.
    groups : Tensor of int, shape (N,), optional
        Rows with equal numbers belong together, such as the cells of one solar module. By default each is on its own.

    Raises
    ------
    ValueError
        If a value is out of range or a column has another length. The sentence names the first wrong row.

    Notes
    -----
    Whatever needs no guess is accepted: arrays, lists, columns of pandas, labels of any kind of whole number.

    Examples
    --------
    >>> split = Split(["good", "bad", "fine"], [1, 0, 1], classes=2)
    >>> len(split), split.labels
    (3, tensor([1, 0, 1]))
    >>> split.take(np.array([1])).inputs
    ['bad']
    """

    inputs: Tensor | list[str]  # (N, C, S, S), uint8 in 0..255 or floats in 0..1; or N texts
    labels: Tensor  # class numbers (N,), class probabilities (N, K), or float targets (N,) where classes is 1
    classes: int
    columns: dict[str, Tensor | list[str]] = field(default_factory=dict)
    index: Tensor | None = None  # (N,) rows in the whole data set, the same for every seed
    groups: Tensor | None = None  # (N,) rows of equal number belong together; by default each is on its own

    def __post_init__(self):
        self.classes = whole_number("classes", self.classes, 1)
        self.inputs, self.labels = read_inputs(self.inputs), read_labels(self.labels, self.classes)
        self.index = torch.arange(len(self.labels)) if self.index is None else torch.as_tensor(self.index)
        self.groups = self.index if self.groups is None else torch.as_tensor(self.groups)
        lengths = {name: len(getattr(self, name)) for name in ("inputs", "labels", "index", "groups")}
        lengths |= {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a split must be equally long, but they have {lengths} rows")
        if not len(self):
            raise ValueError("a split needs at least one example, but this one is empty: choose other data")

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: np.ndarray) -> "Split":
        """These rows only."""

        def pick(column):
            return [column[i] for i in rows] if isinstance(column, list) else column[torch.from_numpy(rows)]

        columns = {name: pick(column) for name, column in self.columns.items()}
        index, groups = pick(self.index), pick(self.groups)
        return Split(pick(self.inputs), pick(self.labels), self.classes, columns, index, groups)


@dataclass
class Task:
    """A question to data: splits with a name and a metric.

    Parameters
    ----------
    name : str
        Name of the task, for messages and records.
    kind : {"image", "text", "lm"}
        What goes in. "lm" is a text that a language model continues.
    labels : list of str
        Class names. Empty for a regression and for a language model.
    metric : str
        The score by which runs are chosen and judged, see `ftlib.metrics`. Higher is better.
    splits : dict of str to Split
        Usually train, validation and test.
    options : dict, optional
        The options that it was loaded with.
    max_length : int, default 96
        Tokens per text. What is longer loses its end.
    encode : callable, optional
        (split, tokenizer, max_length) to rows of tokens. By default the texts alone.
    reads : Counter, optional
        How often each split has been read.
    encoded : dict, optional
        Token columns that are made already, for each split and tokenizer.
    cut : dict of str to int, optional
        Number of texts of a split that lost their end, when last encoded.
    digest : str, default ""
        Of own data, the hash of all rows. Other data have another one.
    report : Report, optional
        Of own data, what was left out and noticed, see `ftlib.tasks.report`.
    safe : list of str, optional
        Of own data, the user's answer which changes keep the labels true. See `strategies.augmentation.policy`.
    portion : str, default ""
        Which portion of a larger task this is, see `ftlib.tasks.portion`.
    questions : dict of str to list of str, optional
        What else its examples can be asked, see `ftlib.tasks.question`: {column: class names}. A number has none.
    question : str, default ""
        Which question of another task this is.
    head : str, default ""
        Which head of a model with several answers it. By default the one that is called as the task. Portions and
        corrupted images have the head of the task that they come from.

    Raises
    ------
    ValueError
        If `kind` or `max_length` cannot be.

    Warns
    -----
    UserWarning
        If validation or test has no example of a class.

    Examples
    --------
    >>> part = Split(torch.rand(6, 1, 8, 8), [0, 1, 0, 1, 0, 1], classes=2)
    >>> task = Task("mine", "image", ["intact", "broken"], "accuracy", {"train": part, "validation": part})
    >>> batch = next(iter(task.loader("train", batch_size=4)))
    >>> batch["pixels"].shape, batch["labels"]
    (torch.Size([4, 1, 8, 8]), tensor([0, 1, 0, 1]))
    """

    name: str
    kind: str  # "image", "text" or "lm"
    labels: list[str]  # class names; none for a regression
    metric: str  # what a run is chosen and judged by; higher is better
    splits: dict[str, Split]
    options: dict = field(default_factory=dict)
    max_length: int = 96  # tokens a text; enough for all but a few in a thousand of the kit's own texts
    encode: Callable | None = None  # (split, tokenizer, max_length) -> token rows; by default the texts alone
    reads: Counter = field(default_factory=Counter)
    encoded: dict = field(default_factory=dict, repr=False)  # token columns, once a split and tokenizer
    cut: dict[str, int] = field(default_factory=dict)  # split -> its texts that lost their end, when last encoded
    digest: str = ""  # of own data: a record says on which data it was made
    report: Report | None = field(default=None, repr=False)
    safe: list[str] | None = None  # changes that keep the labels of own data true; None: nobody was asked
    portion: str = ""  # of a larger task, see tasks.portions: then classes may lack
    questions: dict[str, list[str]] = field(default_factory=dict)  # column -> class names; none for a number
    question: str = ""  # of another task, see tasks.questions
    head: str = ""  # batch["task"]: the name without portion and corruption, since no batch may tell these

    def __post_init__(self):
        choose("kind", self.kind, ("image", "text", "lm"))
        self.head = self.head or self.name
        self.max_length = whole_number("max_length", self.max_length, 1, unit="tokens")
        self.say_lacking()

    @property
    def lacking(self) -> dict[str, list[str]]:
        """{split: classes of which it has no example}; empty where every split has all classes."""
        counts = {}
        for name, part in self.splits.items():
            if self.labels and part.classes == len(self.labels):
                soft = part.labels.is_floating_point()
                counts[name] = part.labels.sum(0) if soft else part.labels.bincount(minlength=part.classes)
        lacking = {name: [self.labels[k] for k, c in enumerate(count) if not c] for name, count in counts.items()}
        return {name: classes for name, classes in lacking.items() if classes}

    def say_lacking(self) -> None:
        """Warn where a split that measures has no example of a class: its score says nothing of that class."""
        for name, classes in ({} if self.portion else self.lacking).items():
            if name != "train":  # a small n may leave a class out; `lacking` tells
                more = f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
                warn(
                    f"{name} of {self.name} has no example of {', '.join(map(str, classes[:SHOWN]))}{more}, so its "
                    f"scores say nothing of that: take another seed or more examples, or split by class",
                    stacklevel=4,
                )

    @property
    def outputs(self) -> int:
        """How many numbers a head gives: one a class, or a single one for a regression."""
        return len(self.labels) or 1

    def loader(
        self,
        split: str,
        *,
        tokenizer=None,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        max_length: int | None = None,
    ) -> DataLoader:
        """Give the batches of a split.

        Parameters
        ----------
        split : str
            Name of the split. Each pass over it counts in `reads`.
        tokenizer : optional
            The model's tokenizer. Texts need it.
        batch_size : int, default 32
            B, examples per batch. The last batch may be smaller.
        shuffle : bool, default False
            Draw another order in each pass. `loader.generator` draws it and may be seeded anew before any pass.
        seed : int, default 0
            Seed of that generator.
        max_length : int, optional
            Tokens per text. By default the task's.

        Returns
        -------
        DataLoader
            Batches with "labels" (B,), "index" (B,), "pixels" (B, C, S, S) in 0..1 or "input_ids" and "attention_mask"
            (B, T), and "task", the name of the head that answers. Texts are sorted by length, and "index" says which
            row is where. len(loader) counts batches.

        Raises
        ------
        ValueError
            If the split or a number cannot be, or a tokenizer is missing.
        """
        part = self.splits[choose("split", split, list(self.splits))]
        batch_size, seed = whole_number("batch_size", batch_size, 1), whole_number("seed", seed, 0, SEEDS)
        length = self.max_length if max_length is None else whole_number("max_length", max_length, 1, unit="tokens")
        shuffle = flag("shuffle", shuffle)
        columns = {"labels": part.labels, "index": part.index}
        columns |= {name: column for name, column in part.columns.items() if isinstance(column, Tensor)}
        tokens, lengths = {}, None
        if self.kind == "image":
            columns["pixels"] = part.inputs
        elif tokenizer is None:
            raise ValueError(f"{self.name} is made of texts: its loader needs a tokenizer (model.tokenizer)")
        else:
            tokens, lengths = self._tokens(split, tokenizer, length)
        generator = torch.Generator().manual_seed(seed)
        drawn = generator if shuffle else None
        order = Order(len(part), batch_size, drawn, lengths, started=lambda: self.reads.update([split]))
        data = Batches(columns, tokens, lengths, self.head)
        return DataLoader(data, batch_size=None, sampler=order, generator=generator)

    def _tokens(self, split: str, tokenizer, max_length: int) -> tuple[dict[str, Tensor], Tensor]:
        """Token columns (N, T), padded on the right, and the lengths (N,)."""
        key = (split, id(tokenizer), max_length)
        if key not in self.encoded:
            rows = (self.encode or encode_texts)(self.splits[split], tokenizer, max_length)
            lengths = torch.tensor([len(ids) for ids in rows["input_ids"]])
            if not lengths.all():
                raise ValueError(
                    f"a text of {self.name}, {split}, has no token: row {int(lengths.argmin())} is empty, leave it out"
                )
            if (longest := int(lengths.max())) > (most := tokenizer.model_max_length):
                raise ValueError(
                    f"a text of {self.name}, {split}, has {longest:,} tokens, but the model of this tokenizer reads at "
                    f"most {most:,}: shorten it, or cut it with max_length"
                )
            if not self.encode:
                self._say_cut(split, rows["input_ids"], tokenizer, max_length)
            fill = {"input_ids": tokenizer.pad_token_id or 0, "labels": IGNORED}
            tokens = {k: pad_sequence([torch.tensor(r) for r in rows[k]], True, fill[k]) for k in rows}
            tokens["attention_mask"] = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
            self.encoded[key] = tokens, lengths, tokenizer  # kept alive: no other tokenizer gets its id
        return self.encoded[key][:2]

    def _say_cut(self, split: str, rows: list[list[int]], tokenizer, max_length: int) -> None:
        """Count the texts that lost their end; warn where that is more than a few, or makes texts equal."""
        cut, equal = count_cut(self.splits[split].inputs, rows, tokenizer, max_length)
        self.cut[split] = cut
        if equal or cut > max(1, CUT * len(rows)):
            then = f", and {equal} of them now equal another text" if equal else ""
            warn(
                f"{cut} of {len(rows)} texts of {self.name}, {split}, have more than {max_length} tokens and lost "
                f"their end{then}: raise max_length, of load_task or of the loader, to read more",
                stacklevel=4,
            )


def encode_texts(split: Split, tokenizer, max_length: int) -> dict[str, list[list[int]]]:
    """Texts as token numbers, with the tokenizer's own special tokens; what is longer loses its end."""
    if max_length <= (special := tokenizer.num_special_tokens_to_add()):
        raise ValueError(f"max_length={max_length} leaves no room for words: use more than {special} tokens")
    out = tokenizer(split.inputs, truncation=True, max_length=max_length, padding=False)
    return {"input_ids": out["input_ids"]}


class Batches(Dataset):
    """Columns as whole batches: `self[rows]` indexes each tensor once, so no example is touched by Python."""

    fixed = True  # the same number is the same example in each pass: a subclass that changes them says so no more

    def __init__(self, columns: dict[str, Tensor], tokens: dict[str, Tensor], lengths: Tensor | None, task: str):
        self.columns, self.tokens, self.lengths, self.task = columns, tokens, lengths, task

    def __len__(self) -> int:
        return len(self.columns["index"])

    def __getitem__(self, rows: Tensor) -> dict[str, Tensor | str]:
        batch = {name: column[rows] for name, column in self.columns.items()}
        if "pixels" in batch and not batch["pixels"].is_floating_point():
            batch["pixels"] = batch["pixels"].float().div_(255)  # (B, C, S, S) in 0..1
        if self.tokens:
            longest = int(self.lengths[rows].max())
            batch |= {name: column[rows, :longest] for name, column in self.tokens.items()}  # (B, T)
        return {**batch, "task": self.task}


class Order(Sampler):
    """The rows of each batch of a pass; `started` is called when a pass begins."""

    def __init__(self, size: int, batch_size: int, generator, lengths: Tensor | None, started: Callable):
        self.size, self.batch_size, self.generator = size, batch_size, generator
        self.lengths, self.started = lengths, started

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        self.started()
        return iter(batch_rows(self.size, self.batch_size, self.generator, self.lengths))

    def in_order(self) -> list[Tensor]:
        """The rows of each batch of a pass that is not shuffled; it counts as no pass."""
        return batch_rows(self.size, self.batch_size, None, self.lengths)


def batch_rows(size: int, batch_size: int, generator=None, lengths: Tensor | None = None) -> list[Tensor]:
    """One pass: every row once. A generator shuffles; `lengths` puts similar ones into one batch."""
    rows = torch.arange(size) if generator is None else torch.randperm(size, generator=generator)
    if lengths is None:
        return list(rows.split(batch_size))
    few = max(size // (4 * batch_size), 1)  # at least four chunks, or small data would give the same batches each pass
    chunks = rows.split(size if generator is None else min(CHUNK, few) * batch_size)
    batches = torch.cat([rows[lengths[rows].argsort(stable=True)] for rows in chunks]).split(batch_size)
    if generator is None:
        return list(batches)
    return [batches[i] for i in torch.randperm(len(batches), generator=generator)]
