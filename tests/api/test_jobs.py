"""Submitting, watching and cancelling jobs over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.api.offices import put_at_work
from tests.engine.tasks_for_tests import add
from ytray import Job, JobState, dlq, job_tracker, task
from ytray.engine.state.store import Store
from ytray.errors import PermanentError

Until = Callable[..., None]


@task()
def talks(lines: int) -> str:
    import logging

    for number in range(lines):
        print(f"printed {number}")
        logging.getLogger("mine").warning("logged %d", number)
    return "said"


@task()
def refuses(why: str = "never") -> None:
    raise PermanentError(why)


def submit(api: httpx.Client, task_name: str, **args: Any) -> str:
    answer = api.post("/api/jobs", json={"task": task_name, "args": args})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def ended(api: httpx.Client, job_id: str) -> bool:
    return JobState(api.get(f"/api/jobs/{job_id}/status").json()["current_state"]).has_ended


def test_a_job_goes_from_its_submission_to_its_result(api: httpx.Client, until: Until) -> None:
    answer = api.post(
        "/api/jobs",
        json={
            "task": "add",
            "args": {"a": 2, "b": 3},
            "user_id": "ann",
            "metadata": {"genre": "comedy"},
            "priority": 7,
        },
    )
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert answer.json() == {"job_id": job_id, "current_state": "QUEUED"}
    assert answer.headers["location"] == f"/api/jobs/{job_id}/status"
    until(lambda: ended(api, job_id))
    status = api.get(f"/api/jobs/{job_id}/status").json()
    assert status == job_tracker.get_status(job_id).model_dump(mode="json")
    assert (status["current_state"], status["result"], status["progress"]) == ("COMPLETED", 5, 100.0)
    assert (status["user_id"], status["metadata"], status["priority"]) == ("ann", {"genre": "comedy"}, 7)
    moves = api.get(f"/api/jobs/{job_id}/history").json()["transitions"]
    assert [move["to_state"] for move in moves] == ["QUEUED", "EXECUTING", "COMPLETED"]
    assert api.get(f"/api/jobs/{job_id}/result").json() == 5


def test_the_same_idempotency_key_in_header_or_body_is_the_same_job(api: httpx.Client) -> None:
    body = {"task": "add", "args": {"a": 1}}
    first = api.post("/api/jobs", json=body, headers={"Idempotency-Key": "over-http"}).json()["job_id"]
    assert api.post("/api/jobs", json={**body, "idempotency_key": "over-http"}).json()["job_id"] == first
    other = api.post("/api/jobs", json={"task": "add", "args": {"a": 2}}, headers={"Idempotency-Key": "over-http"})
    assert (other.status_code, other.json()["type"]) == (409, "/problems/idempotency-conflict")
    both = api.post("/api/jobs", json={**body, "idempotency_key": "one"}, headers={"Idempotency-Key": "another"})
    assert both.status_code == 422
    assert "'one', and the header Idempotency-Key says 'another'" in both.json()["detail"]


def test_a_user_and_a_key_with_colons_are_told_apart_over_http(api: httpx.Client) -> None:
    def submitted(user: str, key: str, a: int) -> httpx.Response:
        return api.post("/api/jobs", json={"task": "add", "args": {"a": a}, "user_id": user, "idempotency_key": key})

    first, second = submitted("acme", "eu:7", 1), submitted("acme:eu", "7", 2)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["job_id"] != second.json()["job_id"]
    assert submitted("acme:eu", "7", 2).json()["job_id"] == second.json()["job_id"]


def test_a_delayed_job_is_pending_and_can_be_cancelled_once(api: httpx.Client) -> None:
    answer = api.post("/api/jobs", json={"task": "add", "args": {"a": 1}, "delay": 600}).json()
    assert answer["current_state"] == "PENDING"
    cancelled = api.post(f"/api/jobs/{answer['job_id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["current_state"]) == (202, "CANCELLED")
    again = api.post(f"/api/jobs/{answer['job_id']}/cancel")
    assert again.status_code == 409
    assert again.json()["job_id"] == answer["job_id"]
    assert again.headers["content-type"] == "application/problem+json"


def test_a_job_without_a_result_says_why(api: httpx.Client, until: Until) -> None:
    waiting = api.post("/api/jobs", json={"task": "add", "args": {"a": 1}, "delay": 600}).json()["job_id"]
    assert api.get(f"/api/jobs/{waiting}/result").status_code == 409
    failed = submit(api, "refuses", why="a bad idea")
    until(lambda: ended(api, failed))
    answer = api.get(f"/api/jobs/{failed}/result")
    assert answer.status_code == 409
    assert "a bad idea" in answer.json()["detail"]
    api.post(f"/api/jobs/{waiting}/cancel")
    dlq.remove(failed)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"task": "ad", "args": {}}, 422, "did you mean 'add'"),
        ({"task": "add", "args": {"a": "x"}}, 422, "a:"),
        ({"task": "add", "args": {"a": 1}, "queue": "medai"}, 422, "did you mean 'media'"),
        ({"task": "add", "args": {"a": 1}, "priority": 11}, 422, "priority"),
        ({"task": "add", "args": {"a": 1}, "prioritty": 1}, 422, "prioritty"),
        ({"args": {}}, 422, "task"),
    ],
)
def test_bad_input_is_refused_at_the_door_and_submits_nothing(
    api: httpx.Client, body: dict[str, Any], status: int, told: str
) -> None:
    before = sum(job_tracker.counts().values())
    answer = api.post("/api/jobs", json=body)
    assert answer.status_code == status
    assert told in answer.text
    assert answer.json()["request_id"]
    assert sum(job_tracker.counts().values()) == before


def test_a_body_that_is_no_json_or_too_large_is_refused(api: httpx.Client) -> None:
    broken = api.post("/api/jobs", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400
    large = {"task": "add", "args": {"a": 1, "b": 2}, "metadata": {"x": "y" * 2_000_000}}
    assert api.post("/api/jobs", json=large).status_code == 413

    def endless() -> Any:
        for _ in range(100):
            yield b" " * 65536

    chunked = api.post("/api/jobs", content=endless(), headers={"Content-Type": "application/json"})
    assert chunked.status_code == 413


def test_an_unknown_job_is_a_problem_that_names_it(api: httpx.Client) -> None:
    for path in ("status", "history", "result", "children", "logs", "artifacts"):
        answer = api.get(f"/api/jobs/nowhere/{path}", headers={"X-Request-ID": "mine-1"})
        assert answer.status_code == 404, path
        problem = answer.json()
        assert (problem["job_id"], problem["type"]) == ("nowhere", "/problems/unknown-job")
        assert (problem["request_id"], problem["instance"]) == ("mine-1", f"/api/jobs/nowhere/{path}")
        assert problem["hint"]
    assert "No job with that id" in api.get("/problems/unknown-job").text


def test_listings_page_and_filter(api: httpx.Client) -> None:
    jobs = add.options(user_id="http-lister", delay=600).map([{"a": n} for n in range(25)])
    seen: list[str] = []
    cursor = None
    while True:
        page = api.get(
            "/api/jobs", params={"user_id": "http-lister", "limit": 10, **({"cursor": cursor} if cursor else {})}
        ).json()
        seen += [job["job_id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(job.id for job in jobs)
    pending = api.get("/api/jobs", params={"user_id": "http-lister", "status": "pending"}).json()["jobs"]
    assert len(pending) == 25
    assert api.get("/api/jobs", params={"user_id": "http-lister", "status": "running"}).json()["jobs"] == []
    for wrong in ({"status": "pendign"}, {"cursor": "!!"}, {"limit": 0}, {"queue": "nope"}):
        assert api.get("/api/jobs", params=wrong).status_code == 422, wrong
    for job in jobs:
        job.cancel()


def test_what_a_job_prints_and_logs_is_read_while_and_after_it_runs(api: httpx.Client, until: Until) -> None:
    job_id = submit(api, "talks", lines=3)
    until(lambda: len(api.get(f"/api/jobs/{job_id}/logs").json()["lines"]) >= 6)
    log = api.get(f"/api/jobs/{job_id}/logs").json()
    assert [line["message"] for line in log["lines"] if line["level"] == "PRINT"] == [f"printed {n}" for n in range(3)]
    assert [line["message"] for line in log["lines"] if line["level"] == "WARNING"] == [f"logged {n}" for n in range(3)]
    assert all(line["attempt"] == 1 for line in log["lines"])
    assert api.get(f"/api/jobs/{job_id}/logs", params={"after": log["next"]}).json()["lines"] == []


def test_the_dead_letter_queue_is_listed_replayed_and_emptied(api: httpx.Client, until: Until) -> None:
    ids = [submit(api, "refuses", why=f"no {n}") for n in range(3)]
    until(lambda: all(ended(api, job_id) for job_id in ids))
    listed: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = api.get("/api/dlq", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        listed += page["dead_letters"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert {letter["job_id"] for letter in listed} >= set(ids)
    assert len(listed) == page["total"]
    letter = api.get(f"/api/dlq/{ids[0]}").json()
    assert (letter["task_id"], letter["error_message"]) == (letter["job_id"], letter["error"])
    assert (letter["args"], letter["error"]) == ({"why": "no 0"}, "PermanentError: no 0")
    assert "PermanentError" in letter["traceback"]
    assert api.post(f"/api/dlq/{ids[0]}/retry").status_code == 202
    until(lambda: ended(api, ids[0]) and api.get(f"/api/dlq/{ids[0]}").status_code == 200)
    assert api.post("/api/dlq/retry", json={"job_ids": [ids[1], "nowhere"]}).json() == {"job_ids": [ids[1]]}
    until(lambda: api.get(f"/api/dlq/{ids[1]}").status_code == 200)
    assert api.post("/api/dlq/remove", json={"job_ids": ids[:2]}).json() == {"job_ids": ids[:2]}
    assert api.delete(f"/api/dlq/{ids[2]}").status_code == 204
    assert api.delete(f"/api/dlq/{ids[2]}").status_code == 404
    assert api.post("/api/dlq/retry", json={}).status_code == 422
    assert len(api.get(f"/api/jobs/{ids[0]}/history").json()["transitions"]) == 7


def test_queues_are_shown_paused_and_resumed(api: httpx.Client) -> None:
    queues = {queue["name"]: queue for queue in api.get("/api/queues").json()["queues"]}
    assert list(queues) == ["generation", "media", "default", "batch"]
    assert queues["default"]["slots"] == 3
    assert api.post("/api/queues/media/pause").json() == {"name": "media", "paused": True}
    assert {q["name"] for q in api.get("/api/queues").json()["queues"] if q["paused"]} == {"media"}
    assert api.post("/api/queues/media/resume").json() == {"name": "media", "paused": False}
    assert api.post("/api/queues/medai/pause").status_code == 422


def test_each_task_publishes_what_it_takes_and_gives(api: httpx.Client) -> None:
    tasks = {task["name"]: task for task in api.get("/api/tasks").json()["tasks"]}
    for name in (
        "generate_hook generate_script validate_coherence analyze_pacing track_emotional_arc generate_video_veo "
        "generate_audio_tts generate_image_imagen compose_final_video process_batch process_batch_item export_video "
        "cleanup_old_results generate_thumbnail create_video"
    ).split():
        assert tasks[name]["description"], name
        assert tasks[name]["input_schema"]["type"] == "object"
        assert tasks[name]["output_schema"]
    assert tasks["create_video"]["kind"] == "flow"
    assert tasks["generate_hook"]["queue"] == "generation"


def test_a_module_that_cannot_be_imported_and_a_task_without_a_schema_take_no_others_along(
    api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_settings: Callable[..., None]
) -> None:
    (tmp_path / "needs_a_card.py").write_text("import a_library_that_only_workers_have\n")
    (tmp_path / "odd_types.py").write_text(
        "from ytray import task\n\n@task()\ndef takes_odd_types(x: 'NothingOfTheKind') -> int:\n    return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with_settings(imports=("needs_a_card", "odd_types"))
    told = api.get("/api/tasks").json()
    assert list(told["broken_imports"]) == ["needs_a_card"]
    assert "a_library_that_only_workers_have" in told["broken_imports"]["needs_a_card"]
    assert "generate_hook" in {task["name"] for task in told["tasks"]}
    unknown = api.post("/api/jobs", json={"task": "of_no_module", "args": {}})
    assert unknown.status_code == 422
    assert "module needs_a_card of YTRAY_IMPORTS could not be imported" in unknown.json()["detail"]
    odd = api.post("/api/jobs", json={"task": "takes_odd_types", "args": {"x": 1}})
    assert odd.status_code == 422
    assert "NothingOfTheKind" in odd.json()["detail"]
    assert submit(api, "add", a=1)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ('{"x": NaN}', "metadata['x'] is nan, which is no number in JSON"),
        ('{"x": [-Infinity]}', "metadata['x'][0] is -inf"),
        ('{"x": ' + "[" * 150 + "]" * 150 + "}", "nested more than 100 deep"),
        ('{"x": 1' + "0" * 400 + "}", "more than 300 digits"),
        ('{"x": "\\ud800"}', "metadata['x'] holds surrogates"),
        ('{"\\udfff": 1}', "surrogates"),
    ],
    ids=range(6),
)
def test_what_json_cannot_hold_is_refused_over_http(api: httpx.Client, metadata: str, told: str) -> None:
    body = f'{{"task": "add", "args": {{"a": 1}}, "metadata": {metadata}}}'
    answer = api.post("/api/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["detail"]


def test_a_job_that_cannot_be_read_is_told_over_http_among_the_others(api: httpx.Client, system: Store) -> None:
    whole, bad = submit(api, "add", a=1), submit(api, "add", a=2)
    assert Job[Any](whole).get(timeout=30) == 2
    assert Job[Any](bad).get(timeout=30) == 3
    system.redis.set(system.key(f"r:{whole}"), '{"x": NaN}')  # as older versions kept it
    assert api.get(f"/api/jobs/{whole}/result").text == '{"x":null}'
    system.redis.hset(system.key(f"j:{bad}"), "spec", "{half")
    system.redis.set(system.key(f"r:{bad}"), "{half")
    listed = {job["job_id"]: job for job in api.get("/api/jobs", params={"task_name": "add"}).json()["jobs"]}
    assert listed[bad]["error"].startswith("DamagedJob: ")
    assert listed[whole]["error"] is None
    assert api.get(f"/api/jobs/{bad}/status").json()["error"].startswith("DamagedJob: ")
    refused = api.get(f"/api/jobs/{bad}/result")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/damaged-job")
    results = api.post("/api/jobs/results", json={"job_ids": [whole, bad]}).json()["results"]
    told = {result["job_id"]: (result["result"], result["error"]) for result in results}
    assert told[whole] == ({"x": None}, None)
    assert "its result cannot be read" in told[bad][1]


def test_counts_metrics_and_health_answer(api: httpx.Client, system: Store) -> None:
    submit(api, "add", a=1)
    counts = api.get("/api/counts").json()["counts"]
    assert set(counts) == set(JobState)
    text = api.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    assert 'ytray_tasks_total{queue="default",status="submitted",task_name="add"}' in text.text
    assert api.get("/healthz").json() == {"status": "ok"}
    assert api.get("/readyz").json() == {"status": "ok"}
    assert api.get("/openapi.json").json()["info"]["title"] == "ytray"
    assert "cdn" not in api.get("/docs").text
    assert system.redis.ping()


def test_submissions_from_many_threads_are_each_there(api_url: str, until: Until) -> None:
    ids: list[str] = []

    def work(number: int) -> None:
        with httpx.Client(base_url=api_url, timeout=30) as client:
            ids.extend(submit(client, "add", a=number, b=n) for n in range(25))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 200
    until(lambda: all(job_tracker.get_status(job_id).current_state == "COMPLETED" for job_id in ids), 60)


def test_metrics_are_the_same_from_every_replica(
    api: httpx.Client, system: Store, serving: Callable[..., str], until: Until
) -> None:
    job_id = submit(api, "add", a=1)
    until(lambda: ended(api, job_id))

    def counted(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("ytray_tasks_total")]

    other = httpx.get(serving(system, open_without_keys=True) + "/metrics").text
    assert counted(other) == counted(api.get("/metrics").text)
    assert counted(other)


def test_a_redis_that_is_away_is_told_as_such_and_comes_back(
    bare_store: Store, serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    from ytray.engine.state import connection

    hasty = Store(bare_store.redis_url, bare_store.namespace, patience=0.5)
    monkeypatch.setattr(connection, "_current", connection._Connection(hasty, has_ray=True))
    hasty.track("known", JobState.QUEUED, b"{}", 60, ("any", "default", 4, "", b"{}"))
    put_at_work(hasty)
    with httpx.Client(base_url=serving(hasty, open_without_keys=True), timeout=30) as client:
        assert client.get("/api/jobs/known/status").status_code == 200
        process = psutil.Process(hasty.redis.info("server")["process_id"])
        process.suspend()
        try:
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").status_code == 503
        finally:
            process.resume()
        until(lambda: client.get("/readyz").status_code == 200)
        assert client.get("/api/jobs/known/status").status_code == 200
        hasty.redis.shutdown(nosave=True)
        for path in ("/readyz", "/api/jobs/known/status", "/api/jobs", "/api/queues"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/system-unavailable"), path
            assert int(answer.headers["retry-after"]) >= 1
        refused = client.post("/api/jobs", json={"task": "cleanup_old_results", "args": {}})
        assert refused.status_code == 503


def test_the_results_of_many_jobs_come_together(api: httpx.Client) -> None:
    ids = [job.id for job in add.map([{"a": number} for number in range(20)])]
    found: dict[str, Any] = {}
    while len(found) < 20:
        left = [job_id for job_id in ids if job_id not in found]
        answer = api.post("/api/jobs/results", json={"job_ids": left, "wait_seconds": 20})
        assert answer.status_code == 200
        assert answer.json()["results"]
        found.update({one["job_id"]: one for one in answer.json()["results"]})
    assert [found[job_id]["result"] for job_id in ids] == list(range(1, 21))
    assert found[ids[0]] == {
        "job_id": ids[0],
        "current_state": "COMPLETED",
        "result": 1,
        "error": None,
        "retry_count": 0,
    }
    waiting = add.options(delay=600).delay(1)
    assert api.post("/api/jobs/results", json={"job_ids": [waiting.id]}).json() == {"results": []}
    waiting.cancel()
    (told,) = api.post("/api/jobs/results", json={"job_ids": [waiting.id]}).json()["results"]
    assert (told["current_state"], told["result"]) == ("CANCELLED", None)
    assert api.post("/api/jobs/results", json={"job_ids": []}).json() == {"results": []}
    assert api.post("/api/jobs/results", json={"job_ids": [ids[0], "nothing-here"]}).status_code == 404
