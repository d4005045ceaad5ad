"""A learner's copies: without results, with links that work, and never written over."""

import doctest
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from ftlib.__main__ import main
from ftlib.io import places, workbooks

ROOT = Path(__file__).parent.parent


@pytest.fixture
def kit(tmp_path, monkeypatch) -> Path:
    """A kit with notebooks of its own, and without copies."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name in ("docs", "lessons"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setattr(places, "ROOT", tmp_path)
    return tmp_path


def copies() -> list[Path]:
    return sorted(places.work().rglob("*.ipynb"))


def test_every_notebook_has_a_copy_without_a_result(kit):
    assert workbooks.begin()[0].startswith("Your own copies are in ")
    assert sorted(file.stem for file in copies()) == sorted(file.stem for file in (ROOT / "notebooks").glob("*.ipynb"))
    for file in copies():
        copy, read = (nbformat.read(f, 4) for f in (file, ROOT / "notebooks" / file.name))
        nbformat.validate(copy)
        read.cells = [cell for cell in read.cells if "guard" not in cell.metadata.get("tags", [])]
        code = [cell for cell in copy.cells if cell.cell_type == "code"]
        assert code and not [cell for cell in code if cell.outputs or cell.execution_count]
        assert [cell.source for cell in code] == [cell.source for cell in read.cells if cell.cell_type == "code"]
        assert [cell["id"] for cell in copy.cells] == [*(cell["id"] for cell in read.cells), "done"]
        assert "frees its memory" in copy.cells[-1].source
        assert "Not answered yet" not in file.read_text(encoding="utf-8")


def test_every_link_leads_somewhere_and_stays_among_the_copies(kit):
    workbooks.begin()
    found = 0
    for file in copies():
        for target in re.findall(r"\]\(([^):#]+)", file.read_text(encoding="utf-8")):
            if target.endswith((".ipynb", ".md")):
                there = (file.parent / target).resolve()
                assert there.exists(), f"{file.name} names {target}"
                assert there.suffix != ".ipynb" or there.is_relative_to(places.work().resolve())
                found += 1
    assert found > 20


def test_the_depth_notebooks_come_after_their_lessons(kit):
    """JupyterLab lists folders first, and 01_full_depth before 01_full."""
    workbooks.begin()
    assert not list(places.work().glob("*_depth.ipynb"))
    assert {file.parent.name for file in copies() if file.stem.endswith("_depth")} == {"depth"}


def test_what_was_written_stays(kit):
    workbooks.begin()
    mine = workbooks.copy_of("01_full")
    mine.write_text("mine", encoding="utf-8")
    assert workbooks.begin() == [] and mine.read_text() == "mine"
    for n in (1, 2):
        (said,) = workbooks.fresh("01_full")
        assert f"01_full-before-{n}.ipynb" in said
    assert mine.with_name("01_full-before-1.ipynb").read_text() == "mine"
    assert mine.read_bytes() == mine.with_name("01_full-before-2.ipynb").read_bytes() != b"mine"


def test_a_newer_version_is_said_and_not_forced(kit):
    workbooks.begin()
    file, mine = kit / "notebooks" / "01_full.ipynb", workbooks.copy_of("01_full")
    before, notebook = mine.read_bytes(), json.loads(file.read_bytes())
    notebook["cells"][0]["source"] = "# Another title"
    file.write_text(json.dumps(notebook), encoding="utf-8")
    (said,) = workbooks.begin()
    assert "01_full has a newer version: `python -m ftlib fresh 01_full`" in said and mine.read_bytes() == before
    workbooks.fresh("01_full")
    assert workbooks.begin() == [] and "Another title" in mine.read_text(encoding="utf-8")


def test_one_unknown_name_changes_nothing(kit):
    workbooks.begin()
    with pytest.raises(FileNotFoundError, match="no notebook '02_freezin'; did you mean '02_freezing'"):
        workbooks.fresh("01_full", "02_freezin")
    assert not list(places.work().glob("*before*"))


def test_the_command(kit, capsys):
    assert main(["fresh"]) == 0 and capsys.readouterr().out.startswith("Your own copies are in ")
    assert main(["fresh"]) == 0 and capsys.readouterr().out == ""
    assert main(["fresh", "01_full"]) == 0 and "01_full is clean again" in capsys.readouterr().out


def test_the_examples_run(kit):
    for function in (workbooks.begin, workbooks.fresh, workbooks.known, workbooks.copy_of):
        shutil.rmtree(places.work(), ignore_errors=True)
        for example in doctest.DocTestFinder(recurse=False).find(function, globs=vars(workbooks).copy()):
            assert not doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed
