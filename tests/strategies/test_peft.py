"""New weights in a frozen network: what peft's LoRA computes, what stands still, and how many parameters it is.

The bottleneck adapters are held to their formulas, written out here (Houlsby et al. 2019; Pfeiffer et al. 2021). The
library `adapters` has both, but pins another version of transformers, so it cannot be installed beside the kit.
"""

import copy
import math

import pytest
import torch
from torch import nn

from ftlib import models, tasks
from ftlib.models.adapters import merge
from ftlib.strategies.peft import IA3, Adapter, LoRA, adapter_layers
from ftlib.strategy import combine
from ftlib.training.loop import count_parameters, fit
from ftlib.training.setup import make_optimizer
from toy import changed, data, decoder, encoder, net, same, sentences, weights

ALL = [LoRA(), LoRA(variant="dora"), IA3(), Adapter()]
TEXT = [LoRA(variant="pissa", targets=["key"]), LoRA(variant="pissa", targets=["k_proj"]), Adapter(placement="houlsby")]
QUIET = {"steps": 12, "lr": 1e-2, "verbose": False}


# ---- LoRA by hand
class HandLoRA(nn.Module):
    """A linear layer that stands still, and a low-rank update that learns: W x + alpha / r · B A x."""

    def __init__(self, base, r, alpha):
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / r
        self.A = nn.Parameter(torch.empty(r, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, r))  # so that nothing changes at first
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)


def replace_linear(module, r, alpha):
    """Every linear layer inside the module, at any depth, becomes a HandLoRA."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, HandLoRA(child, r, alpha))
        else:
            replace_linear(child, r, alpha)


def test_twenty_steps_of_lora_by_hand_equal_those_of_peft():
    by_peft = LoRA(r=4, alpha=16).prepare(encoder()).eval()
    by_hand = encoder().eval()
    by_hand.stages.requires_grad_(False)
    replace_linear(by_hand.stages, 4, 16)
    theirs, ours = adapter_layers(by_peft), {n: m for n, m in by_hand.named_modules() if isinstance(m, HandLoRA)}
    assert theirs.keys() == ours.keys() and len(ours) == 12
    with torch.no_grad():
        for name, layer in theirs.items():
            ours[name].A.copy_(layer.lora_A["default"].weight)
        by_hand.head.load_state_dict(by_peft.head.state_dict())
    batches = list(sentences()) * 5
    for model in (by_peft, by_hand):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        for batch in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch), batch["labels"]).backward()
            optimizer.step()
    assert len(batches) == 20
    for name, layer in theirs.items():
        torch.testing.assert_close(ours[name].A, layer.lora_A["default"].weight, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours[name].B, layer.lora_B["default"].weight, rtol=1e-4, atol=1e-5)
        assert layer.lora_B["default"].weight.abs().max() > 0.01  # it has learned
    torch.testing.assert_close(by_hand(batches[0]), by_peft(batches[0]), rtol=1e-4, atol=1e-4)


# ---- the update
def trained(strategy, model=None, loader=None, **more):
    return fit(model or net(p=0.2), loader or data(), strategy, **{**QUIET, **more})[0]


@pytest.mark.parametrize("variant", ["plain", "rslora", "pissa"])
def test_the_update_is_scale_times_b_a_and_of_rank_r(variant):
    """PiSSA's too: what it changes of W is s · (B A - B₀ A₀), so of rank 2 r at most."""
    torch.manual_seed(0)
    model, r, alpha = net(p=0.2), 3, 12
    before = {name: module.weight.clone() for name, module in model.stages.named_modules() if hasattr(module, "weight")}
    model = trained(LoRA(r=r, alpha=alpha, variant=variant), model)
    scale = alpha / math.sqrt(r) if variant == "rslora" else alpha / r
    for name, layer in adapter_layers(model).items():
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        assert layer.scaling["default"] == scale
        delta = layer.get_base_layer().weight + scale * b @ a - before[name.removeprefix("stages.")]
        rank = torch.linalg.matrix_rank(delta, atol=1e-4)
        assert 0 < rank <= (2 * r if variant == "pissa" else r)


def test_pissa_begins_with_the_largest_singular_directions():
    w = net().stages[1][0].weight
    layer = adapter_layers(LoRA(r=3, alpha=6, variant="pissa").prepare(net()))["stages.1.0"]
    left, sizes, right = torch.linalg.svd(w)
    top = left[:, :3] * sizes[:3] @ right[:3]
    torch.testing.assert_close(2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight, top)
    torch.testing.assert_close(layer.get_base_layer().weight + top, w)


def test_dora_is_magnitude_times_direction():
    model = trained(LoRA(r=3, alpha=6, variant="dora")).eval()
    layer = adapter_layers(model)["stages.1.0"]
    base, m = layer.get_base_layer(), layer.lora_magnitude_vector["default"].weight
    w = base.weight + 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    x = torch.randn(5, 16)
    torch.testing.assert_close(layer(x), x @ (m[:, None] * w / w.norm(dim=1, keepdim=True)).T + base.bias)


