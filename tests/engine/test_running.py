"""Attempts, retries, limits, cancellation, progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.engine.tasks_for_tests import (
    add,
    fail_for_good,
    fail_slowly,
    fail_until,
    find_redis_away,
    parent_of_a_process,
    put_off,
    step_by_step,
    stubborn_sleeper,
    tidy_sleeper,
    times,
    wait_for,
)
from ytray import (
    InvalidTransition,
    JobCancelled,
    JobFailed,
    JobState,
    UnknownJob,
    dlq,
    job_tracker,
)
from ytray.engine.state.store import Store

Until = Callable[..., None]


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_failed_attempt_is_retried_and_counted(system: Store, tmp_path: Path) -> None:
    job = fail_until.delay(str(tmp_path), 3)
    assert job.get(timeout=30) == 3
    assert job.status().retry_count == 2
    states = [t.to_state for t in job.history()]
    assert states.count(JobState.RETRYING) == 2
    assert states[-1] is JobState.COMPLETED


def test_the_next_attempts_time_is_visible_with_its_jitter(system: Store, until: Until) -> None:
    job = fail_slowly.delay()
    until(lambda: job.status().current_state is JobState.RETRYING)
    status = job.status()
    assert status.next_retry_at is not None
    failed_at = next(t.at for t in job.history() if t.to_state is JobState.FAILED)
    assert 60.0 <= (status.next_retry_at - failed_at).total_seconds() <= 66.01
    assert status.error == "ValueError: not yet"
    job.cancel()
    with pytest.raises(JobCancelled):
        job.get(timeout=60)


def test_retries_end_in_the_dead_letter_queue_and_replay_restores_them(system: Store, tmp_path: Path) -> None:
    job = fail_until.delay(str(tmp_path), 4)
    with pytest.raises(JobFailed) as failed:
        job.get(timeout=30)
    assert failed.value.retry_count == 2
    assert "try 3 fails" in failed.value.error
    assert "fail_until" in failed.value.traceback
    letter = dlq.show(job.id)
    assert (letter.task_name, letter.args["succeed_at"], letter.retry_count) == ("fail_until", 4, 2)
    assert (letter.task_id, letter.error_message) == (letter.job_id, letter.error) == (job.id, failed.value.error)
    dlq.retry_task(job.id)
    assert job.get(timeout=30) == 4
    assert job.status().retry_count == 0
    with pytest.raises(UnknownJob, match="not in the dead-letter queue"):
        dlq.show(job.id)


def test_a_permanent_error_is_never_retried(system: Store, tmp_path: Path) -> None:
    job = fail_for_good.delay(str(tmp_path))
    with pytest.raises(JobFailed, match="this model does not exist"):
        job.get(timeout=30)
    assert times(tmp_path, "tries") == 1
    assert job.id in [letter.job_id for letter in dlq.list_all()]
    dlq.remove(job.id)
    assert job.id not in [letter.job_id for letter in dlq.list_all()]
    assert job.status().current_state is JobState.FAILED


def test_a_job_put_off_loses_no_attempt(system: Store, tmp_path: Path) -> None:
    job = put_off.delay(str(tmp_path))
    assert job.get(timeout=30) == 1
    assert job.status().retry_count == 0


def test_the_soft_limit_lets_a_task_tidy_up(system: Store, tmp_path: Path) -> None:
    job = tidy_sleeper.delay(str(tmp_path))
    with pytest.raises(JobFailed, match="SoftTimeLimitExceeded"):
        job.get(timeout=60)
    assert times(tmp_path, "tidied") == 3
    dlq.remove(job.id)


def test_the_hard_limit_kills_the_task_and_what_it_started(system: Store, tmp_path: Path) -> None:
    job = stubborn_sleeper.delay(str(tmp_path))
    with pytest.raises(JobFailed, match="TimeLimitExceeded"):
        job.get(timeout=60)
    assert times(tmp_path, "swallowed") >= 1
    assert not is_alive(int((tmp_path / "child").read_text()))
    dlq.remove(job.id)


def test_cancelling_a_running_job_stops_its_processes(system: Store, tmp_path: Path, until: Until) -> None:
    job = parent_of_a_process.delay(str(tmp_path))
    until((tmp_path / "child").exists)
    child = int((tmp_path / "child").read_text())
    assert is_alive(child)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.get(timeout=60)
    until(lambda: not is_alive(child))
    assert [t.to_state for t in job.history()][-1] is JobState.CANCELLED
    with pytest.raises(InvalidTransition, match="is CANCELLED"):
        job.cancel()


def test_a_worker_still_obeys_after_redis_was_away(system: Store, tmp_path: Path, until: Until) -> None:
    job = find_redis_away.delay(str(tmp_path))
    until(lambda: times(tmp_path, "away"))
    job.cancel()
    until(lambda: times(tmp_path, "left"))
    with pytest.raises(JobCancelled):
        job.get(timeout=60)


def test_delayed_and_queued_jobs_can_be_cancelled(system: Store) -> None:
    delayed = add.options(delay=60).delay(1)
    assert delayed.status().current_state is JobState.PENDING
    delayed.cancel()
    job_tracker.pause("default")
    queued = add.delay(1)
    queued.cancel()
    job_tracker.resume("default")
    for job in (delayed, queued):
        with pytest.raises(JobCancelled):
            job.get(timeout=60)
    assert system.redis.zscore(system.key("due"), delayed.id) is None


def test_a_delayed_job_waits_its_time(system: Store) -> None:
    job = add.options(delay=0.4).delay(1)
    assert job.status().current_state is JobState.PENDING
    assert job.get(timeout=30) == 2
    status = job.status()
    assert status.started_at is not None
    assert (status.started_at - status.created_at).total_seconds() >= 0.4


def test_progress_and_checkpoints_survive_a_failed_attempt(system: Store, tmp_path: Path) -> None:
    job = step_by_step.delay(str(tmp_path))
    assert job.get(timeout=30) == ["one", "two", "three"]
    assert [times(tmp_path, step) for step in ("one", "two", "three")] == [1, 1, 1]


def test_progress_is_seen_while_the_job_runs(system: Store, tmp_path: Path, until: Until) -> None:
    job = wait_for.delay(str(tmp_path), "gate")
    until(lambda: job.status().progress_message == "waiting for gate")
    assert job.status().progress == 50.0
    (tmp_path / "gate").touch()
    job.get(timeout=30)


def test_a_pause_holds_jobs_back_and_a_resume_lets_them_go(system: Store) -> None:
    job_tracker.pause("generation")
    job = add.options(queue="generation").delay(1)
    with pytest.raises(TimeoutError):
        job.get(timeout=0.3)
    (status,) = [queue for queue in job_tracker.queues() if queue.name == "generation"]
    assert (status.paused, status.depth) == (True, 1)
    job_tracker.resume("generation")
    assert job.get(timeout=30) == 2
