"""Batches through the client: what is sent up, when it is sent again, and what comes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json, to_json
from starlette.responses import Response, StreamingResponse

from tests.client.conftest import Connect, Seen, Server, json, problem
from ytray import errors
from ytray.client import BatchChoices
from ytray.engine.batch.model import BatchOptions, BatchState, InvalidRows

ACCEPTED = {"batch_id": "b1", "state": "RUNNING", "total": 2}
ROWS: list[dict[str, Any]] = [{"prompt": "Why do cats purr?"}, {"prompt": "Was ist ein Ü?", "duration": 20}]


def stands(state: str = "RUNNING", **more: Any) -> dict[str, Any]:
    """A batch's status as the API tells it."""
    counts = dict.fromkeys("waiting queued executing retrying completed failed cancelled discarded".split(), 0)
    nothing = dict.fromkeys(
        "name user_id reason started_at ended_at start_at cron concurrency budget_usd forecast_usd items_per_minute "
        "eta webhook_error".split()
    )
    return {
        "batch_id": "b1",
        "task_name": "add",
        "state": state,
        "total": 2,
        "counts": counts,
        "reused": 0,
        "progress": 0.0,
        "created_at": "2026-11-23T22:17:40.722Z",
        "priority": 4,
        "cost_usd": 0.0,
        "reserved_usd": 0.0,
        "stages": [],
        "metadata": {},
        **nothing,
        **more,
    }


def test_rows_go_up_as_lines_and_a_busy_server_gets_them_again_as_the_same_batch(
    server: Server, connect: Connect
) -> None:
    busy = [json({}, 503, Retry_After="0")]
    server.answer = lambda _: busy.pop() if busy else json(ACCEPTED, 202)
    start = datetime(2030, 1, 2, tzinfo=UTC)
    client = connect()
    made = client.create_batch(
        iter(ROWS), task="create_video", skip_invalid=True, name="Q&A", start_at=start, metadata={"genre": "comedy"}
    )
    assert made == "b1"
    first, again = server.seen
    assert (first.method, first.path, first.headers["content-type"]) == (
        "POST",
        "/api/batches",
        "application/x-ndjson",
    )
    assert [from_json(line) for line in first.body.splitlines()] == ROWS
    assert (again.query, again.body) == (first.query, first.body)
    assert len(first.query.pop("idempotency_key")) >= 16
    assert from_json(first.query.pop("metadata")) == {"genre": "comedy"}
    assert first.query == {
        "task": "create_video",
        "skip_invalid": "true",
        "name": "Q&A",
        "start_at": "2030-01-02T00:00:00Z",
    }
    client.create_batch(ROWS, idempotency_key="mine")
    client.create_batch(ROWS)
    assert server.seen[2].query == {"idempotency_key": "mine"}, "what is not given is left to the server"
    assert server.seen[3].query["idempotency_key"] != again.query["idempotency_key"]


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("rows.csv", "text/csv"),
        ("rows.TSV", "text/tab-separated-values"),
        ("rows.jsonl", "application/x-ndjson"),
    ],
)
def test_a_file_is_streamed_up_whole_also_when_it_is_sent_again(
    server: Server, connect: Connect, tmp_path: Path, name: str, content_type: str
) -> None:
    file = tmp_path / name
    file.write_bytes(b"prompt\n" + b"Why do cats purr?\n" * 20_000)
    busy = [Response(status_code=503, headers={"Retry-After": "0"})]
    server.answer = lambda _: busy.pop() if busy else json(ACCEPTED, 202)
    assert connect().create_batch(file) == "b1"
    for seen in server.seen:
        assert seen.body == file.read_bytes()
        assert (seen.headers["content-type"], int(seen.headers["content-length"])) == (content_type, len(seen.body))


def test_what_cannot_be_an_input_is_refused_before_anything_is_sent(
    server: Server, connect: Connect, tmp_path: Path
) -> None:
    client = connect()
    listed = tmp_path / "rows.json"
    listed.write_text("[]")
    for wrong in (listed, tmp_path / "nowhere.csv", str(tmp_path), [{"a": object()}], [3]):
        with pytest.raises(errors.InvalidArguments):
            client.create_batch(wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArguments, match="metadata"):
        client.create_batch(ROWS, metadata={"a": object()})
    assert server.seen == []


