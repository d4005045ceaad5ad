"""Which number format and memory layout is fastest here? The measurement behind ftlib.training.machine.best_precision.

    .venv/bin/python bench/precision.py

Times one training step (forward, backward, AdamW) of each model on its real data, in every combination, alternating, so
that a slow minute of the machine hits all. Prints the median of the rounds and the ratio to float32, contiguous.
Run it on a quiet machine.
"""

import statistics
import time

import torch

from ftlib import models, tasks
from ftlib.strategy import target_loss

ROUNDS = 7
CASES = [  # model, task, options, batch size
    ("efficientnet-lite0", "elpv", {"size": 96, "n": 200}, 32),
    ("efficientnet-lite0", "elpv", {"size": 224, "n": 200}, 16),
    ("minilm", "sentiment", {"n": 200}, 32),
    ("smollm2", "instructions", {"n": 64}, 4),
]
WAYS = [(dtype, layout) for dtype in ("float32", "bfloat16") for layout in ("contiguous_format", "channels_last")]


def step(model, optimizer, batch, dtype: str) -> float:
    """Seconds of one training step."""
    start = time.perf_counter()
    with torch.autocast("cpu", getattr(torch, dtype), enabled=dtype != "float32"):
        loss = target_loss(model(batch), batch["labels"])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - start


def main() -> None:
    """Print one line a case and way."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
          f"bfloat16 in hardware: {torch.cpu._is_avx512_bf16_supported()}")  # fmt: skip
    for name, task_name, options, batch_size in CASES:
        task = tasks.load(task_name, **options)
        ways = [way for way in WAYS if task.kind == "image" or way[1] == "contiguous_format"]
        tries = []
        for dtype, layout in ways:
            model = models.load(name, task).train().to(memory_format=getattr(torch, layout))
            batch = next(iter(task.loader("train", tokenizer=model.tokenizer, batch_size=batch_size, shuffle=True)))
            if "pixels" in batch:
                batch["pixels"] = batch["pixels"].contiguous(memory_format=getattr(torch, layout))
            tries.append((model, torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True), batch, dtype))
            step(*tries[-1])  # warm up
        times = [[step(*one) for one in tries] for _ in range(ROUNDS)]
        medians = [statistics.median(column) for column in zip(*times)]
        for (dtype, layout), seconds in zip(ways, medians):
            print(f"{name:19}{task_name:13}{options.get('size', ''):>4} {dtype:9}{layout:18}{1000 * seconds:7.0f} ms "
                  f"{seconds / medians[0]:5.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
