"""The comparison board without a browser: its groups, its controls, its front, and own runs beside recorded ones."""

import html
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest

from ftlib.classroom.lessons import part
from panels import check_controls, check_without_a_kernel

WIDGET, RECORDED = part("09_compare", "widget"), part("09_compare", "shared_recorded")
VIEWS = ["score and cost", "differences", "seed by seed", "curves"]
NAMES = ["Task", "Training examples", "Runs", "Show", "Score", "Cost", "Method", "Baseline"]


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def record(
    arm, seed, score, seconds=1.0, grid="g", task="elpv", model="m", steps=10, n=100, curve=(), rate=0.1, **more
):
    """A record with little in it."""
    phase = {"strategy": [{"LinearProbe": {}}], "steps": steps, "lr": rate, "data": {"train": "train"}, "batch_size": 32,
             "fit": {}}  # fmt: skip
    spec = {"arm": arm, "task": task, "model": model, "seed": seed, "phases": [phase], "options": {"n": n, "size": 64},
            "splits": ["test"], "every": 0, "precision": "float32", "grid": grid, "purpose": "measure", "watch": []}  # fmt: skip
    scores = {"balanced_accuracy": score, "accuracy": score / 2, "nll": 1 - score}
    return {"id": f"{grid}-{arm}-{seed}-{n}-{steps}-{rate}", "spec": {**spec, **more}, "steps": steps, "memory": 10**9,
            "scores": {"validation": scores, "test": scores}, "curve": list(curve),
            "seconds": {"training": seconds}, "parameters": {"trainable": 5, "total": 9, "bytes": 20}}  # fmt: skip


def grid(arms=(("full", 0.6, 30.0), ("probe", 0.5, 2.0), ("slow", 0.4, 40.0)), seeds=6, **more):
    """Methods with a score and seconds; the scores share what their seed brings."""
    return [record(arm, seed, score + 0.02 * seed + 0.001 * (seed * len(arm) % 3), seconds, **more)
            for arm, score, seconds in arms for seed in range(seeds)]  # fmt: skip


@pytest.fixture
def board():
    curve = [{"step": s, "loss": 1 / s, "lr": 0.1, "balanced_accuracy": 0.01 * s} for s in (5, 10)]
    other = grid((("full", 0.3, 1.0), ("probe", 0.7, 9.0)), grid="h", steps=20, n=50)
    return WIDGET.board([*grid(curve=curve), *other, *grid((("a", 0.2, 3.0),), task="digits/mnist", seeds=3)])


def text(line) -> str:
    return html.unescape(re.sub("<.*?>", " ", line.value))


def shown(panel) -> str:
    """All that the figure shows."""
    layout = panel.figure.layout
    traces = [
        [trace.to_plotly_json().get(key) for key in ("x", "y", "text", "error_x", "marker")]
        for trace in panel.figure.data
    ]
    return json.dumps([layout.title.text, layout.xaxis.title.text, layout.yaxis.title.text, traces], default=list)


# ---- what may be compared

APART = {"grid": {"grid": "other"}, "model": {"model": "n"}, "steps": {"steps": 11}, "size": {"n": 50}, "task": {"task": "t"},
         "option": {"options": {"n": 100, "size": 32}}}  # fmt: skip


@pytest.mark.parametrize("kind", APART)
def test_runs_that_differ_in_more_than_the_method_are_never_in_one_group(kind):
    groups = RECORDED.read([*grid(), *grid((("new", 0.9, 1.0),), **APART[kind])])
    assert [group.arms for group in groups] == [["full", "probe", "slow"], ["new"]]


def test_every_recorded_run_is_in_a_group_and_a_group_is_of_one_kind():
    records = RECORDED.everything()
    groups, measured = RECORDED.read(records), [r for r in records if r["spec"]["purpose"] == "measure"]
    assert {r["id"] for r in measured} == {r["id"] for group in groups for r in group.records.values()}
    for group in groups:
        specs = [r["spec"] for r in group.records.values()]
        assert len({json.dumps([s["grid"], s["task"], s["model"], s["options"]]) for s in specs}) == 1
        assert {sum(p["steps"] for p in s["phases"]) for s in specs} == {group.steps}
        assert not group.runs.duplicated(["arm", "seed"]).any() and group.measures and group.costs


def test_early_stopping_is_a_method_and_not_another_number_of_steps():
    early = grid((("full-es", 0.55, 20.0),))
    for one in early:
        one["steps"] = 7
    (group,) = RECORDED.read([*grid(), *early])
    assert "full-es" in group.arms


def test_runs_that_chose_a_rate_are_left_out():
    tuned = grid((("tuned", 0.9, 1.0),))
    for one in tuned:
        one["spec"]["purpose"] = "tune"
    (group,) = RECORDED.read([*grid(), *tuned])
    assert "tuned" not in group.arms


