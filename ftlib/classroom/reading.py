"""What checkers share: answers that are read from a board or a figure, and tensors that show what went wrong."""

from numbers import Real

import torch
from torch import Tensor

NEAR = 0.06  # points: the board shows three decimals of a score


def points_read(answer, right: float, others: dict[str, float], names: tuple[str, str], otherwise: str) -> str:
    """ "" if `answer` is the difference `right` in points, or else the hint that fits.

    others: {hint: another number that stands on the board}. names: the arm that is asked about, and the baseline.
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
    """(hint, point, {point: value}) of an answer (point, values) in which the point must be one of those offered."""
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
    """The hint of the first wrong way, {hint: a tensor or several}, that gives the same numbers; "" if none does."""
    for hint, values in ways.items():
        for value in values if isinstance(values, tuple) else (values,):
            if torch.allclose(got.float().reshape(value.shape), value, rtol=rtol, atol=1e-6):
                return hint
    return ""


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers from a generator of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
