"""What can go wrong with a request to Vertex AI: given to `VertexServer.script`, each fault meets one request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "text",
    "image",
    "speech",
    "video",
    "poll",
    "interaction",
    "interaction_poll",
    "interaction_cancel",
    "judge",
    "chat",
    "other",  # a path that is none of these, always answered 404
]

_GENERATED: frozenset[Kind] = frozenset({"text", "image", "speech"})
_BILLABLE: frozenset[Kind] = _GENERATED | {"video", "interaction", "judge", "chat"}
_ANY: frozenset[Kind] = _BILLABLE | {"poll", "interaction_poll", "interaction_cancel"}
_LONGEST = 600.0  # seconds; a longer wait outlasts every test
_BLOCK_REASONS = frozenset(
    "SAFETY OTHER BLOCKLIST PROHIBITED_CONTENT IMAGE_SAFETY MODEL_ARMOR JAILBREAK".split(),
)
_FINISH_REASONS = frozenset(
    (
        "MAX_TOKENS SAFETY RECITATION LANGUAGE OTHER BLOCKLIST PROHIBITED_CONTENT SPII MALFORMED_FUNCTION_CALL "
        "IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT NO_IMAGE IMAGE_RECITATION IMAGE_OTHER"
    ).split(),
)


@dataclass(frozen=True)
class Status:
    """An HTTP error; `retry_after` is the header's text."""

    code: int
    retry_after: str | None
    message: str


@dataclass(frozen=True)
class Slow:
    """The normal answer, `seconds` late."""

    seconds: float


@dataclass(frozen=True)
class Drop:
    """The connection ends at this point; `reset` ends it with a TCP reset."""

    at: Literal["before_billing", "before_reply", "in_body"]
    reset: bool


@dataclass(frozen=True)
class Hold:
    """The normal answer, once the test lets go."""


@dataclass(frozen=True)
class Blocked:
    """The prompt is refused."""

    reason: str


@dataclass(frozen=True)
class Finished:
    """The model stops without content."""

    reason: str


@dataclass(frozen=True)
class Filtered:
    """The operation ends with every video withheld."""

    reasons: tuple[str, ...]


@dataclass(frozen=True)
class OperationError:
    """The operation ends with an error; `code` is gRPC's."""

    code: int
    message: str


Fault = Status | Slow | Drop | Hold | Blocked | Finished | Filtered | OperationError


def status(code: int, retry_after: float | str | None = None, message: str = "scripted by the test") -> Status:
    """Answer with this HTTP status (400 to 599), unbilled.

    `retry_after` becomes the Retry-After header: seconds, or an HTTP date as text.
    """
    if not 400 <= code <= 599:
        raise ValueError(f"{code} is no HTTP error")
    if not isinstance(retry_after, float | int):
        return Status(code, retry_after, message)
    if retry_after < 0:
        raise ValueError("a server cannot ask for a retry in the past")
    return Status(code, f"{retry_after:g}", message)


def slow(seconds: float) -> Slow:
    """Answer normally after so many seconds; billed when received."""
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"{seconds} s is not between 0 and {_LONGEST:g}")
    return Slow(seconds)


def drop_before_reply(reset: bool = False) -> Drop:
    """Bill the request and close the connection without an answer; `reset` closes it with a TCP reset."""
    return Drop("before_reply", reset)


def drop_before_billing(reset: bool = False) -> Drop:
    """Close the connection without an answer, unbilled; `reset` closes it with a TCP reset."""
    return Drop("before_billing", reset)


def drop_in_body() -> Drop:
    """Bill the request, promise the whole answer, send half of it and close the connection."""
    return Drop("in_body", reset=False)


def hold() -> Hold:
    """Answer normally once `VertexServer.release` is called; billed when received."""
    return Hold()


def blocked(reason: str = "SAFETY") -> Blocked:
    """HTTP 200 whose promptFeedback has this blockReason, unbilled."""
    return Blocked(_known(reason, _BLOCK_REASONS))


def finished(reason: str = "SAFETY") -> Finished:
    """HTTP 200 with a candidate without content that has this finishReason, unbilled."""
    return Finished(_known(reason, _FINISH_REASONS))


def filtered(reasons: list[str]) -> Filtered:
    """The video's start is accepted and billed; its operation ends with one video withheld for these reasons."""
    if not reasons:
        raise ValueError("a video is withheld for at least one reason")
    return Filtered(tuple(reasons))


def operation_error(code: int, message: str = "scripted by the test") -> OperationError:
    """The start is accepted and billed; the operation ends with this gRPC code (1 to 16), an interaction as failed."""
    if not 1 <= code <= 16:
        raise ValueError(f"{code} is no gRPC error code")
    return OperationError(code, message)


def kinds_of(fault: Fault) -> frozenset[Kind]:
    """The kinds of request that a fault can meet."""
    match fault:
        case Blocked() | Finished():
            return _GENERATED
        case Filtered():
            return frozenset({"video"})
        case OperationError():
            return frozenset({"video", "interaction"})
        case _:
            return _ANY


def bills(kind: Kind, fault: Fault | None) -> bool:
    """Whether a request of this kind that meets this fault is paid for."""
    free = isinstance(fault, Status | Blocked | Finished) or (isinstance(fault, Drop) and fault.at == "before_billing")
    return kind in _BILLABLE and not free


def _known(reason: str, reasons: frozenset[str]) -> str:
    if reason not in reasons:
        raise ValueError(f"{reason!r} is none of {', '.join(sorted(reasons))}")
    return reason
