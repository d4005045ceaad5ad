"""Exports to five tools: golden files, rows that come back whole, and each trap of the tools on its own."""

import ast
import builtins
import itertools
import json
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
import yaml

from ftlib import assets, strategies
from ftlib.models.chat import prompt_text
from ftlib.tools import SMOLLM2, TOOLS, Base, Markup, lost_in, recipe, rows_of, tool
from ftlib.tools.xturing import read as read_xturing
from tools_examples import CHATS, GOLDEN, HARD, LORA, MIX, ONE, OTHERS, STRATEGIES, TEXTS, A, B, golden, spec

DEFAULT = ("system", SMOLLM2.markup.default_system)
LAST = {"llama-factory": "train_1.yaml", "unsloth": "train_1.py", "firefly": "train_1.json", "xtuner": "config_1.py"}


def whole(row):
    """The row as every export holds it, with its system text."""
    return row if isinstance(row, str) or row[0][0] == "system" else [DEFAULT, *row]


def settings(name: str, files: dict[str, str], file: str = "") -> dict:
    """The settings of an export, as the tool would read them."""
    text = files[file or LAST[name]]
    if name == "llama-factory":
        return yaml.safe_load(text)
    return json.loads(text) if name == "firefly" else executed(text)


def executed(text: str) -> dict:
    """The names that a Python file sets, where what it imports does nothing."""
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    found = {name: MagicMock(name=name) for name in names if not hasattr(builtins, name)}
    if "FastLanguageModel" in found:
        found["FastLanguageModel"].from_pretrained.return_value = (MagicMock(), MagicMock())
    exec(compile(tree, "exported", "exec"), found)
    return found


def render(name: str, *phases, rows=CHATS, **more) -> dict[str, str]:
    return tool(name).render(spec(*phases), rows, **more)


# ---- golden files and rows that come back


@pytest.fixture(scope="module")
def exported():
    return golden()


@pytest.mark.parametrize("file", [*(f"{name}.txt" for name in TOOLS), "eight_strategies.txt"])
def test_an_export_is_its_golden_file(file, exported):
    """A change that is meant: python tests/tools_examples.py."""
    assert exported[file] == (GOLDEN / file).read_text(encoding="utf-8")
    assert sorted(exported) == sorted(path.name for path in GOLDEN.iterdir())


@pytest.mark.parametrize(
    "rows", [CHATS, HARD, TEXTS, ["", *TEXTS][1:] + [' "x"\n']], ids=["chats", "hard", "texts", "quoted"]
)
@pytest.mark.parametrize("name", TOOLS)
def test_rows_come_back_from_the_files(name, rows):
    back = tool(name).read(tool(name).render(ONE, rows))
    assert back == {"train": [whole(row) for row in rows]}


@pytest.mark.parametrize("name", sorted(set(TOOLS) - {"xturing"}))
def test_rows_of_two_data_sets_come_back_apart(name):
    one = spec(([LORA], {"data": {"train": A, "more": B}}))
    back = tool(name).read(tool(name).render(one, {A: CHATS, B: OTHERS}))
    assert back == {
        "instructions_nyt_train": [whole(row) for row in CHATS],
        "instructions_tweets_train": [whole(row) for row in OTHERS],
    }


def test_xturing_has_one_file_for_two_data_sets():
    one = spec(([LORA], {"data": {"train": A, "more": B}}))
    ((name, rows),) = tool("xturing").read(tool("xturing").render(one, {A: CHATS, B: OTHERS})).items()
    assert rows == [whole(row) for row in CHATS + OTHERS] and "tweets" in name


@pytest.mark.parametrize("name", TOOLS)
def test_every_file_parses_and_the_commands_name_files_that_are_there(name):
    files = tool(name).render(ONE, CHATS)
    for file, text in files.items():
        {"py": ast.parse, "json": json.loads, "yaml": yaml.safe_load}.get(file.rpartition(".")[2], str)(text)
    called = [
        w for w in files["run.sh"].split() if w.endswith((".py", ".yaml", ".json")) and not w.startswith("firefly/")
    ]
    assert called and all(file in files for file in called)
    assert all(line in files["README.md"] for line in files["run.sh"].splitlines()[3:])


# ---- the prompt: the same text as the kit's own, once


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(assets.path("smollm2"), local_files_only=True)


