"""Receivers of webhooks that keep failing: each waits by itself, and its user's notices to it wait along.

An endpoint is a user's scheme, host and port: paths are often made up, and users must not hold up each other.
"""

from __future__ import annotations

from hashlib import sha256

from ytray.engine.base.names import joined
from ytray.engine.base.webhook_targets import Target
from ytray.engine.state.store import Store

_FAILURES = 5  # in a row, from which on it waits
_FIRST_WAIT_MS = 15 * 60_000
_LONGEST_WAIT_MS = 4 * 3_600_000
_FORGOTTEN_MS = 24 * 3_600_000  # after the last failure


class Endpoint:
    """How a user's receiver has done lately."""

    def __init__(self, store: Store, user: str, target: Target) -> None:
        self._store = store
        name = joined(user, target.scheme, target.host, str(target.port))
        self._key = store.key(f"endpoint:{sha256(name.encode()).hexdigest()[:32]}")

    def waits_until_ms(self) -> int:
        """The time until which it is not told; 0 when it does not wait."""
        until = self._store.redis.hget(self._key, "until")
        return int(until) if isinstance(until, bytes) else 0

    def succeeded(self) -> None:
        """It took a notice."""
        self._store.redis.delete(self._key)

    def failed(self) -> int:
        """It did not take a notice; returns the time until which it waits from now on, or 0."""
        failures = int(self._store.redis.hincrby(self._key, "failures", 1))
        until = 0
        if failures >= _FAILURES:
            wait = min(_FIRST_WAIT_MS << min(failures - _FAILURES, 10), _LONGEST_WAIT_MS)
            until = round(self._store.now_ms()) + wait
            self._store.redis.hset(self._key, "until", until)
        self._store.redis.pexpire(self._key, _FORGOTTEN_MS)
        return until
