"""Own data may change: a record holds their digest, and runs on different data are never loaded together."""

import warnings

from ftlib import tasks
from ftlib.evidence.spec import Spec, split_of


def own_data(spec: Spec) -> dict[str, dict[str, str]]:
    """{"data": {task: digest}} of the user's own data that a run reads, which may change; {} where it reads none."""
    names = [*spec.splits, *(name for phase in spec.phases for name in phase.data.values())]
    own = {split_of(name, spec.task)[0] for name in names} | {spec.task}
    own = sorted(name for name in own if name.partition(":")[0] in tasks.OWN)
    options = {name: value for name, value in spec.options.items() if name not in ("data_seed", "n", "held_out")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what was left out: it was said when the run began
        return {"data": {name: tasks.load(name, **options).digest for name in own}} if own else {}


def refuse_other_data(record: dict, now: dict, at: str) -> None:
    """Raise a ValueError if a record was made on own data that are different now; `now` is what `own_data` gives."""
    then = record.get("provenance", {}).get("data", {})
    for name, digest in now.get("data", {}).items():
        if then.get(name, digest) != digest:
            raise ValueError(
                f"{at} was run on other data: {name} has changed since then, so its runs cannot stand beside new ones; "
                "keep new runs in another file, or take the data back"
            )
