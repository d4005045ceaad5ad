"""The loop: averages, accumulation, errors, validation that changes nothing, two processes that equal one."""

import os
import socket
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed as accelerate_set_seed
from torch import nn
from torch.utils.data import DataLoader

from ftlib import strategies
from ftlib.strategy import Strategy, combine, parts_of
from ftlib.training.loop import evaluate, fit, predict_logits
from ftlib.training.stream import rng_state, set_seed
from ftlib.training.validation import Validation
from toy import AGEM, DANN, EWC, Cosine, Decay, LoRA, Mixup, MultiTask, PCGrad, changed, data, net, same, weights


def train(model, loaders, strategy=None, steps=3, lr=1e-2, **more):
    return fit(model, loaders, strategy or Strategy(), steps=steps, lr=lr, verbose=False, **more)


def close(a, b):
    """Float64 on both sides: float32 differs in the last digit, and AdamW enlarges that where a gradient is near 0."""
    torch.testing.assert_close(weights(a), weights(b), rtol=1e-9, atol=1e-12)


def test_full_fine_tuning_learns_and_changes_everything():
    model = net().eval()  # as a loaded model comes
    before = weights(model)
    model, rows = train(model, data(), steps=60)
    assert changed(before, weights(model)) == set(before)
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"] and evaluate(model, data())["accuracy"] > 0.8


def test_gradients_are_zeroed_each_step():
    """Nothing is left over for the next step; test_fit_equals_the_loop_written_out sees that each one starts from 0."""
    seen = []

    def validate(model):  # after the step, before `fit` puts back what it found
        seen.extend(p.grad for p in model.parameters())
        return {}

    train(net(), data(n=16, bs=16), steps=2, validation=Validation(validate, every=1))
    assert len(seen) == 2 * 8 and all(g is None for g in seen)


def test_one_batch_equals_its_ragged_pieces():
    one, _ = train(net(bn=False).double(), data(n=50, bs=50, dtype=torch.double))
    pieces, _ = train(net(bn=False).double(), data(n=50, bs=16, dtype=torch.double), accumulate=4)  # 16, 16, 16, 2
    close(one, pieces)

    class MeanOfMeans(Strategy):
        def loss(self, model, batch):
            return {"loss": F.cross_entropy(model(batch), batch["labels"]) * 50 / 4}

    wrong, _ = train(net(bn=False).double(), data(n=50, bs=16, dtype=torch.double), MeanOfMeans(), accumulate=4)
    assert max((weights(one)[k] - weights(wrong)[k]).abs().max() for k in weights(one)) > 1e-4


def test_tokens_are_counted_and_not_rows():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.Embedding(7, 8), nn.Linear(8, 7)

        def forward(self, batch):
            return self.out(self.embed(batch["input_ids"]))  # (B, T, V)

    x = torch.randint(0, 7, (12, 5), generator=torch.Generator().manual_seed(0))
    y = x.clone()
    y[:8, 1:] = -100
    rows = [{"input_ids": a, "labels": b} for a, b in zip(x, y, strict=True)]

    def run(batch_size, accumulate):
        torch.manual_seed(0)
        return train(Tokens().double(), DataLoader(rows, batch_size=batch_size), accumulate=accumulate)

    (a, h), (b, j) = run(12, 1), run(4, 3)
    close(a, b)
    torch.manual_seed(0)
    a_token = F.cross_entropy(Tokens().double()({"input_ids": x}).flatten(0, 1), y.flatten())  # PyTorch's mean
    assert [h[0]["loss"], j[0]["loss"]] == pytest.approx([a_token.item()] * 2, rel=1e-5)  # fit sums in float32


def test_the_penalty_is_averaged_over_the_window():
    (one, h), (two, j) = (
        train(net(bn=False).double(), data(n=50, bs=bs, dtype=torch.double), Decay(), accumulate=k)
        for bs, k in ((50, 1), (16, 4))
    )
    close(one, two)
    assert h[0]["penalty"] == pytest.approx(j[0]["penalty"])


def test_an_owner_of_the_gradient_that_adds_equals_one_backward_pass():
    @dataclass
    class Add(Strategy):
        def gradient(self, grads, losses):
            assert losses.keys() == grads.keys()
            return {k: sum(g[k] for g in grads.values()) for k in next(iter(grads.values()))}

    two = {"a": data(dtype=torch.double), "b": data(n=40, seed=3, bs=10, dtype=torch.double)}
    plain, added = (
        train(net(bn=False).double(), two, combine(MultiTask(), Decay(), *more), accumulate=2)[0]
        for more in ([], [Add()])
    )
    close(plain, added)


def test_the_layout_of_a_gradient_in_memory_changes_nothing():
    """Of depthwise convolutions autograd.grad gives another than backward, and fused AdamW reads what lies there."""

    class Transposed(Strategy):
        def gradient(self, grads, losses):
            return {name: g.mT.contiguous().mT if g.ndim > 1 else g for name, g in grads["loss"].items()}

    one, other = (train(net(), data(), strategy)[0] for strategy in (Strategy(), Transposed()))
    assert same(weights(one), weights(other))


