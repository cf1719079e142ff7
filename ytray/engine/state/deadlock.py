"""A task that waits for other jobs keeps its slot. Where all slots of a queue are kept so, a wait for one has no end.

A flow keeps none, but what waits for a flow waits for what that awaits, which its runner says after a moment.

A task that has waited for a moment says so in Redis (`waits`), and looks now and then whether its wait can end. It
cannot when what it waits for needs a slot of a queue all of whose slots are held by tasks that cannot go on either.
With one slot that is known at once; with more, or with a flow in between (which may have set itself a timeout), it
must be so twice, for longer than a task that died is counted. Then the task that was submitted last is told, and its
slot lets the others go on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import redis
from pydantic_core import from_json, to_json

from ytray.engine.base.context import CurrentJob, running_job
from ytray.engine.base.model import ENDED, FLOW_LANE, JobState
from ytray.engine.base.names import NODE_WORD
from ytray.errors import Deadlock, SystemUnavailable
from ytray.settings import settings

if TYPE_CHECKING:
    from ytray.engine.state.link import Link

_FIRST, _EVERY = 0.2, 2.0  # seconds of waiting before the first look, and between looks
_FRESH = 6.0  # seconds for which a task counts as waiting after it said so
_FORGOTTEN = 60.0  # seconds after which what it said is removed
_LONGEST_TOLD = 1_000  # bytes: Redis keeps the hash of a job small while no value is longer (docs/redis.md)
_MOST = 100  # jobs that a task says it waits for: one that waits for all of more is judged by these
_ANSWER_WITHIN = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits, or a flow: where it holds its slot (a flow: "", nowhere), and for what."""

    queue: str
    worker: str
    ids: tuple[str, ...]
    needs_all: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands. `worker` is None while it has not been taken up; `awaited` is what a flow awaits now."""

    state: str
    queue: str
    worker: str | None
    takes_slot: bool
    awaited: tuple[str, ...] = ()


def deadlocked(
    waits: Mapping[str, Waiting], jobs: Mapping[str, Standing], slots: Mapping[str, int], drained: Collection[str]
) -> dict[str, tuple[str, str]]:
    """The waiting tasks that cannot go on, each with a job that they wait for and the queue that it is stuck in.

    Where what a task waits for is a flow, the job is one that the flow awaits.

    Args:
        waits: the tasks that wait now, by the job's id.
        jobs: those tasks, what they wait for, and what the flows among it await.
        slots: of each queue, over all nodes that take new work.
        drained: beginnings of the names of workers on drained nodes, whose slots are not among `slots`.
    """
    flows = {
        job_id: Waiting("", job.worker, job.awaited, needs_all=False)
        for job_id, job in jobs.items()
        if job.awaited and job.worker is not None
    }
    waits = {**waits, **flows}
    blocked = {
        job_id: ("", "")
        for job_id, wait in waits.items()
        if (job := jobs.get(job_id)) and job.state == JobState.EXECUTING and job.worker == wait.worker
    }
    while True:
        held = Counter(waits[job_id].queue for job_id in blocked if waits[job_id].worker[:NODE_WORD] not in drained)

        def stuck_in(job_id: str, held: Counter[str] = held, among: Collection[str] = tuple(blocked)) -> str:
            job = jobs.get(job_id)
            if job is None or job.state in ENDED:
                return ""
            if not job.takes_slot or (job.state == JobState.EXECUTING and job.worker is not None):
                return job.queue if job_id in among else ""
            return job.queue if 0 < slots.get(job.queue, 0) <= held[job.queue] else ""

        still = {}
        for waiter in blocked:
            found = [(job_id, stuck_in(job_id)) for job_id in waits[waiter].ids]
            stuck = [(job_id, queue) for job_id, queue in found if queue]
            if stuck and (waits[waiter].needs_all or len(stuck) == len(found)):
                still[waiter] = stuck[0]
        if len(still) == len(blocked):
            return {waiter: _behind_flows(still, flows, waiter) for waiter in still if waiter not in flows}
        blocked = still


def _behind_flows(still: Mapping[str, tuple[str, str]], flows: Collection[str], waiter: str) -> tuple[str, str]:
    """What a waiter is stuck for: where that is a flow, what the flow is stuck for."""
    seen = set()
    while (found := still[waiter])[0] in flows and found[0] not in seen:
        waiter = found[0]
        seen.add(waiter)
    return found


class Lookout:
    """Looks, for a task that waits, whether the wait can end.

    `what`: whether it waits for jobs ("j"), or batches ("b"), which need the jobs of all their items; `needs_all`:
    whether for all of the jobs, or for any.
    """

    def __init__(self, job: CurrentJob, where: Link, what: Literal["j", "b"], *, needs_all: bool) -> None:
        self._job = job
        self._where = where
        self._what = what
        self._needs_all = needs_all or what == "b"
        self._next = time.monotonic() + _FIRST
        self._suspected: float | None = None
        self._client: redis.Redis | None = None

    @classmethod
    def of_this_task(cls, where: Link, what: Literal["j", "b"] = "j", *, needs_all: bool) -> Lookout | None:
        """The lookout of the task that runs here; None outside of one, and where more slots may come by themselves."""
        job = running_job()
        if job is None or job.is_flow or job.store is None or settings().autoscale_most:
            return None
        return cls(job, where, what, needs_all=needs_all)

    @property
    def next_look(self) -> float:
        """When to look, as time.monotonic() counts."""
        return self._next

    def look(self, missing: Iterable[str]) -> None:
        """Look whether `missing` can end. Raises Deadlock."""
        self._next = time.monotonic() + _EVERY
        missing = tuple(missing)[:_MOST]
        try:
            if self._what == "b":
                missing = self._items_of(missing)
            found = self._look(missing)
        except (redis.RedisError, SystemUnavailable):
            return  # it is away, and so is the answer
        if found is None:
            self._suspected = None
            return
        job_id, queue, slots, is_alone = found
        is_alone = is_alone and job_id in missing
        self._suspected = self._suspected or time.monotonic()
        if is_alone or time.monotonic() - self._suspected > _FRESH:
            kept = "this task keeps its only slot" if slots == 1 else f"tasks that wait keep all of its {slots} slots"
            through = "" if job_id in missing else ", through a flow,"
            raise Deadlock(
                f"job {self._job.id} ({self._job.task_name}) waits{through} for job {job_id}, which cannot run "
                f"meanwhile: it needs a slot of queue {queue}, and {kept}. Make the waiting task a flow (@flow: it "
                f"waits without a slot), put job {job_id} on another queue, or give queue {queue} more slots "
                f"(YTRAY_SLOTS_{queue.upper()})"
            )

    def leave(self) -> None:
        """The wait is over."""
        if self._client is not None:
            with suppress(redis.RedisError):  # it is not counted for long
                self._client.hdel(self._where.key("waits"), self._job.id)
            self._client.connection_pool.disconnect()

    @property
    def _asked(self) -> redis.Redis:
        if self._client is None:
            self._client = self._where.quick_client(_ANSWER_WITHIN)
        return self._client

    def _items_of(self, batches: Iterable[str]) -> tuple[str, ...]:
        """Jobs that are in the making for the batches."""
        pipe = self._asked.pipeline(transaction=False)
        for batch in batches:
            pipe.srandmember(self._where.key(f"ba:{batch}"), _MOST)
        return tuple(job_id.decode() for jobs in pipe.execute() for job_id in jobs)[:_MOST]

    def _look(self, missing: tuple[str, ...]) -> tuple[str, str, int, bool] | None:
        key, own = self._where.key, self._job
        pipe = self._asked.pipeline(transaction=False)
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
        pipe = self._asked.pipeline(transaction=False)
        pipe.hset(key("waits"), own.id, to_json(known[own.id]))
        if old:
            pipe.hdel(key("waits"), *old)
        pipe.execute()
        jobs = self._standings({*waits, *(job_id for wait in waits.values() for job_id in wait.ids)})
        slots = {name.decode(): int(number) for name, number in offered.items()}
        drained = {node.decode()[:NODE_WORD] for node in drains}
        found = deadlocked(waits, jobs, slots, drained)
        if own.id not in found or own.id != max(found):
            return None
        job_id, stuck_in = found[own.id]
        is_alone = slots[stuck_in] == 1 and waits[own.id].queue == stuck_in
        return job_id, stuck_in, slots[stuck_in], is_alone

    def _standings(self, ids: set[str]) -> dict[str, Standing]:
        """Where the jobs stand, and what flows among them await, and flows among that."""
        jobs: dict[str, Standing] = {}
        while ids:
            asked, pipe = sorted(ids), self._asked.pipeline(transaction=False)
            for job_id in asked:
                pipe.hmget(self._where.key(f"j:{job_id}"), "state", "queue", "worker", "lane", "fence", "awaited")
            found = {job_id: _standing(job_id, *fields) for job_id, fields in zip(asked, pipe.execute(), strict=True)}
            jobs |= found
            ids = {job_id for job in found.values() for job_id in job.awaited} - jobs.keys()
        return jobs


def told_ids(flow: str, fence: int, ids: Sequence[str]) -> str:
    """What a flow's runner keeps with the flow for those who wait for it: what the attempt with that fence awaits.

    Of its own steps it keeps what follows the flow's id. Nothing where that takes too much.
    """
    own = len(flow)
    told = to_json([fence, [job_id[own:] if job_id.startswith(f"{flow}.") else job_id for job_id in ids]])
    return told.decode() if len(told) <= _LONGEST_TOLD else ""


def _standing(
    job_id: str,
    state: bytes | None,
    queue: bytes | None,
    worker: bytes | None,
    lane: bytes | None,
    fence: bytes | None,
    told: bytes | None,
) -> Standing:
    takes_slot = lane not in (FLOW_LANE.encode(), b"~elsewhere")
    awaited: tuple[str, ...] = ()
    if not takes_slot and told and state == JobState.EXECUTING.encode():
        of, ids = from_json(told)
        if fence is not None and of == int(fence):
            awaited = tuple(f"{job_id}{step}" if step.startswith(".") else step for step in ids)
    return Standing(
        (state or b"").decode(),
        (queue or b"").decode(),
        None if worker is None else worker.decode(),
        takes_slot,
        awaited,
    )
