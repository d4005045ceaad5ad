"""fit(): the only training loop of the kit. (The only evaluation is in ftlib.training.scoring.)

The loop draws a window of batches, counts its targets, adds up the gradients of Σ loss / n + penalty, and takes one
AdamW step. Everything that differs between strategies happens in the ten slots of `strategy.Strategy`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object, send_to_device, set_seed
from torch import Tensor, nn
from tqdm import tqdm

from ftlib.strategy import Strategy, owners, parts_of
from ftlib.training.arguments import plain_numbers, refuse_arguments, refuse_labels, refuse_loaders, with_n
from ftlib.training.checkpoint import STARTED, digest_of_data, digest_of_model, read_checkpoint, ready, write_checkpoint
from ftlib.training.early_stopping import BestWeights
from ftlib.training.frozen_features import FrozenFeatureCache
from ftlib.training.machine import (
    Clock,
    autocast,
    clear_memory_error,
    forget_peak,
    memory_in_use,
    resolve_precision,
    to_device,
)
from ftlib.training.restore import settings_restored
from ftlib.training.scoring import count_parameters, evaluate, predict_logits
from ftlib.training.stream import SEEDS, preserve_rng, rng_state, set_rng_state, stream

__all__ = ["count_parameters", "evaluate", "fit", "predict_logits"]


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
    validate: Callable[[nn.Module], dict] | None = None,
    stop: Callable[[list[dict]], bool] | None = None,
    patience: int = 0,
    watch: str = "nll",
    better: str = "lower",
    every: int = 50,
    cache: bool = True,
    checkpoint: str | Path | None = None,
    save_every: int = 100,
    verbose: bool = True,
) -> tuple[nn.Module, list[dict]]:
    """Train for `steps` updates and return (model, history), one row of the history a step.

    loaders: {name: loader}, or a single one, which is called "train". lr: the peak rate of AdamW. accumulate: items of
    the stream that share a step. max_norm: the gradient is clipped to this length. validate(model) -> {name: value}
    runs `every` so many steps and after the last; stop(history) -> True ends early. patience: early stopping, after so
    many validations in which the value called `watch` got no `better` ("lower" or "higher"); the weights of the best
    come back. cache: what frozen first stages give is computed once an example, which changes the result by rounding at
    most (see frozen_features). With `checkpoint` (a file) the state is written every `save_every` steps: killed at any
    moment and called again with the same arguments, `fit` ends in the same weights (up to rounding where frozen stages
    are kept).

    However it ends, what the run has set on the model besides its result is put back (see restore), and an error,
    or Ctrl-C, carries the `history` so far. Raises ValueError for bad input before the first step, FloatingPointError
    on a non-finite loss, and MemoryError if a batch does not fit.
    """
    loaders = loaders if isinstance(loaders, dict) else {"train": loaders}
    refuse_arguments(
        model, strategy, validate, stop, steps=steps, seed=seed, accumulate=accumulate, patience=patience, every=every,
        save_every=save_every, lr=lr, weight_decay=weight_decay, max_norm=max_norm,
    )  # fmt: skip
    refuse_loaders(loaders, strategy)
    if patience and not validate:
        raise ValueError("early stopping needs something to watch: give fit a `validate`, or patience=0")
    file, history, best = ready(checkpoint) if checkpoint else None, [], BestWeights(watch, better)
    accelerator = Accelerator()  # device and processes; number formats are ours, since it allows one a process
    me, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    kind = getattr(model, "kind", None)
    dtype = resolve_precision(precision, device, kind)
    forget_peak(device)
    layout = torch.channels_last if kind == "image" else torch.contiguous_format

    with settings_restored(model), history_kept(history):
        key = {}
        if file:
            given, start = model, STARTED.get(model, {}).get(file) or digest_of_model(model)
            with preserve_rng():
                set_seed(seed)
                data = digest_of_data(loaders)
            sizes = {name: len(loader) for name, loader in sorted(loaders.items()) if hasattr(loader, "__len__")}
            key = {"strategy": strategy, "steps": steps, "lr": lr, "seed": seed, "accumulate": accumulate,
                   "weight_decay": weight_decay, "max_norm": max_norm, "precision": precision, "processes": world,
                   "patience": patience, "watch": watch if patience else "", "batches": sizes,
                   "the model's start": start, "the data": data}  # fmt: skip
            key = {name: str(value) for name, value in key.items()}
        for part in parts_of(strategy):
            part.begin(model)
        set_seed(seed)
        model = strategy.prepare(model).to(device, memory_format=layout)
        for tensor in model.state_dict().values() if world > 1 else ():
            broadcast(tensor)
        optimizer, peaks = _optimizer(model, strategy, lr, weight_decay)
        optimizer.zero_grad()
        set_seed((seed + 1 + me) % SEEDS)  # dropout and mixup differ between processes
        at, first = (0, 0), 0

        def save(step: int, done: bool = False) -> None:
            state = {
                "key": key, "step": step, "done": done, "at": at, "history": history,
                "model": model.state_dict(), "optimizer": {} if done else optimizer.state_dict(),
                "strategy": strategy.state_dict(), "rng": gather_object([rng_state()]), "best": vars(best),
            }  # fmt: skip
            if accelerator.is_main_process:
                write_checkpoint(state, file)

        if file and file.exists():
            old = read_checkpoint(file, key)
            model.load_state_dict(old["model"])
            strategy.load_state_dict(send_to_device(old["strategy"], device))
            at, first = old["at"], old["step"]
            history += old["history"]
            if old["done"]:
                return model.eval(), history
            optimizer.load_state_dict(old["optimizer"])
            vars(best).update(old["best"])
        if file:
            STARTED.setdefault(given, {})[file] = start
        if verbose:
            trainable, total = count_parameters(model)
            accelerator.print(
                f"{strategy}: {device}, {str(dtype)[6:]}, {trainable:,} of {total:,} parameters trained, "
                f"steps {first + 1} to {steps}, peak rate {max(peaks, default=0):g}"
            )
        say = accelerator.print if verbose else lambda words: None
        frozen = FrozenFeatureCache(model, strategy, loaders, say) if cache else lambda batch: batch
        source = stream(strategy, loaders, seed, at)
        if first:
            set_rng_state(old["rng"][me])  # last, since preparing draws numbers too
        silent = not (verbose and accelerator.is_main_process)
        bar = tqdm(total=steps, initial=first, delay=2, leave=False, disable=silent)
        for step in range(first, steps):
            clock = Clock(device)
            progress = (step + 0.5) / steps
            model.train()
            strategy.before_step(model, progress)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * strategy.lr_scale(progress)
            with clock("data"):
                drawn = [next(source) for _ in range(accumulate * world)]  # each process draws all, keeps its turns
                at = drawn[-1][0]
                window = [with_n(batch) for _, items in drawn[me::world] for batch in items]
                window = [strategy.transform(to_device(batch, device)) for batch in window]
            row = {"step": step, **_backward(accelerator, model, strategy, window, step, dtype, clock, frozen)}
            with clock("optimizer"):
                row["grad_norm"] = nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()
                row["lr"] = max((group["lr"] for group in optimizer.param_groups), default=0.0)
                optimizer.step()
                optimizer.zero_grad()
                for module in model.modules() if world > 1 else ():
                    for buffer in module.buffers(recurse=False) if module.training else ():  # no other moves
                        broadcast(buffer)
            history.append({**row, "seconds": dict(clock.seconds), "memory": memory_in_use(device)})
            bar.update()
            if validate and ((step + 1) % every == 0 or step + 1 == steps):
                with preserve_rng():
                    history[-1]["validation"] = plain_numbers(validate(model.eval()))
                if patience:
                    best.update(history[-1]["validation"], model)
                if (patience and best.age >= patience) or (stop and stop(history)):
                    break
            if file and (step + 1) % save_every == 0:
                save(step + 1)
        bar.close()
        best.restore(model)
        with preserve_rng():
            strategy.finish(model.eval(), loaders)
        if file:
            save(steps, done=True)
        return model, history


@contextmanager
def history_kept(history: list[dict]) -> Iterator[None]:
    """Whatever ends the block, Ctrl-C too, carries the history so far: a run that broke can still be read."""
    try:
        yield
    except BaseException as error:
        error.history = history
        raise


def _backward(accelerator, model, strategy, window, step, dtype, clock, frozen) -> dict:
    """Fill .grad with the gradient of Σ terms / n + penalty; n counts the whole window on all processes.

    Returns {"loss": the sum of the terms, "terms": {name: value}, "penalty": value, "trainable": parameters trained}.
    """
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    everywhere, n = gather_object([batch["n"] for batch in window]), Counter()
    for counts in everywhere:
        n.update(counts)
    owned = bool(owners(strategy, "gradient"))
    values, grads = Counter(), {term: {} for term in sorted(n)}
    for batch in window:
        with clear_memory_error(batch), clock("forward"), autocast(model, dtype):
            batch = frozen(batch)
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
        p.grad = total.get(name)
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


def _optimizer(model, strategy, lr, weight_decay) -> tuple[torch.optim.Optimizer, list[float]]:
    """AdamW over the strategy's parameter groups, and the peak rate of each."""
    groups = strategy.groups([{"params": list(model.named_parameters()), "lr": lr, "weight_decay": weight_decay}])
    lost = {name for name, _ in model.named_parameters()} - {name for g in groups for name, _ in g["params"]}
    if lost:
        raise ValueError(f"groups() of {strategy} lost {sorted(lost)}: every parameter must stay in one group")
    optimizer = torch.optim.AdamW(groups, fused=True)  # one pass over each tensor: seven times as fast on a CPU
    return optimizer, [group["lr"] for group in optimizer.param_groups]


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
