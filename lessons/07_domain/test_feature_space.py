"""The feature space without a browser: every control at every value, the mouse, and what the words say of them."""

import base64
import html
import io
import itertools
import json
import random
import re
import time

import ipywidgets
import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import recall_score
from sklearn.neighbors import NearestCentroid

from ftlib import plots
from ftlib.classroom.lessons import part

SPACE = part("07_domain", "widget")
distance, nearest_mean = SPACE.distance, SPACE.nearest_mean

N, D = 24, 5
DOMAINS = ["photo", "sketch", "sketch", "photo"] * 6
CLASSES = [("cat", "dog", "owl")[i % 3] for i in range(N)]
METHODS, STEPS = ("source only", "DANN"), (0, 50, 400)
TEXTS = [f"sentence {i}: <b>5 < 6</b> & **bold** “{'so ' * i}”" for i in range(N)]
SOURCE = np.array(DOMAINS) == "photo"
EVERY = list(itertools.product(METHODS, STEPS, ["class", "domain"]))


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


def progress(n: int = N, d: int = D):
    """Classes and domains lie apart; DANN brings the domains together step by step."""
    rng = np.random.default_rng(0)
    classes = np.arange(n) % 3
    sketch = np.resize(~SOURCE, n)[:, None]

    def features(gap):
        return (2 * np.eye(3, d)[classes] + rng.normal(size=(n, d)) * 0.6 + gap * sketch).astype(np.float32)

    gaps = {"source only": (2.0, 1.8, 1.9), "DANN": (2.0, 1.0, 0.1)}
    return {method: {step: features(gap) for step, gap in zip(STEPS, gaps[method])} for method in METHODS}


def pictures(n: int = N):
    return [np.full((4, 6), 5 * i % 256, np.uint8) for i in range(n)]


@pytest.fixture(params=["texts", "pictures"])
def space(request):
    return SPACE.feature_space(progress(), DOMAINS, CLASSES, TEXTS if request.param == "texts" else pictures())


@pytest.fixture
def texts():
    return SPACE.feature_space(progress(), DOMAINS, CLASSES, TEXTS)


def shown(space) -> str:
    return " ".join(html.unescape(re.sub("<.*?>", "", line.value)) for line in (space.words, space.about))


def state(space) -> str:
    return json.dumps([space.figure.to_plotly_json()["data"], space.figure.layout.title.text], default=list)


def mouse(space, event: str, trace: int, point: int) -> None:
    """What the browser sends when the mouse is over a point or has clicked it."""
    keys = {"alt": False, "ctrl": False, "meta": False, "shift": False, "button": 0, "buttons": 0}
    points = {"trace_indexes": [trace], "point_indexes": [point], "xs": [0.0], "ys": [0.0]}
    told = {"event_type": event, "points": points, "device_state": keys, "selector": None}
    space.figure.set_state({"_js2py_pointsCallback": told})


def directions():
    return PCA(2).fit(np.concatenate([x.astype(float) for steps in progress().values() for x in steps.values()]))


def signs(space) -> np.ndarray:
    """Of sklearn's components, those that make them ours: +1 or -1 each."""
    there = directions().transform(progress()["DANN"][0])
    return np.sign((there * space.plane["DANN"][0]).sum(0))


def test_the_controls_offer_what_was_recorded(space):
    assert space.method.options == METHODS and [step for _, step in space.step.options] == list(STEPS)
    assert space.by.options == ("class", "domain")
    assert len(space.example.options) == N and space.example.options[1] == ("2: sketch, dog", 1)


