"""A task that waits for other jobs keeps its slot. Where all slots of a queue are kept so, a wait for one has no end.

A task that has waited for a moment says so in Redis (`waits`), and looks now and then whether its wait can end. It
cannot when what it waits for needs a slot of a queue all of whose slots are held by tasks that cannot go on either.
With one slot that is known at once; with more it must be so twice, for longer than a task that died is counted. Then
the task that was submitted last is told, and its slot lets the others go on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis
from pydantic_core import from_json, to_json

from ytray.engine.capacity import NODE_WORD
from ytray.engine.context import CurrentJob, running_job
from ytray.engine.model import ENDED, FLOW_LANE, JobState
from ytray.errors import Deadlock, SystemUnavailable
from ytray.settings import settings

if TYPE_CHECKING:
    from ytray.engine.link import Link

_FIRST, _EVERY = 0.2, 2.0  # seconds of waiting before the first look, and between looks
_FRESH = 6.0  # seconds for which a task counts as waiting after it said so
_FORGOTTEN = 60.0  # seconds after which what it said is removed
_MOST = 100  # jobs that a task says it waits for: one that waits for all of more is judged by these
_ANSWER_WITHIN = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits: where it holds its slot, and for what."""

    queue: str
    worker: str
    ids: tuple[str, ...]
    needs_all: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands. `worker` is None while it has not been taken up."""

    state: str
    queue: str
    worker: str | None
    takes_slot: bool


def deadlocked(
    waits: Mapping[str, Waiting], jobs: Mapping[str, Standing], slots: Mapping[str, int], drained: Collection[str]
) -> dict[str, tuple[str, str]]:
    """The waiting tasks that cannot go on, each with a job that it waits for and the queue that it is stuck in.

    Args:
        waits: the tasks that wait now, by the job's id.
        jobs: those tasks, and what they wait for.
        slots: of each queue, over all nodes that take new work.
        drained: beginnings of the names of workers on drained nodes, whose slots are not among `slots`.
    """
    blocked = {
        job_id: ("", "")
        for job_id, wait in waits.items()
        if (job := jobs.get(job_id)) and job.state == JobState.EXECUTING and job.worker == wait.worker
    }
    while True:
        held = Counter(waits[job_id].queue for job_id in blocked if waits[job_id].worker[:NODE_WORD] not in drained)

        def stuck_in(job_id: str, held: Counter[str] = held, among: Collection[str] = tuple(blocked)) -> str:
            job = jobs.get(job_id)
            if job is None or job.state in ENDED or not job.takes_slot:
                return ""
            if job.state == JobState.EXECUTING and job.worker is not None:
                return job.queue if job_id in among else ""
            return job.queue if 0 < slots.get(job.queue, 0) <= held[job.queue] else ""

        still = {}
        for waiter in blocked:
            found = [(job_id, stuck_in(job_id)) for job_id in waits[waiter].ids]
            stuck = [(job_id, queue) for job_id, queue in found if queue]
            if stuck and (waits[waiter].needs_all or len(stuck) == len(found)):
                still[waiter] = stuck[0]
        if len(still) == len(blocked):
            return still
        blocked = still


class Lookout:
    """Looks, for a task that waits, whether the wait can end.

    `needs_all`: whether the task waits for all of the jobs, or for any.
    """

    def __init__(self, job: CurrentJob, where: Link, *, needs_all: bool) -> None:
        self._job = job
        self._where = where
        self._needs_all = needs_all
        self._next = time.monotonic() + _FIRST
        self._suspected: float | None = None
        self._client: redis.Redis | None = None

    @classmethod
    def of_this_task(cls, where: Link, *, needs_all: bool) -> Lookout | None:
        """The lookout of the task that runs here; None outside of one, and where more slots may come by themselves."""
        job = running_job()
        if job is None or job.is_flow or job.store is None or settings().autoscale_most:
            return None
        return cls(job, where, needs_all=needs_all)

    @property
    def next_look(self) -> float:
        """When to look, as time.monotonic() counts."""
        return self._next

    def look(self, missing: Iterable[str]) -> None:
        """Look whether `missing` can end. Raises Deadlock."""
        self._next = time.monotonic() + _EVERY
        try:
            found = self._look(tuple(missing)[:_MOST])
        except (redis.RedisError, SystemUnavailable):
            return  # it is away, and so is the answer
        if found is None:
            self._suspected = None
            return
        job_id, queue, slots, is_alone = found
        self._suspected = self._suspected or time.monotonic()
        if is_alone or time.monotonic() - self._suspected > _FRESH:
            kept = "this task keeps its only slot" if slots == 1 else f"tasks that wait keep all of its {slots} slots"
            raise Deadlock(
                f"job {self._job.id} ({self._job.task_name}) waits for job {job_id}, which cannot run meanwhile: it "
                f"needs a slot of queue {queue}, and {kept}. Make the waiting task a flow (@flow: it waits without a "
                f"slot), put job {job_id} on another queue, or give queue {queue} more slots "
                f"(YTRAY_SLOTS_{queue.upper()})"
            )

    def leave(self) -> None:
        """The wait is over."""
        if self._client is not None:
            with suppress(redis.RedisError):  # it is not counted for long
                self._client.hdel(self._where.key("waits"), self._job.id)
            self._client.connection_pool.disconnect()

    def _look(self, missing: tuple[str, ...]) -> tuple[str, str, int, bool] | None:
        if self._client is None:
            self._client = self._where.quick_client(_ANSWER_WITHIN)
        key, own = self._where.key, self._job
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        pipe.hgetall(key("waits"))
        pipe.hgetall(key("slots"))
        pipe.hgetall(key("drains"))
        pipe.hget(key(f"j:{own.id}"), "queue")
        (seconds, micros), said, offered, drains, queue = pipe.execute()
        now = seconds + micros / 1e6
        if queue is None or not missing:
            return None
        known = {name.decode(): from_json(entry) for name, entry in said.items()}
        known[own.id] = {
            "queue": queue.decode(),
            "worker": own.worker,
            "ids": missing,
            "needs_all": self._needs_all,
            "at": now,
        }
        old = [name for name, entry in known.items() if now - entry["at"] > _FORGOTTEN]
        waits = {
            name: Waiting(entry["queue"], entry["worker"], tuple(entry["ids"]), entry["needs_all"])
            for name, entry in known.items()
            if now - entry["at"] <= _FRESH
        }
        pipe = self._client.pipeline(transaction=False)
        pipe.hset(key("waits"), own.id, to_json(known[own.id]))
        if old:
            pipe.hdel(key("waits"), *old)
        ids = sorted({*waits, *(job_id for wait in waits.values() for job_id in wait.ids)})
        for job_id in ids:
            pipe.hmget(key(f"j:{job_id}"), "state", "queue", "worker", "lane")
        jobs = {
            job_id: _standing(fields)
            for job_id, fields in zip(ids, pipe.execute()[-len(ids) :], strict=True)
            if fields[0] is not None
        }
        slots = {name.decode(): int(number) for name, number in offered.items()}
        drained = {node.decode()[:NODE_WORD] for node in drains}
        found = deadlocked(waits, jobs, slots, drained)
        if own.id not in found or own.id != max(found):
            return None
        job_id, stuck_in = found[own.id]
        is_alone = slots[stuck_in] == 1 and waits[own.id].queue == stuck_in
        return job_id, stuck_in, slots[stuck_in], is_alone


def _standing(fields: list[Any]) -> Standing:
    state, queue, worker, lane = (None if value is None else value.decode() for value in fields)
    return Standing(state or "", queue or "", worker, lane not in (FLOW_LANE, "~elsewhere"))
