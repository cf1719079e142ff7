"""Whose artifacts a job may read: one rule, asked when a job is submitted and again when it reads.

A job of a user reads what that user's jobs have made, and what somebody took in by hand, which is named by a digest of
its content: who knows that name has had the file. A job of no user is its operator's, and reads all. What is made from
content that a job has read already (rendered parts, bought files) it names itself, and asks for past this rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from ytray.artifacts import TAKEN_IN, ArtifactStore, readable_by
from ytray.engine.base.context import current_job
from ytray.engine.state.reading import Reading
from ytray.errors import ForeignArtifact, PermanentError

_LONGEST = 4_096  # characters of a URI


def check_arguments(where: Reading, user: str | None, payloads: Sequence[bytes]) -> None:
    """Raises ForeignArtifact when arguments (as JSON) of jobs of a user name an artifact that it may not read."""
    if not user:
        return
    texts = {text for payload in payloads if b"/" in payload for text in _texts(from_json(payload))}
    if texts:
        files = ArtifactStore()
        keys = {text: key for text in sorted(texts) if (key := files.key(text)) is not None}
        _check(where, user, keys)


def _check(where: Reading, user: str, keys: dict[str, str]) -> None:
    """Raises ForeignArtifact when one of the artifacts, URI → key, is none that a job of the user may read."""
    owners = {uri: key.partition("/")[0] for uri, key in keys.items() if not key.startswith(TAKEN_IN)}
    makers = sorted(set(owners.values()))
    pipe = where.redis.pipeline(transaction=False)
    for maker in makers:
        pipe.hget(where.key(f"j:{maker}"), "user")
    users = dict(zip(makers, pipe.execute(raise_on_error=False), strict=True))
    for uri, maker in owners.items():
        if users[maker] != user.encode():
            # The same whether there is such a file or not.
            raise ForeignArtifact(
                f"{uri[:500]} was made by no job of user {user!r}, so no job of that user may read it"
            )


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value that could be a URI, names of fields among them."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.keys()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str) and "/" in one and len(one) <= _LONGEST:
            yield one


def _check_read(uri: str, key: str) -> None:
    job = current_job()
    if job.is_unknown:
        raise PermanentError(f"a thread that knows no job cannot read {uri[:500]}: start it within its task")
    if job.store is not None and job.user_id:
        _check(job.store, job.user_id, {uri: key})


readable_by(_check_read)
