"""Structured logs: one JSON object a line on standard error, with the job, task, attempt and fence it speaks of."""

from __future__ import annotations

import logging
import os
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from ytray.engine.base.context import running_job
from ytray.settings import settings


def _with_job(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    job = running_job()
    if job is not None:
        event.update(job_id=job.id, task=job.task_name, attempt=job.attempt, fence=job.fence)
    return event


def configure() -> None:
    """Set up logging in a worker or an actor; what a task logs through `logging` gets the same form and fields."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _with_job,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    # A descriptor of its own stays open when a task closes or replaces standard error.
    handler = logging.StreamHandler(os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace"))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings().log_level)
    logging.getLogger("httpx").setLevel(max(root.level, logging.WARNING))  # it tells whole URLs, and some are secrets


def get(name: str) -> Any:
    """The logger of that name."""
    return structlog.get_logger(name)
