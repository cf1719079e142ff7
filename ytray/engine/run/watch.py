"""Watching over a worker: heartbeats, orders to stop and time limits, from two threads beside the task.

They cost short jobs nothing: they look only now and then until a bundle is some tenths of a second old. From then on
one waits on the worker's own list in Redis, where an order arrives at once; the other, which keeps the limits, never
waits for Redis.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import redis

from ytray.engine.base import logs
from ytray.engine.base.context import CurrentJob
from ytray.engine.base.error_text import in_words
from ytray.engine.base.interrupts import Deliver, HandOver, Interrupted, Signals
from ytray.engine.base.processes import kill_processes_of
from ytray.engine.run.verdict import judge
from ytray.errors import SoftTimeLimitExceeded, SystemUnavailable, TimeLimitExceeded
from ytray.settings import settings

if TYPE_CHECKING:
    from ytray.engine.jobs.task import Task
    from ytray.engine.run.worker import Worker

_LOOK_EVERY = 0.2  # seconds between looks while no bundle is old
_PATIENT_WITH_NEIGHBOURS = 1.0  # seconds: jobs behind one that turns out to be long go back to the queue
DRAINED = "its node is drained"


@dataclass(slots=True)
class Running:
    """The job whose function runs now, until its end is known. Times are of time.perf_counter()."""

    job: CurrentJob
    task: Task[..., Any]
    started: float
    soft_at: float
    hard_at: float
    is_open: bool = True  # to interruptions; afterwards the hard limit alone holds
    interrupted: str = ""
    hands_over: bool = False
    kill_at: float = float("inf")
    is_told: bool = False  # of the interruption
    is_told_of_limit: bool = False
    deliver: Deliver | None = None  # how a coroutine is made to raise

    def order(self, now: float) -> BaseException | None:
        """What is to be raised in the task now; each but once."""
        if not self.is_open:
            return None
        if self.interrupted and not self.is_told:
            self.is_told = True
            return (HandOver if self.hands_over else Interrupted)(self.interrupted)
        if now >= self.soft_at and not self.is_told_of_limit and not self.interrupted:
            self.is_told_of_limit = True
            limit = self.soft_at - self.started
            return SoftTimeLimitExceeded(f"job {self.job.id} ran longer than its soft time limit of {limit:g} s")
        return None


@dataclass(slots=True)
class Bundle:
    """The jobs that a worker holds and has not settled: id → fence."""

    jobs: dict[str, int]
    taken_up: float = field(default_factory=time.perf_counter)
    begun: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, job_id: str) -> bool:
        """Whether the job is still held; from here on it is not handed back."""
        with self._lock:
            self.begun.add(job_id)
            return job_id in self.jobs

    def give_up_waiting(self) -> list[tuple[str, int]]:
        """The jobs (id, fence) that have not begun; they are no longer held."""
        with self._lock:
            waiting = [(job_id, fence) for job_id, fence in self.jobs.items() if job_id not in self.begun]
            for job_id, _ in waiting:
                del self.jobs[job_id]
            return waiting


class Watch:
    """Keeps a worker's leases alive, and stops a job that was cancelled, lost its lease, or ran too long."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._bundle: Bundle | None = None
        self._running: Running | None = None
        self.lock = threading.RLock()
        self._log = logs.get("ytray.watch")
        self._beat_every = settings().lease_seconds / 3
        self._last_beat = 0.0
        self._drained_at: float | None = None  # what still runs then is interrupted; inf: nothing is. None: no drain
        self.signals = Signals(self._ordered)
        for name, work in (("ytray-watch", self._watch), ("ytray-limits", self._keep_limits)):
            threading.Thread(target=work, name=name, daemon=True).start()

    # ------------------------------------------------------------------------------------------ the task's thread

    @contextlib.contextmanager
    def over(self, jobs: Sequence[tuple[str, int]]) -> Iterator[Bundle]:
        """Keep these leases alive until the block ends."""
        self._bundle = bundle = Bundle(dict(jobs))
        self._last_beat = bundle.taken_up
        try:
            yield bundle
        finally:
            with self.lock:
                self._bundle = None

    def settled(self, ids: Iterable[str]) -> None:
        """These jobs have been committed, or are no longer this worker's: they need no heartbeat."""
        bundle = self._bundle
        if bundle is not None:
            for job_id in ids:
                bundle.jobs.pop(job_id, None)

    def holds(self, ids: Iterable[str]) -> bool:
        """Whether any of these jobs is still this worker's, as far as is known here."""
        bundle = self._bundle
        return bundle is not None and any(job_id in bundle.jobs for job_id in ids)

    def begin(
        self, job: CurrentJob, task: Task[..., Any], soft: float | None, hard: float | None, started: float
    ) -> Running:
        """From now on the job is under its time limits (seconds), until `end`."""
        soft_limit = task.soft_time_limit if soft is None else soft
        hard_limit = task.time_limit if hard is None else hard
        self._running = running = Running(job, task, started, started + soft_limit, started + hard_limit)
        return running

    def end(self) -> None:
        """The attempt is over, and how it ended is known."""
        self._running = None

    def _ordered(self) -> tuple[BaseException, Deliver | None] | None:
        running = self._running
        error = running.order(time.perf_counter()) if running is not None else None
        return None if running is None or error is None else (error, running.deliver)

    # ------------------------------------------------------------------------------------------ the watching thread

    def _watch(self) -> None:
        is_told = False
        while True:
            bundle = self._bundle
            now = time.perf_counter()
            if bundle is None or now - bundle.taken_up < _LOOK_EVERY:
                time.sleep(min(_LOOK_EVERY, self._beat_every / 2))
                continue
            try:
                self._look_after(bundle, now)
                is_told = False
            except (SystemUnavailable, redis.RedisError) as away:
                # The leases may end meanwhile; their fences keep that safe. Go on and see.
                if not is_told:
                    self._log.warning("heartbeat missed", error=str(away))
                is_told = True
                time.sleep(_LOOK_EVERY)

    def _look_after(self, bundle: Bundle, now: float) -> None:
        running = self._running
        if running is not None:
            if now - running.started > _PATIENT_WITH_NEIGHBOURS or self._drained_at is not None:
                self._hand_back_neighbours(bundle)
            if self._drained_at is not None and now >= self._drained_at:
                self._interrupt(running.job.id, DRAINED, hands_over=True)
        if now - self._last_beat >= self._beat_every:
            self._beat(bundle)
        wait = self._last_beat + self._beat_every - now
        if running is not None:
            if self._drained_at is not None and not running.interrupted:
                wait = min(wait, self._drained_at - now)
            if len(bundle.jobs) > 1:
                wait = min(wait, _PATIENT_WITH_NEIGHBOURS)
        # A bundle ends without a word to this thread, so it never waits for long.
        order = self._worker.store.blocking_pop([f"ctl:{self._worker.name}"], max(0.01, min(wait, 1.0)))
        if order is not None:
            self._obey(*order.decode().split(" ", 1))

    def _obey(self, order: str, what: str) -> None:
        if order == "drain":
            self._drained_at = time.perf_counter() + float(what)
        else:
            self._interrupt(what, "its job was cancelled")

    def _beat(self, bundle: Bundle) -> None:
        self._last_beat = time.perf_counter()
        held = list(bundle.jobs.items())
        lost = self._worker.store.beat("tracker", self._worker.name, self._worker.lease_ms, held)
        for job_id in lost:
            if job_id in bundle.jobs:  # else it was settled while the heartbeat was on its way
                self._interrupt(job_id, "its lease was lost and the job belongs to another worker")

    def _interrupt(self, job_id: str, why: str, *, hands_over: bool = False) -> None:
        if not hands_over:
            self.settled([job_id])
        running = self._running
        if running is None or running.job.id != job_id or running.interrupted:
            return
        running.hands_over = hands_over
        running.interrupted = f"job {job_id} stops: {why}"
        running.kill_at = time.perf_counter() + settings().cancel_grace
        self.signals.send()

    def _hand_back_neighbours(self, bundle: Bundle) -> None:
        waiting = bundle.give_up_waiting()
        self._worker.commit()
        if waiting and self._drained_at is not None:
            self._worker.hand_over(waiting, DRAINED)
        elif waiting:
            self._worker.store.hand_back(
                waiting,
                "a job before it in the same bundle takes long",
                blame=False,
                result_ttl=self._worker.result_ttl,
            )

    # ------------------------------------------------------------------------------------------ the limits' thread

    def _keep_limits(self) -> None:
        while True:
            running, now = self._running, time.perf_counter()
            wait = _LOOK_EVERY
            if running is not None:
                if now >= min(running.hard_at, running.kill_at):
                    self._kill(running)
                elif running.is_open and now >= running.soft_at and not running.is_told_of_limit:
                    self.signals.send()  # and again, until it has come through
                else:
                    wait = min(wait, running.hard_at - now, running.kill_at - now)
                    if running.soft_at > now:
                        wait = min(wait, running.soft_at - now)
            time.sleep(max(0.001, wait))

    def _kill(self, running: Running) -> None:
        """Stop a job that does not stop by itself: its processes, and this one."""
        with self.lock:
            if self._running is not running:
                return
            try:
                self._record_killed(running)
            except Exception as failed:
                # Redis is away, say: Ray then starts the task again, and the job counts as one whose worker died.
                self._log.warning("the end of a job could not be recorded", error=in_words(failed))
            finally:
                # Ray starts the task again in a new process, which finds that the job is no longer its own.
                os.kill(os.getpid(), signal.SIGKILL)

    def _record_killed(self, running: Running) -> None:
        # First the processes, so that whoever learns of the end finds them gone.
        kill_processes_of(running.job.id)
        self._worker.commit()
        bundle = self._bundle
        if bundle is not None:
            self._hand_back_neighbours(bundle)
        if running.hands_over:
            self._worker.hand_over([(running.job.id, running.job.fence)], DRAINED)
        elif not running.interrupted:
            limit = running.hard_at - running.started
            error = TimeLimitExceeded(f"job {running.job.id} ran longer than its time limit of {limit:g} s")
            verdict = judge(error, running.task.retry, running.job.attempt - 1)
            self._worker.fail(running.job, verdict, running.started)
