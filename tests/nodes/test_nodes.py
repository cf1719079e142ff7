"""Nodes come, are drained, and go: what runs on them goes on elsewhere, and what waits for one starts when it comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray

from tests.nodes.tasks_for_nodes import goes_on, which_media_node
from ytray import InvalidTransition, JobState, SystemUnavailable, job_tracker
from ytray.engine.cluster.capacity import Node
from ytray.engine.cluster.nodes import drain, drain_records, list_nodes, record_drain
from ytray.engine.control.actors import find_actor
from ytray.engine.state import connection
from ytray.engine.state.store import Store, Submission

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.ray  # the clusters of their own


@pytest.fixture
def run_apart(home: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`run_apart(program, NAME=value)` runs a program with a home and a Ray cluster of its own; returns its word."""
    own_home = tmp_path / "home"

    def run(program: str, **environment: str) -> Any:
        asked = {**os.environ, "YTRAY_HOME": str(own_home), "RAY_AUTH_MODE": "disabled", **environment}
        asked["YTRAY_RAY_WITHOUT_TOKEN"] = "true"
        work = tmp_path / "work"
        work.mkdir()
        ran = subprocess.run(
            [sys.executable, "-m", program, str(work)],
            cwd=ROOT,
            env=asked,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        return json.loads((work / "told.json").read_text())

    yield run
    left = [process for process in psutil.process_iter() if _is_of(str(own_home), process)]
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=60)


def _is_of(home: str, process: psutil.Process) -> bool:
    try:
        return process.environ().get("YTRAY_HOME") == home or any(home in word for word in process.cmdline())
    except psutil.Error:
        return False


def test_a_drained_node_hands_over_its_jobs_and_nothing_is_lost(run_apart: Callable[..., Any]) -> None:
    told = run_apart("tests.nodes.a_cluster", YTRAY_ARTIFACTS="s3://a-bucket/ytray")
    assert told["near"] >= 8, "of ten jobs, those run where their input was made that find room there"
    assert told["refused"] == ["InvalidTransition", "UnknownNode", "InvalidArguments", "InvalidArguments"]
    assert told["draining"] == ["draining", "a new disk", 2, 2, 2]
    assert told["handed_over_after"] >= 3, "what runs has until the deadline"
    assert told["runs_where"], "nothing begins on a node that is drained"
    assert told["results"] == {"step": 1, "job0": 1, "job1": 1, "job2": 1} | {told["moved"]: 2}
    assert told["moved_on"] == [0, 1], "it went on from its checkpoint"
    assert told["actors"], "what keeps the system going is at the head, which is never drained"
    assert told["gone"] == "InvalidTransition", "an empty node ends by itself"
    assert told["commits"] == [1, 1, 1, 1, 1, 1]
    assert told["retries"] == 0
    assert told["reasons"] == [["its node is drained"], ["its node is drained"]]
    assert told["spare"]
    # What waits for a node says so, and starts when one joins.
    assert told["waits"] == "no node offers queue_media; it starts when one joins"
    assert told["doctor"] == "no node offers the resource queue_media: its jobs start when one joins; 1 jobs wait"
    assert told["media_node"]
    assert told["rays_own"] == [told["waits"], "Ray drains it: its autoscaler, or a notice of preemption"]
    assert told["metrics"] == [
        'ytray_jobs_handed_over_total{queue="batch"} 1.0',
        f'ytray_jobs_handed_over_total{{queue="media"}} {told["handed_over"]}.0',
        'ytray_nodes{state="up"} 2.0',
    ]


@dataclass
class Ray:
    """Ray's part in listing and draining nodes: `asked` is called when it is to drain one."""

    nodes: list[Node]
    asked: Callable[[], tuple[bool, str]] = lambda: (True, "")

    def drain_node(self, *_: object, **__: object) -> tuple[bool, str]:
        return self.asked()


@pytest.fixture
def its_ray(bare_store: Store, monkeypatch: pytest.MonkeyPatch) -> Ray:
    """A Ray cluster of one node, "1a2b", and nobody at work; the state is `bare_store`."""
    found = Ray([Node("1a2b", "10.0.0.7", "seven", is_alive=True, resources={}, drain_deadline_ms=None)])
    monkeypatch.setattr(connection, "_current", connection._Connection(bare_store, has_ray=True))
    monkeypatch.setattr("ytray.engine.cluster.nodes.cluster_nodes", lambda: found.nodes)
    monkeypatch.setattr("ray._private.worker.global_worker", SimpleNamespace(connected=True, gcs_client=found))
    return found


def test_a_drain_is_known_before_ray_begins_it(bare_store: Store, its_ray: Ray) -> None:
    def accept() -> tuple[bool, str]:
        known.update(drain_records(bare_store))
        return True, ""

    known: dict[str, dict[str, Any]] = {}
    its_ray.asked = accept
    assert drain("seven", 60, "a new disk").drain_reason == "a new disk"
    assert known["1a2b"]["reason"] == "a new disk"


