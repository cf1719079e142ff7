"""Every atomic move of a job, a Lua script each, and waiting for what they tell. lua/prelude.lua describes the keys."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, cast

from pydantic_core import from_json
from redis.exceptions import NoScriptError, ResponseError

from ytray.engine.base import logs
from ytray.engine.base.model import JobState
from ytray.engine.state.deadlock import Lookout
from ytray.engine.state.link import SCRIPTS, Deposed, explain
from ytray.engine.state.reading import Reading
from ytray.engine.state.records import not_dead
from ytray.engine.state.waiting import Ending, Listener, Wait
from ytray.errors import PermanentError, SystemUnavailable, UnknownJob
from ytray.system.redis_refusals import RedisIsFull

_STAGE_FROM = 10_000  # jobs: a larger submission is sent in parts and committed by one last call
# Seconds. Redis before 7 makes whole milliseconds of a wait by cutting off: less than one is 0, which is for ever.
_SHORTEST_WAIT = 0.01
_FIRST_LOOK = 0.5  # seconds that a job is looked for at least, however short a wait is
_TO_LOCATE = 0.2  # seconds before the end of a wait at which it is asked where the job is
_LONGEST_SLEEP = 3600.0  # seconds: threads take no endless number of them
_STAGE_TTL = 3600  # seconds that the parts of an unfinished submission are kept

_log = logs.get("ytray.store")


class Submission(NamedTuple):  # one for each `.delay`: a frozen dataclass takes thrice as long
    """What the jobs of one call have in common."""

    task: str
    queue: str
    lane: str
    priority: int
    user: str = ""
    parent: str = ""
    key: str = ""
    digest: str = ""  # of task and arguments by their bytes, and canonical
    same: str = ""
    code: str = ""  # what a script shipped
    delay_ms: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that its holder has leased; `fence` is what its writes must carry.

    Tracker and workers may be of different versions while a system is being upgraded: a new field goes to the end and
    has a default.
    """

    job_id: str
    fence: int
    task: str
    spec: bytes
    retries: int
    user: str
    queue: str
    generation: int
    queued_ms: int

    def sent(self) -> tuple[Any, ...]:
        """The job as it travels to a worker."""
        return tuple(getattr(self, name) for name in _SENT)

    def description(self) -> dict[str, Any]:
        """What is to be run, as it was stored. Raises PermanentError when that cannot be read."""
        try:
            described = from_json(self.spec)
            if isinstance(described["code"], str) and isinstance(described["args"], dict):
                return cast("dict[str, Any]", described)
        except (ValueError, TypeError, KeyError):
            pass
        raise PermanentError(f"what Redis has of job {self.job_id} does not say what to run: {self.spec[:60]!r}")

    @classmethod
    def received(cls, row: tuple[Any, ...]) -> Claimed:
        """The job that `sent` made a row of, in this version or another."""
        return cls(*row[: len(_SENT)])


_SENT = tuple(field.name for field in fields(Claimed))


@dataclass(frozen=True, slots=True)
class LaneRoom:
    """How many jobs a holder has room for in a lane, of short tasks or of others; fewer than `least` are left."""

    lane: str
    most_short: int
    most_long: int
    least: int = 1


