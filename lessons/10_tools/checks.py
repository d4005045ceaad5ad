"""The exercises of 10_tools: change a registration, implement a template and a loss mask, investigate names, read off."""

from ftlib.classroom.reading import point_read

# Change: a registration of LLaMA-Factory.

FAQ = {"prompt": "question", "query": "details", "response": "reply", "system": "persona"}
LOST = {"prompt": "the question", "query": "the details", "response": "the answer", "system": "the system text"}


def registration(answer) -> str:
    """The entry of dataset_info.json that names all four columns of faq.json."""
    entry = answer() if callable(answer) else answer
    if not isinstance(entry, dict):
        return f"Return a dictionary, the entry of dataset_info.json, not {entry!r}."
    if len(entry) == 1 and isinstance(next(iter(entry.values())), dict):
        return "Return the entry alone, without the name of the data set around it."
    if entry.get("file_name") != "faq.json":
        return f"The entry needs the file's name: file_name is 'faq.json', and yours is {entry.get('file_name')!r}."
    if entry.get("formatting", "alpaca") != "alpaca":
        return "One question and one answer per record is the form alpaca. sharegpt is for lists of messages."
    columns = entry.get("columns")
    if not isinstance(columns, dict):
        return "The entry needs `columns`, a dictionary from the tool's words to the keys of the file."
    if columns and set(columns) <= set(FAQ.values()):
        return "It is turned round. The tool's words are on the left, and the keys of the file on the right."
    if strange := [name for name in columns if name not in FAQ]:
        return f"{strange[0]!r} is none of the tool's words here. They are {', '.join(FAQ)}."
    if missing := [name for name in FAQ if name not in columns]:
        return (
            f"`{missing[0]}` is not named. Once `columns` is there, each one that isn't named is read as None, so "
            f"{LOST[missing[0]]} would be lost."
        )
    wrong = [name for name, key in FAQ.items() if columns[name] != key]
    return (
        f"`{wrong[0]}` is {columns[wrong[0]]!r}. Look at a record: which key holds {LOST[wrong[0]]}?" if wrong else ""
    )


# Implement: a chat template.

DEFAULT = "Be a good assistant"
START, END = "<|im_start|>", "<|im_end|>"
CHATS = [
    [("user", "Two plus two?")],
    [("system", "Be brief."), ("user", "Two plus two?")],
    [("system", "Be brief."), ("user", "Two plus two?"), ("assistant", "4"), ("user", "And three?")],
    [("user", " Hi. "), ("assistant", "Hello\n"), ("user", "Bye.")],
]


def _prompt(turns, *, default=DEFAULT, between="\n", start=START, opens=True, always=False, after="\n") -> str:
    """The markup, with slips."""
    if always or turns[0][0] != "system":
        turns = [("system", default), *turns]
    text = "".join(f"{start}{role}{after}{words}{END}{between}" for role, words in turns)
    return text + (f"{START}assistant{after}" if opens else "")


def chatml(function) -> str:
    """`function(turns, default)`: the prompt in ChatML, up to where the next answer begins."""
    for turns in CHATS:
        given = [tuple(turn) for turn in turns]
        got, want = function(given, DEFAULT), _prompt(turns)
        if given != turns:
            return "The list of turns that you were given has changed. Make a new list."
        if not isinstance(got, str):
            return f"Return the prompt as one text, not {type(got).__name__}."
        if got == want:
            continue
        system = turns[0][0] == "system"
        ways = {
            "The default system text is written although the chat has its own.": _prompt(turns, always=True),
            "The chat has no system text, and yours writes none either. Then the template writes the default one.":
                _prompt([("system", ""), *turns]).partition(f"{END}\n")[2] if not system else None,
            "The default system text has a full stop that isn't its own. That is one token more.":
                _prompt(turns, default=DEFAULT + "."),
            "What opens the answer is missing at the end.": _prompt(turns, opens=False),
            f"A newline follows each {END}. Yours is missing.": _prompt(turns, between=""),
            "A newline follows the name of the role. Yours is missing.": _prompt(turns, after=""),
            "A space follows the name of the role in yours. It is a newline.": _prompt(turns, after=" "),
            f"The first {START} is there twice.": START + want,
            "The texts are stripped. This template writes them as they are.":
                _prompt([(role, text.strip()) for role, text in turns]),
            "The last answer is closed already. The prompt ends where the answer begins.": f"{want}{END}\n",
        }  # fmt: skip
        if near := next((hint for hint, text in ways.items() if text == got), ""):
            return near
        at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        return f"For {turns!r} it is right up to character {at}. There is {got[at : at + 20]!r} for {want[at : at + 20]!r}."
    return ""


# Implement: a loss mask.

IGNORED = -100
OPENING, STOP = [1, 90, 7], 2  # <|im_start|>, assistant, a newline; <|im_end|>
ROWS = [
    [1, 60, 7, 31, 32, 2, 7, 1, 90, 7, 41, 42, 43, 2, 7],
    [1, 50, 7, 21, 2, 7, 1, 60, 7, 31, 2, 7, 1, 90, 7, 41, 2, 7, 1, 60, 7, 33, 2, 7, 1, 90, 7, 44, 7, 45, 2, 7],
    [1, 60, 7, 31, 90, 2, 7, 1, 90, 7, 41, 2],
    [1, 60, 7, 31, 2, 7, 1, 90, 7, 51, 52, 53, 54],  # cut off before its end
]


