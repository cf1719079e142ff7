"""`/api/jobs`: submitting, listing, looking at and cancelling jobs."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import redis
from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ytray.api.access import Reader, Submitter, check_owner, check_task, may_see, user_of
from ytray.api.keys import Caller
from ytray.api.problems import documented
from ytray.api.quotas import Quotas, priority_for
from ytray.engine.base.model import DEFAULT_PRIORITY, JobPage, JobState, JobStatus, Transition
from ytray.engine.base.values import read
from ytray.engine.jobs.task import Options, find
from ytray.engine.jobs.tracking import job_tracker
from ytray.engine.state.joblog import LogLine, read_log
from ytray.engine.state.records import unknown_job
from ytray.engine.state.store import Store
from ytray.engine.state.waiting import Ending
from ytray.errors import DamagedJob, InvalidArguments, InvalidTransition, ResultExpired, SystemUnavailable

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

_MOST_RESULTS = 1_000  # in one answer
_LINGER = 0.2  # seconds after the first end, so that those that follow come in the same answer
_SUBMITTERS = ThreadPoolExecutor(16, thread_name_prefix="ytray-submit")

JobId = Annotated[str, Path(description="The id that the submission answered.", min_length=1, max_length=255)]
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=255, description="The same key is the same job, however often sent.")
]


class Submission(BaseModel):
    """A job to run. What is left out is as the task says."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "task": "generate_hook",
                    "args": {"prompt": "Why do cats purr?"},
                    "user_id": "user_123",
                    "metadata": {"genre": "comedy", "platform": "TikTok"},
                }
            ]
        },
    )

    task: str = Field(description="Name of the task, as GET /api/tasks lists it.", max_length=255)
    args: dict[str, Any] = Field(default_factory=dict, description="Its arguments, by name.")
    queue: str | None = Field(None, description="default, generation, media or batch.")
    priority: int = Field(DEFAULT_PRIORITY, ge=0, le=9, description="9 goes first inside its queue.")
    delay: float = Field(0.0, ge=0, le=366 * 86400, description="Seconds to wait before it is queued.")
    idempotency_key: str | None = Field(None, min_length=1, max_length=255)
    user_id: str | None = Field(None, min_length=1, max_length=255, description="Whose job it is.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Kept with the job, and told with its status.")


class Accepted(BaseModel):
    """A job that was accepted: it is durable."""

    job_id: str = Field(examples=["019a5c0e4b17c2f3a1d0e5b9c8f"])
    current_state: JobState


class Awaited(BaseModel):
    """Jobs whose ends are wanted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"job_ids": ["019a5c0e4b17"]}]})

    job_ids: list[Annotated[str, Field(min_length=1, max_length=255)]] = Field(max_length=10_000)
    wait_seconds: float = Field(0.0, ge=0, le=20, description="For the first of them to end; 0 answers at once.")


class Ended(BaseModel):
    """How a job ended. `result` is null unless it COMPLETED, and when it is no longer kept: then `error` says so."""

    job_id: str
    current_state: JobState
    result: Any
    error: str | None
    retry_count: int


class Results(BaseModel):
    """Those of the jobs that have ended, 1,000 at most; ask again for the others."""

    results: list[Ended]


class History(BaseModel):
    """Every move of a job, oldest first."""

    job_id: str
    transitions: list[Transition]


class Jobs(BaseModel):
    """Some jobs."""

    jobs: list[JobStatus]


class Log(BaseModel):
    """What a job's attempts logged and printed. Give `next` as `after` to read on."""

    job_id: str
    lines: list[LogLine]
    next: int


async def accept(request: Request, caller: Caller, given: Submission, key: str | None) -> Response:
    """Submit a job for a caller. Raises what `Task.submit` does, Forbidden and OverQuota."""
    options = Options(
        queue=given.queue,
        priority=priority_for(caller, given.priority if "priority" in given.model_fields_set else None),
        delay=given.delay,
        idempotency_key=one_key(given.idempotency_key, key),
        user_id=user_of(caller, given.user_id),
        metadata=given.metadata,
    )
    # One hop to a thread, since Redis may be restarting; FastAPI would make two of it.
    job_id, state = await asyncio.get_running_loop().run_in_executor(
        _SUBMITTERS, _submit, request.app.state.quotas, caller, given, options
    )
    return Response(
        to_json(Accepted(job_id=job_id, current_state=state)),
        202,
        headers={"Location": f"/api/jobs/{job_id}/status"},
        media_type="application/json",
    )


def one_key(in_body: str | None, in_header: str | None) -> str | None:
    """The idempotency key of a request. Raises InvalidArguments when its body and its header name different ones."""
    if in_body is not None and in_header is not None and in_body != in_header:
        raise InvalidArguments(
            f"the body has the idempotency_key {in_body!r}, and the header Idempotency-Key says {in_header!r}: send one"
        )
    return in_header if in_body is None else in_body


def _submit(quotas: Quotas, caller: Caller, given: Submission, options: Options) -> tuple[str, JobState]:
    task = find(given.task)
    check_task(caller, task)
    if caller.sees_only is not None:
        quotas.take(caller, len(to_json(given.args)))
    job = task.submit(options, (), given.args)
    if options.idempotency_key:  # it may lead to a job that has gone far by now
        return job.id, job.status().current_state
    return job.id, JobState.PENDING if options.delay else JobState.QUEUED


