"""What Redis says when it is there and does not serve: a sentence for each that tells what to do."""

from __future__ import annotations

import re

import redis

from ytray.errors import SystemUnavailable

_IS_FULL = "Redis is full: it has used all the memory that its maxmemory allows; give it more, then try again"
_FAILS_OVER = "Redis has no master at the moment: it is failing over; try again"
_NO_PASSWORD = "Redis refuses the password or the user in YTRAY_REDIS_URL"

_SENTENCES = {
    "OOM": _IS_FULL,
    "MISCONF": "Redis refuses to write, most often because its disk is full: free some space there; its log says more",
    "READONLY": "Redis takes no writes: it is a replica; YTRAY_REDIS_URL must name its master, or the Sentinels",
    "LOADING": "Redis has been started and is still loading its data; try again",
    "BUSY": "Redis has been busy with one script for longer than it allows; try again",
    "NOREPLICAS": "Redis takes no writes: fewer replicas follow it than its min-replicas-to-write asks for",
    "NOPERM": "Redis forbids its user what ytray needs; docs/redis.md lists the rights",
    "NOAUTH": _NO_PASSWORD,
    "WRONGPASS": _NO_PASSWORD,
    "CLUSTERDOWN": _FAILS_OVER,
    "MASTERDOWN": _FAILS_OVER,
    "TRYAGAIN": _FAILS_OVER,
}
# At the beginning, or where Redis before 7 tells of a script: "ERR Error running script …: @user_script: 9: -OOM …".
_WORD = re.compile(rf"(?:^|@user_script: ?\d+: -?)({'|'.join(_SENTENCES)})\b")


def as_unavailable(error: redis.RedisError) -> SystemUnavailable | None:
    """What the error says of the state of Redis; None when it says nothing of that: the command was wrong."""
    if isinstance(error, SystemUnavailable):
        return error  # said already, by the connection
    text = str(error).rpartition("caused error: ")[2]  # of a pipeline, after the command, which may hold anything
    found = _WORD.search(text)
    # redis-py takes the word from the text of those that it has classes for, and keeps it beside.
    word = found[1] if found else str(getattr(error, "status_code", ""))
    if word in _SENTENCES:
        return SystemUnavailable(_SENTENCES[word])
    if "max number of clients" in text:
        return SystemUnavailable("Redis takes no more connections: raise its maxclients, or look who holds so many")
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return SystemUnavailable(f"Redis does not answer: {error}; `ytray doctor` tells more")
    return None
