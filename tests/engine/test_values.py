"""What is accepted can be read back: arguments, results, metadata and checkpoints come back equal, or are refused."""

from __future__ import annotations

import dataclasses
import enum
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from pydantic_core import from_json

from tests.engine.tasks_for_tests import add
from ytray import Job, JobFailed, dlq, job_tracker, task
from ytray.engine.base.arguments import Signature
from ytray.engine.base.values import DEEPEST, MOST_DIGITS, read, write
from ytray.engine.jobs.task import Options
from ytray.engine.state.store import Store
from ytray.errors import DamagedJob, InvalidArguments, PermanentError

LIMIT = 1 << 20


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


class Shape(BaseModel):
    points: list[tuple[int, int]] = []
    weight: float = 1.0


class Square(Shape):
    side: int = 1


def takes_any(x: Any, **more: Any) -> Any:
    return x


ANY = Signature(takes_any, "takes_any")

keys = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats(), st.tuples(st.integers()), st.binary())
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**290, max_value=10**310),
    st.floats(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.decimals(),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from([Colour.RED, Path("a"), Point(1), np.float64(0.1), np.int64(3), 1j, object(), SecretStr("s")]),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(keys, inner),
        st.sets(st.integers()),
        st.frozensets(st.text()),
    ),
    max_leaves=8,
)


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def is_same(value: Any, back: Any) -> bool:
    """Equal, and of types that say the same, all the way down."""
    if isinstance(value, Mapping):
        return isinstance(back, dict) and value.keys() == back.keys() and all(is_same(value[k], back[k]) for k in value)
    if isinstance(value, (list, tuple)):
        return isinstance(back, list) and len(value) == len(back) and all(map(is_same, value, back))
    return bool(value == back) and isinstance(value, type(back))


@given(values)
@settings(deadline=None)
@example(nested(DEEPEST - 1))
@example(nested(DEEPEST + 1))
@example(nested(400))
def test_an_argument_of_any_type_comes_back_equal_or_is_refused(value: Any) -> None:
    try:
        payload = ANY.encode((value,), {}, LIMIT)
    except InvalidArguments:
        return
    assert is_same(value, ANY.decode(from_json(payload))["x"])


@given(values)
@settings(deadline=None)
def test_more_keywords_come_back_equal_or_are_refused(value: Any) -> None:
    try:
        payload = ANY.encode((1,), {"other": value}, LIMIT)
    except InvalidArguments:
        return
    assert is_same(value, ANY.decode(from_json(payload))["other"])


@given(values)
@settings(deadline=None)
def test_a_result_comes_back_equal_or_fails_its_job(value: Any) -> None:
    try:
        payload = ANY.encode_result(value, LIMIT)
    except PermanentError:
        return
    assert is_same(value, ANY.decode_result(payload))


@given(st.dictionaries(st.text(), values))
@settings(deadline=None)
def test_metadata_and_checkpoints_come_back_equal_or_are_refused(value: dict[str, Any]) -> None:
    try:
        payload = write(value, "metadata")
    except InvalidArguments:
        return
    assert is_same(value, read(payload))


# What docs/arguments.md says, kind by kind: refused without an annotation, kept with one.
KINDS: dict[str, tuple[Any, Any]] = {
    "a tuple": ((1, 2), tuple[int, int]),
    "a set": ({1, 2}, set[int]),
    "a frozenset": (frozenset({1}), frozenset[int]),
    "keys that are numbers": ({1: "a"}, dict[int, str]),
    "a Decimal": (Decimal("1.10"), Decimal),
    "bytes": (b"abc", bytes),
    "a datetime": (datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), datetime),
    "a date": (date(2026, 1, 2), date),
    "a timedelta": (timedelta(seconds=1.5), timedelta),
    "an Enum": (Colour.RED, Colour),
    "a UUID": (uuid.UUID(int=7), uuid.UUID),
    "a Path": (Path("a/b"), Path),
    "a dataclass": (Point(3), Point),
    "a model": (Shape(points=[(1, 2)]), Shape),
}


@pytest.mark.parametrize(("value", "kind"), KINDS.values(), ids=KINDS.keys())
def test_what_json_changes_is_refused_without_an_annotation_and_kept_with_one(value: Any, kind: Any) -> None:
    with pytest.raises(InvalidArguments, match=r"argument x .*annotate it with its type"):
        ANY.encode((value,), {}, LIMIT)
    with pytest.raises(PermanentError, match=r"its result .*annotate it with its type"):
        ANY.encode_result(value, LIMIT)

    def typed(x: Any) -> Any:
        return x

    typed.__annotations__ = {"x": kind, "return": kind}
    signature = Signature(typed, "typed")
    back = signature.decode(from_json(signature.encode((value,), {}, LIMIT)))["x"]
    assert (back, type(back)) == (value, type(value))
    result = signature.decode_result(signature.encode_result(value, LIMIT))
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([1.0, math.nan], r"argument x\[1\] is nan, which is no number in JSON"),
        ({"a": -math.inf}, r"argument x\['a'\] is -inf, which is no number in JSON"),
        (nested(DEEPEST + 20), f"nested more than {DEEPEST} deep"),
        (nested(5000), f"nested more than {DEEPEST} deep"),
        (10**MOST_DIGITS, f"more than {MOST_DIGITS} digits"),
        (10**5000, "too long"),
        ({"a": ["\ud800"]}, r"argument x\['a'\]\[0\] holds surrogates"),
        ({"\udfff": 1}, "surrogates"),
        ({None: 1}, "has the key None, and JSON has only texts as keys"),
        (np.int64(1), "numpy.int64"),
    ],
    ids=range(10),
)
def test_a_refusal_says_where_and_what(value: Any, told: str) -> None:
    with pytest.raises(InvalidArguments, match=told):
        ANY.encode((value,), {}, LIMIT)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused_where_the_schema_says_float_too(value: float) -> None:
    def ratio(x: float = 0.0, y: float | None = None, z: dict[str, float] | None = None) -> float:
        return x

    signature = Signature(ratio, "ratio")
    for given_ in ({"x": value}, {"y": value}, {"z": {"a": value}}):
        with pytest.raises(InvalidArguments, match="is no number in JSON"):
            signature.encode((), given_, LIMIT)
    with pytest.raises(PermanentError, match=f"its result is {value}, which is no number in JSON"):
        signature.encode_result(value, LIMIT)


