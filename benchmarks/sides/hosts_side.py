"""Over hosts in network namespaces, as root: jobs over more and more of them, the death of one, and a new head.

Each host serves two jobs at once, which sleep: on a machine with few cores, that leaves the scheduling to be measured.
A host costs them something, too, so the jobs sleep for seconds.
Argument: seconds that a job sleeps.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.hosts.cluster import DETECTION, Machines, machines
from tests.hosts.tasks_for_hosts import slept, until_told
from ytray import Job, JobState
from ytray.engine.state.connection import adopt_store

HOSTS = (1, 2, 4, 8)
SLOTS = 2  # of each host
ROUNDS = 6  # jobs for each slot
LEASE = "30"  # seconds: so long that it is not the lease's end that tells of a dead host


def main(seconds: float) -> None:
    """Measure and print."""
    found: dict[str, Any] = {"throughput": {}}
    with machines() as cluster:
        cluster.environment["YTRAY_LEASE_SECONDS"] = LEASE
        for name in DETECTION:  # the tests shorten it
            del cluster.environment[name]
        cluster.start_head()
        adopt_store(cluster.store)
        for number in HOSTS:
            missing = range(len(cluster.workers), number)
            cluster.add_all(**{f"host{n}": {"default": SLOTS} for n in missing})
            if number == HOSTS[0]:
                cluster.connect()
            found["throughput"][number] = _throughput(cluster, number, seconds)
            print(found["throughput"], file=sys.stderr)
        found["death"] = [_death(cluster, turn) for turn in range(3)]
        found["head"] = _new_head(cluster)
    print(json.dumps(found))


def _throughput(cluster: Machines, hosts: int, seconds: float) -> float:
    """Jobs a second over so many hosts, from the first one's start to the last one's end."""
    _warm_up(cluster, hosts * SLOTS, seconds)
    jobs = slept.map([{"seconds": seconds, "number": n} for n in range(hosts * SLOTS * ROUNDS)])
    _all_ended(jobs)
    spans = [_span(job) for job in jobs]
    return len(jobs) / (max(end for _, end in spans) - min(start for start, _ in spans))


def _warm_up(cluster: Machines, slots: int, seconds: float) -> None:
    """Run jobs until each slot has had a process of its own for one: to start it takes seconds of a core."""
    workers: set[bytes | None] = set()
    while len(workers) < slots:
        jobs = slept.map([{"seconds": seconds, "number": n} for n in range(slots)])
        _all_ended(jobs)
        workers = {cluster.store.fields(job.id, "worker")[0] for job in jobs}


def _span(job: Job[Any]) -> tuple[float, float]:
    at = {move.to_state: move.at.timestamp() for move in job.history()}
    return at[JobState.EXECUTING], at[JobState.COMPLETED]


def _all_ended(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        job.get(timeout=300)


def _death(cluster: Machines, turn: int) -> dict[str, float]:
    """Seconds from a host's death until Ray says that it is dead, and until each of its jobs runs elsewhere."""
    jobs = [until_told.delay(f"death{turn}-{n}") for n in range(SLOTS * 2)]
    _until(lambda: all(_starts(cluster, f"death{turn}-{n}") for n in range(len(jobs))))
    doomed = cluster.where(jobs[0].id)
    lost = [n for n, job in enumerate(jobs) if cluster.where(job.id) == doomed]
    watch = cluster.head.start("python", "-u", "-c", _WATCH, str(len(cluster.workers)), log=f"watch{turn}")
    seen = cluster.head.folder / f"watch{turn}"
    _until(lambda: "watching" in seen.read_text())
    host = cluster.workers.pop(doomed)
    died = time.time()
    host.kill()
    _until(lambda: all(len(_starts(cluster, f"death{turn}-{n}")) == 2 for n in lost))
    elsewhere = time.time() - died
    watch.wait(60)
    detected = float(seen.read_text().split()[-1]) - died
    for n in range(len(jobs)):
        cluster.store.redis.set(cluster.store.key(f"test:death{turn}-{n}:go"), "1")
    _all_ended(jobs)
    return {"jobs": len(lost), "detected": detected, "elsewhere": elsewhere}


_WATCH = """
import sys, time, logging, ray
ray.init(logging_level=logging.ERROR)
alive = lambda: sum(node["Alive"] for node in ray.nodes())
before = alive()
print("watching")
while alive() >= before:
    time.sleep(0.02)
print(time.time())
"""


def _new_head(cluster: Machines) -> dict[str, float]:
    """Seconds from the start of a new head, after the old one died, until Ray answers and until a job has begun."""
    cluster.head.kill()
    job = slept.delay(seconds=0)
    restarted = time.time()
    cluster.restart_head()
    up = time.time()
    job.get(timeout=120)
    return {"up": up - restarted, "dispatched": _span(job)[0] - restarted}


def _starts(cluster: Machines, name: str) -> list[Any]:
    found: list[Any] = cluster.store.redis.lrange(cluster.store.key(f"test:{name}"), 0, -1)
    return found


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come true within two minutes")
        time.sleep(0.01)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
