"""Are the weights the right ones, do the stages compute what the uncut network computes, and is every error clear?"""

import copy
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import skimage.data
import timm
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import nn

from ftlib import assets, models
from ftlib.models import image, text
from ftlib.strategies.full import Full
from ftlib.strategies.peft import IA3, Adapter, LoRA
from ftlib.strategies.prompts import Prefix, Prompt
from ftlib.training.loop import evaluate, fit, predict_logits
from toy import encoder

pytestmark = pytest.mark.usefixtures("one_thread")
CHECKPOINTS = list(models.KNOWN)
# name -> timm architecture with small arguments; the last two have a convolution as head, and no chain of stages
IMAGES = {
    "resnet": ("resnet18", {"num_classes": 5}),
    "efficientnet": ("tf_efficientnet_lite0", {"num_classes": 5}),
    "mobilenet": ("mobilenetv3_small_050", {"num_classes": 5}),
    "convnext": ("convnext_atto", {"num_classes": 5, "depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}),
    "vit": ("vit_tiny_patch16_224", {"num_classes": 5, "depth": 3, "embed_dim": 24, "img_size": 64}),
    "vit-mean": ("vit_tiny_patch16_224", {"num_classes": 5, "depth": 2, "global_pool": "avg", "img_size": 64}),
    "deit": ("deit3_small_patch16_224", {"num_classes": 5, "depth": 2, "embed_dim": 24, "img_size": 64}),
    "grey": ("resnet18", {"num_classes": 5, "in_chans": 1}),
    "conv head": ("dla46x_c", {"num_classes": 5}),
    "whole": ("cait_xxs24_224", {"num_classes": 5, "depth": 2, "img_size": 64}),
}
SIZES = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
GROUPED = SIZES | {"num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0}
TEXTS = {
    "bert": transformers.BertConfig(**SIZES),
    "roberta": transformers.RobertaConfig(**SIZES, max_position_embeddings=64),
    "distilbert": transformers.DistilBertConfig(vocab_size=40, dim=32, n_layers=3, n_heads=4, hidden_dim=48),
    "electra": transformers.ElectraConfig(**SIZES, embedding_size=32),
    "llama": transformers.LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "llama untied": transformers.LlamaConfig(**GROUPED, tie_word_embeddings=False),
    "mistral": transformers.MistralConfig(**GROUPED),
    "qwen3": transformers.Qwen3Config(**GROUPED, head_dim=8),
}
TASKS = {kind: SimpleNamespace(kind=kind, outputs=3) for kind in ("image", "text", "lm")}
SENTENCES = ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell sharply on Monday."]


def shake(net):
    """No tensor at its first value, so that a lost one is seen (many begin as zeros or as 1e-6)."""
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.02 * torch.rand_like(tensor))
    return net.eval()


def data_of(arguments):
    """The preprocessing that belongs to a network with these arguments."""
    channels, side = arguments.get("in_chans", 3), arguments.get("img_size", 64)
    return {"input_size": (channels, side, side), "mean": [0.5, 0.4, 0.3][:channels], "std": [0.2] * channels}


def save_tokenizer(folder, words=40):
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "</s>": 2} | {f"w{i}": i for i in range(3, words)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "</s>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{name: (folder, the network that was saved there)}"""
    made = {}
    for name, (architecture, arguments) in IMAGES.items():
        net = shake(timm.create_model(architecture, **arguments))
        folder = tmp_path_factory.mktemp("timm")
        save_for_hf(net, folder, {"pretrained_cfg": data_of(arguments)}, arguments, safe_serialization=True)
        made[name] = (folder, net)
    for name, config in TEXTS.items():
        auto = transformers.AutoModelForCausalLM if "lama" in name or name in ("mistral", "qwen3") else None
        net = shake((auto or transformers.AutoModel).from_config(config))
        folder = tmp_path_factory.mktemp("transformers")
        net.save_pretrained(folder)
        save_tokenizer(folder)
        made[name] = (folder, net)
    return made


@pytest.fixture(scope="module")
def loaded(folders):
    """A function: the model of a name, loaded once; tests that change a model copy it."""
    cache = {}

    def get(name):
        if name not in cache:
            cache[name] = models.load(name if name in CHECKPOINTS else folders[name][0])
        return cache[name]

    return get


def batch_for(model, seed=0):
    """Two rows; of texts, the second is shorter."""
    generator = torch.Generator().manual_seed(seed)
    if model.kind == "image":
        return {"pixels": torch.rand(2, model.mean.shape[1], 64, 64, generator=generator)}
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    return {"input_ids": torch.randint(3, 40, (2, 7), generator=generator) * mask, "attention_mask": mask}


def photograph(name):
    """A photograph of scikit-image: the shorter side resized to 224 (bicubic, antialiased), the centre cut out."""
    x = torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1)[None] / 255  # (1, C, H, W)
    scale = 224 / min(x.shape[2:])
    x = F.interpolate(x, [round(side * scale) for side in x.shape[2:]], mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (x.shape[2] - 224) // 2, (x.shape[3] - 224) // 2
    return {"pixels": x[..., top : top + 224, left : left + 224]}


# ---- the weights are the right ones


@torch.no_grad()
def test_lite0_knows_a_cat_and_an_espresso(loaded):
    model = loaded("efficientnet-lite0")
    assert set(model(photograph("chelsea")).topk(3).indices[0].tolist()) == {281, 282, 285}  # tabby, tiger, Egyptian
    probability = model(photograph("coffee")).softmax(-1)[0]
    assert probability.argmax() == 967 and probability[967] == pytest.approx(0.94, abs=0.01)


@torch.no_grad()
def test_minilm_puts_a_paraphrase_closer_and_equals_plain_transformers(loaded):
    model, folder = loaded("minilm"), assets.path("minilm")
    batch = model.tokenizer(SENTENCES, padding=True, return_tensors="pt")
    embedding = F.normalize(model(batch))  # (B, D)
    similar = embedding @ embedding.T
    assert similar[0, 1] > 0.5 and similar[:2, 2].abs().max() < 0.2
    plain = transformers.AutoModel.from_pretrained(folder, local_files_only=True)(**batch).last_hidden_state
    for row, mask, feature in zip(plain, batch["attention_mask"].bool(), model(batch), strict=True):
        torch.testing.assert_close(feature, row[mask].mean(0), rtol=1e-4, atol=1e-5)


def test_smollm2_knows_the_capital_of_france(loaded):
    model = loaded("smollm2")
    assert model.generate(["What is the capital of France?"], max_new_tokens=12) == ["The capital of France is Paris."]
    text = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nThe capital of France is"
    ids = model.tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        next_token = model({"input_ids": ids})[0, -1].argmax()  # logits[:, t] predicts the token after input_ids[:, t]
    assert model.tokenizer.decode(next_token) == " Paris"


def renamed(name, last):
    """A tensor's name here, from its name in a transformers checkpoint; last: the layer that ends with the norm."""
    name = name.removeprefix("model.").removeprefix("encoder.").replace("layer.", "layers.", 1)
    place, rest = name.split(".", 1)
    if place == "layers":
        i, rest = rest.split(".", 1)
        return f"stages.{int(i) + 1}.{'layer.' if last == int(i) else ''}{rest}"
    return f"stages.{last + 1}.{name}" if place == "norm" else f"stages.0.{rest}"


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_equal_the_checkpoint(loaded, name):
    ours, file = loaded(name).state_dict(), assets.path(name)
    if name == "efficientnet-lite0":
        theirs = dict(zip(ours, torch.load(file, weights_only=True).values(), strict=True))
    else:
        last = len(loaded(name).stages) - 2 if name == "smollm2" else None
        tensors = load_file(file / "model.safetensors")
        theirs = {renamed(k, last): v for k, v in tensors.items() if "pooler" not in k and "position_ids" not in k}
    assert ours.keys() - theirs.keys() == ({"head.weight"} if name == "smollm2" else set())
    assert len(theirs) > 90 and all(torch.equal(ours[k], v) for k, v in theirs.items())


@pytest.mark.parametrize("name", ["efficientnet-lite0", "minilm"])
def test_not_pretrained_means_other_weights(loaded, name):
    fresh = models.load(name, pretrained=False)
    assert not any(torch.equal(p, q) for p, q in zip(fresh.parameters(), loaded(name).parameters()) if p.ndim > 1)


# ---- the stages


@pytest.mark.parametrize("name", [*CHECKPOINTS, *IMAGES, *TEXTS])
def test_every_tensor_has_one_place_in_order(loaded, name):
    model = loaded(name)
    assert all(key.startswith(("stages.", "head.")) for key in model.state_dict())
    places = [p.data_ptr() for p in model.state_dict().values() if p.numel()]
    assert len(places) - len(set(places)) == model.tied == (name in ("smollm2", "llama"))
    assert all(any(True for _ in stage.parameters()) for stage in model.stages)
    assert len(model.stages) == len(model.stage_names) == len(set(model.stage_names)) > 2
    assert model.stage_names[0] == ("stem" if model.kind == "image" else "embeddings")
    assert not model.training and not any(module.training for module in model.modules())


def test_stage_names_of_the_three_checkpoints(loaded):
    blocks = [f"blocks.{i}" for i in range(7)]
    assert loaded("efficientnet-lite0").stage_names == ["stem", *blocks, "conv_head"]
    assert loaded("minilm").stage_names == ["embeddings", *(f"layers.{i}" for i in range(6))]
    assert loaded("smollm2").stage_names == ["embeddings", *(f"layers.{i}" for i in range(30))]
    model = loaded("minilm")
    assert model.stage("layers.2") is model.stage(3) is model.stages[3] and model.stage(-1) is model.stages[6]


@torch.no_grad()
@pytest.mark.parametrize("name", [*CHECKPOINTS, *(n for n in IMAGES if n != "whole"), *TEXTS])
def test_any_cut_gives_exactly_the_uncut_result(loaded, name):
    model = loaded(name)
    batch = batch_for(model)
    logits = model(batch)
    for k in range(len(model.stages) + 1):
        assert torch.equal(model.forward_from(k, model.forward_to(k, batch), batch), logits), k
    assert torch.equal(model.head(model.features(batch)), logits)
    assert torch.equal(model.forward_to(0, batch), model.inputs(batch))


@torch.no_grad()
@pytest.mark.parametrize("name", IMAGES)
def test_an_image_folder_gives_what_timm_gives(folders, loaded, name):
    folder, net = folders[name]
    model, batch = loaded(name), batch_for(loaded(name))
    cfg = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    mean, std = (torch.tensor(cfg[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    want = net((batch["pixels"] - mean) / std)  # (B, 5)
    torch.testing.assert_close(model(batch), want, rtol=1e-4, atol=1e-4 * want.abs().max().item())
    assert isinstance(model.head, nn.Linear) and model.head.in_features == model.width
    grey = {"pixels": batch["pixels"][:, :1]}
    repeated = {"pixels": grey["pixels"].repeat(1, model.mean.shape[1], 1, 1)}
    torch.testing.assert_close(model(grey), model(repeated), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_folder_gives_what_transformers_gives(folders, loaded, name):
    model, net = loaded(name), folders[name][1]
    batch = batch_for(model, seed=1)
    got = model(batch) if model.kind == "lm" else model.forward_to(len(model.stages), batch)  # (B, T, V or D)
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(got[real], net(**batch)[0][real], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["minilm", "smollm2", *TEXTS])
def test_padding_does_not_change_a_row(loaded, name):
    model = loaded(name)
    batch = batch_for(model)
    short = {key: value[1:, :4] for key, value in batch.items()}  # the second row without its pads
    got, want = model(batch)[1:], model(short)
    got = got[:, :4] if model.kind == "lm" else got
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    other = batch | {"input_ids": batch["input_ids"] + 5 * (1 - batch["attention_mask"])}  # other tokens as pads
    again = model(other)[1:]
    torch.testing.assert_close(again[:, :4] if model.kind == "lm" else again, want, rtol=1e-4, atol=1e-4)


def test_generate_writes_the_most_likely_token_each_time(loaded):
    model = copy.deepcopy(loaded("llama untied"))
    torch.manual_seed(0)
    for p in model.parameters():
        if p.ndim > 1:
            nn.init.normal_(p, std=0.5)  # large weights: what comes next depends on what stands where
    ids = model.tokenizer("w5 w9 w4", return_tensors="pt").input_ids
    length = ids.shape[1]
    with torch.no_grad():
        for _ in range(6):  # without a cache: the whole row again for each token
            ids = torch.cat([ids, model({"input_ids": ids})[:, -1:].argmax(-1)], 1)
    wanted = ids[0, length:].tolist()
    wanted = wanted[: wanted.index(2)] if 2 in wanted else wanted
    assert model.generate(["w5 w9 w4"], max_new_tokens=6) == [model.tokenizer.decode(wanted, skip_special_tokens=True)]


def test_a_network_without_a_chain_is_run_as_a_whole(loaded):
    model = copy.deepcopy(loaded("whole"))
    batch, n = batch_for(model), len(model.stages)
    logits = model(batch)
    assert image.ends(nn.Sequential()) == {}  # no blocks, so no ends either
    for k in (0, n):
        assert torch.equal(model.forward_from(k, model.forward_to(k, batch), batch), logits)
    for k in (1, n - 1):
        with pytest.raises(ValueError, match=f"use k = 0 or {n}"):
            model.forward_to(k, batch)
        with pytest.raises(ValueError, match="no chain of its stages"):
            model.forward_from(k, logits, batch)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():  # the copy's network reaches the copy's stages, not those of the original
        model.stages[1].mlp.fc1.weight.zero_()
    assert not torch.equal(model(batch), logits) and torch.equal(loaded("whole")(batch), logits)


# ---- heads, fresh weights, files


@pytest.mark.parametrize("name", ["resnet", "vit", "bert", "minilm", "efficientnet-lite0"])
def test_a_task_brings_a_fresh_linear_head(folders, loaded, name):
    task = TASKS[loaded(name).kind]
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model = models.load(name if name in CHECKPOINTS else folders[name][0], task)
        assert isinstance(model.head, nn.Linear) and model(batch_for(model)).shape == (2, 3)
        heads.append(model.head.weight)
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    assert torch.equal(next(model.stages.parameters()), next(loaded(name).stages.parameters()))


def test_a_language_model_keeps_its_tied_head(folders):
    model = models.load(folders["llama"][0], TASKS["lm"])
    assert model.tied and model.head.weight is model.stages[0].weight
    for twin in (copy.deepcopy(model), model):
        twin.reset_parameters()
        assert twin.tied and twin.head.weight is twin.stages[0].weight
    model.stages.requires_grad_(False)
    assert not model.head.weight.requires_grad  # as the module's docstring warns


def test_several_heads_are_chosen_by_the_batch(loaded):
    model = copy.deepcopy(loaded("bert"))
    model.head = nn.ModuleDict({"a": nn.Linear(model.width, 2), "b": nn.Linear(model.width, 4)})
    assert model(batch_for(model) | {"task": "b"}).shape == (2, 4)


@pytest.mark.parametrize("name", ["resnet", "convnext", "vit", "whole", "bert", "distilbert", "llama", "qwen3"])
def test_reset_draws_what_the_authors_draw(folders, loaded, name):
    model = copy.deepcopy(loaded(name))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(3)
    model.reset_parameters()
    torch.manual_seed(3)
    if model.kind == "image":
        fresh = timm.create_model(IMAGES[name][0], **IMAGES[name][1])
    else:
        auto = transformers.AutoModelForCausalLM if model.kind == "lm" else transformers.AutoModel
        fresh = auto.from_config(transformers.AutoConfig.from_pretrained(folders[name][0]))
    drawn = [value for key, value in fresh.state_dict().items() if "pooler" not in key]
    ours = list(model.state_dict().values())
    assert sorted(v.double().sum().item() for v in drawn) == sorted(v.double().sum().item() for v in ours)
    same = [k for k, v in model.state_dict().items() if torch.equal(v, before[k]) and v.is_floating_point()]
    assert not same, same  # BatchNorm's statistics and the head were drawn anew too
    model.stages[0] = nn.Sequential(model.stages[0])
    with pytest.raises(ValueError, match="a strategy has changed"):
        model.reset_parameters()


@pytest.mark.parametrize("name", ["resnet", "vit", "whole", "bert", "llama"])
def test_weights_survive_a_file(loaded, tmp_path, name):
    model, twin = loaded(name), copy.deepcopy(loaded(name))
    models.save(copy.deepcopy(model).to(memory_format=torch.channels_last), tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    with torch.no_grad():
        for p in twin.parameters():
            p.zero_()
    assert models.load_weights(twin, tmp_path / "model.safetensors") is twin and twin.tied == model.tied
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values()))
    assert torch.equal(model(batch_for(model)), twin(batch_for(twin)))


@pytest.mark.parametrize("name", ["efficientnet-lite0", "minilm", *IMAGES, *TEXTS])
def test_a_copy_trains_alone_also_in_bfloat16_with_the_channels_last(loaded, name):
    model = copy.deepcopy(loaded(name)).to(memory_format=torch.channels_last).train()
    batch = batch_for(model)
    if "pixels" in batch:
        batch["pixels"] = batch["pixels"].contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch)
    logits.float().square().mean().backward()
    assert logits.isfinite().all() and all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert not torch.equal(next(model.parameters()), next(loaded(name).parameters()))


def test_loading_needs_no_network(folders, monkeypatch):
    def refuse(*_):
        raise AssertionError("loading opened a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    for name in ("efficientnet-lite0", "minilm", folders["vit"][0], folders["llama"][0]):
        models.load(name)


# ---- errors: one clear sentence each


def said(error):
    text = str(error.value)
    assert "\n" not in text and len(text) < 400, text
    return text


def test_unknown_names_are_answered_with_the_known(loaded, tmp_path):
    with pytest.raises(ValueError, match="efficientnet-lite0, minilm, smollm2") as error:
        models.load("resnet50")
    assert "'resnet50'" in said(error)
    with pytest.raises(ValueError, match=r"no stage 'layers.9': its stages are embeddings, layers.0,") as error:
        loaded("minilm").stage("layers.9")
    with pytest.raises(ValueError, match="must be 0 to 7, not 8") as error:
        loaded("minilm").forward_to(8, batch_for(loaded("minilm")))
    with pytest.raises(ValueError, match="no stage 7"):
        loaded("minilm").stage(7)


def test_a_task_of_another_kind(folders):
    with pytest.raises(ValueError, match="choose efficientnet-lite0") as error:
        models.load("minilm", TASKS["image"])
    said(error)
    with pytest.raises(ValueError, match="choose smollm2"):
        models.load(folders["bert"][0], TASKS["lm"])


def test_missing_assets_and_files(folders, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="config.json is missing") as error:
        models.load(tmp_path)
    said(error)
    for name, missing in (("resnet", "model.safetensors"), ("bert", "model.safetensors"), ("llama", "tokenizer")):
        folder = tmp_path / name
        folder.mkdir()
        for file in folders[name][0].iterdir():
            if not file.name.startswith(missing):
                (folder / file.name).write_bytes(file.read_bytes())
        with pytest.raises(FileNotFoundError, match="save") as error:
            models.load(folder)
        said(error)
    monkeypatch.setenv("FTLIB_HOME", str(tmp_path / "nothing"))
    with pytest.raises(assets.AssetError, match="python -m ftlib assets efficientnet-lite0") as error:
        models.load("efficientnet-lite0")
    said(error)


@pytest.mark.parametrize("fault", ["other shapes", "other names", "one missing"])
@pytest.mark.parametrize("name", ["resnet", "bert", "llama"])
def test_weights_of_another_model_are_refused(folders, tmp_path, name, fault):
    for file in folders[name][0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    first = next(key for key, value in tensors.items() if value.ndim > 1 and "pooler" not in key)
    if fault == "other shapes":
        tensors[first] = tensors[first][:-1].clone()
    elif fault == "other names":
        tensors = {f"other.{key}": value for key, value in tensors.items()}
    else:
        del tensors[first]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="does not hold the weights") as error:
        models.load(tmp_path)
    assert "first" in said(error) and (fault != "other shapes" or first in said(error))


def test_a_file_of_other_weights_changes_nothing(loaded, tmp_path):
    models.save(loaded("vit"), tmp_path / "vit.safetensors")
    save_file(loaded("resnet").state_dict() | {"extra": torch.zeros(1)}, tmp_path / "extra.safetensors")
    model = copy.deepcopy(loaded("resnet"))
    for file in ("vit.safetensors", "extra.safetensors"):
        with pytest.raises(ValueError, match="nothing was loaded") as error:
            models.load_weights(model, tmp_path / file)
        said(error)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded("resnet").state_dict().values()))


def test_networks_that_cannot_be_cut(loaded, tmp_path):
    config = transformers.AlbertConfig(**SIZES, embedding_size=16)  # one layer, used three times
    transformers.AlbertModel(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    with pytest.raises(
        ValueError, match="AlbertModel cannot be cut into stages: it is built .* no encoder.layer"
    ) as error:
        models.load(tmp_path)
    said(error)
    small = {"depth": 1, "img_size": 64}
    net = timm.create_model("deit_tiny_distilled_patch16_224", **small)
    save_for_hf(net, tmp_path, {"pretrained_cfg": data_of(small)}, small, safe_serialization=True)
    with pytest.raises(ValueError, match="load it with a task") as error:  # two heads: which one?
        models.load(tmp_path)
    said(error)
    assert models.load(tmp_path, TASKS["image"])(batch_for(loaded("vit"))).shape == (2, 3)
    config = json.loads((tmp_path / "config.json").read_text())
    config["pretrained_cfg"]["input_size"] = [3, 96, 96]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="does not take images of"):
        models.load(tmp_path, pretrained=False)
    (tmp_path / "config.json").write_text('{"architecture": "nonet50"}')
    with pytest.raises(ValueError, match="nonet50"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"neither an architecture \(timm\) nor a model_type"):
        models.load(tmp_path)


def test_batches_that_are_refused(loaded):
    model = loaded("resnet")
    for pixels in (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 4, 8, 8), torch.zeros(3, 8, 8)):
        with pytest.raises(ValueError, match=r"floats in 0..1 of shape \(B, 1 or 3, H, W\)") as error:
            model({"pixels": pixels})
        said(error)
    batch = {key: value.flip(1) for key, value in batch_for(loaded("llama")).items()}  # padded on the left
    with pytest.raises(ValueError, match="padded on the right"):
        loaded("llama")(batch)


@torch.no_grad()
@pytest.mark.parametrize(("name", "most"), [("llama", 64), ("qwen3", 64), ("bert", 512), ("roberta", 62)])
def test_a_row_longer_than_the_context(loaded, name, most):
    model = loaded(name)
    ids = torch.full((1, most + 1), 5)
    assert model.context == most
    assert model({"input_ids": ids[:, 1:], "attention_mask": torch.ones(1, most)}).isfinite().all()
    with pytest.raises(ValueError, match=f"reads at most {most} tokens, but a row has {most + 1}: shorten") as error:
        model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    said(error)


def test_generation_ends_where_the_context_does(loaded):
    model = copy.deepcopy(loaded("llama untied"))
    with torch.no_grad():
        model.head.weight[:4] = 0
        model.head.weight[5:] = -model.head.weight[4]  # one of the two is positive: never the end of turn
    for words, more in ((60, 5), (64, 1)):
        assert len(model.generate([" ".join(["w7"] * words)], max_new_tokens=100)[0].split()) == more
    with pytest.raises(ValueError, match="reads at most 64 tokens, but a row has 65: shorten the text") as error:
        model.generate([" ".join(["w7"] * 65)])
    said(error)


# ---- what users bring: long rows


LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 16, "factor": 4.0}
LONGROPE |= {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
HALF = {"use_sliding_window": True, "max_window_layers": 1}  # the first layer sees all, the others a window
LONG = {
    "no window": transformers.LlamaConfig(**GROUPED),
    "a window of 3": transformers.MistralConfig(**GROUPED, sliding_window=3),
    "a window of 10": transformers.MistralConfig(**GROUPED, sliding_window=10),
    "a window in some layers": transformers.Qwen2Config(**GROUPED, **HALF, sliding_window=10),
    "a window that no row fills": transformers.MistralConfig(**GROUPED, sliding_window=50),
}


def strong(config):
    """(network, model of it) with weights so large that what a token sees decides what it gives."""
    torch.manual_seed(0)
    make = partial(transformers.AutoModelForCausalLM.from_config, config, attn_implementation="sdpa")
    net = make().eval()
    for p in net.parameters():
        if p.ndim > 1:
            nn.init.normal_(p, std=0.3)
    return net, text.Decoder(copy.deepcopy(net), make, "strong")


@torch.no_grad()
@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("name", LONG)
def test_rows_longer_than_the_window_give_what_the_uncut_network_gives(name, shares):
    net, model = strong(LONG[name])
    window = net.config.sliding_window if name != "no window" else None
    assert model.window == window and model.context == 64
    ids = torch.randint(3, 40, (3, 40), generator=torch.Generator().manual_seed(0))  # (B, T)
    ids[:, :20] = ids[:1, :20]
    mask = torch.ones_like(ids)
    mask[1, 30:] = 0
    want, model.shares = net(input_ids=ids, attention_mask=mask).logits, shares
    got = model({"input_ids": ids, "attention_mask": mask})
    torch.testing.assert_close(got[mask.bool()], want[mask.bool()], rtol=1e-4, atol=1e-4)
    cache = transformers.DynamicCache()  # as generation reads: a prompt, then token by token
    parts = ids[:1].split([7, 14, 1, 18], 1)
    got = torch.cat([model({"input_ids": part, "cache": cache}) for part in parts], 1)
    torch.testing.assert_close(got, want[:1], rtol=1e-4, atol=1e-4)


def test_a_window_that_the_stages_get_wrong_is_refused_though_no_row_of_the_proof_fills_it(monkeypatch):
    right = text.Decoder.extra_at
    wrong = lambda self, k, extra: extra | {"attention_mask": extra["attention_mask"][0]}  # noqa: E731, no window
    monkeypatch.setattr(text.Decoder, "extra_at", wrong)
    strong(LONG["no window"])
    with pytest.raises(ValueError, match="what it computes between its layers is not written out here") as error:
        strong(LONG["a window that no row fills"])
    assert "Mistral" not in said(error).replace("MistralForCausalLM", "")
    monkeypatch.setattr(text.Decoder, "extra_at", right)
    assert strong(LONG["a window that no row fills"])[0].config.sliding_window == 50  # the proof's was put back


def test_angles_that_change_with_the_length_of_a_row_end_where_they_would_change():
    net, model = strong(transformers.LlamaConfig(**GROUPED, rope_parameters=LONGROPE))
    ids = torch.randint(3, 40, (2, 17), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model({"input_ids": ids[:, :16]}), net(ids[:, :16]).logits, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="reads at most 16 tokens, but a row has 17"):
        model({"input_ids": ids})


# ---- what users bring: folders


def folder_of(path, auto, config, tokenizer=True):
    auto.from_config(config).save_pretrained(path)
    if tokenizer:
        save_tokenizer(path)
    return path


def edited(path, **changes):
    """A BERT's folder with other words in its config.json."""
    folder_of(path, transformers.AutoModel, transformers.BertConfig(**SIZES))
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))
    return path


