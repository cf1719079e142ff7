"""API keys: made here, kept in Redis as hashes only, and shown once.

A key is `yt_<id>_<secret>`. The id finds the record; the secret, 256 random bits, is compared by its SHA-256 in
constant time. (A slow hash would protect a guessable password; nobody guesses 256 bits.)
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, cast

import redis
from pydantic import BaseModel, ValidationError

from ytray.engine.model import Time, time_of
from ytray.engine.names import checked_word
from ytray.engine.store import Store
from ytray.errors import AccessDenied, InvalidArguments, SettingsError
from ytray.settings import settings

Scope = Literal["submit", "read", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "submit", "admin")
_log = logging.getLogger("ytray.api")

_CACHED_FOR = 2.0  # seconds until a replica notices that a key was made or revoked


class ApiKey(BaseModel):
    """A key as it is kept: everything but its secret. `user_id` None: it sees the jobs of all users."""

    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    user_id: str | None
    created_at: Time
    secret_hash: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: what it may do, and whose jobs it sees (None: everybody's)."""

    key_id: str
    scopes: frozenset[str]
    user_id: str | None

    @property
    def is_admin(self) -> bool:
        """Whether the caller may act on everything."""
        return "admin" in self.scopes

    @property
    def sees_only(self) -> str | None:
        """The user whose jobs alone the caller sees; None when it sees all."""
        return None if self.is_admin else self.user_id


ANYBODY: Final = Caller("", frozenset(SCOPES), None)  # while no key exists and the API listens on loopback alone


class KeyRing:
    """The keys of one system: those kept in Redis, and those of YTRAY_API_KEYS.

    `open_without` says what no key at all means: that anybody may do everything, as on loopback, or that nobody may.
    """

    def __init__(self, where: Store, *, open_without: bool = False) -> None:
        self._store = where
        self._open_without = open_without
        self._key = where.key("keys")
        self._from_settings = _keys_of_settings()
        self._known: dict[str, ApiKey] = {}
        self._has_damaged = False
        self._told: set[bytes] = set()  # keys that cannot be read
        self._read_at = float("-inf")
        self._has_read = False

    def create(self, name: str, scopes: Iterable[str], user_id: str | None) -> tuple[str, ApiKey]:
        """Make a key; returns it, which is the only time it is seen, and its record. Raises InvalidArguments."""
        wanted = tuple(dict.fromkeys(scopes))
        if not wanted or any(scope not in SCOPES for scope in wanted):
            raise InvalidArguments(f"scopes are some of {', '.join(SCOPES)}, not {', '.join(wanted) or 'none'}")
        if not name.strip() or len(name) > 100:
            raise InvalidArguments("a key needs a name, of at most 100 characters, to know it by")
        if user_id is not None:
            checked_word(user_id, "a user id")
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        record = ApiKey(
            key_id=key_id,
            name=name,
            scopes=cast("tuple[Scope, ...]", wanted),
            user_id=user_id,
            created_at=time_of(time.time() * 1000),
            secret_hash=_hash(secret),
        )
        self._store.redis.hset(self._key, key_id, record.model_dump_json())
        self._store.secure()
        return f"yt_{key_id}_{secret}", record

    def all(self) -> list[ApiKey]:
        """The keys kept in Redis, oldest first."""
        stored = cast("dict[bytes, bytes]", self._store.redis.hgetall(self._key))
        found = []
        self._has_damaged = False
        for key_id, value in stored.items():
            try:
                found.append(ApiKey.model_validate_json(value))
            except ValidationError:
                # Nobody can use it; those who hold another one can.
                if key_id not in self._told:
                    _log.error("what is stored of the API key %r cannot be read", key_id)
                self._told.add(key_id)
                self._has_damaged = True
        return sorted(found, key=lambda key: key.created_at)

    def revoke(self, key_id: str) -> None:
        """Make a key useless, within two seconds everywhere. Raises InvalidArguments when there is no such key."""
        if not self._store.redis.hdel(self._key, key_id):
            raise InvalidArguments(f"there is no key {key_id!r}; `ytray keys list` shows them")
        self._store.secure()

    def exists(self) -> bool:
        """Whether there is any key, be it one that cannot be read; while Redis is away, what was last seen counts."""
        return bool(self._from_settings or self._current() or self._has_damaged)

    def is_open(self) -> bool:
        """Whether anybody may do everything: there is no key, and that is all right here."""
        return self._open_without and not self.exists()

    def caller(self, key: str | None) -> Caller:
        """Who presents this key. Raises AccessDenied."""
        if self.is_open():
            return ANYBODY
        if key is None:
            raise AccessDenied("this API wants a key: send it as `Authorization: Bearer KEY`")
        for name, given, scopes in self._from_settings:
            if hmac.compare_digest(given.encode(), key.encode()):
                return Caller(f"settings:{name}", scopes, None if "admin" in scopes else name)
        key_id, secret = _split(key)
        record = self._current().get(key_id)
        # Compared also when there is no such record, so that the time tells nothing.
        matches = hmac.compare_digest(record.secret_hash if record else _hash(""), _hash(secret))
        if record is None or not matches:
            raise AccessDenied("the API key is wrong or was revoked")
        return Caller(record.key_id, frozenset(record.scopes), record.user_id)

    def _current(self) -> dict[str, ApiKey]:
        if time.monotonic() - self._read_at > _CACHED_FOR:
            try:
                self._known = {key.key_id: key for key in self.all()}
                self._has_read = True
            except (redis.ConnectionError, redis.TimeoutError):
                if not self._has_read:
                    raise
                # As they were: nearly all that a key allows needs Redis too, and a revocation waits for it as well.
            self._read_at = time.monotonic()
        return self._known


def _keys_of_settings() -> list[tuple[str, str, frozenset[str]]]:
    given = settings().api_keys
    keys = []
    for entry in (given.get_secret_value() if given else "").split(","):
        if not entry.strip():
            continue
        name, _, rest = entry.strip().partition(":")
        key, _, words = rest.partition(":")
        scopes = frozenset(words.split("+")) if words else frozenset({"read", "submit"})
        if not name or len(key) < 16 or not scopes <= set(SCOPES):
            raise SettingsError(
                "YTRAY_API_KEYS: each entry is NAME:KEY or NAME:KEY:SCOPE+SCOPE, with a key of at least 16 characters "
                f"and scopes out of {', '.join(SCOPES)}"
            )
        keys.append((name, key, scopes))
    return keys


def _split(key: str) -> tuple[str, str]:
    parts = key.split("_", 2)
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "yt" else ("", key)


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
