"""Multi-task learning: terms and gradients by hand, single-task training to the last bit, and heads after a file."""

from collections import Counter
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

import ftlib
from ftlib.strategies.full import Full, LinearProbe
from ftlib.strategies.mixing import MixUp
from ftlib.strategies.multitask import MultiTask, UncertaintyWeighting, shares
from ftlib.strategies.peft import LoRA
from ftlib.strategies.task_gradients import DWA, GradNorm, PCGrad, TaskGradients
from ftlib.strategy import Strategy, combine
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.loop import evaluate, fit
from ftlib.training.validation import Validation
from toy import Asked, data, decoder, encoder, net, same, sentences, weights

ONE = {"toy": 3, "toy@high": 2}  # tasks that share a loader
TWO = {"a": 3, "b": 3}  # tasks with a loader each
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


@dataclass
class Spy(Strategy):
    """Adds up the tasks' gradients, and keeps them."""

    def __post_init__(self):
        self.seen = []

    def gradient(self, grads, losses):
        self.seen.append(grads)
        return {name: sum(g[name] for g in grads.values()) for name in next(iter(grads.values()))}


def train(model, loaders, strategy, **more):
    return fit(model, loaders, strategy, **{"steps": 6, "lr": 1e-2, "verbose": False, **more})


def asked(**knobs):
    return Asked(data(**knobs))


def two(**more):
    """Two data sets with batches of unequal size."""
    return {"a": data(n=48, seed=1, **more), "b": data(n=20, seed=2, bs=5, **more)}


def cross_entropy(model, batch, task, labels="labels"):
    return F.cross_entropy(model.head(model.features(batch), task), batch[labels])


def gradients(value, model):
    names = dict(model.named_parameters())
    found = torch.autograd.grad(value, list(names.values()), allow_unused=True, retain_graph=True)
    return {name: g for name, g in zip(names, found, strict=True) if g is not None}


def seen(model, loaders, strategy, **more):
    """{task: {parameter: gradient}} of the first step, and the model before it."""
    spy = Spy()
    train(model, loaders, combine(strategy, spy), steps=1, lr=0.0, max_norm=1e9, **more)
    return spy.seen[0]


# ---- heads


