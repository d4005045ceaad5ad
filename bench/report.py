"""bench/results.jsonl → the measured part of docs/benchmarks.md.

    .venv/bin/python -m bench.report

A ratio is a peer's seconds divided by ours of the same round: the median over the rounds, and from where to where they
reach. A goal is met by a median. Scores are compared seed by seed; "equal" is what a 95 % interval cannot tell apart.
"""

import statistics
from dataclasses import dataclass

from bench.cases import (
    BF16,
    CASES,
    GOAL_AUGMENTED,
    LESSONS,
    OURS,
    PEERS,
    PLAIN,
    RESULTS,
    ROOT,
    TABLES,
    WAYS,
    WITHOUT,
    augmented,
    blocks,
    competitors,
    goal,
    read,
)
from ftlib.evidence.compare import interval

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: bench/report.py writes from here -->", "<!-- to here -->"
COLUMNS = (PEERS[0], BF16, *PEERS[1:])


@dataclass
class Compared:
    """One competitor in one case of one table, over the rounds."""

    ratios: list[float]  # its seconds / ours
    scores: list[float]
    ours: list[float]  # our scores

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def difference(self) -> tuple[float, float, float]:
        """(mean, low, high) of its score minus ours, paired by seed."""
        return interval([a - b for a, b in zip(self.scores, self.ours)])

    @property
    def better(self) -> bool:
        """Whether it ends in a higher score than ours, beyond noise: then its seconds bought something."""
        return len(self.scores) > 1 and self.difference[1] > 0


def compared(rows: list[dict], case: str, table: str) -> tuple[list[dict], dict[str, Compared]]:
    """(our rows, {who: Compared}) of the complete blocks, on the largest share of the data that was measured."""
    found = {key: block for key, block in blocks(rows).items() if key[:2] == (case, table)}
    found = {k: block for k, block in found.items() if set(competitors(case, table, False)) <= set(block)}
    most = max((key[-1] for key in found), default=0)
    whole = [block for key, block in sorted(found.items()) if key[-1] == most]
    out = {}
    for who in COLUMNS:
        if used := [block for block in whole if who in block]:
            out[who] = Compared(
                [block[who]["seconds"] / block[OURS]["seconds"] for block in used],
                [block[who]["score"] for block in used],
                [block[OURS]["score"] for block in used],
            )
    return [block[OURS] for block in whole], out


def failed(case: str, table: str, peers: dict[str, Compared]) -> dict[str, str]:
    """{whom the goal was not reached against: why}. Being fast is worth nothing at a lower score."""
    slow = {who: f"{one.ratio:.2f}" for who, one in peers.items() if one.ratio < goal(case, table, who)}
    return {who: "scores higher" for who, one in peers.items() if one.better} | slow


def columns(rows: list[dict], table: str) -> list[str]:
    """Whoever was measured in a table, in their order."""
    seen = {who for case in CASES for who in compared(rows, case, table)[1]}
    return [who for who in COLUMNS if who in seen]


def spread(values: list[float], form: str = ".2f") -> str:
    """1.85 (1.80 to 1.92)"""
    middle = f"{statistics.median(values):{form}}"
    return middle if len(values) < 2 else f"{middle} ({min(values):{form}} to {max(values):{form}})"


