"""Domain adaptation while training: each loss is its formula, no weight is source-only, no label of the target is read.

Each loss is compared with a second writing of its paper's formula, as loops over pairs and entries, that shares no code
with the first; test_domain_peers.py compares them with pytorch-adapt and skada.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from ftlib.strategies import get
from ftlib.strategies.domain import (
    CDAN,
    DANN,
    MCC,
    MCD,
    MMD,
    DeepCORAL,
    EntropyMin,
    FeatureAlignment,
    PseudoLabels,
    class_confusion,
    coral,
    entropy,
    joined,
    mmd,
    pairs,
    ramp,
    reverse,
    tell_apart,
)
from ftlib.strategies.freezing import FreezeFirst
from ftlib.strategies.full import FromScratch, Full, LinearProbe
from ftlib.strategy import UnlabelledBatch, combine
from ftlib.training.loop import fit
from ftlib.training.stream import stream
from toy import LoRA, changed, data, decoder, encoder, net, same, sentences, weights

pytestmark = pytest.mark.usefixtures("one_thread")
ALL = ["DeepCORAL", "MMD", "DANN", "CDAN", "MCD", "EntropyMin", "MCC", "PseudoLabels"]


def loaders(**knobs):
    return {"train": data(), "target": data(seed=1, shift=1.0, **knobs)}


def train(strategy, given=None, model=None, **more):
    more = {"steps": 6, "lr": 1e-2, "verbose": False, **more}
    return fit(model or net(p=0.3), given or loaders(), strategy, **more)[0]


def two(b=6, m=4, d=3, shift=1.0, seed=0):
    """Features of two domains, (B, D) and (M, D)."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(b, d, generator=g), 0.5 * torch.randn(m, d, generator=g) + shift


# ---- the pieces


def test_reversal_is_the_identity_forward_and_minus_lambda_backward():
    x, gradient = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    y = reverse(x, 0.7)
    assert torch.equal(y, x)
    y.backward(gradient)
    assert torch.equal(x.grad, -0.7 * gradient)


def test_lambda_rises_as_in_the_paper():
    """2 / (1 + exp(−10 p)) − 1 is tanh(5 p)."""
    for p in (0.0, 0.01, 0.1, 0.25, 0.5, 1.0):
        assert ramp(p, 10.0) == pytest.approx(math.tanh(5 * p), abs=1e-12)
    strategy = DANN()
    strategy.before_step(net(), 0.05)
    assert strategy.strength == pytest.approx(math.tanh(0.25))
    strategy = DANN(gamma=0)
    strategy.before_step(net(), 0.05)
    assert strategy.strength == 1.0


def test_coral_is_the_closed_formula_entry_by_entry():
    s, t = two()

    def covariance(x, a, b):
        means = [sum(row[k].item() for row in x) / len(x) for k in (a, b)]
        return sum((row[a].item() - means[0]) * (row[b].item() - means[1]) for row in x) / (len(x) - 1)

    want = sum((covariance(s, a, b) - covariance(t, a, b)) ** 2 for a in range(3) for b in range(3)) / (4 * 3**2)
    assert coral(s, t).item() == pytest.approx(want, rel=1e-5)
    assert coral(s, s).item() == 0
    assert coral(s, s + 2).item() == pytest.approx(0, abs=1e-10)  # a covariance does not see the mean


def test_mmd_is_the_double_loop_over_pairs_and_kernels():
    s, t = two()
    rows, widths = [*s.tolist(), *t.tolist()], [0.5, 1.0, 2.0]

    def squared(a, b):
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    unit = sum(squared(a, b) for a in rows for b in rows) / len(rows) ** 2

    def mean_kernel(left, right):
        values = [math.exp(-squared(a, b) / (w * unit)) for a in left for b in right for w in widths]
        return sum(values) / len(values)

    s_, t_ = rows[:6], rows[6:]
    want = mean_kernel(s_, s_) + mean_kernel(t_, t_) - 2 * mean_kernel(s_, t_)
    assert mmd(s, t, widths).item() == pytest.approx(want, abs=1e-6)
    assert mmd(s, s, widths).item() == pytest.approx(0, abs=1e-6)  # rounding of three means of about 1
    assert mmd(*two(shift=3.0), widths) > mmd(*two(shift=1.0), widths) > mmd(*two(64, 64, shift=0.0), widths) >= 0


def test_the_discriminator_gets_both_domains_in_equal_parts():
    s, t = two(b=6, m=2)
    judge = torch.nn.Linear(3, 1)
    p = [torch.sigmoid(judge(x))[:, 0] for x in (s, t)]
    want = (-(1 - p[0]).log().mean() - p[1].log().mean()) / 2
    torch.testing.assert_close(tell_apart(judge, s, t), want)
    torch.nn.init.zeros_(judge.weight), torch.nn.init.zeros_(judge.bias)
    assert tell_apart(judge, s, t).item() == pytest.approx(math.log(2))


