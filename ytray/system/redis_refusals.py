"""A Redis that answers and accepts no changes, since its memory or its disk is full: one sentence that says so."""

from __future__ import annotations

import re

import redis
from redis.exceptions import OutOfMemoryError

from ytray.errors import SystemUnavailable

# Only the beginning is the server's own: what a script refuses may go on with a job's id of any words. Redis before 7
# wraps what it says to a script.
WRAPPED = r"(?:Error running script \(call to f_\w+\): (?:@user_script: ?\d+: )+-)?"

_FULL_MEMORY = re.compile(rf"{WRAPPED}OOM\b")
_CANNOT_WRITE = re.compile(rf"{WRAPPED}MISCONF (?P<what>.*)", re.DOTALL)
_APPEND_ONLY_FILE = re.compile(r"Errors writing to the AOF file: (?P<why>.*?)(?: script: .*)?$", re.DOTALL)


class RedisIsFull(SystemUnavailable, redis.ResponseError):
    """Redis answers and takes no changes. It is also redis-py's error, so that it passes through pipelines as it is."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self._told = told

    def __str__(self) -> str:
        # redis-py puts the command, with its arguments, before what a pipeline's error says.
        return self._told

    def __reduce__(self) -> tuple[type[RedisIsFull], tuple[str]]:
        return type(self), (self._told,)


def in_plain_words(refused: redis.ResponseError) -> RedisIsFull | None:
    """What to raise for a refusal that says nothing about the command, only about the server; None for any other."""
    text = str(refused)
    if isinstance(refused, OutOfMemoryError) or _FULL_MEMORY.match(text):
        return RedisIsFull(
            "the memory of Redis is full (its maxmemory is reached), so it takes nothing new: raise maxmemory, or "
            "cancel and clean up what is not needed; what waits goes on by itself once there is room"
        )
    if (found := _CANNOT_WRITE.match(text)) is not None:
        file = _APPEND_ONLY_FILE.match(found["what"])
        if file is None:
            return RedisIsFull(
                "Redis takes no changes, because it could not write its snapshot (RDB), most often because its disk is "
                "full: free space on it, or set stop-writes-on-bgsave-error no; what waits goes on by itself then"
            )
        return RedisIsFull(
            f"Redis takes no changes, because it cannot write its append-only file ({file['why']}): free space on its "
            "disk; what waits goes on by itself a second later. What was just asked for may have been noted all the "
            "same; asked for again, with the same idempotency key, it is done once"
        )
    return None
