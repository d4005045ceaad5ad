"""What checkers of an answer that is read from a board share."""

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
