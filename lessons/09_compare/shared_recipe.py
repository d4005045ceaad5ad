"""The recipe behind a point: a recorded Spec as code that can be copied and run.

`exact` makes the very Spec, with its id, and runs it. `by_hand` is the same experiment in the lines of a lesson, for a
run of one phase on its task's own training split.
"""

import pprint
from dataclasses import fields

from ftlib.evidence.spec import Spec

WIDTH = 88  # characters of a line


def exact(spec: dict, seeds: list[int]) -> str:
    """Code that makes the Spec and runs it. seeds: all seeds of the point, which is a mean over them."""
    known = {one.name: one.default for one in fields(Spec)}
    lines = ["import ftlib", "", f"seed = {spec['seed']}  # the point is the mean over the seeds {_seeds(seeds)}"]
    lines.append("phases = [")
    for phase in spec["phases"]:
        lines += _call("ftlib.Phase", _phase(phase), "    ", ",")
    said = [repr(spec["arm"]), repr(spec["task"]), repr(spec["model"]), "seed=seed", "phases=phases"]
    for name in ("options", "splits", "every", "precision", "grid", "purpose", "watch"):
        if name == "splits" or spec.get(name, known[name]) not in (known[name], {}, []):
            said.append(f"{name}={_flat(spec[name])}")
    lines += ["]", *_call("spec = ftlib.Spec", said, "", "")]
    lines += ["record = ftlib.run(spec)", "for split, scores in record['scores'].items():", "    print(split, scores)"]
    return "\n".join(lines)


def by_hand(spec: dict) -> str:
    """The same run in plain calls, or "" where it has several phases, other data or more than that."""
    phase = spec["phases"][0] if len(spec["phases"]) == 1 else None
    if phase is None or phase["data"] != {"train": "train"} or spec.get("watch") or phase["fit"]:
        return ""
    options = dict(spec["options"])
    if "data_seed" in options or any(":" in name for name in spec["splits"]):
        return ""
    more = "".join(f", {name}={value!r}" for name, value in options.items())
    parts = phase["strategy"] or [{"Full": {}}]
    made = [f"strategies.{name}({', '.join(f'{k}={v!r}' for k, v in knobs.items())})" for one in parts
            for name, knobs in one.items()]  # fmt: skip
    strategy = made[0] if len(made) == 1 else f"ftlib.combine({', '.join(made)})"
    size = phase["batch_size"]
    lines = [
        "import torch", "", "import ftlib", "from ftlib import strategies", "", f"seed = {spec['seed']}",
        f"task = ftlib.load_task({spec['task']!r}, seed=seed{more})", "torch.manual_seed(seed)",
        f"model = ftlib.load_model({spec['model']!r}, task)",
        f"loader = task.loader('train', tokenizer=model.tokenizer, seed=seed, batch_size={size}, shuffle=True)",
        f"strategy = {strategy}",
        f"model, _ = ftlib.fit(model, loader, strategy, steps={phase['steps']}, lr={phase['lr']!r}, seed=seed,",
        f"                     precision={spec['precision']!r})",
    ]  # fmt: skip
    for split in spec["splits"]:
        held = f"task.loader({split!r}, tokenizer=model.tokenizer, seed=seed, batch_size=64)"
        lines.append(f"print({split!r}, ftlib.evaluate(model, {held}))")
    return "\n".join(lines)


def _phase(phase: dict) -> list[str]:
    known = {"data": {"train": "train"}, "batch_size": 32, "fit": {}}
    said = [_flat(phase["strategy"]), f"steps={phase['steps']}", f"lr={phase['lr']!r}"]
    return said + [f"{name}={_flat(phase[name])}" for name, usual in known.items() if phase[name] != usual]


def _call(name: str, said: list[str], indent: str, end: str) -> list[str]:
    """A call on one line, or with an argument per line."""
    whole = f"{indent}{name}({', '.join(said)}){end}"
    if len(whole) <= WIDTH:
        return [whole]
    return [f"{indent}{name}(", *(f"{indent}    {one}," for one in said), f"{indent}){end}"]


def _flat(value) -> str:
    return pprint.pformat(value, width=10**6, sort_dicts=False)


def _seeds(seeds: list[int]) -> str:
    seeds = sorted(seeds)
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds)) if len(seeds) < 9 else f"{seeds[0]} to {seeds[-1]} ({len(seeds)} of them)"
