"""How much a model may be asked across the whole cluster: requests and tokens a minute, calls at once.

Requests and tokens are counted by the library `limits`, whose sliding windows in Redis every worker shares; the calls
that run at once are the journal's own entries.
"""

from __future__ import annotations

import fnmatch
import time
from dataclasses import dataclass
from functools import cache

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from ytray.engine.state.connection import store
from ytray.engine.state.store import Store
from ytray.errors import SettingsError
from ytray.settings import settings
from ytray.spend.model import Call, ProviderBusy

_SHORTEST_WAIT = 0.5  # seconds
_LONGEST_WAIT = 120.0  # seconds: two windows, whatever becomes of the clock


@dataclass(frozen=True, slots=True)
class Limits:
    """What one model may be asked; 0 for no limit."""

    requests: int = 0
    tokens: int = 0
    at_once: int = 0


def limits_of(model: str) -> Limits:
    """The limits of the first pattern in YTRAY_MODEL_LIMITS that fits the model."""
    for pattern, limits in _parsed(settings().model_limits):
        if fnmatch.fnmatchcase(model, pattern):
            return limits
    return Limits()


def check_limits() -> None:
    """Raises SettingsError when YTRAY_MODEL_LIMITS cannot be read."""
    _parsed(settings().model_limits)


def take_turn(call: Call) -> None:
    """Count the call against its model's limits. Raises ProviderBusy, with the seconds to wait, when they are met."""
    limits = limits_of(call.model)
    for what, most, cost in (("requests", limits.requests, 1), ("tokens", limits.tokens, call.tokens)):
        if not most or not cost:
            continue
        item = RateLimitItemPerMinute(most, namespace=what)
        # A call larger than the limit itself waits for an empty minute; it could never go otherwise.
        counter = _counter(store())
        if not counter.hit(item, call.model, cost=min(cost, most)):
            until = counter.get_window_stats(item, call.model).reset_time
            wait = min(max(_SHORTEST_WAIT, until - time.time()), _LONGEST_WAIT)
            raise ProviderBusy(f"{call.model} has had its {most:,} {what} of this minute", wait)


@cache
def _counter(where: Store) -> SlidingWindowCounterRateLimiter:
    # The library wants an address, and does not use it: the connections are ours.
    storage = RedisStorage("redis://", connection_pool=where.redis.connection_pool, key_prefix=where.key("limits"))
    return SlidingWindowCounterRateLimiter(storage)


@cache
def _parsed(text: str) -> tuple[tuple[str, Limits], ...]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        pattern, _, rest = part.partition("=")
        try:
            numbers = {name.strip(): int(number) for name, number in (pair.split(":") for pair in rest.split(","))}
            found.append((pattern.strip(), Limits(**numbers)))
        except (ValueError, TypeError):
            raise SettingsError(
                f"YTRAY_MODEL_LIMITS: {part!r} cannot be read; write MODEL=requests:60,tokens:100000,at_once:4;…"
            ) from None
    return tuple(found)
