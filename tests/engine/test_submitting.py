"""What a submission accepts, refuses, and leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.tasks_for_tests import Size, add, add_slowly, double_size, huge, open_ended
from ytray import (
    IdempotencyConflict,
    InvalidArguments,
    Job,
    JobFailed,
    JobState,
    PayloadTooLarge,
    UnknownJob,
    dlq,
    job_tracker,
    task,
)
from ytray.engine.state.store import Store
from ytray.settings import settings


def jobs_of(store: Store, name: str) -> int:
    return store.redis.zcard(store.key(f"task:{name}"))


def test_a_plain_call_runs_here_as_the_function_it_is() -> None:
    assert add(2, b=3) == 5
    assert add.name == "add"


def test_a_submitted_job_gives_its_result_and_its_history(system: Store) -> None:
    job = add.delay(2, b=3)
    assert job.get(timeout=30) == 5
    moves = [(t.from_state, t.to_state) for t in job.history()]
    assert moves == [("PENDING", "QUEUED"), ("QUEUED", "EXECUTING"), ("EXECUTING", "COMPLETED")]
    status = job.status()
    assert status.current_state is JobState.COMPLETED
    assert status.result == 5
    assert status.progress == 100.0
    assert status.started_at is not None
    assert status.completed_at is not None
    assert status.created_at <= status.started_at <= status.completed_at
    assert Job(job.id).get(timeout=60) == 5


def test_models_travel_both_ways(system: Store) -> None:
    assert double_size.delay(Size(width=2, height=3)).get(timeout=30) == Size(width=4, height=6)
    assert double_size.delay(size={"width": 2, "height": 3}).get(timeout=30).width == 4


def test_extra_keywords_and_async_functions_work(system: Store) -> None:
    assert open_ended.delay(first=1, second=2).get(timeout=30) == {"first": 1, "second": 2}
    result: object = add_slowly.delay(1, 2).get(timeout=30)
    assert result == 3


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((), {}, "argument a: Field required"),
        (("two",), {}, "argument a: Input should be a valid integer"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((), {"a": 1, "c": 2}, "argument c: Extra inputs are not permitted"),
    ],
)
def test_bad_arguments_never_reach_a_queue(
    system: Store, args: tuple[object, ...], kwargs: dict[str, object], told: str
) -> None:
    before = jobs_of(system, "add")
    with pytest.raises(InvalidArguments, match=told):
        add.delay(*args, **kwargs)
    assert jobs_of(system, "add") == before


def test_unknown_options_suggest_the_right_one() -> None:
    with pytest.raises(InvalidArguments, match="did you mean 'priority'"):
        add.options(prioirty=3)
    with pytest.raises(InvalidArguments, match="did you mean 'media'"):
        add.options(queue="medai")
    with pytest.raises(InvalidArguments, match="0 to 9"):
        add.options(priority=10)


def test_arguments_over_the_limit_are_refused(system: Store) -> None:
    @task(name="long_text")
    def long_text(text: str) -> int:
        return len(text)

    with pytest.raises(PayloadTooLarge, match="put large data into a file"):
        long_text.delay("x" * settings().max_payload)


def test_a_result_over_the_limit_goes_to_the_dead_letter_queue(system: Store) -> None:
    job = huge.delay(settings().max_payload + 1)
    with pytest.raises(JobFailed, match="YTRAY_MAX_PAYLOAD") as failed:
        job.get(timeout=30)
    assert failed.value.retry_count == 0
    dlq.remove(job.id)


def test_a_parameter_without_a_name_is_refused_when_the_task_is_made() -> None:
    with pytest.raises(TypeError, match="no name to submit it by"):

        @task()
        def takes_many(*numbers: int) -> int:
            return sum(numbers)


def test_two_functions_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="two tasks are named 'add'"):

        @task(name="add")
        def other() -> None: ...


def test_map_submits_all_or_nothing(system: Store) -> None:
    jobs = add.map([{"a": n} for n in range(50)])
    assert [job.get(timeout=30) for job in jobs] == [n + 1 for n in range(50)]
    before = jobs_of(system, "add")
    with pytest.raises(InvalidArguments, match=r"item 2: .*nothing was submitted"):
        add.map([{"a": 1}, {"a": 2}, {"a": "x"}])
    assert jobs_of(system, "add") == before


def test_a_map_too_large_for_one_call_is_staged_and_committed_at_once(system: Store) -> None:
    job_tracker.pause("batch")
    jobs = add.options(queue="batch").map([{"a": n} for n in range(12_000)])
    assert len({job.id for job in jobs}) == 12_000
    assert system.redis.keys(system.key("stage:*")) == []
    assert system.redis.zcard(system.key("in:batch:QUEUED")) == 12_000
    pipe = system.redis.pipeline(transaction=False)
    for job in jobs:
        system.cancel(job.id, "test", 60)
    pipe.execute()
    job_tracker.resume("batch")


def test_metadata_and_user_belong_to_the_job(system: Store) -> None:
    job = add.delay(1, metadata={"genre": "comedy"}, user_id="user_123")
    job.get(timeout=30)
    assert job.status().metadata == {"genre": "comedy"}
    assert job.status().user_id == "user_123"
    assert job.id in [found.job_id for found in job_tracker.list_jobs(user_id="user_123")]


def test_the_same_key_and_arguments_are_the_same_job(system: Store) -> None:
    keyed = add.options(idempotency_key="k-1")
    first = keyed.delay(1)
    assert keyed.delay(1).id == first.id
    assert keyed.delay(a=1, b=1).id == first.id
    with pytest.raises(IdempotencyConflict, match=first.id):
        keyed.delay(2)
    assert add.options(idempotency_key="k-1", user_id="somebody else").delay(2).id != first.id
    assert first.status().idempotency_key == "k-1"


def test_a_submission_repeated_after_a_lost_reply_is_one_job(bare_store: Store) -> None:
    from ytray.engine.state.store import Submission

    what = Submission("add", "default", "default", 4)
    for _ in range(2):
        assert bare_store.submit([("job-1", b'{"code":"x","args":{}}')], what) == ["job-1"]
    assert bare_store.redis.zcard(bare_store.key("ready:default")) == 1
    assert len(bare_store.history("job-1")) == 1


def test_waiting_for_an_unknown_job_says_so(system: Store) -> None:
    with pytest.raises(UnknownJob, match="no job nothing-here"):
        Job("nothing-here").get(timeout=1)


def test_waiting_too_short_raises_and_leaves_the_job_alone(system: Store, tmp_path: Path) -> None:
    from tests.engine.tasks_for_tests import wait_for

    job = wait_for.delay(str(tmp_path), "gate")
    with pytest.raises(TimeoutError):
        job.get(timeout=0.05)
    (tmp_path / "gate").touch()
    assert job.get(timeout=30) == "gate"
