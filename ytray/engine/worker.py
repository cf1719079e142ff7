"""What runs inside the Ray task: it takes up leased jobs, runs them under their limits, and commits how they ended.

What happens when …
- this process dies: Ray runs the task again elsewhere, `start.lua` sees it and counts the crash; after Ray's retries
  the tracker, which owns the task, hands the job back.
- the machine is cut off: its heartbeats stop, the tracker's reaper requeues the job, and whatever this process still
  writes carries an old fence and changes nothing.
- the job is cancelled or runs too long: `watch.py` interrupts it, and kills this process when that does not help.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import pickle
import socket
import time
import traceback
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ytray.engine import joblog, logs, tracing
from ytray.engine.capacity import NODE_WORD, here
from ytray.engine.code import resolve
from ytray.engine.connection import adopt_store
from ytray.engine.context import CurrentJob, enter_job
from ytray.engine.imports import broken_imports
from ytray.engine.link import CodeNotStored
from ytray.engine.processes import MARK, guard, kill_processes_of, mark_of
from ytray.engine.retry import RetryPolicy
from ytray.engine.store import Claimed, Store
from ytray.engine.task import Task
from ytray.engine.watch import DRAINED, HandOver, Interrupted, Watch
from ytray.errors import RetryLater, SoftTimeLimitExceeded, StaleFence
from ytray.settings import Settings, adopt, settings

PATIENCE = 120.0  # seconds that a commit goes on trying while Redis is away
_COMMIT_EVERY = 0.05  # seconds: results of short jobs are committed together, but none waits longer than this
_STOPPED = "Ray stopped its worker"
_TRACEBACK_LIMIT = 16_000  # characters
_ERROR_LIMIT = 2_000  # characters

_log = logs.get("ytray.worker")

Outcome = tuple[str, int, bytes, float]  # job id, fence, result, milliseconds


@dataclass(frozen=True, slots=True)
class Report:
    """What the tracker learns from a finished Ray task: how long its jobs took, in seconds altogether."""

    jobs: int
    seconds: float


def run_lease(setup: bytes, jobs: Sequence[tuple[Any, ...]]) -> Report:
    """The Ray task: run `jobs` (as `Claimed.sent`), one after the other, and commit each. `setup` is `pack_setup`'s."""
    return _worker(setup).run([Claimed.received(job) for job in jobs])


def pack_setup(redis_url: str, given: Settings) -> bytes:
    """What a worker needs to join the system. It travels as an argument, which no dashboard shows.

    The worker may be of another version: it takes the settings that it knows, and its own default for what is missing.
    """
    return pickle.dumps({"redis_url": redis_url, "settings": given.model_dump()})


def unpack_setup(setup: bytes, patience: float = PATIENCE) -> Store:
    """Make this process work for the system that packed `setup`, with its YTRAY_IMPORTS; returns its store."""
    packed = pickle.loads(setup)
    given = Settings.of_system(packed["settings"])
    adopt(given)
    where = Store(packed["redis_url"], given.namespace, patience)
    adopt_store(where)
    logs.configure()
    joblog.install(where)
    for module, why in broken_imports().items():
        # Its tasks cannot run here, and say so when they try; those of others can.
        _log.error(f"YTRAY_IMPORTS: {module} cannot be imported here", error=why)
    # What is loaded by now stays. Left out of the full collections, it makes none of them stop a job for 20 ms.
    gc.collect()
    gc.freeze()
    return where


_workers: dict[bytes, Worker] = {}


def _worker(setup: bytes) -> Worker:
    if setup not in _workers:
        _workers.clear()
        _workers[setup] = Worker(unpack_setup(setup))
    return _workers[setup]


