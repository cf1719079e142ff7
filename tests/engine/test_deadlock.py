"""Tasks that wait for jobs which need the slots that they keep."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ytray import Deadlock
from ytray.engine.base.context import CurrentJob, enter_job
from ytray.engine.base.model import FLOW_LANE
from ytray.engine.state.deadlock import Standing, Waiting, deadlocked, told_ids
from ytray.engine.state.store import LaneRoom, Store, Submission

WORKER = "node-of-test:host:1:abc"


def running(queue: str, worker: str = WORKER) -> Standing:
    return Standing("EXECUTING", queue, worker, takes_slot=True)


def queued(queue: str) -> Standing:
    return Standing("QUEUED", queue, None, takes_slot=True)


def waits(queue: str, *ids: str, needs_all: bool = True, worker: str = WORKER) -> Waiting:
    return Waiting(queue, worker, ids, needs_all)


ONE = {"default": 1, "media": 1}
PARENT = {"parent": running("default")}


def test_a_task_that_waits_for_its_queues_only_slot_is_stuck() -> None:
    found = deadlocked({"parent": waits("default", "child")}, {**PARENT, "child": queued("default")}, ONE, ())
    assert found == {"parent": ("child", "default")}


@pytest.mark.parametrize(
    ("jobs", "slots", "drained"),
    [
        ({"child": queued("media")}, ONE, ()),
        ({"child": running("default", "another")}, ONE, ()),
        ({"child": Standing("COMPLETED", "default", None, takes_slot=True)}, ONE, ()),
        ({"child": Standing("QUEUED", "default", None, takes_slot=False)}, ONE, ()),
        ({"child": queued("default")}, {"default": 2}, ()),
        ({"child": queued("default")}, {"default": 0}, ()),  # none is held: a node may join
        ({"child": queued("default")}, ONE, ("node-of-test",)),  # its slot is not the one that is offered
        ({"child": queued("default"), "parent": running("default", "another")}, ONE, ()),  # it has begun anew elsewhere
        ({}, ONE, ()),
    ],
)
def test_a_wait_that_can_end_is_none(
    jobs: dict[str, Standing], slots: dict[str, int], drained: tuple[str, ...]
) -> None:
    assert deadlocked({"parent": waits("default", "child")}, {**PARENT, **jobs}, slots, drained) == {}


def test_a_task_is_stuck_by_what_the_job_that_it_waits_for_waits_for() -> None:
    jobs = {**PARENT, "child": running("media", "another"), "grandchild": queued("default")}
    said = {"parent": waits("default", "child"), "child": waits("media", "grandchild", worker="another")}
    assert set(deadlocked(said, jobs, ONE, ())) == {"parent", "child"}
    assert deadlocked({"parent": said["parent"]}, jobs, ONE, ()) == {}


def flow_awaiting(*ids: str) -> Standing:
    return Standing("EXECUTING", "batch", "flows:1", takes_slot=False, awaited=ids)


@pytest.mark.parametrize(
    "jobs",
    [
        {"flow": flow_awaiting("step"), "step": queued("default")},
        {"flow": flow_awaiting("inner", "step"), "inner": flow_awaiting("step"), "step": queued("default")},
    ],
)
def test_a_task_that_waits_for_a_flow_waits_for_what_that_awaits(jobs: dict[str, Standing]) -> None:
    assert deadlocked({"parent": waits("default", "flow")}, {**PARENT, **jobs}, ONE, ()) == {
        "parent": ("step", "default")
    }


@pytest.mark.parametrize(
    "jobs",
    [
        {"flow": flow_awaiting(), "step": queued("default")},
        {"flow": flow_awaiting("step"), "step": queued("media")},
        {"flow": flow_awaiting("step", "other"), "step": queued("default"), "other": queued("media")},  # or for any
        {"flow": flow_awaiting("step"), "step": running("default", "another")},
        {"flow": flow_awaiting("inner"), "inner": Standing("EXECUTING", "batch", "flows:1", takes_slot=False)},
    ],
)
def test_a_flow_that_can_go_on_stops_nobody(jobs: dict[str, Standing]) -> None:
    assert deadlocked({"parent": waits("default", "flow")}, {**PARENT, **jobs}, ONE, ()) == {}


def test_who_waits_for_any_of_several_jobs_is_stuck_only_when_all_are() -> None:
    jobs = {**PARENT, "stuck": queued("default"), "free": queued("media")}
    assert deadlocked({"parent": waits("default", "stuck", "free", needs_all=False)}, jobs, ONE, ()) == {}
    assert set(deadlocked({"parent": waits("default", "stuck", "free")}, jobs, ONE, ())) == {"parent"}


@pytest.fixture
def one_slot(bare_store: Store) -> Iterator[Store]:
    """A store whose only slot of the queue default is held by this test, as the job `parent`; `child` waits for it."""
    bare_store.redis.hset(bare_store.key("slots"), mapping={"default": 1, "media": 1})
    bare_store.take_office("tracker", "test", 60)
    bare_store.submit([("parent", b"{}")], Submission("parents", "default", "default", 4))
    ((job,),) = bare_store.claim("tracker", "test", 60_000, [LaneRoom("default", 1, 1)])
    bare_store.start(WORKER, 60_000, 60, [(job.job_id, job.fence)])
    bare_store.submit([("child", b"{}")], Submission("children", "default", "default", 4))
    enter_job(CurrentJob("parent", "parents", worker=WORKER, store=bare_store))
    yield bare_store
    enter_job(None)
    bare_store.close()


def test_a_task_that_waits_for_its_own_slot_is_told_at_once_what_to_do(one_slot: Store) -> None:
    begun = time.monotonic()
    with pytest.raises(Deadlock, match=r"job child.*queue default.*only slot.*YTRAY_SLOTS_DEFAULT"):
        one_slot.wait_until_ended("child", 30)
    assert time.monotonic() - begun < 15
    assert one_slot.redis.hlen(one_slot.key("waits")) == 0


def test_a_task_that_waits_for_a_batch_whose_items_need_its_slot_is_told_at_once(one_slot: Store) -> None:
    one_slot.redis.hset(one_slot.key("b:batch"), mapping={"state": "RUNNING"})
    one_slot.submit([("elsewhere", b"{}")], Submission("children", "media", "media", 4))
    one_slot.redis.sadd(one_slot.key("ba:batch"), "elsewhere")
    with pytest.raises(TimeoutError):
        next(one_slot.endings(["batch"], 1, "b"))
    one_slot.redis.sadd(one_slot.key("ba:batch"), "child")
    with pytest.raises(Deadlock, match=r"waits for job child.*queue default.*only slot"):
        next(one_slot.endings(["batch"], 30, "b"))


def test_a_task_may_wait_for_another_queue(one_slot: Store) -> None:
    one_slot.submit([("elsewhere", b"{}")], Submission("children", "media", "media", 4))
    with pytest.raises(TimeoutError):
        one_slot.wait_until_ended("elsewhere", 0.5)


def test_a_task_that_waits_for_a_flow_of_its_own_queue_is_told(
    one_slot: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ytray.engine.state.deadlock._EVERY", 0.2)
    monkeypatch.setattr("ytray.engine.state.deadlock._FRESH", 0.5)
    steps = ["flow.1", "flow2"]
    one_slot.submit([(step, b"{}") for step in steps], Submission("steps", "default", "default", 4))
    one_slot.take_office("flows", "runner", 60)
    one_slot.submit([("flow", b"{}")], Submission("flows", "default", FLOW_LANE, 4))
    ((flow,),) = one_slot.claim("flows", "runner", 60_000, [LaneRoom(FLOW_LANE, 0, 1)], worker="runner")
    awaited = told_ids(flow.job_id, flow.fence, [*steps, "child"])
    assert one_slot.note((flow.job_id, flow.fence), "runner", "awaits", "waits for children child (QUEUED)", awaited)
    with pytest.raises(Deadlock, match=r"waits, through a flow, for job flow.1, .*queue default.*only slot"):
        one_slot.wait_until_ended("flow", 30)
    # What an earlier run of the flow awaited does not count.
    one_slot.redis.hincrby(one_slot.key("j:flow"), "fence", 1)
    with pytest.raises(TimeoutError):
        one_slot.wait_until_ended("flow", 1.5)