def test_gradient_surgery_as_in_the_papers():
    two = {"a": data(), "b": data(seed=3)}
    _, rows = train(net(), two, combine(PCGrad(), MultiTask()), steps=60)
    assert all(rows[-1]["terms"][task] < 0.6 * rows[0]["terms"][task] for task in "ab")
    g = {"a": {"w": torch.tensor([1.0, 0.0])}, "b": {"w": torch.tensor([-1.0, 1.0])}}
    torch.testing.assert_close(PCGrad().gradient(g, {})["w"], torch.tensor([0.5, 1.5]))  # [.5, .5] + [0, 1], by hand
    past = {"loss": g["a"], "memory": g["b"]}
    torch.testing.assert_close(AGEM().gradient(past, {})["w"], torch.tensor([0.5, 0.5]))


def test_state_goes_on_to_the_next_phase():
    def phase(name, strategy):
        return train(model, data(seed=name), strategy, steps=30)

    model, memory = net(bn=False), AGEM()
    _, first = phase(0, memory)
    _, second = phase(1, memory)
    assert first[0]["terms"].keys() == {"loss"} and second[0]["terms"].keys() == {"loss", "memory"}


def test_the_fisher_information_is_a_mean_of_squares_and_not_the_square_of_a_mean():
    model, small, large = net().eval(), EWC(), EWC()
    small.finish(model, {"train": data(bs=16)})
    large.finish(model, {"train": data(bs=64)})
    torch.testing.assert_close(small.anchors, large.anchors)  # the batch size does not matter


def test_the_domain_gradient_is_reversed_and_no_target_label_is_read():
    loaders = {"source": data(), "target": data(seed=5, shift=1.0, labels=False)}
    strategy = DANN()
    model = strategy.prepare(net(bn=False))
    batch = next(iter(strategy.batches(loaders)))

    def grads(lam):
        strategy.lam = lam
        return torch.autograd.grad(strategy.penalty(model, batch), [model.stages[0][0].weight, model.domain.weight])

    (f1, d1), (f2, d2) = grads(1.0), grads(-1.0)
    torch.testing.assert_close(f1, -f2)
    torch.testing.assert_close(d1, d2)
    _, rows = train(net(bn=False), loaders, DANN(), steps=40)
    assert rows[-1]["loss"] < rows[0]["loss"] and rows[0]["penalty"] > 0


def test_the_rate_is_peak_times_scale_at_the_middle_of_each_step():
    _, rows = train(net(), data(), Cosine(warmup=0.25), steps=20)
    rates = [row["lr"] for row in rows]
    assert rates == [1e-2 * Cosine(0.25).lr_scale((i + 0.5) / 20) for i in range(20)]
    assert min(rates) > 0 and rates.index(max(rates)) == 5


def test_a_parameter_group_keeps_its_own_rate_and_decay():
    seen = []

    class Spy(strategies.LayerRates):
        def finish(self, model, loaders):
            seen.extend(self.groups([{"params": list(model.named_parameters()), "lr": 1.0, "weight_decay": 0.1}]))

    train(net(), data(), Spy(decay=0.5), steps=1)
    assert [(g["lr"], g["weight_decay"]) for g in seen] == [(0.25, 0.1), (0.5, 0.1), (1.0, 0.1)]
    assert [name for name, _ in seen[-1]["params"]] == ["head.weight", "head.bias"]


def test_groups_that_lose_a_parameter_are_an_error():
    class Bad(Strategy):
        def groups(self, groups):
            return [{**groups[0], "params": groups[0]["params"][:-1]}]

    with pytest.raises(ValueError, match=r"lost \['head.bias'\]: every parameter must stay in one group"):
        train(net(), data(), Bad(), steps=1)


def test_a_loss_that_is_not_finite_names_the_step_and_the_examples():
    rows = [dict(row) for row in data().dataset]
    rows[37]["x"] = rows[37]["x"] * float("nan")
    with pytest.raises(
        FloatingPointError, match=r"step 2: the loss is nan on the examples \[32, 33, .*, 47\]: try a tenth"
    ) as caught:
        train(net(), DataLoader(rows, batch_size=16), steps=9)
    assert [row["step"] for row in caught.value.history] == [0, 1]  # what came before is not lost


def test_a_batch_that_does_not_fit_in_memory_says_what_to_do():
    class Huge(Strategy):
        def loss(self, model, batch):
            return {"loss": torch.ones(2**46).sum()}  # 256 TiB: the real allocator refuses

    with pytest.raises(MemoryError, match="a batch of 16 examples does not fit in memory: use batch_size=8 and twice"):
        train(net(), data(), Huge(), steps=1)


def test_an_empty_split_and_wrong_arguments_are_one_sentence():
    with pytest.raises(ValueError, match="gave no batch to .*: is the training split empty"):
        train(net(), DataLoader([], batch_size=4), steps=1)
    with pytest.raises(ValueError, match="the loader gave no batch, so its split is empty"):
        predict_logits(net(), DataLoader([], batch_size=4))
    with pytest.raises(ValueError, match="accumulate must be a whole number of at least 1, not 0"):
        train(net(), data(), accumulate=0)
    with pytest.raises(ValueError, match="precision must be one of auto, float32, bfloat16, but it is 'half'"):
        train(net(), data(), precision="half")
    with pytest.raises(KeyError, match="source"):
        train(net(), data(), DANN(), steps=1)


