"""What counts as a target: for every strategy that changes batches, labels or losses, and for what they may be.

Each case trains one step at rate 0 and compares what `fit` reports, term by term, with a sum written out here, divided
by a count written out here: with a ragged last batch, with several batches in a step, with weights, soft labels,
positions that are not counted, and sources and targets of unequal size. A strategy of the catalogue that overrides one
of these slots and has no case turns the first test red.
"""

import copy
import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ftlib import strategies
from ftlib.strategies.domain import FeatureAlignment
from ftlib.strategies.mixing import CutMix, LabelSmoothing, MixUp
from ftlib.strategy import IGNORED, Strategy, combine, owners
from ftlib.training.loop import fit
from test_contract import KNOBS, NAMES, SEVERAL, examples, toy
from toy import decoder, net

pytestmark = pytest.mark.usefixtures("one_thread")
CHANGING = [n for n in NAMES if any(owners(strategies.get(n)(**KNOBS.get(n, {})), s) for s in ("batches", "loss"))]
TRANSFORMING = [n for n in NAMES if owners(strategies.get(n)(**KNOBS.get(n, {})), "transform")]
PAIRED = [n for n in CHANGING if issubclass(strategies.get(n), FeatureAlignment)]
KEEPS_LABELS = [n for n in TRANSFORMING if strategies.get(n).role == "augment"]
MIXES = [n for n in (*TRANSFORMING, *CHANGING) if strategies.get(n).role == "mix"]
REMEMBERS = ["Replay", "AGEM", "DERpp", "LwF"]  # what keeps something of an earlier task
RAGGED = 16 + 4  # two batches of 16, the second of 4
ACCUMULATE = [1, 2]


def test_every_strategy_that_changes_batches_labels_or_losses_has_its_case():
    covered = {*PAIRED, *KEEPS_LABELS, *MIXES, *REMEMBERS, *SEVERAL, "FewLabels"}
    assert len(PAIRED) >= 8 and len(KEEPS_LABELS) >= 9 and len(MIXES) >= 4
    assert set(CHANGING) | set(TRANSFORMING) == covered, "write out what the new strategy's targets are"


# ---- sums by hand, in float64


