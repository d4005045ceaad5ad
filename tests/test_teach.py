"""Questions are complete in every language, answers are kept, claims are judged by the rule that was written."""

import copy
import inspect
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ftlib import classroom as teach
from ftlib.classroom import checks
from ftlib.evidence import claims, compare, contrasts, grids
from ftlib.evidence.runs import frame
from ftlib.io import places

LESSON = "01_full"
LESSONS = places.ROOT / "lessons"
ENGLISH = LESSONS / LESSON / "questions.en.json"
FILES = sorted(LESSONS.glob("*/questions.*.json"))
CLAIMS = sorted(places.claims().values())


@pytest.fixture(autouse=True)
def answers(tmp_path, monkeypatch):
    """Nobody's real answers are read or written."""
    monkeypatch.setenv("FTLIB_ANSWERS", str(tmp_path / "answers"))
    monkeypatch.delenv("FTLIB_LANG", raising=False)
    return tmp_path / "answers" / f"{LESSON}.json"


# Questions


def problems(asked: list[dict], english: list[dict]) -> list[str]:
    """What is wrong with a file of questions."""
    found = []
    if len({q["id"] for q in asked}) < len(asked):
        found.append("an id is there twice")
    if [(q["id"], q["kind"], [o["key"] for o in q["options"]]) for q in asked] != [
        (q["id"], q["kind"], [o["key"] for o in q["options"]]) for q in english
    ]:
        found.append("ids, kinds or keys differ from the English file")
    for q in asked:
        right = [o.get("right") for o in q["options"]]
        if any(len(o["why"].split()) < 8 or not o["text"] for o in q["options"]):
            found.append(f"{q['id']}: an option has no explanation")
        if q["kind"] == "quiz" and sorted(right) != [False] * (len(right) - 1) + [True]:
            found.append(f"{q['id']}: not exactly one option is right")
        if q["kind"] == "predict" and any(value is not None for value in right):
            found.append(f"{q['id']}: a prediction's right option is decided by what happens")
        if len(right) < 3 or len({o["key"] for o in q["options"]}) < len(right):
            found.append(f"{q['id']}: it needs at least three options with keys of their own")
    return found


def load(file: Path) -> list[dict]:
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}, {f.name}")
def test_questions_are_complete(file):
    assert problems(load(file), load(file.with_name("questions.en.json"))) == []


def test_a_lesson_asks_enough():
    assert len(FILES) >= 1
    for lesson in {f.parent.name for f in FILES}:
        assert len(teach.questions.load(lesson, "predict")) >= 3 and len(teach.questions.load(lesson, "quiz")) >= 5
        right = [[o["right"] for o in q["options"]].index(True) for q in teach.questions.load(lesson, "quiz")]
        assert len(set(right)) > 1  # the right one does not always stand in the same place


BREAK = {
    "an id is there twice": lambda q: q.append(q[0]),
    "ids, kinds or keys differ": lambda q: q.pop(),
    "no explanation": lambda q: q[0]["options"][0].update(why=""),
    "not exactly one option is right": lambda q: [o.update(right=True) for o in q[-1]["options"]],
    "decided by what happens": lambda q: q[0]["options"][0].update(right=True),
    "at least three options": lambda q: q[0].update(options=q[0]["options"][:2]),
}


@pytest.mark.parametrize("problem", BREAK)
def test_an_incomplete_file_is_found_out(problem):
    english = load(ENGLISH)
    BREAK[problem](broken := copy.deepcopy(english))
    assert any(problem in found for found in problems(broken, english))


BAD_QUESTIONS = {
    "explain": (
        lambda q: q.update(explain="x"),
        "question 'best-arm': there is no key 'explain' here, the nearest known",
    ),
    "text": (lambda q: q.pop("text"), "question 'best-arm': the key 'text' is missing"),
    "kind": (lambda q: q.update(kind="guess"), "'best-arm': kind should be 'predict' or 'quiz', but it is 'guess'"),
    "option": (lambda q: q["options"][1].pop("why"), "question 'best-arm', option 2: the key 'why' is missing"),
    "rigth": (
        lambda q: q["options"][0].update(rigth=True),
        "option 1: there is no key 'rigth' here, the nearest known",
    ),
    "yes": (lambda q: q["options"][0].update(right="yes"), "option 1: right should be a valid boolean"),
    "two keys": (
        lambda q: q["options"][0].update(key="probe"),
        "each option needs a key of its own, but they are probe,",
    ),
    "a prediction": (
        lambda q: q["options"][0].update(right=True),
        "no option of a prediction says whether it is right",
    ),
    "a quiz": (lambda q: q.update(kind="quiz"), "every option of a quiz says whether it is right, and exactly one is"),
}