def _mask(ids, *, last=True, opening=False, end=True, behind=False, fill=IGNORED, shift=0) -> list[int]:
    """The labels, with slips."""
    starts = [i + 3 for i in range(len(ids) - 2) if ids[i : i + 3] == OPENING]
    labels = [fill] * len(ids)
    for start in starts[-1:] if last else starts:
        stop = ids.index(STOP, start) if STOP in ids[start:] else len(ids) - 1
        first = start - 3 if opening else start
        final = stop + (1 if end or ids[stop] != STOP else 0) + (1 if behind else 0)
        for i in range(first, min(final, len(ids))):
            if 0 <= i + shift < len(ids):
                labels[i + shift] = ids[i]
    return labels


def loss_mask(function) -> str:
    """`function(ids, opening, end)`: labels, −100 everywhere but for the last answer and the token that ends it."""
    for ids in ROWS:
        given = list(ids)
        got, want = function(given, list(OPENING), STOP), _mask(ids)
        if given != ids:
            return "The list of tokens that you were given has changed. Make a new list for the labels."
        got = got.tolist() if hasattr(got, "tolist") else list(got) if isinstance(got, tuple | list) else got
        if not isinstance(got, list) or len(got) != len(ids):
            return f"Return one label per token, {len(ids)} of them."
        if got == want:
            continue
        ways = {
            "All answers count. Only the last one should, since the earlier ones are part of the prompt.":
                _mask(ids, last=False),
            "The token that ends the answer must count too. Without it the model never learns to stop.":
                _mask(ids, end=False),
            "What opens the answer counts. The tool writes it, so the model needn't learn it.":
                _mask(ids, opening=True),
            "What stands behind the end counts as well. Stop at the token that ends the answer.":
                _mask(ids, behind=True),
            "0 is a token like any other. What isn't counted gets −100.": _mask(ids, fill=0),
            "The labels are shifted by one. The tools shift them by themselves.":
                (_mask(ids, shift=-1), _mask(ids, shift=1)),
            "Everything counts, the prompt too.": list(ids),
            "Nothing counts, so nothing would be learned.": [IGNORED] * len(ids),
            "It is the other way round: the prompt counts, and the answer doesn't.":
                [IGNORED if a == b else a for a, b in zip(ids, want)],
        }  # fmt: skip
        near = (h for h, rows in ways.items() if got in (rows if isinstance(rows, tuple) else (rows,)))
        wrong = [i for i, (a, b) in enumerate(zip(got, want)) if a != b]
        return next(near, f"For {ids} the labels at the places {wrong[:6]} are wrong, counted from 0.")
    return ""


# Investigate: names that fit, or don't.

LAYERS = [f"layers.{k}.q_proj.lora_{half}.weight" for k in range(2) for half in "AB"]
OURS = [f"base_model.model.{name}" for name in LAYERS]
NAMES = [  # saved, wanted, (missing, unexpected, prefix)
    (OURS[::-1], OURS, ([], [], "")),
    ([f"model.{name}" for name in LAYERS], OURS, (sorted(OURS), [f"model.{name}" for name in LAYERS], "base_model.")),
    (LAYERS, OURS, (sorted(OURS), LAYERS, "base_model.model.")),
    (OURS[:3], OURS, ([OURS[3]], [], None)),
    ([*OURS, "head.weight"], OURS, ([], ["head.weight"], None)),
    (["x." + name for name in OURS], OURS, (sorted(OURS), ["x." + name for name in OURS], None)),
    (LAYERS[:2], OURS, (sorted(OURS), LAYERS[:2], None)),
]


def fits(function) -> str:
    """`function(saved, wanted)`: (missing names, unexpected names, what put in front makes all fit, or None)."""
    for saved, wanted, (missing, unexpected, prefix) in NAMES:
        got = function(list(saved), list(wanted))
        if not isinstance(got, tuple | list) or len(got) != 3:
            return f"Return three things: missing names, unexpected names, and the prefix. Yours is {got!r}."
        if any(isinstance(part, str) or not hasattr(part, "__iter__") for part in got[:2]):
            return "Missing and unexpected are lists of names, not numbers."
        mine, theirs = sorted(got[0]), sorted(got[1])
        where = (
            f"With {len(saved)} saved names such as {saved[0]!r} and {len(wanted)} wanted ones such as {wanted[0]!r}"
        )
        if (mine, theirs) != (missing, sorted(unexpected)):
            if (mine, theirs) == (sorted(unexpected), missing):
                return "Missing and unexpected are exchanged. Missing is what the model wants and the file lacks."
            return f"{where}, {len(missing)} are missing and {len(unexpected)} unexpected. You gave {len(mine)} and {len(theirs)}."
        if got[2] != prefix:
            if prefix == "" and got[2] is None:
                return 'Where all names fit, nothing has to be put in front. The prefix is then "".'
            if prefix is None:
                return f"{where}, no prefix makes *all* fit, both ways. Then return None. You gave {got[2]!r}."
            return f"{where}, the prefix is {prefix!r}. You gave {got[2]!r}."
    return ""


# The task of the widget.


def recipe(answer) -> str:
    """(rank, {rank: what xTuring ignores of it}): the rank that the tool trains anyway."""
    hint, rank, ignored = point_read(answer, "rank")
    if hint:
        return hint
    if not ignored[rank]:
        return ""
    return f"At rank {rank:g} the line below xTuring says: {ignored[rank]}. Look for a rank without such a line."


EXERCISES = {f.__name__: f for f in (registration, chatml, loss_mask, fits, recipe)}
