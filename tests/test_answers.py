"""A learner's answers: kept where they can be, remembered where they cannot, and never a reason to stop."""

import json
import os
import sys
from pathlib import Path

import pytest

from ftlib import classroom as teach
from ftlib.classroom import answers, widgets
from ftlib.io import places

LESSON = "01_full"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder for answers, and nothing remembered or said yet."""
    monkeypatch.setenv("FTLIB_ANSWERS", str(tmp_path / "answers"))
    monkeypatch.setattr(places, "ROOT", Path(__file__).parents[1])  # of no copy
    monkeypatch.setattr(answers, "_unsaved", {})
    monkeypatch.setattr(answers, "_said", set())
    return tmp_path / "answers"


def read_only(monkeypatch, folder):
    def refuse(file, text):
        raise PermissionError(13, "Permission denied", str(file))

    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(answers, "write_text", refuse)


def no_folder(monkeypatch, folder):
    folder.write_text("a file")


def no_home(monkeypatch, folder):
    """Nobody knows where this user's folders are: the path stays "~/…", which must not be made here."""
    monkeypatch.delenv("FTLIB_ANSWERS")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.chdir(folder.parent)


UNWRITABLE = {"a read-only folder": read_only, "no folder": no_folder}
if sys.platform == "linux":  # elsewhere the system knows the folder without a home
    UNWRITABLE["no home"] = no_home


@pytest.mark.parametrize("why", UNWRITABLE)
def test_an_answer_that_cannot_be_written_is_remembered_and_that_is_said_once(why, folder, monkeypatch):
    UNWRITABLE[why](monkeypatch, folder)
    before = sorted(folder.parent.rglob("*"))
    asked = teach.predict(LESSON, "best-arm")
    assert asked.answer is None
    first = str(asked.commit("scratch"))
    assert "Your prediction is kept" in first and "cannot be written" in first and "until this kernel stops" in first
    assert teach.predict(LESSON, "best-arm").answer == "scratch"
    assert "You predicted what happened" in str(teach.predict(LESSON, "best-arm").compare("scratch"))
    quiz = teach.quiz(LESSON, "own-rate")
    assert "cannot be written" not in str(quiz.choose(next(iter(quiz.options))))
    assert "cannot be written" not in str(asked.commit("full"))
    assert asked.answer == "full" and quiz.answer == next(iter(quiz.options))
    assert sorted(folder.parent.rglob("*")) == before  # and nothing was made elsewhere


def test_the_widget_says_it_too(folder, monkeypatch):
    read_only(monkeypatch, folder)
    asked = widgets.predict(LESSON, "best-arm")
    asked.choice.value = "full"
    asked.button.click()
    assert "Your prediction is kept" in asked.reply.value and "until this kernel stops" in asked.reply.value
    assert widgets.predict(LESSON, "best-arm").choice.value == "full"


def test_what_could_be_read_counts_beside_what_could_not_be_written(folder, monkeypatch):
    teach.predict(LESSON, "best-arm").commit("full")
    with monkeypatch.context() as patch:
        read_only(patch, folder)
        teach.quiz(LESSON, "own-rate").choose("a")
    assert (teach.predict(LESSON, "best-arm").answer, teach.quiz(LESSON, "own-rate").answer) == ("full", "a")
    teach.quiz(LESSON, "lp-ft").choose("b")  # the folder can be written again: all is saved, and nothing twice
    assert json.loads((folder / f"{LESSON}.json").read_text()) == {"best-arm": "full", "own-rate": "a", "lp-ft": "b"}


BROKEN = {"null": b"null", "a list": b'["full"]', "half a file": b'{"best-arm": "fu', "nothing": b"", "a number": b"3",
          "bytes": b"\xff\xfe\x00{", "too deep": b"[" * 100_000}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_kept_beside_and_begun_anew(kind, folder, capsys):
    folder.mkdir()
    file = folder / f"{LESSON}.json"
    file.write_bytes(BROKEN[kind])
    asked = teach.predict(LESSON, "best-arm")
    assert asked.answer is None and asked.answer is None
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"{LESSON}.json.broken" in said and "begin anew" in said
    asked.commit("full")
    assert asked.answer == "full" and json.loads(file.read_text()) == {"best-arm": "full"}
    assert (folder / f"{LESSON}.json.broken").read_bytes() == BROKEN[kind]
    file.write_bytes(b"null")  # a second one overwrites nothing
    assert asked.answer is None
    assert sorted(path.name for path in folder.iterdir()) == [f"{LESSON}.json.broken", f"{LESSON}.json.broken2"]


def test_a_broken_file_that_cannot_be_moved_is_no_reason_to_stop(folder, monkeypatch, capsys):
    folder.mkdir()
    file = folder / f"{LESSON}.json"
    file.write_text("null")

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    asked = teach.predict(LESSON, "best-arm")
    assert asked.answer is None and "until this kernel stops" in str(asked.commit("full")) and asked.answer == "full"
    assert file.read_text() == "null" and capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("kept", [None, 3, ["full"], {"a": 1}, "an option of an older edition"])
def test_a_kept_answer_that_is_no_option_is_none(kept, folder):
    folder.mkdir()
    (folder / f"{LESSON}.json").write_text(json.dumps({"best-arm": kept, "own-rate": "a"}))
    assert teach.predict(LESSON, "best-arm").answer is None and teach.quiz(LESSON, "own-rate").answer == "a"