@pytest.mark.parametrize(("method", "step", "by"), EVERY)
def test_everywhere_the_figure_is_the_features_in_sklearns_plane(space, method, step, by):
    before = [trace.uid for trace in space.figure.data]
    ranges = (space.figure.layout.xaxis.range, space.figure.layout.yaxis.range)
    space.method.value, space.step.value, space.by.value = method, step, by
    assert [trace.uid for trace in space.figure.data] == before  # in place
    want = directions().transform(progress()[method][step]) * signs(space)
    assert space.plane[method][step] == pytest.approx(want, abs=1e-6)
    seen, aside = [], space.figure.data[-1].x[0] - space.plane[method][step][space.example.value][0]
    assert aside == pytest.approx(0)  # the chosen step is where its axes say
    first = directions().transform(progress()[method][0]) * signs(space)
    for trace, left in zip(space.figure.data[:6], space.figure.data[6:12]):
        domain, label = trace.name.split(", ")
        rows = [i for i in range(N) if (DOMAINS[i], CLASSES[i]) == (domain, label)]
        assert np.column_stack([trace.x, trace.y]) == pytest.approx(want[rows], abs=1e-6)
        d, k = ("photo", "sketch").index(domain), ("cat", "dog", "owl").index(label)
        assert trace.marker.color == plots.COLOURS[k if by == "class" else d]
        assert trace.marker.symbol == (("circle", "x")[d] if by == "class" else plots.MARKERS[k])
        assert (left.marker.color, left.marker.symbol) == (trace.marker.color, trace.marker.symbol)
        assert np.array(left.y) == pytest.approx(first[rows, 1], abs=1e-6)
        moved = first[rows, 0] - np.array(left.x)  # the first step, beside it: all by the same width
        assert moved == pytest.approx(np.full(len(rows), space.figure.layout.shapes[0].x0 - ranges[0][0]))
        assert max(left.x) < space.figure.layout.shapes[0].x0 < min(trace.x)
        seen += rows
    assert sorted(seen) == list(range(N))
    x, y = space.figure.layout.xaxis.range, space.figure.layout.yaxis.range
    assert (x, y) == ranges and (want > [x[0], y[0]]).all() and (want < [x[1], y[1]]).all()  # the axes stand still
    assert shown(space) == space.alt == space.figure.layout.meta["alt"]
    assert space.alt.startswith(f"{method}, step {step}: ") and f"{by} by colour" in space.alt
    assert list(space.figure.data[-2].text) == ["before: step 0", f"{method}: step {step}"]
    far = space.apart[method]
    title = f"{method}: domains {far[0]:.2f} apart before, {far[step]:.2f} at step {step}"
    assert space.figure.layout.title.text == title


def test_it_opens_with_the_last_step_of_the_last_method(space):
    """So what a reader without a kernel sees is the effect: before beside after."""
    assert (space.method.value, space.step.value, space.by.value) == ("DANN", 400, "domain")


def test_the_legend_says_each_colour_and_each_shape_once(space):
    for by, coloured in (("class", "class"), ("domain", "domain")):
        space.by.value = by
        keys = [trace for trace in space.figure.data if trace.showlegend]
        assert [trace.name for trace in keys] == ["cat", "dog", "owl", "photo", "sketch"]
        points = {trace.name: trace.marker for trace in space.figure.data[:6]}
        for key in keys:
            mine = [marker for name, marker in points.items() if key.name in name.split(", ")]
            if key.legendgroup == coloured:
                assert key.mode == "lines" and {m.color for m in mine} == {key.marker.color}
            else:
                assert key.mode == "markers" and {m.symbol for m in mine} == {key.marker.symbol}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", STEPS)
def test_the_measures_are_those_of_the_definition_and_of_sklearn(space, method, step):
    def far(x):
        s, t = x[SOURCE], x[~SOURCE]
        variance = (11 * s.var(0, ddof=1) + 11 * t.var(0, ddof=1)) / 22
        return np.sqrt(((s.mean(0) - t.mean(0)) ** 2).sum() / variance.sum())

    def right(x):
        guess = NearestCentroid().fit(x[SOURCE], np.array(CLASSES)[SOURCE]).predict(x[~SOURCE])
        return recall_score(np.array(CLASSES)[~SOURCE], guess, average="macro")

    space.method.value, space.step.value = method, step
    here, first = (progress()[method][s].astype(float) for s in (step, 0))
    plane = [directions().transform(x) for x in (here, first)]
    assert space.apart[method][step] == pytest.approx(far(here))
    assert space.accuracy[method][step] == pytest.approx(right(here))
    assert (
        f"{far(here):.2f} pooled standard deviations apart in all 5 features (at step 0: {far(first):.2f}). "
        f"The nearest class mean of photo is right for {100 * right(here):.0f} % of sketch "
        f"(at step 0: {100 * right(first):.0f} %)."
    ) in space.alt
    shares = directions().explained_variance_ratio_
    assert (
        f"{100 * sum(shares):.0f} % of the variance ({100 * shares[0]:.0f} % and {100 * shares[1]:.0f} %). There the "
        f"means are {far(plane[0]):.2f} apart (at step 0: {far(plane[1]):.2f})."
    ) in space.alt


