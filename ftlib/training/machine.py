"""The machine under the training loop: number format, memory layout, time, memory."""

import os
import platform
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from accelerate.utils import send_to_device
from torch import nn

PRECISIONS = ("auto", "float32", "bfloat16")
# Where Linux says how much memory a container may use and does use, and how much of that it can have back (v2, v1).
CONTAINER = [
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
]

# What decides how a processor rounds: its kind, the size of its cache and its vector instructions, by which torch and
# oneDNN choose their kernels; and the variables that ask them for others.
KIND = {
    "vendor_id", "cpu family", "model", "model name", "stepping", "cache size",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision",
}  # fmt: skip
FLAGS = ("avx", "amx", "fma", "f16c", "asimd", "sve", "sme", "bf16", "i8mm", "fphp")
SETTINGS = (
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
)  # fmt: skip

# On a GPU, cuDNN rounds float32 convolutions to TF32 (10 bits) and adds up in any order unless it is told not to. Here
# float32 is float32, and the same seed repeats the same run.
torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True


def profile() -> str:
    """Return how much a notebook does: "quick", or "full".

    Returns
    -------
    str
        The value of the variable FTLIB_PROFILE. Where it isn't set, "full" with an accelerator and "quick" without.

    Raises
    ------
    ValueError
        If FTLIB_PROFILE is another word.

    Examples
    --------
    >>> profile() in ("quick", "full")
    True
    """
    chosen = os.environ.get("FTLIB_PROFILE") or ("full" if torch.accelerator.is_available() else "quick")
    if chosen not in ("quick", "full"):
        raise ValueError(f"FTLIB_PROFILE must be quick or full, but it is {chosen!r}")
    return chosen


def best_precision(device: torch.device, kind: str | None) -> torch.dtype:
    """Return the fastest number format for a model on a device.

    Parameters
    ----------
    device : torch.device
        Where the model computes.
    kind : str or None
        What the model reads: "image", "text" or "lm". None for any other model.

    Returns
    -------
    torch.dtype
        ``torch.bfloat16`` where the hardware has it and gains by it, else ``torch.float32``.

    Notes
    -----
    docs/LOG.md has the measurements and bench/precision.py makes them. On a CPU, convolutions on small images are
    fastest in float32 with channels last. Transformers take half the time in bfloat16 if the processor has it.

    Examples
    --------
    >>> best_precision(torch.device("cpu"), "image")
    torch.float32
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    if device.type == "cpu" and kind in ("text", "lm") and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


def resolve_precision(name: str, device: torch.device, kind: str | None) -> torch.dtype:
    """Return the number format that a name stands for.

    Parameters
    ----------
    name : {"auto", "float32", "bfloat16"}
        "auto" is the fastest one, see `best_precision`.
    device : torch.device
        Where the model computes.
    kind : str or None
        What the model reads: "image", "text" or "lm". None for any other model.

    Returns
    -------
    torch.dtype
        The number format.

    Raises
    ------
    ValueError
        If the name is another one.

    Examples
    --------
    >>> resolve_precision("bfloat16", torch.device("cpu"), "image")
    torch.bfloat16
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, but it is {name!r}")
    return best_precision(device, kind) if name == "auto" else getattr(torch, name)


