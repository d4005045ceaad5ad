"""What the five tools bring back: ordinary folders of peft, and a sentence for each that would do nothing."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from ftlib import models
from ftlib.__main__ import main
from ftlib.evidence.spec import Phase, Spec
from ftlib.models.adapters import load_adapter, merge
from ftlib.tools import TOOLS, adapter_of, held_out, import_adapter
from test_tools_folder import CHAT, DEFAULT, tokenizer_with

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
PREFIX = "base_model.model."


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small random Llama with a chat template."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models") / "tiny"
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    tokenizer_with(DEFAULT + CHAT).save_pretrained(place)
    return place


def trained(base: Path, folder: Path, all_layers: bool = False) -> Path:
    """An adapter whose weights are random, as peft saves it."""
    torch.manual_seed(1)
    targets = "all-linear" if all_layers else ["q_proj", "v_proj"]
    config = LoraConfig(r=2, lora_alpha=4, target_modules=targets, task_type="CAUSAL_LM")
    net = get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "lora_" in name:
                p.copy_(0.3 * torch.randn_like(p))
    net.save_pretrained(folder)
    return folder


def as_xturing(folder: Path) -> Path:
    """The same adapter in the form that xTuring's own code writes."""
    tensors = load_file(folder / WEIGHTS)
    torch.save({key.removeprefix("base_model."): t for key, t in tensors.items()}, folder / PICKLE)
    (folder / WEIGHTS).unlink()
    old = {"r": 2, "lora_alpha": 4, "lora_dropout": 0.05, "bias": "none", "target_modules": ["q_proj", "v_proj"]}
    old |= {"peft_type": "LORA", "enable_lora": None, "merge_weights": False, "fan_in_fan_out": False}
    (folder / CONFIG).write_text(json.dumps(old | {"base_model_name_or_path": None, "modules_to_save": None}))
    return folder


def result_of(tool: str, base: Path, folder: Path) -> Path:
    """A folder in which a tool has run."""
    place = {"xtuner": "out/1/hf"}.get(tool, "out/1")
    trained(base, folder / place)
    if tool == "xturing":
        as_xturing(folder / place)
    return folder


def logits(net) -> torch.Tensor:
    with torch.no_grad():
        return net(input_ids=torch.arange(20)[None])[0]


# ---- each tool's result


@pytest.mark.parametrize("tool", TOOLS)
def test_a_result_becomes_a_folder_that_plain_peft_reads_whole(tool, base, tmp_path):
    found = import_adapter(result_of(tool, base, tmp_path / "run"), tool, tmp_path / "peft", base)
    assert found["tensors"] == 8 and found["moved"] > 1e-3
    want = PeftModel.from_pretrained(
        transformers.AutoModelForCausalLM.from_pretrained(base), trained(base, tmp_path / "same")
    ).eval()
    plain = transformers.AutoModelForCausalLM.from_pretrained(base).eval()
    before = logits(plain)
    net = PeftModel.from_pretrained(plain, tmp_path / "peft").eval()
    assert torch.equal(logits(net), logits(want)) and not torch.allclose(logits(net), before)
    assert sorted(load_file(tmp_path / "peft" / WEIGHTS)) == sorted(load_file(tmp_path / "same" / WEIGHTS))


def test_the_kit_loads_and_merges_it(base, tmp_path):
    import_adapter(result_of("xturing", base, tmp_path / "run"), "xturing", tmp_path / "peft", base)
    model = load_adapter(models.load(base), tmp_path / "peft", "theirs").eval()
    batch = {"input_ids": torch.arange(20)[None], "attention_mask": torch.ones(1, 20, dtype=torch.long)}
    with torch.no_grad():
        before = model(batch)
        assert (merge(model)(batch) - before).abs().max() < 1e-4


