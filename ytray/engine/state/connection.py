"""The process's connection to the running system."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from ytray.engine.state import signing
from ytray.engine.state.schema import bring_up_to_date
from ytray.engine.state.store import Store
from ytray.settings import settings
from ytray.system.joining import System, join
from ytray.system.ray_cluster import leave_to_parent

# How long a client goes on trying when Redis does not answer, in seconds: long enough for a restart or a failover.
PATIENCE = 60.0


@dataclass(slots=True)
class _Connection:
    store: Store
    joined: System | None = None
    has_ray: bool = False


_lock = threading.RLock()
_current: _Connection | None = None


def join_with_ray(begin: Callable[[System], None], *, for_up: bool) -> None:
    """Join a system with its Ray cluster, unless that was done; `begin` starts what is missing of its actors."""
    global _current
    with _lock:
        if _current is not None and _current.has_ray and not _current.store.given_up:
            return
        if _current is not None:
            _leave()
        joined = join(ray=True, for_up=for_up)
        _current = _Connection(_store_of(joined), joined, has_ray=True)
        try:
            begin(joined)
            if not for_up:  # of that one, the supervisor watches everything
                joined.watch(_current.store.give_up)
        except BaseException:
            _leave()
            raise


def joined_system() -> System:
    """The system that this process joined, and whose jobs are run."""
    running_store()
    assert _current is not None
    assert _current.joined is not None, "a worker or an actor joins no system of its own"
    return _current.joined


def is_connected() -> bool:
    """Whether this process has joined a system."""
    return _current is not None


def store() -> Store:
    """The system's state; joins Redis (starting the embedded one if it must), and never starts Ray."""
    global _current
    if _current is not None:
        return _current.store
    with _lock:
        if _current is None:
            joined = join(ray=False)
            _current = _Connection(_store_of(joined), joined)
            joined.watch(_current.store.give_up)
        return _current.store


def _store_of(joined: System) -> Store:
    """The store of a system that was joined, of the version that this ytray understands; else it is left again."""
    where = Store(joined.redis_url, settings().namespace, PATIENCE)
    try:
        bring_up_to_date(where)
        if settings().redis_url is None and not signing.has_own_secret():
            # A Redis that is this home's own, from before code was signed, or new.
            signing.sign_what_is_stored(where)
    except BaseException:
        where.close()
        joined.leave()
        raise
    return where


def running_store() -> Store:
    """The same for who submits, or waits for an end: somebody must be there to run the jobs."""
    if _current is None or not _current.has_ray:
        # Through the package's own door: this room knows nothing of Ray and the actors.
        import ytray

        ytray.connect()
    assert _current is not None
    return _current.store


def adopt_store(given: Store) -> None:
    """Work with a system that somebody else joined: a worker's or an actor's own connection."""
    global _current
    _current = _Connection(given, has_ray=True)


def shutdown() -> None:
    """Leave the system, and stop what `connect()` started. Safe to call twice; accepted jobs stay accepted."""
    with _lock:
        _leave()


def _leave() -> None:
    global _current
    connection, _current = _current, None
    if connection is not None:
        connection.store.close()
        if connection.joined is not None:
            connection.joined.leave()


def _leave_to_parent() -> None:
    """In a forked child: what its parent has started is not to be stopped with it."""
    global _lock
    _lock = threading.RLock()  # a thread of the parent may have held the other
    if _current is not None and _current.joined is not None:
        _current.joined = replace(_current.joined, started_redis=False, started_ray=False, _watch=None)
    leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
atexit.register(shutdown)
