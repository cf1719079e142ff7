"""Code that is shipped by value: the tasks of a script, pickled into Redis under a digest of what they do.

The bytes of one unchanged script differ from run to run, by the order of its sets and by ids that its classes are
given. The digest leaves these out, so that all runs share one key. A key expires when no job has needed it for a month:
a submission renews it (lua/submit.lua), and the tracker does so for all jobs that wait, may be replayed, or belong to a
batch.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, cast

import redis
from ray.cloudpickle import cloudpickle

from ytray.engine.base import logs
from ytray.engine.base.model import QUEUE_PRIORITIES, JobState
from ytray.engine.state import signing
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments, SystemUnavailable
from ytray.settings import settings

_RENEW_EVERY = 86400  # seconds
_LOOK_EVERY = 600.0  # seconds between looks whether it is time to renew
_PAGE = 500  # jobs whose code is renewed in one move
_CLASS_REFERENCE = re.compile(r"(.+):(\d+)")  # as Pydantic names a class in its schemas: by its id in this process

_log = logs.get("ytray.shipped")


def ship(task: Any, store: Store) -> str:
    """Put the code of a task into Redis, or keep it there; returns its digest. Raises InvalidArguments."""
    if not settings().stored_code:
        raise InvalidArguments(
            f"task {task.name} is defined in a script or a function, and YTRAY_STORED_CODE is false: put it into a "
            "module that every node has, and name that in YTRAY_IMPORTS"
        )
    dumps: Callable[[Any], bytes] = cloudpickle.dumps
    digest = digest_of(task)
    store.redis.set(store.key(f"code:{digest}"), signing.signed(dumps(task), digest), ex=signing.CODE_KEPT)
    store.secure()
    return digest


def digest_of(made: Any) -> str:
    """What an object's code and values are, as a short text that is the same in every process."""
    return _digest(made).hex()[:32]


def _digest(made: Any) -> bytes:
    with io.BytesIO() as written:
        pickler: Any = cast(Any, _Canonical)(written)
        pickler.dump(made)
        return sha256(written.getvalue()).digest()


class _Canonical(cloudpickle.Pickler):
    """Writes what tells two objects apart, and nothing that changes between processes. Nobody reads it back."""

    def persistent_id(self, part: Any) -> Any:
        """What is written instead of a part; None for the part itself."""
        if type(part) in (set, frozenset):
            return type(part).__name__, sorted(map(_digest, part))
        if type(part) is str:
            classes = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID
            if part in classes:
                return ("class",)
            if (named := _CLASS_REFERENCE.fullmatch(part)) and int(named[2]) in {
                id(known) for known in classes.values()
            }:
                return "class", named[1]
        return None


def keep_forever(store: Store) -> None:
    """Renew the code that jobs may need, once a day for all of the system."""
    while True:
        try:
            if store.redis.set(store.key("code_renewed"), "1", nx=True, ex=_RENEW_EVERY):
                renew(store)
        except (SystemUnavailable, redis.RedisError) as away:
            _log.warning("the code of jobs is renewed later", error=str(away))
        except Exception:
            _log.exception("the code of jobs is renewed later")
        time.sleep(_LOOK_EVERY)


def renew(store: Store) -> None:
    """Keep the code of each job that has not ended, is in the dead-letter queue, or is an item of a batch."""
    for page in _pages(store):
        store.call("keep_code", *page)


def _pages(store: Store) -> Iterator[list[str]]:
    waiting = [state for state in JobState if not state.has_ended]
    listings = [("j:", f"in:{queue}:{state}") for state in waiting for queue in QUEUE_PRIORITIES]
    for kind, listing in [*listings, ("j:", "dlq"), ("b:", "batches")]:
        start = 0
        while ids := cast("list[bytes]", store.redis.zrange(store.key(listing), start, start + _PAGE - 1)):
            yield [kind + name.decode() for name in ids]
            start += len(ids)
