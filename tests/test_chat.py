"""The same prompt in training and in generating, and the end that the template writes, whatever the template does."""

from types import SimpleNamespace

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn

from ftlib import assets
from ftlib.models import chat
from ftlib.tasks import instructions
from ftlib.tasks.task import IGNORED, Split
from toy import decoder

WORDS = ["[PAD]", "[UNK]", "</s>", "<eot>", "<user>", "<bot>", "yes", "no", "Is", "it?", "bot", ":"]
LOOP = "{% for m in messages %}"
OPEN = "{% if add_generation_prompt %}<bot> {% endif %}"
ROLE = "{{ '<user> ' if m.role == 'user' else '<bot> ' }}"
# name -> (template, the token that ends a turn)
TEMPLATES = {
    "ends in another token": (f"{LOOP}{ROLE}{{{{ m.content }}}} <eot> {{% endfor %}}{OPEN}", "<eot>"),
    "trims": (f"{LOOP}{ROLE}{{{{ m.content | trim }}}} <eot> {{% endfor %}}{OPEN}", "<eot>"),
    "ends in eos": (f"{LOOP}{ROLE}{{{{ m.content }}}} </s> {{% endfor %}}{OPEN}", "</s>"),
    "plain words": (f"{LOOP}{{{{ m.role }}}} : {{{{ m.content }}}} {{% endfor %}}bot : ", "</s>"),
    "changes words": (f"{LOOP}{ROLE}{{{{ m.content | replace('it?', 'no') }}}} <eot> {{% endfor %}}{OPEN}", "<eot>"),
}  # fmt: skip


def tokenizer_with(template, eos="</s>"):
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "extra_special_tokens": ["<eot>", "<user>", "<bot>"]}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos, **special)
    fast.chat_template = template
    return fast


def rows_of(tokenizer, prompts, answers):
    split = Split(prompts, torch.zeros(len(prompts), dtype=torch.long), 2, {"answer": answers})
    return instructions.encode(split, tokenizer, 64)


def read_by_generate(tokenizer, prompt, says="</s>"):
    """(the tokens that generate reads, how many it writes at most 5 of) where the model always says the same token."""
    model, seen = decoder().eval(), []
    model.tokenizer = tokenizer
    forward, token = model.features, tokenizer.convert_tokens_to_ids(says)

    def features(batch):
        seen.append(batch["input_ids"][0].tolist())
        return forward(batch)

    model.features = features
    model.head = nn.Linear(model.width, len(WORDS))
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
        model.head.bias[token] = 1
    model.generate([prompt], max_new_tokens=5)
    return seen[0], len(seen)


@pytest.mark.parametrize("prompt", ["Is it?", "  Is it? \n", "Is  it?"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_training_row_begins_as_what_generate_reads_and_ends_as_the_template_does(name, prompt):
    template, end = TEMPLATES[name]
    tokenizer = tokenizer_with(template)
    rows = rows_of(tokenizer, [prompt], ["yes"])
    ids, labels = rows["input_ids"][0], rows["labels"][0]
    asked, _ = read_by_generate(tokenizer, prompt)
    counted = [token for token in labels if token != IGNORED]
    assert ids == asked + counted[:-1] and len(ids) == len(labels)
    assert tokenizer.convert_ids_to_tokens(counted) == ["yes", end]


@pytest.mark.parametrize("name", TEMPLATES)
def test_generate_stops_at_the_end_of_turn_and_at_the_end_of_a_text(name):
    template, end = TEMPLATES[name]
    tokenizer = tokenizer_with(template)
    for token, steps in ((end, 1), ("</s>", 1), ("yes", 5)):
        assert read_by_generate(tokenizer, "Is it?", token)[1] == steps


def test_a_template_that_trims_reads_what_transformers_itself_renders():
    tokenizer = tokenizer_with(TEMPLATES["trims"][0])
    turns = [{"role": "user", "content": " Is it?\n"}]
    wanted = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert chat.prompt_text(tokenizer, " Is it?\n") == wanted == "<user> Is it? <eot> <bot> "


def test_smollm2_ends_its_turn_as_before():
    tokenizer = transformers.AutoTokenizer.from_pretrained(assets.path("smollm2"))
    assert chat.end_of_turn(tokenizer) == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: chat.prompt_text(SimpleNamespace(chat_template=None), "x"), "use that of 'smollm2'"),
        (lambda: chat.prompt_text(tokenizer_with("{{ raise_exception('Conversation roles must alternate') }}"), "x"),
         "chat template does not take a turn of user: Conversation roles must alternate"),
        (lambda: chat.prompt_text(tokenizer_with("{% for m in messages %}"), "x"), "does not take a turn of user"),
        (lambda: chat.end_of_turn(tokenizer_with(TEMPLATES["plain words"][0], eos=None)), "nothing ends an answer"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_one_sentence(make, words):
    with pytest.raises(ValueError, match=words) as error:
        make()
    assert "\n" not in str(error.value)
