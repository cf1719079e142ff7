"""Browsers that are signed in: each has a session of its own in its cookie, so that no browser keeps a key.

A session is 256 random bits, kept in Redis as a hash with the id of the key that opened it. It ends when
somebody signs out, after a month, and with its key.
"""

from __future__ import annotations

import hmac
import secrets
import time
from hashlib import sha256
from typing import Final

import redis

from ytray.api.keys import Caller, KeyRing
from ytray.engine.state.store import Store
from ytray.errors import AccessDenied

LASTS: Final = 30 * 86400  # seconds
_CACHED_FOR = 1.0  # seconds until a replica notices that a session has ended
_REMEMBERED = 10_000


class Sessions:
    """The sessions of one system."""

    def __init__(self, where: Store, keys: KeyRing) -> None:
        self._store = where
        self._keys = keys
        self._known: dict[str, tuple[float, str | None]] = {}  # by hash: when it was read, and what it was opened with

    def open(self, key: str) -> str | None:
        """A session for who presents this key; None where no key is asked for. Raises AccessDenied."""
        caller = self._keys.caller(key)
        if not caller.key_id:
            return None
        session = secrets.token_urlsafe(32)
        opened_with = f"{caller.key_id} {self._keys.proof(caller.key_id, session)}"
        self._store.redis.set(self._key(_hash(session)), opened_with, ex=LASTS)
        self._store.secure()
        return session

    def end(self, session: str) -> None:
        """Sign out."""
        hashed = _hash(session)
        self._known.pop(hashed, None)
        self._store.redis.delete(self._key(hashed))
        self._store.secure()

    def caller(self, session: str) -> Caller:
        """Who is signed in. Raises AccessDenied when the session, or its key, has ended."""
        key_id, _, proof = (self._opened_with(_hash(session)) or "").partition(" ")
        caller = self._keys.holder(key_id) if key_id else None
        if caller is None or not hmac.compare_digest(proof, self._keys.proof(key_id, session)):
            raise AccessDenied("the session has ended: sign in again")
        return caller

    def _opened_with(self, hashed: str) -> str | None:
        read_at, opened_with = self._known.get(hashed, (float("-inf"), None))
        if time.monotonic() - read_at <= _CACHED_FOR:
            return opened_with
        try:
            found = self._store.redis.get(self._key(hashed))
        except (redis.ConnectionError, redis.TimeoutError):
            if opened_with is None:
                raise
            return opened_with  # as keys do: it stays what it was while Redis is away
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        opened_with = found.decode(errors="replace") if isinstance(found, bytes) else None
        self._known[hashed] = (time.monotonic(), opened_with)
        return opened_with

    def _key(self, hashed: str) -> str:
        return self._store.key(f"session:{hashed}")


def _hash(session: str) -> str:
    return sha256(session.encode()).hexdigest()
