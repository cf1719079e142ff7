"""Waiting for many jobs with few requests, and deadlines that hold whatever the server does."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from pydantic_core import from_json
from starlette.responses import Response

from tests.client.conftest import Connect, Seen, Server, json, problem, status
from ytray import JobState, errors


def ended(job_id: str, state: str = "COMPLETED", result: Any = None, error: str | None = None) -> dict[str, Any]:
    return {"job_id": job_id, "current_state": state, "result": result, "error": error, "retry_count": 0}


def test_results_of_many_jobs_come_in_order_with_few_requests(server: Server, connect: Connect) -> None:
    def answer(seen: Seen) -> Response:
        asked = from_json(seen.body)["job_ids"]
        return json({"results": [ended(job_id, result=int(job_id)) for job_id in reversed(asked[:1000])]})

    server.answer = answer
    ids = [str(number) for number in range(3000)]
    assert connect().wait_all([*ids, "7"], timeout=30) == [*range(3000), 7]
    assert len(server.seen) == 3
    assert {seen.path for seen in server.seen} == {"/api/jobs/results"}
    assert connect().wait_all([]) == []


def test_the_first_failure_ends_the_wait_and_names_its_job(server: Server, connect: Connect) -> None:
    answers = [ended("a", result=1), ended("b", "FAILED", error="ValueError: no"), ended("c", "CANCELLED")]
    server.answer = lambda seen: json(
        {"results": [one for one in answers if one["job_id"] in from_json(seen.body)["job_ids"]]}
    )
    with pytest.raises(errors.JobFailed, match=r"job b failed.*ValueError: no"):
        connect().wait_all(["a", "b", "c"])
    with pytest.raises(errors.JobCancelled, match="job c"):
        connect().wait_all(["c"])
    assert [one.current_state for one in connect().as_completed(["a", "b", "c", "a"])] == [
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.CANCELLED,
    ]
    server.answer = lambda _: json({"results": [ended("a", error="its result is no longer kept")]})
    with pytest.raises(errors.ResultExpired, match="job a"):
        connect().wait_all(["a"])
    server.answer = lambda _: problem(404, "unknown-job", "no job a")
    with pytest.raises(errors.UnknownJob):
        connect().wait_all(["a"])


def test_a_wait_for_many_tells_how_many_are_missing(server: Server, connect: Connect) -> None:
    server.answer = lambda seen: json({"results": [ended("a")] if "a" in from_json(seen.body)["job_ids"] else []})
    with pytest.raises(TimeoutError, match=r"2 of 3 jobs have not ended after 0\.2 s"):
        connect().wait_all(["a", "b", "c"], timeout=0.2)


@pytest.mark.parametrize("what", ["wait", "wait_all", "wait_for_batch"])
def test_a_timeout_holds_when_the_server_does_not_answer(server: Server, connect: Connect, what: str) -> None:
    async def silent(_: Seen) -> Response:
        await asyncio.sleep(60)
        return json(status("j", "EXECUTING"))

    server.answer = silent
    client = connect()
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"after 0\.5 s"):
        getattr(client, what)(["j"] if what == "wait_all" else "j", timeout=0.5)
    assert time.monotonic() - begun < 20


def test_a_timeout_holds_when_the_server_is_busy(server: Server, connect: Connect) -> None:
    server.answer = lambda _: Response(status_code=503, headers={"Retry-After": "20"})
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="job j has not ended after 1 s"):
        connect().wait("j", timeout=1)
    assert time.monotonic() - begun < 15
