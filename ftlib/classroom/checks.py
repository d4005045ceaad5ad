"""check(): an exercise's checker, run here and now, without an account.

The checkers of a lesson are functions in lessons/<lesson>/checks.py, EXERCISES = {name: checker}. Each takes what the
learner made and returns "" if it is right, or else the hint that fits what is wrong. It knows the likely wrong answers
by what they compute, takes under five seconds, and leaves the random numbers alone. No solution is in it.

Whatever the learner's code raises is an answer, too, and so is a loop without an end. What it changes for everybody,
such as torch's default dtype or a seed, is set back.
"""

import ctypes
import random
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

from ftlib.assets import AssetError
from ftlib.classroom.lessons import part
from ftlib.classroom.text import Text
from ftlib.io import places

STUB = "it still raises NotImplementedError: write your answer in its place, run that cell, then this one again."
ENDLESS = "Your code was not done after {:g} seconds: look for a `while` that never ends, or for far too much work."
SECONDS = 30.0  # of the clock; a right answer takes under 5, and the computer may be busy
AGAIN = 1.0  # seconds until code that caught this is stopped once more
LIBRARIES = [Path(__file__).parents[1], places.ROOT / "lessons"]
LIBRARIES += [*map(Path, {sysconfig.get_path(p) for p in ("stdlib", "purelib", "platlib")})]


class Check(Text):
    """What a checker said; `passed` is True or False."""

    def __init__(self, exercise: str, hint: str):
        super().__init__(f"**{exercise}: not yet.** {hint}" if hint else f"**{exercise}: passed.**")
        self.passed = not hint


def check(exercise: str, answer, *, strict: bool = False) -> Check:
    """Check what a learner made for an exercise, such as "01_full/accumulate".

    The result shows itself as a sentence. With strict, as in a graded notebook, a wrong answer is an AssertionError.
    """
    result = Check(exercise, _hint(_checker(exercise), answer))
    if strict and not result.passed:
        raise AssertionError(str(result))
    return result


def _checker(exercise: str):
    lesson, _, name = exercise.partition("/")
    known = part(lesson, "checks").EXERCISES
    if name not in known:
        raise KeyError(f"{lesson} has no exercise called {name!r}: there are {', '.join(known)}")
    return known[name]


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
    except (AssetError, KeyboardInterrupt):  # what the kit lacks, and Ctrl-C: no fault of the answer
        raise
    except BaseException as error:  # sys.exit too
        if isinstance(error, OSError) and not _through_the_learner(error.__traceback__):
            raise  # a file that the checker itself needs
        return f"Your code stopped with {type(error).__name__}: `{error}`"


def _through_the_learner(trace: TracebackType | None) -> bool:
    """Whether code that belongs neither to the kit nor to an installed library was running."""
    while trace is not None:
        code, file = trace.tb_frame.f_code.co_filename, trace.tb_frame.f_globals.get("__file__")
        if not code.startswith("<frozen") and not (file and any(Path(file).is_relative_to(at) for at in LIBRARIES)):
            return True
        trace = trace.tb_next
    return False


class _TooLong(BaseException):
    """Raised in the middle of a learner's code."""


def _in_time(call: Callable[[], str]) -> str:
    """What the call returns; _TooLong if it takes more than SECONDS.

    A second thread has Python raise _TooLong in this one, at its next instruction. That needs no signal, so it works
    in any thread and on Windows; a single long step of C code ends first.
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
        _raise_in(me, None)  # what was raised and has not arrived yet must not hit what runs next

    watchdog = threading.Thread(target=watch, daemon=True)
    try:
        try:
            watchdog.start()  # on a busy computer the limit may be over before this returns
            return call()
        finally:
            stop()
    except _TooLong:  # which may have arrived amid stop()
        stop()
        raise


def _raise_in(thread: int, error) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)


@contextmanager
def _set_back() -> Iterator[None]:
    """Set back what code can change for all that runs after it: torch's settings, and every random generator."""
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
