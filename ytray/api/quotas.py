"""How much one user with a key may have under way: jobs, their arguments, rows, schedules, and at what priority.

Counted from what Redis has, so that nothing has to be kept up to date with it; then so much is given out until it is
used up, and counted again. Each replica counts for itself: together they may let in a little more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import cast

from ytray.api.keys import Caller
from ytray.api.problems import Forbidden, OverQuota
from ytray.engine.base.model import DEFAULT_PRIORITY, QUEUE_PRIORITIES, JobState
from ytray.engine.state.reading import Reading
from ytray.settings import settings

_PAGE = 1_000  # jobs that are looked at in one go
_COUNTED_FOR = 60.0  # seconds that a count is gone by
_NOT_OFTENER = 1.0  # seconds between two counts for a user who has nothing left
_MOST_KEPT = 10_000  # users


@dataclass(slots=True)
class _Left:
    """What a user has left of each quota, since when that was counted."""

    jobs: float
    size: float
    counted: float


class Quotas:
    """What users whose keys are bound to them may still submit."""

    def __init__(self, where: Reading) -> None:
        self._store = where
        self._left: dict[str, _Left] = {}

    def take(self, caller: Caller, size: int) -> None:
        """Room for one more job with arguments of so many bytes. Raises OverQuota."""
        user, given = caller.sees_only, settings()
        if user is None or not (given.user_jobs or given.user_bytes):
            return
        left, now = self._left.get(user), time.monotonic()
        is_used_up = left is None or left.jobs < 1 or left.size < size
        if left is None or now - left.counted > (_NOT_OFTENER if is_used_up else _COUNTED_FOR):
            if len(self._left) > _MOST_KEPT:
                self._left.clear()
            left = self._left[user] = self._counted(user, now)
        if left.jobs < 1:
            raise OverQuota(
                f"user {user!r} has {given.user_jobs:,} jobs that have not ended, as many as YTRAY_USER_JOBS allows"
            )
        if left.size < size:
            raise OverQuota(
                f"the arguments of the jobs of user {user!r} that have not ended would be larger together than the "
                f"{given.user_bytes:,} bytes of YTRAY_USER_BYTES"
            )
        left.jobs -= 1
        left.size -= size

    def check_batch(self, caller: Caller, rows: int, *, repeats: bool) -> None:
        """Room for a batch of so many rows, maybe one that `repeats` by cron. Raises OverQuota."""
        user, given = caller.sees_only, settings()
        if user is None:
            return
        waiting, schedules = self._batches_of(user)
        if given.user_rows and waiting + rows > given.user_rows:
            raise OverQuota(
                f"user {user!r} has {waiting:,} rows of batches waiting, and with these {rows:,} more than the "
                f"{given.user_rows:,} of YTRAY_USER_ROWS"
            )
        if repeats and schedules >= given.user_schedules:
            raise OverQuota(
                f"user {user!r} has {schedules:,} batches that repeat by cron, as many as YTRAY_USER_SCHEDULES allows"
            )

    def _counted(self, user: str, now: float) -> _Left:
        """The steps of flows count with their flow: they are as many as they are only for a while."""
        jobs = size = 0
        for queue in QUEUE_PRIORITIES:
            for state in (state for state in JobState if not state.has_ended):
                name, start = self._store.key(f"in:{queue}:{state}"), 0
                while ids := cast("list[bytes]", self._store.redis.zrange(name, start, start + _PAGE - 1)):
                    start += len(ids)
                    whole = [job_id.decode(errors="replace") for job_id in ids if b"." not in job_id]
                    found = [size for owner, size in self._store.owners_and_sizes(whole) if owner == user]
                    jobs, size = jobs + len(found), size + sum(found)
        given = settings()
        return _Left(
            jobs=given.user_jobs - jobs if given.user_jobs else float("inf"),
            size=given.user_bytes - size if given.user_bytes else float("inf"),
            counted=now,
        )

    def _batches_of(self, user: str) -> tuple[int, int]:
        living = cast("set[bytes]", self._store.redis.smembers(self._store.key("living")))
        pipe = self._store.redis.pipeline(transaction=False)
        for batch in living:
            pipe.hmget(self._store.key(f"b:{batch.decode(errors='replace')}"), ["user", "waiting", "cron"])
        found = [one for one in pipe.execute(raise_on_error=False) if isinstance(one, list) and one[0] == user.encode()]
        return sum(int(waiting or 0) for _, waiting, _ in found), sum(cron is not None for _, _, cron in found)


def priority_for(caller: Caller, asked: int | None) -> int:
    """The priority of a submission: what is asked for, else the usual one. Raises Forbidden for one too high."""
    most = 9 if caller.priority is None else caller.priority
    whose = "this key"
    if caller.sees_only is not None and settings().user_priority < most:
        most, whose = settings().user_priority, "a key that is bound to a user (YTRAY_USER_PRIORITY)"
    if asked is not None and asked > most:
        raise Forbidden(f"{whose} may give a priority of {most} at most, not {asked}")
    return min(most, DEFAULT_PRIORITY) if asked is None else asked
