"""Own tables and chats: what is written in a file is what is learned, and each row that does not fit is named."""

import json
import sys
import warnings

import pandas as pd
import pytest
from transformers import AutoTokenizer

import ftlib
from ftlib import assets, tasks
from ftlib.tasks.chats import turns_of
from ftlib.tasks.table import guess, split_fields
from ftlib.tasks.task import IGNORED

ROWS = [(f"text number {k}", ("good", "bad")[k % 2]) for k in range(20)]


def csv(rows=ROWS, delimiter: str = ",", end: str = "\n", head=("text", "label")) -> str:
    return end.join(delimiter.join(row) for row in [head, *rows]) + end


def table(folder, content: str | bytes, name: str = "t.csv", **options) -> tasks.Task:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return tasks.load("table", path=folder / name, **options)


def texts(task: tasks.Task) -> dict[str, str]:
    return {t: task.labels[k] for part in task.splits.values() for t, k in zip(part.inputs, part.labels.tolist())}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_line_ends_and_marks_are_found(delimiter, end, encoding, tmp_path):
    task = table(tmp_path, csv(delimiter=delimiter, end=end).encode(encoding))
    assert texts(task) == dict(ROWS) and task.labels == ["bad", "good"] and task.kind == "text"
    assert {split: len(part) for split, part in task.splits.items()} == {"train": 13, "validation": 2, "test": 5}
    lines = [line for part in task.splits.values() for line in part.columns["line"]]
    assert sorted(lines) == list(range(2, 22))


def test_the_header_decides_by_the_columns_that_were_named():
    assert guess("text,label;a;b;c\n", ["text,label", "a"]) == ";"
    assert guess('"a;b;c",label\n', ["a;b;c", "label"]) == "," and guess("", ["a"]) == ","
    assert guess("id\ttext\tlabel, as said\n", ["text", "label, as said"]) == "\t"


def test_quoted_line_breaks_emoji_chinese_and_huge_fields_are_kept(tmp_path):
    odd = ["two\nlines, and a comma", "they said no", "好极了 🎉", "x" * 300_000, "  spaces  "]
    rows = [*ROWS, *((f'"{text.replace(chr(34), 2 * chr(34))}"', "good") for text in odd)]
    task = table(tmp_path, csv(rows))
    assert set(odd) <= set(texts(task))
    lines = {t: n for part in task.splits.values() for t, n in zip(part.inputs, part.columns["line"])}
    assert lines[odd[0]] == 22 and lines[odd[1]] == 24


def test_other_encodings_are_asked_for_and_used(tmp_path):
    rows = [*ROWS, ("很好", "good")]
    with pytest.raises(ValueError, match="line 22, is not UTF-8: save the file as UTF-8, or name its encoding") as said:
        table(tmp_path, csv(rows).encode("gb18030"))
    assert "'gb18030' (Excel in China)" in str(said.value) and "\n" not in str(said.value)
    assert "很好" in texts(table(tmp_path, csv(rows).encode("gb18030"), encoding="gb18030"))
    assert "café" in texts(table(tmp_path, csv([*ROWS, ("café", "bad")]).encode("cp1252"), encoding="cp1252"))
    with pytest.raises(ValueError, match="there is no encoding 'utf-99'"):
        table(tmp_path, csv(), encoding="utf-99")
    with pytest.raises(ValueError, match="zero bytes, as UTF-16 without a mark does: try encoding='utf-16-le'"):
        table(tmp_path, csv().encode("utf-16-le"))
    assert texts(table(tmp_path, csv().encode("utf-16-le"), encoding="utf-16-le")) == dict(ROWS)