def texts_of(name: str, rows: list, tokenizer) -> list[str]:
    """What the tool makes of each row, by its own rule, up to the end of the last answer."""
    files = tool(name).render(ONE, rows)
    if name == "xtuner":
        t, found = settings(name, files)["prompt_template"], []
        for one in json.loads(files["data/train.json"]):
            text, system = SMOLLM2.markup.bos, ""  # which the tool puts in front
            for k, m in enumerate(one["messages"]):
                if m["role"] == "system":
                    system = t["SYSTEM"].format(system=m["content"])
                elif m["role"] == "user":
                    text, system = text + system + t["INSTRUCTION"].format(input=m["content"], round=k), ""
                else:
                    text += m["content"] + t["SUFFIX"] + t["SEP"]
            found.append(text.removesuffix(t["SEP"]))
        return found
    if name == "firefly":
        assert settings(name, files)["template_name"] == "qwen"  # ChatML
        texts = []
        for one in map(json.loads, files["data/1.jsonl"].splitlines()):
            turns = [("system", one["system"].strip())]
            for turn in one["conversation"]:
                turns += [("user", turn["human"].strip()), ("assistant", turn["assistant"].strip())]
            texts.append("\n".join(f"<|im_start|>{role}\n{text}<|im_end|>" for role, text in turns))
        return texts
    if name == "xturing":
        parts = map(json.loads, files["data/train.jsonl"].splitlines())
        return [one["instruction"] + one["text"] + one["target"] + SMOLLM2.markup.eos for one in parts]
    made = executed(files["train_1.py"])  # of unsloth
    made["tokenizer"] = tokenizer
    return [made["text_of"](json.loads(line)).removesuffix("\n") for line in files["data/train.jsonl"].splitlines()]


@pytest.mark.parametrize("name", ["xtuner", "unsloth", "firefly", "xturing"])
def test_a_row_is_what_the_models_own_template_writes(name, tokenizer):
    """No first token twice, no full stop more, no system text of the tool's own."""
    want = [prompt_text(tokenizer, row[:-1]) + row[-1][1] + "<|im_end|>" for row in CHATS]
    assert texts_of(name, CHATS, tokenizer) == want


def test_the_parts_of_xturing_have_the_tokens_of_the_whole(tokenizer):
    for one in map(json.loads, tool("xturing").render(ONE, CHATS)["data/train.jsonl"].splitlines()):
        parts = [one["instruction"], one["text"], one["target"]]
        apart = list(itertools.chain.from_iterable(tokenizer(part)["input_ids"] for part in parts))
        joined = tokenizer(parts[0] + parts[1])["input_ids"] + tokenizer(parts[2])["input_ids"]
        assert apart == joined and apart.count(tokenizer.bos_token_id) == sum(
            part.count("<|im_start|>") for part in parts
        )


def fake_tokenizer(adds: bool):
    ids = [0, 5] if adds else [5]
    call = MagicMock(return_value={"input_ids": ids}, bos_token="<s>", bos_token_id=0)
    call.apply_chat_template.side_effect = lambda messages, tokenize: "<s>" + messages[0]["content"]
    return call


@pytest.mark.parametrize(("adds", "text"), [(True, "Be brief."), (False, "<s>Be brief.")])
def test_unsloths_script_takes_off_a_first_token_that_the_tokenizer_adds(adds, text):
    made = executed(tool("unsloth").render(ONE, CHATS)["train_1.py"])
    made["tokenizer"] = fake_tokenizer(adds)
    assert made["text_of"]({"messages": [{"role": "system", "content": "Be brief."}]}) == text


@pytest.mark.parametrize("name", sorted(set(TOOLS) - {"xturing"}))
def test_each_chat_holds_its_system_text_and_no_template_of_the_tool_has_a_say(name):
    rows = tool(name).read(tool(name).render(ONE, CHATS))["train"]
    assert [row[0] for row in rows] == [DEFAULT, ("system", "Be brief.")]
    if name == "llama-factory":
        assert not {"template", "default_system"} & set(settings(name, tool(name).render(ONE, CHATS)))


