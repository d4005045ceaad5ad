"""Each operation against torchvision's on one picture; each picture has its own draw; what is safe for which task."""

import copy
from functools import partial

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from ftlib import strategies, tasks
from ftlib.strategies import augmentation
from ftlib.strategies.augmentation import (
    MOST,
    MOST_WIDE,
    OPERATIONS,
    SIGNED,
    ColorJitter,
    Crop,
    Flip,
    RandAugment,
    RandomErasing,
    Rotation,
    SpanCut,
    TokenDropout,
    TrivialAugment,
    policy,
    unsafe,
)
from ftlib.strategies.full import Full, LinearProbe
from ftlib.strategies.mixing import CutMix, EmbeddingMixup, LabelSmoothing, MixUp
from ftlib.strategies.prompts import Prompt
from ftlib.strategies.regularisation import EMA, SWA, Dropout, StochasticDepth, WeightDecay
from ftlib.strategy import Strategy, combine, owners
from ftlib.training.loop import evaluate, fit, predict_logits
from ftlib.training.validation import Validation
from toy import encoder, eye, pictures, same, sentences, weights

pytestmark = pytest.mark.usefixtures("one_thread")
BILINEAR = v2.InterpolationMode.BILINEAR
PICTURES = [Flip(), Crop(), Rotation(), ColorJitter(), RandomErasing(p=1.0), RandAugment(), TrivialAugment()]
MIXTURES = [MixUp(1.0), CutMix(), EmbeddingMixup(1.0), LabelSmoothing()]
REGULARISERS = [Dropout(0.5), Dropout(0.5, inside=0.5), StochasticDepth(0.5), WeightDecay(), EMA(0.5), SWA(0.0)]
names = lambda s: type(s).__name__  # noqa: E731


def some(n=4, channels=3, height=9, width=12, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def changed_by(strategy, x, seed=0):
    torch.manual_seed(seed)
    return strategy.transform({"pixels": x, "labels": torch.zeros(len(x))})["pixels"]


def shear(picture, across, down):
    degrees = [torch.tensor(s).atan().rad2deg().item() for s in (across, down)]
    return tv.affine(picture, 0.0, [0, 0], 1.0, degrees, center=[0, 0], interpolation=BILINEAR)


BY_TORCHVISION = {  # what torchvision's own RandAugment calls, one picture at a time, and strengths to try
    "Identity": (lambda p, m: p, [0, 0, 0, 0]),
    "ShearX": (lambda p, m: shear(p, m, 0.0), [0.2, -0.15, 0.99, 0]),
    "ShearY": (lambda p, m: shear(p, 0.0, m), [0.2, -0.15, 0.99, 0]),
    "TranslateX": (lambda p, m: tv.affine(p, 0.0, [int(m), 0], 1.0, [0.0, 0.0]), [2.7, -3.2, 0, 1]),
    "TranslateY": (lambda p, m: tv.affine(p, 0.0, [0, int(m)], 1.0, [0.0, 0.0]), [2.7, -3.2, 0, 1]),
    "Rotate": (lambda p, m: tv.rotate(p, m, interpolation=BILINEAR), [10, -30, 135, 0]),
    "Brightness": (lambda p, m: tv.adjust_brightness(p, 1 + m), [0.9, -0.9, 0.2, 0]),
    "Color": (lambda p, m: tv.adjust_saturation(p, 1 + m), [0.9, -0.9, 0.2, 0]),
    "Contrast": (lambda p, m: tv.adjust_contrast(p, 1 + m), [0.9, -0.9, 0.2, 0]),
    "Sharpness": (lambda p, m: tv.adjust_sharpness(p, 1 + m), [0.9, -0.9, 0.2, 0]),
    "Posterize": (lambda p, m: tv.posterize(p, round(8 - m)), [0, 1.2, 4, 6]),
    "Solarize": (lambda p, m: tv.solarize(p, 1 - m), [0, 0.3, 0.7, 1]),
    "AutoContrast": (lambda p, m: tv.autocontrast(p), [0, 0, 0, 0]),
    "Equalize": (lambda p, m: tv.equalize(p), [0, 0, 0, 0]),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(OPERATIONS))
def test_an_operation_on_a_batch_is_torchvisions_on_each_picture(name, channels):
    by_torchvision, strengths = BY_TORCHVISION[name]
    x = some(channels=channels)
    got = OPERATIONS[name](x, torch.tensor(strengths, dtype=torch.float))
    want = torch.stack([by_torchvision(p, float(m)) for p, m in zip(x, strengths, strict=True)])
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)  # float32 grids, summed in another order
    assert list(OPERATIONS) == list(BY_TORCHVISION) == list(MOST) == list(MOST_WIDE)


