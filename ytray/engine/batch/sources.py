"""The rows of a batch's input as they are written: in CSV and JSONL files and streams, or as mappings.

What they mean is judged in rows.py. A row is read when it is asked for and then forgotten: an input may be larger than
memory.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from ytray.engine.batch.model import BadRow
from ytray.errors import InvalidArguments
from ytray.settings import settings

Format = Literal["csv", "tsv", "jsonl"]

WHOLE_ROW = "row"  # the `field` of what is wrong with a row altogether
_HEADER = "header"
_EXTENSIONS: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_FORMATS = "CSV (.csv, .tsv) and JSON Lines (.jsonl, .ndjson)"
_BOM = b"\xef\xbb\xbf"
_SKIPPED_AT_ONCE = 65_536  # bytes of a line that is too long to be kept
_LONGEST_NUMBER = 300  # digits
_LONGEST_FIELD, _LONGEST_REASON = 100, 400  # characters of what is told of a bad row


@runtime_checkable
class Stream(Protocol):
    """An open file, or what reads like one: bytes, or text."""

    def readline(self, size: int = -1, /) -> bytes | str:
        """The next line, or as much of it as `size` allows; nothing at the end."""


Source = Path | str | Stream | Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Header:
    """The columns that a CSV names in its first line."""

    line: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it is written. In a CSV every cell is text; elsewhere values have types of their own."""

    line: int
    cells: dict[str, Any]
    is_text: bool


def source_rows(source: Source, format: Format | None = None) -> Iterator[Header | RawRow | BadRow]:
    """The rows of an input, one by one; of a CSV its header first, and a BadRow for what cannot be read.

    Args:
        source: a file's path, an open stream (then say its `format`), or mappings.
        format: csv, tsv or jsonl; a file's extension says it by default.

    `line` is where a row begins, in a file counted from 1; a mapping's is its place. Blank lines are skipped.
    Raises InvalidArguments: the format is unknown or (when the first row is asked for) the file cannot be opened.
    """
    if isinstance(source, (Path, str)):
        path = Path(source)
        return _file_rows(path, format or _format_of(path))
    if isinstance(source, Stream):
        if format is None:
            raise InvalidArguments("a stream has no extension: say its format, one of csv, tsv and jsonl")
        return _stream_rows(source, format)
    return _mapping_rows(source)


def bad_row(line: int, field: str, reason: str) -> BadRow:
    """What is wrong with a row, cut to a length that people read, and without what UTF-8 cannot hold."""
    return BadRow(line=line, field=shortened(field, _LONGEST_FIELD), reason=shortened(reason, _LONGEST_REASON))


def shortened(text: str, longest: int) -> str:
    """The text, or its first `longest` characters and an ellipsis; unpaired surrogates become question marks."""
    kept = text if len(text) <= longest else text[:longest] + "…"
    return kept.encode("utf-8", "replace").decode()


def read_json(text: str) -> Any:
    """A JSON value of one line. Raises ValueError that says what is wrong, and at which column."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as wrong:
        raise ValueError(f"this is not JSON: {wrong.msg.lower()} at column {wrong.colno}") from None
    except RecursionError:
        raise ValueError("this JSON is nested too deeply") from None


def _format_of(path: Path) -> Format:
    extension = path.suffix.lower()
    if extension in _EXTENSIONS:
        return _EXTENSIONS[extension]
    if extension == ".json":
        raise InvalidArguments(
            f"{path.name}: a batch is read row by row, which a .json file does not allow; write one object a line into "
            "a .jsonl file (jq -c '.[]' does that)"
        )
    raise InvalidArguments(f"{path.name}: a batch is read from {_FORMATS}, not from {extension or 'a bare name'}")


def _file_rows(path: Path, format: Format) -> Iterator[Header | RawRow | BadRow]:
    try:
        with path.open("rb") as file:
            yield from _stream_rows(file, format)
    except OSError as wrong:
        raise InvalidArguments(f"{path} cannot be read: {wrong.strerror or wrong}") from None


def _stream_rows(stream: Stream, format: Format) -> Iterator[Header | RawRow | BadRow]:
    lines = _Lines(getattr(stream, "buffer", stream), settings().max_payload)
    if format == "jsonl":
        return _jsonl_rows(lines)
    return _csv_rows(lines, "," if format == "csv" else "\t")


def _mapping_rows(mappings: Iterable[object]) -> Iterator[RawRow | BadRow]:
    for place, mapping in enumerate(mappings, 1):
        if not isinstance(mapping, Mapping):
            yield bad_row(place, WHOLE_ROW, f"a row is a mapping of names to values, not a {type(mapping).__name__}")
        elif not all(isinstance(name, str) for name in mapping):
            yield bad_row(place, WHOLE_ROW, "the names of a row's values are text")
        else:
            yield RawRow(place, dict(mapping), is_text=False)


class _TooLong(Exception):
    """A row is longer than an item's arguments may be."""


