"""`/api/dlq`: the dead-letter queue."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from ytray.api.access import Reader, Submitter, is_hidden
from ytray.api.jobs import Accepted, JobId
from ytray.api.keys import Caller
from ytray.api.problems import documented
from ytray.engine.base.model import DeadLetter, DeadLetterPage
from ytray.engine.jobs.dlq import dlq
from ytray.engine.jobs.tracking import job_tracker
from ytray.engine.state.records import not_dead
from ytray.errors import DamagedJob, InvalidArguments, UnknownJob

router = APIRouter(prefix="/api/dlq", tags=["dead-letter queue"])


class Chosen(BaseModel):
    """Jobs of the dead-letter queue: some by id, or all that the caller sees."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"job_ids": ["019a5c0e4b17"]}]})

    job_ids: list[Annotated[str, Field(min_length=1, max_length=255)]] = Field(default_factory=list, max_length=10_000)
    all: bool = False


class Settled(BaseModel):
    """The jobs that were in the dead-letter queue and no longer are."""

    job_ids: list[str]


@router.get("", responses=documented())
def list_all(
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> DeadLetterPage:
    """List the jobs that failed for good, the one that failed first first."""
    return dlq.page(limit=limit, cursor=cursor, user_id=caller.sees_only)


@router.get("/{job_id}", responses=documented(404))
def show(job_id: JobId, caller: Reader) -> DeadLetter:
    """One of them, with its arguments, error and traceback."""
    return _letter(caller, job_id)


@router.post("/retry", status_code=202, responses=documented())
def retry_many(chosen: Chosen, caller: Submitter) -> Settled:
    """Run jobs once more, with all their retries restored."""
    return Settled(job_ids=_settle(caller, chosen, "retry"))


@router.post("/remove", status_code=202, responses=documented())
def remove_many(chosen: Chosen, caller: Submitter) -> Settled:
    """Take jobs out without running them; they stay FAILED."""
    return Settled(job_ids=_settle(caller, chosen, "remove"))


@router.post("/{job_id}/retry", status_code=202, responses=documented(404))
def retry(job_id: JobId, caller: Submitter) -> Accepted:
    """Run the job once more, with all its retries restored."""
    _letter(caller, job_id)
    dlq.retry_task(job_id)
    return Accepted(job_id=job_id, current_state=job_tracker.get_status(job_id).current_state)


@router.delete("/{job_id}", status_code=204, responses=documented(404))
def remove(job_id: JobId, caller: Submitter) -> None:
    """Take the job out without running it; it stays FAILED."""
    _letter(caller, job_id)
    dlq.remove(job_id)


def _letter(caller: Caller, job_id: str) -> DeadLetter:
    letter = dlq.show(job_id)
    if is_hidden(caller, letter.user_id):
        raise not_dead(job_id)
    return letter


def _settle(caller: Caller, chosen: Chosen, what: Literal["retry", "remove"]) -> list[str]:
    if chosen.all == bool(chosen.job_ids):
        raise InvalidArguments('name the jobs in "job_ids", or say "all": true')
    ids = dlq.ids(caller.sees_only) if chosen.all else chosen.job_ids
    settled = []
    for job_id in ids:
        try:
            _letter(caller, job_id)
            (dlq.retry_task if what == "retry" else dlq.remove)(job_id)
            settled.append(job_id)
        except (UnknownJob, DamagedJob):
            continue  # somebody else was faster, or wrote over it, or it is another user's
    return settled
