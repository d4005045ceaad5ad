"""Two or more strategies on one task, over the same seeds: what a learner does with own data, in one call.

It is a small grid without a file: the same fair rules hold (`ftlib.evidence.grids`). Arms are paired by seed. Where
several rates are given, each arm's own is chosen on validation, on seeds that are not used afterwards.
"""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pandas as pd

from ftlib import tasks
from ftlib.evidence import grids
from ftlib.evidence.grid_files import Comparison
from ftlib.evidence.own_data import own_data, refuse_other_data
from ftlib.evidence.runs import frame, run
from ftlib.evidence.sharing import Results
from ftlib.evidence.spec import Spec
from ftlib.io import typed
from ftlib.io.progress import progress
from ftlib.io.refusals import number, whole_number
from ftlib.strategy import Strategy, parts_of
from ftlib.training.feature_tables import shared

TUNING = (9001, 9002)  # seeds on which rates are chosen


def compare_strategies(
    task: str,
    arms: dict[str, list],
    *,
    model: str,
    seeds: Iterable[int] = range(6),
    steps: int = 40,
    lr: float | list[float] | dict[str, float] = 1e-3,
    batch_size: int = 32,
    options: dict | None = None,
    metric: str = "",
    keep: str | Path | None = None,
    verbose: bool = True,
) -> pd.DataFrame:
    """Train strategies on one task, each on the same seeds, and give the runs as a table.

    Parameters
    ----------
    task : str
        A task's name, see `ftlib.load_task`. Own data are named with their path, "folder:photos".
    arms : dict of str to list
        Strategies by the name under which they are compared: {"full": [], "probe": [{"LinearProbe": {}}]}. A list holds
        strategies of the catalogue with their parameters. An empty list is full fine-tuning. A name or a strategy alone
        will do.
    model : str
        A model's name, see `ftlib.load_model`.
    seeds : iterable of int, default range(6)
        Each arm is run once per seed. Fewer than six seeds give no verdict.
    steps : int, default 40
        Optimizer steps of each run.
    lr : float, list of float or dict of str to float, default 1e-3
        One learning rate for all arms, or one per arm. A list is searched: each arm gets the rate with the best mean on
        validation, on two other seeds.
    batch_size : int, default 32
        Examples per batch.
    options : dict, optional
        Options of the task, such as {"text": "review", "label": "stars"}.
    metric : str, optional
        The score on validation by which rates are chosen. By default that of the task.
    keep : str or Path, optional
        A .jsonl file for the records. A second call takes what is there and runs what is missing.
    verbose : bool, default True
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        One row per run on `seeds`, as `ftlib.load_runs` gives them, for `ftlib.table` and `ftlib.plots.scores`.

    Raises
    ------
    ValueError
        If an arm, an option or a number cannot be, or `keep` holds runs on other data.

    Examples
    --------
    >>> runs = ftlib.compare_strategies("digits/mnist", {"full": [], "probe": ["LinearProbe"]}, steps=1, seeds=[0, 1],
    ...                                 model="efficientnet-lite0", verbose=False, batch_size=4,
    ...                                 options={"n": 10, "size": 16, "held_out": 10})
    >>> runs[["arm", "seed", "steps"]].values.tolist()
    [['full', 0, 1], ['full', 1, 1], ['probe', 0, 1], ['probe', 1, 1]]
    """
    comparison = _comparison(task, arms, model, list(seeds), steps, lr, batch_size, dict(options or {}), metric)
    for name, arm in comparison.arms.items():
        grids.refuse_what_cannot_run(comparison, name, arm)
    grids.refuse_unmeasured("compare_strategies", comparison)
    records: dict[str, dict] = {}
    results = Results(_file(keep)) if keep is not None else None
    if results:
        results.must_be_writable()
        records = _there(results, comparison)
    searched = sum(len(arm.rates) for arm in comparison.arms.values() if len(arm.rates) > 1)
    total = searched * len(comparison.tuning_seeds) + len(comparison.arms) * len(comparison.seeds)
    with shared(), progress(total=total, unit="run", disable=not verbose) as bar:
        while todo := [spec for spec in grids.specs("", comparison, records) if spec.id not in records]:
            for spec in todo:
                bar.set_description(f"{spec.arm}, seed {spec.seed}")
                records[spec.id] = run(spec)
                if results:
                    results.add(records[spec.id])
                bar.update()
        bar.update(total - bar.n)
    measured = [spec for spec in grids.specs("", comparison, records) if spec.purpose == "measure"]
    return frame(records[spec.id] for spec in sorted(measured, key=lambda spec: [*arms].index(spec.arm)))


def _comparison(task, arms, model, seeds, steps, lr, batch_size, options, metric) -> Comparison:
    """The arguments as a comparison of a grid; ValueError where they cannot be one."""
    if not isinstance(task, str):
        raise ValueError(f"task must be a name, such as 'folder:PATH', not {type(task).__name__}: write its name")
    steps, batch_size = whole_number("steps", steps, 0), whole_number("batch_size", batch_size, 1)
    if not isinstance(arms, dict) or not arms:
        raise ValueError(f"arms must be a dict of strategies by name, such as {{'full': []}}, but it is {arms!r}")
    if isinstance(lr, dict) and set(lr) != set(arms):
        raise ValueError(f"lr names the arms {sorted(lr)}, but they are {sorted(arms)}: give each arm one rate")
    made = {}
    for name, parts in arms.items():
        rates = lr[name] if isinstance(lr, dict) else lr
        rates = [number("lr", rate, 0, above=True) for rate in (rates if isinstance(rates, list | tuple) else [rates])]
        written = _written(parts)
        made[name] = {
            "rates": rates,
            "phases": [{"strategy": written, "steps": steps, "lr": None, "batch_size": batch_size}],
        }
    if not seeds:
        raise ValueError("seeds is empty: give at least one seed, and six for a verdict")
    free = [seed for seed in TUNING if seed not in seeds] or [max(seeds) + 1]
    loaded = tasks.load(task, **{key: value for key, value in options.items() if key != "data_seed"})
    written = {
        "task": task, "model": model, "metric": metric or loaded.metric, "seeds": seeds, "tuning_seeds": free,
        "options": options, "every": 0, "arms": made,
    }  # fmt: skip
    return typed.check(Comparison, written, "compare_strategies")


def _written(parts) -> list[dict]:
    """Strategies in the form of a Spec: names, dicts and strategies themselves may be given, alone or in a list."""
    out = []
    for one in [parts] if isinstance(parts, str | dict | Strategy) else parts:
        if isinstance(one, Strategy):
            for part in parts_of(one):
                knobs = {knob.name: getattr(part, knob.name) for knob in fields(part) if knob.init}
                out.append({type(part).__name__: knobs})
        else:
            out.append({one: {}} if isinstance(one, str) else one)
    return out


def _file(keep: str | Path) -> Path:
    file = Path(keep).expanduser()
    if file.suffix != ".jsonl":
        raise ValueError(f"keep must name a file that ends in .jsonl, but it is {str(keep)!r}")
    return file


def _there(results: Results, comparison: Comparison) -> dict[str, dict]:
    """The records of the file, if they were made on the data as they are now."""
    records = results.read()
    data = own_data(Spec("all", comparison.task, comparison.model, 0, [], comparison.options)) if records else {}
    for record in records.values():
        refuse_other_data(record, data, f"{results.file}: the run {record['id']}")
    return records
