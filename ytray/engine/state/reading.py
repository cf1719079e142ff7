"""What is read of the store: jobs, their histories, listings, the dead-letter queue. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import redis

from ytray.engine.base.model import QUEUE_PRIORITIES, DeadLetter, JobState, JobStatus, Transition
from ytray.engine.state.link import Link, ask
from ytray.engine.state.records import (
    Stored,
    not_dead,
    queue_in,
    read_dead_letter,
    read_history,
    read_state,
    read_status,
    unknown_job,
    waits_for_slot,
    why_waiting,
)
from ytray.engine.state.waiting import Ending, ending_of_fields
from ytray.errors import DamagedJob

_SHOWN_AT_ONCE = 50  # jobs whose specs Redis looks through in one go
_SIZED_AT_ONCE = 200  # jobs
_LISTING_READS = 40  # pages of an index that one listing may read through when a filter matches little

Place = tuple[float, str]  # of a job in a listing: when it was created (ms), and its id


def milliseconds(told: tuple[int, int]) -> int:
    """The reply to TIME in milliseconds."""
    return told[0] * 1000 + told[1] // 1000


class Reading(Link):
    """The reading half of the store. Times are in milliseconds, as they are stored."""

    def now_ms(self) -> int:
        """The time by the clock that all moves go by, that of Redis."""
        return milliseconds(self.redis.time())

    def status(self, job_id: str) -> JobStatus:
        """All about one job. Raises UnknownJob."""
        commands = (("HGETALL", self.key(f"j:{job_id}")), ("GET", self.key(f"r:{job_id}")))
        try:
            with self._held_connection() as connection:
                fields, result = _whatever_type(ask(connection, *commands))
        except (redis.ConnectionError, redis.TimeoutError):
            return self.statuses([job_id])[0]
        stored = dict(zip(fields[::2], fields[1::2], strict=True)) if isinstance(fields, list) else fields
        waiting = self._why_waiting().get(queue_in(stored), "") if waits_for_slot(stored) else ""
        return read_status(job_id, stored, result, waiting)

    def statuses(self, ids: Sequence[str]) -> list[JobStatus]:
        """The status of each id, in one round trip. Raises UnknownJob."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.hgetall(self.key(f"j:{job_id}"))
            pipe.get(self.key(f"r:{job_id}"))
        replies = _whatever_type(pipe.execute(raise_on_error=False))
        return self._told(ids, replies[::2], replies[1::2])

    def fields(self, job_id: str, *names: str) -> list[bytes | None]:
        """Some fields of a job as they are stored. Raises UnknownJob, DamagedJob."""
        with _of_job(job_id):
            values = cast("list[bytes | None]", self.redis.hmget(self.key(f"j:{job_id}"), ["state", *names]))
        if values[0] is None:
            raise unknown_job(job_id)
        return values[1:]

    def owners(self, ids: Sequence[str]) -> list[str | None]:
        """Whose job each is, in one round trip. Raises UnknownJob, DamagedJob."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(self.key(f"j:{job_id}"), "state", "user")
        found = []
        for job_id, reply in zip(ids, _whatever_type(pipe.execute(raise_on_error=False)), strict=True):
            if isinstance(reply, Exception):
                raise DamagedJob(f"job {job_id} was written over by somebody: nobody knows whose it is")
            state, user = reply
            if state is None:
                raise unknown_job(job_id)
            found.append(user.decode() if user else None)
        return found

    def result(self, job_id: str) -> bytes | None:
        """The stored result as JSON, or None when there is none (any more). Raises DamagedJob."""
        with _of_job(job_id):
            return cast("bytes | None", self.redis.get(self.key(f"r:{job_id}")))

    def ending(self, job_id: str, state: JobState) -> Ending:
        """What came of a job that ended in that state. Raises UnknownJob."""
        if state is JobState.COMPLETED:
            return Ending(job_id, state, self.result(job_id))
        error, traceback, retries = self.fields(job_id, "error", "traceback", "retries")
        return ending_of_fields(job_id, state, error, traceback, retries)

    def checkpoint(self, job_id: str) -> bytes | None:
        """The stored checkpoint as JSON, or None. Raises DamagedJob."""
        with _of_job(job_id):
            return cast("bytes | None", self.redis.get(self.key(f"c:{job_id}")))

    def history(self, job_id: str) -> list[Transition]:
        """Every move of the job, oldest first. Raises UnknownJob, DamagedJob when somebody wrote over it."""
        with _of_job(job_id):
            entries = cast("list[bytes]", self.redis.lrange(self.key(f"h:{job_id}"), 0, -1))
        if not entries:
            self.fields(job_id)
        return read_history(entries)

    def children(self, job_id: str) -> list[JobStatus]:
        """The jobs that a flow has submitted and that are still there, oldest first. Raises DamagedJob."""
        with _of_job(job_id):
            kids = cast("set[bytes]", self.redis.smembers(self.key(f"k:{job_id}")))
        found = self._present(sorted(kid.decode(errors="replace") for kid in kids), results=True)
        return sorted((status for status in found if status is not None), key=lambda status: status.created_at)

    def indexed(self, names: Sequence[str], limit: int, before: Place | None = None) -> list[Place]:
        """The newest jobs in any of the listings `names`, newest first."""
        created, job_id = before or ("", "")
        pages = cast("list[list[bytes]]", self.call("page", limit, created, job_id, *names))
        rows: set[Place] = {
            (int(page[i + 1]), page[i].decode(errors="replace")) for page in pages for i in range(0, len(page), 2)
        }
        return sorted(rows, reverse=True)[:limit]

    def list_jobs(
        self,
        *,
        state: JobState | None = None,
        task_name: str | None = None,
        queue: str | None = None,
        user_id: str | None = None,
        limit: int = 100,
        before: Place | None = None,
        results: bool = True,
    ) -> tuple[list[JobStatus], Place | None]:
        """The newest jobs that match all the filters, newest first, and where to go on; None: there are no more.

        A filter that matches little may give fewer than `limit` jobs and still a place to go on from.
        """
        if user_id is not None:
            names = [f"user:{user_id}"]
        elif task_name is not None and state is None:
            names = [f"task:{task_name}"]
        else:
            queues = [queue] if queue else list(QUEUE_PRIORITIES)
            names = [f"in:{q}:{s}" for q in queues for s in ([state] if state else JobState)]
        found: list[JobStatus] = []
        for _ in range(_LISTING_READS):
            rows = self.indexed(names, max(limit, 100), before)
            statuses = self._present([job_id for _, job_id in rows], results=results)
            for place, status in zip(rows, statuses, strict=True):
                before = place
                if (
                    status is not None
                    and (state is None or status.current_state is state)
                    and (task_name is None or status.task_name == task_name)
                    and (queue is None or status.queue == queue)
                ):
                    found.append(status)
                    if len(found) == limit:
                        return found, before
            if len(rows) < max(limit, 100):
                return found, None
        return found, before

    def _present(self, ids: Sequence[str], *, results: bool) -> list[JobStatus | None]:
        """The status of each id; None for one that is gone: a listing may race with a clean-up."""
        stored: list[Stored] = []
        for start in range(0, len(ids), _SHOWN_AT_ONCE):
            for shown in _whatever_type(self.call("shown", *ids[start : start + _SHOWN_AT_ONCE])):
                is_there = isinstance(shown, list)
                stored.append(dict(zip(shown[::2], shown[1::2], strict=True)) if is_there else shown)
        pipe = self.redis.pipeline(transaction=False)
        for job_id in ids if results else ():
            pipe.get(self.key(f"r:{job_id}"))
        outcomes = _whatever_type(pipe.execute(raise_on_error=False)) if results else [None] * len(ids)
        there = [place for place, fields in enumerate(stored) if fields]
        told = self._told(
            [ids[place] for place in there], [stored[place] for place in there], [outcomes[place] for place in there]
        )
        found: list[JobStatus | None] = [None] * len(ids)
        for place, status in zip(there, told, strict=True):
            found[place] = status
        return found

    def _told(
        self, ids: Sequence[str], stored: Sequence[Stored], results: Sequence[bytes | Exception | None]
    ) -> list[JobStatus]:
        reasons = self._why_waiting() if any(waits_for_slot(fields) for fields in stored) else {}
        return [
            read_status(job_id, fields, result, reasons.get(queue_in(fields), "") if waits_for_slot(fields) else "")
            for job_id, fields, result in zip(ids, stored, results, strict=True)
        ]

    def _why_waiting(self) -> dict[str, str]:
        """By queue, why its jobs do not start, where there is more to it than that others are before them."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.hgetall(self.key("slots"))
        pipe.smembers(self.key("paused"))
        pipe.exists(self.key("at_work"))
        slots, paused, is_at_work = _whatever_type(pipe.execute(raise_on_error=False))
        if isinstance(slots, Exception) or isinstance(paused, Exception):
            return {}  # somebody wrote over them; that is no reason to tell nothing of the jobs
        return why_waiting(slots, paused, is_at_work=bool(is_at_work))

    def dead_letters(self, ids: Sequence[str] | None = None) -> list[DeadLetter]:
        """The dead-letter queue, oldest first, or those of its jobs that are named. Raises UnknownJob."""
        if ids is None:
            rows = cast("list[tuple[bytes, float]]", self.redis.zrange(self.key("dlq"), 0, -1, withscores=True))
            return self.dead_letters_at([(score, job_id.decode(errors="replace")) for job_id, score in rows])
        scores = cast("list[float | None]", self.redis.zmscore(self.key("dlq"), list(ids)) if ids else [])
        entries = []
        for job_id, score in zip(ids, scores, strict=True):
            if score is None:
                raise not_dead(job_id)
            entries.append((score, job_id))
        return self.dead_letters_at(entries)

    def dead_letters_after(self, after: Place | None, limit: int) -> list[DeadLetter]:
        """The next `limit` jobs of the dead-letter queue after a place in it (failed at ms, id), oldest first."""
        return self.dead_letters_at(self.dead_places_after(after, limit))

    def dead_places_after(self, after: Place | None, limit: int) -> list[Place]:
        """The places of the same."""
        start, reach = ("-inf" if after is None else after[0]), limit
        while True:
            rows = cast(
                "list[tuple[bytes, float]]",
                self.redis.zrangebyscore(self.key("dlq"), start, "+inf", start=0, num=reach, withscores=True),
            )
            entries = [(score, job_id.decode(errors="replace")) for job_id, score in rows]
            following = [entry for entry in entries if after is None or entry > after]
            if len(following) >= limit or len(rows) < reach:
                return following[:limit]
            reach *= 2  # many failed in the very millisecond of the last one seen

    def owners_and_sizes(self, ids: Sequence[str]) -> list[tuple[str | None, int]]:
        """Whose job each is, and how many bytes are stored of its arguments."""
        found: list[tuple[str | None, int]] = []
        for start in range(0, len(ids), _SIZED_AT_ONCE):
            told = self.call("sizes", *ids[start : start + _SIZED_AT_ONCE])
            users = (user.decode(errors="replace") or None for user in told[::2])
            found += zip(users, told[1::2], strict=True)
        return found

    def dead_letters_at(self, entries: Sequence[Place]) -> list[DeadLetter]:
        """The jobs at these places of the dead-letter queue."""
        pipe = self.redis.pipeline(transaction=False)
        for _, job_id in entries:
            pipe.hgetall(self.key(f"j:{job_id}"))
        found = _whatever_type(pipe.execute(raise_on_error=False))
        return [
            read_dead_letter(job_id, failed, fields) for (failed, job_id), fields in zip(entries, found, strict=True)
        ]

    def state(self, job_id: str) -> JobState:
        """The job's state now. Raises UnknownJob."""
        try:
            with _of_job(job_id):
                state = cast("bytes | None", self.redis.hget(self.key(f"j:{job_id}"), "state"))
        except DamagedJob:
            return JobState.FAILED
        if state is None:
            raise unknown_job(job_id)
        return read_state(state)

    def states(self, ids: Sequence[str]) -> list[JobState | None]:
        """The state of each id now, None for one that does not exist."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.hget(self.key(f"j:{job_id}"), "state")
        found = _whatever_type(pipe.execute(raise_on_error=False))
        return [
            None if state is None else read_state(b"" if isinstance(state, Exception) else state) for state in found
        ]


def _whatever_type(replies: list[Any]) -> list[Any]:
    """Replies, with the refusals of keys that somebody wrote over among them. Raises what else was refused."""
    for reply in replies:
        if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
            raise reply
    return replies


@contextmanager
def _of_job(job_id: str) -> Iterator[None]:
    """Say whose key it is that somebody wrote over."""
    try:
        yield
    except redis.ResponseError as refused:
        if "WRONGTYPE" not in str(refused):
            raise
        raise DamagedJob(f"a key of job {job_id} was written over by somebody, so it cannot be read") from None