def test_the_first_task_keeps_the_models_head_and_the_others_are_drawn_aside():
    model = net()
    own, batch = model.head, next(iter(asked()))
    before = model(batch)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    model = MultiTask(ONE).prepare(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.head.of() is model.head.of("toy") is own and list(model.head) == ["toy", "toy@high"]
    assert torch.equal(model(batch), before) and model({**batch, "task": "toy@high"}).shape == (16, 2)


def test_the_seed_of_the_run_draws_the_new_heads():
    found = [train(net(), asked(), MultiTask(ONE), steps=0, seed=seed)[0].head.of("toy@high") for seed in (0, 0, 1)]
    assert torch.equal(found[0].weight, found[1].weight) and not torch.equal(found[0].weight, found[2].weight)


def test_a_shared_layer_is_read_by_all_heads():
    model, batch = MultiTask(ONE, width=8).prepare(net()), next(iter(asked()))
    h = model.features(batch)
    hidden = F.relu(F.linear(h, model.head.shared[0].weight, model.head.shared[0].bias))
    assert hidden.shape == (16, 8)
    for task in ONE:
        assert torch.equal(model({**batch, "task": task}), model.head.of(task)(hidden))
    grads = seen(net(bn=False), asked(), MultiTask(ONE, width=8))
    assert all(grads[task]["head.shared.0.weight"].abs().sum() > 0 for task in ONE)


def test_a_later_run_goes_on_with_the_same_heads():
    model = train(net(), asked(), MultiTask(ONE))[0]
    before = weights(model)
    assert same(weights(MultiTask(ONE, weights={"toy": 0.5}).prepare(model)), before)
    assert same(weights(MultiTask({"toy@high": 2}).prepare(model)), before)  # some of them
    train(model, asked(), Full(), steps=3)  # the head of the batch's task
    after = weights(model)
    assert torch.equal(before["head.toy@high.weight"], after["head.toy@high.weight"])
    assert not torch.equal(before["head.toy.weight"], after["head.toy.weight"])


# ---- single-task training, to the last bit


SINGLE = {
    "one loader": (asked(shuffle=True), ONE, {"toy@high": 0.0}, None),
    "a loader each": ({"toy": data(shuffle=True), "b": data(n=96, seed=4)}, {"toy": 3, "b": 3}, {"b": 0}, None),
    "temperature": ({"toy": data(shuffle=True), "b": data(n=96, seed=4)}, {"toy": 3, "b": 3}, {"b": 0.0}, 2.0),
}  # fmt: skip


@pytest.mark.parametrize("surgery", [False, True], ids=["alone", "with PCGrad"])
@pytest.mark.parametrize("case", SINGLE)
def test_weight_0_is_single_task_training_to_the_last_bit(case, surgery):
    loaders, tasks, none, temperature = SINGLE[case]
    strategy = MultiTask(tasks, weights=none, temperature=temperature)
    strategy = combine(strategy, PCGrad()) if surgery else strategy
    alone, rows = train(net(p=0.3), data(shuffle=True), Full(), steps=9)
    ours, more = train(net(p=0.3), loaders, strategy, steps=9)
    assert [row["loss"] for row in rows] == [row["loss"] for row in more] and list(more[0]["terms"]) == ["toy"]
    want = {name.replace("head.", "head.toy."): value for name, value in weights(alone).items()}
    got = {name: value for name, value in weights(ours).items() if name in want}
    assert same(got, want)  # BatchNorm's statistics are among them
    (other,) = [task for task in tasks if task != "toy"]
    fresh = train(net(p=0.3), loaders, strategy, steps=0)[0].head.of(other)
    assert same(weights(ours.head.of(other)), weights(fresh))


# ---- terms and gradients


def test_each_term_is_the_mean_over_the_examples_of_its_task():
    """20 examples in batches of 5 beside 48 in batches of 16, and an accumulation that ends in a ragged batch."""
    loaders, model = {"a": data(n=40, seed=1), "b": data(n=20, seed=2, bs=5)}, net(bn=False)
    _, rows = train(model, loaders, MultiTask(TWO, weights={"b": 0.3}), steps=1, lr=0.0, accumulate=3)
    batches = {name: list(loader)[:3] for name, loader in loaders.items()}
    assert [len(batch["labels"]) for batch in batches["a"]] == [16, 16, 8]
    for task, factor in (("a", 1.0), ("b", 0.3)):
        x, y = (torch.cat([batch[k] for batch in batches[task]]) for k in ("x", "labels"))
        want = factor * F.cross_entropy(model.head(model.features({"x": x}), task), y)
        assert rows[0]["terms"][task] == pytest.approx(want.item(), rel=1e-5)
    assert rows[0]["loss"] == pytest.approx(sum(rows[0]["terms"].values()))


def test_one_loader_answers_all_tasks_in_one_forward_pass():
    model, passes = net(bn=False), []
    model.stages[0].register_forward_hook(lambda *_: passes.append(1))
    tasks = {**ONE, "toy@size": 1}
    features = model.features
    model.features = lambda batch: passes.append("features") or features(batch)
    _, rows = train(model, asked(), MultiTask(tasks), steps=1, lr=0.0)
    del model.features
    assert passes.count("features") == 1
    batch = next(iter(asked()))
    number = model.head(model.features(batch), "toy@size").squeeze(-1)
    want = {"toy": cross_entropy(model, batch, "toy"), "toy@high": cross_entropy(model, batch, "toy@high", "high"),
            "toy@size": (number - batch["size"]).square().mean()}  # fmt: skip
    assert rows[0]["terms"] == pytest.approx({task: value.item() for task, value in want.items()}, rel=1e-5)


@pytest.mark.parametrize("loaders", ["one", "each"])
def test_a_heads_gradient_is_exactly_0_on_the_other_task(loaders):
    tasks, given = (ONE, asked()) if loaders == "one" else (TWO, two())
    grads = seen(net(), given, MultiTask(tasks))
    for task in tasks:
        for other in tasks:
            g = grads[other][f"head.{task}.weight"]
            assert bool(g.abs().sum() > 0) == (task == other) and (task == other or torch.equal(g, torch.zeros_like(g)))


@pytest.mark.parametrize("loaders", ["one", "each"])
def test_the_shared_weights_get_the_weighted_sum_of_the_tasks_gradients(loaders):
    tasks, given = (ONE, asked()) if loaders == "one" else (TWO, two())
    first, second = tasks
    model = MultiTask(tasks).prepare(net(bn=False))
    grads = seen(model, given, MultiTask(tasks, weights={first: 2.0, second: 0.25}))
    batch = {task: next(iter(given if loaders == "one" else given[task])) for task in tasks}
    want = {
        first: gradients(cross_entropy(model, batch[first], first), model),
        second: gradients(cross_entropy(model, batch[second], second, "high" if loaders == "one" else "labels"), model),
    }
    name = "stages.0.0.weight"
    torch.testing.assert_close(grads[first][name], 2.0 * want[first][name], **CLOSE)
    torch.testing.assert_close(grads[second][name], 0.25 * want[second][name], **CLOSE)
    whole, total = Whole(), 2.0 * want[first][name] + 0.25 * want[second][name]
    train(model, given, combine(MultiTask(tasks, weights={first: 2.0, second: 0.25}), whole), steps=1, lr=0.0)
    torch.testing.assert_close(whole.grads[name], total, **CLOSE)


@dataclass
class Whole(Strategy):
    """Keeps what one backward pass has left in .grad, before it is clipped and used."""

    def __post_init__(self):
        self.grads = {}

    def groups(self, groups):
        for name, p in groups[0]["params"]:
            p.register_post_accumulate_grad_hook(lambda p, name=name: self.grads.update({name: p.grad.clone()}))
        return groups


@pytest.mark.parametrize("loaders", ["one", "each"])
def test_accumulation_is_one_large_batch(loaders):
    def grads(bs, accumulate):
        given = asked(bs=bs) if loaders == "one" else {"a": data(seed=1, bs=bs), "b": data(seed=2, bs=bs)}
        return seen(net(bn=False), given, MultiTask(ONE if loaders == "one" else TWO), accumulate=accumulate)

    few, many = grads(32, 1), grads(8, 4)
    torch.testing.assert_close(many, few, **CLOSE)


def test_frozen_stages_train_the_heads_alone():
    model = net()
    before = weights(model)
    after = weights(train(model, asked(), combine(MultiTask(ONE), LinearProbe()))[0])
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("stages."))
    assert not torch.equal(before["head.weight"], after["head.toy.weight"])


