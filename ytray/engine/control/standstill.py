"""Ending a flow runner that lives and does nothing: stopped, or in code that lets no other thread of it run.

Its leases end then, and the tracker requeues its flows; but Ray, for which it is there, would start no other.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import cast

import psutil
import ray
from ray.exceptions import GetTimeoutError, RayError

from ytray.engine.base import logs
from ytray.engine.state.store import Store
from ytray.settings import settings

_ANSWERS_WITHIN = 10.0  # seconds, or as long as a lease
_NAME = "FlowRunner"


class Standstill:
    """Looks whether the flow runner answers, when there is reason to. It lives at the head, as the tracker does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._log = logs.get("ytray.tracker")
        self._has_reason = threading.Event()

    def look(self) -> None:
        """Leases of flows have ended: have it looked at."""
        self._has_reason.set()

    def look_forever(self) -> None:
        """Look whenever there is reason to; a thread of its own does it, since an answer may take long."""
        while True:
            self._has_reason.wait()
            self._has_reason.clear()
            try:
                self._end_if_silent()
            except Exception as failed:
                self._log.warning("the flow runner could not be looked at", error=str(failed))
            time.sleep(1.0)

    def _end_if_silent(self) -> None:
        epoch = (cast("bytes | None", self._store.redis.get(self._store.key("epoch:flows"))) or b"").decode()
        try:
            runner = ray.get_actor(_NAME, namespace=settings().namespace)
            ray.get(runner.report.remote(), timeout=max(_ANSWERS_WITHIN, settings().lease_seconds))
        except GetTimeoutError:
            self._end(epoch)
        except (ValueError, RayError):
            pass  # it has ended, and Ray starts another

    def _end(self, epoch: str) -> None:
        with contextlib.suppress(psutil.NoSuchProcess, ValueError, IndexError):
            process = psutil.Process(int(epoch.split(":")[1]))
            # The number may be another's by now. Ray tells a process by its title.
            if _NAME in " ".join(process.cmdline()):
                self._log.error("the flow runner does not answer; its process is ended", pid=process.pid)
                process.kill()
