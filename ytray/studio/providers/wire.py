"""One request that costs money, over HTTP: sent at most once, with what is known of it if no answer comes.

Google's and OpenAI's clients repeat requests by themselves in places (`interactions.create` does so three times when a
connection drops). A repeated request can be billed twice, so the transport under them sends one and no more.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import httpx

from ytray.errors import PermanentError, YtrayError
from ytray.settings import settings
from ytray.spend.model import ProviderBusy, ProviderFailed, Unheard

_BUSY_AGAIN = 30.0  # seconds to wait after a 429 that names no time
_NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"})
_MAY_PASS = frozenset({408, 409, 425, 500, 502, 503, 504})
_MAY_HAVE_STARTED = frozenset({408, 502, 504})  # a gateway gave up; what stands behind it may not have


class OneRequest:
    """Lets one request that is not a GET through to a transport, and remembers how it went."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.was_tried = False
        self.answer: Any = None
        self.failure: Exception | None = None

    def handle_request(self, request: Any) -> Any:
        """Send, or refuse a repetition with what the first try came to."""
        if self.was_tried and request.method != "GET":
            raise _Repeated from self.failure
        self.was_tried = True
        try:
            self.answer = self._transport.handle_request(request)
        except Exception as failure:
            self.failure = failure
            raise
        return self.answer

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def __enter__(self) -> OneRequest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Repeated(Exception):
    """A client tried to send a request a second time."""


@contextmanager
def one_request(who: str, *, starts: bool = False, library: ModuleType = httpx) -> Iterator[tuple[Any, OneRequest]]:
    """An HTTP client for one paid request, whose errors become those of ytray.

    Args:
        who: names the service and model in messages.
        starts: whether the request starts something that goes on behind a gateway that gives up waiting.
        library: httpx, or httpx2, its fork that OpenAI's client wants.

    Raises PermanentError, ProviderBusy (429), ProviderFailed (nothing was billed) and Unheard (it may have been).
    """
    transport = OneRequest(library.HTTPTransport())
    # A redirect would be a second request, and could take the token elsewhere.
    client = library.Client(transport=transport, timeout=settings().vertex_timeout, follow_redirects=False)
    try:
        yield client, transport
    except YtrayError:
        raise
    except Exception as error:
        raise explained(error, transport, who, starts=starts) from error
    finally:
        client.close()


def explained(error: Exception, transport: OneRequest, who: str, *, starts: bool) -> YtrayError:
    """The error of ytray for what a client raised, by what went over its transport."""
    answer = transport.answer
    if answer is None:
        if not transport.was_tried or type(transport.failure).__name__ in _NEVER_SENT:
            return ProviderFailed(f"{who} cannot be reached: {_short(str(error) or type(error).__name__)}")
        failure = type(transport.failure or error).__name__
        return Unheard(f"{who} was sent a request and gave no answer ({failure}).")
    if answer.is_success:
        return Unheard(f"{who} answered, and the answer could not be read ({type(error).__name__}).")
    status, told = answer.status_code, _told(answer)
    if status == 429:
        return ProviderBusy(f"{who} has no quota left for now: {told}", _retry_after(answer))
    if starts and status in _MAY_HAVE_STARTED:
        return Unheard(f"{who} answered {status}, which may have come after the start: {told}.")
    if status in _MAY_PASS:
        return ProviderFailed(f"{who} answered {status}: {told}")
    return PermanentError(f"{who} answered {status}: {told}")


def status_of(transport: OneRequest) -> int | None:
    """The status of the answer; None when there was none."""
    return None if transport.answer is None else int(transport.answer.status_code)


def _told(answer: Any) -> str:
    try:
        body = json.loads(answer.read())
        body = body[0] if isinstance(body, list) else body
        error = body.get("error", body)
        return _short(str(error.get("message", error) if isinstance(error, dict) else error))
    except Exception:  # whatever an error page holds must not hide the status
        return str(answer.reason_phrase) or "no reason given"


def _short(text: str) -> str:
    return " ".join(text.split())[:300]


def _retry_after(answer: Any) -> float:
    given = answer.headers.get("retry-after", "")
    try:
        return max(0.1, float(given))
    except ValueError:
        pass
    try:
        return max(0.1, email.utils.parsedate_to_datetime(given).timestamp() - time.time())
    except (ValueError, TypeError):
        return _BUSY_AGAIN
