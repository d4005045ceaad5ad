"""claim(): shows a judged claim with its sentence, its rule, a table, the verdict and the meaning of the verdict."""

import pandas as pd

from ftlib.classroom.text import Text
from ftlib.evidence import claims
from ftlib.evidence.claims import Judged
from ftlib.evidence.compare import SEEDS_FOR_A_VERDICT

BESIDE = 12  # more rows than this that decide nothing are folded up
MEANING = {
    "supported": "the whole interval lies beyond the margin, on the side that the sentence names.",
    "contradicted": "the whole interval lies beyond the margin, on the other side.",
    "equivalent": "the whole interval lies inside the margin: a difference, if any, is too small to matter here.",
    "undecided": "this experiment does not decide it: an interval crosses the margin, the tasks disagree, or the seeds "
    f"are fewer than {SEEDS_FOR_A_VERDICT}. That refutes nothing.",
}


class Claim(Text):
    """A judged claim, shown with its sentence, its rule, a table and the verdict.

    The attribute `verdict` is "supported", "contradicted", "equivalent" or "undecided". The attribute `rows` has one
    row per task and contrast. The deciding rows come first.

    Parameters
    ----------
    judged : ftlib.evidence.claims.Judged
        The claim with its result.

    Examples
    --------
    >>> claim = ftlib.teach.claim("Z1")
    >>> claim.verdict
    'supported'
    >>> claim.rows.decides.value_counts().to_dict()
    {False: 6, True: 2}
    """

    def __init__(self, judged: Judged):
        written, self.rows, self.verdict = judged.written, judged.rows, judged.verdict
        self.id = written.id
        super().__init__(
            f"**Claim {self.id}.** {written.sentence}\n\n"
            f"*The rule, written before the results were seen:* {written.rule}\n\n"
            f"{_tables(self.rows)}\n\n**Verdict: {self.verdict}**: {MEANING[self.verdict]} "
            f"What the literature led us to expect: {written.prior}"
        )


def claim(name: str, verdict: str | None = None) -> Claim:
    """Judge a claim from its recorded runs.

    Parameters
    ----------
    name : str
        Id of the claim, such as "Z1".
    verdict : str, optional
        The verdict that the lesson's text states. It is compared with the verdict of the runs.

    Returns
    -------
    Claim

    Raises
    ------
    KeyError
        If there is no such claim.
    NotRecorded
        If some of its runs are missing.
    AssertionError
        If the runs give another verdict than the lesson's text.

    Examples
    --------
    >>> claim = ftlib.teach.claim("Z1", verdict="supported")
    >>> str(claim).splitlines()[0]
    'Claim Z1. Freezing layers saves training time and computation.'
    """
    found = Claim(claims.judge(name))
    if verdict not in (None, found.verdict):
        raise AssertionError(
            f"claim {name}: the lesson says {verdict!r}, but the recorded runs say {found.verdict!r}: change the text"
        )
    return found


def _tables(rows: pd.DataFrame) -> str:
    """All rows in Markdown. Many rows that decide nothing are folded up, so that the deciding ones can be seen."""
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
