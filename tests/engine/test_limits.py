"""Time limits and the other options of a job: what follows from what, and what is refused at the door."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.engine.tasks_for_tests import add, sum_of_squares
from ytray import InvalidArguments, PermanentError, RetryPolicy
from ytray.engine.jobs.task import Task
from ytray.engine.state.store import Store
from ytray.settings import Settings


def limits_of(**given: Any) -> tuple[float, float]:
    made = Task(add.function, name="limited", **given)
    return made.soft_time_limit, made.time_limit


@pytest.mark.parametrize(
    ("given", "in_force"),
    [
        ({}, (1500, 1800)),
        ({"time_limit": 600}, (500, 600)),
        ({"time_limit": 1700}, (1500, 1700)),
        ({"time_limit": 7200}, (1500, 7200)),
        ({"soft_time_limit": 60}, (60, 1800)),
        ({"soft_time_limit": 3600}, (3600, 4320)),
        ({"soft_time_limit": 600, "time_limit": 600}, (600, 600)),
    ],
)
def test_a_limit_that_is_not_given_follows_the_one_that_is(
    given: dict[str, float], in_force: tuple[float, float]
) -> None:
    assert limits_of(**given) == pytest.approx(in_force)


def test_options_limits_follow_those_of_the_task(bare_store: Store) -> None:
    made = Task(add.function, name="limited", soft_time_limit=20, time_limit=60)

    def stored(**chosen: float) -> tuple[float, float]:
        spec = json.loads(made.spec_head(made.options(**chosen).chosen, bare_store, None) + b"{}}")
        return spec["soft"], spec["hard"]

    assert stored(time_limit=30) == (20, 30)
    assert stored(time_limit=12) == pytest.approx((10, 12))
    assert stored(soft_time_limit=100) == pytest.approx((100, 120))
    assert stored(soft_time_limit=5, time_limit=6) == (5, 6)


WRONG: list[dict[str, Any]] = [
    {"soft_time_limit": 20, "time_limit": 10},
    {"soft_time_limit": 0},
    {"time_limit": -1},
    {"time_limit": math.nan},
    {"soft_time_limit": math.inf},
    {"time_limit": "600"},
    {"time_limit": True},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_task_refuses_options_refuses_too(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"time.limit"):
        limits_of(**wrong)
    with pytest.raises(InvalidArguments, match=r"time.limit"):
        add.options(**wrong)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"queue": "medai"}, "did you mean 'media'"),
        ({"queue": 7}, "no queue 7"),
        ({"priority": 10}, "from 0 to 9"),
        ({"priority": 4.0}, "from 0 to 9"),
        ({"delay": math.nan}, "delay is in seconds"),
        ({"delay": "60"}, "delay is in seconds"),
        ({"delay": 400 * 86400}, "delay is in seconds"),
        ({"idempotency_key": 12}, "1 to 255 characters"),
        ({"idempotency_key": ""}, "1 to 255 characters"),
        ({"user_id": 12}, "1 to 255 characters"),
        ({"user_id": "u" * 256}, "1 to 255 characters"),
        ({"metadata": ["a"]}, "mapping of names"),
        ({"metadata": {1: "a"}}, "mapping of names"),
        ({"prioritty": 1}, "did you mean 'priority'"),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused_by_name(chosen: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArguments, match=told):
        add.options(**chosen)


def test_a_flow_refuses_time_limits_since_it_has_none() -> None:
    with pytest.raises(InvalidArguments, match="flow sum_of_squares takes no time_limit"):
        sum_of_squares.options(time_limit=60)


@pytest.mark.parametrize("delays", [(-1,), (math.nan,), (math.inf,), ("5",)], ids=str)
def test_a_retry_delay_that_cannot_be_is_refused(delays: Any) -> None:
    with pytest.raises(ValueError, match="a delay is in seconds"):
        RetryPolicy(delays=delays)


def test_permanent_errors_are_given_as_types() -> None:
    with pytest.raises(ValueError, match="exception types"):
        RetryPolicy(permanent=(ValueError("x"),))  # type: ignore[arg-type]


@pytest.mark.parametrize("delays", ["nan", "60,inf", "-1"])
def test_a_setting_of_retry_delays_that_cannot_be_is_refused(delays: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YTRAY_RETRY_DELAYS", delays)
    with pytest.raises(ValueError, match="a retry delay is in seconds"):
        Settings()


def test_what_time_cannot_heal_is_tried_once_more_and_no_further() -> None:
    policy = RetryPolicy(delays=(60, 300), jitter=0, heals=lambda error: isinstance(error, OSError))
    assert [policy.delay_after(ValueError(), used) for used in range(3)] == [1.0, None, None]
    assert [policy.delay_after(OSError(), used) for used in range(3)] == [60, 300, None]
    assert policy.delay_after(PermanentError(), 0) is None
