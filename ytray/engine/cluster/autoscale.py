"""Hints for Ray's autoscaler: a thread of the tracker tells it how many slots the queues could use.

Ray never sees a queue's depth, since no more Ray tasks are launched than there are slots. So its autoscaler is asked
for a cluster that has room for what runs and what waits, up to YTRAY_AUTOSCALE_MOST slots of each queue. A demand is
held for YTRAY_AUTOSCALE_HOLD seconds before it is lowered, so that nodes do not come and go with every gap in the work.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, cast

import redis
from pydantic_core import from_json, to_json
from ray._private.state import state
from ray.autoscaler.sdk import request_resources

from ytray.engine.base import logs
from ytray.engine.base.model import QUEUE_PRIORITIES
from ytray.engine.state.records import gpu_share
from ytray.engine.state.store import Store
from ytray.errors import SystemUnavailable
from ytray.settings import settings

_LOOK_EVERY = 2.0  # seconds
_SAMPLE = 100  # jobs of a queue that are looked at for what all of it needs
_WORTH_A_SLOT = 10.0  # seconds of work: a node takes a minute to come, so shorter jobs want one slot together

_GONE_AFTER = 60.0  # seconds for which a system that says nothing counts
_DEMANDS = b"ytray_demands"  # the namespace of Ray's store of keys and values where each system says what it needs

Demand = dict[str, int]  # slots by queue, and cards under "GPU"

_log = logs.get("ytray.autoscale")


class Autoscaling:
    """Asks for the nodes that the queues need.

    `in_flight` tells how many slots of a queue are taken, and cards under "GPU"; `seconds` how long a job of a task
    takes, if that is known.
    """

    def __init__(
        self, store: Store, in_flight: Callable[[], Mapping[str, float]], seconds: Callable[[str], float | None]
    ) -> None:
        self._store = store
        self._in_flight = in_flight
        self._seconds = seconds
        self._lately: deque[tuple[float, Demand]] = deque()
        self._asked: Demand | None = None

    def ask_forever(self) -> None:
        """Ask again whenever the demand has changed. Each tracker asks once at least: what the last one did stands.

        Where nothing is to be asked for any more, what was is taken back.
        """
        while True:
            try:
                if not settings().autoscale_most and not self._store.redis.exists(self._store.key("autoscaled")):
                    return
                self.ask()
            except (SystemUnavailable, redis.RedisError) as away:
                _log.warning("the autoscaler is asked again", error=str(away))
            except Exception:
                _log.exception("the autoscaler is asked again")
            time.sleep(_LOOK_EVERY)

    def ask(self) -> None:
        """Say what this system needs, and ask for what all on the cluster need where that has changed."""
        demand = self._held(self._demand())
        wanted = _within_limits(_with_others(demand, self._store.namespace))
        if wanted != self._asked:
            # Cards are asked for apart from slots, since jobs run without where no card is free.
            bundles: list[dict[str, Any]] = [{_resource(name): 1} for name, many in wanted.items() for _ in range(many)]
            self._store.redis.set(self._store.key("autoscaled"), "1")
            request_resources(bundles=bundles)
            self._asked = wanted
            _log.info("the autoscaler was asked", **wanted)
        if not settings().autoscale_most and not any(demand.values()):
            self._store.redis.delete(self._store.key("autoscaled"))

    def _demand(self) -> Demand:
        most = settings().autoscale_most
        paused = cast("set[bytes]", self._store.redis.smembers(self._store.key("paused")))
        in_flight = self._in_flight()
        demand: Demand = {}
        cards = 0.0
        for queue in QUEUE_PRIORITIES:
            slots, wanted_cards = (0.0, 0.0) if queue.encode() in paused else self._waiting(queue, most)
            demand[queue] = min(most, math.ceil(slots + in_flight.get(queue, 0)))
            cards += wanted_cards
        demand["GPU"] = min(most, math.ceil(cards + in_flight.get("GPU", 0)))
        return demand

    def _waiting(self, queue: str, most: int) -> tuple[float, float]:
        """The slots and cards that the waiting jobs of a queue could use, going by the first of them."""
        pipe = self._store.redis.pipeline(transaction=False)
        pipe.zcard(self._store.key(f"ready:{queue}"))
        pipe.zrange(self._store.key(f"ready:{queue}"), 0, _SAMPLE - 1)
        depth, sample = pipe.execute()
        if not depth:
            return 0.0, 0.0
        for job_id in sample:
            pipe.hmget(self._store.key(f"j:{job_id.decode()}"), ["task", "spec"])
        found = pipe.execute(raise_on_error=False)
        jobs = [(row[0].decode(errors="replace"), row[1]) for row in found if isinstance(row, list) and row[0]]
        scale = depth / max(1, len(jobs))
        slots = scale * sum(self._worth(task) for task, _ in jobs)
        # Held to what its slots may become first: a thousand waiting compositions are no reason for a thousand cards.
        share = sum(gpu_share(spec or b"") for _, spec in jobs) / max(1, len(jobs))
        return slots, share * min(most, slots)

    def _worth(self, task: str) -> float:
        seconds = self._seconds(task)
        return 1.0 if seconds is None else min(1.0, seconds / _WORTH_A_SLOT)

    def _held(self, demand: Demand) -> Demand:
        """The most that was wanted lately."""
        now = time.monotonic()
        self._lately.append((now, demand))
        while self._lately[0][0] < now - settings().autoscale_hold:
            self._lately.popleft()
        return {name: max(one.get(name, 0) for _, one in self._lately) for name in demand}


def _with_others(demand: Demand, namespace: str) -> Demand:
    """The demand together with those of the other systems on this Ray cluster, which knows only one for all."""
    from ray._private.worker import global_worker

    kept: Any = global_worker
    kept.gcs_client.internal_kv_put(namespace.encode(), to_json([time.time(), demand]), True, _DEMANDS)
    names = [name for name in kept.gcs_client.internal_kv_keys(b"", _DEMANDS) if name != namespace.encode()]
    together = Counter(demand)
    for told in kept.gcs_client.internal_kv_multi_get(names, _DEMANDS).values():
        at, others = from_json(told)
        # A system that is gone says nothing any more.
        together.update(others if abs(time.time() - at) < _GONE_AFTER else {})
    return dict(together)


def _within_limits(demand: Demand) -> Demand:
    """No more than the cluster may ever have, where its autoscaler says so: it takes a demand whole or not at all."""
    ask: Callable[[], Mapping[str, float] | None] = state.get_max_resources_from_cluster_config
    limits = ask()
    if limits is None:
        return demand
    return {name: min(number, int(limits.get(_resource(name), 0))) for name, number in demand.items()}


def _resource(name: str) -> str:
    return name if name == "GPU" else f"queue_{name}"
