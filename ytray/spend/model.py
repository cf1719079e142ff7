"""The words of spending. Money is in US dollars for people and in millionths of one (micro-USD) in Redis."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from ytray.engine.base.canonical import ordered
from ytray.engine.base.model import MICRO, Time
from ytray.errors import PermanentError, RetryLater, YtrayError


class SpendState(StrEnum):
    """Where a paid call is. `uncertain`: it may have been made and billed, and nobody knows."""

    INTENDED = "intended"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that costs money, before it is made.

    Args:
        provider, model, kind: who is asked, and for what: text, image, speech, video or judge.
        parameters: everything that decides what comes back, as JSON can hold it.
        place: sets two calls apart that are otherwise the same, such as the candidates of a hook.
        estimate_usd: the most that it can cost; this much is reserved.
        tokens: about how many tokens it takes, for a model's limit of tokens a minute.
        about: what people read in the journal, such as the beginning of a prompt.
    """

    provider: str
    model: str
    kind: str
    parameters: Mapping[str, Any]
    estimate_usd: float
    place: str = ""
    tokens: int = 0
    about: str = ""

    def key(self, user: str) -> str:
        """What names the call in the journal: the same call of the same user has the same key, in whatever job."""
        parts = [user, self.provider, self.model, self.kind, self.place, ordered(self.parameters)]
        return hashlib.sha256(to_json(parts)).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Bought:
    """What a call brought: `asset` is kept in the journal as JSON, `units` says what was billed (tokens, seconds)."""

    asset: dict[str, Any]
    usd: float
    units: Mapping[str, float] = field(default_factory=dict)


class Entry(BaseModel):
    """A paid call in the journal. `cost_usd` counts the estimate of an uncertain call, and all `tries` of its key."""

    model_config = ConfigDict(frozen=True)

    key: str
    state: SpendState
    job_id: str
    user_id: str | None
    provider: str
    model: str
    kind: str
    about: str
    at: Time
    ended_at: Time | None
    operation: str | None
    estimate_usd: float
    cost_usd: float
    units: dict[str, float]
    tries: int
    error: str | None


class Budget(BaseModel):
    """What may be spent: by a user in a calendar month (UTC), or by a flow altogether. No limit: None."""

    model_config = ConfigDict(frozen=True)

    scope: str
    limit_usd: float | None
    spent_usd: float
    reserved_usd: float


class OverBudget(PermanentError):
    """The call was not made: its estimate does not fit the budget of its user, flow or batch."""


class Unpriced(PermanentError):
    """There is no price for the model, and nothing is spent unpriced."""


class OutcomeUnknown(PermanentError):
    """A paid call was sent and nobody knows what became of it; it is not made again by itself."""


class Unheard(YtrayError):
    """Raised by who makes a call: it was sent and no answer came, so it may have been billed."""


class ProviderFailed(YtrayError):
    """The provider answered with an error that may pass, or was not reached; nothing was billed."""


class ProviderBusy(RetryLater):
    """The provider, or the limit set for its model, has no room now; the job waits its turn and loses no attempt."""


def micro(usd: float) -> int:
    """US dollars as micro-USD, rounded up: a reservation must not be too small by a fraction."""
    return -int(-usd * MICRO // 1)
