"""Adapters as files: other programs load them, wrong ones are refused, and merging is a sum that can be undone."""

import json
import subprocess
import sys
import time

import pytest
import timm
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn

from ftlib import adapters, assets, models, tasks
from ftlib.adapters import load_adapter, merge, save_adapter, switch, unmerge
from ftlib.strategies.peft import IA3, Adapter, LoRA, adapter_layers
from ftlib.train import fit
from toy import decoder, encoder, same, sentences, weights

KINDS = [LoRA(r=4), LoRA(r=4, variant="rslora"), LoRA(r=4, variant="dora"), LoRA(r=4, variant="pissa"), IA3()]
name_of = lambda strategy: f"{type(strategy).__name__}-{getattr(strategy, 'variant', '')}"  # noqa: E731
# A new process that knows transformers and peft, and nothing of this kit.
OTHERS = """
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModel, AutoModelForCausalLM

for folder, base, kind, ids in json.loads(sys.argv[1]):
    auto = AutoModelForCausalLM if kind == "lm" else AutoModel
    net = PeftModel.from_pretrained(auto.from_pretrained(base), folder).eval()
    ids = torch.tensor(ids)
    with torch.no_grad():
        torch.save(net(input_ids=ids, attention_mask=(ids > 0).long())[0], f"{folder}/out")
assert not any(name.startswith("ftlib") for name in sys.modules)
"""


@pytest.fixture
def batch():
    return next(iter(sentences()))


def shaken(model, seed=1):
    """Learned weights without learning: nothing new is at its first value."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name or "ia3_" in name or name.startswith("head"):
                p.add_(0.1 * torch.randn_like(p)) if p.requires_grad else None
    return model.eval()


def with_adapter(strategy, make=encoder, seed=1):
    return shaken(strategy.prepare(make()), seed)


# ---- files
@pytest.mark.parametrize("make", [encoder, decoder])
@pytest.mark.parametrize("strategy", KINDS, ids=name_of)
def test_an_adapter_survives_its_folder_head_included(strategy, make, tmp_path, batch):
    model = with_adapter(strategy, make)
    save_adapter(model, tmp_path / "a")
    assert sorted(f.name for f in (tmp_path / "a").iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    again = load_adapter(make(), tmp_path / "a", "again").eval()
    torch.testing.assert_close(again(batch), model(batch))
    save_adapter(again, tmp_path / "b")
    first, second = (load_file(tmp_path / x / "adapter_model.safetensors") for x in "ab")
    assert same(first, second)


@pytest.mark.parametrize("make", [encoder, decoder])
@pytest.mark.parametrize("strategy", KINDS, ids=name_of)
def test_plain_peft_loads_the_folder_on_the_plain_network(strategy, make, tmp_path, batch, recwarn):
    model = with_adapter(strategy, make)
    save_adapter(model, tmp_path)
    torch.manual_seed(0)
    plain = PeftModel.from_pretrained(model.make(), tmp_path).eval()
    got = plain(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]  # (B, T, D or V)
    real = batch["attention_mask"].bool()
    h = model.run(batch["input_ids"], batch, 0, 3)
    want = h if make is encoder else model.head(h)
    torch.testing.assert_close(got[real], want[real], rtol=1e-4, atol=1e-5)
    assert not [w for w in recwarn if "missing" in str(w.message)]


def test_a_fresh_process_with_transformers_and_peft_computes_the_same(tmp_path):
    """The language model wholly; the encoder's features, since the plain network has no head of ours."""
    ids, jobs, want = torch.tensor([[101, 2054, 1037, 2154], [101, 2307, 2143, 0]]), [], {}
    for name in ("smollm2", "minilm"):
        model = models.load(name, tasks.load("sentiment/tweets", n=20) if name == "minilm" else None)
        shaken(LoRA(r=4, targets="attention").prepare(model))
        folder = save_adapter(model, tmp_path / name)
        jobs.append([str(folder), str(assets.path(name)), model.kind, ids.tolist()])
        with torch.no_grad():
            h = model.run(ids, {"input_ids": ids, "attention_mask": (ids > 0).long()}, 0, len(model.stages))
            want[folder] = model.head(h) if model.kind == "lm" else h
    subprocess.run([sys.executable, "-c", OTHERS, json.dumps(jobs)], check=True)
    for folder, tensor in want.items():
        got = torch.load(folder / "out", weights_only=True)
        torch.testing.assert_close(got[ids > 0], tensor[ids > 0], rtol=1e-3, atol=1e-3)


