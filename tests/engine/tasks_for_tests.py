"""Tasks that the tests submit. Effects are counted in files, whose folder the caller names."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import redis
from pydantic import BaseModel

import ytray
from ytray import PermanentError, RetryLater, RetryPolicy, circuit_breaker, current_job, flow, task


class Size(BaseModel):
    width: int
    height: int


def note(folder: str, name: str) -> int:
    """Count one effect; returns how often it has happened."""
    with (Path(folder) / name).open("a") as file:
        file.write("x")
        return file.tell()


def times(folder: Path, name: str) -> int:
    path = folder / name
    return path.stat().st_size if path.exists() else 0


@task()
def add(a: int, b: int = 1) -> int:
    return a + b


@task()
def titled(title: str) -> dict[str, dict[str, str]]:
    """Returns the title of a film as `create_video` does."""
    return {"script": {"title": title}}


@task()
def double_size(size: Size) -> Size:
    return Size(width=size.width * 2, height=size.height * 2)


@task()
def open_ended(first: int, **others: int) -> dict[str, int]:
    return {"first": first, **others}


@task()
async def add_slowly(a: int, b: int) -> int:
    await asyncio.sleep(0.01)
    return a + b


@task()
def huge(size: int) -> str:
    return "x" * size


@task()
def fail_until(folder: str, succeed_at: int) -> int:
    tries = note(folder, "tries")
    if tries < succeed_at:
        raise ValueError(f"try {tries} fails")
    return tries


@task(retry=RetryPolicy(delays=(60.0,), jitter=0.1))
def fail_slowly() -> None:
    raise ValueError("not yet")


@task()
def fail_for_good(folder: str) -> None:
    note(folder, "tries")
    raise PermanentError("this model does not exist")


@task(soft_time_limit=0.3, time_limit=20)
def tidy_sleeper(folder: str) -> str:
    try:
        time.sleep(30)
    finally:
        note(folder, "tidied")
    return "slept"


@task(soft_time_limit=0.5, time_limit=1.0, retry=RetryPolicy(delays=()))
def stubborn_sleeper(folder: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    (Path(folder) / "child").write_text(str(child.pid))
    while True:
        try:
            time.sleep(60)
        except BaseException:
            note(folder, "swallowed")


@task()
def parent_of_a_process(folder: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    beside = Path(folder) / "child.new"
    beside.write_text(str(child.pid))
    beside.replace(Path(folder) / "child")
    time.sleep(60)


@task()
def wait_for(folder: str, name: str) -> str:
    """Run until somebody makes the file."""
    note(folder, f"started-{name}")
    current_job().progress(50, f"waiting for {name}")
    while not (Path(folder) / name).exists():
        time.sleep(0.005)
    return name


@task()
def step_by_step(folder: str) -> list[str]:
    job = current_job()
    done: list[str] = job.restored() or []
    for step in ("one", "two", "three"):
        if step not in done:
            note(folder, step)
            done.append(step)
            job.checkpoint(done)
            job.progress(len(done) * 30, f"did {step}")
        if step == "two" and job.attempt == 1:
            raise ValueError("lost after two")
    return done


@task()
def put_off(folder: str) -> int:
    tries = note(folder, "tries")
    if tries < 5:
        raise RetryLater("the shop is closed", 0.02)
    return current_job().attempt


@task()
def use_dependency(folder: str, name: str) -> str:
    with circuit_breaker(name):
        note(folder, "calls")
        if not (Path(folder) / "healthy").exists():
            raise ConnectionError("the dependency is down")
    return "fine"


@task()
def wait_for_dependency(folder: str, dependency: str, name: str) -> None:
    try:
        with circuit_breaker(dependency):
            note(folder, f"{name}-calls")
            time.sleep(60)
    finally:
        note(folder, f"{name}-left")


@task()
def find_redis_away(folder: str) -> None:
    """For a moment the thread that watches over this job gets no answer from Redis."""
    store = current_job().store
    assert store is not None
    with patch.object(store, "blocking_pop", side_effect=redis.ConnectionError("nobody is there")) as pop:
        while not pop.called:
            time.sleep(0.01)
    note(folder, "away")
    try:
        time.sleep(30)
    finally:
        note(folder, "left")


@task()
def whoami() -> tuple[int, str, int]:
    return os.getpid(), current_job().id, current_job().fence


@task()
def counted(folder: str, name: str, value: int) -> int:
    note(folder, name)
    return value


@task(retry=RetryPolicy(delays=()))
def counted_unless_broken(folder: str, name: str) -> str:
    note(folder, name)
    if (Path(folder) / f"{name}-is-broken").exists():
        raise ValueError(f"{name} is broken")
    return name


@flow()
async def sum_of_squares(folder: str, numbers: list[int]) -> int:
    note(folder, "flow")
    squares = await asyncio.gather(*(counted.delay(folder, f"square-{n}", n * n) for n in numbers))
    return sum(squares)


@flow()
async def two_then_gate(folder: str) -> str:
    note(folder, "flow")
    first = await counted.delay(folder, "first", 1)
    second = await counted.delay(folder, "second", 2)
    gate = await wait_for.delay(folder, "gate")
    last = await counted.delay(folder, "last", 3)
    return f"{first}{second}{gate}{last}"


@flow()
async def may_break(folder: str) -> str:
    first = await counted_unless_broken.delay(folder, "before")
    second = await counted_unless_broken.options(priority=7).delay(folder, "breaking")
    return first + second


class Panic(BaseException):
    pass


@flow(retry=RetryPolicy(delays=()))
async def ends_badly(kind: str) -> None:
    async def leaves() -> None:
        sys.exit("no input")

    if kind == "exit":
        sys.exit("no input")
    if kind == "exit in a branch":
        await asyncio.gather(leaves(), asyncio.sleep(60))
    if kind == "exit of a task that nobody awaits":
        left = asyncio.create_task(leaves())
        await asyncio.sleep(60)
        await left
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "panic":
        raise Panic("boom")
    if kind == "own cancelled task":
        waiting = asyncio.ensure_future(asyncio.sleep(60))
        await asyncio.sleep(0)
        waiting.cancel()
        await waiting
    raise ValueError("cannot read " + os.fsdecode(b"caf\xe9.mp4"))


@flow(retry=RetryPolicy(delays=()))
async def gets_instead_of_awaiting(kind: str, folder: str) -> Any:
    job = counted.delay(folder, "step", 1)
    if kind == "get":
        return job.get()
    if kind == "get all":
        return ytray.get([job])
    if kind == "as completed":
        return list(ytray.as_completed([job]))
    return await asyncio.to_thread(job.get)


@flow(retry=RetryPolicy(delays=(0.0,)))
async def stamps(folder: str) -> list[int]:
    """Two steps whose arguments differ from run to run."""
    first = await counted.delay(folder, "stamp", time.time_ns())
    second = counted.map([{"folder": folder, "name": "stamp", "value": time.time_ns()}])
    note(folder, "runs")
    if current_job().attempt == 1:
        (Path(folder) / "first").write_text(f"{first} {await second[0]}")
        raise ValueError("once more")
    return [first, await second[0]]


@flow(retry=RetryPolicy(delays=()))
async def awaits_later(folder: str) -> int:
    return await counted.options(delay=600).delay(folder, "late", 1)
