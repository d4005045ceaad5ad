"""Scores on five tasks of digits beside Avalanche's, on the protocol of tests/continual.py.

20 seeds of each side are recorded (tests/data/continual_ours.py and continual_peers.py). The rule was set before they
were run. Where nothing is drawn at random, both sides take the same steps, and each seed has the same score. Else the
differences are paired by seed: none is distinguishable from 0 (t-tests, Holm, 5 % for all together), and their mean is
smaller than the deviation over the seeds. A-GEM breaks the rule, and a test says why.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from continual import EACH_TASK, OURS, SAME_STEPS, SEEDS, ours, summary
from ftlib.evidence.compare import holm, interval

FOLDER = Path(__file__).parents[1] / "data"
OURS_FILE, PEERS_FILE = (
    json.loads((FOLDER / f"continual_{side}.json").read_text(encoding="utf-8")) for side in ("ours", "peers")
)
METRICS = ["average", "forgetting"]
BOTH = [name for name in OURS if name != EACH_TASK]
DRAWN = [name for name in BOTH if name not in SAME_STEPS]


def mine(name: str, metric: str) -> np.ndarray:
    return np.array(OURS_FILE["scores"][name][metric])


def theirs(name: str, metric: str) -> np.ndarray:
    return np.array(PEERS_FILE["scores"][name][metric])


def test_both_sides_have_all_seeds_and_one_torch():
    for file in (OURS_FILE, PEERS_FILE):
        assert file["seeds"] == [*SEEDS]
        assert {len(values) for each in file["scores"].values() for values in each.values()} == {len(SEEDS)}
    assert OURS_FILE["scores"].keys() == OURS.keys() and set(BOTH) <= PEERS_FILE["scores"].keys()
    assert OURS_FILE["versions"]["torch"] == PEERS_FILE["versions"]["torch"]  # else a step may round otherwise


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", SAME_STEPS)
def test_the_same_steps_give_the_same_score(name, metric):
    """In each seed, to the last test row. EWC has half of our strength and batches of one, and LwF an alpha with T²."""
    assert (mine(name, metric) == theirs(name, metric)).all()


def test_ewc_and_lwf_are_not_naive_training():
    """So that the test above is not one of naive training three times."""
    assert interval(theirs("naive", "forgetting") - theirs("ewc", "forgetting"))[1] > 0.3
    assert (theirs("naive", "average") != theirs("lwf", "average")).mean() > 0.5


def test_what_draws_at_random_differs_by_chance_but_for_a_gem():
    pairs = {(name, metric): (mine(name, metric), theirs(name, metric)) for name in DRAWN for metric in METRICS}
    p = dict(zip(pairs, holm([stats.ttest_rel(a, b).pvalue for a, b in pairs.values()]), strict=True))
    assert len(p) == 8
    for (name, metric), (a, b) in pairs.items():
        assert abs((a - b).mean()) < min(a.std(ddof=1), b.std(ddof=1))
        assert (p[name, metric] < 0.05) == (name == "a-gem")


def test_a_gem_gains_from_as_many_of_each_task_in_a_step():
    """Avalanche's average is 0.037 higher: each of its steps looks at as many examples of each earlier task.

    Ours draws from the whole memory. Drawn as Avalanche does, ours gains 0.031, and no difference is left. This was
    found on these seeds. Twenty others, 30 to 49, gave 0.048 and 0.049.
    """
    plain, each, peer = mine("a-gem", "average"), mine(EACH_TASK, "average"), theirs("a-gem", "average")
    assert interval(peer - plain)[1] > 0.01 and interval(each - plain)[1] > 0.01
    mean, low, high = interval(peer - each)
    assert low < 0 < high and abs(mean) < 0.01


def test_ewc_holds_less_with_the_importance_of_batches():
    """Avalanche squares the mean gradient of a batch of 32: the importance is about a sixteenth of the Fisher's.

    So it forgets 0.3 more at the same lambda, and as much at 16 times that. The factor is smaller in late tasks, which
    are hardly learned: there the gradients of all examples point the same way.
    """
    times = np.array(PEERS_FILE["importance of singles over that of batches, after each task"])
    assert times.shape == (len(SEEDS), 5) and 12 < np.median(times) < 20
    assert np.median(times[:, 0]) > 20 and np.median(times[:, -1]) < 3
    batches = "ewc, importance of batches"
    assert interval(theirs(batches, "forgetting") - mine("ewc", "forgetting"))[1] > 0.25
    for metric in METRICS:
        mean, low, high = interval(theirs(f"{batches}, 16 lambda", metric) - mine("ewc", metric))
        assert low < 0 < high and abs(mean) < 0.01


def test_a_new_optimizer_per_task_costs_a_little():
    """`fit` makes an AdamW for each task. Avalanche keeps its state unless it is told `reset_optimizer_state=True`."""
    assert interval(theirs("naive, optimizer kept", "average") - mine("naive", "average"))[1] > 0
    assert theirs("naive, optimizer kept", "average").std() < mine("naive", "average").std() / 4


@pytest.mark.parametrize("name", OURS)
def test_the_record_is_what_the_strategy_does_today(name):
    found = summary(ours(name, SEEDS[0]))
    for metric in METRICS:
        # Another processor rounds otherwise, and then some of 450 test rows may get another answer.
        assert found[metric] == pytest.approx(OURS_FILE["scores"][name][metric][0], abs=0.02)
