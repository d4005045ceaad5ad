"""The augmentation playground without a browser: all controls at their corner values, real cells, a toy judge."""

import base64
import html
import io
import itertools
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import ftlib
from ftlib.classroom.lessons import part
from ftlib.strategies.augmentation import ColorJitter, RandomErasing, Rotation
from ftlib.strategies.mixing import LabelSmoothing, MixUp
from panels import check_controls, check_without_a_kernel

SAMPLES = part("08_augmentation", "widget_samples")
STRENGTHS = SAMPLES.STRENGTHS

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ["intact", "defective"]


def mixup(strength):
    strategy = MixUp(alpha=strength)
    strategy.classes = {"": 2}  # as prepare(model) finds it
    return strategy


KINDS = {
    "light": lambda s: ColorJitter(s, s),
    "erasing": lambda s: RandomErasing(p=1.0, area=[s / 2, s / 2]),
    "rotation": lambda s: Rotation(45 * s),
    "mixup": mixup,
}
CORNERS = list(itertools.product(KINDS, [0.0, 0.3, 1.0], [0, 1]))  # times that "Draw again" is pressed


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


@pytest.fixture(scope="module")
def cells():
    split = ftlib.load_task("elpv", n=48, size=32).splits["train"]
    return split.inputs / 255, split.labels


def judge(pixels):
    """A cell is called defective if it is dark."""
    return torch.sigmoid(20 * (0.4 - pixels.mean((1, 2, 3))))


@pytest.fixture
def play(cells):
    """As a learner finds it."""
    return SAMPLES.samples(*cells, CLASSES, KINDS, judge)


def turn(play, kind="rotation", strength=0.5):
    play.kind.value, play.strength.value = kind, strength


def shown(play) -> str:
    return html.unescape(re.sub("<.*?>", "", play.words.value))


def state(play) -> str:
    layout = play.figure.layout
    return json.dumps([[t.source for t in play.figure.data], layout.title.text, [a.text for a in layout.annotations]])


def pictures_of(play) -> torch.Tensor:
    """What the figure's six sources hold, (6, H, W) bytes."""
    files = [base64.b64decode(trace.source.partition(",")[2]) for trace in play.figure.data]
    return torch.from_numpy(np.stack([np.array(Image.open(io.BytesIO(file))) for file in files]))


def test_the_controls_offer_every_kind_and_eleven_strengths(play):
    assert play.kind.options == tuple(KINDS)
    assert [value for _, value in play.strength.options] == [i / 10 for i in range(11)]
    assert [label for label, _ in play.strength.options[:3]] == ["0", "0.1", "0.2"]


def test_six_are_shown_in_turns_the_first_three_of_each_class(play, cells):
    labels = cells[1].tolist()
    first = [[i for i, label in enumerate(labels) if label == k][:3] for k in (0, 1)]
    assert play.rows == [row for pair in zip(*first) for row in pair]


@pytest.mark.parametrize(("kind", "strength", "presses"), CORNERS)
def test_at_every_corner_figure_words_and_pictures_agree(play, kind, strength, presses):
    before = [trace.uid for trace in play.figure.data]
    turn(play, kind, strength)
    for _ in range(presses):
        play.again.click()
    assert [trace.uid for trace in play.figure.data] == before and len(before) == 6  # in place
    assert torch.equal(pictures_of(play), (255 * play.drawn[:, 0]).round().byte())
    assert play.opinions == pytest.approx(judge(play.drawn).tolist())
    texts = [note.text for note in play.figure.layout.annotations]
    assert [text.replace("<br>", " ") for text in texts[:6]] == play.became
    assert texts[6:] == [f"network:<br>{100 * p:.0f} % defective" for p in play.opinions]
    assert shown(play) == play.alt == play.figure.layout.meta["alt"]
    for name, p in zip(play.became, play.opinions):
        assert f"{name} (network: {100 * p:.0f} % defective)" in play.alt
    assert ("lead over guessing" in play.alt) == (kind != "mixup")