class _Lines:
    """The lines of a stream as text. What is not UTF-8 is noted in `wrong`: the row that it is in is known later."""

    def __init__(self, stream: Stream, longest: int) -> None:
        self.number = 0  # of the line that was read last
        self.wrong = ""
        self._stream = stream
        self._longest = longest
        self._left = longest

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        """The next line with its end. Raises _TooLong once the row has more bytes than are allowed."""
        line = self._read(self._left + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._left -= len(line)
        if self._left < 0:
            while line and not line.endswith(b"\n"):
                line = self._read(_SKIPPED_AT_ONCE)
            self._left = self._longest
            raise _TooLong(f"the row has more than {self._longest:,} bytes, the most that YTRAY_MAX_PAYLOAD allows")
        if self.number == 1:
            line = line.removeprefix(_BOM)
        if b"\0" in line:
            self.wrong = self.wrong or f"line {self.number} has a NUL byte"
        try:
            return line.decode()
        except UnicodeDecodeError as undecodable:
            place = undecodable.start + 1
            self.wrong = self.wrong or f"byte {place} of line {self.number} is not UTF-8; save the file as UTF-8"
            return line.decode(errors="replace")

    def begin_row(self) -> int:
        """The next line begins a row; gives its number."""
        self.wrong = ""
        self._left = self._longest
        return self.number + 1

    def _read(self, size: int) -> bytes:
        line = self._stream.readline(size)
        return line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line


def _csv_rows(lines: _Lines, delimiter: str) -> Iterator[Header | RawRow | BadRow]:
    columns: tuple[str, ...] = ()
    for line, cells in _csv_records(lines, delimiter):
        if isinstance(cells, str):
            yield bad_row(line, WHOLE_ROW if columns else _HEADER, cells)
            if not columns:
                return
        elif not columns:
            columns = tuple(cell.strip() for cell in cells)
            if wrong := _wrong_header(columns):
                yield bad_row(line, _HEADER, wrong)
                return
            yield Header(line, columns)
        elif len(cells) != len(columns):
            yield bad_row(
                line, WHOLE_ROW, f"the header names {len(columns)} columns, and the row has {len(cells)} cells"
            )
        else:
            yield RawRow(line, dict(zip(columns, cells, strict=True)), is_text=True)
    if not columns:
        yield bad_row(1, _HEADER, "the input is empty; its first line names the columns")


def _csv_records(lines: _Lines, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Where each record begins, and its cells, or why it has none."""
    # After an error the reader begins anew with the next line.
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as wrong:
            through = f" (the row was read through line {lines.number})" if lines.number > line else ""
            yield line, _reason(wrong) + through
            continue
        if lines.wrong:
            yield line, lines.wrong
        elif len(cells) > 1 or any(cell.strip() for cell in cells):
            yield line, cells


def _reason(wrong: Exception) -> str:
    told = str(wrong)
    if "unexpected end of data" in told:
        return "a quote is opened and never closed"
    if "field larger" in told:
        return f"a cell has more than {csv.field_size_limit():,} characters; is a quote not closed?"
    if "new-line character" in told:
        return "a carriage return stands alone; lines end with a line feed"
    return told if isinstance(wrong, _TooLong) else f"this is not CSV: {told}"


def _wrong_header(columns: tuple[str, ...]) -> str | None:
    if len(columns) == 1 and (other := next((mark for mark in ";\t," if mark in columns[0]), None)):
        return f"there is a single column, {shortened(columns[0], 60)!r}; are the cells separated by {other!r}?"
    if "" in columns:
        return f"column {columns.index('') + 1} has no name"
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        return f"two columns are named {shortened(twice, 60)!r}"
    return None


def _jsonl_rows(lines: _Lines) -> Iterator[RawRow | BadRow]:
    while True:
        line = lines.begin_row()
        try:
            text = next(lines).strip()
            if lines.wrong:
                raise ValueError(lines.wrong)
            if not text:
                continue
            cells = read_json(text)
            if not isinstance(cells, dict):
                raise ValueError("a row is a JSON object: {…}")
        except StopIteration:
            return
        except (ValueError, _TooLong) as wrong:
            yield bad_row(line, WHOLE_ROW, str(wrong))
        else:
            yield RawRow(line, cells, is_text=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in read if names.count(name) > 1)
        raise ValueError(f"{shortened(twice, 60)!r} stands twice in one object")
    return read


def _constant(name: str) -> None:
    raise ValueError(f"this is not JSON: {name}")


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number has more than {_LONGEST_NUMBER} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):  # it would be stored as null
        raise ValueError(f"the number {shortened(digits, 20)} is too large")
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_fraction
)
