"""The dead-letter queue: jobs that failed for good, kept until somebody replays or removes them."""

from __future__ import annotations

from collections.abc import Iterable

from ytray.engine.connection import store, submitting_store
from ytray.engine.model import DeadLetter, DeadLetterPage
from ytray.engine.records import read_cursor, write_cursor
from ytray.errors import DamagedJob, UnknownJob


class DeadLetterQueue:
    """`ytray.dlq`: list, show, replay and remove dead-lettered jobs, from any process."""

    def list_all(self) -> list[DeadLetter]:
        """Every job in the dead-letter queue, the one that failed first first."""
        return store().dead_letters()

    def page(self, *, limit: int = 100, cursor: str | None = None, user_id: str | None = None) -> DeadLetterPage:
        """A page of it, oldest first; give its `next_cursor` as `cursor` to go on. Raises InvalidArguments."""
        place = None if cursor is None else read_cursor(cursor)
        found: list[DeadLetter] = []
        where = store()
        while len(found) < limit:
            letters = where.dead_letters_after(place, limit)
            for letter in letters:
                place = (round(letter.failed_at.timestamp() * 1000), letter.job_id)
                if user_id in (None, letter.user_id):
                    found.append(letter)
                    if len(found) == limit:
                        break
            if len(letters) < limit:
                place = None if len(found) < limit else place
                break
        total = None if user_id is not None else where.redis.zcard(where.key("dlq"))
        return DeadLetterPage(
            dead_letters=found, total=total, next_cursor=None if place is None else write_cursor(place)
        )

    def show(self, job_id: str) -> DeadLetter:
        """One of them, with its arguments, error and traceback. Raises UnknownJob when it is not in the queue."""
        return store().dead_letters([job_id])[0]

    def retry_task(self, job_id: str) -> None:
        """Run the job once more, with all its retries restored. Raises UnknownJob when it is not in the queue."""
        submitting_store().settle_dead_letter(job_id, "retry")

    def retry_many(self, job_ids: Iterable[str] | None = None) -> int:
        """Replay these jobs, or all; returns how many were in the queue and could be read."""
        ids = [letter.job_id for letter in self.list_all()] if job_ids is None else list(job_ids)
        return sum(self._settled(job_id, "retry") for job_id in ids)

    def remove(self, job_id: str) -> None:
        """Take the job out without running it; it stays FAILED. Raises UnknownJob when it is not in the queue."""
        store().settle_dead_letter(job_id, "remove")

    def _settled(self, job_id: str, what: str) -> bool:
        try:
            submitting_store().settle_dead_letter(job_id, what)
        except (UnknownJob, DamagedJob):
            return False
        return True


dlq = DeadLetterQueue()
