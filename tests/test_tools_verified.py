"""`make tools`: its checks find what they are for, the record is whole, and LLaMA-Factory trains from our export.

Each check of a level is shown a fault that it must find. Where LLaMA-Factory can't be installed, the last test says
"not verified" in the summary.
"""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from ftlib.io import places
from ftlib.tools import SMOLLM2, TOOLS, tool
from test_tools_importing import as_xturing, trained
from verify import __main__ as command
from verify import environment, experiment, levels
from verify.dialects import DIALECTS, agree, broken, logged
from verify.environment import NotVerified

MEANT = {
    "lr": 1e-3, "steps": 2, "seed": 0, "method": "lora", "r": 8, "alpha": 16, "dropout": 0.05, "batch_size": 2,
    "schedule": "constant", "warmup": 0, "length": 512,
    "targets": sorted([*SMOLLM2.linear["attention"], *SMOLLM2.linear["mlp"]]),
}  # fmt: skip
PRINTED = "{'loss': 10.81, 'grad_norm': 1.0, 'learning_rate': 0.001, 'epoch': 0.1}\n" * 2


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return experiment.tiny_model(tmp_path_factory.mktemp("models") / "tiny_model")


@pytest.fixture(scope="module")
def tokenizer(tiny):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny, local_files_only=True)


@pytest.fixture(scope="module")
def reference(tokenizer):
    return experiment.reference(tokenizer)


# ---- lock files, and the faults that are planted


@pytest.mark.parametrize("name", TOOLS)
def test_a_lock_file_pins_each_package_once_and_no_torch(name):
    lines = [line for line in environment.lock_file(name).read_text().splitlines() if not line.startswith("#")]
    names = [line.partition("==")[0] for line in lines]
    assert all(line.count("==") == 1 and "@" not in line for line in lines) and names == sorted(set(names), key=str)
    assert not {"torch", "torchvision"} & set(names) and not any(n.startswith(("nvidia-", "cuda-")) for n in names)
    assert set(DIALECTS[name].packages) <= set(names)


@pytest.mark.parametrize("name", sorted(set(TOOLS) - {"firefly"}))
def test_the_exports_page_names_the_version_that_is_locked(name):
    package = DIALECTS[name].packages[0]
    assert environment.pinned(name)[package] == tool(name).VERSION


def test_fireflys_page_names_the_versions_that_are_locked():
    pins, asked = environment.pinned("firefly"), " ".join(tool("firefly").INSTALL)
    for package in ("transformers", "peft", "trl", "accelerate", "bitsandbytes"):
        assert f'"{package}=={pins[package]}"' in asked


@pytest.mark.parametrize("name", TOOLS)
def test_each_planted_fault_has_its_place_in_the_export(name):
    dialect = DIALECTS[name]
    files = tool(name).render(experiment.spec("tiny"), experiment.PROBES, cpu=True)
    for file, old, new in ((dialect.file, *dialect.misspelt), (dialect.file, *dialect.words), dialect.wrong):
        assert broken(files[file], old, new) != files[file]
    assert (levels.INSIDE / dialect.reader).is_file()
    with pytest.raises(AssertionError, match="the control is out of date"):
        broken("a", "b", "c")


# ---- tokens


def as_dialect(reference, dialect, tail):
    """The tokens that a tool of this dialect gives."""
    rows = []
    for one, row in zip(reference, experiment.PROBES):
        counted = [*one["counted"], *([dialect.behind_counts] * len(tail))]
        if dialect.counts == "everything":
            counted = [True] * len(counted)
        if dialect.counts == "all" and len(row) > 3:
            counted[20] = True  # somewhere in the first answer
        rows.append({"ids": one["ids"] + tail, "counted": counted})
        one["answers"] = sum(role == "assistant" for role, _ in row)
    return rows


@pytest.mark.parametrize("name", TOOLS)
def test_a_tools_tokens_are_judged_by_its_dialect(name, reference, tokenizer):
    dialect = DIALECTS[name]
    tail = tokenizer(dialect.behind, add_special_tokens=False)["input_ids"] if dialect.behind else []

    def judged(change):
        rows = as_dialect(reference, dialect, tail)
        change(rows)
        return agree(reference, rows, dialect, tail)

    assert judged(lambda rows: None) == ""
    assert "row 1 has other tokens from token 1 on" in judged(lambda rows: rows[0]["ids"].insert(0, 1))  # bos, twice
    assert "row 2 has other tokens" in judged(lambda rows: rows[1]["ids"].append(0))
    assert "it read 4 rows of 5" in judged(lambda rows: rows.pop())
    assert "the loss counts other tokens of row 3" in judged(
        lambda rows: rows[2]["counted"].__setitem__(-1 - len(tail), False)
    )
    if dialect.counts != "everything":
        assert "of row 1" in judged(lambda rows: rows[0].update(counted=[True] * len(rows[0]["ids"])))


