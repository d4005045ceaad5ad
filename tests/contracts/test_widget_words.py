"""What a widget says, in its figure, its title, its words and its status, is what its data say, computed anew.

CHECKS has one check a public function of classroom.widgets, with data whose answers are known: one without a row turns
the first test red. `says` compares all the numbers of a text in their order, each to the digits that it shows.
"""

import html
import inspect
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from known import BASE, DATA, METRIC, NUMBER, UNCLEAR, against, bar, close, comparisons, every, of, score, scores

from ftlib import classroom as teach
from ftlib import metrics
from ftlib.classroom import widgets
from ftlib.classroom.lessons import part
from ftlib.io import places
from ftlib.strategy import Strategy

GENERATION = part("04_peft", "widget_generation")
CURVES = part("08_augmentation", "widget_curves")
SPACE = part("07_domain", "widget")
PLAYGROUND = part("06_schedules", "widget")
EXPLORER = part("04_peft", "widget_explorer")
SAMPLES = part("08_augmentation", "widget_samples")

pytestmark = pytest.mark.usefixtures("one_thread")
PUBLIC = {name for name in widgets.__all__ if inspect.isfunction(getattr(widgets, name))}
NLL = "test.nll"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch, caplog):
    """Answers of its own; and an error in a handler, which ipywidgets only logs, fails the test."""
    monkeypatch.setenv("FTLIB_ANSWERS", str(tmp_path))
    monkeypatch.delenv("FTLIB_LANG", raising=False)
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def says(text: str, *expected: float) -> None:
    """All numbers of the text are the expected ones, in order, each rounded to the digits that are shown."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(?<=[A-Za-z_])\d+", "", text)  # F1 is a name
    found = re.findall(NUMBER + r"(?:e[+-]?\d+)?", text)
    assert len(found) == len(expected), f"{found} in {text!r}, expected {expected}"
    for shown, value in zip(found, expected):
        mantissa, _, power = shown.lower().partition("e")
        digits = len(mantissa.partition(".")[2]) - int(power or 0)
        assert abs(float(shown) - value) <= 0.5 * 10**-digits + 1e-9, f"{shown} for {value} in {text!r}"


def status(line) -> str:
    """What stands in a panel's line of words, which a screen reader speaks."""
    assert 'role="status"' in line.value
    return html.unescape(re.sub("<.*?>", "", line.value))


def told(panel, words: str) -> str:
    """The text alternative, which is the same in the panel, below the figure, in the figure and without a kernel."""
    assert words == panel.alt == panel._words()
    if hasattr(panel, "figure"):
        assert panel.figure.layout.meta["alt"] == panel.alt
    return panel.alt


# ---- the board


def recorded(rows: pd.DataFrame) -> pd.DataFrame:
    """Three sizes of task t, one of task u without two of the arms, and runs that chose a rate."""

    def grid(task, n, add):
        return rows.assign(task=task, n=n, purpose="measure", **{METRIC: rows[METRIC] + add, NLL: 1 - rows[METRIC]})

    other = grid("u", 50, 0.3)
    parts = [grid("t", None, 0.2), grid("t", 200, 0.1), grid("t", 50, 0.0), other[other.arm.isin([BASE, "mid"])]]
    return pd.concat([*parts, parts[2].assign(purpose="tune", **{METRIC: 9.0, NLL: 9.0})], ignore_index=True)


