"""API keys: made here, kept in Redis as hashes only, and shown once.

A key is `yt_<id>_<secret>`. The id finds the record; the secret, 256 random bits, is compared by its SHA-256 in
constant time. (A slow hash would protect a guessable password; nobody guesses 256 bits.)
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Literal, cast

import redis
from pydantic import BaseModel, ValidationError

from ytray.engine.base.model import DEFAULT_PRIORITY, Time, time_of
from ytray.engine.base.names import checked_word
from ytray.engine.jobs.task import Options
from ytray.engine.state.store import Store
from ytray.errors import AccessDenied, InvalidArguments, SettingsError, SystemUnavailable
from ytray.settings import settings

Scope = Literal["submit", "read", "admin", "metrics"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "submit", "admin", "metrics")
_OF_SETTINGS: Final = "settings:"  # how the ids of keys of YTRAY_API_KEYS begin
_log = logging.getLogger("ytray.api")

_CACHED_FOR = 1.0  # seconds until a replica notices that a key was made or revoked; a stream looks once more a second
_UNKNOWN_FOR = 0.1  # seconds that a key which is not known is taken for wrong without another look
_NOTED_EVERY = 60.0  # seconds between two notes of a key's use
_LONGEST_LIFE = 3650 * 86400.0  # seconds


class ApiKey(BaseModel):
    """A key as it is kept: everything but its secret. `user_id` None: it sees the jobs of all users.

    `tasks` are those that it may submit (none: any), `priority` is the highest that it may give.
    """

    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    user_id: str | None
    created_at: Time
    expires_at: Time | None = None
    secret_hash: str
    tasks: tuple[str, ...] = ()
    priority: int | None = None

    def has_expired(self) -> bool:
        """Whether its end has come."""
        return self.expires_at is not None and datetime.now(UTC) >= self.expires_at


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: what it may do, whose jobs it sees (None: everybody's), and what it may submit."""

    key_id: str
    scopes: frozenset[str]
    user_id: str | None
    name: str = ""  # of the key
    tasks: tuple[str, ...] = ()
    priority: int | None = None

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
        self._is_shut = False  # a key was made once, and nobody has opened the API since
        self._noted: dict[str, float] = {}  # when a key's use was written down last
        self._told: set[bytes] = set()  # keys that cannot be read
        self._read_at = float("-inf")
        self._has_read = False

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        user_id: str | None,
        lasts: float | None = None,
        *,
        tasks: Iterable[str] = (),
        priority: int | None = None,
    ) -> tuple[str, ApiKey]:
        """Make a key that lasts so many seconds; returns it, which is the only time it is seen, and its record.

        `tasks` are those that it may submit, any by default, and `priority` is the highest that it may give.
        Raises InvalidArguments. From now on the API asks for a key, also when none is left: `open_again` ends that.
        """
        wanted = tuple(dict.fromkeys(scopes))
        if not wanted or any(scope not in SCOPES for scope in wanted):
            raise InvalidArguments(f"scopes are some of {', '.join(SCOPES)}, not {', '.join(wanted) or 'none'}")
        if not name.strip() or len(name) > 100:
            raise InvalidArguments("a key needs a name, of at most 100 characters, to know it by")
        if user_id is not None:
            checked_word(user_id, "a user id")
            if "metrics" in wanted:
                raise InvalidArguments("the metrics tell of all users: a key with the scope metrics is of no user")
        if lasts is not None and not 1 <= lasts <= _LONGEST_LIFE:
            raise InvalidArguments("a key lasts from a second to ten years")
        made_at = time_of(time.time() * 1000)
        for task in (named := tuple(dict.fromkeys(tasks))):
            checked_word(task, "the name of a task")
        if "admin" in wanted and (named or priority is not None):
            raise InvalidArguments("a key with the scope admin may submit anything: leave out its tasks and priority")
        Options(priority=DEFAULT_PRIORITY if priority is None else priority)
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        record = ApiKey(
            key_id=key_id,
            name=name,
            scopes=cast("tuple[Scope, ...]", wanted),
            user_id=user_id,
            created_at=made_at,
            expires_at=None if lasts is None else made_at + timedelta(seconds=lasts),
            secret_hash=_hash(secret),
            tasks=named,
            priority=priority,
        )
        self._shut()
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
        self._shut()  # also where a version that did not keep this made the key
        if not self._store.redis.hdel(self._key, key_id):
            raise InvalidArguments(f"there is no key {key_id!r}; `ytray keys list` shows them")
        self._store.redis.hdel(self._store.key("keys_used"), key_id)
        self._store.secure()

    def open_again(self) -> None:
        """Let anybody on loopback do everything again. Raises InvalidArguments while there is a key."""
        left = len(self.all()) + self._has_damaged + len(self._from_settings)
        if left:
            raise InvalidArguments(f"{left} keys are left, and would not be asked for any more: revoke them first")
        self._store.redis.delete(self._store.key("keys_shut"))
        self._store.secure()

    def is_shut(self) -> bool:
        """Whether a key was made once, so that the API asks for one though none may be left."""
        return bool(self._store.redis.exists(self._store.key("keys_shut")))

    def _shut(self) -> None:
        self._store.redis.set(self._store.key("keys_shut"), "1")

    def last_uses(self) -> dict[str, datetime]:
        """When each key was used last, to the minute; those that never were are missing."""
        noted = cast("dict[bytes, bytes]", self._store.redis.hgetall(self._store.key("keys_used")))
        return {key_id.decode(): time_of(at) for key_id, at in noted.items() if at.isdigit()}

    def is_use_unnoted(self, key_id: str) -> bool:
        """Whether the key was used, and that has to be written down (`note_use`): once a minute."""
        return bool(key_id) and time.monotonic() - self._noted.get(key_id, float("-inf")) > _NOTED_EVERY

    def note_use(self, key_id: str) -> None:
        """Write down that the key is used now; where Redis takes no writes, the request goes on all the same."""
        self._noted[key_id] = time.monotonic()
        with contextlib.suppress(redis.RedisError, SystemUnavailable):
            self._store.redis.hset(self._store.key("keys_used"), key_id, str(round(time.time() * 1000)))

    def exists(self) -> bool:
        """Whether there is any key, be it one that cannot be read; while Redis is away, what was last seen counts."""
        return bool(self._from_settings or self._current() or self._has_damaged)

    def is_open(self) -> bool:
        """Whether anybody may do everything: there is no key and never was one, and that is all right here."""
        return self._open_without and not self.exists() and not self._is_shut

    def caller(self, key: str | None) -> Caller:
        """Who presents this key. Raises AccessDenied."""
        if self.is_open():
            return ANYBODY
        if key is None:
            raise AccessDenied("this API wants a key: send it as `Authorization: Bearer KEY`")
        for name, given, scopes in self._from_settings:
            if hmac.compare_digest(given.encode(), key.encode()):
                return _of_settings(name, scopes)
        key_id, secret = split_key(key)
        # One that is not known may have been made a moment ago.
        record = self._current().get(key_id) or self._current(_UNKNOWN_FOR).get(key_id)
        # Compared also when there is no such record, so that the time tells nothing.
        matches = hmac.compare_digest(record.secret_hash if record else _hash(""), _hash(secret))
        if record is None or not matches:
            raise AccessDenied("the API key is wrong or was revoked")
        if record.has_expired():
            raise AccessDenied(f"the API key expired at {record.expires_at:%Y-%m-%d %H:%M} UTC")
        return _caller(record)

    def holder(self, key_id: str) -> Caller | None:
        """Who holds the key of that id now (of `Caller.key_id`); None when it was revoked or has expired.

        For what goes on after its request was let in: an event stream, a browser that signed in.
        """
        if not key_id:
            return ANYBODY if self.is_open() else None
        for name, _, scopes in self._from_settings:
            if key_id == f"{_OF_SETTINGS}{name}":
                return _of_settings(name, scopes)
        record = self._current().get(key_id)
        if record is None or record.has_expired():
            return None
        return _caller(record)

    def proof(self, key_id: str, session: str) -> str:
        """What tells that a session was opened with a key of YTRAY_API_KEYS as it is now; "" for keys kept in Redis.

        A name there may get another key, which is to end the sessions of the old one.
        """
        for name, given, _ in self._from_settings:
            if key_id == f"{_OF_SETTINGS}{name}":
                return hmac.new(session.encode(), given.encode(), sha256).hexdigest()
        return ""

    def _current(self, cached_for: float = _CACHED_FOR) -> dict[str, ApiKey]:
        if time.monotonic() - self._read_at > cached_for:
            try:
                self._known = {key.key_id: key for key in self.all()}
                self._is_shut = self.is_shut()
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


def _of_settings(name: str, scopes: frozenset[str]) -> Caller:
    sees_all = "admin" in scopes or scopes == {"metrics"}
    return Caller(f"{_OF_SETTINGS}{name}", scopes, None if sees_all else name, name)


def _caller(record: ApiKey) -> Caller:
    scopes = frozenset(record.scopes)
    return Caller(record.key_id, scopes, record.user_id, record.name, record.tasks, record.priority)


def split_key(key: str) -> tuple[str, str]:
    """The id and the secret of a key that was made here; of another the id is empty."""
    parts = key.split("_", 2)
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "yt" else ("", key)


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
