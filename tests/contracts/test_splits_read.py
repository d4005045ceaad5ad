"""Which split is read at which moment, for every path by which a run reads one.

Curves and early stopping look at validation only; tuning never sees the test split nor what stands beside; the test
split is read once, after the last step; and a rate is chosen by the numbers of the split that the grid names.
"""

import pytest
import torch
from reads import each

from ftlib import strategies, tasks
from ftlib.evidence import grids, runs
from ftlib.models import load as load_model
from ftlib.strategies.full import Full
from ftlib.training.loop import evaluate, fit, predict_logits
from ftlib.training.validation import Validation
from test_contract import ALIGNED, NAMES, loaders, make, toy
from test_paired_runs import spec
from toy import same

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = {"n": 8, "size": 16, "held_out": 24}  # a step is a pass
FAR = "digits/mnist"
RATES = (1e-3, 3e-3, 1e-2)
END = "end scores validation | end scores test"


def phase(name, data=None, steps=2, lr=1e-3, knobs=None, **fit):
    made = {"strategy": [{name: knobs or {}}], "steps": steps, "lr": lr, "batch_size": 16, "fit": fit}
    return made | ({"data": data} if data else {})


ADAPT = {"train": "train", "target": f"{FAR}:train:16"}
PATHS = {  # what a spec says -> every pass that its run makes
    "no curve": ({"phases": [phase("Full")]}, f"0.0 trains train | 0.1 trains train | {END}"),
    "a curve": (
        {"phases": [phase("Full", steps=3)], "every": 2},
        "0.0 trains train | 0.1 trains train | 0.2 trains train | 0.2 scores validation | 0.3 scores validation"
        f" | {END}",
    ),
    "a run that tunes": (
        {"phases": [phase("Full")], "purpose": "tune", "splits": ["validation"]},
        "0.0 trains train | 0.1 trains train | end scores validation",
    ),
    "a run that tunes by the training split": (
        {"phases": [phase("Full", steps=1)], "purpose": "tune", "splits": ["train"]},
        "0.0 trains train | end scores train",
    ),
    "no step": ({"phases": [phase("Full", steps=0)]}, END),
    "three phases": (
        {"phases": [phase("LinearProbe", steps=1), phase("Full", {"train": f"{FAR}:train"}, steps=1),
                    phase("Full", steps=1)], "every": 1},
        f"0.0 trains train | 0.1 scores validation | 1.0 trains {FAR}:train | 1.1 scores validation | "
        f"2.0 trains train | 2.1 scores validation | {END}",
    ),
    "two steps share a batch each": (
        {"phases": [phase("Full", steps=1, accumulate=2)]}, f"0.0 trains train | 0.0 trains train | {END}"
    ),
    "a target": (
        {"phases": [phase("DeepCORAL", ADAPT)], "every": 2, "options": {**OPTIONS, "n": 16}},
        f"0.0 trains train | 0.0 trains {FAR}:train | 0.1 trains train | 0.1 trains {FAR}:train | "
        f"0.2 scores validation | {END}",
    ),
    "a few labels": (
        {"phases": [phase("FewLabels", {"train": "train", "labelled": f"{FAR}:train:10"}, steps=1)]},
        f"0.0 trains train | 0.0 trains {FAR}:train | {END}",
    ),
    "a few of each class": (
        {"phases": [phase("Full", {"train": f"{FAR}:train:{'+'.join('1' * 10)}"}, steps=1)]},
        f"0.0 trains {FAR}:train | {END}",
    ),
    "corrected at the end": (
        {"phases": [phase("Full", steps=1), phase("CORAL", ADAPT, steps=0)]},
        f"0.0 trains train | 1.0 finishes train | 1.0 finishes {FAR}:train | {END}",
    ),
    "counted anew at the end": (
        {"phases": [phase("AdaBN", ADAPT, steps=0)]}, f"0.0 finishes {FAR}:train | {END}"
    ),
    "held-out examples at the end": (
        {"phases": [phase("LabelShift", {**ADAPT, "held_out": "validation"}, steps=1)]},
        f"0.0 trains train | 0.1 finishes validation | 0.1 finishes {FAR}:train | {END}",
    ),
    "measured at the end": (
        {"phases": [phase("DomainGauge", {**ADAPT, "held_out": "validation"}, steps=1)],
         "options": {**OPTIONS, "n": 16}},
        f"0.0 trains train | 0.1 finishes train | 0.1 finishes validation | 0.1 finishes {FAR}:train | {END}",
    ),
    "a walk along the training loss": (
        {"phases": [phase("Waypoints", knobs={"points": 1})]},
        f"0.0 trains train | 0.1 trains train | {' | '.join(['0.2 finishes train'] * 3)} | {END}",
    ),
    "scored on another task": (
        {"phases": [phase("Full", steps=1)], "splits": ["validation", "test", f"{FAR}:validation", f"{FAR}:test"]},
        f"0.0 trains train | {END} | end scores {FAR}:validation | end scores {FAR}:test",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_each_path_reads_these_splits_so_often_and_then(name, tiny, reads):
    says, passes = PATHS[name]
    made = spec(tiny, "Full", **{"options": OPTIONS, **says})
    runs.run(made)
    assert each(passes) == each(" | ".join(reads.passes))


def named(split, lr, phase, step):
    """Scores that say of which split and which moment they are."""
    own = 10 * ["train", "validation", "test", f"{FAR}:validation", f"{FAR}:test"].index(split)
    return {"accuracy": own + phase + step / 10, "nll": float(own)}


def test_a_record_says_each_split_s_own_numbers_and_its_curve_those_of_validation(tiny, reads):
    reads.script = named
    splits = ["train", "validation", "test", f"{FAR}:validation", f"{FAR}:test"]
    more = {"splits": splits, "every": 2, "options": OPTIONS}
    made = runs.run(spec(tiny, "Full", phases=[phase("Full", steps=3), phase("Full", steps=2)], **more))
    assert made["scores"] == {split: named(split, 0, 1, 2) for split in splits}
    seen = [(0, 2, 2), (0, 3, 3), (1, 2, 5)]  # phase, its step, the run's step
    assert [(at["step"], at["accuracy"], at["nll"]) for at in made["curve"]] == [
        (total, 10 + k + step / 10, 10.0) for k, step, total in seen
    ]
    row = runs.frame([made]).iloc[0]
    assert [row[f"{split}.accuracy"] for split in splits] == [10 * i + 1.2 for i in range(5)]
    assert runs.curves([made]).accuracy.tolist() == [10.2, 10.3, 11.2]


FALLS = {"train": -1.0, "test": -1.0, "validation": 1.0}  # the NLL of each split from the second validation on


@pytest.mark.parametrize("purpose", ["measure", "tune"])
def test_early_stopping_watches_validation_and_gives_its_best_weights_back(purpose, tiny, reads):
    reads.script = lambda split, lr, phase, step: {"nll": FALLS[split] * abs(step - 2), "accuracy": 0.0}
    splits = ["validation", "test"] if purpose == "measure" else ["validation"]
    phases = [phase("Full", steps=9, patience=2), phase("LinearProbe", steps=2)]
    made = runs.run(spec(tiny, "Full", phases=phases, every=1, splits=splits, purpose=purpose, options=OPTIONS))
    drawn = " | ".join(f"0.{i} trains train | 0.{i + 1} scores validation" for i in range(4))
    again = "1.0 trains train | 1.1 scores validation | 1.1 trains train | 1.2 scores validation"
    ends = " | ".join(f"end scores {split}" for split in splits)
    assert each(" | ".join(reads.passes)) == each(f"{drawn} | {again} | {ends}") and made["steps"] == 6
    best, later = reads.weights["0.2", "validation"], reads.weights["0.4", "validation"]
    assert not same(best, later)
    stages = [key for key in best if key.startswith("stages") and "running" not in key and "num_" not in key]
    after = reads.weights["1.1", "validation"]  # a probe, so the stages are still those of the first phase's end
    assert all(torch.equal(after[key], best[key]) for key in stages)
    assert not all(torch.equal(later[key], best[key]) for key in stages)


def test_a_repetition_of_the_first_losses_and_a_record_that_is_there_read_nothing_more(tiny, reads, tmp_path):
    made = spec(tiny, "Full", phases=[phase("Full", steps=3, patience=1)], every=1, options=OPTIONS)
    runs.first_losses(made, most=2)
    assert each(" | ".join(reads.passes)) == each("0.0 trains train | 0.1 trains train")
    runs.run(made, tmp_path)
    before = list(reads.passes)
    runs.run(made, tmp_path)
    runs.load_runs(tmp_path)
    assert reads.passes == before


# ---- grids


def arm(rates, name="Full", data=None, **fit):
    return {"rates": rates, "phases": [phase(name, data, lr=None, **fit)]}


BEST = {"train": 1e-2, "validation": 3e-3, "test": 1e-3, f"{FAR}:validation": 1e-2, f"{FAR}:test": 1e-3}


def best_at(split, lr, phase, step):
    """Each split is best served by another rate."""
    return {"accuracy": 1.0 - abs(lr - BEST[split]), "nll": 1.0}


@pytest.mark.parametrize(
    ("metric", "tuned_by"),
    [("accuracy", "validation"), ("train.accuracy", "train"), (f"{FAR}:validation.accuracy", f"{FAR}:validation")],
)
def test_a_grid_chooses_by_the_split_that_it_names_and_reads_no_other_before(metric, tuned_by, grid, reads):
    beside = [] if metric == "train.accuracy" else [f"{FAR}:test"]
    reads.script = best_at
    arms = {"full": arm(list(RATES)), "variant": arm("full", "LayerRates"), "stops": arm(list(RATES), patience=1)}
    grid(metric=metric, arms=arms, options=OPTIONS, also_evaluate_on=beside)
    found = runs.load_records(grids.run_grid("tiny"))
    assert len(found) == len(reads.runs) == 2 * 3 + 3 * 2
    for made, passes in reads.runs.values():
        outside = [p for p in passes if p.startswith("end")]
        if made.purpose == "tune":
            assert outside == [f"end scores {tuned_by}"]
            watched = ["0.1 scores validation", "0.2 scores validation"] if made.arm == "stops" else []
        else:
            wanted = {tuned_by, "validation", "test", *beside}
            assert sorted(outside) == sorted(f"end scores {split}" for split in wanted)
            assert made.phases[0].lr == BEST[tuned_by]
            watched = ["0.1 scores validation", "0.2 scores validation"]
        inside = [p for p in passes if not p.startswith("end")]
        assert sorted(inside) == sorted(["0.0 trains train", "0.1 trains train", *watched])
        assert not [p for p in passes if "test" in p and not (p.startswith("end") and made.purpose == "measure")]
    assert {spec.arm for spec, _ in reads.runs.values() if spec.purpose == "tune"} == {"full", "stops"}


def test_a_grid_that_chooses_by_what_a_strategy_measures_reads_validation_beside_it(grid, reads):
    data = {**ADAPT, "target": f"{FAR}:train:20"}
    grid(metric="DomainGauge.im", arms={"full": arm(list(RATES), "DomainGauge", data)},
         options={**OPTIONS, "n": 16}, also_evaluate_on=[f"{FAR}:test"])  # fmt: skip
    made = runs.load_records(grids.run_grid("tiny"))
    tuned = {r["spec"]["phases"][0]["lr"]: r["measured"]["DomainGauge.im"] for r in made
             if r["spec"]["purpose"] == "tune"}  # fmt: skip
    chosen = {r["spec"]["phases"][0]["lr"] for r in made if r["spec"]["purpose"] == "measure"}
    assert len(tuned) == 3 and chosen == {max(tuned, key=tuned.get)}
    for one, passes in reads.runs.values():
        if one.purpose == "tune":
            assert [p for p in passes if p.startswith("end")] == ["end scores validation"]


# ---- what lessons call, and what strategies read


def test_what_a_lesson_calls_reads_the_split_that_it_names_once(tiny):
    task = tasks.load("digits/optical", **OPTIONS)
    model = load_model(tiny, task)
    for split, call in (("validation", evaluate), ("test", evaluate), ("test", predict_logits)):
        task.reads.clear()
        call(model, task.loader(split, batch_size=7))
        assert task.reads == {split: 1}
    found = predict_logits(model, task.loader("test", batch_size=7))
    assert torch.equal(found["index"], task.splits["test"].index)  # every example once, in its order
    task.reads.clear()
    watched = {"validation": Validation(lambda model: evaluate(model, task.loader("validation")), every=2)}
    fit(model, task.loader("train", batch_size=8, shuffle=True), Full(), steps=3, lr=1e-3, verbose=False, **watched)
    assert task.reads == {"train": 3, "validation": 2}


# What a strategy reads beside "train"; a strategy that is not here reads nothing else.
ALSO_READS = {
    **{name: {"target"} for name in ALIGNED},
    "AdaBN": {"target"}, "CORAL": {"target"}, "LabelShift": {"target", "held_out"}, "FewLabels": {"labelled"},
    "DomainGauge": {"target", "held_out"},
}  # fmt: skip


class Counted:
    """A loader that counts how often it is read."""

    def __init__(self, loader):
        self.loader, self.times = loader, 0

    def __iter__(self):
        self.times += 1
        return iter(self.loader)


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_reads_the_loaders_that_it_is_for_and_no_other(name):
    assert set(ALSO_READS) <= set(strategies.CATALOG)
    every = loaders("AdaBN", name)  # with a target, a few labels and held-out examples, whoever it is
    counted = {k: Counted(v) for k, v in {**every, "validation": every["train"], "test": every["train"]}.items()}
    fit(toy(name), counted, make(name), steps=5, lr=1e-3, verbose=False)
    assert {k for k, loader in counted.items() if loader.times} == {"train"} | ALSO_READS.get(name, set())
