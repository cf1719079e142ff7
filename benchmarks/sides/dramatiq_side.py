"""Dramatiq: 2 processes of 8 threads, results kept. One JSON line."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from dramatiq_tasks import noop


def main(jobs: int) -> None:
    """Measure a run of sends until all results are there."""
    workers = subprocess.Popen(
        [sys.executable, "-m", "dramatiq", "dramatiq_tasks", "--processes", "2", "--threads", "8"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        rates, sends = [], []
        for turn in range(4):
            begun = time.perf_counter()
            messages = [noop.send(n) for n in range(jobs)]
            sent = time.perf_counter()
            # Each result is a key of its own; the last message's result alone would not say that all are there.
            for message in messages:
                message.get_result(block=True, timeout=120_000)
            done = time.perf_counter()
            if turn:
                rates.append(jobs / (done - begun))
                sends.append(jobs / (sent - begun))
        print(json.dumps({"bulk_per_s": max(rates), "send_per_s": max(sends)}))
    finally:
        workers.terminate()
        workers.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
