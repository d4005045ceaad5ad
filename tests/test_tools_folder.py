"""The folder that is handed over: the base model that every transformers reads alike, the template, the command."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from ftlib import assets, models, strategies, tasks
from ftlib.__main__ import main
from ftlib.evidence.spec import Phase, Spec
from ftlib.tools import (
    SMOLLM2,
    TOOLS,
    Base,
    base_of,
    export,
    find_spec,
    llama_factory,
    lost_in,
    markup_of,
    plain_folder,
    rows_of,
    tool,
)
from ftlib.tools.base import plain_config, plain_tokenizer

CHAT = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
CHAT += "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
DEFAULT = "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nHelp.<|im_end|>\n' }}{% endif %}"


def tokenizer_with(template: str):
    letters = sorted(ByteLevel.alphabet())
    model = BPE({letter: k for k, letter in enumerate([*letters, "ab", "abc"])}, [("a", "b"), ("ab", "c")])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    fast.chat_template = template
    return fast


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small Llama, as the installed transformers saves one."""
    place = tmp_path_factory.mktemp("models") / "tiny"
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    tokenizer_with(DEFAULT + CHAT).save_pretrained(place)
    return place


# ---- what transformers 4 would read otherwise


def test_the_angle_stands_where_transformers_4_looks_for_it(folder, tmp_path):
    """It would take 10,000 without a word."""
    saved = json.loads((folder / "config.json").read_text())
    assert "rope_theta" not in saved, "this transformers saves the old form: the test is pointless"
    plain_folder(folder, tmp_path / "plain")
    plain = json.loads((tmp_path / "plain" / "config.json").read_text())
    assert (plain["rope_theta"], plain["rope_scaling"], plain["torch_dtype"]) == (100000.0, None, "float32")
    assert "rope_parameters" not in plain and "dtype" not in plain
    again = transformers.AutoConfig.from_pretrained(tmp_path / "plain")
    assert again.rope_parameters == {"rope_type": "default", "rope_theta": 100000.0}


