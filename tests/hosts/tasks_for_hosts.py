"""Tasks that say where they run, and wait for a word of the test in Redis, the one thing that hosts share."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

from ytray import current_job, task
from ytray.engine.state.connection import store


@task()
def slept(seconds: float, number: int = 0) -> str:
    """The host that this ran on."""
    time.sleep(seconds)
    return socket.gethostname()


@task()
def until_told(name: str) -> str:
    """The host that this ended on, begun anew wherever it is; it starts a process that would outlive it."""
    where = store()
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", f"orphan-of-{name}"])
    where.redis.rpush(where.key(f"test:{name}"), socket.gethostname())
    while not where.redis.exists(where.key(f"test:{name}:go")):
        time.sleep(0.02)
    return f"{socket.gethostname()} by fence {current_job().fence}"
