"""The detached JobTracker actor: it claims jobs, launches them as Ray tasks, keeps the clocks, and finds what was lost.

What happens when the tracker itself dies: Ray restarts the actor and stops the tasks it had launched; the new one takes
office in Redis, requeues what was in flight, and refuses its predecessor's claims. It holds no state that matters.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
import redis
from ray.exceptions import TaskCancelledError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ytray.engine.base import logs
from ytray.engine.base.error_text import in_words
from ytray.engine.batch.feeder import Feeder
from ytray.engine.batch.notices import Notices
from ytray.engine.cluster.autoscale import Autoscaling
from ytray.engine.cluster.capacity import Pace, Slots, here
from ytray.engine.cluster.handover import HandingOver
from ytray.engine.cluster.nodes import workers_of
from ytray.engine.cluster.placement import Nearness
from ytray.engine.control import alerts
from ytray.engine.control.clocks import ClockWatch
from ytray.engine.control.schedule import Schedule
from ytray.engine.control.standstill import Standstill
from ytray.engine.run.setup import unpack_setup
from ytray.engine.run.worker import Report, run_lease
from ytray.engine.state import shipped, signing
from ytray.engine.state.link import Deposed
from ytray.engine.state.records import gpu_share
from ytray.engine.state.store import Claimed, LaneRoom, Store
from ytray.errors import SystemUnavailable, YtrayError
from ytray.settings import settings
from ytray.system import redis_server
from ytray.system.redis_refusals import RedisIsFull

_RAY_RETRIES = 2  # of a task whose worker or node died; with the tracker's own that makes three crashes, the limit
_MOST_CLAIMED = 512  # jobs in one claim: it keeps Redis busy for some milliseconds, and Lua takes no 4,000
_WORTH_SENDING_AHEAD = 16  # short jobs: while every slot is busy, fewer are better collected than launched one by one
_LONGEST_SLEEP = 5.0  # seconds
_AFTER_REFUSAL = 1.0  # seconds
_AGAIN_AFTER = 0.1  # seconds after the first turn that failed, a little more after each
_TOLD_EVERY = 60  # turns that failed
_LOOK_AT_MOST_EVERY = 0.02  # seconds: the clocks are looked at no oftener, however busy the loop is
_MOST_TIMERS = 500  # due jobs or ended leases in one move


@dataclass(slots=True, eq=False)
class Bundle:
    """Jobs that were launched together as one Ray task."""

    queue: str
    task: str
    fences: dict[str, int]
    is_short: bool
    share: float  # of a card, that it was sent with
    card: str | None  # the node that was seen to have it free
    near: str | None = None  # the node that has its inputs
    takes_slot: bool = True  # not on a node that is drained, nor once nobody has heard of its jobs for a lease
    ref: Any = None


class JobTracker:
    """Dispatches the jobs of one ytray system. Started by `ytray.connect()`; it works in a thread of its own."""

    def __init__(self, setup: bytes) -> None:
        self._setup = setup
        self._store = unpack_setup(setup)
        self._bell = Store(self._store.redis_url, self._store.namespace, patience=1.0)
        self._epoch = f"{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self._log = logs.get("ytray.tracker")
        self._slots = self._see_slots()
        self._pace = Pace()
        self._with_slots: frozenset[str] = frozenset()
        self._with_cards: frozenset[str] = frozenset()
        self._clocks = ClockWatch(self._store)
        self._schedule: Schedule | None = None
        self._bundles: set[Bundle] = set()
        # How many by queue, and how many of them are not short: with thousands, counting anew would take milliseconds.
        self._launched: Counter[str] = Counter()
        self._launched_long: Counter[str] = Counter()
        self._in_flight: dict[str, Bundle] = {}
        self._handing_over = HandingOver(self._store, lambda: dict(self._in_flight), self._ring)
        self._leaving = self._handing_over.leaving
        self._nearness = Nearness(self._store)
        self._standstill = Standstill(self._store)
        self._ended: deque[tuple[Bundle, Report | BaseException]] = deque()
        self._is_waiting = False
        self._lease_ms = round(settings().lease_seconds * 1000)
        self._next_beat = self._next_look = self._looked = self._reap_from = 0.0
        self._launcher = ray.remote(max_retries=_RAY_RETRIES, num_cpus=0)(run_lease)
        self._launchers: dict[tuple[str, str, float], Any] = {}
        # Ray's callbacks run in threads of their own; the loop must not wait 5 ms for each to let it go on.
        sys.setswitchinterval(0.001)
        threading.Thread(target=self._work, name="ytray-tracker", daemon=True).start()
        if settings().redis_url is None:
            threading.Thread(target=self._flush_to_disk, name="ytray-flush", daemon=True).start()
        for name, work in (
            ("ytray-alerts", lambda: alerts.announce_forever(self._store)),
            ("ytray-feeder", Feeder(self._store, lambda: self._slots.known).feed_forever),
            ("ytray-notices", Notices(self._store).tell_forever),
            ("ytray-shipped", lambda: shipped.keep_forever(self._store)),
            *self._beside_ray(),
        ):
            threading.Thread(target=work, name=name, daemon=True).start()

    def report(self) -> dict[str, Any]:
        """Who is in office, and what is in flight: for the doctor and for tests."""
        return {
            "pid": os.getpid(),
            "node": here(),
            "epoch": self._epoch,
            "in_flight": len(self._in_flight),
            "slots": self._slots.known,
            "free_cards": sum(cards.free for cards in self._slots.cards.values()),
        }

    def code_secret(self) -> bytes:
        """By which workers know the code that the system has signed: for who ships some."""
        return signing.secret()

    def _flush_to_disk(self) -> None:
        while True:
            time.sleep(1.0)
            redis_server.flush_to_disk(settings().home)

    # ------------------------------------------------------------------------------------------ the loop

    def _work(self) -> None:
        in_office, failed = False, 0
        try:
            while True:
                try:
                    if not in_office:
                        self._store.take_office("tracker", self._epoch, settings().result_ttl)
                        self._schedule = Schedule.of_system(self._store)
                        in_office = True
                    self._turn()
                    failed = 0
                except (SystemUnavailable, redis.ConnectionError, redis.TimeoutError) as away:
                    # A claim whose reply was lost leaves leases that nobody works on; the reaper finds them.
                    if failed % _TOLD_EVERY == 0:
                        self._log.warning("Redis is away, or full", error=str(away))
                    # Heartbeats that were refused meanwhile come before it is judged whose lease has ended.
                    self._reap_from = time.monotonic() + self._lease_ms / 2000
                    failed += 1
                    time.sleep(min(_AGAIN_AFTER * failed, self._lease_ms / 6000))
                except Deposed:
                    raise
                except (YtrayError, redis.ResponseError) as refused:
                    # Somebody wrote over a key of all: a new tracker would find the same, and the loop does the rest.
                    self._log.error("Redis refuses a move; the tracker tries again", error=str(refused))
                    time.sleep(_AFTER_REFUSAL)
        except Deposed:
            self._log.info("another tracker is in office; this one ends")
        except BaseException:
            self._log.exception("the tracker stops and is restarted by Ray")
        os._exit(1)

    def _turn(self) -> None:
        self._look_at_nodes()
        self._look_at_drains()
        self._settle_ended()
        full: RedisIsFull | None = None
        try:
            while self._dispatch():
                pass
        except RedisIsFull as refused:
            full = refused  # nothing more is begun; what was goes on, and needs the clocks
        self._keep_time()
        if full is not None:
            raise full
        self._is_waiting = True
        if not self._ended:
            now = time.monotonic()
            self._store.blocking_pop(["wake:tracker"], min(self._next_look - now, _LONGEST_SLEEP))
        self._is_waiting = False

    def _look_at_nodes(self) -> None:
        """Take back what was sent to wait for slots or cards, where the last node that has any is gone or drained."""
        slots, cards = frozenset(q for q, number in self._slots.known.items() if number), self._slots.with_cards
        without_slots, without_cards = self._with_slots - slots, self._with_cards - cards
        self._with_slots, self._with_cards = slots, cards
        if not without_slots and not without_cards:
            return
        waiting = [f for f in self._bundles if f.queue in without_slots or (f.share and f.queue in without_cards)]
        workers = workers_of(self._store, [job_id for bundle in waiting for job_id in bundle.fences])
        for bundle in waiting:
            places = {workers[job_id].partition(":")[0] for job_id in bundle.fences if job_id in workers}
            # What runs on a node that is drained goes on there. No node can run the others as they were sent, nor what
            # Ray tries once more after its node has died.
            if places.isdisjoint(self._slots.living):
                self._stop(bundle)

    def _look_at_drains(self) -> None:
        """Note what runs on draining nodes: jobs there no longer occupy a slot of the nodes that stay."""
        leaving, known = self._handing_over.leaving, self._leaving
        self._leaving = leaving
        for job_id, bundle in leaving.items() if leaving is not known else ():
            if self._in_flight.get(job_id) is bundle:  # else it was handed over meanwhile, and launched anew
                self._free_slot(bundle)

    def _free_slot(self, bundle: Bundle) -> None:
        if bundle.takes_slot:
            bundle.takes_slot = False
            self._count(bundle, -1)

    def _count(self, bundle: Bundle, by: int) -> None:
        self._launched[bundle.queue] += by
        self._launched_long[bundle.queue] += 0 if bundle.is_short else by

    def _keep_time(self) -> None:
        """Queue what is due, requeue what was lost, extend what waits in Ray."""
        now = time.monotonic()
        if now < min(self._next_look, self._looked + _LOOK_AT_MOST_EVERY):
            # Whatever woke the loop may have brought an earlier time: look again soon.
            self._next_look = min(self._next_look, self._looked + _LOOK_AT_MOST_EVERY)
            return
        self._looked = now
        if now >= self._next_beat:
            self._next_beat = now + self._lease_ms / 3000
            waiting = [(job_id, bundle.fences[job_id]) for job_id, bundle in self._in_flight.items()]
            self._store.beat("tracker", "", self._lease_ms, waiting)
            self._store.say_at_work(self._epoch, self._lease_ms)
        self._clocks.look()
        moved, to_due = self._store.promote(_MOST_TIMERS)
        to_reap, reaped, flows = max(0.0, self._reap_from - now), list[tuple[str, int]](), 0
        if not to_reap:
            to_reap, reaped, flows = self._store.reap(self._epoch, _MOST_TIMERS, settings().result_ttl)
        if flows:
            self._standstill.look()
        for job_id, fence in reaped:
            self._abandon(job_id, fence)
        to_scheduled = self._schedule.submit_due() if self._schedule is not None else float("inf")
        more = moved == _MOST_TIMERS or len(reaped) >= _MOST_TIMERS
        self._next_look = now if more else min(now + min(to_due, to_reap, to_scheduled), self._next_beat)

    # ------------------------------------------------------------------------------------------ launching

    def _dispatch(self) -> bool:
        """Claim and launch what there is room for; returns whether anything was."""
        rooms = [room for queue in self._slots.by_priority() if (room := self._room(queue)) is not None]
        if not rooms:
            return False
        claims = self._store.claim("tracker", self._epoch, self._lease_ms, rooms, short_tasks=self._pace.short_tasks())
        for room, jobs in zip(rooms, claims, strict=True):
            if jobs:
                self._launch(room.lane, jobs)
        return any(claims)

    def _room(self, queue: str) -> LaneRoom | None:
        slots = self._slots.known.get(queue, 0)
        bundles = self._launched[queue]
        free = min(_MOST_CLAIMED, max(0, slots - bundles))
        # Only short jobs are sent ahead to wait in Ray; behind a long one they would wait for as long as it runs.
        ahead = free if self._launched_long[queue] else slots * settings().prefetch - bundles
        if max(free, ahead) <= 0:
            return None
        most_short = min(_MOST_CLAIMED, max(0, ahead) * self._pace.LARGEST_LEASE)
        return LaneRoom(queue, most_short, free, least=1 if free else _WORTH_SENDING_AHEAD)

    def _launch(self, queue: str, jobs: list[Claimed]) -> None:
        slots = self._slots.known.get(queue, 0)
        near = self._nearness.of(jobs, self._slots.serving)
        by_task: dict[tuple[str, str | None], list[Claimed]] = {}
        for job in jobs:
            by_task.setdefault((job.task, near.get(job.job_id)), []).append(job)
        for (task, node), alike in by_task.items():
            size = min(self._pace.lease_size(task), max(1, -(-len(alike) // max(1, slots))))
            for start in range(0, len(alike), size):
                self._launch_one(queue, task, node, alike[start : start + size])

    def _launch_one(self, queue: str, task: str, near: str | None, jobs: list[Claimed]) -> None:
        fences = {job.job_id: job.fence for job in jobs}
        share, card = self._card(queue, jobs[0])
        bundle = Bundle(queue, task, fences, task in self._pace.short_tasks(), share, card, near)
        self._bundles.add(bundle)
        self._count(bundle, 1)
        for job in jobs:
            self._in_flight[job.job_id] = bundle
        self._send(bundle, jobs)

    def _card(self, queue: str, job: Claimed) -> tuple[float, str | None]:
        """The share of a card that a job is sent with, and the node that has it: none where no such node has a slot.

        A job does not wait for a card that others hold, or for a slot beside it: other nodes would stand idle.
        """
        share = gpu_share(job.spec) if queue in self._with_cards else 0.0
        node = self._slots.take_card(queue, share) if share else None
        return (0.0, None) if node is None else (share, node)

    # ------------------------------------------------------------------------------------------ Ray
    # All that is asked of Ray, so that benchmarks/simulated can put other nodes in its place.

    def _see_slots(self) -> Slots:
        return Slots(self._ring)

    def _beside_ray(self) -> list[tuple[str, Callable[[], None]]]:
        """The threads that look after Ray's nodes."""
        threads = [
            ("ytray-nodes", self._handing_over.look_forever),
            ("ytray-standstill", self._standstill.look_forever),
        ]
        asking = Autoscaling(self._store, self._taken, self._pace.seconds)
        return [*threads, ("ytray-autoscale", asking.ask_forever)]

    def _taken(self) -> dict[str, float]:
        # What was sent ahead waits for a slot that there is, and asks for none of its own.
        slots = {queue: min(self._launched[queue], known) for queue, known in self._slots.known.items()}
        return {**slots, "GPU": sum(bundle.share for bundle in list(self._bundles))}

    def _send(self, bundle: Bundle, jobs: list[Claimed]) -> None:
        """Launch jobs as one Ray task, which tells `_end_bundle` how it ended."""
        launcher = self._launchers.get((bundle.queue, bundle.task, bundle.share)) if bundle.near is None else None
        if launcher is None:
            # The task's name is what the Ray dashboard lists it under.
            options: dict[str, Any] = {"name": bundle.task, "resources": {f"queue_{bundle.queue}": 1}}
            if bundle.near is not None:
                # Where that node has no room, any other will do: a file is sooner fetched than a slot is free.
                options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(
                    bundle.near, soft=True, _spill_on_unavailable=True
                )
            launcher = self._launcher.options(**options, num_gpus=bundle.share)
            if bundle.near is None:
                self._launchers[bundle.queue, bundle.task, bundle.share] = launcher
        bundle.ref = launcher.remote(self._setup, [job.sent() for job in jobs])
        bundle.ref.future().add_done_callback(
            lambda future: self._end_bundle(bundle, future.exception() or future.result())
        )

    def _stop(self, bundle: Bundle, *, force: bool = False) -> None:
        """Take a launched task back, or interrupt it; with `force` its process is killed."""
        ray.cancel(bundle.ref, force=force)

    # ------------------------------------------------------------------------------------------ landing

    def _end_bundle(self, bundle: Bundle, outcome: Report | BaseException) -> None:
        """Called by Ray, in a thread of its own, when a task has ended."""
        self._ended.append((bundle, outcome))
        if self._is_waiting:
            self._ring()

    def _ring(self) -> None:
        try:
            self._bell.wake("tracker")
        except redis.RedisError as away:
            # Then the loop is waiting for the same Redis, and looks when it is back.
            self._log.debug("no wake-up", error=str(away))

    def _settle_ended(self) -> None:
        while self._ended:
            bundle, outcome = self._ended[0]
            held = [job_id for job_id in bundle.fences if self._in_flight.get(job_id) is bundle]
            if not isinstance(outcome, Report):
                self._hand_back(bundle, held, outcome)  # first: it is refused while Redis is full
            self._ended.popleft()
            self._bundles.discard(bundle)
            self._free_slot(bundle)
            if bundle.card is not None:
                self._slots.give_card(bundle.card, bundle.queue, bundle.share)
            for job_id in held:
                del self._in_flight[job_id]
            if isinstance(outcome, Report):
                self._pace.learn(bundle.task, outcome.jobs, outcome.seconds)

    def _hand_back(self, bundle: Bundle, held: list[str], error: BaseException) -> None:
        reason = in_words(error).strip().splitlines()[0]
        # A worker that Redis left waiting for too long gives up, and no job of its is to blame.
        blameless = isinstance(error, (TaskCancelledError, SystemUnavailable))
        # Ray says that nobody runs them any more, so whatever fence they reached in Ray's retries is free.
        moved = self._store.hand_back(
            [(job_id, "*") for job_id in held], reason, blame=not blameless, result_ttl=settings().result_ttl
        )
        if moved:
            self._log.warning("lost a Ray task", task=bundle.task, jobs=moved, reason=reason)

    def _abandon(self, job_id: str, fence: int) -> None:
        """A lease has ended: stop the worker that held it, should it still be there."""
        bundle = self._in_flight.pop(job_id, None)
        self._log.warning("a lease ended", job_id=job_id, fence=fence)
        if bundle is not None:
            # Of a machine that fell silent Ray may never hear again, not even that the task has ended.
            self._free_slot(bundle)
            self._stop(bundle, force=True)
