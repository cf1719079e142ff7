"""Telling flows when the jobs that they await have ended, and people what a flow waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis
import redis.asyncio

from ytray.engine.base import logs
from ytray.engine.base.context import CurrentJob, running_job
from ytray.engine.base.model import JobState
from ytray.engine.state.deadlock import told_ids
from ytray.engine.state.records import why_waiting
from ytray.engine.state.store import Store
from ytray.errors import DamagedJob, SystemUnavailable, UnknownJob
from ytray.system.redis_address import url_now

_SWEEP_EVERY = 2.0  # seconds between looks at awaited jobs, for those that no message tells of
_WORTH_TELLING = 2.0  # seconds: what a flow has awaited for so long, its status tells

T = TypeVar("T")
Attempt = tuple[str, int]  # id and fence of a flow

_log = logs.get("ytray.flows")


@dataclass(eq=False, slots=True)
class _Waiting:
    """A coroutine of a flow that awaits a job."""

    flow: CurrentJob | None
    future: asyncio.Future[JobState]
    since: float = field(default_factory=time.monotonic)


class Endings:
    """Tells coroutines when jobs have ended, over one connection for all of them.

    `threads` are for what the loop must not wait for.
    """

    def __init__(self, store: Store, worker: str, threads: Executor) -> None:
        self._store = store
        self._worker = worker
        self._threads = threads
        self._waiting: dict[str, list[_Waiting]] = {}
        self._told: dict[Attempt, tuple[str, str]] = {}  # what is kept with flows: for people, and `told_ids`
        self._channels = store.key("done:")

    async def wait_for(self, job_id: str) -> JobState:
        """The state in which the job ended, once it has. Raises UnknownJob, also when it is deleted meanwhile."""
        own = _Waiting(running_job(), asyncio.get_running_loop().create_future())
        self._waiting.setdefault(job_id, []).append(own)
        try:
            # Registered first, so that an end between this look and the wait is not missed.
            state = self._store.state(job_id)
            return state if state.has_ended else await own.future
        finally:
            self._waiting[job_id].remove(own)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def listen(self) -> None:
        """Hand on what Redis tells; runs for as long as the loop does, with a new connection whenever one breaks."""
        while True:
            try:
                url = await self._beside(url_now, self._store.redis_url)
                async with redis.asyncio.from_url(url, health_check_interval=5) as connection:
                    await self._listen_on(connection.pubsub())
            except (redis.RedisError, SystemUnavailable, OSError) as lost:
                _log.warning("listening anew", error=str(lost))
                await asyncio.sleep(0.2)

    async def _listen_on(self, pubsub: redis.asyncio.client.PubSub) -> None:
        # The ids of steps hold a dot: "<flow>.<digest>". Any other job that a flow may await is found by the sweep.
        await pubsub.psubscribe(f"{self._channels}*.*")
        swept = float("-inf")
        while True:
            if time.monotonic() - swept > _SWEEP_EVERY:
                await self._sweep()
                swept = time.monotonic()
            message = await pubsub.get_message(timeout=1.0)
            if message is not None and message["type"] == "pmessage":
                self._tell(message["channel"].decode().removeprefix(self._channels), JobState(message["data"].decode()))

    async def _sweep(self) -> None:
        ids = list(self._waiting)
        states = await self._beside(self._store.states, ids)
        for job_id, state in zip(ids, states, strict=True):
            if state is None:
                self._tell_gone(job_id)
            elif state.has_ended:
                self._tell(job_id, state)
        await self._beside(self._say_what_is_awaited, self._awaited_for_long())

    async def _beside(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def _tell(self, job_id: str, state: JobState) -> None:
        for waiting in self._waiting.get(job_id, ()):
            if not waiting.future.done():
                waiting.future.set_result(state)

    def _tell_gone(self, job_id: str) -> None:
        gone = f"job {job_id}, which the flow awaits, is gone: it was deleted; replay the flow to have it done again"
        for waiting in self._waiting.get(job_id, ()):
            if not waiting.future.done():
                waiting.future.set_exception(UnknownJob(gone))

    def _awaited_for_long(self) -> dict[Attempt, list[str]]:
        since = time.monotonic() - _WORTH_TELLING
        awaited: dict[Attempt, list[str]] = {}
        for job_id, all_waiting in self._waiting.items():
            for waiting in all_waiting:
                if waiting.flow is not None and waiting.since < since:
                    awaited.setdefault((waiting.flow.id, waiting.flow.fence), []).append(job_id)
        return awaited

    def _say_what_is_awaited(self, awaited: dict[Attempt, list[str]]) -> None:
        """Keep with each flow what it waits for, where that has changed."""
        firsts = {flow: ids[0] for flow, ids in awaited.items()}
        described = self._describe(list(set(firsts.values()))) if firsts else {}
        told = {}
        for flow, first in firsts.items():
            more = len(awaited[flow]) - 1
            text = f"waits for {described[first]}" + (f" and {more} more" if more else "")
            told[flow] = text, told_ids(*flow, awaited[flow])
        for flow in told.keys() | self._told.keys():
            if (now := told.get(flow, ("", ""))) != self._told.get(flow):
                with suppress(UnknownJob, DamagedJob):  # deleted, or written over: the others are told
                    self._store.note(flow, self._worker, "awaits", *now)
        self._told = told

    def _describe(self, ids: list[str]) -> dict[str, str]:
        where = self._store
        pipe = where.redis.pipeline(transaction=False)
        pipe.hgetall(where.key("slots"))
        pipe.smembers(where.key("paused"))
        pipe.exists(where.key("at_work"))
        for job_id in ids:
            pipe.hmget(where.key(f"j:{job_id}"), ["state", "task", "queue", "lane"])
        slots, paused, is_at_work, *stored = pipe.execute()
        reasons = why_waiting(slots, paused, is_at_work=bool(is_at_work))
        described = {}
        for job_id, (state, task, queue, lane) in zip(ids, stored, strict=True):
            why = reasons.get((queue or b"").decode(), "") if state == b"QUEUED" and lane is None else ""
            words = (state or b"gone").decode() + (f": {why}" if why else "")
            described[job_id] = f"{(task or b'job').decode()} {job_id} ({words})"
        return described