def test_entropy_is_torchs():
    logits = 3 * torch.randn(5, 4)
    torch.testing.assert_close(entropy(logits), torch.distributions.Categorical(logits=logits).entropy())
    strategy, model = EntropyMin(), net()
    h = torch.randn(5, 16)
    torch.testing.assert_close(strategy.align(model, h, h), entropy(model.head(h)).mean())


def test_class_confusion_is_the_papers_formula_entry_by_entry():
    logits, temperature, k = 3 * torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), 2.5, 3
    p = [[math.exp(v / temperature) for v in row] for row in logits.tolist()]
    p = [[v / sum(row) for v in row] for row in p]
    sure = [1 + math.exp(sum(v * math.log(v) for v in row)) for row in p]
    weight = [len(p) * v / sum(sure) for v in sure]
    c = [[sum(w * row[i] * row[j] for w, row in zip(weight, p, strict=True)) for j in range(k)] for i in range(k)]
    want = sum(c[i][j] / sum(c[i]) for i in range(k) for j in range(k) if i != j) / k
    assert class_confusion(logits, temperature).item() == pytest.approx(want, rel=1e-5)
    assert class_confusion(100 * torch.eye(3), 1.0).item() == pytest.approx(0, abs=1e-6)  # sure and different
    assert class_confusion(torch.zeros(5, 3), 1.0).item() == pytest.approx(2 / 3)  # knows nothing: 1 − 1/K


# ---- the methods


def test_dann_turns_the_gradient_of_the_features_and_not_that_of_the_discriminator():
    strategy = DANN()
    model = strategy.prepare(net())
    strategy.strength = 0.3
    s, t = (x.requires_grad_() for x in two(d=16))
    own = list(model.domain.parameters())
    plain = torch.autograd.grad(tell_apart(model.domain, s, t), [s, t, *own])
    turned = torch.autograd.grad(strategy.align(model, s, t), [s, t, *own])
    for sign, got, want in zip([-0.3, -0.3] + [1] * len(own), turned, plain, strict=True):
        torch.testing.assert_close(got, sign * want)


def test_cdan_judges_features_times_probabilities_and_leaves_the_head_alone():
    strategy = CDAN()
    model = strategy.prepare(net())
    assert model.domain[0].in_features == 16 * 3
    h = torch.randn(2, 16)
    p, got = model.head(h).softmax(-1), strategy.given(model, h)
    for row in range(2):
        want = [p[row, k].item() * h[row, d].item() for k in range(3) for d in range(16)]
        torch.testing.assert_close(got[row], torch.tensor(want))
    strategy.strength = 1.0
    strategy.align(model, h.requires_grad_(), h).backward()
    assert model.head.weight.grad is None and h.grad.abs().sum() > 0


def test_mcds_heads_raise_what_its_features_lower():
    strategy = MCD()
    model = strategy.prepare(net())
    s, t = (x.requires_grad_() for x in two(d=16))
    heads = [*model.head.parameters(), *model.second.parameters()]
    disagreement = (model.head(t).softmax(-1) - model.second(t).softmax(-1)).abs().sum() / (4 * 3)
    plain = torch.autograd.grad(disagreement, [t, *heads])
    value = strategy.align(model, s, t)
    assert value.item() == pytest.approx(-disagreement.item(), rel=1e-5)
    for sign, got, want in zip([1] + [-1] * 4, torch.autograd.grad(value, [t, *heads]), plain, strict=True):
        torch.testing.assert_close(got, sign * want)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    both = sum(F.cross_entropy(head(s), labels, reduction="sum") for head in (model.head, model.second))
    torch.testing.assert_close(strategy.source_loss(model, s, labels), both)


def test_pseudo_labels_are_its_own_answers_where_it_is_sure():
    strategy, model, h = PseudoLabels(threshold=0.5), net(), 3 * torch.randn(12, 16)
    p = model.head(h).softmax(-1)
    sure = [row.max().item() for row in p if row.max() >= 0.5]
    assert 0 < len(sure) < 12
    want = sum(-math.log(v) for v in sure) / 12
    assert strategy.align(model, h, h).item() == pytest.approx(want, rel=1e-5)
    assert strategy.share == pytest.approx(len(sure) / 12)
    strategy.align(model, h, h)
    assert strategy.seen == 24 and strategy.share == pytest.approx(len(sure) / 12)


