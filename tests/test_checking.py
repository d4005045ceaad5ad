"""check(): whatever a learner's code does, it ends, it is answered in a sentence, and it leaves nothing changed."""

import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ftlib import classroom as teach
from ftlib.assets import AssetError
from ftlib.classroom import checks

GONE = Path(__file__).parent / "no_such_file.json"


@pytest.fixture
def checker(monkeypatch):
    """Lets a function be the checker of every exercise, as one of ftlib's own: its code counts as the library's."""

    def install(function):
        source = "def checker(answer):\n    return inner(answer)\n"
        names = {"inner": function, "__name__": "ftlib_lesson_toy_checks", "__file__": checks.__file__}
        exec(source, names)
        monkeypatch.setattr(checks, "_checker", lambda name: names["checker"])

    install(lambda answer: answer() or "")
    return install


def ours(code: str, **names):
    """A function `f` of the library itself, from its text."""
    names |= {"__name__": "ftlib_lesson_toy_checks", "__file__": checks.__file__}
    exec(code, names)
    return names["f"]


def leave():
    sys.exit("bye")


def raises_what_no_except_expects():
    class Odd(BaseException):
        pass

    raise Odd("odd")


ESCAPES = {
    "a file that is not there": (lambda: GONE.read_text(), "FileNotFoundError"),
    "a file that is not there, raised": (lambda: exec("raise FileNotFoundError('mine')"), "FileNotFoundError: mine"),
    "the way out": (leave, "SystemExit: bye"),
    "the way out, silently": (sys.exit, "SystemExit"),
    "the end of a generator": (lambda: exec("raise GeneratorExit"), "GeneratorExit"),
    "an error of its own kind": (raises_what_no_except_expects, "Odd: odd"),
    "no end of calls": (lambda: (lambda f: f(f))(lambda f: f(f)), "RecursionError"),
}


@pytest.mark.parametrize("what", ESCAPES)
def test_nothing_that_the_learner_raises_escapes(what, checker):
    answer, said = ESCAPES[what]
    if answer is sys.exit:  # called by the checker itself: still nothing of the checker's doing
        checker(lambda answer: answer())
    result = teach.check("one", answer)
    assert not result.passed and f"Your code stopped with {said}" in str(result)
    with pytest.raises(AssertionError, match="Not yet: one"):
        teach.check("one", answer, strict=True)


def test_what_the_checker_itself_lacks_gets_through(checker):
    """No fault of the answer: NotRecorded, an AssetError or a missing file, raised by the library's own code."""
    for text, kind in (
        ("def f(answer):\n    answer()\n    open(gone)", FileNotFoundError),
        ("def f(answer):\n    answer()\n    gone.read_text()", FileNotFoundError),  # through pathlib
        ("def f(answer):\n    raise AssetError('not there')", AssetError),
    ):
        checker(ours(text, gone=GONE, AssetError=AssetError))
        with pytest.raises(kind):
            teach.check("one", lambda: 1)


def test_what_the_library_lacks_when_the_learner_calls_it_gets_through_if_it_is_an_asset(checker):
    """The answer calls ftlib.load_model, whose weights are not there: it may be right, so it is not marked as wrong."""
    load = ours("def f():\n    raise AssetError('weights are not there')", AssetError=AssetError)
    with pytest.raises(AssetError, match="weights are not there"):
        teach.check("one", lambda: load())


def test_ctrl_c_is_the_persons_own(checker):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach.check("one", interrupted)


# -- a time limit ---------------------------------------------------------------------------------------------
def forever():
    while True:
        pass


def sleeping():
    while True:
        time.sleep(0.01)


def computing():
    while True:
        torch.ones(50, 50) @ torch.ones(50, 50)


@pytest.mark.parametrize("endless", [forever, sleeping, computing])
@pytest.mark.parametrize("where", ["the main thread", "another thread"])
def test_a_loop_without_end_ends(endless, where, checker, monkeypatch):
    monkeypatch.setattr(checks, "SECONDS", 0.3)
    monkeypatch.setattr(checks, "AGAIN", 0.05)
    threads, results = threading.active_count(), []

    def ask():
        results.append(teach.check("one", endless))

    if where == "the main thread":
        ask()
    else:
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(60)
    assert not results[0].passed and "was not done after 0.3 seconds" in str(results[0])
    assert threading.active_count() == threads
    assert teach.check("one", lambda: "").passed  # and nothing comes after


def test_the_limit_is_repeated(checker, monkeypatch):
    """Code that caught it once is stopped at the next; it gives up by itself here, so that a failure has an end."""
    monkeypatch.setattr(checks, "SECONDS", 0.2)
    monkeypatch.setattr(checks, "AGAIN", 0.05)

    def stubborn():
        try:
            forever()
        except BaseException:
            until = time.perf_counter() + 5
            while time.perf_counter() < until:
                pass

    assert "was not done after" in str(teach.check("one", stubborn))


