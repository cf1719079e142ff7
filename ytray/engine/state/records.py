"""Reads what Redis holds of a job into what users see."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from pydantic_core import from_json

from ytray.engine.base.model import MICRO, QUEUE_PRIORITIES, DeadLetter, JobState, JobStatus, Transition, time_of
from ytray.engine.base.values import read
from ytray.errors import InvalidArguments, UnknownBatch, UnknownJob

T = TypeVar("T")
Stored = dict[bytes, bytes] | Exception  # the hash of a job, or why Redis does not give it

# What the reading of something damaged raises: no number, no JSON, no such state, a time out of all bounds.
UNREADABLE: Final = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, OSError, RecursionError)
_SHOWN = 60  # characters of what cannot be read


def unknown_job(job_id: str) -> UnknownJob:
    """The error for an id that no job has."""
    return UnknownJob(f"no job {job_id}: it never existed, or its history has been cleaned up")


def unknown_batch(batch_id: str) -> UnknownBatch:
    """The error for an id that no batch has."""
    return UnknownBatch(f"no batch {batch_id}: it never existed, or it has been cleaned up")


def not_dead(job_id: str) -> UnknownJob:
    """The error for an id that no job in the dead-letter queue has."""
    return UnknownJob(f"job {job_id} is not in the dead-letter queue")


def read_history(entries: Sequence[bytes]) -> list[Transition]:
    """The list `h:<id>`. An entry that cannot be read becomes one without a move, with its text in the metadata."""
    history: list[Transition] = []
    for entry in entries:
        try:
            history.append(_read_transition(entry))
        except UNREADABLE:
            last = history[-1] if history else None
            state, at = (last.to_state, last.at) if last else (JobState.PENDING, time_of(0))
            told = {"unreadable": entry[:_SHOWN].decode(errors="backslashreplace")}
            history.append(Transition(from_state=state, to_state=state, at=at, metadata=told))
    return history


def _read_transition(entry: bytes) -> Transition:
    """One entry: "FROM TO at-ms {metadata}"."""
    source, to, at, metadata = entry.decode().split(" ", 3)
    return Transition(from_state=JobState(source), to_state=JobState(to), at=time_of(at), metadata=read(metadata) or {})


def read_state(stored: bytes) -> JobState:
    """A stored state. An unknown one counts as FAILED: nothing happens to the job until somebody looks at it."""
    try:
        return JobState(stored.decode())
    except ValueError:
        return JobState.FAILED


def why_waiting(slots: dict[bytes, bytes], paused: set[bytes], *, is_at_work: bool) -> dict[str, str]:
    """By queue, why its jobs do not start at all, from the keys `slots`, `paused` and `at_work`; others are left out.

    Without a tracker nobody knows what the nodes offer now: what it last saw is not told then.
    """
    reasons = {}
    for queue in QUEUE_PRIORITIES:
        if queue.encode() in paused:
            reasons[queue] = f"queue {queue} is paused"
        elif slots and not is_at_work:
            reasons[queue] = "no tracker is at work; it starts when one is (`ytray doctor` tells more)"
        elif slots.get(queue.encode()) == b"0":
            reasons[queue] = f"no node offers queue_{queue}; it starts when one joins"
    return reasons


def waits_for_slot(stored: Stored) -> bool:
    """Whether a job, as the hash `j:<id>` has it, waits for a slot. (Flows do not, nor does what runs elsewhere.)"""
    return isinstance(stored, dict) and stored.get(b"state") == b"QUEUED" and b"lane" not in stored


def queue_in(stored: Stored) -> str:
    """The queue of a job, as the hash `j:<id>` has it."""
    return stored.get(b"queue", b"").decode(errors="replace") if isinstance(stored, dict) else ""


def read_status(job_id: str, stored: Stored, result: bytes | Exception | None, waiting: str = "") -> JobStatus:
    """The hash `j:<id>` and the string `r:<id>`; `waiting`: why it does not start. Raises UnknownJob without a hash.

    Of a job that is damaged, what can be read is told, and its `error` says what cannot.
    """
    if isinstance(stored, dict):
        if not stored:
            raise unknown_job(job_id)
        try:
            return _read_whole(job_id, stored, result, waiting)
        except UNREADABLE:
            pass
    return _Damaged(job_id, stored).status(result)


def _read_whole(job_id: str, stored: dict[bytes, bytes], result: bytes | Exception | None, waiting: str) -> JobStatus:
    f = {name.decode(): value.decode() for name, value in stored.items()}
    state = JobState(f["state"])
    due = time_of(f["due"]) if "due" in f and state is JobState.RETRYING else None
    if isinstance(result, Exception):
        raise ValueError("the result cannot be read")
    return JobStatus(
        job_id=job_id,
        task_name=f["task"],
        queue=f["queue"],
        priority=int(f["prio"]),
        current_state=state,
        progress=100.0 if state is JobState.COMPLETED else percent(f.get("progress", 0)),
        progress_message=waiting or f.get("note", "") or (f.get("awaits", "") if state is JobState.EXECUTING else ""),
        created_at=time_of(f["created"]),
        started_at=time_of(f["started"]) if "started" in f else None,
        completed_at=time_of(f["ended"]) if "ended" in f else None,
        error=None if state is JobState.COMPLETED else f.get("error"),  # its history keeps those of its attempts
        result=read(result) if result is not None else None,
        retry_count=int(f.get("retries", 0)),
        next_retry_at=due,
        user_id=f.get("user"),
        metadata=read(f["spec"]).get("metadata", {}),
        idempotency_key=f.get("key"),
        parent_id=f.get("parent"),
        cost_usd=int(f.get("cost", 0)) / MICRO,
    )


def percent(stored: bytes | str | float) -> float:
    """A stored progress. Raises ValueError when it is none."""
    value = float(stored)
    if not 0 <= value <= 100:
        raise ValueError(f"progress is 0 to 100, not {value}")
    return value


def read_dead_letter(job_id: str, failed_ms: float, stored: Stored) -> DeadLetter:
    """The hash `j:<id>` and the score in `dlq` of a job in the dead-letter queue; its error says what is damaged."""
    if isinstance(stored, dict) and stored:
        try:
            return _read_whole_letter(job_id, failed_ms, stored)
        except UNREADABLE:
            pass
    return _Damaged(job_id, stored).dead_letter(failed_ms)


def _read_whole_letter(job_id: str, failed_ms: float, stored: dict[bytes, bytes]) -> DeadLetter:
    f = {name.decode(): value.decode() for name, value in stored.items()}
    return DeadLetter(
        job_id=job_id,
        task_name=f["task"],
        queue=f["queue"],
        args=read(f["spec"]).get("args", {}),
        error=f.get("error", ""),
        traceback=f.get("traceback", ""),
        retry_count=int(f.get("retries", 0)),
        failed_at=time_of(failed_ms),
        user_id=f.get("user"),
    )


class _Damaged:
    """A job that cannot be read whole: each field by itself, and what is wrong with those that cannot be read."""

    def __init__(self, job_id: str, stored: Stored) -> None:
        self._id = job_id
        self._wrong: list[str] = []
        self._f: dict[str, str] = {}
        if isinstance(stored, dict):
            self._f = {n.decode(errors="replace"): v.decode(errors="backslashreplace") for n, v in stored.items()}
        if not self._f:
            self._wrong.append("its record is missing" if not stored else f"its record is no hash ({stored})")

    def status(self, result: bytes | Exception | None) -> JobStatus:
        """What can be told of it."""
        f = self._f
        state = self._read("state", JobState, JobState.FAILED, needed=True)
        kept = self._of("result", lambda: None if result is None else self._value(result), None)
        told = {
            "task_name": self._text("task"),
            "queue": self._text("queue"),
            "priority": self._read("prio", int, 0, needed=True),
            "progress": self._read("progress", percent, 0.0),
            "created_at": self._read("created", time_of, time_of(0), needed=True),
            "started_at": self._read("started", time_of, None),
            "completed_at": self._read("ended", time_of, None),
            "retry_count": self._read("retries", int, 0),
            "next_retry_at": self._read("due", time_of, None) if state is JobState.RETRYING else None,
            "metadata": self._part("metadata"),
            "cost_usd": self._read("cost", int, 0) / MICRO,
        }
        return JobStatus(
            job_id=self._id,
            current_state=state,
            progress_message=f.get("note", ""),
            result=kept,
            user_id=f.get("user"),
            idempotency_key=f.get("key"),
            parent_id=f.get("parent"),
            error=self._error(),
            **told,
        )

    def dead_letter(self, failed_ms: float) -> DeadLetter:
        """What can be told of it."""
        retries, args = self._read("retries", int, 0), self._part("args")
        names = (self._text("task"), self._text("queue"))
        return DeadLetter(
            job_id=self._id,
            task_name=names[0],
            queue=names[1],
            args=args,
            error=self._error(),
            traceback=self._f.get("traceback", ""),
            retry_count=retries,
            failed_at=time_of(failed_ms),
            user_id=self._f.get("user"),
        )

    def _error(self) -> str:
        own = self._f.get("error")
        return f"DamagedJob: {'; '.join(self._wrong)}" + (f" (its own error was: {own})" if own else "")

    def _text(self, name: str) -> str:
        return self._read(name, str, "", needed=True)

    def _part(self, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = self._read("spec", lambda text: dict(read(text)), {}, needed=True)
        part = spec.get(name, {})
        return part if isinstance(part, dict) else {}

    def _value(self, stored: bytes | Exception) -> Any:
        if isinstance(stored, Exception):
            raise ValueError(str(stored))
        return read(stored)

    def _read(self, name: str, kind: Callable[[str], T], default: T, *, needed: bool = False) -> T:
        if name in self._f:
            return self._of(name, lambda: kind(self._f[name]), default)
        if needed and self._f:
            self._wrong.append(f"its {name} is missing")
        return default

    def _of(self, name: str, reading: Callable[[], T], default: T) -> T:
        try:
            return reading()
        except UNREADABLE as wrong:
            shown = self._f.get(name, "")[:_SHOWN]
            self._wrong.append(f"its {name} cannot be read" + (f": {shown!r}" if shown else "") + f" ({wrong!s:.100})")
            return default


def gpu_share(spec: bytes) -> float:
    """The share of a card that a job asks for, by its stored description; 0 where that cannot be read."""
    try:
        return float(from_json(spec).get("gpu", 0.0))
    except (ValueError, TypeError, AttributeError):
        return 0.0  # the worker that runs it says what is wrong


def write_cursor(place: tuple[float, str]) -> str:
    """A place in a listing (milliseconds, job id) as an opaque word."""
    return urlsafe_b64encode(f"{place[0]:.0f} {place[1]}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[float, str]:
    """What `write_cursor` wrote. Raises InvalidArguments."""
    try:
        milliseconds, _, job_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        return int(milliseconds), job_id
    except ValueError:
        raise InvalidArguments(f"{cursor[:80]!r} is not a cursor: give back the next_cursor of a page") from None