@pytest.mark.parametrize(("strategy", "measure"), [(MMD(5.0, "source"), mmd), (DeepCORAL(300.0, "source"), coral)])
def test_aligning_makes_the_measured_distance_smaller(strategy, measure):
    whole = {"train": data(bs=64), "target": data(seed=1, shift=1.0, bs=64)}
    far = []
    for each in (Full(), strategy):
        model = train(each, whole, net(bn=False), steps=40)
        with torch.no_grad():
            s, t = (model.features(next(iter(loader))) for loader in whole.values())
            far.append(measure(s, t, [1.0]) if measure is mmd else measure(s, t))
    assert far[1] < 0.5 * far[0]


def test_the_terms_are_sums_with_their_counts():
    given, strategy = loaders(bs=8), MMD(weight=0.5, norm="source")
    batch = next(strategy.batches(given))
    assert batch["n"] == {"loss": 16, "target": 8}
    model = net().train()
    got = strategy.loss(model, batch)
    s, t = (net().train().features(b) for b in (batch, batch["target"]))
    torch.testing.assert_close(got["loss"], F.cross_entropy(model.head(s), batch["labels"], reduction="sum"))
    torch.testing.assert_close(got["target"], 0.5 * 8 * mmd(s, t, [0.25, 0.5, 1.0, 2.0, 4.0]))


# ---- no weight, no λ


class Untouchable:
    """A loader that nobody may read."""

    def __iter__(self):
        raise AssertionError("the target was read")


@pytest.mark.parametrize("name", ALL)
def test_without_weight_it_is_source_only_to_the_last_bit(name):
    got = weights(train(get(name)(weight=0.0), {"train": data(), "target": Untouchable()}))
    want = weights(train(Full(), data()))
    assert same({k: got[k] for k in want}, want)


@pytest.mark.parametrize("make", [DANN, CDAN])
def test_lambda_0_is_source_only_to_the_last_bit_though_the_discriminator_learns(make):
    """The statistics are the source's and dropout of the target draws aside. Clipping is off: it is to one length over
    all parameters, so that a discriminator's gradient would shorten everyone's."""
    strategy = make(gamma=1e-30, norm="source")  # so slow a ramp that λ is 0 in every step
    assert ramp(1.0, 1e-30) == 0
    got = weights(train(strategy, max_norm=math.inf))
    want = weights(train(Full(), data(), max_norm=math.inf))
    assert same({k: got[k] for k in want}, want)
    fresh = weights(train(strategy, steps=0))
    assert {k for k in changed(fresh, got) if k.startswith("domain")} == {k for k in got if k.startswith("domain")}


# ---- normalisation


@pytest.mark.parametrize("norm", ["source", "target", "shared"])
def test_the_statistics_that_stay_are_those_that_norm_names(norm):
    model, strategy = net().train(), MMD(norm=norm)
    batch = next(strategy.batches(loaders()))
    with torch.no_grad():
        into = {k: model.stages[0][0](x) for k, x in (("source", batch["x"]), ("target", batch["target"]["x"]))}
    into["shared"] = torch.cat([into["source"], into["target"]])
    s, t = strategy.features(model, batch)
    kept = model.stages[0][1]
    torch.testing.assert_close(kept.running_mean, 0.1 * into[norm].mean(0))
    assert kept.num_batches_tracked == 1 and kept.track_running_stats
    twin = net().train()
    if norm != "shared":  # each by its own batch
        torch.testing.assert_close(s, twin.features(batch))
        torch.testing.assert_close(t, twin.features(batch["target"]))
    else:
        both = twin.features({"x": torch.cat([batch["x"], batch["target"]["x"]])})
        torch.testing.assert_close(torch.cat([s, t]), both)


def test_frozen_statistics_stand_still_under_every_norm():
    for norm in ("source", "target", "shared"):
        model = train(combine(DANN(norm=norm), LinearProbe()))
        before = weights(net(p=0.3))
        assert changed(before, {k: weights(model)[k] for k in before}) == {"head.weight", "head.bias"}


def test_texts_of_different_length_share_a_batch():
    model = encoder().eval()
    source, target = next(iter(sentences())), next(iter(sentences(seed=1, bs=4)))
    target = UnlabelledBatch({k: v[:, :6] if v.ndim == 2 else v for k, v in target.items()})
    both = joined(source, target)
    assert both["input_ids"].shape == (20, 8) and set(both) == {"input_ids", "attention_mask"}
    with torch.no_grad():
        want = torch.cat([model.features(source), model.features(target)])
        torch.testing.assert_close(model.features(both), want, atol=1e-5, rtol=1e-5)  # other widths, other rounding