def check_board(rows):
    runs = recorded(rows)
    board = widgets.board(runs, {"accuracy": METRIC, "NLL (lower is better)": NLL}, BASE)
    arms = list(dict.fromkeys(rows.arm))
    for at in every(task=["t", "u"], size=[50, "all"], measure=[METRIC, NLL])[1:-1:2]:
        board.task.value, board.size.value, board.measure.value = at["task"], at["size"], at["measure"]
        n = runs.n.isna() if at["size"] == "all" else runs.n == at["size"]
        here = runs[(runs.purpose == "measure") & (runs.task == at["task"]) & n]
        alt, label = told(board, status(board.words)), board.measure.label
        for fig in (board.figure, board.still()):
            assert [t.name for t in fig.data] == [arm for arm in arms for _ in range(2)]
            for k, arm in enumerate(arms):
                light, mean = fig.data[2 * k : 2 * k + 2]
                mine = list(scores(here, arm, at["measure"]).values())
                assert sorted(light.x) == sorted(mine) and {*light.y, *mean.y} <= {arm}
                if not mine:
                    assert not len(mean.x)
                    continue
                value, low, high = of(mine)
                assert close(bar(mean), (value, low, high) if len(mine) > 1 else (value, value, value))
            assert fig.layout.title.text == f"{at['task']}, {at['size']} training examples"
            assert fig.layout.xaxis.title.text == f"{label} on test"
        if here.empty:
            assert at["task"] in alt and str(at["size"]) in alt and "No run" in alt
            continue
        means = "; ".join(
            f"{a} {score(list(scores(here, a, at['measure']).values()))}" for a in dict.fromkeys(here.arm)
        )
        pairs = comparisons(here, BASE, at["measure"])
        assert f"{label} on test, mean and 95 % interval over seeds: {means}." in alt
        compared = f"Against {BASE}, paired by seed: {'; '.join(f'{a} {w}' for a, w in pairs.items())}."
        assert alt.endswith(compared if pairs else "There is nothing to compare here.")
    return board


# ---- recorded curves

LOWER_IS_BETTER = {"nll", "brier", "ece", "mae", "rmse", "perplexity", "loss"}


def during(rows: pd.DataFrame) -> pd.DataFrame:
    """Curves whose middle step holds the scores; the first arm rises, the others fall; an arm's seed 0 stops early."""
    parts = []
    for k, arm in enumerate(dict.fromkeys(rows.arm)):
        mine = rows[rows.arm == arm]
        for n, size in ((50, 0.0), (None, 0.1)):
            for step in (30, 10, 20):
                slope = (step - 20) / 100 * (1 if k == 0 else -1)
                values = mine[METRIC] + size + slope
                parts.append(mine.assign(n=n, step=step, purpose="measure", accuracy=values, nll=1 - values))
    out = pd.concat(parts, ignore_index=True)
    first = out.arm.iloc[0]
    whole = out[~((out.arm == first) & (out.seed == 0) & (out.step == 30))] if rows.seed.nunique() > 1 else out
    return pd.concat([whole, whole.assign(purpose="tune", accuracy=9.0)], ignore_index=True)


