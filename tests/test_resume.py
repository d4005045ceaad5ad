"""Killed at any moment and started again, a run ends in the same bits. The process is really killed."""

import contextlib
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from forks import PROCESSES
from ftlib.strategies.full import Full
from ftlib.strategy import Strategy, combine
from ftlib.training import loop
from ftlib.training.checkpoint import Checkpoint
from ftlib.training.loop import fit
from ftlib.training.stream import stream
from ftlib.training.validation import Validation
from toy import EWC, Cosine, LoRA, Mixup, Noise, data, net, same, weights

KILLS = 10


def child(file: Path, slow: float, connection) -> None:
    """Train in a process of its own. With `slow`, it says at each step where it is, and waits until it may go on."""
    torch.set_num_threads(2)
    real = loop._backward

    def backward(*args):
        connection.send("step")
        if slow:
            connection.recv()  # whoever will kill it keeps step with it, however busy the computer is
            time.sleep(slow)
        return real(*args)

    loop._backward = backward
    strategy = combine(LoRA(), Mixup(0.5), Noise(), EWC(5.0), Cosine(0.1))
    model, _ = fit(net(p=0.3), data(shuffle=True), strategy, steps=80, lr=1e-2, accumulate=2, verbose=False,
                   checkpoint=Checkpoint(file, every=1))  # fmt: skip
    torch.save(model.state_dict(), f"{file}.final")


