"""Where the Redis of YTRAY_REDIS_URL is: one server, by TCP, TLS or a socket, or the master that Sentinels name.

`redis://`, `rediss://` and `unix://` are redis-py's own addresses. `redis+sentinel://` and `rediss+sentinel://` name
Sentinels, and in `?master=` what they call the master; user and password are those of Redis, `sentinel_username` and
`sentinel_password` those of the Sentinels. Each new connection asks them anew.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import redis
from redis import connection as redis_connection
from redis.exceptions import MasterDownError, ReadOnlyError

from ytray.errors import SettingsError
from ytray.system.redis_refusals import WRAPPED, in_plain_words

_SENTINEL_PORT = 26379
_SENTINEL_PATIENCE = 0.5  # seconds for one Sentinel to answer
_SILENCE = 0.5  # seconds without an answer after which it is looked whether the master is still the same
_LOOK_EVERY = 10.0  # seconds between questions to all Sentinels, besides listening to one
_AGAIN = 0.5  # seconds until Sentinels are tried again when none answers
_SWITCH = "+switch-master"  # the Sentinels' channel for a new master: "NAME old-host old-port host port"

# How a server begins that was master and is none any more, or that lacks the replicas which it was told to insist on.
_BUSY = re.compile(r"BUSY\b")
_NOT_MASTER = re.compile(rf"{WRAPPED}(?:READONLY|UNBLOCKED|NOREPLICAS|MASTERDOWN|WAIT cannot be used with replica)\b")

_parse: Callable[[str], dict[str, Any]] = redis_connection.parse_url

_SCHEMES = "redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://"

_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/\d*)?", re.ASCII)
_PLACES = {
    **dict.fromkeys(("redis", "rediss", "redis+sentinel", "rediss+sentinel"), _HOSTS),
    "unix": re.compile(r"/[\w./-]+", re.ASCII),
}


def connection_pool(url: str, **options: Any) -> redis.BlockingConnectionPool:
    """A pool of connections to the Redis of a URL; `options` are redis-py's. Raises SettingsError."""
    made: Callable[..., redis.BlockingConnectionPool] = redis.BlockingConnectionPool
    return made(**{**options, **_options(url)})


@contextmanager
def opened(url: str, **options: Any) -> Iterator[redis.Redis]:
    """A client of the Redis of a URL, closed at the end. Raises SettingsError."""
    client = redis.Redis(connection_pool=redis.ConnectionPool(**{**options, **_options(url)}))
    try:
        yield client
    finally:
        client.connection_pool.disconnect()


def url_now(url: str) -> str:
    """The URL of the server that is the master at this moment. Raises SettingsError, redis.ConnectionError."""
    scheme, plus, _ = url.partition("+sentinel://")
    if not plus:
        return url
    options = _options(url)
    host, port = options["sentinels"].master()
    parts = urlsplit(url)
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in _OF_SENTINELS]
    place = f"[{host}]" if ":" in host else host
    return urlunsplit((scheme, f"{login}{place}:{port}", parts.path, urlencode(kept, quote_via=quote), ""))


def shown(url: str) -> str:
    """The URL as it may be printed: without user, password and options; *** where it is not clear what is which."""
    scheme, _, rest = url.partition("://")
    if scheme not in _PLACES:
        return "***"
    before, _, options = rest.partition("?")
    _, at, place = before.rpartition("@")
    # An @ after the ? may be a password's in the options, or the ? be a password's before the @.
    if "@" in options or not _PLACES[scheme].fullmatch(place):
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{place}"


def is_outdated(connection: object) -> bool:
    """Whether another server than that of a connection is known to be the master by now."""
    return isinstance(connection, _Noticing) and connection.is_outdated()


