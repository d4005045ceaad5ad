"""What the board says: where the reader is, what is seen, and the table of all methods."""

import html

import numpy as np
import pandas as pd

from ftlib import plots
from ftlib.evidence.compare import SEEDS_FOR_A_VERDICT, UNCLEAR

SIGNS = {"higher": "▲ ", "lower": "▼ "}
CELL = 'style="text-align: left; padding: 1px 10px 1px 0; white-space: nowrap"'


def where(group) -> str:
    """The group in words."""
    size = "all" if group.size == "all" else f"{group.size:,}"
    counts = group.runs.groupby("arm").seed.nunique()
    seeds = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    return f"{group.name}, {size} training examples. Runs: {group.label}. Means over {_many(seeds, 'seed')}."


def readings(at, out: dict[str, str]) -> str:
    """What the comparison with the baseline shows, by its one rule."""
    found, baseline, measure = at.found, at.baseline, at.measure
    every = at.group.runs.groupby("arm").seed.nunique().drop(list(out), errors="ignore").max()
    if baseline in out:
        return f"Nothing is compared with {baseline}: {out[baseline]}."
    rows = found.drop(index=baseline, errors="ignore")
    if rows.empty:
        return "There is one method only, so there is nothing to compare." + _left_out(out)
    seeds = int(found.seeds.loc[baseline])
    better = ("", "") if measure.higher else (", which is worse", ", which is better")
    on = "by seed" if seeds == every else f"on the {seeds} seeds that all of them have"
    words = [f"Against {baseline}, paired {on}{plots.corrected(rows)}."]
    for reading, note in zip(("higher", "lower"), better):
        if len(its := rows[rows.reading == reading]):
            each = (f"{arm} ({measure.said(d, '+')}{measure.unit})" for arm, d in its.difference.items())
            words.append(f"{reading.capitalize()}{note}: {listed(each)}.")
    if len(its := rows[rows.reading == UNCLEAR]):
        why = (
            ""
            if seeds >= SEEDS_FOR_A_VERDICT
            else (f" A verdict needs {SEEDS_FOR_A_VERDICT} seeds, and there {'is' if seeds == 1 else 'are'} {seeds}.")
        )
        held = "the interval holds 0" if len(its) == 1 else "their intervals hold 0"
        words.append(f"Can't tell: {listed(its.index)}{f' ({held})' if not why else ''}.{why}")
    return " ".join(words) + _left_out(out)


def difference(row, measure) -> str:
    """A difference with its corrected interval and its reading."""
    if np.isinf(row.corrected_low):
        return f"{measure.said(row.difference, '+')}{measure.unit} (one seed, so no interval), {row.reading}"
    ends = f"[{measure.said(row.corrected_low, '+')}, {measure.said(row.corrected_high, '+')}]"
    outside = not row.corrected_low <= 0 <= row.corrected_high
    why = plots.too_few(int(row.seeds)) if row.reading == UNCLEAR and outside else ""
    return f"{measure.said(row.difference, '+')}{measure.unit} {ends}, {row.reading}{why}"


def on_the_front(kept: list[str], means: pd.Series, costs: pd.Series, measure, cost) -> str:
    """The Pareto front, and who is behind it."""
    each = (f"{arm} ({cost.said(costs[arm])}; {measure.said(means[arm])})" for arm in kept)
    behind = [arm for arm in means.index if arm in costs.index and arm not in kept]
    words = [f"On the Pareto front, by means ({cost.label}; {measure.label}): {listed(each)}."]
    if behind:
        other = "for no more" if not cost.higher else "on both"
        words.append(f"Behind it, since another method does as well or better {other}: {listed(behind)}.")
    return " ".join(words)


def seed_by_seed(pairs: pd.DataFrame, method: str, baseline: str, measure, row) -> str:
    """How often one method was ahead. pairs: a row per seed, a column per method."""
    gaps = (pairs[method] - pairs[baseline]) * (1 if measure.higher else -1)
    ahead, tied = int((gaps > 0).sum()), int((gaps == 0).sum())
    words = f"{method} is better than {baseline} on {ahead} of {_many(str(len(gaps)), 'seed')}"
    words += f", and equal on {tied}. " if tied else ". "
    if row is None:
        return words
    return f"{words}Mean difference {difference(row, measure)}."


def machines(group, cost) -> str:
    """Whether seconds and bytes of memory were taken in ways that allow a comparison."""
    if cost.column == "memory":
        return " On a CPU that is the memory of the whole process, so small differences mean nothing."
    if not cost.column.startswith("seconds"):
        return ""
    said = [record.get("provenance", {}) for record in group.records.values()]
    kinds = {(str(one.get("processor")), one.get("threads"), one.get("device")) for one in said}
    return f" These seconds come from {len(kinds)} kinds of machine, so don't compare them." if len(kinds) > 1 else ""


def every(group, measure, cost) -> str:
    """All methods with score and cost."""
    means, costs = group.means(measure), group.means(cost)
    each = (f"{arm} {measure.said(means[arm])}, {cost.said(costs[arm])}" for arm in group.arms
            if arm in means.index and arm in costs.index)  # fmt: skip
    return f"All methods, {measure.label} and {cost.label}: {'; '.join(each)}."


def rows(at, out: dict[str, str]) -> str:
    """A table of all methods as HTML; the chosen one has a sign, those of the front have another."""
    group, measure, cost, found, baseline = at.group, at.measure, at.cost, at.found, at.baseline
    heads = ["method", "seeds", measure.label, cost.label, f"difference from {baseline}", "reading"]
    means, costs, body = group.means(measure), group.means(cost), []
    for arm in group.arms:
        name = f"{'▶ ' if arm == at.method else ''}{arm}{' ★' if arm in at.front else ''}"
        score = measure.said(means[arm]) if arm in means.index else "–"
        paid = cost.said(costs[arm]) if arm in costs.index else "–"
        seeds = str(group.runs.seed[group.runs.arm == arm].nunique())
        apart, reading = ("", "baseline") if arm == baseline else ("", out.get(arm, ""))
        if arm in found.index and arm != baseline:
            row = found.loc[arm]
            apart = difference(row, measure).rpartition(f", {row.reading}")[0]
            reading = f"{SIGNS.get(row.reading, '')}{row.reading}"
        body.append([name, seeds, score, paid, apart, reading])
    head = "".join(f"<th {CELL}>{html.escape(word)}</th>" for word in heads)
    lines = "".join(f"<tr>{''.join(f'<td {CELL}>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in body)
    note = "★ is on the Pareto front, ▶ is the chosen method. The interval of a difference is corrected."
    box = 'style="max-height: 300px; overflow: auto" tabindex="0" role="group" aria-label="all methods"'
    return f"<div {box}><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div><p>{note}</p>"


def listed(words) -> str:
    """a, b and c."""
    words = [str(word) for word in words]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _left_out(out: dict[str, str]) -> str:
    return "".join(f" Not compared: {arm}, since {why}." for arm, why in out.items())


def _many(number: str, word: str) -> str:
    return f"{number} {word}{'' if number == '1' else 's'}"
