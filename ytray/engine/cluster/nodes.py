"""The nodes of the cluster: which there are, what runs where, and taking one out of service without losing work.

A drain is Ray's own, so that Ray's tasks, actors and Serve leave the node, too: from that moment it is given nothing
new. The tracker sees it and has the node's workers hand over (handover.py); docs/nodes.md tells what happens when.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from ytray.engine.base.model import QUEUE_PRIORITIES, JobState, Time, time_of
from ytray.engine.cluster.capacity import Node, cluster_nodes
from ytray.engine.state.connection import running_store, store
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments, InvalidTransition, SystemUnavailable, UnknownNode

LONGEST_DRAIN = 7 * 86400.0  # seconds
_TOLD_FOR = 86400.0  # seconds after its drain's deadline that a node which is gone is told of
RAYS_OWN = "Ray drains it: its autoscaler, or a notice of preemption"
_OWN = "drained by ytray"
_PREEMPTION = 2  # Ray's DRAIN_NODE_REASON_PREEMPTION: it never refuses because the node is busy
_READ_AT_ONCE = 5_000  # jobs in one round trip

_log = logging.getLogger("ytray.nodes")

DrainRecord = dict[str, Any]  # of the hash `drains`: since_ms, deadline_ms (0: none), reason


class NodeStatus(BaseModel):
    """One node of the cluster now. Slots, and how many of them are busy, are by queue; `gpus` counts its cards.

    `jobs` are the ids of those that run there. What still runs at `drain_deadline` is interrupted and goes on
    elsewhere; a drain without one waits. `warnings` says what the node's leaving means for the jobs that stay.
    """

    model_config = ConfigDict(frozen=True)

    node_id: str
    host: str
    name: str
    is_alive: bool
    is_head: bool
    state: Literal["up", "draining", "gone"]
    slots: dict[str, int]
    busy: dict[str, int]
    gpus: float
    jobs: list[str]
    draining_since: Time | None = None
    drain_deadline: Time | None = None
    drain_reason: str = ""
    warnings: list[str] = Field(default_factory=list)


def list_nodes() -> list[NodeStatus]:
    """Every node of the connected cluster, the head first; of those that are gone, what was drained lately."""
    where = _connected()
    nodes = cluster_nodes()
    records = drain_records(where)
    running = _running(where)
    left = {node_id for node_id, record in records.items() if is_told_of(record)}
    shown = [node for node in nodes if node.is_alive or node.node_id in left or node.word in running]
    shown.sort(key=lambda node: (not node.is_alive, not node.is_head, node.host, node.node_id))
    return [_status(node, nodes, records.get(node.node_id), running.get(node.word, {})) for node in shown]


def drain(node: str, deadline_seconds: float, reason: str = "", *, until: float | None = None) -> NodeStatus:
    """Give a node nothing new and have it emptied; returns how it stands now, with warnings.

    Args:
        node: its Ray node id or the beginning of it, its IP address, or its host name.
        deadline_seconds: what still runs after so long is interrupted, and goes on elsewhere from its checkpoint.
        reason: for people, and for Ray's own records.
        until: a time of time.monotonic() from which on nothing is done any more, should Ray not have answered by then.

    Draining a node again sets a new deadline. Ray knows no way back: a drained node ends, and joins anew when Ray is
    started on it again. Raises UnknownNode; InvalidArguments when more than one node is meant or the deadline cannot
    be; InvalidTransition for a node that is gone already, and for the head; SystemUnavailable when it is too late.
    """
    if not 0 <= deadline_seconds <= LONGEST_DRAIN:
        raise InvalidArguments(f"a drain's deadline is 0 to {LONGEST_DRAIN:,.0f} seconds away, not {deadline_seconds}")
    where = _connected()
    chosen = find_node(node, cluster_nodes())
    if chosen.is_head:
        raise InvalidTransition(
            f"node {chosen.word} ({chosen.host}) is the head of the Ray cluster, which ends with it: "
            "pause the queues and stop the system instead"
        )
    now_ms = round(time.time() * 1000)
    deadline_ms = max(1, round(now_ms + deadline_seconds * 1000))
    before = drain_records(where).get(chosen.node_id)
    # Recorded first: a tracker that looks in between would take it for Ray's own.
    record_drain(where, chosen.node_id, now_ms, deadline_ms, reason or _OWN)
    try:
        _have_drained(chosen, reason or _OWN, deadline_ms, until)
    except BaseException:
        _take_back_record(where, chosen.node_id, before)
        raise
    where.wake("tracker")
    status = next((status for status in list_nodes() if status.node_id == chosen.node_id), None)
    if status is None:
        raise InvalidTransition(f"node {chosen.word} ({chosen.host}) is gone already")
    return status


def _have_drained(node: Node, reason: str, deadline_ms: int, until: float | None) -> None:
    from ray._private.worker import global_worker

    left = None if until is None else until - time.monotonic()
    if left is not None and left <= 0:
        raise SystemUnavailable(f"Ray and Redis took too long to answer; node {node.word} is not drained")
    ray_worker: Any = global_worker
    drain_node: Callable[..., tuple[bool, str]] = ray_worker.gcs_client.drain_node
    accepted, refusal = drain_node(node.node_id, _PREEMPTION, reason, deadline_ms, timeout=left)
    if not accepted:
        raise InvalidTransition(f"Ray does not drain node {node.word}: {refusal}")


def find_node(node: str, nodes: Sequence[Node]) -> Node:
    """The node that an id, the beginning of one, an IP address or a host name means.

    Raises UnknownNode, InvalidArguments when there are several, InvalidTransition when it is gone.
    """
    wanted = node.strip().lower()
    known = f"`ytray nodes` lists the nodes: {', '.join(n.word for n in nodes if n.is_alive)}"
    if not wanted:
        raise UnknownNode(f"no node was named; {known}")
    by_place = [one for one in nodes if wanted in (one.host.lower(), one.name.lower())]
    matching = by_place or [one for one in nodes if one.node_id.startswith(wanted)]
    living = [one for one in matching if one.is_alive]
    if len(living) > 1:
        meant = ", ".join(one.word for one in living)
        raise InvalidArguments(f"{node!r} means {len(living)} nodes ({meant}): give more of the id of one")
    if not living and matching:
        raise InvalidTransition(f"node {node} is gone already; {known}")
    if not living:
        raise UnknownNode(f"there is no node {node!r}: give its id or the beginning of it, address or name; {known}")
    return living[0]


def _connected() -> Store:
    import ray

    return store() if ray.is_initialized() else running_store()


def is_told_of(record: DrainRecord) -> bool:
    """Whether the drain of a node that is gone is still told of."""
    return bool(max(record["since_ms"], record["deadline_ms"]) / 1000 > time.time() - _TOLD_FOR)


def drain_records(where: Store) -> dict[str, DrainRecord]:
    """What is known of each drain, by the id of its node."""
    stored = cast("dict[bytes, bytes]", where.redis.hgetall(where.key("drains")))
    records = {}
    for node_id, stored_record in stored.items():
        try:
            record = from_json(stored_record)
            records[node_id.decode()] = {
                "since_ms": int(record["since_ms"]),
                "deadline_ms": int(record["deadline_ms"]),
                "reason": str(record["reason"]),
            }
        except (ValueError, TypeError, KeyError):
            _log.error("what is stored of the drain of node %r cannot be read", node_id)
    return records


def record_drain(where: Store, node_id: str, now_ms: int, deadline_ms: int, reason: str) -> None:
    """Keep what Ray does not tell of a drain: since when, and why. A drain that goes on keeps its beginning."""
    known = drain_records(where).get(node_id, {})
    record = {
        "since_ms": known.get("since_ms", now_ms),
        "deadline_ms": deadline_ms,
        "reason": reason or known.get("reason", ""),
    }
    where.redis.hset(where.key("drains"), node_id, to_json(record))


def _take_back_record(where: Store, node_id: str, before: DrainRecord | None) -> None:
    if before is None:
        where.redis.hdel(where.key("drains"), node_id)
    else:
        where.redis.hset(where.key("drains"), node_id, to_json(before))


def _running(where: Store) -> dict[str, dict[str, tuple[str, str]]]:
    """What runs where: first word of a worker's name → job id → (queue, worker)."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for queue in QUEUE_PRIORITIES:
        members = cast("list[bytes]", where.redis.zrange(where.key(f"in:{queue}:{JobState.EXECUTING}"), 0, -1))
        ids = [member.decode(errors="replace") for member in members]
        for job_id, worker in workers_of(where, ids).items():
            found.setdefault(worker.partition(":")[0], {})[job_id] = (queue, worker)
    return found


