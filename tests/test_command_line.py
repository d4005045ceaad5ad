"""`python -m ftlib`: bad input is one sentence and an exit status, before any work."""

import os
import subprocess
import sys

import pytest

from ftlib import assets, doctor
from ftlib.__main__ import main
from ftlib.evidence import grids

ROOT_OF_ALL = "/proc/version" if os.path.exists("/proc/version") else __file__  # a file, in which no folder can be made


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    """Nothing is recorded, whatever is asked for."""

    def refuse(*args, **more):
        pytest.fail("recording began")

    monkeypatch.setattr(grids, "_run_all", refuse)


def status(words: list[str]) -> int:
    """The exit status, whichever way it is given."""
    try:
        return main(words)
    except SystemExit as stopped:
        return stopped.code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["record", "nosuch"], "there is no grid called 'nosuch': there are 00_repeat"),
        (["record", "01_full_cost", "nosuch"], "there is no grid called 'nosuch'"),
        (["record", "01_full_cost", "--most", "-1"], "--most: a whole number from 1 on is expected, not '-1'"),
        (["record", "01_full_cost", "--most", "0"], "--most: a whole number from 1 on is expected, not '0'"),
        (["record", "01_full_cost", "--most", "a"], "--most: a whole number from 1 on is expected, not 'a'"),
        (["record", "01_full_cost", "--jobs", "0"], "--jobs: a whole number from 1 on is expected, not '0'"),
        (["record", "01_full_cost", "--jobs", "1.5"], "--jobs: a whole number from 1 on is expected, not '1.5'"),
        (["assets", "nosuch"], "There is no asset 'nosuch'; the assets are: "),
        (["assets", "--pack", ROOT_OF_ALL, "nosuch"], "There is no asset 'nosuch'; the assets are: "),
        (["fresh", "01_ful"], "there is no notebook '01_ful'; did you mean '01_full'?"),
        (["nosuch"], "invalid choice: 'nosuch'"),
        ([], "required: command"),
    ],
)
def test_bad_input_is_a_sentence_and_a_status(words, said, capsys):
    assert status(words) in (1, 2)
    out, err = capsys.readouterr()
    assert said in err and "Traceback" not in err and not err.startswith("'") and out == ""


def test_nothing_is_printed_round_the_sentence():
    """As a person sees it."""
    done = subprocess.run([sys.executable, "-m", "ftlib", "record", "nosuch"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("there is no grid called 'nosuch': ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "data/results/x.jsonl"), "No space left on device: 'data/results/x"),
        (PermissionError(13, "Permission denied", "x.jsonl"), "Permission denied: 'x.jsonl'"),
        (assets.AssetError("The asset 'elpv' is not there."), "The asset 'elpv' is not there."),
        (ModuleNotFoundError("No module named 'peft'", name="peft"), "The package peft is missing: run `make setup`."),
    ],
    ids=lambda e: type(e).__name__,
)
def test_what_the_computer_lacks_is_a_sentence_for_every_command(error, said, monkeypatch, capsys):
    def fail(*args, **more):
        raise error

    for where, name in ((assets, "ensure"), (assets, "pack"), (doctor, "report"), (grids, "load_grid")):
        monkeypatch.setattr(where, name, fail)
    for words in (["assets"], ["assets", "--pack", "x"], ["doctor"], ["record"], ["record", "01_full_cost"]):
        assert main(words) in (1, 2), words
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1, words


@pytest.mark.parametrize("kind", [KeyError, ValueError])
def test_a_wrong_grid_is_a_sentence(kind, monkeypatch, capsys):
    def wrong(name):
        raise kind("the grid names no seeds: add them")

    monkeypatch.setattr(grids, "load_grid", wrong)
    assert main(["record", "01_full_cost"]) == 2 and capsys.readouterr().err == "the grid names no seeds: add them\n"


def test_a_disk_that_fills_while_recording_is_a_sentence_too(monkeypatch, capsys):
    def full(*args):
        raise OSError(28, "No space left on device", "01_full_cost.jsonl")

    monkeypatch.setattr(grids, "run_grid", full)
    assert main(["record", "01_full_cost"]) == 1
    assert "No space left on device: '01_full_cost.jsonl'" in capsys.readouterr().err


def test_a_mistake_of_our_own_keeps_its_traceback(monkeypatch):
    """Hours into a grid, "'nll'" alone would help nobody."""

    def wrong(*args):
        raise KeyError("nll")

    monkeypatch.setattr(grids, "run_grid", wrong)
    with pytest.raises(KeyError, match="nll"):
        main(["record", "01_full_cost"])


def test_an_interruption_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(grids, "run_grid", interrupted)
    assert main(["record", "01_full_cost"]) == 130
    assert capsys.readouterr().err == "Interrupted: the same command goes on from here.\n"


def test_good_numbers_reach_the_recorder(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(grids, "run_grid", lambda *words: asked.append(words) or "written")
    assert main(["record", "01_full_cost", "--most", "3", "--jobs", "2"]) == 0
    assert main(["record", "01_full_cost"]) == 0
    assert asked == [("01_full_cost", 3, 2), ("01_full_cost", None, 1)] and capsys.readouterr().out == "written\n" * 2