# ---- the stream


def rows(batch):
    return [tuple(x) for x in batch["x"].tolist()]


def test_a_step_takes_a_batch_of_each_data_set_and_the_shorter_starts_again():
    loaders = {"a": data(n=48, seed=1), "b": data(n=80, seed=2)}
    steps = list(MultiTask(TWO).batches(loaders))
    assert [[list(batch["n"]) for batch in step] for step in steps] == [[["a"], ["b"]]] * 5
    a, b = (Counter(row for step in steps for row in rows(step[i])) for i in (0, 1))
    assert set(b.values()) == {1} and len(b) == 80 and set(a.values()) == {1, 2} and len(a) == 48


def test_a_loader_by_the_name_of_a_task_is_read_for_it_alone():
    loaders = {
        "toy": asked(),
        "toy@high": [{**batch, "labels": batch["high"]} for batch in Asked(data(seed=3), "toy@high")],
    }
    (first, second), *_ = MultiTask(ONE).batches(loaders)
    assert first["n"] == {"toy": 16} and second["n"] == {"toy@high": 16}
    assert torch.equal(MultiTask(ONE).targets("toy@high", second), second["labels"])
    assert torch.equal(MultiTask(ONE).targets("toy@high", first), first["high"])


def test_targets_that_are_not_counted_are_left_out_of_their_task():
    batch = {**next(iter(asked())), "high": torch.tensor([-100] * 12 + [0, 1, 1, 0])}
    _, history = train(net(), [batch], MultiTask(ONE), steps=1)
    assert MultiTask(ONE).asked(batch, list(ONE))["n"] == {"toy": 16, "toy@high": 4}
    assert 0 < history[0]["terms"]["toy@high"] < 3


@pytest.mark.parametrize(("temperature", "want"), [(1.0, 0.8), (2.0, 2 / 3), (1e9, 0.5)])
def test_a_temperature_draws_one_data_set_per_step(temperature, want):
    assert shares([64, 16], temperature).tolist() == pytest.approx([want, 1 - want], abs=1e-6)
    loaders, drawn = {"a": data(n=64, seed=1), "b": data(n=16, seed=2)}, Counter()
    torch.manual_seed(0)
    for _ in range(400):
        steps = list(MultiTask(TWO, temperature=temperature).batches(loaders))
        assert len(steps) == 5 and all(len(step) == 1 for step in steps)
        drawn.update(task for (batch,) in steps for task in batch["n"])
    # 2,000 draws: four deviations of their share
    assert drawn["a"] / 2000 == pytest.approx(want, abs=4 * (want * (1 - want) / 2000) ** 0.5)


