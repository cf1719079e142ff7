"""How the jobs of one user stand: counted when somebody asks, of the newest of them, and kept for a moment."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from ytray.engine.base.model import JobState
from ytray.engine.state.reading import Reading
from ytray.engine.state.records import read_state

_MOST = 20_000  # jobs that are counted, the newest
_PAGE = 1_000
_KEPT = 2.0  # seconds: pages that show it ask each second
_MOST_KEPT = 1_000  # users

_known: dict[tuple[int, str], tuple[float, OwnJobs]] = {}


@dataclass(frozen=True, slots=True)
class OwnJobs:
    """Jobs of a user by queue and state; flows stand in no queue. `oldest_ms`: since when the first waits, by queue."""

    jobs: Counter[tuple[str, JobState]] = field(default_factory=Counter)
    flows: Counter[JobState] = field(default_factory=Counter)
    oldest_ms: dict[str, int] = field(default_factory=dict)

    def counted(self) -> dict[JobState, int]:
        """How many are in each state."""
        states = Counter(self.flows)
        for (_, state), number in self.jobs.items():
            states[state] += number
        return {state: states[state] for state in JobState}


def own_jobs(where: Reading, user: str) -> OwnJobs:
    """How the newest 20,000 jobs of a user stand, as of the last two seconds."""
    now = time.monotonic()
    found = _known.get((id(where), user))
    if found is None or now - found[0] > _KEPT:
        if len(_known) > _MOST_KEPT:
            _known.clear()
        found = _known[id(where), user] = (now, _counted(where, user))
    return found[1]


def _counted(where: Reading, user: str) -> OwnJobs:
    found = OwnJobs()
    for start in range(0, _MOST, _PAGE):
        ids = cast("list[bytes]", where.redis.zrevrange(where.key(f"user:{user}"), start, start + _PAGE - 1))
        pipe = where.redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(where.key(f"j:{job_id.decode(errors='replace')}"), ["state", "queue", "lane", "queued"])
        for stored in pipe.execute(raise_on_error=False):
            if isinstance(stored, list) and stored[0] is not None:
                _count(found, *stored)
        if len(ids) < _PAGE:
            break
    return found


def _count(found: OwnJobs, state: bytes, queue: bytes | None, lane: bytes | None, queued: Any) -> None:
    now, name = read_state(state), (queue or b"").decode(errors="replace")
    if lane is not None:
        found.flows[now] += 1
        return
    found.jobs[name, now] += 1
    if now is JobState.QUEUED and queued is not None and queued.isdigit():
        found.oldest_ms[name] = min(found.oldest_ms.get(name, int(queued)), int(queued))
