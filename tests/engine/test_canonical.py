"""What is the same is the same: in whatever order sets and mappings are, and however a number is written."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tests.engine.tasks_for_tests import add
from ytray import IdempotencyConflict, task
from ytray.engine.base.canonical import canonical_json, ordered
from ytray.engine.batch.batches import batches
from ytray.engine.batch.model import BatchOptions
from ytray.engine.batch.rows import RowReader
from ytray.engine.batch.sources import RawRow
from ytray.engine.state.store import Store
from ytray.spend.model import Call

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.floats(-4, 4) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Corner:
    x: int


class Plan(BaseModel):
    tags: set[str] = Field(default_factory=set, serialization_alias="labels")
    groups: list[frozenset[str]] = []
    weight: float = 1.0
    corners: frozenset[Corner] = frozenset()
    extra: dict[str, set[str]] = {}


@task(name="canonical_plan")
def follow(plan: Plan, also: Any = None, size: float = 1) -> int:
    return len(plan.tags)


WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
CALL = """
from tests.engine.test_canonical import WORDS, Corner, Plan, follow
from ytray.spend.model import Call
plan = Plan(tags=set(WORDS), groups=[frozenset(WORDS), frozenset(WORDS[:3])], corners={Corner(x=n) for n in range(9)},
            extra={"inner": set(WORDS)})
print(follow.signature.encode_canonically((plan,), {"also": {"b": 1, "a": 2}}, 10**6)[1].hex())
print(Call("p", "m", "text", {"of": set(WORDS), "in": {"b": 1, "a": frozenset(WORDS)}}, 0.1).key("u"))
"""


def test_a_call_with_sets_is_the_same_in_every_process() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", CALL],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.getcwd()},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in (1, 2)
    }  # fmt: skip
    assert len(told) == 1
    assert len(told.pop().split()) == 2


@settings(max_examples=50)
@given(value=JSON, other=JSON)
def test_two_values_are_written_alike_exactly_when_they_are_equal(value: Any, other: Any) -> None:
    def equal(one: Any, two: Any) -> bool:
        if isinstance(one, bool) or isinstance(two, bool):
            return one is two
        if isinstance(one, dict) and isinstance(two, dict):
            return one.keys() == two.keys() and all(equal(one[name], two[name]) for name in one)
        if isinstance(one, list) and isinstance(two, list):
            return len(one) == len(two) and all(map(equal, one, two))
        return type(one) is not dict and type(two) is not list and bool(one == two)

    assert (canonical_json(value) == canonical_json(other)) == equal(value, other)
    assert canonical_json(_turned(value)) == canonical_json(value)
    assert ordered(_turned(value)) == ordered(value)


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _turned(value[name]) for name in reversed(value)}
    return [_turned(part) for part in value] if isinstance(value, list) else value


def test_the_same_key_with_the_same_arguments_is_the_same_job(system: Store) -> None:
    keyed = follow.options(idempotency_key="canonical-1", queue="batch", delay=3600)
    first = keyed.delay(Plan(tags=set(WORDS)), {"a": 1, "b": [2.0]}).id
    assert keyed.delay({"tags": list(reversed(WORDS)), "groups": []}, {"b": [2], "a": 1.0}, size=1.0).id == first
    with pytest.raises(IdempotencyConflict, match=first):
        keyed.delay(Plan(tags=set(WORDS[1:])), {"a": 1, "b": [2]})
    with pytest.raises(IdempotencyConflict, match=first):
        keyed.delay(Plan(tags=set(WORDS)), {"a": True, "b": [2]})
    # As versions before 2 kept it: by the digest of its bytes alone.
    add.options(idempotency_key="canonical-2", delay=3600).delay(1, 2)
    old = add.options(idempotency_key="canonical-2", delay=3600).delay(b=2, a=1).id
    system.redis.hdel(system.key(f"j:{old}"), "same")
    assert add.options(idempotency_key="canonical-2", delay=3600).delay(1, 2).id == old


def row(**cells: Any) -> Any:
    return RowReader(follow, "u").row(RawRow(1, {"plan": {}, **cells}, is_text=False))


def test_rows_that_are_equal_are_one_row(system: Store) -> None:
    one, other = row(also={"a": 1, "b": 2.0}), row(also={"b": 2, "a": 1})
    assert (one.key, one.job_id) == (other.key, other.job_id)
    assert row(also={"a": 1, "b": 3}).job_id != one.job_id


def test_a_row_that_was_done_before_rows_had_canonical_ids_is_done(system: Store) -> None:
    cells = {"also": {"b": 1, "a": 2}, "plan": {"tags": ["x"]}}
    made = row(**cells)
    assert made.before[1] != made.job_id
    key = system.key(f"j:{made.before[1]}")
    system.redis.hset(key, "state", "COMPLETED")
    for user, known in (("u", 1), ("v", 0)):
        preparation = batches.prepare([cells], task=follow, options=BatchOptions(user_id=user))
        assert preparation.prepared.known == known
        preparation.drop()
    system.redis.delete(key)


def test_the_key_of_a_paid_call_is_the_one_that_it_always_was() -> None:
    call = Call("vertex", "m-1", "text", {"b": [1, 2.0, {"y": None, "x": "é"}], "a": "t"}, 0.5, place="2")
    assert call.key("user") == "e97cbfd9944b9d4d6abfc4aad7d7552a"
