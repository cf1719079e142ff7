"""What Redis holds of a job, read into what users are told of it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from pydantic_core import from_json

from ytray.engine.model import MICRO, QUEUE_PRIORITIES, DeadLetter, JobState, JobStatus, Transition, time_of
from ytray.errors import InvalidArguments, UnknownJob


def unknown_job(job_id: str) -> UnknownJob:
    """The error for an id that no job has."""
    return UnknownJob(f"no job {job_id}: it never existed, or its history has been cleaned up")


def read_transition(entry: bytes) -> Transition:
    """One entry of the list `h:<id>`: "FROM TO at-ms {metadata}"."""
    source, to, at, metadata = entry.decode().split(" ", 3)
    return Transition(
        from_state=JobState(source), to_state=JobState(to), at=time_of(at), metadata=from_json(metadata) or {}
    )


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


def waits_for_slot(stored: dict[bytes, bytes]) -> bool:
    """Whether a job, as the hash `j:<id>` has it, waits for a slot. (Flows do not, nor does what runs elsewhere.)"""
    return stored.get(b"state") == b"QUEUED" and b"lane" not in stored


def read_status(job_id: str, stored: dict[bytes, bytes], result: bytes | None, waiting: str = "") -> JobStatus:
    """The hash `j:<id>` and the string `r:<id>`; `waiting`: why it does not start. Raises UnknownJob without a hash."""
    if not stored:
        raise unknown_job(job_id)
    f = {name.decode(): value.decode() for name, value in stored.items()}
    state = JobState(f["state"])
    due = time_of(f["due"]) if "due" in f and state is JobState.RETRYING else None
    return JobStatus(
        job_id=job_id,
        task_name=f["task"],
        queue=f["queue"],
        priority=int(f["prio"]),
        current_state=state,
        progress=100.0 if state is JobState.COMPLETED else float(f.get("progress", 0)),
        progress_message=waiting or f.get("note", "") or (f.get("awaits", "") if state is JobState.EXECUTING else ""),
        created_at=time_of(f["created"]),
        started_at=time_of(f["started"]) if "started" in f else None,
        completed_at=time_of(f["ended"]) if "ended" in f else None,
        error=None if state is JobState.COMPLETED else f.get("error"),  # its history keeps those of its attempts
        result=from_json(result) if result is not None else None,
        retry_count=int(f.get("retries", 0)),
        next_retry_at=due,
        user_id=f.get("user"),
        metadata=from_json(f["spec"]).get("metadata", {}),
        idempotency_key=f.get("key"),
        parent_id=f.get("parent"),
        cost_usd=int(f.get("cost", 0)) / MICRO,
    )


def read_dead_letter(job_id: str, failed_ms: float, stored: dict[bytes, bytes]) -> DeadLetter:
    """The hash `j:<id>` and the score in `dlq` of a job in the dead-letter queue."""
    f = {name.decode(): value.decode() for name, value in stored.items()}
    return DeadLetter(
        job_id=job_id,
        task_name=f["task"],
        queue=f["queue"],
        args=from_json(f["spec"]).get("args", {}),
        error=f.get("error", ""),
        traceback=f.get("traceback", ""),
        retry_count=int(f.get("retries", 0)),
        failed_at=time_of(failed_ms),
        user_id=f.get("user"),
    )


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
