"""What Avalanche says of tiny networks, and of five tasks of digits: continual_peers.json.

tests/strategies/test_continual_peers.py and test_continual_scores.py read it. Avalanche is not among the pinned
packages: it brings wandb, tensorboard and two dozen others that nothing else here needs. So its values are kept as
data. To make them anew, in ten minutes, in an environment with torch and scikit-learn:

    pip install avalanche-lib==0.6.0
    PYTHONPATH=tests python tests/data/continual_peers.py
"""

import json
import random
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_tensor_classification_dataset as dataset
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metrics.forgetting_bwt import BWT, Forgetting
from avalanche.training import storage_policy as storage
from avalanche.training.plugins import (
    AGEMPlugin,
    EvaluationPlugin,
    EWCPlugin,
    LwFPlugin,
    ReplayPlugin,
    SynapticIntelligencePlugin,
)
from avalanche.training.supervised import DER, Naive
from torch import nn

import continual

PEERS = ["avalanche-lib", "scikit-learn", "torch"]
LAMBDA, DECAY, ALPHA, BETA, DAMPING = 3.0, 0.25, 0.3, 0.7, 0.05
warnings.simplefilter("ignore")  # Avalanche's own, in each task


def numbers(*shape, seed: int):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g).round(decimals=3)


def network(weights: dict | None = None) -> continual.MLP:
    model = continual.MLP(3, 4, 3, between=nn.Tanh)
    if weights:
        model.load_state_dict(weights)
    return model


def lists(tensors: dict) -> dict:
    return {name: value.tolist() for name, value in tensors.items()}


def flat_to_lists(model, flat: dict) -> dict:
    """What SI keeps of each parameter, in its shape."""
    return {name: flat[name].data.view_as(p).tolist() for name, p in model.named_parameters()}


def with_gradients(value, model) -> dict:
    """{"value", "gradients"}: of a scalar, and of it with respect to each weight."""
    grads = torch.autograd.grad(value, list(model.parameters()), retain_graph=True)
    return {"value": value.item(), "gradients": lists(dict(zip(dict(model.named_parameters()), grads, strict=True)))}


def agent(model, data=None, task=0, batch_size=4, **more):
    """What a plugin asks of a strategy."""
    optimizer, experience = torch.optim.SGD(model.parameters(), lr=0.0), SimpleNamespace(dataset=data)
    return SimpleNamespace(
        model=model, _criterion=nn.CrossEntropyLoss(), optimizer=optimizer, experience=experience, device="cpu",
        train_mb_size=batch_size, clock=SimpleNamespace(train_exp_counter=task), loss=torch.zeros(()), **more,
    )  # fmt: skip


# ---- tiny networks


def ewc(weights, data, batch_size, **knobs) -> tuple[dict, dict]:
    """(the importances after two tasks, the penalty at other weights)."""
    plugin = EWCPlugin(LAMBDA, **knobs)
    for task in (0, 1):
        plugin.after_training_exp(agent(network(weights[task]), data[task], task, batch_size))
    importances = {task: lists({k: v.data for k, v in each.items()}) for task, each in plugin.importances.items()}
    here = agent(network(weights[2]), task=2)
    plugin.before_backward(here)
    return importances, with_gradients(here.loss, here.model)


def lwf(weights, data, x, temperature) -> dict:
    plugin = LwFPlugin(LAMBDA, temperature)
    plugin.after_training_exp(agent(network(weights[0]), data[0]))
    now = network(weights[1])
    here = agent(now, mb_x=x, mb_output=now(x))
    plugin.before_backward(here)
    return with_gradients(here.loss, now)


def agem(weights, g, r) -> dict:
    plugin, model = AGEMPlugin(4, 4), network(weights[0])
    plugin.buffers, plugin.reference_gradients = [None], torch.cat([value.flatten() for value in r.values()])
    for name, p in model.named_parameters():
        p.grad = g[name].clone()
    plugin.after_backward(agent(model))
    return lists({name: p.grad for name, p in model.named_parameters()})


def agem_sizes(data) -> list[dict]:
    """What it holds, and how many of them a step looks at, after each of three tasks."""
    plugin, out = AGEMPlugin(5, 8), []
    for each in (data[0], data[1], data[0]):
        plugin.update_memory(each)
        out.append({"held": sum(map(len, plugin.buffers)), "a step": len(plugin.sample_from_memory()[0])})
    return out


