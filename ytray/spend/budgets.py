"""Budgets and what was spent: of users, by calendar month (UTC), and of flows and batches, altogether."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import cast

from ytray.engine.base.model import MICRO
from ytray.engine.base.names import checked_word
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments
from ytray.settings import settings
from ytray.spend.model import Budget, micro

_log = logging.getLogger("ytray.spend")

_MOST = 1e9  # US dollars: as micro-USD it is still a number that Lua holds exactly


def set_user_budget(store: Store, user_id: str, usd: float | None) -> Budget:
    """Let a user spend so many US dollars in a calendar month; None: what YTRAY_BUDGET_USER says.

    Raises InvalidArguments for less than nothing, and for more than a billion.
    """
    if user_id:  # without one it is of the jobs that are nobody's
        checked_word(user_id, "a user id")
    _set(store, f"user|{user_id}", usd)
    return user_budget(store, user_id)


def set_flow_budget(store: Store, job_id: str, usd: float | None) -> None:
    """Let a flow and all its steps spend so many US dollars altogether; None: any amount."""
    _set(store, f"flow|{job_id}", usd)


def user_budget(store: Store, user_id: str) -> Budget:
    """A user's budget of this month, and what of it is spent and reserved."""
    month = f"user|{user_id}|{datetime.now(UTC):%Y-%m}"
    pipe = store.redis.pipeline(transaction=False)
    pipe.hget(store.key("budgets"), f"user|{user_id}")
    pipe.hget(store.key("spent"), month)
    pipe.hget(store.key("held"), month)
    limit, spent, held = pipe.execute()
    default = settings().budget_user
    return Budget(
        scope=f"user {user_id}",
        limit_usd=_usd(limit, default, f"the budget of user {user_id}"),
        spent_usd=_usd(spent, 0.0, f"what user {user_id} has spent") or 0.0,
        reserved_usd=_usd(held, 0.0, f"what is reserved for user {user_id}") or 0.0,
    )


def user_budgets(store: Store) -> list[Budget]:
    """The budget of every user who has one or has spent something this month, by name."""
    month = f"|{datetime.now(UTC):%Y-%m}"
    users = {
        name.decode().removeprefix("user|").removesuffix(month)
        for listing in ("spent", "held")
        for name in cast("dict[bytes, bytes]", store.redis.hgetall(store.key(listing)))
        if name.startswith(b"user|") and name.decode().endswith(month)
    }
    users |= {
        name.decode().removeprefix("user|")
        for name in cast("dict[bytes, bytes]", store.redis.hgetall(store.key("budgets")))
        if name.startswith(b"user|")
    }
    return [user_budget(store, user) for user in sorted(users)]


def _usd(stored: bytes | None, otherwise: float | None, what: str) -> float | None:
    """Micro-US dollars in US dollars; where somebody has stored something else, what there is without it."""
    if stored is None:
        return otherwise
    try:
        return int(stored) / MICRO
    except ValueError:
        _log.error("%s cannot be read: %r", what, stored[:40])
        return otherwise


def _set(store: Store, scope: str, usd: float | None) -> None:
    if usd is None:
        store.redis.hdel(store.key("budgets"), scope)
    elif not 0 <= usd <= _MOST:
        raise InvalidArguments(f"a budget is 0 to {_MOST:,.0f} US dollars, not {usd}")
    else:
        store.redis.hset(store.key("budgets"), scope, str(micro(usd)))
    store.secure()
