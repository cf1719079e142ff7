"""What becomes of a job whose attempt raised, decided in one place for tasks and flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ytray.engine.base.error_text import in_words, is_rays_order, leaves, traceback_of
from ytray.engine.base.retry import RetryPolicy, is_delay
from ytray.engine.state.link import CodeNotStored
from ytray.errors import RetryLater
from ytray.system.redis_refusals import RedisIsFull

_WHEN_FULL = 10.0  # seconds until an attempt that Redis' lack of room ended is made again
_PUT_OFF = (RetryLater, RedisIsFull)
_NEVER_AGAIN = (MemoryError,)  # the same input takes as much the next time


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a failed attempt is recorded: as retried or put off for `delay` seconds, or as dead."""

    what: Literal["retry", "defer", "dead"]
    delay: float
    error: str
    traceback: str


def judge(
    error: BaseException, retry: RetryPolicy | None, retries_used: int, final: tuple[type[BaseException], ...] = ()
) -> Verdict:
    """What becomes of a job whose attempt raised `error`. Raises nothing, except Ray's order to end the process.

    A group is put off when all that it holds asks for that, or tells of a full Redis, and is not tried again when one
    of those in it is not to be. `final` are further types that are not. Without a policy, since its task was not found,
    only code that is not stored is looked for again.
    """
    told, trace = in_words(error), traceback_of(error)
    try:
        what, delay, why_not = _decide(error, retry, retries_used, final)
    except BaseException as broken:  # by the task's own policy, or its own error
        if is_rays_order(broken):
            raise
        what, delay, why_not = "dead", 0.0, f"; whether to try again could not be decided: {in_words(broken)}"
    return Verdict(what, delay, told + why_not, trace)


def _decide(
    error: BaseException, retry: RetryPolicy | None, retries_used: int, final: tuple[type[BaseException], ...]
) -> tuple[Literal["retry", "defer", "dead"], float, str]:
    held = leaves(error)
    # What a full Redis refused, it refused through no fault of the task.
    waits = [one.seconds if isinstance(one, RetryLater) else _WHEN_FULL for one in held if isinstance(one, _PUT_OFF)]
    if len(waits) == len(held):
        for seconds in waits:
            if not is_delay(seconds) and not -float("inf") < seconds < 0:
                return "dead", 0.0, f"; it cannot be put off for {seconds!r:.40} s: that is 0 s to a year"
        return "defer", max(0.0, *waits), ""
    if retry is None and isinstance(error, CodeNotStored):
        retry = RetryPolicy()  # whoever has the task may ship it again meanwhile
    if retry is None or any(isinstance(one, (*_NEVER_AGAIN, *final)) for one in held):
        return "dead", 0.0, ""
    delay = retry.delay_after(error, retries_used)
    if delay is None:
        return "dead", 0.0, ""
    if not is_delay(delay):
        return "dead", 0.0, f"; its retry policy says to wait {delay!r:.40} s, and that is 0 s to a year"
    return "retry", delay, ""
