"""The cheat sheet: it says what the claims say, it refuses what doesn't exist, and nothing on it collides."""

import hashlib
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import page
import sheet as drawing
from ftlib.classroom.verdicts import SIGNS, Line

ROOT = Path(__file__).parents[1]
WORDS = drawing.WORDS
FILE = ROOT / "lessons" / "09_compare" / "sheet.json"
NUMBERS = {"yes": "+24 points", "the opposite": "−28 points", "no difference": "−0.1 points", "open": "3.1 points"}


def stub(verdict: str, word: str, name: str, number: str | None = None, act: str = "Do this.", label: str = ""):
    """A claim of which every row says the same word. Its rows are those of its file."""
    names = [f"{label}{one}" if label else one for one in WORDS.labels(name)] or ["reviews"]
    lines = [Line(one, word, NUMBERS[word] if number is None else number) for one in names]
    return SimpleNamespace(id=name, verdict=verdict, lines=lines, act=act, confirmed=True)


def every(verdict: str, word: str, **more):
    return lambda name: stub(verdict, word, name, **more)


LONG = "Compare both on your own data, over several seeds, before you decide, and then measure once more. " * 2
CLAIMS = {
    "today": WORDS.look_up,
    "nothing is measured": lambda name: None,
    "all supported": every("supported", "yes"),
    "all contradicted": every("contradicted", "the opposite"),
    "all without a difference": every("no difference", "no difference"),
    "all open": every("open", "open"),
    "long numbers and advice": every("supported", "yes", number="but little: +1.23 points per doubling", act=LONG),
    "no words at all": every("supported", "yes", number="", act="Go."),
}


@pytest.fixture(scope="module")
def sheet():
    return WORDS.read()


@pytest.fixture(scope="module")
def written():
    return drawing.written()


def arrows(sheet) -> list:
    return [arrow for question in sheet.questions for arrow in question.arrows]


# ---- it says what the claims say


@pytest.mark.parametrize("name", ["cheat_sheet.svg", "cheat_sheet.md"])
def test_the_sheet_is_up_to_date(written, name):
    there = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert there == written[name].decode(), (
        f"the claims or sheet.json say other things than docs/{name}: call make sheet"
    )


def test_the_pdf_is_that_of_the_svg(written):
    """Its bytes differ from one version of matplotlib to the next, so it names the SVG that it was drawn with."""
    there = (ROOT / "docs" / "cheat_sheet.pdf").read_bytes()
    digest = hashlib.sha256(written["cheat_sheet.svg"]).hexdigest().encode()
    assert there.startswith(b"%PDF") and digest in there, "docs/cheat_sheet.pdf is another drawing: call make sheet"
    assert digest in written["cheat_sheet.pdf"] and written["cheat_sheet.pdf"].count(b"/Type /Page\n") <= 1


def test_the_page_has_every_row_at_full_length(sheet, written):
    text = written["cheat_sheet.md"].decode()
    for arrow in arrows(sheet):
        assert f"**{arrow.answer}**" in text and f"**{arrow.do}**" in text
        for one in WORDS.say_all(arrow):
            assert f"{one.claim}\N{NO-BREAK SPACE}{one.sign}" in text and one.full in text
        assert not arrow.unknown or f"We don't know. {arrow.unknown}" in text
    for one in sheet.strategies:
        assert WORDS.advice_of(one) in text and WORDS.signs_of(one.lesson) in text
    assert all(one.symptom in text for one in sheet.pitfalls)


def test_another_verdict_or_number_is_another_sheet(sheet):
    def words(find) -> str:
        return " ".join(item.text for item in drawing.fitted(sheet, find) if isinstance(item, page.Words))

    yes, no = words(every("supported", "yes")), words(every("contradicted", "the opposite"))
    assert "✔" in yes and "Yes, +24 points" in yes
    assert "No, −28 points" in no and "Our runs don't support this." in no and "+24" not in no
    assert "+25 points" in words(every("supported", "yes", number="+25 points"))
    assert "Wait a year." in words(every("open", "open", act="Wait a year."))


@pytest.mark.parametrize(
    ("word", "wants", "state", "dash"),
    [
        ("yes", ["yes"], WORDS.FOR, "solid"),
        ("the opposite", ["yes"], WORDS.AGAINST, "dotted"),
        ("no difference", ["yes"], WORDS.AGAINST, "dotted"),
        ("no difference", ["no difference", "the opposite"], WORDS.FOR, "solid"),
        ("open", ["yes"], WORDS.UNKNOWN, "dashed"),
    ],
)
def test_an_arrow_says_by_its_line_and_in_words_what_the_runs_say(word, wants, state, dash):
    evidence = WORDS.Evidence(claim="G1", asks="Better?", row="reviews", wants=wants)
    arrow = WORDS.Arrow(answer="Yes", strategy="full", do="Do it", evidence=[evidence])
    find = every("it depends", word)
    assert WORDS.state_of(arrow, find) == state and drawing.DASH[state] == dash
    assert WORDS.evidence_of(arrow, find).startswith(WORDS.LEADS[state])