def test_bad_rows_are_counted_and_shown_with_their_lines(tmp_path):
    bad = 'no label,\n,good\n   ,bad\none,two,three\n"quoted"x,good\nalone\n\ntext number 3,good\ntext number 4,good\n'
    with pytest.warns(
        UserWarning, match=r"6 of 28 rows of table:.*t\.csv, line 22: missing label; .*; … \(task"
    ) as said:
        task = table(tmp_path, csv() + bad)
    assert len(said) == 1
    report = task.report
    assert report.left_out == {
        "missing label": 1, "empty text": 2, "wrong number of fields": 2, "unreadable line": 1,
    }  # fmt: skip
    assert report.noticed == {"same content, two labels": 1, "duplicate": 1} and report.used == 22
    assert report.problems.line.tolist() == [22, 23, 24, 25, 26, 27, 29, 30]
    assert report.problems.problem[3] == "left out: 3 fields, but the header has 2"
    assert "Fields are separated by a comma." in str(report)


def test_duplicates_are_on_one_side(tmp_path):
    rows = [*ROWS, *((f"  TEXT number {k}", ("good", "bad")[k % 2]) for k in range(20))]
    for seed in range(5):
        task = table(tmp_path, csv(rows), seed=seed)
        sides = {}
        for split, part in task.splits.items():
            for text in part.inputs:
                sides.setdefault(text.strip().lower(), set()).add(split)
        assert len(sides) == 20 and all(len(side) == 1 for side in sides.values())


