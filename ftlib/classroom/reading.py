"""Helpers for the checkers: numbers that learners read from a board or a figure, and tensors that reveal a mistake."""

from numbers import Real

import torch
from torch import Tensor

NEAR = 0.06  # percentage points, since the board shows three decimals of a score


def points_read(answer, right: float, others: dict[str, float], names: tuple[str, str], otherwise: str) -> str:
    """Return "" if `answer` is the difference `right` in percentage points, or else a hint that fits the mistake.

    others: {hint: another number on the board}. names: the arm in the question, and the baseline. otherwise: the hint
    for any other number.
    """
    points, (arm, baseline) = answer() if callable(answer) else answer, names
    if isinstance(points, tuple):
        return "Write the number with a point: 3.5."
    points = float(points)
    ways = {
        "": right,
        "The difference is right, but in points it is a hundred times as much: 0.01 is one point.": right / 100,
        "That is what the board says: turn the sign round, and take it times 100.": -right / 100,
        f"The size is right, the sign is not: the board says {baseline} − {arm}, the task asks for {arm} − {baseline}.":
            -right,
        **others,
    }  # fmt: skip
    for hint, value in ways.items():
        scale = 100 if value in (right / 100, -right / 100) else 1
        if abs(points - value) * scale < NEAR:
            return hint
    return otherwise


def point_read(answer, name: str) -> tuple[str, float | None, dict]:
    """Return (hint, point, {point: value}) for an answer (point, values). The point must be one of those offered."""
    pair = answer() if callable(answer) else answer
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return "Hand over the pair, your number and what the figure shows, as the cell does.", None, {}
    point, values = pair[0], dict(pair[1])
    if point is None:
        return f"There is no answer yet: write the {name} in place of None, and run the cell again.", None, values
    if not isinstance(point, Real) or point not in values:
        offered = ", ".join(f"{p:g}" for p in values)
        return f"A {name} is asked for. The figure offers {offered}, and {point!r} is none of them.", None, values
    return "", point, values


def known_way(got: Tensor, ways: dict, rtol: float = 1e-5) -> str:
    """The hint of the first mistake in `ways`, {hint: tensor or tensors}, that gives the same numbers, or ""."""
    for hint, values in ways.items():
        for value in values if isinstance(values, tuple) else (values,):
            if torch.allclose(got.float().reshape(value.shape), value, rtol=rtol, atol=1e-6):
                return hint
    return ""


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal random numbers from their own generator."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