def test_lora_plus_lets_b_learn_faster_than_a():
    model = LoRA(r=4, ratio=16).prepare(net())
    optimizer, peaks = make_optimizer(model, LoRA(r=4, ratio=16), 1e-3, 0.01)
    rate = {id(p): peak for group, peak in zip(optimizer.param_groups, peaks) for p in group["params"]}
    assert {rate[id(p)] for n, p in model.named_parameters() if ".lora_B." in n} == {16e-3}
    assert {rate[id(p)] for n, p in model.named_parameters() if ".lora_B." not in n} == {1e-3}
    assert same(weights(trained(LoRA(r=4))), weights(trained(LoRA(r=4, ratio=1))))


def test_ia3_scales_keys_values_and_the_inside_of_the_feed_forward_part():
    model = IA3().prepare(encoder()).eval()
    layer, x = model.stages[1], torch.randn(2, 5, 16)
    own, held = layer.attention.self, {n for n in adapter_layers(model) if n.startswith("stages.1.")}
    assert held == {f"stages.1.{n}" for n in ("attention.self.key", "attention.self.value", "output.dense")}
    for site in (own.key, own.value, layer.output.dense):
        nn.init.normal_(site.ia3_l["default"])
    for site in (own.key, own.value):
        torch.testing.assert_close(site(x), site.base_layer(x) * site.ia3_l["default"][:, 0])
    inside = torch.randn(2, 5, 24)
    site = layer.output.dense
    torch.testing.assert_close(site(inside), site.base_layer(inside * site.ia3_l["default"][0]))


# ---- what stands still
@pytest.mark.parametrize("strategy", [LoRA(r=4, dropout=0.1), IA3(), Adapter()], ids=lambda s: type(s).__name__)
def test_the_base_stands_still_to_the_last_bit_and_the_head_learns(strategy):
    model = strategy.prepare(net(p=0.2))  # its BatchNorm would move in train mode
    before = weights(model)
    moved = changed(before, weights(trained(strategy, model)))
    assert {n for n in moved if not any(x in n for x in ("lora_", "ia3_", "down", "up"))} == {
        "head.weight",
        "head.bias",
    }
    base = [n for n in before if n not in moved]
    assert any("running_mean" in n for n in base) and any(
        "base_layer.weight" in n for n in base + ["base_layer.weight"]
    )


def test_a_language_models_own_head_stands_still_and_a_fresh_one_learns():
    for strategy in (LoRA(r=4), IA3(), Adapter(), Adapter(placement="houlsby")):
        model = strategy.prepare(decoder())
        assert model.tied and not any(p.requires_grad for p in model.head.parameters())
        assert all(p.requires_grad for p in strategy.prepare(encoder()).head.parameters())


def test_a_second_phase_goes_on_with_what_was_learned():
    model = trained(LoRA(r=4))
    learned = weights(model)
    assert all(p.requires_grad for p in model.parameters())  # what the first phase froze, only it froze
    model = trained(LoRA(r=4), model, steps=0)
    assert same(learned, weights(model))
    model = LoRA(r=4).prepare(model.requires_grad_(True))
    learns = {n.split(".")[-3] for n, p in model.named_parameters() if p.requires_grad and "head" not in n}
    assert learns == {"lora_A", "lora_B"}


# ---- adapters by hand
def test_a_bottleneck_of_houlsby_stands_before_each_residual_sum():
    model = Adapter(width=4, placement="houlsby").prepare(encoder()).eval()
    layer, x = awake(model).stages[1], torch.randn(2, 5, 16)
    attended, own = layer.attention, layer.output

    def adapted(h, site):
        return h + site.up(torch.relu(site.down(h)))

    h = attended.output.dense(attended.self(x)[0])
    h = attended.output.LayerNorm(adapted(h, attended.output.dropout) + x)
    y = own.dense(layer.intermediate(h))
    torch.testing.assert_close(layer(x), own.LayerNorm(adapted(y, own.dropout) + h))


def test_a_bottleneck_of_pfeiffer_reads_and_repeats_the_last_normalisation():
    model = Adapter(width=4).prepare(encoder()).eval()
    layer, x = awake(model).stages[1], torch.randn(2, 5, 16)
    h, site = layer.attention(x)[0], layer.output.LayerNorm
    z = layer.output.dense(layer.intermediate(h)) + h
    n = site.base(z)
    torch.testing.assert_close(layer(x), site.base(z + site.up(torch.relu(site.down(n)))))


def test_a_bottleneck_of_a_decoder_follows_its_layer_and_stays_before_the_last_norm():
    plain, model = decoder().eval(), awake(Adapter(width=4).prepare(decoder()).eval())
    batch = next(iter(sentences()))
    h = plain.forward_to(1, batch)
    for k in (1, 2):
        layer = plain.stages[k] if k == 1 else plain.stages[k].layer
        site = model.stages[k] if k == 1 else model.stages[k].layer
        h = layer(h, **plain.extra_at(k, plain.extra(batch)))
        h = h + site.up(torch.relu(site.down(h)))
    torch.testing.assert_close(model(batch), plain.head(plain.stages[2].norm(h)))


