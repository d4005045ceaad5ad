"""Tasks: real data with a question, honest splits and a metric. One file a data set.

`load("elpv/mono", seed=3, n=200)` always gives the same 200 training cells.
"""

import inspect
from dataclasses import replace
from pathlib import Path

import torch

from ftlib.io.refusals import nearest, whole_number
from ftlib.tasks import chats, digits, elpv, fashion, folder, instructions, sentiment, table
from ftlib.tasks.checks import SEEDS, flag
from ftlib.tasks.corruptions import NAMES, corrupt, known
from ftlib.tasks.own import example, own_path
from ftlib.tasks.portions import cut_name, portion
from ftlib.tasks.questions import AGAIN, PERMUTED, add_controls, cut_question, is_control, question, without_control
from ftlib.tasks.report import Report
from ftlib.tasks.splits import subsample, subset_by_class_counts
from ftlib.tasks.task import IGNORED, SPLITS, Split, Task

CATALOG = {  # family -> its module, which has DOMAINS and load(domain, seed, n, **options)
    "elpv": elpv,
    "sentiment": sentiment,
    "digits": digits,
    "instructions": instructions,
    "fashion": fashion,
}
OWN = {"folder": folder, "table": table, "chats": chats}  # the user's own data, "folder:PATH"
OPTIONS = ("seed", "n", "held_out", "shuffled", "max_length", "controls")  # of every family
__all__ = ["CATALOG", "IGNORED", "OWN", "SPLITS", "Report", "Split", "Task", "cut_name", "example", "load", "names"]
__all__ += ["cut_question", "parse", "portion", "question", "questions_of", "without_control"]


def names() -> list[str]:
    """List every name that `load` knows.

    Returns
    -------
    list of str
        Each family, then its domains.

    Examples
    --------
    >>> names()[:4]
    ['elpv', 'elpv/mono', 'elpv/poly', 'sentiment']
    """
    return [name for f, module in CATALOG.items() for name in (f, *(f"{f}/{d}" for d in module.DOMAINS))]


def questions_of(name: str) -> list[str]:
    """List what the examples of a task of the kit can be asked, as "type" in "elpv@type".

    Parameters
    ----------
    name : str
        As `names` gives it.

    Returns
    -------
    list of str
        With the questions of control experiments. A domain may have fewer of them.

    Examples
    --------
    >>> questions_of("elpv")
    ['type', 'probability', 'type~permuted', 'probability~permuted', 'again']
    """
    own = list(getattr(CATALOG.get(name.partition("/")[0]), "QUESTIONS", {}))
    return [*own, *(which + PERMUTED for which in own), AGAIN]


def parse(name: str) -> tuple[str, str, str]:
    """Take a task's name apart.

    Parameters
    ----------
    name : str
        As `load` takes it. The path of own data may hold any character.

    Returns
    -------
    family : str
    domain : str
        The domain, or the path of own data, or "".
    corruption : str
        Behind the last +, or "".

    Raises
    ------
    ValueError
        If there is no such task.

    Examples
    --------
    >>> parse("elpv/mono+noise3"), parse("folder:my+photos")
    (('elpv', 'mono', 'noise3'), ('folder', 'my+photos', ''))
    """
    family, _, path = name.partition(":") if isinstance(name, str) else (name, "", "")
    if family in OWN:
        if not path:
            raise ValueError(f"{family} needs a path: load_task({family!r}, path=…), or the name {family + ':PATH'!r}")
        before, plus, last = path.rpartition("+")
        return (family, before, last) if plus and before and last in NAMES else (family, path, "")
    plain, plus, corruption = name.partition("+") if isinstance(name, str) else (name, "", "")
    if plain not in names():
        own = " or, of your own data, " + ", ".join(f"{kind}:PATH" for kind in OWN)
        near = nearest(plain, [*names(), *OWN])
        raise ValueError(f"there is no task {plain!r}: choose one of {', '.join(names())}{own}{near}")
    if plus:
        known(corruption)
    family, _, domain = plain.partition("/")
    return family, domain, corruption


