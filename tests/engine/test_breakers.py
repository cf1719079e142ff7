"""Circuit breakers: a dependency that is down is left alone, and costs its jobs nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import ray

from tests.conftest import SHRUNK
from tests.engine.tasks_for_tests import times, use_dependency, wait_for_dependency
from ytray import CircuitOpen, JobState, PermanentError, circuit_breaker, dlq
from ytray.engine.control.actors import find_actor
from ytray.engine.run.breaker import BreakerState, breaker_states
from ytray.engine.state.store import Store

Until = Callable[..., None]
TIMEOUT = float(SHRUNK["YTRAY_BREAKER_TIMEOUT"])


@pytest.fixture
def dependency() -> str:
    return f"shop-{uuid.uuid4().hex[:8]}"


def state_of(name: str) -> BreakerState:
    return next((state for state in breaker_states() if state.name == name), BreakerState(name=name))


def fail_three_times(name: str) -> None:
    """Open the breaker; where it was open a moment ago, its probe fails."""
    for _ in range(3):
        try:
            with circuit_breaker(name):
                raise ConnectionError("refused")
        except CircuitOpen:
            return
        except ConnectionError:
            pass


def until_refused(name: str, call: Callable[[], object]) -> CircuitOpen:
    """How an open breaker refuses a call. Where a busy machine let the time until its probe pass, once more."""
    while True:
        begun = time.time()
        fail_three_times(name)
        try:
            call()
        except CircuitOpen as refused:
            return refused
        assert time.time() > begun + TIMEOUT, "a call went through"


def test_an_open_breaker_costs_no_attempt_and_closes_after_a_probe(
    system: Store, tmp_path: Path, until: Until, dependency: str
) -> None:
    first = [use_dependency.delay(str(tmp_path), dependency) for _ in range(2)]
    until(lambda: state_of(dependency).state == "open")
    waiting = use_dependency.delay(str(tmp_path), dependency)
    until(lambda: waiting.status().current_state is JobState.RETRYING)
    assert waiting.status().retry_count == 0
    assert "circuit breaker" in (waiting.status().error or "")
    (tmp_path / "healthy").touch()
    assert waiting.get(timeout=30) == "fine"

    def closes() -> bool:
        # On a busy machine an attempt of the first two may fail after the probe has passed; then there is another.
        done: str = use_dependency.delay(str(tmp_path), dependency).get(timeout=30)
        return done == "fine" and state_of(dependency).state == "closed"

    until(closes)
    for job in first:
        until(lambda job=job: job.status().current_state.has_ended)
        if job.status().current_state is JobState.FAILED:
            dlq.remove(job.id)


def test_an_open_breaker_lets_nothing_through(system: Store, dependency: str) -> None:
    refused = until_refused(dependency, circuit_breaker(dependency).__enter__)
    assert f"the circuit breaker of {dependency} is open" in str(refused)
    assert 0 < refused.seconds <= TIMEOUT
    assert state_of(dependency).last_error == "ConnectionError: refused"


def test_a_decorated_function_is_guarded_and_keeps_its_name(system: Store, dependency: str) -> None:
    @circuit_breaker(dependency)
    def order(number: int) -> int:
        if number < 0:
            raise ConnectionError("refused")
        return number

    assert (order(3), order.__name__) == (3, "order")
    with pytest.raises(ConnectionError):
        order(-1)
    assert state_of(dependency).failures == 1
    until_refused(dependency, lambda: order(3))


def test_a_success_in_between_begins_the_count_anew(system: Store, dependency: str) -> None:
    for _ in range(3):
        for _ in range(2):
            with pytest.raises(ConnectionError), circuit_breaker(dependency):
                raise ConnectionError("refused")
        with circuit_breaker(dependency):
            pass
    assert state_of(dependency).state == "closed"


def test_a_permanent_error_is_not_the_dependencys_fault(system: Store, dependency: str) -> None:
    for _ in range(4):
        with pytest.raises(PermanentError), circuit_breaker(dependency):
            raise PermanentError("no such model")
    assert state_of(dependency).state == "closed"


def test_a_failed_probe_opens_the_breaker_again(system: Store, dependency: str, until: Until) -> None:
    fail_three_times(dependency)
    opened_first = state_of(dependency).opened_at

    def probe() -> bool:
        try:
            with circuit_breaker(dependency):
                raise ConnectionError("still down")
        except CircuitOpen:
            return False
        except ConnectionError:
            return True

    until(probe)
    after = state_of(dependency)
    assert (after.state, after.last_error) == ("open", "ConnectionError: still down")
    assert after.opened_at >= opened_first + 0.5


def test_only_one_of_many_calls_at_once_goes_through_as_the_probe(system: Store, dependency: str, until: Until) -> None:
    fail_three_times(dependency)
    until(lambda: state_of(dependency).opened_at + 0.5 < time.time())
    together = threading.Barrier(16)
    went_through: list[int] = []
    refused: list[int] = []

    def call(number: int) -> None:
        together.wait()
        try:
            with circuit_breaker(dependency):
                went_through.append(number)
                until(lambda: len(refused) == 15)  # the probe is still on its way when the others come
        except CircuitOpen:
            refused.append(number)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(call, range(16)))
    assert (len(went_through), len(refused)) == (1, 15)
    assert state_of(dependency).state == "closed"


def test_a_probe_that_died_without_a_word_does_not_keep_the_breaker_open(
    system: Store, dependency: str, until: Until
) -> None:
    fail_three_times(dependency)
    silent = state_of(dependency).model_copy(update={"state": "half_open", "probe_at": time.time() - 61})
    system.redis.hset(system.key("breakers"), dependency, silent.model_dump_json())
    with circuit_breaker(dependency):
        pass
    assert state_of(dependency).state == "closed"


def test_calls_that_end_at_once_agree_on_the_state(system: Store, dependency: str) -> None:
    def call(number: int) -> None:
        with suppress(CircuitOpen, ConnectionError), circuit_breaker(dependency):
            if number % 2:
                raise ConnectionError("refused")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(call, range(300)))
    for _ in range(3):
        with suppress(ConnectionError, CircuitOpen), circuit_breaker(dependency):
            raise ConnectionError("refused")
    assert state_of(dependency).state == "open"
    with pytest.raises(CircuitOpen), circuit_breaker(dependency):
        pytest.fail("a call went through")


def test_a_breaker_works_where_there_is_no_ray_and_starts_none(system: Store, dependency: str) -> None:
    alone = f"""
