"""A checkpoint belongs to one run: its arguments, the weights it starts from and its data."""

import os

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ftlib.strategies.full import Full
from ftlib.training.checkpoint import Checkpoint, digest_of_data, digest_of_model
from ftlib.training.loop import fit
from ftlib.training.validation import Validation
from toy import data, net, same, weights


def train(file, model=None, loaders=None, **more):
    more = {"steps": 4, "lr": 1e-2, "verbose": False, **more}
    return fit(model or net(), loaders or data(), Full(), checkpoint=Checkpoint(file, every=1), **more)


def test_other_data_is_another_run(tmp_path):
    train(tmp_path / "c")
    with pytest.raises(ValueError, match="is of another run: the data was .* and is .*delete the file or name another"):
        train(tmp_path / "c", loaders=data(seed=5))


def test_another_start_is_another_run(tmp_path):
    train(tmp_path / "c")
    with pytest.raises(ValueError, match="is of another run: the model's start was .* and is"):
        train(tmp_path / "c", model=net(5))


def test_other_arguments_are_named(tmp_path):
    train(tmp_path / "c")
    with pytest.raises(ValueError, match=r"another run: steps was 4 and is 5; lr was 0.01 and is 0.02\. To go on"):
        train(tmp_path / "c", steps=5, lr=2e-2)


def test_a_cell_that_is_run_again_goes_on(tmp_path):
    """The model in a notebook's memory has moved on from its start: interrupted or done, it is the same run."""

    def stop(model):
        raise KeyboardInterrupt

    whole, _ = train(tmp_path / "whole")
    model = net()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "c", model=model, validation=Validation(stop, every=3))
    model, rows = train(tmp_path / "c", model=model)
    assert len(rows) == 4 and same(weights(model), weights(whole))
    again, rows = train(tmp_path / "c", model=model)
    assert len(rows) == 4 and same(weights(again), weights(whole))


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.int64(3), np.array(0.5), torch.tensor(0.5)])
def test_numbers_of_numpy_are_written_as_plain_ones(tmp_path, value):
    _, rows = train(tmp_path / "c", validation=Validation(lambda model: {"score": value}, every=2))
    assert type(rows[-1]["validation"]["score"]) in (int, float)
    assert train(tmp_path / "c")[1] == rows


def test_its_folder_is_made(tmp_path):
    train(tmp_path / "new" / "folder" / "c")
    assert (tmp_path / "new" / "folder" / "c").exists()


def no_training(monkeypatch):
    from ftlib.training import loop as module

    monkeypatch.setattr(module, "_backward", lambda *_: pytest.fail("a step was trained"))


def test_a_place_where_none_can_be_written_is_refused_before_the_first_step(tmp_path, monkeypatch):
    no_training(monkeypatch)
    with pytest.raises(ValueError, match="checkpoint must name a file, but .* is a folder: add a name"):
        train(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="the folder of the checkpoint .* cannot be made"):
        train(tmp_path / "file" / "c")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="is read-only: name another folder"):
        train(tmp_path / "c")


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x05garbage", "torch", "old"])
def test_a_broken_or_foreign_file_is_named(tmp_path, content):
    file = tmp_path / "c"
    if content == "torch":
        torch.save({"weights": torch.zeros(3)}, file)
    elif content == "old":
        torch.save({"key": "(Full(), 4)", "step": 1}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{file} is no checkpoint of fit, .*delete it or name another file") as caught:
        train(file)
    assert "pickle" not in str(caught.value) and caught.value.__suppress_context__


def test_a_half_written_checkpoint_is_taken_away(tmp_path, monkeypatch):
    def full_disk(state, file):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path / "c")
    assert not list(tmp_path.iterdir())


# ---- digests
def test_what_a_killed_run_left_of_a_write_goes_when_it_is_started_again(tmp_path):
    left, others = tmp_path / "run[1].pt.4000000.part", tmp_path / "run1.pt.4000000.part"
    for file in (left, others):
        file.write_bytes(b"half")
    fit(net(), data(), Full(), steps=1, lr=1e-2, checkpoint=tmp_path / "run[1].pt", verbose=False)
    assert not left.exists() and others.exists()


def test_a_digest_sees_every_tensor_and_every_row():
    model, before = net(), digest_of_model(net())
    assert digest_of_model(model) == before
    for name in model.state_dict():
        changed = net()
        changed.state_dict()[name].view(-1)[-1] += 1
        assert digest_of_model(changed) != before, name
    rows = [{"x": torch.full((2,), float(i)), "labels": i} for i in range(5)]
    whole = digest_of_data({"train": DataLoader(rows)})
    assert whole == digest_of_data({"train": DataLoader([dict(row) for row in rows])})
    for i in range(5):
        other = [{**row, "labels": 9} if k == i else row for k, row in enumerate(rows)]
        assert digest_of_data({"train": DataLoader(other)}) != whole
    assert digest_of_data({"target": DataLoader(rows)}) != whole


def test_a_task_is_digested_by_its_columns():
    from ftlib import tasks

    def of(n, seed=0):
        return digest_of_data({"train": tasks.load("digits/optical", seed=seed, n=n).loader("train", shuffle=True)})

    assert of(20) == of(20) != of(21) and of(20, seed=1) != of(20)


def test_the_digest_reads_nothing_twice_and_draws_nothing(tmp_path):
    """With a checkpoint the run is the same as without, and the test split's counter stands still."""
    loader = data(shuffle=True)
    plain = fit(net(p=0.3), loader, Full(), steps=5, lr=1e-2, verbose=False)[0]
    kept = fit(net(p=0.3), loader, Full(), steps=5, lr=1e-2, verbose=False, checkpoint=tmp_path / "c")[0]
    assert same(weights(plain), weights(kept))