def check_curves(rows):
    given, arms = during(rows), [arm for arm in dict.fromkeys(rows.arm) if arm != BASE]
    labels = {"accuracy": "accuracy", "NLL (lower is better)": "nll"}
    panel, seeds = CURVES.curves(given, labels, (BASE, arms[0])), rows.seed.nunique()
    given = given[given.purpose == "measure"]
    for at in every(size=[50, "all"], measure=["accuracy", "nll"], beside=arms[:2])[::2]:
        panel.size.value, panel.measure.value, panel.beside.value = at["size"], at["measure"], at["beside"]
        here = given[given.n.isna() if at["size"] == "all" else given.n == at["size"]]
        found = {}
        for arm in (BASE, at["beside"]):
            mine = here[here.arm == arm]
            whole = [s for s in (10, 20, 30) if sum(mine.step == s) == seeds]
            found[arm] = {s: scores(mine[mine.step == s], arm, at["measure"]) for s in whole}
        steps = [s for s in found[BASE] if s in found[at["beside"]]]
        assert [value for _, value in panel.step.options] == steps
        for step in steps:
            panel.step.value = step
            alt = told(panel, status(panel.words))
            for k, arm in enumerate(found):
                stats = [of(values.values()) for values in found[arm].values()]
                low, high, mean = panel.figure.data[3 * k : 3 * k + 3]
                assert [t.name for t in (low, high, mean)] == [arm] * 3
                assert list(low.x) == list(high.x) == list(mean.x) == list(found[arm])
                for trace, i in ((low, 1), (high, 2), (mean, 0)):
                    assert close(trace.y, [s[i] if seeds > 1 else s[0] for s in stats])
            assert panel.figure.layout.shapes[0].x0 == panel.figure.layout.shapes[0].x1 == step
            assert panel.figure.layout.title.text == f"{panel.measure.label}, {at['size']} training examples"
            assert panel.shown == [(s, pytest.approx(of(v.values())[0])) for s, v in found[BASE].items()]
            now = pd.DataFrame({"arm": arm, "seed": seed, METRIC: value}
                               for arm in found for seed, value in found[arm][step].items())  # fmt: skip
            mean, low, high, _ = against(now, at["beside"])
            word = "higher" if low > 0 else "lower" if high < 0 else UNCLEAR
            word = word if seeds >= 6 else UNCLEAR
            best, low_is_better = {}, at["measure"] in LOWER_IS_BETTER
            for arm in found:
                means = {s: of(v.values())[0] for s, v in found[arm].items()}
                best[arm] = (min if low_is_better else max)(means, key=means.get), means
            sizes = [] if at["size"] == "all" else [50]
            each = [v for arm in found for v in of(found[arm][step].values())[: 3 if seeds > 1 else 1]]
            why = [6, seeds] if 1 < seeds < 6 and not low <= 0 <= high else []
            ends = [number for s, means in best.values() for number in (means[s], s)]
            spread = [mean, low, high] if seeds > 1 else [mean]
            over = [95, seeds] if seeds > 1 else []
            says(alt, *sizes, step, *over, *each, *spread, *why, *ends)
            assert ("one seed" in alt) == ("only seed" in alt) == (seeds == 1)
            assert f"{at['beside']} minus {BASE}: {mean:+.3f}" in alt
            tail = alt.partition(f"minus {BASE}:")[2]
            assert [w for w in ("higher", "lower", UNCLEAR) if w in tail] == ([word] if seeds > 1 else [])
            assert ("Lowest" in alt, "Highest" in alt) == (low_is_better, not low_is_better)


def test_the_explorer_of_curves_knows_of_every_metric_which_way_is_better():
    """Each name that an evaluation gives; "best" is said of the lowest loss, and of the highest score."""
    labels, logits = np.array([0, 1, 1]), np.array([[2.0, 0], [0, 1], [1, 0]])
    names = {*metrics.classification(logits, labels), *metrics.regression(logits[:, :1], labels), "loss"}
    names |= set(metrics.tokens(metrics.token_counts(torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.long))))
    assert len(names) > 12 and names >= LOWER_IS_BETTER
    for name in sorted(names):
        rows = pd.DataFrame(
            {"arm": arm, "n": 5, "seed": s, "step": step, name: step / 10}
            for arm in "ab" for s in (0, 1) for step in (1, 2)
        )  # fmt: skip
        alt = CURVES.curves(rows, {"it": name}, ("a", "b")).alt
        ends = "Lowest mean: a 0.100 at step 1; b 0.100 at step 1." if name in LOWER_IS_BETTER else (
            "Highest mean: a 0.200 at step 2; b 0.200 at step 2.")  # fmt: skip
        assert alt.endswith(ends), name


# ---- ranks

SIGMA = {"query": [8.0, 4.0, 2.0, 1.0, 0.5, 0.25], "wide": [3.0, 3.0, 3.0, 0.1]}
SHAPES = {"query": (6, 6), "wide": (4, 10)}


def updates():
    rng = np.random.default_rng(0)
    out = {}
    for name, sigma in SIGMA.items():
        (left, _), (right, _) = (np.linalg.qr(rng.normal(size=(n, n))) for n in SHAPES[name])
        out[name] = left[:, : len(sigma)] @ np.diag(sigma) @ right[: len(sigma)]
    return out


