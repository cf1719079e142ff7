"""Waiting for many jobs: which to ask for, and when. Pure: the clients do the asking."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from ytray.client.model import Ended
from ytray.engine.base.model import JobState
from ytray.errors import JobCancelled, JobFailed, ResultExpired

_AT_ONCE = 10_000  # jobs that the API takes in one request
_LONGEST = 10.0  # seconds that one request waits


class Gathering:
    """The jobs whose ends are still missing.

    Args:
        job_ids: one that stands in it more than once counts once.
        timeout: seconds to wait at most; None waits for as long as it takes.
    """

    def __init__(self, job_ids: Iterable[str], timeout: float | None) -> None:
        self.missing = dict.fromkeys(job_ids)
        self._total = len(self.missing)
        self._timeout = timeout
        self._deadline = float("inf") if timeout is None else time.monotonic() + timeout
        self._is_asked_at_first = True

    @property
    def left(self) -> float:
        """Seconds left to wait."""
        return self._deadline - time.monotonic()

    def ask_for(self) -> tuple[list[str], float]:
        """Which jobs to ask for next, and for how many seconds to wait. Raises TimeoutError when no time is left."""
        if self.left <= 0 and not self._is_asked_at_first:
            raise self.too_late()
        self._is_asked_at_first = False
        ids = list(self.missing)[:_AT_ONCE]
        # With more than one request can take, each of them has its turn.
        longest = _LONGEST if len(self.missing) <= _AT_ONCE else 0.5
        return ids, max(0.0, min(longest, self.left))

    def take(self, asked: Iterable[str], ended: Iterable[Ended]) -> None:
        """Take in an answer."""
        for one in ended:
            self.missing.pop(one.job_id, None)
        for job_id in asked:  # to the end of the line
            if job_id in self.missing:
                del self.missing[job_id]
                self.missing[job_id] = None

    def too_late(self) -> TimeoutError:
        """The error for the end of the time."""
        missing = f"{len(self.missing):,} of {self._total:,} jobs"
        return TimeoutError(f"{missing} have not ended after {self._timeout:g} s; they go on in the background")


def result_of(ended: Ended) -> Any:
    """The result of a job. Raises JobFailed, JobCancelled, ResultExpired."""
    if ended.current_state is JobState.CANCELLED:
        raise JobCancelled(ended.job_id)
    if ended.current_state is JobState.FAILED:
        raise JobFailed(ended.job_id, ended.error or "", "", ended.retry_count)
    if ended.error is not None:
        raise ResultExpired(f"job {ended.job_id} completed, but {ended.error}")
    return ended.result
