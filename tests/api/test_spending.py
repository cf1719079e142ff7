"""The spend journal, budgets, models and estimates over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.vertex.tasks_for_vertex import buys, buys_in_doubt
from ytray import Job, JobFailed, dlq, flow, job_tracker
from ytray.engine.state.store import Store
from ytray.spend import budgets
from ytray.spend.journal import entries_of_job

ALICE, OPS = "0123456789abcdef-alice", "0123456789abcdef-ops"


@flow()
async def shops(folder: str, usds: list[float]) -> float:
    return sum([await buys.delay(folder, usd) for usd in usds])


@pytest.fixture
def guarded(
    system: Store, serving: Callable[..., str], with_settings: Callable[..., None]
) -> Iterator[Callable[..., httpx.Response]]:
    """`guarded(key, method, path, …)` asks an API over the running system that knows the keys of Alice and of ops."""
    with_settings(api_keys=f"alice:{ALICE},ops:{OPS}:admin")
    with httpx.Client(base_url=serving(system, open_without_keys=False), timeout=30) as client:
        yield lambda key, method, path, **named: client.request(
            method, path, headers={"Authorization": f"Bearer {key}"}, **named
        )


def in_doubt(folder: Path, usd: float, user: str) -> tuple[str, str]:
    """A job that failed in doubt about its only call, and the key of that call."""
    job = buys_in_doubt.options(user_id=user).delay(str(folder), usd)
    with pytest.raises(JobFailed, match="ytray spend allow") as failed:
        job.get(timeout=30)
    (key,) = [word.strip("`") for word in str(failed.value).split() if len(word.strip("`")) == 32]
    return job.id, key


def test_a_flows_calls_are_listed_with_those_of_its_steps_and_add_up(api: httpx.Client, tmp_path: Path) -> None:
    job = shops.options(user_id="shopper").delay(str(tmp_path), [0.25, 0.5])
    job.get(timeout=60)
    told = api.get("/api/spend", params={"job_id": job.id}).json()
    assert [(entry["estimate_usd"], entry["cost_usd"], entry["state"]) for entry in told["entries"]] == [
        (0.25, 0.25, "done"),
        (0.5, 0.5, "done"),
    ]
    assert told["cost_usd"] == api.get(f"/api/jobs/{job.id}/status").json()["cost_usd"] == 0.75
    assert {entry["job_id"] for entry in told["entries"]} == {step.job_id for step in job_tracker.children(job.id)}
    everything = api.get("/api/spend", params={"job_id": job.id, "limit": 1}).json()
    assert everything == told, "a job's cost is told in full"


def test_the_newest_calls_come_first_of_everybody_or_of_one_user(api: httpx.Client, tmp_path: Path) -> None:
    for user, usd in (("early", 0.1), ("late", 0.2), ("early", 0.3)):
        buys.options(user_id=user).delay(str(tmp_path), usd).get(timeout=30)
    newest = api.get("/api/spend", params={"limit": 2}).json()
    assert [(entry["user_id"], entry["cost_usd"]) for entry in newest["entries"]] == [("early", 0.3), ("late", 0.2)]
    assert newest["cost_usd"] == 0.5
    own = api.get("/api/spend", params={"user_id": "early"}).json()
    assert [entry["cost_usd"] for entry in own["entries"]] == [0.3, 0.1]


def test_what_cannot_be_listed_is_refused(api: httpx.Client) -> None:
    assert api.get("/api/spend", params={"job_id": "nowhere"}).status_code == 404
    for wrong in ({"limit": 0}, {"limit": 1001}, {"job_id": "x", "user_id": "y"}):
        assert api.get("/api/spend", params=wrong).status_code == 422, wrong


def test_an_uncertain_call_is_made_again_once_it_is_allowed(api: httpx.Client, tmp_path: Path) -> None:
    job_id, key = in_doubt(tmp_path, 0.5, "doubter")
    told = api.get("/api/spend", params={"job_id": job_id}).json()
    assert [(entry["key"], entry["state"], entry["cost_usd"]) for entry in told["entries"]] == [(key, "uncertain", 0.5)]
    dlq.retry_task(job_id)
    with pytest.raises(JobFailed, match="not made again by itself"):
        Job[float](job_id).get(timeout=30)
    allowed = api.post(f"/api/spend/{key}/allow")
    assert (allowed.status_code, allowed.json()) == (200, told["entries"][0])
    dlq.retry_task(job_id)
    assert Job[float](job_id).get(timeout=30) == 0.5
    assert (tmp_path / "calls").read_text() == "xx"
    (entry,) = api.get("/api/spend", params={"job_id": job_id}).json()["entries"]
    assert (entry["state"], entry["tries"], entry["cost_usd"]) == ("done", 2, 1.0)


def test_only_an_uncertain_call_can_be_allowed(api: httpx.Client, tmp_path: Path, system: Store) -> None:
    unknown = api.post("/api/spend/nothing/allow")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/unknown-job")
    job = buys.delay(str(tmp_path), 0.1)
    job.get(timeout=30)
    (entry,) = entries_of_job(system, job.id)
    done = api.post(f"/api/spend/{entry.key}/allow")
    assert (done.status_code, done.json()["type"]) == (409, "/problems/invalid-transition")
    assert "is done" in done.json()["detail"]


def test_a_budget_is_set_holds_is_told_and_cleared(api: httpx.Client, tmp_path: Path) -> None:
    answer = api.put("/api/budgets/http-thrifty", json={"limit_usd": 0.5})
    whole = {"scope": "user http-thrifty", "limit_usd": 0.5, "spent_usd": 0.0, "reserved_usd": 0.0}
    assert (answer.status_code, answer.json()) == (200, whole)
    buys.options(user_id="http-thrifty").delay(str(tmp_path), 0.3).get(timeout=30)
    over = buys.options(user_id="http-thrifty").delay(str(tmp_path), 0.3)
    with pytest.raises(JobFailed, match="over budget"):
        over.get(timeout=30)
    dlq.remove(over.id)
    assert {**whole, "spent_usd": 0.3} in api.get("/api/budgets").json()["budgets"]
    cleared = api.put("/api/budgets/http-thrifty", json={"limit_usd": None})
    assert cleared.json() == {**whole, "limit_usd": None, "spent_usd": 0.3}
    for wrong in ({}, {"limit_usd": -1}, {"limit_usd": "much"}, {"limit_usd": 1e300}, {"limit_usd": 1, "more": 1}):
        assert api.put("/api/budgets/http-thrifty", json=wrong).status_code == 422, wrong
    assert api.get("/api/budgets").json()["budgets"].count(cleared.json()) == 1


def test_a_key_of_one_user_sees_and_allows_only_what_is_theirs(
    guarded: Callable[..., httpx.Response], tmp_path: Path, system: Store
) -> None:
    (tmp_path / "alice").mkdir()
    (tmp_path / "bob").mkdir()
    her_job, her_call = in_doubt(tmp_path / "alice", 0.2, "alice")
    his_job, his_call = in_doubt(tmp_path / "bob", 0.4, "bob")
    budgets.set_user_budget(system, "bob", 7)

    def status(*asked: str, **named: object) -> int:
        return guarded(ALICE, *asked, **named).status_code

    seen = guarded(ALICE, "GET", "/api/spend").json()["entries"]
    assert {entry["user_id"] for entry in seen} == {"alice"}
    assert status("GET", "/api/spend", params={"user_id": "bob"}) == 403
    assert status("GET", "/api/spend", params={"job_id": his_job}) == 403
    assert status("GET", "/api/spend", params={"job_id": her_job}) == 200
    assert status("POST", f"/api/spend/{his_call}/allow") == 404
    assert status("POST", f"/api/spend/{her_call}/allow") == 200
    assert [one["scope"] for one in guarded(ALICE, "GET", "/api/budgets").json()["budgets"]] == ["user alice"]
    assert status("PUT", "/api/budgets/alice", json={"limit_usd": 1000}) == 403
    assert guarded(OPS, "POST", f"/api/spend/{his_call}/allow").status_code == 200
    assert guarded(OPS, "PUT", "/api/budgets/bob", json={"limit_usd": None}).status_code == 200
    everybodys = guarded(OPS, "GET", "/api/budgets").json()["budgets"]
    assert {"user alice", "user bob"} <= {one["scope"] for one in everybodys}
    for job_id in (her_job, his_job):
        dlq.remove(job_id)


def test_models_are_told_with_prices_limits_and_what_they_run(
    api: httpx.Client, with_settings: Callable[..., None]
) -> None:
    with_settings(model_limits="veo-*=requests:10,at_once:4")
    told = api.get("/api/models").json()
    assert told["dated"] == "2026-11-01"
    models = {model["model"]: model for model in told["models"]}
    assert models["veo-3.1-generate-001"]["price"]["second"] == 0.4
    assert {key: models["veo-3.1-generate-001"][key] for key in ("requests", "tokens", "at_once", "running")} == {
        "requests": 10,
        "tokens": 0,
        "at_once": 4,
        "running": 0,
    }
    assert models["gemini-3.8-flash"]["requests"] == 0


def test_an_estimate_tells_what_a_video_would_cost_and_submits_nothing(api: httpx.Client) -> None:
    before = sum(job_tracker.counts().values())
    order = {"prompt": "Why do cats purr?", "duration": 30}
    paid = api.post("/api/videos", params={"estimate": "true"}, json={**order, "provider": "vertex"})
    assert paid.status_code == 200
    told = paid.json()
    assert [line["kind"] for line in told["lines"]] == ["text", "image", "speech"]
    assert 0 < told["likely_usd"] < told["most_usd"]
    assert told["prices_dated"] == "2026-11-01"
    free = api.post("/api/videos", params={"estimate": "true"}, json={**order, "provider": "offline"}).json()
    assert (free["lines"], free["most_usd"]) == ([], 0)
    assert api.post("/api/videos", params={"estimate": "true"}, json={"prompt": ""}).status_code == 422
    assert sum(job_tracker.counts().values()) == before


def test_an_estimate_for_a_model_without_a_price_says_which(
    api: httpx.Client, with_settings: Callable[..., None]
) -> None:
    with_settings(model_image="gemini-9-image")
    order = {"prompt": "Why do cats purr?", "provider": "vertex"}
    answer = api.post("/api/videos", params={"estimate": "true"}, json=order)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unpriced")
    assert "'gemini-9-image'" in answer.json()["detail"]
    assert "price" in api.get("/problems/unpriced").text
