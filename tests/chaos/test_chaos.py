"""2,000 jobs under random kills of everything: 0 lost, 0 committed twice, 0 stale writes accepted."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.killing import Chaos
from tests.chaos.tasks_for_chaos import failing_once, five_steps, short, sleeping
from ytray import Job, JobState
from ytray.engine.base.model import LEGAL_MOVES
from ytray.engine.state.connection import store
from ytray.engine.state.store import Store

SECONDS = float(os.environ.get("YTRAY_CHAOS_SECONDS", "180"))
SEED = int(os.environ.get("YTRAY_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
JOBS = 2000


@pytest.mark.chaos
def test_nothing_is_lost_and_nothing_is_done_twice(cluster: Any, home: Path) -> None:
    chance = random.Random(SEED)
    print(f"\nseed {SEED} (YTRAY_CHAOS_SEED={SEED} repeats it), {SECONDS:.0f} s of kills")
    system = store()
    accepted: list[Job[Any]] = []
    submitting = threading.Thread(target=_submit_over, args=(accepted, chance, SECONDS * 0.9))
    chaos = Chaos(cluster, home, random.Random(SEED + 1))
    submitting.start()
    chaos.run(SECONDS)
    submitting.join()
    quiet = time.monotonic()
    states = Counter(_end_of(job, quiet + 240) for job in accepted)
    told = _verdict(system, accepted)
    print(f"killed: {dict(chaos.killed)}")
    print(f"accepted {len(accepted)}, ended {dict(states)}, {time.monotonic() - quiet:.0f} s after the last kill")
    print(", ".join(f"{name} {value}" for name, value in told.items()))
    assert states == {"COMPLETED": len(accepted)}
    assert {name: value for name, value in told.items() if name != "stale writes refused"} == {
        "committed twice": 0,
        "stale writes accepted": 0,
        "illegal histories": 0,
        "listings wrong": 0,
    }
    assert sum(chaos.killed.values()) >= SECONDS / 6


def _submit_over(accepted: list[Job[Any]], chance: random.Random, seconds: float) -> None:
    """Submit all jobs, spread over so many seconds, whatever is being killed meanwhile."""
    begun = time.monotonic()
    while len(accepted) < JOBS:
        accepted += _some_jobs(chance, len(accepted))
        time.sleep(max(0.0, begun + seconds * len(accepted) / JOBS - time.monotonic()))


def _some_jobs(chance: random.Random, number: int) -> list[Job[Any]]:
    match chance.randrange(6):
        case 0:
            return list(short.map([{"number": number + n} for n in range(chance.randrange(1, 60))]))
        case 1:
            return [short.options(priority=chance.randrange(10)).delay(number)]
        case 2:
            return [sleeping.options(queue="batch").delay(number, chance.uniform(0.1, 1.0))]
        case 3:
            return [failing_once.delay(number)]
        case 4:
            return [short.options(delay=chance.uniform(0.1, 5)).delay(number)]
        case _:
            return [five_steps.delay(number)]


def _end_of(job: Job[Any], deadline: float) -> str:
    try:
        return str(store().wait_until_ended(job.id, max(0.1, deadline - time.monotonic())).state)
    except TimeoutError:
        status = job.status()
        print(f"lost: {status.task_name} {job.id} worker {store().fields(job.id, 'worker', 'lane')}")
        for move in job.history()[-6:]:
            print(f"    {move.at:%H:%M:%S} {move.from_state} {move.to_state} {move.metadata}")
        return f"LOST as {status.current_state}"


def _verdict(system: Store, accepted: list[Job[Any]]) -> dict[str, int]:
    twice = stale = illegal = listings = 0
    everything = [job.id for job in accepted]
    everything += [kid.job_id for job in accepted for kid in system.children(job.id)]
    for job_id in everything:
        history = system.history(job_id)
        status = system.status(job_id)
        twice += sum(t.to_state is JobState.COMPLETED for t in history) != 1
        illegal += not all(
            a.to_state is b.from_state and b.to_state in LEGAL_MOVES[b.from_state] for a, b in pairwise(history)
        )
        if isinstance(status.result, str):
            fence = int(status.result.split(":")[1])
            last = max(int(t.metadata["fence"]) for t in history if t.to_state is JobState.EXECUTING)
            stale += fence != last
        queue = status.queue
        listed = [s for s in JobState if system.redis.zscore(system.key(f"in:{queue}:{s}"), job_id) is not None]
        listings += listed != [status.current_state]
    refused = int(system.redis.hget(system.key("m"), "stale") or 0)
    return {
        "committed twice": twice,
        "stale writes accepted": stale,
        "illegal histories": illegal,
        "listings wrong": listings,
        "stale writes refused": refused,
    }