@pytest.mark.parametrize(
    "value",
    [0, -0.0, 1e308, 2**53 + 1, -(2**70), 10**MOST_DIGITS - 1, "\0", "漢 \U0001f600", nested(DEEPEST - 1)],
    ids=range(9),
)
def test_what_json_can_hold_is_kept_exactly(value: Any) -> None:
    back = ANY.decode(from_json(ANY.encode((value,), {}, LIMIT)))["x"]
    assert (back, repr(back)) == (value, repr(value))


def test_a_default_that_json_would_change_is_left_to_the_function() -> None:
    def paints(colours: Any = ("red",), size: float = math.inf, *, plain: int = 1) -> Any:
        return colours

    signature = Signature(paints, "paints")
    payload = signature.encode((), {}, LIMIT)
    assert payload == b'{"plain":1}'
    assert signature.decode(from_json(payload)) == {"colours": ("red",), "size": math.inf, "plain": 1}


def test_what_a_type_would_lose_is_refused() -> None:
    def draws(shape: Shape, secret: SecretStr | None = None) -> Shape:
        return shape

    signature = Signature(draws, "draws")
    with pytest.raises(InvalidArguments, match=r"argument shape is Square .*, which comes back as Shape"):
        signature.encode((Square(side=2),), {}, LIMIT)
    with pytest.raises(InvalidArguments, match="argument secret"):
        signature.encode((Shape(),), {"secret": "hush"}, LIMIT)
    with pytest.raises(PermanentError, match="its result is Square"):
        signature.encode_result(Square(side=2), LIMIT)


def test_a_name_that_nobody_can_store_is_refused() -> None:
    with pytest.raises(InvalidArguments, match="a user id holds no control characters"):
        Options(user_id="a\ud800")
    with pytest.raises(InvalidArguments, match="an idempotency key holds no control characters"):
        Options(idempotency_key="a\ud800")


# ---------------------------------------------------------------------------------------------- on a running system


@task(name="gives_back")
def gives_back(x: Any) -> Any:
    return x


@task(name="divides")
def divides(a: float, b: float) -> float:
    return math.inf if b == 0 else a / b


@task(name="keeps_its_place")
def keeps_its_place(tuple_of: int) -> str:
    from ytray import current_job

    try:
        current_job().checkpoint({"done": tuple(range(tuple_of))})
    except InvalidArguments as refused:
        return str(refused)
    return "kept"


def test_a_job_gives_back_what_it_was_given_and_refuses_the_rest(system: Store) -> None:
    odd = {"a": [1.5, None, {"": -(2**70)}], "z\0": "\U0001f600\n"}
    job = gives_back.options(metadata=odd, user_id="u |:%", idempotency_key="k: é").delay(odd)
    assert job.get(timeout=30) == odd
    status = job.status()
    assert (status.metadata, status.user_id, status.idempotency_key) == (odd, "u |:%", "k: é")
    with pytest.raises(InvalidArguments, match=r"metadata\['a'\] is nan"):
        gives_back.options(metadata={"a": math.nan}).delay(1)
    with pytest.raises(InvalidArguments, match=r"item 1: .*nothing was submitted"):
        gives_back.map([{"x": 1}, {"x": {2}}])
    with pytest.raises(InvalidArguments, match="control characters"):
        job_tracker.create_job("elsewhere-1", "t\ud800")
    with pytest.raises(InvalidArguments, match="metadata"):
        job_tracker.create_job("elsewhere-1", "t", metadata={"a": (1,)})
    assert keeps_its_place.delay(2).get(timeout=30).startswith("job ")


def test_a_result_that_json_cannot_hold_fails_its_job_once(system: Store) -> None:
    job = divides.delay(1, 0)
    with pytest.raises(JobFailed, match="its result is inf, which is no number in JSON") as failed:
        job.get(timeout=30)
    assert failed.value.retry_count == 0
    dlq.remove(job.id)


def test_a_stored_result_that_is_damaged_is_told_in_a_sentence(system: Store) -> None:
    job = add.delay(1)
    assert job.get(timeout=30)
    system.redis.set(system.key(f"r:{job.id}"), "{half")
    for handle in (job, Job[Any](job.id)):
        with pytest.raises(DamagedJob, match=f"job {job.id} completed, but its result cannot be read"):
            handle.get(timeout=1)
    assert "its result cannot be read" in (job.status().error or "")
