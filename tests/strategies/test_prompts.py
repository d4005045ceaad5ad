"""Learned tokens: what peft's compute where they can be compared, and what reading random tokens would give."""

import pytest
import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

from ftlib import models
from ftlib.strategies.peft import LoRA
from ftlib.strategies.prompts import Prefix, Prompt
from ftlib.strategy import IGNORED, combine
from ftlib.training.loop import count_parameters, fit
from toy import changed, decoder, encoder, net, same, sentences, weights

BOTH = [Prompt(5), Prefix(5)]
P = 5


@pytest.fixture
def batch():
    return next(iter(sentences()))


def plain(model):
    """The same network, uncut: drawn from the seed that the toy's was drawn from."""
    torch.manual_seed(0)
    return model.make().eval()


def real(batch):
    return batch["attention_mask"].bool()


def test_on_a_decoder_a_prompt_is_pefts(batch):
    model = Prompt(P).prepare(decoder().eval())
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=P)
    theirs = get_peft_model(plain(model), config).eval()
    theirs.prompt_encoder["default"].embedding.weight.data = model.soft_prompt.vectors.data.clone()
    want = theirs(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, P:]
    torch.testing.assert_close(model(batch)[real(batch)], want[real(batch)], rtol=1e-4, atol=1e-5)


def test_on_a_decoder_a_prefix_is_pefts(batch):
    model = Prefix(P).prepare(decoder().eval())
    torch.nn.init.normal_(model.soft_prompt.keys), torch.nn.init.normal_(model.soft_prompt.values)
    theirs = get_peft_model(plain(model), PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=P)).eval()
    both = torch.stack([model.soft_prompt.keys, model.soft_prompt.values], 1)  # (L, 2, heads, P, D / heads)
    flat = both.flatten(0, 1).permute(2, 0, 1, 3).reshape(P, -1)  # (P, 2 L · heads · D / heads)
    theirs.prompt_encoder["default"].embedding.weight.data = flat.detach().clone()
    want = theirs(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(model(batch)[real(batch)], want[real(batch)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", BOTH, ids=lambda s: type(s).__name__)
def test_at_insertion_a_decoder_reads_the_random_tokens_before_the_text(strategy, batch):
    model = decoder().eval()
    torch.manual_seed(3)
    ids = torch.randint(24, (1, P)).expand(len(batch["labels"]), -1)
    longer = {"input_ids": torch.cat([ids, batch["input_ids"]], 1)}
    want = model(longer)[:, P:]
    torch.manual_seed(3)
    got = strategy.prepare(model)(batch)
    torch.testing.assert_close(got[real(batch)], want[real(batch)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", BOTH, ids=lambda s: type(s).__name__)
def test_an_encoder_sees_what_stands_before_its_text(strategy, batch):
    model = strategy.prepare(encoder().eval())
    model(batch).sum().backward()
    assert all(p.grad.abs().max() > 0 for p in model.soft_prompt.parameters())


@pytest.mark.parametrize("make", [encoder, decoder])
@pytest.mark.parametrize("strategy", BOTH, ids=lambda s: type(s).__name__)
class TestOnBothKindsOfText:
    def test_pads_change_nothing(self, strategy, make, batch):
        model = strategy.prepare(make().eval())
        n = int(batch["attention_mask"][0].sum())
        alone = {k: v[:1, :n] for k, v in batch.items() if k in ("input_ids", "attention_mask")}
        got, want = model.features(batch)[:1], model.features(alone)
        torch.testing.assert_close(got if make is encoder else got[:, :n], want, rtol=1e-4, atol=1e-5)

    def test_the_stages_can_be_entered_in_between(self, strategy, make, batch):
        model = strategy.prepare(make().eval())
        for k in range(4):
            torch.testing.assert_close(model.forward_from(k, model.forward_to(k, batch), batch), model(batch))

    def test_only_the_new_learns_and_a_fresh_head(self, strategy, make, batch):
        model = strategy.prepare(make())
        before = weights(model)
        labels = batch["labels"] if make is encoder else batch["input_ids"].masked_fill(~real(batch), IGNORED)
        loader = [{**batch, "labels": labels}]
        fit(model, loader, strategy, steps=3, lr=1e-2, verbose=False)
        new = {n for n in before if n.startswith("soft_prompt")}
        assert changed(before, weights(model)) == new | ({"head.weight", "head.bias"} if make is encoder else set())
        assert sum(p.numel() for p in model.soft_prompt.parameters()) == strategy.added(model)

    def test_frozen_later_it_is_still_read(self, strategy, make, batch):
        """The output of frozen stages is not kept: inside, a text is longer than its mask says."""
        model = strategy.prepare(make())
        model.soft_prompt.requires_grad_(False)
        if make is encoder:
            model, history = fit(model, [batch], combine(), steps=2, lr=0.0, verbose=False)
            assert history[0]["loss"] > 0


@pytest.mark.parametrize("strategy", BOTH, ids=lambda s: type(s).__name__)
def test_token_by_token_is_all_at_once(strategy, batch):
    from transformers import DynamicCache

    model, ids = strategy.prepare(decoder().eval()), batch["input_ids"][:1, :4]
    whole, cache = model({"input_ids": ids}), DynamicCache()
    parts = [model({"input_ids": part, "cache": cache}) for part in (ids[:, :2], ids[:, 2:3], ids[:, 3:])]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)


def test_the_counts_written_out_on_real_models():
    minilm, smol = models.load("minilm"), models.load("smollm2")
    assert Prompt(8).added(minilm) == 8 * 384 and Prefix(8).added(minilm) == 8 * 6 * 2 * 384
    assert Prompt(8).added(smol) == 8 * 576 and Prefix(8).added(smol) == 8 * 30 * 2 * 192
    for model in (minilm, smol):
        total, trained = count_parameters(model)[1], Prefix(8).added(model)
        assert count_parameters(Prefix(8).prepare(model)) == (trained, total + trained)


def test_a_finished_prompt_is_prepared_again_without_a_new_draw():
    model = Prompt(P).prepare(encoder())
    once = weights(model)
    assert same(once, weights(Prompt(P).prepare(model)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Prompt().prepare(net()),
            r"Prompt\(tokens=8\) puts learned tokens before a text, and this model reads",
        ),
        (
            lambda: Prompt(32).prepare(encoder()),
            "tokens must be 1 to 31, so that the 32 tokens that small-bert can read",
        ),
        (lambda: Prefix(0).prepare(decoder()), "tokens must be 1 to 31"),
        (lambda: Prompt(4).prepare(Prompt(5).prepare(encoder())), "holds another prompt or prefix than that of"),
        (lambda: Prefix(5).prepare(Prompt(5).prepare(encoder())), "holds another prompt or prefix than that of"),
        (lambda: combine(Prompt(), LoRA()), r"LoRA\(.*\) and Prompt\(tokens=8\) all put new weights inside a model"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()
