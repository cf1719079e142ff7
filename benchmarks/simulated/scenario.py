"""A day of a large cluster in minutes: a million jobs, nodes that die, a tracker that dies. Counts exactly."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import asdict, dataclass, field
from random import Random
from statistics import fmean
from typing import Any, cast

from benchmarks.simulated.running import System, cpu_seconds, durations, quantiles, submit, system
from benchmarks.simulated.work import simulated_item
from ytray import batches
from ytray.engine.base.model import QUEUE_PRIORITIES
from ytray.engine.batch.batches import Batch

SLOTS = {"default": 2, "generation": 2, "media": 2, "batch": 2}  # of a node
FLOODED = ("default", "media", "batch")
_NOTICED_AFTER = 2.0  # seconds from a node's death until Ray says so
_PROBE_EVERY = 0.1  # seconds
_LOOKED_AT = 200  # jobs of each priority whose start is looked up


@dataclass(slots=True)
class Found:
    """What was measured. Times are in seconds, memory in bytes, cost in microseconds of one core a job."""

    nodes: int
    slots: int
    accepted: int = 0
    submitted_per_s: float = 0.0
    bytes_waiting: float = 0.0
    bytes_done: float = 0.0
    seconds: float = 0.0
    per_s: float = 0.0
    mean_job: float = 0.0
    used: float = 0.0  # share of the slots' time until nine tenths were done
    us_redis: float = 0.0
    us_tracker: float = 0.0
    us_nodes: float = 0.0
    cores: float = 0.0  # that the three had together, of this machine's
    claimed_ms: tuple[float, float] = (0.0, 0.0)  # p50, p99 of probes: submitted to claimed
    dispatched_ms: tuple[float, float] = (0.0, 0.0)  # the same, to taken up by a worker
    probes: int = 0
    lost_with_nodes: int = 0
    elsewhere_s: tuple[float, float] = (0.0, 0.0)  # from Ray's notice to taken up elsewhere
    in_flight_of_tracker: int = 0
    office_s: float = 0.0  # from the tracker's death until a new one had launched as many jobs as half the slots
    started_after_s: dict[str, float] = field(default_factory=dict)  # by priority, on average
    items_when_small_ended: tuple[int, int] = (0, 0)  # of the small batch and of the large one
    completed: int = 0
    committed_twice: int = 0
    refused: int = 0
    lost: int = 0
    dead_letters: int = 0


def play(nodes: int, jobs: int, mean: float, *, seed: int = 1) -> Found:
    """Run the whole scenario: so many nodes of eight slots, so many jobs of `mean` seconds."""
    whole = nodes * sum(SLOTS.values())
    found = Found(nodes=nodes, slots=whole, mean_job=mean)
    with system(nodes, SLOTS) as running:
        _Play(running, found, Random(seed), jobs, mean).run()
    return found


class _Play:
    def __init__(self, running: System, found: Found, random: Random, jobs: int, mean: float) -> None:
        self._system, self._store, self._found = running, running.store, found
        self._random, self._jobs, self._mean = random, jobs, mean
        self._by_priority: dict[int, list[str]] = {}
        self._batches: list[Batch] = []
        self._probes: list[str] = []
        self._are_over = threading.Event()
        self._tracker_used = 0.0, 1  # seconds of one core, and jobs done by then

    def run(self) -> None:
        """From the submission to the last job."""
        found, running = self._found, self._system
        for queue in QUEUE_PRIORITIES:
            self._store.pause(queue, paused=True)
        empty = self._memory()
        begun = time.monotonic()
        self._submit()
        found.submitted_per_s = self._jobs / (time.monotonic() - begun)
        found.bytes_waiting = (self._memory() - empty) / self._jobs
        before = self._used()
        for queue in QUEUE_PRIORITIES:
            self._store.pause(queue, paused=False)
        self._store.wake("tracker")
        begun, started = time.monotonic(), time.time()
        probing = threading.Thread(target=self._probe, daemon=True)
        probing.start()
        patience = 60 + 20 * self._jobs * self._mean / found.slots + self._jobs / 100
        running.wait(lambda: running.ended() > 0.25 * self._jobs, patience)
        dying = found.nodes // 10
        running.nodes.kill(dying // 2, _NOTICED_AFTER)
        running.nodes.kill(dying - dying // 2, _NOTICED_AFTER, cut_off=True)
        running.wait(lambda: running.ended() > 0.5 * self._jobs, patience)
        running.nodes.add(dying, SLOTS)
        running.wait(lambda: running.ended() > 0.7 * self._jobs, patience)
        self._lose_tracker()
        running.wait(lambda: running.ended() > 0.9 * self._jobs, patience)
        nine_tenths = time.monotonic() - begun
        found.per_s, found.used = running.ended() / nine_tenths, running.nodes.seen.held / nine_tenths / found.slots
        self._are_over.set()
        probing.join()
        running.wait(lambda: not running.left() and all(batch.status().state.has_ended for batch in self._batches), 600)
        found.seconds = time.monotonic() - begun
        self._tell_costs(before)
        found.bytes_done = (self._memory() - empty) / self._jobs
        self._tell_waits(started)
        self._tell_counts()

    def _submit(self) -> None:
        flood = int(self._jobs * 0.3)
        for priority, share in ((4, 0.8), (0, 0.1), (9, 0.1)):
            for queue in FLOODED:
                seconds = durations(self._random, int(flood * share), self._mean)
                ids = submit(self._store, queue, seconds, priority)
                self._by_priority.setdefault(priority, []).extend(ids[:: max(1, 3 * len(ids) // _LOOKED_AT)])
                self._found.accepted += len(ids)
        left = self._jobs - self._found.accepted
        for user, number in (("small", left // 5), ("large", left - left // 5)):
            seconds = durations(self._random, number, self._mean)
            rows = [{"seconds": took, "number": n} for n, took in enumerate(seconds)]
            self._batches.append(batches.submit(rows, task=simulated_item, user_id=user))
            self._found.accepted += number

    def _probe(self) -> None:
        """Submit a job now and then to the queue that has the batches, before which it goes."""
        while not self._are_over.wait(_PROBE_EVERY):
            (job_id,) = submit(self._store, "generation", [0.3], 9, task="probe")
            self._system.nodes.watched.add(job_id)
            self._probes.append(job_id)

    def _lose_tracker(self) -> None:
        found, running = self._found, self._system
        leases = self._store.key("leases:tracker")
        found.in_flight_of_tracker = int(self._store.redis.zcard(leases))
        # Its account ends with it.
        self._tracker_used = cpu_seconds(running.tracker.pid), running.ended()
        begun = time.monotonic()
        running.restart_tracker()
        office = self._store.redis.get(self._store.key("epoch:tracker"))
        running.wait(lambda: self._store.redis.get(self._store.key("epoch:tracker")) != office, 60, every=0.005)
        running.wait(lambda: self._store.redis.zcard(leases) >= found.slots // 2, 60, every=0.005)
        found.office_s = time.monotonic() - begun

    # ------------------------------------------------------------------------------------------ what is told

    def _memory(self) -> int:
        info = self._store.redis.info("memory")
        assert isinstance(info, dict)
        return int(info["used_memory"])

    def _used(self) -> tuple[float, float, float, float]:
        running = self._system
        return (
            cpu_seconds(running.redis_pid()),
            cpu_seconds(running.tracker.pid),
            cpu_seconds(os.getpid()),
            time.monotonic(),
        )

    def _tell_costs(self, before: tuple[float, ...]) -> None:
        redis, _, own, seconds = (now - then for now, then in zip(self._used(), before, strict=True))
        found, jobs = self._found, self._jobs
        tracker = (self._tracker_used[0] - before[1]) / self._tracker_used[1]
        found.us_redis, found.us_tracker, found.us_nodes = redis / jobs * 1e6, tracker * 1e6, own / jobs * 1e6
        found.cores = (redis + tracker * jobs + own) / seconds

    def _tell_waits(self, started: float) -> None:
        found, seen = self._found, self._system.nodes.seen
        found.lost_with_nodes = len(seen.elsewhere)
        found.elsewhere_s = quantiles(seen.elsewhere)
        statuses = self._store.statuses(self._probes)
        found.probes = len(statuses)
        claimed = [s.started_at.timestamp() - s.created_at.timestamp() for s in statuses if s.started_at]
        found.claimed_ms = _milliseconds(claimed)
        taken_up = [seen.taken_up[s.job_id] - s.created_at.timestamp() for s in statuses if s.job_id in seen.taken_up]
        found.dispatched_ms = _milliseconds(taken_up)
        for priority, ids in sorted(self._by_priority.items()):
            starts = [s.started_at.timestamp() - started for s in self._store.statuses(ids) if s.started_at]
            found.started_after_s[str(priority)] = fmean(starts)

    def _tell_counts(self) -> None:
        found, running = self._found, self._system
        found.accepted += len(self._probes)
        found.completed = running.ended()
        found.committed_twice = running.committed() - found.completed
        found.lost = found.accepted - found.completed
        found.refused = running.nodes.seen.refused
        found.dead_letters = int(self._store.redis.zcard(self._store.key("dlq")))
        small, large = (batch.status() for batch in self._batches)
        assert small.ended_at is not None
        ended = small.ended_at.timestamp() * 1000
        numbers = cast("dict[bytes, bytes]", self._store.redis.hgetall(self._store.key(f"bi:{large.batch_id}")))
        jobs = [record.decode().split(" ")[2] for record in numbers.values()][:20_000]
        before = sum(
            s.completed_at is not None and s.completed_at.timestamp() * 1000 <= ended
            for s in self._store.statuses(jobs)
        )
        found.items_when_small_ended = (small.total, round(before / len(jobs) * large.total))


def _milliseconds(seconds: Any) -> tuple[float, float]:
    p50, p99 = quantiles(seconds)
    return p50 * 1000, p99 * 1000


def told(found: Found) -> dict[str, Any]:
    """The findings as JSON has them."""
    return asdict(found)
