"""SmolLM2's folder: the converter against transformers' own GGUF loader, and the real model's known facts."""

import errno
import json
import os
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftlib import assets
from ftlib.assets import convert

WIDTH, HEADS, KEY_HEADS, HIDDEN, LAYERS = 64, 4, 2, 96, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for message in messages %}{{ message['content'] + '<|im_end|>' }}{% endfor %}"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A llama.cpp file in SmolLM2's formats: 2 layers, random weights, and a merge that joins two digits."""
    tokens = [*SPECIAL, *sorted(ByteLevel.alphabet()), "12", "ĠĠ"]
    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(["1 2", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    random, key_width = np.random.default_rng(0), WIDTH // HEADS * KEY_HEADS
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (key_width, WIDTH), "attn_v": (key_width, WIDTH)}
    shapes |= {"attn_output": (WIDTH, WIDTH), "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH)}
    shapes |= {"ffn_down": (WIDTH, HIDDEN), "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}
    named = {f"blk.{layer}.{part}": shape for layer in range(LAYERS) for part, shape in shapes.items()}
    for name, shape in (named | {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}).items():
        w = random.normal(size=shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", w)
            continue
        kind = gguf.GGMLQuantizationType.Q8_0 if name == "token_embd" else gguf.GGMLQuantizationType.Q4_1
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(w, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "tiny.gguf"


def test_weights_equal_the_library_loader(tiny: Path, tmp_path: Path) -> None:
    """Bit for bit, and so are the outputs: names, row order, rotary base and norms are right."""
    (folder := tmp_path / "model").mkdir()
    convert.write(tiny, folder)
    ours = AutoModelForCausalLM.from_pretrained(folder).eval()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=tiny.name, dtype=torch.float32).eval()
    weights, expected = ours.state_dict(), theirs.state_dict()
    assert ours.dtype == torch.float32 and weights.keys() == expected.keys() and len(weights) > 20
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    ids = torch.arange(40)[None]  # (B, T)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits)
    assert ours.config.rope_parameters["rope_theta"] == 100_000


def test_digits_stand_alone_although_a_merge_joins_them(tiny: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "model").mkdir()
    convert.write(tiny, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("x  12") == ["x", "ĠĠ", "1", "2"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer("hi<|im_end|>")["input_ids"][-1] == 2
    assert tokenizer.chat_template == TEMPLATE


def test_the_check_refuses_another_model(tiny: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "model").mkdir()
    with pytest.raises(assets.AssetError, match="parameters where 134,515,008 were expected"):
        convert.convert(tiny, folder)


def test_smollm2_passes_its_check() -> None:
    """Parameters, golden token ids, and Paris."""
    convert.check(assets.path("smollm2"))


def test_smollm2_says_that_it_was_unpacked_from_4_bits() -> None:
    folder = assets.path("smollm2")
    assert "4-bit" in json.loads((folder / "asset.json").read_text())["what"]
    assert "4-bit" in json.loads((folder / "config.json").read_text())["_note"]
    with safe_open(folder / "model.safetensors", "np") as weights:
        assert "4-bit" in weights.metadata()["note"]
        down = weights.get_tensor("model.layers.3.mlp.down_proj.weight")  # (out, in)
    blocks = down[:64].reshape(-1, 32)  # a scale and an offset for each 32 weights, so at most 16 values
    assert max(len(np.unique(block)) for block in blocks) == 16
    assert os.name == "nt" or (folder / "model.safetensors").stat().st_mode & 0o044 == 0o044  # others may read


@pytest.mark.parametrize(
    "text",
    [
        "x =  12",
        "a\n  3",
        "total:   42 items",
        "don ' t .",
        "a ▁ b",
        "| 12 |  5 |",
        "\n\n1. one\n2. two",
        "\t9",
        "é 🙂",
    ],
)
def test_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(assets.path("smollm2"))
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    digits = [token for token in tokenizer.convert_ids_to_tokens(ids) if any(c.isdigit() for c in token)]
    assert all(len(token) == 1 for token in digits), digits
    assert len(tokenizer) == 49_152 and tokenizer.model_max_length == 8192


def test_a_full_disk_is_told_with_the_file(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors has an error of its own, which is no OSError."""
    (folder := tmp_path / "model").mkdir()

    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.numpy.save_file", full)
        with pytest.raises(OSError, match="No space left") as error:
            convert.write(tiny, folder)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(folder / "model.safetensors"))
    monkeypatch.setattr("pathlib.Path.write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.ENOSPC, "x")))
    with pytest.raises(OSError) as error:
        convert.write(tiny, folder)
    assert error.value.filename == str(folder / "config.json")
