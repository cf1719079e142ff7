"""Telling the webhooks of a batch that it is done, failed, or paused by itself.

A notice is in Redis from the move that it tells of, and leaves it when it was taken, or given up after `_AGAIN`. One
that was taken just as the tracker died is sent twice, with the same `X-Ytray-Delivery`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import cast

import httpx
import redis

from ytray.engine import logs, webhook
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import Notice, WebhookEvent
from ytray.engine.batch.reading import batch_status
from ytray.engine.store import Store
from ytray.errors import SettingsError, SystemUnavailable, UnknownBatch

_AGAIN = (5.0, 30.0, 300.0, 1800.0, 7200.0)  # seconds after each try that failed
_LONGEST_WAIT = 5.0  # seconds

_log = logs.get("ytray.batches")


def tell_forever(store: Store) -> None:
    """Tell each webhook when its time has come, one after the other."""
    while True:
        try:
            wait = tell_next(store)
            if wait > 0:
                store.blocking_pop(["wake:notices"], min(wait, _LONGEST_WAIT))
        except (SystemUnavailable, redis.RedisError) as away:
            _log.warning("webhooks of batches wait for Redis", error=str(away))
            time.sleep(1)
        except Exception:
            _log.exception("the telling of webhooks tries again")
            time.sleep(1)


def tell_next(store: Store) -> float:
    """Tell the next one if it is due; returns the seconds until the next is (0: look again at once)."""
    notices = store.key("notices")
    first = cast("list[tuple[bytes, float]]", store.redis.zrange(notices, 0, 0, withscores=True))
    if not first:
        return _LONGEST_WAIT
    entry, due_ms = first[0]
    if (wait := due_ms - store.now_ms()) > 0:
        return wait / 1000
    try:
        batch, event, tries, at_ms = entry.decode().split(" ")
        int(tries), int(at_ms)
    except ValueError:
        _log.error("a webhook that is to be told cannot be read; the next ones go on", entry=entry[:200])
        store.redis.zrem(notices, entry)
        return 0.0
    store.redis.zadd(notices, {entry: due_ms}, xx=True)  # a full Redis refuses: else it would be told again and again
    error = _tell(store, batch, cast(WebhookEvent, event), int(at_ms))
    pipe = store.redis.pipeline(transaction=True)
    pipe.zrem(notices, entry)
    if error and int(tries) <= len(_AGAIN):
        again = store.now_ms() + _AGAIN[int(tries) - 1] * 1000
        pipe.zadd(notices, {f"{batch} {event} {int(tries) + 1} {at_ms}": again})
    pipe.execute()
    return 0.0


def _tell(store: Store, batch: str, event: WebhookEvent, at_ms: int) -> str | None:
    """POST it where the batch wants it; returns what went wrong."""
    ledger = Ledger(store)
    fields = ledger.fields(batch)
    url = fields.get("on_complete" if event == "complete" else "on_failure")
    if url is None:
        return None
    place = store.key(f"b:{batch}")
    try:
        told = Notice(event=event, at=datetime.fromtimestamp(at_ms / 1000, UTC), batch=batch_status(ledger, batch))
        webhook.deliver(
            url,
            told.model_dump_json().encode(),
            named=f"the webhook of batch {batch}",
            delivery=f"{batch}-{event}-{at_ms}",
        )
    except UnknownBatch:
        return None  # cleaned up
    except Exception as failed:
        # Whatever is wrong with one address must not keep the others from being told.
        why = _what_went_wrong(failed)
        store.redis.hincrby(store.key("m"), "alerts|failed", 1)
        store.redis.hset(place, "webhook_error", why)
        _log.error("the webhook of a batch could not be delivered", batch_id=batch, event_told=event, error=why)
        return why
    store.redis.hdel(place, "webhook_error")
    store.redis.hincrby(store.key("m"), "alerts|delivered", 1)
    return None


def _what_went_wrong(failed: Exception) -> str:
    """Without the address: its path or query is often a secret."""
    if isinstance(failed, httpx.HTTPStatusError):
        return f"it answered {failed.response.status_code}"
    if isinstance(failed, SettingsError):
        return str(failed)
    return f"it was not reached ({type(failed).__name__})"
