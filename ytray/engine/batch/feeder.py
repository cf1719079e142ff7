"""The feeder: a thread of the tracker that gives jobs to the waiting items of batches, fairly and not too many at once.

It holds no state. What happens when it dies: the next tracker's goes on; a release, a start and a firing are each one
atomic move that may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import redis

from ytray.engine.base import logs
from ytray.engine.base.cron import name_of, next_after, was_set_back
from ytray.engine.base.model import FLOW_LANE, JobState, time_of
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.shares import Claim, shares
from ytray.engine.state.store import Store
from ytray.errors import InvalidBatchMove, InvalidTransition, SystemUnavailable, UnknownBatch, UnknownJob, YtrayError
from ytray.settings import settings

_AHEAD = 5.0  # seconds of work that a batch has in the making at once, and behind which a newer one waits
_EACH_SLOT = 4  # items in the making for each slot at least: while one is spoken, another is drawn and a third rendered
_MOST_ACTIVE = 2000  # items of one batch in the making at once
_KNOWN_FROM = 5  # items that must have ended before their time counts
_NOT_OFTENER = 0.02  # seconds between two looks: each end of an item asks for one
_AT_LEAST_EVERY = 2.0  # seconds
_STOPPED_AT_ONCE = 100  # jobs of a cancelled batch

_log = logs.get("ytray.feeder")


@dataclass(frozen=True, slots=True)
class _Living:
    """A batch that has not ended, as the feeder sees it."""

    batch: str
    state: str
    user: str
    priority: int
    waiting: int
    active: int
    concurrency: int | None
    start_ms: int
    fired_ms: int
    cron: str
    took: int
    took_ms: int
    queue: str
    lane: str
    owner: str


_FIELDS = (
    "state", "user", "prio", "waiting", "active", "concurrency", "start", "fired", "cron", "took", "took_ms", "queue",
    "lane", "owner",
)  # fmt: skip


def _living(batch: str, stored: Sequence[bytes | None]) -> _Living:
    state, user, prio, waiting, active, concurrency, start, fired, cron, took, took_ms, queue, lane, owner = (
        "" if value is None else value.decode() for value in stored
    )
    return _Living(
        batch, state, user, int(prio), int(waiting), int(active), int(concurrency or 0) or None,
        int(start or 0), int(fired or 0), cron, int(took or 0), int(took_ms or 0), queue, lane, owner,
    )  # fmt: skip


class Feeder:
    """Feeds the batches of one ytray system; `slots` tells what the cluster offers by queue."""

    def __init__(self, store: Store, slots: Callable[[], Mapping[str, int]]) -> None:
        self._store = store
        self._ledger = Ledger(store)
        self._slots = slots
        self._told_slots: dict[str, int] = {}
        self._told_shares: dict[str, str] = {}
        self._told_damaged: set[str] = set()

    def feed_forever(self) -> None:
        """Look whenever an item has ended or a batch has come, and now and then."""
        while True:
            try:
                wait = self._turn()
                self._store.blocking_pop(["wake:feeder"], wait)
                time.sleep(_NOT_OFTENER)
            except SystemUnavailable as away:
                _log.warning("batches wait for Redis", error=str(away))
                time.sleep(1)
            except Exception:
                _log.exception("the feeder tries again")
                time.sleep(1)

    def _turn(self) -> float:
        """Do all that is to be done now; returns the seconds until the next look."""
        slots = dict(self._slots())
        if slots and slots != self._told_slots:
            pipe = self._store.redis.pipeline(transaction=True)
            pipe.delete(self._store.key("slots"))
            pipe.hset(self._store.key("slots"), mapping={queue: str(number) for queue, number in slots.items()})
            pipe.execute()
            self._told_slots = slots
        wait = _AT_LEAST_EVERY
        living = self._living()
        now_ms = self._store.now_ms() if any(one.state == "SCHEDULED" for one in living) else 0
        for one in living:
            try:
                wait = min(wait, self._look_after(one, now_ms))
            except (YtrayError, ValueError, redis.ResponseError):
                # One broken batch must not keep the others from going on.
                _log.exception("a batch cannot be looked after", batch_id=one.batch)
        self._cancel(self._ledger.unwanted(_STOPPED_AT_ONCE), "has another row in its place", None)
        self._release([one for one in living if one.state == "RUNNING"], slots)
        return wait

    def _look_after(self, one: _Living, now_ms: float) -> float:
        """What is to be done for a batch apart from its items; returns the seconds until the next look at it."""
        if one.owner and one.state != "CANCELLED" and self._is_cancelled(one.owner):
            self._ledger.control(one.batch, "cancel", "its job was cancelled")
        elif one.state == "SCHEDULED":
            return self._keep_appointment(one, now_ms)
        elif one.state == "CANCELLED":
            self._cancel(self._ledger.to_stop(one.batch, _STOPPED_AT_ONCE), "was cancelled", one.batch)
        return _AT_LEAST_EVERY

    def _is_cancelled(self, job_id: str) -> bool:
        return self._store.states([job_id]) == [JobState.CANCELLED]

    def _living(self) -> list[_Living]:
        members = cast("set[bytes]", self._store.redis.smembers(self._store.key("living")))
        batches = sorted(batch.decode() for batch in members)
        pipe = self._store.redis.pipeline(transaction=False)
        for batch in batches:
            pipe.hmget(self._store.key(f"b:{batch}"), list(_FIELDS))
        found = []
        for batch, stored in zip(batches, pipe.execute(raise_on_error=False), strict=True):
            try:
                if isinstance(stored, Exception):
                    raise stored
                if stored[0] is not None:
                    found.append(_living(batch, stored))
            except (redis.ResponseError, ValueError) as damaged:
                self._tell_damaged(batch, damaged)
        return found

    def _tell_damaged(self, batch: str, why: Exception) -> None:
        if batch not in self._told_damaged:
            self._told_damaged.add(batch)
            _log.error("what Redis has of a batch cannot be read: it stands still", batch_id=batch, error=str(why))

    def _keep_appointment(self, one: _Living, now_ms: float) -> float:
        """Start a batch whose time has come; returns the seconds until it does."""
        now, due = time_of(now_ms), time_of(one.start_ms)
        fired = time_of(one.fired_ms) if one.fired_ms else None
        if not one.cron or fired is None or not was_set_back(one.cron, fired, now):
            fired = None  # of no account: what is due was never fired
        elif due > next_after(one.cron, now):
            due = next_after(one.cron, now)
            self._store.redis.hset(self._store.key(f"b:{one.batch}"), "start", _ms(due))
        if due > now:
            return max(0.01, (due - now).total_seconds())
        try:
            if not one.cron:
                self._ledger.control(one.batch, "start")
                return 0.01
            # After a time without a tracker what was missed runs once, not once for each time.
            salt = name_of(due, fired)
            self._ledger.fire(one.batch, f"{one.batch}-{salt}", salt, _ms(next_after(one.cron, now)), _ms(due))
        except (InvalidBatchMove, UnknownBatch):
            pass  # cancelled meanwhile
        return 0.01

    def _cancel(self, jobs: list[str], why: str, batch: str | None) -> None:
        for job_id in jobs:
            try:
                self._store.cancel(job_id, f"its batch {why}", settings().result_ttl, batch)
            except (InvalidTransition, UnknownJob):
                continue  # it has ended meanwhile

    def _release(self, running: list[_Living], slots: Mapping[str, int]) -> None:
        windows = {one.batch: window(one.took, one.took_ms, _slots_for(one, slots)) for one in running}
        claims = [
            Claim(
                one.batch,
                one.user,
                one.priority + 1.0,
                min(one.waiting + one.active, one.concurrency or _MOST_ACTIVE) / windows[one.batch],
            )
            for one in running
        ]
        allowed = shares(claims)
        self._told_shares = {batch: told for batch, told in self._told_shares.items() if batch in allowed}
        for one in running:
            try:
                self._release_one(one, allowed[one.batch], windows[one.batch])
            except SystemUnavailable:
                raise
            except (YtrayError, redis.ResponseError):
                # One broken batch must not keep the others from going on.
                _log.exception("a batch cannot go on", batch_id=one.batch)

    def _release_one(self, one: _Living, share: float, whole: int) -> None:
        limit = max(1, min(one.concurrency or _MOST_ACTIVE, round(share * whole)))
        told = f"{min(1.0, share):.4f}"
        if told != self._told_shares.get(one.batch):
            self._store.redis.hset(self._store.key(f"b:{one.batch}"), "share", told)
            self._told_shares[one.batch] = told
        if one.active >= limit or not one.waiting:
            if not one.waiting and not one.active:
                self._ledger.release(one.batch, 1)  # it has ended, and nothing has said so yet
            return
        active, before = one.active, one.waiting + 1
        while active < limit:
            released, waiting = self._ledger.release(one.batch, limit)
            active += released
            if not waiting or (not released and waiting == before):
                break
            before = waiting


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def window(took: int, took_ms: int, slots: int) -> int:
    """How many items of a batch that has the cluster to itself are in the making at once.

    As many as its slots finish in `_AHEAD` seconds, going by what `took` items took in `took_ms` from their release to
    their end; a few for each slot at least, since an item of several stages waits for most of its time.
    """
    least = _EACH_SLOT * max(1, slots)
    if took < _KNOWN_FROM or took_ms <= 0:
        return least
    return max(least, min(_MOST_ACTIVE, round(slots * _AHEAD * 1000 * took / took_ms)))


def _slots_for(one: _Living, slots: Mapping[str, int]) -> int:
    if one.lane == FLOW_LANE:  # its steps go to any queue
        return max(slots.values(), default=1)
    return slots.get(one.queue, 1)
