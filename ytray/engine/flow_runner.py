"""The detached FlowRunner actor: flows run in it as coroutines, as many at a time as there are, and hold no slot.

What happens when it dies: Ray restarts it, it takes office in Redis, and every flow starts again from its beginning;
each step that was submitted before is found by its id, with its result when it has ended, instead of done again.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import traceback
import uuid
from typing import Any

import redis.asyncio
from pydantic_core import from_json

from ytray.engine import logs, tracing
from ytray.engine.capacity import here
from ytray.engine.code import resolve
from ytray.engine.context import CurrentJob, enter_job
from ytray.engine.link import Deposed
from ytray.engine.model import FLOW_LANE, JobState
from ytray.engine.store import Claimed, LaneRoom, Store
from ytray.engine.task import Task
from ytray.engine.worker import unpack_setup
from ytray.errors import JobCancelled, JobFailed, RetryLater, SystemUnavailable
from ytray.settings import settings
from ytray.system.redis_address import url_now

_MOST_CLAIMED = 100  # flows in one claim
_SWEEP_EVERY = 2.0  # seconds between looks at awaited jobs, for those that no message tells of
_ERROR_LIMIT, _TRACEBACK_LIMIT = 2_000, 16_000  # characters

_log = logs.get("ytray.flows")


class FlowRunner:
    """Runs the flows of one ytray system. Started by `ytray.connect()`."""

    def __init__(self, setup: bytes) -> None:
        self._store = unpack_setup(setup)
        self._name = f"flows:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self._running: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._lease_ms = round(settings().lease_seconds * 1000)
        threading.Thread(target=self._work, name="ytray-flows", daemon=True).start()

    def report(self) -> dict[str, Any]:
        """Who is in office, and how many flows it runs: for the doctor and for tests."""
        return {"pid": os.getpid(), "node": here(), "epoch": self._name, "running": len(self._running)}

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        except Deposed:
            _log.info("another flow runner is in office; this one ends")
        except BaseException:
            _log.exception("the flow runner stops and is restarted by Ray")
        os._exit(1)

    async def _serve(self) -> None:
        self._endings = Endings(self._store)
        listening = asyncio.create_task(self._endings.listen())
        self._store.take_office("flows", self._name, settings().result_ttl)
        next_beat = 0.0
        while not listening.done():
            try:
                self._claim()
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + self._lease_ms / 3000
                    held = [(job_id, fence) for job_id, (fence, _) in self._running.items()]
                    for job_id in self._store.beat("flows", self._name, self._lease_ms, held):
                        self._stop(job_id)
                order = await asyncio.to_thread(
                    self._store.blocking_pop,
                    [f"ctl:{self._name}", "wake:flows"],
                    max(0.01, min(1.0, next_beat - time.monotonic())),
                )
                if order is not None and order.startswith(b"cancel "):
                    self._stop(order.decode().removeprefix("cancel "))
            except SystemUnavailable as away:
                _log.warning("Redis is away", error=str(away))
        listening.result()

    def _claim(self) -> None:
        room = LaneRoom(FLOW_LANE, 0, _MOST_CLAIMED)
        while True:
            (claimed,) = self._store.claim("flows", self._name, self._lease_ms, [room], worker=self._name)
            for flow in claimed:
                running = asyncio.create_task(self._run(flow))
                self._running[flow.job_id] = (flow.fence, running)
            if len(claimed) < _MOST_CLAIMED:
                return

    def _stop(self, job_id: str) -> None:
        held = self._running.pop(job_id, None)
        if held is not None:
            held[1].cancel()

    async def _run(self, flow: Claimed) -> None:
        started = time.perf_counter()
        job = CurrentJob(
            flow.job_id,
            flow.task,
            flow.retries + 1,
            flow.fence,
            flow.user or None,
            self._name,
            self._store,
            flow.generation,
            self._endings.wait_for,
        )
        enter_job(job)
        task: Task[..., Any] | None = None
        try:
            spec = from_json(flow.spec)
            task = resolve(spec["code"], self._store)
            arguments = task.signature.decode(spec["args"])
            with tracing.execution(task.name, job.id, job.attempt, spec.get("trace"), flow.queued_ms * 1_000_000):
                value = await task.function(**arguments)
            result = task.signature.encode_result(value, settings().max_payload)
            milliseconds = (time.perf_counter() - started) * 1000
            self._store.complete(self._name, settings().result_ttl, [(job.id, job.fence, result, milliseconds)])
        except asyncio.CancelledError:
            _log.info("flow stopped: it was cancelled")
        except Exception as error:
            self._fail(job, error, started, task)
        finally:
            self._running.pop(flow.job_id, None)

    def _fail(self, job: CurrentJob, error: Exception, started: float, task: Task[..., Any] | None) -> None:
        # A step has used up its own retries: the flow has nothing to gain from one.
        final = task is None or isinstance(error, (JobFailed, JobCancelled))
        delay = None if final or task is None else task.retry.delay_after(error, job.attempt - 1)
        what = "dead" if delay is None else "retry"
        if isinstance(error, RetryLater):
            what, delay = "defer", error.seconds
        self._store.fail(
            (job.id, job.fence),
            self._name,
            what,
            f"{type(error).__name__}: {error}"[:_ERROR_LIMIT],
            "".join(traceback.format_exception(error))[-_TRACEBACK_LIMIT:],
            delay_ms=round((delay or 0) * 1000),
            duration_ms=(time.perf_counter() - started) * 1000,
            result_ttl=settings().result_ttl,
        )
        _log.warning("flow failed", outcome=what, error=repr(error))


class Endings:
    """Tells coroutines when jobs have ended, over one connection for all of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, list[asyncio.Future[JobState]]] = {}
        self._channels = store.key("done:")

    async def wait_for(self, job_id: str) -> JobState:
        """The state in which the job ended, once it has. Raises UnknownJob."""
        future: asyncio.Future[JobState] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, []).append(future)
        try:
            # Registered first, so that an end between this look and the wait is not missed.
            state = self._store.state(job_id)
            return state if state.has_ended else await future
        finally:
            self._waiting[job_id].remove(future)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def listen(self) -> None:
        """Hand on what Redis tells; runs for as long as the runner does, with a new connection whenever one breaks."""
        while True:
            try:
                url = await asyncio.to_thread(url_now, self._store.redis_url)
                async with redis.asyncio.from_url(url, health_check_interval=5) as connection:
                    await self._listen_on(connection.pubsub())
            except (redis.RedisError, OSError) as lost:
                _log.warning("listening anew", error=str(lost))
                await asyncio.sleep(0.2)

    async def _listen_on(self, pubsub: redis.asyncio.client.PubSub) -> None:
        # The ids of steps hold a dot: "<flow>.<digest>". Any other job that a flow may await is found by the sweep.
        await pubsub.psubscribe(f"{self._channels}*.*")
        swept = float("-inf")
        while True:
            if time.monotonic() - swept > _SWEEP_EVERY:
                self._sweep()
                swept = time.monotonic()
            message = await pubsub.get_message(timeout=1.0)
            if message is not None and message["type"] == "pmessage":
                self._tell(message["channel"].decode().removeprefix(self._channels), JobState(message["data"].decode()))

    def _sweep(self) -> None:
        ids = list(self._waiting)
        for job_id, state in zip(ids, self._store.states(ids), strict=True):
            if state is not None and state.has_ended:
                self._tell(job_id, state)

    def _tell(self, job_id: str, state: JobState) -> None:
        for future in self._waiting.get(job_id, ()):
            if not future.done():
                future.set_result(state)
