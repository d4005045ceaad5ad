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
    """ "quick" or "full": how much a notebook does. FTLIB_PROFILE decides, or else whether there is an accelerator."""
    chosen = os.environ.get("FTLIB_PROFILE") or ("full" if torch.accelerator.is_available() else "quick")
    if chosen not in ("quick", "full"):
        raise ValueError(f"FTLIB_PROFILE must be quick or full, but it is {chosen!r}")
    return chosen


def best_precision(device: torch.device, kind: str | None) -> torch.dtype:
    """The fastest number format, as measured (docs/LOG.md has the table, bench/precision.py makes it).

    On a CPU, convolutions on small images are fastest in float32 with channels last; transformers take half the time
    in bfloat16, where the processor has it in hardware.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    if device.type == "cpu" and kind in ("text", "lm") and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


def resolve_precision(name: str, device: torch.device, kind: str | None) -> torch.dtype:
    """The number format for a name of PRECISIONS."""
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, but it is {name!r}")
    return best_precision(device, kind) if name == "auto" else getattr(torch, name)


def processor(described: Path = Path("/proc/cpuinfo")) -> dict:
    """What decides how this processor rounds. Two that are equal in it give the same bits, as far as is known here.

    {"name", "kind": what KIND names of it, "flags": its vector instructions, "capability": the ones that torch uses,
    "settings": the variables of SETTINGS that are set}. Where the system describes no processor (macOS, Windows),
    kind and flags are empty.
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
    """Compute in `dtype` where that is safe; float32 changes nothing."""
    return torch.autocast(model_device(model).type, dtype, enabled=dtype != torch.float32)


def model_device(model: nn.Module) -> torch.device:
    """Where the model's weights lie."""
    return next(model.parameters()).device


def to_device(batch: dict, device: torch.device) -> dict:
    """The batch on the device; images with the channels last, as convolutions like them."""
    batch = send_to_device(batch, device)
    if "pixels" in batch:
        batch["pixels"] = batch["pixels"].contiguous(memory_format=torch.channels_last)
    return batch


def main_memory() -> tuple[int, int]:
    """Bytes that programs may use here, and bytes of them that are free. In a container its limit counts."""
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
    """Bytes that are free where a model's activations lie."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else main_memory()[1]


def memory_in_use(device: torch.device) -> int:
    """Bytes: the accelerator's peak so far, or what the process holds now (CPU)."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else psutil.Process().memory_info().rss


def forget_peak(device: torch.device) -> None:
    """Let `memory_in_use` speak of what comes now, and not of an earlier training."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


class Clock:
    """Seconds spent in named parts of a step. Waits for the accelerator, so that its work falls in the right part."""

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
    """Turn the allocator's message into one sentence that says what to do."""
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
