"""Flows: steps side by side, results reused, failures replayed, cancellation handed down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.tasks_for_tests import (
    awaits_later,
    ends_badly,
    gets_instead_of_awaiting,
    may_break,
    stamps,
    sum_of_squares,
    times,
    two_then_gate,
)
from ytray import InvalidArguments, Job, JobCancelled, JobFailed, JobState, dlq, flow, job_tracker
from ytray.engine.base.model import FLOW_LANE
from ytray.engine.state.deadlock import told_ids
from ytray.engine.state.store import Store, Submission

Until = Callable[..., None]


def test_steps_run_side_by_side_and_are_children_of_the_flow(system: Store, tmp_path: Path) -> None:
    job = sum_of_squares.delay(str(tmp_path), [1, 2, 3, 4])
    assert job.get(timeout=30) == 30
    steps = job_tracker.children(job.id)
    assert len(steps) == 4
    assert all(step.parent_id == job.id and step.current_state is JobState.COMPLETED for step in steps)
    assert job.status().queue == "default"


def test_a_flow_holds_no_slot_while_it_waits(system: Store, tmp_path: Path, until: Until) -> None:
    # More flows than the queue has slots, all waiting for a step that only runs when a slot is free.
    jobs = [two_then_gate.delay(str(_made(tmp_path / str(number)))) for number in range(3)]
    until(lambda: all(times(tmp_path / str(number), "started-gate") for number in range(3)), 40)
    for number in range(3):
        (tmp_path / str(number) / "gate").touch()
    assert [job.get(timeout=30) for job in jobs] == ["12gate3"] * 3


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_replaying_a_failed_flow_runs_only_the_failed_step_again(system: Store, tmp_path: Path) -> None:
    broken = tmp_path / "breaking-is-broken"
    broken.touch()
    job = may_break.delay(str(tmp_path))
    with pytest.raises(JobFailed, match="breaking is broken"):
        job.get(timeout=30)
    mine = {job.id, *(step.job_id for step in job_tracker.children(job.id))}
    dead = [letter for letter in dlq.list_all() if letter.job_id in mine]
    assert sorted(letter.task_name for letter in dead) == ["may_break"]
    broken.unlink()
    dlq.retry_task(job.id)
    assert job.get(timeout=30) == "beforebreaking"
    assert (times(tmp_path, "before"), times(tmp_path, "breaking")) == (1, 2)
    assert not [letter for letter in dlq.list_all() if letter.job_id in mine]


def test_cancelling_a_flow_cancels_its_steps(system: Store, tmp_path: Path, until: Until) -> None:
    job = two_then_gate.delay(str(tmp_path))
    until(lambda: times(tmp_path, "started-gate"))
    job.cancel()
    with pytest.raises(JobCancelled):
        job.get(timeout=60)
    states = {step.task_name: step.current_state for step in job_tracker.children(job.id)}
    assert states == {"counted": JobState.COMPLETED, "wait_for": JobState.CANCELLED}


def test_a_flow_must_be_async() -> None:
    with pytest.raises(TypeError, match="must be an async function"):

        @flow()  # type: ignore[arg-type]
        def not_async() -> None: ...


def test_a_flows_arguments_are_checked_too(system: Store) -> None:
    with pytest.raises(InvalidArguments, match=r"argument numbers\.0"):
        sum_of_squares.delay("folder", ["many"])


def test_a_flow_ends_as_failed_whatever_it_raises(system: Store) -> None:
    expected = {
        "exit": "SystemExit: no input",
        "exit in a branch": "SystemExit: no input",
        "exit of a task that nobody awaits": "SystemExit: no input",
        "interrupt": "KeyboardInterrupt",
        "panic": "Panic: boom",
        "own cancelled task": "CancelledError",
        "surrogate": "ValueError: cannot read caf",
    }
    jobs = {kind: ends_badly.delay(kind) for kind in expected}
    for kind, told in expected.items():
        with pytest.raises(JobFailed) as failed:
            jobs[kind].get(timeout=30)
        assert failed.value.error.startswith(told), kind


@pytest.mark.parametrize(
    ("kind", "named"), [("get", "job.get()"), ("get all", "ytray.get()"), ("as completed", "ytray.as_completed()")]
)
def test_a_flow_that_would_block_all_others_is_refused_by_name(
    system: Store, tmp_path: Path, kind: str, named: str
) -> None:
    with pytest.raises(JobFailed) as failed:
        gets_instead_of_awaiting.delay(kind, str(tmp_path)).get(timeout=30)
    assert "BlockingCall: flow gets_instead_of_awaiting: " + named in failed.value.error
    assert "await" in failed.value.error


def test_a_flow_may_block_in_a_thread_of_its_own(system: Store, tmp_path: Path) -> None:
    assert gets_instead_of_awaiting.delay("in a thread", str(tmp_path)).get(timeout=30) == 1


def test_a_step_whose_arguments_differ_from_run_to_run_is_done_once(system: Store, tmp_path: Path) -> None:
    told = stamps.delay(str(tmp_path)).get(timeout=30)
    assert times(tmp_path, "runs") == 2
    assert times(tmp_path, "stamp") == 2
    assert " ".join(map(str, told)) == (tmp_path / "first").read_text()


def test_a_module_that_hangs_as_it_is_imported_keeps_no_other_flow_waiting(system: Store, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "hangs_at_first.py").write_text(
        f"import time\nfrom pathlib import Path\nfrom ytray import flow\n"
        f"while not Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n\n"
        f"@flow(name='hangs_at_first')\nasync def hangs() -> int:\n    return 1\n"
    )
    spec = b'{"code":"hangs_at_first:hangs@%s","args":{}}' % str(tmp_path).encode()
    ids = [f"hangs-{number}" for number in range(9)]
    system.submit([(job_id, spec) for job_id in ids], Submission("hangs_at_first", "default", FLOW_LANE, 4))

    @flow(name="comes_after")
    async def comes_after() -> int:
        return 2

    try:
        assert comes_after.delay().get(timeout=30) == 2
    finally:
        gate.touch()
    assert [Job[int](job_id).get(timeout=30) for job_id in ids] == [1] * 9


def test_a_flow_says_what_it_waits_for_and_fails_when_that_is_deleted(
    system: Store, tmp_path: Path, until: Until
) -> None:
    job = awaits_later.delay(str(tmp_path))
    until(lambda: job.status().progress_message.startswith("waits for counted "))
    (step,) = job_tracker.children(job.id)
    assert job.status().progress_message == f"waits for counted {step.job_id} (PENDING)"
    fence, awaited = system.fields(job.id, "fence", "awaited")
    assert (fence, awaited) == (b"1", told_ids(job.id, 1, [step.job_id]).encode())
    kept = system.redis.dump(system.key(f"j:{step.job_id}"))
    assert kept is not None
    system.redis.delete(system.key(f"j:{step.job_id}"))
    try:
        with pytest.raises(JobFailed, match=f"job {step.job_id}, which the flow awaits, is gone"):
            job.get(timeout=60)
    finally:
        system.redis.restore(system.key(f"j:{step.job_id}"), 0, kept)
    dlq.remove(job.id)
