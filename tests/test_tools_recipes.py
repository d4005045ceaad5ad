"""Edges of a recipe: Specs that no tool can express as they are, and names that would break a file."""

import ast
import json

import pytest

from ftlib import strategies
from ftlib.tools import SMOLLM2, TOOLS, Base, lost_in, recipe, tool
from ftlib.tools.recipes import ASIDE
from ftlib.tools.rows import checked
from tools_examples import CHATS, LORA, MIX, OTHERS, A, B, spec

BOTH, ROWS = {"data": {"train": A, "more": B}}, {A: CHATS, B: OTHERS}


def render(name: str, *strategy, rows=CHATS, base=None, **more) -> dict[str, str]:
    return tool(name).render(spec((list(strategy), more)), rows, base)


# ---- which weights learn


def test_all_stages_are_full_fine_tuning():
    """LLaMA-Factory would leave the embeddings as they are, whatever the number of layers."""
    for strategy in ({"TuneOnly": {"stages": list(range(31))}}, {"FreezeFirst": {"k": 0}}):
        assert 'finetuning_type: "full"' in render("llama-factory", strategy)["train_1.yaml"]


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"TuneOnly": {"stages": []}}, r"no tool trains the stages \[\] alone"),
        ({"TuneOnly": {"stages": [30, 31]}}, r"smollm2 has the stages 0 to 30, or -31 to -1 from the end, but not \["),
        ({"TuneOnly": {"stages": [-32]}}, r"but not \[-32\]"),
        ({"FreezeFirst": {"k": -1}}, "it must be 0 to 30, not -1"),
    ],
)
def test_stages_that_are_not_there_are_refused(strategy, said):
    with pytest.raises(ValueError, match=said):
        render("llama-factory", strategy)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([LORA, {"Cosine": {}}, {"LinearDecay": {}}], "both set it: leave one of them out"),
        ([LORA, {"TuneOnly": {"stages": [-1]}}], "has no effect beside"),
        ([LORA, {"LoRA": {"r": 2}}], "all put new weights inside a model"),
        ([{"TuneOnly": {"stages": [-1]}}, {"FreezeFirst": {"k": 3}}], "FreezeFirst and TuneOnly both freeze"),
    ],
)
def test_a_combination_that_the_kit_or_a_tool_cannot_do_is_refused(parts, said):
    """The parts alone are fine, and one of them would vanish."""
    for name in TOOLS:
        with pytest.raises(ValueError, match=said):
            render(name, *parts)


def test_parts_may_stand_in_one_dict():
    read = render("llama-factory", {**LORA, "Cosine": {"warmup": 0.1}})["train_1.yaml"]
    assert "lora_rank: 4" in read and 'lr_scheduler_type: "cosine"' in read


# ---- LoRA


@pytest.mark.parametrize("alpha", [0.5, 2.5])
def test_a_tool_with_whole_numbers_for_alpha_refuses_another_one(alpha):
    for name in ("llama-factory", "firefly"):
        with pytest.raises(ValueError, match=f"takes a whole number for alpha, not {alpha}"):
            render(name, {"LoRA": {"alpha": alpha}})
    for name, file in (("unsloth", "train_1.py"), ("xtuner", "config_1.py")):
        assert str(alpha) in render(name, {"LoRA": {"alpha": alpha}})[file]
    read = json.loads(render("firefly", {"LoRA": {"alpha": 32.0}})["train_1.json"])
    assert read["lora_alpha"] == 32 and isinstance(read["lora_alpha"], int)


NOTHING = Base("odd", 2, {"attention": ["qkv"], "mlp": []}, SMOLLM2.markup)


@pytest.mark.parametrize(
    ("base", "targets", "said"),
    [
        (NOTHING, "mlp", "odd has no layer mlp: its linear layers are qkv"),
        (
            Base("odd", 2, {"attention": [], "mlp": []}, SMOLLM2.markup),
            "all",
            "odd has no layer all: its linear .* none",
        ),
        (SMOLLM2, ["q_proj", "conv"], "smollm2 has no layer conv"),
        (SMOLLM2, ["proj"], "smollm2 has no layer proj"),  # the kit takes whole words
        (SMOLLM2, [], "smollm2 has no layer"),
        (SMOLLM2, ["layers.3.self_attn.q_proj"], "names one layer, and a tool adapts it in all of them"),
    ],
)
def test_targets_that_would_be_none_or_others_are_refused(base, targets, said):
    with pytest.raises(ValueError, match=said):
        render("llama-factory", {"LoRA": {"targets": targets}}, base=base)


