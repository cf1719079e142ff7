"""A tracker and a flow runner that are at work, as far as a store tells, where a test has no Ray."""

from __future__ import annotations

from ytray.engine.model import QUEUE_PRIORITIES
from ytray.engine.store import Store

LEASE_MS = 60_000


def put_at_work(where: Store, *, slots: int = 1) -> None:
    """Both are in office and have just said so; each queue has so many slots."""
    where.take_office("tracker", "a-tracker", 60)
    where.say_at_work("a-tracker", LEASE_MS)
    where.take_office("flows", "a-flow-runner", 60)
    where.beat("flows", "a-flow-runner", LEASE_MS, [])
    where.redis.hset(where.key("slots"), mapping=dict.fromkeys(QUEUE_PRIORITIES, slots))
