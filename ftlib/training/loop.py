"""fit(): the only training loop of the kit. (The only evaluation is in ftlib.training.scoring.)

The loop draws a window of batches, counts its targets, adds up the gradients of Σ loss / n + penalty, and takes one
AdamW step. Everything that differs between strategies happens in the ten slots of `strategy.Strategy`. Read it from top
to bottom: `fit` is the loop, `one_step` is one update of the weights, `_backward` is its gradient.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from accelerate.utils import broadcast, gather_object
from torch import Tensor, nn

from ftlib.networks import walk
from ftlib.strategy import Strategy, owners
from ftlib.training.arguments import explain_moved, refuse_arguments, refuse_labels, refuse_loaders, with_n
from ftlib.training.checkpoint import Checkpoint, SavedRun, as_checkpoint
from ftlib.training.feature_tables import shared
from ftlib.training.frozen_features import FrozenFeatureCache
from ftlib.training.machine import Clock, autocast, clear_memory_error, memory_in_use, to_device
from ftlib.training.restore import settings_restored
from ftlib.training.scoring import count_parameters, evaluate, predict_logits
from ftlib.training.setup import Hardware, Run, announce, noted, progress_bar, set_up
from ftlib.training.stream import preserve_rng, stream
from ftlib.training.validation import Validation, as_validation

__all__ = ["Checkpoint", "Validation", "count_parameters", "evaluate", "fit", "predict_logits"]


@explain_moved
def fit(
    model: nn.Module,
    loaders,
    strategy: Strategy,
    *,
    steps: int,
    lr: float,
    seed: int = 0,
    accumulate: int = 1,
    weight_decay: float = 0.01,
    max_norm: float = 1.0,
    precision: str = "auto",
    cache: bool = True,
    validation: Validation | Callable[[nn.Module], dict] | None = None,
    checkpoint: Checkpoint | str | Path | None = None,
    verbose: bool = True,
) -> tuple[nn.Module, list[dict]]:
    """Fine-tune a model with a strategy for a number of steps.

    Parameters
    ----------
    model : torch.nn.Module
        The model to train. It is changed in place.
    loaders : loader or dict
        ``{name: loader}``, or a single loader, which is called "train". A loader gives batches (see
        `ftlib.strategy.Batch`) and can be read again and again.
    strategy : Strategy
        The method. `ftlib.combine` makes one of several.
    steps : int
        Updates of the weights.
    lr : float
        The peak learning rate of AdamW.
    seed : int, default 0
        Decides the order of the examples and every random draw of the training.
    accumulate : int, default 1
        Batches that share a step.
    weight_decay : float, default 0.01
        AdamW's pull of the weights towards 0.
    max_norm : float, default 1.0
        The gradient is clipped to this length. ``math.inf`` clips nothing.
    precision : {"auto", "float32", "bfloat16"}, default "auto"
        The number format of the forward pass. "auto" takes the fastest that is safe here.
    cache : bool, default True
        Whether the output of frozen first stages is computed once per example. It changes the result by rounding at
        most.
    validation : Validation or callable, optional
        What is scored between steps, how often, and early stopping. A function stands for ``Validation(function)``.
    checkpoint : Checkpoint, str or Path, optional
        The file for the state of the run. A killed run that is called again with the same arguments goes on from there
        and ends in the same weights (up to rounding where frozen stages are cached).
    verbose : bool, default True
        Whether to print what is trained and show progress.

    Returns
    -------
    model : torch.nn.Module
        The trained model in evaluation mode, with the weights of the last step or, after early stopping, the best ones.
    history : list of dict
        One row per step: "step", "loss", "terms", "penalty", "trainable" (parameters), "grad_norm", "lr", "seconds" (of
        each part of the step), "memory" (bytes), and "validation" where the model was scored.

    Raises
    ------
    TypeError, ValueError
        Before the first step, if an argument can't be used.
    FloatingPointError
        If the loss is not finite. The message names the step and the examples.
    MemoryError
        If a batch doesn't fit in memory.

    Notes
    -----
    Settings that a strategy makes for the run, such as frozen weights, are undone however the run ends. An error, or
    Ctrl-C, carries the rows so far as its attribute `history`.

    Examples
    --------
    >>> model, history = ftlib.fit(model, train, strategies.LinearProbe(), steps=20, lr=1e-2, verbose=False)
    >>> len(history), history[-1]["trainable"]
    (20, 51)
    >>> history[-1]["loss"] < history[0]["loss"]
    True
    """
    loaders = loaders if isinstance(loaders, dict) else {"train": loaders}
    numbers = {"steps": steps, "lr": lr, "seed": seed, "accumulate": accumulate, "weight_decay": weight_decay,
               "max_norm": max_norm}  # fmt: skip
    refuse_arguments(model, strategy, **numbers)
    refuse_loaders(loaders, strategy)
    validation, checkpoint = as_validation(validation), as_checkpoint(checkpoint)
    hardware, history, saved = Hardware(model, precision, verbose), [], None
    notes = noted(model, strategy, hardware, history, numbers)
    with settings_restored(model), history_kept(history), notes, shared() if cache else nullcontext():
        if checkpoint:
            arguments = {"strategy": strategy, **numbers, "precision": precision, "processes": hardware.world}
            saved = SavedRun(checkpoint.file, model, loaders, arguments, validation)
        run = set_up(model, strategy, hardware, history, validation, seed, lr, weight_decay)
        if saved:
            saved.resume(run)
        if run.done:
            return run.model.eval(), history
        announce(run, steps)
        if cache:
            batches = (steps - run.first) * accumulate if hardware.world == 1 else 0
            run.cache = FrozenFeatureCache(run.model, strategy, loaders, hardware.log, batches, verbose)
        batches = stream(strategy, loaders, seed, run.at)
        with progress_bar(run, steps) as bar:  # closed by an error and by Ctrl-C, too
            for step in bar:
                history.append(one_step(run, batches, step, steps, accumulate, max_norm))
                if validation and validation.due(step, steps) and validation.ends(run):
                    break
                if saved and (step + 1) % checkpoint.every == 0:
                    saved.write(run, step + 1)
        run.best.restore(run.model)
        with preserve_rng():
            strategy.finish(run.model.eval(), loaders)
        if saved:
            saved.write(run, steps, done=True)
        return run.model, history


def one_step(run: Run, batches: Iterator, step: int, steps: int, accumulate: int, max_norm: float) -> dict:
    """Update the weights once; the row of the history that says how it went."""
    model, strategy, clock = run.model, run.strategy, Clock(run.hardware.device)
    progress = (step + 0.5) / steps
    model.train()
    strategy.before_step(model, progress)
    for group, peak in zip(run.optimizer.param_groups, run.peaks, strict=True):
        group["lr"] = peak * strategy.lr_scale(progress)
    with clock("data"):
        window = draw(run, batches, accumulate)
        window = [strategy.transform(to_device(batch, run.hardware.device)) for batch in window]
    weights = {name: p for name, p in run.weights if p.requires_grad}
    row = {"step": step, **_backward(run, window, step, clock, weights)}
    with clock("optimizer"):
        row["grad_norm"] = nn.utils.clip_grad_norm_(weights.values(), max_norm).item()
        row["lr"] = max((group["lr"] for group in run.optimizer.param_groups), default=0.0)
        run.optimizer.step()
        run.optimizer.zero_grad()
        for module in walk(model) if run.hardware.world > 1 else ():
            for buffer in module.buffers(recurse=False) if module.training else ():  # no other moves
                broadcast(buffer)
    if run.cache:
        clock.seconds["forward"] += run.cache.settle()
    return {**row, "seconds": dict(clock.seconds), "memory": memory_in_use(run.hardware.device)}


def draw(run: Run, batches: Iterator, accumulate: int) -> list[dict]:
    """The batches of one step. Each process draws those of all, and keeps its turns."""
    me, world = run.hardware.me, run.hardware.world
    drawn = [next(batches) for _ in range(accumulate * world)]
    run.at = drawn[-1][0]
    return [with_n(batch) for _, items in drawn[me::world] for batch in items]


@contextmanager
def history_kept(history: list[dict]) -> Iterator[None]:
    """Whatever ends the block, Ctrl-C too, carries the history so far: a run that broke can still be read."""
    try:
        yield
    except BaseException as error:
        error.history = history
        raise


def _backward(run: Run, window: list[dict], step: int, clock: Clock, weights: dict[str, Tensor]) -> dict:
    """Fill .grad of the weights with the gradient of Σ terms / n + penalty; n counts the whole window on all processes.

    Returns {"loss": the sum of the terms, "terms": {name: value}, "penalty": value, "trainable": parameters trained}.
    """
    model, strategy, accelerator = run.model, run.strategy, run.hardware.accelerator
    everywhere, n = gather_object([batch["n"] for batch in window]), Counter()
    for counts in everywhere:
        n.update(counts)
    owned = bool(owners(strategy, "gradient"))
    values, grads = Counter(), {term: {} for term in sorted(n)}
    for batch in window:
        with clear_memory_error(batch), clock("forward"), autocast(model, run.hardware.dtype):
            batch = run.cache(batch) if run.cache else batch
            terms = _losses(model, strategy, batch)
            terms = {term: total / max(n[term], 1) for term, total in terms.items()}
            penalty = torch.as_tensor(strategy.penalty(model, batch)) / len(everywhere)
        for name, value in {**terms, "penalty": penalty}.items():
            if not torch.isfinite(value):
                examples = torch.as_tensor(batch.get("index", [])).tolist()
                refuse_labels(batch.get("labels"), examples)
                raise FloatingPointError(
                    f"step {step}: the {name} is {value.item()} on the examples {examples}: try a tenth of the "
                    f"learning rate, and look at these examples for broken values"
                )
            values[name] += value.item()
        with clear_memory_error(batch), clock("backward"):
            for term, value in terms.items() if owned else ():
                each = torch.autograd.grad(value, list(weights.values()), retain_graph=True, allow_unused=True)
                for name, g in zip(weights, each, strict=True):
                    if g is not None:
                        grads[term][name] = grads[term].get(name, 0) + g
            rest = penalty if owned else sum(terms.values()) + penalty
            if rest.requires_grad:
                rest.backward()
    total = _summed(accelerator, {name: p.grad for name, p in weights.items() if p.grad is not None}, weights)
    shown = Counter()  # the same numbers on every process, since stop() must agree
    for part in gather_object([values]):
        shown.update(part)
    penalty, terms = shown.pop("penalty"), dict(shown)
    if owned:
        grads = {term: _summed(accelerator, g, weights) for term, g in grads.items()}
        used = [name for name in weights if any(name in g for g in grads.values())]
        full = {t: {k: g.get(k, torch.zeros_like(weights[k])) for k in used} for t, g in grads.items()}
        update = strategy.gradient(full, terms)
        total = {k: update.get(k, 0) + total.get(k, 0) for k in weights if k in update or k in total}
    for name, p in weights.items():
        g = total.get(name)  # autograd.grad may lay it out otherwise, but fused AdamW reads both as they lie in memory
        p.grad = g if g is None or g.stride() == p.stride() else torch.empty_like(p).copy_(g)
    trained = sum(p.numel() for p in weights.values())
    return {"loss": sum(terms.values()), "terms": terms, "penalty": penalty, "trainable": trained}


def _losses(model: nn.Module, strategy: Strategy, batch: dict) -> dict[str, Tensor]:
    """The strategy's terms. One example alone has no variance: BatchNorm, where it sees 1 x 1, keeps its statistics."""
    try:
        return strategy.loss(model, batch)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    for norm in norms:
        norm.eval()
    try:
        return strategy.loss(model, batch)
    finally:
        for norm in norms:
            norm.train()


def _summed(accelerator, grads, weights) -> dict[str, Tensor]:
    """Gradients added up over the processes; a parameter that no process used stays out."""
    if accelerator.num_processes == 1:
        return grads
    used = set(gather_object(list(grads)))  # all processes reduce the same names in the same order
    return {
        k: accelerator.reduce(grads[k] if k in grads else torch.zeros_like(w), "sum")
        for k, w in weights.items()
        if k in used
    }