def test_targets_that_end_in_a_layers_name_are_taken():
    read = render("llama-factory", {"LoRA": {"targets": ["self_attn.q_proj", "v_proj"]}})["train_1.yaml"]
    assert 'lora_target: "q_proj,v_proj"' in read


# ---- data


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("part", [{"CORAL": {}}, {"FewLabels": {}}, {"PseudoLabels": {}}, {}], ids=str)
def test_examples_that_the_kit_reads_without_labels_are_not_exported_with_them(name, part):
    loader = "labelled" if "FewLabels" in part else "target"
    with pytest.raises(ValueError, match=f"a tool would train on '{loader}' with its labels"):
        render(name, *filter(None, [LORA, part]), rows=ROWS, data={"train": A, loader: B})


def test_every_loader_that_a_strategy_names_is_known():
    named = set()
    for name in strategies.CATALOG:
        kind = strategies.get(name)
        made = kind(**({"tasks": {"a": 2}} if "tasks" in kind.__dataclass_fields__ else {}))
        named |= {*made.needs, *made.may_use}
    assert named - {"train"} == set(ASIDE)


def shares_of(options: dict, **more) -> dict[str, float]:
    return recipe(spec(([LORA, {"MultiTask": options}], BOTH | more)), ROWS).stages[0].data


def test_a_weight_is_of_a_loader_or_of_a_task_of_the_phase():
    """A name that fits neither would count as 1."""
    tasks = {"instructions/nyt": 2, "instructions/tweets": 2}
    own = {"data": {"train": "train", "more": f"{B}:10"}}  # "train" is of the Spec's own task
    one = spec(([LORA, {"MultiTask": {"tasks": tasks, "weights": {"instructions/nyt": 9}}}], own))
    made = recipe(one, {"train": CHATS, f"{B}:10": OTHERS}).stages[0]
    assert list(made.data.values()) == [0.9, 0.1]
    assert list(shares_of({"tasks": tasks, "weights": {"instructions/tweets": 3}}).values()) == [0.25, 0.75]
    with pytest.raises(ValueError, match="the weight of 'amazon' is of no loader here: name one of train, more"):
        shares_of({"tasks": {"amazon": 2, "tweets": 2}, "weights": {"amazon": 9}})
    with pytest.raises(ValueError, match="no tool has a temperature and weights"):
        shares_of({"tasks": {"train": 2, "more": 2}, "weights": {"train": 9}, "temperature": 1.0})


def test_files_of_data_sets_have_names_of_their_own():
    rows = {"a_3": CHATS, "a": CHATS[:1], "a!": OTHERS, "A": OTHERS[:2], "dataset_info": CHATS[1:]}
    files, _ = checked(rows, SMOLLM2)
    assert [len(some) for some in files.values()] == [2, 1, 3, 2, 1]
    assert len({file.lower() for file in files} - {"dataset_info"}) == 5  # some disks take A and a for one file


# ---- files


def parses(text: str) -> bool:
    try:
        return bool(ast.parse(text.encode("utf-8")).body)
    except (SyntaxError, ValueError):
        return False


@pytest.mark.parametrize("arm", ["C:\\Users\\me", 'a """ b', "two\nlines\u2028three\0", "# coding: no-such", "{0}"])
def test_an_arm_of_any_name_gives_files_that_parse(arm):
    for name in ("unsloth", "xtuner", "xturing"):
        files = tool(name).render(spec(([LORA], {}), arm=arm), CHATS)
        for file, text in files.items():
            assert parses(text) or not file.endswith(".py"), file
        assert files["README.md"].splitlines()[0].endswith(f", for {tool(name).NAME} {tool(name).VERSION}")


def test_a_line_says_more_than_the_name_of_the_thing():
    for name in TOOLS:
        mixed, smooth = render(name, LORA, MIX, rows=ROWS, **BOTH), render(name, LORA, {"LabelSmoothing": {}})
        for line in lost_in(mixed) + lost_in(smooth):
            lacking, _, ignored = line.removeprefix("this tool has no ").partition("; ignored: ")
            assert ignored and ignored != lacking
