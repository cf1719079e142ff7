"""The detached FlowRunner actor: it claims flows and runs them, as many at a time as there are, and they hold no slot.

What happens when …
- it dies: Ray restarts it, it takes office in Redis, and every flow starts again from its beginning; each step that
  was submitted before is found, with its result when it has ended, instead of done again.
- a flow ended its process: its mark says so (marks.py). That is a crash of this flow and of no other; it runs alone
  from then on (flow_alone.py), and after three crashes it is in the dead-letter queue.
- a flow blocks the loop: it fails, and the process ends, so that the others go on in a new one (flow_host.py).
- it stands still as a whole: its leases end, the tracker requeues its flows and ends it (reap.lua, standstill.py).
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Collection
from typing import Any, cast

import redis

from ytray.engine.base import logs
from ytray.engine.base.marks import Marks, last_marks, mark_of
from ytray.engine.base.model import FLOW_LANE
from ytray.engine.cluster.capacity import here
from ytray.engine.run.flow_alone import Isolation
from ytray.engine.run.flow_host import FlowHost
from ytray.engine.run.setup import unpack_setup
from ytray.engine.state.link import Deposed
from ytray.engine.state.store import Claimed, LaneRoom, Store
from ytray.errors import SystemUnavailable
from ytray.settings import settings

_MOST_CLAIMED = 100  # flows in one claim
_AGAIN_AFTER = 0.5  # seconds after a turn that Redis refused
_WAIT = 1.0  # seconds in one go for orders or new flows
_SOON = 60.0  # seconds: a process that ends sooner is likely to have been ended by a flow

_log = logs.get("ytray.flows")


class FlowRunner:
    """Runs the flows of one ytray system. Started by `ytray.connect()`; it works in threads of its own."""

    def __init__(self, setup: bytes) -> None:
        self._setup = setup
        self._store = unpack_setup(setup)
        self._name = f"flows:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self._marks_path = settings().home / f"flows-{settings().namespace}.marks"
        self._host: FlowHost | None = None
        self._alone: Isolation | None = None
        threading.Thread(target=self._work, name="ytray-flows", daemon=True).start()

    def report(self) -> dict[str, Any]:
        """Who is in office, and how many flows it runs: for the doctor and for tests."""
        alone = self._alone.running if self._alone is not None else 0
        running = self._host.running if self._host is not None else 0
        return {"pid": os.getpid(), "node": here(), "epoch": self._name, "running": running + alone, "alone": alone}

    def _work(self) -> None:
        try:
            while not self._has_office():
                time.sleep(_AGAIN_AFTER)
            self._host = host = FlowHost(self._store, self._name, Marks(self._marks_path, self._name))
            self._alone = alone = Isolation(self._setup, self._store, self._name)
            while True:
                try:
                    self._turn(host, alone)
                except (SystemUnavailable, redis.ConnectionError, redis.TimeoutError) as away:
                    # A claim whose reply was lost leaves leases that nobody works on; the reaper finds them.
                    _log.warning("Redis is away, or full", error=str(away))
                    time.sleep(_AGAIN_AFTER)
        except Deposed:
            _log.info("another flow runner is in office; this one ends")
        except BaseException:
            _log.exception("the flow runner stops and is restarted by Ray")
        os._exit(1)

    def _has_office(self) -> bool:
        try:
            self._take_office()
        except SystemUnavailable as away:
            _log.warning("Redis is away, or full", error=str(away))
            return False
        return True

    def _take_office(self) -> None:
        epoch = (cast("bytes | None", self._store.redis.get(self._store.key("epoch:flows"))) or b"").decode()
        last = last_marks(self._marks_path, epoch)
        suspects = marked_flows(self._store, {last.loop, *last.threads} - {None})
        blamed = []
        for job_id, fence, mark in suspects:
            # What the loop ran has most likely done it. Of several threads nobody knows which one.
            counts = mark == last.loop or (last.loop is None and len(suspects) == 1)
            blamed.append((job_id, fence, int(counts)))
            _log.warning("the process ended while it ran this flow's code", job_id=job_id, counts=counts)
        self._store.take_office(
            "flows", self._name, settings().result_ttl, blamed, beside=not blamed and last.lived < _SOON
        )

    def _turn(self, host: FlowHost, alone: Isolation) -> None:
        room = LaneRoom(FLOW_LANE, 0, _MOST_CLAIMED)
        lease_ms = round(settings().lease_seconds * 1000)
        (claimed,) = self._store.claim("flows", self._name, lease_ms, [room], worker=self._name)
        suspects = self._suspected(claimed)
        for flow in claimed:
            if flow.job_id in suspects:
                alone.take(flow)
            else:
                host.take(flow)
        if len(claimed) == _MOST_CLAIMED:
            return
        order = self._store.blocking_pop([f"ctl:{self._name}", "wake:flows"], _WAIT)
        if order is not None and order.startswith(b"cancel "):
            job_id = order.decode().removeprefix("cancel ")
            if not alone.stop(job_id):
                host.stop(job_id)

    def _suspected(self, claimed: list[Claimed]) -> set[str]:
        again = [flow.job_id for flow in claimed if flow.fence > 1]
        if not again:
            return set()
        pipe = self._store.redis.pipeline(transaction=False)
        for job_id in again:
            pipe.hexists(self._store.key(f"j:{job_id}"), "suspect")
        return {job_id for job_id, is_suspect in zip(again, pipe.execute(), strict=True) if is_suspect}


def marked_flows(where: Store, marks: Collection[bytes | None]) -> list[tuple[str, int, bytes]]:
    """The flows (id, fence, mark) that were marked: in flight, or requeued by the reaper meanwhile."""
    if not marks:
        return []
    ids: list[str] = []
    for key in ("leases:flows", f"ready:{FLOW_LANE}"):
        members = cast("list[bytes]", where.redis.zrange(where.key(key), 0, -1))
        ids += [member.decode(errors="replace") for member in members]
    pipe = where.redis.pipeline(transaction=False)
    for job_id in ids:
        pipe.hget(where.key(f"j:{job_id}"), "fence")
    found = []
    for job_id, fence in zip(ids, pipe.execute(raise_on_error=False), strict=True):
        if isinstance(fence, bytes) and fence.isdigit():  # else it was never claimed, or somebody wrote over it
            mark = mark_of(job_id, int(fence))
            if mark in marks:
                found.append((job_id, int(fence), mark))
    return found
