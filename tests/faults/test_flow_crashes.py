"""A flow that ends its process, or stands in the way of all others, ends as FAILED and takes no other along."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.engine.tasks_for_tests import times
from tests.faults.tasks_for_faults import blocks, ends_its_process, step, waits_for_gate
from tests.faults.test_death import commits, report
from ytray import JobFailed, dlq, job_tracker
from ytray.engine.state.store import Store

Until = Callable[..., None]


def test_a_flow_that_blocks_fails_by_name_and_the_others_go_on(system: Store, tmp_path: Path, until: Until) -> None:
    other = waits_for_gate.delay(str(tmp_path))
    until((tmp_path / "gate.pid").exists)
    job = blocks.delay(str(tmp_path))
    with pytest.raises(JobFailed, match=r"did not let go .* in blocks \(tasks_for_faults.py, line \d+\)"):
        job.get(timeout=60)
    assert "time.sleep(600)" in dlq.list_all()[-1].traceback
    (tmp_path / "gate").touch()
    assert other.get(timeout=60) == "firstgate"
    assert (times(tmp_path, "beside"), times(tmp_path, "first"), times(tmp_path, "blocks")) == (2, 1, 1)
    dlq.remove(job.id)


@pytest.mark.parametrize(
    "how",
    ["at once", pytest.param("later", marks=pytest.mark.chaos), pytest.param("in a thread", marks=pytest.mark.chaos)],
)
def test_a_flow_that_ends_its_process_is_dead_lettered_after_three_times(
    system: Store, tmp_path: Path, until: Until, how: str
) -> None:
    other = waits_for_gate.delay(str(tmp_path))
    until((tmp_path / "gate.pid").exists)
    job = ends_its_process.delay(str(tmp_path), how)
    with pytest.raises(JobFailed, match="died 3 times"):
        job.get(timeout=60)
    assert times(tmp_path, how) == 3
    (tmp_path / "gate").touch()
    assert other.get(timeout=60) == "firstgate"
    assert times(tmp_path, "beside") == 2, "the second and the third time it ran alone"
    assert system.fields(other.id, "crashes", "suspect") == [None, None]
    assert commits(other) == 1
    dlq.remove(job.id)


@pytest.mark.chaos  # for its length: a lease has to end, and the runner is given ten seconds to answer
def test_a_flow_runner_that_is_stopped_loses_its_flows_and_is_replaced(
    system: Store, tmp_path: Path, until: Until
) -> None:
    job = waits_for_gate.delay(str(tmp_path))
    until((tmp_path / "gate.pid").exists)
    runner = psutil.Process(report("FlowRunner")["pid"])
    os.kill(runner.pid, signal.SIGSTOP)
    (tmp_path / "gate").touch()
    assert job.get(timeout=60) == "firstgate"
    assert times(tmp_path, "first") == 1
    assert not runner.is_running()
    reasons = [move.metadata.get("reason") for move in job_tracker.get_history(job.id)]
    assert "its lease ended without a sign of life" in reasons
    assert step.delay(str(tmp_path), "after").get(timeout=60) == "after"
