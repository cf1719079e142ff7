"""A handle on one job."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic_core import from_json

from ytray.engine.connection import store
from ytray.engine.context import running_job
from ytray.engine.model import JobState, JobStatus, Transition
from ytray.errors import JobCancelled, JobFailed, ResultExpired
from ytray.settings import settings

if TYPE_CHECKING:
    from ytray.engine.store import Store

R = TypeVar("R")


class Job(Generic[R]):
    """A submitted job. `Job("an-id")` is a handle on any job by its id; its result is then plain JSON."""

    __slots__ = ("_decode", "id")

    def __init__(self, job_id: str, decode: Callable[[bytes], R] = from_json) -> None:
        self.id = job_id
        self._decode = decode

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def get(self, timeout: float | None = None) -> R:
        """Wait for the job's end and return its result.

        Args:
            timeout: seconds to wait at most; None waits for as long as it takes.

        Raises TimeoutError, JobFailed (with the error, traceback and retry count), JobCancelled, ResultExpired,
        UnknownJob.
        """
        return self._outcome(store(), store().wait_until_ended(self.id, timeout))

    def status(self) -> JobStatus:
        """What is known of the job now. Raises UnknownJob."""
        return store().status(self.id)

    def history(self) -> list[Transition]:
        """Every move of the job, oldest first. Raises UnknownJob."""
        return store().history(self.id)

    def cancel(self, reason: str = "cancelled by its user") -> None:
        """Cancel the job wherever it is; a running task's processes are stopped. Raises InvalidTransition."""
        store().cancel(self.id, reason, settings().result_ttl)

    def __await__(self) -> Generator[Any, None, R]:
        return self._wait().__await__()

    async def _wait(self) -> R:
        job = running_job()
        if job is not None and job.wait_for_end is not None:
            return self._outcome(store(), await job.wait_for_end(self.id))
        return await asyncio.to_thread(self.get)

    def _outcome(self, where: Store, state: JobState) -> R:
        if state is JobState.COMPLETED:
            result = where.result(self.id)
            if result is None:
                raise ResultExpired(
                    f"job {self.id} completed, but its result was kept only for {settings().result_ttl} s "
                    "(YTRAY_RESULT_TTL)"
                )
            return self._decode(result)
        if state is JobState.CANCELLED:
            raise JobCancelled(self.id)
        error, traceback, retries = where.fields(self.id, "error", "traceback", "retries")
        raise JobFailed(self.id, (error or b"").decode(), (traceback or b"").decode(), int(retries or 0))


def new_job_id() -> str:
    """A fresh id; ids sort by the time they were made."""
    return f"{time.time_ns() // 1_000_000:011x}{os.urandom(8).hex()}"
