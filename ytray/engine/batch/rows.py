"""The rows of a batch's input, checked: each becomes the arguments of an item's job, or what is wrong with it."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, PydanticUserError, RootModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from ytray.engine.base.names import did_you_mean
from ytray.engine.batch.model import DEFAULT_TASK, BadRow
from ytray.engine.batch.sources import (
    WHOLE_ROW,
    Format,
    Header,
    RawRow,
    Source,
    bad_row,
    read_json,
    shortened,
    source_rows,
)
from ytray.engine.jobs.task import Task
from ytray.errors import InvalidArguments
from ytray.settings import settings

_KEY = "key"
_LONGEST_KEY = 200  # characters
_MOST_FAULTS = 20  # of one row: nobody reads more, and a row may have thousands
_DIGITS = 24  # of a digest, 96 bits: two of a billion rows meet by chance once in 10¹¹ batches
_BATCH_TASK, _BATCH_FIELD = "process_batch", "items"
_NO_BATCH_OF_BATCHES = "a batch of batches is refused: put the rows of both into one input"


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be an item. `payload` is the arguments of its job as JSON, in one way of many to write them.

    `key` tells it from the batch's other rows; `given` says whether the input named it, or the payload did. The same
    key and arguments of the same user and task are always the same `job_id`, which nobody can compute who does not know
    the system's secret. `plain` is the one that versions before 3 computed without it; `before` are the key and the job
    that versions before 2 made of the payload's bytes, which differ with the order of sets and mappings.
    """

    line: int
    key: str
    given: bool
    job_id: str
    payload: bytes
    plain: str = ""
    before: tuple[str, str] = ("", "")

    @property
    def earlier_ids(self) -> tuple[str, str]:
        """The ids that versions before would have given its job."""
        return self.plain, self.before[1]


def check_batchable(task_name: str) -> None:
    """Raises InvalidArguments for a task whose jobs are batches themselves."""
    if task_name == _BATCH_TASK:
        raise InvalidArguments(f"task {task_name}: {_NO_BATCH_OF_BATCHES}")


def checked_rows(
    source: Source,
    task: Task[..., Any],
    user_id: str | None = None,
    format: Format | None = None,
    *,
    secret: bytes = b"",
) -> Iterator[Row | list[BadRow]]:
    """Each row of a source (see `source_rows`) as the arguments of a task, or all that is wrong with it.

    Columns that the CSV has and the task does not are reported once, and ignored.
    Raises InvalidArguments: the source cannot be read, or the task cannot be batched.
    """
    return _checked(RowReader(task, user_id, secret=secret), source_rows(source, format))


def _checked(reader: RowReader, raws: Iterator[Header | RawRow | BadRow]) -> Iterator[Row | list[BadRow]]:
    for raw in raws:
        if isinstance(raw, RawRow):
            yield reader.row(raw)
        elif isinstance(raw, BadRow):
            yield [raw]
        elif unknown := reader.unknown_columns(raw):
            yield unknown


