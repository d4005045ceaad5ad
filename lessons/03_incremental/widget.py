"""The matrix of tasks that are learned one after another: how well each is known after each, for recorded methods.

R[i, j] is the accuracy on task j after task i. A column that darkens downwards is a task that is forgotten. Forgetting
after task i is the mean over the earlier tasks of the best accuracy so far minus the present one (Chaudhry et al. 2018,
arXiv:1801.10112). It is computed for each run and then averaged: the mean matrix has lower maxima than the runs have.

Nothing is trained. All numbers are those of recorded runs.
"""

import html
import re
from dataclasses import dataclass
from functools import partial

import ipywidgets
import numpy as np

from ftlib import plots
from ftlib.classroom.lessons import part
from ftlib.classroom.widgets.live import live
from ftlib.classroom.widgets.panel import Panel, paragraph, set_status, status_line
from ftlib.evidence import sequences
from ftlib.evidence.compare import interval

FIGURE = part("03_incremental", "figure_matrix")
MEAN = "mean"  # of all seeds
NONE = 0  # the size under which a method without a buffer stands
REPLAY = re.compile(r"replay-(\d+)")
CAPTION = (
    "The heat map has a row after each task and a column for the digits of each task. Beside it each task learned so "
    "far is a line, from its own row on."
)


@dataclass(frozen=True)
class Runs:
    """The runs of one arm, one a seed: what they scored, between 0 and 1, and what they kept."""

    tasks: list[str]  # T names, such as "0,1"
    seeds: list[int]
    scores: np.ndarray  # (S, T, T): R of each seed
    average: np.ndarray  # (S, T): the mean over the tasks so far
    forgetting: np.ndarray  # (S, T): of the tasks before; 0 after the first task
    kept: float  # bytes after the last task; 0 where none were recorded


