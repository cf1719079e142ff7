"""Running flows that are suspected of ending their process: each alone in one of its own, a few at a time.

A flow whose process ended while it alone ran there did that: it is counted as a crash, and after three the flow is in
the dead-letter queue. One that was only there when others' process ended goes back to them once it has lasted a while.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import Any, cast

import ray
import redis
from ray.exceptions import RayActorError, RayError

from ytray.engine.base import logs
from ytray.engine.base.marks import Marks
from ytray.engine.cluster.capacity import HEAD_RESOURCE
from ytray.engine.run.flow_host import FlowHost
from ytray.engine.run.setup import unpack_setup
from ytray.engine.state.store import Claimed, Store
from ytray.errors import SystemUnavailable, YtrayError
from ytray.settings import settings

_AT_ONCE = 4  # processes whose flows are not known to last
_LOOK_EVERY = 1.0  # seconds
_LASTS = 60.0  # seconds after which a flow is taken to last
_LOGS_ARE_WRITTEN = 0.2  # seconds
_AT_THE_HEAD = {HEAD_RESOURCE: 0.001}
_DIED = "its process ended while it ran this flow alone"

_log = logs.get("ytray.flows")


class AloneFlow:
    """The actor that runs one flow. It ends with the flow runner that started it."""

    def __init__(self, setup: bytes, worker: str) -> None:
        self._ended = threading.Event()
        self._host = FlowHost(unpack_setup(setup), worker, Marks(None, worker), lambda _: self._ended.set())

    def is_ready(self) -> bool:
        """What fails before this is not the flow's fault."""
        return True

    def run(self, flow: tuple[Any, ...]) -> None:
        """Run the flow; returns when it has ended, however it did."""
        self._host.take(Claimed.received(flow))
        self._ended.wait()
        time.sleep(_LOGS_ARE_WRITTEN)

    def stop(self, job_id: str) -> None:
        """Stop the flow, which was cancelled."""
        self._host.stop(job_id)


