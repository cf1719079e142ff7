"""Making a paid call: within its budget and its model's limits, behind its breaker, and once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic_core import from_json

from ytray.engine.base.context import current_job
from ytray.engine.base.model import MICRO
from ytray.engine.run.breaker import circuit_breaker
from ytray.errors import RetryLater, YtrayError
from ytray.settings import settings
from ytray.spend.journal import Intent
from ytray.spend.limits import limits_of, take_turn
from ytray.spend.model import (
    Bought,
    Call,
    OutcomeUnknown,
    OverBudget,
    ProviderBusy,
    Unheard,
)

_ELSEWHERE_AGAIN = 2.0  # seconds until a job looks again whether the other one has made the call that both want
_FULL_AGAIN = 2.0  # seconds until a job looks again whether its model has room

Asset = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pending:
    """A long-running operation that goes on; it is asked for again after `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A long-running operation that ended without a result, and was not billed."""

    error: YtrayError


def buy(call: Call, send: Callable[[], Bought], *, is_there: Callable[[Asset], bool] = lambda _: True) -> Asset:
    """Make a call that answers at once, or take what it brought before.

    Args:
        send: makes the call. It raises PermanentError (refused for good), ProviderFailed, RetryLater (nothing billed),
            or Unheard (it may have been billed).
        is_there: whether what was bought before still exists; otherwise it is bought again.

    Raises OverBudget, OutcomeUnknown, CircuitOpen and other RetryLater, and what `send` raises. Outside a job nothing
    is written down.
    """
    intent = _intent(call)
    if intent is None:
        return send().asset
    asset, _ = _opened(intent, is_there)
    if asset is not None:
        return asset
    return _keep(intent, _guarded(intent, send))


def operate(
    call: Call,
    start: Callable[[], str],
    look: Callable[[str], Bought | Pending | Ended],
    *,
    is_there: Callable[[Asset], bool] = lambda _: True,
) -> Asset:
    """Start a long-running operation, or go on with the one that an earlier attempt started; take what it brought.

    While it runs the job waits as RETRYING (RetryLater) and holds no slot.

    Args:
        start: starts it and returns its name; raises as `buy`'s `send`.
        look: what has become of the operation of that name; what it raises is about the asking, not the operation.
    """
    intent = _intent(call)
    if intent is None:
        return _finished(start, look)
    asset, operation = _opened(intent, is_there)
    if asset is not None:
        return asset
    if operation is None:
        operation = _guarded(intent, start)
        intent.started(operation)
    found = look(operation)
    if isinstance(found, Pending):
        raise RetryLater(f"{call.model} is at work on operation {operation.rpartition('/')[2]}", found.seconds)
    if isinstance(found, Ended):
        intent.failed(str(found.error))
        raise found.error
    return _keep(intent, found)


def _intent(call: Call) -> Intent | None:
    job = current_job()
    return None if job.store is None else Intent(job, job.store, call)


def _opened(intent: Intent, is_there: Callable[[Asset], bool]) -> tuple[Asset | None, str | None]:
    """What was bought before, or the operation that was started before; neither: the call is to be made."""
    call, limits = intent.call, limits_of(intent.call.model)
    opened = intent.open(at_once=limits.at_once)
    if opened.verdict == "DONE":
        asset: Asset = from_json(opened.told[0])
        if is_there(asset):
            return asset, None
        opened = intent.open(at_once=limits.at_once, again=True)
    match opened.verdict, opened.told:
        case "STARTED", (operation,):
            return None, operation
        case "ELSEWHERE", (job_id,):
            raise RetryLater(f"job {job_id} is making the same call", _ELSEWHERE_AGAIN)
        case "FULL", _:
            raise ProviderBusy(f"{call.model} runs {limits.at_once} calls, as many as it may at once", _FULL_AGAIN)
        case "BUDGET", (scope, limit, left):
            raise OverBudget(_over(call, scope, int(limit), int(left)))
        case "UNCERTAIN", (why,):
            raise OutcomeUnknown(
                f"{call.kind} by {call.model}: {why}. It may have been billed and is not made again by itself; "
                f"`ytray spend allow {intent.key}` lets a replay make it"
            )
    return None, None


def _over(call: Call, scope: str, limit: int, left: int) -> str:
    kind, _, whose = scope.partition("|")
    owner = f"user {whose.rpartition('|')[0] or '(none)'}, this month" if kind == "user" else f"flow {whose}"
    return (
        f"over budget: {call.kind} by {call.model} may cost ${call.estimate_usd:.4f}, and of the ${limit / MICRO:.2f} "
        f"of {owner} ${max(0, left) / MICRO:.4f} are left; nothing was called"
    )


def _guarded(intent: Intent, send: Callable[[], T]) -> T:
    """Make the call within its limits and behind its breaker; whatever it raises is in the journal first."""
    try:
        with circuit_breaker(family_of(intent.call)):
            take_turn(intent.call)
            intent.sent()
            return send()
    except Unheard as unheard:
        intent.uncertain(str(unheard))
        if settings().on_uncertain == "retry":
            raise
        raise OutcomeUnknown(
            f"{unheard} It may have been billed and is not made again by itself; "
            f"`ytray spend allow {intent.key}` lets a replay make it"
        ) from unheard
    except YtrayError as refused:
        intent.failed(str(refused))
        raise
    except BaseException as broken:
        # Also an interruption, as by a time limit: the request may be on its way.
        intent.uncertain(f"{type(broken).__name__} while the call ran")
        raise


def family_of(call: Call) -> str:
    """The name of the call's circuit breaker: one for each provider and family of models, such as vertex/veo."""
    return f"{call.provider}/{call.model.split('-')[0]}-{call.kind}"


def _keep(intent: Intent, bought: Bought) -> Asset:
    intent.done(bought)
    return bought.asset


def _finished(start: Callable[[], str], look: Callable[[str], Bought | Pending | Ended]) -> Asset:
    """Outside a job there is nobody to wait for it: wait here."""
    operation = start()
    while isinstance(found := look(operation), Pending):
        time.sleep(found.seconds)
    if isinstance(found, Ended):
        raise found.error
    return found.asset