def test_peft_puts_lite0s_head_on_timms_own_network(tmp_path):
    task = tasks.load("digits/optical", n=20, size=32)
    model = shaken(LoRA(r=4).prepare(models.load("efficientnet-lite0", task)))
    save_adapter(model, tmp_path)
    x = torch.rand(2, 3, 64, 64)
    net = timm.create_model("tf_efficientnet_lite0", num_classes=10)
    base, _ = models.image.read_lite0(True)
    net.load_state_dict({k: v for k, v in base.state_dict().items() if "classifier" not in k}, strict=False)
    plain = PeftModel.from_pretrained(net, tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(plain((x - model.mean) / model.std), model({"pixels": x}), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(
            merge(model)({"pixels": x}), plain((x - model.mean) / model.std), rtol=1e-3, atol=1e-3
        )


def test_a_write_that_dies_leaves_the_old_files(tmp_path, monkeypatch):
    save_adapter(with_adapter(LoRA(r=4)), tmp_path)
    old = load_file(tmp_path / "adapter_model.safetensors")

    def dies(tensors, part, metadata):
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(adapters, "save_file", dies)
    with pytest.raises(KeyboardInterrupt):
        save_adapter(with_adapter(LoRA(r=4), seed=2), tmp_path)
    assert same(old, load_file(tmp_path / "adapter_model.safetensors"))


# ---- several on one base
def test_several_adapters_share_a_base_and_are_switched_in_milliseconds(tmp_path, batch):
    outputs = {}
    for i, strategy in enumerate((LoRA(r=4), LoRA(r=2, targets="attention"), LoRA(r=4, variant="dora"))):
        model = with_adapter(strategy, seed=i)
        outputs[f"a{i}"] = model(batch)
        save_adapter(model, tmp_path / f"a{i}")
    model = encoder().eval()
    base = model.features(batch)
    for name in outputs:
        load_adapter(model, tmp_path / name, name)
    for name in ("a1", "a0", "a2", "a0"):
        begin = time.thread_time()
        assert switch(model, name) is model
        assert time.thread_time() - begin < 0.1
        torch.testing.assert_close(model(batch), outputs[name], rtol=1e-4, atol=1e-5)
    for layer in adapter_layers(model).values():
        layer.enable_adapters(False)
    torch.testing.assert_close(model.features(batch), base)


def test_an_adapter_that_was_trained_keeps_its_head_when_another_is_loaded(tmp_path, batch):
    save_adapter(with_adapter(LoRA(r=2), seed=5), tmp_path)
    model, _ = fit(encoder(), sentences(), LoRA(r=4), steps=5, lr=1e-2, verbose=False)
    mine = model.eval()(batch)
    other = load_adapter(model, tmp_path, "other").eval()(batch)
    assert not torch.allclose(mine, other)
    assert torch.equal(switch(model, "default")(batch), mine) and torch.equal(switch(model, "other")(batch), other)


def test_a_loaded_adapter_is_trained_further_and_the_others_stand_still(tmp_path):
    save_adapter(with_adapter(LoRA(r=4), seed=1), tmp_path / "a")
    save_adapter(with_adapter(LoRA(r=4), seed=2), tmp_path / "b")
    model = load_adapter(load_adapter(encoder(), tmp_path / "a", "a"), tmp_path / "b", "b")
    before = weights(model)
    model, _ = fit(model, sentences(), LoRA(r=4), steps=3, lr=1e-2, verbose=False)
    moved = {n for n, w in weights(model).items() if not torch.equal(w, before[n])}
    assert moved == {n for n in before if n.endswith(".b.weight")} | {"head.weight", "head.bias"}


# ---- merging
@pytest.mark.parametrize("make", [encoder, decoder])
@pytest.mark.parametrize("strategy", KINDS, ids=name_of)
def test_merged_equals_unmerged_and_there_is_a_way_back(strategy, make, batch):
    model = with_adapter(strategy, make)
    before, want = weights(model), model(batch)
    torch.testing.assert_close(merge(model)(batch), want, rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(w, before[n]) for n, w in weights(model).items())
    torch.testing.assert_close(unmerge(model)(batch), want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weights(model), before, rtol=1e-4, atol=1e-6)


def test_merging_twice_is_an_error_and_changes_nothing():
    model = merge(with_adapter(LoRA(r=4)))
    once = weights(model)
    with pytest.raises(ValueError, match=r"merged into the weights already, once is enough: unmerge\(model\)"):
        merge(model)
    assert same(once, weights(model))


# ---- bad input
def test_an_adapter_of_another_base_is_refused_with_what_does_not_fit(tmp_path):
    save_adapter(with_adapter(LoRA(r=4), decoder), tmp_path / "llama")
    save_adapter(with_adapter(LoRA(r=4)), tmp_path / "bert")
    model = encoder()
    before = weights(model)
    with pytest.raises(
        ValueError, match=r"another base than small-bert, 28 tensors do not fit: model\.layers\.0\.\S+ is "
    ):
        load_adapter(model, tmp_path / "llama", "x")
    file = tmp_path / "bert" / "adapter_model.safetensors"
    tensors = load_file(file)
    key = next(k for k in tensors if k.endswith("query.lora_A.weight"))
    save_file({**tensors, key: torch.zeros(4, 24)}, file)
    words = r"1 tensors do not fit: stages\.\S+query\.lora_A\.weight is \(4, 24\), not \(4, 16\)"
    with pytest.raises(ValueError, match=words):
        load_adapter(model, tmp_path / "bert", "x")
    save_file({k: t for k, t in tensors.items() if k != key}, file)
    with pytest.raises(ValueError, match=r"query\.lora_A\.weight is missing, not \(4, 16\)"):
        load_adapter(model, tmp_path / "bert", "x")
    assert same(before, weights(model)) and not hasattr(model, "peft_config")


def _pissa_beside_another(tmp_path):
    save_adapter(with_adapter(LoRA(r=4, variant="pissa")), tmp_path)
    return load_adapter(with_adapter(LoRA(r=4)), tmp_path, "x")


def _wide_head(tmp_path):
    model = with_adapter(LoRA(r=4))
    model.head = nn.Linear(20, 3)
    return load_adapter(encoder(), save_adapter(model, tmp_path), "x")


@pytest.mark.parametrize(
    ("do", "words"),
    [
        (lambda p: save_adapter(encoder(), p), "holds no LoRA and no IA3"),
        (lambda p: save_adapter(Adapter().prepare(encoder()), p), "holds no LoRA and no IA3"),
        (lambda p: merge(Adapter().prepare(encoder())), "holds no LoRA and no IA3"),
        (lambda p: unmerge(with_adapter(LoRA(r=4))), r"no adapter is merged: merge\(model\) first"),
        (lambda p: switch(with_adapter(LoRA(r=4)), "b"), r"holds no adapter 'b', but \['default'\]: load_adapter"),
        (lambda p: switch(merge(with_adapter(LoRA(r=4))), "default"), "merged into the weights already"),
        (lambda p: load_adapter(with_adapter(LoRA(r=4)), save_adapter(with_adapter(LoRA(r=4)), p), "default"),
         r"a new word, but it is 'default'; the model holds \['default'\]"),
        (lambda p: load_adapter(encoder(), save_adapter(with_adapter(LoRA(r=4)), p), "a.b"), "must be a new word"),
        (_pissa_beside_another, "PiSSA changes the base's weights, so it shares them with no other adapter"),
        (_wide_head, "reads 20 features, not 16"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(do, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        do(tmp_path)


def test_a_folder_without_an_adapter_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no adapter_config\.json and no adapter_model\.safetensors"):
        load_adapter(encoder(), tmp_path, "x")