def test_rows_that_disagree_support_an_arrow_in_part_and_a_pilot_is_no_answer():
    rows = [WORDS.Evidence(claim="G1", asks="Better?", row=row) for row in ("reviews", "digits")]
    arrow = WORDS.Arrow(answer="Yes", strategy="full", do="Do it", evidence=rows)
    mixed = stub("it depends", "yes", "G1")
    mixed.lines[1] = Line("digits", "the opposite", "−3.0 points")
    said = WORDS.evidence_of(arrow, lambda _: mixed)
    assert WORDS.state_of(arrow, lambda _: mixed) == WORDS.PARTLY and drawing.DASH[WORDS.PARTLY] == "dashdot"
    name = "**G1\N{NO-BREAK SPACE}±**"
    assert said == f"In part. {name} Better? Yes, +24 points (reviews). Better? No, the opposite, −3.0 points (digits)."
    mixed.lines[1] = Line("digits", "open", "9 points")
    assert WORDS.state_of(arrow, lambda _: mixed) == WORDS.FOR
    mixed.confirmed = None
    assert WORDS.state_of(arrow, lambda _: mixed) == WORDS.UNKNOWN
    assert "Not decided yet." in WORDS.evidence_of(arrow, lambda _: mixed)


def test_a_claim_that_depends_says_on_what():
    arrow = WORDS.Arrow(
        answer="Yes", strategy="full", do="Do it", evidence=[WORDS.Evidence(claim="G1", asks="Better?", row="reviews")]
    )
    mixed = stub("it depends", "yes", "G1")
    mixed.lines[2] = Line("solar cells", "no difference", "−0.2 points")
    said = WORDS.evidence_of(arrow, lambda _: mixed, short=True)
    assert said.endswith("Better? Yes, +24 points (reviews). But no difference, −0.2 points (solar cells).")


def test_the_signs_of_a_lesson_name_each_claim_once():
    signs = WORDS.signs_of("01_full", lambda name: None if name == "F3" else stub("supported", "yes", name))
    assert signs == "✔ F1 F2 F4 F5 G1  ? F3"


# ---- what is written by hand


def test_it_has_the_eight_strategies_and_their_pitfalls(sheet):
    lessons = [one.lesson for one in sheet.strategies]
    assert lessons == [one.lesson for one in sheet.pitfalls] and len(set(lessons)) == 8
    for lesson in lessons:
        assert "Break it" in (ROOT / "lessons" / lesson / "lesson.py").read_text(encoding="utf-8")
    assert {arrow.strategy for arrow in arrows(sheet)} == {one.id for one in sheet.strategies}


def broken(change) -> dict:
    data = json.loads(FILE.read_text(encoding="utf-8"))
    change(data)
    return data


def first(data) -> dict:
    return data["questions"][0]["arrows"][0]


def cited(data) -> dict:
    return first(data)["evidence"][0]


def drop_evidence(data):
    del first(data)["evidence"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: cited(d).update(claim="G7"), "there is no claim 'G7': there are A1, A2, "),
        (lambda d: d["strategies"][0].update(act="F9"), "there is no claim 'F9': there are A1, A2, "),
        (lambda d: cited(d).update(row="revews"), "no row of claim G1 'revews'; did you mean 'reviews'"),
        (drop_evidence, "an arrow needs claims or 'unknown', but 'Yes, even from other inputs' has neither"),
        (lambda d: first(d).update(unknown="Who knows?"), "inputs' has both: give one of the two"),
        (lambda d: first(d).update(strategy="ful"), "there is no strategy 'ful'; did you mean 'full'?"),
        (lambda d: d["pitfalls"][0].update(lesson="01_ful"), "there is no lesson '01_ful'; did you mean '01_full'?"),
        (lambda d: cited(d).update(want=["yes"]), "no key 'want' here, the nearest known one is 'wants'"),
        (lambda d: cited(d).update(wants=["perhaps"]), "should be 'yes', 'the opposite' or"),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_refused_in_one_sentence(tmp_path, change, says):
    file = tmp_path / "sheet.json"
    file.write_text(json.dumps(broken(change)), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(says)) as refused:
        WORDS.read(file)
    assert str(refused.value).startswith(str(file)) and "\n" not in str(refused.value)


# ---- where it stands


def inside(inner, outer, slack=0.05) -> bool:
    return all(a >= b - slack for a, b in zip(inner[:2], outer[:2])) and all(
        a <= b + slack for a, b in zip(inner[2:], outer[2:])
    )


def overlap(one, other, slack=0.05) -> bool:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    return wide > slack and tall > slack


