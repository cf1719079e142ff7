"""Where the API is, and what its answers mean: models, or ytray's own errors. Shared by both clients; pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError
from pydantic_core import from_json

from ytray.client._calls import Call
from ytray.client._retrying import asked_to_wait, is_nobody
from ytray.engine.batch.model import BadRow, InvalidRows
from ytray.errors import (
    AccessDenied,
    IdempotencyConflict,
    InvalidArguments,
    InvalidBatchMove,
    InvalidTransition,
    JobCancelled,
    JobFailed,
    PayloadTooLarge,
    PermanentError,
    ResultExpired,
    SettingsError,
    SystemUnavailable,
    UnknownBatch,
    UnknownJob,
    UnknownNode,
    UnknownTask,
    YtrayError,
)
from ytray.spend.model import Unpriced

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
_KEY_WANTED = "give its key as YTRAY_KEY (or --key)"
_LONGEST_TOLD = 300  # characters of an answer that is no problem+json, in an error

_BY_STATUS: dict[int, type[YtrayError]] = {
    400: InvalidArguments,
    401: AccessDenied,
    403: AccessDenied,
    404: UnknownJob,
    409: InvalidTransition,
    413: PayloadTooLarge,
    422: InvalidArguments,
    429: SystemUnavailable,
    502: SystemUnavailable,
    503: SystemUnavailable,
    504: SystemUnavailable,
}


@dataclass(frozen=True, slots=True)
class Target:
    """An API and what every request to it carries. Its `repr` and messages never show the key."""

    url: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, url: str | None, key: str | None) -> Target:
        """The target named, else that of YTRAY_URL and YTRAY_KEY. Raises SettingsError."""
        url = url or os.environ.get("YTRAY_URL") or DEFAULT_URL
        key = key or os.environ.get("YTRAY_KEY") or None
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as wrong:
            raise SettingsError(f"YTRAY_URL is not a URL: {wrong}") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise SettingsError(f"YTRAY_URL starts with http:// or https:// and names a host, as {DEFAULT_URL} does")
        headers = {"User-Agent": "ytray-client", "Accept": "application/json"}
        if key is not None:
            if not key.isascii() or not key.isprintable() or key != key.strip():
                raise SettingsError("YTRAY_KEY has spaces at its ends, or characters that a key cannot have")
            headers["Authorization"] = f"Bearer {key}"
        return cls(url, headers)

    def __repr__(self) -> str:
        return f"<ytray at {self}>"

    def __str__(self) -> str:
        url = httpx.URL(self.url)
        port = "" if url.port is None else f":{url.port}"
        return f"{url.scheme}://{url.host}{port}{url.path.rstrip('/')}"


def read(target: Target, call: Call[T], response: httpx.Response) -> T:
    """What the answer says. Raises ytray's errors for a refusal, YtrayError for an answer that makes no sense."""
    if not response.is_success:
        raise refusal(target, call, response)
    try:
        return call.read(response.content)
    except (ValueError, LookupError, TypeError) as wrong:
        raise YtrayError(
            f"{target} answered {call} with something else than ytray's API does ({str(wrong)[:_LONGEST_TOLD]}); "
            "is the URL right, and the server as new as this client?"
        ) from None


def refusal(target: Target, call: Call[Any], response: httpx.Response) -> YtrayError:
    """The error that a refusal stands for."""
    if response.history:
        return _of_store(target, call, response)
    problem = _problem(response)
    if problem is None:
        return _foreign(target, call, response)
    told = _told(problem)
    name = str(problem.get("type", "")).rpartition("/")[2]
    if name == "about:blank":  # the server's framework wrote it, which tells only what the status means
        told = f"{target} answered {call} with {response.status_code}: {told}"
    job_id = str(problem.get("job_id") or call.about)
    if name == "job-failed":
        return JobFailed(job_id, told)
    if name == "job-cancelled":
        return JobCancelled(job_id)
    if name == "invalid-rows" and (rows := _bad_rows(problem)):
        return InvalidRows(rows, int(problem.get("count") or len(rows)))
    kind = _BY_TYPE.get(name) or _BY_STATUS.get(response.status_code)
    if kind is None:
        hint = f"; {problem['hint']}" if problem.get("hint") else ""
        request = f"; its log knows it as request {problem['request_id']}" if problem.get("request_id") else ""
        return YtrayError(f"{told}{hint}{request}")
    if response.status_code == 401:
        told += f"; {_KEY_WANTED}"
    wait = asked_to_wait(response.headers, now=None)
    if kind is SystemUnavailable and wait is not None:
        told += f"; try again in {wait:.0f} s"
    return kind(told)


