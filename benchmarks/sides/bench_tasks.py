"""The tasks that ytray's side runs."""

from __future__ import annotations

import time

from ytray import task


@task()
def noop(number: int) -> int:
    """Do nothing."""
    return number


@task(queue="batch")
def short_sleep(seconds: float) -> None:
    """Wait, as a call to somebody else's service would."""
    time.sleep(seconds)


@task(queue="generation")
def started_at() -> float:
    """The Unix time at which this ran."""
    return time.time()
