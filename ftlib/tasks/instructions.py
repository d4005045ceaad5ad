"""Instructions: the sentiment sentences as a chat. The prompt asks, the answer is one word.

With target="continue" the prompt is the first half of a sentence, and the answer is its second half. So a model learns
the language of a domain.

A chat model reads its own markup, so the question goes into the tokenizer's chat template, which then opens
the assistant's turn. A row is prompt + answer + end of turn, and the loss counts the answer and the end of
turn only: or the model would mostly learn to write our question. labels[t] is the token that follows
input_ids[t], so labels are shifted already; IGNORED stands where nothing is counted.

The metric "exact_match" asks whether all counted tokens of a row are the likeliest, as greedy generation
needs.
"""

from dataclasses import replace

from ftlib.models.chat import end_of_turn, prompt_text
from ftlib.tasks import sentiment
from ftlib.tasks.checks import choose
from ftlib.tasks.task import IGNORED, Split, Task

CARDS = ["sentiment"]  # in data/cards/
DOMAINS = sentiment.DOMAINS
QUESTION = "Is this sentence positive or negative? Answer with one word.\n\n{text}"
BEGINNING = "Continue this text.\n\n{text}"
MAX_LENGTH = 256  # tokens; no row has as many, and a batch is padded only to its own longest


def load(domain: str | None, *, seed: int, n: int | None, target: str = "polarity") -> Task:
    """The splits of "sentiment", with the columns `text`, `prompt` and `answer` for those who generate.

    target: "polarity", or "continue", of which the metric is the share of right tokens.
    """
    continued = choose("target", target, ("polarity", "continue")) == "continue"
    base = sentiment.load(domain, seed=seed, n=n)
    splits = {}
    for name, split in base.splits.items():
        if continued:
            prompts, answers = zip(*map(halves, split.inputs), strict=True)
            prompts = [BEGINNING.format(text=text) for text in prompts]
        else:
            prompts = [QUESTION.format(text=text) for text in split.inputs]
            answers = [base.labels[k] for k in split.labels]
        columns = {**split.columns, "prompt": prompts, "answer": list(answers), "text": split.inputs}
        splits[name] = replace(split, inputs=prompts, columns=columns)
    name = base.name.replace("sentiment", "instructions")
    labels, metric = ([], "token_accuracy") if continued else (base.labels, "exact_match")
    return Task(name, "lm", labels, metric, splits, max_length=MAX_LENGTH, encode=encode)


def halves(text: str) -> tuple[str, str]:
    """The first half of a text's words, and the rest; a single word is all rest."""
    words = text.split()
    return " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])


def encode(split: Split, tokenizer, max_length: int) -> dict[str, list[list[int]]]:
    """Rows of input_ids and labels, equally long; the end of turn is a label, never an input."""
    asked = split.columns.get("turns", split.inputs)  # own chats may have several turns
    texts = [prompt_text(tokenizer, prompt) for prompt in asked]  # each: a template may trim what it is given
    prompts, end = tokenizer(texts, add_special_tokens=False)["input_ids"], end_of_turn(tokenizer)
    rows = {"input_ids": [], "labels": []}
    for prompt, answer in zip(prompts, split.columns["answer"], strict=True):
        counted = [*tokenizer(answer, add_special_tokens=False)["input_ids"], end]
        rows["input_ids"].append(prompt + counted[:-1])  # (T,)
        rows["labels"].append([IGNORED] * (len(prompt) - 1) + counted)  # (T,)
    longest = max(map(len, rows["labels"]))
    if longest > max_length:
        long = sum(len(row) > max_length for row in rows["labels"])
        raise ValueError(
            f"max_length={max_length} would cut answers off: use at least {longest}, or leave {long} long rows out"
        )
    return rows
