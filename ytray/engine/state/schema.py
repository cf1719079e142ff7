"""The version of what is stored, and how an older store is brought up to date.

The version is a number in the key `schema`. A store of another version is met when somebody connects: an older one is
migrated then, one version at a time; a newer one is refused, since what this version would write may be wrong there.

What a migration may do. Workers and trackers of the version before go on while it runs, and one that was broken off
is begun again from its start, so it
- only adds (a key, a field, a listing) what the version before does not mind, and never takes away or changes the
  meaning of what that one reads; what is no longer needed goes with the version after;
- gives the same when it is done again, in part or as a whole;
- works in pieces, a script each, that keep Redis busy for some milliseconds; after each it yields.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, cast

from redis.exceptions import NoPermissionError

from ytray.engine.base.model import QUEUE_PRIORITIES, JobState
from ytray.engine.state.signing import CODE_KEPT
from ytray.engine.state.store import Store
from ytray.errors import SystemUnavailable

Migration = Callable[[Store], Iterator[None]]

RESTORING: Final = "restoring"  # what is stored instead of the version while a backup is being restored
_LOCK_MS = 30_000  # how long a process that died in a migration keeps others from it; no piece takes as long
_PATIENCE = 600.0  # seconds that a process waits for another's migration
_LOOK_EVERY = 0.1  # seconds


def _give_it_a_number(_: Store) -> Iterator[None]:
    """From before there were versions to 1: nothing is stored in another way, it only has a number now."""
    yield


_PAGE = 500  # jobs or batches in one piece


def _escape_names(store: Store) -> Iterator[None]:
    """From 1 to 2: what the keys of users lead to gets its escaped name beside the one that it has (names.py)."""
    listings = [("j:", f"in:{queue}:{state}") for state in JobState for queue in QUEUE_PRIORITIES]
    for kind, listing in [*listings, ("b:", "batches")]:
        start = 0
        # One that changes its listing meanwhile may be passed over: it is still found by the name that it has.
        while ids := cast("list[bytes]", store.redis.zrange(store.key(listing), start, start + _PAGE - 1)):
            store.call("migrate_names", kind, *ids)
            start += len(ids)
            yield
    # Code from before had no end. What jobs need of it is kept by the tracker (shipped.py). Where ytray's user of Redis
    # may not look for keys, the rest stays, too.
    with suppress(NoPermissionError):
        for key in store.redis.scan_iter(store.key("code:*"), count=1000):
            store.redis.expire(key, CODE_KEPT)
            yield


def _make_a_secret(store: Store) -> Iterator[None]:
    """From 2 to 3: new rows of batches get ids that only who has the system's secret can compute (batch/rows.py)."""
    store.secret()
    yield


# The migration that leads from each version to the next.
MIGRATIONS: list[Migration] = [_give_it_a_number, _escape_names, _make_a_secret]


def current() -> int:
    """The version that this ytray reads and writes."""
    return len(MIGRATIONS)


def bring_up_to_date(store: Store) -> None:
    """Make sure that the store is of this version; migrates an older one. One round trip where it is.

    Raises SystemUnavailable for a newer one, and for one whose restore was broken off.
    """
    token = uuid.uuid4().hex
    deadline = time.monotonic() + _PATIENCE
    while (found := _look(store)) is not None:
        if found > current():
            raise SystemUnavailable(
                f"this ytray understands schema {current()}, and the system {store.namespace!r} is of schema {found}: "
                "upgrade ytray here to the version that the system has"
            )
        if _call(store, "take", found + 1, token):
            _migrate(store, found, token)
        elif time.monotonic() > deadline:
            raise SystemUnavailable(f"another process has been migrating the store for {_PATIENCE:.0f} s; try again")
        else:
            time.sleep(_LOOK_EVERY)


def version_of(store: Store) -> str:
    """What the store says of its version, for people: a number, or what else stands there."""
    return (cast("bytes | None", store.redis.get(store.key("schema"))) or b"0").decode()


def _look(store: Store) -> int | None:
    """The store's version; None for that of this ytray, which a new store gets."""
    found: str = store.call("schema", "look", current(), secrets.token_hex(32)).decode()
    if found == RESTORING:
        raise SystemUnavailable(
            f"the restore of a backup into the system {store.namespace!r} was broken off, or goes on: wait for it, or "
            "repeat it with `ytray restore FILE --replace`"
        )
    return int(found) if found else None


def _migrate(store: Store, version: int, token: str) -> None:
    try:
        for _ in MIGRATIONS[version](store):
            if not _call(store, "take", version + 1, token):
                return  # it took too long over a piece: another one is at it, and does it all
        _call(store, "done", version + 1, token, version)
    finally:
        _call(store, "free", version + 1, token)


def _call(store: Store, what: str, version: int, token: str, since: int = 0) -> bool:
    return bool(store.call("schema", what, version, token, _LOCK_MS, since))
