"""Watching, from a script that is connected, what it stands on: no call of it may wait for what has died.

Where `ytray up` runs, its supervisor brings back what dies, and a script only leaves the Ray that is gone. Where the
script itself started the Redis, that is started again; without its Ray the script gets an error at once.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from ytray.errors import YtrayError
from ytray.system import ray_cluster, redis_server
from ytray.system.identity import Identity
from ytray.system.running import supervisor_of

_LIMIT, _WINDOW = 5, 300.0  # deaths of Redis within so many seconds after which it is left as it is

_log = structlog.get_logger("ytray.system")


class Watch:
    """A thread that waits for the ends of processes."""

    def __init__(
        self, home: Path, *, redis: Identity | None, ray: Mapping[str, Identity], on_end: Callable[[str], None]
    ) -> None:
        """`redis` is started again; when one of `ray` has ended, `on_end` gets the reason why nothing runs jobs now."""
        self._home, self._on_end, self._pid = home, on_end, os.getpid()
        self._ends: deque[float] = deque()
        self._poll = select.poll()
        self._watched: dict[int, tuple[str, Identity]] = {}
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll.register(self._reading, select.POLLIN)
        for name, process in ray.items():
            self._add(name, process)
        if redis is not None:
            self._add("redis", redis)
        self._thread = threading.Thread(target=self._run, name="ytray-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more: what ends from now on is being stopped. A fork of the process has no say in that."""
        if self._pid != os.getpid():
            return
        with contextlib.suppress(OSError):
            os.write(self._writing, b"1")
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _add(self, name: str, process: Identity) -> None:
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(process.pid)
            self._watched[descriptor] = (name, process)
            self._poll.register(descriptor, select.POLLIN)

    def _run(self) -> None:
        while self._watched:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            if self._reading in ready:
                break
            for descriptor in ready:
                self._poll.unregister(descriptor)
                os.close(descriptor)
                name, process = self._watched.pop(descriptor)
                if name == "redis":
                    self._restart_redis(process)
                else:
                    self._leave_ray(name, process)
        for descriptor in (*self._watched, self._reading, self._writing):
            os.close(descriptor)
        self._watched.clear()

    def _restart_redis(self, ended: Identity) -> None:
        now = time.monotonic()
        self._ends.append(now)
        while self._ends[0] < now - _WINDOW:
            self._ends.popleft()
        if len(self._ends) >= _LIMIT:
            _log.error(f"the embedded Redis has died {_LIMIT} times: {redis_server.why_it_ended(self._home)}")
            return
        try:
            redis_server.ensure(self._home)
        except YtrayError as failed:
            _log.error(f"the embedded Redis (process {ended.pid}) has died and does not start again: {failed}")
            return
        _log.warning("the embedded Redis has died and was started again", process=ended.pid)
        started = redis_server.process(self._home)
        if started is not None:
            self._add("redis", started)

    def _leave_ray(self, name: str, ended: Identity) -> None:
        # Of its other processes, too: they end now.
        for descriptor, (other, _) in list(self._watched.items()):
            if other != "redis":
                self._poll.unregister(descriptor)
                os.close(descriptor)
                del self._watched[descriptor]
        if supervisor_of(self._home) is None:
            self._on_end(
                f"{name} (process {ended.pid}) has ended, so nothing runs jobs any more; those that were accepted are "
                "kept, and go on when a script connects again or `ytray up` runs, which brings back what dies"
            )
        # Else Ray would end this process a minute after it has lost its GCS.
        ray_cluster.leave(self._home)
