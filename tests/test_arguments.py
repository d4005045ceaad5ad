"""What `fit` is handed: a mistake is one sentence, before the first step where it can be known then."""

import inspect
import math

import pytest
import torch
from torch.utils.data import DataLoader

from ftlib import strategies
from ftlib.strategies.domain import DANN, DeepCORAL
from ftlib.strategies.domain_shift import AdaBN, LabelShift
from ftlib.strategies.full import Full
from ftlib.strategies.regularisation import EMA
from ftlib.strategy import combine
from ftlib.training.arguments import MOVED
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.early_stopping import BestWeights
from ftlib.training.loop import evaluate, fit
from ftlib.training.validation import Validation
from test_contract import NAMES, part
from toy import Net, data, eye, net, pictures


def train(model=None, loaders=None, strategy=None, **more):
    more = {"steps": 2, "lr": 1e-2, "verbose": False, **more}
    return fit(model or net(), data() if loaders is None else loaders, strategy or Full(), **more)


@pytest.fixture
def untrained(monkeypatch):
    from ftlib.training import loop as module

    monkeypatch.setattr(module, "_backward", lambda *_: pytest.fail("a step was trained"))


WHOLE = {
    "steps": lambda value: train(steps=value),
    "accumulate": lambda value: train(accumulate=value),
    "seed": lambda value: train(seed=value),
    "patience": lambda value: Validation(dict, patience=value),
    "every of Validation": lambda value: Validation(dict, every=value),
    "every of Checkpoint": lambda value: Checkpoint("c", every=value),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [-1, 1.5, "a", None, True, math.nan])
