"""A language model runs once what all rows begin with, and its head where labels count: is the result the same?"""

import copy
from functools import partial

import peft
import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import nn

from ftlib import metrics, models, tasks
from ftlib.models import text
from ftlib.strategies.freezing import FreezeFirst
from ftlib.strategy import IGNORED, count_targets, target_loss
from ftlib.training.loop import evaluate, fit

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
SIZES |= {"num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0, "initializer_range": 0.3}
CONFIGS = {
    "llama": transformers.LlamaConfig(**SIZES, tie_word_embeddings=True),
    "qwen3": transformers.Qwen3Config(**SIZES, head_dim=8),
}
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ASKED = [5, 9, 4, 31, 7, 22]  # what the rows begin with
# name -> (rows of tokens, tokens that a layer reads where they are shared, padded tokens of the batch)
ROWS = {
    "ragged": ([[*ASKED, 3, 8, 6, 11], [*ASKED, 12], [*ASKED, 8, 8, 14]], 6 + 3 * 4, 30),
    "one goes on where another ends": ([ASKED[:3], ASKED, [*ASKED, 1]], 3 + 3 * 4, 21),
    "one ends and goes on like a pad": ([[*ASKED, 0, 0, 17], ASKED], 8 + 2 * 1, 18),
    "equal": ([ASKED, ASKED], 5 + 2 * 1, 12),
    "nothing in common": ([[3, *ASKED], [4, *ASKED]], 14, 14),
    "too little in common": ([[3, 8, *ASKED], [3, 9, *ASKED], [3, 10, *ASKED]], 24, 24),
    "one row": ([ASKED], 6, 6),
}


def tiny(name="llama", seed=0, **more):
    """(model, the uncut network whose weights it has), in float64."""
    torch.manual_seed(seed)
    config = copy.deepcopy(CONFIGS[name])
    vars(config).update(more)
    make = partial(transformers.AutoModelForCausalLM.from_config, config, attn_implementation="sdpa")
    net = make()
    return text.Decoder(net, make, "tiny").double(), net.double().eval()


def batch_of(rows, counted=2):
    """Padded on the right; labels as the tasks make them: the last `counted` of a row are counted."""
    longest = max(map(len, rows))
    pads = [[0] * (longest - len(row)) for row in rows]
    mask = [[1] * len(row) + pad for row, pad in zip(rows, pads)]
    labels = [[IGNORED] * (len(row) - counted) + row[:counted] + [IGNORED] * len(pad) for row, pad in zip(rows, pads)]
    ids = [row + pad for row, pad in zip(rows, pads)]
    tensors = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: torch.tensor(value) for name, value in tensors.items()}


def tokens_read(model, batch, *start):
    """How many tokens the last layer reads; start: (k, h) to go on from."""
    seen = []
    hook = model.stages[-1].register_forward_hook(lambda module, args, out: seen.append(out.shape[0] * out.shape[1]))
    model.forward_from(*start, batch) if start else model(batch)
    hook.remove()
    return sum(seen)


def gradients(loss, module):
    loss.backward()
    found = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return found


def unlabelled(batch):
    return {name: tensor for name, tensor in batch.items() if name != "labels"}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("rows", ROWS)
def test_logits_loss_and_gradients_are_those_of_the_uncut_network(name, rows):
    rows, shared, padded = ROWS[rows]
    model, net = tiny(name)
    batch = batch_of(rows)
    assert tokens_read(model, batch) == shared and batch["labels"].numel() == padded
    plain, real = net(**unlabelled(batch)).logits, batch["attention_mask"].bool()
    torch.testing.assert_close(model(unlabelled(batch))[real], plain[real], rtol=1e-5, atol=1e-6)

    loss = F.cross_entropy(plain.flatten(0, 1), batch["labels"].flatten(), reduction="sum")  # over every position
    ours = target_loss(model(batch), batch["labels"])
    torch.testing.assert_close(ours, loss.float(), rtol=1e-5, atol=1e-6)
    want = {id(p): g for p, g in zip(net.parameters(), torch.autograd.grad(loss, [*net.parameters()]))}
    got = gradients(ours, model)
    assert len(got) == len(want)
    for key, p in model.named_parameters():
        torch.testing.assert_close(got[key], want[id(p)], rtol=1e-4, atol=1e-5)

    model.shares = False
    assert tokens_read(model, batch) == padded
    torch.testing.assert_close(target_loss(model(batch), batch["labels"]), ours, rtol=1e-5, atol=1e-6)


def test_the_head_runs_where_labels_are_counted():
    model, _ = tiny()
    batch = batch_of(ROWS["ragged"][0])
    everywhere = model(unlabelled(batch))
    assert everywhere.shape == (3, 10, 40) and model(batch).shape == (6, 40)
    torch.testing.assert_close(model(batch), everywhere[batch["labels"] != IGNORED])
    assert torch.equal(model.forward_from(2, model.forward_to(2, batch), batch), model(batch))
    two = [metrics.token_counts(logits, batch["labels"]) for logits in (model(batch), everywhere)]
    assert {k: pytest.approx(v) for k, v in two[1].items()} == two[0]
    silent = {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}
    assert target_loss(model(silent), silent["labels"]) == 0
    with pytest.raises(ValueError, match="labels must lie in 0..39"):
        target_loss(model(batch), batch["labels"].clamp(max=0) + 40)


