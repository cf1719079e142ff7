"""Order of claims: priority, ageing, and what a tracker out of office may still do."""

from __future__ import annotations

import threading

import pytest

from ytray.engine.cluster.capacity import Slots
from ytray.engine.state.link import Deposed
from ytray.engine.state.store import LaneRoom, Store, Submission

SPEC = b'{"code":"x","args":{}}'


def submit(store: Store, job_id: str, priority: int, task: str = "noop") -> None:
    store.submit([(job_id, SPEC)], Submission(task, "media", "media", priority))


def claim(store: Store, short: int, long: int, short_tasks: tuple[str, ...] = ()) -> list[str]:
    rooms = [LaneRoom("media", short, long)]
    return [job.job_id for job in store.claim("tracker", "e", 60_000, rooms, short_tasks=short_tasks)[0]]


def test_higher_priority_goes_first_and_equals_go_in_order(bare_store: Store) -> None:
    bare_store.take_office("tracker", "e", 60)
    for job_id, priority in (("a", 1), ("b", 9), ("c", 4), ("d", 9)):
        submit(bare_store, job_id, priority)
    assert claim(bare_store, 0, 9) == ["b", "d", "c", "a"]


def test_a_low_priority_job_is_not_starved(bare_store: Store) -> None:
    bare_store.take_office("tracker", "e", 60)
    submit(bare_store, "patient", 0)
    # Nine minutes and a second later: one minute of waiting is worth one step of priority.
    bare_store.redis.zincrby(bare_store.key("ready:media"), -(9 * 60_000 + 1000), "patient")
    submit(bare_store, "urgent", 9)
    assert claim(bare_store, 0, 1) == ["patient"]


def test_short_jobs_are_claimed_together_and_others_apart(bare_store: Store) -> None:
    bare_store.take_office("tracker", "e", 60)
    for job_id, task in (("a", "quick"), ("b", "quick"), ("c", "slow"), ("d", "quick")):
        submit(bare_store, job_id, 4, task)
    assert claim(bare_store, 64, 1, ("quick",)) == ["a", "b"]
    assert claim(bare_store, 64, 1, ("quick",)) == ["c"]
    assert claim(bare_store, 64, 1, ("quick",)) == ["d"]


def test_a_job_that_crashed_its_worker_is_claimed_alone(bare_store: Store) -> None:
    bare_store.take_office("tracker", "e", 60)
    for job_id in ("a", "b"):
        submit(bare_store, job_id, 4, "quick")
    rooms = [LaneRoom("media", 64, 1)]
    ((first, second),) = bare_store.claim("tracker", "e", 60_000, rooms, short_tasks=["quick"])
    bare_store.start("w1", 60_000, 60, [(first.job_id, first.fence), (second.job_id, second.fence)])
    bare_store.hand_back([("a", "*")], "its worker died", blame=True, result_ttl=60)
    bare_store.hand_back([("b", "*")], "never ran", blame=False, result_ttl=60)
    assert claim(bare_store, 64, 1, ("quick",)) == ["a"]


def test_a_tracker_out_of_office_claims_nothing(bare_store: Store) -> None:
    bare_store.take_office("tracker", "e", 60)
    submit(bare_store, "a", 4)
    assert claim(bare_store, 0, 1) == ["a"]
    bare_store.take_office("tracker", "successor", 60)
    with pytest.raises(Deposed):
        claim(bare_store, 0, 1)
    assert bare_store.state("a") == "QUEUED"
    assert bare_store.history("a")[-1].metadata["reason"] == "the tracker actor was restarted"


def test_a_schedule_fires_once_for_each_due_time(bare_store: Store, home: object) -> None:
    from datetime import UTC, datetime, timedelta

    from ytray.engine.control.schedule import Schedule

    now = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    first, second = Schedule(bare_store, lambda: now), Schedule(bare_store, lambda: now)
    assert first.submit_due() == pytest.approx(1.0)
    now += timedelta(seconds=2)
    first.submit_due()
    second.submit_due()
    assert bare_store.redis.zrange(bare_store.key("ready:batch"), 0, -1) == [b"cleanup_old_results-20270101T000000"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.0004, 0.001, 0.0011, 0.0019, 0.01])
def test_however_short_a_wait_is_it_ends(seconds: float, bare_store: Store) -> None:
    for _ in range(5):
        assert bare_store.blocking_pop(["nothing"], seconds) is None


def test_the_slots_are_looked_at_again_whatever_went_wrong() -> None:
    class Failing(Slots):
        def look(self) -> tuple[dict[str, int], frozenset[str]]:
            looks.append(None)
            if len(looks) == 1:
                raise KeyError("something that nobody thought of")
            return {"media": 4}, frozenset()

    looks: list[None] = []
    changed = threading.Event()
    slots = Failing(changed.set)
    assert changed.wait(60)
    assert slots.known == {"media": 4}