def test_an_estimate_submits_nothing(server: Server, connect: Connect) -> None:
    told = {"accepted": 2, "bad": [], "bad_count": 0, "duplicates": 0, "known": 1, "likely_usd": 0.5, "newer": True}
    server.answer = lambda _: json(told)
    found = connect().estimate_batch(ROWS, task="create_video", budget_usd=5)
    assert (found.accepted, found.known, found.likely_usd, found.most_usd) == (2, 1, 0.5, None)
    assert server.seen[0].query == {"estimate": "true", "task": "create_video", "budget_usd": "5"}


def test_wrong_rows_are_raised_with_each_line_and_field(server: Server, connect: Connect) -> None:
    wrong = [{"line": 3, "field": "duration", "reason": "at most 180"}, {"line": 9, "field": "row", "reason": "short"}]
    told = "line 3, duration: at most 180 (and 6 more); nothing was submitted"
    server.answer = lambda _: problem(422, "invalid-rows", told, errors=wrong, count=7)
    with pytest.raises(InvalidRows) as caught:
        connect().create_batch(ROWS)
    assert str(caught.value) == told
    assert [row.model_dump() for row in caught.value.rows] == wrong
    assert caught.value.count == 7
    server.answer = lambda _: problem(422, "invalid-rows", told, errors=[{"told": "otherwise"}])
    with pytest.raises(errors.InvalidArguments, match="at most 180"):
        connect().create_batch(ROWS)


@pytest.mark.parametrize(
    ("code", "kind", "raised"),
    [(404, "unknown-batch", errors.UnknownBatch), (409, "invalid-batch-move", errors.InvalidBatchMove)],
)
def test_a_refusal_about_a_batch_is_raised_as_the_error_it_is(
    server: Server, connect: Connect, code: int, kind: str, raised: type[Exception]
) -> None:
    server.answer = lambda _: problem(code, kind, "that did not work")
    with pytest.raises(raised, match="that did not work"):
        connect().pause_batch("b1")


def test_a_batch_is_steered_and_looked_at(server: Server, connect: Connect) -> None:
    answers: dict[str, Any] = {
        "items": {"items": [], "next_cursor": 7},
        "errors": {"groups": []},
        "replay": {"items": 3},
        "discard": {"items": 2},
        "resume": {"batch_id": "b1", "state": "RUNNING", "again": 4, "added": 1},
        "batches": {"batches": [stands()], "next_cursor": "c"},
    }
    server.answer = lambda seen: json(answers.get(seen.path.rpartition("/")[2], stands("PAUSED", reason="because")))
    client = connect()
    assert client.batch("b/1").state is BatchState.PAUSED
    assert client.batches("running", user_id="ann", limit=5).next_cursor == "c"
    assert client.batch_items("b1", "failed", limit=5, cursor=2).next_cursor == 7
    assert client.batch_errors("b1") == []
    assert (client.replay_errors("b1", "f/1"), client.discard_errors("b1", "f1")) == (3, 2)
    assert client.resume_batch("b1").again == 4
    assert client.resume_batch("b1", ROWS).added == 1
    assert client.pause_batch("b1", "because").reason == "because"
    client.cancel_batch("b1")
    client.change_batch("b1", priority=7, budget_usd=2.5)
    assert [(seen.method, seen.path, seen.query) for seen in server.seen] == [
        ("GET", "/api/batches/b%2F1", {}),
        ("GET", "/api/batches", {"state": "running", "user_id": "ann", "limit": "5"}),
        ("GET", "/api/batches/b1/items", {"state": "failed", "limit": "5", "cursor": "2"}),
        ("GET", "/api/batches/b1/errors", {}),
        ("POST", "/api/batches/b1/errors/f%2F1/replay", {}),
        ("POST", "/api/batches/b1/errors/f1/discard", {}),
        ("POST", "/api/batches/b1/resume", {}),
        ("POST", "/api/batches/b1/resume", {}),
        ("POST", "/api/batches/b1/pause", {}),
        ("POST", "/api/batches/b1/cancel", {}),
        ("PATCH", "/api/batches/b1", {}),
    ]
    as_it_is, edited, paused, _, changed = server.seen[6:]
    assert as_it_is.body == b""
    assert edited.headers["content-type"] == "application/x-ndjson"
    assert from_json(paused.body) == {"reason": "because"}
    assert from_json(changed.body) == {"priority": 7, "concurrency": None, "budget_usd": 2.5}
    server.answer = lambda _: Response("# Größe", media_type="text/markdown")
    assert client.batch_report("b1", "html") == "# Größe"
    assert server.seen[-1].query == {"format": "html"}


