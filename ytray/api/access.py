"""Who makes a request, what it may do, and whose jobs and batches it sees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from ytray.api.keys import Caller, KeyRing, Scope
from ytray.api.problems import Forbidden, TooManyRequests
from ytray.engine.batch.batches import Batch, batches
from ytray.engine.model import JobStatus
from ytray.engine.store import Store
from ytray.settings import settings

COOKIE = "ytray_key"  # set by POST /api/session, for browsers: EventSource and <video> send no headers


def needs(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that lets a request pass if its key has the scope, and gives the caller.

    Raises AccessDenied, Forbidden, TooManyRequests.
    """

    async def check(request: Request) -> Caller:
        caller = ring(request).caller(_presented(request))
        if scope not in caller.scopes and not caller.is_admin:
            raise Forbidden(f"this key may not do that: it takes the scope {scope!r}")
        rate = settings().rate_limit
        if caller.key_id and rate:
            wait = await run_in_threadpool(_store(request).admit, caller.key_id, rate)
            if wait:
                raise TooManyRequests(wait)
        return caller

    return check


Reader = Annotated[Caller, Depends(needs("read"))]
Submitter = Annotated[Caller, Depends(needs("submit"))]
Admin = Annotated[Caller, Depends(needs("admin"))]


def check_owner(caller: Caller, job_id: str, owner: str | None) -> None:
    """Raises Forbidden when the job is not one that the caller may see."""
    if caller.sees_only is not None and caller.sees_only != owner:
        raise Forbidden(f"job {job_id} belongs to another user")


def may_see(caller: Caller, job: JobStatus) -> JobStatus:
    """The job, if the caller may see it. Raises Forbidden."""
    check_owner(caller, job.job_id, job.user_id)
    return job


def visible_batch(caller: Caller, batch_id: str) -> Batch:
    """The batch, if the caller may see it. Raises UnknownBatch, Forbidden."""
    found = batches.get(batch_id)
    if caller.sees_only is not None and caller.sees_only != found.status().user_id:
        raise Forbidden(f"batch {batch_id} belongs to another user")
    return found


def user_of(caller: Caller, asked: str | None) -> str | None:
    """Whose job a submission becomes, or whose jobs or calls a listing shows. Raises Forbidden for another user's."""
    if caller.sees_only is None:
        return asked
    if asked is not None and asked != caller.sees_only:
        raise Forbidden(f"this key is of user {caller.sees_only!r}, not of {asked!r}")
    return caller.sees_only


def ring(request: Request) -> KeyRing:
    """The application's key ring."""
    found: KeyRing = request.app.state.keys
    return found


def _store(request: Request) -> Store:
    found: Store = request.app.state.store
    return found


def _presented(request: Request) -> str | None:
    headers = request.headers
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    return headers.get("x-api-key") or request.cookies.get(COOKIE)
