"""What is stored beside jobs and cannot be read is passed over: breakers, drains, counters, batches, keys, events."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.engine.tasks_for_tests import add
from ytray import Job, JobFailed, dlq, job_tracker
from ytray.api.event_entries import EventReader
from ytray.api.keys import KeyRing
from ytray.engine.batch.batches import Batch, batches
from ytray.engine.batch.notices import Notices
from ytray.engine.cluster.nodes import drain_records
from ytray.engine.control import metrics
from ytray.engine.run.breaker import breaker_states
from ytray.engine.state.store import Store, Submission
from ytray.errors import AccessDenied, DamagedBatch
from ytray.spend.budgets import user_budgets


def test_a_damaged_breaker_drain_budget_or_counter_hides_no_other(system: Store) -> None:
    damaged = {
        "breakers": ("odd", "{half"),
        "drains": ("n1", "[]"),
        "budgets": ("user|odd", "dear"),
        "m": ("tasks|default", "many"),
        "gauges": ("depth|elsewhere", "deep"),
        "nodes": ("up", "all"),
    }
    breaker = '{"name":"whole","state":"closed","failures":1,"opened_at":0,"probe_at":0,"last_error":""}'
    system.redis.hset(system.key("breakers"), "whole", breaker)
    system.redis.hset(system.key("drains"), "n2", '{"since_ms":1,"deadline_ms":2,"reason":"because"}')
    system.redis.hset(system.key("budgets"), "user|whole", "5000000")
    before = {kind: system.redis.hget(system.key(kind), name) for kind, (name, _) in damaged.items()}
    try:
        for kind, (name, value) in damaged.items():
            system.redis.hset(system.key(kind), name, value)
        assert "whole" in [state.name for state in breaker_states()]
        drains = drain_records(system)
        assert drains["n2"] == {"since_ms": 1, "deadline_ms": 2, "reason": "because"}
        assert "n1" not in drains
        limits = {budget.scope: budget.limit_usd for budget in user_budgets(system)}
        assert limits["user whole"] == 5
        assert b"ytray_tasks_total" in metrics.render()
    finally:
        for kind, (name, _) in damaged.items():
            system.redis.hdel(system.key(kind), name)
            if (kept := before[kind]) is not None:
                system.redis.hset(system.key(kind), name, kept)
        for kind, name in (("breakers", "whole"), ("drains", "n2"), ("budgets", "user|whole")):
            system.redis.hdel(system.key(kind), name)


def test_a_damaged_batch_stands_still_and_the_next_one_runs(system: Store) -> None:
    system.redis.hset(system.key("b:damaged"), mapping={"state": "RUNNING", "waiting": "some", "task": "add"})
    system.redis.set(system.key("b:a-text"), "mine")
    for batch in ("damaged", "a-text"):
        system.redis.sadd(system.key("living"), batch)
        system.redis.zadd(system.key("batches"), {batch: 2**42})
    try:
        whole = batches.submit([{"a": 1}, {"a": 2}], task="add")
        assert whole.wait(timeout=60).counts.completed == 2
        assert whole.id in [status.batch_id for status in batches.page().batches]
        assert b"ytray_batches_living" in metrics.render()
        for batch in ("damaged", "a-text"):
            with pytest.raises(DamagedBatch, match=f"batch {batch}"):
                Batch(batch).status()
    finally:
        for batch in ("damaged", "a-text"):
            system.redis.delete(system.key(f"b:{batch}"))
            system.redis.srem(system.key("living"), batch)
            system.redis.zrem(system.key("batches"), batch)


def test_a_job_that_does_not_say_what_to_run_fails_at_once_and_the_others_run(system: Store) -> None:
    submission = Submission("add", "default", "default", 4)
    system.submit([("says-nothing", b"{half"), ("says-no-code", b'{"args":{}}')], submission)
    assert add.delay(1).get(timeout=30) == 2
    for job_id in ("says-nothing", "says-no-code"):
        with pytest.raises(JobFailed, match=f"what Redis has of job {job_id} does not say what to run"):
            Job[int](job_id).get(timeout=30)
        assert job_id in [letter.job_id for letter in dlq.page().dead_letters]
        dlq.remove(job_id)


def test_a_damaged_dead_letter_keeps_no_other_from_being_replayed(system: Store, api_url: str) -> None:
    submission = Submission("add", "default", "default", 4)
    system.submit([("replayed", b'{"args":{}}'), ("written-over", b'{"args":{}}')], submission)
    both = ["written-over", "replayed"]
    for job_id in both:
        with pytest.raises(JobFailed):
            Job[int](job_id).get(timeout=30)
    system.redis.delete(system.key("j:written-over"))
    system.redis.set(system.key("j:written-over"), "mine")
    assert dlq.retry_many(both) == 1
    with pytest.raises(JobFailed):
        Job[int]("replayed").get(timeout=30)
    assert httpx.post(f"{api_url}/api/dlq/retry", json={"job_ids": both}).json() == {"job_ids": ["replayed"]}
    assert httpx.post(f"{api_url}/api/dlq/written-over/retry").status_code == 409
    with pytest.raises(JobFailed):
        Job[int]("replayed").get(timeout=30)
    for job_id in both:
        dlq.remove(job_id)


def test_a_job_whose_hash_is_missing_holds_up_no_other(system: Store, until: Callable[..., None]) -> None:
    job_tracker.pause("default")
    lost, found = add.delay(1), add.delay(2)
    system.redis.delete(system.key(f"j:{lost.id}"))
    job_tracker.resume("default")
    assert found.get(timeout=30) == 3
    until(lambda: system.redis.zscore(system.key("ready:default"), lost.id) is None)
    assert lost.id not in [status.job_id for status in job_tracker.list_jobs()]


def test_a_damaged_key_lets_nobody_in_and_keeps_nobody_out(bare_store: Store) -> None:
    secret, whole = KeyRing(bare_store).create("whole", ["read"], None)
    bare_store.redis.hset(bare_store.key("keys"), "odd", "{half")
    ring = KeyRing(bare_store, open_without=True)
    assert ring.caller(secret).key_id == whole.key_id
    bare_store.redis.hdel(bare_store.key("keys"), whole.key_id)
    ring = KeyRing(bare_store, open_without=True)
    assert not ring.is_open()
    with pytest.raises(AccessDenied):
        ring.caller(None)


def test_a_webhook_that_cannot_be_read_holds_up_no_other(bare_store: Store) -> None:
    bare_store.redis.zadd(bare_store.key("notices"), {"odd": 1, "gone complete 1 5": 2})
    notices = Notices(bare_store)
    notices.look()
    assert (notices.tell_one(), notices.tell_one()) == (True, False)
    assert bare_store.redis.zcard(bare_store.key("notices")) == 0


def test_an_entry_of_the_events_that_cannot_be_read_hides_no_other(bare_store: Store) -> None:
    for entry in ("T", "P soon a 50 text", "B 1 b RUNNING x y z w", "Q", "T QUEUED EXECUTING 1 a"):
        bare_store.redis.xadd(bare_store.key("events"), {"e": entry})
    bare_store.redis.xadd(bare_store.key("events"), {"other": "field"})
    bare_store.redis.set(bare_store.key("j:a"), "mine")
    rows = bare_store.redis.xrange(bare_store.key("events"))
    assert isinstance(rows, list)
    assert [event.job_id for event in EventReader(bare_store).events(rows)] == ["a"]
