"""What the widget `feature_space` says, in its figure, its title, its words and its status, is what its data say."""

import math
import re

import numpy as np
import pytest
from known import close, every
from words import NLL, alone, recorded, says, spoken, status, told  # noqa: F401 (a fixture)

from ftlib.classroom.lessons import part

SPACE = part("07_domain", "widget")
pytestmark = pytest.mark.usefixtures("one_thread", "alone")


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
        says(status(space.words), step, far[step], 4, 0, far[0], right[step], 0, right[0], 12, 8, 0, step, s.sum(), *s,
             flat[step], 0, flat[0])  # fmt: skip
        i = at["example"]
        assert status(space.about) == f"Example {i + 1}: {domains[i]}, {classes[i]}, “sentence {i}”."
        other = "domain" if at["by"] == "class" else "class"
        assert f"{at['by']} by colour, {other} by shape" in status(space.words)
        points, heads = {}, [f"before: step {0}", f"{at['method']}: step {step}"]
        assert list(space.figure.data[-2].text) == heads
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
        assert space.figure.layout.title.text.startswith(f"{at['method']}: domains ")
        says(space.figure.layout.title.text, far[0], far[step], step)
        for k, axis in enumerate((space.figure.layout.xaxis, space.figure.layout.yaxis)):
            says(axis.title.text, k + 1, s[k])


ROWS = {k: k for k in GAPS}


@pytest.mark.parametrize("name", ROWS)
def test_it_says_what_its_data_say(name):
    check_feature_space(ROWS[name])
