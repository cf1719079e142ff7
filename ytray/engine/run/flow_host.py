"""Running flows: as coroutines on one loop in a thread of its own, under leases that another thread keeps up.

That other thread also notices when the loop stands still. Where it is a flow's own code that does not let go of it, the
flow fails, and the process ends: the others start again in a new one, where their finished steps are found.
"""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, cast

import redis
from pydantic_core import from_json

from ytray.engine.base import logs, tracing
from ytray.engine.base.context import CurrentJob, enter_job
from ytray.engine.base.error_text import clean
from ytray.engine.base.marks import Marks, mark_of
from ytray.engine.jobs.task import Task
from ytray.engine.run.flow_endings import Endings
from ytray.engine.run.flow_loop import FlowLoop, MarkedThreads
from ytray.engine.run.steps import Steps, may_have_run, recorded_steps
from ytray.engine.run.verdict import judge
from ytray.engine.state import joblog, link, reading
from ytray.engine.state.code import resolve
from ytray.engine.state.store import Claimed, Store
from ytray.errors import (
    JobCancelled,
    JobFailed,
    PermanentError,
    UnknownJob,
    YtrayError,
)
from ytray.settings import settings
from ytray.system.redis_refusals import RedisIsFull

T = TypeVar("T")

_LOOKS_IN_A_LEASE = 12
_LOOK_AT_LEAST_EVERY = 0.5  # seconds
_PATIENCE_WITH_REDIS = 150.0  # seconds that the loop may wait for Redis, in a flow or for itself
_LONGEST_IMPORT = 300.0  # seconds
_IMPORTING = 8  # threads: an import that hangs keeps one
_TRACEBACK_LIMIT = 16_000  # characters
_FULL_AGAIN = 0.5  # seconds between tries to commit while Redis is full
_FINAL = (JobFailed, JobCancelled, UnknownJob)  # a step has used up its own retries, or is gone

# Code that waits for Redis on behalf of a flow, which may take as long as a failover, and code that is nobody's own.
_WAITS_FOR_REDIS = (link.__file__, reading.__file__)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

_log = logs.get("ytray.flows")


@dataclass(eq=False, slots=True)
class _Held:
    """A flow that runs here."""

    flow: Claimed
    task: asyncio.Task[None] | None = None
    is_stopped: bool = False  # by us: whoever took the flow away has recorded it
    left_by: BaseException | None = None  # the exit that a task of it called, which would have ended the process


