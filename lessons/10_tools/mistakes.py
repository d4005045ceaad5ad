"""Likely mistakes of the exercises of 10_tools, with the hint that each must get; tests/test_exercises.py tries them.

READ_OFF holds the right answers that a learner reads from a widget, and that are no code.
"""

from ftlib.classroom.lessons import part

CHECKS = part("10_tools", "checks")
IGNORED = {4: "r=4, it is 8", 8: "", 16: "r=16, it is 8", 64: "r=64, it is 8"}

# registration

ALL = {"prompt": "question", "query": "details", "response": "reply", "system": "persona"}


def entry(columns=None, **more):
    made = {"file_name": "faq.json", "formatting": "alpaca", "columns": ALL if columns is None else columns} | more
    return lambda: made


def without(name):
    return entry({key: value for key, value in ALL.items() if key != name})


# chatml


def markup(*, default=lambda text: text, always=False, never=False, between="\n", after="\n", opens=True, first="",
           strip=False, closed=False, behind=""):  # fmt: skip
    """The right way with slips."""

    def answer(turns, text):
        if always or (turns[0][0] != "system" and not never):
            turns = [("system", default(text)), *turns]
        words = "".join(
            f"<|im_start|>{role}{after}{said.strip() if strip else said}<|im_end|>{between}" for role, said in turns
        )
        words += f"<|im_start|>assistant{after}" if opens else ""
        return first + words + ("<|im_end|>\n" if closed else "") + behind

    return answer


def in_place(turns, text):
    if turns[0][0] != "system":
        turns.insert(0, ("system", text))
    return markup()(turns, text)


def as_tokens(turns, text):
    return markup()(turns, text).split()


# loss_mask


def mask(**slips):
    return lambda ids, opening, end: CHECKS._mask(ids, **slips)


def all_ids(ids, opening, end):
    return list(ids)


def nothing(ids, opening, end):
    return [-100] * len(ids)


def the_prompt(ids, opening, end):
    return [-100 if a == b else a for a, b in zip(ids, CHECKS._mask(ids))]


def too_short(ids, opening, end):
    return CHECKS._mask(ids)[1:]


def over_the_input(ids, opening, end):
    ids[:] = CHECKS._mask(ids)
    return ids


def first_answer(ids, opening, end):
    cut = ids[: ids.index(end, ids.index(90)) + 1] if end in ids[ids.index(90) :] else ids
    return CHECKS._mask(cut) + [-100] * (len(ids) - len(cut))


# fits


def names(*, swap=False, none_for_empty=False, one_way=False, numbers=False, first_only=False, pair=False):
    """The right way with slips."""

    def answer(saved, wanted):
        missing, unexpected = sorted(set(wanted) - set(saved)), sorted(set(saved) - set(wanted))
        prefix = None
        for name in wanted:
            if name.endswith(saved[0]):
                front = name[: len(name) - len(saved[0])]
                moved = {front + one for one in saved}
                fit = moved <= set(wanted) if one_way else moved == set(wanted)
                prefix = front if fit or first_only else prefix
        if none_for_empty:
            prefix = prefix or None
        if numbers:
            return len(missing), len(unexpected), prefix
        if pair:
            return missing, unexpected
        return (unexpected, missing, prefix) if swap else (missing, unexpected, prefix)

    return answer


def no_prefix(saved, wanted):
    return (*names()(saved, wanted)[:2], None if set(saved) != set(wanted) else "")


def common_names(saved, wanted):
    return sorted(set(wanted) & set(saved)), [], ""


READ_OFF = {"recipe": lambda: (8, IGNORED)}
MISTAKES = [
    ("registration", lambda: "faq.json", "Return a dictionary"),
    ("registration", lambda: {"faq": entry()()}, "Return the entry alone"),
    ("registration", entry(file_name="data/faq.json"), "file_name is 'faq.json', and yours is 'data/faq.json'"),
    ("registration", entry(formatting="sharegpt"), "is the form alpaca"),
    ("registration", entry(columns="question"), "The entry needs columns"),
    ("registration", entry({value: key for key, value in ALL.items()}), "It is turned round"),
    ("registration", entry(ALL | {"instruction": "question"}), "'instruction' is none of the tool's words"),
    ("registration", without("query"), "query is not named"),
    ("registration", without("system"), "so the system text would be lost"),
    ("registration", entry({}), "prompt is not named"),
    ("registration", entry(ALL | {"response": "details"}), "response is 'details'"),
    ("chatml", markup(always=True), "although the chat has its own"),
    ("chatml", markup(never=True), "Then the template writes the default one"),
    ("chatml", markup(default=lambda text: text + "."), "has a full stop that isn't its own"),
    ("chatml", markup(opens=False), "What opens the answer is missing"),
    ("chatml", markup(between=""), "A newline follows each <|im_end|>"),
    ("chatml", markup(after=""), "A newline follows the name of the role"),
    ("chatml", markup(after=" "), "A space follows the name of the role"),
    ("chatml", markup(first="<|im_start|>"), "is there twice"),
    ("chatml", markup(strip=True), "The texts are stripped"),
    ("chatml", markup(closed=True), "is closed already"),
    ("chatml", markup(behind="!"), "it is right up to character"),
    ("chatml", in_place, "has changed. Make a new list"),
    ("chatml", as_tokens, "as one text, not list"),
    ("loss_mask", mask(last=False), "All answers count"),
    ("loss_mask", mask(end=False), "the model never learns to stop"),
    ("loss_mask", mask(opening=True), "What opens the answer counts"),
    ("loss_mask", mask(behind=True), "What stands behind the end counts"),
    ("loss_mask", mask(fill=0), "0 is a token like any other"),
    ("loss_mask", mask(shift=-1), "shifted by one"),
    ("loss_mask", mask(shift=1), "shifted by one"),
    ("loss_mask", all_ids, "Everything counts, the prompt too"),
    ("loss_mask", nothing, "Nothing counts"),
    ("loss_mask", the_prompt, "It is the other way round"),
    ("loss_mask", too_short, "one label per token, 15 of them"),
    ("loss_mask", over_the_input, "The list of tokens that you were given has changed"),
    ("loss_mask", first_answer, "are wrong, counted from 0"),
    ("fits", names(swap=True), "Missing and unexpected are exchanged"),
    ("fits", names(none_for_empty=True), 'The prefix is then ""'),
    ("fits", names(one_way=True), "no prefix makes all fit, both ways"),
    ("fits", names(first_only=True), "no prefix makes all fit, both ways"),
    ("fits", names(numbers=True), "lists of names, not numbers"),
    ("fits", names(pair=True), "Return three things"),
    ("fits", no_prefix, "the prefix is 'base_model.'. You gave None"),
    ("fits", common_names, "0 are missing and 0 unexpected"),
    ("recipe", (None, IGNORED), "There is no answer yet: write the rank"),
    ("recipe", (16, IGNORED), "At rank 16 the line below xTuring says: r=16, it is 8"),
    ("recipe", (32, IGNORED), "The figure offers 4, 8, 16, 64, and 32 is none of them"),
]  # fmt: skip
