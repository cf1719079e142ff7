"""Runs a lease of jobs that print and log in one worker, without Ray, and tells what is in their logs as JSON."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.config
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ytray import current_job, task
from ytray.engine.run.setup import pack_setup, unpack_setup
from ytray.engine.run.worker import Worker
from ytray.engine.state.joblog import read_log
from ytray.engine.state.store import LaneRoom, Store
from ytray.settings import settings

_shared = ThreadPoolExecutor(1)
_orders: queue.Queue[Callable[[], None]] = queue.Queue()
_answers: queue.Queue[str] = queue.Queue()
_go_on = threading.Event()
_left_behind: list[threading.Thread] = []


def _obey() -> None:
    while True:
        order = _orders.get()
        try:
            order()
            _answers.put("nothing")
        except Exception as error:
            _answers.put(type(error).__name__)


threading.Thread(target=_obey, name="from-before", daemon=True).start()


@task(name="printing.whole")
def whole(text: str, end: str) -> None:
    """Print a line, or the beginning of one, by each of the ways there are."""
    print(text, end=end)
    print(f"{text}-error", file=sys.stderr, end=end)
    sys.stdout.buffer.write(f"{text}-bytes{end}".encode())


@task(name="printing.bar")
def bar(times: int) -> float:
    """Update a progress bar; returns the seconds it took."""
    started = time.perf_counter()
    for place in range(times):
        print(f"\r{place + 1} of {times}", end="")
    return time.perf_counter() - started


@task(name="printing.endless")
def endless() -> None:
    """Print a line without an end."""
    for _ in range(20_000):
        print("x" * 100, end="")


@task(name="printing.threads")
def threads() -> str:
    """Report from threads of each kind; returns what one that nobody told of the job answers."""

    def report(place: int) -> None:
        print(f"from {place}")
        logging.getLogger("a.module").warning("logged by %s", place)
        current_job().checkpoint({"place": place})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(report, range(2)))
    list(_shared.map(report, [2]))
    thread = threading.Thread(target=report, args=(3,))
    thread.start()
    thread.join()
    asyncio.run(asyncio.to_thread(report, 4))
    _orders.put(lambda: current_job().progress(50))
    return _answers.get(timeout=60)


@task(name="printing.leaves")
def leaves() -> None:
    """Leave a thread behind that prints during the next job."""

    def later() -> None:
        _go_on.wait(60)
        print("from the thread of another job")

    thread = threading.Thread(target=later)
    thread.start()
    _left_behind.append(thread)


@task(name="printing.meets")
def meets() -> None:
    """Wait until the thread of the job before has printed."""
    _go_on.set()
    for thread in _left_behind:
        thread.join(60)
    print("my own")


@task(name="printing.configures")
def configures() -> None:
    """Set up logging anew, in ways that take other handlers away."""
    log = logging.getLogger("configured")
    logging.basicConfig(force=True, level="INFO")
    log.warning("after basicConfig")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True, "root": {"level": "INFO"}})
    log.warning("by a silenced logger")
    logging.getLogger("made.later").warning("after dictConfig")


_BY_FILE = """
[loggers]
keys=root
[handlers]
keys=
[formatters]
keys=
[logger_root]
level=ERROR
handlers=
"""


@task(name="printing.reads")
def reads(sets_up: bool) -> None:
    """Log, after logging was set up by a file as the documentation of many libraries has it."""
    log = logging.getLogger("read")
    if sets_up:
        logging.config.fileConfig(io.StringIO(_BY_FILE))
    log.error("by a silenced logger")
    logging.getLogger("made.later.too").warning("a warning")
    logging.getLogger("made.later.too").error("an error")


@task(name="printing.disables")
def disables() -> None:
    """Turn off all logging."""
    logging.disable(logging.CRITICAL)
    logging.getLogger("configured").critical("nobody hears this")


def _run_all(where: Store, worker: Worker) -> None:
    # On a busy machine a lease is not done in a second, and its later jobs go back to the queue.
    while claimed := where.claim("tracker", "e", 60_000, [LaneRoom("default", 0, 100)])[0]:
        worker.run(claimed)


def main(url: str) -> None:
    """Run the jobs on the Redis of that URL."""
    output = sys.stdout
    where = unpack_setup(pack_setup(url, settings()))
    worker = Worker(where)
    where.take_office("tracker", "e", 60)
    jobs = {f"whole {place}": whole.delay(f"word-{place}", end="" if place % 2 else "\n").id for place in range(6)}
    jobs["leaves"] = leaves.options(priority=3).delay().id
    jobs["meets"] = meets.options(priority=2).delay().id
    for job in (bar.delay(5_000), bar.delay(40_000), endless.delay(), threads.delay(), configures.delay()):
        jobs[f"{job.status().task_name.partition('.')[2]} {len(jobs)}"] = job.id
    for name, submitted in (
        ("reads", reads.options(priority=2).delay(sets_up=True)),
        ("disables", disables.options(priority=1).delay()),
        ("after", reads.options(priority=0).delay(sets_up=False)),
    ):
        jobs[name] = submitted.id
    _run_all(where, worker)
    last = whole.delay("last", end="\n").id
    _run_all(where, worker)
    deadline = time.monotonic() + 60
    while not read_log(where, last)[0] and time.monotonic() < deadline:  # lines are kept in their order
        where.secure()
    told = {
        name: {
            "log": [line.message for line in read_log(where, job_id)[0]],
            "state": where.status(job_id).current_state,
            "result": where.status(job_id).result,
        }
        for name, job_id in jobs.items()
    }
    output.write(f"\n{json.dumps(told)}\n")
    output.flush()
    os._exit(0)
