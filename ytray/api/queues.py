"""`/api/queues`, `/api/tasks`, `/api/breakers`, `/api/counts`: what there is, and how it does."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ytray.api.access import Admin, Reader
from ytray.api.problems import documented
from ytray.engine.base.imports import broken_imports
from ytray.engine.base.model import JobState, QueueStatus
from ytray.engine.jobs.flow import Flow
from ytray.engine.jobs.task import all_tasks
from ytray.engine.jobs.tracking import job_tracker
from ytray.engine.run.breaker import BreakerState, breaker_states

router = APIRouter(prefix="/api", tags=["queues and tasks"])


class Queues(BaseModel):
    """The four queues, the one that is worth most first."""

    queues: list[QueueStatus]


class Paused(BaseModel):
    """Whether a queue starts jobs."""

    name: str
    paused: bool


class TaskDescription(BaseModel):
    """A task: what it takes and gives, as JSON Schema. Limits and delays are in seconds."""

    name: str
    kind: Literal["task", "flow"]
    queue: str
    description: str
    soft_time_limit: float | None
    time_limit: float | None
    retry_delays: list[float]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    public: bool = Field(description="Whether keys that are bound to a user may submit it.")
    schema_error: str | None = Field(
        description="Why it has no schemas: its annotations cannot be told as JSON Schema."
    )


class Tasks(BaseModel):
    """Every task by name."""

    tasks: list[TaskDescription]
    broken_imports: dict[str, str] = Field(
        description="Modules of YTRAY_IMPORTS that could not be imported where this was answered, and why: their tasks "
        "are missing here."
    )


class Breakers(BaseModel):
    """What is known of each dependency."""

    breakers: list[BreakerState]


class Counts(BaseModel):
    """How many jobs are in each state."""

    counts: dict[JobState, int]


@router.get("/queues", responses=documented())
def queues(caller: Reader) -> Queues:
    """Each queue's depth, what it executes, its slots, and whether it is paused.

    A key that is bound to a user is told of that user's jobs alone.
    """
    return Queues(queues=job_tracker.queues(caller.sees_only))


@router.post("/queues/{name}/pause", responses=documented())
def pause(name: str, _: Admin) -> Paused:
    """Start no more jobs of the queue; those that run go on."""
    job_tracker.pause(name)
    return Paused(name=name, paused=True)


@router.post("/queues/{name}/resume", responses=documented())
def resume(name: str, _: Admin) -> Paused:
    """Start jobs of the queue again."""
    job_tracker.resume(name)
    return Paused(name=name, paused=False)


@router.get("/tasks", responses=documented())
def tasks(caller: Reader) -> Tasks:
    """Each task that the caller may submit, with the JSON Schemas of its input and output."""
    wanted = [
        task
        for task in _described()
        if (task.public or caller.sees_only is None) and (not caller.tasks or task.name in caller.tasks)
    ]
    return Tasks(tasks=wanted, broken_imports=broken_imports() if caller.sees_only is None else {})


@router.get("/breakers", responses=documented())
def breakers(caller: Reader) -> Breakers:
    """The circuit breaker of each dependency that was ever called through one.

    The errors of calls may tell of other users' jobs: a key that is bound to a user is not told them.
    """
    found = breaker_states()
    if caller.sees_only is not None:
        found = [BreakerState(name=one.name, state=one.state, opened_at=one.opened_at) for one in found]
    return Breakers(breakers=found)


@router.get("/counts", responses=documented())
def counts(caller: Reader) -> Counts:
    """How many jobs there are in each state, of those that the caller may see."""
    return Counts(counts=job_tracker.counts(caller.sees_only))


@cache
def _described() -> list[TaskDescription]:
    described = []
    for name, task in sorted(all_tasks().items()):
        is_flow = isinstance(task, Flow)
        takes: dict[str, Any] = {}
        gives: dict[str, Any] = {}
        error = None
        try:
            takes, gives = task.signature.model.model_json_schema(), task.signature.result.json_schema()
        except Exception as wrong:  # whatever a user's own types raise: the other tasks are still listed
            error = f"{type(wrong).__name__}: {wrong}"
        described.append(
            TaskDescription(
                name=name,
                kind="flow" if is_flow else "task",
                queue=task.queue,
                description=inspect.getdoc(task.function) or "",
                soft_time_limit=None if is_flow else task.soft_time_limit,
                time_limit=None if is_flow else task.time_limit,
                retry_delays=list(task.retry.seconds()),
                public=task.is_public,
                input_schema=takes,
                output_schema=gives,
                schema_error=error,
            )
        )
    return described