@pytest.mark.parametrize("kind", KINDS)
def test_strength_0_leaves_pictures_untouched_and_calls_nobody(play, cells, kind):
    turn(play, kind, 1.0)
    play.kinds = {}
    play.strength.value = 0.0
    assert torch.equal(play.drawn, cells[0][play.rows]) and play.again.disabled
    assert play.became == ["intact", "defective"] * 3


@pytest.mark.parametrize(("kind", "strength"), list(itertools.product(KINDS, [0.3, 1.0])))
def test_the_pictures_are_the_strategys_own_under_the_seed(play, cells, kind, strength):
    turn(play, kind, strength)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        want = KINDS[kind](strength).transform({"pixels": cells[0][play.rows], "labels": cells[1][play.rows]})
    assert torch.equal(play.drawn, want["pixels"]) and not play.again.disabled


def test_the_same_controls_show_the_same_and_random_numbers_do_not_move(cells):
    torch.manual_seed(5)
    before, kept = torch.get_rng_state(), cells[0].clone()
    one, two = (SAMPLES.samples(*cells, CLASSES, KINDS, judge) for _ in range(2))
    turn(one, "erasing", 1.0)
    turn(two, "mixup", 0.3)
    turn(two, "erasing", 1.0)
    assert state(one) == state(two) and one.leads == two.leads
    two.again.click()
    assert not torch.equal(one.drawn, two.drawn)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(cells[0], kept)
    other = SAMPLES.samples(*cells, CLASSES, KINDS, seed=1)
    turn(other, "erasing", 1.0)
    assert torch.equal(other.drawn, two.drawn)  # the second draw of seed 0 is the first of seed 1


def test_every_control_changes_the_figure_and_the_words(play):
    turn(play)
    seen = {(state(play), shown(play))}
    for change in (
        lambda: play.again.click(),
        lambda: turn(play, "light"),
        lambda: turn(play, "light", 1.0),
        lambda: turn(play, "light", 0.0),
    ):
        change()
        seen.add((state(play), shown(play)))
    assert len({figure for figure, _ in seen}) == len({words for _, words in seen}) == 5


