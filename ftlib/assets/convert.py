"""SmolLM2 from a GGUF file to an ordinary transformers folder, once, checked.

The package that carries SmolLM2-135M-Instruct holds a llama.cpp file: 210 of its 272 tensors are 4-bit
integers with a float16 scale and offset per 32 weights (Q4_1: w = d q + m), the embedding is 8-bit (Q8_0: w =
d q), the 61 norms are float32. Unpacking gives back numbers, not the precision that was rounded away: **this
is an unpacked 4-bit model**, not the one that its authors released. The folder says so in `config.json`.

Why float32 on disk (538 MB): d q + m, worked out in float32, is kept as it is; float16 would be off by 2e-4
and bfloat16 by 1.4e-3 (relative, worst tensor). And transformers loads a folder in the precision it was saved
in: half precision is not what fine-tuning on a CPU wants.

Two repairs. llama.cpp stores the query and key rows in another order (its rotary embedding rotates
neighbouring pairs, transformers rotates halves), so both are put back. And the tokenizer is rebuilt from the
file's own vocabulary and merges: the stock loader loses SmolLM2's rule that every digit is a token of its
own. The files are written in the plainest form, so that transformers 4 and 5 read the same model from them.

Source: Ben Allal et al. 2025, "SmolLM2: When Smol Goes Big", arXiv:2502.02737.
"""

import errno
import json
import re
from pathlib import Path

from ftlib.assets.wheels import AssetError, naming

PARAMETERS = 134_515_008  # the embedding is counted once: the output layer shares it
UNPACKED = "unpacked from a 4-bit llama.cpp file (Q4_1, embedding Q8_0): not the precision of the original release"
GREETING = "hello world"  # with the chat template and the opening of the answer, these ids:
GREETING_IDS = [1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712]
GREETING_IDS += [8182, 2, 198, 1, 4093, 198, 28120, 905, 2, 198, 1, 520, 9531, 198]
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}


def convert(gguf_file: Path, folder: Path) -> None:
    """Write SmolLM2's weights, configuration and tokenizer into the existing `folder`, then check them."""
    write(gguf_file, folder)
    check(folder)


def write(gguf_file: Path, folder: Path) -> None:
    """A Llama's GGUF file as a transformers folder."""
    import gguf

    reader = gguf.GGUFReader(gguf_file)

    def field(key: str):
        return reader.fields[key].contents()

    _write_weights(reader, field, folder)
    _write_config(field, folder)
    _write_tokenizer(field, folder)


def _write_weights(reader, field, folder: Path) -> None:
    """`model.safetensors`, float32, under the names that transformers uses."""
    import gguf
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    heads = {"attn_q": field("llama.attention.head_count"), "attn_k": field("llama.attention.head_count_kv")}
    weights = {}
    for tensor in reader.tensors:
        w = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)  # (out, in) or (size,)
        stem = tensor.name.removesuffix(".weight")
        if stem in _TOP:
            weights[f"{_TOP[stem]}.weight"] = w
            continue
        _, block, part = stem.split(".")
        weights[f"model.layers.{block}.{_BLOCK[part]}.weight"] = _halves(w, heads[part]) if part in heads else w
    file = folder / "model.safetensors"
    try:
        save_file(weights, file, metadata={"format": "pt", "note": UNPACKED})
    except SafetensorError as error:  # it has no OSError of its own; a full disk is told by the number in its words
        code = re.search(r"os error (\d+)", str(error))
        raise OSError(int(code[1]) if code else errno.EIO, str(error), str(file)) from error
    file.chmod(0o644)  # safetensors writes for the owner only; a cache may be shared by a class


def _halves(w, heads: int):
    """Rows of a query or key matrix from (pair, member) order within each head to (member, pair) order."""
    import numpy as np

    pairs = w.reshape(heads, -1, 2, w.shape[1])  # (heads, D/2, 2, in)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(w.shape)


def _write_config(field, folder: Path) -> None:
    """`config.json` and `generation_config.json`; `rope_theta` where every version looks for it."""
    config = {
        "_note": UNPACKED,
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": field("llama.vocab_size"),
        "hidden_size": field("llama.embedding_length"),
        "intermediate_size": field("llama.feed_forward_length"),
        "num_hidden_layers": field("llama.block_count"),
        "num_attention_heads": field("llama.attention.head_count"),
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "max_position_embeddings": field("llama.context_length"),
        "rms_norm_eps": 1e-5,  # the file has the float32 nearest to it
        "rope_theta": field("llama.rope.freq_base"),
        "rope_scaling": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": True,
        "initializer_range": 1 / 24,  # 1 / sqrt(hidden_size), as its authors drew the weights; not in the file
        "torch_dtype": "float32",
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "pad_token_id": field("tokenizer.ggml.padding_token_id"),
    }
    _write_text(folder / "config.json", json.dumps(config, indent=1))
    special = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_text(folder / "generation_config.json", json.dumps(special, indent=1))


def _write_text(file: Path, text: str) -> None:
    with naming(file):
        file.write_text(text, encoding="utf-8")


def _write_tokenizer(field, folder: Path) -> None:
    """`tokenizer.json` and `tokenizer_config.json`: byte-level BPE in which each digit stands alone."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    control = 3  # llama.cpp's token type of <|im_start|>, <|im_end|> and their like
    tokens, types = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ", 1)) for merge in field("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == control]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    content = json.loads(tokenizer.to_str())
    content["model"]["merges"] = [" ".join(merge) for merge in merges]  # the older way of writing, read by all
    content["model"].pop("ignore_merges", None)
    _write_text(folder / "tokenizer.json", json.dumps(content, ensure_ascii=False))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "model_max_length": field("llama.context_length"),
        "clean_up_tokenization_spaces": False,
        "chat_template": field("tokenizer.chat_template"),
    }
    _write_text(folder / "tokenizer_config.json", json.dumps(config, indent=1, ensure_ascii=False))


def check(folder: Path) -> None:
    """Load the folder as anybody would: parameter count, token ids and a known answer, or an AssetError."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    count = sum(p.numel() for p in model.parameters())
    if count != PARAMETERS:
        raise AssetError(f"The converted model has {count:,} parameters where {PARAMETERS:,} were expected.")
    ids = chat_ids(tokenizer, GREETING)
    if ids != GREETING_IDS:
        raise AssetError(f"The converted tokenizer reads {GREETING!r} as {ids} where {GREETING_IDS} was expected.")
    prompt = torch.tensor([chat_ids(tokenizer, "What is the capital of France?")])  # (1, T)
    with torch.inference_mode():
        answer = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False)
    text = tokenizer.decode(answer[0, prompt.shape[1] :])
    if "Paris" not in text:
        raise AssetError(f"The converted model was expected to name Paris as the capital of France; it said {text!r}.")


def chat_ids(tokenizer, question: str) -> list[int]:
    """Token ids of a conversation that holds `question` and opens the answer."""
    chat = [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    return tokenizer(text, add_special_tokens=False)["input_ids"]
