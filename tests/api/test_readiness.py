"""`/readyz` tells whether jobs would run, `/healthz` only that the process lives; no state of Redis is a bare 500."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import httpx
import psutil
import pytest
import redis
from redis.exceptions import OutOfMemoryError, ResponseError

from tests.api.offices import put_at_work, say_flows_run
from ytray import JobState
from ytray.api.readiness import readiness
from ytray.engine.state.refusals import as_unavailable
from ytray.engine.state.store import Store
from ytray.system.parts import Part


@pytest.fixture
def lone(bare_store: Store, serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The API over a Redis of the test's own, with nobody at work."""
    from ytray.engine.state import connection

    patient = Store(bare_store.redis_url, bare_store.namespace, patience=1)
    monkeypatch.setattr(connection, "_current", connection._Connection(patient, has_ray=True))
    with httpx.Client(base_url=serving(patient, open_without_keys=True), timeout=30) as client:
        yield client


def refusal(answer: httpx.Response) -> str:
    """The sentence of a 503 that is a problem, and says when to come again."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    told = answer.json()
    assert told["type"] == "/problems/system-unavailable"
    return str(told["detail"])


def test_the_system_is_ready_once_a_tracker_a_flow_runner_and_slots_are_there(
    lone: httpx.Client, bare_store: Store
) -> None:
    told = refusal(lone.get("/readyz"))
    assert "no tracker is at work" in told
    assert "no flow runner is at work" in told
    assert lone.get("/healthz").json() == {"status": "ok"}

    put_at_work(bare_store, slots=0)
    assert "no node offers a slot of any queue" in refusal(lone.get("/readyz"))
    put_at_work(bare_store)
    assert lone.get("/readyz").json() == {"status": "ok"}

    bare_store.take_office("tracker", "a-successor", 60)  # which has not said yet that it works
    assert "no tracker is at work" in refusal(lone.get("/readyz"))
    put_at_work(bare_store)
    say_flows_run(bare_store, -1)  # its last word was a lease ago
    assert refusal(lone.get("/readyz")).startswith("no flow runner is at work")
    bare_store.redis.delete(bare_store.key("flows_at_work"))  # one of an older version, which does not say
    assert lone.get("/readyz").status_code == 200


def test_what_some_jobs_would_wait_for_is_told_while_others_run(
    lone: httpx.Client, bare_store: Store, with_settings: Callable[..., None]
) -> None:
    put_at_work(bare_store)
    bare_store.redis.hset(bare_store.key("slots"), "media", "0")
    bare_store.redis.hdel(bare_store.key("slots"), "batch")
    with_settings(imports=("a_module_that_is_nowhere",))
    told = lone.get("/readyz")
    assert told.status_code == 200
    assert [warning.split(":")[0] for warning in told.json()["warnings"]] == [
        "no node offers queue_media",
        "no node offers queue_batch",
        "of YTRAY_IMPORTS a_module_that_is_nowhere could not be imported here; GET /api/tasks says why",
    ]


def test_where_an_autoscaler_brings_nodes_no_slot_yet_is_no_obstacle(
    bare_store: Store, with_settings: Callable[..., None]
) -> None:
    put_at_work(bare_store, slots=0)
    with_settings(autoscale_most=8)
    assert len(readiness(bare_store).warnings) == 4


def test_a_part_that_jobs_need_and_that_is_missing_is_named(lone: httpx.Client, bare_store: Store) -> None:
    put_at_work(bare_store)
    for part in (Part("dashboard", "missing", 1, time.time(), ""), Part("raylet", "starting", 1, time.time(), "")):
        bare_store.redis.hset(bare_store.key("parts"), part.name, part.sent())
    bare_store.redis.hset(bare_store.key("parts"), "of-a-newer-version", "{}")
    assert lone.get("/readyz").json() == {"status": "ok"}
    gone = Part("raylet", "missing", 1, time.time() - 40, "a secret of the log")
    bare_store.redis.hset(bare_store.key("parts"), "raylet", gone.sent())
    told_of = refusal(lone.get("/readyz"))
    assert told_of.startswith("raylet has been missing for 4")
    assert "secret" not in told_of


def test_a_user_of_redis_that_may_not_ask_info_is_no_obstacle(bare_store: Store) -> None:
    put_at_work(bare_store)
    bare_store.redis.acl_setuser(
        "narrow", enabled=True, passwords=["+narrow"], keys=["*"], categories=["+@all"], commands=["-info"]
    )
    address = bare_store.redis_url.replace("unix://", "unix://narrow@") + "?password=narrow"
    assert readiness(Store(address, bare_store.namespace, patience=0)).warnings == []


def states_of_redis(admin: redis.Redis) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Put Redis into one state after the other; what is told then, and the paths that cannot be answered."""
    read, write = "/api/queues", "/api/queues/media/pause"
    admin.config_set("maxmemory", 1)
    yield "Redis is full", ("/readyz", write)
    admin.config_set("maxmemory", 0)
    admin.replicaof("127.0.0.1", "1")
    yield "Redis takes no writes: it is a replica", ("/readyz", write)
    admin.config_set("replica-serve-stale-data", "no")
    yield "it is failing over", (read, "/metrics", "/api/jobs", "/api/dlq", "/api/budgets")
    admin.replicaof("NO", "ONE")
    admin.config_set("min-replicas-to-write", 1)
    yield "fewer replicas follow it", ("/readyz", write)
    admin.config_set("min-replicas-to-write", 0)
    admin.config_set("lua-time-limit", 5)
    looping = threading.Thread(target=_loop, args=(admin,))
    looping.start()
    while True:
        try:
            admin.ping()
        except ResponseError:
            break
    yield "Redis has been busy with one script", ("/readyz", read, "/metrics")
    admin.script_kill()
    looping.join()
    admin.config_set("requirepass", "another")
    admin.client_kill_filter(_type="normal", skipme=True)
    try:
        yield "refuses the password or the user", ("/readyz", read, write)
    finally:
        admin.config_set("requirepass", "")  # else nobody could stop it


