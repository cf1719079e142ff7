"""`GET /api/events`: what happens, as it happens, by Server-Sent Events.

The engine's moves append to one stream in Redis. A replica reads it once, in one thread, however many clients listen,
and hands each what it may see. Every event has a place in the stream as its id, so that a client whose connection (or
whose replica) went away goes on elsewhere from its `Last-Event-ID` without a gap or a repetition. A client that reads
too slowly is disconnected, and goes on in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import redis
import structlog
from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from ytray.api.access import Reader, check_owner, door, visible_batch
from ytray.api.event_entries import (
    Event,
    EventReader,
    Place,
    entry_place,
    newest_of_batches,
    read_place,
    written_place,
)
from ytray.api.problems import TooManyStreams, documented
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments
from ytray.settings import settings

router = APIRouter(tags=["events"])

_HEARTBEAT = 15.0  # seconds between signs of life, so that proxies keep the connection open
_BACKLOG = 5_000  # events a client may fall behind before it is disconnected
_READ_AT_ONCE = 500  # entries of the stream
_LEFT = object()  # tells a client's queue that it fell behind
_LOOKS = 0.5  # seconds between two looks whether a client's key was revoked

_log = structlog.get_logger("ytray.api.events")


@dataclass(eq=False, slots=True)
class Listener:
    """One client: which events it wants, and those that wait for it."""

    user: str | None
    job_id: str | None = None
    batch_id: str | None = None
    key_id: str = ""
    is_let_in: Callable[[], bool] = lambda: True
    waiting: asyncio.Queue[Any] = field(default_factory=lambda: asyncio.Queue(_BACKLOG))

    def wants(self, event: Event) -> bool:
        """Whether the client may and wants to see the event. The steps of a flow have its id and a dot in front."""
        if self.user is not None and event.user != self.user:
            return False
        if self.batch_id is not None:
            return event.batch_id == self.batch_id
        return self.job_id is None or event.job_id == self.job_id or event.job_id.startswith(f"{self.job_id}.")

    def hear(self, events: Sequence[Event]) -> None:
        """Take in what the client wants of these."""
        for event in events:
            if self.wants(event):
                try:
                    self.waiting.put_nowait(event)
                except asyncio.QueueFull:
                    # It goes on from its last event once it has connected again.
                    self.waiting.get_nowait()
                    self.waiting.put_nowait(_LEFT)
                    return

    async def chunks(self) -> AsyncIterator[bytes]:
        """What waits, as it is to be sent, with signs of life between.

        Ends when the client fell behind, and when it would not be let in any more.
        """
        looked_at = told_at = time.monotonic()
        while True:
            now = time.monotonic()
            if now - looked_at >= _LOOKS:
                looked_at = now
                if not self._may_go_on():
                    return
            try:
                event = await asyncio.wait_for(self.waiting.get(), _LOOKS)
            except TimeoutError:
                if now - told_at >= _HEARTBEAT:
                    told_at = now
                    yield b": alive\n\n"
                continue
            told_at = now
            found = []
            while event is not _LEFT:
                found.append(event)
                if self.waiting.empty():
                    break
                event = self.waiting.get_nowait()
            yield b"".join(event.text for event in newest_of_batches(found))
            if event is _LEFT:
                return

    def _may_go_on(self) -> bool:
        try:
            return self.is_let_in()
        except redis.RedisError:
            return True  # what cannot be asked stays as it was; it is asked again


class EventHub:
    """Hands the stream of events to the clients of this replica; reads it only while there are any."""

    def __init__(self, where: Store) -> None:
        self._store = where
        self._key = where.key("events")
        self._entries = EventReader(where)
        self._listeners: set[Listener] = set()
        self._reader: _Reader | None = None

    async def listen(self, listener: Listener, after: Place | None) -> AsyncIterator[bytes]:
        """The events for one client from now on, or from a place in the past; ends as `Listener.chunks` does."""
        self._listeners.add(listener)
        if self._reader is None:
            self._reader = _Reader(self._store, self._key, self._entries.events, self._hand_out)
        reader = self._reader
        try:
            await reader.started.wait()
            listener.waiting = asyncio.Queue(_BACKLOG)
            joined = reader.reached  # what comes after this is put into the listener's queue
            # The id lets a client resume that is cut off before its first event.
            yield f"id: {written_place(after or joined)}\nretry: 1000\n\n".encode()
            if after is not None:
                if await run_in_threadpool(self._is_gone, after, joined):
                    yield f"id: {written_place(joined)}\nevent: reset\ndata: {{}}\n\n".encode()
                else:
                    async for event in self._past(after, joined):
                        if listener.wants(event):
                            yield event.text
            async for chunk in listener.chunks():
                yield chunk
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._reader is reader:
                reader.stop()
                self._reader = None

    async def _past(self, after: Place, until: Place) -> AsyncIterator[Event]:
        start = f"{after[0]}-{after[1]}"
        while True:
            events, last = await run_in_threadpool(self._read_past, start, until)
            for event in events:
                if after < event.place <= until:
                    yield event
            if last is None:
                return
            start = f"({last}"

    def _read_past(self, start: str, until: Place) -> tuple[list[Event], str | None]:
        rows = cast(
            "list[Any]",
            self._store.redis.xrange(self._key, start, f"{until[0]}-{until[1]}", count=_READ_AT_ONCE),
        )
        return self._entries.events(rows), (rows[-1][0].decode() if len(rows) == _READ_AT_ONCE else None)

    def number_of(self, key_id: str) -> int:
        """How many streams of that key are open."""
        return sum(listener.key_id == key_id for listener in self._listeners)

    def _is_gone(self, place: Place, reached: Place) -> bool:
        """Whether events after that place have been cut off (or another Redis stands in the old one's place)."""
        info = cast("list[Any]", self._store.redis.xrange(self._key, "-", "+", count=1))
        oldest = entry_place(info[0][0]) if info else reached[:2]
        return place[:2] < oldest or place[:2] > reached[:2]

    def _hand_out(self, events: Sequence[Event]) -> None:
        for listener in self._listeners:
            listener.hear(events)


class _Reader:
    """A thread that reads the stream from its end on, for as long as somebody listens."""

    def __init__(
        self,
        where: Store,
        key: str,
        read: Callable[[Sequence[Any]], list[Event]],
        hand_out: Callable[[list[Event]], None],
    ) -> None:
        self.started = asyncio.Event()
        self.reached: Place = (0, 0, 0)
        self._store, self._key = where, key
        self._read, self._hand_out = read, hand_out
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        threading.Thread(target=self._run, name="ytray-events", daemon=True).start()

    def stop(self) -> None:
        """Read no more, and hand out nothing more."""
        self._stopped = True

    def _run(self) -> None:
        last = ""
        while not self._stopped:
            try:
                if not last:
                    newest = cast("list[Any]", self._store.redis.xrevrange(self._key, "+", "-", count=1))
                    last = newest[0][0].decode() if newest else "0-0"
                    self._tell(last, [])
                found = cast("Any", self._store.redis.xread({self._key: last}, count=_READ_AT_ONCE, block=1000))
                if found:
                    rows = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
                    last = rows[-1][0].decode()
                    self._tell(last, self._read(rows))
            except redis.RedisError as away:
                _log.warning("events wait for Redis", error=str(away))
                time.sleep(0.5)

    def _tell(self, last: str, events: list[Event]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: so has the replica
            self._loop.call_soon_threadsafe(self._on_loop, (*entry_place(last.encode()), 1 << 30), events)

    def _on_loop(self, reached: Place, events: list[Event]) -> None:
        if not self._stopped:
            self.reached = reached
            self.started.set()
            self._hand_out(events)


@router.get(
    "/api/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`transition`, `progress`, `batch` and, when events were missed for good, `reset`.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'id: 1795471929000-0.0\nevent: transition\ndata: {"job_id": "019a", "from_state": '
                    '"QUEUED", "to_state": "EXECUTING", "at": "2026-11-23T22:17:40.722Z"}\n\n',
                }
            },
        },
        **documented(404),
    },
)
async def events(
    caller: Reader,
    request: Request,
    job_id: Annotated[
        str | None, Query(max_length=255, description="Only of this job and, for a flow, its steps.")
    ] = None,
    batch_id: Annotated[str | None, Query(max_length=255, description="Only how this batch's items stand.")] = None,
    last_event_id: Annotated[str | None, Header(max_length=64, description="Go on after this event.")] = None,
) -> StreamingResponse:
    """Listen to what happens. Browsers reconnect and resume by themselves; other clients send `Last-Event-ID`."""
    hub: EventHub = request.app.state.hub
    where: Store = request.app.state.store
    if job_id is not None and batch_id is not None:
        raise InvalidArguments("give a job_id or a batch_id, not both")
    if batch_id is not None:
        await run_in_threadpool(visible_batch, caller, batch_id)
    if job_id is not None:
        (owner,) = await run_in_threadpool(where.fields, job_id, "user")
        check_owner(caller, job_id, owner.decode() if owner else None)
    after = None if not last_event_id else read_place(last_event_id)
    most = settings().stream_limit
    if caller.key_id and most and hub.number_of(caller.key_id) >= most:
        raise TooManyStreams(f"this key has {most} event streams open")
    listener = Listener(
        caller.sees_only, job_id, batch_id, caller.key_id, lambda: door(request).still_lets_in(request, caller)
    )
    stream = hub.listen(listener, after)
    return StreamingResponse(
        _until_gone(stream),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _until_gone(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(cast("Any", stream)) as chunks:
        async for chunk in chunks:
            yield chunk