def lines(head: list[str], body: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def speed(rows: list[dict], table: str) -> str:
    """The table of ratios."""
    body, shown = [], columns(rows, table)
    for case, about in CASES.items():
        ours, peers = compared(rows, case, table)
        if not ours:
            continue
        cells = [spread(peers[who].ratios) if who in peers else "–" for who in shown]
        wanted = f"{about.goals[table]:g}" + (f", bf16 {goal(case, table, BF16):g}" if BF16 in peers else "")
        why = ", ".join(" ".join(pair) for pair in failed(case, table, peers).items())
        seconds = spread([row["seconds"] for row in ours], ".1f")
        body.append([about.title, seconds, *cells, f"at least {wanted}", f"no: {why}" if why else "yes"])
    return lines(["work", "ours, s", *shown, "goal", "met"], body)


def quality(rows: list[dict], table: str) -> str:
    """The table of scores."""
    body, shown = [], columns(rows, table)
    for case, about in CASES.items():
        ours, peers = compared(rows, case, table)
        if not ours:
            continue
        cells = [score(peers[who]) if who in peers else "–" for who in shown]
        higher = [who for who, one in peers.items() if one.better]
        verdict = "one round only" if len(ours) < 2 else f"no: {', '.join(higher)} higher" if higher else "yes"
        mean = statistics.mean(row["score"] for row in ours)
        body.append([about.title, ours[0]["metric"].replace("_", " "), f"{mean:.3f}", *cells, verdict])
    return lines(["work", "score", "ours", *shown, "ours as good, within noise"], body)


def score(one: Compared) -> str:
    """0.712 (+0.003 ± 0.020): the mean, and its difference from ours with half the 95 % interval."""
    mean, low, high = one.difference
    about = f"{mean:+.3f}" if len(one.scores) < 2 else f"{mean:+.3f} ± {(high - low) / 2:.3f}"
    return f"{statistics.mean(one.scores):.3f} ({about})"


def rounds_of(rows: list[dict]) -> dict[int, list[dict[str, dict]]]:
    """{pixels a side: the rounds of augmentation}, on the largest share of the data that was measured."""
    found, out = augmented(rows), {}
    for size in sorted({key[0] for key in found}, reverse=True):
        most = max(key[-1] for key in found if key[0] == size)
        out[size] = [block for key, block in sorted(found.items()) if key[0] == size and key[-1] == most]
    return out


def times(rounds: list[dict[str, dict]], way: str) -> list[float]:
    """An epoch of this way divided by one without augmentation, of the same round."""
    return [block[way]["seconds"] / block[PLAIN]["seconds"] for block in rounds]


def augmentation(rows: list[dict]) -> str:
    """The table of what augmentation costs, and a sentence on the goal."""
    body, words = [], []
    for size, rounds in rounds_of(rows).items():
        for way in WAYS:
            ratio, calls = times(rounds, way), [block[way]["alone"] for block in rounds]
            seconds, waited = ([block[way][key] for block in rounds] for key in ("seconds", "data"))
            met = statistics.median(ratio) <= GOAL_AUGMENTED
            judged = [f"at most {GOAL_AUGMENTED:g}", "yes" if met else "no"] if way == OURS else ["–", "–"]
            each = "–" if None in calls else spread(calls, ".0f")
            body.append([f"{size} px", way, spread(seconds), spread(waited), spread(ratio), each, *judged])
            if way == OURS:
                words.append(f"{'met' if met else 'missed'} at {size} px ({statistics.median(ratio):.2f})")
    head = ["cells", "augmentation", "epoch, s", "waiting for batches, s", "epochs without", "alone, µs a picture"]
    said = f"The goal, an epoch with our augmentation in at most {GOAL_AUGMENTED:g} times one without, is"
    return f"{lines([*head, 'goal', 'met'], body)}\n\n{said} {', '.join(words)}."


def others(rows: list[dict]) -> str:
    """The table of the small measurements; of the same one made twice, the later."""
    body = []
    for row in {row["measure"]: row for row in rows if "measure" in row}.values():
        limit = row["goal"]
        met = "–" if limit is None else "yes" if row["value"] <= limit else "no"
        wanted = "–" if limit is None else f"at most {limit:g} {row['unit']}"
        body.append([row["measure"], f"{row['value']:.3g} {row['unit']}", wanted, met])
    return lines(["measurement", "value", "goal", "met"], body)


def lessons(rows: list[dict]) -> str:
    """A table for each computer and profile: how long each lesson takes; of the same one run twice, the later."""
    parts: dict[tuple, dict[str, dict]] = {}
    for row in rows:
        made = row["provenance"]
        parts.setdefault((made["device"], row["profile"], row["at_a_time"]), {})[row["lesson"]] = row
    out = []
    for (device, profile, at_a_time), found in parts.items():
        versions = next(iter(found.values()))["provenance"]["versions"]
        dates = sorted({row["provenance"]["date"] for row in found.values()})
        body = [
            [
                name,
                f"{row['seconds']:.0f}",
                "{}, {:.0f} s".format(*row["slowest"][0]),
                "; ".join(one.split(":")[0] for one in row["failed"]) or "–",
            ]
            for name, row in sorted(found.items())
        ]
        beside = f"{at_a_time} lessons at a time" if at_a_time > 1 else "one lesson at a time"
        about = f"{device}, profile {profile}, {beside}; torch {versions['torch']}; {' to '.join(dates)}."
        out += [about, lines(["lesson", "seconds", "its slowest cell", "failed"], body)]
    return "\n\n".join(out) or "Not measured yet."


def origin(rows: list[dict], table: str) -> str:
    """Where the numbers of a table come from, in a sentence or two."""
    used = [row for case in CASES for row in compared(rows, case, table)[0]]
    return made_with(used, ("torch", "transformers", "pytorch-lightning", "fastai"))


def made_with(used: list[dict], packages: tuple[str, ...]) -> str:
    """Machine, versions, rounds, share of the examples and dates of these rows."""
    made = [row["provenance"] for row in used]
    if not made:
        return "Not measured yet."
    versions = made[-1]["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in packages)
    peaks = ", ".join(
        f"{spread(sorted({m['gflops'][name] for m in made}), '.3g')} GFLOP/s in {name}" for name in made[-1]["gflops"]
    )
    shares = " and ".join(f"{100 * share:g} %" for share in sorted({row["fraction"] for row in used}))
    dates = " to ".join(sorted({min(m["date"] for m in made), max(m["date"] for m in made)}))
    return (
        f"{made[-1]['device']}, threads: {made[-1]['threads']}, matrix products {peaks}; {named}; rounds: "
        f"{len({row['round'] for row in used})}, examples: {shares}; {dates}."
    )


def peers(rows: list[dict], letters: str, where: str = "") -> list[str]:
    """Both tables of peers, of one computer."""
    parts = []
    for letter, (table, title) in zip(letters, TABLES.items()):
        parts += [f"## Table {letter}: {title}{where}", origin(rows, table)]
        if any(compared(rows, case, table)[0] for case in CASES):
            parts += [speed(rows, table), quality(rows, table)]
    return parts


def render(rows: list[dict], without: list[dict] = ()) -> str:
    """Everything that was measured, as Markdown. `without`: the peers' rows without AVX-512."""
    parts = peers(rows, "ab")
    if without:
        parts += peers(list(without), "cd", ", without AVX-512")
    used = [block[OURS] for rounds in rounds_of(rows).values() for block in rounds]
    parts += ["## What augmentation costs", made_with(used, ("torch", "torchvision"))]
    parts += [augmentation(rows)] if used else []
    parts += ["## Other measurements"]
    parts += [others(rows) if any("measure" in row for row in rows) else "Not measured yet."]
    parts += ["## The lessons", lessons(read(LESSONS))]
    return "\n\n".join(parts)


def updated(page: str, rows: list[dict], without: list[dict] = ()) -> str:
    """The page with its measured part made anew."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE} has lost the comments between which the tables stand: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{render(rows, without)}\n\n{END}{after}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), read(RESULTS), read(WITHOUT)), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is up to date.")


if __name__ == "__main__":
    main()
