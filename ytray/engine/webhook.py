"""Webhooks: a signed POST to a public address, tried a few times."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import time
from urllib.parse import urlsplit

from ytray.errors import SettingsError
from ytray.settings import settings

_TIMEOUT = 10.0  # seconds


def deliver(url: str, body: bytes, *, attempts: int = 1, named: str = "the webhook", delivery: str = "") -> None:
    """POST JSON to a URL; attempts are 1, 2, 4, … seconds apart.

    With YTRAY_ALERT_WEBHOOK_SECRET the header `X-Ytray-Signature: t=<unix time>,v1=<hex>` holds the HMAC-SHA256 of
    "<unix time>.<body>". `delivery` goes into `X-Ytray-Delivery`: the same word is the same message sent again.

    Raises httpx.HTTPError or OSError when it is not taken, SettingsError (saying `named`) for a private address.
    """
    import httpx  # only here: who checks an address at a submission needs none of it

    address = address_allowed(url, named)
    parts = urlsplit(url)
    host_header = parts.netloc.rpartition("@")[2].encode("idna" if not parts.netloc.isascii() else "ascii").decode()
    headers = {"Content-Type": "application/json", "Host": host_header}
    if delivery:
        headers["X-Ytray-Delivery"] = delivery
    secret = settings().alert_webhook_secret
    if secret is not None:
        at = str(int(time.time()))
        signed = hmac.new(secret.get_secret_value().encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers["X-Ytray-Signature"] = f"t={at},v1={signed}"
    # Connect to the address that was checked: a name that resolves to another one a moment later gains nothing.
    host = f"[{address}]" if ":" in address else address
    target = parts._replace(netloc=f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}").geturl()
    for attempt in range(attempts):
        try:
            with httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client:
                answer = client.post(
                    target, content=body, headers=headers, extensions={"sni_hostname": parts.hostname or ""}
                )
            answer.raise_for_status()
            return
        except httpx.HTTPError:
            if attempt == attempts - 1:
                raise
            time.sleep(2**attempt)


def address_allowed(url: str, named: str) -> str:
    """The address that a URL leads to. Raises SettingsError when it is private and that is not allowed, OSError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{named} must be an http:// or https:// URL")
    found = socket.getaddrinfo(parts.hostname, parts.port or 0, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        if not ipaddress.ip_address(address).is_global and not settings().alert_webhook_private:
            raise SettingsError(
                f"{named} leads to {address}, which is not public; set YTRAY_ALERT_WEBHOOK_PRIVATE=true to allow that"
            )
    return addresses[0]
