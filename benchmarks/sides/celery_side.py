"""Celery: prefork 4, acks_late, events, result backend. One JSON line."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from celery import group
from celery_tasks import noop


def main(jobs: int) -> None:
    """Measure a group until all its results are there."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "-c", "4", "-E", "-l", "ERROR"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        noop.delay(1).get(timeout=60)
        rates = []
        for turn in range(4):
            begun = time.perf_counter()
            group(noop.s(n) for n in range(jobs)).apply_async().get(timeout=300)
            if turn:
                rates.append(jobs / (time.perf_counter() - begun))
        print(json.dumps({"bulk_per_s": max(rates)}))
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
