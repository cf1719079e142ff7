"""`current_job()`: what a running task knows of the job it runs for, and how it reports on it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ytray.engine.base.error_text import clean
from ytray.engine.base.values import write
from ytray.errors import BlockingCall, DamagedJob, PayloadTooLarge, PermanentError, StaleFence, UnknownJob
from ytray.settings import settings

if TYPE_CHECKING:
    from ytray.engine.base.model import JobState
    from ytray.engine.run.steps import Steps
    from ytray.engine.state.store import Store

_LONGEST_MESSAGE = 2_000  # characters
_PROGRESS_EVERY = 0.1  # seconds: a report sooner than this after the last one is dropped, unless its message is new


@dataclass(slots=True, eq=False)
class CurrentJob:
    """The job that this code runs for. Outside a job it is inert: reports go nowhere, nothing is restored."""

    id: str
    task_name: str = ""
    attempt: int = 1
    fence: int = 0
    user_id: str | None = None
    worker: str = ""
    store: Store | None = None
    generation: int = 0
    wait_for_end: Callable[[str], Awaitable[JobState]] | None = None  # only a flow has it: it waits without a slot
    steps: Steps | None = None  # only a flow has them
    mark: bytes = b""  # of a flow (marks.py)
    has_ended: bool = False  # what threads that it left behind print and log is no job's any more
    begun_lines: dict[tuple[str, int], Any] = field(default_factory=dict)  # of printed.py
    is_unknown: bool = False  # where jobs run, in a thread of which nobody knows for which job it works
    _reported: tuple[float, str] = (float("-inf"), "")
    _process: int = field(default_factory=os.getpid)

    @property
    def is_flow(self) -> bool:
        """Whether what it submits are its steps."""
        return self.steps is not None

    def progress(self, percent: float, message: str = "") -> None:
        """Report progress, 0 to 100. Raises StaleFence when the job no longer belongs to this worker."""
        if not 0 <= percent <= 100:
            raise ValueError(f"progress is 0 to 100, not {percent}")
        if not self._can_report():
            return
        # A name of a file may hold what is no character; that is no reason for the task to fail.
        message = clean(message, _LONGEST_MESSAGE)
        now = time.monotonic()
        if now - self._reported[0] < _PROGRESS_EVERY and message == self._reported[1]:
            return
        self._reported = (now, message)
        self._write("progress", f"{percent:g}", message)

    def checkpoint(self, state: Any) -> None:
        """Store what a later attempt needs to go on from here: what JSON gives back as it is (docs/arguments.md).

        Raises StaleFence when the job no longer belongs to this worker, PayloadTooLarge, InvalidArguments;
        PermanentError in a process that the task has forked.
        """
        if not self._can_report():
            return
        if os.getpid() != self._process:
            raise PermanentError(
                f"job {self.id}: a forked process stores no checkpoint, since others would overwrite it; return what "
                "was done to the task, and store it there"
            )
        value = write(state, f"job {self.id}: a checkpoint")
        if len(value) > settings().max_payload:
            raise PayloadTooLarge(f"job {self.id}: a checkpoint of {len(value):,} bytes; store large data as a file")
        self._write("checkpoint", value)

    def restored(self) -> Any:
        """What the last checkpoint of an earlier attempt stored, or None. Raises DamagedJob when it cannot be read."""
        stored = self.store.checkpoint(self.id) if self._can_report() and self.store is not None else None
        try:
            return None if stored is None else from_json(stored)
        except ValueError as wrong:
            raise DamagedJob(f"the checkpoint of job {self.id} cannot be read: {wrong}") from None

    def _can_report(self) -> bool:
        if self.is_unknown:
            raise UnknownJob(
                f"thread {threading.current_thread().name!r} was started before the job that it works for, and knows "
                "none: start it within the task, use a ThreadPoolExecutor, or run what it does by "
                "contextvars.copy_context().run of the task"
            )
        return self.store is not None

    def _write(self, what: str, value: str | bytes, text: str = "") -> None:
        assert self.store is not None
        if not self.store.note((self.id, self.fence), self.worker, what, value, text):
            raise StaleFence(f"job {self.id} no longer belongs to this worker (fence {self.fence}): stop working on it")


_runs_jobs = False
_current: ContextVar[CurrentJob | None] = ContextVar("ytray_current_job", default=None)


def current_job() -> CurrentJob:
    """The job that this code runs for; outside a job, an inert one with a fresh id.

    In a thread of a worker that knows no job, its reports raise UnknownJob.
    """
    found = _current.get()
    if found is not None:
        return found
    is_unknown = _runs_jobs and threading.current_thread() is not threading.main_thread()
    return CurrentJob(id=f"local-{uuid.uuid4().hex[:12]}", is_unknown=is_unknown)


def running_job() -> CurrentJob | None:
    """The job that this code runs for, or None."""
    return _current.get()


def job_in(context: Context) -> CurrentJob | None:
    """The job that code in this context runs for, or None."""
    return context.get(_current)


def jobs_run_here() -> None:
    """This process is a worker: a thread that knows no job is likely to work for one all the same."""
    global _runs_jobs
    _runs_jobs = True


def enter_job(job: CurrentJob | None) -> None:
    """Make `job` the current one of this thread or coroutine."""
    _current.set(job)


def refuse_in_flow(call: str, instead: str) -> None:
    """Raise BlockingCall when a flow makes this blocking call where all flows run; in a thread of its own it may."""
    job = _current.get()
    if job is None or not job.is_flow:
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise BlockingCall(f"flow {job.task_name}: {call} would hold up every other flow; use {instead} instead")
