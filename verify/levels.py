"""The levels that a tool climbs: written, parsed by the tool, same tokens, trained (tiny), trained (SmolLM2).

Each level has controls, faults that its check must find. Nothing is believed because a process ended with status 0:
what counts is the files that it left, and the numbers in them.
"""

import ast
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from transformers import AutoTokenizer

from ftlib import models
from ftlib.models import adapters
from ftlib.models.chat import prompt_text
from ftlib.tools import adapter_of, held_out, import_adapter, lost_in, tool
from verify import environment, experiment
from verify.dialects import DIALECTS, TOKENS, agree, broken, logged
from verify.environment import NotVerified

LEVELS = ("written", "parsed", "tokens", "tiny", "smollm2")
INSIDE = Path(__file__).resolve().parent / "inside"
LIMITS = {"read": 900, "tiny": 1200, "smollm2": 3600}  # seconds, against hanging
LAYERS = {"tiny": 2, "smollm2": 30}
MERGED = 1e-3  # what merging may change of a logit, and as a share of what the adapter changes: it is a rounding


class Failed(Exception):
    """A check that found something wrong, in a sentence."""


@dataclass
class Climb:
    """One tool on its way up. folder: for all that is written. firefly: of a clone, for Firefly."""

    name: str
    folder: Path
    firefly: Path | None = None
    found: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.firefly:  # it has no version, so the record names its commit
            words = ["git", "-C", str(self.firefly), "rev-parse", "--short=12", "HEAD"]
            self.found |= {"clone": subprocess.run(words, capture_output=True, text=True).stdout.strip() or "unknown"}
        self.dialect, self.tiny = DIALECTS[self.name], experiment.tiny_model(self.folder / "tiny_model")

    def place(self, what: str) -> Path:
        """The exported folder of a stage, or of the probes; it is made when it is first asked for."""
        folder = self.folder / self.name / what
        if not folder.exists():
            if what == "probes":
                experiment.probes(self.name, self.tiny, folder)
            else:
                experiment.exported(self.name, what, self.tiny if what == "tiny" else "smollm2", folder)
            if self.name == "firefly" and self.firefly:
                (folder / "firefly").symlink_to(self.firefly.resolve())
        return folder

    def with_fault(self, what: str, label: str, file: str, old: str, new: str) -> Path:
        """A copy of an exported folder with one fault in it."""
        source, target = self.place(what), self.folder / self.name / label
        shutil.rmtree(target, ignore_errors=True)
        skip = shutil.ignore_patterns("base", "firefly", "out", "*.log")
        shutil.copytree(source, target, ignore=skip)
        for lent in ("base", "firefly"):
            if (source / lent).exists():
                (target / lent).symlink_to((source / lent).resolve())
        text = (target / file).read_text(encoding="utf-8")
        (target / file).write_text(broken(text, old, new), encoding="utf-8")
        return target

    def run(self, words: list[str], folder: Path, limit: int) -> tuple[int, str]:
        """(exit status, what it said) of a process in the tool's environment."""
        own = environment.environ(self.name, self.folder / "home")
        own |= {key: os.environ[key] for key in ("OMP_NUM_THREADS",) if key in os.environ}
        log = folder / "said.log"
        with open(log, "w", encoding="utf-8") as said:
            try:
                status = subprocess.run(
                    words, cwd=folder, env=own, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                    timeout=limit,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                status = -1
        return status, log.read_text(encoding="utf-8", errors="replace")

    def read(self, what: str, folder: Path):
        """(what the tool's own code reads, or None, what it said). what: "parse" or "tokens"."""
        result = folder / f"{what}.json"
        result.unlink(missing_ok=True)
        python = str(environment.python_of(self.name))
        _, said = self.run([python, str(INSIDE / self.dialect.reader), what, str(result)], folder, LIMITS["read"])
        return (json.loads(result.read_text(encoding="utf-8")) if result.is_file() else None), said


# ---- the levels; each gives {"checked": sentences, "controls": …, …} or raises Failed


def written(climb: Climb) -> dict:
    """Level 0, without the tool: the files parse, and the rows come back."""
    folder = climb.place("smollm2")
    files = {
        str(file.relative_to(folder)): file.read_text(encoding="utf-8")
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "base" not in file.relative_to(folder).parts and file.name != "said.log"
        and "firefly" not in file.relative_to(folder).parts[:1] and "out" not in file.relative_to(folder).parts[:1]
    }  # fmt: skip
    for name, text in files.items():
        {"py": ast.parse, "json": json.loads}.get(name.rpartition(".")[2], str)(text)
    rows = [row for some in tool(climb.name).read(files).values() for row in some]
    if len(rows) != experiment.ROWS:
        raise Failed(f"{len(rows)} rows come back of {experiment.ROWS}")
    climb.found["not_expressed"] = lost_in(files)
    return {"checked": ["its files parse", f"all {len(rows)} rows come back from its files"]}


def parsed(climb: Climb) -> dict:
    """Level 1: the tool's own code reads what was meant, and refuses a misspelt key."""
    got, said = climb.read("parse", climb.place("probes"))
    if got is None:
        raise Failed(f"its own code does not read the files: {last_line(said)}")
    want = {"lr": experiment.RATE, "steps": experiment.STEPS["tiny"], "seed": experiment.SEED, "method": "lora"}
    want |= {key: experiment.LORA[key] for key in ("r", "alpha", "dropout")} | {"batch_size": experiment.BATCH}
    want |= {"schedule": "constant", "warmup": 0, "length": 512, "targets": sorted(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])}  # fmt: skip
    want = {key: value for key, value in want.items() if key not in climb.dialect.unread}
    if other := [
        f"{key} is {got.get(key)!r} and not {value!r}" for key, value in want.items() if got.get(key) != value
    ]:
        raise Failed(f"it reads other settings than were meant: {'; '.join(other)}")
    controls = []
    for label, words in (("misspelt", "a misspelt key"), ("words", "a number in words")):
        fault = climb.with_fault("probes", label, climb.dialect.file, *getattr(climb.dialect, label))
        result, said = climb.read("parse", fault)
        refused = result is None
        controls.append({"fault": words, "found": refused, "said": last_line(said) if refused else ""})
        if not refused and label not in climb.dialect.accepts:
            raise Failed(f"it reads {words} without a word, so this level shows nothing")
    return {"checked": [f"it reads {', '.join(sorted(want))} as they were meant"], "controls": controls}


