"""A program: a task that fills memory, on a Ray that allows little. Writes what became of it to told.json.

Ray's memory monitor stops the worker long before the machine is in danger: the limit is set a little above what is in
use when this starts.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil

ALLOWED = 1_500_000_000  # bytes that the task can fill before its worker is stopped


def main(folder: Path) -> None:
    """Submit it, and a harmless job after it."""
    memory = psutil.virtual_memory()
    os.environ["RAY_memory_usage_threshold"] = f"{(memory.total - memory.available + ALLOWED) / memory.total:.4f}"
    os.environ["RAY_memory_monitor_refresh_ms"] = (
        "1000"  # time for a stopped worker's memory to come back, or Ray stops the next one
    )

    import ytray
    from tests.faults.tasks_for_faults import fills_memory, quick

    ytray.connect()
    job = fills_memory.delay(str(folder))
    try:
        job.get(timeout=120)
        error = ""
    except ytray.JobFailed as failed:
        error = failed.error
    told = {"error": error, "runs": (folder / "runs").stat().st_size, "next": quick.delay(3).get(timeout=60)}
    (folder / "told.json").write_text(json.dumps(told))
    ytray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
