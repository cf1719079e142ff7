"""What runs inside the Ray task: it takes up leased jobs, runs them under their limits, and commits how they ended.

What happens when …
- this process dies: Ray runs the task again elsewhere, `start.lua` sees it and counts the crash; after Ray's retries
  the tracker, which owns the task, hands the job back.
- the machine is cut off: its heartbeats stop, the tracker's reaper requeues the job, and whatever this process still
  writes carries an old fence and changes nothing.
- the job is cancelled or runs too long: `watch.py` interrupts it, and kills this process when that does not help.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ytray.engine.base import logs, tracing
from ytray.engine.base.context import CurrentJob, enter_job, jobs_run_here
from ytray.engine.base.error_text import is_rays_order, leaves
from ytray.engine.base.interrupts import Steered, StoppedByRay
from ytray.engine.base.names import NODE_WORD
from ytray.engine.base.processes import guard, kill_processes_of, mark_job
from ytray.engine.base.surroundings import Surroundings, end_forked_child
from ytray.engine.cluster.capacity import here
from ytray.engine.jobs.task import Task
from ytray.engine.run.setup import unpack_setup
from ytray.engine.run.verdict import Verdict, judge
from ytray.engine.run.watch import DRAINED, Running, Watch
from ytray.engine.state import joblog
from ytray.engine.state.code import resolve
from ytray.engine.state.store import Claimed, Store
from ytray.errors import StaleFence
from ytray.settings import settings
from ytray.system.redis_refusals import RedisIsFull

T = TypeVar("T")

_COMMIT_EVERY = 0.05  # seconds: results of short jobs are committed together, but none waits longer than this
_STOPPED = "Ray stopped its worker"

_log = logs.get("ytray.worker")

Outcome = tuple[str, int, bytes, float]  # job id, fence, result, milliseconds


@dataclass(frozen=True, slots=True)
class Report:
    """What the tracker learns from a finished Ray task: how long its jobs took, in seconds altogether."""

    jobs: int
    seconds: float


def run_lease(setup: bytes, jobs: Sequence[tuple[Any, ...]]) -> Report:
    """The Ray task: run `jobs` (as `Claimed.sent`), one after the other, and commit each. setup.py packs `setup`."""
    return _worker(setup).run([Claimed.received(job) for job in jobs])


# Ray sends it by its path. This is its first one, by which nodes of an older ytray find it, too, during an upgrade.
run_lease.__module__ = "ytray.engine.worker"
sys.modules.setdefault(run_lease.__module__, sys.modules[__name__])

_workers: dict[bytes, Worker] = {}


def _worker(setup: bytes) -> Worker:
    if setup not in _workers:
        _workers.clear()
        _workers[setup] = Worker(unpack_setup(setup, waits_for_room=True))
    return _workers[setup]


@dataclass(slots=True)
class _Attempt:
    """One attempt of a job: what is known of it, and then how it ended."""

    job: CurrentJob
    started: float = field(default_factory=time.perf_counter)
    task: Task[..., Any] | None = None
    running: Running | None = None  # once it is under limits
    result: bytes = b""
    error: BaseException | None = None
    verdict: Verdict | None = None  # of the error


class Worker:
    """One Ray worker process at work for ytray. It lives from its first bundle until Ray stops the process."""

    def __init__(self, where: Store) -> None:
        self.store = where
        self.name = f"{here()[:NODE_WORD]}:{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._pid = os.getpid()
        guard(self.name)
        jobs_run_here()
        self._surroundings = Surroundings()
        self.lease_ms = round(settings().lease_seconds * 1000)
        self.result_ttl = settings().result_ttl
        self.watch = Watch(self)
        self._done: list[Outcome] = []
        self._ran, self._seconds = 0, 0.0

    def run(self, jobs: Sequence[Claimed]) -> Report:
        """Run the jobs of one bundle and commit each."""
        fences = self.store.start(self.name, self.lease_ms, self.result_ttl, [(job.job_id, job.fence) for job in jobs])
        todo = [(job, fence) for job, fence in zip(jobs, fences, strict=True) if fence]
        committed = time.perf_counter()
        self._ran, self._seconds = 0, 0.0
        with self.watch.over([(job.job_id, fence) for job, fence in todo]) as bundle:
            try:
                for job, fence in todo:
                    if not bundle.begin(job.job_id):
                        continue  # handed back meanwhile, or no longer ours
                    self._run(job, fence)
                    if time.perf_counter() - committed > _COMMIT_EVERY:
                        self.commit()
                        committed = time.perf_counter()
            except (SystemExit, StoppedByRay):
                self.hand_over(bundle.give_up_waiting(), _STOPPED)
                raise
            finally:
                mark_job(None)
                self.commit()
        return Report(self._ran, self._seconds)

    def commit(self) -> None:
        """Commit the results that are ready, in one round trip."""
        with self.watch.lock:
            outcomes, self._done = self._done, []
            if not outcomes:
                return
            ids = [outcome[0] for outcome in outcomes]
            refused = self._while_held(ids, lambda: self.store.complete(self.name, self.result_ttl, outcomes))
            if refused:
                _log.warning("stale results refused", count=refused)
            self.watch.settled(ids)

    def _while_held(self, ids: Sequence[str], commit: Callable[[], T]) -> T:
        """What a commit answers; a full Redis is waited for as long as any of the jobs is this worker's."""
        while True:
            try:
                return commit()
            except RedisIsFull:
                if not self.watch.holds(ids):
                    raise

    def fail(self, job: CurrentJob, verdict: Verdict, started: float) -> None:
        """Commit a failed attempt: to be retried, to be put off, or to the dead-letter queue."""
        duration_ms = (time.perf_counter() - started) * 1000
        held = self._while_held(
            [job.id],
            lambda: self.store.fail(
                (job.id, job.fence),
                self.name,
                verdict.what,
                verdict.error,
                verdict.traceback,
                delay_ms=round(verdict.delay * 1000),
                duration_ms=duration_ms,
                result_ttl=self.result_ttl,
            ),
        )
        self.watch.settled([job.id])
        if verdict.what == "defer":
            _say("info", "put off", seconds=verdict.delay, reason=verdict.error)
        else:
            what = verdict.what if held else "stale"
            _say("warning", "attempt failed", outcome=what, delay=verdict.delay, error=verdict.error)

    def hand_over(self, jobs: Sequence[tuple[str, int]], reason: str) -> None:
        """Give jobs (id, fence) back to their queues; nobody is to blame, and their checkpoints stay."""
        if jobs:
            self.store.hand_over(self.name, jobs, reason, self.result_ttl)
        self.watch.settled([job_id for job_id, _ in jobs])

    def _run(self, claimed: Claimed, fence: int) -> None:
        """Run one job; whatever its task does, it has one end, and the next one meets nothing of it."""
        attempt = _Attempt(
            CurrentJob(
                claimed.job_id,
                claimed.task,
                claimed.retries + 1,
                fence,
                claimed.user or None,
                self.name,
                self.store,
            )
        )
        enter_job(attempt.job)
        mark_job(claimed.job_id)
        try:
            self._try(attempt, claimed)
            self._record(attempt)
        finally:
            self._ran += 1
            self._seconds += time.perf_counter() - attempt.started
            self.watch.signals.restore()
            self._surroundings.restore()
            joblog.end(attempt.job)
            enter_job(None)

    def _try(self, attempt: _Attempt, claimed: Claimed) -> None:
        """Run the task's function, and learn how that ended. All of it is under the hard limit."""
        try:
            try:
                self._execute(attempt, claimed)
            except BaseException as error:
                attempt.error = error
            finally:
                if attempt.running is not None:
                    attempt.running.is_open = False
            if attempt.error is not None and not is_rays_order(attempt.error):
                retry = attempt.task.retry if attempt.task is not None else None
                attempt.verdict = judge(attempt.error, retry, attempt.job.attempt - 1)
        except BaseException as late:  # an interruption, or Ray's order, that came after the task's own end
            attempt.error = attempt.error or late
            if is_rays_order(late):
                attempt.error = late
            elif attempt.verdict is None:
                attempt.verdict = judge(attempt.error, None, 0)
        finally:
            self.watch.end()

    def _execute(self, attempt: _Attempt, claimed: Claimed) -> None:
        job = attempt.job
        if job.fence > 1:
            # An earlier attempt may have died here and left processes behind.
            kill_processes_of(job.id)
        spec = claimed.description()
        attempt.task = task = resolve(spec["code"], self.store)
        arguments = task.signature.decode(spec["args"])
        with tracing.execution(task.name, job.id, job.attempt, spec.get("trace"), claimed.queued_ms * 1_000_000):
            attempt.running = running = self.watch.begin(job, task, spec.get("soft"), spec.get("hard"), attempt.started)
            value = self._call(task, arguments, running)
            running.is_open = False
            attempt.result = task.signature.encode_result(value, settings().max_payload)

    def _call(self, task: Task[..., Any], arguments: dict[str, Any], running: Running) -> Any:
        try:
            value = task.function(**arguments)
            if inspect.iscoroutine(value):
                steered = Steered(value)
                running.deliver = steered.deliver
                value = steered.run()
        except BaseException as error:
            if os.getpid() != self._pid:
                end_forked_child(error)
            raise
        if os.getpid() != self._pid:
            end_forked_child(None)
        return value

    def _record(self, attempt: _Attempt) -> None:
        """Commit how an attempt ended, or leave it to whoever has the job now."""
        job, error, running = attempt.job, attempt.error, attempt.running
        held = leaves(error) if error is not None else []
        for one in held:
            if is_rays_order(one) or isinstance(one, StoppedByRay):
                # Not the task's own exit: Ray ends this process or takes the task back.
                kill_processes_of(job.id)
                self.hand_over([(job.id, job.fence)], _STOPPED)
                raise one
        if running is not None and running.interrupted and (error is not None or not running.hands_over):
            _say("info", "handed over" if running.hands_over else "stopped", reason=running.interrupted)
            kill_processes_of(job.id)
            if running.hands_over:
                self.hand_over([(job.id, job.fence)], DRAINED)
            else:
                self.watch.settled([job.id])  # whoever took the job away has recorded it
            return
        if any(isinstance(one, StaleFence) for one in held) and self._has_lost(job):
            _say("info", "stopped", reason="its lease was lost and the job belongs to another worker")
            kill_processes_of(job.id)
            self.watch.settled([job.id])
            return
        if attempt.verdict is not None:
            if running is not None and running.is_told_of_limit:
                kill_processes_of(job.id)
            self.fail(job, attempt.verdict, attempt.started)
        else:
            self._done.append((job.id, job.fence, attempt.result, (time.perf_counter() - attempt.started) * 1000))

    def _has_lost(self, job: CurrentJob) -> bool:
        return bool(self.store.beat("tracker", self.name, self.lease_ms, [(job.id, job.fence)]))


def _say(level: str, event: str, **details: Any) -> None:
    # A handler that a task has left behind may raise; the job's end is recorded by now, and that is what counts.
    with contextlib.suppress(Exception):
        getattr(_log, level)(event, **details)
