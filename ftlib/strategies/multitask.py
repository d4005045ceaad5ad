"""Multi-task learning: one network answers several questions, with a head per task on features that all tasks share.

    hard sharing            Σ_k w_k · mean loss of task k                          Caruana, Machine Learning 1997
    sampling, temperature   one task per step, p_k ∝ n_k^(1/T)                     Arivazhagan et al., 2019, 1907.05019
    uncertainty weighting   Σ_k e^(−s_k) · mean loss of task k + s_k / 2           Kendall et al., CVPR 2018, 1705.07115

A task is named as ftlib.load_task names it. "elpv@type" asks for the column `type` of the examples of "elpv". Tasks of
one data set share each batch, its forward pass and its backward pass. Tasks of several data sets have a loader each. A
step then takes a batch of every data set, and a shorter one starts again. With a temperature, a step takes a batch of
one data set.

Each term of the loss is the mean over the examples of its task in the step. So tasks with batches of unequal size get
the weights that are written, and no others. The gradient of the shared weights is the weighted sum of the tasks'
gradients. Strategies that combine the gradients in another way are in strategies.task_gradients.

A task of weight 0 is left out: its batches aren't drawn, and its head doesn't run. So with all other weights 0 the run
equals single-task training to the last bit. BatchNorm normalises the batch of each data set by itself, and its running
statistics follow all of them.

Costs: one backward pass per batch. Tasks of one data set cost one pass together, and K data sets cost K passes per
step, or one with a temperature. A head of N outputs on D features has N (D + 1) weights. Lesson:
notebooks/05_multitask.ipynb.

Letters: B examples, D features, K tasks, N outputs of a head.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ftlib.networks import Heads, repeated, require_linear_head
from ftlib.strategy import ONE_HEAD, TARGETS, WEIGHTS, Strategy, count_targets, target_loss

LOG_VARIANCES = "head.log_variances"


def shares(sizes: list[int], temperature: float) -> Tensor:
    """The probability of each data set in a step, ∝ n^(1/T): T = 1 follows the sizes, a large T takes all alike."""
    return (torch.tensor(sizes, dtype=torch.double).log() / temperature).softmax(0)


def question(task: str) -> tuple[str, str]:
    """("elpv", "type") for "elpv@type"; the second is "" for the task of the labels themselves."""
    base, _, column = task.partition("@")
    return base, column


def size(loaders: dict, name: str, examples: bool = False) -> int:
    """Batches of a loader, or its examples if it says how many it has. ValueError for a loader without a length."""
    loader = loaders[name]
    try:
        return len(getattr(loader, "dataset", loader) if examples else loader)
    except TypeError:
        raise ValueError(
            f"several loaders are read side by side, but {name!r} does not say how long it is: give a DataLoader or a "
            f"list of batches"
        ) from None


@dataclass
class MultiTask(Strategy):
    """Multi-task learning gives each task a head of its own on shared features, and trains all of them together.

    The head of the model becomes that of the first task, which answers where no task is named. The other heads are
    drawn anew. After training, ``batch["task"]`` decides which head answers, so `ftlib.evaluate` scores each task with
    its own loader.

    Parameters
    ----------
    tasks : dict of str to int
        ``{name of the task: outputs of its head}``. One output is a number, trained with the squared error. More are
        classes. The outputs of the first task are those of the model's head.
    weights : dict of str to float, default {}
        Factors on the tasks' mean losses, at least 0. A task that is not named has 1. With 0 it is left out.
    temperature : float or None, default None
        None takes a batch of every data set in each step. A number T > 0 takes one data set per step, with probability
        ∝ (number of examples)^(1/T). With T = 1 each example is seen equally often, and with a large T each data set.
        Multilingual models use 5.
    width : int, default 0
        Units of a hidden layer with ReLU that all heads read. 0 leaves it out. With it the first head is drawn anew,
        too.

    Raises
    ------
    ValueError
        If there is no task, a number is out of its range, a weight names no task, a loader or a column is missing, or
        the model is a language model or has other heads.

    Notes
    -----
    Give `ftlib.fit` one loader for all tasks of a data set, called "train" or by the name of the data set. A loader by
    the name of a task is read for that task alone.

    References
    ----------
    Caruana (1997), Multitask Learning, Machine Learning 28. Arivazhagan et al. (2019), Massively Multilingual Neural
    Machine Translation in the Wild, arXiv:1907.05019.

    Examples
    --------
    >>> asked = [{**batch, "task": "toy", "even": batch["labels"] % 2} for batch in train]
    >>> strategy = strategies.MultiTask(tasks={"toy": 3, "toy@even": 2}, weights={"toy@even": 0.5})
    >>> model, history = ftlib.fit(model, asked, strategy, steps=2, lr=0.01, verbose=False)
    >>> sorted(history[0]["terms"])
    ['toy', 'toy@even']
    >>> model(asked[0]).shape, model({**asked[0], "task": "toy@even"}).shape
    (torch.Size([16, 3]), torch.Size([16, 2]))
    """

    tasks: dict[str, int] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    temperature: float | None = None
    width: int = 0
    role = "heads"
    exclusive = (TARGETS, ONE_HEAD)

    def __post_init__(self):
        name = type(self).__name__
        for knob, form in (("tasks", "{name: outputs}"), ("weights", "{name of a task: factor}")):
            if not isinstance(value := getattr(self, knob), dict):
                raise ValueError(f"{knob} of {name} must be {form}, but it is {value!r}: give a dict")
        if not self.tasks:
            raise ValueError(
                f"{name} needs tasks, {{name: outputs}}, but they are {self.tasks!r}: give two of them, such as "
                f"{{'elpv': 2, 'elpv@type': 2}}"
            )
        for task, outputs in self.tasks.items():
            if not isinstance(task, str) or type(outputs) is not int or outputs < 1:
                raise ValueError(
                    f"tasks of {name} must be {{name: outputs}} with whole numbers of at least 1, but there is "
                    f"{task!r}: {outputs!r}: give 1 for a number, and the number of classes otherwise"
                )
        if unknown := [task for task in self.weights if task not in self.tasks]:
            raise ValueError(f"weights of {name} name {unknown[0]!r}, but its tasks are {', '.join(self.tasks)}")
        for task, weight in self.weights.items():
            if type(weight) not in (int, float) or not 0 <= weight < math.inf:
                raise ValueError(
                    f"weights of {name} must be finite numbers of at least 0, but that of {task!r} is {weight!r}: 0 "
                    f"leaves a task out"
                )
        if not self.trained():
            raise ValueError(f"all weights of {name} are 0, so there is nothing to train: leave one above 0")
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, but it is {self.temperature}: 1 follows the sizes")
        if self.width < 0:
            raise ValueError(f"width must not be negative, but it is {self.width}: 0 leaves the shared layer out")

    def trained(self) -> list[str]:
        """The tasks whose weight is not 0."""
        return [task for task in self.tasks if self.weights.get(task, 1.0) > 0]

    # ---- the model

    def prepare(self, model: nn.Module) -> nn.Module:
        if isinstance(model.head, Heads):
            self._check_heads(model.head)
            return model
        require_linear_head(model, self, "gives each task a head of its own")
        model.head = self._heads(model.head)
        return model

    def _heads(self, own: nn.Linear) -> Heads:
        """The heads, of which the first is the model's own."""
        (first, outputs), *_ = self.tasks.items()
        if not self.width and own.out_features != outputs:
            raise ValueError(
                f"the first task of {type(self).__name__}, {first!r}, has {outputs} outputs and the head of this model "
                f"{own.out_features}: load the model with the first task, or correct the number"
            )
        with torch.random.fork_rng(devices=[]):  # the draws that follow are those of single-task training
            hidden = nn.Sequential(nn.Linear(own.in_features, self.width), nn.ReLU()) if self.width else None
            made = {task: nn.Linear(self.width or own.in_features, n) for task, n in self.tasks.items()}
        if not self.width:
            made[first] = own
        return Heads(made, hidden).to(own.weight)

    def _check_heads(self, heads: Heads) -> None:
        """ValueError unless the heads of the model are those of the tasks, as after an earlier run."""
        there = {name: head.out_features for name, head in heads.items()}
        width = heads.shared[0].out_features if isinstance(heads.shared, nn.Sequential) else 0
        if any(there.get(Heads.key(task)) != outputs for task, outputs in self.tasks.items()) or width != self.width:
            raise ValueError(
                f"this model has the heads {there} and width {width}, but {type(self).__name__} asks for {self.tasks} "
                f"and width {self.width}: load the model anew, or name the same tasks"
            )

    # ---- the batches

    def readers(self, loaders: dict) -> dict[str, list[str]]:
        """{loader: the tasks that are trained on its batches}. ValueError where a task has no loader."""
        found, every = {}, set()
        for task in self.tasks:
            base = question(task)[0]
            name = next((name for name in (task, base, "train") if name in loaders), None)
            every.add(name or base)
            if task not in self.trained():
                continue
            if name is None:
                raise ValueError(
                    f"{type(self).__name__} trains {task!r}, but there is no loader {base!r} and none called 'train': "
                    f"the loaders are {', '.join(loaders)}"
                )
            found.setdefault(name, []).append(task)
        if self.temperature is not None and len(every) == 1 < len(self.tasks):
            raise ValueError(
                f"temperature chooses between loaders, but the tasks {', '.join(self.tasks)} share the loader "
                f"{every.pop()!r}: leave temperature out, or give each task a loader by its name"
            )
        return found

    def batches(self, loaders: dict) -> Iterator[list[dict]]:
        read = self.readers(loaders)
        names = list(read)
        if len(names) == 1:
            yield from ([self.asked(batch, read[names[0]])] for batch in loaders[names[0]])
        elif self.temperature is None:
            longest = max(names, key=lambda name: size(loaders, name))
            others = {name: repeated(loaders, name) for name in names if name != longest}
            for batch in loaders[longest]:
                drawn = {name: batch if name == longest else next(others[name]) for name in names}
                yield [self.asked(drawn[name], read[name]) for name in names]
        else:
            p = shares([size(loaders, name, examples=True) for name in names], self.temperature)
            endless = {name: repeated(loaders, name) for name in names}
            for _ in range(sum(size(loaders, name) for name in names)):
                name = names[int(torch.multinomial(p, 1))]
                yield [self.asked(next(endless[name]), read[name])]

    def asked(self, batch: dict, tasks: list[str]) -> dict:
        """The batch with the number of targets that it has for each of the tasks."""
        return {**batch, "n": {task: count_targets(self.targets(task, batch)) for task in tasks}}

    def targets(self, task: str, batch: dict) -> Tensor:
        """What a batch answers to a task: its labels, or the column behind the "@". ValueError where it has neither."""
        (base, column), given = question(task), batch.get("task", question(task)[0])
        name = "labels" if given == task else column
        if not name or question(given)[0] != base:
            raise ValueError(
                f"{type(self).__name__} trains {task!r}, but this batch is of {given!r}, which does not answer it: "
                f"give fit a loader called {base!r}, or name the task {given!r}"
            )
        if name not in batch:
            raise ValueError(
                f"{type(self).__name__} trains {task!r}, but a batch of {given!r} has no column {name!r}: it has "
                f"{', '.join(batch)}"
            )
        labels, outputs = batch[name], self.tasks[task]
        if outputs == 1:
            return labels.float()
        if labels.is_floating_point() and labels.ndim == 1:
            raise ValueError(f"{task!r} is answered by numbers, not by {outputs} classes: give it 1 output")
        return labels

    # ---- the loss

    def loss(self, model: nn.Module, batch: dict) -> dict[str, Tensor]:
        features = model.features(batch)  # (B, D), once for all heads
        terms = {}
        for task, n in batch["n"].items():
            value = target_loss(model.head(features, task), self.targets(task, batch))
            terms[task] = self.weights.get(task, 1.0) * self.term(model.head, task, value, n)
        return terms

    def term(self, heads: Heads, task: str, value: Tensor, n: int) -> Tensor:
        """A task's part of the loss, from the sum of its losses over n targets."""
        return value