def test_what_an_adaptation_brings_can_be_read_off(space):
    assert space.apart["DANN"][400] < 0.2 * space.apart["DANN"][0] < space.apart["source only"][400]
    assert space.accuracy["DANN"][400] > space.accuracy["DANN"][0]
    numbers = [v for of in (space.apart, space.accuracy) for steps in of.values() for v in steps.values()]
    assert {type(v) for v in numbers} == {float}


def test_distance_and_nearest_mean_by_hand():
    x = np.array([[0.0, 1], [0, -1], [3, 1], [3, -1]])
    source = np.array([True, True, False, False])
    assert distance(x, source) == pytest.approx(3 / np.sqrt(2))  # s² = (1 + 1 + 1 + 1) / (4 - 2)
    assert distance(np.zeros((4, 2)), source) == 0 and distance(x * [1, 0], source) == np.inf
    assert nearest_mean(x, source, np.array(["up", "down", "up", "up"])) == 0.5
    assert nearest_mean(x, source, np.array(["up", "down", "up", "down"])) == 1


def test_every_control_changes_the_figure_and_the_words(space):
    seen = {(state(space), shown(space))}
    changes = ((space.step, 0), (space.method, "source only"), (space.by, "class"), (space.example, 7))
    changes += ((space.step, 50),)
    for control, value in changes:
        control.value = value
        seen.add((state(space), shown(space)))
    assert len({figure for figure, _ in seen}) == len({words for _, words in seen}) == 6


def test_every_example_is_marked_and_told(space):
    space.method.value, mark = "DANN", space.figure.data[-1]
    for i in reversed(range(N)):
        space.example.value = i
        for step in (50, 400):  # the mark goes with its point
            space.step.value = step
            assert (mark.x[0], mark.y[0]) == pytest.approx(space.plane["DANN"][step][i])
        assert mark.text == (f"example {i + 1}",)
        what = " ".join(TEXTS[i].replace("**", "* *").split()) if space.texts else ""
        about = f"Example {i + 1}: {DOMAINS[i]}, {CLASSES[i]}, " + (
            f"“{what}”." if what else "an image of 4 × 6 pixels."
        )
        assert shown(space) == space.alt == space.figure.layout.meta["alt"] and space.alt.endswith(" " + about)
        if not space.texts:
            found = re.search('alt="(.*?)" src="data:image/png;base64,(.*?)"', space.picture.value)
            assert found[1] == f"Example {i + 1}: {DOMAINS[i]}, {CLASSES[i]}"
            assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(found[2])))) == pictures()[i]).all()


@pytest.mark.parametrize("event", ["plotly_hover", "plotly_click"])
def test_the_mouse_chooses_the_example_under_it(space, event):
    chosen = []
    for trace, drawn in enumerate(space.figure.data[:6]):
        for point in range(len(drawn.x)):
            mouse(space, event, trace, point)
            i = space.example.value
            assert f"{DOMAINS[i]}, {CLASSES[i]}" == drawn.name
            assert (drawn.x[point], drawn.y[point]) == pytest.approx(space.plane["DANN"][400][i])
            assert shown(space) == space.alt and f"Example {i + 1}: " in space.about.value
            chosen.append(i)
    assert sorted(chosen) == list(range(N))


def test_what_is_no_point_answers_no_mouse(space):
    assert {trace.hoverinfo for trace in space.figure.data[6:]} == {"skip"}
    before = state(space)
    mouse(space, "plotly_hover", len(space.figure.data) - 1, 0)
    assert state(space) == before


def test_beside_the_mouse_stands_the_sentence_as_it_is(texts):
    for trace in texts.figure.data[:6]:
        rows = [i for i in range(N) if f"{DOMAINS[i]}, {CLASSES[i]}" == trace.name]
        for i, words in zip(rows, trace.hovertext, strict=True):
            lines = words.split("<br>")
            assert lines[0] == f"example {i + 1}: {trace.name}"
            assert not re.search("[<>]|&(?!lt;|gt;|amp;)", "".join(lines)) and max(map(len, lines)) < 90
            assert html.unescape(" ".join(lines[1:])).split() == TEXTS[i].split()
    long = SPACE.feature_space(progress(), DOMAINS, CLASSES, ["word " * 500] * N)
    assert long.figure.data[0].hovertext[0].count("<br>") == 8 and long.figure.data[0].hovertext[0].endswith("…")
    assert long.alt.count("word") == 500


