"""A program: runs a whole system where the environment says, and prints as JSON what it has seen of it."""

from __future__ import annotations

import contextlib
import json
import time

import ray

import ytray
from tests.redis.tasks_for_redis import linger, refuse, shout, shout_twice
from ytray import JobCancelled, JobFailed, JobState, batches, dlq, job_tracker, metrics
from ytray.cli.checkup import examine
from ytray.settings import settings


def main() -> None:
    ytray.connect()
    try:
        print(json.dumps(play()))
    finally:
        for name in ("JobTracker", "FlowRunner", "CircuitBreakers"):
            ray.kill(ray.get_actor(name, namespace=settings().namespace))
        ytray.shutdown()


def play() -> dict[str, object]:
    long = linger.delay("long")
    while long.status().current_state is not JobState.EXECUTING:
        time.sleep(0.02)
    said = [job.get(timeout=60) for job in shout.map([{"word": f"w{n}"} for n in range(20)])]
    assert said == [f"W{n}" for n in range(20)]
    assert shout_twice.delay("a").get(timeout=60) == "A!"
    batch = batches.submit([{"word": f"b{n}"} for n in range(10)], task=shout)
    assert batch.wait(timeout=60).counts.completed == 10
    refused = refuse.delay("this")
    with contextlib.suppress(JobFailed):
        refused.get(timeout=60)
    assert [letter.job_id for letter in dlq.list_all()] == [refused.id]
    dlq.retry_task(refused.id)
    late = shout.options(delay=3600).delay("later")
    late.cancel()
    long.cancel()
    with contextlib.suppress(JobCancelled):
        long.get(timeout=30)
    counts = {state.value: number for state, number in job_tracker.counts().items()}
    return {
        "counts": counts,
        "jobs": sorted(job.job_id for job in job_tracker.list_jobs(limit=1000)),
        "actors": [a["name"] for a in ray.util.list_named_actors(all_namespaces=True)],
        "metrics": [line for line in metrics.render().decode().splitlines() if line.startswith("ytray_tasks_total")],
        "doctor": [(found.what, found.state, found.told) for found in examine() if found.what in ("redis", "schema")],
    }


if __name__ == "__main__":
    main()
