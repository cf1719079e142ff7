"""Tasks that run by schedule. Each due time fires once, however many trackers there are or were.

Times that passed while nobody looked, as in a laptop's sleep, are made up for once. What fired last is in Redis, so
that a new tracker neither leaves one out nor fires it again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from ytray.engine.base.cron import latest_until, name_of, next_after, was_set_back
from ytray.engine.state.store import Store, Submission
from ytray.settings import settings


class Schedule:
    """Submits `cleanup_old_results` when YTRAY_CLEANUP_CRON says so (UTC).

    Args:
        fired: the due time that was fired last; what came after it is made up for. None: nothing is.
        remember: told each due time that was fired.
    """

    TASK = "cleanup_old_results"
    _CODE = b'{"code":"ytray.tasks.processing:cleanup_old_results","args":{}}'

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        fired: datetime | None = None,
        remember: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        self._cron = settings().cleanup_cron
        self._store = store
        self._clock = clock
        self._remember = remember
        self._latest = fired
        self._done = fired or clock()  # what was due until then is settled

    @classmethod
    def of_system(cls, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Schedule:
        """The schedule as the last tracker of the system left it."""
        key = store.key("schedules")
        known = cast("bytes | None", store.redis.hget(key, cls.TASK))
        return cls(
            store,
            clock,
            fired=_moment(known or b""),
            remember=lambda due: cast(None, store.redis.hset(key, cls.TASK, due.isoformat())),
        )

    def submit_due(self) -> float:
        """Submit what is due, and return the seconds until the next due time."""
        now = self._clock()
        if was_set_back(self._cron, self._done, now):
            self._done = now
        due = latest_until(self._cron, now)
        if due > self._done:
            # The id is made of the due time, so a second tracker's firing is the same job.
            job_id = f"{self.TASK}-{name_of(due, self._latest)}"
            self._store.submit([(job_id, self._CODE)], Submission(self.TASK, "batch", "batch", priority=4))
            self._done = due
            self._latest = due if self._latest is None else max(self._latest, due)
            self._remember(due)
        return (next_after(self._cron, now) - now).total_seconds()


def _moment(stored: bytes) -> datetime | None:
    """The time that was stored; None for what is none: then nothing is made up for."""
    try:
        found = datetime.fromisoformat(stored.decode())
    except ValueError:
        return None
    return None if found.tzinfo is None else found
