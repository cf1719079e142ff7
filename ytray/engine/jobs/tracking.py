"""`ytray.job_tracker`: the state, history and control of every job, from any process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ytray.engine.base.model import (
    DEFAULT_PRIORITY,
    QUEUE_PRIORITIES,
    JobPage,
    JobState,
    JobStatus,
    QueueStatus,
    Transition,
)
from ytray.engine.base.names import checked_word, did_you_mean
from ytray.engine.base.values import check_text, write
from ytray.engine.jobs.job import Job
from ytray.engine.jobs.task import Options
from ytray.engine.state.connection import store
from ytray.engine.state.own_jobs import OwnJobs, own_jobs
from ytray.engine.state.reading import Place, milliseconds
from ytray.engine.state.records import read_cursor, write_cursor
from ytray.errors import InvalidArguments, InvalidTransition
from ytray.settings import settings


class Tracking:
    """Reads go straight to Redis. `create_job` and `update_*` are for jobs that run elsewhere than in ytray."""

    def create_job(
        self,
        job_id: str,
        task_name: str,
        *,
        queue: str = "default",
        priority: int = DEFAULT_PRIORITY,
        user_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> JobStatus:
        """Track a job that runs elsewhere: it is listed and keeps a history, is never dispatched, and starts QUEUED.

        Raises InvalidTransition when the id is taken, InvalidArguments.
        """
        Options(queue=queue, priority=priority, user_id=user_id or None)
        checked_word(task_name, "the name of a task")
        if not job_id or len(job_id) > 255 or any(not c.isprintable() or c.isspace() or c == "/" for c in job_id):
            raise InvalidArguments("a job id has 1 to 255 printable characters, without spaces and slashes")
        check_text(job_id, "a job id")
        spec = b'{"metadata":' + write(dict(metadata or {}), "metadata") + b"}"
        create = (task_name, queue, priority, user_id or "", spec)
        store().track(job_id, JobState.QUEUED, b"{}", settings().result_ttl, create)
        return self.get_status(job_id)

    def update_state(self, job_id: str, state: JobState | str, metadata: Mapping[str, Any] | None = None) -> JobStatus:
        """Move a job that runs elsewhere. Raises InvalidTransition, and then changes nothing; UnknownJob."""
        store().track(job_id, state_named(state), write(dict(metadata or {}), "metadata"), settings().result_ttl)
        return self.get_status(job_id)

    def update_progress(self, job_id: str, percent: float, message: str = "") -> None:
        """Report the progress, 0 to 100, of a job that runs elsewhere. Raises InvalidTransition unless it executes."""
        if not 0 <= percent <= 100:
            raise InvalidArguments(f"progress is 0 to 100, not {percent}")
        check_text(message, "a message")
        if not store().note((job_id, ""), "", "progress", f"{percent:g}", message):
            state = store().state(job_id)
            raise InvalidTransition(
                f"job {job_id} is {state}; only a job that is EXECUTING elsewhere takes reports of its progress"
            )

    def get_status(self, job_id: str) -> JobStatus:
        """What is known of the job now. Raises UnknownJob."""
        return store().status(job_id)

    def get_history(self, job_id: str) -> list[Transition]:
        """Every move of the job, oldest first. Raises UnknownJob."""
        return store().history(job_id)

    def list_jobs(
        self,
        state: JobState | str | None = None,
        *,
        task_name: str | None = None,
        queue: str | None = None,
        user_id: str | None = None,
        limit: int = 100,
    ) -> list[JobStatus]:
        """The newest jobs that match all filters, newest first; at most `limit` (1 to 10,000)."""
        if not 1 <= limit <= 10_000:
            raise InvalidArguments(f"limit is 1 to 10,000, not {limit}")
        return self._page(state, task_name, queue, user_id, limit, None, results=True)[0]

    def page(
        self,
        state: JobState | str | None = None,
        *,
        task_name: str | None = None,
        queue: str | None = None,
        user_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> JobPage:
        """A page of `list_jobs`, without the jobs' results; give its `next_cursor` as `cursor` to go on.

        It stays right while jobs are added: a newer job never shifts what comes next. Raises InvalidArguments.
        """
        if not 1 <= limit <= 1_000:
            raise InvalidArguments(f"a page has a limit of 1 to 1,000 jobs, not {limit}")
        before = None if cursor is None else read_cursor(cursor)
        jobs, place = self._page(state, task_name, queue, user_id, limit, before, results=False)
        return JobPage(jobs=jobs, next_cursor=None if place is None else write_cursor(place))

    def _page(
        self,
        state: JobState | str | None,
        task_name: str | None,
        queue: str | None,
        user_id: str | None,
        limit: int,
        before: Place | None,
        *,
        results: bool,
    ) -> tuple[list[JobStatus], Place | None]:
        Options(queue=queue)
        return store().list_jobs(
            state=None if state is None else state_named(state),
            task_name=task_name,
            queue=queue,
            user_id=user_id,
            limit=limit,
            before=before,
            results=results,
        )

    def counts(self, user_id: str | None = None) -> dict[JobState, int]:
        """How many jobs are in each state: of all, or of a user's newest 20,000."""
        where = store()
        if user_id is not None:
            return own_jobs(where, user_id).counted()
        pipe = where.redis.pipeline(transaction=False)
        for state in JobState:
            for queue in QUEUE_PRIORITIES:
                pipe.zcard(where.key(f"in:{queue}:{state}"))
        sizes = _readable(pipe.execute(raise_on_error=False))
        number = len(QUEUE_PRIORITIES)
        return {state: sum(sizes[place * number : (place + 1) * number]) for place, state in enumerate(JobState)}

    def children(self, job_id: str) -> list[JobStatus]:
        """The steps that a flow has submitted, oldest first."""
        return store().children(job_id)

    def cancel(self, job_id: str, reason: str = "cancelled by its user") -> None:
        """Cancel a job, and a flow's steps with it. Raises InvalidTransition when it has ended, UnknownJob."""
        Job[Any](job_id).cancel(reason)

    def pause(self, queue: str) -> None:
        """Start no more jobs of the queue; those that run go on. Raises InvalidArguments."""
        Options(queue=queue)
        store().pause(queue, paused=True)

    def resume(self, queue: str) -> None:
        """Start jobs of the queue again. Raises InvalidArguments."""
        Options(queue=queue)
        store().pause(queue, paused=False)

    def queues(self, user_id: str | None = None) -> list[QueueStatus]:
        """Every queue now, the one that is worth most first; with all jobs, or with those of a user (see `counts`)."""
        where = store()
        slots = _slots()
        pipe = where.redis.pipeline(transaction=True)
        for name in QUEUE_PRIORITIES:
            pipe.zcard(where.key(f"ready:{name}"))
            for state in (JobState.EXECUTING, JobState.PENDING, JobState.RETRYING):
                pipe.zcard(where.key(f"in:{name}:{state}"))
            pipe.sismember(where.key("paused"), name)
            pipe.zrange(where.key(f"in:{name}:QUEUED"), 0, 0, withscores=True)
        pipe.time()
        replies = _readable(pipe.execute(raise_on_error=False))
        now_ms, found = milliseconds(replies[-1]), []
        for place, (name, priority) in enumerate(QUEUE_PRIORITIES.items()):
            queued, executing, pending, retrying, paused, first = replies[6 * place : 6 * place + 6]
            found.append(
                QueueStatus(
                    name=name,
                    priority=priority,
                    depth=queued,
                    executing=executing,
                    delayed=pending + retrying,
                    slots=None if slots is None else slots.get(name, 0),
                    paused=bool(paused),
                    oldest_wait_seconds=max(0.0, now_ms - first[0][1]) / 1000 if first and queued else 0.0,
                )
            )
        if user_id is not None:
            own = own_jobs(where, user_id)
            found = [_with_own_jobs(queue, own, now_ms) for queue in found]
        return sorted(found, key=lambda queue: -queue.priority)


