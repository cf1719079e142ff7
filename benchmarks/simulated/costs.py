"""What a job costs in each part, in microseconds of one core, and in bytes: `python -m benchmarks.simulated.costs`.

The scripts are timed by Redis's own account of its process, with calls as workers make them (one job each) unless told
otherwise; what a client, the tracker or Ray's driver spends is that process's own time. One JSON line.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import selectors
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import ray

from benchmarks.simulated.running import System, cpu_seconds, submit, system
from benchmarks.simulated.work import simulated_item
from ytray.engine.state.store import Claimed, LaneRoom, Store
from ytray.system.redis_server import socket_path

_WATCHED = 2000  # connections that wait as the watch of a running job does


def main(jobs: int) -> None:
    """Measure everything."""
    found: dict[str, Any] = {}
    with system(1, {"default": 1}) as running:
        running.stop_tracker()
        found["scripts"] = _scripts(running, jobs)
        found["submission"] = _submission(running, jobs)
        found["watch"] = _watch(running)
    found["launch"] = _launch(jobs)
    print(json.dumps(found))


def _redis_us(running: System, jobs: int, work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Microseconds that Redis and this process spend on each of so many jobs, and what the work returned."""
    pid = running.redis_pid()
    before, own = cpu_seconds(pid), time.process_time()
    result = work()
    return (cpu_seconds(pid) - before) / jobs * 1e6, (time.process_time() - own) / jobs * 1e6, result


def _scripts(running: System, jobs: int) -> dict[str, dict[str, float]]:
    store = running.store
    memory = _memory(store)
    found: dict[str, dict[str, float]] = {}

    def note(what: str, us: tuple[float, float, Any]) -> Any:
        found[what] = {"redis_us": us[0], "client_us": us[1]}
        return us[2]

    note("submit, 5,000 in a call", _redis_us(running, jobs, lambda: submit(store, "default", [1.0] * jobs)))
    found["memory"] = {"waiting_bytes": (_memory(store) - memory) / jobs}
    store.take_office("tracker", "costs", 3600)

    def claim() -> list[Claimed]:
        claimed: list[Claimed] = []
        while some := store.claim("tracker", "costs", 600_000, [LaneRoom("default", 64, 64)])[0]:
            claimed += some
        return claimed

    claimed = note("claim, 64 in a call", _redis_us(running, jobs, claim))
    fences = [(job.job_id, job.fence) for job in claimed]

    def start() -> None:
        for place, fence in enumerate(fences):
            store.start(f"worker{place % 1000}", 600_000, 3600, [fence])

    note("start", _redis_us(running, jobs, start))

    def beat() -> None:
        for place, fence in enumerate(fences):
            store.beat("tracker", f"worker{place % 1000}", 600_000, [fence])

    note("beat, each ten seconds of a job", _redis_us(running, jobs, beat))

    def complete() -> None:
        for place, (job_id, fence) in enumerate(fences):
            store.complete(f"worker{place % 1000}", 3600, [(job_id, fence, b'{"value": 1}', 1000.0)])

    note("complete", _redis_us(running, jobs, complete))
    found["memory"]["done_bytes"] = (_memory(store) - memory) / jobs
    history = sum(int(store.redis.memory_usage(store.key(f"h:{job_id}")) or 0) for job_id, _ in fences[:500]) / 500
    result = sum(int(store.redis.memory_usage(store.key(f"r:{job_id}")) or 0) for job_id, _ in fences[:500]) / 500
    found["memory"] |= {"history_bytes": history, "result_bytes": result}
    events = store.redis.xlen(store.key("events"))

    def append() -> None:
        pipe = store.redis.pipeline(transaction=False)
        for _ in range(jobs):
            pipe.xadd(store.key("events"), {"e": f"T QUEUED EXECUTING 1795529027091 {fences[0][0]}"}, maxlen=20000)
        pipe.execute()

    note("an entry of the event stream", _redis_us(running, jobs, append))
    found["memory"]["events"] = float(events)

    def push() -> None:
        pipe = store.redis.pipeline(transaction=False)
        for job_id, _ in fences:
            pipe.rpush(store.key(f"h:{job_id}"), 'QUEUED EXECUTING 1795529027091 {"fence":1}')
        pipe.execute()

    note("an entry of a history", _redis_us(running, jobs, push))
    return found


def _submission(running: System, jobs: int) -> dict[str, dict[str, float]]:
    def single() -> None:
        for number in range(jobs):
            simulated_item.delay(seconds=1.0, number=number)

    def bulk() -> None:
        simulated_item.map([{"seconds": 1.0, "number": number} for number in range(jobs)])

    found = {}
    for what, work in ((".delay", single), (".map", bulk)):
        begun = time.perf_counter()
        redis, client, _ = _redis_us(running, jobs, work)
        found[what] = {"redis_us": redis, "client_us": client, "per_s": jobs / (time.perf_counter() - begun)}
    return found


def _watch(running: System) -> dict[str, float]:
    """What the connection costs on which a running job waits for orders: a blocking read, again every second."""
    pid, store = running.redis_pid(), running.store
    memory, before = _memory(store), cpu_seconds(pid)
    sockets = []
    watching = selectors.DefaultSelector()
    for number in range(_WATCHED):
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(socket_path(running.home)))
        key = store.key(f"ctl:worker{number}").encode()
        ask = b"*3\r\n$5\r\nBLPOP\r\n$%d\r\n%s\r\n$1\r\n1\r\n" % (len(key), key)
        one.send(ask)
        watching.register(one, selectors.EVENT_READ, ask)
        sockets.append(one)
    connected = (_memory(store) - memory) / _WATCHED
    before, begun, asked = cpu_seconds(pid), time.monotonic(), 0
    while time.monotonic() - begun < 6:
        for key_, _ in watching.select(0.1):
            waiting = key_.fileobj
            assert isinstance(waiting, socket.socket)
            waiting.recv(100)
            waiting.send(key_.data)
            asked += 1
    spent = cpu_seconds(pid) - before
    for one in sockets:
        one.close()
    return {"redis_us_a_look": spent / max(1, asked) * 1e6, "bytes_a_connection": connected}


def _launch(tasks: int) -> dict[str, float]:
    """What a launch by Ray costs its owner: the tracker's own process, with Ray's threads in it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        logging_level=logging.ERROR,
        resources={"queue_default": 2},
    )
    jobs = [Claimed("0" * 27, 1, "task", b'{"code":"m:f","args":{"number":1}}', 0, "", "default", 0, 0)]
    run = ray.remote(num_cpus=0, resources={"queue_default": 1}, max_retries=2)(_nothing)
    setup = b"0" * 2000
    ray.get([run.remote(setup, jobs) for _ in range(200)])
    before, begun = cpu_seconds(os.getpid()), time.perf_counter()
    ray.get([run.remote(setup, jobs) for _ in range(tasks)])
    seconds = time.perf_counter() - begun
    spent = cpu_seconds(os.getpid()) - before
    ray.shutdown()
    return {"owner_us": spent / tasks * 1e6, "per_s": tasks / seconds}


def _nothing(setup: bytes, jobs: list[Claimed]) -> tuple[int, float]:
    return len(setup) + len(jobs), 0.0


def _memory(store: Store) -> int:
    info = store.redis.info("memory")
    assert isinstance(info, dict)
    return int(info["used_memory"])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
