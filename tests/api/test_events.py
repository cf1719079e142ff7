"""Server-Sent Events: nothing lost, nothing twice, also over a reconnection."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tests.engine.tasks_for_tests import add
from ytray import JobState, job_tracker
from ytray.engine.state.store import Store

Until = Callable[..., None]


def events(api: httpx.Client, **given: Any) -> Iterator[dict[str, Any]]:
    """The events of a stream, each with its id and name."""
    with api.stream("GET", "/api/events", **given) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, Any] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line == "" and "data" in event:
                yield {"id": event["id"], "event": event["event"], **json.loads(event["data"])}
                event = {}
            elif name in ("id", "event", "data"):
                event[name] = value
            elif name == "retry":
                yield {"event": "connected"}


def test_a_job_is_followed_move_by_move(api: httpx.Client) -> None:
    found: list[dict[str, Any]] = []
    connected = threading.Event()
    job = add.options(user_id="watched", delay=600).delay(1)

    def watch() -> None:
        for event in events(api, params={"job_id": job.id}):
            if event["event"] == "connected":
                connected.set()
            elif event["event"] == "transition":
                found.append(event)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    assert connected.wait(60)
    job.cancel()
    thread.join(60)
    assert [(e["job_id"], e["from_state"], e["to_state"], e["task_name"], e["user_id"]) for e in found] == [
        (job.id, "PENDING", "CANCELLED", "add", "watched")
    ]


def test_a_client_that_comes_back_goes_on_after_its_last_event(api: httpx.Client, until: Until) -> None:
    seen: list[tuple[str, str]] = []
    jobs = []
    last = None
    stream = events(api)
    assert next(stream)["event"] == "connected"
    for n in range(30):
        jobs.append(add.options(user_id="resumer").delay(n))
        if n % 10 == 5:
            for event in stream:
                if event["event"] == "transition" and event["user_id"] == "resumer":
                    seen.append((event["job_id"], event["to_state"]))
                    last = event["id"]
                    break
            stream.close()  # type: ignore[attr-defined]
            jobs.append(add.options(user_id="resumer").delay(n))  # nobody listens now
            stream = events(api, headers={"Last-Event-ID": last or ""})
    wanted = {(job.id, state) for job in jobs for state in ("QUEUED", "EXECUTING", "COMPLETED")}
    for event in stream:
        if event["event"] == "transition" and event["user_id"] == "resumer":
            seen.append((event["job_id"], event["to_state"]))
        if len(seen) >= len(wanted):
            break
    assert sorted(seen) == sorted(wanted)


def test_a_bulk_submission_gives_an_event_for_each_job(api: httpx.Client) -> None:
    stream = events(api)
    assert next(stream)["event"] == "connected"
    jobs = add.options(user_id="bulk").map([{"a": n} for n in range(1500)])
    wanted = {(job.id, state) for job in jobs for state in ("QUEUED", "EXECUTING", "COMPLETED")}
    seen = []
    for event in stream:
        if event["event"] == "transition" and event["user_id"] == "bulk":
            seen.append((event["job_id"], event["to_state"]))
            if len(seen) == len(wanted):
                break
    assert len(seen) == len(set(seen))
    assert set(seen) == wanted


def test_progress_is_told(api: httpx.Client) -> None:
    job_tracker.create_job("watched-elsewhere", "any")
    stream = events(api, params={"job_id": "watched-elsewhere"})
    assert next(stream)["event"] == "connected"
    job_tracker.update_state("watched-elsewhere", "EXECUTING")
    job_tracker.update_progress("watched-elsewhere", 40, "scene 2 of 5")
    assert next(stream)["to_state"] == "EXECUTING"
    told = next(stream)
    assert (told["event"], told["progress"], told["progress_message"]) == ("progress", 40.0, "scene 2 of 5")
    job_tracker.update_state("watched-elsewhere", "COMPLETED")


def test_a_client_whose_place_has_been_cut_off_is_told_to_start_over(
    bare_store: Store, serving: Callable[..., str]
) -> None:
    job_ids = [f"job-{n}" for n in range(3)]
    url = serving(bare_store, open_without_keys=True)
    with httpx.Client(base_url=url, timeout=30) as api:
        for job_id in job_ids:
            bare_store.track(job_id, JobState.QUEUED, b"{}", 60, ("any", "default", 4, "", b"{}"))
        bare_store.redis.xtrim(bare_store.key("events"), maxlen=1, approximate=False)
        stream = events(api, headers={"Last-Event-ID": "5-0.0"})
        assert [next(stream)["event"] for _ in range(2)] == ["connected", "reset"]
        wrong = api.get("/api/events", headers={"Last-Event-ID": "yesterday"})
        assert wrong.status_code == 422


def test_a_stream_that_breaks_goes_on_at_another_replica(
    api: httpx.Client, system: Store, serving: Callable[..., str]
) -> None:
    stream = events(api)
    assert next(stream)["event"] == "connected"
    first = add.options(user_id="mover").delay(1)
    seen = next(event for event in stream if event.get("user_id") == "mover")
    second = add.options(user_id="mover").delay(2)
    second.get(timeout=30)
    with httpx.Client(base_url=serving(system, open_without_keys=True), timeout=30) as other:
        moves = [(seen["job_id"], seen["to_state"])]
        for event in events(other, headers={"Last-Event-ID": seen["id"]}):
            if event.get("user_id") == "mover":
                moves.append((event["job_id"], event["to_state"]))
            if len(moves) == 6:
                break
    wanted = [(job.id, state) for job in (first, second) for state in ("QUEUED", "EXECUTING", "COMPLETED")]
    assert sorted(moves) == sorted(wanted)
