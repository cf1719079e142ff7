"""Batches over HTTP: submitting rows and files, watching, steering, and putting right what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.api.test_events import events
from ytray import batches, task
from ytray.engine.state.store import Store
from ytray.errors import PermanentError

Until = Callable[..., None]

CSV, NDJSON = {"Content-Type": "text/csv"}, {"Content-Type": "application/x-ndjson"}


@task()
def halve(number: int, note: str = "") -> int:
    if number % 2:
        raise PermanentError(f"{number} is odd")
    return number // 2


def submitted(answer: httpx.Response) -> str:
    assert answer.status_code == 202, answer.text
    return str(answer.json()["batch_id"])


def status(api: httpx.Client, batch_id: str) -> dict[str, Any]:
    answer = api.get(f"/api/batches/{batch_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(api: httpx.Client, batch_id: str) -> bool:
    return status(api, batch_id)["state"] in ("COMPLETED", "FAILED", "CANCELLED")


def items(api: httpx.Client, batch_id: str, **params: Any) -> list[dict[str, Any]]:
    """All items, over pages of two."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        asked = {**params, "limit": 2, **({} if cursor is None else {"cursor": cursor})}
        page = api.get(f"/api/batches/{batch_id}/items", params=asked).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.fixture
def held(api: httpx.Client) -> Iterator[None]:
    """Jobs of the queue `default` wait meanwhile."""
    api.post("/api/queues/default/pause")
    yield
    api.post("/api/queues/default/resume")