def processor(described: Path = Path("/proc/cpuinfo")) -> dict:
    """Describe all that decides how this processor rounds.

    Parameters
    ----------
    described : Path, default /proc/cpuinfo
        The file in which Linux describes the processor.

    Returns
    -------
    dict
        "name"; "kind", the lines that `KIND` lists; "flags", its vector instructions; "capability", those that torch
        uses; "settings", the variables of `SETTINGS` that are set. Without such a file (macOS, Windows) kind and flags
        are empty.

    Notes
    -----
    As far as we know, two processors with equal descriptions give the same bits.

    Examples
    --------
    >>> list(processor())
    ['name', 'kind', 'flags', 'capability', 'settings']
    """
    try:
        first = described.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        first = ""
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    flags = (said.get("flags") or said.get("Features") or "").split()
    return {
        "name": said.get("model name") or platform.processor() or platform.machine(),
        "kind": {name: said[name] for name in sorted(KIND & said.keys())},
        "flags": sorted(flag for flag in flags if flag.startswith(FLAGS)),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def autocast(model: nn.Module, dtype: torch.dtype) -> torch.autocast:
    """Compute in another number format where that is safe.

    Parameters
    ----------
    model : torch.nn.Module
        Its device is the one that computes.
    dtype : torch.dtype
        The number format. ``torch.float32`` changes nothing.

    Returns
    -------
    torch.autocast
        A context manager for the forward pass.

    Examples
    --------
    >>> with autocast(model, torch.bfloat16):
    ...     print((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    torch.bfloat16
    """
    return torch.autocast(model_device(model).type, dtype, enabled=dtype != torch.float32)


def model_device(model: nn.Module) -> torch.device:
    """Return the device of a model's weights.

    Parameters
    ----------
    model : torch.nn.Module
        A model with at least one parameter.

    Returns
    -------
    torch.device
        The device of its first parameter.

    Examples
    --------
    >>> model_device(model)
    device(type='cpu')
    """
    return next(model.parameters()).device


def to_device(batch: dict, device: torch.device) -> dict:
    """Move a batch to a device.

    Parameters
    ----------
    batch : dict
        A batch, see `ftlib.strategy.Batch`.
    device : torch.device
        Where to.

    Returns
    -------
    dict
        The same keys. Images have their channels last in memory, which is fastest for convolutions.

    Examples
    --------
    >>> batch = to_device(next(iter(pictures)), torch.device("cpu"))
    >>> batch["pixels"].is_contiguous(memory_format=torch.channels_last)
    True
    """
    batch = send_to_device(batch, device)
    if "pixels" in batch:
        batch["pixels"] = batch["pixels"].contiguous(memory_format=torch.channels_last)
    return batch


def main_memory() -> tuple[int, int]:
    """Return the size of the main memory and the part of it that is free.

    Returns
    -------
    total, free : int
        Bytes. In a container its limit counts.

    Examples
    --------
    >>> total, free = main_memory()
    >>> total >= free > 0
    True
    """
    total, free = psutil.virtual_memory().total, psutil.virtual_memory().available
    for folder, limit, used, idle in CONTAINER:
        try:
            most, now = (int((folder / name).read_text()) for name in (limit, used))
            more = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())[idle]
        except (OSError, ValueError, KeyError):
            continue  # no such system, or no limit ("max")
        if most < total:
            total, free = most, min(free, max(most - now + int(more), 0))
    return total, free


def free_memory(device: torch.device) -> int:
    """Return the memory that is free on a device.

    Parameters
    ----------
    device : torch.device
        Where a model's activations lie.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> free_memory(torch.device("cpu")) > 0
    True
    """
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else main_memory()[1]


def memory_in_use(device: torch.device) -> int:
    """Return the memory that the training takes.

    Parameters
    ----------
    device : torch.device
        Where it computes.

    Returns
    -------
    int
        Bytes. On a GPU the peak since `forget_peak`, on a CPU the memory of the process now.

    Examples
    --------
    >>> memory_in_use(torch.device("cpu")) > 0
    True
    """
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else psutil.Process().memory_info().rss


def forget_peak(device: torch.device) -> None:
    """Begin to measure the peak of the memory anew, so that `memory_in_use` leaves earlier trainings out.

    Parameters
    ----------
    device : torch.device
        Where the next training computes. On a CPU nothing happens.

    Examples
    --------
    >>> forget_peak(torch.device("cpu"))
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


class Clock:
    """Measure the seconds that the parts of a step take.

    Parameters
    ----------
    device : torch.device
        Where the step computes. The clock waits for an accelerator, so its work counts for the right part.

    Attributes
    ----------
    seconds : collections.Counter
        Seconds of each part by its name.

    Examples
    --------
    >>> clock = Clock(torch.device("cpu"))
    >>> with clock("forward"):
    ...     _ = model(next(iter(train)))
    >>> clock.seconds["forward"] > 0
    True
    """

    def __init__(self, device: torch.device):
        self.seconds, self.device = Counter(), device

    @contextmanager
    def __call__(self, part: str):
        start = time.perf_counter()
        yield
        if self.device.type != "cpu":
            torch.accelerator.synchronize()
        self.seconds[part] += time.perf_counter() - start


@contextmanager
def clear_memory_error(batch: dict):
    """Turn the error of a full memory into one sentence that says what to do.

    Parameters
    ----------
    batch : dict
        The batch with which the block computes. Its "labels" are counted.

    Yields
    ------
    None
        The block runs once.

    Raises
    ------
    MemoryError
        If the memory is too small for the block.

    Examples
    --------
    >>> with clear_memory_error({"labels": torch.zeros(16)}):
    ...     torch.ones(2**46)
    Traceback (most recent call last):
        ...
    MemoryError: a batch of 16 examples does not fit in memory: use batch_size=8 and twice the accumulate, ...
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one too; the CPU's allocator raises the plain one
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        rows = len(batch["labels"])
        raise MemoryError(
            f"a batch of {rows} examples does not fit in memory: use batch_size={max(rows // 2, 1)} and twice the "
            f"accumulate, which gives the same gradient"
        ) from error
