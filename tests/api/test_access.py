"""Who may do what: every route against no key, a wrong key, each scope, and another user's job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from ytray import JobState, batches
from ytray.api.app import build
from ytray.api.keys import KeyRing
from ytray.engine.state.store import Store
from ytray.errors import AccessDenied, SettingsError

ALICES, BOBS = "job-of-alice", "job-of-bob"
ROWS: dict[str, Any] = {"items": [{"prompt": "hello"}], "task": "generate_hook"}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    scope: str
    body: object = None
    own: int = 200  # what the owner of the job or batch gets
    others: int = 404  # what another user gets, but 403 for a job


PUBLIC = {"/healthz", "/readyz", "/problems/{kind}", "/api/session"}
ROUTES = [
    Route("POST", "/api/jobs", "submit", {"task": "nothing", "args": {}}, own=422),
    Route("GET", "/api/jobs", "read"),
    Route("GET", "/api/jobs/{job_id}/status", "read"),
    Route("GET", "/api/jobs/{job_id}/history", "read"),
    Route("GET", "/api/jobs/{job_id}/result", "read", own=409),
    Route("GET", "/api/jobs/{job_id}/children", "read"),
    Route("GET", "/api/jobs/{job_id}/logs", "read"),
    Route("GET", "/api/jobs/{job_id}/artifacts", "read"),
    Route("GET", "/api/jobs/{job_id}/artifacts/{name}", "read", own=404),
    Route("POST", "/api/jobs/results", "read", {"job_ids": [ALICES]}),
    Route("POST", "/api/videos", "submit", {"prompt": ""}, own=422),
    Route("GET", "/api/queues", "read"),
    Route("POST", "/api/queues/{name}/pause", "admin", own=403),
    Route("POST", "/api/queues/{name}/resume", "admin", own=403),
    Route("GET", "/api/nodes", "read", own=403),
    Route("POST", "/api/nodes/{node}/drain", "admin", {"deadline_seconds": 5}, own=403),
    Route("GET", "/api/tasks", "read"),
    Route("GET", "/api/breakers", "read"),
    Route("GET", "/api/counts", "read"),
    Route("GET", "/api/dlq", "read"),
    Route("GET", "/api/dlq/{job_id}", "read", own=404, others=404),
    Route("POST", "/api/dlq/retry", "submit", {"job_ids": ["x"]}, own=202),
    Route("POST", "/api/dlq/remove", "submit", {"job_ids": ["x"]}, own=202),
    Route("POST", "/api/dlq/{job_id}/retry", "submit", own=404, others=404),
    Route("DELETE", "/api/dlq/{job_id}", "submit", own=404, others=404),
    Route("GET", "/api/spend", "read"),
    Route("POST", "/api/spend/{key}/allow", "submit", own=404),
    Route("GET", "/api/webhooks/secret", "submit"),
    Route("POST", "/api/webhooks/secret/rotate", "submit"),
    Route("GET", "/api/budgets", "read"),
    Route("PUT", "/api/budgets/{user_id}", "admin", {"limit_usd": None}, own=403),
    Route("GET", "/api/models", "read"),
    Route("POST", "/api/batches", "submit", {**ROWS, "task": "nothing"}, own=422),
    Route("GET", "/api/batches", "read"),
    Route("GET", "/api/batches/plan", "read", own=422),
    Route("GET", "/api/batches/{batch_id}", "read"),
    Route("GET", "/api/batches/{batch_id}/plan", "read", own=422),
    Route("GET", "/api/batches/{batch_id}/items", "read"),
    Route("GET", "/api/batches/{batch_id}/errors", "read"),
    Route("GET", "/api/batches/{batch_id}/report", "read"),
    Route("PATCH", "/api/batches/{batch_id}", "submit", {"priority": 5}),
    Route("POST", "/api/batches/{batch_id}/pause", "submit"),
    Route("POST", "/api/batches/{batch_id}/resume", "submit", own=202),
    Route("POST", "/api/batches/{batch_id}/errors/{fingerprint}/replay", "submit", own=422),
    Route("POST", "/api/batches/{batch_id}/errors/{fingerprint}/discard", "submit", own=422),
    Route("GET", "/api/system", "read"),
    Route("GET", "/api/audit", "admin", own=403),
    Route("GET", "/metrics", "read", own=403),
    # Last, since they end the job and the batch.
    Route("POST", "/api/jobs/{job_id}/cancel", "submit", own=202),
    Route("POST", "/api/batches/{batch_id}/cancel", "submit", own=202),
]


@dataclass(frozen=True)
class Guarded:
    api: httpx.Client
    ring: KeyRing
    keys: dict[str, str]
    batches: dict[str, str]  # by the job of the same user

    def ask(self, route: Route, key: str | None, job_id: str = ALICES) -> int:
        names = {"name": "media", "key": "nothing", "user_id": "alice", "fingerprint": "f", "node": "nothing"}
        path = route.path.format(job_id=job_id, batch_id=self.batches[job_id], **names)
        headers = {
            "X-Ytray-Client": f"{route.method}:{route.path}"
        }  # each from another address: else wrong keys are slowed down
        headers |= {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.api.request(route.method, path, json=route.body, headers=headers).status_code


@pytest.fixture
def guarded(bare_store: Store, serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    """An API with keys, over a store where Alice and Bob have a job and a batch each."""
    from ytray.engine.state import connection

    monkeypatch.setattr(connection, "_current", connection._Connection(bare_store, has_ray=True))
    ring = KeyRing(bare_store)
    keys = {
        "alice": ring.create("alice's", ["read", "submit"], "alice")[0],
        "alice reads": ring.create("alice's", ["read"], "alice")[0],
        "alice submits": ring.create("alice's", ["submit"], "alice")[0],
        "bob": ring.create("bob's", ["read", "submit"], "bob")[0],
        "admin": ring.create("ops", ["admin"], None)[0],
    }
    made = {}
    for job_id, user in ((ALICES, "alice"), (BOBS, "bob")):
        bare_store.track(job_id, JobState.QUEUED, b"{}", 60, ("any", "default", 4, user, b"{}"))
        made[job_id] = batches.submit(ROWS["items"], task="generate_hook", user_id=user).id
    with httpx.Client(base_url=serving(bare_store, open_without_keys=False), timeout=30) as api:
        yield Guarded(api, ring, keys, made)


def test_the_matrix_covers_every_route(bare_store: Store) -> None:
    paths = build(bare_store, open_without_keys=False).openapi()["paths"]
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods if path not in PUBLIC}
    assert found == {(route.method, route.path) for route in ROUTES} | {("GET", "/api/events")}


def test_every_route_refuses_no_key_a_wrong_key_and_a_missing_scope(guarded: Guarded) -> None:
    for route in ROUTES:
        assert guarded.ask(route, None) == 401, route
        assert guarded.ask(route, "yt_000000000000_wrong") == 401, route
        assert guarded.ask(route, guarded.keys["alice"][:-1] + "x") == 401, route
        if route.scope != "read":
            assert guarded.ask(route, guarded.keys["alice reads"]) == 403, route
        if route.scope != "submit":
            assert guarded.ask(route, guarded.keys["alice submits"]) == 403, route
    assert guarded.api.get("/api/events").status_code == 401


def test_every_route_keeps_users_apart(guarded: Guarded) -> None:
    for route in ROUTES:
        if "{job_id}" in route.path or "{batch_id}" in route.path:
            others = 403 if route.path.startswith("/api/jobs/{job_id}") else route.others
            assert guarded.ask(route, guarded.keys["bob"]) == others, route
        assert guarded.ask(route, guarded.keys["alice"]) == route.own, route
    headers = {"X-API-Key": guarded.keys["alice"]}
    assert guarded.api.post("/api/jobs/results", json={"job_ids": [ALICES, BOBS]}, headers=headers).status_code == 403
    for of, expected in (({"job_id": BOBS}, 403), ({"batch_id": guarded.batches[BOBS]}, 404)):
        assert guarded.api.get("/api/events", params=of, headers=headers).status_code == expected


def test_an_admin_may_do_everything(guarded: Guarded) -> None:
    for route in ROUTES:
        assert guarded.ask(route, guarded.keys["admin"], BOBS) not in (401, 403), route


def test_a_user_lists_only_their_own_jobs_and_submits_only_their_own(guarded: Guarded) -> None:
    headers = {"Authorization": f"Bearer {guarded.keys['alice']}"}
    listed = guarded.api.get("/api/jobs", headers=headers).json()["jobs"]
    assert [job["job_id"] for job in listed] == [ALICES]
    assert guarded.api.get("/api/jobs", params={"user_id": "bob"}, headers=headers).status_code == 403
    everybodys = guarded.api.get("/api/jobs", headers={"X-API-Key": guarded.keys["admin"]}).json()["jobs"]
    assert {job["job_id"] for job in everybodys} == {ALICES, BOBS}
    order = {"task": "generate_hook", "args": {"prompt": "hello"}, "user_id": "bob"}
    assert guarded.api.post("/api/jobs", json=order, headers=headers).status_code == 403
    del order["user_id"]
    accepted = guarded.api.post("/api/jobs", json=order, headers=headers)
    assert accepted.status_code == 202
    status = guarded.api.get(accepted.headers["location"], headers=headers).json()
    assert status["user_id"] == "alice"
    batches_of_alice = guarded.api.get("/api/batches", headers=headers).json()["batches"]
    assert [batch["batch_id"] for batch in batches_of_alice] == [guarded.batches[ALICES]]
    assert guarded.api.get("/api/batches", params={"user_id": "bob"}, headers=headers).status_code == 403
    assert guarded.api.post("/api/batches", json={**ROWS, "user_id": "bob"}, headers=headers).status_code == 403
    made = guarded.api.post("/api/batches", json=ROWS, headers=headers)
    assert guarded.api.get(made.headers["location"], headers=headers).json()["user_id"] == "alice"


def test_a_key_is_kept_as_a_hash_and_stops_working_when_revoked(
    guarded: Guarded, bare_store: Store, until: Callable[..., None]
) -> None:
    stored = str(bare_store.redis.hgetall(bare_store.key("keys")))
    for key in guarded.keys.values():
        assert key.split("_", 2)[2] not in stored
    key, record = guarded.ring.create("short-lived", ["read"], None)
    headers = {"Authorization": f"Bearer {key}"}
    until(lambda: guarded.api.get("/api/counts", headers=headers).status_code == 200)
    guarded.ring.revoke(record.key_id)
    until(lambda: guarded.api.get("/api/counts", headers=headers).status_code == 401)


def test_revoking_the_last_key_closes_the_api_rather_than_opening_it(
    guarded: Guarded, until: Callable[..., None]
) -> None:
    for record in guarded.ring.all():
        guarded.ring.revoke(record.key_id)
    until(lambda: guarded.ask(ROUTES[1], guarded.keys["admin"]) == 401)
    assert guarded.ask(ROUTES[1], None) == 401


def test_a_browser_signs_in_with_a_cookie_that_scripts_cannot_read(guarded: Guarded) -> None:
    assert guarded.api.post("/api/session", json={"key": "wrong"}).status_code == 401
    signed = guarded.api.post("/api/session", json={"key": guarded.keys["alice"]})
    assert signed.status_code == 204
    cookie = signed.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guarded.api.get("/api/system").json()["user_id"] == "alice"
    guarded.api.delete("/api/session")
    assert guarded.api.get("/api/system").status_code == 401


def test_a_key_that_asks_too_often_is_told_when_to_come_back(
    guarded: Guarded, with_settings: Callable[..., None]
) -> None:
    with_settings(rate_limit=5)
    headers = {"Authorization": f"Bearer {guarded.keys['bob']}"}
    answers = [guarded.api.get("/api/counts", headers=headers) for _ in range(12)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert answers[0].status_code == 200
    assert refused
    assert int(refused[0].headers["retry-after"]) >= 1
    other = guarded.api.get("/api/counts", headers={"Authorization": f"Bearer {guarded.keys['alice']}"})
    assert other.status_code == 200


def test_pages_of_other_origins_and_names_can_do_nothing(api: httpx.Client) -> None:
    order = {"task": "cleanup_old_results", "args": {"dry_run": True}}
    assert api.post("/api/jobs", json=order, headers={"Origin": "https://evil.example"}).status_code == 403
    assert api.get("/api/jobs", headers={"Host": "evil.example"}).status_code == 403
    assert api.post("/api/jobs", json=order, headers={"Origin": str(api.base_url)}).status_code == 202
    assert api.post("/api/jobs", content=b'{"task": "add"}', headers={"Content-Type": "text/plain"}).status_code == 422
    assert "access-control-allow-origin" not in api.get("/api/jobs", headers={"Origin": "https://evil.example"}).headers


def test_every_answer_carries_headers_that_keep_browsers_safe(api: httpx.Client) -> None:
    for path in ("/", "/api/jobs", "/nowhere"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"]


def test_keys_from_the_settings_work_and_bad_ones_are_named(
    bare_store: Store, with_settings: Callable[..., None]
) -> None:
    with_settings(api_keys="carol:0123456789abcdef,ops:fedcba9876543210:admin")
    ring = KeyRing(bare_store)
    assert ring.caller("0123456789abcdef").sees_only == "carol"
    assert ring.caller("fedcba9876543210").is_admin
    with pytest.raises(AccessDenied):
        ring.caller("0123456789abcdeX")
    with_settings(api_keys="short:abc")
    with pytest.raises(SettingsError, match="YTRAY_API_KEYS"):
        KeyRing(bare_store)


def test_a_wrong_key_takes_as_long_as_a_right_one_of_another_record(bare_store: Store) -> None:
    ring = KeyRing(bare_store)
    key, _ = ring.create("one", ["read"], None)

    def spent(presented: str) -> float:
        begun = time.thread_time()  # of the processor: what else the machine does is not counted
        for _ in range(300):
            with_denied(presented)
        return time.thread_time() - begun

    def with_denied(presented: str) -> None:
        with pytest.raises(AccessDenied):
            ring.caller(presented)

    near, far = key[:-1] + ("a" if key[-1] != "a" else "b"), "yt_000000000000_" + "x" * 43
    rounds = [(spent(near), spent(far)) for _ in range(5)]
    ratio = min(own for own, _ in rounds) / min(other for _, other in rounds)
    assert 0.5 < ratio < 2
