"""Tasks of a user's own module, as YTRAY_IMPORTS names it."""

from __future__ import annotations

import time

from ytray import PermanentError, current_job, task


@task()
def square(number: int) -> int:
    return number * number


@task(queue="media")
def film(seconds: float) -> str:
    """Take a while, and say how far it is."""
    begun = time.monotonic()
    while (spent := time.monotonic() - begun) < seconds:
        current_job().progress(100 * spent / seconds, f"frame {round(spent * 30)}")
        time.sleep(0.05)
    print("the last frame")
    return "filmed"


@task()
def blocked(why: str) -> None:
    raise PermanentError(f"blocked by the safety filter: {why}")
