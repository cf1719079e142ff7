"""Telling the webhooks of a batch that it is done, failed, or paused by itself.

A notice is in Redis from the move that it tells of, and leaves it when it was taken, or given up after `_AGAIN`. One
that was taken just as the tracker died is sent twice, with the same `X-Ytray-Delivery`.

Users take turns, and each has one notice under way at most: a receiver that is slow, or thousands of notices, hold up
nobody but their own user.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast, get_args

import redis

from ytray.engine.base import logs, webhook
from ytray.engine.base.model import time_of
from ytray.engine.base.webhook_targets import target_of
from ytray.engine.batch.endpoints import Endpoint
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import Notice, WebhookEvent
from ytray.engine.batch.reading import batch_status
from ytray.engine.state.store import Store
from ytray.engine.state.webhook_secrets import signed_headers
from ytray.errors import SystemUnavailable, UnknownBatch

_AGAIN = (5.0, 30.0, 300.0, 1800.0, 7200.0)  # seconds after each try that failed
_AT_ONCE = 8
_LONGEST_WAIT = 5.0  # seconds
_CHUNK = 500  # batches whose users are looked up in one round trip

_log = logs.get("ytray.batches")


@dataclass(frozen=True, slots=True)
class _Due:
    """A notice whose time has come, as it stands in Redis."""

    entry: bytes
    due_ms: float
    batch: str
    event: WebhookEvent
    tries: int
    at_ms: int

    @classmethod
    def read(cls, entry: bytes, due_ms: float) -> _Due:
        """Raises ValueError when it cannot be read."""
        batch, event, tries, at_ms = entry.decode().split(" ")
        if event not in get_args(WebhookEvent):
            raise ValueError(f"there is no event {event!r}")
        return cls(entry, due_ms, batch, cast(WebhookEvent, event), int(tries), int(at_ms))

    @property
    def kept_under(self) -> Literal["on_complete", "on_failure"]:
        """The field of its batch that has its URL."""
        return "on_complete" if self.event == "complete" else "on_failure"


class Notices:
    """The notices of one system that are due: `look` finds them, and each thread that calls `tell_one` tells one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ledger = Ledger(store)
        self._key = store.key("notices")
        # Guarded by `_changed`: notices by user, who is next first; the users who have one under way; all entries.
        self._changed = threading.Condition()
        self._lines: dict[str, deque[_Due]] = {}
        self._busy: set[str] = set()
        self._known: set[bytes] = set()

    def tell_forever(self) -> None:
        """Tell each webhook when its time has come."""
        for number in range(_AT_ONCE):
            threading.Thread(target=self._work, name=f"ytray-notice-{number}", daemon=True).start()
        _again_and_again(
            lambda: self._store.blocking_pop(["wake:notices"], min(self.look(), _LONGEST_WAIT)),
            "the looking for webhooks to be told",
        )

    def _work(self) -> None:
        _again_and_again(lambda: self.tell_one(wait=True), "the telling of webhooks")

    def look(self) -> float:
        """Line up all that are due; returns the seconds until the next one is."""
        now = self._store.now_ms()
        # As one answer: who has thousands due must not keep those out of sight that became due later.
        rows = cast(
            "list[tuple[bytes, float]]", self._store.redis.zrangebyscore(self._key, "-inf", now, withscores=True)
        )
        with self._changed:
            rows = [row for row in rows if row[0] not in self._known]
        found = list[_Due]()
        for entry, due_ms in rows:
            try:
                found.append(_Due.read(entry, due_ms))
            except ValueError:
                _log.error("a webhook that is to be told cannot be read; the next ones go on", entry=entry[:200])
                self._store.redis.zrem(self._key, entry)
        for start in range(0, len(found), _CHUNK):
            self._line_up(found[start : start + _CHUNK])
        later = cast(
            "list[tuple[bytes, float]]",
            self._store.redis.zrangebyscore(self._key, f"({now}", "+inf", start=0, num=1, withscores=True),
        )
        return (later[0][1] - now) / 1000 if later else _LONGEST_WAIT

    def _line_up(self, found: list[_Due]) -> None:
        pipe = self._store.redis.pipeline(transaction=False)
        for due in found:
            pipe.hget(self._store.key(f"b:{due.batch}"), "user")
        users = pipe.execute(raise_on_error=False)
        with self._changed:
            for due, user in zip(found, users, strict=True):
                if isinstance(user, redis.ResponseError) and "WRONGTYPE" in str(user):
                    _log.error("the batch of a webhook cannot be read; the next ones go on", batch_id=due.batch)
                    self._store.redis.zrem(self._key, due.entry)
                    continue
                if isinstance(user, Exception):
                    raise user
                name = user.decode(errors="replace") if isinstance(user, bytes) else ""
                self._known.add(due.entry)
                self._lines.setdefault(name, deque()).append(due)
            self._changed.notify_all()

    def tell_one(self, *, wait: bool = False) -> bool:
        """Tell the notice whose turn it is; returns False if there is none, unless it should `wait` for one."""
        with self._changed:
            while (user := next((user for user in self._lines if user not in self._busy), None)) is None:
                if not wait:
                    return False
                self._changed.wait()
            line = self._lines.pop(user)
            due = line.popleft()
            if line:
                self._lines[user] = line  # behind the others
            self._busy.add(user)
        try:
            self._tell_in_turn(user, due)
        finally:
            with self._changed:
                self._busy.discard(user)
                self._known.discard(due.entry)
                self._changed.notify_all()
        return True

    def _tell_in_turn(self, user: str, due: _Due) -> None:
        """Tell it unless its endpoint waits, and write down what came of it."""
        store = self._store
        # Another tracker may have told it. And a full Redis refuses: else it would be told again and again.
        if store.redis.zscore(self._key, due.entry) is None:
            return
        store.redis.zadd(self._key, {due.entry: due.due_ms}, xx=True)
        named = f"the webhook of batch {due.batch}"
        stored = store.redis.hget(store.key(f"b:{due.batch}"), due.kept_under)
        if not isinstance(stored, bytes):  # cleaned up, or it never had one
            store.redis.zrem(self._key, due.entry)
            return
        url, endpoint = stored.decode(errors="replace"), None
        try:
            endpoint = Endpoint(store, user, target_of(url, named))
            if (until := endpoint.waits_until_ms()) > store.now_ms():
                store.redis.zadd(self._key, {due.entry: until}, xx=True)
                store.redis.hincrby(store.key("m"), "alerts|postponed", 1)
                return
            self._post(url, user, due, named)
        except UnknownBatch:
            store.redis.zrem(self._key, due.entry)
        except (SystemUnavailable, redis.RedisError):
            raise
        except Exception as failed:
            # Whatever is wrong with one address must not keep the others from being told.
            self._failed(due, webhook.what_went_wrong(failed), endpoint)
        else:
            endpoint.succeeded()
            pipe = store.redis.pipeline(transaction=True)
            pipe.zrem(self._key, due.entry)
            pipe.hdel(store.key(f"b:{due.batch}"), "webhook_error")
            pipe.hincrby(store.key("m"), "alerts|delivered", 1)
            pipe.execute()

    def _post(self, url: str, user: str, due: _Due, named: str) -> None:
        told = Notice(
            event=due.event,
            at=datetime.fromtimestamp(due.at_ms / 1000, UTC),
            batch=batch_status(self._ledger, due.batch),
        )
        delivery = f"{due.batch}-{due.event}-{due.at_ms}"
        body = told.model_dump_json().encode()
        headers = {"X-Ytray-Delivery": delivery, **signed_headers(self._store, user or None, delivery, body)}
        webhook.deliver_to_user(url, body, headers, named=named)

    def _failed(self, due: _Due, why: str, endpoint: Endpoint | None) -> None:
        store = self._store
        waits_until = endpoint.failed() if endpoint else 0
        _log.error("the webhook of a batch could not be delivered", batch_id=due.batch, event_told=due.event, error=why)
        if waits_until:
            why += (
                f"; since it has failed so often, nothing goes there before {time_of(waits_until):%Y-%m-%d %H:%M} UTC"
            )
        pipe = store.redis.pipeline(transaction=True)
        pipe.zrem(self._key, due.entry)
        if due.tries <= len(_AGAIN):
            again = max(store.now_ms() + _AGAIN[due.tries - 1] * 1000, waits_until)
            pipe.zadd(self._key, {f"{due.batch} {due.event} {due.tries + 1} {due.at_ms}": again})
        pipe.hset(store.key(f"b:{due.batch}"), "webhook_error", why)
        pipe.hincrby(store.key("m"), "alerts|failed", 1)
        pipe.execute()


def _again_and_again(step: Callable[[], object], what: str) -> None:
    while True:
        try:
            step()
        except (SystemUnavailable, redis.RedisError) as away:
            _log.warning(f"{what} waits for Redis", error=str(away))
            time.sleep(1)
        except Exception:
            _log.exception(f"{what} tries again")
            time.sleep(1)
