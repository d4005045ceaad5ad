"""The stream of batches and the random generators: what makes a killed run end in the same weights.

Item k of pass p depends on (seed, p, k) only, never on what training drew in between. So a resumed run skips k items
of one pass and is where it was; and validating in the middle of training changes nothing.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np
import torch
from accelerate.utils import set_seed as seed_all_devices

from ftlib.strategy import Strategy

SEEDS = 2**32  # numpy's generators take seeds below this
PASS_STRIDE = 7919  # a prime between the seeds of two passes, so that neighbouring runs do not share an order


def set_seed(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch, on every device that is here.

    Where there is no device but the CPU, torch.manual_seed would still note a stack trace for each kind of device that
    may come later: 0.4 ms for a call thirty functions deep, instead of 0.01.
    """
    if torch.accelerator.is_available():
        seed_all_devices(seed)
        return
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def rng_state() -> tuple:
    """The state of every generator, as tensors and plain values (a checkpoint is loaded with weights_only=True)."""
    kind, keys, *rest = np.random.get_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # to ask for a count takes long
    return random.getstate(), (kind, keys.tolist(), *rest), torch.get_rng_state(), on_gpu


def set_rng_state(state: tuple) -> None:
    """Put every generator back where `rng_state` found it."""
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
    torch.cuda.set_rng_state_all(state[3])


@contextmanager
def preserve_rng(state: tuple | None = None) -> Iterator[None]:
    """Run a block without moving the training's generators (even iterating over a DataLoader draws a number)."""
    mine = rng_state()
    if state:
        set_rng_state(state)
    try:
        yield
    finally:
        set_rng_state(mine)


def stream(strategy: Strategy, loaders: dict, seed: int, at: tuple[int, int] = (0, 0)) -> Iterator[tuple]:
    """Endless ((pass, k), [batches that share a step]), pass after pass of strategy.batches, from position `at` on."""
    number, skip = at
    while True:
        with preserve_rng():
            set_seed((seed + PASS_STRIDE * number) % SEEDS)
            for loader in loaders.values():
                if getattr(loader, "generator", None):
                    loader.generator.manual_seed((seed + PASS_STRIDE * number) % SEEDS)
            items, rng = iter(strategy.batches(loaders)), rng_state()
        for k in count(1):
            with preserve_rng(rng):
                item, rng = next(items, None), rng_state()
            if item is None:
                break
            if k > skip:
                yield (number, k), item if isinstance(item, list) else [item]
        if k == 1:
            raise ValueError(f"the loaders {list(loaders)} gave no batch to {strategy}: is the training split empty?")
        number, skip = number + 1, 0
