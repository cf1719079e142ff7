"""Clocks that are set: what waits by the clock of Redis' machine goes on waiting for as long as it should.

Leases, delays and the order of queues are times of that clock. When it is set back, they would end later by as much,
and earlier when it is set forward; after a machine's sleep all leases would have ended before any worker can speak.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ytray.engine.base import logs
from ytray.engine.state.store import Store

_LEAST = 2.0  # seconds: less is a slow answer, or a clock that is brought in line step by step

_log = logs.get("ytray.clocks")


def _with_sleep() -> float:
    """Seconds that go on while the machine sleeps, where there is such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ClockWatch:
    """Compares the clock of Redis with those of this process, which nobody can set. `look` now and then.

    Args:
        awake, passed: seconds of a clock that stands still while the machine sleeps, and of one that goes on.
    """

    def __init__(
        self, store: Store, awake: Callable[[], float] = time.monotonic, passed: Callable[[], float] = _with_sleep
    ) -> None:
        self._store = store
        self._awake, self._passed = awake, passed
        self._known: tuple[float, float, float] | None = None

    def look(self) -> None:
        """Move what waits, if the clock was set since the last look, or before the first one was set back."""
        told, last = (int(ms) / 1000 for ms in self._store.call("clock", 0, 0))
        now = (told, self._awake(), self._passed())
        if self._known is None:
            # Of the last tracker's end nobody knows how long ago it was: but time does not run backwards.
            steps = (min(0.0, told - last),) * 2 if last else (0.0, 0.0)
        else:
            redis, awake, passed = (one - before for one, before in zip(now, self._known, strict=True))
            steps = (redis - awake, redis - passed)
        self._known = now
        leases, waits = (round(step * 1000) if abs(step) > _LEAST else 0 for step in steps)
        if leases or waits:
            _log.warning(
                "the clock of Redis was set, or the machine slept", leases_moved_ms=leases, waits_moved_ms=waits
            )
            self._store.call("clock", leases, waits)
