"""The tasks of simulated jobs. Nobody runs them: their slots are only held for `seconds`."""

from __future__ import annotations

from pydantic_core import from_json

from ytray import task
from ytray.engine.state.store import Claimed


@task(queue="generation")
def simulated_item(seconds: float, number: int = 0) -> float:
    """An item of a simulated batch."""
    return seconds * number


def seconds_of(job: Claimed) -> float:
    """How long a simulated job holds its slot."""
    return float(from_json(job.spec)["args"]["seconds"])
