"""The audit trail: who paused, drained, cancelled, replayed, set a budget, made or revoked a key; from where, and when.

It is one stream of Redis, which nothing in ytray changes afterwards; the newest 100,000 entries are kept. What is
submitted is not in it: jobs and batches have their own history.
"""

from __future__ import annotations

import getpass
import os
import socket
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field

from ytray.engine.base.model import Time, time_of
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments

_KEPT: Final = 100_000  # entries
_LONGEST: Final = 500  # characters of one word


class AuditEntry(BaseModel):
    """One thing that somebody did."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="Its place in the trail.")
    at: Time
    who: str = Field(description="The API key by its id and name, or the user of the machine where a command ran.")
    address: str = Field(description="Where the request came from, or the command ran.")
    action: str
    subject: str = Field(description="What it was done to: a job, a queue, a node, a batch, a user, a key.")
    detail: str = Field(description="What was said with it: a reason, a budget.")


class AuditPage(BaseModel):
    """A page of the trail, the newest first."""

    entries: list[AuditEntry]
    next_cursor: str | None = Field(description="Give it as `cursor` for the entries before these; else null.")


def record(where: Store, *, who: str, address: str, action: str, subject: str, detail: str = "") -> None:
    """Write down what somebody did."""
    words = {"who": who, "address": address, "action": action, "subject": subject, "detail": detail}
    fields: Any = {name: word[:_LONGEST].encode(errors="replace") for name, word in words.items()}
    where.redis.xadd(where.key("audit"), fields, maxlen=_KEPT, approximate=True)


def record_here(where: Store, action: str, subject: str, detail: str = "") -> None:
    """Write down what a command does within the cluster, for whoever is logged in here."""
    came_from = os.environ.get("SSH_CLIENT", "").split(" ")[0]
    address = socket.gethostname() + (f", from {came_from}" if came_from else "")
    record(where, who=_who_is_here(), address=address, action=action, subject=subject, detail=detail)


def page(where: Store, limit: int, cursor: str | None) -> AuditPage:
    """The newest entries, or those before a cursor. Raises InvalidArguments."""
    if cursor is not None and not all(part.isdigit() for part in cursor.split("-", 1)):
        raise InvalidArguments(f"{cursor!r} is no cursor of the audit trail")
    until = "+" if cursor is None else f"({cursor}"
    rows = cast("list[Any]", where.redis.xrevrange(where.key("audit"), until, "-", count=limit + 1))
    entries = [_entry(row_id, fields) for row_id, fields in rows[:limit]]
    return AuditPage(entries=entries, next_cursor=entries[-1].id if len(rows) > limit else None)


def _entry(row_id: bytes, fields: dict[bytes, bytes]) -> AuditEntry:
    words = {name.decode(errors="replace"): word.decode(errors="replace") for name, word in fields.items()}
    names = ("who", "address", "action", "subject", "detail")
    found = {name: words.get(name, "") for name in names}
    return AuditEntry(id=row_id.decode(), at=time_of(row_id.partition(b"-")[0]), **found)


def _who_is_here() -> str:
    try:
        return f"user {getpass.getuser()}"
    except (KeyError, OSError):
        return f"user {os.getuid()}"  # of a container, without a name
