"""Events and waiting, over streams that break."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from tests.client.conftest import Connect, Seen, Server, json, problem, status
from ytray import JobState, errors
from ytray.client import AsyncClient
from ytray.client._following import EventReader


def event(event_id: str, name: str = "transition", **data: Any) -> bytes:
    return f"id: {event_id}\nevent: {name}\ndata: {to_json(data).decode()}\n\n".encode()


def moved(event_id: str, job_id: str, to: str) -> bytes:
    return event(event_id, job_id=job_id, task_name="add", queue="default", from_state="EXECUTING", to_state=to)


def stream(*parts: bytes, breaks: bool = False, then: Callable[[], None] | None = None) -> Response:
    """A stream of events that ends after these parts, cleanly or not; None of its parts come together."""

    async def sent() -> AsyncIterator[bytes]:
        for part in parts:
            yield part
            await asyncio.sleep(0.02)
        if then is not None:
            then()
        if breaks:
            raise ConnectionResetError("the cable was pulled")

    return StreamingResponse(sent(), media_type="text/event-stream")


def test_events_go_on_after_the_last_one_when_the_stream_breaks(server: Server, connect: Connect) -> None:
    answers = [
        stream(
            b"retry: 1000\n\n", moved("1-0.0", "a", "COMPLETED"), moved("1-0.1", "b", "COMPLETED")[:25], breaks=True
        ),
        Response(status_code=503, headers={"Retry-After": "0"}),
        stream(moved("1-0.1", "b", "COMPLETED"), b": alive\n\n"),
        stream(event("2-0.0", "reset")),
    ]
    server.answer = lambda _: answers.pop(0)
    events = connect().events()
    got = [next(events) for _ in range(3)]
    assert [(e.type, e.job_id, e.to_state) for e in got] == [
        ("transition", "a", JobState.COMPLETED),
        ("transition", "b", JobState.COMPLETED),
        ("reset", "", None),
    ]
    last_ids = [seen.headers.get("last-event-id") for seen in server.seen]
    assert last_ids == [None, "1-0.0", "1-0.0", "1-0.1"]
    events.close()  # type: ignore[attr-defined]


def test_the_events_of_one_job_are_asked_for(server: Server, connect: Connect) -> None:
    told = event("1-0.0", "progress", job_id="j1", progress=40.0, progress_message="scene 2 of 5", queue="media")
    server.answer = lambda _: stream(told)
    events = connect().events("j1")
    got = next(events)
    assert (got.progress, got.progress_message, got.from_state) == (40.0, "scene 2 of 5", None)
    assert server.seen[0].query == {"job_id": "j1"}
    events.close()  # type: ignore[attr-defined]


def test_a_stream_that_says_nothing_again_and_again_is_given_up(server: Server, connect: Connect) -> None:
    server.answer = lambda _: stream()
    with pytest.raises(errors.SystemUnavailable):
        next(connect(tries=2).events())
    server.answer = lambda _: problem(403, "forbidden", "that job is another user's")
    with pytest.raises(errors.AccessDenied):
        next(connect().events("j1"))


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_events_are_read_from_whatever_pieces_they_come_in(size: int) -> None:
    text = "two\nlines, and \u2028 \x85 that are none: é"
    sent = (
        b": a comment\n\n"
        + event("1-0.0", "progress", job_id="j1", progress=1.0, progress_message=text).replace(b"\n", b"\r\n")
        + event("1-0.1", "invented-later", job_id="j1")
        + b"event: progress\ndata: {broken\n\n"
        + b"id: 3-0.0\n\n"
        + b'event: transition\ndata: {"job_id":\ndata:  "j2"}\n\n'
    )
    reader = EventReader()
    got = [e for start in range(0, len(sent), size) for e in reader.feed(sent[start : start + size])]
    assert [(e.id, e.type, e.job_id) for e in got] == [("1-0.0", "progress", "j1"), ("3-0.0", "transition", "j2")]
    assert got[0].progress_message == text


class Life:
    """A job as the server tells it: its state now, its result, and what its stream of events answers."""

    def __init__(self, server: Server, events: Callable[[Life], Response]) -> None:
        self.state = "EXECUTING"
        self._events = events
        server.answer = self._answer

    def become(self, state: str) -> None:
        self.state = state

    def _answer(self, seen: Seen) -> Response:
        if seen.path == "/api/events":
            return self._events(self)
        if seen.path.endswith("/status"):
            return json(status("j1", self.state, error="it broke", retry_count=2))
        if seen.path.endswith("/result"):
            return json({"answer": 42})
        assert seen.path == "/api/dlq/j1"
        return problem(403, "forbidden", "not for you")


def test_waiting_follows_the_jobs_events_and_asks_for_little(server: Server, connect: Connect) -> None:
    def events(life: Life) -> Response:
        other = [moved(f"1-0.{n}", "another", "COMPLETED") for n in range(20)]
        return stream(b"retry: 1000\n\n", *other, then=lambda: life.become("COMPLETED"))

    def then_its_end(life: Life) -> Response:
        first = events(life)
        tail = moved("2-0.0", "j1", "COMPLETED")

        async def both() -> AsyncIterator[bytes]:
            async for part in first.body_iterator:  # type: ignore[attr-defined]
                yield part
            yield tail
            await asyncio.sleep(30)

        return StreamingResponse(both(), media_type="text/event-stream")

    Life(server, then_its_end)
    begun = time.monotonic()
    assert connect().wait("j1", timeout=60) == {"answer": 42}
    assert time.monotonic() - begun < 20
    assert len(server.asked("/status")) <= 5, "one look before, one at the stream's start, one at the end"


def test_waiting_goes_on_when_the_stream_breaks_or_there_is_none(server: Server, connect: Connect) -> None:
    def breaking(life: Life) -> Response:
        if len(server.asked("/events")) == 2:
            life.become("COMPLETED")
        return stream(b": alive\n\n", breaks=True)

    Life(server, breaking)
    assert connect().wait("j1") == {"answer": 42}

    def none(life: Life) -> Response:
        life.become("COMPLETED")
        return Response("no streams through this proxy", 404)

    Life(server, none)
    assert connect().wait("j1") == {"answer": 42}


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_waiting_for_a_job_that_ends_badly_raises_how_it_ended(server: Server, connect: Connect, state: str) -> None:
    Life(server, lambda _: Response(status_code=404)).become(state)
    if state == "CANCELLED":
        with pytest.raises(errors.JobCancelled):
            connect().wait("j1")
    else:
        with pytest.raises(errors.JobFailed, match="after 2 retries: it broke") as caught:
            connect().wait("j1")
        assert caught.value.retry_count == 2


def test_a_job_that_failed_for_now_is_waited_for_until_it_has_ended(server: Server, connect: Connect) -> None:
    def events(life: Life) -> Response:
        life.become("RETRYING")
        return stream(moved("1-0.0", "j1", "FAILED"), b": alive\n\n", then=lambda: life.become("COMPLETED"))

    Life(server, events)
    assert connect().wait("j1") == {"answer": 42}


def test_waiting_in_asyncio_can_be_broken_off(server: Server) -> None:
    def events(_: Life) -> Response:
        async def nothing() -> AsyncIterator[bytes]:
            yield b"retry: 1000\n\n"
            await asyncio.sleep(60)

        return StreamingResponse(nothing(), media_type="text/event-stream")

    Life(server, events)

    async def wait() -> None:
        async with AsyncClient(server.url) as client, asyncio.timeout(0.3):
            await client.wait("j1")

    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_waiting_ends_in_time(server: Server, connect: Connect, seconds: float) -> None:
    Life(server, lambda _: Response(status_code=404))
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=f"job j1 is EXECUTING after {seconds:g} s"):
        connect().wait("j1", timeout=seconds)
    assert seconds <= time.monotonic() - begun < seconds + 15
