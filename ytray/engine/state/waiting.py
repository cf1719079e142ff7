"""Waiting for ends: one thread listens for all who wait in this process, however many they are and for however much.

It alone uses its two connections: over one Redis tells it of ends, over the other it asks what came of them. Whoever
waits hands it a `Wait` and sleeps; so a deadline holds also while Redis is away, and an interrupted caller leaves no
half-sent command behind. No end is missed: a job is looked at after Redis has confirmed that it will tell of it, and
again every few seconds. The thread starts with the first wait, and ends when nobody has waited for a while.

What happens when …
- a connection breaks, or another server becomes the master: it connects again, and looks at everything once more.
- Redis stays away for longer than the store's patience: those who wait get SystemUnavailable.
- the local Ray has died, and nobody brings it back: so do those who wait for what has not ended.
- the process forks: the child has a listener of its own, without waits, thread or connection.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ytray.engine.base import logs
from ytray.engine.base.model import ENDED, JobState
from ytray.engine.state.records import queue_in, read_state, read_status, waits_for_slot, why_waiting
from ytray.errors import SystemUnavailable, YtrayError
from ytray.system.redis_address import connection_pool, is_outdated

if TYPE_CHECKING:
    from ytray.engine.state.link import Link

_LOOK_EVERY = 5.0  # seconds between looks at everything, should a message have been lost
_SILENCE = 5.0  # seconds without a word, also after a question, after which a connection is given up
_AGAIN = 0.1  # seconds between tries to connect
_IDLE = 10.0  # seconds without a wait after which the thread ends
_CONNECTING, _GOODBYE = 2.0, 5.0  # seconds
_AT_ONCE = 1_000  # keys in one question
_UNTOLD = 256  # channels that nobody needs any more are left together
_ROOM = 256  # results that are fetched ahead of a caller that does not take them
_GROUP = 22  # bytes of an id: jobs whose ids begin alike share a channel (as `tell_ended` in lua/prelude.lua)

_log = logs.get("ytray.waiting")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended. `state` is None when there is no such job."""

    job_id: str
    state: JobState | None
    result: bytes | None = None
    error: str = ""
    traceback: str = ""
    retries: int = 0


def ending_of_fields(
    job_id: str, state: JobState, error: bytes | None, traceback: bytes | None, retries: bytes | None
) -> Ending:
    """How a job ended that has no result, by the fields of its hash, be they damaged or not."""
    if error is None and state is JobState.FAILED:
        error = b"DamagedJob: what Redis has of this job cannot be read; its status tells more"
    told = (error or b"").decode(errors="replace"), (traceback or b"").decode(errors="replace")
    return Ending(job_id, state, None, *told, int(retries) if retries and retries.isdigit() else 0)


class Wait:
    """One caller's wait for the ends of some jobs, or of a batch. The listener fills it, and calls `wake`."""

    def __init__(
        self, ids: Iterable[str], wake: Callable[[], None], what: Literal["j", "b"] = "j", *, is_hasty: bool = False
    ) -> None:
        self.what = what
        self.is_hasty = is_hasty  # it is also woken by the first look, whatever that has found
        self.wake = wake
        self.missing = set(ids)  # of these no end is known; only the listener changes it
        self.known: deque[tuple[str, JobState]] = deque()  # ended; what came of it is still to be fetched
        self.ready: deque[Ending] = deque()
        self.whereabouts = ""  # of the one job or batch, in words: its state, and all of it once it was asked for
        self.failure: YtrayError | None = None
        self.looked = False  # whether all has been looked at once
        self.since = time.monotonic()

    def take(self) -> list[Ending]:
        """What has come since the last call. Raises the error that ended the wait."""
        if self.failure is not None:
            raise self.failure
        found = []
        while self.ready:
            found.append(self.ready.popleft())
        return found