def _with_own_jobs(queue: QueueStatus, own: OwnJobs, now_ms: int) -> QueueStatus:
    states = {state: own.jobs[queue.name, state] for state in JobState}
    oldest = own.oldest_ms.get(queue.name)
    return queue.model_copy(
        update={
            "depth": states[JobState.QUEUED],
            "executing": states[JobState.EXECUTING],
            "delayed": states[JobState.PENDING] + states[JobState.RETRYING],
            "oldest_wait_seconds": 0.0 if oldest is None else max(0, now_ms - oldest) / 1000,
        }
    )


def _readable(replies: list[Any]) -> list[Any]:
    """Replies, with 0 for a key that somebody overwrote, so that the other queues are still listed."""
    for reply in replies:
        if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
            raise reply
    return [0 if isinstance(reply, Exception) else reply for reply in replies]


def state_named(name: str) -> JobState:
    """The state of that name, in any case; `running` is EXECUTING. Raises InvalidArguments."""
    state = "EXECUTING" if name.lower() == "running" else name.upper()
    if state not in JobState.__members__:
        raise InvalidArguments(f"there is no state {name!r}{did_you_mean(state, JobState.__members__)}")
    return JobState(state)


def _slots() -> dict[str, int] | None:
    """Slots by queue, when this process is connected to Ray."""
    import ray

    if not ray.is_initialized():
        return None
    from ytray.engine.cluster.capacity import cluster_slots

    return cluster_slots()


job_tracker = Tracking()
