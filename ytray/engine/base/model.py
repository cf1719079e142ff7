"""The words of the engine: states, the moves between them, and what users see of a job. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, PlainSerializer, computed_field


class JobState(StrEnum):
    """Where a job is in its life. docs/state_machine.md draws it."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"
    CANCELLED = "CANCELLED"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to the job by itself. (A FAILED one may still be replayed.)"""
        return self in ENDED


ENDED: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})

# The same table as LEGAL in lua/prelude.lua, which is the one that decides; a test holds the two together.
LEGAL_MOVES: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.PENDING: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.QUEUED: frozenset({JobState.EXECUTING, JobState.CANCELLED}),
    JobState.EXECUTING: frozenset({JobState.COMPLETED, JobState.FAILED, JobState.QUEUED, JobState.CANCELLED}),
    JobState.FAILED: frozenset({JobState.RETRYING}),
    JobState.RETRYING: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.COMPLETED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

# Queue → what it is worth against the others. Each is the Ray custom resource `queue_<name>`.
QUEUE_PRIORITIES: Final[dict[str, int]] = {"generation": 10, "media": 5, "default": 4, "batch": 3}
FLOW_LANE: Final = "~flow"  # where flows wait: their runner claims them, and they take no slot of their queue
MICRO: Final = 1_000_000  # micro-USD, in which Redis counts money, in a US dollar
DEFAULT_PRIORITY: Final = 4  # of a job inside its queue; 0 to 9, 9 goes first

_MODULE_QUEUES: Final = {
    "ytray.tasks.generation": "generation",
    "ytray.tasks.media": "media",
    "ytray.tasks.processing": "batch",
}


def queue_of_module(module: str) -> str:
    """The queue that serves the tasks of `module` unless they name another."""
    return _MODULE_QUEUES.get(module, "default")


def _rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[datetime, PlainSerializer(_rfc3339, when_used="json")]


def time_of(milliseconds: str | bytes | float) -> datetime:
    """The UTC time of so many milliseconds since 1970, as Redis stores times."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class Transition(_Told):
    """One entry of a job's history."""

    from_state: JobState
    to_state: JobState
    at: Time
    metadata: dict[str, Any]


class JobStatus(_Told):
    """Everything there is to know about a job at one moment. `progress` is in percent, `cost_usd` in US dollars."""

    job_id: str
    task_name: str
    queue: str
    priority: int
    current_state: JobState
    progress: float
    progress_message: str
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    error: str | None
    result: Any
    retry_count: int
    next_retry_at: Time | None
    user_id: str | None
    metadata: dict[str, Any]
    idempotency_key: str | None
    parent_id: str | None
    cost_usd: float


class JobPage(_Told):
    """A page of a listing. `next_cursor` leads to the next one; None: this is the last. Results are left out."""

    jobs: list[JobStatus]
    next_cursor: str | None


class DeadLetter(_Told):
    """A job in the dead-letter queue. `task_id` and `error_message` are other names of `job_id` and `error`."""

    job_id: str
    task_name: str
    queue: str
    args: dict[str, Any]
    error: str
    traceback: str
    retry_count: int
    failed_at: Time
    user_id: str | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def task_id(self) -> str:
        """The job's id."""
        return self.job_id

    @computed_field  # type: ignore[prop-decorator]
    @property
    def error_message(self) -> str:
        """The error that its last attempt ended with."""
        return self.error


class DeadLetterPage(_Told):
    """A page of the dead-letter queue. `total` counts all of it; None in a listing of one user's."""

    dead_letters: list[DeadLetter]
    total: int | None
    next_cursor: str | None


class QueueStatus(_Told):
    """One queue now. `slots` counts what the nodes of the cluster offer; None when no cluster could be asked."""

    name: str
    priority: int
    depth: int
    executing: int
    delayed: int
    slots: int | None
    paused: bool
    oldest_wait_seconds: float
