"""Every call of the API about batches: what to send, and how its answer is read. Both clients send these."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import to_json, to_jsonable_python

from ytray.client._calls import JSON, Call, given, inside, segment
from ytray.engine.batch.model import (
    BatchPage,
    BatchState,
    BatchStatus,
    ErrorGroup,
    ItemPage,
    ItemState,
    Prepared,
    Resumed,
)
from ytray.engine.batch.plan import Plan
from ytray.errors import InvalidArguments

Numbers = Mapping[str, float] | None
Rows = Iterable[Mapping[str, Any]] | Path | str

_TYPES: Final = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
}
_READING: Final = 600.0  # seconds that a server may take to read and check an input
_GROUPS: Final = TypeAdapter(list[ErrorGroup])
_ID: Final = TypeAdapter(str)
_NUMBER: Final = TypeAdapter(int)


def create(rows: Rows, task: str | None, skip_invalid: bool, choices: Mapping[str, Any]) -> Call[str]:
    """Submit a batch. Without a key it gets one here, so that a repeat after a lost answer is the same batch."""
    key = choices.get("idempotency_key")
    key = uuid.uuid4().hex if key is None else key
    params = {**choices, "task": task, "skip_invalid": skip_invalid or None, "idempotency_key": key}
    body, file, headers = _input(rows)
    return Call(
        "POST",
        "/api/batches",
        inside("batch_id", _ID),
        _as_text(params),
        body=body,
        file=file,
        headers=headers,
        answer_within=_READING,
    )


def estimate(rows: Rows, task: str | None, choices: Mapping[str, Any]) -> Call[Prepared]:
    """What an input is and would cost."""
    body, file, headers = _input(rows)
    return Call(
        "POST",
        "/api/batches",
        Prepared.model_validate_json,
        _as_text({**choices, "task": task, "estimate": True}),
        body=body,
        file=file,
        headers=headers,
        answer_within=_READING,
    )


def status(batch_id: str) -> Call[BatchStatus]:
    """What is known of a batch."""
    return Call("GET", _batch(batch_id), BatchStatus.model_validate_json)


def plan(batch_id: str, deadline: float | datetime, slots: Numbers, prices: Numbers) -> Call[Plan]:
    """The nodes that a batch needs."""
    return Call("GET", f"{_batch(batch_id)}/plan", Plan.model_validate_json, _asked(deadline, slots, prices))


def items_plan(
    items: int, deadline: float | datetime, slots: Numbers, prices: Numbers, choices: Mapping[str, Any]
) -> Call[Plan]:
    """The nodes that so many new items need."""
    params = {**_as_text({**choices, "items": items}), **_asked(deadline, slots, prices)}
    return Call("GET", "/api/batches/plan", Plan.model_validate_json, params)


def page(user_id: str | None, state: BatchState | str | None, limit: int, cursor: str | None) -> Call[BatchPage]:
    """A page of the listing."""
    params = {"user_id": user_id, "state": state, "limit": str(limit), "cursor": cursor}
    return Call("GET", "/api/batches", BatchPage.model_validate_json, given(params))


def items(batch_id: str, state: ItemState | str | None, limit: int, cursor: int | None) -> Call[ItemPage]:
    """A page of a batch's items."""
    params = {"state": state, "limit": str(limit), "cursor": None if cursor is None else str(cursor)}
    return Call("GET", f"{_batch(batch_id)}/items", ItemPage.model_validate_json, given(params))


def errors(batch_id: str) -> Call[list[ErrorGroup]]:
    """The groups of a batch's errors."""
    return Call("GET", f"{_batch(batch_id)}/errors", inside("groups", _GROUPS))


def settle(batch_id: str, fingerprint: str, what: str) -> Call[int]:
    """Replay or discard a group of failed items."""
    path = f"{_batch(batch_id)}/errors/{segment(fingerprint)}/{what}"
    return Call("POST", path, inside("items", _NUMBER), repeatable=False)


def resume(batch_id: str, rows: Rows | None) -> Call[Resumed]:
    """Resume a batch, with its edited input or as it is."""
    path, read = f"{_batch(batch_id)}/resume", Resumed.model_validate_json
    if rows is None:
        return Call("POST", path, read, repeatable=False)
    body, file, headers = _input(rows)
    return Call("POST", path, read, body=body, file=file, headers=headers, repeatable=False, answer_within=_READING)


def stop(batch_id: str, what: str, reason: str | None) -> Call[BatchStatus]:
    """Pause or cancel a batch."""
    body = to_json({"reason": reason})
    path = f"{_batch(batch_id)}/{what}"
    return Call("POST", path, BatchStatus.model_validate_json, body=body, headers=JSON, repeatable=False)


def change(batch_id: str, priority: int | None, concurrency: int | None, budget_usd: float | None) -> Call[BatchStatus]:
    """Change what was chosen for a batch."""
    body = to_json({"priority": priority, "concurrency": concurrency, "budget_usd": budget_usd})
    return Call("PATCH", _batch(batch_id), BatchStatus.model_validate_json, body=body, headers=JSON)


def report(batch_id: str, format: str) -> Call[str]:
    """A batch's report."""
    return Call("GET", f"{_batch(batch_id)}/report", bytes.decode, {"format": format}, headers={"Accept": "text/*"})


def _input(rows: Rows) -> tuple[bytes | None, Path | None, dict[str, str]]:
    """The body or the file to send, and its type. Raises InvalidArguments for what cannot be sent."""
    if isinstance(rows, (str, Path)):
        path = Path(rows)
        if path.suffix.lower() not in _TYPES:
            raise InvalidArguments(f"{path.name}: a batch is read from {', '.join(_TYPES)} files")
        if not path.is_file():
            raise InvalidArguments(f"{path} is no file here")
        return None, path, {"Content-Type": _TYPES[path.suffix.lower()]}
    try:
        lines = [to_json(dict(row)) for row in rows]
    except (ValueError, TypeError) as wrong:
        raise InvalidArguments(f"a row that is no mapping, or has what JSON cannot hold: {wrong}") from None
    return b"\n".join(lines), None, {"Content-Type": _TYPES[".jsonl"]}


def _asked(deadline: float | datetime, slots: Numbers, prices: Numbers) -> dict[str, str]:
    if not isinstance(deadline, datetime):
        until = {"deadline": str(deadline)}
    elif deadline.tzinfo is None:
        raise InvalidArguments("the deadline is a time without a zone: give it one, as in deadline.astimezone()")
    else:
        until = {"by": deadline.isoformat()}
    pairs = {"slots": slots or {}, "price": prices or {}}
    told = {what: ",".join(f"{name}={number}" for name, number in numbers.items()) for what, numbers in pairs.items()}
    return {**until, **{what: text for what, text in told.items() if text}}


def _as_text(params: Mapping[str, Any]) -> dict[str, str]:
    try:
        plain = to_jsonable_python(given(params))
    except ValueError as wrong:
        raise InvalidArguments(f"options or metadata that JSON cannot hold: {wrong}") from None
    return {name: value if isinstance(value, str) else to_json(value).decode() for name, value in plain.items()}


def _batch(batch_id: str) -> str:
    return f"/api/batches/{segment(batch_id)}"
