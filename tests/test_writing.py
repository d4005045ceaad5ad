"""Files written in one piece: by turns and by two processes, with a full disk and without a folder."""

import os

import pytest

from ftlib.io.writing import in_one_piece, must_be_writable, write_text


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "runs.jsonl"
    made.write_text("old")
    return made


def test_the_new_file_is_whole_and_alone(file):
    write_text(file, "Größe ²")
    assert file.read_bytes().decode("utf-8") == "Größe ²" and list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(file, error):
    with pytest.raises(error), in_one_piece(file) as part:
        part.write_text("ne")
        assert file.read_text() == "old"
        raise error
    assert file.read_text() == "old" and list(file.parent.iterdir()) == [file]


def test_an_error_before_the_first_byte_is_the_error_that_is_seen(file):
    with pytest.raises(ZeroDivisionError), in_one_piece(file):
        _ = 1 / 0
    assert file.read_text() == "old"


def test_a_file_is_on_the_disk_before_it_takes_the_old_ones_place(file, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append("on the disk") or sync(number))
    monkeypatch.setattr(os, "replace", lambda *names: done.append("in its place") or replace(*names))
    write_text(file, "new")
    assert done == ["on the disk", "in its place"] and file.read_text() == "new"


def test_two_processes_that_write_one_file_do_not_meet(file, monkeypatch):
    with in_one_piece(file) as mine:
        mine.write_text("mine")
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with in_one_piece(file) as other:
            other.write_text("other")
        assert file.read_text() == "other" and mine.read_text() == "mine"
    assert file.read_text() == "mine" and list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(
        OSError, match=r"none.a.txt could not be written \(No such file or directory\): it is as it was"
    ):
        write_text(tmp_path / "none" / "a.txt", "text")


def test_a_trial_leaves_nothing_and_makes_the_folder(tmp_path):
    must_be_writable(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())


def test_a_folder_that_is_a_file_is_refused(file):
    with pytest.raises(OSError, match=r"runs.jsonl cannot be written to \(File exists\): nothing was run"):
        must_be_writable(file)
