"""When a failed attempt is tried again. Ray's own retries come first: they re-run a job whose worker or node died."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ytray.engine.base.error_text import leaves
from ytray.errors import PermanentError
from ytray.settings import settings

_ONCE_MORE = 1.0  # seconds until what time does not heal is tried again


def is_delay(value: object) -> bool:
    """Whether a value is seconds that something can be put off for: a number from 0 to a year."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 366 * 86400


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a task that raised is run again: `@task(retry=RetryPolicy(delays=(1, 5)))`.

    Args:
        delays: seconds before each retry, so as many retries as numbers; None takes YTRAY_RETRY_DELAYS
            (60, 300, 1800, 7200, 7200).
        jitter: share of a delay, 0 to 1, added at random, so that jobs that failed together do not come back
            together; None takes YTRAY_RETRY_JITTER (0.1).
        permanent: exception types that are never retried, beside `PermanentError`; nor is a group that holds one.
        heals: says of an error whether time may heal it. What it does not is tried once more, a second later, and then
            given up: a step that always does the same would fail the same way. None: time may heal everything.
    """

    delays: tuple[float, ...] | None = None
    jitter: float | None = None
    permanent: tuple[type[BaseException], ...] = ()
    heals: Callable[[BaseException], bool] | None = None

    def __post_init__(self) -> None:
        for delay in self.delays or ():
            if not is_delay(delay):
                raise ValueError(f"RetryPolicy: a delay is in seconds, from 0 to a year, not {delay!r}")
        if self.jitter is not None and not 0 <= self.jitter <= 1:
            raise ValueError("RetryPolicy: jitter is a share between 0 and 1")
        for kind in self.permanent:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise ValueError(f"RetryPolicy: permanent holds exception types, as in (ValueError,), not {kind!r}")

    def seconds(self) -> tuple[float, ...]:
        """The delays in force, before what is added at random."""
        return settings().retry_delays if self.delays is None else self.delays

    def delay_after(self, error: BaseException, retries_used: int) -> float | None:
        """Seconds until the next attempt, or None when there is none: the job goes to the dead-letter queue."""
        if any(isinstance(one, (PermanentError, *self.permanent)) for one in (error, *leaves(error))):
            return None
        delays = self.seconds()
        if retries_used >= len(delays):
            return None
        if self.heals is not None and not self.heals(error):
            return min(_ONCE_MORE, delays[0]) if retries_used == 0 else None
        jitter = settings().retry_jitter if self.jitter is None else self.jitter
        return delays[retries_used] * (1 + random.uniform(0, jitter))