def surprise(logits: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """−Σ_k y_k ln p_k of each row that counts, from classes (B,) or shares (B, K)."""
    out = []
    for row, label in zip(logits.detach().double().tolist(), labels.tolist()):
        rest = math.log(sum(math.exp(v - max(row)) for v in row)) + max(row)
        if isinstance(label, list):
            out.append(sum(y * (rest - v) for y, v in zip(label, row)))
        elif label != IGNORED:
            out.append(rest - row[label])
    return out


def ratio(sums: list[float], counts: list[int]) -> float:
    """Σ over a step's batches / how many there are in all of them."""
    return sum(sums) / sum(counts)


def reported(model, loaders, strategy, accumulate=1, steps=1):
    """(rows of fit's history, [(the batch that `loss` got, a copy of the model then, the generator's state)])."""
    seen, loss = [], type(strategy).loss

    def watched(self, model, batch):
        seen.append((batch, copy.deepcopy(model), torch.get_rng_state()))
        return loss(self, model, batch)

    with patch.object(type(strategy), "loss", watched):
        _, rows = fit(model, loaders, strategy, steps=steps, lr=0.0, accumulate=accumulate, cache=False,
                      precision="float32", verbose=False)  # fmt: skip
    return rows, seen


def again(batch, model, generator) -> torch.Tensor:
    """The logits once more, with the same masks of dropout."""
    torch.set_rng_state(generator)
    return model(batch)


def holds(row: dict, terms: dict[str, float]) -> None:
    """fit has reported these terms, and their sum as the loss."""
    assert row["terms"] == pytest.approx(terms, rel=1e-4, abs=1e-7)
    assert row["loss"] == pytest.approx(sum(terms.values()), rel=1e-4, abs=1e-7)


def rows_of(n, bs, seed=0, labels=True, shift=0.0):
    """A loader for toy.Net, in order."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=g) + shift
    y = torch.randint(3, (n,), generator=g)
    return DataLoader([{"x": x[i], "index": i, **({"labels": y[i]} if labels else {})} for i in range(n)], bs)


# ---- plain labels


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("kind", ["classes", "some not counted", "shares", "numbers"])
def test_plain_labels(kind, accumulate):
    model, batches = net(bn=False), list(rows_of(16 + 16 + 4, 16))
    if kind == "numbers":
        model.head = torch.nn.Linear(16, 1)
    for i, batch in enumerate(batches):
        if kind == "some not counted":
            batch["labels"][: i + 1] = IGNORED
        if kind == "shares":
            batch["labels"] = torch.softmax(torch.arange(float(len(batch["labels"]) * 3)).view(-1, 3).sin(), 1)
        if kind == "numbers":
            batch["labels"] = batch["labels"].float() / 3
    rows, seen = reported(model, {"train": batches}, Strategy(), accumulate)
    assert len(seen) == accumulate
    sums, counts = [], []
    for batch in batches[:accumulate]:
        out = model(batch)
        if kind == "numbers":
            each = [(float(a) - float(b)) ** 2 for a, b in zip(out[:, 0].tolist(), batch["labels"])]
        else:
            each = surprise(out, batch["labels"])
        sums.append(sum(each))
        counts.append(len(each))
    assert len({s / c for s, c in zip(sums, counts)}) == accumulate  # else a mean of means would be the same
    holds(rows[0], {"loss": ratio(sums, counts)})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_language_model_counts_its_tokens(accumulate):
    g = torch.Generator().manual_seed(0)
    model, batches = decoder(), []
    for rows, most in ((4, 2), (2, 7)):  # few counted tokens in the longer batch, many in the shorter
        ids = torch.randint(1, 24, (rows, 8), generator=g)
        counted = torch.randint(1, most + 1, (rows, 1), generator=g)
        labels = torch.where(torch.arange(8) >= 8 - counted, ids.roll(1, 1), IGNORED)
        batches.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels})
    rows, _ = reported(model, {"train": batches}, Strategy(), accumulate)
    sums, counts = [], []
    for batch in batches[:accumulate]:
        whole = model({k: v for k, v in batch.items() if k != "labels"})  # (B, T, V)
        where = [(b, t) for b in range(len(whole)) for t in range(8) if batch["labels"][b, t] != IGNORED]
        each = surprise(torch.stack([whole[at] for at in where]), torch.stack([batch["labels"][at] for at in where]))
        sums.append(sum(each))
        counts.append(len(where))
    holds(rows[0], {"loss": ratio(sums, counts)})


# ---- several tasks


@pytest.mark.parametrize("accumulate", ACCUMULATE)
@pytest.mark.parametrize("name", sorted(SEVERAL))
def test_each_task_counts_its_own_targets(name, accumulate):
    """A term is the task's weight times the sum over its targets, divided by how many these are."""
    model, loader = toy(name, bn=False), examples(name, n=RAGGED)
    strategy = strategies.get(name)(**KNOBS[name], weights={"toy@high": 0.5})
    rows, seen = reported(model, {"train": loader}, strategy, accumulate)
    columns, found = {"toy": ("labels", 1.0), "toy@high": ("high", 0.5)}, {}
    for task, (column, weight) in columns.items():
        each = [surprise(then({**batch, "task": task}), batch[column]) for batch, then, _ in seen]
        found[task] = weight * ratio([sum(one) for one in each], [len(one) for one in each])
    holds(rows[0], found)


# ---- augmented and mixed


@pytest.mark.parametrize("accumulate", ACCUMULATE)
@pytest.mark.parametrize("name", KEEPS_LABELS)
def test_what_augments_keeps_rows_and_labels(name, accumulate):
    model, loader = toy(name, bn=False), examples(name, n=RAGGED)
    rows, seen = reported(model, {"train": loader}, strategies.get(name)(), accumulate)
    raw = list(loader)[:accumulate]
    assert [b["labels"].tolist() for b, _, _ in seen] == [b["labels"].tolist() for b in raw]
    sums = [sum(surprise(again(*one), old["labels"])) for one, old in zip(seen, raw)]
    holds(rows[0], {"loss": ratio(sums, [len(old["labels"]) for old in raw])})


MIXTURES = {name: (name,) for name in MIXES} | {
    "smoothed MixUp": ("LabelSmoothing", "MixUp"), "smoothed CutMix": ("CutMix", "LabelSmoothing"),
    "smoothed words": ("EmbeddingMixup", "LabelSmoothing"), "erased and mixed": ("MixUp", "RandomErasing"),
}  # fmt: skip


@pytest.mark.parametrize("accumulate", ACCUMULATE)
@pytest.mark.parametrize("case", MIXTURES)
def test_what_mixes_counts_each_row_once(case, accumulate):
    """A row's label is shares that add up to 1, from its own class and the row before; smoothing spreads ε of it."""
    names = MIXTURES[case]
    model, loader = toy(*names, bn=False), examples(*names, n=RAGGED)
    strategy = combine(*(strategies.get(name)() for name in names)) if len(names) > 1 else strategies.get(names[0])()
    rows, seen = reported(model, {"train": loader}, strategy, accumulate)
    smooth = 0.1 if "LabelSmoothing" in names else 0.0
    sums, counts = [], []
    for (batch, then, generator), old in zip(seen, list(loader)[:accumulate]):
        labels, before = batch["labels"], torch.eye(3)[old["labels"]]
        if "EmbeddingMixup" in names:  # it mixes inside of its loss: draw its share again, and run it by hand
            torch.set_rng_state(generator)
            share = float(torch.distributions.Beta(torch.tensor([0.2]), torch.tensor([0.2])).sample())
            labels = torch.eye(3)[labels] if not labels.is_floating_point() else labels
            labels = share * labels + (1 - share) * labels.roll(1, 0)
            h = then.forward_to(1, batch)
            mask = torch.maximum(batch["attention_mask"], batch["attention_mask"].roll(1, 0))
            mixed = share * h + (1 - share) * h.roll(1, 0)
            logits = then.forward_from(1, mixed, {**batch, "attention_mask": mask})
        else:
            logits = again(batch, then, generator)
        assert labels.shape == (len(before), 3)
        share = _share(labels, before, smooth)
        assert torch.allclose(labels, (1 - smooth) * (share * before + (1 - share) * before.roll(1, 0)) + smooth / 3)
        sums.append(sum(surprise(logits, labels)))
        counts.append(len(before))
    holds(rows[0], {"loss": ratio(sums, counts)})


def _share(labels, before, smooth) -> float:
    """The one λ of a batch, read from a row whose partner is of another class; 1 where nothing is mixed."""
    other = before.roll(1, 0)
    row = next((i for i in range(len(before)) if not torch.equal(before[i], other[i])), None)
    if row is None:  # all of one class: any λ gives these labels
        return 1.0
    own = labels[row][before[row].bool()].item()
    return (own - smooth / 3) / (1 - smooth)


@pytest.mark.parametrize("mixture", [MixUp(alpha=1.0), CutMix()], ids=["MixUp", "CutMix"])
def test_a_mixture_really_mixes(mixture):
    """Else the test above would hold for a strategy that does nothing."""
    _, seen = reported(toy("MixUp", bn=False), {"train": examples("MixUp", n=RAGGED)}, mixture, 2)
    assert any(0.01 < b["labels"].max(1).values.min() < 0.99 for b, _, _ in seen)


# ---- source beside target


def covariance(x):
    return np.atleast_2d(np.cov(x.T))


def kernel_distance(s, t):
    every = np.concatenate([s, t])
    unit = np.mean([((a - b) ** 2).sum() for a in every for b in every])

    def k(a, b):
        return np.mean([math.exp(-((a - b) ** 2).sum() / (w * unit)) for w in (0.25, 0.5, 1, 2, 4)])

    within = np.mean([k(a, b) for a in s for b in s]) + np.mean([k(a, b) for a in t for b in t])
    return within - 2 * np.mean([k(a, b) for a in s for b in t])


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def array(x):
    return x.detach().double().numpy()


def told_apart(model, s, t):
    ps, pt = (1 / (1 + np.exp(-array(model.domain(torch.as_tensor(x).float()))[:, 0])) for x in (s, t))
    return -(np.log(1 - ps).mean() + np.log(pt).mean()) / 2


def with_answers(model, h):
    p = softmax(array(model.head(torch.as_tensor(h).float())))
    return np.stack([np.outer(a, b).ravel() for a, b in zip(p, h)])


def confusion(logits, temperature=2.5):
    p = softmax(logits / temperature)
    weight = 1 + np.exp(np.sum(p * np.log(p), 1))
    weight = len(p) * weight / weight.sum()
    both = sum(w * np.outer(a, a) for w, a in zip(weight, p))
    both = both / both.sum(1, keepdims=True)
    return (both.sum() - np.trace(both)) / len(both)


def sure(logits, threshold=0.34):
    return np.where(softmax(logits).max(1) >= threshold, -np.log(softmax(logits).max(1)), 0.0).mean()


# The mean over a target batch that each method adds, from features (B, D) and (M, D) of source and target.
ALIGNMENT = {
    "DeepCORAL": lambda m, s, t: ((covariance(s) - covariance(t)) ** 2).sum() / (4 * s.shape[1] ** 2),
    "MMD": lambda m, s, t: kernel_distance(s, t),
    "DANN": told_apart,
    "CDAN": lambda m, s, t: told_apart(m, with_answers(m, s), with_answers(m, t)),
    "MCD": lambda m, s, t: -np.abs(softmax(answers(m.head, t)) - softmax(answers(m.second, t))).mean(),
    "EntropyMin": lambda m, s, t: -np.sum(softmax(answers(m.head, t)) * np.log(softmax(answers(m.head, t))), 1).mean(),
    "MCC": lambda m, s, t: confusion(answers(m.head, t)),
    "PseudoLabels": lambda m, s, t: sure(answers(m.head, t)),
}


def answers(head, h):
    return array(head(torch.as_tensor(h).float()))


def test_every_method_with_a_target_is_written_out():
    assert set(ALIGNMENT) == set(PAIRED)


def paired(name, **more):
    return strategies.get(name)(**({"threshold": 0.34} if name == "PseudoLabels" else {}), **more)


# (sizes of the source's batches, sizes of the target's): equal, fewer of the target, more, and beginning anew
SIZES = [((16, 16), (16, 16)), ((16, 4), (6, 6)), ((16, 4), (5, 12)), ((8, 8, 8), (9, 3))]


def batches(sizes, **knobs):
    whole, at = list(rows_of(sum(sizes), 1, **knobs)), 0
    for size in sizes:
        part = whole[at : at + size]
        at += size
        yield {k: torch.cat([row[k] for row in part]) for k in part[0]}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("labels", ["classes", "smoothed", "some not counted"])
def test_source_and_target_are_divided_by_their_own_numbers(name, sizes, labels):
    weight, norm = 0.7, ("target", "source", "shared")[SIZES.index(sizes) % 3]
    source = list(batches(sizes[0]))
    if labels == "some not counted":
        source[0]["labels"][:5] = IGNORED
    target = list(batches(sizes[1], seed=1, labels=False, shift=0.5))
    strategy = paired(name, weight=weight, norm=norm)
    if labels == "smoothed":
        strategy = combine(strategy, LabelSmoothing(0.3))
    for accumulate in range(1, len(source) + 1):
        model = net(bn=False)
        rows, seen = reported(model, {"train": source, "target": target}, strategy, accumulate)
        sums, counts, aligned, targets = [], [], [], []
        for i, (_, then, _) in enumerate(seen):
            s, t = source[i], target[i % len(target)]
            then.eval()
            hs, ht = then.features(s), then.features(t)
            y = s["labels"] if labels != "smoothed" else 0.7 * torch.eye(3)[s["labels"]] + 0.1
            each = surprise(then.head(hs), y)
            sums.append(sum(each) + (sum(surprise(then.second(hs), y)) if name == "MCD" else 0.0))
            counts.append(len(each))
            aligned.append(len(t["x"]) * ALIGNMENT[name](then, array(hs), array(ht)))
            targets.append(len(t["x"]))
        assert len(seen) == accumulate
        holds(rows[0], {"loss": ratio(sums, counts), "target": weight * ratio(aligned, targets)})


@pytest.mark.parametrize("name", PAIRED)
def test_without_weight_it_is_the_source_alone(name):
    source = list(batches((16, 4)))
    model = net(bn=False)
    rows, seen = reported(model, {"train": source}, paired(name, weight=0.0), 2)
    assert [b["n"] for b, _, _ in seen] == [{"loss": 16}, {"loss": 4}]
    holds(rows[0], {"loss": ratio([sum(surprise(model(b), b["labels"])) for b in source], [16, 4])})


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("smooth", [False, True])
def test_a_few_labels_are_divided_by_their_own_number(weight, smooth):
    source, few = list(batches((16, 4, 8))), list(batches((3, 5), seed=2))
    strategy = strategies.get("FewLabels")(weight=weight)
    strategy = combine(strategy, LabelSmoothing(0.3)) if smooth else strategy

    def y(batch):
        return 0.7 * torch.eye(3)[batch["labels"]] + 0.1 if smooth else batch["labels"]

    for accumulate in (1, 2, 3):
        model = net(bn=False)
        rows, seen = reported(model, {"train": source, "labelled": few}, strategy, accumulate)
        now, beside = source[:accumulate], [few[i % 2] for i in range(accumulate)]
        terms = {"loss": ratio([sum(surprise(model(b), y(b))) for b in now], [len(b["labels"]) for b in now])}
        if weight:
            sums, counts = [sum(surprise(model(b), y(b))) for b in beside], [len(b["labels"]) for b in beside]
            terms["few"] = weight * ratio(sums, counts)
        assert len(seen) == (2 if weight else 1) * accumulate
        holds(rows[0], terms)


# ---- new beside remembered


def squares(logits, stored) -> list[float]:
    return [sum((a - b) ** 2 for a, b in zip(*pair)) / 3 for pair in zip(logits.tolist(), stored.tolist())]


def divergence(logits, teacher, T=2.0) -> float:
    """T² · Σ KL of the rows, by the definition."""
    p, q = softmax(array(logits) / T), softmax(array(teacher) / T)
    return T**2 * float((q * np.log(q / p)).sum())


@pytest.mark.parametrize("labels", ["classes", "smoothed", "some not counted"])
@pytest.mark.parametrize("name", REMEMBERS)
def test_new_and_remembered_examples_are_divided_by_their_own_numbers(name, labels):
    """Or by the number of both, where they are one batch; the old ones beside each batch of a step, ragged or not."""
    source, past = list(batches((16, 4, 8))), list(batches((12, 5), seed=2, shift=0.5))
    if labels == "some not counted":
        source[0]["labels"][:5] = IGNORED
    strategy = strategies.get(name)(**({} if name == "LwF" else {"batch_size": 6}))
    alone, model = strategy, net(bn=False)
    fit(model, past, alone, steps=2, lr=1e-2, verbose=False)
    teacher = copy.deepcopy(model).eval()
    fit(model, past, Strategy(), steps=9, lr=1e-2, verbose=False)  # so that it is no longer its own teacher
    state = copy.deepcopy(alone.state_dict())  # before the runs below add their own examples
    for accumulate in (1, 2, 3):
        alone.load_state_dict(copy.deepcopy(state))
        strategy = combine(alone, LabelSmoothing(0.3)) if labels == "smoothed" else alone
        rows, seen = reported(model, {"train": source}, strategy, accumulate)
        per_batch = {"Replay": ["loss"], "LwF": ["loss"], "AGEM": ["loss", "memory"]}
        expected = per_batch.get(name, ["loss", "logits", "labels"])
        assert [[*b["n"]] for b, _, _ in seen] == [[term] for _ in range(accumulate) for term in expected]
        sums, counts = {}, {}
        for batch, _, _ in seen:
            (term,) = batch["n"]
            logits = model(batch).detach()
            each = surprise(logits, batch["labels"])
            size = len(each)
            if term != "loss" or name == "Replay":
                assert len(batch["labels"]) >= 6
            value = {"labels": 0.5, "logits": 0.5}.get(term, 1.0) * sum(each)
            if term == "logits":
                value, size = 0.5 * sum(squares(logits, batch["logits"])), len(batch["labels"])
            if name == "LwF":
                kept = [i for i, y in enumerate(batch["labels"].tolist()) if y != IGNORED]
                value += divergence(logits[kept], teacher(batch)[kept])
            sums.setdefault(term, []).append(value)
            counts.setdefault(term, []).append(size)
        if name == "Replay":
            fresh = [int((b["labels"] != IGNORED).sum()) for b in source[:accumulate]]
            assert counts["loss"] == [n + 6 for n in fresh]
        holds(rows[0], {term: ratio(sums[term], counts[term]) for term in sums})


@pytest.mark.parametrize("name", [*PAIRED, *MIXES, *KEEPS_LABELS, *REMEMBERS, "FewLabels"])
def test_terms_and_counts_have_the_same_names(name):
    """A term without a count would be divided by 1, or be an error."""
    own = {"train": examples(name, n=RAGGED), "target": examples(name, n=6, seed=1), "labelled": examples(name, n=6)}
    rows, seen = reported(toy(name, bn=False), own, strategies.get(name)(), 2)
    assert {term for batch, _, _ in seen for term in batch["n"]} == set(rows[0]["terms"])
    assert all(isinstance(n, int) and n > 0 for batch, _, _ in seen for n in batch["n"].values())
