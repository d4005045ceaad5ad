"""A model, data and strategies small enough for hundreds of runs: the mechanics are tested on them, not the science."""

import math
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from transformers import AutoModel, AutoModelForCausalLM, BertConfig, LlamaConfig

from ftlib.models.text import Decoder, Encoder
from ftlib.networks import Heads
from ftlib.strategies.domain import reverse
from ftlib.strategy import Strategy, count_targets


class Net(nn.Module):
    """B examples of D = 6 inputs, H = 16 features, K = 3 classes; two stages and a head, like the real models."""

    def __init__(self, bn=True, p=0.0):
        super().__init__()
        norm = nn.BatchNorm1d(16) if bn else nn.Identity()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(6, 16), norm, nn.Tanh(), nn.Dropout(p)),
                nn.Sequential(nn.Linear(16, 16), nn.Tanh()),
            ]
        )
        self.head = nn.Linear(16, 3)

    def features(self, batch):
        h = batch["x"]  # (B, D)
        for stage in self.stages:
            h = stage(h)
        return h  # (B, H)

    def forward(self, batch):
        h = self.features(batch)
        if isinstance(self.head, Heads):
            return self.head(h, batch.get("task"))  # (B, K of the task)
        return self.head[batch["task"]](h) if isinstance(self.head, nn.ModuleDict) else self.head(h)  # (B, K)

    def reset_parameters(self):
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()


def data(n=64, seed=0, bs=16, shift=0.0, shuffle=False, dtype=torch.float32, labels=True):
    """A loader of a learnable three-class problem; without labels, reading one is a KeyError."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=g, dtype=dtype) + shift
    y = (x[:, 0] > shift).long() + (x[:, 1] > shift).long()
    rows = [{"x": x[i], "index": i, **({"labels": y[i]} if labels else {})} for i in range(n)]
    return DataLoader(rows, batch_size=bs, shuffle=shuffle)


def net(seed=0, **knobs):
    torch.manual_seed(seed)
    return Net(**knobs)


class Block(nn.Module):
    """A residual branch as in timm's networks: what `drop_path` gives is added to the input."""

    def __init__(self, p=0.0):
        super().__init__()
        self.conv, self.drop, self.drop_path = nn.Conv2d(8, 8, 1), nn.Dropout(p), nn.Identity()

    def forward(self, x):
        return x + self.drop_path(torch.tanh(self.drop(self.conv(x))))


class Eye(Net):
    """The same for pictures: C = 1 channel of 8 x 8 pixels, H = 8 features, K = 3 classes."""

    kind = "image"

    def __init__(self, bn=True, p=0.0):
        super().__init__()
        norm = nn.BatchNorm2d(8) if bn else nn.Identity()
        self.stages = nn.ModuleList([nn.Sequential(nn.Conv2d(1, 8, 3), norm, nn.Tanh()), Block(p)])
        self.head = nn.Linear(8, 3)

    def features(self, batch):
        h = batch["pixels"]  # (B, C, H, W)
        for stage in self.stages:
            h = stage(h)
        return h.mean((2, 3))  # (B, H)


def eye(seed=0, **knobs):
    torch.manual_seed(seed)
    return Eye(**knobs)


