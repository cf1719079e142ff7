"""What every request passes first: an id, a size limit, headers that keep browsers safe, and who may speak to us.

Without API keys the API trusts whoever reaches it on loopback. A web page in the user's browser reaches it too, so the
Host must then be this machine by name (against DNS rebinding), and an Origin, where there is one, must be our own.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import redis
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ytray.api.keys import KeyRing
from ytray.api.problems import BodyTooLarge, Forbidden, answer
from ytray.api.uploads import largest_upload
from ytray.engine.refusals import as_unavailable
from ytray.errors import YtrayError

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]", "testserver"})
_ROOM = 65_536  # bytes that a body may have besides a job's arguments

_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
# The page of /docs starts Swagger UI with a script of its own; it shows nothing that a user wrote.
_DOCS_POLICY = _POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'").replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
_CSP = b"content-security-policy"  # of several such headers browsers keep all, so an answer has its own or ours
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """The outermost layer of the application (ASGI). `largest` is the longest a job's arguments may be, in bytes."""

    def __init__(self, app: ASGIApp, keys: KeyRing, largest: int, origins: tuple[str, ...]) -> None:
        self._app = app
        self._keys = keys
        self._arguments = largest
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(8).hex()
        scope.setdefault("state", {})["request_id"] = request_id
        policy = (_CSP, (_DOCS_POLICY if scope["path"] == "/docs" else _POLICY).encode())

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                has_own = any(name.lower() == _CSP for name, _ in message["headers"])
                message["headers"] = [*message["headers"], *_HEADERS, *([] if has_own else [policy])]
            await send(message)

        largest = self._largest(scope, headers)
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > largest:
                raise HTTPException(413, str(_too_large(largest)))
            return message

        try:
            refusal = self._refusal(scope, headers, largest)
        except redis.RedisError as error:  # of the keys: here the application's own handlers do not hear of it
            refusal = as_unavailable(error) or YtrayError("the API keys could not be read")
        if refusal is not None:
            await answer(Request(scope), refusal)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive_counted, send_guarded)

    def _largest(self, scope: Scope, headers: Headers) -> int:
        content_type = headers.get("content-type", "")
        return largest_upload(scope["method"], scope["path"], content_type, self._arguments) + _ROOM

    def _refusal(self, scope: Scope, headers: Headers, largest: int) -> YtrayError | None:
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > largest:
            return _too_large(largest)
        host, origin = headers.get("host", ""), headers.get("origin")
        acts = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if acts and origin is not None and origin not in self._origins and urlsplit(origin).netloc != host:
            return Forbidden(f"pages of {origin[:100]} may not act here (YTRAY_CORS_ORIGINS allows origins)")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name not in _LOOPBACK and self._keys.is_open():
            return Forbidden(
                "without API keys this answers only requests for localhost or 127.0.0.1; `ytray keys create` makes "
                "a key"
            )
        return None


def _too_large(largest: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request is larger than the {largest:,} bytes that the API takes here")
