"""The recipe behind a point, as code: it makes the very Spec of every recorded run, and the same run step by step."""

import ast
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from io import StringIO

import pytest

import ftlib
from ftlib.classroom.lessons import part
from ftlib.evidence.spec import Spec

RECORDED, RECIPE = part("09_compare", "shared_recorded"), part("09_compare", "shared_recipe")
TINY = {"n": 10, "size": 16, "held_out": 10}


def of_code(code: str, monkeypatch) -> Spec:
    """The Spec that the code makes and would run."""
    made = []

    def run(spec):
        made.append(spec)
        return {"scores": {}}

    monkeypatch.setattr(sys.modules["ftlib"], "run", run, raising=False)
    exec(code, {})
    return made[0]


def test_the_code_of_every_recorded_method_makes_its_very_spec(monkeypatch):
    groups = RECORDED.read(RECORDED.everything())
    assert len(groups) > 100
    for group in groups:
        for (arm, _), record in {
            arm: (key, record) for key, record in group.records.items() for arm in key[:1]
        }.values():
            spec = record["spec"]
            made = of_code(RECIPE.exact(spec, [spec["seed"]]), monkeypatch)
            assert made.id == record["id"] == Spec(**spec).id, (group.label, arm)


def test_the_code_of_every_simple_run_is_python_and_names_what_the_library_has():
    written = set()
    for record in RECORDED.everything():
        if code := RECIPE.by_hand(record["spec"]):
            written.add(code)
    names = {node.attr for code in written for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    assert len(written) > 50 and {"LinearProbe", "LoRA", "fit", "evaluate", "load_task"} <= names
    assert not [name for name in names if name[0].isupper() and name not in ftlib.strategies.CATALOG]


@pytest.mark.parametrize("strategy", [[], [{"FreezeFirst": {"k": 7}}, {"Cosine": {"warmup": 0.1}}]])
def test_step_by_step_is_the_same_run(strategy, one_thread):
    phase = ftlib.Phase(strategy, steps=2, lr=1e-3, batch_size=4)
    spec = ftlib.Spec("x", "digits/mnist", "efficientnet-lite0", seed=3, phases=[phase], options=TINY)
    record, out = ftlib.run(spec), StringIO()
    with redirect_stdout(out):
        exec(RECIPE.by_hand(asdict(spec)), {})
    for line in out.getvalue().splitlines():
        if line.startswith(("validation ", "test ")):
            split, _, scores = line.partition(" ")
            assert ast.literal_eval(scores.replace("nan", "None")) == {
                name: None if value != value else value for name, value in record["scores"][split].items()
            }
    assert out.getvalue().count("balanced_accuracy") == 2


MANY = {"several phases": {"phases": 2}, "other data": {"data": {"train": "digits/optical:train"}},
        "accumulation": {"fit": {"accumulate": 2}}}  # fmt: skip


@pytest.mark.parametrize("kind", MANY)
def test_what_plain_calls_would_not_repeat_has_none(kind):
    more = {k: v for k, v in MANY[kind].items() if k != "phases"}
    phases = [ftlib.Phase([], steps=2, lr=1e-3, **more) for _ in range(MANY[kind].get("phases", 1))]
    spec = ftlib.Spec("x", "digits/mnist", "efficientnet-lite0", seed=3, phases=phases, options=TINY)
    assert RECIPE.by_hand(asdict(spec)) == ""


def test_the_seeds_are_named_in_few_words():
    assert [RECIPE._seeds(s) for s in ([0, 1, 2], [4], [0, 2, 5], [*range(3, 40, 2)])] == [
        "0 to 2", "4", "0, 2, 5", "3 to 39 (19 of them)",
    ]  # fmt: skip
