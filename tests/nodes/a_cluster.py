"""A program: nodes that come, are drained by ytray and by Ray, and go. Writes what became of the jobs to told.json."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

import ytray
from tests.nodes.tasks_for_nodes import goes_on, in_one_step, which_media_node, which_node
from ytray import Job, JobState, job_tracker
from ytray.cli.checkup import examine
from ytray.engine.cluster.nodes import drain, list_nodes
from ytray.engine.control.actors import find_actor
from ytray.engine.state.connection import store
from ytray.errors import YtrayError
from ytray.metrics import render
from ytray.system.joining import join

DEADLINE = 4.0  # seconds
REMOTE = "s3://a-bucket/ytray"  # nothing is kept there: only the addresses of files matter here


def until(condition: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait for a condition; returns how many seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds, f"not true within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - begun


def refusal(node: str, deadline: float = 1.0) -> str:
    try:
        return drain(node, deadline).state
    except YtrayError as refused:
        return type(refused).__name__


def moves(job: Job[Any], to: JobState) -> list[str]:
    return [str(move.metadata.get("reason", "")) for move in job.history() if move.to_state is to]


def main(folder: Path) -> None:
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    os.environ["RAY_ADDRESS"] = cluster.address
    head = cluster.head_node
    doomed = cluster.add_node(num_cpus=2, resources={"queue_batch": 2})
    spare = cluster.add_node(num_cpus=2, resources={"queue_batch": 1})
    ray.init(address=cluster.address, namespace="ytray", logging_level=logging.ERROR, log_to_driver=False)
    joined_redis = join(ray=False)
    ytray.connect()
    told: dict[str, Any] = {"near": near()}
    actors = ("JobTracker", "FlowRunner", "CircuitBreakers")
    told["actors"] = {ray.get(find_actor(name).report.remote())["node"] for name in actors} == {head.node_id}

    # Three run, two of them on the node that is drained, one is a flow's step, and one waits.
    flow = in_one_step.delay(str(folder), "step")
    until((folder / "step.at").exists)
    jobs = goes_on.map([{"folder": str(folder), "name": f"job{n}"} for n in range(3)])
    names = ["step", "job0", "job1", "job2"]
    until(lambda: sum((folder / f"{name}.at").exists() for name in names) == 3)
    at = {name: (folder / f"{name}.at").read_text() for name in names if (folder / f"{name}.at").exists()}
    moved, ends = (name for name in at if at[name] == doomed.node_id)  # never the step: its flow is to go on
    told["moved"] = moved
    told["refused"] = [refusal(head.node_id), refusal("elsewhere"), refusal(head.node_ip_address), refusal("", -1)]
    status = drain(doomed.node_id[:10], DEADLINE, "a new disk")
    told["draining"] = [
        status.state,
        status.drain_reason,
        status.slots["batch"],
        status.busy["batch"],
        len(status.jobs),
    ]
    (folder / ends).touch()
    by_id = {job.id: job for job in [*jobs, *(Job[Any](child.job_id) for child in job_tracker.children(flow.id))]}
    by_name = {name: Job[Any](job_id) for name, job_id in named(by_id).items()}
    by_name[ends].get(timeout=30)
    told["handed_over_after"] = round(until(lambda: by_name[moved].status().current_state is JobState.QUEUED), 1)
    told["runs_where"] = [name for name in names if (folder / f"{name}.at").exists()] == list(at)
    waits = which_media_node.delay()
    told["waits"] = waits.status().progress_message
    told["doctor"] = next(f.told for f in examine() if f.what == "queue media")
    for name in names:
        (folder / name).touch()
    told["results"] = {name: len(by_name[name].get(timeout=60)) for name in names}
    flow.get(timeout=60)
    until(lambda: [node.state for node in list_nodes() if node.node_id == doomed.node_id] == ["gone"])
    told["gone"] = refusal(doomed.node_id)

    joined = cluster.add_node(num_cpus=2, resources={"queue_media": 1})
    began = time.monotonic()
    told["media_node"] = waits.get(timeout=30) == joined.node_id
    told["started_after_joining"] = round(time.monotonic() - began, 1)

    # Ray itself drains a node: the same happens.
    last = goes_on.options(queue="media").delay(str(folder), "last")
    until((folder / "last.at").exists)
    ray_worker: Any = ray._private.worker.global_worker
    ray_worker.gcs_client.drain_node(joined.node_id, 2, "spot", round((time.time() + 1) * 1000))
    until(lambda: last.status().current_state is JobState.QUEUED)
    until(lambda: last.status().progress_message)
    told["rays_own"] = [last.status().progress_message, list_reason(joined.node_id)]
    last.cancel()

    everything = [*by_name.values(), flow, waits]
    told["commits"] = [len(moves(job, JobState.COMPLETED)) for job in everything]
    told["retries"] = sum(job.status().retry_count for job in [*everything, last])
    # Sent once more before its node was seen to be gone, it may have been taken back once more.
    told["reasons"] = [moves(by_name[moved], JobState.QUEUED)[1:], moves(last, JobState.QUEUED)[1:2]]
    told["handed_over"] = len(moves(last, JobState.QUEUED)[1:])
    told["moved_on"] = by_name[moved].get()
    told["metrics"] = sorted(
        line
        for line in render().decode().splitlines()
        if line.startswith(('ytray_nodes{state="up"}', "ytray_jobs_handed_over_total"))
    )
    told["spare"] = spare.node_id in {node.node_id for node in list_nodes() if node.state == "up"}
    (folder / "told.json").write_text(json.dumps(told))
    ytray.shutdown()
    ray.shutdown()
    cluster.shutdown()
    joined_redis.leave()


def near() -> int:
    """How many of ten jobs ran on the node of the job that made their input."""
    makers = {job.get(timeout=60): job.id for job in which_node.map([{}] * 12)}
    found = 0
    for node, maker in makers.items():
        for _ in range(5):
            found += which_node.delay(file=f"{REMOTE}/{maker}/1/picture.jpg").get(timeout=30) == node
    return found if len(makers) == 2 else -1


def named(jobs: dict[str, Job[Any]]) -> dict[str, str]:
    """The ids of jobs by the name among their arguments."""
    from pydantic_core import from_json

    specs = {job_id: store().fields(job_id, "spec")[0] for job_id in jobs}
    return {from_json(spec or b"")["args"]["name"]: job_id for job_id, spec in specs.items()}


def list_reason(node_id: str) -> str:
    return next(node.drain_reason for node in list_nodes() if node.node_id == node_id)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
