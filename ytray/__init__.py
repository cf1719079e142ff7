"""ytray: the durable job system and studio for AI-made video on Ray."""

from typing import TYPE_CHECKING, Any

from ytray.engine.base.context import current_job
from ytray.engine.base.model import JobState, JobStatus, Transition
from ytray.engine.base.retry import RetryPolicy
from ytray.engine.control.joining import ensure_running as connect
from ytray.engine.jobs.dlq import dlq
from ytray.engine.jobs.flow import flow
from ytray.engine.jobs.gathering import as_completed, get
from ytray.engine.jobs.job import Job
from ytray.engine.jobs.task import task
from ytray.engine.jobs.tracking import job_tracker
from ytray.engine.jobs.unit import unit_of_work
from ytray.engine.run.breaker import circuit_breaker
from ytray.engine.state.connection import shutdown
from ytray.errors import (
    BlockingCall,
    CircuitOpen,
    Deadlock,
    IdempotencyConflict,
    InvalidArguments,
    InvalidBatchMove,
    InvalidTransition,
    JobCancelled,
    JobFailed,
    PayloadTooLarge,
    PermanentError,
    ResultExpired,
    RetryLater,
    SettingsError,
    SoftTimeLimitExceeded,
    StaleFence,
    SystemUnavailable,
    TimeLimitExceeded,
    UnknownBatch,
    UnknownJob,
    UnknownNode,
    UnknownTask,
    YtrayError,
)

if TYPE_CHECKING:
    from ytray.engine.batch.batches import batches

__all__ = [
    "BlockingCall",
    "CircuitOpen",
    "Deadlock",
    "IdempotencyConflict",
    "InvalidArguments",
    "InvalidBatchMove",
    "InvalidTransition",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobState",
    "JobStatus",
    "PayloadTooLarge",
    "PermanentError",
    "ResultExpired",
    "RetryLater",
    "RetryPolicy",
    "SettingsError",
    "SoftTimeLimitExceeded",
    "StaleFence",
    "SystemUnavailable",
    "TimeLimitExceeded",
    "Transition",
    "UnknownBatch",
    "UnknownJob",
    "UnknownNode",
    "UnknownTask",
    "YtrayError",
    "as_completed",
    "batches",
    "circuit_breaker",
    "connect",
    "current_job",
    "dlq",
    "flow",
    "get",
    "job_tracker",
    "shutdown",
    "task",
    "unit_of_work",
]


def __getattr__(name: str) -> Any:
    # Each worker and each command imports this package; what only some need is loaded when they ask for it.
    if name == "batches":
        from ytray.engine.batch.batches import batches

        return batches
    raise AttributeError(f"module 'ytray' has no attribute {name!r}")