class Sentinels:
    """Those that watch one master. What they tell is heard in a thread, from the first question on."""

    def __init__(self, places: list[tuple[str, int]], service: str, options: dict[str, Any]) -> None:
        self._places = places
        self._service = service
        self._options = options
        self._known: tuple[str, int] | None = None
        self._lock = threading.Lock()
        self._listens_in = 0  # the process in which the thread runs

    def master(self) -> tuple[str, int]:
        """Host and port of the master: what those that answer know last. Raises redis.ConnectionError."""
        newest, found, told = -1, None, "none answers"
        for host, port in self._places:
            try:
                with self._client(host, port) as client:
                    state = cast("dict[str, Any]", client.sentinel_master(self._service, return_responses=True))
            except redis.ResponseError as refused:
                told = str(refused)
            except (redis.RedisError, OSError):
                continue
            else:
                # One that was cut off may still name the master before.
                epoch = int(state.get("config-epoch", 0))
                if epoch > newest:
                    newest, found = epoch, (str(state["ip"]), int(state["port"]))
        if found is None:
            places = ", ".join(f"{host}:{port}" for host, port in self._places)
            raise redis.ConnectionError(f"the Sentinels at {places} name no master {self._service!r}: {told}")
        self._known = found
        self._listen()
        return found

    def is_master(self, place: tuple[str, int]) -> bool:
        """Whether the server there is the master, as far as is known."""
        return self._known in (None, place)

    @contextmanager
    def _client(self, host: str, port: int) -> Iterator[redis.Redis]:
        client = redis.Redis(connection_pool=redis.ConnectionPool(host=host, port=port, **self._options))
        try:
            yield client
        finally:
            client.connection_pool.disconnect()

    def _listen(self) -> None:
        with self._lock:
            if self._listens_in != os.getpid():
                self._listens_in = os.getpid()
                threading.Thread(target=self._hear_forever, name="ytray-sentinels", daemon=True).start()

    def _hear_forever(self) -> None:
        while True:
            for host, port in self._places:
                with suppress(redis.RedisError, OSError, ValueError), self._client(host, port) as client:
                    self._hear(client)
            time.sleep(_AGAIN)

    def _hear(self, client: redis.Redis) -> None:
        subscriber: Callable[..., Any] = client.pubsub
        pubsub = subscriber(ignore_subscribe_messages=True)
        pubsub.subscribe(_SWITCH)
        asked = float("-inf")
        while True:
            if time.monotonic() - asked > _LOOK_EVERY:
                asked = time.monotonic()
                client.ping()
                self.master()
            message = pubsub.get_message(timeout=1.0)
            if message is not None and message["type"] == "message":
                name, _, _, host, port = message["data"].decode().split()
                if name == self._service:
                    self._known = (host, int(port))


@cache
def _sentinels(places: tuple[tuple[str, int], ...], service: str, options: tuple[tuple[str, Any], ...]) -> Sentinels:
    """One for all connections of this process."""
    return Sentinels(list(places), service, dict(options))


_PING, _PONG = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"


class _Plain(redis_connection.AbstractConnection):
    """A connection that says in plain words why a server takes no changes; while that takes no commands it is lost."""

    _socket: socket.socket

    def _connect(self) -> socket.socket:
        connect: Callable[[], socket.socket] = super()._connect  # type: ignore[safe-super]  # of what it is mixed with
        self._socket = connect()
        return self._socket

    def ping(self) -> None:
        """A PING behind an answer. Raises what it is refused with, redis.ConnectionError, redis.TimeoutError."""
        # One goes behind every acknowledgement, and redis-py takes half as long again for it.
        try:
            self._socket.sendall(_PING)
            answer = self._socket.recv(4096)
            while answer and not answer.endswith(b"\r\n"):
                more = self._socket.recv(4096)
                answer = answer + more if more else b""
        except TimeoutError:
            raise redis.TimeoutError("Redis does not answer a PING in time") from None
        except OSError as lost:
            raise redis.ConnectionError(f"the connection to Redis was lost: {lost}") from None
        if answer == _PONG:
            return
        if not answer.startswith(b"-"):
            raise redis.ConnectionError("the connection to Redis was lost")
        self._ping_by_the_client()

    def _ping_by_the_client(self) -> None:
        send: Callable[..., None] = self.send_command
        send("PING")
        self.read_response()

    def read_response(self, *args: Any, **options: Any) -> Any:
        read: Callable[..., Any] = super().read_response
        try:
            return read(*args, **options)
        except redis.ResponseError as refused:
            if _BUSY.match(str(refused)):
                raise redis.BusyLoadingError(str(refused)) from None  # tried again, as one that has just been started
            plain = in_plain_words(refused)
            if plain is None:
                raise
            raise plain from None


class _PlainUnix(_Plain, redis.UnixDomainSocketConnection):
    """The same over a socket of this machine."""


