"""Own chats: JSON lines, or a JSON list, in one of three common forms. A language model learns the last answer.

    {"instruction": …, "input": …, "output": …}         Alpaca's; `input` and `system` may be missing
    {"messages": [{"role": …, "content": …}, …]}        as most libraries have it
    {"conversations": [{"from": …, "value": …}, …]}     ShareGPT's; human and gpt are user and assistant

The prompt is a system message and all turns up to the last answer, in the model's own chat template. The loss counts
the last answer and the end of its turn only, see `ftlib.tasks.instructions`.
"""

import json

from ftlib.tasks import own
from ftlib.tasks.checks import choose
from ftlib.tasks.instructions import encode
from ftlib.tasks.own import SPLIT_NAMES
from ftlib.tasks.report import Report, Row
from ftlib.tasks.table import as_text, json_records, read_text
from ftlib.tasks.task import Task

FORMS = "instruction and output, messages, or conversations"
ROLES = {"system": "system", "user": "user", "human": "user", "prompter": "user"}
ROLES |= dict.fromkeys(("assistant", "gpt", "bot", "model", "chatgpt"), "assistant")
READ = (".jsonl", ".ndjson", ".json")
MAX_LENGTH = 512  # tokens of a row, with its answer


def load(
    path: str,
    *,
    seed: int,
    n: int | None,
    group: str | None = None,
    split: str | None = None,
    encoding: str | None = None,
    metric: str = "token_accuracy",
) -> Task:
    """The chats of a file.

    group: a key that names what belongs together. split: a key that holds train, validation and test. encoding: by
    default UTF-8. metric: "token_accuracy" gives credit for each right token, "exact_match" for whole answers.
    """
    metric = choose("metric", metric, own.TOKEN_METRICS)
    place, name, report = own.existing(path), f"chats:{path}", Report("chats")
    if place.is_dir() or place.suffix.lower() not in READ:
        raise ValueError(f"{path} must be one file of chats, {', '.join(READ)}: save them as JSON lines")
    rows = []
    for line, record in json_records(place, read_text(place, encoding)):
        report.found += 1
        row = Row(place.name, line if line else None)
        if isinstance(record, str):
            report.leave_out(row, "unreadable line", record)
            continue
        try:
            fill(row, record, group, split)
            rows.append(row)
        except ValueError as error:
            report.leave_out(row, "chat that is none", str(error))
    if not rows:
        first = f", the first: {report.rows[0][2].removeprefix('left out: ')}" if report.rows else ""
        raise ValueError(f"{path} holds no chats{first}; an entry needs {FORMS}")
    for option, key, values in (("group", group, [r.group for r in rows]), ("split", split, [r.split for r in rows])):
        if key is not None and not any(values):
            raise ValueError(f"no chat of {path} has the key {key!r} for {option}: correct {option}")
    options = {"group": group, "split": split, "encoding": encoding, "metric": metric}
    options = {key: value for key, value in options.items() if value is not None}
    return own.build(
        name, "lm", rows, [], report, seed=seed, n=n, stack=stack, metric=metric, options=options, encode=encode,
        max_length=MAX_LENGTH,
    )  # fmt: skip


def stack(rows: list[Row]) -> tuple[list[str], dict]:
    """The prompts as texts, and the columns `turns` (role and content of each), `answer` and `line`."""
    turns = [row.inputs[:-1] for row in rows]
    answers = [row.inputs[-1][1] for row in rows]
    return [as_prompt(one) for one in turns], {
        "turns": turns, "answer": answers, "prompt": [as_prompt(one) for one in turns],
        "line": [row.line for row in rows],
    }  # fmt: skip


def as_prompt(turns: list[tuple[str, str]]) -> str:
    """The question alone if there is nothing else, or all turns with their roles."""
    return turns[0][1] if len(turns) == 1 else "\n".join(f"{role}: {text}" for role, text in turns)


def fill(row: Row, record: dict, group: str | None, split: str | None) -> None:
    """Put a chat into the row. ValueError says why it is none."""
    row.inputs = turns_of(record)
    row.group = as_text(record.get(group)) if group is not None else ""
    if split is not None:
        word = as_text(record.get(split)).strip().casefold()
        if word not in SPLIT_NAMES:
            raise ValueError(f"unknown split {word!r}, use train, validation or test")
        row.split = SPLIT_NAMES[word]
    *prompt, answer = row.inputs
    question = own.sha256("\n".join(f"{role} {own.same_text(text)}" for role, text in prompt))
    row.content = (own.sha256(json.dumps(row.inputs)), "prompt " + question)
    row.label = own.plain(answer[1])


def turns_of(record: dict) -> list[tuple[str, str]]:
    """(role, content) of each message, the last one an answer."""
    if "messages" in record:
        turns = [_turn(one, "role", "content") for one in _listed(record["messages"], "messages")]
    elif "conversations" in record:
        turns = [_turn(one, "from", "value") for one in _listed(record["conversations"], "conversations")]
        turns = [("system", record["system"]), *turns] if record.get("system") else turns
    elif "instruction" in record:
        more = as_text(record.get("input")).strip()
        question = as_text(record["instruction"]) + (f"\n\n{more}" if more else "")
        turns = [("user", question), ("assistant", as_text(record.get("output")))]
        turns = [("system", as_text(record["system"])), *turns] if record.get("system") else turns
    else:
        raise ValueError(f"it has {', '.join(map(repr, record)) or 'no keys'}, but needs {FORMS}")
    if turns[-1][0] != "assistant":
        raise ValueError("it ends without an answer of the assistant")
    roles = [role for role, _ in turns if role != "system"]
    if "system" in [role for role, _ in turns][1:]:
        raise ValueError("a system message may stand at the beginning only")
    if roles != [("user", "assistant")[k % 2] for k in range(len(roles))] or len(roles) % 2:
        raise ValueError("user and assistant must take turns, beginning with the user")
    for role, text in turns:
        if not text.strip():
            raise ValueError("empty answer" if role == "assistant" else f"empty message of the {role}")
        text.encode()  # a UnicodeEncodeError is a ValueError
    return turns


def _listed(value, key: str) -> list:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{key} must be a list of messages")
    return value


def _turn(one, who: str, what: str) -> tuple[str, str]:
    if not isinstance(one, dict) or not isinstance(one.get(who), str) or not isinstance(one.get(what), str):
        raise ValueError(f"a message needs {who} and {what}, both texts")
    if (role := ROLES.get(one[who].strip().casefold())) is None:
        raise ValueError(f"unknown role {one[who]!r}, use system, user and assistant")
    return role, one[what]