class Worker:
    """One Ray worker process at work for ytray. It lives from its first lease until Ray stops the process."""

    def __init__(self, where: Store) -> None:
        self.store = where
        self.name = f"{here()[:NODE_WORD]}:{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        guard(self.name)
        self.lease_ms = round(settings().lease_seconds * 1000)
        self.result_ttl = settings().result_ttl
        self.watch = Watch(self)
        self._done: list[Outcome] = []
        self._ran, self._seconds = 0, 0.0

    def run(self, jobs: Sequence[Claimed]) -> Report:
        """Run the jobs of one lease and commit each."""
        fences = self.store.start(self.name, self.lease_ms, self.result_ttl, [(job.job_id, job.fence) for job in jobs])
        todo = [(job, fence) for job, fence in zip(jobs, fences, strict=True) if fence]
        committed = time.perf_counter()
        self._ran, self._seconds = 0, 0.0
        with self.watch.over([(job.job_id, fence) for job, fence in todo]) as lease:
            try:
                for job, fence in todo:
                    if not lease.begin(job.job_id):
                        continue  # handed back meanwhile, or no longer ours
                    self._run(job, fence)
                    if time.perf_counter() - committed > _COMMIT_EVERY:
                        self.commit()
                        committed = time.perf_counter()
            except SystemExit:
                self.hand_over(lease.give_up_waiting(), _STOPPED)
                raise
            finally:
                self.commit()
        return Report(self._ran, self._seconds)

    def commit(self) -> None:
        """Commit the results that are ready, in one round trip."""
        with self.watch.lock:
            outcomes, self._done = self._done, []
            if not outcomes:
                return
            if refused := self.store.complete(self.name, self.result_ttl, outcomes):
                _log.warning("stale results refused", count=refused)
            self.watch.settled([outcome[0] for outcome in outcomes])

    def fail(self, job: CurrentJob, error: BaseException, started: float, *, task: Task[..., Any] | None) -> None:
        """Commit a failed attempt: to be retried, to be put off, or to the dead-letter queue."""
        trace = "".join(traceback.format_exception(error))[-_TRACEBACK_LIMIT:]
        what, delay = self._verdict(job, error, task)
        held = self.store.fail(
            (job.id, job.fence),
            self.name,
            what,
            f"{type(error).__name__}: {error}"[:_ERROR_LIMIT],
            trace,
            delay_ms=round(delay * 1000),
            duration_ms=(time.perf_counter() - started) * 1000,
            result_ttl=self.result_ttl,
        )
        self.watch.settled([job.id])
        if what == "defer":
            _log.info("put off", seconds=delay, reason=str(error))
        else:
            _log.warning("attempt failed", outcome=what if held else "stale", delay=delay, error=repr(error))

    def hand_over(self, jobs: Sequence[tuple[str, int]], reason: str) -> None:
        """Give jobs (id, fence) back to their queues; nobody is to blame, and their checkpoints stay."""
        if jobs:
            self.store.hand_over(self.name, jobs, reason, self.result_ttl)
        self.watch.settled([job_id for job_id, _ in jobs])

    def _verdict(self, job: CurrentJob, error: BaseException, task: Task[..., Any] | None) -> tuple[str, float]:
        if isinstance(error, RetryLater):
            return "defer", error.seconds
        if task is None and isinstance(error, CodeNotStored):
            # Whoever has the task may ship it again meanwhile.
            return self._tried_again(RetryPolicy().delay_after(error, job.attempt - 1))
        return self._tried_again(None if task is None else task.retry.delay_after(error, job.attempt - 1))

    def _tried_again(self, delay: float | None) -> tuple[str, float]:
        return ("dead", 0.0) if delay is None else ("retry", delay)

    def _run(self, claimed: Claimed, fence: int) -> None:
        started = time.perf_counter()
        job = CurrentJob(
            claimed.job_id,
            claimed.task,
            claimed.retries + 1,
            fence,
            claimed.user or None,
            self.name,
            self.store,
        )
        enter_job(job)
        os.environ[MARK] = mark_of(job.id)
        task: Task[..., Any] | None = None
        try:
            if fence > 1:
                # An earlier attempt may have died here and left processes behind.
                kill_processes_of(job.id)
            spec = claimed.description()
            task = resolve(spec["code"], self.store)
            arguments = task.signature.decode(spec["args"])
            with (
                tracing.execution(task.name, job.id, job.attempt, spec.get("trace"), claimed.queued_ms * 1_000_000),
                self.watch.limits(job, task, spec.get("soft"), spec.get("hard"), started),
            ):
                value = task.function(**arguments)
                if inspect.iscoroutine(value):
                    value = asyncio.run(value)
            result = task.signature.encode_result(value, settings().max_payload)
            self._done.append((job.id, fence, result, (time.perf_counter() - started) * 1000))
        except HandOver as moved:
            _log.info("handed over", reason=str(moved))
            kill_processes_of(job.id)
            self.hand_over([(job.id, fence)], DRAINED)
        except (Interrupted, StaleFence) as gone:
            # Whoever took the job away has recorded it; what is left is to tidy up here.
            _log.info("stopped", reason=str(gone))
            kill_processes_of(job.id)
            self.watch.settled([job.id])
        except (KeyboardInterrupt, Exception, SystemExit) as error:
            if hasattr(error, "ray_terminate_msg"):
                # Not the task's own exit: Ray ends this process, as it does when the tracker or the node goes.
                kill_processes_of(job.id)
                self.hand_over([(job.id, fence)], _STOPPED)
                raise
            if isinstance(error, SoftTimeLimitExceeded):
                kill_processes_of(job.id)
            self.fail(job, error, started, task=task)
        finally:
            self._ran += 1
            self._seconds += time.perf_counter() - started
            os.environ.pop(MARK, None)
            enter_job(None)
