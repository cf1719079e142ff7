"""When a failed attempt is tried again. Ray's own retries come first: they re-run a job whose worker or node died."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ytray.errors import PermanentError
from ytray.settings import settings


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a task that raised is run again: `@task(retry=RetryPolicy(delays=(1, 5)))`.

    Args:
        delays: seconds before each retry, so as many retries as numbers; None takes YTRAY_RETRY_DELAYS
            (60, 300, 1800, 7200, 7200).
        jitter: share of a delay, 0 to 1, added at random, so that jobs that failed together do not come back
            together; None takes YTRAY_RETRY_JITTER (0.1).
        permanent: exception types that are never retried, beside `PermanentError`.
    """

    delays: tuple[float, ...] | None = None
    jitter: float | None = None
    permanent: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if any(delay < 0 for delay in self.delays or ()):
            raise ValueError("RetryPolicy: a delay cannot be negative")
        if self.jitter is not None and not 0 <= self.jitter <= 1:
            raise ValueError("RetryPolicy: jitter is a share between 0 and 1")

    def seconds(self) -> tuple[float, ...]:
        """The delays in force, before what is added at random."""
        return settings().retry_delays if self.delays is None else self.delays

    def delay_after(self, error: BaseException, retries_used: int) -> float | None:
        """Seconds until the next attempt, or None when there is none: the job goes to the dead-letter queue."""
        if isinstance(error, (PermanentError, *self.permanent)):
            return None
        delays = self.seconds()
        if retries_used >= len(delays):
            return None
        jitter = settings().retry_jitter if self.jitter is None else self.jitter
        return delays[retries_used] * (1 + random.uniform(0, jitter))
