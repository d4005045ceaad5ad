"""What the widget `curves` says, in its figure, its title, its words and its status, is what its data say."""

import numpy as np
import pandas as pd
import pytest
import torch
from known import BASE, DATA, METRIC, UNCLEAR, against, close, every, of, scores
from words import NLL, alone, recorded, says, spoken, status, told  # noqa: F401 (a fixture)

from ftlib import metrics
from ftlib.classroom.lessons import part

CURVES = part("08_augmentation", "widget_curves")
pytestmark = pytest.mark.usefixtures("one_thread", "alone")


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


ROWS = DATA


@pytest.mark.parametrize("name", ROWS)
def test_it_says_what_its_data_say(name):
    check_curves(ROWS[name])
