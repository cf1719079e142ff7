"""A tracker and a flow runner that are at work, as far as a store tells, where a test has no Ray."""

from __future__ import annotations

from ytray.engine.base.model import FLOW_LANE, QUEUE_PRIORITIES
from ytray.engine.state.store import LaneRoom, Store

LEASE_MS = 60_000


def put_at_work(where: Store, *, slots: int = 1) -> None:
    """Both are in office and have just said so; each queue has so many slots."""
    where.take_office("tracker", "a-tracker", 60)
    where.say_at_work("a-tracker", LEASE_MS)
    where.take_office("flows", "a-flow-runner", 60)
    say_flows_run(where, LEASE_MS)
    where.redis.hset(where.key("slots"), mapping=dict.fromkeys(QUEUE_PRIORITIES, slots))


def say_flows_run(where: Store, lease_ms: int) -> None:
    """The flow runner looks for flows, and holds for so long what it finds."""
    where.claim("flows", "a-flow-runner", lease_ms, [LaneRoom(FLOW_LANE, 0, 1)], worker="a-flow-runner")
