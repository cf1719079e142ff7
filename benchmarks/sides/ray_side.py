"""Bare Ray tasks: no state, no history, no durability. One JSON line."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

import ray


@ray.remote
def noop(number: int) -> int:
    """Do nothing."""
    return number


def main(jobs: int) -> None:
    """Measure a bulk of tasks, and one at a time."""
    ray.init("local", num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    for _ in range(2):
        ray.get([noop.remote(n) for n in range(jobs)])
    done, rates = [], []
    for _ in range(3):
        begun = time.perf_counter()
        ray.wait([noop.remote(n) for n in range(jobs)], num_returns=jobs, fetch_local=False)
        done.append(jobs / (time.perf_counter() - begun))
        begun = time.perf_counter()
        ray.get([noop.remote(n) for n in range(jobs)])
        rates.append(jobs / (time.perf_counter() - begun))
    took = []
    for n in range(200):
        begun = time.perf_counter()
        ray.get(noop.remote(n))
        took.append(time.perf_counter() - begun)
    idle = statistics.median(took) * 1000
    print(json.dumps({"done_per_s": max(done), "bulk_per_s": max(rates), "idle_median_ms": idle}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
