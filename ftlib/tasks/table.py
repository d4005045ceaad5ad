"""Own texts: a table with one column of texts and one of labels. CSV, TSV, JSON lines, a JSON list, or Parquet.

A table is read as what it says, and nothing is guessed in silence: the delimiter is the one that splits the header,
texts are UTF-8 unless `encoding` says otherwise, and a row that does not fit is left out and reported with its line.

Several columns of labels make several tasks of the same texts, label=["stars", "topic"]. The first column is the main
task. Each other one is a question, such as "table:reviews.csv@topic" (see `ftlib.tasks.questions`). All tasks have the
same rows, so a row that lacks one of the labels is left out of all and reported.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ftlib.io.refusals import nearest
from ftlib.tasks import own
from ftlib.tasks.checks import choose
from ftlib.tasks.labels import answer_columns, fill_answers, label_columns, questions_of_rows
from ftlib.tasks.own import SPLIT_NAMES
from ftlib.tasks.report import Report, Row
from ftlib.tasks.task import Task

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
SAFE = ("words",)  # TokenDropout and SpanCut
FIRST = 50  # rows that tell the delimiter of a file without a header
SHOWN = 20  # columns named in a sentence
FIELD = 2**31 - 1  # characters of a field, as many as a C long holds everywhere
ENCODINGS = "encoding='cp1252' (Excel in Western Europe), 'gb18030' (Excel in China), …"
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
FIELDS = (".csv", ".tsv", ".tab", ".txt")
READ = (*FIELDS, ".jsonl", ".ndjson", ".json", ".parquet")


def load(
    path: str,
    *,
    seed: int,
    n: int | None,
    text: str | int = "text",
    label: str | int | list = "label",
    numbers: list | None = None,
    group: str | int | None = None,
    split: str | int | None = None,
    labels: list | None = None,
    encoding: str | None = None,
    metric: str = "balanced_accuracy",
    safe: list | None = None,
) -> Task:
    """The texts of a table.

    text, label: the columns, or in a CSV or TSV without a header their numbers, from 0. A list of labels names the main
    task and its questions. numbers: those of the questions that are numbers and no classes. group: a column that names
    what belongs together. split: a column that holds train, validation and test. labels: the known classes of the main
    task. encoding: of a text file, by default UTF-8. metric: a score of `metrics.classification`, of all tasks with
    classes. safe: ["words"] if hiding some words keeps labels true.
    """
    metric, safe = choose("metric", metric, own.CLASS_METRICS), own.check_safe(safe, SAFE)
    place, name, report = own.existing(path), f"table:{path}", Report("rows")
    main, others = label_columns(label, numbers)
    rows, named = [], {"text": text, "label": main, "group": group, "split": split}
    every = named | {f"label {k}": column for k, column in enumerate(others, 2)}
    check_names(every)
    found = list(records(place, encoding, [text, main, *others], report))
    if found and not any(isinstance(one, dict) for _, one in found):
        first = f"is line {found[0][0]}" if found[0][0] else "says"
        raise ValueError(f"{path} has no row that fits, the first one {first}: {found[0][1]}; correct it")
    check_columns(path, dict.fromkeys(key for _, one in found if isinstance(one, dict) for key in one), every)
    for line, record in found:
        report.found += 1
        row = Row(place.name, line)
        if isinstance(record, str):
            report.leave_out(row, *_kind(record))
            continue
        answers = {column: as_text(record.get(column)) for column in others}
        if problem := fill(row, record, named) or fill_answers(row, answers, numbers):
            report.leave_out(row, *problem)
        else:
            rows.append(row)
    if isinstance(text, int) and not labels:
        check_first_row(path, rows)
    rows = own.keep_known(rows, labels, report)
    classes = own.classes_of(rows, labels, f"column {main!r}")
    questions = questions_of_rows(rows, others, numbers)
    options = {"text": text, "label": label, "group": group, "split": split, "labels": labels, "encoding": encoding}
    options |= {"numbers": numbers, "metric": metric, "safe": safe}
    options = {key: value for key, value in options.items() if value is not None}
    return own.build(
        name, "text", rows, classes, report, seed=seed, n=n, stack=lambda used: stack(used, questions), metric=metric,
        options=options, safe=safe, questions=questions,
    )  # fmt: skip


def stack(rows: list[Row], questions: dict[str, list[str]]) -> tuple[list[str], dict]:
    """The texts, the column `line`, and the labels of each question."""
    return [row.inputs for row in rows], {"line": [row.line for row in rows], **answer_columns(rows, questions)}


def _kind(problem: str) -> tuple[str, str]:
    return ("wrong number of fields" if " fields" in problem else "unreadable line"), problem


def check_names(named: dict) -> None:
    """ValueError unless all columns are given by their names, or all by their numbers."""
    given = {option: column for option, column in named.items() if column is not None}
    for option, column in given.items():
        if isinstance(column, bool) or not isinstance(column, str | int) or (isinstance(column, int) and column < 0):
            raise ValueError(f"{option} must be the name of a column, or its number from 0, not {column!r}")
    if len({type(column) for column in given.values()}) > 1:
        said = ", ".join(f"{option}={column!r}" for option, column in given.items())
        raise ValueError(f"name all columns by the header, or all by numbers if the file has none, but not {said}")


def check_columns(path, record: dict, named: dict[str, str | None]) -> None:
    """ValueError unless there are the named columns; `record` has all columns as keys."""
    if not record:
        raise ValueError(f"{path} has no rows that can be read: choose another file")
    for option, column in named.items():
        if column is None:
            continue
        if column not in record:
            there = ", ".join(map(repr, list(record)[:SHOWN])) + (", …" if len(record) > SHOWN else "")
            near = nearest(column, record) if isinstance(column, str) else ""
            if not near and isinstance(column, str) and str(path).lower().endswith(FIELDS):
                near = "; if the file has no header, give the columns by their numbers, such as text=1, label=0"
            raise ValueError(f"{path} has no column {column!r} for {option}: it has {there}{near}")


def check_first_row(path, rows: list[Row]) -> None:
    """ValueError if the first row of a file without a header looks like a header: a label that no other row has."""
    first, *others = rows or [None]
    if others and first.label not in {row.label for row in others}:
        raise ValueError(
            f"{path}, line {first.line}, has the label {first.label!r}, which no other row has: if it is a header, "
            f"give the columns by their names, such as label={first.label!r}; else list all classes, as in "
            f"labels=[{first.label!r}, ...]"
        )


def fill(row: Row, record: dict, named: dict[str, str | None]) -> tuple[str, str] | None:
    """Put a record's values into the row; the kind of problem and the problem, if there is one."""
    for option in ("label", "group", "split"):
        setattr(row, option, "" if named[option] is None else as_text(record.get(named[option])))
    if row.split and row.split.strip().casefold() not in SPLIT_NAMES:
        return "unknown split", f"unknown split {row.split!r}, use train, validation or test"
    if named["split"] is not None and not row.split.strip():
        return "missing split", "no split is named"
    row.split = SPLIT_NAMES[row.split.strip().casefold()] if row.split else ""
    text = record.get(named["text"])
    if not isinstance(text, str) and as_text(text):
        return "text that is none", f"{named['text']} holds {type(text).__name__}, not a text"
    row.inputs = as_text(text)
    if not row.inputs.strip():
        return "empty text", "empty text"
    try:
        row.inputs.encode()
    except UnicodeEncodeError:
        return "text that is none", "the text is no valid Unicode"
    row.content = (own.sha256(own.plain(row.inputs)), "same " + own.sha256(own.same_text(row.inputs)))
    return None