def test_lora_gets_the_same_gradients():
    model, _ = tiny()
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=PROJECTIONS), model)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.3)
    batch, out = batch_of(ROWS["ragged"][0]), []
    for model.shares in (True, False):
        out.append(gradients(target_loss(model.train()(batch), batch["labels"]), model))
    assert len(out[0]) == 2 * 7 * 3 and tokens_read(model, batch) == 30
    torch.testing.assert_close(out[0], out[1], rtol=1e-4, atol=1e-5)


def test_bfloat16_agrees_as_far_as_it_can():
    model, _ = tiny()
    batch, losses = batch_of(ROWS["ragged"][0]), []
    for model.shares in (True, False):
        with torch.autocast("cpu", torch.bfloat16):
            losses.append(target_loss(model.float()(batch), batch["labels"]))
        assert all(g.isfinite().all() for g in gradients(losses[-1], model).values())
    torch.testing.assert_close(losses[0], losses[1], rtol=0.02, atol=0)


def test_dropout_draws_for_every_row_anew():
    batch = batch_of(ROWS["ragged"][0])
    model, _ = tiny()
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=["v_proj"], lora_dropout=0.5), model)
    assert [tokens_read(model.train(mode), batch) for mode in (True, False)] == [30, 18]
    model, _ = tiny(attention_dropout=0.1)
    assert [tokens_read(model.train(mode), batch) for mode in (True, False)] == [30, 18]


@torch.no_grad()
@pytest.mark.parametrize("k", range(5))
def test_any_cut_gives_exactly_the_uncut_result(k):
    model, _ = tiny()
    batch = batch_of(ROWS["ragged"][0])
    h = model.forward_to(k, batch)
    assert h.shape[:2] == (3, 10) and torch.equal(model.forward_from(k, h, batch), model(batch))
    kept = h * (1 + 1e-7 * torch.rand_like(h)) if k else h  # as if each row came from another batch
    torch.testing.assert_close(model.forward_from(k, kept, batch), model(batch), rtol=1e-4, atol=1e-5)
    assert k == 4 or tokens_read(model, batch, k, kept) == 6 + 3 * 4


def test_rows_that_were_changed_on_the_way_are_not_the_same():
    """One row's h is written, or every row has a change of its own to learn, as in adversarial training."""
    model, _ = tiny()
    batch = batch_of(ROWS["ragged"][0])
    with torch.no_grad():
        h = model.forward_to(2, batch)
        h[1, 2] += 0.3
    changes = []
    for model.shares in (True, False):
        change = torch.zeros_like(h, requires_grad=True)
        logits = model.forward_from(2, h + change, batch)
        changes.append((logits, *torch.autograd.grad(target_loss(logits, batch["labels"]), change)))
    torch.testing.assert_close(changes[0], changes[1])
    model.shares, start = True, h.clone()
    start[1] = h[1] - 0.3
    with torch.no_grad():
        assert (model.forward_from(2, h, batch) - changes[1][0]).abs().max() < 1e-5
        assert (model.forward_from(2, start, batch) - changes[1][0]).abs().max() > 1e-3


def test_training_evaluation_and_the_cache_of_frozen_stages_end_alike():
    rows = [[*ASKED, *torch.randint(1, 40, (n,)).tolist()] for n in (3, 5, 4, 3, 6, 4, 5, 2)]
    loader = [batch_of(rows[i : i + 4]) for i in (0, 4)]
    ends = []
    for shares, cache in ((True, True), (True, False), (False, False)):
        model, _ = tiny()
        model.shares = shares
        model, history = fit(
            model.float(), loader, FreezeFirst(2), steps=6, lr=1e-3, cache=cache, precision="float32", verbose=False
        )
        ends.append(([row["loss"] for row in history], evaluate(model, loader)))
    for losses, scores in ends[1:]:
        assert losses == pytest.approx(ends[0][0], rel=1e-4) and scores == pytest.approx(ends[0][1], rel=1e-4)


def test_a_cache_of_what_came_before_is_gone_on_from_by_several_tokens():
    model, net = tiny()
    ids = torch.tensor([[*ASKED, 3, 8, 6]])
    cache = transformers.DynamicCache()
    with torch.no_grad():
        parts = [model({"input_ids": part, "cache": cache}) for part in ids.split([4, 3, 1, 1], 1)]
        torch.testing.assert_close(torch.cat(parts, 1), net(ids).logits, rtol=1e-4, atol=1e-5)


def test_smollm2_learns_and_answers_the_same():
    task = tasks.load("instructions/tweets", seed=0, n=3)
    model = models.load("smollm2", task)
    batch = next(iter(task.loader("train", tokenizer=model.tokenizer, batch_size=3)))
    model.requires_grad_(False)
    for stage in model.stages[1], model.stages[29]:  # first and last that LoRA would adapt
        stage.self_attn.k_proj.weight.requires_grad_(True)
        stage.mlp.up_proj.weight.requires_grad_(True)
    out, read = [], []
    for model.shares in (True, False):
        read.append(tokens_read(model, batch))
        loss = target_loss(model(batch), batch["labels"])
        out.append((gradients(loss, model), loss.detach(), metrics.token_counts(model(batch), batch["labels"])))
    assert read[1] - read[0] > 2 * 30 and count_targets(batch["labels"]) == 6
    assert out[0][1].item() == pytest.approx(out[1][1].item(), rel=1e-4) and len(out[0][0]) == 4
    for name, g in out[0][0].items():
        assert (g - out[1][0][name]).norm() < 1e-3 * g.norm()
    assert {k: pytest.approx(v, rel=1e-4) for k, v in out[0][2].items()} == out[1][2]
