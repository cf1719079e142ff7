"""What a supervisor tells of its parts, in words: which are missing, which are young, how often they were restarted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import cast

import redis

from ytray.engine.state.link import Link
from ytray.settings import settings
from ytray.system.parts import Part, read_parts

YOUNG = 600.0  # seconds for which a part that was started again is worth a word


def known_parts(where: Link) -> list[Part]:
    """The parts of this machine's system, else those of the machine of `ytray up`; none without a supervisor."""
    return read_parts(settings().home) or mirrored_parts(where)


def mirrored_parts(where: Link) -> list[Part]:
    """The parts as their supervisor has told them in Redis; none while that does not answer."""
    try:
        stored = cast("dict[bytes, bytes]", where.redis.hgetall(where.key("parts")))
    except redis.RedisError:
        return []
    return received(stored.values())


def received(stored: Iterable[bytes]) -> list[Part]:
    """The parts in values of the key `parts`, without those that a newer version tells in another way."""
    found = []
    for told in stored:
        with contextlib.suppress(ValueError):
            found.append(Part.received(told))
    return found


def trouble(part: Part) -> str:
    """A sentence about a part that does not run, or was started again a short while ago; "" when all is well."""
    lasting = time.time() - part.since
    match part.state:
        case "missing":
            return f"{part.name} has been missing for {_long(lasting)}.{_past(part)}"
        case "starting":
            return f"{part.name} has been starting for {_long(lasting)}.{_past(part)}"
    if part.restarts and lasting < YOUNG:
        return f"{part.name} was started again {_long(lasting)} ago.{_past(part)}"
    return ""


def record(part: Part) -> str:
    """A sentence about a part that has been running again for a while; "" when it never ended."""
    if part.state != "up" or not part.restarts:
        return ""
    return f"{part.name} has been up for {_long(time.time() - part.since)}.{_past(part)}"


def _past(part: Part) -> str:
    often = f" Started again so far: {_times(part.restarts)}." if part.restarts else ""
    return often + (f" Its last end: {part.last_end}" if part.last_end else "")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def _long(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    return f"{whole // 3600} h"