def test_a_small_data_set_is_read_again_within_a_pass_at_high_temperature():
    loaders = {"a": data(n=64, seed=1), "b": data(n=16, seed=2)}
    torch.manual_seed(0)
    steps = [batch for _ in range(10) for (batch,) in MultiTask(TWO, temperature=1e9).batches(loaders)]
    assert len([batch for batch in steps if "b" in batch["n"]]) > 15


# ---- resuming


RUNS = {
    "one loader": (lambda: MultiTask(ONE), lambda: asked(shuffle=True)),
    "a loader each": (lambda: MultiTask(TWO), lambda: two(shuffle=True)),
    "temperature": (lambda: MultiTask(TWO, temperature=2.0), lambda: two(shuffle=True)),
    "uncertainty": (lambda: UncertaintyWeighting(ONE), lambda: asked(shuffle=True)),
    "PCGrad": (lambda: combine(MultiTask(ONE), PCGrad()), lambda: asked(shuffle=True)),
    "GradNorm": (lambda: combine(MultiTask(TWO), GradNorm()), lambda: two(shuffle=True)),
    "DWA": (lambda: combine(MultiTask(ONE), DWA(every=3)), lambda: asked(shuffle=True)),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_ends_in_the_same_weights(name, tmp_path):
    make, loaders = RUNS[name]

    def run(**more):
        strategy = make()
        model, _ = train(net(p=0.3), loaders(), strategy, steps=17, **more)
        return weights(model), strategy.state_dict()

    def broken(model):
        raise KeyboardInterrupt

    saved = Checkpoint(tmp_path / "c", every=5)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=saved, validation=Validation(broken, every=12))
    (got, state), (want, whole) = run(checkpoint=saved), run()
    assert same(got, want)
    torch.testing.assert_close(state, whole, rtol=0, atol=0)


# ---- uncertainty weighting


@pytest.mark.parametrize(("task", "scale"), [("toy@high", 1.0), ("toy@size", 0.5)])
def test_the_gradient_of_a_log_variance_in_closed_form(task, scale):
    """The term e^(−s) c L + s/2 has the slope 1/2 − e^(−s) c L, with c = 1 for classes and 1/2 for a number."""
    tasks = {"toy": 3, task: 1 if task == "toy@size" else 2}
    model = UncertaintyWeighting(tasks).prepare(net(bn=False))
    with torch.no_grad():
        model.head.log_variances.copy_(torch.tensor([0.3, -0.7]))
    batch = next(iter(asked()))
    if task == "toy@high":
        loss = cross_entropy(model, batch, task, "high")
    else:
        loss = (model.head(model.features(batch), task).squeeze(-1) - batch["size"]).square().mean()
    term = torch.exp(torch.tensor(0.7)) * scale * loss - 0.35
    grads = seen(model, [batch], UncertaintyWeighting(tasks))[task]
    assert train(model, [batch], UncertaintyWeighting(tasks), steps=1, lr=0.0)[1][0]["terms"][task] == pytest.approx(
        term.item(), rel=1e-5
    )
    slope = 0.5 - (torch.exp(torch.tensor(0.7)) * scale * loss).item()
    torch.testing.assert_close(grads["head.log_variances"], torch.tensor([0.0, slope]), **CLOSE)
    shared = gradients(loss, model)["stages.0.0.weight"]
    torch.testing.assert_close(grads["stages.0.0.weight"], torch.exp(torch.tensor(0.7)) * scale * shared, **CLOSE)


def test_log_variances_begin_at_0_where_it_is_multi_task_training():
    terms = [train(net(), asked(), kind(ONE), steps=1)[1][0]["terms"] for kind in (MultiTask, UncertaintyWeighting)]
    assert terms[0] == pytest.approx(terms[1])


def test_a_task_that_cannot_be_learned_gets_a_small_weight():
    """In front of a fixed network, s goes to log 2L."""
    strategy = combine(UncertaintyWeighting({"toy": 3, "toy@odd": 2}, rate=20.0), LinearProbe())
    model, _ = train(net(bn=False), asked(n=256, bs=64, shuffle=True), strategy, steps=300)
    loss = cross_entropy(model, next(iter(asked(n=256, bs=256))), "toy@odd", "odd").item()
    assert model.head.log_variances[1].item() == pytest.approx(torch.tensor(2 * loss).log().item(), abs=0.15)
    assert model.head.log_variances[0] < model.head.log_variances[1]