def check_rank_explorer(rows):
    names = list(dict.fromkeys(rows.arm))
    ranks = dict(zip(names, (4, 0, 1)))  # the first arm is LoRA of rank 4, the second is full fine-tuning
    runs = rows[rows.arm.isin(ranks)].assign(rank=lambda r: r.arm.map(ranks))
    explorer = EXPLORER.rank_explorer(updates(), runs, METRIC)
    found = {rank: list(scores(rows, arm).values()) for arm, rank in ranks.items()}
    for at in every(matrix=list(SIGMA), rank=[value for _, value in explorer.rank.options]):
        explorer.matrix.value, explorer.rank.value = at["matrix"], at["rank"]
        alt, sigma = told(explorer, status(explorer.words)), SIGMA[at["matrix"]]
        rank, squares = min(at["rank"], len(sigma)), [s * s for s in sigma]
        kept = [sum(squares[: i + 1]) / sum(squares) for i in range(len(sigma))]
        inside, outside, curve = explorer.figure.data
        assert close(inside.y, [s / sigma[0] for s in sigma[:rank]]) and list(inside.x) == [*range(1, rank + 1)]
        assert close(outside.y, [s / sigma[0] for s in sigma[rank - 1 :]])
        assert list(outside.x) == [*range(rank, len(sigma) + 1)] and close(curve.y, kept)
        every_square = sum(s * s for other in SIGMA.values() for s in other)
        together = sum(s * s for other in SIGMA.values() for s in other[: at["rank"]]) / every_square
        (high, wide), share = SHAPES[at["matrix"]], 100 * kept[rank - 1]
        size = rank * (high + wide)
        nearest = min(sorted(r for r in found if r), key=lambda r: abs(math.log(r / at["rank"])))
        last = [n for r in (nearest, 0) if r in found for n in (*([r] if r else []), *spoken(found[r]))]
        beyond = [rank] if rank < at["rank"] else []
        of_all = [size, high * wide, 100 * size / (high * wide), len(SIGMA), 100 * together]
        says(alt, high, wide, rank, *beyond, rank, len(sigma), share, *of_all, *last)
        assert ("(the nearest)" in alt) == (nearest != at["rank"]) and ("no more than" in alt) == (rank < at["rank"])
        assert f"LoRA of rank {nearest}" in alt and alt.index("LoRA of rank") < alt.index("full fine-tuning")
        assert "accuracy on test" in alt and alt.startswith(at["matrix"])
        assert explorer.figure.layout.title.text == f"{at['matrix']}: rank {rank} keeps {share:.0f} %"


def spoken(values) -> list[float]:
    """The numbers with which a recorded score is told: mean, interval and how many seeds."""
    return [*of(values), len(values)] if len(values) > 1 else [of(values)[0]]


# ---- schedules


def shapes():
    return {"flat": lambda warmup: lambda p: min(1.0, p / warmup) if warmup else 1.0,
            "fall": lambda warmup: lambda p: p / warmup if p < warmup else 1 - p,
            "own": lambda warmup: lambda p: 4 * p * (1 - p)}  # fmt: skip


SCHEDULES = [("t", "flat", 1e-3, 0.0, 10), ("t", "fall", 1e-2, 0.1, 10), ("u", "own", 1e-2, 0.0, 20)]


