"""Bugs that leave a run plausible and change what it computes: a recorded run that is repeated must notice each.

A linear probe on sentences is repeated. It takes seconds, and rounding disturbs it so little that a percent of the
learning rate is thousands of times as much.
"""

from bugs import Bug

REPEATED = ("test_real.py::test_a_recorded_run_repeats[c22f90704126]",)

BUGS = [
    Bug(
        "weight decay ignored, which a recorded run notices", "loop", "train.py",
        '"lr": lr, "weight_decay": weight_decay}', '"lr": lr, "weight_decay": 0.0}',
        "The weights are no longer pulled to 0: one part in a thousand a step at this rate.",
        REPEATED,
    ),
    Bug(
        "a learning rate one percent off", "loop", "train.py",
        'group["lr"] = peak * strategy.lr_scale(progress)', 'group["lr"] = 1.01 * peak * strategy.lr_scale(progress)',
        "Each step is one percent longer than it says.",
        REPEATED,
    ),
    Bug(
        "another order of the examples", "stream", "stream.py",
        "loader.generator.manual_seed((seed + PASS_STRIDE * number) % SEEDS)",
        "loader.generator.manual_seed((seed + 1 + PASS_STRIDE * number) % SEEDS)",
        "The same examples come in another order, so old records can no longer be repeated.",
        REPEATED,
    ),
    Bug(
        "one batch with its labels shifted by one row", "loop", "train.py",
        "window = [strategy.transform(to_device(batch, device)) for batch in window]",
        'window = [{**b, "labels": b["labels"].roll(int(step == 1), 0)} for b in window]\n'
        "            window = [strategy.transform(to_device(batch, device)) for batch in window]",
        "The second step learns from the labels of the neighbours.",
        REPEATED,
    ),
]  # fmt: skip