def test_log_variances_have_a_rate_of_their_own_and_no_decay():
    model = UncertaintyWeighting(ONE, rate=5.0).prepare(net())
    groups = UncertaintyWeighting(ONE, rate=5.0).groups(
        [{"params": list(model.named_parameters()), "lr": 0.1, "weight_decay": 0.01}]
    )
    assert [(g["lr"], g["weight_decay"], len(g["params"])) for g in groups][1] == (0.5, 0.0, 1)
    assert groups[1]["params"][0][0] == "head.log_variances" and groups[0]["lr"] == 0.1
    assert len(groups[0]["params"]) == len(list(model.parameters())) - 1


# ---- after training


def test_each_task_is_scored_by_its_own_head():
    model, _ = train(net(bn=False), asked(n=256, shuffle=True), MultiTask({**ONE, "toy@size": 1}), steps=200)
    fresh = data(n=128, seed=9)
    high = [{**batch, "labels": batch["high"]} for batch in Asked(fresh, "toy@high")]
    size = [{**batch, "labels": batch["size"].float()} for batch in Asked(fresh, "toy@size")]
    assert evaluate(model, Asked(fresh))["accuracy"] > 0.8 and evaluate(model, fresh)["accuracy"] > 0.8
    assert evaluate(model, high)["accuracy"] > 0.8 and evaluate(model, size)["pearson"] > 0.8
    with pytest.raises(ValueError, match="no head for the task 'toy@odd': its heads are toy, toy@high, toy@size; take"):
        evaluate(model, Asked(fresh, "toy@odd"))