def check_playground(rows):
    names, runs = list(dict.fromkeys(rows.arm))[:3], []
    for arm, (task, shape, lr, warmup, steps) in zip(names, SCHEDULES):
        mine = rows[rows.arm == arm].drop(columns="task")
        runs.append(mine.assign(task=task, shape=shape, lr=lr, warmup=warmup, steps=steps))
    play = PLAYGROUND.playground(shapes(), pd.concat(runs), METRIC)
    kept = {said: list(scores(rows, arm).values()) for arm, said in zip(names, SCHEDULES)}
    options = {name: [v for _, v in getattr(play, name).options] for name in ("peak", "warmup", "steps")}
    settings = every(task=list(play.task.options), shape=list(shapes()), **options)
    for at in settings[:: 7 if rows is DATA["better and worse"] else 31]:
        play.task.value, play.shape.value, play.peak.value = at["task"], at["shape"], at["peak"]
        play.warmup.value, play.steps.value = at["warmup"], at["steps"]
        alt, steps, peak = told(play, status(play.words)), at["steps"], at["peak"]
        rates = [peak * shapes()[at["shape"]](at["warmup"])((i + 0.5) / steps) for i in range(steps)]
        mean = sum(rates) / steps
        each, level = play.figure.data
        assert close(each.y, rates) and list(each.x) == [*range(1, steps + 1)]
        assert close(level.y, [mean, mean]) and list(level.x) == [1, steps]
        warmup = 0.0 if at["shape"] == "own" else at["warmup"]

        def far(said, at=at, warmup=warmup):
            _, shape, lr, warm, many = said
            return (2 * (shape != at["shape"]) + abs(math.log(lr / at["peak"])) / math.log(3)
                    + 10 * abs(warm - warmup) + abs(math.log2(many / at["steps"])))  # fmt: skip

        there = [said for said in kept if said[0] == at["task"]]
        nearest = [s for s in there if far(s) < min(map(far, there)) + 1e-9]
        assert any(score(kept[s]) in alt for s in nearest)
        _, shape, lr, warm, many = next(s for s in nearest if score(kept[s]) in alt)
        differs = [(f"the shape {shape}", shape != at["shape"]), (f"a peak of {lr:g}", lr != peak),
                   (f"{100 * warm:g} % warmup" if warm else "no warmup", warm != warmup),
                   (f"{many} steps", many != steps)]  # fmt: skip
        tail = alt.partition("Nearest recorded on ")[2]
        assert tail.startswith(f"{at['task']}: ")
        for words, other in differs:
            assert (words in tail.partition(", accuracy")[0]) == other, (words, alt)
        assert ("exactly these" in tail) == (not any(other for _, other in differs))
        middle = alt.partition(": the rate is ")[2].partition("Nearest")[0]
        for value, shown in zip((rates[0], max(rates), rates[-1]), re.findall(r"[\d.e-]+\d", middle)[:3]):
            assert float(shown) == pytest.approx(value, rel=0.05, abs=1e-12)
        area, level = re.search(r"Area: (\d+) % .* mean rate is ([\d.e-]+\d)", middle).groups()
        assert float(area) == round(100 * mean / peak) and float(level) == pytest.approx(mean, rel=0.05)
        said = f"{at['shape']}, peak {peak:g}, "
        said += "its own warmup" if at["shape"] == "own" else f"{100 * warmup:g} % warmup" if warmup else "no warmup"
        assert play.figure.layout.title.text == alt.partition(": the rate")[0] == f"{said}, {steps} steps"


# ---- features


GAPS = {"apart": (3.0, False), "together": (0.0, False), "turned round": (0.5, True), "a class lacks": (1.0, False),
        "below zero": (-2.0, False)}  # fmt: skip


def features(kind: str):
    """(progress, domains, classes): 12 examples of a source and 8 of a target in four dimensions."""
    rng = np.random.default_rng(0)
    domains = ["here", "there"] * 8 + ["here"] * 4
    classes = ["cat" if i % 3 else "dog" for i in range(20)]
    if kind == "a class lacks":
        classes = ["cat" if d == "there" else c for c, d in zip(classes, domains)]
    is_dog, far = np.array([c == "dog" for c in classes]), np.array([d == "there" for d in domains])
    gap, turned = GAPS[kind]

    def at(step):
        x = 0.3 * rng.normal(size=(20, 4)) - (10 if kind == "below zero" else 0)
        x[:, 0] += 3.0 * np.where(far & turned, ~is_dog, is_dog)
        x[:, 1] += gap * far * (1 if step == 0 else 0.2)
        return x

    return {m: {s: at(s) for s in (0, 40)} for m in ("plain", "other")}, domains, classes


def apart(x, domains) -> float:
    s, t = ([row for row, d in zip(x, domains) if d == name] for name in ("here", "there"))
    means = [np.mean(rows, axis=0) for rows in (s, t)]
    inside = sum(((row - mean) ** 2).sum() for rows, mean in zip((s, t), means) for row in rows)
    return math.sqrt(((means[0] - means[1]) ** 2).sum()) / math.sqrt(inside / (len(x) - 2))


