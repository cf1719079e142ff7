"""Fences: who lost a job can change nothing of it any more, and is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ytray.engine.state.store import LaneRoom, Store, Submission

Write = Callable[[Store, int], object]

STALE_WRITES: dict[str, Write] = {
    "a result": lambda store, fence: store.complete("first", 60, [("job", fence, b"1", 5.0)]),
    "a failure to retry": lambda store, fence: fail(store, fence, "retry"),
    "a failure put off": lambda store, fence: fail(store, fence, "defer"),
    "a failure for good": lambda store, fence: fail(store, fence, "dead"),
    "progress": lambda store, fence: store.note(("job", fence), "first", "progress", "99", "nearly"),
    "a checkpoint": lambda store, fence: store.note(("job", fence), "first", "checkpoint", b"{}"),
}


def fail(store: Store, fence: int, what: str) -> bool:
    return store.fail(("job", fence), "first", what, "E: late", "tb", delay_ms=1000, duration_ms=5, result_ttl=60)


def lease(store: Store, worker: str) -> int:
    """Claim the one job there is, and take it up; returns its fence."""
    ((claimed,),) = store.claim("tracker", "e", 60_000, [LaneRoom("default", 0, 1)])
    (fence,) = store.start(worker, 60_000, 60, [(claimed.job_id, claimed.fence)])
    return fence


def everything_but_counters(store: Store) -> dict[str | bytes, bytes | None]:
    return {name: store.redis.dump(name) for name in store.redis.keys("*") if name != store.key("m").encode()}


@pytest.fixture
def leased_twice(bare_store: Store) -> tuple[Store, int]:
    """A job that worker `first` had under the fence given, and that worker `second` has now."""
    bare_store.take_office("tracker", "e", 60)
    bare_store.submit([("job", b'{"code":"x","args":{}}')], Submission("noop", "default", "default", 4))
    old = lease(bare_store, "first")
    bare_store.hand_back([("job", old)], "its lease ended", blame=True, result_ttl=60)
    assert lease(bare_store, "second") == old + 1
    return bare_store, old


@pytest.mark.parametrize("what", STALE_WRITES)
def test_a_late_write_of_a_lost_job_changes_nothing(leased_twice: tuple[Store, int], what: str) -> None:
    store, old = leased_twice
    before = everything_but_counters(store)
    STALE_WRITES[what](store, old)
    assert everything_but_counters(store) == before
    assert store.redis.hget(store.key("m"), "stale") == b"1"


@pytest.mark.parametrize("what", STALE_WRITES)
def test_the_right_fence_in_another_workers_hand_changes_nothing(leased_twice: tuple[Store, int], what: str) -> None:
    store, old = leased_twice
    before = everything_but_counters(store)
    STALE_WRITES[what](store, old + 1)
    assert everything_but_counters(store) == before


def test_handing_back_under_an_old_fence_changes_nothing(leased_twice: tuple[Store, int]) -> None:
    store, old = leased_twice
    before = everything_but_counters(store)
    assert store.hand_back([("job", old)], "late news", blame=True, result_ttl=60) == 0
    assert everything_but_counters(store) == before


def test_a_heartbeat_tells_who_lost_a_job_and_keeps_the_new_lease(leased_twice: tuple[Store, int]) -> None:
    store, old = leased_twice
    lease_before = store.redis.zscore(store.key("leases:tracker"), "job")
    assert store.beat("tracker", "first", 600_000, [("job", old)]) == ["job"]
    assert store.redis.zscore(store.key("leases:tracker"), "job") == lease_before


def test_a_commit_repeated_after_a_lost_reply_is_one_commit(leased_twice: tuple[Store, int]) -> None:
    store, old = leased_twice
    outcome = [("job", old + 1, b"42", 5.0)]
    assert store.complete("second", 60, outcome) == 0
    history = store.history("job")
    assert store.complete("second", 60, outcome) == 0
    assert store.history("job") == history
    assert store.result("job") == b"42"


def test_a_start_after_a_crash_that_is_repeated_is_the_same_start(bare_store: Store) -> None:
    bare_store.take_office("tracker", "e", 60)
    bare_store.submit([("job", b"{}")], Submission("noop", "default", "default", 4))
    assert lease(bare_store, "first") == 1
    for _ in range(2):  # Ray starts the task once more elsewhere; then the reply is lost
        assert bare_store.start("second", 60_000, 60, [("job", 1)]) == [2]
    assert bare_store.redis.hget(bare_store.key("j:job"), "crashes") == b"1"
    assert bare_store.start("first", 60_000, 60, [("job", 1)]) == [0]
    assert bare_store.complete("second", 60, [("job", 2, b"1", 5.0)]) == 0
    assert bare_store.start("second", 60_000, 60, [("job", 1)]) == [0]


def test_a_job_that_kills_its_worker_three_times_is_a_dead_letter(leased_twice: tuple[Store, int]) -> None:
    store, _ = leased_twice
    for worker in ("second", "third"):
        store.hand_back([("job", "*")], "its worker died", blame=True, result_ttl=60)
        if store.state("job") == "QUEUED":
            lease(store, worker)
    (letter,) = store.dead_letters(["job"])
    assert "the worker died 3 times" in letter.error


def test_a_restarted_redis_that_forgot_the_scripts_is_told_them_again(bare_store: Store) -> None:
    bare_store.pause("media", paused=True)  # leaves an open connection behind
    bare_store.redis.script_flush()
    bare_store.redis.client_kill_filter(_type="normal", skipme=True)
    bare_store.pause("media", paused=False)
    assert bare_store.redis.scard(bare_store.key("paused")) == 0