@dataclass
class UncertaintyWeighting(MultiTask):
    """Uncertainty weighting learns the weight of each task, together with the network.

    Task k has a learned log variance s_k. Its term is e^(−s) · L + s/2 for classes and e^(−s)/2 · L + s/2 for a number,
    where L is its mean loss. The second part keeps the weights from falling to 0. Without it, ignoring a task would
    cost nothing. For a fixed network the best s is log 2L, or log L for a number, so a task with a large loss gets a
    small weight. All s begin at 0, where the weights of classes are 1.

    Parameters
    ----------
    tasks : dict of str to int
        ``{name of the task: outputs of its head}``, see `MultiTask`.
    weights : dict of str to float, default {}
        Factors on the tasks' whole terms, at least 0, see `MultiTask`.
    temperature : float or None, default None
        See `MultiTask`.
    width : int, default 0
        See `MultiTask`.
    rate : float, default 10.0
        Learning rate of the log variances divided by that of the network, above 0. A rate for fine-tuning moves a
        number by a tenth in a hundred steps of AdamW, which is too slow. The peak rate that `fit` reports is theirs.

    Raises
    ------
    ValueError
        As in `MultiTask`, and if `rate` is not above 0.

    Notes
    -----
    These are the losses of the paper, with s = log σ². The library LibMTL takes e^(−s)/2 · L + s/2 for each kind of
    task and begins at s = −0.5. The log variances have no weight decay of their own. They are ``head.log_variances``,
    in the order of the heads. The loss in the history can be negative.

    References
    ----------
    Kendall, Gal & Cipolla (2018), Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics, CVPR, arXiv:1705.07115.

    Examples
    --------
    >>> asked = [{**batch, "task": "toy", "even": batch["labels"] % 2} for batch in train]
    >>> strategy = strategies.UncertaintyWeighting(tasks={"toy": 3, "toy@even": 2})
    >>> model, _ = ftlib.fit(model, asked, strategy, steps=20, lr=0.01, verbose=False)
    >>> weights = (-model.head.log_variances).exp()
    >>> weights.shape
    torch.Size([2])
    """

    rate: float = 10.0
    exclusive = (*MultiTask.exclusive, WEIGHTS)

    def __post_init__(self):
        super().__post_init__()
        if not self.rate > 0:
            raise ValueError(f"rate must be above 0, but it is {self.rate}: for fixed weights take MultiTask")

    def prepare(self, model: nn.Module) -> nn.Module:
        model = super().prepare(model)
        if not hasattr(model.head, "log_variances"):
            like = next(model.head.parameters())
            model.head.log_variances = nn.Parameter(like.new_zeros(len(model.head)))  # (K,)
        return model

    def groups(self, groups: list[dict]) -> list[dict]:
        out = []
        for group in groups:
            own = [(name, p) for name, p in group["params"] if name == LOG_VARIANCES]
            rest = [(name, p) for name, p in group["params"] if name != LOG_VARIANCES]
            out += [{**group, "params": rest}] if rest else []
            out += [{**group, "params": own, "lr": group["lr"] * self.rate, "weight_decay": 0.0}] if own else []
        return out

    def term(self, heads: Heads, task: str, value: Tensor, n: int) -> Tensor:
        s = heads.log_variances[list(heads).index(Heads.key(task))]
        scale = 0.5 if self.tasks[task] == 1 else 1.0
        return scale * torch.exp(-s) * value + n * s / 2