def test_a_drain_that_ray_refuses_leaves_what_was_known(bare_store: Store, its_ray: Ray) -> None:
    def fail() -> tuple[bool, str]:
        raise ConnectionError("the head is away")

    for known in ({}, {"1a2b": {"since_ms": 5, "deadline_ms": 7, "reason": "the first"}}):
        its_ray.asked = lambda: (False, "it is busy")
        with pytest.raises(InvalidTransition, match="it is busy"):
            drain("1a2b", 60, "another")
        assert drain_records(bare_store) == known
        its_ray.asked = fail
        with pytest.raises(ConnectionError):
            drain("1a2b", 60, "another")
        assert drain_records(bare_store) == known
        record_drain(bare_store, "1a2b", 5, 7, "the first")


def test_a_drain_is_not_begun_when_it_is_too_late(bare_store: Store, its_ray: Ray) -> None:
    its_ray.asked = lambda: pytest.fail("Ray was asked")
    with pytest.raises(SystemUnavailable, match="is not drained"):
        drain("1a2b", 60, until=time.monotonic())
    assert drain_records(bare_store) == {}


def test_a_node_that_goes_while_it_is_being_drained_is_told_to_be_gone(bare_store: Store, its_ray: Ray) -> None:
    def forget() -> tuple[bool, str]:
        its_ray.nodes = []
        return True, ""

    its_ray.asked = forget
    with pytest.raises(InvalidTransition, match="gone already"):
        drain("1a2b", 60)


def test_a_node_is_shown_with_its_drain_while_it_lives_and_for_a_day_after_the_deadline(
    bare_store: Store, its_ray: Ray
) -> None:
    hours, now_ms = 3600_000, round(time.time() * 1000)
    record_drain(bare_store, "1a2b", now_ms - 100 * hours, now_ms - 23 * hours, "a new disk")
    its_ray.nodes = [replace(its_ray.nodes[0], drain_deadline_ms=now_ms - 23 * hours)]
    assert [(node.state, node.drain_reason) for node in list_nodes()] == [("draining", "a new disk")]
    its_ray.nodes = [replace(its_ray.nodes[0], is_alive=False, drain_deadline_ms=None)]
    assert [(node.state, node.drain_reason) for node in list_nodes()] == [("gone", "a new disk")]
    record_drain(bare_store, "1a2b", now_ms, now_ms - 25 * hours, "a new disk")
    assert list_nodes() == []


@pytest.mark.chaos  # it waits for Ray's autoscaler, again and again
def test_nodes_come_for_what_waits_and_go_when_it_is_done(run_apart: Callable[..., Any]) -> None:
    told = run_apart("tests.nodes.a_growing_cluster", YTRAY_AUTOSCALE_MOST="4", YTRAY_AUTOSCALE_HOLD="5")
    print(told)
    assert told["at_first"] == 0
    assert told["completed"] == 12


def test_a_job_of_a_paused_queue_says_so_while_it_waits(system: Store) -> None:
    job_tracker.pause("media")
    job = which_media_node.delay()
    assert job.status().progress_message == "queue media is paused"
    assert [one.progress_message for one in job_tracker.list_jobs("QUEUED", queue="media")] == ["queue media is paused"]
    job_tracker.resume("media")
    assert job.get(timeout=60)
    assert job.status().progress_message == ""


def test_a_job_says_that_no_tracker_is_at_work_once_its_word_has_expired(bare_store: Store) -> None:
    bare_store.redis.hset(bare_store.key("slots"), mapping={"media": 0, "default": 1})
    bare_store.say_at_work("an epoch", 60_000)
    (job_id,) = _submit(bare_store, "media")
    assert bare_store.status(job_id).progress_message == "no node offers queue_media; it starts when one joins"
    bare_store.redis.delete(bare_store.key("at_work"))
    assert bare_store.status(job_id).progress_message.startswith("no tracker is at work")


def test_a_job_loses_no_attempt_when_the_tracker_dies(
    system: Store, tmp_path: Path, until: Callable[..., None]
) -> None:
    job = goes_on.delay(str(tmp_path), "a")
    until((tmp_path / "a.at").exists, 30)
    until(lambda: system.checkpoint(job.id))
    tracker: Any = find_actor("JobTracker")
    os.kill(ray.get(tracker.report.remote(), timeout=60)["pid"], signal.SIGKILL)
    until(lambda: len(job.history()) > 2, 30)
    (tmp_path / "a").touch()
    assert job.get(timeout=60) == [0, 1]
    assert job.status().retry_count == 0
    assert [move.to_state for move in job.history()].count(JobState.COMPLETED) == 1


def _submit(store: Store, queue: str) -> list[str]:
    return store.submit([("1a2b", b'{"code":"x","args":{}}')], Submission("x", queue, queue, 4))
