"""Set-up: a model and a strategy become a run that is ready for its first step, on the device that is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn
from tqdm import tqdm

from ftlib.io.progress import progress
from ftlib.models.about import note
from ftlib.strategy import Strategy, parts_of
from ftlib.training.early_stopping import BestWeights
from ftlib.training.frozen_features import FrozenFeatureCache
from ftlib.training.machine import forget_peak, resolve_precision
from ftlib.training.scoring import count_parameters
from ftlib.training.stream import SEEDS, set_seed


class Hardware:
    """Where a run happens: its device, its number format and its processes."""

    def __init__(self, model: nn.Module, precision: str, verbose: bool):
        self.accelerator = Accelerator()  # device and processes; number formats are ours, since it allows one a process
        self.me, self.world = self.accelerator.process_index, self.accelerator.num_processes
        self.device = self.accelerator.device
        self.dtype = resolve_precision(precision, self.device, getattr(model, "kind", None))
        self.verbose = verbose
        forget_peak(self.device)

    def log(self, words: str) -> None:
        """Print on one process, unless the run is silent."""
        if self.verbose:
            self.accelerator.print(words)


@dataclass
class Run:
    """What a run consists of. A checkpoint holds all that changes in it, so a killed run can go on."""

    model: nn.Module
    strategy: Strategy
    optimizer: torch.optim.Optimizer
    weights: list[tuple[str, nn.Parameter]]  # all that the optimizer has, by name: more cannot learn in this run
    peaks: list[float]  # the peak rate of each parameter group
    best: BestWeights
    history: list[dict]
    hardware: Hardware
    at: tuple[int, int] = (0, 0)  # (pass over the data, item in it) that was drawn last
    first: int = 0  # the step with which it begins, or goes on after a kill
    done: bool = False
    cache: FrozenFeatureCache | None = None  # adds what frozen stages gave to a batch


def set_up(model, strategy, hardware, history, validation, seed, lr, weight_decay) -> Run:
    """The run before its first step: the model as the strategy wants it, on its device, and its optimizer."""
    layout = torch.channels_last if getattr(model, "kind", None) == "image" else torch.contiguous_format
    for part in parts_of(strategy):
        part.begin(model)
    set_seed(seed)
    model = strategy.prepare(model).to(hardware.device, memory_format=layout)
    for tensor in model.state_dict().values() if hardware.world > 1 else ():
        broadcast(tensor)
    optimizer, peaks = make_optimizer(model, strategy, lr, weight_decay)
    optimizer.zero_grad()
    set_seed((seed + 1 + hardware.me) % SEEDS)  # dropout and mixup differ between processes
    best = BestWeights(validation.watch, validation.better) if validation else BestWeights()
    return Run(model, strategy, optimizer, list(model.named_parameters()), peaks, best, history, hardware)


def make_optimizer(model, strategy, lr, weight_decay) -> tuple[torch.optim.Optimizer, list[float]]:
    """AdamW over the strategy's parameter groups, and the peak rate of each."""
    groups = strategy.groups([{"params": list(model.named_parameters()), "lr": lr, "weight_decay": weight_decay}])
    lost = {name for name, _ in model.named_parameters()} - {name for g in groups for name, _ in g["params"]}
    if lost:
        raise ValueError(f"groups() of {strategy} lost {sorted(lost)}: every parameter must stay in one group")
    optimizer = torch.optim.AdamW(groups, fused=True)  # one pass over each tensor: seven times as fast on a CPU
    return optimizer, [group["lr"] for group in optimizer.param_groups]


def announce(run: Run, steps: int) -> None:
    """Say what is trained, on what, and how."""
    trainable, total = count_parameters(run.model)
    run.hardware.log(
        f"{run.strategy}: {run.hardware.device}, {str(run.hardware.dtype)[6:]}, {trainable:,} of {total:,} parameters "
        f"trained, steps {run.first + 1} to {steps}, peak rate {max(run.peaks, default=0):g}"
    )


def progress_bar(run: Run, steps: int) -> tqdm:
    """The steps that are left, shown as a bar where they take longer than two seconds."""
    silent = not (run.hardware.verbose and run.hardware.accelerator.is_main_process)
    return progress(range(run.first, steps), initial=run.first, total=steps, delay=2, leave=False, disable=silent)


@contextmanager
def noted(model: nn.Module, strategy: Strategy, hardware: Hardware, history: list, numbers: dict) -> Iterator[None]:
    """However the run ends, `model.about` gets a line on it, unless no step was taken."""
    parts = parts_of(strategy)
    try:
        yield
    finally:
        if history:
            precision = str(hardware.dtype).removeprefix("torch.")
            note(model, strategy, parts, len(history), numbers["steps"], numbers["lr"], numbers["seed"], precision)
