"""A program: runs a whole system on a Redis whose master, of the process given, it kills in mid-work. Prints counts."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import ytray
from tests.redis.tasks_for_redis import shout, shout_twice
from ytray import JobState, batches, job_tracker
from ytray.engine.state.connection import store


def main(master: int) -> None:
    ytray.connect()
    try:
        jobs = shout.map([{"word": f"w{n}"} for n in range(1500)])
        flows = [shout_twice.delay(f"f{n}") for n in range(5)]
        batch = batches.submit([{"word": f"b{n}"} for n in range(300)], task=shout)
        while not job_tracker.counts()[JobState.COMPLETED] > 50:
            time.sleep(0.01)
        os.kill(master, signal.SIGKILL)
        killed = time.monotonic()
        jobs += [shout.delay(f"late{n}") for n in range(50)]
        accepted_again = time.monotonic() - killed
        results = [job.get(timeout=120) for job in jobs]
        found = [flow.get(timeout=120) for flow in flows]
        told = {
            "seconds": round(accepted_again, 1),
            "right": results == [f"W{n}" for n in range(1500)] + [f"LATE{n}" for n in range(50)],
            "flows": found,
            "batch": batch.wait(timeout=120).counts.completed,
            "twice": sum(
                [move.to_state for move in job.history()].count(JobState.COMPLETED) != 1 for job in (*jobs, *flows)
            ),
            "lost": store().states([job.id for job in jobs]).count(None),
        }
        print(json.dumps(told))
    finally:
        ytray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
