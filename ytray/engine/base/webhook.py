"""Webhooks: a signed POST, tried a few times, whose answer is not read beyond its status.

The receiver decides neither how much is read nor how long a delivery takes: resolving the name, connecting, sending
and the answer's headers have `_TIMEOUT` together.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from functools import cache
from urllib.parse import urlsplit

import httpx

from ytray.engine.base.webhook_targets import (
    Permits,
    Target,
    permitted_to_operator,
    permitted_to_users,
    refused_to_operator,
    refused_to_users,
    target_of,
)
from ytray.errors import SettingsError
from ytray.settings import settings

_TIMEOUT = 10.0  # seconds of one try, in all


def deliver(url: str, body: bytes, *, attempts: int = 1, named: str = "the webhook") -> None:
    """POST JSON to a URL of the operator's; attempts are 1, 2, 4, … seconds apart.

    With YTRAY_ALERT_WEBHOOK_SECRET the header `X-Ytray-Signature: t=<unix time>,v1=<hex>` holds the HMAC-SHA256 of
    "<unix time>.<body>".

    Raises httpx.HTTPError or OSError when it is not taken, SettingsError (saying `named`) where it may not lead.
    """
    target = target_of(url, named)
    for attempt in range(attempts):
        try:
            asyncio.run(_post(url, target, body, _signature(body), permitted_to_operator))
            return
        except _NotPermitted:
            raise refused_to_operator(named) from None
        except (httpx.HTTPError, OSError):
            if attempt == attempts - 1:
                raise
            time.sleep(2**attempt)


def deliver_to_user(url: str, body: bytes, headers: Mapping[str, str], *, named: str) -> None:
    """POST JSON to a URL that a user has given, once.

    Raises httpx.HTTPError or OSError when it is not taken, SettingsError (saying `named`) where it may not lead: also
    where its name has no address, so that nobody learns which names there are inside.
    """
    try:
        asyncio.run(_post(url, target_of(url, named), body, headers, permitted_to_users))
    except (_NotPermitted, socket.gaierror):
        raise refused_to_users(named) from None


def what_went_wrong(failed: Exception) -> str:
    """Without the address: its path or query is often a secret."""
    if isinstance(failed, httpx.HTTPStatusError):
        return f"it answered {failed.response.status_code}"
    if isinstance(failed, TimeoutError):
        return f"it did not answer within {_TIMEOUT:.0f} seconds"
    if isinstance(failed, SettingsError):
        return str(failed)
    return f"it was not reached ({type(failed).__name__})"


class _NotPermitted(Exception):
    """An address that may not be connected to."""


def _signature(body: bytes) -> dict[str, str]:
    secret = settings().alert_webhook_secret
    if secret is None:
        return {}
    at = str(int(time.time()))
    signed = hmac.new(secret.get_secret_value().encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Ytray-Signature": f"t={at},v1={signed}"}


async def _post(url: str, target: Target, body: bytes, headers: Mapping[str, str], permits: Permits) -> None:
    """POST it once. Raises _NotPermitted, httpx.HTTPError, OSError."""
    async with asyncio.timeout(_TIMEOUT):
        addresses = [target.literal] if target.literal else await _resolved(target)
        if not addresses or not all(permits(address, target.port) for address in addresses):
            raise _NotPermitted
        # Connect to the address that was checked: a name that resolves to another one a moment later gains nothing.
        address = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        sent = {"Content-Type": "application/json", "Host": target.authority, **headers}
        reached = urlsplit(url)._replace(netloc=f"{address}:{target.port}", fragment="").geturl()
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, trust_env=False, verify=_tls()) as client,
            # The status and the headers, which httpcore bounds at 100 KB; the rest of the answer is not read.
            client.stream(
                "POST", reached, content=body, headers=sent, extensions={"sni_hostname": target.host}
            ) as answer,
        ):
            answer.raise_for_status()


async def _resolved(target: Target) -> list[str]:
    """The addresses of a name. In a thread of its own: a slow name server keeps no thread that others wait for."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def tell(addresses: list[str], failed: Exception | None) -> None:
        if found.done():
            return
        if failed is None:
            found.set_result(addresses)
        else:
            found.set_exception(failed)

    def look() -> None:
        addresses: list[str] = []
        failed: Exception | None = None
        try:
            answers = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            addresses = [str(answer[4][0]) for answer in answers]
        except (OSError, UnicodeError) as unknown:
            failed = unknown if isinstance(unknown, OSError) else socket.gaierror(str(unknown))
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(tell, addresses, failed)

    threading.Thread(target=look, name="ytray-webhook-name", daemon=True).start()
    return await found


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