@pytest.mark.parametrize(
    ("most", "library"), [(MOST, v2.RandAugment()), (MOST_WIDE, v2.TrivialAugmentWide())], ids=["rand", "trivial"]
)
def test_the_strengths_are_torchvisions(most, library):
    space = library._AUGMENTATION_SPACE
    assert list(space) == list(most) and [name for name in space if space[name][1]] == SIGNED[1:]
    far = {"TranslateX": 150 / 331 * 40, "TranslateY": 150 / 331 * 30}  # of 40 pixels across, 30 down
    most = most | (far if most is MOST else {})
    for name, (magnitudes, _) in space.items():
        if (theirs := magnitudes(31, 30, 40)) is not None:
            ours = most[name] * torch.arange(31) / 30
            ours = {"Posterize": lambda m: (8 - m).round(), "Solarize": lambda m: 1 - m}.get(name, lambda m: m)(ours)
            torch.testing.assert_close(ours, theirs.to(ours), atol=1e-5, rtol=0)


def test_every_picture_gets_one_of_the_fourteen_at_a_strength_of_its_own():
    """RandAugment(1) and TrivialAugment, by what torchvision could have made of each picture."""
    x = some(150, 1, 8, 8)
    torch.manual_seed(0)
    share = torch.randint(31, (150,)) / 30
    got, used, ways = augmentation.one_operation_each(x, MOST_WIDE, share), set(), set()
    for p, out, s in zip(x, got, share.tolist(), strict=True):
        fits = set()
        for name, (by_torchvision, _) in BY_TORCHVISION.items():
            for sign in (1, -1) if name in SIGNED else (1,):
                want = by_torchvision(p, sign * s * MOST_WIDE[name])
                fits |= {(name, sign)} if torch.allclose(out, want, atol=1e-3) else set()
        assert fits, "what came out is none of the operations"
        used |= {name for name, _ in fits}
        ways |= {sign for _, sign in fits if len(fits) == 1}
    assert len(used) == 14 and ways == {1, -1}


def test_rand_augment_and_trivial_augment_ask_for_their_own_strengths(monkeypatch):
    asked = []
    monkeypatch.setattr(
        augmentation, "one_operation_each", lambda x, most, share: (asked.append((most, share.tolist())), x)[1]
    )
    torch.manual_seed(0)
    RandAugment(n=3, magnitude=15).change(some(2, 1, 33, 66))
    TrivialAugment().change(some(200, 1))
    assert len(asked) == 4 and all(share == [0.5, 0.5] for _, share in asked[:3])
    assert asked[0][0]["TranslateX"] == 2 * asked[0][0]["TranslateY"] == pytest.approx(150 / 331 * 66)
    assert asked[3][0] is MOST_WIDE and min(asked[3][1]) == 0 and max(asked[3][1]) == 1 and len(set(asked[3][1])) > 20