class Isolation:
    """The flows that a runner has running alone, and those that wait for that."""

    def __init__(self, setup: bytes, store: Store, worker: str) -> None:
        self._setup = setup
        self._store = store
        self._worker = worker
        self._lock = threading.Lock()
        self._waiting: deque[Claimed] = deque()
        self._stopped: set[str] = set()
        self._unproven = 0
        self._running: set[str] = set()
        threading.Thread(target=self._keep_leases, name="ytray-flow-waiting", daemon=True).start()

    @property
    def running(self) -> int:
        """How many flows run alone, or wait for that."""
        return len(self._running) + len(self._waiting)

    def take(self, flow: Claimed) -> None:
        """Run a flow alone, as soon as there is a place."""
        with self._lock:
            self._waiting.append(flow)
        self._start_some()

    def stop(self, job_id: str) -> bool:
        """Stop a flow that was cancelled; False when it is none of these."""
        with self._lock:
            kept = deque(flow for flow in self._waiting if flow.job_id != job_id)
            was_waiting = len(kept) < len(self._waiting)
            self._waiting = kept
            if job_id in self._running:
                self._stopped.add(job_id)
                return True
        return was_waiting

    def _start_some(self) -> None:
        with self._lock:
            while self._waiting and self._unproven < _AT_ONCE:
                flow = self._waiting.popleft()
                self._unproven += 1
                self._running.add(flow.job_id)
                threading.Thread(target=self._watch, args=(flow,), name="ytray-flow-alone", daemon=True).start()

    def _watch(self, flow: Claimed) -> None:
        place = _Place(self)
        try:
            self._run_alone(flow, place)
        except (SystemUnavailable, redis.RedisError, RayError) as failed:
            _log.warning("a flow could not be run alone", job_id=flow.job_id, error=str(failed))
            with contextlib.suppress(YtrayError, redis.RedisError):  # else its lease ends
                self._hand_back(flow, "it could not be run alone", blame=False)
        finally:
            with self._lock:
                self._running.discard(flow.job_id)
                self._stopped.discard(flow.job_id)
            place.leave()

    def _run_alone(self, flow: Claimed, place: _Place) -> None:
        made: Any = ray.remote(AloneFlow)
        # Its runtime environment is the flow runner's.
        actor = made.options(num_cpus=0, resources=_AT_THE_HEAD, max_concurrency=4).remote(self._setup, self._worker)
        try:
            self._await_start(flow, actor)
            ended = actor.run.remote(flow.sent())
            if self._follow(flow, actor, ended, place):
                ray.get(ended)
        except RayActorError as died:
            _log.warning("a flow has ended its process", job_id=flow.job_id, reason=str(died).partition("\n")[0])
            self._hand_back(flow, _DIED, blame=True)
        finally:
            ray.kill(actor)

    def _await_start(self, flow: Claimed, actor: Any) -> None:
        ready = actor.is_ready.remote()
        while not ray.wait([ready], timeout=settings().lease_seconds / 3)[0]:
            self._store.beat("flows", self._worker, _lease_ms(), [(flow.job_id, flow.fence)])
        try:
            ray.get(ready)
        except RayActorError as failed:
            raise SystemUnavailable(f"the process for it did not start: {failed}") from failed
        self._store.beat("flows", self._worker, _lease_ms(), [(flow.job_id, flow.fence)])

    def _follow(self, flow: Claimed, actor: Any, ended: Any, place: _Place) -> bool:
        """Wait until the flow has ended, True, or must not go on here."""
        begun = time.monotonic()
        stopped_at: float | None = None
        while not ray.wait([ended], timeout=_LOOK_EVERY)[0]:
            now = time.monotonic()
            if stopped_at is not None:
                if now - stopped_at > settings().cancel_grace:
                    return False
            elif flow.job_id in self._stopped or not self._is_ours(flow):
                actor.stop.remote(flow.job_id)
                stopped_at = now
            elif now - begun > _LASTS and not place.is_left:
                if not self._has_crashed(flow):
                    self._store.redis.hdel(self._store.key(f"j:{flow.job_id}"), "suspect", "beside")
                    self._hand_back(flow, "it lasts, and runs with the others again", blame=False)
                    return False
                place.leave()
        return True

    def _is_ours(self, flow: Claimed) -> bool:
        try:
            state, fence = cast(
                "list[bytes | None]", self._store.redis.hmget(self._store.key(f"j:{flow.job_id}"), ["state", "fence"])
            )
        except redis.RedisError:
            return True
        return state == b"EXECUTING" and int(fence or 0) == flow.fence

    def _has_crashed(self, flow: Claimed) -> bool:
        (crashes,) = self._store.fields(flow.job_id, "crashes")
        return int(crashes or 0) > 0

    def _hand_back(self, flow: Claimed, reason: str, *, blame: bool) -> None:
        self._store.hand_back([(flow.job_id, flow.fence)], reason, blame=blame, result_ttl=settings().result_ttl)

    def _free_place(self) -> None:
        with self._lock:
            self._unproven -= 1
        self._start_some()

    def _keep_leases(self) -> None:
        while True:
            time.sleep(settings().lease_seconds / 3)
            waiting = [(flow.job_id, flow.fence) for flow in list(self._waiting)]
            try:
                for job_id in self._store.beat("flows", self._worker, _lease_ms(), waiting) if waiting else ():
                    self.stop(job_id)
            except (SystemUnavailable, redis.RedisError) as away:
                _log.warning("heartbeat of the waiting flows missed", error=str(away))


class _Place:
    """One of the few places for flows that are not known to last."""

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation
        self.is_left = False

    def leave(self) -> None:
        """Give the place to the next one."""
        if not self.is_left:
            self.is_left = True
            self._isolation._free_place()


def _lease_ms() -> int:
    return round(settings().lease_seconds * 1000)