def test_a_template_that_a_tool_would_write_otherwise_is_refused():
    markup = {**vars(SMOLLM2.markup), "default_system": ""}
    base = Base("other", 2, SMOLLM2.linear, Markup(**markup))
    with pytest.raises(ValueError, match="XTuner would write '<|im_start|>' twice where a chat has no system text"):
        tool("xtuner").render(ONE, CHATS, base)
    with pytest.raises(ValueError, match="Firefly writes an empty system turn"):
        tool("firefly").render(ONE, CHATS, base)
    tool("xtuner").render(ONE, CHATS[1:], base)
    unknown = Base("other", 2, SMOLLM2.linear, None)
    for name in sorted(set(TOOLS) - {"llama-factory"}):
        with pytest.raises(ValueError, match="take LLaMA-Factory|export to LLaMA-Factory"):
            tool(name).render(ONE, CHATS, unknown)
    assert tool("llama-factory").read(tool("llama-factory").render(ONE, CHATS, unknown)) == {"train": CHATS}
    assert tool("unsloth").read(tool("unsloth").render(ONE, TEXTS, unknown)) == {"train": TEXTS}  # it needs none


LLAMA = Markup(
    ("<B><h>system</h>\n\n", "<eot>"),
    ("<h>user</h>\n\n", "<eot>"),
    "<h>assistant</h>\n\n",
    "<eot>",
    "",
    "",
    "<B>",
    "<E>",
    True,
)


def test_where_the_end_of_a_turn_is_not_the_tokenizers_last_token_xturing_gets_it_in_words():
    base = Base("other", 2, SMOLLM2.linear, LLAMA)
    files = tool("xturing").render(ONE, CHATS[1:], base)
    assert json.loads(files["data/train.jsonl"])["target"] == "5<eot>"
    assert read_xturing(files, base) == {"train": CHATS[1:]}
    assert any("each part of a row begins with one" in line for line in lost_in(files))


def test_xtuner_takes_the_first_token_off_a_longer_beginning_too():
    files = tool("xtuner").render(ONE, CHATS[1:], Base("other", 2, SMOLLM2.linear, LLAMA))
    assert settings("xtuner", files)["prompt_template"]["SYSTEM"] == "<h>system</h>\n\n{system}<eot>"


# ---- traps of the files


def test_llama_factory_reads_every_column_since_an_unnamed_one_is_none():
    """Its rule: with "columns" or "tags" in an entry, each name that is not given becomes None."""
    for rows in (CHATS, TEXTS):
        files = tool("llama-factory").render(ONE, rows)
        entry = json.loads(files["data/dataset_info.json"])["train"]
        record = json.loads(files[f"data/{entry['file_name']}"])[0]
        assert set(entry["columns"].values()) == set(record)
        if rows is CHATS:
            tags = entry["tags"]
            said = {message[tags["role_tag"]] for message in record["messages"]}
            assert (
                said == {tags["user_tag"], tags["assistant_tag"], tags["system_tag"]}
                and entry["formatting"] == "sharegpt"
            )
            assert all(set(message) == {tags["role_tag"], tags["content_tag"]} for message in record["messages"])


def test_every_record_of_a_file_has_the_same_keys():
    """datasets fills a missing key with None, and XTuner reads a loss of None as false."""
    rows = [[DEFAULT, *CHATS[0]], CHATS[1], HARD[0]]
    for name in TOOLS:
        files = tool(name).render(ONE, rows)
        (file,) = [f for f in files if f.startswith("data/train") or f == "data/1.jsonl"]
        found = (
            json.loads(files[file]) if file.endswith(".json") else [json.loads(x) for x in files[file].split("\n") if x]
        )
        assert len({tuple(sorted(one)) for one in found}) == 1
        assert len({tuple(sorted(m)) for one in found for m in one.get("messages", [])}) <= 1


def test_the_loss_is_that_of_the_kit_where_the_tool_can_be_told():
    """It counts the last answer of a chat."""
    assert settings("llama-factory", tool("llama-factory").render(ONE, CHATS))["mask_history"] is True
    messages = json.loads(tool("xtuner").render(ONE, CHATS)["data/train.json"])[1]["messages"]
    assert [m["loss"] for m in messages] == [False, False, False, False, True]
    assert "last_response_only=True" in tool("unsloth").render(ONE, CHATS)["train_1.py"]
    said = "this tool has no loss on the last answer alone; ignored: all answers of a chat are counted"
    assert said in lost_in(tool("firefly").render(ONE, CHATS)) and said not in lost_in(
        tool("firefly").render(ONE, OTHERS)
    )