@pytest.mark.parametrize("strategy", PICTURES, ids=names)
def test_pictures_have_their_own_draws_and_the_rest_of_a_batch_stays(strategy):
    x = some(1, 1, 16, 16).repeat(40, 1, 1, 1)  # forty times the same
    batch = {"pixels": x, "labels": torch.arange(40), "n": {"loss": 40}, "index": torch.arange(40)}
    before = copy.deepcopy(batch)
    torch.manual_seed(0)
    out = strategy.transform(batch)
    assert len({tuple(p.flatten().tolist()) for p in out["pixels"]}) >= (2 if isinstance(strategy, Flip) else 12)
    assert out["pixels"].shape == x.shape and out["pixels"].min() >= 0 and out["pixels"].max() <= 1
    assert torch.equal(batch["pixels"], before["pixels"]), "the batch that came in was written to"
    assert all(out[name] is batch[name] for name in ("labels", "n", "index"))


@pytest.mark.parametrize("strategy", PICTURES, ids=names)
def test_the_seed_fixes_the_pictures_and_nothing_else_does(strategy):
    x = some(12, 1, 16, 16)
    assert torch.equal(changed_by(strategy, x), changed_by(copy.deepcopy(strategy), x))
    assert not torch.equal(changed_by(strategy, x), changed_by(strategy, x, seed=1))


@pytest.mark.parametrize(
    ("flip", "ways"),
    [
        (Flip(), [[], [-1]]),
        (Flip(False, True), [[], [-2]]),
        (Flip(False, False, True), [[], [-2, -1]]),
        (Flip(True, True), [[], [-1], [-2], [-2, -1]]),
    ],
)
def test_a_flip_makes_each_of_its_ways_equally_often(flip, ways):
    x = some(1).repeat(400, 1, 1, 1)
    out = changed_by(flip, x)
    counts = [sum(torch.equal(p, x[0].flip(dims) if dims else x[0]) for p in out) for dims in ways]
    assert sum(counts) == 400
    assert all(abs(c - 400 / len(ways)) < 4 * (400 / len(ways)) ** 0.5 for c in counts)  # four standard deviations


