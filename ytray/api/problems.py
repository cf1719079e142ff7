"""Errors as RFC 9457 problems: `application/problem+json` that says what happened, to which job, and what to do."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import redis
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ytray import errors
from ytray.engine.batch.model import InvalidRows
from ytray.engine.state.refusals import as_unavailable
from ytray.errors import YtrayError
from ytray.spend.model import Unpriced
from ytray.system.redis_refusals import RedisIsFull

_log = structlog.get_logger("ytray.api")

_NODES = "GET /api/nodes lists the nodes"

# Which status each error answers with, and what the caller can do about it.
# The first that fits counts.
_ANSWERS: dict[type[YtrayError], tuple[int, str]] = {
    InvalidRows: (422, "correct the rows that `errors` names, or say skip_invalid to leave them out"),
    errors.InvalidArguments: (422, "GET /api/tasks shows what each task takes"),
    errors.UnknownTask: (422, "GET /api/tasks lists the tasks"),
    errors.PayloadTooLarge: (413, "put large data into a file and pass its address"),
    errors.AccessDenied: (401, "`ytray keys create` makes a key"),
    errors.UnknownJob: (404, "GET /api/jobs lists the jobs there are"),
    errors.DamagedJob: (409, "`ytray dlq remove` takes it out of the dead-letter queue; clean-up deletes it"),
    errors.ResultExpired: (404, "results are kept for YTRAY_RESULT_TTL seconds after the job's end"),
    errors.InvalidTransition: (409, "GET /api/jobs/{id}/status shows the job's state"),
    errors.UnknownNode: (404, _NODES),
    errors.UnknownBatch: (404, "GET /api/batches lists the batches there are"),
    errors.DamagedBatch: (409, "the other batches go on; submit its rows again"),
    errors.InvalidBatchMove: (409, "GET /api/batches/{id} shows the batch's state"),
    errors.IdempotencyConflict: (409, "use a new key for new work"),
    Unpriced: (422, "GET /api/models lists the models that have a price; YTRAY_PRICES names a table of your own"),
    errors.SystemUnavailable: (503, "try again; with the same Idempotency-Key nothing is done twice"),
    errors.DiskFull: (503, "`df -h` on the server shows which disk it is; then try again"),
    errors.ForeignArtifact: (403, "name files of this user's own jobs: GET /api/jobs/{id}/artifacts lists them"),
    errors.PermanentError: (404, "GET /api/jobs/{id}/artifacts lists a job's files"),
}
_RETRY_AFTER = 1  # seconds, for a system that is away


class Problem(BaseModel):
    """An error, as RFC 9457 wants it told."""

    type: str = Field(description="What kind of error it is; GET it to read more.", examples=["/problems/unknown-job"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no job 0199: it never existed, or its history has been cleaned up"])
    instance: str = Field(examples=["/api/jobs/0199/status"])
    request_id: str
    job_id: str | None = None
    batch_id: str | None = None
    hint: str | None = None
    errors: list[dict[str, Any]] | None = None
    count: int | None = Field(None, description="How many rows are wrong; `errors` names the first of them.")


class Forbidden(YtrayError):
    """The API key is right, but does not allow this, or the job belongs to another user."""


class TooManyRequests(YtrayError):
    """The API key has made more requests than YTRAY_RATE_LIMIT allows in a second."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"too many requests with this key; try again in {wait:.2f} s")
        self.wait = wait


class TooManyGuesses(YtrayError):
    """Too many wrong API keys came from this address: none is looked at for a while."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"too many wrong keys came from this address; the next is looked at in {wait:.1f} s")
        self.wait = wait


class TooManyStreams(YtrayError):
    """The API key has as many event streams open as YTRAY_STREAM_LIMIT allows."""

    wait = 5.0  # seconds: one of the others may have ended by then


class OverQuota(YtrayError):
    """The user of the key has as much under way as a user may; the message says of what."""


class BodyTooLarge(YtrayError):
    """The request's body is larger than the API takes."""


