"""Emptying nodes that are drained, by ytray or by Ray itself (its autoscaler, a notice of preemption).

Ray gives such a node nothing new and leaves alone what runs there. So the workers there are ordered to hand over: jobs
that have not begun at once, the others at the deadline. (Our own actors live at the head, which is never drained.) It
is a thread of the tracker and holds no state that matters: Ray knows which nodes are drained and until when.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar, cast

import redis
from ray.exceptions import RayError

from ytray.engine.base import logs
from ytray.engine.cluster.capacity import Node, cluster_nodes
from ytray.engine.cluster.nodes import RAYS_OWN, drain_records, is_told_of, record_drain, workers_of
from ytray.engine.state.store import Store
from ytray.errors import SystemUnavailable
from ytray.settings import settings

_LOOK_EVERY = 1.0  # seconds
_FORGET_EVERY = 3600.0  # seconds
_ORDER_KEPT = 3600  # seconds
_BEFORE_THE_END = 2.0  # seconds that a job is given, with the grace of a cancellation, where the machine goes itself

_log = logs.get("ytray.handover")

Bundle = TypeVar("Bundle")  # the tracker's own


class HandingOver(Generic[Bundle]):
    """Sees which nodes are drained and empties them.

    `in_flight` tells which jobs are launched, and as what; `changed` is called when `leaving` has changed. `leaving`
    are those of them that run on a drained node: they take no slot of those that are left.
    """

    def __init__(
        self, store: Store, in_flight: Callable[[], Mapping[str, Bundle]], changed: Callable[[], None]
    ) -> None:
        self.leaving: Mapping[str, Bundle] = {}
        self._store = store
        self._in_flight = in_flight
        self._changed = changed
        self._ordered: set[tuple[str, int]] = set()
        self._recorded: set[str] = set()
        self._forget_at = 0.0
        self._told_counts: tuple[int, int] | None = None

    def look_forever(self) -> None:
        """Look each second."""
        while True:
            try:
                self._look()
            except (SystemUnavailable, redis.RedisError, RayError) as away:
                _log.warning("nodes are looked at again", error=str(away))
            except Exception:
                _log.exception("nodes are looked at again")
            time.sleep(_LOOK_EVERY)

    def _look(self) -> None:
        nodes = cluster_nodes()
        drained = [node for node in nodes if node.drain_deadline_ms is not None]
        self._tell(nodes, drained)
        leaving = self._find_leaving(drained)
        if leaving != self.leaving:
            self.leaving = leaving
            self._changed()
        if drained:
            self._order_workers(drained)

    def _tell(self, nodes: Sequence[Node], drained: Sequence[Node]) -> None:
        """Keep for everybody how many nodes there are, and each drain's beginning and reason."""
        counts = (sum(node.is_serving for node in nodes), len(drained))
        if counts != self._told_counts:
            self._store.redis.hset(self._store.key("nodes"), mapping={"up": counts[0], "draining": counts[1]})
            self._told_counts = counts
        now = time.time()
        for node in drained:
            if node.node_id not in self._recorded:
                self._recorded.add(node.node_id)
                self._record(node, round(now * 1000))
        self._recorded &= {node.node_id for node in drained}
        if time.monotonic() >= self._forget_at:
            self._forget_at = time.monotonic() + _FORGET_EVERY
            self._forget([node.node_id for node in nodes if node.is_alive])

    def _record(self, node: Node, now_ms: int) -> None:
        known = drain_records(self._store).get(node.node_id, {})
        reason = known.get("reason") or RAYS_OWN
        record_drain(self._store, node.node_id, now_ms, node.drain_deadline_ms or 0, reason)
        _log.info("a node is drained", node=node.word, host=node.host, reason=reason)

    def _forget(self, living: Sequence[str]) -> None:
        for node_id, record in drain_records(self._store).items():
            if node_id not in living and not is_told_of(record):
                self._store.redis.hdel(self._store.key("drains"), node_id)

    def _find_leaving(self, drained: Sequence[Node]) -> Mapping[str, Bundle]:
        words = {node.word for node in drained}
        if not words:
            return {}
        flying = self._in_flight()
        workers = workers_of(self._store, list(flying))
        return {job_id: flying[job_id] for job_id, worker in workers.items() if worker.partition(":")[0] in words}

    def _order_workers(self, drained: Sequence[Node]) -> None:
        """Tell each worker of a drained node once by when it must have handed over."""
        deadlines = {node.word: node.drain_deadline_ms or 0 for node in drained}
        records = drain_records(self._store)
        # A machine that is taken away is gone at the deadline; people mean the moment until which a job may run.
        rays_own = {node.word for node in drained if records.get(node.node_id, {}).get("reason") == RAYS_OWN}
        members = cast("list[bytes]", self._store.redis.zrange(self._store.key("workers"), 0, -1))
        for worker in (member.decode() for member in members):
            deadline_ms = deadlines.get(worker.partition(":")[0])
            if deadline_ms is None or (worker, deadline_ms) in self._ordered:
                continue
            left = deadline_ms / 1000 - time.time() if deadline_ms else float("inf")
            if deadline_ms and worker.partition(":")[0] in rays_own:
                left -= settings().cancel_grace + _BEFORE_THE_END
            pipe = self._store.redis.pipeline(transaction=False)
            pipe.rpush(self._store.key(f"ctl:{worker}"), f"drain {max(0.0, left):.3f}")
            pipe.expire(self._store.key(f"ctl:{worker}"), _ORDER_KEPT)
            pipe.execute()
            self._ordered.add((worker, deadline_ms))
