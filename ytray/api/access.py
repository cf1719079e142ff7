"""Who makes a request, what it may do, and whose jobs and batches it sees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from ytray.api.guesses import CLIENT, Guesses
from ytray.api.keys import Caller, KeyRing, Scope, split_key
from ytray.api.problems import Forbidden, TooManyGuesses, TooManyRequests
from ytray.api.sessions import Sessions
from ytray.engine.base.model import JobStatus
from ytray.engine.batch.batches import Batch, batches
from ytray.engine.jobs.task import Task
from ytray.engine.state.records import unknown_batch
from ytray.engine.state.store import Store
from ytray.errors import AccessDenied
from ytray.settings import settings

COOKIE = "ytray_session"  # set by POST /api/session, for browsers: EventSource and <video> send no headers

T = TypeVar("T")


class Door:
    """Tells who makes a request: by a key in its headers, or by the session in its cookie."""

    def __init__(self, keys: KeyRing, sessions: Sessions) -> None:
        self.keys, self.sessions = keys, sessions
        self._guesses = Guesses()

    def caller(self, request: Request) -> Caller:
        """Who makes this request. Raises AccessDenied, TooManyGuesses."""
        key = _presented(request)
        if key is None:
            session = request.cookies.get(COOKIE)
            if session is not None and not self.keys.is_open():
                return self.sessions.caller(session)
            return self.keys.caller(None)
        return self.checked(request, key, lambda: self.keys.caller(key))

    def checked(self, request: Request, key: str, check: Callable[[], T]) -> T:
        """What `check` answers to a key, unless too many wrong ones came from there. Raises as `caller` does."""
        address, key_id = address_of(request), split_key(key)[0]
        if wait := self._guesses.wait(address, key_id):
            raise TooManyGuesses(wait)
        try:
            return check()
        except AccessDenied:
            self._guesses.note(address, key_id)
            raise

    def still_lets_in(self, request: Request, caller: Caller) -> bool:
        """Whether who was let in with this request would be now: its key, or its session, may have ended."""
        if self.keys.holder(caller.key_id) is None:
            return False
        session = request.cookies.get(COOKIE)
        if session is None or _presented(request) is not None or not caller.key_id:
            return True
        try:
            return self.sessions.caller(session).key_id == caller.key_id
        except AccessDenied:
            return False


def needs(*scopes: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that lets a request pass if its key has one of the scopes, and gives the caller.

    Raises AccessDenied, Forbidden, TooManyGuesses, TooManyRequests.
    """

    async def check(request: Request) -> Caller:
        caller = door(request).caller(request)
        if caller.scopes.isdisjoint(scopes) and not caller.is_admin:
            raise Forbidden(f"this key may not do that: it takes the scope {' or '.join(map(repr, scopes))}")
        rate = settings().rate_limit
        if caller.key_id and rate:
            wait = await run_in_threadpool(_store(request).admit, caller.key_id, rate)
            if wait:
                raise TooManyRequests(wait)
        if ring(request).is_use_unnoted(caller.key_id):
            await run_in_threadpool(ring(request).note_use, caller.key_id)
        return caller

    return check


Reader = Annotated[Caller, Depends(needs("read"))]
Submitter = Annotated[Caller, Depends(needs("submit"))]
Admin = Annotated[Caller, Depends(needs("admin"))]


def is_hidden(caller: Caller, owner: str | None) -> bool:
    """Whether what belongs to that user is not for the caller to know of: it then is as if it did not exist."""
    return caller.sees_only is not None and caller.sees_only != owner


def check_owner(caller: Caller, job_id: str, owner: str | None) -> None:
    """Raises Forbidden when the job is another user's; ids of jobs cannot be guessed, so that tells nothing."""
    if is_hidden(caller, owner):
        raise Forbidden(f"job {job_id} belongs to another user")


def may_see(caller: Caller, job: JobStatus) -> JobStatus:
    """The job, if the caller may see it. Raises Forbidden."""
    check_owner(caller, job.job_id, job.user_id)
    return job


def visible_batch(caller: Caller, batch_id: str) -> Batch:
    """The batch, if the caller may see it. Raises UnknownBatch."""
    found = batches.get(batch_id)
    if is_hidden(caller, found.status().user_id):
        raise unknown_batch(batch_id)
    return found


def user_of(caller: Caller, asked: str | None) -> str | None:
    """Whose job a submission becomes, or whose jobs or calls a listing shows. Raises Forbidden for another user's."""
    if caller.sees_only is None:
        return asked
    if asked is not None and asked != caller.sees_only:
        raise Forbidden(f"this key is of user {caller.sees_only!r}, not of {asked!r}")
    return caller.sees_only


def door(request: Request) -> Door:
    """The application's door."""
    found: Door = request.app.state.door
    return found


def check_task(caller: Caller, task: Task[..., Any]) -> None:
    """Raises Forbidden when the caller may not submit jobs of the task."""
    if caller.tasks and task.name not in caller.tasks:
        raise Forbidden(f"this key may submit {', '.join(caller.tasks)}, not {task.name}")
    if not task.is_public and caller.sees_only is not None:
        raise Forbidden(f"task {task.name} is not for keys that are bound to a user")


def ring(request: Request) -> KeyRing:
    """The application's key ring."""
    return door(request).keys


def address_of(request: Request) -> str:
    """Where a request comes from, as far as can be told: what HAProxy says of it, else the other end.

    Who reaches a replica past HAProxy may say anything: it serves for logs, and to slow down.
    """
    told = request.headers.getlist(CLIENT)
    if told:
        return told[-1][:64]
    return request.client.host if request.client else "unknown"


def _store(request: Request) -> Store:
    found: Store = request.app.state.store
    return found


def _presented(request: Request) -> str | None:
    headers = request.headers
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    return headers.get("x-api-key") or None