def test_a_batch_goes_from_its_rows_to_its_report(api: httpx.Client, until: Until) -> None:
    rows = [{"number": 2}, {"number": 3}, {"number": 4, "note": "four", "key": "fourth"}]
    body = {"items": rows, "task": "halve", "user_id": "ann", "name": "<Halves>", "metadata": {"genre": "maths"}}
    answer = api.post("/api/batches", json=body)
    batch_id = submitted(answer)
    assert answer.headers["location"] == f"/api/batches/{batch_id}"
    assert answer.json()["total"] == 3
    until(lambda: ended(api, batch_id))
    told = status(api, batch_id)
    assert told == batches.get(batch_id).status().model_dump(mode="json")
    assert (told["state"], told["counts"]["completed"], told["counts"]["failed"]) == ("FAILED", 2, 1)
    assert (told["name"], told["user_id"], told["metadata"]) == ("<Halves>", "ann", {"genre": "maths"})
    assert [(item["number"], item["state"]) for item in items(api, batch_id)] == [
        (1, "COMPLETED"),
        (2, "FAILED"),
        (3, "COMPLETED"),
    ]
    (failed,) = items(api, batch_id, state="failed")
    assert "3 is odd" in failed["error"]
    assert items(api, batch_id)[2]["key"] == "fourth"
    job = api.get(f"/api/jobs/{failed['job_id']}/status").json()
    assert (job["current_state"], job["parent_id"], job["user_id"]) == ("FAILED", batch_id, "ann")
    report = api.get(f"/api/batches/{batch_id}/report")
    assert report.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "3 is odd" in report.text
    page = api.get(f"/api/batches/{batch_id}/report", params={"format": "html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in page.headers["content-security-policy"]
    assert "<Halves>" not in page.text


def test_files_are_read_as_their_types_say_with_the_options_in_the_address(api: httpx.Client, until: Until) -> None:
    asked: dict[str, Any] = {"task": "halve", "user_id": "filer", "concurrency": 2, "metadata": '{"genre": "maths"}'}
    of_csv = submitted(
        api.post("/api/batches", content="key,number\na,10\nb,12\n", params=asked, headers=CSV),
    )
    lines = '{"number": 14}\n\n{"number": 16}\n'
    of_lines = submitted(api.post("/api/batches", content=lines, params=asked, headers=NDJSON))
    until(lambda: ended(api, of_csv) and ended(api, of_lines))
    for batch_id, where in ((of_csv, [2, 3]), (of_lines, [1, 3])):
        told = status(api, batch_id)
        assert (told["state"], told["concurrency"], told["user_id"]) == ("COMPLETED", 2, "filer")
        assert told["metadata"] == {"genre": "maths"}
        assert [item["line"] for item in items(api, batch_id)] == where
    again = submitted(api.post("/api/batches", content=lines, params=asked, headers=NDJSON))
    until(lambda: ended(api, again))
    assert status(api, again)["reused"] == 2, "the same rows of the same user are done once"


def test_wrong_rows_are_told_one_by_one_and_nothing_is_submitted(api: httpx.Client, until: Until) -> None:
    def listed() -> list[str]:
        return [told["batch_id"] for told in api.get("/api/batches", params={"user_id": "careless"}).json()["batches"]]

    asked = {"task": "halve", "user_id": "careless"}
    content = "number\n2\nfour\n\nsix\n8\n"
    refused = api.post("/api/batches", content=content, params=asked, headers=CSV)
    assert refused.status_code == 422
    problem = refused.json()
    assert (problem["type"], problem["count"]) == ("/problems/invalid-rows", 2)
    assert [(wrong["line"], wrong["field"]) for wrong in problem["errors"]] == [(3, "number"), (5, "number")]
    assert all("integer" in wrong["reason"] for wrong in problem["errors"])
    in_json = api.post("/api/batches", json={"items": [{"number": 2}, {"numbr": 4}], **asked})
    assert {wrong["field"] for wrong in in_json.json()["errors"]} == {"number", "numbr"}
    assert listed() == []
    without = submitted(api.post("/api/batches", content=content, params={**asked, "skip_invalid": True}, headers=CSV))
    assert listed() == [without]
    until(lambda: ended(api, without))
    assert [item["line"] for item in items(api, without)] == [2, 6]


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ({"json": {"items": [], "task": "halve"}}, 422, "no row"),
        ({"json": {"items": [{"number": 2}], "task": "halv"}}, 422, "did you mean 'halve'"),
        ({"json": {"items": [3], "task": "halve"}}, 422, "items.0"),
        ({"json": {"items": [{"number": 2}], "task": "halve", "concurency": 3}}, 422, "concurency"),
        ({"json": {"items": [{"number": 2}], "task": "halve", "cron": "whenever"}}, 422, "cron"),
        ({"json": {"items": [{"number": 2}]}, "params": {"task": "halve"}}, 422, "body"),
        ({"content": "{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ({"content": "number\n2\n", "headers": CSV, "params": {"tsk": "halve"}}, 422, "tsk"),
        ({"content": "number\n2\n", "headers": CSV, "params": {"task": "halve", "metadata": "x"}}, 400, "metadata"),
        ({"content": b"number\n\xff\n", "headers": CSV, "params": {"task": "halve"}}, 422, "UTF-8"),
        ({"content": "2", "headers": {"Content-Type": "text/plain"}}, 422, "text/csv"),
    ],
)
def test_bad_input_is_refused_at_the_door(api: httpx.Client, given: dict[str, Any], code: int, told: str) -> None:
    answer = api.post("/api/batches", **given)
    assert answer.status_code == code, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.text


def test_an_estimate_tells_what_an_input_is_and_submits_nothing(api: httpx.Client, system: Store) -> None:
    before = api.get("/api/batches").json()
    asked: dict[str, Any] = {"task": "halve", "user_id": "estimator", "estimate": True}
    content = "number\n2\n2\nfour\n6\n"
    answer = api.post("/api/batches", content=content, params=asked, headers=CSV)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["accepted"], told["bad_count"], told["duplicates"], told["known"]) == (2, 2, 1, 0)
    in_json = api.post("/api/batches", json={"items": [{"number": 2}], "task": "halve"}, params={"estimate": True})
    assert in_json.json()["accepted"] == 1
    assert api.get("/api/batches").json() == before
    assert system.redis.keys(system.key("bs:*")) == []


def test_the_same_idempotency_key_is_the_same_batch(api: httpx.Client) -> None:
    body = {"items": [{"number": 100}], "task": "halve"}
    header = {"Idempotency-Key": "batch-over-http"}
    first = submitted(api.post("/api/batches", json=body, headers=header))
    assert submitted(api.post("/api/batches", json=body, headers=header)) == first
    assert submitted(api.post("/api/batches", json={**body, "idempotency_key": "batch-over-http"})) == first
    other = api.post("/api/batches", json={**body, "items": [{"number": 102}]}, headers=header)
    assert (other.status_code, other.json()["type"]) == (409, "/problems/idempotency-conflict")


def test_a_file_may_be_larger_than_a_jobs_arguments_up_to_a_limit_that_is_told(
    api: httpx.Client, system: Store, serving: Callable[..., str], with_settings: Callable[..., None], until: Until
) -> None:
    with_settings(max_payload=2048)
    most = 50 * 2048 + 65_536

    def padded(size: int) -> Iterator[bytes]:
        yield b'{"number": 200}\n'
        for _ in range(size // 1024):
            yield b" " * 1023 + b"\n"

    with httpx.Client(base_url=serving(system, open_without_keys=True), timeout=30) as small:
        asked = {"task": "halve"}
        fits = small.post("/api/batches", content=padded(150_000), params=asked, headers=NDJSON)
        batch_id = submitted(fits)
        for content in (padded(200_000), b"".join(padded(200_000))):
            refused = small.post("/api/batches", content=content, params=asked, headers=NDJSON)
            assert refused.status_code == 413
            assert f"{most:,} bytes" in refused.json()["detail"]
        for path, headers in (("/api/batches", {"Content-Type": "application/json"}), ("/api/jobs", NDJSON)):
            assert small.post(path, content=b" " * 150_000, headers=headers).status_code == 413
    until(lambda: ended(api, batch_id))


def test_errors_are_grouped_replayed_and_discarded(api: httpx.Client, until: Until) -> None:
    rows = [{"number": number} for number in (301, 302, 303, 305)]
    batch_id = submitted(api.post("/api/batches", json={"items": rows, "task": "halve"}))
    until(lambda: ended(api, batch_id))
    (group,) = api.get(f"/api/batches/{batch_id}/errors").json()["groups"]
    assert (group["count"], group["error_type"], group["task_name"]) == (3, "PermanentError", "halve")
    assert {example["number"] for example in group["examples"]} <= {1, 3, 4}
    path = f"/api/batches/{batch_id}/errors/{group['fingerprint']}"
    replayed = api.post(f"{path}/replay")
    assert (replayed.status_code, replayed.json()) == (202, {"items": 3})
    until(lambda: status(api, batch_id)["counts"]["failed"] == 3 and ended(api, batch_id))
    assert api.post(f"{path}/discard").json() == {"items": 3}
    told = status(api, batch_id)
    assert (told["state"], told["counts"]["discarded"], told["counts"]["completed"]) == ("COMPLETED", 3, 1)
    assert api.get(f"/api/batches/{batch_id}/errors").json() == {"groups": []}
    assert api.post(f"{path}/replay").status_code == 422


def test_an_edited_input_resumes_what_was_changed(api: httpx.Client, until: Until) -> None:
    rows = "key,number\na,402\nb,403\nc,404\n"
    batch_id = submitted(api.post("/api/batches", content=rows, params={"task": "halve"}, headers=CSV))
    until(lambda: ended(api, batch_id))
    path = f"/api/batches/{batch_id}/resume"
    wrong = api.post(path, content="key,number\na,402\nb,four\n", headers=CSV)
    assert (wrong.status_code, wrong.json()["errors"][0]["line"]) == (422, 3)
    assert wrong.json()["batch_id"] == batch_id
    resumed = api.post(path, content="key,number\na,402\nb,406\nd,408\nc,404\n", headers=CSV)
    assert resumed.status_code == 202, resumed.text
    told = resumed.json()
    assert (told["added"], told["changed"], told["removed"], told["again"]) == (1, 1, 0, 0)
    until(lambda: ended(api, batch_id))
    assert [(item["key"], item["state"]) for item in items(api, batch_id)] == [
        (key, "COMPLETED") for key in ("a", "b", "c", "d")
    ]
    left = api.post(path, json={"items": [{"key": "a", "number": 402}]})
    assert left.status_code == 202, left.text
    assert api.post(path).json()["again"] == 0
    assert api.post(path, content="x", headers={"Content-Type": "text/plain"}).status_code == 422
    assert api.post(path, json={"itms": []}).status_code == 422


def test_a_batch_is_paused_changed_resumed_and_cancelled(api: httpx.Client, held: None, until: Until) -> None:
    rows = [{"number": number} for number in range(500, 520, 2)]
    body = {"items": rows, "task": "halve", "concurrency": 2, "user_id": "steerer"}
    batch_id = submitted(api.post("/api/batches", json=body))
    path = f"/api/batches/{batch_id}"
    until(lambda: status(api, batch_id)["counts"]["queued"] == 2)
    paused = api.post(f"{path}/pause", json={"reason": "the prompts are revised"})
    assert paused.status_code == 200, paused.text
    assert (paused.json()["state"], paused.json()["reason"]) == ("PAUSED", "the prompts are revised")
    again = api.post(f"{path}/pause").json()  # as after an answer that was lost
    assert (again["state"], again["reason"]) == ("PAUSED", "the prompts are revised")
    changed = api.patch(path, json={"concurrency": 4, "priority": 7, "budget_usd": 2.5}).json()
    assert (changed["concurrency"], changed["priority"], changed["budget_usd"]) == (4, 7, 2.5)
    assert status(api, batch_id)["counts"]["queued"] == 2
    assert api.post(f"{path}/resume").json()["state"] == "RUNNING"
    until(lambda: status(api, batch_id)["counts"]["queued"] == 4)
    for wrong in ({}, {"concurrency": 0}, {"budgt": 3}, {"priority": 10}):
        assert api.patch(path, json=wrong).status_code == 422, wrong
    for state, found in (("running", [batch_id]), ("PAUSED", [])):
        page = api.get("/api/batches", params={"user_id": "steerer", "state": state}).json()
        assert [told["batch_id"] for told in page["batches"]] == found
    cancelled = api.post(f"{path}/cancel", json={"reason": "no longer wanted"})
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "CANCELLED")
    assert api.post(f"{path}/cancel").json()["reason"] == "no longer wanted"
    too_late = api.post(f"{path}/pause")
    assert (too_late.status_code, too_late.json()["type"]) == (409, "/problems/invalid-batch-move")
    until(lambda: status(api, batch_id)["counts"]["queued"] == 0)


def test_an_unknown_batch_is_a_problem_that_names_it(api: httpx.Client) -> None:
    gets = ("", "/items", "/errors", "/report")
    posts = ("/pause", "/resume", "/cancel", "/errors/f/replay", "/errors/f/discard")
    answers = [api.get(f"/api/batches/nowhere{path}") for path in gets]
    answers += [api.post(f"/api/batches/nowhere{path}") for path in posts]
    answers.append(api.patch("/api/batches/nowhere", json={"priority": 1}))
    answers.append(api.get("/api/events", params={"batch_id": "nowhere"}))
    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-batch"), answer.url
    assert answers[0].json()["batch_id"] == "nowhere"
    assert "No batch with that id" in api.get("/problems/unknown-batch").text
    assert api.get("/api/batches", params={"state": "runing"}).status_code == 422
    assert api.get("/api/events", params={"batch_id": "b", "job_id": "j"}).status_code == 422


def test_a_batch_is_followed_by_events_and_only_the_newest_of_those_missed_is_told(
    api: httpx.Client, until: Until
) -> None:
    stream = events(api)
    assert next(stream)["event"] == "connected"
    rows = [{"number": number} for number in range(600, 620, 2)]
    batch_id = submitted(api.post("/api/batches", json={"items": rows, "task": "halve", "user_id": "watcher"}))
    first, told, moved = "", [], 0
    for event in stream:
        first = first or event["id"]
        moved += event["event"] == "transition" and event["parent_id"] == batch_id
        if event["event"] == "batch" and event["batch_id"] == batch_id:
            told.append(event)
        # Each item's job tells its own moves.
        if told and told[-1]["state"] == "COMPLETED" and moved == 3 * len(rows):
            break
    stream.close()  # type: ignore[attr-defined]
    assert len(told) > 1
    assert [event["completed"] for event in told] == sorted(event["completed"] for event in told)
    assert (told[-1]["waiting"], told[-1]["active"], told[-1]["completed"], told[-1]["failed"]) == (0, 0, 10, 0)
    missed = events(api, params={"batch_id": batch_id}, headers={"Last-Event-ID": first})
    assert next(missed)["event"] == "connected"
    newest = next(missed)
    assert (newest["event"], newest["batch_id"], newest["state"]) == ("batch", batch_id, "COMPLETED")
    assert newest["id"] == told[-1]["id"]
    missed.close()  # type: ignore[attr-defined]


def test_a_plan_tells_the_nodes_that_a_batch_needs_and_what_they_cost(
    api: httpx.Client, held: None, until: Until
) -> None:
    first = submitted(api.post("/api/batches", json={"items": [{"number": n} for n in (1000, 1002)], "task": "halve"}))
    asked: dict[str, Any] = {"deadline": 3600, "slots": "default=4,gpu.media=2", "price": "cpu=0.5"}
    api.post("/api/queues/default/resume")
    until(lambda: ended(api, first))
    api.post("/api/queues/default/pause")
    assert api.get(f"/api/batches/{first}/plan", params=asked).json()["items_left"] == 0
    second = submitted(api.post("/api/batches", json={"items": [{"number": 1004}], "task": "halve"}))
    answer = api.get(f"/api/batches/{second}/plan", params=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    (need,) = told["nodes"]
    assert (told["items_left"], told["in_time"]) == (1, True)
    assert told["measured_items"] >= 2
    assert (need["node_type"], need["nodes"], need["slots"]["default"]) == ("cpu", 1, 4)
    assert told["nodes_usd"] is not None
    more = api.get("/api/batches/plan", params={**asked, "task": "halve", "items": 1000}).json()
    assert more["items_left"] == 1000
    assert more["queues"][0]["work_seconds"] > told["queues"][0]["work_seconds"]


@pytest.mark.parametrize(
    ("path", "params", "code", "says"),
    [
        ("b0/plan", {"deadline": 60}, 404, "no batch b0"),
        ("plan", {"items": 2, "task": "halve"}, 422, "until when"),
        ("plan", {"items": 2, "task": "halve", "deadline": 60, "by": "2030-01-01T00:00:00Z"}, 422, "until when"),
        ("plan", {"items": 2, "task": "halve", "by": "2020-01-01T00:00:00Z"}, 422, "in the past"),
        ("plan", {"items": 2, "task": "halve", "deadline": 60, "slots": "medai=4"}, 422, "medai"),
        ("plan", {"items": 2, "task": "halv", "deadline": 60}, 422, "did you mean 'halve'"),
        ("plan", {"items": 0, "task": "halve", "deadline": 60}, 422, "items"),
    ],
)
def test_a_plan_that_cannot_be_made_says_why(
    api: httpx.Client, path: str, params: dict[str, Any], code: int, says: str
) -> None:
    answer = api.get(f"/api/batches/{path}", params=params)
    assert answer.status_code == code, answer.text
    assert says in answer.text
