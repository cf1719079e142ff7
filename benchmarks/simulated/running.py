"""A whole simulated system: a Redis in a temporary home, a tracker in a process of its own, nodes in this one."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

import psutil
from pydantic_core import to_json

from benchmarks.simulated.nodes import Nodes
from ytray.engine.base.model import QUEUE_PRIORITIES, JobState
from ytray.engine.jobs.job import new_job_id
from ytray.engine.run.setup import pack_setup
from ytray.engine.state.connection import adopt_store
from ytray.engine.state.store import Store, Submission
from ytray.settings import Settings, adopt
from ytray.system import redis_server

ROOT = Path(__file__).parents[2]
TASK = "simulated"
_PART = 5000  # jobs in one submission


@dataclass(slots=True)
class System:
    """What runs."""

    store: Store
    nodes: Nodes
    tracker: subprocess.Popen[bytes]
    home: Path

    def restart_tracker(self) -> None:
        """Kill the tracker with -9, and start the next one as Ray would."""
        self.stop_tracker()
        self.tracker = _tracker(self.nodes)

    def stop_tracker(self) -> None:
        """Kill the tracker."""
        self.tracker.kill()
        self.tracker.wait()

    def ended(self) -> int:
        """How many jobs have completed."""
        return self._listed(JobState.COMPLETED)

    def left(self) -> int:
        """How many jobs have not ended."""
        return sum(self._listed(state) for state in JobState if not state.has_ended)

    def committed(self) -> int:
        """How many results were committed: twice for a job of which two were."""
        counters = cast("dict[bytes, bytes]", self.store.redis.hgetall(self.store.key("m")))
        return sum(
            int(n) for name, n in counters.items() if name.startswith(b"tasks|") and name.endswith(b"|completed")
        )

    def _listed(self, state: JobState) -> int:
        return sum(self.store.redis.zcard(self.store.key(f"in:{queue}:{state}")) for queue in QUEUE_PRIORITIES)

    def wait(self, done: Callable[[], bool], seconds: float, every: float = 0.02) -> float:
        """Wait for something, and return how long it took. Raises TimeoutError when that is too long."""
        begun = time.monotonic()
        while not done():
            if self.tracker.poll() is not None:
                raise RuntimeError("the tracker has ended")
            if time.monotonic() - begun > seconds:
                raise TimeoutError(
                    f"not within {seconds:g} s: {self.left():,} jobs are left, {self.ended():,} are done"
                )
            time.sleep(every)
        return time.monotonic() - begun

    def redis_pid(self) -> int:
        """The process of its Redis."""
        info = self.store.redis.info("server")
        assert isinstance(info, dict)
        return int(info["process_id"])


@contextlib.contextmanager
def system(nodes: int, slots: Mapping[str, int], *, lease_seconds: float = 30.0) -> Iterator[System]:
    """A system with so many nodes, each with these slots by queue. Stopped, and its files removed, afterwards."""
    home = Path(tempfile.mkdtemp(prefix="ytray-simulated-"))
    given = Settings(home=home, lease_seconds=lease_seconds, cleanup_cron="0 0 1 1 *")
    with contextlib.ExitStack() as held:
        held.callback(shutil.rmtree, home, ignore_errors=True)
        url, _ = redis_server.ensure(home)
        held.callback(redis_server.stop, home)
        adopt(given)
        store = Store(url, given.namespace)
        adopt_store(store)
        simulated = Nodes(store, home, pack_setup(url, given), nodes, slots)
        held.callback(simulated.close)
        running = System(store, simulated, _tracker(simulated), home)
        held.callback(running.stop_tracker)
        whole = {queue: number * nodes for queue, number in slots.items()}
        running.wait(lambda: _slots(store) == whole, 60)
        yield running


def _slots(store: Store) -> dict[str, int]:
    told = cast("dict[bytes, bytes]", store.redis.hgetall(store.key("slots")))
    return {queue.decode(): int(number) for queue, number in told.items()}


def _tracker(nodes: Nodes) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.simulated.tracker", nodes.address], cwd=ROOT)


def submit(
    store: Store, queue: str, seconds: Sequence[float], priority: int = 4, task: str = TASK, user: str = ""
) -> list[str]:
    """Submit a job for each of these durations; returns their ids."""
    ids = [new_job_id() for _ in seconds]
    what = Submission(task, queue, queue, priority, user=user)
    for start in range(0, len(ids), _PART):
        rows = [
            (job_id, to_json({"code": task, "args": {"seconds": took}}))
            for job_id, took in zip(ids[start : start + _PART], seconds[start : start + _PART], strict=True)
        ]
        store.submit(rows, what)
    return ids


def durations(random: Random, number: int, mean: float) -> list[float]:
    """Seconds of so many jobs, as they vary in practice: lognormal, with half the mean as deviation."""
    sigma = 0.47
    return [round(random.lognormvariate(0, sigma) * mean / 1.1168, 3) for _ in range(number)]


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """Median and 99th of a hundred."""
    if not values:
        return float("nan"), float("nan")
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