def workers_of(where: Store, ids: Sequence[str]) -> dict[str, str]:
    """The worker of each job that one has taken up."""
    found: dict[str, str] = {}
    for start in range(0, len(ids), _READ_AT_ONCE):
        some = ids[start : start + _READ_AT_ONCE]
        pipe = where.redis.pipeline(transaction=False)
        for job_id in some:
            pipe.hget(where.key(f"j:{job_id}"), "worker")
        replies = zip(some, pipe.execute(raise_on_error=False), strict=True)
        found.update(
            {job_id: worker.decode(errors="replace") for job_id, worker in replies if isinstance(worker, bytes)}
        )
    return found


def _status(
    node: Node, nodes: Sequence[Node], record: DrainRecord | None, running: Mapping[str, tuple[str, str]]
) -> NodeStatus:
    busy = {queue: len({worker for q, worker in running.values() if q == queue}) for queue in QUEUE_PRIORITIES}
    is_draining = node.drain_deadline_ms is not None
    deadline_ms = node.drain_deadline_ms or (record or {}).get("deadline_ms", 0)
    return NodeStatus(
        node_id=node.node_id,
        host=node.host,
        name=node.name,
        is_alive=node.is_alive,
        is_head=node.is_head,
        state="draining" if is_draining else "up" if node.is_alive else "gone",
        slots={queue: node.slots(queue) for queue in QUEUE_PRIORITIES},
        busy=busy,
        gpus=node.resources.get("GPU", 0.0),
        jobs=sorted(running),
        draining_since=time_of(record["since_ms"]) if record else None,
        drain_deadline=time_of(deadline_ms) if deadline_ms else None,
        drain_reason=record["reason"] if record else "",
        warnings=[
            f"no other node offers queue_{queue}: its jobs wait until one joins"
            for queue in QUEUE_PRIORITIES
            if is_draining and node.slots(queue) and not any(other.is_serving and other.slots(queue) for other in nodes)
        ],
    )
