"""What a key may submit, how much of it, and what it is told of the system. Keys bound to users stand on one API."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.attacks.conftest import Attacked
from tests.attacks.tenants import Tenants
from ytray import InvalidArguments
from ytray.api.keys import ApiKey
from ytray.engine.base.model import JobState
from ytray.engine.base.values import write
from ytray.engine.run.breaker import BreakerState

HOOK: dict[str, Any] = {"task": "generate_hook", "args": {"prompt": "hello"}}
WithSettings = Callable[..., None]


USERS = ("carol", "erin", "frank", "grace", "heidi", "ivan", "judy")


@pytest.fixture(scope="module")
def users(apart: Attacked) -> Tenants:
    """Users with a key each; Dave's is for one task, and the desk's is bound to no user."""
    keys = {who: apart.ring.create(who, ["read", "submit"], who)[0] for who in USERS}
    keys["dave"] = apart.ring.create("dave", ["read", "submit"], "dave", tasks=["generate_hook"], priority=3)[0]
    keys["desk"] = apart.ring.create("desk", ["read", "submit"], None)[0]
    return Tenants(apart, keys).known()


def test_a_task_that_is_not_public_is_for_no_user(users: Tenants) -> None:
    for name in ("cleanup_old_results", "for_operators"):
        refused = users.submit("carol", name, {})
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
        for path in ("/api/batches", "/api/batches?estimate=true"):
            assert users.ask("carol", "POST", path, json={"items": [{}], "task": name}).status_code == 403
        assert users.submit("desk", name, {}).status_code == 202
    listed = {one["name"]: one["public"] for one in users.ask("carol", "GET", "/api/tasks").json()["tasks"]}
    assert set(listed.values()) == {True}
    assert {"cleanup_old_results", "for_operators"}.isdisjoint(listed)
    whole = {one["name"]: one["public"] for one in users.ask("desk", "GET", "/api/tasks").json()["tasks"]}
    assert whole["cleanup_old_results"] is False


def test_a_key_submits_the_tasks_and_priorities_that_it_names(users: Tenants) -> None:
    assert users.submit("dave", "generate_script", {"prompt": "x", "hook": "y"}).status_code == 403
    assert users.ask("dave", "POST", "/api/videos", json={"prompt": "hello"}).status_code == 403
    assert users.ask("dave", "POST", "/api/batches", json={"items": [{"prompt": "hello"}]}).status_code == 403
    high = users.ask("dave", "POST", "/api/jobs", json={**HOOK, "priority": 4})
    assert (high.status_code, high.json()["detail"]) == (403, "this key may give a priority of 3 at most, not 4")
    made = users.ask("dave", "POST", "/api/jobs", json=HOOK)
    assert users.ask("dave", "GET", made.headers["location"]).json()["priority"] == 3
    rows = {"items": [{"prompt": "hello"}], "task": "generate_hook"}
    assert users.ask("dave", "POST", "/api/batches", json={**rows, "priority": 9}).status_code == 403
    batch = users.ask("dave", "POST", "/api/batches", json=rows).json()["batch_id"]
    assert users.ask("dave", "GET", f"/api/batches/{batch}").json()["priority"] == 3
    assert users.ask("dave", "PATCH", f"/api/batches/{batch}", json={"priority": 9}).status_code == 403
    assert [one["name"] for one in users.ask("dave", "GET", "/api/tasks").json()["tasks"]] == ["generate_hook"]


def test_a_key_of_before_may_submit_anything_and_an_admins_is_not_limited(apart: Attacked) -> None:
    _, record = apart.ring.create("old", ["read"], "old")
    stored = record.model_dump(mode="json", exclude={"tasks", "priority"})
    read = ApiKey.model_validate(stored)
    assert (read.tasks, read.priority) == ((), None)
    with pytest.raises(InvalidArguments, match="leave out its tasks and priority"):
        apart.ring.create("ops", ["admin"], None, priority=3)
    with pytest.raises(InvalidArguments, match="priority is a whole number from 0 to 9"):
        apart.ring.create("ops", ["read"], None, priority=10)


def test_counts_queues_and_breakers_tell_a_user_of_their_own(users: Tenants, apart: Attacked) -> None:
    for _ in range(3):
        assert users.ask("frank", "POST", "/api/jobs", json=HOOK).status_code == 202
    assert users.ask("erin", "POST", "/api/jobs", json={**HOOK, "delay": 60}).status_code == 202
    state = BreakerState(name="vertex", state="open", failures=5, opened_at=1.0, last_error="for frank's prompt")
    apart.store.redis.hset(apart.store.key("breakers"), "vertex", state.model_dump_json())
    counts = users.ask("erin", "GET", "/api/counts").json()["counts"]
    assert {state: number for state, number in counts.items() if number} == {"PENDING": 1}
    queues = {queue["name"]: queue for queue in users.ask("erin", "GET", "/api/queues").json()["queues"]}
    assert (queues["generation"]["depth"], queues["generation"]["delayed"]) == (0, 1)
    assert queues["generation"]["oldest_wait_seconds"] == 0
    his = {queue["name"]: queue for queue in users.ask("frank", "GET", "/api/queues").json()["queues"]}
    assert (his["generation"]["depth"], his["generation"]["delayed"]) == (3, 0)
    (breaker,) = users.ask("erin", "GET", "/api/breakers").json()["breakers"]
    assert (breaker["state"], breaker["last_error"], breaker["failures"]) == ("open", "", 0)


def test_a_user_has_so_many_jobs_waiting_and_no_more(users: Tenants, with_settings: WithSettings) -> None:
    with_settings(user_jobs=3)
    made = [users.ask("grace", "POST", "/api/jobs", json=HOOK) for _ in range(3)]
    assert [answer.status_code for answer in made] == [202] * 3
    refused = users.ask("grace", "POST", "/api/jobs", json=HOOK)
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/over-quota")
    assert "user 'grace' has 3 jobs that have not ended, as many as YTRAY_USER_JOBS allows" in refused.json()["detail"]
    assert users.ask("grace", "POST", "/api/videos", json={"prompt": "hello"}).status_code == 429
    assert users.ask("heidi", "POST", "/api/jobs", json=HOOK).status_code == 202
    assert users.ask("grace", "POST", f"/api/jobs/{made[0].json()['job_id']}/cancel").status_code == 202
    deadline = time.monotonic() + 10
    while users.ask("grace", "POST", "/api/jobs", json=HOOK).status_code == 429:
        assert time.monotonic() < deadline


def test_a_user_has_so_many_bytes_rows_and_schedules_and_no_more(users: Tenants, with_settings: WithSettings) -> None:
    with_settings(user_bytes=10_000, user_rows=3, user_schedules=1, user_priority=6)
    large = {"task": "generate_audio_tts", "args": {"text": "a" * 6_000}}
    assert users.ask("ivan", "POST", "/api/jobs", json=large).status_code == 202
    refused = users.ask("ivan", "POST", "/api/jobs", json=large)
    assert (refused.status_code, "YTRAY_USER_BYTES" in refused.json()["detail"]) == (429, True)
    rows = {"items": [{"prompt": "one"}, {"prompt": "two"}], "task": "generate_hook"}
    repeated = {**rows, "cron": "0 0 1 1 *"}
    assert users.ask("ivan", "POST", "/api/batches", json=repeated).status_code == 202
    refused = users.ask("ivan", "POST", "/api/batches", json=rows)
    assert (refused.status_code, "YTRAY_USER_ROWS" in refused.json()["detail"]) == (429, True)
    with_settings(user_rows=0, user_schedules=1, user_priority=6)
    refused = users.ask("ivan", "POST", "/api/batches", json=repeated)
    assert (refused.status_code, "YTRAY_USER_SCHEDULES" in refused.json()["detail"]) == (429, True)
    refused = users.ask("ivan", "POST", "/api/jobs", json={**HOOK, "priority": 7})
    assert (refused.status_code, "YTRAY_USER_PRIORITY" in refused.json()["detail"]) == (403, True)


def test_listings_read_only_what_they_show(users: Tenants, apart: Attacked) -> None:
    metadata = {"}": '{"', "a": [{"b": "\\"}], "c": {}}
    spec = b'{"metadata":' + write(metadata, "it") + b',"code":"m:f","args":{"text":"' + b"a" * 1_000_000 + b'"}}'
    for number in range(100):
        create = ("generate_audio_tts", "generation", 4, "judy", spec)
        apart.store.track(f"large-{number}", JobState.QUEUED, b"{}", 60, create)

    def listed(_: int) -> int:
        found = users.ask("judy", "GET", "/api/jobs", params={"limit": 1000}).json()["jobs"]
        assert {str(job["metadata"]) for job in found} == {str(metadata)}
        return len(found)

    listed(0)
    peak = Path("/proc/self/clear_refs")
    peak.write_text("5")  # VmHWM counts from now on
    before = psutil.Process().memory_info().rss
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(listed, range(8))) == [100] * 8
    status = Path("/proc/self/status").read_text()
    most = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    assert most - before < 50_000_000  # read whole, it was 8 × 100 MB and more


def test_a_page_of_large_dead_letters_ends_early_and_goes_on(users: Tenants, apart: Attacked) -> None:
    spec = b'{"code":"m:f","args":{"text":"' + b"a" * 1_000_000 + b'"}}'
    ids = [f"dead-{number:02}" for number in range(12)]
    for place, job_id in enumerate(ids):
        create = ("generate_audio_tts", "generation", 4, "heidi" if place % 2 else "grace", spec)
        apart.store.track(job_id, JobState.QUEUED, b"{}", 60, create)
        apart.store.redis.zadd(apart.store.key("dlq"), {job_id: place})
    pages: list[list[str]] = []
    asked: dict[str, Any] = {"limit": 1000}
    while not pages or asked["cursor"]:
        page = users.ask("desk", "GET", "/api/dlq", params=asked).json()
        pages.append([letter["job_id"] for letter in page["dead_letters"]])
        asked["cursor"] = page["next_cursor"]
    assert [len(page) for page in pages] == [9, 3]
    assert pages[0] + pages[1] == ids
    own = users.ask("heidi", "GET", "/api/dlq").json()
    assert [letter["job_id"] for letter in own["dead_letters"]] == ids[1::2]
    assert own["next_cursor"] is None
    removed = users.ask("heidi", "POST", "/api/dlq/remove", json={"all": True}).json()
    assert removed["job_ids"] == ids[1::2]
    apart.store.redis.zrem(apart.store.key("dlq"), *ids)
