"""Waiting for ends: many waits over one connection, deadlines that hold, many results at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ytray
from tests.engine.tasks_for_tests import Size, add, double_size, fail_for_good, wait_for
from ytray import Job, JobCancelled, JobFailed, JobState, UnknownJob
from ytray.engine.jobs.job import new_job_ids
from ytray.engine.state.store import Store
from ytray.system import redis_server

Until = Callable[..., None]


def waiting_threads() -> int:
    return sum(thread.name == "ytray-waiting" for thread in threading.enumerate())


def connections(where: Store) -> int:
    info = where.redis.info("clients")
    assert isinstance(info, dict)
    return int(info["connected_clients"])


def home_of(where: Store) -> Path:
    """The home of its embedded Redis."""
    return Path(where.redis_url.removeprefix("unix://")).parent.parent


def track(where: Store, *ids: str) -> None:
    for job_id in ids:
        where.track(job_id, JobState.QUEUED, b"{}", 60, ("elsewhere", "default", 4, "", b"{}"))
        where.track(job_id, JobState.EXECUTING, b"{}", 60)


def finish(where: Store, job_id: str) -> None:
    where.track(job_id, JobState.COMPLETED, b"{}", 60)


@pytest.fixture
def store(bare_store: Store) -> Iterator[Store]:
    """A store of a job `j` that runs; nobody waits at its end."""
    before = waiting_threads()
    track(bare_store, "j")
    yield bare_store
    bare_store.close()
    assert waiting_threads() == before


@pytest.fixture
def waiting(store: Store, until: Until, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`waiting(timeout)` waits for `j` in a thread, and returns a future once Redis is to tell of it.

    The look at everything now and then, should a message have been lost, comes too late for any of these tests.
    """
    monkeypatch.setattr("ytray.engine.state.waiting._LOOK_EVERY", 600.0)
    with ThreadPoolExecutor() as threads:

        def begin(timeout: float | None = 90.0) -> Any:
            future = threads.submit(store.wait_until_ended, "j", timeout)
            until(lambda: store.redis.pubsub_numsub(store.key("ended:j"))[0][1] == 1)
            return future

        yield begin


def test_two_hundred_threads_wait_over_one_connection_and_all_get_their_timeout(system: Store, tmp_path: Path) -> None:
    job = wait_for.delay(str(tmp_path), "gate")
    job_state = job.status().current_state
    before = connections(system)
    seen: list[float] = []
    most: list[int] = []

    def wait() -> None:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=f"job {job.id} is (QUEUED|EXECUTING)"):
            job.get(timeout=1)
        seen.append(time.monotonic() - begun)

    threads = [threading.Thread(target=wait) for _ in range(200)]
    for thread in threads:
        thread.start()
    most.append(connections(system))
    for thread in threads:
        thread.join()
    assert not job_state.has_ended
    assert len(seen) == 200
    assert max(seen) < 15
    assert most[0] <= before + 5
    (tmp_path / "gate").touch()
    job.get(timeout=30)


def test_a_wait_ends_when_its_connection_was_cut_before_the_end(store: Store, waiting: Callable[..., Any]) -> None:
    future = waiting()
    store.redis.client_kill_filter(_type="pubsub")
    finish(store, "j")
    assert future.result(timeout=60).state is JobState.COMPLETED


def test_a_wait_outlasts_a_restart_of_redis(store: Store, waiting: Callable[..., Any]) -> None:
    future = waiting()
    home = home_of(store)
    redis_server.stop(home)
    assert not redis_server.is_running(home)
    redis_server.ensure(home)
    finish(store, "j")
    assert future.result(timeout=60).state is JobState.COMPLETED


def test_a_timeout_holds_while_redis_is_away(store: Store, waiting: Callable[..., Any]) -> None:
    waiting(0.01).exception()
    redis_server.stop(home_of(store))
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"job j has not ended after 0\.6 s"):
        store.wait_until_ended("j", 0.6)
    assert 0.6 <= time.monotonic() - begun < 4.5  # less than a connection is given up after


def test_who_does_not_wait_gets_what_is_there(store: Store) -> None:
    with pytest.raises(TimeoutError, match="job j is EXECUTING after 0 s"):
        store.wait_until_ended("j", 0)
    finish(store, "j")
    assert store.wait_until_ended("j", 0).state is JobState.COMPLETED
    assert store.wait_until_ended("nothing-here", 0).state is None


def test_a_store_that_is_closed_ends_its_waits_and_can_be_used_again(store: Store, waiting: Callable[..., Any]) -> None:
    future = waiting()
    store.close()
    with pytest.raises(ytray.SystemUnavailable, match="shut down"):
        future.result(timeout=60)
    finish(store, "j")
    assert store.wait_until_ended("j", 60).state is JobState.COMPLETED


class Rung(Exception):
    """What a signal's handler raises."""


