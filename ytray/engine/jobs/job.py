"""A handle on one job."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic_core import from_json

from ytray.engine.base.context import refuse_in_flow, running_job
from ytray.engine.base.model import JobState, JobStatus, Transition
from ytray.engine.base.values import check_text
from ytray.engine.state.connection import running_store, store
from ytray.engine.state.records import unknown_job
from ytray.errors import DamagedJob, JobCancelled, JobFailed, ResultExpired
from ytray.settings import settings

if TYPE_CHECKING:
    from ytray.engine.state.waiting import Ending

R_co = TypeVar("R_co", covariant=True)


class Job(Generic[R_co]):
    """A submitted job. `Job("an-id")` is a handle on any job by its id; its result is then plain JSON."""

    __slots__ = ("_decode", "_ending", "id")

    def __init__(self, job_id: str, decode: Callable[[bytes], R_co] = from_json) -> None:
        self.id = job_id
        self._decode = decode
        self._ending: Ending | None = None  # fetched ahead, for the next `get`

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def get(self, timeout: float | None = None) -> R_co:
        """Wait for the job's end and return its result.

        Args:
            timeout: seconds to wait at most; None waits for as long as it takes.

        Raises TimeoutError once they are over, also while Redis is away; JobFailed (with the error, traceback and
        retry count), JobCancelled, ResultExpired, UnknownJob, DamagedJob; SystemUnavailable when Redis stays away for a
        minute. In a task, Deadlock when the job needs the slot that the task keeps; in a flow, BlockingCall (say `await
        job` there).
        """
        refuse_in_flow("job.get()", "`await job`")
        ending, self._ending = self._ending, None
        return self.outcome(ending or running_store().wait_until_ended(self.id, timeout))

    def status(self) -> JobStatus:
        """What is known of the job now. Raises UnknownJob."""
        return store().status(self.id)

    def history(self) -> list[Transition]:
        """Every move of the job, oldest first. Raises UnknownJob."""
        return store().history(self.id)

    def cancel(self, reason: str = "cancelled by its user") -> None:
        """Cancel the job wherever it is; its processes are stopped. Raises InvalidTransition, InvalidArguments."""
        check_text(reason, "a reason")
        store().cancel(self.id, reason, settings().result_ttl)

    def __await__(self) -> Generator[Any, None, R_co]:
        return self._wait().__await__()

    async def _wait(self) -> R_co:
        job = running_job()
        if job is not None and job.wait_for_end is not None:
            state = await job.wait_for_end(self.id)
            if job.steps is not None:
                job.steps.ended(self.id)
            return self.outcome(store().ending(self.id, state))
        where = await asyncio.to_thread(running_store)  # which may have to connect
        return self.outcome(await where.ending_of(self.id))

    def hold(self, ending: Ending) -> None:
        """Keep what came of the job for the next `get`."""
        self._ending = ending

    def outcome(self, ending: Ending) -> R_co:
        """The result that an ending tells of. Raises what `get` does."""
        if ending.state is JobState.COMPLETED:
            if ending.result is None:
                raise ResultExpired(
                    f"job {self.id} completed, but its result was kept only for {settings().result_ttl} s "
                    "(YTRAY_RESULT_TTL)"
                )
            try:
                return self._decode(ending.result)
            except ValueError as wrong:
                raise DamagedJob(f"job {self.id} completed, but its result cannot be read: {wrong}") from None
        if ending.state is JobState.CANCELLED:
            raise JobCancelled(self.id)
        if ending.state is None:
            raise unknown_job(self.id)
        raise JobFailed(self.id, ending.error, ending.traceback, ending.retries)


def new_job_id() -> str:
    """A fresh id; ids sort by the time they were made."""
    return f"{time.time_ns() // 1_000_000:011x}{os.urandom(8).hex()}"


def new_job_ids(number: int) -> list[str]:
    """Fresh ids for jobs that are submitted together, at most 2²⁰: they sort as they are listed, and begin alike."""
    start = new_job_id()[:-5]
    return [f"{start}{place:05x}" for place in range(number)]