def as_text(value) -> str:
    """A value of a table as a text; nothing, where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a column of whole numbers with a gap
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


# ---- kinds of files


def records(
    place: Path, encoding: str | None, columns: list[str] | list[int], report: Report
) -> Iterator[tuple[int | None, dict | str]]:
    """(line, {column: value}) of each row; instead of the values a problem, if there is one."""
    ending = place.suffix.lower()
    if place.is_dir() or ending not in READ:
        what = "a folder" if place.is_dir() else f"a {ending or 'file without ending'}"
        also = ", from Excel as CSV UTF-8" if ending in (".xls", ".xlsx") else ""
        raise ValueError(f"{place} is {what}: a table must be one file, {', '.join(READ)}{also}")
    if ending == ".parquet":
        yield from _parquet(place)
        return
    text = read_text(place, encoding)
    if ending in (".jsonl", ".ndjson", ".json"):
        yield from json_records(place, text)
    else:
        yield from _fields(place, text, columns, report)


def read_text(place: Path, encoding: str | None) -> str:
    """A text file in its encoding. ValueError says what to do if it has another one."""
    content = place.read_bytes()
    mark = next((name for start, name in MARKS.items() if content.startswith(start)), None)
    try:
        text = content.decode(encoding or mark or "utf-8")
    except LookupError:
        raise ValueError(f"there is no encoding {encoding!r}: use {ENCODINGS}") from None
    except UnicodeError as error:
        line = content[: getattr(error, "start", 0)].count(b"\n") + 1
        called = encoding or (mark or "UTF-8").replace("utf-", "UTF-")
        raise ValueError(
            f"{place}, line {line}, is not {called}: save the file as UTF-8, or name its encoding with {ENCODINGS}"
        ) from None
    if "\0" in text[:10_000]:
        raise ValueError(f"{place} holds zero bytes, as UTF-16 without a mark does: try encoding='utf-16-le'")
    return text.removeprefix("\ufeff")


def json_records(place: Path, text: str) -> Iterator[tuple[int | None, dict | str]]:
    """The objects of a JSON list, or of JSON lines."""
    if text.lstrip()[:1] == "[":
        try:
            for number, one in enumerate(json.loads(text), 1):
                yield None, one if isinstance(one, dict) else f"entry {number} is no object"
        except json.JSONDecodeError as error:
            raise ValueError(f"{place}, line {error.lineno}, is no whole JSON ({error.msg}): correct it") from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                one = json.loads(line)
                yield number, one if isinstance(one, dict) else "the line is no JSON object"
            except (json.JSONDecodeError, RecursionError) as error:
                yield number, f"the line is no JSON ({getattr(error, 'msg', 'nested too deeply')})"


def _parquet(place: Path) -> Iterator[tuple[int, dict]]:
    if not find_spec("pyarrow"):
        raise ValueError(f"{place} needs pyarrow to be read: pip install pyarrow, or save the table as CSV")
    import pandas as pd

    try:
        found = pd.read_parquet(place, engine="pyarrow")
    except Exception as error:  # whatever pyarrow finds wrong
        raise ValueError(f"{place} cannot be read as Parquet ({error}): save it again, or as CSV") from None
    names = [str(name) for name in found.columns]
    for number, values in enumerate(found.astype(object).where(found.notna(), None).to_numpy(), 1):
        yield number, dict(zip(names, values))


def _fields(place: Path, text: str, columns: list[str], report: Report) -> Iterator[tuple[int, dict | str]]:
    """The rows of a CSV or TSV."""
    delimiter = guess(text, columns)
    report.notes.append(f"fields are separated by {DELIMITERS[delimiter]}")
    lines = list(split_fields(text, delimiter))
    if delimiter == "\t" and any(
        isinstance(fields, str) for _, fields in lines
    ):  # texts often hold single quotes there
        report.notes.append("quotation marks are part of the texts, since not all of them come in pairs around a field")
        lines = list(split_fields(text, delimiter, csv.QUOTE_NONE))
    if lines and lines[-1][1] == UNCLOSED:
        raise ValueError(f"{place}, line {lines[-1][0]}, opens a quotation mark that is never closed: close it")
    if not lines:
        return
    if isinstance(columns[0], int):
        counts = Counter(len(fields) for _, fields in lines if isinstance(fields, list))
        header = list(range(max(counts, key=counts.get)))  # a comma too many is in few rows
        report.notes.append("the file has no header")
    else:
        header = [name.strip() for name in lines[0][1]] if isinstance(lines[0][1], list) else []
        lines = lines[1:]
    if twice := [name for name in columns if header.count(name) > 1]:
        raise ValueError(f"{place} has {header.count(twice[0])} columns called {twice[0]!r}: rename one of them")
    for line, fields in lines:
        if isinstance(fields, str):
            yield line, f"the line cannot be read ({fields})"
        elif len(fields) != len(header):
            yield line, f"{len(fields)} fields, but {NEEDED[isinstance(columns[0], int)]} {len(header)}"
        else:
            yield line, dict(zip(header, fields))


UNCLOSED = "unexpected end of data"
NEEDED = ("the header has", "most rows have")


def split_fields(text: str, delimiter: str, quoting: int = csv.QUOTE_MINIMAL) -> Iterator[tuple[int, list[str] | str]]:
    """(first line, fields) of each row, or what is wrong with it; empty lines are passed over."""
    before, reader = csv.field_size_limit(FIELD), None
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, quoting=quoting)
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
                if fields:
                    yield line, fields
            except csv.Error as error:
                yield line, str(error)
            except StopIteration:
                return
    finally:
        csv.field_size_limit(before)


def guess(text: str, columns: list[str] | list[int]) -> str:
    """The delimiter by which the header has the named columns; if none does, the one that gives most fields.

    Without a header: the one that gives the same number of fields, at least two, in most of the first rows.
    """
    first = text.lstrip("\r\n")[:FIELD].splitlines()[:FIRST]
    line = first[:1] or [""]

    def alike(delimiter: str) -> tuple[int, bool, int]:
        counts = [len(fields) for _, fields in split_fields("\n".join(first), delimiter) if isinstance(fields, list)]
        most = max(set(counts), key=counts.count) if counts else 0
        return (counts.count(most) if most > 1 else 0), delimiter == "\t", most  # sentences have commas, but no tabs

    def found(delimiter: str) -> tuple[int, int]:
        fields = next(split_fields(line[0], delimiter), (1, []))[1]
        names = [name.strip() for name in fields] if isinstance(fields, list) else []
        return sum(column in names for column in columns), len(names)

    return max(DELIMITERS, key=alike if isinstance(columns[0], int) else found)