def tokens(climb: Climb) -> dict:
    """Level 2: the tool's own data code gives the kit's tokens, and the mask of its loss is the one that is known."""
    tokenizer = AutoTokenizer.from_pretrained(climb.tiny, local_files_only=True)
    reference = experiment.reference(tokenizer)
    for one, row in zip(reference, experiment.PROBES):
        one["answers"] = sum(role == "assistant" for role, _ in row)
    tail = tokenizer(climb.dialect.behind, add_special_tokens=False)["input_ids"] if climb.dialect.behind else []
    judge = partial(agree, reference, dialect=climb.dialect, tail=tail)
    got, said = climb.read("tokens", climb.place("probes"))
    if got is None:
        raise Failed(f"its own code makes no tokens: {last_line(said)}")
    if wrong := judge(got):
        raise Failed(wrong)
    file, old, new = climb.dialect.wrong
    got, said = climb.read("tokens", climb.with_fault("probes", "wrong", file, old, new))
    found = last_line(said) if got is None else judge(got)
    if not found:
        raise Failed("another template gives the same tokens, so this level shows nothing")
    behind = f", and {climb.dialect.behind!r} behind the end" if climb.dialect.behind else ""
    return {
        "checked": [f"{len(reference)} of {len(reference)} chats have the kit's tokens{behind}",
                    TOKENS[climb.dialect.counts]],
        "controls": [{"fault": f"{new!r} for {old!r} in {file}", "found": True, "said": found}],
    }  # fmt: skip


def trained(climb: Climb, stage: str) -> dict:
    """Levels 3 and 4: run.sh trains, and leaves an adapter that loads strictly and changes the logits."""
    folder, base = climb.place(stage), climb.tiny if stage == "tiny" else "smollm2"
    shutil.rmtree(folder / "out", ignore_errors=True)
    began = time.monotonic()
    status, said = climb.run(["sh", "run.sh"], folder, LIMITS[stage])
    seconds = round(time.monotonic() - began, 1)
    imported = climb.folder / climb.name / f"{stage}_peft"
    shutil.rmtree(imported, ignore_errors=True)
    try:
        got = import_adapter(folder, climb.name, imported, base)
    except (ValueError, FileNotFoundError) as error:
        raise Failed(f"{error} It ended with status {status} and said: {last_line(said)}") from error
    if got["tensors"] != 14 * LAYERS[stage]:
        raise Failed(f"the adapter has {got['tensors']} tensors and not {14 * LAYERS[stage]}")
    steps, log = experiment.STEPS[stage], logged(said)
    if log["loss"] and len(log["loss"]) < steps:
        raise Failed(f"it logged {len(log['loss'])} steps of {steps}")
    rate = climb.dialect.rate
    if stage == "tiny" and rate and (not log["lr"] or abs(log["lr"][0] / (rate * experiment.RATE) - 1) > 1e-3):
        raise Failed(f"the first rate that it logged is {log['lr'][:1]} and not {rate * experiment.RATE}")
    moved, merged = merge_difference(imported, base)
    if not merged < MERGED * min(moved, 1):
        raise Failed(f"merging changes a logit by {merged:.2g}, where the adapter itself changes one by {moved:.2g}")
    checked = [
        f"{got['tensors']} tensors, none missing and none left over", f"logits of a chat move by up to {moved:.2g}",
        f"merging changes them by at most {merged:.1g}",
    ]  # fmt: skip
    checked += [f"the first rate that it logged is {log['lr'][0]:g}"] if stage == "tiny" and rate else []
    found = {"checked": checked, "exit_status": status, "seconds_of_run": seconds, "losses": log["loss"][:steps]}
    if stage == "smollm2":
        checked.append(scored(climb, imported))
        return found
    return found | {"controls": [without_data(climb)]}