def test_a_crop_shows_the_part_that_torchvision_would_stretch():
    x, found = some(1, 1, 24, 24), (torch.tensor([t]) for t in (3.0, 5.0, 12.0, 16.0, True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "boxes", lambda *_: tuple(found))
        got = Crop().change(x)
    want = tv.resized_crop(x, 3, 5, 12, 16, [24, 24], BILINEAR)
    inside = (..., slice(1, -1), slice(1, -1))  # at the rim ours sees the neighbour, theirs has cut it off
    torch.testing.assert_close(got[inside], want[inside], atol=1e-4, rtol=0)


def test_a_whole_crop_changes_nothing_and_areas_are_as_asked():
    x = some(6, 1, 20, 20)
    torch.testing.assert_close(changed_by(Crop([1.0, 1.0], [1.0, 1.0]), x), x, atol=1e-5, rtol=0)
    torch.manual_seed(0)
    top, left, h, w, found = augmentation.boxes(some(3000, 1, 40, 40), [0.1, 0.5], [0.5, 2.0])
    area, shape = h * w / 1600, h / w
    assert found.all() and area.min() > 0.08 and area.max() < 0.53  # whole pixels: a little beyond is possible
    assert area.mean() == pytest.approx(0.3, abs=0.01) and shape.log().mean() == pytest.approx(0, abs=0.03)
    assert shape.min() > 0.45 and shape.max() < 2.2
    assert (top >= 0).all() and (top + h <= 40).all() and (left + w).max() == 40 and left.min() == 0


def test_erasing_hides_one_rectangle_of_the_asked_size_p_of_the_time():
    x = torch.ones(1000, 1, 20, 20)
    hidden = changed_by(RandomErasing(p=0.4, area=[0.1, 0.3], fill="black"), x) == 0
    hit = hidden.flatten(1).any(1)
    assert hit.float().mean() == pytest.approx(0.4, abs=0.06)
    h, w = (hidden[hit].any(dim)[:, 0].sum(-1) for dim in (3, 2))
    area = hidden[hit].sum((1, 2, 3))
    assert torch.equal(area, h * w), "not a rectangle"
    assert (area / 400).mean() == pytest.approx(0.2, abs=0.02) and area.min() > 32 and area.max() < 130


def test_erased_places_are_noise_and_not_black():
    x = torch.full((50, 1, 20, 20), 2.0)  # outside of 0..1, so that what was erased can be told apart
    out = changed_by(RandomErasing(p=1.0), x)
    erased = out[out != 2.0]
    assert len(erased) > 1000 and erased.mean() == pytest.approx(0.5, abs=0.02)
    assert erased.std() == pytest.approx((1 / 12) ** 0.5, abs=0.01)  # even between 0 and 1


@pytest.mark.parametrize(
    ("jitter", "by_torchvision"),
    [
        (ColorJitter(0.5, 0, 0), tv.adjust_brightness),
        (ColorJitter(0, 0.5, 0), tv.adjust_contrast),
        (ColorJitter(0, 0, 0.5), tv.adjust_saturation),
    ],
)
def test_jitter_is_torchvisions_at_factors_that_are_even_about_one(jitter, by_torchvision):
    x = 0.25 + 0.25 * some(50)
    out = changed_by(jitter, x)
    torch.manual_seed(0)
    factors = (1 - 0.5 + torch.rand(50)).tolist()
    want = torch.stack([by_torchvision(p, f) for p, f in zip(x, factors, strict=True)])
    torch.testing.assert_close(out, want, atol=1e-5, rtol=0)


def test_rotation_turns_either_way_up_to_its_degrees():
    x = some(50, 1, 16, 16)
    out = changed_by(Rotation(20), x)
    torch.manual_seed(0)
    want = [tv.rotate(p, -20 + 40 * r, interpolation=BILINEAR) for p, r in zip(x, torch.rand(50).tolist(), strict=True)]
    torch.testing.assert_close(out, torch.stack(want), atol=1e-4, rtol=0)


# ---- texts

WORDS = [TokenDropout(0.3), SpanCut(0.3)]


def hidden_by(strategy, mask, seed=0):
    torch.manual_seed(seed)
    out = strategy.transform({"input_ids": mask, "attention_mask": mask})
    assert out["input_ids"] is mask and (out["attention_mask"] <= mask).all()
    return (mask - out["attention_mask"]).bool()


MASK = (torch.arange(40) < torch.tensor([40, 21, 2, 1])[:, None]).long()  # four texts, padded on the right


def test_token_dropout_hides_p_of_the_words_and_never_the_first():
    hidden = hidden_by(TokenDropout(0.3), MASK.repeat(300, 1))
    words = MASK.repeat(300, 1)[:, 1:].bool()
    assert not hidden[:, 0].any() and hidden[:, 1:][words].float().mean() == pytest.approx(0.3, abs=0.02)
    assert not torch.equal(hidden[0], hidden[4])


def test_a_cut_span_is_one_run_of_the_asked_length_anywhere():
    hidden = hidden_by(SpanCut(0.25), MASK.repeat(300, 1)).view(300, 4, 40)
    assert hidden.sum(-1).unique(dim=0).tolist() == [[10, 5, 0, 0]]  # a quarter of 39 and 20 words, rounded
    ends = hidden[:, :2].int().diff(dim=-1).abs().sum(-1) + hidden[:, :2, -1]
    assert (ends == 2).all(), "not one run"
    starts = hidden[:, 1].int().argmax(-1)
    assert set(starts.tolist()) == set(range(1, 17))  # 20 words, of which five are hidden


def test_a_hidden_token_has_no_part_in_the_answer():
    model = encoder().eval()
    batch = next(iter(sentences()))
    hidden = batch["attention_mask"].clone()
    hidden[:, 2] = 0
    other = batch["input_ids"].clone()
    other[:, 2] = (other[:, 2] + 5) % 24
    a, b = (model({**batch, "input_ids": ids, "attention_mask": hidden}) for ids in (batch["input_ids"], other))
    torch.testing.assert_close(a, b)
    assert not torch.allclose(a, model(batch))


# ---- in training, and never in validation


def test_what_validation_and_test_see_is_what_is_in_the_file():
    """Loaders draw nothing, evaluate() calls no slot, and fit augments what it trains on and nothing else."""
    strategy, seen = combine(Flip(True, True), TrivialAugment(), RandomErasing()), []
    loader, model = pictures(shuffle=False), eye()
    plain = torch.cat([batch["pixels"] for batch in loader])

    class Watched(type(model)):
        def features(self, batch):
            seen.append((self.training, batch["pixels"].clone()))
            return super().features(batch)

    model.__class__ = Watched
    scores = []
    validate = lambda m: scores.append(evaluate(m, loader)) or scores[-1]  # noqa: E731
    fit(model, pictures(), strategy, steps=4, lr=1e-3, validation=Validation(validate, every=4), verbose=False)
    assert torch.equal(torch.cat([x for training, x in seen if not training]), plain)
    assert not torch.equal(torch.cat([x for training, x in seen if training]), plain)
    torch.manual_seed(5)
    assert evaluate(model, loader) == evaluate(model, loader) == scores[-1]


def test_all_strategies_that_change_training_alone_are_in_the_test_below():
    files = ("augmentation", "mixing", "regularisation")
    every = {names(s) for s in (*PICTURES, *WORDS, *MIXTURES, *REGULARISERS)}
    assert every == {name for name, file in strategies.CATALOG.items() if file in files}


@pytest.mark.parametrize("strategy", [*PICTURES, *WORDS, *MIXTURES, *REGULARISERS], ids=names)
def test_held_out_examples_stay_as_they_are_and_a_score_is_that_of_the_weights_alone(strategy):
    """The loader hands out its own tensors, so that what is written into a batch would be seen in the next score.

    A twin that no strategy has touched gets the weights; it must give the same bits, during training and afterwards,
    each time, on the examples that are trained on and on others.
    """
    make, loader = (encoder, sentences) if strategy.reads == "texts" else (partial(eye, p=0.3), pictures)
    kept = {split: list(loader(seed=i)) for i, split in enumerate(("train", "validation", "test"))}
    before, changes = copy.deepcopy(kept), []
    twin = make().to(memory_format=torch.channels_last)  # as `fit` lays out a network: sums in the same order

    class Count(Strategy):
        def transform(self, batch):
            changes.append(len(batch["labels"]))
            return batch

    def score(model):
        twin.load_state_dict(model.state_dict())
        for batches in kept.values():
            first, again, plain = (predict_logits(m, batches) for m in (model, model, twin))
            assert torch.equal(first["logits"], again["logits"]), "two evaluations of one model differ"
            assert torch.equal(first["logits"], plain["logits"]), "the strategy has a part in the evaluation"
            assert torch.equal(first["labels"], torch.cat([batch["labels"] for batch in batches]))
        return evaluate(model, kept["validation"])

    model, rows = fit(make(), {"train": kept["train"]}, combine(strategy, Count()), steps=6, lr=1e-2,
                      validation=Validation(score, every=2), verbose=False)  # fmt: skip
    assert score(model) == score(model) == evaluate(twin, before["validation"])
    assert len(changes) == 6, "transform is for training batches alone"
    assert [row["step"] for row in rows if "validation" in row] == [1, 3, 5]
    assert not [m for m in model.modules() if m._forward_pre_hooks], "it is left changed in train mode"
    for split, batches in kept.items():
        for batch, old in zip(batches, before[split], strict=True):
            assert batch.keys() == old.keys() and all(torch.equal(batch[k], old[k]) for k in old), f"{split} changed"


def test_a_tasks_validation_and_test_pictures_do_not_depend_on_any_generator():
    task = tasks.load("digits/optical", n=20, held_out=20, size=16)
    for split in ("validation", "test"):
        first = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            first.append(torch.cat([batch["pixels"] for batch in task.loader(split)]))
        assert torch.equal(*first)


def test_augmenting_a_linear_probe_trains_on_other_features_each_time():
    plain, flipped = (
        fit(eye(), pictures(), s, steps=8, lr=1e-2, verbose=False)[0]
        for s in (LinearProbe(), combine(LinearProbe(), RandAugment()))
    )
    assert not same(weights(plain), weights(flipped))
    assert owners(combine(LinearProbe(), Flip()), "transform") == [Flip()]


# ---- what is safe


def test_cells_may_be_turned_and_digits_may_not():
    whole = Flip(horizontal=True, vertical=True, turn=True)
    assert unsafe(whole, "elpv/mono") == [] == unsafe(combine(whole, Rotation(5)), "elpv+noise3")
    assert unsafe(Flip(False, False, True), "elpv") == []
    for flip, what in ((Flip(), "horizontal"), (Flip(False, True), "vertical"), (Flip(False, False, True), "turn")):
        (sentence,) = unsafe(flip, "digits/mnist")
        assert f"may change the labels of digits/mnist ({what})" in sentence
    assert unsafe(Flip(), "fashion") == [] and len(unsafe(Flip(True, True), "fashion")) == 1
    (sentence,) = unsafe(combine(TrivialAugment(), Crop()), "digits/optical")
    assert "turns by up to 135°, but digits/optical allows 15° at most" in sentence
    assert unsafe(RandAugment(1, 15), "digits/mnist") == [] != unsafe(RandAugment(2, 8), "digits/mnist")
    assert unsafe(Full(), "digits/mnist") == []


@pytest.mark.parametrize("task", ["elpv", "elpv/poly+noise2", "digits/mnist", "fashion", "sentiment/amazon"])
def test_the_policy_of_a_task_is_safe_for_it(task):
    strategy = strategies.build(policy(task))
    assert unsafe(strategy, task) == [] and owners(strategy, "transform")
    flips = [part for part in owners(strategy, "transform") if isinstance(part, Flip)]
    assert bool(flips) == task.startswith(("elpv", "fashion"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Crop([0.0, 1.0]), r"area of Crop must be \[least, most\] above 0 .*, but it is \[0.0, 1.0\]"),
        (lambda: Crop(ratio=[2.0, 1.0]), "ratio of Crop must be .*: give two rising numbers"),
        (lambda: Rotation(200), "degrees of Rotation must lie in 0 to 180, but it is 200"),
        (lambda: ColorJitter(contrast=-0.1), "contrast of ColorJitter must lie in 0 to 1, but it is -0.1"),
        (lambda: RandomErasing(p=2), "p of RandomErasing must lie in 0 to 1, but it is 2"),
        (lambda: RandomErasing(fill="white"), 'fill must be "noise" or "black", but it is \'white\''),
        (lambda: RandAugment(n=0), "n counts operations: it must be a whole number from 1 on, not 0"),
        (lambda: RandAugment(magnitude=31), "magnitude of RandAugment must lie in 0 to 30, but it is 31"),
        (lambda: TokenDropout(1.5), "p of TokenDropout must lie in 0 to 1, but it is 1.5"),
        (lambda: SpanCut(-1), "share of SpanCut must lie in 0 to 1, but it is -1"),
        (
            lambda: Flip().transform({"x": 1, "y": 2}),
            r"Flip\(.*\) needs batch\['pixels'\], but this one has x, y: take",
        ),
        (lambda: Flip().transform({"pixels": torch.zeros(2, 8, 8)}), r"0..1 .* are float32 of shape \(2, 8, 8\)"),
        (lambda: Flip().transform({"pixels": torch.zeros(2, 1, 8, 8).byte()}), "these are uint8 of .* convert them"),
        (lambda: TokenDropout().transform({"pixels": 1}), r"needs batch\['attention_mask'\].*: take a task of texts"),
        (lambda: SpanCut().prepare(eye()), r"SpanCut\(share=0.15\) needs an encoder.* kind is 'image': load"),
        (lambda: combine(Flip(), TokenDropout()), r"Flip\(.*\) reads pictures and TokenDropout\(.*\) reads texts"),
        (lambda: combine(Prompt(), Flip()), r"Prompt\(tokens=8\) reads texts and Flip\(.*\) reads pictures"),
        (lambda: policy("instructions"), "it isn't known what is safe for 'instructions': choose a task of elpv"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
