"""Simulated nodes: they hold slots for as long as jobs say, and speak to Redis as workers do.

What a worker (run/worker.py) asks of the store is asked here too, job by job: `start`, `beat` for a job that runs for
longer than a third of its lease, `complete`. Only the network is spared: calls of many workers that fall
together go to Redis in one packet. What Ray does is played: tasks wait for a free slot in the order of their coming;
those of a node that died are run again elsewhere once that is noticed, twice at most; those of a tracker that died are
stopped.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from typing import Any

from benchmarks.simulated.work import seconds_of
from ytray.engine.state.link import SCRIPTS
from ytray.engine.state.store import Claimed, Store
from ytray.settings import settings

_RAY_RETRIES = 2
_LONGEST_WAIT = 0.005  # seconds between looks at orders
_TOGETHER = 32  # calls in one packet: more would keep Redis from the tracker's


@dataclass(slots=True, eq=False)
class _Node:
    slots: dict[str, int]
    is_alive: bool = True
    running: set[_Lease] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class _Slot:
    """A worker process: it takes one lease after another."""

    worker: str
    node: _Node


@dataclass(slots=True, eq=False)
class _Lease:
    """What the tracker launched as one Ray task, and where it runs."""

    owner: Connection
    number: int
    queue: str
    jobs: list[Claimed]
    tries: int = 0
    slot: _Slot | None = None
    todo: list[tuple[Claimed, int, float]] = field(default_factory=list)  # with fence and seconds
    is_gone: bool = False  # its process is dead
    is_orphan: bool = False  # nobody listens to it any more, and it goes on


@dataclass(slots=True)
class Seen:
    """What the nodes saw. Times are in seconds."""

    taken_up: dict[str, float] = field(default_factory=dict)  # Unix time, of the jobs that were asked for
    elsewhere: list[float] = field(default_factory=list)  # from noticing a node's death to a lost job's new start
    completed: int = 0
    refused: int = 0
    held: float = 0.0  # slots held for jobs that completed


class Nodes:
    """So many nodes with these slots each. `address` is where a tracker finds them."""

    def __init__(self, store: Store, folder: Path, setup: bytes, number: int, slots: Mapping[str, int]) -> None:
        given = settings()
        self.seen = Seen()
        self.watched: set[str] = set()  # jobs whose start is noted
        self.address = str(folder / "nodes.sock")
        self._store, self._setup = store, setup
        self._listener = Listener(self.address, "AF_UNIX", backlog=4)
        self._trackers: list[Connection] = []
        self._nodes: list[_Node] = []
        self._free: dict[str, deque[_Slot]] = {queue: deque() for queue in slots}
        self._pending: dict[str, deque[_Lease]] = {queue: deque() for queue in slots}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._orders: deque[Callable[[], None]] = deque()
        self._starting: list[_Lease] = []
        self._ending: list[_Lease] = []
        self._beating: list[_Lease] = []
        self._landed: dict[Connection, list[tuple[int, int, float, str]]] = {}
        self._lost: dict[str, float] = {}
        self._lease_ms, self._ttl = round(given.lease_seconds * 1000), given.result_ttl
        self._is_open = True
        for _ in range(number):
            self._join(dict(slots))
        for name in ("start", "complete", "beat"):
            store.redis.script_load(SCRIPTS[name][0])
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._listen, self._work)]
        for thread in self._threads:
            thread.start()

    # ------------------------------------------------------------------------------------------ by the simulation

    def add(self, number: int, slots: Mapping[str, int]) -> None:
        """Nodes join."""
        self._orders.append(lambda: self._add(number, dict(slots)))

    def kill(self, number: int, noticed_after: float, *, cut_off: bool = False) -> None:
        """The first living nodes die at once, or are cut off: then their workers go on, and write when they end.

        `noticed_after` is how many seconds it takes until their tasks run again elsewhere and their slots are gone.
        """
        self._orders.append(lambda: self._kill(number, noticed_after, cut_off))

    def close(self) -> None:
        """Stop them all."""
        self._is_open = False
        self._threads[1].join(10)
        self._listener.close()

    def _add(self, number: int, slots: dict[str, int]) -> None:
        for _ in range(number):
            self._join(slots)
        self._tell_slots()

    def _join(self, slots: dict[str, int]) -> None:
        node = _Node(slots)
        place = len(self._nodes)
        self._nodes.append(node)
        for queue, number in slots.items():
            self._free[queue].extend(_Slot(f"node{place}:{queue}:{n}", node) for n in range(number))

    def _kill(self, number: int, noticed_after: float, cut_off: bool) -> None:
        dying = list(itertools.islice((node for node in self._nodes if node.is_alive), number))
        for node in dying:
            node.is_alive = False
            for lease in node.running:
                lease.is_gone, lease.is_orphan = not cut_off, cut_off
        self._at(noticed_after, lambda: self._notice(dying))

    def _notice(self, dead: list[_Node]) -> None:
        self._tell_slots()
        now = time.monotonic()
        for node in dead:
            for lease in node.running:
                self._lost |= dict.fromkeys((job.job_id for job, _, _ in lease.todo), now)
                again = _Lease(lease.owner, lease.number, lease.queue, lease.jobs, lease.tries + 1)
                if lease.owner not in self._trackers:
                    continue
                if again.tries <= _RAY_RETRIES:
                    self._pending[lease.queue].append(again)
                else:
                    self._land(again, 0, 0.0, "its node died")
            node.running.clear()

    # ------------------------------------------------------------------------------------------ by the tracker

    def _listen(self) -> None:
        while self._is_open:
            try:
                tracker = self._listener.accept()
            except OSError:
                return
            tracker.send(self._setup)
            self._orders.append(partial(self._welcome, tracker))

    def _welcome(self, tracker: Connection) -> None:
        self._trackers.append(tracker)
        self._tell_slots()

    def _tell_slots(self) -> None:
        slots = dict.fromkeys(self._free, 0)
        for node in self._nodes:
            if node.is_alive:
                for queue, number in node.slots.items():
                    slots[queue] += number
        for tracker in self._trackers:
            self._tell(tracker, ("slots", slots))

    def _tell(self, tracker: Connection, what: tuple[Any, ...]) -> None:
        try:
            tracker.send(what)
        except OSError:
            self._lose(tracker)

    def _hear(self, tracker: Connection) -> None:
        try:
            while tracker.poll():
                number, queue, jobs = tracker.recv()
                if jobs is None:
                    self._cancel(tracker, number)
                else:
                    self._pending[queue].append(_Lease(tracker, number, queue, jobs))
        except (EOFError, OSError):
            self._lose(tracker)

    def _lose(self, tracker: Connection) -> None:
        """Ray stops the tasks of an owner that died."""
        if tracker not in self._trackers:
            return
        self._trackers.remove(tracker)
        tracker.close()
        for queue, pending in self._pending.items():
            self._pending[queue] = deque(lease for lease in pending if lease.owner is not tracker)
        for node in self._nodes:
            for lease in [lease for lease in node.running if lease.owner is tracker]:
                lease.is_gone = True
                self._vacate(lease)

    def _cancel(self, tracker: Connection, number: int) -> None:
        waiting = [lease for pending in self._pending.values() for lease in pending]
        for lease in [*waiting, *(lease for node in self._nodes for lease in node.running)]:
            if lease.owner is tracker and lease.number == number and not lease.is_gone:
                lease.is_gone = True
                if lease.slot is None:
                    self._pending[lease.queue].remove(lease)
                else:
                    self._vacate(lease)
                self._land(lease, 0, 0.0, "cancelled")

    # ------------------------------------------------------------------------------------------ at work

    def _work(self) -> None:
        while self._is_open:
            until = self._events[0][0] - time.monotonic() if self._events else _LONGEST_WAIT
            ready = wait(self._trackers, max(0.0, min(until, _LONGEST_WAIT)))
            for tracker in ready:
                assert isinstance(tracker, Connection)
                self._hear(tracker)
            while self._orders:
                self._orders.popleft()()
            now = time.monotonic()
            while self._events and self._events[0][0] <= now:
                heapq.heappop(self._events)[2]()
            for queue, pending in self._pending.items():
                self._place(queue, pending)
            self._speak()
            for tracker, landed in self._landed.items():
                self._tell(tracker, ("landed", landed))
            self._landed = {}

    def _at(self, seconds: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time.monotonic() + seconds, next(self._numbers), then))

    def _place(self, queue: str, pending: deque[_Lease]) -> None:
        free = self._free[queue]
        while pending and free:
            slot = free.popleft()
            if slot.node.is_alive:
                lease = pending.popleft()
                lease.slot = slot
                slot.node.running.add(lease)
                self._starting.append(lease)

    def _vacate(self, lease: _Lease) -> None:
        assert lease.slot is not None
        lease.slot.node.running.discard(lease)
        self._free[lease.queue].append(lease.slot)

    def _land(self, lease: _Lease, jobs: int, seconds: float, error: str) -> None:
        self._landed.setdefault(lease.owner, []).append((lease.number, jobs, seconds, error))

    def _speak(self) -> None:
        ending = [lease for lease in self._ending if not lease.is_gone]
        self._ending.clear()
        refused = self._call("complete", [(self._worker(lease), self._ttl, *_outcomes(lease)) for lease in ending])
        for lease, stale in zip(ending, refused, strict=True):
            self._end(lease, stale)
        starting = [lease for lease in self._starting if not lease.is_gone]
        self._starting.clear()
        rows = [(self._worker(lease), self._lease_ms, self._ttl, *_claims(lease)) for lease in starting]
        for lease, fences in zip(starting, self._call("start", rows), strict=True):
            self._begin(lease, fences)
        beating = [lease for lease in self._beating if not lease.is_gone and lease.todo]
        self._beating.clear()
        rows = [("tracker", self._worker(lease), self._lease_ms, *_held(lease)) for lease in beating]
        for lease, lost in zip(beating, self._call("beat", rows), strict=True):
            if len(lost) < len(lease.todo):
                self._at(self._lease_ms / 3000, partial(self._beating.append, lease))

    def _begin(self, lease: _Lease, fences: Sequence[int]) -> None:
        now, at = time.monotonic(), time.time()
        lease.todo = [
            (job, fence, seconds_of(job)) for job, fence in zip(lease.jobs, fences, strict=True) if int(fence)
        ]
        for job, _, _ in lease.todo:
            if job.job_id in self.watched:
                self.seen.taken_up.setdefault(job.job_id, at)
            if job.job_id in self._lost:
                self.seen.elsewhere.append(now - self._lost.pop(job.job_id))
        seconds = sum(job_seconds for _, _, job_seconds in lease.todo)
        self._at(seconds, partial(self._ending.append, lease))
        if seconds > self._lease_ms / 3000:
            self._at(self._lease_ms / 3000, partial(self._beating.append, lease))

    def _end(self, lease: _Lease, stale: int) -> None:
        jobs, seconds = len(lease.todo), sum(job_seconds for _, _, job_seconds in lease.todo)
        self.seen.completed += jobs - stale
        self.seen.refused += stale
        lease.todo = []
        if not lease.is_orphan:
            self.seen.held += seconds
            self._vacate(lease)
            self._land(lease, jobs, seconds, "")

    def _worker(self, lease: _Lease) -> str:
        assert lease.slot is not None
        return lease.slot.worker

    def _call(self, script: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        replies: list[Any] = []
        digest, prefix = SCRIPTS[script][1], self._store.prefix
        for start in range(0, len(rows), _TOGETHER):
            pipe = self._store.redis.pipeline(transaction=False)
            for row in rows[start : start + _TOGETHER]:
                queue_up: Callable[..., Any] = pipe.execute_command
                queue_up("EVALSHA", digest, 1, prefix, *row)
            replies += pipe.execute()
        return replies


def _claims(lease: _Lease) -> Iterable[Any]:
    return itertools.chain.from_iterable((job.job_id, job.fence) for job in lease.jobs)


def _held(lease: _Lease) -> Iterable[Any]:
    return itertools.chain.from_iterable((job.job_id, fence) for job, fence, _ in lease.todo)


def _outcomes(lease: _Lease) -> Iterable[Any]:
    return itertools.chain.from_iterable(
        (job.job_id, fence, b"null", round(seconds * 1000, 3)) for job, fence, seconds in lease.todo
    )