def test_a_change_is_one_message_and_another_example_a_short_one(space):
    sent = []
    for name in ("_py2js_update", "_py2js_restyle", "_py2js_relayout", "_py2js_addTraces", "_py2js_deleteTraces"):
        space.figure.observe(lambda change: sent.append(change) if change.new else None, names=name)
    changes = ((space.step, 0), (space.method, "source only"), (space.by, "class"), (space.example, 3))
    for control, value in changes:
        control.value = value
    assert [change.name for change in sent] == ["_py2js_update"] * 4
    assert sent[-1].new["style_traces"] == [len(space.figure.data) - 1]


def test_one_method_has_no_button(space):
    one = SPACE.feature_space({"DANN": progress()["DANN"]}, DOMAINS, CLASSES, TEXTS)
    for panel, names in ((space, ["Method", "Step", "Colour", "Example"]), (one, ["Step", "Colour", "Example"])):
        plain = (ipywidgets.Dropdown, ipywidgets.ToggleButtons)
        assert [child.description for child in panel.children if isinstance(child, plain)] == names
        assert not [child for child in panel.children if "Slider" in type(child).__name__]
    one.step.value = 50
    assert one.figure.layout.title.text.startswith("DANN: domains ") and shown(one) == one.alt


def test_it_can_be_seen_and_read_without_a_kernel(space):
    pngs = set()
    for control, value in ((space.step, 0), (space.step, 400), (space.by, "class"), (space.example, 5)):
        control.value = value
        bundle, _ = space._repr_mimebundle_()
        assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG") and len(bundle["image/png"]) < 80_000
        assert bundle["text/plain"] == space.alt and "application/vnd.jupyter.widget-view+json" in bundle
        pngs.add(bundle["image/png"])
    assert len(pngs) == 4


@pytest.mark.parametrize("texts", [True, False], ids=["texts", "pictures"])
def test_240_examples_are_quick_and_small(texts):
    n = 240
    many = (
        ["a sentence of some words " * 12] * n if texts else [np.resize(np.arange(251, dtype=np.uint8), (64, 64))] * n
    )
    classes = [str(i % 10) for i in range(n)]
    space = SPACE.feature_space(progress(n, 128), DOMAINS * 10, classes, many)
    changes = ((space.step, 0), (space.method, "source only"), (space.by, "class"), (space.example, 200))
    for control, value in changes:
        began = time.process_time()  # what it takes itself, on a computer however busy
        control.value = value
        assert time.process_time() - began < 0.3
    saved = [space._repr_mimebundle_()[0], *(w.get_state() for w in every(space) if w is not space.figure)]
    assert len(json.dumps(saved, default=str)) + len(space.figure.to_json()) < 400_000


def every(widget):
    """A widget and all in it."""
    return [widget] + [inner for child in getattr(widget, "children", ()) for inner in every(child)]


def test_a_target_may_lack_a_class(texts):
    few = [i for i in range(N) if (DOMAINS[i], CLASSES[i]) != ("sketch", "owl")]
    space = SPACE.feature_space(
        {m: {s: x[few] for s, x in steps.items()} for m, steps in progress().items()},
        *([of[i] for i in few] for of in (DOMAINS, CLASSES, TEXTS)),
    )
    assert [trace.name for trace in space.figure.data[:5]] == [
        "photo, cat", "photo, dog", "photo, owl", "sketch, cat", "sketch, dog"
    ]  # fmt: skip
    mouse(space, "plotly_hover", 4, 0)
    assert shown(space) == space.alt and "sketch, dog" in space.about.value


def test_names_are_shown_as_they_stand():
    marked = {f"{m} <i> & co": steps for m, steps in progress().items()}
    space = SPACE.feature_space(marked, [f"<b>{d}" for d in DOMAINS], [f"{c}<" for c in CLASSES], pictures())
    assert shown(space) == space.alt and "<b>sketch" in space.alt
    assert space.figure.layout.title.text.startswith("DANN &lt;i&gt; &amp; co: domains ")
    assert space.figure.data[-2].text[1] == "DANN &lt;i&gt; &amp; co: step 400"
    assert space.figure.data[0].name == "&lt;b&gt;photo, cat&lt;" and 'alt="Example 1: &lt;b&gt;' in space.picture.value
    assert space.still().png().startswith(b"\x89PNG")