@pytest.mark.parametrize("kind", BAD_QUESTIONS)
def test_a_question_that_says_something_unknown_is_one_sentence(tmp_path, monkeypatch, kind):
    change, words = BAD_QUESTIONS[kind]
    english = load(ENGLISH)
    change(english[0])
    monkeypatch.setattr(places, "ROOT", tmp_path)
    folder = tmp_path / "lessons" / LESSON
    folder.mkdir(parents=True)
    (file := folder / "questions.en.json").write_text(json.dumps(english))
    with pytest.raises(ValueError, match=words) as raised:
        teach.questions.load(LESSON, "quiz")
    assert str(raised.value).startswith(str(file)) and "\n" not in str(raised.value)
    file.write_text(json.dumps([english[1], english[1]]))
    with pytest.raises(ValueError, match=f"{file}: the id '{english[1]['id']}' stands twice"):
        teach.questions.load(LESSON, "quiz")


def test_a_translation_is_used_and_english_stands_in(tmp_path, monkeypatch):
    english = load(ENGLISH)
    german = [{**q, "text": "Welcher Arm?"} for q in english]
    monkeypatch.setattr(places, "ROOT", tmp_path)
    folder = tmp_path / "lessons" / LESSON
    folder.mkdir(parents=True)
    (folder / "questions.en.json").write_text(json.dumps(english))
    (folder / "questions.de.json").write_text(json.dumps(german))
    monkeypatch.setenv("FTLIB_LANG", "de")
    assert teach.predict(LESSON, "best-arm").text == "Welcher Arm?"
    monkeypatch.setenv("FTLIB_LANG", "fi")
    assert teach.predict(LESSON, "best-arm").text == english[0]["text"]
    with pytest.raises(FileNotFoundError, match="there is no lesson '99_x': there are 01_full"):
        teach.quiz("99_x", "a")


# Answers


def test_a_prediction_is_kept_and_compared(answers):
    asked = teach.predict(LESSON, "best-arm")
    assert asked.answer is None and str(asked.compare("full")).startswith("Not answered yet: the answer was full,")
    assert not answers.exists()  # an automatic run leaves nothing behind
    asked.commit("scratch")
    again = teach.predict(LESSON, "best-arm")  # as after a restart
    assert again.answer == "scratch" and "You predicted what happened" in str(again.compare("scratch"))
    wrong = str(again.compare("full"))
    assert "You predicted: scratch" in wrong and "What happened: full" in wrong
    assert wrong.endswith(again.options["scratch"]["why"])
    again.commit("full")
    assert asked.answer == "full" and [f.name for f in answers.parent.iterdir()] == [f"{LESSON}.json"]


def test_every_choice_of_a_prediction_can_be_compared_with_every_outcome():
    for said in teach.questions.load(LESSON, "predict"):
        asked = teach.predict(LESSON, said["id"])
        for chosen in asked.options:
            asked.commit(chosen)
            for actual in asked.options:
                assert (asked.options[chosen]["why"] in str(asked.compare(actual))) == (chosen != actual)


def test_a_quiz_explains_every_option():
    for said in teach.questions.load(LESSON, "quiz"):
        asked = teach.quiz(LESSON, said["id"])
        marked = {key: asked.choose(key) for key in asked.options}
        assert sum(m.right for m in marked.values()) == 1 and asked.answer == list(asked.options)[-1]
        for key, m in marked.items():
            assert str(m) == ("✔ Right. " if m.right else "✘ Not quite. ") + asked.options[key]["why"]


def test_questions_show_themselves_and_bad_input_is_one_sentence(answers):
    asked = teach.predict(LESSON, "best-arm")
    assert "- **probe**: probe, the head alone" in asked._repr_markdown_() and "*" not in str(asked)
    with pytest.raises(ValueError, match="best-arm has the options scratch, probe, full, lp-ft, but the answer is 'x'"):
        asked.commit("x")
    with pytest.raises(KeyError, match="01_full has no quiz question called 'best-arm': there are balanced-accuracy,"):
        teach.quiz(LESSON, "best-arm")
    answers.parent.mkdir(parents=True)
    answers.write_text('{"best-arm": "an option of an older edition"}')
    assert asked.answer is None


# check


@pytest.fixture
def checkers(monkeypatch):
    known = {"one": lambda answer: "" if answer() == 1 else "It must be 1."}
    monkeypatch.setattr(checks, "_checker", lambda name: known[name])


def stub():
    raise NotImplementedError


def test_check_never_raises_unless_it_is_strict(checkers):
    assert teach.check("one", lambda: 1).passed and str(teach.check("one", lambda: 1, strict=True)) == "✔ Passed: one."
    for answer, hint in [
        (lambda: 2, "It must be 1."),
        (stub, "Your answer is not there yet"),
        (lambda: 1 / 0, "Your code stopped with ZeroDivisionError: division by zero"),
        (None, "There is no answer here"),
        (..., "the three dots"),
    ]:
        assert not teach.check("one", answer).passed and hint in str(teach.check("one", answer))
        with pytest.raises(AssertionError) as stopped:
            teach.check("one", answer, strict=True)
        said = str(stopped.value)
        assert said.startswith("✘ Not yet: one.") and hint in said.replace("\n", " ")
        assert max(map(len, said.splitlines())) <= checks.FEEDBACK  # nbgrader's page cuts longer lines off