def test_a_batch_is_waited_for_by_its_own_events(server: Server, connect: Connect) -> None:
    state = "RUNNING"

    async def stream() -> AsyncIterator[bytes]:
        nonlocal state
        yield b"retry: 1000\n\n"
        for event_id, told in enumerate(("RUNNING", "PAUSED", "RUNNING", "FAILED")):
            if told == "FAILED":
                state = told
            data = {"batch_id": "b1", "state": told, "waiting": 1, "active": 0, "completed": 1, "failed": 0}
            yield f"id: {event_id}-0.0\nevent: batch\ndata: {to_json(data).decode()}\n\n".encode()
            await asyncio.sleep(0.02)
        await asyncio.sleep(30)

    def answer(seen: Seen) -> Response:
        is_stream = seen.path == "/api/events"
        return StreamingResponse(stream(), media_type="text/event-stream") if is_stream else json(stands(state))

    server.answer = answer
    assert connect().wait_for_batch("b1", timeout=60).state is BatchState.FAILED
    (asked,) = server.asked("/events")
    assert asked.query == {"batch_id": "b1"}
    assert len(server.asked("/b1")) <= 5, "it looks at the start of the stream and when the end was told"
    state = "PAUSED"
    with pytest.raises(TimeoutError, match=r"batch b1 is PAUSED after 0\.1 s"):
        connect().wait_for_batch("b1", timeout=0.1)


def test_the_events_of_a_batch_say_how_its_items_stand(server: Server, connect: Connect) -> None:
    data = {"batch_id": "b1", "state": "RUNNING", "waiting": 5, "active": 4, "completed": 3, "failed": 2}

    async def stream() -> AsyncIterator[bytes]:
        yield f"id: 1-0.0\nevent: batch\ndata: {to_json(data).decode()}\n\n".encode()

    server.answer = lambda _: StreamingResponse(stream(), media_type="text/event-stream")
    events = connect().events(batch_id="b1")
    got = next(events)
    assert (got.type, got.batch_id, got.state) == ("batch", "b1", BatchState.RUNNING)
    assert (got.waiting, got.active, got.completed, got.failed) == (5, 4, 3, 2)
    assert server.seen[0].query == {"batch_id": "b1"}
    events.close()  # type: ignore[attr-defined]


def test_the_choices_of_the_client_are_those_of_a_batch() -> None:
    assert BatchChoices.__optional_keys__ == set(BatchOptions.model_fields)


def test_plans_are_asked_for_with_slots_and_prices(server: Server, connect: Connect) -> None:
    told: dict[str, Any] = {
        "task_name": "add",
        "deadline_seconds": 60.0,
        "items_left": 2,
        "items_done": 0,
        "measured_items": 0,
        "measured_steps": 0,
        "item_seconds": None,
        "in_time": False,
        "bottleneck": None,
        "queues": [],
        "nodes": [],
        "eta": None,
        "nodes_usd": None,
        "left_to_pay_usd": None,
        "notes": ["nothing is measured yet"],
    }
    server.answer = lambda _: json(told)
    client = connect()
    made = client.plan_batch("b/1", 60.0, slots={"media": 4, "gpu.media": 2}, prices={"media": 0.25})
    assert (made.items_left, made.notes) == (2, ["nothing is measured yet"])
    client.plan_items(2, datetime(2030, 1, 2, tzinfo=UTC), task="add", concurrency=3)
    first, second = server.seen
    assert (first.path, second.path) == ("/api/batches/b%2F1/plan", "/api/batches/plan")
    assert first.query == {"deadline": "60.0", "slots": "media=4,gpu.media=2", "price": "media=0.25"}
    assert second.query == {"by": "2030-01-02T00:00:00+00:00", "items": "2", "task": "add", "concurrency": "3"}
    with pytest.raises(errors.InvalidArguments, match="zone"):
        client.plan_batch("b1", datetime(2030, 1, 2))
