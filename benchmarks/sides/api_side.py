"""ytray's HTTP API as `ytray up` serves it: status, submission, listings at two depths, and 500 event streams.

python api_side.py DEEP SSE_CLIENTS
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from typing import Any

import psutil
from bench_tasks import noop
from loading import best, request

import ytray
from ytray.api.environment import prepare_environment
from ytray.engine.state.connection import store
from ytray.engine.state.store import Submission

PORT = 8712
_CHUNK = 10_000  # jobs stored in one call
_JOBS_WATCHED = 100


class Watcher(asyncio.Protocol):
    """One client of the event stream: counts the transitions it is told of."""

    def __init__(self) -> None:
        self.seen = 0
        self.connected = asyncio.get_running_loop().create_future()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        """Count whole lines that name a transition."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.seen += sum(line == b"event: transition" for line in lines)
        if not self.connected.done() and any(line.startswith(b"retry:") for line in lines):
            self.connected.set_result(None)


def page_ms() -> float:
    """Milliseconds for a page of 100 jobs, median of 30, over one connection."""
    import httpx

    took = []
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}") as client:
        for _ in range(30):
            begun = time.perf_counter()
            assert len(client.get("/api/jobs", params={"limit": 100}).json()["jobs"]) == 100
            took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def fill_to(number: int) -> None:
    """Have so many jobs stored, waiting in a queue that is paused."""
    where = store()
    spec = b'{"code":"bench_tasks:noop","args":{"number":1}}'
    there = sum(ytray.job_tracker.counts().values())
    for start in range(there, number, _CHUNK):
        rows = [(f"{start + n:011x}{n:016x}", spec) for n in range(min(_CHUNK, number - start))]
        where.submit(rows, Submission("noop", "batch", "batch", 4))


async def watched(clients: int) -> dict[str, float]:
    """Many clients of one replica: how many events they were told of, and what it costs the replica."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Watcher, "127.0.0.1", PORT) for _ in range(clients)]
    watchers = [watcher for _, watcher in made]
    await asyncio.gather(*(watcher.connected for watcher in watchers))
    begun = time.perf_counter()
    wanted = 3 * _JOBS_WATCHED
    await asyncio.to_thread(noop.map, [{"number": n} for n in range(_JOBS_WATCHED)])
    while any(watcher.seen < wanted for watcher in watchers) and time.perf_counter() - begun < 60:
        await asyncio.sleep(0.05)
    spent = time.perf_counter() - begun
    replica = next(p for p in psutil.process_iter() if "ServeReplica:ytray" in " ".join(p.cmdline()[:1]))
    found = {
        "clients": clients,
        "events": wanted,
        "lost": sum(wanted - watcher.seen for watcher in watchers),
        "per_s": sum(watcher.seen for watcher in watchers) / spent,
        "memory_mb": replica.memory_info().rss / 1e6,
    }
    for transport, _ in made:
        transport.close()
    return found


def main(deep: int, clients: int) -> dict[str, Any]:
    """Measure everything."""
    os.environ["YTRAY_HTTP_PORT"] = str(PORT)
    os.environ["YTRAY_IMPORTS"] = "bench_tasks"
    prepare_environment()
    ytray.connect()
    from ytray.api import deployment

    deployment.start()
    job = noop.delay(1)
    job.get(timeout=60)
    status = best(PORT, request("GET", f"/api/jobs/{job.id}/status"))
    ytray.job_tracker.pause("media")
    submit = best(PORT, request("POST", "/api/jobs", {"task": "noop", "args": {"number": 1}, "queue": "media"}))
    events = asyncio.run(watched(clients))
    ytray.job_tracker.pause("batch")
    shallow_jobs = sum(ytray.job_tracker.counts().values())
    shallow = page_ms()
    fill_to(deep)
    found = {"status": status, "submit": submit, "events": events}
    found["listing"] = {"jobs": shallow_jobs, "ms": shallow, "deep_jobs": deep, "deep_ms": page_ms()}
    deployment.stop()
    ytray.shutdown()
    return found


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