class Store(Reading):
    """The durable state of one ytray system.

    `patience` is for how many seconds a call goes on trying when Redis does not answer; 0 makes it raise at once.
    `answer_within` is how many seconds one answer may take; None for as long as it takes.
    """

    def __init__(
        self,
        redis_url: str,
        namespace: str,
        patience: float = 60.0,
        answer_within: float | None = None,
        *,
        waits_for_room: bool = False,
    ) -> None:
        super().__init__(redis_url, namespace, patience, answer_within, waits_for_room=waits_for_room)
        self._listener = Listener(self, patience)
        self._secret: bytes | None = None
        self.given_up = ""  # why nothing runs jobs any more, once that is so

    # ------------------------------------------------------------------------------------------ submitting

    def submit(self, jobs: Sequence[tuple[str, bytes]], what: Submission) -> list[str]:
        """Accept all of `jobs` (id, spec) or none; durable on return. Returns the ids of the jobs that count."""
        ids = [job_id for job_id, _ in jobs]
        stage = ""
        flat: list[str | bytes | int] = []
        if len(jobs) > _STAGE_FROM:
            stage = self._stage(jobs)
            flat = [2 * len(jobs), ids[0]]
        else:
            for pair in jobs:
                flat.extend(pair)
        counts = self.call(
            "submit",
            what.task,
            what.queue,
            what.priority,
            what.lane,
            what.user,
            what.parent,
            what.key,
            what.digest,
            what.delay_ms,
            stage,
            what.generation,
            what.same,
            what.code,
            *flat,
        )
        if isinstance(counts, list):
            return [job_id.decode() for job_id in counts]
        return [counts.decode()] if len(ids) == 1 else ids

    def _stage(self, jobs: Sequence[tuple[str, bytes]]) -> str:
        # Of this call alone: two clients that submit the same jobs would find each other's parts in it.
        stage = self.key(f"stage:{jobs[0][0]}:{secrets.token_hex(8)}")
        start = 0
        while start < len(jobs):
            some = jobs[start : start + 2000]
            pipe = self.redis.pipeline(transaction=True)
            pipe.rpush(stage, *(part for job in some for part in job))
            pipe.expire(stage, _STAGE_TTL)
            held = pipe.execute()[0]
            start += len(some)
            if held != 2 * start:  # a part came twice after a lost reply, or a replica that took over lacks one
                self.redis.delete(stage)
                start = 0
        return stage

    def track(
        self,
        job_id: str,
        to: JobState,
        metadata: bytes,
        result_ttl: int,
        create: tuple[str, str, int, str, bytes] | None = None,
    ) -> None:
        """Move a job that runs elsewhere; `create` is (task, queue, priority, user, spec) of a new one."""
        self.call("track", job_id, to.value, metadata, result_ttl, *(create or ()))

    # ------------------------------------------------------------------------------------------ dispatching

    def take_office(
        self,
        holder: str,
        epoch: str,
        result_ttl: int,
        suspects: Sequence[tuple[str, int, int]] = (),
        *,
        beside: bool = False,
    ) -> int:
        """Become the one tracker or flow runner; returns how many jobs its predecessor left in flight.

        `suspects` (id, fence, 1 when it counts as a crash) ran code as the predecessor's process ended; `beside`: it
        ended soon, and nobody can tell by whom.
        """
        moved, *struck = self.call("take_office", holder, epoch, result_ttl, int(beside), *_flat(suspects))
        _tell_struck(struck)
        return int(moved)

    def claim(
        self,
        holder: str,
        epoch: str,
        lease_ms: int,
        lanes: Sequence[LaneRoom],
        *,
        short_tasks: Iterable[str] = (),
        worker: str = "",
    ) -> list[list[Claimed]]:
        """Lease the next jobs of each lane, highest priority first, in one round trip."""
        text, digest = SCRIPTS["claim"]
        head = ("EVALSHA", digest, 1, self._prefix, holder, epoch)
        short = tuple(short_tasks)
        while True:
            pipe = self.redis.pipeline(transaction=False)
            queue_up: Callable[..., Any] = pipe.execute_command
            for room in lanes:
                queue_up(*head, room.lane, lease_ms, room.most_short, room.most_long, room.least, worker, *short)
            replies = pipe.execute(raise_on_error=False)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                self.redis.script_load(text)
                continue
            claims = [self._claims(room, reply) for room, reply in zip(lanes, replies, strict=True)]
            if worker and any(claims):
                self.secure()  # else two attempts could have one fence; jobs of a tracker start by `start`
            return claims

    def _claims(self, room: LaneRoom, reply: Any) -> list[Claimed]:
        if isinstance(reply, ResponseError):
            refused = explain(reply)
            if isinstance(refused, (Deposed, SystemUnavailable)):
                raise refused
            # Somebody may have written to a key of this lane: the others go on.
            _log.error("a queue cannot be read", lane=room.lane, error=str(refused))
            return []
        if isinstance(reply, Exception):
            raise reply
        _tell_struck([row[0] for row in reply if len(row) == 1])
        return [_claimed(row) for row in reply if len(row) > 1]

    def start(self, worker: str, lease_ms: int, result_ttl: int, jobs: Sequence[tuple[str, int]]) -> list[int]:
        """Take up leased jobs; returns the fence to commit each with, 0 for one that is not to be run."""
        return [int(fence) for fence in self.call("start", worker, lease_ms, result_ttl, *_flat(jobs))]

    def beat(self, holder: str, worker: str, lease_ms: int, jobs: Sequence[tuple[str, int]]) -> list[str]:
        """Extend leases; returns the ids of those that are lost."""
        return [job_id.decode() for job_id in self.call("beat", holder, worker, lease_ms, *_flat(jobs))]

    def complete(self, worker: str, result_ttl: int, outcomes: Sequence[tuple[str, int, bytes, float]]) -> int:
        """Commit (id, fence, result, milliseconds) of finished jobs; returns how many were refused as stale."""
        return int(self.call("complete", worker, result_ttl, *_flat(outcomes)))

    def fail(
        self,
        job: tuple[str, int],
        worker: str,
        what: str,
        error: str,
        traceback: str,
        *,
        delay_ms: int,
        duration_ms: float,
        result_ttl: int,
    ) -> bool:
        """Commit a failed attempt; `what` is retry, defer or dead. False: refused as stale."""
        args = (*job, worker, what, error, traceback, delay_ms, duration_ms, result_ttl)
        return bool(self.call("fail", *args))

    def hand_back(self, jobs: Sequence[tuple[str, int | str]], reason: str, *, blame: bool, result_ttl: int) -> int:
        """Requeue jobs in flight; returns how many still were."""
        return int(self.call("hand_back", reason, int(blame), result_ttl, *_flat(jobs)))

    def hand_over(self, worker: str, jobs: Sequence[tuple[str, int]], reason: str, result_ttl: int) -> int:
        """Requeue jobs of a worker that must leave; returns how many still were its own."""
        return int(self.call("hand_over", worker, reason, result_ttl, *_flat(jobs)))

    def say_at_work(self, epoch: str, lease_ms: int) -> None:
        """The tracker is there; without a word for as long as a lease it counts as gone."""
        try:
            self.redis.set(self.key("at_work"), epoch, px=lease_ms)
        except RedisIsFull:
            self.redis.pexpire(self.key("at_work"), lease_ms)  # which takes no memory

    def reap(self, epoch: str, most: int, result_ttl: int) -> tuple[float, list[tuple[str, int]], int]:
        """Requeue jobs and flows whose lease ended; called by the tracker of that epoch.

        Returns seconds to the next such moment (inf: none), those jobs, and how many of them are flows.
        """
        next_ms, flows, *rest = self.call("reap", epoch, most, result_ttl)
        jobs = [(rest[i].decode(errors="replace"), int(rest[i + 1])) for i in range(0, len(rest), 2)]
        _tell_struck([job_id for job_id, fence in zip(rest[::2], rest[1::2], strict=True) if int(fence) < 0])
        return (next_ms / 1000 if next_ms >= 0 else float("inf")), jobs, flows

    def promote(self, most: int) -> tuple[int, float]:
        """Queue jobs whose time has come; returns how many, and seconds until the next is due (inf: none)."""
        moved, next_ms, *struck = self.call("promote", most)
        _tell_struck(struck)
        return moved, (next_ms / 1000 if next_ms >= 0 else float("inf"))

    def note(self, job: tuple[str, int | str], worker: str, what: str, value: str | bytes, text: str = "") -> bool:
        """Record progress or a checkpoint of a running job; False: refused as stale."""
        return bool(self.call("note", *job, worker, what, value, text))

    # ------------------------------------------------------------------------------------------ by people

    def cancel(self, job_id: str, reason: str, result_ttl: int, batch: str | None = None) -> None:
        """Cancel a job and its children; with a batch only while that is cancelled.

        Raises UnknownJob, or InvalidTransition when it has ended.
        """
        self.call("cancel", job_id, reason, result_ttl, *([] if batch is None else [batch]))

    def settle_dead_letter(self, job_id: str, what: str) -> None:
        """`retry` or `remove` a job of the dead-letter queue; raises UnknownJob when it is not in there, DamagedJob."""
        try:
            self.call("replay", job_id, what)
        except UnknownJob:
            raise not_dead(job_id) from None

    def pause(self, queue: str, *, paused: bool) -> None:
        """Stop or resume the starting of jobs of a queue."""
        self.call("pause", queue, "pause" if paused else "resume")

    def secret(self) -> bytes:
        """What only this system knows; made by whoever asks first."""
        if self._secret is None:
            key = self.key("secret")
            if self.redis.set(key, secrets.token_hex(32), nx=True):
                self.secure()
            self._secret = cast("bytes", self.redis.get(key))
        return self._secret

    def admit(self, caller: str, rate: int) -> float:
        """Count one request of a caller that may make `rate` a second: 0 when it may, else seconds to wait."""
        return int(self.call("admit", caller, rate)) / 1000

    def forget(self, ids: Sequence[str], ended_before_ms: float, *, dry_run: bool) -> list[str]:
        """Delete ended jobs; returns the ids that went, or in a dry run would go."""
        return [job_id.decode() for job_id in self.call("forget", int(ended_before_ms), int(dry_run), *ids)]

    # ------------------------------------------------------------------------------------------ waiting

    def give_up(self, why: str) -> None:
        """Nothing runs jobs any more, for the reason told: whoever waits for one's end gets SystemUnavailable."""
        self.given_up = why
        self._listener.give_up(why)

    def blocking_pop(self, names: Sequence[str], timeout: float) -> bytes | None:
        """Take the next element of any of the lists, waiting up to `timeout` seconds for one."""
        keys = [self.key(name) for name in names]
        popped = cast("list[bytes] | None", self.redis.blpop(keys, timeout=max(_SHORTEST_WAIT, timeout)))
        return popped[1] if popped else None

    def wake(self, holder: str) -> None:
        """Make a holder look for work, if it is not about to."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.rpush(self.key(f"wake:{holder}"), "1")
        pipe.ltrim(self.key(f"wake:{holder}"), 0, 0)
        pipe.execute()

    def wait_until_ended(self, job_id: str, timeout: float | None) -> Ending:
        """Wait for the job's end. Raises what `endings` does."""
        (ending,) = self.endings([job_id], timeout)
        return ending

    def endings(
        self, ids: Iterable[str], timeout: float | None, what: Literal["j", "b"] = "j", *, needs_all: bool = True
    ) -> Iterator[Ending]:
        """How jobs (or batches, "b") ended, as they do. `needs_all`: whether the caller goes on only with all of them.

        Raises TimeoutError after `timeout` seconds, however Redis is; SystemUnavailable when it stays away; in a task,
        Deadlock when what it waits for waits for its slot.
        """
        lookout = Lookout.of_this_task(self, what, needs_all=needs_all)
        begun = time.monotonic()
        deadline = float("inf") if timeout is None else begun + timeout
        told = threading.Event()
        is_hasty = deadline < begun + _FIRST_LOOK
        wait = Wait(ids, told.set, what, is_hasty=is_hasty)
        left = total = len(wait.missing)
        located = False
        try:
            self._listener.add(wait)
            while left:
                now = time.monotonic()
                # Who does not want to wait at all wants to know nevertheless.
                last = begun + _FIRST_LOOK if is_hasty and not wait.looked else deadline
                ask_at = float("inf") if located or total > 1 else last - min(_TO_LOCATE, (last - begun) / 2)
                look_at = float("inf") if lookout is None else lookout.next_look
                if now < last and now < min(ask_at, look_at):
                    told.wait(min(last, ask_at, look_at, now + _LONGEST_SLEEP) - now)
                elif now < last and now >= look_at and lookout is not None and not wait.ready:
                    lookout.look(wait.missing.copy())
                elif ask_at <= now < last:
                    self._listener.locate(wait)
                    located = True
                told.clear()
                for ending in wait.take():
                    left -= 1
                    yield ending
                self._listener.fetch(wait)
                if left and time.monotonic() >= last:
                    raise TimeoutError(_still_missing(wait, left, total, timeout))
        finally:
            self._listener.remove(wait)
            if lookout is not None:
                lookout.leave()

    async def ending_of(self, job_id: str) -> Ending:
        """Wait for the job's end without a thread of one's own. Raises SystemUnavailable, Deadlock."""
        told = asyncio.Event()
        wait = Wait([job_id], _waker(asyncio.get_running_loop(), told))
        lookout = Lookout.of_this_task(self, needs_all=True)
        try:
            self._listener.add(wait)
            while not (found := wait.take()):
                left = None if lookout is None else max(0.0, lookout.next_look - time.monotonic())
                with suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), left)
                if lookout is not None and not told.is_set():
                    await asyncio.to_thread(lookout.look, wait.missing.copy())
                told.clear()
            return found[0]
        finally:
            self._listener.remove(wait)
            if lookout is not None:
                lookout.leave()

    async def endings_within(self, ids: Iterable[str], seconds: float, linger: float, most: int) -> list[Ending]:
        """How those of the jobs ended that have, at most so many.

        The first is waited for, and `linger` seconds more for others. Raises SystemUnavailable.
        """
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        wait = Wait(ids, _waker(loop, told))
        wanted = min(len(wait.missing), most)
        deadline = loop.time() + max(seconds, _FIRST_LOOK)
        found: list[Ending] = []
        try:
            self._listener.add(wait)
            while len(found) < wanted and (left := deadline - loop.time()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), left)
                told.clear()
                came = wait.take()
                if came and not found:
                    deadline = min(deadline, loop.time() + linger)
                found += came
                self._listener.fetch(wait)
            return found
        finally:
            self._listener.remove(wait)

    def close(self) -> None:
        """Close this process's connections, and end the waits; the state stays."""
        self._listener.close()
        super().close()


