"""The loop on the three real models and on real data: averages, precision, records that repeat."""

import json
import random
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from ftlib import models, runs, tasks
from ftlib import record as grids
from ftlib.strategy import Strategy, count_targets
from ftlib.train import evaluate, fit
from toy import weights

RESULTS = sorted((Path(__file__).parent.parent / "data" / "results").glob("*.jsonl"))
# Two computers add up in different orders; twenty steps of training enlarge that. On one computer it is 0.
SAME_RUN = 0.02
# bfloat16 keeps 8 bits of a number: an operand's last digit is 0.4 % of it, and twenty steps enlarge that more.
SAME_RUN_BFLOAT16 = 0.06


class Still(Strategy):
    """Dropout off and BatchNorm fixed: then, and only then, pieces of a batch can equal the whole."""

    def before_step(self, model, progress):
        model.eval()


def pieces(task, model, batch_size):
    return task.loader("train", tokenizer=model.tokenizer, batch_size=batch_size)


@pytest.mark.parametrize(
    ("task_name", "model_name", "options"),
    [
        ("elpv", "efficientnet-lite0", {"n": 50, "size": 64}),
        ("sentiment/tweets", "minilm", {"n": 50}),
        ("instructions", "smollm2", {"n": 50}),
    ],
)
def test_one_batch_of_50_equals_its_ragged_pieces(task_name, model_name, options):
    """The gradient step on 50 examples at once, and on 16 + 16 + 16 + 2, in float64."""
    task, ends = tasks.load(task_name, seed=0, **options), []
    for batch_size, accumulate in ((50, 1), (16, 4)):
        torch.manual_seed(0)
        model = models.load(model_name, task).double()
        for name, p in model.named_parameters():  # the last stage and the head are enough, and spare memory
            p.requires_grad_(name.startswith(("head", f"stages.{len(model.stages) - 1}.")))
        loader = [
            {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}
            for batch in pieces(task, model, batch_size)
        ]
        counts = [count_targets(batch["labels"]) for batch in loader]
        assert len(loader) == accumulate and len(loader[-1]["labels"]) == (50 if accumulate == 1 else 2)
        model, history = fit(
            model, loader, Still(), steps=1, lr=1e-3, accumulate=accumulate, precision="float32", verbose=False
        )
        ends.append((weights(model), history[0]["loss"], sum(counts)))
        del model
    (one, loss, n), (ragged, ragged_loss, ragged_n) = ends
    assert n == ragged_n and loss == pytest.approx(ragged_loss, rel=1e-6)
    # AdamW's first step is ±lr wherever the gradient is not near 0, so a mean of means would differ by up to 2e-3.
    torch.testing.assert_close(one, ragged, rtol=0, atol=2e-6)


def test_bfloat16_learns_what_float32_learns():
    task = tasks.load("sentiment/tweets", seed=0, n=64)
    scores = {}
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        model = models.load("minilm", task)
        loader = pieces(task, model, 32)
        _, rows = fit(model, loader, Strategy(), steps=6, lr=1e-4, precision=precision, verbose=False)
        scores[precision] = [row["loss"] for row in rows]
    assert scores["bfloat16"] == pytest.approx(scores["float32"], abs=0.05)  # bfloat16 has 8 bits, about 0.4 %
    assert scores["bfloat16"] != scores["float32"]


def spec(**more):
    phases = [runs.Phase(strategy=[{"LinearProbe": {}}], steps=3, lr=1e-2), runs.Phase(strategy=[], steps=2, lr=1e-4)]
    plain = {"arm": "lp-ft", "task": "digits/mnist", "model": "efficientnet-lite0", "seed": 0, "every": 2}
    return runs.Spec(**{**plain, "phases": phases, "options": {"n": 40, "size": 32}, **more})


@pytest.fixture(scope="module")
def record():
    return runs.run(spec())


def test_a_spec_is_json_and_its_id_is_its_content():
    again = runs.Spec(**json.loads(json.dumps(asdict(spec()))))
    assert again == spec() and again.id == spec().id and len(again.id) == 12
    assert spec(seed=1).id != spec().id


