"""Mixtures against torchvision's, number by number; soft labels against torch's own loss; and what λ is on average."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms import v2

from ftlib.strategies.freezing import FreezeFirst
from ftlib.strategies.mixing import CutMix, EmbeddingMixup, LabelSmoothing, MixUp, mix
from ftlib.strategies.prompts import Prefix, Prompt
from ftlib.strategy import combine, count_targets, target_loss
from ftlib.training.loop import fit
from toy import MultiTask, data, decoder, encoder, eye, net, pictures, same, sentences, weights

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = torch.tensor([0, 2, 1, 1, 0, 2])


def a_batch(size=9):
    g = torch.Generator().manual_seed(0)
    return {"pixels": torch.rand(6, 1, size, size + 3, generator=g), "labels": LABELS, "n": {"loss": 6}}


def ready(strategy, model=None):
    strategy.prepare(model or eye())
    return strategy


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("ours", "theirs"), [(MixUp, v2.MixUp), (CutMix, v2.CutMix)])
def test_a_mixture_is_torchvisions_with_the_same_draws(ours, theirs, seed, soft):
    batch = a_batch()
    batch["labels"] = torch.softmax(torch.randn(6, 3), -1) if soft else LABELS
    strategy = ready(ours(alpha=0.7))
    torch.manual_seed(seed)
    got = strategy.transform(batch)
    torch.manual_seed(seed)
    x, y = theirs(alpha=0.7, num_classes=3)(batch["pixels"], batch["labels"])
    torch.testing.assert_close(got["pixels"], x)
    torch.testing.assert_close(got["labels"], y)
    assert got["n"] == {"loss": 6} == {"loss": count_targets(got["labels"])}


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_the_share_has_the_mean_and_the_spread_of_beta(alpha):
    torch.manual_seed(0)
    shares = torch.tensor([MixUp(alpha).share() for _ in range(2000)])
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)  # of Beta(α, α)


def test_pictures_and_labels_get_the_same_share():
    """Pictures that are their own label in every pixel stay so, under both."""
    labels = torch.tensor([0, 1, 0, 1])
    batch = {"pixels": labels.float().view(4, 1, 1, 1).expand(4, 1, 30, 30).clone(), "labels": labels, "n": {"loss": 4}}
    for strategy in (ready(MixUp(1.0)), ready(CutMix(1.0))):
        mixed = set()
        for seed in range(20):
            torch.manual_seed(seed)
            out = strategy.transform(batch)
            torch.testing.assert_close(out["pixels"].mean((1, 2, 3)), out["labels"][:, 1], atol=1e-5, rtol=0)
            torch.testing.assert_close(out["labels"].sum(1), torch.ones(4))
            mixed.add(round(out["labels"][1, 1].item(), 3))
        assert len(mixed) > 10


def test_cutmix_counts_what_is_seen_where_the_rim_cuts_the_box():
    out = ready(CutMix(1.0))
    for seed in range(30):
        torch.manual_seed(seed)
        batch = {"pixels": torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 8, 8) / 4, "labels": LABELS[:4], "n": {}}
        got = out.transform(batch)
        own = (got["pixels"] == batch["pixels"]).float().mean((1, 2, 3))
        torch.testing.assert_close(got["labels"], mix(F.one_hot(LABELS[:4], 3).float(), own[0].item()))


def test_the_loss_of_mixed_labels_is_the_mixture_of_the_losses():
    torch.manual_seed(3)
    logits, y = torch.randn(6, 3), F.one_hot(LABELS, 3).float()
    both = 0.3 * target_loss(logits, LABELS) + 0.7 * target_loss(logits, LABELS.roll(1))
    torch.testing.assert_close(target_loss(logits, mix(y, 0.3)), both)


def test_numbers_are_mixed_as_they_are():
    batch, strategy = {**a_batch(), "labels": torch.arange(6.0)}, ready(MixUp(1.0))
    torch.manual_seed(0)
    out = strategy.transform(batch)
    torch.manual_seed(0)
    torch.testing.assert_close(out["labels"], mix(torch.arange(6.0), MixUp(1.0).share()))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_smoothing_is_torchs_own(epsilon, classes):
    model = nn.Module()
    model.head = nn.Linear(4, classes)
    labels, logits = torch.tensor([0, 1, 1, 0]), torch.randn(4, classes, requires_grad=True)
    y = ready(LabelSmoothing(epsilon), model).transform({"labels": labels})["labels"]
    torch.testing.assert_close(y.sum(1), torch.ones(4))
    ours, theirs = target_loss(logits, y), F.cross_entropy(logits, labels, reduction="sum", label_smoothing=epsilon)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)))


def test_smoothing_before_or_after_mixing_is_the_same():
    batch = a_batch()
    results = []
    for parts in ([LabelSmoothing(0.2), MixUp(1.0)], [MixUp(1.0), LabelSmoothing(0.2)]):
        torch.manual_seed(1)
        out = batch
        for part in parts:
            out = ready(part).transform(out)
        results.append(out["labels"])
    torch.testing.assert_close(*results)


def test_raters_that_disagree_can_be_smoothed_too():
    raters = torch.tensor([[1.0, 0.0], [2 / 3, 1 / 3]])
    out = LabelSmoothing(0.1).transform({"labels": raters})["labels"]
    torch.testing.assert_close(out, torch.tensor([[0.95, 0.05], [0.65, 0.35]]))


def test_a_smoothing_of_a_tenth_moves_as_much_as_elpvs_raters():
    """1,508 cells with p = 0, 295 with 1/3, 106 with 2/3 and 715 with 1: what lies on the class that is not chosen."""
    moved = (295 + 106) / 3 / (1508 + 295 + 106 + 715)
    assert moved == pytest.approx(0.1 / 2, abs=0.001)


def test_each_of_several_heads_has_its_own_classes():
    strategy, model = LabelSmoothing(0.1), MultiTask().prepare(net())
    model.head["b"] = nn.Linear(16, 5)
    strategy.prepare(model)
    y = [strategy.transform({"labels": torch.tensor([1]), "task": task})["labels"] for task in ("a", "b")]
    assert [t.shape[1] for t in y] == [3, 5]


def test_embedded_words_are_mixed_with_the_share_of_the_labels():
    model, strategy = encoder().eval(), EmbeddingMixup(1.0)
    strategy.prepare(model)
    batch = {**next(iter(sentences(bs=6))), "n": {"loss": 6}}
    torch.manual_seed(0)
    got = strategy.loss(model, batch)["loss"]
    torch.manual_seed(0)
    share = strategy.share()
    h = model.stages[0](batch["input_ids"])
    mask = batch["attention_mask"] | batch["attention_mask"].roll(1, 0)
    logits = model.forward_from(1, share * h + (1 - share) * h.roll(1, 0), {**batch, "attention_mask": mask})
    y = batch["labels"]
    want = share * F.cross_entropy(logits, y, reduction="sum")
    want = want + (1 - share) * F.cross_entropy(logits, y.roll(1), reduction="sum")
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("part", [Prompt(3), Prefix(3), FreezeFirst(1)], ids=lambda s: type(s).__name__)
def test_embedding_mixup_trains_with_what_stands_before_a_text(part):
    start, after = encoder(), encoder()
    fit(after, sentences(), combine(EmbeddingMixup(), part), steps=3, lr=1e-2, verbose=False)
    assert not same(weights(start), weights(after))


def test_a_mixture_trains_and_validation_labels_stay_whole():
    _, rows = fit(eye(), pictures(), combine(MixUp(), LabelSmoothing()), steps=60, lr=3e-2, verbose=False)
    labels = torch.cat([batch["labels"] for batch in pictures()])
    assert labels.dtype == torch.int64 and rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MixUp(0), "alpha must be above 0, but it is 0: 0.2 mixes a little, 1 evenly"),
        (lambda: LabelSmoothing(1.1), "epsilon must lie in 0 to 1, but it is 1.1"),
        (lambda: MixUp().transform(a_batch()), r"one class a row, from 0 to below the unknown outputs .* call prepare"),
        (lambda: ready(CutMix()).transform({**a_batch(), "labels": LABELS + 1}), "the 3 outputs .* 1 to 3 came"),
        (lambda: ready(MixUp()).transform({"x": 1}), r"MixUp\(alpha=0.2\) needs batch\['pixels'\], but this one has x"),
        (lambda: ready(LabelSmoothing(), net()).transform({"labels": torch.ones(3)}), "but these labels are numbers"),
        (lambda: EmbeddingMixup().prepare(decoder()), "kind is 'lm': load one such as minilm"),
        (lambda: combine(MixUp(), CutMix()), r"CutMix\(alpha=1.0\) and MixUp\(alpha=0.2\) all mix examples: leave"),
        (lambda: fit(net(), data(), MixUp(), steps=1, lr=1e-2, verbose=False), "but this one has n, x, index, labels"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