def _loop(admin: redis.Redis) -> None:
    with pytest.raises(ResponseError):
        admin.eval("while true do end", 0)


def test_no_state_of_redis_is_answered_by_a_500(lone: httpx.Client, bare_store: Store) -> None:
    put_at_work(bare_store)
    assert lone.get("/readyz").status_code == 200
    admin = redis.Redis.from_url(bare_store.redis_url)
    for told, paths in states_of_redis(admin):
        for path in paths:
            said = refusal(lone.request("POST" if path.endswith("pause") else "GET", path))
            assert told in said, (path, said)
        assert lone.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), "its disk is full"),
        (
            ResponseError(
                "ERR Error running script (call to f_0a1b): @user_script:12: @user_script: 12: -OOM command not "
                "allowed when used memory > 'maxmemory'."
            ),
            "Redis is full",
        ),
        (ResponseError("Command # 1 (SET a OOM) of pipeline caused error: MISCONF Errors writing"), "its disk is full"),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'.", status_code="OOM"), "Redis is full"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory", status_code="LOADING"), "still loading"),
        (redis.ConnectionError("max number of clients reached"), "no more connections"),
        (redis.TimeoutError("Timeout reading from socket"), "does not answer"),
    ],
)
def test_what_redis_says_of_its_state_is_told_in_a_sentence(error: redis.RedisError, told: str) -> None:
    found = as_unavailable(error)
    assert found is not None
    assert told in str(found)


@pytest.mark.parametrize(
    "text", ["WRONGTYPE Operation against a key", "ERR wrong number: OOM", "Command # 1 (SET OOM)"]
)
def test_a_command_that_was_wrong_is_no_state_of_redis(text: str) -> None:
    assert as_unavailable(ResponseError(text)) is None


def test_the_process_is_healthy_and_quick_while_others_wait_for_redis(
    lone: httpx.Client, bare_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ytray.api.keys._CACHED_FOR", 0.0)  # the keys are read anew for each request
    bare_store.track("known", JobState.QUEUED, b"{}", 60, ("any", "default", 4, "", b"{}"))
    assert lone.get("/api/jobs/known/status").status_code == 200
    process = psutil.Process(bare_store.redis.info("server")["process_id"])
    answers: list[Any] = []
    waiting = [
        threading.Thread(
            target=lambda: answers.append(httpx.get(f"{lone.base_url}/api/jobs/known/status", timeout=60).status_code)
        )
        for _ in range(5)
    ]
    process.suspend()
    try:
        for thread in waiting:
            thread.start()
        begun = time.monotonic()
        assert lone.get("/healthz").status_code == 200
        assert time.monotonic() - begun < 20
    finally:
        process.resume()
    for thread in waiting:
        thread.join()
    assert answers == [200] * 5


def test_keys_that_cannot_be_read_are_told_before_any_route_too(bare_store: Store, serving: Callable[..., str]) -> None:
    url = serving(bare_store, open_without_keys=True)
    redis.Redis.from_url(bare_store.redis_url).shutdown(nosave=True)
    strangers = httpx.get(f"{url}/healthz", headers={"Host": "example.org"})
    assert refusal(strangers).startswith("Redis does not answer")


def test_a_flow_runner_without_flows_goes_on_saying_that_it_is_at_work(
    system: Store, until: Callable[..., None]
) -> None:
    def said() -> int:
        return int(cast("bytes", system.redis.get(system.key("flows_at_work")) or b"0"))

    until(said)
    before = said()
    until(lambda: said() > before)
