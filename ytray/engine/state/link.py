"""The connection to Redis, and how a Lua script is called over it.

A move is one script, so it happens wholly or not at all, whichever process dies; and each may be repeated after a
lost reply without doing anything twice, which is what lets a call be retried through a restart of Redis.

Redis runs a script, writes what it changed to the append-only file, and then answers, also when the disk was full: then
it has the change in memory alone, and refuses the next one. So a move counts as made only once a PING behind its answer
is not refused. That PING must be a round trip of its own: Redis runs all commands that came together, then writes the
file, then answers. So whatever comes with a script to look (a PING, INFO, a transaction, the script itself) sees what
was before. It goes past redis-py, which takes half as long again for it.

A replica of Redis follows its master a little later, so what the master has acknowledged may be missing where a
replica takes over. With YTRAY_REDIS_REPLICAS a move counts as made only once so many replicas have it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha1
from importlib.resources import files
from typing import Any
from weakref import WeakSet

import redis
from hiredis import pack_command
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import NoScriptError, ResponseError
from redis.retry import Retry

from ytray.engine.base import logs
from ytray.engine.state.records import unknown_batch, unknown_job
from ytray.engine.state.refusals import as_unavailable
from ytray.errors import (
    DamagedBatch,
    DamagedJob,
    IdempotencyConflict,
    InvalidBatchMove,
    InvalidTransition,
    SystemUnavailable,
    YtrayError,
)
from ytray.settings import settings
from ytray.system.redis_address import connection_pool, is_outdated
from ytray.system.redis_refusals import RedisIsFull

_REPLICA_WAIT_MS = 500  # in one go; then it is looked whether the master is still the same
_MOST_HELD = 32  # connections that are kept between calls
_AGAIN = 0.05  # seconds between tries after a lost connection
_PING = ("PING",)
_FULL_AGAIN = (0.1, 2.0)  # seconds between tries while Redis is full: the first and the longest

# Moves that nobody was promised: what a replica that takes over, or the append-only file, lacks of them is done once
# more by the same clocks.
_PROMISE_NOTHING = frozenset(
    (
        "page",
        "shown",
        "sizes",
        "admit",
        "breaker",
        "clock",
        "keep_code",
        "claim",
        "beat",
        "promote",
        "reap",
        "hand_back",
        "batch_release",
        "batch_stop",
        "batch_unwanted",
    )
)

_log = logs.get("ytray.redis")


_open_links: WeakSet[Link] = WeakSet()
_left_to_parent: list[Any] = []


def _open_all_anew() -> None:
    for link in list(_open_links):
        link.open_anew()


os.register_at_fork(after_in_child=_open_all_anew)


class Link:
    """A connection to the Redis of one ytray system.

    `patience` is for how many seconds a call goes on trying when Redis does not answer; 0 makes it raise at once.
    `answer_within` is how many seconds one answer may take; None for as long as it takes. With `waits_for_room` a
    promised move is tried for as long, too, while Redis is full; else that is raised at once.
    """

    def __init__(
        self,
        redis_url: str,
        namespace: str,
        patience: float = 60.0,
        answer_within: float | None = None,
        *,
        waits_for_room: bool = False,
    ) -> None:
        self.redis_url = redis_url
        self.namespace = namespace
        self.prefix = f"{{{namespace}}}:"
        self._patience = patience
        self._waits_for_room = waits_for_room
        self._replicas = settings().redis_replicas
        self._wait = ("WAIT", self._replicas, _REPLICA_WAIT_MS)
        # From Redis 7.2 on WAIT is about the last write of its own connection: after a command that wrote nothing,
        # such as a repeat of what another connection wrote, it would return at once. So a write goes before it.
        self._mark = ("SET", self.key("secured"), 1)
        self._answer_within = answer_within
        self._prefix = self.prefix.encode()
        self._open()
        _open_links.add(self)

    def _open(self) -> None:
        self._pool = connection_pool(
            self.redis_url,
            max_connections=32,
            timeout=60,
            socket_connect_timeout=5,
            socket_timeout=self._answer_within,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), retries=int(self._patience / 0.5)),
            retry_on_error=[redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError],
        )
        self.redis = redis.Redis(connection_pool=self._pool)
        self._held: list[Any] = []
        self._execute: Callable[..., Any] = self.redis.execute_command
        self._connect: Callable[[], Any] = self._pool.make_connection

    def open_anew(self) -> None:
        """In a forked child: leave all connections to the parent, and make others when they are needed."""
        # Never closed here: locks in them may have been held by threads that there are only in the parent.
        _left_to_parent.append((self._pool, self.redis, self._held, self._connect))
        self._open()

    def close(self) -> None:
        """Close this process's connections; the state stays."""
        self._pool.disconnect()
        while self._held:
            self._held.pop().disconnect()

    def quick_client(self, answer_within: float) -> redis.Redis:
        """A client with a connection of its own, which raises when an answer takes longer (seconds)."""
        pool = connection_pool(
            self.redis_url,
            max_connections=1,
            socket_connect_timeout=answer_within,
            socket_timeout=answer_within,
            retry=Retry(NoBackoff(), 0),
        )
        return redis.Redis(connection_pool=pool)

    def key(self, name: str) -> str:
        """The full name of a key, as lua/prelude.lua lists them."""
        return self.prefix + name

    def call(self, script: str, *args: Any) -> Any:
        """Run a script of lua/ by its name. Raises what its refusal stands for, SystemUnavailable."""
        text, digest = SCRIPTS[script]
        command = ("EVALSHA", digest, 1, self._prefix, *args)
        unknown = ("EVAL", text, *command[2:])  # a Redis that was restarted has forgotten the scripts
        if script in _PROMISE_NOTHING or (script == "note" and args[3] == "progress"):
            return self._repeated(command, unknown)
        # Who takes jobs up was promised nothing either: what the file lacks of that is found out by a heartbeat.
        sure = bool(self._replicas) or script != "start"
        return self._for_room(self._make_sure if sure else self._repeated, command, unknown)

    def _for_room(self, ask: Callable[..., Any], *commands: tuple[Any, ...]) -> Any:
        """What `ask` answers, asked again while Redis is full where that is to be waited for."""
        deadline = time.monotonic() + self._patience
        again, longest = _FULL_AGAIN
        while True:
            try:
                return ask(*commands)
            except RedisIsFull as full:
                if not self._waits_for_room or time.monotonic() >= deadline:
                    raise
                if again == _FULL_AGAIN[0]:
                    _log.warning("waiting for room in Redis", error=str(full))
                time.sleep(again)
                again = min(longest, 2 * again)

    def _repeated(self, command: tuple[Any, ...], unknown: tuple[Any, ...]) -> Any:
        with _explained, suppress(NoScriptError):
            try:
                return self._call_held(command)
            except (redis.ConnectionError, redis.TimeoutError):
                # The move may have been made: every script takes a repeat for what it is.
                return self._execute(*command)
        with _explained:
            return self._execute(*unknown)

    def _call_held(self, command: tuple[Any, ...]) -> Any:
        with self._held_connection() as connection:
            connection.send_packed_command([pack_command(command)])
            return connection.read_response()

    def secure(self) -> None:
        """Return once the append-only file, and YTRAY_REDIS_REPLICAS replicas, have all that was written so far.

        Raises SystemUnavailable.
        """
        self._for_room(self._make_sure, _PING, ())

    def _make_sure(self, command: tuple[Any, ...], unknown: tuple[Any, ...]) -> Any:
        """The reply to a command, once the append-only file and enough replicas have what was written before and by it.

        `unknown` is sent instead when Redis does not know the script.
        """
        deadline = time.monotonic() + self._patience
        after = (self._mark, self._wait) if self._replicas else ()
        made: list[Any] = []
        tries_left = 1 if self._patience else 2  # a connection that was kept may be to a server that has gone
        with _explained:
            while True:
                try:
                    with self._held_connection() as connection:
                        reply, *told = ask(connection, command, *after)
                        if isinstance(reply, NoScriptError):
                            reply, *told = ask(connection, unknown, *after)
                        if not isinstance(reply, ResponseError):
                            made = [reply]
                        elif not made or isinstance(reply, RedisIsFull):
                            raise reply
                        # Else another server refuses a second time what it has from the time before.
                        if told:
                            marked, following = told
                            if isinstance(marked, ResponseError):
                                raise marked
                            self._await_replicas(connection, following, deadline)
                        connection.ping()
                        return made[0]
                except (redis.ConnectionError, redis.TimeoutError):
                    tries_left -= 1
                    if tries_left <= 0 and time.monotonic() >= deadline:
                        raise
                    while self._held:  # they were made to the same server
                        self._held.pop().disconnect()
                    if tries_left <= 0:
                        time.sleep(_AGAIN)

    def _await_replicas(self, connection: Any, following: Any, deadline: float) -> None:
        while True:
            if isinstance(following, ResponseError):
                raise following
            if following >= self._replicas:
                return
            if is_outdated(connection):
                raise redis.ConnectionError("another server is the master now")
            if time.monotonic() >= deadline:
                raise SystemUnavailable(
                    f"Redis has it, but only {following} of {self._replicas} replicas (YTRAY_REDIS_REPLICAS) have: it "
                    "could still be lost with the master; look after the replicas, or ask for fewer"
                )
            (following,) = ask(connection, self._wait)

    def _held_connection(self) -> _Held:
        """A connection kept for one call at a time; redis-py's pool and retries double what a call takes."""
        return _Held(self._held, self._connect)