class RowReader:
    """Checks rows against what a task takes.

    A task whose only parameter is a Pydantic model takes a row as that model; the columns of any other are its
    parameters. The column `key` names the row, unless the task takes a `key` itself. `secret` is the system's; without
    it the ids of the rows' jobs can be computed by anybody.
    """

    def __init__(self, task: Task[..., Any], user_id: str | None = None, *, secret: bytes = b"") -> None:
        check_batchable(task.name)
        self._task = task
        self._limit = settings().max_payload
        self._item, model = _model_of(task)
        self._open = model.model_config.get("extra") == "allow"
        self._names_rows = _KEY not in model.model_fields
        self._columns = frozenset({*model.model_fields, _KEY})
        self._lists, self._structures = _readings(task, model)
        whose = to_json([user_id or "", task.name])
        self._digest, self._keyed = sha256(whose), hmac.new(secret, whose, "sha256")

    def unknown_columns(self, header: Header) -> list[BadRow]:
        """What is wrong with the columns of a CSV."""
        return self._unknown(header.line, [name for name in header.columns if not self._knows(name)])

    def row(self, raw: RawRow) -> Row | list[BadRow]:
        """The row as an item's arguments, or all that is wrong with it (one BadRow for each column)."""
        wrong: list[BadRow] = []
        cells = self._read_cells(raw, wrong) if raw.is_text else dict(raw.cells)
        if not raw.is_text and not self._open and not cells.keys() <= self._columns:
            wrong += self._unknown(raw.line, [name for name in cells if not self._knows(name)])
        key = None
        if self._names_rows and (named := cells.pop(_KEY, None)) is not None:
            key = _key_of(named)
            if key is None:
                wrong.append(bad_row(raw.line, _KEY, f"a key is 1 to {_LONGEST_KEY} printable characters"))
        # In one order, for the sake of tasks that take any column: the payload has to be the same for the same row.
        ordered = {name: cells[name] for name in sorted(cells)}
        arguments = {self._item: ordered} if self._item else ordered
        try:
            payload, canonical = self._task.signature.encode_canonically((), arguments, self._limit)
        except ValueError as refused:
            told = {fault.field for fault in wrong}
            wrong += [fault for fault in self._faults(raw.line, arguments) if fault.field not in told]
            wrong = wrong or [bad_row(raw.line, WHOLE_ROW, str(refused))]
        if wrong:
            return wrong[:_MOST_FAULTS]
        own = key or sha256(canonical).hexdigest()[:_DIGITS]
        old = key or sha256(payload).hexdigest()[:_DIGITS]
        return Row(
            line=raw.line,
            key=own,
            given=key is not None,
            job_id=_id(self._keyed.copy(), own, canonical),
            payload=payload,
            plain=_id(self._digest.copy(), own, canonical),
            before=(old, _id(self._digest.copy(), old, payload)),
        )

    def _knows(self, column: str) -> bool:
        return self._open or column in self._columns

    def _unknown(self, line: int, columns: list[str]) -> list[BadRow]:
        return [bad_row(line, column, self._unknown_reason(column)) for column in columns[:_MOST_FAULTS]]

    def _unknown_reason(self, column: str) -> str:
        if column == _BATCH_FIELD and self._task.name == DEFAULT_TASK:
            return _NO_BATCH_OF_BATCHES
        shown = shortened(column, 60)
        return f"task {self._task.name} takes no {shown!r}{did_you_mean(shown, sorted(self._columns))}"

    def _read_cells(self, raw: RawRow, wrong: list[BadRow]) -> dict[str, Any]:
        """The cells that say something, lists and JSON taken apart; pydantic reads numbers and booleans itself."""
        read: dict[str, Any] = {}
        for name, cell in raw.cells.items():
            value = cell.strip()
            if not value or not self._knows(name):
                continue
            read[name] = value
            if name in self._structures and value[0] in "[{":
                try:
                    read[name] = read_json(value)
                except ValueError as refused:
                    wrong.append(bad_row(raw.line, name, str(refused)))
            elif name in self._lists:
                read[name] = [part.strip() for part in value.split(";") if part.strip()]
        return read

    def _faults(self, line: int, arguments: dict[str, Any]) -> list[BadRow]:
        """Every column with a wrong value, once, with the most precise of its errors."""
        depth = 1 if self._item else 0
        worst: dict[str, ErrorDetails] = {}
        for error in _errors(self._task, arguments):
            place = error["loc"]
            column = str(place[depth]) if len(place) > depth else WHOLE_ROW
            # A cell that fits none of several types has an error for each.
            if column not in worst or len(place) > len(worst[column]["loc"]):
                worst[column] = error
        return [
            bad_row(line, column, _reason(error, depth))
            for column, error in worst.items()
            if column == WHOLE_ROW or self._knows(column)
        ]


def _id(digest: Any, key: str, content: bytes) -> str:
    digest.update(b"%s\0%s" % (key.encode(), content))  # no key has a NUL
    return f"i{digest.hexdigest()[:_DIGITS]}"


def _errors(task: Task[..., Any], arguments: dict[str, Any]) -> list[ErrorDetails]:
    try:
        task.signature.model.model_validate(arguments)
    except ValidationError as invalid:
        return invalid.errors(include_url=False, include_context=False)
    return []  # then JSON cannot hold them, or not so many


def _reason(error: ErrorDetails, depth: int) -> str:
    inner = [part if isinstance(part, str) else f"value {part + 1}" for part in error["loc"][depth + 1 :]]
    # "literal['a','b']" is pydantic's own name for a type.
    within = ", ".join(part for part in inner if "[" not in part)
    reason = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    if error["type"] != "missing":
        if isinstance(value, str):
            reason += f", not {shortened(value, 60)!r}"
        elif isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 10**18):
            reason += f", not {value!r}"
    return f"{shortened(within, 60)}: {reason}" if within else reason


def _key_of(value: object) -> str | None:
    """The key that a row names (a number is one too), or None when it cannot be one."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        value = str(value)
    if not isinstance(value, str):
        return None
    key = value.strip()
    return key if 1 <= len(key) <= _LONGEST_KEY and key.isprintable() else None


def _model_of(task: Task[..., Any]) -> tuple[str | None, type[BaseModel]]:
    """The parameter that takes the whole row, if there is one, and the model whose fields are the columns."""
    model = task.signature.model
    if len(model.model_fields) == 1 and model.model_config.get("extra") != "allow":
        name, only = next(iter(model.model_fields.items()))
        kind = only.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, RootModel):
            return name, kind
    return None, model


def _readings(task: Task[..., Any], model: type[BaseModel]) -> tuple[frozenset[str], frozenset[str]]:
    """The columns whose text is split into a list, and those whose text may be JSON."""
    try:
        schema = model.model_json_schema(by_alias=False)
    except PydanticUserError as indescribable:
        raise InvalidArguments(f"task {task.name} cannot take rows: {indescribable}") from None
    kinds = {name: _kinds(part, schema.get("$defs", {})) for name, part in schema.get("properties", {}).items()}
    lists = frozenset(name for name, kind in kinds.items() if "array" in kind and "string" not in kind)
    return lists, frozenset(name for name, kind in kinds.items() if kind & {"array", "object", "any"})


def _kinds(part: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """The JSON types that a part of a schema accepts; "any" where it does not say."""
    if "$ref" in part:
        return _kinds(definitions[part["$ref"].rsplit("/", 1)[-1]], definitions)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in part:
            return {kind for choice in part[name] for kind in _kinds(choice, definitions)}
    return {part["type"]} if "type" in part else {"string" if "enum" in part or "const" in part else "any"}