_TOO_MANY = (TooManyRequests, TooManyGuesses, TooManyStreams)
_ANSWERS[Forbidden] = (403, "use a key with the scope, or of the user, that this takes")
_ANSWERS[TooManyRequests] = (429, "slow down, or ask for a higher YTRAY_RATE_LIMIT")
_ANSWERS[TooManyGuesses] = (429, "`ytray keys list` shows the keys there are; `ytray keys create` makes one")
_ANSWERS[TooManyStreams] = (429, "close streams that nobody reads, or ask for a higher YTRAY_STREAM_LIMIT")
_ANSWERS[OverQuota] = (429, "wait until some of it has ended, or cancel it")
_ANSWERS[BodyTooLarge] = (413, "put large data into a file and pass its address")

# For the OpenAPI document: what any route may answer, besides what it does when all is well.
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": {"application/problem+json": {}}}
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these errors, besides those that every route may."""
    return {status: DOCUMENTED[status] for status in (400, 401, 403, 413, 422, 429, 503, *statuses)}


def kind_of(error: type[BaseException]) -> str:
    """The last part of a problem's type: UnknownJob is `unknown-job`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", error.__name__).lower()


def explanation(kind: str) -> str | None:
    """What a problem's type means, in words."""
    for error in (*_ANSWERS, RequestValidationError):
        if kind_of(error) == kind:
            return (error.__doc__ or "").strip()
    return None


def answer(request: Request, error: YtrayError) -> Response:
    """The response that tells of an error of ytray's own."""
    status, hint = next(
        (found for kind, found in _ANSWERS.items() if isinstance(error, kind)), (500, "`ytray doctor` tells more")
    )
    if status in (409, 422) and "node" in request.path_params:
        hint = _NODES
    wait = max(1, round(error.wait + 0.5)) if isinstance(error, _TOO_MANY) else _RETRY_AFTER
    headers = {"Retry-After": str(wait)} if status in (429, 503) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    bad = error if isinstance(error, InvalidRows) else None
    return problem(
        request,
        status,
        str(error),
        kind=kind_of(type(error)),
        hint=hint,
        headers=headers,
        wrong=[row.model_dump() for row in bad.rows] if bad else None,
        count=bad.count if bad else None,
    )


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    kind: str | None = None,
    hint: str | None = None,
    headers: dict[str, str] | None = None,
    wrong: list[dict[str, Any]] | None = None,
    count: int | None = None,
) -> Response:
    """A problem as a response."""
    told = Problem(
        type=f"/problems/{kind}" if kind else "about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_sendable(detail),
        instance=request.url.path,
        request_id=request.scope.get("state", {}).get("request_id", ""),
        job_id=request.path_params.get("job_id"),
        batch_id=request.path_params.get("batch_id"),
        hint=hint,
        errors=wrong,
        count=count,
    )
    return Response(to_json(told, exclude_none=True), status, headers=headers, media_type="application/problem+json")


def _sendable(text: str) -> str:
    """A text without surrogates, which no answer can hold."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def install(app: FastAPI) -> None:
    """Make the application answer every error as a problem."""

    @app.exception_handler(YtrayError)
    async def of_ours(request: Request, error: YtrayError) -> Response:
        # A full Redis is told of by redis-py's errors, too; to whom it is told it is unavailable.
        return answer(request, errors.SystemUnavailable(str(error)) if isinstance(error, RedisIsFull) else error)

    @app.exception_handler(redis.RedisError)
    async def of_redis(request: Request, error: redis.RedisError) -> Response:
        state = as_unavailable(error)
        return await unforeseen(request, error) if state is None else answer(request, state)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = [
            {"loc": [_sendable(str(part)) for part in e["loc"]], "msg": _sendable(e["msg"])} for e in error.errors()
        ]
        broken = any(e["type"] == "json_invalid" for e in error.errors())
        first = f"{'.'.join(wrong[0]['loc'])}: {wrong[0]['msg']}"
        return problem(request, 400 if broken else 422, first, kind="invalid-arguments", hint="see /docs", wrong=wrong)

    @app.exception_handler(HTTPException)
    async def by_framework(request: Request, error: HTTPException) -> Response:
        hint = "see /docs for the routes there are" if error.status_code in (404, 405) else None
        return problem(request, error.status_code, str(error.detail), hint=hint, headers=dict(error.headers or {}))

    @app.exception_handler(ClientDisconnect)
    async def broken_off(request: Request, _: ClientDisconnect) -> Response:
        return problem(request, 400, "the request broke off before it was whole; nothing was done")

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        _log.error("request failed", path=request.url.path, error=repr(error), exc_info=error)
        return problem(request, 500, "an error that nobody foresaw; the log tells it under this request_id")
