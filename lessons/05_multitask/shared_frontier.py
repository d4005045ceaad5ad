"""The check of the widget's task: a weighting that is better for both tasks, and the one that comes nearest."""

import math
from numbers import Real

from ftlib.classroom.lessons import part
from ftlib.evidence.runs import load_records


def frontier(answer) -> str:
    """{"both better": (width, weight) or "none", "nearest": (width, weight)}, as the recorded runs have them."""
    answer = answer() if callable(answer) else answer
    if not isinstance(answer, dict) or set(answer) != {"both better", "nearest"}:
        return f'Keep the dictionary {{"both better": ..., "nearest": ...}}, and fill in both. You gave {answer!r}.'
    if empty := [key for key, value in answer.items() if value is None]:
        return f"There is no answer at {empty[0]!r} yet."
    recorded, records = part("05_multitask", "shared_recorded"), load_records("05_multitask")
    changes = recorded.worse_changes(records)
    better = recorded.both_better(records)
    return weighting_hint(answer["both better"], better, set(changes)) or nearest_hint(answer["nearest"], changes)


def weighting_hint(answer, better: list[tuple[int, float]], tried: set[tuple[int, float]]) -> str:
    """ "" if this is one of `better`, or "none" where there is none. tried: all recorded (width, weight)."""
    if isinstance(answer, str) and answer.strip().lower() == "none":
        return "There is such a weighting. Look at each width, for two intervals above 0." if better else ""
    pair = isinstance(answer, tuple | list) and len(answer) == 2
    if not pair or not all(isinstance(one, Real) and not isinstance(one, bool) for one in answer):
        return (
            f'Write the width and the weight, such as (64, 3), or "none" if there is no such pair. You gave {answer!r}.'
        )
    width, weight = answer
    if any(width == w and math.isclose(weight, v) for w, v in better):
        return ""
    if not any(width == w and math.isclose(weight, v) for w, v in tried):
        turned = any(weight == w and math.isclose(width, v) for w, v in tried)
        return (
            "The width comes first, then the weight. Turn your answer round." if turned
            else f"The recorded widths are {_listed(w for w, _ in tried)} and the weights {_listed(v for _, v in tried)}."
        )  # fmt: skip
    said = f"At width {width} and weight {weight:g} at least one task has an interval that holds 0 or lies below it"
    rest = "Look at the other widths and weights." if better else 'If no pair is better for both tasks, write "none".'
    return f"{said}. {rest}"


def nearest_hint(answer, changes: dict[tuple[int, float], float]) -> str:
    """ "" if this is the weighting whose worse change is the best, width 4 left out."""
    best = max((key for key in changes if key[0] >= 16), key=changes.get)
    if isinstance(answer, tuple | list) and tuple(answer) in changes and answer[0] < 16:
        return "At width 4 the seeds differ by tens of points, so its means say little. Take a width from 16 on."
    if isinstance(answer, str):
        return f"At 'nearest', write a width and a weight, such as (64, 3). You gave {answer!r}."
    if hint := weighting_hint(answer, [best], set(changes)):
        if not isinstance(answer, tuple | list) or tuple(answer) not in changes:
            return hint.replace(', or "none" if there is no such pair', "")
        return (
            f"At width {answer[0]} and weight {answer[1]:g} the worse of the two changes is {changes[tuple(answer)]:+.1f} points. "
            "Some other pair has one that is nearer to 0, or above it."
        )
    return ""


def _listed(values) -> str:
    return ", ".join(f"{value:g}" for value in sorted(set(values)))
