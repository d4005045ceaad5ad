"""Checkpoints: written aside and renamed, read only by the run that wrote them.

A run is told apart by its arguments, by the weights that it starts from and by its data. The last two go into the file
as digests, so a loop over data sets with one file name is refused and not answered with the first one's model.
"""

import hashlib
import os
import pickle
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import gather_object, send_to_device
from torch import Tensor, nn

from ftlib.io.refusals import whole_number
from ftlib.io.writing import clear_leftovers, in_one_piece
from ftlib.training.setup import Run
from ftlib.training.stream import preserve_rng, rng_state, set_rng_state, set_seed

ROWS = 1000  # of a data set whose columns cannot be seen, at most so many rows are read, evenly spaced
# {model: {file: digest of what it started from}}: a cell that is run again hands over the same model, changed since.
STARTED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Checkpoint:
    """Where `fit` saves its state and how often, so a killed run goes on from there.

    Parameters
    ----------
    file : str or Path
        The file to write. A missing folder is made.
    every : int, default 100
        Steps between two writes. One more follows the last step.

    Raises
    ------
    TypeError
        If `file` is no path.
    ValueError
        If `every` is no whole number of at least 1.

    Notes
    -----
    Call `fit` again with the same arguments and it ends in the same weights as a run that nobody killed. A file of
    another run is refused. Two runs are the same if their arguments, their data and the weights that they start from
    are the same.

    Examples
    --------
    >>> saved = ftlib.Checkpoint(folder / "run.pt", every=2)
    >>> model, history = ftlib.fit(
    ...     model, train, strategies.Full(), steps=4, lr=1e-2, checkpoint=saved, verbose=False
    ... )
    >>> saved.file.exists()
    True
    """

    file: str | Path
    every: int = 100

    def __post_init__(self):
        if not isinstance(self.file, str | os.PathLike):
            raise TypeError(f"checkpoint must name a file, but it is {self.file!r}: give a path, as 'run.pt'")
        whole_number("every of Checkpoint", self.every, 1)


def as_checkpoint(given: "Checkpoint | str | Path | None") -> Checkpoint | None:
    """What `fit` got for `checkpoint`, in a folder that is there; a plain path stands for Checkpoint(path)."""
    if given is None:
        return None
    given = given if isinstance(given, Checkpoint) else Checkpoint(given)
    return replace(given, file=ready(given.file))


class SavedRun:
    """The checkpoint of one run: it writes the run's state, and gives it back to the same run only."""

    def __init__(self, file: Path, model: nn.Module, loaders: dict, arguments: dict, validation=None):
        """model: as `fit` was given it. arguments: the others on which the result depends."""
        self.file, self.given = file, model
        self.start = STARTED.get(model, {}).get(file) or digest_of_model(model)
        with preserve_rng():
            set_seed(arguments["seed"])
            data = digest_of_data(loaders)
        sizes = {name: len(loader) for name, loader in sorted(loaders.items()) if hasattr(loader, "__len__")}
        patience = validation.patience if validation else 0
        key = {**arguments, "patience": patience, "watch": validation.watch if patience else "", "batches": sizes,
               "the model's start": self.start, "the data": data}  # fmt: skip
        self.key = {name: str(value) for name, value in key.items()}

    def resume(self, run: Run) -> None:
        """Bring the run to where the file left it; without a file it stays at its beginning."""
        if self.file.exists():
            old = read_checkpoint(self.file, self.key)
            run.model.load_state_dict(old["model"])
            run.strategy.load_state_dict(send_to_device(old["strategy"], run.hardware.device))
            run.at, run.first, run.done = old["at"], old["step"], old["done"]
            run.history += old["history"]
            if not run.done:
                run.optimizer.load_state_dict(old["optimizer"])
                vars(run.best).update(old["best"])
                set_rng_state(old["rng"][run.hardware.me])  # last, since preparing draws numbers too
        STARTED.setdefault(self.given, {})[self.file] = self.start

    def write(self, run: Run, step: int, done: bool = False) -> None:
        """Save the state after `step` steps."""
        state = {
            "key": self.key, "step": step, "done": done, "at": run.at, "history": run.history,
            "model": run.model.state_dict(), "optimizer": {} if done else run.optimizer.state_dict(),
            "strategy": run.strategy.state_dict(), "rng": gather_object([rng_state()]), "best": vars(run.best),
        }  # fmt: skip
        if run.hardware.accelerator.is_main_process:
            write_checkpoint(state, self.file)


def ready(file: str | Path) -> Path:
    """The path of a checkpoint, in a folder that is there; ValueError where none can be written."""
    file = Path(file)
    if file.is_dir():
        raise ValueError(f"checkpoint must name a file, but {file} is a folder: add a name, as {file / 'run.pt'}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the folder of the checkpoint {file} cannot be made ({error}): name another one") from None
    if not os.access(file.parent, os.W_OK):
        raise ValueError(f"the checkpoint {file} cannot be written, {file.parent} is read-only: name another folder")
    clear_leftovers(file)
    return file


def write_checkpoint(state: dict, file: Path) -> None:
    """Write it in one piece: a run that is killed meanwhile leaves the old checkpoint."""
    with in_one_piece(file) as part:
        torch.save(state, part)


def read_checkpoint(file: Path, key: dict[str, str]) -> dict:
    """The state that was saved, if it is of the run that `key` describes; else a ValueError that says what differs."""
    try:
        old = torch.load(file, map_location="cpu", weights_only=True)
        was = dict(old["key"])
    except (EOFError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"{file} is no checkpoint of fit, or an older version wrote it: delete it or name another file"
        ) from None
    if differs := [f"{k} was {was.get(k)} and is {key[k]}" for k in key if was.get(k) != key[k]]:
        raise ValueError(
            f"{file} is of another run: {'; '.join(differs)}. To go on with that run, call fit as then, with the model "
            f"as it was before its first step; for a new run delete the file or name another"
        )
    return old


@torch.no_grad()
def digest_of_model(model: nn.Module) -> str:
    """16 hex digits of the names and values of a model's tensors."""
    found = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        _feed(found, name, tensor)
    return found.hexdigest()


def digest_of_data(loaders: dict) -> str:
    """16 hex digits of what the loaders' data sets hold; of a loader without a data set, its length alone."""
    found = hashlib.blake2b(digest_size=8)
    for name, loader in sorted(loaders.items()):
        size = len(loader) if hasattr(loader, "__len__") else None
        rows = getattr(loader, "dataset", loader if isinstance(loader, list) else None)
        _feed(found, name, size)
        if hasattr(rows, "columns"):  # ours: whole columns
            _feed(found, rows.columns, rows.tokens)
        elif hasattr(rows, "__len__") and hasattr(rows, "__getitem__"):
            for i in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), ROWS)).astype(int)) if len(rows) else ():
                _feed(found, rows[int(i)])
    return found.hexdigest()


def _feed(found, *values) -> None:
    for value in values:
        if isinstance(value, Tensor):
            found.update(f"{value.dtype}{tuple(value.shape)}".encode())
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                _feed(found, str(key), value[key])
        elif isinstance(value, Iterable) and not isinstance(value, str | bytes | np.ndarray):
            _feed(found, *value)
        else:
            found.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