def pictures(n=64, seed=0, bs=16, shuffle=False, size=8):
    """A loader of grey pictures, chequered finely, chequered coarsely or plain: what no flip or turn changes."""
    g = torch.Generator().manual_seed(seed)
    i = torch.arange(size)
    cells = [((i[:, None] // w + i // w) % 2).float() for w in (1, 4)] + [torch.full((size, size), 0.5)]
    x = 0.25 + 0.5 * torch.stack([cells[k % 3] for k in range(n)])[:, None]  # (N, C, H, W)
    x = (x + 0.05 * torch.randn(x.shape, generator=g)).clamp(0, 1)
    return DataLoader([{"pixels": x[k], "labels": torch.tensor(k % 3), "index": k} for k in range(n)], bs, shuffle)


SMALL = {"vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
SMALL |= {"max_position_embeddings": 32, "pad_token_id": 0}


def encoder(seed=0):
    """A BERT of two layers with a head of three classes, for strategies that need a text."""
    torch.manual_seed(seed)
    make = partial(AutoModel.from_config, BertConfig(**SMALL), attn_implementation="sdpa")
    return Encoder(make(), make, "small-bert", 3)


def decoder(seed=0):
    """A Llama of two layers that shares its head with its embeddings, and its keys between heads, as SmolLM2 does."""
    torch.manual_seed(seed)
    config = LlamaConfig(**SMALL, num_key_value_heads=2, tie_word_embeddings=True)
    make = partial(AutoModelForCausalLM.from_config, config, attn_implementation="sdpa")
    return Decoder(make(), make, "small-llama")


def sentences(n=64, seed=0, bs=16, shuffle=False):
    """A loader of texts of 4 to 8 tokens, padded on the right: the words of each class are its own."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    ids = 1 + 7 * labels[:, None] + torch.randint(7, (n, 8), generator=g)  # (N, T)
    mask = (torch.arange(8) < torch.randint(4, 9, (n, 1), generator=g)).long()
    rows = [
        {"input_ids": ids[i] * mask[i], "attention_mask": mask[i], "labels": labels[i], "index": i} for i in range(n)
    ]
    return DataLoader(rows, batch_size=bs, shuffle=shuffle)


class Asked:
    """The batches of a loader as those of one task: its labels, and columns that answer three more questions.

    "high": whether the class is not 0. "size": the number of the class. "odd": whether the example's number is odd,
    which nothing in the input tells.
    """

    def __init__(self, loader, task="toy"):
        self.loader, self.task = loader, task

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for batch in self.loader:
            y = batch["labels"]
            yield {**batch, "high": (y > 0).long(), "size": y.double(), "odd": batch["index"] % 2, "task": self.task}


def weights(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def changed(a, b):
    return {k for k in a if not torch.equal(a[k], b[k])}


def flat(grads):
    return torch.cat([g.flatten() for g in grads.values()])


@dataclass
class Freeze(Strategy):
    names: list = field(default_factory=lambda: ["stages"])
    role = "freezing"

    def prepare(self, model):
        for name in self.names:
            model.get_submodule(name).requires_grad_(False)
        return model

    def before_step(self, model, progress):
        for name in self.names:
            model.get_submodule(name).eval()


class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base, self.scale = base, alpha / r
        self.A = nn.Parameter(torch.randn(r, base.in_features) / base.in_features**0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, r))

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)


@dataclass
class LoRA(Strategy):
    r: int = 2
    alpha: float = 4.0
    role = "injection"

    def prepare(self, model):
        for name, p in model.stages.named_parameters():
            p.requires_grad_(name.endswith((".A", ".B")))
        for stage in model.stages:
            if type(stage[0]) is nn.Linear:
                stage[0] = LoRALinear(stage[0], self.r, self.alpha)
        return model

    def before_step(self, model, progress):
        model.stages.eval()


@dataclass
class NoDecay(Strategy):
    def groups(self, groups):
        parts = [
            (g, [q for q in g["params"] if (q[1].ndim > 1) == wide], wide) for g in groups for wide in (True, False)
        ]
        return [{**g, "params": ps, "weight_decay": g["weight_decay"] * wide} for g, ps, wide in parts if ps]


@dataclass
class Cosine(Strategy):
    warmup: float = 0.0

    def lr_scale(self, progress):
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


@dataclass
class Mixup(Strategy):
    alpha: float = 0.2
    role = "mix"

    def transform(self, batch):
        lam = torch.distributions.Beta(self.alpha, self.alpha).sample()
        order, y = torch.randperm(len(batch["labels"])), F.one_hot(batch["labels"], 3).float()
        mix = lambda v: lam * v + (1 - lam) * v[order]  # noqa: E731
        return {**batch, "x": mix(batch["x"]), "labels": mix(y)}


@dataclass
class Noise(Strategy):
    std: float = 0.1
    role = "augment"

    def transform(self, batch):
        return {**batch, "x": batch["x"] + self.std * torch.randn_like(batch["x"])}


@dataclass
class Decay(Strategy):
    c: float = 3.0

    def penalty(self, model, batch):
        return self.c * sum((p**2).sum() for p in model.parameters())


@dataclass
class EWC(Strategy):
    lam: float = 1.0

    def __post_init__(self):
        self.anchors = []  # [{name: [Fisher, value]}], one a finished task

    def penalty(self, model, batch):
        now = dict(model.named_parameters())
        pulls = [(f * (now[k] - v) ** 2).sum() for a in self.anchors for k, (f, v) in a.items() if now[k].requires_grad]
        return self.lam / 2 * sum(pulls)

    def finish(self, model, loaders):
        params = {k: p for k, p in model.named_parameters() if p.requires_grad}
        fisher, n = {k: torch.zeros_like(p) for k, p in params.items()}, 0
        for batch in loaders["train"]:
            for i in range(len(batch["labels"])):
                loss = F.cross_entropy(model({"x": batch["x"][i : i + 1]}), batch["labels"][i : i + 1])
                for k, g in zip(params, torch.autograd.grad(loss, list(params.values())), strict=True):
                    fisher[k] += g**2
                n += 1
        self.anchors.append({k: [fisher[k] / n, p.detach().clone()] for k, p in params.items()})


@dataclass
class MultiTask(Strategy):
    tasks: list = field(default_factory=lambda: ["a", "b"])
    role = "heads"

    def prepare(self, model):
        if not isinstance(model.head, nn.ModuleDict):
            like = model.head.weight.dtype
            model.head = nn.ModuleDict({t: nn.Linear(16, 3, dtype=like) for t in self.tasks})
        return model

    def batches(self, loaders):
        for items in zip(*(loaders[t] for t in self.tasks), strict=False):
            yield [{**b, "task": t, "n": {t: len(b["labels"])}} for t, b in zip(self.tasks, items, strict=True)]


@dataclass
class PCGrad(Strategy):
    """Yu et al. 2020, for two tasks, where the order of the projections does not matter."""

    def gradient(self, grads, losses):
        names, g = list(next(iter(grads.values()))), {t: flat(v) for t, v in grads.items()}
        out = 0
        for t in g:
            v = g[t].clone()
            for s in g:
                if s != t and (dot := v @ g[s]) < 0:
                    v -= dot / (g[s] @ g[s]) * g[s]
            out = out + v
        like = next(iter(grads.values()))
        parts = out.split([like[k].numel() for k in names])
        return {k: p.view_as(like[k]) for k, p in zip(names, parts, strict=True)}


@dataclass
class AGEM(Strategy):
    size: int = 32

    def __post_init__(self):
        self.memory = []

    def batches(self, loaders):
        for batch in loaders["train"]:
            batch = {**batch, "n": {"loss": count_targets(batch["labels"])}}
            past = {k: torch.cat([m[k] for m in self.memory]) for k in ("x", "labels")} if self.memory else None
            yield [batch] + ([{**past, "n": {"memory": len(past["labels"])}}] if past else [])

    def gradient(self, grads, losses):
        g, ref = grads["loss"], grads.get("memory")
        if ref is None or (dot := flat(g) @ flat(ref)) >= 0:
            return g
        return {k: g[k] - dot / (flat(ref) @ flat(ref)) * ref[k] for k in g}

    def finish(self, model, loaders):
        batch = next(iter(loaders["train"]))
        self.memory.append({k: batch[k][: self.size] for k in ("x", "labels")})


@dataclass
class DANN(Strategy):
    weight: float = 1.0
    role = "heads"

    def __post_init__(self):
        self.lam = 0.0

    def prepare(self, model):
        if not hasattr(model, "domain"):
            model.domain = nn.Linear(16, 1, dtype=model.head.weight.dtype)
        return model

    def batches(self, loaders):
        for s, t in zip(loaders["source"], loaders["target"], strict=False):
            yield {**s, "target": t}

    def before_step(self, model, progress):
        self.lam = 2 / (1 + math.exp(-10 * progress)) - 1

    def penalty(self, model, batch):
        x = torch.cat([batch["x"], batch["target"]["x"]])
        is_target = torch.cat([torch.zeros(len(batch["x"])), torch.ones(len(batch["target"]["x"]))]).to(x.dtype)
        guess = model.domain(reverse(model.features({"x": x}), self.lam))[:, 0]
        return self.weight * F.binary_cross_entropy_with_logits(guess, is_target)


STRATEGIES = [Freeze, LoRA, NoDecay, Cosine, Mixup, Noise, Decay, EWC, MultiTask, PCGrad, AGEM, DANN]
