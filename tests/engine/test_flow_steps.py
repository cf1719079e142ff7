"""The places of a flow's steps: the same in every run, whatever ends first and whatever arguments look like."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from hashlib import sha256
from typing import Any

import pytest

from tests.engine.tasks_for_tests import counted
from ytray.engine.base.marks import Marks, last_marks, mark_of
from ytray.engine.run.steps import Recorded, Steps, digest_of, recorded_steps, start_branch
from ytray.engine.state.store import LaneRoom, Store, Submission
from ytray.errors import InvalidTransition

TTL = 60


def run(steps: Steps, flow: Coroutine[Any, Any, Any]) -> Any:
    async def entered() -> Any:
        asyncio.get_running_loop().set_task_factory(start_branch)
        steps.enter()
        return await flow

    return asyncio.run(entered())


def places_of_two_branches(first_turns: int, second_turns: int) -> dict[str, list[str]]:
    steps = Steps("f")
    found: dict[str, list[str]] = {"first": [], "second": []}

    async def branch(name: str, turns: int) -> None:
        for _ in range(2):
            for _ in range(turns):
                await asyncio.sleep(0)
            found[name].append(steps.id_of("resize", b'{"name":"%s","turns":%d}' % (name.encode(), turns)))

    async def flow() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(branch("first", first_turns))
            group.create_task(branch("second", second_turns))
        await asyncio.gather(branch("first", first_turns), asyncio.wait_for(branch("second", second_turns), 60))

    run(steps, flow())
    return found


def test_branches_that_run_side_by_side_have_the_same_places_whoever_is_first() -> None:
    found = places_of_two_branches(1, 9)
    assert found == places_of_two_branches(9, 1)
    ids = found["first"] + found["second"]
    assert len(set(ids)) == len(ids) == 8


def recorded(steps: Steps, arguments: list[bytes]) -> list[Recorded]:
    return [Recorded(steps.id_of("resize", one), "resize", digest_of(one)) for one in arguments]


def test_a_run_with_other_arguments_finds_the_steps_of_the_run_before_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr("ytray.engine.run.steps._log.warning", lambda text, **_: told.append(text))
    before = recorded(Steps("f"), [b'{"at":1}', b'{"at":2}'])
    again = Steps("f", before)
    assert [again.id_of("resize", b'{"at":8}'), again.id_of("resize", b'{"at":9}')] == [step.id for step in before]
    assert len(told) == 1
    assert "other arguments" in told[0]
    assert again.id_of("resize", b'{"at":3}') not in {step.id for step in before}


def test_a_step_is_found_by_its_arguments_where_the_code_before_it_has_changed() -> None:
    before = recorded(Steps("f"), [b'{"name":"a","tags":[1]}', b'{"name":"b","tags":[2]}'])
    again = Steps("f", before)
    assert again.id_of("resize", b'{"tags":[2],"name":"b"}') == before[1].id
    assert again.id_of("resize", b'{"tags":[1],"name":"a"}') == before[0].id
    new = again.id_of("resize", b'{"name":"c","tags":[]}')
    assert new not in {step.id for step in before}


def test_steps_of_the_version_before_are_found_by_the_names_that_it_gave(bare_store: Store) -> None:
    flow_id, arguments = "old", b'{"folder":"x","name":"y","value":1}'
    digest = sha256(b"counted\0" + arguments).hexdigest()[:16]
    names = [f"{flow_id}.{digest}", f"{flow_id}.{digest}-2"]
    bare_store.submit([(flow_id, b'{"code":"x","args":{}}')], Submission("f", "default", "~flow", 4))
    bare_store.take_office("flows", "e", TTL)
    bare_store.claim("flows", "e", 60_000, [LaneRoom("~flow", 0, 1)], worker="e")
    for name in names:
        step = (name, b'{"code":"x","args":' + arguments + b"}")
        bare_store.submit([step], Submission("counted", "default", "default", 4, parent=flow_id))
    again = Steps(flow_id, recorded_steps(bare_store, flow_id))
    assert [again.id_of("counted", arguments) for _ in range(2)] == names
    assert again.id_of("counted", arguments) not in names


def test_a_map_of_steps_of_which_some_are_there_makes_the_others(bare_store: Store) -> None:
    bare_store.submit([("f", b'{"code":"x","args":{}}')], Submission("f", "default", "~flow", 4))
    bare_store.take_office("flows", "e", TTL)
    bare_store.claim("flows", "e", 60_000, [LaneRoom("~flow", 0, 1)], worker="e")
    what = Submission("counted", "default", "default", 4, parent="f")
    spec = b'{"code":"x","args":{}}'
    assert bare_store.submit([("f.b", spec)], what) == ["f.b"]
    assert bare_store.submit([(f"f.{name}", spec) for name in "abc"], what) == ["f.a", "f.b", "f.c"]
    assert len(bare_store.children("f")) == 3
    assert all(len(bare_store.history(f"f.{name}")) == 1 for name in "abc")


def flow_in_flight(store: Store, job_id: str, epoch: str, lease_ms: int = 60_000) -> int:
    """Submit a flow unless it is there, and claim it; returns its fence."""
    if not store.redis.exists(store.key(f"j:{job_id}")):
        store.submit([(job_id, b'{"code":"x","args":{}}')], Submission("f", "default", "~flow", 4))
    ((claimed,),) = store.claim("flows", epoch, lease_ms, [LaneRoom("~flow", 0, 1)], worker=epoch)
    assert claimed.job_id == job_id
    return claimed.fence


def stored(store: Store, job_id: str) -> tuple[str, int]:
    state, crashes = store.fields(job_id, "state", "crashes")
    return (state or b"").decode(), int(crashes or 0)


def test_three_ends_of_its_process_end_a_flow_and_leave_the_others_unblamed(bare_store: Store) -> None:
    bare_store.take_office("flows", "e0", TTL)
    for number in range(3):
        guilty = flow_in_flight(bare_store, "guilty", f"e{number}")
        flow_in_flight(bare_store, "other", f"e{number}")
        bare_store.take_office("flows", f"e{number + 1}", TTL, [("guilty", guilty, 1)])
    assert stored(bare_store, "guilty") == ("FAILED", 3)
    assert stored(bare_store, "other") == ("QUEUED", 0)
    error, suspect = bare_store.fields("guilty", "error", "suspect")
    assert b"died 3 times" in (error or b"")
    assert suspect == b"1", "it runs alone, should somebody replay it"
    assert bare_store.fields("other", "suspect") == [None]


def test_the_tracker_reaps_flows_and_blames_those_alone_that_run_alone(bare_store: Store, until: Any) -> None:
    bare_store.take_office("flows", "e", TTL)
    bare_store.take_office("tracker", "t", TTL)
    fence = flow_in_flight(bare_store, "one", "e", lease_ms=1)
    until(lambda: bare_store.reap("t", 10, TTL)[1:] == ([("one", fence)], 1))
    assert stored(bare_store, "one") == ("QUEUED", 0)
    assert bare_store.complete("e", TTL, [("one", fence, b"1", 1.0)]) == 1, "a stale runner commits nothing"
    bare_store.redis.hset(bare_store.key("j:one"), "suspect", 1)
    flow_in_flight(bare_store, "one", "e", lease_ms=1)
    until(lambda: bare_store.reap("t", 10, TTL)[2] == 1)
    assert stored(bare_store, "one") == ("QUEUED", 1)


def test_marks_outlive_their_process_and_are_believed_of_the_last_runner_alone(tmp_path: Any) -> None:
    path = tmp_path / "home" / "flows.marks"
    marks = Marks(path, "first")
    marks.set_loop(mark_of("a", 1))
    place = marks.set_thread(mark_of("b", 2))
    marks.set_thread(mark_of("c", 1))
    marks.clear_thread(place)
    told = last_marks(path, "first")
    assert told.loop == mark_of("a", 1)
    assert told.threads == {mark_of("c", 1)}
    assert 0 <= told.lived < 60
    assert last_marks(path, "another").loop is None
    marks.clear_loop()
    assert last_marks(path, "first").loop is None
    marks.disown()
    assert last_marks(path, "first").threads == set()
    Marks(path, "second")
    marks.set_loop(mark_of("a", 1))
    assert last_marks(path, "second").loop is None, "who was deposed marks no file of its successor"


def test_a_flow_that_has_ended_submits_no_steps(bare_store: Store) -> None:
    bare_store.submit([("f", b'{"code":"x","args":{}}')], Submission("f", "default", "~flow", 4))
    what = Submission(counted.name, "default", "default", 4, parent="f")
    with pytest.raises(InvalidTransition, match="no longer running"):
        bare_store.submit([("f.a", b'{"code":"x","args":{}}')], what)