class Listener:
    """Hears of ends for all waits of this process on one store."""

    def __init__(self, where: Link, patience: float) -> None:
        self._prefix = where.key("")
        self._url = where.redis_url
        self._patience = patience
        self._given_up = ""
        self._is_to_look = False  # at everything that is waited for
        self._reset()
        _listeners.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may wait, too
        self._orders: deque[tuple[str, Wait]] = deque()
        self._thread: threading.Thread | None = None
        self._bell: socket.socket | None = None
        self._is_closing = False
        # Below: only the thread's own.
        self._waits: dict[str, list[Wait]] = {}  # by the id that is waited for
        self._channels: dict[bytes, set[str]] = {}  # ids that are waited for, by the channel that tells of them
        self._confirmed: set[bytes] = set()
        self._new: set[bytes] = set()  # channels that are still to be subscribed to
        self._unlooked: set[str] = set()
        self._busy: set[Wait] = set()
        self._lost: list[Wait] = []

    # ------------------------------------------------------------------------------------------ for who waits

    def add(self, wait: Wait) -> None:
        """Begin a wait; `remove` ends it, also one that was never begun."""
        self._order("add", wait)

    def remove(self, wait: Wait) -> None:
        """End a wait."""
        self._order("remove", wait)

    def fetch(self, wait: Wait) -> None:
        """The caller has taken what was ready: fetch more."""
        if wait.known:
            self._order("fetch", wait)

    def locate(self, wait: Wait) -> None:
        """Ask where the job or batch is that is waited for; the answer goes to `whereabouts`."""
        self._order("locate", wait)

    def _order(self, what: str, wait: Wait) -> None:
        self._orders.append((what, wait))
        with self._lock:
            if what == "add" and (self._thread is None or not self._thread.is_alive()):
                ours, its = socket.socketpair()
                for end in (ours, its):
                    end.setblocking(False)
                self._bell, self._is_closing = ours, False
                self._thread = threading.Thread(target=self._run, args=(its,), name="ytray-waiting", daemon=True)
                self._thread.start()
            self._ring()

    def _ring(self) -> None:
        if self._bell is not None:
            with suppress(OSError):  # full: it has not looked yet
                self._bell.send(b"1")

    def give_up(self, why: str) -> None:
        """Nothing runs jobs any more: whoever waits for what has not ended gets SystemUnavailable, now and later."""
        self._given_up = why
        with self._lock:
            self._is_to_look = True
            self._ring()

    def close(self) -> None:
        """End the thread and its connections; whoever still waits gets SystemUnavailable. Safe to call twice."""
        with self._lock:
            self._is_closing, thread = True, self._thread
            self._ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_GOODBYE)

    # ------------------------------------------------------------------------------------------ the thread

    def _run(self, bell: socket.socket) -> None:
        away_since: float | None = None
        pool = connection_pool(
            self._url,
            max_connections=2,
            socket_connect_timeout=_CONNECTING,
            socket_timeout=_SILENCE,
            retry=Retry(NoBackoff(), 0),
        )
        connect: Callable[[], Any] = pool.make_connection
        with bell:
            while True:
                ears, line = connect(), connect()
                try:
                    for connection in (ears, line):
                        connection.connect()
                    away_since = None
                    self._serve(bell, ears, line)
                except (redis.ConnectionError, redis.TimeoutError, OSError) as lost:
                    away_since = away_since or time.monotonic()
                    patient_since = time.monotonic() - self._patience
                    if away_since < patient_since:
                        told = SystemUnavailable(f"Redis does not answer: {lost}; `ytray doctor` tells more")
                        self._fail(told, before=patient_since)
                except redis.RedisError as refused:
                    self._fail(
                        SystemUnavailable(f"Redis refuses to tell of ends: {refused}; `ytray doctor` tells more")
                    )
                except Exception as unforeseen:
                    _log.exception("waiting anew")
                    self._fail(YtrayError(f"the wait broke off: {unforeseen!r}"))
                finally:
                    for connection in (ears, line):
                        connection.disconnect()
                if self._is_over():
                    return
                _pause(bell, _AGAIN)
                self._take_orders()

    def _is_over(self) -> bool:
        """Whether the thread is to end; then nobody counts on it any more."""
        with self._lock:
            if self._is_closing:
                self._take_orders()
                self._fail(SystemUnavailable("ytray was shut down during the wait; accepted jobs stay accepted"))
            elif self._waits or self._orders:
                return False
            else:
                self._take_orders()
            self._thread = None
            if self._bell is not None:
                self._bell.close()
                self._bell = None
            return True

    def _fail(self, failure: YtrayError, before: float = float("inf")) -> None:
        """End the waits that began before a moment."""
        for wait in {wait for waits in self._waits.values() for wait in waits if wait.since < before}:
            self._forget(wait)
            wait.failure = failure
            wait.wake()

    def _serve(self, bell: socket.socket, ears: Any, line: Any) -> None:
        """Hear and ask until nobody has waited for a while. Raises what breaks a connection."""
        self._channels = {channel: ids for channel, ids in self._channels.items() if ids}
        self._confirmed, self._new = set(), set(self._channels)
        looked = heard = asked = idle_since = time.monotonic()
        with selectors.DefaultSelector() as ready:
            ready.register(bell, selectors.EVENT_READ)
            ready.register(ears._sock, selectors.EVENT_READ)
            while not self._is_closing:
                self._take_orders()
                self._subscribe(ears)
                self._ask(line)
                now = time.monotonic()
                if self._waits:
                    idle_since = now
                elif now - idle_since > _IDLE:
                    return
                if is_outdated(ears):
                    raise redis.ConnectionError("another server is the master now")
                if now - looked > _LOOK_EVERY or self._is_to_look:
                    looked, self._is_to_look = now, False
                    self._unlooked.update(self._waits)
                    self._leave_channels(ears)
                if now - heard > _SILENCE:
                    if asked > heard and now - asked > _SILENCE:
                        raise redis.ConnectionError("it has fallen silent")
                    if asked <= heard:
                        asked = now
                        ears.send_command("PING", check_health=False)
                if self._orders or self._unlooked:
                    continue
                ready.select(1.0)
                _drain(bell)
                while ears.can_read(0):
                    heard = time.monotonic()
                    self._hear(ears.read_response(push_request=True))

    def _take_orders(self) -> None:
        while self._orders:
            what, wait = self._orders.popleft()
            if what == "add":
                for job_id in wait.missing:
                    self._begin_waiting(job_id, wait)
            elif what == "remove":
                self._forget(wait)
            elif what == "fetch":
                self._busy.add(wait)
            else:
                self._lost.append(wait)

    def _begin_waiting(self, job_id: str, wait: Wait) -> None:
        self._waits.setdefault(job_id, []).append(wait)
        channel = self._channel(job_id)
        if channel not in self._channels:
            self._channels[channel] = set()
            self._new.add(channel)
        self._channels[channel].add(job_id)
        if channel in self._confirmed:
            self._unlooked.add(job_id)

    def _channel(self, job_id: str) -> bytes:
        return f"{self._prefix}ended:".encode() + job_id.encode()[:_GROUP]

    def _forget(self, wait: Wait) -> None:
        for job_id in list(wait.missing):
            self._stop_waiting(job_id, wait)
        self._busy.discard(wait)

    def _stop_waiting(self, job_id: str, wait: Wait) -> None:
        wait.missing.discard(job_id)
        waits = self._waits.get(job_id, [])
        if wait in waits:
            waits.remove(wait)
        if not waits:
            self._waits.pop(job_id, None)
            self._unlooked.discard(job_id)
            if (ids := self._channels.get(self._channel(job_id))) is not None:
                ids.discard(job_id)

    def _subscribe(self, ears: Any) -> None:
        new, self._new = list(self._new), set()
        for some in _parts(new):
            ears.send_command("SUBSCRIBE", *some, check_health=False)
        if len(self._channels) > _UNTOLD + len(self._waits):
            self._leave_channels(ears)

    def _leave_channels(self, ears: Any) -> None:
        unused = [channel for channel, ids in self._channels.items() if not ids]
        for some in _parts(unused):
            ears.send_command("UNSUBSCRIBE", *some, check_health=False)
        for channel in unused:
            del self._channels[channel]
            self._confirmed.discard(channel)
            self._new.discard(channel)

    def _hear(self, told: Any) -> None:
        if not isinstance(told, list) or len(told) < 3:
            return  # the answer to a PING
        kind, channel, text = told[:3]
        if kind == b"subscribe" and channel in self._channels:
            self._confirmed.add(channel)
            self._unlooked.update(self._channels[channel])
        elif kind == b"message":
            state, *ids = text.decode().split("\n")
            for job_id in ids:
                self._ended(job_id, state)

    def _ended(self, job_id: str, state: str) -> None:
        for wait in list(self._waits.get(job_id, ())):
            if wait.what == "b":
                self._unlooked.add(job_id)  # a job may have the same id
                continue
            self._stop_waiting(job_id, wait)
            wait.known.append((job_id, JobState(state)))
            self._busy.add(wait)

    # ------------------------------------------------------------------------------------------ asking

    def _ask(self, line: Any) -> None:
        seen = self._look(line) if self._unlooked else set()
        for wait in list(self._busy):
            self._fetch(line, wait)
        for wait in seen:
            if not wait.looked:
                wait.looked = True
                if wait.is_hasty:
                    wait.wake()
        if self._lost:
            self._locate(line)

    def _look(self, line: Any) -> set[Wait]:
        ids, self._unlooked = list(self._unlooked), set()
        seen = set()
        for some in _parts(ids):
            whats = [(job_id, what) for job_id in some for what in {wait.what for wait in self._waits.get(job_id, ())}]
            states = _replies(line, [("HGET", f"{self._prefix}{what}:{job_id}", "state") for job_id, what in whats])
            for (job_id, what), state in zip(whats, states, strict=True):
                # A damaged job counts as FAILED, and a damaged batch as unknown.
                known = read_state(_bytes(state)).value if what == "j" else _bytes(state).decode(errors="replace")
                for wait in [wait for wait in self._waits.get(job_id, ()) if wait.what == what]:
                    self._see(job_id, wait, known if state is not None and known else None)
                    seen.add(wait)
        return seen

    def _see(self, job_id: str, wait: Wait, state: str | None) -> None:
        if state in ENDED and wait.what == "j":
            self._stop_waiting(job_id, wait)
            wait.known.append((job_id, JobState(state)))
            self._busy.add(wait)
        elif state is None or state in ENDED:
            self._stop_waiting(job_id, wait)
            wait.ready.append(Ending(job_id, None if state is None else JobState(state)))
            wait.wake()
        elif self._given_up:
            self._forget(wait)
            wait.failure = SystemUnavailable(f"{job_id} is {state}: {self._given_up}")
            wait.wake()
        elif not wait.whereabouts:
            wait.whereabouts = f"{'job' if wait.what == 'j' else 'batch'} {job_id} is {state}"

    def _fetch(self, line: Any, wait: Wait) -> None:
        self._busy.discard(wait)
        while wait.known and len(wait.ready) < _ROOM:
            some = [wait.known[place] for place in range(min(len(wait.known), _ROOM - len(wait.ready)))]
            wait.ready.extend(self._endings(line, wait, some))
            for _ in some:
                wait.known.popleft()
            wait.wake()

    def _endings(self, line: Any, wait: Wait, ended: Sequence[tuple[str, JobState]]) -> list[Ending]:
        completed = [job_id for job_id, state in ended if state is JobState.COMPLETED]
        others = [job_id for job_id, state in ended if state is not JobState.COMPLETED]
        names = ("state", "error", "traceback", "retries")
        commands: list[tuple[str, ...]] = [("GET", f"{self._prefix}r:{job_id}") for job_id in completed]
        commands += [("HMGET", f"{self._prefix}j:{job_id}", *names) for job_id in others]
        replies = _replies(line, commands)
        found = [_completed(job_id, result) for job_id, result in zip(completed, replies, strict=False)]
        for job_id, reply in zip(others, replies[len(completed) :], strict=True):
            state, *fields = reply if isinstance(reply, list) else (b"", None, None, None)  # somebody wrote over it
            if state is None:
                found.append(Ending(job_id, None))
            elif (now := read_state(state)).has_ended:
                found.append(ending_of_fields(job_id, now, *fields))
            else:  # it was replayed meanwhile
                wait.missing.add(job_id)
                self._begin_waiting(job_id, wait)
        return found

    def _locate(self, line: Any) -> None:
        waits, self._lost = self._lost, []
        names = list({(wait.what, job_id) for wait in waits for job_id in wait.missing})
        for some in _parts(names):
            commands = [("HGETALL", f"{self._prefix}{what}:{name}") for what, name in some]
            about = (("HGETALL", "slots"), ("SMEMBERS", "paused"), ("EXISTS", "at_work"))
            commands += [(command, f"{self._prefix}{name}") for command, name in about]
            *stored, slots, paused, is_at_work = _replies(line, commands)
            paused = set() if isinstance(paused, Exception) else set(paused)
            reasons = why_waiting(_mapping(slots), paused, is_at_work=bool(is_at_work))
            for (what, name), fields in zip(some, map(_mapping, stored), strict=True):
                if fields:
                    told = _job_is(name, fields, reasons) if what == "j" else _batch_is(name, fields)
                    for wait in self._waits.get(name, ()):
                        wait.whereabouts = told


