"""When a call is sent again, and after how long. Pure: the clients do the waiting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from ytray.client._calls import Call

TRIES = 5  # of one call, by default
LONGEST_WAIT = 60.0  # seconds: a longer Retry-After raises an error instead
_FIRST, _MOST = 0.25, 8.0  # seconds between tries when the server does not say

_BUSY = frozenset({429, 503})  # refused before anything was done
_LOST = frozenset({502, 504})  # a proxy that lost its server, perhaps after something was done
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


def pause_after_answer(call: Call[Any], response: httpx.Response, tries: int, most: int, chance: float) -> float | None:
    """Seconds until the call is sent again after this answer; None: the answer counts.

    Args:
        tries: how often the call was sent so far.
        most: how often it may be sent.
        chance: a random number from 0 to 1, so that clients that were refused together do not come back together.
    """
    again = response.status_code in _BUSY or is_nobody(response) or (_is_lost(response) and call.repeatable)
    if not again or tries >= most:
        return None
    asked = asked_to_wait(response.headers, now=time.time())
    if asked is None:
        return _backoff(tries, chance)
    return asked if asked <= LONGEST_WAIT else None


def is_nobody(response: httpx.Response) -> bool:
    """Whether Ray Serve has answered that it serves no API: it is starting, or was stopped. Nothing was done."""
    plain = response.headers.get("content-type", "").startswith("text/plain")
    return response.status_code == 404 and plain and response.is_closed and "/-/routes" in response.text


def _is_lost(response: httpx.Response) -> bool:
    """Whether a proxy has answered for a server that it lost; one of Ray Serve does so with a bare 500."""
    is_ours = response.headers.get("content-type", "").startswith("application/problem+json")
    return response.status_code in _LOST or (response.status_code == 500 and not is_ours)


def pause_after_break(
    call: Call[Any], error: httpx.TransportError, tries: int, most: int, chance: float
) -> float | None:
    """Seconds until the call is sent again after the connection failed; None: give up."""
    again = isinstance(error, _NEVER_SENT) or (call.repeatable and not isinstance(error, _HOPELESS))
    return _backoff(tries, chance) if again and tries < most else None


def asked_to_wait(headers: Mapping[str, str], now: float | None) -> float | None:
    """The seconds that a Retry-After asks for, which may be given as a date; None when it asks for nothing."""
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - (time.time() if now is None else now))
    except ValueError:
        return None


def _backoff(tries: int, chance: float) -> float:
    longest: float = min(_MOST, _FIRST * 2 ** (tries - 1))
    return longest * (0.5 + chance / 2)