def test_whole_numbers(untrained, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number .*, not {value!r}"):
        WHOLE[name](value)


def test_seeds_fit_into_32_bits(untrained):
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to 4294967295, not 1099511627776"):
        train(seed=2**40)


def test_the_largest_seed_works():
    train(seed=2**32 - 1, steps=9)


@pytest.mark.parametrize(("name", "values"), [
    ("lr", [-1e-3, "0.1", None, math.nan, math.inf]),
    ("weight_decay", [-1.0, "0", None, math.nan]),
    ("max_norm", [-1.0, 0.0, 0, "1", None, math.nan]),
])  # fmt: skip
def test_harmful_numbers_are_refused(untrained, name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"{name} must be a finite number.*, but it is {value!r}"):
            train(**{name: value})


def test_other_things_in_the_place_of_model_strategy_and_functions(untrained):
    with pytest.raises(TypeError, match="fit needs a model, but got str"):
        fit("minilm", data(), Full(), steps=1, lr=1e-2)
    with pytest.raises(TypeError, match=r"fit needs a strategy, but got .*Full'>: write Full\(\)"):
        fit(net(), data(), Full, steps=1, lr=1e-2)
    with pytest.raises(TypeError, match="validation must be a function, but it is {'nll': 1}: give fit the function"):
        train(validation={"nll": 1})
    with pytest.raises(TypeError, match="score must be a function, but it is 0.5: give Validation the function"):
        Validation(0.5)
    with pytest.raises(TypeError, match="stop must be a function, but it is True"):
        Validation(dict, stop=True)
    with pytest.raises(TypeError, match="watch must be the name of a value, such as 'nll', but it is None"):
        Validation(dict, watch=None)
    with pytest.raises(TypeError, match="checkpoint must name a file, but it is True: give a path"):
        train(checkpoint=True)
    with pytest.raises(TypeError, match="combine takes strategies, but got .*Full"):
        combine(Full)


def test_validation_gives_a_dict():
    with pytest.raises(TypeError, match=r"score\(model\) of a Validation must give {name: value}, but it gave 0.5"):
        train(validation=lambda model: 0.5)


def test_a_function_stands_for_a_validation_and_a_path_for_a_checkpoint(tmp_path):
    ends = []
    for i, (score, saved) in enumerate([(lambda m: {"a": 1}, str(tmp_path / "0")),
                                        (Validation(lambda m: {"a": 1}), Checkpoint(tmp_path / "1"))]):  # fmt: skip
        _, rows = train(validation=score, checkpoint=saved)
        ends.append([row.get("validation") for row in rows])
        assert (tmp_path / str(i)).exists()
    assert ends[0] == ends[1] == [None, {"a": 1}]


@pytest.mark.parametrize(("old", "words"), [
    ({"validate": dict}, r"fit has no 'validate': write fit\(..., validation=ftlib.Validation\(score\)\)"),
    ({"patience": 2}, r"fit has no 'patience': write fit\(..., validation=ftlib.Validation\(score, patience=...\)\)"),
    ({"save_every": 2}, r"fit has no 'save_every': write fit\(..., checkpoint=ftlib.Checkpoint\(file, every=...\)\)"),
    ({"save_every": 2, "watch": "a", "every": 3}, r"fit has no 'every' and no 'watch' and no 'save_every': write "
     r"fit\(..., validation=ftlib.Validation\(score, every=..., watch=...\), "
     r"checkpoint=ftlib.Checkpoint\(file, every=...\)\)"),
    *(({name: 1}, rf"fit has no '{name}': write") for name in MOVED),
])  # fmt: skip
def test_a_keyword_that_has_moved_says_where_it_is(untrained, old, words):
    with pytest.raises(TypeError, match=f"^{words}") as caught:
        train(**old)
    assert "\n" not in str(caught.value)
    assert not {*MOVED} & {*inspect.signature(fit).parameters}


# ---- loaders and batches
NEED = [name for name in NAMES if set(part(name).needs) - {"train"}]


@pytest.mark.parametrize("name", NEED)
def test_a_missing_loader_is_known_before_the_first_step(untrained, name):
    missing = next(n for n in strategies.get(name)().needs if n != "train")
    with pytest.raises(ValueError, match=f"{name}.* reads the loaders .*, but {missing} is missing: there are train"):
        train(strategy=strategies.get(name)())


def test_the_catalogue_has_strategies_with_needs():
    assert {"AdaBN", "CORAL", "LabelShift", "DomainGauge", "FewLabels", "DANN", "MMD"} <= set(NEED)


def test_weight_0_needs_no_target():
    train(strategy=DANN(weight=0.0))


def test_a_misspelt_loader_is_refused(untrained):
    with pytest.raises(ValueError, match="but train is missing: there are trian"):
        train(loaders={"trian": data()})
    loaders = {"train": data(), "target": data(), "heldout": data()}
    with pytest.raises(ValueError, match=r"reads no loader 'heldout': correct .*; did you mean 'held_out'\?"):
        train(loaders=loaders, strategy=LabelShift())


def test_batches_without_names_and_without_labels_are_refused():
    pairs = [(torch.zeros(4, 6), torch.zeros(4).long())]
    with pytest.raises(TypeError, match="a batch must be a dict.*but a loader gave a tuple: name the columns"):
        train(loaders=pairs)
    with pytest.raises(KeyError, match="a training batch needs 'labels', but it has x"):
        train(loaders=[{"x": torch.zeros(4, 6)}])


def test_a_generator_is_refused(untrained):
    with pytest.raises(ValueError, match="the loader 'train' is a generator, which can be read once only"):
        train(loaders=(batch for batch in data()))


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64, torch.uint8])
def test_labels_of_any_whole_type(dtype):
    batches = [{**batch, "labels": batch["labels"].to(dtype)} for batch in data()]
    plain, rows = train(loaders=list(data()))
    other, same_rows = train(loaders=batches)
    assert [r["loss"] for r in rows] == [r["loss"] for r in same_rows]
    assert evaluate(other, batches) == evaluate(plain, list(data()))


def test_labels_true_and_false():
    batches = [{**batch, "labels": batch["labels"] > 0} for batch in data()]
    train(loaders=batches)
    assert 0 <= evaluate(net(), batches)["accuracy"] <= 1


def test_labels_that_are_no_numbers_are_named():
    batch = next(iter(data()))
    soft = torch.full((16, 3), 1 / 3)
    soft[5] = torch.nan
    with pytest.raises(ValueError, match=r"the labels of the examples \[5\] are not finite numbers: correct them"):
        train(loaders=[{**batch, "labels": soft}])