import ray
from ytray import CircuitOpen, circuit_breaker
for _ in range(3):
    try:
        with circuit_breaker({dependency!r}):
            raise ConnectionError("refused")
    except ConnectionError:
        pass
try:
    with circuit_breaker({dependency!r}):
        pass
except CircuitOpen:
    print("open", ray.is_initialized())
"""
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "open False\n", done.stderr
    with pytest.raises(CircuitOpen), circuit_breaker(dependency):
        pytest.fail("a call went through")


def test_what_a_breaker_knows_survives_the_death_of_its_actor(system: Store, dependency: str, until: Until) -> None:
    fail_three_times(dependency)
    before = state_of(dependency)
    pid = ray.get(find_actor("CircuitBreakers").report.remote())["pid"]
    os.kill(pid, signal.SIGKILL)
    after = ray.get(find_actor("CircuitBreakers").report.remote(), timeout=60)
    assert after["pid"] != pid
    assert after["breakers"][dependency] == before.model_dump()


def test_cancelled_jobs_are_not_held_against_the_dependency(
    system: Store, tmp_path: Path, until: Until, dependency: str
) -> None:
    for number in range(3):
        job = wait_for_dependency.delay(str(tmp_path), dependency, str(number))
        until(lambda number=number: times(tmp_path, f"{number}-calls"))
        job.cancel()
        until(lambda number=number: times(tmp_path, f"{number}-left"))
    assert state_of(dependency).failures == 0
