"""A chat: the prompt that a model reads in training and when it answers, and the token that ends its turn.

A chat model reads its own markup, which the tokenizer's template writes round each message. Training rows
(`tasks.instructions`) and `generate` (`models.text`) both come here. So the model answers the very tokens that it was
trained on, whatever the template does to a message, and it stops where it has learned to stop: a turn may end in
another token than the end of a text ("<|eot_id|>" and "<|end_of_text|>").
"""

from jinja2 import TemplateError  # torch brings it, and transformers renders templates with it

ANSWER = "answer"  # stands for an answer in the rendered template


def prompt_text(tokenizer, message: str | list[tuple[str, str]]) -> str:
    """The message in the model's markup, up to where the answer begins; tokenise it without specials.

    message: a user's only message, or all turns so far, (role, text) of each. Raises ValueError for a tokenizer without
    a chat template, and for a template that refuses such turns.
    """
    if not tokenizer.chat_template:
        raise ValueError("a chat needs a tokenizer with a chat template: use that of 'smollm2'")
    turns = [("user", message)] if isinstance(message, str) else message
    return _rendered(tokenizer, turns, add_generation_prompt=True)


def end_of_turn(tokenizer) -> int:
    """The token that the template writes behind an answer; where it writes none, the one that ends a text.

    Raises ValueError where there is neither: then nothing could say that an answer is over.
    """
    text = _rendered(tokenizer, [("user", "question"), ("assistant", ANSWER)]) if tokenizer.chat_template else ""
    behind = tokenizer(text.rpartition(ANSWER)[2], add_special_tokens=False)["input_ids"] if ANSWER in text else []
    special = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    end = next((token for token in behind if token in special), tokenizer.eos_token_id)
    if end is None:
        raise ValueError(
            "nothing ends an answer: the chat template writes no special token behind it, and the tokenizer has no "
            "eos_token: set tokenizer.eos_token"
        )
    return end


def _rendered(tokenizer, turns: list[tuple[str, str]], **options) -> str:
    messages = [{"role": role, "content": text} for role, text in turns]
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, **options)
    except (TemplateError, TypeError) as error:
        who = " and ".join(role for role, _ in turns)
        raise ValueError(f"the tokenizer's chat template does not take a turn of {who}: {error}") from error
