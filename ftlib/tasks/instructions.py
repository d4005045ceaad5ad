"""Instructions: the sentiment sentences as a chat. The prompt asks, the answer is one word.

A chat model reads its own markup, so the question goes into the tokenizer's chat template, which then opens
the assistant's turn. A row is prompt + answer + end of turn, and the loss counts the answer and the end of
turn only: or the model would mostly learn to write our question. labels[t] is the token that follows
input_ids[t], so labels are shifted already; IGNORED stands where nothing is counted.

The metric "exact_match" asks whether all counted tokens of a row are the likeliest, as greedy generation
needs.
"""

from dataclasses import replace

from ftlib.tasks import sentiment
from ftlib.tasks.task import IGNORED, Split, Task

DOMAINS = sentiment.DOMAINS
QUESTION = "Is this sentence positive or negative? Answer with one word.\n\n{text}"
MARK = "<the message>"  # stands for a prompt in the rendered template
MAX_LENGTH = 256  # tokens; no row has as many, and a batch is padded only to its own longest


def load(domain: str | None, *, seed: int, n: int | None) -> Task:
    """The splits of "sentiment", with the columns `text`, `prompt` and `answer` for those who generate."""
    base = sentiment.load(domain, seed=seed, n=n)
    splits = {}
    for name, split in base.splits.items():
        prompts = [QUESTION.format(text=text) for text in split.inputs]
        answers = [base.labels[k] for k in split.labels]
        columns = {**split.columns, "prompt": prompts, "answer": answers, "text": split.inputs}
        splits[name] = replace(split, inputs=prompts, columns=columns)
    name = base.name.replace("sentiment", "instructions")
    return Task(name, "lm", base.labels, "exact_match", splits, max_length=MAX_LENGTH, encode=encode)


def prompt_text(tokenizer, message: str) -> str:
    """The message in the model's markup, up to where the answer begins; tokenise it without specials."""
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError("instructions need a tokenizer with a chat template: use that of 'smollm2'")
    turns = [{"role": "user", "content": message}]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def encode(split: Split, tokenizer, max_length: int) -> dict[str, list[list[int]]]:
    """Rows of input_ids and labels, equally long; the end of turn is a label, never an input."""
    before, after = prompt_text(tokenizer, MARK).split(MARK)  # rendered once, since it is the same for all
    texts = [before + prompt + after for prompt in split.inputs]
    prompts = tokenizer(texts, add_special_tokens=False)["input_ids"]
    rows = {"input_ids": [], "labels": []}
    for prompt, answer in zip(prompts, split.columns["answer"], strict=True):
        counted = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        rows["input_ids"].append(prompt + counted[:-1])  # (T,)
        rows["labels"].append([IGNORED] * (len(prompt) - 1) + counted)  # (T,)
    longest = max(map(len, rows["labels"]))
    if longest > max_length:
        raise ValueError(f"max_length={max_length} would cut answers off: use at least {longest}")
    return rows