def test_angles_that_are_stretched_keep_their_rule_and_others_are_refused():
    rule = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0}
    plain = plain_config({"rope_parameters": rule, "dtype": "bfloat16"})
    assert plain["rope_theta"] == 5000.0 and plain["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}
    with pytest.raises(ValueError, match="other angles in other layers"):
        plain_config({"rope_parameters": {"full_attention": {"rope_theta": 1.0}}})
    old = {"rope_theta": 100000.0, "rope_scaling": None, "torch_dtype": "float32"}
    assert plain_config(old) == old


def test_the_tokenizer_has_a_class_merges_and_a_template_that_transformers_4_reads(folder, tmp_path):
    plain_folder(folder, tmp_path / "plain")
    config = json.loads((tmp_path / "plain" / "tokenizer_config.json").read_text())
    merges = json.loads((tmp_path / "plain" / "tokenizer.json").read_text())["model"]["merges"]
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast" and merges == ["a b", "ab c"]
    assert config["chat_template"] == DEFAULT + CHAT
    text = "abc  é\n"
    one, two = (transformers.AutoTokenizer.from_pretrained(place) for place in (folder, tmp_path / "plain"))
    assert one(text)["input_ids"] == two(text)["input_ids"] and one.bos_token == two.bos_token
    names, model = {"extra_special_tokens": ["<x>"]}, {"model": {"merges": [["a b", "c"]], "ignore_merges": True}}
    config, tokenizer = plain_tokenizer(names, model, None)
    assert config["additional_special_tokens"] == ["<x>"] and "extra_special_tokens" not in config
    assert tokenizer["model"] == {"merges": [["a b", "c"]], "ignore_merges": True}  # one text could not say this pair


def test_the_weights_are_a_copy(folder, tmp_path):
    """A tool that saves into the folder would write over a checked asset, or over the user's own model."""
    plain_folder(folder, tmp_path / "plain")
    assert (folder / "model.safetensors").read_bytes() == (tmp_path / "plain" / "model.safetensors").read_bytes()
    assert not [f for f in folder.iterdir() if (copy := tmp_path / "plain" / f.name).is_file() and f.samefile(copy)]


def other(kind: str, place: Path, **more) -> transformers.PreTrainedModel:
    """A small model of another kind, saved with a tokenizer."""
    small = {"vocab_size": 300, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    config = getattr(transformers, f"{kind}Config")(**small, num_attention_heads=2, **more)
    net = getattr(transformers, f"{kind}ForCausalLM")(config)
    net.save_pretrained(place)
    tokenizer_with(CHAT).save_pretrained(place)
    return net


PARTIAL = {"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.25}


@pytest.mark.parametrize(("kind", "old"), [("Phi", "partial_rotary_factor"), ("GPTNeoX", "rotary_pct")])
def test_angles_of_a_part_of_each_head_stay_a_part(kind, old, tmp_path):
    """transformers 5 has it in rope_parameters. transformers 4 has it beside them, and under another name for NeoX."""
    other(kind, tmp_path / "saved", rope_parameters=dict(PARTIAL))
    plain_folder(tmp_path / "saved", tmp_path / "plain")
    plain = json.loads((tmp_path / "plain" / "config.json").read_text())
    assert (plain[old], plain["rope_theta"]) == (0.25, 5000.0) and "rope_parameters" not in plain
    assert kind == "Phi" or plain["rotary_emb_base"] == 5000.0
    assert transformers.AutoConfig.from_pretrained(tmp_path / "plain").rope_parameters == PARTIAL


def test_stretched_angles_of_a_part_keep_both_and_unknown_keys_are_refused():
    plain = plain_config({"rope_parameters": PARTIAL | {"rope_type": "linear", "factor": 2.0}})
    assert plain["rope_scaling"] == {"rope_type": "linear", "factor": 2.0} and plain["partial_rotary_factor"] == 0.25
    with pytest.raises(ValueError, match="transformers 4 has no place for mrope_section of this model's angles"):
        plain_config({"rope_parameters": PARTIAL | {"mrope_section": [1, 1]}})


# ---- the template, taken apart


def test_smollm2_is_described_as_its_folder_says():
    assert base_of(assets.path("smollm2"), "smollm2") == SMOLLM2


def test_a_folder_tells_its_layers_and_its_template(folder):
    base = base_of(folder)
    assert (base.name, base.layers, base.linear) == ("tiny", 2, SMOLLM2.linear)
    assert base.markup.default_system == "Help." and base.markup.user == SMOLLM2.markup.user


@pytest.mark.parametrize(
    ("kind", "attention", "mlp", "head"),
    [
        ("Phi", ["q_proj", "k_proj", "v_proj", "dense"], ["fc1", "fc2"], "lm_head"),
        ("GPTNeoX", ["dense", "query_key_value"], ["dense_4h_to_h", "dense_h_to_4h"], "embed_out"),
    ],
)
def test_linear_layers_are_found_whatever_they_are_called(kind, attention, mlp, head, tmp_path):
    net = other(kind, tmp_path / "saved", tie_word_embeddings=False)
    base = base_of(tmp_path / "saved")
    assert base.linear == {"attention": attention, "mlp": mlp} and base.head == head
    linear = {name for name, part in net.named_modules() if isinstance(part, torch.nn.Linear) and ".layers." in name}
    assert {*attention, *mlp} == {name.rpartition(".")[2] for name in linear}


def test_a_model_without_such_layers_is_not_called_something_else(tmp_path):
    config = transformers.GPT2Config(vocab_size=300, n_embd=16, n_layer=2, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer_with(CHAT).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a GPT2LMHeadModel, whose layers are not called layers.0 and so on"):
        base_of(tmp_path)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_folder_without_one_of_its_files_is_named(file, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "part")
    (tmp_path / "part" / file).unlink()
    with pytest.raises(ValueError, match=f"part has no {file}: save the model and its tokenizer there"):
        base_of(tmp_path / "part")


# ---- frozen layers, number by number


def trained_by_llama_factory(net, settings: dict) -> int:
    """Its rule: a tensor learns if its name holds ".k." of a trained layer, or the name of an extra module."""
    n, k = net.config.num_hidden_layers, settings["freeze_trainable_layers"]
    names = [f".{layer}." for layer in (range(max(0, n - k), n) if k > 0 else range(min(-k, n)))]
    names += [settings["freeze_extra_modules"]] if "freeze_extra_modules" in settings else []
    return sum(p.numel() for name, p in net.named_parameters() if any(one in name for one in names))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "strategy", [{"FreezeFirst": {"k": 1}}, {"FreezeFirst": {"k": 2}}, {"TuneOnly": {"stages": [1]}}], ids=str
)
def test_frozen_layers_leave_the_same_weights_to_learn(strategy, tied, tmp_path):
    """The head learns in both, if it has weights of its own. The norm behind the last layer has a line instead."""
    net = other("Llama", tmp_path / "saved", tie_word_embeddings=tied)
    model = strategies.build([strategy]).prepare(models.load(tmp_path / "saved"))
    ours = sum(p.numel() for p in model.parameters() if p.requires_grad)
    rows = [[("user", "a"), ("assistant", "b")]]
    spec = Spec("a", "instructions/nyt", str(tmp_path), 0, [Phase([strategy], steps=4, lr=1e-5)])
    files = llama_factory.render(spec, rows, base_of(tmp_path / "saved"))
    theirs = trained_by_llama_factory(net, yaml.safe_load(files["train_1.yaml"]))
    norm = 0 if "TuneOnly" in strategy else net.model.norm.weight.numel()
    assert (ours, len(lost_in(files))) == (theirs + norm, int(norm > 0)) and theirs > (0 if tied else 300 * 16)


@pytest.mark.parametrize(
    ("template", "taken"),
    [
        (DEFAULT + CHAT, True),
        (CHAT, True),
        ("{{ bos_token }}" + CHAT, False),  # with and without a system text it begins in two ways
        (CHAT.replace("m.content", "m.content | upper"), False),
        (CHAT.replace("'<|im_start|>' + m.role", "('' if m.role == 'user' else '<|im_start|>' + m.role)"), False),
        ("{% for m in messages %}{{ raise_exception('no system') if m.role == 'system' }}{% endfor %}", False),
    ],
)
def test_a_template_is_put_together_again_or_left_alone(template, taken):
    assert (markup_of(tokenizer_with(template)) is not None) == taken


def test_a_template_that_trims_is_told_to_tools_that_do_not():
    markup = markup_of(tokenizer_with(CHAT.replace("m.content", "m.content | trim")))
    assert markup.trims and not SMOLLM2.markup.trims
    one, rows = (
        Spec("a", "instructions/nyt", "smollm2", 0, [Phase([], steps=4, lr=1e-5)]),
        [[("user", " a"), ("assistant", "b")]],
    )
    base = Base("trims", 2, SMOLLM2.linear, replace(markup, default_system="Help."))
    for name in ("xtuner", "xturing"):
        assert any("trimming of texts" in line for line in lost_in(tool(name).render(one, rows, base)))
        assert not any("trimming of texts" in line for line in lost_in(tool(name).render(one, rows)))


def test_a_prompt_goes_back_to_its_turns():
    turns = [("system", "s"), ("user", "a\n"), ("assistant", " b"), ("user", "c")]
    assert SMOLLM2.markup.turns(SMOLLM2.markup.prompt(turns)) == turns
    with pytest.raises(ValueError, match="was not written by the model's chat template"):
        SMOLLM2.markup.turns("hello")


# ---- the command


@pytest.fixture
def written(tmp_path, folder):
    """A Spec's file about own chats and the small model."""
    phases = [{"strategy": [{"LoRA": {"r": 2}}, {"EMA": {}}], "steps": 4, "lr": 1e-3}]
    spec = {"arm": "mine", "task": f"chats:{tasks.example('chats')}", "model": str(folder), "seed": 1, "phases": phases}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    return tmp_path / "spec.json"


def test_a_spec_becomes_a_folder_that_is_ready(written, tmp_path, capsys):
    assert main(["export", str(written), "--to", "llama-factory", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "this tool has no EMA; ignored: EMA(decay=0.95)\n" in said and "README.md says how to run it" in said
    there = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert there >= {
        "train_1.yaml",
        "run.sh",
        "README.md",
        "data/train.json",
        "base/model.safetensors",
        "base/config.json",
    }
    rows = rows_of(tasks.load("chats", path=tasks.example("chats"), seed=1))
    files = {name: (tmp_path / "out" / name).read_text() for name in ("data/train.json", "data/dataset_info.json")}
    assert [row[1:] for row in llama_factory.read(files)["train"]] == [
        [t for t in row if t[0] != "system"] for row in rows
    ]


def test_a_table_and_a_task_of_the_kit_go_the_same_way(folder, tmp_path):
    phase = Phase([], steps=4, lr=1e-5)
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\n" + "".join(f"Text number {n}.,{('bad', 'good')[n % 2]}\n" for n in range(30)))
    for name, options in ((f"table:{path}", {}), ("instructions/nyt", {"n": 12})):
        spec = Spec("a", name, str(folder), 0, [phase], options=options)
        for kind in ("chat", "text"):
            files = export(spec, "unsloth", tmp_path / f"{name[:5]}_{kind}", kind=kind)
            assert ("messages" in files["data/train.jsonl"]) == (kind == "chat")


def test_a_recorded_run_is_found_by_its_id():
    spec = find_spec("bfc8c789e4d7")
    assert spec.id == "bfc8c789e4d7" and spec.model == "smollm2"


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({}, ["--to", "llama"], "invalid choice: 'llama'"),
        ({"model": "minilm"}, [], "minilm is no language model"),
        ({"model": "nosuch"}, [], "'nosuch' is neither a folder nor a known model"),
        ({"task": "digits/mnist"}, [], "digits/mnist has images"),
        ({"task": "nosuch"}, [], "there is no task 'nosuch'"),
        ({"arms": "x"}, [], "there is no key 'arms' here, the nearest known one is 'arm'"),
        ({"phases": []}, [], "this Spec trains nothing"),
        ({"phases": [{"strategy": [{"LoRA": {"rank": 2}}], "steps": 4, "lr": 1e-3}]}, [], "LoRA has no knob 'rank'"),
        ({"phases": [{"strategy": [{"Lora": {}}], "steps": 4, "lr": 1e-3}]}, [], "no strategy is called 'Lora'"),
        ({}, ["--noise", "-1"], "noise must be a finite number of at least 0"),
        ({}, ["--as", "text"], "has chats and no plain texts: export it as chat"),
        ("0123456789ab", [], "there is no recorded run 0123456789ab"),
        ("nosuch.json", [], "nosuch.json is neither a file nor the id of a recorded run"),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_written(change, words, said, written, tmp_path, capsys):
    if isinstance(change, dict):
        written.write_text(json.dumps(json.loads(written.read_text()) | change))
    source = str(written) if isinstance(change, dict) else change
    out = tmp_path / "out"
    try:
        status = main(
            ["export", source, *(words if "--to" in words else ["--to", "unsloth", *words]), "--out", str(out)]
        )
    except SystemExit as stopped:
        status = stopped.code
    err = capsys.readouterr().err
    assert status in (1, 2) and said in err and "Traceback" not in err and not out.exists()
    assert [file.name for file in Path(tmp_path).iterdir()] == ["spec.json"]


def test_the_command_knows_no_other_tool(capsys):
    with pytest.raises(SystemExit):
        main(["export", "nosuch.json", "--to", "nosuch"])
    listed = capsys.readouterr().err.partition("choose from ")[2].rstrip(")\n")
    assert [name.strip("' ") for name in listed.split(",")] == list(TOOLS)


@pytest.mark.parametrize("name", TOOLS)
def test_the_command_knows_each_tool(name, capsys):
    assert main(["export", "nosuch.json", "--to", name]) == 1
    assert "nosuch.json is neither a file" in capsys.readouterr().err


def test_nothing_is_written_over(written, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert main(["export", str(written), "--to", "xturing", "--out", str(tmp_path / "out")]) == 1
    assert "is there already, and nothing is written over" in capsys.readouterr().err
