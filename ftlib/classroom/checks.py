"""check(): runs the checker of an exercise in the notebook.

The checkers of a lesson are functions in lessons/<lesson>/checks.py, EXERCISES = {name: checker}. A checker takes the
learner's answer, such as a number or a function. It returns "" if the answer is right, or else a hint that fits the
mistake. It recognises likely mistakes by the numbers that they give. It takes less than five seconds, uses no global
random numbers and contains no solution.

An exception in the learner's code and an endless loop also get a hint. After a check, global settings such as torch's
default dtype and the random seeds are as before.
"""

import ctypes
import random
import re
import sys
import sysconfig
import textwrap
import threading
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, TracebackType

import numpy as np
import torch

from ftlib.assets import AssetError
from ftlib.classroom.lessons import part
from ftlib.classroom.text import Outcome
from ftlib.io import places

STUB = "it still raises NotImplementedError: write your answer in its place, run that cell, then this one again."
STALE = "Your last version of `{name}` has a syntax error in line {line}, so the older one is still there, and this "
STALE += "check does not count. Correct that cell and run it, then this one again."
ENDLESS = "Your code was not done after {:g} seconds: look for a `while` that never ends, or for far too much work."
FEEDBACK = 88  # characters of a line, since the page that nbgrader gives back cuts longer ones off
SECONDS = 30.0  # of real time; a right answer takes less than 5, but the computer may be busy
AGAIN = 1.0  # seconds until code that caught the exception is stopped again
LIBRARIES = [Path(__file__).parents[1], places.ROOT / "lessons"]
LIBRARIES += [*map(Path, {sysconfig.get_path(p) for p in ("stdlib", "purelib", "platlib")})]


class Check(Outcome):
    """The result of a check. The attribute `passed` is True or False.

    Parameters
    ----------
    exercise : str
        Name of the exercise, such as "01_full/accumulate".
    hint : str
        The checker's hint, or "" if the answer is right.

    Examples
    --------
    >>> ftlib.teach.Check("01_full/accumulate", hint="Divide by the number of batches.")
    ✘ Not yet: accumulate. Divide by the number of batches.
    >>> ftlib.teach.Check("01_full/accumulate", hint="").passed
    True
    """

    def __init__(self, exercise: str, hint: str):
        title = exercise.rpartition("/")[2].replace("_", " ")
        super().__init__(not hint, f"{'Not yet' if hint else 'Passed'}: {title}.", hint)
        self.passed = not hint


def check(exercise: str, answer, *, strict: bool = False) -> Check:
    """Check the answer to an exercise.

    Parameters
    ----------
    exercise : str
        Name of the exercise, such as "01_full/accumulate".
    answer : object
        The learner's answer, such as a number or a function.
    strict : bool, default False
        Raise an error if the answer is wrong. Graded notebooks use this.

    Returns
    -------
    Check
        "passed", or a hint. An exception in the learner's code and an endless loop also get a hint. So does a function
        that is older than the learner's last version of it, because that one had a syntax error.

    Raises
    ------
    AssertionError
        If the answer is wrong and `strict` is True.
    FileNotFoundError
        If there is no such lesson.
    KeyError
        If the lesson has no such exercise.

    Examples
    --------
    >>> result = ftlib.teach.check("06_schedules/peak", 0.003)
    >>> print(result)
    ✘ Not yet: peak. With a peak of 0.003 the mean rate is 0.0015, ...
    >>> result.passed
    False
    """
    checker = _checker(exercise)
    result = Check(exercise, _stale(answer) or _hint(checker, answer))
    if strict and not result.passed:
        raise AssertionError(textwrap.fill(str(result), FEEDBACK))
    return result


def _checker(exercise: str):
    lesson, _, name = exercise.partition("/")
    known = part(lesson, "checks").EXERCISES
    if name not in known:
        raise KeyError(f"{lesson} has no exercise called {name!r}: there are {', '.join(known)}")
    return known[name]


def _stale(answer) -> str:
    """A sentence where a notebook cell with a newer version of this function was run, and Python couldn't read it."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    name = getattr(answer, "__name__", "")
    if shell is None or not isinstance(answer, FunctionType) or not name.isidentifier():
        return ""
    for source in reversed(shell.user_ns.get("In", [])):
        if re.search(rf"^def {name}\b", source, re.M):
            return _unreadable(name, shell.transform_cell(source))
    return ""


def _unreadable(name: str, source: str) -> str:
    try:
        compile(source, name, "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return STALE.format(name=name, line=error.lineno)
    return ""


def _hint(checker, answer) -> str:
    if answer is None or answer is ...:
        return "There is no answer here: it was handed " + (
            "None." if answer is None else "the three dots of the stub."
        )
    try:
        with _set_back():
            return _in_time(lambda: checker(answer))
    except NotImplementedError:
        return "Your answer is not there yet: " + STUB
    except _TooLong:
        return ENDLESS.format(SECONDS)
    except (AssetError, KeyboardInterrupt):  # a missing file of the kit and Ctrl-C aren't the learner's mistakes
        raise
    except BaseException as error:  # sys.exit too
        if isinstance(error, OSError) and not _through_the_learner(error.__traceback__):
            raise  # the checker itself lacks a file
        return f"Your code stopped with {type(error).__name__}: `{error}`"


def _through_the_learner(trace: TracebackType | None) -> bool:
    """Whether the error passed through code that belongs neither to the kit nor to an installed library."""
    while trace is not None:
        code, file = trace.tb_frame.f_code.co_filename, trace.tb_frame.f_globals.get("__file__")
        if not code.startswith("<frozen") and not (file and any(Path(file).is_relative_to(at) for at in LIBRARIES)):
            return True
        trace = trace.tb_next
    return False


class _TooLong(BaseException):
    """Raised inside the learner's code to stop it."""


def _in_time(call: Callable[[], str]) -> str:
    """Return the result of the call. Raises _TooLong if it takes more than SECONDS.

    A second thread makes Python raise _TooLong in this thread at its next instruction. That needs no signal, so it
    works in any thread and on Windows. A long step of C code is finished first.
    """
    done, me = threading.Event(), threading.get_ident()

    def watch() -> None:
        wait = SECONDS
        while not done.wait(wait):
            _raise_in(me, ctypes.py_object(_TooLong))
            wait = AGAIN

    def stop() -> None:
        done.set()
        watchdog.join()
        _raise_in(me, None)  # an exception that has not arrived yet must not hit the code that runs next

    watchdog = threading.Thread(target=watch, daemon=True)
    try:
        try:
            watchdog.start()  # on a busy computer the limit may be over before this returns
            return call()
        finally:
            stop()
    except _TooLong:  # it may arrive during stop()
        stop()
        raise


def _raise_in(thread: int, error) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)


@contextmanager
def _set_back() -> Iterator[None]:
    """Restore the global state after the block: torch's settings and every random generator."""
    dtype, grad, threads, device = (
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), torch.get_default_device(),
    )  # fmt: skip
    strict, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        torch.set_rng_state(drawn[2])
        if on_gpu is not None:
            torch.cuda.set_rng_state_all(on_gpu)