class Watched(SupervisedPlugin):
    """Keeps the steps of a DER++ run in which examples are remembered."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def before_backward(self, strategy, **kwargs):
        if strategy.replay_loader is None:
            return
        memory = strategy.batch_size_mem
        (x, y), stored = strategy.mbatch[:2], strategy.batch_logits
        self.steps.append({
            "weights": lists(strategy.model.state_dict()), **with_gradients(strategy.loss, strategy.model),
            "new": {"x": x[memory:].tolist(), "labels": y[memory:].tolist()},
            "old": {"x": x[:memory].tolist(), "labels": y[:memory].tolist(), "logits": stored.tolist()},
        })  # fmt: skip


def der(weights, data) -> dict:
    torch.manual_seed(0)
    model, watched = network(weights[0]), Watched()
    strategy = DER(
        model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.5), mem_size=6, batch_size_mem=4, alpha=ALPHA,
        beta=BETA, train_mb_size=4, plugins=[watched], evaluator=EvaluationPlugin(),
    )  # fmt: skip
    first, second = benchmark_from_datasets(train=data).train_stream
    strategy.train(first, shuffle=False)
    then = lists(model.state_dict())
    strategy.train(second, shuffle=False)
    return {"weights at the end of the first task": then, **watched.steps[1]}


def si(weights, data) -> dict:
    """Four steps, as Avalanche takes them: what its plugin holds, with the sums after each step."""

    class Sums(SupervisedPlugin):
        def after_training_iteration(self, strategy, **kwargs):
            found["after each step"].append(flat_to_lists(strategy.model, plugin.syn_data["trajectory"]))

    found = {"after each step": []}
    model, plugin = network(weights[0]), SynapticIntelligencePlugin(LAMBDA, eps=DAMPING)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01, fused=True)
    strategy = Naive(
        model=model, optimizer=optimizer, criterion=nn.CrossEntropyLoss(), train_mb_size=4, train_epochs=2,
        plugins=[plugin, Sums()], evaluator=EvaluationPlugin(),
    )  # fmt: skip
    (task,) = benchmark_from_datasets(train=[data[1]]).train_stream
    strategy.train(task, shuffle=False)
    found["end"], found["importance"] = lists(model.state_dict()), flat_to_lists(model, plugin.ewc_data[1])
    here = agent(network(weights[2]), task=1)
    plugin.before_backward(here)
    return {**found, "penalty": here.loss.item()}


def extract_copies(model, target, excluded):
    """What `extract_weights` of Avalanche's SI is meant to do: on a CPU, it keeps the weights themselves, no copies."""
    for name, p in SynapticIntelligencePlugin.allowed_parameters(model, excluded):
        target[name].data = p.detach().clone().flatten()


def rows(labels: list[int], first: int = 0):
    """Examples whose only input is their number."""
    return dataset(torch.arange(first, first + len(labels)), torch.tensor(labels))


def held(buffer) -> list[int]:
    return [int(buffer.buffer[i][0]) for i in range(len(buffer.buffer))]