# ---- a last batch of one example
def test_a_last_batch_of_one_trains_where_batchnorm_sees_one_value():
    model, rows = train(loaders=data(n=17, bs=16), steps=4)
    assert len(rows) == 4 and all(math.isfinite(row["loss"]) for row in rows)
    assert model.stages[0][1].training is False
    alone = data(n=1, bs=1)
    statistics = net().stages[0][1].running_mean.clone()
    model, rows = train(loaders=alone, steps=2)
    assert torch.equal(model.stages[0][1].running_mean, statistics)  # one example has no variance to remember


def test_a_lone_example_of_a_larger_picture_counts_as_ever():
    """Where BatchNorm sees several positions nothing changes: recorded runs have such batches."""
    model, _ = train(eye(), pictures(n=17, bs=16), steps=2)
    by_hand = eye()
    train(by_hand, list(pictures(n=17, bs=16)), steps=2)
    assert model.stages[0][1].num_batches_tracked == by_hand.stages[0][1].num_batches_tracked == 2


# ---- early stopping
def watched(values, **more):
    value = iter(values)
    kept = Validation(lambda model: next(value), every=1, patience=2, **more)
    return train(steps=len(values), validation=kept)[1]


def test_what_is_watched_is_a_parameter():
    assert len(watched([{"rmse": v} for v in (3.0, 2.0, 2.5, 2.6, 0.0)], watch="rmse")) == 4
    rising = [{"pearson": v} for v in (0.1, 0.5, 0.4, 0.3, 0.9)]
    assert len(watched(rising, watch="pearson", better="higher")) == 4
    assert len(watched([{"nll": v} for v in (3.0, 2.0, 2.5, 2.6, 0.0)])) == 4


def test_a_value_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="watches 'nll', but validation gave mae, rmse: give Validation watch="):
        watched([{"mae": 1.0, "rmse": 1.0}])
    with pytest.raises(ValueError, match="better must be 'lower' or 'higher', but it is 'up'"):
        watched([{"nll": 1.0}], better="up")


def test_a_value_that_is_not_a_number_is_no_improvement():
    best, model = BestWeights(), Net()
    for value in (0.5, math.nan, math.nan):
        best.update({"nll": value}, model)
    assert best.age == 2 and best.value == 0.5


def test_early_stopping_of_a_regression_goes_back_to_its_best():
    rows = [{**batch, "labels": batch["x"][:, 0]} for batch in data()]

    class One(Net):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(16, 1)

    torch.manual_seed(0)
    model = One()
    score = lambda model: evaluate(model, rows)  # noqa: E731
    model, history = fit(model, rows, Full(), steps=40, lr=5e-2, verbose=False,
                         validation=Validation(score, every=2, patience=3, watch="rmse"))  # fmt: skip
    values = [row["validation"]["rmse"] for row in history if "validation" in row]
    assert evaluate(model, rows)["rmse"] == pytest.approx(min(values))


# ---- knobs
@pytest.mark.parametrize(("name", "knobs", "words"), [
    ("RandAugment", {"magnitude": "9"}, "magnitude of RandAugment must be a whole number, but it is '9'"),
    ("LoRA", {"r": "8"}, "r of LoRA must be a whole number, but it is '8'"),
    ("LoRA", {"r": True}, "r of LoRA must be a whole number, but it is True"),
    ("LoRA", {"alpha": math.nan}, "alpha of LoRA must be a number, but it is nan"),
    ("Flip", {"horizontal": 1}, "horizontal of Flip must be True or False, but it is 1"),
    ("TuneOnly", {"stages": "0"}, "stages of TuneOnly must be a list, but it is '0'"),
    ("Dropout", {"inside": "x"}, "inside of Dropout must be a number or None, but it is 'x'"),
    ("DANN", {"weight": None}, "weight of DANN must be a number, but it is None"),
])  # fmt: skip
def test_knobs_of_the_wrong_kind(name, knobs, words):
    with pytest.raises(ValueError, match=words):
        strategies.get(name)(**knobs)


@pytest.mark.parametrize("name", NAMES)
def test_every_knob_refuses_what_it_cannot_be(name):
    import dataclasses

    for knob in dataclasses.fields(strategies.get(name)):
        with pytest.raises(ValueError, match=f"{knob.name} of {name} must be"):
            strategies.get(name)(**{knob.name: [1] if str(knob.type).startswith("dict") else {"a": 1}})