def test_mixed_labels_say_the_share_of_each(play, cells):
    turn(play, "mixup", 1.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        share = mixup(1.0).share()
    rounded = round(100 * max(share, 1 - share))
    assert f"{rounded / 100:g} " in play.became[0] and f" + {(100 - rounded) / 100:g} " in play.became[0]
    smooth = SAMPLES.samples(*cells, CLASSES, {"smoothing": smoothing})
    smooth.strength.value = 0.3
    assert smooth.became[:2] == ["0.85 intact + 0.15 defective", "0.85 defective + 0.15 intact"]


def smoothing(strength):
    strategy = LabelSmoothing(epsilon=strength)
    strategy.classes = {"": 2}
    return strategy


def test_leads_are_balanced_accuracy_on_all_pictures_above_a_half(play, cells):
    assert list(play.leads) == ["light", "erasing", "rotation"]  # mixed labels have none
    chosen = judge(cells[0]) > 0.5
    recalls = [(chosen[cells[1] == k] == bool(k)).float().mean().item() for k in (0, 1)]
    for leads in play.leads.values():
        assert list(leads) == list(STRENGTHS) and leads[0.0] == pytest.approx(sum(recalls) / 2 - 0.5)
    turn(play, "light", 1.0)
    lead = f"{play.leads['light'][1.0]:.2f} at this strength, {sum(recalls) / 2 - 0.5:.2f} untouched."
    assert play.alt.endswith(f"The network's lead over guessing on all 48 images is {lead}")


def test_labels_and_the_networks_opinion_can_be_hidden(play):
    turn(play, "erasing", 1.0)
    assert "defective (network: " in shown(play) and play.reveal.description == "Hide labels"
    play.reveal.click()
    texts = [note.text for note in play.figure.layout.annotations]
    assert texts == [f"image {i + 1}" for i in range(6)] + [""] * 6
    assert not re.search("intact|defective|network|lead", shown(play) + state(play))
    assert "labels are hidden" in shown(play) and play.reveal.description == "Show labels"
    play.reveal.click()
    assert "defective (network: " in shown(play)


def test_it_opens_with_images_as_they_are_and_their_labels(play, cells):
    """Nobody can look for a limit who has never seen a defect. And strength 0 is no answer to the task."""
    assert (play.kind.value, play.strength.value, play.revealed) == ("light", 0.0, True)
    assert torch.equal(play.drawn, cells[0][play.rows]) and play.again.disabled
    assert play.became == ["intact", "defective"] * 3 and "lead over guessing" in play.alt


def test_without_a_judge_nothing_is_said_of_a_network(cells):
    play = SAMPLES.samples(*cells, CLASSES, KINDS)
    turn(play, "light", 1.0)
    assert play.leads == {} and play.opinions == [] and "network" not in state(play) + play.alt


def test_coloured_pictures_and_more_classes_are_shown_too(cells):
    pictures, labels = cells[0].repeat(1, 3, 1, 1), torch.arange(48) % 4
    play = SAMPLES.samples(pictures, labels, list("abcd"), {"light": KINDS["light"]})
    turn(play, "light", 0.0)
    assert play.became == ["a", "b", "c", "d", "a", "b"] and pictures_of(play).shape == (6, 32, 32, 3)
    assert play.still().png.startswith(b"\x89PNG")


def test_a_change_is_one_message(play):
    turn(play)
    sent = []
    for name in ("_py2js_update", "_py2js_restyle", "_py2js_relayout", "_py2js_addTraces", "_py2js_deleteTraces"):
        play.figure.observe(lambda change: sent.append(change.name) if change.new else None, names=name)
    play.strength.value = 1.0
    play.again.click()
    assert sent == ["_py2js_update"] * 2


def test_every_control_has_a_name_and_is_used_from_the_keyboard(play):
    check_controls(play, ["What", "Strength", "Draw again", "Hide labels"])


def test_it_can_be_seen_and_read_without_a_kernel(play):
    turn(play)
    check_without_a_kernel(play, 300_000, lambda: turn(play, "erasing", 1.0))
    assert len(state(play)) < 100_000


def test_a_callback_that_fails_is_an_error(play):
    play.kinds = {"light": KINDS["light"]}
    with pytest.raises(KeyError):
        turn(play, "mixup", 1.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pictures": torch.zeros(48, 32, 32)}, "pictures must be floats in 0..1 of shape (N, 1 or 3, H, W), but"),
        ({"pictures": torch.zeros(48, 1, 8, 8, dtype=torch.uint8)}, "but these are uint8 of shape (48, 1, 8, 8): take"),
        ({"pictures": torch.full((48, 1, 8, 8), 255.0)}, "with pixels up to 255: give more, or divide by 255"),
        ({"pictures": torch.zeros(5, 1, 8, 8)}, "at least 6, with pixels in 0..1, but there are 5"),
        ({"labels": torch.zeros(47, dtype=torch.long)}, "48 of them from 0 to 1, but these are int64 of shape (47,)"),
        ({"labels": torch.full((48,), 2)}, "labels must be one whole number a picture"),
        ({"labels": torch.zeros(48, dtype=torch.long)}, "a judge needs two classes and pictures of both"),
        ({"classes": ["a", "b", "c"]}, "but there are 3 classes and pictures of 2: add pictures, or leave"),
        ({"kinds": {}}, "the samples need at least one kind"),
        ({"kinds": {"x": lambda s: ftlib.Strategy()}}, "the kind 'x' must give a strategy whose role is 'augment' or"),
        (
            {"judge": lambda x: torch.zeros(len(x), 2)},
            "shape (6,), but it gave shape (6, 2), from 0 to 0: take softmax",
        ),
        ({"judge": lambda x: torch.full((len(x),), 2.0)}, "judge must give one probability of defective a picture"),
    ],
)
def test_what_does_not_fit_is_one_sentence(cells, change, sentence):
    given = {"pictures": cells[0], "labels": cells[1], "classes": CLASSES, "kinds": KINDS, "judge": judge} | change
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SAMPLES.samples(**given)
