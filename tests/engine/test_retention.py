"""What is deleted when, and what is kept all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.tasks_for_tests import add, fail_for_good, sum_of_squares
from ytray import Job, JobFailed, JobState, ResultExpired, UnknownJob, dlq, job_tracker
from ytray.engine.retention import cleanup
from ytray.engine.store import Store
from ytray.settings import settings

Until = Callable[..., None]

LONG_AGO = 1_600_000_000_000  # Unix milliseconds


def make_old(store: Store, job_id: str) -> None:
    """As if the job had been made and had ended long ago."""
    status = store.status(job_id)
    store.redis.hset(store.key(f"j:{job_id}"), mapping={"ended": LONG_AGO, "created": LONG_AGO})
    store.redis.zadd(store.key(f"in:{status.queue}:{status.current_state}"), {job_id: LONG_AGO})


def test_a_clean_up_removes_what_is_old_and_only_that(system: Store) -> None:
    old, new = add.delay(1), add.delay(2)
    old.get(timeout=30)
    new.get(timeout=30)
    make_old(system, old.id)
    assert cleanup(dry_run=True).job_ids == (old.id,)
    assert old.status().current_state is JobState.COMPLETED
    assert cleanup().job_ids == (old.id,)
    with pytest.raises(UnknownJob):
        old.status()
    assert system.redis.keys(system.key(f"?:{old.id}")) == []
    assert new.status().result == 3


def test_a_clean_up_keeps_the_dead_letter_queue(system: Store, tmp_path: Path) -> None:
    job = fail_for_good.delay(str(tmp_path))
    with pytest.raises(JobFailed):
        job.get(timeout=30)
    make_old(system, job.id)
    assert cleanup().jobs_removed == 0
    dlq.remove(job.id)
    assert cleanup().job_ids == (job.id,)


def test_a_flows_steps_are_kept_as_long_as_the_flow(system: Store, tmp_path: Path) -> None:
    flow = sum_of_squares.delay(str(tmp_path), [1, 2])
    flow.get(timeout=30)
    steps = {step.job_id for step in job_tracker.children(flow.id)}
    for step in steps:
        make_old(system, step)
    assert cleanup().job_ids == ()
    make_old(system, flow.id)
    assert set(cleanup().job_ids) == {flow.id, *steps}


def test_a_cleaned_up_key_is_free_again(system: Store) -> None:
    keyed = add.options(idempotency_key="clean-me")
    first = keyed.delay(1)
    first.get(timeout=30)
    make_old(system, first.id)
    cleanup()
    assert keyed.delay(2).get(timeout=30) == 3


def test_results_are_kept_for_the_set_time_and_flows_steps_as_long_as_the_flow(system: Store, tmp_path: Path) -> None:
    flow = sum_of_squares.delay(str(tmp_path), [3])
    flow.get(timeout=30)
    (step,) = job_tracker.children(flow.id)
    for job_id in (flow.id, step.job_id):
        assert 0 < system.redis.ttl(system.key(f"r:{job_id}")) <= settings().result_ttl


def test_an_expired_result_is_named_as_such(system: Store, until: Until) -> None:
    job: Job[int] = add.delay(1)
    job.get(timeout=30)
    system.redis.pexpire(system.key(f"r:{job.id}"), 1)
    until(lambda: system.result(job.id) is None)
    with pytest.raises(ResultExpired, match="YTRAY_RESULT_TTL"):
        job.get(timeout=5)
    assert job.status().current_state is JobState.COMPLETED