def test_the_limit_reaches_nobody_who_was_in_time(checker, monkeypatch):
    """Ended just before, just after: the next thing that runs is never hit."""
    monkeypatch.setattr(checks, "SECONDS", 0.01)
    for i in range(60):
        until = time.perf_counter() + 0.0085 + i * 5e-5

        def busy(until=until):
            while time.perf_counter() < until:
                pass

        teach.check("one", busy)
        sum(range(2000))  # here it would be hit
    assert checks.SECONDS < 1 and threading.active_count() < 20


def test_a_limit_that_is_over_at_once_strikes_once(checker, monkeypatch):
    """It may be over while the second thread starts; that thread must end all the same."""
    monkeypatch.setattr(checks, "SECONDS", 0)
    monkeypatch.setattr(checks, "AGAIN", 5)
    threads = threading.active_count()
    assert "was not done after" in str(teach.check("one", forever))
    assert threading.active_count() == threads


def test_the_usual_limit_is_well_above_what_a_checker_takes():
    assert 20 <= checks.SECONDS <= 60


# -- what an answer changed -----------------------------------------------------------------------------------
def state() -> dict:
    """What a learner's code could change for all that runs afterwards."""
    return {
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "device": str(torch.get_default_device()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),
        "random": random.getstate(),
    }


CHANGES = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "grad": lambda: torch.set_grad_enabled(False),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "device": lambda: torch.set_default_device("meta"),
    "deterministic": lambda: torch.use_deterministic_algorithms(not torch.are_deterministic_algorithms_enabled()),
    "torch": lambda: torch.manual_seed(3) and None,
    "numpy": lambda: np.random.seed(3),
    "random": lambda: random.seed(3),
}


@pytest.mark.parametrize("how", ["right", "wrong", "stopped", "too long"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_check_leaves_no_change_behind(name, how, checker, monkeypatch):
    before, seen = state(), []

    def answer():
        CHANGES[name]()
        seen.append(state())
        if how == "stopped":
            raise ValueError
        if how == "too long":
            forever()
        return "A hint." if how == "wrong" else ""

    monkeypatch.setattr(checks, "SECONDS", 0.2 if how == "too long" else 30)
    assert teach.check("one", answer).passed == (how == "right")
    assert seen[0][name] != before[name]
    after = state()
    assert {key for key in before if after[key] != before[key]} == set()


def test_two_checks_of_a_random_answer_agree(checker):
    """The second finds the generators as the first found them."""
    drawn = []
    for _ in range(2):
        teach.check("one", lambda: drawn.append(torch.rand(1).item() + random.random() + np.random.rand()))
    assert drawn[0] == drawn[1]


# -- an old version -------------------------------------------------------------------------------------------
class Shell:
    """A notebook's kernel, as far as a check asks: the cells that were run."""

    def __init__(self, *cells: str):
        self.user_ns, self.transform_cell = {"In": ["", *cells]}, lambda source: source.replace("%time ", "")


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (["def mine():\n    return 1", "def mine():\n    return (1", "teach.check('one', mine)"], 2),
        (["def mine():\n    return (1", "def mine():\n    return 1", "teach.check('one', mine)"], None),
        (["def mine():\n    return 1", "def mine_too(:", "def other(", "teach.check('one', mine)"], None),
        (["%time def mine(): return 1", "%time f()", "teach.check('one', mine)"], None),
        (["await g()\ndef mine():\n    return 1"], None),
    ],
)
def test_a_function_older_than_its_last_cell_is_named(cells, line, checker, monkeypatch):
    import IPython

    def mine():
        return ""

    monkeypatch.setattr(IPython, "get_ipython", lambda: Shell(*cells))
    result = teach.check("one", mine)
    assert result.passed == (line is None)
    if line:
        assert f"Your last version of `mine` has a syntax error in line {line}" in result.markdown
    assert teach.check("one", lambda: "").passed  # a function without a name of its own


def test_right_and_wrong_differ_by_icon_words_and_colour():
    right, wrong = (teach.Check("01_full/digit_policy", hint) for hint in ("", "Halve it."))
    assert (str(right), str(wrong)) == ("✔ Passed: digit policy.", "✘ Not yet: digit policy. Halve it.")
    colours = {one._repr_markdown_().partition("solid ")[2][:7] for one in (right, wrong)}
    assert len(colours) == 2 and all("\n\n**" in one._repr_markdown_() for one in (right, wrong))
