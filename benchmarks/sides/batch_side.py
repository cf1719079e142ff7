"""Batches: time and cost of an item in small and large ones, and an input of a million rows. One JSON line."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

from bench_tasks import PRICE, noop, paid

import ytray
from ytray import batches
from ytray.engine.state.connection import store
from ytray.engine.state.store import Store


def main(sizes: list[int], rows: int) -> None:
    """Measure everything."""
    ytray.connect()
    where = store()
    _run(where, 2000, 0)
    first = 2000
    found: dict[str, Any] = {"price": PRICE, "sizes": {}}
    for size in sizes:
        found["sizes"][str(size)] = _run(where, size, first)
        first += size
    found["input"] = _input(where, rows)
    ytray.shutdown()
    print(json.dumps(found))


def _run(where: Store, size: int, first: int) -> dict[str, float]:
    begun, used = time.perf_counter(), _used(where)
    batch = batches.submit(({"number": first + n} for n in range(size)), task=paid, concurrency=256)
    submitted = time.perf_counter()
    looks = []
    while True:
        look = time.perf_counter()
        status = batch.status()
        looks.append((time.perf_counter() - look) * 1000)
        if status.state.has_ended:
            break
        time.sleep(0.05)
    ended = time.perf_counter()
    assert status.counts.completed == size, status
    return {
        "submit_us": (submitted - begun) / size * 1e6,
        "item_us": (ended - submitted) / size * 1e6,
        "usd": status.cost_usd / size,
        "status_ms": sorted(looks)[len(looks) // 2],
        "bytes": (_used(where) - used) / size,
    }


def _input(where: Store, rows: int) -> dict[str, float]:
    """Reading, checking and putting aside so many rows: how fast, and what it takes here and in Redis."""

    def given() -> Iterator[dict[str, int]]:
        yield from ({"number": n} for n in range(rows))

    used, before = _used(where), _peak_mb()
    begun = time.perf_counter()
    prepared = batches.prepare(given(), task=noop)
    seconds = time.perf_counter() - begun
    assert prepared.prepared.accepted == rows
    found = {
        "rows": rows,
        "per_s": rows / seconds,
        "bytes": (_used(where) - used) / rows,
        "client_mb": _peak_mb() - before,
    }
    prepared.drop()
    return found


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _used(where: Store) -> int:
    info = where.redis.info("memory")
    assert isinstance(info, dict)
    return int(info["used_memory"])


if __name__ == "__main__":
    main([int(part) for part in sys.argv[1].split(",")], int(sys.argv[2]))