def test_grey_and_coloured_pictures_share_a_batch():
    grey, colour = torch.rand(2, 1, 4, 4), torch.rand(3, 3, 4, 4)
    both = joined({"pixels": grey, "labels": 0}, UnlabelledBatch({"pixels": colour}))["pixels"]
    assert torch.equal(both[:2], grey.repeat(1, 3, 1, 1)) and torch.equal(both[2:], colour)
    with pytest.raises(ValueError, match=r"one batch holds pictures of one size, .* \(4, 4\) .* \(5, 5\) pixels: load"):
        joined({"pixels": grey}, UnlabelledBatch({"pixels": torch.rand(3, 1, 5, 5)}))


# ---- labels are withheld


def test_a_target_batch_holds_no_label_and_says_so():
    batch = {"pixels": 1, "labels": 2, "rating": 3, "probability": 4, "index": 5, "n": 6}
    seen = UnlabelledBatch(batch)
    assert dict(seen) == {"pixels": 1, "index": 5}
    for name in ("labels", "rating"):
        with pytest.raises(KeyError, match=f"'{name}' of a target batch is withheld: .*pixels, index.*FewLabels"):
            seen[name]


@pytest.mark.parametrize("name", ALL)
def test_no_label_of_the_target_is_read(name):
    """Weights are the same whether the target has labels, others, or none; and reading one is an error."""
    given = [loaders(), loaders(labels=False)]
    got = [weights(train(get(name)(), each)) for each in given]
    assert same(*got)

    class Cheating(get(name)):
        def align(self, model, source, target):
            return F.cross_entropy(model.head(target), self.now["target"]["labels"])

        def loss(self, model, batch):
            self.now = batch
            return super().loss(model, batch)

    with pytest.raises(KeyError, match="'labels' of a target batch is withheld"):
        train(Cheating())


# ---- pairs


def test_a_short_target_begins_anew_and_a_long_one_is_cut():
    given = {"train": data(n=64), "target": data(n=32, seed=1)}
    got = [(s["index"].tolist(), t["index"].tolist()) for s, t in pairs(given)]
    rows = [list(range(i, i + 16)) for i in (0, 16, 32, 48)]
    assert got == list(zip(rows, [rows[0], rows[1], rows[0], rows[1]], strict=True))
    assert len(list(pairs({"train": data(n=32), "target": data(n=64)}))) == 2


def test_equally_long_domains_are_not_paired_row_by_row():
    def shuffled():
        rows = [{"x": torch.zeros(6), "labels": torch.tensor(0), "index": i} for i in range(32)]
        return DataLoader(rows, batch_size=32, shuffle=True, generator=torch.Generator())

    source = stream(MMD(), {"train": shuffled(), "target": shuffled()}, seed=0)
    for _ in range(3):
        batch = next(source)[1][0]
        assert batch["index"].tolist() != batch["target"]["index"].tolist()


def test_it_combines_with_what_freezes_and_injects():
    model = train(combine(DANN(), FreezeFirst(1)))
    assert not {
        n for n in changed(weights(net(p=0.3)), {k: weights(model)[k] for k in weights(net())}) if "stages.0" in n
    }
    model = train(combine(MCD(), LoRA()))
    before = weights(LoRA().prepare(net(p=0.3)))
    moved = changed({k: weights(model)[k] for k in before}, before)
    assert "stages.0.0.A" in moved and "stages.0.0.base.weight" not in moved
    train(combine(DANN(), FromScratch()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MMD(weight=-1), "weight must not be negative, but it is -1: 0 is training on the source only"),
        (lambda: MMD(norm="both"), "norm must be one of target, source, shared, but it is 'both'"),
        (lambda: DANN(gamma=-1), "gamma must be at least 0, hidden at least 1, but they are -1 and 64"),
        (lambda: CDAN(hidden=0), "hidden at least 1, but they are 10.0 and 0"),
        (lambda: MCC(temperature=0), "temperature must be above 0, but it is 0: the paper takes 2.5"),
        (lambda: PseudoLabels(threshold=1), "threshold is a probability between 0 and 1, but it is 1: try 0.9"),
        (
            lambda: train(DANN(), data()),
            "reads the loaders train, target, but target is missing: there are train; give fit",
        ),
        (
            lambda: train(DANN(), {"train": data(), "target": []}),
            "the loader 'target' gave no batch: is its split empty",
        ),
        (
            lambda: coral(torch.ones(1, 3), torch.ones(4, 3)),
            "a covariance needs two examples, but there are 1 of the so",
        ),
        (lambda: DANN().prepare(decoder()), "DANN aligns what one linear head reads, but .*: use a classifier"),
        (lambda: combine(DANN(), MCD()), r"batches\(\) can have one owner, but DANN.* and MCD.* both set it"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_method_must_say_how_it_aligns():
    with pytest.raises(NotImplementedError, match="write align"):
        train(FeatureAlignment())