def test_the_last_phase_is_taken_and_ten_comes_behind_nine(base, tmp_path):
    for n in (1, 9, 10):
        (tmp_path / "out" / str(n)).mkdir(parents=True)
        (tmp_path / "out" / str(n) / CONFIG).write_text("{}")
    assert adapter_of(tmp_path, "firefly").name == "10"
    (tmp_path / "out" / "10" / CONFIG).unlink()
    with pytest.raises(FileNotFoundError, match="so nothing was trained there"):
        adapter_of(tmp_path, "firefly")


# ---- faults


def broken(kind: str, base: Path, folder: Path) -> tuple[Path, str]:
    """(a result with one fault, the tool that is named)."""
    place = trained(base, folder)
    tensors, config = load_file(place / WEIGHTS), json.loads((place / CONFIG).read_text())
    if kind == "names":
        tensors = {key.removeprefix("base_model."): t for key, t in tensors.items()}
    elif kind == "one name":
        key = next(iter(tensors))
        tensors[key.replace("layers.0", "layers.7")] = tensors.pop(key)
    elif kind == "missing":
        del tensors[next(reversed(tensors))]
    elif kind == "missing layer":
        tensors = {key: t for key, t in tensors.items() if "layers.1" not in key}
    elif kind == "zeros":
        tensors = {key: t * (0 if "lora_B" in key else 1) for key, t in tensors.items()}
    elif kind == "nan":
        tensors = {key: t / 0 for key, t in tensors.items()}
    elif kind == "rank":
        config["r"] = 4
    elif kind == "unknown key":
        config["enable_lora"] = [True, False, True]
    elif kind == "other base":
        config["base_model_name_or_path"] = "out/1_merged"
    elif kind == "no lora":
        config["peft_type"] = "IA3"
    elif kind == "another computation":
        config["lora_bias"] = True
    save_file(tensors, place / WEIGHTS)
    (place / CONFIG).write_text(json.dumps(config))
    if kind == "cut":
        whole = (place / WEIGHTS).read_bytes()
        (place / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    elif kind == "no weights":
        (place / WEIGHTS).unlink()
    elif kind == "cut config":
        (place / CONFIG).write_text((place / CONFIG).read_text()[:40])
    elif kind in ("cut pickle", "no tensors"):
        pickled = as_xturing(place) / PICKLE
        pickled.write_bytes(pickled.read_bytes()[:300])
        if kind == "no tensors":
            torch.save({"epoch": 3}, pickled)
        return place, "xturing"
    elif kind == "checkpoint":
        (place / CONFIG).unlink()
        (place / "iter_40.pth").write_bytes(b"")
        return place, "xtuner"
    elif kind == "whole model":
        (place / CONFIG).rename(place / "config.json")
    elif kind == "wrong tool":
        as_xturing(place)
    return place, "unsloth"


FAULTS = {
    "names": "the adapter loads and does nothing, since none of its 8 names is one of tiny, the first is 'model.model.",
    "wrong tool": "the adapter loads and does nothing, since none of its 8 names",
    "zeros": "the adapter loads and does nothing, since all its matrices B are 0",
    "one name": "1 of its 8 names have no place in tiny, the first is '.*layers.7",
    "missing": "1 tensors are missing that its adapter_config.json asks for",
    "missing layer": "4 tensors are missing that its adapter_config.json asks for",
    "nan": "numbers that are not finite",
    "rank": "tensors do not fit",
    "unknown key": r"says enable_lora=\[True, False, True\], which peft does not know",
    "another computation": "lora_bias=True, which changes what is computed",
    "other base": "an adapter of out/1_merged and not of the first base",
    "no lora": "describes no LoRA",
    "cut": "damaged or half-written",
    "cut pickle": "damaged or half-written",
    "cut config": "adapter_config.json",
    "no tensors": "holds no tensors with names",
    "no weights": "has adapter_config.json and no adapter_model.safetensors: the tool stopped half-way",
    "checkpoint": "XTuner's own iter_40.pth, a pickle, which is never read here",
    "whole model": "holds a whole model and no adapter",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_a_sentence_and_nothing_is_written(kind, base, tmp_path):
    result, tool = broken(kind, base, tmp_path / "run")
    with pytest.raises((ValueError, FileNotFoundError), match=FAULTS[kind]):
        import_adapter(result, tool, tmp_path / "peft", base)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_the_raw_form_of_xturing_loads_in_peft_and_does_nothing(base, tmp_path):
    """Why all this is checked."""
    result = as_xturing(trained(base, tmp_path / "run"))
    tensors = torch.load(result / PICKLE, weights_only=True)
    (result / PICKLE).unlink()
    save_file(tensors, result / WEIGHTS)
    plain = transformers.AutoModelForCausalLM.from_pretrained(base).eval()
    before = logits(plain)
    with pytest.warns(UserWarning, match="missing adapter keys"):
        net = PeftModel.from_pretrained(plain, result).eval()
    assert torch.equal(logits(net), before)


def test_an_adapter_that_moves_no_logit_is_refused(base, tmp_path, monkeypatch):
    monkeypatch.setattr("ftlib.tools.importing.load_adapter", lambda model, folder, name: model)
    with pytest.raises(ValueError, match="the adapter loads and does nothing, no logit moves"):
        import_adapter(trained(base, tmp_path / "run"), "unsloth", tmp_path / "peft", base)
    assert not (tmp_path / "peft").exists()


def test_only_tensors_are_read_of_a_pickle(base, tmp_path):
    result = as_xturing(trained(base, tmp_path / "run"))
    torch.save({"x": Path("a")}, result / PICKLE)
    with pytest.raises(ValueError, match="damaged or half-written"):
        import_adapter(result, "xturing", tmp_path / "peft", base)


# ---- scores, and the command


def test_scores_are_those_of_the_kits_own_evaluation(base, tmp_path):
    import ftlib
    from ftlib import tasks

    spec = Spec("a", f"chats:{tasks.example('chats')}", str(base), 0, [Phase([], steps=4, lr=1e-5)])
    found = held_out(spec, {"theirs": trained(base, tmp_path / "run")})
    model = load_adapter(models.load(base), tmp_path / "run", "theirs")
    task = ftlib.load_task("chats", path=tasks.example("chats"), seed=0)
    want = ftlib.evaluate(model, task.loader("validation", tokenizer=model.tokenizer, batch_size=64))
    assert found["theirs"] == want and found["base"]["nll"] != want["nll"]


def test_the_command_imports_and_scores(base, tmp_path, capsys):
    from ftlib import tasks

    run = result_of("xtuner", base, tmp_path / "run")
    spec = {"arm": "a", "task": f"chats:{tasks.example('chats')}", "model": str(base), "seed": 0, "phases": []}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    own = trained(base, tmp_path / "own")
    words = ["import", str(run), "--from", "xtuner", "--base", str(base), "--out", str(tmp_path / "peft")]
    assert main([*words, "--score", str(tmp_path / "spec.json"), "--beside", str(own)]) == 0
    said = capsys.readouterr().out
    assert "8 tensors, none missing and none left over" in said and "is an ordinary folder of peft" in said
    scores = [line.split("held-out loss ")[1] for line in said.splitlines() if "held-out loss" in line]
    assert len(scores) == 3 and scores[0] != scores[1] == scores[2]
    assert main(words) == 1 and "is there already" in capsys.readouterr().err


def test_the_command_says_what_is_wrong_and_takes_the_exported_base(base, tmp_path, capsys):
    run = result_of("llama-factory", base, tmp_path / "run")
    (run / "base").symlink_to(base)
    assert main(["import", str(run), "--from", "llama-factory", "--out", str(tmp_path / "peft")]) == 0
    assert main(["import", str(tmp_path), "--from", "llama-factory", "--out", str(tmp_path / "more")]) == 1
    assert "so nothing was trained there" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["import", str(run)])
