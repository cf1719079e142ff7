"""Code that a script ships: one key for all its runs, kept while a job may need it, shipped again when it was lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from ytray import JobFailed, dlq, flow, task
from ytray.engine.jobs.flow import Flow
from ytray.engine.jobs.task import Task
from ytray.engine.state.code import resolve, shipped_in
from ytray.engine.state.link import CodeNotStored
from ytray.engine.state.schema import MIGRATIONS
from ytray.engine.state.shipped import digest_of, renew
from ytray.engine.state.signing import CODE_KEPT, signed
from ytray.engine.state.store import Store, Submission

DAY = 86_400
SCRIPT = """
from dataclasses import dataclass
from enum import Enum
from pydantic import BaseModel
from ytray import task
from ytray.engine.state.shipped import digest_of

KINDS = {"alpha", "beta", "gamma", "delta"}

class Color(Enum):
    RED = 1
    BLUE = 2

class Order(BaseModel):
    item: str
    tags: set[str] = {"q", "w", "e"}

@dataclass
class Place:
    x: int = 1

def known(word):
    return word in {"one", "two", "three"} or len(KINDS)

@task()
def price(order: Order) -> Order:
    return Order(item=f"{known(order.item)} {Color.RED.name} {Place(7)}")

print(digest_of(price))
"""


def test_one_script_has_one_key_however_its_sets_are_ordered(tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(SCRIPT)
    told = [
        subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert len(told[0]) == 32
    assert told[0] == told[1]


def test_what_a_task_does_and_holds_is_told_apart() -> None:
    def made(held: object) -> object:
        return lambda: held

    assert digest_of(made({1, "a"})) == digest_of(made({"a", 1}))
    contents = [
        {1, 2},
        {1, 3},
        frozenset({1, 2}),
        [1, 2],
        (2, 1),
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        "x:1",
        "x:2",
        {"x:1"},
    ]
    assert len({digest_of(made(held)) for held in contents}) == len(contents)


def local_task() -> Task[[int], int]:
    @task(name="shipped_task", queue="batch")
    def twice(n: int) -> int:
        return 2 * n

    return twice


def key_of(where: Store, of: Task[[int], int]) -> str:
    return where.key(f"code:{shipped_in(of._code(where))}")


def test_code_is_kept_for_as_long_as_a_job_waits_and_shipped_again_when_it_was_lost(system: Store) -> None:
    twice = local_task()
    key = key_of(system, twice)
    assert 0 < system.redis.ttl(key) <= CODE_KEPT
    late = twice.options(delay=365 * DAY).delay(1)
    assert system.redis.ttl(key) > 365 * DAY
    system.redis.delete(key)
    assert twice.delay(2).get(timeout=60) == 4
    assert CODE_KEPT - DAY < system.redis.ttl(key) <= CODE_KEPT
    late.cancel()


def test_the_code_of_what_waits_or_may_be_replayed_does_not_expire(bare_store: Store) -> None:
    for number, digest in enumerate(("a1", "b2", "c3", "d4", "e5")):
        bare_store.redis.set(bare_store.key(f"code:{digest}"), b"pickled", ex=60)
        spec = b'{"code":"value:%s","args":{}}' % digest.encode()
        what = Submission("add", "default", "default", 4, delay_ms=number % 2 * 10**6)
        bare_store.submit([(digest, spec)], what)
    bare_store.cancel("e5", "", 60)
    bare_store.redis.zadd(bare_store.key("batches"), {"b1": 1})
    bare_store.redis.hset(bare_store.key("b:b1"), "head", '{"code":"value:f6","args":')
    bare_store.redis.set(bare_store.key("code:f6"), b"pickled")  # as versions before 2 stored it
    renew(bare_store)
    kept = {name: bare_store.redis.ttl(bare_store.key(f"code:{name}")) > 29 * DAY for name in ("a1", "b2", "e5", "f6")}
    assert kept == {"a1": True, "b2": True, "e5": False, "f6": True}


def test_code_from_before_gets_an_end(bare_store: Store) -> None:
    bare_store.redis.set(bare_store.key("code:aa"), b"pickled")
    for _ in MIGRATIONS[1](bare_store):
        pass
    assert 0 < bare_store.redis.ttl(bare_store.key("code:aa")) <= CODE_KEPT


def local_flow() -> Flow[[int], int]:
    @flow(name="shipped_flow", queue="batch")
    async def twice(n: int) -> int:
        return 2 * n

    return twice


@pytest.mark.parametrize("made", [local_task, local_flow])
def test_a_job_whose_code_is_lost_is_tried_again_and_says_what_to_do(
    system: Store, made: Callable[[], Task[[int], int]]
) -> None:
    twice = made()
    with pytest.raises(CodeNotStored, match="run the script that defines it again"):
        resolve(f"value:{'0' * 32}", system)
    lost = sha256(twice.name.encode()).hexdigest()[:32]
    spec = b'{"code":"value:%s","args":{"n":4}}' % lost.encode()
    system.submit([(lost, spec)], Submission(twice.name, "batch", twice.lane or "batch", 4))
    job = type(twice.delay(1))(lost)
    with pytest.raises(JobFailed, match="run the script that defines it again"):
        job.get(timeout=60)
    assert job.status().retry_count == 2
    # Whoever has the task ships it, and the job is replayed.
    code = system.redis.get(key_of(system, twice))
    assert isinstance(code, bytes)
    system.redis.set(system.key(f"code:{lost}"), signed(code, lost))
    dlq.retry_task(lost)
    assert job.get(timeout=60) == 8
