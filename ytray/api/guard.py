"""What every request passes first: an id, a size limit, headers that keep browsers safe, and who may speak to us.

Without API keys the API trusts whoever reaches it on loopback. A web page in the user's browser reaches it too, so the
Host must then be this machine by name (against DNS rebinding), and an Origin, where there is one, must be our own. A
proxy on this machine reaches it as well, for whoever: what one has passed on is refused then.

With keys, nothing is read of a body before its key was found to be right.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import redis
import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ytray.api.access import Door, address_of
from ytray.api.auditing import action_of
from ytray.api.keys import ANYBODY, Caller
from ytray.api.problems import BodyTooLarge, Forbidden, answer
from ytray.api.uploads import largest_upload
from ytray.engine.state.audit import record
from ytray.engine.state.refusals import as_unavailable
from ytray.engine.state.store import Store
from ytray.errors import YtrayError

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_log = structlog.get_logger("ytray.api")

_PASSED_ON = ("forwarded", "x-real-ip", "via")  # and x-forwarded-…: what proxies add
_PUBLIC = "/api/session"  # takes a key in its body
_SIGN_IN = 2048  # bytes of that body
_SAID = 500  # bytes of a body that the audit trail tells
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

    def __init__(self, app: ASGIApp, where: Store, door: Door, largest: int, origins: tuple[str, ...]) -> None:
        self._app = app
        self._store = where
        self._door = door
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

        done = action_of(scope["method"], scope["path"])
        said = bytearray()

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                if done is not None and message["status"] < 400:
                    await run_in_threadpool(self._write_down, Request(scope), *done, bytes(said))
                has_own = any(name.lower() == _CSP for name, _ in message["headers"])
                message["headers"] = [*message["headers"], *_HEADERS, *([] if has_own else [policy])]
            await send(message)

        largest = self._largest(scope, headers)
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if done is not None and len(said) < _SAID:
                said.extend(message.get("body", b"")[:_SAID])
            if read > largest:
                raise HTTPException(413, str(_too_large(largest)))
            return message

        try:
            refusal = self._refusal(scope, headers, largest)
        except YtrayError as refused:
            refusal = refused
        except redis.RedisError as error:  # of the keys: here the application's own handlers do not hear of it
            refusal = as_unavailable(error) or YtrayError("the API keys could not be read")
        if refusal is not None:
            await answer(Request(scope), refusal)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive_counted, send_guarded)

    def _largest(self, scope: Scope, headers: Headers) -> int:
        if scope["path"] == _PUBLIC:
            return _SIGN_IN
        content_type = headers.get("content-type", "")
        return largest_upload(scope["method"], scope["path"], content_type, self._arguments) + _ROOM

    def _refusal(self, scope: Scope, headers: Headers, largest: int) -> YtrayError | None:
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > largest:
            return _too_large(largest)
        host, origin = headers.get("host", ""), headers.get("origin")
        acts = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if acts and origin is not None and not self._is_allowed(origin, host):
            return Forbidden(f"pages of {origin[:100]!r} may not act here (YTRAY_CORS_ORIGINS allows origins)")
        if self._comes_from_another_page(scope, headers):
            return Forbidden("pages of other sites may not ask here (YTRAY_CORS_ORIGINS allows origins)")
        if self._door.keys.is_open():
            return _refusal_while_open(host, headers)
        if acts and scope["path"].startswith("/api/") and scope["path"] != _PUBLIC:
            scope["state"]["caller"] = self._door.caller(Request(scope))
        return None

    def _write_down(self, request: Request, action: str, subject: str, said: bytes) -> None:
        caller: Caller = getattr(request.state, "caller", ANYBODY)
        who = f"key {caller.key_id} ({caller.name})" if caller.key_id else "anybody: no key is asked for"
        detail = said.decode(errors="replace")
        try:
            record(self._store, who=who, address=address_of(request), action=action, subject=subject, detail=detail)
        except (redis.RedisError, YtrayError) as failed:
            _log.error("the audit trail lacks an entry", who=who, action=action, subject=subject, error=str(failed))

    def _is_allowed(self, origin: str, host: str) -> bool:
        if origin in self._origins:
            return True
        try:
            its_own = urlsplit(origin).netloc
        except ValueError:
            return False  # as of "http://["
        return bool(its_own) and its_own == host

    def _comes_from_another_page(self, scope: Scope, headers: Headers) -> bool:
        """Whether a browser says so; to follow a link from there is all right."""
        if headers.get("sec-fetch-site") != "cross-site" or headers.get("origin") in self._origins:
            return False
        return scope["method"] != "GET" or headers.get("sec-fetch-mode") != "navigate"


def _refusal_while_open(host: str, headers: Headers) -> YtrayError | None:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name not in _LOOPBACK:
        return Forbidden(
            "without API keys this answers only requests for localhost or 127.0.0.1; `ytray keys create` makes a key"
        )
    passed_on = [given for given in headers if given in _PASSED_ON or given.startswith("x-forwarded-")]
    if passed_on:
        return Forbidden(
            f"without API keys this answers nothing that a proxy has passed on (the header {passed_on[0]} says so); "
            "`ytray keys create` makes a key"
        )
    return None


def _too_large(largest: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request is larger than the {largest:,} bytes that the API takes here")