class Matrix(Panel):
    """`method`, `buffer`, `seeds`, `task`, `back`, `next`: the controls; `figure`: the one live figure.

    `words` tell the state, and `tiles` all the numbers of the heat map. `forgetting` and `scores` hold what is shown.
    """

    def __init__(self, records: list[dict], methods: dict[str, str | dict[int, str]]):
        self.methods = _sizes(methods)
        self.runs = _named(_arms(records), self.methods)
        one = next(iter(self.runs.values()))
        self._wanted, self._offering = (NONE, False)
        shared = sorted(set.intersection(*(set(runs.seeds) for runs in self.runs.values())))
        wide = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="auto")}
        narrow = {"style": {"description_width": "initial", "button_width": "auto"}}
        self.method = ipywidgets.Dropdown(options=list(self.methods), description="Method", **wide)
        self.buffer = ipywidgets.ToggleButtons(options=[("none", NONE)], description="Buffer", **narrow)
        numbers = [(str(i), i) for i in range(1, len(one.tasks) + 1)]
        self.task = ipywidgets.ToggleButtons(options=numbers, value=len(one.tasks), description="Task", **narrow)
        self.back, self.next = (
            ipywidgets.Button(description=name, layout=ipywidgets.Layout(width="auto")) for name in ("Back", "Next")
        )
        self.seeds = ipywidgets.Dropdown(
            options=[(MEAN, MEAN), *((str(seed), seed) for seed in shared)], description="Seeds", **wide
        )
        self._offer()
        self.figure = live(FIGURE.empty(one.tasks))
        self.words, self.tiles = status_line(), ipywidgets.HTML()
        self.show()
        self.method.observe(self._offer, names="value")  # before it is drawn
        self.buffer.observe(self._want, names="value")
        for control in (self.method, self.buffer, self.task, self.seeds):
            control.observe(self.show, names="value")
        self.back.on_click(partial(self._step, by=-1))
        self.next.on_click(partial(self._step, by=1))
        controls = [self.method, self.buffer, self.seeds, self.task, self.back, self.next]
        super().__init__([*controls, self.figure, self.words, self.tiles], lambda: self.alt, lambda: self.still().png())

    @property
    def picked(self) -> Runs:
        """The runs of the chosen method and buffer."""
        return self.runs[self.methods[self.method.value][self.buffer.value]]

    @property
    def scores(self) -> np.ndarray:
        """R as it is shown: the mean over the chosen seeds, a row for each task so far."""
        return self.picked.scores[self._rows].mean(0)[: self.task.value]

    @property
    def forgetting(self) -> float:
        """What the words tell, as a share; 0 after the first task."""
        return float(self.picked.forgetting[self._rows, self.task.value - 1].mean())

    @property
    def _rows(self) -> list[int]:
        seeds, only = self.picked.seeds, self.seeds.value
        return list(range(len(seeds))) if only == MEAN else [seeds.index(only)]

    def still(self) -> plots.Figure:
        """The figure as it is now, without a widget."""
        return FIGURE.Drawn(self.figure)

    def show(self, _=None) -> None:
        """Draw what the controls say; what is on the screen is changed in place."""
        if self._offering:
            return
        tasks, scores, upto = self.picked.tasks, 100 * self.scores, self.task.value
        said, told = self._said(), _in_numbers(tasks, scores)
        self.alt = f"{said} {told}"
        at = [(i, j) for i in range(upto) for j in range(len(tasks))]
        lines = [list(range(j, upto)) for j in range(len(tasks))]  # the rows of each task's line
        names = dict(enumerate(FIGURE.spread(scores[-1, :upto])))  # their heights
        nothing = [None] * 2 * len(tasks)
        # One message with every trace in full, as on the board.
        self.figure.plotly_update(
            restyle_data={
                "x": [
                    [j + 1 for _, j in at],
                    *([i + 1 for i in rows] for rows in lines),
                    *([upto + 0.07, upto + 0.3] if j in names else [] for j in range(len(tasks))),
                ],
                "y": [
                    [i + 1 for i, _ in at],
                    *([scores[i, j] for i in rows] for j, rows in enumerate(lines)),
                    *([scores[-1, j], names[j]] if j in names else [] for j in range(len(tasks))),
                ],
                "text": [[_number(scores[a]) for a in at], *nothing[len(tasks) :], *(["", name] for name in tasks)],
                "hovertext": [
                    [_here(tasks, scores, *a) for a in at],
                    *([_here(tasks, scores, i, j) for i in rows] for j, rows in enumerate(lines)),
                    *nothing[len(tasks) :],
                ],
                "marker.color": [[scores[a] for a in at], *nothing],
                "textfont.color": [[FIGURE.ink(scores[a]) for a in at], *nothing],
            },
            relayout_data={"title.text": html.escape(self._title(), quote=False), "meta": {"alt": self.alt}},
        )
        set_status(self.words, said)
        self.tiles.value = paragraph(told, "ftlib-tiles").value

    def _offer(self, _=None) -> None:
        """Let the sizes of the method be chosen, and choose the one nearest to what was wanted last."""
        sizes, self._offering = (list(self.methods[self.method.value]), True)  # it is drawn once, by who called
        self.buffer.options = [("none" if size == NONE else str(size), size) for size in sizes]
        self.buffer.value = min(sizes, key=lambda size: (abs(size - self._wanted), size))
        self.buffer.disabled = len(sizes) == 1
        self._offering = False

    def _want(self, change) -> None:
        if not self._offering:
            self._wanted = change.new

    def _step(self, _, by: int) -> None:
        """The next task or the one before. After the last comes the first, so the button keeps the focus."""
        self.task.index = (self.task.index + by) % len(self.task.options)

    def _drawn(self) -> str:
        """The method, with its buffer where it has one."""
        size = self.buffer.value
        return self.method.value + (f", buffer of {size}" if size != NONE else "")

    def _title(self) -> str:
        end = f", {_number(100 * self.forgetting)} points forgotten" if self.task.value > 1 else ""
        return f"{self._drawn()}, after task {self.task.value}{end}"

    def _said(self) -> str:
        """The state of the controls, the average accuracy, forgetting with its interval, and the bytes."""
        runs, rows, upto = self.picked, self._rows, self.task.value
        over = f"mean over {len(rows)} seeds" if len(rows) > 1 else f"seed {runs.seeds[rows[0]]}"
        forgotten = "There is no earlier task to forget yet."
        if upto > 1:
            mean, low, high = (100 * value for value in interval(runs.forgetting[rows, upto - 1]))
            sure = f"95 % interval [{_number(low)}, {_number(high)}]" if len(rows) > 1 else "one seed, so no interval"
            forgotten = f"Forgetting {_number(mean)} points ({sure})."
        kept = f" After the last task, what is kept takes {runs.kept / 1000:,.0f} kB." if runs.kept else ""
        average = _number(100 * runs.average[rows, upto - 1].mean())
        return (
            f"{self._drawn()}, after task {upto} of {len(runs.tasks)}, {over}. Average accuracy on the tasks learned so "
            f"far {average} %. {forgotten}{kept}"
        )


def matrix(records: list[dict], methods: dict[str, str | dict[int, str]]) -> Matrix:
    """The accuracy on each task after each task, for recorded methods and sizes of their buffer.

    records: as `ftlib.load_records("03_incremental")` gives them. Runs that chose a rate and runs that learn no tasks
    one after another are left out. methods: {shown name: arm}, or {shown name: {remembered examples: arm}} for methods
    with a buffer, for example {"nothing is kept": "naive", "replay": {20: "replay-20", 50: "replay-50"}}. The first
    one is shown at first, after the last task.
    """
    return Matrix(records, methods)


def smallest_buffer(records: list[dict], most: float = 0.05) -> int | None:
    """The smallest buffer of replay (arms "replay-20" and the like) whose forgetting is below `most`; None if none is.

    Forgetting is that of all tasks after the last one, between 0 and 1, the mean over seeds.
    """
    arms = {int(found[1]): runs for arm, runs in _arms(records).items() if (found := REPLAY.fullmatch(arm))}
    if not arms:
        raise ValueError(
            "there must be runs of replay, with arms such as 'replay-20', but none has a matrix: give the records of "
            "the grid 03_incremental"
        )
    return min((size for size, runs in arms.items() if _read(runs).forgetting[:, -1].mean() < most), default=None)


