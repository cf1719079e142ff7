"""What one flow or task can become: its steps, its dead letters, its memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.engine.tasks_for_bounds import all_of_it_fails, refuse_number, take_all_memory, too_many_steps
from ytray import JobFailed, dlq, job_tracker
from ytray.engine.base.model import JobState
from ytray.engine.jobs.flow import in_slices
from ytray.engine.jobs.task import Task
from ytray.engine.state.store import Store


def test_a_flow_of_failing_steps_is_one_dead_letter_and_one_alert(system: Store, until: Callable[..., None]) -> None:
    counted = int(system.redis.hget(system.key("m"), "dead") or 0)
    dead = {letter.job_id for letter in dlq.list_all()}
    job = all_of_it_fails.delay(steps=30)
    with pytest.raises(JobFailed, match="no "):
        job.get(timeout=60)
    until(lambda: all(step.current_state.has_ended for step in job_tracker.children(job.id)), 60)
    assert len(job_tracker.children(job.id)) == 30
    assert {letter.job_id for letter in dlq.list_all()} - dead == {job.id}
    assert int(system.redis.hget(system.key("m"), "dead") or 0) == counted + 1  # as the list of alerts grows
    dlq.remove(job.id)


def test_a_flow_has_no_more_living_steps_than_it_may(system: Store) -> None:
    job = too_many_steps.delay(steps=2_001)
    with pytest.raises(JobFailed, match="at most 2,000 steps that have not ended, and these would be 2,001"):
        job.get(timeout=60)
    assert job_tracker.children(job.id) == []
    dlq.remove(job.id)


def test_steps_in_slices_leave_other_flows_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    living, most, turns = 0, 0, 0

    async def step(number: int) -> int:
        nonlocal living
        await asyncio.sleep(0)
        living -= 1
        return number

    def delay(_: Task[..., int], number: int) -> object:
        nonlocal living, most
        living += 1
        most = max(most, living)
        return step(number)

    async def another_flow() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def both() -> list[int]:
        other = asyncio.create_task(another_flow())
        made = await in_slices(refuse_number, ({"number": number} for number in range(5_000)))
        other.cancel()
        return made

    monkeypatch.setattr(Task, "delay", delay)
    assert asyncio.run(both()) == list(range(5_000))
    assert most <= 500
    assert turns >= 5_000 / 20


def test_who_takes_all_memory_is_not_run_again(system: Store) -> None:
    job = take_all_memory.delay()
    with pytest.raises(JobFailed, match="MemoryError") as failed:
        job.get(timeout=60)
    assert failed.value.retry_count == 0
    assert job.status().current_state is JobState.FAILED
    dlq.remove(job.id)
