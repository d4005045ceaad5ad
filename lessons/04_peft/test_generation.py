"""The generation comparer without a browser: who is asked, what is shown, and how often."""

import html
import re
import time

import ipywidgets
import pytest

from ftlib.classroom.lessons import part

GENERATION = part("04_peft", "widget_generation")

EXAMPLES = ["I love it.", "It broke."]


@pytest.fixture(autouse=True)
def no_hidden_error(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname != "INFO"] == []


@pytest.fixture
def asked():
    return []


@pytest.fixture
def comparer(asked):
    def model(name, answer):
        def ask(prompt):
            asked.append((name, prompt))
            return answer(prompt)

        return ask

    def tuned(prompt):
        return "positive" if "love" in prompt else "negative"

    models = {"base": lambda p: f"You said: {p}", "LoRA": tuned, "merged": tuned}
    return GENERATION.comparer({name: model(name, f) for name, f in models.items()}, EXAMPLES)


def shown(comparer) -> str:
    return html.unescape(re.sub("<.*?>", "", comparer.words.value))


def cards(comparer) -> list[list[str]]:
    """[name, answer, seconds] of each column."""
    found = re.findall(r"<b>(.*?)</b><br>(.*?)<br><small>(.*?) s</small>", comparer.columns.value, re.S)
    return [[html.unescape(part) for part in card] for card in found]


def test_the_first_example_is_answered_at_once_by_all(comparer, asked):
    assert asked == [(name, EXAMPLES[0]) for name in ("base", "LoRA", "merged")]
    assert comparer.answers == {"base": "You said: I love it.", "LoRA": "positive", "merged": "positive"}
    assert "base “You said: I love it.” (0.0 s); LoRA “positive”" in comparer.alt
    assert shown(comparer) == "Answers to “I love it.”. The same: LoRA and merged."
    assert [card[:2] for card in cards(comparer)] == [
        ["base", "You said: I love it."], ["LoRA", "positive"], ["merged", "positive"],
    ]  # fmt: skip


def test_another_example_and_a_prompt_of_ones_own_change_the_answers(comparer):
    seen = {shown(comparer)}
    comparer.example.value = EXAMPLES[1]
    assert comparer.prompt.value == EXAMPLES[1] and comparer.answers["LoRA"] == "negative"
    seen.add(shown(comparer))
    comparer.prompt.value = "We love rain."
    assert comparer.answers["LoRA"] == "positive"
    assert len(seen | {shown(comparer)}) == 3


def test_a_prompt_is_asked_once(comparer, asked):
    comparer.example.value = EXAMPLES[1]
    comparer.example.value = EXAMPLES[0]
    assert len(asked) == 6
    comparer.ask.click()
    assert len(asked) == 6
    comparer.prompt.value = "Rain?"  # the browser sends this when the button takes the focus,
    comparer.ask.click()  # and then this
    assert len(asked) == 9 and asked[-1] == ("merged", "Rain?")
    comparer.forget()
    assert len(asked) == 12


def test_it_says_who_is_answering_and_the_button_waits(comparer):
    seen = []
    comparer.models["LoRA"] = lambda prompt: seen.append((shown(comparer), comparer.ask.disabled)) or "well"
    comparer.prompt.value = "And now?"
    assert seen == [("LoRA is answering (2 of 3) …", True)] and not comparer.ask.disabled
    assert shown(comparer).startswith("Answers to “And now?”")


def test_an_empty_prompt_asks_nobody(comparer, asked):
    comparer.prompt.value = "  "
    assert len(asked) == 3 and shown(comparer) == "Write something into the prompt first, then press Enter."


def test_markup_in_a_prompt_is_shown_as_it_stands(comparer):
    comparer.prompt.value = "<b>**love**</b> `it`\nnow"
    assert "“<b>* *love* *</b> 'it' now”" in comparer.alt and "**" not in shown(comparer)
    assert cards(comparer)[0][1] == "You said: <b>**love**</b> `it`\nnow"
    assert "<b>**" not in comparer.words.value + comparer.columns.value


def test_who_agrees_is_said_in_words():
    def set_status(text):
        return lambda prompt: text

    assert shown(GENERATION.comparer({"a": set_status("x"), "b": set_status("x")}, EXAMPLES)).endswith(
        "All say the same."
    )
    assert shown(GENERATION.comparer({"a": set_status("x"), "b": set_status("y")}, EXAMPLES)).endswith(
        "No two say the same."
    )
    one = GENERATION.comparer({"a": set_status("x")}, EXAMPLES, title="Greedy")
    assert one.alt.startswith("Greedy: to “I love it.”: a “x”")


def test_the_widget_itself_adds_no_time():
    slow = GENERATION.comparer({"a": lambda prompt: prompt}, EXAMPLES)
    began = time.thread_time()
    for i in range(20):
        slow.prompt.value = f"prompt {i}"
    assert time.thread_time() - began < 1


def test_a_model_that_fails_is_an_error(comparer):
    def broken(prompt):
        raise RuntimeError("no answer")

    comparer.models["base"] = broken
    with pytest.raises(RuntimeError, match="no answer"):
        comparer.prompt.value = "something new"
    assert not comparer.ask.disabled and "stopped with an error" in shown(comparer)


def test_every_control_has_a_name_and_is_used_from_the_keyboard(comparer):
    plain = (ipywidgets.Dropdown, ipywidgets.Text, ipywidgets.Button)
    found = [child for child in comparer.children if isinstance(child, plain)]
    assert [control.description for control in found] == ["Example", "Prompt", "Ask"]
    assert comparer.prompt.continuous_update is False  # asked on Enter, not at each letter


def test_it_can_be_read_without_a_kernel(comparer):
    bundle, _ = comparer._repr_mimebundle_()
    assert "image/png" not in bundle and bundle["text/plain"] == comparer.alt


@pytest.mark.parametrize(("models", "examples"), [({}, EXAMPLES), ({"a": str}, [])])
def test_nothing_to_compare_is_one_sentence(models, examples):
    with pytest.raises(ValueError, match="needs at least one model, .* and one example"):
        GENERATION.comparer(models, examples)
