"""The data of a run, and what a run that learns one task after another keeps of the earlier ones.

A run has a phase per task. Each validation also scores the splits that the Spec watches. The scores at the ends of the
phases make the matrix R: R[i, j] is the score on task j after phase i.
"""

import pandas as pd

from ftlib import metrics, tasks
from ftlib.evidence.spec import Spec, parts_of_split
from ftlib.tasks import Task


class Sources:
    """The tasks that a run reads, each loaded once, before the first step."""

    def __init__(self, spec: Spec):
        self.spec, self.loaded = spec, {}
        self.task = self._load(spec.task)
        read = [*spec.splits, *spec.watch, *(name for phase in spec.phases for name in phase.data.values())]
        for name in read:  # so that what is not there is known now, and not in the last phase
            self.of(name)

    def _load(self, name: str, drawn: tuple[int, ...] = ()) -> Task:
        if (name, drawn) not in self.loaded:
            options = dict(self.spec.options)
            data_seed = options.pop("data_seed", self.spec.seed)  # the same data for every seed, where training varies
            options |= {"n": list(drawn) if len(drawn) > 1 else drawn[0]} if drawn else {}
            base, asked = tasks.cut_question(name, options.get("label"))
            if asked and (base, drawn) in self.loaded:  # the same examples, so the same pixels or tokens
                self.loaded[name, drawn] = tasks.question(self.loaded[base, drawn], asked)
            else:
                self.loaded[name, drawn] = tasks.load(name, seed=data_seed, **options)
        return self.loaded[name, drawn]

    def of(self, name: str) -> tuple[Task, str]:
        """(task, split) of a split's name.

        It may be "split" of the spec's own task, "task:split" of another one or of a question, as "elpv@type:test",
        "task:train:10", which has ten training examples, or "task:train:8+2", eight of the first class and two of the
        second.
        """
        named, split, drawn = parts_of_split(name)
        return (self._load(named, tuple(drawn)) if named else self.task), split

    def loader(self, name: str, model, **more):
        """A loader for a split's name."""
        task, split = self.of(name)
        return task.loader(split, tokenizer=model.tokenizer, seed=self.spec.seed, **more)

    def metric(self, name: str) -> str:
        """The metric of the task that a split belongs to."""
        return self.of(name)[0].metric

    @property
    def reads_of_test(self) -> int:
        """How often the most read test split was read. Each question to the same examples counts for itself."""
        return max(task.reads["test"] for task in self.loaded.values())


def matrix(record: dict) -> pd.DataFrame:
    """Find R of a run that learned one task after another.

    Parameters
    ----------
    record : dict
        As `ftlib.run` returns it. Its Spec has a phase per task, and watches a split of each.

    Returns
    -------
    DataFrame of float, shape (T, T)
        R[i, j], the score on task j after phase i, in the unit of that task's metric. Columns are the watched splits,
        rows the numbers of the phases from 1.

    Raises
    ------
    ValueError
        If the run watched nothing.

    References
    ----------
    Lopez-Paz & Ranzato (2017), Gradient Episodic Memory for Continual Learning, NeurIPS, arXiv:1706.08840.

    Examples
    --------
    >>> record = {"spec": {"watch": ["a:validation", "b:validation"], "phases": [{"steps": 5}, {"steps": 5}]}}
    >>> record["curve"] = [{"step": 5, "a:validation": 0.9, "b:validation": 0.1},
    ...                    {"step": 10, "a:validation": 0.2, "b:validation": 0.8}]
    >>> ftlib.runs.matrix(record).to_numpy().tolist()
    [[0.9, 0.1], [0.2, 0.8]]
    """
    watched, curve = record["spec"].get("watch", []), record["curve"]
    if not watched or not curve:
        raise ValueError("this run watched no other tasks, so it has no matrix: give its Spec `watch` and `every`")
    return _matrix(record["spec"], curve)


def _matrix(spec: dict, curve: list[dict]) -> pd.DataFrame:
    ends, at = {}, 0
    for number, phase in enumerate(spec["phases"], 1):
        at += phase["steps"]
        ends[number] = at
    rows = {}
    for number, end in ends.items():  # the last validation up to the end of the phase; early stopping may end it before
        before = [row for row in curve if row["step"] <= end]
        if before:
            rows[number] = {name: before[-1][name] for name in spec["watch"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("phase")


def sequence_scores(spec: dict, curve: list[dict]) -> dict[str, float]:
    """`metrics.forgetting` of a run that watches as many tasks as it has phases, as "sequence.forgetting" and the like.

    "sequence.average" is there for every run that watches something.
    """
    if not spec["watch"] or not curve:
        return {}
    R = _matrix(spec, curve).to_numpy()
    if len(R) < 2 or R.shape[0] != R.shape[1]:
        return {"sequence.average": float(R[-1].mean())}
    return {f"sequence.{name}": value for name, value in metrics.forgetting(R).items()}
