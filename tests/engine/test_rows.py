"""What is read of a batch's input, what is refused, and how a row gets its key and its job id."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.engine.tasks_for_tests import add, double_size, open_ended
from ytray import task
from ytray.engine.batch.model import BadRow
from ytray.engine.batch.rows import Row, check_batchable, checked_rows
from ytray.engine.batch.sources import Format, RawRow, Source, source_rows
from ytray.engine.jobs.task import find
from ytray.errors import InvalidArguments
from ytray.settings import settings as ytray_settings


class Choices(BaseModel):
    left: str | None = None
    right: str | None = None


@task()
def make_poster(
    title: str,
    width: int = 100,
    bold: bool = False,
    tags: list[str] = ["all"],  # noqa: B006  # as in the studio's tasks, it is never changed
    choices: Literal["none"] | Choices = "none",
) -> None:
    """A task whose columns are of every kind."""


@task()
def open_locked(key: str, door: int = 1) -> None:
    """A task that takes a key itself."""


def read(source: Source, made: Any = make_poster, format: Format | None = None) -> list[Row | list[BadRow]]:
    return list(checked_rows(source, made, "ada", format))


def csv_of(text: str, made: Any = make_poster) -> list[Row | list[BadRow]]:
    return read(io.BytesIO(text.encode()), made, "csv")


def jsonl_of(text: str, made: Any = make_poster) -> list[Row | list[BadRow]]:
    return read(io.StringIO(text), made, "jsonl")


def arguments(row: Row | list[BadRow]) -> Any:
    assert isinstance(row, Row), row
    return json.loads(row.payload)


def faults(rows: Iterable[Row | list[BadRow]]) -> list[tuple[int, str, str]]:
    return [(bad.line, bad.field, bad.reason) for row in rows if not isinstance(row, Row) for bad in row]


def test_the_example_briefs_are_items() -> None:
    rows = read(Path(__file__).parents[2] / "examples" / "briefs.csv", find("process_batch_item"))
    assert faults(rows) == []
    assert len(rows) == 8
    items = [arguments(row)["item"] for row in rows]
    assert all(8 <= item["duration"] <= 12 for item in items)
    assert items[1]["formats"] == ["mp4", "webm"]


def test_cells_become_what_the_task_takes() -> None:
    rows = csv_of(
        'title, width ,bold,tags,choices\n  [Intro] A cat ,30,yes,a; b ;,"{""left"": ""x""}"\nb,,,"[""c;d""]",\n'
    )
    choices = {"left": "x", "right": None}
    told = {"title": "[Intro] A cat", "width": 30, "bold": True, "tags": ["a", "b"], "choices": choices}
    assert arguments(rows[0]) == told
    assert arguments(rows[1]) == {"title": "b", "width": 100, "bold": False, "tags": ["c;d"], "choices": "none"}


def test_a_task_that_takes_one_model_takes_the_row_as_that_model() -> None:
    [row] = csv_of("width,height\n3,4\n", double_size)
    assert arguments(row) == {"size": {"width": 3, "height": 4}}
    assert arguments(jsonl_of('{"first": 1, "b": 2, "a": 3}', open_ended)[0]) == {"first": 1, "a": 3, "b": 2}


def test_the_same_row_written_differently_is_the_same_job() -> None:
    rows = [
        *csv_of("key,title,width\n7,x,30\n"),
        *csv_of("width,bold,title,key\n 30 ,no,x,7\n"),
        *jsonl_of('{"width": "30", "key": 7, "title": "x"}'),
        *read([{"title": "x", "width": 30.0, "key": "7"}]),
    ]
    assert len({(row.job_id, row.payload, row.key, row.given) for row in rows if isinstance(row, Row)}) == 1
    assert len(rows) == 4
    [other_key] = read([{"title": "x", "width": 30, "key": "8"}])
    [other_user] = checked_rows([{"title": "x", "width": 30, "key": "7"}], make_poster, "bob")
    [other_row] = read([{"title": "x", "width": 31, "key": "7"}])
    found = [row for row in (rows[0], other_key, other_user, other_row) if isinstance(row, Row)]
    assert len({row.job_id for row in found}) == 4
    assert all(len(row.job_id) == 25 and row.job_id[0] == "i" for row in found)


def test_a_row_without_a_key_is_named_by_its_content() -> None:
    first, same, other = csv_of("title,key\na,\n a ,\nb,\n")
    assert isinstance(first, Row)
    assert isinstance(same, Row)
    assert isinstance(other, Row)
    assert first.key == same.key != other.key
    assert len(first.key) == 24
    assert not first.given


def test_a_task_that_takes_a_key_keeps_it() -> None:
    [row] = csv_of("key,door\nsilver,2\n", open_locked)
    assert isinstance(row, Row)
    assert arguments(row) == {"key": "silver", "door": 2}
    assert not row.given


def test_a_key_that_cannot_be_told_is_refused() -> None:
    keys: list[object] = ["", " ", "a\tb", "a\nb", "x" * 201, True, 1.5, ["a"], 10**5000, "\ud800"]
    found = faults(read([{"title": "x", "key": key} for key in keys]))
    assert found == [(place, "key", "a key is 1 to 200 printable characters") for place in range(1, len(keys) + 1)]


def test_every_wrong_column_of_a_row_is_told() -> None:
    found = faults(csv_of("title,width,bold,choices\n,wide,perhaps,{\n"))
    assert [(line, field) for line, field, _ in found] == [
        (2, "choices"),
        (2, "title"),
        (2, "width"),
        (2, "bold"),
    ]
    assert "not JSON" in found[0][2]
    assert found[1][2] == "Field required"
    assert found[2][2].endswith("not 'wide'")


def test_an_unknown_column_is_told_once_for_a_csv_and_in_each_row_elsewhere() -> None:
    rows = csv_of("title,widht\na,1\nb,2\n")
    assert faults(rows) == [(1, "widht", "task make_poster takes no 'widht' (did you mean 'width'?)")]
    assert [arguments(row)["title"] for row in rows[1:]] == ["a", "b"]
    assert [line for line, _, _ in faults(jsonl_of('{"title": "a", "widht": 1}\n{"title": "b", "widht": 2}'))] == [1, 2]


def test_a_long_value_is_cut_and_a_wide_row_is_not_told_in_full() -> None:
    [(_, _, reason)] = faults(read([{"title": "x", "width": "9" * 100_000 + "x"}]))
    assert len(reason) < 300
    assert len(faults(read([{f"column {n}": n for n in range(5000)}]))) == 20


def test_a_row_larger_than_a_payload_is_refused_and_the_next_one_read() -> None:
    most = ytray_settings().max_payload
    assert "YTRAY_MAX_PAYLOAD" in faults(read([{"title": "x" * most}]))[0][2]
    in_jsonl = jsonl_of('{"title": "%s"}\n{"title": "next"}' % ("x" * most))
    in_csv = csv_of('title\n"%s"\nnext\n' % ("x" * most))
    for rows in (in_jsonl, in_csv):
        [(_, field, reason)] = faults(rows)
        assert field == "row"
        assert f"more than {most:,} bytes" in reason
        assert arguments(rows[-1])["title"] == "next"


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.CSV"
    path.write_bytes(
        b'\xef\xbb\xbftitle,width\r\n"two\r\nlines",1\r\n\r\nafter,2\nshort\nlong,1,2\nb\xff,1\nn\0,1\n"x"y,1\nlast,3\n"open,4\n'
    )
    rows = read(path)
    assert [row.line for row in rows if isinstance(row, Row)] == [2, 5, 11]
    assert arguments(rows[0])["title"] == "two\r\nlines"
    found = faults(rows)
    assert [line for line, _, _ in found] == [6, 7, 8, 9, 10, 12]
    told = ("1 cells", "3 cells", "byte 2 of line 8 is not UTF-8", "NUL", "not CSV", "never closed")
    for (_, field, reason), part in zip(found, told, strict=True):
        assert field == "row"
        assert part in reason


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the input is empty"),
        ("\n\n", "the input is empty"),
        ("title,,width\na,b,1\n", "column 2 has no name"),
        ("title,title\na,b\n", "two columns are named 'title'"),
        ("title;width\na;1\n", "are the cells separated by ';'?"),
        ("title\rx\r", "carriage return"),
    ],
)
def test_a_header_that_names_no_columns_is_one_error(text: str, told: str) -> None:
    [(_, field, reason)] = faults(csv_of(text))
    assert field == "header"
    assert told in reason


def test_json_lines_that_are_not_objects_are_told_with_their_place() -> None:
    deep = "[" * 100_000
    text = f'{{"title": "a"}}\n\n{{"title" "b"}}\n[1]\n{{"title": "a", "title": "b"}}\n{{"title": NaN}}\n{deep}\n'
    text += '{"width": ' + "9" * 5000 + '}\n{"width": 1e999}\n{"title": "\\ud800"}\n{"title": "z"}'
    rows = jsonl_of(text)
    assert [row.line for row in rows if isinstance(row, Row)] == [1, 11]
    found = faults(rows)
    assert [line for line, _, _ in found] == [3, 4, 5, 6, 7, 8, 9, 10]
    told = (
        "at column 10",
        "JSON object",
        "'title' stands twice",
        "NaN",
        "too deeply",
        "digits",
        "too large",
        "surrogates",
    )
    for (_, _, reason), part in zip(found, told, strict=True):
        assert part in reason


def test_rows_that_are_no_mappings_are_refused_by_their_place() -> None:
    rows: list[Any] = [{"title": "a"}, "title", {1: 2}, None]
    assert [(line, field) for line, field, _ in faults(read(rows))] == [(2, "row"), (3, "row"), (4, "row")]


def test_an_input_of_no_known_format_is_refused_at_the_door(tmp_path: Path) -> None:
    for name in ("rows.xlsx", "rows", "rows.json"):
        with pytest.raises(InvalidArguments, match=r"\.jsonl"):
            source_rows(tmp_path / name)
    with pytest.raises(InvalidArguments, match="say its format"):
        source_rows(io.BytesIO(b""))
    with pytest.raises(InvalidArguments, match="No such file"):
        read(str(tmp_path / "rows.csv"))


def test_a_batch_of_batches_is_refused() -> None:
    with pytest.raises(InvalidArguments, match="a batch of batches is refused"):
        check_batchable("process_batch")
    with pytest.raises(InvalidArguments, match="put the rows of both into one input"):
        checked_rows([], find("process_batch"))
    [(_, field, reason), *_] = faults(read([{"items": []}], find("process_batch_item")))
    assert field == "items"
    assert "a batch of batches is refused" in reason


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"a", b"1", b"{", b"[", b"\xff", b";"]), max_size=40
        ).map(lambda parts: b"a,b\n" + b"".join(parts)),
    ),
    st.sampled_from(["csv", "tsv", "jsonl"]),
)
def test_whatever_bytes_are_read_are_rows_or_bad_rows(content: bytes, format: Format) -> None:
    lines = content.count(b"\n") + 1
    before = 0
    for row in checked_rows(io.BytesIO(content), add, None, format):
        line = row.line if isinstance(row, Row) else row[0].line
        assert before < line <= lines
        before = line


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["title", "width", "bold", "tags", "choices", "key"]) | st.text(st.characters(), max_size=5)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_NAMES, _JSON, max_size=5), st.sampled_from([make_poster, open_ended, double_size]))
def test_whatever_values_a_row_has_it_is_read_or_refused(values: dict[str, Any], made: Any) -> None:
    [row] = read([values], made)
    if isinstance(row, Row):
        assert isinstance(json.loads(row.payload), dict)
    else:
        assert row
        assert all(bad.line == 1 for bad in row)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8), min_size=2, max_size=2
    )
)
def test_a_written_csv_is_read_as_it_was_written(cells: list[str]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["one", "two"], cells])
    raw = [row for row in source_rows(io.BytesIO(written.getvalue().encode()), "csv") if isinstance(row, RawRow)]
    assert [[cell.lstrip(" ") for cell in row.cells.values()] for row in raw] == [[cell.lstrip(" ") for cell in cells]]


class _Endless:
    """A stream of JSON Lines that is nowhere in memory as a whole."""

    def __init__(self, lines: int) -> None:
        self.left = lines

    def readline(self, size: int = -1, /) -> bytes:
        self.left -= 1
        return (b"" if self.left < 0 else b'{"title": "%d %s"}\n' % (self.left, b"x" * 2000))[:size]


def test_reading_takes_no_more_memory_for_more_rows() -> None:
    tracemalloc.start()
    try:
        count = sum(isinstance(row, Row) for row in checked_rows(_Endless(5000), make_poster, None, "jsonl"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 5000
    assert most < 1_000_000, "of ten million bytes read"
