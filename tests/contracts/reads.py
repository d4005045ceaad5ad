"""Who reads which split of which task, and when: every pass over a loader is written down as it begins."""

from collections import Counter
from collections.abc import Callable
from unittest.mock import patch

from ftlib.evidence import runs
from ftlib.tasks import digits
from ftlib.tasks.task import Task
from ftlib.training import loop


class Reads:
    """The passes of one or several runs, in order.

    A pass is written as "0.2 trains train": phase 0, after two of its steps, drawn as training batches, the split. Who
    reads is "trains" (the stream of `fit`), "finishes" (what a strategy does after the last step), "scores" (an
    evaluation) or "peeps" (anybody else). Outside of `fit` the moment is "start" before the first phase, "end" after.
    A split of another task has its name before it, "digits/mnist:test".
    """

    def __init__(self):
        self.runs: dict[str, tuple[runs.Spec, list[str]]] = {}  # id -> the spec, its passes
        self.spec, self.passes = None, []
        self.phase, self.step, self.inside, self.who = -1, 0, False, None
        self.lr, self.weights = 0.0, {}
        self.script: Callable | None = None  # (split, the peak rate, phase, step) -> scores in place of the real ones

    def begin(self, spec: runs.Spec) -> None:
        self.spec, self.phase, self.step = spec, -1, 0
        self.passes = self.runs.setdefault(spec.id, (spec, []))[1]

    @property
    def moment(self) -> str:
        if self.inside:
            return f"{self.phase}.{self.step}"
        return "start" if self.phase < 0 else "end"

    def name(self, task: Task, split: str) -> str:
        return split if self.spec and task.name == self.spec.task else f"{task.name}:{split}"

    def note(self, task: Task, split: str) -> None:
        who = self.who or ("trains" if self.inside else "peeps")
        self.passes.append(f"{self.moment} {who} {self.name(task, split)}")

    def as_(self, who: str, function: Callable) -> Callable:
        """The function, whose readings are those of `who`."""

        def wrapped(*args, **more):
            before, self.who = self.who, who
            try:
                return function(*args, **more)
            finally:
                self.who = before

        return wrapped


def watched(monkeypatch) -> Reads:
    """Write down what is read from now on, until the test is over."""
    reads = Reads()
    load, fit, evaluate, start, backward = Task.loader, runs.fit, runs.evaluate, runs._start, loop._backward

    def loader(task, split, **more):
        made = load(task, split, **more)
        began, made.names = made.sampler.started, reads.name(task, split)
        made.sampler.started = lambda: (began(), reads.note(task, split))
        return made

    def one_fit(model, loaders, strategy, *, lr, **more):
        reads.phase, reads.step, reads.inside, reads.lr = reads.phase + 1, 0, True, lr
        try:
            with patch.object(type(strategy), "finish", reads.as_("finishes", type(strategy).finish)):
                return fit(model, loaders, strategy, lr=lr, **more)
        finally:
            reads.inside = False

    def one_step(*args, **more):
        found = backward(*args, **more)
        reads.step += 1
        return found

    def score(model, loader):
        reads.weights[reads.moment, loader.names] = {k: v.clone() for k, v in model.state_dict().items()}
        real = reads.as_("scores", evaluate)(model, loader)
        return reads.script(loader.names, reads.lr, reads.phase, reads.step) if reads.script else real

    def one_start(spec):
        reads.begin(spec)
        return start(spec)

    monkeypatch.setattr(Task, "loader", loader)
    monkeypatch.setattr(runs, "fit", one_fit)
    monkeypatch.setattr(runs, "evaluate", score)
    monkeypatch.setattr(runs, "_start", one_start)
    monkeypatch.setattr(loop, "_backward", one_step)
    table = digits.mnist()
    monkeypatch.setattr(digits, "mnist", lambda: table)  # read from its file once
    return reads


def each(passes: str) -> Counter:
    """How often each pass is read, from a line such as "0.0 trains train | end scores test"."""
    return Counter(one.strip() for one in passes.split("|"))
