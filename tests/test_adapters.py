"""Adapters as files: other programs load them, wrong ones are refused, and merging is a sum that can be undone."""

import copy
import json
import subprocess
import sys
import time

import pytest
import timm
import torch
from peft import AdaLoraConfig, IA3Config, LoraConfig, PeftModel, PrefixTuningConfig, VeraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, BertConfig, LlamaConfig

from ftlib import assets, models, tasks
from ftlib.models import adapters
from ftlib.models.adapters import load_adapter, merge, save_adapter, switch, unmerge
from ftlib.models.text import Encoder
from ftlib.strategies.freezing import BiasOnly, NormOnly, TuneOnly
from ftlib.strategies.full import Full, LinearProbe
from ftlib.strategies.peft import IA3, Adapter, LoRA, adapter_layers
from ftlib.training.loop import fit
from toy import SMALL, decoder, encoder, same, sentences, weights

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
    h = model.run_stages(batch["input_ids"], batch, 0, 3)
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
            h = model.run_stages(ids, {"input_ids": ids, "attention_mask": (ids > 0).long()}, 0, len(model.stages))
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


# ---- folders that peft alone has made
BY_NAME = {"alpha_pattern": {"layer.0.attention.self.query": 40, r".*\.1\..*value": 3}}
BY_NAME |= {"r": 4, "target_modules": ["query", "value"]}
ELSEWHERE = {
    "alpha by name": LoraConfig(**BY_NAME),
    "rank by name": LoraConfig(**BY_NAME, rank_pattern={"layer.1.attention.self.query": 2}),
    "ranks with rslora": LoraConfig(**BY_NAME, use_rslora=True, rank_pattern={"value": 3}),
    "dora": LoraConfig(**BY_NAME, use_dora=True),
    "some layers": LoraConfig(r=4, target_modules=["query"], layers_to_transform=[1], layers_pattern="layer"),
    "a pattern of targets": LoraConfig(r=4, target_modules=r".*layer\.0\..*(query|intermediate\.dense)"),
    "without some": LoraConfig(r=4, target_modules=["query", "value"], exclude_modules=r".*layer\.0\..*value"),
    "orthogonal": LoraConfig(**BY_NAME, init_lora_weights="orthogonal"),
    "olora": LoraConfig(**BY_NAME, init_lora_weights="olora"),
    "pissa": LoraConfig(**BY_NAME, init_lora_weights="pissa"),
    "ia3": IA3Config(target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"]),
    "ia3 by a pattern": IA3Config(target_modules=["key", "output.dense"], feedforward_modules=r".*\d\.output\.dense"),
}


def made_elsewhere(config, folder):
    """(the kit's model, the network itself), both pristine; peft alone has made an adapter of it, in the folder."""
    base = encoder()
    net = base.make().eval()
    trained = get_peft_model(copy.deepcopy(net), copy.deepcopy(config))
    torch.manual_seed(2)
    with torch.no_grad():
        for p in trained.parameters():
            p.add_(0.3 * torch.randn_like(p)) if p.requires_grad else None
    trained.save_pretrained(folder)
    return Encoder(copy.deepcopy(net), base.make, "small-bert", 3).eval(), net


@torch.no_grad()
@pytest.mark.parametrize("name", ELSEWHERE)
def test_pefts_own_folder_gives_what_peft_gives_on_the_uncut_network_and_is_saved_as_such(name, tmp_path, batch):
    model, net = made_elsewhere(ELSEWHERE[name], tmp_path / "a")
    real, words = batch["attention_mask"].bool(), {k: batch[k] for k in ("input_ids", "attention_mask")}
    want = PeftModel.from_pretrained(copy.deepcopy(net), tmp_path / "a").eval()(**words)[0]  # (B, T, D)
    load_adapter(model, tmp_path / "a", "x").eval()
    got = model.run_stages(batch["input_ids"], batch, 0, 3)
    torch.testing.assert_close(got[real], want[real], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(got[real], net(**words)[0][real], atol=1e-4)  # the adapter does something
    save_adapter(model, tmp_path / "b")
    again = PeftModel.from_pretrained(copy.deepcopy(net), tmp_path / "b").eval()(**words)[0]
    torch.testing.assert_close(again[real], want[real], rtol=1e-4, atol=1e-5)
    merged = merge(model).run_stages(batch["input_ids"], batch, 0, 3)
    torch.testing.assert_close(merged[real], want[real], rtol=1e-4, atol=1e-5)


QUERY = {"r": 4, "target_modules": ["query"]}
REFUSED = {
    "lora_bias": (LoraConfig(**QUERY, lora_bias=True), "with lora_bias=True, which changes what is computed"),
    "bias": (LoraConfig(**QUERY, bias="lora_only"), "with bias='lora_only', which changes"),
    "tokens": (LoraConfig(**QUERY, trainable_token_indices={"word_embeddings": [1]}), "with trainable_token_indices="),
    "embeddings": (LoraConfig(r=4, target_modules=["query", "word_embeddings"]),
                   r"also changes 'embeddings\.word_embeddings', which is no linear layer of the stages of small-bert"),
    "pooler": (LoraConfig(r=4, target_modules=["query", "pooler.dense"]), r"also changes 'pooler\.dense', which is no"),
    "trained whole": (LoraConfig(**QUERY, modules_to_save=["LayerNorm"]),
                      r"LayerNorm\.\w+' beside the adapter's own weights, .* trained whole \(modules_to_save\)"),
    "vera": (VeraConfig(**QUERY), "of the type VERA: only LORA and IA3 are loaded here"),
    "adalora": (AdaLoraConfig(target_modules=["query"], total_step=9), "of the type ADALORA"),
    "prefix": (PrefixTuningConfig(num_virtual_tokens=3, task_type="FEATURE_EXTRACTION"), "of the type PREFIX_TUNING"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_an_adapter_that_would_compute_something_else_is_refused_with_the_reason(name, tmp_path):
    config, words = REFUSED[name]
    model, _ = made_elsewhere(config, tmp_path)
    before = weights(model)
    with pytest.raises(ValueError, match=words) as error:
        load_adapter(model, tmp_path, "x")
    assert "another base than" not in str(error.value) and "\n" not in str(error.value)
    assert same(before, weights(model)) and not hasattr(model, "peft_config")


LLAMA = LlamaConfig(**SMALL, num_key_value_heads=2)
CLASSES = {
    "bert with a head": (AutoModelForSequenceClassification, BertConfig(**SMALL), "SEQ_CLS", encoder,
                         r"'classifier\.\w+' beside .*made for SEQ_CLS, with a head that reads other features"),
    "llama with a head": (AutoModelForSequenceClassification, LLAMA, "SEQ_CLS", decoder, r"'score\.weight' beside"),
    "bert with its own head": (AutoModelForMaskedLM, BertConfig(**SMALL), None, encoder,
                               r"made on another class .* 'bert\.encoder\.\S+', and in small-bert it is 'encoder\."),
    "llama's body": (AutoModel, LLAMA, None, decoder, r"calls a layer 'layers\.0\.\S+, .* it is 'model\.layers\.0\."),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_an_adapter_of_another_class_of_the_same_network_is_not_called_one_of_another_base(name, tmp_path):
    auto, config, task, make, words = CLASSES[name]
    lora = LoraConfig(r=4, target_modules=["query"] if make is encoder else ["q_proj"], task_type=task)
    get_peft_model(auto.from_config(config), lora).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=words) as error:
        load_adapter(make(), tmp_path, "x")
    assert "another base" not in str(error.value)


def test_names_without_their_first_word_are_refused_with_the_way_to_repair_them(tmp_path):
    """peft would load such a file, warn, and change nothing."""
    file = save_adapter(with_adapter(LoRA(r=4)), tmp_path / "cut") / "adapter_model.safetensors"
    cut = {name.removeprefix("base_model."): tensor for name, tensor in load_file(file).items()}
    save_file(cut, file)
    with pytest.raises(ValueError, match=r"names such as 'model\.\S+, without 'base_model\.model\.'.* ftlib import`"):
        load_adapter(encoder(), tmp_path / "cut", "x")


def test_broken_folders_and_folders_of_folders_say_so(tmp_path):
    save_adapter(with_adapter(LoRA(r=4)), tmp_path / "mine")
    with pytest.raises(FileNotFoundError, match="and no adapter_model.*: name one of the folders inside, mine"):
        load_adapter(encoder(), tmp_path, "x")
    for file, content in (("adapter_config.json", "{"), ("adapter_config.json", '{"peft_type": "NEW"}')):
        save_adapter(with_adapter(LoRA(r=4)), tmp_path / "b")
        (tmp_path / "b" / file).write_text(content)
        with pytest.raises(ValueError, match="is damaged, or no adapter of peft"):
            load_adapter(encoder(), tmp_path / "b", "x")
    save_adapter(with_adapter(LoRA(r=4)), tmp_path / "b")
    (tmp_path / "b" / "adapter_model.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="is damaged, or no adapter of peft"):
        load_adapter(encoder(), tmp_path / "b", "x")
    (tmp_path / "b" / "adapter_model.safetensors").rename(tmp_path / "b" / "adapter_model.bin")
    with pytest.raises(FileNotFoundError, match=r"adapter_model\.bin is a pickle, which is never read"):
        load_adapter(encoder(), tmp_path / "b", "x")
    with pytest.raises(ValueError, match="a new word, but it is 5"):
        load_adapter(encoder(), tmp_path / "b", 5)


# ---- the base that an adapter belongs to
FIRST = [(make, s) for make in (encoder, decoder) for s in (Full(), TuneOnly([0]), NormOnly())]
FIRST += [(encoder, BiasOnly())]  # a decoder as Llama has no biases


@pytest.mark.parametrize(("make", "strategy"), FIRST, ids=lambda x: getattr(x, "__name__", type(x).__name__))
def test_an_adapter_on_other_weights_than_it_was_trained_on_is_refused(make, strategy, tmp_path, batch):
    batches = sentences()
    if make is decoder:
        batches = [{**b, "labels": b["input_ids"]} for b in batches]
    model, _ = fit(make(), batches, strategy, steps=5, lr=1e-3, verbose=False)
    models.save(model, tmp_path / "tuned.safetensors")
    save_adapter(shaken(LoRA(r=4).prepare(model)), tmp_path / "a")
    pristine = make()
    before = weights(pristine)
    words = r"trained on other weights of small-\w+: \d+ of \d+ tensors differ, '\S+' most, by .*load_weights"
    with pytest.raises(ValueError, match=words) as error:
        load_adapter(pristine, tmp_path / "a", "x")
    assert "\n" not in str(error.value) and same(before, weights(pristine)) and not hasattr(pristine, "peft_config")
    tuned = models.load_weights(make(), tmp_path / "tuned.safetensors")
    torch.testing.assert_close(load_adapter(tuned, tmp_path / "a", "x").eval()(batch), model.eval()(batch))


def test_a_head_trained_first_travels_with_the_adapter_and_is_no_other_base(tmp_path, batch):
    model, _ = fit(encoder(), sentences(), LinearProbe(), steps=5, lr=1e-2, verbose=False)
    save_adapter(shaken(LoRA(r=4).prepare(model)), tmp_path)
    torch.testing.assert_close(load_adapter(encoder(), tmp_path, "x").eval()(batch), model(batch))


@pytest.mark.parametrize("strategy", KINDS, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("make", [encoder, decoder])
def test_the_base_is_the_same_in_another_number_format(make, dtype, strategy, tmp_path):
    """As a folder that somebody has saved in bfloat16 would give it; pissa and a merged adapter change the base."""
    save_adapter(with_adapter(strategy, make), tmp_path / "a")
    save_adapter(merge(with_adapter(strategy, make)), tmp_path / "merged")
    for folder in ("a", "merged"):
        load_adapter(make().to(dtype).float(), tmp_path / folder, "x")
        assert load_file(tmp_path / folder / "adapter_model.safetensors")


def test_statistics_belong_to_the_base_and_storing_them_is_cheap(tmp_path):
    task = tasks.load("digits/optical", n=20, size=32)
    model = LoRA(r=4).prepare(models.load("efficientnet-lite0", task))
    save_adapter(model, tmp_path)
    begin = time.perf_counter()
    numbers = adapters.base_numbers(model)
    assert time.perf_counter() - begin < 2 and all(len(values) <= 16 for values in numbers.values())
    assert sum("running_var" in key for key in numbers) > 40 and not any("lora" in key for key in numbers)
    other = models.load("efficientnet-lite0", task)
    next(m for m in other.modules() if isinstance(m, nn.BatchNorm2d)).running_mean.add_(0.1)  # as AdaBN would
    with pytest.raises(ValueError, match=r"1 of \d+ tensors differ, 'stages\.0\.\S*running_mean' most, by 0\.1"):
        load_adapter(other, tmp_path, "x")


# ---- a merged adapter and training
@pytest.mark.parametrize("strategy", [Full(), TuneOnly([-1]), BiasOnly()], ids=lambda s: type(s).__name__)
def test_merged_weights_are_not_trained(strategy):
    model, _ = fit(encoder(), sentences(), LoRA(r=4), steps=2, lr=1e-2, verbose=False)
    merge(model).stages.requires_grad_(True)
    before = weights(model)
    with pytest.raises(ValueError, match=r"merged into the weights of small-bert, .*: unmerge\(model\) first, or"):
        fit(model, sentences(), strategy, steps=2, lr=1e-3, verbose=False)
    assert same(before, weights(model))
    fit(model, sentences(), LinearProbe(), steps=2, lr=1e-3, verbose=False)  # a head on merged weights may learn
    unmerge(model)
    model.stages.requires_grad_(True)
    fit(model, sentences(), strategy, steps=2, lr=1e-3, verbose=False)
