"""A program: two nodes, jobs on the second one, its raylet killed. Prints what became of the jobs, as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

import ytray
from tests.faults.tasks_for_faults import stay
from ytray import JobState

HEAD = {
    "num_cpus": 2,
    "resources": {"queue_default": 1, "queue_generation": 1, "queue_media": 1},
    "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 3},
}


def main(folder: Path) -> None:
    """Four jobs, two of which run on a node when it dies; another node takes its place."""
    cluster: Any = Cluster(initialize_head=True, head_node_args=HEAD)
    doomed = cluster.add_node(num_cpus=2, resources={"queue_batch": 2})
    ray.init(address=cluster.address, namespace="ytray", logging_level=logging.ERROR, log_to_driver=False)
    ytray.connect()
    jobs = stay.options(queue="batch").map([{"folder": str(folder), "name": f"job{n}"} for n in range(4)])
    while len(list(folder.glob("*.pid"))) < 2:
        time.sleep(0.05)
    (raylet,) = [
        info.process for infos in doomed.all_processes.values() for info in infos if "raylet" in str(info.process.args)
    ][:1]
    psutil.Process(raylet.pid).kill()
    killed = time.monotonic()
    cluster.add_node(num_cpus=2, resources={"queue_batch": 2})
    for n in range(4):
        (folder / f"job{n}").touch()
    results = [job.get(timeout=90) for job in jobs]
    history = [move for job in jobs for move in job.history()]
    told = {
        "completed": len(results),
        "commits": [sum(t.to_state is JobState.COMPLETED for t in job.history()) for job in jobs],
        "requeued": sum((t.from_state, t.to_state) == ("EXECUTING", "QUEUED") for t in history),
        "seconds": round(time.monotonic() - killed, 1),
    }
    print(json.dumps(told))
    ytray.shutdown()
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
