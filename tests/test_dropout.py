"""Dropout by whole words: the share kept, the scale, independence, the seed; and attention with it is the eager one."""

import math

import pytest
import torch
from torch import nn
from transformers.models.bert.modeling_bert import eager_attention_forward

from ftlib import models
from ftlib.models import dropout as kit
from ftlib.models.dropout import Dropout, attention, dropout, kept, mask
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.loop import fit
from ftlib.training.validation import Validation

N = 400_000


@pytest.mark.parametrize("p", [0.5, 0.1, 0.01, 1 / 3, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_share_kept_and_the_scale(p, dtype):
    torch.manual_seed(0)
    x = torch.ones(N, dtype=dtype)
    got = dropout(x, p)
    assert kept(p) == pytest.approx(1 - p, abs=0.5 / kit.LEVELS)
    share = (got != 0).double().mean().item()
    assert abs(share - kept(p)) < 5 * math.sqrt(p * (1 - p) / N)  # five standard errors
    scale = got[got != 0].double()
    assert scale.max() == scale.min() and scale[0].item() == pytest.approx(1 / kept(p), rel=torch.finfo(dtype).eps)
    assert got.dtype == dtype and got.shape == x.shape


def test_masks_are_independent_of_their_neighbours_and_of_each_other():
    """The four masks of a word, rows and columns, and two calls: every correlation within five standard errors of 0."""
    torch.manual_seed(0)
    x = torch.empty(N)
    a, b = mask(x, 0.3) - 0.7, mask(x, 0.3) - 0.7
    pairs = {f"{d} apart": (a[:-d], a[d:]) for d in (1, 2, 3, 4, 8, 64)} | {"two calls": (a, b)}
    for name, (one, other) in pairs.items():
        corr = (one * other).mean().item() / 0.21
        assert abs(corr) < 5 / math.sqrt(N), name
    by_place = mask(x, 0.3).view(-1, 4).mean(0)  # of the four masks of a word each has the same share
    assert (by_place - 0.7).abs().max() < 5 * math.sqrt(0.21 / (N / 4))


def test_every_level_is_drawn():
    torch.manual_seed(0)
    draws = torch.empty(N, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    assert draws.min() == -(2**15) and draws.max() == 2**15 - 1


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 7)])
def test_any_shape_and_the_seed_decides(shape):
    torch.manual_seed(3)
    first = dropout(torch.ones(shape), 0.5)
    torch.manual_seed(3)
    assert torch.equal(dropout(torch.ones(shape), 0.5), first) and first.shape == shape


def test_no_dropout_is_no_draw():
    x, state = torch.ones(5), torch.get_rng_state()
    layer = Dropout(0.5).eval()
    assert dropout(x, 0.0) is x and dropout(x, 0.5, training=False) is x and layer(x) is x
    assert torch.equal(torch.get_rng_state(), state)
    assert dropout(x, 1.0).tolist() == [0.0] * 5


def test_the_gradient_passes_where_the_number_was_kept():
    torch.manual_seed(0)
    x = torch.ones(50, requires_grad=True)
    y = dropout(x, 0.4)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def heads(dtype):
    """query, key, value: (B, N, T, D), and a mask in which the last tokens of a row are pads."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 8).to(dtype) for _ in range(3))
    seen = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    seen[1, ..., 3:] = False
    return q, k, v, seen


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_attention_is_transformers_eager_one_with_the_same_mask(dtype, near, monkeypatch):
    q, k, v, seen = heads(dtype)
    chosen = (torch.rand(2, 3, 5, 5) > 0.3).to(dtype)
    monkeypatch.setattr(kit, "mask", lambda x, p: chosen)
    monkeypatch.setattr(nn.functional, "dropout", lambda x, p, training: x * chosen / (1 - p))
    added = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
    module = nn.Module().train()
    got, _ = attention(module, q, k, v, seen, dropout=0.25, scaling=8**-0.5)
    want, _ = eager_attention_forward(module, q, k, v, added, scaling=8**-0.5, dropout=0.25)
    torch.testing.assert_close(got, want, rtol=near, atol=near)


def test_attention_in_the_mean_is_that_without_dropout():
    q, k, v, seen = heads(torch.float32)
    plain, _ = attention(nn.Module(), q, k, v, seen, dropout=0.0)
    many = torch.stack([attention(nn.Module(), q, k, v, seen, dropout=0.2)[0] for _ in range(3000)])
    error = many.std(0) / math.sqrt(len(many))
    assert ((many.mean(0) - plain).abs() < 5 * error + 1e-6).all()


def test_a_loaded_model_has_it_everywhere_and_evaluates_as_before():
    model = models.load("minilm")
    layers = [m for m in model.modules() if isinstance(m, nn.Dropout)]
    assert layers and all(type(m) is Dropout for m in layers)
    batch = model.tokenizer(["What a film!", "No."], padding=True, return_tensors="pt")
    with torch.no_grad():
        ours = model(batch)
        for module in model.modules():
            if hasattr(module, "config"):
                module.config._attn_implementation = "sdpa"
        torch.testing.assert_close(ours, model(batch))


def test_a_killed_run_draws_the_same_masks(tmp_path):
    from ftlib import tasks

    task = tasks.load("sentiment/tweets", seed=0, n=16)

    def go(**more):
        torch.manual_seed(0)
        model = models.load("minilm", task)
        loader = task.loader("train", tokenizer=model.tokenizer, batch_size=8, shuffle=True)
        from ftlib.strategies.full import Full

        return fit(model, loader, Full(), steps=4, lr=1e-4, precision="float32", verbose=False, **more)

    def broken(model):
        raise KeyboardInterrupt

    whole = go()[1]
    saved = Checkpoint(tmp_path / "c", every=2)
    with pytest.raises(KeyboardInterrupt):
        go(checkpoint=saved, validation=Validation(broken, every=3))
    assert [row["loss"] for row in go(checkpoint=saved)[1]] == [row["loss"] for row in whole]