def start(file: Path, slow: float):
    """(process, our end of its connection)."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=child, args=(file, slow, theirs))
    process.start()
    theirs.close()
    return process, ours


def steps_to_the_end(file: Path) -> int:
    """How many steps it takes from here to the end."""
    (process, ours), steps = start(file, 0), 0
    with contextlib.suppress(EOFError):
        while ours.recv() == "step":
            steps += 1
    process.join()
    assert process.exitcode == 0
    return steps


def test_ten_kills_at_random_points_lose_nothing(tmp_path):
    assert steps_to_the_end(tmp_path / "whole") == 80
    draw, done = random.Random(0), 0
    for _ in range(KILLS):
        (process, ours), limit = start(tmp_path / "killed", 0.005), draw.randint(2, 9)
        for _ in range(limit):
            assert ours.recv() == "step"
            ours.send("go on")
        time.sleep(draw.random() * 0.01)  # in the forward pass, the backward pass or the write
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        done += limit
    assert steps_to_the_end(tmp_path / "killed") <= 80 - done + 2 * KILLS
    ends = [torch.load(tmp_path / f"{name}.final", weights_only=True) for name in ("whole", "killed")]
    assert same(*ends) and not list(tmp_path.glob("*.part"))


def test_a_write_that_dies_half_way_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    def run(name):
        return fit(net(p=0.3), data(shuffle=True), Mixup(), steps=9, lr=1e-2,
                   checkpoint=Checkpoint(tmp_path / name, every=3), verbose=False)[0]  # fmt: skip

    whole, save, calls = run("whole"), torch.save, []

    def dies(state, file):
        calls.append(1)
        if len(calls) == 2:
            file.write_bytes(b"half")
            raise KeyboardInterrupt
        save(state, file)

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        run("half")
    monkeypatch.setattr(torch, "save", save)
    assert torch.load(tmp_path / "half", weights_only=True)["step"] == 3
    assert same(weights(run("half")), weights(whole))


def test_resume_when_the_stream_itself_draws_at_random(tmp_path):
    @dataclass
    class Lossy(Strategy):
        """Draws between batches, as replay and task sampling do."""

        def batches(self, loaders):
            yield from (b for b in loaders["train"] if torch.rand(()) < 0.6)

    def run(name, die=None):
        seen = []

        def validate(model):
            assert len(seen) != die, "killed"
            seen.append(1)
            return {}

        strategy = combine(Lossy(), Mixup())
        return fit(net(p=0.3), data(shuffle=True), strategy, steps=14, lr=1e-2,
                   validation=Validation(validate, every=1), checkpoint=Checkpoint(tmp_path / name, every=3),
                   verbose=False)[0]  # fmt: skip

    whole = run("whole")
    with pytest.raises(AssertionError, match="killed"):
        run("cut", die=10)
    assert same(weights(run("cut")), weights(whole))


def test_what_a_strategy_has_learned_survives_a_kill(tmp_path):
    @dataclass
    class Slowing(Strategy):
        """Pulls the harder the more steps it has seen."""

        def __post_init__(self):
            self.seen = 0

        def before_step(self, model, progress):
            self.seen += 1

        def penalty(self, model, batch):
            return self.seen / 100 * model.head.weight.square().sum()

    def run(name, die=False):
        def validate(model):
            assert not die, "killed"
            return {}

        return fit(net(), data(), Slowing(), steps=9, lr=1e-2, validation=Validation(validate, every=5),
                   checkpoint=Checkpoint(tmp_path / name, every=4), verbose=False)  # fmt: skip

    whole, rows = run("whole")
    with pytest.raises(AssertionError, match="killed"):
        run("cut", die=True)
    resumed, again = run("cut")
    assert same(weights(resumed), weights(whole)) and [r["penalty"] for r in again] == [r["penalty"] for r in rows]


def test_every_pass_has_its_own_order_which_the_seed_decides():
    """The order of a pass depends on the seed and its number, not on how often the loader was used before."""

    def order(seed, used_before=0):
        rows = [{"index": i} for i in range(8)]
        loader = DataLoader(rows, batch_size=8, shuffle=True, generator=torch.Generator())
        for _ in range(used_before):
            list(loader)
        batches = stream(Strategy(), {"train": loader}, seed)
        return [next(batches)[1][0]["index"].tolist() for _ in range(3)]

    first, second, third = order(seed=0)
    assert sorted(first) == list(range(8)) and first != second != third != first
    assert order(seed=0, used_before=2) == [first, second, third] != order(seed=1)


def test_a_finished_run_is_loaded_and_not_trained_again(tmp_path):
    once, first = fit(net(), data(), Cosine(), steps=3, lr=1e-2, checkpoint=tmp_path / "c", verbose=False)
    again, second = fit(net(), data(), Cosine(), steps=3, lr=1e-2, checkpoint=tmp_path / "c", verbose=False)
    assert same(weights(once), weights(again)) and first == second


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    fit(net(), data(), Cosine(), steps=3, lr=1e-2, checkpoint=tmp_path / "c", verbose=False)
    with pytest.raises(
        ValueError, match=r"is of another run: strategy was Cosine\(warmup=0.0\) and is Cosine\(.*delete the file"
    ):
        fit(net(), data(), Cosine(0.5), steps=3, lr=1e-2, checkpoint=tmp_path / "c", verbose=False)


def test_a_resumed_run_still_knows_its_best_weights(tmp_path):
    """Killed after the best validation, it stops at the same step and goes back to the same weights."""

    def run(stop_at=None, **more):
        nll = {2: 0.9, 4: 0.5, 6: 0.7, 8: 0.6, 10: 0.1}
        steps = iter(range(2 if not more.pop("resumed", False) else 8, 20, 2))

        def validate(model):
            step = next(steps)
            if step == stop_at:
                raise KeyboardInterrupt
            return {"nll": nll[step]}

        return fit(net(), data(), Full(), steps=50, lr=1e-2, verbose=False,
                   validation=Validation(validate, every=2, patience=2), **more)  # fmt: skip

    whole, history = run()
    with pytest.raises(KeyboardInterrupt):
        run(stop_at=8, checkpoint=Checkpoint(tmp_path / "run", every=1))
    again, resumed = run(checkpoint=Checkpoint(tmp_path / "run", every=1), resumed=True)
    assert len(resumed) == len(history) == 8 and same(weights(again), weights(whole))
