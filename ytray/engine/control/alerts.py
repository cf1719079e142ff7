"""Telling people of jobs that enter the dead-letter queue: a log line at ERROR, a metric, and a signed webhook."""

from __future__ import annotations

import time

import httpx
import redis

from ytray.engine.base import logs, webhook
from ytray.engine.base.model import DeadLetter
from ytray.engine.state.store import Store
from ytray.errors import SettingsError, SystemUnavailable, UnknownJob
from ytray.settings import settings

_ATTEMPTS = 4  # of one webhook delivery, 1, 2 and 4 seconds apart
_BLOCK = 5  # seconds to wait for an entry before waiting again

_log = logs.get("ytray.alerts")


def announce_forever(store: Store) -> None:
    """Announce each entry of `alerts`, one after the other.

    An entry is kept in `announcing` until that is done, so a tracker that dies in between leaves it to the next.
    """
    waiting, announcing = store.key("alerts"), store.key("announcing")
    while True:
        try:
            entry = store.redis.lindex(announcing, 0) or store.redis.blmove(waiting, announcing, _BLOCK)
            if isinstance(entry, bytes):
                # A full Redis refuses this write, too: else it would be told of again and again, and never taken off.
                store.redis.set(store.key("secured"), "alerts")
                _announce_safely(store, entry.decode(errors="replace"))
                store.redis.lpop(announcing)
        except (SystemUnavailable, redis.RedisError) as away:
            _log.warning("alerts wait for Redis", error=str(away))
            time.sleep(1)


def _announce_safely(store: Store, job_id: str) -> None:
    try:
        announce(store, job_id)
    except (SystemUnavailable, redis.ConnectionError, redis.TimeoutError):
        raise
    except Exception:
        # Whatever is wrong with one must not keep the others from being told.
        _log.exception("a dead-lettered job could not be announced", job_id=job_id)


def announce(store: Store, job_id: str) -> None:
    """Tell of one job; a webhook that cannot be delivered is logged and counted, and not tried for ever."""
    try:
        (letter,) = store.dead_letters([job_id])
    except UnknownJob:
        return  # replayed or removed before its turn came
    _log.error(
        "job entered the dead-letter queue",
        job_id=letter.job_id,
        task=letter.task_name,
        error=letter.error,
        retry_count=letter.retry_count,
    )
    if settings().alert_webhook_url is None:
        return
    try:
        deliver(letter)
        store.redis.hincrby(store.key("m"), "alerts|delivered", 1)
    except (SettingsError, httpx.HTTPError, OSError) as failed:
        store.redis.hincrby(store.key("m"), "alerts|failed", 1)
        why = webhook.what_went_wrong(failed)
        _log.error("the alert webhook could not be delivered", job_id=letter.job_id, error=why)


def deliver(letter: DeadLetter) -> None:
    """POST the dead letter, without its arguments, to YTRAY_ALERT_WEBHOOK_URL. Raises what webhook.deliver does."""
    url = settings().alert_webhook_url or ""
    body = letter.model_dump_json(exclude={"args"}).encode()
    webhook.deliver(url, body, attempts=_ATTEMPTS, named="YTRAY_ALERT_WEBHOOK_URL")