def known_classes(x, domains, classes) -> float:
    """The mean over the target's classes of how often the nearest class mean of the source is right."""
    means = {}
    for name in set(classes):
        means[name] = np.mean([r for r, d, c in zip(x, domains, classes) if (d, c) == ("here", name)], axis=0)
    right: dict[str, list[bool]] = {}
    for row, domain, label in zip(x, domains, classes):
        if domain == "there":
            right.setdefault(label, []).append(min(means, key=lambda c, r=row: ((r - means[c]) ** 2).sum()) == label)
    return float(np.mean([np.mean(hits) for hits in right.values()]))


def check_feature_space(kind):
    progress, domains, classes = features(kind)
    shown = [f"sentence {i}" for i in range(20)]
    space = SPACE.feature_space(progress, domains, classes, shown)
    every_row = np.concatenate([x for steps in progress.values() for x in steps.values()])
    values, vectors = np.linalg.eigh(np.cov(every_row.T))
    shares = (values / values.sum())[::-1][:2]
    plane = vectors[:, ::-1][:, :2]
    plane = plane * np.sign([plane[np.abs(plane[:, k]).argmax(), k] for k in range(2)])
    for at in every(method=list(progress), step=[0, 40], by=["class", "domain"], example=[0, 7])[::3]:
        space.method.value, space.step.value = at["method"], at["step"]
        space.by.value, space.example.value = at["by"], at["example"]
        told(space, f"{status(space.words)} {status(space.about)}")
        drawn = {s: (x - every_row.mean(0)) @ plane for s, x in progress[at["method"]].items()}
        far, flat = ({s: apart(x, domains) for s, x in of_.items()} for of_ in (progress[at["method"]], drawn))
        right = {s: 100 * known_classes(x, domains, classes) for s, x in progress[at["method"]].items()}
        step, s = at["step"], 100 * shares
        says(status(space.words), 12, 8, step, 4, s.sum(), *s, far[step], 4, 0, far[0], flat[step], flat[0],
             right[step], 0, right[0])  # fmt: skip
        i = at["example"]
        assert status(space.about) == f"Example {i + 1}: {domains[i]}, {classes[i]}, “sentence {i}”."
        other = "domain" if at["by"] == "class" else "class"
        assert f"{at['by']} by colour, {other} by shape" in status(space.words)
        points = {}
        for trace in space.figure.data:
            if trace.hovertext is not None:
                for x, y, text in zip(trace.x, trace.y, trace.hovertext):
                    points[int(re.search(r"example (\d+)", text)[1]) - 1] = (x, y, trace.name, text)
        assert sorted(points) == list(range(20))
        for row, (x, y, name, text) in points.items():
            assert close((x, y), drawn[step][row]) and name == f"{domains[row]}, {classes[row]}"
            assert name in text and f"sentence {row}" in text
        mark = space.figure.data[-1]
        assert close((*mark.x, *mark.y), drawn[step][i]) and list(mark.text) == [f"example {i + 1}"]
        assert space.figure.layout.title.text == f"{at['method']}, step {step}"
        for k, axis in enumerate((space.figure.layout.xaxis, space.figure.layout.yaxis)):
            says(axis.title.text, k + 1, s[k])


# ---- augmented pictures


class Darker(Strategy):
    """Every pixel loses the strength."""

    role = "augment"

    def __init__(self, strength):
        self.strength = strength

    def transform(self, batch):
        return {**batch, "pixels": (batch["pixels"] - self.strength).clamp(0, 1)}


class Blend(Strategy):
    """Half of the strength comes from the row before, label and all."""

    role = "mix"

    def __init__(self, strength):
        self.share = 1 - strength / 2

    def transform(self, batch):
        x, y = batch["pixels"], torch.eye(2)[batch["labels"]]
        mixed = [self.share * v + (1 - self.share) * v.roll(1, 0) for v in (x, y)]
        return {**batch, "pixels": mixed[0], "labels": mixed[1]}


