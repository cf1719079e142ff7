"""A job whose record in Redis is missing or damaged takes no other along: neither in the moves nor where one looks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from ytray import JobState
from ytray.engine.base.context import CurrentJob, enter_job
from ytray.engine.base.marks import mark_of
from ytray.engine.base.model import FLOW_LANE, JobStatus
from ytray.engine.run.flow_endings import Endings
from ytray.engine.run.flow_runner import marked_flows
from ytray.engine.state.store import LaneRoom, Store, Submission
from ytray.errors import DamagedJob, UnknownJob, YtrayError

ROOM = LaneRoom("default", 0, 10)
SPEC = b'{"code":"tests.engine.tasks_for_tests:add","args":{"a":1}}'
Damage = Callable[[Store, str], object]

DAMAGES: dict[str, Damage] = {
    "its hash is missing": lambda store, job_id: store.redis.delete(store.key(f"j:{job_id}")),
    "its hash is a text": lambda store, job_id: store.redis.set(store.key(f"j:{job_id}"), "mine"),
    "its state is unknown": lambda store, job_id: store.redis.hset(store.key(f"j:{job_id}"), "state", "SLEEPING"),
    "its queue is missing": lambda store, job_id: store.redis.hdel(store.key(f"j:{job_id}"), "queue"),
    "its time of creation is none": lambda store, job_id: store.redis.hset(store.key(f"j:{job_id}"), "created", "soon"),
    "its priority is none": lambda store, job_id: store.redis.hset(store.key(f"j:{job_id}"), "prio", "high"),
    "its fence is none": lambda store, job_id: store.redis.hset(store.key(f"j:{job_id}"), "fence", "tall"),
}
CANNOT_MOVE = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())


@pytest.fixture
def store(bare_store: Store) -> Store:
    bare_store.take_office("tracker", "e", 60)
    return bare_store


def submit(store: Store, *ids: str, delay_ms: int = 0) -> None:
    store.submit([(job_id, SPEC) for job_id in ids], Submission("add", "default", "default", 4, delay_ms=delay_ms))


def claim(store: Store, *, epoch: str = "e") -> list[str]:
    (jobs,) = store.claim("tracker", epoch, 60_000, [ROOM])
    return [job.job_id for job in jobs]


def listed(store: Store, kind: str) -> list[bytes]:
    return cast("list[bytes]", store.redis.zrange(store.key(kind), 0, -1))


@CANNOT_MOVE
def test_a_waiting_job_does_not_block_those_behind_it(store: Store, damage: Damage) -> None:
    submit(store, "a", "b", "c")
    damage(store, "a")
    damage(store, "b")
    assert claim(store) == ["c"]
    assert listed(store, "ready:default") == []
    assert listed(store, "leases:tracker") == [b"c"]
    assert store.redis.hget(store.key("m"), "unreadable") == b"2"


def test_however_many_jobs_are_missing_those_behind_them_are_claimed(store: Store) -> None:
    submit(store, *(f"gone-{number:02}" for number in range(25)), "there")
    for number in range(25):
        store.redis.delete(store.key(f"j:gone-{number:02}"))
    turns = 0
    while not (found := claim(store)):
        turns += 1
        assert store.blocking_pop(["wake:tracker"], 1) is not None, "nobody wakes the tracker for those behind"
    assert (found, turns) == (["there"], 2)


@CANNOT_MOVE
def test_a_running_job_does_not_keep_the_next_tracker_from_taking_office(store: Store, damage: Damage) -> None:
    submit(store, "a", "b")
    assert claim(store) == ["a", "b"]
    damage(store, "a")
    assert store.take_office("tracker", "f", 60) == 1
    assert claim(store, epoch="f") == ["b"]
    assert listed(store, "leases:tracker") == [b"b"]


@CANNOT_MOVE
def test_a_flow_that_awaits_a_job_does_not_end_the_runner_of_the_others(
    bare_store: Store, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ytray.engine.run.flow_endings._SWEEP_EVERY", 0.05)
    monkeypatch.setattr("ytray.engine.run.flow_endings._WORTH_TELLING", 0.05)
    bare_store.take_office("flows", "runner", 60)
    submit(bare_store, "step-a", "step-b")
    bare_store.submit([("a", SPEC), ("b", SPEC)], Submission("flows", "default", FLOW_LANE, 4))
    (flows,) = bare_store.claim("flows", "runner", 60_000, [LaneRoom(FLOW_LANE, 0, 2)], worker="runner")

    async def awaits(endings: Endings, flow: str) -> JobState:
        fences = {claimed.job_id: claimed.fence for claimed in flows}
        enter_job(CurrentJob(flow, "flows", fence=fences[flow], worker="runner", store=bare_store))
        return await endings.wait_for(f"step-{flow}")

    async def run() -> tuple[bool, list[bytes | None]]:
        endings = Endings(bare_store, "runner", threads)
        listening = asyncio.create_task(endings.listen())
        awaiting = [asyncio.create_task(awaits(endings, flow)) for flow in ("a", "b")]
        damage(bare_store, "a")
        deadline = time.monotonic() + 20
        while (told := bare_store.fields("b", "awaits")) == [None] and time.monotonic() < deadline:
            await asyncio.wait([listening], timeout=0.1)
        for task in (listening, *awaiting):
            task.cancel()
        return listening.done(), told

    with ThreadPoolExecutor(2) as threads:
        assert asyncio.run(run()) == (False, [b"waits for add step-b (QUEUED)"])


@CANNOT_MOVE
def test_whose_code_ended_the_flow_runner_is_found_beside_a_damaged_flow(bare_store: Store, damage: Damage) -> None:
    bare_store.take_office("flows", "runner", 60)
    bare_store.submit([("a", SPEC), ("b", SPEC)], Submission("flows", "default", FLOW_LANE, 4))
    bare_store.claim("flows", "runner", 60_000, [LaneRoom(FLOW_LANE, 0, 2)], worker="runner")
    damage(bare_store, "a")
    assert marked_flows(bare_store, {mark_of("b", 1)}) == [("b", 1, mark_of("b", 1))]


@CANNOT_MOVE
def test_a_lease_of_a_damaged_job_ends_as_others_do(store: Store, damage: Damage) -> None:
    submit(store, "a", "b")
    store.claim("tracker", "e", 1, [ROOM])
    damage(store, "a")
    reaped: list[tuple[str, int]] = []
    while len(reaped) < 2:
        reaped += store.reap("e", 10, 60)[1]
    assert dict(reaped) == {"a": -1, "b": 1}
    assert store.state("b") is JobState.QUEUED
    assert listed(store, "leases:tracker") == []


@CANNOT_MOVE
def test_a_delayed_job_does_not_hold_up_those_that_are_due_with_it(store: Store, damage: Damage) -> None:
    submit(store, "a", "b", delay_ms=1)
    damage(store, "a")
    moved = 0
    while moved < 2:
        moved += store.promote(10)[0]
    assert claim(store) == ["b"]
    assert listed(store, "due") == []


@CANNOT_MOVE
def test_its_neighbours_are_started_kept_and_committed(store: Store, damage: Damage) -> None:
    submit(store, "a", "b")
    (jobs,) = store.claim("tracker", "e", 60_000, [ROOM])
    held = [(job.job_id, job.fence) for job in jobs]
    damage(store, "a")
    fences = store.start("w", 60_000, 60, held)
    assert fences[1] == 1
    assert "b" not in store.beat("tracker", "w", 60_000, held)
    store.complete("w", 60, [("a", 1, b"1", 1.0), ("b", 1, b"2", 1.0)])
    assert store.state("b") is JobState.COMPLETED
    assert store.hand_back([("a", "*")], "its worker died", blame=True, result_ttl=60) == 0
    assert store.hand_over("w", [("a", 1)], "its node is drained", 60) == 0


@CANNOT_MOVE
def test_what_people_ask_of_it_is_refused_in_a_sentence(store: Store, damage: Damage) -> None:
    submit(store, "a")
    damage(store, "a")
    with pytest.raises((UnknownJob, DamagedJob), match="job a"):
        store.cancel("a", "why not", 60)


def test_a_flow_is_cancelled_though_a_step_of_it_is_damaged(store: Store) -> None:
    submit(store, "flow", "a", "b")
    store.redis.sadd(store.key("k:flow"), "a", "b")
    store.redis.set(store.key("j:a"), "mine")
    store.cancel("flow", "enough", 60)
    assert [store.state("flow"), store.state("b")] == [JobState.CANCELLED, JobState.CANCELLED]


@pytest.mark.parametrize("name", ["h:a", "k:a", "u:a", "sj:a", "events", "m"])
def test_a_key_that_somebody_wrote_over_stops_no_move(store: Store, name: str) -> None:
    store.redis.delete(store.key(name))
    submit(store, "a", "b")
    store.redis.set(store.key(name), "mine")
    (jobs,) = store.claim("tracker", "e", 60_000, [ROOM], worker="w")
    assert [job.job_id for job in jobs] == ["a", "b"]
    store.complete("w", 60, [("a", 1, b"1", 1.0), ("b", 1, b"2", 1.0)])
    assert store.states(["a", "b"]) == [JobState.COMPLETED, JobState.COMPLETED]


def test_a_queue_that_cannot_be_read_holds_up_no_other(store: Store) -> None:
    store.submit([("m", SPEC)], Submission("add", "media", "media", 4))
    store.redis.set(store.key("ready:default"), "mine")
    rooms = [ROOM, LaneRoom("media", 0, 10)]
    assert [[job.job_id for job in jobs] for jobs in store.claim("tracker", "e", 60_000, rooms)] == [[], ["m"]]


@pytest.mark.parametrize("name", ["ready:default", "in:default:QUEUED", "task:add"])
def test_a_submission_into_a_listing_that_somebody_wrote_over_changes_nothing(store: Store, name: str) -> None:
    store.redis.set(store.key(name), "mine")
    with pytest.raises(YtrayError, match="was written over by somebody"):
        submit(store, "a")
    assert store.states(["a"]) == [None]


def test_leases_that_somebody_wrote_over_leave_jobs_where_they_are(store: Store) -> None:
    submit(store, "a")
    store.redis.set(store.key("leases:tracker"), "mine")
    assert claim(store) == []
    assert store.state("a") is JobState.QUEUED
    store.redis.delete(store.key("leases:tracker"))
    assert claim(store) == ["a"]


def test_broken_notes_of_what_to_undo_keep_no_job_from_being_requeued(store: Store) -> None:
    submit(store, "a", "b")
    store.claim("tracker", "e", 60_000, [ROOM], worker="w")
    store.redis.hset(store.key("u:a"), mapping={"d1": "{half", "d2": "7"})
    assert store.take_office("tracker", "f", 60) == 2
    assert claim(store, epoch="f") == ["a", "b"]


# ---------------------------------------------------------------------------------------------- where one looks

SPEC_DAMAGES: dict[str, bytes] = {
    "is no JSON": b"{half",
    "is a list": b"[1]",
    "is too deep": b'{"args":{"x":' + b"[" * 230 + b"]" * 230 + b"}}",
    "has a number that is too long": b'{"args":{"x":1' + b"0" * 5000 + b"}}",
    "is no text": b"\xff\xfe",
}


def spoil(name: str, value: bytes | str) -> Damage:
    return lambda store, job_id: store.redis.hset(store.key(f"j:{job_id}"), name, value)


UNREADABLE: dict[str, Damage] = {
    **{what: damage for what, damage in DAMAGES.items() if "missing" not in what and "fence" not in what},
    **{f"its description {what}": spoil("spec", spec) for what, spec in SPEC_DAMAGES.items()},
    "its retries are none": spoil("retries", "some"),
    "its cost is none": spoil("cost", "dear"),
    "its progress is none": spoil("progress", "nan"),
    "its time of end is out of all bounds": spoil("ended", "1e40"),
}
CANNOT_BE_READ = pytest.mark.parametrize("damage", UNREADABLE.values(), ids=UNREADABLE.keys())


def failed(store: Store, *ids: str) -> None:
    """Jobs in the dead-letter queue."""
    submit(store, *ids)
    store.claim("tracker", "e", 60_000, [ROOM], worker="w")
    for job_id in ids:
        store.fail((job_id, 1), "w", "dead", "Oops: no", "", delay_ms=0, duration_ms=1, result_ttl=60)


@CANNOT_BE_READ
def test_one_unreadable_job_is_told_as_such_and_the_others_as_ever(store: Store, damage: Damage) -> None:
    failed(store, "a", "b")
    damage(store, "a")
    listed, _ = store.list_jobs()
    found = {status.job_id: status for status in listed}
    assert found.keys() == {"a", "b"}
    assert (found["a"].error or "").startswith("DamagedJob: ")
    assert found["b"].error == "Oops: no"
    assert store.status("a").error == store.statuses(["b", "a"])[1].error == found["a"].error
    assert (store.states(["a", "b"]), store.state("b")) == ([JobState.FAILED] * 2, JobState.FAILED)
    for status in listed:
        assert JobStatus.model_validate_json(status.model_dump_json()).job_id == status.job_id


@CANNOT_BE_READ
def test_one_unreadable_dead_letter_hides_no_other_and_can_be_removed(store: Store, damage: Damage) -> None:
    failed(store, "a", "b")
    damage(store, "a")
    letters = {letter.job_id: letter for letter in store.dead_letters()}
    assert letters.keys() == {"a", "b"}
    assert [letter.job_id for letter in store.dead_letters_after(None, 10)] == ["a", "b"]
    assert store.dead_letters(["a"])[0].job_id == "a"
    store.settle_dead_letter("a", "remove")
    store.settle_dead_letter("b", "retry")
    assert store.dead_letters() == []


def test_a_dead_letter_whose_job_is_missing_is_told_and_removed(store: Store) -> None:
    failed(store, "a", "b")
    store.redis.delete(store.key("j:a"))
    assert [(letter.job_id, letter.error) for letter in store.dead_letters()] == [
        ("a", "DamagedJob: its record is missing"),
        ("b", "Oops: no"),
    ]
    with pytest.raises(DamagedJob, match="job a cannot be read"):
        store.settle_dead_letter("a", "retry")
    assert len(store.dead_letters()) == 2
    store.settle_dead_letter("a", "remove")
    assert [letter.job_id for letter in store.dead_letters()] == ["b"]


def test_a_status_that_cannot_be_read_does_not_mix_up_the_answers_to_the_next(store: Store) -> None:
    submit(store, "a", "b")
    store.redis.set(store.key("j:a"), "mine")
    store.redis.lpush(store.key("r:a"), "mine")
    for _ in range(3):
        assert "DamagedJob: its record is no hash" in (store.status("a").error or "")
        assert store.status("b").job_id == "b"
        assert store.status("b").current_state is JobState.QUEUED


def test_a_broken_entry_of_a_history_is_told_among_the_others(store: Store) -> None:
    submit(store, "a")
    claim(store)
    store.redis.lset(store.key("h:a"), 0, "nothing of the kind")
    first, second = store.history("a")
    assert first.metadata == {"unreadable": "nothing of the kind"}
    assert (second.from_state, second.to_state) == (JobState.QUEUED, JobState.EXECUTING)
    store.redis.set(store.key("h:a"), "mine")
    with pytest.raises(DamagedJob, match="job a"):
        store.history("a")


def test_the_steps_of_a_flow_are_told_though_one_is_missing_and_one_damaged(store: Store) -> None:
    submit(store, "flow", "a", "b", "c")
    store.redis.sadd(store.key("k:flow"), "a", "b", "c")
    store.redis.delete(store.key("j:a"))
    store.redis.hset(store.key("j:b"), "spec", "{half")
    assert [status.job_id for status in store.children("flow")] == ["b", "c"]


def test_clean_up_deletes_what_cannot_be_read_and_goes_on(store: Store) -> None:
    submit(store, "a", "b", "c")
    store.claim("tracker", "e", 60_000, [ROOM], worker="w")
    store.complete("w", 60, [(job_id, 1, b"1", 1.0) for job_id in "abc"])
    store.redis.hset(store.key("j:a"), "state", "SLEEPING")
    store.redis.delete(store.key("j:b"))
    assert set(store.forget(["a", "b", "c"], 2**45, dry_run=False)) == {"a", "b", "c"}
    assert listed(store, "in:default:COMPLETED") == []


def test_numbers_that_json_does_not_know_are_told_as_none(store: Store) -> None:
    """Versions before wrote NaN into metadata and results."""
    submit(store, "a")
    store.redis.hset(store.key("j:a"), "spec", b'{"metadata":{"x":[NaN,1.5,-Infinity]},"args":{}}')
    assert store.status("a").metadata == {"x": [None, 1.5, None]}