def without_data(climb: Climb) -> dict:
    """A run whose data file is cut off leaves no adapter, whatever its exit status says."""
    folder = climb.place("tiny")
    file = next(f for f in sorted((folder / "data").iterdir()) if f.name != "dataset_info.json")
    fault = climb.with_fault("tiny", "no_data", f"data/{file.name}", file.read_text(encoding="utf-8")[30:], "")
    status, said = climb.run(["sh", "run.sh"], fault, LIMITS["tiny"])
    try:
        adapter_of(fault, climb.name)
    except FileNotFoundError:
        return {"fault": f"a data file that is cut off (exit status {status})", "found": True, "said": last_line(said)}
    raise Failed("a data file that is cut off still gives an adapter, so this level shows nothing")


@torch.no_grad()
def merge_difference(folder: Path, base) -> tuple[float, float]:
    """The largest change of a logit of a chat by the adapter, and the one by merging it."""
    model = models.load(base)
    turns = [turn for turn in experiment.PROBES[0] if turn[0] != "assistant"]
    ids = model.tokenizer(prompt_text(model.tokenizer, turns), add_special_tokens=False)["input_ids"]
    batch = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    plain = model.eval()(batch)
    model = adapters.load_adapter(model, folder, "imported").eval()
    adapted = model(batch)
    merged = adapters.merge(model).eval()(batch)
    return (adapted - plain).abs().max().item(), (merged - adapted).abs().max().item()


def scored(climb: Climb, imported: Path) -> str:
    """The held-out loss before and after, and of the kit's own LoRA, by the kit's evaluation."""
    spec, own = experiment.spec("smollm2"), experiment.own_lora(climb.folder / "own")
    scores = held_out(spec, {"theirs": imported, "own": own})
    before, after = scores["base"]["nll"], scores["theirs"]["nll"]
    climb.found |= {
        "held_out_rows": len(experiment.held_out_rows()), "held_out_loss_before": round(before, 4),
        "held_out_loss_after": round(after, 4), "held_out_loss_own": round(scores["own"]["nll"], 4),
        "held_out_right_before": round(scores["base"]["exact_match"], 4),
        "held_out_right_after": round(scores["theirs"]["exact_match"], 4),
        "held_out_right_own": round(scores["own"]["exact_match"], 4),
    }  # fmt: skip
    if not after < before:
        raise Failed(f"the held-out loss went from {before:.3f} to {after:.3f}")
    return f"the held-out loss went from {before:.3f} to {after:.3f}"


def last_line(said: str) -> str:
    """What a process said at its end: the last line of an error."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "Exception" in line]
    return (errors or lines or ["nothing"])[-1][:300]


def climb(name: str, folder: Path, to: str = "smollm2", firefly: Path | None = None, say=print) -> dict:
    """{"level": …, "levels": …, …} of one tool, up to the first level that it does not reach."""
    one, levels, reached = Climb(name, folder, firefly if name == "firefly" else None), {}, -1
    checks = [written, parsed, tokens, partial(trained, stage="tiny"), partial(trained, stage="smollm2")]
    began = time.monotonic()
    for number, (level, check) in enumerate(zip(LEVELS, checks)):
        start = time.monotonic()
        try:
            if number == 1:
                if name == "firefly" and not firefly:
                    raise NotVerified("no clone of Firefly is at hand: it has no licence, so nothing of it is here")
                environment.ensure(name, say)
                start = time.monotonic()
            levels[level] = {"reached": True, **check(one)}
            reached = number
        except NotVerified as error:
            levels[level] = {"reached": False, "not_verified": f"not verified this time: {error}"}
        except Failed as error:
            levels[level] = {"reached": False, "why": str(error)}
        levels[level]["seconds"] = round(time.monotonic() - start, 1)
        say(f"{name}: {level}: {'reached' if reached == number else 'NOT reached: ' + str(levels[level])}")
        if reached != number or level == to:
            break
    return {"level": reached, "levels": levels, "seconds": round(time.monotonic() - began, 1), **one.found}
