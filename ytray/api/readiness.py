"""Whether jobs would run, for `/readyz`: all of it is asked of Redis in one round trip."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

import redis
from pydantic import BaseModel, Field
from redis.exceptions import NoPermissionError

from ytray.engine.base.imports import broken_imports
from ytray.engine.base.model import QUEUE_PRIORITIES
from ytray.engine.state.link import Link
from ytray.engine.state.parts import received
from ytray.engine.state.refusals import as_unavailable
from ytray.errors import SystemUnavailable
from ytray.settings import settings

_PROBE_TTL = 60  # seconds that the key lives by which writing is tried
_NEEDED = frozenset({"node", "gcs", "raylet", "job_tracker"})  # parts without which no job runs
_DISK = "Redis cannot write its append-only file, most often because its disk is full: free some space there"
_TRACKER = "no tracker is at work, so no job starts; `ytray up` starts one, and `ytray doctor` tells more"
_FLOWS = "no flow runner is at work, so flows stand still; `ytray doctor` tells more"
_SLOTS = "no node offers a slot of any queue; `ytray nodes` lists the nodes, and a node that joins may offer some"


class Readiness(BaseModel):
    """Jobs run."""

    status: Literal["ok"] = "ok"
    warnings: list[str] = Field([], description="What some jobs would wait for, such as a queue that no node offers.")


def readiness(where: Link) -> Readiness:
    """Whether jobs would run. Raises SystemUnavailable, which says what is missing and what to do.

    It is for anybody to see: names of queues, parts and modules, but nothing that they said.
    """
    pipe = where.redis.pipeline(transaction=False)
    pipe.set(where.key("probe"), 1, ex=_PROBE_TTL)
    pipe.info("persistence")
    for name in ("at_work", "epoch:tracker", "flows_at_work", "epoch:flows"):
        pipe.get(where.key(name))
    pipe.hgetall(where.key("slots"))
    pipe.hgetall(where.key("parts"))
    pipe.time()
    written, persistence, *known = pipe.execute(raise_on_error=False)
    _raise_if_refused([written])
    if isinstance(persistence, NoPermissionError):
        persistence = {}  # it answers, and forbids this user INFO
    _raise_if_refused([persistence, *known])
    if persistence.get("aof_last_write_status", "ok") != "ok":
        raise SystemUnavailable(_DISK)
    at_work, tracker, flows_until, flows, slots, parts, now = known
    lacking = [queue for queue in QUEUE_PRIORITIES if int(slots.get(queue.encode(), 0)) <= 0]
    has_tracker = at_work is not None and at_work == tracker
    missing = [
        *_missing(parts),
        *([] if has_tracker else [_TRACKER]),
        *([] if _is_at_work(flows, flows_until, now) else [_FLOWS]),
        # Without a tracker nobody knows; and an autoscaler brings the first node when there are jobs.
        *([_SLOTS] if has_tracker and len(lacking) == len(QUEUE_PRIORITIES) and not settings().autoscale_most else []),
    ]
    if missing:
        raise SystemUnavailable("; ".join(missing))
    warnings = [f"no node offers queue_{queue}: its jobs start when one joins" for queue in lacking]
    if broken := broken_imports():
        warnings.append(f"of YTRAY_IMPORTS {', '.join(broken)} could not be imported here; GET /api/tasks says why")
    return Readiness(status="ok", warnings=warnings) if warnings else Readiness(status="ok")


def _raise_if_refused(replies: list[Any]) -> None:
    for reply in replies:
        if isinstance(reply, redis.RedisError):
            raise as_unavailable(reply) or reply


def _missing(parts: dict[bytes, bytes]) -> Iterator[str]:
    for part in received(parts.values()):
        if part.name in _NEEDED and part.state == "missing":
            yield f"{part.name} has been missing for {time.time() - part.since:.0f} s; `ytray doctor` tells more"


def _is_at_work(flows: bytes | None, until_ms: bytes | None, now: tuple[int, int]) -> bool:
    """Whether the flow runner is; of one of an older version it is only known that it took office."""
    if until_ms is None:
        return flows is not None
    seconds, microseconds = now
    return seconds * 1000 + microseconds / 1000 < int(until_ms)