def awake(model):
    """Up-projections that are not zero any more."""
    torch.manual_seed(1)
    for name, p in model.named_parameters():
        if ".up." in name:
            nn.init.normal_(p)
    return model


# ---- the three models
@pytest.fixture(scope="module")
def real():
    """A function: a copy of one of the three models, with its task's head, and a batch."""
    torch.manual_seed(0)
    picture = {"pixels": torch.rand(2, 3, 64, 64)}
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    text = {"input_ids": torch.randint(3, 1000, (2, 7)) * mask, "attention_mask": mask}
    loaded = {
        "efficientnet-lite0": (models.load("efficientnet-lite0", tasks.load("digits/optical", n=20, size=32)), picture),
        "minilm": (models.load("minilm", tasks.load("sentiment/tweets", n=20)), text),
        "smollm2": (models.load("smollm2"), text),
    }
    return lambda name: copy.deepcopy(loaded[name])


@pytest.mark.parametrize("name", list(models.KNOWN))
def test_the_three_models_answer_as_before_and_hold_as_many_parameters_as_the_formula_says(name, real):
    base, batch = real(name)
    before, total = base(batch), count_parameters(base)[1]
    head = 0 if name == "smollm2" else count_parameters(base.head)[1]
    more = {"efficientnet-lite0": [], "minilm": [TEXT[0], TEXT[2]], "smollm2": TEXT[1:]}[name]  # an SVD takes its time
    for strategy in ALL + more:
        model = copy.deepcopy(base)
        added = strategy.added(model)
        model = strategy.prepare(model).eval()
        assert count_parameters(model) == (added + head, total + added), strategy
        exact = getattr(strategy, "variant", "") not in ("dora", "pissa")
        assert (
            torch.equal(model(batch), before) if exact else torch.allclose(model(batch), before, rtol=1e-3, atol=1e-3)
        )


def test_the_counts_written_out():
    """MiniLM: 6 layers of D = 384 and 1,536; SmolLM2: 30 layers of D = 576, keys of 192, 1,536."""
    minilm, smol = models.load("minilm"), models.load("smollm2")
    assert LoRA(r=8, targets="attention").added(minilm) == 6 * 4 * 8 * (384 + 384)
    assert LoRA(r=8, targets="mlp").added(minilm) == 6 * 2 * 8 * (384 + 1536)
    assert LoRA(r=8, targets=["query", "value"]).added(minilm) == 6 * 2 * 8 * 768
    assert LoRA(r=8).added(smol) == 30 * 8 * (2 * (576 + 576) + 2 * (576 + 192) + 3 * (576 + 1536))
    assert IA3().added(minilm) == 6 * (384 + 384 + 1536) and IA3().added(smol) == 30 * (192 + 192 + 1536)
    assert Adapter(16).added(minilm) == 6 * (2 * 384 * 16 + 384 + 16)
    assert Adapter(16, "houlsby").added(smol) == 2 * 30 * (2 * 576 * 16 + 576 + 16)


# ---- bad input
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LoRA(variant="lora+"), "variant must be one of plain, rslora, dora, pissa, but it is 'lora\\+'"),
        (lambda: LoRA(r=0), "LoRA needs r >= 1"),
        (lambda: LoRA(r=8).prepare(net()), "rank 8 is above the smaller side of stages.0.0, 6: choose a smaller r"),
        (lambda: LoRA(targets=["qkv"]).prepare(encoder()), "'qkv' matches no layer: .*names: query, key, value, dense"),
        (lambda: LoRA(targets="attention").prepare(net()), "the target 'attention' matches no layer"),
        (lambda: LoRA(r=4).prepare(LoRA(r=2).prepare(net())), r"holds an adapter already, .* another one than that of"),
        (lambda: IA3().prepare(LoRA(r=2).prepare(net())), r"holds an adapter already, .* another one than that of IA3"),
        (lambda: LoRA(r=2).prepare(merge(LoRA(r=2).prepare(net()))), r"merged into the weights, .*: unmerge\(model\)"),
        (lambda: Adapter(placement="parallel"), "placement must be 'pfeiffer' or 'houlsby', but it is 'parallel'"),
        (lambda: Adapter(width=0), "width counts the features of the bottleneck: it must be 1 or more, not 0"),
        (lambda: Adapter(placement="houlsby").prepare(net()), "houlsby needs layers of attention and feed-forward"),
        (lambda: Adapter(8).prepare(Adapter(4).prepare(net())), "holds other adapters than those of Adapter"),
        (lambda: combine(LoRA(), IA3()), r"IA3\(\) and LoRA\(.*\) all put new weights inside a model"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_convolutions_that_take_no_low_rank_update_say_so():
    model = models.load("efficientnet-lite0", tasks.load("digits/optical", n=20, size=32))
    with pytest.raises(ValueError, match="'conv_dw' is a depthwise or larger convolution, which takes no low-rank"):
        LoRA(targets=["conv_dw"]).prepare(model)
    with pytest.raises(ValueError, match="pissa starts from linear layers only, .* is a convolution"):
        LoRA(variant="pissa").prepare(model)
    with pytest.raises(ValueError, match="conv_pw, conv_pwl, conv_head"):
        LoRA(targets="conv").prepare(model)
