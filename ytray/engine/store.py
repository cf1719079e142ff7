"""Every key in Redis and every atomic move on them. lua/prelude.lua describes the keys.

A move is one script, so it happens wholly or not at all, whichever process dies; and each may be repeated after a
lost reply without doing anything twice, which is what lets the connection retry through a restart of Redis.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import NoScriptError, ResponseError
from redis.retry import Retry

from ytray.engine.model import QUEUE_PRIORITIES, DeadLetter, JobState, JobStatus, Transition
from ytray.engine.records import read_dead_letter, read_status, read_transition, unknown_job
from ytray.errors import IdempotencyConflict, InvalidTransition, SystemUnavailable, UnknownJob, YtrayError

_STAGE_FROM = 10_000  # jobs: a larger submission is sent in parts and committed by one last call
_STAGE_TTL = 3600  # seconds that the parts of an unfinished submission are kept
_LISTING_READS = 40  # pages of an index that one listing may read through when a filter matches little

Place = tuple[float, str]  # of a job in a listing: when it was created (ms), and its id


@dataclass(frozen=True, slots=True)
class Submission:
    """What the jobs of one call have in common."""

    task: str
    queue: str
    lane: str
    priority: int
    user: str = ""
    parent: str = ""
    key: str = ""
    digest: str = ""
    delay_ms: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that its holder has leased; `fence` is what its writes must carry."""

    job_id: str
    fence: int
    task: str
    spec: bytes
    retries: int
    user: str
    queue: str
    generation: int
    queued_ms: int


@dataclass(frozen=True, slots=True)
class LaneRoom:
    """How many jobs a holder has room for in a lane, of short tasks or of others; fewer than `least` are left."""

    lane: str
    most_short: int
    most_long: int
    least: int = 1


