"""What the widget `weights` says, in its figure, its title, its words, its table and its status, is what its data say."""

import html
import re

import numpy as np
import pandas as pd
import pytest
from known import close, corrected, holds, of
from scipy import stats
from words import alone, says, status, text, told  # noqa: F401 (a fixture)

from ftlib.classroom.lessons import part

WIDGET = part("05_multitask", "widget")
pytestmark = pytest.mark.usefixtures("one_thread", "alone")

NAMES = ("MNIST", "optical")
SPLITS = ("validation", "digits/optical:validation")
WEIGHTS = (0.1, 1.0, 10.0)
SIGN = {"higher": "▲", "lower": "▼"}
UNCLEAR = "not distinguishable here"
# by what each task differs from its network alone at each weight, in points
DATA = {
    "they hurt each other": ({2: [(-1, -9), (-4, -4), (-9, -1)], 8: [(1, -2), (0, 0), (-2, 1)]}, 6, 0.5),
    "they help each other": ({2: [(3, 4), (5, 5), (4, 3)], 8: [(0, 0), (2, 2), (0, 0)]}, 8, 0.3),
    "not clear": ({2: [(0, 1), (1, 0), (0, 0)]}, 6, 4.0),
    "five seeds": ({2: [(-5, 5), (5, -5), (0, 0)]}, 5, 0.5),
    "equal": ({2: [(0, 0), (0, 0), (0, 0)]}, 6, 0.0),
    "one seed": ({2: [(-1, 1), (0.04, -0.04), (1, -1)]}, 1, 0.5),
}


def made(name: str):
    """(records, {(width, weight or None): scores of both tasks (seeds, 2)} in per cent, {(width, weight): cosines})."""
    differences, seeds, noise = DATA[name]
    rng, records, scores, cosines = np.random.default_rng(3), [], {}, {}

    def add(arm, seed, values, measured=None):
        spec = {"arm": arm, "seed": seed, "purpose": "measure", "task": "digits/mnist"}
        found = {split: {"accuracy": value / 100} for split, value in zip(SPLITS, values)}
        records.append({"spec": spec, "scores": found, "measured": measured or {}})

    for width, each in differences.items():
        single = 70 + rng.normal(0, 3, (seeds, 1)) + np.array([0, 5])
        scores[width, None] = single
        for seed in range(seeds):
            add(f"mnist alone, width {width}", seed, single[seed])
            add(f"optical alone, width {width}", seed, single[seed])
        for weight, gain in zip(WEIGHTS, each):
            scores[width, weight] = single + gain + noise * rng.normal(size=(seeds, 2))
            cosines[width, weight] = rng.normal(-0.2, 0.1, seeds)
            for seed in range(seeds):
                found = {
                    "TaskGradients.cosine": cosines[width, weight][seed],
                    "TaskGradients.conflicts": 0.25 + 0.1 * seed,
                }
                add(f"together, width {width}, weight {weight:g}", seed, scores[width, weight][seed], found)
    return records, scores, cosines


def known(scores, width: int, k: int) -> pd.DataFrame:
    """One row a weight: difference, corrected interval, and reading, from scipy and by hand."""
    gaps = {weight: scores[width, weight][:, k] - scores[width, None][:, k] for weight in WEIGHTS}
    n = len(gaps[WEIGHTS[0]])
    plain = {weight: of(each) for weight, each in gaps.items()}
    if n < 2:
        return pd.DataFrame([{"d": plain[w][0], "low": -np.inf, "high": np.inf, "reading": UNCLEAR} for w in WEIGHTS])
    ps = [
        stats.ttest_1samp(each, 0).pvalue if max(each) > min(each) else float(plain[w][0] == 0)
        for w, each in gaps.items()
    ]
    rows = []
    for (mean, low, high), p, fixed in zip(plain.values(), ps, corrected(ps)):
        low, high = holds(mean, low, high, p, fixed, n)
        clear = n >= 6 and (low > 0 or high < 0)
        rows.append({"d": mean, "low": low, "high": high, "reading": ("higher" if low > 0 else "lower") if clear else
                     UNCLEAR})  # fmt: skip
    return pd.DataFrame(rows)


def check_said(said: str, at, expected, scores, cosines) -> None:
    """The status names the controls, both tasks beside their networks alone, and the cosine."""
    width, weight, i, seeds = at
    numbers = [width, weight, *([seeds] if seeds > 1 else [])]
    for k in range(2):
        one = expected[k].iloc[i]
        few = one.reading == UNCLEAR and not one.low <= 0 <= one.high
        numbers += [scores[width, weight][:, k].mean(), scores[width, None][:, k].mean(), one.d]
        numbers += ([one.low, one.high] if seeds > 1 else []) + ([6, seeds] if few else [])
        assert f", {one.reading}" in said.partition(NAMES[k] if not k else "Optical")[2]
    mean, low, high = of(cosines[width, weight])
    numbers += [mean, *([low, high] if seeds > 1 else []), 0, 100 * np.mean([0.25 + 0.1 * s for s in range(seeds)])]
    says(said, *numbers)
    assert said.startswith(f"Width {width}, weight of optical {weight:g}, ") and "-0.0 " not in said
    assert ("one seed, so no interval" in said) == (seeds == 1) and ("mean over" in said) == (seeds > 1)