def test_numbers_and_words_keep_their_type_in_yaml():
    """YAML 1.1 reads 1e-05 as a text, and no as false."""
    for lr in (1e-5, 1e-3, 2e-4, 1.0, 3e-10):
        read = settings("llama-factory", render("llama-factory", ([LORA], {"lr": lr})))
        assert read["learning_rate"] == lr and isinstance(read["learning_rate"], float)
    assert (read["save_strategy"], read["report_to"], read["max_steps"]) == ("no", "none", 20)
    assert isinstance(settings("firefly", render("firefly", ([LORA], {})))["learning_rate"], float)


def test_files_that_a_tool_opens_in_the_computers_own_encoding_are_ascii():
    one = spec(([LORA], {"data": {"train": "chats:Ü.jsonl:train"}}))
    files = tool("llama-factory").render(one, {"chats:Ü.jsonl:train": HARD})
    assert files["data/dataset_info.json"].isascii()
    assert tool("xturing").render(ONE, HARD)["data/train.jsonl"].isascii()


@pytest.mark.parametrize("name", ["llama-factory", "xtuner", "unsloth", "firefly"])
def test_a_warmup_of_one_step_is_left_out_and_said(name):
    for steps, warmup in ((20, 1), (40, 2)):
        files = render(name, ([LORA, {"Cosine": {"warmup": 0.05}}], {"steps": steps, "fit": {"accumulate": 3}}))
        read = settings(name, files)
        if name == "xtuner":
            kinds = [one["end"] - one["begin"] for one in read["param_scheduler"]]
            assert kinds == ([60] if warmup == 1 else [6, 114])  # in batches
        else:
            read = read["ARGUMENTS"] if name == "unsloth" else read
            assert read["warmup_steps"] == (0 if warmup == 1 else 2)
        said = any("warmup of one step" in line for line in lost_in(files))
        assert said == (warmup == 1)


def test_xtuner_counts_batches_and_converts_the_checkpoint_that_is_written():
    files = render("xtuner", ([LORA], {"steps": 7, "fit": {"accumulate": 3}}))
    read = settings("xtuner", files)
    assert read["train_cfg"]["max_iters"] == read["default_hooks"]["checkpoint"]["interval"] == 21
    assert "out/1/iter_21.pth out/1/hf --fp32 --safe-serialization" in files["run.sh"]


