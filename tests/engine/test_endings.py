"""However a task ends, that is recorded once; limits and cancellation reach all that it does; forks share nothing."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import ytray
from tests.engine import tasks_for_endings as tasks
from tests.engine.tasks_for_tests import add, times
from ytray import Job, JobCancelled, JobFailed, dlq
from ytray.engine.base.error_text import in_words, traceback_of
from ytray.engine.base.retry import RetryPolicy
from ytray.engine.jobs.task import Task
from ytray.engine.run.verdict import judge
from ytray.engine.state.store import Store
from ytray.errors import RetryLater, SystemUnavailable
from ytray.system.redis_refusals import RedisIsFull

Until = Callable[..., None]

TOLD = {
    "panic": "Panic: index out of bounds",
    "cancelled": "CancelledError: mine",
    "interrupt": "KeyboardInterrupt: my own",
    "exit": "SystemExit: 0",
    "generator": "GeneratorExit: left",
    "mute": "Mute: said before",
    "surrogate": r"ValueError: half \udce9 and zero \x00",
    "huge": "ValueError: xxx",
    "unpicklable": "Unpicklable: this and that",
    "later": "RetryLater: soon; it cannot be put off for nan s",
    "later without": "Later; whether to try again could not be decided",
    "group": "ExceptionGroup: both (2 sub-exceptions): ValueError: a; PermanentError: for good",
    "result breaks": "PermanentError: task ends_for_good returned what JSON cannot hold",
    "result circular": "PermanentError: task ends_for_good returned what JSON cannot hold",
    "result surrogate": "PermanentError: task ends_for_good returned what JSON cannot hold",
}
NEVER_AGAIN = ("later", "later without", "group", "result breaks", "result circular", "result surrogate")


def failure(job: Job[Any]) -> JobFailed:
    with pytest.raises(JobFailed) as failed:
        job.get(timeout=60)
    return failed.value


def test_whatever_a_task_raises_or_returns_its_end_is_recorded_once(system: Store, tmp_path: Path) -> None:
    jobs = {way: (tasks.ends_for_good if way in NEVER_AGAIN else tasks.ends).delay(str(tmp_path), way) for way in TOLD}
    for way, told in TOLD.items():
        failed = failure(jobs[way])
        assert told in failed.error
        assert len(failed.error) <= 2_000
        assert len(failed.traceback) <= 16_000
        assert times(tmp_path, way) == 1, way
        dlq.remove(jobs[way].id)


def test_an_error_is_told_in_bounded_text_whatever_it_is() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert traceback_of(first).count("ValueError") == 2

    deep: Exception = ValueError("at the bottom")
    for _ in range(3_000):
        deep = ExceptionGroup("level", [deep])
    assert in_words(deep).startswith("ExceptionGroup: level (1 sub-exception): ExceptionGroup")
    assert judge(deep, RetryPolicy(delays=(1,), permanent=(ValueError,)), 0).what == "dead"

    annotated = ValueError("x")
    annotated.__notes__ = [tasks.Mute()]  # type: ignore[list-item]
    assert "its notes cannot be told" in traceback_of(annotated)


def test_a_group_is_put_off_only_when_all_of_it_is() -> None:
    both = ExceptionGroup("both", [RetryLater("a", 5), RetryLater("b", 7)])
    mixed = ExceptionGroup("mixed", [RetryLater("a", 5), ValueError("b")])
    policy = RetryPolicy(delays=(1,), jitter=0)
    assert (judge(both, policy, 0).what, judge(both, policy, 0).delay) == ("defer", 7)
    assert (judge(mixed, policy, 0).what, judge(mixed, policy, 0).delay) == ("retry", 1)
    assert judge(RetryLater("past", -2), policy, 0).delay == 0


def test_what_a_full_redis_refused_is_put_off_and_uses_up_no_retry() -> None:
    full = ExceptionGroup("both", [RedisIsFull("full"), RetryLater("a", 5)])
    policy = RetryPolicy(delays=(1,), permanent=(SystemUnavailable,))
    assert (judge(full, policy, 0).what, judge(full, policy, 0).delay) == ("defer", 10)
    assert judge(RedisIsFull("full"), None, 3, final=(SystemUnavailable,)).what == "defer"


def test_a_policy_that_raises_is_told_with_the_error() -> None:
    class Fickle(RetryPolicy):
        def delay_after(self, error: BaseException, retries_used: int) -> float | None:
            raise LookupError(f"no rule for {error} after {retries_used}")

    verdict = judge(ValueError("why"), Fickle(), 0)
    assert verdict.what == "dead"
    assert (
        "ValueError: why; whether to try again could not be decided: LookupError: no rule for why after 0"
        in verdict.error
    )


def test_the_next_job_of_a_worker_meets_nothing_of_the_last(bare_store: Store) -> None:
    command = [sys.executable, "-m", "tests.engine.spoiled_worker", bare_store.redis_url]
    done = subprocess.run(command, timeout=60, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.splitlines()[-1] == "COMPLETED COMPLETED"


def test_the_soft_limit_and_cancellation_are_raised_in_coroutines(system: Store, tmp_path: Path, until: Until) -> None:
    folder = str(tmp_path)
    kinds: tuple[Task[..., Any], ...] = (tasks.waits, tasks.holds_its_loop, tasks.runs_a_loop)
    limited = [kind.options(soft_time_limit=0.5, time_limit=30).delay(folder, f"soft-{kind.name}") for kind in kinds]
    for job in limited:
        assert "SoftTimeLimitExceeded" in failure(job).error
        dlq.remove(job.id)
    assert times(tmp_path, "soft-waits-caught") == 1
    cancelled = [kind.delay(folder, f"stop-{kind.name}") for kind in kinds]
    until(lambda: all(times(tmp_path, f"stop-{kind.name}-started") for kind in kinds))
    for job in cancelled:
        job.cancel()
    until(lambda: all(times(tmp_path, f"stop-{kind.name}-tidied") for kind in kinds))
    for job, kind in zip(cancelled, kinds, strict=True):
        with pytest.raises(JobCancelled):
            job.get(timeout=60)
        assert times(tmp_path, f"soft-{kind.name}-tidied") == 1


def test_an_alarm_of_the_tasks_own_takes_no_limit_away(system: Store, tmp_path: Path) -> None:
    job = tasks.alarmed.delay(str(tmp_path))
    assert "SoftTimeLimitExceeded" in failure(job).error
    assert (times(tmp_path, "alarms"), times(tmp_path, "tidied")) == (1, 1)
    dlq.remove(job.id)


def test_cancelling_stops_forks_daemons_and_what_has_no_environment(
    system: Store, tmp_path: Path, until: Until
) -> None:
    job = tasks.parent_of_many.delay(str(tmp_path))
    until((tmp_path / "pids").exists, 60)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(is_alive(pid) for pid in pids)
    job.cancel()
    until(lambda: not any(is_alive(pid) for pid in pids))


def test_a_forked_child_settles_nothing_of_its_job(system: Store, tmp_path: Path) -> None:
    jobs = {how: tasks.forks.delay(str(tmp_path), how) for how in ("returns", "raises", "exits")}
    in_a_loop: Job[Any] = tasks.forks_in_a_loop.delay()
    for how, code in (("returns", 0), ("raises", 1), ("exits", 7)):
        pid, status = jobs[how].get(timeout=30)
        assert (pid > 0, status) == (True, code)
        assert (times(tmp_path, f"{how}-child"), times(tmp_path, f"{how}-refused")) == (1, 1)
    assert in_a_loop.get(timeout=30) > 0


def _use_the_system(told: multiprocessing.SimpleQueue[str], number: int) -> None:
    try:
        answers = [add.delay(number, turn).get(timeout=30) for turn in range(3)]
        ytray.shutdown()  # leaves what the parent has started
        told.put("fine" if answers == [number, number + 1, number + 2] else f"{answers} for {number}")
    except BaseException as error:
        told.put(in_words(error))


def test_a_forked_child_may_end_by_itself(system: Store) -> None:
    assert system.redis.ping()
    number = os.fork()
    if number == 0:
        ctypes.CDLL(None).exit(3)  # what comes after Python's own end: the last words of libraries in C
    child = psutil.Process(number)
    try:
        assert child.wait(60) == 3
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def test_forked_processes_wait_for_jobs_side_by_side(system: Store) -> None:
    assert add.delay(1).get(timeout=30) == 2  # leaves connections behind
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    children = [context.Process(target=_use_the_system, args=(told, number)) for number in (10, 20, 30)]
    for child in children:
        child.start()
    assert add.delay(2).get(timeout=30) == 3
    assert [told.get() for _ in children] == ["fine"] * 3
    for child in children:
        child.join(60)
    assert add.delay(3).get(timeout=30) == 4


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