class _Noticing(_Plain, redis.Connection):
    """A TCP connection that breaks when its server is found to be no longer the master; the next one finds the new one.

    `sentinels` are asked at each connection; without them a name may lead to another server than before.
    """

    def __init__(self, *, sentinels: Sentinels | None = None, **options: Any) -> None:
        self._sentinels = sentinels
        self._is_greeted = False
        initialize: Callable[..., None] = super().__init__
        initialize(**options)

    def _connect(self) -> Any:
        if self._sentinels is not None:
            self.host, self.port = self._sentinels.master()
        connected: Callable[[], Any] = super()._connect
        return connected()

    def on_connect_check_health(self, check_health: bool = True) -> None:
        self._is_greeted = False
        greet: Callable[..., None] = super().on_connect_check_health
        greet(check_health=check_health)
        if self._sentinels is not None:
            send: Callable[..., None] = self.send_command
            send("ROLE", check_health=False)
            role = self.read_response()[0]
            if role not in (b"master", "master"):
                raise redis.ConnectionError(f"{self.host}:{self.port} is no longer, or not yet, the master")
        self._is_greeted = True

    def is_outdated(self) -> bool:
        """Whether another server is known to be the master by now."""
        return self._sentinels is not None and not self._sentinels.is_master((self.host, self.port))

    def ping(self) -> None:
        """The same; where there are Sentinels, as any other command."""
        if self._sentinels is None:
            super().ping()
        else:
            self._ping_by_the_client()

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        # A master that was cut off and is back takes commands until the Sentinels have told it what it is.
        if self._sentinels is not None and self._is_greeted and self.is_connected and self.is_outdated():
            self._break()
        send: Callable[..., None] = super().send_packed_command
        send(command, check_health)

    def read_response(self, *args: Any, **options: Any) -> Any:
        if self._sentinels is not None and self.socket_timeout is None and "timeout" not in options:
            self._await_answer()
        try:
            return super().read_response(*args, **options)
        except redis.ResponseError as refused:
            # redis-py makes a class of some first words, and takes them off.
            if not isinstance(refused, ReadOnlyError | MasterDownError) and not _NOT_MASTER.match(str(refused)):
                raise
            self._break()
            raise redis.ConnectionError(f"{self.host}:{self.port} takes no writes now: {refused}") from None

    def _await_answer(self) -> None:
        # A server that was cut off says nothing for as long as it is; and a script may take its time.
        while self.is_connected and not self.can_read(timeout=_SILENCE):
            if self.is_outdated():
                self._break()
                raise redis.ConnectionError(f"{self.host}:{self.port} is silent, and no longer the master")

    def _break(self) -> None:
        disconnect: Callable[[], None] = self.disconnect
        disconnect()


class _NoticingTls(_Noticing, redis.SSLConnection):
    """The same over TLS."""


_OF_SENTINELS = ("master", "sentinel_username", "sentinel_password")


def _options(url: str) -> dict[str, Any]:
    """The arguments of redis-py's connection pools for a URL."""
    scheme, plus, rest = url.partition("+sentinel://")
    try:
        if not plus:
            found = _parse(url)
        elif scheme not in ("redis", "rediss"):
            raise ValueError
        else:
            found = _sentinel_options(scheme, rest)
    except ValueError:
        # What exactly is wrong is not told: it may be a part of the password.
        raise SettingsError(
            f"YTRAY_REDIS_URL {shown(url)} cannot be read: it begins with {_SCHEMES}, and special characters in a "
            "password are written as %40 and the like"
        ) from None
    own = found.get("connection_class")
    if own is None:
        found["connection_class"] = _Noticing
    elif own is redis.UnixDomainSocketConnection:
        found["connection_class"] = _PlainUnix
    elif own is redis.SSLConnection:
        found["connection_class"] = _NoticingTls
    return found


def _sentinel_options(scheme: str, rest: str) -> dict[str, Any]:
    parts = urlsplit(f"{scheme}://{rest}")
    login, _, listed = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query))
    if not query.get("master"):
        raise SettingsError(
            f"YTRAY_REDIS_URL {shown(f'{scheme}+sentinel://{rest}')} names Sentinels, but not the master that they "
            "watch: add ?master=NAME"
        )
    plain = urlencode([(name, value) for name, value in query.items() if name not in _OF_SENTINELS])
    found = _parse(urlunsplit((scheme, f"{login}@-", parts.path, plain, "")))
    del found["host"]
    of_tls = {name: value for name, value in found.items() if name.startswith("ssl_") or name == "connection_class"}
    options = {
        "socket_connect_timeout": _SENTINEL_PATIENCE,
        "socket_timeout": _SENTINEL_PATIENCE,
        "username": query.get("sentinel_username"),
        "password": query.get("sentinel_password"),
        **of_tls,
    }
    return {**found, "sentinels": _sentinels(tuple(_places(listed)), query["master"], tuple(options.items()))}


def _places(listed: str) -> list[tuple[str, int]]:
    places = []
    for place in filter(None, listed.split(",")):
        named = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?", place)
        if named is None:
            raise ValueError
        places.append((named[1] or named[3], int(named[2] or named[4] or _SENTINEL_PORT)))
    if not places:
        raise ValueError
    return places