_listeners: weakref.WeakSet[Listener] = weakref.WeakSet()


def _forget_parents() -> None:
    for listener in list(_listeners):
        listener._reset()


os.register_at_fork(after_in_child=_forget_parents)


def _job_is(job_id: str, fields: dict[bytes, bytes], reasons: dict[str, str]) -> str:
    reason = reasons.get(queue_in(fields), "") if waits_for_slot(fields) else ""
    status = read_status(job_id, fields, None, reason)
    if status.next_retry_at:
        return f"job {job_id} is {status.current_state} until {status.next_retry_at:%H:%M:%S} UTC ({status.error})"
    told = status.progress_message if status.current_state is JobState.QUEUED else ""
    return f"job {job_id} is {status.current_state}{f' ({told})' if told else ''}"


def _batch_is(batch_id: str, fields: dict[bytes, bytes]) -> str:
    try:
        left = int(fields.get(b"waiting", 0)) + int(fields.get(b"active", 0))
        state, total = fields[b"state"].decode(), int(fields.get(b"total", 0))
    except (ValueError, KeyError):
        return f"batch {batch_id} is damaged: what Redis has of it cannot be read"
    return f"batch {batch_id} is {state}, {left:,} of {total:,} items are left"


def _completed(job_id: str, result: bytes | Exception | None) -> Ending:
    # What somebody wrote over is no JSON, which is what its reader says.
    return Ending(job_id, JobState.COMPLETED, b"" if isinstance(result, Exception) else result)


def _replies(line: Any, commands: Sequence[tuple[str, ...]]) -> list[Any]:
    """The replies, and the refusals of keys that somebody wrote over among them: they are no reason to fail others."""
    line.send_packed_command(line.pack_commands(commands), check_health=False)
    replies: list[Any] = []
    refused: redis.ResponseError | None = None
    for _ in commands:
        try:
            replies.append(line.read_response())
        except redis.ResponseError as refusal:
            replies.append(refusal)
            refused = refused if "WRONGTYPE" in str(refusal) else refusal
    if refused is not None:
        raise refused
    return replies


def _bytes(reply: Any) -> bytes:
    return reply if isinstance(reply, bytes) else b""


def _mapping(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, Exception):
        return {}
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _parts(values: list[Any]) -> Iterable[list[Any]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def _drain(bell: socket.socket) -> None:
    with suppress(BlockingIOError):
        while bell.recv(4096):
            pass


def _pause(bell: socket.socket, seconds: float) -> None:
    with selectors.DefaultSelector() as ready:
        ready.register(bell, selectors.EVENT_READ)
        ready.select(seconds)
    _drain(bell)