def test_where_every_rate_was_measured_a_seed_gets_the_rate_of_the_other_seeds():
    def score(rate, seed):  # rate 1 is best on all seeds but 0, where 2 is by far
        return {1: 0.5, 2: 0.4}[rate] + (0.6 if seed == 0 and rate == 2 else 0.0)

    records = [record(f"{arm}@{rate}", seed, score(rate, seed) + add, rate=rate)
               for arm, add in (("b", 0.1), ("a", 0.0)) for rate in (1, 2) for seed in range(4)]  # fmt: skip
    chosen, each = RECORDED.read(records)
    assert (chosen.kind, each.kind) == ("rates chosen on validation", "every rate") and chosen.arms == ["b", "a"]
    lr = chosen.runs.set_index(["arm", "seed"]).lr
    assert lr["a"].to_dict() == {0: 1, 1: 2, 2: 2, 3: 2}  # seed 0 has no say in its own rate
    assert chosen.records["a", 0]["spec"]["arm"] == "a@1" and each.arms == ["b@1", "b@2", "a@1", "a@2"]


def test_a_method_without_all_seeds_or_without_a_number_is_named_and_not_compared():
    short, broken = grid((("short", 0.9, 1.0),), seeds=2), grid((("broken", 0.9, 1.0),))
    broken[2]["scores"]["test"]["balanced_accuracy"] = float("nan")
    panel = WIDGET.board([*grid(), *short, *broken])
    assert set(panel.compared.index) == {"full", "probe", "slow"}
    assert "Not compared: broken, since it has runs without this score." in panel.alt
    assert "Not compared: short, since it has only 2 of the 6 seeds of full." in panel.alt
    panel.baseline.value = "broken"
    assert "Nothing is compared with broken: it has runs without this score." in panel.alt
    panel.baseline.value = "short"  # on its two seeds all others are there
    assert set(panel.compared.seeds) == {2} and "A verdict needs 6 seeds, and there are 2." in panel.alt


def test_where_a_recording_is_under_way_all_are_compared_on_the_seeds_that_they_share():
    panel = WIDGET.board([*grid(seeds=8), *grid((("later", 0.9, 1.0),), seeds=7)])
    assert set(panel.compared.seeds) == {7} and set(panel.compared.index) == {"full", "probe", "slow", "later"}
    assert "Against full, paired on the 7 seeds that all of them have, intervals corrected for 3" in panel.alt


# ---- the front


@pytest.mark.parametrize(("cheap", "good"), [*itertools.product([True, False], repeat=2)])
def test_the_front_holds_exactly_what_no_other_beats(cheap, good):
    rng = np.random.default_rng(0)
    for _ in range(40):
        points = pd.DataFrame(rng.integers(0, 5, (8, 2)), columns=["cost", "score"], index=list("abcdefgh"))
        c, s = points.cost * (1 if cheap else -1), points.score * (1 if good else -1)
        free = [a for a in points.index
                if not any(c[b] <= c[a] and s[b] >= s[a] and (c[b] < c[a] or s[b] > s[a]) for b in points.index)]  # fmt: skip
        kept = RECORDED.front(points.cost, points.score, cheap, good)
        assert sorted(kept) == free and list(c[kept]) == sorted(c[kept])


def test_the_front_is_that_of_the_chosen_score_and_cost(board):
    assert (
        board.front == ["probe", "full"]
        and "Behind it, since another method does as well or better for no more: slow." in board.alt
    )
    board.measure.value = next(m for label, m in board.measure.options if label.startswith("NLL"))  # lower is better
    assert not board.measure.value.higher and board.front == ["probe", "full"]
    board.cost.value = dict(board.cost.options)["trained parameters"]  # all the same
    assert board.front == ["full"]


# ---- the controls


def test_every_control_has_a_name_and_is_used_from_the_keyboard(board):
    check_controls(board, NAMES)
    assert board.rows.value.count('tabindex="0"') == 1 and board.recipe.value.count('tabindex="0"') == 2


def test_every_control_changes_the_figure_or_the_table_and_the_words(board):
    seen, said = {shown(board) + board.rows.value}, {board.alt}
    changes = [("view", "differences"), ("baseline", "probe"), ("view", "seed by seed"), ("method", "slow"),
               ("view", "score and cost"), ("measure", board.measure.options[1][1]),
               ("cost", dict(board.cost.options)["trained parameters"]), ("size", 50), ("task", "digits/mnist")]  # fmt: skip
    for name, value in changes:
        getattr(board, name).value = value
        seen.add(shown(board) + board.rows.value)
        said.add(board.alt)
    assert len(seen) == len(changes) + 1 and len(said) >= len(changes)  # the method is marked, and not told


def test_later_controls_offer_what_the_earlier_ones_leave(board):
    assert board.size.options == (("50", 50), ("100", 100)) and board.size.value == 100
    board.size.value = 50
    assert [group.grid for _, group in board.group.options] == ["h"] and board.method.options == ("full", "probe")
    board.task.value = "digits/mnist"
    assert board.size.options == (("100", 100),) and board.baseline.value == board.method.value == "a"
    assert "There is one method only, so there is nothing to compare." in board.alt
    assert [label for label, _ in board.cost.options] == list(RECORDED.COSTS)