@pytest.mark.parametrize(("writes", "status"), [(True, 0), (False, 1)])
def test_xtuners_launcher_fails_where_no_checkpoint_was_written(writes, status, tmp_path):
    """`xtuner train` ends with 0 even after an error."""
    package = tmp_path / "xtuner" / "tools"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    body = "import pathlib, sys\nout = pathlib.Path(sys.argv[3])\nout.mkdir(parents=True)\n"
    (package / "train.py").write_text(body + ("(out / 'iter_40.pth').touch()\n" if writes else ""))
    (tmp_path / "run.py").write_text(tool("xtuner").render(ONE, CHATS)["run.py"])
    command = [sys.executable, "-S", "run.py", "config_1.py", "out/1", "40"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == status and ("holds no iter_40.pth" in done.stderr) == (not writes)


@pytest.mark.parametrize(("writes", "status"), [(True, 0), (False, 1)])
def test_xtuners_conversion_fails_where_no_weights_were_written(writes, status, tmp_path):
    """`xtuner convert` ends with 0 even after an error."""
    package = tmp_path / "xtuner" / "tools" / "model_converters"
    package.mkdir(parents=True)
    body = "import pathlib, sys\nout = pathlib.Path(sys.argv[3])\nout.mkdir(parents=True)\n"
    body += "assert sys.argv[4:] == ['--fp32', '--safe-serialization']\n"
    (package / "pth_to_hf.py").write_text(body + ("(out / 'a.safetensors').touch()\n" if writes else ""))
    files = tool("xtuner").render(ONE, CHATS)
    (tmp_path / "convert.py").write_text(files["convert.py"])
    words = files["run.sh"].splitlines()[-1].split()
    assert words[:2] == ["python", "convert.py"]
    command = [sys.executable, "-S", *words[1:]]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == status and ("holds no weights" in done.stderr) == (not writes)


def test_a_computer_without_a_gpu_is_named_to_each_tool_that_asks():
    assert settings("llama-factory", render("llama-factory", ([LORA], {}), cpu=True))["use_cpu"] is True
    assert settings("firefly", render("firefly", ([LORA], {}), cpu=True))["use_cpu"] is True
    files = render("xtuner", ([LORA], {}), cpu=True)
    assert (
        settings("xtuner", files)["env_cfg"]["dist_cfg"]["backend"] == "gloo" and "is_bf16_supported" in files["run.py"]
    )
    assert "is_bf16_supported" in files["convert.py"]  # it stops as the training does
    plain = render("xtuner", ([LORA], {}))
    assert "is_bf16_supported" not in plain["run.py"] + plain["convert.py"]


def test_packing_would_leave_nothing_of_few_texts():
    for texts, packs in ((TEXTS, False), ([TEXTS[0] * 2000], True)):
        read = settings("llama-factory", render("llama-factory", ([], {}), rows=texts))
        assert (read["stage"], read["packing"], "mask_history" in read) == ("pt", packs, False)


def test_firefly_has_one_number_format_and_forgets_what_it_has_made_of_texts():
    files = render("firefly", ([], {}), rows=TEXTS)
    read = settings("firefly", files)
    assert (read["bf16"], read["fp16"], read["task_type"], read["train_file"]) == (True, False, "pretrain", "data/1")
    assert files["run.sh"].splitlines()[3] == "rm -rf data/1/cache"


def test_firefly_and_xtuner_say_that_they_strip():
    assert any("whitespace around texts" in line for line in lost_in(tool("firefly").render(ONE, HARD)))
    assert any("whitespace around texts" in line for line in lost_in(tool("xtuner").render(ONE, TEXTS)))


def test_xturing_needs_two_modules_and_says_what_it_ignores():
    with pytest.raises(ValueError, match="name at least two"):
        render("xturing", ([{"LoRA": {"targets": ["q_proj"]}}], {}))
    said = " ".join(lost_in(tool("xturing").render(ONE, CHATS * 60)))
    for word in (
        "r=4",
        "alpha=8",
        "dropout",
        "steps",
        "accumulate=2",
        "Cosine",
        "max_norm",
        "mask",
        "100 rows",
        "precision",
    ):
        assert word in said
    assert "r=" not in " ".join(lost_in(render("xturing", ([{"LoRA": {}}], {}))))


# ---- what can be expressed


def test_llama_factory_expresses_all_eight_strategies():
    for name, (one, rows, more) in STRATEGIES.items():
        norm = "this tool has no setting for the last norm alone; ignored: the norm behind the last layer, it is frozen"
        lost = [norm] if name == "freeze" else []
        assert lost_in(tool("llama-factory").render(one, rows, **more)) == lost, name


def test_settings_arrive_under_each_tools_names():
    files = {name: tool(name).render(ONE, CHATS) for name in LAST}
    yaml_, firefly = settings("llama-factory", files["llama-factory"]), settings("firefly", files["firefly"])
    python, xtuner = executed(files["unsloth"]["train_1.py"]), settings("xtuner", files["xtuner"])
    lora = xtuner["model"]["lora"]
    assert yaml_["lora_rank"] == firefly["lora_rank"] == python["LORA"]["r"] == lora["r"] == 4
    assert yaml_["lora_alpha"] == firefly["lora_alpha"] == python["LORA"]["lora_alpha"] == lora["lora_alpha"] == 8
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert yaml_["lora_target"].split(",") == python["LORA"]["target_modules"] == lora["target_modules"] == targets
    assert any("it adapts all linear layers" in line for line in lost_in(files["firefly"]))
    for found in (yaml_, firefly, python["ARGUMENTS"]):
        got = {
            k: found[k] for k in ("gradient_accumulation_steps", "max_steps", "learning_rate", "seed", "warmup_steps")
        }
        assert list(got.values()) == [2, 20, 1e-5, 3, 2] and found["lr_scheduler_type"] == "cosine"
    assert xtuner["optim_wrapper"]["accumulative_counts"] == 2 and xtuner["randomness"]["seed"] == 3


@pytest.mark.parametrize(
    ("schedule", "name", "more", "lost"),
    [
        ({"Constant": {"warmup": 0.0}}, "constant", None, ""),
        ({"Constant": {"warmup": 0.1}}, "constant_with_warmup", None, ""),
        ({"LinearDecay": {"warmup": 0.1}}, "linear", None, ""),
        ({"Restarts": {"cycles": 2, "growth": 1.0, "warmup": 0.1}}, "cosine_with_restarts", {"num_cycles": 2}, ""),
        ({"Restarts": {"cycles": 2, "warmup": 0.1}}, "cosine_with_restarts", {"num_cycles": 2}, "growth=2.0"),
        ({"InverseSqrt": {"warmup": 0.2}}, "inverse_sqrt", None, ""),
        ({"InverseSqrt": {"warmup": 0.01}}, "constant", None, "InverseSqrt"),
        ({"StepDecay": {"warmup": 0.0}}, "constant", None, "StepDecay"),
    ],
)
def test_schedules_have_transformers_names(schedule, name, more, lost):
    files = render("llama-factory", ([LORA, schedule], {}))
    read = settings("llama-factory", files)
    assert (read["lr_scheduler_type"], read.get("lr_scheduler_kwargs")) == (name, more)
    assert lost in " ".join(lost_in(files)) and bool(lost_in(files)) == bool(lost)


def test_wsd_names_both_numbers_since_a_tool_fills_in_a_missing_one():
    wsd = {"WarmupStableDecay": {"warmup": 0.1, "cooldown": 0.25}}
    kwargs = settings("llama-factory", render("llama-factory", ([LORA, wsd], {"steps": 40})))["lr_scheduler_kwargs"]
    assert kwargs == {"num_stable_steps": 26, "num_decay_steps": 10, "decay_type": "1-sqrt"}
    files = render("firefly", ([LORA, wsd], {"steps": 40}))
    assert "decay_type" not in settings("firefly", files)["lr_scheduler_kwargs"]
    assert "this tool has no form of the cooldown; ignored: form" in lost_in(files)


@pytest.mark.parametrize(
    ("strategy", "last"),
    [({"FreezeFirst": {"k": 1}}, 30), ({"FreezeFirst": {"k": 30}}, 1), ({"TuneOnly": {"stages": [-1, -2]}}, 2),
     ({"TuneOnly": {"stages": [1, 2, 3]}}, -3)],
)  # fmt: skip
def test_frozen_layers_are_counted_from_their_end(strategy, last):
    """Stage 0 of the kit is the embeddings."""
    read = settings("llama-factory", render("llama-factory", ([strategy], {})))
    assert (read["finetuning_type"], read["freeze_trainable_layers"]) == ("freeze", last)


def test_a_later_phase_goes_on_from_the_one_before():
    two = spec(([LORA], {"data": {"train": A}}), ([LORA], {"data": {"train": B}}))
    rows = {A: CHATS, B: OTHERS}
    yaml_ = settings("llama-factory", tool("llama-factory").render(two, rows), "train_2.yaml")
    assert (yaml_["model_name_or_path"], yaml_["adapter_name_or_path"], yaml_["output_dir"]) == (
        "base",
        "out/1",
        "out/2",
    )
    assert executed(tool("xtuner").render(two, rows)["config_2.py"])["load_from"] == "out/1/iter_20.pth"
    script = tool("unsloth").render(two, rows)["train_2.py"]
    assert "model_name='out/1'" in script and executed(script)["LORA"] == {}
    firefly = tool("firefly").render(two, rows)
    assert settings("firefly", firefly, "train_2.json")["model_name_or_path"] == "out/1_merged"
    assert "python merge.py base out/1 out/1_merged" in firefly["run.sh"]
    files = tool("llama-factory").render(spec(([LORA], {}), ([], {})), CHATS)
    assert settings("llama-factory", files, "train_2.yaml")["model_name_or_path"] == "out/1_merged"
    assert files["run.sh"].index("export merge_1.yaml") < files["run.sh"].index("train_2.yaml")


def test_weights_of_data_sets_are_shares_or_are_said():
    one, rows = spec(([LORA, MIX], {"data": {"train": A, "more": B}})), {A: CHATS, B: OTHERS}
    assert recipe(one, rows).stages[0].data == {"instructions_nyt_train": 0.7, "instructions_tweets_train": 0.3}
    python = executed(tool("unsloth").render(one, rows)["train_1.py"])
    assert python["WEIGHTED"] is True and list(python["DATA"].values()) == [0.7, 0.3]
    for name in ("xtuner", "firefly", "xturing"):
        assert any("weights of data sets" in line for line in lost_in(tool(name).render(one, rows)))
    warm = {"MultiTask": {"tasks": {"train": 2, "more": 2}, "temperature": 1.0}}
    shares = recipe(spec(([LORA, warm], {"data": {"train": A, "more": B}})), rows).stages[0].data
    assert list(shares.values()) == pytest.approx([0.4, 0.6])


def test_a_strategy_that_no_tool_has_is_a_line():
    for name in TOOLS:
        said = lost_in(render(name, ([LORA, {"EMA": {"decay": 0.9}}, {"Dropout": {}}], {})))
        assert "this tool has no EMA; ignored: EMA(decay=0.9)" in said
        assert "this tool has no Dropout; ignored: Dropout(head=0.2, inside=None)" in said


def test_each_strategy_of_the_catalogue_is_expressed_or_named_or_refused():
    """A schedule has a warmup of four steps here, since one of one step is a line of its own."""
    plain = render("llama-factory", ([], {}))
    expressed = {"LoRA", "FreezeFirst", "WeightDecay", "LabelSmoothing", "Constant", "Cosine", "LinearDecay"}
    expressed |= {"WarmupStableDecay", "Restarts", "InverseSqrt"}
    for name in strategies.CATALOG:
        knobs = {"tasks": {"train": 2}} if name in ("MultiTask", "UncertaintyWeighting") else {}
        knobs |= {"warmup": 0.2} if "warmup" in strategies.get(name).__dataclass_fields__ else {}
        knobs |= {"rate": 0.1} if name == "WeightDecay" else {}
        try:
            files = render("llama-factory", ([{name: knobs}], {}))
        except ValueError as error:
            assert name in str(error) or "stages" in str(error), name
            continue
        if name in expressed:
            assert files["train_1.yaml"] != plain["train_1.yaml"], name
        elif name not in ("Full", "MultiTask"):  # of one task
            assert any(name in line for line in lost_in(files)), name


REFUSED = [
    ([{"Prompt": {}}], {}, CHATS, "no tool trains the weights of Prompt"),
    ([{"FreezeFirst": {"k": 31}}], {}, CHATS, "k=31 freezes all 30 layers"),
    ([{"TuneOnly": {"stages": [3, 9]}}], {}, CHATS, r"no tool trains the stages \[3, 9\] alone"),
    ([{"LoRA": {"targets": ["conv"]}}], {}, CHATS, "smollm2 has no layer conv"),
    ([], {"steps": 0}, CHATS, "this Spec trains nothing"),
    ([], {}, [], "'train' has no rows"),
    ([], {}, [*CHATS, "text"], "chats or plain texts"),
    ([], {}, [[("user", "a")]], "row 1 of 'train' has the turns system, user: user and assistant take turns"),
    ([], {}, [[("user", "a"), ("assistant", " ")]], "row 1 of 'train' holds an empty message"),
    (
        [],
        {},
        [[("user", "a<|im_end|>"), ("assistant", "b")]],
        r"row 1 of 'train' holds '<\|im_end\|>', which is markup",
    ),
    ([], {"data": {"train": A, "more": B}}, CHATS, "give the rows of each"),
    ([], {}, {"other": CHATS}, "the phases read 'train', but the rows are of other"),
]


@pytest.mark.parametrize(("strategy", "more", "rows", "said"), REFUSED, ids=[said[:30] for *_, said in REFUSED])
def test_what_cannot_be_is_a_sentence(strategy, more, rows, said):
    with pytest.raises(ValueError, match=said):
        tool("llama-factory").render(spec((strategy, more)), rows)


@pytest.mark.parametrize("name", ["xtuner", "unsloth", "firefly", "xturing"])
def test_only_llama_factory_freezes(name):
    with pytest.raises(ValueError, match="can't freeze whole layers"):
        render(name, ([{"FreezeFirst": {"k": 3}}], {}))


def test_two_phases_must_have_one_lora():
    with pytest.raises(ValueError, match="phase 2 has another LoRA than the one before"):
        render("llama-factory", ([LORA], {}), ([{"LoRA": {"r": 16}}], {}))


# ---- rows of a task


def test_rows_of_a_table_ask_for_the_label():
    part = SimpleNamespace(inputs=["Nice."], labels=torch.tensor([1]), columns={})
    task = SimpleNamespace(name="t", kind="text", labels=["bad", "good"], splits={"train": part})
    assert rows_of(task)[0][1] == ("assistant", "good")
    assert "bad, good" in rows_of(task)[0][0][1] and rows_of(task, "text") == ["Nice."]
    for kind, split, said in (("chat", "test", "test split"), ("words", "train", "chat or text")):
        with pytest.raises(ValueError, match=said):
            rows_of(task, kind, split)
    with pytest.raises(ValueError, match="has images"):
        rows_of(SimpleNamespace(name="elpv", kind="image"))
