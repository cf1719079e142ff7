"""Random kills of everything that a system is made of."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import ray

from ytray.engine.control.actors import find_actor
from ytray.engine.state.connection import store
from ytray.system import redis_server

SECOND = {"queue_default": 1, "queue_batch": 2}  # what the node offers that is killed


class Chaos:
    """Kills something every now and then, and puts back what does not come back by itself."""

    def __init__(
        self, cluster: Any, home: Path, chance: random.Random, pause: tuple[float, float] = (0.5, 3.0)
    ) -> None:
        self._cluster, self._home, self._chance, self._pause = cluster, home, chance, pause
        self._node = cluster.add_node(num_cpus=2, resources=SECOND)
        self.killed: Counter[str] = Counter()

    def run(self, seconds: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Kill for so many seconds, or until it is over. In the main thread, since Ray adds nodes only there."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not is_over():
            time.sleep(self._chance.uniform(*self._pause))
            self.killed[self._once()] += 1
        self.killed.pop("", None)

    def _once(self) -> str:
        match self._chance.randrange(13):
            case 0 | 1:
                return "tracker" if self._actor("JobTracker") else ""
            case 2 | 3:
                return "flow runner" if self._actor("FlowRunner") else ""
            case 4 | 5:
                return "redis" if self._redis() else ""
            case 6:
                return "node" if self._kill_node() else ""
            case _:
                return "worker" if self._worker() else ""

    def _worker(self) -> bool:
        found = [p for p in psutil.process_iter(["cmdline"]) if _is_worker(" ".join(p.info["cmdline"] or []))]
        return bool(found) and kill(self._chance.choice(found).pid)

    def _actor(self, name: str) -> bool:
        try:
            return kill(ray.get(find_actor(name).report.remote(), timeout=5)["pid"])
        except ray.exceptions.RayError:
            return False  # it is just being restarted

    def _redis(self) -> bool:
        info = store().redis.info("server")
        assert isinstance(info, dict)
        kill(info["process_id"])
        time.sleep(self._chance.uniform(0, 1.5))
        redis_server.ensure(self._home)
        return True

    def _kill_node(self) -> bool:
        processes = [p.process.pid for infos in self._node.all_processes.values() for p in infos]
        children = [child.pid for pid in processes for child in psutil.Process(pid).children(recursive=True)]
        for pid in [*processes, *children]:
            kill(pid)
        self._node = self._cluster.add_node(num_cpus=2, resources=SECOND)
        return True


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _is_worker(command: str) -> bool:
    """Whether a process of Ray runs tasks; its actors have a class and a method in their names."""
    return command.startswith("ray::") and "." not in command and "Actor" not in command