def test_no_random_number_is_drawn(space):
    before = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    panel = SPACE.feature_space(progress(), DOMAINS, CLASSES, TEXTS)
    panel.step.value, panel.by.value, panel.example.value = 0, "class", 4
    panel._repr_mimebundle_()
    assert (random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]) == before


def test_the_steps_come_in_order_and_the_same_features_give_the_same_figure(texts):
    turned = {m: dict(reversed(steps.items())) for m, steps in progress().items()}
    again = SPACE.feature_space(turned, DOMAINS, CLASSES, TEXTS)
    assert again.alt == texts.alt and [s for _, s in again.step.options] == list(STEPS)
    assert (again.plane["DANN"][50] == texts.plane["DANN"][50]).all()


@pytest.mark.parametrize("control", ["method", "step", "by", "example"])
def test_a_callback_that_fails_is_an_error(space, control):
    space.plane = {}
    with pytest.raises(KeyError):
        getattr(space, control).index = int(getattr(space, control).index == 0)


def test_a_mouse_callback_that_fails_is_an_error(space):
    space.plane = {}
    with pytest.raises(KeyError):
        mouse(space, "plotly_hover", 3, 1)


def cut(change):
    """The progress with one matrix changed."""
    out = progress()
    out["DANN"][50] = change(out["DANN"][50])
    return out


def with_nan(x):
    x[3, 1] = np.nan
    return x


SHAPE = r"the features of DANN at step 50 must have the shape \(24, D\).* but they have "
BAD = {
    "no method": ({"progress": {}}, "needs at least one method with one step"),
    "no step": ({"progress": {"DANN": {}}}, "needs at least one method with one step"),
    "fewer rows": ({"progress": cut(lambda x: x[:-1])}, SHAPE + r"\(23, 5\): give the same examples"),
    "other width": ({"progress": cut(lambda x: x[:, :4])}, SHAPE + r"\(24, 4\)"),
    "no matrix": ({"progress": cut(lambda x: x[:, 0])}, SHAPE + r"\(24,\)"),
    "one feature": ({"progress": {"DANN": {0: np.ones((N, 1))}}}, r"of at least 2 everywhere, but they have \(24, 1\)"),
    "nan": ({"progress": cut(with_nan)}, "of DANN at step 50 must be finite numbers, but 1 are not: lower"),
    "constant": ({"progress": {"DANN": {0: np.ones((N, 3))}}}, "all features are the same number"),
    "other steps": (
        {"progress": {"DANN": progress()["DANN"], "MMD": {0: np.ones((N, D)), 7: np.ones((N, D))}}},
        r"the same steps, but DANN has \[0, 50, 400\] and MMD has \[0, 7\]: record all",
    ),
    "fewer domains": ({"domains": DOMAINS[1:]}, r"must have the shape \(23, D\)"),
    "fewer classes": ({"classes": CLASSES[1:]}, "one entry an example, but they have 24, 23 and 24: give"),
    "fewer shown": ({"shown": TEXTS[1:]}, "one entry an example, but they have 24, 24 and 23: give"),
    "one domain": ({"domains": ["photo"] * N}, r"must name two domains.* they are \{'photo': 24\}: mix"),
    "three domains": ({"domains": ["a", "b", "c"] * 8}, "must name two domains"),
    "one example": ({"domains": ["photo"] * 23 + ["sketch"]}, r"they are \{'photo': 23, 'sketch': 1\}"),
    "eleven classes": ({"classes": [str(i // 2) for i in range(N)]}, "at most 10, all of them in the source"),
    "unknown class": ({"classes": [*CLASSES[:1], "elk", *CLASSES[2:]]}, r"lacks \['elk'\] of the target's: leave"),
    "floats": ({"shown": [p / 255 for p in pictures()]}, r"but it also has float64 \(4, 6\): choose"),
    "coloured": ({"shown": [np.zeros((2, 2, 3), np.uint8)] * N}, r"but it also has uint8 \(2, 2, 3\)"),
    "mixed": ({"shown": TEXTS[:-1] + pictures()[:1]}, "but it also has str: choose one of the two"),
    "numbers": ({"shown": list(range(N))}, "but it also has int"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name):
    wrong, words = BAD[name]
    given = {"progress": progress(), "domains": DOMAINS, "classes": CLASSES, "shown": TEXTS} | wrong
    with pytest.raises(ValueError, match=words) as raised:
        SPACE.feature_space(**given)
    assert "\n" not in str(raised.value) and str(raised.value).count(". ") == 0
