"""The entries of the stream of events, and the events made of them.

An entry is one of

    T FROM TO at-ms job-id job-id …                            jobs that made the same move together
    P at-ms job-id percent message                             progress
    B at-ms batch-id state waiting active completed failed     how the items of a batch stand
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic_core import to_json

from ytray.engine.base.model import time_of
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments

_log = structlog.get_logger("ytray.api")

_REMEMBERED = 50_000  # jobs and batches whose task and user a replica keeps in mind

Place = tuple[int, int, int]  # of an event: milliseconds and sequence of its entry in the stream, place in the entry


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it is sent, and whom it concerns: the user of a job or of a batch."""

    place: Place
    job_id: str
    batch_id: str
    user: str
    text: bytes


class EventReader:
    """Makes events of the stream's entries, and remembers what each of them says of its job or batch."""

    def __init__(self, where: Store) -> None:
        self._store = where
        self._jobs: dict[str, dict[str, str | None]] = {}
        self._users: dict[str, str] = {}  # of batches
        self._lock = threading.Lock()

    def events(self, rows: Sequence[Any]) -> list[Event]:
        """The events of entries, in their order. Safe to call from several threads."""
        entries = [(entry_place(row_id), fields.get(b"e", b"").decode(errors="replace")) for row_id, fields in rows]
        with self._lock:  # the reading thread and those that look into the past share what is known
            self._learn([text for _, text in entries])
            return newest_of_batches([event for at, text in entries for event in self._told(at, text)])

    def _told(self, at: tuple[int, int], text: str) -> list[Event]:
        try:
            return list(self._expand(at, text))
        except (ValueError, KeyError, OverflowError, OSError):
            _log.error("an entry of the stream of events cannot be read", entry=text[:100])
            return []

    def _learn(self, texts: Sequence[str]) -> None:
        if len(self._jobs) + len(self._users) > _REMEMBERED:
            self._jobs.clear()
            self._users.clear()
        jobs = {job_id for text in texts for job_id in _job_ids(text)} - self._jobs.keys()
        told = [text.split(" ", 3) for text in texts if text.startswith("B ")]
        batches = {words[2] for words in told if len(words) > 2} - self._users.keys()
        pipe = self._store.redis.pipeline(transaction=False)
        for job_id in jobs:
            pipe.hmget(self._store.key(f"j:{job_id}"), ["task", "queue", "user", "parent"])
        for batch_id in batches:
            pipe.hget(self._store.key(f"b:{batch_id}"), "user")
        found = pipe.execute(raise_on_error=False)
        for job_id, values in zip(jobs, found, strict=False):
            fields = values if isinstance(values, list) else [None] * 4  # somebody wrote over it
            known = [None if value is None else value.decode(errors="replace") for value in fields]
            self._jobs[job_id] = dict(zip(("task_name", "queue", "user_id", "parent_id"), known, strict=True))
        for batch_id, user in zip(batches, found[len(jobs) :], strict=True):
            self._users[batch_id] = user.decode(errors="replace") if isinstance(user, bytes) else ""

    def _expand(self, at: tuple[int, int], text: str) -> Iterator[Event]:
        if text.startswith("T "):
            _, source, to, when, *ids = text.split(" ")
            for place, job_id in enumerate(ids):
                moved = {"from_state": source, "to_state": to, "at": _rfc3339(when)}
                yield self._of_job("transition", (*at, place), job_id, moved)
        elif text.startswith("B "):
            _, when, batch_id, state, *counts = text.split(" ")
            numbers = zip(("waiting", "active", "completed", "failed"), map(int, counts), strict=True)
            stands = {"batch_id": batch_id, "state": state, **dict(numbers), "at": _rfc3339(when)}
            yield Event((*at, 0), "", batch_id, self._users[batch_id], _written((*at, 0), "batch", stands))
        else:
            _, when, job_id, percent, message = text.split(" ", 4)
            told = {"progress": float(percent), "progress_message": message, "at": _rfc3339(when)}
            yield self._of_job("progress", (*at, 0), job_id, told)

    def _of_job(self, name: str, place: Place, job_id: str, what: dict[str, Any]) -> Event:
        job = self._jobs[job_id]
        return Event(place, job_id, "", job["user_id"] or "", _written(place, name, {"job_id": job_id, **job, **what}))


def newest_of_batches(events: Sequence[Event]) -> list[Event]:
    """The events without those of a batch that a later one of the same batch makes pointless."""
    newest = {event.batch_id: event for event in events if event.batch_id}
    return [event for event in events if not event.batch_id or newest[event.batch_id] is event]


def entry_place(row_id: bytes) -> tuple[int, int]:
    """Where an entry is in the stream, by its id in Redis."""
    milliseconds, _, sequence = row_id.decode().partition("-")
    return int(milliseconds), int(sequence)


def written_place(place: Place) -> str:
    """The id of the event at a place."""
    return f"{place[0]}-{place[1]}.{place[2]}"


def read_place(written: str) -> Place:
    """The place that an event's id names. Raises InvalidArguments."""
    try:
        entry, _, place = written.partition(".")
        milliseconds, _, sequence = entry.partition("-")
        return int(milliseconds), int(sequence), int(place)
    except ValueError:
        raise InvalidArguments(f"{written!r} is not the id of an event") from None


def _written(place: Place, name: str, data: dict[str, Any]) -> bytes:
    return f"id: {written_place(place)}\nevent: {name}\ndata: {to_json(data).decode()}\n\n".encode()


def _job_ids(text: str) -> list[str]:
    words = text.split(" ")
    return {"T": words[4:], "P": words[2:3]}.get(words[0], [])


def _rfc3339(milliseconds: str) -> str:
    return time_of(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")