def test_a_change_is_one_message_to_the_figure(board):
    sent = []
    for name in ("_py2js_update", "_py2js_restyle", "_py2js_relayout", "_py2js_addTraces", "_py2js_deleteTraces"):
        board.figure.observe(lambda change: sent.append(change.name) if change.new else None, names=name)
    board.size.value = 50  # and with it the runs, the methods and the baseline
    assert sent == ["_py2js_update"]


def test_it_can_be_seen_and_read_without_a_kernel(board):
    check_without_a_kernel(board, 200_000, lambda: setattr(board.view, "value", "differences"))


def test_the_recorded_runs_open_with_an_effect_worth_seeing():
    panel = WIDGET.board()
    assert (panel.task.value, panel.size.value, panel.group.value.grid) == ("sentiment/amazon", 200, "01_full")
    assert panel.front == ["probe", "lp-ft", "full"] and "scratch (-22.8 points)" in panel.alt
    assert panel.code.startswith("import ftlib") and len(panel.task.options) > 12
    again = WIDGET.board()
    assert again.groups[0] is panel.groups[0]  # read once


def test_every_group_has_words_and_a_scene_in_every_view():
    for group in RECORDED.read(RECORDED.everything()):
        measure, cost, base, method = group.measures[0], group.costs[0], group.arms[0], group.arms[-1]
        kept = RECORDED.front(group.means(cost), group.means(measure), not cost.higher, measure.higher)
        found, _ = group.compared(measure, base)
        for make in WIDGET.VIEWS.VIEWS.values():
            title, said, scene = make(WIDGET.VIEWS.Picked(group, measure, cost, method, base, found, kept, []))
            assert title and (said or len(group.arms) == 1) and "nan" not in title + said, group.label
            WIDGET.FIGURE.message(scene)


def test_some_groups_are_drawn_in_every_view():
    panel = WIDGET.board()
    for i, group in enumerate(panel.groups[::15]):
        panel.view.value = VIEWS[i % 4]
        panel.task.value, panel.size.value = group.task, group.size
        panel.group.value = group
        assert panel.group.value is group and panel.alt.startswith(f"{group.task}, ") and group.label in panel.alt
        assert panel.still().png().startswith(b"\x89PNG")


# ---- own runs


def own_table(arms=(("mine", 0.55),), **more):
    """What `ftlib.compare_strategies` returns."""
    made = RECORDED.frame(grid([(arm, score, 5.0) for arm, score in arms], grid="", **more))
    return made


def test_own_runs_of_the_same_kind_are_stars_beside_the_recorded_ones_and_never_compared():
    panel = WIDGET.board(grid(), own=own_table(), start=("elpv", 100, "g"))
    assert panel.group.value.own and panel.group.value.label.startswith("your runs, m, 10 steps") and not panel.code
    assert "the cell that made them" in text(panel.recipe)
    recorded = next(group for group in panel.groups if not group.own)
    panel.group.value = recorded
    star = panel.figure.data[WIDGET.FIGURE.OWN]
    mine = own_table()["test.balanced_accuracy"].mean()
    assert star.x == (5.0,) and star.y[0] == pytest.approx(100 * mine) and star.text == ("mine",)
    assert "Your runs, as stars: mine (5; " in panel.alt and "mine" not in panel.compared.index
    assert "mine" not in panel.front
    panel.view.value = "differences"
    assert not panel.figure.data[WIDGET.FIGURE.OWN].x and "mine" not in panel.alt


@pytest.mark.parametrize("more", [{"steps": 11}, {"n": 50}, {"model": "n"}, {"task": "digits/mnist"}])
def test_own_runs_of_another_kind_are_not_drawn_beside(more):
    panel = WIDGET.board(grid(), own=own_table(**more))
    panel.task.value, panel.size.value = "elpv", 100
    panel.group.value = next(group for group in panel.groups if not group.own)
    assert not panel.figure.data[WIDGET.FIGURE.OWN].x


def test_own_runs_may_be_several_tables_or_records():
    two = WIDGET.board(grid(), own=[own_table(), own_table(steps=20)])
    assert [group.steps for group in two.groups if group.own] == [10, 20]
    kept = WIDGET.board(grid(), own=grid((("mine", 0.5, 1.0),), grid=""))
    assert kept.group.value.own and "arm" not in kept.code and "ftlib.Spec" in kept.code


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("mine.jsonl", "own must be what ftlib.compare_strategies returns, or a list of records, but it is a str"),
        (pd.DataFrame({"arm": ["a"]}), "own runs need the columns arm, task, model, seed and steps"),
    ],
)
def test_bad_input_is_one_sentence(own, words):
    with pytest.raises(ValueError, match=words):
        WIDGET.board(grid(), own=own)
    with pytest.raises(ValueError, match="there is no run to show: the board needs runs whose purpose is 'measure'"):
        WIDGET.board([])


def test_names_are_shown_as_they_are():
    panel = WIDGET.board(grid((("<b>x</b>", 0.6, 3.0), ("y & z", 0.5, 2.0))))
    for view in VIEWS:
        panel.view.value = view
        assert "<b>x" not in panel.words.value + panel.rows.value + panel.recipe.value
        assert "<b>x" not in shown(panel)
