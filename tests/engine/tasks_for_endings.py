"""Tasks that end in every way there is, for test_endings.py."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.engine.tasks_for_tests import note
from ytray import PermanentError, RetryLater, RetryPolicy, SoftTimeLimitExceeded, current_job, task


class Panic(BaseException):
    """What a library in another language raises when it breaks."""


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class Unpicklable(Exception):
    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right}")
        self.held = lambda: None

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


class Later(RetryLater):
    def __init__(self) -> None:
        """It knows no seconds."""


def breaks() -> Iterator[int]:
    yield 1
    raise RuntimeError("the generator broke")


def circular() -> list[Any]:
    held: list[Any] = []
    held.append(held)
    return held


def raising(error: BaseException) -> Any:
    raise error


WAYS: dict[str, Any] = {
    "panic": lambda: raising(Panic("index out of bounds")),
    "cancelled": lambda: raising(asyncio.CancelledError("mine")),
    "interrupt": lambda: raising(KeyboardInterrupt("my own")),
    "exit": lambda: sys.exit(0),
    "generator": lambda: raising(GeneratorExit("left")),
    "mute": lambda: raising(Mute("said before")),
    "surrogate": lambda: raising(ValueError("half \udce9 and zero \0")),
    "huge": lambda: raising(ValueError("x" * 50_000_000)),
    "unpicklable": lambda: raising(Unpicklable("this", "that")),
    "group": lambda: raising(ExceptionGroup("both", [ValueError("a"), PermanentError("for good")])),
    "later": lambda: raising(RetryLater("soon", float("nan"))),
    "later without": lambda: raising(Later()),
    "result breaks": breaks,
    "result circular": circular,
    "result surrogate": lambda: "\udce9",
}


@task(retry=RetryPolicy(delays=()))
def ends(folder: str, way: str) -> Any:
    note(folder, way)
    return WAYS[way]()


@task(retry=RetryPolicy(delays=(0.01,)))
def ends_for_good(folder: str, way: str) -> Any:
    note(folder, way)
    return WAYS[way]()


async def _tidied(folder: str, name: str) -> None:
    try:
        note(folder, f"{name}-started")
        await asyncio.sleep(60)
    finally:
        note(folder, f"{name}-tidied")


@task(retry=RetryPolicy(delays=()))
async def waits(folder: str, name: str) -> str:
    try:
        await asyncio.gather(_tidied(folder, name), asyncio.sleep(60))
    except SoftTimeLimitExceeded:
        await asyncio.sleep(0)
        note(folder, f"{name}-caught")
        raise
    return "waited"


@task(retry=RetryPolicy(delays=()))
async def holds_its_loop(folder: str, name: str) -> None:
    try:
        note(folder, f"{name}-started")
        await asyncio.sleep(0)
        time.sleep(60)
    finally:
        note(folder, f"{name}-tidied")


@task(retry=RetryPolicy(delays=()))
def runs_a_loop(folder: str, name: str) -> None:
    asyncio.run(_tidied(folder, name))


@task(retry=RetryPolicy(delays=()), soft_time_limit=1.0, time_limit=20)
def alarmed(folder: str) -> None:
    """Has an alarm of its own, as libraries do for theirs."""

    def on_alarm(*_: object) -> None:
        note(folder, "alarms")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        time.sleep(60)
    finally:
        note(folder, "tidied")


def sleep_long() -> None:
    time.sleep(600)


@task(retry=RetryPolicy(delays=()))
def parent_of_many(folder: str) -> None:
    pids = {}
    for method in ("fork", "spawn", "forkserver"):
        context: Any = multiprocessing.get_context(method)
        process = context.Process(target=sleep_long, daemon=True)
        process.start()
        pids[method] = process.pid
    pids["bare"] = subprocess.Popen(["sleep", "600"], env={}, start_new_session=True).pid
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            sleep_long()
        os._exit(0)
    pids["daemon"] = int(os.read(reading, 20))
    beside = Path(folder) / "pids.new"
    beside.write_text(" ".join(str(pid) for pid in pids.values()))
    beside.replace(Path(folder) / "pids")
    time.sleep(60)


@task(retry=RetryPolicy(delays=()))
def forks(folder: str, how: str) -> list[int]:
    """Returns in the parent and in the child, or raises in the child."""
    child = os.fork()
    if child == 0:
        note(folder, f"{how}-child")
        current_job().progress(40, f"the child {how}")
        try:
            current_job().checkpoint({"by": "the child"})
        except PermanentError:
            note(folder, f"{how}-refused")
        if how == "raises":
            raise ValueError("in the child")
        if how == "exits":
            sys.exit(7)
        return [0, 0]
    _, status = os.waitpid(child, 0)
    return [os.getpid(), os.waitstatus_to_exitcode(status)]


@task(retry=RetryPolicy(delays=()))
async def forks_in_a_loop() -> int:
    child = os.fork()
    if child:
        await asyncio.to_thread(os.waitpid, child, 0)
        await asyncio.sleep(0.05)
    return child
