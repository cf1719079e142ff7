"""How much may be in flight: the slots that the cluster's nodes offer, and how many short jobs share a Ray task."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ytray.engine.base import logs
from ytray.engine.base.model import QUEUE_PRIORITIES
from ytray.engine.base.names import NODE_WORD

_LOOK_EVERY = 1.0  # seconds between looks at the cluster's nodes

_log = logs.get("ytray.capacity")

HEAD_RESOURCE = "node:__internal_head__"  # Ray gives it to the head node


@dataclass(frozen=True, slots=True)
class Node:
    """A node that Ray lists. `drain_deadline_ms` is None while it is not drained, and 0 for a drain without an end."""

    node_id: str
    host: str
    name: str
    is_alive: bool
    resources: dict[str, float]
    drain_deadline_ms: int | None

    @property
    def word(self) -> str:
        """The prefix of this node's worker names."""
        return self.node_id[:NODE_WORD]

    @property
    def is_serving(self) -> bool:
        """Whether it takes new work."""
        return self.is_alive and self.drain_deadline_ms is None

    @property
    def is_head(self) -> bool:
        """Whether it is the one that the cluster stands and falls with."""
        return HEAD_RESOURCE in self.resources

    def slots(self, queue: str) -> int:
        """The slots of a queue that it offers, or offered until it was drained."""
        return int(self.resources.get(f"queue_{queue}", 0))


def cluster_nodes() -> list[Node]:
    """Every node that the connected Ray cluster lists, those that are gone too."""
    # Ray is imported by who asks it: that takes most of a second, which every command would wait for.
    import ray
    from ray._private.state import state

    ask: Callable[[], list[dict[str, Any]]] = ray.nodes
    ask_draining: Callable[[], dict[str, int]] = state.get_draining_nodes
    draining = ask_draining()
    return [
        Node(
            node["NodeID"],
            node["NodeManagerAddress"],
            node["NodeManagerHostname"],
            node["Alive"],
            node["Resources"],
            draining.get(node["NodeID"]) if node["Alive"] else None,
        )
        for node in ask()
    ]


def here() -> str:
    """The id of the node that this process runs on; "" outside of a cluster."""
    import ray

    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""


def cluster_slots() -> dict[str, int]:
    """Slots by queue that the nodes of the connected Ray cluster offer now; one that is drained offers none."""
    return _slots_of(cluster_nodes())


def _slots_of(nodes: list[Node]) -> dict[str, int]:
    return {queue: sum(node.slots(queue) for node in nodes if node.is_serving) for queue in QUEUE_PRIORITIES}


def _with_cards(nodes: list[Node]) -> frozenset[str]:
    """The queues that a node serves which has a GPU: a job of these that asks for a share gets it there."""
    return frozenset(
        queue
        for node in nodes
        if node.is_serving and node.resources.get("GPU")
        for queue in QUEUE_PRIORITIES
        if node.slots(queue)
    )


@dataclass(slots=True)
class Cards:
    """A node with cards at this moment: how much of them nobody holds, and its free slots by queue."""

    free: float
    slots: dict[str, float]


def free_cards(nodes: list[Node]) -> dict[str, Cards]:
    """The nodes with cards that take new work, by their ids."""
    from ray._private.state import state

    if not any(node.is_serving and node.resources.get("GPU") for node in nodes):
        return {}
    ask: Callable[[], dict[str, dict[str, float]]] = state.available_resources_per_node
    free = ask()
    return {
        node.node_id: Cards(
            free[node.node_id].get("GPU", 0.0),
            {queue: free[node.node_id].get(f"queue_{queue}", 0.0) for queue in QUEUE_PRIORITIES},
        )
        for node in nodes
        if node.is_serving and node.node_id in free
    }


class Slots:
    """Slots of each queue over the whole cluster, as the custom resources `queue_<name>` say.

    A thread of its own looks now and then, since Ray may take its time to answer; `changed` is called when nodes came
    or went.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.known: dict[str, int] = {}
        self.with_cards: frozenset[str] = frozenset()
        self.cards: dict[str, Cards] = {}
        self.serving: dict[str, str] = {}  # with what the names of a node's workers begin → its id
        self.living: frozenset[str] = frozenset()  # the same beginnings, of drained nodes too
        self._changed = changed
        threading.Thread(target=self._look_forever, name="ytray-slots", daemon=True).start()

    @staticmethod
    def by_priority() -> list[str]:
        """The queues, the one that is worth most first."""
        return sorted(QUEUE_PRIORITIES, key=lambda queue: -QUEUE_PRIORITIES[queue])

    def look(self) -> tuple[dict[str, int], frozenset[str]]:
        """The slots by queue now, and the queues with cards."""
        nodes = cluster_nodes()
        self.serving = {node.word: node.node_id for node in nodes if node.is_serving}
        self.living = frozenset(node.word for node in nodes if node.is_alive)
        self.cards = free_cards(nodes)
        return _slots_of(nodes), _with_cards(nodes)

    def take_card(self, queue: str, share: float) -> str | None:
        """The node that has so much of its cards free, beside a slot of the queue; None where none has.

        It counts as taken until the next look, which may be too early to see it taken.
        """
        for node_id, cards in self.cards.items():
            if cards.free >= share and cards.slots[queue] >= 1:
                cards.free -= share
                cards.slots[queue] -= 1
                return node_id
        return None

    def give_card(self, node_id: str, queue: str, share: float) -> None:
        """What was taken is free again."""
        if cards := self.cards.get(node_id):
            cards.free += share
            cards.slots[queue] += 1

    def _look_forever(self) -> None:
        while True:
            try:
                found, cards = self.look()
                if (found, cards) != (self.known, self.with_cards):
                    self.known, self.with_cards = found, cards
                    self._changed()
            except Exception:
                _log.exception("the nodes are looked at again")
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

    def seconds(self, task: str) -> float | None:
        """How long a job of the task takes; None while that is not known."""
        return self._seconds.get(task)

    def lease_size(self, task: str) -> int:
        """How many jobs of a task one Ray task takes."""
        seconds = self._seconds.get(task)
        if seconds is None or seconds >= self._SHORT:
            return 1
        return max(1, min(self.LARGEST_LEASE, int(self._FILL / max(seconds, 1e-6))))
