"""Keeping a Ray driver alive for the tracker, on a cluster that was joined.

Ray ends the idle workers of a job whose driver has gone, also where a detached actor of that job goes on launching
tasks: each task would then wait for a new process, a second or two. So on a cluster that others started, where whoever
connects first may leave the next moment, the actors are started by a program that stays (driver.py): the Keeper, an
actor that does nothing else, runs it beside itself, and again when it has ended. There is no Keeper where whoever
started the cluster started the actors, too.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
import time
from typing import Any

import ray

from ytray.engine.base import logs
from ytray.engine.cluster.capacity import here

_AGAIN_AFTER = 1.0  # seconds

_log = logs.get("ytray.keeper")


class Keeper:
    """The detached actor that runs the driver."""

    def __init__(self, setup: bytes) -> None:
        context: Any = ray.get_runtime_context()
        self._command = [sys.executable, "-m", "ytray.engine.control.driver", str(context.gcs_address)]
        self._setup = base64.b64encode(setup) + b"\n"
        logs.configure()
        threading.Thread(target=self._keep, name="ytray-keeper", daemon=True).start()

    def report(self) -> dict[str, Any]:
        """Where it runs."""
        return {"pid": os.getpid(), "node": here()}

    def _keep(self) -> None:
        while True:
            try:
                # Its standard input ends with this process, and with that the driver ends, too.
                driver = subprocess.Popen(self._command, stdin=subprocess.PIPE)
                assert driver.stdin is not None
                driver.stdin.write(self._setup)
                driver.stdin.flush()
                _log.warning("the driver has ended; another is started", exit_code=driver.wait())
            except OSError as failed:
                _log.warning("the driver is started again", error=str(failed))
            time.sleep(_AGAIN_AFTER)
