"""claim(): what a lesson shows of a judged claim: its sentence, its rule, a table, the verdict and what that means."""

import pandas as pd

from ftlib.classroom.text import Text
from ftlib.evidence import claims
from ftlib.evidence.claims import Judged
from ftlib.evidence.compare import SEEDS_FOR_A_VERDICT

BESIDE = 12  # so many rows beside a claim are shown unfolded
MEANING = {
    "supported": "the whole interval lies beyond the margin, on the side that the sentence names.",
    "contradicted": "the whole interval lies beyond the margin, on the other side.",
    "equivalent": "the whole interval lies inside the margin: a difference, if any, is too small to matter here.",
    "undecided": "this experiment does not decide it: an interval crosses the margin, the tasks disagree, or the seeds "
    f"are fewer than {SEEDS_FOR_A_VERDICT}. That refutes nothing.",
}


class Claim(Text):
    """A judged claim. `verdict` is one word; `rows` holds one row per task and contrast, those that decide first."""

    def __init__(self, judged: Judged):
        said, self.rows, self.verdict = judged.said, judged.rows, judged.verdict
        self.id = said.id
        super().__init__(
            f"**Claim {self.id}.** {said.sentence}\n\n"
            f"*The rule, written before the results were seen:* {said.rule}\n\n"
            f"{_tables(self.rows)}\n\n**Verdict: {self.verdict}**: {MEANING[self.verdict]} "
            f"What the literature led us to expect: {said.prior}"
        )


def claim(name: str, verdict: str | None = None) -> Claim:
    """Judge a claim from its recorded runs; with `verdict`, assert that the lesson's text says the same.

    Raises NotRecorded as long as the runs are not all there.
    """
    found = Claim(claims.judge(name))
    if verdict not in (None, found.verdict):
        raise AssertionError(
            f"claim {name}: the lesson says {verdict!r}, but the recorded runs say {found.verdict!r}: change the text"
        )
    return found


def _tables(rows: pd.DataFrame) -> str:
    """All rows in Markdown; what decides nothing is folded up where it would bury what decides."""
    beside = rows[~rows.decides]
    if len(beside) <= BESIDE:
        return _table(rows)
    folded = f"{len(beside)} more comparisons, which stand beside it and decide nothing"
    return f"{_table(rows[rows.decides])}\n\n<details><summary>{folded}</summary>\n\n{_table(beside)}\n\n</details>"


def _table(rows: pd.DataFrame) -> str:
    """The rows in Markdown."""
    lines = [
        "| task | comparison | effect [95 % interval] | seeds | detectable | p (Holm) | reading |",
        "|---" * 7 + "|",
    ]
    for row in rows.to_dict("records"):
        p = "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
        lines.append(
            f"| {row['task']} | {row['effect of']}, {row['on']} | {row['effect']:+.3f} [{row['low']:+.3f}, "
            f"{row['high']:+.3f}] | {row['seeds']} | {row['detectable']:.3f} | {p} | "
            f"{row['verdict'] if row['decides'] else row['verdict'] + ' (beside it)'} |"
        )
    return "\n".join(lines)