JUDGES = {
    "right": lambda x: (x.mean((1, 2, 3)) < 0.5).float(),
    "wrong": lambda x: (x.mean((1, 2, 3)) >= 0.5).float(),
    "always sure of class 1": lambda x: torch.full((len(x),), 0.97),
    "nobody": None,
}


def check_samples(judge):
    bright = torch.tensor([0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.9, 0.8, 0.6, 0.95])  # class 1 is dark
    labels, pictures = (bright < 0.5).long(), bright[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    names, ask = ["day", "night"], JUDGES[judge]
    play = SAMPLES.samples(pictures, labels, names, {"darker": Darker, "blend": Blend}, ask)
    rows = [0, 1, 2, 3, 4, 5]  # the classes in turns
    assert play.rows == rows
    for at in every(kind=["darker", "blend"], strength=[0.0, 0.25, 1.0]):
        play.kind.value, play.strength.value = at["kind"], at["strength"]
        alt = told(play, status(play.words))
        change = {"darker": Darker, "blend": Blend}[at["kind"]](at["strength"])
        batch = {"pixels": pictures[rows], "labels": labels[rows]}
        out = change.transform(batch) if at["strength"] else batch
        texts = []
        for i in range(6):
            y = out["labels"][i]
            shares = {int(y): 1.0} if not y.ndim else {k: float(v) for k, v in enumerate(y) if v > 0}
            order = sorted(shares, key=lambda k: (-round(100 * shares[k]), k))
            parts = [f"{round(100 * shares[k]) / 100:g} {names[k]}" for k in order]
            text = names[order[0]] if len(order) == 1 else " + ".join(parts)
            if ask:
                p = float(ask(out["pixels"])[i])
                text += f" (network: {100 * p:.0f} % night)"
                assert f"{100 * p:.0f} % night" in play.figure.layout.annotations[6 + i].text
            texts.append(text)
            assert play.figure.layout.annotations[i].text.replace("<br>", " ") == text.partition(" (")[0]
        assert f"From left to right: {'; '.join(texts)}." in alt

        def balanced(x):
            chosen = ask(x) > 0.5
            return sum(float((chosen[labels == k] == bool(k)).float().mean()) for k in (0, 1)) / 2

        tail = alt.partition("balanced accuracy")[2]
        assert bool(tail) == (ask is not None and at["kind"] == "darker")
        if tail:
            here = balanced(Darker(at["strength"]).transform({"pixels": pictures})["pixels"])
            says(tail, 10, *([here] if at["strength"] else []), balanced(pictures))
        strength = f"{at['strength']:g}" + (", draw 1" if at["strength"] else ": untouched")
        assert play.figure.layout.title.text == play.title == f"{at['kind']}, strength {strength}"
        assert play.title in alt


# ---- answers of language models

ANSWERS = {
    "all the same": {"base": "yes", "tuned": "yes", "merged": "yes"},
    "none the same": {"base": "yes", "tuned": "no", "merged": "perhaps"},
    "two pairs": {"base": "yes", "tuned": "no", "merged": "yes", "cut": "no", "odd": "well"},
    "one model": {"base": "yes"},
    "odd marks": {"base": "**bold** `x`", "tuned": "yes\nno"},
}


def check_comparer(case):
    def model(text):
        return lambda prompt: text if prompt == "A?" else f"{text}!"

    comparer = GENERATION.comparer({name: model(text) for name, text in ANSWERS[case].items()}, ["A?", "B?"])
    for prompt, more in (("A?", ""), ("B?", "!"), ("A?", "")):
        comparer.example.value = prompt
        expected = {name: text + more for name, text in ANSWERS[case].items()}
        assert comparer.answers == expected and f"“{prompt}”" in comparer.alt
        words, at = status(comparer.words), 0
        for name, text in expected.items():
            plain = " ".join(text.replace("**", "* *").replace("`", "'").split())
            at = words.index(f"{name} “{plain}”", at)  # each beside its own name, in the order of the models
        tail, groups = words[at:].rpartition("). ")[2], {}
        for name, text in expected.items():
            groups.setdefault(text, []).append(name)
        same = [names for names in groups.values() if len(names) > 1]
        assert ("All say the same" in tail) == (len(groups) == 1 < len(expected))
        assert ("No two say the same" in tail) == (not same and len(expected) > 1)
        for names in same if len(groups) > 1 else ():
            assert " and ".join(names) in tail
        assert not [n for names in groups.values() if len(names) == 1 for n in names if len(expected) > 1 and n in tail]


# ---- questions

LESSONS = sorted(file.parent.name for file in places.ROOT.glob("lessons/*/questions.en.json"))


def asked(lesson: str, kind: str) -> list[dict]:
    return [
        q for q in json.loads((places.lesson(lesson) / "questions.en.json").read_text("utf-8")) if q["kind"] == kind
    ]


def check_quiz(lesson):
    panel = widgets.quiz(lesson) if asked(lesson, "quiz") else None
    for shown, question in zip(panel.asked if panel else (), asked(lesson, "quiz"), strict=bool(panel)):
        assert status(shown.children[0]) == status_of(question["text"])
        assert shown.choice.options == tuple((o["text"], o["key"]) for o in question["options"])
        for option in question["options"]:
            shown.choice.value = option["key"]
            shown.button.click()
            reply = status(shown.reply)
            assert ("Right" in reply.partition(status_of(option["why"]))[0]) == option["right"]
            assert status_of(option["why"]) in reply
            assert not [o for o in question["options"] if o is not option and status_of(o["why"]) in reply]
            kept = next(one for one in widgets.quiz(lesson).asked if one.question.id == question["id"])
            assert kept.choice.value == option["key"] and "that you gave" in status(kept.reply)
        assert sum(o["right"] for o in question["options"]) == 1


def check_predict(lesson):
    for question in asked(lesson, "predict"):
        shown = widgets.predict(lesson, question["id"])
        assert shown.choice.value is None and "Not answered" in status(shown.reply)
        for option in question["options"]:
            shown.choice.value = option["key"]
            shown.button.click()
            assert status_of(option["text"]) in status(shown.reply)
            again = widgets.predict(lesson, question["id"])
            assert again.choice.value == option["key"] and "that you gave" in status(again.reply)
            for other in question["options"]:
                words = teach.predict(lesson, question["id"]).compare(other["key"]).markdown
                assert words.startswith("You predicted what happened") == (other is option)
                assert other["text"] in words
                assert other is option or (option["text"] in words and option["why"] in words)


def status_of(text: str) -> str:
    """A sentence of a question as the line shows it."""
    return re.sub(r"`(.+?)`", r"\1", re.sub(r"\*\*(.+?)\*\*", r"\1", text))


CHECKS = {
    "board": (check_board, DATA),
    "curves": (check_curves, DATA),
    "rank_explorer": (check_rank_explorer, {k: v for k, v in DATA.items() if v.arm.nunique() > 2}),
    "playground": (check_playground, {k: v for k, v in DATA.items() if v.arm.nunique() > 2}),
    "feature_space": (check_feature_space, {k: k for k in GAPS}),
    "samples": (check_samples, {k: k for k in JUDGES}),
    "comparer": (check_comparer, {k: k for k in ANSWERS}),
    "quiz": (check_quiz, {k: k for k in LESSONS}),
    "predict": (check_predict, {k: k for k in LESSONS}),
}  # fmt: skip


def test_every_widget_has_its_check():
    assert len(PUBLIC) >= 9 and set(CHECKS) == PUBLIC and len(LESSONS) > 5


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, (_, rows) in CHECKS.items() for data in rows])
def test_a_widget_says_what_its_data_say(name, data):
    check, rows = CHECKS[name]
    check(rows[data])


def test_a_text_that_says_another_number_is_found():
    says("rank 4, 1,024 of F1: -0.50 [1.25e-02, 3]", 4, 1024, -0.503, 0.01249, 3.4)
    for wrong in ("0.51", "0.5 and 1", "-0.50"):
        with pytest.raises(AssertionError):
            says(wrong, 0.5)