def check_table(panel, at, expected, scores) -> None:
    """A row for the networks alone and one a weight; the chosen one is marked."""
    width, _, i, seeds = at
    rows = re.findall(r"<tr.*?</tr>", panel.rows.value.partition("<tbody>")[2])
    body = [html.unescape(re.sub("<.*?>", " ", row)) for row in rows]
    says(body[0], *(scores[width, None][:, k].mean() for k in range(2)))
    for j, (row, w) in enumerate(zip(body[1:], WEIGHTS, strict=True)):
        found, signs = [w], ""
        for k in range(2):
            one = expected[k].iloc[j]
            found += [scores[width, w][:, k].mean(), one.d, *([one.low, one.high] if seeds > 1 else [])]
            signs += SIGN.get(one.reading, "")
        says(row, *found)
        assert re.sub(r"[^▲▼]", "", row) == signs and ("▶" in row) == (j == i) == ("<b>" in rows[j + 1])


def check_figure(panel, at, expected, scores, cosines) -> None:
    width, weight, i, seeds = at
    line, chosen, first, second, widths, here = panel.figure.data
    for k, (values, bars, single) in enumerate(((line.x, line.error_x, first.x), (line.y, line.error_y, second.y))):
        mean = scores[width, None][:, k].mean()
        assert close(single, [mean] * 2) and close(values, mean + expected[k].d)
        if seeds > 1:
            assert close(np.array(values) - bars.arrayminus, mean + expected[k].low)
            assert close(np.array(values) + bars.array, mean + expected[k].high)
        else:
            assert list(bars.array) == list(bars.arrayminus) == [None] * 3
        assert getattr(chosen, "xy"[k])[0] == values[i]
        assert getattr(chosen, f"error_{'xy'[k]}").array[0] == bars.array[i]
    for hint, j in zip(line.hovertext, range(3), strict=True):
        head, *both = hint.split("<br>")
        says(head, WEIGHTS[j])
        for words, name, k in zip(both, NAMES, range(2), strict=True):
            one = expected[k].iloc[j]
            few = one.reading == UNCLEAR and not one.low <= 0 <= one.high
            says(words, one.d, *([one.low, one.high] if seeds > 1 else []), *([6, seeds] if few else []))
            assert words.startswith(name) and f", {one.reading}" in words
    assert list(chosen.hovertext if not isinstance(chosen.hovertext, str) else [chosen.hovertext]) == [
        line.hovertext[i]
    ]
    means = {w: of(each) for (w, v), each in cosines.items() if v == weight}
    assert close(widths.y, [mean for mean, *_ in means.values()]) and here.y[0] == widths.y[list(means).index(width)]
    for shown, (w, (mean, *_)) in zip(widths.hovertext, means.items(), strict=True):
        says(shown, w, mean)
    if seeds > 1:
        assert close(np.array(widths.y) - widths.error_y.arrayminus, [low for _, low, _ in means.values()])
        assert close(np.array(widths.y) + widths.error_y.array, [high for *_, high in means.values()])
    says(panel.figure.layout.title.text, width, weight, expected[0].d.iloc[i], expected[1].d.iloc[i])


@pytest.mark.parametrize("name", DATA)
def test_it_says_what_its_data_say(name):
    records, scores, cosines = made(name)
    panel, seeds = WIDGET.weights(records), DATA[name][1]
    for width in DATA[name][0]:
        expected = [known(scores, width, k) for k in range(2)]
        for i, weight in enumerate(WEIGHTS):
            panel.width.value, panel.weight.value = width, weight
            at, said = (width, weight, i, seeds), status(panel.words)
            check_said(said, at, expected, scores, cosines)
            check_table(panel, at, expected, scores)
            check_figure(panel, at, expected, scores, cosines)
            check_alternative(panel, at, said, scores, cosines)


def check_alternative(panel, at, said: str, scores, cosines) -> None:
    """The text alternative is the status, and then every point."""
    width, weight, _, seeds = at
    assert panel.alt.startswith(f"{said} ") and told(panel, panel.alt)
    points, _, by_width = panel.alt.removeprefix(said).partition(f"At weight {weight:g}, by width.")
    fixed = [len(WEIGHTS)] if seeds > 1 else []
    says(points, *fixed, *(n for w in WEIGHTS for n in (w, *scores[width, w].mean(0))))
    assert ("intervals corrected for" in points) == (seeds > 1) == ("intervals corrected for" in text(panel.rows))
    conflicts, numbers = 100 * np.mean([0.25 + 0.1 * seed for seed in range(seeds)]), []
    for w in dict.fromkeys(w for w, _ in cosines):
        mean, low, high = of(cosines[w, weight])
        numbers += [w, mean, *([low, high] if seeds > 1 else []), 0, conflicts]
    says(by_width, *numbers)