class _Held:
    """Takes a connection from those that are kept, and gives it back unless it broke."""

    __slots__ = ("_connect", "_connection", "_kept")

    def __init__(self, kept: list[Any], connect: Callable[[], Any]) -> None:
        self._kept = kept
        self._connect = connect

    def __enter__(self) -> Any:
        try:
            self._connection = self._kept.pop()
        except IndexError:
            self._connection = self._connect()
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        whole = kind is None or issubclass(kind, ResponseError)
        if whole and len(self._kept) < _MOST_HELD:
            self._kept.append(self._connection)
        else:  # it is broken, or one of many threads' that called at once
            self._connection.disconnect()


class _Explained:
    """Raises what a refusal or a lost connection stands for."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, NoScriptError | SystemUnavailable):
            return
        if isinstance(error, ResponseError):
            raise explain(error) from None
        if isinstance(error, redis.ConnectionError | redis.TimeoutError) and (why := as_unavailable(error)) is not None:
            raise why from error


_explained = _Explained()


def ask(connection: Any, *commands: tuple[Any, ...]) -> list[Any]:
    """The replies to commands that are sent together, refusals among them."""
    connection.send_packed_command([b"".join(map(pack_command, commands))])
    replies = []
    for _ in commands:
        try:
            replies.append(connection.read_response())
        except ResponseError as refused:
            replies.append(refused)
    return replies


# What the scripts have in common; each uses those before it.
_PRELUDES = ("prelude", "prelude_batches", "prelude_spending", "prelude_endings")


# What runs when memory gets full goes on to its end, and can be stopped and deleted: jobs that run are few, and their
# ends make room. Nothing new is accepted or begun.
_END_WHEN_FULL = frozenset(
    (
        "beat", "start", "complete", "fail", "note", "unit", "spend_open", "spend_mark", "spend_close",
        "hand_back", "hand_over", "reap", "take_office", "cancel", "forget",
        "batch_control", "batch_stop", "batch_unwanted", "batch_discard", "batch_forget",
    )
)  # fmt: skip
# A full Redis refuses a script's first write if that could take memory, and none of those after it.
_EVEN_WHEN_FULL = "redis.call('DEL', KEYS[1] .. 'nothing')"


def _load_scripts() -> dict[str, tuple[str, str]]:
    folder = files("ytray.engine.state") / "lua"
    parts = [part for name in _PRELUDES for part in (folder / f"{name}.lua").read_text().split("\n\n")]
    named = [(part, set(re.findall(r"^local (?:function )?(\w+)", part, re.MULTILINE))) for part in parts]
    scripts = {}
    for entry in folder.iterdir():
        name = entry.name.removesuffix(".lua")
        if name not in _PRELUDES:
            text = _with_preludes(entry.read_text(), named)
            if name in _END_WHEN_FULL:
                text = f"{_EVEN_WHEN_FULL}\n{text}"
            scripts[name] = (text, sha1(text.encode(), usedforsecurity=False).hexdigest())
    return scripts


def _with_preludes(text: str, parts: list[tuple[str, set[str]]]) -> str:
    # Redis runs the whole text at every call: making the functions that a script does not use is a third of its time.
    used = set(re.findall(r"\w+", text))
    for part, names in reversed(parts):
        if names & used:
            text = f"{part}\n\n{text}"
            used.update(re.findall(r"\w+", part))
    return text


# Each script by name: its text, with what it uses of the prelude in front, and the digest that EVALSHA takes.
SCRIPTS = _load_scripts()


def explain(refused: ResponseError) -> YtrayError:
    """The error that a script's refusal, such as "ILLEGAL <id> COMPLETED CANCELLED", or Redis's own stands for."""
    if (unavailable := as_unavailable(refused)) is not None:
        return unavailable
    refusal = str(refused)
    refusal = refusal.partition("caused error: ")[2] or refusal  # of a pipeline
    word, _, rest = refusal.partition(" ")
    match word, rest.split(" "):
        case "UNKNOWN", [job_id, *_]:
            return unknown_job(job_id)
        case "EXISTS", [job_id, *_]:
            return InvalidTransition(f"job {job_id} exists already; choose another id")
        case "DAMAGED", [job_id, *_]:
            return DamagedJob(f"what Redis has of job {job_id} cannot be read, so nothing can be done with it")
        case "DAMAGEDBATCH", [batch_id, *_]:
            return DamagedBatch(f"what Redis has of batch {batch_id} cannot be read, so it cannot go on")
        case "CONFLICT", [job_id, *_]:
            return IdempotencyConflict(
                f"the idempotency key belongs to job {job_id}, which has another task or other arguments; "
                "use a new key for new work"
            )
        case "ILLEGAL", [job_id, state, to, *_]:
            return InvalidTransition(f"job {job_id} is {state} and cannot become {to}; nothing was changed")
        case "OWNED", [job_id, *_]:
            return InvalidTransition(f"job {job_id} is run by ytray; only its worker moves it (it can be cancelled)")
        case "ORPHAN", [parent, state, *_]:
            return InvalidTransition(f"flow {parent} is no longer running (it is {state}); it submits no more steps")
        case "NOBATCH", [batch_id, *_]:
            return unknown_batch(batch_id)
        case "BATCH", [batch_id, state, what, *_]:
            return InvalidBatchMove(f"batch {batch_id} is {state}, so one cannot {what} it; nothing was changed")
        case "GONE", _:
            return InvalidTransition(
                "the submission took longer than an hour and was dropped, or Redis lost a "
                "part of it in a failover; submit it again"
            )
        case "NOCODE", _:
            return CodeNotStored("the code of this task is not stored any more: run the script that defines it again")
        case "EPOCH", _:
            return Deposed("another tracker or flow runner has taken over")
    if "WRONGTYPE" in refusal:
        return YtrayError(f"a key of this system was written over by somebody, so Redis refused a move: {refusal}")
    return YtrayError(f"Redis refused a move: {refusal}")


class CodeNotStored(YtrayError):
    """Code that a script shipped has expired, or was lost: whoever has the task ships it again."""


class Deposed(YtrayError):
    """Another holder is in office; this one must stop."""