def test_a_record_has_everything_that_a_comparison_needs(record):
    assert record["scores"].keys() == {"validation", "test"} and 0 <= record["scores"]["test"]["accuracy"] <= 1
    assert [point["step"] for point in record["curve"]] == [2, 3, 5]
    assert record["steps"] == 5 and len(record["first_losses"]) == 5
    assert record["parameters"]["trainable"] == record["parameters"]["total"] > 3e6  # the last phase trains all
    assert (
        record["seconds"].keys() == {"data", "forward", "backward", "optimizer", "training"} and record["memory"] > 1e8
    )
    assert record["provenance"]["versions"]["torch"] == torch.__version__.split("+")[0]
    row = runs.frame([record]).iloc[0]
    assert (row.arm, row.n, row.lr, row["test.accuracy"]) == ("lp-ft", 40, 1e-4, record["scores"]["test"]["accuracy"])


def test_a_run_repeats_and_a_recorded_one_is_not_run_again(record, tmp_path, monkeypatch):
    first = runs.run(spec(), tmp_path)
    assert (
        first["first_losses"] == record["first_losses"] == runs.first_losses(spec())
        and first["scores"] == record["scores"]
    )
    assert [f.name for f in tmp_path.iterdir()] == [f"{spec().id}.json"]
    monkeypatch.setattr(runs, "fit", None)
    assert runs.run(spec(), tmp_path) == json.loads(json.dumps(first))
    assert runs.load_runs(tmp_path).shape[0] == 1


def test_tuning_must_not_read_the_test_split():
    with pytest.raises(ValueError, match=r"a run that tunes must not read the test split"):
        spec(purpose="tune")
    with pytest.raises(ValueError, match="phase 1 would train on the test split"):
        spec(phases=[runs.Phase(strategy=[], steps=1, lr=1e-3, data={"train": "test"})])


def test_missing_results_say_how_to_make_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there are no runs at .*: `make record` makes the recorded ones"):
        runs.load_runs(tmp_path / "none.jsonl")


def test_there_are_recorded_results():
    assert RESULTS


@pytest.mark.parametrize("file", RESULTS, ids=lambda f: f.stem)
def test_every_record_belongs_to_its_grid_and_none_is_missing(file):
    made = {r["id"]: r for r in runs.load_records(file)}
    wanted = {s.id for c in grids.load_grid(file.stem) for s in grids.specs(file.stem, c, made)}
    assert set(made) == wanted
    assert len(made) == sum(map(grids.count, grids.load_grid(file.stem)))


@pytest.mark.parametrize("file", RESULTS, ids=lambda f: f.stem)
def test_a_recorded_run_repeats(file):
    """One recorded run, drawn anew each day: the same first losses, without running to its end.

    How near they must be is measured: AdamW's first step is ±lr for every weight, so where a gradient is 0 up to
    rounding its sign is a matter of the order of additions, and at a high rate the losses then part for good. The
    run is repeated with one thread and with two, which add in other orders; what that changes up to a step, another
    computer may change thrice. The first loss, before any step, has no such excuse. A run in bfloat16 is drawn only
    where the processor has it: elsewhere one step of MiniLM takes minutes.
    """
    can = {"float32"} | ({"bfloat16"} if torch.cpu._is_avx512_bf16_supported() else set())
    measured = [r["spec"] | r for r in runs.load_records(file) if r["spec"]["purpose"] == "measure"]
    drawn = random.choice([r for r in measured if r["precision"] in can])
    wanted, recorded = runs.Spec(**drawn["spec"]), drawn["first_losses"][:10]
    assert wanted.id == drawn["id"], "the record does not belong to the spec it holds"
    threads, again = torch.get_num_threads(), {}
    for n in (1, 2):
        torch.set_num_threads(n)
        again[n] = runs.first_losses(wanted, most=len(recorded))
    torch.set_num_threads(threads)
    near, apart = SAME_RUN if wanted.precision == "float32" else SAME_RUN_BFLOAT16, 0.0
    for step, (one, two, was) in enumerate(zip(again[1], again[2], recorded, strict=True)):
        apart = max(apart, abs(one - two))
        closest = min((one, two), key=lambda loss, was=was: abs(loss - was))
        allowed = near + 3 * apart if step else near / 4
        assert abs(closest - was) <= allowed, f"{wanted.arm} on {wanted.task}, seed {wanted.seed}, step {step}"


def test_evaluation_leaves_the_model_and_the_generators_alone():
    task = tasks.load("digits/mnist", seed=0, n=40, size=32)
    model = models.load("efficientnet-lite0", task)
    before, drawn = weights(model), torch.get_rng_state()
    evaluate(model, task.loader("validation"))
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert task.reads == {"validation": 1} and drawn is not None
