"""What the widget `playground` says, in its figure, its title, its words and its status, is what its data say."""

import math
import re

import pandas as pd
import pytest
from known import DATA, METRIC, close, every, score, scores
from words import NLL, alone, recorded, says, spoken, status, told  # noqa: F401 (a fixture)

from ftlib.classroom.lessons import part

PLAYGROUND = part("06_schedules", "widget")
pytestmark = pytest.mark.usefixtures("one_thread", "alone")


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
        each, level, known, nearest_one, _ = play.figure.data
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
        found = next(s for s in nearest if score(kept[s]) in alt)
        _, shape, lr, warm, many = found
        differs = [(f"the shape {shape}", shape != at["shape"]), (f"a peak of {lr:g}", lr != peak),
                   (f"{100 * warm:g} % warmup" if warm else "no warmup", warm != warmup),
                   (f"{many} steps", many != steps)]  # fmt: skip
        tail = alt.partition("Nearest recorded run of ")[2]
        assert tail.startswith(f"{at['task']} (")
        for words, other in differs:
            assert (words in tail.partition("): ")[0]) == other, (words, alt)
        assert ("exactly these" in tail) == (not any(other for _, other in differs))
        own = [lr * shapes()[shape](warm)((i + 0.5) / many) for i in range(many)]
        assert close(nearest_one.x, [sum(own) / many]) and f"): mean rate {sum(own) / many:.2g}, " in tail
        assert close(nearest_one.y, [sum(kept[found]) / len(kept[found])])
        assert len(known.x) == len(known.y) == len(there)
        middle = alt.partition(": the rate is ")[2].partition("Nearest")[0]
        for value, shown in zip((rates[0], max(rates), rates[-1]), re.findall(r"[\d.e-]+\d", middle)[:3]):
            assert float(shown) == pytest.approx(value, rel=0.05, abs=1e-12)
        area, level = re.search(r"Area: (\d+) % .* mean rate is ([\d.e-]+\d)", middle).groups()
        assert float(area) == round(100 * mean / peak) and float(level) == pytest.approx(mean, rel=0.05)
        said = f"{at['shape']}, peak {peak:g}, "
        said += "its own warmup" if at["shape"] == "own" else f"{100 * warmup:g} % warmup" if warmup else "no warmup"
        assert play.figure.layout.title.text == alt.partition(": the rate")[0] == f"{said}, {steps} steps"


ROWS = {k: v for k, v in DATA.items() if v.arm.nunique() > 2}


@pytest.mark.parametrize("name", ROWS)
def test_it_says_what_its_data_say(name):
    check_playground(ROWS[name])
