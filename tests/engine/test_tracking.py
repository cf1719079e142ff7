"""job_tracker as the contract shows it."""

from __future__ import annotations

import pytest

from tests.engine.tasks_for_tests import add
from ytray import InvalidTransition, Job, JobState, job_tracker
from ytray.engine.state.store import Store


def test_a_job_that_runs_elsewhere_is_tracked_as_the_contract_shows(system: Store) -> None:
    job_tracker.create_job("task-id-123", "generate_hook")
    job_tracker.update_state("task-id-123", JobState.EXECUTING)
    job_tracker.update_progress("task-id-123", 50)
    status = job_tracker.get_status("task-id-123")
    assert status.current_state == JobState.EXECUTING
    assert status.progress == 50.0
    moves = [(t.from_state, t.to_state) for t in job_tracker.get_history("task-id-123")]
    assert moves == [("PENDING", "QUEUED"), ("QUEUED", "EXECUTING")]
    job_tracker.update_state("task-id-123", "FAILED", {"why": "out of paper"})
    assert job_tracker.get_history("task-id-123")[-1].metadata == {"why": "out of paper"}
    assert "task-id-123" in [job.job_id for job in job_tracker.list_jobs(state=JobState.FAILED, limit=100)]
    with pytest.raises(InvalidTransition, match="exists already"):
        job_tracker.create_job("task-id-123", "generate_hook")
    with pytest.raises(InvalidTransition, match="only a job that is EXECUTING"):
        job_tracker.update_progress("task-id-123", 60)


def test_ytrays_own_jobs_cannot_be_moved_by_hand(system: Store) -> None:
    job = add.options(delay=60).delay(1)
    with pytest.raises(InvalidTransition, match="run by ytray"):
        job_tracker.update_state(job.id, JobState.QUEUED)
    job.cancel()


def test_times_are_rfc_3339_in_utc(system: Store) -> None:
    told = job_tracker.create_job("clock", "any").model_dump(mode="json")
    assert told["created_at"].endswith("Z")
    assert told["started_at"] is None


def test_listings_filter_and_are_newest_first(system: Store) -> None:
    jobs = [add.delay(n, user_id="lister") for n in range(5)]
    for job in jobs:
        job.get(timeout=30)
    newest_first = sorted((job.status() for job in jobs), key=lambda job: (job.created_at, job.job_id), reverse=True)
    assert job_tracker.list_jobs(user_id="lister", limit=3) == newest_first[:3]
    assert all(j.task_name == "add" for j in job_tracker.list_jobs(JobState.COMPLETED, task_name="add", limit=5))
    assert all(j.queue == "default" for j in job_tracker.list_jobs(queue="default", limit=5))


def test_pages_hold_each_job_once_even_when_all_were_made_in_one_millisecond(system: Store) -> None:
    later = add.options(user_id="reads-pages", delay=60)
    jobs = [later.delay(n) for n in range(3)] + later.map([{"a": n} for n in range(230)])
    page = job_tracker.page(user_id="reads-pages", limit=50)
    seen = [job.job_id for job in page.jobs]
    while page.next_cursor:
        newer = later.delay(0)  # shifts nothing that comes next
        jobs_left_listing = jobs.pop(0)
        jobs_left_listing.cancel()
        page = job_tracker.page(user_id="reads-pages", limit=50, cursor=page.next_cursor)
        seen += [job.job_id for job in page.jobs]
        newer.cancel()
        jobs.append(jobs_left_listing)
    assert sorted(seen) == sorted(job.id for job in jobs)
    for job in jobs:
        if not job.status().current_state.has_ended:
            job.cancel()


def test_a_listing_goes_on_from_a_job_that_has_left_it(system: Store) -> None:
    jobs = add.options(user_id="leaves-pages", delay=60).map([{"a": n} for n in range(9)])
    first = job_tracker.page(JobState.PENDING, task_name="add", user_id="leaves-pages", limit=4)
    Job[int](first.jobs[-1].job_id).cancel()
    names = ["in:default:PENDING"]
    place = system.indexed(names, 5)[4]
    assert place[1] not in (first.jobs[-1].job_id,)
    rest = job_tracker.page(JobState.PENDING, user_id="leaves-pages", limit=9, cursor=first.next_cursor)
    seen = {job.job_id for job in (*first.jobs, *rest.jobs)}
    assert seen == {job.id for job in jobs}
    for job_id in seen - {first.jobs[-1].job_id}:
        Job[int](job_id).cancel()
