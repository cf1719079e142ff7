"""Watching over a worker: heartbeats, time limits, and orders to stop, from a thread beside the task.

The thread costs short jobs nothing: it looks only now and then until a lease is some tenths of a second old, and from
then on waits on the worker's own list in Redis, where an order arrives at once.
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

from ytray.engine import logs
from ytray.engine.context import CurrentJob
from ytray.engine.processes import kill_processes_of
from ytray.errors import SoftTimeLimitExceeded, SystemUnavailable, TimeLimitExceeded
from ytray.settings import settings

if TYPE_CHECKING:
    from ytray.engine.task import Task
    from ytray.engine.worker import Worker

_LOOK_EVERY = 0.2  # seconds between looks while no lease is old
_PATIENT_WITH_NEIGHBOURS = 1.0  # seconds: jobs behind one that turns out to be long go back to the queue
DRAINED = "its node is drained"


class Interrupted(BaseException):
    """Raised inside a task whose job was cancelled or given to another worker.

    Not an Exception, so that a task's own `except Exception` does not swallow it.
    """


class HandOver(Interrupted):
    """The same where the node is drained: the job is still this worker's, to be handed over once it has stopped."""


@dataclass(slots=True)
class _Running:
    """The job whose function runs now. Times are of time.perf_counter()."""

    job: CurrentJob
    task: Task[..., Any]
    started: float
    soft_at: float
    hard_at: float
    interrupted: str = ""
    hands_over: bool = False
    kill_at: float = float("inf")


@dataclass(slots=True)
class Lease:
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
        self._lease: Lease | None = None
        self._running: _Running | None = None
        self.lock = threading.RLock()
        self._log = logs.get("ytray.watch")
        self._beat_every = settings().lease_seconds / 3
        self._last_beat = 0.0
        self._drained_at: float | None = None  # what still runs then is interrupted; inf: nothing is. None: no drain
        signal.signal(signal.SIGALRM, self._on_alarm)
        threading.Thread(target=self._watch, name="ytray-watch", daemon=True).start()

    # ------------------------------------------------------------------------------------------ the task's thread

    @contextlib.contextmanager
    def over(self, jobs: Sequence[tuple[str, int]]) -> Iterator[Lease]:
        """Keep these leases alive until the block ends."""
        self._lease = lease = Lease(dict(jobs))
        self._last_beat = lease.taken_up
        try:
            yield lease
        finally:
            with self.lock:
                self._lease = None

    def settled(self, ids: Iterable[str]) -> None:
        """These jobs have been committed, or are no longer this worker's: they need no heartbeat."""
        lease = self._lease
        if lease is not None:
            for job_id in ids:
                lease.jobs.pop(job_id, None)

    @contextlib.contextmanager
    def limits(
        self, job: CurrentJob, task: Task[..., Any], soft: float | None, hard: float | None, started: float
    ) -> Iterator[None]:
        """Run the block under the job's time limits (seconds)."""
        soft_limit = task.soft_time_limit if soft is None else soft
        hard_limit = task.time_limit if hard is None else hard
        self._running = _Running(job, task, started, started + soft_limit, started + hard_limit)
        signal.setitimer(signal.ITIMER_REAL, soft_limit)
        try:
            yield
        finally:
            self._running = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_alarm(self, *_: object) -> None:
        running = self._running
        if running is None:
            return
        if running.interrupted:
            raise (HandOver if running.hands_over else Interrupted)(running.interrupted)
        if time.perf_counter() >= running.soft_at:
            limit = running.soft_at - running.started
            raise SoftTimeLimitExceeded(f"job {running.job.id} ran longer than its soft time limit of {limit:g} s")

    # ------------------------------------------------------------------------------------------ the watching thread

    def _watch(self) -> None:
        is_told = False
        while True:
            lease = self._lease
            now = time.perf_counter()
            if lease is None or now - lease.taken_up < _LOOK_EVERY:
                time.sleep(min(_LOOK_EVERY, self._beat_every / 2))
                continue
            try:
                self._look_after(lease, now)
                is_told = False
            except (SystemUnavailable, redis.RedisError) as away:
                # The leases may end meanwhile; their fences keep that safe. Go on and see.
                if not is_told:
                    self._log.warning("heartbeat missed", error=str(away))
                is_told = True
                time.sleep(_LOOK_EVERY)

    def _look_after(self, lease: Lease, now: float) -> None:
        running = self._running
        if running is not None:
            if now >= min(running.hard_at, running.kill_at):
                self._kill(running)
            if now - running.started > _PATIENT_WITH_NEIGHBOURS or self._drained_at is not None:
                self._hand_back_neighbours(lease)
            if self._drained_at is not None and now >= self._drained_at:
                self._interrupt(running.job.id, DRAINED, hands_over=True)
        if now - self._last_beat >= self._beat_every:
            self._beat(lease)
        wait = self._last_beat + self._beat_every - now
        if running is not None:
            wait = min(wait, running.hard_at - now, running.kill_at - now)
            if self._drained_at is not None and not running.interrupted:
                wait = min(wait, self._drained_at - now)
            if len(lease.jobs) > 1:
                wait = min(wait, _PATIENT_WITH_NEIGHBOURS)
        # A lease ends without a word to this thread, so it never waits for long.
        order = self._worker.store.blocking_pop([f"ctl:{self._worker.name}"], max(0.01, min(wait, 1.0)))
        if order is not None:
            self._obey(*order.decode().split(" ", 1))

    def _obey(self, order: str, what: str) -> None:
        if order == "drain":
            self._drained_at = time.perf_counter() + float(what)
        else:
            self._interrupt(what, "its job was cancelled")

    def _beat(self, lease: Lease) -> None:
        self._last_beat = time.perf_counter()
        held = list(lease.jobs.items())
        lost = self._worker.store.beat("tracker", self._worker.name, self._worker.lease_ms, held)
        for job_id in lost:
            if job_id in lease.jobs:  # else it was settled while the heartbeat was on its way
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
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    def _hand_back_neighbours(self, lease: Lease) -> None:
        waiting = lease.give_up_waiting()
        self._worker.commit()
        if waiting and self._drained_at is not None:
            self._worker.hand_over(waiting, DRAINED)
        elif waiting:
            self._worker.store.hand_back(
                waiting, "a job before it in the same lease takes long", blame=False, result_ttl=self._worker.result_ttl
            )

    def _kill(self, running: _Running) -> None:
        """Stop a job that does not stop by itself: its processes, and this one."""
        with self.lock:
            if self._running is not running:
                return
            # First the processes, so that whoever learns of the end finds them gone.
            kill_processes_of(running.job.id)
            self._worker.commit()
            lease = self._lease
            if lease is not None:
                self._hand_back_neighbours(lease)
            if running.hands_over:
                self._worker.hand_over([(running.job.id, running.job.fence)], DRAINED)
            elif not running.interrupted:
                limit = running.hard_at - running.started
                error = TimeLimitExceeded(f"job {running.job.id} ran longer than its time limit of {limit:g} s")
                self._worker.fail(running.job, error, running.started, task=running.task)
            # Ray starts the task again in a new process, which finds that the job is no longer its own.
            os.kill(os.getpid(), signal.SIGKILL)