def test_an_unknown_exercise_says_which_there_are():
    with pytest.raises(KeyError, match="01_full has no exercise called 'x': there are probe, accumulate, l2sp"):
        teach.check("01_full/x", 1)


# Claims


def run(arm, seed, score, task="elpv", n=200, purpose="measure", curve=(), steps=60, seconds=6.0, **scores):
    """A record with little in it."""
    spec = {
        "arm": arm,
        "task": task,
        "model": "m",
        "seed": seed,
        "purpose": purpose,
        "grid": "toy",
        "options": {"n": n},
    }
    spec["phases"] = [{"strategy": [], "steps": steps, "lr": 0.1}]
    scores = {"test": {"balanced_accuracy": score, "macro_f1": score, "nll": 1.0}, **scores}
    name = f"{arm}-{seed}-{task}-{n}-{purpose}"
    return {"id": name, "spec": spec, "scores": scores, "curve": list(curve), "steps": steps, "parameters": {},
            "seconds": {"training": seconds}, "memory": 1}  # fmt: skip


def pair(effect, spread=0.004, arm="full", baseline="scratch", seeds=6, **more):
    """An arm that beats a baseline by `effect`, give or take."""
    rows = []
    for seed in range(seeds):
        base, wobble = 0.5 + 0.02 * seed, spread * (-1) ** seed
        rows += [run(arm, seed, base + effect + wobble, **more), run(baseline, seed, base, **more)]
    return rows


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """write(records, **claim) puts a grid called toy and a claim called T into a data folder of their own."""
    monkeypatch.setattr(places, "ROOT", tmp_path)
    for folder in ("lessons/toy/grids", "data/results", "lessons/toy/claims"):
        (tmp_path / folder).mkdir(parents=True)

    def write(records, missing=0, **more):
        wanted = {r["id"] for r in records} | {f"missing {i}" for i in range(missing)}
        monkeypatch.setattr(grids, "wanted", lambda grid, made: (wanted, wanted, len(wanted)))
        (tmp_path / "data" / "results" / "toy.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
        said = {"id": "T", "lesson": "00_toy", "sentence": "It helps.", "rule": "The rule.", "grid": "toy",
                "filter": "purpose == 'measure'", "by": "difference",
                "contrast": {"arm": "full", "baseline": "scratch"},
                "metric": {"elpv": "test.balanced_accuracy"}, "margin": 0.01, "direction": "higher",
                "prior": "yes."} | more  # fmt: skip
        (tmp_path / "lessons" / "toy" / "claims" / "T.json").write_text(json.dumps(said))

    return write


@pytest.mark.parametrize(
    ("effect", "direction", "verdict"),
    [
        (0.05, "higher", "supported"),
        (-0.05, "higher", "contradicted"),
        (0.05, "lower", "contradicted"),
        (-0.05, "lower", "supported"),
        (0.0, "higher", "no difference"),
        (0.012, "higher", "open"),
    ],
)
def test_a_claim_is_judged_by_its_margin_and_direction(lab, effect, direction, verdict):
    lab(pair(effect) + pair(-0.9, purpose="tune", seeds=2), direction=direction)
    found = teach.claim("T", verdict=verdict)
    assert found.verdict == verdict and found.rows.effect[0] == pytest.approx(effect) and found.rows.seeds[0] == 6
    words = str(found)
    for part in (
        f"{verdict.capitalize()}. It helps. (claim T)",
        "The rule.",
        f"{effect:+.3f} [",
        "Act on it:",
        "| 6 |",
    ):
        assert part in words
    assert f"| {found.rows.detectable[0]:.3f} |" in words and "us to expect: yes." in words


def test_a_lesson_that_says_something_else_is_stopped(lab):
    lab(pair(0.05))
    with pytest.raises(AssertionError, match="the lesson says 'no difference', but the recorded runs say 'supported'"):
        teach.claim("T", verdict="no difference")


def test_what_is_not_recorded_is_not_judged(lab, tmp_path):
    lab(pair(0.05), missing=3)
    with pytest.raises(teach.NotRecorded, match="12 of 15 runs are there: `make record GRID=toy` makes them"):
        teach.claim("T")
    (tmp_path / "data" / "results" / "toy.jsonl").unlink()
    with pytest.raises(teach.NotRecorded, match="claim T needs the runs of the grid toy, which are not recorded yet"):
        teach.claim("T")
    with pytest.raises(KeyError, match="there is no claim 'U': there are T"):
        teach.claim("U")
    lab(pair(0.05), filter="n == 5")
    with pytest.raises(ValueError, match="no run of the grid toy fits its filter, n == 5"):
        teach.claim("T")


BOTH = {"elpv": "test.balanced_accuracy", "amazon": "test.macro_f1"}


def test_tasks_must_agree(lab):
    for second, verdict in ((0.05, "supported"), (-0.05, "it depends"), (0.0, "it depends"), (0.012, "open")):
        lab(pair(0.05) + pair(second, task="amazon"), metric=BOTH)
        assert teach.claim("T").verdict == verdict


def test_several_tasks_must_agree_and_the_p_beside_is_corrected(lab):
    weak = pair(0.014, spread=0.0032)  # just beyond the margin
    lab(weak)
    alone = teach.claim("T")
    assert alone.verdict == "supported" and 0.025 < alone.rows.p[0] < 0.05
    lab(weak + pair(0.014, spread=0.0032, task="amazon"), metric=BOTH)
    found = teach.claim("T")  # both intervals lie beyond the margin: that is what the rule asks
    assert found.verdict == "supported" and found.rows.p[0] == pytest.approx(2 * alone.rows.p[0])
    lab(weak + pair(0.0, spread=0.0032, task="amazon"), metric=BOTH)
    assert teach.claim("T").verdict == "it depends"


def test_five_seeds_decide_nothing(lab):
    lab(pair(0.05, seeds=5))
    assert teach.claim("T", verdict="open").rows.verdict[0] == "undecided"


def test_what_stands_beside_a_claim_decides_nothing(lab):
    lab(pair(0.05), also=[{"direction": "lower", "unit": "the other way round"}])
    found = teach.claim("T")
    assert found.verdict == "supported" and list(found.rows.verdict) == ["supported", "contradicted"]
    assert "the other way round" in str(found) and "the opposite (not part of the claim)" in str(found)


def test_the_box_says_one_number_per_row_and_folds_the_evidence(lab):
    lab(pair(0.05) + pair(0.003, spread=0.05, task="amazon"), metric=BOTH, act="Do it.", also=[{"unit": "another"}])
    found = teach.claim("T")
    box, folded = found.markdown.split("<details><summary>How we know</summary>")
    assert "✔ **solar cells**: yes, +5.0 points" in box
    assert "? **amazon**: can't tell yet: " in box and "points would probably have shown" in box
    assert "**Act on it:** Do it." in box
    assert "|" not in box and "[+" not in box  # no table, no interval
    assert folded.count("| elpv |") == 2 and "The rule." in folded and "another" in folded
    assert "docs/verdicts.md" in folded and "<" not in str(found)


@pytest.mark.parametrize(
    ("effect", "spread", "said"),
    [
        (1.0, 0.01, "yes, 2 times the seconds"),
        (-1.0, 0.01, "no, the opposite, 0.5 times the seconds"),
        (0.1, 1.0, "can't tell yet: 3 times the seconds would probably have shown"),
    ],
)
def test_a_ratio_is_said_as_a_factor(lab, effect, spread, said):
    lab(pair(effect, spread=spread), unit="log2 of the ratio of seconds")
    assert said in teach.claim("T").markdown


def test_what_an_open_row_would_have_seen_includes_the_margin(lab):
    lab(pair(0.012))
    near = teach.claim("T").rows.detectable[0]
    lab(pair(0.012), margin=0.0)
    assert near == pytest.approx(teach.claim("T").rows.detectable[0] + 0.01)


def test_rows_of_one_task_are_told_apart(lab):
    lab(pair(0.05), also=[{"metric": {"elpv": "test.macro_f1"}, "decides": True}])
    labels = [line.label for line in teach.claim("T").lines]
    assert len(set(labels)) == 2 and all("full − scratch" in label for label in labels)


def test_the_parts_of_a_claim_must_agree_and_each_has_its_own_reading(lab):
    lab(pair(0.05), also=[{"margin": 0.2, "unit": "the second part", "decides": True}])
    found = teach.claim("T")
    assert found.verdict == "it depends" and list(found.rows.verdict) == ["supported", "equivalent"]
    assert found.rows.decides.all() and "the second part" in str(found)
    lab(pair(0.05), also=[{"metric": {"elpv": "test.macro_f1"}, "decides": True}])
    assert teach.claim("T").verdict == "supported"


@pytest.mark.parametrize(
    ("effect", "verdict"), [(0.05, "supported"), (0.0, "supported"), (-0.008, "open"), (-0.05, "contradicted")]
)
def test_not_worse_is_judged_against_the_loss_that_is_allowed(lab, effect, verdict):
    lab(pair(effect), margin=0.0, allowed=0.01)
    found = teach.claim("T")
    assert found.verdict == verdict and found.rows.effect[0] == pytest.approx(effect)
    lab(pair(-effect), margin=0.0, allowed=0.01, direction="lower")
    assert teach.claim("T").verdict == verdict


def test_a_lesson_s_claims_are_corrected_together(lab, tmp_path):
    lab(pair(0.05))
    said = json.loads((tmp_path / "lessons" / "toy" / "claims" / "T.json").read_text())
    (tmp_path / "lessons" / "toy" / "claims" / "U.json").write_text(json.dumps({**said, "id": "U"}))
    (tmp_path / "lessons" / "toy" / "claims" / "V.json").write_text(
        json.dumps({**said, "id": "V", "lesson": "another"})
    )
    table = teach.claims("00_toy")
    assert list(table.index) == ["T", "U"] and np.allclose(table.p_lesson, 2 * table.p_alone)


BAD_CLAIMS = {
    "direction": ({"direction": "hihger"}, "T.json: direction should be 'higher' or 'lower', but it is 'hihger'"),
    "alowed": ({"alowed": 0.01}, "T.json: there is no key 'alowed' here, the nearest known one is 'allowed'"),
    "decide": ({"also": [{"decide": True}]}, "also 1: there is no key 'decide' here, the nearest known"),
    "a margin in words": ({"margin": "0.01"}, "T.json: margin should be a valid number, but it is '0.01'"),
    "a negative margin": ({"margin": -0.01}, "margin should be greater than or equal to 0, but it is -0.01"),
    "no margin": ({"margin": float("nan")}, "margin should be a finite number"),
    "allowed": ({"also": [{}, {"allowed": float("inf")}]}, "also 2: allowed should be a finite number, but it is inf"),
    "decides": ({"also": [{"decides": "yes"}]}, "also 1: decides should be a valid boolean, but it is 'yes'"),
    "one metric": ({"metric": "test.accuracy"}, "T.json: the rules rank, further, regret, over_tasks take one name as"),
    "by": ({"by": "diference"}, "T.json: there is no rule 'diference', the nearest known one is 'difference'"),
    "by beside": ({"also": [{"by": "ranks"}]}, "also 1: there is no rule 'ranks', the nearest known one is 'rank'"),
    "contrast": ({"contrast": {"arm": "full", "base": "a"}}, "contrast: there is no key 'base' here, the nearest known "
                                                             "one is 'baseline'"),
    "half a contrast": ({"contrast": {"arm": "full"}}, "T.json, contrast: the key 'baseline' is missing"),
    "baselines": ({"contrast": {"arm": "full", "baseline": ["a", "b"]}}, "over_all takes a list of baselines and"),
    "one baseline": ({"by": "over_all"}, "over_all takes a list of baselines and every other rule one name"),
    "metric": ({"metric": ""}, "metric should have at least 1 character"),
    "metrics": ({"metric": {}}, "metric should be a valid string or have at least 1 item, but it is {}"),
    "id": ({"id": "U"}, "its id is 'U', but it must be the name of the file, 'T'"),
    "filter": ({"filter": "purpos == 'measure'"}, "claim T: its filter, purpos == 'measure', cannot be used"),
    "half a filter": ({"filter": "purpose =="}, "claim T: its filter, purpose ==, cannot be used"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_CLAIMS)
def test_a_claim_that_says_something_unknown_has_no_verdict(lab, kind):
    more, words = BAD_CLAIMS[kind]
    lab(pair(0.05), **more)
    with pytest.raises(ValueError, match=words):
        teach.claim("T")


def test_a_claim_with_a_key_missing_or_twice_has_no_verdict(lab, tmp_path):
    lab(pair(0.05))
    file = tmp_path / "lessons" / "toy" / "claims" / "T.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in said.items() if k != "prior"}))
    with pytest.raises(ValueError, match="T.json: the key 'prior' is missing"):
        teach.claim("T")
    file.write_text(json.dumps(said).replace('"margin"', '"margin": 0.5, "margin"'))
    with pytest.raises(ValueError, match="T.json: the key 'margin' stands twice in one place"):
        teach.claim("T")
    file.write_text(json.dumps(said)[:-20])
    with pytest.raises(
        ValueError, match=r"T.json, line 1, is not whole JSON \(.*\): correct it there, or take the file"
    ):
        teach.claim("T")


def test_a_claim_compares_the_ids_of_its_records_with_those_of_the_grid(lab, tmp_path, monkeypatch):
    wanted = grids.wanted
    lab(rows := pair(0.05))
    monkeypatch.setattr(grids, "wanted", wanted)
    arm = {"rates": [0.1], "phases": [{"strategy": [{"Full": {}}], "steps": 60, "lr": None}]}
    comparison = {"task": "elpv", "model": "m", "metric": "balanced_accuracy", "seeds": list(range(6)), "every": 0}
    comparison |= {"tuning_seeds": [], "options": {"n": 200}, "arms": {"full": arm, "scratch": arm}}
    (tmp_path / "lessons" / "toy" / "grids" / "toy.json").write_text(json.dumps([comparison]))
    specs = list(grids.specs("toy", grids.load_grid("toy")[0], {}))
    scores = {(r["spec"]["arm"], r["spec"]["seed"]): r["scores"] for r in rows}
    rows = [{**rows[0], "id": s.id, "spec": asdict(s), "scores": scores[s.arm, s.seed]} for s in specs]

    def judge(records):
        (tmp_path / "data" / "results" / "toy.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
        return teach.claim("T").verdict

    stale = replace(specs[0], seed=99)
    stale = {**rows[0], "id": stale.id, "spec": asdict(stale)}
    assert judge(rows) == "supported"
    with pytest.raises(teach.NotRecorded, match="11 of 12 runs are there, and 1 others that it does not ask for"):
        judge([*rows[1:], stale])
    with pytest.raises(teach.NotRecorded, match="12 of 12 runs are there, and 1 others that it does not ask for"):
        judge([*rows, stale])
    with pytest.raises(teach.NotRecorded, match="11 of 12 runs are there: `make record GRID=toy` makes them"):
        judge(rows[1:])


def test_a_claim_with_a_score_that_is_no_number_is_not_judged(lab):
    rows = pair(0.05)
    rows[3]["scores"]["test"]["balanced_accuracy"] = float("nan")
    lab(rows)
    with pytest.raises(
        ValueError, match="1 of 12 runs have no finite test.balanced_accuracy, the first of them scratch"
    ):
        teach.claim("T")
    rows[3]["scores"]["test"]["balanced_accuracy"] = "0.5"
    lab(rows)
    with pytest.raises(ValueError, match="line 4, score 'test': score 'balanced_accuracy' should be a valid number"):
        teach.claim("T")


# The rules


def test_every_rule_is_tested_and_short():
    tests = [name for name in globals() if name.startswith("test_rule_")]
    for name, rule in contrasts.RULES.items():
        assert len(inspect.getsource(rule).replace(rule.__doc__, "").splitlines()) <= 25
        assert name == "difference" or any(test.startswith(f"test_rule_{name}_") for test in tests)


def test_rule_over_all_compares_with_each_rival_and_corrects_for_their_number():
    rows = [r for s in range(6) for r in (run("full", s, 0.9), run("a", s, 0.5 + 0.1 * (s % 2)), run("b", s, 0.5))]
    d = contrasts.over_all(frame(rows), "test.macro_f1", "full", ["a", "b"])
    alone = compare.paired(frame(rows), "test.macro_f1", "full", "a")
    assert d.baseline == "a" and d.mean == alone.mean == pytest.approx(0.35)  # the rival that is nearest
    assert d.p == pytest.approx(2 * alone.p) and d.low < alone.low and d.high > alone.high
    assert d.detectable > alone.detectable
    one = contrasts.over_all(frame(rows), "test.macro_f1", "full", ["a"])
    assert (one.low, one.high, one.p) == pytest.approx((alone.low, alone.high, alone.p))


def test_rule_slope_is_the_gain_a_doubling():
    rows = [r for n in (50, 200, 800) for r in pair(0.02 * np.log2(n), 0.001, baseline="probe", n=n)]
    d = contrasts.slope(frame(rows), "test.macro_f1", "full", "probe")
    assert d.mean == pytest.approx(0.02, abs=1e-6) and d.verdict() == "supported" and d.seeds == 6
    flat = frame([r for n in (50, 200, 800) for r in pair(0.1, 0.01, baseline="probe", n=n)])
    assert contrasts.slope(flat, "test.macro_f1", "full", "probe").mean == pytest.approx(0.0, abs=1e-9)


def test_rule_over_tasks_is_the_mean_over_tasks_and_reads_what_stands_beside():
    rows = [r for task, effect in (("a", 0.1), ("b", 0.02)) for r in pair(effect, 0.001, baseline="probe", task=task)]
    d = contrasts.over_tasks(frame(rows), "test.macro_f1", "full", "probe")
    assert d.mean == pytest.approx(0.06) and d.seeds == 6 and d.verdict(0.05) == "supported"
    beside = {name: {"macro_f1": 0.3} for name in ("a:test", "b:test")}
    joint = [run("joint", seed, 0.9, task="both", **beside) for seed in range(6)]
    d = contrasts.over_tasks(frame(rows + joint), "test.macro_f1", "probe", "joint")
    assert d.mean == pytest.approx(0.25)  # of the two tasks: its own 0.9 is not looked at
    with pytest.raises(ValueError, match="a mean over tasks compares the same tasks, but there are"):
        contrasts.over_tasks(frame(rows[:12] + joint), "test.macro_f1", "full", "joint")


def test_rule_cost_compares_the_seconds_to_a_score_that_both_reach(lab):
    def curve(*scores):
        return [{"step": 10 * (i + 1), "macro_f1": s, "nll": 1.0} for i, s in enumerate(scores)]

    rows = []
    for seed in range(6):  # full reaches 0.95 · 0.6 = 0.57 at step 30, of 1 s each; the probe at step 10, of 0.1 s
        rows.append(run("full", seed, 0.8, curve=curve(0.3, 0.5, 0.58, 0.8), steps=40, seconds=40.0))
        rows.append(run("probe", seed, 0.6, curve=curve(0.58, 0.6), steps=20, seconds=2.0))
    lab(rows)
    d = contrasts.cost(claims.recorded("toy", "T"), "validation.macro_f1", "full", "probe")
    assert d.mean == pytest.approx(np.log2(30 / 1))


def test_rule_ratio_is_the_logarithm_to_base_two():
    rows = [r for s in range(6) for r in (run("frozen", s, 0.25 + s / 100), run("full", s, 0.5 + s / 50))]
    d = contrasts.ratio(frame(rows), "test.macro_f1", "frozen", "full")
    assert (d.mean, d.verdict(0.152)) == (pytest.approx(-1.0), "contradicted")  # half, which is lower


def test_rule_spread_is_the_distance_from_the_median():
    steady, wild = (0.5, 0.51, 0.49, 0.5, 0.52, 0.48), (0.5, 0.7, 0.3, 0.5, 0.8, 0.2)  # the median of both is 0.5
    rows = [r for s in range(6) for r in (run("full", s, wild[s]), run("scratch", s, steady[s]))]
    d = contrasts.spread(frame(rows), "test.macro_f1", "full", "scratch")
    assert d.mean == pytest.approx((1.0 - 0.06) / 6)


def test_rule_further_is_the_growth_of_a_gap_on_corrupted_tasks():
    gap, rows = {"t": 0.1, "t+noise3": 0.2, "t+blur1": 0.4}, []
    for task, wide in gap.items():
        for s in range(6):
            rows += [run("full", s, 0.5 + wide + s / 100, task=task), run("probe", s, 0.5 + s / 100, task=task)]
    d = contrasts.further(frame(rows), "test.macro_f1", "full", "probe")
    assert (d.mean, d.seeds) == (pytest.approx(0.2), 6)  # (0.2 + 0.4) / 2 - 0.1


def at_rates(scores: dict, task="t") -> list[dict]:
    """Runs of {shape: {rate: (score on validation, on test)}}, six seeds, as arms "shape@rate"."""
    rows = []
    for shape, rates in scores.items():
        for rate, (validation, test) in rates.items():
            for seed in range(6):
                wobble = 0.001 * seed
                row = run(f"{shape}@{rate}", seed, test + wobble, task=task,
                          validation={"balanced_accuracy": validation + wobble})  # fmt: skip
                row["spec"]["phases"] = [{"strategy": [], "steps": 1, "lr": rate}]
                rows.append(row)
    return rows


GRID = {"linear": {0.1: (0.9, 0.8), 0.2: (0.7, 0.95)}, "constant": {0.1: (0.6, 0.9), 0.2: (0.8, 0.75)}}


def test_rule_tuned_takes_each_shape_at_the_rate_that_validation_chose():
    d = contrasts.tuned(frame(at_rates(GRID)), "test.balanced_accuracy", "linear", "constant")
    assert (d.mean, d.seeds) == (pytest.approx(0.05), 6)  # 0.8 - 0.75, and not the best on test


def test_rule_tuned_leaves_the_seed_that_is_judged_out_of_the_choice():
    rows = at_rates({"linear": {0.1: (0.8, 0.8), 0.2: (0.79, 0.2)}, "constant": {0.1: (0.5, 0.5)}})
    for row in rows:
        if row["spec"]["arm"] == "linear@0.2" and row["spec"]["seed"] == 3:
            row["scores"]["validation"]["balanced_accuracy"] = 1.0  # one lucky seed
    own = contrasts.best_rate_per_seed(frame(rows)).query("arm == 'linear'").set_index("seed").lr
    assert own[3] == 0.1 and (own.drop(3) == 0.2).all()


def test_rule_speed_compares_steps_until_both_are_as_good():
    rows = at_rates(GRID)
    for row in rows:
        early = row["spec"]["arm"].startswith("linear")
        row["curve"] = [{"step": 10, "balanced_accuracy": 0.8 if early else 0.1}]
        row["curve"].append({"step": 40, "balanced_accuracy": 0.8})
    runs = frame(rows)
    runs["curve"] = [row["curve"] for row in rows]
    assert contrasts.speed(runs, "validation.balanced_accuracy", "linear", "constant").mean == pytest.approx(-2.0)


def test_rule_over_rates_is_the_mean_over_the_same_rates():
    d = contrasts.over_rates(frame(at_rates(GRID)), "test.balanced_accuracy", "linear", "constant")
    assert d.mean == pytest.approx((0.8 + 0.95) / 2 - (0.9 + 0.75) / 2)
    uneven = frame(at_rates(GRID | {"constant": {0.1: (0.6, 0.9)}}))
    with pytest.raises(ValueError, match="a mean over rates compares the same rates"):
        contrasts.over_rates(uneven, "test.balanced_accuracy", "linear", "constant")


def test_rule_regret_is_what_a_choice_made_elsewhere_loses():
    here, there = GRID, {"linear": {0.1: (0.1, 0.1), 0.2: (0.2, 0.2)}, "constant": {0.1: (0.3, 0.3), 0.2: (0.9, 0.9)}}
    runs = frame(at_rates(here, "here") + at_rates(there, "there"))
    d = contrasts.regret(runs, "test.balanced_accuracy", "here", "there")
    assert d.mean == pytest.approx(0.8 - 0.75)  # linear@0.1 was chosen here, constant@0.2 there


@pytest.mark.parametrize("sign", [1, -1])
def test_rule_rank_correlates_relatedness_with_gain(sign):
    rows = []
    for i, task in enumerate("abcdefg"):
        for seed in range(3):
            rows += [run("probe", seed, 0.5 + 0.03 * i, task=task), run("scratch", seed, 0.5, task=task)]
            rows.append(run("full", seed, 0.6 + sign * 0.02 * i, task=task))
    d = contrasts.rank(frame(rows), "test.macro_f1", "full", "scratch")
    assert d.mean == pytest.approx(sign) and d.low <= d.mean <= d.high
    few = frame([r for r in rows if r["spec"]["task"] in "abc"])
    assert (contrasts.rank(few, "test.macro_f1", "full", "scratch").low, 1.0) == (-1.0, 1.0)


def test_rule_rank_knows_sources():
    rows = [run("scratch", s, 0.5, task=t) for s in range(6) for t in "abc"]
    for i, source in enumerate(("x", "y")):
        for j, task in enumerate("abc"):
            for seed in range(6):
                rows.append(run(f"probe/{source}", seed, 0.5 + 0.1 * i + 0.01 * j, task=task))
                rows.append(run(f"full/{source}", seed, 0.6 + 0.1 * i + 0.01 * j, task=task))
    d = contrasts.rank(frame(rows), "test.macro_f1", "full", "scratch")
    assert d.mean == pytest.approx(1.0) and d.verdict() == "supported"  # six points


def test_the_rise_of_the_nll_is_above_its_own_minimum(lab):
    curve = [{"step": i, "nll": v} for i, v in enumerate((0.7, 0.5, 0.9))]
    lab([run("full", 0, 0.5, curve=curve), run("probe", 0, 0.5)])
    runs = claims.recorded("toy", "T")
    assert runs["rise.nll"][0] == pytest.approx(0.4) and pd.isna(runs["rise.nll"][1])
    assert runs["seconds.step"][0] == pytest.approx(0.1)


def test_one_seed_has_no_small_p():
    lone = contrasts.Paired("a", "b", "m", 1, 0.5, -np.inf, np.inf, np.nan, np.inf)
    assert contrasts.p_beyond(lone, 0.01) == 1.0


def test_p_beyond_agrees_with_the_interval():
    d = contrasts.paired(frame(pair(0.014, spread=0.0032)), "test.macro_f1", "full", "scratch")
    assert (d.low > 0.01) == (contrasts.p_beyond(d, 0.01) < 0.05)
    assert contrasts.p_beyond(d, d.low) == pytest.approx(0.05) and contrasts.p_beyond(d, 0.0) == d.p
    assert contrasts.p_beyond(d, 0.5) == 1.0


# The claim files


@pytest.mark.parametrize("file", CLAIMS, ids=lambda f: f.stem)
def test_a_claim_file_is_complete(file):
    said = load(file)
    assert said["id"] == file.stem and said["lesson"][:2].isdigit()
    assert all(said[key].endswith(".") and len(said[key]) > 10 for key in ("sentence", "rule", "prior"))
    for part in [said] + [{**said, **more} for more in said.get("also", [])]:
        assert part["by"] in contrasts.RULES and part["direction"] in ("higher", "lower")
        assert part["margin"] >= 0 and set(part["contrast"]) == {"arm", "baseline"}
        frame([run("full", 0, 0.5)]).query(part["filter"])
    assert f"{said['margin']:g}" in said["rule"]


def test_the_claims_of_the_lesson_are_there_and_its_recorded_ones_can_be_judged():
    assert {f.stem for f in CLAIMS} >= {"G1", "F1", "F2", "F3", "F4", "F5"}
    judged = []
    for file in CLAIMS:
        try:
            judged.append(str(teach.claim(file.stem)))
        except teach.NotRecorded as error:
            judged.append(str(error))
    assert all("Act on it: " in words or "make record GRID=" in words for words in judged)


def test_the_readme_shows_a_box_as_the_runs_have_it():
    box = str(teach.claim("F4")).partition("\n\nHow we know")[0]
    assert box in (places.ROOT / "README.md").read_text(encoding="utf-8")
