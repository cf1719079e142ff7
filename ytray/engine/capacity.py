"""How much may be in flight: the slots that the cluster's nodes offer, and how many short jobs share a Ray task."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import ray

from ytray.engine.model import QUEUE_PRIORITIES

_LOOK_EVERY = 1.0  # seconds between looks at the cluster's nodes


def cluster_slots() -> dict[str, int]:
    """Slots by queue that the nodes of the connected Ray cluster offer now."""
    ask: Callable[[], dict[str, float]] = ray.cluster_resources
    resources = ask()
    return {queue: int(resources.get(f"queue_{queue}", 0)) for queue in QUEUE_PRIORITIES}


def queues_with_cards() -> frozenset[str]:
    """The queues that a living node serves which has a GPU: a job of these that asks for a share gets it there."""
    ask: Callable[[], list[dict[str, Any]]] = ray.nodes
    return frozenset(
        queue
        for node in ask()
        if node["Alive"] and node["Resources"].get("GPU")
        for queue in QUEUE_PRIORITIES
        if node["Resources"].get(f"queue_{queue}")
    )


def free_cards() -> float:
    """How many cards nobody holds a share of at this moment, over the whole cluster."""
    ask: Callable[[], dict[str, float]] = ray.available_resources
    return ask().get("GPU", 0.0)


class Slots:
    """Slots of each queue over the whole cluster, as the custom resources `queue_<name>` say.

    A thread of its own looks now and then, since Ray may take its time to answer; `changed` is called when nodes came
    or went.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.known: dict[str, int] = {}
        self.with_cards: frozenset[str] = frozenset()
        self.free_cards = 0.0
        self._changed = changed
        threading.Thread(target=self._look_forever, name="ytray-slots", daemon=True).start()

    @staticmethod
    def by_priority() -> list[str]:
        """The queues, the one that is worth most first."""
        return sorted(QUEUE_PRIORITIES, key=lambda queue: -QUEUE_PRIORITIES[queue])

    def _look_forever(self) -> None:
        while True:
            found, cards = cluster_slots(), queues_with_cards()
            self.free_cards = free_cards() if cards else 0.0
            if (found, cards) != (self.known, self.with_cards):
                self.known, self.with_cards = found, cards
                self._changed()
            time.sleep(_LOOK_EVERY)


class Pace:
    """How long each task's jobs take, learnt as they end.

    A Ray task costs about half a millisecond, so jobs that are shorter than that share one: as many as fill
    `_FILL` seconds. A task that is not known yet, or not short, gets a Ray task for each job.
    """

    LARGEST_LEASE: ClassVar[int] = 64  # jobs
    _FILL: ClassVar[float] = 0.03  # seconds
    _SHORT: ClassVar[float] = 0.25  # seconds
    _NEWEST_COUNTS: ClassVar[float] = 0.3  # weight of the latest lease in the moving average

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def learn(self, task: str, jobs: int, seconds: float) -> None:
        """Take in that `jobs` jobs of a task took `seconds` altogether."""
        if jobs:
            known = self._seconds.get(task, seconds / jobs)
            self._seconds[task] = known + self._NEWEST_COUNTS * (seconds / jobs - known)

    def short_tasks(self) -> list[str]:
        """The tasks whose jobs may share a Ray task, and may wait in Ray ahead of a free slot."""
        return [task for task, seconds in self._seconds.items() if seconds < self._SHORT]

    def lease_size(self, task: str) -> int:
        """How many jobs of a task one Ray task takes."""
        seconds = self._seconds.get(task)
        if seconds is None or seconds >= self._SHORT:
            return 1
        return max(1, min(self.LARGEST_LEASE, int(self._FILL / max(seconds, 1e-6))))
