"""Killing the parts of a running system one after the other, under load, and measuring what each death costs."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil

from ytray import JobState
from ytray.client import Client
from ytray.engine.state.store import Store
from ytray.errors import SystemUnavailable
from ytray.supervision import standby
from ytray.supervision.report import read_report
from ytray.system import redis_server
from ytray.system.identity import Identity, identity
from ytray.system.parts import Part, read_parts
from ytray.system.running import supervisor_of

R = TypeVar("R")

_REPLACED_WITHIN = 3.0  # seconds
_PATIENCE = 240.0  # seconds until a death that nobody mends fails the test
# What a death may cost until the next job ends, in seconds: of Redis, of what takes the local Ray along, of the rest.
AT_MOST = {
    "redis": 20.0,
    **dict.fromkeys(("node", "gcs", "raylet", "dashboard_agent", "runtime_env_agent"), 60.0),
}
OF_THE_REST = 15.0


@dataclass(frozen=True)
class Healed:
    """What a death cost, in seconds from it: until a job that was submitted afterwards ended, and all parts were up."""

    part: str
    next_job: float
    whole: float

    def __str__(self) -> str:
        return f"{self.part:<22} next job after {self.next_job:5.1f} s, whole after {self.whole:5.1f} s"

    def is_in_time(self, times: float = 1) -> bool:
        """Whether the next job ended as soon as is promised, or within so many times as long."""
        return self.next_job <= times * AT_MOST.get(self.part, OF_THE_REST)


class Load:
    """Short jobs and videos that are submitted over HTTP while parts die; each with a key, until it is accepted."""

    def __init__(self, url: str, *, short: int, seconds: float, videos: bool) -> None:
        """`short` jobs, evenly over so many seconds; one video after the other."""
        self._url, self._short, self._pause = url, short, seconds / short
        self.jobs: list[str] = []
        self.videos: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._submit_short)]
        if videos:
            self._threads.append(threading.Thread(target=self._submit_videos))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more videos are begun; returns when all short jobs are accepted."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _submit_short(self) -> None:
        with Client(self._url, timeout=10, tries=1) as client:
            for number in range(self._short):
                self.jobs.append(_submit(client, "square", {"number": number}))
                self._over.wait(0 if self._over.is_set() else self._pause)

    def _submit_videos(self) -> None:
        with Client(self._url, timeout=10, tries=1) as client:
            while not self._over.is_set():
                job = _submit(client, "create_video", {"prompt": "Why do cats purr?", "duration": 5})
                self.videos.append(job)
                while not (_insist(partial(client.status, job)).current_state.has_ended or self._over.is_set()):
                    self._over.wait(0.5)


def completions(home: Path, jobs: Iterable[str], patience: float) -> dict[str, int]:
    """How often each job was completed, by its history, once all have ended."""
    where = Store(redis_server.url_of(home), "ytray", 60)
    try:
        deadline = time.monotonic() + patience
        found = {}
        for job in jobs:
            while not where.state(job).has_ended:
                assert time.monotonic() < deadline, f"{job} has not ended: {where.history(job)}"
                time.sleep(0.05)
            found[job] = sum(move.to_state is JobState.COMPLETED for move in where.history(job))
    finally:
        where.close()
    return found


def living(home: Path) -> dict[str, list[Identity]]:
    """The processes of every part."""
    report = read_report(home)
    assert report is not None
    found = {name: list(processes.found) for name, processes in report.parts.items()}
    found["node"] = [report.node]
    supervisor = supervisor_of(home)
    assert supervisor is not None
    found["supervisor"] = [supervisor]
    for child in psutil.Process(supervisor.pid).children():
        if standby.__file__ in child.cmdline() and (process := identity(child.pid)) is not None:
            found["standby"] = [process]
    if (process := redis_server.process(home)) is not None:
        found["redis"] = [process]
    return found


def seen(home: Path, name: str) -> Part | None:
    """A part as the supervisor sees it."""
    return next((part for part in read_parts(home) if part.name == name), None)


def are_whole(home: Path) -> bool:
    """Whether all parts are up."""
    parts = read_parts(home)
    return bool(parts) and all(part.state == "up" for part in parts)


def _lasting(home: Path, name: str) -> Identity:
    """A process of a part that is not being replaced: HAProxy is another with each configuration."""
    found, since = living(home)[name], time.monotonic()
    while time.monotonic() - since < (_REPLACED_WITHIN if name == "haproxy" else 0):
        time.sleep(0.05)
        if (again := living(home)[name]) != found:
            found, since = again, time.monotonic()
    return found[0]


def kill_and_measure(home: Path, name: str, url: str, meanwhile: Callable[[], object] = lambda: None) -> Healed:
    """Kill a part with signal 9, and wait until all is well again, with no hand laid on it.

    `meanwhile` is called as soon as its death was noticed.
    """
    before = seen(home, name)
    assert before is not None, f"there is no part {name}"
    victim = _lasting(home, name)
    assert victim.signal(signal.SIGKILL)
    died = time.monotonic()
    deadline = died + _PATIENCE

    def is_noticed() -> bool:
        now = seen(home, name)
        return now is not None and (now.state, now.last_end, now.restarts) != ("up", before.last_end, before.restarts)

    _until(is_noticed, deadline, f"nobody has noticed that {name} died")
    meanwhile()
    with Client(url, timeout=5, tries=1) as client:
        job = _submit(client, "square", {"number": 12}, deadline, priority=9)
        while _insist(partial(client.status, job), deadline).current_state is not JobState.COMPLETED:
            assert time.monotonic() < deadline, f"no job has ended since {name} died"
            time.sleep(0.02)
    next_job = time.monotonic() - died
    _until(lambda: are_whole(home), deadline, f"{name} has not come back")
    return Healed(name, next_job, time.monotonic() - died)


def _submit(
    client: Client, task: str, args: dict[str, Any], deadline: float = float("inf"), priority: int | None = None
) -> str:
    """Submit a job, once, however often it has to be tried."""
    key = uuid.uuid4().hex
    return _insist(partial(client.submit, task, args, priority=priority, idempotency_key=key), deadline)


def _insist(ask: Callable[[], R], deadline: float = float("inf")) -> R:
    """Ask again until there is an answer: the API may be away for a while."""
    while True:
        with suppress(SystemUnavailable):
            return ask()
        assert time.monotonic() < deadline, "the API does not come back"
        time.sleep(0.1)


def _until(condition: Callable[[], bool], deadline: float, otherwise: str) -> None:
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
