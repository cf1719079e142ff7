"""A program: two nodes, one with a card; jobs on the second one, its raylet killed. Writes what became to told.json."""

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
from tests.engine.tasks_for_tests import times
from tests.faults.tasks_for_faults import on_a_card, stay, stays_on_a_card
from ytray import JobState
from ytray.engine.control.actors import find_actor

HEAD = {
    "num_cpus": 2,
    "resources": {"queue_default": 1, "queue_generation": 1, "queue_media": 1},
    "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 3},
}


def main(folder: Path) -> None:
    """Five jobs, three of which run on a node when it dies, one on its card; a node without a card replaces it."""
    cluster: Any = Cluster(initialize_head=True, head_node_args=HEAD)
    doomed = cluster.add_node(num_cpus=2, num_gpus=1, resources={"queue_batch": 2, "queue_media": 1})
    ray.init(address=cluster.address, namespace="ytray", logging_level=logging.ERROR, log_to_driver=False)
    ytray.connect()
    until_a_card_is_free()
    on_cards = [on_a_card.delay(n).get(timeout=60) for n in range(4)]  # in turn: one slot is beside the card
    jobs = stay.options(queue="batch").map([{"folder": str(folder), "name": f"job{n}"} for n in range(4)])
    until_a_card_is_free()
    jobs.append(stays_on_a_card.delay(folder=str(folder), name="job4"))
    while len(list(folder.glob("*.pid"))) < 3:
        time.sleep(0.05)
    (raylet,) = [p for infos in doomed.all_processes.values() for p in infos if "raylet" in str(p.process.args[0])]
    # A machine that dies takes its workers with it. (A raylet that dies alone leaves them: they finish and commit.)
    for pid in [raylet.process.pid, *(int(file.read_text()) for file in folder.glob("*.pid"))]:
        psutil.Process(pid).kill()
    killed = time.monotonic()
    cluster.add_node(num_cpus=2, resources={"queue_batch": 2})
    running = [int(file.name[3]) for file in folder.glob("*.pid")]
    for n in set(range(5)) - set(running):
        (folder / f"job{n}").touch()
    while any(times(folder, f"job{n}.runs") < 2 for n in running):
        time.sleep(0.05)
    found_after = time.monotonic() - killed
    for n in running:
        (folder / f"job{n}").touch()
    results = [job.get(timeout=90) for job in jobs]
    history = [move for job in jobs for move in job.history()]
    told = {
        "completed": len(results),
        "commits": [sum(t.to_state is JobState.COMPLETED for t in job.history()) for job in jobs],
        "requeued": sum((t.from_state, t.to_state) == ("EXECUTING", "QUEUED") for t in history),
        "seconds_until_run_elsewhere": round(found_after, 1),
        "on_the_card": sum(where == (doomed.node_id, 1) for where in on_cards),
        "without_cards": on_a_card.delay(4).get(timeout=60)[1],
    }
    (folder / "told.json").write_text(json.dumps(told))
    ytray.shutdown()
    ray.shutdown()
    cluster.shutdown()


def until_a_card_is_free() -> None:
    """Wait until the tracker has seen one that nobody uses."""
    tracker: Any = find_actor("JobTracker")
    while ray.get(tracker.report.remote())["free_cards"] < 1:
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
