"""2,000 jobs under random kills of everything: 0 lost, 0 committed twice, 0 stale writes accepted."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

import ytray
from tests.chaos.tasks_for_chaos import failing_once, five_steps, short, sleeping
from ytray import Job, JobState
from ytray.engine.actors import find_actor
from ytray.engine.connection import store
from ytray.engine.model import LEGAL_MOVES
from ytray.engine.store import Store
from ytray.settings import settings
from ytray.system import redis_server

SECONDS = float(os.environ.get("YTRAY_CHAOS_SECONDS", "180"))
SEED = int(os.environ.get("YTRAY_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
JOBS = 2000
QUEUES = {"queue_default": 2, "queue_generation": 1, "queue_media": 1, "queue_batch": 1}
SECOND = {"queue_default": 1, "queue_batch": 2}
LEASE = "4"


class Chaos:
    """Kills something every now and then, and puts back what does not come back by itself."""

    def __init__(self, cluster: Any, home: Path, chance: random.Random) -> None:
        self._cluster, self._home, self._chance = cluster, home, chance
        self._node = cluster.add_node(num_cpus=2, resources=SECOND)
        self.killed: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        """Kill for so many seconds. In the main thread, since Ray adds nodes only there."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(self._chance.uniform(0.5, 3.0))
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
        names = ("ray::short", "ray::sleeping", "ray::failing_once", "ray::chaos_step", "ray::IDLE")
        found = [p for p in psutil.process_iter(["cmdline"]) if " ".join(p.info["cmdline"] or []).startswith(names)]
        return bool(found) and _kill(self._chance.choice(found).pid)

    def _actor(self, name: str) -> bool:
        try:
            return _kill(ray.get(find_actor(name).report.remote(), timeout=5)["pid"])
        except ray.exceptions.RayError:
            return False  # it is just being restarted

    def _redis(self) -> bool:
        info = store().redis.info("server")
        assert isinstance(info, dict)
        _kill(info["process_id"])
        time.sleep(self._chance.uniform(0, 1.5))
        redis_server.ensure(self._home)
        return True

    def _kill_node(self) -> bool:
        processes = [p.process.pid for infos in self._node.all_processes.values() for p in infos]
        children = [child.pid for pid in processes for child in psutil.Process(pid).children(recursive=True)]
        for pid in [*processes, *children]:
            _kill(pid)
        self._node = self._cluster.add_node(num_cpus=2, resources=SECOND)
        return True


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("YTRAY_LEASE_SECONDS", LEASE)
    settings.cache_clear()
    made: Any = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "resources": QUEUES,
            "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 3},
        },
    )
    ray.init(address=made.address, namespace="ytray", log_to_driver=False)
    ytray.connect()
    yield made
    ytray.shutdown()
    ray.shutdown()
    made.shutdown()


@pytest.mark.chaos
def test_nothing_is_lost_and_nothing_is_done_twice(cluster: Any, home: Path) -> None:
    chance = random.Random(SEED)
    print(f"\nseed {SEED} (YTRAY_CHAOS_SEED={SEED} repeats it), {SECONDS:.0f} s of kills")
    system = store()
    accepted: list[Job[Any]] = []
    submitting = threading.Thread(target=_submit_over, args=(accepted, chance, SECONDS * 0.9))
    chaos = Chaos(cluster, home, random.Random(SEED + 1))
    submitting.start()
    chaos.run(SECONDS)
    submitting.join()
    quiet = time.monotonic()
    states = Counter(_end_of(job, quiet + 240) for job in accepted)
    told = _verdict(system, accepted)
    print(f"killed: {dict(chaos.killed)}")
    print(f"accepted {len(accepted)}, ended {dict(states)}, {time.monotonic() - quiet:.0f} s after the last kill")
    print(", ".join(f"{name} {value}" for name, value in told.items()))
    assert states == {"COMPLETED": len(accepted)}
    assert {name: value for name, value in told.items() if name != "stale writes refused"} == {
        "committed twice": 0,
        "stale writes accepted": 0,
        "illegal histories": 0,
        "listings wrong": 0,
    }
    assert sum(chaos.killed.values()) >= SECONDS / 6


def _submit_over(accepted: list[Job[Any]], chance: random.Random, seconds: float) -> None:
    """Submit all jobs, spread over so many seconds, whatever is being killed meanwhile."""
    begun = time.monotonic()
    while len(accepted) < JOBS:
        accepted += _some_jobs(chance, len(accepted))
        time.sleep(max(0.0, begun + seconds * len(accepted) / JOBS - time.monotonic()))


def _some_jobs(chance: random.Random, number: int) -> list[Job[Any]]:
    match chance.randrange(6):
        case 0:
            return list(short.map([{"number": number + n} for n in range(chance.randrange(1, 60))]))
        case 1:
            return [short.options(priority=chance.randrange(10)).delay(number)]
        case 2:
            return [sleeping.options(queue="batch").delay(number, chance.uniform(0.1, 1.0))]
        case 3:
            return [failing_once.delay(number)]
        case 4:
            return [short.options(delay=chance.uniform(0.1, 5)).delay(number)]
        case _:
            return [five_steps.delay(number)]


def _end_of(job: Job[Any], deadline: float) -> str:
    try:
        return store().wait_until_ended(job.id, max(0.1, deadline - time.monotonic())).value
    except TimeoutError:
        status = job.status()
        print(f"lost: {status.task_name} {job.id} worker {store().fields(job.id, 'worker', 'lane')}")
        for move in job.history()[-6:]:
            print(f"    {move.at:%H:%M:%S} {move.from_state} {move.to_state} {move.metadata}")
        return f"LOST as {status.current_state}"


def _verdict(system: Store, accepted: list[Job[Any]]) -> dict[str, int]:
    twice = stale = illegal = listings = 0
    everything = [job.id for job in accepted]
    everything += [kid.job_id for job in accepted for kid in system.children(job.id)]
    for job_id in everything:
        history = system.history(job_id)
        status = system.status(job_id)
        twice += sum(t.to_state is JobState.COMPLETED for t in history) != 1
        illegal += not all(
            a.to_state is b.from_state and b.to_state in LEGAL_MOVES[b.from_state] for a, b in pairwise(history)
        )
        if isinstance(status.result, str):
            fence = int(status.result.split(":")[1])
            last = max(int(t.metadata["fence"]) for t in history if t.to_state is JobState.EXECUTING)
            stale += fence != last
        queue = status.queue
        listed = [s for s in JobState if system.redis.zscore(system.key(f"in:{queue}:{s}"), job_id) is not None]
        listings += listed != [status.current_state]
    refused = int(system.redis.hget(system.key("m"), "stale") or 0)
    return {
        "committed twice": twice,
        "stale writes accepted": stale,
        "illegal histories": illegal,
        "listings wrong": listings,
        "stale writes refused": refused,
    }