def collisions(items) -> list[str]:
    """What leaves its place: words outside of the page or across the edge of a box, and things on top of each other."""
    words = [item for item in items if isinstance(item, page.Words)]
    boxes = [item for item in items if isinstance(item, page.Box)]
    lines = [item for item in items if isinstance(item, page.Arrow)]
    across = [(min(a.x, a.to_x), min(a.y, a.to_y) - 0.6, max(a.x, a.to_x), max(a.y, a.to_y) + 0.6) for a in lines]
    edge = drawing.EDGE
    area = (edge, edge, drawing.PAGE[0] - edge, drawing.PAGE[1] - edge)
    found = [
        f"off the page: {item}" for item in items if not isinstance(item, page.Arrow) and not inside(item.extent, area)
    ]
    found += [
        f"across an edge: {w.text}"
        for w in words
        for b in boxes
        if overlap(w.extent, b.extent) and not inside(w.extent, b.extent)
    ]
    found += [
        f"{w.text} | {v.text}" for i, w in enumerate(words) for v in words[i + 1 :] if overlap(w.extent, v.extent)
    ]
    found += [f"boxes: {b} | {c}" for i, b in enumerate(boxes) for c in boxes[i + 1 :] if overlap(b.extent, c.extent)]
    return found + [f"on an arrow: {w.text}" for w in words for line in across if overlap(w.extent, line)]


@pytest.mark.parametrize("name", CLAIMS)
def test_nothing_leaves_its_box_and_nothing_overlaps(sheet, name):
    items = drawing.fitted(sheet, CLAIMS[name])
    assert collisions(items) == []
    sizes = {item.size for item in items if isinstance(item, page.Words)}
    assert min(sizes) >= 5.0 and (name.startswith("long") or min(sizes) >= 5.5)


def test_collisions_are_found(sheet):
    items = drawing.fitted(sheet, CLAIMS["all open"])
    at = next(i for i, item in enumerate(items) if getattr(item, "text", "").startswith("Do this"))
    one = items[at]
    for moved in (replace(one, y=one.y + 5), replace(one, text=one.text * 9), replace(one, x=one.x - 30)):
        assert collisions([*items[:at], moved, *items[at + 1 :]])


def test_a_sheet_that_fits_no_page_is_refused(sheet):
    with pytest.raises(ValueError, match="points too long for a page even in letters of .* shorten the texts"):
        drawing.fitted(sheet, every("supported", "yes", act="Compare it. " * 200))


@pytest.mark.parametrize(
    "text", ["a few **bold words** and plain ones", "w" * 90, "**" + "W" * 60 + "** end", "", "a  b"]
)
def test_wrapped_lines_fit_and_lose_nothing(text):
    lines = page.wrap(text, 7, 60)
    assert "".join(words for line in lines for words, _ in line).replace(" ", "") == re.sub(r"[* ]", "", text)
    for line in lines:
        spaces = sum(page.width(" ", 7, bold) for _, bold in line[:-1])
        assert sum(page.width(words, 7, bold) for words, bold in line) + spaces <= 60 + 1e-9


def test_words_are_measured_as_matplotlib_draws_them():
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    for bold in (False, True):
        font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
        ends = TextPath((0, 0), "How many labels? ✔ ± −", size=100, prop=font).get_extents()
        assert ends.width == pytest.approx(
            page.width("How many labels? ✔ ± −", 100, bold), rel=0.03
        )  # kerning, bearings


# ---- the files


def test_the_svg_holds_all_words_and_says_them_without_eyes(sheet, written):
    root = ET.fromstring(written["cheat_sheet.svg"])
    name = "{http://www.w3.org/2000/svg}"
    title, desc = (root.find(f"{name}{tag}").text for tag in ("title", "desc"))
    assert title == sheet.title and not re.search(r"[*`#|]|\]\(", desc)
    for arrow in arrows(sheet):
        assert arrow.answer in desc and arrow.do in desc and WORDS.plain(WORDS.evidence_of(arrow)) in desc
    shown = [one.text for one in root.iter(f"{name}text")]
    assert shown == [i.text for i in drawing.fitted(sheet) if isinstance(i, page.Words)]
    assert {one.get("class") for one in root.iter(f"{name}text")} <= {page.FILL + name for name in page.COLOURS}
    assert "prefers-color-scheme: dark" in written["cheat_sheet.svg"].decode()


def luminance(colour: str) -> float:
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", [0, 1])
def test_letters_can_be_read_on_their_ground_in_both_themes(theme):
    """4.5 : 1 after WCAG 2.1, which also holds when printed in grey, since it compares luminances."""
    shade = {name: luminance(pair[theme]) for name, pair in page.COLOURS.items()}
    for ink in ("ink", "soft", "blue"):
        for ground in ("paper", "pale"):
            low, high = sorted([shade[ink], shade[ground]])
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


def test_every_sign_has_a_letter_in_the_font():
    for letter in [*SIGNS.values(), "−", "“", "”", "’"]:
        for bold in (False, True):
            assert page._font(bold).get_char_index(ord(letter)), letter
