"""Deleting what is old: ended jobs with their histories, after YTRAY_HISTORY_TTL. Results expire by themselves."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ytray.engine.connection import store
from ytray.engine.model import ENDED, QUEUE_PRIORITIES
from ytray.settings import settings

_PAGE = 500  # jobs


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a clean-up deleted, or in a dry run would."""

    job_ids: tuple[str, ...]

    @property
    def jobs_removed(self) -> int:
        """How many jobs went."""
        return len(self.job_ids)


def cleanup(*, dry_run: bool = False) -> Cleaned:
    """Delete the jobs that ended more than YTRAY_HISTORY_TTL seconds ago, with their histories and results.

    Kept all the same: jobs in the dead-letter queue, and the steps of a flow that is still there.
    """
    where = store()
    before_ms = (time.time() - settings().history_ttl) * 1000
    gone: list[str] = []
    for queue in QUEUE_PRIORITIES:
        for state in sorted(ENDED):
            kept = 0
            while True:
                # A job ended after it was created, so none that is newer than the limit can be due.
                ids = where.redis.zrangebyscore(
                    where.key(f"in:{queue}:{state}"), "-inf", before_ms, start=kept, num=_PAGE
                )
                page = [job_id.decode() for job_id in ids if isinstance(job_id, bytes)]
                if not page:
                    break
                removed = where.forget(page, before_ms, dry_run=dry_run)
                gone.extend(removed)
                kept += len(page) if dry_run else len(page) - len(removed)
    return Cleaned(tuple(gone))