def damaged(path, name, content):
    folder_of(path, transformers.AutoModel, transformers.BertConfig(**SIZES))
    (path / name).write_text(content)
    return path


def timm_with(path, config):
    path.joinpath("config.json").write_text(json.dumps(config))
    return path


CAUSAL, BODY = transformers.AutoModelForCausalLM, transformers.AutoModel
GPT2 = {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
T5 = {"vocab_size": 40, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
CHUNKS = {"intermediate_size_mlp": 48, "num_local_experts": 2, "head_dim": 8}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
REASONS = {
    "gpt2": (lambda p: folder_of(p, CAUSAL, transformers.GPT2Config(**GPT2)),
             r"GPT2LMHeadModel cannot be cut .*: it is built in another way and has no model\.embed_tokens, .*rotary"),
    "modernbert": (lambda p: folder_of(p, BODY, transformers.ModernBertConfig(**SIZES, **SPECIAL)),
                   r"ModernBertModel cannot be cut .* has no embeddings\.position_embeddings, encoder\.layer"),
    "vit": (lambda p: folder_of(p, BODY, transformers.ViTConfig(**VIT, image_size=32, patch_size=8), tokenizer=False),
            r"'vit' network of transformers, which reads pixel_values, not texts: .*timm has saved"),
    "t5": (lambda p: folder_of(p, BODY, transformers.T5Config(**T5)), "an encoder and a decoder in one"),
    "a decoder's body": (lambda p: folder_of(p, BODY, transformers.LlamaConfig(**GROUPED)),
                         "LlamaModel cannot .* a decoder without its head, .* no class that ends in ForCausalLM"),
    "chunks": (lambda p: folder_of(p, CAUSAL, transformers.Llama4TextConfig(**GROUPED, **CHUNKS)),
               "its layers have chunked_attention, which is not written out here"),
    "two kinds of angles": (lambda p: folder_of(p, CAUSAL, transformers.Gemma3TextConfig(**GROUPED, head_dim=8)),
                            "its stages cannot be run alone"),
    "own attention": (lambda p: folder_of(p, BODY, transformers.MPNetConfig(**SIZES)),
                      r"'mpnet' network, which does not run with PyTorch's own attention \(sdpa\)"),
    "more layers": (lambda p: edited(p, num_hidden_layers=2),
                    r"holds more layers than its config\.json describes: 16 tensors .*'encoder\.layer\.2\."),
    "unknown type": (lambda p: edited(p, model_type="nonet"), "'nonet' network, unknown to transformers [0-9.]+: it"),
    "code of its own": (lambda p: edited(p, model_type="nonet", auto_map={"AutoConfig": "x.C"}),
                        "code of its own, which this kit never runs"),
    "quantised": (lambda p: edited(p, quantization_config={"quant_method": "gptq", "bits": 4}),
                  r"quantised weights \(gptq\), which cannot be fine-tuned as they are"),
    "heads that do not divide": (lambda p: edited(p, num_attention_heads=5), r"hidden size \(32\) is not a multiple"),
    "a text for a number": (lambda p: edited(p, hidden_size="x"), "Field 'hidden_size' expected int, got str"),
    "half a config": (lambda p: damaged(p, "config.json", '{"model_type": '), r"config\.json is damaged"),
    "a list for a config": (lambda p: damaged(p, "config.json", "[]"), "must hold an object in braces, not"),
    "half the weights": (lambda p: damaged(p, "model.safetensors", "abc"), "cannot load it: .*header"),
    "half a tokenizer": (lambda p: damaged(p, "tokenizer.json", "{"), r"tokenizer\.json: transformers .* load it"),
    "timm's arguments": (lambda p: timm_with(p, {"architecture": "resnet18", "model_args": {"nonsense": 3}}),
                         "timm cannot make a 'resnet18' .*unexpected keyword argument 'nonsense'"),
    "a number as architecture": (lambda p: timm_with(p, {"architecture": 5}), "holds a 5, unknown to timm"),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_a_folder_is_refused_for_the_true_reason(name, tmp_path):
    make, words = REASONS[name]
    with pytest.raises(ValueError, match=words) as error:
        models.load(make(tmp_path))
    assert "Mistral" not in said(error) and "Qwen" not in said(error)


def test_timms_weights_that_are_cut_off_and_an_adapters_folder_say_so(folders, tmp_path):
    for file in folders["resnet"][0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:500])
    (tmp_path / "config.json").write_bytes((folders["resnet"][0] / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or no safetensors file"):
        models.load(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="holds an adapter, not a model: load its base, then"):
        models.load(tmp_path / "a")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("minlm",), "did you mean 'minilm'"),
        ((None,), "named by a text or a folder, not by None"),
        ((["minilm"],), "named by a text or a folder"),
        (("minilm", "sentiment"), r"task must be a task as ftlib\.load_task gives it"),
    ],
)
def test_arguments_that_name_no_model_or_no_task(arguments, words):
    with pytest.raises(ValueError, match=words) as error:
        models.load(*arguments)
    said(error)


def test_extra_heads_of_a_checkpoint_are_no_extra_layers(tmp_path):
    for name, auto in (("mlm", "AutoModelForMaskedLM"), ("cls", "AutoModelForSequenceClassification")):
        folder = folder_of(tmp_path / name, getattr(transformers, auto), transformers.BertConfig(**SIZES))
        assert len(models.load(folder).stages) == 4


# ---- what users bring: weights that a strategy has changed


def test_weights_saved_with_lora_in_them_say_what_is_needed_and_then_fit(tmp_path):
    model = LoRA(r=4).prepare(encoder())
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    models.save(model, tmp_path / "lora.safetensors")
    fresh = encoder(seed=1)
    with pytest.raises(ValueError, match=r"so call prepare\(model\) of LoRA\(r=4\) first; nothing was loaded") as error:
        models.load_weights(fresh, tmp_path / "lora.safetensors")
    said(error)
    again = models.load_weights(LoRA(r=4).prepare(fresh), tmp_path / "lora.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    models.save(encoder(), tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match="has put something into the model, but the file was saved without"):
        models.load_weights(again, tmp_path / "plain.safetensors")


@pytest.mark.parametrize(
    "strategy", [IA3(), Adapter(), Prompt(tokens=3), Prefix(tokens=3)], ids=lambda s: type(s).__name__
)
def test_weights_saved_with_another_injection_say_so_too(strategy, tmp_path):
    models.save(strategy.prepare(encoder()), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"call prepare\(model\) of the strategy that was trained first"):
        models.load_weights(encoder(), tmp_path / "w.safetensors")
    assert models.load_weights(strategy.prepare(encoder()), tmp_path / "w.safetensors")


def test_a_file_that_is_broken_or_of_another_kind_says_so(folders, tmp_path):
    (tmp_path / "half.safetensors").write_bytes(b"half")
    wide = encoder()
    wide.head = nn.Linear(16, 10)
    models.save(wide, tmp_path / "new" / "wide.safetensors")  # the folder is made
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["wide.safetensors"]
    for file, error, words in (
        (tmp_path / "nothing.safetensors", FileNotFoundError, "is not there, or is no file"),
        (tmp_path / "half.safetensors", ValueError, "is damaged or no safetensors file"),
        (tmp_path / "new" / "wide.safetensors", ValueError, "10 outputs and the model's 3, so load it with their task"),
        (folders["bert"][0] / "model.safetensors", ValueError, "a network that is not cut, and .* takes the folder"),
    ):
        with pytest.raises(error, match=words) as raised:
            models.load_weights(encoder(), file)
        said(raised)


def test_saving_that_dies_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    def dies(model, part):
        Path(part).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(models, "save_model", dies)
    with pytest.raises(OSError, match="No space left"):
        models.save(encoder(), tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


# ---- what users bring: a model and a task that do not belong together


@pytest.mark.parametrize(
    ("outputs", "labels", "words"),
    [
        (
            2,
            torch.tensor([0, 9]),
            "answers with 2 numbers, one per class, .* are classes up to number 9: load the model",
        ),
        (2, torch.tensor([[0.1] * 10] * 2), "are 10 numbers each"),
        (2, torch.tensor([0.5, 1.5]), "are one measured number each"),
        (2, torch.tensor([[0, 1], [1, 0]]), "are 2 numbers each"),
    ],
)
def test_labels_that_the_head_cannot_give_are_one_sentence_in_training_and_evaluating(outputs, labels, words):
    model = encoder()
    model.head = nn.Linear(16, outputs)
    batch = {"input_ids": torch.ones(2, 3, dtype=torch.long), "attention_mask": torch.ones(2, 3, dtype=torch.long)}
    batch |= {"labels": labels, "index": torch.arange(2)}
    for use in (evaluate, predict_logits):
        with pytest.raises(ValueError, match=words) as error:
            use(model, [batch])
        said(error)
    with pytest.raises(ValueError, match=words):
        fit(model, [batch], Full(), steps=1, lr=1e-3, verbose=False)


def test_labels_that_fit_are_taken():
    for outputs, labels in ((3, [0, 2]), (1, [0.5, 1.5]), (3, [[0.2, 0.3, 0.5]] * 2), (3, [-100, 2])):
        model = encoder()
        model.head = nn.Linear(16, outputs)
        model(
            {
                "input_ids": torch.ones(2, 3, dtype=torch.long),
                "attention_mask": torch.ones(2, 3),
                "labels": torch.tensor(labels),
            }
        )


def test_tokens_of_another_tokenizer_are_one_sentence(loaded):
    with pytest.raises(ValueError, match="knows 40 tokens, but a row has number 44: .* use model.tokenizer") as error:
        loaded("llama")({"input_ids": torch.tensor([[3, 44]])})
    said(error)
