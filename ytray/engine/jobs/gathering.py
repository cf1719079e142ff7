"""Many jobs at once: their results as a list, or the jobs as they end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from ytray.engine.base.context import refuse_in_flow
from ytray.engine.jobs.job import Job
from ytray.engine.state.connection import running_store
from ytray.engine.state.records import unknown_job

R = TypeVar("R")


def get(jobs: Iterable[Job[R]], timeout: float | None = None) -> list[R]:
    """Wait for the ends of jobs, and return their results in the order of `jobs`.

    It takes a few round trips, also for thousands of jobs: results are fetched together, while other jobs still run.
    The first job that does not complete ends the wait with its error; the others go on in the background.

    Args:
        jobs: one job may stand in it more than once.
        timeout: seconds to wait for all of them at most; None waits for as long as it takes.

    Raises TimeoutError, which says how many are missing; JobFailed, JobCancelled, ResultExpired and UnknownJob, which
    name the job; SystemUnavailable when Redis stays away for a minute; in a task, Deadlock when a job needs the slot
    that the task keeps; in a flow, BlockingCall: `await asyncio.gather(*jobs)`.
    """
    refuse_in_flow("ytray.get()", "`await asyncio.gather(*jobs)`")
    given = list(jobs)
    by_id: dict[str, list[int]] = {}
    for place, job in enumerate(given):
        by_id.setdefault(job.id, []).append(place)
    results: dict[int, R] = {}
    for ending in running_store().endings(by_id, timeout) if given else ():
        for place in by_id[ending.job_id]:
            results[place] = given[place].outcome(ending)
    return [results[place] for place in range(len(given))]


def as_completed(jobs: Iterable[Job[R]], timeout: float | None = None) -> Iterator[Job[R]]:
    """The jobs as they end, those that fail too; what came of each has been fetched, so its next `get` does not wait.

    Args:
        jobs: one that stands in it more than once comes once.
        timeout: seconds from the first step of the iteration to the last end, at most; None waits for as long as it
            takes.

    Raises TimeoutError, which says how many are missing; UnknownJob; SystemUnavailable when Redis stays away for a
    minute; BlockingCall in a flow, which awaits the jobs.
    """
    refuse_in_flow("ytray.as_completed()", "`asyncio.as_completed(jobs)` with `await`")
    by_id: dict[str, Job[R]] = {}
    for job in jobs:
        by_id.setdefault(job.id, job)
    for ending in running_store().endings(by_id, timeout, needs_all=False) if by_id else ():
        job = by_id[ending.job_id]
        if ending.state is None:
            raise unknown_job(job.id)
        job.hold(ending)
        yield job
