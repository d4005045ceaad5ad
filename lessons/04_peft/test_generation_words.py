"""What the widget `comparer` says, in its figure, its title, its words and its status, is what its data say."""

import html

import pytest
from words import NLL, alone, recorded, says, spoken, status, told  # noqa: F401 (a fixture)

from ftlib.classroom.lessons import part

GENERATION = part("04_peft", "widget_generation")
pytestmark = pytest.mark.usefixtures("one_thread", "alone")


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
        words, at = comparer.alt, 0
        for name, text in expected.items():
            plain = " ".join(text.replace("**", "* *").replace("`", "'").split())
            at = words.index(f"{name} “{plain}”", at)  # each beside its own name, in the order of the models
            assert f"<b>{name}</b><br>{html.escape(text)}<br>" in comparer.columns.value
        tail, groups = words[at:].rpartition("). ")[2], {}
        assert status(comparer.words) == f"Answers to “{prompt}”. {tail}"
        for name, text in expected.items():
            groups.setdefault(text, []).append(name)
        same = [names for names in groups.values() if len(names) > 1]
        assert ("All say the same" in tail) == (len(groups) == 1 < len(expected))
        assert ("No two say the same" in tail) == (not same and len(expected) > 1)
        for names in same if len(groups) > 1 else ():
            assert " and ".join(names) in tail
        assert not [n for names in groups.values() if len(names) == 1 for n in names if len(expected) > 1 and n in tail]


ROWS = {k: k for k in ANSWERS}


@pytest.mark.parametrize("name", ROWS)
def test_it_says_what_its_data_say(name):
    check_comparer(ROWS[name])