class Store:
    """The durable state of one ytray system.

    `patience` is for how many seconds a call goes on trying when Redis does not answer; 0 makes it raise at once.
    `answer_within` is how many seconds one answer may take; None for as long as it takes.
    """

    def __init__(
        self, redis_url: str, namespace: str, patience: float = 60.0, answer_within: float | None = None
    ) -> None:
        self.redis_url = redis_url
        self.namespace = namespace
        self.prefix = f"{{{namespace}}}:"
        self._pool = redis.BlockingConnectionPool.from_url(
            redis_url,
            max_connections=32,
            timeout=60,
            socket_connect_timeout=5,
            socket_timeout=answer_within,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), retries=int(patience / 0.5)),
            retry_on_error=[redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError],
        )
        self.redis = redis.Redis(connection_pool=self._pool)
        self._prefix = self.prefix.encode()
        self._idle_pubsubs: list[Any] = []
        self._held: list[Any] = []
        self._owner = os.getpid()
        self._execute: Callable[..., Any] = self.redis.execute_command
        self._pubsub = cast("Callable[[], Any]", self.redis.pubsub)
        self._connect: Callable[[], Any] = self._pool.make_connection

    def close(self) -> None:
        """Close this process's connections; the state stays."""
        self._pool.disconnect()
        while self._held:
            self._held.pop().disconnect()

    def key(self, name: str) -> str:
        """The full name of a key, as lua/prelude.lua lists them."""
        return self.prefix + name

    def _call(self, script: str, *args: Any) -> Any:
        text, digest = _SCRIPTS[script]
        command = ("EVALSHA", digest, 1, self._prefix, *args)
        try:
            with suppress(NoScriptError):
                try:
                    return self._call_held(command)
                except (redis.ConnectionError, redis.TimeoutError):
                    # The move may have been made: every script takes a repeat for what it is.
                    return self._execute(*command)
            return self._execute("EVAL", text, *command[2:])  # a Redis that was restarted has forgotten the scripts
        except ResponseError as refused:
            raise _explain(str(refused)) from None
        except (redis.ConnectionError, redis.TimeoutError) as lost:
            raise SystemUnavailable(f"Redis does not answer: {lost}; `ytray doctor` tells more") from lost

    def _call_held(self, command: tuple[Any, ...]) -> Any:
        with self._held_connection() as connection:
            connection.send_packed_command(connection.pack_command(*command))
            return connection.read_response()

    @contextmanager
    def _held_connection(self) -> Iterator[Any]:
        """A connection kept for one call at a time; redis-py's pool and retries double what a call takes."""
        if self._owner != os.getpid():  # a forked child must not speak over its parent's connections
            self._held, self._owner = [], os.getpid()
        connection = self._held.pop() if self._held else self._connect()
        try:
            yield connection
        except ResponseError:
            self._held.append(connection)
            raise
        except BaseException:
            connection.disconnect()
            raise
        self._held.append(connection)

    # ------------------------------------------------------------------------------------------ submitting

    def submit(self, jobs: Sequence[tuple[str, bytes]], what: Submission) -> str:
        """Accept all of `jobs` (id, spec) or none; durable on return. Returns the id of the job that counts."""
        stage = ""
        if len(jobs) > _STAGE_FROM:
            stage = self._stage(jobs)
            jobs = ()
        flat: list[str | bytes] = []
        for pair in jobs:
            flat.extend(pair)
        first = self._call(
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
            *flat,
        )
        return cast(str, first.decode())

    def _stage(self, jobs: Sequence[tuple[str, bytes]]) -> str:
        stage = self.key(f"stage:{jobs[0][0]}")
        for start in range(0, len(jobs), 2000):
            pipe = self.redis.pipeline(transaction=True)
            pipe.rpush(stage, *(part for job in jobs[start : start + 2000] for part in job))
            pipe.expire(stage, _STAGE_TTL)
            pipe.execute()
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
        self._call("track", job_id, to.value, metadata, result_ttl, *(create or ()))

    # ------------------------------------------------------------------------------------------ dispatching

    def take_office(self, holder: str, epoch: str, result_ttl: int) -> int:
        """Become the one tracker or flow runner; returns how many jobs its predecessor left in flight."""
        return int(self._call("take_office", holder, epoch, result_ttl))

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
        text, digest = _SCRIPTS["claim"]
        head = ("EVALSHA", digest, 1, self._prefix, holder, epoch)
        short = tuple(short_tasks)
        while True:
            pipe = self.redis.pipeline(transaction=False)
            queue_up: Callable[..., Any] = pipe.execute_command
            for room in lanes:
                queue_up(*head, room.lane, lease_ms, room.most_short, room.most_long, room.least, worker, *short)
            try:
                replies = pipe.execute()
            except NoScriptError:
                self.redis.script_load(text)
            except ResponseError as refused:
                raise _explain(str(refused).partition("caused error: ")[2] or str(refused)) from None
            else:
                return [[_claimed(row) for row in rows] for rows in replies]

    def start(self, worker: str, lease_ms: int, result_ttl: int, jobs: Sequence[tuple[str, int]]) -> list[int]:
        """Take up leased jobs; returns the fence to commit each with, 0 for one that is not to be run."""
        return [int(fence) for fence in self._call("start", worker, lease_ms, result_ttl, *_flat(jobs))]

    def beat(self, holder: str, worker: str, lease_ms: int, jobs: Sequence[tuple[str, int]]) -> list[str]:
        """Extend leases; returns the ids of those that are lost."""
        return [job_id.decode() for job_id in self._call("beat", holder, worker, lease_ms, *_flat(jobs))]

    def complete(self, worker: str, result_ttl: int, outcomes: Sequence[tuple[str, int, bytes, float]]) -> int:
        """Commit (id, fence, result, milliseconds) of finished jobs; returns how many were refused as stale."""
        return int(self._call("complete", worker, result_ttl, *_flat(outcomes)))

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
        return bool(self._call("fail", *args))

    def hand_back(self, jobs: Sequence[tuple[str, int | str]], reason: str, *, blame: bool, result_ttl: int) -> int:
        """Requeue jobs in flight; returns how many still were."""
        return int(self._call("hand_back", reason, int(blame), result_ttl, *_flat(jobs)))

    def reap(self, holder: str, epoch: str, most: int, result_ttl: int) -> tuple[float, list[tuple[str, int]]]:
        """Requeue jobs whose lease ended; returns seconds to the next such moment (inf: none), and those jobs."""
        next_ms, *rest = self._call("reap", holder, epoch, most, result_ttl)
        jobs = [(rest[i].decode(), int(rest[i + 1])) for i in range(0, len(rest), 2)]
        return (next_ms / 1000 if next_ms >= 0 else float("inf")), jobs

    def promote(self, most: int) -> tuple[int, float]:
        """Queue jobs whose time has come; returns how many, and seconds until the next is due (inf: none)."""
        moved, next_ms = self._call("promote", most)
        return moved, (next_ms / 1000 if next_ms >= 0 else float("inf"))

    def note(self, job: tuple[str, int | str], worker: str, what: str, value: str | bytes, text: str = "") -> bool:
        """Record progress or a checkpoint of a running job; False: refused as stale."""
        return bool(self._call("note", *job, worker, what, value, text))

    # ------------------------------------------------------------------------------------------ by people

    def cancel(self, job_id: str, reason: str, result_ttl: int) -> None:
        """Cancel a job and its children. Raises UnknownJob, or InvalidTransition when it has ended."""
        self._call("cancel", job_id, reason, result_ttl)

    def settle_dead_letter(self, job_id: str, what: str) -> None:
        """`retry` or `remove` a job of the dead-letter queue; raises UnknownJob when it is not in there."""
        try:
            self._call("replay", job_id, what)
        except UnknownJob:
            raise UnknownJob(f"job {job_id} is not in the dead-letter queue") from None

    def pause(self, queue: str, *, paused: bool) -> None:
        """Stop or resume the starting of jobs of a queue."""
        self._call("pause", queue, "pause" if paused else "resume")

    def admit(self, caller: str, rate: int) -> float:
        """Count one request of a caller that may make `rate` a second: 0 when it may, else seconds to wait."""
        return int(self._call("admit", caller, rate)) / 1000

    def forget(self, ids: Sequence[str], ended_before_ms: float, *, dry_run: bool) -> list[str]:
        """Delete ended jobs; returns the ids that went, or in a dry run would go."""
        return [job_id.decode() for job_id in self._call("forget", int(ended_before_ms), int(dry_run), *ids)]

    # ------------------------------------------------------------------------------------------ reading

    def status(self, job_id: str) -> JobStatus:
        """All about one job. Raises UnknownJob."""
        commands = (("HGETALL", self.key(f"j:{job_id}")), ("GET", self.key(f"r:{job_id}")))
        try:
            with self._held_connection() as connection:
                connection.send_packed_command(connection.pack_commands(commands))
                fields, result = connection.read_response(), connection.read_response()
        except (redis.ConnectionError, redis.TimeoutError):
            return self.statuses([job_id])[0]
        stored = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
        return read_status(job_id, stored, result)

    def statuses(self, ids: Sequence[str]) -> list[JobStatus]:
        """The status of each id, in one round trip. Raises UnknownJob."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.hgetall(self.key(f"j:{job_id}"))
            pipe.get(self.key(f"r:{job_id}"))
        replies = pipe.execute()
        return [read_status(job_id, replies[2 * i], replies[2 * i + 1]) for i, job_id in enumerate(ids)]

    def fields(self, job_id: str, *names: str) -> list[bytes | None]:
        """Some fields of a job as they are stored. Raises UnknownJob."""
        values = cast("list[bytes | None]", self.redis.hmget(self.key(f"j:{job_id}"), ["state", *names]))
        if values[0] is None:
            raise unknown_job(job_id)
        return values[1:]

    def result(self, job_id: str) -> bytes | None:
        """The stored result as JSON, or None when there is none (any more)."""
        return cast("bytes | None", self.redis.get(self.key(f"r:{job_id}")))

    def checkpoint(self, job_id: str) -> bytes | None:
        """The stored checkpoint as JSON, or None."""
        return cast("bytes | None", self.redis.get(self.key(f"c:{job_id}")))

    def history(self, job_id: str) -> list[Transition]:
        """Every move of the job, oldest first. Raises UnknownJob."""
        entries = cast("list[bytes]", self.redis.lrange(self.key(f"h:{job_id}"), 0, -1))
        if not entries:
            self.fields(job_id)
        return [read_transition(entry) for entry in entries]

    def children(self, job_id: str) -> list[JobStatus]:
        """The jobs that a flow has submitted, oldest first."""
        ids = sorted(kid.decode() for kid in cast("set[bytes]", self.redis.smembers(self.key(f"k:{job_id}"))))
        return sorted(self.statuses(ids), key=lambda status: status.created_at) if ids else []

    def indexed(self, names: Sequence[str], limit: int, before: Place | None = None) -> list[Place]:
        """The newest jobs in any of the listings `names`, newest first."""
        created, job_id = before or ("", "")
        pages = cast("list[list[bytes]]", self._call("page", limit, created, job_id, *names))
        rows: set[Place] = {(int(page[i + 1]), page[i].decode()) for page in pages for i in range(0, len(page), 2)}
        return sorted(rows, reverse=True)[:limit]

    def list_jobs(
        self,
        *,
        state: JobState | None = None,
        task_name: str | None = None,
        queue: str | None = None,
        user_id: str | None = None,
        limit: int = 100,
        before: Place | None = None,
        results: bool = True,
    ) -> tuple[list[JobStatus], Place | None]:
        """The newest jobs that match all the filters, newest first, and where to go on; None: there are no more.

        A filter that matches little may give fewer than `limit` jobs and still a place to go on from.
        """
        if user_id is not None:
            names = [f"user:{user_id}"]
        elif task_name is not None and state is None:
            names = [f"task:{task_name}"]
        else:
            queues = [queue] if queue else list(QUEUE_PRIORITIES)
            names = [f"in:{q}:{s}" for q in queues for s in ([state] if state else JobState)]
        found: list[JobStatus] = []
        for _ in range(_LISTING_READS):
            rows = self.indexed(names, max(limit, 100), before)
            statuses = self._present([job_id for _, job_id in rows], results=results)
            for place, status in zip(rows, statuses, strict=True):
                before = place
                if (
                    status is not None
                    and (state is None or status.current_state is state)
                    and (task_name is None or status.task_name == task_name)
                    and (queue is None or status.queue == queue)
                ):
                    found.append(status)
                    if len(found) == limit:
                        return found, before
            if len(rows) < max(limit, 100):
                return found, None
        return found, before

    def _present(self, ids: Sequence[str], *, results: bool) -> list[JobStatus | None]:
        """The status of each id; None for one that is gone: a listing may race with a clean-up."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.hgetall(self.key(f"j:{job_id}"))
        if results:
            for job_id in ids:
                pipe.get(self.key(f"r:{job_id}"))
        replies = pipe.execute()
        stored, outcomes = replies[: len(ids)], replies[len(ids) :] or [None] * len(ids)
        return [
            read_status(job_id, fields, outcome) if fields else None
            for job_id, fields, outcome in zip(ids, stored, outcomes, strict=True)
        ]

    def dead_letters(self, ids: Sequence[str] | None = None) -> list[DeadLetter]:
        """The dead-letter queue, oldest first, or those of its jobs that are named. Raises UnknownJob."""
        if ids is None:
            rows = cast("list[tuple[bytes, float]]", self.redis.zrange(self.key("dlq"), 0, -1, withscores=True))
            return self._read_dead_letters([(score, job_id.decode()) for job_id, score in rows])
        scores = cast("list[float | None]", self.redis.zmscore(self.key("dlq"), list(ids)) if ids else [])
        entries = []
        for job_id, score in zip(ids, scores, strict=True):
            if score is None:
                raise UnknownJob(f"job {job_id} is not in the dead-letter queue")
            entries.append((score, job_id))
        return self._read_dead_letters(entries)

    def dead_letters_after(self, after: Place | None, limit: int) -> list[DeadLetter]:
        """The next `limit` jobs of the dead-letter queue after a place in it (failed at ms, id), oldest first."""
        start, reach = ("-inf" if after is None else after[0]), limit
        while True:
            rows = cast(
                "list[tuple[bytes, float]]",
                self.redis.zrangebyscore(self.key("dlq"), start, "+inf", start=0, num=reach, withscores=True),
            )
            entries = [(score, job_id.decode()) for job_id, score in rows]
            following = [entry for entry in entries if after is None or entry > after]
            if len(following) >= limit or len(rows) < reach:
                return self._read_dead_letters(following[:limit])
            reach *= 2  # many failed in the very millisecond of the last one seen

    def _read_dead_letters(self, entries: Sequence[Place]) -> list[DeadLetter]:
        pipe = self.redis.pipeline(transaction=False)
        for _, job_id in entries:
            pipe.hgetall(self.key(f"j:{job_id}"))
        return [
            read_dead_letter(job_id, failed, fields)
            for (failed, job_id), fields in zip(entries, pipe.execute(), strict=True)
            if fields
        ]

    # ------------------------------------------------------------------------------------------ waiting

    def blocking_pop(self, names: Sequence[str], timeout: float) -> bytes | None:
        """Take the next element of any of the lists, waiting up to `timeout` seconds for one."""
        keys = [self.key(name) for name in names]
        popped = cast("list[bytes] | None", self.redis.blpop(keys, timeout=max(0.001, timeout)))
        return popped[1] if popped else None

    def wake(self, holder: str) -> None:
        """Make a holder look for work, if it is not about to."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.rpush(self.key(f"wake:{holder}"), "1")
        pipe.ltrim(self.key(f"wake:{holder}"), 0, 0)
        pipe.execute()

    def wait_until_ended(self, job_id: str, timeout: float | None) -> JobState:
        """Wait for the job's end. Raises TimeoutError after `timeout` seconds, UnknownJob."""
        deadline = None if timeout is None else time.monotonic() + timeout
        channel = self.key(f"done:{job_id}")
        with self._listening(channel) as pubsub:
            while True:
                # Subscribed first, so that an end between this look and the wait is not missed.
                state = self.state(job_id)
                if state.has_ended:
                    return state
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"job {job_id} is {state} after {timeout:g} s; it goes on in the background")
                try:
                    # A look now and then, should a message have been lost with a restart of Redis.
                    message = pubsub.get_message(timeout=min(5.0, left or 5.0))
                    if message is not None and message["type"] == "message":
                        return JobState(message["data"].decode())
                except (redis.ConnectionError, redis.TimeoutError):
                    pubsub.subscribe(channel)

    def state(self, job_id: str) -> JobState:
        """The job's state now. Raises UnknownJob."""
        state = cast("bytes | None", self.redis.hget(self.key(f"j:{job_id}"), "state"))
        if state is None:
            raise unknown_job(job_id)
        return JobState(state.decode())

    def states(self, ids: Sequence[str]) -> list[JobState | None]:
        """The state of each id now, None for one that does not exist."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.hget(self.key(f"j:{job_id}"), "state")
        return [None if state is None else JobState(state.decode()) for state in pipe.execute()]

    @contextmanager
    def _listening(self, channel: str) -> Iterator[Any]:
        # Connecting costs more than a short job, so subscribers are used again.
        pubsub = self._idle_pubsubs.pop() if self._idle_pubsubs else self._pubsub()
        pubsub.subscribe(channel)
        yield pubsub
        pubsub.unsubscribe(channel)
        while pubsub.subscribed:
            pubsub.get_message(timeout=5.0)
        self._idle_pubsubs.append(pubsub)


def _load_scripts() -> dict[str, tuple[str, str]]:
    """Each script by name: its text, with what it uses of the prelude in front, and the digest that EVALSHA takes."""
    folder = files("ytray.engine") / "lua"
    parts = (folder / "prelude.lua").read_text().split("\n\n")
    scripts = {}
    for entry in folder.iterdir():
        name = entry.name.removesuffix(".lua")
        if name != "prelude":
            text = _with_prelude(entry.read_text(), parts)
            scripts[name] = (text, sha1(text.encode(), usedforsecurity=False).hexdigest())
    return scripts


def _with_prelude(text: str, parts: list[str]) -> str:
    # Redis runs the whole text at every call: making the functions that a script does not use is a third of its time.
    for part in reversed(parts):
        names = re.findall(r"^local (?:function )?(\w+)", part, re.MULTILINE)
        if any(re.search(rf"\b{name}\b", text) for name in names):
            text = f"{part}\n\n{text}"
    return text


_SCRIPTS = _load_scripts()


def _explain(refusal: str) -> YtrayError:
    word, _, rest = refusal.partition(" ")
    match word, rest.split(" "):
        case "UNKNOWN", [job_id, *_]:
            return unknown_job(job_id)
        case "EXISTS", [job_id, *_]:
            return InvalidTransition(f"job {job_id} exists already; choose another id")
        case "CONFLICT", [job_id, *_]:
            return IdempotencyConflict(
                f"the idempotency key belongs to job {job_id}, which has another task or other arguments; "
                "use a new key for new work"
            )
        case "ILLEGAL", [job_id, state, to, *_]:
            return InvalidTransition(f"job {job_id} is {state} and cannot become {to}; nothing was changed")
        case "OWNED", [job_id, *_]:
            return InvalidTransition(f"job {job_id} is run by ytray; only its worker moves it (it can be cancelled)")
        case "ORPHAN", [parent, state, *_]:
            return InvalidTransition(f"flow {parent} is no longer running (it is {state}); it submits no more steps")
        case "GONE", _:
            return InvalidTransition("the submission took longer than an hour and was dropped; submit it again")
        case "EPOCH", _:
            return Deposed("another tracker or flow runner has taken over")
        case "MISCONF", _:
            return SystemUnavailable(f"Redis refuses to write, most often because its disk is full: {refusal}")
    return YtrayError(f"Redis refused a move: {refusal}")


class Deposed(YtrayError):
    """Another holder is in office; this one must stop."""


def _claimed(row: list[Any]) -> Claimed:
    job_id, fence, task, spec, retries, user, queue, generation, queued = row
    return Claimed(
        job_id=job_id.decode(),
        fence=fence,
        task=task.decode(),
        spec=spec,
        retries=int(retries),
        user=user.decode(),
        queue=queue.decode(),
        generation=int(generation),
        queued_ms=int(queued),
    )


def _flat(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [value for row in rows for value in row]