STRATEGIES = {
    "several heads": lambda: MultiTask(ONE),
    "a shared layer": lambda: MultiTask(ONE, width=8),
    "uncertainty": lambda: UncertaintyWeighting(ONE),
    "with LoRA": lambda: combine(MultiTask(ONE), LoRA(r=2)),
    "with surgery": lambda: combine(MultiTask(ONE), PCGrad()),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_model_with_several_heads_comes_back_from_its_folder(name, tmp_path):
    task = ftlib.load_task("sentiment/amazon", n=40, held_out=40)
    model = ftlib.load_model("minilm", task)
    plain = task.loader("train", tokenizer=model.tokenizer, batch_size=8)
    loader = [{**b, "task": "toy", "high": b["index"] % 2} for b, _ in zip(plain, range(2), strict=False)]
    strategy = {"toy": 2, "toy@high": 2}
    made = STRATEGIES[name]()
    parts = getattr(made, "parts", (made,))
    parts = [
        type(p)(strategy, **({"width": p.width} if p.width else {})) if isinstance(p, MultiTask) else p for p in parts
    ]
    model, _ = train(model, loader, combine(*parts), steps=2, lr=1e-3, precision="float32")
    again = ftlib.load(ftlib.save(model, tmp_path / "mine"))
    assert list(again.head) == ["toy", "toy@high"] and again.head.main == "toy"
    for each in ("toy", "toy@high"):
        batches = [{**b, "task": each, "labels": b["high"] if "@" in each else b["labels"]} for b in loader]
        with torch.no_grad():
            assert torch.equal(model(batches[0]), again(batches[0]))
        assert evaluate(again, batches) == evaluate(model, batches)


def test_predict_asks_the_head_that_is_named():
    model = MultiTask({"sentiment/amazon": 2, "sentiment/amazon@high": 2}).prepare(
        ftlib.load_model("minilm", ftlib.load_task("sentiment/amazon", n=20, held_out=20))
    )
    main, named = ftlib.predict(model, "Good."), ftlib.predict(model, "Good.", head="sentiment/amazon")
    assert main == named and set(main.probabilities) == {"negative", "positive"}
    other = ftlib.predict(model, "Good.", head="sentiment/amazon@high")
    assert set(other.probabilities) == {"class 0", "class 1"} and other.probabilities != main.probabilities
    with pytest.raises(
        ValueError, match="no head for the task 'high': its heads are sentiment/amazon, sentiment/amazon@high"
    ):
        ftlib.predict(model, "Good.", head="high")


def test_texts_have_several_heads_too():
    loader = Asked(sentences(shuffle=True))
    model, history = train(encoder(), loader, MultiTask({**ONE, "toy@size": 1}, width=8), steps=120)
    assert history[-1]["loss"] < history[0]["loss"] / 2 and evaluate(model, Asked(sentences()))["accuracy"] > 0.9


def test_weights_of_several_heads_in_a_model_with_one_are_one_sentence(tmp_path):
    from ftlib import models

    models.save(MultiTask(ONE).prepare(encoder()), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"were saved with several heads, so call prepare\(model\) of the MultiTask"):
        models.load_weights(encoder(), tmp_path / "w.safetensors")


# ---- bad input


def lacking():
    return [{"x": torch.randn(4, 6), "labels": torch.zeros(4).long(), "task": "toy"}]


class Endless:
    """A loader without a length."""

    def __iter__(self):
        return iter(data())


BAD = [
    (lambda: MultiTask(), r"MultiTask needs tasks, \{name: outputs\}, but they are \{\}: give"),
    (lambda: MultiTask({"toy": 0}), "with whole numbers of at least 1, but there is 'toy': 0: give 1 for a number"),
    (lambda: MultiTask({"toy": 2.0}), "with whole numbers of at least 1, but there is 'toy': 2.0"),
    (lambda: MultiTask(ONE, weights={"toy@hihg": 1.0}), "name 'toy@hihg', but its tasks are toy, toy@high"),
    (lambda: MultiTask(ONE, weights={"toy": -1.0}), "of at least 0, but that of 'toy' is -1.0: 0 leaves a task out"),
    (lambda: MultiTask(ONE, weights={"toy": "1"}), "must be finite numbers of at least 0, but that of 'toy' is '1'"),
    (lambda: MultiTask(ONE, weights=[1.0]), r"weights of MultiTask must be \{name of a task: factor\}, but it is"),
    (lambda: MultiTask({"toy": 3}, weights={"toy": 0}), "all weights of MultiTask are 0, so there is nothing to train"),
    (lambda: MultiTask(ONE, temperature=0.0), "temperature must be above 0, but it is 0.0"),
    (lambda: MultiTask(ONE, width=-1), "width must not be negative, but it is -1"),
    (lambda: UncertaintyWeighting(ONE, rate=0.0), "rate must be above 0, but it is 0.0: for fixed weights take"),
    (lambda: MultiTask({"toy": 4}).prepare(net()), "'toy', has 4 outputs and the head of this model 3: load the model"),
    (lambda: MultiTask({"a.b": 3, "a_b": 3}).prepare(net()), "no head can have the name 'a_b', which is taken"),
    (lambda: MultiTask({"toy": 3, "train": 3}).prepare(net()), "no head can have the name 'train'"),
    (lambda: MultiTask(ONE).prepare(decoder()), "MultiTask gives each task a head of its own, but the head of this"),
    (lambda: MultiTask(TWO).prepare(MultiTask(ONE).prepare(net())), "this model has the heads .* but MultiTask asks"),
    (lambda: MultiTask(ONE).prepare(MultiTask(ONE, width=4).prepare(net())), "width 4, but MultiTask asks .* width 0"),
    (lambda: train(net(), {"a": data()}, MultiTask(TWO)), "trains 'b', but there is no loader 'b' and none called 'tr"),
    (lambda: train(net(), asked(), MultiTask(ONE, temperature=2.0)), "tasks toy, toy@high share the loader 'train'"),
    (lambda: train(net(), asked(), MultiTask({"toy": 3, "b": 3})), "trains 'b', but this batch is of 'toy', which"),
    (lambda: train(net(), lacking(), MultiTask(ONE)), "a batch of 'toy' has no column 'high': it has x, labels, task"),
    (lambda: train(net(), asked(), MultiTask({"toy": 3, "toy@size": 3})), "answered by numbers, not by 3 classes"),
    (lambda: train(net(), {"a": Endless(), "b": data()}, MultiTask(TWO)), "but 'a' does not say how long it is: give"),
    (lambda: combine(MultiTask(ONE), UncertaintyWeighting(ONE)), r"batches\(\) can have one owner"),
    (lambda: combine(UncertaintyWeighting(ONE), GradNorm()), "all set the weights of the tasks"),
    (lambda: train(net(), data(), TaskGradients()), r"this model has one head: combine it with MultiTask"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_examples_are_not_mixed_beside_columns_that_would_not_be():
    with pytest.raises(ValueError, match="all set the target of an example"):
        combine(MultiTask(ONE), MixUp())
