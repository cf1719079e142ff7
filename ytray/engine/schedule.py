"""Tasks that run by schedule. Each due time fires once, however many trackers there are or were."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from croniter import croniter

from ytray.engine.store import Store, Submission
from ytray.errors import SettingsError
from ytray.settings import settings


class Schedule:
    """Submits `cleanup_old_results` when YTRAY_CLEANUP_CRON says so (UTC)."""

    TASK = "cleanup_old_results"
    _CODE = b'{"code":"ytray.tasks.processing:cleanup_old_results","args":{}}'

    def __init__(self, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        cron = settings().cleanup_cron
        if not croniter.is_valid(cron):
            raise SettingsError(
                f"YTRAY_CLEANUP_CRON is no cron expression: {cron!r} (five fields, as in '*/10 * * * *')"
            )
        self._store = store
        self._clock = clock
        self._times = croniter(cron, clock(), second_at_beginning=True)
        self._next: datetime = self._times.get_next(datetime)

    def submit_due(self) -> float:
        """Submit what is due, and return the seconds until the next due time."""
        while (seconds := (self._next - self._clock()).total_seconds()) <= 0:
            # The id is made of the due time, so a second tracker's firing is the same job.
            job_id = f"{self.TASK}-{self._next:%Y%m%dT%H%M%S}"
            self._store.submit([(job_id, self._CODE)], Submission(self.TASK, "batch", "batch", priority=4))
            self._next = self._times.get_next(datetime)
        return seconds
