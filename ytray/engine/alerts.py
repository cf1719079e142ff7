"""Telling people of jobs that enter the dead-letter queue: a log line at ERROR, a metric, and a signed webhook."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import time
from urllib.parse import urlsplit

import httpx
import redis

from ytray.engine import logs
from ytray.engine.model import DeadLetter
from ytray.engine.store import Store
from ytray.errors import SettingsError, SystemUnavailable, UnknownJob
from ytray.settings import settings

_ATTEMPTS = 4  # of one webhook delivery, 1, 2 and 4 seconds apart
_TIMEOUT = 10.0  # seconds
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
                announce(store, entry.decode())
                store.redis.lpop(announcing)
        except (SystemUnavailable, redis.RedisError) as away:
            _log.warning("alerts wait for Redis", error=str(away))
            time.sleep(1)


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
        _log.error("the alert webhook could not be delivered", job_id=letter.job_id, error=str(failed))


def deliver(letter: DeadLetter) -> None:
    """POST the dead letter (without its arguments) to YTRAY_ALERT_WEBHOOK_URL.

    With YTRAY_ALERT_WEBHOOK_SECRET the header `X-Ytray-Signature: t=<unix time>,v1=<hex>` holds the HMAC-SHA256 of
    "<unix time>.<body>". Raises httpx.HTTPError when it is not taken, SettingsError for a private address.
    """
    url = settings().alert_webhook_url or ""
    address = _address_allowed(url)
    body = letter.model_dump_json(exclude={"args"}).encode()
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json", "Host": parts.netloc.rpartition("@")[2]}
    secret = settings().alert_webhook_secret
    if secret is not None:
        at = str(int(time.time()))
        signed = hmac.new(secret.get_secret_value().encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers["X-Ytray-Signature"] = f"t={at},v1={signed}"
    # Connect to the address that was checked: a name that resolves to another one a moment later gains nothing.
    host = f"[{address}]" if ":" in address else address
    target = parts._replace(netloc=f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}").geturl()
    for attempt in range(_ATTEMPTS):
        try:
            with httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client:
                answer = client.post(
                    target, content=body, headers=headers, extensions={"sni_hostname": parts.hostname or ""}
                )
            answer.raise_for_status()
            return
        except httpx.HTTPError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(2**attempt)


def _address_allowed(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("YTRAY_ALERT_WEBHOOK_URL must be an http:// or https:// URL")
    found = socket.getaddrinfo(parts.hostname, parts.port or 0, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        if not ipaddress.ip_address(address).is_global and not settings().alert_webhook_private:
            raise SettingsError(
                f"YTRAY_ALERT_WEBHOOK_URL leads to {address}, which is not public; "
                "set YTRAY_ALERT_WEBHOOK_PRIVATE=true to allow that"
            )
    return addresses[0]
