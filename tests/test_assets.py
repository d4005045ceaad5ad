"""Assets arrive whole or not at all, whatever goes wrong, and every fault is told in one sentence.

The faults are met with a small wheel made here. The real assets are those that `python -m ftlib assets` left.
"""

import dataclasses
import errno
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftlib import assets, doctor
from ftlib.__main__ import main

CHILD = """
import json, sys
from ftlib import assets
assets.ASSETS["tiny"] = assets.Asset(**json.loads(sys.argv[1]))
assets.ensure(["tiny"])
"""
# It stops for good at its 200th file, so that whoever kills it comes in time, however busy the computer is.
STUCK = """
import pathlib, sys, time
def hook(event, about):
    if event == "open" and pathlib.Path(str(about[0])).name == "200.bin":
        time.sleep(3600)
sys.addaudithook(hook)
"""


def make_wheel(shelf: Path, files: dict[str, bytes]) -> assets.Asset:
    """A wheel of the package tiny-asset that holds `files` in tiny_asset/data, and its pinned description."""
    shelf.mkdir(exist_ok=True)
    wheel = shelf / "tiny_asset-1.0-py3-none-any.whl"
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: tiny-asset\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_asset/code.py", "raise SystemExit('nobody wants this file')")
        for name, content in files.items():
            archive.writestr(f"tiny_asset/data/{name}", content)
        for name, text in about.items():
            archive.writestr(f"tiny_asset-1.0.dist-info/{name}", text)
    return assets.Asset(
        package="tiny-asset",
        version="1.0",
        wheel=wheel.name,
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        size=wheel.stat().st_size,
        space=1_000_000,
        licence="none",
        what="a test",
        inside="tiny_asset/data",
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a pip that knows of no index at all."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "FTLIB_WHEELS"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("FTLIB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tiny(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> assets.Asset:
    """A small asset in the catalogue; its wheel lies in tmp_path/shelf, which pip does not know of yet."""
    asset = make_wheel(tmp_path / "shelf", {"a.txt": b"first", "deep/b.bin": bytes(range(256))})
    monkeypatch.setitem(assets.ASSETS, "tiny", asset)
    return asset


@pytest.fixture
def stick(tiny: assets.Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the wheel, as a lecturer hands it out."""
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "shelf"))
    return tmp_path / "shelf"


def fails(home: Path, *patterns: str) -> str:
    """`ensure` fails with one sentence that matches, and leaves nothing behind. Returns the sentence."""
    with pytest.raises(assets.AssetError) as caught:
        assets.ensure(["tiny"])
    sentence = str(caught.value)
    for pattern in patterns:
        assert re.search(pattern, sentence), sentence
    assert "\n" not in sentence and sentence.endswith(".")
    assert not home.exists() or not home.is_dir() or list(home.iterdir()) == []
    with pytest.raises(assets.AssetError, match="run `python -m ftlib assets tiny`"):
        assets.path("tiny")
    return sentence


def is_whole(home: Path) -> bool:
    """The asset's folder is complete and nothing else lies in the home."""
    return [part.name for part in home.iterdir()] == ["tiny-1.0"] and not assets.problem_with("tiny", thorough=True)


@pytest.mark.parametrize("way", ["FTLIB_WHEELS", "PIP_FIND_LINKS"])
def test_a_wheel_is_fetched_checked_and_stamped(
    way: str, tiny: assets.Asset, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(way, str(tmp_path / "shelf"))
    folder = assets.ensure(["tiny"])["tiny"]
    assert is_whole(home) and folder == home / "tiny-1.0" == assets.path("tiny")
    assert (folder / "deep/b.bin").read_bytes() == bytes(range(256))
    stamp = json.loads((folder / "asset.json").read_text())
    assert stamp["package"] == "tiny-asset" and stamp["wheel_sha256"] == tiny.sha256
    assert stamp["files"]["a.txt"] == [5, hashlib.sha256(b"first").hexdigest()]
    assert set(stamp["files"]) == {"a.txt", "deep/b.bin"}  # and not code.py


def test_the_second_time_needs_nothing(stick: Path, tiny: assets.Asset, capsys: pytest.CaptureFixture) -> None:
    assets.ensure(["tiny"])
    (stick / tiny.wheel).unlink()
    assets.ensure(["tiny"])
    first, second = capsys.readouterr().out.splitlines()
    assert "ready after" in first and "already there" in second


def test_a_tampered_wheel_on_the_stick(stick: Path, tiny: assets.Asset, home: Path) -> None:
    other = make_wheel(stick, {"a.txt": b"worst", "deep/b.bin": bytes(range(256))})
    assert other.sha256 != tiny.sha256
    fails(home, f"expected to have sha256 {tiny.sha256}", f"from .*shelf has {other.sha256}", "remove that copy")


def test_a_tampered_wheel_from_the_index(
    tiny: assets.Asset, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    other = make_wheel(tmp_path / "shelf", {"a.txt": b"worst"})
    fails(home, f"expected to have sha256 {tiny.sha256}", f"package index has {other.sha256}")


def test_nothing_to_fetch_from(tiny: assets.Asset, home: Path) -> None:
    fails(home, "expected to download tiny-asset==1.0", "No matching distribution", "set FTLIB_WHEELS")


def test_no_network(tiny: assets.Asset, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fails(home, "expected to download tiny-asset==1.0", "connect to the network and try again")


def test_a_stick_without_the_wheel_is_named(
    tiny: assets.Asset, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "empty"))
    fails(home, f"put {tiny.wheel} into {tmp_path / 'empty'}")


def test_a_python_without_pip(tiny: assets.Asset, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    folder = "Scripts" if os.name == "nt" else "bin"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / folder / "python"))
    fails(home, "has no pip", "ensurepip")


def test_a_disk_that_pip_fills(tiny: assets.Asset, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk has no room for pip's own words either, so the free space is asked."""
    monkeypatch.setitem(assets.ASSETS, "tiny", dataclasses.replace(tiny, space=0))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    fails(home, "is full", "pip ran out of room")


def test_a_full_disk_is_seen_before(
    stick: Path, tiny: assets.Asset, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(assets.ASSETS, "tiny", dataclasses.replace(tiny, space=10**18))
    fails(home, "needs 1000000000000 MB", "MB are free", "set FTLIB_HOME")


@pytest.mark.parametrize("where", ["shutil.copyfileobj", "pathlib.Path.write_text", "os.replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_the_disk_gives_up_on_the_way(
    stick: Path, code: int, where: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(where, refuse)
    file = {"shutil.copyfileobj": r"new.a\.txt", "pathlib.Path.write_text": r"new.asset\.json"}.get(where, "")
    fails(home, f"{os.strerror(code)}.*{file}", "is full" if code == errno.ENOSPC else "be written", "set FTLIB_HOME")
    monkeypatch.undo()


def test_a_home_that_cannot_be(tiny: assets.Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FTLIB_HOME", str(tmp_path / "file" / "home"))
    fails(tmp_path / "file" / "home", "expected to be written to .*file.home, which failed", "set FTLIB_HOME")


def test_a_killed_process_breaks_nothing(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = make_wheel(tmp_path / "shelf", {f"{i}.bin": bytes(2000) for i in range(4000)})
    monkeypatch.setitem(assets.ASSETS, "tiny", asset)
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "shelf"))
    child = subprocess.Popen([sys.executable, "-c", STUCK + CHILD, json.dumps(dataclasses.asdict(asset))])
    while not (begun := list(home.glob(".*.part/new/*.bin"))) and child.poll() is None:
        time.sleep(0.001)
    child.kill()
    assert child.wait() != 0 and 0 < len(begun) < 4000
    assert os.name == "nt" or child.returncode == -signal.SIGKILL
    assert list(home.glob("*.part")) and not (home / "tiny-1.0").exists()
    with pytest.raises(assets.AssetError, match="is not in"):
        assets.path("tiny")
    assets.ensure(["tiny"])
    assert is_whole(home)  # what the dead process left is gone too


def test_two_processes_at_once(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = make_wheel(tmp_path / "shelf", {f"{i}.bin": bytes(2000) for i in range(500)})
    monkeypatch.setitem(assets.ASSETS, "tiny", asset)
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "shelf"))
    command = [sys.executable, "-c", CHILD, json.dumps(dataclasses.asdict(asset))]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert is_whole(home)


@pytest.mark.parametrize("damage", ["deleted", "shortened", "stamp"])
def test_damage_is_seen_and_repaired(stick: Path, damage: str, home: Path) -> None:
    folder = assets.ensure(["tiny"])["tiny"]
    if damage == "deleted":
        (folder / "a.txt").unlink()
    else:
        (folder / ("a.txt" if damage == "shortened" else "asset.json")).write_text("x")
    with pytest.raises(assets.AssetError, match=r"is damaged|cannot be read"):
        assets.path("tiny")
    assets.ensure(["tiny"])
    assert is_whole(home)


def test_a_changed_byte_of_a_small_asset_is_found_at_each_look(stick: Path, home: Path) -> None:
    folder = assets.ensure(["tiny"])["tiny"]
    (folder / "a.txt").write_bytes(b"worst")
    with pytest.raises(assets.AssetError, match=r"is damaged .*a\.txt is not the .*run `python -m ftlib assets tiny`"):
        assets.path("tiny")
    assets.ensure(["tiny"])
    assert is_whole(home)


def test_a_changed_byte_is_found_by_a_thorough_check(stick: Path, home: Path, monkeypatch) -> None:
    monkeypatch.setattr(assets, "CHEAP", 0)  # as if it were large
    folder = assets.ensure(["tiny"])["tiny"]
    (folder / "a.txt").write_bytes(b"worst")
    assert assets.problem_with("tiny") is None  # the size is right
    assert "is damaged" in assets.problem_with("tiny", thorough=True) and assets.path("tiny") == folder
    with pytest.raises(assets.AssetError, match="run `python -m ftlib assets tiny --check`"):
        assets.path("tiny", thorough=True)
    monkeypatch.setattr(assets, "ASSETS", {"tiny": assets.ASSETS["tiny"]})
    monkeypatch.setattr(doctor, "MEMORY", 0)
    monkeypatch.setattr(doctor, "packages", list)
    assert doctor.report()["advice"] == []
    (sentence,) = doctor.report(thorough=True)["advice"]
    assert "tiny" in sentence and "run `python -m ftlib assets --check`" in sentence
    assert main(["doctor"]) == 0 and main(["doctor", "--check"]) == 1
    assert main(["assets", "tiny", "--check"]) == 0
    assert is_whole(home)


def test_another_recipe_is_prepared_again(
    stick: Path, tiny: assets.Asset, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets.ensure(["tiny"])
    monkeypatch.setitem(assets.ASSETS, "tiny", dataclasses.replace(tiny, recipe=2))
    assert "another version of this library" in assets.problem_with("tiny")
    assets.ensure(["tiny"])
    assert is_whole(home)


def test_a_packed_stick_serves_a_computer_without_a_network(
    tiny: assets.Asset, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    assert main(["assets", "tiny", "--pack", str(tmp_path / "stick")]) == 0
    assert [file.name for file in (tmp_path / "stick").iterdir()] == [tiny.wheel]
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "stick"))
    assert main(["assets", "tiny"]) == 0
    assert is_whole(home)


def test_the_command_line_says_the_sentence(tiny: assets.Asset, capsys: pytest.CaptureFixture) -> None:
    assert main(["assets", "tiny"]) == 1
    assert "expected to download" in capsys.readouterr().err
    assert main(["assets", "minilim"]) == 1
    assert "did you mean 'minilm'" in capsys.readouterr().err
    assert main(["assets", "nonsense"]) == 1
    assert "There is no asset 'nonsense'; the assets are: efficientnet-lite0" in capsys.readouterr().err


LEFT = [f".tiny~{platform.node()}~{2**22 + 1}~x.part", ".tiny~elsewhere~1~x.part"]  # no process has such a number
ODD = [".a~b~c~d~e~f.part", ".tiny~node~xy~x.part"]


@pytest.mark.parametrize("command", [["assets", "tiny"], ["assets", "tiny", "--pack"]], ids=["fetch", "pack"])
def test_what_was_left_of_others_is_removed_and_an_odd_name_harms_nobody(
    stick: Path, home: Path, tmp_path: Path, command: list[str]
) -> None:
    where = home if command[-1] == "tiny" else tmp_path / "packed"
    for name in LEFT + ODD:
        (where / name).mkdir(parents=True)
    for name in LEFT[1:] + ODD[:1]:
        os.utime(where / name, (0, 0))  # old enough
    assert main([*command, *([str(where)] if where != home else [])]) == 0
    assert sorted(path.name for path in where.glob("*.part")) == ODD[1:]


def test_a_full_disk_names_the_file_while_packing(stick: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfileobj", refuse)
    assert main(["assets", "tiny", "--pack", str(tmp_path / "out")]) == 1
    assert re.search(r"is full \(No space left on device, .*copy\): make room", capsys.readouterr().err)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME whom the system does not know, as in many containers."""
    for name in ("HOME", "USERPROFILE", "HOMEPATH", "FTLIB_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)


def test_a_user_without_a_home_gets_a_sentence(nobody, capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["assets", "mnist"], ["doctor"]):
        assert main(command) == 1
        assert "This user has no home folder to keep the assets in: set FTLIB_HOME" in capsys.readouterr().err
    monkeypatch.setenv("FTLIB_HOME", "~/lab")
    assert main(["doctor"]) == 1
    assert "~/lab begins with ~ but no home folder is known: write the whole path" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []  # no folder that is called ~


def test_a_user_without_a_home_who_names_a_folder_is_served(nobody, tiny, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("FTLIB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "shelf"))
    assert main(["assets", "tiny"]) == 0 and is_whole(tmp_path / "home")
    assert main(["doctor"]) == 1
    assert "Not ready: efficientnet-lite0" in capsys.readouterr().out


def test_a_damaged_shipped_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = assets.SHIPPED["sentiment"]
    good = assets.shipped("sentiment").read_bytes()
    (tmp_path / file).write_bytes(good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    monkeypatch.setattr(assets, "DATA", tmp_path)
    with pytest.raises(assets.AssetError, match="is damaged: restore it with `git checkout -- data`"):
        assets.shipped("sentiment")
    monkeypatch.setattr(doctor, "MEMORY", 0)
    assert "sentiment.tsv.gz was expected and is damaged" in doctor.report()["advice"][-1]
    (tmp_path / file).unlink()
    with pytest.raises(assets.AssetError, match="is missing: restore it"):
        assets.shipped("sentiment")
