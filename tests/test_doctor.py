"""The doctor's report is true on this computer, and names what is missing."""

import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import psutil
import pytest
import torch

from ftlib import assets, doctor
from ftlib.__main__ import main
from ftlib.training import machine


@pytest.fixture(autouse=True)
def enough_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else runs on this computer is not the tests' business."""
    monkeypatch.setattr(doctor, "MEMORY", 0)


@pytest.mark.parametrize(
    ("limit", "used", "idle"),
    [("memory.max", "memory.current", "inactive_file"),
     ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")],
)  # fmt: skip
def test_a_container_has_the_memory_that_its_limit_leaves(tmp_path, monkeypatch, limit, used, idle) -> None:
    folder, whole = next(place for place in machine.CONTAINER if place[1] == limit)[0], psutil.virtual_memory()
    assert folder.is_absolute()
    monkeypatch.setattr(machine, "CONTAINER", [(tmp_path / "none", limit, used, idle), (tmp_path, limit, used, idle)])
    (tmp_path / used).write_text("300000\n")
    (tmp_path / "memory.stat").write_text(f"anon 200000\n{idle} 80000\n")
    for unlimited in ("max\n", f"{2**63 - 4096}\n"):
        (tmp_path / limit).write_text(unlimited)
        assert machine.main_memory()[0] == whole.total
    (tmp_path / limit).write_text("1000000\n")
    assert machine.main_memory() == (1_000_000, 780_000)
    assert machine.free_memory(torch.device("cpu")) == 780_000
    assert doctor.report()["memory"] == {"total": 1_000_000, "available": 780_000}


def test_the_report_on_this_computer() -> None:
    found = doctor.report()
    assert found["advice"] == []
    assert found["device"]["type"] in ("cpu", "cuda", "mps", "xpu")
    assert found["device"]["threads"] == torch.get_num_threads()
    assert 0 < found["memory"]["available"] <= found["memory"]["total"] <= psutil.virtual_memory().total
    assert found["home"]["path"] == doctor.short(assets.home()) and found["home"]["free"] > 0
    assert found["profile"] == "quick"  # tests always run quick
    assert found["assets"] == dict.fromkeys(assets.ASSETS)
    assert len(found["packages"]) > 20
    assert {"torch", "transformers", "gguf"} <= {row["name"].split(">")[0] for row in found["packages"]}


def test_every_dependency_has_a_pin() -> None:
    assert all(row["tested"] for row in doctor.packages())


def test_it_is_quick() -> None:
    code = "import time, torch; t = time.process_time(); from ftlib import doctor; doctor.report()"
    code += "; print(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 10  # 0.3 s on a quiet machine


def test_missing_assets_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("FTLIB_HOME", str(tmp_path / "not" / "there"))
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "Not ready: efficientnet-lite0, minilm, smollm2, elpv, mnist; run `python -m ftlib assets`" in said
    assert not (tmp_path / "not").exists()  # looking changes nothing


def test_a_missing_and_an_old_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "gguf":
            raise metadata.PackageNotFoundError(name)
        return "4.57.6" if name == "transformers" else "99.0" if name == "plotly" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    states = {row["name"].split(">")[0]: row["state"] for row in doctor.packages()}
    assert (states["gguf"], states["transformers"]) == ("missing", "does not fit")
    assert states["plotly"] == "not the tested one"  # within the range: no advice
    (sentence,) = doctor.report()["advice"]
    assert "gguf" in sentence and "transformers" in sentence and "plotly" not in sentence
    assert "run `make setup`" in sentence


def test_too_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTLIB_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "_free", lambda folder: 10_000_000)
    monkeypatch.setattr(doctor, "MEMORY", 10**18)
    disk, ready, memory = doctor.report()["advice"]
    assert "10 MB free" in disk and "FTLIB_HOME" in disk
    assert "Not ready" in ready
    assert "GB of memory are available" in memory


def test_an_unknown_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTLIB_PROFILE", "fast")
    (sentence,) = doctor.report()["advice"]
    assert "'fast'" in sentence and "quick and full" in sentence


def test_a_python_without_the_packages_gets_a_sentence(tmp_path: Path) -> None:
    """The same interpreter, with nothing but the standard library on its path."""
    code = "import sys; from ftlib.__main__ import main; sys.exit(main(['doctor']))"
    root = Path(doctor.__file__).parent.parent
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is missing: run `make setup`" in done.stderr and "Traceback" not in done.stderr


def test_the_table_is_printed(capsys: pytest.CaptureFixture) -> None:
    start = time.process_time()
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "Everything is there." in said and "torchvision" in said and "smollm2" in said
    assert time.process_time() - start < 10