def buffers() -> dict:
    torch.manual_seed(0)
    found = {}
    for name, buffer in (
        ("reservoir", storage.ReservoirSamplingBuffer(10)),
        ("balanced over tasks", storage.ExperienceBalancedBuffer(10)),
    ):
        sizes = []
        for task, n in enumerate((6, 30, 4)):
            buffer.post_adapt(None, SimpleNamespace(dataset=rows([0] * n, 100 * task)))
            kept = Counter(i // 100 for i in held(buffer))
            sizes.append([kept[t] for t in range(task + 1)])
        found[name] = sizes
    balanced, labels = storage.ClassBalancedBuffer(24), [0] * 60 + [1] * 60 + [2] * 4
    balanced.post_adapt(None, SimpleNamespace(dataset=rows(labels)))
    found["balanced over classes"] = [Counter(labels[i] for i in held(balanced))[c] for c in range(3)]
    counts = Counter()
    for _ in range(2000):
        buffer = storage.ReservoirSamplingBuffer(5)
        for task in (0, 1):
            buffer.post_adapt(None, SimpleNamespace(dataset=rows([0] * 10, 10 * task)))
        counts.update(held(buffer))
    found["kept in 2000 reservoirs"] = [counts[i] for i in range(20)]
    return found


def forgetting(R: list[list[float]]) -> dict:
    """Backward transfer and forgetting of each task but the last."""
    found = {}
    for name, metric in (("backward", BWT()), ("forgetting", Forgetting())):
        for i, row in enumerate(R):
            for j, value in enumerate(row[: i + 1]):
                metric.update(j, value, initial=i == j)
        found[name] = [metric.result()[j] for j in range(len(R) - 1)]
    return found


def tiny() -> tuple[dict, dict]:
    """(inputs, what Avalanche finds)."""
    names = {name: p.shape for name, p in network().named_parameters()}
    weights = [{k: numbers(*shape, seed=10 * i + j) for j, (k, shape) in enumerate(names.items())} for i in range(3)]
    g, r = ({k: numbers(*shape, seed=10 * i + j) for j, (k, shape) in enumerate(names.items())} for i in (3, 4))
    against = {k: -value for k, value in r.items()}
    if sum((g[k] * r[k]).sum() for k in g) < 0:
        r, against = against, r
    xs, ys = [numbers(10, 3, seed=90), numbers(8, 3, seed=91)], [[0, 2] * 5, [1, 0, 1, 2, 2, 1, 0, 1]]
    data = [dataset(x, torch.tensor(y)) for x, y in zip(xs, ys, strict=True)]
    R = [[0.9, 0.0, 0.1], [0.95, 0.8, 0.0], [0.4, 0.5, 0.7]]
    (singles, penalty), (batches, _) = (ewc(weights, data, n) for n in (1, 4))
    online_importance, online_penalty = ewc(weights, data, 1, mode="online", decay_factor=DECAY)
    as_it_is = si(weights, data)
    SynapticIntelligencePlugin.extract_weights = staticmethod(extract_copies)
    found = {
        "ewc importance, one example at a time": singles[0],
        "ewc importance, batches of 4": batches[0],
        "ewc penalty": penalty,
        "online ewc importance": online_importance[1],
        "online ewc penalty": online_penalty,
        **{f"lwf, temperature {t}": lwf(weights, data, xs[1], t) for t in (1, 2, 3)},
        "a-gem, against": agem(weights, g, against),
        "a-gem, along": agem(weights, g, r),
        "a-gem, sizes": agem_sizes(data),
        "der++": der(weights, data),
        "si, as it is": as_it_is,
        "si, with copies": si(weights, data),
        "buffers": buffers(),
        "forgetting": forgetting(R),
    }
    given = {
        "weights": [lists(each) for each in weights], "x": [x.tolist() for x in xs], "y": ys, "g": lists(g),
        "against": lists(against), "along": lists(r), "R": R, "lambda": LAMBDA, "decay": DECAY, "alpha": ALPHA,
        "beta": BETA, "damping": DAMPING,
    }  # fmt: skip
    return given, found


# ---- five tasks of digits


class EWCOfSingles(EWCPlugin):
    """Its importance from one example at a time, and how many times as large that is as the one from batches."""

    def __init__(self, strength):
        super().__init__(strength)
        self.sums = []

    def compute_importances(self, model, criterion, optimizer, data, device, batch_size, num_workers=0):
        given = (model, criterion, optimizer, data, device)
        found = [super(EWCOfSingles, self).compute_importances(*given, n, num_workers) for n in (1, batch_size)]
        self.sums.append([sum(value.data.sum().item() for value in each.values()) for each in found])
        return found[0]


SINGLES, BATCHES = "ewc", "ewc, importance of batches"
PLUGINS = {  # for the names that ours have, the same numbers; alpha has no T² here, and lambda is not halved
    "naive": lambda: [],
    SINGLES: lambda: [EWCOfSingles(continual.STRENGTH / 2)],
    "lwf": lambda: [LwFPlugin(alpha=continual.TEMPERATURE**2, temperature=continual.TEMPERATURE)],
    "replay": lambda: [
        ReplayPlugin(continual.MEMORY, storage_policy=storage.ReservoirSamplingBuffer(continual.MEMORY))
    ],
    "replay, balanced": lambda: [ReplayPlugin(continual.MEMORY)],
    "a-gem": lambda: [AGEMPlugin(continual.MEMORY // 4, continual.REMEMBERED)],
    "der++": lambda: [],
    BATCHES: lambda: [EWCPlugin(continual.STRENGTH / 2)],
    f"{BATCHES}, 16 lambda": lambda: [EWCPlugin(16 * continual.STRENGTH / 2)],
    "naive, optimizer kept": lambda: [],
}
RATIOS = []  # of the two importances


def theirs(name: str, seed: int) -> list[list[float]]:
    """The accuracy on each task after each."""
    given, model, found, plugins = continual.tasks(seed), continual.mlp(seed), [], PLUGINS[name]()
    optimizer = torch.optim.AdamW(model.parameters(), lr=continual.RATE, weight_decay=continual.DECAY, fused=True)
    knobs = {
        "model": model, "optimizer": optimizer, "criterion": nn.CrossEntropyLoss(), "train_mb_size": continual.BATCH,
        "train_epochs": continual.EPOCHS, "evaluator": EvaluationPlugin(), "plugins": plugins,
    }  # fmt: skip
    if name == "der++":
        strategy = DER(**knobs, mem_size=continual.MEMORY, batch_size_mem=continual.REMEMBERED, alpha=0.5, beta=0.5)
    else:
        strategy = Naive(**knobs)
    torch.manual_seed(10 * seed)
    random.seed(seed)
    for task in benchmark_from_datasets(train=[dataset(*train) for train, _ in given]).train_stream:
        fresh = name != "naive, optimizer kept"
        strategy.train(task, shuffle=name in continual.SHUFFLED, reset_optimizer_state=fresh)
        found.append(continual.accuracies(model, given))
    if name == SINGLES:
        RATIOS.append([round(singles / batches, 2) for singles, batches in plugins[0].sums])
    return found


def main() -> None:
    given, found = tiny()
    out = {
        "made by": "tests/data/continual_peers.py", "versions": {name: version(name) for name in PEERS},
        "inputs": given, "found": found, "seeds": [*continual.SEEDS], "scores": continual.scores(theirs, PLUGINS),
        "importance of singles over that of batches, after each task": RATIOS,
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