@router.post("", status_code=202, response_model=Accepted, responses=documented(409))
async def submit(
    given: Submission, caller: Submitter, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submit a job. It is durable once this has answered; the answer's `Location` is where to watch it."""
    return await accept(request, caller, given, idempotency_key)


@router.get("", responses=documented())
def list_jobs(
    caller: Reader,
    status: Annotated[str | None, Query(description="A state in any case, or `running`.")] = None,
    task_name: Annotated[str | None, Query(max_length=255)] = None,
    queue: Annotated[str | None, Query()] = None,
    user_id: Annotated[str | None, Query(max_length=255)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")] = None,
) -> JobPage:
    """List the newest jobs that match. Jobs submitted meanwhile never shift the next page. Results are left out."""
    return job_tracker.page(
        status,
        task_name=task_name,
        queue=queue,
        user_id=user_of(caller, user_id),
        limit=limit,
        cursor=cursor,
    )


@router.post("/results", response_model=Results, responses=documented(404))
async def results(wanted: Awaited, caller: Reader, request: Request) -> Response:
    """The results of many jobs: of those that have ended, or once the first of them does."""
    where: Store = request.app.state.store
    ids = list(dict.fromkeys(wanted.job_ids))
    owners = await run_in_threadpool(where.owners, ids)
    for job_id, owner in zip(ids, owners, strict=True):
        check_owner(caller, job_id, owner)
    found = await where.endings_within(ids, wanted.wait_seconds, _LINGER, _MOST_RESULTS) if ids else []
    return Response(b'{"results":[' + b",".join(map(_written, found)) + b"]}", media_type="application/json")


def _written(ending: Ending) -> bytes:
    error: str | None = ending.error or None
    result = b"null"
    if ending.state is None:
        raise unknown_job(ending.job_id)
    if ending.state is JobState.COMPLETED and ending.result is None:
        error = "its result is no longer kept (YTRAY_RESULT_TTL)"
    elif ending.state is JobState.COMPLETED and ending.result is not None:
        try:
            result = _valid(ending.job_id, ending.result)
        except DamagedJob as damaged:  # the others are still listed
            error = str(damaged)
    told = {
        "job_id": ending.job_id,
        "current_state": ending.state,
        "error": error,
        "retry_count": ending.retries,
    }
    # The result is JSON as it is stored.
    return to_json(told)[:-1] + b',"result":' + result + b"}"


@router.get("/{job_id}/status", response_model=JobStatus, responses=documented(404))
async def status(job_id: JobId, caller: Reader, request: Request) -> Response:
    """Everything that is known of a job now."""
    found = may_see(caller, await _status(request, job_id))
    return Response(to_json(found), media_type="application/json")


async def _status(request: Request, job_id: str) -> JobStatus:
    # Asked on the loop itself: it takes a tenth of what a thread costs. Only when Redis does not answer at once may it
    # take longer, and then it waits elsewhere.
    quick: Store = request.app.state.quick
    try:
        return quick.status(job_id)
    except (redis.ConnectionError, redis.TimeoutError, SystemUnavailable):
        return await run_in_threadpool(job_tracker.get_status, job_id)


@router.get("/{job_id}/history", responses=documented(404))
def history(job_id: JobId, caller: Reader) -> History:
    """Every move of a job, with its time and why."""
    may_see(caller, job_tracker.get_status(job_id))
    return History(job_id=job_id, transitions=job_tracker.get_history(job_id))


@router.get(
    "/{job_id}/result",
    responses={200: {"content": {"application/json": {"schema": {}}}}, **documented(404, 409)},
    response_class=Response,
)
def result(job_id: JobId, caller: Reader, request: Request) -> Response:
    """The job's result, as the task returned it."""
    found = may_see(caller, job_tracker.get_status(job_id))
    where: Store = request.app.state.store
    stored = where.result(job_id)
    if stored is not None and found.current_state is JobState.COMPLETED:
        return Response(_valid(job_id, stored), media_type="application/json")
    if found.current_state is JobState.COMPLETED:
        raise ResultExpired(f"job {job_id} completed, but its result is no longer kept (YTRAY_RESULT_TTL)")
    why = f": {found.error}" if found.error else ""
    raise InvalidTransition(f"job {job_id} has no result: it is {found.current_state}{why}")


def _valid(job_id: str, stored: bytes) -> bytes:
    """A stored result, as every client can read it."""
    try:
        value = read(stored)
    except ValueError as wrong:
        raise DamagedJob(f"job {job_id} completed, but its result cannot be read: {wrong}") from None
    # What versions before kept of NaN and Infinity is no JSON elsewhere.
    return to_json(value) if b"NaN" in stored or b"Infinity" in stored else stored


@router.get("/{job_id}/children", responses=documented(404))
def children(job_id: JobId, caller: Reader) -> Jobs:
    """The steps that a flow has submitted, oldest first."""
    may_see(caller, job_tracker.get_status(job_id))
    return Jobs(jobs=job_tracker.children(job_id))


@router.get("/{job_id}/logs", responses=documented(404))
def logs(
    job_id: JobId,
    caller: Reader,
    request: Request,
    after: Annotated[int, Query(ge=0, lt=2**62, description="`next` of the last answer.")] = 0,
) -> Log:
    """What the job's attempts logged and printed, also while it runs."""
    where: Store = request.app.state.store
    (owner,) = where.fields(job_id, "user")
    check_owner(caller, job_id, owner.decode() if owner else None)
    lines, following = read_log(where, job_id, after)
    return Log(job_id=job_id, lines=lines, next=following)


@router.post("/{job_id}/cancel", status_code=202, responses=documented(404, 409))
def cancel(job_id: JobId, caller: Submitter) -> Accepted:
    """Cancel a job that has not ended, and a flow's steps with it; a running task's processes are stopped."""
    may_see(caller, job_tracker.get_status(job_id))
    job_tracker.cancel(job_id)
    return Accepted(job_id=job_id, current_state=JobState.CANCELLED)