# ---- the records


def _arms(records: list[dict]) -> dict[str, list[dict]]:
    """{arm: its records that have a matrix}, without runs that chose a rate."""
    if not isinstance(records, list) or not records:
        given = "an empty list" if isinstance(records, list) else f"a {type(records).__name__}"
        raise ValueError(
            f"the matrix needs a list of recorded runs, but it was given {given}: take what "
            "ftlib.load_records('03_incremental') returns"
        )
    arms: dict[str, list[dict]] = {}
    for record in records:
        spec, watched = record["spec"], record["spec"].get("watch", [])
        if spec.get("purpose") == "tune" or len(watched) < 2 or len(spec["phases"]) != len(watched):
            continue
        if record["curve"] and record["curve"][0]["step"] <= spec["phases"][0]["steps"]:  # each row can be filled
            arms.setdefault(spec["arm"], []).append(record)
    if not arms:
        raise ValueError(
            f"the matrix needs runs that learn several tasks and are scored on all of them after each, but none of "
            f"these {len(records)} runs is one: give measured runs, with as many phases as splits to watch"
        )
    return arms


def _sizes(methods: dict[str, str | dict[int, str]]) -> dict[str, dict[int, str]]:
    """{shown name: {size: arm}}, the smallest size first."""
    out = {name: arms if isinstance(arms, dict) else {NONE: arms} for name, arms in methods.items()}
    if not out or not all(out.values()) or not all(type(size) is int for arms in out.values() for size in arms):
        raise ValueError(
            f"methods must give each shown name an arm, or arms by the number of remembered examples, but it is "
            f"{methods!r}: write it like {{'naive': 'naive', 'replay': {{50: 'replay-50'}}}}"
        )
    return {name: dict(sorted(arms.items())) for name, arms in out.items()}


def _named(arms: dict[str, list[dict]], methods: dict[str, dict[int, str]]) -> dict[str, Runs]:
    """The runs of every arm that is named; ValueError where they can't stand in one figure."""
    names = [arm for sizes in methods.values() for arm in sizes.values()]
    if missing := [arm for arm in names if arm not in arms]:
        raise ValueError(
            f"methods must name arms whose runs have a matrix, but {missing[0]!r} has none: choose among "
            f"{', '.join(arms)}"
        )
    out = {arm: _read(arms[arm]) for arm in names}
    first = out[names[0]]
    for arm, runs in out.items():
        if runs.tasks != first.tasks:
            raise ValueError(
                f"all methods must learn the same tasks in the same order, but {names[0]!r} has {first.tasks} and "
                f"{arm!r} has {runs.tasks}: leave one of the two out"
            )
    return out


def _read(records: list[dict]) -> Runs:
    """What the runs of one arm scored; ValueError if a seed has two."""
    records = sorted(records, key=lambda record: record["spec"]["seed"])
    arm, seeds = records[0]["spec"]["arm"], [record["spec"]["seed"] for record in records]
    if len(set(seeds)) < len(seeds):
        raise ValueError(
            f"each arm must have one run a seed, but {arm!r} has the seeds {seeds}: leave some of its runs out, for "
            "example all rates but one"
        )
    each = [_so_far(record) for record in records]
    kept = [sum(v for k, v in record.get("measured", {}).items() if k.endswith(".bytes")) for record in records]
    return Runs(
        tasks=[_name(split) for split in records[0]["spec"]["watch"]],
        seeds=seeds,
        scores=np.stack([sequences.matrix(record).to_numpy(float) for record in records]),
        average=np.array([[at["sequence.average"] for at in run] for run in each]),
        forgetting=np.array([[at.get("sequence.forgetting", 0.0) for at in run] for run in each]),
        kept=float(np.mean(kept)),
    )


def _so_far(record: dict) -> list[dict[str, float]]:
    """Average and forgetting after each task, of the tasks up to it."""
    spec, n = record["spec"], len(record["spec"]["phases"])
    cut = ({"watch": spec["watch"][:i], "phases": spec["phases"][:i]} for i in range(1, n + 1))
    return [sequences.sequence_scores(some, record["curve"]) for some in cut]


def _name(split: str) -> str:
    """0,1 for "digits/mnist[0,1]:validation"; a split without brackets is its own name."""
    found = re.search(r"\[([^\s\]]+)", split)
    return found[1] if found else split


# ---- the words


def _number(value: float) -> str:
    """With one digit, and without a minus before a zero."""
    return f"{round(float(value), 1) + 0.0:.1f}"


def _here(tasks: list[str], scores: np.ndarray, i: int, j: int) -> str:
    return f"digits {tasks[j]} after task {i + 1}, {_number(scores[i, j])} %"


def _in_numbers(tasks: list[str], scores: np.ndarray) -> str:
    """Every tile, row by row."""
    rows = (f"After task {i} {', '.join(map(_number, row))}." for i, row in enumerate(scores, 1))
    return f"{CAPTION} Accuracy in % on the digits {' and '.join(tasks)}. {' '.join(rows)}"
