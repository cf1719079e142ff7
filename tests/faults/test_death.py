"""What happens when something dies: nothing is lost, nothing is committed twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from tests.engine.tasks_for_tests import times
from tests.faults.tasks_for_faults import dies_before_its_commit, kills_its_worker, long_flow, quick, stay
from ytray import Job, JobFailed, JobState, dlq
from ytray.engine.control.actors import find_actor
from ytray.engine.state.store import LaneRoom, Store
from ytray.system import redis_server

Until = Callable[..., None]


def report(actor: str) -> dict[str, Any]:
    told: dict[str, Any] = ray.get(find_actor(actor).report.remote(), timeout=60)
    return told


def fence_of(told: str) -> int:
    """By which fence a job of `stay` ended. On a busy machine it may have been leased once more than a test had it."""
    return int(told.rpartition(" ")[2])


def commits(job: Job[Any]) -> int:
    return sum(t.to_state is JobState.COMPLETED for t in job.history())


def test_a_job_survives_the_death_of_its_worker(system: Store, tmp_path: Path, until: Until) -> None:
    job = stay.delay(str(tmp_path), "a")
    until((tmp_path / "a.pid").exists)
    os.kill(int((tmp_path / "a.pid").read_text()), signal.SIGKILL)
    until(lambda: times(tmp_path, "a.runs") >= 2)
    (tmp_path / "a").touch()
    assert fence_of(job.get(timeout=60)) >= 2
    moves = [(t.from_state, t.to_state) for t in job.history()]
    assert (JobState.EXECUTING, JobState.QUEUED) in moves
    assert commits(job) == 1


def test_a_job_that_kills_its_worker_each_time_ends_in_the_dead_letter_queue(system: Store, tmp_path: Path) -> None:
    job = kills_its_worker.delay(str(tmp_path))
    with pytest.raises(JobFailed, match="the worker died 3 times"):
        job.get(timeout=60)
    assert times(tmp_path, "runs") == 3
    dlq.remove(job.id)


def test_a_worker_that_dies_between_a_tasks_end_and_its_commit_loses_nothing(system: Store, tmp_path: Path) -> None:
    job = dies_before_its_commit.delay(str(tmp_path))
    assert job.get(timeout=60).folder == str(tmp_path)
    assert times(tmp_path, "runs") == 2
    assert commits(job) == 1


def test_jobs_survive_the_death_of_the_tracker(system: Store, tmp_path: Path, until: Until) -> None:
    running = stay.delay(str(tmp_path), "a")
    until((tmp_path / "a.pid").exists)
    before = report("JobTracker")
    os.kill(before["pid"], signal.SIGKILL)
    waiting = [quick.delay(n) for n in range(50)]
    assert [job.get(timeout=60) for job in waiting] == list(range(50))
    until(lambda: times(tmp_path, "a.runs") >= 2)
    (tmp_path / "a").touch()
    assert running.get(timeout=60).startswith("a by")
    assert commits(running) == 1
    assert report("JobTracker")["epoch"] != before["epoch"]


def test_a_flow_survives_the_death_of_its_actor_and_repeats_no_finished_step(
    system: Store, tmp_path: Path, until: Until
) -> None:
    job = long_flow.delay(str(tmp_path))
    until((tmp_path / "gate.pid").exists)
    os.kill(report("FlowRunner")["pid"], signal.SIGKILL)
    until(lambda: times(tmp_path, "flow") >= 2)
    (tmp_path / "gate").touch()
    assert job.get(timeout=60) == "early-0,early-1,early-2,gate,late"
    assert [times(tmp_path, name) for name in ("early-0", "early-1", "early-2", "late")] == [1, 1, 1, 1]
    assert times(tmp_path, "gate.runs") == 1


def test_everything_rides_out_the_death_of_redis(system: Store, home: Path, tmp_path: Path, until: Until) -> None:
    running = stay.delay(str(tmp_path), "a")
    in_flow = long_flow.delay(str(tmp_path))
    accepted = quick.map([{"number": n} for n in range(2000)])
    until(lambda: (tmp_path / "a.pid").exists() and (tmp_path / "gate.pid").exists())
    info = system.redis.info("server")
    assert isinstance(info, dict)
    os.kill(info["process_id"], signal.SIGKILL)
    (tmp_path / "a").touch()
    (tmp_path / "gate").touch()
    psutil.wait_procs([p for p in psutil.process_iter() if p.pid == info["process_id"]], timeout=60)
    redis_server.ensure(home)
    assert [job.get(timeout=90) for job in accepted] == list(range(2000))
    assert running.get(timeout=60).startswith("a by")
    assert in_flow.get(timeout=60).endswith("gate,late")
    assert commits(running) == commits(in_flow) == 1
    assert all(commits(job) == 1 for job in accepted[:100])


def test_a_worker_that_was_away_longer_than_its_lease_commits_nothing(
    system: Store, tmp_path: Path, until: Until
) -> None:
    stale_before = int(system.redis.hget(system.key("m"), "stale") or 0)
    job = stay.delay(str(tmp_path), "a")
    until((tmp_path / "a.pid").exists)
    sleeper = psutil.Process(int((tmp_path / "a.pid").read_text()))
    sleeper.suspend()
    until(lambda: times(tmp_path, "a.runs") >= 2)
    (tmp_path / "a").touch()
    ended = job.get(timeout=60)
    assert fence_of(ended) >= 2
    try:
        sleeper.resume()
        until(lambda: not sleeper.is_running() or _is_idle(sleeper))
    except psutil.NoSuchProcess:
        pass  # the tracker had it stopped for good, which is as safe
    assert commits(job) == 1
    assert job.status().result == ended
    assert int(system.redis.hget(system.key("m"), "stale") or 0) >= stale_before


def _is_idle(process: psutil.Process) -> bool:
    return "IDLE" in " ".join(process.cmdline())


def test_jobs_claimed_but_never_launched_are_found_when_their_lease_ends(system: Store) -> None:
    told = report("JobTracker")
    tracker = psutil.Process(told["pid"])
    tracker.suspend()  # so that this claim, in its name, comes first; what it claims is never launched
    try:
        job = quick.options(queue="media").delay(7)
        (stolen,) = system.claim("tracker", told["epoch"], 300, [LaneRoom("media", 0, 1)])
    finally:
        tracker.resume()
    assert [claimed.job_id for claimed in stolen] == [job.id]
    assert job.get(timeout=60) == 7
    reasons = [t.metadata.get("reason") for t in job.history()]
    assert "its lease ended without a sign of life" in reasons
    assert commits(job) == 1


def test_a_client_killed_in_the_middle_of_a_map_leaves_nothing(system: Store, home: Path) -> None:
    program = (
        "import os, signal\n"
        "from ytray.engine import store\n"
        "from tests.faults.tasks_for_faults import quick\n"
        "real = store.Store.call\n"
        "def die(self, script, *args):\n"
        "    if script == 'submit': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(self, script, *args)\n"
        "store.Store.call = die\n"
        "quick.options(queue='batch').map([{'number': n} for n in range(20_000)])\n"
    )
    before = system.redis.zcard(system.key("task:quick"))
    died = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False, timeout=90)
    assert died.returncode == -signal.SIGKILL
    assert system.redis.zcard(system.key("task:quick")) == before
    stages = system.redis.keys(system.key("stage:*"))
    assert len(stages) == 1
    assert 0 < system.redis.ttl(stages[0]) <= 3600
    system.redis.delete(*stages)


@pytest.mark.chaos  # for its length: tests/hosts has hosts that die; this has a card on the node
def test_jobs_survive_the_death_of_their_node(home: Path, tmp_path: Path) -> None:
    told = run_apart("tests.faults.two_nodes", tmp_path)
    assert told["completed"] == 5
    assert told["commits"] == [1, 1, 1, 1, 1]
    assert told["requeued"] >= 3
    assert told["on_the_card"] == 4, "a job that asks for a share of a card runs where there is one"
    assert told["without_cards"] == 0, "and without when there is none any more"


@pytest.mark.chaos  # Ray may stop ytray's actors first, again and again, and then it takes minutes
def test_a_task_that_fills_memory_is_stopped_and_ends_in_the_dead_letter_queue(home: Path, tmp_path: Path) -> None:
    told = run_apart("tests.faults.little_memory", tmp_path)
    assert "the worker died 3 times" in told["error"]
    # Ray may choose to stop another process than the greedy one, which is then not held against the job.
    assert told["runs"] >= 3
    assert told["next"] == 3


def run_apart(program: str, tmp_path: Path) -> Any:
    """Run a program in a process and a home of its own, since a process can be in one Ray cluster only."""
    work = tmp_path / "work"
    work.mkdir()
    ran = subprocess.run(
        [sys.executable, "-m", program, str(work)],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "YTRAY_HOME": str(tmp_path / "home"),
            "RAY_AUTH_MODE": "disabled",
            "YTRAY_RAY_WITHOUT_TOKEN": "true",
        },
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads((work / "told.json").read_text())