def test_groups_and_splits_may_be_columns(tmp_path):
    rows = [(t, label, str(k // 4)) for k, (t, label) in enumerate([*ROWS, *((t + "!", c) for t, c in ROWS)])]
    task = table(tmp_path, csv(rows, head=("text", "label", "writer")), group="writer", seed=2)
    who = {t: w for t, _, w in rows}
    sides = [{who[t] for t in part.inputs} for part in task.splits.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 10
    parts = [(t, c, ("train", "train", "Dev", "test")[k // 2 % 4]) for k, (t, c) in enumerate(ROWS)]
    task = table(tmp_path, csv(parts, head=("text", "label", "part")), split="part")
    assert {t for t, _, p in parts if p == "Dev"} == set(task.splits["validation"].inputs)
    with pytest.warns(UserWarning, match="line 22: unknown split 'tset', use train, validation or test"):
        table(tmp_path, csv([*parts, ("more", "good", "tset")], head=("text", "label", "part")), split="part")


def test_json_lines_lists_and_numbers_as_labels(tmp_path):
    rows = [{"review": t, "stars": 5 if c == "good" else 1} for t, c in ROWS]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    named = {"text": "review", "label": "stars"}
    one = table(tmp_path, lines, "t.jsonl", **named)
    two = table(tmp_path, json.dumps(rows), "t.json", **named)
    assert one.labels == ["1", "5"] and texts(one) == texts(two) and one.digest == two.digest
    bad = lines + '{"review": "cut\n[1]\n{"stars": 5}\n{"review": 7, "stars": 1}\n{"review": "\\ud800", "stars": 1}\n'
    with pytest.warns(UserWarning, match="5 of 25 rows"):
        report = table(tmp_path, bad, "t.jsonl", **named).report
    assert report.problems.line.tolist() == [21, 22, 23, 24, 25]
    assert report.left_out == {"unreadable line": 2, "empty text": 1, "text that is none": 2}


def test_parquet_is_read_where_pyarrow_is_there_and_else_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr("ftlib.tasks.table.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs pyarrow to be read: pip install pyarrow, or save the table as CSV"):
        tasks.load("table", path=tmp_path / "t.parquet")
    monkeypatch.setattr("ftlib.tasks.table.find_spec", lambda name: True)
    frame = pd.DataFrame([*ROWS, (None, "good"), ("x", None)], columns=["text", "label"])
    monkeypatch.setattr(pd, "read_parquet", lambda *args, **more: frame)
    with pytest.warns(UserWarning, match="2 of 22 rows"):
        assert texts(tasks.load("table", path=tmp_path / "t.parquet")) == dict(ROWS)


def test_a_tsv_may_hold_quotation_marks_that_are_only_characters(tmp_path):
    task = table(tmp_path, csv([*ROWS, ('"never closed', "good")], "\t"), "t.tsv")
    assert '"never closed' in texts(task) and "Quotation marks are part of the texts" in str(task.report)


def test_a_quotation_mark_in_one_row_of_a_tsv_joins_no_rows(tmp_path):
    rows = [("ham", 'he said "no'), ("spam", "free"), ("ham", '"well" she said'), ("spam", "win"), *ROWS_LABEL_FIRST]
    task = table(tmp_path, csv(rows, "\t", head=("label", "text")), "t.tsv")
    assert {'he said "no', '"well" she said', "free", "win"} <= set(texts(task))
    assert task.report.found == len(rows) and not task.report.left_out


ROWS_LABEL_FIRST = [(("ham", "spam")[k % 2], f"message, number {k}") for k in range(20)]


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_file_without_a_header_has_numbered_columns(delimiter, tmp_path):
    rows = [(k, t.replace(",", "") if delimiter == "," else t) for k, t in ROWS_LABEL_FIRST]
    task = table(tmp_path, csv(rows[1:], delimiter, head=rows[0]), text=1, label=0)
    assert texts(task) == {t: k for k, t in rows} and task.report.found == 20
    assert "the file has no header" in task.report.notes
    lines = [line for part in task.splits.values() for line in part.columns["line"]]
    assert sorted(lines) == list(range(1, 21))
    with pytest.warns(UserWarning, match="line 21: 1 fields, but most rows have 2"):
        task = table(tmp_path, csv([*rows[1:], ("ham",)], delimiter, head=rows[0]), text=1, label=0)
    assert dict(task.report.left_out) == {"wrong number of fields": 1}
    with pytest.warns(UserWarning, match="line 20: 3 fields, but most rows have 2"):  # it does not decide for all
        task = table(tmp_path, csv([*rows[1:-1], ("ham", "one", "more")], delimiter, head=rows[0]), text=1, label=0)
    assert task.report.used == 19 and task.labels == ["ham", "spam"]


def test_rows_without_a_group_are_said(tmp_path):
    rows = [(*row, "" if k < 5 else f"writer {k // 4}") for k, row in enumerate(ROWS)]
    report = table(tmp_path, csv(rows, head=("text", "label", "writer")), group="writer").report
    assert "5 of the rows have no group, so each of them is one of its own" in report.notes
    assert not any("group" in note for note in table(tmp_path, csv()).report.notes)


def labels(*names: str) -> str:
    return csv([(f"text {k}", name) for k, name in enumerate(names)])


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (csv(), {"text": "txet"}, "has no column 'txet' for text: it has 'text', 'label'; did you mean 'text'"),
        (csv(), {"group": "writer"}, "has no column 'writer' for group"),
        (csv(), {"label": 5}, "name all columns by the header, or all by numbers .*text='text', label=5"),
        (csv(), {"label": 5, "text": 0}, "has no column 5 for label: it has 0, 1$"),
        (csv(), {"text": 0, "label": 1}, "line 1, has the label 'label', which no other row has: if it is a header"),
        ("\n" + csv(), {"text": 0, "label": 1}, "line 2, has the label 'label', which no other row has"),
        (csv(), {"label": True}, "label must be the name of a column, or its number from 0, not True"),
        (csv(), {"label": -1, "text": 0}, "label must be the name of a column, or its number from 0, not -1"),
        (csv(head=("a", "b")), {}, "has no column 'text' for text: .*no header, give the columns by their numbers"),
        ("", {}, "has no rows that can be read"),
        ("text,label\n", {}, "has no rows that can be read"),
        ("a,b\n1,2,3\n4,5,6\n", {}, "has no row that fits, the first one is line 2: 3 fields, but the header has 2"),
        (csv(head=("text", "text")), {}, "has 2 columns called 'text': rename one of them"),
        (csv() + '"open,good\nmore,bad\n', {}, "line 22, opens a quotation mark that is never closed: close it"),
        (labels(*["a"] * 20), {}, "at least two classes are needed, but column 'label' has only one, 'a'"),
        (labels(*["Cat", "dog"] * 8, "cat"), {}, r"spelt in 2 ways, 'Cat' \(8\) and 'cat' \(1\)"),
        (labels(*map(str, range(20))), {}, "holds 20 different labels in 20 examples, as an id or a number does"),
        (labels("a", "b", "a"), {}, "has 3 usable rows, but at least 12 are needed"),
        (labels(*["1", "1.0", "2"] * 5), {}, r"spelt in 2 ways, '1' \(5\) and '1.0' \(5\)"),
        (
            csv(),
            {"labels": ["c", "d"]},
            "none of the 20 rows can be used, the first: unknown label 'good'; correct them",
        ),
        (labels(*[""] * 20), {}, "none of the 20 rows can be used, the first: missing label"),
        (csv(), {"labels": [0, 1]}, r"two different classes as texts, but it is \[0, 1\]"),
        (csv(), {"labels": 2}, "two different classes as texts, but it is 2"),
        (csv(), {"labels": ["good", "great"]}, "at least two classes are needed"),
        (csv(), {"lable": "x"}, "table has no option lable: .*did you mean 'label"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(content, options, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence) as said:
        table(tmp_path, content, **options)
    assert "\n" not in str(said.value)


def test_numbers_for_texts_and_a_list_of_lists_are_refused(tmp_path):
    rows = [{"text": k, "label": c} for k, (_, c) in enumerate(ROWS)]
    with pytest.raises(ValueError, match="none of the 20 rows can be used, the first: text holds int, not a text"):
        table(tmp_path, json.dumps(rows), "t.json")
    with pytest.raises(ValueError, match="the first one says: entry 1 is no object"):
        table(tmp_path, json.dumps([list(row) for row in ROWS]), "t.json")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="from Excel as CSV UTF-8"):
        table(tmp_path, b"PK", "t.xlsx")
    with pytest.raises(ValueError, match="is a folder: a table must be one file"):
        tasks.load("table", path=tmp_path)


def test_whitespace_around_labels_is_removed_and_said(tmp_path):
    task = table(tmp_path, labels(*["a", "b"] * 8, " a", "b "))
    assert task.labels == ["a", "b"] and "2 labels had whitespace around them" in str(task.report)


def test_the_limit_of_fields_is_put_back():
    import csv as library

    before = library.field_size_limit()
    assert list(split_fields('a,b\n1,"x', ",")) == [(1, ["a", "b"]), (2, "unexpected end of data")]
    assert library.field_size_limit() == before


def test_a_table_by_name_runs_end_to_end(tmp_path):
    (tmp_path / "t.csv").write_text(csv(head=("review", "stars")))
    spec = ftlib.Spec(
        "probe", f"table:{tmp_path / 't.csv'}", "minilm", 0, [ftlib.Phase([{"LinearProbe": {}}], 1, 1e-3)],
        {"text": "review", "label": "stars"},
    )  # fmt: skip
    record = ftlib.run(spec)
    assert list(record["scores"]) == ["validation", "test"] and len(record["provenance"]["data"]) == 1


# ---- chats

TURNS = [("user", "hi"), ("assistant", "hello")]
LONG = [("system", "be brief"), *TURNS, ("user", "and now?"), ("assistant", "bye")]


def chat(turns, who: str = "role", what: str = "content", key: str = "messages") -> dict:
    return {key: [{who: role, what: text} for role, text in turns]}


@pytest.mark.parametrize(
    ("record", "turns"),
    [
        ({"instruction": "hi", "input": "", "output": "hello"}, TURNS),
        ({"instruction": "hi", "input": "you", "output": "hello"}, [("user", "hi\n\nyou"), TURNS[1]]),
        (chat(LONG), LONG),
        (chat([("human", "hi"), ("gpt", "hello")], "from", "value", "conversations"), TURNS),
        ({"system": "be brief", **chat([("human", "hi"), ("gpt", "hello")], "from", "value", "conversations")},
         [LONG[0], *TURNS]),
    ],
)  # fmt: skip
def test_three_forms_are_read(record, turns):
    assert turns_of(record) == turns


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"question": "hi"}, "it has 'question', but needs instruction and output, messages, or conversations"),
        ({"messages": []}, "messages must be a list of messages"),
        (chat(TURNS[:1]), "it ends without an answer of the assistant"),
        (chat([TURNS[1]]), "user and assistant must take turns"),
        (chat([*TURNS, TURNS[1]]), "user and assistant must take turns"),
        (chat([TURNS[0], ("tool", "x"), TURNS[1]]), "unknown role 'tool'"),
        (chat([*TURNS, ("system", "x"), *TURNS]), "at the beginning only"),
        ({"messages": [{"role": "user"}]}, "a message needs role and content"),
        ({"instruction": "hi", "output": " "}, "empty answer"),
        (chat([("user", ""), TURNS[1]]), "empty message of the user"),
    ],
)
def test_a_chat_that_is_none_says_why(record, sentence):
    with pytest.raises(ValueError, match=sentence):
        turns_of(record)


def chats(folder, records, **options) -> tasks.Task:
    (folder / "c.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    return tasks.load("chats", path=folder / "c.jsonl", **options)


def asked(k: int) -> dict:
    return {"instruction": f"say {k}", "output": f"{k} it is", "who": str(k // 2)}


@pytest.fixture(scope="module")
def smollm2():
    return AutoTokenizer.from_pretrained(assets.path("smollm2"))


def test_the_loss_counts_the_last_answer_and_the_end_of_its_turn(tmp_path, smollm2):
    task = chats(tmp_path, [chat([LONG[0], ("user", f"hi {k}"), *LONG[2:]]) for k in range(14)], n=1)
    batch = next(iter(task.loader("train", tokenizer=smollm2)))
    ids, labels = batch["input_ids"][0], batch["labels"][0]
    counted = labels[labels != IGNORED]
    answer = task.splits["train"].columns["answer"][0]
    assert smollm2.decode(counted) == f"{answer}<|im_end|>"
    text = smollm2.decode(ids[: int((labels == IGNORED).sum()) + 1])
    assert text.startswith("<|im_start|>system\nbe brief<|im_end|>")
    assert text.endswith("and now?<|im_end|>\n<|im_start|>assistant\n")
    assert "<|im_start|>assistant\nhello<|im_end|>" in text


def test_equal_questions_are_on_one_side_and_bad_chats_are_named(tmp_path):
    records = [asked(k) for k in range(20)]
    records += [{**asked(k), "output": "another"} for k in range(10)]
    with pytest.warns(UserWarning, match=r"1 of 31 chats .*c\.jsonl, line 31: empty answer"):
        task = chats(tmp_path, [*records, {"instruction": "x", "output": ""}])
    assert task.report.noticed == {"same question, another answer": 10} and task.metric == "token_accuracy"
    sides = [set(part.columns["prompt"]) for part in task.splits.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 20
    task = chats(tmp_path, [asked(k) for k in range(30)], group="who", seed=1)
    sides = [{int(p.split()[1]) // 2 for p in part.columns["prompt"]} for part in task.splits.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 15
    with pytest.raises(ValueError, match="no chat of .* has the key 'whom' for group"):
        chats(tmp_path, records, group="whom")


def test_chats_are_learned_from_and_an_own_chat_is_answered(tmp_path):
    task = chats(tmp_path, [asked(k) for k in range(14)])
    model = ftlib.load_model("smollm2", task)
    train = task.loader("train", tokenizer=model.tokenizer, batch_size=2, shuffle=True)
    _, history = ftlib.fit(model, {"train": train}, ftlib.strategies.LinearProbe(), steps=2, lr=1e-4, verbose=False)
    assert len(history) == 2 and history[-1]["loss"] > 0
    scores = ftlib.evaluate(model, task.loader("validation", tokenizer=model.tokenizer))
    assert 0 <= scores["token_accuracy"] <= 1
    turns = task.splits["test"].columns["turns"][0]
    assert model.generate([turns], 2) == model.generate([turns[0][1]], 2)


def test_a_long_chat_is_refused_with_the_number_to_use(tmp_path, smollm2):
    task = chats(tmp_path, [asked(k) for k in range(14)], max_length=20)
    with pytest.raises(
        ValueError, match=r"max_length=20 would cut answers off: use at least \d+, or leave 9 long rows"
    ):
        next(iter(task.loader("train", tokenizer=smollm2)))


@pytest.mark.parametrize("content", ["", "{}", "not json", "[]"])
def test_a_file_without_chats_is_refused(content, tmp_path):
    (tmp_path / "c.jsonl").write_text(content)
    with pytest.raises(ValueError, match=r"c\.jsonl.* holds no chats.*an entry needs instruction and output"):
        tasks.load("chats", path=tmp_path / "c.jsonl")
    with pytest.raises(ValueError, match="shuffled=True needs a task with labels"):
        chats(tmp_path, [asked(k) for k in range(14)], shuffled=True)


def test_the_kits_examples_load_with_what_they_promise():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        messages = tasks.load("table", path=tasks.example("table"))
        talk = tasks.load("chats", path=tasks.example("chats"))
    assert len(said) == 1 and messages.report.left_out == {"empty text": 1, "missing label": 1}
    assert messages.report.noticed == {"duplicate": 1} and messages.labels == ["billing", "delivery", "technical"]
    assert talk.report.used == 30 and sys.getsizeof(talk.report) > 0


# ---- several columns of labels

STARS = [(f"text number {k}", ("good", "bad")[k % 2], ("tea", "milk", "rice")[k % 3], f"{k / 4:g}") for k in range(24)]
HEAD = ("text", "label", "topic", "score")
LABELS = {"label": ["label", "topic", "score"], "numbers": ["score"]}


def stars(folder, rows=STARS, **more):
    return table(folder, csv(rows, head=HEAD), **{**LABELS, **more})


def test_two_columns_of_labels_are_two_tasks_of_the_same_rows(tmp_path):
    task = stars(tmp_path)
    plain = table(tmp_path, csv(STARS, head=HEAD))
    assert task.labels == ["bad", "good"] and task.questions == {"topic": ["milk", "rice", "tea"], "score": []}
    topic, score = (tasks.question(task, which) for which in ("topic", "score"))
    for split, part in task.splits.items():
        assert part.inputs == plain.splits[split].inputs and part.labels.equal(plain.splits[split].labels)
        assert topic.splits[split].inputs == part.inputs == score.splits[split].inputs
    said = {t: (topic_, float(score_)) for t, _, topic_, score_ in STARS}
    for part in topic.splits.values():
        assert [topic.labels[k] for k in part.labels] == [said[t][0] for t in part.inputs]
    for part in score.splits.values():
        assert part.labels.tolist() == [said[t][1] for t in part.inputs]
    assert (topic.metric, score.metric, score.outputs) == ("balanced_accuracy", "pearson", 1)
    assert stars(tmp_path, metric="macro_f1").metric == "macro_f1" == tasks.question(
        stars(tmp_path, metric="macro_f1"), "topic").metric  # fmt: skip


def test_a_question_of_a_table_may_be_asked_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "me@home.csv").write_text(csv(STARS, head=HEAD))
    monkeypatch.chdir(tmp_path)
    by_name = tasks.load("table:me@home.csv@topic", **LABELS)
    assert by_name.name == by_name.head == "table:me@home.csv@topic" and by_name.labels == ["milk", "rice", "tea"]
    by_path = tasks.load("table@topic", path="me@home.csv", **LABELS)
    assert by_path.name == by_name.name and by_path.digest == by_name.digest
    control = tasks.load("table:me@home.csv@topic~permuted", seed=1, **LABELS)
    assert sorted(control.splits["train"].labels) == sorted(control.splits["train"].columns["topic"])
    with pytest.raises(ValueError, match=r"me@home\.csv has no question 'topc': of a table, list its column behind"):
        tasks.load("table:me@home.csv@topc", **LABELS)
    with pytest.raises(ValueError, match="has no question 'topic': of a table, list"):
        tasks.load("table:me@home.csv@topic", label="label")


def test_a_row_that_lacks_one_of_its_labels_is_left_out_of_all_tasks(tmp_path):
    bad = [("a", "good", "", "1"), ("b", "", "tea", "1"), ("c", "bad", "milk", "many"), ("d", "bad", "tea", "inf")]
    with pytest.warns(UserWarning, match="line 26: missing label in column 'topic'"):
        task = stars(tmp_path, [*STARS, *bad])
    left_out = {"missing topic": 1, "missing label": 1, "label that is no number": 2}
    assert task.report.left_out == left_out and task.report.used == 24
    assert "left out: column 'score' holds 'many', not a number" in task.report.problems.problem.tolist()
    assert set(texts(task)) == {row[0] for row in STARS}


def test_a_text_with_two_topics_is_noticed(tmp_path):
    rows = [*STARS, ("text number 0", "good", "rice", "0"), ("text number 1", *STARS[1][1:])]
    task = stars(tmp_path, rows)
    assert task.report.noticed == {"same content, two labels": 1, "duplicate": 1}
    assert "labelled 'good, rice, 0.0' and there 'good, tea, 0.0'" in str(task.report)


def test_other_labels_are_other_data(tmp_path):
    other = [(t, c, "tea" if topic == "milk" else topic, s) for t, c, topic, s in STARS]
    assert stars(tmp_path).digest != stars(tmp_path, other).digest
    assert (
        stars(tmp_path, label="label", numbers=None).digest
        == stars(tmp_path, other, label="label", numbers=None).digest
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"label": ["label", "topc"], "numbers": None}, "has no column 'topc' for label 2: .*did you mean 'topic'"),
        ({"label": ["label", "label"], "numbers": None}, "label must list different columns"),
        ({"label": [], "numbers": None}, r"label must be the name of a column, or its number from 0, not \[\]"),
        ({"label": ["label", ["topic"]], "numbers": None}, r"label 2 must be the name of a column"),
        ({"numbers": ["label"]}, r"numbers must list columns of label behind its first one, \['topic', 'score'\]"),
        ({"numbers": "score"}, "numbers must list columns"),
        ({"label": ["label", "index"], "numbers": None}, "a batch has another 'index'.* rename the column"),
        ({"label": ["label", "score"], "numbers": None}, "column 'score' holds 24 different labels in 24 examples"),
        ({"label": ["label", 2], "numbers": None}, "name all columns by the header, or all by numbers"),
    ],
)
def test_columns_of_labels_that_cannot_be_are_refused(more, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence) as said:
        stars(tmp_path, **more)
    assert "\n" not in str(said.value)


def test_columns_of_a_file_without_a_header_may_be_questions(tmp_path):
    content = csv(STARS[1:], head=STARS[0])
    task = table(tmp_path, content, text=0, label=[1, 2])
    assert task.questions == {"2": ["milk", "rice", "tea"]} and tasks.question(task, "2").name.endswith("@2")


def test_a_table_with_two_tasks_runs_end_to_end(tmp_path):
    (tmp_path / "t.csv").write_text(csv(STARS, head=HEAD))
    name = f"table:{tmp_path / 't.csv'}"
    spec = ftlib.Spec(
        "probe", name, "minilm", 0, [ftlib.Phase([{"LinearProbe": {}}], 1, 1e-3)],
        {"label": ["label", "topic"], "labels": ["good", "bad", "none"]}, ["validation", f"{name}@topic:test"],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no row has the third class, which only makes the head wide enough
        record = ftlib.run(spec)
    assert list(record["scores"]) == ["validation", f"{name}@topic:test"]
    assert len(set(record["provenance"]["data"].values())) == 1  # the same rows under both names


def test_the_kits_sentences_have_two_columns_of_classes_and_one_of_numbers():
    named = {"label": ["polarity", "domain", "rating"], "numbers": ["rating"], "group": "review"}
    task = tasks.load("table", path=tasks.example("sentences"), **named)
    assert task.labels == ["negative", "positive"] and task.report.used == task.report.found == 160
    assert task.questions == {"domain": ["amazon", "movies", "nyt", "tweets"], "rating": []}
    for part in task.splits.values():
        assert ((part.columns["rating"] > 0) == (part.labels == 1)).all()
