"""ytray: the durable job system and studio for AI-made video on Ray."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    from ytray.engine.base.context import current_job
    from ytray.engine.base.model import JobState, JobStatus, Transition
    from ytray.engine.base.retry import RetryPolicy
    from ytray.engine.batch.batches import batches
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

_THERE = {
    "ytray.engine.base.context": "current_job",
    "ytray.engine.base.model": "JobState JobStatus Transition",
    "ytray.engine.base.retry": "RetryPolicy",
    "ytray.engine.batch.batches": "batches",
    "ytray.engine.control.joining": "connect=ensure_running",
    "ytray.engine.jobs.dlq": "dlq",
    "ytray.engine.jobs.flow": "flow",
    "ytray.engine.jobs.gathering": "as_completed get",
    "ytray.engine.jobs.job": "Job",
    "ytray.engine.jobs.task": "task",
    "ytray.engine.jobs.tracking": "job_tracker",
    "ytray.engine.jobs.unit": "unit_of_work",
    "ytray.engine.run.breaker": "circuit_breaker",
    "ytray.engine.state.connection": "shutdown",
}
_FROM = {
    name: (module, own or name)
    for module, names in _THERE.items()
    for name, _, own in (each.partition("=") for each in names.split())
}


def __getattr__(name: str) -> Any:
    # Each worker and each command imports this package; what only some need is loaded when they ask for it.
    if name not in _FROM:
        raise AttributeError(f"module 'ytray' has no attribute {name!r}")
    module, own = _FROM[name]
    found = globals()[name] = getattr(import_module(module), own)
    return found