def test_a_knob_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(TypeError, match=r"LoRA has no knob 'rank': its knobs are r, alpha, .*; did you mean 'r'\?"):
        strategies.get("LoRA")(rank=4)
    with pytest.raises(TypeError, match=r"Cosine has no knob 'warmpu': its knobs are warmup; did you mean 'warmup'\?"):
        strategies.get("Cosine")(warmpu=0.1)
    with pytest.raises(TypeError, match="Full has no knob 'x': it has none"):
        Full(x=1)


# ---- the order after the last step
def shifted(n=300, seed=1):
    return data(n=n, seed=seed, shift=2.0)


@pytest.mark.parametrize("other", ["EMA", "SWA"])
def test_statistics_of_the_target_are_counted_for_the_weights_that_stay(other):
    """Declared: averages first. In the alphabet's order the average's statistics came over those of the target."""
    loaders = {"train": data(n=300), "target": shifted()}
    score = {}
    for name, strategy in (
        ("none", Full()), ("adabn", AdaBN()), ("both", combine(AdaBN(), strategies.get(other)())),
    ):  # fmt: skip
        model, _ = train(loaders=loaders, strategy=strategy, steps=60, lr=3e-2)
        score[name] = evaluate(model, shifted())["balanced_accuracy"]
    assert score["none"] < 0.6 < 0.8 < min(score["adabn"], score["both"])


def test_what_is_measured_is_what_is_returned():
    """DomainGauge measures last: also after averages and a moved threshold."""
    from ftlib.networks import collect
    from ftlib.strategies.domain_gauge import DomainGauge, information_maximisation

    target = DataLoader([row for b in data(n=192, seed=1) for row in _rows(b) if row["labels"] != 2], batch_size=16)
    for other in (EMA(decay=0.9), strategies.get("SWA")(), LabelShift(), AdaBN(), strategies.get("CORAL")()):
        gauge = DomainGauge()
        loaders = {"train": data(n=192), "target": target}
        model, _ = train(loaders=loaders, strategy=combine(gauge, other), steps=20, lr=3e-2)
        (logits,) = collect(model, target, "logits")
        assert gauge.im == information_maximisation(logits), other


def test_a_measurement_of_the_path_ends_at_the_weights_that_stay():
    from ftlib.strategies.schedules import Waypoints

    walk = Waypoints(at=0.5)
    model, _ = train(strategy=combine(walk, EMA(decay=0.9)), steps=10)
    alone = Waypoints(at=0.5)
    train(strategy=alone, steps=10)
    assert walk.barrier != alone.barrier and model.training is False


def test_a_correction_is_made_once():
    strategy, model = LabelShift(), net()
    loaders = {"train": data(), "target": data(seed=1)}
    train(model, loaders, strategy)
    with pytest.raises(ValueError, match=r"LabelShift\(\) has corrected the head of this model already"):
        train(model, loaders, strategy)
    train(net(3), loaders, strategy)  # another model


def test_a_strategy_twice_is_refused():
    for name in NAMES:
        with pytest.raises(ValueError, match=rf"all are {name}|both set it|all "):
            combine(part(name), part(name))


# ---- what augments changes the target too
def test_the_target_is_augmented_as_the_source_is():
    @dataclass_of
    class Look(DeepCORAL):
        def loss(self, model, batch):
            seen.append((batch["pixels"], batch["target"]["pixels"], "labels" in batch["target"]))
            return super().loss(model, batch)

    seen = []
    loaders = {"train": pictures(), "target": pictures(seed=1)}
    plain = [batch["pixels"] for batch in pictures()]
    alone = [batch["pixels"] for batch in pictures(seed=1)]
    erase = strategies.get("RandomErasing")(p=1.0)
    train(eye(), loaders, combine(Look(), erase), steps=1)
    (source, target, labelled) = seen[0]
    assert not labelled and not torch.equal(source, plain[0])
    erased = (target != alone[0]).flatten(1).any(1)
    assert erased.all()
    seen.clear()
    train(eye(), {"train": pictures()}, erase, steps=1)  # the source's draws are those without a target


def dataclass_of(cls):
    from dataclasses import dataclass

    return dataclass(cls)


def _rows(batch):
    return [{k: v[i] for k, v in batch.items()} for i in range(len(batch["labels"]))]