def _waker(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> Callable[[], None]:
    def wake() -> None:
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(told.set)

    return wake


def _still_missing(wait: Wait, left: int, total: int, timeout: float | None) -> str:
    if total > 1:
        return f"{left:,} of {total:,} jobs have not ended after {timeout:g} s; they go on in the background"
    if wait.whereabouts:
        return f"{wait.whereabouts} after {timeout:g} s; it goes on in the background"
    name = "".join(wait.missing) or "that was waited for"
    return f"{'job' if wait.what == 'j' else 'batch'} {name} has not ended after {timeout:g} s, as far as is known here"


def _claimed(row: list[Any]) -> Claimed:
    job_id, fence, task, spec, retries, user, queue, generation, queued = row
    return Claimed(
        job_id=job_id.decode(errors="replace"),
        fence=fence,
        task=task.decode(errors="replace"),
        spec=spec,
        retries=int(retries),
        user=user.decode(errors="replace"),
        queue=queue.decode(errors="replace"),
        generation=int(generation),
        queued_ms=int(queued),
    )


def _tell_struck(ids: Sequence[bytes]) -> None:
    for job_id in ids:
        _log.error(
            "a job was taken out of its queue: what Redis has of it is missing or damaged",
            job_id=job_id.decode(errors="replace"),
        )


def _flat(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [value for row in rows for value in row]