def test_a_wait_that_a_signal_breaks_off_leaves_the_others_as_they_are(
    store: Store, waiting: Callable[..., Any], until: Until
) -> None:
    def ring(_: int, __: FrameType | None) -> None:
        raise Rung

    future = waiting()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Rung):
            store.wait_until_ended("j", 20)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    finish(store, "j")
    assert future.result(timeout=60).state is JobState.COMPLETED


def test_a_forked_child_waits_by_itself(store: Store, waiting: Callable[..., Any]) -> None:
    future = waiting()
    track(store, "of the child")
    child = os.fork()
    if not child:
        try:
            with pytest.raises(TimeoutError):
                store.wait_until_ended("of the child", 0.1)
            finish(store, "of the child")
            os._exit(0 if store.wait_until_ended("of the child", 60).state is JobState.COMPLETED else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert not future.done()
    finish(store, "j")
    assert future.result(timeout=60).state is JobState.COMPLETED


def test_ends_of_ten_thousand_jobs_are_heard_of_with_few_questions(store: Store) -> None:
    ids = new_job_ids(10_000)
    pipe = store.redis.pipeline(transaction=False)
    for job_id in ids:
        pipe.hset(store.key(f"j:{job_id}"), "state", "COMPLETED")
        pipe.set(store.key(f"r:{job_id}"), job_id)
    pipe.execute()
    before = _calls(store)
    endings = list(store.endings([*ids, *ids[:100]], 60))
    assert {ending.job_id for ending in endings} == set(ids)
    assert all(ending.result == ending.job_id.encode() for ending in endings)
    asked = {name: number - before.get(name, 0) for name, number in _calls(store).items()}
    assert asked["subscribe"] == 1
    assert asked["get"] == 10_000  # together: each is sent in a packet with hundreds of others


def _calls(where: Store) -> dict[str, int]:
    info = where.redis.info("commandstats")
    assert isinstance(info, dict)
    return {name.removeprefix("cmdstat_"): told["calls"] for name, told in info.items()}


# ---------------------------------------------------------------------------------------------- many at once


def test_results_come_in_the_order_of_their_jobs(system: Store) -> None:
    jobs = add.map([{"a": number} for number in range(300)])
    assert ytray.get(jobs, timeout=60) == list(range(1, 301))
    assert ytray.get(iter([jobs[2], jobs[0], jobs[2]]), timeout=60) == [3, 1, 3]
    assert ytray.get([]) == []
    sizes = ytray.get([double_size.delay(Size(width=1, height=2))], timeout=30)
    assert sizes == [Size(width=2, height=4)]


def test_the_first_job_that_fails_ends_the_wait_and_the_others_go_on(system: Store, tmp_path: Path) -> None:
    held = wait_for.delay(str(tmp_path), "gate")
    failing = fail_for_good.delay(str(tmp_path))
    with pytest.raises(JobFailed, match=failing.id):
        ytray.get([held, failing], timeout=30)
    with pytest.raises(TimeoutError, match=r"1 of 2 jobs have not ended after 0\.5 s"):
        list(ytray.as_completed([held, failing], timeout=0.5))
    held.cancel()
    with pytest.raises(JobCancelled, match=held.id):
        ytray.get([held], timeout=60)
    with pytest.raises(UnknownJob, match="nothing-here"):
        ytray.get([Job[int]("nothing-here")], timeout=60)


def test_jobs_come_as_they_end_with_what_came_of_them(system: Store, tmp_path: Path) -> None:
    held, quick, failing = wait_for.delay(str(tmp_path), "gate"), add.delay(1), fail_for_good.delay(str(tmp_path))
    ended = ytray.as_completed([held, quick, failing, quick], timeout=30)
    first = {next(ended).id, next(ended).id}
    assert first == {quick.id, failing.id}
    (tmp_path / "gate").touch()
    assert [job.id for job in ended] == [held.id]
    before = _calls(system).get("subscribe", 0)
    assert quick.get(timeout=0) == 2
    with pytest.raises(JobFailed, match="does not exist"):
        failing.get(timeout=0)
    assert _calls(system).get("subscribe", 0) == before


def test_hundreds_of_jobs_are_awaited_without_a_thread_each(system: Store) -> None:
    async def all_of_them() -> list[int]:
        jobs = add.map([{"a": number} for number in range(200)])
        threads = threading.active_count()
        results = await asyncio.gather(*(_awaited(job) for job in jobs))
        assert threading.active_count() <= threads + 40
        return results

    async def _awaited(job: Job[int]) -> int:
        return await job

    assert asyncio.run(all_of_them()) == list(range(1, 201))


def test_an_end_that_nobody_tells_of_is_found(
    store: Store, waiting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a worker of a version that tells of ends on other channels, or when a message was lost in a failover."""
    monkeypatch.setattr("ytray.engine.state.waiting._LOOK_EVERY", 0.1)
    future = waiting()
    store.redis.hset(store.key("j:j"), "state", "COMPLETED")
    assert future.result(timeout=60).state is JobState.COMPLETED
