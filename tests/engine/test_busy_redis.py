"""A Redis that one script keeps busy for longer than it allows: it is waited for, and no end is lost or invented."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
import redis

from ytray import JobState
from ytray.engine.state.store import LaneRoom, Store, Submission
from ytray.errors import SystemUnavailable


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def busy(bare_store: Store, until: Callable[..., None], threads: ThreadPoolExecutor) -> Iterator[Callable[[], None]]:
    """`busy()` keeps the server busy until the test calls it again."""
    other = redis.Redis.from_url(bare_store.redis_url)
    other.config_set("lua-time-limit", 50)
    running: list[Future[object]] = []

    def run() -> None:
        with suppress(redis.ResponseError):  # killed
            redis.Redis.from_url(bare_store.redis_url).eval("while true do end", 0)

    def is_busy() -> bool:
        try:
            other.ping()
        except redis.ResponseError as refused:
            return "BUSY" in str(refused)
        return False

    def switch() -> None:
        if running:
            other.script_kill()
            running.pop().result(30)
        else:
            running.append(threads.submit(run))
            until(is_busy)

    yield switch
    if running:
        switch()


def test_a_finished_job_is_committed_when_the_script_is_over(
    bare_store: Store, busy: Callable[[], None], threads: ThreadPoolExecutor
) -> None:
    bare_store.take_office("tracker", "e", 60)
    bare_store.submit([("job", b"{}")], Submission("add", "default", "default", 4))
    ((claimed,),) = bare_store.claim("tracker", "e", 60_000, [LaneRoom("default", 0, 1)])
    (fence,) = bare_store.start("w", 60_000, 60, [(claimed.job_id, claimed.fence)])
    busy()
    committed = threads.submit(bare_store.complete, "w", 60, [("job", fence, b"2", 1.0)])
    states = threads.submit(bare_store.states, ["job"])
    threading.Event().wait(0.3)
    assert not committed.done()
    assert not states.done()
    busy()
    assert committed.result(30) == 0
    assert states.result(30)[0] in (JobState.EXECUTING, JobState.COMPLETED)
    assert bare_store.state("job") is JobState.COMPLETED


def test_who_does_not_wait_is_told_what_keeps_redis(bare_store: Store, busy: Callable[[], None]) -> None:
    hasty = Store(bare_store.redis_url, bare_store.namespace, patience=0)
    busy()
    with pytest.raises(SystemUnavailable, match="busy with one script for longer than it allows"):
        hasty.submit([("job", b"{}")], Submission("add", "default", "default", 4))