def test_validation_does_not_move_training_and_stop_stops():
    plain, watched = (
        train(net(p=0.5), data(shuffle=True), Mixup(), steps=12, validation=v)[0]
        for v in (None, Validation(lambda m: evaluate(m, data(shuffle=True)), every=3))
    )
    assert same(weights(plain), weights(watched))
    ten = Validation(lambda m: {"a": 0.5}, every=5, stop=lambda h: len(h) >= 10)
    _, rows = train(net(), data(), steps=50, validation=ten)
    assert len(rows) == 10 and rows[-1]["validation"] == {"a": 0.5}


def test_early_stopping_stops_and_goes_back_to_the_best_weights():
    nll, seen = iter([0.9, 0.5, 0.7, 0.6, 0.1]), []

    def validate(model):
        seen.append(weights(model))
        return {"nll": next(nll)}

    model, history = train(net(), data(), steps=50, validation=Validation(validate, every=2, patience=2))
    assert len(history) == 8 and len(seen) == 4  # 0.5 at step 4, and two validations without a lower one
    assert same(weights(model), seen[1]) and not same(weights(model), seen[3])


def test_evaluating_switches_dropout_off_and_learns_nothing():
    model = net(p=0.5).train()
    before = weights(model)
    one, two = (predict_logits(model.train(), data())["logits"] for _ in range(2))
    assert torch.equal(one, two) and torch.equal(one, torch.cat([model.eval()(batch) for batch in data()]))
    assert same(before, weights(model))  # BatchNorm's statistics, too


def test_the_seed_decides_and_not_what_was_drawn_before():
    """A head that prepare() draws is the same in every arm that has the seed."""
    loaders, ends = {"a": data(), "b": data(seed=3)}, []
    for drawn_before in (1, 2):
        model = net(p=0.5)
        torch.manual_seed(drawn_before)
        ends.append(weights(train(model, loaders, MultiTask())[0]))
    assert same(*ends)


def test_each_step_reports_its_time_in_parts_and_its_memory():
    _, rows = train(net(), data(), steps=2)
    assert rows[1]["seconds"].keys() == {"data", "forward", "backward", "optimizer"}
    assert rows[1]["memory"] > 1e6 and rows[1]["grad_norm"] > 0


def test_what_was_resolved_is_printed(capsys):
    fit(net(), data(), LoRA(), steps=1, lr=1e-2)
    assert (
        "LoRA(r=2, alpha=4.0): cpu, float32, 159 of 575 parameters trained, steps 1 to 1, peak rate 0.01"
        in capsys.readouterr().out
    )


def _worker(rank, world, port, path, surgery):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true", "GLOO_SOCKET_IFNAME": "lo"}  # fmt: skip
    torch.set_num_threads(1)
    model, rows = train(*_two_process_case(surgery), steps=4, accumulate=1)
    assert Accelerator().num_processes == world
    torch.save(
        (weights(model), [{k: v for k, v in r.items() if k not in ("seconds", "memory")} for r in rows]),
        f"{path}.{rank}",
    )
    torch.distributed.destroy_process_group()


def _two_process_case(surgery):
    a, b = data(n=50, bs=16, dtype=torch.double), data(n=36, bs=9, seed=3, dtype=torch.double)
    model = net(bn=False).double()
    return (model, {"a": a, "b": b}, combine(MultiTask(), PCGrad())) if surgery else (model, a, Strategy())


@pytest.mark.parametrize("surgery", [False, True])
def test_two_processes_equal_one_with_twice_the_accumulation(tmp_path, surgery):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(_worker, (2, port, str(tmp_path / "r"), surgery), nprocs=2)
    (w0, h0), (w1, h1) = (torch.load(tmp_path / f"r.{i}", weights_only=True) for i in (0, 1))
    model, h = train(*_two_process_case(surgery), steps=4, accumulate=2)
    assert same(w0, w1) and h0 == h1
    torch.testing.assert_close(w0, weights(model), rtol=1e-9, atol=1e-12)
    assert [r["loss"] for r in h] == pytest.approx([r["loss"] for r in h0])


def test_parts_of_a_combination_keep_their_state_when_saved_and_loaded():
    whole = combine(EWC(), AGEM())
    train(net(bn=False), data(), whole, steps=2)
    fresh = combine(AGEM(), EWC())
    fresh.load_state_dict(whole.state_dict())
    assert [len(p.anchors) for p in parts_of(fresh) if isinstance(p, EWC)] == [1]


def test_float32_on_a_gpu_is_not_rounded_to_tf32_and_a_seed_repeats_a_run():
    # ftlib.training.machine sets this where it is imported
    assert not torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.deterministic


def test_a_seed_does_what_accelerates_does():
    states = []
    for seed in (accelerate_set_seed, set_seed):
        seed(3)
        states.append(rng_state())
    assert str(states[0][:2]) == str(states[1][:2]) and torch.equal(states[0][2], states[1][2])
