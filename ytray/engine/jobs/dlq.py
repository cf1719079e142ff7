"""The dead-letter queue: jobs that failed for good, kept until somebody replays or removes them."""

from __future__ import annotations

from collections.abc import Iterable

from ytray.engine.base.model import DeadLetter, DeadLetterPage
from ytray.engine.state.connection import running_store, store
from ytray.engine.state.reading import Place
from ytray.engine.state.records import read_cursor, write_cursor
from ytray.errors import DamagedJob, UnknownJob

_LARGEST_PAGE = 8 << 20  # bytes of arguments


class DeadLetterQueue:
    """`ytray.dlq`: list, show, replay and remove dead-lettered jobs, from any process."""

    def list_all(self) -> list[DeadLetter]:
        """Every job in the dead-letter queue, the one that failed first first."""
        return store().dead_letters()

    def page(self, *, limit: int = 100, cursor: str | None = None, user_id: str | None = None) -> DeadLetterPage:
        """A page of it, oldest first; give its `next_cursor` as `cursor` to go on. Raises InvalidArguments.

        It ends early where the arguments that it tells have some megabytes together.
        """
        place = None if cursor is None else read_cursor(cursor)
        chosen: list[Place] = []
        where, room = store(), _LARGEST_PAGE
        is_more = True
        while is_more and len(chosen) < limit and room > 0:
            places = where.dead_places_after(place, limit)
            told = where.owners_and_sizes([job_id for _, job_id in places])
            is_more = len(places) == limit
            for place, (owner, size) in zip(places, told, strict=True):
                if user_id in (None, owner):
                    chosen.append(place)
                    room -= size
                    if len(chosen) == limit or room <= 0:
                        is_more = is_more or place != places[-1]
                        break
        found = where.dead_letters_at(chosen)
        place = place if is_more or len(chosen) == limit else None
        total = None if user_id is not None else where.redis.zcard(where.key("dlq"))
        return DeadLetterPage(
            dead_letters=found, total=total, next_cursor=None if place is None else write_cursor(place)
        )

    def ids(self, user_id: str | None = None) -> list[str]:
        """The jobs in it, of all or of one user, the one that failed first first."""
        where = store()
        ids = [job_id for _, job_id in where.dead_places_after(None, max(1, where.redis.zcard(where.key("dlq"))))]
        if user_id is None:
            return ids
        owners = where.owners_and_sizes(ids)
        return [job_id for job_id, (owner, _) in zip(ids, owners, strict=True) if owner == user_id]

    def show(self, job_id: str) -> DeadLetter:
        """One of them, with its arguments, error and traceback. Raises UnknownJob when it is not in the queue."""
        return store().dead_letters([job_id])[0]

    def retry_task(self, job_id: str) -> None:
        """Run the job once more, with all its retries restored. Raises UnknownJob when it is not in the queue."""
        running_store().settle_dead_letter(job_id, "retry")

    def retry_many(self, job_ids: Iterable[str] | None = None) -> int:
        """Replay these jobs, or all; returns how many were in the queue and could be read."""
        ids = self.ids() if job_ids is None else list(job_ids)
        return sum(self._settled(job_id, "retry") for job_id in ids)

    def remove(self, job_id: str) -> None:
        """Take the job out without running it; it stays FAILED. Raises UnknownJob when it is not in the queue."""
        store().settle_dead_letter(job_id, "remove")

    def _settled(self, job_id: str, what: str) -> bool:
        try:
            running_store().settle_dead_letter(job_id, what)
        except (UnknownJob, DamagedJob):
            return False
        return True


dlq = DeadLetterQueue()