class FlowHost:
    """Runs the flows that it is given. `ended(job_id)` is called in the loop's thread for each that no longer runs."""

    def __init__(self, store: Store, worker: str, marks: Marks, ended: Callable[[str], None] | None = None) -> None:
        self._store = store
        self._worker = worker
        self._marks = marks
        self._ended = ended
        self._lease = settings().lease_seconds
        self._look_every = min(_LOOK_AT_LEAST_EVERY, self._lease / _LOOKS_IN_A_LEASE)
        self._running: dict[str, _Held] = {}
        self._resolved: dict[str, Task[..., Any]] = {}
        self._finding: dict[str, asyncio.Future[Task[..., Any]]] = {}
        self._loop = FlowLoop(marks, self._on_exit, self._look_every)
        self._importing = MarkedThreads(marks, _IMPORTING, "ytray-flow-import")
        self._endings = Endings(store, worker, self._loop.own_threads)
        # Its calls neither wait for a connection that is silent nor go on for minutes, so that it goes on looking.
        self._watch_store = Store(
            store.redis_url, store.namespace, patience=1.0, answer_within=max(1.0, self._lease / 3)
        )
        self._thread = threading.Thread(target=self._serve, name="ytray-flow-loop", daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, name="ytray-flow-watch", daemon=True).start()

    @property
    def running(self) -> int:
        """How many flows run here."""
        return len(self._running)

    def take(self, flow: Claimed) -> None:
        """Run a flow; from here on its lease is kept up."""
        held = self._running[flow.job_id] = _Held(flow)
        self._loop.call_soon_threadsafe(self._begin, held)

    def stop(self, job_id: str) -> None:
        """Stop a flow that was cancelled, or belongs to another runner."""
        held = self._running.pop(job_id, None)
        if held is not None:
            self._loop.call_soon_threadsafe(self._cancel, held)

    # ------------------------------------------------------------------------------------------ the loop's thread

    def _serve(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._endings.listen())
        except BaseException:
            _log.exception("the loop of the flows has ended")
        os._exit(1)

    def _begin(self, held: _Held) -> None:
        flow = held.flow
        job = CurrentJob(
            flow.job_id,
            flow.task,
            flow.retries + 1,
            flow.fence,
            flow.user or None,
            self._worker,
            self._store,
            flow.generation,
            self._endings.wait_for,
            mark=mark_of(flow.job_id, flow.fence),
        )
        context = copy_context()
        context.run(enter_job, job)
        held.task = self._loop.create_task(self._run(held, job), context=context)

    def _cancel(self, held: _Held) -> None:
        held.is_stopped = True
        if held.task is not None:
            held.task.cancel()

    def _on_exit(self, job: CurrentJob, left: BaseException) -> None:
        held = self._running.get(job.id)
        if held is not None and held.flow.fence == job.fence and held.task is not None:
            held.left_by = left
            held.task.cancel()

    async def _run(self, held: _Held, job: CurrentJob) -> None:
        flow = held.flow
        started = time.perf_counter()
        task: Task[..., Any] | None = None
        try:
            spec = _read(flow)
            task = await self._find_code(spec["code"])
            job.steps = await self._find_steps(flow)
            job.steps.enter()
            arguments = task.signature.decode(spec["args"])
            with tracing.execution(task.name, job.id, job.attempt, spec.get("trace"), flow.queued_ms * 1_000_000):
                value = await task.function(**arguments)
            result = task.signature.encode_result(value, settings().max_payload)
            milliseconds = (time.perf_counter() - started) * 1000
            outcome = (job.id, job.fence, result, milliseconds)
            if await self._once_there_is_room(
                lambda: self._store.complete(self._worker, settings().result_ttl, [outcome])
            ):
                _log.warning("a stale result was refused")
        except BaseException as error:
            if held.is_stopped:
                _log.info("flow stopped: it was cancelled, or belongs to another runner")
            else:
                await self._fail(job, held.left_by or error, started, task)
        finally:
            for branch in job.steps.branches if job.steps is not None else ():
                branch.cancel()  # what the flow has started and not waited for
            if self._running.get(flow.job_id) is held:
                del self._running[flow.job_id]
            joblog.end(job)
            if self._ended is not None:
                self._ended(flow.job_id)

    async def _once_there_is_room(self, commit: Callable[[], T]) -> T:
        """What a commit answers; a full Redis is waited for, until the flow is stopped or belongs to another runner."""
        while True:
            try:
                return commit()
            except RedisIsFull:
                await asyncio.sleep(_FULL_AGAIN)

    async def _find_code(self, words: str) -> Task[..., Any]:
        # An import may take long, and others are not to wait for it.
        if words not in self._resolved:
            # One import for all flows of that code: each that hangs keeps a thread for ever.
            finding = self._finding.get(words)
            if finding is None or finding.done():
                finding = self._loop.run_in_executor(self._importing, resolve, words, self._store)
                self._finding[words] = finding
            try:
                self._resolved[words] = await asyncio.wait_for(asyncio.shield(finding), _LONGEST_IMPORT)
            except TimeoutError:
                raise PermanentError(
                    f"the code of this flow ({words}) could not be imported within {_LONGEST_IMPORT:.0f} s"
                ) from None
        return self._resolved[words]

    async def _find_steps(self, flow: Claimed) -> Steps:
        if not may_have_run(flow.job_id, flow.fence):
            return Steps(flow.job_id)
        found = await self._loop.run_in_executor(self._loop.own_threads, recorded_steps, self._store, flow.job_id)
        return Steps(flow.job_id, found)

    async def _fail(self, job: CurrentJob, error: BaseException, started: float, task: Task[..., Any] | None) -> None:
        retry = task.retry if task is not None else None
        verdict = judge(error, retry, job.attempt - 1, final=_FINAL)
        try:
            await self._once_there_is_room(
                lambda: self._record(
                    self._store, job, verdict.what, verdict.error, verdict.traceback, verdict.delay, started
                )
            )
            _log.warning("flow failed", outcome=verdict.what, error=verdict.error)
        except (YtrayError, redis.RedisError) as away:
            # Its lease ends, and it runs again: what it did is found.
            _log.error("the end of a flow could not be recorded", error=verdict.error, reason=str(away))

    def _record(
        self, where: Store, job: CurrentJob, what: str, error: str, trace: str, delay: float, started: float
    ) -> None:
        where.fail(
            (job.id, job.fence),
            self._worker,
            what,
            error,
            trace,
            delay_ms=round(delay * 1000),
            duration_ms=(time.perf_counter() - started) * 1000,
            result_ttl=settings().result_ttl,
        )

    # ------------------------------------------------------------------------------------------ the watching thread

    def _watch(self) -> None:
        next_beat, stood = 0.0, 0.0
        seen: tuple[object, ...] = ()
        looked = time.monotonic()
        while True:
            time.sleep(self._look_every)
            now = time.monotonic()
            # A machine that was suspended, or too busy for this thread, is no flow's fault.
            passed, looked = min(now - looked, 2 * self._look_every), now
            stepping = self._loop.stepping
            place = (self._loop.steps, self._loop.turned, stepping is None)
            stood, seen = (stood + passed if place == seen else 0.0), place
            try:
                if stepping is not None and stood >= self._lease:
                    self._end_blocking(stepping, stood)
                if stood >= _PATIENCE_WITH_REDIS:
                    _log.error("the loop of the flows stands still; its process ends", seconds=round(stood))
                    self._marks.disown()
                    os._exit(1)
                if now >= next_beat:
                    next_beat = now + self._lease / 3
                    self._beat()
            except (YtrayError, redis.RedisError) as away:
                _log.warning("heartbeat of the flows missed", error=str(away))

    def _beat(self) -> None:
        held = [(job_id, one.flow.fence) for job_id, one in list(self._running.items())]
        lease_ms = round(self._lease * 1000)
        for job_id in self._watch_store.beat("flows", self._worker, lease_ms, held) if held else ():
            if (job_id, self._fence_of(job_id)) in held:
                self.stop(job_id)

    def _fence_of(self, job_id: str) -> int:
        held = self._running.get(job_id)
        return held.flow.fence if held is not None else 0

    def _end_blocking(self, job: CurrentJob, seconds: float) -> None:
        """A flow keeps the loop for itself: it fails, and the others go on in a new process."""
        steps = self._loop.steps
        frame = sys._current_frames().get(self._thread.ident or 0)
        frames = [one for one, _ in traceback.walk_stack(frame)] if frame is not None else []
        if self._loop.steps != steps or any(one.f_code.co_filename in _WAITS_FOR_REDIS for one in frames):
            return
        trace = "".join(traceback.format_stack(frame))
        error = (
            f"BlockingCall: the flow did not let go of the thread that all flows share for {seconds:.0f} s, "
            f"{_place(frames)}: work belongs into tasks, waiting into `await asyncio.sleep(…)`, and a call that "
            "blocks into `await asyncio.to_thread(…)`"
        )
        self._record(
            self._watch_store,
            job,
            "dead",
            error,
            clean(trace[-_TRACEBACK_LIMIT:], _TRACEBACK_LIMIT),
            0.0,
            time.perf_counter(),
        )
        _log.error("a flow stood in the way of all others; the process ends", job_id=job.id, error=error)
        self._marks.disown()
        os._exit(1)


def _read(flow: Claimed) -> dict[str, Any]:
    try:
        spec = from_json(flow.spec)
        if isinstance(spec["code"], str) and isinstance(spec["args"], dict):
            return cast("dict[str, Any]", spec)
    except (ValueError, TypeError, LookupError):
        pass
    raise PermanentError("what is stored of this flow cannot be read; submit it again")


def _place(frames: list[FrameType]) -> str:
    """Where the user's own code is, of the frames of a stack, the last call first."""
    for frame in frames:
        name = frame.f_code.co_filename
        if not name.startswith((*_LIBRARIES, "<")):
            return f"in {frame.f_code.co_name} ({Path(name).name}, line {frame.f_lineno})"
    return "in code that cannot be told"