def load(
    name: str,
    *,
    path: str | Path | None = None,
    seed: int = 0,
    n: int | list[int] | None = None,
    held_out: int | None = None,
    shuffled: bool = False,
    max_length: int | None = None,
    controls: bool = False,
    **options,
) -> Task:
    """Load a task by name: its examples in three splits, its classes and its metric.

    Parameters
    ----------
    name : str
        A family with all its domains ("elpv") or one domain of it ("elpv/mono"). A suffix corrupts the images of all
        splits: "elpv+noise3" has noise of strength 3, see `ftlib.tasks.corruptions`. Brackets keep a portion, such as
        the classes in "digits/mnist[0,1]" or the second of five random portions in "elpv[2/5]", see `portion`. An @ at
        the end asks the same examples another question, "elpv@type", see `question`. "folder", "table" and "chats" are
        the user's own data, and "folder:photos" is short for `path="photos"`.
    path : str or Path, optional
        Of own data. "folder": a folder with one folder of images per class. "table": a CSV, TSV, JSONL or Parquet file
        with a column of texts and one of labels. "chats": JSON lines with instructions, messages or conversations.
    seed : int, default 0
        Fixes the splits and the subset.
    n : int or list of int, optional
        Number of training examples, with the classes in their shares. A list sets the number for each class, as a label
        shift of known size. By default all.
    held_out : int, optional
        Keep at most this many examples of validation and of test, where a large model makes every example dear. By
        default all.
    shuffled : bool, default False
        Put the training labels in random order. Nothing in the data helps to fit them, so this tests what a model can
        memorise [1]_.
    max_length : int, optional
        Tokens per text. What is longer loses its end. By default 96.
    controls : bool, default False
        Add two questions for control experiments, such as "type~permuted" and "again", see `ftlib.tasks.questions`.
    **options
        Options of the family, see `load` in its file. Images have `size`. Own data have `group`, which names what
        belongs together.

    Returns
    -------
    Task
        The same examples each time for the same arguments.

    Raises
    ------
    ValueError
        If a name, an option or a number cannot be, or own data cannot be learned from.
    FileNotFoundError
        If nothing is at `path`.
    ftlib.assets.AssetError
        If the data has not been fetched.

    References
    ----------
    .. [1] Zhang et al., "Understanding deep learning requires rethinking generalization", ICLR 2017, arXiv:1611.03530.

    Examples
    --------
    >>> task = ftlib.load_task("digits/mnist", seed=0, n=100)
    >>> {name: len(split) for name, split in task.splits.items()}
    {'train': 100, 'validation': 563, 'test': 1250}
    >>> task.metric, task.outputs
    ('accuracy', 10)
    """
    which, (name, asked) = "", cut_question(name, options.get("label"))
    if path is None:
        if isinstance(name, str) and name.partition(":")[0] not in OWN:  # the path of own data may hold brackets
            name, which = cut_name(name)
        family, domain, corruption = parse(name)
    elif name in OWN:
        family, domain, corruption = name, own_path(path), ""
    else:
        raise ValueError(f"path belongs to own data, {', '.join(OWN)}, but the task is {name!r}: leave path out")
    module, controls = (CATALOG | OWN)[family], flag("controls", controls) or is_control(asked)
    own = list(inspect.signature(module.load).parameters)[3:]  # after domain or path, seed, n
    for unknown in sorted(set(options) - set(own)):
        like = nearest(unknown, [*own, *OPTIONS])
        raise ValueError(f"{family} has no option {unknown}: its options are {', '.join(own) or 'none'}{like}")
    each = isinstance(n, list | tuple)  # so many of each class
    seed, shuffled = whole_number("seed", seed, 0, SEEDS), flag("shuffled", shuffled)
    if each:
        n = [whole_number(f"n[{k}]", count, 0) for k, count in enumerate(n)]
    elif n is not None:
        n = whole_number("n", n, 1, unit="training examples")
    if held_out is not None:
        held_out = whole_number("held_out", held_out, 1, unit="examples")
    if max_length is not None:
        max_length = whole_number("max_length", max_length, 1, unit="tokens")
    task = module.load(domain or None, seed=seed, n=None if each else n, **options)
    if each:
        task.splits["train"] = subset_by_class_counts(task.splits["train"], n, seed)
    if corruption:
        if task.kind != "image":
            raise ValueError(f"{task.name} has no pictures to corrupt: leave out the part from + on")
        for name_of, part in task.splits.items():
            task.splits[name_of] = replace(part, inputs=corrupt(part.inputs, part.index, corruption))
        task.name = f"{task.name}+{corruption}"
    if held_out is not None:
        for name_of in ("validation", "test"):
            task.splits[name_of] = subsample(task.splits[name_of], held_out, seed)
        task.options["held_out"] = held_out
        task.say_lacking()
    if max_length is not None:
        if task.kind == "image":
            raise ValueError(f"{family} has pictures, which have no tokens to count: leave max_length out")
        task.max_length = task.options["max_length"] = max_length
    if shuffled:
        if asked:
            raise ValueError(
                f"shuffled=True permutes the labels of {task.name} itself: ask it for {asked + PERMUTED!r}"
            )
        if task.kind == "lm":
            raise ValueError(f"{family} has answers instead of labels: shuffled=True needs a task with labels")
        train = task.splits["train"]
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        task.splits["train"] = replace(train, labels=train.labels[order])
        task.options["shuffled"] = True
    task = portion(task, which, seed) if which else task
    if controls:
        add_controls(task, seed)
    return question(task, asked) if asked else task
