"""ytray's own figures: one JSON line."""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any, cast

import psutil
import ray
from bench_tasks import noop, short_sleep

import ytray
from ytray import Job, job_tracker
from ytray.engine.control.actors import find_actor
from ytray.engine.state.connection import store
from ytray.engine.state.store import LaneRoom, Store, Submission


def main(jobs: int, depths: list[int]) -> None:
    """Measure everything."""
    ytray.connect()
    where = store()
    for _ in range(2):
        noop.map([{"number": n} for n in range(jobs)])
        _until_completed(where)
    found: dict[str, Any] = {
        "idle_median_ms": _idle(200),
        **_bulks(where, jobs),
    }
    singles = [_singles(jobs) for _ in range(3)]
    found["send_per_s"] = max(send for send, _ in singles)
    found["single_per_s"] = max(whole for _, whole in singles)
    found |= _starts(where, 10_000)
    found["depths"] = {str(depth): _depth(where, depth) for depth in depths}
    ytray.shutdown()
    print(json.dumps(found))


def _completed(where: Store) -> int:
    return where.redis.zcard(where.key("in:default:COMPLETED"))


def _until_completed(where: Store, number: int | None = None) -> None:
    wanted = where.redis.zcard(where.key("task:noop")) if number is None else number
    while _completed(where) < wanted:
        time.sleep(0.002)


def _bulk(where: Store, jobs: int) -> float:
    before = _completed(where)
    begun = time.perf_counter()
    noop.map([{"number": n} for n in range(jobs)])
    _until_completed(where, before + jobs)
    return jobs / (time.perf_counter() - begun)


def _in_hand(jobs: int) -> float:
    begun = time.perf_counter()
    results = ytray.get(noop.map([{"number": n} for n in range(jobs)]))
    took = time.perf_counter() - begun
    assert results == list(range(jobs))
    return jobs / took


def _bulks(where: Store, jobs: int) -> dict[str, float]:
    """Both measures, in turn, so that a machine that others use as well slows both down."""
    found = [(_bulk(where, jobs), _in_hand(jobs)) for _ in range(3)]
    return {"done_per_s": max(done for done, _ in found), "bulk_per_s": max(in_hand for _, in_hand in found)}


def _singles(jobs: int) -> tuple[float, float]:
    begun = time.perf_counter()
    sent = [noop.delay(number=n) for n in range(jobs)]
    submitted = time.perf_counter()
    assert ytray.get(sent) == list(range(jobs))
    return jobs / (submitted - begun), jobs / (time.perf_counter() - begun)


def _idle(times: int) -> float:
    took = []
    for n in range(times):
        begun = time.perf_counter()
        noop.delay(number=n).get(timeout=30)
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1000


def _starts(where: Store, waiting: int) -> dict[str, float]:
    """Milliseconds from the submission of a generation job to the start of its function."""

    def sample(times: int) -> list[float]:
        took = []
        for _ in range(times):
            begun = time.time()
            job: Job[float] = started_at.delay()
            took.append((job.get(timeout=60) - begun) * 1000)
            time.sleep(0.005)
        return sorted(took)

    from bench_tasks import started_at

    sample(100)
    idle = sample(300)
    batch = short_sleep.map([{"seconds": 0.02} for _ in range(waiting)])
    while batch[0].status().current_state.value != "COMPLETED":
        time.sleep(0.01)
    sample(20)
    busy = sample(300)
    left = where.redis.zcard(where.key("ready:batch"))
    assert left > 0, "the batch was over before the measure was"
    job_tracker.pause("batch")
    where.redis.delete(where.key("ready:batch"))
    job_tracker.resume("batch")
    return {
        "start_idle_p50_ms": statistics.median(idle),
        "start_idle_p99_ms": idle[int(len(idle) * 0.99)],
        "start_busy_p50_ms": statistics.median(busy),
        "start_busy_p99_ms": busy[int(len(busy) * 0.99)],
    }


def _depth(where: Store, depth: int) -> dict[str, float]:
    """Memory of so many waiting jobs, and what a claim and a listing take at that depth."""
    job_tracker.pause("media")
    deep = Store(where.redis_url, "deep")
    _clear(deep)
    before = _used(where)
    what = Submission("noop", "media", "media", 4)
    spec = where.redis.hget(where.key("j:" + _any_job(where)), "spec")
    assert isinstance(spec, bytes)
    for start in range(0, depth, 5000):
        rows = [(f"{start + n:011x}{n:016x}", spec) for n in range(min(5000, depth - start))]
        deep.submit(rows, what)
    used = _used(where) - before
    deep.take_office("tracker", "bench", 60)
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        deep.claim("tracker", "bench", 60_000, [LaneRoom("media", 64, 64)])
        took.append((time.perf_counter() - begun) * 1000)
    begun = time.perf_counter()
    for _ in range(5):
        deep.list_jobs(limit=100)
    listing = (time.perf_counter() - begun) * 1000 / 5
    pid = ray.get(find_actor("JobTracker").report.remote())["pid"]
    resident = psutil.Process(pid).memory_info().rss / 1e6
    _clear(deep)
    return {
        "bytes_a_job": used / depth,
        "claim_ms": statistics.median(took),
        "list_ms": listing,
        "tracker_mb": resident,
    }


def _any_job(where: Store) -> str:
    first = cast("list[bytes]", where.redis.zrange(where.key("task:noop"), 0, 0))
    return first[0].decode()


def _used(where: Store) -> int:
    info = where.redis.info("memory")
    assert isinstance(info, dict)
    return int(info["used_memory"])


def _clear(deep: Store) -> None:
    keys: list[bytes] = []
    for key in deep.redis.scan_iter(match=deep.key("*"), count=5000):
        keys.append(key)
        if len(keys) == 5000:
            deep.redis.unlink(*keys)
            keys = []
    if keys:
        deep.redis.unlink(*keys)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(part) for part in sys.argv[2].split(",")])