def test_what_is_counted_is_the_last_answer_and_its_end(reference, tokenizer):
    texts = [tokenizer.decode([i for i, c in zip(one["ids"], one["counted"]) if c]) for one in reference]
    assert texts == [row[-1][1] + "<|im_end|>" for row in experiment.PROBES]
    assert all(tokenizer.decode(one["ids"]).startswith("<|im_start|>system\n") for one in reference)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{'loss': 2.08, 'learning_rate': 0.001, 'epoch': 1}", {"loss": [2.08], "lr": [0.001]}),
        ("{'loss': '2.08', 'grad_norm': '1', 'learning_rate': '5e-04'}", {"loss": [2.08], "lr": [0.0005]}),
        ("Iter(train) [ 1/10]  lr: 1.0000e-03  eta: 0:00:09  loss: 2.1", {"loss": [2.1], "lr": [0.001]}),
        ("nothing", {"loss": [], "lr": []}),
    ],
)
def test_losses_and_rates_are_found_as_the_trainers_print_them(text, found):
    assert logged(text) == found


# ---- the climb, with a tool that is played


class Played:
    """A tool that answers as it should, but for one fault."""

    def __init__(self, name, reference, tail, tiny, fault=""):
        self.name, self.reference, self.tail, self.tiny, self.fault = name, reference, tail, tiny, fault

    def __call__(self, climb, words, folder, limit):
        if words[0] == "sh":
            return self.train(folder)
        _, _, what, result = words
        label, faulty = folder.name, {"misspelt": "misspelt key", "words": "words", "wrong": "same tokens"}
        if label in ("misspelt", "words") and self.fault != faulty[label]:
            return 1, "ValueError: no such key"
        found = dict(MEANT) | ({"lr": 1e-5} if self.fault == "rate" else {})
        if what == "tokens":
            found = as_dialect(self.reference, DIALECTS[self.name], self.tail)
            if self.fault != "same tokens" if label == "wrong" else self.fault == "bos":
                found[0]["ids"].insert(0, 1)
        if self.fault != f"no {what}":
            with open(result, "w") as file:
                json.dump(found, file)
        return 0, "Error: nothing" if self.fault == f"no {what}" else ""

    def train(self, folder):
        if (folder.name != "no_data" and self.fault != "status 0") or self.fault == "trains anyway":
            place = trained(folder / "base", folder / "out" / "1", all_layers=self.fault != "few layers")
            if self.fault == "zeros":
                file = place / "adapter_model.safetensors"
                save_file({k: t * (0 if "lora_B" in k else 1) for k, t in load_file(file).items()}, file)
            if self.fault == "raw names":
                as_xturing(place)
        said = PRINTED.replace("0.001", "1e-08") if self.fault == "first rate" else PRINTED
        return 0, said if self.fault != "half" else PRINTED[: len(PRINTED) // 2]


def climbed(tmp_path, monkeypatch, reference, tokenizer, tiny, fault="", name="llama-factory"):
    tail = tokenizer(DIALECTS[name].behind, add_special_tokens=False)["input_ids"] if DIALECTS[name].behind else []
    played = Played(name, reference, tail, tiny, fault)
    monkeypatch.setattr(levels.Climb, "run", lambda climb, words, folder, limit: played(climb, words, folder, limit))
    monkeypatch.setattr(environment, "ensure", lambda name, say: None)
    monkeypatch.setattr(levels.experiment, "tiny_model", lambda folder: tiny)
    return levels.climb(name, tmp_path, "tiny", say=lambda said: None)


def test_a_tool_that_does_all_right_reaches_the_level(tmp_path, monkeypatch, reference, tokenizer, tiny):
    found = climbed(tmp_path, monkeypatch, reference, tokenizer, tiny)
    assert found["level"] == 3 and list(found["levels"]) == list(levels.LEVELS[:4])
    assert all(one["reached"] and one["checked"] for one in found["levels"].values())
    controls = [control for one in found["levels"].values() for control in one.get("controls", [])]
    assert len(controls) == 4 and all(control["found"] for control in controls)
    assert found["levels"]["tiny"]["losses"] == [10.81, 10.81] and isinstance(found["not_expressed"], list)


FAULTS = {
    "no parse": (0, "its own code does not read the files: Error: nothing"),
    "rate": (0, "it reads other settings than were meant: lr is 1e-05 and not 0.001"),
    "misspelt key": (0, "it reads a misspelt key without a word, so this level shows nothing"),
    "no tokens": (1, "its own code makes no tokens"),
    "bos": (1, "row 1 has other tokens from token 1 on"),
    "same tokens": (1, "another template gives the same tokens, so this level shows nothing"),
    "status 0": (2, "so nothing was trained there: run its run.sh It ended with status 0"),
    "zeros": (2, "the adapter loads and does nothing, since all its matrices B are 0"),
    "few layers": (2, "the adapter has 8 tensors and not 28"),
    "first rate": (2, "the first rate that it logged is [1e-08] and not 0.001"),
    "half": (2, "it logged 1 steps of 2"),
    "raw names": (2, "the adapter loads and does nothing, since none of its"),
    "trains anyway": (2, "a data file that is cut off still gives an adapter, so this level shows nothing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_the_climb_with_a_sentence(fault, tmp_path, monkeypatch, reference, tokenizer, tiny):
    found = climbed(tmp_path, monkeypatch, reference, tokenizer, tiny, fault)
    level, said = FAULTS[fault]
    last = list(found["levels"].values())[-1]
    assert found["level"] == level and not last["reached"] and said in last["why"]


def test_a_number_in_words_may_be_accepted_where_that_is_known_and_it_is_recorded(
    tmp_path, monkeypatch, reference, tokenizer, tiny
):
    found = climbed(tmp_path, monkeypatch, reference, tokenizer, tiny, "words")
    assert found["level"] == 3
    assert "a number in words, which the tool accepts" in command.not_reached(found)


def test_what_cannot_be_installed_is_not_verified(tmp_path, monkeypatch, tiny):
    def ensure(name, say):
        raise NotVerified("its packages could not be installed: no route to the index")

    monkeypatch.setattr(environment, "ensure", ensure)
    monkeypatch.setattr(levels.experiment, "tiny_model", lambda folder: tiny)
    for name in ("unsloth", "firefly"):
        found = levels.climb(name, tmp_path, say=lambda said: None)
        assert found["level"] == 0 and found["levels"]["written"]["reached"]
        said = found["levels"]["parsed"]["not_verified"]
        assert said.startswith("not verified this time: ")
        assert ("no clone of Firefly" if name == "firefly" else "no route to the index") in said


def test_pips_error_is_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "lend", lambda tool, folder, site: None)
    words = SimpleNamespace(returncode=1, stderr="WARNING: x\nERROR: No matching distribution found for a==1\n")
    monkeypatch.setattr(environment.subprocess, "run", lambda *a, **k: words)
    with pytest.raises(NotVerified, match="could not be installed: No matching distribution found for a==1"):
        environment._make("unsloth", tmp_path)
    assert not (tmp_path / environment.STAMP).exists()


def test_an_environment_is_named_by_all_that_decides_its_contents(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLIB_HOME", str(tmp_path))
    before = environment.folder_of("unsloth")
    assert before.parent == tmp_path / "tools" and before == environment.folder_of("unsloth")
    other = tmp_path / "unsloth.txt"
    other.write_text(environment.lock_file("unsloth").read_text() + "six==1.17.0\n")
    monkeypatch.setattr(environment, "lock_file", lambda tool: other)
    assert environment.folder_of("unsloth") != before


# ---- the record


def test_a_tool_that_cannot_be_tried_keeps_what_was_found_before():
    before = {"level": 4, "date": "2026-01-01", "not_verified": ["a GPU", "not verified this time: old"]}
    found = {"level": 0, "levels": {"parsed": {"reached": False, "not_verified": "not verified this time: no index"}}}
    new = command.merged(before, "unsloth", found)
    assert new["level"] == 4 and new["date"] == "2026-01-01"
    assert new["not_verified"] == ["a GPU", "not verified this time: no index"]
    assert command.merged({}, "unsloth", found)["level"] == 0


def test_the_record_names_no_folder_of_this_computer(tmp_path):
    found = {"why": f"{tmp_path}/unsloth/out holds nothing", "at": str(environment.assets.home() / "tools" / "x")}
    assert command.without_places(found, tmp_path) == {"why": "unsloth/out holds nothing", "at": "tools/x"}


def test_the_record_is_whole():
    record = json.loads((places.results() / "tools.json").read_text(encoding="utf-8"))
    assert set(record["made"]) == {"date", "machine", "commit"} and set(record["tools"]) <= set(TOOLS)
    for name, one in record["tools"].items():
        reached = [level for level in levels.LEVELS if one["levels"].get(level, {}).get("reached")]
        assert reached == list(levels.LEVELS[: one["level"] + 1]) and one["not_verified"] and one["date"]
        assert one["version"] == tool(name).VERSION
        assert {package: environment.pinned(name)[package] for package in one["packages"]} == one["packages"]
        if one["level"] == 4:
            assert one["held_out_loss_after"] < one["held_out_loss_before"]
        for level in ("parsed", "tokens", "tiny"):
            if level in reached:
                assert one["levels"][level]["controls"] and one["levels"][level]["checked"]


# ---- the real tool


def test_llama_factory_trains_from_our_export(tmp_path):
    """Levels 0 to 3, with the tool itself."""
    if not environment.is_ready("llama-factory"):
        pytest.skip(
            "LLaMA-Factory was not verified this time: its environment is not there, and no test may install it. "
            "`make test` or `make tools TOOLS=llama-factory` installs it where the package index can be reached."
        )
    torch.set_num_threads(1)
    found = levels.climb("llama-factory", tmp_path, "tiny")
    assert found["level"] == 3, json.dumps(found["levels"], indent=1)