def unreachable(target: Target, call: Call[Any], tries: int, error: httpx.TransportError) -> SystemUnavailable:
    """The error for a server that could not be reached, or broke off."""
    cause = str(error) or type(error).__name__
    if not call.repeatable and not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        return SystemUnavailable(
            f"{target} broke off before it answered {call}: {cause}; it may have been done or not, so look before you "
            "do it again"
        )
    often = f" ({tries} tries)" if tries > 1 else ""
    return SystemUnavailable(
        f"{target} cannot be reached: {cause}{often}; is it running, and is YTRAY_URL (or --url) right?"
    )


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


_BY_TYPE: dict[str, type[YtrayError]] = {
    _kebab(kind.__name__): kind
    for kind in (
        AccessDenied,
        IdempotencyConflict,
        InvalidArguments,
        InvalidBatchMove,
        InvalidTransition,
        PayloadTooLarge,
        PermanentError,
        ResultExpired,
        SystemUnavailable,
        UnknownBatch,
        UnknownJob,
        UnknownNode,
        UnknownTask,
        Unpriced,
    )
}


def _problem(response: httpx.Response) -> dict[str, Any] | None:
    """The problem that the answer describes, or None when it is not one of ytray's API."""
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        found = from_json(response.content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _told(problem: Mapping[str, Any]) -> str:
    # Without the hints, which are written for who calls the API by hand.
    parts = [str(problem.get("detail") or problem.get("title") or "no reason given")]
    for error in problem.get("errors") or ():
        message = str(error.get("msg", ""))
        if message and message not in parts[0]:
            place = error.get("loc", "")
            place = ".".join(map(str, place)) if isinstance(place, list) else str(place)
            parts.append(f"{place}: {message}")
    return "; ".join(parts)


def _bad_rows(problem: Mapping[str, Any]) -> list[BadRow]:
    try:
        return [BadRow.model_validate(row, extra="ignore") for row in problem.get("errors") or ()]
    except ValidationError:
        return []  # a newer server tells it in another way; its `detail` says the same


def _of_store(target: Target, call: Call[Any], response: httpx.Response) -> YtrayError:
    """An answer of the store where the API has sent us. Its URL is as good as a key, so only the host is named."""
    answer = (
        f"{target} leads {call} to the store at {response.url.host}, which answered with {response.status_code} "
        f"{response.reason_phrase}"
    ).rstrip()
    if response.status_code == 404:
        return PermanentError(f"{answer}: the file was removed")
    if _BY_STATUS.get(response.status_code) is SystemUnavailable:
        return SystemUnavailable(f"{answer}: it is busy; try again later")
    if response.status_code == 403:
        return YtrayError(
            f"{answer}: the link has expired, or the store does not take the credentials of the API; try again, and "
            "if it stays so, look at the store's credentials and the clock where the API runs"
        )
    return YtrayError(f"{answer}, and not with the file")


def _foreign(target: Target, call: Call[Any], response: httpx.Response) -> YtrayError:
    """An answer that ytray did not write: a proxy's, or another server's."""
    answer = f"{target} answered {call} with {response.status_code} {response.reason_phrase}".rstrip()
    kind = _BY_STATUS.get(response.status_code)
    if kind is SystemUnavailable or is_nobody(response):
        return SystemUnavailable(f"{answer}: it is busy or starting; try again later")
    if response.status_code == 500:  # Ray Serve's, where nobody behind it answers
        done = "" if call.repeatable else " It may have been done or not, so look before you do it again."
        return SystemUnavailable(f"{answer}: it is starting, or is being started again; try again later.{done}")
    if kind is AccessDenied:
        return AccessDenied(f"{answer}; {_KEY_WANTED}")
    if kind is PayloadTooLarge:
        return PayloadTooLarge(f"{answer}: give files as artifacts or URLs, not as arguments")
    return YtrayError(f"{answer}, and not as ytray does; is YTRAY_URL (or --url) right?")
